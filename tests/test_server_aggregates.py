"""Aggregates that the server adds up: exact whatever the numbers, in one call and in many, from indexes or not."""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import MAX_PREC, Context, Decimal
from fractions import Fraction
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ormis
from laws import examples
from ormis import Avg, Count, Field, FieldError, Max, Min, Q, StdDev, StoredDataError, Sum, Variance, capture_calls

pytestmark = pytest.mark.usefixtures("db")
LAW = settings(max_examples=examples(6), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
EXACT = Context(prec=min(MAX_PREC, 2000))


class Bare(ormis.Model):
    group: str | None = None
    whole: int | None = None
    real: float | None = None
    exact: Decimal | None = None
    moment: datetime | None = None
    day: date | None = None
    text: str | None = None


class Indexed(ormis.Model):
    group: str | None = Field(default=None, index=True)
    whole: int | None = Field(default=None, index=True)
    real: float | None = Field(default=None, index=True)
    exact: Decimal | None = Field(default=None, index=True)
    moment: datetime | None = Field(default=None, index=True)
    day: date | None = Field(default=None, index=True)
    text: str | None = Field(default=None, index="sorted")


WHOLE = st.one_of(
    st.none(), st.integers(-9, 9), st.integers(-(2**54), 2**54), st.integers(94906260, 94906270), st.integers()
)
REAL = st.one_of(
    st.none(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.1, 1e308, -1e308, 5e-324, 1e-200, 1e150, 3.0, -0.0]),
)
DECIMAL = st.one_of(
    st.none(),
    st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**6), max_value=10**6),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30),
    st.sampled_from([Decimal("1.50"), Decimal("1E+3"), Decimal(9007199254740993), Decimal("0.00")]),
)
MOMENT = st.one_of(st.none(), st.datetimes(timezones=st.just(UTC)))
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "group": st.sampled_from([None, "a", "b", "", "-", "1:a"]),
            "whole": WHOLE,
            "real": REAL,
            "exact": DECIMAL,
            "moment": MOMENT,
            "day": st.one_of(st.none(), st.dates()),
            "text": st.one_of(st.none(), st.text(max_size=3)),
        }
    ),
    max_size=12,
)


def present(rows: Sequence[dict[str, Any]], name: str) -> list[Any]:
    """The values of a field that are there."""
    return [row[name] for row in rows if row[name] is not None]


def total(values: Sequence[Any]) -> Any:
    """The exact sum; of floats the nearest float, infinite past the largest."""
    if not values:
        return None
    if isinstance(values[0], float):
        exact = sum((Fraction(value) for value in values), Fraction())
        try:
            return float(exact)
        except OverflowError:
            return math.inf if exact > 0 else -math.inf
    if isinstance(values[0], Decimal):
        found = Decimal(0)
        for value in values:
            found = EXACT.add(found, value)
        return found
    return sum(values)


def variance(values: Sequence[Any]) -> Any:
    """The variance of ints, as the nearest float."""
    if not values:
        return None
    mean = Fraction(sum(values), len(values))
    return float(sum((Fraction(value) - mean) ** 2 for value in values) / len(values))


def expected(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What plain Python computes of these rows."""
    numbers = {f"{name}_sum": total(present(rows, name)) for name in ("whole", "real", "exact")}
    ends = {
        f"{name}_{end.__name__}": end(present(rows, name), default=None)
        for name in ("whole", "real", "exact", "moment", "day", "text")
        for end in (min, max)
    }
    return (
        numbers
        | ends
        | {
            "rows": len(rows),
            "reals": len(present(rows, "real")),
            "texts": len(set(present(rows, "text"))),
            "spread": variance(present(rows, "whole")),
            "large": total([row["whole"] for row in rows if row["whole"] is not None and row["whole"] > 3]),
        }
    )


ASKED: dict[str, Any] = {
    **{f"{name}_sum": Sum(name) for name in ("whole", "real", "exact")},
    **{
        f"{name}_{label}": aggregate(name)
        for name in ("whole", "real", "exact", "moment", "day", "text")
        for label, aggregate in (("min", Min), ("max", Max))
    },
    "rows": Count("*"),
    "reals": Count("real"),
    "texts": Count("text", distinct=True),
    "spread": Variance("whole"),
    "large": Sum("whole", filter=Q(whole__gt=3)),
}


@pytest.fixture(params=["usual sizes", "tiny sizes"])
def sizes(request: pytest.FixtureRequest, db: ormis.Database) -> None:
    """How much one call looks at."""
    if request.param == "tiny sizes":
        db.limits = replace(db.limits, objects=3, keys=2, values=2)


def same(found: Any, wanted: Any) -> bool:
    """Whether two values are equal, and of one type."""
    return type(found) is type(wanted) and found == wanted


@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize("model", [Bare, Indexed])
@LAW
@given(rows=ROWS, alone=st.sampled_from(list(ASKED)))
def test_what_the_server_adds_up_is_exact(
    db: ormis.Database, model: Any, rows: list[dict[str, Any]], alone: str
) -> None:
    """One aggregate by itself, and all of them at once, are what exact arithmetic makes of the same rows."""
    db.client.flushall()
    model.objects.bulk_create([model(**row) for row in rows])
    wanted = expected(rows)
    found = model.objects.aggregate(**ASKED)
    assert {name for name in wanted if not same(found[name], wanted[name])} == set(), (found, wanted)
    assert same(model.objects.aggregate(x=ASKED[alone])["x"], wanted[alone])


@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize("model", [Bare, Indexed])
@LAW
@given(rows=ROWS)
def test_groups_that_the_server_adds_up(db: ormis.Database, model: Any, rows: list[dict[str, Any]]) -> None:
    """Groups are those of the texts of their fields, an absent one is a group of its own."""
    db.client.flushall()
    model.objects.bulk_create([model(**row) for row in rows])
    groups: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["group"], row["day"]), []).append(row)
    found = {(row["group"], row["day"]): row for row in model.objects.values("group", "day").annotate(**ASKED)}
    assert found.keys() == groups.keys()
    for key, members in groups.items():
        wanted = expected(members)
        assert {name for name in wanted if not same(found[key][name], wanted[name])} == set()
    single = {row["group"]: row["n"] for row in model.objects.values("group").annotate(n=Count("id"))}
    assert single == {name: sum(row["group"] == name for row in rows) for name in {row["group"] for row in rows}}


@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize("model", [Bare, Indexed])
@LAW
@given(rows=ROWS, low=st.integers(-5, 5), group=st.sampled_from(["a", "b", None]))
def test_only_what_the_filter_finds_is_added_up(
    db: ormis.Database, model: Any, rows: list[dict[str, Any]], low: int, group: str | None
) -> None:
    """A filter narrows what is added up, whether an index answers it or the rows do."""
    db.client.flushall()
    model.objects.bulk_create([model(**row) for row in rows])
    high = [row for row in rows if row["whole"] is not None and row["whole"] >= low]
    found = model.objects.filter(whole__gte=low).aggregate(**ASKED)
    wanted = expected(high)
    assert {name for name in wanted if not same(found[name], wanted[name])} == set()
    named = [row for row in rows if row["group"] == group]
    assert model.objects.filter(group=group).aggregate(n=Count("*"), s=Sum("whole"))["n"] == len(named)


def test_ends_of_indexes_take_one_call() -> None:
    """Counts, least and largest values of all objects, or of a range, are the sizes and the ends of indexes."""
    Indexed.objects.bulk_create(
        [Indexed(whole=i, real=i / 7, exact=Decimal(i), day=date(2026, 1, 1) + timedelta(i % 9)) for i in range(5000)]
    )
    with capture_calls() as calls:
        found = Indexed.objects.aggregate(n=Count("*"), a=Min("whole"), b=Max("real"), c=Max("day"), d=Min("exact"))
    assert found == {"n": 5000, "a": 0, "b": 4999 / 7, "c": date(2026, 1, 9), "d": Decimal(0)}
    assert len(calls) == 1
    with capture_calls() as calls:
        found = Indexed.objects.filter(whole__gte=10, whole__lt=4000).aggregate(
            n=Count("*"), a=Min("whole"), b=Max("whole")
        )
    assert found == {"n": 3990, "a": 10, "b": 3999}
    assert len(calls) == 1


def test_scores_that_stand_for_several_values() -> None:
    """Of ints past 2^53 and Decimals with one score the texts at the end of the index decide."""
    for value in (2**60, 2**60 + 1, 2**60 - 1, -(2**60) - 1, -(2**60)):
        Indexed(whole=value, exact=Decimal(value) + Decimal("0.5")).save()
    with capture_calls() as calls:
        found = Indexed.objects.aggregate(a=Min("whole"), b=Max("whole"), c=Min("exact"), d=Max("exact"))
    assert found == {
        "a": -(2**60) - 1,
        "b": 2**60 + 1,
        "c": Decimal(-(2**60) - 1) + Decimal("0.5"),
        "d": Decimal(2**60 + 1) + Decimal("0.5"),
    }
    assert len(calls) == 1


def test_numbers_that_are_none_and_infinite() -> None:
    """Infinities add up as floats do, NaN is after all else."""
    for value in (math.inf, 1.0, math.nan):
        Bare(real=value).save()
    found = Bare.objects.filter(real__gt=0).aggregate(s=Sum("real"), a=Avg("real"), m=Max("real"), n=Min("real"))
    assert found == {"s": math.inf, "a": math.inf, "m": math.inf, "n": 1.0}
    every = Bare.objects.aggregate(s=Sum("real"), m=Max("real"), n=Min("real"), d=StdDev("real"))
    assert math.isnan(every["s"])
    assert math.isnan(every["m"])
    assert math.isnan(every["d"])
    assert every["n"] == 1.0


def test_a_text_that_is_no_number_is_named(raw: redis.Redis) -> None:
    """A stored text that does not convert is a StoredDataError that names the key and the field."""
    bad = Bare(whole=1).save()
    raw.hset(bad.key, "whole", "many")
    with pytest.raises(StoredDataError, match=r"Bare\.whole of the key 'bare:\d+' holds 'many'"):
        Bare.objects.aggregate(Sum("whole"))
    with pytest.raises(StoredDataError, match=r"Bare\.whole of the key"):
        list(Bare.objects.values("whole").annotate(n=Count("id")))


def test_explain_says_who_adds_up() -> None:
    """explain() says whether the server adds up, or Python."""
    Bare(group="a", whole=1).save()
    by_server = Bare.objects.values("group").annotate(n=Count("id"), s=Sum("whole")).explain()
    assert "grouped by group: Count('id'), Sum('whole') on the server, portion by portion" in by_server
    every = Bare.objects.values("group").annotate(**ASKED, mean=Avg("exact"), deviation=StdDev("real")).explain()
    assert "on the server, portion by portion" in every
    in_python = Bare.objects.values("group").annotate(s=Sum(ormis.F("whole") + 1)).explain()
    assert "in Python, over columns read in batches" in in_python


def test_a_sum_of_texts_is_refused() -> None:
    """Sum needs numbers."""
    with pytest.raises(FieldError, match=r"Sum\('text'\) needs numbers"):
        Bare.objects.aggregate(Sum("text"))
