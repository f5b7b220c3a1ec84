"""Readers, writers of this process and of others, while the connection that brings the news is killed again and again.

Each reader compares with its own past: a check against the last value of another thread would see nothing.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack
from threading import Event, Thread
from typing import Any

import pytest
import redis

import ormis
from caching import Town, caching, kept, until, warm
from ormis import F
from ormis.caching.cache import Cache
from ormis.caching.loads import Load, Loads
from ormis.caching.rows import Room, Rows
from proxy import Proxy
from servers import Server

pytestmark = pytest.mark.single_server("connect(cache=) is not there yet on a cluster")

KEYS = (1, 2, 3)


class Torture:
    """One run; `faults` lists what is wrong, at most one for each reader."""

    def __init__(self, database: ormis.Database, raw: redis.Redis, kill_every: float | None) -> None:
        self.database = database
        self.raw = raw
        self.kill_every = kill_every
        self.faults: list[str] = []
        self.reads = 0
        self.errors: list[BaseException] = []
        self.ended = False

    def run(self, seconds: float) -> list[str]:
        """Lets all of them work, then looks at what is kept when nobody writes any more."""
        works = [self.read, self.read, self.read_async, self.read_in_bulk, self.write, self.write, self.write_elsewhere]
        threads = [Thread(target=self.guarded, args=(work,)) for work in (*works, self.kill)]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        self.ended = True
        for thread in threads:
            thread.join()
        assert not self.errors, self.errors
        self.look_at_rest()
        return self.faults

    def guarded(self, work: Callable[[], None]) -> None:
        """Notes an error, which would be lost with its thread."""
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - it is raised where the threads are joined
            self.errors.append(error)
            self.ended = True

    def read(self) -> None:
        """Reads by key."""
        past = dict.fromkeys(KEYS, 0)
        while not self.ended:
            for key in KEYS:
                self.compare(past, key, Town.get(key).size)

    def read_async(self) -> None:
        """Reads by key in an event loop, several at once."""
        past = dict.fromkeys(KEYS, 0)

        async def main() -> None:
            while not self.ended:
                for key, town in zip(KEYS, await asyncio.gather(*map(Town.aget, KEYS)), strict=True):
                    self.compare(past, key, town.size)

        asyncio.run(main())

    def read_in_bulk(self) -> None:
        """Reads by in_bulk() and by refresh_from_db()."""
        past = dict.fromkeys(KEYS, 0)
        while not self.ended:
            for key, town in Town.objects.in_bulk(KEYS).items():
                self.compare(past, key, town.size)
                town.refresh_from_db()
                self.compare(past, key, town.size)

    def compare(self, past: dict[int, int], key: int, size: int) -> None:
        """A reader is given a value."""
        self.reads += 1
        if size < past[key]:
            self.faults.append(f"{key} went back from {past[key]} to {size}")
        past[key] = max(past[key], size)

    def write(self) -> None:
        """Writes by this database, and reads what it has written."""
        while not self.ended:
            for key in KEYS:
                town = Town.get(key)
                town.size = F("size") + 1
                town.save()
                seen = Town.get(key).size
                if seen < town.size:
                    self.faults.append(f"{key} was written as {town.size} and read as {seen}")
            time.sleep(0.002)

    def write_elsewhere(self) -> None:
        """Writes as another program."""
        while not self.ended:
            for key in KEYS:
                self.raw.hincrby(f"cache_town:{key}", "size", 1)
            time.sleep(0.003)

    def kill(self) -> None:
        """Kills the connections of listeners."""
        while not self.ended and self.kill_every is not None:
            time.sleep(self.kill_every)
            for client in self.raw.client_list():
                if "t" in client["flags"]:
                    self.raw.client_kill_filter(_id=client["id"])

    def look_at_rest(self) -> None:
        """When all news has come, what is read is what is stored."""
        self.database.client.ping()
        time.sleep(0.3)
        for key in KEYS:
            stored = int(self.raw.hget(f"cache_town:{key}", "size") or -1)
            for _ in range(3):
                seen = Town.get(key).size
                if seen != stored:
                    self.faults.append(f"{key} is {stored} at rest and read as {seen}")


def torture(
    raw: redis.Redis, server: Server, url: str, seconds: float, kill_every: float | None = 0.1, late: float = 0.0
) -> list[str]:
    """The faults of a run. late: seconds by which news comes late."""
    with ExitStack() as stack:
        if late:
            proxy = stack.enter_context(Proxy(server.socket))
            proxy.late = late
            url = url.replace(server.socket, proxy.socket)
        database = stack.enter_context(caching(url))
        Town.objects.bulk_create([Town(id=key, name="x", size=1) for key in KEYS])
        run = Torture(database, raw, kill_every)
        faults = run.run(seconds)
        assert run.reads > 50
        assert database.cache.stats().hits > 0
        Town.objects.all().delete()
        return faults


@pytest.mark.parametrize("late", [0.0, 0.005])
def test_no_value_goes_back(raw: redis.Redis, server: Server, url: str, late: float) -> None:
    """However often the listener is killed: no reader sees an older value, every writer its own write, and at rest
    memory is what is stored.
    """
    assert torture(raw, server, url, 1.5, late=late) == []


@pytest.mark.slow
@pytest.mark.parametrize("late", [0.0, 0.005])
def test_no_value_goes_back_for_long(raw: redis.Redis, server: Server, url: str, late: float) -> None:
    """The same for half a minute."""
    assert torture(raw, server, url, 30, late=late) == []


def own_writes_drop_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Own writes are left to the news of the server."""
    monkeypatch.setattr(Cache, "drop", lambda self, written: None)


def overtaken_loads_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A load keeps its row whatever happened meanwhile."""
    end = Loads.end

    def always(self: Loads, load: Load, row: Any) -> bool:
        end(self, load, row)
        return row is not None

    monkeypatch.setattr(Loads, "end", always)


def a_lost_connection_drops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was kept before the connection was lost is served when there is another."""

    def lose(self: Room) -> None:
        self.good_until = -1.0
        for rows in self.models:
            rows.watched = False

    monkeypatch.setattr(Room, "lose", lose)


def loads_are_noted_while_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that are read while there is no connection are kept, too."""
    begin = Rows.begin

    def noted(self: Rows, text: str) -> Load:
        load = begin(self, text)
        load.watched = True
        return load

    monkeypatch.setattr(Rows, "begin", noted)


@pytest.mark.parametrize("without", [own_writes_drop_nothing, overtaken_loads_are_kept])
def test_rules_of_writes_and_loads_are_needed(
    raw: redis.Redis,
    server: Server,
    url: str,
    without: Callable[[pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without one of these rules the same run finds faults, in one of some runs at the latest."""
    without(monkeypatch)
    assert any(torture(raw, server, url, 1.5, late=0.005 if run % 2 == 0 else 0.0) for run in range(8))


def lost_and_found(raw: redis.Redis, url: str) -> list[str]:
    """What is wrong after the connection was lost for a while, in which others wrote before and after a read."""
    with caching(url) as database:
        Town.objects.bulk_create([Town(id=key, name="x", size=1) for key in (1, 2)])
        warm(database, lambda: Town.get(1), lambda: Town.get(2))
        listener = database.cache._listener
        assert listener is not None
        gate, connect = Event(), listener._connect

        def connect_later() -> Any:
            gate.wait()
            return connect()

        listener._connect = connect_later
        for client in raw.client_list():
            if "t" in client["flags"]:
                raw.client_kill_filter(_id=client["id"])
        until(lambda: not kept(database, Town).watched)
        raw.hset("cache_town:1", "size", 2)
        Town.get(2)
        raw.hset("cache_town:2", "size", 2)
        gate.set()
        until(lambda: kept(database, Town).watched)
        found = {key: Town.get(key).size for key in (1, 2)}
        return [f"{key} is read as {size}" for key, size in found.items() if size != 2]


def test_writes_while_nobody_listened(raw: redis.Redis, url: str) -> None:
    """What was kept before the connection was lost, or read while there was none, is not served after."""
    assert lost_and_found(raw, url) == []


@pytest.mark.parametrize("without", [a_lost_connection_drops_nothing, loads_are_noted_while_nobody_listens])
def test_rules_of_a_lost_connection_are_needed(
    raw: redis.Redis, url: str, without: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one of these rules it is."""
    without(monkeypatch)
    assert lost_and_found(raw, url)


def test_news_that_comes_in_a_flood(raw: redis.Redis, url: str) -> None:
    """Many keys in one write, and many writes at once: all of it is heard of."""
    with caching(url, 4000) as database:
        Town.objects.bulk_create([Town(name=str(i)) for i in range(1000)])
        until(lambda: Town.objects.in_bulk(range(1, 1001)) and database.cache.stats().objects >= 1000)
        with raw.pipeline(transaction=True) as pipe:
            for i in range(1, 1001):
                pipe.hset(f"cache_town:{i}", "size", i)
            pipe.execute()
        until(lambda: all(town.size == key for key, town in Town.objects.in_bulk(range(1, 1001)).items()))
