"""Expressions over the fields of one object: `F("votes") + 1`. Pure values; who runs them decides where.

Arithmetic is that of the Python types, an absent operand makes the result absent, and so does a division by zero.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import DivisionByZero, InvalidOperation
from typing import TYPE_CHECKING, Any

from ..errors import FieldError

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
    "%": operator.mod,
    "**": lambda a, b: a**b,
}


# To a type checker an expression may be assigned to a field of any type. Arithmetic is Any, so that `choice.votes` has
# the type int after `choice.votes = F("votes") + 1` too.
if TYPE_CHECKING:
    Assignable = Any
else:
    Assignable = object


class Expression(Assignable):
    """Something computed from an object's fields."""

    def __add__(self, other: Any) -> Any:
        return Arithmetic("+", self, expression(other))

    def __radd__(self, other: Any) -> Any:
        return Arithmetic("+", expression(other), self)

    def __sub__(self, other: Any) -> Any:
        return Arithmetic("-", self, expression(other))

    def __rsub__(self, other: Any) -> Any:
        return Arithmetic("-", expression(other), self)

    def __mul__(self, other: Any) -> Any:
        return Arithmetic("*", self, expression(other))

    def __rmul__(self, other: Any) -> Any:
        return Arithmetic("*", expression(other), self)

    def __truediv__(self, other: Any) -> Any:
        return Arithmetic("/", self, expression(other))

    def __rtruediv__(self, other: Any) -> Any:
        return Arithmetic("/", expression(other), self)

    def __floordiv__(self, other: Any) -> Any:
        return Arithmetic("//", self, expression(other))

    def __rfloordiv__(self, other: Any) -> Any:
        return Arithmetic("//", expression(other), self)

    def __mod__(self, other: Any) -> Any:
        return Arithmetic("%", self, expression(other))

    def __rmod__(self, other: Any) -> Any:
        return Arithmetic("%", expression(other), self)

    def __pow__(self, other: Any) -> Any:
        return Arithmetic("**", self, expression(other))

    def __rpow__(self, other: Any) -> Any:
        return Arithmetic("**", expression(other), self)

    def __neg__(self) -> Any:
        return Arithmetic("-", Value(0), self)

    def asc(self, *, nulls_first: bool = False, nulls_last: bool = False) -> "OrderBy":
        """Ascending order by this expression."""
        return OrderBy(self, False, _nulls(nulls_first, nulls_last))

    def desc(self, *, nulls_first: bool = False, nulls_last: bool = False) -> "OrderBy":
        """Descending order by this expression."""
        return OrderBy(self, True, _nulls(nulls_first, nulls_last))

    def names(self) -> set[str]:
        """The fields it reads."""
        raise NotImplementedError

    def evaluate(self, values: Mapping[str, Any], /) -> Any:
        """Its value for an object with these fields, None if absent."""
        raise NotImplementedError

    def in_query(self, values: Mapping[str, Any], /) -> Any:
        """Its value in a query, None also if it is too large for its type.

        Raises FieldError if the operands don't go together.
        """
        try:
            return self.evaluate(values)
        except ArithmeticError:
            return None
        except (TypeError, ValueError) as error:
            raise FieldError(f"{self} can't be computed: {error}") from None


@dataclass(frozen=True, slots=True)
class F(Expression):
    """The value of a field of the object that is written or filtered: `F("votes") + 1`."""

    name: str

    def names(self) -> set[str]:
        """Its own name."""
        return {self.name}

    def evaluate(self, values: Mapping[str, Any], /) -> Any:
        """The field's value."""
        return values[self.name]

    def __str__(self) -> str:
        return f"F({self.name!r})"


@dataclass(frozen=True, slots=True)
class Value(Expression):
    """A constant."""

    value: Any

    def names(self) -> set[str]:
        """None."""
        return set()

    def evaluate(self, _values: Mapping[str, Any], /) -> Any:
        """The constant."""
        return self.value

    def __str__(self) -> str:
        return repr(self.value)


@dataclass(frozen=True, slots=True)
class Arithmetic(Expression):
    """Two expressions and an operator between them."""

    operator: str
    left: Expression
    right: Expression

    def names(self) -> set[str]:
        """The fields of both sides."""
        return self.left.names() | self.right.names()

    def evaluate(self, values: Mapping[str, Any], /) -> Any:
        """Returns the result of Python's operator on both sides."""
        left, right = self.left.evaluate(values), self.right.evaluate(values)
        if left is None or right is None:
            return None
        try:
            return _OPERATORS[self.operator](left, right)
        except (ZeroDivisionError, DivisionByZero, InvalidOperation):
            return None

    def __str__(self) -> str:
        return f"{self.left} {self.operator} {self.right}"


@dataclass(frozen=True, slots=True)
class OrderBy:
    """An expression and its direction; `nulls_first` is None for the default: first ascending, last descending."""

    expression: Expression
    descending: bool
    nulls_first: bool | None = None


def expression(value: Any) -> Expression:
    """The value itself if it is an expression, else a constant."""
    return value if isinstance(value, Expression) else Value(value)


def _nulls(first: bool, last: bool) -> bool | None:
    if first and last:
        raise ValueError("nulls_first and nulls_last exclude each other")
    return True if first else False if last else None
