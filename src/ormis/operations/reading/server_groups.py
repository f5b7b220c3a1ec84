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
from .pages import first_page, next_page


def added_by_server(plan: Plan, groups: Groups) -> Operation[None]:
    """Adds up what the server has added up, portion by portion. ValueError for a text that does not convert."""
    if plan.finds_nothing:
        return
    assert isinstance(plan.aggregates, ServerAggregates)
    known = dict[Any, list[Accumulator]]()
    page = yield from first_page(plan, "aggregate")
    while True:
        if page.packed:
            _include(plan.aggregates, groups, known, unpack(page.packed[0]))
        if page.last:
            return
        page = yield from next_page(plan, page, "aggregate")


def _include(
    asked: ServerAggregates, groups: Groups, known: dict[Any, list[Accumulator]], reply: Sequence[Any]
) -> None:
    """Adds the groups of one portion. known: the accumulators by the texts of their groups."""
    count, texts, columns = reply
    width = len(asked.keys)
    keys: Iterable[Any] = texts if width == 1 else (tuple(texts[i * width : (i + 1) * width]) for i in range(count))
    found: list[list[Accumulator]] = []
    for key in keys:
        accumulators = known.get(key)
        if accumulators is None:
            own = (key,) if width == 1 else key
            accumulators = known[key] = groups.at(tuple(map(_value, asked.keys, own)))
        found.append(accumulators)
    for i, (one, column) in enumerate(zip(asked.aggregates, columns, strict=True)):
        _add_column(one, [accumulators[i] for accumulators in found], column)


def _add_column(one: ServerAggregate, accumulators: Sequence[Accumulator], column: Sequence[Any]) -> None:
    counts: list[int] = column[0]
    sums, squares, more = cast(tuple[list[Any], list[Any], list[Any]], column[1:])
    kind = "" if one.column is None else one.column.codec.kind
    if kind == "float":
        sums, squares = [*map(float, sums)], [*map(float, squares)]
    nothing = [0] * len(counts)
    added = zip(counts, sums or nothing, squares or nothing, strict=True)
    for own, (n, total, square) in zip(accumulators, added, strict=True):
        own.include(n, total, square)
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
