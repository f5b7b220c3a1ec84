"""prefetch_related in every size: one call, parts by parents, portions by keys, a walk. The order is the query's."""

from dataclasses import replace

import pytest
import redis

import ormis
from ormis import Field, ForeignKey, Prefetch


class Shelf(ormis.Model):
    """What the books stand on."""

    name: str = ""

    class Meta:
        key = "prefetch_shelf"


class Volume(ormis.Model):
    """Several stand on each shelf, in another order than they were stored."""

    shelf: ForeignKey[Shelf] = ForeignKey(related_name="volumes")
    place: int = 0
    title: str = Field(default="", max_length=50)

    class Meta:
        key = "prefetch_volume"


@pytest.mark.parametrize(("budget", "many"), [(3000, 1000), (8, 1000), (8, 5), (3000, 5)])
@pytest.mark.parametrize("order", [("-place",), ("title",), ()])
def test_each_parent_has_its_own_in_order(db: ormis.Database, budget: int, many: int, order: tuple[str, ...]) -> None:
    """However many calls it takes, each parent gets all of its children, sorted as the queryset says."""
    shelves = Shelf.objects.bulk_create([Shelf(name=f"s{i}") for i in range(20)])
    Volume.objects.bulk_create(
        [Volume(shelf=shelves[i % 20], place=i * 7 % 60, title=f"{i * 11 % 60:02}") for i in range(60)]
    )
    db.limits = replace(db.limits, objects=budget, values=many, keys=7)
    found = Shelf.objects.prefetch_related(Prefetch("volumes", Volume.objects.order_by(*order)))
    shown = {shelf.pk: [volume.pk for volume in shelf.volumes.all()] for shelf in found}
    assert shown == {s.pk: [v.pk for v in Volume.objects.filter(shelf=s).order_by(*order)] for s in shelves}


class Reader(ormis.Model):
    """Has a key of its own, which says nothing of when it was made."""

    name: str = Field(primary_key=True)

    class Meta:
        key = "prefetch_reader"


class Loan(ormis.Model):
    """What a reader has borrowed."""

    number: str = Field(primary_key=True)
    reader: ForeignKey[Reader] = ForeignKey(related_name="loans")

    class Meta:
        key = "prefetch_loan"


@pytest.mark.parametrize("part", [1, 7, 1000])
@pytest.mark.parametrize("backwards", [False, True])
def test_the_order_of_creation_is_not_that_of_the_keys(db: ormis.Database, part: int, backwards: bool) -> None:
    """Each parent's children are in the order in which they were made, or in the opposite one, in parts of any size."""
    readers = Reader.objects.bulk_create([Reader(name=f"r{i * 7 % 10}") for i in range(10)])
    made = [Loan(number=f"l{i * 37 % 60}", reader=readers[i * 3 % 9]) for i in range(60)]
    for loan in made:
        loan.save()
    db.limits = replace(db.limits, prefetched=part)
    loans = Loan.objects.reverse() if backwards else Loan.objects.all()
    with ormis.capture_calls() as calls:
        found = list(Reader.objects.prefetch_related(Prefetch("loans", loans)))
        shown = {reader.pk: [loan.pk for loan in reader.loans.all()] for reader in found}
    wanted = {r.pk: [loan.pk for loan in made if loan.reader_id == r.pk] for r in readers}
    assert shown == {pk: pks[::-1] if backwards else pks for pk, pks in wanted.items()}
    assert len(calls) <= {1: 10, 7: 10, 1000: 1}[part] + 1


def test_more_children_than_a_call_may_read(db: ormis.Database) -> None:
    """One parent with more children than a call reads has them all, and so have those beside it."""
    shelves = Shelf.objects.bulk_create([Shelf(), Shelf(), Shelf()])
    Volume.objects.bulk_create([Volume(shelf=shelves[min(i, 1)], place=i) for i in range(60)])
    db.limits = replace(db.limits, objects=20, prefetched=30)
    found = Shelf.objects.prefetch_related("volumes")
    assert [[volume.place for volume in shelf.volumes.all()] for shelf in found] == [[0], [*range(1, 60)], []]


def test_what_moves_on_between_two_calls(db: ormis.Database, raw: redis.Redis) -> None:
    """A child that refers to another parent than its index says is in no one's way: be it one that is read later, one
    that is not asked for, or none.
    """
    shelves = Shelf.objects.bulk_create([Shelf() for _ in range(40)])
    volumes = Volume.objects.bulk_create([Volume(shelf=shelves[i % 40]) for i in range(4000)])
    raw.hset(volumes[0].key, "shelf_id", shelves[39].pk)
    raw.hset(volumes[1].key, "shelf_id", 1000)
    found = Shelf.objects.prefetch_related("volumes")
    shown = {shelf.pk: [volume.pk for volume in shelf.volumes.all()] for shelf in found}
    stayed = [[volume.pk for volume in volumes[at::40] if volume.pk > 2] for at in range(40)]
    assert shown == dict(zip((shelf.pk for shelf in shelves), stayed, strict=True))
    raw.hdel(volumes[1].key, "shelf_id")
    with pytest.raises(ormis.StoredDataError, match=r"Volume.shelf_id is required, and the key 'prefetch_volume:2'"):
        list(Shelf.objects.prefetch_related("volumes"))


def test_children_refer_to_the_parent_whatever_comes_along(db: ormis.Database) -> None:
    """The parent is the very object that is prefetched for, also where the queryset selects it once more."""
    Volume.objects.create(shelf=Shelf.objects.create())
    (shelf,) = Shelf.objects.prefetch_related(Prefetch("volumes", Volume.objects.select_related("shelf")))
    assert [volume.shelf is shelf for volume in shelf.volumes.all()] == [True]
    (shelf,) = Shelf.objects.prefetch_related(Prefetch("volumes", Volume.objects.none().select_related("shelf")))
    assert list(shelf.volumes.all()) == []
