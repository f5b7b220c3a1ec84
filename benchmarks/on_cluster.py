"""A database on a cluster beside the same on one plain server: three masters with a replica each, all on this machine.

Both sides are ormis: "the other" is the plain server. So a ratio is what the partitions cost.
"""

import asyncio
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, ClassVar

import redis

import ormis
from ormis import CASCADE, Database, Field, ForeignKey
from ormis.cluster.local import free_ports
from ormis.connecting import make_default

from .harness import AsyncLine, Line, Result, Target, Work
from .model import Player, values
from .place import BATCH, Place, batches

PARTITIONS = 64
TASKS, EACH = 100, 20

_running: list[Database] = []
"""The plain server, and the cluster."""
_nodes: list["redis.Redis"] = []
"""Clients of its masters."""


@contextmanager
def started() -> Generator[None]:
    """A cluster for the lines that are measured in the block, and a plain server with a replica, also by TCP."""
    with ormis.connect("embedded://") as server, ormis.connect("embedded://") as replica:
        (port,) = free_ports(1)
        server.client.config_set("port", port)
        replica.client.replicaof("127.0.0.1", port)
        with (
            ormis.LocalCluster(nodes=3, replicas=1) as cluster,
            ormis.connect(f"redis://127.0.0.1:{port}/") as plain,
            ormis.connect(f"{cluster.url}?partitions={PARTITIONS}") as database,
        ):
            _running[:] = plain, database
            _nodes[:] = (node.client for node in cluster.nodes[: cluster.masters])
            yield


class OnCluster(Line):
    """A line of two databases. `players` has the same objects of each, the first that were made."""

    note = f"three masters and the plain server with a replica each, {PARTITIONS} partitions, all by TCP on one machine"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.plain, self.cluster = _running
        self.players: dict[Database, list[Player]] = {}

    @property
    def stored(self) -> int:
        """How many objects there are."""
        return TASKS * EACH

    def prepare(self) -> None:
        for node in (self.plain.client, *_nodes):
            node.flushdb()
        vars(vars(self.cluster)["_cluster"])["_checked"] = False  # it stores the number of partitions again
        self.fill()

    def fill(self) -> None:
        for database in (self.plain, self.cluster):
            self.players[database] = []
            for pks in _parts(self.stored):
                made = Player.objects.using(database).bulk_create([Player(**values(pk)) for pk in pks])
                self.players[database] = self.players[database] or made

    def hand(self) -> Work:
        return self._work(self.plain)

    def ormis(self) -> Work:
        return self._work(self.cluster)

    def _work(self, database: Database) -> Work:
        """The round on one of the two."""
        make_default(database)  # Player.get() reads the default database
        return lambda: self.do(database)

    def do(self, database: Database) -> object:
        """A round."""
        raise NotImplementedError

    def check(self) -> None:
        """The same objects, but for their keys."""
        assert _contents(self.plain) == _contents(self.cluster)


def _parts(stored: int) -> list[range]:
    """The numbers of so many objects, in parts that are made at once."""
    size = 2 * PARTITIONS * BATCH // 8
    return [range(first, min(first + size, stored + 1)) for first in range(1, stored + 1, size)]


def _contents(database: Database) -> list[Any]:
    found = sorted(Player.objects.using(database).values_list("email", "name", "score", "status", "level"))
    assert found, "nothing was stored"
    return found


class Get(OnCluster):
    """One object by its key."""

    name = "cluster-get"
    title = "get() on a cluster / on one server"
    target = Target(1.2)

    def do(self, database: Database) -> object:
        return [Player.get(one.id) for one in self.players[database][: self.operations]]

    def check(self) -> None:
        super().check()
        found: list[list[Any]] = []
        for database in (self.plain, self.cluster):
            self._work(database)
            found.append([Player.get(one.id).email for one in self.players[database][:100]])
        assert found[0] == found[1]


class Refresh(OnCluster):
    """A loaded object, read again."""

    name = "cluster-refresh"
    title = "refresh_from_db() on a cluster / on one server"
    target = Target(1.2)

    def do(self, database: Database) -> object:
        for one in self.players[database][: self.operations]:
            one.refresh_from_db()
        return None


class SaveField(OnCluster):
    """One changed, indexed field of a loaded object."""

    name = "cluster-save-field"
    title = "save() of one changed, indexed field on a cluster / on one server"
    target = Target(1.2)

    def fill(self) -> None:
        super().fill()
        self.scores = {self.plain: count(1), self.cluster: count(1)}

    def do(self, database: Database) -> object:
        for one in self.players[database][: self.operations]:
            one.score = next(self.scores[database])
            one.save()
        return None


class SaveNew(OnCluster):
    """A new object with three indexes."""

    name = "cluster-save-new"
    title = "save() of a new object, 3 indexes, on a cluster / on one server"
    target = Target(1.2)

    def fill(self) -> None:
        self.numbers = {self.plain: count(1), self.cluster: count(1)}

    def do(self, database: Database) -> object:
        for _ in range(self.operations):
            Player(**values(next(self.numbers[database]))).save(using=database)
        return None


class Update(OnCluster):
    """An update of one object, that its key names."""

    name = "cluster-update"
    title = "filter(pk=...).update() on a cluster / on one server"

    def fill(self) -> None:
        super().fill()
        self.scores = {self.plain: count(1), self.cluster: count(1)}

    def do(self, database: Database) -> object:
        for one in self.players[database][: self.operations]:
            Player.objects.using(database).filter(pk=one.id).update(level=next(self.scores[database]))
        return None


class GetMany(OnCluster, AsyncLine):
    """One object by its key, of a hundred tasks at once."""

    name = "cluster-async-get-100"
    title = "aget() on a cluster / on one server, 100 tasks"
    target = Target(0.8, at_least=True)
    speed = True

    @property
    def operations(self) -> int:
        return TASKS * EACH

    def do(self, database: Database) -> object:
        return self.place.runner.run(self._share(database))

    async def hand_async(self) -> None:
        await self._share(self.plain)

    async def ormis_async(self) -> None:
        await self._share(self.cluster)

    hand, ormis = OnCluster.hand, OnCluster.ormis

    async def _share(self, database: Database) -> None:
        async def work(first: int) -> None:
            for number in range(first, self.operations, TASKS):
                await self.one(database, number)

        await asyncio.gather(*map(work, range(TASKS)))

    async def one(self, database: Database, number: int) -> None:
        """One operation of a task."""
        await Player.aget(self.players[database][number].id)


class SaveFieldMany(GetMany):
    """One changed, indexed field of a loaded object, of a hundred tasks at once."""

    name = "cluster-async-save-field-100"
    title = "asave() of one changed, indexed field on a cluster / on one server, 100 tasks"
    target = None

    def fill(self) -> None:
        super().fill()
        self.scores = {self.plain: count(1), self.cluster: count(1)}

    async def one(self, database: Database, number: int) -> None:
        player = self.players[database][number]
        player.score = next(self.scores[database])
        await player.asave()

    def check(self) -> None:
        """Nothing: which task comes first is open."""


class Fan(OnCluster):
    """A question to all partitions."""

    repeated: ClassVar[int] = 20

    @property
    def operations(self) -> int:
        return self.repeated

    @property
    def stored(self) -> int:
        return self.place.sizes.objects

    def ask(self, database: Database) -> Any:
        """The question."""
        raise NotImplementedError

    def do(self, database: Database) -> object:
        return [self.ask(database) for _ in range(self.operations)]

    def check(self) -> None:
        super().check()
        assert self.ask(self.plain) == self.ask(self.cluster)


class Top(Fan):
    """The ten with the highest scores."""

    name = "cluster-top-10"
    title = f"the first 10 by an indexed field over {PARTITIONS} partitions / on one server"
    target = Target(8)

    def ask(self, database: Database) -> Any:
        return [one.email for one in Player.objects.using(database).order_by("-score")[:10]]


class Counted(Fan):
    """A count of a range of an index."""

    name = "cluster-count"
    title = f"count() of a range over {PARTITIONS} partitions / on one server"
    target = Target(8)

    def ask(self, database: Database) -> Any:
        return Player.objects.using(database).filter(score__gte=10_000, score__lt=60_000).count()


class Ranked(Fan):
    """The place of an object by an indexed field."""

    name = "cluster-rank"
    title = f"rank() by an indexed field over {PARTITIONS} partitions / on one server"
    target = None

    def ask(self, database: Database) -> Any:
        players = Player.objects.using(database).order_by("-score")
        return players.rank(self.players[database][0])

    def check(self) -> None:
        """The objects are the same ones, by their scores."""
        OnCluster.check(self)


class Claimed(Fan):
    """Jobs of a queue, one after another, in no order: each is one call to one partition."""

    name = "cluster-claim"
    title = f"claim(1) without an order over {PARTITIONS} partitions / on one server"
    target = None
    order: ClassVar[tuple[str, ...]] = ()

    def ask(self, database: Database) -> Any:
        queue = Player.objects.using(database).filter(status="active").order_by(*self.order)
        return queue.claim(1, status="banned")

    def check(self) -> None:
        """Nothing: which job comes first is open."""


class ClaimedInOrder(Claimed):
    """The same in an order: a look at all partitions before each."""

    name = "cluster-claim-in-order"
    title = f"claim(1) by an indexed field over {PARTITIONS} partitions / on one server"
    order = ("score",)


class BulkCreate(OnCluster):
    """Many new objects at once."""

    name = "cluster-bulk-create"
    title = "bulk_create() on a cluster / on one server"
    target = Target(0.8, at_least=True)
    speed = True
    large = True

    def fill(self) -> None:
        """Each round has objects of its own."""
        self.numbers = {self.plain: 1, self.cluster: 1}

    def _work(self, database: Database) -> Work:
        first = self.numbers[database]
        self.numbers[database] = first + self.operations
        made = [Player(**values(pk)) for pk in range(first, first + self.operations)]
        return lambda: Player.objects.using(database).bulk_create(made)


class Squad(ormis.Model):
    """What members refer to."""

    id: int | None = Field(default=None, primary_key=True)


class Member(ormis.Model):
    """What refers to an object of any partition."""

    id: int | None = Field(default=None, primary_key=True)
    squad: ForeignKey[Squad] = ForeignKey(on_delete=CASCADE)
    number: int = 0


class SaveMember(OnCluster):
    """A new object that refers to one of a few, most of them in other partitions that it has referred to before."""

    name = "cluster-save-member"
    title = "save() of a new object with a foreign key to one of 4 objects elsewhere, on a cluster / on one server"
    target = Target(1.3)
    each = 4
    """How many objects are referred to; none: one of its own for each new object."""

    def fill(self) -> None:
        self.squads = {
            database: Squad.objects.using(database).bulk_create([Squad() for _ in range(self.each or self.operations)])
            for database in (self.plain, self.cluster)
        }
        if self.each:
            for database in (self.plain, self.cluster):
                for squad in self.squads[database]:
                    Member.objects.using(database).bulk_create([Member(squad=squad) for _ in range(8 * PARTITIONS)])

    def do(self, database: Database) -> object:
        squads = self.squads[database]
        for number in range(self.operations):
            Member(squad=squads[number % len(squads)], number=number).save(using=database)
        return None

    def check(self) -> None:
        numbers = [sorted(Member.objects.using(one).values_list("number")) for one in (self.plain, self.cluster)]
        assert numbers[0] == numbers[1]


class SaveFirstMember(SaveMember):
    """The same, each of another object: the partition has not referred to it before."""

    name = "cluster-save-first-member"
    title = "the same, the first of its partition with that foreign key: 4 calls, on a cluster / on one server"
    target = None
    each = 0

    def _work(self, database: Database) -> Work:
        self.squads[database] = Squad.objects.using(database).bulk_create([Squad() for _ in range(self.operations)])
        return super()._work(database)


class Memory(OnCluster):
    """The memory of the servers: longer keys, and what each partition has for itself."""

    name = "cluster-memory"
    title = "memory per object on a cluster / on one server"
    unit = "bytes"
    target = Target(1.1)
    large = True

    @property
    def stored(self) -> int:
        return self.operations

    def measure(self) -> Result:
        self.prepare()
        self.check()
        hand, ormis = _bytes([self.plain.client]) / self.stored, _bytes(_nodes) / self.stored
        return self.result(hand, ormis, [ormis / hand])


def _bytes(nodes: Sequence["redis.Redis"]) -> int:
    """MEMORY USAGE of every key of these servers."""
    total = 0
    for node in nodes:
        keys = [*node.scan_iter(count=BATCH)]
        for some in batches(keys):
            with node.pipeline(transaction=False) as pipe:
                for key in some:
                    pipe.memory_usage(key, samples=0)
                total += sum(pipe.execute())
    return total


LINES: list[type[Line]] = [
    Get,
    Refresh,
    SaveField,
    SaveNew,
    Update,
    GetMany,
    SaveFieldMany,
    Top,
    Counted,
    Ranked,
    Claimed,
    ClaimedInOrder,
    BulkCreate,
    SaveMember,
    SaveFirstMember,
    Memory,
]
