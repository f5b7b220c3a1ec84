"""A commit that the server stops half way is undone; here a user who may not use one of the commands that it takes."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis

import ormis
from ormis import Field, Index, UniqueConstraint

pytestmark = pytest.mark.single_server("takes rights from a user of one server")


class Wide(ormis.Model):
    """The fast path of inserts is closed to it."""

    name: str = ""
    n: int = Field(default=0, index=True)
    color: str = Field(default="red", index=True)

    class Meta:
        key = "undo_wide"
        indexes = [Index("name", "n")]


class Plain(ormis.Model):
    """The fast path is open to it."""

    n: int = Field(default=0, index=True)
    color: str = Field(default="red", index=True)

    class Meta:
        key = "undo_plain"


class Claiming(ormis.Model):
    """Its unique values are claimed in hashes."""

    code: str = Field(unique=True)
    a: int = 0
    b: int = 0

    class Meta:
        key = "undo_claiming"
        constraints = [UniqueConstraint("a", "b")]


@pytest.fixture
def limited(db: ormis.Database, raw: redis.Redis, url: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A database whose user lacks the given rights; one object of each model is there."""
    Wide(n=1).save()
    Plain(n=1).save()
    Claiming(code="a").save()
    raw.execute_command("ACL", "SETUSER", "limited", "on", ">pw", "~*", "+@all", *request.param.split())
    with ormis.connect(url.replace("unix://", "unix://limited:pw@")) as database:
        yield database
    raw.acl_deluser("limited")


def stored(raw: redis.Redis) -> dict[bytes, Any]:
    return {key: raw.dump(key) for key in raw.scan_iter() if not key.startswith(b"ormis/once/")}


def assert_refused(raw: redis.Redis, work: Any) -> None:
    """The work is refused for want of a right, and has changed nothing."""
    before = stored(raw)
    with pytest.raises(redis.exceptions.NoPermissionError, match=r"(?i)permission"):
        work()
    assert stored(raw) == before


@pytest.mark.parametrize(
    ("model", "count", "limited"),
    [(model, count, right) for model in (Wide, Plain) for count in (1, 3) for right in ("-hset", "-zadd", "-sadd")],
    indirect=["limited"],
)
def test_new_objects(limited: ormis.Database, raw: redis.Redis, model: Any, count: int) -> None:
    """Hashes, indexes and the order of creation are as they were, whichever of them can't be written."""
    new = [model(n=n) for n in range(count)]
    assert_refused(raw, lambda: model.objects.using(limited).bulk_create(new))


@pytest.mark.parametrize("limited", ["-hset"], indirect=True)
def test_claims(limited: ormis.Database, raw: redis.Redis) -> None:
    """No unique value stays claimed."""
    assert_refused(raw, lambda: Claiming.objects.using(limited).bulk_create([Claiming(code="x", a=1)]))


@pytest.mark.parametrize("limited", ["-zadd", "-hset"], indirect=True)
@pytest.mark.parametrize("model", [Wide, Plain])
def test_an_update(limited: ormis.Database, raw: redis.Redis, model: Any) -> None:
    """The index and the hash say the same."""
    one = model.objects.using(limited).get(pk=1)
    one.n = 5
    assert_refused(raw, one.save)


@pytest.mark.parametrize("limited", ["resetkeys ~undo_* ~ormis/models"], indirect=True)
def test_calls_that_are_not_recognised(limited: ormis.Database, raw: redis.Redis) -> None:
    """Who may not read what recognises repeated calls may not write: the call might come twice."""
    assert_refused(raw, lambda: Plain.objects.using(limited).create(n=1))
