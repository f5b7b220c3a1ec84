"""Parts of a field that are written by themselves: `update(address__city="Rome")`, `F("tags") - ["x"]`.

The server changes the stored text where it can, see lua/values/inside_changes.lua. Else Python computes the value of
the field, and it is written on condition that the field has not changed since.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from math import isfinite
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from ..errors import FieldError, hint_for
from ..query.expressions import Arithmetic, Expression, F, Value
from ..schema.parts import element_column, inside_column, part_column
from ..schema.schema import Column, PartColumn, Schema
from ..storage.exact import MARK

Names = tuple[str, ...]


class WithParts(Expression):
    """A field with other values of some parts; where a part has no place, in an absent object, it stays as it is."""

    def __init__(self, column: Column, parts: Mapping[Names, Expression], whole: Expression | None = None) -> None:
        self.column = column
        self.changed = dict(parts)
        self.whole = whole or F(column.name)

    def parts(self) -> tuple[Expression, ...]:
        """The field, and the new values."""
        return self.whole, *self.changed.values()

    def with_parts(self, parts: Sequence[Expression], /) -> Expression:
        """The same with others."""
        whole, *values = parts
        return WithParts(self.column, dict(zip(self.changed, values, strict=True)), whole)

    def result(self, values: Mapping[str, Any], /) -> Any:
        """The value with the parts, each as its type has it. Raises ValidationError."""
        whole = self.whole.result(values)
        for names, value in self.changed.items():
            whole = None if whole is None else _with_part(self.column, names, whole, value.result(values))
        return whole

    @property
    def operand(self) -> str | None:
        """The change as the server reads it; None if it is left to Python."""
        changes: list[Any] = []
        for names, value in self.changed.items():
            part = _part(self.column, names)
            text = _json(part, value.value) if isinstance(value, Value) else None
            if text is None:
                return None
            changes.append([part.way, text])
        return json.dumps(changes)

    def __str__(self) -> str:
        return ", ".join(f"{'__'.join((self.column.name, *names))}={value}" for names, value in self.changed.items())


def part_of(schema: Schema, name: str) -> tuple[Column, Names] | None:
    """The field and the names of the part that a name to be written means; None if it is no part.

    Raises FieldError for a part that values of the field do not have, and for what is computed from them.
    """
    first, *inner = name.split("__")
    column = schema.by_name.get(first)
    if column is None or not inner or inside_column(column) is None:
        return None
    _part(column, tuple(inner), f"{schema.name}.{name}")
    return column, tuple(inner)


def converted(schema: Schema, column: Column, names: Names, value: Any) -> Any:
    """A new value of a part, by its type and constraints. Raises ValidationError, which names model and part."""
    try:
        return _adapter(_part(column, names).annotation).validate_python(value)
    except ValidationError as error:
        raise _located(schema, (column.name, *names), error) from None


def _located(schema: Schema, place: tuple[str, ...], error: ValidationError) -> ValidationError:
    """The same error as that of an object of the model."""
    lines = [
        InitErrorDetails(
            type=PydanticCustomError(cast(Any, one["type"]), cast(Any, one["msg"])),
            loc=(*place, *one["loc"]),
            input=one["input"],
        )
        for one in error.errors()
    ]
    return ValidationError.from_exception_data(schema.name, lines)


def _part(column: Column, names: Names, place: str = "") -> PartColumn:
    found = column
    for name in names:
        part, inside = part_column(found, name), inside_column(found)
        if part is None or inside is None or (name == "len" and name not in inside.fields):
            known = [one for one in inside.names if one != "len" or one in inside.fields] if inside is not None else []
            hint = f": {hint_for(name, known)}" if known else ""
            raise FieldError(f"{place}: {found.name} has no part {name!r} that can be written{hint}")
        found = part
    return cast(PartColumn, found)


def _with_part(column: Column, names: Names, whole: Any, value: Any) -> Any:
    name, *rest = names
    inside, part = inside_column(column), part_column(column, name)
    assert inside is not None
    assert part is not None
    if rest:
        found = inside.part(name)
        inner = None if found is None else found.get(whole)
        return whole if inner is None else inside.with_part(whole, name, _with_part(part, (*rest,), inner, value))
    return inside.with_part(whole, name, _adapter(part.annotation).validate_python(value))


@lru_cache(maxsize=1024)
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation)


def _json(part: PartColumn, value: Any) -> str | None:
    """A value as JSON has it within a field; None if only Python can tell."""
    if not part.served or (isinstance(value, float) and not isfinite(value)):
        return None
    return _adapter(part.annotation).dump_json(value).decode()


# Elements and items --------------------------------------------------------------------------------------------------


def json_change(column: Column, value: Expression) -> tuple[str, str] | None:
    """The operator and the operand of a change that the server makes in the text of a column; None if it can't."""
    if column.bounds != () or column.normalise is not None:
        return None
    if isinstance(value, WithParts):
        operand = value.operand if value.whole == F(column.name) else None
        return None if operand is None else ("put", operand)
    if not isinstance(value, Arithmetic) or value.left != F(column.name) or not isinstance(value.right, Value):
        return None
    inside, given = inside_column(column), value.right.value
    if inside is None or not inside.is_free or not isinstance(given, list | tuple | dict | set | frozenset):
        return None
    operand = None
    with suppress(ValueError):
        if value.operator == "+" and inside.kind == "list" and isinstance(given, list):
            operand = _text(column, given) if element_column(column).served else None
        elif value.operator == "-" and inside.kind in ("list", "set", "tuple") and not isinstance(given, dict):
            operand = _elements(column, cast(Sequence[Any], given))
        elif value.operator == "-" and inside.text_keys and not isinstance(given, dict):
            operand = json.dumps({"keys": [key for key in cast(Sequence[Any], given) if isinstance(key, str)]})
        elif value.operator == "|" and inside.text_keys and isinstance(given, dict):
            operand = _text(column, given)
    return None if operand is None else (value.operator, operand)


def _text(column: Column, value: Any) -> str | None:
    text = cast(str, column.codec.encode(column.convert(value)))
    return None if text.startswith(MARK) else text


def _elements(column: Column, values: Sequence[Any]) -> str | None:
    """Elements by their texts; those of another type are none."""
    element = element_column(column)
    if not element.served:
        return None
    texts: list[Any] = []
    for value in values:
        if value is None:
            return None
        with suppress(ValueError):
            texts.append(element.codec.encode(element.convert(value)))
    return json.dumps({"kind": element.codec.kind, "texts": texts})
