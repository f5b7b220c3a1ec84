"""Parts of dates and times: `year`, `week_day`, `hour`; of aware ones, in UTC."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time
from typing import Any

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
    return {"date": date, "time": time}.get(name, int)
