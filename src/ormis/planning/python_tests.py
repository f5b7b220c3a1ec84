"""Comparisons that are evaluated in Python, not on the server: case folding, regular expressions, parts of dates.

Text is compared by `str.casefold`, regular expressions are Python's `re.search`, parts of aware times are in UTC.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from ..errors import FieldError

_PARTS: dict[str, Callable[[Any], Any]] = {
    "year": lambda v: v.year,
    "month": lambda v: v.month,
    "day": lambda v: v.day,
    "week_day": lambda v: v.isoweekday() % 7 + 1,
    "iso_week_day": lambda v: v.isoweekday(),
    "week": lambda v: v.isocalendar().week,
    "iso_year": lambda v: v.isocalendar().year,
    "quarter": lambda v: (v.month + 2) // 3,
    "hour": lambda v: v.hour,
    "minute": lambda v: v.minute,
    "second": lambda v: v.second,
    "date": lambda v: v.date(),
    "time": lambda v: v.time(),
}


def part_of(name: str, value: Any) -> Any:
    """A part of a date or time; of an aware one, in UTC. `week_day` counts from 1 = Sunday."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    return _PARTS[name](value)


def part_type(name: str) -> Any:
    """The type of a part: date, time or int."""
    return {"date": date, "time": datetime.min.time().__class__}.get(name, int)


def text_test(lookup: str, value: str, place: str) -> Callable[[str], bool]:
    """The test of a text lookup. Raises FieldError for a regular expression that is none."""
    if lookup in ("regex", "iregex"):
        try:
            pattern = re.compile(value, re.IGNORECASE if lookup == "iregex" else 0)
        except re.error as error:
            raise FieldError(f"{place}={value!r} is no regular expression: {error}") from None
        return lambda own: pattern.search(own) is not None
    exact = {"contains": str.__contains__, "startswith": str.startswith, "endswith": str.endswith}.get(lookup)
    if exact is not None:
        return lambda own: exact(own, value)
    folded = value.casefold()
    if lookup == "iexact":
        return lambda own: own.casefold() == folded
    if lookup == "icontains":
        return lambda own: folded in own.casefold()
    if lookup == "istartswith":
        return lambda own: own.casefold().startswith(folded)
    return lambda own: own.casefold().endswith(folded)
