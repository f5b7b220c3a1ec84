"""The connection that the async calls of a loop share: nothing is lost, doubled or mixed up, whatever goes wrong."""

import asyncio
import gc
import os
import random
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.backoff import ExponentialWithJitterBackoff

import ormis
from interrupting import Interrupt, interrupts
from ormis import F, Field
from ormis.connections import lane, retries, shared
from ormis.connections.shared import SharedConnection
from ormis.connections.urls import parse
from ormis.drivers import aio
from ormis.errors import UniqueViolation
from proxy import Direction, Proxy, rain
from servers import Server, start_server
from tls import tls

pytestmark = pytest.mark.single_server("looks at the connections of one server")


class Poll(ormis.Model):
    """Its title is its id, so that the reply of another call shows."""

    title: str = ""
    votes: int = 0
    slug: str | None = Field(default=None, unique=True)

    class Meta:
        key = "shared_poll"


async def fill(count: int) -> None:
    await Poll.objects.abulk_create([Poll(title=str(number)) for number in range(1, count + 1)])


async def read(number: int) -> None:
    poll = await Poll.aget(number)
    assert (poll.id, poll.title) == (number, str(number))


async def vote(number: int = 1) -> int:
    """Counts one vote more, without reading before; returns the votes then."""
    poll = Poll(id=number)
    poll.votes = F("votes") + 1
    return (await poll.asave(update_fields=["votes"])).votes


def clients(raw: redis.Redis) -> list[dict[str, Any]]:
    """The connections to the server that are not of `raw`, which may have several."""
    return [client for client in raw.client_list() if client["name"] != "raw"]


def kill(raw: redis.Redis) -> None:
    raw.client_kill_filter(_type="normal", skipme=True)


def shared_of(db: ormis.Database) -> SharedConnection:
    found = db._connections.loop_client.shared
    assert found is not None
    return found


def lane_of(db: ormis.Database) -> Any:
    found = shared_of(db).lane
    assert found is not None
    return found


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries do not wait."""
    monkeypatch.setattr(ExponentialWithJitterBackoff, "compute", lambda *_: 0)


@pytest.fixture(autouse=True)
def _nothing_is_left(frozen_objects: None) -> Iterator[None]:
    """No transport and no connection stays open: the garbage collector would warn."""
    yield
    gc.collect()


# Which calls share it


def test_connections_of_the_plain_client(raw: redis.Redis) -> None:
    """`clients` counts none of `raw`, however many it has."""
    with raw.pipeline() as watching:
        watching.watch("any")
        assert raw.ping()
    assert {client["name"] for client in raw.client_list()} == {"raw"}
    assert not clients(raw)


async def test_all_tasks_share_a_connection(raw: redis.Redis, url: str) -> None:
    """Several hundred calls at once need one connection; `db.aclient` has its own."""
    async with ormis.connect(url) as db:
        await fill(50)
        kill(raw)
        await asyncio.gather(*(read(number % 50 + 1) for number in range(300)), *(vote(3) for _ in range(300)))
        assert len(clients(raw)) == 1
        assert (await Poll.aget(3)).votes == 300
        await db.aclient.ping()
        assert len(clients(raw)) == 2
    assert not clients(raw)


@pytest.mark.parametrize(("text", "shared"), [("no", False), ("off", False), ("0", False), ("yes", True), ("On", True)])
def test_shared_in_a_url(text: str, shared: bool) -> None:
    """`?shared=` takes a yes or a no in the usual spellings."""
    assert parse(f"redis://localhost?shared={text}").shared is shared


def test_another_word_for_shared_is_refused() -> None:
    """A value of `?shared=` that is neither a yes nor a no is an error, not a yes."""
    with pytest.raises(ormis.OrmisError, match=r"shared=maybe: write yes or no"):
        parse("redis://localhost?shared=maybe")


@pytest.mark.parametrize("how", ["argument", "option", "client"])
async def test_not_shared(raw: redis.Redis, server: Server, url: str, how: str) -> None:
    """connect(shared=False), `?shared=no` and a client of one's own: each call takes a connection of the pool."""
    if how == "client":
        given: Any = {"client": redis.asyncio.Redis(unix_socket_path=server.socket)}
    elif how == "option":
        given = {"url": f"{url}{'&' if '?' in url else '?'}shared=no"}
    else:
        given = {"url": url, "shared": False}
    async with ormis.connect(**given) as db:
        assert "shared" not in db.url
        await fill(10)
        await asyncio.gather(*(read(number % 10 + 1) for number in range(50)))
        assert len(clients(raw)) > 5
        assert db._connections.loop_client.shared is None
        await db.aclient.aclose()


@pytest.mark.parametrize(("option", "expected"), [("yes", True), ("1", True), ("False", False), ("0", False)])
def test_the_option_of_the_url(option: str, expected: bool) -> None:
    """?shared= has the words of redis-py's flags; the argument of connect() has the last word."""
    for argument in (None, True, False):
        with ormis.connect(f"redis://host?shared={option}&prefix=a:", shared=argument) as db:
            assert db._connections._settings.shared is (expected if argument is None else argument)
            assert db.url == "redis://host:6379/0?prefix=a:"
    with pytest.raises(TypeError, match=r"connect\(shared='no'\): give True or False"):
        ormis.connect("redis://host", shared="no")  # type: ignore[arg-type]


async def test_large_requests_and_long_readings_use_the_pool(raw: redis.Redis, url: str) -> None:
    """A request of more than 64 KB, and a result that is read in portions, hold up nobody."""
    async with ormis.connect(url) as db:
        await Poll(title="x" * 50_000).asave()
        assert len(clients(raw)) == 1
        await Poll(title="x" * 70_000).asave()
        assert len(clients(raw)) == 2
    async with ormis.connect(url) as db:
        await Poll.objects.abulk_create([Poll(title=str(number)) for number in range(3000)])
        await db.aclient.connection_pool.disconnect()
        assert len(clients(raw)) == 1
        assert len([poll async for poll in Poll.objects.all()]) == 3002
        assert len(clients(raw)) == 2


def test_what_redis_py_has_to_have() -> None:
    """redis-py's private parts that the shared connection is made of, which a new release may rename."""

    async def look(server: Server) -> None:
        async with redis.asyncio.Redis(unix_socket_path=server.socket) as client:
            pool: Any = client.connection_pool
            connection = pool.make_connection()
            await pool.ensure_connection(connection)
            transport, parse_error = shared._parts_of(connection)
            assert isinstance(transport, asyncio.Transport)
            assert isinstance(parse_error("NOSCRIPT x"), redis.exceptions.NoScriptError)
            await connection.disconnect()

    with start_server("valkey") as server:
        asyncio.run(look(server))


async def test_a_redis_py_without_these_parts(raw: redis.Redis, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls take connections of the pool then."""
    monkeypatch.setattr(shared, "_parts_of", lambda _: (None, None))
    async with ormis.connect(url) as db:
        await fill(10)
        await asyncio.gather(*(read(number % 10 + 1) for number in range(50)))
        assert shared_of(db).lane is None
        assert len(clients(raw)) > 5


class Maintained:
    """A connection to a server that may announce its maintenance."""

    host = "host"

    def __init__(self, enabled: Any, refuses: bool) -> None:
        self.maint_notifications_config = type("Config", (), {"enabled": enabled})
        self.refuses = refuses
        self.sent: list[tuple[str, ...]] = []

    async def send_command(self, *words: str) -> None:
        self.sent.append(words)

    async def read_response(self) -> bytes:
        if self.refuses:
            raise redis.ResponseError("unknown subcommand")
        return b"OK"


@pytest.mark.parametrize(
    ("enabled", "refuses", "expected"), [("auto", False, True), ("auto", True, False), (False, False, False)]
)
async def test_a_server_that_announces_maintenance(enabled: Any, refuses: bool, expected: bool) -> None:
    """Its messages are for redis-py's own connections: the calls keep these."""
    assert await shared._announces_maintenance(Maintained(enabled, refuses)) is expected


def test_credentials_that_change() -> None:
    """A credential provider authenticates redis-py's own connections anew: the calls keep these."""
    pool = redis.asyncio.ConnectionPool(credential_provider=redis.UsernamePasswordCredentialProvider("a", "b"))
    assert asyncio.run(SharedConnection(pool).ready()) is None


# What goes wrong


async def test_killed_under_200_tasks(raw: redis.Redis, url: str, at_once: None) -> None:
    """The connection is killed again and again: every vote is counted once, no call raises an error."""
    async with ormis.connect(url) as db:
        await fill(1)

        async def work() -> list[int]:
            return [await vote() for _ in range(10)]

        tasks = [asyncio.create_task(work()) for _ in range(200)]
        kills = 0
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0.005)
            if shared_of(db).lane is not None:  # else its handshake would be killed, time and again
                kill(raw)
                kills += 1
        seen = [votes for task in tasks for votes in task.result()]
        assert kills > 3
        assert sorted(seen) == list(range(1, 2001))


async def test_cancelled_calls(raw: redis.Redis, url: str) -> None:
    """A third of the calls is cancelled at any moment: the others are right; a cancelled vote counts once or never."""
    dice = random.Random(7)
    async with ormis.connect(url) as db:
        await fill(50)
        await vote()
        connection = lane_of(db)
        votes: list[int] = [1]
        given_up = 0

        async def voting() -> None:
            votes.append(await vote())

        for _ in range(6):
            calls: list[Callable[[], Awaitable[None]]] = [voting, lambda: read(dice.randint(2, 50))]
            tasks = [asyncio.ensure_future(dice.choice(calls)()) for _ in range(500)]
            pause = 0.0  # at first one turn of the loop, after which no call has its reply
            while not all(task.done() for task in tasks):
                await asyncio.sleep(pause)
                for task in dice.sample(tasks, 20):
                    task.cancel()
                pause = dice.random() * 0.002
            for task in tasks:
                given_up += task.cancelled()
                if not task.cancelled():
                    task.result()
        assert given_up
        assert len(votes) == len(set(votes))
        assert len(votes) <= (await Poll.aget(1)).votes <= len(votes) + given_up
        assert lane_of(db) is connection


async def test_cancelled_before_it_is_sent(raw: redis.Redis, url: str) -> None:
    """A call that was cancelled before its turn of the loop has written it is not sent."""
    async with ormis.connect(url):
        await fill(1)
        first = asyncio.create_task(read(1))
        others = [asyncio.create_task(vote()) for _ in range(lane.FEW - 1)]
        await asyncio.sleep(0)
        for other in others:
            other.cancel()
        await asyncio.gather(first, *others, return_exceptions=True)
        assert (await Poll.aget(1)).votes == 0


async def test_an_error_belongs_to_its_call(raw: redis.Redis, url: str) -> None:
    """One of many unique values is taken: its task alone gets the error. So does one whose key is no hash."""
    async with ormis.connect(url) as db:
        await Poll(slug="7").asave()
        connection = lane_of(db)
        raw.set(f"{db.prefix}shared_poll:1000", "no hash")
        saves = [Poll(slug=str(number)).asave() for number in range(20)]
        outcomes = await asyncio.gather(*saves, Poll.aget(1000), return_exceptions=True)
        assert isinstance(outcomes.pop(), ormis.StoredDataError)
        assert isinstance(outcomes.pop(7), UniqueViolation)
        assert all(isinstance(outcome, Poll) for outcome in outcomes)
        assert lane_of(db) is connection


def test_a_server_that_stands_still(server_kind: str, at_once: None) -> None:
    """For longer than the time-out: all calls are repeated, each vote counts once."""

    async def work(server: Server) -> None:
        async with ormis.connect(f"{server.url}?socket_timeout=0.2"):
            await fill(1)
            os.kill(server.process.pid, signal.SIGSTOP)
            tasks = [asyncio.create_task(vote()) for _ in range(100)]
            await asyncio.sleep(0.7)
            assert not any(task.done() for task in tasks)
            os.kill(server.process.pid, signal.SIGCONT)
            assert sorted(await asyncio.gather(*tasks)) == list(range(1, 101))

    with start_server(server_kind) as server:
        asyncio.run(work(server))


def test_a_server_that_does_not_come_back(server_kind: str, monkeypatch: pytest.MonkeyPatch, at_once: None) -> None:
    """Every call raises redis-py's error, its own one, and none is left waiting."""
    monkeypatch.setattr(retries, "RETRIED_FOR", 0.2)

    async def work(server: Server) -> None:
        async with ormis.connect(f"{server.url}?socket_timeout=0.1&socket_connect_timeout=0.1"):
            await fill(1)
            server.kill()
            outcomes = await asyncio.wait_for(asyncio.gather(*(vote() for _ in range(50)), return_exceptions=True), 30)
            assert all(isinstance(outcome, redis.ConnectionError) for outcome in outcomes)
            assert len({id(outcome) for outcome in outcomes}) == 50

    with start_server(server_kind) as server:
        asyncio.run(work(server))


@contextmanager
def mute() -> Iterator[tuple[int, Counter[str]]]:
    """A server that answers the handshake and nothing else; what it has read is counted."""
    seen = Counter[str]()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve(accepted: socket.socket) -> None:
            with accepted, suppress(OSError):
                while data := accepted.recv(65536):
                    seen["hmget"] += data.count(b"HMGET")
                    for word in (b"HELLO", b"SETINFO", b"MAINT_NOTIFICATIONS"):
                        accepted.sendall(data.count(word) * (b"-ERR no\r\n" if word[0] == 77 else b"+OK\r\n"))

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listening.getsockname()[1], seen
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_retries_end_as_those_of_the_pool(monkeypatch: pytest.MonkeyPatch, at_once: None) -> None:
    """A server that answers a handshake and no call: a call is sent as often over the shared connection as over one of
    the pool, by the time since it was begun.
    """
    monkeypatch.setattr(retries, "RETRIED_FOR", 0.55)
    sent: dict[bool, int] = {}
    for is_shared in (True, False):
        with mute() as (port, seen):
            for module in (aio, retries):  # a clock that a busy machine does not put forward
                monkeypatch.setattr(module, "monotonic", lambda seen=seen: seen["hmget"] / 10)

            async def work(url: str, is_shared: bool) -> None:
                async with ormis.connect(url, shared=is_shared) as db:
                    db._checked = True
                    with pytest.raises(redis.TimeoutError):
                        await Poll.aget(1)

            asyncio.run(work(f"redis://127.0.0.1:{port}/0?socket_timeout=0.1&socket_connect_timeout=0.1", is_shared))
            sent[is_shared] = seen["hmget"]
    assert 3 <= sent[True] <= sent[False] + 1 <= sent[True] + 2  # on a busy machine one more or less


async def test_a_call_that_joins_an_opening(tmp_path: Path, at_once: None) -> None:
    """A call that comes while the connection is being opened has all of its tries, not those that are left."""
    async with ormis.connect(f"unix://{tmp_path}/socket") as db:
        found = shared_of(db)
        tried = 0
        open_, held = found._open, asyncio.Event()

        async def counted() -> Any:
            nonlocal tried
            tried += 1
            await held.wait()
            return await open_()

        found._open = counted  # type: ignore[method-assign]
        first = asyncio.create_task(vote())
        await asyncio.sleep(0.01)
        second = asyncio.create_task(vote())
        await asyncio.sleep(0.01)
        assert tried == 1
        held.set()
        outcomes = await asyncio.gather(first, second, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [redis.ConnectionError] * 2
        assert tried == 2


async def test_cut_at_every_byte(raw: redis.Redis, server: Server, prefix: str, at_once: None) -> None:
    """Cut after each byte of the request and of the reply of a vote: it counts once, and so do those beside it."""
    with Proxy(server.socket) as proxy:
        async with ormis.connect(f"unix://{proxy.socket}", prefix=prefix):
            await fill(1)
            assert await vote() == 1
            before = dict(proxy.passed)
            assert await vote() == 2
            lengths = {direction: proxy.passed[direction] - before[direction] for direction in before}
            votes = 2
            directions: tuple[Direction, ...] = ("request", "reply")
            for direction in directions:
                for after in range(0, lengths[direction] + 1, 1 if direction == "reply" else 3):
                    proxy.cut(direction, after)
                    beside = 3 if after % 2 else 0
                    seen = await asyncio.gather(*(vote() for _ in range(1 + beside)))
                    assert sorted(seen) == list(range(votes + 1, votes + 2 + beside)), (direction, after)
                    votes += 1 + beside
            assert (await Poll.aget(1)).votes == votes


async def test_bad_weather(raw: redis.Redis, server: Server, prefix: str, at_once: None) -> None:
    """A tenth of the writes is cut somewhere, under 300 tasks."""
    with Proxy(server.socket) as proxy:
        proxy.weather = rain(0.1, seed=2)
        async with ormis.connect(f"unix://{proxy.socket}", prefix=prefix):
            await fill(20)

            async def work(number: int) -> list[int]:
                await read(number % 19 + 2)
                return [await vote() for _ in range(5)]

            seen = [votes for work_ in await asyncio.gather(*map(work, range(300))) for votes in work_]
            assert sorted(seen) == list(range(1, 1501))
            proxy.weather = None


async def test_scripts_that_the_server_does_not_know(raw: redis.Redis, url: str) -> None:
    """Of many calls at once the first sends the text; the others wait for it and send theirs again."""
    async with ormis.connect(url):
        await fill(1)
        raw.script_flush()
        raw.config_resetstat()
        assert sorted(await asyncio.gather(*(vote() for _ in range(200)))) == list(range(1, 201))
        stats = raw.info("commandstats")
        assert stats["cmdstat_eval"]["calls"] == 1


async def test_the_call_that_sends_the_text_is_cancelled(raw: redis.Redis, url: str) -> None:
    """The others do not wait for ever."""
    async with ormis.connect(url):
        await fill(1)
        for turns in range(12):
            raw.script_flush()
            first = asyncio.create_task(vote())
            others = [asyncio.create_task(vote()) for _ in range(20)]
            for _ in range(turns):
                await asyncio.sleep(0)
            first.cancel()
            await asyncio.wait([first], timeout=5)
            seen = await asyncio.wait_for(asyncio.gather(*others), 5)
            assert len(set(seen)) == 20


async def test_a_busy_server_is_waited_for(server_kind: str, at_once: None) -> None:
    """BUSY replies, of a server that somebody's script holds, are repeated as time-outs are."""
    with start_server(server_kind) as server, server.client() as raw:
        raw.config_set("busy-reply-threshold" if server.version >= (7,) else "lua-time-limit", 20)
        async with ormis.connect(server.url) as db:
            await fill(1)
            shared_of(db).retry._backoff.compute = lambda _: 0.05
            shared_of(db).retry._retries = 1000
            script = "local i = 0 while i < 30000000 do i = i + 1 end return i"
            held = asyncio.create_task(asyncio.to_thread(lambda: server.client().eval(script, 0)))
            await asyncio.sleep(0.1)
            assert await asyncio.gather(*(vote() for _ in range(5))) == [1, 2, 3, 4, 5]
            await held


def wait_for_replica(raw: redis.Redis) -> None:
    while raw.info("replication")["master_link_status"] != "up":
        time.sleep(0.01)


def test_a_master_that_is_one_no_more(server_kind: str, at_once: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A READONLY reply: the sentinels are asked again, and the calls repeated at the new master."""

    async def work(old: Server, new: Server) -> None:
        masters = [old.port]
        async with ormis.connect("redis+sentinel://127.0.0.1:1/mine") as db:
            pool: Any = db.aclient.connection_pool

            async def discover(_: str) -> tuple[str, int]:
                return "127.0.0.1", masters[-1] or 0

            monkeypatch.setattr(pool.sentinel_manager, "discover_master", discover)
            await fill(1)
            with old.client() as raw, new.client() as other:
                other.execute_command("REPLICAOF", "127.0.0.1", old.port)
                wait_for_replica(other)
                raw.wait(1, 5000)
                other.execute_command("REPLICAOF", "NO", "ONE")
                raw.execute_command("REPLICAOF", "127.0.0.1", new.port)
                masters.append(new.port)
                assert sorted(await asyncio.gather(*(vote() for _ in range(30)))) == list(range(1, 31))
                assert int(other.hget("shared_poll:1", "votes") or 0) == 30

    at_once_too = ("--repl-diskless-sync-delay", "0")
    with start_server(server_kind, *at_once_too, tcp=True) as old, start_server(server_kind, tcp=True) as new:
        asyncio.run(work(old, new))


# Loops, processes, closing


def test_loop_after_loop(raw: redis.Redis, url: str) -> None:
    """Each loop has its own connection, closed with it; also loops in threads at the same time."""
    with ormis.connect(url):
        asyncio.run(fill(1))
        for _ in range(3):
            asyncio.run(vote())

        async def many() -> None:
            await asyncio.gather(*(vote() for _ in range(25)))

        threads = [threading.Thread(target=asyncio.run, args=(many(),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert asyncio.run(vote()) == 104
    assert not clients(raw)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked(raw: redis.Redis, url: str) -> None:
    """A child has loops of its own, and so a connection of its own; the parent's goes on."""
    with ormis.connect(url), asyncio.Runner() as runner:
        runner.run(fill(1))
        runner.run(vote())
        child = os.fork()
        if child == 0:
            try:
                os._exit(0 if asyncio.run(vote()) == 2 else 1)
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
        assert runner.run(vote()) == 3


@pytest.mark.parametrize("how", ["aclose", "close"])
async def test_closed_under_calls(raw: redis.Redis, url: str, how: str) -> None:
    """Closing the database ends the calls that are under way with redis-py's error; none hangs, nothing is left."""
    db = ormis.connect(url)
    await fill(1)
    raw.execute_command("CLIENT", "PAUSE", 300, "ALL")
    tasks = [asyncio.create_task(vote()) for _ in range(20)]
    await asyncio.sleep(0.01)
    if how == "aclose":
        await db.aclose()
    else:
        db.close()
    outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
    assert [type(outcome) for outcome in outcomes] == [redis.ConnectionError] * 20
    assert "closed" in str(outcomes[0])
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not clients(raw)


async def test_closed_while_it_is_opened() -> None:
    """The same where the server does not answer the handshake."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        db = ormis.connect(f"redis://127.0.0.1:{silent.getsockname()[1]}")
        tasks = [asyncio.create_task(vote()) for _ in range(20)]
        await asyncio.sleep(0.05)
        await db.aclose()
        outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
        assert [type(outcome) for outcome in outcomes] == [redis.ConnectionError] * 20
        assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("moment", ["opening", "under way"])
def test_a_loop_that_ends_under_calls(raw: redis.Redis, url: str, moment: str) -> None:
    """asyncio.run() ends with calls under way: they are cancelled, nothing hangs, no warning."""

    async def work() -> None:
        if moment == "under way":
            await fill(1)
            raw.execute_command("CLIENT", "PAUSE", 600, "ALL")
        background.extend(asyncio.create_task(vote()) for _ in range(20))
        await asyncio.sleep(0)

    background: list[asyncio.Task[int]] = []
    with ormis.connect(url):
        asyncio.run(asyncio.wait_for(work(), 5))
        assert all(task.cancelled() for task in background)
    assert not clients(raw)


def test_without_any_closing(raw: redis.Redis, url: str) -> None:
    """A database that is forgotten leaves no connection when its loop has ended."""

    async def work() -> None:
        ormis.connect(url)
        await fill(1)
        await asyncio.gather(*(vote() for _ in range(20)))

    asyncio.run(work())
    gc.collect()
    assert not clients(raw)


# Interrupts


def test_interrupts_that_leave_the_loop(raw: redis.Redis, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception of a signal anywhere in a loop that is run again: no call gets the reply of another one."""
    check_interrupts(url, monkeypatch, rounds=50)


def test_bytes_that_an_interrupt_has_swallowed(raw: redis.Redis, url: str) -> None:
    """An interrupt between the reading of bytes and the protocol: the calls that follow get no wrong replies."""

    def swallow(_: bytes) -> None:
        del lane.data_received
        raise Interrupt

    async def many(numbers: range) -> None:
        await asyncio.gather(*(read(number) for number in numbers))

    with ormis.connect(url) as db, asyncio.Runner() as runner:
        loop = runner.get_loop()
        loop.run_until_complete(fill(50))
        lane = runner.run(opened(db))
        lane.data_received = swallow
        background = loop.create_task(many(range(2, 40)))
        with pytest.raises(Interrupt):
            loop.run_until_complete(background)
        loop.run_until_complete(many(range(40, 2, -1)))
        loop.run_until_complete(background)


async def opened(db: ormis.Database) -> Any:
    return lane_of(db)


def check_interrupts(url: str, monkeypatch: pytest.MonkeyPatch, rounds: int) -> int:
    """Interrupts the loop so many times under the calls of 20 tasks; returns how many calls were answered."""
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    dice, interrupted, reads = random.Random(rounds), 0, Counter[str]()
    seen: list[int] = []

    async def work(number: int) -> None:
        while True:
            if number % 2:
                await read(dice.randint(2, 50))
                reads["done"] += 1
            else:
                seen.append(await vote())

    async def begin() -> int:
        """Ends the tasks of the run before; all but those that asyncio itself has lost."""
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        async with asyncio.timeout(20):
            return (await Poll.aget(1)).votes

    async def play(interrupt_after: Callable[[float], None]) -> None:
        await begin()
        tasks = [asyncio.create_task(work(number)) for number in range(20)]
        interrupt_after(dice.uniform(1e-4, 0.02))
        done, _ = await asyncio.wait(tasks, timeout=1, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)
    with ormis.connect(url):
        loop.run_until_complete(fill(50))
        while interrupted < rounds:
            try:
                with interrupts() as interrupt_after:
                    loop.run_until_complete(play(interrupt_after))
            except Interrupt:
                interrupted += 1
        assert len(seen) == len(set(seen))
        assert len(seen) <= loop.run_until_complete(begin()) <= len(seen) + 20 * rounds
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    gc.collect()  # what asyncio has lost warns here, where nobody hears it
    return reads["done"] + len(seen)


# All at once


def check_all_at_once(server: Server, prefix: str, calls: int) -> None:
    """So many calls of 200 tasks, some of them cancelled, over connections that are cut."""
    dice = random.Random(calls)
    seen: list[int] = []
    counts = Counter[str]()

    async def one() -> None:
        if dice.random() < 0.5:
            await read(dice.randint(2, 50))
        else:
            seen.append(await vote())

    async def work() -> None:
        while counts["calls"] < calls:
            counts["calls"] += 1
            if dice.random() < 0.1:
                task = asyncio.create_task(one())
                for _ in range(dice.randint(0, 8)):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait((task,))
                counts["cancelled"] += task.cancelled()
                if not task.cancelled():
                    task.result()
            else:
                await one()

    async def run() -> None:
        with Proxy(server.socket) as proxy:
            async with ormis.connect(f"unix://{proxy.socket}", prefix=prefix):
                await fill(50)
                proxy.weather = rain(0.005, seed=calls)
                await asyncio.gather(*(work() for _ in range(200)))
                proxy.weather = None
                votes = (await Poll.aget(1)).votes
                assert len(seen) == len(set(seen))
                assert len(seen) <= votes <= len(seen) + counts["cancelled"]

    asyncio.run(run())
    assert counts["cancelled"]


def test_all_at_once(raw: redis.Redis, server: Server, prefix: str, at_once: None) -> None:
    """Cancellations and cut connections: no write lost or doubled, no call answered with the reply of another one."""
    check_all_at_once(server, prefix, 8_000)


@pytest.mark.slow
def test_a_million_calls(
    raw: redis.Redis, server: Server, prefix: str, url: str, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same, and interrupts, a million times."""
    calls = check_interrupts(url, monkeypatch, rounds=3000)
    raw.flushdb()
    check_all_at_once(server, prefix, 1_000_000 - min(calls, 300_000))


# TLS, uvloop


async def test_tls(raw: redis.Redis, server: Server, prefix: str, tmp_path: Path, at_once: None) -> None:
    """Over TLS all tasks share a connection as well, which is replaced when it is killed."""
    with tls(server, tmp_path) as (port, certificate):
        url = f"rediss://localhost:{port}/0?ssl_ca_certs={certificate}"
        async with ormis.connect(url, prefix=prefix) as db:
            await fill(20)
            await asyncio.gather(*(read(number % 20 + 1) for number in range(300)))
            assert "SSL" in type(lane_of(db)._transport).__name__
            kill(raw)
            assert sorted(await asyncio.gather(*(vote() for _ in range(100)))) == list(range(1, 101))
            await Poll(title="x" * 60_000).asave()


def test_uvloop(raw: redis.Redis, url: str, at_once: None) -> None:
    """The transports of uvloop take another protocol, too."""
    uvloop: Any = pytest.importorskip("uvloop")

    async def work() -> None:
        async with ormis.connect(url) as db:
            await fill(20)
            await asyncio.gather(*(read(number % 20 + 1) for number in range(300)))
            connection = lane_of(db)
            assert "uvloop" in type(connection._transport).__module__
            tasks = [asyncio.create_task(vote()) for _ in range(200)]
            await asyncio.sleep(0)
            for task in tasks[::3]:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            seen = [outcome for outcome in outcomes if isinstance(outcome, int)]
            assert len(seen) == len(set(seen)) >= 133
            assert lane_of(db) is connection
            kill(raw)
            assert len({*await asyncio.gather(*(vote() for _ in range(50)))}) == 50

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work())
    assert not clients(raw)
