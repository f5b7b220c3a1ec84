"""Which node a slot belongs to, and its replicas, as far as known: from CLUSTER SLOTS, corrected by redirections."""

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from ..connections.urls import Address

FRESH = 0.05
"""Seconds in which the topology is not asked for again: many calls may fail at the same time."""


class Topology:
    """The owners of the slots. Threads and event loops share it: each change replaces whole entries.

    seeds: the nodes that the URL names; asked when no other answers.
    version: a number that grows with each change of an owner; on_change: called after it, by whoever has learned it.
    redirections: how many calls were sent to another node than they had asked.
    """

    def __init__(self, seeds: Sequence[Address]) -> None:
        self.seeds = tuple(seeds)
        self._owners: dict[int, Address] = {}
        self._ranges: list[tuple[int, int, Address]] = []
        self.nodes: tuple[Address, ...] = ()
        """The owners of slots, as CLUSTER SLOTS named them."""
        self.replicas: dict[Address, tuple[Address, ...]] = {}
        """The replicas of these; those that have failed are left out."""
        self.error: Exception | None = None
        """Why no node has said which slots it has."""
        self._learned = 0.0
        self.version = self.redirections = 0
        self.on_change: Callable[[], object] | None = None

    def owner(self, slot: int) -> Address | None:
        """The node that a slot belongs to, None if that is not known."""
        found = self._owners.get(slot)
        if found is None:
            found = next((node for first, last, node in self._ranges if first <= slot <= last), None)
            if found is not None:
                self._owners[slot] = found
        return found

    def moved(self, slot: int, node: Address) -> None:
        """A redirection has named the owner of a slot."""
        if self.owner(slot) != node:
            self._owners[slot] = node
            self._changed()

    def _changed(self) -> None:
        self.version += 1
        if self.on_change is not None:
            self.on_change()

    @property
    def is_fresh(self) -> bool:
        """Whether it was learned so recently that it is not asked for again."""
        return self.age < FRESH

    @property
    def age(self) -> float:
        """Seconds since it was learned."""
        return monotonic() - self._learned

    def candidates(self, failed: Address | None) -> list[Address]:
        """The nodes to ask, those that have just failed last."""
        known = dict.fromkeys((*self.nodes, *self._owners.values(), *self.seeds))
        return sorted(known, key=lambda node: node == failed)

    def learn(self, reply: Any, asked: Address) -> bool:
        """Takes over a reply of CLUSTER SLOTS; returns False if it names no slots."""
        ranges = owners_in(reply, asked)
        if not ranges:
            return False
        known, same = self._owners, self._ranges == ranges
        self._ranges, self._owners, self.error = ranges, {}, None
        self.nodes = tuple(dict.fromkeys(node for *_, node in ranges))
        self.replicas = {_address(row[2], asked): tuple(_address(one, asked) for one in row[3:]) for row in reply}
        self._learned = monotonic()
        if not same or any(self.owner(slot) != node for slot, node in known.items()):
            self._changed()
        return True


def owners_in(reply: Any, asked: Address) -> list[tuple[int, int, Address]]:
    """The first and the last slot of each range in a reply of CLUSTER SLOTS, and its owner."""
    return [(int(first), int(last), _address(place, asked)) for first, last, place, *_ in reply or ()]


def _address(place: Sequence[Any], asked: Address) -> Address:
    """A node of CLUSTER SLOTS; one that does not know its own name has that of the node that was asked."""
    host, port = place[0], int(place[1])
    name = host.decode() if isinstance(host, bytes) else host
    return (name if name and name != "?" else asked[0]), port
