"""The aggregates that the server adds up: of stored columns, by groups of stored columns. See lua/read/aggregation.lua.

What it can't say exactly, numbers past 2^53 and infinities, comes back as texts.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

from ..limits import Limits
from ..query.aggregates import Aggregate, Avg, Count, Max, Min, StdDev, Sum
from ..query.expressions import F, Value
from ..schema.index_kinds import SORTED
from ..schema.schema import PartColumn, Schema
from ..storage.codecs import codec_for
from .apart import elsewhere
from .bound import Bound
from .bound_conditions import bound_values
from .columns import ColumnRef, Positions, needed
from .condition_compiler import compile_q
from .derived import GroupAggregate
from .grouping import Grouping
from .predicates import Node

_NUMBERS = ("int", "float", "decimal")
_PLAIN = [codec_for(one) for one in (int, float, Decimal, datetime, date, time, timedelta, str, bool, UUID)]
"""The codecs whose texts mean the same here and in Lua: not those of enums, of subclasses, of several types."""
_SCORED = ("int", "float", "date", "datetime", "time", "timedelta")
"""Their scores in a sorted index stand for one value each, unless they are very large."""


@dataclass(frozen=True, slots=True, eq=False)
class ServerAggregate:
    """One aggregate: `what` the server adds up, of the column, or of rows; only of rows that meet the condition."""

    what: str
    column: ColumnRef | None
    distinct: bool
    condition: Node | None

    @property
    def adds_ints(self) -> bool:
        """True for a number of objects or values, and for a sum of ints without their squares."""
        kind = None if self.column is None else self.column.codec.kind
        return not self.distinct and (self.what == "count" or (self.what == "sum" and kind == "int"))

    def packed(self, numbers: Positions) -> list[Any]:
        """As lua/read/aggregation.lua reads it."""
        position = 0 if self.column is None else numbers.position(self.column)
        kind = "" if self.column is None else self.column.codec.kind
        condition = False if self.condition is None else self.condition.packed(numbers)
        return [self.what, position, kind, self.distinct, condition]

    def end(self, schema: Schema) -> list[str] | None:
        """As lua/read/ends_only.lua reads it; None if no size or end of an index tells."""
        if self.distinct or self.condition is not None:
            return None
        if self.what == "count" and self.column is None:
            return ["count"]
        kind = None if self.column is None else self.column.codec.kind
        if self.what not in ("min", "max") or kind not in _SCORED or isinstance(self.column, PartColumn):
            return None
        sorted_by = [index.last for index in schema.indexes if index.type == SORTED and len(index.columns) == 1]
        found = next((column for column in sorted_by if column is self.column), None)
        return None if found is None else [self.what, kind, found.name]


@dataclass(frozen=True, slots=True, eq=False)
class ServerAggregates:
    """What the server is asked to add up, by groups of these columns."""

    keys: tuple[ColumnRef, ...]
    aggregates: tuple[ServerAggregate, ...]

    def packed(self, numbers: Positions) -> list[Any]:
        """As lua/read/aggregation.lua reads it."""
        return [[numbers.position(key) for key in self.keys], [one.packed(numbers) for one in self.aggregates]]

    def ends(self, schema: Schema) -> list[list[str]] | None:
        """As lua/read/ends_only.lua reads it; None if more is asked for than sizes and ends of indexes tell."""
        found = [one.end(schema) for one in self.aggregates]
        return None if self.keys or None in found else [one for one in found if one is not None]


@lru_cache(maxsize=256)
def server_aggregates(
    rows: Schema, keys: Grouping, aggregates: tuple[GroupAggregate, ...], limits: Limits
) -> ServerAggregates | None:
    """The request for aggregates that the server can add up; None if it can't add up all of them."""
    if keys.hops:
        return None
    columns = [_stored(bound, limits) for _, bound in keys.keys]
    found = [_aggregate(rows, one, limits) for one in aggregates]
    if any(column is None for column in columns) or any(one is None for one in found):
        return None
    return ServerAggregates(
        tuple(column for column in columns if column is not None), tuple(one for one in found if one is not None)
    )


def _stored(bound: Bound, limits: Limits) -> ColumnRef | None:
    """The stored column that an expression is; None for a computed one, and for one that no call reaches."""
    cells = needed(bound.reads, elsewhere(limits))
    if not isinstance(bound.tree, F) or cells.derived or cells.annotated or len(cells.stored) != 1:
        return None
    return None if cells.stored[0].codec.kind == "bytes" else cells.stored[0]


def _aggregate(rows: Schema, asked: GroupAggregate, limits: Limits) -> ServerAggregate | None:
    value, argument = asked.of_rows.aggregate, asked.of_rows.argument
    what = _what(value)
    if asked.of_rows.hops or what is None:
        return None
    condition = None
    if value.filter is not None:
        condition = compile_q(rows, bound_values(rows, value.filter))
        if condition.client_side(limits) or condition.joined:
            return None
    if isinstance(argument.tree, Value) and what == "count" and not value.distinct:
        return ServerAggregate(what, None, False, condition) if argument.tree.value is not None else None
    column = _stored(argument, limits)
    if column is None or not (value.distinct or _can_add(what, column)):
        return None
    return ServerAggregate(what, column, value.distinct, condition)


def _what(value: Aggregate) -> str | None:
    known = {Count: "count", Sum: "sum", Avg: "sum", Min: "min", Max: "max"}
    return "spread" if isinstance(value, StdDev) else known.get(type(value))


def _can_add(what: str, column: ColumnRef) -> bool:
    """Whether the server understands the texts of a column."""
    codec = column.codec
    if what == "count":
        return True
    plain = codec in _PLAIN
    return plain and (codec.kind in _NUMBERS if what in ("sum", "spread") else codec.traits.ordered)
