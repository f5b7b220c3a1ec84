"""The functions of windows: ranks, neighbours, values of a frame. `ormis.functions` makes them public."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from ..errors import FieldError, shown
from .expressions import Composite, Expression, expression_of
from .value_types import ValueType, common_type, value_type

Frame = tuple[range, ...]
"""The positions of the rows of a frame."""


@dataclass(eq=False)
class Partition:
    """The rows that are one window, in its order, by their positions.

    size: how many there are. arguments: for each argument of the function its value for each row.
    peers: for each row the position of the first row that the order leaves equal to it, and of the first after these.
    """

    size: int
    arguments: Sequence[Sequence[Any]]
    peers: Sequence[tuple[int, int]]
    make_frames: Callable[[], Sequence[Frame]]

    @cached_property
    def frames(self) -> Sequence[Frame]:
        """For each row its frame."""
        return self.make_frames()


class WindowFunction(Composite):
    """A function of the rows of a window, which stands in Window().

    A subclass has one method, `over`, and says of which type its values are:

        class Reversed(WindowFunction):
            output = int

            def over(self, rows):
                return [rows.size - i for i in range(rows.size)]

        Player.objects.annotate(last=Window(Reversed(), order_by="points"))

    Arguments: names of fields, or expressions.
    """

    output: ClassVar[Any] = None
    """The type of its values, a Python type; None: that of its arguments."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = tuple(expression_of(argument) for argument in arguments)

    def over(self, rows: Partition, /) -> Sequence[Any]:
        """Returns the value for each of the rows."""
        raise NotImplementedError

    def parts(self) -> tuple[Expression, ...]:
        """Its arguments."""
        return self.arguments

    def with_parts(self, parts: Sequence[Expression], /) -> Expression:
        """The same function of others."""
        return self.having(arguments=tuple(parts))

    def result(self, _values: Mapping[str, Any], /) -> Any:
        """Raises FieldError: it needs a window."""
        raise self._needs_window()

    def type_of(self, _types: Sequence[ValueType | None], /) -> ValueType | None:
        """Raises FieldError: it needs a window."""
        raise self._needs_window()

    def _needs_window(self) -> FieldError:
        return FieldError(f"{self} needs a window: Window({self}, order_by=...)")

    def type_over(self, types: Sequence[ValueType | None], /) -> ValueType | None:
        """`output`, else the type that the arguments have in common."""
        return common_type(types, str(self)) if self.output is None else value_type(self.output)

    def __str__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(str, [*self.arguments, *self._constants()]))})"

    def _constants(self) -> Sequence[Any]:
        """What it was given beside its arguments, to be shown."""
        return ()

    __repr__ = __str__


# Ranks ---------------------------------------------------------------------------------------------------------------


class _OfOrder(WindowFunction):
    """A function of the order alone."""

    output = int

    def __init__(self) -> None:
        super().__init__()


class RowNumber(_OfOrder):
    """1, 2, 3 ...; peers in the order of creation: `Window(RowNumber(), order_by="date")`."""

    def over(self, rows: Partition, /) -> Sequence[Any]:
        """The numbers from 1."""
        return range(1, rows.size + 1)


class Rank(_OfOrder):
    """1, 1, 3 ...: peers have the same rank, and those after them the rank of their number."""

    def over(self, rows: Partition, /) -> Sequence[Any]:
        """The number of the first peer."""
        return [first + 1 for first, _ in rows.peers]


class DenseRank(_OfOrder):
    """1, 1, 2 ...: peers have the same rank, and those after them the next."""

    def over(self, rows: Partition, /) -> Sequence[Any]:
        """How many groups of peers there are up to each row."""
        ranks: list[int] = []
        for i, (first, _) in enumerate(rows.peers):
            ranks.append((ranks[-1] if ranks else 0) + (first == i))
        return ranks


class PercentRank(_OfOrder):
    """The rank from 0.0, the first, to 1.0: (rank - 1) / (rows - 1), 0.0 of a single row."""

    output = float

    def over(self, rows: Partition, /) -> Sequence[Any]:
        """The share of the other rows that come before."""
        others = max(1, rows.size - 1)
        return [first / others for first, _ in rows.peers]


class CumeDist(_OfOrder):
    """The share of the rows that come before or are peers, the row included: above 0.0, up to 1.0."""

    output = float

    def over(self, rows: Partition, /) -> Sequence[Any]:
        """The share of the rows up to the last peer."""
        return [after / rows.size for _, after in rows.peers]


class Ntile(_OfOrder):
    """The number, from 1, of the bucket of a row: `Ntile(4)` deals the rows in order into four, the first ones fuller.

    Raises ValueError for a number of buckets below 1.
    """

    def __init__(self, num_buckets: int = 1) -> None:
        super().__init__()
        self.num_buckets = _at_least_1("Ntile", "num_buckets", num_buckets)

    def over(self, rows: Partition, /) -> Sequence[Any]:
        """The numbers of the buckets."""
        size, fuller = divmod(rows.size, self.num_buckets)
        sizes = [size + (bucket < fuller) for bucket in range(min(self.num_buckets, rows.size))]
        return [bucket for bucket, count in enumerate(sizes, 1) for _ in range(count)]

    def _constants(self) -> Sequence[Any]:
        return (self.num_buckets,)


# Neighbours ----------------------------------------------------------------------------------------------------------


class Lag(WindowFunction):
    """The value of an expression in an earlier row of the window: `Window(Lag("votes"), order_by="day")`.

    offset: how many rows before. default: an expression or a value for rows that have none before; a text is a name.
    Raises ValueError for no expression and for an offset below 1.
    """

    _sign = -1

    def __init__(self, expression: Any, offset: int = 1, default: Any = None) -> None:
        name = type(self).__name__
        if expression is None:
            raise ValueError(f"{name}(None): give the name of a field, or an expression")
        super().__init__(expression, *(() if default is None else (default,)))
        self.offset = _at_least_1(name, "offset", offset)

    def over(self, rows: Partition, /) -> Sequence[Any]:
        """The values, so many rows on or back."""
        values, *defaults = rows.arguments
        default = defaults[0] if defaults else [None] * rows.size
        places = range(self._sign * self.offset, rows.size + self._sign * self.offset)
        return [values[at] if 0 <= at < rows.size else default[i] for i, at in enumerate(places)]

    def _constants(self) -> Sequence[Any]:
        return () if self.offset == 1 else (f"offset={self.offset}",)


class Lead(Lag):
    """The value of an expression in a later row of the window, as Lag of an earlier one."""

    _sign = 1


# Values of a frame ---------------------------------------------------------------------------------------------------


class FirstValue(WindowFunction):
    """The value of an expression in the first row of the frame; None if it has no rows."""

    def __init__(self, expression: Any) -> None:
        super().__init__(expression)

    def over(self, rows: Partition, /) -> Sequence[Any]:
        """The first values."""
        values = rows.arguments[0]
        return [next((values[part[0]] for part in frame if part), None) for frame in rows.frames]


class LastValue(FirstValue):
    """The value of an expression in the last row of the frame; without a frame that is the row itself, or a peer."""

    def over(self, rows: Partition, /) -> Sequence[Any]:
        """The last values."""
        values = rows.arguments[0]
        return [next((values[part[-1]] for part in reversed(frame) if part), None) for frame in rows.frames]


class NthValue(WindowFunction):
    """The value of an expression in the nth row of the frame, counted from 1; None if it has fewer rows.

    Raises ValueError for no expression and for a number below 1.
    """

    def __init__(self, expression: Any, nth: int = 1) -> None:
        if expression is None:
            raise ValueError("NthValue(None): give the name of a field, or an expression")
        super().__init__(expression)
        self.nth = _at_least_1("NthValue", "nth", nth)

    def over(self, rows: Partition, /) -> Sequence[Any]:
        """The nth values."""
        values = rows.arguments[0]
        places = [_nth(frame, self.nth - 1) for frame in rows.frames]
        return [None if place is None else values[place] for place in places]

    def _constants(self) -> Sequence[Any]:
        return (self.nth,)


def _nth(frame: Frame, left: int) -> int | None:
    for part in frame:
        if left < len(part):
            return part[left]
        left -= len(part)
    return None


def _at_least_1(function: str, name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{function}({name}={shown(value)}): give a whole number from 1")
    return value
