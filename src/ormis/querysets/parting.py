"""The objects that refer to some others, part by part: for `prefetch_related` across foreign keys."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import nodes
from ..calls import Operation
from ..operations import fetching
from ..operations.planning import planned
from ..plan import Plan
from . import results
from .prefetching import among, prefetch
from .shapes import attach_related
from .source import Source

PART = 1000
"""Rows that one call is to read: the client makes objects of them while the server reads the next."""

Take = Callable[[list[Any]], object]
"""Is given objects: all of those that refer to some of the keys."""


@dataclass(slots=True)
class _Parts:
    """What was read so far: a part that waits to be made into objects, the objects of those before it."""

    source: Source[Any]
    asynchronous: bool
    take: Take
    waiting: "list[tuple[Plan, fetching.Page | fetching.Rows]]" = field(default_factory=list[Any])
    records: list[Any] = field(default_factory=list[Any])
    related: list[dict[Any, Any]] = field(default_factory=list[Any])

    def finish(self) -> None:
        """Makes objects of what waits and gives them away."""
        while self.waiting:
            plan, part = self.waiting.pop()
            rows = part.rows if isinstance(part, fetching.Page) else part
            objects = results.objects_of(self.source, plan, rows, self.asynchronous)
            fetching.take_related(self.related, rows.related)
            self.records += objects
            self.take(objects)


def referring(source: Source[Any], name: str, keys: Sequence[Any], asynchronous: bool, take: Take) -> Operation[None]:
    """Gives away the objects whose foreign key `name` is one of these, those of one key together and in order.

    Each call reads those of as many keys as make up a part, or of all. So none is looked for first and read later, the
    server is free between the calls, and the client makes objects of one part while the server reads the next.
    """
    parts = _Parts(source, asynchronous, take)
    left, some = [*keys], nodes.MANY
    position = source._schema.column(name).position  # pyright: ignore[reportPrivateUsage]
    make = results.maker(source, asynchronous)
    plan: Plan | None = None
    while left:
        asked = left[:some]
        plan = yield from planned(among(source, name, asked).query)
        page = yield from fetching.first_page(plan, in_parts=(position, PART), meanwhile=parts.finish)
        parts.finish()
        whole = page.whole and plan.residual is None and not plan.sorts_here
        parts.waiting.append((plan, page if whole else (yield from fetching.fetch(plan, make=make, begun=page))))
        done = page.taken or len(asked)
        left, some = left[done:], min(nodes.MANY, done + done // 4 + 1)
    parts.finish()
    if plan is not None and plan.related:
        attach_related(parts.records, plan.related, parts.related, source.db, asynchronous)
    yield from prefetch(parts.records, source.query.prefetch, source.db, asynchronous)
