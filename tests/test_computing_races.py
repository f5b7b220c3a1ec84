"""Aggregates, groups and annotations while other clients write: objects that are there throughout count once."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

import ormis
from ormis import Count, Field, ForeignKey, Max, Min, Q, Sum, Window
from ormis.functions import RowNumber

STAY, COME = 60, 40


class Team(ormis.Model):
    name: str = ""

    class Meta:
        key = "racing_team"


class Player(ormis.Model):
    team: ForeignKey[Team]
    kept: bool = False
    points: int = Field(default=0, index=True)
    plain: int = 0

    class Meta:
        key = "racing_player"


@pytest.fixture(params=["usual sizes", "tiny sizes"])
def sizes(request: pytest.FixtureRequest, db: ormis.Database) -> None:
    """How much one call looks at."""
    if request.param == "tiny sizes":
        db.limits = replace(db.limits, objects=7, keys=5, values=5)


@contextmanager
def churn(teams: list[Team]) -> Iterator[None]:
    """Another thread makes and deletes players of its own, until the block ends. Raises what it raised."""
    stop, failed = threading.Event(), list[BaseException]()

    def work() -> None:
        try:
            number = 0
            while not stop.is_set():
                number += 1
                made = [Player(team=teams[i % len(teams)], points=1, plain=1) for i in range(number % COME + 1)]
                Player.objects.bulk_create(made)
                Player.objects.filter(kept=False).delete()
        except BaseException as error:
            failed.append(error)
            raise

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert not failed


@pytest.fixture
def teams(sizes: None) -> list[Team]:
    """Two teams, whose players stay."""
    made = Team.objects.bulk_create([Team(name=name) for name in "ab"])
    Player.objects.bulk_create([Player(team=made[i % 2], kept=True, points=10 + i, plain=10 + i) for i in range(STAY)])
    return made


ALL = sum(10 + i for i in range(STAY))


@pytest.mark.usefixtures("db")
def test_aggregates_while_others_write(teams: list[Team]) -> None:
    """What stays is added up exactly once; of what comes and goes no more is than was there."""
    kept, coming = Q(kept=True), COME * 20
    asked: dict[str, Any] = {
        "n": Count("*", filter=kept), "points": Sum("points", filter=kept), "plain": Sum("plain", filter=kept),
        "best": Max("points"), "all": Count("*"),
    }  # fmt: skip
    with churn(teams):
        for _ in range(25):
            found = Player.objects.aggregate(**asked)
            assert (found["n"], found["points"], found["plain"], found["best"]) == (STAY, ALL, ALL, 9 + STAY)
            assert STAY <= found["all"] <= STAY + coming
            narrowed = Player.objects.filter(kept=True).aggregate(s=Sum("plain"), low=Min("points"), n=Count("id"))
            assert narrowed == {"s": ALL, "low": 10, "n": STAY}


@pytest.mark.usefixtures("db")
def test_groups_while_others_write(teams: list[Team]) -> None:
    """Each group has what stays in it exactly once, added up on the server and in Python."""
    wanted = {team.pk: sum(10 + i for i in range(STAY) if i % 2 == place) for place, team in enumerate(teams)}
    kept = Q(kept=True)
    with churn(teams):
        for _ in range(15):
            by_server = Player.objects.values("team").annotate(s=Sum("plain", filter=kept))
            assert {row["team"]: row["s"] for row in by_server} == wanted
            in_python = Player.objects.values("team").annotate(s=Sum(ormis.F("plain") + 0, filter=kept))
            assert {row["team"]: row["s"] for row in in_python} == wanted


@pytest.mark.usefixtures("db")
def test_annotations_while_others_write(teams: list[Team]) -> None:
    """Aggregates of related objects and windows have what stays exactly once."""
    kept = Q(player__kept=True)
    with churn(teams):
        for _ in range(15):
            for team in Team.objects.annotate(n=Count("player", filter=kept), s=Sum("player__plain", filter=kept)):
                assert (team.n, team.s) == (STAY // 2, sum(10 + i for i in range(STAY) if i % 2 == team.pk - 1))  # type: ignore[attr-defined]
            numbered = Player.objects.filter(kept=True).annotate(at=Window(RowNumber(), order_by="points"))
            assert [row.at for row in numbered.order_by("points")] == list(range(1, STAY + 1))  # type: ignore[attr-defined]
