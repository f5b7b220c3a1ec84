"""Values across relations to many objects: a row per related object, one with None if there is none.

One query for the objects themselves, and one more for each relation to many that is followed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

from ...calls import Operation, Origin
from ...errors import FieldError
from ...planning.columns import ColumnRef, LinkStep, Step, cell
from ...planning.names import resolve
from ...planning.ordering import OrderItem, computed_sort_key, order_items, sort_key, sorted_by
from ...planning.predicates import Compare, Node, check_ordered
from ...planning.scopes import scope_of
from ...query.date_parts import part_of
from ...query.state import Query
from ...schema.schema import Column, Schema
from .complete_rows import rows_of
from .links import inverted, members
from .select import cells_of
from .subqueries import planned


@dataclass(frozen=True, slots=True)
class _Value:
    """One value of the rows to be: the steps that lead to it, the column at the end, the part of it that is meant."""

    hops: tuple[Step, ...]
    column: Column
    part: str = ""

    @property
    def many(self) -> int:
        """Returns how many steps there are up to the first that leads to many objects, 0 if none does."""
        return next((i for i, hop in enumerate(self.hops, 1) if not hop.to_one), 0)


def spreads(query: Query) -> bool:
    """True if one of the values that are asked for, or ordered by, is of many related objects."""
    return query.groups is None and _any_to_many(scope_of(query), [*(query.fields or ()), *_order_names(query)])


def spread(query: Query, origin: Origin) -> Operation[list[tuple[Any, ...]]]:
    """The rows of a query for values, in its order, cut as asked."""
    schema, fields = scope_of(query), query.fields or ()
    items = _order_items(query) if _spreads_order(query) else []
    values = [_value(schema, name) for name in (*fields, *(item.by for item in items))]
    rows = _with_parts((yield from _rows(objects_of(query), None, values, origin)), values)
    order = [*range(len(rows))]
    for at, item in reversed([*enumerate(items, len(fields))]):
        column = values[at].column
        check_ordered(column, f"{schema.name}.{item.by}", "order_by()")
        key = partial(sort_key, column.codec) if not values[at].part else computed_sort_key
        order = sorted_by(order, [key(row[at]) for row in rows], item)
    stop = None if query.limit is None else query.offset + query.limit
    return [rows[i][: len(fields)] for i in order[query.offset : stop]]


def objects_of(query: Query) -> Query:
    """The query of the objects themselves, whose rows are spread: as many as may be needed."""
    by_many = _spreads_order(query)
    limit = None if by_many or query.limit is None else query.offset + query.limit
    return query.having(fields=None, offset=0, limit=limit, order=() if by_many else query.order)


def _rows(
    query: Query, node: Node | None, values: Sequence[_Value], origin: Origin
) -> Operation[list[tuple[Any, ...]]]:
    """A row for each object of the query and each combination of the related objects that are asked for."""
    groups: dict[tuple[Step, ...], list[int]] = {}
    for i, value in enumerate(values):
        if value.many:
            groups.setdefault(value.hops[: value.many], []).append(i)
    own = [i for i, value in enumerate(values) if not value.many]
    cells = [_whole(values[i]) for i in own] + [cell(hops[:-1], hops[-1].source) for hops in groups]
    plan = replace((yield from planned(query, origin, node)), columns=tuple(dict.fromkeys(cells)))
    objects = [cells_of(plan, row) for row in (yield from rows_of(plan, origin))]
    columns: list[tuple[list[int], list[list[tuple[Any, ...]]]]] = [
        (own, [[tuple(row[_whole(values[i]).name] for i in own)] for row in objects])
    ]
    for hops, indexes in groups.items():
        keys = [row[cell(hops[:-1], hops[-1].source).name] for row in objects]
        rest = [_Value(values[i].hops[len(hops) :], values[i].column) for i in indexes]
        columns.append((indexes, (yield from _across(hops[-1], keys, rest, origin))))
    return _combined(len(values), columns, len(objects))


def _across(hop: Step, keys: list[Any], values: list[_Value], origin: Origin) -> Operation[list[list[tuple[Any, ...]]]]:
    """For each key the rows of the objects that refer to it; one of Nones if none does."""
    if isinstance(hop, LinkStep):
        return (yield from _across_links(hop, keys, values, origin))
    reference = hop.reference.column
    present = tuple(dict.fromkeys(key for key in keys if key is not None))
    by_key: dict[Any, list[tuple[Any, ...]]] = {}
    if present:
        own = [*values, _Value((), reference)]
        rows = yield from _rows(Query(hop.schema, order=()), Compare(reference, "in", present), own, origin)
        for row in rows:
            by_key.setdefault(row[-1], []).append(row[:-1])
    nothing = [(None,) * len(values)]
    return [by_key.get(key, nothing) for key in keys]


def _across_links(
    hop: LinkStep, keys: list[Any], values: list[_Value], origin: Origin
) -> Operation[list[list[tuple[Any, ...]]]]:
    """For each key the rows of the objects that it is linked to; one of Nones if there are none."""
    pairs = yield from members(hop.origin, hop.link, [*dict.fromkeys(key for key in keys if key is not None)])
    linked_to = inverted(pairs)
    pks = tuple(linked_to)
    own, pk = [*values, _Value((), hop.schema.pk)], hop.schema.pk
    rows = (yield from _rows(Query(hop.schema, order=()), Compare(pk, "in", pks), own, origin)) if pks else []
    nothing = [(None,) * len(values)]
    grouped: dict[Any, list[tuple[Any, ...]]] = {}
    for row in rows:
        for key in linked_to[row[-1]]:
            grouped.setdefault(key, []).append(row[:-1])
    return [grouped.get(key, nothing) for key in keys]


def _combined(
    width: int, columns: list[tuple[list[int], list[list[tuple[Any, ...]]]]], count: int
) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for at in range(count):
        for parts in product(*(choices[at] for _, choices in columns)):
            row: list[Any] = [None] * width
            for (indexes, _), values in zip(columns, parts, strict=True):
                for i, value in zip(indexes, values, strict=True):
                    row[i] = value
            rows.append(tuple(row))
    return rows


def _whole(value: _Value) -> ColumnRef:
    return cell(value.hops, value.column)


def _value(schema: Schema, name: str) -> _Value:
    path = resolve(schema, name)
    if not path.part:
        path.check_no_lookups(schema, name)
    return _Value(path.hops, path.column, path.part)


def _with_parts(rows: list[tuple[Any, ...]], values: Sequence[_Value]) -> list[tuple[Any, ...]]:
    """The rows with parts of dates and times in the place of these."""
    if not any(value.part for value in values):
        return rows
    parts = [value.part for value in values]
    return [
        tuple([one if not part or one is None else part_of(part, one) for part, one in zip(parts, row, strict=True)])
        for row in rows
    ]


# Order ---------------------------------------------------------------------------------------------------------------


def _order_items(query: Query) -> list[OrderItem]:
    items = _items(query)
    for item in items:
        if not isinstance(item.by, str):
            raise FieldError(f"{item.by} can't stand beside a field of many objects in order_by(): name fields")
    return [item.reversed() for item in items] if query.backwards else items


def _items(query: Query) -> list[OrderItem]:
    return order_items(scope_of(query), query.schema.ordering if query.order is None else query.order)


def _order_names(query: Query) -> list[str]:
    """The fields that the query is ordered by, expressions left out."""
    return [item.by for item in _items(query) if isinstance(item.by, str)]


def _spreads_order(query: Query) -> bool:
    return _any_to_many(scope_of(query), _order_names(query))


def _any_to_many(schema: Schema, names: Iterable[str]) -> bool:
    return any(resolve(schema, name).many for name in names)
