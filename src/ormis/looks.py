"""What indexes alone answer: a query as looks at indexes, for the short way of the script `query`, lua/lib/looks.lua.

A script makes all its functions anew in every call, which costs as much as reading forty objects does: so what the
common queries need stands before all the rest, and which indexes they need is found out here.
"""

from collections.abc import Sequence
from typing import Any

from .nodes import Compare, Constant, Join, Node
from .schema import Column, IndexSpec, Schema

Look = list[Any]
"""{command, field, {field before it, number of its comparison, ...}, number of a comparison, ...}; the command, SCARD
or ZCOUNT, says how many there are."""

_SCORED = frozenset(["int", "float", "date", "datetime", "time", "timedelta"])
_EQUAL = frozenset(["int", "text", "bool", "uuid", "date"])
"""Kinds of which equal values have equal texts."""
_LOW = frozenset(["gt", "gte"])
_HIGH = frozenset(["lt", "lte"])


def looks(schema: Schema, where: Node, order: Column | None = None) -> dict[str, Any] | None:
    """The looks that settle the whole condition; with an order, `walk` is the number of the one that has it.

    None where the script has to search. Objects that end are a matter for the search: what is left of expired ones has
    to be cleared away.
    """
    parts = _comparisons(where)
    if schema.ttl is not None or parts is None:
        return None
    left = dict(enumerate(parts, 1))
    found: list[Look] = []
    for index in sorted(schema.indexes, key=lambda index: -len(index.columns)):
        look, used = _look(index, left)
        if look is not None:
            found.append(look)
            left = {number: part for number, part in left.items() if number not in used}
    if left:
        return None
    asked = {"model": schema.key, "looks": found}
    if order is None:
        return asked
    walk = _walk(schema, found, order)
    return None if walk is None else asked | {"walk": walk}


def _comparisons(where: Node) -> Sequence[Compare] | None:
    """The comparisons that all have to hold; None where there is something else."""
    if isinstance(where, Constant):
        return () if where.value else None
    parts = where.parts if isinstance(where, Join) and where.connector == "and" else (where,)
    compared = [part for part in parts if isinstance(part, Compare)]
    return compared if len(compared) == len(parts) else None


def _look(index: IndexSpec, parts: dict[int, Compare]) -> tuple[Look | None, set[int]]:
    """How an index settles some of the comparisons, and which; None where it does not."""
    *before, last = index.columns
    equal = {part.column: n for n, part in parts.items() if part.operator == "eq" and part.column.codec.kind in _EQUAL}
    about = [n for n, part in parts.items() if part.column is last]
    prefix: list[Any] = []
    for column in before:
        if column not in equal or sum(part.column is column for part in parts.values()) > 1:
            return None, set()
        prefix += [column.name, equal[column]]
    if index.type == "equal":
        fits, command = len(about) == 1 and last in equal, "SCARD"
    else:
        fits, command = index.type == "sorted" and _is_stretch(last, [parts[n].operator for n in about]), "ZCOUNT"
    return ([command, last.name, prefix, *about], {*about, *prefix[1::2]}) if fits else (None, set())


def _is_stretch(column: Column, operators: list[str]) -> bool:
    """Whether the comparisons are one stretch of a sorted index: one value, or a bound at one end or at both."""
    low, high = sum(name in _LOW for name in operators), sum(name in _HIGH for name in operators)
    bounded = low <= 1 and high <= 1 and low + high == len(operators) > 0
    return column.codec.kind in _SCORED and (bounded or operators == ["eq"])


def _walk(schema: Schema, found: list[Look], order: Column) -> int | None:
    """The number of the look whose index has this order: one of those found, or one more, at all of an index."""
    if order.codec.kind not in _SCORED or order.codec.kind == "float":  # NaN is in no index
        return None
    number = next((n for n, look in enumerate(found, 1) if look[0] == "ZCOUNT" and look[1] == order.name), None)
    own = schema.index_of.get(order)
    if number is None and own is not None and own.type == "sorted" and not order.nullable:
        found.append(["ZCOUNT", order.name, []])
        return len(found)
    return number
