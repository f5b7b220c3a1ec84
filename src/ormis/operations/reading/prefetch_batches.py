"""The objects that refer to some others, part by part: for `prefetch_related` across foreign keys."""

# What is private here is so to the package.
# pyright: reportPrivateUsage=false

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...calls import Operation
from ...planning import predicates as nodes
from ...planning.plan import Plan, Related
from ...planning.predicates import Compare, join
from ...records.gc_pause import without_collector
from ...records.state import Keyed, cache_related
from ...schema.schema import Column
from . import evaluate as results
from . import select as fetching
from .prefetch import prefetch, with_field
from .row_shapes import attach_related
from .source import Source
from .subqueries import planned

PART = 1000
"""Rows that one call is to read: the client makes objects of them while the server reads the next."""

Take = Callable[[list[Any], Sequence[Any]], object]
"""Is given objects, and the keys that were asked for: the objects are all of those that refer to one of these. Among
them may be some that refer to none, where others change them meanwhile, or changed them without their indexes."""


@dataclass(slots=True)
class _Parts:
    """What was read so far: a part that waits to be made into objects, the objects of those before it."""

    source: Source[Any]
    column: Column
    asynchronous: bool
    take: Take
    known: Mapping[Any, dict[str, Any]]
    waiting: "list[tuple[Plan, fetching.Page | fetching.Rows, Sequence[Any]]]" = field(default_factory=list[Any])
    records: list[Any] = field(default_factory=list[Any])
    related: list[Keyed] = field(default_factory=list[Keyed])

    def finish(self) -> None:
        """Makes objects of what waits and gives them away."""
        if not self.waiting:
            return
        plan, part, keys = self.waiting.pop()
        with without_collector():
            rows = part.rows if isinstance(part, fetching.Page) else part
            objects = results.records_of(self.source, plan, rows, self.asynchronous, self._related(plan, rows))
            fetching.take_related(self.related, rows.related)
            self.records += objects
            self.take(objects, keys)

    def _related(self, plan: Plan, rows: fetching.Rows) -> list[dict[str, Any] | None] | None:
        if not self.known or self.column.codec.finish is not None:
            return None
        at = plan.reading().index(self.column)
        return [self.known.get(row[at]) for row in rows]

    def attach(self, related: Sequence[Related]) -> None:
        """Attaches what came along; those that objects of a key know of remain."""
        attach_related(self.records, related, self.related, self.source.db, self.asynchronous)
        if any(one.hop.forward and one.hop.reference.column is self.column for one in related):
            for record in self.records:
                for name, owner in self.known.get(vars(record)[self.column.name], {}).items():
                    cache_related(record, name, owner)


def referring(
    source: Source[Any],
    name: str,
    keys: Sequence[Any],
    asynchronous: bool,
    take: Take,
    known: Mapping[Any, dict[str, Any]],
) -> Operation[None]:
    """Gives away the objects whose foreign key `name` is one of these, those of one key together and in order.

    Each call reads those of as many keys as make up a part, or of all. So none is looked for first and read later, the
    server is free between the calls, and the client makes objects of one part while the server reads the next.

    known: the related objects that those of a key know of from the beginning, where they do.
    """
    column = source._schema.column(name)
    parts, make = _Parts(source, column, asynchronous, take, known), results.maker(source, asynchronous)
    whole = yield from planned(with_field(source, name).query)
    left, some = [*keys], nodes.MANY
    while left and not whole.finds_nothing:
        asked = Compare(column, "in", tuple(left[:some]))
        plan = replace(whole, where=join("and", [whole.where, asked]))
        page = yield from fetching.first_page(plan, in_parts=(column.position, PART), meanwhile=parts.finish)
        parts.finish()
        ready = page.whole and plan.client_where is None and not plan.sorts_here
        part = page if ready else (yield from fetching.fetch(plan, make=make, begun=page))
        done = page.taken or len(asked.values)
        parts.waiting.append((plan, part, asked.values[:done]))
        left, some = left[done:], min(nodes.MANY, done + done // 4 + 1)
    parts.finish()
    if whole.related and parts.records:
        parts.attach(whole.related)
    yield from prefetch(parts.records, source.query.prefetch, source.db, asynchronous)
