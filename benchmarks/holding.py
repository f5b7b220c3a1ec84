"""How long one client's large queries keep another client waiting: PINGs while they run, in milliseconds.

The queries run in a process of their own. A PING is due every half millisecond; one that waits stands for those that
would have been due meanwhile, too. What the server itself needed for its longest call is in its slow log.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter, sleep
from typing import Any

import ormis
from ormis import Count, F, Max, StdDev, Sum

from . import catalogue, computing, long_texts
from .catalogue import Gadget
from .harness import Line, Result, Target, Work
from .long_texts import Article
from .place import Place
from .relating import Depot

EVERY = 0.0005

WORK: dict[str, Callable[[], Any]] = {
    "list": lambda: list(Gadget.objects.all()),
    "list-sorted": lambda: list(Gadget.objects.order_by("weight")),
    "count": lambda: [Gadget.objects.filter(weight__gte=number).count() for number in range(3)],
    "page": lambda: [list(Gadget.objects.order_by("weight")[:10]) for _ in range(3)],
    "iterate": lambda: sum(1 for _ in Gadget.objects.filter(status="sold").iterator()),
    "update": lambda: Gadget.objects.update(price=F("price") + 1),
    "delete": lambda: Gadget.objects.all().delete(),
    "aggregate": lambda: [Gadget.objects.aggregate(Sum("weight"), StdDev("price"), Max("name")) for _ in range(3)],
    "group": lambda: [*Gadget.objects.values("name").annotate(n=Count("*"), total=Sum("weight"))],
    "large-rows": lambda: sum(1 for _ in Article.objects.iterator()),
    "annotate": lambda: [*Depot.objects.annotate(n=Count("parcels"))],
}


def main(url: str, name: str) -> None:
    """What the other process does: it says that it is ready, waits for a line, works, and ends."""
    with ormis.connect(url):
        Gadget.objects.first()
        Depot.objects.first()
        Article.objects.first()
        print("ready", flush=True)
        sys.stdin.readline()
        WORK[name]()


def pings(place: Place, more: Callable[[int], bool]) -> list[float]:
    """How many milliseconds each PING took, as long as there are to be more."""
    waits: list[float] = []
    while more(len(waits)):
        start = perf_counter()
        place.client.ping()
        wait = perf_counter() - start
        waits += [1000 * (wait - late * EVERY) for late in range(int(wait / EVERY) + 1)]
        sleep(EVERY)
    return waits


def percentiles(waits: list[float]) -> list[float]:
    """The median, the 99th and the 99.9th percentile, the longest."""
    parts = quantiles(waits, n=1000, method="inclusive")
    return [parts[499], parts[989], parts[998], max(waits)]


class Holding(Line):
    """PING at the 99.9th percentile while another client's work runs, beside an idle server in the same minute."""

    unit = "ms"
    target = Target(20)
    work = ""
    module = __name__
    """That of the work, with a main() which runs it."""

    @property
    def rounds(self) -> int:
        return max(1, self.place.sizes.rounds // 10)

    def hand(self) -> Work:
        raise NotImplementedError

    def ormis(self) -> Work:
        raise NotImplementedError

    def prepare(self) -> None:
        catalogue.fill(self.place)

    def measure(self) -> Result:
        self.prepare()
        self.place.client.config_set("slowlog-log-slower-than", 1000)
        self.place.client.config_set("slowlog-max-len", 10_000)
        idle, busy, longest = [], [], []
        enough = 40 * self.operations
        for _ in range(self.rounds):
            self.prepare()
            idle.append(percentiles(pings(self.place, lambda done: done < enough)))
            self.place.client.slowlog_reset()
            busy.append(percentiles(self._busy()))
            longest.append(max((call["duration"] / 1000 for call in self.place.client.slowlog_get(-1)), default=1))
        self.check()
        shown = [" ".join(f"{median(column):.1f}" for column in zip(*side, strict=True)) for side in (busy, idle)]
        self.note = (
            f"median, 99%, 99.9%, longest {shown[0]} (idle {shown[1]}); server's longest call {max(longest):.1f}"
        )
        return self.result(median(run[2] for run in idle), median(run[2] for run in busy), [run[2] for run in busy])

    def check(self) -> None:
        """Nothing: there are no two sides."""

    def _busy(self) -> list[float]:
        command = [
            sys.executable,
            "-c",
            f"from {self.module} import main; main({self.place.url!r}, {self.work!r})",
        ]
        root = Path(__file__).parent.parent
        with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout.readline() == b"ready\n"
            other.stdin.write(b"go\n")
            other.stdin.flush()
            waits = pings(self.place, lambda done: other.poll() is None or done < 10)
        assert other.returncode == 0, "the other process failed"
        return waits


class HoldingCounts(Holding):
    """As Holding, of objects to which ten others refer each."""

    name = "hold-annotate"
    title = "PING during annotate(n=Count(...)) of a twentieth, by 10 each / idle"
    work = "annotate"

    def prepare(self) -> None:
        computing.fill_depots(self.place)


class HoldingLongRows(Holding):
    """As Holding, of 1,000 rows of 100,000 characters."""

    name = "rows-large"
    title = "PING during iterator() over 1,000 rows of 100,000 characters / idle"
    work = "large-rows"

    def prepare(self) -> None:
        long_texts.fill_articles(self.place)


def _line(work: str, title: str) -> type[Holding]:
    return type("Holding", (Holding,), {"name": f"hold-{work}", "title": f"PING during {title} / idle", "work": work})


LINES: list[type[Line]] = [
    _line("list", "a list of all objects"),
    _line("list-sorted", "a list of all, ordered by a field without index"),
    _line("count", "counts by a field without index"),
    _line("page", "first pages by a field without index"),
    _line("iterate", "iterator() over a third"),
    _line("aggregate", "aggregates of all, of columns without index"),
    _line("group", "groups of all by a field without index, count and sum"),
    HoldingCounts,
    HoldingLongRows,
]
# While querysets are without these there is nothing to measure.
if hasattr(ormis.QuerySet, "update"):
    LINES += [_line("update", "an update of all"), _line("delete", "a deletion of all")]
