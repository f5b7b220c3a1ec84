"""Reindexing: what a new declaration needs is built while clients write, and what an old one left is dropped."""

import threading
from typing import Any

import pytest

import ormis
from ormis import Field, Index, UniqueConstraint
from ormis.drivers import sync
from ormis.operations.upkeep.reindex import reindex
from ormis.schema import registry

KEY = "reindex_item"


def declare(kind: str) -> Any:
    """One of several declarations of a model of the same key, as versions of an application have them."""
    registered = {model.__key__: model for model in registry.models()}
    if KEY in registered:
        registry.forget(registered[KEY])

    if kind == "plain":

        class Item(ormis.Model):
            name: str
            size: int = 0
            color: str | None = None

            class Meta:
                key = KEY

    elif kind == "indexed":

        class Item(ormis.Model):  # type: ignore[no-redef]
            name: str = Field(unique=True)
            size: int = Field(default=0, index=True)
            color: str | None = Field(default=None, index=True)

            class Meta:
                key = KEY
                indexes = [Index("color", "size")]
                constraints = [UniqueConstraint("color", "name")]

    else:

        class Item(ormis.Model):  # type: ignore[no-redef]
            name: str
            size: str = Field(default="0", index="sorted")
            color: str | None = None

            class Meta:
                key = KEY

    return Item


def shape(raw: Any) -> set[str]:
    """The names of the model's keys, without its objects."""
    return {key.decode() for key in raw.scan_iter(f"{KEY}/*")}


def populate(count: int = 30) -> Any:
    item = declare("plain")
    item.objects.bulk_create([item(name=f"n{i}", size=i % 5, color=("red", None)[i % 2]) for i in range(count)])
    return item


def test_what_is_declared_later_is_built(db: ormis.Database, raw: Any) -> None:
    """After it the indexes and claims are what they would be, had they been declared before the objects."""
    populate()
    item = declare("indexed")
    result = db.reindex(item)
    assert sorted(result.built) == [
        "color (equal)", "color,name (unique)", "color,size (sorted)", "name (unique)", "size (sorted)",
    ]  # fmt: skip
    assert (result.ok, result.objects, result.dropped, result.duplicates) == (True, 30, [], [])
    report = ormis.check(db, models=[item])
    assert report.findings == []
    assert report.incomplete == {}
    assert report.entries == 30 + 30 + 15 + 15 + 15
    assert raw.hget("ormis/models", KEY).decode() == item.__schema__.declaration
    assert not raw.exists("ormis/reindex")
    assert {i.name for i in item.objects.filter(color="red", size__gte=3)} == {
        f"n{i}" for i in range(0, 30, 2) if i % 5 > 2
    }
    with pytest.raises(ormis.UniqueViolation):
        item(name="n3").save()


def test_queries_are_right_before_it_is_done(db: ormis.Database, raw: Any) -> None:
    """An index that is not complete is not used: answers never depend on a reindexing."""
    populate()
    item = declare("indexed")
    assert item.objects.filter(size=3).count() == 6
    item(name="new", size=3).save()
    assert item.objects.filter(size=3).count() == 7
    with pytest.raises(ormis.UniqueViolation):
        item(name="n3").save()
    assert ormis.check(db, models=[item]).incomplete.keys() == {item.__schema__.name}
    assert db.reindex(item).ok
    assert item.objects.filter(size=3).count() == 7
    assert ormis.check(db, models=[item]).findings == []


def test_nothing_to_do_is_one_call(db: ormis.Database, raw: Any) -> None:
    """Where everything is complete, one call finds that out and writes nothing."""
    item = declare("indexed")
    item(name="a").save()
    with ormis.capture_calls() as calls:
        result = db.reindex(item)
    assert len(calls) == 1
    assert (result.ok, result.built, result.dropped) == (True, [], [])


def test_what_is_no_longer_declared_is_dropped(db: ormis.Database, raw: Any) -> None:
    """The keys of the indexes and claims go, the objects stay as they are, and new clients pay for them no longer."""
    item = declare("indexed")
    item.objects.bulk_create([item(name=f"n{i}", size=i, color=f"c/{i}") for i in range(30)])
    assert len(shape(raw)) > 60
    plain = declare("plain")
    result = db.reindex(plain)
    assert len(result.dropped) == 5
    assert shape(raw) == {f"{KEY}/ids", f"{KEY}/next_id"}
    assert raw.hget("ormis/models", KEY).decode() == plain.__schema__.declaration
    assert plain.objects.count() == 30
    assert ormis.check(db, models=[plain]).findings == []


def test_an_index_that_changes_its_kind(db: ormis.Database, raw: Any) -> None:
    """A field that was a number and is a text now uses the same key: the old entries go, the new ones are built."""
    item = declare("indexed")
    item.objects.bulk_create([item(name=f"n{i}", size=i) for i in range(30)])
    text = declare("text")
    assert db.reindex(text).ok
    assert raw.zscore(f"{KEY}/index/size", "7\0" + "8") == 0.0
    assert raw.zcard(f"{KEY}/index/size") == 30
    assert [i.size for i in text.objects.filter(size__startswith="2").order_by("size")][:2] == ["2", "20"]
    assert ormis.check(db, models=[text]).findings == []


def test_duplicates_are_listed_and_nothing_is_lost(db: ormis.Database, raw: Any) -> None:
    """The constraint stays incomplete while objects share a value; the indexes are complete nevertheless."""
    plain = populate(10)
    plain(name="n3", size=100).save()
    before = {key: raw.hgetall(key) for key in raw.scan_iter(f"{KEY}:*")}
    item = declare("indexed")
    result = db.reindex(item)
    assert (result.ok, result.incomplete) == (False, ["name (unique)"])
    assert [(f.kind, f.key, f.field) for f in result.duplicates] == [("unique-duplicate", f"{KEY}:11", "name")]
    assert f"{KEY}:11 and {KEY}:4" in result.duplicates[0].message
    assert {key: raw.hgetall(key) for key in raw.scan_iter(f"{KEY}:*")} == before
    assert item.objects.filter(size=100).count() == 1
    # While it is so, the one without a claim may change without taking the other's away.
    second = item.get(11)
    second.name = "other"
    second.save()
    assert raw.hget(f"{KEY}/unique/name", "n3") == b"4"
    assert db.reindex(item).ok
    assert ormis.check(db, models=[item]).findings == []


@pytest.mark.single_server("looks at the connections of one server")
def test_it_goes_on_after_a_crash(db: ormis.Database, raw: Any) -> None:
    """Where it was ended it goes on, and does not look at the same objects again."""
    populate(450)
    item = declare("indexed")
    operation = reindex(item.__schema__, db.limits)
    call = next(operation)
    for _ in range(4):
        call = operation.send(sync.send(db.client, call, db.prefix))
    operation.close()
    assert b"after" in raw.hget("ormis/reindex", KEY)
    assert ormis.check(db, models=[item], repair=True).ok
    result = db.reindex(item)
    assert result.ok
    assert 0 < result.objects < 450
    report = ormis.check(db, models=[item])
    assert (report.findings, report.incomplete) == ([], {})


@pytest.mark.single_server("looks at the connections of one server")
def test_a_crash_while_dropping(db: ormis.Database, raw: Any) -> None:
    """What was to be dropped is remembered: no keys are left over."""
    item = declare("indexed")
    item.objects.bulk_create([item(name=f"n{i}", size=i, color=f"c{i}") for i in range(30)])
    plain = declare("plain")
    operation = reindex(plain.__schema__, db.limits)
    operation.send(None)
    operation.send(sync.send(db.client, next(reindex(plain.__schema__, db.limits)), db.prefix))
    operation.close()
    assert len(shape(raw)) > 60
    result = db.reindex(plain)
    assert len(result.dropped) == 5
    assert shape(raw) == {f"{KEY}/ids", f"{KEY}/next_id"}


def test_while_clients_write(db: ormis.Database, raw: Any) -> None:
    """Writers of the old and of the new declaration go on; at the end every entry is there and none is left over."""
    old = populate(800)
    new = declare("indexed")
    stop = threading.Event()
    failures: list[BaseException] = []

    def write(model: Any, number: int) -> None:
        try:
            at = number
            while not stop.is_set():
                at += 2
                added = model(name=f"w{at}", size=at, color="blue").save()
                added.size, added.color = -at, None
                added.save()
                changed = model.objects.filter(size=at % 5).first()
                if changed is not None:
                    changed.size, changed.name = 1000 + at, f"v{at}"
                    changed.save()
                if at % 3:
                    added.delete()
        except BaseException as error:  # noqa: BLE001 - the test shows it
            failures.append(error)

    writers = [threading.Thread(target=write, args=(model, number)) for number, model in enumerate((old, new))]
    for writer in writers:
        writer.start()
    progress: list[ormis.Progress] = []
    try:
        result = db.reindex(new, progress=progress.append)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert failures == []
    assert result.ok
    assert len(progress) >= 8
    report = ormis.check(db, models=[new])
    assert (report.findings, report.incomplete) == ([], {})
    assert raw.hget("ormis/models", KEY).decode() == new.__schema__.declaration


async def test_the_async_twins(db: ormis.Database, raw: Any) -> None:
    """Twins: areindex builds the same."""
    populate(10)
    item = declare("indexed")
    (result,) = await ormis.areindex(db, models=[item])
    assert len(result.built) == 5
    assert (await db.areindex(item)).built == []


def test_inspect(db: ormis.Database, raw: Any) -> None:
    """It lists objects, memory and the state of every index, also of models that nobody declares here."""
    populate(10)
    raw.hset("ormis/models", "stranger", '{"indexes":["equal text x"],"unique":[]}')
    item = declare("indexed")
    states = {state.key: state for state in ormis.inspect(db, models=[item])}
    state = states[KEY]
    assert (state.objects, state.declared) == (10, True)
    assert state.memory is not None
    assert 30 < state.memory < 1000
    assert {index.name: index.state for index in state.indexes} == {
        "color (equal)": "incomplete",
        "color,name (unique)": "incomplete",
        "color,size (sorted)": "incomplete",
        "name (unique)": "incomplete",
        "size (sorted)": "incomplete",
    }
    assert states["stranger"] == ormis.ModelState(
        "stranger", "stranger", 0, None, (ormis.IndexState("x (equal)", "undeclared"),), declared=False
    )
    db.reindex(item)
    assert {index.state for index in ormis.inspect(db, models=[item])[0].indexes} == {"complete"}
    plain = declare("plain")
    assert {index.state for index in ormis.inspect(db, models=[plain])[0].indexes} == {"undeclared"}
