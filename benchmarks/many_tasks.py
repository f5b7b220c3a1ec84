"""Async calls of one task and of many at once, against redis.asyncio with a pool of 64 connections."""

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from itertools import count
from statistics import quantiles
from time import perf_counter, process_time
from typing import Any, ClassVar

from . import by_hand
from .harness import AsyncLine, Line, Target, Work
from .model import Player, values

One = Callable[[int], Awaitable[Any]]
EACH = 20
"""Operations of a task at least: making a task costs half of a get."""


class ManyTasks(AsyncLine):
    """A round is some operations, numbered from 0, that `tasks` tasks share among them.

    The ratio of one task is of times, that of many of speeds.
    """

    tasks: ClassVar[int] = 1

    @property
    def operations(self) -> int:
        return max(self.place.sizes.operations, EACH * self.tasks)

    def fill(self) -> None:
        self.place.fill(self.operations)

    @abstractmethod
    async def hand_one(self, number: int) -> None:
        """One operation of the hand-written side."""

    @abstractmethod
    async def ormis_one(self, number: int) -> None:
        """One operation of the ormis side."""

    async def hand_async(self) -> None:
        await self._share(self.hand_one)

    async def ormis_async(self) -> None:
        await self._share(self.ormis_one)

    async def _share(self, one: One) -> None:
        async def work(first: int) -> None:
            for number in range(first, self.operations, self.tasks):
                await one(number)

        await asyncio.gather(*map(work, range(self.tasks)))


class GetMany(ManyTasks):
    """One typed object by its key, against HGETALL as a dict of bytes."""

    title = "aget() as a typed object / HGETALL as a dict"

    async def hand_one(self, number: int) -> None:
        await self.place.pooled.hgetall(by_hand.key(number + 1))

    async def ormis_one(self, number: int) -> None:
        await Player.aget(number + 1)


class GetBytesMany(GetMany):
    """The same command over the same connection without all that makes an object of it: the floor of aget()."""

    title = "HMGET over the shared connection, as bytes / HGETALL as a dict"

    async def ormis_async(self) -> None:
        await Player.aget(1)  # opens the connection
        shared = self.place.database._connections.loop_client.shared
        assert shared is not None
        assert shared.lane is not None
        self.send = shared.lane.send
        await super().ormis_async()

    async def ormis_one(self, number: int) -> None:
        schema = Player._schema()
        await self.send(schema.hash_fields.of(b"%b:%d" % (schema.key.encode(), number + 1)))


class SaveFieldMany(ManyTasks):
    """One indexed field of a loaded object, against HSET and ZADD in a MULTI."""

    title = "asave() of one changed, indexed field / MULTI of 2"

    def fill(self) -> None:
        super().fill()
        self.players = [*Player.objects.all()]
        self.rounds_begun = {"hand": 0, "ormis": 0}

    def hand(self) -> Work:
        self.rounds_begun["hand"] += 1
        return super().hand()

    def ormis(self) -> Work:
        self.rounds_begun["ormis"] += 1
        return super().ormis()

    def _score(self, side: str, number: int) -> int:
        return 1_000_000 + self.rounds_begun[side] * self.operations + number

    async def hand_one(self, number: int) -> None:
        score = self._score("hand", number)
        async with self.place.pooled.pipeline(transaction=True) as pipe:
            pipe.hset(by_hand.key(number + 1), "score", str(score))
            pipe.zadd(by_hand.SCORES, {str(number + 1): score})
            await pipe.execute()

    async def ormis_one(self, number: int) -> None:
        player = self.players[number]
        player.score = self._score("ormis", number)
        await player.asave()


class SaveNewMany(ManyTasks):
    """A new object with three indexes, made and saved, against one MULTI of six commands that write the same keys."""

    title = "asave() of a new object, 3 indexes / MULTI of 6"
    note = "both make the object from Python values; by hand the ids are counted in the client, so in one call too"

    def fill(self) -> None:
        self.numbers = {"hand": count(1), "ormis": count(1)}

    async def hand_one(self, number: int) -> None:  # noqa: ARG002 - the others use it
        pk = next(self.numbers["hand"])
        async with self.place.pooled.pipeline(transaction=True) as pipe:
            by_hand.insert(pipe, pk, values(pk))
            pipe.set(by_hand.NEXT_ID, pk)
            await pipe.execute()

    async def ormis_one(self, number: int) -> None:  # noqa: ARG002 - the others use it
        await Player(**values(next(self.numbers["ormis"]))).asave()

    def check(self) -> None:
        """The same objects; which of several tasks gets which id is open."""
        stored = sorted(player.email for player in Player.objects.all())
        keys = [key for key in self.place.keys(by_hand.KEY) if b"/" not in key]
        assert stored == sorted(text.decode() for text in self.place.column(keys, "email"))
        assert stored


class CountMany(ManyTasks):
    """A count of the objects in a range, against ZCOUNT."""

    title = "acount() of a range / ZCOUNT"
    low, high = 10_000, 60_000

    async def hand_one(self, number: int) -> None:
        await self.place.pooled.zcount(by_hand.SCORES, self.low + number, self.high)

    async def ormis_one(self, number: int) -> None:
        await Player.objects.filter(score__gte=self.low + number, score__lte=self.high).acount()

    def check(self) -> None:
        super().check()
        own = Player.objects.filter(score__gte=self.low, score__lte=self.high).count()
        assert own == self.place.client.zcount(by_hand.SCORES, self.low, self.high) > 0


class CountAgainMany(CountMany):
    """A count by a queryset that was made before: without making it and binding its values."""

    title = "acount() of the same queryset / ZCOUNT"

    def fill(self) -> None:
        super().fill()
        self.queryset = Player.objects.filter(score__gte=self.low, score__lte=self.high)

    async def ormis_one(self, number: int) -> None:  # noqa: ARG002 - the others use it
        await self.queryset.acount()


class GetLatency(GetMany):
    """How long the slowest of a hundred gets takes, of ten tasks at once."""

    name = "async-get-10-p99"
    title = "99th percentile of aget() / of HGETALL, 10 tasks"
    tasks = 10
    target = Target(1.0)

    @property
    def operations(self) -> int:
        return 5 * super().operations

    def _round(self, number: int) -> tuple[float, float]:
        sides = [self.hand_one, self.ormis_one]
        found = {one: self._latency(one) for one in (sides if number % 2 else sides[::-1])}
        return found[self.hand_one], found[self.ormis_one]

    def _latency(self, one: One) -> float:
        seconds: list[float] = []

        async def noted(number: int) -> None:
            begin = perf_counter()
            await one(number)
            seconds.append(perf_counter() - begin)

        self.place.runner.run(self._share(noted))
        return quantiles(seconds, n=100)[-1] * self.operations  # as the time of so many


class GetProcessorTime(GetMany):
    """The client's processor time, of a hundred tasks at once."""

    name = "async-get-100-cpu"
    title = "client's processor time of aget() / of HGETALL, 100 tasks"
    tasks = 100
    target = Target(0.12)
    clock = staticmethod(process_time)


def _lines(kind: type[ManyTasks], name: str, targets: dict[int, float]) -> list[type[Line]]:
    """The line for each number of tasks. The target of one task is of times, those of many are of speeds."""
    return [
        type(
            f"{kind.__name__}{tasks}",
            (kind,),
            {
                "name": f"{name}-{tasks}",
                "title": f"{kind.title}, {tasks} task{'s' if tasks > 1 else ''}",
                "tasks": tasks,
                "speed": tasks > 1,
                "target": Target(bound, at_least=tasks > 1),
            },
        )
        for tasks, bound in targets.items()
    ]


LINES: list[type[Line]] = [
    *_lines(GetMany, "async-get", {1: 0.45, 10: 6, 100: 8, 500: 8}),
    *_lines(SaveFieldMany, "async-save-field", {1: 0.55, 10: 2.5, 100: 3.5, 500: 3.4}),
    *_lines(SaveNewMany, "async-save-new", {1: 0.4, 10: 3.3, 100: 5.5, 500: 6}),
    *_lines(CountMany, "async-count", {1: 0.8, 10: 1.5, 100: 1.8, 500: 2}),
    *_lines(GetBytesMany, "async-get-bytes", {10: 6, 100: 8}),
    *_lines(CountAgainMany, "async-count-again", {100: 1.8}),
    GetLatency,
    GetProcessorTime,
]
