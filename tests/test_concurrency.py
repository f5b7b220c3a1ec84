"""One database for threads, cancelled tasks and forked processes. No call gets the reply of another call."""

import asyncio
import os
import random
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

import ormis
from forking import in_child_of_c
from ormis import F, Field
from ormis.calls import Command
from servers import Server


class Thing(ormis.Model):
    """Its number is in every field, so that a mixed-up reply shows."""

    number: int = Field(default=0, index=True)
    name: str = Field(default="", index=True)
    count: int = 0

    class Meta:
        key = "many_thing"


def things(count: int) -> None:
    """Stores the things 1 to `count`."""
    Thing.objects.bulk_create([Thing(number=n, name=f"name {n}") for n in range(1, count + 1)])


def is_whole(thing: Thing) -> bool:
    """Whether all fields belong to one thing."""
    return thing.id == thing.number and thing.name == f"name {thing.number}"


def in_child(work: Callable[[], object]) -> Callable[[], bool]:
    """Starts the work in a forked child; the returned function waits for it and says whether it succeeded."""
    child = os.fork()
    if child:
        return lambda: os.waitpid(child, 0)[1] == 0
    signal.alarm(20)  # a hanging child is an error, not an endless test
    try:
        work()
        os._exit(0)
    finally:
        os._exit(1)


def test_32_threads(db: ormis.Database) -> None:
    """They get their own objects, count exactly, and leave no connection in use."""
    things(32)

    def work(number: int) -> None:
        dice = random.Random(number)
        for _ in range(20):
            n = dice.randint(1, 32)
            assert is_whole(Thing.get(n))
            assert Thing.get(n).id == n
            assert [t.id for t in Thing.objects.filter(name=f"name {n}")] == [n]
            mine = Thing.get(number)
            mine.count = F("count") + 1
            mine.save()
            common = Thing(id=1)
            common.count = F("count") + 1
            common.save(update_fields=["count"])

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(work, range(1, 33)))
    assert {t.id: t.count for t in Thing.objects.all()} == {1: 20 + 32 * 20} | dict.fromkeys(range(2, 33), 20)
    used: Any = db.client.connection_pool
    assert not used._in_use_connections
    assert len(used._available_connections) <= 33


@pytest.mark.single_server("looks at the connections of one server")
async def test_500_tasks_some_of_them_cancelled(db: ormis.Database) -> None:
    """Tasks are cancelled at any point: the others get their own replies, and every connection returns to the pool."""
    await Thing.objects.abulk_create([Thing(number=n, name=f"name {n}") for n in range(1, 51)])
    dice = random.Random(5)
    counted = [0]

    async def work(number: int) -> None:
        thing = await Thing.aget(number % 50 + 1)
        assert is_whole(thing)
        assert thing.id == number % 50 + 1
        thing.count = F("count") + 1
        await thing.asave()
        counted[0] += 1
        assert [t.id async for t in Thing.objects.filter(name=thing.name)] == [thing.id]

    for _ in range(3):
        tasks = [asyncio.create_task(work(n)) for n in range(500)]
        while not all(task.done() for task in tasks):
            await asyncio.sleep(dice.random() * 0.02)
            for task in dice.sample(tasks, 10):
                task.cancel()
                if dice.random() < 0.3:
                    asyncio.get_running_loop().call_soon(task.cancel)
        for task in tasks:
            if not task.cancelled():
                task.result()
    pool: Any = db.aclient.connection_pool
    assert not pool._in_use_connections
    assert await asyncio.gather(*(Thing.objects.acount() for _ in range(200))) == [50] * 200
    total = sum([t.count async for t in Thing.objects.all()])
    assert counted[0] <= total <= 1500


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_children(db: ormis.Database) -> None:
    """A database used before the fork works after it, in parent and child, with threads too."""
    things(5)
    with ormis.capture_calls():
        assert is_whole(Thing.get(1))

    def count() -> None:
        for _ in range(25):
            own = Thing.get(1)
            assert is_whole(own)
            own.count = F("count") + 1
            own.save()

    def with_threads() -> None:
        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(count) for _ in range(4)]:
                done.result()

    children = [in_child(with_threads) for _ in range(3)]
    with_threads()
    assert [child() for child in children] == [True] * 3
    assert Thing.get(1).count == 400


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_while_threads_are_at_work(db: ormis.Database) -> None:
    """A fork during other threads' calls: the child has its own connections and idempotency slots."""
    things(2)
    done = threading.Event()

    def count() -> int:
        votes = 0
        while not done.is_set():
            own = Thing(id=1)
            own.count = F("count") + 1
            own.save(update_fields=["count"])
            votes += 1
        return votes

    def child() -> None:
        for _ in range(20):
            own = Thing(id=2)
            own.count = F("count") + 1
            own.save(update_fields=["count"])

    with ThreadPoolExecutor(4) as pool:
        work = [pool.submit(count) for _ in range(4)]
        try:
            assert [in_child(child)() for _ in range(10)] == [True] * 10
        finally:
            done.set()
        votes = sum(one.result() for one in work)
    assert {t.id: t.count for t in Thing.objects.all()} == {1: votes, 2: 200}


CLIENTS: dict[str, Callable[[Server], dict[str, Any]]] = {
    "url": lambda server: {"url": server.url},
    "client": lambda server: {"client": server.client()},
    "blocking pool": lambda server: {
        "client": redis.Redis.from_pool(
            redis.BlockingConnectionPool(connection_class=redis.UnixDomainSocketConnection, path=server.socket)
        )
    },
    "one connection": lambda server: {"client": server.client(single_connection_client=True)},
}


@pytest.mark.parametrize("kind", CLIENTS)
def test_forked_by_c_code(raw: redis.Redis, server: Server, kind: str) -> None:
    """Workers forked without Python's hooks, with each kind of client: no write is lost, no connection is shared."""
    with ormis.connect(**CLIENTS[kind](server)) as db:
        things(1)

        def work() -> None:
            for _ in range(20):
                own = Thing.get(1)
                assert is_whole(own)
                own.count = F("count") + 1
                own.save()
            raw_id = db.run(connection_id())
            Thing(number=raw_id, name="connection").save()

        work()
        children = [in_child_of_c(work) for _ in range(3)]
        work()
        assert [child() for child in children] == [True] * 3
        assert Thing.get(1).count == 5 * 20
        used = Thing.objects.filter(name="connection").values_list("number", flat=True)
        assert len(set(used)) == 4  # the parent used its own twice


def connection_id() -> Any:
    """An operation: the number of the connection that it uses."""
    return (yield Command(("CLIENT", "ID"), key=0))


@pytest.mark.single_server("looks at the connections of one server")
def test_forked_by_c_code_while_threads_hold_locks(db: ormis.Database) -> None:
    """The locks of a pool that other threads of the parent held at the fork are not in the way."""
    things(1)
    held, ended = threading.Event(), threading.Event()
    pool: Any = db.client.connection_pool

    def hold() -> None:
        with pool._lock, pool._fork_lock:
            held.set()
            ended.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        assert in_child_of_c(lambda: (Thing.get(1).save(), db.client.ping()))()
    finally:
        ended.set()
        thread.join()
    assert is_whole(Thing.get(1))


def test_an_event_loop_of_before_a_fork_by_c_code(db: ormis.Database) -> None:
    """A child that goes on with an event loop of its parent has connections of its own."""
    things(1)
    with asyncio.Runner() as runner:

        async def count() -> int:
            thing = await Thing.aget(1)
            thing.count = F("count") + 1
            await thing.asave()
            return await db.arun(connection_id())

        own = runner.run(count())

        def child() -> None:
            assert runner.run(count()) != own

        assert in_child_of_c(child)()
        assert runner.run(count()) == own
    assert Thing.get(1).count == 3


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_async_code_in_a_forked_child(db: ormis.Database) -> None:
    """The child has its own event loop and its own clients."""
    things(1)

    async def count() -> None:
        for _ in range(5):
            thing = await Thing.aget(1)
            thing.count = F("count") + 1
            await thing.asave()

    asyncio.run(count())
    assert in_child(lambda: asyncio.run(count()))()
    asyncio.run(count())
    assert Thing.get(1).count == 15


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_an_embedded_server_outlives_a_child() -> None:
    """A child that ends, with or without closing, does not stop the parent's server."""
    with ormis.connect("embedded://") as db:
        things(1)
        assert in_child(lambda: Thing.get(1))()
        assert in_child(db.close)()
        assert is_whole(Thing.get(1))


def test_an_interrupt_in_the_middle_of_a_call(db: ormis.Database, server: Server) -> None:
    """Ctrl-C while a call waits for its reply: the connection is closed, the next call gets its own reply."""
    things(3)
    main = threading.main_thread().ident
    assert main is not None
    os.kill(server.process.pid, signal.SIGSTOP)
    timers = [
        threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGINT)),
        threading.Timer(0.2, os.kill, (server.process.pid, signal.SIGCONT)),
    ]
    try:
        for timer in timers:
            timer.start()
        with pytest.raises(KeyboardInterrupt):
            Thing.get(1)
    finally:
        for timer in timers:
            timer.join()
    assert is_whole(Thing.get(2))
    assert is_whole(Thing.get(3))


def test_a_client_of_one_connection(raw: redis.Redis, server: Server) -> None:
    """A client with a single connection works for several threads, one after another."""
    with server.client(single_connection_client=True) as client, ormis.connect(client=client):
        things(8)

        def work(number: int) -> None:
            for _ in range(20):
                own = Thing.get(number)
                assert is_whole(own)
                own.count = F("count") + 1
                own.save()

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(1, 9)))
        assert [t.count for t in Thing.objects.all()] == [20] * 8


@pytest.mark.parametrize("turns", range(1, 15))
async def test_a_cancellation_while_connecting_is_not_lost(url: str, raw: Any, turns: int) -> None:
    """A task that is cancelled at any turn of its first call, the connecting included, ends as cancelled."""
    reached = asyncio.Event()

    async def work() -> None:
        await Thing.objects.acount()
        reached.set()
        await asyncio.sleep(60)

    with ormis.connect(url):
        task = asyncio.create_task(work())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=10)
        task.cancel()
        assert done == {task}
        assert task.cancelled()
        assert await Thing.objects.acount() == 0
