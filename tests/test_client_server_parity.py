"""Python compares and sorts as the server does with the stored texts, for every type of field.

A condition that only Python can evaluate makes Python evaluate the conditions joined with it: `x=1 | regex` finds the
objects of `x=1`.
"""

from datetime import UTC, datetime, time, timedelta, timezone
from enum import Enum, IntEnum, StrEnum
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import HttpUrl, SecretStr

import ormis
from ormis import F, Field, FieldError, Limits, Q


class Colour(Enum):
    RED = "r"
    BLUE = "b"


class Size(Enum):
    S = 2.5
    L = 10.0


class Rank(IntEnum):
    TWO = 2
    TEN = 10


class Place(StrEnum):
    NORTH = "north"
    SOUTH = "south"


class Thing(ormis.Model):
    text: str = ""
    colour: Colour | None = None
    size: Size | None = None
    rank: Rank | None = None
    place: Place | None = Field(default=None, index="sorted")
    mixed: Literal[10, "2"] | None = None
    secret: SecretStr | None = None
    url: HttpUrl | None = None
    path: Path | None = None
    address: IPv4Address | None = None
    numbers: list[int] | None = None
    pairs: dict[str, int] | None = None
    names: set[str] | None = None
    blob: bytes | None = None
    seen: datetime | None = None
    at: time | None = None

    class Meta:
        key = "both_sides_thing"


EAST = timezone(timedelta(hours=2))
VALUES: dict[str, list[Any]] = {
    "colour": [*Colour],
    "size": [*Size],
    "rank": [*Rank],
    "place": [*Place],
    "mixed": [10, "2"],
    "secret": [SecretStr("t"), SecretStr("s")],
    "url": [HttpUrl("http://b.org"), HttpUrl("http://a.org")],
    "path": [Path("/a/b"), Path("/a")],
    "address": [IPv4Address("10.0.0.2"), IPv4Address("9.0.0.1")],
    "numbers": [[2], [10], [1, 5]],
    "pairs": [{"b": 0}, {"a": 1}, {}],
    "names": [{"x", "y"}, {"y"}, set()],
    "blob": [b"\xff", b"\x00", b"a"],
    "seen": [datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 1, tzinfo=EAST)],
    "at": [time(12), time(11, 30), time(12, 0, 1), time(12, 30, tzinfo=EAST), time(11, tzinfo=UTC)],
}
UNORDERED = {"mixed", "path", "address", "numbers", "pairs", "names"}
HERE = Q(text__regex="^never$")
PATTERNS = {
    "colour": "r",
    "place": "or",
    "mixed": "2",
    "secret": "s",
    "url": "http://a",
    "path": "/a/",
    "address": "9.",
}


@pytest.fixture(autouse=True)
def things(db: ormis.Database) -> list[Thing]:
    given = [Thing(), *(Thing(**{name: value}) for name, values in VALUES.items() for value in values)]
    return Thing.objects.bulk_create(given)


def keys(found: Any) -> list[int]:
    return [thing.id for thing in found]


@pytest.mark.parametrize("name", VALUES)
def test_comparisons(name: str) -> None:
    """Equal, less, greater, in, and their complements: server and Python find the same objects."""
    for value in VALUES[name]:
        ranges = [] if name in UNORDERED else [("gt", value), ("lte", value)]
        for lookup, wanted in (("exact", value), *ranges, ("in", [value, VALUES[name][0], value])):
            condition = Q(**{f"{name}__{lookup}": wanted})
            found = keys(Thing.objects.filter(condition))
            assert keys(Thing.objects.filter(condition | HERE)) == found, (lookup, value)
            assert keys(Thing.objects.exclude(condition | HERE)) == keys(Thing.objects.exclude(condition))
    assert Thing.objects.filter(**{f"{name}__in": Thing.objects.values(name)}).count() == len(VALUES[name])


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("lookup", ["contains", "startswith", "endswith", "icontains", "regex"])
def test_patterns(name: str, lookup: str) -> None:
    """A pattern need not be a value of the field; it is searched in the stored text."""
    part, codec = PATTERNS[name], Thing.__schema__.column(name).codec
    holds = {"startswith": str.startswith, "endswith": str.endswith}.get(lookup, lambda text, part: part in text)
    expected = [
        thing.id
        for thing in Thing.objects.filter(**{f"{name}__isnull": False})
        if holds(str(codec.encode(getattr(thing, name))), part)
    ]
    condition = Q(**{f"{name}__{lookup}": part})
    assert keys(Thing.objects.filter(condition)) == expected
    assert keys(Thing.objects.filter(condition | HERE)) == expected


@pytest.mark.parametrize("name", sorted(UNORDERED))
def test_values_without_an_order(name: str) -> None:
    """Ranges and orders of values that are not ordered by their stored texts are a FieldError that names the field."""
    with pytest.raises(FieldError, match=rf"Thing\.{name}"):
        Thing.objects.filter(**{f"{name}__gt": VALUES[name][0]})
    with pytest.raises(FieldError, match=rf"Thing\.{name}"):
        Thing.objects.order_by(name)


@pytest.mark.parametrize("name", sorted(VALUES.keys() - UNORDERED))
def test_orders(name: str, db: ormis.Database) -> None:
    """A union, and a result of several calls, have the order of a single call."""
    for order in (name, f"-{name}"):
        in_one_call = keys(Thing.objects.filter(**{f"{name}__isnull": False}).order_by(order))
        union = Thing.objects.filter(**{f"{name}__isnull": False}).union(Thing.objects.none()).order_by(order)
        assert keys(union) == in_one_call
        rows = (
            Thing.objects.filter(pk__in=in_one_call)
            .values_list("pk", name)
            .union(Thing.objects.none().values("pk", name))
        )
        assert [row[0] for row in rows.order_by(order)] == in_one_call
        db.limits = Limits(objects=2)
        assert keys(Thing.objects.filter(HERE | Q(**{f"{name}__isnull": False})).order_by(order)) == in_one_call
        db.limits = Limits()


def test_part_of_a_time_and_an_expression() -> None:
    """A part of a time may be compared with another field, or with an expression."""
    Thing.objects.create(rank=Rank.TWO, seen=datetime(2026, 2, 3))
    found = Thing.objects.create(rank=Rank.TEN, seen=datetime(2026, 10, 3))
    assert Thing.objects.get(seen__month=F("rank"), rank=10) == found
    assert Thing.objects.get(seen__month__gt=F("rank") - 1, rank=10) == found


def test_results_that_are_none() -> None:
    """A result that is too large for its type is null in a query, as a division by zero is."""
    Thing.objects.create(rank=Rank.TEN, seen=datetime(1, 1, 1))
    assert Thing.objects.filter(seen__gt=F("seen") - timedelta(days=9)).count() == 3
    assert not Thing.objects.filter(rank__gt=(F("rank") + 0.5) ** 10_000).exists()
    assert len(Thing.objects.order_by((F("rank") + 0.5) ** 10_000)) == Thing.objects.count()


@pytest.mark.parametrize(
    "query",
    [
        Q(rank__gt=F("rank") + "x"),
        Q(rank__gt=F("seen")),
        Q(rank__exact__gt=F("rank")),
        Q(seen__month__contains=F("rank")),
    ],
)
def test_what_does_not_go_together(query: Q) -> None:
    """An expression or comparison that can't be computed raises a FieldError that names the field."""
    Thing.objects.create(rank=Rank.TEN, seen=datetime(1, 1, 1), text="a")
    with pytest.raises(FieldError, match=r"rank|seen"):
        [*Thing.objects.filter(query)]
    with pytest.raises(FieldError, match="rank"):
        [*Thing.objects.order_by(F("rank") + F("text"))]
