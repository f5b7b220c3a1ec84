"""claim() of a queryset: its first objects, changed, to one caller each."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ormis
from ormis import CASCADE, Exists, F, Field, ForeignKey, Index, ManyToMany, OuterRef, Q, Subquery, UniqueConstraint
from ormis.drivers import sync
from ormis.limits import Limits

NOW = datetime(2026, 5, 1, tzinfo=UTC)


class Queue(ormis.Model):
    name: str = Field(index=True)
    open: bool = True

    class Meta:
        key = "claim_queue"


class Job(ormis.Model):
    """Has an index of what is queued, by the time when it is due."""

    state: str = "queued"
    due: int = 0
    worker: str | None = None
    attempts: int = Field(default=0, le=5)
    queue: ForeignKey[Queue | None] = ForeignKey(on_delete=CASCADE, related_name="jobs")
    changed: datetime = Field(auto_now=True)

    class Meta:
        key = "claim_job"
        indexes = [Index("state", "due")]


class Plain(ormis.Model):
    """Has no index at all."""

    state: str = "queued"
    due: float | None = None
    worker: str | None = None
    slot: int | None = None
    watchers: ManyToMany[Queue] = ManyToMany(related_name="watched")

    class Meta:
        key = "claim_plain"
        constraints = [UniqueConstraint("slot")]


class Parcel(ormis.Model):
    """Has indexes of parts of its JSON fields."""

    place: dict[str, str] = {}
    sizes: dict[str, int] = {}
    number: int = 0

    class Meta:
        key = "claim_parcel"
        indexes = [Index("place__state", "number"), Index("sizes__height")]


def queued() -> ormis.QuerySet[Job]:
    """The jobs to be done, in order."""
    return Job.objects.filter(state="queued").order_by("due")


def names(objects: list[Any]) -> list[int]:
    """The keys of objects."""
    return [one.pk for one in objects]


# Results --------------------------------------------------------------------------------------------------------------


def test_the_first_objects_are_changed_and_returned(db: ormis.Database) -> None:
    """In the order of the queryset, with their new values; what is loaded can be changed and saved on."""
    Job.objects.bulk_create([Job(due=due) for due in (5, 1, 4, 2, 3)])
    claimed = queued().claim(2, state="running", worker="me", attempts=F("attempts") + 1)
    assert [(job.pk, job.state, job.worker, job.attempts) for job in claimed] == [
        (2, "running", "me", 1),
        (4, "running", "me", 1),
    ]
    assert claimed == list(Job.objects.filter(worker="me").order_by("due"))
    assert claimed[0].changed is not None  # auto_now, as update() sets it
    claimed[0].state = "done"
    claimed[0].save()
    assert Job.get(2).state == "done"
    assert names(queued().claim(10, state="running")) == [5, 3, 1]
    assert queued().claim(10, state="running") == []
    ormis.check()


async def test_async_callers_claim_as_well(db: ormis.Database) -> None:
    """aclaim() is the twin of claim()."""
    await Job.objects.abulk_create([Job(due=2), Job(due=1)])
    assert names(await queued().aclaim(1, state="running")) == [2]
    assert names(await queued().aclaim(5, state="running")) == [1]


def test_one_call_however_long_the_queue(db: ormis.Database) -> None:
    """With an index on the state and the order; the server looks at a few objects alone."""
    Job.objects.bulk_create([Job(due=5000 - number) for number in range(5000)])
    with ormis.capture_calls() as calls:
        assert names(queued().claim(3, state="running")) == [5000, 4999, 4998]
    assert len(calls) == 1


def test_without_an_index_it_is_the_same_in_a_few_calls(db: ormis.Database, url: str) -> None:
    """Few objects in one call, more of them in one that finds keys and one that changes."""
    Plain.objects.bulk_create([Plain(due=number % 7) for number in range(500)])
    ready = Plain.objects.filter(state="queued").order_by("-due")
    expected = names(list(ready[:5]))
    with ormis.capture_calls() as calls:
        assert names(ready.claim(5, state="running")) == expected
    assert len(calls) == 1
    with ormis.connect(url, limits=Limits(objects=50)) as small:
        expected = names(list(ready[:20]))
        assert names(ready.using(small).claim(20, state="running")) == expected
        ormis.check(database=small)


def test_many_objects_are_claimed_in_steps(db: ormis.Database) -> None:
    """More than one call changes: each once, in order."""
    Job.objects.bulk_create([Job(due=number) for number in range(400)])
    assert names(queued().claim(390, state="running")) == [*range(1, 391)]
    assert names(queued().claim(390, state="running")) == [*range(391, 401)]


@pytest.mark.parametrize(
    "order", [(), ("-due",), ("due", "-id"), ("worker", "due"), (F("due").desc(nulls_first=True),), ("-queue__name",)]
)
def test_any_order(db: ormis.Database, order: tuple[Any, ...]) -> None:
    """Of creation, descending, several columns, columns of related objects: as a slice of the queryset has it."""
    queues = Queue.objects.bulk_create([Queue(name=name) for name in "bca"])
    Job.objects.bulk_create([Job(due=i % 3, worker="ab"[i % 2], queue=queues[i % 3]) for i in range(9)])
    jobs = Job.objects.filter(state="queued").order_by(*order)
    expected = names(list(jobs[:4]))
    assert names(jobs.claim(4, state="running")) == expected


@pytest.mark.parametrize("limits", [Limits(), Limits(objects=3, keys=2, changed=2)])
def test_conditions_of_every_kind(db: ormis.Database, url: str, limits: Limits) -> None:
    """On related objects, to one and to many, and those that only Python evaluates."""
    closed, open_ = Queue(name="closed", open=False), Queue(name="open")
    Queue.objects.bulk_create([closed, open_])
    Job.objects.bulk_create([Job(due=i, queue=(closed, open_)[i % 2]) for i in range(8)])
    with ormis.connect(url, limits=limits) as own:
        jobs = queued().using(own)
        assert names(jobs.filter(queue__open=True).claim(1, state="running")) == [2]
        assert names(jobs.filter(state__regex="^q", due__gt=2).claim(1, state="running")) == [4]
        assert names(jobs.filter(queue__name__regex="^cl").claim(2, state="running")) == [1, 3]
        assert names(jobs.filter(pk__in=jobs.filter(due__gte=5)).claim(1, state="running")) == [6]
        assert names(
            jobs.alias(twice=F("due") * 2).filter(twice__gt=9).order_by(F("due") * -1).claim(1, state="running")
        ) == [8]
        one = Plain.objects.create()
        one.watchers.add(open_)
        plains = Plain.objects.using(own).filter(state="queued")
        assert names(plains.filter(watchers__name="open").claim(3, state="running")) == [one.pk]
        assert names(plains.filter(watchers__name="open").claim(3, state="running")) == []


def test_parts_of_fields(db: ormis.Database) -> None:
    """Conditions, orders and values are about parts as well; their indexes stay right."""
    Parcel.objects.bulk_create(
        [
            Parcel(place={"state": "new" if i % 2 else "old"}, sizes={"height": i * 7 % 11} if i % 5 else {}, number=-i)
            for i in range(40)
        ]
    )
    new = Parcel.objects.filter(place__state="new")
    with ormis.capture_calls() as calls:
        claimed = new.order_by("number").claim(7, place__state="sent")
    assert len(calls) == 1
    assert [-parcel.number for parcel in claimed] == [*range(39, 25, -2)]
    assert {parcel.place["state"] for parcel in claimed} == {"sent"}
    assert len(new.claim(99, place={"state": "sent"})) == 13
    high = Parcel.objects.filter(sizes__height__gt=3).order_by("sizes__height")
    expected = [parcel.pk for parcel in high]
    assert names(high.claim(2, sizes={"height": 0})) == expected[:2]
    assert names(high.claim(99, sizes__height=1)) == expected[2:]
    assert ormis.check(db, models=[Parcel]).ok
    with pytest.raises(ValueError, match="still meet"):
        Parcel.objects.filter(place__state="old").claim(1, number=5)


def test_expired_objects_are_not_claimed(db: ormis.Database) -> None:
    """They are gone, for a queue as well."""
    Job.objects.bulk_create([Job(due=1), Job(due=2)])
    Job.get(1).expire(0.001)
    while Job.objects.filter(pk=1).exists():
        pass
    assert names(queued().claim(2, state="running")) == [2]


def test_relation_managers_claim(db: ormis.Database) -> None:
    """Of the related objects, which know the object that they came from."""
    queue, other = Queue.objects.create(name="a"), Queue.objects.create(name="b")
    Job.objects.bulk_create([Job(due=1, queue=other), Job(due=2, queue=queue)])
    (job,) = queue.jobs.filter(state="queued").order_by("due").claim(5, state="running")
    assert job.pk == 2
    with ormis.capture_calls() as calls:
        assert job.queue is queue
    assert len(calls) == 0


def test_what_the_queryset_loads_comes_along(db: ormis.Database) -> None:
    """select_related(), prefetch_related(), only() and annotations: by one more call."""
    queue = Queue.objects.create(name="a")
    Job.objects.bulk_create([Job(due=1, queue=queue), Job(due=2, queue=queue)])
    (job,) = queued().select_related("queue").annotate(twice=F("due") * 2).claim(1, state="running")
    with ormis.capture_calls() as calls:
        assert (job.queue.name, job.twice, job.state) == ("a", 2, "running")
    assert len(calls) == 0
    (job,) = queued().only("due").claim(1, state="running")
    assert job.due == 2


def test_values_that_the_server_cannot_compute(db: ormis.Database) -> None:
    """Are computed here, on condition that their operands have not changed."""
    Plain.objects.bulk_create([Plain(due=1.5), Plain(due=None), Plain(due=0.5)])
    ready = Plain.objects.filter(state="queued", due__isnull=False).order_by("due")
    (first,) = ready.claim(1, state="running", due=F("due") / 3)
    assert (first.pk, first.due) == (3, 0.5 / 3)


# Callers at the same time ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["index", "none", "python", "steps"])
def test_no_object_twice(db: ormis.Database, url: str, way: str) -> None:
    """Threads that claim until none is left have each object once between them."""
    make: Any = Job if way == "index" else Plain
    make.objects.bulk_create([make(due=number % 50) for number in range(300)])
    more = {"state__regex": "^queued$"} if way == "python" else {"state": "queued"}
    limits = Limits(objects=20) if way == "steps" else Limits()
    claimed: list[list[int]] = [[] for _ in range(4)]
    with ormis.connect(url, limits=limits) as own:

        def work(mine: list[int]) -> None:
            while got := make.objects.using(own).filter(**more).order_by("due").claim(7, state="running"):
                mine += names(got)

        threads = [Thread(target=work, args=(mine,)) for mine in claimed]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(pk for mine in claimed for pk in mine) == [*range(1, 301)]


@pytest.mark.parametrize("more", [{"state": "queued"}, {"state__regex": "^q"}])
def test_a_caller_that_comes_late_takes_the_next(
    db: ormis.Database, url: str, between: list[Any], more: dict[str, Any]
) -> None:
    """Between the finding of keys and the change another has claimed them."""
    Plain.objects.bulk_create([Plain(due=number) for number in range(200)])
    with ormis.connect(url, limits=Limits(objects=50)) as small:
        ready = Plain.objects.using(small).filter(**more).order_by("due")
        if "state" in more:
            between.append(lambda: None)  # the call that would find the objects by itself
        between.append(lambda: Plain.objects.filter(pk__lte=100).update(state="running", worker="other"))
        assert names(ready.claim(3, state="running", worker="me")) == [101, 102, 103]
        assert Plain.objects.filter(worker="me").count() == 3


def test_a_repeated_call_returns_the_same_objects(db: ormis.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that breaks before the reply: the call comes again, and no other objects are claimed."""
    Job.objects.bulk_create([Job(due=number, worker="w" * 3000) for number in range(20)])
    exchange = sync.exchange

    def twice(client: Any, arguments: Any, once: Any = None, meanwhile: Any = None) -> Any:
        exchange(client, arguments, once, meanwhile)
        return exchange(client, arguments, once, meanwhile)

    monkeypatch.setattr(sync, "exchange", twice)
    claimed = queued().claim(5, state="running")
    assert names(claimed) == [1, 2, 3, 4, 5]
    assert {(job.state, job.worker) for job in claimed} == {("running", "w" * 3000)}
    assert Job.objects.filter(state="running").count() == 5


# Refusals -------------------------------------------------------------------------------------------------------------


def test_constraints_hold(db: ormis.Database) -> None:
    """A refused claim changes nothing."""
    Plain.objects.bulk_create([Plain(), Plain()])
    ready = Plain.objects.filter(state="queued")
    with pytest.raises(ormis.UniqueViolation):
        ready.claim(2, state="running", slot=1)
    assert ready.count() == 2
    Job().save()
    with pytest.raises(ormis.ForeignKeyViolation):
        queued().claim(1, state="running", queue_id=99)
    with pytest.raises(ValueError, match="attempts"):
        queued().claim(1, state="running", attempts=9)
    Job.objects.update(attempts=5)
    with pytest.raises(ormis.IntegrityError, match="attempts"):
        queued().claim(1, state="running", attempts=F("attempts") + 1)
    assert queued().count() == 1


def test_objects_of_the_steps_before_a_refusal_are_returned(db: ormis.Database) -> None:
    """Nobody else would ever get them; the next call meets the refusal."""
    Job.objects.bulk_create([Job(due=number, attempts=5 if number == 150 else 0) for number in range(200)])
    assert len(queued().claim(200, state="running", attempts=F("attempts") + 1)) == 150
    with pytest.raises(ormis.IntegrityError, match="attempts"):
        queued().claim(200, state="running", attempts=F("attempts") + 1)


@pytest.mark.parametrize(
    ("ask", "error", "says"),
    [
        (lambda: queued().claim(1, worker="me"), ValueError, "claim() changes worker"),
        (lambda: queued().claim(1, state="queued"), ValueError, "claim() changes state"),
        (lambda: queued().claim(1), ValueError, "claim() changes"),
        (lambda: Job.objects.claim(1, state="running"), ValueError, "claim() changes"),
        (lambda: queued().claim(-1, state="running"), ValueError, "claim(-1)"),
        (lambda: queued().claim(True, state="running"), ValueError, "claim(True)"),
        (lambda: queued().claim(1, status="running"), ormis.FieldError, "status"),
        (lambda: queued().claim(1, id=3), ormis.FieldError, "primary key"),
        (lambda: queued()[:3].claim(1, state="running"), TypeError, "sliced"),
        (lambda: queued().values("id").claim(1, state="running"), TypeError, "values()"),
        (lambda: queued().union(queued()).claim(1, state="running"), TypeError, "union"),
        (lambda: queued().claim(1, state=Subquery(Queue.objects.values("name")[:1])), ormis.FieldError, "update()"),
        (
            lambda: Queue.objects.filter(Exists(Job.objects.filter(due=OuterRef("pk"))), open=True).claim(
                1, open=False
            ),
            ormis.FieldError,
            "can't be claimed",
        ),
    ],
)
def test_refusals(db: ormis.Database, ask: Callable[[], object], error: type[Exception], says: str) -> None:
    """Each says what is wrong; nothing is changed."""
    Job().save()
    Queue(name="a").save()
    with pytest.raises(error) as refused:
        ask()
    assert says in str(refused.value)
    assert queued().count() == 1


def test_not_inside_a_block(db: ormis.Database) -> None:
    """atomic() sends its writes at its end, when it is too late to know what was claimed."""
    Job().save()
    with ormis.atomic(), pytest.raises(ormis.OrmisError, match="claim before the block"):
        queued().claim(1, state="running")
    assert queued().count() == 1


def test_none_and_no_objects(db: ormis.Database) -> None:
    """claim(0) and none() return nothing; the names of the changes are checked all the same."""
    Job().save()
    assert queued().claim(0, state="running") == []
    assert queued().none().claim(1, state="running") == []
    with pytest.raises(ormis.FieldError):
        queued().claim(0, status="running")


# Laws -----------------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    dues=st.lists(st.integers(0, 5), max_size=30),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=8),
    objects=st.sampled_from([2000, 4]),
    model=st.sampled_from([Job, Plain]),
)
def test_claims_joined_are_the_queryset(
    db: ormis.Database, url: str, dues: list[int], sizes: list[int], objects: int, model: Any
) -> None:
    """The claims one after another are the slices of the queryset before them."""
    with ormis.connect(url, limits=Limits(objects=objects, keys=3)) as own:
        model.objects.all().delete()
        model.objects.bulk_create([model(due=due) for due in dues])
        ready = model.objects.using(own).filter(state="queued").order_by("-due")
        expected, at = names(list(ready)), 0
        for size in sizes:
            assert names(ready.claim(size, state="running")) == expected[at : at + size]
            at += size


def test_leases_that_run_out_are_claimed_again(db: ormis.Database) -> None:
    """A condition with `or`: what is queued, and what runs for too long."""

    class Lease(ormis.Model):
        state: str = Field(default="queued", index=True)
        until: datetime = Field(default=NOW, index=True)

        class Meta:
            key = "claim_lease"

    Lease.objects.bulk_create([Lease(), Lease(state="running", until=NOW - timedelta(1)), Lease(state="done")])
    ready = Lease.objects.filter(Q(state="queued") | Q(state="running", until__lt=NOW)).order_by("id")
    assert names(ready.claim(5, state="running", until=NOW + timedelta(1))) == [1, 2]
    assert ready.claim(5, state="running", until=NOW + timedelta(1)) == []
    with pytest.raises(ValueError, match="claim"):
        ready.claim(5, state="running", until=NOW - timedelta(2))
