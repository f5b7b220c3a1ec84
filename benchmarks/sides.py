"""A peer in a comparison, where it has its objects, and what is found out about it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis

from .rows import Row

if TYPE_CHECKING:
    from .peers import Peer

Arguments = list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Home:
    """Where one peer has its objects. `client` is there for the benchmark itself."""

    url: str
    folder: Path
    client: redis.Redis

    @property
    def used_memory(self) -> int:
        """The server's memory in bytes."""
        return int(self.client.info("memory")["used_memory"])

    @property
    def pid(self) -> int:
        """The server's process."""
        return int(self.client.info("server")["process_id"])


@dataclass(frozen=True, slots=True)
class Figure:
    """What was found out about an operation of a peer at a size.

    state: "ok"; "-", the peer does not have it; "wrong", its result is not right; "fails", it raised an error; "left
    out", storing so many takes too long.
    us: microseconds of a call, or of a row; of `memory`, bytes of an object.
    ratio: how many times the first peer's figure that is.
    """

    peer: str
    operation: str
    size: int
    state: str = "ok"
    us: float | None = None
    ratio: float | None = None
    note: str = ""


@dataclass(slots=True)
class Side:
    """A peer in a run.

    keys: of the first objects, in the order of their rows.
    changed: the keys of the objects that are saved, updated and deleted.
    faults: state and note of the operations that are not right, by size.
    row_seconds: what storing a row takes.
    first_memory: of the server, with a chunk of rows.
    out: whether storing more would take too long, or has failed.
    """

    peer: Peer
    home: Home
    keys: list[Any] = field(default_factory=list)
    changed: list[Any] = field(default_factory=list)
    faults: dict[tuple[str, int], tuple[str, str]] = field(default_factory=dict)
    row_seconds: float = 0
    first_memory: int = 0
    out: bool = False

    @property
    def name(self) -> str:
        """The peer's."""
        return self.peer.name

    def has(self, operation: str) -> bool:
        """Whether the peer has it."""
        return getattr(self.peer, operation) is not None

    def call(self, operation: str, *arguments: Any) -> Any:
        """The result of one call."""
        return self.calls(operation, [arguments])[0]

    def calls(self, operation: str, arguments: Arguments) -> list[Any]:
        """The results of calls one after another."""
        method: Any = getattr(self.peer, operation)
        if inspect.iscoroutinefunction(method):
            return self.peer.runner.run(_awaited(method, arguments))
        return [method(*given) for given in arguments]

    def rows(self, stored: Sequence[Any]) -> list[Row]:
        """The rows of objects."""
        return [self.peer.row(one) for one in stored]

    def fail(self, operation: str, size: int, error: Exception) -> None:
        """Keeps the first line of the error."""
        self.faults[operation, size] = "fails", f"{type(error).__name__}: {error}".splitlines()[0][:200]


async def _awaited(method: Callable[..., Awaitable[Any]], arguments: Arguments) -> list[Any]:
    return [await method(*given) for given in arguments]
