"""Rows that a process keeps of a database on a cluster: news from all nodes, failovers, slots that move."""

import asyncio
from collections.abc import Iterator
from threading import Event, Lock, Thread
from time import monotonic, sleep
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ormis
from caching import hits, is_hit, until, warm
from clusters import move_slot, move_slot_at_once, start_cluster
from failing_nodes import wait_for_replica
from ormis import Field
from ormis.cluster.local import SLOTS, LocalCluster
from ormis.cluster.topology import Topology

pytestmark = pytest.mark.xdist_group("cluster")
PARTITIONS = 4
BOUND = 1.0
LATE = 1.0
"""Seconds that a loaded machine may take beyond the bound."""


class Town(ormis.Model):
    """A model whose rows are kept."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = ""
    size: int = Field(default=0, index=True)

    class Meta:
        key = "clk_town"
        cache = True


class Code(ormis.Model):
    """The same with keys that are texts, and a value that is unique over the partitions."""

    code: str = Field(primary_key=True)
    name: str = Field(default="", unique=True)

    class Meta:
        key = "clk:code"
        cache = True


@pytest.fixture
def other(cluster_url: str) -> Iterator[ormis.Database]:
    """A client without a cache."""
    with ormis.connect(f"{cluster_url}?partitions={PARTITIONS}", prefix="clk:") as database:
        yield database


@pytest.fixture
def kept(other: ormis.Database, cluster: LocalCluster) -> Iterator[ormis.Database]:
    """A client with one; the default database."""
    with ormis.connect(
        f"{cluster.url}?partitions={PARTITIONS}", prefix="clk:", cache=1000, cache_bound=BOUND
    ) as database:
        yield database


def test_news_of_all_nodes(kept: ormis.Database, other: ormis.Database) -> None:
    """Objects of all partitions are served from memory until another client changes them."""
    towns = Town.objects.bulk_create([Town(name=f"t{i}") for i in range(12)])
    codes = Code.objects.bulk_create([Code(code=f"c{i}", name=f"n{i}") for i in range(6)])
    reads = [lambda pk=one.pk: Town.get(pk) for one in towns] + [lambda pk=one.pk: Code.get(pk) for one in codes]
    warm(kept, *reads)
    assert all(is_hit(kept, read) for read in reads)
    for town in Town.objects.using(other):
        town.size = 7
        town.save()
    for code in Code.objects.using(other):
        code.name += "x"
        code.save()
    until(lambda: all(Town.get(one.pk).size == 7 for one in towns))
    until(lambda: all(Code.get(one.pk).name.endswith("x") for one in codes))
    Town.objects.using(other).filter(size=7).delete()

    def gone(pk: Any) -> bool:
        try:
            Town.get(pk)
        except Town.DoesNotExist:
            return True
        return False

    until(lambda: all(gone(one.pk) for one in towns))


def test_own_writes(kept: ormis.Database) -> None:
    """What the process itself has written is read at once, whichever way it was written."""
    towns = Town.objects.bulk_create([Town(name=f"t{i}") for i in range(8)])
    code = Code(code="k", name="n").save()
    reads = [lambda pk=one.pk: Town.get(pk) for one in towns]
    for number, write in enumerate(
        (
            lambda size: [Town.objects.filter(pk=one.pk).update(size=size) for one in towns],
            lambda size: Town.objects.filter(size__lt=100).update(size=size),
            lambda size: [_with(one, size).save() for one in towns],
            lambda size: Town.objects.bulk_update([_with(one, size) for one in towns], ["size"]),
            lambda size: Town.objects.filter(size__lt=size).claim(20, size=size),
            lambda size: [Town.objects.update_or_create(id=one.pk, defaults={"size": size}) for one in towns],
        ),
        1,
    ):
        warm(kept, *reads)
        write(number)
        assert [Town.get(one.pk).size for one in towns] == [number] * len(towns)
    warm(kept, lambda: Code.get("k"))
    code.name = "m"
    code.save()
    assert Code.get("k").name == "m"

    async def work() -> None:
        for number in (50, 51):
            town = await Town.aget(towns[0].pk)
            town.size = number
            await town.asave()
            assert (await Town.aget(towns[0].pk)).size == number

    asyncio.run(work())
    town = Town.get(towns[1].pk)
    with ormis.atomic():
        town.size = 60
        town.save()
    assert Town.get(town.pk).size == 60
    ormis.check(kept, models=[Town], repair=True)
    Town.objects.all().delete()
    with pytest.raises(Town.DoesNotExist):
        Town.get(towns[0].pk)


def _with(town: Town, size: int) -> Town:
    town.size = size
    return town


def test_a_connection_that_is_lost(kept: ormis.Database, other: ormis.Database, cluster: LocalCluster) -> None:
    """Where one of the nodes is not listened to, nothing is served; later all is as before."""
    towns = Town.objects.bulk_create([Town() for _ in range(8)])
    reads = [lambda pk=one.pk: Town.get(pk) for one in towns]
    warm(kept, *reads)
    for node in cluster.nodes:
        tracking = [one for one in node.client.client_list() if "t" in one["flags"]]
        assert tracking or cluster.owner(0) is not node
        for one in tracking:
            node.client.client_kill_filter(_id=one["id"])
        Town.objects.using(other).update(size=ormis.F("size") + 1)
        size = Town.objects.using(other).values_list("size", flat=True)[0]
        until(lambda size=size: all(Town.get(one.pk).size == size for one in towns))
        warm(kept, *reads)


class Writer:
    """A client that counts in one object after another, and notes when it did; readers are checked against that.

    resting: held by who wants no write to be on its way.
    """

    def __init__(self, url: str, pks: list[Any]) -> None:
        self.url, self.pks = url, pks
        self.written: dict[Any, list[tuple[float, float]]] = {pk: [(0.0, 0.0)] for pk in pks}
        self.ended = Event()
        self.resting = Lock()
        self.errors: list[BaseException] = []
        self.hits = 0

    def check_while(self, kept: ormis.Database, work: Any) -> None:
        """Reads with the cache while the writer writes and something else is done."""
        threads = [Thread(target=self._guarded, args=(one, kept)) for one in (self._write, self._read, self._read)]
        for thread in threads:
            thread.start()
        try:
            work()
        finally:
            self.ended.set()
            for thread in threads:
                thread.join(30)
        assert not self.errors, self.errors[0]

    def _guarded(self, work: Any, kept: ormis.Database) -> None:
        try:
            work(kept)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            self.errors.append(error)

    def _write(self, _kept: ormis.Database) -> None:
        with ormis.connect(self.url, prefix="clk:") as database:
            number = 0
            while not self.ended.is_set():
                number += 1
                for pk in self.pks:
                    with self.resting:
                        began = monotonic()
                        Town.objects.using(database).filter(pk=pk).update(size=number)
                        self.written[pk].append((began, monotonic()))
                sleep(0.02)

    def _read(self, kept: ormis.Database) -> None:
        before = hits(kept)
        while not self.ended.is_set():
            for pk in self.pks:
                asked = monotonic()
                found = Town.objects.using(kept).get(pk=pk).size
                writes = self.written[pk]
                if len(writes) > found + 1:  # the next value was acknowledged so long before
                    age = asked - writes[found + 1][1]
                    assert age < BOUND + LATE, f"{pk}: {found} is {age:.2f} s old"
            sleep(0.001)
        self.hits += hits(kept) - before


@pytest.fixture
def towns(kept: ormis.Database) -> list[Any]:
    """The keys of objects in all partitions."""
    return [one.pk for one in Town.objects.bulk_create([Town() for _ in range(8)])]


def test_slots_that_move(kept: ormis.Database, cluster: LocalCluster, towns: list[Any], server_kind: str) -> None:
    """Rows are never older than the bound, while slots move key by key and at once; then they are served again."""
    reads = [lambda pk=pk: Town.objects.using(kept).get(pk=pk) for pk in towns]
    warm(kept, *reads)
    writer = Writer(f"{cluster.url}?partitions={PARTITIONS}", towns)

    def move() -> None:
        for number in range(PARTITIONS):
            slot = number * SLOTS // PARTITIONS
            at = cluster.nodes.index(cluster.owner(slot))
            move_slot(cluster, slot, cluster.nodes[(at + 1) % 3], batch=2, pause=0.05)
            if server_kind == "valkey":
                move_slot_at_once(cluster, slot, cluster.nodes[(at + 2) % 3])
            sleep(0.3)

    writer.check_while(kept, move)
    warm(kept, *reads)


def test_a_slot_that_moves_unnoticed(kept: ormis.Database, other: ormis.Database, cluster: LocalCluster) -> None:
    """A client that makes no call learns of the move by its listener, and hears the new owner then."""
    pk = Town(id=PARTITIONS + 2, name="x").save().pk
    warm(kept, lambda: Town.get(pk))
    slot = 2 * SLOTS // PARTITIONS
    source = cluster.owner(slot)
    move_slot(cluster, slot, next(node for node in cluster.nodes if node is not source))
    Town.objects.using(other).filter(pk=pk).update(name="y")
    until(lambda: Town.get(pk).name == "y")
    warm(kept, lambda: Town.get(pk))
    Town.objects.using(other).filter(pk=pk).update(name="z")
    until(lambda: Town.get(pk).name == "z")


def test_failovers(server_kind: str) -> None:
    """A manual failover, after which the old master is a replica that says nothing."""
    with start_cluster(server_kind, 3, 1) as cluster:
        url = f"{cluster.url}?partitions={PARTITIONS}"
        with ormis.connect(url, prefix="clk:", cache=1000, cache_bound=BOUND) as kept:
            towns = [one.pk for one in Town.objects.bulk_create([Town() for _ in range(8)])]
            reads = [lambda pk=pk: Town.objects.using(kept).get(pk=pk) for pk in towns]
            warm(kept, *reads)
            replica = cluster.nodes[cluster.masters]

            def fail_over() -> None:
                sleep(0.3)
                replica.client.execute_command("CLUSTER", "FAILOVER")
                until(lambda: replica.client.execute_command("ROLE")[0] == b"master")
                sleep(2 * BOUND)

            writer = Writer(url, towns)
            writer.check_while(kept, fail_over)
            assert writer.hits
            warm(kept, *reads)


@pytest.mark.parametrize("how", ["kill", "pause"])
def test_a_master_that_fails(server_kind: str, how: str) -> None:
    """A master that ends, or hangs and comes back as a replica: no row is older than the bound, and rows of the replica
    that has taken its place are kept again.

    The replica has what was acknowledged, when the master fails: else that may be lost, in a cache or not.
    """
    with start_cluster(server_kind, 3, 1, "--cluster-replica-validity-factor", "0") as cluster:
        url = f"{cluster.url}?partitions={PARTITIONS}&socket_timeout=1"
        with ormis.connect(url, prefix="clk:", cache=1000, cache_bound=BOUND) as kept:
            towns = [one.pk for one in Town.objects.bulk_create([Town() for _ in range(8)])]
            reads = [lambda pk=pk: Town.objects.using(kept).get(pk=pk) for pk in towns]
            warm(kept, *reads)
            writer = Writer(url, towns)
            master = cluster.owner(0)
            replica = cluster.replica_of(master)

            def fail() -> None:
                sleep(0.3)
                with writer.resting:
                    wait_for_replica(cluster, master)
                    (master.kill if how == "kill" else master.pause)()
                until(lambda: replica.client.execute_command("ROLE")[0] == b"master")
                written = len(writer.written[towns[-1]])
                until(lambda: len(writer.written[towns[-1]]) > written + 2)
                if how == "pause":
                    master.resume()
                sleep(2 * BOUND)

            try:
                writer.check_while(kept, fail)
            finally:
                master.resume()
            assert writer.hits
            warm(kept, *reads)


def test_close_ends_the_threads(kept: ormis.Database) -> None:
    """close() ends the threads of all nodes."""
    town = Town(name="a").save()
    warm(kept, lambda: Town.get(town.pk))
    listeners: Any = vars(kept.cache)["_listener"]
    nodes = [*vars(listeners)["_nodes"].values()]
    assert nodes
    kept.close()
    until(lambda: not any(vars(node.listener)["_thread"].is_alive() for node in nodes))


# What is known of the owners -----------------------------------------------------------------------------------------

A, B = ("a", 1), ("b", 2)


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([A, B])), max_size=20), st.booleans())
def test_each_change_of_an_owner_is_told(moves: list[tuple[int, tuple[str, int]]], learns: bool) -> None:
    """The version grows with each change, and only then."""
    topology, told = Topology([A]), list[int]()
    topology.on_change = lambda: told.append(topology.version)
    topology.learn([[0, 16383, [b"a", 1]]], A)
    assert told == [1]
    for slot, node in moves:
        before = topology.version
        same = topology.owner(slot) == node
        topology.moved(slot, node)
        assert topology.version == before + (not same)
        assert topology.owner(slot) == node
    before, moved = topology.version, any(topology.owner(slot) == B for slot in range(4))
    topology.learn([[0, 16383, [b"a", 1]]] if learns else [[0, 0, [b"b", 2]], [1, 16383, [b"a", 1]]], A)
    assert topology.version == before + (moved or not learns)
    assert told == [*range(1, topology.version + 1)]
