"""What indexes alone answer: a query as looks at indexes, for the fast path of `query`, lua/read/index_probes.lua.

A script makes all its functions anew in every call, which costs as much as reading forty objects does: so what the
common queries need stands before all the rest, and which indexes they need is found out here.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..schema.schema import Column, IndexSpec, Schema, UniqueSpec
from .predicates import BoolOp, Compare, Constant, Node

_SCORED = frozenset(["int", "float", "date", "datetime", "time", "timedelta"])
_EQUAL = frozenset(["int", "text", "bool", "uuid", "date"])
"""Kinds of which equal values have equal texts."""
_LOW = {"gt": True, "gte": False}
_HIGH = {"lt": True, "lte": False}


@dataclass(frozen=True, slots=True)
class IndexProbe:
    """A look at one index that settles some comparisons: `packed` as the script reads it."""

    column: Column
    packed: list[Any]
    settles: tuple[Compare, ...]

    @property
    def is_stretch(self) -> bool:
        """Whether it is at a stretch of a sorted index."""
        return self.packed[0] == "ZCOUNT"


def index_probes(schema: Schema, where: Node) -> list[IndexProbe] | None:
    """The looks that settle the whole condition, none where every object meets it.

    None where the script has to search. Objects that end are a matter for the search: what is left of expired ones has
    to be cleared away.
    """
    left = _comparisons(where)
    if schema.ttl is not None or left is None:
        return None
    found: list[IndexProbe] = []
    for way in _ways(schema):
        look = way(left)
        if look is not None:
            found.append(look)
            left = [part for part in left if not any(part is settled for settled in look.settles)]
    return None if left else found


def in_order(schema: Schema, found: list[IndexProbe], order: Column) -> tuple[list[IndexProbe], int] | None:
    """The looks, and which of them, from 1, is at an index with this order; one more where it is at all of one."""
    if order.codec.kind not in _SCORED or order.codec.kind == "float":  # NaN is in no index
        return None
    for number, look in enumerate(found, 1):
        if look.is_stretch and look.column is order:
            return found, number
    own = schema.index_of.get(order)
    if own is None or own.type != "sorted" or order.nullable:
        return None
    return [*found, IndexProbe(order, _stretch(order, [False] * 4), ())], len(found) + 1


def _comparisons(where: Node) -> Sequence[Compare] | None:
    """The comparisons that all have to hold; None where there is something else."""
    if isinstance(where, Constant):
        return () if where.value else None
    parts = where.parts if isinstance(where, BoolOp) and where.connector == "and" else (where,)
    compared = [part for part in parts if isinstance(part, Compare)]
    return compared if len(compared) == len(parts) else None


def _ways(schema: Schema) -> Iterator[Callable[[Sequence[Compare]], IndexProbe | None]]:
    """From those that leave the fewest objects to those that leave the most; of indexes, with more fields first."""
    yield partial(_key, schema.pk)
    for unique in schema.unique:
        yield partial(_claim, unique)
    for index in sorted(schema.indexes, key=lambda index: -len(index.columns)):
        yield partial(_look, index)


def _key(pk: Column, parts: Sequence[Compare]) -> IndexProbe | None:
    own = _equality(pk, parts)
    return None if own is None else IndexProbe(pk, ["EXISTS", pk.name, own.texts[0]], (own,))


def _claim(unique: UniqueSpec, parts: Sequence[Compare]) -> IndexProbe | None:
    own = _equality(unique.columns[0], parts) if len(unique.columns) == 1 else None
    return None if own is None else IndexProbe(own.column, ["HGET", unique.name, own.texts[0]], (own,))


def _look(index: IndexSpec, parts: Sequence[Compare]) -> IndexProbe | None:
    """How an index settles some of the comparisons; None where it does not."""
    *before, last = index.columns
    prefix = [_equality(column, parts) for column in before]
    about = [part for part in parts if part.column is last]
    if not about or not all(prefix):
        return None
    if index.type == "equal":
        own = _equality(last, parts)
        packed = None if own is None else ["SCARD", last.name, own.texts[0]]
    else:
        bounds = _bounds(about) if index.type == "sorted" and last.codec.kind in _SCORED else None
        packed = None if bounds is None else _stretch(last, bounds)
    if packed is None:
        return None
    named = [item for part in prefix if part is not None for item in (part.column.name, part.texts[0])]
    return IndexProbe(last, packed + named, (*about, *(part for part in prefix if part is not None)))


def _equality(column: Column, parts: Sequence[Compare]) -> Compare | None:
    """The comparison of a column, where there is one, and it is an equality that a text can tell."""
    about = [part for part in parts if part.column is column]
    alone = len(about) == 1 and about[0].operator == "eq" and column.codec.kind in _EQUAL
    return about[0] if alone else None


def _stretch(column: Column, bounds: list[Any]) -> list[Any]:
    return ["ZCOUNT", column.name, column.codec.kind, *bounds]


def _bounds(parts: Sequence[Compare]) -> list[Any] | None:
    """{low, whether it is left out, high, whether it is left out}; None where they are not of that form."""
    low: list[Any] = [False, False]
    high: list[Any] = [False, False]
    for part in parts:
        if part.operator == "eq" and len(parts) == 1:
            low = high = [part.texts[0], False]
        elif part.operator in _LOW and low[0] is False:
            low = [part.texts[0], _LOW[part.operator]]
        elif part.operator in _HIGH and high[0] is False:
            high = [part.texts[0], _HIGH[part.operator]]
        else:
            return None
    return [*low, *high]
