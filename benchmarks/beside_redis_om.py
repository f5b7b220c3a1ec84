"""Queries beside redis-om and RediSearch: both sides on one server with that module, each with its own objects."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

from . import catalogue, sales
from .catalogue import PRICES, STATUSES, Gadget
from .computing import by_shops
from .harness import Line, Target
from .querying import LIMIT, QueryLine, brand, texts


class PeerLine(QueryLine):
    """A line whose other side is redis-om. It is slower, so a round is of fewer operations."""

    speed = True

    @property
    def operations(self) -> int:
        return max(1, self.place.sizes.operations // 10)

    @property
    def rounds(self) -> int:
        return max(3, self.place.sizes.rounds // 2)

    def prepare(self) -> None:
        super().prepare()
        self.model.fill(self.place)

    @cached_property
    def model(self) -> Any:
        """The module with redis-om's model, which imports redis-om."""
        from . import peer_model

        return peer_model

    def same(self, theirs: Sequence[Any], ours: Sequence[Gadget]) -> bool:
        return sorted(map(self.model.texts, theirs), key=str) == sorted(map(texts, ours), key=str)


class PeerPage(PeerLine):
    """The ten dearest of a status above a price."""

    name = "peer-page"
    title = "equality, range, order, first 10 / redis-om"
    target = Target(20, at_least=True)

    def ask_by_hand(self, number: int) -> Any:
        model = self.model.Gadget
        found = model.find((model.status == STATUSES[number % 3]) & (model.price >= PRICES // 2))
        return found.sort_by("-price").page(0, LIMIT)

    def ask(self, number: int) -> Any:
        found = Gadget.objects.filter(status=STATUSES[number % 3], price__gte=PRICES // 2)
        return list(found.order_by("-price")[:LIMIT])

    def same(self, theirs: Any, ours: Any) -> bool:
        return [one.price for one in theirs] == [one.price for one in ours]  # the order of equal prices may differ


class PeerEquality(PeerLine):
    """The 100 objects of a name."""

    name = "peer-equal"
    title = "equality, 100 objects / redis-om"
    target = Target(4, at_least=True)

    def ask_by_hand(self, number: int) -> Any:
        model = self.model.Gadget
        return model.find(model.name == f"name {number % catalogue.names(self.objects)}").all()

    def ask(self, number: int) -> Any:
        return list(Gadget.objects.filter(name=f"name {number % catalogue.names(self.objects)}"))


class PeerEqualityAndRange(PeerLine):
    """Some 250 of the 500 objects of a brand."""

    name = "peer-equal-range"
    title = "equality and range, 250 objects of 500 equal / redis-om"
    target = Target(4, at_least=True)

    def ask_by_hand(self, number: int) -> Any:
        model = self.model.Gadget
        return model.find((model.brand == brand(number, self.objects)) & (model.price >= PRICES // 2)).all()

    def ask(self, number: int) -> Any:
        return list(Gadget.objects.filter(brand=brand(number, self.objects), price__gte=PRICES // 2))


class PeerRangeAndEquality(PeerLine):
    """Some 250 objects of a status among the 750 of a narrow range."""

    name = "peer-range-equal"
    title = "range and equality, 250 objects of 750 in range / redis-om"
    target = Target(4, at_least=True)

    def _range(self, number: int) -> tuple[int, int]:
        width = PRICES * 750 // max(self.objects, 750)
        first = number * 1009 % (PRICES - width)
        return first, first + width

    def ask_by_hand(self, number: int) -> Any:
        model = self.model.Gadget
        low, high = self._range(number)
        return model.find((model.price >= low) & (model.price <= high) & (model.status == STATUSES[number % 3])).all()

    def ask(self, number: int) -> Any:
        return list(Gadget.objects.filter(price__range=self._range(number), status=STATUSES[number % 3]))


class PeerCount(PeerLine):
    """A count by two fields."""

    name = "peer-count"
    title = 'count() by Index("country", "price") / redis-om'

    def ask_by_hand(self, number: int) -> Any:
        model = self.model.Gadget
        country = catalogue.COUNTRIES[number % 7]
        return model.find((model.country == country) & (model.price >= 1000 + number)).count()

    def ask(self, number: int) -> Any:
        return Gadget.objects.filter(country=catalogue.COUNTRIES[number % 7], price__gte=1000 + number).count()

    def same(self, theirs: Any, ours: Any) -> bool:
        return theirs == ours


class PeerGroups(PeerLine):
    """Number and sum of each of 1,000 groups, by FT.AGGREGATE over the index of redis-om's model."""

    name = "peer-group-by"
    title = "1,000 groups, count and sum / redis-om's index, FT.AGGREGATE"
    target: ClassVar[Target | None] = Target(2, at_least=True)
    columns = ("shop", "amount")

    @property
    def operations(self) -> int:
        return 1

    def prepare(self) -> None:
        sales.fill(self.place)
        self.model.fill_sales(self.place)

    def ask_by_hand(self, _number: int) -> Any:
        return self.model.by_shops(*self.columns)

    def ask(self, _number: int) -> Any:
        return by_shops()

    def same(self, theirs: Any, ours: Any) -> bool:
        return theirs == ours


class PeerGroupsInMemory(PeerGroups):
    """The same by fields that are declared sortable, which RediSearch keeps beside the index."""

    name = "peer-group-by-sortable"
    title = "1,000 groups, count and sum / FT.AGGREGATE over sortable fields"
    target = None
    note = "RediSearch reads no hash for these: it holds a second copy of the fields in memory"
    columns = ("again", "total")


LINES: list[type[Line]] = [
    PeerPage,
    PeerEquality,
    PeerEqualityAndRange,
    PeerRangeAndEquality,
    PeerCount,
    PeerGroups,
    PeerGroupsInMemory,
]
