"""Fetch modes: what is done when a relation or a deferred field is used that is not loaded yet."""

from collections.abc import Iterable
from enum import Enum
from typing import Any, Final
from weakref import ref


class FetchMode(Enum):
    """What is done when a relation or a deferred field of an object is used that is not loaded yet.

    ONE: it is loaded for this object. PEERS: for all objects of the same result. RAISE: RelationNotLoaded.
    """

    ONE = "FETCH_ONE"
    PEERS = "FETCH_PEERS"
    RAISE = "RAISE"

    def __repr__(self) -> str:
        return self.value


FETCH_ONE: Final = FetchMode.ONE
FETCH_PEERS: Final = FetchMode.PEERS
RAISE: Final = FetchMode.RAISE


class Fetching:
    """The fetch mode of the objects of one result, and under FETCH_PEERS these objects.

    They are held weakly: an object keeps none of the others alive.
    """

    __slots__ = ("_peers", "mode")

    def __init__(self, mode: FetchMode) -> None:
        self.mode = mode
        self._peers: list[ref[Any]] = []

    def add(self, records: Iterable[Any]) -> None:
        """Adds objects of the result."""
        if self.mode is FETCH_PEERS:
            self._peers += map(ref, records)

    def peers(self) -> list[Any]:
        """The objects of the result that are still in use, in its order."""
        return [record for peer in self._peers if (record := peer()) is not None]
