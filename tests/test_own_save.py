"""save() and asave() of a class of one's own: called by every path that saves one object, as in Django."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import pytest

import ormis
from modes import MODES, do
from ormis import SET_NULL, Field, ForeignKey, ManyToMany, UniqueViolation

LOG: list[dict[str, Any]] = []


class Room(ormis.Model):
    """What guests are in."""

    class Meta:
        key = "ownsave_room"


class Guest(ormis.Model):
    """Writes its name in capitals, and what save() is given into a log."""

    name: str = ""
    code: str | None = Field(default=None, unique=True)
    size: int = 0
    room: ForeignKey[Room | None] = ForeignKey(on_delete=SET_NULL, related_name="guests")
    rooms: ManyToMany[Room] = ManyToMany(related_name="linked")
    paired: ManyToMany[Room] = ManyToMany(related_name="paired", through="Stay")

    class Meta:
        key = "ownsave_guest"

    def save(self, **options: Any) -> Self:
        """Saves."""
        LOG.append(options)
        self.name = self.name.upper()
        return super().save(**options)

    async def asave(self, **options: Any) -> Self:
        """As save()."""
        LOG.append(options)
        self.name = self.name.upper()
        return await super().asave(**options)


class Stay(ormis.Model):
    """A link."""

    guest: ForeignKey[Guest] = ForeignKey(on_delete=ormis.CASCADE)
    room: ForeignKey[Room] = ForeignKey(on_delete=ormis.CASCADE)

    class Meta:
        key = "ownsave_stay"


@pytest.fixture(autouse=True)
def log(db: ormis.Database) -> list[dict[str, Any]]:
    """The log of this test."""
    LOG.clear()
    return LOG


@MODES
@pytest.mark.parametrize("block", [False, True])
async def test_every_path_calls_it(mode: str, block: bool, db: ormis.Database) -> None:
    """create, get_or_create, update_or_create and managers of relations; with force_insert for new objects, and using.

    Inside a block of atomic() as well.
    """
    room, new = Room().save(), {"force_insert": True, "using": db}
    paths = {
        "create": (Guest.objects, {}),
        "get_or_create": (Guest.objects, {"defaults": {"size": 1}}),
        "update_or_create": (Guest.objects, {"defaults": {"size": 1}}),
    }
    managers = {"own": Guest.objects, "reverse": room.guests, "linked": room.linked, "paired": room.paired}
    for name, manager in managers.items():
        for method, (_, options) in paths.items():
            LOG.clear()
            text = f"{name} {method}"
            if block:
                async with ormis.atomic():
                    made = await do(mode, manager, method, name=text, **options)
            else:
                made = await do(mode, manager, method, name=text, **options)
            record = made if method == "create" else made[0]
            assert method == "create" or made[1]
            assert [new] == LOG, (name, method)
            assert (record.name, manager.get(pk=record.pk).name) == (text.upper(), text.upper())
    assert [manager.count() for manager in managers.values()] == [12, 3, 3, 3]


@MODES
async def test_objects_that_are_there(mode: str, db: ormis.Database) -> None:
    """get_or_create() saves nothing then; update_or_create() saves the object if it is as it was read."""
    guest = Guest(name="A", code="1").save()
    LOG.clear()
    assert await do(mode, Guest.objects, "get_or_create", code="1") == (guest, False)
    assert LOG == []
    found, created = await do(mode, Guest.objects, "update_or_create", code="1", defaults={"name": "b"})
    assert (found, created, found.name, Guest.get(guest.pk).name) == (guest, False, "B", "B")
    assert [{"if_unchanged": True, "using": db}] == LOG


@MODES
async def test_add_saves_whole_objects(mode: str, db: ormis.Database) -> None:
    """add(bulk=False) and set(bulk=False) call it for each, all or none; add() of stored objects does not."""
    room, old = Room().save(), Guest(name="old", code="1").save()
    LOG.clear()
    await do(mode, room.guests, "add", old, Guest(name="new"), bulk=False)
    assert [{"using": db}] * 2 == LOG
    assert sorted(guest.name for guest in room.guests.all()) == ["NEW", "OLD"]
    with pytest.raises(UniqueViolation):
        await do(mode, room.guests, "add", Guest(name="x"), Guest(code="1"), bulk=False)
    assert Guest.objects.count() == 2
    LOG.clear()
    await do(mode, room.guests, "set", [Guest(name="last")], bulk=False)
    await do(mode, room.guests, "add", old)
    await do(mode, Guest.objects, "bulk_create", [Guest(name="bulk")])
    await do(mode, Guest.objects, "bulk_update", [old], ["name"])
    await do(mode, Guest.objects, "update", size=3)
    assert [{"using": db}] == LOG
    assert sorted(guest.name for guest in room.guests.all()) == ["LAST", "OLD"]


def test_hooks_and_receivers_come_with_super() -> None:
    """They run inside the save() of Model, which an own one calls."""
    order: list[str] = []

    class Ordered(ormis.Model):
        @ormis.before_save
        @ormis.after_save
        def hook(self) -> None:
            order.append("hook")

        def save(self, **options: Any) -> Self:
            order.append("save")
            super().save(**options)
            order.append("saved")
            return self

        class Meta:
            key = "ownsave_ordered"

    Ordered.objects.get_or_create()
    assert order == ["save", "hook", "hook", "saved"]


# Races ---------------------------------------------------------------------------------------------------------------


def test_get_or_create_by_many_threads() -> None:
    """A unique value keeps them from creating two: who is refused gets the object of the others."""
    with ThreadPoolExecutor(8) as pool:
        done = [*pool.map(lambda n: Guest.objects.get_or_create(code=str(n % 5), defaults={"size": n}), range(80))]
    assert Guest.objects.count() == 5
    assert sum(created for _, created in done) == 5
    assert {guest.code for guest, _ in done} == {"0", "1", "2", "3", "4"}


def test_update_or_create_by_many_threads() -> None:
    """Each update is applied once, to the one object."""
    with ThreadPoolExecutor(8) as pool:
        [
            *pool.map(
                lambda _: Guest.objects.update_or_create(
                    code="1", defaults={"size": ormis.F("size") + 1}, create_defaults={"size": 1}
                ),
                range(60),
            )
        ]
    assert [guest.size for guest in Guest.objects.all()] == [60]


@MODES
async def test_a_refusal_that_is_about_another_object(mode: str) -> None:
    """A UniqueViolation comes as it is if the object is not found after it either."""
    Guest(name="a", code="1").save()
    for method in ("get_or_create", "update_or_create"):
        with pytest.raises(UniqueViolation):
            await do(mode, Guest.objects, method, name="other", defaults={"code": "1"})
    assert Guest.objects.count() == 1


@MODES
async def test_errors_of_its_own(mode: str) -> None:
    """A DoesNotExist or ConflictError that it raises about others is not taken for a race."""

    class Picky(ormis.Model):
        code: str = Field(unique=True)
        kind: str = ""

        def check(self) -> None:
            if self.kind == "gone":
                Picky.get(99)
            if self.kind == "conflict":
                raise ormis.ConflictError("of another", model="Other")

        def save(self, **options: Any) -> Self:
            self.check()
            return super().save(**options)

        async def asave(self, **options: Any) -> Self:
            self.check()
            return await super().asave(**options)

        class Meta:
            key = "ownsave_picky"

    Picky(code="1").save()
    with pytest.raises(Picky.DoesNotExist, match="id=99"):
        await do(mode, Picky.objects, "update_or_create", code="1", defaults={"kind": "gone"})
    with pytest.raises(ormis.ConflictError, match="of another"):
        await do(mode, Picky.objects, "update_or_create", code="1", defaults={"kind": "conflict"})
    with pytest.raises(Picky.DoesNotExist):
        await do(mode, Picky.objects, "get_or_create", code="2", defaults={"kind": "gone"})
    assert Picky.objects.count() == 1


def test_an_object_that_goes_while_it_is_updated() -> None:
    """update_or_create() creates it then."""

    class Fading(ormis.Model):
        code: str = Field(unique=True)
        size: int = 0

        def save(self, **options: Any) -> Self:
            if self.pk is not None and self.size == 1:
                Fading.objects.all().delete()
            return super().save(**options)

        class Meta:
            key = "ownsave_fading"

    first = Fading(code="1").save()
    found, created = Fading.objects.update_or_create(code="1", defaults={"size": 1})
    assert (created, found == first, Fading.objects.count()) == (True, False, 1)


# One of the two only -------------------------------------------------------------------------------------------------


class OnlySync(ormis.Model):
    """Overrides save() alone, in an abstract base."""

    class Meta:
        abstract = True

    def save(self, **options: Any) -> Self:
        """Saves."""
        LOG.append(options)
        return super().save(**options)


class Sync(OnlySync):
    """Has an own save()."""

    name: str = ""

    class Meta:
        key = "ownsave_sync"


class Async(ormis.Model):
    """Overrides asave() alone."""

    name: str = ""

    class Meta:
        key = "ownsave_async"

    async def asave(self, **options: Any) -> Self:
        """Saves."""
        LOG.append(options)
        return await super().asave(**options)


def test_a_call_that_would_pass_by_it_is_refused() -> None:
    """A class that overrides one of the two can't be saved by the other, which would leave out what it does."""
    Sync(name="a").save()
    assert Sync.objects.get_or_create(name="b")[1]
    message = r"Sync overrides save\(\) and not asave\(\), so this call would pass by it: override asave\(\) as well"
    for call in (Sync(name="c").asave(), Sync.objects.acreate(name="c"), Sync.objects.aget_or_create(name="c")):
        with pytest.raises(ormis.OrmisError, match=message):
            asyncio.run(call)
    asyncio.run(Async(name="a").asave())
    assert asyncio.run(Async.objects.aget_or_create(name="b"))[1]
    for other in (
        lambda: Async().save(),
        lambda: Async.objects.create(),
        lambda: Async.objects.update_or_create(name="z"),
    ):
        with pytest.raises(ormis.OrmisError, match=r"Async overrides asave\(\) and not save\(\)"):
            other()
    assert (Sync.objects.count(), Async.objects.count(), len(LOG)) == (2, 2, 4)
