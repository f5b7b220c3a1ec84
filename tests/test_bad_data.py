"""Stored data that another program has damaged, and hostile arguments: every entry point works or names the problem and
its place; a check finds the damage, and a repair leaves nothing that prevents further work.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import ormis
from laws import examples
from ormis import CASCADE, F, Field, ForeignKey, Index, OneToOne, Q, UniqueConstraint


class Color(Enum):
    """Enum values."""

    RED = "red"
    BLUE = "blue"


class Owner(ormis.Model):
    """The target of the foreign keys of Thing."""

    name: str = Field(unique=True)

    class Meta:
        key = "bad_owner"


class Thing(ormis.Model):
    """A field of every type, indexes of every kind."""

    owner: ForeignKey[Owner | None] = ForeignKey(on_delete=CASCADE, related_name="things")
    first: OneToOne[Owner | None] = OneToOne(on_delete=CASCADE, related_name="first_thing")
    title: str = Field(default="", index="sorted")
    count: int | None = Field(default=None, index=True)
    ratio: float = Field(default=0.0, index=True)
    price: Decimal = Field(default=Decimal(0), index=True)
    on: bool = Field(default=True, index=True)
    made: datetime | None = Field(default=None, index=True)
    day: date | None = None
    took: timedelta | None = None
    code: UUID | None = Field(default=None, unique=True)
    color: Color = Color.RED
    tags: list[int] = []
    raw: bytes = b""

    class Meta:
        key = "bad_thing"
        indexes = [Index("owner", "count")]
        constraints = [UniqueConstraint("title", "count")]


MODELS = (Owner, Thing)
T, OWNER = "bad_thing", "bad_owner"


def populate() -> None:
    Owner(name="ann").save()
    Owner(name="bob").save()
    for n in range(1, 4):
        Thing(
            owner_id=1 + n % 2,
            first_id=n if n < 3 else None,
            title=f"t{n}",
            count=n,
            ratio=n / 2,
            price=Decimal(n),
            made=datetime(2026, 1, n, tzinfo=UTC),
            day=date(2026, 1, n),
            took=timedelta(seconds=n),
            code=UUID(int=n),
            tags=[n],
        ).save()


ENTRIES: dict[str, Callable[[], Any]] = {
    "get": lambda: Thing.get(1),
    "list": lambda: Thing.list(),
    "all": lambda: list(Thing.objects.all()),
    "count": lambda: Thing.objects.count(),
    "exists": lambda: Thing.objects.filter(title="t1").exists(),
    "first": lambda: Thing.objects.first(),
    "last": lambda: Thing.objects.last(),
    "by number": lambda: list(Thing.objects.filter(count__gte=1)),
    "by float": lambda: list(Thing.objects.filter(ratio__lt=9)),
    "by decimal": lambda: list(Thing.objects.filter(price=Decimal(1))),
    "by text": lambda: list(Thing.objects.filter(title__startswith="t")),
    "by folded text": lambda: list(Thing.objects.filter(title__icontains="T")),
    "by time": lambda: list(Thing.objects.filter(made__year=2026)),
    "by bool": lambda: list(Thing.objects.filter(on=True)),
    "by unique": lambda: list(Thing.objects.filter(code=UUID(int=1))),
    "by enum": lambda: list(Thing.objects.filter(color=Color.RED)),
    "by null": lambda: list(Thing.objects.filter(day__isnull=True)),
    "by condition": lambda: list(Thing.objects.exclude(Q(count=1) | Q(title="t2"))),
    "by other field": lambda: list(Thing.objects.filter(count__gt=F("ratio"))),
    "by pair": lambda: list(Thing.objects.filter(owner=1, count__lte=3).order_by("-count")[:2]),
    "to one": lambda: list(Thing.objects.filter(owner__name="ann")),
    "to many": lambda: list(Owner.objects.filter(things__count__gte=1)),
    "ordered": lambda: list(Thing.objects.order_by("-count", "title")),
    "page": lambda: list(Thing.objects.order_by("made")[1:3]),
    "iterator": lambda: list(Thing.objects.iterator()),
    "forward": lambda: [thing.owner for thing in Thing.objects.all()],
    "reverse": lambda: list(Owner(id=1, name="x").things.all()) if Owner.get(1) else None,
    "insert": lambda: Thing(title="new", count=77).save(),
    "insert with key": lambda: Thing(id=1, title="other", count=88).save(),
    "insert by force": lambda: Thing(id=9, title="other", count=99).save(force_insert=True),
    "insert with owner": lambda: Thing(owner_id=1, title="o").save(),
    "update": lambda: Thing(id=1, title="upd", count=5).save(force_update=True),
    "update of one field": lambda: Thing(id=1, title="upd", count=6).save(update_fields=["count"]),
    "sum": lambda: counted(1),
    "bulk": lambda: Thing.objects.bulk_create([Thing(title=f"b{n}", count=n) for n in range(3)]),
    "delete": lambda: Thing(id=1, title="t").delete(),
    "delete with cascade": lambda: Owner(id=1, name="ann").delete(),
    "expire": lambda: Thing(id=1, title="t").expire(1000),
    "persist": lambda: Thing(id=1, title="t").persist(),
    "ttl": lambda: Thing(id=1, title="t").ttl(),
    "reindex": lambda: ormis.reindex(models=MODELS),
    "inspect": lambda: ormis.inspect(models=MODELS),
}


def counted(pk: int) -> None:
    thing = Thing(id=pk, title="t")
    thing.count = F("count") + 1  # type: ignore[assignment]
    thing.save(update_fields=["count"])


HARMLESS = (ormis.DoesNotExist, ormis.IntegrityError, ormis.ConflictError, ormis.StoredDataError)
"""Errors that an entry point may raise: the object does not exist (any more), conflicts with another, or can't be read.
"""


def call(entry: str) -> BaseException | None:
    """Calls a public entry point; an exception must be one of ormis, and name the place of the bad data."""
    failure: BaseException | None = None
    try:
        ENTRIES[entry]()
    except HARMLESS as error:
        failure = error
    if isinstance(failure, ormis.StoredDataError):
        assert failure.key, failure
        assert failure.key in str(failure) or repr(failure.key) in str(failure)
    return failure


DAMAGES: dict[str, Callable[[Any], Any]] = {
    "text in an int": lambda raw: raw.hset(f"{T}:1", "count", "many"),
    "nothing in an int": lambda raw: raw.hset(f"{T}:1", "count", ""),
    "text in a float": lambda raw: raw.hset(f"{T}:1", "ratio", "x"),
    "text in a decimal": lambda raw: raw.hset(f"{T}:1", "price", "1,5"),
    "text in a bool": lambda raw: raw.hset(f"{T}:1", "on", "yes"),
    "text in a datetime": lambda raw: raw.hset(f"{T}:1", "made", "yesterday"),
    "text in a date": lambda raw: raw.hset(f"{T}:1", "day", "2026-02-30"),
    "text in a timedelta": lambda raw: raw.hset(f"{T}:1", "took", "long"),
    "text in a uuid": lambda raw: raw.hset(f"{T}:1", "code", "zz"),
    "another enum": lambda raw: raw.hset(f"{T}:1", "color", "green"),
    "no json": lambda raw: raw.hset(f"{T}:1", "tags", "[1,"),
    "other json": lambda raw: raw.hset(f"{T}:1", "tags", '{"a": "b"}'),
    "bytes in a text": lambda raw: raw.hset(f"{T}:1", "title", b"\xff\xfe\x00"),
    "text in a foreign key": lambda raw: raw.hset(f"{T}:1", "owner_id", "nobody"),
    "another primary key": lambda raw: raw.hset(f"{T}:1", "id", "one"),
    "no primary key": lambda raw: raw.hdel(f"{T}:1", "id"),
    "no fields but the key": lambda raw: (raw.delete(f"{T}:1"), raw.hset(f"{T}:1", "id", "1")),
    "unknown fields": lambda raw: raw.hset(f"{T}:1", mapping={"zzz": "1", "": "2"}),
    "no hash": lambda raw: raw.delete(f"{T}:1", f"{OWNER}:1"),
    "a list for a hash": lambda raw: (raw.delete(f"{T}:1"), raw.rpush(f"{T}:1", "x")),
    "a stream for a hash": lambda raw: (raw.delete(f"{OWNER}:1"), raw.xadd(f"{OWNER}:1", {"a": "b"})),
    "a string for ids": lambda raw: raw.set(f"{T}/ids", "x"),
    "a hash for next_id": lambda raw: (raw.delete(f"{T}/next_id"), raw.hset(f"{T}/next_id", "a", "b")),
    "text in next_id": lambda raw: raw.set(f"{T}/next_id", "many"),
    "a huge next_id": lambda raw: raw.set(f"{T}/next_id", "9" * 40),
    "a negative next_id": lambda raw: raw.set(f"{T}/next_id", "-5"),
    "a string for an index": lambda raw: raw.set(f"{T}/index/count", "x"),
    "a string for an equality index": lambda raw: raw.set(f"{T}/index/on=1", "x"),
    "a string for an index of two": lambda raw: raw.set(f"{T}/index/owner_id=1/count", "x"),
    "a string for claims": lambda raw: raw.set(f"{T}/unique/code", "x"),
    "a string for claims of two": lambda raw: raw.set(f"{T}/unique/title,count", "x"),
    "garbage in ids": lambda raw: raw.zadd(f"{T}/ids", {b"\xff\xfe": 2.5, "": 7, "a:b/c": 1e300, "1\0": float("inf")}),
    "garbage in an index": lambda raw: raw.zadd(f"{T}/index/title", {b"\xff": 1, "": 0, "\0": 0, "x\0nobody": 0}),
    "garbage in a score": lambda raw: raw.zadd(f"{T}/index/count", {"1": float("inf"), "nobody": float("-inf")}),
    "garbage in a claim": lambda raw: raw.hset(f"{T}/unique/code", mapping={"": "", "zz": "nobody", b"\xff": b"\xfe"}),
    "a string for the times": lambda raw: raw.set(f"{T}/expiry", "x"),
    "a string for what is kept of them": lambda raw: raw.set(f"ormis/expiring/{T}", "x"),
    "garbage in the declaration": lambda raw: raw.hset("ormis/models", T, "garbage"),
    "another declaration": lambda raw: raw.hset("ormis/models", T, '["x"]'),
    "a time set by another tool": lambda raw: raw.expire(f"{T}:1", 1000),
    "a key that is left over": lambda raw: raw.set(f"{T}/what", "x"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_entry_survives_it(db: ormis.Database, raw: Any, damage: str) -> None:
    """Every entry point works or raises an error of ormis that names the place, never a traceback of Lua or of a
    decoder.
    """
    populate()
    DAMAGES[damage](raw)
    dumps = {key: raw.dump(key) for key in raw.scan_iter("*") if not key.startswith(b"ormis/once")}
    for entry in ENTRIES:
        call(entry)
        raw.flushdb()
        for key, dumped in dumps.items():
            raw.restore(key, 0, dumped)
    report = ormis.check(db, models=MODELS)
    assert report.findings or damage in ("unknown fields", "a huge next_id", "a time set by another tool")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_repair_leaves_nothing_in_the_way(db: ormis.Database, raw: Any, damage: str) -> None:
    """After a repair the only findings are those that can't be derived from the hashes: values that do not convert."""
    populate()
    DAMAGES[damage](raw)
    ormis.check(db, models=MODELS, repair=True)
    ormis.reindex(db, models=MODELS)
    left = ormis.check(db, models=MODELS)
    assert {finding.kind for finding in left.findings} <= {"value"}
    for entry in ENTRIES:
        error = call(entry)
        if isinstance(error, ormis.StoredDataError):
            assert {f.key for f in left.findings} >= {error.key}, error


@pytest.mark.parametrize(
    ("field", "text", "entry", "shown"),
    [
        ("count", "many", lambda: Thing.get(1), "many"),
        ("count", "many", lambda: list(Thing.objects.all()), "many"),
        ("tags", "[1,", lambda: Thing.get(1), "[1,"),
        ("color", "green", lambda: list(Thing.objects.filter(title="t1")), "green"),
        ("made", "now", lambda: Thing.objects.first(), "now"),
        ("price", "1,5", lambda: Thing.objects.get(pk=1), "1,5"),
    ],
)
def test_the_error_names_key_and_field(
    db: ormis.Database, raw: Any, field: str, text: str, entry: Any, shown: str
) -> None:
    """The message contains model, field, key and text; key and field are attributes; check reports the same place."""
    populate()
    raw.hset(f"{T}:1", field, text)
    with pytest.raises(ormis.StoredDataError) as caught:
        entry()
    assert (caught.value.key, caught.value.field) == (f"{T}:1", field)
    for part in ("Thing", field, f"{T}:1", shown):
        assert part in str(caught.value)
    assert (f"{T}:1", field) in {(f.key, f.field) for f in ormis.check(db, models=MODELS).findings}


HOSTILE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**30),
    st.floats(),
    st.decimals(),
    st.text(max_size=8),
    st.binary(max_size=8),
    st.datetimes(),
    st.uuids(),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    st.sampled_from(
        [
            "\0",
            "\ud800",
            "*",
            "{x}",
            "a:b",
            "../../x",
            "'; return 1 --",
            "\r\n",
            "%s",
            "1e400",
            "nan",
            "-0",
            object(),
            int,
        ]
    ),
)
REFUSALS = (ormis.OrmisError, ValidationError, ValueError, TypeError)


@settings(max_examples=examples(20), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=HOSTILE, other=HOSTILE)
def test_hostile_arguments(db: ormis.Database, raw: Any, value: Any, other: Any) -> None:
    """Every entry point stores a hostile argument exactly, finds it, or raises an error about it."""
    raw.flushdb()
    populate()
    before = {key: raw.hgetall(key) for key in raw.scan_iter(f"{T}:*")}
    works: list[Callable[[], Any]] = [
        lambda: Thing.get(value),
        lambda: list(Thing.objects.filter(title=value)),
        lambda: list(Thing.objects.filter(count=value)),
        lambda: list(Thing.objects.filter(count__in=[value, other])),
        lambda: list(Thing.objects.filter(price__range=(value, other))),
        lambda: list(Thing.objects.filter(title__icontains=value)),
        lambda: list(Thing.objects.filter(made__year=value)),
        lambda: list(Thing.objects.filter(owner=value)),
        lambda: list(Thing.objects.filter(owner__name__startswith=value)),
        lambda: list(Thing.objects.order_by(value)),
        lambda: list(Thing.objects.all()[value:other]),
        lambda: Thing(id=value, title="t").ttl(),
        lambda: Thing(id=1, title="t").expire(value) if not isinstance(value, float | int | Decimal) else None,
        lambda: Thing(id=1, title="t").save(update_fields=value) if isinstance(value, str | int | float) else None,
    ]
    for work in works:
        refused(work)
    assert {key: raw.hgetall(key) for key in raw.scan_iter(f"{T}:*")} == before
    refused(lambda: same_again(Thing(title=value, count=other)))
    refused(lambda: same_again(Thing(id=value, title="x", raw=other if isinstance(other, bytes) else b"")))
    refused(lambda: same_again(Owner(name=value)))
    assert [f for f in ormis.check(db, models=MODELS).findings if f.kind != "next-id"] == []


def refused(work: Callable[[], Any]) -> None:
    """Does the work, or raises an error about the caller's argument. An error of the server is not caught."""
    message = ""
    try:
        work()
    except REFUSALS as error:
        message = str(error)
    assert "Lua" not in message
    assert "script" not in message


def same_again(record: Any) -> None:
    """A stored object is read back unchanged, and its key finds it."""
    record.save()
    again = type(record).get(record.pk)
    assert again.model_dump() == record.model_dump()
    assert type(record).objects.filter(pk=record.pk).count() == 1


async def test_the_async_entries_raise_the_same(db: ormis.Database, raw: Any) -> None:
    """Async code gets the same errors."""
    await asyncio.to_thread(populate)
    raw.hset(f"{T}:1", "count", "many")
    for work in (Thing.aget(1), Thing.objects.afirst()):
        with pytest.raises(ormis.StoredDataError, match="many"):
            await work
    raw.delete(f"{T}:1")
    raw.set(f"{T}:1", "x")
    with pytest.raises(ormis.StoredDataError, match=f"{T}:1"):
        await Thing.aget(1)
