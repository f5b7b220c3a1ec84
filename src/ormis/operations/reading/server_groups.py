"""Groups that the server adds up: calls of the script `query`, each for a portion of the objects.

Touched, read only: as in pages.py. A sum of ints or floats without conditions reads sorted indexes only.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, cast

from ...calls import Operation
from ...planning.columns import ColumnRef
from ...planning.plan import Plan
from ...planning.server_aggregates import ServerAggregate, ServerAggregates
from ...query.accumulators import Accumulator
from ..outcomes import unpack
from .groups import Groups
from .pages import Page, first_page, next_page


def added_by_server(plan: Plan, groups: Groups) -> Operation[None]:
    """Adds up what the server has added up, portion by portion. ValueError for a text that does not convert.

    Each portion is taken in while the server works on the next.
    """
    if plan.finds_nothing:
        return
    assert isinstance(plan.aggregates, ServerAggregates)
    page = yield from first_page(plan, "aggregate")
    if page.ends is not None:
        for ends in page.ends:
            _include_ends(plan.aggregates, groups, ends)
        if not page.packed:
            return
    portions = _Portions(plan.aggregates, groups, page)
    while not page.last:
        page = yield from next_page(plan, page, "aggregate", meanwhile=portions.take)
        portions.take()
        portions.pending = page
    portions.take()
    portions.end()


def _include_ends(asked: ServerAggregates, groups: Groups, replies: Sequence[Any]) -> None:
    """Adds the sizes and the ends of indexes."""
    for one, own, reply in zip(asked.aggregates, groups.at(()), replies, strict=True):
        if one.column is None:
            own.include(reply, 0, 0)
        elif reply is not None:
            own.add(one.column.codec.decode(reply))


class _Portions:
    """The portions that were read, of which the last is still to be taken in, and the groups so far.

    numbers: of a group, by its texts. counts, totals: of each aggregate, by these numbers; a portion may name thousands
    of groups, so ints are added up here, and included in the accumulators at the end.
    """

    def __init__(self, asked: ServerAggregates, groups: Groups, first: Page) -> None:
        self.asked, self.groups = asked, groups
        self.pending: Page | None = first
        self.numbers: dict[Any, int] = {}
        self.accumulators: list[list[Accumulator]] = []
        self.counts: list[list[int]] = [[] for _ in asked.aggregates]
        self.totals: list[list[int]] = [[] for _ in asked.aggregates]

    def take(self) -> None:
        """Takes in the pending portion."""
        page, self.pending = self.pending, None
        for packed in () if page is None else page.packed:
            self._take(unpack(packed))

    def _take(self, reply: Sequence[Any]) -> None:
        count, texts, columns = reply
        width = len(self.asked.keys)
        keys: Iterable[Any] = texts if width == 1 else (tuple(texts[i * width : (i + 1) * width]) for i in range(count))
        known = self.numbers
        found = [known[key] if key in known else self._new(key) for key in keys]
        for i, (one, column) in enumerate(zip(self.asked.aggregates, columns, strict=True)):
            if one.adds_ints:
                self._add_ints(i, found, column)
            else:
                _include(one, [self.accumulators[number][i] for number in found], column)
            _include_more(one, [self.accumulators[number][i] for number in found] if column[3] else [], column[3])

    def _new(self, key: Any) -> int:
        own = (key,) if len(self.asked.keys) == 1 else key
        number = self.numbers[key] = len(self.accumulators)
        self.accumulators.append(self.groups.at(tuple(map(_value, self.asked.keys, own))))
        for numbers in (*self.counts, *self.totals):
            numbers.append(0)
        return number

    def _add_ints(self, i: int, found: Sequence[int], column: Sequence[Any]) -> None:
        counts, totals = self.counts[i], self.totals[i]
        for number, n in zip(found, column[0], strict=True):
            counts[number] += n
        if column[1]:
            for number, total in zip(found, column[1], strict=True):
                totals[number] += int(total)

    def end(self) -> None:
        """Includes the sums in the accumulators."""
        for i, (counts, totals) in enumerate(zip(self.counts, self.totals, strict=True)):
            if self.asked.aggregates[i].adds_ints:
                for own, n, total in zip(self.accumulators, counts, totals, strict=True):
                    own[i].include(n, total, 0)


def _include(one: ServerAggregate, accumulators: Sequence[Accumulator], column: Sequence[Any]) -> None:
    """Includes the sums of a column of a portion."""
    counts, sums, squares = cast(tuple[list[int], list[Any], list[Any]], column[:3])
    if one.column is not None and one.column.codec.kind == "float":
        sums, squares = [*map(float, sums)], [*map(float, squares)]
    nothing = [0] * len(counts)
    added = zip(counts, sums or nothing, squares or nothing, strict=True)
    for own, (n, total, square) in zip(accumulators, added, strict=True):
        own.include(n, total, square)


def _include_more(one: ServerAggregate, accumulators: Sequence[Accumulator], more: Sequence[Any]) -> None:
    """Includes the further parts of sums, and the values that the server leaves to the caller."""
    kind = "" if one.column is None else one.column.codec.kind
    for number, parts, further, odd in more:
        own = accumulators[int(number) - 1]
        for part in _numbers(kind, parts, 1):
            own.include(0, part, 0)
        for part in _numbers(kind, further, 2):
            own.include(0, 0, part)
        for text in odd:
            own.add(_value(one.column, text))


def _value(column: ColumnRef | None, text: Any) -> Any:
    """The value of a stored text. ValueError for one that does not convert."""
    return None if column is None or text is False else column.codec.decode(text.encode())


def _numbers(kind: str, parts: Sequence[Any], power: int) -> list[Any]:
    """Partial sums, of the values or of their squares, as numbers of their kind."""
    if kind == "decimal":
        exact = zip(parts[::2], parts[1::2], strict=True)
        return [Decimal(int(part)).scaleb(-int(exponent) * power) for exponent, part in exact]
    return [float(part) if kind == "float" else int(part) for part in parts]
