"""References to objects of other partitions of a real cluster: nothing refers to what is not there."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import ormis
from ormis import (
    CASCADE,
    DO_NOTHING,
    PROTECT,
    RESTRICT,
    SET,
    SET_DEFAULT,
    SET_NULL,
    Field,
    ForeignKey,
    OneToOne,
    capture_calls,
)
from ormis.cluster.local import LocalCluster

pytestmark = pytest.mark.xdist_group("cluster_references")
PARTITIONS = 8


class Shelf(ormis.Model):
    """What others refer to by all rules; its key says in which partition it is."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = ""

    class Meta:
        key = "cr_shelf"


class Box(ormis.Model):
    """A model with a foreign key of each kind, and a unique field."""

    id: int | None = Field(default=None, primary_key=True)
    code: str | None = Field(default=None, unique=True)
    inside: ForeignKey["Box | None"] = ForeignKey(on_delete=CASCADE, related_name="boxes")
    shelf: ForeignKey[Shelf | None] = ForeignKey(on_delete=CASCADE, related_name="boxes")
    kept: ForeignKey[Shelf | None] = ForeignKey(on_delete=PROTECT, related_name="keeping")
    tied: ForeignKey[Shelf | None] = ForeignKey(on_delete=RESTRICT, related_name="tying")
    seen: ForeignKey[Shelf | None] = ForeignKey(on_delete=SET_NULL, related_name="seeing")
    home: ForeignKey[Shelf | None] = ForeignKey(on_delete=SET_DEFAULT, related_name="housing", default=None)
    sent: ForeignKey[Shelf | None] = ForeignKey(on_delete=SET(lambda: None), related_name="sending")
    past: ForeignKey[Shelf | None] = ForeignKey(on_delete=DO_NOTHING, related_name="passing")

    class Meta:
        key = "cr_box"


class Item(ormis.Model):
    """The third level: it goes with its box."""

    id: int | None = Field(default=None, primary_key=True)
    box: ForeignKey[Box] = ForeignKey(on_delete=CASCADE, related_name="items")
    number: int = 0

    class Meta:
        key = "cr_item"


class Label(ormis.Model):
    """One label of each box."""

    id: int | None = Field(default=None, primary_key=True)
    box: OneToOne[Box] = OneToOne(on_delete=CASCADE, related_name="label")

    class Meta:
        key = "cr_label"


class Visit(ormis.Model):
    """What ends, and is referred to."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = ""

    class Meta:
        key = "cr_visit"


class Step(ormis.Model):
    """What goes with its visit, or forgets it."""

    id: int | None = Field(default=None, primary_key=True)
    visit: ForeignKey[Visit | None] = ForeignKey(on_delete=CASCADE, related_name="steps")
    other: ForeignKey[Visit | None] = ForeignKey(on_delete=PROTECT, related_name="others")

    class Meta:
        key = "cr_step"


class Trace(ormis.Model):
    """What goes with its step."""

    id: int | None = Field(default=None, primary_key=True)
    step: ForeignKey[Step] = ForeignKey(on_delete=CASCADE, related_name="traces")

    class Meta:
        key = "cr_trace"


MODELS = [Shelf, Box, Item, Label, Visit, Step, Trace]


@pytest.fixture
def db(cluster_url: str) -> Iterator[ormis.Database]:
    """A database on the cluster, which is empty."""
    with ormis.connect(f"{cluster_url}?partitions={PARTITIONS}") as database:
        Shelf.objects.count()  # the partitions are made
        yield database


def names_of(work: Callable[[], Any]) -> list[str]:
    """The names of the scripts that the work calls."""
    with capture_calls() as calls:
        work()
    return [str(call).split()[0] for call in calls]


def at_rest(db: ormis.Database) -> None:
    """Checks that each foreign key leads to an object that knows of it, and that check() says the same."""
    shelves, boxes = {one.id for one in Shelf.objects.all()}, {one.id for one in Box.objects.all()}
    rules = ("shelf_id", "kept_id", "tied_id", "seen_id", "home_id", "sent_id")
    assert {getattr(one, name) for one in Box.objects.all() for name in rules} <= {*shelves, None}
    assert {one.inside_id for one in Box.objects.all()} <= {*boxes, None}
    for model in (Item, Label):
        assert {one.box_id for one in model.objects.all()} <= boxes
    assert ormis.check(db, models=MODELS).findings == []


def at(number: int, **values: Any) -> Box:
    """A box with this key, that is in this partition."""
    return Box(id=number, **values).save(force_insert=True)


# Writing -------------------------------------------------------------------------------------------------------------


def test_what_is_referred_to_is_there(db: ormis.Database) -> None:
    """A foreign key to an object of any partition is stored; one to nothing is refused, as on one server."""
    shelf = Shelf(id=1).save()
    for number in range(2, 18):
        assert at(number, shelf=shelf).shelf_id == 1
    for wrong in (2, 9):  # of another partition, and of that of the shelf
        with pytest.raises(ormis.ForeignKeyViolation, match=f"Box.shelf_id='{wrong}' points at cr_shelf:{wrong}"):
            at(26 + wrong, shelf_id=wrong)
        with pytest.raises(ormis.ForeignKeyViolation) as caught:
            Box.objects.filter(id=2).update(shelf_id=wrong)
        assert (caught.value.model, caught.value.field, caught.value.value) == ("Box", "shelf_id", str(wrong))
        with pytest.raises(ormis.ForeignKeyViolation):
            Box.objects.bulk_create([Box(shelf_id=1), Box(shelf_id=wrong)])
    at_rest(db)


def test_how_many_calls(db: ormis.Database) -> None:
    """The first object of a partition that refers to another one registers there; those after it take one call."""
    shelf = Shelf(id=1).save()
    at(3), at(2)  # the scripts are known on all nodes
    for home in (4, 5, 6, 7, 8):
        at(home, shelf=shelf)
    assert names_of(lambda: at(9, shelf=shelf)) == ["commit"]
    assert names_of(lambda: at(10, shelf=shelf)) == ["commit", "register", "admit", "commit"]
    assert names_of(lambda: at(18, seen=shelf)) == ["commit"]
    box = Box.get(18)
    box.kept = shelf
    assert names_of(box.save) == ["commit"]
    box.code = "a"
    box.past = shelf
    assert "register" not in names_of(box.save)
    other = Shelf(id=2).save()
    assert names_of(Shelf(id=3).save().delete) == ["commit"]
    assert names_of(lambda: at(26, shelf=other)) == ["commit"]  # both in partition 2
    assert names_of(other.delete) == ["commit"]
    at_rest(db)


def test_bulk_writes(db: ormis.Database) -> None:
    """bulk_create() registers all at once; bulk_update() and update() refer to other objects afterwards."""
    shelves = Shelf.objects.bulk_create([Shelf() for _ in range(20)])
    boxes = Box.objects.bulk_create([Box(shelf=shelves[i % 20], code=f"c{i}") for i in range(100)])
    Item.objects.bulk_create([Item(box=box) for box in boxes])
    for i, box in enumerate(boxes):
        box.seen = shelves[-i % 20]
    assert Box.objects.bulk_update(boxes, ["seen"]) == 100
    assert Box.objects.filter(shelf=shelves[3]).update(home=shelves[4]) == 5
    assert Box.objects.filter(home=shelves[4]).count() == 5
    at_rest(db)
    assert shelves[3].delete() == (11, {"Box": 5, "Item": 5, "Shelf": 1})
    at_rest(db)
    count, by_model = Shelf.objects.all().delete()
    assert (count, by_model) == (209, {"Box": 95, "Item": 95, "Shelf": 19})
    at_rest(db)


def test_one_to_one(db: ormis.Database) -> None:
    """One object refers to another one, over partitions; the value is free when it goes."""
    box = at(1)
    for number in (2, 3):
        Label(id=number, box=at(number + 8)).save()
    label = Label(id=4, box=box).save()
    with pytest.raises(ormis.UniqueViolation):
        Label(id=5, box=box).save()
    with pytest.raises(ormis.ForeignKeyViolation):
        Label(id=6, box_id=77).save()
    label.delete()
    Label(id=5, box=box).save()
    assert box.delete() == (2, {"Box": 1, "Label": 1})
    at(1)
    Label(id=6, box_id=1).save()
    at_rest(db)


def test_get_or_create(db: ormis.Database) -> None:
    """get_or_create() and update_or_create() refer to objects of other partitions, and are refused as elsewhere."""
    shelf = Shelf(id=1).save()
    box, created = Box.objects.get_or_create(code="a", defaults={"shelf": shelf})
    assert created
    assert Box.objects.get_or_create(code="a", defaults={"shelf": shelf}) == (box, False)
    assert Item.objects.get_or_create(id=5, defaults={"box": box})[1]
    assert not Item.objects.update_or_create(id=5, defaults={"box": at(box.id + 1 if box.id else 0)})[1]
    with pytest.raises(ormis.ForeignKeyViolation):
        Item.objects.get_or_create(id=6, defaults={"box_id": 99})
    with pytest.raises(ormis.ForeignKeyViolation):
        Item.objects.update_or_create(id=5, defaults={"box_id": 99})
    at_rest(db)


def test_blocks(db: ormis.Database) -> None:
    """A block within one partition refers to objects elsewhere; what others refer to can't be deleted in it."""
    shelf = Shelf(id=1).save()
    with ormis.atomic():
        box = at(2, shelf=shelf)
        Item(id=10, box=box).save()
    with pytest.raises(ormis.ForeignKeyViolation), ormis.atomic():
        at(3, shelf=shelf)
        at(11, shelf_id=99)
    assert Box.objects.filter(id=3).count() == 0
    with pytest.raises(ormis.ClusterError, match=r"Shelf 1 can't be deleted inside of atomic\(\)"), ormis.atomic():
        shelf.delete()
    assert Shelf.objects.filter(id=1).exists()
    with ormis.atomic():
        box.delete()
    assert Item.objects.count() == 0
    with ormis.atomic():
        shelf.delete()
    assert not Shelf.objects.filter(id=1).exists()
    at_rest(db)


def test_async_twins(db: ormis.Database, cluster: LocalCluster) -> None:
    """Async code does the same."""

    async def work() -> None:
        shelf = await Shelf(id=1).asave()
        await asyncio.gather(*(Box(id=i, shelf=shelf).asave(force_insert=True) for i in range(2, 40)))
        with pytest.raises(ormis.ForeignKeyViolation):
            await Box(id=40, shelf_id=2).asave(force_insert=True)
        await Item.objects.abulk_create([Item(box_id=i) for i in range(2, 40)])
        await Box.objects.filter(id=3).aupdate(kept=shelf)
        with pytest.raises(ormis.ProtectedError):
            await shelf.adelete()
        await Box.objects.filter(id=3).aupdate(kept=None)
        assert await shelf.adelete() == (77, {"Box": 38, "Item": 38, "Shelf": 1})
        assert (await ormis.acheck(db, models=MODELS)).ok
        await db.aclose()

    asyncio.run(work())
    with ormis.connect(f"{cluster.url}?partitions={PARTITIONS}") as again:
        at_rest(again)


def test_a_prefix(db: ormis.Database, cluster: LocalCluster) -> None:
    """Databases with different prefixes have references of their own."""
    Shelf(id=1).save()
    at(2, shelf_id=1)
    with ormis.connect(f"{cluster.url}?partitions=4", prefix="shop:") as shop:
        with pytest.raises(ormis.ForeignKeyViolation):
            Box(id=2, shelf_id=1).save(using=shop)
        shelf = Shelf(id=1).save(using=shop)
        Box(id=2, shelf_id=1).save(using=shop)
        assert shelf.delete(using=shop) == (2, {"Box": 1, "Shelf": 1})
        assert ormis.check(shop, models=MODELS).findings == []


class ByName(ormis.Model):
    """A model that refers by a unique field."""

    box: ForeignKey[Box] = ForeignKey(on_delete=CASCADE, to_field="code")

    class Meta:
        key = "cr_by_name"


def test_to_field_is_refused(db: ormis.Database) -> None:
    """A reference by another field than the key is refused, before anything is written."""
    box = at(1, code="a")
    with pytest.raises(ormis.ClusterError, match=r"ByName\.box refers to cr_box by its code"):
        ByName(box=box).save()


# Deleting ------------------------------------------------------------------------------------------------------------


def test_what_refers_decides(db: ormis.Database) -> None:
    """Each rule, with objects that refer from all partitions; errors name all of them."""
    shelf = Shelf(id=1).save()
    kept = [at(i, kept=shelf) for i in range(1, 12)]
    with pytest.raises(ormis.ProtectedError) as caught:
        shelf.delete()
    assert sorted(caught.value.objects) == sorted(f"cr_box:{box.id}" for box in kept)
    Box.objects.all().delete()
    tied = [at(i, tied=shelf) for i in range(1, 12)]
    with pytest.raises(ormis.RestrictedError) as restricted:
        Shelf.objects.filter(id=1).delete()
    assert sorted(restricted.value.objects) == sorted(f"cr_box:{box.id}" for box in tied)
    for box in tied[1:]:
        box.delete()
    tied[0].shelf = shelf
    tied[0].save()
    assert shelf.delete() == (2, {"Box": 1, "Shelf": 1})  # what goes with it does not restrict it
    shelf = Shelf(id=1).save()
    for i in range(1, 12):
        at(i, seen=shelf, home=shelf, sent=shelf, past=shelf)
    assert shelf.delete() == (1, {"Shelf": 1})
    assert {(one.seen_id, one.home_id, one.sent_id, one.past_id) for one in Box.objects.all()} == {
        (None, None, None, 1)
    }
    assert ormis.check(db, models=MODELS).findings == []


def test_depth(db: ormis.Database) -> None:
    """A cascade goes through partitions, children first; what forbids it deep down leaves all as it is."""
    shelf = Shelf(id=1).save()
    parent = at(2, shelf=shelf)
    for i in range(3, 9):
        parent = at(i, inside=parent)
    item = Item(id=4, box=parent).save()
    other = at(20, kept=Shelf(id=9).save(), inside=parent)
    with pytest.raises(ormis.ProtectedError):
        Shelf.objects.filter(id__in=[1, 9]).delete()
    assert (Box.objects.count(), Item.objects.filter(id=item.id).count()) == (8, 1)
    at_rest(db)
    assert shelf.delete() == (10, {"Box": 8, "Item": 1, "Shelf": 1})
    assert not Box.objects.filter(id=other.id).exists()
    at_rest(db)


def test_a_ring(db: ormis.Database) -> None:
    """Objects of several partitions that refer to each other in a ring go together."""
    boxes = [at(i) for i in range(1, 4)]
    for one, other in zip(boxes, [*boxes[1:], boxes[0]], strict=True):
        one.inside = other
        one.save()
    Item(id=5, box=boxes[1]).save()
    assert boxes[0].delete() == (4, {"Box": 3, "Item": 1})
    at_rest(db)


def test_keys_that_are_used_again(db: ormis.Database) -> None:
    """An object with the key of a deleted one knows nothing of what referred to that."""
    for _ in range(3):
        shelf = Shelf(id=1).save()
        box = at(2, shelf=shelf)
        assert shelf.delete() == (2, {"Box": 1, "Shelf": 1})
        with pytest.raises(ormis.ForeignKeyViolation):
            at(10, shelf_id=1)
        assert not Box.objects.filter(id=box.id).exists()
    Shelf(id=1).save()
    at(10, shelf_id=1)
    at_rest(db)


def test_claims_of_what_goes(db: ormis.Database) -> None:
    """The unique values of objects that a cascade takes are free."""
    shelf = Shelf(id=1).save()
    for i in range(2, 8):
        at(i, shelf=shelf, code=f"c{i}")
    shelf.delete()
    for i in range(2, 8):
        at(i, code=f"c{i}")
    at_rest(db)


def test_a_large_cascade(cluster_url: str) -> None:
    """More objects than `Limits.cascade` refer to one, from all partitions."""
    limits = ormis.Limits(cascade=10, deleted=7, values=11)
    with ormis.connect(f"{cluster_url}?partitions={PARTITIONS}", limits=limits) as db:
        shelf = Shelf(id=1).save()
        boxes = Box.objects.bulk_create([Box(shelf=shelf) for _ in range(100)])
        Item.objects.bulk_create([Item(box=box) for box in boxes for _ in range(2)])
        assert shelf.delete() == (301, {"Box": 100, "Item": 200, "Shelf": 1})
        at_rest(db)


class Town(ormis.Model):
    """What a copy has last."""

    id: int | None = Field(default=None, primary_key=True)

    class Meta:
        key = "cr_town"


class Road(ormis.Model):
    """What a copy has first."""

    id: int | None = Field(default=None, primary_key=True)
    town: ForeignKey[Town] = ForeignKey(on_delete=CASCADE, related_name="roads")

    class Meta:
        key = "cr_road"


def test_copies(db: ormis.Database, cluster: LocalCluster) -> None:
    """A copy to another number of partitions has its references, whichever model comes first."""
    towns = Town.objects.bulk_create([Town() for _ in range(6)])
    Road.objects.bulk_create([Road(town=towns[i % 6]) for i in range(30)])
    with ormis.connect(f"{cluster.url}?partitions=5&prefix=to:") as to:
        assert ormis.copy(db, to, models=[Road, Town]).ok
        assert ormis.check(to, models=[Road, Town]).findings == []
        assert Town.objects.using(to).get(id=towns[0].id).delete(using=to) == (6, {"Road": 5, "Town": 1})
        assert ormis.check(to, models=[Road, Town]).findings == []
