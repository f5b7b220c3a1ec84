"""Counts that one command answers are the counts that the search finds."""

import time
from datetime import datetime, timedelta
from typing import Any

import pytest
import redis

import ormis
from ormis import Field, Index, Q
from ormis.compile import condition
from ormis.looks import looks

NOON = datetime(2026, 5, 1, 12)
BIG = 2**53


class Sighting(ormis.Model):
    place: str = Field(index=True)
    size: int | None = Field(default=None, index=True)
    seen: datetime = Field(default=NOON, index=True)
    species: str = ""

    class Meta:
        indexes = [Index("place", "size"), Index("place", "species", "seen")]


@pytest.fixture
def sightings(db: ormis.Database) -> list[Sighting]:
    places = ["lake", "a/b", "#", "x" * 300, ""]
    sizes = [None, 0, -5, 7, BIG, BIG + 1]
    return Sighting.objects.bulk_create(
        Sighting(place=places[n % 5], size=sizes[n % 6], seen=NOON + timedelta(hours=n % 4), species=f"s{n % 2}")
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
    assert (looks(Sighting._schema(), condition(found.query)) is not None) == (lookups in GLANCED)


def test_what_is_no_conjunction_of_comparisons_is_searched(sightings: list[Sighting]) -> None:
    """Alternatives, negations and nothing at all are not read off an index."""
    for found in (
        Sighting.objects.filter(Q(place="lake") | Q(size=7)),
        Sighting.objects.exclude(place="lake"),
        Sighting.objects.none(),
    ):
        assert looks(Sighting._schema(), condition(found.query)) is None
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
