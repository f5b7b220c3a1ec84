"""Counts that one command on an index answers, for lua/lib/glance.lua.

A script makes all its functions anew in every call, which costs more than such a count does: so it is asked for apart.
"""

from collections.abc import Sequence
from typing import Any

from .nodes import Compare, Constant, Join, Node
from .schema import Column, IndexSpec, Schema

_SCORED = frozenset(["int", "float", "date", "datetime", "time", "timedelta"])
_EQUAL = frozenset(["int", "text", "bool", "uuid", "date"])
"""Kinds of which equal values have equal texts."""
_LOW = {"gt": True, "gte": False}
_HIGH = {"lt": True, "lte": False}


def glance(schema: Schema, where: Node) -> list[Any] | None:
    """What the script should look at to count the objects that meet the condition; None where it has to search.

    Objects that end are a matter for the search: what is left of expired ones has to be cleared away.
    """
    if schema.ttl is not None:
        return None
    parts = _comparisons(where)
    if not parts:
        return None if parts is None else [schema.key, "ZCARD"]
    equal = {part.column: part for part in parts if part.operator == "eq" and part.column.codec.kind in _EQUAL}
    names = {part.column for part in parts}
    for index in schema.indexes:
        if len(index.columns) == len(names) and index.last in names:
            found = _by_index(schema, index, parts, equal)
            if found is not None:
                return found
    return None


def _comparisons(where: Node) -> Sequence[Compare] | None:
    """The comparisons that all have to hold; None where there is something else."""
    if isinstance(where, Constant):
        return () if where.value else None
    parts = where.parts if isinstance(where, Join) and where.connector == "and" else (where,)
    compared = [part for part in parts if isinstance(part, Compare)]
    return compared if len(compared) == len(parts) else None


def _by_index(
    schema: Schema, index: IndexSpec, parts: Sequence[Compare], equal: dict[Column, Compare]
) -> list[Any] | None:
    *before, last = index.columns
    if any(column not in equal for column in before):
        return None
    rest = [part for part in parts if part.column not in before]
    if len(parts) - len(rest) != len(before) or any(part.column is not last for part in rest):
        return None
    prefix = [item for column in before for item in (column.name, _text(equal[column]))]
    if index.type == "equal":
        ok = len(rest) == 1 and last in equal
        return [schema.key, "SCARD", last.name, _text(rest[0]), *prefix] if ok else None
    bounds = _bounds(rest) if index.type == "sorted" and last.codec.kind in _SCORED else None
    return None if bounds is None else [schema.key, "ZCOUNT", last.name, last.codec.kind, *bounds, *prefix]


def _bounds(parts: Sequence[Compare]) -> list[Any] | None:
    """{low, whether it is left out, high, whether it is left out}; None where they are not of that form."""
    low: list[Any] = [False, False]
    high: list[Any] = [False, False]
    for part in parts:
        if part.operator == "eq" and len(parts) == 1:
            low = high = [_text(part), False]
        elif part.operator in _LOW and low[0] is False:
            low = [_text(part), _LOW[part.operator]]
        elif part.operator in _HIGH and high[0] is False:
            high = [_text(part), _HIGH[part.operator]]
        else:
            return None
    return [*low, *high] if parts else None


def _text(part: Compare) -> Any:
    return part.column.codec.encode(part.values[0])
