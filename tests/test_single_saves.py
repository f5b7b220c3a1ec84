"""save() and asave() of one object by one packed call: they store, return and refuse the same as the general way."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.backoff import ExponentialWithJitterBackoff

import ormis
from ormis import F, Field
from ormis.database import Database
from ormis.operations.writing.single_save import SingleInsert, SingleUpdate, single_save
from proxy import Direction, Proxy
from servers import Server


class Leaf(ormis.Model):
    """Fields of each sort that the packed call serves, and some that it does not."""

    n: int = Field(default=0, index=True)
    rate: float = 0.0
    name: str = Field(default="", index=True)
    text: str = ""
    note: str | None = None
    tags: list[str] = Field(default_factory=list)
    data: bytes = b""
    code: str | None = Field(default=None, index="sorted")

    class Meta:
        key = "single_leaf"


class Plain(ormis.Model):
    """New objects of it are packed as well."""

    n: int = Field(default=0, index=True)
    name: str = Field(default="", index=True)
    text: str | None = None
    tags: list[str] = Field(default_factory=list)
    rank: int | None = Field(default=None, index=True)
    day: date | None = Field(default=None, index=True)

    class Meta:
        key = "single_plain"


TEXTS = st.text(max_size=3) | st.sampled_from(["a/b", "#a", "ä" * 26, "%s", "%", "\r\n", "x" * 60])
LEAF: dict[str, st.SearchStrategy[Any]] = {
    "n": st.integers(-3, 3) | st.integers(-(2**70), 2**70),
    "rate": st.floats(allow_nan=False),
    "name": TEXTS,
    "text": TEXTS,
    "note": st.none() | TEXTS,
    "tags": st.lists(TEXTS, max_size=2),
    "data": st.binary(max_size=3),
    "code": st.none() | TEXTS,
}
PLAIN = {
    "n": LEAF["n"],
    "name": TEXTS,
    "text": st.none() | TEXTS,
    "tags": LEAF["tags"],
    "rank": st.none() | LEAF["n"],
    "day": st.none() | st.dates(),
}
CHANGES = st.lists(st.sampled_from([*LEAF]).flatmap(lambda name: st.fixed_dictionaries({name: LEAF[name]})), max_size=3)

LAW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def stored(raw: redis.Redis) -> dict[bytes, bytes | None]:
    """The whole database, except what recognises repeated calls."""
    return {key: raw.dump(key) for key in sorted(raw.scan_iter()) if b"ormis/once/" not in key}


@contextmanager
def general_way() -> Iterator[None]:
    """Inside it no save is packed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ormis.model.single_save", lambda _: None)
        yield


@contextmanager
def packed_saves() -> Iterator[list[Any]]:
    """Lists the saves of the block that are packed."""
    found: list[Any] = []

    def noting(record: Any) -> Any:
        single = single_save(record)
        if single is not None:
            found.append(single)
        return single

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ormis.model.single_save", noting)
        yield found


def by_general_way(work: Callable[[], Any]) -> Any:
    with general_way():
        return work()


def by_tasks(url: str, prefix: str, work: Callable[[], Any]) -> Any:
    async def main() -> Any:
        async with ormis.connect(url, prefix=prefix):
            return await work()

    return asyncio.run(main())


@LAW
@given(rows=st.lists(st.fixed_dictionaries({}, optional=PLAIN), min_size=1, max_size=3))
def test_new_objects(raw: redis.Redis, url: str, prefix: str, rows: list[dict[str, Any]]) -> None:
    """Sync, async and general: equal keys, equal objects, equal databases; nothing is left to be saved then."""

    def save() -> list[str]:
        objects = [Plain(**row).save() for row in rows]
        assert [single_save(one) for one in objects] == [None] * len(objects)
        return [repr(one.model_dump()) for one in objects]

    async def asave() -> list[str]:
        objects = [await Plain(**row).asave() for row in rows]
        assert [single_save(one) for one in objects] == [None] * len(objects)
        return [repr(one.model_dump()) for one in objects]

    _same_by_each_way(raw, url, prefix, save, asave)


@LAW
@given(changes=CHANGES)
def test_changed_fields(raw: redis.Redis, url: str, prefix: str, changes: list[dict[str, Any]]) -> None:
    """As for new objects; one of the fields is a list that is changed in place."""

    def changed(leaf: Leaf, values: dict[str, Any]) -> Leaf:
        for name, value in values.items():
            if name == "tags":
                leaf.tags += value
            else:
                setattr(leaf, name, value)
        return leaf

    def save() -> list[str]:
        leaf = Leaf(n=1, code="c").save()
        for values in changes:
            assert single_save(changed(leaf, values).save()) is None
        return [repr(leaf.model_dump()), repr(Leaf.get(1).model_dump())]

    async def asave() -> list[str]:
        leaf = await Leaf(n=1, code="c").asave()
        for values in changes:
            assert single_save(await changed(leaf, values).asave()) is None
        return [repr(leaf.model_dump()), repr((await Leaf.aget(1)).model_dump())]

    _same_by_each_way(raw, url, prefix, save, asave)


def _same_by_each_way(
    raw: redis.Redis, url: str, prefix: str, save: Callable[[], list[str]], asave: Callable[[], Any]
) -> None:
    results: list[Any] = []
    for run in (
        lambda: save(),
        lambda: by_general_way(save),
        lambda: by_tasks(url, prefix, asave),
    ):
        raw.flushall()
        with ormis.connect(url, prefix=prefix):
            results.append((run(), stored(raw)))
    assert results[0] == results[1] == results[2]


def test_which_saves_are_packed(db: Database) -> None:
    """The comparisons above compare two ways: new objects without given keys, and changes of fields that have no part
    in an index on text; not what may meet an error, an expression, or a block.
    """
    leaf = Leaf().save()
    with packed_saves() as packed:
        plain = Plain(name="b").save()
        plain.n, plain.text = 2, "t"
        plain.save()
        leaf.text = "x"
        leaf.save()
    assert [type(one) for one in packed] == [SingleInsert, SingleUpdate, SingleUpdate]
    with packed_saves() as packed:
        Leaf().save()
        Plain(id=20).save()
        Plain(name="a/b").save()
        leaf.name = "by another index"
        leaf.save()
        leaf.note = "n"
        leaf.save()
        leaf.note = None
        leaf.save()
        leaf.n = F("n") + 1
        leaf.save()
        leaf.save()
        leaf.text = "y"
        leaf.save(if_unchanged=True)
        with ormis.atomic():
            leaf.text = "z"
            leaf.save()
    assert [type(one) for one in packed] == [SingleUpdate]  # of the note
    assert (Leaf.get(1).text, Leaf.get(1).n) == ("z", 1)


def test_the_catalog_of_models(db: Database, raw: redis.Redis) -> None:
    """A save that finds the model not declared, or declared otherwise, declares it: also one that is packed."""
    Plain().save()
    catalog = "ormis/models"
    plain = Plain().save()
    works: list[Callable[[], Any]] = [
        lambda: Plain().save(),
        lambda: setattr(plain, "n", plain.n + 1) or plain.save(),
        lambda: setattr(plain, "n", F("n") + 1) or plain.save(),
        lambda: Plain.objects.bulk_create([Plain(), Plain()]),
    ]
    for work in works:
        raw.hdel(catalog, "single_plain")
        work()
        assert raw.hexists(catalog, "single_plain")
    assert (Plain.get(2).n, Plain.objects.count()) == (2, 5)


def test_a_save_is_one_call(db: Database) -> None:
    """It is listed, and answered, as by the general way."""
    Plain().save()
    with ormis.capture_calls() as calls:
        plain = Plain(name="b").save()
        plain.n = 5
        plain.save()
    assert [str(call).split(" ")[0] for call in calls] == ["commit"] * 2
    assert (plain.id, Plain.get(2).n) == (2, 5)


@pytest.mark.parametrize("as_task", [False, True])
def test_an_object_that_was_deleted(db: Database, raw: redis.Redis, as_task: bool) -> None:
    """It is refused and nothing is stored, also where only its key or only its primary key is gone."""
    for gone in ("object", "key", "primary key"):
        plain = Plain(name="a").save()
        key = f"{plain.key}"
        if gone == "object":
            Plain.get(plain.id).delete()
        elif gone == "key":
            raw.delete(key)
        else:
            raw.hdel(key, "id")
        before = stored(raw)
        plain.n = 7
        with packed_saves() as packed, pytest.raises(ormis.DoesNotExist, match=f"Plain|{plain.id}"):
            _save(db, plain, as_task)
        assert len(packed) == 1
        assert stored(raw) == before


@pytest.mark.parametrize("as_task", [False, True])
def test_a_key_of_another_type(db: Database, raw: redis.Redis, as_task: bool) -> None:
    """It is named, and nothing has changed; the object is saved once the key is gone."""
    plain = Plain(name="a").save()
    index = "single_plain/index/n"
    raw.delete(index)
    raw.rpush(index, "x")
    before = stored(raw)
    plain.n = 7
    for record in (plain, Plain(name="new")):
        with pytest.raises(ormis.StoredDataError, match="single_plain/index/n"):
            _save(db, record, as_task)
        assert stored(raw) == before
    raw.delete(index)
    _save(db, plain, as_task)
    assert raw.zrange(index, 0, -1, withscores=True) == [(b"1", 7.0)]


@pytest.mark.parametrize("as_task", [False, True])
@pytest.mark.parametrize("spoiled", ["index/n", "index/name=new", "index/rank", "ids"])
def test_a_new_object_that_is_refused_late(db: Database, raw: redis.Redis, as_task: bool, spoiled: str) -> None:
    """What was written before the key of another type was met is undone."""
    Plain(name="a").save()
    key = f"single_plain/{spoiled}"
    raw.delete(key)
    raw.rpush(key, "x")
    before = stored(raw)
    with pytest.raises(ormis.StoredDataError, match=f"single_plain/{spoiled}"):
        _save(db, Plain(name="new", n=4, rank=5), as_task)
    assert stored(raw) == before


@pytest.mark.parametrize("as_task", [False, True])
@pytest.mark.parametrize("left", [None, "0", "-5"])
def test_a_counter_that_was_lost(db: Database, raw: redis.Redis, as_task: bool, left: str | None) -> None:
    """Keys are counted on from the highest that an object has, not from those that are free below it."""
    for _ in range(3):
        plain = Plain().save()
    Plain.get(1).delete()
    raw.delete("single_plain/next_id")
    if left is not None:
        raw.set("single_plain/next_id", left)
    if left == "-5":
        with pytest.raises(ormis.StoredDataError):
            _save(db, Plain(), as_task)
        return
    _save(db, plain := Plain(name="new"), as_task)
    assert plain.id == 4


@pytest.mark.parametrize("as_task", [False, True])
def test_a_hash_of_another_program(db: Database, raw: redis.Redis, as_task: bool) -> None:
    """A new object does not take a key where something is, though it be a hash; nothing has changed."""
    Plain().save()
    raw.hset("single_plain:2", "other", "x")
    before = stored(raw)
    with pytest.raises(ormis.UniqueViolation):
        _save(db, Plain(name="a"), as_task)
    with pytest.raises(ormis.UniqueViolation):
        Plain.objects.bulk_create([Plain(), Plain()])
    assert stored(raw) == before


@pytest.mark.single_server("takes rights from a user of one server")
@pytest.mark.parametrize(
    "values",
    [{"n": 5}, {"rank": 5}, {"day": date(2026, 1, 1)}, {"day": date(2026, 1, 1), "text": "b"}, {"n": F("n") + 1}],
    ids=str,
)
@pytest.mark.parametrize("old", [{}, {"rank": 2, "day": date(2000, 1, 1)}], ids=str)
@pytest.mark.parametrize("rights", ["-hset", "-hset -hmget -get"])  # the second stops the general way before it writes
def test_writes_of_hashes_that_are_not_allowed(
    db: Database, raw: redis.Redis, url: str, values: dict[str, Any], old: dict[str, Any], rights: str
) -> None:
    """The entries of indexes, which were written before, are where they were."""
    Plain(name="a", **old).save()
    before = stored(raw)
    raw.execute_command("ACL", "SETUSER", "limited", "reset", "on", ">pw", "~*", "+@all")
    try:
        with ormis.connect(url.replace("unix://", "unix://limited:pw@"), prefix=db.prefix):
            plain = Plain.get(1)
            raw.execute_command("ACL", "SETUSER", "limited", *rights.split())
            for name, value in values.items():
                setattr(plain, name, value)
            with pytest.raises(redis.exceptions.NoPermissionError):
                plain.save()
            with pytest.raises(redis.exceptions.NoPermissionError):
                Plain(name="b", **values if "n" not in values else {}).save()
    finally:
        raw.execute_command("ACL", "DELUSER", "limited")
    left = stored(raw)
    left.pop(b"single_plain/next_id")
    assert left == {key: dump for key, dump in before.items() if not key.endswith(b"/next_id")}


def _save(db: Database, record: Any, as_task: bool) -> None:
    if not as_task:
        record.save()
        return

    async def main() -> None:
        try:
            await record.asave()
        finally:
            await db.aclient.aclose()

    asyncio.run(main())


@pytest.mark.single_server("names keys to db.client without the tag of their partition")
@pytest.mark.parametrize("prefix_", ["50%d:", "%b%%:", "ä:"])
async def test_any_prefix(raw: redis.Redis, url: str, prefix_: str) -> None:
    """A prefix is sent as it is, whatever it has in it."""
    async with ormis.connect(url, prefix=prefix_) as db:
        await Plain().asave()
        plain = await Plain(name="%s").asave()
        plain.n = 3
        assert (await plain.asave()).id == 2
        plain.text = "%"
        plain.save()
        found = await Plain.aget(2)
        assert (found.n, found.name, found.text) == (3, "%s", "%")
        assert await db.aclient.hget(f"{prefix_}single_plain:2", "n") == b"3"


async def test_texts_of_any_size(raw: redis.Redis, url: str) -> None:
    """Those that are large go over a connection of the pool."""
    async with ormis.connect(url):
        await Plain().asave()
        for size in (10, 60_000, 70_000, 1_000_000):
            plain = await Plain(text="é" * size).asave()
            assert (await Plain.aget(plain.id)).text == "é" * size
            plain.text = "ü" * size
            await plain.asave()
            assert (await Plain.aget(plain.id)).text == "ü" * size
            plain.text = "ö" * size
            plain.save()
            assert Plain.get(plain.id).text == "ö" * size


async def test_a_script_that_the_server_does_not_know(raw: redis.Redis, url: str) -> None:
    """Of many calls at once the first sends the text; every object is stored once."""
    async with ormis.connect(url):
        leaves = [await Leaf().asave() for _ in range(10)]
        for leaf in leaves:
            leaf.n = 7
        raw.script_flush()
        raw.config_resetstat()
        new = await asyncio.gather(*(Plain().asave() for _ in range(100)), *(leaf.asave() for leaf in leaves))
        assert sorted(one.id or 0 for one in new[:100]) == list(range(1, 101))
        assert raw.info("commandstats")["cmdstat_eval"]["calls"] == 1
        raw.script_flush()
        assert Plain().save().id == 101
        assert {leaf.n for leaf in Leaf.objects.all()} == {7}


async def test_a_value_that_changes_under_way(raw: redis.Redis, url: str) -> None:
    """The object knows what was sent, not what it holds when the reply comes: the next save writes the rest."""
    async with ormis.connect(url):
        plain = await Plain(name="a").asave()
        plain.n = 1
        under_way = asyncio.create_task(plain.asave())
        await asyncio.sleep(0)
        plain.n = 2
        await under_way
        assert (await Plain.aget(1)).n == 1
        await plain.asave()
        assert (await Plain.aget(1)).n == 2


async def test_cancelled_saves(raw: redis.Redis, url: str) -> None:
    """A cancelled save is done or not; those beside it are done, and each object knows its own key."""
    async with ormis.connect(url):
        await Plain().asave()
        tasks = [asyncio.create_task(Plain(name=str(number)).asave()) for number in range(200)]
        await asyncio.sleep(0)
        for task in tasks[::3]:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        kept = [one for one in ended if isinstance(one, Plain)]
        assert len(kept) >= 133
        for plain in kept:
            assert (await Plain.aget(plain.id)).name == plain.name
        names = [plain.name async for plain in Plain.objects.all()]
        assert len(names) == len(set(names))
        assert raw.zcard("single_plain/ids") == raw.scard("single_plain/index/name=") + len(names) - 1


@pytest.mark.single_server("stands between the client and one server")
@pytest.mark.parametrize("way", ["sync", "shared", "pool"])
def test_cut_at_every_byte(
    raw: redis.Redis, server: Server, prefix: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is cut after each byte of the request and of the reply: one object more, one value stored."""
    monkeypatch.setattr(ExponentialWithJitterBackoff, "compute", lambda *_: 0)
    with Proxy(server.socket) as proxy:

        async def main() -> None:
            url = f"unix://{proxy.socket}"
            async with ormis.connect(url, prefix=prefix, shared=way == "shared"):

                async def save(record: Plain) -> None:
                    if way == "sync":
                        record.save()
                    else:
                        await record.asave()

                await save(plain := Plain(name="first"))
                count = 1

                async def both(number: int) -> None:
                    nonlocal count
                    count += 1
                    new = Plain(name="new")
                    await save(new)
                    assert new.id == count
                    plain.n = number
                    await save(plain)

                await both(1)
                before = dict(proxy.passed)
                await both(2)
                lengths = {direction: proxy.passed[direction] - before[direction] for direction in before}
                number = 2
                directions: tuple[Direction, ...] = ("request", "reply")
                for direction in directions:
                    for after in range(0, lengths[direction] + 1, 1 if direction == "reply" else 7):
                        proxy.cut(direction, after)
                        number += 1
                        await both(number)
                        assert raw.hget("single_plain:1", "n") == b"%d" % number, (direction, after)
                assert raw.zcard("single_plain/ids") == count
                assert raw.zscore("single_plain/index/n", "1") == number

        asyncio.run(main())
