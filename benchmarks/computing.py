"""Computed values: aggregates, groups and annotations, against what one writes with redis-py on the same keys."""

import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from math import fsum, isclose, sqrt
from typing import Any, ClassVar

import ormis
from ormis import Avg, Count, Max, Min, StdDev, Sum

from . import sales
from .harness import Line, Target, Work
from .place import BATCH, Place, batches
from .querying import QueryLine
from .relating import OF_A_DEPOT, Depot, Parcel, RelatedLine
from .sales import PRICES, Sale

TOP = 10


class SaleLine(QueryLine):
    """A line whose sides only read, so that the sales are stored once for all of them."""

    def prepare(self) -> None:
        sales.fill(self.place)

    def same(self, theirs: Any, ours: Any) -> bool:
        return theirs == ours


# Ends and sizes of indexes -------------------------------------------------------------------------------------------


class AggregateCount(SaleLine):
    """A number of objects that an index knows, against the one command that asks for it."""

    name = "agg-count"
    title = 'aggregate(Count("*")) by an index / a bare ZCOUNT'
    target = Target(1.5)

    def ask_by_hand(self, number: int) -> Any:
        return self.place.client.zcount("sale/index/price", PRICES // 2 + number, "+inf")

    def ask(self, number: int) -> Any:
        return Sale.objects.filter(price__gte=PRICES // 2 + number).aggregate(n=Count("*"))["n"]


class AggregateMin(SaleLine):
    """The least value of an indexed column, against the one command that asks for it."""

    name = "agg-min"
    title = 'aggregate(Min("price")) / a bare ZRANGE'
    target = Target(1.5)

    def ask_by_hand(self, _number: int) -> Any:
        return [int(score) for _, score in self.place.client.zrange("sale/index/price", 0, 0, withscores=True)]

    def ask(self, _number: int) -> Any:
        return [*Sale.objects.aggregate(Min("price")).values()]


class AggregateMinMax(SaleLine):
    """The least and the largest value of an indexed column, against the two commands, in a pipeline."""

    name = "agg-min-max"
    title = 'aggregate(Min("price"), Max("price")) / two pipelined ZRANGEs'
    target = Target(1.5)

    def ask_by_hand(self, _number: int) -> Any:
        with self.place.client.pipeline(transaction=False) as pipe:
            pipe.zrange("sale/index/price", 0, 0, withscores=True)
            pipe.zrange("sale/index/price", -1, -1, withscores=True)
            return [int(score) for ((_, score),) in pipe.execute()]

    def ask(self, _number: int) -> Any:
        return [*Sale.objects.aggregate(Min("price"), Max("price")).values()]


# Sums of all ---------------------------------------------------------------------------------------------------------


class SaleScan(SaleLine):
    """A line that computes something of all sales. By hand the columns come by pipelined HMGETs, 1,000 at a time."""

    target = Target(5, at_least=True)
    speed = True
    columns: ClassVar[tuple[str, ...]]

    @property
    def operations(self) -> int:
        return self.objects

    @property
    def rounds(self) -> int:
        return max(3, self.place.sizes.rounds // 6)

    def hand(self) -> Work:
        return lambda: self.ask_by_hand(0)

    def ormis(self) -> Work:
        return lambda: self.ask(0)

    def check(self) -> None:
        theirs, ours = self.ask_by_hand(0), self.ask(0)
        assert self.same(theirs, ours), f"ormis computed {ours}, by hand {theirs}"

    def rows(self) -> Iterator[list[bytes]]:
        """The columns of all sales."""
        start = 0
        while pks := self.place.client.zrange("sale/ids", start, start + BATCH - 1):
            with self.place.client.pipeline(transaction=False) as pipe:
                for pk in pks:
                    pipe.hmget(b"sale:" + pk, self.columns)
                yield from pipe.execute()
            start += BATCH


def _total(numbers: Sequence[Any]) -> float:
    return fsum(numbers) if isinstance(numbers[0], float) else sum(numbers)


def _average(numbers: Sequence[Any]) -> float:
    return _total(numbers) / len(numbers)


def _deviation(numbers: Sequence[Any]) -> float:
    average = _average(numbers)
    return sqrt(fsum((number - average) ** 2 for number in numbers) / len(numbers))


def _aggregate(name: str, column: str, make: Any, by_hand: Callable[[Sequence[Any]], float], about: str) -> type[Line]:
    """The line of one aggregate of one column."""
    read = float if column in ("rating", "weight") else int

    class Scan(SaleScan):
        columns = (column,)

        def ask_by_hand(self, _number: int) -> Any:
            return by_hand([read(text) for (text,) in self.rows()])

        def ask(self, _number: int) -> Any:
            return Sale.objects.aggregate(value=make(column))["value"]

        def same(self, theirs: Any, ours: Any) -> bool:
            return isclose(theirs, ours, rel_tol=1e-12) if make is StdDev else theirs == ours

    title = f"{make.__name__} of {about} / pipelined HMGETs, added up in Python"
    return type(make.__name__, (Scan,), {"name": name, "title": title})


# Groups --------------------------------------------------------------------------------------------------------------


class GroupBy(SaleScan):
    """Number and sum of each of 1,000 groups."""

    name = "group-by"
    title = "1,000 groups, count and sum / pipelined HMGETs, grouped in Python"
    columns = ("shop", "amount")

    def ask_by_hand(self, _number: int) -> Any:
        counts, sums = Counter[bytes](), Counter[bytes]()
        for shop, amount in self.rows():
            counts[shop] += 1
            sums[shop] += int(amount)
        return {shop.decode(): (n, sums[shop]) for shop, n in counts.items()}

    def ask(self, _number: int) -> Any:
        return by_shops()


def by_shops() -> dict[str, tuple[int, int]]:
    """Number and sum of each shop, by ormis."""
    groups = Sale.objects.values_list("shop").annotate(n=Count("*"), total=Sum("amount"))
    return {shop: (n, total) for shop, n, total in groups}


# Annotations ---------------------------------------------------------------------------------------------------------


class AnnotateCount(RelatedLine):
    """1,000 objects with the number of what refers to each, against the same objects alone."""

    name = "annotate-count"
    title = "annotate(n=Count(...)) of 1,000 with 10 each / the objects alone"
    target = Target(1.3)
    large = True
    note = "both sides ormis"

    @property
    def operations(self) -> int:
        return max(2, self.place.sizes.rows // OF_A_DEPOT)

    @property
    def rounds(self) -> int:
        return self.place.sizes.rounds

    def hand(self) -> Work:
        return lambda: [*Depot.objects.all()]

    def ormis(self) -> Work:
        return lambda: [*Depot.objects.annotate(n=Count("parcels"))]

    def check(self) -> None:
        with ormis.capture_calls() as calls:
            depots: list[Any] = [*Depot.objects.annotate(n=Count("parcels"))]
        assert [(depot.pk, depot.n) for depot in depots] == [(depot.pk, OF_A_DEPOT) for depot in Depot.objects.all()]
        assert len(calls) == 1 or len(depots) > 1000, f"{len(calls)} calls"


def fill_depots(place: Place) -> None:
    """Stores a depot for each twenty objects, with nine or so parcels each, the first few with more."""
    depots = max(TOP, place.sizes.objects // 20)
    if place.client.zcard("depot/ids") == depots:
        return
    place.clear()
    Depot.objects.bulk_create([Depot(name=f"depot {n}", city=f"city {n % 50}", capacity=n) for n in range(depots)])
    owners = [pk for pk in range(1, depots + 1) for _ in range(pk * 7919 % 19 + (20 + pk if pk <= TOP else 0))]
    for pks in batches(owners):
        Parcel.objects.bulk_create(
            [Parcel(depot_id=pk, receiver=f"to {pk}", weight=pk % 900, fragile=False) for pk in pks]
        )


class TopCount(QueryLine):
    """The ten of 10,000 objects to which most refer, against fetching what refers to them."""

    name = "top-count"
    title = "order_by(a count), first 10 of 10,000 / the references, counted in Python"
    target = Target(10, at_least=True)
    speed = True
    note = "both sides ormis: by hand values_list() of the children, and in_bulk() of the ten"

    @property
    def operations(self) -> int:
        return 1

    @property
    def rounds(self) -> int:
        return max(3, self.place.sizes.rounds // 3)

    def prepare(self) -> None:
        fill_depots(self.place)

    def ask_by_hand(self, _number: int) -> Any:
        counts = Counter(Parcel.objects.values_list("depot_id", flat=True))
        most = heapq.nsmallest(TOP, counts.items(), key=lambda item: (-item[1], item[0]))
        depots = Depot.objects.in_bulk([pk for pk, _ in most])
        return [(depots[pk].name, n) for pk, n in most]

    def ask(self, _number: int) -> Any:
        return [(depot.name, depot.n) for depot in Depot.objects.annotate(n=Count("parcels")).order_by("-n")[:TOP]]

    def same(self, theirs: Any, ours: Any) -> bool:
        return theirs == ours


class TopCountOfSets(TopCount):
    """The same, against a SCARD of each object, and HGETALLs of the ten."""

    name = "top-count-by-hand"
    title = "order_by(a count), first 10 of 10,000 / pipelined SCARDs, sorted in Python"
    target = None
    note = "by hand dicts of bytes"

    def ask_by_hand(self, _number: int) -> Any:
        client = self.place.client
        counts: list[tuple[int, int]] = []
        for pks in batches(client.zrange("depot/ids", 0, -1)):
            with client.pipeline(transaction=False) as pipe:
                for pk in pks:
                    pipe.scard(b"parcel/index/depot_id=" + pk)
                counts += zip(map(int, pks), pipe.execute(), strict=True)
        most = heapq.nsmallest(TOP, counts, key=lambda item: (-item[1], item[0]))
        with client.pipeline(transaction=False) as pipe:
            for pk, _ in most:
                pipe.hgetall(f"depot:{pk}")
            depots = pipe.execute()
        return [(depot[b"name"].decode(), n) for depot, (_, n) in zip(depots, most, strict=True)]


LINES: list[type[Line]] = [
    AggregateCount,
    AggregateMin,
    AggregateMinMax,
    _aggregate("agg-sum", "amount", Sum, _total, "a column"),
    _aggregate("agg-sum-indexed", "price", Sum, _total, "an indexed column"),
    _aggregate("agg-avg-float", "weight", Avg, _average, "a float column"),
    _aggregate("agg-avg-float-indexed", "rating", Avg, _average, "an indexed float column"),
    _aggregate("agg-stddev", "amount", StdDev, _deviation, "a column"),
    _aggregate("agg-stddev-float", "weight", StdDev, _deviation, "a float column"),
    _aggregate("agg-stddev-indexed", "price", StdDev, _deviation, "an indexed column"),
    GroupBy,
    AnnotateCount,
    TopCount,
    TopCountOfSets,
]
