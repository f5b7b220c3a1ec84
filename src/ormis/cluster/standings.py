"""Which replicas of a node may be read: those that are not far behind it, and have all that has come with its slots.

Each second in which the replicas of a node are read, it and they are asked how far they are. A replica has to be as far
as its node was a second or two before; when the owner of a slot has changed, as the node is now.
"""

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, NamedTuple

from ..connections.urls import Address
from .topology import Topology

RENEWED = 1.0
"""Seconds after which a standing is looked at again by the next call; the others go on by it until ENDS."""
ENDS = 2.0
SOON = 0.25
"""Seconds after which it is looked at again if one of the replicas is not as far as it should be."""
KNOWN = 10.0
"""Seconds after which the cluster is asked for its replicas again."""
ASIDE = 5.0
"""Seconds in which a replica is not asked again after it has failed."""
_HOW_FAR = ("INFO", "replication")


class Ask(NamedTuple):
    """A question of a renewal to a node. command: None asks for the topology."""

    address: Address | None = None
    command: tuple[str, ...] | None = None
    is_replica: bool = False


class Position(NamedTuple):
    """How far a node is. history: that of its writes, which a replica shares with its master."""

    history: bytes
    offset: int
    at: float

    @classmethod
    def of(cls, reply: Any, role: bytes) -> "Position | None":
        """From INFO of a node in this role, which is linked to its master if it has one; else None."""
        if not isinstance(reply, bytes):
            return None
        found = dict(line.split(b":", 1) for line in reply.split(b"\r\n") if b":" in line)
        if found[b"role"] != role or found.get(b"master_link_status", b"up") != b"up":
            return None
        offset = found.get(b"slave_repl_offset", found[b"master_repl_offset"])
        return cls(found[b"master_replid"], int(offset), monotonic())


@dataclass(slots=True)
class Standing:
    """The replicas of one node that may be read until `ends`; the next call looks at them again when it is `due`.

    version: of the topology. positions: the last ones of the node, at least RENEWED apart.
    """

    version: int
    replicas: tuple[Address, ...] = ()
    positions: deque[Position] = field(default_factory=lambda: deque[Position](maxlen=2))
    due: float = 0.0
    ends: float = 0.0


class Standings:
    """The standings of all nodes. Threads and event loops share them."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self._of: dict[Address, Standing] = {}
        self._aside: dict[Address, float] = {}

    def is_due(self, master: Address) -> bool:
        """Whether the replicas of a node are to be looked at."""
        return monotonic() >= self._standing(master).due

    def chosen(self, master: Address, turn: int) -> Address | None:
        """The replica of a node to be read at this turn; None if the node itself is to be read."""
        standing = self._standing(master)
        replicas = standing.replicas
        return replicas[turn % len(replicas)] if replicas and monotonic() < standing.ends else None

    def set_aside(self, replica: Address) -> None:
        """A replica has failed."""
        self._aside[replica] = monotonic() + ASIDE
        for standing in [*self._of.values()]:
            if replica in standing.replicas:
                standing.replicas = tuple(one for one in standing.replicas if one != replica)

    def renewal(self, master: Address) -> Generator[Ask, Any, None]:
        """Looks at the replicas of a node: yields questions, is sent the replies, or errors in their place."""
        standing = self._standing(master)
        standing.due = monotonic() + ASIDE  # whoever looks at them may not come back
        if self.topology.age > KNOWN:
            yield Ask()
            standing = self._standing(master)
        known = [one for one in self.topology.replicas.get(master, ()) if monotonic() >= self._aside.get(one, 0)]
        good: list[Address] = []
        now = Position.of((yield Ask(master, _HOW_FAR)), b"master") if known else None
        if now is not None:
            needed = self._needed(standing, now)
            for replica in known:
                reply = yield Ask(replica, _HOW_FAR, is_replica=True)
                at = Position.of(reply, b"slave")
                if at is not None and at.history == now.history and at.offset >= needed:
                    good.append(replica)
                elif isinstance(reply, Exception):
                    self.set_aside(replica)
        standing.replicas = tuple(good)
        standing.ends = monotonic() + ENDS
        standing.due = monotonic() + (RENEWED if len(good) == len(known) else SOON)

    def _needed(self, standing: Standing, now: Position) -> int:
        """The offset that a replica has to have reached."""
        positions = standing.positions
        if positions and positions[-1].history != now.history:
            positions.clear()
        if not positions or now.at - positions[-1].at >= RENEWED:
            positions.append(now)
        return positions[0].offset

    def _standing(self, master: Address) -> Standing:
        """That of a node; a new one if the owner of any slot has changed."""
        found = self._of.get(master)
        if found is None or found.version != self.topology.version:
            found = self._of[master] = Standing(self.topology.version)
        return found
