"""The answers of the scripts, and the one place where an answer becomes an exception."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, Protocol

import msgspec

from ..errors import (
    ConflictError,
    ForeignKeyViolation,
    ProtectedError,
    RestrictedError,
    StoredDataError,
    UniqueViolation,
)
from ..records.deferred import deferred_objects
from ..schema import registry
from ..schema.schema import Schema

_decode = msgspec.msgpack.Decoder().decode
_decode_raw = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


class NotInOneCall(Exception):
    """The server refuses to do this in one call; nothing has changed. The client does it in several."""


class InexactArithmetic(NotInOneCall):
    """The server can't do this arithmetic exactly; the client does it and writes on condition of the values read."""


class LargeCascade(NotInOneCall):
    """More objects refer to the deleted ones than one call deletes.

    deleted: what was deleted all the same, by model: on a cluster, in other partitions.
    """

    def __init__(self) -> None:
        super().__init__()
        self.deleted: Mapping[str, int] = {}


class ReplacementsWanted(Exception):
    """A deletion sets foreign keys to values that the client computes; nothing has changed. It is sent again with them.

    names: of each of these foreign keys the key of its model and the name of its column.
    """

    def __init__(self, names: Sequence[Sequence[str]]) -> None:
        super().__init__()
        self.names = wanted_names(names)


def wanted_names(names: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    """The foreign keys of the refusal `wanted`."""
    return [(str(model), str(column)) for model, column in names]


class HasSchema(Protocol):
    """Anything that belongs to a model."""

    @property
    def schema(self) -> Schema:
        """The model's schema."""
        ...


def unpack(reply: bytes) -> list[Any]:
    """The answer of a script. Texts that are no UTF-8 are shown with escapes."""
    try:
        return _decode(reply)
    except (UnicodeDecodeError, msgspec.DecodeError):
        return [_readable(item) for item in _decode_raw(reply)]


def _readable(raw: msgspec.Raw) -> Any:
    data = bytes(raw)
    try:
        return _decode(data)
    except (UnicodeDecodeError, msgspec.DecodeError):
        if data[0] & 0xF0 == 0x90 or data[0] in (0xDC, 0xDD):
            return [_readable(item) for item in _decode_raw(raw)]
        header = 1 if data[0] < 0xC0 else {0xD9: 2, 0xDA: 3, 0xDB: 5}.get(data[0], 1)
        return data[header:].decode("utf-8", "backslashreplace")


def answer_of(reply: Any, mutations: Sequence[HasSchema] = ()) -> list[Any]:
    """The answer of a script without its leading 'ok'. Raises the exception that a refusal stands for.

    reply: packed, or unpacked as a unit of work gives it.
    mutations: those of the call, in their order: a refusal names one by its number.
    """
    answer: list[Any] = unpack(reply) if isinstance(reply, bytes) else reply
    if answer[0] != "ok":
        raise_outcome(answer, mutations)
    return answer[1:]


def raise_refusal(reply: bytes) -> NoReturn:
    """Raises the exception that a packed refusal stands for, of a script that answers with rows otherwise."""
    raise_outcome(unpack(reply), ())


def raise_outcome(reply: Sequence[Any], mutations: Sequence[HasSchema]) -> NoReturn:
    """Raises the error of a script's refusal; reply is (outcome, number of the mutation, details...)."""
    outcome, *details = reply
    if outcome == "wrongtype":
        raise _wrong_type(*details)
    if outcome == "counter":
        raise _bad_counter(*details)
    if outcome == "declaration":
        raise _bad_declaration(*details)
    if outcome == "index-kind":
        raise _unknown_index(*details)
    number, *details = details
    raise _OUTCOMES[outcome](mutations[int(number) - 1].schema, *details)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."


def _wrong_type(key: str, found: str) -> StoredDataError:
    return StoredDataError(
        f"the key {key!r} holds a {found}, written by something else than ormis; rename or delete it", key=key
    )


def _bad_counter(key: str, found: str) -> StoredDataError:
    return StoredDataError(
        f"the key {key!r} holds {_shown(found)}, which is no count of keys: ormis.check(repair=True) mends it", key=key
    )


def _bad_declaration(key: str, model: str) -> StoredDataError:
    return StoredDataError(
        f"the field {model!r} of the key {key!r} is no declaration of a model: ormis.check(repair=True) and then "
        f"ormis.reindex() make it again",
        key=key,
        field=model,
    )


def _unknown_index(key: str, model: str, definition: str) -> StoredDataError:
    return StoredDataError(
        f"the model {model!r} has an index {definition!r} of a kind that is not known here: another client declared it",
        key=key,
        field=model,
    )


def _missing(schema: Schema, _key: str, pk: str) -> Exception:
    return schema.does_not_exist(
        f"{schema.name} with {schema.pk.name}={_shown(pk)} is not in the database (any more): nothing was saved; "
        f"save(force_insert=True) stores it again"
    )


def _meant(schema: Schema, key: str) -> Schema:
    """The model of this key: a deletion of objects of one model may change those of another."""
    return schema if schema.key == key else registry.schema_for(key)


def _unique(schema: Schema, key: str, fields: str, value: str, holder: str) -> UniqueViolation:
    schema = _meant(schema, key)
    return UniqueViolation(
        f"{schema.name} with {fields}={_shown(value)} exists already: {schema.key}:{holder}",
        model=schema.name,
        field=fields,
        value=value,
    )


def _reference(
    schema: Schema, key: str, field: str, value: str, target: str, to_field: str | bool
) -> ForeignKeyViolation:
    schema = _meant(schema, key)
    meant = f"the {target} with {to_field}={_shown(value)}" if to_field else f"{target}:{value}"
    return ForeignKeyViolation(
        f"{schema.name}.{field}={_shown(value)} points at {meant}, which does not exist",
        model=schema.name,
        field=field,
        value=value,
    )


def _referred(schema: Schema, key: str, field: str, value: str, objects: list[str]) -> ForeignKeyViolation:
    schema = _meant(schema, key)
    return ForeignKeyViolation(
        f"{schema.name}.{field}={_shown(value)} can't be changed: {_standing(objects)} by this value; "
        f"change or delete them first, or in the same atomic() block",
        model=schema.name,
        field=field,
        value=value,
    )


def _wanted(_schema: Schema, names: Sequence[Sequence[str]]) -> ReplacementsWanted:
    return ReplacementsWanted(names)


def _link(schema: Schema, _key: str, name: str, target: str, pk: str) -> ForeignKeyViolation:
    return ForeignKeyViolation(
        f"{schema.name}.{name}: {target}:{pk} does not exist (any more), so it has no links; nothing was changed",
        model=schema.name,
        field=name,
        value=pk,
    )


def _changed(schema: Schema, _key: str, pk: str, field: str, expected: Any, found: Any) -> ConflictError:
    return ConflictError(
        f"{schema.name}.{field} of {schema.key}:{pk} was {_shown(expected or None)} when it was loaded and is "
        f"{_shown(found or None)} now: somebody else changed it; refresh_from_db() and try again",
        model=schema.name,
        field=field,
    )


def _inexact(_schema: Schema, _key: str, _operands: Any) -> InexactArithmetic:
    return InexactArithmetic()


def _large(_schema: Schema, _key: str) -> LargeCascade:
    return LargeCascade()


def _protected(schema: Schema, key: str, field: str, objects: list[str]) -> ProtectedError:
    return ProtectedError(
        f"{schema.name} can't be deleted: {_standing(objects)} with on_delete=PROTECT ({key}.{field}); "
        f"delete them first",
        objects=tuple(objects),
        model=registry.name_of(key),
        field=field,
        find=deferred_objects,
    )


def _restricted(schema: Schema, key: str, field: str, objects: list[str]) -> RestrictedError:
    return RestrictedError(
        f"{schema.name} can't be deleted: {_standing(objects)} with on_delete=RESTRICT ({key}.{field}) and are not "
        f"deleted with it",
        objects=tuple(objects),
        model=registry.name_of(key),
        field=field,
        find=deferred_objects,
    )


def _standing(objects: list[str]) -> str:
    more = f" and {len(objects) - 5} more" if len(objects) > 5 else ""
    return f"{', '.join(objects[:5])}{more} refer{'s' if len(objects) == 1 else ''} to it"


_OUTCOMES: dict[str, Callable[..., Exception]] = {
    "missing": _missing,
    "unique": _unique,
    "reference": _reference,
    "referred": _referred,
    "wanted": _wanted,
    "link": _link,
    "changed": _changed,
    "inexact": _inexact,
    "large": _large,
    "protected": _protected,
    "restricted": _restricted,
}
