"""`Cluster`: a database on a cluster, which runs operations as the drivers of a plain server do."""

import os
from asyncio import Future
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from dataclasses import replace
from random import randrange
from typing import Any, Self, cast

from ..caching.listener import Heard
from ..calls import (
    Call,
    Command,
    HashRead,
    Invocation,
    OneCall,
    OneWrite,
    Operation,
    R,
    ScriptCall,
    Sent,
    T,
    Written,
    steps,
)
from ..connections.settings import settings_of_target
from ..connections.urls import parse
from ..drivers.capture import unseen
from ..drivers.driving import adrive, drive
from ..drivers.sync import Drop
from ..errors import ClusterError
from ..limits import Limits
from ..operations.upkeep.layout import check_layout
from . import single
from .answers import Answers
from .caching import NodeListeners
from .nodes import Nodes
from .partitions import PARTITION, Partitions
from .routing import PartitionCall, Router
from .side_by_side import Step, Steps, side_by_side
from .writing import Chooser

AT_ONCE = 8
"""How many times as many objects as on a plain server bulk_create() and bulk_update() send at once."""


class Cluster:
    """The partitions of a database, and the way to them."""

    def __init__(self, nodes: Nodes, partitions: int, router: Router | None = None) -> None:
        self.nodes = nodes
        self.partitions = Partitions(partitions, nodes.prefix)
        self.router = router or Router(nodes)
        self._chooser = Chooser(self.partitions, randrange(partitions))  # noqa: S311
        self._answers = Answers(self.partitions, self._chooser, self.router.topology)
        self._checked = False
        self.drop: Drop | None = None
        """Drops from a cache what a call may change: called before and after it."""

    @classmethod
    def open(cls, url: str | os.PathLike[str] | None, prefix: str | None, shared: bool | None) -> Self | None:
        """The cluster that a URL names; None if it names something else. Nothing is sent."""
        target = parse(url)
        if target.kind != "cluster":
            return None
        settings = settings_of_target(target, None)
        settings = settings if shared is None else replace(settings, shared=shared)
        return cls(Nodes(settings, target.nodes, target.prefix if prefix is None else prefix), target.partitions)

    def widened(self, limits: Limits) -> Limits:
        """The limits for writes that are divided: each partition is given a part of them."""
        times = min(len(self.partitions), AT_ONCE)
        return replace(limits, inserts=times * limits.inserts, updates=times * limits.updates)

    def run(self, operation: Operation[T]) -> T:
        """Runs an operation to its end."""
        self._make_ready()
        return drive(operation, self._reply)

    async def arun(self, operation: Operation[T]) -> T:
        """As run(), with the connections of the running event loop."""
        await self._amake_ready()
        return await adrive(operation, self._areply)

    def listening(self, heard: Heard, bound: float) -> NodeListeners:
        """What listens to the nodes for a cache."""
        return NodeListeners(heard, bound, self.router, self.partitions)

    @contextmanager
    def _dropping(self, written: Callable[[], Written | None]) -> Generator[None]:
        """Around what writes: a cache drops what that may change. written: says what; None for anything."""
        if self.drop is None:
            yield
            return
        found = written()
        self.drop(found)
        try:
            yield
        finally:
            self.drop(found)

    def _reply(self, call: Call) -> Any:
        """The reply to a call of an operation."""
        if self.drop is not None and isinstance(call, ScriptCall) and call.once:
            with self._dropping(call.written):
                return self._answered(call)
        return self._answered(call)

    def _areply(self, call: Call) -> Coroutine[Any, Any, Any]:
        """As _reply(), to be awaited."""
        if self.drop is not None and isinstance(call, ScriptCall) and call.once:
            return self._adropping(call)
        return self._aanswered(call)

    async def _adropping(self, call: ScriptCall) -> Any:
        with self._dropping(call.written):
            return await self._aanswered(call)

    def _answered(self, call: Call) -> Any:
        partition = self._answers.place(call)
        if partition is None:
            return self._run(self._answers.answer(call))
        return self.router.send(PartitionCall(cast(Sent, call), partition))

    def _aanswered(self, call: Call) -> Coroutine[Any, Any, Any]:
        partition = self._answers.place(call)
        if partition is None:
            return self._arun(self._answers.answer(call))
        return self.router.asend(PartitionCall(cast(Sent, call), partition))

    # One object ------------------------------------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """Whether the partitions were looked at: from the first call on."""
        return self._checked

    def run_one(self, operation: OneCall[R], run: Callable[[Operation[R]], R]) -> R:
        """Runs an operation of one call, which reads. run: what runs it where the shortest way does not do."""
        call = operation.call
        if isinstance(call, HashRead) and self._checked:
            reply = single.read(self.router, call, self.partitions.of_hash(call.fields, call.key))
            if reply is not single.MISSED:
                return operation.result(reply)
        return run(steps(operation))

    def arun_one(
        self, operation: OneCall[R], run: Callable[[Operation[R]], Coroutine[Any, Any, R]]
    ) -> Coroutine[Any, Any, R]:
        """As run_one(), with the connections of the running event loop."""
        call = operation.call
        if isinstance(call, HashRead) and self._checked:
            coming = single.aread(self.router, call, self.partitions.of_hash(call.fields, call.key))
            if coming is not None:
                return _result(operation, coming, run)
        return run(steps(operation))

    def write_one(self, operation: OneWrite) -> None:
        """Runs an operation of one call, which writes."""
        partition = single.place_of_write(operation, self.partitions, self._chooser)
        if partition is None:
            reply = self.run(_alone(operation.call()))
        else:
            with self._dropping(lambda: operation.call().written()):
                reply = single.write(self.router, operation, partition)
        operation.result(reply)

    async def awrite_one(self, operation: OneWrite) -> None:
        """As write_one(), with the connections of the running event loop."""
        partition = single.place_of_write(operation, self.partitions, self._chooser)
        if partition is None:
            reply = await self.arun(_alone(operation.call()))
        else:
            with self._dropping(lambda: operation.call().written()):
                reply = await single.awrite(self.router, operation, partition)
        operation.result(reply)

    # Partition by partition ------------------------------------------------------------------------------------------

    def run_in_each(self, make: Callable[[], Operation[T]]) -> list[T]:
        """Runs an operation in each partition, as if that were a database; the results in their order."""
        self._make_ready()
        with self._dropping(_anything):
            return [self._run(side_by_side({one: make()}))[one] for one in self.partitions.all]

    async def arun_in_each(self, make: Callable[[], Operation[T]]) -> list[T]:
        """As run_in_each(), with the connections of the running event loop."""
        await self._amake_ready()
        with self._dropping(_anything):
            return [(await self._arun(side_by_side({one: make()})))[one] for one in self.partitions.all]

    def run_between(self, make: Callable[[Partitions], Steps[T]]) -> T:
        """Runs what looks at several partitions at once."""
        self._make_ready()
        return self._run(make(self.partitions))

    async def arun_between(self, make: Callable[[Partitions], Steps[T]]) -> T:
        """As run_between(), with the connections of the running event loop."""
        await self._amake_ready()
        return await self._arun(make(self.partitions))

    def run_side_by_side(self, make: Callable[[], Operation[T]]) -> list[T]:
        """As run_in_each(), in all partitions at the same time."""
        self._make_ready()
        with self._dropping(_anything):
            results = self._run(side_by_side({one: make() for one in self.partitions.all}))
        return [results[one] for one in self.partitions.all]

    async def arun_side_by_side(self, make: Callable[[], Operation[T]]) -> list[T]:
        """As run_side_by_side(), with the connections of the running event loop."""
        await self._amake_ready()
        with self._dropping(_anything):
            results = await self._arun(side_by_side({one: make() for one in self.partitions.all}))
        return [results[one] for one in self.partitions.all]

    def _make_ready(self) -> None:
        if not self._checked:
            with unseen():
                self._run(self._check())
            self._checked = True

    async def _amake_ready(self) -> None:
        if not self._checked:
            with unseen():
                await self._arun(self._check())
            self._checked = True

    def _run(self, steps: Steps[T]) -> T:
        return drive(steps, self._sent)

    def _arun(self, steps: Steps[T]) -> Coroutine[Any, Any, T]:
        return adrive(steps, self._asent)

    def _sent(self, step: Step) -> Any:
        """The reply, or the replies, to what a step sends."""
        if isinstance(step, PartitionCall):
            return self.router.send(step)
        return step.invoke() if isinstance(step, Invocation) else self.router.send_all(step)

    def _asent(self, step: Step) -> Coroutine[Any, Any, Any]:
        """As _sent(), to be awaited."""
        if isinstance(step, PartitionCall):
            return self.router.asend(step)
        return step.ainvoke() if isinstance(step, Invocation) else self.router.asend_all(step)

    # The number of partitions ----------------------------------------------------------------------------------------

    def _check(self) -> Steps[None]:
        """Makes the keys that say how many partitions there are, the first one first; compares them if they are there.

        Raises ClusterError for another number.
        """
        first, *others = self.partitions.all
        for some in ([first], others):
            yield [PartitionCall(Command(("SETNX", PARTITION, one.content)), one) for one in some]
            found = yield [PartitionCall(Command(("GET", PARTITION)), one) for one in some]
            for one, content in zip(some, found, strict=True):
                if isinstance(content, Exception):
                    raise content
                text = (content or b"").decode("utf-8", "backslashreplace")
                if text != one.content:
                    stored = text.partition("/")[2] or "?"
                    raise ClusterError(
                        f"the database has {stored} partitions, and it was connected to with {len(self.partitions)}: "
                        f"their number is fixed at the first use; write ?partitions={stored} in the URL, or use a "
                        f"prefix of its own for another database"
                    )
        yield from side_by_side({first: check_layout()})


async def _result(
    operation: OneCall[R], coming: "Future[Any]", run: Callable[[Operation[R]], Coroutine[Any, Any, R]]
) -> R:
    reply = await coming
    return await run(steps(operation)) if isinstance(reply, Exception) else operation.result(reply)


def _anything() -> None:
    """What operations in all partitions may change: it is not known."""


def _alone(call: Call) -> Operation[Any]:
    """The operation of this call alone."""
    return (yield call)
