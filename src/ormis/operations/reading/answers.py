"""The answer of a subquery for one row outside: the first rows in its order that it needs, no more are held."""

from bisect import insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from ...errors import FieldError
from ...planning.columns import Computed
from ...planning.ordering import OrderTerm, computed_sort_key, sort_key
from ...query.subqueries import Exists, Subquery, ValuesOf

Place = tuple[Any, ...]
"""Where a row is in the order of a subquery."""


@dataclass(slots=True)
class Answer:
    """What was found so far: values with their places, in order, those before the slice included."""

    value: Subquery
    kept: list[tuple[Place, Any]] = field(default_factory=list[tuple[Place, Any]])
    most: int | None = None
    ordered: bool = False
    """Whether the order of the rows decides about the answer."""

    def __post_init__(self) -> None:
        offset, limit = self.value.inner.offset, self.value.inner.limit
        if isinstance(self.value, Exists):
            self.most = offset + 1
        elif isinstance(self.value, ValuesOf):
            self.most = None if limit is None else offset + limit
            self.ordered = self.value.inner.sliced
        else:
            self.most = offset + 2
            self.ordered = self.value.inner.sliced

    @property
    def complete(self) -> bool:
        """Whether further rows change nothing."""
        return not self.ordered and self.most is not None and len(self.kept) >= self.most

    def add(self, place: Place, value: Any) -> None:
        """One more row."""
        if not self.ordered:
            self.kept.append((place, value))
            return
        if self.most is None or len(self.kept) < self.most or place < self.kept[-1][0]:
            insort(self.kept, (place, value), key=itemgetter(0))
            del self.kept[self.most :]

    def take(self, values: Sequence[Any], cut: bool = False) -> None:
        """The values in their order; cut: the slice is still to be taken."""
        before = 0 if cut else self.value.inner.offset
        self.kept = [((), None)] * before + [((), value) for value in values]

    @property
    def result(self) -> Any:
        """The value of the subquery. Raises FieldError if it is to be one and there are more."""
        query = self.value.inner
        stop = None if query.limit is None else query.offset + query.limit
        values = [value for _, value in self.kept[query.offset : stop]]
        if isinstance(self.value, Exists):
            return bool(values)
        if isinstance(self.value, ValuesOf):
            return _members(values)
        if len(values) > 1:
            raise FieldError(
                f"{self.value} finds more than one row for a row outside: slice its queryset to one, [:1], or aggregate"
            )
        return values[0] if values else None


def _members(values: list[Any]) -> Any:
    try:
        return frozenset(values)
    except TypeError:
        return values


# Order ---------------------------------------------------------------------------------------------------------------


class _Descending:
    """A key that sorts the other way round."""

    __slots__ = ("key",)

    def __init__(self, key: Any) -> None:
        self.key = key

    def __lt__(self, other: "_Descending") -> bool:
        return other.key < self.key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Descending) and self.key == other.key

    __hash__ = None  # type: ignore[assignment]


def place_of(order: Sequence[OrderTerm]) -> Callable[[Mapping[str, Any], float], Place]:
    """The function that tells where a row is in an order, of its cells and its rank among those that are equal."""
    return lambda cells, rank: (*(_part(term, cells) for term in order), rank)


def _part(term: OrderTerm, cells: Mapping[str, Any]) -> tuple[int, Any]:
    found = term.cell
    if isinstance(found, Computed):
        value = found.value(cells)
        key = None if value is None else computed_sort_key(value)
    else:
        key = sort_key(found.codec, cells[found.name])
    if key is None:
        return (0 if term.nulls_first else 2), None
    return 1, _Descending(key) if term.descending else key
