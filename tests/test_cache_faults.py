"""The cache when something goes wrong: news that comes late or never, servers and processes that stand still, forks."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import redis

import ormis
from caching import Country, Street, Town, caching, hits, kept, until, warm
from forking import in_child_of_c
from ormis import capture_calls
from ormis.caching.clock import clock
from proxy import Proxy
from servers import Server, start_server
from test_connections import sentinel
from tls import tls

pytestmark = pytest.mark.single_server("connect(cache=) is not there yet on a cluster")


def listeners(raw: redis.Redis) -> list[dict[str, Any]]:
    """The connections that are told of changes."""
    return [client for client in raw.client_list() if "t" in client["flags"]]


def test_old_values_are_served_within_the_bound_only(raw: redis.Redis, server: Server, url: str) -> None:
    """While the news is held back the old value may be served; a read that begins the bound after the write gives the
    new one, and asks for it.
    """
    with Proxy(server.socket) as proxy, caching(url.replace(server.socket, proxy.socket), cache_bound=0.5) as database:
        Town(name="x", size=1).save()
        for size in range(2, 5):
            warm(database, lambda: Town.get(1))
            proxy.news.clear()
            raw.hset("cache_town:1", "size", size)
            written = clock()
            while True:
                began = clock()
                seen = Town.get(1).size
                assert seen == size or began < written + 0.5
                if began > written + 0.6:
                    break
            proxy.news.set()


def test_news_that_is_late(raw: redis.Redis, server: Server, url: str) -> None:
    """News that comes 100 ms late makes reads that much older, and none wrong for good."""
    with Proxy(server.socket) as proxy, caching(url.replace(server.socket, proxy.socket)) as database:
        Town(name="x", size=1).save()
        warm(database, lambda: Town.get(1))
        proxy.late = 0.1
        for size in range(2, 6):
            raw.hset("cache_town:1", "size", size)
            until(lambda size=size: Town.get(1).size == size)


def test_a_connection_that_is_cut_again_and_again(raw: redis.Redis, server: Server, url: str) -> None:
    """Cut at any byte of the handshake, of the news, of a sign of life: what is read is what is stored."""
    with Proxy(server.socket) as proxy, caching(url.replace(server.socket, proxy.socket), cache_bound=0.2) as database:
        Town(name="x", size=1).save()
        for size in range(2, 30):
            proxy.cut("reply", size * 7 % 60)
            raw.hset("cache_town:1", "size", size)
            until(lambda size=size: Town.get(1).size == size)
        warm(database, lambda: Town.get(1))


def test_tls(raw: redis.Redis, server: Server, prefix: str, tmp_path: Path) -> None:
    """The news of changed keys come over TLS, too, on a connection that is replaced when it is killed."""
    with tls(server, tmp_path) as (port, certificate):
        url = f"rediss://localhost:{port}/0?ssl_ca_certs={certificate}"
        with caching(url, prefix=prefix) as database:
            Town(name="x", size=1).save()
            for size in (2, 3, 4):
                warm(database, lambda: Town.get(1))
                raw.hset("cache_town:1", "size", size)
                until(lambda size=size: Town.get(1).size == size)
                raw.client_kill_filter(_type="normal", skipme=True)
                raw.client_kill_filter(_type="pubsub", skipme=True)


def test_a_server_that_stands_still(server_kind: str) -> None:
    """Hits go on for no longer than the bound; after that reads wait, as they would without a cache."""
    with start_server(server_kind) as server, caching(server.url, cache_bound=0.5) as database:
        Town(name="x", size=1).save()
        warm(database, lambda: Town.get(1))
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            stopped, last = clock(), 0.0
            while clock() < stopped + 0.8:
                row = database.cached_row(Town._schema(), 1)
                last = clock() if row is not None else last
            assert last < stopped + 0.5 + 0.2  # the time that a look takes on a busy machine
            assert not is_served(database)
            waits = Thread(target=lambda: Town.get(1))
            waits.start()
            waits.join(0.2)
            assert waits.is_alive()
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
        waits.join(20)
        warm(database, lambda: Town.get(1))


def is_served(database: ormis.Database) -> bool:
    """Whether the town would be served from memory now."""
    return database.cached_row(Town._schema(), 1) is not None


READER = """
import sys
sys.path[:0] = [{tests!r}]
import ormis
from caching import Town, warm
from ormis.caching.clock import clock
with ormis.connect({url!r}, cache=10, cache_bound=0.5) as database:
    warm(database, lambda: Town.get(1))
    print("warm", flush=True)
    while True:
        began = clock()
        size = Town.get(1).size
        print(began, size, flush=True)
        if size == 99:
            break
"""


def test_a_process_that_stands_still(raw: redis.Redis, url: str) -> None:
    """A process that was stopped for longer than the bound gives no old value when it goes on."""
    with ormis.connect(url):
        Town(name="x", size=1).save()
        program = READER.format(tests=str(Path(__file__).parent), url=url)
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "warm\n"
            for size in (2, 3, 99):
                os.kill(process.pid, signal.SIGSTOP)
                raw.hset("cache_town:1", "size", size)
                written = clock()
                time.sleep(0.8)
                os.kill(process.pid, signal.SIGCONT)
                for line in process.stdout:
                    began, seen = line.split()
                    assert int(seen) == size or float(began) < written + 0.5
                    if int(seen) == size:
                        break
            assert process.wait(20) == 0


@pytest.mark.parametrize("how", ["PEXPIREAT", "expire", "expire before it is read"])
def test_nothing_is_served_past_its_expiry(raw: redis.Redis, url: str, how: str) -> None:
    """A read that begins after the millisecond in which an object ends does not give it, however it was set to end."""
    with caching(url) as database:
        served = 0
        for pk in range(1, 16):
            town = Town(id=pk, name="x").save()
            if how == "expire before it is read":
                raw.pexpire(f"cache_town:{pk}", 40 + pk)
            else:
                warm(database, lambda pk=pk: Town.get(pk))
            if how == "expire":
                town.expire(0.04)
            elif how == "PEXPIREAT":
                raw.pexpireat(f"cache_town:{pk}", int(1000 * time.time()) + 40 + pk)
                until(lambda pk=pk: kept(database, Town).find(pk) is None)  # a change that is to be heard of
            left = raw.pttl(f"cache_town:{pk}")
            ends = 1000 * time.time() + max(left, 0)  # late by the time of a call at most
            before = hits(database)
            while True:
                began = 1000 * time.time()
                try:
                    Town.get(pk)
                except Town.DoesNotExist:
                    break
                assert began <= ends + 1  # the server's own time is in whole milliseconds
            served += hits(database) - before
        assert served > 0


def test_an_expiry_by_meta(raw: redis.Redis, url: str) -> None:
    """Objects of a model with Meta.ttl are served while they live, and are gone with the end of it."""

    class Note(ormis.Model):
        text: str = ""

        class Meta:
            key = "cache_note"
            cache = True
            ttl = 0.15

    with caching(url) as database:

        def is_served() -> bool:
            note, before = Note().save(), hits(database)
            with pytest.raises(Note.DoesNotExist):
                while True:
                    Note.get(note.pk)
            return hits(database) > before

        until(is_served)
        assert Note.objects.count() == 0


# Processes, threads, loops -------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_a_cache_of_its_own(raw: redis.Redis, url: str) -> None:
    """The child drops what the parent kept and listens by a connection of its own; each hears of the other's writes."""
    with caching(url) as database:
        Town(name="x", size=1).save()
        warm(database, lambda: Town.get(1))
        assert len(listeners(raw)) == 1
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os._exit(_child(database, writing))
        assert os.waitpid(child, 0)[1] == 0
        assert json.loads(os.read(reading, 1000)) == {"kept": 0, "own": 7, "listeners": 2}
        until(lambda: Town.get(1).size == 7)
        warm(database, lambda: Town.get(1))
        until(lambda: len(listeners(raw)) == 1)
        os.close(reading)
        os.close(writing)


def _child(database: ormis.Database, pipe: int) -> int:
    try:
        report: dict[str, int] = {"kept": database.cache.stats().objects}
        warm(database, lambda: Town.get(1))
        town = Town.get(1)
        town.size = 7
        town.save()
        report["own"] = Town.get(1).size
        warm(database, lambda: Town.get(1))
        report["listeners"] = len([one for one in database.client.client_list() if "t" in one["flags"]])
        os.write(pipe, json.dumps(report).encode())
    except BaseException:  # noqa: BLE001 - the parent sees that there is no report
        return 1
    return 0


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_while_the_lock_is_held(raw: redis.Redis, url: str) -> None:
    """A child made while another thread changes the cache does not wait for that thread, which it does not have."""
    with caching(url) as database:
        Town(name="x", size=1).save()
        warm(database, lambda: Town.get(1))
        with database.cache._room.lock:
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                warm(database, lambda: Town.get(1))
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0


def test_a_fork_by_c_code(raw: redis.Redis, url: str) -> None:
    """A child forked without the hooks of Python, while another thread held the lock, begins to listen by itself."""
    with caching(url, cache_bound=0.3) as database:
        Town(name="x", size=1).save()
        warm(database, lambda: Town.get(1))

        def work() -> None:
            town = Town.get(1)
            town.size += 1
            town.save()
            assert Town.get(1).size == town.size
            warm(database, lambda: Town.get(1))
            until(lambda: len([one for one in database.client.client_list() if "t" in one["flags"]]) == 2, "two listen")

        assert in_child_of_c(work)()
        with database.cache._room.lock:
            child = in_child_of_c(work)
        assert child()
        until(lambda: Town.get(1).size == 3)


def test_threads_and_loops_share_a_cache(raw: redis.Redis, url: str) -> None:
    """What one of them has read, the others have from memory; a second loop as the first."""
    with caching(url) as database:
        Country(code="cz", name="a").save()
        warm(database, lambda: Country.get("cz"))

        async def read() -> tuple[str, int]:
            with capture_calls() as calls:
                return (await Country.aget("cz")).name, len(calls)

        results: list[Any] = []
        for _ in range(2):
            assert asyncio.run(read()) == ("a", 0)
            thread = Thread(target=lambda: results.append(asyncio.run(read())))
            thread.start()
            thread.join()
        assert results == [("a", 0)] * 2
        assert len(listeners(raw)) == 1


async def test_a_cancelled_load_is_none(raw: redis.Redis, url: str) -> None:
    """Loads that were cancelled leave nothing behind, and others keep their rows."""
    with caching(url) as database:
        await Town(name="x").asave()
        warm(database, lambda: Town.get(1))
        for _ in range(50):
            database.cache.clear()
            tasks = [asyncio.create_task(Town.aget(1)) for _ in range(4)]
            await asyncio.sleep(0)
            for task in tasks[:3]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        assert kept(database, Town).loads == {}
        warm(database, lambda: Town.get(1))
        await database.aclose()


def test_a_load_that_fails_is_none(raw: redis.Redis, url: str) -> None:
    """A key of another type, or a text that does not convert, is the error that it is without a cache."""
    with caching(url) as database:
        Town(name="x").save()
        warm(database, lambda: Town.get(1))
        raw.set("cache_town:2", "text")
        raw.hset("cache_town:3", mapping={"id": "3", "name": "x", "size": "many"})
        for pk in (2, 3):
            with pytest.raises(ormis.StoredDataError):
                Town.get(pk)
            with pytest.raises(ormis.StoredDataError):
                Town.objects.in_bulk([1, pk])
        assert kept(database, Town).loads == {}


# Connections ---------------------------------------------------------------------------------------------------------


def test_nothing_listens_before_the_first_read_and_after_the_end(raw: redis.Redis, url: str) -> None:
    """The connection is made with the first read of a cached model, and is gone when the database is closed."""
    with caching(url) as database:
        Town(name="x").save()
        assert listeners(raw) == []
        warm(database, lambda: Town.get(1))
        assert len(listeners(raw)) == 1
    until(lambda: listeners(raw) == [])


async def test_closing_from_async_code(raw: redis.Redis, url: str) -> None:
    """aclose() ends it as close() does."""
    database = ormis.connect(url, cache=10)
    await Town(name="x").asave()
    warm(database, lambda: Town.get(1))
    await database.aclose()
    until(lambda: listeners(raw) == [])


def test_a_forgotten_database_listens_no_more(raw: redis.Redis, url: str) -> None:
    """A database that nobody holds any more ends its thread when it is collected."""
    import gc

    database = ormis.connect(url, cache=10)
    Town(name="x").save(using=database)
    warm(database, lambda: Town.objects.using(database).get(pk=1))
    database.cache.close()  # what collecting does; the clients themselves are closed below
    gc.collect()
    until(lambda: listeners(raw) == [])
    database.close()


@pytest.mark.parametrize("kind", ["sync", "async", "decoding"])
def test_clients_of_the_user(raw: redis.Redis, server: Server, prefix: str, kind: str) -> None:
    """A given client, sync or async, one that decodes replies too: the listener has a connection like its own."""
    given: Any = (
        redis.asyncio.Redis(unix_socket_path=server.socket)
        if kind == "async"
        else redis.Redis(unix_socket_path=server.socket, decode_responses=kind == "decoding", protocol=2)
    )
    with ormis.connect(client=given, prefix=prefix, cache=10) as database:
        Town(name="x", size=1).save()
        warm(database, lambda: Town.get(1))
        raw.hset("cache_town:1", "size", 2)
        until(lambda: Town.get(1).size == 2)
    if kind == "async":
        asyncio.run(given.aclose())
    else:
        given.close()


def test_an_embedded_server() -> None:
    """The cache of an embedded database listens, and ends, as any other."""
    with ormis.connect("embedded://", cache=10) as database:
        Town(name="x", size=1).save()
        warm(database, lambda: Town.get(1))
        database.client.hset("cache_town:1", "size", 2)
        until(lambda: Town.get(1).size == 2)


def test_a_server_with_a_password_over_tcp(server_kind: str) -> None:
    """The listener logs in as calls do."""
    with (
        start_server(server_kind, "--requirepass", "secret", tcp=True) as server,
        caching(server.tcp_url.replace("/0", "/3")) as database,
    ):
        Town(name="x", size=1).save()
        warm(database, lambda: Town.get(1))
        database.client.hset("cache_town:1", "size", 2)
        until(lambda: Town.get(1).size == 2)


def test_a_server_that_is_restarted(server_kind: str, tmp_path: Path) -> None:
    """What another server at the same address holds is read, and kept."""
    with start_server(server_kind, directory=tmp_path) as server, caching(server.url, cache_bound=0.5) as database:
        Town(name="x", size=1).save()
        warm(database, lambda: Town.get(1))
        server.kill()
        with start_server(server_kind, directory=tmp_path) as again, again.client() as other:
            other.hset("cache_town:1", mapping={"id": "1", "name": "new"})
            until(lambda: Town.get(1).name == "new")
            warm(database, lambda: Town.get(1))


def test_a_user_who_may_not_track(server_kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """The cache stays off with one warning; every read asks the server."""
    with start_server(server_kind) as server:
        with server.client() as admin:
            admin.execute_command("ACL", "SETUSER", "limited", "on", ">pw", "~*", "+@all", "-client")
        with caching(server.url.replace("unix://", "unix://limited:pw@")) as database:
            Town(name="x").save()
            until(lambda: Town.get(1) and database.cache.stats().refused)
            for _ in range(20):
                with capture_calls() as calls:
                    Town.get(1)
                    Town.objects.in_bulk([1])
                assert len(calls) == 2
            assert "NOPERM" in database.cache.stats().refused.upper() or "permission" in database.cache.stats().refused
            assert str(database.cache.stats()).startswith("0 of 1,000 objects")
    assert [record.levelname for record in caplog.records if record.name == "ormis"] == ["WARNING"]


def test_a_user_who_may_not_ask_for_lifetimes(server_kind: str) -> None:
    """Rows whose lifetime is not known are not kept."""
    with start_server(server_kind) as server:
        with server.client() as admin:
            admin.execute_command("ACL", "SETUSER", "limited", "on", ">pw", "~*", "+@all")
        with caching(server.url.replace("unix://", "unix://limited:pw@")) as database:
            Town(name="x").save()
            warm(database, lambda: Town.get(1))
            with server.client() as admin:
                admin.execute_command("ACL", "SETUSER", "limited", "-pttl")
            database.cache.clear()
            for _ in range(3):
                assert Town.get(1).name == "x"
            assert database.cache.stats().objects == 0


def test_a_failover(server_kind: str, tmp_path: Path) -> None:
    """After sentinels name another server, what is kept of the old one is dropped and the new one is listened to."""
    with (
        start_server(server_kind, "--repl-diskless-sync-delay", "0", tcp=True) as old,
        start_server(server_kind, tcp=True) as new,
        new.client() as there,
    ):
        there.replicaof("127.0.0.1", str(old.port))
        with sentinel(old, tmp_path) as port, redis.Redis(port=port, password="watch", decode_responses=True) as watch:
            # It asks every 10 s otherwise, and tells the old master after 8 s that it is one no more.
            watch.execute_command("SENTINEL", "DEBUG", "INFO-PERIOD", 100, "PUBLISH-PERIOD", 100)
            url = f"redis+sentinel://127.0.0.1:{port}/mine?sentinel_password=watch"
            with caching(url, cache_bound=0.5) as database:
                Town(name="x", size=1).save()
                warm(database, lambda: Town.get(1))
                until(lambda: there.hget("cache_town:1", "size") == b"1")
                until(lambda: watch.sentinel_slaves("mine"))
                until(lambda: _failed_over(watch, new))
                until(lambda: there.info("replication")["role"] == "master")
                there.hset("cache_town:1", "size", 2)
                until(lambda: Town.get(1, fresh=True).size == 2)
                until(lambda: Town.get(1).size == 2)
                warm(database, lambda: Town.get(1))
                there.hset("cache_town:1", "size", 3)
                until(lambda: Town.get(1).size == 3)


def _failed_over(watch: Any, new: Server) -> bool:
    try:
        watch.execute_command("SENTINEL", "FAILOVER", "mine")
    except redis.ResponseError:  # it is under way, or the replica is not known yet
        time.sleep(0.1)
    return watch.sentinel_get_master_addr_by_name("mine") == ("127.0.0.1", new.port)


def test_models_that_are_used_later_are_listened_for(raw: redis.Redis, url: str) -> None:
    """A model that is read long after the first is kept as well, and heard of."""
    with caching(url) as database:
        Town(name="x").save()
        warm(database, lambda: Town.get(1))
        Street(town=1, name="a").save()
        warm(database, lambda: Street.get(1))
        assert len(listeners(raw)) == 1
        raw.hset("cache_street:1", "name", "b")
        until(lambda: Street.get(1).name == "b")
