"""Writes over sets while other clients write: sums are exact, one object is made, every index is right afterwards."""

import asyncio
import random
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

import ormis
from ormis import CASCADE, F, Field, ForeignKey, ManyToMany

pytestmark = pytest.mark.usefixtures("checked")


class Tag(ormis.Model):
    """Made by many at the same time."""

    name: str = Field(index=True)

    class Meta:
        key = "wr_tag"


class Box(ormis.Model):
    """Counted by many."""

    name: str = Field(default="", index=True)
    slug: str | None = Field(default=None, unique=True)
    note: str = ""
    count: int = Field(default=0, index=True)
    other: int = Field(default=0, index=True)
    group: int = Field(default=0, index=True)
    tags: ManyToMany[Tag] = ManyToMany(related_name="boxes")

    class Meta:
        key = "wr_box"


class Lid(ormis.Model):
    """Goes with its box."""

    box: ForeignKey[Box] = ForeignKey(on_delete=CASCADE, related_name="lids")
    name: str = Field(default="", index=True)

    class Meta:
        key = "wr_lid"


def together(works: Iterable[Callable[[], Any]]) -> list[Any]:
    """What these return, done by a thread each, all starting at once."""
    listed = [*works]
    start = threading.Barrier(len(listed))

    def one(work: Callable[[], Any]) -> Any:
        start.wait(10)
        return work()

    with ThreadPoolExecutor(len(listed)) as pool:
        return [done.result() for done in [pool.submit(one, work) for work in listed]]


LOOKUPS: dict[str, dict[str, str]] = {
    "index": {"name": "{}"},
    "unique": {"slug": "{}"},
    "no index": {"note": "{}"},
    "two": {"name": "{}", "note": "x"},
    "residual": {"name__iexact": "{}"},
}


@pytest.mark.parametrize("kind", LOOKUPS)
def test_one_object_of_each_key(kind: str) -> None:
    """8 threads get or create the same 20 keys: 20 objects, and one of the threads made each."""

    def work() -> list[tuple[int, bool]]:
        made: list[tuple[int, bool]] = []
        for n in range(20):
            lookups = {name: value.format(f"k{n}") for name, value in LOOKUPS[kind].items()}
            box, created = Box.objects.get_or_create({"name": f"k{n}"}, **lookups)
            made.append((box.pk, created))
        return made

    results = together([work] * 8)
    assert Box.objects.count() == 20
    assert sum(created for made in results for _, created in made) == 20
    assert len({tuple(pk for pk, _ in made) for made in results}) == 1


def test_one_object_where_all_are_walked() -> None:
    """The same over more objects than one call looks at, without an index."""
    Box.objects.bulk_create([Box(note=f"n{n}") for n in range(2500)])
    results = together([lambda: Box.objects.get_or_create(note="new")] * 8)
    assert Box.objects.filter(note="new").count() == 1
    assert sum(created for _, created in results) == 1


def test_one_link() -> None:
    """Through a many-to-many relation: the new object is linked in the same step."""
    box = Box().save()
    results = together([lambda: box.tags.get_or_create(name="red")] * 8)
    assert sum(created for _, created in results) == 1
    assert Tag.objects.count() == box.tags.count() == 1


def test_update_or_create_counts_each() -> None:
    """One thread makes the object, all others count, whoever does the sum."""
    for kind, step in (("server", 1), ("here", 1)):
        sums = {"server": F("count") + step, "here": (F("count") + 2 * step) - step}

        def work(kind: str = kind, sums: dict[str, Any] = sums) -> list[bool]:
            return [Box.objects.update_or_create({"count": sums[kind]}, {"count": 1}, name=kind)[1] for _ in range(10)]

        results = together([work] * 6)
        assert sum(created for made in results for created in made) == 1
        assert Box.objects.get(name=kind).count == 60


async def test_one_object_of_many_tasks(db: ormis.Database) -> None:
    """100 tasks do the same on their connections."""
    found = await asyncio.gather(*(Box.objects.aget_or_create(name=f"k{n % 5}") for n in range(100)))
    assert await Box.objects.acount() == 5
    assert sum(created for _, created in found) == 5
    found = await asyncio.gather(
        *(Box.objects.aupdate_or_create({"count": F("count") + 1}, {"count": 1}, slug="s") for _ in range(50))
    )
    assert sum(created for _, created in found) == 1
    assert (await Box.objects.aget(slug="s")).count == 50


SUMS: dict[str, Any] = {"server": F("count") + 1, "here": (F("count") * 2 + 2) // 2}


@pytest.mark.parametrize("kind", SUMS)
@pytest.mark.parametrize("conditions", [{"group": 1}, {"name__regex": "^b"}])
def test_sums_under_contention(kind: str, conditions: dict[str, Any], db: ormis.Database) -> None:
    """Four threads count over the set, two by save(): every one counts, wherever the sum is done."""
    db.limits = replace(db.limits, objects=10)
    made = Box.objects.bulk_create([Box(name=f"b{n}", group=1) for n in range(12)])

    def over_the_set() -> int:
        return sum(Box.objects.filter(**conditions).update(count=SUMS[kind]) for _ in range(8))

    def one_by_one() -> int:
        for box in made[:6]:
            own = Box.get(box.pk)
            own.count = F("count") + 1
            own.save()
        return 0

    counts = together([over_the_set] * 4 + [one_by_one] * 2)
    assert counts[:4] == [8 * 12] * 4
    assert list(Box.objects.order_by("id").values_list("count", flat=True)) == [34] * 6 + [32] * 6


def test_updates_saves_and_deletes() -> None:
    """While some objects are deleted and others come, those that stay have every sum."""
    Box.objects.bulk_create([Box(name=f"b{n}", group=n % 2) for n in range(60)])
    for box in Box.objects.filter(group=0):
        Lid(box=box).save()
    done = threading.Event()

    def counting() -> int:
        rounds = 0
        while not done.is_set():
            Box.objects.filter(group=1).update(count=F("count") + 1, other=F("other") - 1)
            Box.objects.filter(name__regex="^b").update(other=F("other") + 0)
            rounds += 1
        return rounds

    def deleting() -> None:
        dice = random.Random(1)
        for _ in range(15):
            Box.objects.filter(group=0, id__gt=dice.randint(1, 60)).delete()
            Lid(box=Box(group=0, name="b").save()).save()
            Box.objects.bulk_create([Box(name="b", group=0) for _ in range(3)])
        Box.objects.filter(group=0, name__regex="b").delete()
        done.set()

    rounds = together([counting, counting, counting, deleting])
    boxes = [*Box.objects.all()]
    assert len(boxes) == 30
    assert {box.count for box in boxes} == {sum(rounds[:3])}
    assert all(box.other == -box.count for box in boxes)
    assert Lid.objects.count() == 0


def test_a_condition_is_met_when_it_is_written(db: ormis.Database) -> None:
    """Objects are taken by an update that makes its own condition false: each by one client only."""
    Box.objects.bulk_create([Box(name="free") for _ in range(200)])

    def take(number: int) -> int:
        taken = Box.objects.filter(name="free").update(name=f"t{number}", count=F("count") + 1)
        return taken + Box.objects.filter(name__regex="^free$").update(name=f"t{number}", count=F("count") + 1)

    db.limits = replace(db.limits, objects=20)
    counts = together([lambda number=number: take(number) for number in range(6)])
    assert sum(counts) == 200
    assert {box.count for box in Box.objects.all()} == {1}
    assert [Box.objects.filter(name=f"t{number}").count() for number in range(6)] == counts


def test_no_torn_index_is_seen() -> None:
    """A query that fits one call sees an update whole: two fields that change together are the same in every index."""
    Box.objects.bulk_create([Box(name=f"b{n}") for n in range(50)])
    done = threading.Event()

    def writing() -> None:
        for n in range(1, 60):
            assert Box.objects.filter(count__gte=0).update(count=n, other=n) == 50
        done.set()

    def reading() -> int:
        reads = 0
        while not done.is_set():
            assert Box.objects.filter(count__gte=0).count() == 50
            found = [*Box.objects.filter(count__gte=0).order_by("-other")]
            assert len(found) == 50
            assert len({(box.count, box.other) for box in found}) == 1
            at = found[0].count
            assert Box.objects.filter(count=at, other__gt=at).count() == 0
            reads += 1
        return reads

    assert sum(together([writing, reading, reading])[1:]) > 2


async def test_cancelled_updates(db: ormis.Database) -> None:
    """Tasks that are cancelled in the middle: what they wrote is whole, step by step."""
    await Box.objects.abulk_create([Box(name=f"b{n}", group=1) for n in range(30)])
    dice = random.Random(3)

    async def count() -> None:
        await Box.objects.filter(group=1).aupdate(count=F("count") + 1, other=F("other") + 1)
        await Box.objects.filter(name__regex="b").aupdate(count=F("count") + 1, other=F("other") + 1)

    for _ in range(5):
        tasks = [asyncio.create_task(count()) for _ in range(10)]
        await asyncio.sleep(dice.random() * 0.01)
        for task in dice.sample(tasks, 5):
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert result is None or isinstance(result, asyncio.CancelledError)
    assert len({(box.count, box.other) async for box in Box.objects.all()}) == 1
    assert all([box.count == box.other async for box in Box.objects.all()])
