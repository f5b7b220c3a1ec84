"""Reads from the cache: which are served from memory, what a hit gives, and that own and others' writes are seen."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis

import ormis
from caching import Country, Mayor, Street, Tag, Town, caching, is_hit, kept, until, warm
from modes import MODES, do
from ormis import F, Field, capture_calls

pytestmark = pytest.mark.single_server("connect(cache=) is not there yet on a cluster")


class Coin(ormis.Model):
    id: UUID = Field(primary_key=True, default_factory=uuid4)
    worth: float = 0.0

    class Meta:
        key = "cache_coin"
        cache = 10


class Plain(ormis.Model):
    name: str = ""

    class Meta:
        key = "cache_plain"


@pytest.fixture
def cached(raw: redis.Redis, url: str) -> Iterator[ormis.Database]:
    """A database with a cache of 1,000 objects, empty."""
    with caching(url) as database:
        yield database


@pytest.fixture
def town(cached: ormis.Database) -> Town:
    """A town that is kept."""
    Country(code="cz", name="Czechia").save()
    town = Town(name="Brno", size=4, country="cz", notes=["old"], facts={"a": 1}).save()
    warm(cached, lambda: Town.get(town.pk), lambda: Country.get("cz"))
    return town


# What is served ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_a_kept_object_is_read_without_a_call(cached: ormis.Database, town: Town, mode: str) -> None:
    """get(), aget() and the get(pk=...) of a manager give equal objects, each a new one, and send nothing."""
    with capture_calls() as calls:
        first, second = await do(mode, Town, "get", 1), await do(mode, Town, "get", 1)
        third, fourth = await do(mode, Town.objects, "get", pk=1), await do(mode, Town.objects, "get", id="1")
    assert calls == []
    assert first is not second
    assert first.model_dump() == second.model_dump() == third.model_dump() == fourth.model_dump() == town.model_dump()
    assert first.tags.model is Tag


async def test_async_relations_of_a_hit_are_not_loaded(cached: ormis.Database, town: Town) -> None:
    """A hit of async code refuses lazy access as any object of async code does."""
    with pytest.raises(ormis.RelationNotLoaded):
        _ = (await Town.aget(1)).country


def test_a_foreign_key_leads_to_a_kept_object(cached: ormis.Database, town: Town) -> None:
    """The object that a foreign key points at is taken from memory."""
    record = Town.get(1)
    with capture_calls() as calls:
        assert record.country is not None
        assert record.country.name == "Czechia"
    assert calls == []


@MODES
async def test_in_bulk_asks_for_the_rest(cached: ormis.Database, town: Town, mode: str) -> None:
    """in_bulk() of keys sends one call for those that are not kept, which are kept then."""
    Town.objects.bulk_create([Town(name=str(i)) for i in range(5)])
    with capture_calls() as calls:
        found = await do(mode, Town.objects, "in_bulk", iter([1, 2, 3, 99]))
    assert {key: one.name for key, one in found.items()} == {1: "Brno", 2: "0", 3: "1"}
    assert len(calls) == 1
    assert "cache_town:1;" not in str(calls[0])
    warm(cached, lambda: Town.get(2), lambda: Town.get(3))
    with capture_calls() as calls:
        again = await do(mode, Town.objects, "in_bulk", ["1", 2, 3])
    assert {key: one.name for key, one in again.items()} == {1: "Brno", 2: "0", 3: "1"}
    assert calls == []


@MODES
async def test_prefetching_foreign_keys_asks_for_the_rest(cached: ormis.Database, town: Town, mode: str) -> None:
    """prefetch_related() of a forward key sends one call for those that are not kept; none when all are."""
    Country.objects.bulk_create([Country(code="ar", name="Argentina"), Country(code="fj", name="Fiji")])
    Town.objects.bulk_create([Town(name="Salta", country="ar"), Town(name="Suva", country="fj"), Town(name="x")])

    async def read() -> list[str]:
        towns: Any = Town.objects.prefetch_related("country")
        found = [one async for one in towns] if mode == "async" else [*towns]
        return [one.country.name if one.country_id else "" for one in found]

    with capture_calls() as calls:
        assert await read() == ["Czechia", "Argentina", "Fiji", ""]
    assert len(calls) == 2
    assert "PTTL" in str(calls[1])
    assert "cache_country:cz" not in str(calls[1])
    warm(cached, lambda: Country.get("ar"), lambda: Country.get("fj"))
    with capture_calls() as calls:
        assert await read() == ["Czechia", "Argentina", "Fiji", ""]
    assert len(calls) == 1


def test_what_is_read_in_bulk_is_kept(cached: ormis.Database, town: Town) -> None:
    """in_bulk() and prefetch_related() keep the rows that they ask for."""
    Town.objects.bulk_create([Town(name=str(i), country="cz") for i in range(5)])

    def asks_nothing(read: Callable[[], object], calls_of_its_own: int = 0) -> bool:
        with capture_calls() as calls:
            read()
        return len(calls) == calls_of_its_own

    until(lambda: asks_nothing(lambda: Town.objects.in_bulk(range(1, 7))))
    cached.cache.clear()
    until(lambda: asks_nothing(lambda: list(Town.objects.prefetch_related("country")), 1))


ASKING: list[Callable[[], Any]] = [
    lambda: Town.get(1, fresh=True),
    lambda: Town.objects.first(),
    lambda: Town.objects.get(name="Brno"),
    lambda: Town.objects.filter(size=4).get(pk=1),
    lambda: Town.objects.only("name").get(pk=1),
    lambda: Town.objects.select_related("country").get(name="Brno"),
    lambda: list(Town.objects.select_related("country")),
    lambda: Town.objects.count(),
    lambda: Town.objects.filter(pk=1).first(),
    lambda: Town.objects.get_or_create(id=1),
    lambda: Town.objects.in_bulk(),
    lambda: Town.objects.values().get(pk=1),
    lambda: list(Town.objects.all()),
]


@pytest.mark.parametrize("read", ASKING)
def test_other_reads_ask_the_server(cached: ormis.Database, town: Town, read: Callable[[], Any]) -> None:
    """What is not a read by key of whole objects is one call, and shows what is stored now."""
    cached.client.hset(f"{cached.prefix}cache_town:1", "size", "4")
    with capture_calls() as calls:
        read()
    assert len(calls) == 1


@MODES
async def test_related_objects_that_are_kept(cached: ormis.Database, town: Town, mode: str) -> None:
    """select_related() with a key is served from memory if all of its objects are kept, else by one call."""
    related = Town.objects.select_related("country")
    Town(name="Salta", country=Country(code="ar", name="Argentina").save()).save()
    Town(name="nowhere").save()
    for keys, calls_needed in (([1], 0), ([1, 2], 1), ([1, 99], 1)):
        with capture_calls() as calls:
            found = await do(mode, related, "in_bulk", keys)
            assert found[1].country.name == "Czechia"
            assert (await do(mode, related, "get", pk=1)).country.name == "Czechia"
        assert len(calls) == calls_needed
    warm(cached, lambda: Town.get(2), lambda: Town.get(3), lambda: Country.get("ar"))
    with capture_calls() as calls:
        found = await do(mode, related, "in_bulk", [1, 2, 3])
        assert [one.country and one.country.name for one in found.values()] == ["Czechia", "Argentina", None]
    assert calls == []
    cached.client.hset(f"{cached.prefix}cache_country:ar", "name", "changed")
    until(lambda: Town.objects.select_related("country").get(pk=2).country.name == "changed")  # type: ignore[union-attr]


def test_refreshing_asks_the_server(cached: ormis.Database, town: Town) -> None:
    """refresh_from_db() sends a call, and what it has read is kept."""
    record = Town.get(1)
    with capture_calls() as calls:
        record.refresh_from_db()
    assert len(calls) == 1
    assert is_hit(cached, lambda: Town.get(1))


def test_an_uncached_view_of_the_database(cached: ormis.Database, town: Town) -> None:
    """using(db.uncached) asks the server; what is written by it is dropped from the cache."""
    with capture_calls() as calls:
        assert Town.objects.using(cached.uncached).get(pk=1).name == "Brno"
        assert Town.objects.using(cached.uncached).in_bulk([1])[1].name == "Brno"
    assert len(calls) == 2
    record = Town.objects.using(cached.uncached).get(pk=1)
    record.name = "Praha"
    record.save()
    assert Town.get(1).name == "Praha"
    with cached.atomic():
        record.name = "Plzen"
        record.save()
    assert Town.get(1).name == "Plzen"


def test_inside_a_block_reads_ask_the_server(cached: ormis.Database, town: Town) -> None:
    """atomic() is as strict as without a cache: reads inside it are calls, and its conflicts are found."""
    with capture_calls() as calls, cached.atomic():
        Town.get(1)
        Town.objects.get(pk=1)
        Town.objects.in_bulk([1])
    assert len(calls) == 3
    stale = Town.get(1)
    cached.client.hset(f"{cached.prefix}cache_town:1", "size", "99")
    stale.size = 5
    with pytest.raises(ormis.ConflictError):
        stale.save(if_unchanged=True)


def test_a_model_that_is_not_cached(cached: ormis.Database) -> None:
    """Objects of models without Meta.cache are never kept."""
    Plain(name="a").save()
    for _ in range(3):
        with capture_calls() as calls:
            Plain.get(1)
        assert len(calls) == 1
        assert "PTTL" not in str(calls[0])
    assert cached.cache.stats().objects == cached.cache.stats().misses == 0


def test_without_a_cache_nothing_is_kept(db: ormis.Database) -> None:
    """Meta.cache alone keeps nothing: connect() says how much. No thread listens then."""
    Town(name="a").save()
    for _ in range(3):
        with capture_calls() as calls:
            Town.get(1)
        assert len(calls) == 1
    assert str(db.cache.stats()) == "off"
    assert db.client.client_list(_type="normal")
    assert not any(one.get("redir", "-1") != "-1" for one in db.client.client_list())


def test_an_absent_object_is_asked_for_each_time(cached: ormis.Database, town: Town) -> None:
    """That an object is not there is not kept."""
    for _ in range(2):
        with capture_calls() as calls, pytest.raises(Town.DoesNotExist):
            Town.get(99)
        assert len(calls) == 1
    with pytest.raises(Town.DoesNotExist, match="no Town matches"):
        Town.objects.get(pk=99)
    cached.client.hset(f"{cached.prefix}cache_town:99", mapping={"id": "99", "name": "new"})
    assert Town.get(99).name == "new"


# Values of a hit -----------------------------------------------------------------------------------------------------


def test_values_that_change_in_place_are_not_shared(cached: ormis.Database, town: Town) -> None:
    """A list or a dict of a hit that is changed in place does not show in the next; save() sees the change."""
    first = Town.get(1)
    first.notes.append("new")
    first.facts["b"] = 2
    assert Town.get(1).notes == ["old"]
    assert Town.get(1).facts == {"a": 1}
    assert is_hit(cached, lambda: Town.get(1))
    first.save()
    assert (Town.get(1).notes, Town.get(1).facts) == (["old", "new"], {"a": 1, "b": 2})


def test_defaults_of_absent_fields_are_not_shared(cached: ormis.Database, town: Town) -> None:
    """A field that is absent has a default of its own in each object."""
    cached.client.hdel(f"{cached.prefix}cache_town:1", "notes")
    until(lambda: not Town.get(1).notes)
    warm(cached, lambda: Town.get(1))
    Town.get(1).notes.append("x")
    assert Town.get(1).notes == []


def test_an_unsaved_change_of_a_hit_is_its_own(cached: ormis.Database, town: Town) -> None:
    """An object changed and not saved leaves the next hit as it is stored."""
    Town.get(1).name = "other"
    assert Town.get(1).name == "Brno"


@pytest.mark.parametrize("key", [True, 1.0, "1", b"1", None, "01", " 1"])
def test_keys_of_other_types(cached: ormis.Database, town: Town, key: Any) -> None:
    """A key of another type gives what it gives without a cache: an object, or an error."""

    def read(database: ormis.Database) -> Any:
        try:
            return Town.get(key).name
        except (ormis.OrmisError, ormis.DoesNotExist) as error:
            return type(error), str(error)

    def uncached() -> Any:
        try:
            return Town.get(key, fresh=True).name
        except (ormis.OrmisError, ormis.DoesNotExist) as error:
            return type(error), str(error)

    assert read(cached) == uncached()


def test_texts_as_keys(cached: ormis.Database, town: Town) -> None:
    """Texts that a number looks like, with colons and beyond ASCII are keys as any other."""
    for code in ("1", "a:b", "é", "True", "x y"):
        Country(code=code, name=code).save()
        warm(cached, lambda code=code: Country.get(code))
        assert Country.get(code).name == code
        cached.client.hset(f"{cached.prefix}cache_country:{code}", "name", "changed")
        until(lambda code=code: Country.get(code).name == "changed")
    with pytest.raises(Country.DoesNotExist):
        Country.get("True ")


def test_keys_that_are_no_numbers_or_texts(cached: ormis.Database) -> None:
    """Keys of other types are kept by their stored text, however they are given."""
    coin = Coin(worth=1.5).save()
    warm(cached, lambda: Coin.get(coin.id))
    assert is_hit(cached, lambda: Coin.get(str(coin.id)))
    coin.worth = 2.5
    coin.save()
    assert Coin.get(coin.id).worth == 2.5


def test_a_number_limits_the_objects_of_a_model(cached: ormis.Database, town: Town) -> None:
    """`Meta.cache = 10` keeps at most ten objects of the model."""
    coins = [Coin(worth=i) for i in range(100)]
    Coin.objects.bulk_create(coins)
    warm(cached, lambda: Coin.get(coins[0].id))
    for coin in coins:
        Coin.get(coin.id)
    assert 5 <= len(kept(cached, Coin)) <= 10


def test_100_objects_of_10000(raw: redis.Redis, url: str) -> None:
    """A limit of 100 holds while 10,000 objects are read."""
    with caching(url, 100) as database:
        Town.objects.bulk_create([Town(name=str(i)) for i in range(10_000)])
        warm(database, lambda: Town.get(1))
        for first in range(1, 10_001, 500):
            Town.objects.in_bulk(range(first, first + 500))
            assert database.cache.stats().objects <= 100
        assert database.cache.stats().objects >= 50


# Own writes ----------------------------------------------------------------------------------------------------------


def changed(town: Town, **values: Any) -> Town:
    """The object with other values."""
    for name, value in values.items():
        setattr(town, name, value)
    return town


def in_block(work: Callable[[], object]) -> None:
    """Does it in a block of atomic()."""
    with ormis.atomic():
        work()


WRITES: dict[str, Callable[[], Any]] = {
    "save": lambda: changed(Town.get(1), size=5).save(),
    "save of an expression": lambda: changed(Town.get(1), size=F("size") + 1).save(),
    "save if unchanged": lambda: changed(Town.get(1), size=5).save(if_unchanged=True),
    "save of fields": lambda: changed(Town.get(1), size=5).save(update_fields=["size"]),
    "a new object of the same key": lambda: Town(id=1, name="Brno", size=5).save(),
    "create": lambda: (Town.get(1).delete(), Town.objects.create(id=1, name="Brno", size=5)),
    "bulk_create with conflicts": lambda: Town.objects.bulk_create(
        [Town(id=1, name="x", size=5)], update_conflicts=True, unique_fields=["id"], update_fields=["size"]
    ),
    "bulk_update": lambda: Town.objects.bulk_update([changed(Town.get(1), size=5)], ["size"]),
    "update": lambda: Town.objects.filter(name="Brno").update(size=5),
    "update of an expression": lambda: Town.objects.update(size=F("size") + 1),
    "update by the client": lambda: Town.objects.filter(name__regex="B").update(size=F("size") ** 1 + 1),
    "claim": lambda: Town.objects.filter(name="Brno").exclude(size=5).claim(1, size=5),
    "claim by the client": lambda: Town.objects.filter(name__regex="B").exclude(size=5).claim(1, size=5),
    "update_or_create": lambda: Town.objects.update_or_create(name="Brno", defaults={"size": 5}),
    "related manager": lambda: Country.get("cz").towns.update(size=5),
    "save in a block": lambda: in_block(lambda: changed(Town.get(1), size=5).save()),
    "update in a block": lambda: in_block(lambda: Town.objects.update(size=5)),
}


@pytest.mark.parametrize("name", WRITES)
def test_own_writes_are_seen_at_once(cached: ormis.Database, town: Town, name: str) -> None:
    """After each way to write an object, get() in the same process shows what was written."""
    for _ in range(3):
        warm(cached, lambda: Town.get(1))
        WRITES[name]()
        seen = Town.get(1).size
        assert seen == int(cached.client.hget(f"{cached.prefix}cache_town:1", "size") or 0)
        assert seen != 4
        cached.client.hset(f"{cached.prefix}cache_town:1", "size", "4")
        until(lambda: Town.get(1).size == 4)


ASYNC_WRITES: dict[str, Callable[[], Any]] = {
    "asave": lambda: changed(Town.get(1), size=5).asave(),
    "aupdate": lambda: Town.objects.filter(name="Brno").aupdate(size=5),
    "aclaim": lambda: Town.objects.filter(name="Brno").exclude(size=5).aclaim(1, size=5),
    "aupdate_or_create": lambda: Town.objects.aupdate_or_create(name="Brno", defaults={"size": 5}),
    "abulk_update": lambda: Town.objects.abulk_update([changed(Town.get(1), size=5)], ["size"]),
}


@pytest.mark.parametrize("name", ASYNC_WRITES)
async def test_own_async_writes_are_seen_at_once(cached: ormis.Database, town: Town, name: str) -> None:
    """The same for the async twins."""
    await ASYNC_WRITES[name]()
    assert (await Town.aget(1)).size == Town.get(1).size == 5


DELETIONS: dict[str, Callable[[], Any]] = {
    "delete": lambda: Town.get(1).delete(),
    "delete of a queryset": lambda: Town.objects.filter(name="Brno").delete(),
    "delete in a block": lambda: in_block(lambda: Town.get(1).delete()),
    "adelete": lambda: asyncio.run(Town.get(1).adelete()),
}


@pytest.mark.parametrize("name", DELETIONS)
def test_own_deletions_are_seen_at_once(cached: ormis.Database, town: Town, name: str) -> None:
    """A deleted object, and those that go with it, are gone from get() at once."""
    street = Street(town=1, name="x").save()
    warm(cached, lambda: Street.get(street.pk), lambda: Town.get(1))
    DELETIONS[name]()
    with pytest.raises(Town.DoesNotExist):
        Town.get(1)
    with pytest.raises(Street.DoesNotExist):
        Street.get(street.pk)


def test_references_that_a_deletion_releases(cached: ormis.Database, town: Town) -> None:
    """SET_NULL by a deletion is seen at once in the objects that referred."""
    warm(cached, lambda: Town.get(1))
    Country.get("cz").delete()
    assert Town.get(1).country_id is None


RELATIONS: dict[str, Callable[[], Any]] = {
    "add": lambda: Country.get("ar").towns.add(Town.get(1)),
    "set": lambda: Country.get("ar").towns.set([Town.get(1)]),
    "remove": lambda: Country.get("cz").towns.remove(Town.get(1)),
    "clear": lambda: Country.get("cz").towns.clear(),
}


@pytest.mark.parametrize("name", RELATIONS)
def test_relation_managers_are_seen_at_once(cached: ormis.Database, town: Town, name: str) -> None:
    """What a relation manager writes into foreign keys shows in the next get()."""
    Country(code="ar").save()
    warm(cached, lambda: Town.get(1))
    RELATIONS[name]()
    assert Town.get(1).country_id == ("ar" if name in ("add", "set") else None)


def test_times_to_live_are_seen_at_once(cached: ormis.Database, town: Town) -> None:
    """After expire() a kept object is served no longer than it lives."""
    Town.get(1).expire(0.05)
    until(lambda: not Town.objects.filter(pk=1).exists())
    with pytest.raises(Town.DoesNotExist):
        Town.get(1)


def test_writes_of_other_models_leave_the_rows(cached: ormis.Database, town: Town) -> None:
    """Writes of models that reach no kept object drop none; links are no part of objects."""
    tag = Tag(name="a").save()
    Plain(name="a").save()
    Plain.objects.update(name="b")
    Plain.objects.all().delete()
    Town.get(1).tags.add(tag)
    Mayor(town=1, name="x").save()
    Town.objects.get_or_create(id=1)
    assert is_hit(cached, lambda: Town.get(1))
    assert is_hit(cached, lambda: Country.get("cz"))
    Tag.objects.all().delete()
    assert is_hit(cached, lambda: Country.get("cz"))


def test_repairs_are_seen_at_once(cached: ormis.Database, town: Town) -> None:
    """check(repair=True) may change objects: nothing that was kept before it is served after."""
    ormis.check(cached, models=[Town], repair=True)
    assert not is_hit(cached, lambda: Town.get(1))


def test_a_write_that_is_refused(cached: ormis.Database, town: Town) -> None:
    """After a refused write the stored object is read."""
    with pytest.raises(ormis.ForeignKeyViolation):
        changed(Town.get(1), country_id="nowhere").save()
    assert Town.get(1).country_id == "cz"


# Others' writes ------------------------------------------------------------------------------------------------------

OTHERS: dict[str, Callable[[redis.Redis, str], Any]] = {
    "HSET": lambda r, key: r.hset(key, "size", "9"),
    "HINCRBY": lambda r, key: r.hincrby(key, "size", 5),
    "a script": lambda r, key: r.eval("redis.call('HSET', KEYS[1], 'size', 9)", 1, key),
    "a script without keys": lambda r, key: r.eval("redis.call('HSET', ARGV[1], 'size', 9)", 0, key),
    "MULTI": lambda r, key: r.pipeline(transaction=True).hset(key, "size", "9").execute(),
    "DEL": lambda r, key: r.delete(key),
    "UNLINK": lambda r, key: r.unlink(key),
    "RENAME away": lambda r, key: r.rename(key, f"{key}x"),
    "RENAME onto": lambda r, key: (
        r.hset(f"{key}y", mapping={"id": "1", "name": "y", "size": "9"}),
        r.rename(f"{key}y", key),
    ),
    "RESTORE": lambda r, key: (r.hset(key, "size", "9"), r.restore(key, 0, r.dump(key) or b"", replace=True)),
    "FLUSHALL": lambda r, _: r.flushall(),
    "FLUSHDB": lambda r, _: r.flushdb(),
    "PEXPIRE in the past": lambda r, key: r.pexpireat(key, 1),
    "HDEL": lambda r, key: r.hdel(key, "size"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_writes_of_other_programs_are_heard_of(cached: ormis.Database, town: Town, name: str) -> None:
    """What another program does to a kept key, by whatever command, is seen shortly after."""

    def seen(**options: Any) -> Any:
        try:
            return Town.get(1, **options).size
        except Town.DoesNotExist:
            return None

    OTHERS[name](cached.client, f"{cached.prefix}cache_town:1")
    stored = seen(fresh=True) if name != "HDEL" else 0
    assert stored != 4
    until(lambda: seen() == stored)
    if stored is None:
        Town(id=1, name="again", size=7).save()
        assert Town.get(1).size == 7


def test_redis_cli_is_heard_of(cached: ormis.Database, town: Town) -> None:
    """A connection that knows nothing of the cache, by the inline protocol, changes a kept object."""
    import socket

    with socket.socket(socket.AF_UNIX) as other:
        other.connect(cached.client.connection_pool.connection_kwargs["path"])
        other.sendall(f"HSET {cached.prefix}cache_town:1 name Cheb\r\n".encode())
        assert other.recv(10) == b":0\r\n"
    until(lambda: Town.get(1).name == "Cheb")


def test_two_processes_as_two_databases(cached: ormis.Database, town: Town, url: str) -> None:
    """What one database object writes, another one of the same server hears of."""
    with caching(url) as other:
        warm(other, lambda: Town.get(1))
        record = Town.objects.using(cached).get(pk=1)
        record.name = "Praha"
        record.save(using=cached)
        until(lambda: Town.get(1).name == "Praha")


def test_keys_of_other_prefixes_and_databases_are_others(raw: redis.Redis, server: Any) -> None:
    """Databases with prefixes, one the beginning of the other, keep their own objects."""
    with (
        caching(f"{server.url}?prefix=a:") as one,
        caching(f"{server.url}?prefix=a:b:") as two,
    ):
        for database in (one, two):
            Town(id=1, name=database.prefix).save(using=database)
            warm(database, lambda database=database: Town.objects.using(database).get(pk=1))
        one.client.hset("a:cache_town:1", "name", "changed")
        until(lambda: Town.objects.using(one).get(pk=1).name == "changed")
        assert is_hit(two, lambda: Town.objects.using(two).get(pk=1))
        assert Town.objects.using(two).get(pk=1).name == "a:b:"


# Options and statistics ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cache", [-1, 1.5, "10", True, None])
def test_a_limit_that_is_none(cache: Any) -> None:
    """connect(cache=...) takes a number of objects."""
    with pytest.raises(TypeError, match=r"connect\(cache=.*give the number of objects"):
        ormis.connect("redis://localhost", cache=cache)


@pytest.mark.parametrize("bound", [0, -1, float("inf"), float("nan"), "2"])
def test_a_bound_that_is_none(bound: Any) -> None:
    """connect(cache_bound=...) takes seconds."""
    with pytest.raises(TypeError, match=r"connect\(cache_bound=.*give seconds"):
        ormis.connect("redis://localhost", cache=1, cache_bound=bound)


@pytest.mark.parametrize("value", [-1, "yes", 1.5, None])
def test_an_option_that_is_none(value: Any) -> None:
    """Meta.cache is True, False or a number."""
    with pytest.raises(ormis.ModelError, match=r"Wrong\.Meta\.cache="):

        class Wrong(ormis.Model):
            class Meta:
                cache = value


def test_the_option_is_inherited() -> None:
    """An abstract base class passes Meta.cache on; False takes it back."""

    class Base(ormis.Model):
        class Meta:
            abstract = True
            cache = True

    class One(Base):
        pass

    class Two(Base):
        class Meta:
            cache = False

    assert One._schema().cache is True
    assert Two._schema().cache is False


def test_statistics(cached: ormis.Database, town: Town) -> None:
    """stats() counts hits, misses, kept objects and changed keys; clear() drops the objects."""
    before = cached.cache.stats()
    Town.get(1)
    Town.get(1)
    with pytest.raises(Town.DoesNotExist):
        Town.get(99)
    cached.client.hset(f"{cached.prefix}cache_town:1", "size", "5")
    until(lambda: cached.cache.stats().invalidated > before.invalidated)
    after = cached.cache.stats()
    assert (after.hits - before.hits, after.misses - before.misses) == (2, 1)
    assert (before.objects, after.objects) == (2, 1)
    assert after.limit == 1000
    assert after.age is not None
    assert 0 <= after.age < 2
    assert str(after).startswith("1 of 1,000 objects, ")
    cached.cache.clear()
    assert cached.cache.stats().objects == 0
    assert not is_hit(cached, lambda: Country.get("cz"))


def test_wrong_arguments_of_get(cached: ormis.Database, town: Town) -> None:
    """`fresh` is named, and goes with a key alone."""
    assert Town.get(pk=1, fresh=True).name == "Brno"
    wrong: Any = Town
    with pytest.raises(TypeError):
        wrong.get(1, True)
    with pytest.raises(TypeError):
        wrong.get(name="Brno", fresh=True)
