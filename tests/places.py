"""Models with values that are kept as JSON, random objects of them, and lookups of parts with what Python says."""

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, NotRequired
from uuid import UUID

from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic import Field as Inner
from typing_extensions import TypedDict

import ormis
from ormis import Field, ForeignKey, Index, Q


class Kind(Enum):
    HOME = "home"
    WORK = "work"


class Geo(BaseModel):
    lat: float
    floor: int = 0


class Address(BaseModel):
    city: str
    zip: str | None = Inner(default=None, alias="postcode")
    geo: Geo | None = None
    since: datetime | None = None
    day: date | None = None
    price: Decimal | None = None
    kind: Kind = Kind.HOME
    open: bool = True
    lines: list[str] = []
    key: UUID | None = None
    more: dict[str, int] = {}

    model_config = {"populate_by_name": True}


@dataclass
class Size:
    width: int
    unit: str = "m"
    marks: tuple[int, ...] = field(default_factory=tuple)


class Note(TypedDict):
    text: str
    stars: NotRequired[int]


class PlaceFields(ormis.Model):
    name: str
    address: Address | None = None
    size: Size | None = None
    note: Note | None = None
    tags: list[str] = []
    scores: list[int] | None = None
    pair: tuple[int, str] = (0, "")
    numbers: set[int] = set()
    prices: list[Decimal] = []
    meta: dict[str, Any] = {}
    counts: dict[str, int] = {}
    history: list[Address] = []

    class Meta:
        abstract = True


class Place(PlaceFields):
    class Meta:
        key = "inside_place"


class IndexedPlace(PlaceFields):
    tags: list[str] = Field(default=[], index="members")
    scores: list[int] | None = Field(default=None, index="members")
    numbers: set[int] = Field(default=set(), index="members")

    class Meta:
        key = "inside_indexed"
        indexes = [
            Index("address__city"),
            Index("address__geo__lat"),
            Index("address__geo__floor"),
            Index("address__since"),
            Index("address__price"),
            Index("address__kind"),
            Index("address__open"),
            Index("address__lines__0"),
            Index("tags__len"),
            Index("pair__0"),
            Index("size__unit", "size__width"),
            Index("name", "address__day"),
            Index("address__zip", "counts__a"),
            Index("history__1__city"),
        ]


class Visit(ormis.Model):
    place: ForeignKey[Place | None] = ForeignKey(on_delete=ormis.CASCADE, related_name="visits")
    day: int = 0

    class Meta:
        key = "inside_visit"


# Values --------------------------------------------------------------------------------------------------------------

TEXTS = st.sampled_from(["", "a", "b", "ab", "Ab", 'q"\\', "é\n", "x,]}y", "null", "1", "\0z", "😀", "$", "a/b"])
INTS = st.sampled_from([0, 1, -1, 2, 7, 2**53, 2**53 + 1, -(2**60), 2**70 + 1])
FLOATS = st.sampled_from([0.0, 1.0, -1.5, 0.1, 1e20, 1e-7, 2.0**53, float("inf"), float("-inf")])
DECIMALS = st.sampled_from([Decimal(text) for text in ("0", "1", "1.0", "1.10", "-3", "1E+3", "1234567890123456789.1")])
MOMENTS = st.sampled_from(
    [
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
        datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=timezone(timedelta(hours=-5, minutes=-30))),
        datetime(9000, 3, 1, 0, 0, 0, 5, tzinfo=timezone(timedelta(hours=2))),
        datetime(1, 1, 2, tzinfo=UTC),
    ]
)
DAYS = st.sampled_from([date(2026, 1, 1), date(1999, 12, 31), date(9999, 12, 31)])
KEYS = st.sampled_from([UUID(int=0), UUID(int=1), UUID(int=2**127)])
ANY = st.one_of(st.none(), TEXTS, INTS, st.booleans(), st.lists(st.one_of(TEXTS, INTS), max_size=2))
NAMES = st.sampled_from(["a", "b", "k y", "é", '"', "len"])
GEOS = st.builds(Geo, lat=FLOATS, floor=INTS)
ADDRESSES = st.builds(
    Address,
    city=TEXTS,
    zip=st.none() | TEXTS,
    geo=st.none() | GEOS,
    since=st.none() | MOMENTS,
    day=st.none() | DAYS,
    price=st.none() | DECIMALS,
    kind=st.sampled_from(Kind),
    open=st.booleans(),
    lines=st.lists(TEXTS, max_size=2),
    key=st.none() | KEYS,
    more=st.dictionaries(NAMES, INTS, max_size=2),
)
PLACES = st.builds(
    lambda **values: values,
    name=TEXTS,
    address=st.none() | ADDRESSES,
    size=st.none() | st.builds(Size, INTS, TEXTS, st.lists(INTS, max_size=2).map(tuple)),
    note=st.none() | st.builds(lambda text, stars: {"text": text} | stars, TEXTS, st.sampled_from([{}, {"stars": 3}])),
    tags=st.lists(TEXTS, max_size=3),
    scores=st.none() | st.lists(INTS, max_size=3),
    pair=st.tuples(INTS, TEXTS),
    numbers=st.sets(INTS, max_size=3),
    prices=st.lists(DECIMALS, max_size=2),
    meta=st.dictionaries(NAMES, ANY, max_size=3),
    counts=st.dictionaries(NAMES, INTS, max_size=3),
    history=st.lists(ADDRESSES, max_size=2),
)


# Parts ---------------------------------------------------------------------------------------------------------------


def at(values: Any, i: int) -> Any:
    """The element of a sequence, None if it has none there."""
    return None if values is None or i >= len(values) else values[i]


def of(value: Any, name: str) -> Any:
    """The field of an object, None of None."""
    return None if value is None else getattr(value, name)


def size(values: Any) -> Any:
    """The number of elements, None of None."""
    return None if values is None else len(values)


Get = Callable[[Any], Any]
PARTS: dict[str, tuple[Get, st.SearchStrategy[Any]]] = {
    "address__city": (lambda p: of(p.address, "city"), TEXTS),
    "address__zip": (lambda p: of(p.address, "zip"), TEXTS),
    "address__geo__lat": (lambda p: of(of(p.address, "geo"), "lat"), FLOATS),
    "address__geo__floor": (lambda p: of(of(p.address, "geo"), "floor"), INTS),
    "address__since": (lambda p: of(p.address, "since"), MOMENTS),
    "address__day": (lambda p: of(p.address, "day"), DAYS),
    "address__price": (lambda p: of(p.address, "price"), DECIMALS),
    "address__lines__0": (lambda p: at(of(p.address, "lines"), 0), TEXTS),
    "address__lines__len": (lambda p: size(of(p.address, "lines")), st.integers(0, 3)),
    "address__more__k y": (lambda p: (of(p.address, "more") or {}).get("k y"), INTS),
    "size__width": (lambda p: of(p.size, "width"), INTS),
    "size__unit": (lambda p: of(p.size, "unit"), TEXTS),
    "size__marks__1": (lambda p: at(of(p.size, "marks"), 1), INTS),
    "note__text": (lambda p: (p.note or {}).get("text"), TEXTS),
    "note__stars": (lambda p: (p.note or {}).get("stars"), st.sampled_from([2, 3])),
    "tags__1": (lambda p: at(p.tags, 1), TEXTS),
    "tags__len": (lambda p: size(p.tags), st.integers(0, 3)),
    "scores__0": (lambda p: at(p.scores, 0), INTS),
    "scores__len": (lambda p: size(p.scores), st.integers(0, 3)),
    "pair__0": (lambda p: p.pair[0], INTS),
    "pair__1": (lambda p: p.pair[1], TEXTS),
    "numbers__len": (lambda p: size(p.numbers), st.integers(0, 3)),
    "prices__0": (lambda p: at(p.prices, 0), DECIMALS),
    "counts__a": (lambda p: p.counts.get("a"), INTS),
    "counts__len": (lambda p: len(p.counts), st.integers(0, 3)),
    "history__1__city": (lambda p: of(at(p.history, 1), "city"), TEXTS),
    "history__0__geo__lat": (lambda p: of(of(at(p.history, 0), "geo"), "lat"), FLOATS),
}
"""Parts with an order: what Python takes from an object, and values to compare with."""
UNORDERED: dict[str, tuple[Get, st.SearchStrategy[Any]]] = {
    "address__kind": (lambda p: of(p.address, "kind"), st.sampled_from(Kind)),
    "address__open": (lambda p: of(p.address, "open"), st.booleans()),
    "address__key": (lambda p: of(p.address, "key"), KEYS),
    "address__geo": (lambda p: of(p.address, "geo"), GEOS),
    "address__lines": (lambda p: of(p.address, "lines"), st.lists(TEXTS, max_size=1)),
    "history__0": (lambda p: at(p.history, 0), ADDRESSES),
    "meta__a": (lambda p: p.meta.get("a"), ANY.filter(lambda value: value is not None)),
}
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    name: getattr(operator, name.replace("gte", "ge").replace("lte", "le")) for name in ("gt", "gte", "lt", "lte")
}
ELEMENTS: dict[str, tuple[Get, st.SearchStrategy[Any]]] = {
    "tags": (lambda p: p.tags, TEXTS),
    "scores": (lambda p: p.scores, INTS),
    "numbers": (lambda p: p.numbers, INTS),
    "prices": (lambda p: p.prices, DECIMALS),
    "address__lines": (lambda p: of(p.address, "lines"), TEXTS),
    "size__marks": (lambda p: of(p.size, "marks"), INTS),
    "history": (lambda p: p.history, ADDRESSES),
}
DICTS: dict[str, Get] = {
    "meta": lambda p: p.meta,
    "counts": lambda p: p.counts,
    "address__more": lambda p: of(p.address, "more"),
}

Condition = tuple[Q, Get]
"""A condition, and what Python says of an object."""


def known(get: Get, test: Callable[[Any], bool]) -> Get:
    """False of an absent value."""
    return lambda place: get(place) is not None and bool(test(get(place)))


def _of_value(name: str, get: Get, values: st.SearchStrategy[Any], ordered: bool) -> st.SearchStrategy[Condition]:
    choices = [
        values.map(lambda value: (Q((name, value)), known(get, lambda own: own == value))),
        st.lists(values, max_size=3).map(lambda some: (Q((f"{name}__in", some)), known(get, lambda own: own in some))),
        st.booleans().map(lambda is_: (Q((f"{name}__isnull", is_)), lambda place: (get(place) is None) is is_)),
    ]
    if ordered:
        choices.append(
            st.builds(
                lambda lookup, value: (
                    Q((f"{name}__{lookup}", value)),
                    known(get, lambda own: COMPARISONS[lookup](own, value)),
                ),
                st.sampled_from([*COMPARISONS]),
                values,
            )
        )
    if values is TEXTS:
        choices.append(
            st.builds(
                lambda lookup, value: (
                    Q((f"{name}__{lookup[0]}", value)),
                    known(get, lambda own: lookup[1](own, value)),
                ),
                st.sampled_from([("contains", str.__contains__), ("startswith", str.startswith), ("iexact", _alike)]),
                values,
            )
        )
    return st.one_of(choices)


def _alike(own: str, value: str) -> bool:
    return own.casefold() == value.casefold()


def _of_elements(name: str, get: Get, values: st.SearchStrategy[Any]) -> st.SearchStrategy[Condition]:
    several = st.lists(values, max_size=3)
    return st.one_of(
        values.map(lambda one: (Q((f"{name}__contains", one)), known(get, lambda own: one in own))),
        several.map(
            lambda some: (Q((f"{name}__contains", some)), known(get, lambda own: all(one in own for one in some)))
        ),
        several.map(
            lambda some: (Q((f"{name}__overlap", some)), known(get, lambda own: any(one in own for one in some)))
        ),
        several.map(
            lambda some: (Q((f"{name}__contained_by", some)), known(get, lambda own: all(one in some for one in own)))
        ),
    )


def _of_dict(name: str, get: Get) -> st.SearchStrategy[Condition]:
    several = st.lists(NAMES, max_size=2)
    values: Any = ANY.filter(lambda value: value is not None) if name == "meta" else INTS
    return st.one_of(
        NAMES.map(lambda key: (Q((f"{name}__has_key", key)), known(get, lambda own: key in own))),
        several.map(
            lambda some: (Q((f"{name}__has_keys", some)), known(get, lambda own: all(key in own for key in some)))
        ),
        several.map(
            lambda some: (Q((f"{name}__has_any_keys", some)), known(get, lambda own: any(key in own for key in some)))
        ),
        st.dictionaries(NAMES, values, max_size=2).map(
            lambda items: (
                Q((f"{name}__contains", items)),
                known(get, lambda own: all(key in own and own[key] == value for key, value in items.items())),
            )
        ),
    )


LOOKUPS: st.SearchStrategy[Condition] = st.one_of(
    *(_of_value(name, get, values, True) for name, (get, values) in PARTS.items()),
    *(_of_value(name, get, values, False) for name, (get, values) in UNORDERED.items()),
    *(_of_elements(name, get, values) for name, (get, values) in ELEMENTS.items()),
    *(_of_dict(name, get) for name, get in DICTS.items()),
)


def _joined(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    return st.one_of(
        st.tuples(inner, inner).map(lambda two: (two[0][0] & two[1][0], lambda p: two[0][1](p) and two[1][1](p))),
        st.tuples(inner, inner).map(lambda two: (two[0][0] | two[1][0], lambda p: two[0][1](p) or two[1][1](p))),
        st.tuples(inner, inner).map(lambda two: (two[0][0] ^ two[1][0], lambda p: two[0][1](p) != two[1][1](p))),
        inner.map(lambda one: (~one[0], lambda p: not one[1](p))),
    )


CONDITIONS: st.SearchStrategy[Condition] = st.recursive(LOOKUPS, _joined, max_leaves=4)
