"""Functions that choose among values, and `Cast`, which converts them."""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

from ...errors import FieldError, shown
from ..accumulators import ordered
from ..value_types import ValueType, common_type, named_type, value_type
from .base import Function
from .texts import text_of


class Coalesce(Function):
    """The first value that is there: `Coalesce("nickname", "name", Value("nobody"))`."""

    takes_null = True
    least = 2

    def result(self, values: Mapping[str, Any], /) -> Any:
        """The first value that is not None; those after it are not computed."""
        for argument in self.arguments:
            value = argument.result(values)
            if value is not None:
                return self._fitted(value)
        return None


class _OfOrdered(Function):
    """A function of values in an order, of which absent ones are left out."""

    takes_null = True
    least = 2

    def _own_type(self, types: Sequence[ValueType | None]) -> ValueType | None:
        found = common_type(types, str(self))
        if found is not None and not found.codec.traits.ordered:
            raise FieldError(f"{self} needs values in an order, and those of the type {found.kind} have none")
        return found


class Greatest(_OfOrdered):
    """The largest of the values of a row; absent ones are left out, as on PostgreSQL."""

    def evaluate(self, *values: Any) -> Any:
        """The largest."""
        return max((value for value in values if value is not None), key=_ordered, default=None)


class Least(_OfOrdered):
    """The least of the values of a row; absent ones are left out, as on PostgreSQL."""

    def evaluate(self, *values: Any) -> Any:
        """The least."""
        return min((value for value in values if value is not None), key=_ordered, default=None)


def _ordered(value: Any) -> Any:
    return ordered(value.value if isinstance(value, Enum) else value)


class NullIf(Function):
    """The first value, absent if it equals the second: `NullIf("name", Value(""))`."""

    takes_null = True
    least = most = 2

    def __init__(self, expression1: Any, expression2: Any) -> None:
        super().__init__(expression1, expression2)

    def evaluate(self, one: Any, other: Any) -> Any:
        """The first, or None."""
        return None if one is not None and other is not None and _ordered(one) == _ordered(other) else one

    def _own_type(self, types: Sequence[ValueType | None]) -> ValueType | None:
        common_type(types, str(self))
        return types[0]


class Cast(Function):
    """The value as one of another type: `Cast("text", int)`, `Cast("price", Decimal)`, `Cast("published", date)`.

    output_field: a Python type, also one of pydantic's or an enum.

    Texts are read as lookup values are, a str is the text that is stored, a float becomes an int as in Python, without
    its fraction, an aware datetime becomes a date in UTC, a length of time the number of its seconds, and a bool is
    false for 0. A value that does not convert ("abc" to int) is absent: one such value does not break the query.
    """

    least = most = 1

    def __init__(self, expression: Any, output_field: Any) -> None:
        if output_field is None:
            raise FieldError("Cast(output_field=None): give a Python type, such as int, str, Decimal or datetime")
        super().__init__(expression, output_field=output_field)

    def result(self, values: Mapping[str, Any], /) -> Any:
        """The converted value; None for one that does not convert."""
        value = self.arguments[0].result(values)
        if value is None:
            return None
        target = value_type(self.output_field)
        try:
            return target.convert(_PREPARED.get(target.kind, _as_it_is)(value))
        except (ValueError, TypeError, ArithmeticError):
            return None

    def type_of(self, _types: Sequence[ValueType | None], /) -> ValueType | None:
        """The type that is named."""
        return named_type(self.output_field, "Cast(output_field)")

    def __str__(self) -> str:
        return f"Cast({self.arguments[0]}, {getattr(self.output_field, '__name__', shown(self.output_field))})"


def _as_it_is(value: Any) -> Any:
    if isinstance(value, Enum) and not isinstance(value, str):
        return value.value
    return value.total_seconds() if isinstance(value, timedelta) else value


def _to_int(value: Any) -> Any:
    value = _as_it_is(value)
    return math.trunc(value) if isinstance(value, float | Decimal) else value


def _to_bool(value: Any) -> Any:
    value = _as_it_is(value)
    return bool(value) if isinstance(value, int | float | Decimal) else value


def _to_date(value: Any) -> Any:
    return _naive(value).date() if isinstance(value, datetime) else value


def _to_time(value: Any) -> Any:
    return _naive(value).time() if isinstance(value, datetime) else value


def _to_datetime(value: Any) -> Any:
    return datetime.combine(value, time()) if isinstance(value, date) and not isinstance(value, datetime) else value


def _naive(value: datetime) -> datetime:
    return value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)


def _same(value: Any) -> Any:
    return value


_PREPARED: dict[str, Callable[[Any], Any]] = {
    "text": text_of,
    "int": _to_int,
    "bool": _to_bool,
    "date": _to_date,
    "time": _to_time,
    "datetime": _to_datetime,
    "timedelta": _same,
    "json": _same,
}
"""What pydantic makes a value of each kind of; where it would refuse, Python's own conversion comes first."""
