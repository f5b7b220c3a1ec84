"""What the tests of the cache share: models, a database with a cache, waiting until it serves."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ormis
from ormis import CASCADE, SET_NULL, Field, ForeignKey, ManyToMany, OneToOne
from ormis.caching.rows import Rows

WAIT = 20.0


class Country(ormis.Model):
    code: str = Field(primary_key=True)
    name: str = ""

    class Meta:
        key = "cache_country"
        cache = True


class Tag(ormis.Model):
    name: str

    class Meta:
        key = "cache_tag"


class Town(ormis.Model):
    name: str = Field(index=True)
    size: int = 0
    country: ForeignKey[Country | None] = ForeignKey(on_delete=SET_NULL, related_name="towns")
    notes: list[str] = Field(default_factory=list)
    facts: dict[str, int] = Field(default_factory=dict)
    tags: ManyToMany[Tag] = ManyToMany(related_name="towns")

    class Meta:
        key = "cache_town"
        cache = True


class Street(ormis.Model):
    town: ForeignKey[Town] = ForeignKey(on_delete=CASCADE, related_name="streets")
    name: str = ""

    class Meta:
        key = "cache_street"
        cache = True


class Mayor(ormis.Model):
    town: OneToOne[Town | None] = OneToOne(on_delete=SET_NULL, related_name="mayor")
    name: str

    class Meta:
        key = "cache_mayor"


@contextmanager
def caching(url: str, objects: int = 1000, **options: Any) -> Iterator[ormis.Database]:
    """A database with a cache."""
    with ormis.connect(url, cache=objects, **options) as database:
        yield database


def until(holds: Callable[[], object], what: str = "") -> None:
    """Waits until it holds."""
    deadline = time.monotonic() + WAIT
    while not holds():
        assert time.monotonic() < deadline, f"it does not come about: {what}"
        time.sleep(0.002)


def hits(database: ormis.Database) -> int:
    """How many reads were served from memory."""
    return database.cache.stats().hits


def is_hit(database: ormis.Database, read: Callable[[], object]) -> bool:
    """Whether a read is served from memory alone."""
    before = database.cache.stats()
    read()
    after = database.cache.stats()
    return after.hits > before.hits and after.misses == before.misses


def warm(database: ormis.Database, *reads: Callable[[], object]) -> None:
    """Reads until each of them is served from memory."""
    for read in reads:
        until(lambda read=read: is_hit(database, read), "a read is never served from memory")


def kept(database: ormis.Database, model: Any) -> Rows:
    """The rows of a model."""
    return database.cache.rows_of(model._schema())
