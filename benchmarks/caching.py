"""The cache: reads from memory, reads that fill it, the time until a change is heard of, and what others pay."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from statistics import median, quantiles
from time import perf_counter, sleep
from typing import Any

import ormis
from ormis import Field
from ormis.connecting import make_default

from . import by_hand
from .harness import AsyncLine, Line, Result, Target, Work
from .model import Player, values
from .place import Place


class Cached(ormis.Model):
    """The fields of Player, kept in the process."""

    name: str = Field(index=True)
    status: str = Field(index=True)
    score: int = Field(default=0, index=True)
    email: str
    level: int
    joined: datetime

    class Meta:
        key = "cached"
        cache = True


@contextmanager
def caching(place: Place, objects: int) -> Iterator[ormis.Database]:
    """A database with a cache on the same server; it is the default one meanwhile."""
    with ormis.connect(place.url, cache=objects) as database:
        try:
            yield database
        finally:
            make_default(place.database)


def warm(database: ormis.Database, count: int) -> None:
    """Reads the objects until all of them are kept."""
    deadline = perf_counter() + 10
    while database.cache.stats().objects < count:
        assert perf_counter() < deadline, f"not all objects are kept: {database.cache.stats()}"
        for pk in range(1, count + 1):
            Cached.get(pk)
        sleep(0.01)


class CacheLine(Line):
    """A line with a database that has a cache."""

    @cached_property
    def cached(self) -> ormis.Database:
        """The database with the cache."""
        raise AssertionError("it is set while the line is measured")

    def fill(self) -> None:
        self.place.fill_by_hand(self.operations)
        Cached.objects.bulk_create([Cached(**values(pk)) for pk in range(1, self.operations + 1)])

    def measure(self) -> Result:
        self.prepare()
        with caching(self.place, 4 * self.operations) as self.cached:
            warm(self.cached, self.operations)
            return super().measure()

    def prepare(self) -> None:
        if not self.place.client.exists("cached:1"):
            super().prepare()

    def check(self) -> None:
        stored = self.place.client.hgetall(by_hand.key(1))
        read = by_hand.mapping(1, Cached.get(1).model_dump())
        assert {name: str(value) for name, value in read.items()} == {k.decode(): v.decode() for k, v in stored.items()}


class Hit(CacheLine):
    """One typed object by its key that is kept, against HGETALL as a dict of bytes."""

    name = "cache-hit"
    title = "get() of a kept object / HGETALL as a dict"
    target = Target(0.05)

    def hand(self) -> Work:
        def work() -> None:
            for pk in range(1, self.operations + 1):
                self.place.client.hgetall(by_hand.key(pk))

        return work

    def ormis(self) -> Work:
        def work() -> None:
            for pk in range(1, self.operations + 1):
                Cached.get(pk)

        return work


class AsyncHit(CacheLine, AsyncLine):
    """As Hit, with `aget()` and redis.asyncio."""

    name = "cache-hit-async"
    title = "aget() of a kept object / HGETALL as a dict"
    target = Target(0.03)

    async def hand_async(self) -> None:
        for pk in range(1, self.operations + 1):
            await self.place.pooled.hgetall(by_hand.key(pk))

    async def ormis_async(self) -> None:
        for pk in range(1, self.operations + 1):
            await Cached.aget(pk)


class Miss(CacheLine):
    """A get that keeps what it reads, against the same get by a database without a cache."""

    name = "cache-miss"
    title = "get() that fills the cache / get() without one"
    target = Target(1.1)

    def work(self, database: ormis.Database) -> Work:
        """A round of gets."""

        def work() -> None:
            for pk in range(1, self.operations + 1):
                Cached.get(pk)

        make_default(database)
        database.cache.clear()
        return work

    def hand(self) -> Work:
        return self.work(self.place.database)

    def ormis(self) -> Work:
        return self.work(self.cached)


class Off(Miss):
    """A get of a model without Meta.cache, by a database with a cache against one without."""

    name = "cache-off"
    title = "get() of a model that is not cached / without a cache"
    target = Target(1.01)

    def fill(self) -> None:
        super().fill()
        self.place.fill_ormis(self.operations)

    def prepare(self) -> None:
        Line.prepare(self)

    def work(self, database: ormis.Database) -> Work:
        def work() -> None:
            for pk in range(1, self.operations + 1):
                Player.get(pk)

        make_default(database)
        return work


class Lag(CacheLine):
    """How many milliseconds after another client had its answer the old value is still served, at the 99th percentile;
    beside the median.
    """

    name = "cache-lag"
    title = "a change by another client until it is read, p99 / p50"
    unit = "ms"
    target = Target(10)
    note = "the target is of the milliseconds"

    def hand(self) -> Work:
        raise NotImplementedError

    def ormis(self) -> Work:
        raise NotImplementedError

    def measure(self) -> Result:
        self.prepare()
        with caching(self.place, 4 * self.operations) as self.cached:
            warm(self.cached, self.operations)
            lags = [self._lag(number) for number in range(self.operations * self.place.sizes.rounds // 3 + 2)]
        middle, late = median(lags), quantiles(lags, n=100, method="inclusive")[98]
        return Result(self.name, self.title, self.unit, middle, late, late, middle, late, self.target, self.note)

    def _lag(self, number: int) -> float:
        pk = number % self.operations + 1
        level: Any = Cached.get(pk).level + 1
        sleep(0.001)
        gc.disable()
        self.place.client.hset(f"cached:{pk}", "level", level)
        answered = perf_counter()
        while Cached.get(pk).level != level:
            sleep(0.0001)
        seen = perf_counter()
        gc.enable()
        self.place.client.hset(by_hand.key(pk), "level", level)
        return 1000 * (seen - answered)


LINES: list[type[Line]] = [Hit, AsyncHit, Miss, Lag, Off]
