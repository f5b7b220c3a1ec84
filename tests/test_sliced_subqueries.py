"""A slice of a queryset in a condition: its keys are looked up first, its condition holds where objects are written."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis

import ormis
from ormis import Field, ForeignKey
from ormis.drivers import sync


class Job(ormis.Model):
    status: str = Field(default="new", index=True)
    worker: str | None = None

    class Meta:
        key = "sliced_job"


class Part(ormis.Model):
    job: ForeignKey[Job] = ForeignKey(related_name="parts")
    taken_by: str | None = None

    class Meta:
        key = "sliced_part"


@pytest.fixture
def between(db: ormis.Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Functions in this list run, each once, before the next call that writes."""
    send, waiting = sync.send, list[Any]()

    def sent(client: redis.Redis, call: Any, *more: Any) -> Any:
        if waiting and getattr(call, "once", False):
            waiting.pop(0)()
        return send(client, call, *more)

    monkeypatch.setattr(sync, "send", sent)
    yield waiting
    assert waiting == []


def take(worker: str) -> int:
    """Takes the first new job, as a queue does."""
    first = Job.objects.filter(status="new").order_by("id")[:1]
    return Job.objects.filter(pk__in=first).update(status="taken", worker=worker)


def test_two_workers_do_not_take_the_same_object(db: ormis.Database, between: list[Any]) -> None:
    """The second worker has looked up the same key, and finds that the object does not meet the condition any more."""
    Job.objects.bulk_create([Job(), Job()])
    between.append(lambda: take("other"))
    assert take("slow") == 0
    assert [(job.status, job.worker) for job in Job.objects.order_by("id")] == [("taken", "other"), ("new", None)]
    assert take("slow") == 1
    assert Job.get(2).worker == "slow"


def test_a_condition_in_python_is_evaluated_again(db: ormis.Database, between: list[Any]) -> None:
    """The same with a condition that only Python can evaluate."""

    def take_by_regex(worker: str) -> int:
        first = Job.objects.filter(status__regex="^n").order_by("id")[:1]
        return Job.objects.filter(pk__in=first).update(status="taken", worker=worker)

    Job().save()
    between.append(lambda: take_by_regex("other"))
    assert take_by_regex("slow") == 0
    assert Job.get(1).worker == "other"


def test_a_deletion_looks_again(db: ormis.Database, between: list[Any]) -> None:
    """delete() leaves an object that another client has changed."""
    Job().save()
    between.append(lambda: take("other"))
    assert Job.objects.filter(pk__in=Job.objects.filter(status="new")[:1]).delete() == (0, {})
    assert Job.objects.count() == 1


def test_a_slice_of_related_objects(db: ormis.Database, between: list[Any]) -> None:
    """A foreign key to the objects of a slice: the condition holds for the object that it refers to."""
    for job in Job.objects.bulk_create([Job(), Job()]):
        Part(job=job).save()

    def work() -> int:
        first = Job.objects.filter(status="new").order_by("id")[:1]
        return Part.objects.filter(job__in=first).update(taken_by="me")

    between.append(lambda: take("other"))
    assert work() == 0
    assert work() == 1
    assert [part.taken_by for part in Part.objects.order_by("id")] == [None, "me"]


def test_reading_finds_the_same(db: ormis.Database) -> None:
    """Slices in conditions of a reading query, negated ones, offsets and values are as before."""
    jobs = Job.objects.bulk_create([Job(status=status) for status in ("new", "new", "old", "new")])
    second = Job.objects.filter(status="new").order_by("id")[1:2]
    assert [job.pk for job in Job.objects.filter(pk__in=second)] == [jobs[1].pk]
    assert [job.pk for job in Job.objects.exclude(pk__in=second).order_by("id")] == [1, 3, 4]
    assert [job.pk for job in Job.objects.filter(pk__in=second.values("id"))] == [2]
    assert Job.objects.filter(pk__in=Job.objects.order_by("-id")[:2]).count() == 2
