"""`dates()` and `datetimes()`: the years, months, days, ... in which there are objects."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ormis
from laws import examples
from ormis import Field, ForeignKey

BERLIN = ZoneInfo("Europe/Berlin")
LAW = settings(max_examples=examples(12), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Event(ormis.Model):
    """Dates with an index and without, aware and naive, across a relation too."""

    name: str = ""
    day: date | None = Field(default=None, index=True)
    moment: datetime | None = None
    plain: datetime | None = None
    before: ForeignKey["Event | None"] = ForeignKey(on_delete=ormis.SET_NULL, related_name="after")

    class Meta:
        key = "dates_event"
        ordering = ["-name"]


DAYS = st.dates(date(1999, 11, 1), date(2001, 3, 1))
MOMENTS = st.datetimes(datetime(1999, 12, 30), datetime(2000, 1, 3)) | st.datetimes(
    datetime(1999, 1, 1), datetime(2001, 1, 1)
)
ROWS = st.lists(
    st.builds(
        dict,
        name=st.sampled_from("abc"),
        day=st.none() | DAYS,
        moment=st.none() | MOMENTS.map(lambda moment: moment.replace(tzinfo=UTC)),
        plain=st.none() | MOMENTS,
    ),
    max_size=8,
)


@pytest.fixture(params=["usual", "tiny"])
def portions(request: pytest.FixtureRequest, db: ormis.Database) -> str:
    """Rows come in one call, or a few at a time."""
    if request.param == "tiny":
        db.limits = replace(db.limits, objects=2, keys=2)
    return request.param


def begins(kind: str, value: date) -> date:
    """The day on which the year, month, ... of a date begins: the last one before that a calendar marks."""
    marks: dict[str, Callable[[date], bool]] = {
        "year": lambda day: day.timetuple().tm_yday == 1,
        "quarter": lambda day: day.day == 1 and day.month in (1, 4, 7, 10),
        "month": lambda day: day.day == 1,
        "week": lambda day: day.strftime("%a") == "Mon",
        "day": lambda _day: True,
    }
    while not marks[kind](value):
        value -= timedelta(days=1)
    return value


def cut(kind: str, value: datetime) -> datetime:
    """The moment at which it begins."""
    names = {"hour": 4, "minute": 5, "second": 6}
    if kind in names:
        return datetime(*value.timetuple()[: names[kind]], tzinfo=value.tzinfo)  # type: ignore[arg-type]
    day = begins(kind, value.date())
    return datetime(day.year, day.month, day.day, tzinfo=value.tzinfo)


def stored(rows: list[dict[str, Any]]) -> None:
    """These events, and no others."""
    Event.objects.all().delete()
    Event.objects.bulk_create([Event(**row) for row in rows])


@pytest.mark.usefixtures("portions")
@LAW
@given(ROWS, st.sampled_from(["year", "quarter", "month", "week", "day"]), st.sampled_from(["ASC", "DESC"]))
def test_dates(rows: list[dict[str, Any]], kind: str, order: Any) -> None:
    """Each date once, in order, without nulls; of aware datetimes in UTC."""
    stored(rows)
    for field in ("day", "moment", "plain"):
        there = [row[field] for row in rows if row[field] is not None]
        days = {begins(kind, value.date() if isinstance(value, datetime) else value) for value in there}
        expected = sorted(days, reverse=order == "DESC")
        found = Event.objects.dates(field, kind, order)
        assert list(found) == expected
        assert all(type(one) is date for one in found)
        assert (found.count(), found.exists(), found.first()) == (
            len(expected),
            bool(expected),
            next(iter(expected), None),
        )
        assert list(found[1:3]) == expected[1:3]
        assert list(found.reverse()) == expected[::-1]
        assert list(found.iterator(2)) == expected


@pytest.mark.usefixtures("portions")
@LAW
@given(
    ROWS, st.sampled_from(["year", "month", "week", "day", "hour", "minute", "second"]), st.sampled_from([None, BERLIN])
)
def test_datetimes(rows: list[dict[str, Any]], kind: str, zone: Any) -> None:
    """Each moment once, in the zone; naive ones as they are."""
    stored(rows)
    aware = [row["moment"] for row in rows if row["moment"] is not None]
    expected = sorted({cut(kind, value.astimezone(zone or UTC)) for value in aware})
    found = list(Event.objects.datetimes("moment", kind, tzinfo=zone))
    assert found == expected
    assert [one.utcoffset() for one in found] == [one.utcoffset() for one in expected]
    naive = {cut(kind, row["plain"]) for row in rows if row["plain"] is not None}
    assert list(Event.objects.datetimes("plain", kind, "DESC", tzinfo=zone)) == sorted(naive, reverse=True)


async def test_narrowed_and_related(db: ormis.Database) -> None:
    """Conditions before and after count, relations to one object can be named; async code iterates."""
    first = Event(name="a", day=date(2020, 5, 17)).save()
    Event(name="b", day=date(2021, 5, 17), before=first).save()
    Event(name="b", day=date(2021, 7, 1), before=first).save()
    assert list(Event.objects.filter(name="b").dates("day", "month")) == [date(2021, 5, 1), date(2021, 7, 1)]
    assert list(Event.objects.dates("day", "year").filter(day__month=5)) == [date(2020, 1, 1), date(2021, 1, 1)]
    assert list(Event.objects.dates("before__day", "day")) == [date(2020, 5, 17)]
    assert [one async for one in Event.objects.dates("day", "year")] == [date(2020, 1, 1), date(2021, 1, 1)]
    assert list(Event.objects.none().dates("day", "year")) == []
    assert list(Event.objects.values("name").dates("day", "year", "DESC")) == [date(2021, 1, 1), date(2020, 1, 1)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda q: q.dates("dy", "year"), "did you mean 'day'"),
        (lambda q: q.dates("name", "year"), "of the type text, and dates are needed"),
        (lambda q: q.datetimes("day", "year"), "of the type date, and datetimes are needed"),
        (lambda q: q.dates("day", "hour"), "there are year, quarter, month, week, day"),
        (lambda q: q.dates("day", "yeer"), "did you mean 'year'"),
        (lambda q: q.datetimes("moment", "secnd"), "did you mean 'second'"),
        (lambda q: q.dates("day", "year", "descending"), "give 'ASC' or 'DESC'"),
        (lambda q: q.dates("after__day", "year"), "leads to many objects"),
        (lambda q: q.datetimes("moment", "year", tzinfo="Europe/Berlin"), "ZoneInfo"),
        (lambda q: q.dates("day__year", "year"), "name fields only"),
    ],
)
def test_refusals(db: ormis.Database, call: Callable[[Any], Any], message: str) -> None:
    """Another field, kind or order is a FieldError at once."""
    with ormis.capture_calls() as calls, pytest.raises(ormis.FieldError, match=message):
        call(Event.objects)
    assert list(calls) == []


def test_a_slice_has_no_dates(db: ormis.Database) -> None:
    """A slice and a combination are refused, as for filter()."""
    for refused in (Event.objects.all()[:3], Event.objects.all().union(Event.objects.all())):
        with pytest.raises(TypeError, match="can't be narrowed to its dates"):
            refused.dates("day", "year")
