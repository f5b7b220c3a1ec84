"""Functions of numbers: those of Python's types, so a Decimal stays exact. Where there is no result it is absent."""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, ClassVar

from ..accumulators import EXACT
from ..expressions import Arithmetic, Value
from ..value_types import ValueType, value_type
from .base import Function

_NUMBER = (int, float, Decimal)


class _OfNumbers(Function):
    """A function of numbers; outside its domain, and where the result is too large, the result is absent."""

    takes = (_NUMBER,)

    def result(self, values: Mapping[str, Any], /) -> Any:
        """The result of evaluate(); None if an argument is absent, and where there is no result."""
        try:
            return super().result(values)
        except (ArithmeticError, ValueError):
            return None


class _OfOneNumber(_OfNumbers):
    least = most = 1

    def __init__(self, expression: Any) -> None:
        super().__init__(expression)

    def _own_type(self, types: Sequence[ValueType | None]) -> ValueType | None:
        """That of the number; int of a bool."""
        return value_type(int) if types[0] is not None and types[0].kind == "bool" else types[0]


class Abs(_OfOneNumber):
    """The absolute value."""

    def evaluate(self, value: Any) -> Any:
        """The absolute value."""
        return abs(value)


class Ceil(_OfOneNumber):
    """The least int that is not below the number."""

    output = int

    def evaluate(self, value: Any) -> int:
        """The int."""
        return math.ceil(value)


class Floor(_OfOneNumber):
    """The largest int that is not above the number."""

    output = int

    def evaluate(self, value: Any) -> int:
        """The int."""
        return math.floor(value)


class Sign(_OfOneNumber):
    """1 for a number above 0, -1 for one below, else 0; absent for a NaN."""

    output = int

    def evaluate(self, value: Any) -> int | None:
        """The sign."""
        return None if value != value else (value > 0) - (value < 0)


class Round(_OfNumbers):
    """The number rounded to `precision` digits after the point, half to even, as in Python: `Round("x", precision=2)`.

    A precision below 0 rounds to tens, hundreds, and so on. The result has the type of the number.
    """

    takes = (_NUMBER, int)

    def __init__(self, expression: Any, precision: Any = 0) -> None:
        super().__init__(expression, precision)

    def evaluate(self, value: Any, precision: int) -> Any:
        """The rounded number."""
        if not isinstance(value, Decimal) or not value.is_finite():
            return round(value, precision) if not isinstance(value, Decimal) else value
        return value.quantize(Decimal(1).scaleb(-precision), rounding=ROUND_HALF_EVEN, context=EXACT)

    def _own_type(self, types: Sequence[ValueType | None]) -> ValueType | None:
        return value_type(int) if types[0] is not None and types[0].kind == "bool" else types[0]


class Mod(_OfNumbers):
    """The remainder of a division, Python's `%`: of ints and floats it has the sign of the divisor."""

    operator: ClassVar[str] = "%"

    def __init__(self, expression: Any, divisor: Any) -> None:
        super().__init__(expression, divisor)

    def evaluate(self, left: Any, right: Any) -> Any:
        """The result of the operator."""
        return Arithmetic(self.operator, Value(left), Value(right)).result({})

    def _own_type(self, types: Sequence[ValueType | None]) -> ValueType | None:
        return Arithmetic(self.operator, *self.arguments).type_of(types)


class Power(Mod):
    """The number raised to a power, Python's `**`; absent where the result is no real number."""

    operator = "**"

    def __init__(self, expression: Any, power: Any) -> None:
        super().__init__(expression, power)


class _OfReals(_OfOneNumber):
    """A function of real numbers: a float, of a Decimal a Decimal where it has a method for that."""

    output: ClassVar[Any] = float
    function: ClassVar[Callable[[Any], float]]

    def evaluate(self, value: Any) -> Any:
        """The result of the function of Python's module math."""
        return type(self).function(value)


class _OfDecimals(_OfReals):
    output = None
    method: ClassVar[Callable[[Decimal], Decimal]]

    def evaluate(self, value: Any) -> Any:
        """The result of the function of Python's module math, or of the method of Decimal."""
        if not isinstance(value, Decimal):
            return type(self).function(value)
        found = type(self).method(value)
        return None if found.is_nan() and not value.is_nan() else found

    def _own_type(self, types: Sequence[ValueType | None]) -> ValueType | None:
        of = types[0]
        return of if of is None or of.kind == "decimal" else value_type(float)


class Sqrt(_OfDecimals):
    """The square root, of a Decimal a Decimal; absent for a number below 0."""

    function = staticmethod(math.sqrt)
    method = Decimal.sqrt


class Exp(_OfDecimals):
    """e raised to the number, of a Decimal a Decimal."""

    function = staticmethod(math.exp)
    method = Decimal.exp


class Ln(_OfDecimals):
    """The natural logarithm, of a Decimal a Decimal; absent for a number that is not above 0."""

    function = staticmethod(math.log)
    method = Decimal.ln

    def evaluate(self, value: Any) -> Any:
        """The logarithm."""
        return super().evaluate(value) if value > 0 else None


class Log(_OfNumbers):
    """The logarithm of the second number to the base that is the first, as in Django; a float."""

    output = float

    def __init__(self, base: Any, expression: Any) -> None:
        super().__init__(base, expression)

    def evaluate(self, base: Any, value: Any) -> float:
        """The logarithm."""
        return math.log(value, base)


class ACos(_OfReals):
    """The arc cosine, in radians."""

    function = staticmethod(math.acos)


class ASin(_OfReals):
    """The arc sine, in radians."""

    function = staticmethod(math.asin)


class ATan(_OfReals):
    """The arc tangent, in radians."""

    function = staticmethod(math.atan)


class ATan2(_OfNumbers):
    """The arc tangent of the first number divided by the second, in radians, in the right quadrant."""

    output = float

    def __init__(self, y: Any, x: Any) -> None:
        super().__init__(y, x)

    def evaluate(self, y: Any, x: Any) -> float:
        """The angle."""
        return math.atan2(y, x)


class Cos(_OfReals):
    """The cosine of an angle in radians."""

    function = staticmethod(math.cos)


class Cot(_OfReals):
    """The cotangent of an angle in radians; absent at 0."""

    def evaluate(self, value: Any) -> float:
        """The cotangent."""
        return 1 / math.tan(value)


class Sin(_OfReals):
    """The sine of an angle in radians."""

    function = staticmethod(math.sin)


class Tan(_OfReals):
    """The tangent of an angle in radians."""

    function = staticmethod(math.tan)


class Degrees(_OfReals):
    """An angle in degrees, from one in radians."""

    function = staticmethod(math.degrees)


class Radians(_OfReals):
    """An angle in radians, from one in degrees."""

    function = staticmethod(math.radians)


class Pi(Function):
    """The number pi."""

    output = float
    most = 0

    def evaluate(self) -> float:
        """Pi."""
        return math.pi


class Random(Function):
    """A random float from 0 up to 1, another one for each row."""

    output = float
    most = 0

    def evaluate(self) -> float:
        """The number."""
        return random.random()  # noqa: S311 - no secret
