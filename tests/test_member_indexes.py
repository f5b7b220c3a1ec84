"""Indexes of members of which equal ones may be written in several ways: floats, Decimals, dates, datetimes."""

import json
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ormis
from model_factory import make
from ormis import F, Field


class Sample(ormis.Model):
    """Has the same lists with an index and without one."""

    floats: list[float] = Field(default=[], index="members")
    decimals: set[Decimal] = Field(default=set(), index="members")
    days: tuple[date, ...] = Field(default=(), index="members")
    moments: list[datetime] = Field(default=[], index="members")
    floats_there: list[float] = []
    decimals_there: set[Decimal] = set()
    days_there: tuple[date, ...] = ()
    moments_there: list[datetime] = []

    class Meta:
        key = "member_sample"


NUMBERS = [0.0, -0.0, 1.0, 0.1, 0.1 + 2**-56, 1e22, 1e-300, float("inf"), -float("inf"), 2.0**53 + 2]
DECIMALS = ["0", "-0", "0E+9", "1", "1.0", "1.00", "10", "1E+1", "0.1", "0.10", "1E-1", "-1.50", "-1.5"]
HUGE = ["1E+999999", "10E+999998", "1E+100000000000", "1.0E+100000000000", "1E-999999999999", "100E-1000000000001"]
ZONE = timezone(timedelta(hours=1))
MOMENTS = [
    datetime(2020, 1, 1, 1, tzinfo=ZONE),
    datetime(2020, 1, 1, tzinfo=UTC),
    datetime(2020, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
    datetime(1, 1, 1, 12, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
]
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "floats": st.one_of(st.sampled_from(NUMBERS), st.floats(allow_nan=False)),
    "decimals": st.one_of(
        st.sampled_from(DECIMALS + HUGE).map(Decimal), st.decimals(allow_nan=False, allow_infinity=False, places=2)
    ),
    "days": st.sampled_from([date(2020, 1, 1), date(1, 1, 1), date(9999, 12, 31)]),
    "moments": st.one_of(st.sampled_from(MOMENTS), st.datetimes(timezones=st.sampled_from([UTC, ZONE]))).filter(
        lambda one: datetime(1, 1, 3, tzinfo=UTC) < one < datetime(9999, 12, 30, tzinfo=UTC)
    ),
}
ROWS = st.fixed_dictionaries({name: st.lists(values, max_size=4) for name, values in VALUES.items()})


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ROWS, min_size=1, max_size=5), asked=ROWS)
def test_the_index_finds_what_python_finds(
    db: ormis.Database, raw: redis.Redis, rows: list[dict[str, list[Any]]], asked: dict[str, list[Any]]
) -> None:
    """By contains and overlap, with an index and without one, beside `in` over the values."""
    raw.flushdb()
    samples = [
        Sample(**row, **{f"{name}_there": values for name, values in row.items()}).save()  # type: ignore[arg-type]
        for row in rows
    ]
    for name, values in asked.items():
        some = [*values, *(value for row in rows for value in row[name])]
        for value in some[:8]:
            expected = [one.pk for one in samples if value in getattr(one, name)]
            for field in (name, f"{name}_there"):
                found = Sample.objects.filter(**{f"{field}__contains": value}).order_by("pk")
                assert [one.pk for one in found] == expected, (field, value)
        either = [one.pk for one in samples if any(value in getattr(one, name) for value in values)]
        all_of = [one.pk for one in samples if all(value in getattr(one, name) for value in values)]
        for field in (name, f"{name}_there"):
            assert [o.pk for o in Sample.objects.filter(**{f"{field}__overlap": values}).order_by("pk")] == either
            if values:
                assert [o.pk for o in Sample.objects.filter(**{f"{field}__contains": values}).order_by("pk")] == all_of
    assert ormis.check(db).ok


def test_one_set_for_equal_members(db: ormis.Database, raw: redis.Redis) -> None:
    """Whichever way they are written; changes on the server move the entries."""
    one = Sample(floats=[1, -0.0], decimals={Decimal("1.50")}, moments=[datetime(2020, 1, 1, 1, tzinfo=ZONE)]).save()
    two = Sample(floats=[0.5], decimals={Decimal("15E-1")}, moments=[datetime(2020, 1, 1, tzinfo=UTC)]).save()
    index = "member_sample/index/"
    assert raw.smembers(f"{index}decimals=15E-1") == {b"1", b"2"}
    assert raw.smembers(f"{index}moments=2020-01-01T00:00:00.000000") == {b"1", b"2"}
    assert raw.smembers(f"{index}floats=0") == {b"1"}
    assert Sample.objects.filter(decimals__contains=Decimal("1.5")).update(floats=F("floats") + [0.0])  # noqa: RUF005 == 2
    assert raw.smembers(f"{index}floats=0") == {b"1", b"2"}
    assert Sample.objects.filter(pk=one.pk).update(floats=F("floats") - [0.0]) == 1
    assert [found.pk for found in Sample.objects.filter(floats__contains=0)] == [two.pk]
    assert "index of the members of floats: 1 of 2" in str(Sample.objects.filter(floats__contains=0).explain())
    assert ormis.check(db).ok


def test_texts_of_other_programs(db: ormis.Database, raw: redis.Redis) -> None:
    """In other forms than ormis writes, also of what is no such value; NaN is in no index."""
    Sample().save()
    raw.hset("member_sample:1", "floats", json.dumps([1, "1e0", "x", "NaN", 2.50]))
    raw.hset("member_sample:1", "decimals", '[1.50, "-0.0", "NaN", "sNaN", "y", "Infinity"]')
    raw.hset("member_sample:1", "moments", '["2020-01-01 01:00:00+0100", "z"]')
    assert not ormis.check(db, repair=True).ok
    names = {key.removeprefix(b"member_sample/index/") for key in raw.keys("*/index/*")}
    assert names == {
        b"floats=1",
        b"floats=2.5",
        b"decimals=15E-1",
        b"decimals=0",
        b"decimals=inf",
        b"moments=2020-01-01T00:00:00.000000",
        b"moments=z",
    }
    assert {finding.kind for finding in ormis.check(db).findings} == {"value"}


@pytest.mark.parametrize("member", [time, timedelta, int | float], ids=str)
def test_refused_members(member: Any) -> None:
    """Of which the server can't tell the equal ones."""
    with pytest.raises(ormis.ModelError, match='index="members" is for members'):
        make("Refused", "member_refused", x=(list[member], Field(default=[], index="members")))
