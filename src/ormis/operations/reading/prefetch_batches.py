"""The objects that refer to some others by a foreign key, batch by batch: for `prefetch_related`."""

# Private names of this module are private to the package.
# pyright: reportPrivateUsage=false

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...calls import Operation, Origin
from ...planning.plan import Plan, Related
from ...planning.predicates import Compare, join
from ...records.gc_pause import without_collector
from ...records.state import Keyed, cache_related
from ...schema.schema import Column
from .evaluate import evaluate, hydrator, objects
from .pages import Page, Rows, first_page
from .prefetch import among, prefetch, with_field
from .renewal import renew_rows
from .row_shapes import attach_related
from .select import fetch, take_related
from .source import Source
from .subqueries import planned

Take = Callable[[list[Any], Sequence[Any]], object]
"""Is given the objects that refer to one of some keys, and the keys. If others change the objects meanwhile, or changed
them without their indexes, some of the objects may refer to none of the keys."""


@dataclass(slots=True)
class _Batches:
    """The state of the reading: a batch that waits for hydration, and the objects of the batches before it."""

    source: Source[Any]
    column: Column
    origin: Origin
    take: Take
    related_by_key: Mapping[Any, dict[str, Any]]
    pending: "list[tuple[Plan, Page | Rows, Sequence[Any]]]" = field(default_factory=list[Any])
    records: list[Any] = field(default_factory=list[Any])
    related: list[Keyed] = field(default_factory=list[Keyed])

    def finish(self) -> None:
        """Makes the objects of the pending batch and hands them on."""
        if not self.pending:
            return
        plan, batch, keys = self.pending.pop()
        with without_collector():
            rows = batch.rows if isinstance(batch, Page) else batch
            records = objects(self.source, self.origin, plan, rows, self._cached(plan, rows))
            take_related(self.related, rows.related)
            self.records += records
            self.take(records, keys)

    def _cached(self, plan: Plan, rows: Rows) -> list[dict[str, Any] | None] | None:
        if not self.related_by_key or self.column.codec.finish is not None:
            return None
        at = plan.reads.index(self.column)
        return [self.related_by_key.get(row[at]) for row in rows]

    def attach(self, related: Sequence[Related]) -> None:
        """Caches the objects of select_related(); those that were cached by key remain."""
        attach_related(self.records, related, self.related, self.origin)
        if any(one.hop.forward and one.hop.reference.column is self.column for one in related):
            for record in self.records:
                for name, owner in self.related_by_key.get(vars(record)[self.column.name], {}).items():
                    cache_related(record, name, owner)


def referring(
    source: Source[Any],
    origin: Origin,
    name: str,
    keys: Sequence[Any],
    take: Take,
    related_by_key: Mapping[Any, dict[str, Any]],
) -> Operation[None]:
    """Hands on the objects whose foreign key `name` is one of these, those of one key together and in order.

    Each call reads those of as many keys as make up a batch, or of all. So no object is found in one call and read in a
    later one, the server is free between the calls, and objects are made of one batch while the server reads the next.

    related_by_key: the related objects to cache with the objects that refer to a key.
    """
    column, limits = source._schema.column(name), origin.limits
    origin = origin.of_result(source.query.fetch_mode)
    batches, hydrate = _Batches(source, column, origin, take, related_by_key), hydrator(source, origin)
    whole = (yield from planned(with_field(source, name).query, origin)).renewing()
    if whole.derived:  # of objects in other partitions: found by keys, as any queryset's objects are
        take((yield from evaluate(among(with_field(source, name), name, keys), origin)), keys)
        return
    left, size = [*keys], limits.values
    while left and not whole.finds_nothing:
        asked = Compare(column, "in", tuple(left[:size]))
        plan = replace(whole, where=join("and", [whole.where, asked]))
        page = yield from first_page(plan, batch=(column.position, limits.prefetched), meanwhile=batches.finish)
        batches.finish()
        ready = page.whole and plan.client_where is None and not plan.client_sort
        batch = page if ready else (yield from fetch(plan, hydrate, page))
        if isinstance(batch, Rows) and plan.renews:
            yield from renew_rows(plan, batch, batch.related)
        covered = page.covered or len(asked.values)
        batches.pending.append((plan, batch, asked.values[:covered]))
        left, size = left[covered:], min(limits.values, covered + covered // 4 + 1)
    batches.finish()
    if whole.related and batches.records:
        batches.attach(whole.related)
    if whole.apart:
        yield from prefetch(batches.records, [one.path for one in whole.apart], origin)
    yield from prefetch(batches.records, source.query.prefetch, origin)
