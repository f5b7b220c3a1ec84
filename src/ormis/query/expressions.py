"""Expressions over the fields of one object: `F("votes") + 1`. Pure values; who runs them decides where.

Arithmetic is that of the Python types, an absent operand makes the result absent, and so does a division by zero.

An expression is a tree of its `parts`. `planning/binding.py` resolves its names for one model: it rewrites the leaves,
and says of which type the result is, by `type_of`.
"""

import operator
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import DivisionByZero, InvalidOperation
from typing import TYPE_CHECKING, Any, Self, cast

from ..errors import FieldError, shown
from .q import Q
from .value_types import ValueType, type_of_arithmetic, type_of_value

_LARGEST_POWER = 100_000
"""The largest number of bits of a power of ints that is computed."""


def _power(base: Any, exponent: Any) -> Any:
    """A power. None if it is no real number. Raises OverflowError for an int of very many digits."""
    if isinstance(base, int) and isinstance(exponent, int) and base.bit_length() * exponent > _LARGEST_POWER:
        raise OverflowError("the power is too large")
    power = base**exponent
    return None if isinstance(power, complex) else power


def _difference(left: Any, right: Any) -> Any:
    """A difference: of a list without these elements, of a dict without these keys too."""
    try:
        return left - right
    except TypeError:
        if isinstance(right, str | bytes) or not isinstance(right, Iterable):
            raise
        out = [*cast(Iterable[Any], right)]
        if isinstance(left, dict):
            return {key: value for key, value in cast(dict[Any, Any], left).items() if key not in out}
        if not isinstance(left, list | tuple | deque | set | frozenset):
            raise
        make = cast(Any, left).__class__
        return make(item for item in cast(Iterable[Any], left) if item not in out)


def _union(left: Any, right: Any) -> Any:
    """A dict with the items of another, a set with more elements."""
    if isinstance(left, dict) and isinstance(right, Mapping):
        return cast(dict[Any, Any], left) | {**cast(Mapping[Any, Any], right)}
    if isinstance(left, set | frozenset) and isinstance(right, list | tuple | set | frozenset):
        return cast(set[Any], left).union(cast(Iterable[Any], right))
    raise TypeError(f"| takes two dicts, or a set and more elements, not {shown(left)} and {shown(right)}")


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": _difference,
    "|": _union,
    "*": operator.mul,
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
    "%": operator.mod,
    "**": _power,
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

    def __or__(self, other: Any) -> Any:
        return Arithmetic("|", self, expression(other))

    def __ror__(self, other: Any) -> Any:
        return Arithmetic("|", expression(other), self)

    def __neg__(self) -> Any:
        return Arithmetic("-", Value(0), self)

    def asc(self, *, nulls_first: bool = False, nulls_last: bool = False) -> "OrderBy":
        """Ascending order by this expression."""
        return OrderBy(self, False, _nulls(nulls_first, nulls_last))

    def desc(self, *, nulls_first: bool = False, nulls_last: bool = False) -> "OrderBy":
        """Descending order by this expression."""
        return OrderBy(self, True, _nulls(nulls_first, nulls_last))

    def parts(self) -> tuple["Expression", ...]:
        """The expressions that it is computed from."""
        return ()

    def with_parts(self, _parts: Sequence["Expression"], /) -> "Expression":
        """The same computed from others, as many as `parts()` has."""
        return self

    def names(self) -> set[str]:
        """The fields it reads."""
        return {name for part in self.parts() for name in part.names()}

    def result(self, values: Mapping[str, Any], /) -> Any:
        """Its value for an object with these fields, None if absent."""
        raise NotImplementedError

    def type_of(self, _types: Sequence[ValueType | None], /) -> ValueType | None:
        """The type of its values, from those of its parts; None if only the values tell. Raises FieldError."""
        return None

    def in_query(self, values: Mapping[str, Any], /) -> Any:
        """Its value in a query, None also if it is too large for its type.

        Raises FieldError if the operands don't go together.
        """
        try:
            return self.result(values)
        except ArithmeticError:
            return None
        except (TypeError, ValueError) as error:
            raise FieldError(f"{self} can't be computed: {error}") from None


class Composite(Expression):
    """An expression of others that is compared by its attributes, and copied with some of them changed."""

    def having(self, **changes: Any) -> Self:
        """A copy with these attributes changed."""
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__, **changes)
        return copy

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), self.parts()))


@dataclass(frozen=True, slots=True)
class F(Expression):
    """The value of a field of the object that is written or filtered: `F("votes") + 1`."""

    name: str

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise FieldError(f"F() takes the name of a field as a text, not {shown(self.name)}")

    def names(self) -> set[str]:
        """Its own name."""
        return {self.name}

    def result(self, values: Mapping[str, Any], /) -> Any:
        """The field's value."""
        return values[self.name]

    def __str__(self) -> str:
        return f"F({self.name!r})"


@dataclass(frozen=True, slots=True)
class Value(Expression):
    """A constant."""

    value: Any

    def result(self, _values: Mapping[str, Any], /) -> Any:
        """The constant."""
        return self.value

    def type_of(self, _types: Sequence[ValueType | None], /) -> ValueType | None:
        """The type of the constant; None for None."""
        return type_of_value(self.value)

    def __str__(self) -> str:
        return repr(self.value)


@dataclass(frozen=True, slots=True)
class Arithmetic(Expression):
    """Two expressions and an operator between them."""

    operator: str
    left: Expression
    right: Expression

    def parts(self) -> tuple[Expression, ...]:
        """Both sides."""
        return self.left, self.right

    def with_parts(self, parts: Sequence[Expression], /) -> Expression:
        """The same operator between others."""
        return Arithmetic(self.operator, *parts)

    def type_of(self, types: Sequence[ValueType | None], /) -> ValueType | None:
        """The type that Python's operator returns."""
        return type_of_arithmetic(self.operator, *types)

    def result(self, values: Mapping[str, Any], /) -> Any:
        """Returns the result of Python's operator on both sides."""
        left, right = self.left.result(values), self.right.result(values)
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


@dataclass(frozen=True, slots=True)
class Condition(Expression):
    """A condition as a value, True or False: `annotate(old=Q(age__gte=65))`."""

    q: Q

    def type_of(self, _types: Sequence[ValueType | None], /) -> ValueType | None:
        """Bool."""
        return type_of_value(True)

    def __str__(self) -> str:
        return repr(self.q)


def expression(value: Any) -> Expression:
    """The value itself if it is an expression, a condition or a class attribute as one, else a constant."""
    if isinstance(value, Expression):
        return value
    if isinstance(value, Q):
        return Condition(value)
    as_expression = getattr(value.__class__, "__as_expression__", None)
    return Value(value) if as_expression is None else as_expression(value)


def is_expression(value: Any) -> bool:
    """Whether a value is computed: an expression, a condition, the attribute of a class."""
    return isinstance(value, Expression | Q) or hasattr(value.__class__, "__as_expression__")


def expression_of(value: Any) -> Expression:
    """As expression(); a text names a field: the arguments of functions and aggregates."""
    return F(value) if isinstance(value, str) else expression(value)


def _nulls(first: bool, last: bool) -> bool | None:
    if first and last:
        raise ValueError("nulls_first and nulls_last exclude each other")
    return True if first else False if last else None
