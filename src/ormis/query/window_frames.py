"""Frames: the rows, around each row of its partition, that a window function is computed from. Under Django's names."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from ..errors import shown

Distance = int | float | Decimal | timedelta


class WindowFrameExclusion(StrEnum):
    """The rows that a frame leaves out: `RowRange(-1, 1, exclusion=WindowFrameExclusion.CURRENT_ROW)`."""

    CURRENT_ROW = "CURRENT ROW"
    """The row itself."""
    GROUP = "GROUP"
    """The row and its peers, which the order of the window leaves equal."""
    TIES = "TIES"
    """The peers of the row, but not the row."""
    NO_OTHERS = "NO OTHERS"
    """None."""


@dataclass(frozen=True)
class WindowFrame:
    """What RowRange and ValueRange have in common.

    start, end: where the frame begins and ends, both included: below 0 before the row, above 0 after it, 0 at the row,
        None at the first and the last row of the partition.
    exclusion: the rows that it leaves out.
    Raises ValueError for a start after the end, and for what is no distance.
    """

    start: Any = None
    end: Any = None
    exclusion: WindowFrameExclusion | None = None

    def __post_init__(self) -> None:
        for name, value in (("start", self.start), ("end", self.end)):
            if value is not None and not self._is_distance(value):
                given = f"{type(self).__name__}({name}={shown(value)})"
                raise ValueError(f"{given}: give {self._takes}, below 0 for rows before, or None")
        if self._is_turned_round():
            raise ValueError(f"{self}: the start is after the end; distances before the row are below 0")
        if self.exclusion is not None and not isinstance(self.exclusion, WindowFrameExclusion):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError(f"exclusion={shown(self.exclusion)}: give a WindowFrameExclusion")

    _takes = "a number"

    def _is_distance(self, value: Any) -> bool:
        raise NotImplementedError

    def _is_turned_round(self) -> bool:
        if self.start is None or self.end is None:
            return False
        zero = type(self.start or self.end)()  # 0 goes with numbers and with lengths of time
        try:
            return (self.start or zero) > (self.end or zero)
        except TypeError:
            raise ValueError(f"{self}: the start and the end are of several types") from None

    def __str__(self) -> str:
        exclusion = "" if self.exclusion is None else f", exclusion={self.exclusion.name}"
        return f"{type(self).__name__}({self.start}, {self.end}{exclusion})"


class RowRange(WindowFrame):
    """A frame counted in rows: `RowRange(-2, 0)` is the row and the two before it."""

    _takes = "a whole number of rows"

    def _is_distance(self, value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool)


class ValueRange(WindowFrame):
    """A frame of the rows whose value of the order is so near: `ValueRange(timedelta(days=-7), 0)` is the last week.

    0 is the row and its peers, which the order leaves equal. Distances other than 0 need an order by one number, date,
    time with a date, or length of time.
    """

    _takes = "a number or a timedelta"

    def _is_distance(self, value: Any) -> bool:
        return isinstance(value, int | float | Decimal | timedelta) and not isinstance(value, bool) and value == value

    @property
    def distances(self) -> list[Distance]:
        """The distances other than 0."""
        return [one for one in (self.start, self.end) if one]


WITH_PEERS = ValueRange(None, 0)
"""The frame of a window that names none: from the first row to the current one and its peers."""
