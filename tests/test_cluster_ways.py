"""The short ways on a cluster: one object at its node, the calls of a node in one text, few rows of each partition."""

import asyncio
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ormis
from clusters import move_slot
from ormis import Field, IntegrityError, capture_calls
from ormis.cluster.local import SLOTS, LocalCluster
from ormis.cluster.merging import cut_off, joined, share

pytestmark = pytest.mark.xdist_group("cluster")

PARTITIONS = 16


class Runner(ormis.Model):
    """A model with counted keys."""

    id: int | None = Field(default=None, primary_key=True)
    points: int = Field(default=0, index=True)
    team: str = ""

    class Meta:
        key = "clw_runner"


class Parcel(ormis.Model):
    """A model that a field places."""

    id: int | None = Field(default=None, primary_key=True)
    tenant: int = 0
    weight: int = 0

    class Meta:
        key = "clw_parcel"
        partition_by = "tenant"


@pytest.fixture
def clw(cluster_url: str) -> Iterator[ormis.Database]:
    """An empty database on a cluster of three nodes."""
    with ormis.connect(f"{cluster_url}?partitions={PARTITIONS}") as database:
        yield database


# The first rows of all -----------------------------------------------------------------------------------------------


@given(st.integers(1, 10_000), st.integers(1, 256))
def test_a_share_is_no_more_than_all(limit: int, partitions: int) -> None:
    """Each partition is asked for one row at least, and for no more than are wanted in all."""
    assert 1 <= share(limit, partitions) <= limit


@given(st.lists(st.lists(st.integers(0, 50), max_size=12), min_size=1, max_size=8), st.integers(1, 10), st.data())
def test_what_is_not_cut_off_is_right(stored: list[list[int]], limit: int, data: st.DataObject) -> None:
    """Where no reply is cut off, the first rows of few rows are the first rows of all."""
    few = data.draw(st.integers(1, limit))
    rows = [sorted(own)[:few] for own in stored]
    flat = [row for own in rows for row in own]
    places = sorted(range(len(flat)), key=flat.__getitem__)[:limit]
    again = cut_off(places, [*map(len, rows)], few)
    rows = [sorted(own)[:limit] if number in again else rows[number] for number, own in enumerate(stored)]
    found = sorted(row for own in rows for row in own)[:limit]
    assert found == sorted(row for own in stored for row in own)[:limit]


@given(st.lists(st.lists(st.integers() | st.text(), max_size=40), max_size=6))
def test_packed_lists_are_joined(lists: list[list[int | str]]) -> None:
    """The items of packed lists, one after another, and how many each has."""
    lists = [[item if isinstance(item, str) else item % 2**31 for item in one] for one in lists]
    packed, counts = joined([msgspec.msgpack.encode(one) for one in lists])
    assert msgspec.msgpack.decode(packed) == [item for one in lists for item in one]
    assert counts == [*map(len, lists)]


def test_first_rows_spread_evenly(clw: ormis.Database) -> None:
    """Each partition is asked once."""
    runners = Runner.objects.using(clw)
    runners.bulk_create([Runner(points=n) for n in range(320)])
    with capture_calls() as calls:
        found = [one.points for one in runners.order_by("-points")[:20]]
    assert found == [*range(319, 299, -1)]
    assert len(calls) == PARTITIONS


def test_first_rows_in_one_partition(clw: ormis.Database) -> None:
    """A partition that has most of them is asked for the rest; so the rows are right however they lie."""
    runners = Runner.objects.using(clw)
    runners.bulk_create([Runner(points=n) for n in range(160)])
    runners.bulk_create([Runner(id=PARTITIONS * n + 3, points=n) for n in range(1000, 1030)])
    with capture_calls() as calls:
        found = [one.points for one in runners.order_by("-points")[5:25]]
    assert found == [*range(1024, 1004, -1)]
    assert len(calls) == PARTITIONS + 1
    assert [one.points for one in runners.order_by("-points")[20:50]] == [
        *range(1009, 999, -1),
        *range(159, 139, -1),
    ]


# One object ----------------------------------------------------------------------------------------------------------


def test_one_object_at_a_node_that_has_lost_it(clw: ormis.Database, cluster: LocalCluster) -> None:
    """Reads and saves by connections that do not know yet of a move go to the new node, and are done once there, though
    it does not know their script.
    """
    slot, pks = SLOTS // PARTITIONS * 5, [PARTITIONS * n + 5 for n in range(4)]
    for pk in pks:
        Runner(id=pk).save(using=clw, force_insert=True)
    source = cluster.owner(slot)
    target = next(node for node in cluster.nodes if node is not source)
    databases = [ormis.connect(f"{cluster.url}?partitions={PARTITIONS}") for _ in pks]

    async def work() -> None:
        one = await Runner.aget(pks[2])  # the database connected last
        for number in range(2 * PARTITIONS):
            await Runner(points=number).asave()
        reader = Runner.objects.using(databases[2])
        assert (await reader.aget(pk=pks[2])).points == 0
        await asyncio.to_thread(move_slot, cluster, slot, target)
        target.client.script_flush()
        one.points = 3
        await one.asave()
        assert (await Runner.aget(pks[2])).points == 3
        assert (await reader.aget(pk=pks[2])).points == 3

    ones = [Runner.objects.using(database).get(pk=pk) for database, pk in zip(databases, pks, strict=True)]
    for one in ones:
        one.team = "a"
        one.save()
    asyncio.run(work())
    assert Runner.objects.using(databases[0]).get(pk=pks[0]).points == 0
    ones[1].points = 7
    ones[1].save()
    assert Runner.objects.using(clw).get(pk=pks[1]).points == 7
    assert Runner.objects.using(clw).count() == len(pks) + 2 * PARTITIONS
    for database in databases:
        database.close()


def test_reads_at_a_node_that_has_lost_the_object(clw: ormis.Database, cluster: LocalCluster) -> None:
    """The same of get() and aget(), whose answers are those of the new node."""
    slot, pk = SLOTS // PARTITIONS * 9, PARTITIONS + 9
    Runner(id=pk, points=1).save(using=clw)
    assert Runner.get(pk).points == 1

    async def work() -> None:
        assert (await Runner.aget(pk)).points == 1
        source = cluster.owner(slot)
        await asyncio.to_thread(move_slot, cluster, slot, next(node for node in cluster.nodes if node is not source))
        assert (await Runner.aget(pk)).points == 1

    asyncio.run(work())
    assert Runner.get(pk).points == 1


def test_calls_of_one_object_are_listed(clw: ormis.Database) -> None:
    """A read, an update and an insertion are one call each, in a listing and without one."""
    one = Runner(points=1).save(using=clw)
    with capture_calls() as calls:
        one.points = 2
        one.save()
        Runner(points=3).save()
        assert Runner.get(one.id).points == 2
    assert [str(call).split()[0] for call in calls] == ["commit", "commit", "HMGET"]
    assert sorted(Runner.objects.values_list("points", flat=True)) == [2, 3]


def test_objects_that_a_field_places(clw: ormis.Database) -> None:
    """They are inserted where the field says; a save may change any other field."""
    made = [Parcel(tenant=n, weight=n).save(using=clw) for n in range(20)]
    assert [one.id % PARTITIONS for one in made if one.id is not None] == [n % PARTITIONS for n in range(20)]
    made[3].weight = 50
    made[3].save()
    assert Parcel.get(made[3].id).weight == 50
    made[3].tenant = 4
    with pytest.raises(IntegrityError, match="tenant"):
        made[3].save()
