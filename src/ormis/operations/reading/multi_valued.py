"""Values across relations to many objects: a row per related object, one with None where there is none.

One query for the objects themselves, and one more for each relation to many that is followed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from ...calls import Operation
from ...errors import FieldError
from ...planning.columns import ColumnRef, LinkStep, Step, cell
from ...planning.names import resolve
from ...planning.predicates import Compare, Node, comparable
from ...query.expressions import F, OrderBy
from ...query.state import Query
from ...schema.schema import Column, Schema
from .links import members, turned
from .select import decoded, fetch, sortable
from .subqueries import planned


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One value of the rows to be: the steps that lead to it and the column at the end."""

    hops: tuple[Step, ...]
    column: Column

    @property
    def many(self) -> int:
        """How many steps there are up to the first that leads to many objects, 0 where none does."""
        return next((i for i, hop in enumerate(self.hops, 1) if not hop.to_one), 0)


def spreads(query: Query) -> bool:
    """True where one of the values that are asked for, or ordered by, is of many related objects."""
    schema = query.schema
    names = [*(query.fields or ()), *(_name_in(item) for item in _order(query))]
    return any(not hop.to_one for name in names if name for hop in resolve(schema, name).hops)


def spread(query: Query) -> Operation[list[tuple[Any, ...]]]:
    """The rows of a query for values, in its order, cut as asked."""
    schema, fields = query.schema, query.fields or ()
    order = _order(query)
    by = [_ordered_by(item, query.backwards) for item in order] if _spreads_order(query) else []
    wanted = [_wanted(schema, name) for name in (*fields, *(name for name, _, _ in by))]
    rows = yield from _rows(objects_of(query), None, wanted)
    for at, (_, descending, nulls_first) in reversed([*enumerate(by, len(fields))]):
        rows = _sorted(rows, at, wanted[at].column, descending, nulls_first)
    stop = None if query.limit is None else query.offset + query.limit
    return [row[: len(fields)] for row in rows[query.offset : stop]]


def objects_of(query: Query) -> Query:
    """The query of the objects themselves, whose rows are spread: as many as may be needed."""
    by_many = _spreads_order(query)
    limit = None if by_many or query.limit is None else query.offset + query.limit
    return query.having(fields=None, offset=0, limit=limit, order=() if by_many else query.order)


def _rows(query: Query, node: Node | None, wanted: Sequence[_Wanted]) -> Operation[list[tuple[Any, ...]]]:
    """A row for each object of the query and each combination of the related objects that are asked for."""
    groups: dict[tuple[Step, ...], list[int]] = {}
    for i, value in enumerate(wanted):
        if value.many:
            groups.setdefault(value.hops[: value.many], []).append(i)
    own = [i for i, value in enumerate(wanted) if not value.many]
    cells = [_whole(wanted[i]) for i in own] + [cell(hops[:-1], hops[-1].source) for hops in groups]
    plan = replace((yield from planned(query, node)), columns=tuple(dict.fromkeys(cells)))
    objects = [decoded(plan.schema, plan.reading(), row) for row in (yield from fetch(plan))]
    columns: list[tuple[list[int], list[list[tuple[Any, ...]]]]] = [
        (own, [[tuple(row[_whole(wanted[i]).name] for i in own)] for row in objects])
    ]
    for hops, indexes in groups.items():
        keys = [row[cell(hops[:-1], hops[-1].source).name] for row in objects]
        rest = [_Wanted(wanted[i].hops[len(hops) :], wanted[i].column) for i in indexes]
        columns.append((indexes, (yield from _across(hops[-1], keys, rest))))
    return _combined(len(wanted), columns, len(objects))


def _across(hop: Step, keys: list[Any], wanted: list[_Wanted]) -> Operation[list[list[tuple[Any, ...]]]]:
    """For each key the rows of the objects that refer to it; one of Nones where none does."""
    if isinstance(hop, LinkStep):
        return (yield from _across_links(hop, keys, wanted))
    reference = hop.reference.column
    present = tuple(dict.fromkeys(key for key in keys if key is not None))
    found: dict[Any, list[tuple[Any, ...]]] = {}
    if present:
        own = [*wanted, _Wanted((), reference)]
        rows = yield from _rows(Query(hop.schema, order=()), Compare(reference, "in", present), own)
        for row in rows:
            found.setdefault(row[-1], []).append(row[:-1])
    nothing = [(None,) * len(wanted)]
    return [found.get(key, nothing) for key in keys]


def _across_links(hop: LinkStep, keys: list[Any], wanted: list[_Wanted]) -> Operation[list[list[tuple[Any, ...]]]]:
    """For each key the rows of the objects that it is linked to; one of Nones where there are none."""
    pairs = yield from members(hop.origin, hop.link, [*dict.fromkeys(key for key in keys if key is not None)])
    linked_to = turned(pairs)
    pks = tuple(linked_to)
    own, pk = [*wanted, _Wanted((), hop.schema.pk)], hop.schema.pk
    rows = (yield from _rows(Query(hop.schema, order=()), Compare(pk, "in", pks), own)) if pks else []
    nothing = [(None,) * len(wanted)]
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


def _whole(value: _Wanted) -> ColumnRef:
    return cell(value.hops, value.column)


def _wanted(schema: Schema, name: str) -> _Wanted:
    path = resolve(schema, name)
    if path.lookups:
        raise FieldError(f"{schema.name}.{name}: {path.lookups[0]!r} is no field of what it stands for")
    return _Wanted(path.hops, path.column)


# Order ---------------------------------------------------------------------------------------------------------------


def _order(query: Query) -> tuple[Any, ...]:
    return query.schema.ordering if query.order is None else query.order


def _name_in(item: Any) -> str:
    """The name that an item of order_by() is about, '' for a computed one."""
    if isinstance(item, OrderBy):
        item = item.expression
    if isinstance(item, F):
        item = item.name
    return item.removeprefix("-") if isinstance(item, str) and item != "?" else ""


def _spreads_order(query: Query) -> bool:
    names = [_name_in(item) for item in _order(query)]
    return any(not hop.to_one for name in names if name for hop in resolve(query.schema, name).hops)


def _ordered_by(item: Any, backwards: bool) -> tuple[str, bool, bool]:
    """Name, descending, nulls first."""
    name = _name_in(item)
    if not name:
        raise FieldError(f"{item!r} can't stand beside a field of many objects in order_by(): name fields")
    descending = item.descending if isinstance(item, OrderBy) else isinstance(item, str) and item.startswith("-")
    first = item.nulls_first if isinstance(item, OrderBy) and item.nulls_first is not None else not descending
    return (name, not descending, not first) if backwards else (name, descending, first)


def _sorted(
    rows: list[tuple[Any, ...]], at: int, column: Column, descending: bool, nulls_first: bool
) -> list[tuple[Any, ...]]:
    absent = [row for row in rows if row[at] is None]
    present = [row for row in rows if row[at] is not None]
    present.sort(key=lambda row: sortable(comparable(column.codec, row[at])), reverse=descending)
    return absent + present if nulls_first else present + absent
