"""Where features of writes meet: hooks, signals, auto_now and own save() beside to_field, SET(), set() as one commit,
changes in several steps, and conditions that Python evaluates.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from datetime import datetime
from threading import Thread
from typing import Any, Self

import pytest

import ormis
from modes import MODES, do
from ormis import (
    CASCADE,
    SET,
    SET_DEFAULT,
    SET_NULL,
    F,
    Field,
    ForeignKey,
    Limits,
    ManyToMany,
    Q,
    UniqueConstraint,
    after_save,
    before_save,
)
from ormis.operations.writing import foreign_keys
from ormis.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save

LOG: list[str] = []


class Shelf(ormis.Model):
    slug: str = Field(unique=True)
    floor: int = 0

    class Meta:
        key = "combined_shelf"


class Book(ormis.Model):
    """Refers to a shelf by its key and to one by its slug; notes its hooks, with the shelves that they see."""

    name: str = ""
    place: int = 0
    shelf: ForeignKey[Shelf | None] = ForeignKey(on_delete=SET_NULL, related_name="by_key")
    other: ForeignKey[Shelf | None] = ForeignKey(on_delete=SET_NULL, to_field="slug", related_name="by_slug")
    changed: datetime = Field(auto_now=True)

    class Meta:
        key = "combined_book"
        constraints = [UniqueConstraint("shelf", "place"), UniqueConstraint("other", "place")]

    @before_save
    def entering(self) -> None:
        seen: list[str] = []
        with suppress(ormis.errors.RelationNotLoaded):
            seen = [relation.slug for relation in (self.shelf, self.other) if relation is not None]
        LOG.append(f"before {self.name} {'/'.join(seen)}".strip())

    @after_save
    def leaving(self, created: bool) -> None:
        LOG.append(f"{'created' if created else 'changed'} {self.name}")


class SelfSaved(ormis.Model):
    """Has a save() of its own."""

    name: str = ""
    place: int = 0
    shelf: ForeignKey[Shelf | None] = ForeignKey(on_delete=SET_NULL, related_name="owned")
    other: ForeignKey[Shelf | None] = ForeignKey(on_delete=SET_NULL, to_field="slug", related_name="owned_by_slug")
    changed: datetime = Field(auto_now=True)

    class Meta:
        key = "combined_self_saved"
        constraints = [UniqueConstraint("shelf", "place"), UniqueConstraint("other", "place")]

    def save(self, **options: Any) -> Self:
        LOG.append(f"save {self.name}")
        return super().save(**options)

    async def asave(self, **options: Any) -> Self:
        LOG.append(f"save {self.name}")
        return await super().asave(**options)


FIELDS = {"by_key": "shelf", "by_slug": "other", "owned": "shelf", "owned_by_slug": "other"}
SIDES = pytest.mark.parametrize("side", ["by_key", "by_slug"])
OWN_SIDES = pytest.mark.parametrize("side", ["owned", "owned_by_slug"])
BULK = pytest.mark.parametrize("bulk", [True, False], ids=["bulk", "whole"])
BLOCKS = pytest.mark.parametrize("block", [False, True], ids=["alone", "in a block"])


@pytest.fixture(autouse=True)
def log(db: ormis.Database) -> Iterator[None]:
    """An empty log."""
    LOG.clear()
    yield
    assert ormis.check(db, models=[Shelf, Book, SelfSaved]).ok


def shelf_of(record: Any, side: str) -> Any:
    """The key of the shelf that is stored of an object."""
    return getattr(type(record).get(record.pk), f"{FIELDS[side]}_id")


def within(block: bool) -> AbstractAsyncContextManager[Any]:
    """A block, or none."""
    return ormis.atomic() if block else nullcontext()


# set() of foreign keys -----------------------------------------------------------------------------------------------


@MODES
@SIDES
@BULK
@BLOCKS
async def test_set_tells_hooks_of_the_given_objects(mode: str, side: str, bulk: bool, block: bool) -> None:
    """Each once, with the new shelf in hand; receivers if they are saved whole; all that changes gets the time."""
    shelf, told = Shelf(slug="s").save(), list[str]()
    kept, gone, fresh = (Book(name=name, place=at).save() for at, name in enumerate("kgf"))
    getattr(shelf, side).add(kept, gone)
    times = {book.pk: book.changed for book in (kept, gone, fresh)}

    def receive(instance: Book, **_: Any) -> None:
        told.append(instance.name)

    post_save.connect(receive, sender=Book)
    LOG.clear()
    try:
        async with within(block):
            await do(mode, getattr(shelf, side), "set", [kept, fresh], bulk=bulk)
            assert not block or LOG == ["before k s", "before f s"]
    finally:
        post_save.disconnect(receive, sender=Book)
    assert LOG == ["before k s", "before f s", "changed k", "changed f"]
    assert told == ([] if bulk else ["k", "f"])
    assert [*getattr(shelf, side).order_by("pk")] == [kept, fresh]
    assert shelf_of(gone, side) is None
    assert all(Book.get(pk).changed > time for pk, time in times.items())
    assert (kept.changed, fresh.changed) == (Book.get(kept.pk).changed, Book.get(fresh.pk).changed)


@SIDES
@BULK
def test_set_takes_two_calls(db: ormis.Database, side: str, bulk: bool) -> None:
    """One reads the keys of those that are released, one writes; hooks add none."""
    shelf = Shelf(slug="s").save()
    books = [Book(place=at).save() for at in range(4)]
    getattr(shelf, side).add(*books[:2])
    with ormis.capture_calls() as calls:
        getattr(shelf, side).set(books[2:], bulk=bulk)
    assert len(calls) == 2


@MODES
@SIDES
@BULK
@BLOCKS
async def test_a_refused_set(mode: str, side: str, bulk: bool, block: bool) -> None:
    """Changes nothing, the time neither, and runs no after-hooks."""
    shelf = Shelf(slug="s").save()
    one, same, too = Book(name="1", place=1).save(), Book(name="2", place=2).save(), Book(name="3", place=2).save()
    getattr(shelf, side).add(one)
    times = [book.changed for book in Book.objects.order_by("pk")]
    LOG.clear()
    with pytest.raises(ormis.UniqueViolation):
        async with within(block):
            await do(mode, getattr(shelf, side), "set", [same, too], bulk=bulk)
    assert LOG == ["before 2 s", "before 3 s"]
    assert [*getattr(shelf, side).all()] == [one]
    assert [book.changed for book in Book.objects.order_by("pk")] == times
    if bulk and not block:
        assert [getattr(book, f"{FIELDS[side]}_id") for book in (same, too)] == [None, None]


@MODES
@SIDES
async def test_a_hook_that_raises_before_a_set(
    mode: str, side: str, monkeypatch: pytest.MonkeyPatch, db: ormis.Database
) -> None:
    """Nothing is sent, and the objects refer to what they did."""
    shelf, book = Shelf(slug="s").save(), Book(name="x").save()

    def entering(self: Book) -> None:
        raise ValueError("no")

    monkeypatch.setattr(Book, "entering", entering)
    for method, arguments in (("set", ([book],)), ("add", (book,))):
        with ormis.capture_calls() as calls, pytest.raises(ValueError, match="no"):
            await do(mode, getattr(shelf, side), method, *arguments)
        assert len(calls) == 0
        assert (book.shelf_id, book.other_id, book.shelf, book.other) == (None, None, None, None)


@SIDES
@BULK
def test_a_set_in_steps(url: str, side: str, bulk: bool) -> None:
    """A step that is refused leaves its own objects and those behind it as they were, in memory as in the database."""
    with ormis.connect(url, limits=Limits(links=2)):
        shelf = Shelf(slug="s").save()
        old = [Book(name=f"o{at}", place=at).save() for at in range(3)]
        getattr(shelf, side).add(*old)
        new = [Book(name=f"n{at}", place=10 + at).save() for at in range(4)]
        blocked = Book(name="b", place=12).save()
        LOG.clear()
        with pytest.raises(ormis.UniqueViolation):
            getattr(shelf, side).set([*new, blocked], bulk=bulk)
        assert [entry for entry in LOG if "changed" in entry] == ["changed n0", "changed n1", "changed n2"]
        held = shelf.pk if side == "by_key" else "s"
        assert [shelf_of(book, side) for book in (*old, *new, blocked)] == [*[None] * 3, *[held] * 3, None, None]
        if bulk:
            for book in (*new, blocked):
                assert getattr(book, f"{FIELDS[side]}_id") == shelf_of(book, side)
        getattr(shelf, side).set([*old, new[0]], bulk=bulk)
        assert [*getattr(shelf, side).order_by("pk")] == [*old, new[0]]


@SIDES
@BULK
def test_a_set_beside_another_client(side: str, bulk: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another client moves between the reading and the writing stays there; hooks run once all the same."""
    shelf, far = Shelf(slug="s").save(), Shelf(slug="far").save()
    moved, gone, new = (Book(name=name, place=at).save() for at, name in enumerate("mgn"))
    getattr(shelf, side).add(moved, gone)
    move_after_reading(monkeypatch, moved, FIELDS[side], far)
    LOG.clear()
    getattr(shelf, side).set([new], bulk=bulk)
    assert LOG == ["before n s", "changed n"]
    assert [*getattr(shelf, side).all()] == [new]
    assert [*getattr(far, side).all()] == [moved]
    assert shelf_of(gone, side) is None


@SIDES
@BLOCKS
@pytest.mark.parametrize("clear", [False, True])
async def test_set_writes_the_reference_of_a_stale_object(side: str, block: bool, clear: bool) -> None:
    """Also if the object, which is saved whole, refers to the shelf as far as it knows; and by add() as well."""
    shelf, method = Shelf(slug="s").save(), getattr(Shelf(slug="s", id=1), side)
    book = Book(name="b").save()
    getattr(shelf, side).add(book)
    stale = Book.get(book.pk)
    for _ in range(2):
        async with within(block):
            method.set([stale], bulk=False, clear=clear)
        assert [*method.all()] == [book]
        method.clear()
    method.add(stale, bulk=False)
    assert [*method.all()] == [book]


@OWN_SIDES
@pytest.mark.parametrize("clear", [False, True])
def test_set_with_an_own_save_of_a_stale_object(side: str, clear: bool) -> None:
    """The same."""
    shelf, record = Shelf(slug="s").save(), SelfSaved(name="o").save()
    getattr(shelf, side).add(record)
    for _ in range(2):
        getattr(shelf, side).set([record], bulk=False, clear=clear)
        assert [*getattr(shelf, side).all()] == [record]
        SelfSaved.objects.update(**{FIELDS[side]: None})


def move_after_reading(patch: pytest.MonkeyPatch, record: Any, field: str, target: Shelf) -> None:
    """Has the object refer to another one when set() has read the keys of those that it releases."""
    evaluate = foreign_keys.evaluate

    def evaluated(*arguments: Any) -> Any:
        found = yield from evaluate(*arguments)
        patch.undo()
        other = Thread(target=type(record).objects.filter(pk=record.pk).update, kwargs={field: target})
        other.start()  # a thread is in no block
        other.join()
        return found

    patch.setattr(foreign_keys, "evaluate", evaluated)


@MODES
@OWN_SIDES
@BLOCKS
async def test_set_with_an_own_save(mode: str, side: str, block: bool) -> None:
    """It is called for each; releasing and saving are all or nothing."""
    shelf, times = Shelf(slug="s").save(), dict[int, datetime]()
    one, two, three = (SelfSaved(name=str(at), place=at).save() for at in range(1, 4))
    same = SelfSaved(name="same", place=3).save()
    getattr(shelf, side).add(one, two)
    times = {record.pk: record.changed for record in SelfSaved.objects.all()}
    LOG.clear()
    with pytest.raises(ormis.UniqueViolation):
        async with within(block):
            await do(mode, getattr(shelf, side), "set", [three, same], bulk=False)
    assert LOG == ["save 3", "save same"]
    assert [*getattr(shelf, side).order_by("pk")] == [one, two]
    assert {record.pk: record.changed for record in SelfSaved.objects.all()} == times
    async with within(block):
        await do(
            mode,
            getattr(shelf, side),
            "set",
            [SelfSaved.get(two.pk), SelfSaved.get(three.pk), SelfSaved(name="n")],
            bulk=False,
        )
    assert [record.name for record in getattr(shelf, side).order_by("pk")] == ["2", "3", "n"]
    assert shelf_of(one, side) is None
    assert SelfSaved.get(one.pk).changed > times[one.pk]


@OWN_SIDES
def test_set_with_an_own_save_beside_another_client(side: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its save() is not run a second time: the call is refused, and nothing is written."""
    shelf, far = Shelf(slug="s").save(), Shelf(slug="far").save()
    moved, gone = SelfSaved(name="m", place=1).save(), SelfSaved(name="g", place=2).save()
    getattr(shelf, side).add(moved, gone)
    move_after_reading(monkeypatch, moved, FIELDS[side], far)
    LOG.clear()
    with pytest.raises(ormis.ConflictError):
        getattr(shelf, side).set([SelfSaved(name="n")], bulk=False)
    assert LOG == ["save n"]
    assert ([*getattr(shelf, side).all()], [*getattr(far, side).all()], SelfSaved.objects.count()) == (
        [gone],
        [moved],
        2,
    )


def test_set_of_an_object_without_the_unique_value(db: ormis.Database) -> None:
    """Nothing can refer to it by the field, so nothing is released; objects are refused."""

    class Desk(ormis.Model):
        slug: str | None = Field(default=None, unique=True)

        class Meta:
            key = "combined_desk"

    class Pen(ormis.Model):
        desk: ForeignKey[Desk | None] = ForeignKey(to_field="slug", related_name="pens")

        class Meta:
            key = "combined_pen"

    desk, pen = Desk().save(), Pen().save()
    desk.pens.set([], bulk=False)
    for bulk in (True, False):
        with pytest.raises(ormis.ForeignKeyViolation):
            desk.pens.set([pen], bulk=bulk)
    assert Pen.get(pen.pk).desk_id is None


# add() and remove() --------------------------------------------------------------------------------------------------


@MODES
@SIDES
async def test_add_and_remove_by_either_field(mode: str, side: str) -> None:
    """Hooks see the object that is referred to, and none; a refused remove() leaves the objects as they are."""
    shelf, far = Shelf(slug="s").save(), Shelf(slug="far").save()
    book = Book(name="b").save()
    LOG.clear()
    await do(mode, getattr(shelf, side), "add", book)
    assert (LOG, shelf_of(book, side)) == (["before b s", "changed b"], shelf.pk if side == "by_key" else "s")
    LOG.clear()
    with pytest.raises(Book.DoesNotExist, match="not among the objects"):
        await do(mode, getattr(far, side), "remove", book)
    assert getattr(book, FIELDS[side]) == shelf
    await do(mode, getattr(shelf, side), "remove", book)
    assert LOG == ["before b", "before b", "changed b"]
    assert (shelf_of(book, side), getattr(book, FIELDS[side])) == (None, None)


@MODES
@SIDES
async def test_objects_made_through_a_manager(mode: str, side: str) -> None:
    """create, get_or_create and update_or_create run hooks that see the shelf, and give the times."""
    shelf = Shelf(slug="s").save()
    manager = getattr(shelf, side)
    first = await do(mode, manager, "create", name="a", place=1)
    found, created = await do(mode, manager, "get_or_create", name="a")
    assert (found, created, LOG) == (first, False, ["before a s", "created a"])
    LOG.clear()
    second, created = await do(mode, manager, "get_or_create", name="b", defaults={"place": 2})
    assert (created, LOG) == (True, ["before b s", "created b"])
    LOG.clear()
    changed, created = await do(mode, manager, "update_or_create", name="b", defaults={"place": 3})
    assert (changed, created, Book.get(second.pk).place) == (second, False, 3)
    assert LOG == ["before b s", "changed b"]
    assert Book.get(second.pk).changed > second.changed


# Links ---------------------------------------------------------------------------------------------------------------


class Tag(ormis.Model):
    name: str = Field(unique=True)

    class Meta:
        key = "combined_tag"


class Post(ormis.Model):
    slug: str = Field(unique=True)
    tags: ManyToMany[Tag] = ManyToMany(related_name="posts", through="SlugTag")

    class Meta:
        key = "combined_post"


class SlugTag(ormis.Model):
    """A link by unique fields."""

    post: ForeignKey[Post] = ForeignKey(on_delete=CASCADE, to_field="slug")
    tag: ForeignKey[Tag] = ForeignKey(on_delete=CASCADE, to_field="name")

    class Meta:
        key = "combined_slug_tag"


@MODES
async def test_links_by_unique_fields_in_signals(mode: str) -> None:
    """`pk_set` has the values that the links hold, as in Django, from either side."""
    post, tags, told = Post(slug="p").save(), [Tag(name=name).save() for name in "ab"], list[tuple[str, Any]]()

    def receive(action: str, pk_set: set[Any] | None, reverse: bool, **_: Any) -> None:
        told.append((f"{action}{' reverse' if reverse else ''}", pk_set))

    m2m_changed.connect(receive, sender=SlugTag)
    try:
        await do(mode, post.tags, "add", *tags)
        await do(mode, post.tags, "set", [tags[1]])
        await do(mode, post.tags, "remove", tags[1])
        await do(mode, post.tags, "create", name="c")
        await do(mode, tags[0].posts, "add", "p")
        await do(mode, tags[0].posts, "clear")
    finally:
        m2m_changed.disconnect(receive, sender=SlugTag)
    assert told[::2] == [
        ("pre_add", {"a", "b"}),
        ("pre_remove", {"a"}),
        ("pre_add", set()),
        ("pre_remove", {"b"}),
        ("pre_add", {"c"}),
        ("pre_add reverse", {"p"}),
        ("pre_clear reverse", None),
    ]
    assert [(name.replace("pre", "post"), keys) for name, keys in told[::2]] == told[1::2]
    assert [tag.name for tag in post.tags.all()] == ["c"]


# SET() ---------------------------------------------------------------------------------------------------------------


class User(ormis.Model):
    name: str = Field(unique=True)
    seen: datetime = Field(auto_now_add=True)

    class Meta:
        key = "combined_user"

    @before_save
    def entering(self) -> None:
        LOG.append(f"before {self.name}")

    @after_save
    def leaving(self) -> None:
        LOG.append(f"after {self.name}")

    @ormis.before_delete
    def going(self) -> None:
        LOG.append(f"going {self.name}")

    @ormis.after_delete
    def gone(self) -> None:
        LOG.append(f"gone {self.name}")


def sentinel() -> User:
    """Makes the user that takes over."""
    LOG.append("sentinel")
    return User.objects.get_or_create(name="deleted")[0]


class Page(ormis.Model):
    author: ForeignKey[User] = ForeignKey(on_delete=SET(sentinel), related_name="pages")
    by: ForeignKey[User | None] = ForeignKey(on_delete=SET("nobody"), to_field="name", related_name="+")

    class Meta:
        key = "combined_page"


@MODES
@BLOCKS
async def test_hooks_and_signals_of_a_deletion_that_sets(mode: str, block: bool) -> None:
    """The function runs between those before and those after the deletion; what it saves runs hooks and receivers."""
    User(name="nobody").save()
    ann = User(name="ann").save()
    page = Page(author=ann, by=ann).save()
    told: list[str] = []

    def receive(instance: User, signal: Any, **_: Any) -> None:
        told.append(f"{signal.name} {instance.name}")

    signals = (pre_save, post_save, pre_delete, post_delete)
    for signal in signals:
        signal.connect(receive, sender=User)
    LOG.clear()
    try:
        async with within(block):
            await do(mode, ann, "delete")
    finally:
        for signal in signals:
            signal.disconnect(receive, sender=User)
    assert LOG == ["going ann", "sentinel", "before deleted", "after deleted", "gone ann"]
    assert told == ["pre_delete ann", "pre_save deleted", "post_save deleted", "post_delete ann"]
    found = Page.get(page.pk)
    assert (found.author.name, found.by_id) == ("deleted", "nobody")
    assert found.author.seen is not None
    assert ormis.check(models=[User, Page]).ok


# Changes in steps ----------------------------------------------------------------------------------------------------

CALLS: list[str] = []
COUNT = 7


def head() -> int:
    """The first of the chain."""
    CALLS.append("head")
    return 1


class Chained(ormis.Model):
    """One of a chain, by each rule that lets a reference be set to something else."""

    name: str = ""
    size: int = 0
    changed: datetime = Field(auto_now=True, index=True)
    value: ForeignKey["Chained | None"] = ForeignKey(on_delete=SET(1), related_name="by_value")
    function: ForeignKey["Chained | None"] = ForeignKey(on_delete=SET(head), related_name="by_function")
    default: ForeignKey["Chained | None"] = ForeignKey(on_delete=SET_DEFAULT, default=None, related_name="by_default")

    class Meta:
        key = "combined_chained"


@pytest.fixture(params=[Limits(), Limits(changed=2, deleted=2), Limits(objects=2, keys=2, changed=1, deleted=1)])
def chain(db: ormis.Database, url: str, request: pytest.FixtureRequest) -> Iterator[list[Chained]]:
    """Each refers to the one before it, in every way."""
    CALLS.clear()
    with ormis.connect(url, limits=request.param) as database:
        links: list[Chained] = []
        for at in range(COUNT):
            before = links[-1] if links else None
            links.append(Chained(name=f"l{at}", value=before, function=before, default=before).save())
        yield links
        assert ormis.check(database, models=[Chained]).ok


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        (Q(value__gte=2), COUNT - 2),
        (Q(function__gte=2), COUNT - 2),
        (Q(default__isnull=False, pk__gt=2), COUNT - 2),
        (Q(value__name__startswith="l") & Q(pk__gt=2), COUNT - 2),
        (Q(function__gte=2, name__regex="l"), COUNT - 2),
    ],
    ids=["value", "function", "default", "related", "in Python"],
)
def test_a_deletion_that_sets_hides_none_of_its_next_steps(chain: list[Chained], condition: Q, count: int) -> None:
    """All objects that the query finds before are deleted; a function is called once at most."""
    assert Chained.objects.filter(condition).delete() == (count, {"Chained": count})
    assert [link.pk for link in Chained.objects.order_by("pk")] == [1, 2]
    assert len(CALLS) <= 1


UPDATES: dict[str, tuple[Callable[[datetime], Q], dict[str, Any], int]] = {
    "by its own time": (lambda time: Q(changed__lte=time), {"size": 1}, COUNT),
    "by the time of a related one": (lambda time: Q(value__changed__lte=time), {"size": 1}, COUNT - 1),
    "by the time of one that refers to it": (lambda time: Q(by_value__changed__lte=time), {"size": 1}, COUNT - 1),
    "with a condition in Python": (lambda time: Q(value__changed__lte=time, name__regex="l"), {"size": 1}, COUNT - 1),
    "with a sum": (lambda time: Q(value__changed__lte=time), {"size": F("size") + 1}, COUNT - 1),
    "with a sum in Python": (lambda time: Q(changed__lte=time), {"size": (F("size") + 4) // 4}, COUNT),
}


@pytest.mark.parametrize("name", UPDATES)
@BLOCKS
async def test_an_update_that_sets_the_time(chain: list[Chained], name: str, block: bool) -> None:
    """Its times hide none of the objects of its next steps, and each is changed once; all have one time."""
    condition, values, count = UPDATES[name]
    last = max(link.changed for link in chain)
    async with within(block):
        Chained.objects.filter(condition(last)).update(**values)
    changed = [*Chained.objects.filter(size=1)]
    assert len(changed) == count
    times = {link.changed for link in changed}
    assert len(times) == 1
    assert min(times) > last
    assert Chained.objects.filter(changed__gt=last).count() == count


# get_or_create() with conditions in Python ---------------------------------------------------------------------------

LOOKUPS: dict[str, dict[str, Any]] = {
    "a text": {"name__iexact": "B"},
    "a pattern": {"name__regex": "^b$"},
    "of a related object": {"shelf__slug__regex": "^s$", "place": 5},
    "of one by a unique field": {"other__slug__iregex": "^S$", "place": 5},
    "compared with a related object": {"place__exact": F("shelf__floor") + 2},
    "compared by a unique field": {"place__exact": F("other__floor") + 2},
}


@MODES
@BLOCKS
@pytest.mark.parametrize("steps", [Limits(), Limits(objects=1, keys=1)], ids=["usual", "small"])
@pytest.mark.parametrize("name", LOOKUPS)
@pytest.mark.parametrize("model", [Book, SelfSaved])
async def test_made_or_found_by_conditions_in_python(
    url: str, mode: str, block: bool, steps: Limits, name: str, model: Any
) -> None:
    """Hooks and an own save() run for an object that is made or changed, and for none that is only found."""
    lookups = LOOKUPS[name]
    made, changed = (
        (["before n", "created n"], ["before b s/s", "changed b"]) if model is Book else (["save n"], ["save b"])
    )
    with ormis.connect(url, limits=steps):
        shelf = Shelf(slug="s", floor=3).save()
        for at in range(3):
            model(name=f"x{at}", place=50 + at, shelf=shelf).save()
        LOG.clear()
        async with within(block):
            record, created = await do(mode, model.objects, "get_or_create", {"name": "n", "place": 1}, **lookups)
        assert (created, LOG, model.get(record.pk).name) == (True, made, "n")
        model.objects.all().delete()
        target = model(name="b", place=5, shelf=shelf, other=shelf).save()
        LOG.clear()
        async with within(block):
            assert await do(mode, model.objects, "get_or_create", {"name": "n"}, **lookups) == (target, False)
        assert LOG == []
        async with within(block):
            found, created = await do(mode, model.objects, "update_or_create", {"name": "b", "place": 6}, **lookups)
        assert (found, created, model.get(target.pk).place) == (target, False, 6)
        assert model.get(target.pk).changed > target.changed
        assert (changed if mode == "sync" else [entry.removesuffix(" s/s") for entry in changed]) == LOG
        assert model.objects.count() == 1
