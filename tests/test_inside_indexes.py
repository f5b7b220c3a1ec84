"""Indexes of parts and of members: every entry is a function of the hash, whatever is written, and in whatever way."""

import time
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, field_validator

import ormis
from laws import examples
from model_factory import make
from ormis import Field, Index, UniqueConstraint
from ormis.schema import registry
from places import PLACES, IndexedPlace, Place

LAW = settings(max_examples=examples(12), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@LAW
@given(st.lists(st.tuples(st.sampled_from(["save", "update", "delete", "bulk", "atomic"]), PLACES), max_size=6))
def test_entries_follow_the_hash(db: ormis.Database, writes: list[tuple[str, dict[str, Any]]]) -> None:
    """After any writes nothing is missing and nothing is left."""
    db.client.flushall()
    IndexedPlace.objects.bulk_create([IndexedPlace(**row) for _, row in writes])
    for how, row in writes:
        one = IndexedPlace.objects.order_by("?").first()
        if one is None or how == "bulk":
            IndexedPlace.objects.bulk_create([IndexedPlace(**row)] * 1)
        elif how == "delete":
            one.delete()
        elif how == "update":
            IndexedPlace.objects.filter(pk=one.pk).update(**row)
        else:
            with ormis.atomic():
                for name, value in row.items():
                    setattr(one, name, value)
                one.save()
        assert ormis.check(models=[IndexedPlace]).findings == []
    IndexedPlace.objects.all().delete()
    assert [*db.client.scan_iter("*inside_indexed/index/*")] == []


@pytest.mark.single_server("names keys to db.client without the tag of their partition")
@LAW
@given(st.lists(PLACES, min_size=1, max_size=5))
def test_reindex_builds_what_writes_would(db: ormis.Database, rows: list[dict[str, Any]]) -> None:
    """The entries of objects that were there before their indexes are those of objects that come after."""
    db.client.flushall()
    objects = [IndexedPlace(**row) for row in rows]
    IndexedPlace.objects.bulk_create(objects)
    entries = {key: db.client.dump(key) for key in db.client.scan_iter("*inside_indexed/index/*")}
    for key in entries:
        db.client.delete(key)
    db.client.hdel(f"{db.prefix}ormis/models", "inside_indexed")
    ormis.reindex(db, models=[IndexedPlace])
    assert {*db.client.scan_iter("*inside_indexed/index/*")} == {*entries}
    assert ormis.check(models=[IndexedPlace]).findings == []


class Inner(BaseModel):
    city: str
    number: int = 0
    email: str | None = None


class Person(ormis.Model):
    name: str = ""
    address: Inner | None = None
    tags: list[str] = Field(default=[], index="members")

    class Meta:
        key = "inside_person"
        indexes = [Index("address__city"), Index("name", "address__number")]
        constraints = [UniqueConstraint("address__email"), UniqueConstraint("name", "address__city")]


def address(city: str, **more: Any) -> Inner:
    """An address."""
    return Inner(city=city, **more)


def test_keys_of_members_and_parts(db: ormis.Database, raw: redis.Redis) -> None:
    """A set for each member, once; a part as a field under its name."""
    Person(name="a", address=address("Paris", number=3), tags=["x", "y/z", "x"]).save()
    keys = sorted(key.decode() for key in raw.scan_iter("inside_person/index/*"))
    assert keys[:2] == ["inside_person/index/address__city", "inside_person/index/name=a/address__number"]
    assert keys[3] == "inside_person/index/tags=x"
    assert keys[2].startswith("inside_person/index/tags=#")
    assert raw.smembers("inside_person/index/tags=x") == {b"1"}
    assert raw.zrange("inside_person/index/address__city", 0, -1) == [b"Paris\x001"]


def test_queries_take_the_indexes(db: ormis.Database) -> None:
    """One call that examines what the index allows; a count without looking at objects."""
    Person.objects.bulk_create(
        [Person(name=str(i), address=address(f"c{i}", number=i), tags=["all", f"t{i % 10}"]) for i in range(100)]
    )
    for query, name, count in (
        (Person.objects.filter(tags__contains="t3"), "index of the members of tags: 10 of 100", 10),
        (Person.objects.filter(tags__contains=["all", "t4"]), "index of the members of tags: 10 of 100", 10),
        (Person.objects.filter(tags__overlap=["t1", "t2"]), "union of: 20 of 100", 20),
        (Person.objects.filter(address__city="c7"), "text index on address__city: 1 of 100", 1),
        (Person.objects.filter(address__city__startswith="c1"), "text index on address__city: 11 of 100", 11),
        (Person.objects.filter(name="7", address__number__lt=9), "sorted index on name, address__number: 1 of 100", 1),
    ):
        assert name in str(query.explain())
        with ormis.capture_calls() as calls:
            assert len([*query.all()]) == query.count() == count
        assert len(calls) == 2
    ordered = Person.objects.filter(address__city__gt="").order_by("address__city")[:3]
    assert "index on address__city, walked in its order" in str(ordered.explain())
    assert [one.address.city for one in ordered if one.address] == ["c0", "c1", "c10"]


def test_a_unique_part(db: ormis.Database) -> None:
    """No two objects share it, alone and beside a field; absent ones do not clash; a change frees the value."""
    one = Person(name="a", address=address("Paris", email="x@y")).save()
    with pytest.raises(ormis.UniqueViolation, match="Person with address__email='x@y' exists already: inside_person:1"):
        Person(name="b", address=address("Rome", email="x@y")).save()
    with pytest.raises(ormis.UniqueViolation, match="name,address__city"):
        Person(name="a", address=address("Paris")).save()
    Person(name="b", address=address("Paris")).save()
    Person(name="b").save()
    assert Person.objects.get(address__email="x@y") == one
    one.address = address("Rome")
    one.save()
    other = Person(name="c", address=address("Rome", email="x@y")).save()
    assert Person.objects.get(address__email="x@y") == other
    found, created = Person.objects.get_or_create(address__email="x@y", defaults={"name": "d"})
    assert (found, created) == (other, False)
    assert ormis.check(models=[Person]).findings == []


def test_check_mends_entries_of_members_and_parts(db: ormis.Database, raw: redis.Redis) -> None:
    """One that is missing, one that the object does not say, one without an object."""
    Person(name="a", address=address("Paris", email="e"), tags=["x"]).save()
    raw.srem("inside_person/index/tags=x", "1")
    raw.sadd("inside_person/index/tags=y", "1", "99")
    raw.zrem("inside_person/index/address__city", "Paris\x001")
    raw.zadd("inside_person/index/address__city", {"Rome\x001": 0})
    raw.hdel("inside_person/unique/address__email", "e")
    found = sorted(finding.kind for finding in ormis.check(repair=True, models=[Person]).findings)
    assert found == ["index-extra", "index-missing", "index-missing", "index-stale", "index-stale", "unique-missing"]
    assert ormis.check(models=[Person]).findings == []
    assert raw.smembers("inside_person/index/tags=x") == {b"1"}
    assert not raw.exists("inside_person/index/tags=y")


def test_what_expires_leaves_no_entries(db: ormis.Database, raw: redis.Redis) -> None:
    """The next write clears away the entries of members and of parts, and frees unique values."""
    Person(name="a", address=address("Paris", email="e"), tags=["x"]).save(ttl=0.03)
    time.sleep(0.06)
    assert not Person.objects.filter(tags__contains="x").exists()
    assert not Person.objects.filter(address__city="Paris").exists()
    Person(name="a", address=address("Paris", email="e"), tags=["y"]).save()
    assert Person.objects.filter(tags__contains="y", address__email="e").count() == 1
    assert not raw.exists("inside_person/index/tags=x")
    assert ormis.check(models=[Person]).findings == []


def declare(*indexes: Index, model: type[BaseModel] = Inner, tags: Any = []) -> Any:  # noqa: B006 - it is not changed
    """A model with these indexes; the one declared before is forgotten."""
    for known in registry.models():
        if known.__key__ == "made_changing":
            registry.forget(known)
    meta = {"indexes": [*indexes]}
    return make("Changing", __name__, meta=meta, address=(model | None, None), tags=(list[str], tags))


def test_indexes_come_and_go(db: ormis.Database, raw: redis.Redis) -> None:
    """One declared later is incomplete until reindex(); a client without it keeps it; one declared no more goes."""
    plain = declare()
    plain(address=address("Paris"), tags=["x"]).save()
    indexed = declare(Index("address__city"), tags=Field(default=[], index="members"))
    indexed(address=address("Rome"), tags=["x", "y"]).save()
    query = indexed.objects.filter(tags__contains="x")
    assert query.count() == indexed.objects.filter(address__city__gte="A").count() == 2
    assert "not used until reindexed" in str(query.explain())
    ormis.reindex(models=[indexed])
    assert "index of the members of tags: 2 of 2" in str(query.explain())
    plain = declare()
    plain(address=address("Oslo"), tags=["x"]).save()
    assert raw.scard("made_changing/index/tags=x") == 3
    assert raw.zcard("made_changing/index/address__city") == 3
    ormis.reindex(models=[plain])
    assert [*raw.scan_iter("made_changing/index/*")] == []
    assert ormis.check(models=[plain]).findings == []


class Elsewhere(BaseModel):
    city: str = Field(alias="town")

    model_config = {"populate_by_name": True}


def test_a_part_that_is_found_elsewhere_is_built_again(db: ormis.Database) -> None:
    """Another key in JSON is another value: the index is not used until it is built again."""
    first = declare(Index("address__city"))
    first(address=address("Paris")).save()
    second = declare(Index("address__city"), model=Elsewhere)
    second(address={"town": "Rome"}).save()
    assert "not used until reindexed" in str(second.objects.filter(address__city="Rome").explain())
    assert second.objects.filter(address__city="Rome").count() == 1
    ormis.reindex(models=[second])
    assert "text index on address__city: 1 of 2" in str(second.objects.filter(address__city="Rome").explain())
    assert ormis.check(models=[second]).findings == []


class Shouted(BaseModel):
    city: str

    @field_validator("city")
    @classmethod
    def _shout(cls, value: str) -> str:
        return value.upper()


@pytest.mark.parametrize(
    ("annotation", "value", "meta", "message"),
    [
        (int, Field(default=0, index="members"), {}, 'x: index="members" is for lists, tuples and sets, not int'),
        (dict[str, int], Field(default={}, index="members"), {}, "is for lists, tuples and sets, not json"),
        (list[Inner], Field(default=[], index="members"), {}, "tell apart by their texts"),
        (list[int], Field(default=[], index=True), {}, "stored as JSON has no index"),
        (Inner | None, None, {"indexes": [Index("x__town")]}, "names 'x__town', which is no field"),
        (Inner | None, None, {"indexes": [Index("x")]}, "index a part of it, as in Index"),
        (
            dict[str, list[int]],
            {},
            {"indexes": [Index("x__k")]},
            "x__k is stored as JSON itself: index one of its parts",
        ),
        (dict[str, int], {}, {"indexes": [Index("x__a b")]}, "is no field"),
        (Shouted | None, None, {"indexes": [Index("x__city")]}, "x__city: its values are converted by validators"),
        (list[int], [], {"constraints": [UniqueConstraint("x__0__y")]}, "is no field"),
    ],
)
def test_indexes_that_can_not_be(annotation: Any, value: Any, meta: dict[str, Any], message: str) -> None:
    """The class is refused, with what to do."""
    with pytest.raises(ormis.ModelError, match=message):
        make("Refused", __name__, meta=meta, x=(annotation, value))


def test_index_and_no_index_agree_on_large_sets(db: ormis.Database) -> None:
    """Objects in several steps and portions, by members and by parts."""
    rows = [{"name": str(i), "tags": [f"t{i % 7}"], "pair": (i % 5, "")} for i in range(3000)]
    for model in (Place, IndexedPlace):
        model.objects.bulk_create([model(**row) for row in rows])
    for lookups in ({"tags__contains": "t3"}, {"pair__0__gte": 3}, {"tags__contains": "t1", "pair__0": 2}):
        one, other = (model.objects.filter(**lookups).order_by("-pair__0", "pk") for model in (Place, IndexedPlace))
        assert [*one.values_list("name", flat=True)] == [*other.values_list("name", flat=True)]
        assert one.count() == other.count()
