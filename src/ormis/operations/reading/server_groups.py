"""Groups that the server adds up: calls of the script `query`, each for a portion of the objects.

Touched, read only: as in pages.py. A sum of ints or floats without conditions reads sorted indexes only.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from ...calls import Operation
from ...planning.columns import ColumnRef
from ...planning.plan import Plan
from ...planning.server_aggregates import ServerAggregate, ServerAggregates
from ...query.accumulators import Accumulator, Partial
from ..outcomes import unpack
from .groups import Groups
from .pages import first_page, next_page


def added_by_server(plan: Plan, groups: Groups) -> Operation[None]:
    """Adds up what the server has added up, portion by portion. ValueError for a text that does not convert."""
    if plan.finds_nothing:
        return
    assert isinstance(plan.aggregates, ServerAggregates)
    page = yield from first_page(plan, "aggregate")
    while True:
        for texts, states in unpack(page.packed[0]) if page.packed else ():
            keys = zip(plan.aggregates.keys, texts, strict=True)
            accumulators = groups.at(tuple([None if text is False else _value(column, text) for column, text in keys]))
            for one, state, accumulator in zip(plan.aggregates.aggregates, states, accumulators, strict=True):
                _include(one, state, accumulator)
        if page.last:
            return
        page = yield from next_page(plan, page, "aggregate")


def _value(column: ColumnRef, text: str) -> Any:
    """The value of a stored text. ValueError for one that does not convert."""
    return column.codec.decode(text.encode())


def _include(one: ServerAggregate, state: Sequence[Any], accumulator: Accumulator) -> None:
    count, parts, squares, odd = state
    kind = "" if one.column is None else one.column.codec.kind
    accumulator.include(Partial(int(count), _numbers(kind, parts, 1), _numbers(kind, squares, 2)))
    for text in odd:
        assert one.column is not None
        accumulator.add(_value(one.column, text))


def _numbers(kind: str, parts: Sequence[Any], power: int) -> list[Any]:
    """Partial sums, of the values or of their squares, as numbers of their kind."""
    if kind == "decimal":
        exact = zip(parts[::2], parts[1::2], strict=True)
        return [Decimal(int(part)).scaleb(-int(exponent) * power) for exponent, part in exact]
    return [float(part) if kind == "float" else int(part) for part in parts]
