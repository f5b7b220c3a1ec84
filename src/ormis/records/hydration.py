"""Objects made of stored rows. They were validated when they were saved, so they are not again."""

# The fields of a model are looked up once, and kept with its class.
# pyright: reportPrivateUsage=false

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from operator import itemgetter
from typing import Any, cast

import msgspec
from pydantic import BaseModel
from pydantic._internal._model_construction import init_private_attributes

from ..calls import Origin
from ..errors import StoredDataError, reason
from ..schema import registry
from ..schema.schema import KIND, Readable, Schema
from ..storage.keys import object_key
from .gc_pause import without_collector
from .state import UNKNOWN, Loaded, Wire, Wires

_Fields = tuple[list[str], list[tuple[str, Any]], list[tuple[str, Any]], set[str], Callable[[Any, Any], object], bool]
"""Of the fields: names, functions that finish their values, those that may be absent, the set of the names. Then the
function that sets the state of an object, and whether the class has a model_post_init.
"""
_new, _set = object.__new__, object.__setattr__  # past pydantic, which would look at every value
_asdict, _astuple = msgspec.structs.asdict, msgspec.structs.astuple
_set_values, _set_fields_set, _set_extra, _set_private = (
    vars(BaseModel)[name].__set__
    for name in ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
)


PAUSED_FROM = 200
"""So many objects are made with the garbage collector paused."""


def load(
    model: Any,
    rows: Sequence[Wire],
    origin: Origin,
    related: Sequence[dict[str, Any] | None] | None = None,
    read: Sequence[Readable] | None = None,
) -> list[Any]:
    """Objects of decoded rows of all columns, which may be followed by others that the query needed.

    related: the related objects to cache with each of them.
    read: the columns of the rows, if the model is of a family: each object is of its own class then.
    A field that is absent, because it was declared after the object was stored, has its default.
    Raises StoredDataError for a field that is required and absent, and for a text that does not convert.
    """
    schema = model._schema()
    if schema.kinds and (len(rows) != 1 or read not in (None, schema.columns)):
        return load_kinds(schema, rows, schema.columns if read is None else read, origin, related)
    if len(rows) == 1:
        record = load_one(model, rows[0], origin, None if related is None else related[0])
        if origin.fetching is not None and record is not None:
            origin.fetching.add([record])
        return [record]
    width = len(schema.columns)
    if rows and len(rows[0]) > width:
        rows = _cut(rows, width)
    states = zip(rows, repeat(origin), repeat(None) if related is None else related)
    if len(rows) < PAUSED_FROM:
        records = _hydrated(model, rows, states)
    else:
        with without_collector():
            records = _hydrated(model, rows, states)
    if origin.fetching is not None:
        origin.fetching.add(records)
    return _initialised(model, records)


def load_one(model: Any, row: Wire, origin: Origin, related: dict[str, Any] | None = None) -> Any:
    """The object of one row, as load(): in 1.4 us, of which the loops in C for many rows would make 5.

    None if the model is of a family, and the object of another class.
    """
    fields: _Fields | None = model.__dict__.get("__loading__")
    if fields is None and (schema := model._schema()).kinds:
        model, row = _of_kind(schema, row)
        if model is None:
            return None
        fields = model.__dict__.get("__loading_kind__")
    names, finishing, absent, fields_set, set_state, initialises = fields or _look_up(model)
    if len(row) > len(names):
        row = row[: len(names)]
    values = dict(zip(names, row))  # noqa: B905 - the keyword takes as long as the rest; a row has all columns
    for name, finish in finishing:
        _finish(model, name, finish, (values,))
    if None in row:
        _fill(model, (values,), absent)
    record = _new(model)
    _set_values(record, values)
    _set_fields_set(record, fields_set)
    _set_extra(record, None)
    _set_private(record, None)
    set_state(record, (row, origin, related))
    if initialises:
        record.model_post_init(None)
    return record


def load_whole(model: Any, whole: msgspec.Struct, origin: Origin) -> Any:
    """The object of one row of RowDecoder.whole_row(), of a model that is of no family: in half the time of load_one(),
    since msgspec makes the dict, and no value is absent that must be there.
    """
    fields: _Fields | None = model.__dict__.get("__loading__")
    _, finishing, _, fields_set, set_state, initialises = fields or _look_up(model)
    values = _asdict(whole)
    for name, finish in finishing:
        _finish(model, name, finish, (values,))
    record = _new(model)
    _set_values(record, values)
    _set_fields_set(record, fields_set)
    _set_extra(record, None)
    _set_private(record, None)
    set_state(record, (_astuple(whole), origin, None))
    if initialises:
        record.model_post_init(None)
    return record


def _cut(rows: Sequence[Wire], width: int) -> Sequence[Wire]:
    """The first columns of rows, which are all that the state of an object holds."""
    cut = Wires(map(itemgetter(slice(width)), rows))
    cut.whole = rows.whole if isinstance(rows, Wires) else None
    return cut


def load_partly(model: Any, rows: Sequence[Wire], read: Sequence[Readable], origin: Origin) -> list[Any]:
    """Objects of rows of some columns only; the others are loaded when they are first used."""
    read = read[: len(rows[0])] if rows else read  # of keys the rest was dropped
    if model._schema().kinds:
        return load_kinds(model._schema(), rows, read, origin)
    columns = model._schema().columns
    at = [next((i for i, one in enumerate(read) if one is column), None) for column in columns]
    if None not in at:
        return load(model, [tuple(row[i] for i in at if i is not None) for row in rows], origin)
    missing = [column.name for column, i in zip(columns, at, strict=True) if i is None]
    records = _partly(model, rows, at, missing, zip(repeat(origin), repeat(None)))
    if origin.fetching is not None:
        origin.fetching.add(records)
    return records


def _partly(
    model: Any,
    rows: Sequence[Wire],
    at: Sequence[int | None],
    missing: Sequence[str],
    states: Iterable[tuple[Origin, dict[str, Any] | None]],
) -> list[Any]:
    """Objects of rows that have their columns at these places, and lack those with these names."""
    padded = [tuple(UNKNOWN if i is None else row[i] for i in at) for row in rows]
    loaded = ((row, origin, related) for row, (origin, related) in zip(padded, states, strict=False))
    records = _hydrated(model, padded, loaded)
    for record in records:
        for name in missing:
            del record.__dict__[name]
        _set(record, "__pydantic_fields_set__", set(record.__dict__))
    return _initialised(model, records)


def load_kinds(
    schema: Schema,
    rows: Sequence[Wire],
    read: Sequence[Readable],
    origin: Origin,
    related: Sequence[dict[str, Any] | None] | None = None,
) -> list[Any]:
    """Objects of a family, each of its own class, of rows of these columns; partly loaded ones if some are missing.

    None in the place of an object that is not of this model. Raises StoredDataError for a kind that no class has.
    Of rows without the kind, which no query reads, objects of this very model are made.
    """
    names = [column.name for column in read]
    places: dict[str, list[int]] = {}
    if KIND in names:
        at, kind_of_root = names.index(KIND), schema.stored.kinds[0]
        for i, row in enumerate(rows):
            places.setdefault(row[at] or kind_of_root, []).append(i)
    elif rows:
        places[schema.kinds[0]] = [*range(len(rows))]
    records: list[Any] = [None] * len(rows)
    for kind, own in places.items():
        model = registry.model_of_kind(schema, kind)
        if model is None:
            raise _unknown_kind(schema, kind, rows[own[0]][names.index(schema.pk.name)])
        if not issubclass(model, registry.model_for(schema.label)):
            continue
        some = rows if len(own) == len(rows) else [rows[i] for i in own]
        others = repeat(None) if related is None else [related[i] for i in own]
        made = _load_kind(model, schema, some, names, zip(repeat(origin), others))
        for i, record in zip(own, made, strict=True):
            records[i] = record
    if origin.fetching is not None:
        origin.fetching.add(record for record in records if record is not None)
    return records


def _load_kind(
    model: Any,
    schema: Schema,
    rows: Sequence[Wire],
    names: Sequence[str],
    states: Iterable[tuple[Origin, dict[str, Any] | None]],
) -> list[Any]:
    """Objects of one class of a family."""
    wanted = model.__schema__.own_names
    at = [names.index(name) if name in names else None for name in wanted]
    if None in at:
        return _partly(model, rows, at, [name for name, i in zip(wanted, at, strict=True) if i is None], states)
    if at != [*range(len(rows[0]))]:
        rows = [*map(itemgetter(*cast("list[int]", at)), rows)]
    elif model.__schema__ is not schema:  # the rows are known to have what that model needs
        rows = [*rows]
    loaded = ((row, origin, related) for row, (origin, related) in zip(rows, states, strict=False))
    if len(rows) < PAUSED_FROM:
        return _initialised(model, _hydrated(model, rows, loaded))
    with without_collector():
        records = _hydrated(model, rows, loaded)
    return _initialised(model, records)


def _of_kind(schema: Schema, row: Wire) -> tuple[Any, Wire]:
    """The class of the object of a row of all columns, and the row of its own; None if it is not of this model."""
    kind = row[schema.kind.place] or schema.stored.kinds[0]
    known = schema.rows_of_kinds.get(kind)
    if known is None:
        model = registry.model_of_kind(schema, kind)
        if model is None:
            raise _unknown_kind(schema, kind, row[0])
        if not issubclass(model, registry.model_for(schema.label)):
            return None, row
        names = [*schema.by_name]
        known = schema.rows_of_kinds[kind] = model, itemgetter(*map(names.index, model.__schema__.own_names))
    return known[0], known[1](row)


def _unknown_kind(schema: Schema, kind: str, pk: Any) -> StoredDataError:
    key = object_key(schema.key, str(schema.pk.codec.encode(pk)))
    known = ", ".join(map(repr, schema.kinds))
    return StoredDataError(
        f"{schema.name}.{KIND} of the key {key!r} is {kind!r}: no subclass of this kind is declared here, there are "
        f"{known}: import the module that declares it",
        key=key,
        field=KIND,
    )


def has_post_init(model: Any) -> bool:
    """Whether the class defines model_post_init, which may use every field: then none is left to be loaded later."""
    return bool(model.__pydantic_post_init__) and model.model_post_init is not init_private_attributes


def validated(record: Any, name: str, value: Any) -> Any:
    """The value as the field `name` of this object would hold it. Raises ValidationError."""
    probe: Any = record.model_copy()
    BaseModel.__setattr__(probe, name, value)
    return probe.__dict__[name]


def _hydrated(model: Any, rows: Sequence[Wire], states: Iterable[Loaded]) -> list[Any]:
    """The loops over all objects run in C: of whole rows objects are made in 1.1 us each, else in 1.8."""
    fields: _Fields | None = model.__dict__.get("__loading__") or model.__dict__.get("__loading_kind__")
    names, finishing, absent, fields_set, set_state, _ = fields or _look_up(model)
    values: list[dict[str, Any]]
    whole = rows.whole if isinstance(rows, Wires) else None
    if whole and whole[0].__struct_fields__[: len(names)] == (*names,):
        values = [*map(_asdict, whole)]
        for name in whole[0].__struct_fields__[len(names) :]:
            deque(map(dict[str, Any].__delitem__, values, repeat(name)), maxlen=0)
    else:
        values = [*map(dict, map(zip, repeat(names), rows))]
    for name, finish in finishing:
        _finish(model, name, finish, values)
    if whole is None:
        _fill(model, values, absent)
    records = [*map(_new, repeat(model, len(rows)))]
    slots: tuple[tuple[Callable[[Any, Any], object], Iterable[Any]], ...] = (
        (_set_values, values),
        (_set_fields_set, repeat(fields_set)),
        (_set_extra, repeat(None)),
        (_set_private, repeat(None)),
        (set_state, states),
    )
    for set_slot, contents in slots:
        done: Iterable[object] = map(set_slot, records, contents)
        deque(done, maxlen=0)
    return records


def _initialised(model: Any, records: list[Any]) -> list[Any]:
    """The objects with their private attributes, after model_post_init, where their class has either."""
    if model.__pydantic_post_init__:
        for record in records:
            record.model_post_init(None)
    return records


def _fill(model: Any, values: Sequence[dict[str, Any]], absent: list[tuple[str, Any]]) -> None:
    """Sets the defaults of absent values."""
    for one in values:
        for name, info in absent:
            if one[name] is None:
                if info.is_required():
                    raise _absent(model, name, one)
                one[name] = info.get_default(call_default_factory=True, validated_data=one)


def _look_up(model: Any) -> _Fields:
    """The data needed of each field. All objects share the set of their names: pydantic only adds to it."""
    columns = model._schema().own
    names = [column.name for column in columns]
    finishing = [(column.name, column.codec.finish) for column in columns if column.codec.finish is not None]
    absent = [(column.name, model.model_fields[column.name]) for column in columns[1:] if not column.nullable]
    initialises = bool(model.__pydantic_post_init__)
    fields = (names, finishing, absent, set(names), model.__state__.__set__, initialises)
    if model.__schema__.kinds:  # load_one() is to find the class of each row
        model.__loading_kind__ = fields
    else:
        model.__loading__ = fields
    return fields


def _finish(model: Any, name: str, finish: Callable[[Any], Any], values: Sequence[dict[str, Any]]) -> None:
    one: dict[str, Any] = {}
    try:
        for one in values:
            wire = one[name]
            if wire is not None and wire is not UNKNOWN:
                one[name] = finish(wire)
    except ValueError as error:
        raise _unreadable(model, name, one, error) from None


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
