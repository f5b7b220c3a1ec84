"""Migrations of models with links, families, times to live and unique fields."""

from typing import Any

import pytest

import ormis
from migrating import created, plan, version
from ormis import Field, ManyToMany
from ormis.errors import MigrationError
from ormis.migrations import executor
from ormis.migrations.operations import (
    AddField,
    AddIndex,
    AlterField,
    AlterRelation,
    DeleteModel,
    RemoveField,
    RemoveIndex,
    RunPython,
)
from ormis.migrations.state import FieldState, IndexState, LinkState

MODULE = __name__
KEY = f"{MODULE}_item"
OTHER = f"{MODULE}_label"


def item(**fields: Any) -> Any:
    """A version of the model."""
    return version("Item", MODULE, **{"text": (str, ...), **fields})


def assert_fine(db: Any, *models: Any) -> None:
    """check() finds nothing, and all is complete."""
    report = ormis.check(db, models=models)
    assert report.ok, [str(one) for one in report.findings]
    assert not report.incomplete


# Links ---------------------------------------------------------------------------------------------------------------


def linked(db: Any, name: str = "labels") -> tuple[Any, Any]:
    """Two models with links, and objects that are linked."""
    label = version("Label", MODULE, word=(str, ...))
    model = item(**{name: (ManyToMany[label], ManyToMany(related_name="items"))})
    return label, model


def test_links_have_another_name(db: Any, raw: Any) -> None:
    """The sets of both sides are renamed; links that new processes have made already stay."""
    label, old = linked(db)
    before = created(label, old)
    executor.execute(plan(before), db)
    labels = [label(word=str(n)).save() for n in range(3)]
    one = old(text="a").save()
    one.labels.add(*labels[:2])
    raw.sadd(f"{KEY}/links/tags/1", "3")
    raw.sadd(f"{OTHER}/links/items/3", "1")
    operation = AlterRelation(KEY, LinkState("labels", OTHER, "items"), LinkState("tags", OTHER, "items"))
    executor.execute(plan(before, [operation]), db)
    _, new = linked(db, "tags")
    assert {tag.word for tag in new.objects.get().tags.all()} == {"0", "1", "2"}
    assert not raw.exists(f"{KEY}/links/labels/1")
    assert_fine(db, new, label)


def test_links_are_removed(db: Any, raw: Any) -> None:
    """The sets of both sides go."""
    label, old = linked(db)
    before = created(label, old)
    executor.execute(plan(before), db)
    old(text="a").save().labels.add(label(word="x").save())
    executor.execute(plan(before, [AlterRelation(KEY, LinkState("labels", OTHER, "items"), None)]), db)
    assert not [*raw.scan_iter("*/links/*")]
    assert_fine(db, item(), version("Label", MODULE, word=(str, ...)))


def test_a_deleted_model_takes_its_links(db: Any, raw: Any) -> None:
    """Of the other side as well, which stays."""
    label, old = linked(db)
    before = created(label, old)
    executor.execute(plan(before), db)
    old(text="a").save().labels.add(label(word="x").save())
    executor.execute(plan(before, [DeleteModel(KEY)]), db)
    assert {key.decode() for key in raw.scan_iter(f"{MODULE}*")} == {f"{OTHER}:1", f"{OTHER}/ids", f"{OTHER}/next_id"}


# Families ------------------------------------------------------------------------------------------------------------


def test_a_field_of_some_kinds(db: Any) -> None:
    """Only objects of the kinds that have it get a value, are converted, or called for."""
    from ormis.schema import registry

    def family(**own: Any) -> tuple[Any, Any]:
        base = version("Item", MODULE, meta={"polymorphic": True}, text=(str, ...))
        for model in registry.models():
            if model.__label__ == f"{KEY}/chief":
                registry.forget(model)
        body = {"__module__": MODULE, "__qualname__": "Chief", "__annotations__": {}}
        for name, (annotation, value) in own.items():
            body["__annotations__"][name], body[name] = annotation, value
        return base, type(ormis.Model)("Chief", (base,), body)

    base, chief = family(badge=(str, Field()))
    before = created(base)
    executor.execute(plan(before), db)
    base(text="a").save()
    chief(text="b", badge="7").save()
    field = FieldState("rank", "int", kinds=("chief",))
    badge = FieldState("badge", "int", kinds=("chief",))
    report = executor.execute(plan(before, [AddField(KEY, field, value=5), AlterField(KEY, badge)]), db)
    assert report.ok, report.findings
    base, chief = family(badge=(int, Field()), rank=(int, Field()))
    one, two = base.objects.order_by("id")
    assert (type(one) is base, two.badge, two.rank) == (True, 7, 5)
    assert not db.client.hexists(f"{db.prefix}{KEY}:1", "rank")
    assert_fine(db, base)


# Values --------------------------------------------------------------------------------------------------------------


def test_objects_that_end_are_migrated(db: Any, raw: Any) -> None:
    """Their time to live stays, and what clears them away follows."""
    old = item(votes=(int, Field(index=True)))
    before = created(old)
    executor.execute(plan(before), db)
    old(text="a", votes=1).save(ttl=1000)
    old(text="b", votes=2).save()

    def add(one: Any) -> None:
        one.votes += 10

    executor.execute(plan(before, [RunPython(KEY, add)]), db)
    assert 0 < raw.pttl(f"{KEY}:1") <= 1_000_000
    assert old.objects.get(votes=11).text == "a"
    assert_fine(db, old)


def test_a_function_converts(db: Any) -> None:
    """`convert` gets the old value and returns the new one; what it refuses by ValueError stays and is listed."""
    old = item()
    before = created(old)
    executor.execute(plan(before), db)
    for text in ("one", "two", "x"):
        old(text=text).save()

    def number(text: str) -> int:
        if text == "x":
            raise ValueError("no number")
        return {"one": 1, "two": 2}[text]

    report = executor.execute(plan(before, [AlterField(KEY, FieldState("text", "int"), convert=number)]), db)
    assert [(one.key, "no number" in one.message) for one in report.findings] == [(f"{KEY}:3", True)]
    new = item(text=(int, ...))
    assert [one.text for one in new.objects.filter(pk__in=[1, 2])] == [1, 2]


def test_none_is_no_longer_allowed(db: Any) -> None:
    """Objects without a value get `value`; without that they are listed."""
    old = item(rank=(int | None, None))
    before = created(old)
    executor.execute(plan(before), db)
    old(text="a").save()
    old(text="b", rank=3).save()
    report = executor.execute(plan(before, [AlterField(KEY, FieldState("rank", "int"))]), db)
    assert [one.key for one in report.findings] == [f"{KEY}:1"]
    later = plan(
        before, [AlterField(KEY, FieldState("rank", "int"))], [AlterField(KEY, FieldState("rank", "int"), value=9)]
    )
    executor.execute(later, db)
    assert [one.rank for one in item(rank=(int, ...)).objects.all()] == [9, 3]


def test_values_that_become_equal_are_listed(db: Any) -> None:
    """Of a unique field the second object keeps its text; both can be changed by hand."""
    old = item(code=(str, Field(unique=True)))
    before = created(old)
    executor.execute(plan(before), db)
    old(text="a", code="1").save()
    old(text="b", code="01").save()
    report = executor.execute(plan(before, [AlterField(KEY, FieldState("code", "int"))]), db)
    (finding,) = report.findings
    assert (finding.kind, finding.key, finding.field) == ("unique-duplicate", f"{KEY}:2", "code")
    assert "would be '1', which" in finding.message
    assert db.client.hget(f"{db.prefix}{KEY}:2", "code") == b"01"


def test_a_record_is_no_model(db: Any) -> None:
    """It has the fields of the state; other names, the primary key and wrong values are refused."""
    old = item(votes=(int, 0), tags=(list[str], Field(default_factory=list)))
    before = created(old)
    executor.execute(plan(before), db)
    old(text="a", tags=["x"]).save()

    def failing(what: Any) -> str:
        with pytest.raises(MigrationError) as error:
            executor.execute(plan(before, [RunPython(KEY, what)]), db)
        return str(error.value)

    async def later(_: Any) -> None:
        """An async function."""

    assert "has no field 'vote' at this migration: did you mean 'votes'" in failing(lambda one: one.vote)
    assert "is the primary key" in failing(lambda one: setattr(one, "id", 3))
    assert "can't be None" in failing(lambda one: setattr(one, "votes", None))
    assert "ValidationError" in failing(lambda one: setattr(one, "votes", "many"))
    assert "is an async function" in failing(later)
    executor.execute(plan(before, [RunPython(KEY, lambda one: one.tags.append("y"))]), db)
    assert old.objects.get().tags == ["x", "y"]


def test_bytes_that_are_no_text(db: Any) -> None:
    """Keys and values need not be UTF-8."""
    old = version("Item", MODULE, word=(str, Field(primary_key=True)), data=(bytes, b""), size=(int, 0))
    before = created(old)
    executor.execute(plan(before), db)
    old(word="é", data=bytes(range(256))).save()

    def measure(one: Any) -> None:
        one.size = len(one.data)
        one.data = one.data[::-1]

    executor.execute(plan(before, [RunPython(KEY, measure)]), db)
    one = old.objects.get()
    assert (one.word, one.size, one.data) == ("é", 256, bytes(range(256))[::-1])


def test_many_objects_without_a_value_are_left_in_the_database(db: Any, raw: Any) -> None:
    """What can't be converted is kept in a set while the operation is at work, and forgotten with it."""
    old = item()
    before = created(old)
    executor.execute(plan(before), db)
    old.objects.bulk_create([old(text="x") for _ in range(3000)])
    operations = [AlterField(KEY, FieldState("text", "int")), AddIndex(KEY, IndexState("text"))]
    report = executor.execute(plan(before, operations), db)
    assert len(report.findings) == 3000
    assert not [*raw.scan_iter("ormis/migrating*")]


def test_a_field_of_another_type_by_the_same_name(db: Any, raw: Any) -> None:
    """A field that is removed and added in one migration begins anew, and so does its index."""
    old = item(votes=(int, Field(index=True)))
    before = created(old)
    executor.execute(plan(before), db)
    old(text="a", votes=3).save()
    operations = [
        RemoveIndex(KEY, IndexState("votes")),
        RemoveField(KEY, "votes"),
        AddField(KEY, FieldState("votes", "str"), value="none"),
        AddIndex(KEY, IndexState("votes", "equal")),
    ]
    executor.execute(plan(before, operations), db)
    new = item(votes=(str, Field(index=True)))
    assert new.objects.get(votes="none").text == "a"
    assert {key.decode() for key in raw.scan_iter(f"{KEY}/index/*")} == {f"{KEY}/index/votes=none"}
