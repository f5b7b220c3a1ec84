"""What a database holds, in numbers. Touched, read only: `ormis/models`, `model/ids`, MEMORY USAGE of some objects."""

from collections.abc import Sequence
from typing import Any

import msgspec

from ..calls import Command, Operation
from ..keys import MODELS, ids_key, object_key
from ..reports import IndexState, ModelState
from ..schema import Schema
from .checking import shown

SAMPLE = 20


def inspect(schemas: Sequence[Schema], tag: str = "") -> Operation[list[ModelState]]:
    """The state of these models, and of those that the database knows beside them."""
    names: list[bytes] = yield Command(("HKEYS", MODELS))
    known: dict[str, dict[str, Any]] = {}
    for name in names:
        known[name.decode()] = msgspec.json.decode((yield Command(("HGET", MODELS, name))))
    states: list[ModelState] = []
    for schema in schemas:
        declared = msgspec.json.decode(schema.declaration)
        kept = known.pop(schema.key, {})
        states.append((yield from _state(schema.name, schema.key, _indexes(declared, kept), True, tag)))
    for key, kept in known.items():
        states.append((yield from _state(key, key, _indexes({}, kept), False, tag)))
    return states


def _state(name: str, key: str, indexes: tuple[IndexState, ...], declared: bool, tag: str) -> Operation[ModelState]:
    objects = yield Command(("ZCARD", tag + ids_key(key)))
    sizes: list[int] = []
    for rank in sorted({objects * i // SAMPLE for i in range(SAMPLE)}) if objects else ():
        pks = yield Command(("ZRANGE", tag + ids_key(key), rank, rank))
        size = (yield Command(("MEMORY", "USAGE", tag + object_key(key, pks[0].decode())))) if pks else None
        sizes += [size] if size else []
    return ModelState(name, key, objects, sum(sizes) / len(sizes) if sizes else None, indexes, declared)


def _indexes(declared: dict[str, Any], stored: dict[str, Any]) -> tuple[IndexState, ...]:
    wanted, kept = _definitions(declared), _definitions(stored)
    incomplete: Sequence[str] = stored.get("incomplete") or ()
    states: list[IndexState] = []
    for definition in dict.fromkeys((*wanted, *kept)):
        if definition not in wanted:
            states.append(IndexState(shown(definition), "undeclared"))
        else:
            complete = definition in kept and definition not in incomplete
            states.append(IndexState(shown(definition), "complete" if complete else "incomplete"))
    return tuple(states)


def _definitions(declaration: dict[str, Any]) -> list[str]:
    return [f"{part} {definition}" for part in ("indexes", "unique") for definition in declaration.get(part) or ()]
