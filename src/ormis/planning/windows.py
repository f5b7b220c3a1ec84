"""Windows bound to a model: cells that are filled once all rows are there."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from ..errors import FieldError, shown
from ..query.expressions import Expression, OrderBy
from ..query.window_frames import ValueRange
from ..query.windows import Window
from ..schema.schema import Schema
from .bound import Bound
from .columns import Cell, Derived, needed
from .predicates import check_ordered

_numbers = count(1)
_DISTANCES = {
    "int": "a number", "float": "a number", "decimal": "an int or a Decimal", "date": "a timedelta",
    "datetime": "a timedelta", "timedelta": "a timedelta",
}  # fmt: skip
"""The distances that a ValueRange has between values of a kind."""
_TYPES = {"a number": "int float", "an int or a Decimal": "int Decimal", "a timedelta": "timedelta"}


@dataclass(frozen=True, slots=True, eq=False)
class WindowOrder:
    """One term of the order of a window."""

    by: Bound
    descending: bool
    nulls_first: bool


@dataclass(frozen=True, slots=True, eq=False)
class WindowCell(Derived):
    """The value of a window for the row.

    arguments, condition: those of its function, an aggregate or another. partition, order: how the rows are divided and
    ordered.
    """

    window: Window = field(kw_only=True)
    arguments: tuple[Bound, ...] = field(kw_only=True)
    condition: Bound | None = field(kw_only=True)
    partition: tuple[Bound, ...] = field(kw_only=True)
    order: tuple[WindowOrder, ...] = field(kw_only=True)

    whole = True

    @property
    def explained(self) -> str:
        """In Python, of all rows."""
        return f"{self.window} in Python, over all rows"


def window_cell(scope: Schema, window: Window, bind: Callable[[Expression], Bound]) -> WindowCell:
    """The cell of a window. bind: binds its parts.

    Raises FieldError for a window within it, for an order of values that have none, for a ValueRange over others than
    numbers and times.
    """
    arguments = tuple(map(bind, window.arguments))
    condition = None if window.condition is None else bind(window.condition)
    partition = tuple(map(bind, window.partition))
    order = tuple(_bound_order(one, bind) for one in window.order)
    bound = [*arguments, *([] if condition is None else [condition]), *partition, *(one.by for one in order)]
    reads = tuple(dict.fromkeys(cell for one in bound for cell in one.reads))
    inner = window_among(reads)
    if inner is not None:
        raise FieldError(
            f"{scope.name}: {window} is of {inner}, a window itself: take the values of one, and compute the other in "
            f"Python"
        )
    for one in order:
        check_ordered(one.by, f"{scope.name}: {one.by}", "Window(order_by=)")
    _check_distances(scope, window, order)
    try:
        kind = window.type_of([one.type for one in arguments])
    except FieldError as error:
        raise FieldError(f"{scope.name}: {error}") from None
    return WindowCell(
        f"window{next(_numbers)}",
        reads,
        kind,
        window=window,
        arguments=arguments,
        condition=condition,
        partition=partition,
        order=order,
    )


def _bound_order(one: OrderBy, bind: Callable[[Expression], Bound]) -> WindowOrder:
    nulls_first = not one.descending if one.nulls_first is None else one.nulls_first
    return WindowOrder(bind(one.expression), one.descending, nulls_first)


def window_among(cells: "tuple[Cell, ...] | list[Cell]") -> Window | None:
    """A window that one of these cells depends on."""
    return next((one.window for one in needed(cells).derived if isinstance(one, WindowCell)), None)


def _check_distances(scope: Schema, window: Window, order: tuple[WindowOrder, ...]) -> None:
    frame = window.rows
    distances = frame.distances if isinstance(frame, ValueRange) else []
    if not distances:
        return
    if len(order) != 1:
        raise FieldError(f"{scope.name}: {window}: distances of values need an order by one; RowRange() counts rows")
    by = order[0].by
    kind = "any" if by.type is None else by.type.kind
    takes = _DISTANCES.get(kind)
    if takes is None:
        raise FieldError(
            f"{scope.name}: {window}: {by} is of the type {kind}, which has no distances; RowRange() counts rows"
        )
    wrong = next((one for one in distances if type(one).__name__ not in _TYPES[takes].split()), None)
    if wrong is not None:
        raise FieldError(f"{scope.name}: {window}: {by} is of the type {kind}: give {takes}, not {shown(wrong)}")
