"""All rows of a query, in its order: one call of the script `query` if the result fits, otherwise page by page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...calls import Operation
from ...planning.columns import ColumnRef, Computed, compute
from ...planning.ordering import computed_sort_key, sorted_by, wire_sort_key
from ...planning.plan import Plan
from ...records.gc_pause import without_collector
from ...records.state import Keyed, Wire
from .pages import Page, Rows, decoded, first_page, next_page

Hydrate = Callable[[Sequence[Wire]], list[Any]]
"""Makes objects of rows."""


def fetch(plan: Plan, hydrate: Hydrate | None = None, first: Page | None = None) -> Operation[Rows]:
    """The rows of `plan.reads`, all of them, in order, sliced as the plan says.

    hydrate: makes the objects of each page of a longer result while the server reads the next.
    first: the first page, if that is read already.
    Raises StoredDataError for a stored text that does not convert.
    """
    if plan.finds_nothing:
        return Rows()
    if first is None:
        if plan.client_sort and plan.limit is not None:
            return (yield from fetch_keys(plan, (yield from keys_in_order(plan))))
        first = yield from first_page(plan)
    if first.long and _keys_first(plan):
        return (yield from fetch_keys(plan, (yield from keys_in_order(plan))))
    if first.whole and plan.client_where is None and not plan.client_sort:
        first.rows.renewed = plan.renews
        return first.rows
    collected = yield from _collected(plan, first, hydrate)
    if collected is None:
        return (yield from fetch_keys(plan, (yield from keys_in_order(plan))))
    rows, ranks = collected
    if plan.client_sort or (plan.order and not first.whole) or (ranks and not first.whole):
        rows = in_order(plan, rows, ranks)
    rows = sliced(plan, rows)
    rows.groups = first.rows.groups
    return rows


def _keys_first(plan: Plan) -> bool:
    """Returns whether long rows are read by their keys: if they were read as they come, few of them would be kept."""
    return plan.enough is not None and bool(plan.order or plan.offset) and plan.columns != (plan.schema.pk,)


@dataclass(slots=True)
class _Collector:
    """The rows of the pages that were read, and a page whose rows are still to be taken."""

    plan: Plan
    hydrate: Hydrate | None
    pending: Page | None
    rows: Rows = field(default_factory=Rows)
    ranks: list[float] = field(default_factory=list[float])

    def take(self) -> None:
        """Takes the rows of the pending page that meet the condition."""
        page, self.pending = self.pending, None
        if page is not None:
            with without_collector():
                self._take(page)

    def _take(self, page: Page) -> None:
        rows, ranks = page.rows, page.ranks
        if self.plan.client_where is not None:
            kept = [i for i, row in enumerate(rows) if meets(self.plan, row)]
            rows, ranks = _kept(self.plan, rows, kept), [ranks[i] for i in kept] if ranks else ranks
        if self.hydrate is not None:
            self.rows.objects = self.rows.objects or []
            self.rows.objects += self.hydrate(rows)
        self.rows.complete = rows.complete and (self.rows.complete or not self.rows)
        self.rows += rows
        self.ranks += ranks
        take_related(self.rows.related, rows.related)


def _collected(plan: Plan, page: Page, hydrate: Hydrate | None) -> Operation[tuple[Rows, list[float]] | None]:
    """The rows of this page and of all after it that meet the condition; only as many as needed if they are in order.

    None for long rows that are to be read by their keys.

    Each page is decoded while the server reads the next one.
    """
    in_order = not plan.order and page.walking
    needed = None if plan.limit is None or not in_order else plan.offset + plan.limit
    collector = _Collector(plan, hydrate, page)
    while not page.last:
        if needed is not None:
            collector.take()
            if len(collector.rows) >= needed:
                break
        page = yield from next_page(plan, page, enough=plan.enough, meanwhile=collector.take)
        if page.long and _keys_first(plan):
            return None
        collector.take()
        collector.pending = page
    collector.take()
    return collector.rows, collector.ranks


def _kept(plan: Plan, rows: Rows, which: Sequence[int]) -> Rows:
    """These rows; if only keys are asked for, without the columns of `client_where`, which may be long texts.

    Annotations are computed from them once more.
    """
    kept = rows.picked(which)
    if plan.columns == (plan.schema.pk,) and not plan.related and not plan.annotated:
        width = len(replace(plan, client_where=None).reads)
        kept[:] = [row[:width] for row in kept]
    return kept


def take_related(related: list[Keyed], more: list[Keyed]) -> None:
    """Adds the related rows of one page to those of the pages before it."""
    for before, new in zip(related, more, strict=False):
        before.update(new)
        before.whole = None if before.whole is None or new.whole is None else before.whole | new.whole
    related += more[len(related) :]


def keys_in_order(plan: Plan, first: Page | None = None) -> Operation[list[str]]:
    """The keys of the objects, each once, in order, sliced as the plan says; nothing else is kept of the objects.

    first: the first page, if that is read already and is not the whole result.
    """
    keys_only = replace(plan, columns=(plan.schema.pk,), related=())
    if plan.client_sort:
        rows = sliced(plan, (yield from fetch(replace(keys_only, offset=0, limit=None), first=first)))
    else:
        rows = yield from fetch(keys_only, first=first)
    pk = plan.schema.pk
    rows.reverse()
    keys: dict[str, None] = {}
    while rows:  # they go as the keys come: both at once would be the most that is held
        row = rows.pop()
        value = row[0] if pk.codec.finish is None else decoded(plan.schema, (pk,), row)[pk.name]
        keys[str(pk.codec.encode(value))] = None
    return [*keys]


def fetch_keys(plan: Plan, keys: Sequence[str]) -> Operation[Rows]:
    """The rows of the objects with these keys that meet the condition, in the order of the keys."""
    rows, page = Rows(), Page(plan, keys=[*keys])
    while page.keys:
        page = yield from next_page(plan, page)
        rows += (row for row in page.rows if meets(plan, row))
        take_related(rows.related, page.rows.related)
    return rows


def count(plan: Plan) -> Operation[int]:
    """Returns how many objects meet the condition, within the slice."""
    if plan.finds_nothing:
        return 0
    if plan.client_where is not None:
        return len((yield from fetch(replace(plan, order=(), columns=(plan.schema.pk,), related=()))))
    page = yield from first_page(plan, "count")
    counted = page.count
    while not page.last:
        page = yield from next_page(plan, page, "count")
        counted += page.count
    counted = max(0, counted - plan.offset)
    return counted if plan.limit is None else min(counted, plan.limit)


def meets(plan: Plan, row: Wire) -> bool:
    """Returns whether a row meets the part of the condition that only Python can evaluate."""
    if plan.client_where is None:
        return True
    return plan.client_where.holds(cells_of(plan, row))


def cells_of(plan: Plan, row: Wire) -> dict[str, Any]:
    """The cells of a row by their names, annotations included. Raises StoredDataError."""
    cells = decoded(plan.schema, plan.reads, row)
    if plan.derived:
        cells.update(zip((one.name for one in plan.derived), row[len(plan.reads) :], strict=True))
    compute(cells, plan.annotated)
    return cells


def in_order(plan: Plan, rows: Rows, ranks: Sequence[float]) -> Rows:
    """The rows in the order of the plan; ties in the order of creation, in which the rows are if there are no ranks."""
    return rows.picked(positions_in_order(plan, rows, ranks))


def positions_in_order(plan: Plan, rows: Rows, ranks: Sequence[Any]) -> list[int]:
    """The same as the positions of the rows."""
    order = [*range(len(rows))]
    if ranks:
        order.sort(key=ranks.__getitem__, reverse=plan.backwards)
    for term in reversed(plan.order):
        column = term.cell
        keys: list[Any]
        if isinstance(column, Computed):
            keys = [computed_sort_key(column.value(cells_of(plan, row))) for row in rows]
        else:
            keys = _sort_keys(plan, column, rows)
        order = sorted_by(order, keys, term)
    return order


def _sort_keys(plan: Plan, column: ColumnRef, rows: Rows) -> list[Any]:
    at = plan.reads.index(column)
    try:
        wires = [column.default_wire if row[at] is None else row[at] for row in rows]
        return [wire_sort_key(column.codec, wire) for wire in wires]
    except ValueError:
        for row in rows:
            decoded(plan.schema, plan.reads, row)  # names the text that does not convert
        raise


def sliced(plan: Plan, rows: Rows) -> Rows:
    """The rows within the slice of the plan."""
    stop = len(rows) if plan.limit is None else min(len(rows), plan.offset + plan.limit)
    return rows if plan.offset == 0 and stop == len(rows) else rows.picked(range(plan.offset, stop))
