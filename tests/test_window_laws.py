"""Windows compute what SQL says: random rows, partitions, orders and frames, beside Python's own SQLite."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from statistics import pstdev, pvariance
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ormis
from laws import examples
from ormis import (
    Avg,
    Count,
    F,
    Limits,
    Max,
    Min,
    Q,
    RowRange,
    StdDev,
    Sum,
    ValueRange,
    Variance,
    Window,
    WindowFrameExclusion,
)
from ormis.functions import (
    CumeDist,
    DenseRank,
    FirstValue,
    Lag,
    LastValue,
    Lead,
    NthValue,
    Ntile,
    PercentRank,
    Rank,
    RowNumber,
)

LAW = settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Entry(ormis.Model):
    """Rows with ties and absent values; `cents` is `amount` in the form that SQLite adds exactly."""

    team: int | None = None
    votes: int | None = None
    cents: int | None = None
    amount: Decimal | None = None
    height: float | None = None

    class Meta:
        key = "window_laws_entry"


@pytest.fixture(params=[Limits(), Limits(objects=3, keys=2, values=4)], ids=["whole", "small steps"])
def db(db: ormis.Database, request: pytest.FixtureRequest) -> Iterator[ormis.Database]:
    """Reads in one call, and in many."""
    db.limits = request.param
    return db


small = st.one_of(st.none(), st.integers(-3, 6))
rows = st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 2)), small, small), max_size=14)


def store(given_rows: list[tuple[int | None, int | None, int | None]]) -> sqlite3.Connection:
    """The same rows in both."""
    Entry.objects.all().delete()
    entries = [
        Entry(
            id=i,
            team=team,
            votes=votes,
            cents=cents,
            amount=None if cents is None else Decimal(cents) / 100,
            height=None if cents is None else cents / 4,
        )
        for i, (team, votes, cents) in enumerate(given_rows, 1)
    ]
    Entry.objects.bulk_create(entries)
    lite = sqlite3.connect(":memory:")
    lite.execute("CREATE TABLE entry (id INTEGER PRIMARY KEY, team, votes, cents)")
    lite.executemany("INSERT INTO entry VALUES (?, ?, ?, ?)", [(e.id, e.team, e.votes, e.cents) for e in entries])
    return lite


@dataclass(frozen=True)
class Case:
    """A window and its SQL."""

    window: Window
    sql: str


# Partitions, orders and frames ---------------------------------------------------------------------------------------

PARTITIONS: list[tuple[Any, str]] = [
    (None, ""),
    ("team", "PARTITION BY team"),
    ([F("votes"), "team"], "PARTITION BY votes, team"),
    (F("votes") % 2, "PARTITION BY ((votes % 2) + 2) % 2"),
]
ORDERS: list[tuple[Any, str]] = [
    ("votes", "votes"),
    ("-votes", "votes DESC"),
    (F("votes").desc(nulls_first=True), "votes DESC NULLS FIRST"),
    (F("votes").asc(nulls_last=True), "votes NULLS LAST"),
    (["-cents", "team"], "cents DESC, team"),
    (F("votes") * F("votes"), "votes * votes"),
]
BY_VOTES = ORDERS[:4]
distance = st.one_of(st.none(), st.integers(-3, 3))
bounds = st.tuples(distance, distance).map(lambda both: both if None in both or both[0] <= both[1] else both[::-1])


def bound_sql(value: int | None, unbounded: str) -> str:
    if value is None:
        return f"UNBOUNDED {unbounded}"
    return "CURRENT ROW" if not value else f"{abs(value)} {'PRECEDING' if value < 0 else 'FOLLOWING'}"


def frame_sql(how: str, start: int | None, end: int | None, exclusion: WindowFrameExclusion | None) -> str:
    both = f"{bound_sql(start, 'PRECEDING')} AND {bound_sql(end, 'FOLLOWING')}"
    return f"{how} BETWEEN {both}" + (f" EXCLUDE {exclusion.value}" if exclusion else "")


AGGREGATES: list[tuple[Any, str]] = [
    (Count("*"), "count(*)"),
    (Count("cents"), "count(cents)"),
    (Sum("cents"), "sum(cents)"),
    (Sum("cents", default=0), "ifnull(sum(cents) %s, 0)"),
    (Avg("cents"), "avg(cents)"),
    (Min("cents"), "min(cents)"),
    (Max(F("cents") + F("votes")), "max(cents + votes)"),
    (Count("cents", filter=Q(votes__gt=0)), "count(cents) FILTER (WHERE votes > 0)"),
    (Sum("cents", filter=Q(cents__gt=0) | Q(team=1)), "sum(cents) FILTER (WHERE cents > 0 OR team = 1)"),
]


@st.composite
def ranks(draw: st.DrawFn) -> Case:
    """A function of the order; where rows without order between them matter, SQLite is told to go by id."""
    partition, partition_sql = draw(st.sampled_from(PARTITIONS))
    order, order_sql = draw(st.sampled_from(ORDERS))
    n = draw(st.integers(1, 4))
    by_id: list[tuple[Any, str]] = [
        (RowNumber(), "row_number()"),
        (Ntile(n), f"ntile({n})"),
        (Lag("cents"), "lag(cents)"),
        (Lag("cents", n, default=-1), f"lag(cents, {n}, -1)"),
        (Lead(F("cents") + 1, offset=n), f"lead(cents + 1, {n})"),
        (Lead("cents", default="votes"), "lead(cents, 1, votes)"),
    ]
    by_peers: list[tuple[Any, str]] = [
        (Rank(), "rank()"),
        (DenseRank(), "dense_rank()"),
        (PercentRank(), "percent_rank()"),
        (CumeDist(), "cume_dist()"),
    ]
    function, sql = draw(st.sampled_from(by_id + by_peers))
    ties = ", id" if (function, sql) in by_id else ""
    window = Window(function, partition_by=partition, order_by=order)
    return Case(window, f"{sql} OVER ({partition_sql} ORDER BY {order_sql}{ties})")


@st.composite
def of_row_frames(draw: st.DrawFn) -> Case:
    """An aggregate, or a value, of a frame counted in rows."""
    partition, partition_sql = draw(st.sampled_from(PARTITIONS))
    order, order_sql = draw(st.sampled_from([*ORDERS, (None, "")]))
    start, end = draw(bounds)
    exclusion = draw(st.sampled_from([None, WindowFrameExclusion.CURRENT_ROW, WindowFrameExclusion.NO_OTHERS]))
    function, sql = draw(
        st.sampled_from(
            [
                *AGGREGATES,
                (FirstValue("cents"), "first_value(cents)"),
                (LastValue("cents"), "last_value(cents)"),
                (NthValue("cents", 2), "nth_value(cents, 2)"),
            ]
        )
    )
    window = Window(function, partition, order, RowRange(start, end, exclusion))
    ordered = f"ORDER BY {order_sql}{', ' * bool(order_sql)}id"
    over = f"OVER ({partition_sql} {ordered} {frame_sql('ROWS', start, end, exclusion)})"
    return Case(window, sql % over if "%s" in sql else f"{sql} {over}")


@st.composite
def of_value_frames(draw: st.DrawFn) -> Case:
    """An aggregate, or a value that peers share, of a frame by distance."""
    partition, partition_sql = draw(st.sampled_from(PARTITIONS))
    order, order_sql = draw(st.sampled_from(BY_VOTES))
    start, end = draw(bounds)
    exclusion = draw(st.sampled_from([None, *WindowFrameExclusion]))
    function, sql = draw(
        st.sampled_from(
            [
                *AGGREGATES,
                (FirstValue("votes"), "first_value(votes)"),
                (LastValue("votes"), "last_value(votes)"),
                (NthValue("votes", 2), "nth_value(votes, 2)"),
            ]
        )
    )
    window = Window(function, partition, order, ValueRange(start, end, exclusion))
    over = f"OVER ({partition_sql} ORDER BY {order_sql} {frame_sql('RANGE', start, end, exclusion)})"
    return Case(window, sql % over if "%s" in sql else f"{sql} {over}")


@st.composite
def without_frames(draw: st.DrawFn) -> Case:
    """An aggregate over the frame that SQL has by itself."""
    partition, partition_sql = draw(st.sampled_from(PARTITIONS))
    order, order_sql = draw(st.sampled_from([*ORDERS, (None, "")]))
    function, sql = draw(st.sampled_from(AGGREGATES))
    ordered = f"ORDER BY {order_sql}" if order_sql else ""
    over = f"OVER ({partition_sql} {ordered})"
    return Case(Window(function, partition, order), sql % over if "%s" in sql else f"{sql} {over}")


cases = st.lists(st.one_of(ranks(), of_row_frames(), of_value_frames(), without_frames()), min_size=1, max_size=6)


# The laws ------------------------------------------------------------------------------------------------------------


@LAW
@given(rows, cases)
def test_windows_are_those_of_sql(db: ormis.Database, stored: list[Any], windows: list[Case]) -> None:
    """Every function over every partition, order and frame has the values that SQLite has."""
    lite = store(stored)
    named = {f"w{i}": case.window for i, case in enumerate(windows)}
    found = list(Entry.objects.annotate(**named).order_by("id").values_list("id", *named))
    expected = lite.execute(f"SELECT id, {', '.join(case.sql for case in windows)} FROM entry ORDER BY id").fetchall()
    assert [tuple(map(rounded, row)) for row in found] == [tuple(map(rounded, row)) for row in expected]


def rounded(value: Any) -> Any:
    return round(value, 9) if isinstance(value, float) else value


@LAW
@given(
    rows,
    cases,
    st.integers(-3, 6),
    st.sampled_from(["id", "-id", "votes"]),
    st.tuples(st.integers(0, 3), st.integers(3, 8)),
)
def test_conditions_apply_before_and_after_windows(
    db: ormis.Database, stored: list[Any], windows: list[Case], least: int, order: str, ends: tuple[int, int]
) -> None:
    """A condition without a window applies before windows, one with a window after, whatever the sequence of calls;
    then order and slice. count(), exists(), iterator(), first(), last() and aggregate() agree.
    """
    lite = store(stored)
    case = windows[0]
    by = "votes, id" if order == "votes" else order.replace("-id", "id DESC")
    inner = f"SELECT id, votes, {case.sql} AS w FROM entry WHERE cents >= {least}"
    expected = lite.execute(f"SELECT id FROM ({inner}) WHERE w >= 1 ORDER BY {by}").fetchall()
    part = slice(*ends)
    one = Entry.objects.annotate(w=case.window).filter(w__gte=1).filter(cents__gte=least).order_by(order)
    other = Entry.objects.filter(Q(cents__gte=least), Q((case.window, 1)) | Q((case.window - 1, 0)) | Q(cents=None))
    assert [entry.id for entry in one] == [row[0] for row in expected]
    assert [entry.id for entry in one.all()[part]] == [row[0] for row in expected[part]]
    assert one.all().count() == len(expected)
    assert one.all()[part].count() == len(expected[part])
    assert one.all().exists() is bool(expected)
    assert [entry.id for entry in one.all().iterator(chunk_size=2)] == [row[0] for row in expected]
    assert (one.all().last() is None) is (not expected)
    assert not expected or (one.all().first().id, one.all().last().id) == (expected[0][0], expected[-1][0])  # type: ignore[union-attr]
    top = lite.execute(f"SELECT max(w), count(*) FROM ({inner}) WHERE w >= 1").fetchone()
    found = one.all().aggregate(top=Max("w"), n=Count("*"))
    assert (rounded(found["top"]), found["n"]) == tuple(map(rounded, top))
    equal = lite.execute(f"SELECT id FROM ({inner}) WHERE w = 1 ORDER BY id").fetchall()
    assert [entry.id for entry in other.order_by("id")] == [row[0] for row in equal]


@LAW
@given(rows, st.sampled_from(ORDERS[:2]), bounds)
def test_windows_over_groups_are_those_of_sql(
    db: ormis.Database, stored: list[Any], order: tuple[str, str], frame: tuple[int | None, int | None]
) -> None:
    """Windows over the groups of values() see the groups that the other conditions leave."""
    lite = store(stored)
    found = (
        Entry.objects.values("votes")
        .annotate(n=Count("id"), total=Sum("cents"))
        .annotate(
            r=Window(Rank(), order_by="-n"),
            run=Window(Sum("n"), order_by=order[0], frame=RowRange(*frame)),
            part=Window(Sum("total"), partition_by="n"),
        )
        .filter(r__lte=3)
        .filter(n__gte=2)
        .order_by("votes")
        .values_list("votes", "n", "total", "r", "run", "part")
    )
    sql = f"""
        SELECT * FROM (
            SELECT votes, n, total, rank() OVER (ORDER BY n DESC) AS r,
                sum(n) OVER (ORDER BY {order[1]} {frame_sql("ROWS", *frame, None)}) AS run,
                sum(total) OVER (PARTITION BY n) AS part
            FROM (SELECT votes, count(*) AS n, sum(cents) AS total FROM entry GROUP BY votes) WHERE n >= 2
        ) WHERE r <= 3 ORDER BY votes
    """
    assert list(found) == lite.execute(sql).fetchall()


@LAW
@given(rows, bounds, st.booleans())
def test_decimals_and_spreads_are_exact(
    db: ormis.Database, stored: list[Any], frame: tuple[int | None, int | None], sliding: bool
) -> None:
    """Sums of Decimals are exact in every frame, and spreads are those of the values of the frame."""
    store(stored)
    start, end = (-2, 1) if sliding else frame
    over: dict[str, Any] = {"order_by": "id", "frame": RowRange(start, end)}
    found = Entry.objects.annotate(
        total=Window(Sum("amount"), **over),
        spread=Window(StdDev("height"), **over),
        variance=Window(Variance("amount"), **over),
        kinds=Window(Count("cents", distinct=True), **over),
    ).values_list("total", "spread", "variance", "kinds")
    cents = [row[2] for row in stored]
    for i, (total, spread, variance, kinds) in enumerate(found):
        first = 0 if start is None else max(0, i + start)
        after = len(cents) if end is None else max(0, i + end + 1)
        there = [one for one in cents[first:after] if one is not None]
        assert total == (Decimal(sum(there)) / 100 if there else None)
        assert kinds == len(set(there))
        if there:
            assert spread == pytest.approx(pstdev([one / 4 for one in there]))
            assert variance == pytest.approx(pvariance([Decimal(one) / 100 for one in there]))
        else:
            assert spread is None
            assert variance is None
