"""Evaluating a queryset batch by batch, as operations: for `iterator()`, which holds one or two batches."""

# Private names of this module are private to the package.
# pyright: reportPrivateUsage=false

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...calls import Operation, Origin
from ...planning.plan import Plan
from ...query.state import Query
from .complete_rows import keys_of, rows_of
from .evaluate import completed, evaluate, hydrator, values_of
from .multi_valued import spreads
from .pages import Page, Rows, first_page, next_page
from .row_shapes import shaped
from .select import Hydrate, fetch, keys_in_order, meets
from .source import Source
from .subqueries import planned

# The first batch finds out how the rest is read:
#
#     result fits one call, or can't be divided      one batch, done
#     walk in the order of creation                  page: the last one read; next_page() goes on after it
#     any other order, a slice, candidates           keys: all of them in that order, `taken` of them were read
#
# Once objects were returned, the consumer wants more than the first batch: from then on the next batch is asked for
# (`ahead`) before the objects of the current one are made, which happens while the server reads.


@dataclass(slots=True)
class BatchReader:
    """The state of an iteration. `plan` is None before the first batch."""

    source: Source[Any]
    origin: Origin
    size: int
    plan: Plan | None = None
    page: Page | None = None
    keys: Sequence[str] = field(default_factory=list[str])
    taken: int = 0
    begun: bool = False
    ahead: "_Batch | None" = None
    done: bool = False


def batches(source: Source[Any], origin: Origin, size: int) -> BatchReader:
    """An iteration over the results, about `size` at a time. Raises ValueError for less than one."""
    if size < 1:
        raise ValueError(f"chunk_size={size}: give at least 1")
    return BatchReader(source, origin, size)


def next_batch(reader: BatchReader) -> Operation[list[Any] | None]:
    """The next objects, None after the last."""
    if reader.done:
        return None
    if reader.plan is None:
        return (yield from _first_batch(reader))
    batch = reader.ahead or (yield from _read_on(reader))
    if batch is None:
        return None
    reader.ahead = (yield from _read_on(reader, batch.decode)) if reader.begun else None
    reader.done = reader.ahead is None and reader.begun
    results = yield from _completed(reader, reader.plan, batch.decode(), batch.origin)
    reader.begun = reader.begun or bool(results)
    return results


def _first_batch(reader: BatchReader) -> Operation[list[Any]]:
    """All results if they are few or can't be divided; else nothing, and the reader knows how they are read."""
    source, query = reader.source, reader.source.query
    if not _comes_in_batches(query, reader.size):
        reader.done = True
        return (yield from evaluate(source._copy(), reader.origin))
    plan = yield from planned(query, reader.origin)
    if plan.derived:
        return (yield from _first_of_filled(reader, plan))
    page = Page(plan, whole=True) if plan.finds_nothing else (yield from first_page(plan))
    if page.whole:
        reader.done = True
        return (yield from _completed(reader, plan, (yield from fetch(plan, first=page)), reader.origin))
    if plan.order or query.sliced or not page.walking:
        reader.keys = yield from keys_in_order(plan, page)
        plan, page = replace(plan, order=(), offset=0, limit=None), None
    reader.plan, reader.page = plan, page
    return []


def _first_of_filled(reader: BatchReader, plan: Plan) -> Operation[list[Any]]:
    """As _first_batch(), if cells are filled after reading: for each batch, unless they are about all rows."""
    if any(one.whole for one in plan.derived):
        reader.done = True
        return (yield from evaluate(reader.source._copy(), reader.origin))
    reader.keys = yield from keys_of(plan, reader.origin)
    reader.plan = replace(plan, offset=0, limit=None)  # each batch is put in order once more
    return []


def _comes_in_batches(query: Query, size: int) -> bool:
    if query.empty or query.combined is not None or (query.limit is not None and query.limit <= size):
        return False
    return query.shape == "objects" or not (query.distinct or query.groups is not None or spreads(query))


def _read_on(reader: BatchReader, meanwhile: Callable[[], object] | None = None) -> Operation["_Batch | None"]:
    """The next batch, None after the last. meanwhile: a function to run while the server reads it."""
    assert reader.plan is not None
    plan, page, size = reader.plan, reader.page, reader.size
    if page is not None:
        if page.last:
            return None
        page = reader.page = yield from next_page(plan, page, enough=size, meanwhile=meanwhile)
    else:
        keys = [*reader.keys[reader.taken : reader.taken + size]]
        if not keys:
            return None
        if plan.derived:
            reader.taken += len(keys)
            filled = yield from rows_of(replace(plan, keys=tuple(keys)), reader.origin)
            return _Batch(plan, Page(plan), reader.origin.of_result(), None, filled)
        page = yield from next_page(plan, Page(plan, keys=keys), meanwhile=meanwhile)
        reader.taken += len(keys) - len(page.keys)
    origin = reader.origin.of_result()
    return _Batch(plan, page, origin, hydrator(reader.source, origin))


def _completed(reader: BatchReader, plan: Plan, rows: Rows, origin: Origin) -> Operation[list[Any]]:
    """The rows in the shape that the query asks for, with their related objects."""
    if reader.source.query.shape != "objects":
        return shaped(reader.source.query, values_of(plan, rows))
    return (yield from completed(reader.source, origin, plan, rows))


@dataclass(slots=True)
class _Batch:
    """A page; its rows that meet the condition, and their objects, once they are decoded."""

    plan: Plan
    page: Page
    origin: Origin
    hydrate: Hydrate | None
    rows: Rows | None = None

    def decode(self) -> Rows:
        """The rows, with their objects; at the first call they are made."""
        if self.rows is None:
            rows = self.page.rows
            if self.plan.client_where is not None:
                rows = rows.picked([i for i, row in enumerate(rows) if meets(self.plan, row)])
            self.rows = rows
            self.rows.objects = None if self.hydrate is None else self.hydrate(self.rows)
        return self.rows
