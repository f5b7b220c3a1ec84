"""inspect(): the contents of a database in numbers. Reads `ormis/models`, `ormis/columns`, `model/ids`, MEMORY USAGE of
some objects.
"""

from collections.abc import Sequence

import msgspec
from redis.exceptions import ResponseError

from ...calls import Command, Operation
from ...reports import IndexState, ModelState
from ...schema.schema import Schema
from ...storage.keys import COLUMNS, MODELS, ids_key, object_key
from ..reading.get import wrong_type
from .declarations import declaration, definitions, incomplete, shown
from .drift import drift, stored_kinds


def inspect(schemas: Sequence[Schema], sampled: int) -> Operation[list[ModelState]]:
    """The state of these models, and of those that the database knows beside them.

    sampled: how many objects of each are asked for their memory.
    """
    names: list[bytes] = yield Command(("HKEYS", MODELS))
    stored: dict[str, bytes] = {}
    for name in names:
        stored[name.decode()] = yield Command(("HGET", MODELS, name))
    states: list[ModelState] = []
    for schema in schemas:
        kept = stored.pop(schema.key, None)
        states.append((yield from _state(schema.name, schema.key, schema, kept, sampled)))
    for key, kept in stored.items():
        states.append((yield from _state(key, key, None, kept, sampled)))
    return states


def _state(name: str, key: str, schema: Schema | None, stored: bytes | None, sampled: int) -> Operation[ModelState]:
    try:
        objects: int = yield Command(("ZCARD", ids_key(key)))
    except ResponseError as error:
        raise wrong_type(error, ids_key(key)) from None
    sizes: list[int] = []
    for rank in sorted({objects * i // sampled for i in range(sampled)}) if objects else ():
        pks: list[bytes] = yield Command(("ZRANGE", ids_key(key), rank, rank))
        for pk in pks:
            size = yield Command(("MEMORY", "USAGE", object_key(key, "").encode() + pk), key=2)
            sizes += [size] if size else []
    indexes = _indexes(schema, stored, objects > 0)
    memory = sum(sizes) / len(sizes) if sizes else None
    cached = schema is not None and bool(schema.cache)
    found = () if schema is None else tuple(drift(schema, stored_kinds((yield Command(("HGET", COLUMNS, key))))))
    return ModelState(name, key, objects, memory, indexes, schema is not None, cached, found)


def _indexes(schema: Schema | None, stored: bytes | None, populated: bool) -> tuple[IndexState, ...]:
    kept = definitions(declaration(stored))
    declared = definitions(msgspec.json.decode(schema.declaration)) if schema else []
    waiting = incomplete(schema, stored) if schema and populated else []
    states = [IndexState(shown(d), "incomplete" if d in waiting else "complete") for d in declared]
    return (*states, *(IndexState(shown(d), "undeclared") for d in kept if d not in declared))
