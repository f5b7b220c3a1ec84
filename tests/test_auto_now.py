"""Field(auto_now=True) and Field(auto_now_add=True): dates and times that writes set to the time of the write."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, AwareDatetime, NaiveDatetime

import ormis
from model_factory import make
from modes import MODES, do
from ormis import SET_NULL, F, Field, ForeignKey, ModelError

LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


class Box(ormis.Model):
    """What items are in."""

    class Meta:
        key = "auto_box"


class Item(ormis.Model):
    """Has both."""

    name: str = ""
    code: str | None = Field(default=None, unique=True)
    size: int = 0
    box: ForeignKey[Box | None] = ForeignKey(on_delete=SET_NULL, related_name="items")
    created: datetime = Field(auto_now_add=True)
    changed: datetime = Field(auto_now=True, index=True)

    class Meta:
        key = "auto_item"


class Kinds(ormis.Model):
    """Each type that may have the time."""

    plain: datetime = Field(auto_now=True)
    aware: AwareDatetime = Field(auto_now=True)
    naive: NaiveDatetime = Field(auto_now=True)
    optional: Annotated[NaiveDatetime | None, Field(auto_now=True)]
    day: date = Field(auto_now=True)
    hour: time | None = Field(auto_now_add=True)
    rounded: Annotated[datetime, AfterValidator(lambda value: value.replace(microsecond=0))] = Field(auto_now=True)

    class Meta:
        key = "auto_kinds"


class Entry(ormis.Model):
    """An abstract base."""

    changed: datetime = Field(auto_now=True)

    class Meta:
        abstract = True


class Line(Entry):
    """Inherits the field."""

    class Meta:
        key = "auto_line"


@pytest.fixture
def item(db: ormis.Database, raw: Any) -> Item:
    """An item that was stored long ago."""
    return aged(raw, Item(name="a", code="1").save())


def aged(raw: Any, item: Item) -> Item:
    """The item as if it had been stored long ago."""
    for name in ("created", "changed"):
        raw.hset(item.key, name, "2001-01-01T00:00:00.000000Z")
    ormis.check(models=[Item], repair=True)
    return Item.get(item.pk)


def recent(value: datetime) -> bool:
    """True for a time of this test."""
    return timedelta(0) <= datetime.now(UTC) - value < timedelta(minutes=1)


def marks(item: Item) -> tuple[bool, bool]:
    """Whether the stored object was created and changed in this test."""
    stored = Item.get(item.pk)
    assert Item.objects.filter(changed__gt=LONG_AGO, pk=item.pk).exists() == recent(stored.changed)
    return recent(stored.created), recent(stored.changed)


@MODES
async def test_a_new_object_has_both(mode: str, db: ormis.Database) -> None:
    """The same time; neither is given to the constructor, and one that is given does not stay."""
    item = await do(mode, Item(created=LONG_AGO, changed=LONG_AGO), "save")
    assert item.created == item.changed
    assert marks(item) == (True, True)
    assert Item.get(item.pk) == item
    assert Item.get(item.pk).created == item.created
    assert (await do(mode, Item.objects, "create")).created > item.created


@MODES
async def test_a_save_sets_auto_now(mode: str, item: Item) -> None:
    """Every save, also of an object that is as it was; with update_fields if it is named there, as in Django."""
    await do(mode, item, "save")
    assert marks(item) == (False, True)
    assert recent(item.changed)


@MODES
async def test_update_fields(mode: str, item: Item) -> None:
    """Only what is named is written."""
    await do(mode, item, "save", update_fields=["name"])
    assert (marks(item), item.changed) == ((False, False), LONG_AGO)
    await do(mode, item, "save", update_fields=["name", "changed"])
    assert marks(item) == (False, True)


@MODES
@pytest.mark.parametrize(
    "path", ["update", "update by the client", "update_or_create", "bulk_update", "add", "remove", "set", "deferred"]
)
async def test_every_change_sets_auto_now(mode: str, path: str, item: Item) -> None:
    """update() and bulk_update(), update_or_create(), managers of relations; auto_now_add stays."""
    box = Box().save()
    if path == "update":
        assert await do(mode, Item.objects, "update", name="b") == 1
    elif path == "update by the client":
        assert await do(mode, Item.objects.filter(name__iregex="A"), "update", size=F("size") + 4 / 2) == 1
    elif path == "update_or_create":
        await do(mode, Item.objects, "update_or_create", code="1", defaults={"name": "b"})
    elif path == "bulk_update":
        await do(mode, Item.objects, "bulk_update", [item], ["name"])
        assert recent(item.changed)
    elif path == "add":
        await do(mode, box.items, "add", item)
        assert recent(item.changed)
        item.save(if_unchanged=True)
    elif path == "deferred":
        await do(mode, Item.objects.only("name").get(code="1"), "save")
    else:
        Item.objects.bulk_update([item], ["name"])
        box.items.add(item)
        item = Item.get(item.pk)
        Item.objects.update(changed=LONG_AGO)
        assert not recent(Item.get(item.pk).changed)
        await do(mode, box.items, path, *((item,) if path == "remove" else ([],)))
        assert box.items.count() == 0
    assert marks(item) == (False, True)


@MODES
async def test_what_does_not_change_an_object(mode: str, item: Item) -> None:
    """A time that is given to update() stays; update() of nothing, get_or_create() and expire() write none."""
    await do(mode, Item.objects, "update", changed=LONG_AGO + timedelta(1))
    assert Item.get(item.pk).changed == LONG_AGO + timedelta(1)
    await do(mode, Item.objects, "update")
    await do(mode, Item.objects, "get_or_create", code="1")
    await do(mode, Item.objects, "expire", 100)
    assert Item.get(item.pk).changed == LONG_AGO + timedelta(1)


@MODES
async def test_bulk_create(mode: str, item: Item) -> None:
    """All objects of a batch have the same time; an object that is updated on a conflict gets it as well."""
    made = await do(mode, Item.objects, "bulk_create", [Item(), Item(created=LONG_AGO)])
    assert made[0].created == made[1].created == made[1].changed
    assert marks(made[1]) == (True, True)
    new = Item(code="1", name="b")
    await do(
        mode,
        Item.objects,
        "bulk_create",
        [new],
        update_conflicts=True,
        update_fields=["name"],
        unique_fields=["code"],
    )
    assert (marks(item), Item.get(item.pk).name) == ((False, True), "b")


@MODES
@pytest.mark.parametrize("method", ["get_or_create", "update_or_create"])
async def test_created_by_a_lookup(mode: str, method: str, db: ormis.Database) -> None:
    """The new object has both times, in one call."""
    with ormis.capture_calls() as calls:
        item, created = await do(mode, Item.objects, method, name="x", defaults={"size": 3})
    assert (created, len(calls), marks(item)) == (True, 1, (True, True))


@MODES
async def test_blocks(mode: str, item: Item) -> None:
    """The time is that of save(), not of the end of the block; the time of another client is no conflict."""
    async with ormis.atomic():
        item.name = "b"
        await do(mode, item, "save")
        at = item.changed
        assert recent(at)
        with ThreadPoolExecutor(1) as another:
            another.submit(Item.objects.update, size=7).result()
    stored = Item.get(item.pk)
    assert (stored.changed, stored.name, stored.size) == (at, "b", 7)


def test_times_of_others_are_no_conflict(item: Item) -> None:
    """Clients that change different fields do not conflict over the time that both set."""
    mine, others = Item.get(item.pk), Item.get(item.pk)
    others.size = 4
    others.save(if_unchanged=True)
    mine.name = "mine"
    mine.save(if_unchanged=True)
    assert (Item.get(item.pk).name, Item.get(item.pk).size) == ("mine", 4)
    mine.size = 5
    with pytest.raises(ormis.ConflictError):
        mine.save(if_unchanged=True)


def test_each_type(db: ormis.Database) -> None:
    """Aware times and naive ones are in UTC; a plain datetime is aware; validators of the field apply."""
    before = datetime.now(UTC)
    kinds = Kinds().save()
    stored = Kinds.get(kinds.pk)
    assert stored.model_dump() == kinds.model_dump()
    assert stored.plain.tzinfo is not None
    assert stored.plain == stored.aware >= before
    assert stored.naive == stored.optional == stored.plain.replace(tzinfo=None)
    assert (stored.day, stored.hour) == (stored.plain.date(), stored.plain.time())
    assert stored.rounded == stored.plain.replace(microsecond=0)
    assert Kinds.objects.update(day=date(2001, 1, 1)) == 1
    changed = Kinds.get(kinds.pk)
    assert (changed.day, changed.hour) == (date(2001, 1, 1), stored.hour)
    assert changed.naive > stored.naive


def test_inherited_fields(db: ormis.Database) -> None:
    """A model that inherits the field from an abstract base has it as well."""
    line = Line().save()
    assert recent(Line.get(line.pk).changed)


def test_the_time_is_known_before_the_object_is_stored() -> None:
    """A new object has the time at which it was made, until it is saved."""
    assert recent(Item().created)
    assert Kinds().naive.tzinfo is None
    assert set(Item.model_json_schema().get("required", ())) == set()


def test_frozen_fields(db: ormis.Database) -> None:
    """A field that can't be assigned is set all the same."""

    class Frozen(ormis.Model):
        at: datetime = Field(auto_now=True, frozen=True)

        class Meta:
            key = "auto_frozen"

    frozen = Frozen().save()
    first = frozen.at
    assert frozen.save().at > first
    assert Frozen.get(frozen.pk).at == frozen.at


@pytest.mark.parametrize(
    ("annotation", "options", "message"),
    [
        (int, {"auto_now": True}, r"Made\.at: auto_now is for a date, a time or a datetime"),
        (timedelta, {"auto_now_add": True}, r"Made\.at: auto_now_add is for a date"),
        (str, {"auto_now": True}, "auto_now is for"),
        (date | datetime, {"auto_now": True}, "auto_now is for"),
        (datetime, {"auto_now": True, "primary_key": True}, "would change the primary key"),
        (datetime, {"auto_now": True, "auto_now_add": True}, "auto_now and auto_now_add exclude each other"),
        (datetime, {"auto_now": True, "default": None}, "auto_now and default exclude each other"),
        (datetime, {"auto_now_add": True, "default_factory": datetime.now}, "auto_now_add and default_factory exclude"),
    ],
)
def test_declarations_that_are_refused(annotation: Any, options: dict[str, Any], message: str) -> None:
    """Other types, keys, and options that give the value as well."""
    with pytest.raises(ModelError, match=message):
        make("Made", __name__, at=(annotation, Field(**options)))


def test_a_default_beside_it() -> None:
    """A default that is assigned beside Annotated is refused, too; a plain one by pydantic."""
    timed = Annotated[datetime, Field(auto_now=True)]
    with pytest.raises(ModelError, match=r"Made\.at: auto_now gives the value, so there is no default"):
        make("Made", __name__, at=(timed, Field(default_factory=datetime.now)))
    with pytest.raises(TypeError, match="cannot specify both default and default_factory"):
        make("Made", __name__, at=(timed, LONG_AGO))
