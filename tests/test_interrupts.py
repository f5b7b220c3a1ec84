"""Calls that are interrupted: 0 wrong answers, 0 lost places. The connection of such a call is closed, never reused."""

import asyncio
import random
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
import redis
import redis.asyncio

import ormis
from interrupting import Interrupt, interrupts
from ormis import F
from servers import Server


class Poll(ormis.Model):
    """Its title is its id, so that the reply of another call shows."""

    title: str = ""
    votes: int = 0

    class Meta:
        key = "interrupted_poll"


class OwnClient(redis.Redis):
    """A client of a class of one's own."""


def pooled(pool_class: type[Any], server: Server, **options: Any) -> redis.Redis:
    pool = pool_class(connection_class=redis.UnixDomainSocketConnection, path=server.socket, **options)
    return redis.Redis.from_pool(pool)


CLIENTS: dict[str, Callable[[Server], dict[str, Any]]] = {
    "url": lambda server: {"url": f"{server.url}?max_connections=2"},
    "client": lambda server: {"client": server.client(max_connections=2)},
    "pool": lambda server: {"client": pooled(redis.ConnectionPool, server, max_connections=2)},
    "blocking pool": lambda server: {
        "client": pooled(redis.BlockingConnectionPool, server, max_connections=2, timeout=1)
    },
    "one connection": lambda server: {"client": server.client(single_connection_client=True)},
    "subclass": lambda server: {"client": OwnClient(unix_socket_path=server.socket, max_connections=2)},
}


def check_under_interrupts(db: ormis.Database, count: int) -> None:
    """Interrupts this many calls at random moments: the others are answered right, at once and afterwards."""
    Poll.objects.bulk_create([Poll(title=str(number)) for number in range(1, 51)])
    dice, seen, done = random.Random(count), list[int](), Counter[str]()

    def read() -> None:
        number = dice.randint(2, 50)
        poll = Poll.get(number)
        assert (poll.id, poll.title) == (number, str(number))

    def vote() -> None:
        poll = Poll(id=1)
        poll.votes = F("votes") + 1
        poll.save(update_fields=["votes"])
        seen.append(poll.votes)

    begin = time.perf_counter()
    for _ in range(50):
        read()
        vote()
    usual = (time.perf_counter() - begin) / 100
    while done["interrupted"] < count:
        try:
            with interrupts() as interrupt_after:
                # A call after an interrupt connects anew, which takes several times as long.
                interrupt_after(dice.uniform(1e-6, usual * dice.choice((1.3, 12))))
                dice.choice((read, vote))()
            done["answered"] += 1
        except Interrupt:
            done["interrupted"] += 1
    for _ in range(5):
        read()
        vote()
    assert done["answered"]
    assert len(seen) == len(set(seen))
    assert len(seen) <= Poll.get(1).votes <= len(seen) + count


def check_places(db: ormis.Database) -> None:
    """All places of the pool are free, for redis-py as well."""
    pool: Any = db.client.connection_pool
    if db.client.connection is not None:
        return
    assert not pool._get_in_use_connections()
    taken = [pool.get_connection() for _ in range(2)]
    for connection in taken:
        pool.release(connection)


@pytest.mark.parametrize("kind", CLIENTS)
def test_interrupts_at_random_moments(
    raw: redis.Redis, server: Server, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A signal's exception in the middle of calls, with each kind of client."""
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)  # interrupts inside of destructors
    with ormis.connect(**CLIENTS[kind](server)) as db:
        check_under_interrupts(db, 300)
        check_places(db)


@pytest.mark.slow
@pytest.mark.parametrize("kind", CLIENTS)
def test_20000_interrupts_at_random_moments(
    raw: redis.Redis, server: Server, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The same for long."""
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    with ormis.connect(**CLIENTS[kind](server)) as db:
        check_under_interrupts(db, 20_000)
        check_places(db)


@pytest.mark.single_server("looks at the connections of one server")
@pytest.mark.parametrize("kind", CLIENTS)
def test_the_reply_of_an_interrupted_call_comes_late(raw: redis.Redis, server: Server, kind: str) -> None:
    """An interrupt between a command and its reply, of a slow server: the next call waits for its own reply."""
    with ormis.connect(**CLIENTS[kind](server)):
        Poll.objects.bulk_create([Poll(title="1"), Poll(title="2")])
        Poll.get(1)

        def interrupt(*_: object) -> None:
            raise Interrupt

        raw.execute_command("CLIENT", "PAUSE", 300, "ALL")
        before = signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        try:
            with pytest.raises(Interrupt):
                Poll.get(1)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert Poll.get(2).title == "2"
        assert Poll.get(1).title == "1"


@pytest.mark.single_server("looks at the connections of one server")
def test_interrupted_commands_of_the_client(
    db: ormis.Database, raw: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command by `db.client` that is interrupted before its reply does not give that reply to a call of ormis."""
    Poll(title="1").save()
    raw.set("other", "wrong")
    read, armed = redis.UnixDomainSocketConnection.read_response, [True]

    def interrupted(self: Any, *args: Any, **options: Any) -> Any:
        if armed and armed.pop():
            raise Interrupt
        return read(self, *args, **options)

    db.client.ping()
    raw.execute_command("CLIENT", "PAUSE", 200, "ALL")
    monkeypatch.setattr(redis.UnixDomainSocketConnection, "read_response", interrupted)
    with pytest.raises(Interrupt):
        db.client.get("other")
    assert Poll.get(1).title == "1"


@pytest.mark.parametrize("pool_class", [redis.ConnectionPool, redis.BlockingConnectionPool, None])
def test_no_place_is_lost_while_connecting(monkeypatch: pytest.MonkeyPatch, pool_class: type[Any] | None) -> None:
    """A server that accepts and never answers: each call ends by the time limit of its caller, also the tenth."""
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)  # interrupts inside of destructors
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        if pool_class is None:
            given: Any = {"url": f"redis://127.0.0.1:{port}/0?max_connections=3"}
        else:
            pool = pool_class(host="127.0.0.1", port=port, max_connections=3)
            given = {"client": redis.Redis.from_pool(pool)}
        with ormis.connect(**given):
            for _ in range(10):
                with pytest.raises(Interrupt), interrupts() as interrupt_after:
                    interrupt_after(0.02)
                    Poll.get(1)


@pytest.mark.single_server("looks at the connections of one server")
def test_an_interrupted_handshake_is_begun_again(
    raw: redis.Redis, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that was interrupted before its SELECT is not used for another database."""
    with ormis.connect(f"{server.url}?db=3&max_connections=1") as db:
        select, armed = redis.UnixDomainSocketConnection.send_command, [True]

        def interrupted(self: Any, *args: Any, **options: Any) -> None:
            if args[0] == "SELECT" and armed and armed.pop():
                raise Interrupt
            select(self, *args, **options)

        monkeypatch.setattr(redis.UnixDomainSocketConnection, "send_command", interrupted)
        with pytest.raises(Interrupt):
            Poll(title="1").save()
        Poll(title="1").save()
        assert Poll.objects.count() == 1
        assert raw.dbsize() == 0
        db.client.flushdb()


@pytest.mark.parametrize("pool_class", [redis.asyncio.ConnectionPool, redis.asyncio.BlockingConnectionPool, None])
async def test_cancelled_tasks_on_few_connections(
    raw: redis.Redis, server: Server, pool_class: type[Any] | None
) -> None:
    """Tasks that wait for one of two connections are cancelled at random: nothing is lost, nobody waits for ever."""
    if pool_class is None:
        given: Any = {"url": f"{server.url}?max_connections=2&timeout=30"}
    else:
        options = {"timeout": 30} if pool_class is redis.asyncio.BlockingConnectionPool else {}
        path = {"connection_class": redis.asyncio.UnixDomainSocketConnection, "path": server.socket}
        given = {"client": redis.asyncio.Redis.from_pool(pool_class(max_connections=2, **path, **options))}
    limit = asyncio.Semaphore(2 if pool_class is redis.asyncio.ConnectionPool else 100)
    dice = random.Random(3)
    async with ormis.connect(**given) as db:
        await Poll.objects.abulk_create([Poll(title=str(number)) for number in range(1, 51)])

        async def read(number: int) -> None:
            async with limit:
                assert (await Poll.aget(number)).title == str(number)

        for _ in range(5):
            tasks = [asyncio.create_task(read(n % 50 + 1)) for n in range(100)]
            while not all(task.done() for task in tasks):
                await asyncio.sleep(dice.random() * 0.003)
                for task in dice.sample(tasks, 10):
                    task.cancel()
            for task in tasks:
                if not task.cancelled():
                    task.result()
        pool: Any = db.aclient.connection_pool
        assert not pool._in_use_connections
        await asyncio.gather(*(read(n) for n in range(1, 51)))
        if pool_class is not None:
            await db.aclient.aclose(close_connection_pool=True)


@pytest.mark.single_server("looks at the connections of one server")
@pytest.mark.parametrize("steps", range(1, 12))
async def test_a_call_that_is_dropped(raw: redis.Redis, url: str, steps: int) -> None:
    """A coroutine that is closed where it waits, as by the garbage collector, gives its connection back, closed."""
    async with ormis.connect(url) as db:
        await Poll(title="1").asave()
        pool: Any = db.aclient.connection_pool
        if steps > 6:
            await pool.disconnect()  # so that it is dropped while it connects
        task = asyncio.create_task(Poll.aget(1))
        for _ in range(steps):
            await asyncio.sleep(0)
        call: Any = task.get_coro()
        call.close()
        assert not pool._in_use_connections
        task.cancel()
        await asyncio.wait([task], timeout=5)
        assert task.done()
        assert task.cancelled() or task.exception() is None or isinstance(task.exception(), RuntimeError)
        assert (await Poll.aget(1)).title == "1"


def test_threads_go_on_beside_interrupts(raw: redis.Redis, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other threads share the pool with the thread that is interrupted, and get their own replies."""
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    with ormis.connect(f"{server.url}?max_connections=4") as db:
        Poll.objects.bulk_create([Poll(title=str(number)) for number in range(1, 51)])
        ended, dice = threading.Event(), random.Random(1)

        def work(number: int) -> None:
            while not ended.is_set():
                assert Poll.get(number).title == str(number)

        with ThreadPoolExecutor(2) as threads:
            others = [threads.submit(work, number) for number in (7, 8)]
            for number in range(200):
                with suppress(Interrupt), interrupts() as interrupt_after:
                    interrupt_after(dice.uniform(1e-6, 0.002))
                    assert Poll.get(number % 50 + 1).title == str(number % 50 + 1)
            ended.set()
            for other in others:
                other.result()
        check_places(db)
