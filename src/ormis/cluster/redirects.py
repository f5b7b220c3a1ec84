"""What a call does after an error of the cluster: where it goes next, and when.

| error | next |
| --- | --- |
| MOVED | at once to the node that it names, as all later calls of the slot |
| ASK | at once, this call only, behind ASKING to the node that it names |
| TRYAGAIN | again after a pause: the slot is between two nodes |
| BUSY | again after a pause: a script holds the node |
| NOSCRIPT, behind ASKING | again after a pause: the slot has just become the node's own |
| CLUSTERDOWN, MASTERDOWN, LOADING, READONLY | the topology is asked for; again after a pause |
| a connection that broke, a time-out | the same |
| any other | it is the caller's |

Pauses grow and have a random part; a call ends with the error when the time for retries is over.
"""

from random import random
from time import monotonic
from typing import Any

from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    MaxConnectionsError,
    MovedError,
    NoScriptError,
    ReadOnlyError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as Broken
from redis.exceptions import TimeoutError as TimedOut

from ..connections.urls import Address
from .topology import Topology

FIRST_PAUSE = 0.002
LONGEST_PAUSE = 0.25
FREE = 3
"""Redirections without a pause: a slot that two nodes send to each other would keep a call busy."""
_BROKEN = (Broken, TimedOut, OSError)
_DOWN = (ClusterDownError, MasterDownError, BusyLoadingError, ReadOnlyError)


class Way:
    """The way of one call to the node that answers it.

    ask: the node that an ASK has named for the next try. look: the topology is to be asked for before the next try;
    failed: the node that has led to that.
    """

    __slots__ = ("_ends", "_tries", "_waits", "ask", "failed", "look", "slot", "topology")

    def __init__(self, topology: Topology, slot: int, patience: float) -> None:
        self.topology = topology
        self.slot = slot
        self.ask: Address | None = None
        self.look = False
        self.failed: Address | None = None
        self._ends = monotonic() + patience
        self._tries = 0
        self._waits = 0

    def node(self) -> Address | None:
        """The node to go to next; None if it is not known."""
        return self.ask or self.topology.owner(self.slot)

    def after(self, error: BaseException, node: Address) -> float:
        """Takes in the error of a try at a node; returns the seconds to wait before the next. Raises it if it is none
        of the cluster's, or if there is no time left.
        """
        self._tries += 1
        self.ask = None
        if isinstance(error, AskError):  # and MovedError, which is one
            self.topology.redirections += 1
        if isinstance(error, MovedError):
            self.topology.moved(self.slot, _named(error, node))
            return self._pause(error) if self._tries > FREE else 0.0
        if isinstance(error, AskError):
            self.ask = _named(error, node)
            return self._pause(error) if self._tries > FREE else 0.0
        if isinstance(error, TryAgainError | NoScriptError) or str(error).startswith("BUSY "):
            return self._pause(error)
        if isinstance(error, _DOWN) or (isinstance(error, _BROKEN) and not is_of_client(error)):
            self.look, self.failed = True, node
            return self._pause(error)
        raise error

    def unknown(self) -> float:
        """No node is known for the slot, although the topology was asked for."""
        self.look = True
        return self._pause(self.topology.error or ClusterDownError(f"the slot {self.slot} belongs to no node"))

    def _pause(self, error: BaseException) -> float:
        if monotonic() > self._ends:
            raise error
        self._waits += 1
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._waits, 10))
        return longest * (0.5 + random() / 2)  # noqa: S311 - nobody gains by guessing it


def _named(error: Any, node: Address) -> Address:
    """The node that a redirection names; without a host it is that of the node that answered."""
    return (error.host or node[0]), int(error.port)


def is_of_client(error: BaseException) -> bool:
    """Whether another try at another node would meet the same error."""
    return isinstance(error, AuthenticationError | MaxConnectionsError)
