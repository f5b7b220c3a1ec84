"""Asking the nodes which of them has which slots, once for all calls that want to know it at the same time."""

import asyncio
from threading import Lock
from typing import Any

from redis.exceptions import RedisError

from ..connections.loops import running_loop
from ..drivers import aio, sync
from .nodes import Nodes
from .redirects import Way, is_of_client
from .topology import Topology

LOOKING = 10.0
"""Seconds after which a call asks for the topology although another does: in a forked process nobody may."""
_SLOTS = ("CLUSTER", "SLOTS")


class Discovery:
    """Asks one node after another, until one answers, and lets the topology learn from its reply."""

    def __init__(self, nodes: Nodes, topology: Topology) -> None:
        self.nodes = nodes
        self.topology = topology
        self._looking = Lock()
        self._alooking: dict[Any, asyncio.Lock] = {}

    def look(self, way: Way) -> None:
        """Asks, unless that was done a moment ago. If no node answers, the topology has the error."""
        way.look = False
        held = self._looking.acquire(timeout=LOOKING)
        try:
            if self.topology.is_fresh:
                return
            for address in self.topology.candidates(way.failed):
                try:
                    reply = sync.exchange(self.nodes.at(address).client, _SLOTS)
                except (RedisError, OSError) as error:
                    if is_of_client(error):
                        raise
                    self.topology.error = error
                else:
                    if self.topology.learn(reply, address):
                        return
        finally:
            if held:
                self._looking.release()

    async def alook(self, way: Way) -> None:
        """As look(), with the connections of the running event loop."""
        way.look = False
        async with self._lock_of_loop():
            if self.topology.is_fresh:
                return
            for address in self.topology.candidates(way.failed):
                own = self.nodes.at(address).loop_client
                try:
                    reply = await aio.exchange(own.client, _SLOTS, None, None, own.shared)
                except (RedisError, OSError) as error:
                    if is_of_client(error):
                        raise
                    self.topology.error = error
                else:
                    if self.topology.learn(reply, address):
                        return

    def _lock_of_loop(self) -> asyncio.Lock:
        loop = running_loop()
        lock = self._alooking.get(loop)
        if lock is None:
            for old in [old for old in self._alooking if old.is_closed()]:
                del self._alooking[old]
            lock = self._alooking[loop] = asyncio.Lock()
        return lock
