"""Timing two sides against each other on a machine that does other things as well.

A line prepares a round of work for each side, then the two are timed one right after the other; which goes first
changes from round to round. The ratio of a line is the median of the ratios of its rounds, each of two times taken
within the same fraction of a second.
"""

import gc
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median, quantiles
from time import perf_counter
from typing import Any, ClassVar

from .place import Place

WARM_UP = 2

Work = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Target:
    """What a ratio should be: at most, or at least, a bound."""

    bound: float
    at_least: bool = False

    def met_by(self, ratio: float) -> bool:
        """Whether the ratio is on the right side."""
        return ratio >= self.bound if self.at_least else ratio <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}"


@dataclass(frozen=True, slots=True)
class Result:
    """What a line found. `low` and `high` are the quartiles of the rounds' ratios."""

    name: str
    title: str
    unit: str
    hand: float
    ormis: float
    ratio: float
    low: float
    high: float
    target: Target | None
    note: str

    @property
    def verdict(self) -> str:
        """Met, not met, or nothing where the line has no target."""
        if self.target is None:
            return ""
        return "met" if self.target.met_by(self.ratio) else "not met"

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self) | {"target": None if self.target is None else str(self.target), "verdict": self.verdict}


class Line(ABC):
    """One line of the table: two ways to the same end.

    speed: the ratio is of speeds, ormis to hand-written (more is better), instead of times (less is better).
    large: a round is of all `rows`, so there are fewer rounds.
    clock: gives the seconds by which a round is timed.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    unit: ClassVar[str] = "us"
    target: ClassVar[Target | None] = None
    speed: ClassVar[bool] = False
    large: ClassVar[bool] = False
    note: ClassVar[str] = ""
    clock: ClassVar[Callable[[], float]] = staticmethod(perf_counter)

    def __init__(self, place: Place) -> None:
        self.place = place

    @property
    def operations(self) -> int:
        """How many operations, or rows, a round is of."""
        return self.place.sizes.rows if self.large else self.place.sizes.operations

    @property
    def rounds(self) -> int:
        """How many rounds count."""
        rounds = self.place.sizes.rounds
        return max(3, rounds // 3) if self.large else rounds

    def prepare(self) -> None:
        """Stores, once, what both sides need, in an empty database."""
        self.place.clear()
        self.fill()

    def fill(self) -> None:  # noqa: B027 - a line may need nothing
        """Stores, once, what both sides need."""

    @abstractmethod
    def hand(self) -> Work:
        """Prepares a round of the hand-written side; what it returns is timed."""

    @abstractmethod
    def ormis(self) -> Work:
        """Prepares a round of the ormis side; what it returns is timed."""

    def check(self) -> None:
        """Raises AssertionError where the two sides did not do the same."""
        self.place.check_same_keys()

    def measure(self) -> Result:
        """Prepares, times, checks."""
        self.prepare()
        pairs = [self._round(number) for number in range(WARM_UP + self.rounds)][WARM_UP:]
        self.check()
        hand, ormis = zip(*pairs, strict=True)
        each = 1e6 / self.operations
        ratios = [a / b if self.speed else b / a for a, b in pairs]
        return self.result(median(hand) * each, median(ormis) * each, ratios)

    def result(self, hand: float, ormis: float, ratios: list[float]) -> Result:
        """The result of these figures and ratios."""
        low, _, high = quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        return Result(self.name, self.title, self.unit, hand, ormis, median(ratios), low, high, self.target, self.note)

    def _round(self, number: int) -> tuple[float, float]:
        if number % 2:
            hand = timed(self.hand(), self.clock)
            return hand, timed(self.ormis(), self.clock)
        ormis = timed(self.ormis(), self.clock)
        return timed(self.hand(), self.clock), ormis


class AsyncLine(Line):
    """A line whose sides are coroutines, run in the place's event loop."""

    @abstractmethod
    async def hand_async(self) -> None:
        """A round of the hand-written side."""

    @abstractmethod
    async def ormis_async(self) -> None:
        """A round of the ormis side."""

    def hand(self) -> Work:
        return partial(self._run, self.hand_async)

    def ormis(self) -> Work:
        return partial(self._run, self.ormis_async)

    def _run(self, coroutine: Callable[[], Any]) -> None:
        self.place.runner.run(coroutine())


def timed(work: Work, clock: Callable[[], float] = perf_counter) -> float:
    """How many seconds the work takes. What the preparation left to collect is not counted; what the work makes is."""
    gc.collect()
    start = clock()
    work()
    return clock() - start
