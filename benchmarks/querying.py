"""Queries on many objects, against what one writes with redis-py on the same keys."""

import tracemalloc
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import msgspec

from . import catalogue
from .catalogue import PRICES, STATUSES, Gadget
from .harness import Line, Target, Work
from .place import BATCH

FIELDS = tuple(Gadget.model_fields)
LIMIT = 10

WALK = """
local found, start = {}, 0
repeat
  local keys = redis.call('ZREVRANGEBYSCORE', KEYS[1], '+inf', ARGV[1], 'LIMIT', start, 64)
  local members = #keys > 0 and redis.call('SMISMEMBER', KEYS[2], unpack(keys)) or {}
  for i = 1, #keys do
    if members[i] == 1 then
      found[#found + 1] = redis.call('HMGET', 'gadget:' .. keys[i], unpack(ARGV, 3))
      if #found == tonumber(ARGV[2]) then return found end
    end
  end
  start = start + 64
until #keys < 64
return found
"""

FETCH = """
local rows = {}
for i, pk in ipairs(redis.call('SMEMBERS', KEYS[1])) do rows[i] = redis.call('HMGET', 'gadget:' .. pk, unpack(ARGV)) end
return cmsgpack.pack(rows)
"""


def texts(gadget: Gadget) -> dict[bytes, bytes]:
    """The object as HGETALL shows it."""
    shown = gadget.model_dump() | {"added": gadget.added.isoformat(timespec="microseconds")}
    return {name.encode(): str(value).encode() for name, value in shown.items()}


class QueryLine(Line):
    """A line whose sides only read, so that the gadgets are stored once for all of them.

    A round asks `operations` times, with another value each time; `check` compares what the two sides find.
    """

    def prepare(self) -> None:
        catalogue.fill(self.place)

    def ask_by_hand(self, number: int, /) -> Any:
        """What the hand-written side finds."""
        raise NotImplementedError

    def ask(self, number: int, /) -> Any:
        """What ormis finds."""
        raise NotImplementedError

    def _asking(self, ask: Callable[[int], Any]) -> Work:
        def work() -> None:
            for number in range(self.operations):
                ask(number)

        return work

    def hand(self) -> Work:
        return self._asking(self.ask_by_hand)

    def ormis(self) -> Work:
        return self._asking(self.ask)

    def check(self) -> None:
        for number in range(min(3, self.operations)):
            theirs, ours = self.ask_by_hand(number), self.ask(number)
            assert self.same(theirs, ours), f"ormis found {ours}, by hand {theirs}"
            assert ours, "nothing was found"

    def same(self, theirs: Any, ours: Any) -> bool:
        """Whether both sides found the same, whatever the order."""
        return sorted(theirs, key=_pk) == sorted(map(texts, ours), key=_pk)

    @property
    def objects(self) -> int:
        """How many gadgets there are."""
        return self.place.sizes.objects

    def hashes(self, pks: list[bytes]) -> list[dict[bytes, bytes]]:
        """These objects, by a pipeline of HGETALLs."""
        with self.place.client.pipeline(transaction=False) as pipe:
            for pk in pks:
                pipe.hgetall(b"gadget:" + pk)
            return pipe.execute()


def _pk(row: dict[bytes, bytes]) -> bytes:
    return row[b"id"]


class OrderLimit(QueryLine):
    """The ten dearest of a status above a price, against a script that walks the sorted set from its end."""

    name = "query-page"
    title = "equality, range, order, first 10 / a script that walks the index"
    target = Target(2)
    note = "by hand dicts of bytes, from one EVALSHA: ZREVRANGEBYSCORE, SMISMEMBER, HMGET"

    def prepare(self) -> None:
        super().prepare()
        self.sha = self.place.client.script_load(WALK)

    def ask_by_hand(self, number: int) -> Any:
        keys = ("gadget/index/price", f"gadget/index/status={STATUSES[number % 3]}")
        rows = self.place.client.evalsha(self.sha, 2, *keys, PRICES // 2, LIMIT, *FIELDS)
        return [{name.encode(): text for name, text in zip(FIELDS, row, strict=True)} for row in rows]

    def ask(self, number: int) -> Any:
        found = Gadget.objects.filter(status=STATUSES[number % 3], price__gte=PRICES // 2)
        return list(found.order_by("-price")[:LIMIT])

    def same(self, theirs: Any, ours: Any) -> bool:
        return theirs == [*map(texts, ours)]


class Equality(QueryLine):
    """The 100 objects of a name, typed, against SMEMBERS and pipelined HGETALLs."""

    name = "query-equal"
    title = "equality, 100 typed objects / SMEMBERS, pipelined HGETALLs"
    target = Target(2, at_least=True)
    speed = True

    def ask_by_hand(self, number: int) -> Any:
        pks = self.place.client.smembers(f"gadget/index/name=name {number % catalogue.names(self.objects)}")
        return self.hashes([*pks])

    def ask(self, number: int) -> Any:
        return list(Gadget.objects.filter(name=f"name {number % catalogue.names(self.objects)}"))


class EqualityFloor(Equality):
    """As Equality, with a script that only fetches: neither an order nor objects. What ormis can't be faster than."""

    name = "query-equal-floor"
    title = "the same by a bare script, packed texts / SMEMBERS, pipelined HGETALLs"
    target = None
    note = "not ormis: SMEMBERS and HMGETs in one EVALSHA, whose reply is not even decoded"

    def prepare(self) -> None:
        super().prepare()
        self.sha = self.place.client.script_load(FETCH)

    def ask(self, number: int) -> Any:
        key = f"gadget/index/name=name {number % catalogue.names(self.objects)}"
        return self.place.client.evalsha(self.sha, 1, key, *FIELDS)

    def same(self, theirs: Any, ours: Any) -> bool:
        rows = msgspec.msgpack.decode(ours, type=list[list[str]])
        found = [{name.encode(): text.encode() for name, text in zip(FIELDS, row, strict=True)} for row in rows]
        return sorted(theirs, key=_pk) == sorted(found, key=_pk)


class EqualityInOrder(Equality):
    """As Equality, against somebody who wants the objects in the order of their creation, as ormis returns them."""

    name = "query-equal-ordered"
    title = "equality, 100 objects in their order / the same, sorted by hand"
    target = None

    def ask_by_hand(self, number: int) -> Any:
        pks = self.place.client.smembers(f"gadget/index/name=name {number % catalogue.names(self.objects)}")
        return self.hashes(sorted(pks, key=int))

    def same(self, theirs: Any, ours: Any) -> bool:
        return theirs == [*map(texts, ours)]


class EqualityAndRange(QueryLine):
    """Some 250 of the 500 objects of a brand, against SMEMBERS, ZMSCORE and pipelined HGETALLs."""

    name = "query-equal-range"
    title = "equality and range, 250 objects / SMEMBERS, ZMSCORE, pipelined HGETALLs"
    speed = True

    def ask_by_hand(self, number: int) -> Any:
        pks = [*self.place.client.smembers(f"gadget/index/brand={brand(number, self.objects)}")]
        prices = self.place.client.zmscore("gadget/index/price", pks)
        return self.hashes([pk for pk, price in zip(pks, prices, strict=True) if price >= PRICES // 2])

    def ask(self, number: int) -> Any:
        return list(Gadget.objects.filter(brand=brand(number, self.objects), price__gte=PRICES // 2))


def brand(number: int, objects: int) -> str:
    return f"brand {number % catalogue.brands(objects)}"


class CountTwoFields(QueryLine):
    """A count that the index of two fields knows, against the one command that asks for it."""

    name = "query-count"
    title = 'count() by Index("country", "price") / a bare ZCOUNT'
    target = Target(2)

    def ask_by_hand(self, number: int) -> Any:
        country = catalogue.COUNTRIES[number % 7]
        return self.place.client.zcount(f"gadget/index/country={country}/price", 1000 + number, "+inf")

    def ask(self, number: int) -> Any:
        return Gadget.objects.filter(country=catalogue.COUNTRIES[number % 7], price__gte=1000 + number).count()

    def same(self, theirs: Any, ours: Any) -> bool:
        return theirs == ours


class Iterate(QueryLine):
    """All objects one after another, against the ids and pipelined HGETALLs, 1,000 at a time; neither keeps them."""

    name = "query-iterate"
    title = "iterator() over all objects, typed / ZRANGE, pipelined HGETALLs, in chunks"
    target = Target(1.3, at_least=True)
    speed = True

    @property
    def operations(self) -> int:
        return self.objects

    @property
    def rounds(self) -> int:
        return max(3, self.place.sizes.rounds // 6)

    def _rows(self) -> Iterator[dict[bytes, bytes]]:
        start = 0
        while pks := self.place.client.zrange("gadget/ids", start, start + BATCH - 1):
            yield from self.hashes(pks)
            start += BATCH

    def hand(self) -> Work:
        return lambda: sum(1 for _ in self._rows())

    def ormis(self) -> Work:
        return lambda: sum(1 for _ in Gadget.objects.iterator())

    def check(self) -> None:
        pairs = zip(self._rows(), Gadget.objects.iterator(), strict=True)
        assert all(row == texts(gadget) for row, gadget in pairs), "the sides read different objects"
        few, all_ = self._peak(self.objects // 10), self._peak(self.objects)
        self.note = f"Python's memory at its peak, by tracemalloc: {all_:.1f} MB, {few:.1f} for a tenth of the objects"

    def _peak(self, objects: int) -> float:
        tracemalloc.start()
        for _ in islice(Gadget.objects.iterator(), objects):
            pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak / 1e6


LINES: list[type[Line]] = [
    OrderLimit,
    Equality,
    EqualityFloor,
    EqualityInOrder,
    EqualityAndRange,
    CountTwoFields,
    Iterate,
]
