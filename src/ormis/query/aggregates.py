"""Aggregates: `Count`, `Sum`, `Avg`, `Min`, `Max`, `StdDev`, `Variance`. Pure values; accumulators.py adds up."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from ..errors import FieldError, shown
from .accumulators import Accumulator, Average, Counter, Distinct, Extreme, Spread, Total
from .expressions import Composite, Expression, F, Value, expression_of
from .q import Q
from .value_types import ValueType, value_type


class Aggregate(Composite):
    """A value computed from many rows. Absent values are left out, as in SQL.

    argument: the name of a field or a relation, across relations too, or an expression.
    distinct: each value counts once.
    filter: a condition; only rows that meet it count.
    default: the result if there are no values, in place of None.
    """

    accumulator: ClassVar[Callable[[Any], Accumulator]]
    """Makes an accumulator for the aggregate."""
    empty: ClassVar[Any] = None
    """The result of no values."""
    of_rows: ClassVar[bool] = False
    """True if it takes "*", all rows."""

    def __init__(self, argument: Any, *, distinct: bool = False, filter: Any = None, default: Any = None) -> None:  # noqa: A002 - Django's name
        if isinstance(argument, str) and argument == "*" and not self.of_rows:
            raise FieldError(f"{type(self).__name__}('*'): name a field; Count alone takes '*'")
        self.argument = expression_of(argument)
        self.distinct = bool(distinct)
        self.filter = _checked_filter(type(self).__name__, filter)
        self.default = default
        if isinstance(default, Expression):
            raise FieldError(f"{self}: default={default}: give a value, or write Coalesce()")

    @property
    def default_name(self) -> str:
        """The name of a positional aggregate: `votes__sum`. Raises TypeError for one of an expression."""
        if not isinstance(self.argument, F):
            raise TypeError(f"{self} is an aggregate of an expression: give it a name, total={self}")
        return f"{self.argument.name}__{type(self).__name__.lower()}"

    def accumulate(self) -> Accumulator:
        """A new accumulator."""
        made = type(self).accumulator(self)
        return Distinct(made) if self.distinct else made

    def final(self, accumulator: Accumulator | None) -> Any:
        """The value of what was added up; None: nothing was. A value too large for its type is absent."""
        try:
            value = None if accumulator is None else accumulator.result()
        except ArithmeticError:
            value = None
        if value is not None:
            return value
        return self.empty if self.default is None else self.default

    def parts(self) -> tuple[Expression, ...]:
        """Its argument."""
        return (self.argument,)

    def with_parts(self, parts: Sequence[Expression], /) -> Expression:
        """The same of another argument."""
        return self.having(argument=parts[0])

    def result(self, _values: Mapping[str, Any], /) -> Any:
        """Raises FieldError: there are no rows here to aggregate."""
        raise FieldError(f"{self} can stand in annotate(), alias() and aggregate() only, and in what these compute")

    def type_of(self, types: Sequence[ValueType | None], /) -> ValueType | None:
        """The type of its values."""
        return types[0]

    def __str__(self) -> str:
        of = f"{self.argument.name!r}" if isinstance(self.argument, F) else str(self.argument)
        more = ["distinct=True"] * self.distinct + [f"filter={self.filter!r}"] * (self.filter is not None)
        return f"{type(self).__name__}({', '.join([of, *more])})"

    __repr__ = __str__


def _checked_filter(name: str, given: Any) -> Q | None:
    if given is None or isinstance(given, Q):
        return given if given is None or given.children else None
    if isinstance(given, Expression):
        return Q((given, True))  # type: ignore[arg-type]
    raise FieldError(f"{name}(filter={shown(given)}): give Q(...), or a comparison of class attributes")


class Count(Aggregate):
    """The number of values that are there: of rows for "*", of related objects for a relation.

    Question.objects.annotate(n=Count("choices")); Choice.objects.aggregate(Count("question", distinct=True))
    """

    accumulator = Counter
    empty = 0
    of_rows = True

    def __init__(self, argument: Any = "*", *, distinct: bool = False, filter: Any = None) -> None:  # noqa: A002
        super().__init__(argument, distinct=distinct, filter=filter)
        if isinstance(argument, str) and argument == "*":  # `==` of a class attribute returns a condition
            if distinct:
                raise FieldError("Count('*', distinct=True): name the field whose values are to be counted once")
            self.argument = Value(1)

    @property
    def default_name(self) -> str:
        """`__count` for "*", as in Django."""
        return "__count" if self.argument == Value(1) else super().default_name

    def type_of(self, _types: Sequence[ValueType | None], /) -> ValueType | None:
        """Int."""
        return value_type(int)


class _OfNumbers(Aggregate):
    """An aggregate that needs numbers, or lengths of time."""

    times = True

    def type_of(self, types: Sequence[ValueType | None], /) -> ValueType | None:
        """The type of the numbers; float for the average and the spread of ints. Raises FieldError."""
        found = types[0]
        if found is None or found.kind == "any":
            return None
        if found.kind in ("bool", "int"):
            return self._of_ints()
        if found.kind in ("float", "decimal") or (self.times and found.kind == "timedelta"):
            return found
        needs = "numbers or lengths of time" if self.times else "numbers"
        raise FieldError(f"{self} needs {needs}, and {self.argument} is of the type {found.kind}: see Cast(), Length()")

    def _of_ints(self) -> ValueType:
        return value_type(float)


class Sum(_OfNumbers):
    """The sum: exact for ints and Decimals, of floats the nearest float. None if there are no values."""

    accumulator = Total

    def _of_ints(self) -> ValueType:
        return value_type(int)


class Avg(_OfNumbers):
    """The mean: a float for ints and floats, a Decimal for Decimals. None if there are no values."""

    accumulator = Average


class StdDev(_OfNumbers):
    """The standard deviation of the population, with `sample=True` of a sample. None if there are too few values."""

    accumulator = Spread
    times = False
    root = True

    def __init__(
        self,
        argument: Any,
        sample: bool = False,
        *,
        distinct: bool = False,
        filter: Any = None,  # noqa: A002
        default: Any = None,
    ) -> None:
        super().__init__(argument, distinct=distinct, filter=filter, default=default)
        self.sample = sample


class Variance(StdDev):
    """The variance, of the population, or with `sample=True` of a sample. None if there are too few values."""

    root = False


class _OfOrdered(Aggregate):
    """An aggregate that needs values in an order."""

    accumulator = Extreme
    largest = False

    def type_of(self, types: Sequence[ValueType | None], /) -> ValueType | None:
        """The type of its argument. Raises FieldError for values without an order."""
        found = types[0]
        if found is not None and not found.codec.traits.ordered:
            raise FieldError(f"{self} needs values in an order, and those of {self.argument} have none")
        return found


class Min(_OfOrdered):
    """The least value; None if there are no values."""


class Max(_OfOrdered):
    """The largest value; None if there are no values."""

    largest = True


def has_aggregate(value: Expression) -> bool:
    """Returns whether an aggregate stands in an expression."""
    return isinstance(value, Aggregate) or any(has_aggregate(part) for part in value.parts())


_PLAIN = (Count, Sum, Avg, Min, Max, StdDev, Variance)
_ROWS = Count("*")


def is_plain(value: Expression) -> bool:
    """Returns whether it is an aggregate of a field or of rows without more: two that are equal are the same then.

    Otherwise they need not be: Value(1) equals Value(True).
    """
    if not isinstance(value, Aggregate) or type(value) not in _PLAIN:
        return False
    return value.filter is None and value.default is None and (isinstance(value.argument, F) or value == _ROWS)
