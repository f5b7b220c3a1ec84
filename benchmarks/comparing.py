"""Times the same operations of several peers, each with the same rows on a server of its own.

Before an operation of a peer is timed, what it returns is compared with rows.py. The peers are timed one right after
the other, in rounds; which goes first changes from round to round. The ratio of a peer is the median of the ratios of
its rounds to those of the first peer.
"""

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import count, cycle, islice, pairwise
from statistics import median
from time import perf_counter

from . import rows
from .judging import fault
from .rows import LIMIT, OF_A_NAME, PRICES, STATUSES, Row
from .sides import Arguments, Figure, Side

CHUNK = 1000
SAMPLE = 200
"""How many keys of stored objects are kept, to get them."""
CHECKED = 3
"""Calls whose results are compared."""
ROUND = 0.05
"""Seconds: a round has fewer calls of a peer that takes longer for them."""
BUDGET = 4.0
"""Seconds of an operation of a peer, after which it has no further rounds, if it has had FEWEST."""
FEWEST = 3

CALLS = {"get": 100, "equal": 20, "page": 50, "count": 50, "save": 50, "update": 50, "delete": 50}
"""The calls of a round, at most."""
QUERIES = ("get", "equal", "page", "count")
"""These only read: they are timed at each size."""
CHANGES = ("save", "update", "delete")
"""These work on objects of their own, in this order, and leave none behind."""


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
        pids = [os.getpid(), *(side.home.pid for side in sides)] if fifo else []
        self.undisturbed = lambda: _realtime(pids, fifo) if fifo else nullcontext()
        self.fresh = count(2 * max(sizes))
        self.prices = count(PRICES)
        self.figures: list[Figure] = []

    def run(self, tell: Callable[[str], None] = print) -> list[Figure]:
        """All figures. `tell` is told what is done next."""
        gc.collect()
        gc.freeze()  # each round collects: the modules of the peers need not be looked through again
        try:
            for stored, size in pairwise([0, *self.sizes]):
                tell(f"{size:,} objects: storing them")
                self._fill(stored, size)
                if size == self.detail > CHUNK:
                    self._memory()
                for operation in (*QUERIES, *(CHANGES if size == self.detail else ())):
                    tell(f"{size:,} objects: {operation}")
                    self._time(operation, size)
                self._delete_changed()
        finally:
            gc.unfreeze()
        return self.figures

    def _present(self, number: int = 0) -> list[Side]:
        """The sides that go on; another one is the first for each number."""
        sides = [side for side in self.sides if not side.out]
        first = number % len(sides)
        return sides[first:] + sides[:first]

    def _fill(self, first: int, size: int) -> None:
        """Stores the rows that are missing, a chunk by each peer in turn."""
        times: dict[str, list[float]] = {side.name: [] for side in self.sides}
        for start in range(first, size, CHUNK):
            chunk = rows.rows(start, min(start + CHUNK, size))
            for side in self._present(start // CHUNK):
                if side.row_seconds * (size - start) > self.patience and side is not self.sides[0]:
                    side.out = True
                    continue
                try:
                    with self.undisturbed() if size == self.detail else nullcontext():
                        times[side.name].append(_store(side, chunk) / len(chunk))
                except Exception as error:  # noqa: BLE001 - a peer may raise anything, and the others go on
                    side.out = True
                    side.fail("bulk_create", size, error)
                    continue
                side.row_seconds = min(times[side.name])  # other work of the machine leaves nobody out
                side.first_memory = side.first_memory or side.home.used_memory
        if size == self.detail:
            for side in self.sides:
                self._note(side, "bulk_create", size, times)

    def _memory(self) -> None:
        """Bytes of an object in the server, without those of the first chunk, which scripts and indexes are part of."""
        first: float | None = None
        for side in self._present():
            if any(side.home.folder.iterdir()):
                self.figures.append(Figure(side.name, "memory", self.detail, "-"))
                continue
            used = (side.home.used_memory - side.first_memory) / (self.detail - CHUNK)
            first = first or used
            self.figures.append(Figure(side.name, "memory", self.detail, "ok", used, used / first))

    def _arguments(self, side: Side, operation: str, size: int, calls: int) -> Arguments:
        """The arguments of so many calls, or of fewer if the objects that were saved do not suffice."""
        match operation:
            case "get":
                return [(side.keys[number * 7 % len(side.keys)],) for number in range(calls)]
            case "equal":
                step = max(1, size // OF_A_NAME // calls)
                return [(f"name {number}",) for number in islice(cycle(range(0, size // OF_A_NAME or 1, step)), calls)]
            case "page":
                return [
                    (STATUSES[number % 3], low, LIMIT) for number, low in zip(range(calls), rows.lows(), strict=False)
                ]
            case "count":
                return [(low,) for low in islice(rows.lows(), calls)]
            case "save":
                return [(rows.row(number)._replace(price=PRICES - 1),) for number in islice(self.fresh, calls)]
        keys, side.changed = side.changed[:calls], side.changed[calls:]
        objects = side.calls("get", [(key,) for key in keys])
        if operation == "delete":
            return [(one,) for one in objects]
        side.changed += keys
        return [(one, next(self.prices)) for one in objects]

    def _time(self, operation: str, size: int) -> None:
        """Checks an operation of each peer, then times those whose results are right."""
        calls = {side.name: self._checked(side, operation, size) for side in self._present()}
        times: dict[str, list[float]] = {side.name: [] for side in self.sides}
        for number in range(self.rounds):
            for side in self._present(number):
                past, most = times[side.name], calls[side.name]
                if not most or (len(past) >= FEWEST and sum(past) * most > BUDGET):
                    continue
                try:
                    if given := self._arguments(side, operation, size, most):
                        past.append(self._round(side, operation, given))
                except Exception as error:  # noqa: BLE001 - a peer may raise anything, and the others go on
                    side.fail(operation, size, error)
                    times[side.name], calls[side.name] = [], 0
        for side in self.sides:
            self._note(side, operation, size, times)

    def _round(self, side: Side, operation: str, arguments: Arguments) -> float:
        """Seconds of a call. The first fifth is not timed: it finds the processor's caches full of the other peers."""
        gc.collect()
        first, rest = arguments[: len(arguments) // 5], arguments[len(arguments) // 5 :]
        with self.undisturbed():
            results = side.calls(operation, first)
            begun = perf_counter()
            results += side.calls(operation, rest)
            seconds = perf_counter() - begun
        if operation == "save":
            side.changed += map(side.peer.key, results)
        return seconds / len(rest)

    def _checked(self, side: Side, operation: str, size: int) -> int:
        """How many calls a round of this side has; none if it lacks the operation or if that is wrong."""
        if not side.has(operation):
            return 0
        try:
            given = self._arguments(side, operation, size, CHECKED)
            begun = perf_counter()
            results = side.calls(operation, given)
            seconds = (perf_counter() - begun) / CHECKED
            if operation == "save":
                side.changed += map(side.peer.key, results)
            found = fault(side, operation, size, given, results)
        except Exception as error:  # noqa: BLE001 - a peer may raise anything, and the others go on
            side.fail(operation, size, error)
            return 0
        if found:
            side.faults[operation, size] = "wrong", found
            return 0
        return max(1, min(CALLS[operation], int(ROUND / seconds)))

    def _delete_changed(self) -> None:
        """Deletes the objects that were saved and not deleted, since the queries of larger sizes don't expect them."""
        for side in self._present():
            try:
                side.calls("delete", self._arguments(side, "delete", 0, len(side.changed)))
            except Exception:  # noqa: BLE001 - its next queries are found to be wrong
                side.changed.clear()

    def _note(self, side: Side, operation: str, size: int, times: dict[str, list[float]]) -> None:
        """Adds the figure of an operation of a side at a size."""
        mine, first = times[side.name], times[self.sides[0].name]
        if not side.has(operation):
            self.figures.append(Figure(side.name, operation, size, "-"))
        elif not mine:
            state, note = side.faults.get((operation, size), ("left out", ""))
            self.figures.append(Figure(side.name, operation, size, state, note=note))
        else:
            ratio = median(a / b for a, b in zip(mine, first, strict=False)) if first else None
            self.figures.append(Figure(side.name, operation, size, "ok", median(mine) * 1e6, ratio))


def _store(side: Side, chunk: list[Row]) -> float:
    """Stores rows and returns the seconds."""
    begun = perf_counter()
    one_by_one = not side.has("bulk_create")
    stored = side.calls("save", [(row,) for row in chunk]) if one_by_one else side.call("bulk_create", chunk)
    seconds = perf_counter() - begun
    if len(side.keys) < SAMPLE:
        side.keys += map(side.peer.key, stored)
    return seconds


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
