"""Related objects: to one with select_related, to many with prefetch_related."""

from typing import Any

import ormis
from ormis import Field, ForeignKey, Related

from .harness import Line, Target, Work

ROWS = 1000
OF_A_DEPOT = 10


class Depot(ormis.Model):
    """Where parcels are."""

    name: str = Field(index=True)
    city: str
    capacity: int
    parcels: Related["Parcel"]


class Parcel(ormis.Model):
    """Something that is in a depot."""

    depot: ForeignKey[Depot] = ForeignKey(related_name="parcels")
    receiver: str
    weight: int
    fragile: bool


class RelatedLine(Line):
    """A line that reads parcels and their depots, ten parcels of each depot, stored one depot after the other."""

    def fill(self) -> None:
        depots = max(2, self.place.sizes.rows // OF_A_DEPOT)
        Depot.objects.bulk_create([Depot(name=f"depot {n}", city=f"city {n % 50}", capacity=n) for n in range(depots)])
        numbers = range(depots * OF_A_DEPOT)
        Parcel.objects.bulk_create([self.parcel(number, depots) for number in numbers])

    def parcel(self, number: int, _depots: int) -> Parcel:
        """The parcel with this number, from 0."""
        return Parcel(
            depot_id=number // OF_A_DEPOT + 1,
            receiver=f"receiver {number}",
            weight=number % 900,
            fragile=number % 2 == 0,
        )


class Select(RelatedLine):
    """1,000 parcels with their depots, against the same parcels alone."""

    name = "select-related"
    title = "select_related() of 1,000 rows, ten to an object / the rows alone"
    target = Target(1.6)
    note = "both sides ormis"

    @property
    def operations(self) -> int:
        return min(ROWS, self.place.sizes.rows)

    def hand(self) -> Work:
        return lambda: list(Parcel.objects.all()[: self.operations])

    def ormis(self) -> Work:
        return lambda: list(Parcel.objects.select_related("depot")[: self.operations])

    def check(self) -> None:
        with ormis.capture_calls() as calls:
            parcels = list(Parcel.objects.select_related("depot")[: self.operations])
            names = [parcel.depot.name for parcel in parcels]
        assert names == [f"depot {parcel.depot_id - 1}" for parcel in parcels]
        assert len(calls) == 1


class SelectDistinct(Select):
    """As Select, every parcel of another depot: as many objects again."""

    name = "select-related-all"
    title = "select_related() of 1,000 rows, each to another object / the rows alone"
    target = None

    def parcel(self, number: int, depots: int) -> Parcel:
        return Parcel(
            depot_id=number % depots + 1, receiver=f"receiver {number}", weight=number % 900, fragile=number % 2 == 0
        )


class PrefetchMany(RelatedLine):
    """All depots with their ten parcels each, typed, against two pipelines: depots and sets of keys, then parcels."""

    name = "prefetch-related"
    title = "prefetch_related() of 1,000 objects with 10 each / two pipelines by hand"
    target = Target(2, at_least=True)
    speed = True
    large = True
    note = "by hand dicts of bytes, the parcels in a list of each depot's own"

    def by_hand(self) -> list[tuple[dict[bytes, bytes], list[dict[bytes, bytes]]]]:
        """Each depot with its parcels."""
        with self.place.client.pipeline(transaction=False) as pipe:
            pks = self.place.client.zrange("depot/ids", 0, -1)
            for pk in pks:
                pipe.hgetall(b"depot:" + pk)
                pipe.smembers(b"parcel/index/depot_id=" + pk)
            found = pipe.execute()
        depots, keys = found[::2], found[1::2]
        with self.place.client.pipeline(transaction=False) as pipe:
            for pks in keys:
                for pk in pks:
                    pipe.hgetall(b"parcel:" + pk)
            parcels = iter(pipe.execute())
        return [(depot, [next(parcels) for _ in pks]) for depot, pks in zip(depots, keys, strict=True)]

    def hand(self) -> Work:
        return self.by_hand

    def ormis(self) -> Work:
        return lambda: list(Depot.objects.prefetch_related("parcels"))

    def check(self) -> None:
        by_hand = [(int(depot[b"id"]), {int(parcel[b"id"]) for parcel in parcels}) for depot, parcels in self.by_hand()]
        depots: list[Any] = list(Depot.objects.prefetch_related("parcels"))
        with ormis.capture_calls() as calls:
            ours = [(depot.id, {parcel.id for parcel in depot.parcels.all()}) for depot in depots]
        assert ours == by_hand
        assert not calls


LINES: list[type[Line]] = [Select, SelectDistinct, PrefetchMany]
