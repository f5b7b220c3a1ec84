"""The history of migrations in a database."""

from typing import Any

import pytest

from ormis.errors import MigrationError
from ormis.migrations import recorder
from ormis.migrations.migration import Name

FIRST, SECOND = Name("polls", "0001_initial"), Name("shop.stock", "0001_initial")


def test_a_database_without_migrations_has_no_history(db: Any) -> None:
    """Nothing ran, nothing is written by asking."""
    assert db.run(recorder.applied()) == {}
    assert db.client.keys() == []


def test_migrations_are_recorded_in_their_order(db: Any) -> None:
    """The history has the names, of applications with dots too, in the order in which they ran."""
    db.run(recorder.record(SECOND, "b"))
    db.run(recorder.record(FIRST, "a"))
    found = db.run(recorder.applied())
    assert [*found] == [SECOND, FIRST]
    assert [one.checksum for one in found.values()] == ["b", "a"]
    assert found[SECOND].time <= found[FIRST].time


async def test_the_history_is_the_same_for_async_code(db: Any) -> None:
    """The operations run under both drivers."""
    await db.arun(recorder.record(FIRST, "a"))
    assert [*(await db.arun(recorder.applied()))] == [FIRST]


def test_a_migration_is_forgotten(db: Any) -> None:
    """forget() removes one entry; of one that is not there nothing."""
    db.run(recorder.record(FIRST, "a"))
    db.run(recorder.record(SECOND, "b"))
    db.run(recorder.forget(FIRST))
    db.run(recorder.forget(Name("polls", "0009_other")))
    assert [*db.run(recorder.applied())] == [SECOND]


@pytest.mark.parametrize("text", ["x", "{}", '{"time":"now","checksum":"a"}', "[]"])
def test_an_entry_of_something_else_is_named(db: Any, raw: Any, text: str) -> None:
    """An entry that ormis did not write is an error with the key, the field and the text."""
    raw.hset("ormis/migrations", "polls.0001_initial", text)
    with pytest.raises(MigrationError, match=r"'polls\.0001_initial' .* no entry") as error:
        db.run(recorder.applied())
    assert repr(text.encode()) in str(error.value)
