"""Objects as functions of migrations see them: with the fields that their model had then."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import MigrationError, hint_for
from ..state import ModelState
from ..types import FieldValues


class Record:
    """An object with the fields of its model at a migration, as attributes; `pk` is its primary key.

    A value that is read is converted from its stored text; one that is set is converted to the type of the field.
    Raises AttributeError for another name, ValueError for a text or a value that does not convert.
    """

    __slots__ = ("_changes", "_read", "_texts", "_values", "pk")
    _changes: dict[str, None]
    _read: dict[str, Any]
    _texts: Mapping[str, bytes | None]
    _values: Mapping[str, FieldValues]
    pk: Any

    def __init__(self, values: Mapping[str, FieldValues], texts: Mapping[str, bytes | None], pk: str) -> None:
        put = object.__setattr__
        put(self, "_values", values)
        put(self, "_texts", texts)
        put(self, "_changes", {})
        put(self, "_read", {})
        put(self, "pk", next(one for one in values.values() if one.field.primary_key).codec.decode(pk.encode()))

    def __getattr__(self, name: str) -> Any:
        values = self._values.get(name)
        if values is None:
            raise _unknown(name, [*self._values])
        if name not in self._read:
            self._read[name] = values.value(self._texts[name])
        return self._read[name]

    def __setattr__(self, name: str, value: Any) -> None:
        values = self._values.get(name)
        if values is None:
            raise _unknown(name, [*self._values])
        if values.field.primary_key:
            raise AttributeError(f"{name!r} is the primary key, which migrations can't change")
        if value is None and not values.field.null:
            raise ValueError(f"the field {name!r} can't be None")
        self._read[name] = value
        self._changes[name] = None

    def changed(self) -> tuple[dict[str, bytes | None], dict[str, bytes | None]]:
        """The texts that differ from the stored ones, of values that were changed in place too; the stored texts of
        all fields that were read or set. Raises ValueError for a value that does not convert.
        """
        changes: dict[str, bytes | None] = {}
        for name, value in self._read.items():
            values, stored = self._values[name], self._texts[name]
            before = stored
            if name not in self._changes:
                if values.codec.kind != "json":
                    continue
                before = values.text(values.value(stored))
            text = values.text(value)
            if text != before:
                changes[name] = text
        return changes, {name: self._texts[name] for name in self._read}


def _unknown(name: str, known: list[str]) -> AttributeError:
    return AttributeError(f"the model has no field {name!r} at this migration: {hint_for(name, known)}")


class Records:
    """Makes records of the rows of a model."""

    def __init__(self, model: ModelState) -> None:
        self.model = model
        self.values = {field.name: FieldValues(field) for field in model.fields}
        self.names = (model.pk.name, *(name for name in self.values if name != model.pk.name))

    def of(self, pk: str, texts: Sequence[bytes | None]) -> Record:
        """The record of an object with these texts of all fields."""
        return Record(self.values, dict(zip(self.names, texts, strict=True)), pk)


def checked(value: Any, what: str) -> Any:
    """The result of a function of a migration. Raises MigrationError for a coroutine."""
    if hasattr(value, "__await__"):
        getattr(value, "close", int)()
        raise MigrationError(f"{what} is an async function: functions of migrations are called, not awaited")
    return value
