"""Slots that move and nodes that fail while clients read and write: no error, nothing half written, lost or doubled."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from time import monotonic, sleep

import pytest

import ormis
from clusters import findings, move_slot, move_slot_at_once, start_cluster
from ormis import F, Field
from ormis.cluster.local import SLOTS, LocalCluster

pytestmark = [pytest.mark.xdist_group("cluster"), pytest.mark.slow]

PARTITIONS = 4


class Tally(ormis.Model):
    """A counter with an index, so that each write is about several keys."""

    id: int | None = Field(default=None, primary_key=True)
    writer: int = Field(default=0, index=True)
    number: int = Field(default=0, index=True)
    text: str = Field(default="", index=True)

    class Meta:
        key = "clm_tally"


class Load:
    """Threads and tasks that create, change and read objects until stop(); they note what they did.

    exact: everything that is acknowledged stays; else a master is killed, see Survivors.
    """

    def __init__(self, url: str, exact: bool = True, threads: int = 4, tasks: int = 16) -> None:
        self.db = ormis.connect(url)
        self.exact = exact
        self.errors: list[BaseException] = []
        self.created = Counter[int]()
        self.raised = Counter[int]()
        self.made: list[tuple[int, float, float]] = []
        self.raises: list[tuple[int, float, float]] = []
        """The keys of what was acknowledged, and when that was asked for and noted."""
        self.longest = 0.0
        self._stopped = False
        self._threads = [Thread(target=self._guarded, args=(self._write, i)) for i in range(threads)]
        self._threads.append(Thread(target=self._guarded, args=(self._write_async, tasks)))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends the work; raises what has failed in it."""
        self._stopped = True
        for thread in self._threads:
            thread.join(60)
        self.db.close()
        assert not self.errors, self.errors[:3]

    def _guarded(self, work: Callable[[int], object], argument: int) -> None:
        try:
            work(argument)
        except BaseException as error:  # noqa: BLE001 - told by stop()
            self.errors.append(error)

    def _write(self, writer: int) -> None:
        own: list[Tally] = []
        while not self._stopped:
            began = monotonic()
            one = Tally(writer=writer, text=f"t{len(own) % 5}").save(using=self.db)
            own.append(one)
            self.created[writer] += 1
            self.made.append((one.id or 0, began, monotonic()))
            again = own[len(own) // 2]
            assert again.id is not None
            asked = monotonic()
            found = Tally.objects.using(self.db).filter(pk=again.id).update(number=F("number") + 1)
            self.raised[again.id] += found
            self.raises += [(again.id, asked, monotonic())] * found
            if self.exact:
                stored = Tally.objects.using(self.db).get(pk=again.id)
                assert found == 1
                assert stored.number == self.raised[again.id], (stored, self.raised[again.id])
            self.longest = max(self.longest, monotonic() - began)

    def _write_async(self, tasks: int) -> None:
        async def work(writer: int) -> None:
            while not self._stopped:
                began = monotonic()
                one = await Tally(writer=writer, text="async").asave(using=self.db)
                self.created[writer] += 1
                assert one.id is not None
                self.made.append((one.id, began, monotonic()))
                asked = monotonic()
                found = await Tally.objects.using(self.db).filter(pk=one.id).aupdate(number=F("number") + 1)
                self.raised[one.id] += found
                self.raises += [(one.id, asked, monotonic())] * found
                if self.exact:
                    stored = await Tally.objects.using(self.db).aget(pk=one.id)
                    assert (found, stored.number) == (1, 1)

        async def all_of_them() -> None:
            await asyncio.gather(*(work(1000 + i) for i in range(tasks)))

        asyncio.run(all_of_them())

    def verify(self, cluster: LocalCluster, url: str) -> int:
        """Compares what is stored with what was done; how many objects there are."""
        with ormis.connect(url) as db:
            stored = Tally.objects.using(db)
            numbers = dict(stored.values_list("id", "number"))
            lost = sum(self.created.values()) - len(numbers)
            behind = sum(self.raised[pk] - number for pk, number in numbers.items())
            doubled = [pk for pk, number in numbers.items() if number > self.raised[pk]]
        assert doubled == []
        if self.exact:
            assert (lost, behind) == (0, 0)
        assert findings(cluster, PARTITIONS, [Tally]) == []
        return len(numbers)


class Survivors:
    """What the replica of a master has got when the master is killed: the numbers of its objects by their keys.

    The master is stopped first, then the replica has all that it will ever get. Then nothing that was acknowledged is
    lost but what the replica has not got of the master's partitions.
    """

    def __init__(self, cluster: LocalCluster, slot: int) -> None:
        master = cluster.owner(slot)
        self.partitions = {i for i in range(PARTITIONS) if cluster.owner(i * SLOTS // PARTITIONS) is master}
        replica = cluster.replica_of(master)
        master.pause()
        while Path(f"/proc/{master.process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            sleep(0.001)
        self.at = monotonic()
        offsets = [0, -1]
        while offsets[-1] != offsets[-2]:
            sleep(0.05)
            offsets.append(replica.client.info("replication")["slave_repl_offset"])
        pipeline = replica.client.pipeline(transaction=False)
        pipeline.execute_command("READONLY")
        for key in replica.client.scan_iter("*clm_tally:*", count=1000):
            pipeline.hmget(key, "id", "number")
        self.numbers = {int(pk): int(number) for pk, number in pipeline.execute()[1:]}
        master.kill()

    def verify(self, load: Load, stored: dict[int, int]) -> int:
        """Compares what is there at the end with that, and with what was done since; how many writes were lost."""
        new, unsure = Counter[int](), Counter[int]()
        for pk, asked, noted in load.raises:
            if asked > self.at:
                new[pk] += 1
            elif noted > self.at:
                unsure[pk] += 1
        lost = 0
        for pk, asked, noted in load.made:
            here = pk % PARTITIONS in self.partitions
            if pk not in stored:
                assert here, f"{pk} is lost, which is of another master"
                assert pk not in self.numbers, f"{pk} is lost, which the replica had"
                assert asked < self.at, f"{pk} is lost, which was made afterwards"
                lost += 1
            elif not here:
                assert stored[pk] == load.raised[pk], f"{pk} is of another master"
            elif pk in self.numbers:
                least = self.numbers[pk] + new[pk]
                assert least <= stored[pk] <= least + unsure[pk], (pk, self.numbers[pk], new[pk], unsure[pk], stored)
                lost += load.raised[pk] - stored[pk]
            else:
                assert new[pk] <= stored[pk] <= new[pk] + unsure[pk]
                assert noted > self.at, f"{pk} is there, which the replica had not got"
        return lost


@contextmanager
def loaded(cluster: LocalCluster, exact: bool = True) -> Iterator[Load]:
    """A load on the empty cluster; at its end everything must be as its writers know it."""
    url = f"{cluster.url}?partitions={PARTITIONS}"
    with ormis.connect(url) as db:
        Tally.objects.using(db).bulk_create([Tally(writer=-1) for _ in range(2000)])
    load = Load(url, exact)
    load.created[-1] += 2000
    try:
        sleep(0.3)
        yield load
        sleep(0.3)
    finally:
        load.stop()
    load.verify(cluster, url)


@pytest.fixture
def cluster(server_kind: str) -> Iterator[LocalCluster]:
    """A cluster of three nodes."""
    with start_cluster(server_kind) as running:
        yield running


def test_slots_moved_key_by_key(cluster: LocalCluster) -> None:
    """Slots that are moved key by key to another node, to a new one without slots, and back, under load."""
    new = cluster.add_node()
    cluster.meet(new)
    slots = [i * SLOTS // PARTITIONS for i in range(PARTITIONS)]
    with loaded(cluster):
        first = cluster.owner(slots[0])
        other = next(node for node in cluster.nodes[:3] if node is not first)
        assert move_slot(cluster, slots[0], new) > 0
        assert move_slot(cluster, slots[1], new, batch=5, pause=0.001) > 0  # a master without slots becomes a replica
        for to in (other, new, first):
            assert move_slot(cluster, slots[0], to) > 0


def test_slots_moved_at_once(cluster: LocalCluster, server_kind: str) -> None:
    """Slots that Valkey 9 moves as a whole, under load, to another node and back."""
    if server_kind != "valkey":
        pytest.skip("Valkey 9 alone moves slots at once")
    slot = SLOTS // PARTITIONS
    with loaded(cluster):
        first = cluster.owner(slot)
        other = next(node for node in cluster.nodes if node is not first)
        for to in (other, first, other):
            move_slot_at_once(cluster, slot, to)


def test_a_master_that_is_killed(server_kind: str) -> None:
    """A master is killed under load: its replica takes over, no call fails, nothing is half written or done twice; no
    more is lost than what the replica had not got.
    """
    with start_cluster(server_kind, 3, 1, "--cluster-replica-validity-factor", "0") as cluster:
        with loaded(cluster, exact=False) as load:
            began = monotonic()
            survivors = Survivors(cluster, 0)
            cluster.wait_until(lambda: cluster.owner(0).process.poll() is None, "elects no new master")
            took = monotonic() - began
            sleep(0.5)
        assert load.longest < took + 2
        with ormis.connect(f"{cluster.url}?partitions={PARTITIONS}") as db:
            stored = dict(Tally.objects.using(db).values_list("id", "number"))
        print(f"{survivors.verify(load, stored)} writes of {len(load.made) + len(load.raises)} were lost")
