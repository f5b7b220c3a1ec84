"""The state of a queryset, as an immutable value."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from ..fetching import FetchMode
from ..schema.schema import Schema
from .expressions import Expression
from .q import Q

Shape = Literal["objects", "dicts", "tuples", "flat", "named"]
Combination = Literal["union", "union all", "intersection", "difference"]


@dataclass(frozen=True, slots=True)
class Annotation:
    """A computed value under a name. shown: it is part of the results, not only known to conditions and orders."""

    name: str
    expression: Expression
    shown: bool = True


def earlier_name(name: str, place: int) -> str:
    """The name of an annotation, by its place, once another has taken its name."""
    return f"{name}#{place}"


@dataclass(frozen=True)
class Query:
    """The state of a queryset.

    where: one condition per filter() or exclude() call; each speaks of its own related objects.
    order: names, `-names`, expressions or "?"; None if the model's own order holds.
    offset, limit: the slice.
    fields: the columns asked for, None for all; of objects, those that are loaded at once.
    annotations: the computed values, each of which may name those before.
    groups: what the rows of a group have in common, if annotate() with an aggregate followed values(); the first
        `ungrouped` annotations are of rows, those after of groups.
    labels: the names of the values of a row, if they are others than the fields.
    deferred: these are what defer() left, not what only() named.
    shape: the result for a row: an object, or a row of values() and values_list().
    distinct: equal rows come once.
    related: the relations to one object whose objects come along.
    prefetch: the relations, by name or as a Prefetch, whose objects are fetched after.
    fetch_mode: what is done about what is not loaded; None: what is done about the objects that lead to these.
    combined: how the parts, other queries, make up this one; it has an order and a slice of its own then.
    empty: none() was called.
    """

    schema: Schema
    where: tuple[Q, ...] = ()
    order: tuple[Any, ...] | None = None
    backwards: bool = False
    offset: int = 0
    limit: int | None = None
    fields: tuple[str, ...] | None = None
    labels: tuple[str, ...] | None = None
    annotations: tuple[Annotation, ...] = ()
    groups: tuple[str, ...] | None = None
    ungrouped: int = 0
    deferred: bool = False
    shape: Shape = "objects"
    distinct: bool = False
    related: tuple[str, ...] = ()
    prefetch: tuple[Any, ...] = ()
    fetch_mode: FetchMode | None = None
    combined: Combination | None = None
    parts: tuple[Any, ...] = ()
    empty: bool = False

    def having(self, **changes: Any) -> "Query":
        """A copy with these changes. Every method of a queryset makes one: dataclasses.replace() takes 5x the time."""
        copy = object.__new__(Query)
        vars(copy).update(vars(self), **changes)
        return copy

    @property
    def sliced(self) -> bool:
        """True if a slice was taken."""
        return self.offset > 0 or self.limit is not None

    @property
    def shown(self) -> tuple[str, ...]:
        """The names of the annotations that results have; of several under one name the last counts."""
        last = {annotation.name: annotation.shown for annotation in self.annotations}
        return tuple(name for name, shown in last.items() if shown)

    def slice(self, start: int | None, stop: int | None) -> "Query":
        """The slice of this query's results, counted from its own start."""
        begin = start or 0
        limit = None if stop is None else max(0, stop - begin)
        if self.limit is not None:
            rest = max(0, self.limit - begin)
            limit = rest if limit is None else min(limit, rest)
        return self.having(offset=self.offset + begin, limit=limit)


@lru_cache(maxsize=1024)
def every(schema: Schema) -> Query:
    """The query for every object, which all others begin with: one for each model."""
    return Query(schema)
