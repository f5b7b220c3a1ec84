"""The ways of a claim on the server: the shortest one, that along an index, the general one. They write the same."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ormis
from ormis import F, Field, Index
from ormis.drivers import sync
from ormis.errors import StoredDataError
from ormis.operations.writing import fast_claim
from ormis.planning import plan_cache

START = datetime(2026, 3, 1, tzinfo=UTC)


class Task(ormis.Model):
    """Has several indexes that a claim may change."""

    state: str = "queued"
    shop: str = "a"
    due: datetime = START
    rank: int = Field(default=0, index=True)
    worker: str | None = Field(default=None, index=True)
    note: str = ""
    blob: bytes = b""

    class Meta:
        key = "claim_way_task"
        indexes = [Index("state", "due"), Index("shop", "state", "rank")]


class Single(ormis.Model):
    """Has one index that depends on its state."""

    state: str = "queued"
    shop: str = "a"
    due: datetime = START
    rank: int = Field(default=0, index=True)
    worker: str | None = None
    note: str = ""
    blob: bytes = b""

    class Meta:
        key = "claim_way_single"
        indexes = [Index("state", "due")]


class Tiny(ormis.Model):
    """Has hardly more than what is written."""

    state: str = "queued"
    due: int = 0

    class Meta:
        key = "claim_way_tiny"
        indexes = [Index("state", "due")]


@contextmanager
def general_way() -> Iterator[None]:
    """Closes the other ways."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast_claim, "_open", lambda *_: False)
        plan_cache._prepared_plan.cache_clear()
        yield
    plan_cache._prepared_plan.cache_clear()


TEXTS = st.sampled_from(["queued", "running", "a/b", "#x", "ü" * 150, ""])
SHOPS = st.sampled_from(["a", "b/c", "#"])
DUES = st.integers(0, 4).map(lambda hours: START + timedelta(hours=hours))
TASKS = st.builds(
    dict,
    state=TEXTS,
    shop=SHOPS,
    due=DUES,
    rank=st.integers(-3, 3),
    worker=st.sampled_from([None, "w", "v/1"]),
    blob=st.sampled_from([b"", b"\xff\x00"]),
)
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "state": TEXTS,
        "due": st.one_of(DUES, st.just(F("due") + timedelta(hours=9))),
        "rank": st.one_of(st.integers(-3, 3), st.just(F("rank") + 10)),
        "worker": st.sampled_from([None, "w", "x"]),
        "note": st.sampled_from(["", "done"]),
        "blob": st.sampled_from([b"\xfe"]),
    },
).filter(bool)


@st.composite
def claims(draw: st.DrawFn) -> tuple[dict[str, Any], str, int, dict[str, Any]]:
    """Conditions, an order, a number, changes."""
    order = draw(st.sampled_from(["due", "-due", "rank", "-rank"]))
    where: dict[str, Any] = {"state": draw(TEXTS)}
    if "rank" in order:
        where["shop"] = draw(SHOPS)
    if draw(st.booleans()):
        bound = draw(st.sampled_from(["lt", "lte", "gt", "gte"]))
        where[f"{order.strip('-')}__{bound}"] = draw(DUES if "due" in order else st.integers(-2, 2))
    return where, order, draw(st.sampled_from([1, 1, 2, 5])), draw(CHANGES)


def stored(raw: redis.Redis) -> dict[bytes, Any]:
    """Every key of the model and its contents."""
    contents: dict[bytes, Any] = {}
    for key in raw.keys("claim_way_*"):
        kind = raw.type(key)
        if kind == b"hash":
            contents[key] = raw.hgetall(key)
        elif kind == b"set":
            contents[key] = raw.smembers(key)
        else:
            contents[key] = raw.zrange(key, 0, -1, withscores=True) if kind == b"zset" else raw.get(key)
    return contents


def claim(model: Any, where: dict[str, Any], order: str, number: int, changes: dict[str, Any]) -> list[dict[str, Any]]:
    """What is claimed by this; the same again, which goes the shortest way if it can; "refused" if it is."""
    claimed: list[dict[str, Any]] = []
    for _ in range(3):
        try:
            some = model.objects.filter(**where).order_by(order).claim(number, **changes)
        except ValueError:
            return [*claimed, {"refused": True}]
        claimed += [one.model_dump() for one in some]
    return claimed


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    model=st.sampled_from([Task, Single]),
    tasks=st.lists(TASKS, max_size=8),
    program=st.lists(claims(), min_size=1, max_size=3),
)
def test_all_ways_write_the_same(
    db: ormis.Database, raw: redis.Redis, model: Any, tasks: list[dict[str, Any]], program: list[Any]
) -> None:
    """The objects that are returned, the hashes and the indexes are those of the general way."""

    def run() -> tuple[list[Any], dict[bytes, Any]]:
        raw.flushdb()
        model.objects.bulk_create([model(**task) for task in tasks])
        claimed = [claim(model, *one) for one in program]
        assert ormis.check().ok
        return claimed, stored(raw)

    ways = run()
    with general_way():
        assert run() == ways


def due(**conditions: Any) -> ormis.QuerySet[Single]:
    """What is to be done, in order."""
    return Single.objects.filter(state="queued", **conditions).order_by("due")


def by_rank(**conditions: Any) -> ormis.QuerySet[Task]:
    """The tasks to be done, in order."""
    return Task.objects.filter(state="queued", shop="a", **conditions).order_by("-rank")


WAYS: dict[str, tuple[ormis.QuerySet[Any], int, dict[str, Any]]] = {
    "the shortest": (due(), 1, {"state": "running", "note": "n"}),
    "along an index": (due(), 2, {"note": "n", "due": START + timedelta(days=1), "state": "running"}),
    "a new score": (due(due__lt=START + timedelta(hours=9)), 2, {"due": START + timedelta(days=1), "note": "n"}),
    "several indexes": (by_rank(rank__lte=5), 2, {"state": "running", "worker": "w", "rank": F("rank") + 1}),
    "a removed value": (due(), 1, {"state": "running", "worker": None}),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("right", ["-zadd", "-hset", "-hdel", "-sadd"])
def test_a_refused_write_leaves_nothing(db: ormis.Database, raw: redis.Redis, url: str, way: str, right: str) -> None:
    """A user without one of the rights: all is as it was, or all is done where the command is not needed."""
    asked, number, changes = WAYS[way]
    hours = [timedelta(hours=hour) for hour in range(4)]
    for model in (Task, Single):
        model.objects.bulk_create([model(due=START + each, worker="v", note="old", rank=1) for each in hours])
    before = stored(raw)
    raw.execute_command("ACL", "SETUSER", "limited", "on", ">pw", "~*", "+@all", right)
    try:
        with ormis.connect(url.replace("unix://", "unix://limited:pw@")) as limited:
            for _ in range(2):
                try:
                    claimed = asked.using(limited).claim(number, **changes)
                except redis.exceptions.NoPermissionError:
                    assert stored(raw) == before
                else:
                    assert len(claimed) == number
    finally:
        raw.acl_deluser("limited")
    assert ormis.check(db).ok


@pytest.fixture
def replies(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The replies of the calls of this test."""
    send, replies = sync.send, list[Any]()

    def sent(*arguments: Any) -> Any:
        replies.append(send(*arguments))
        return replies[-1]

    monkeypatch.setattr(sync, "send", sent)
    return replies


@pytest.mark.single_server("counts the replies of the driver of one server")
def test_one_object_goes_the_shortest_way(db: ormis.Database, replies: list[Any]) -> None:
    """The reply has the texts that are not known, and the object has all of them; again with other values."""
    hours = [timedelta(hours=hour) for hour in range(6)]
    Single.objects.bulk_create(
        [Single(state=f"queued/{n % 2}", due=START + hour, note=f"n{n}", rank=n) for n, hour in enumerate(hours)]
    )
    seen: list[tuple[str, int, str | None]] = []
    for turn in range(3):
        asked = Single.objects.filter(state=f"queued/{turn % 2}").order_by("due")
        (one,) = asked.claim(1, state=f"at#{turn}", blob=b"\xff")
        assert len(replies[-1]) == 6  # neither state nor blob
        assert one == Single.objects.get(pk=one.pk)
        seen.append((one.state, one.rank, one.worker))
    assert seen == [("at#0", 0, None), ("at#1", 1, None), ("at#2", 2, None)]


@pytest.mark.single_server("counts the replies of the driver of one server")
def test_models_of_few_columns(db: ormis.Database, replies: list[Any]) -> None:
    """So few texts are no reply of the shortest way: a written one is read as well."""
    Tiny.objects.bulk_create([Tiny(due=due) for due in (3, 1, 2)])
    for due_then in (1, 2, 3):
        (one,) = Tiny.objects.filter(state="queued").order_by("due").claim(1, state="done")
        assert (one.due, one.state, len(replies[-1])) == (due_then, "done", 3)
    assert Tiny.objects.filter(state="queued").order_by("due").claim(1, state="done") == []


def test_values_of_a_known_claim_are_checked(db: ormis.Database) -> None:
    """As at the first time: a value that does not fit, one that leaves the object where it is, an unknown field."""
    Single.objects.bulk_create([Single(due=START + timedelta(hours=hour)) for hour in range(5)])
    assert [task.pk for task in due().claim(1, state="running", rank=1)] == [1]
    assert [task.pk for task in due().claim(1, state="running", rank="2")] == [2]  # type: ignore[arg-type]
    for rank in ("x", None, [1]):
        with pytest.raises((ValueError, ormis.IntegrityError), match="rank"):
            due().claim(1, state="running", rank=rank)
    with pytest.raises(ValueError, match="still meet"):
        due().claim(1, state="queued", rank=1)
    assert [task.pk for task in due().claim(1, state="running", rank=F("rank") + 4)] == [3]
    assert [task.rank for task in Single.objects.order_by("pk")] == [1, 2, 4, 0, 0]


def test_a_text_that_does_not_convert(db: ormis.Database, raw: redis.Redis) -> None:
    """Is named, with its key."""
    Single(due=START).save()
    Single(due=START + timedelta(hours=1)).save()
    due().claim(1, state="running")
    raw.hset("claim_way_single:2", "rank", "many")
    with pytest.raises(StoredDataError, match=r"Single\.rank of the key 'claim_way_single:2' holds 'many'"):
        due().claim(1, state="running")


@pytest.mark.parametrize("broken", ["the hash", "the index", "the other index", "no hash"])
def test_bad_data_is_left_to_the_general_way(db: ormis.Database, raw: redis.Redis, broken: str) -> None:
    """A key of a wrong type is named, an object without a hash is passed over, and nothing is half done."""
    Single.objects.bulk_create([Single(due=START + timedelta(hours=hour)) for hour in range(2)])
    due().claim(1, state="first")
    name = {
        "the index": "/index/state=queued/due",
        "the other index": "/index/state=running/due",
    }.get(broken, ":2")
    raw.delete(f"claim_way_single{name}")
    if broken == "no hash":
        assert due().claim(1, state="running") == []
        return
    raw.set(f"claim_way_single{name}", "x")
    before = stored(raw)
    with pytest.raises(StoredDataError, match="holds a string"):
        due().claim(1, state="running")
    assert stored(raw) == before
