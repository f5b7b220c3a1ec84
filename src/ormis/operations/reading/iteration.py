"""What a queryset finds, portion by portion, as operations: for `iterator()`, which holds one or two of them."""

# What is private here is so to the package.
# pyright: reportPrivateUsage=false

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...calls import Operation
from ...planning.plan import Plan
from ...query.state import Query
from . import evaluate as results
from . import select as fetching
from .multi_valued import spreads
from .row_shapes import shaped
from .source import Source
from .subqueries import planned


@dataclass(slots=True)
class Portions:
    """A reading under way: where it stands. `plan` is None before the first portion.

    page: the last that was read of a walk in the order of creation.
    keys: in any other order, all of them in that order; `taken` of them were read.
    begun: objects were returned, which says that more than the first are wanted: from then on the next portion is asked
        for before a portion is made into objects: `ahead`.
    """

    source: Source[Any]
    size: int
    asynchronous: bool
    plan: Plan | None = None
    page: fetching.Page | None = None
    keys: Sequence[str] = field(default_factory=list[str])
    taken: int = 0
    begun: bool = False
    ahead: "_Portion | None" = None
    done: bool = False


def portions(source: Source[Any], size: int, asynchronous: bool) -> Portions:
    """A reading of all that the query finds, about `size` objects at a time. Raises ValueError for less than one."""
    if size < 1:
        raise ValueError(f"chunk_size={size}: give at least 1")
    return Portions(source, size, asynchronous)


def next_portion(reading: Portions) -> Operation[list[Any] | None]:
    """The next objects, None after the last."""
    if reading.done:
        return None
    if reading.plan is None:
        return (yield from _first_portion(reading))
    portion = reading.ahead or (yield from _read_on(reading))
    if portion is None:
        return None
    reading.ahead = (yield from _read_on(reading, portion.make)) if reading.begun else None
    reading.done = reading.ahead is None and reading.begun
    records = yield from _finished(reading, reading.plan, portion.make())
    reading.begun = reading.begun or bool(records)
    return records


def _first_portion(reading: Portions) -> Operation[list[Any]]:
    """All there is, where that is little or can't be read in portions; else how it can is found out."""
    source, query = reading.source, reading.source.query
    if not _comes_in_portions(query, reading.size):
        reading.done = True
        return (yield from results.found(source._copy(), reading.asynchronous))
    plan = yield from planned(query)
    page = fetching.Page(0, whole=True) if plan.finds_nothing else (yield from fetching.first_page(plan))
    if page.whole:
        reading.done = True
        return (yield from _finished(reading, plan, (yield from fetching.fetch(plan, begun=page))))
    if plan.order or query.sliced or not page.walking:
        reading.keys = yield from fetching.keys_in_order(plan, begun=page)
        plan, page = replace(plan, order=(), offset=0, limit=None), None
    reading.plan, reading.page = plan, page
    return []


def _comes_in_portions(query: Query, size: int) -> bool:
    if query.empty or query.combined is not None or (query.limit is not None and query.limit <= size):
        return False
    return query.shape == "objects" or not (query.distinct or spreads(query))


def _read_on(reading: Portions, meanwhile: Callable[[], object] | None = None) -> Operation["_Portion | None"]:
    """The next portion, None after the last. meanwhile: what can be done while the server reads it."""
    assert reading.plan is not None
    plan, page, size = reading.plan, reading.page, reading.size
    if page is not None:
        if page.last:
            return None
        page = reading.page = yield from fetching.next_page(plan, page, enough=size, meanwhile=meanwhile)
    else:
        keys = [*reading.keys[reading.taken : reading.taken + size]]
        if not keys:
            return None
        page = yield from fetching.next_page(plan, fetching.Page(0, keys=keys), meanwhile=meanwhile)
        reading.taken += len(keys) - len(page.keys)
    return _Portion(plan, page, results.maker(reading.source, reading.asynchronous))


def _finished(reading: Portions, plan: Plan, rows: fetching.Rows) -> Operation[list[Any]]:
    """The rows in the shape that the query asks for, with what is fetched after them."""
    if reading.source.query.shape != "objects":
        return shaped(reading.source.query, results.values_of(plan, rows))
    return (yield from results.made(reading.source, plan, rows, reading.asynchronous))


@dataclass(slots=True)
class _Portion:
    """The rows of a page that meet the residual, with their objects, once they are made."""

    plan: Plan
    page: fetching.Page
    maker: fetching.Make | None
    rows: fetching.Rows | None = None

    def make(self) -> fetching.Rows:
        """Them; made at the first call."""
        if self.rows is None:
            found = self.page.rows
            if self.plan.client_where is not None:
                found = found.picked([i for i, row in enumerate(found) if fetching.meets(self.plan, row)])
            self.rows = found
            self.rows.made = None if self.maker is None else self.maker(self.rows)
        return self.rows
