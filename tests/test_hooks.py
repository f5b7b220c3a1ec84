"""Hooks: methods that are called before and after objects in hand are saved and deleted, on every path."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import wraps
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import ormis
from model_factory import make
from modes import MODES, do
from ormis import (
    SET_NULL,
    F,
    Field,
    ForeignKey,
    ManyToMany,
    ModelError,
    after_delete,
    after_save,
    before_delete,
    before_save,
)

LOG: list[str] = []


class Shelf(ormis.Model):
    """What notes stand on; without hooks."""

    class Meta:
        key = "hooks_shelf"


class Note(ormis.Model):
    """Logs its hooks; the slug is made by one of them."""

    text: str = Field(default="", max_length=20)
    slug: str = ""
    code: str | None = Field(default=None, unique=True)
    shelf: ForeignKey[Shelf | None] = ForeignKey(on_delete=SET_NULL, related_name="notes")
    shelves: ManyToMany[Shelf] = ManyToMany(related_name="linked")
    paired: ManyToMany[Shelf] = ManyToMany(related_name="paired", through="Placing")

    class Meta:
        key = "hooks_note"

    @before_save
    def fill_slug(self) -> None:
        """Changes a field."""
        LOG.append(f"before {self.text}")
        if self.text == "refused":
            raise KeyError(self.text)
        self.slug = self.text.lower()

    @after_save
    def saved(self, created: bool) -> None:
        """Sees the stored object."""
        assert Note.get(self.pk).text == self.text
        LOG.append(f"{'created' if created else 'changed'} {self.text}")

    @before_delete
    def leave(self) -> None:
        """Sees the object once more."""
        LOG.append(f"leaving {self.text}")
        if self.text == "staying":
            raise KeyError(self.text)
        assert Note.objects.filter(pk=self.pk).exists()

    @after_delete
    def left(self) -> None:
        """Sees that it is gone."""
        assert not Note.objects.filter(pk=self.pk).exists()
        LOG.append(f"left {self.text}")


class Placing(ormis.Model):
    """A link between a note and a shelf."""

    note: ForeignKey[Note] = ForeignKey(on_delete=ormis.CASCADE)
    shelf: ForeignKey[Shelf] = ForeignKey(on_delete=ormis.CASCADE)

    class Meta:
        key = "hooks_pair"

    @after_save
    def saved(self) -> None:
        """Links that are objects have hooks as well."""
        LOG.append("paired")


class Mail(ormis.Model):
    """Has an async hook."""

    text: str = ""
    sent: bool = False
    code: str | None = Field(default=None, unique=True)
    shelf: ForeignKey[Shelf | None] = ForeignKey(on_delete=SET_NULL, related_name="mails")

    class Meta:
        key = "hooks_mail"

    @before_save
    def first(self) -> None:
        """Comes before the async hook, and does not run if that is refused."""
        LOG.append(f"first {self.text}")

    @after_save
    async def deliver(self) -> None:
        """Waits."""
        await asyncio.sleep(0)
        LOG.append(f"delivered {self.text}")

    @before_delete
    async def recall(self) -> None:
        """Waits."""
        await asyncio.sleep(0)
        LOG.append(f"recalled {self.text}")


@pytest.fixture(autouse=True)
def log(db: ormis.Database) -> list[str]:
    """The log of this test."""
    LOG.clear()
    return LOG


async def stored(**values: Any) -> Note:
    """A note that is stored, with an empty log."""
    note = await Note(**values).asave()
    LOG.clear()
    return note


Do = Callable[..., Awaitable[Any]]
Path = Callable[[Do], Awaitable[Any]]


async def changed(do: Do) -> None:
    note = await stored(text="X")
    note.text = "B"
    await do(note, "save")


async def unchanged_fields(do: Do) -> None:
    await do(await stored(text="B"), "save", update_fields=["slug"])


async def got(do: Do) -> None:
    await stored(text="B")
    await do(Note.objects, "get_or_create", text="B")


async def updated(do: Do) -> None:
    await stored(text="X", code="1")
    await do(Note.objects, "update_or_create", code="1", defaults={"text": "B"})


async def updated_in_bulk(do: Do) -> None:
    notes = [await stored(text=text) for text in "XY"]
    for note in notes:
        note.text += "2"
    await do(Note.objects, "bulk_update", notes, ["text", "slug"], batch_size=1)


async def added(do: Do) -> None:
    await do(Shelf().save().notes, "add", await stored(text="B"))


async def removed(do: Do) -> None:
    shelf = Shelf().save()
    await do(shelf.notes, "remove", await stored(text="B", shelf=shelf))


async def set_to(do: Do) -> None:
    shelf = Shelf().save()
    await stored(text="Gone", shelf=shelf)
    await do(shelf.notes, "set", [await stored(text="B")])


async def added_whole(do: Do) -> None:
    await do(Shelf().save().notes, "add", await stored(text="B"), Note(text="C"), bulk=False)


async def linked(do: Do) -> None:
    await do(Shelf().save().linked, "add", await stored(text="B"))


async def deleted(do: Do) -> None:
    await do(await stored(text="B"), "delete")


async def updated_as_set(do: Do) -> None:
    await stored(text="B")
    await do(Note.objects, "update", text="C")


async def deleted_as_set(do: Do) -> None:
    await stored(text="B")
    await do(Note.objects.all(), "delete")


NEW = ["before B", "created B"]
SAME = ["before B", "changed B"]
PATHS: dict[str, tuple[Path, list[str]]] = {
    "save": (lambda do: do(Note(text="B"), "save"), NEW),
    "save with a key": (lambda do: do(Note(id=7, text="B"), "save"), NEW),
    "save of a change": (changed, SAME),
    "save(update_fields)": (unchanged_fields, SAME),
    "save of no field": (lambda do: nothing(do), []),
    "create": (lambda do: do(Note.objects, "create", text="B"), NEW),
    "get_or_create, new": (lambda do: do(Note.objects, "get_or_create", text="B"), NEW),
    "get_or_create, there": (got, []),
    "update_or_create, new": (lambda do: do(Note.objects, "update_or_create", text="B"), NEW),
    "update_or_create, there": (updated, SAME),
    "bulk_create": (
        lambda do: do(Note.objects, "bulk_create", [Note(text="B"), Note(text="C")], batch_size=1),
        ["before B", "before C", "created B", "created C"],
    ),
    "bulk_update": (updated_in_bulk, ["before X2", "before Y2", "changed X2", "changed Y2"]),
    "create of a foreign key": (lambda do: do(Shelf().save().notes, "create", text="B"), NEW),
    "get_or_create of a foreign key": (lambda do: do(Shelf().save().notes, "get_or_create", text="B"), NEW),
    "add": (added, SAME),
    "add(bulk=False)": (added_whole, ["before B", "before C", "changed B", "created C"]),
    "remove": (removed, SAME),
    "set": (set_to, SAME),
    "create of a link": (lambda do: do(Shelf().save().linked, "create", text="B"), NEW),
    "get_or_create of a link": (lambda do: do(Shelf().save().linked, "get_or_create", text="B"), NEW),
    "add of a link": (linked, []),
    "create with a through model": (lambda do: do(Shelf().save().paired, "create", text="B"), [*NEW, "paired"]),
    "get_or_create with a through model": (
        lambda do: do(Shelf().save().paired, "get_or_create", text="B"),
        [*NEW, "paired"],
    ),
    "delete": (deleted, ["leaving B", "left B"]),
    "update": (updated_as_set, []),
    "delete of a set": (deleted_as_set, []),
}


async def nothing(do: Do) -> None:
    await do(await stored(text="B"), "save", update_fields=[])


@MODES
@pytest.mark.parametrize("name", PATHS)
async def test_every_path_runs_the_hooks(mode: str, name: str) -> None:
    """Hooks run on every path that has the object in hand, in their order, and not over sets; sync and async alike."""
    path, expected = PATHS[name]
    await path(lambda *arguments, **options: do(mode, *arguments, **options))
    assert expected == LOG


@MODES
@pytest.mark.parametrize("name", PATHS)
async def test_a_block_runs_what_comes_after_at_its_end(mode: str, name: str) -> None:
    """Inside atomic() before-hooks run at once, after-hooks when the block is applied, in the order of the writes."""
    path, expected = PATHS[name]
    early = [line for line in expected if line.startswith(("before", "leaving"))]

    async def in_block(owner: Any, method: str, *arguments: Any, **options: Any) -> Any:
        if mode == "async":
            async with ormis.atomic():
                await do(mode, owner, method, *arguments, **options)
                assert early == LOG
        else:
            with ormis.atomic():
                await do(mode, owner, method, *arguments, **options)
                assert early == LOG

    await path(in_block)
    assert sorted(expected) == sorted(LOG)
    assert early == LOG[: len(early)]


@MODES
async def test_a_block_that_is_not_applied_runs_nothing_after_it(mode: str) -> None:
    """After-hooks of a block that is left by an exception, or refused, never run."""
    kept = await stored(text="K", code="1")
    with pytest.raises(RuntimeError):
        async with ormis.atomic():
            await do(mode, Note(text="B"), "save")
            await do(mode, kept, "delete")
            raise RuntimeError
    with pytest.raises(ormis.UniqueViolation):
        async with ormis.atomic():
            await do(mode, Note(text="C"), "save")
            await do(mode, Note(text="D", code="1"), "save")
    assert LOG == ["before B", "leaving K", "before C", "before D"]
    assert Note.objects.count() == 1


async def test_blocks_inside_blocks() -> None:
    """After-hooks wait for the outermost block; those of an inner one that is left by an exception are dropped."""
    with ormis.atomic():
        with ormis.atomic():
            Note(text="A").save()
        with pytest.raises(RuntimeError), ormis.atomic():
            Note(text="B").save()
            raise RuntimeError
        assert LOG == ["before A", "before B"]
    assert LOG == ["before A", "before B", "created A"]


Program = list["str | tuple[Program, bool]"]
"""Texts to save, and blocks of programs, each with whether it is left by an exception."""

programs = st.recursive(
    st.lists(st.sampled_from("abc"), max_size=3),
    lambda inner: st.lists(st.one_of(st.sampled_from("abc"), st.tuples(inner, st.booleans())), max_size=4),
    max_leaves=8,
)


def execute(program: Program) -> None:
    """Executes a program in sync code."""
    for step in program:
        if isinstance(step, str):
            Note(text=step).save()
        else:
            with suppress(RuntimeError), ormis.atomic():
                execute(step[0])
                if step[1]:
                    raise RuntimeError


async def aexecute(program: Program) -> None:
    """As execute()."""
    for step in program:
        if isinstance(step, str):
            await Note(text=step).asave()
        else:
            with suppress(RuntimeError):
                async with ormis.atomic():
                    await aexecute(step[0])
                    if step[1]:
                        raise RuntimeError


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(program=programs, asynchronous=st.booleans())
def test_what_is_told_is_what_is_stored(program: Program, asynchronous: bool) -> None:
    """After-hooks run once for each object that is stored in the end, in the order of the saves; for no other."""
    Note.objects.all().delete()
    LOG.clear()
    if asynchronous:
        asyncio.run(aexecute(program))
    else:
        execute(program)
    told = [line for line in LOG if line.startswith("created")]
    assert told == [f"created {note.text}" for note in Note.objects.order_by("id")]


@MODES
async def test_an_after_hook_that_raises(mode: str) -> None:
    """Its exception comes out of the call, or of the block; what is written stays, and the hooks behind do not run."""

    class Failing(ormis.Model):
        text: str = ""

        @after_save
        def fail(self) -> None:
            LOG.append(self.text)
            if self.text == "B":
                raise KeyError("B")

        class Meta:
            key = "hooks_failing"

    failing = Failing(text="B")
    with pytest.raises(KeyError):
        await do(mode, failing, "save")
    assert Failing.get(failing.pk) == failing
    with pytest.raises(KeyError):
        async with ormis.atomic():
            for text in "ABC":
                await do(mode, Failing(text=text), "save")
    assert (LOG, Failing.objects.count()) == (["B", "A", "B"], 4)
    failing.text = "D"
    await do(mode, failing, "save", if_unchanged=True)


@MODES
async def test_a_hook_that_raises_stops_the_write(mode: str) -> None:
    """Nothing is written, of a batch as well, and the exception comes as it is."""
    with pytest.raises(KeyError, match="refused"):
        await do(mode, Note(text="refused"), "save")
    with pytest.raises(KeyError, match="refused"):
        await do(mode, Note.objects, "bulk_create", [Note(text="B"), Note(text="refused")], batch_size=1)
    with pytest.raises(KeyError, match="refused"):
        await do(mode, Note.objects, "get_or_create", text="refused")
    assert Note.objects.count() == 0
    note = await stored(text="B")
    note.text = "refused"
    for method, arguments in (("bulk_update", ([note], ["text"])), ("update_or_create", ({"text": "refused"},))):
        with pytest.raises(KeyError, match="refused"):
            await do(mode, Note.objects, method, *arguments)
    shelf = Shelf().save()
    for bulk in (True, False):
        with pytest.raises(KeyError, match="refused"):
            await do(mode, shelf.notes, "add", note, bulk=bulk)
    assert (shelf.notes.count(), Note.get(note.pk).text) == (0, "B")
    staying = await stored(text="staying")
    with pytest.raises(KeyError, match="staying"):
        await do(mode, staying, "delete")
    assert Note.objects.filter(text="staying").exists()


async def test_a_refused_add_leaves_the_foreign_key() -> None:
    """The foreign keys of objects that a hook keeps from being added are what they were."""
    first, second = Shelf().save(), Shelf().save()
    notes = [await stored(text="B", shelf=first), await stored(text="C", shelf=first)]
    notes[1].text = "refused"
    with pytest.raises(KeyError):
        second.notes.add(*notes)
    assert [note.shelf_id for note in notes] == [first.pk, first.pk]
    with pytest.raises(Note.DoesNotExist, match="does not"):
        second.notes.remove(notes[0])
    assert notes[0].shelf_id == first.pk


@MODES
async def test_what_a_hook_changes_is_saved(mode: str) -> None:
    """With update_fields only if it is named there, as in Django; bulk_update() writes its fields alone."""
    note = await do(mode, Note(text="One"), "save")
    assert Note.get(note.pk).slug == "one"
    note.text = "Two"
    await do(mode, note, "save", update_fields=["text"])
    assert (note.slug, Note.get(note.pk).slug) == ("two", "one")
    await do(mode, note, "save")
    assert Note.get(note.pk).slug == "two"
    note.text = "Three"
    await do(mode, Note.objects, "bulk_update", [note], ["text"])
    assert Note.get(note.pk).slug == "two"
    assert (await do(mode, Note.objects, "get_or_create", text="FOUR"))[0].slug == "four"
    assert Note.objects.get(text="FOUR").slug == "four"


def test_what_a_hook_changes_is_validated() -> None:
    """A value that does not fit the field stops the save."""

    class Bounded(ormis.Model):
        size: int = Field(default=0, le=3)

        @before_save
        def grow(self) -> None:
            self.size += 1

        class Meta:
            key = "hooks_bounded"

    bounded = Bounded(size=2).save()
    with pytest.raises(ValidationError):
        bounded.save()
    assert Bounded.get(bounded.pk).size == 3


def test_expressions_and_hooks() -> None:
    """Before the save the field holds the expression, after it the value."""
    seen: list[Any] = []

    class Counted(ormis.Model):
        size: int = 0

        @before_save
        @after_save
        def look(self) -> None:
            seen.append(self.size)

        class Meta:
            key = "hooks_counted"

    counted = Counted().save()
    counted.size = F("size") + 1
    counted.save()
    assert (seen[:2], str(seen[2]), seen[3:]) == ([0, 0], "F('size') + 1", [1])


# Created -------------------------------------------------------------------------------------------------------------


@MODES
async def test_created_tells_a_new_object_from_one_that_is_replaced(mode: str) -> None:
    """A new object with a given key that exists replaces that object, which is no creation."""
    await do(mode, Note(id=5, text="B"), "save")
    await do(mode, Note(id=5, text="C"), "save")
    assert LOG == ["before B", "created B", "before C", "changed C"]
    assert Note.objects.count() == 1


@MODES
async def test_conflicts_of_bulk_create(mode: str) -> None:
    """Objects that are left out were not saved; of rows that may update an object `created` is False."""
    await stored(text="X", code="1")
    notes = [Note(text="B", code="1"), Note(text="C", code="2")]
    await do(mode, Note.objects, "bulk_create", notes, ignore_conflicts=True)
    assert LOG == ["before B", "before C", "created C"]
    LOG.clear()
    await do(
        mode,
        Note.objects,
        "bulk_create",
        [Note(text="D", code="1")],
        update_conflicts=True,
        update_fields=["text", "slug"],
        unique_fields=["code"],
    )
    assert (LOG, Note.objects.get(code="1").slug) == (["before D", "changed D"], "d")
    LOG.clear()
    async with ormis.atomic():
        await do(mode, Note.objects, "bulk_create", [Note(code="1"), Note(text="E")], ignore_conflicts=True)
    assert LOG == ["before ", "before E", "created E"]


@MODES
async def test_bulk_update_leaves_out_what_is_gone(mode: str) -> None:
    """An object that was deleted meanwhile was not saved."""
    notes = [await stored(text="B"), await stored(text="C")]
    Note.objects.filter(text="B").delete()
    assert await do(mode, Note.objects, "bulk_update", notes, ["slug"]) == 1
    assert LOG == ["before B", "before C", "changed C"]


@MODES
async def test_an_object_that_is_given_twice(mode: str) -> None:
    """bulk_update() runs its hooks once, in whichever batch it is written."""
    first, second = await stored(text="B"), await stored(text="C")
    assert await do(mode, Note.objects, "bulk_update", [first, second, first], ["slug"], batch_size=1) == 2
    assert LOG == ["before B", "before C", "changed B", "changed C"]


@MODES
async def test_get_or_create_calls(mode: str) -> None:
    """With hooks the server is asked first whether the object is there: two calls; the hook runs for a new one only."""
    for expected in (True, False):
        with ormis.capture_calls() as calls:
            _, created = await do(mode, Mail.objects if mode == "async" else Note.objects, "get_or_create", text="B")
        writes = [call for call in calls if str(call).startswith(("get_or_create", "query"))]
        assert (created, len(writes)) == (expected, 2)


async def test_an_object_that_others_create_meanwhile() -> None:
    """The before-hook has run for the object that was to be created; the after-hook does not."""

    class Raced(ormis.Model):
        code: str = Field(unique=True)
        size: int = 0

        @before_save
        def other(self) -> None:
            LOG.append("before")
            if self.size < 5:
                Raced.objects.bulk_create([Raced(code=self.code, size=5)])

        @after_save
        def saved(self, created: bool) -> None:
            LOG.append(f"saved {self.size} {created}")

        class Meta:
            key = "hooks_raced"

    raced, created = Raced.objects.get_or_create(code="1")
    assert (raced.size, created, LOG) == (5, False, ["before", "before", "saved 5 True"])
    await Raced.objects.all().adelete()
    LOG.clear()
    raced, created = await Raced.objects.aupdate_or_create(code="1", defaults={"size": 6}, create_defaults={"size": 1})
    assert (raced.size, created, Raced.get(raced.pk).size) == (6, False, 6)
    assert LOG == ["before", "before", "saved 5 True", "before", "saved 6 False"]


def test_errors_of_hooks_are_not_taken_for_conflicts() -> None:
    """update_or_create() tries again if others change the object, and not if a hook raises such an error itself."""

    class Strict(ormis.Model):
        code: str = Field(unique=True)

        @before_save
        def look(self) -> None:
            LOG.append("look")
            if len(LOG) > 1:
                Strict.get(99)

        class Meta:
            key = "hooks_strict"

    Strict(code="1").save()
    with pytest.raises(Strict.DoesNotExist, match="id=99"):
        Strict.objects.update_or_create(code="1")
    assert LOG == ["look", "look"]


# Async hooks ---------------------------------------------------------------------------------------------------------


def test_a_sync_call_refuses_an_async_hook() -> None:
    """Before anything runs or is written; the error names the hook and the twin to use."""
    shelf = Shelf().save()
    mail = asyncio.run(Mail(text="M", code="m").asave())
    LOG.clear()
    calls: dict[str, Callable[[], Any]] = {
        "save": lambda: Mail(text="B").save(),
        "create": lambda: Mail.objects.create(text="B"),
        "get_or_create": lambda: Mail.objects.get_or_create(text="B"),
        "update_or_create": lambda: Mail.objects.update_or_create(code="m", defaults={"text": "B"}),
        "bulk_create": lambda: Mail.objects.bulk_create([Mail(text="B")]),
        "bulk_update": lambda: Mail.objects.bulk_update([mail], ["text"]),
        "add": lambda: shelf.mails.add(mail),
    }
    for method, call in calls.items():
        message = rf"Mail\.deliver\(\) is async, and {method}\(\) can't wait for it: write await a{method}\(\)"
        with pytest.raises(ormis.OrmisError, match=message):
            call()
    with pytest.raises(ormis.OrmisError, match=r"Mail\.recall\(\) is async, and delete\(\).*await adelete\(\)"):
        mail.delete()
    assert LOG == []
    assert [m.text for m in Mail.objects.all()] == ["M"]
    assert Mail.objects.update(text="N") == 1


def test_a_sync_block_refuses_an_async_hook_at_its_end() -> None:
    """An object that is saved by asave() in a sync block: the block is not applied, since nothing could wait."""

    async def save() -> None:
        with ormis.atomic():
            await Mail(text="B").asave()

    with pytest.raises(ormis.OrmisError, match=r"deliver\(\) is async.*write `async with atomic\(\):`"):
        asyncio.run(save())
    assert (LOG, Mail.objects.count()) == (["first B"], 0)


async def test_a_coroutine_of_a_sync_hook() -> None:
    """A hook that is no `async def` and returns a coroutine, by a decorator, is awaited, or refused by a sync call."""

    def logged(method: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Any]:
        @wraps(method)
        def call(self: Any) -> Any:
            return method(self)

        return call

    class Wrapped(ormis.Model):
        @logged
        @before_save
        async def wait(self) -> None:
            await asyncio.sleep(0)
            LOG.append("waited")

        class Meta:
            key = "hooks_wrapped"

    await Wrapped().asave()
    assert LOG == ["waited"]
    with pytest.raises(ormis.OrmisError, match=r"Wrapped\.wait\(\) is async"):
        Wrapped().save()
    assert Wrapped.objects.count() == 1


# Which hooks ---------------------------------------------------------------------------------------------------------


def test_order_and_inheritance() -> None:
    """Bases first, each in the order of definition; an override takes the place of a hook."""

    class Mixin:
        @before_save
        def mixed(self) -> None:
            LOG.append("mixed")

    class Base(ormis.Model):
        @before_save
        def zero(self) -> None:
            LOG.append("zero")

        @before_save
        def one(self) -> None:
            LOG.append("one")

        @before_save
        def two(self) -> None:
            LOG.append("two")

        class Meta:
            abstract = True

    class Own(Mixin, Base):
        @before_save
        def added(self) -> None:
            LOG.append("added")

        def one(self) -> None:
            super().one()
            LOG.append("one again")

        @after_save
        def two(self) -> None:
            LOG.append("two after")

        class Meta:
            key = "hooks_own"

    Own().save()
    assert LOG == ["zero", "one", "one again", "mixed", "added", "two after"]


@pytest.mark.parametrize(
    ("stages", "function", "message"),
    [
        ([before_save], lambda self, created: None, r"hook\(\) needs 'created', and a hook is called with the object"),
        ([after_save], lambda self, created, other: None, "needs 'other'.*and `created`"),
        ([before_save, after_save], lambda self, created: None, "needs 'created'"),
        ([after_delete], lambda self, *, why: None, "needs 'why'"),
    ],
)
def test_signatures_are_checked(stages: list[Any], function: Any, message: str) -> None:
    """A method that can't be called as a hook is refused when the class is made."""
    for stage in stages:
        function = stage(function)
    body = {"__module__": __name__, "__qualname__": "Bad", "hook": function, "Meta": type("Meta", (), {"key": "bad"})}
    with pytest.raises(ModelError, match=message):
        type(ormis.Model)("Bad", (ormis.Model,), body)


def test_generators_are_no_hooks() -> None:
    """Calling one would do nothing."""
    with pytest.raises(ModelError, match="has a `yield`"):

        class Bad(ormis.Model):
            @before_save
            def hook(self) -> Any:
                yield 1

    with pytest.raises(TypeError, match=r"@before_save goes on a method of a model.*put it below"):
        before_save(property(lambda self: 1))  # type: ignore[type-var]


def test_optional_parameters_are_left_alone() -> None:
    """A hook may have parameters with defaults; `created` is given after a save only."""
    made = make("Loose", __name__)

    class Loose(made.__base__):  # type: ignore[misc, name-defined]
        @before_save
        @after_save
        def hook(self, created: bool | None = None, other: int = 3) -> None:
            LOG.append(f"{created} {other}")

        class Meta:
            key = "hooks_loose"

    Loose().save()
    assert LOG == ["None 3", "True 3"]


# Where hooks run -----------------------------------------------------------------------------------------------------


async def test_hooks_that_write() -> None:
    """What a hook writes inside a block is part of it; what an after-hook writes at its end is not."""

    class Parent(ormis.Model):
        early: int = 0

        @before_save
        def before(self) -> None:
            Shelf().save()

        @after_save
        def after(self) -> None:
            Note(text=f"of {self.pk}").save()

        class Meta:
            key = "hooks_parent"

    with ormis.atomic():
        Parent().save()
        assert (Shelf.objects.count(), Note.objects.count()) == (0, 0)
    assert (Shelf.objects.count(), [note.text for note in Note.objects.all()]) == (1, ["of 1"])
    await Parent().asave()
    assert (Shelf.objects.count(), Note.objects.count()) == (2, 2)
    with pytest.raises(RuntimeError), ormis.atomic():
        Parent().save()
        raise RuntimeError
    assert (Shelf.objects.count(), Note.objects.count()) == (2, 2)


def test_the_object_knows_its_database_in_after_hooks(url: str) -> None:
    """Relations of an object that was saved elsewhere lead to that database."""
    with ormis.connect(f"{url}{'&' if '?' in url else '?'}prefix=other:") as other, ormis.connect(url):

        class Owner(ormis.Model):
            @after_save
            def fill(self) -> None:
                self.owned.create()

            class Meta:
                key = "hooks_owner"

        class Owned(ormis.Model):
            owner: ForeignKey[Owner] = ForeignKey(related_name="owned")

            class Meta:
                key = "hooks_owned"

        Owner().save(using=other)
        assert (Owned.objects.count(), Owned.objects.using(other).count()) == (0, 1)
        with other.atomic():
            Owner().save(using=other)
        assert Owned.objects.using(other).count() == 2


def test_an_error_after_the_block_does_not_repeat_it(db: ormis.Database) -> None:
    """transaction() repeats a block that is in conflict, and not one that was applied before a hook raised."""

    class Late(ormis.Model):
        @after_save
        def fail(self) -> None:
            raise ormis.ConflictError("of the hook")

        class Meta:
            key = "hooks_late"

    with pytest.raises(ormis.ConflictError, match="of the hook"):
        db.transaction(lambda: Late().save())
    assert Late.objects.count() == 1

    async def save() -> None:
        await Late().asave()

    with pytest.raises(ormis.ConflictError, match="of the hook"):
        asyncio.run(db.atransaction(save))
    assert Late.objects.count() == 2
