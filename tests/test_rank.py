"""rank(): the place of an object in an order, against plain Python, and in how many calls."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import ormis
from laws import examples
from model_factory import make
from ormis import F, Field, Index

LAW = settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Song(ormis.Model):
    """Every kind of order that an index has, with values and without, alone and after another field."""

    title: str = Field(default="", index="sorted")
    album: str | None = Field(default=None, index="sorted")
    plays: int | None = Field(default=None, index="sorted")
    stars: float | None = Field(default=None, index="sorted")
    price: Decimal | None = Field(default=None, index="sorted")
    genre: str = Field(default="", index=True)
    mood: int | None = None

    class Meta:
        key = "rank_song"
        indexes = [Index("genre", "plays"), Index("genre", "album"), Index("genre", "price")]


class LongName(ormis.Model):
    """Its index on text holds whole texts."""

    name: str = Field(index="sorted")

    class Meta:
        key = "rank_long_name"


class Ticket(ormis.Model):
    """An object that may expire."""

    seat: int | None = Field(default=None, index="sorted")
    holder: str | None = Field(default=None, index="sorted")

    class Meta:
        key = "rank_ticket"
        ttl = 1000


TEXTS = st.text(alphabet="\0\1aäb\U0001f600", max_size=3)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "title": TEXTS,
    "album": st.none() | TEXTS,
    "plays": st.none() | st.integers(-2, 2) | st.sampled_from([2**53, 2**53 + 1]),
    "stars": st.none() | st.sampled_from([0.0, -0.0, 0.5, float("inf"), -1e300]),
    "price": st.none()
    | st.sampled_from([Decimal(text) for text in ("1", "1.0", "1.1", "1.1000000000000000001", "-3")]),
    "genre": st.sampled_from("ab"),
    "mood": st.none() | st.integers(0, 2),
}
SILENT = dict.fromkeys(VALUES) | {"title": "", "genre": "a"}
SONGS = st.lists(st.fixed_dictionaries(VALUES), min_size=1, max_size=12)
TERMS = st.lists(
    st.tuples(st.sampled_from([*VALUES]), st.booleans(), st.sampled_from([None, False, True])), min_size=1, max_size=3
)
CONDITIONS: dict[str, tuple[dict[str, Any], Callable[[dict[str, Any]], bool]]] = {
    "all": ({}, lambda _: True),
    "a genre": ({"genre": "a"}, lambda row: row["genre"] == "a"),
    "a range": ({"plays__gte": 0}, lambda row: row["plays"] is not None and row["plays"] >= 0),
    "texts": ({"album__gt": "a"}, lambda row: row["album"] is not None and row["album"] > "a"),
    "a beginning": ({"title__startswith": "a"}, lambda row: row["title"].startswith("a")),
    "prices": ({"price__lte": 1}, lambda row: row["price"] is not None and row["price"] <= 1),
    "absent": ({"album__isnull": True}, lambda row: row["album"] is None),
    "present": ({"plays__isnull": False, "genre": "b"}, lambda row: row["plays"] is not None and row["genre"] == "b"),
    "no index": ({"mood": 1}, lambda row: row["mood"] == 1),
}


def said(terms: list[tuple[str, bool, bool | None]]) -> list[Any]:
    """The order as order_by() takes it."""
    order: list[Any] = []
    for name, descending, nulls_first in terms:
        if nulls_first is None:
            order.append(f"-{name}" if descending else name)
        else:
            options = {"nulls_first": True} if nulls_first else {"nulls_last": True}
            order.append(F(name).desc(**options) if descending else F(name).asc(**options))
    return order


def in_order(rows: list[dict[str, Any]], terms: list[tuple[str, bool, bool | None]]) -> list[dict[str, Any]]:
    """The rows in the order of plain Python, ties as they come."""
    for name, descending, nulls_first in reversed(terms):
        first = not descending if nulls_first is None else nulls_first
        absent = [row for row in rows if row[name] is None]
        present = [row for row in rows if row[name] is not None]
        present.sort(key=lambda row: row[name], reverse=descending)
        rows = absent + present if first else present + absent
    return rows


@LAW
@given(rows=SONGS, terms=TERMS, condition=st.sampled_from([*CONDITIONS]), backwards=st.booleans())
@example(
    rows=[SILENT | {"title": text, "album": text} for text in ("a\0", "a", "a\0b", "b")],
    terms=[("album", True, None)],
    condition="all",
    backwards=False,
)
def test_the_place_in_any_order(
    db: ormis.Database, rows: list[dict[str, Any]], terms: Any, condition: str, backwards: bool
) -> None:
    """rank() is the place in the order of plain Python, by any index, up or down, absent values first or last."""
    db.client.flushdb()
    songs = Song.objects.bulk_create([Song(**row) for row in rows])
    by_id = [dict(row, id=song.id) for row, song in zip(rows, songs, strict=True)]
    lookups, holds = CONDITIONS[condition]
    expected = in_order([row for row in by_id if holds(row)], terms)
    found = Song.objects.filter(**lookups).order_by(*said(terms))
    if backwards:
        found, expected = found.reverse(), expected[::-1]
    places = {row["id"]: place for place, row in enumerate(expected)}
    for song in songs:
        if song.id in places:
            assert found.rank(song) == places[song.id]
        else:
            with pytest.raises(Song.DoesNotExist):
                found.rank(song)


def test_texts_that_go_on_with_a_nul(db: ormis.Database) -> None:
    """Texts with a NUL stand among the members of the text that they go on from, and are counted right all the same."""
    texts = ["a", "a\0", "a\0b", "a\0\0", "a\1", "", "\0", "b", None, "a"]
    songs = Song.objects.bulk_create([Song(album=text, genre="x") for text in texts])
    for order, reverse in (("album", False), ("-album", True)):
        present = sorted(text for text in texts if text is not None)
        ordered = [None, *present] if not reverse else [*present[::-1], None]
        for found in (Song.objects.order_by(order), Song.objects.filter(genre="x").order_by(order)):
            for song in songs:
                own = found.rank(song) - [o.id for o in songs if o.album == song.album].index(song.id)
                assert own == ordered.index(song.album)
    assert Song.objects.filter(album="a").order_by("album").rank(songs[-1]) == 1


def test_nan(db: ormis.Database) -> None:
    """NaN is above all else. An index that was built later has none, which is not taken for an absent value."""
    plain = make("Measure", __name__, value=(float | None, None))
    values = [float("nan"), 1.0, None, 0.5]
    plain.objects.bulk_create([plain(value=value) for value in values])
    indexed = make("Measure", __name__, value=(float | None, Field(default=None, index="sorted")))
    ormis.reindex(db, models=[indexed])
    found = [*indexed.objects.all()]
    assert [indexed.objects.order_by("value").rank(one) for one in found] == [3, 2, 0, 1]
    found = [*plain.objects.all()]
    assert [plain.objects.order_by("value").rank(one) for one in found] == [3, 2, 0, 1]
    assert [plain.objects.order_by("-value").rank(one) for one in found] == [0, 1, 3, 2]
    assert [plain.objects.order_by(F("value").desc(nulls_first=True)).rank(one) for one in found] == [1, 2, 0, 3]


def test_expired_objects_are_not_counted(db: ormis.Database, raw: redis.Redis) -> None:
    """Objects that have expired precede nobody, however many there are and whichever call comes first."""
    seats = [Ticket(seat=n if n % 3 else None, holder=f"h{n}" if n % 2 else None) for n in range(600)]
    Ticket.objects.bulk_create(seats)
    gone = seats[:250]
    for ticket in gone:
        raw.zadd("rank_ticket/expiry", {str(ticket.id): 1})
        raw.delete(f"rank_ticket:{ticket.id}")
    kept = seats[250:]
    for order in ("seat", "-seat", "holder", "-holder"):
        name, descending = order.removeprefix("-"), order.startswith("-")
        absent = [t.id for t in kept if getattr(t, name) is None]
        present = sorted((t for t in kept if getattr(t, name) is not None), key=lambda t: getattr(t, name))
        ids = [t.id for t in (present[::-1] if descending else present)]
        expected = [*ids, *absent] if descending else [*absent, *ids]
        for ticket in kept[::50]:
            assert Ticket.objects.order_by(order).rank(ticket) == expected.index(ticket.id)


ORDERS: dict[str, list[Any]] = {
    "texts": ["title"],
    "texts, descending": ["-title"],
    "optional texts": ["album"],
    "optional texts, descending": ["-album"],
    "absent texts last": [F("album").asc(nulls_last=True)],
    "absent texts first, descending": [F("album").desc(nulls_first=True)],
    "optional numbers": ["plays"],
    "absent numbers last": [F("plays").asc(nulls_last=True)],
    "absent numbers first, descending": [F("plays").desc(nulls_first=True)],
    "decimals": ["price"],
    "decimals, descending": ["-price"],
    "a tie-break": ["plays", "-id"],
    "texts first": ["title", "-plays", "id"],
    "four terms": ["plays", "album", "-title", "id"],
}


@pytest.fixture(params=[2_000, 12_000, pytest.param(20_000, marks=pytest.mark.slow)])
def songs(request: pytest.FixtureRequest, db: ormis.Database) -> int:
    """So many songs, of which some have no album or no plays."""
    count = request.param
    Song.objects.bulk_create(
        [
            Song(
                title=f"t{n * 7 % (count // 3)}",
                album=None if n % 5 == 0 else f"a{n * 11 % (count // 2)}",
                plays=None if n % 7 == 0 else n * 13 % (count // 2),
                price=Decimal(n * 17 % (count // 4)) / 10,
                genre="ab"[n % 2],
            )
            for n in range(count)
        ]
    )
    return count


def test_a_few_calls_however_many_objects(songs: int) -> None:
    """An order that an index gives takes three calls at most for an object with values, alone and after a field."""
    for lookups in {}, {"genre": "a"}:
        for name, order in ORDERS.items():
            if lookups and "tit" in str(order[0]):
                continue  # no index has the genre and the title
            found = Song.objects.filter(**lookups).order_by(*order)
            keys = [*found.values_list("pk", flat=True)]
            for at in (len(keys) // 4, len(keys) // 2, len(keys) * 3 // 4):
                song = Song.get(keys[at])
                if song.plays is None or song.album is None:
                    at, song = next(
                        (i, one)
                        for i in range(at, len(keys))
                        if (one := Song.get(keys[i])).plays is not None and one.album is not None
                    )
                with ormis.capture_calls() as calls:
                    assert found.rank(song) == at
                assert len(calls) <= 3, (name, lookups, songs)


def test_ties_of_more_bytes_than_a_call_reads(db: ormis.Database) -> None:
    """Many objects with one long text: the keys of an index on text come in parts, and each of them counts."""
    db.limits = replace(db.limits, bytes=2_000)
    names = ["b" * 100] * 260 + ["a"] * 3
    made = LongName.objects.bulk_create([LongName(name=name) for name in names])
    ordered = LongName.objects.order_by("name")
    assert [ordered.rank(made[at]) for at in (259, 258, 130, 0, 262)] == [262, 261, 133, 3, 2]
    assert LongName.objects.filter(name__in=["b" * 100, *(f"x{n}" for n in range(1500))]).count() == 260
