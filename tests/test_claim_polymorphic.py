"""claim() of polymorphic models: by the base, by a subclass, in relation managers."""

from typing import Any

import pytest
import redis

import ormis
from modes import MODES, do
from ormis import CASCADE, Exists, F, Field, ForeignKey, Index, OuterRef, Related

KINDS = ["Work", "Mail", "Parcel", "Letter"]


class Depot(ormis.Model):
    """Has the work of one place."""

    work: Related["Work"] = Related()
    mail: Related["Mail"] = Related()

    class Meta:
        key = "claim_poly_depot"


class Work(ormis.Model):
    """The base: its index has what is queued, whatever it is."""

    state: str = "queued"
    due: int = 0
    depot: ForeignKey[Depot | None] = ForeignKey(on_delete=CASCADE, related_name="work")

    class Meta:
        key = "claim_poly_work"
        polymorphic = True
        indexes = [Index("state", "due")]


class Mail(Work):
    """Has fields of its own, one of them unique, one of them indexed."""

    stamp: int = Field(default=0, index=True)
    code: str | None = Field(None, unique=True)
    home: ForeignKey[Depot | None] = ForeignKey(on_delete=CASCADE, related_name="mail")

    class Meta:
        indexes = [Index("kind", "state", "due"), Index("state", "stamp")]


class Parcel(Mail):
    """A subclass of a subclass."""

    weight: float = 1.0
    worker: str | None = None


class Letter(Work):
    """A sibling, with a field of the same name as one of the others."""

    worker: str | None = None
    text: str = "hello"


class Errand(ormis.Model):
    """The base of a family some of whose objects end."""

    state: str = "queued"
    due: int = 0

    class Meta:
        key = "claim_poly_errand"
        polymorphic = True
        indexes = [Index("state", "due")]


class Brief(Errand):
    """Ends an hour after it was saved."""

    where: str = Field(default="here", index=True)

    class Meta:
        ttl = 3600


class Note(ormis.Model):
    """About any work."""

    work: ForeignKey[Work] = ForeignKey(on_delete=CASCADE, related_name="notes")
    text: str = ""

    class Meta:
        key = "claim_poly_note"


def fill() -> None:
    """Objects of each class, one after another, each due after the one before."""
    depots = [Depot().save(), Depot().save()]
    for number in range(12):
        model: Any = globals()[KINDS[number % 4]]
        own: dict[str, Any] = {"stamp": number, "home": depots[1]} if issubclass(model, Mail) else {}
        model(due=number, depot=depots[number % 2], **own).save()


def described(objects: list[Any]) -> list[tuple[str, int]]:
    """Their classes and times."""
    return [(type(one).__name__, one.due) for one in objects]


def check(db: ormis.Database, objects: list[Any]) -> None:
    """They are as they are stored, and all that depends on them is right."""
    for one in objects:
        stored = Work.objects.get(pk=one.pk)
        assert type(stored) is type(one)
        assert stored == one
        assert stored.model_dump() == one.model_dump()
    assert ormis.check(db).ok


@MODES
@pytest.mark.parametrize("number", [1, 3])
async def test_by_the_base(db: ormis.Database, mode: str, number: int) -> None:
    """Each object comes as its own class, with all of its fields, in the order of the queue."""
    fill()
    queue, found = Work.objects.filter(state="queued").order_by("due"), list[Any]()
    while some := await do(mode, queue, "claim", number, state="running"):
        found += some
        assert {one.state for one in some} == {"running"}
    assert described(found) == [(KINDS[n % 4], n) for n in range(12)]
    check(db, found)


@MODES
@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("model", [Mail, Parcel, Letter])
async def test_by_a_subclass(db: ormis.Database, mode: str, model: Any, number: int) -> None:
    """Objects of the subclass and its own subclasses, and no others."""
    fill()
    expected = described([*model.objects.order_by("due")])
    queue, found = model.objects.filter(state="queued").order_by("due"), list[Any]()
    while some := await do(mode, queue, "claim", number, state="running"):
        assert all(isinstance(one, model) for one in some)
        found += some
    assert described(found) == expected
    assert Work.objects.filter(state="queued").count() == 12 - len(expected)
    check(db, found)


@MODES
async def test_fields_of_the_subclass_are_changed(db: ormis.Database, mode: str) -> None:
    """With their indexes, constraints and references, by constants and by sums."""
    fill()
    other = Depot().save()
    mail = Mail.objects.filter(state="queued").order_by("due")
    (first,) = await do(mode, mail, "claim", 1, state="running", stamp=100, code="a", home=other)
    (second,) = await do(mode, mail, "claim", 1, state="running", stamp=F("stamp") + 50)
    parcels = Parcel.objects.filter(state="queued").order_by("-due")
    last, before = await do(mode, parcels, "claim", 2, state="done", weight=F("weight") * 2, worker="w")
    assert described([first, second, last, before]) == [("Mail", 1), ("Parcel", 2), ("Parcel", 10), ("Parcel", 6)]
    assert (first.stamp, first.code, first.home_id) == (100, "a", other.pk)
    assert (second.stamp, last.weight, last.worker) == (52, 2.0, "w")
    check(db, [first, second, last, before])
    assert [one.pk for one in Mail.objects.filter(stamp__gte=50).order_by("stamp")] == [second.pk, first.pk]
    with pytest.raises(ormis.UniqueViolation):
        await do(mode, mail, "claim", 1, state="running", code="a")
    with pytest.raises(ormis.FieldError, match="weight"):
        await do(mode, mail, "claim", 1, state="running", weight=2.0)
    check(db, [])


@MODES
async def test_conditions_on_fields_of_subclasses(db: ormis.Database, mode: str) -> None:
    """By the base, whose objects without such a field do not meet them."""
    fill()
    heavy = Work.objects.filter(state="queued", weight__gt=0.5).order_by("due")
    assert described(await do(mode, heavy, "claim", 2, state="running")) == [("Parcel", 2), ("Parcel", 6)]
    stamped = Mail.objects.filter(state="queued").order_by("-stamp")
    assert described(await do(mode, stamped, "claim", 2, state="running")) == [("Parcel", 10), ("Mail", 9)]
    one = Work.objects.filter(state="queued", kind="letter").order_by("due")
    assert described(await do(mode, one, "claim", 1, state="running")) == [("Letter", 3)]
    check(db, [])


@MODES
async def test_in_relation_managers(db: ormis.Database, mode: str) -> None:
    """Those of the base and those of a subclass; the objects know the one that the manager belongs to."""
    fill()
    depot, home = Depot.objects.order_by("pk")
    work = depot.work.filter(state="queued").order_by("due")
    taken = await do(mode, work, "claim", 2, state="running")
    assert described(taken) == [("Work", 0), ("Parcel", 2)]
    with ormis.capture_calls() as calls:
        assert {one.depot.pk for one in taken} == {depot.pk}
    assert calls == []
    mail = home.mail.filter(state="queued").order_by("due")
    assert described(await do(mode, mail, "claim", 3, state="running")) == [("Mail", 1), ("Mail", 5), ("Parcel", 6)]
    check(db, taken)


def test_no_object_twice(db: ormis.Database) -> None:
    """Claims by the base, by a subclass and by a sibling share the objects among them."""
    fill()
    found: list[Any] = []
    queues = [model.objects.filter(state="queued").order_by("due") for model in (Mail, Work, Letter, Parcel)]
    for turn in range(24):
        found += queues[turn % 4].claim(1, state="running")
    assert sorted(one.due for one in found) == [*range(12)]
    check(db, found)


def test_families_with_objects_that_end(db: ormis.Database, raw: redis.Redis) -> None:
    """One that is claimed keeps its time; one that has ended is not claimed, and leaves nothing in the indexes."""
    for due in range(6):
        (Brief if due % 2 else Errand)(due=due).save()
    queue = Errand.objects.filter(state="queued").order_by("due")
    assert described(queue.claim(2, state="running")) == [("Errand", 0), ("Brief", 1)]
    assert 0 < raw.pttl("claim_poly_errand:2") <= 3_600_000
    raw.delete("claim_poly_errand:4")  # as the server does at its time
    found = [one for _ in range(4) for one in queue.claim(1, state="running")]
    assert described(found) == [("Errand", 2), ("Errand", 4), ("Brief", 5)]
    assert described(Brief.objects.filter(state="running").order_by("due").claim(3, state="done")) == [
        ("Brief", 1),
        ("Brief", 5),
    ]
    ormis.check(db, repair=True)  # what the deleted one has left
    assert Errand.objects.filter(state="running").count() == 3


@pytest.mark.parametrize("model", [Work, Mail, Parcel, Letter])
def test_querysets_of_a_subclass_in_writes(db: ormis.Database, model: Any) -> None:
    """Where such a one stands in a condition of a write, objects of other classes do not meet it."""
    fill()
    for one in Work.objects.all():
        Note(work=one).save()
    inner = model.objects.filter(state="queued")
    for asked in (
        Note.objects.filter(work__in=inner),
        Note.objects.filter(Exists(inner.filter(pk=OuterRef("work")))),
    ):
        found = sorted(note.pk for note in asked)
        assert len(found) == model.objects.count()
        assert asked.update(text="found") == len(found)
        assert sorted(note.pk for note in Note.objects.filter(text="found")) == found
        assert [note.pk for note in asked.filter(text="found").order_by("pk").claim(20, text="")] == found
