"""One call at a time: get() is packed beforehand and made into an object by plain statements; busy connections are not
polled.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import PrivateAttr
from redis.backoff import NoBackoff
from redis.retry import Retry

import ormis
from ormis import F, ForeignKey
from ormis.connections import exchange as exchanges
from ormis.connections import loans
from ormis.storage.codecs import BadText


class Reading(ormis.Model):
    """A field of each kind of wire value, with values that msgspec alone would take for others."""

    name: str = ""
    number: int | None = None
    flag: bool | None = None
    amount: Decimal | None = None
    raw: bytes | None = None
    at: datetime | None = None
    token: UUID | None = None
    parts: list[int] = []
    note: str = "none"

    class Meta:
        key = "single_reading"


class Bare(ormis.Model):
    """The same without bytes: rows of such models are decoded at once. All of its fields may be None."""

    name: str | None = None
    number: int | None = None
    flag: bool | None = None
    amount: Decimal | None = None
    at: datetime | None = None
    token: UUID | None = None
    parts: list[int] | None = None
    note: str | None = "none"

    class Meta:
        key = "single_bare"


class Kept(ormis.Model):
    """Private attributes and model_post_init."""

    name: str
    tags: list[str] = []
    _loud: str = ""
    _seen: list[str] = PrivateAttr(default_factory=list)

    class Meta:
        key = "single_kept"

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        self._loud = self.name.upper()


class Owned(ormis.Model):
    """Refers to Kept."""

    kept: ForeignKey[Kept] = ForeignKey(related_name="owned")
    votes: int = 0

    class Meta:
        key = "single_owned"


texts = {
    "name": st.text() | st.sampled_from(["null", "true", "\0", "a\0b"]),
    "number": st.none() | st.integers(),
    "flag": st.none() | st.booleans(),
    "amount": st.none() | st.decimals(allow_nan=False, allow_infinity=False),
    "raw": st.none() | st.binary(),
    "at": st.none() | st.datetimes(timezones=st.just(UTC)),
    "token": st.none() | st.uuids(),
    "parts": st.lists(st.integers()),
    "note": st.text(),
}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.fixed_dictionaries(texts), model=st.sampled_from([Reading, Bare]))
def test_get_is_as_a_query(db: ormis.Database, values: dict[str, Any], model: type[Reading | Bare]) -> None:
    """An object of get() is the same as that of a query of several objects, in each attribute."""
    values = {name: value for name, value in values.items() if name in model.model_fields}
    pk = model(**values).save().pk
    model().save()
    got = model.get(pk)
    (found,) = [one for one in model.objects.all() if one.pk == pk]
    assert vars(got) == vars(found)
    assert {name: type(value) for name, value in vars(got).items()} == {
        name: type(value) for name, value in vars(found).items()
    }
    assert got.model_fields_set == found.model_fields_set
    assert got.model_dump(exclude={"id"}) == values


async def test_an_absent_object_of_optional_fields(db: ormis.Database) -> None:
    """No object is one, also where each field of the model may be None: sync, async, inside a block, deleted."""
    with pytest.raises(Bare.DoesNotExist, match="there is no Bare with id=1"):
        Bare.get(1)
    with pytest.raises(Bare.DoesNotExist, match="there is no Bare with id='7'"):
        await Bare.aget("7")
    with ormis.atomic(), pytest.raises(Bare.DoesNotExist):
        Bare.get(1)
    kept = Bare(note=None).save()
    assert (await Bare.aget(kept.pk)).model_dump() == kept.model_dump()
    kept.delete()
    with pytest.raises(Bare.DoesNotExist):
        await Bare.aget(1)


@pytest.mark.parametrize("model", [Reading, Bare])
@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("number", b"null"),
        ("number", b"05"),
        ("flag", b"true"),
        ("flag", b"null"),
        ("token", b"58F68C90-8B2F-40C1-B351-CD71861808C6"),
        ("at", b"10:00"),
        ("name", b"\xff"),
    ],
)
def test_texts_that_are_none_are_refused_by_get(
    db: ormis.Database, raw: redis.Redis, prefix: str, field: str, text: bytes, model: Any
) -> None:
    """A stored text that a query refuses, get() refuses too, naming the field."""
    model().save()
    key = f"single_{model.__name__.lower()}:1"
    raw.hset(f"{prefix}{key}", field, text)  # pyright: ignore[reportArgumentType]
    for read in (lambda: model.get(1), lambda: list(model.objects.all())):
        with pytest.raises(ormis.StoredDataError, match=f"{model.__name__}.{field} of the key '{key}'"):
            read()


def test_a_row_of_texts_is_read_as_each_text_alone() -> None:
    """The row of a schema's decoder holds the values of Codec.read; the first bad text is named."""
    schema = Reading._schema()  # pyright: ignore[reportPrivateUsage]
    given_: list[bytes | None] = [b"1", b"\xc3\xa9", b"7", b"1", b"1.50", b"\xff\x00", None, None, b"[]", b"n"]
    row = schema.decoder.row(given_)
    alone = [None if t is None else c.codec.read(t) for c, t in zip(schema.columns, given_, strict=True)]
    assert list(row) == alone
    assert schema.decoder.whole_row(given_) is None  # it has bytes
    bare = Bare._schema()  # pyright: ignore[reportPrivateUsage]
    del given_[5]
    whole = bare.decoder.whole_row(given_)
    assert whole is not None
    assert list(msgspec.structs.astuple(whole)) == [*alone[:5], *alone[6:]]
    with pytest.raises(BadText, match="number"):
        schema.decoder.row([b"1", b"", b"x", *[None] * 7])


def test_private_attributes_and_post_init(db: ormis.Database) -> None:
    """Objects of get() have private attributes of their own, after model_post_init."""
    Kept(name="a").save()
    one, other = Kept.get(1), Kept.get(1)
    one._seen.append("x")  # pyright: ignore[reportPrivateUsage]
    one.tags.append("y")
    assert (one._loud, other._seen, other.tags) == ("A", [], [])  # pyright: ignore[reportPrivateUsage]


@pytest.mark.single_server("shows calls with the names of keys on one server")
def test_a_get_is_one_call_shown_as_redis_cli_would(db: ormis.Database, prefix: str) -> None:
    """get() and a foreign key are an HMGET of the hash each."""
    kept = Kept(name="a").save()
    owned = Owned(kept=kept).save()
    with ormis.capture_calls() as calls:
        assert Owned.get(owned.pk).kept.name == "a"
    assert [str(call) for call in calls] == [
        f"HMGET {prefix}single_owned:1 id kept_id votes",
        f"HMGET {prefix}single_kept:1 id name tags",
    ]


@pytest.mark.parametrize("pk", [True, 1.0, "1", Decimal(1)])
def test_keys_of_other_types_are_converted(db: ormis.Database, pk: Any) -> None:
    """A key that is no int is converted as pydantic does."""
    Kept(name="a").save()
    assert Kept.get(pk).pk == 1


def test_get_inside_a_block_reads_what_is_stored(db: ormis.Database) -> None:
    """A get in a block of atomic() is sent at once; what the block changes is checked at its end."""
    Owned(kept=Kept(name="a").save()).save()
    with ormis.atomic(), ormis.capture_calls() as calls:
        owned = Owned.get(1)
        owned.votes = 5
        owned.save()
        assert len(calls) == 1
        assert Owned.get(1).votes == 0
        db.client.hset(f"{db.prefix}single_owned:2", "id", 2)
    assert Owned.get(1).votes == 5


def _kill(raw: redis.Redis, db: ormis.Database) -> None:
    raw.client_kill_filter(_id=db.client.client_id())


@pytest.mark.parametrize("write", [False, True])
def test_a_connection_killed_right_after_use(db: ormis.Database, raw: redis.Redis, write: bool) -> None:
    """A connection that breaks less than a second after its use is not noticed before, and costs no call."""
    owned = Owned(kept=Kept(name="a").save()).save()
    for number in range(1, 11):
        _kill(raw, db)
        if write:
            owned.votes = F("votes") + 1
            owned.save()
            assert owned.votes == number
        else:
            assert Owned.get(1).votes == 0


class _Polls:
    """Counts the looks at idle connections."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, connection: type[Any]) -> None:
        self.count = 0
        can_read: Callable[..., bool] = connection.can_read

        def counted(own: Any, timeout: float = 0) -> bool:
            self.count += 1
            return can_read(own, timeout)

        monkeypatch.setattr(connection, "can_read", counted)


@pytest.mark.single_server("looks at the connections of one server")
def test_a_busy_connection_is_not_polled(db: ormis.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a second after a call a connection is used as it is; after that it is looked at first."""
    Kept(name="a").save()
    polls = _Polls(monkeypatch, type(db.client.connection_pool.make_connection()))
    for _ in range(5):
        Kept.get(1)
    assert polls.count == 0
    now = loans.monotonic
    monkeypatch.setattr(loans, "monotonic", lambda: now() + timedelta(seconds=2).total_seconds())
    Kept.get(1)
    assert polls.count == 1


@pytest.mark.single_server("looks at the connections of one server")
@pytest.mark.parametrize("retry", [None, Retry(NoBackoff(), 0), Retry(NoBackoff(), 3)])
def test_connections_of_given_clients_are_polled(
    db: ormis.Database, raw: redis.Redis, monkeypatch: pytest.MonkeyPatch, retry: Retry | None
) -> None:
    """A client of the user's own, which may have no retries, is looked at before each call: no error reaches a call."""
    Kept(name="a").save()
    pool = db.client.connection_pool
    options = {name: value for name, value in pool.connection_kwargs.items() if name in ("path", "host", "port", "db")}
    own = redis.Redis(
        connection_pool=redis.ConnectionPool(
            connection_class=pool.connection_class, **options, **({} if retry is None else {"retry": retry})
        )
    )
    with own, ormis.connect(client=own, prefix=db.prefix) as given_:
        Kept.objects.using(given_).count()
        polls = _Polls(monkeypatch, pool.connection_class)
        raw.client_kill_filter(_id=own.client_id())
        assert Kept.objects.using(given_).get(pk=1).name == "a"
        assert polls.count


def test_calls_go_past_the_layers_of_redis_py(db: ormis.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attributes of redis-py that a short exchange needs are there; where one is not, redis-py sends and reads."""
    Kept(name="a").save()
    kinds = redis.Connection, redis.SSLConnection, redis.UnixDomainSocketConnection
    plain = exchanges._plain  # pyright: ignore[reportPrivateUsage]
    assert [plain(kind) for kind in kinds] == [True, True, True]
    counts = {"send": 0}
    send = redis.connection.AbstractConnection.send_packed_command

    def counted(own: Any, command: Any, check_health: bool = True) -> None:
        counts["send"] += 1
        send(own, command, check_health)

    for kind in kinds:
        monkeypatch.setattr(kind, "send_packed_command", counted)
    assert Kept.get(1).name == "a"
    assert counts["send"] == 0
    monkeypatch.setattr(exchanges, "_plain", plain.__wrapped__)
    assert Kept.get(1).name == "a"
    assert counts["send"] == 1


@pytest.mark.parametrize("size", [0, 60_000, 200_000, 3_000_000])
def test_calls_of_any_size(db: ormis.Database, size: int) -> None:
    """A command, or a reply, that does not fit one read or write of the socket."""
    kept = Kept(name="x" * size).save()
    assert len(Kept.get(kept.pk).name) == size


@pytest.mark.single_server("looks at the connections of one server")
def test_a_reply_that_does_not_come(db: ormis.Database, raw: redis.Redis) -> None:
    """A time-out is redis-py's, with its text; the connection is not used again."""
    Kept(name="a").save()
    pool = db.client.connection_pool
    options = {name: value for name, value in pool.connection_kwargs.items() if name in ("path", "host", "port", "db")}
    made: Any = redis.ConnectionPool(
        connection_class=pool.connection_class, **options, socket_timeout=0.2, retry=Retry(NoBackoff(), 0)
    )
    with redis.Redis(connection_pool=made) as own, ormis.connect(client=own, prefix=db.prefix) as given_:
        assert Kept.objects.using(given_).get(pk=1).name == "a"
        raw.execute_command("CLIENT", "PAUSE", 500, "ALL")
        with pytest.raises(redis.TimeoutError, match="Timeout reading from"):
            Kept.objects.using(given_).get(pk=1)
        raw.execute_command("CLIENT", "UNPAUSE")
        assert Kept.objects.using(given_).get(pk=1).name == "a"
