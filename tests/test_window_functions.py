"""Windows beside the rest of the query API: what may stand where, and each refusal."""

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

import ormis
from ormis import (
    CASCADE,
    Avg,
    Count,
    F,
    FieldError,
    ForeignKey,
    Max,
    Min,
    Prefetch,
    Q,
    Related,
    RowRange,
    Sum,
    ValueRange,
    Window,
    WindowFrameExclusion,
)
from ormis.functions import FirstValue, Lag, Lead, NthValue, Ntile, Rank, RowNumber, WindowFunction


class Team(ormis.Model):
    """Has players."""

    name: str
    players: Related["Player"] = Related()

    class Meta:
        key = "windows_team"


class Player(ormis.Model):
    """Belongs to a team, or to none; has goals."""

    name: str
    points: int | None = None
    team: ForeignKey[Team | None] = ForeignKey(on_delete=CASCADE, related_name="players", default=None)
    born: date | None = None
    tags: list[str] = []
    goals: Related["Goal"] = Related()

    class Meta:
        key = "windows_player"


class Goal(ormis.Model):
    """Of a player."""

    player: ForeignKey[Player] = ForeignKey(on_delete=CASCADE, related_name="goals")
    at: datetime | None = None
    worth: Decimal = Decimal("1.50")

    class Meta:
        key = "windows_goal"


RANK = Window(Rank(), partition_by="team", order_by="-points")
NUMBER = Window(RowNumber(), order_by="id")


@pytest.fixture(autouse=True)
def stored(db: ormis.Database) -> ormis.Database:
    """Two teams: ann 5, bob 3, cid 5 and dan None, eve 1; the goals of ann 2, of bob 1, of eve 3."""
    reds, blues = Team(name="reds").save(), Team(name="blues").save()
    born = [date(2000, 1, 1), date(2000, 1, 3), date(2000, 1, 8), None, date(2000, 1, 9)]
    players = [
        Player(name=name, points=points, team=team, born=day, tags=[name]).save()
        for name, points, team, day in zip(
            ["ann", "bob", "cid", "dan", "eve"],
            [5, 3, 5, None, 1],
            [reds, reds, reds, blues, blues],
            born,
            strict=True,
        )
    ]
    for player, goals in zip(players, [2, 1, 0, 0, 3], strict=True):
        for hour in range(goals):
            Goal(player=player, at=datetime(2024, 1, 1, hour, tzinfo=UTC)).save()
    return db


def names(queryset: Any) -> list[str]:
    return [player.name for player in queryset]


# Where windows stand -------------------------------------------------------------------------------------------------


def test_objects_and_rows_have_the_values() -> None:
    """annotate() sets them as attributes and values; alias() only lets conditions and orders name them."""
    ranked = Player.objects.annotate(rank=RANK)
    assert [(player.name, player.rank) for player in ranked] == [  # type: ignore[attr-defined]
        ("ann", 1), ("bob", 3), ("cid", 1), ("dan", 2), ("eve", 1),
    ]  # fmt: skip
    assert list(ranked.values("name", "rank"))[1] == {"name": "bob", "rank": 3}
    assert list(Player.objects.values("name").annotate(rank=RANK))[1] == {"name": "bob", "rank": 3}
    assert list(ranked.values_list("rank", flat=True).order_by("-rank", "name")) == [3, 2, 1, 1, 1]
    assert list(Player.objects.values_list(RANK, "name"))[1] == (3, "bob")
    best = Player.objects.alias(rank=RANK).filter(rank=1)
    assert names(best.order_by("name")) == ["ann", "cid", "eve"]
    assert not hasattr(best[0], "rank")
    assert list(ranked.values("rank").distinct().order_by("rank")) == [{"rank": 1}, {"rank": 2}, {"rank": 3}]


def test_rows_without_an_order_are_in_the_order_of_creation() -> None:
    """Whatever order the result has, and also from its end."""
    numbered = Player.objects.annotate(n=Window(RowNumber()))
    expected = [("ann", 1), ("bob", 2), ("cid", 3), ("dan", 4), ("eve", 5)]
    assert list(numbered.values_list("name", "n")) == expected
    assert list(numbered.reverse().values_list("name", "n")) == expected[::-1]
    assert list(numbered.order_by("-name").values_list("name", "n")) == expected[::-1]
    assert numbered.last().n == 5  # type: ignore[union-attr]
    tied = Player.objects.annotate(n=Window(RowNumber(), order_by="team"))
    assert list(tied.order_by("-points").values_list("n", flat=True)) == [1, 3, 2, 5, 4]


def test_windows_stand_in_arithmetic_conditions_and_orders() -> None:
    """A window is an expression as others are; conditions joined by | wait for it."""
    step = Player.objects.annotate(step=F("points") - Window(Lag("points", default=0), order_by="id"))
    assert list(step.values_list("step", flat=True)) == [5, -2, 2, None, None]
    first = Player.objects.annotate(first=Q((NUMBER, 1)))
    assert list(first.values_list("first", flat=True)) == [True, False, False, False, False]
    assert names(Player.objects.filter(Q((NUMBER, 2)) | Q(name="eve"))) == ["bob", "eve"]
    assert names(Player.objects.annotate(n=NUMBER).filter(Q(n=2) | Q(goals__at__hour=2))) == ["bob", "eve"]
    assert names(Player.objects.annotate(n=NUMBER).exclude(n__in=[1, 2])) == ["cid", "dan", "eve"]
    assert names(Player.objects.annotate(n=NUMBER).filter(points=F("n") + 1)) == ["bob"]
    assert names(Player.objects.order_by(NUMBER.desc())) == ["eve", "dan", "cid", "bob", "ann"]
    either = Player.objects.annotate(n=NUMBER).filter(n=1) | Player.objects.annotate(n=NUMBER).filter(n=3)
    assert names(either) == ["ann", "cid"]


def test_windows_over_aggregates_of_relations() -> None:
    """A window may be over what was annotated, and over aggregates of related objects."""
    counted = Player.objects.annotate(g=Count("goals"))
    run = counted.annotate(run=Window(Sum("g"), order_by="id"), top=Window(Rank(), order_by="-g"))
    assert list(run.values_list("g", "run", "top")) == [(2, 2, 2), (1, 3, 3), (0, 3, 4), (0, 3, 4), (3, 6, 1)]
    assert names(run.filter(g__gt=0, top__lte=2).order_by("top")) == ["eve", "ann"]
    direct = Player.objects.annotate(top=Window(Rank(), order_by=Count("goals").desc()))
    assert list(direct.values_list("top", flat=True)) == [2, 3, 4, 4, 1]
    doubled = Player.objects.annotate(twice=F("points") * 2).annotate(best=Window(Max("twice"), partition_by="team"))
    assert list(doubled.values_list("best", flat=True)) == [10, 10, 10, 2, 2]
    across = Player.objects.annotate(n=Window(Count("*"), partition_by="team__name"))
    assert list(across.values_list("n", flat=True)) == [3, 3, 3, 2, 2]
    scored = Window(Count("*", filter=Q(goals__at__isnull=False)), partition_by="team")
    assert list(Player.objects.values_list(scored, flat=True)) == [2, 2, 2, 1, 1]


def test_windows_over_groups() -> None:
    """After values() and an aggregate the rows of a window are the groups."""
    groups = Player.objects.values("team__name").annotate(n=Count("id"), total=Sum("points"))
    ranked = groups.annotate(rank=Window(Rank(), order_by="-total"), share=F("n") * 10 / Window(Sum("n")))
    assert list(ranked.order_by("rank")) == [
        {"team__name": "reds", "n": 3, "total": 13, "rank": 1, "share": 6.0},
        {"team__name": "blues", "n": 2, "total": 1, "rank": 2, "share": 4.0},
    ]
    assert list(ranked.filter(rank=1).filter(n__lt=3).values_list("team__name", flat=True)) == ["blues"]
    assert ranked.filter(rank=1).count() == 1
    assert not ranked.filter(rank=3).exists()
    assert list(groups.order_by(Window(Rank(), order_by="total"))) == list(groups.order_by("total"))


def test_groups_by_the_value_of_a_window() -> None:
    """values() of a window groups the rows by it: the mean of each half."""
    halves = Player.objects.filter(points__gt=0).annotate(half=Window(Ntile(2), order_by=["points", "id"]))
    means = halves.values("half").annotate(mean=Avg("points"), n=Count("id")).order_by("half")
    assert list(means) == [{"half": 1, "mean": 2.0, "n": 2}, {"half": 2, "mean": 5.0, "n": 2}]


def test_aggregates_of_annotated_windows() -> None:
    """aggregate() is over the rows with their windows, those that a condition on one leaves."""
    ranked = Player.objects.annotate(rank=RANK)
    assert ranked.aggregate(Max("rank"), n=Count("id", filter=Q(rank=1))) == {"rank__max": 3, "n": 3}
    assert ranked.filter(rank=1).aggregate(total=Sum("points"), low=Min("rank")) == {"total": 11, "low": 1}


def test_the_best_of_each_parent() -> None:
    """A prefetched queryset may be narrowed by a window: the best two of each team in one query."""
    best = Player.objects.annotate(rank=RANK).filter(rank__lte=2).order_by("rank", "name")
    teams = Team.objects.prefetch_related(Prefetch("players", queryset=best, to_attr="best"))
    assert [names(team.best) for team in teams] == [["ann", "cid"], ["eve", "dan"]]  # type: ignore[attr-defined]


def test_querysets_with_windows_within_others() -> None:
    """As a value of `in`, as parts of unions, and for writes of what they find."""
    best = Player.objects.annotate(rank=RANK).filter(rank=1)
    assert names(Player.objects.filter(pk__in=best)) == ["ann", "cid", "eve"]
    rows = best.values_list("name", "rank").union(Player.objects.annotate(rank=NUMBER).values_list("name", "rank"))
    assert sorted(rows) == [("ann", 1), ("bob", 2), ("cid", 1), ("cid", 3), ("dan", 4), ("eve", 1), ("eve", 5)]
    assert Player.objects.filter(pk__in=best).update(points=9) == 3
    assert Player.objects.filter(pk__in=best).delete()[1]["Player"] == 3
    assert names(Player.objects.all()) == ["bob", "dan"]


def test_get_and_iterator_and_related_objects() -> None:
    """get(), select_related() and iterator() come with the values; a condition of get() applies before the window."""
    numbered = Player.objects.annotate(n=NUMBER).select_related("team")
    assert numbered.get(n=2).name == "bob"
    assert numbered.get(name="eve").n == 1  # type: ignore[attr-defined]
    assert [(one.n, one.team.name) for one in numbered.iterator(chunk_size=2)][3] == (4, "blues")  # type: ignore[attr-defined]
    assert numbered.in_bulk([2, 3])[3].n == 2  # type: ignore[attr-defined]


def test_membership_in_what_a_window_filtered() -> None:
    """contains() and in_bulk() are about the results, which a condition on a window does not widen to others."""
    first = Player.objects.annotate(n=Window(RowNumber(), order_by="-id")).filter(n__lte=2)
    assert [first.all().contains(player) for player in Player.objects.all()] == [False, False, False, True, True]
    assert {key: one.n for key, one in first.in_bulk([1, "4", 5, 9]).items()} == {4: 2, 5: 1}  # type: ignore[attr-defined]
    assert sorted(first.in_bulk()) == [4, 5]
    assert first.in_bulk([]) == {}
    with pytest.raises(FieldError, match=r"Player.id__in='x' does not convert"):
        first.in_bulk(["x"])


def test_conditions_in_small_steps(db: ormis.Database) -> None:
    """Keys given in thousands, portions of two objects: the rows of a window are in the order of creation still."""
    db.limits = replace(db.limits, objects=2, keys=2, values=2)
    among = Player.objects.filter(pk__in=[5, 4, 3, 1]).annotate(n=Window(RowNumber()))
    assert list(among.values_list("name", "n")) == [("ann", 1), ("cid", 2), ("dan", 3), ("eve", 4)]
    by_name = Player.objects.filter(name__in=["eve", "cid", "ann"]).annotate(n=Window(RowNumber())).order_by("-name")
    assert list(by_name.values_list("name", "n")) == [("eve", 3), ("cid", 2), ("ann", 1)]


def test_async_twins() -> None:
    """Async methods return the same."""

    async def read() -> list[Any]:
        ranked = Player.objects.annotate(rank=RANK)
        best = ranked.filter(rank=1)
        return [
            [player.name async for player in best],
            await best.acount(),
            await best.aexists(),
            [player.rank async for player in ranked.aiterator(chunk_size=2)],  # type: ignore[attr-defined]
            await ranked.aaggregate(Max("rank")),
            (await best.alast()).name,  # type: ignore[union-attr]
        ]

    assert asyncio.run(read()) == [["ann", "cid", "eve"], 3, True, [1, 3, 1, 2, 1], {"rank__max": 3}, "eve"]


# Frames --------------------------------------------------------------------------------------------------------------


def test_value_ranges_of_dates_and_times() -> None:
    """A distance of dates, times and lengths of time is a timedelta, and 0 goes with it."""
    week = ValueRange(timedelta(days=-5), 0)
    recent = Player.objects.annotate(n=Window(Count("*"), order_by="born", frame=week))
    assert list(recent.values_list("n", flat=True)) == [1, 2, 2, 1, 2]
    later = Window(Count("*"), order_by=F("born").desc(), frame=ValueRange(timedelta(days=-5), timedelta(days=-1)))
    assert list(Player.objects.values_list(later, flat=True)) == [1, 1, 1, 1, 0]
    hours = Window(Sum("worth"), order_by="at", frame=ValueRange(timedelta(hours=-1), timedelta(0)))
    assert list(Goal.objects.values_list(hours, flat=True).order_by("id"))[:2] == [Decimal("4.50"), Decimal("7.50")]
    far = ValueRange(timedelta(days=-10_000_000), timedelta(days=10_000_000))
    assert set(Player.objects.values_list(Window(Count("born"), order_by="born", frame=far), flat=True)) == {4, 0}


def test_floats_that_are_no_numbers_are_peers(db: ormis.Database) -> None:
    """NaN is after all else and its own peer; infinite values are no trouble for frames that slide."""

    class Reading(ormis.Model):
        value: float

        class Meta:
            key = "windows_reading"

    Reading.objects.bulk_create(Reading(value=v) for v in (float("nan"), 1.5, float("inf"), 2.5, float("nan")))
    assert list(Reading.objects.values_list(Window(Rank(), order_by="value"), flat=True)) == [4, 1, 3, 2, 4]
    pairs = Window(Sum("value"), order_by="id", frame=RowRange(-1, 0))
    found = list(Reading.objects.values_list(pairs, flat=True))
    assert found[2:4] == [float("inf"), float("inf")]
    assert found[0] != found[0]
    near = Window(Count("*"), order_by="value", frame=ValueRange(-1, 0.5))
    assert list(Reading.objects.values_list(near, flat=True)) == [2, 1, 1, 2, 2]


def test_an_own_function_of_windows() -> None:
    """A subclass of WindowFunction has one method and a type."""

    class FromTheEnd(WindowFunction):
        output = int

        def over(self, rows: Any, /) -> list[int]:
            return [rows.size - i for i in range(rows.size)]

    counted = Player.objects.annotate(n=Window(FromTheEnd(), order_by="id")).filter(n__lte=2)
    assert list(counted.values_list("name", "n")) == [("dan", 2), ("eve", 1)]


def test_values_of_a_window_have_a_type() -> None:
    """output_field= and the function's type say how values are compared: a wrong one is refused."""
    with pytest.raises(FieldError, match="'x'"):
        list(Player.objects.annotate(n=NUMBER).filter(n="x"))
    typed = Player.objects.annotate(n=Window(Sum("points"), output_field=int))
    assert typed.filter(n="14").count() == 5


def test_annotations_that_aggregates_of_relations_read() -> None:
    """An aggregate of related objects may name annotations of the object; its filter also those of aggregates."""
    summed = Player.objects.annotate(more=F("points") + 1).annotate(s=Sum(F("more") + F("goals__id")))
    assert list(summed.values_list("s", flat=True)) == [15, 7, None, None, 21]
    counted = Player.objects.annotate(g=Count("goals")).annotate(h=F("g") + 1)
    over = counted.annotate(s=Sum("goals__id", filter=Q(h__gte=3)))
    assert list(over.values_list("s", flat=True)) == [3, None, None, None, 15]


# Refusals ------------------------------------------------------------------------------------------------------------

P = Player.objects
REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "deleted by a window": (
        lambda: P.annotate(n=NUMBER).filter(n=1).delete(),
        FieldError,
        r"filtered by Window\(RowNumber.* can't be deleted: write .*filter\(pk__in=queryset\), which finds",
    ),
    "updated by a window": (lambda: P.filter(Q((NUMBER, 1))).update(points=1), FieldError, "can't be updated: write"),
    "expired by a window": (lambda: P.alias(n=NUMBER).filter(n=1).expire(9), FieldError, "can't be given a time"),
    "a window as a value to write": (lambda: P.update(points=NUMBER), FieldError, r"Window\(RowNumber"),
    "a window in a window": (
        lambda: P.annotate(n=NUMBER).annotate(m=Window(Sum("n"))),
        FieldError,
        r"Window\(Sum\('n'\)\) is of Window\(RowNumber.*a window itself",
    ),
    "a window in its order": (lambda: P.annotate(n=Window(Rank(), order_by=NUMBER)), FieldError, "a window itself"),
    "an annotated aggregate of a window": (
        lambda: P.annotate(n=NUMBER).annotate(m=Max("n")),
        FieldError,
        r"Max\('n'\) is of Window.*write the aggregate in aggregate\(\), over the annotated objects",
    ),
    "an aggregate of a window": (
        lambda: P.annotate(m=Max(NUMBER)),
        FieldError,
        r"can't stand within an aggregate: annotate\(\) it, then aggregate\(\)",
    ),
    "the filter of an aggregate": (
        lambda: P.annotate(n=NUMBER).annotate(m=Count("goals", filter=Q(n=1))),
        FieldError,
        r"Count\('goals', filter=Q\(n=1\)\) is of Window",
    ),
    "aggregate() of a window": (lambda: P.aggregate(m=Max(NUMBER)), FieldError, "can't stand within an aggregate"),
    "a window in aggregate()": (lambda: P.aggregate(m=NUMBER), TypeError, "give an aggregate"),
    "a window beside an aggregate": (
        lambda: P.aggregate(m=Count("id") + NUMBER),
        FieldError,
        r"can't stand beside an aggregate: annotate\(\) it",
    ),
    "a function without a window": (
        lambda: P.annotate(n=Rank()),
        FieldError,
        r"Rank\(\) needs a window: Window\(Rank\(\), order_by=...\)",
    ),
    "no name": (lambda: P.annotate(NUMBER), TypeError, "give it a name"),
    "an unknown name": (lambda: P.annotate(n=Window(Rank(), order_by="nix")), FieldError, "no field or relation 'nix'"),
    "a text to add up": (lambda: P.annotate(n=Window(Sum("name"))), FieldError, "Player: .* needs numbers"),
    "a relation to many": (lambda: P.annotate(n=Window(Count("goals"))), FieldError, "leads to many objects"),
    "values without an order": (
        lambda: P.annotate(n=Window(Rank(), order_by="tags")),
        FieldError,
        r"order_by=\) needs values in an order",
    ),
    "distances of texts": (
        lambda: P.annotate(n=Window(Count("*"), order_by="name", frame=ValueRange(-1, 0))),
        FieldError,
        r"F\('name'\) is of the type text, which has no distances; RowRange\(\) counts rows",
    ),
    "distances of two orders": (
        lambda: P.annotate(n=Window(Count("*"), order_by=["id", "points"], frame=ValueRange(-1, 0))),
        FieldError,
        "need an order by one",
    ),
    "distances without an order": (
        lambda: P.annotate(n=Window(Count("*"), frame=ValueRange(-1, 0))),
        FieldError,
        "need an order by one",
    ),
    "a distance of another type": (
        lambda: P.annotate(n=Window(Count("*"), order_by="born", frame=ValueRange(-1, 0))),
        FieldError,
        "is of the type date: give a timedelta, not -1",
    ),
    "a field that is no group": (
        lambda: P.values("team").annotate(n=Count("id")).annotate(m=Window(Sum("points"))),
        FieldError,
        "'points' is none of the groups",
    ),
    "no function": (lambda: Window(F("points")), ValueError, "give a function of windows, such as Rank"),
    "no partition": (lambda: Window(Rank(), partition_by=3), ValueError, r"partition_by=3\): give names"),
    "no order": (lambda: Window(Rank(), order_by=3), ValueError, r"order_by=3\): give names"),
    "no frame": (lambda: Window(Rank(), frame=(1, 2)), ValueError, r"give RowRange"),  # type: ignore[arg-type]
    "a frame turned round": (lambda: RowRange(1, 0), ValueError, r"RowRange\(1, 0\): the start is after the end"),
    "half a row": (lambda: RowRange(0.5), ValueError, r"RowRange\(start=0.5\): give a whole number of rows"),
    "a distance of text": (lambda: ValueRange(end="x"), ValueError, "give a number or a timedelta"),
    "two types": (lambda: ValueRange(-1, timedelta(1)), ValueError, "of several types"),
    "no exclusion": (lambda: RowRange(exclusion="TIES"), ValueError, "give a WindowFrameExclusion"),  # type: ignore[arg-type]
    "no bucket": (lambda: Ntile(0), ValueError, r"Ntile\(num_buckets=0\): give a whole number from 1"),
    "no offset": (lambda: Lag("points", 0), ValueError, r"Lag\(offset=0\)"),
    "a bool as an offset": (lambda: Lead("points", True), ValueError, r"Lead\(offset=True\)"),
    "nothing to lead to": (lambda: Lead(None), ValueError, r"Lead\(None\): give the name of a field"),
    "a zeroth value": (lambda: NthValue("points", 0), ValueError, r"NthValue\(nth=0\)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case: str) -> None:
    """What can't be a window, or not there, is refused with the names and what to write; nothing is written."""
    ask, error, message = REFUSED[case]
    before = list(Player.objects.values())
    with pytest.raises(error, match=message):
        ask()
    assert list(Player.objects.values()) == before


def test_windows_as_text_and_as_equals() -> None:
    """A window is shown as it is written, equal to one that is written the same, and pickled with its queryset."""
    import pickle

    window = Window(
        FirstValue("points"), ["team"], [F("id").desc(), "name"], RowRange(-1, 1, WindowFrameExclusion.CURRENT_ROW)
    )
    assert str(window) == (
        "Window(FirstValue(F('points')), partition_by=[F('team')], order_by=[F('id').desc(), F('name')], "
        "frame=RowRange(-1, 1, exclusion=CURRENT_ROW))"
    )
    assert window == Window(FirstValue("points"), "team", ["-id", "name"], window.frame)
    assert hash(window) == hash(Window(FirstValue("points"), "team", ["-id", "name"], window.frame))
    assert window != Window(FirstValue("points"), "team", ["id", "name"], window.frame)
    queryset = Player.objects.annotate(n=window)
    assert [one.n for one in pickle.loads(pickle.dumps(queryset))] == [one.n for one in queryset]
