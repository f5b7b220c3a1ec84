"""Functions of dates and times: `Extract`, `Trunc` and their kin, `Now`."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any, ClassVar

from ...errors import FieldError, hint_for, shown
from ...storage.kinds import DATE_PARTS, TIME_PARTS
from ..date_parts import part_of, part_type
from ..expressions import Expression
from ..value_types import ValueType, named_type, value_type
from .base import Function

Zone = tzinfo


class _OfTimes(Function):
    """A function of dates and times. tzinfo: the zone in which aware ones are taken, UTC if none is given."""

    least = most = 1

    def __init__(self, argument: Any, zone: Any, output_field: Any = None) -> None:
        super().__init__(argument, output_field=output_field)
        if zone is not None and not isinstance(zone, tzinfo):
            raise FieldError(f"{self}: tzinfo={shown(zone)}: give a zone, such as ZoneInfo('Europe/Berlin')")
        self.tzinfo: Zone | None = zone

    def _local(self, value: Any) -> Any:
        """An aware datetime in the zone; anything else as it is."""
        if isinstance(value, datetime) and value.tzinfo is not None:
            return value.astimezone(self.tzinfo or UTC)
        return value


# Parts ---------------------------------------------------------------------------------------------------------------


class Extract(_OfTimes):
    """A part of a date or time, `year` for instance: `Extract("published", "year")`; in filter() `published__year`.

    lookup_name: year, iso_year, quarter, month, week, day, week_day (from 1 = Sunday), iso_week_day (from 1 = Monday),
    hour, minute, second, date, time. tzinfo: the zone in which an aware value is taken, UTC if none is given.
    """

    def __init__(self, expression: Any, lookup_name: str, tzinfo: Zone | None = None) -> None:
        self.part = lookup_name
        super().__init__(expression, tzinfo)
        if lookup_name not in _PARTS:
            raise FieldError(f"Extract({shown(lookup_name)}): {hint_for(str(lookup_name), _PARTS)}")

    def evaluate(self, value: Any) -> Any:
        """The part."""
        local = self._local(value)
        return part_of(self.part, local.replace(tzinfo=None) if isinstance(local, datetime) else local)

    def type_of(self, types: Sequence[ValueType | None], /) -> ValueType | None:
        """Int; date and time for these parts. Raises FieldError for values that have no such part."""
        of = types[0]
        if of is not None and of.kind != "any" and self.part not in of.codec.traits.parts:
            has = ", ".join(of.codec.traits.parts) or "none"
            raise FieldError(f"{self}: a {of.kind} has no part {shown(self.part)}; it has {has}")
        return value_type(part_type(self.part))

    def __str__(self) -> str:
        return f"{self.arguments[0]}__{self.part}"


_PARTS = (*DATE_PARTS, *TIME_PARTS, "date", "time")


class _Part(Extract):
    part_name: ClassVar[str]

    def __init__(self, expression: Any, tzinfo: Zone | None = None) -> None:
        super().__init__(expression, self.part_name, tzinfo)


class ExtractYear(_Part):
    """The year."""

    part_name = "year"


class ExtractIsoYear(_Part):
    """The year to which the ISO week belongs."""

    part_name = "iso_year"


class ExtractQuarter(_Part):
    """The quarter of the year, 1 to 4."""

    part_name = "quarter"


class ExtractMonth(_Part):
    """The month."""

    part_name = "month"


class ExtractWeek(_Part):
    """The ISO week of the year, 1 to 53."""

    part_name = "week"


class ExtractDay(_Part):
    """The day of the month."""

    part_name = "day"


class ExtractWeekDay(_Part):
    """The day of the week, from 1 = Sunday to 7 = Saturday."""

    part_name = "week_day"


class ExtractIsoWeekDay(_Part):
    """The day of the week, from 1 = Monday to 7 = Sunday."""

    part_name = "iso_week_day"


class ExtractHour(_Part):
    """The hour."""

    part_name = "hour"


class ExtractMinute(_Part):
    """The minute."""

    part_name = "minute"


class ExtractSecond(_Part):
    """The second, without its fraction."""

    part_name = "second"


def part_of_field(argument: Expression, part: str) -> Extract:
    """The part of a field that a name such as `published__year` means."""
    return Extract(argument, part)


# Truncation ----------------------------------------------------------------------------------------------------------

_DATE_KINDS: dict[str, Callable[[date], date]] = {
    "year": lambda v: v.replace(month=1, day=1),
    "quarter": lambda v: v.replace(month=(v.month - 1) // 3 * 3 + 1, day=1),
    "month": lambda v: v.replace(day=1),
    "week": lambda v: v - timedelta(days=v.weekday()),
    "day": lambda v: v,
}
_TIME_KINDS: dict[str, dict[str, int]] = {
    "hour": {"minute": 0, "second": 0, "microsecond": 0},
    "minute": {"second": 0, "microsecond": 0},
    "second": {"microsecond": 0},
}
_KINDS_OF = {
    "date": (*_DATE_KINDS,),
    "datetime": (*_DATE_KINDS, *_TIME_KINDS, "date", "time"),
    "time": (*_TIME_KINDS,),
}
"""The kinds of truncation of each kind of value."""


class Trunc(_OfTimes):
    """A date or time cut to the beginning of its year, month, hour, ...: `Trunc("published", "month")`.

    kind: year, quarter, month, week (from Monday), day, hour, minute, second; date and time for these parts. Of a date
    the result is a date, of a datetime a datetime, with `output_field=date` its date.
    tzinfo: the zone in which an aware value is cut, and returned, UTC if none is given. A naive value stays naive.
    """

    def __init__(self, expression: Any, kind: str, output_field: Any = None, tzinfo: Zone | None = None) -> None:
        self.kind = kind
        super().__init__(expression, tzinfo, output_field)
        if kind not in _KINDS_OF["datetime"]:
            raise FieldError(f"Trunc({shown(kind)}): {hint_for(str(kind), _KINDS_OF['datetime'])}")

    def evaluate(self, value: Any) -> Any:
        """The value cut."""
        cut = _cut(self.kind, self._local(value))
        return cut.date() if self.output_field is date and isinstance(cut, datetime) else cut

    def type_of(self, types: Sequence[ValueType | None], /) -> ValueType | None:
        """That of the values; date and time for these kinds. Raises FieldError for values that have no such kind."""
        of = types[0]
        if of is not None and of.kind != "any" and self.kind not in _KINDS_OF.get(of.kind, ()):
            has = ", ".join(_KINDS_OF.get(of.kind, ())) or "nothing"
            raise FieldError(f"{self}: {self.arguments[0]}, a {of.kind}, can be cut to {has}")
        said = named_type(self.output_field, f"{self}: output_field")
        if said is not None and (said.kind not in _KINDS_OF or (of is not None and not _fits(self.kind, of, said))):
            raise FieldError(f"{self}: output_field={shown(self.output_field)}: this is a {_kind_of(self.kind, of)}")
        if said is not None:
            return said
        return value_type(part_type(self.kind)) if self.kind in ("date", "time") else of

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.arguments[0]}, {self.kind!r})"


def _kind_of(kind: str, of: ValueType | None) -> str:
    return kind if kind in ("date", "time") or of is None else of.kind


def _fits(kind: str, of: ValueType, said: ValueType) -> bool:
    """Whether values cut like this can be of a type that is said: of datetimes the dates too, down to the day."""
    made = _kind_of(kind, of)
    return said.kind == made or "any" in (made, of.kind) or (made, said.kind) == ("datetime", "date")


def _cut(kind: str, value: Any) -> Any:
    if kind == "date":
        return value.date()
    if kind == "time":
        return value.time()
    if kind in _TIME_KINDS:
        return value.replace(**_TIME_KINDS[kind])
    day = _DATE_KINDS[kind](value)
    return day.replace(hour=0, minute=0, second=0, microsecond=0, fold=0) if isinstance(day, datetime) else day


class _Trunc(Trunc):
    kind_name: ClassVar[str]

    def __init__(self, expression: Any, output_field: Any = None, tzinfo: Zone | None = None) -> None:
        super().__init__(expression, self.kind_name, output_field, tzinfo)


class TruncYear(_Trunc):
    """The first day of the year."""

    kind_name = "year"


class TruncQuarter(_Trunc):
    """The first day of the quarter."""

    kind_name = "quarter"


class TruncMonth(_Trunc):
    """The first day of the month."""

    kind_name = "month"


class TruncWeek(_Trunc):
    """The Monday of the week."""

    kind_name = "week"


class TruncDay(_Trunc):
    """The beginning of the day."""

    kind_name = "day"


class TruncDate(_Trunc):
    """The date of a datetime."""

    kind_name = "date"

    def __init__(self, expression: Any, tzinfo: Zone | None = None) -> None:
        super().__init__(expression, None, tzinfo)


class TruncTime(_Trunc):
    """The time of day of a datetime."""

    kind_name = "time"

    def __init__(self, expression: Any, tzinfo: Zone | None = None) -> None:
        super().__init__(expression, None, tzinfo)


class TruncHour(_Trunc):
    """The beginning of the hour."""

    kind_name = "hour"


class TruncMinute(_Trunc):
    """The beginning of the minute."""

    kind_name = "minute"


class TruncSecond(_Trunc):
    """The beginning of the second."""

    kind_name = "second"


# Now -----------------------------------------------------------------------------------------------------------------


class Now(Function):
    """The moment at which the query runs, an aware datetime in UTC: one moment for the whole query.

    Event.objects.filter(ends__gt=Now()); Event.objects.annotate(left=F("ends") - Now())
    """

    output = datetime
    most = 0

    def __init__(self) -> None:
        super().__init__()

    def evaluate(self) -> datetime:
        """The moment."""
        return datetime.now(UTC)
