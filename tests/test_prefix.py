"""`connect(prefix=)`: every key of a database begins with its prefix; two prefixes are two databases."""

import time
from typing import Any

import pytest

import ormis
from ormis import Field, ForeignKey
from ormis.connections.urls import parse
from ormis.drivers.capture import capture_calls


class Shelf(ormis.Model):
    """Shelves expire."""

    label: str = Field(default="", index=True)
    rank: int = Field(default=0, index=True)
    code: str | None = Field(default=None, unique=True)

    class Meta:
        key = "prefix_shelf"


class Item(ormis.Model):
    """Items stand on shelves."""

    shelf: ForeignKey[Shelf]
    name: str = Field(default="", index="sorted")

    class Meta:
        key = "prefix_item"


@pytest.fixture
def two(raw: Any, server: Any) -> Any:
    """Two databases on one server."""
    with ormis.connect(server.url, prefix="a:") as one, ormis.connect(server.url, prefix="b*[x]:") as other:
        yield one, other


def all_keys(server: Any) -> list[str]:
    with server.client() as client:
        return sorted(key.decode() for key in client.keys("*"))


@pytest.mark.single_server("names keys to db.client without the tag of their partition")
def test_every_key_begins_with_the_prefix(two: Any, server: Any) -> None:
    """Objects, indexes, claims, counters, lists, idempotency records: nothing is outside of the prefix."""
    one, _ = two
    shelf = Shelf(label="x", rank=3, code="c").save(using=one)
    Item(shelf=shelf, name="n").save(using=one, ttl=100)
    shelf.rank = 4
    shelf.save()
    Shelf.objects.using(one).update(rank=5)
    Shelf.objects.using(one).get_or_create(label="y")
    keys = all_keys(server)
    assert "a:prefix_shelf:1" in keys
    assert "a:prefix_shelf/index/label=x" in keys
    assert [key for key in keys if not key.startswith("a:")] == []


@pytest.mark.single_server("names keys to db.client without the tag of their partition")
def test_two_prefixes_are_two_databases(two: Any) -> None:
    """Ids, counts, claims, queries and deletes of one know nothing of the other."""
    one, other = two
    first = Shelf(code="same", rank=1).save(using=one)
    second = Shelf(code="same", rank=2).save(using=other)
    assert (first.id, second.id) == (1, 1)
    assert [s.rank for s in Shelf.objects.using(other).filter(rank__gte=0)] == [2]
    assert Shelf.objects.using(one).filter(rank=2).count() == 0
    assert Shelf.objects.using(one).delete()[0] == 1
    assert Shelf.objects.using(other).get(pk=1).rank == 2


@pytest.mark.single_server("names keys to db.client without the tag of their partition")
def test_check_inspect_and_reindex_see_one_prefix(two: Any, server: Any) -> None:
    """What stands under another prefix is neither reported, repaired nor counted."""
    one, other = two
    Shelf(label="x", rank=1).save(using=one)
    Shelf(label="y", rank=2).save(using=other)
    with server.client() as client:
        client.zrem("b*[x]:prefix_shelf/index/rank", "1")
        client.set("b*[x]:prefix_shelf/index/nonsense", "1")
    assert ormis.check(one, models=[Shelf], repair=True).findings == []
    (found,) = [state for state in ormis.inspect(one) if state.key == "prefix_shelf"]
    assert found.objects == 1
    report = ormis.check(other, models=[Shelf], repair=True)
    assert {finding.key for finding in report.findings} == {"prefix_shelf:1", "prefix_shelf/index/nonsense"}
    assert ormis.check(other, models=[Shelf]).findings == []
    assert one.reindex(Shelf).built == []


@pytest.mark.single_server("names keys to db.client without the tag of their partition")
def test_expired_objects_are_cleared_within_the_prefix(two: Any, server: Any) -> None:
    """Expiry records, their index entries and clearing them away stay under the prefix."""
    one, other = two
    Shelf(label="x").save(using=one, ttl=0.05)
    Shelf(label="x").save(using=other)
    time.sleep(0.1)
    assert Shelf.objects.using(one).count() == 0
    assert Shelf.objects.using(other).count() == 1
    Shelf(label="z").save(using=one)
    assert "a:prefix_shelf/index/label=x" not in all_keys(server)
    assert ormis.check(one, models=[Shelf]).findings == []


async def test_the_async_twin(two: Any) -> None:
    """The async driver puts the prefix before keys as well."""
    one, other = two
    await Shelf(rank=7).asave(using=one)
    assert await Shelf.objects.using(one).filter(rank=7).acount() == 1
    assert await Shelf.objects.using(other).acount() == 0
    assert (await Shelf.objects.using(one).aget(pk=1)).rank == 7


@pytest.mark.single_server("names keys to db.client without the tag of their partition")
def test_captured_calls_show_keys_as_sent(two: Any) -> None:
    """capture_calls() lists what the server was sent, the prefix included."""
    one, _ = two
    shelf = Shelf().save(using=one)
    with capture_calls() as calls:
        shelf.ttl()
        Shelf.objects.using(one).count()
    assert [str(call)[:21] for call in calls] == ["PTTL a:prefix_shelf:1", "query a:ormis/models "]


def test_errors_name_keys_without_the_prefix(two: Any, server: Any) -> None:
    """A key in a message or a report is the key inside the database, as `obj.key` is; `db.prefix` is the rest."""
    one, _ = two
    shelf = Shelf(rank=1).save(using=one)
    assert (one.prefix + shelf.key) in all_keys(server)
    with server.client() as client:
        client.set("a:prefix_item/ids", "no set")
    with pytest.raises(ormis.StoredDataError, match="the key 'prefix_item/ids' holds a string") as failure:
        Item(shelf=shelf).save(using=one)
    assert failure.value.key == "prefix_item/ids"


@pytest.mark.parametrize(
    ("url", "prefix", "name"),
    [
        ("redis://h:1/2?prefix=shop:", "shop:", "redis://h:1/2"),
        ("redis://h:1/2?socket_timeout=1&prefix=a%2Fb", "a/b", "redis://h:1/2"),
        ("unix:///tmp/s?prefix=p&db=1", "p", "unix:///tmp/s?db=1"),
        ("embedded:///var/x?prefix=p", "p", "embedded:///var/x"),
        ("redis+sentinel://h:1/service?prefix=p", "p", "redis+sentinel://h:1/service"),
        ("redis://h:1/2", "", "redis://h:1/2"),
    ],
)
def test_the_url_names_the_prefix(url: str, prefix: str, name: str) -> None:
    """Every kind of URL takes ?prefix=, percent-encoded where it must be; redis-py never sees it."""
    target = parse(url)
    assert (target.prefix, target.name) == (prefix, name)
    assert "prefix" not in target.options


def test_the_argument_counts_before_the_url(server: Any) -> None:
    """connect(prefix=) overrides the one of the URL; the name of the database shows it."""
    with ormis.connect(f"{server.url}?prefix=url:", prefix="argument:") as db:
        assert db.prefix == "argument:"
        assert "prefix=argument:" in repr(db)
