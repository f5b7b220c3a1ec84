"""The types of values that expressions compute: what lookups, orders and functions need to know of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from ..errors import FieldError, reason, shown
from ..storage.codecs import Codec, codec_for, plain_type
from ..storage.kinds import Kind


@dataclass(frozen=True, slots=True, eq=False)
class ValueType:
    """A type of values: how they are compared and stored, and the conversion of others to it."""

    codec: Codec
    convert: Callable[[Any], Any]

    @property
    def kind(self) -> str:
        """The kind of value, as in storage/kinds.py; 'any' if it is not known."""
        return self.codec.traits.name if self.codec.variant is UNKNOWN_KIND else self.codec.kind


UNKNOWN_KIND = Kind("any", indexable=False)
UNKNOWN = ValueType(Codec("json", repr, Any, bytes.decode, variant=UNKNOWN_KIND), lambda value: value)
"""Values of which only Python can tell how they compare."""

_TYPES = (bool, int, float, Decimal, str, bytes, datetime, date, time, timedelta, UUID)
NUMBERS = ("bool", "int", "float", "decimal")
"""The kinds of numbers, the least general first."""


@lru_cache(maxsize=256)
def value_type(annotation: Any) -> ValueType:
    """The type of values that a Python type, or an annotation, names. Raises TypeError for one that is no type."""
    return ValueType(codec_for(annotation), TypeAdapter(plain_type(annotation)).validate_python)


def named_type(said: Any, place: str) -> ValueType | None:
    """The type of values that a user names; None for None. Raises FieldError for what names none."""
    if said is None:
        return None
    try:
        if not isinstance(said, str):
            return value_type(said)
    except Exception:  # noqa: BLE001, S110 - pydantic has several errors for what is no type
        pass
    raise FieldError(f"{place}={shown(said)}: give a Python type, such as int, str, Decimal or datetime")


def fitted(said: Any, value: Any, source: object) -> Any:
    """A value as one of the type that is said for the values of an expression. Raises ValueError."""
    try:
        return value_type(said).convert(value)
    except ValueError as error:
        name = getattr(said, "__name__", said)
        raise ValueError(f"{source} is {shown(value)}, which is no {name}: {reason(error)}") from None


_ACCEPTS = {
    "int": ("bool", "int"),
    "float": ("bool", "int", "float"),
    "decimal": ("bool", "int", "decimal"),
    "date": ("date", "datetime"),
}


def accepts(needed: type, given: ValueType) -> bool:
    """Whether values of a type stand for those of a Python type that a function takes: ints for floats."""
    kind = value_type(needed).kind
    return given.kind == "any" or given.kind in _ACCEPTS.get(kind, (kind,))


def type_of_value(value: Any) -> ValueType | None:
    """The type of a value; None for None, and for a value of another type than those of fields."""
    known = next((known for known in _TYPES if isinstance(value, known)), None)
    return None if known is None else value_type(known)


def common_type(types: Sequence[ValueType | None], what: str) -> ValueType | None:
    """The type that values of these types have in common, numbers as Python adds them; None if none is known.

    what: the expression, for the message. Raises FieldError for types that do not go together.
    """
    known = [one for one in types if one is not None and one is not UNKNOWN]
    kinds = {one.kind for one in known}
    if len(kinds) <= 1:
        return known[0] if known else None
    if kinds <= {*NUMBERS} and not kinds >= {"float", "decimal"}:
        return max(known, key=lambda one: NUMBERS.index(one.kind))
    raise FieldError(
        f"{what} mixes values of the types {', '.join(sorted(kinds))}: convert them with Cast(), or say "
        f"output_field=, a Python type"
    )


_TIMES = ("date", "datetime")


def type_of_arithmetic(operator: str, left: ValueType | None, right: ValueType | None) -> ValueType | None:
    """The type of the result of Python's operator; None if only the values tell."""
    if left is None or right is None:
        return None
    one, other = left.kind, right.kind
    if operator == "|":
        return None
    if one in NUMBERS and other in NUMBERS:
        return _type_of_numbers(operator, one, other)
    if operator == "+" and one == other == "text":
        return value_type(str)
    if operator == "-" and one in _TIMES and other in _TIMES:
        return value_type(timedelta)
    if operator in "+-" and one in (*_TIMES, "timedelta") and other == "timedelta":
        return left
    if operator == "+" and one == "timedelta" and other in _TIMES:
        return right
    if one == "timedelta" and other in NUMBERS and operator in ("*", "/", "//"):
        return left
    return None


def _type_of_numbers(operator: str, one: str, other: str) -> ValueType | None:
    widest = max(NUMBERS.index(one), NUMBERS.index(other))
    if NUMBERS[widest] in ("bool", "int"):
        return value_type(float if operator == "/" else int | float if operator == "**" else int)  # type: ignore[arg-type]
    return None if {one, other} == {"float", "decimal"} else value_type((float, Decimal)[widest - 2])
