"""Routing: each call goes to the node that has the slot of its partition, through moves of slots and failures of nodes.

A call that is sent again is the same one: a script that writes has its idempotency token, whichever node answers it.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import sleep
from typing import Any

from redis.exceptions import RedisError

from ..calls import HashRead, ScriptCall, Sent
from ..connections.connections import Connections
from ..connections.retries import RETRIED_FOR
from ..connections.urls import Address
from ..drivers import aio, sync
from ..drivers.capture import note
from ..drivers.idempotency import Once
from .discovery import Discovery
from .exchange import Request, aask_node, aexchange, ask_node, bulks, exchange, script_arguments, wire
from .nodes import Nodes
from .partitions import Partition
from .redirects import Way
from .topology import Topology

PATIENCE = RETRIED_FOR
"""Seconds in which a call is tried again: while its slot is moved, while a replica takes the place of a failed node."""

Failure = tuple[Exception, Address]
"""The error of a try, and the node that it was made at."""


@dataclass(slots=True)
class PartitionCall:
    """A call to one partition.

    once: the token of a script that writes, if the caller has to know it; the caller ends it, then.
    """

    call: Sent
    partition: Partition
    once: Once | None = None


class Router:
    """The way of calls to the nodes."""

    def __init__(self, nodes: Nodes, discovery: Discovery | None = None) -> None:
        self.nodes = nodes
        self.discovery = discovery or Discovery(nodes, Topology(nodes.seeds))
        self.topology = self.discovery.topology

    @property
    def _patience(self) -> float:
        """Seconds in which a call is tried again, never fewer than one reply may take."""
        return max(PATIENCE, self.nodes.timeout)

    # One call --------------------------------------------------------------------------------------------------------

    def send(self, step: PartitionCall) -> Any:
        """Sends a call, and returns its raw reply. Raises the errors of the server that are not the cluster's."""
        if step.once is not None or not isinstance(step.call, ScriptCall) or not step.call.once:
            return self.send_as(step, step.once)
        once = Once()
        try:
            return self.send_as(step, once)
        finally:
            once.end()

    def send_as(self, step: PartitionCall, once: Once | None, failed: Failure | None = None) -> Any:
        """The same under this token. failed: a first try was made, with this error."""
        call, partition = step.call, step.partition
        note(call, partition.prefix)
        way = Way(self.topology, partition.slot, self._patience)
        pause = 0.0 if failed is None else way.after(*failed)
        while True:
            if way.look:
                self.discovery.look(way)
            if pause:
                sleep(pause)
            address = way.node()
            if address is None:
                pause = way.unknown()
                continue
            try:
                return self._try(call, partition, once, way, self.nodes.at(address))
            except (RedisError, OSError) as error:
                pause = way.after(error, address)

    def _try(self, call: Sent, partition: Partition, once: Once | None, way: Way, node: Connections) -> Any:
        if way.ask is not None:
            request = Request(call, partition, once)
            ask_node(node, request)
            return _reply(request)
        if isinstance(call, ScriptCall):
            return sync.evaluate(node.client, call, script_arguments(call, partition), once)
        return sync.exchange(node.client, wire(call, partition))

    async def asend(self, step: PartitionCall) -> Any:
        """As send(), with the connections of the running event loop."""
        if step.once is not None or not isinstance(step.call, ScriptCall) or not step.call.once:
            return await self.asend_as(step, step.once)
        once = Once()
        try:
            return await self.asend_as(step, once)
        finally:
            once.end()

    async def asend_as(self, step: PartitionCall, once: Once | None, failed: Failure | None = None) -> Any:
        """As send_as()."""
        call, partition = step.call, step.partition
        note(call, partition.prefix)
        way = Way(self.topology, partition.slot, self._patience)
        pause = 0.0 if failed is None else way.after(*failed)
        while True:
            if way.look:
                await self.discovery.alook(way)
            if pause:
                await asyncio.sleep(pause)
            address = way.node()
            if address is None:
                pause = way.unknown()
                continue
            try:
                return await self._atry(call, partition, once, way, self.nodes.at(address))
            except (RedisError, OSError) as error:
                pause = way.after(error, address)

    async def _atry(self, call: Sent, partition: Partition, once: Once | None, way: Way, node: Connections) -> Any:
        if way.ask is not None:
            request = Request(call, partition, once)
            await aask_node(node, request)
            return _reply(request)
        own = node.loop_client
        if isinstance(call, ScriptCall):
            return await aio.evaluate(own.client, call, script_arguments(call, partition), once, own.shared)
        lane = None if own.shared is None else own.shared.lane
        if lane is not None and isinstance(call, HashRead):
            reply = await lane.send(call.wire(partition.prefix).packed)
            if not isinstance(reply, Exception):
                return reply
        return await aio.exchange(own.client, wire(call, partition), None, None, own.shared)

    # Many calls ------------------------------------------------------------------------------------------------------

    def send_all(self, steps: Sequence[PartitionCall]) -> list[Any]:
        """Sends calls, those of a node in one write, the nodes side by side; returns the replies in their order.

        An error that the caller of one of them has to know stands in the place of its reply.
        """
        requests, meanwhile = requests_of(steps)
        try:
            exchange(self._first(requests), meanwhile)
            waiting, pauses = _again(self._unanswered(requests))
            while waiting:
                for way in _looking(waiting):
                    self.discovery.look(way)
                if wait := min(pauses, default=0.0):
                    sleep(wait)
                groups, asking = self._groups(waiting)
                exchange(groups)
                for request in asking:
                    ask_node(request.node, request)
                waiting, pauses = _again(waiting)
        finally:
            _end(requests)
        return [received(request) for request in requests]

    async def asend_all(self, steps: Sequence[PartitionCall]) -> list[Any]:
        """As send_all(), with the connections of the running event loop."""
        requests, meanwhile = requests_of(steps)
        try:
            await aexchange(self._first(requests), meanwhile)
            waiting, pauses = _again(self._unanswered(requests))
            while waiting:
                for way in _looking(waiting):
                    await self.discovery.alook(way)
                if wait := min(pauses, default=0.0):
                    await asyncio.sleep(wait)
                groups, asking = self._groups(waiting)
                await aexchange(groups)
                for request in asking:
                    await aask_node(request.node, request)
                waiting, pauses = _again(waiting)
        finally:
            _end(requests)
        return [received(request) for request in requests]

    def _first(self, requests: Iterable[Request]) -> dict[Connections, list[Request]]:
        """The requests by the nodes of their partitions, as far as these are known."""
        groups: dict[Address, list[Request]] = {}
        owner = self.topology.owner
        for request in requests:
            request.address = address = owner(request.partition.slot)
            if address is not None:
                groups.setdefault(address, []).append(request)
        return {self.nodes.at(address): some for address, some in groups.items()}

    def _unanswered(self, requests: Iterable[Request]) -> list[tuple[Request, Way]]:
        """Those that have met an error, or whose node was not known, and their ways from here on."""
        return [
            (request, Way(self.topology, request.partition.slot, self._patience))
            for request in requests
            if request.address is None or isinstance(request.reply, Exception)
        ]

    def _groups(self, waiting: Iterable[tuple[Request, Way]]) -> tuple[dict[Connections, list[Request]], list[Request]]:
        """The requests by their nodes, as far as these are known; those that go behind ASKING."""
        groups: dict[Connections, list[Request]] = {}
        asking: list[Request] = []
        for request, way in waiting:
            address = way.node()
            request.address, request.reply = address, None
            if address is None:
                continue
            request.node = self.nodes.at(address)
            if way.ask is not None:
                asking.append(request)
            else:
                groups.setdefault(request.node, []).append(request)
        return groups, asking


def _reply(request: Request) -> Any:
    if isinstance(request.reply, Exception):
        raise request.reply
    return request.reply


def received(request: Request) -> Any:
    """The reply as an operation is sent it; or the error."""
    call, reply = request.call, request.reply
    if isinstance(call, ScriptCall) or isinstance(reply, Exception):
        return reply
    return call.received(reply, request.partition.prefix)


def requests_of(steps: Sequence[PartitionCall]) -> tuple[list[Request], Callable[[], object] | None]:
    """The requests of calls to partitions; the arguments that several of them share are packed once."""
    requests: list[Request] = []
    tails: dict[int, bytes] = {}
    meanwhile: Callable[[], object] | None = None
    for step in steps:
        call = step.call
        note(call, step.partition.prefix)
        if not isinstance(call, ScriptCall):
            requests.append(Request(call, step.partition, None))
            continue
        tail = tails.get(id(call))
        if tail is None:
            tail = tails[id(call)] = bulks(call.args)
            meanwhile = meanwhile or call.meanwhile
        requests.append(Request(call, step.partition, Once() if call.once else None, tail))
    return requests, meanwhile


def _again(waiting: Iterable[tuple[Request, Way]]) -> tuple[list[tuple[Request, Way]], list[float]]:
    """Those that are not answered yet, and the pauses before their next tries."""
    again: list[tuple[Request, Way]] = []
    pauses: list[float] = []
    for request, way in waiting:
        reply = request.reply
        if request.address is None:
            pauses.append(way.unknown())
            again.append((request, way))
        elif isinstance(reply, Exception):
            try:
                pauses.append(way.after(reply, request.address))
            except (RedisError, OSError) as error:
                request.reply = error
            else:
                again.append((request, way))
    return again, pauses


def _looking(waiting: Iterable[tuple[Request, Way]]) -> list[Way]:
    """One of the calls that want the topology to be asked for."""
    looking = [way for _, way in waiting if way.look]
    for way in looking:
        way.look = False
    return looking[:1]


def _end(requests: Iterable[Request]) -> None:
    for request in requests:
        if request.once is not None:
            request.once.end()
