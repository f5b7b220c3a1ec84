"""The fast path of a commit and the general path store the same, return the same and refuse the same."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from types import FunctionType
from typing import Any
from uuid import UUID

import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import ormis
from laws import examples
from ormis import F, Field, ForeignKey, Index, UniqueConstraint
from ormis.operations.writing import fast_commit


class Color(Enum):
    """An enum of two texts."""

    RED = "red"
    BLUE = "blue"


class Level(Enum):
    """An enum of two numbers."""

    LOW = 1
    HIGH = 2


class Every(ormis.Model):
    """Every kind of field that the fast path supports, without an index and with an index on one field."""

    n: int = 0
    rate: float = 0.0
    on: bool = False
    name: str = ""
    price: Decimal = Decimal(0)
    at: datetime = datetime(2000, 1, 1)
    day: date = date(2000, 1, 1)
    clock: time = time(0)
    span: timedelta = timedelta(0)
    uuid: UUID = UUID(int=0)
    color: Color = Color.RED
    data: bytes = b""
    note: str | None = None
    count: int | None = None
    n_sorted: int = Field(default=0, index=True)
    rate_sorted: float | None = Field(default=None, index=True)
    price_sorted: Decimal | None = Field(default=None, index=True)
    at_sorted: datetime | None = Field(default=None, index=True)
    day_sorted: date | None = Field(default=None, index=True)
    clock_sorted: time | None = Field(default=None, index=True)
    span_sorted: timedelta | None = Field(default=None, index=True)
    level_sorted: Level | None = Field(default=None, index=True)
    on_equal: bool | None = Field(default=None, index=True)
    name_equal: str | None = Field(default=None, index=True)
    uuid_equal: UUID | None = Field(default=None, index=True)
    color_equal: Color | None = Field(default=None, index=True)

    class Meta:
        key = "cp_every"


class Bound(ormis.Model):
    """A few fields that the fast path supports, among others that belong to a constraint or to an index over several
    fields.
    """

    n: int = 0
    name: str | None = None
    n_sorted: int = Field(default=0, index=True)
    code: str | None = Field(default=None, unique=True)
    rank: int = 0
    place: int | None = None
    other: ForeignKey[Every | None] = ForeignKey(on_delete=ormis.SET_NULL)

    class Meta:
        key = "cp_bound"
        indexes = [Index("rank", "n_sorted")]
        constraints = [UniqueConstraint("name", "place")]


class Pair(ormis.Model):
    """The fewest fields of a model with both types of index."""

    n: int = Field(default=0, index=True)
    on: bool = Field(default=False, index=True)

    class Meta:
        key = "cp_pair"


Row = dict[str, Any]
Model = type[ormis.Model]

INT64 = 2**63
EDGES = [sign * (2**power + step) for sign in (1, -1) for power in (0, 52, 53, 62, 63, 64) for step in (-1, 0, 1)]
INTEGERS = st.sampled_from(EDGES) | st.integers(-(2**65), 2**65) | st.integers(-3, 3)
FLOATS = st.floats(allow_nan=False)
TEXTS = st.text(max_size=4) | st.sampled_from(["a/b", "#a", "ä" * 26, "a" * 51, "1"])
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False)
DATETIMES = st.datetimes() | st.datetimes(timezones=st.just(UTC))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "n": INTEGERS,
    "rate": st.floats(),
    "on": st.booleans(),
    "name": TEXTS,
    "price": DECIMALS,
    "at": DATETIMES,
    "day": st.dates(),
    "clock": st.times(),
    "span": st.timedeltas(),
    "uuid": st.uuids(),
    "color": st.sampled_from(Color),
    "data": st.binary(max_size=4),
    "note": st.none() | TEXTS,
    "count": st.none() | INTEGERS,
    "n_sorted": INTEGERS,
    "rate_sorted": st.none() | FLOATS,
    "price_sorted": st.none() | DECIMALS,
    "at_sorted": st.none() | DATETIMES,
    "day_sorted": st.none() | st.dates(),
    "clock_sorted": st.none() | st.times(),
    "span_sorted": st.none() | st.timedeltas(),
    "level_sorted": st.none() | st.sampled_from(Level),
    "on_equal": st.none() | st.booleans(),
    "name_equal": st.none() | TEXTS,
    "uuid_equal": st.none() | st.uuids(),
    "color_equal": st.none() | st.sampled_from(Color),
}
BOUND_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "n": INTEGERS,
    "name": st.none() | st.sampled_from("ab"),
    "n_sorted": INTEGERS,
    "code": st.none() | st.sampled_from("xyz"),
    "rank": st.integers(0, 1),
    "place": st.none() | st.integers(0, 1),
    "other_id": st.none() | st.integers(1, 3),
}
ROWS = st.fixed_dictionaries({}, optional=VALUES)
BOUND_ROWS = st.fixed_dictionaries({}, optional=BOUND_VALUES)
# Few fields at a time: the fast path of an update supports any number of plain ones and one with a sorted index.
CHANGES = st.sampled_from([*VALUES]).flatmap(lambda name: st.fixed_dictionaries({name: VALUES[name]})) | ROWS
SPOILED = st.none() | st.integers(0, 40)

LAW = settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def fast_functions() -> Iterator[tuple[Any, str, FunctionType]]:
    """Every function that decides on the fast path, with each module that imports it."""
    for module in [module for name, module in sys.modules.items() if name.startswith("ormis.operations.writing.")]:
        for name, value in vars(module).items():
            own = isinstance(value, FunctionType) and value.__module__ == fast_commit.__name__
            if own and not name.startswith("_"):
                yield module, name, value


@contextmanager
def closed_fast_path() -> Iterator[None]:
    """Inside it every commit takes the general path."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name, _ in [*fast_functions()]:
            patch.setattr(module, name, lambda *_: [])
        yield


@contextmanager
def opened_fast_path() -> Iterator[list[str]]:
    """Lists the commits of the block for which the fast path is chosen, by the name of the deciding function."""
    opened: list[str] = []

    def noting(function: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any) -> Any:
            found = function(*arguments)
            if found:
                opened.append(function.__name__)
            return found

        return noted

    with pytest.MonkeyPatch.context() as patch:
        for module, name, function in [*fast_functions()]:
            patch.setattr(module, name, noting(function))
        yield opened


def stored(raw: redis.Redis) -> Row:
    """The whole database, except the idempotency tokens."""
    found: Row = {}
    for key in raw.scan_iter():
        kind = raw.type(key)
        if key.startswith(b"ormis/once/"):
            continue
        if kind == b"hash":
            found[key] = raw.hgetall(key)
        elif kind == b"set":
            found[key] = raw.smembers(key)
        elif kind == b"zset":
            found[key] = {member: repr(score + 0.0) for member, score in raw.zrange(key, 0, -1, withscores=True)}
        elif kind == b"list":
            found[key] = raw.lrange(key, 0, -1)
        else:
            found[key] = raw.get(key)
    return found


def outcome(work: Callable[[], Any]) -> Any:
    """The result of the work, or the error that it raised."""
    try:
        return "done", work()
    except ormis.OrmisError as error:
        return type(error).__name__, str(error), repr(sorted(vars(error).items(), key=lambda item: item[0]))


def same_by_both_ways(
    raw: redis.Redis, seed: Callable[[], Any], work: Callable[[], Any], spoil: Callable[[redis.Redis], Any]
) -> Any:
    """Runs the work by the fast path and by the general path, on equal databases: both have the same outcome, which it
    returns.

    A refused work has changed nothing.
    """

    def run() -> Any:
        raw.flushall()
        with closed_fast_path():
            seed()
        spoil(raw)
        before = stored(raw)
        ended = outcome(work)
        after = stored(raw)
        if ended[0] != "done":
            assert after == before, f"{ended[0]} has changed something"
        return ended, after

    fast = run()
    with closed_fast_path():
        assert fast == run()
    return fast[0]


def make_list(raw: redis.Redis, key: bytes | str) -> None:
    """Makes the key a list, a type that no key of a model has."""
    raw.delete(key)
    raw.rpush(key, "x")


def spoiler(
    raw: redis.Redis, seed: Callable[[], Any], work: Callable[[], Any], number: int | None
) -> Callable[[redis.Redis], None]:
    """Gives one of the keys that the work leaves a wrong type, if `number` is given."""
    if number is None:
        return lambda _: None
    raw.flushall()
    with closed_fast_path():
        seed()
        outcome(work)
    keys = sorted(key for key in stored(raw) if key != b"ormis/models")
    return lambda raw: make_list(raw, keys[number % len(keys)])


def saved(record: Any) -> str:
    """The record after save()."""
    record.save()
    return repr(record.model_dump())


def changed(model: Model, pk: int, values: Row, **options: Any) -> str:
    """The record of this key after a save with other values; it may have been deleted."""
    record = model.objects.filter(pk=pk).first() or model(id=pk)
    for name, value in values.items():
        setattr(record, name, value)
    record.save(**({"update_fields": [*values]} if record.pk == MISSING else {}), **options)
    return repr(record.model_dump())


MISSING = 9


@LAW
@given(first=ROWS, row=ROWS, number=SPOILED)
@example(first={}, row={"n": 1, "n_sorted": 2, "name_equal": "a", "rate_sorted": 1.5}, number=5)
def test_a_new_object(db: ormis.Database, raw: redis.Redis, first: Row, row: Row, number: int | None) -> None:
    """Same hash, indexes, counter and key, with any key of a wrong type."""

    def seed() -> None:
        Every(**first).save()

    def work() -> str:
        return saved(Every(**row))

    same_by_both_ways(raw, seed, work, spoiler(raw, seed, work, number))


@LAW
@given(first=ROWS, rows=st.lists(ROWS, min_size=2, max_size=6), number=SPOILED)
def test_many_new_objects(
    db: ormis.Database, raw: redis.Redis, first: Row, rows: list[Row], number: int | None
) -> None:
    """Same hashes, indexes, counter and keys, with any key of a wrong type."""

    def seed() -> None:
        Every(**first).save()

    def work() -> str:
        return repr([one.model_dump() for one in Every.objects.bulk_create([Every(**row) for row in rows])])

    same_by_both_ways(raw, seed, work, spoiler(raw, seed, work, number))


@pytest.mark.parametrize("spoiled", [None, "cp_pair/index/n", "cp_pair/index/on=1", "cp_pair/ids"])
def test_more_new_objects_than_one_command_takes(db: ormis.Database, raw: redis.Redis, spoiled: str | None) -> None:
    """Objects whose keys go to one index in several commands: stored, and undone after a refusal."""

    def spoil(raw: redis.Redis) -> None:
        if spoiled is not None:
            make_list(raw, spoiled)

    def work() -> list[int | None]:
        pairs = [Pair(n=n, on=n % 1000 == 0) for n in range(4200)]
        return [pair.pk for pair in Pair.objects.bulk_create(pairs, batch_size=5000)]

    ended = same_by_both_ways(raw, lambda: Pair().save(), work, spoil)
    assert ended == ("done", [*range(2, 4202)]) if spoiled is None else ended[0] == "StoredDataError"


COUNTERS = st.sampled_from(["0", "1", "007", *map(str, (10**14, 10**15 - 2, 10**15 - 1, 10**15, *EDGES))]).filter(
    lambda text: "-" not in text
)


@LAW
@given(counter=COUNTERS, many=st.booleans(), occupied=st.booleans())
@example(counter=str(2**63 - 1), many=False, occupied=False)
@example(counter="3", many=True, occupied=True)
@example(counter="3", many=False, occupied=True)
def test_any_counter(db: ormis.Database, raw: redis.Redis, counter: str, many: bool, occupied: bool) -> None:
    """Same next keys for any counter, also if one of these keys exists already."""

    def seed() -> None:
        Every().save()

    def spoil(raw: redis.Redis) -> None:
        raw.set("cp_every/next_id", counter)
        if occupied:
            raw.set(f"cp_every:{int(counter) + (2 if many else 1)}", "x")

    def work() -> str:
        if many:
            return repr([one.pk for one in Every.objects.bulk_create([Every(n=1), Every(n=2), Every(n=3)])])
        return saved(Every(n=1))

    same_by_both_ways(raw, seed, work, spoil)


NO_COUNTS = ["", "abc", "-5", "-0", "+5", " 5", "5 ", "1.5", "1e3", "0x1f", "inf", "9" * 400]


@pytest.mark.parametrize(
    ("counter", "many"),
    [
        *((text, False) for text in NO_COUNTS),
        *((text, True) for text in NO_COUNTS),
    ],
)
def test_a_counter_that_is_no_count(db: ormis.Database, raw: redis.Redis, counter: str, many: bool) -> None:
    """A counter that is no number is refused, or incremented, by both paths."""

    def work() -> str:
        return repr([pair.pk for pair in Pair.objects.bulk_create([Pair() for _ in range(1 + many)])])

    same_by_both_ways(raw, lambda: Pair().save(), work, lambda raw: raw.set("cp_pair/next_id", counter))


@LAW
@given(first=ROWS, values=CHANGES, number=SPOILED, pk=st.sampled_from([1, 1, 1, 2, MISSING]))
@example(first={}, values={"n": 1}, number=None, pk=MISSING)
@example(first={}, values={"n_sorted": 1}, number=None, pk=MISSING)
@example(first={}, values={"n_sorted": 1, "name": "a", "on": True}, number=None, pk=1)
def test_an_update(db: ormis.Database, raw: redis.Redis, first: Row, values: Row, number: int | None, pk: int) -> None:
    """Same hash and indexes after changes of any fields, also if the object is gone or a key has a wrong type."""

    def seed() -> None:
        Every(**first).save()
        Every(n=2).save()

    def work() -> str:
        return changed(Every, pk, values)

    same_by_both_ways(raw, seed, work, spoiler(raw, seed, work, number))


@LAW
@given(rows=st.lists(BOUND_ROWS, max_size=2), values=BOUND_ROWS, number=SPOILED)
def test_an_update_beside_constraints(
    db: ormis.Database, raw: redis.Redis, rows: list[Row], values: Row, number: int | None
) -> None:
    """Same unique values, references and indexes over several fields, with any changed fields."""

    def seed() -> None:
        Every().save()
        Bound(code="w").save()
        for row in rows:
            outcome(Bound(**row).save)

    def work() -> str:
        return changed(Bound, 1, values)

    same_by_both_ways(raw, seed, work, spoiler(raw, seed, work, number))


TEXTS_OF_NO_COUNT = ["", "abc", "1.5", "+5", "-0", "007", " 5", "1e3", "9" * 400]
STARTS = INTEGERS.map(str) | st.sampled_from([None, *TEXTS_OF_NO_COUNT])


@settings(LAW, max_examples=examples(80))
@given(
    start=STARTS,
    delta=INTEGERS,
    minus=st.booleans(),
    name=st.sampled_from(["n", "count", "n_sorted"]),
    model=st.sampled_from([Every, Bound]),
    number=SPOILED,
)
@example(start="0", delta=-INT64, minus=False, name="n", model=Every, number=None)
@example(start="0", delta=-INT64, minus=False, name="n_sorted", model=Every, number=None)
@example(start="-1", delta=INT64, minus=True, name="n", model=Every, number=None)
@example(start=str(2**53 - 1), delta=1, minus=False, name="n", model=Bound, number=None)
@example(start=str(1 - 2**53), delta=1, minus=True, name="n_sorted", model=Bound, number=None)
@example(start=str(INT64 - 1), delta=1, minus=False, name="n", model=Every, number=None)
@example(start=str(-INT64), delta=-1, minus=False, name="n", model=Every, number=None)
@example(start="5", delta=1, minus=False, name="n_sorted", model=Every, number=2)
@example(start="-0", delta=0, minus=False, name="n_sorted", model=Every, number=None)
@example(start="007", delta=0, minus=False, name="n_sorted", model=Every, number=None)
def test_a_sum(
    db: ormis.Database,
    raw: redis.Redis,
    start: str | None,
    delta: int,
    minus: bool,
    name: str,
    model: Any,
    number: int | None,
) -> None:
    """The exact sum of any two integers, applied once; the same errors for a stored text that is no integer."""
    if model is Bound and name == "count":
        name = "n"

    whole = start is not None and start == _canonical(start)

    def seed() -> None:
        model(**{name: int(start) if start and whole else 1}).save()

    def spoil(raw: redis.Redis) -> None:
        key = f"{model.__schema__.key}:1"
        if whole:
            spoil_key(raw)
        elif start is None:
            raw.hdel(key, name)
        else:
            raw.hset(key, name, start)
            if name == "n_sorted" and start.lstrip("+-").isdigit():  # as the index entry would be
                raw.zadd(f"{model.__schema__.key}/index/{name}", {"1": float(start)})

    record = model(id=1)

    def work() -> str:
        record = model(id=1)
        setattr(record, name, F(name) - delta if minus else F(name) + delta)
        record.save(update_fields=[name])
        return repr(record.model_dump())

    spoil_key = spoiler(raw, seed, work, number)
    ended = same_by_both_ways(raw, seed, work, spoil)
    if ended[0] == "done" and start and whole:
        total = int(start) + (-delta if minus else delta)
        assert raw.hget(f"{model.__schema__.key}:1", name) == str(total).encode()
        setattr(record, name, total)
        assert ended[1] == repr(record.model_dump())


def _canonical(text: str) -> str | None:
    try:
        return str(int(text))
    except ValueError:
        return None


@pytest.mark.parametrize("name", ["n", "n_sorted"])
@pytest.mark.parametrize(
    ("spoiled", "summed"),
    [
        ("missing", True),
        ("missing", False),
        ("wrong type", True),
        ("wrong type", False),
        ("no key", True),
        ("no key", False),
    ],
)
def test_an_object_that_is_none(db: ormis.Database, raw: redis.Redis, spoiled: str, name: str, summed: bool) -> None:
    """Both paths refuse a key that is no object of the model: no hash, or one without the primary key."""

    def spoil(raw: redis.Redis) -> None:
        if spoiled == "missing":
            raw.delete("cp_every:1")
        elif spoiled == "wrong type":
            make_list(raw, "cp_every:1")
        else:
            raw.hdel("cp_every:1", "id")

    def work() -> str:
        record: Any = Every(id=1)
        setattr(record, name, F(name) + 1 if summed else 7)
        record.save(update_fields=[name])
        return repr(record.model_dump())

    ended = same_by_both_ways(raw, lambda: Every().save(), work, spoil)
    assert ended[0] == ("StoredDataError" if spoiled == "wrong type" else "DoesNotExist")


@pytest.mark.single_server("counts the commands of one server")
def test_the_fast_path_is_open(db: ormis.Database, raw: redis.Redis) -> None:
    """The comparisons above compare two paths: the fast one is chosen, and the server takes it, for the intended
    commits.
    """
    one = Every().save()

    def commands() -> set[str]:
        return {name.removeprefix("cmdstat_") for name in raw.info("commandstats")}

    def taken(work: Callable[[], Any]) -> tuple[list[str], set[str]]:
        raw.config_resetstat()
        with opened_fast_path() as opened:
            work()
        return opened, commands()

    def update(**values: Any) -> Callable[[], Any]:
        def work() -> None:
            for name, value in values.items():
                setattr(one, name, value)
            one.save()

        return work

    opened, sent = taken(lambda: Every(n=1, n_sorted=2, name_equal="a").save())
    assert (len(opened), sent & {"incr", "hset", "zadd", "sadd"}) == (1, {"incr", "hset", "zadd", "sadd"})
    opened, sent = taken(update(n=1, name="a"))
    assert (len(opened), sent & {"hmget", "hexists", "hset", "zadd"}) == (1, {"hexists", "hset"})
    opened, sent = taken(update(n=2, n_sorted=3))
    assert (len(opened), sent & {"hmget", "hexists", "hset", "zadd"}) == (1, {"hexists", "hset", "zadd"})
    assert len(taken(update(n=F("n") + 1))[0]) == 1
    fast = {name: row["calls"] for name, row in raw.info("commandstats").items() if "hmget" in name}
    assert len(taken(lambda: Every.objects.bulk_create([Every(), Every()]))[0]) == 1
    with closed_fast_path():
        assert taken(update(n=F("n") + 1))[0] == []
    general = {name: row["calls"] for name, row in raw.info("commandstats").items() if "hmget" in name}
    assert list(fast.values()) == [1] != list(general.values())
