"""Objects made from stored rows. They were validated on their way in, so they are not again; texts are converted."""

# The fields of a model are looked up once, and kept with its class.
# pyright: reportPrivateUsage=false

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Any

import msgspec
from pydantic import BaseModel

from ..calls import Runner
from ..errors import StoredDataError, reason
from ..schema.schema import Readable
from ..storage.keys import object_key
from .gc_pause import without_collector
from .state import DEFERRED, Wire, Wires

_Fields = tuple[list[str], list[tuple[str, Any]], list[tuple[str, Any]], set[str]]
_new, _set = object.__new__, object.__setattr__  # past pydantic, which would look at every value
_set_values, _set_fields_set, _set_extra, _set_private = (
    vars(BaseModel)[name].__set__
    for name in ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
)


MANY = 200
"""Objects for which it is worth while to pause the garbage collector."""


def load(
    model: Any,
    rows: Sequence[Wire],
    database: Runner,
    asynchronous: bool,
    related: Sequence[dict[str, Any] | None] | None = None,
) -> list[Any]:
    """Objects of decoded rows of all columns.

    related: the related objects that each of them knows of from the beginning.
    A field that is absent, because it was declared after the object was stored, has its default.
    Raises StoredDataError for a field that is required and absent, and for a text that does not convert.
    """
    states = zip(rows, repeat(database), repeat(asynchronous))
    if related is not None:
        states = zip(rows, repeat(database), repeat(asynchronous), repeat(None), related)
    if len(rows) < MANY:
        return _made(model, rows, states)
    with without_collector():
        return _made(model, rows, states)


def load_partly(
    model: Any, rows: Sequence[Wire], cells: Sequence[Readable], database: Runner, asynchronous: bool
) -> list[Any]:
    """Objects of rows of some columns only; the others are loaded when they are first used."""
    columns = model._schema().columns
    at = [next((i for i, found in enumerate(cells) if found is column), None) for column in columns]
    missing = [column.name for column, i in zip(columns, at, strict=True) if i is None]
    if not missing:
        return load(model, [tuple(row[i] for i in at if i is not None) for row in rows], database, asynchronous)
    whole = [tuple(DEFERRED if i is None else row[i] for i in at) for row in rows]
    records = load(model, whole, database, asynchronous)
    for record in records:
        for name in missing:
            del record.__dict__[name]
        _set(record, "__pydantic_fields_set__", set(record.__dict__))
    return records


def _made(model: Any, rows: Sequence[Wire], states: Iterable[tuple[Any, ...]]) -> list[Any]:
    """What is done to all is done in C: of whole rows objects are made in 1.1 us each, else in 1.8."""
    kept: _Fields | None = model.__dict__.get("__loading__")
    names, finishing, absent, fields_set = kept or _look_up(model)
    whole = rows.whole if isinstance(rows, Wires) else None
    values = _values(names, rows, whole)
    for name, finish in finishing:
        for one in values:
            if one[name] is not None and one[name] is not DEFERRED:
                one[name] = _finished(model, name, finish, one)
    if whole is None:
        _fill(model, values, absent)
    records = [*map(_new, repeat(model, len(rows)))]
    _each(_set_values, records, values)
    _each(_set_fields_set, records, repeat(fields_set))
    _each(_set_extra, records, repeat(None))
    _each(_set_private, records, repeat(None))
    _each(model.__state__.__set__, records, states)
    return records


def _values(names: list[str], rows: Sequence[Wire], whole: list[Any] | None) -> list[dict[str, Any]]:
    if whole and len(whole[0].__struct_fields__) == len(names):
        return [*map(msgspec.structs.asdict, whole)]
    return [*map(dict, map(zip, repeat(names), rows))]


def _fill(model: Any, values: list[dict[str, Any]], absent: list[tuple[str, Any]]) -> None:
    """Gives what is absent its default."""
    for one in values:
        for name, info in absent:
            if one[name] is None:
                if info.is_required():
                    raise _absent(model, name, one)
                one[name] = info.get_default(call_default_factory=True, validated_data=one)


def _each(change: Callable[[Any, Any], None], records: list[Any], values: Iterable[Any]) -> None:
    deque(map(change, records, values), maxlen=0)


def _look_up(model: Any) -> _Fields:
    """What is needed of each field. The set of their names is one for all objects: pydantic only adds to it."""
    columns = model._schema().columns
    names = [column.name for column in columns]
    finishing = [(column.name, column.codec.finish) for column in columns if column.codec.finish is not None]
    absent = [(column.name, model.model_fields[column.name]) for column in columns[1:] if not column.nullable]
    fields = (names, finishing, absent, set(names))
    model.__loading__ = fields
    return fields


def _finished(model: Any, name: str, finish: Callable[[Any], Any], values: dict[str, Any]) -> Any:
    try:
        return finish(values[name])
    except ValueError as error:
        raise _unreadable(model, name, values, error) from None


def _unreadable(model: Any, name: str, values: dict[str, Any], error: ValueError) -> StoredDataError:
    key = object_key(model.__key__, str(values[model._schema().pk.name]))
    return StoredDataError(
        f"{model.__name__}.{name} of the key {key!r} holds {values[name]!r}, which does not convert: {reason(error)}; "
        f"correct it with HSET, or delete the field",
        key=key,
        field=name,
    )


def _absent(model: Any, name: str, values: dict[str, Any]) -> StoredDataError:
    key = object_key(model.__key__, str(values[model._schema().pk.name]))
    return StoredDataError(
        f"{model.__name__}.{name} is required, and the key {key!r} has no field {name!r}; give it one with HSET",
        key=key,
        field=name,
    )
