"""ormis.observe(): which operations and calls an observer is told of; and the log of slow operations."""

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import ModuleType
from typing import Any

import pytest
import redis

import ormis
from caching import Town, caching, warm
from modes import MODES, do
from ormis import CASCADE, Field, ForeignKey, ManyToMany, OneToOne, Related, Sum, capture_calls
from ormis.cluster import single
from ormis.descriptors.forward import ForwardRelation
from ormis.descriptors.linked import LinkManager
from ormis.drivers import aio, sync
from ormis.instrumentation.slow import log_slow_queries
from ormis.querysets.writing import Writing
from servers import Server


class Label(ormis.Model):
    name: str = Field(unique=True)

    class Meta:
        key = "obs_label"


class Poll(ormis.Model):
    text: str
    votes: int = Field(default=0, index=True)
    labels: ManyToMany[Label] = ManyToMany(related_name="polls")
    options: Related["Option"] = Related()

    class Meta:
        key = "obs_poll"


class Option(ormis.Model):
    poll: ForeignKey[Poll | None] = ForeignKey(on_delete=CASCADE, related_name="options")
    text: str = ""

    class Meta:
        key = "obs_option"


class Result(ormis.Model):
    poll: OneToOne[Poll] = OneToOne(on_delete=CASCADE, related_name="result")

    class Meta:
        key = "obs_result"


class Audited(ormis.Model):
    text: str = ""

    class Meta:
        key = "obs_audited"

    @ormis.after_save
    def note(self, *_: Any) -> None:
        Label(name=f"saved {self.text}").save()


class Recorder:
    """Keeps the events as they end."""

    def __init__(self) -> None:
        self.ended: list[ormis.OperationEvent] = []
        self.called: list[ormis.CallEvent] = []

    @contextmanager
    def operation(self, event: ormis.OperationEvent, /) -> Iterator[None]:
        try:
            yield
        finally:
            self.ended.append(event)

    @contextmanager
    def call(self, event: ormis.CallEvent, /) -> Iterator[None]:
        self.called.append(event)
        yield

    def wants_plan(self, event: ormis.OperationEvent, /) -> bool:
        return False

    @property
    def names(self) -> list[str]:
        return [str(event) for event in self.ended]

    def last(self) -> ormis.OperationEvent:
        return self.ended[-1]


@pytest.fixture
def poll(db: ormis.Database) -> Poll:
    """A stored object; the database has looked at its layout."""
    return Poll(text="Tea?", votes=3).save()


@pytest.fixture
def recorder(poll: Poll) -> Iterator[Recorder]:
    """An observer of everything."""
    recorder = Recorder()
    with ormis.observe(recorder):
        yield recorder


OPERATIONS: list[tuple[str, int | None, Callable[[Poll], tuple[Any, str, tuple[Any, ...], dict[str, Any]]]]] = [
    ("get Poll", 1, lambda poll: (Poll, "get", (poll.pk,), {})),
    ("save Poll", 1, lambda poll: (poll, "save", (), {})),
    ("refresh_from_db Poll", None, lambda poll: (poll, "refresh_from_db", (), {})),
    ("expire Poll", None, lambda poll: (poll, "expire", (60,), {})),
    ("persist Poll", None, lambda poll: (poll, "persist", (), {})),
    ("ttl Poll", None, lambda poll: (poll, "ttl", (), {})),
    ("delete Poll", 1, lambda poll: (poll, "delete", (), {})),
    ("create Poll", 1, lambda poll: (Poll.objects, "create", (), {"text": "x"})),
    ("bulk_create Poll", 2, lambda poll: (Poll.objects, "bulk_create", ([Poll(text="x"), Poll(text="y")],), {})),
    ("bulk_update Poll", 1, lambda poll: (Poll.objects, "bulk_update", ([poll], ["votes"]), {})),
    ("get_or_create Poll", 1, lambda poll: (Poll.objects, "get_or_create", (), {"text": "Tea?"})),
    ("update_or_create Poll", 1, lambda poll: (Poll.objects, "update_or_create", ({"votes": 1},), {"text": "Tea?"})),
    ("get Poll", 1, lambda poll: (Poll.objects, "get", (), {"votes": 3})),
    ("first Poll", 1, lambda poll: (Poll.objects, "first", (), {})),
    ("first Poll", 0, lambda poll: (Poll.objects.filter(votes=9), "first", (), {})),
    ("last Poll", 1, lambda poll: (Poll.objects, "last", (), {})),
    ("latest Poll", 1, lambda poll: (Poll.objects, "latest", ("votes",), {})),
    ("earliest Poll", 1, lambda poll: (Poll.objects, "earliest", ("votes",), {})),
    ("count Poll", None, lambda poll: (Poll.objects, "count", (), {})),
    ("exists Poll", None, lambda poll: (Poll.objects, "exists", (), {})),
    ("contains Poll", None, lambda poll: (Poll.objects, "contains", (poll,), {})),
    ("rank Poll", None, lambda poll: (Poll.objects.order_by("votes"), "rank", (poll,), {})),
    ("page Poll", 1, lambda poll: (Poll.objects.order_by("votes"), "page", (5,), {})),
    ("around Poll", 1, lambda poll: (Poll.objects.order_by("votes"), "around", (poll, 2), {})),
    ("aggregate Poll", None, lambda poll: (Poll.objects, "aggregate", (Sum("votes"),), {})),
    ("in_bulk Poll", 1, lambda poll: (Poll.objects, "in_bulk", ([poll.pk],), {})),
    ("explain Poll", None, lambda poll: (Poll.objects, "explain", (), {})),
    ("update Poll", 1, lambda poll: (Poll.objects, "update", (), {"votes": 8})),
    ("claim Poll", 1, lambda poll: (Poll.objects.filter(votes=3), "claim", (1,), {"votes": 4})),
    ("expire Poll", 1, lambda poll: (Poll.objects, "expire", (60,), {})),
    ("persist Poll", 1, lambda poll: (Poll.objects, "persist", (), {})),
    ("delete Poll", 1, lambda poll: (Poll.objects.all(), "delete", (), {})),
    ("create Option", 1, lambda poll: (poll.options, "create", (), {"text": "x"})),
    ("get_or_create Option", 1, lambda poll: (poll.options, "get_or_create", (), {"text": "x"})),
    ("add Option", None, lambda poll: (poll.options, "add", (), {})),
    ("clear Option", None, lambda poll: (poll.options, "clear", (), {})),
    ("create Label", 1, lambda poll: (poll.labels, "create", (), {"name": "x"})),
    ("get_or_create Label", 1, lambda poll: (poll.labels, "get_or_create", (), {"name": "x"})),
    ("update_or_create Label", 1, lambda poll: (poll.labels, "update_or_create", (), {"name": "x"})),
    ("set Label", None, lambda poll: (poll.labels, "set", ([],), {})),
    ("remove Label", None, lambda poll: (poll.labels, "remove", (), {})),
]


@MODES
@pytest.mark.parametrize(("name", "rows", "make"), OPERATIONS, ids=[f"{at}-{o[0]}" for at, o in enumerate(OPERATIONS)])
async def test_an_operation_is_one_event(
    poll: Poll, recorder: Recorder, mode: str, name: str, rows: int | None, make: Callable[[Poll], Any]
) -> None:
    """Each method, sync and async, is one event with the model, the rows and the calls that capture_calls() lists."""
    owner, method, arguments, options = make(poll)
    with capture_calls() as calls:
        await do(mode, owner, method, *arguments, **options)
    assert recorder.names == [name]
    event = recorder.last()
    assert (event.rows, event.calls, event.error, event.around) == (rows, len(calls), None, None)
    assert event.duration > 0
    assert [call for event in recorder.called for call in event.calls] == [*map(_same, calls, recorder.called)]
    assert all(call.operation is event for call in recorder.called)


def _same(sent: Any, event: ormis.CallEvent) -> Any:
    """The call of the event, if it is the one that was sent: capture_calls() shows the prefix."""
    (call,) = event.calls
    assert type(call) is type(sent)
    return call


@MODES
async def test_a_short_way_is_one_call(poll: Poll, recorder: Recorder, mode: str) -> None:
    """The short ways of get() and save(), which capture_calls() would leave, are one call each."""
    poll.votes += 1
    await do(mode, poll, "save")
    await do(mode, Poll, "get", poll.pk)
    assert [event.calls for event in recorder.ended] == [1, 1]
    assert [event.commands for event in recorder.called] == [["EVALSHA"], ["HMGET"]]
    assert recorder.called[0].scripts != []


@MODES
async def test_evaluating_a_queryset_is_a_query(poll: Poll, recorder: Recorder, mode: str) -> None:
    """Going through a queryset is one event; through a cached one, none. iterator() is one per batch."""
    Poll(text="two").save()
    queryset = Poll.objects.order_by("votes")
    for _ in range(2):
        found = await queryset if mode == "async" else [*queryset]
    assert len(found) == 2
    iterated = [x async for x in Poll.objects.aiterator()] if mode == "async" else [*Poll.objects.iterator()]
    assert len(iterated) == 2
    events = [event for event in recorder.ended if event.name != "save"]
    assert [(event.name, event.rows) for event in events][:2] == [("query", 2), ("iterator", 2)]
    assert sum(event.rows or 0 for event in events[1:]) == 2


def test_what_is_loaded_on_first_use(poll: Poll, recorder: Recorder) -> None:
    """Foreign keys, the other side of one-to-one relations and deferred fields are `load`, with the relation."""
    option, _ = Option(poll=poll).save(), Result(poll=poll).save()
    recorder.ended.clear()
    assert Option.get(option.pk).poll == poll
    assert Poll.get(poll.pk).result is not None
    assert Poll.objects.only("text").get().votes == 3
    loads = [(str(event), event.relation, event.calls) for event in recorder.ended if event.name == "load"]
    assert loads == [("load Poll", "Option.poll", 1), ("load Result", "Poll.result", 1), ("load Poll", "", 1)]


@MODES
async def test_an_error_is_in_the_event(poll: Poll, recorder: Recorder, mode: str) -> None:
    """The error of an operation is in its event, and reaches the caller."""
    with pytest.raises(Poll.DoesNotExist) as raised:
        await do(mode, Poll, "get", 99)
    assert recorder.last().error is raised.value


@MODES
async def test_a_block_is_an_operation_with_parts(poll: Poll, recorder: Recorder, mode: str) -> None:
    """atomic() is an event around those inside it and its end, which sends."""
    poll.votes = 9
    if mode == "async":
        async with ormis.atomic():
            await poll.asave()
    else:
        with ormis.atomic():
            poll.save()
    assert recorder.names == ["save Poll", "commit", "atomic"]
    save, commit, atomic = recorder.ended
    assert save.around is commit.around is atomic
    assert (save.calls, commit.calls, atomic.calls) == (0, 1, 1)


def test_a_block_that_is_given_up(poll: Poll, recorder: Recorder) -> None:
    """A block that raises has the error and no end; what comes after it is outside of it."""
    with pytest.raises(ZeroDivisionError), ormis.atomic():
        poll.save()
        _ = 1 / 0
    assert recorder.names == ["save Poll", "atomic"]
    assert isinstance(recorder.last().error, ZeroDivisionError)
    Poll.get(poll.pk)
    assert recorder.last().around is None


@MODES
async def test_a_block_that_is_refused(poll: Poll, recorder: Recorder, mode: str) -> None:
    """The error at the end of a block is that of the end and of the block."""
    Label(name="a").save()
    recorder.ended.clear()
    with pytest.raises(ormis.UniqueViolation) as raised:
        if mode == "async":
            async with ormis.atomic():
                await Label(name="a").asave()
        else:
            with ormis.atomic():
                Label(name="a").save()
    assert [event.error for event in recorder.ended] == [None, raised.value, raised.value]


def test_operations_of_hooks_are_parts(poll: Poll, recorder: Recorder) -> None:
    """What a hook does is inside the operation that runs it, and its calls count for both."""
    Audited(text="x").save()
    inner, outer = recorder.ended
    assert (str(inner), str(outer)) == ("save Label", "save Audited")
    assert inner.around is outer
    assert (inner.calls, outer.calls) == (1, 2)


async def test_tasks_have_their_own_operations(poll: Poll, recorder: Recorder) -> None:
    """Operations of several tasks at the same time do not mix."""
    await asyncio.gather(*(Poll.aget(poll.pk) for _ in range(5)), Poll.objects.acount())
    assert sorted(recorder.names) == ["count Poll", *["get Poll"] * 5]
    assert all(event.around is None for event in recorder.ended)
    assert sum(event.calls for event in recorder.ended) == len(recorder.called)


@pytest.mark.single_server("connect(cache=) is not there yet on a cluster")
def test_the_cache_is_a_hit_or_a_miss(raw: redis.Redis, url: str) -> None:
    """A read by key of a model with a cache says whether the cache had it; other operations say nothing."""
    with caching(url) as database:
        town = Town(name="Brno").save()
        warm(database, lambda: Town.get(town.pk))
        recorder = Recorder()
        with ormis.observe(recorder):
            Town.get(town.pk)
            Town.get(town.pk, fresh=True)
            [*Town.objects.all()]
    assert [(event.cache, event.calls) for event in recorder.ended] == [("hit", 0), ("miss", 1), (None, 1)]


@pytest.mark.single_server("db.replica is not there yet on a cluster")
def test_one_database_is_observed(poll: Poll, db: ormis.Database, server: Server) -> None:
    """An observer of one database sees nothing of another one, nor calls of no operation."""
    recorder = Recorder()
    with ormis.connect(server.url, prefix="obs_other:") as other, ormis.observe(recorder, db):
        Poll(text="there").save()
        Poll.objects.using(other).count()
        Poll.objects.using(db).count()
        Poll.objects.using(db.replica).count()
        poll.save(using=db)
        ormis.check(db, models=[Poll])
    assert recorder.names == ["count Poll", "count Poll", "save Poll"]
    assert all(event.operation is not None for event in recorder.called)


def test_calls_of_no_operation(poll: Poll, db: ormis.Database, recorder: Recorder) -> None:
    """Calls of check() and inspect() are seen by observers of all databases, without an operation."""
    ormis.check(db, models=[Poll])
    assert recorder.ended == []
    assert recorder.called != []
    assert all(event.operation is None for event in recorder.called)


def test_observers_come_and_go(poll: Poll) -> None:
    """Two observers see the same; after stop(), which may be called again, one sees nothing."""
    first, second = Recorder(), Recorder()
    one, two = ormis.observe(first), ormis.observe(second)
    Poll.get(poll.pk)
    one.stop()
    one.stop()
    Poll.get(poll.pk)
    two.stop()
    Poll.get(poll.pk)
    assert (len(first.ended), len(second.ended)) == (1, 2)


def test_nothing_is_in_the_way_when_nobody_observes(poll: Poll) -> None:
    """Every method and function that observe() replaces is the same one as before, once the last observer has gone."""
    owners: list[type[Any] | ModuleType] = [ormis.Model, Writing, ForwardRelation, LinkManager, sync, aio, single]
    before = [dict(vars(owner)) for owner in owners]
    with ormis.observe(Recorder()):
        assert vars(ormis.Model)["save"] is not before[0]["save"]
        with ormis.observe(Recorder()):
            pass
        assert vars(ormis.Model)["save"] is not before[0]["save"]
    changed = [
        (owner, name)
        for owner, names in zip(owners, before, strict=True)
        for name in names
        if vars(owner)[name] is not names[name]
    ]
    assert changed == []


def test_methods_that_are_observed_look_the_same(recorder: Recorder) -> None:
    """Signatures, docstrings and what is async stay; a class that is made meanwhile overrides save() as always."""
    assert "update_fields" in inspect.signature(Poll.save).parameters
    assert inspect.iscoroutinefunction(Poll.asave)
    assert (Poll.get.__doc__ or "").startswith("The object with this primary key")

    class Own(ormis.Model):
        text: str = ""

        class Meta:
            key = "obs_own"

        def save(self, **options: Any) -> Any:
            self.text = "own"
            return super().save(**options)

        async def asave(self, **options: Any) -> Any:
            return await super().asave(**options)

    assert Own.objects.create().text == "own"
    assert recorder.names == ["save Own", "create Own"]
    assert not Poll.__own_save__


def test_what_is_no_observer() -> None:
    """observe() names what it was given."""
    given: Any = print
    with pytest.raises(TypeError, match=r"observe\(\) takes an object with the methods of ormis.Observer"):
        ormis.observe(given)


def test_an_unconnected_model_says_so(recorder: Recorder, db: ormis.Database) -> None:
    """Without a database the error is that of the operation."""
    db.close()
    with pytest.raises(ormis.NotConnected):
        Poll.get(1)
    with pytest.raises(TypeError, match="using="):
        Poll(text="x").save(using="other")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert recorder.ended == []


@pytest.mark.xdist_group("cluster")
@MODES
async def test_short_ways_on_a_cluster(cluster_url: str, mode: str) -> None:
    """The short ways of get() and save() there are one call each, to one partition."""
    recorder = Recorder()
    with ormis.connect(f"{cluster_url}?partitions=4") as db:
        poll = Poll(text="x").save()
        assert (await Poll.aget(poll.pk)).pk == poll.pk
        with ormis.observe(recorder):
            for _ in range(2):
                poll.votes += 1
                await do(mode, poll, "save")
                await do(mode, Poll, "get", poll.pk)
                await do(mode, Poll(text="new"), "save")
        await db.aclose()
    assert [event.calls for event in recorder.ended] == [1] * 6
    assert [len(event.partitions) for event in recorder.ended] == [1] * 6
    assert [event.commands for event in recorder.called] == [["EVALSHA"], ["HMGET"], ["EVALSHA"]] * 2


@pytest.mark.xdist_group("cluster")
@MODES
async def test_a_cluster(cluster_url: str, mode: str) -> None:
    """On a cluster the partitions are named, and each call to one of them counts."""
    recorder = Recorder()
    with ormis.connect(f"{cluster_url}?partitions=4") as db:
        polls = [Poll(text=str(number)).save() for number in range(8)]
        assert await Poll.objects.acount() == 8
        with ormis.observe(recorder), capture_calls() as calls:
            await do(mode, Poll, "get", polls[0].pk)
            await do(mode, polls[0], "save")
            await do(mode, Poll.objects.order_by("text"), "first")
        await db.aclose()
    assert sum(event.calls for event in recorder.ended) == len(calls)
    assert len(recorder.ended[0].partitions) == 1
    assert recorder.ended[-1].partitions == {0, 1, 2, 3}


# The log of slow operations ------------------------------------------------------------------------------------------


@pytest.fixture
def slow(poll: Poll, caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """The log, in which each operation is slow."""
    with caplog.at_level(logging.WARNING, "ormis"), log_slow_queries(0):
        yield caplog


@MODES
async def test_a_slow_operation_is_a_warning(poll: Poll, slow: pytest.LogCaptureFixture, mode: str) -> None:
    """The line has the model, the calls, the rows and the place that has called."""
    line = inspect.currentframe().f_lineno + 1
    await do(mode, Poll.objects.filter(votes=3), "first")
    (record,) = slow.records
    assert (record.name, record.levelname) == ("ormis", "WARNING")
    assert record.getMessage().startswith("first Poll took 0.")
    assert ", in 1 call, 1 row, at " in record.getMessage()
    values: Any = record
    assert (values.operation, values.model, values.calls, values.rows, values.plan) == ("first", "Poll", 1, 1, "")
    assert values.duration > 0
    path, _, number = values.place.rpartition(":")
    assert path.endswith("modes.py") or int(number) == line


def test_the_place_is_that_of_the_application(poll: Poll, slow: pytest.LogCaptureFixture) -> None:
    """The place is the line that has called ormis, also of a queryset that is gone through and of a relation."""
    lines = [inspect.currentframe().f_lineno + at for at in (1, 2)]
    _ = Poll.get(poll.pk)
    _ = [*Poll.objects.all()]
    assert [vars(record)["place"] for record in slow.records] == [f"{__file__}:{line}" for line in lines]


async def test_a_task_of_its_own_has_no_place(poll: Poll, slow: pytest.LogCaptureFixture) -> None:
    """A coroutine of ormis that is a task by itself has no caller; the code that runs the loop is not named."""
    await asyncio.gather(Poll.aget(poll.pk))
    assert [vars(record)["place"] for record in slow.records] == ["?"]


def test_an_error_of_a_slow_operation(poll: Poll, slow: pytest.LogCaptureFixture) -> None:
    """What it raised is in the line."""
    with pytest.raises(Poll.DoesNotExist):
        Poll.get(99)
    assert "raised DoesNotExist" in slow.text


def test_a_fast_operation_is_not_logged(poll: Poll, caplog: pytest.LogCaptureFixture) -> None:
    """Below the threshold nothing is logged."""
    with caplog.at_level(logging.WARNING, "ormis"), ormis.log_slow_queries(3600):
        Poll.get(poll.pk)
    assert caplog.records == []


def test_a_block_is_logged_by_its_end(poll: Poll, slow: pytest.LogCaptureFixture) -> None:
    """The time that the application spends in a block is not ormis's."""
    with ormis.atomic():
        pass
    assert [vars(record)["operation"] for record in slow.records] == ["commit"]


@MODES
async def test_the_plan_of_a_slow_query(poll: Poll, caplog: pytest.LogCaptureFixture, mode: str) -> None:
    """With explain=True a slow query has its plan, by one more call; without it there is none."""
    found = Poll.objects.filter(votes=3)
    for explain, expected in ((False, 1), (True, 2)):
        with caplog.at_level(logging.WARNING, "ormis"), ormis.log_slow_queries(0, explain=explain):
            with capture_calls() as calls:
                await do(mode, found, "first")
            assert len(calls) == expected
    plans = [vars(record)["plan"] for record in caplog.records]
    assert plans == ["", "Poll: 1 objects; sorted index on votes: 1 of 1"]
    assert [vars(record)["calls"] for record in caplog.records] == [1, 1]


@MODES
async def test_the_plan_of_a_get_has_its_conditions(poll: Poll, caplog: pytest.LogCaptureFixture, mode: str) -> None:
    """The conditions that get() is given are part of its plan; a plan that can't be had says why."""
    with caplog.at_level(logging.WARNING, "ormis"), ormis.log_slow_queries(0, explain=True):
        await do(mode, Poll.objects, "get", votes=3)
        await do(mode, Poll.objects.all()[:1], "get")
        await do(mode, Poll.objects.filter(votes=3), "update", votes=3)
        await do(mode, Poll, "get", poll.pk)
    plans = [vars(record)["plan"] for record in caplog.records]
    assert "sorted index on votes" in plans[0]
    assert "sorted index on votes" in plans[2]
    assert plans[3] == ""
    assert all(plans[:3])


@pytest.mark.parametrize("threshold", [-1, float("nan"), float("inf"), True, "1"])
def test_what_is_no_threshold(threshold: Any) -> None:
    """log_slow_queries() refuses what is no number of seconds."""
    with pytest.raises(ValueError, match=r"log_slow_queries\(.*\): give seconds"):
        ormis.log_slow_queries(threshold)


def test_an_observer_may_do_nothing(poll: Poll) -> None:
    """Context managers of the standard library will do."""

    class Idle:
        def operation(self, event: ormis.OperationEvent, /) -> AbstractContextManager[object]:
            return nullcontext()

        def call(self, event: ormis.CallEvent, /) -> AbstractContextManager[object]:
            return nullcontext()

        def wants_plan(self, event: ormis.OperationEvent, /) -> bool:
            return True

    with ormis.observe(Idle()):
        assert Poll.objects.get().pk == poll.pk
