"""What the short way of the script `query` finds is what the search finds, and it is taken where it can be."""

import json
import time
from datetime import datetime, timedelta
from typing import Any

import pytest
import redis

import ormis
from ormis import F, Field, Index, Q
from ormis.limits import DEFAULT
from ormis.planning.access_paths import access_paths
from ormis.planning.plan_cache import cached_plan
from ormis.planning.scopes import condition

NOON = datetime(2026, 5, 1, 12)
BIG = 2**53


class Sighting(ormis.Model):
    place: str = Field(index=True)
    size: int | None = Field(default=None, index=True)
    seen: datetime = Field(default=NOON, index=True)
    species: str = ""
    tag: str | None = Field(default=None, unique=True)

    class Meta:
        indexes = [Index("place", "size"), Index("place", "species", "seen")]


@pytest.fixture
def sightings(db: ormis.Database) -> list[Sighting]:
    places = ["lake", "a/b", "#", "x" * 300, ""]
    sizes = [None, 0, -5, 7, BIG, BIG + 1]
    return Sighting.objects.bulk_create(
        Sighting(
            place=places[n % 5],
            size=sizes[n % 6],
            seen=NOON + timedelta(hours=n % 4),
            species=f"s{n % 2}",
            tag=f"t{n}" if n % 3 else None,
        )
        for n in range(120)
    )


GLANCED: list[dict[str, Any]] = [
    {},
    {"place": "lake"},
    {"place": "x" * 300},
    {"place": "nowhere"},
    {"place": "a/b", "size": 7},
    {"place": "#", "size__gt": -5},
    {"place": "", "size__gte": -5, "size__lt": 7},
    {"place": "lake", "size__lte": BIG},  # not exact as a score: the script itself goes on to search
    {"size": BIG + 1},
    {"size__gt": 0},
    {"seen__lt": NOON + timedelta(hours=2)},
    {"place": "lake", "species": "s1", "seen__gte": NOON + timedelta(hours=1)},
    {"pk": 7},
    {"pk": 1000},
    {"pk": 6, "place": "lake"},
    {"pk": 7, "place": "lake", "size__gt": 0},
    {"tag": "t1"},
    {"tag": "t0"},
    {"tag": "t10", "place": "lake", "pk": 11},
    {"tag": "t11", "place": "lake"},
]
SEARCHED: list[dict[str, Any]] = [
    {"species": "s1"},
    {"place": "lake", "species": "s1"},
    {"place__in": ["lake", "#"]},
    {"size__gt": 0, "size__gte": 5},
    {"size": None},
    {"place__gt": "a"},
]


@pytest.mark.parametrize("lookups", [*GLANCED, *SEARCHED], ids=str)
def test_a_count_is_that_of_the_objects_found(sightings: list[Sighting], lookups: dict[str, Any]) -> None:
    """Whether a count is read off an index or searched for, it is the number of objects that are found."""
    found = Sighting.objects.filter(**lookups)
    assert found.count() == len(list(found)) == len([*found.iterator()])
    assert access_paths(Sighting._schema(), condition(found.query)).index_only == (lookups in GLANCED)


ORDERS = [(), ("-seen",), ("seen",), ("size",), ("-size",), ("-pk",), ("species",)]


@pytest.mark.parametrize("order", ORDERS, ids=str)
@pytest.mark.parametrize("lookups", [*GLANCED, *SEARCHED], ids=str)
def test_rows_are_those_that_the_search_finds(
    sightings: list[Sighting], lookups: dict[str, Any], order: tuple[str, ...]
) -> None:
    """In any order, either way round and with any slice: the short way and the search give the same objects."""
    for found in (Sighting.objects.filter(**lookups).order_by(*order), Sighting.objects.filter(**lookups).reverse()):
        searched = found.filter(Q(place="lake") | ~Q(place="lake"))  # means nothing, and closes the short way
        assert list(found) == list(searched)
        for cut in (slice(3), slice(2, 9), slice(200), slice(5, None)):
            assert list(found[cut]) == list(searched)[cut]
        assert list(found.values_list("species", "place")) == list(searched.values_list("species", "place"))


@pytest.mark.parametrize(
    "queryset",
    [
        Sighting.objects.filter(place="lake"),
        Sighting.objects.filter(place="lake", size=7),
        Sighting.objects.filter(place="lake", seen__gte=NOON).order_by("-seen"),
        Sighting.objects.filter(place="lake").order_by("seen")[2:4],
        Sighting.objects.filter(seen__gt=NOON).order_by("seen")[:3],
        Sighting.objects.filter(place="lake", species="s1", seen__gte=NOON).values("place"),
        Sighting.objects.filter(pk=7),
        Sighting.objects.filter(tag="t10", place="lake"),
    ],
    ids=lambda queryset: str(queryset.query.where),
)
def test_the_short_way_is_taken(sightings: list[Sighting], raw: redis.Redis, queryset: Any) -> None:
    """What the database knows of the model is looked up once, which a search does again; so is a unique value."""
    list(queryset.all())
    raw.config_resetstat()
    assert list(queryset.all())
    assert raw.info("commandstats")["cmdstat_hget"]["calls"] == 1 + ("tag" in str(queryset.query.where))


def test_a_row_that_is_no_object_is_left_out(sightings: list[Sighting], raw: redis.Redis) -> None:
    """An entry of an index whose object was deleted by other hands is passed over; another type there is named."""
    lake = list(Sighting.objects.filter(place="lake"))
    raw.delete(f"sighting:{lake[1].pk}")
    assert list(Sighting.objects.filter(place="lake")) == [lake[0], *lake[2:]]
    raw.set(f"sighting:{lake[2].pk}", "text")
    with pytest.raises(ormis.StoredDataError, match=f"sighting:{lake[2].pk}"):
        list(Sighting.objects.filter(place="lake"))


def test_pages_go_on_behind_what_is_left_out(sightings: list[Sighting], raw: redis.Redis) -> None:
    """What was deleted by other hands takes no place on a page, neither in the order of creation nor in another."""
    for order in ((), ("seen",)):
        lake = Sighting.objects.filter(place="lake").order_by(*order)
        everything = list(lake.all())
        raw.delete(f"sighting:{everything[1].pk}")
        del everything[1]
        assert list(lake[:5]) == everything[:5]
        assert list(lake[5:10]) == everything[5:10]


@pytest.mark.single_server("gives connect() the client of one server")
def test_what_the_server_refuses_is_not_taken_for_nothing(sightings: list[Sighting], raw: redis.Redis) -> None:
    """Whoever may not read an object is told so, and not that there is none."""
    raw.acl_setuser("guest", enabled=True, nopass=True, keys=["ormis/*", "sighting/*"], categories=["+@all"])
    own = raw.connection_pool.connection_kwargs | {"username": "guest", "password": "any"}
    pool = redis.ConnectionPool(connection_class=raw.connection_pool.connection_class, **own)
    try:
        with ormis.connect(client=redis.Redis(connection_pool=pool)) as guest:
            for ask in (list, type(Sighting.objects.all()).count):
                with pytest.raises(redis.ResponseError, match=r"(?i)permission|can't access"):
                    ask(Sighting.objects.using(guest).filter(pk=7))
    finally:
        pool.disconnect()
        raw.acl_deluser("guest")


def declared_later() -> Any:
    """A model of which objects are stored that lack a field with an index, and some that have it."""

    def first() -> Any:
        class Later(ormis.Model):
            place: str = Field(index=True)
            number: int = Field(default=0, index=True)

            class Meta:
                key = "later"

        return Later

    class Later(ormis.Model):
        place: str = Field(index=True)
        number: int = Field(default=0, index=True)
        size: int = Field(default=7, index=True)

        class Meta:
            key = "later"
            indexes = [Index("place", "size"), Index("number", "size")]

    early: Any = first()
    early.objects.bulk_create(early(place="lake", number=n % 2) for n in range(60))
    Later.objects.bulk_create(Later(place="lake", size=size) for size in (3, 9))
    return Later


@pytest.mark.parametrize("lookups", [{}, {"place": "lake"}, {"number": 0}], ids=str)
@pytest.mark.parametrize("order", ["size", "-size"])
@pytest.mark.parametrize("closed", [Q(), Q(size=1) | ~Q(size=1)], ids=["short", "searched"])
def test_an_index_lacks_objects_without_the_field(
    db: ormis.Database, lookups: dict[str, Any], order: str, closed: Q
) -> None:
    """An index on a field that was declared later gives no order to those stored before: they are not left out."""
    later = declared_later()
    db.reindex(later)
    found = later.objects.filter(closed, **lookups).order_by(order)
    everything = list(found.all())
    assert len(everything) == later.objects.filter(**lookups).count()
    for cut in (slice(3), slice(1, 4), slice(200)):
        assert list(found[cut]) == everything[cut]


def test_an_incomplete_index_is_not_looked_at(sightings: list[Sighting], raw: redis.Redis) -> None:
    """While the database says that an index is incomplete, the search answers without it."""
    stored = json.loads(raw.hget("ormis/models", "sighting") or b"")
    raw.hset("ormis/models", "sighting", json.dumps(stored | {"incomplete": ["indexes equal text place"]}))
    raw.delete("sighting/index/place=lake")
    assert len(list(Sighting.objects.filter(place="lake"))) == Sighting.objects.filter(place="lake").count() == 24


@pytest.mark.parametrize(
    ("size", "meant"),
    [(7, 7), ("0", 0), (-5.0, -5), (None, None), (F("size"), ...), (BIG, BIG)],
    ids=str,
)
def test_the_same_query_with_other_values(sightings: list[Sighting], size: Any, meant: Any) -> None:
    """A plan that is kept for a query is filled with each value anew, of whatever type it comes."""
    for place in ("lake", "a/b", ""):
        there = [sighting for sighting in sightings if sighting.place == place]
        wanted = [s for s in there if (s.size is not None if meant is ... else s.size == meant)]
        assert list(Sighting.objects.filter(place=place, size=size)) == wanted


def test_a_value_that_does_not_convert(db: ormis.Database) -> None:
    """The message names field and value, also where the plan is a kept one."""
    for _ in range(2):
        with pytest.raises(ormis.FieldError, match=r"Sighting.size='many' does not convert"):
            list(Sighting.objects.filter(place="lake", size="many"))


@pytest.mark.parametrize(
    ("lookups", "packed"),
    [
        ({"place": "lake"}, [["equal", 1, "place", 1, 1]]),
        ({"place": "#", "size__gt": -5}, [["sorted", 4, "size", 2, 0, "place", 1]]),
        ({"size": 7, "seen__lte": NOON}, [["sorted", 2, "size", 1, 1], ["sorted", 3, "seen", 0, 2]]),
        ({}, []),
    ],
    ids=str,
)
def test_probes_as_data(lookups: dict[str, Any], packed: list[Any]) -> None:
    """The index of most fields comes first; what it covers needs no other probe. Values are in the condition alone."""
    paths = access_paths(Sighting._schema(), condition(Sighting.objects.filter(**lookups).query))
    assert paths.index_only
    assert [probe.packed for probe in paths.first] == packed


def test_parameters_take_their_places() -> None:
    """The request of a query that is asked again is the same bytes, whatever the values and the slice are."""
    plans = [
        cached_plan(Sighting.objects.filter(place=place, size__gt=size)[first : first + 5].query, DEFAULT)
        for place, size, first in [("lake", 5, 0), ("\0 1\0", -7, 3), ("x" * 300, 70000, 100)]
    ]
    arguments = [plan.request("rows") for plan in plans if plan is not None]
    assert len({fixed for fixed, *_ in arguments}) == 1
    assert [values[-4:] for values in arguments] == [
        ("lake", "5", "0", "5"),
        ("\0 1\0", "-7", "3", "5"),
        ("x" * 300, "70000", "100", "5"),
    ]


def test_what_is_no_conjunction_of_comparisons_is_searched(sightings: list[Sighting]) -> None:
    """Alternatives, negations and nothing at all are not read off an index."""
    for found in (
        Sighting.objects.filter(Q(place="lake") | Q(size=7)),
        Sighting.objects.exclude(place="lake"),
        Sighting.objects.none(),
    ):
        assert not access_paths(Sighting._schema(), condition(found.query)).index_only
        assert found.count() == len(list(found))


def test_what_has_ended_is_not_counted(sightings: list[Sighting]) -> None:
    """Objects that have ended are in no count, though the index may hold them still."""
    before = Sighting.objects.filter(place="lake").count()
    sightings[0].expire(timedelta(milliseconds=5))
    time.sleep(0.01)
    assert Sighting.objects.filter(place="lake").count() == before - 1
    assert Sighting.objects.count() == 119


def test_another_type_at_the_key_is_named(sightings: list[Sighting], raw: redis.Redis) -> None:
    """What is no set where an index should be is an error that names the key, as in a search."""
    raw.delete("sighting/index/place=lake")
    raw.set("sighting/index/place=lake", "text")
    with pytest.raises(ormis.StoredDataError, match="sighting/index/place=lake"):
        Sighting.objects.filter(place="lake").count()
