"""Orders: the terms of order_by(), and the one sort in Python, which agrees with that of the server."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from random import random
from typing import Any

from ..errors import FieldError
from ..query.expressions import Expression, F, OrderBy, expression
from ..query.q import Q
from ..schema.index_kinds import SORTED
from ..schema.schema import Column, Schema
from ..storage.codecs import Codec
from .binding import Binder
from .columns import AnnotatedColumn, ColumnRef, Computed, RelatedColumn, RelatedCount
from .names import cell_of, parts_of, resolve
from .predicates import check_ordered, comparable, in_plain_form

# Items ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OrderItem:
    """An item of order_by(), parsed. Absent values come first ascending and last descending, unless told otherwise.

    by: the name of a field, an expression, RANDOM; anything else is an error.
    by_key: a foreign key stands for the key itself, not for the order of the model that it leads to.
    """

    by: Any
    descending: bool
    nulls_first: bool
    by_key: bool = False

    def reversed(self) -> "OrderItem":
        """The opposite order."""
        return replace(self, descending=not self.descending, nulls_first=not self.nulls_first)


RANDOM = Computed((), lambda _row: random(), "?")  # noqa: S311 - no secret


def order_item(item: Any) -> OrderItem:
    """One item of order_by(): `name`, `-name`, "?", an expression, `expression.desc()`."""
    descending, nulls_first = False, None
    if isinstance(item, str) and item == "?":  # `==` of a class attribute returns a condition
        return OrderItem(RANDOM, False, False)
    if isinstance(item, OrderBy):
        descending, nulls_first, item = item.descending, item.nulls_first, item.expression
    by_key = isinstance(item, F)
    if isinstance(item, F):
        item = item.name
    if isinstance(item, str) and item.startswith("-"):
        descending, item = not descending, item[1:]
    return OrderItem(item, descending, not descending if nulls_first is None else nulls_first, by_key)


# Terms ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OrderTerm:
    """A column, or a computed value, to order by."""

    cell: ColumnRef | Computed
    descending: bool
    nulls_first: bool

    def reversed(self) -> "OrderTerm":
        """The opposite order."""
        return OrderTerm(self.cell, not self.descending, not self.nulls_first)


def order_terms(schema: Schema, order: Sequence[Any]) -> tuple[OrderTerm, ...]:
    """The columns that order_by() names, of the model itself or of objects it refers to.

    Raises FieldError for a name of no stored field and for a relation to many objects.
    """
    return tuple([_term(schema, item) for item in order_items(schema, order)])


def order_items(schema: Schema, order: Sequence[Any]) -> list[OrderItem]:
    """The items of order_by(), parsed; the names of relations replaced by the order of the related models."""
    return [item for given in order for item in _with_order_of_related(schema, order_item(given), ())]


def _with_order_of_related(schema: Schema, item: OrderItem, within: tuple[Schema, ...]) -> list[OrderItem]:
    """within: the models whose own order is being expanded."""
    if not isinstance(item.by, str) or item.by_key:
        return [item]
    path = resolve(schema, item.by, whole=True)
    relation = bool(path.hops) and len(path.hops) == len(parts_of(item.by))  # else it names a field of the last one
    target = path.hops[-1].schema if relation else None
    if target is None or not target.ordering or target in within:
        return [item]
    items: list[OrderItem] = []
    for given in target.ordering:
        inner = order_item(given)
        if not isinstance(inner.by, str):
            raise FieldError(
                f"{schema.name} can't be ordered by {item.by!r}: its own order is by {given!r}; name its fields"
            )
        items += _with_order_of_related(schema, replace(inner, by=f"{item.by}__{inner.by}"), (*within, target))
    return [item.reversed() for item in items] if item.descending else items


def _term(schema: Schema, item: OrderItem) -> OrderTerm:
    by = item.by
    if isinstance(by, str) and resolve(schema, by).lookups:
        by = F(by)  # a part of a date or time
    if isinstance(by, Expression | Q):
        by = _computed(schema, expression(by))
    if isinstance(by, Computed):
        return OrderTerm(by, item.descending, item.nulls_first)
    if not isinstance(by, str):
        raise FieldError(f"{schema.name} can't be ordered by {by!r}: give names of fields, with - for descending")
    found = cell_of(schema, by)
    check_ordered(found, f"{schema.name}.{by}", "order_by()")
    if isinstance(found, AnnotatedColumn) and found.same is not None:
        return OrderTerm(found.same, item.descending, item.nulls_first)
    if isinstance(found, AnnotatedColumn):
        return OrderTerm(Computed((found,), lambda row: row[found.name], by), item.descending, item.nulls_first)
    return OrderTerm(found, item.descending, item.nulls_first)


def _computed(schema: Schema, value: Expression) -> Computed:
    bound = Binder(schema).bind(value)
    check_ordered(bound, f"{schema.name}: {value}", "order_by()")
    return Computed(bound.reads, bound.in_query, str(value))


def by_cell_elsewhere(found: RelatedColumn | RelatedCount) -> Computed:
    """What orders by a cell of an object that no call reaches."""
    name, codec = found.name, found.codec
    return Computed((found,), lambda row: None if row[name] is None else comparable(codec, row[name]), name)


def may_be_nan(schema: Schema, column: Column) -> bool:
    """Returns whether values may be NaN, which is above all else in an order. An index refuses it."""
    indexed = any(index.last is column and index.type == SORTED for index in schema.indexes)
    return column.codec.kind == "float" and not indexed


# Sorting in Python ---------------------------------------------------------------------------------------------------


def sorted_by(order: list[int], keys: Sequence[Any], term: OrderItem | OrderTerm) -> list[int]:
    """These positions, sorted by their keys, None for an absent value; of equal keys in the order given."""
    absent = [i for i in order if keys[i] is None]
    present = [i for i in order if keys[i] is not None]
    present.sort(key=keys.__getitem__, reverse=term.descending)
    return absent + present if term.nulls_first else present + absent


def sort_key(codec: Codec, value: Any) -> Any:
    """The key of a field's value."""
    return None if value is None else computed_sort_key(comparable(codec, value))


def wire_sort_key(codec: Codec, wire: Any) -> Any:
    """The key of a value as rows have it."""
    if wire is None:
        return None
    if codec.finish is None and codec.kind == "datetime":
        return wire.replace(tzinfo=None)  # aware ones are stored in UTC
    if codec.finish is None and codec.kind in ("int", "text", "date", "timedelta"):
        return wire
    return computed_sort_key(comparable(codec, codec.finish(wire) if codec.finish else wire))


def computed_sort_key(value: Any) -> Any:
    """The key of a computed value: times as in UTC, NaN after all else."""
    value = in_plain_form(value)
    if isinstance(value, bool | int | float | Decimal):
        return (False, value) if value == value else (True, 0)
    return value
