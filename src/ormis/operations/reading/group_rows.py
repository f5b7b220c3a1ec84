"""Groups of rows and their aggregates: `values("status").annotate(n=Count("id"))`, `aggregate(Sum("votes"))`.

Rows are read page by page and added up; groups are held, rows never are.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...calls import Operation, Origin
from ...planning.columns import AnnotatedColumn, Cell, ColumnRef, Derived, RelatedCell, compute, needed
from ...planning.derived import GroupAggregate, RelatedAggregate
from ...planning.grouping import Grouping
from ...planning.names import resolve
from ...planning.ordering import computed_sort_key, order_terms, sorted_by
from ...planning.plan import Plan
from ...planning.predicates import Node, conjuncts
from ...planning.scopes import having, rows_of_groups, scopes
from ...planning.server_aggregates import server_aggregates
from ...query.outer_references import check_resolved
from ...query.state import Query
from .complete_rows import is_of_all, reads_derived, rows_of
from .filling import argument_of, fill
from .groups import Groups
from .related_rows import CellRow, each_page, each_related
from .select import cells_of
from .server_groups import added_by_server
from .set_operations import each_once
from .subqueries import planned


def explained(query: Query, plan: Plan) -> str:
    """How the rows of a grouped query, which this plan finds, are added up: for explain()."""
    names = scopes(query)
    assert names.grouping is not None
    found = needed([_column(column) for column in names.results.annotations.values()]).derived
    aggregates = [one for one in found if isinstance(one, GroupAggregate)]
    by_server = plan.client_where is None and server_aggregates(names.rows, names.grouping, (*aggregates,), plan.limits)
    how = "on the server, portion by portion" if by_server else "in Python, over columns read in batches"
    added = ", ".join(str(one.of_rows.aggregate) for one in aggregates)
    return f"grouped by {', '.join(name for name, _ in names.grouping.keys) or 'nothing'}: {added} {how}"


def group_rows(query: Query, origin: Origin) -> Operation[list[tuple[Any, ...]]]:
    """The rows of a grouped query: `fields` of each group that meets the conditions, in order, cut."""
    check_resolved(query)
    names = scopes(query)
    scope = names.results
    assert names.grouping is not None
    fields = [_column(resolve(scope, name).column) for name in query.fields or ()]
    order = order_terms(scope, (*(query.order or ()), *_ordered_keys(names.grouping)))
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


def _ordered_keys(grouping: Grouping) -> list[str]:
    """The keys that settle ties: without order_by(), groups come in the order of their keys."""
    return [name for name, bound in grouping.keys if bound.codec.traits.ordered]


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
    """The groups with windows and annotations, less those that do not meet the condition.

    What names no window applies before windows are computed, as for rows: complete_rows.py.
    """
    rest = [one for one in derived if not isinstance(one, GroupAggregate)]
    for whole in (False, True):
        yield from fill([one for one in rest if is_of_all(one) is whole], groups, origin)
        for part in conjuncts(node):
            if any(map(is_of_all, needed(part.columns()).derived)) is whole:
                groups = [group for group in groups if _meets(group, part)]
    for group in groups:
        compute(group, annotated)
    return groups


def _meets(group: CellRow, node: Node) -> bool:
    compute(group, needed(node.columns()).annotated)
    return node.holds(group)


# Adding up -----------------------------------------------------------------------------------------------------------


def grouped(
    objects: Query, keys: Grouping, aggregates: Sequence[GroupAggregate], origin: Origin
) -> Operation[list[CellRow]]:
    """The groups of the objects of a query, as rows: their keys and aggregates by the names of these cells."""
    groups = Groups(keys, aggregates)
    reads: list[Cell] = [*keys.reads, *(cell for one in aggregates for cell in one.of_rows.reads)]
    plan = yield from planned(objects, origin)
    server = None if _is_cut(plan) else server_aggregates(scopes(objects).rows, keys, (*aggregates,), origin.limits)
    if server is not None and plan.client_where is None:
        try:
            yield from added_by_server(plan.adding_up(server), groups)
        except ValueError:  # a text that does not convert: it is read here, and named with its key
            groups = Groups(keys, aggregates)
        else:
            return groups.rows()
    plan = replace(plan, columns=tuple(dict.fromkeys([*_columns(reads), plan.schema.pk])))

    def page(rows: Sequence[CellRow]) -> Operation[None]:
        yield from fill(plan.derived, rows, origin)
        for cells in rows:
            compute(cells, plan.annotated)
        yield from _add(groups, rows, origin)

    if reads_derived(plan) or _is_cut(plan) or any(one.whole for one in plan.derived):
        yield from _add(groups, [cells_of(plan, row) for row in (yield from rows_of(plan, origin))], origin)
    else:
        yield from each_page(replace(plan, columns=plan.reads), page)
    return groups.rows()


def _is_cut(plan: Plan) -> bool:
    return plan.limit is not None or plan.offset > 0


def added_up(rows: Sequence[CellRow], aggregates: Sequence[GroupAggregate], origin: Origin) -> Operation[list[CellRow]]:
    """As grouped(), of rows at hand, all as one group."""
    groups = Groups(Grouping((), (), (), ()), aggregates)
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


def _is_direct(groups: Groups, one: RelatedAggregate) -> bool:
    """Whether an aggregate is of the rows themselves, joined with related objects as the keys are."""
    return not one.hops or one.hops == groups.keys.hops


def _add_row(groups: Groups, row: Mapping[str, Any]) -> None:
    for one, accumulator in zip(groups.aggregates, groups.of(row), strict=True):
        if _is_direct(groups, one.of_rows):
            value = argument_of(one.of_rows, row)
            if value is not None:
                accumulator.add(value)


def _add(groups: Groups, rows: Sequence[CellRow], origin: Origin) -> Operation[None]:
    """Adds up rows, and the related objects that aggregates are of."""
    if groups.keys.hops:
        rows = yield from _joined(rows, groups, origin)
    for row in rows:
        _add_row(groups, row)
    for number, one in enumerate(groups.aggregates):
        if not _is_direct(groups, one.of_rows):
            yield from _add_related(groups, number, one.of_rows, rows, origin)


def _add_related(
    groups: Groups, number: int, one: RelatedAggregate, rows: Sequence[CellRow], origin: Origin
) -> Operation[None]:
    found = [groups.of(row)[number] for row in rows]

    def add(i: int, cells: Mapping[str, Any]) -> None:
        value = argument_of(one, {**rows[i], **cells})
        if value is not None:
            found[i].add(value)

    yield from each_related(rows, one.hops, one.related, origin, add, joined=one.joined)


def _joined(rows: Sequence[CellRow], groups: Groups, origin: Origin) -> Operation[list[CellRow]]:
    """A row for each related object that the keys are of; one without any where there is none."""
    related = [*groups.keys.related, *(cell for one in groups.aggregates for cell in _of_joined(one.of_rows))]
    joined: list[list[CellRow]] = [[] for _ in rows]

    def join(i: int, cells: Mapping[str, Any]) -> None:
        joined[i].append({**rows[i], **cells})

    cells = list({one.name: one for one in related}.values())
    yield from each_related(rows, groups.keys.hops, cells, origin, join, outer=True)
    return [one for found in joined for one in found]


def _of_joined(one: RelatedAggregate) -> list[RelatedCell]:
    """The cells that an aggregate needs of the objects that the rows of groups are joined with."""
    return [cell for cell in one.related if cell.at < one.joined]
