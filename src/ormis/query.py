"""What a queryset asks for, as an immutable value."""

from dataclasses import dataclass, replace
from typing import Any

from .conditions import Q
from .schema import Schema


@dataclass(frozen=True, slots=True)
class Query:
    """The state of a queryset.

    where: one condition per filter() or exclude() call; each speaks of its own related objects.
    order: names, `-names`, expressions or "?"; None where the model's own order holds.
    offset, limit: the slice.
    fields: the columns asked for, None for all.
    related: the relations to one object whose objects come along.
    empty: none() was called.
    """

    schema: Schema
    where: tuple[Q, ...] = ()
    order: tuple[Any, ...] | None = None
    backwards: bool = False
    offset: int = 0
    limit: int | None = None
    fields: tuple[str, ...] | None = None
    related: tuple[str, ...] = ()
    empty: bool = False

    def having(self, **changes: Any) -> "Query":
        """A copy with these changes."""
        return replace(self, **changes)

    @property
    def sliced(self) -> bool:
        """True where a slice was taken."""
        return self.offset > 0 or self.limit is not None

    def slice(self, start: int | None, stop: int | None) -> "Query":
        """The slice of this query's results, counted from its own start."""
        begin = start or 0
        limit = None if stop is None else max(0, stop - begin)
        if self.limit is not None:
            rest = max(0, self.limit - begin)
            limit = rest if limit is None else min(limit, rest)
        return self.having(offset=self.offset + begin, limit=limit)
