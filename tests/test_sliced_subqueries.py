"""A queryset in a condition of a write: its condition is evaluated again where the objects are written."""

from collections.abc import Callable
from typing import Any

import pytest

import ormis
from ormis import Field, ForeignKey, Q, Window
from ormis.functions import RowNumber


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


def new() -> ormis.QuerySet[Job]:
    """The jobs to be done."""
    return Job.objects.filter(status="new").order_by("id")


WAYS: dict[str, Callable[[], Any]] = {
    "a slice": lambda: Job.objects.filter(pk__in=new()[:1]),
    "values": lambda: Job.objects.filter(pk__in=new().values("pk")[:1]),
    "a list of values": lambda: Job.objects.filter(id__in=new().values_list("id", flat=True)[:1]),
    "no slice": lambda: Job.objects.filter(pk__in=new()),
    "values without a slice": lambda: Job.objects.filter(pk__in=new().values("pk")),
    "an expression": lambda: Job.objects.filter(status__regex="^n", pk__in=new().values("pk")[:1]),
    "in Python": lambda: Job.objects.filter(pk__in=Job.objects.filter(status__regex="^n").values("pk")[:1]),
    "a union": lambda: Job.objects.filter(pk__in=new()[:1].union(Job.objects.filter(status="newer"))),
    "an intersection": lambda: Job.objects.filter(pk__in=new().intersection(Job.objects.all())),
    "a difference": lambda: Job.objects.filter(pk__in=Job.objects.difference(Job.objects.exclude(status="new"))),
    "or": lambda: Job.objects.filter(Q(pk__in=new().values("pk")) | Q(status="newer")),
    "not": lambda: Job.objects.exclude(pk__in=Job.objects.exclude(status="new")),
    "one value": lambda: Job.objects.filter(pk=new().values("pk")[:1]),
    "a window": lambda: Job.objects.filter(pk__in=new().alias(at=Window(RowNumber())).filter(at=1)),
    "nested": lambda: Job.objects.filter(pk__in=Job.objects.filter(pk__in=new()[:1]).values("pk")),
    "a reverse relation": lambda: Job.objects.filter(pk__in=Part.objects.filter(taken_by=None).values("job")),
}


@pytest.mark.parametrize("change", ["update", "delete", "claim"])
@pytest.mark.parametrize("way", WAYS)
def test_each_way_looks_again(db: ormis.Database, between: list[Any], way: str, change: str) -> None:
    """However the queryset is written, another client's change between the finding and the writing is seen."""
    Part(job=Job.objects.create()).save()

    def other() -> None:
        Job.objects.update(status="taken", worker="other")
        Part.objects.update(taken_by="other")

    between.append(other)
    if change == "update":
        assert WAYS[way]().update(status="taken", worker="slow") == 0
    elif change == "delete":
        assert WAYS[way]().delete() == (0, {})
    elif way != "a reverse relation":
        assert WAYS[way]().claim(1, status="taken", worker="slow") == []
    else:
        between.clear()
        other()
    assert [job.worker for job in Job.objects.all()] == ["other"]


def test_each_way_finds_what_is_there(db: ormis.Database) -> None:
    """Without other clients the same objects are found as by a reading query."""
    for status in ("new", "taken", "new"):
        Part(job=Job.objects.create(status=status), taken_by=None if status == "new" else "other").save()
    for way, queryset in WAYS.items():
        found = {job.pk for job in queryset()}
        assert queryset().update(worker=way) == len(found)
        assert {job.pk for job in Job.objects.filter(worker=way)} == found


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
