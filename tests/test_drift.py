"""Drift: a database knows how the fields of its models are stored, and says where a model declares another type."""

import json
import warnings
from typing import Any

import pytest
import redis

import ormis
from migrating import created, plan, version
from ormis import Field
from ormis.errors import MigrationWarning
from ormis.migrations import executor
from ormis.migrations.operations import AlterField
from ormis.migrations.state import FieldState

MODULE = __name__
KEY = f"{MODULE}_item"


def item(votes: Any, **more: Any) -> Any:
    """The model with this type of votes."""
    return version("Item", MODULE, text=(str, ...), votes=(votes, Field()), **more)


def columns(raw: redis.Redis) -> Any:
    """The kinds that are stored."""
    return json.loads(raw.hget("ormis/columns", KEY) or "null")  # type: ignore[arg-type]


def again(db: Any) -> Any:
    """Another connection to the database, as another process has it."""
    return ormis.connect(db.url + ("&" if "?" in db.url else "?") + f"prefix={db.prefix}")


def test_the_first_declaration_stores_the_kinds(db: Any, raw: redis.Redis) -> None:
    """They are written with the first object, not by reading; parts of the hash only, not of relations."""
    model = item(int)
    assert model.objects.count() == 0
    assert columns(raw) is None
    model(text="a", votes=1).save()
    assert columns(raw) == {"id": "int", "text": "text", "votes": "int"}


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("way", ["bulk_create", "get_or_create", "atomic"])
def test_each_way_of_writing_declares(raw: redis.Redis, way: str) -> None:
    """Whichever write is the first one, the kinds are known at the second connection at the latest."""
    model = item(int)
    if way == "bulk_create":
        model.objects.bulk_create([model(text="a", votes=1)])
    elif way == "get_or_create":
        model.objects.get_or_create(text="a", votes=1)
    else:
        with ormis.atomic():
            model(text="a", votes=1).save()
    assert columns(raw) == {"id": "int", "text": "text", "votes": "int"}


def test_a_new_column_is_added_at_the_next_connection(db: Any, raw: redis.Redis) -> None:
    """It needs no migration: there is no warning."""
    item(int)(text="a", votes=1).save()
    item(int, rank=(float, 0.5))
    with again(db) as other:
        assert other.run(_nothing()) is None
    assert columns(raw) == {"id": "int", "text": "text", "votes": "int", "rank": "float"}


def test_a_connection_with_other_types_warns_once(db: Any, raw: redis.Redis) -> None:
    """The warning names model, field and both kinds, and the command to run; what is stored stays."""
    item(int)(text="a", votes=1).save()
    model = item(str)
    with again(db) as other:
        with pytest.warns(MigrationWarning, match=r"Item\.votes: declared text, stored int.*ormis migrate"):
            assert model.objects.using(other).count() == 1
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert model.objects.using(other).count() == 1
    assert columns(raw)["votes"] == "int"
    (state,) = ormis.inspect(db, models=[model])
    assert state.drift == ("votes: declared text, stored int",)


async def test_async_code_is_warned(db: Any) -> None:
    """The same at the first use by async code."""
    item(int)(text="a", votes=1).save()
    model = item(str)
    async with again(db) as other:
        with pytest.warns(MigrationWarning, match="declared text, stored int"):
            assert await model.objects.using(other).acount() == 1


def test_a_migration_ends_the_drift(db: Any, raw: redis.Redis) -> None:
    """Its end stores the kinds of the models behind it."""
    old = item(int)
    executor.execute(plan(created(old)), db)
    old(text="a", votes=1).save()
    executor.execute(plan(created(old), [AlterField(KEY, FieldState("votes", "str"))]), db)
    assert columns(raw) == {"id": "int", "text": "text", "votes": "text"}
    model = item(str)
    with again(db) as other:
        assert model.objects.using(other).get().votes == "1"
    assert ormis.inspect(db, models=[model])[0].drift == ()


def test_a_field_that_others_wrote_is_no_obstacle(db: Any, raw: redis.Redis) -> None:
    """A text at the key of the kinds that is none is as if it were not there."""
    item(int)(text="a", votes=1).save()
    raw.hset("ormis/columns", KEY, "[")
    with again(db) as other:
        assert item(int).objects.using(other).count() == 1
    assert columns(raw) == {"id": "int", "text": "text", "votes": "int"}


def _nothing() -> Any:
    return None
    yield


def test_check_converts_nothing(db: Any, raw: redis.Redis) -> None:
    """A text that does not convert is a finding, also with repair, and stays."""
    item(int)(text="a", votes=1).save()
    raw.hset(f"{KEY}:1", "votes", "x")
    report = ormis.check(db, models=[item(int)], repair=True)
    assert [(one.kind, one.mended) for one in report.findings] == [("value", False)]
    assert raw.hget(f"{KEY}:1", "votes") == b"x"
