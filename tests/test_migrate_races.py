"""Migrations while clients write: those of the old models and those of the new ones."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ormis
from migrating import created, plan, version
from ormis import Field
from ormis.migrations import executor
from ormis.migrations.declared import declared_state
from ormis.migrations.operations import (
    AddConstraint,
    AddField,
    AddIndex,
    AlterField,
    RemoveConstraint,
    RemoveField,
    RemoveIndex,
    RenameField,
    RunPython,
)
from ormis.migrations.state import ConstraintState, FieldState, IndexState

MODULE = __name__
KEY = f"{MODULE}_row"
SMALL = ormis.Limits(migrated_objects=60, checked_objects=5)
OLD: dict[str, Any] = {
    "text": (str, Field(index="sorted")),
    "votes": (int, Field(default=0, index=True)),
    "slug": (str | None, Field(default=None, unique=True)),
}


def row(**fields: Any) -> Any:
    """A version of the model."""
    return version("Row", MODULE, **fields)


def add_thousand(one: Any) -> None:
    """A change that shows if it is done twice, or not at all."""
    one.votes += 1000


CASES: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "add": (
        [AddField(KEY, FieldState("rank", "int"), value=5), AddIndex(KEY, IndexState("rank"))],
        {**OLD, "rank": (int, Field(default=5, index=True))},
    ),
    "fill": (
        [AddField(KEY, FieldState("length", "int", 0), fill=lambda one: len(one.text))],
        {**OLD, "length": (int, 0)},
    ),
    "remove": (
        [RemoveIndex(KEY, IndexState("votes")), RemoveField(KEY, "votes")],
        {"text": OLD["text"], "slug": OLD["slug"]},
    ),
    "rename": (
        [RenameField(KEY, "slug", "code")],
        {"text": OLD["text"], "votes": OLD["votes"], "code": (str | None, Field(default=None, unique=True))},
    ),
    "index": (
        [RemoveIndex(KEY, IndexState("text", "text")), AddConstraint(KEY, ConstraintState(("text", "votes")))],
        {
            "text": (str, ...),
            "votes": OLD["votes"],
            "slug": OLD["slug"],
        },
    ),
    "unconstrained": (
        [RemoveConstraint(KEY, ConstraintState("slug"))],
        {**OLD, "slug": (str | None, None)},
    ),
    "python": ([RunPython(KEY, add_thousand)], OLD),
}


def between_calls(db: Any, others: Callable[[], object], *migrations: Any) -> Any:
    """Migrates; the others do something before each call."""
    operation = executor.run(plan(*migrations), None, SMALL, None, False, "lock")

    def steps() -> Any:
        reply = None
        while True:
            try:
                call = operation.send(reply)
            except StopIteration as end:
                return end.value
            others()
            reply = yield call

    return db.run(steps())


@pytest.mark.parametrize("case", CASES)
def test_clients_write_between_all_steps(db: Any, case: str) -> None:
    """Objects are inserted, changed and deleted by the old and the new model between all calls: then check() is clean,
    nothing is lost, and what a function changes is changed once.
    """
    operations, fields = CASES[case]
    old = row(**OLD)
    before = created(old)
    executor.execute(plan(before), db)
    old.objects.using(db).bulk_create([old(text=f"t{n}", votes=n, slug=f"s{n}") for n in range(40)])
    new = row(**fields)
    numbers = iter(range(100, 10_000))
    expected: dict[int, str] = {n: f"t{n - 1}" for n in range(1, 41)}

    def write() -> None:
        n = next(numbers)
        if n > 150:  # a walk that is slower than all writers would never end
            return
        pk = 1 + n * 7 % 40
        made = old(text=f"o{n}", votes=n).save(using=db)
        expected[made.pk] = f"o{n}"
        named = {"votes": n, "slug": f"n{n}", "code": f"n{n}"}
        made = new(text=f"n{n}", **{name: value for name, value in named.items() if name in fields}).save(using=db)
        expected[made.pk] = f"n{n}"
        for model in (old, new):
            one = model.objects.using(db).filter(pk=pk).first()
            if one is not None:
                one.text = expected[pk] = f"{model is new}{n}"
                one.save(using=db)
        if n % 5 == 0:
            gone = 1 + n * 3 % 40
            expected.pop(gone, None)
            new.objects.using(db).filter(pk=gone).delete()

    report = between_calls(db, write, before, operations)
    assert report.ok, report.findings
    assert {one.pk: one.text for one in new.objects.using(db).all()} == expected
    ormis.reindex(db, models=[new])  # old processes have declared theirs again
    found = ormis.check(db, models=[new])
    assert found.ok, [str(one) for one in found.findings]


def test_a_function_is_applied_once_to_each_object(db: Any) -> None:
    """Objects that change between the reading and the writing of a page are looked at again, with their new values."""
    old = row(**OLD)
    before = created(old)
    executor.execute(plan(before), db)
    old.objects.using(db).bulk_create([old(text=f"t{n}", votes=0) for n in range(30)])
    turn = iter(range(10_000))

    def write() -> None:
        n = next(turn)
        if n < 60:
            old.objects.using(db).filter(pk=1 + n % 30).update(votes=ormis.F("votes") + 1)

    between_calls(db, write, before, [RunPython(KEY, add_thousand)])
    done = next(turn)
    changes = {pk: len([n for n in range(min(done, 60)) if 1 + n % 30 == pk]) for pk in range(1, 31)}
    assert {one.pk: one.votes for one in old.objects.using(db).all()} == {pk: 1000 + n for pk, n in changes.items()}


def test_writers_in_other_threads(db: Any) -> None:
    """The same with clients that do not wait for each other."""
    old = row(**OLD)
    before = created(old)
    executor.execute(plan(before), db)
    old.objects.using(db).bulk_create([old(text=f"t{n}", votes=0) for n in range(300)])
    stop = threading.Event()
    counts = [0] * 301

    def write(first: int) -> None:
        n = first
        while not stop.is_set():
            pk = 1 + n % 300
            old.objects.using(db).filter(pk=pk).update(votes=ormis.F("votes") + 1)
            counts[pk] += 1
            n += 2

    writers = [threading.Thread(target=write, args=(first,)) for first in (0, 1)]
    for one in writers:
        one.start()
    try:
        executor.execute(plan(before, [RunPython(KEY, add_thousand)]), db)
    finally:
        stop.set()
        for one in writers:
            one.join()
    assert {one.pk: one.votes for one in old.objects.using(db).all()} == {pk: 1000 + counts[pk] for pk in range(1, 301)}
    assert ormis.check(db, models=[old]).ok


# Laws ----------------------------------------------------------------------------------------------------------------

TYPES: dict[str, tuple[Any, Any]] = {
    "int": (int, st.integers(-(2**60), 2**60)),
    "float": (float, st.floats(allow_nan=False, allow_infinity=False, width=32)),
    "str": (str, st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.integers().map(str)),
    "bool": (bool, st.booleans()),
    "list[int]": (list[int], st.lists(st.integers(-9, 9), max_size=3)),
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(data=st.data(), old_type=st.sampled_from([*TYPES]), new_type=st.sampled_from([*TYPES]))
def test_migrated_objects_are_those_that_the_new_model_converts(
    db: Any, raw: Any, data: st.DataObject, old_type: str, new_type: str
) -> None:
    """migrate(old objects) == the old values converted by the new type; what does not convert keeps its text, and is
    listed.
    """
    from pydantic import TypeAdapter, ValidationError

    raw.flushall()
    annotation, values = TYPES[old_type]
    old = row(value=(annotation, ...))
    before = created(old)
    given_values = data.draw(st.lists(values, max_size=6))
    executor.execute(plan(before), db)
    for value in given_values:
        old(value=value).save(using=db)
    texts = [raw.hget(f"{KEY}:{pk}", "value") for pk in range(1, len(given_values) + 1)]
    kind = "" if new_type != "list[int]" else "json"
    report = executor.execute(plan(before, [AlterField(KEY, FieldState("value", new_type, kind=kind))]), db)
    new = row(value=(TYPES[new_type][0], ...))
    kept = {int(one.key.rpartition(":")[2]) for one in report.findings}
    adapter = TypeAdapter(TYPES[new_type][0])
    for pk, (value, text) in enumerate(zip(given_values, texts, strict=True), 1):
        if pk in kept:
            assert raw.hget(f"{KEY}:{pk}", "value") == text
            with pytest.raises(ValidationError):
                adapter.validate_python(text.decode() if new_type == "str" else value)
        else:
            found = new.objects.using(db).get(pk=pk).value
            if new_type == "str":
                assert found == (str(value) if old_type == "bool" else text.decode())
            else:
                assert found == adapter.validate_python(value)
    assert declared_state([new]).models[KEY].columns == {"id": "int", "value": FieldState("value", new_type).kind}
