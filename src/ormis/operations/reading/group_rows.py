"""Groups of rows and their aggregates: `values("status").annotate(n=Count("id"))`, `aggregate(Sum("votes"))`.

Rows are read page by page and added up; groups are held, rows never are.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...calls import Operation, Origin
from ...planning.columns import AnnotatedColumn, Cell, ColumnRef, Derived, Step, needed
from ...planning.derived import GroupAggregate, RelatedAggregate
from ...planning.grouping import Grouping
from ...planning.names import resolve
from ...planning.ordering import computed_sort_key, order_terms, sorted_by
from ...planning.predicates import Node
from ...planning.scopes import having, rows_of_groups, scopes
from ...query.accumulators import Accumulator
from ...query.outer_references import check_resolved
from ...query.state import Query
from .complete_rows import reads_derived, rows_of
from .filling import argument_of, fill
from .related_rows import CellRow, each_page, each_related
from .select import cells_of
from .set_operations import each_once
from .subqueries import planned


def group_rows(query: Query, origin: Origin) -> Operation[list[tuple[Any, ...]]]:
    """The rows of a grouped query: `fields` of each group that meets the conditions, in order, cut."""
    check_resolved(query)
    names = scopes(query)
    scope = names.results
    assert names.grouping is not None
    fields = [_column(resolve(scope, name).column) for name in query.fields or ()]
    order = order_terms(scope, query.order or ())
    if query.backwards:
        order = tuple(term.reversed() for term in order)
    node = having(query)
    wanted = needed([*fields, *(term.cell for term in order), *(() if node is None else node.columns())])
    aggregates = [one for one in wanted.derived if isinstance(one, GroupAggregate)]
    groups = yield from grouped(rows_of_groups(query), names.grouping, aggregates, origin)
    groups = yield from _completed(groups, wanted.derived, wanted.annotated, node, origin)
    at = [*range(len(groups))]
    for term in reversed(order):
        cell: Any = term.cell
        at = sorted_by(at, [computed_sort_key(cell.value(group)) for group in groups], term)
    rows = [tuple(groups[i][column.name] for column in fields) for i in at]
    if query.distinct:
        rows = each_once(rows)
    return rows[query.offset : None if query.limit is None else query.offset + query.limit]


def _column(found: Any) -> AnnotatedColumn:
    assert isinstance(found, AnnotatedColumn)
    return found


def _completed(
    groups: list[CellRow],
    derived: Sequence[Derived],
    annotated: Sequence[AnnotatedColumn],
    node: Node | None,
    origin: Origin,
) -> Operation[list[CellRow]]:
    """The groups with windows and annotations, less those that do not meet the condition."""
    rest = [one for one in derived if not isinstance(one, GroupAggregate)]
    about_all = node is not None and bool(set(rest) & {*needed(node.columns()).derived})
    if node is not None and not about_all:
        groups = [group for group in groups if _meets(group, node)]
    yield from fill(rest, groups, origin)
    if node is not None and about_all:
        groups = [group for group in groups if _meets(group, node)]
    for group in groups:
        _compute(group, annotated)
    return groups


def _meets(group: CellRow, node: Node) -> bool:
    _compute(group, needed(node.columns()).annotated)
    return node.holds(group)


def _compute(group: CellRow, annotated: Iterable[AnnotatedColumn]) -> None:
    for column in annotated:
        group[column.name] = column.compute(group)


# Adding up -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Groups:
    """What has been added up so far: by the keys of a group an accumulator for each aggregate."""

    keys: Grouping
    aggregates: Sequence[GroupAggregate]
    by_key: dict[tuple[Any, ...], tuple[tuple[Any, ...], list[Accumulator]]] = field(default_factory=dict[Any, Any])

    def of(self, row: Mapping[str, Any]) -> list[Accumulator]:
        """The accumulators of the group of a row."""
        values = tuple([bound.in_query(row) for _, bound in self.keys.keys])
        known = tuple([_hashable(value) for value in values])
        found = self.by_key.get(known)
        if found is None:
            found = self.by_key[known] = (values, [one.of_rows.aggregate.accumulate() for one in self.aggregates])
        return found[1]

    def rows(self) -> list[CellRow]:
        """The groups as rows. Without keys there is one, also of no rows."""
        if not self.keys.keys and not self.by_key:
            self.of({})
        names = [name for name, _ in self.keys.keys]
        return [
            dict(zip(names, values, strict=True))
            | {
                one.name: one.of_rows.aggregate.final(found)
                for one, found in zip(self.aggregates, accumulators, strict=True)
            }
            for values, accumulators in self.by_key.values()
        ]


def _hashable(value: Any) -> Any:
    try:
        hash(value)
    except TypeError:
        return repr(value)
    return value


def grouped(
    objects: Query, keys: Grouping, aggregates: Sequence[GroupAggregate], origin: Origin
) -> Operation[list[CellRow]]:
    """The groups of the objects of a query, as rows: their keys and aggregates by the names of these cells."""
    groups = _Groups(keys, aggregates)
    reads: list[Cell] = [*keys.reads, *(cell for one in aggregates for cell in one.of_rows.reads)]
    plan = yield from planned(objects, origin)
    plan = replace(plan, columns=tuple(dict.fromkeys([*_columns(reads), plan.schema.pk])))

    def page(rows: Sequence[CellRow]) -> Operation[None]:
        yield from fill(plan.derived, rows, origin)
        for cells in rows:
            _compute(cells, plan.annotated)
        yield from _add(groups, rows, origin)

    if reads_derived(plan) or plan.limit is not None or plan.offset or any(one.whole for one in plan.derived):
        yield from _add(groups, [cells_of(plan, row) for row in (yield from rows_of(plan, origin))], origin)
    else:
        yield from each_page(replace(plan, columns=plan.reads), page)
    return groups.rows()


def added_up(rows: Sequence[CellRow], aggregates: Sequence[GroupAggregate], origin: Origin) -> Operation[list[CellRow]]:
    """As grouped(), of rows at hand, all as one group."""
    groups = _Groups(Grouping((), (), (), ()), aggregates)
    yield from _add(groups, rows, origin)
    return groups.rows()


def _columns(reads: Iterable[Cell]) -> list[ColumnRef]:
    found = needed(reads)
    return [*found.stored, *found.annotated, *map(_as_column, found.derived)]


def _as_column(derived: Derived) -> AnnotatedColumn:
    """A column that brings a filled cell along."""
    return AnnotatedColumn(
        f"{derived.name}.", 0, derived.codec, nullable=True, convert=lambda v: v, write=repr, reads=(derived,)
    )


def _is_direct(groups: _Groups, one: RelatedAggregate) -> bool:
    """Whether an aggregate is of the rows themselves, joined with related objects as the keys are."""
    return one.hops == groups.keys.hops[: len(one.hops)]


def _add_row(groups: _Groups, row: Mapping[str, Any]) -> None:
    for one, accumulator in zip(groups.aggregates, groups.of(row), strict=True):
        if _is_direct(groups, one.of_rows):
            value = argument_of(one.of_rows, row)
            if value is not None:
                accumulator.add(value)


def _add(groups: _Groups, rows: Sequence[CellRow], origin: Origin) -> Operation[None]:
    """Adds up rows, and the related objects that aggregates are of."""
    if groups.keys.hops:
        rows = yield from _joined(rows, groups, origin)
    for row in rows:
        _add_row(groups, row)
    for number, one in enumerate(groups.aggregates):
        if not _is_direct(groups, one.of_rows):
            yield from _add_related(groups, number, one.of_rows, rows, origin)


def _add_related(
    groups: _Groups, number: int, one: RelatedAggregate, rows: Sequence[CellRow], origin: Origin
) -> Operation[None]:
    found = [groups.of(row)[number] for row in rows]

    def add(i: int, cells: Mapping[str, Any]) -> None:
        value = argument_of(one, {**rows[i], **cells})
        if value is not None:
            found[i].add(value)

    yield from each_related(rows, one.hops, one.related, origin, add)


def _joined(rows: Sequence[CellRow], groups: _Groups, origin: Origin) -> Operation[list[CellRow]]:
    """A row for each related object that the keys are of; one without any where there is none."""
    hops: tuple[Step, ...] = groups.keys.hops
    related = dict(groups.keys.related)
    for one in groups.aggregates:
        if one.of_rows.hops == hops:
            related |= dict(one.of_rows.related)
    joined: list[list[CellRow]] = [[] for _ in rows]

    def join(i: int, cells: Mapping[str, Any]) -> None:
        joined[i].append({**rows[i], **cells})

    yield from each_related(rows, hops, tuple(related.items()), origin, join)
    nothing = dict.fromkeys(related)
    return [one for row, found in zip(rows, joined, strict=True) for one in found or [{**row, **nothing}]]
