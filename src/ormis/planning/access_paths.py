"""The index probes that can answer parts of a condition; the server takes the cheapest.

A condition is a list of conjuncts, all of which have to hold. A probe names the conjuncts that it covers by their
numbers, from 1: their values are in the conjuncts alone. See lua/read/probes.lua.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from ..schema.index_kinds import EQUAL, MEMBERS, SORTED, TEXT
from ..schema.schema import Column, IndexSpec, Schema
from .predicates import (
    BoolOp,
    Compare,
    Constant,
    ForwardMatch,
    LinkMatch,
    Member,
    Node,
    ReverseMatch,
    conjuncts,
    holds_for_nothing,
)

_BOUNDS = {"eq": "eq", "gt": "low", "gte": "low", "lt": "high", "lte": "high", "startswith": "prefix"}
_Bounds = dict[Column, dict[str, int]]
"""The first conjunct of each column that gives a bound of this kind."""


@dataclass(frozen=True, slots=True)
class IndexProbe:
    """One index, asked for what some conjuncts allow.

    packed: as the script reads it, {kind, number of the index or constraint, name, low, high, ...}; low and high are
        conjuncts, the same one for an equality; behind them the name and the conjunct of each field before the last.
    index: the index, if it is one. certain: the index alone tells which objects meet what is covered, unless the server
        finds a value that its score does not stand for.
    """

    packed: list[Any]
    index: IndexSpec | None = None
    certain: bool = False

    @property
    def covers(self) -> frozenset[int]:
        """The numbers of the conjuncts that it is about."""
        before = self.packed[6::2] if self.index is not None else ()
        return frozenset(number for number in (*self.packed[3:5], *before) if number)

    @property
    def bounded(self) -> bool:
        """Returns whether it bounds the last field; without a bound it only serves to walk in its order."""
        return self.packed[3:5] != [0, 0]


@dataclass(frozen=True, slots=True)
class AccessPaths:
    """The probes for a condition: `first` those that between them cover the most, one conjunct once."""

    first: tuple[IndexProbe, ...]
    others: tuple[IndexProbe, ...]
    index_only: bool
    """Returns whether the first probes alone decide which objects meet the condition."""


def access_paths(schema: Schema, where: Node, order: Column | None = None) -> AccessPaths:
    """The probes for a condition on objects of a model; with an order those too that are only walked in it."""
    parts = conjuncts(where)
    left, first, others = set(range(1, len(parts) + 1)), list[IndexProbe](), list[IndexProbe]()
    for probe in _probes(schema, parts, order):
        chosen = probe.bounded and probe.covers <= left
        (first if chosen else others).append(probe)
        left -= probe.covers if chosen else set()
    # Objects that expire need the search, which removes the entries of expired ones.
    index_only = not left and schema.ttl is None and all(probe.certain for probe in first)
    return AccessPaths((*first,), (*others,), index_only)


def walked_probe(paths: AccessPaths, order: Column) -> IndexProbe | None:
    """The probe whose index has this order, and scores that tell it."""
    kind = order.codec.traits
    if not kind.reads_scores or kind.name == "float":  # NaN is in no index
        return None
    for probe in paths.first:
        if probe.index is not None and probe.index.type == SORTED and probe.index.last is order:
            return probe
    own = (
        probe
        for probe in paths.others
        if probe.index is not None and probe.index.columns == (order,) and not probe.bounded
    )
    return None if order.nullable else next(own, None)


def probes(schema: Schema, where: Node, order: Column | None = None) -> list[list[Any]]:
    """All probes for a condition, packed; none if every object has to be examined.

    order: a column, of whose indexes those are included that have no bound on it.
    """
    return [probe.packed for probe in _probes(schema, conjuncts(where), order)]


def _probes(schema: Schema, parts: Sequence[Node], order: Column | None = None) -> Iterator[IndexProbe]:
    """From those that leave the fewest objects to those that leave the most; of indexes, with more fields first."""
    yield from _equality_probes("key", 0, schema.pk, parts)
    for number, unique in enumerate(schema.unique, 1):
        if len(unique.columns) == 1:
            yield from _equality_probes("unique", number, unique.columns[0], parts)
    bounds = _bounds(parts)
    for index, number in sorted(zip(schema.indexes, count(1)), key=lambda pair: -len(pair[0].columns)):
        if index.kind.lookups:
            yield from _lookup_probes(index, number, parts)
        elif index.type == MEMBERS:
            yield from _member_probes(index, number, parts)
        elif index.type == EQUAL and len(index.columns) == 1:
            yield from _equality_probes("equal", number, index.last, parts, index)
        elif index.type in (EQUAL, SORTED, TEXT):
            yield from _range_probe(index, number, bounds, order)
    for i, part in enumerate(parts, 1):
        yield from _nested_probes(schema, part, i)


def _equality_probes(
    kind: str, number: int, column: Column, parts: Sequence[Node], index: IndexSpec | None = None
) -> Iterator[IndexProbe]:
    """Probes of a primary key, a unique value or a set, or of several for `in`. Several texts may mean one value."""
    exact = column.codec.traits.exact_text
    if not exact and kind != "key":
        return
    for i, part in enumerate(parts, 1):
        if isinstance(part, Compare) and part.column is column and part.operator in ("eq", "in"):
            single = exact and part.operator == "eq"
            yield IndexProbe([kind if single else f"{kind}_in", number, column.name, i, i], index, single)


def _member_probes(index: IndexSpec, number: int, parts: Sequence[Node]) -> Iterator[IndexProbe]:
    """Probes of the sets of members: what an equality index has for values."""
    for i, part in enumerate(parts, 1):
        if isinstance(part, Member) and part.column is index.last:
            yield IndexProbe(["equal", number, index.last.name, i, i], index, True)


def _lookup_probes(index: IndexSpec, number: int, parts: Sequence[Node]) -> Iterator[IndexProbe]:
    """Probes for comparisons that an index of its kind answers by itself."""
    for i, part in enumerate(parts, 1):
        if isinstance(part, Compare) and part.column is index.last and part.operator in index.kind.lookups:
            yield IndexProbe(["entries", number, index.last.name, i, i], index)


def _bounds(parts: Sequence[Node]) -> _Bounds:
    bounds: _Bounds = {}
    for i, part in enumerate(parts, 1):
        if isinstance(part, Compare) and part.operator in _BOUNDS:
            bounds.setdefault(part.column, {}).setdefault(_BOUNDS[part.operator], i)
    return bounds


def _range_probe(index: IndexSpec, number: int, bounds: _Bounds, order: Column | None) -> Iterator[IndexProbe]:
    """The probe of an index if equalities fix all its fields but the last."""
    *before, last = index.columns
    held = [bounds.get(column, {}).get("eq", 0) for column in before]
    if not all(held) or not all(column.codec.traits.exact_text for column in before):
        return
    kind, own = last.codec.traits, bounds.get(last, {})
    equal = own.get("eq") or (own.get("prefix") if index.type == TEXT else None)
    low, high = (equal, equal) if equal else (own.get("low", 0), own.get("high", 0))
    if index.type == EQUAL:
        useful, certain = bool(own.get("eq")) and kind.exact_text, True
    else:
        useful, certain = bool(low or high or last is order), index.type == SORTED and kind.reads_scores
    if useful:
        prefix = [item for column, i in zip(before, held, strict=True) for item in (column.name, i)]
        yield IndexProbe([index.type, number, last.name, low, high, *prefix], index, certain)


def _nested_probes(schema: Schema, part: Node, i: int) -> Iterator[IndexProbe]:
    """Probes that have probes of their own within: of each alternative, of a condition on related objects."""
    kind, name, inner = "", "", list[Any]()
    if isinstance(part, Constant) and not part.value:
        kind = "nothing"
    elif isinstance(part, BoolOp) and part.connector == "or":
        kind, inner = "union", [probes(schema, choice) for choice in part.parts]
    elif isinstance(part, ForwardMatch):
        kind, name, inner = "forward", part.column.name, [_inner_probes(part.target, part.part)]
    elif isinstance(part, ReverseMatch):
        kind, inner = "reverse", [_inner_probes(part.source, part.part)]
    elif isinstance(part, LinkMatch):
        kind, inner = "links", [_inner_probes(part.target, part.part)]
    if kind and all(inner):
        yield IndexProbe([kind, 0, name, i, i, *inner])


def _inner_probes(schema: Schema, condition: Node) -> list[list[Any]]:
    """The probes for a condition on related objects; none if it holds where there is no such object."""
    return [] if holds_for_nothing(condition) else probes(schema, condition)
