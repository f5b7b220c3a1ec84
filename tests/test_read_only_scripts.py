"""Scripts that only read are sent as such: EVALSHA_RO, which goes on where writes pause."""

import asyncio
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

import ormis
from ormis import CASCADE, Field, ForeignKey, Index, ManyToMany, Max, Min
from ormis.drivers import replies
from ormis.storage.scripts import script
from servers import Server, start_server

OLD_RIGHTS = "~* +@read +@connection +eval +evalsha +time"


class Room(ormis.Model):
    name: str = Field(unique=True)
    floor: int = Field(default=0, index=True)
    kind: str = Field(default="office", index=True)
    title: str = Field(default="", index="sorted")

    class Meta:
        key = "ro_room"
        indexes = [Index("kind", "floor")]


class Tag(ormis.Model):
    text: str = Field(primary_key=True)

    class Meta:
        key = "ro_tag"


class Desk(ormis.Model):
    room: ForeignKey[Room] = ForeignKey(on_delete=CASCADE, related_name="desks")
    label: str = Field(default="", index=True)
    tags: ManyToMany[Tag] = ManyToMany(related_name="desks")

    class Meta:
        key = "ro_desk"


MODELS = (Room, Desk, Tag)

READINGS: dict[str, Callable[[], Any]] = {
    "objects": lambda: [room.name for room in Room.objects.order_by("floor")],
    "get": lambda: Room.get(1).name,
    "get by a unique value": lambda: Room.objects.get(name="r1").pk,
    "count": Room.objects.count,
    "count of a range": lambda: Room.objects.filter(floor__gte=2).count(),
    "exists": lambda: Room.objects.filter(kind="office").exists(),
    "related conditions": lambda: Desk.objects.filter(room__floor=1, tags__text="t1").count(),
    "select_related": lambda: [desk.room.name for desk in Desk.objects.select_related("room")],
    "prefetch_related": lambda: [len(room.desks.all()) for room in Room.objects.prefetch_related("desks__tags")],
    "aggregate": lambda: Room.objects.aggregate(low=Min("floor"), high=Max("floor")),
    "values": lambda: [*Room.objects.values_list("name", flat=True)],
    "iterator": lambda: [room.pk for room in Room.objects.iterator()],
    "rank": lambda: Room.objects.order_by("floor").rank(Room.get(3)),
    "pages": lambda: [room.pk for page in Room.objects.order_by("floor").pages(1) for room in page],
    "around": lambda: [room.pk for room in Room.objects.order_by("floor").around(Room.get(3), 1)],
    "explain": lambda: bool(Room.objects.filter(floor=1).explain(analyze=True)),
    "check": lambda: ormis.check(models=MODELS).findings,
}


def add_rooms() -> None:
    rooms = [Room(name=f"r{number}", floor=number, title=f"t{number}").save() for number in range(1, 5)]
    for room in rooms:
        desk = Desk(room=room, label="d").save()
        desk.tags.add(Tag(text=f"t{room.floor}").save())


def calls_of(raw: redis.Redis) -> dict[str, int]:
    """How often the server has executed each of the commands that run scripts."""
    stats: Any = raw.info("commandstats")
    return {name: stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("evalsha", "evalsha_ro")}


@pytest.fixture(autouse=True)
def pools_are_forgotten() -> Iterator[None]:
    """What the driver knows of pools is forgotten after each test."""
    yield
    replies._without.clear()


@pytest.fixture
def modern(server: Server) -> None:
    """The server has EVALSHA_RO."""
    if server.version < (7,):
        pytest.skip("this server has no EVALSHA_RO")


@pytest.mark.parametrize("name", READINGS)
def test_readings_are_sent_as_such(db: ormis.Database, raw: redis.Redis, modern: None, name: str) -> None:
    """No reading runs a script that may write."""
    add_rooms()
    raw.config_resetstat()
    READINGS[name]()
    assert calls_of(raw)["evalsha"] == 0


@pytest.mark.parametrize("name", READINGS)
def test_readings_with_expired_objects(db: ormis.Database, raw: redis.Redis, modern: None, name: str) -> None:
    """Some expired objects don't make them write either, and change no result."""
    add_rooms()
    before = READINGS[name]()
    add_expired(raw, 5)
    dumps = {key: raw.dump(key) for key in raw.scan_iter()}
    raw.config_resetstat()
    assert READINGS[name]() == before
    assert calls_of(raw)["evalsha"] == 0
    assert {key: raw.dump(key) for key in raw.scan_iter()} == dumps


def add_expired(raw: redis.Redis, number: int, **values: Any) -> None:
    """Makes rooms whose hashes the server has removed, among the others in each index."""
    made = Room.objects.bulk_create([Room(**{"name": f"gone {i}", "floor": i % 7, **values}) for i in range(number)])
    for room in made:
        room.expire(100)
    for room in made:
        raw.zadd("ro_room/expiry", {str(room.pk): 1})
        raw.delete(room.key)


def test_a_server_without_the_command(db: ormis.Database, raw: redis.Redis, server: Server) -> None:
    """On a server that does not know EVALSHA_RO a pool is told so once, and uses EVALSHA from then on."""
    if server.version >= (7,):
        pytest.skip("this server has EVALSHA_RO")
    add_rooms()
    with ormis.connect(server.url) as database:
        raw.config_resetstat()
        assert [Room.objects.using(database).filter(floor=1).count() for _ in range(5)] == [1] * 5
        assert raw.info("commandstats")["cmdstat_evalsha"]["calls"] == 5
        assert database.client.connection_pool in replies._without


@pytest.fixture
def user(db: ormis.Database, raw: redis.Redis, url: str, modern: None) -> Iterator[ormis.Database]:
    """A database as a user sees it whose rights were written before EVALSHA_RO was used."""
    add_rooms()
    raw.execute_command("ACL", "SETUSER", "limited", "reset", "on", ">pw", *OLD_RIGHTS.split())
    with ormis.connect(url.replace("unix://", "unix://limited:pw@")) as database:
        yield database
    raw.acl_deluser("limited")


@pytest.mark.single_server("takes rights from a user of one server")
def test_a_user_without_the_right(user: ormis.Database, raw: redis.Redis) -> None:
    """A user who may not send EVALSHA_RO is answered by EVALSHA; only the first call is sent twice."""
    raw.config_resetstat()
    assert [Room.objects.using(user).filter(floor=1).count() for _ in range(5)] == [1] * 5
    stats: Any = raw.info("commandstats")
    assert stats["cmdstat_evalsha"]["calls"] == 5
    assert stats["cmdstat_evalsha_ro"]["rejected_calls"] == 1


@pytest.mark.single_server("takes rights from a user of one server")
async def test_a_user_without_the_right_async(user: ormis.Database, raw: redis.Redis) -> None:
    """The same by async code, many tasks at once."""
    rooms = Room.objects.using(user).filter(floor=1)
    assert await asyncio.gather(*(rooms.acount() for _ in range(20))) == [1] * 20
    raw.config_resetstat()
    assert await rooms.acount() == 1
    assert calls_of(raw) == {"evalsha": 1, "evalsha_ro": 0}


def test_a_script_that_the_server_has_forgotten(db: ormis.Database, raw: redis.Redis) -> None:
    """The text of a reading is sent where the server does not know it."""
    add_rooms()
    raw.script_flush()
    assert Room.objects.filter(floor=1).count() == 1
    raw.script_flush()
    assert asyncio.run(_count_and_close(db)) == 1


async def _count_and_close(db: ormis.Database) -> int:
    return await Room.objects.using(db).filter(floor=1).acount()


def test_an_error_of_a_reading_is_that_of_the_script(db: ormis.Database, raw: redis.Redis, modern: None) -> None:
    """Another refusal than that of the command is raised as it is, and does not change how readings are sent."""
    add_rooms()
    raw.delete("ro_room/ids")
    raw.set("ro_room/ids", "x")
    with pytest.raises(ormis.StoredDataError, match="ro_room/ids"):
        Room.objects.filter(kind="office").order_by("floor").count() + len(Room.objects.all())
    assert not [pool for pool in replies._without if pool is db.client.connection_pool]


# A pause of writes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("expired", [0, 5])
def test_readings_go_on_while_writes_pause(db: ormis.Database, raw: redis.Redis, modern: None, expired: int) -> None:
    """Within CLIENT PAUSE WRITE every reading is answered, and a write after its end."""
    add_rooms()
    if expired:
        add_expired(raw, expired)
    for read in READINGS.values():
        read()
    order: list[str] = []

    def write() -> None:
        Room.objects.create(name="new")
        order.append("write")

    raw.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
    try:
        writer = threading.Thread(target=write)
        writer.start()
        for name, read in READINGS.items():
            read()
            order.append(name)
        asyncio.run(_read_async(db))
        assert "write" not in order
    finally:
        raw.execute_command("CLIENT", "UNPAUSE")
    writer.join()
    assert order == [*READINGS, "write"]


async def _read_async(db: ormis.Database) -> None:
    rooms = Room.objects.using(db)
    assert await rooms.filter(floor__gte=1).acount() == 4
    assert [room.pk async for room in rooms] == [1, 2, 3, 4]
    assert (await rooms.aget(name="r1")).pk == 1


# Expired objects that nobody clears ----------------------------------------------------------------------------------

COUNTS: dict[str, Callable[[], Any]] = {
    "all": Room.objects.count,
    "equality": lambda: Room.objects.filter(kind="office").count(),
    "range": lambda: Room.objects.filter(floor__gte=2).count(),
    "key": lambda: Room.objects.filter(pk=6).count(),
    "unique": lambda: Room.objects.filter(name="gone 1").count(),
    "several values": lambda: Room.objects.filter(kind__in=["office", "hall"]).count(),
    "text": lambda: Room.objects.filter(title__startswith="t").count(),
    "text range": lambda: Room.objects.filter(title__gte="t2").count(),
    "composite": lambda: Room.objects.filter(kind="office", floor__lt=3).count(),
    "two conditions": lambda: Room.objects.filter(kind="office").filter(floor=1).count(),
    "or": lambda: Room.objects.filter(ormis.Q(floor=1) | ormis.Q(kind="hall")).count(),
    "not": lambda: Room.objects.exclude(floor=1).count(),
    "keys": lambda: [*Room.objects.values_list("pk", flat=True)],
    "ends": lambda: Room.objects.aggregate(low=Min("floor"), high=Max("floor"), number=ormis.Count("pk")),
    "ends of a range": lambda: Room.objects.filter(floor__gte=2).aggregate(low=Min("floor"), n=ormis.Count("floor")),
    "sum": lambda: Room.objects.aggregate(sum=ormis.Sum("floor")),
    "groups": lambda: [*Room.objects.values("kind").annotate(n=ormis.Count("pk")).order_by("kind")],
    "ranks": lambda: [Room.objects.order_by("floor").rank(room) for room in Room.objects.order_by("pk")],
    "ranks downwards": lambda: [Room.objects.order_by("-floor").rank(room) for room in Room.objects.order_by("pk")],
    "ranks in the order of creation": lambda: [Room.objects.rank(room) for room in Room.objects.order_by("pk")],
    "page": lambda: [room.pk for room in Room.objects.order_by("floor")[1:3]],
    "related": lambda: Desk.objects.filter(room__floor=1).count(),
    "reverse": lambda: Room.objects.filter(desks__label="d").count(),
    "numbers of related": lambda: [*Tag.objects.annotate(n=ormis.Count("desks")).values_list("text", "n")],
    "ordered by numbers": lambda: [
        tag.text for tag in Tag.objects.annotate(n=ormis.Count("desks")).order_by("-n", "text")[:2]
    ],
}


@pytest.mark.parametrize("number", [1, 60, 150])
@pytest.mark.parametrize("name", COUNTS)
def test_results_are_those_without_expired_objects(
    db: ormis.Database, raw: redis.Redis, name: str, number: int
) -> None:
    """Whether few or many have left something behind, in each index, every result is that of the others alone."""
    add_rooms()
    before = COUNTS[name]()
    add_expired(raw, number, title="t1 gone")
    add_expired_desks(raw, number)
    assert COUNTS[name]() == before
    assert COUNTS[name]() == before


def add_expired_desks(raw: redis.Redis, number: int) -> None:
    """Desks that have expired, linked to a tag."""
    made = Desk.objects.bulk_create([Desk(room_id=1, label="d") for _ in range(number)])
    Tag.get("t1").desks.add(*made)
    for desk in made:
        desk.expire(100)
    for desk in made:
        raw.zadd("ro_desk/expiry", {str(desk.pk): 1})
        raw.delete(desk.key)


def test_a_reading_that_meets_many_has_them_cleared(db: ormis.Database, raw: redis.Redis) -> None:
    """Above a hundred, one call more clears them away: readings without any write keep their speed."""
    add_rooms()
    add_expired(raw, 1500)
    with ormis.capture_calls() as calls:
        assert Room.objects.filter(kind="office").count() == 4
    assert [str(call).split()[0] for call in calls] == ["query", "clear_expired"]
    assert raw.zcard("ro_room/expiry") < 1000
    while Room.objects.count() == 4 and raw.zcard("ro_room/expiry") > 100:
        pass
    with ormis.capture_calls() as calls:
        assert Room.objects.filter(kind="office").count() == 4
    assert len(calls) == 1


async def test_the_same_async(db: ormis.Database, raw: redis.Redis) -> None:
    """The same by async code."""
    await asyncio.to_thread(add_rooms)
    await asyncio.to_thread(add_expired, raw, 300)
    with ormis.capture_calls() as calls:
        assert await Room.objects.filter(kind="office").acount() == 4
    assert len(calls) == 2
    assert raw.zcard("ro_room/expiry") == 0


def test_clearing_that_is_refused_is_no_error(db: ormis.Database, raw: redis.Redis) -> None:
    """A server that takes no writes is read all the same."""
    add_rooms()
    add_expired(raw, 300)
    raw.config_set("maxmemory", "1")
    try:
        assert Room.objects.filter(kind="office").count() == 4
        assert [room.pk for room in Room.objects.order_by("floor")] == [1, 2, 3, 4]
    finally:
        raw.config_set("maxmemory", "0")


def test_few_expired_objects_do_not_slow_a_count(db: ormis.Database, raw: redis.Redis) -> None:
    """A count by an index stays one: what has expired is subtracted, not looked for among all others."""
    Room.objects.bulk_create([Room(name=f"r{i}", floor=i % 10) for i in range(5000)])
    add_expired(raw, 50)
    with ormis.capture_calls() as calls:
        assert Room.objects.filter(floor__lt=5).count() == 2500
        assert Room.objects.count() == 5000
    assert len(calls) == 2


# The scripts themselves ----------------------------------------------------------------------------------------------


def test_scripts_that_read_have_no_library_that_writes() -> None:
    """A reading script holds no code of lua/write, and nothing that clears."""
    folder = Path(ormis.__file__).parent / "lua"
    for name in ("query", "link_members"):
        assert script(name).reads
        texts, waiting = {}, [name]
        while waiting:
            path = waiting.pop()
            if path not in texts:
                texts[path] = (folder / f"{path.replace('.', '/')}.lua").read_text()
                waiting += re.findall(r"require\('([\w.]+)'\)", texts[path])
        assert not [
            path for path in texts if path.startswith("write.") or path in ("expiry.cleanup", "expiry.clearing")
        ]
    for name in ("commit", "change", "get_or_create", "reserve_keys", "reindex", "clear_expired", "check"):
        assert not script(name).reads


def test_a_replica_answers_readings(server_kind: str) -> None:
    """A read-only replica answers every reading, with many expired objects, too."""
    with (
        start_server(server_kind, "--repl-diskless-sync-delay", "0", tcp=True) as primary,
        start_server(server_kind, "--replicaof", "127.0.0.1", str(primary.port)) as replica,
        ormis.connect(primary.url) as db,
        primary.client() as raw,
        replica.client() as there,
    ):
        add_rooms()
        before = {name: read() for name, read in READINGS.items()}
        add_expired(raw, 300)
        assert raw.zcard("ro_room/expiry") > 100
        deadline = time.monotonic() + 20
        while there.dbsize() != raw.dbsize() or there.zcard("ro_room/expiry") != raw.zcard("ro_room/expiry"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        with ormis.connect(replica.url):
            assert {name: read() for name, read in READINGS.items()} == before
        assert there.zcard("ro_room/expiry") == raw.zcard("ro_room/expiry")
        assert db.client.dbsize() == raw.dbsize()
