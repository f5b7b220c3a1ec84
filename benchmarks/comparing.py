"""Times the same operations of several peers, each with the same rows on a server of its own.

Before an operation of a peer is timed, what it returns is compared with rows.py. The peers are timed one right after
the other, in rounds; which goes first changes from round to round. The ratio of a peer is the median of the ratios of
its rounds to those of the first peer.
"""

from __future__ import annotations

import gc
import inspect
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from itertools import islice, pairwise
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

import redis

from . import rows
from .rows import LIMIT, OF_A_NAME, PRICES, STATUSES, Row

if TYPE_CHECKING:
    from .peers import Peer

CHUNK = 1000
SAMPLE = 200
"""How many keys of stored objects are kept, to get them."""
ROUND = 0.05
"""Seconds: a round has fewer calls of a peer that takes longer for them."""
BUDGET = 4.0
"""Seconds of an operation of a peer, after which it has no further rounds, if it has had FEWEST."""
FEWEST = 3

OPERATIONS = {
    "save": 50,
    "bulk_create": CHUNK,
    "get": 100,
    "equal": 20,
    "page": 50,
    "count": 50,
    "update": 50,
    "delete": 50,
}
"""In the order of the table, with the calls of a round; of bulk_create, rows."""
QUERIES = ("get", "equal", "page", "count")
"""The operations that only read: they are timed at each size."""
CHANGES = ("save", "update", "delete")
"""These work on objects of their own, in this order, and leave none behind."""


@dataclass(frozen=True, slots=True)
class Home:
    """Where one peer has its objects. `client` is there for the benchmark itself."""

    url: str
    folder: Path
    client: redis.Redis

    def used_memory(self) -> int:
        """The server's memory in bytes."""
        return int(self.client.info("memory")["used_memory"])


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
    """A peer in a run."""

    peer: Peer
    home: Home
    keys: list[Any] = field(default_factory=list)
    objects: list[Any] = field(default_factory=list)
    faults: dict[tuple[str, int], tuple[str, str]] = field(default_factory=dict)
    row_seconds: float = 0
    first_memory: int = 0
    out: bool = False

    @property
    def name(self) -> str:
        """The peer's."""
        return self.peer.name

    def call(self, operation: str, *arguments: Any) -> Any:
        """The result of one call."""
        return self.calls(operation, [arguments])[0]

    def calls(self, operation: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """The results of calls one after another."""
        method: Any = getattr(self.peer, operation)
        if inspect.iscoroutinefunction(method):
            return self.peer.runner.run(_awaited(method, arguments))
        return [method(*given) for given in arguments]

    def rows(self, stored: Sequence[Any]) -> list[Row]:
        """The rows of objects."""
        return [self.peer.row(one) for one in stored]


async def _awaited(method: Callable[..., Awaitable[Any]], arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
    return [await method(*given) for given in arguments]


class Comparison:
    """A run: the peers, the first of which is what the others are compared with.

    sizes: how many objects there are, ascending; the queries are timed at each.
    detail: the size at which everything else is timed as well.
    patience: seconds. A peer that would need more to reach the next size is left out there.
    fifo: the priority under which client and servers are timed, for the scheduler's SCHED_FIFO; 0 for none.
    """

    def __init__(
        self, sides: Sequence[Side], sizes: Sequence[int], detail: int, rounds: int, patience: float, fifo: int = 0
    ) -> None:
        self.sides, self.sizes, self.detail, self.rounds, self.patience = sides, sizes, detail, rounds, patience
        pids = [os.getpid(), *(int(side.home.client.info("server")["process_id"]) for side in sides)] if fifo else []
        self.undisturbed = lambda: _realtime(pids, fifo) if fifo else nullcontext()
        self.figures: list[Figure] = []

    def run(self, tell: Callable[[str], None] = print) -> list[Figure]:
        """All figures. `tell` is told what is done next."""
        gc.collect()
        gc.freeze()  # each round collects: the modules of the peers need not be looked through again
        try:
            for stored, size in pairwise([0, *self.sizes]):
                tell(f"{size:,} objects: storing them")
                self._fill(stored, size)
                self._at(size, tell)
        finally:
            gc.unfreeze()
        return self.figures

    def _at(self, size: int, tell: Callable[[str], None]) -> None:
        if size == self.detail > CHUNK:
            self._memory()
        for operation in QUERIES:
            tell(f"{size:,} objects: {operation}")
            self._time(operation, size, self._query_arguments(operation, size))
        if size == self.detail:
            self._changes(size, tell)

    def _present(self) -> list[Side]:
        return [side for side in self.sides if not side.out]

    def _fill(self, first: int, size: int) -> None:
        """Stores the rows that are missing, a chunk by each peer in turn."""
        pairs: dict[str, list[float]] = {}
        for start in range(first, size, CHUNK):
            chunk = rows.rows(start, min(start + CHUNK, size))
            for side in _rotated(self._present(), start // CHUNK):
                if side.row_seconds * (size - start) > self.patience:
                    side.out = True
                    continue
                try:
                    with self.undisturbed() if size == self.detail else nullcontext():
                        pairs.setdefault(side.name, []).append(_store(side, chunk) / len(chunk))
                except Exception as error:  # noqa: BLE001 - a peer may raise anything, and the others go on
                    side.out = True
                    side.faults["bulk_create", size] = ("fails", _reason(error))
                    continue
                side.row_seconds = median(pairs[side.name])
                side.first_memory = side.first_memory or side.home.used_memory()
        if size == self.detail:
            for side in self.sides:
                has = side.peer.bulk_create is not None
                self._note(side, "bulk_create", size, pairs.get(side.name, []) if has else [], pairs)

    def _memory(self) -> None:
        """Bytes of an object in the server, without those of the first chunk, which scripts and indexes are part of."""
        first: float | None = None
        for side in self._present():
            if any(side.home.folder.iterdir()):
                self.figures.append(Figure(side.name, "memory", self.detail, "-"))
                continue
            used = (side.home.used_memory() - side.first_memory) / (self.detail - CHUNK)
            first = first or used
            self.figures.append(Figure(side.name, "memory", self.detail, "ok", used, used / first))

    def _query_arguments(self, operation: str, size: int) -> Callable[[Side, int], list[tuple[Any, ...]]]:
        """The arguments of so many calls of a side, and of the first call the one that is checked."""
        step = max(1, size // OF_A_NAME // OPERATIONS["equal"])
        names = [f"name {number}" for number in range(0, size // OF_A_NAME or 1, step)]
        lows = [*islice(rows.lows(), OPERATIONS["page"])]

        def arguments(side: Side, calls: int) -> list[tuple[Any, ...]]:
            match operation:
                case "get":
                    return [(side.keys[number * 7 % len(side.keys)],) for number in range(calls)]
                case "equal":
                    return [(names[number % len(names)],) for number in range(calls)]
                case "page":
                    return [(STATUSES[number % 3], lows[number], LIMIT) for number in range(calls)]
                case _:
                    return [(lows[number],) for number in range(calls)]

        return arguments

    def _changes(self, size: int, tell: Callable[[str], None]) -> None:
        """Saves, changes and deletes objects. Their prices are above all others, so that a count finds only them."""
        fresh = iter(range(size * 2, size * 1000))
        prices = iter(range(PRICES, PRICES * 1000))

        def arguments(operation: str) -> Callable[[Side, int], list[tuple[Any, ...]]]:
            def of_save(_side: Side, calls: int) -> list[tuple[Any, ...]]:
                return [(rows.row(number)._replace(price=PRICES - 1),) for number in islice(fresh, calls)]

            def of_update(side: Side, calls: int) -> list[tuple[Any, ...]]:
                keys, rest = side.objects[:calls], side.objects[calls:]
                side.objects = rest + keys
                return [(one, next(prices)) for one in side.calls("get", [(key,) for key in keys])]

            def of_delete(side: Side, calls: int) -> list[tuple[Any, ...]]:
                keys = [side.objects.pop() for _ in range(min(calls, len(side.objects)))]
                return [(one,) for one in side.calls("get", [(key,) for key in keys])]

            return {"save": of_save, "update": of_update, "delete": of_delete}[operation]

        for operation in CHANGES:
            tell(f"{size:,} objects: {operation}")
            self._time(operation, size, arguments(operation))
        for side in self._present():
            try:
                side.calls("delete", arguments("delete")(side, len(side.objects)))
            except Exception:  # noqa: BLE001 - its queries of larger sizes show what is left
                side.objects.clear()

    def _time(self, operation: str, size: int, arguments: Callable[[Side, int], list[tuple[Any, ...]]]) -> None:
        """Checks an operation of each peer, then times those whose results are right."""
        calls = {side.name: self._checked(side, operation, size, arguments) for side in self._present()}
        times: dict[str, list[float]] = {}
        for number in range(self.rounds):
            for side in _rotated([side for side in self._present() if calls[side.name]], number):
                past = times.setdefault(side.name, [])
                if len(past) >= FEWEST and sum(past) * calls[side.name] > BUDGET:
                    continue
                try:
                    if given := arguments(side, calls[side.name]):
                        past.append(self._round(side, operation, given) / len(given))
                except Exception as error:  # noqa: BLE001 - a peer may raise anything, and the others go on
                    side.faults[operation, size] = ("fails", _reason(error))
                    times[side.name], calls[side.name] = [], 0
        for side in self.sides:
            self._note(side, operation, size, times.get(side.name, []), times)

    def _round(self, side: Side, operation: str, arguments: list[tuple[Any, ...]]) -> float:
        gc.collect()
        with self.undisturbed():
            begun = perf_counter()
            results = side.calls(operation, arguments)
            seconds = perf_counter() - begun
        if operation == "save":
            side.objects += map(side.peer.key, results)
        return seconds

    def _checked(
        self, side: Side, operation: str, size: int, arguments: Callable[[Side, int], list[tuple[Any, ...]]]
    ) -> int:
        """How many calls a round of this side has; none if it lacks the operation or if that is wrong."""
        if getattr(side.peer, operation) is None:
            return 0
        try:
            given = arguments(side, 3)
            begun = perf_counter()
            results = side.calls(operation, given)
            seconds = (perf_counter() - begun) / len(given)
            fault = _fault(side, operation, size, given, results)
        except Exception as error:  # noqa: BLE001 - a peer may raise anything, and the others go on
            side.faults[operation, size] = ("fails", _reason(error))
            return 0
        if fault:
            side.faults[operation, size] = ("wrong", fault)
            return 0
        return max(1, min(OPERATIONS[operation], int(ROUND / seconds)))

    def _note(self, side: Side, operation: str, size: int, times: list[float], others: dict[str, list[float]]) -> None:
        """Adds the figure of an operation of a side at a size."""
        if times:
            first = others.get(self.sides[0].name, [])
            ratios = [mine / its for mine, its in zip(times, first, strict=False)]
            ratio = median(ratios) if ratios else None
            self.figures.append(Figure(side.name, operation, size, "ok", median(times) * 1e6, ratio))
            return
        missing = getattr(side.peer, operation) is None
        state, note = ("-", "") if missing else side.faults.get((operation, size), ("left out", ""))
        self.figures.append(Figure(side.name, operation, size, state, note=note))


def _store(side: Side, chunk: Sequence[Row]) -> float:
    """Stores rows and returns the seconds."""
    begun = perf_counter()
    if side.peer.bulk_create is None:
        stored = side.calls("save", [(row,) for row in chunk])
    else:
        stored = side.call("bulk_create", chunk)
    seconds = perf_counter() - begun
    if len(side.keys) < SAMPLE:
        side.keys += map(side.peer.key, stored)
    return seconds


_page, _equal, _count = cache(rows.page), cache(rows.equal), cache(rows.count)


def _fault(side: Side, operation: str, size: int, given: list[tuple[Any, ...]], results: list[Any]) -> str:
    """How the results of calls differ from what is right; empty if they don't."""
    for arguments, result in zip(given, results, strict=True):
        match operation:
            case "get":
                found, right = side.rows([result]), [rows.row(side.keys.index(arguments[0]))]
            case "equal":
                found, right = sorted(side.rows(result)), sorted(_equal(size, *arguments))
            case "page":
                found, right = side.rows(result), _page(size, *arguments[:2])
            case "count":
                found, right = result, _count(size, *arguments)
            case _:
                found, right = _after(side, operation, arguments, result)
        if found != right:
            return f"{operation} returns {_difference(found, right)}"
    return ""


def _after(side: Side, operation: str, arguments: tuple[Any, ...], result: Any) -> tuple[Any, Any]:
    """What is stored after a change, and what should be; by key, and by a query if the peer has one."""
    if operation == "save":
        key = side.peer.key(result)
        side.objects.append(key)
        (row,) = arguments
        by_name = side.rows(side.call("equal", row.name)) if side.peer.equal is not None else [row]
        return (side.rows([side.call("get", key)]), row in by_name), ([row], True)
    key, row = side.peer.key(arguments[0]), side.peer.row(arguments[0])
    if operation == "update":
        price = arguments[1]
        return (side.peer.row(side.call("get", key)).price, _finds(side, price)), (price, True)
    try:
        left = side.call("get", key)
    except Exception:  # noqa: BLE001 - each peer has an error of its own for an object that is not there
        left = None
    by_name = side.rows(side.call("equal", row.name)) if side.peer.equal is not None else []
    return (bool(left), row in by_name), (False, False)


def _finds(side: Side, price: int) -> bool:
    """Whether a query finds an object by its new price, which is above all others."""
    if side.peer.page is None:
        return True
    found = [one.price for status in STATUSES for one in side.rows(side.call("page", status, price, LIMIT))]
    return price in found


def _difference(found: Any, right: Any) -> str:
    if not isinstance(found, list):
        return f"{found} instead of {right}"
    if len(found) != len(right):
        return f"{len(found)} objects instead of {len(right)}"
    return "other objects, or in another order"


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def _rotated(sides: Sequence[Side], number: int) -> list[Side]:
    first = number % len(sides) if sides else 0
    return [*sides[first:], *sides[:first]]


@contextmanager
def _realtime(pids: Sequence[int], priority: int) -> Iterator[None]:
    """Runs these processes before all others of the machine for as long as the block. It needs the right to."""
    try:
        for pid in pids:
            os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(priority))
        yield
    finally:
        for pid in pids:
            os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))
