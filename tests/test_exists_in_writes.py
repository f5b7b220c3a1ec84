"""Exists() and annotations in the conditions of writes: what is known of an object is known when it is written."""

from collections.abc import Callable
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ormis
from ormis import CASCADE, Count, Exists, Field, ForeignKey, Index, OuterRef, Q, Subquery


class Crew(ormis.Model):
    """Does tasks, if it is awake."""

    awake: bool = True
    code: str = Field(unique=True)

    class Meta:
        key = "exists_crew"


class Chore(ormis.Model):
    """What is to be done, by a crew, after what blocks it."""

    state: str = "new"
    worker: str | None = None
    size: int = 0
    crew: ForeignKey[Crew | None] = ForeignKey(related_name="chores")
    by_code: ForeignKey[Crew | None] = ForeignKey(to_field="code", related_name="coded")

    class Meta:
        key = "exists_chore"
        indexes = [Index("state", "size")]


class Block(ormis.Model):
    """Keeps a chore from being done."""

    chore: ForeignKey[Chore | None] = ForeignKey(on_delete=CASCADE, related_name="blocks")
    weight: int = 1

    class Meta:
        key = "exists_block"


def blocks(**conditions: Any) -> ormis.QuerySet[Block]:
    """The blocks of the chore outside."""
    return Block.objects.filter(chore=OuterRef("pk"), **conditions)


WAYS: dict[str, Callable[[], ormis.QuerySet[Chore]]] = {
    "some refers here": lambda: Chore.objects.filter(Exists(blocks(weight__gt=0))),
    "none refers here": lambda: Chore.objects.filter(~Exists(blocks(weight__lt=1))),
    "any refers here": lambda: Chore.objects.filter(Exists(blocks())),
    "an absent value": lambda: Chore.objects.filter(Exists(blocks(weight__isnull=False))),
    "a foreign key": lambda: Chore.objects.filter(Exists(Crew.objects.filter(pk=OuterRef("crew"), awake=True))),
    "a foreign key to a field": lambda: Chore.objects.filter(
        Exists(Crew.objects.filter(code=OuterRef("by_code"), awake=True))
    ),
    "itself": lambda: Chore.objects.filter(Exists(Chore.objects.filter(pk=OuterRef("pk"), state="new"))),
    "an annotation": lambda: Chore.objects.annotate(blocked=Exists(blocks(weight__gt=0))).filter(blocked=True),
    "an annotation that is false": lambda: Chore.objects.annotate(blocked=Exists(blocks())).filter(blocked=False),
    "beside others": lambda: Chore.objects.filter(Q(size__gt=2) | ~Exists(blocks()), state="new"),
}
PYTHONS: dict[str, Callable[[], ormis.QuerySet[Chore]]] = {
    "a value": lambda: Chore.objects.annotate(
        weight=Subquery(blocks().order_by("-weight").values("weight")[:1])
    ).filter(Q(weight__gte=1) | Q(state="new")),
    "a number": lambda: Chore.objects.annotate(n=Count("blocks")).filter(Q(n=1) | Q(state="new", size__lt=3)),
    "another field": lambda: Chore.objects.filter(
        Exists(Chore.objects.filter(size=OuterRef("size"), state="new")) | Q(state="new")
    ),
}

CHORES = st.builds(
    dict,
    state=st.sampled_from(["new", "old"]),
    size=st.integers(0, 4),
    crew=st.integers(-1, 1),
    code=st.integers(-1, 1),
)
BLOCKS = st.builds(dict, chore=st.integers(-1, 5), weight=st.integers(-1, 2))


def fill(chores: list[dict[str, Any]], weights: list[dict[str, Any]]) -> None:
    """Stores these, with two crews."""
    crews = [Crew(code="a").save(), Crew(code="b", awake=False).save()]
    known: list[Any] = [*crews, None]
    stored = [
        Chore(state=one["state"], size=one["size"], crew=known[one["crew"]], by_code=known[one["code"]]).save()
        for one in chores
    ]
    for one in weights:
        chore = stored[one["chore"]] if 0 <= one["chore"] < len(stored) else None
        Block(chore=chore, weight=one["weight"]).save()


@pytest.mark.parametrize("way", [*WAYS, *PYTHONS])
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chores=st.lists(CHORES, max_size=6), weights=st.lists(BLOCKS, max_size=6))
def test_the_written_objects_are_those_that_are_found(
    db: ormis.Database, raw: redis.Redis, way: str, chores: list[dict[str, Any]], weights: list[dict[str, Any]]
) -> None:
    """update() writes to the objects that the queryset lists, delete() takes them."""
    asked = (WAYS | PYTHONS)[way]
    raw.flushdb()
    fill(chores, weights)
    found = sorted(one.pk for one in asked())
    assert asked().update(worker="w") == len(found)
    assert sorted(one.pk for one in Chore.objects.filter(worker="w")) == found
    asked().delete()
    assert Chore.objects.filter(worker="w").count() == 0
    assert Chore.objects.count() == len(chores) - len(found)


@pytest.mark.parametrize("way", WAYS)
def test_claims(db: ormis.Database, way: str) -> None:
    """A queue with such a condition can be claimed, each object once."""
    fill([{"state": "new", "size": size % 4, "crew": 0, "code": 0} for size in range(8)], [])
    for chore in Chore.objects.filter(size__gt=0):
        Block(chore=chore, weight=1 + chore.pk).save()
    queue = WAYS[way]().filter(state="new").order_by("size", "pk")
    expected, claimed = [one.pk for one in queue], list[int]()
    while some := queue.claim(3, state="running"):
        claimed += [one.pk for one in some]
    assert claimed == expected
    assert claimed


# What others change meanwhile -----------------------------------------------------------------------------------------


def undo_conditions() -> None:
    """Afterwards none of WAYS finds anything."""
    Crew.objects.update(awake=False)
    Chore.objects.update(state="old")


@pytest.mark.parametrize("change", ["update", "delete", "claim"])
@pytest.mark.parametrize("way", ["some refers here", "any refers here", "a foreign key", "itself", "an annotation"])
def test_others_were_faster(db: ormis.Database, between: list[Any], way: str, change: str) -> None:
    """An object is left alone whose condition another client has made untrue since, by another object or by its own."""
    fill([{"state": "new", "size": 1, "crew": 0, "code": 0}], [{"chore": 0, "weight": 1}])
    assert len(WAYS[way]()) == 1

    def meanwhile() -> None:
        undo_conditions()
        Block.objects.all().delete()

    between.append(meanwhile)
    if change == "update":
        assert WAYS[way]().update(worker="slow") == 0
    elif change == "delete":
        assert WAYS[way]().delete() == (0, {})
    else:
        assert WAYS[way]().filter(state="new").claim(1, state="running") == []
    assert [(one.state, one.worker) for one in Chore.objects.all()] == [("old", None)]


@pytest.mark.parametrize("way", PYTHONS)
def test_two_workers_do_not_take_the_same_object(db: ormis.Database, between: list[Any], way: str) -> None:
    """A condition that Python evaluates: what it says of the object itself is looked at again where it is written."""
    fill([{"state": "new", "size": 1, "crew": 0, "code": 0}], [])
    taken = list[int]()

    def take(worker: str) -> None:
        taken.append(PYTHONS[way]().update(state="taken", worker=worker))

    between.append(lambda: take("other"))
    take("slow")
    assert taken == [1, 0]
    assert Chore.objects.get().worker == "other"
