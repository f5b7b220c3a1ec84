"""Running migrations: what each operation does to the objects that are stored."""

from typing import Any

import pytest

import ormis
from migrating import created, plan, version
from ormis import Field
from ormis.errors import MigrationError
from ormis.migrations import executor
from ormis.migrations.declared import declared_state
from ormis.migrations.operations import (
    AddField,
    AddIndex,
    AlterField,
    DeleteModel,
    RemoveField,
    RemoveIndex,
    RenameField,
    RenameModel,
    RunPython,
)
from ormis.migrations.state import FieldState, IndexState
from ormis.reports import Migrated

MODULE = __name__
KEY = f"{MODULE}_choice"


def first(**fields: Any) -> Any:
    """The first version of the model."""
    return version("Choice", MODULE, **{"text": (str, ...), "votes": (int, Field(index=True)), **fields})


def stored(db: Any, *texts: str, **fields: Any) -> Any:
    """Objects of the first version, whose migration has run."""
    model = first(**fields)
    executor.execute(plan(created(model)), db)
    for number, text in enumerate(texts, 1):
        model(text=text, votes=number).save()
    return model


def migrated(db: Any, model: Any, *operations: Any) -> Migrated:
    """The result of one more migration."""
    return executor.execute(plan(created(model), operations), db)


def assert_fine(db: Any, *models: Any) -> None:
    """check() finds nothing, all is complete, and the state of the migrations is that of the models."""
    report = ormis.check(db, models=models)
    assert report.ok, [str(one) for one in report.findings]
    assert not report.incomplete
    assert all(state.state == "complete" for one in ormis.inspect(db, models=models) for state in one.indexes)


def test_migrations_run_once(db: Any) -> None:
    """The report names what ran; the next run has nothing to do."""
    model = first()
    assert executor.execute(plan(created(model)), db).applied == ["polls.0001_step"]
    again = executor.execute(plan(created(model)), db)
    assert (again.applied, again.ok, str(again)) == ([], True, "nothing to migrate: 0 objects looked at, 0 findings")


def test_a_new_field_with_a_default_stores_nothing(db: Any, raw: Any) -> None:
    """An absent text counts as the default: hashes stay as they are."""
    old = stored(db, "a", "b")
    migrated(db, old, AddField(KEY, FieldState("rank", "int", 3)))
    new = first(rank=(int, 3))
    assert b"rank" not in raw.hgetall(f"{KEY}:1")
    assert [one.rank for one in new.objects.all()] == [3, 3]
    assert_fine(db, new)


def test_a_new_field_gets_a_value_for_objects_that_are_there(db: Any, raw: Any) -> None:
    """`value` is stored where there is none, once; objects without a hash are not made."""
    old = stored(db, "a", "b", "c")
    raw.hset(f"{KEY}:2", "rank", 7)
    raw.delete(f"{KEY}:3")
    report = migrated(db, old, AddField(KEY, FieldState("rank", "int"), value=5))
    assert [raw.hget(f"{KEY}:{pk}", "rank") for pk in (1, 2)] == [b"5", b"7"]
    assert not raw.exists(f"{KEY}:3")
    assert report.ok


def test_a_new_field_is_filled_by_a_function(db: Any) -> None:
    """`fill` is called with each object, and its result is converted and stored; its index is built."""
    old = stored(db, "a", "bb")
    operations = [
        AddField(KEY, FieldState("length", "int"), fill=lambda one: len(one.text)),
        AddIndex(KEY, IndexState("length")),
    ]
    migrated(db, old, *operations)
    new = first(length=(int, Field(index=True)))
    assert [one.text for one in new.objects.filter(length=2)] == ["bb"]
    assert_fine(db, new)


def test_a_field_is_removed(db: Any, raw: Any) -> None:
    """Its texts and its index are gone."""
    old = stored(db, "a", "b")
    migrated(db, old, RemoveIndex(KEY, IndexState("votes")), RemoveField(KEY, "votes"))
    assert raw.hgetall(f"{KEY}:1").keys() == {b"id", b"text"}
    assert not raw.exists(f"{KEY}/index/votes")
    assert_fine(db, version("Choice", MODULE, text=(str, ...)))


def test_a_field_is_renamed(db: Any, raw: Any) -> None:
    """Its texts have the other name, so have its index and its constraint."""
    old = stored(db, "a", "b", code=(str | None, Field(default=None, unique=True)))
    for one in old.objects.all():
        one.code = f"c{one.votes}"
        one.save()
    migrated(db, old, RenameField(KEY, "votes", "count"), RenameField(KEY, "code", "slug"))
    new = version(
        "Choice",
        MODULE,
        text=(str, ...),
        count=(int, Field(index=True)),
        slug=(str | None, Field(default=None, unique=True)),
    )
    assert raw.hgetall(f"{KEY}:1") == {b"id": b"1", b"text": b"a", b"count": b"1", b"slug": b"c1"}
    assert new.objects.get(count=2).slug == "c2"
    with pytest.raises(ormis.UniqueViolation):
        new(text="x", count=1, slug="c2").save()
    assert not [*raw.scan_iter(f"{KEY}/index/votes*"), *raw.scan_iter(f"{KEY}/unique/code*")]
    assert_fine(db, new)


def test_texts_are_converted(db: Any) -> None:
    """A field of another type has its texts converted; those that do not convert stay and are listed."""
    old = stored(db, "1", "x", "3")
    report = migrated(db, old, AlterField(KEY, FieldState("text", "int")))
    (finding,) = report.findings
    assert (finding.kind, finding.model, finding.key, finding.field) == ("value", "Choice", f"{KEY}:2", "text")
    assert "Choice.text" in finding.message
    assert "'x' does not convert to int" in finding.message
    assert db.client.hget(f"{db.prefix}{KEY}:2", "text") == b"x"


def test_an_indexed_field_is_converted(db: Any) -> None:
    """Its index is built anew for the other type."""
    old = stored(db, "a", "b")
    indexes = [RemoveIndex(KEY, IndexState("votes")), AlterField(KEY, FieldState("votes", "str"))]
    migrated(db, old, *indexes, AddIndex(KEY, IndexState("votes")))
    new = version("Choice", MODULE, text=(str, ...), votes=(str, Field(index="sorted")))
    assert declared_state([new]).models[KEY].indexes
    assert [one.text for one in new.objects.filter(votes="2")] == ["b"]


def test_another_default_leaves_what_absent_texts_stood_for(db: Any, raw: Any) -> None:
    """Objects that had the old default by the absence of a text keep that value."""
    old = stored(db, "a", "b")
    migrated(db, old, AddField(KEY, FieldState("rank", "int", 3)))
    operations = [AddField(KEY, FieldState("rank", "int", 3))], [AlterField(KEY, FieldState("rank", "int", 4))]
    executor.execute(plan(created(old), *operations), db)
    new = first(rank=(int, 4))
    assert [one.rank for one in new.objects.all()] == [3, 3]
    assert new(text="c", votes=1).save().rank == 4


def test_a_function_changes_objects(db: Any) -> None:
    """RunPython is called with each object; what it changes is stored, in indexes too."""
    old = stored(db, "a", "b")

    def double(choice: Any) -> None:
        choice.votes *= 2

    report = migrated(db, old, RunPython(KEY, double))
    assert old.objects.get(votes=4).text == "b"
    assert report.objects == 2
    assert_fine(db, old)


def test_a_function_that_fails_goes_on_where_it_stopped(db: Any) -> None:
    """What it has done before is kept and not done again; the error names migration, operation and object."""
    old = stored(db, *"abcdef")
    calls: list[Any] = []
    broken = True

    def add(choice: Any) -> None:
        calls.append(choice.pk)
        if broken and choice.pk == 4:
            raise RuntimeError("no")
        choice.votes += 100

    with pytest.raises(MigrationError, match=rf"0002_step: Run add .* failed at {KEY}:4: RuntimeError: no"):
        migrated(db, old, RunPython(KEY, add))
    assert [one.votes for one in old.objects.all()] == [101, 102, 103, 4, 5, 6]
    broken = False
    migrated(db, old, RunPython(KEY, add))
    assert [one.votes for one in old.objects.all()] == [101, 102, 103, 104, 105, 106]
    assert calls == [1, 2, 3, 4, 4, 5, 6]


def test_a_model_is_deleted(db: Any, raw: Any) -> None:
    """Nothing of it is left but the history."""
    old = stored(db, "a", "b")
    migrated(db, old, DeleteModel(KEY))
    assert {key.decode() for key in raw.scan_iter("*")} - {"ormis/migrations", "ormis/layout", "ormis/models"} <= {
        key.decode() for key in raw.scan_iter("ormis/once/*")
    }
    assert not raw.hexists("ormis/models", KEY)


def test_a_renamed_model_is_refused(db: Any) -> None:
    """The error says what to write instead; nothing has changed."""
    old = stored(db, "a")
    with pytest.raises(MigrationError, match="can't be moved to other keys yet"):
        migrated(db, old, RenameModel(KEY, "other", "Other"))
    assert old.objects.count() == 1


async def test_async_code_migrates(db: Any) -> None:
    """amigrate() is the same."""
    old = stored(db, "a", "b")
    operations = [AddField(KEY, FieldState("rank", "int"), value=5)]
    report = await executor.aexecute(plan(created(old), operations), db)
    assert report.applied == ["polls.0002_step"]
    assert [one.rank for one in first(rank=(int, ...)).objects.all()] == [5, 5]


def test_fake_runs_nothing(db: Any, raw: Any) -> None:
    """With fake the history is written and objects stay as they are."""
    old = stored(db, "a")
    executor.execute(plan(created(old), [RemoveField(KEY, "text")]), db, fake=True)
    assert raw.hget(f"{KEY}:1", "text") == b"a"
    assert raw.hlen("ormis/migrations") == 2
