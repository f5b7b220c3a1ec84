"""Reading from replicas: what reads goes to a replica of the node that has the slot; to that node if none will do.

A replica may lag behind its master, and does not know what that knows of slots that move: one of Redis answers with the
half of a slot that has not gone yet, and with the half that has come so far. So an answer counts on two conditions:

- The replica had everything that its master had when the slot was first seen with it (standings.py). So all that has
  come with the slot is there.
- The master says, after the answer, that the slot is whole: it is asked for the two keys that each script declares.
  Nothing had gone at the answer, then. An object that was read by its key and is there needs no such question.

Anything else, whatever it is, is asked of the master as if there were no replica.
"""

from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextvars import ContextVar
from itertools import count
from typing import Any

from redis.exceptions import BusyLoadingError, MasterDownError, NoPermissionError, RedisError
from redis.exceptions import ConnectionError as Broken
from redis.exceptions import TimeoutError as TimedOut

from ..calls import Command, HashRead, OneCall, Operation, R, ScriptCall, steps
from ..connections.connections import Connections
from ..drivers import aio, sync
from ..drivers.capture import note, unseen
from ..drivers.driving import adrive, drive
from ..drivers.reading_only import refusal
from .cluster import Cluster
from .exchange import Request, aexchange, exchange
from .partitions import Partition
from .redirects import Way, is_of_client
from .routing import PartitionCall, Router, received, requests_of
from .standings import Ask, Standings

_OUT_OF_ORDER = (Broken, TimedOut, OSError, BusyLoadingError, MasterDownError)
_turn: ContextVar[int] = ContextVar("ormis_turn_of_replicas", default=0)


class ReplicaRouter(Router):
    """The way of calls that read, to the replicas of the nodes and, if need be, to the nodes."""

    def __init__(self, primary: Router) -> None:
        super().__init__(primary.nodes, primary.discovery)
        self.replicas = primary.nodes.to_replicas()
        self.standings = Standings(self.topology)
        self._turns = count()

    def begin(self) -> None:
        """An operation begins: it asks the next replica of each node, one and the same all along."""
        _turn.set(next(self._turns))

    def send(self, step: PartitionCall) -> Any:
        """As Router; raises OrmisError for a call that writes."""
        return _reply(self.send_all([step]))

    async def asend(self, step: PartitionCall) -> Any:
        """As send()."""
        return _reply(await self.asend_all([step]))

    def send_all(self, steps: Sequence[PartitionCall]) -> list[Any]:
        """As Router; raises OrmisError for a call that writes."""
        reading = _Reading(self, steps)
        for master in reading.masters:
            if self.standings.is_due(master):
                drive(self.standings.renewal(master), self._answer)
        while groups := reading.at_replicas():
            exchange(groups, reading.meanwhile)
            reading.take()
        if guards := reading.at_masters():
            exchange(guards)
        if left := reading.left():
            with unseen():
                reading.replace(left, super().send_all([steps[at] for at in left]))
        return [received(request) for request in reading.requests]

    async def asend_all(self, steps: Sequence[PartitionCall]) -> list[Any]:
        """As send_all(), with the connections of the running event loop."""
        reading = _Reading(self, steps)
        for master in reading.masters:
            if self.standings.is_due(master):
                await adrive(self.standings.renewal(master), self._aanswer)
        while groups := reading.at_replicas():
            await aexchange(groups, reading.meanwhile)
            reading.take()
        if guards := reading.at_masters():
            await aexchange(guards)
        if left := reading.left():
            with unseen():
                reading.replace(left, await super().asend_all([steps[at] for at in left]))
        return [received(request) for request in reading.requests]

    def _answer(self, ask: Ask) -> Any:
        if ask.command is None:
            return self.discovery.look(Way(self.topology, 0, 0))
        try:
            return sync.exchange(self._connections(ask).client, ask.command)
        except (RedisError, OSError) as error:
            return _unless_of_client(error)

    async def _aanswer(self, ask: Ask) -> Any:
        if ask.command is None:
            return await self.discovery.alook(Way(self.topology, 0, 0))
        own = self._connections(ask).loop_client
        try:
            return await aio.exchange(own.client, ask.command, None, None, own.shared)
        except (RedisError, OSError) as error:
            return _unless_of_client(error)

    def _connections(self, ask: Ask) -> Connections:
        assert ask.address is not None
        return (self.replicas if ask.is_replica else self.nodes).at(ask.address)


class _Reading:
    """Some calls that read, on their way.

    masters: the nodes that have their slots, as far as known; what one says later counts for its own replicas only.
    """

    def __init__(self, router: ReplicaRouter, steps: Sequence[PartitionCall]) -> None:
        for step in steps:
            if isinstance(step.call, ScriptCall) and not step.call.reads:
                raise refusal(step.call.model)
        self.router = router
        self.requests, self.meanwhile = requests_of(steps)
        owner = router.topology.owner
        self._master = {step.partition: owner(step.partition.slot) for step in steps}
        self.masters = {one for one in self._master.values() if one is not None}
        self._waiting: Iterable[Request] = self.requests
        self._asked: list[Request] = []
        self._guards: dict[Partition, Request] = {}

    def at_replicas(self) -> dict[Connections, list[Request]]:
        """The calls that are not answered yet, by the replicas that are to answer them."""
        turn, standings, replicas = _turn.get(), self.router.standings, self.router.replicas
        chosen = {master: standings.chosen(master, turn) for master in self.masters}
        groups: dict[Connections, list[Request]] = {}
        self._asked = []
        for request in self._waiting:
            master = self._master[request.partition]
            request.address = None if master is None else chosen[master]
            if request.address is not None:
                groups.setdefault(replicas.at(request.address), []).append(request)
                self._asked.append(request)
        return groups

    def take(self) -> None:
        """The replies have come: those of a replica that is out of order are waited for from the next one."""
        self.meanwhile = None
        waiting: list[Request] = []
        for request in self._asked:
            error, address = request.reply, request.address
            if isinstance(error, _OUT_OF_ORDER) and not is_of_client(error) and address is not None:
                self.router.standings.set_aside(address)
                request.address = None
                waiting.append(request)
        self._waiting = waiting

    def at_masters(self) -> dict[Connections, list[Request]]:
        """The questions to the masters whether the slots are whole, for answers that depend on it."""
        groups: dict[Connections, list[Request]] = {}
        for request in self.requests:
            partition, master = request.partition, self._master[request.partition]
            if request.address is None or master is None or partition in self._guards or not _needs_whole(request):
                continue
            guard = Command(("EXISTS", *partition.keys[1:]), key=0)
            note(guard)
            self._guards[partition] = asked = Request(guard, partition, None)
            groups.setdefault(self.router.nodes.at(master), []).append(asked)
        return groups

    def left(self) -> list[int]:
        """The places of the calls that are to be answered by the masters."""
        whole = {partition for partition, asked in self._guards.items() if asked.reply == 1}
        return [at for at, request in enumerate(self.requests) if not self._is_answered(request, whole)]

    def _is_answered(self, request: Request, whole: set[Partition]) -> bool:
        if request.address is None:
            return False
        if isinstance(request.reply, Exception):
            return is_of_client(request.reply) or isinstance(request.reply, NoPermissionError)
        return request.partition in whole or not _needs_whole(request)

    def replace(self, places: Iterable[int], replies: Iterable[Any]) -> None:
        """The masters have answered."""
        for at, reply in zip(places, replies, strict=True):
            self.requests[at].reply = reply


def _needs_whole(request: Request) -> bool:
    """Whether an answer of a replica counts only if nothing has gone from its slot. A hash goes as a whole."""
    reply = request.reply
    if isinstance(reply, Exception):
        return False
    return not isinstance(request.call, HashRead) or all(text is None for text in reply)


def _reply(replies: Sequence[Any]) -> Any:
    (reply,) = replies
    if isinstance(reply, Exception):
        raise reply
    return reply


def _unless_of_client(error: Exception) -> Exception:
    """The error of a node, as a reply. Raises it if the user may not read from replicas."""
    if is_of_client(error) or isinstance(error, NoPermissionError):
        raise error
    return error


class ReplicaCluster(Cluster):
    """A cluster as it is read from the replicas of its nodes."""

    router: ReplicaRouter

    def __init__(self, primary: Cluster) -> None:
        self._primary = primary
        router = ReplicaRouter(primary.router)
        super().__init__(router.replicas, len(primary.partitions), router)

    def _make_ready(self) -> None:
        self._primary._make_ready()
        self.router.begin()

    async def _amake_ready(self) -> None:
        await self._primary._amake_ready()
        self.router.begin()

    def run_one(self, operation: OneCall[R], run: Callable[[Operation[R]], R]) -> R:
        """As Cluster; there is no shorter way."""
        return run(steps(operation))

    def arun_one(
        self, operation: OneCall[R], run: Callable[[Operation[R]], Coroutine[Any, Any, R]]
    ) -> Coroutine[Any, Any, R]:
        """As run_one()."""
        return run(steps(operation))
