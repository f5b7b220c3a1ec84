"""What a cache on a cluster is told by: a listener for each node that has slots, and together they are as one.

Each node broadcasts the changes of the keys of its partitions. In the place of a PING a listener asks for the slots and
for a key of a partition, so that the reply proves besides that the node still takes itself for the owner and serves it.
Rows are good until the oldest of these times, plus the bound.

Whenever a call, or a listener, learns that a slot has another owner, all rows are dropped, and none is kept until the
owners of all partitions, as calls know them, are listened to. A manual failover, after which the old master says
nothing, and a slot that moves are noticed by the next question; until then rows are at most as old as the bound.
"""

from collections.abc import Callable, Iterable, Sequence
from math import inf
from threading import RLock
from typing import Any

from redis.exceptions import AskError, ClusterDownError, TryAgainError
from redis.exceptions import ConnectionError as Broken

from ..caching.listener import Heard, Listener, Push, shortest
from ..connections.urls import Address
from .partitions import PARTITION, Partition, Partitions
from .routing import Router
from .topology import Topology, owners_in

_OF_CLUSTER = (AskError, ClusterDownError, TryAgainError)


class NodeListeners:
    """The listeners of a database; `heard` is told what all of them know."""

    def __init__(self, heard: Heard, bound: float, router: Router, partitions: Partitions) -> None:
        self._heard = heard
        self._bound = bound
        self._router = router
        self._partitions = partitions
        self._lock = RLock()
        self._nodes: dict[Address, Node] = {}
        self._owners: dict[Partition, Address] = {}
        self._arranged = -1
        self._settled: Any = None
        self._closed = False

    @property
    def topology(self) -> Topology:
        """That of the calls."""
        return self._router.topology

    def start(self) -> None:
        """As Listening."""
        self.topology.on_change = self._changed
        self._arrange()

    def close(self) -> None:
        """As Listening."""
        self._closed = True
        for node in [*self._nodes.values()]:
            node.listener.close()

    def leave(self) -> None:
        """As Listening."""
        self._closed = True
        for node in [*self._nodes.values()]:
            node.listener.leave()

    def _changed(self) -> None:
        """A slot has another owner."""
        if not self._closed:
            self._heard.lose()
            self._arrange()

    def _arrange(self) -> None:
        """Listens to the owners of the partitions, as far as all are known, and to nobody else."""
        with self._lock:
            self._settled, self._arranged = None, self.topology.version
            found = {partition: self.topology.owner(partition.slot) for partition in self._partitions.all}
            self._owners = {partition: node for partition, node in found.items() if node is not None}
            if len(self._owners) < len(found):
                self._owners = {}
            of_node: dict[Address, list[Partition]] = {}
            for partition, address in self._owners.items():
                of_node.setdefault(address, []).append(partition)
            for address in self._nodes.keys() - of_node.keys():
                self._nodes.pop(address).listener.stop()
            for address, partitions in of_node.items():
                node = self._nodes.get(address)
                if node is not None:
                    node.partitions = partitions
                elif not self._closed:
                    self._nodes[address] = node = Node(self, address, partitions)
                    node.listener = self._listener(node)
                    node.listener.start()

    def _listener(self, node: "Node") -> "NodeListener":
        connections = self._router.nodes.at(node.address)
        return NodeListener(node, connections.listening, lambda _: self.has(node), self._bound)

    # What the listeners tell -----------------------------------------------------------------------------------------

    def has(self, node: "Node") -> bool:
        """Returns whether a node is still listened to."""
        return self._nodes.get(node.address) is node

    def wanted(self, partitions: Iterable[Partition]) -> list[bytes]:
        """The prefixes of the keys in these partitions whose changes are to be broadcast."""
        wanted = shortest(self._heard.wanted())
        return [self._tag(partition) + prefix for partition in partitions for prefix in wanted]

    def settle(self) -> None:
        """Says which models all owners broadcast the changes of."""
        with self._lock:
            version, wanted = self.topology.version, shortest(self._heard.wanted())
            state = version, wanted, [len(node.confirmed) for node in self._nodes.values()]
            if self._arranged != version or not self._owners or self._settled == state:
                return
            sure = [prefix for prefix in wanted if self._is_watched(prefix)]
            if sure:
                self._heard.watch(sure)
                self._settled = state if len(sure) == len(wanted) else None
            self._check(version)

    def _is_watched(self, prefix: bytes) -> bool:
        return all(
            self._tag(partition) + prefix in self._nodes[address].confirmed
            for partition, address in self._owners.items()
        )

    def extend(self) -> None:
        """Rows are good until the first time that one of the nodes names."""
        with self._lock:
            version = self.topology.version
            if self._arranged == version and self._owners:
                self._heard.extend(min(node.good_until for node in self._nodes.values()))
                self._check(version)

    def _check(self, version: int) -> None:
        """A change that came meanwhile has dropped the rows before what was just said: they are dropped after it."""
        if self.topology.version != version:
            self._heard.lose()

    def invalidate(self, keys: Sequence[bytes] | None) -> None:
        """These keys were changed; None: all of a node."""
        self._heard.invalidate(None if keys is None else [key[key.find(b"}") + 1 :] for key in keys])

    def lose(self) -> None:
        """One of the nodes is not listened to."""
        with self._lock:
            self._settled = None
            self._heard.lose()

    def refuse(self, reason: str) -> None:
        """A node refuses tracking."""
        self._heard.refuse(reason)

    def _tag(self, partition: Partition) -> bytes:
        return partition.prefix.removesuffix(self._partitions.prefix).encode()


class Node:
    """What is heard of one node: `Heard` for its listener.

    confirmed: the prefixes that it broadcasts. good_until: as of Heard.extend().
    """

    listener: "NodeListener"

    def __init__(self, of: NodeListeners, address: Address, partitions: list[Partition]) -> None:
        self.address = address
        self.partitions = partitions
        self.confirmed: frozenset[bytes] = frozenset()
        self.good_until = -inf
        self._of = of

    def wanted(self) -> Sequence[bytes]:
        """As Heard."""
        return self._of.wanted(self.partitions)

    def watch(self, prefixes: Iterable[bytes]) -> None:
        """As Heard."""
        self.confirmed = frozenset(prefixes)
        if self._of.has(self):
            self._of.settle()

    def extend(self, good_until: float) -> None:
        """As Heard."""
        self.good_until = good_until
        if self._of.has(self):
            self._of.extend()

    def invalidate(self, keys: Sequence[bytes] | None) -> None:
        """As Heard."""
        self._of.invalidate(keys)

    def lose(self) -> None:
        """As Heard."""
        self.confirmed = frozenset[bytes]()
        self.good_until = -inf
        if self._of.has(self):
            self._of.lose()

    def refuse(self, reason: str) -> None:
        """As Heard."""
        self._of.refuse(reason)

    def owns(self, slots: Any, content: Any) -> bool:
        """Returns whether the node says that it owns its partitions, and serves one; else others learn who does.

        content: that of the key that says how many partitions there are.
        """
        ranges = owners_in(slots, self.address)
        lost = False
        for partition in [*self.partitions]:
            owner = next((node for first, last, node in ranges if first <= partition.slot <= last), None)
            if owner != self.address:
                lost = True
                if owner is not None:
                    self._of.topology.moved(partition.slot, owner)
        return not lost and content == self.partitions[0].content.encode()


class NodeListener(Listener):
    """The listener of one node."""

    def __init__(self, node: Node, connect: Callable[[], Any], is_current: Callable[[Any], bool], bound: float) -> None:
        super().__init__(node, connect, is_current, bound)
        self._node = node
        self._slots: Any = None

    def _listen(self) -> None:
        try:
            super()._listen()
        except _OF_CLUSTER as error:  # no refusal of tracking
            raise Broken(str(error)) from error

    def _ask(self, connection: Any) -> None:
        connection.send_command("CLUSTER", "SLOTS", check_health=False)
        connection.send_command("GET", self._node.partitions[0].prefix + PARTITION, check_health=False)

    def _take(self, message: Any) -> None:
        if isinstance(message, Push):
            self._heard.invalidate(message[1])
        elif isinstance(message, list):
            self._slots = message
        elif message == b"OK":
            _, prefixes = self._asked.popleft()
            self._confirmed.update(prefixes or ())
            self._heard.watch(self._confirmed)
        else:
            sent, _ = self._asked.popleft()
            if not self._node.owns(self._slots, message):
                raise Broken("the node has lost partitions")
            self._heard.extend(sent + self._bound)
