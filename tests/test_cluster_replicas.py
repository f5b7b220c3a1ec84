"""Reading from the replicas of a cluster: `db.replica`, and `connect(url, read_from="replica")`."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from threading import Thread
from time import monotonic, sleep
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

import ormis
from clusters import move_slot, start_cluster
from laws import examples
from ormis import CASCADE, F, Field, ForeignKey, OrmisError
from ormis.calls import ScriptCall
from ormis.cluster import standings
from ormis.cluster.local import LocalCluster, Node
from ormis.cluster.standings import Ask, Standings
from ormis.cluster.topology import Topology
from ormis.connections.urls import Address

pytestmark = pytest.mark.xdist_group("cluster_replicas")
PARTITIONS = 4


class Shop(ormis.Model):
    name: str = Field(unique=True)

    class Meta:
        key = "clr_shop"


class Ware(ormis.Model):
    shop: ForeignKey[Shop | None] = ForeignKey(on_delete=CASCADE, related_name="wares")
    name: str = Field(default="", index="sorted")
    price: int = Field(default=0, index=True)

    class Meta:
        key = "clr_ware"


@pytest.fixture(scope="module")
def replicated(server_kind: str) -> Iterator[LocalCluster]:
    """Two masters, each with two replicas."""
    with start_cluster(server_kind, 2, 2) as running:
        yield running


@pytest.fixture
def url(replicated: LocalCluster) -> str:
    """The URL of that cluster, empty."""
    for node in replicated.nodes[:2]:
        node.client.flushall()
    return f"{replicated.url}?partitions={PARTITIONS}"


@pytest.fixture
def db(url: str) -> Iterator[ormis.Database]:
    """The default database."""
    with ormis.connect(url) as database:
        yield database


def replicas_of(cluster: LocalCluster) -> dict[Node, list[Node]]:
    """The nodes with slots, and the replicas of each."""
    alive = next(node for node in cluster.nodes if node.process.poll() is None)
    by_port = {node.port: node for node in cluster.nodes}
    rows = alive.client.execute_command("CLUSTER", "SLOTS")
    return {by_port[row[2][1]]: [by_port[place[1]] for place in row[3:]] for row in rows}


def catch_up(cluster: LocalCluster) -> None:
    """Waits until the replicas have what their masters have."""
    for master, others in replicas_of(cluster).items():
        written = master.client.info("replication")["master_repl_offset"]
        for one in others:
            wait_for(partial(reaches, one, written))


def reaches(replica: Node, written: int) -> bool:
    return replica.client.info("replication").get("slave_repl_offset", 0) >= written


def wait_for(holds: Callable[[], object]) -> None:
    deadline = monotonic() + 30
    while not holds():
        assert monotonic() < deadline, "it does not come to pass"
        sleep(0.005)


def readings(nodes: list[Node]) -> list[int]:
    """How many scripts and HMGETs each node has carried out since the last config_resetstat()."""
    names = [f"cmdstat_{name}" for name in ("evalsha", "evalsha_ro", "eval", "eval_ro", "hmget")]
    stats = [node.client.info("commandstats") for node in nodes]
    return [sum(one[name]["calls"] for name in names if name in one) for one in stats]


def fill(count: int = 40) -> None:
    """Some objects in all partitions."""
    shop = Shop(name="s").save()
    Ware.objects.bulk_create([Ware(name=f"w{n % 7}", price=n, shop=shop if n % 3 else None) for n in range(count)])


READINGS: dict[str, Callable[[Any, Any], Any]] = {
    # of querysets of wares and shops
    "objects": lambda wares, _: [(one.pk, one.name, one.price, one.shop_id) for one in wares.order_by("price", "pk")],
    "count": lambda wares, _: wares.count(),
    "filter": lambda wares, _: sorted(one.pk for one in wares.filter(price__gte=3, name__startswith="w")),
    "get": lambda wares, _: wares.get(pk=first.pk).price if (first := wares.first()) else None,
    "absent": lambda wares, _: wares.filter(pk=99999).first(),
    "unique": lambda _, shops: [one.pk for one in shops.filter(name="s")],
    "first": lambda wares, _: [one.pk for one in wares.order_by("-price", "pk")[:3]],
    "aggregate": lambda wares, _: wares.aggregate(n=ormis.Sum("price"), m=ormis.Max("price")),
    "values": lambda wares, _: sorted(map(repr, wares.values_list("name", "shop__name"))),
    "relation": lambda wares, _: wares.filter(shop__name="s").count(),
    "annotate": lambda _, shops: [one.n for one in shops.annotate(n=ormis.Count("wares"))],
    "related": lambda wares, _: sorted(one.shop.name for one in wares.select_related("shop") if one.shop),
    "reverse": lambda _, shops: [len(one.wares.all()) for one in shops.prefetch_related("wares")],
    "iterator": lambda wares, _: sum(one.price for one in wares.iterator(chunk_size=3)),
    "page": lambda wares, _: [one.pk for one in wares.order_by("price", "pk").page(5)],
    "in_bulk": lambda wares, _: sorted(wares.in_bulk([1, 2, 3, 4, 5, 6])),
    "exists": lambda wares, _: wares.filter(price=3).exists(),
}


# The law -------------------------------------------------------------------------------------------------------------

writes = st.lists(
    st.one_of(
        st.tuples(st.just("create"), st.integers(0, 6)),
        st.tuples(st.just("raise"), st.integers(0, 6)),
        st.tuples(st.just("delete"), st.integers(0, 6)),
        st.tuples(st.just("shop"), st.integers(0, 2)),
    ),
    max_size=8,
)


def test_replicas_return_what_their_masters_return(replicated: LocalCluster, db: ormis.Database) -> None:
    """Whatever was written: when the replicas have it, each reading has the result that it has at the masters."""

    @settings(max_examples=examples(8))
    @given(writes)
    def law(steps: list[tuple[str, int]]) -> None:
        Ware.objects.all().delete()
        Shop.objects.all().delete()
        for step in steps:
            write(*step)
        catch_up(replicated)
        there = Ware.objects.using(db.replica), Shop.objects.using(db.replica)
        for name, read in READINGS.items():
            assert read(*there) == read(Ware.objects.all(), Shop.objects.all()), name

    law()


def write(what: str, number: int) -> None:
    """One of the changes."""
    if what == "create":
        Ware(price=number, name=f"w{number}", shop=Shop.objects.first()).save()
    elif what == "raise":
        Ware.objects.filter(price=number).update(price=F("price") + 1)
    elif what == "delete":
        Ware.objects.filter(price__lte=number).delete()
    else:
        Shop.objects.get_or_create(name=f"s{number or ''}")


# Who is asked --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", READINGS)
def test_the_replicas_are_read(replicated: LocalCluster, db: ormis.Database, name: str) -> None:
    """Each reading goes to replicas; a master is asked only whether its slots are whole."""
    fill()
    catch_up(replicated)
    there = Ware.objects.using(db.replica), Shop.objects.using(db.replica)
    there[0].count()  # the scripts are known, the replicas are looked at
    for node in replicated.nodes:
        node.client.config_resetstat()
    read = READINGS[name]
    result = read(*there)
    known = replicas_of(replicated)
    assert readings([*known]) == [0, 0]
    assert sum(readings([one for others in known.values() for one in others])) > 0
    assert result == read(Ware.objects.all(), Shop.objects.all())


def test_the_replicas_take_turns(replicated: LocalCluster, db: ormis.Database) -> None:
    """Each operation goes to the next replica of each node, one and the same from its first call to its last."""
    fill()
    catch_up(replicated)
    wares = Ware.objects.using(db.replica)
    assert wares.count() == wares.count() == 40
    for node in replicated.nodes:
        node.client.config_resetstat()
    for _ in range(10):
        assert wares.filter(price__gte=0).count() == 40
    for others in replicas_of(replicated).values():
        assert readings(others) == [10, 10]  # two partitions each


def test_reading_from_replicas_by_default(replicated: LocalCluster, url: str, db: ormis.Database) -> None:
    """With read_from="replica" readings go to replicas; what belongs to a write, and atomic(), to the masters."""
    fill()
    catch_up(replicated)
    with ormis.connect(url, read_from="replica") as reader:
        assert Ware.objects.count() == 40
        known = replicas_of(replicated)
        for node in replicated.nodes:
            node.client.config_resetstat()
        assert Ware.objects.filter(price__lt=10).count() == 10
        assert readings([*known]) == [0, 0]
        one = Ware.objects.get(price=3)
        one.price = 300
        one.save()
        assert Shop.objects.get_or_create(name="s")[1] is False
        assert Ware.objects.filter(price=4).update(name="x") == 1
        one.refresh_from_db()
        with ormis.atomic():
            assert Ware.objects.get(pk=one.pk).price == 300
        assert Ware.objects.using(reader).filter(pk=one.pk).delete()[0] == 1
        catch_up(replicated)
        assert Ware.objects.count() == 39


async def test_async_readings(replicated: LocalCluster, url: str) -> None:
    """The async twins read from the same places, many tasks at once."""
    async with ormis.connect(url) as db:
        await Ware.objects.abulk_create([Ware(name="w", price=n) for n in range(40)])
        catch_up(replicated)
        wares = Ware.objects.using(db.replica)
        assert await wares.acount() == 40
        for node in replicated.nodes:
            node.client.config_resetstat()
        assert await asyncio.gather(*(wares.filter(price__lt=n).acount() for n in range(30))) == [*range(30)]
        one = await wares.aget(price=7)
        assert (await wares.aget(pk=one.pk)).price == 7
        assert len([one async for one in wares.order_by("price")]) == 40
        known = replicas_of(replicated)
        assert readings([*known]) == [0, 0]
        assert min(readings([one for others in known.values() for one in others])) > 0
        one.price = 8
        with pytest.raises(OrmisError, match=r"db\.replica only reads: Ware"):
            await one.asave()
        await one.asave(using=db)
        assert (await Ware.objects.aget(pk=one.pk)).price == 8


def test_calls_are_listed(replicated: LocalCluster, url: str) -> None:
    """A query is followed by one question to the master; an object that is there by its key is not."""
    with ormis.connect(url, read_from="replica"):
        pk = Ware(price=1).save().pk
        catch_up(replicated)
        assert Ware.objects.count() == 1
        with ormis.capture_calls() as calls:
            assert Ware.get(pk).price == 1
        assert [str(call).split()[0] for call in calls] == ["HMGET"]
        with ormis.capture_calls() as calls, pytest.raises(Ware.DoesNotExist):
            Ware.get(pk + PARTITIONS)
        assert [str(call).split()[0] for call in calls] == ["HMGET", "EXISTS"]
        with ormis.capture_calls() as calls:
            assert Ware.objects.filter(pk=pk, price=1).count() == 1
        assert [str(call).split()[0] for call in calls] == ["query", "EXISTS"]
        assert isinstance(calls[0], ScriptCall)
        assert calls[0].reads


class Recorder:
    """Notes the calls of operations."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, tuple[int, ...]]] = []

    def operation(self, _event: ormis.OperationEvent, /) -> AbstractContextManager[None]:
        return nullcontext()

    def call(self, event: ormis.CallEvent, /) -> AbstractContextManager[None]:
        self.sent.append((str(event.calls[0]).split()[0], event.partitions))
        return nullcontext()

    def wants_plan(self, _event: ormis.OperationEvent, /) -> bool:
        return False


async def test_calls_are_observed(replicated: LocalCluster, url: str) -> None:
    """An observer is told once of the calls to replicas, with the partitions that they go to."""
    async with ormis.connect(url) as db:
        await Ware.objects.abulk_create([Ware(price=n) for n in range(8)])
        catch_up(replicated)
        wares = Ware.objects.using(db.replica)
        await wares.acount()
        recorder = Recorder()
        with ormis.observe(recorder):
            assert wares.count() == await wares.acount() == 8
    assert recorder.sent == [("query", (0, 1, 2, 3))] * 2


WRITES: dict[str, Callable[[ormis.Database], Any]] = {
    "save": lambda db: changed(Ware.objects.using(db).get(price=1)).save(),
    "new": lambda db: Ware(name="x").save(using=db),
    "delete": lambda db: Ware.objects.using(db).get(price=1).delete(),
    "get_or_create": lambda db: Shop.objects.using(db).get_or_create(name="s"),
    "update": lambda db: Ware.objects.using(db).update(price=3),
    "delete of many": lambda db: Ware.objects.using(db).filter(price=1).delete(),
    "bulk_create": lambda db: Ware.objects.using(db).bulk_create([Ware()]),
    "claim": lambda db: Ware.objects.using(db).filter(name="w1").claim(1, name="x"),
    "reindex": lambda db: db.reindex(Ware),
    "repair": lambda db: ormis.check(db, models=[Ware], repair=True),
}


def changed(ware: Ware) -> Ware:
    ware.price += 10
    return ware


@pytest.mark.parametrize("name", WRITES)
def test_writes_are_refused(replicated: LocalCluster, db: ormis.Database, name: str) -> None:
    """A write by db.replica raises, and changes nothing, neither at a replica nor at a master."""
    fill(6)
    catch_up(replicated)
    before = sorted(map(repr, Ware.objects.values_list("pk", "price", "name")))
    with pytest.raises(OrmisError, match=r"^db\.replica only reads: (Ware|Shop) can't be written by it"):
        WRITES[name](db.replica)
    assert sorted(map(repr, Ware.objects.values_list("pk", "price", "name"))) == before


def test_upkeep_reads(replicated: LocalCluster, db: ormis.Database) -> None:
    """check() and inspect() of db.replica read; what is compared between partitions is read from the masters."""
    fill()
    catch_up(replicated)
    report = ormis.check(db.replica, models=[Ware, Shop])
    assert (report.findings, report.objects) == ([], {"Ware": 40, "Shop": 1})
    assert "40" in str(ormis.inspect(db.replica, models=[Ware]))
    assert "asked of all 4 partitions" in str(Ware.objects.using(db.replica).explain())


def test_without_replicas_the_masters_are_read(cluster_url: str) -> None:
    """The same code runs on a cluster without replicas; writes are refused there, too."""
    with ormis.connect(f"{cluster_url}?partitions=4") as db:
        fill(10)
        wares = Ware.objects.using(db.replica)
        with ormis.capture_calls() as calls:
            assert wares.count() == 10
        assert {str(call).split()[0] for call in calls} == {"query"}
        with pytest.raises(OrmisError, match="only reads: Ware"):
            Ware().save(using=db.replica)
        db.replica.close()
        assert Ware.objects.count() == 10


def test_a_user_without_the_right(replicated: LocalCluster, url: str, db: ormis.Database) -> None:
    """A user who may not send READONLY is told so; nothing goes to the masters unnoticed."""
    fill(4)
    for node in replicated.nodes:
        node.client.execute_command("ACL", "SETUSER", "narrow", "on", ">x", "~*", "&*", "+@all", "-readonly")
    narrow = url.replace("redis+cluster://", "redis+cluster://narrow:x@")
    with ormis.connect(narrow) as other, pytest.raises(redis.exceptions.NoPermissionError, match="readonly"):
        Ware.objects.using(other.replica).count()


# Slots that move, nodes that fail ------------------------------------------------------------------------------------


def test_slots_that_move(replicated: LocalCluster, db: ormis.Database) -> None:
    """While a slot moves key by key, there and back, no reading of a replica finds less than all objects."""
    fill(400)
    one = Ware.objects.filter(price=200).get()
    catch_up(replicated)
    seen = set[Any]()
    errors: list[BaseException] = []
    stopped = False

    def read() -> None:
        wares = Ware.objects.using(db.replica)
        try:
            while not stopped:
                seen.add((wares.count(), wares.filter(price__gte=100).count(), wares.get(pk=one.pk).price))
        except BaseException as error:  # noqa: BLE001 - told below
            errors.append(error)

    async def aread() -> None:
        wares = Ware.objects.using(db.replica)
        while not stopped:
            seen.add(
                (await wares.acount(), await wares.filter(price__gte=100).acount(), (await wares.aget(pk=one.pk)).price)
            )

    threads = [Thread(target=read), Thread(target=read), Thread(target=lambda: asyncio.run(aread()))]
    for thread in threads:
        thread.start()
    try:
        for slot in (0, 4096):
            source = replicated.owner(slot)
            target = next(node for node in replicas_of(replicated) if node is not source)
            for to in (target, source):
                assert move_slot(replicated, slot, to, batch=10, pause=0.03) > 100
                sleep(0.2)
    finally:
        stopped = True
        for thread in threads:
            thread.join(60)
    assert errors == []
    assert seen == {(400, 300, 200)}


def test_replicas_that_fail(server_kind: str) -> None:
    """A replica that is gone is passed over; if none is left the master is read; one that is back is read again."""
    with start_cluster(server_kind, 1, 2) as cluster, ormis.connect(f"{cluster.url}?partitions=2") as db:
        fill(20)
        catch_up(cluster)
        wares = Ware.objects.using(db.replica)
        assert wares.count() == 20
        for replica in cluster.nodes[1:]:
            replica.kill()
            for _ in range(3):
                assert wares.count() == 20
            assert asyncio.run(_acount(db)) == 20
        Ware(price=5).save()
        assert wares.count() == 21
        back = cluster.nodes[2]
        cluster.restart(back)
        cluster.wait_until(lambda: back in replicas_of(cluster)[cluster.nodes[0]], "does not see its replica")
        wait_for(lambda: reaches(back, cluster.nodes[0].client.info("replication")["master_repl_offset"]))
        back.client.config_resetstat()
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(standings, "KNOWN", 0.1)
            patched.setattr(standings, "ASIDE", 0.1)
            wait_for(lambda: wares.count() == 21 and readings([back])[0] > 0)


async def _acount(db: ormis.Database) -> int:
    return await Ware.objects.using(db.replica).acount()


def test_a_replica_that_is_promoted(server_kind: str) -> None:
    """When the master fails, objects are read by their keys at once; all else when a replica has taken its place."""
    options = ("--cluster-replica-validity-factor", "0")
    with start_cluster(server_kind, 3, 1, *options) as cluster:
        url = f"{cluster.url}?partitions=6"
        with ormis.connect(url) as db, ormis.connect(url, read_from="replica"):
            Ware.objects.bulk_create([Ware(price=n) for n in range(30)])
            some = [*Ware.objects.using(db).order_by("price")]
            catch_up(cluster)
            assert Ware.objects.count() == 30
            cluster.owner(0).kill()
            with ormis.capture_calls() as calls:
                assert [Ware.get(one.pk).price for one in some] == [*range(30)]
            assert {str(call).split()[0] for call in calls} == {"HMGET"}
            assert Ware.objects.count() == 30
            assert asyncio.run(_acount(db)) == 30
            assert [Ware.get(one.pk).price for one in some] == [*range(30)]
            Ware(price=40).save()


# Standings -----------------------------------------------------------------------------------------------------------

MASTER, FIRST, SECOND = ("h", 1), ("h", 2), ("h", 3)


def known() -> Standings:
    """Of a node with two replicas."""
    topology = Topology([MASTER])
    assert topology.learn([[0, 16383, [b"h", 1], [b"h", 2], [b"h", 3]]], MASTER)
    return Standings(topology)


def look(standings: Standings, head: int, **offsets: Any) -> list[Address]:
    """Looks at the replicas; which are read afterwards. offsets: how far they are, an error, or a text of INFO."""
    replies = {MASTER: info("master", head), FIRST: offsets["first"], SECOND: offsets["second"]}
    renewal = standings.renewal(MASTER)
    reply: Any = None
    while True:
        try:
            ask: Ask = renewal.send(reply)
        except StopIteration:
            break
        assert ask.address is not None
        found = replies[ask.address]
        reply = info("slave", found) if isinstance(found, int) else found
    return sorted({one for turn in range(4) if (one := standings.chosen(MASTER, turn)) is not None})


def info(role: str, offset: int, history: str = "a", link: str = "up") -> bytes:
    """A part of INFO replication."""
    lines = [f"role:{role}", f"master_replid:{history}", f"master_repl_offset:{offset}"]
    if role == "slave":
        lines += [f"master_link_status:{link}", f"slave_repl_offset:{offset}"]
    return "\r\n".join(lines).encode()


def test_replicas_that_are_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replica is read when it is as far as its node was when the owner of its slots was learned, and then as far as
    that was a second or two before.
    """
    now = [100.0]
    monkeypatch.setattr(standings, "monotonic", lambda: now[0])
    monkeypatch.setattr(Topology, "age", 0.0)
    nodes = known()
    assert nodes.is_due(MASTER)
    assert look(nodes, 50, first=49, second=50) == [SECOND]
    now[0] += 0.3
    assert nodes.is_due(MASTER)
    assert look(nodes, 90, first=50, second=50) == [FIRST, SECOND]
    now[0] += 0.5
    assert not nodes.is_due(MASTER)
    now[0] += 0.6
    assert look(nodes, 200, first=50, second=199) == [FIRST, SECOND]
    now[0] += 1.1
    assert look(nodes, 300, first=150, second=200) == [SECOND]
    now[0] += standings.ENDS
    assert nodes.chosen(MASTER, 0) is None
    nodes.topology.moved(7, ("h", 9))
    assert look(nodes, 400, first=399, second=400) == [SECOND]


def test_replicas_that_follow_another_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is not linked to its node, or has another history, or fails, is not read."""
    monkeypatch.setattr(Topology, "age", 0.0)
    nodes = known()
    assert look(nodes, 5, first=info("slave", 9, link="down"), second=info("slave", 9, history="b")) == []
    assert look(nodes, 5, first=redis.ConnectionError("gone"), second=5) == [SECOND]
    nodes.set_aside(SECOND)
    assert nodes.chosen(MASTER, 0) is None
    assert look(nodes, 5, first=5, second=5) == []
