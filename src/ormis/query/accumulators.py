"""Accumulators: what an aggregate keeps while it is given value after value. Sums are exact whatever the order."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, time
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, getcontext
from fractions import Fraction
from typing import Any, Protocol, cast

EXACT = Context(prec=min(MAX_PREC, 10_000), Emax=MAX_EMAX, Emin=MIN_EMIN)
"""Adds and rounds Decimals to the last digit."""


_HUGE = 1e290
"""Floats below it add up without overflow on the way; those above are whole numbers."""


class Accumulator(Protocol):
    """Adds values up."""

    def add(self, value: Any, /) -> None:
        """Takes one more value, which is not None."""
        ...

    def include(self, count: int, total: Any, squares: Any, /) -> None:
        """Takes so many values that were added up already, with part of their sum and of the sum of their squares."""
        ...

    def result(self) -> Any:
        """The value for those so far; None if they are too few."""
        ...


class Counter:
    """The number of values."""

    def __init__(self, _aggregate: Any = None) -> None:
        self.count = 0

    def add(self, _value: Any, /) -> None:
        """Counts one more."""
        self.count += 1

    def remove(self, _value: Any, /) -> None:
        """Takes one back."""
        self.count -= 1

    def include(self, count: int, _total: Any, _squares: Any, /) -> None:
        """Counts more."""
        self.count += count

    def result(self) -> Any:
        """The number."""
        return self.count


class Distinct:
    """Hands each value on once, also values that can't be hashed."""

    def __init__(self, inner: Accumulator) -> None:
        self.inner = inner
        self._seen: set[Any] = set()

    def add(self, value: Any, /) -> None:
        """Hands the value on if it is new."""
        known = identity(value)
        if known not in self._seen:
            self._seen.add(known)
            self.inner.add(value)

    def include(self, _count: int, _total: Any, _squares: Any, /) -> None:
        """Nothing: distinct values come one by one."""

    def result(self) -> Any:
        """That of the distinct values."""
        return self.inner.result()


def identity(value: Any) -> Any:
    """A form that equal values share: NaN equals NaN, times are as in UTC, lists and dicts by what they hold."""
    if isinstance(value, datetime | time):
        return ordered(value)
    if isinstance(value, float | Decimal):
        return "NaN" if math.isnan(value) else value
    if isinstance(value, list | tuple):
        return tuple([identity(one) for one in cast(Iterable[Any], value)])
    if isinstance(value, dict):
        return frozenset([(one, identity(other)) for one, other in cast(dict[Any, Any], value).items()])
    try:
        hash(value)
    except TypeError:
        return repr(value)
    return value


class Total:
    """The sum: ints, Decimals and lengths of time exactly, floats as math.fsum adds them."""

    def __init__(self, _aggregate: Any = None) -> None:
        self.count = 0
        self.exact: Any = None
        self.partials: list[float] = []
        self.special = 0.0
        self.huge = 0

    def add(self, value: Any, /) -> None:
        """Adds one more."""
        self.count += 1
        if value.__class__ is float:
            self.add_float(value)
        elif self.exact is None:
            self.exact = int(value) if isinstance(value, int) else value
        elif isinstance(value, Decimal) or isinstance(self.exact, Decimal):
            self.exact = EXACT.add(value, self.exact)
        else:
            self.exact += value

    def remove(self, value: Any, /) -> None:
        """Takes a finite value back: exactly, as it was added."""
        self.add(value.copy_negate() if isinstance(value, Decimal) else -value)
        self.count -= 2

    def include(self, count: int, total: Any, _squares: Any, /) -> None:
        """Adds a part of the sum."""
        if count or total or isinstance(total, Decimal):
            self.add(total)
            self.count += count - 1

    def add_float(self, value: float) -> None:
        """Adds a float to the partial sums, which do not overlap: Shewchuk's algorithm, as in math.fsum."""
        if not -_HUGE < value < _HUGE:
            if math.isfinite(value):
                self.huge += int(value)
            else:
                self.special += value
            return
        kept = 0
        for partial in self.partials:
            larger, smaller = (value, partial) if abs(value) >= abs(partial) else (partial, value)
            value = larger + smaller
            rest = smaller - (value - larger)
            if rest:
                self.partials[kept] = rest
                kept += 1
        self.partials[kept:] = [value]

    def result(self) -> Any:
        """The sum."""
        if not self.count:
            return None
        if self.exact is not None and not self.partials and not self.special and not self.huge:
            return self.exact
        floats = self.special or (_nearest(self.huge, self.partials) if self.huge else math.fsum(self.partials))
        return floats if self.exact is None else self.exact + floats


def _nearest(huge: int, partials: Iterable[float]) -> float:
    """The float nearest to a sum, infinite beyond all of them."""
    exact = sum(map(Fraction, partials), Fraction(huge))
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


class Average(Total):
    """The mean."""

    def result(self) -> Any:
        """The sum divided by the number."""
        total = super().result()
        if total is None:
            return None
        return getcontext().divide(total, Decimal(self.count)) if isinstance(total, Decimal) else total / self.count


class Spread:
    """The variance, or its root, from exact sums of the values and of their squares."""

    def __init__(self, aggregate: Any) -> None:
        self.root: bool = aggregate.root
        self.sample: bool = aggregate.sample
        self.count = 0
        self.decimal = False
        self.special = False
        self.sums: defaultdict[int, int] = defaultdict(int)  # numerators by denominator
        self.squares: defaultdict[int, int] = defaultdict(int)

    def add(self, value: Any, /) -> None:
        """Adds one more."""
        self._add(value, 1)

    def remove(self, value: Any, /) -> None:
        """Takes a finite value back."""
        self._add(value, -1)

    def _add(self, value: Any, sign: int) -> None:
        self.count += sign
        self.decimal = self.decimal or isinstance(value, Decimal)
        try:
            over, under = value.as_integer_ratio()
        except (OverflowError, ValueError):  # infinite, or no number
            self.special = True
            return
        self.sums[under] += sign * over
        self.squares[under * under] += sign * over * over

    def include(self, count: int, total: Any, squares: Any, /) -> None:
        """Adds a part of the sum and of the sum of squares."""
        self.count += count
        self.decimal = self.decimal or isinstance(total, Decimal)
        for sums, part in ((self.sums, total), (self.squares, squares)):
            over, under = part.as_integer_ratio()
            sums[under] += over

    def result(self) -> Any:
        """The spread; NaN if a value was infinite or none."""
        degrees = self.count - self.sample
        if degrees < 1:
            return None
        if self.special:
            return Decimal("NaN") if self.decimal else math.nan
        scale, total = _summed(self.sums)
        scale_of_squares, squares = _summed(self.squares)
        over = self.count * squares * scale * scale - total * total * scale_of_squares
        under = self.count * degrees * scale_of_squares * scale * scale
        if self.decimal:
            found = getcontext().divide(Decimal(over), Decimal(under))
            return found.sqrt() if self.root else found
        return math.sqrt(over / under) if self.root else over / under


def _summed(sums: Mapping[int, int]) -> tuple[int, int]:
    """The sum of fractions, numerators by denominator: its denominator, not reduced, and its numerator."""
    scale = math.lcm(*sums)
    return scale, sum(over * (scale // under) for under, over in sums.items())


class Extreme:
    """The least or the largest value, as they are ordered: times as in UTC, NaN after all else."""

    def __init__(self, aggregate: Any) -> None:
        self.largest: bool = aggregate.largest
        self.best: Any = None
        self._key: Any = None

    def add(self, value: Any, /) -> None:
        """Keeps the value if it is the best so far."""
        key = ordered(value)
        if self.best is None or (key > self._key if self.largest else key < self._key):
            self.best, self._key = value, key

    def include(self, _count: int, _total: Any, _squares: Any, /) -> None:
        """Nothing: the best of some values comes as a value."""

    def result(self) -> Any:
        """The best value."""
        return self.best


def ordered(value: Any) -> Any:
    """A value in the form in which it is compared with others of its type."""
    if isinstance(value, datetime | time):
        offset = value.utcoffset()
        if isinstance(value, datetime):
            return value.replace(tzinfo=None) if offset is None else value.replace(tzinfo=None) - offset
        return value.replace(tzinfo=None)
    if isinstance(value, int | float | Decimal):
        return (False, value) if value == value else (True, 0)
    return value
