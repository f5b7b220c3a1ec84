"""bulk_create(): one batch after another; Python prepares the next while the server works on the present one."""

from typing import Any

import pytest

import ormis
from ormis import Field
from ormis.calls import ScriptCall
from ormis.drivers import aio, sync


class Reading(ormis.Model):
    """A model that supports the fast path for many objects."""

    place: str | None = Field(default=None, index=True)
    value: float = Field(default=0.0, index=True)
    note: str | None = None

    class Meta:
        key = "bulk_reading"


class Station(ormis.Model):
    """A model that takes the general path."""

    name: str = Field(unique=True)

    class Meta:
        key = "bulk_station"


def test_one_large_batch(db: ormis.Database, raw: Any) -> None:
    """A batch of more objects than one command takes arguments is stored completely, in every index."""
    made = [Reading(place="sea" if n % 2 else None, value=n, note="x" if n % 3 else None) for n in range(9000)]
    with ormis.capture_calls() as calls:
        assert Reading.objects.bulk_create(made, batch_size=9000) is not None
    assert len(calls) == 1
    assert [made[0].pk, made[-1].pk] == [1, 9000]
    assert raw.scard("bulk_reading/index/place=sea") == 4500
    assert raw.zcard("bulk_reading/index/value") == raw.zcard("bulk_reading/ids") == 9000
    assert raw.hgetall("bulk_reading:9000") == {b"id": b"9000", b"place": b"sea", b"value": b"8999.0", b"note": b"x"}
    assert raw.hgetall("bulk_reading:1") == {b"id": b"1", b"value": b"0.0"}
    assert raw.get("bulk_reading/next_id") == b"9000"


def test_nothing_is_sent_for_no_objects(db: ormis.Database) -> None:
    """An empty list sends no call."""
    with ormis.capture_calls() as calls:
        assert Reading.objects.bulk_create([]) == []
    assert calls == []


@pytest.mark.parametrize("size", [1, 2, 3])
def test_objects_know_what_is_stored(db: ormis.Database, size: int) -> None:
    """bulk_create() sets the key of each object; a save() afterwards writes only the changed fields."""
    made = Reading.objects.bulk_create([Reading(place=f"p{n}") for n in range(5)], batch_size=size)
    assert [r.pk for r in made] == [1, 2, 3, 4, 5]
    made[3].note = "new"
    with ormis.capture_calls() as calls:
        made[3].save()
    assert "place" not in str(calls[0].args[5:])
    assert Reading.get(4) == made[3]
    assert (Reading.get(4).place, Reading.get(4).note) == ("p3", "new")


@pytest.mark.parametrize("bad", [1, 3, 5])
def test_a_batch_that_cannot_be_written_out(db: ormis.Database, bad: int) -> None:
    """The batches before a value that can't be stored are stored; the error names the field and its value."""
    made = [Reading(value=float("nan") if n == bad else n) for n in range(1, 6)]
    with pytest.raises(ormis.FieldError, match=r"Reading\.value=nan"):
        Reading.objects.bulk_create(made, batch_size=1)
    assert [r.pk for r in made] == [n if n < bad else None for n in range(1, 6)]
    assert Reading.objects.count() == bad - 1


def test_a_batch_that_is_refused(db: ormis.Database) -> None:
    """The batches before the refused one are stored and their objects count as stored; those after it are not."""
    made = [Station(name=name) for name in ("a", "b", "c", "a", "d", "e")]
    with pytest.raises(ormis.UniqueViolation):
        Station.objects.bulk_create(made, batch_size=2)
    assert [s.pk for s in made] == [1, 2, None, None, None, None]
    assert [s.name for s in Station.list()] == ["b", "a"]


def slow_call(raw: Any) -> ScriptCall:
    """A script that takes some 30 ms, and an interrupt, as by Ctrl-C, before its reply arrives."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    source = "for i = 1, 5000000 do end return 'late'"
    return ScriptCall("slow", raw.script_load(source), source, (), (), meanwhile=interrupted)


@pytest.mark.single_server("looks at the connections of one server")
def test_an_interrupt_between_call_and_reply(db: ormis.Database, raw: Any) -> None:
    """The reply of an interrupted call is not used as the reply of the next command."""
    with pytest.raises(KeyboardInterrupt):
        sync.send(db.client, slow_call(raw))
    assert db.client.echo("mine") == b"mine"


@pytest.mark.single_server("looks at the connections of one server")
async def test_an_interrupt_between_call_and_reply_async(db: ormis.Database, raw: Any) -> None:
    """The same for the async client."""
    with pytest.raises(KeyboardInterrupt):
        await aio.send(db.aclient, slow_call(raw))
    assert await db.aclient.echo("mine") == b"mine"
