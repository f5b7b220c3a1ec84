"""Servers that die, stop, run out of memory, refuse writes or fail over: a clear error or none; no partial write."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

import ormis
from ormis import CASCADE, F, Field, ForeignKey
from servers import Server, find_binary, free_port, start_server


class Team(ormis.Model):
    """The target of the players' foreign key."""

    name: str = Field(unique=True)

    class Meta:
        key = "fault_team"


class Player(ormis.Model):
    """Has every kind of index, a unique field and a foreign key."""

    name: str = Field(index="sorted")
    nick: str | None = Field(default=None, unique=True)
    team: ForeignKey[Team | None] = ForeignKey(on_delete=CASCADE)
    points: int = Field(default=0, index=True)
    level: str = Field(default="new", index=True)
    note: str = ""

    class Meta:
        key = "fault_player"


class Count(ormis.Model):
    """Supports the fast path."""

    number: int = Field(default=0, index=True)
    plain: int = 0
    text: str = ""

    class Meta:
        key = "fault_count"


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory with a short name, in which a server can be restarted."""
    directory = Path(tempfile.mkdtemp(prefix="ormis-test-"))
    yield directory
    shutil.rmtree(directory)


AT_ONCE = ("--repl-diskless-sync-delay", "0")  # a replica does not wait for others


def patient(server: Server, **options: Any) -> redis.Redis:
    """A client that retries while a server is away."""
    return server.client(retry=Retry(ConstantBackoff(0.05), 200), max_connections=64, **options)


def dump(client: redis.Redis) -> dict[bytes, Any]:
    """All stored data of the models."""
    return {key: client.dump(key) for key in sorted(client.scan_iter()) if not key.startswith(b"ormis/")}


def sound(db: ormis.Database) -> bool:
    """Whether check() has no findings."""
    return not list(ormis.check(db).findings)


# Killed and started again --------------------------------------------------------------------------------------------


def test_killed_at_any_moment(server_kind: str, home: Path) -> None:
    """Kill -9 under load, with `appendfsync always`: every acknowledged write is stored; all writes are complete."""
    durable = ("--appendonly", "yes", "--appendfsync", "always")
    acknowledged: list[tuple[int, int]] = []
    for run in range(3):
        with (
            start_server(server_kind, *durable, directory=home) as server,
            server.client(retry=Retry(ConstantBackoff(0), 0)) as client,
            ormis.connect(client=client) as db,
        ):
            assert sound(db)
            for pk, points in acknowledged:
                assert Player.get(pk).points == points
            stop = threading.Timer(0.15 + 0.1 * run, server.kill)
            with ThreadPoolExecutor(4) as pool:
                stop.start()
                for saved in pool.map(_write_until_it_breaks, range(4)):
                    acknowledged += saved
            stop.join()
    with start_server(server_kind, *durable, directory=home) as server, ormis.connect(server.url) as db:
        assert sound(db)
        assert {p.id: p.points for p in Player.objects.all()}.items() >= set(acknowledged)
    assert len(acknowledged) > 20


def _write_until_it_breaks(number: int) -> list[tuple[int, int]]:
    saved: list[tuple[int, int]] = []
    with suppress(redis.ConnectionError):
        while True:
            new = [Player(name=f"n{number}", nick=f"{os.urandom(8).hex()}", points=turn) for turn in range(3)]
            Player.objects.bulk_create(new)
            player = new[0]
            player.points, player.level = 1000, "old"
            player.save()
            saved += [(player.pk, player.points) for player in new]
    return saved


def test_restarted_while_connected(server_kind: str, home: Path) -> None:
    """Clients continue when the server is back, sync and async, also threads in the middle of a call."""
    settings = ("--appendonly", "yes", "--appendfsync", "always")
    with start_server(server_kind, *settings, directory=home) as server:
        client = patient(server)
        db = ormis.connect(client=client)
        Count().save()
        counting = threading.Event()

        def count() -> None:
            for turn in range(40):
                own = Count(id=1)
                own.number = F("number") + 1
                own.save(update_fields=["number"])
                if turn == 5:
                    counting.set()

        pool = ThreadPoolExecutor(4)
        work = [pool.submit(count) for _ in range(4)]
        assert counting.wait(10)
        server.kill()
    with start_server(server_kind, *settings, directory=home):
        for one in work:
            one.result()
        pool.shutdown()
        assert Count.get(1).number == 160
        assert sound(db)
        assert asyncio.run(_acount(db)) == 1
        db.close()
        client.close()


async def _acount(db: ormis.Database) -> int:
    found = await Count.objects.acount()
    await db.aclose()
    return found


def test_scripts_are_flushed_under_load(db: ormis.Database, raw: redis.Redis) -> None:
    """SCRIPT FLUSH at any time causes no error: the client sends the script again."""
    Count().save()
    done = threading.Event()

    def flush() -> None:
        while not done.is_set():
            raw.script_flush()

    def count(_: int) -> None:
        for _ in range(50):
            own = Count.get(1)
            own.number = F("number") + 1
            own.save()
            assert Count.objects.filter(number__gte=1).count() == 1

    with ThreadPoolExecutor(5) as pool:
        flushing = pool.submit(flush)
        try:
            list(pool.map(count, range(4)))
        finally:
            done.set()
        flushing.result()
    assert Count.get(1).number == 200


# No memory, no writing -----------------------------------------------------------------------------------------------

Writes = dict[str, Callable[[], Any]]

WRITES: Writes = {
    "short insert": lambda: Count(number=5).save(),
    "short update": lambda: _changed(Count.get(1), number=9),
    "short update without an index": lambda: _changed(Count.get(1), plain=9),
    "short sum": lambda: _changed(Count.get(1), number=F("number") + 1),
    "short sum without an index": lambda: _changed(Count.get(1), plain=F("plain") + 1),
    "many": lambda: Count.objects.bulk_create([Count(number=n) for n in range(10)]),
    "insert": lambda: Player(name="new", nick="new", team=1).save(),
    "update": lambda: _changed(Player.get(1), name="renamed", nick="other", points=7),
    "set to nothing": lambda: _changed(Player.get(1), nick=None, team=None),
    "several": lambda: Player.objects.bulk_create([Player(name="x", team=1), Player(name="y", team=1)]),
    "a block": lambda: _block(),
}


# These begin with a command that frees memory, so the server executes them completely.
FREEING = ("update", "set to nothing")


def _changed(record: Any, **values: Any) -> Any:
    for name, value in values.items():
        setattr(record, name, value)
    return record.save()


def _block() -> None:
    with ormis.atomic():
        Player.get(1).delete()
        Team(name="new").save()
        _changed(Count.get(1), number=3)


def _fill() -> None:
    Count(text="x").save()
    player = Player(name="first", nick="first", team=Team(name="team").save()).save()
    assert player.pk == 1


def test_no_memory_left(server_kind: str) -> None:
    """At maxmemory a write that needs memory raises redis-py's own error, and nothing has changed. Deleting works."""
    with start_server(server_kind) as server, server.client() as raw, ormis.connect(server.url) as db:
        _fill()
        before = dump(raw)
        raw.config_set("maxmemory", 1)
        for name, write in WRITES.items():
            if name not in FREEING:
                with pytest.raises(redis.exceptions.OutOfMemoryError):
                    write()
                assert dump(raw) == before, name
        for name in FREEING:
            WRITES[name]()
            assert sound(db)
        assert Team.get(1).delete() == (1, {"Team": 1})
        raw.config_set("maxmemory", 0)
        Count.objects.bulk_create([Count(number=n) for n in range(10)])
        assert Count.objects.count() == 11
        assert sound(db)


def test_memory_runs_out_under_load(server_kind: str) -> None:
    """A real limit, reached by 4 writers: each call is complete or an error, and check() finds nothing."""
    with start_server(server_kind) as server, server.client() as raw, ormis.connect(server.url) as db:
        raw.config_set("maxmemory", raw.info("memory")["used_memory"] + 8_000_000)

        def fill(number: int) -> int:
            stored = 0
            with suppress(redis.exceptions.OutOfMemoryError):
                while True:
                    Player.objects.bulk_create(
                        [Player(name=f"{number}", nick=f"{number}-{stored + n}", note="x" * 5000) for n in range(7)]
                    )
                    stored += 7
            return stored

        with ThreadPoolExecutor(4) as pool:
            stored = sum(pool.map(fill, range(4)))
        raw.config_set("maxmemory", 0)
        assert Player.objects.count() == stored > 100
        assert sound(db)


def test_a_read_only_replica(server_kind: str) -> None:
    """Reads work; every write raises redis-py's ReadOnlyError, and nothing has changed."""
    with start_server(server_kind, *AT_ONCE, tcp=True) as master, ormis.connect(master.url):
        _fill()
        with (
            start_server(server_kind, "--replicaof", "127.0.0.1", str(master.port)) as replica,
            replica.client() as raw,
            ormis.connect(replica.url) as db,
        ):
            _wait_for(lambda: raw.info("replication")["master_link_status"] == "up")
            before = dump(raw)
            assert Player.objects.filter(name__startswith="f").get().team.name == "team"
            for name, write in WRITES.items():
                with pytest.raises(redis.ReadOnlyError):
                    write()
                assert dump(raw) == before, name
            with pytest.raises(redis.ReadOnlyError):
                Player.get(1).delete()
            with pytest.raises(ormis.UniqueViolation):
                Player(name="new", nick="first").save()
            assert sound(db)


def _wait_for(holds: Callable[[], Any], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def test_the_disk_is_full(server_kind: str, home: Path) -> None:
    """The server refuses writes because it can't save: redis-py's own error, and nothing has changed."""
    with (
        start_server(server_kind, directory=home) as server,
        server.client() as raw,
        ormis.connect(server.url),
    ):
        _fill()
        before = dump(raw)
        raw.config_set("save", "3600 1")
        (home / "dump.rdb").mkdir()
        with suppress(redis.ResponseError):
            raw.bgsave()
        _wait_for(lambda: raw.info("persistence")["rdb_last_bgsave_status"] == "err")
        for name, write in WRITES.items():
            with pytest.raises(redis.ResponseError, match="MISCONF"):
                write()
            assert dump(raw) == before, name
        server.kill()  # on SIGTERM it would try to save


# Slow ----------------------------------------------------------------------------------------------------------------


@contextmanager
def stopped(server: Server) -> Iterator[None]:
    """The server process is stopped; requests wait in its sockets."""
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


def test_a_server_that_stops_for_a_while(server_kind: str) -> None:
    """The client times out and sends the call again, and the server then reads both: applied once."""
    with (
        start_server(server_kind) as server,
        patient(server, socket_timeout=0.1, socket_connect_timeout=0.1) as client,
        ormis.connect(client=client),
    ):
        count = Count().save()
        for turn in range(1, 4):
            count.number = F("number") + 1
            with stopped(server):
                waker = threading.Timer(0.25, os.kill, (server.process.pid, signal.SIGCONT))
                waker.start()
                count.save()
                waker.join()
            assert count.number == turn
        assert [c.number for c in Count.objects.all()] == [3]


def test_a_time_out_is_redis_pys_own(server_kind: str) -> None:
    """Without retries the time-out is raised; the next call on the connection gets its own reply."""
    with start_server(server_kind) as server:
        impatient = server.client(socket_timeout=0.1, retry=Retry(ConstantBackoff(0), 0))
        with impatient as client, ormis.connect(client=client):
            first, second = Count(text="first").save(), Count(text="second").save()
            with stopped(server):
                first.number = F("number") + 1
                with pytest.raises(redis.TimeoutError):
                    first.save()
            second.number = F("number") + 7
            assert second.save().number == 7
            assert Count.get(1).text == "first"


# Another master ------------------------------------------------------------------------------------------------------


@contextmanager
def watched(kind: str, master: Server, home: Path) -> Iterator[int]:
    """A sentinel that promotes the replica of this server if the server is away for 300 ms."""
    port = free_port()
    (home / "sentinel.conf").write_text(
        f"port {port}\nbind 127.0.0.1\nsentinel monitor mine 127.0.0.1 {master.port} 1\n"
        "sentinel down-after-milliseconds mine 300\nsentinel failover-timeout mine 2000\n"
    )
    command = [find_binary(kind), home / "sentinel.conf", "--sentinel"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            _wait_for(lambda: _answers(port))
            yield port
        finally:
            process.kill()


def _answers(port: int) -> bool:
    with suppress(redis.ConnectionError), redis.Redis(port=port) as client:
        replicas = client.execute_command("SENTINEL", "REPLICAS", "mine")
        return bool(replicas)
    return False


@pytest.mark.slow
def test_failover_by_sentinel(server_kind: str, home: Path) -> None:
    """The master dies, the replica takes over: clients repeat their calls there; each counts once on its data."""
    with (
        start_server(server_kind, *AT_ONCE, tcp=True) as master,
        start_server(server_kind, "--replicaof", "127.0.0.1", str(master.port), tcp=True) as replica,
        replica.client() as raw,
    ):
        _wait_for(lambda: raw.info("replication")["master_link_status"] == "up")
        with (
            watched(server_kind, master, home) as port,
            ormis.connect(f"redis+sentinel://127.0.0.1:{port}/mine") as db,
        ):
            db.client.set_retry(Retry(ConstantBackoff(0.1), 100))
            count = Count().save()
            for _ in range(50):
                count.number = F("number") + 1
                count.save()
            assert db.client.wait(1, 2000) == 1
            master.kill()
            for turn in range(51, 101):
                count.number = F("number") + 1
                assert count.save().number == turn
            assert raw.hget("fault_count:1", "number") == b"100"
            assert sound(db)
