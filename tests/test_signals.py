"""Signals: receivers are told of saves, deletions and links of any model, as in Django."""

import asyncio
import gc
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

import ormis
from modes import MODES, do
from ormis import Field, ForeignKey, ManyToMany, signals
from ormis.signals import Signal, m2m_changed, post_delete, post_save, pre_delete, pre_save, receiver

SAVES = (pre_save, post_save, pre_delete, post_delete)


class Tag(ormis.Model):
    """What posts are linked to."""

    name: str = ""

    class Meta:
        key = "signals_tag"


class Post(ormis.Model):
    """The sender of most of the tests."""

    text: str = ""
    code: str | None = Field(default=None, unique=True)
    parent: ForeignKey["Post | None"] = ForeignKey(on_delete=ormis.CASCADE, related_name="answers")
    tags: ManyToMany[Tag] = ManyToMany(related_name="posts")
    marks: ManyToMany[Tag] = ManyToMany(related_name="marked", through="Mark")
    friends: ManyToMany["Post"] = ManyToMany()
    mates: ManyToMany["Post"] = ManyToMany(through="Mate")

    class Meta:
        key = "signals_post"


class Mark(ormis.Model):
    """A through model."""

    post: ForeignKey[Post] = ForeignKey(on_delete=ormis.CASCADE)
    tag: ForeignKey[Tag] = ForeignKey(on_delete=ormis.CASCADE)

    class Meta:
        key = "signals_mark"


class Mate(ormis.Model):
    """The through model of a symmetrical relation."""

    one: ForeignKey[Post] = ForeignKey(on_delete=ormis.CASCADE, related_name="ones")
    two: ForeignKey[Post] = ForeignKey(on_delete=ormis.CASCADE, related_name="twos")

    class Meta:
        key = "signals_mate"


@pytest.fixture(autouse=True)
def disconnected(db: ormis.Database) -> Iterator[None]:
    """Receivers of one test are not there in the next."""
    yield
    for signal in (*SAVES, m2m_changed):
        signal._replace(())
    assert signals.listening is False


@pytest.fixture
def heard() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """What a receiver of all signals of Post has been told: the name of the signal, the keywords."""
    told: list[tuple[str, dict[str, Any]]] = []

    def hear(signal: Any, **named: Any) -> None:
        told.append((signal.name, named))

    for signal in SAVES:
        signal.connect(hear, sender=Post)
    yield told  # noqa: PT022 - nothing else keeps the receiver


def names(heard: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """The signals in their order, post_save with `created`."""
    return [f"{name} {named['created']}" if "created" in named else name for name, named in heard]


NEW, CHANGED = ["pre_save", "post_save True"], ["pre_save", "post_save False"]


@MODES
async def test_keywords(mode: str, heard: Any, db: ormis.Database) -> None:
    """Receivers get the keywords of Django's signals; `using` is the database, `origin` the deleted object."""
    post = await do(mode, Post(text="B"), "save")
    await do(mode, post, "save", update_fields=["text", "parent"])
    await do(mode, post, "delete")
    common = {"sender": Post, "instance": post, "using": db}
    saving = common | {"raw": False, "update_fields": None}
    some = saving | {"update_fields": frozenset({"text", "parent_id"})}
    assert heard == [
        ("pre_save", saving),
        ("post_save", saving | {"created": True}),
        ("pre_save", some),
        ("post_save", some | {"created": False}),
        ("pre_delete", common | {"origin": post}),
        ("post_delete", common | {"origin": post}),
    ]


@MODES
async def test_paths(mode: str, heard: Any) -> None:
    """Signals are sent where Django sends them: by saves and deletions of one object, not by bulk methods and sets."""
    parent = await do(mode, Post.objects, "create", text="P")
    assert names(heard) == NEW
    for path, expected in {
        "get_or_create": [*NEW],
        "update_or_create": [*NEW],
        "create": [*NEW],
    }.items():
        heard.clear()
        await do(mode, parent.answers, path, text=path, code=path)
        assert names(heard) == expected
    heard.clear()
    await do(mode, Post.objects, "get_or_create", code="create")
    assert names(heard) == []
    await do(mode, Post.objects, "update_or_create", code="create", defaults={"text": "x"})
    assert names(heard) == CHANGED
    heard.clear()
    await do(mode, parent.answers, "add", Post(text="new"), bulk=False)
    assert names(heard) == NEW
    heard.clear()
    posts = await do(mode, Post.objects, "bulk_create", [Post(text="1"), Post(text="2")])
    await do(mode, Post.objects, "bulk_update", posts, ["text"])
    await do(mode, parent.answers, "add", posts[0])
    await do(mode, parent.answers, "remove", posts[0])
    await do(mode, Post.objects, "update", text="all")
    await do(mode, Post.objects.filter(parent=None).exclude(pk=parent.pk), "delete")
    assert names(heard) == []
    await do(mode, parent, "delete")  # its answers go on the server
    assert (names(heard), Post.objects.count()) == (["pre_delete", "post_delete"], 0)


@MODES
async def test_links_of_new_objects(mode: str, heard: Any) -> None:
    """create() and get_or_create() through a link are saves of the new object."""
    tag = Tag().save()
    for manager in (tag.posts, tag.marked):
        heard.clear()
        await do(mode, manager, "create", text="B")
        assert names(heard) == NEW
        heard.clear()
        assert (await do(mode, manager, "get_or_create", text="C"))[1]
        assert names(heard) == NEW
        assert manager.count() == 2


async def test_blocks(heard: Any) -> None:
    """Signals after a write wait for the end of the block, and are not sent if it is not applied."""
    async with ormis.atomic():
        await Post(text="B").asave()
        assert names(heard) == ["pre_save"]
    assert names(heard) == NEW
    with pytest.raises(RuntimeError), ormis.atomic():
        Post(text="C").save()
        raise RuntimeError
    assert names(heard) == [*NEW, "pre_save"]


@MODES
async def test_an_exception_of_a_receiver(mode: str) -> None:
    """That of pre_save stops the save; hooks come before receivers."""
    order: list[str] = []

    class Hooked(ormis.Model):
        @ormis.before_save
        @ormis.after_save
        def hook(self) -> None:
            order.append("hook")

        class Meta:
            key = "signals_hooked"

    def note(**_: Any) -> None:
        order.append("receiver")

    def refuse(**_: Any) -> None:
        raise KeyError

    pre_save.connect(note, sender=Hooked)
    post_save.connect(note, sender=Hooked)
    await do(mode, Hooked(), "save")
    assert order == ["hook", "receiver"] * 2
    pre_save.connect(refuse, sender=Hooked)
    with pytest.raises(KeyError):
        await do(mode, Hooked(), "save")
    assert Hooked.objects.count() == 1


def test_async_receivers() -> None:
    """They are awaited by async calls, and refused by sync calls before anything is written."""
    told: list[str] = []

    @receiver([pre_save, post_save, post_delete], sender=Post)
    async def hear(signal: Any, **_: Any) -> None:
        await asyncio.sleep(0)
        told.append(signal.name)

    async def run() -> Post:
        post = await Post(text="B").asave()
        other = await Post.objects.acreate(text="C")
        await other.adelete()
        return post

    post = asyncio.run(run())
    assert told == ["pre_save", "post_save"] * 2 + ["post_delete"]
    with pytest.raises(ormis.OrmisError, match=r"hear\(\) of pre_save is async, and create\(\).*await acreate\(\)"):
        Post.objects.create(text="D")
    with pytest.raises(ormis.OrmisError, match=r"hear\(\) of post_delete is async, and delete\(\).*await adelete\(\)"):
        post.delete()
    assert [p.text for p in Post.objects.all()] == ["B"]


def test_other_models_are_not_concerned() -> None:
    """Receivers of one sender do not hear others; those without a sender hear all."""
    told: list[Any] = []

    def hear(sender: Any, **_: Any) -> None:
        told.append(sender)

    post_save.connect(hear, sender=Tag)
    Post().save()
    assert told == []
    post_save.connect(hear)
    Tag().save()
    Post().save()
    assert told == [Tag, Tag, Post]


# m2m_changed ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def links() -> Iterator[list[tuple[Any, ...]]]:
    """What a receiver of m2m_changed has been told: action, instance, pk_set."""
    told: list[tuple[Any, ...]] = []

    def hear(action: str, instance: Any, pk_set: set[Any] | None, **named: Any) -> None:
        told.append((action, instance, None if pk_set is None else {*pk_set}))
        told.append((named["sender"], named["reverse"], named["model"]))

    m2m_changed.connect(hear)
    yield told  # noqa: PT022 - nothing else keeps the receiver


def actions(links: list[tuple[Any, ...]]) -> list[tuple[str, set[Any] | None]]:
    """The actions and their keys, of one list of signals; the list is emptied."""
    found = [(action, keys) for action, _, keys in links[::2]]
    links.clear()
    return found


@MODES
@pytest.mark.parametrize("relation", ["tags", "marks"])
async def test_links(mode: str, relation: str, links: Any) -> None:
    """Each change of links is told before and after: with the new keys, with the given ones, with None."""
    post, tags = Post().save(), Tag.objects.bulk_create([Tag(), Tag(), Tag()])
    manager, (one, two, three) = getattr(post, relation), [tag.pk for tag in tags]
    sender = Post if relation == "tags" else Mark
    await do(mode, manager, "add", *tags[:2])
    assert links[:2] == [("pre_add", post, {one, two}), (sender, False, Tag)]
    assert actions(links) == [("pre_add", {one, two}), ("post_add", {one, two})]
    await do(mode, manager, "add", tags[1], three)
    assert actions(links) == [("pre_add", {three}), ("post_add", {three})]
    await do(mode, manager, "remove", one)
    assert actions(links) == [("pre_remove", {one}), ("post_remove", {one})]
    await do(mode, manager, "set", [one, two])
    changes = actions(links)
    assert sorted(changes, key=str) == [
        ("post_add", {one}),
        ("post_remove", {three}),
        ("pre_add", {one}),
        ("pre_remove", {three}),
    ]
    await do(mode, manager, "set", [one, two])
    assert [keys for _, keys in actions(links)] in ([], [set(), set()])
    await do(mode, manager, "set", [three], clear=True)
    assert sorted(actions(links), key=str) == [
        ("post_add", {three}),
        ("post_clear", None),
        ("pre_add", {three}),
        ("pre_clear", None),
    ]
    await do(mode, manager, "clear")
    assert actions(links) == [("pre_clear", None), ("post_clear", None)]
    await do(mode, manager, "add")
    await do(mode, manager, "remove")
    assert actions(links) == []
    assert manager.count() == 0


@MODES
@pytest.mark.parametrize("relation", ["posts", "marked"])
async def test_links_from_the_other_side(mode: str, relation: str, links: Any) -> None:
    """`reverse` is True, `model` is the model of the objects that are linked; create() adds a link."""
    tag, sender = Tag().save(), Post if relation == "posts" else Mark
    manager = getattr(tag, relation)
    post = await do(mode, manager, "create", text="B")
    assert links == [
        ("pre_add", tag, {post.pk}),
        (sender, True, Post),
        ("post_add", tag, {post.pk}),
        (sender, True, Post),
    ]
    links.clear()
    other, _ = await do(mode, manager, "get_or_create", text="C")
    assert actions(links) == [("pre_add", {other.pk}), ("post_add", {other.pk})]
    await do(mode, manager, "get_or_create", text="C")
    assert actions(links) == []
    assert manager.count() == 2


@MODES
@pytest.mark.parametrize("relation", ["friends", "mates"])
async def test_symmetrical_links(mode: str, relation: str, links: Any) -> None:
    """A change is told once, from the side that it was made on."""
    one, two = Post().save(), Post().save()
    await do(mode, getattr(one, relation), "add", two)
    assert actions(links) == [("pre_add", {two.pk}), ("post_add", {two.pk})]
    assert [*getattr(two, relation).all()] == [one]
    await do(mode, getattr(two, relation), "remove", one)
    assert actions(links) == [("pre_remove", {one.pk}), ("post_remove", {one.pk})]
    assert getattr(one, relation).count() == 0


async def test_links_in_blocks(links: Any) -> None:
    """post_* waits for the end of the block; a receiver of pre_* that raises stops the change."""
    post, tag = Post().save(), Tag().save()
    with ormis.atomic():
        post.tags.add(tag)
        assert [action for action, _, _ in links[::2]] == ["pre_add"]
    assert [action for action, _ in actions(links)] == ["pre_add", "post_add"]

    def refuse(action: str, **_: Any) -> None:
        if action == "pre_clear":
            raise KeyError

    m2m_changed.connect(refuse, sender=Post)
    with pytest.raises(KeyError):
        await post.tags.aclear()
    assert post.tags.count() == 1


def test_async_receivers_of_links() -> None:
    """A sync call refuses them before anything is written."""

    async def hear(**_: Any) -> None: ...

    m2m_changed.connect(hear, sender=Post)
    m2m_changed.connect(hear, sender=Mark)
    post, tag = Post().save(), Tag().save()
    for manager in (post.tags, post.marks):
        for method, arguments in (("add", (tag,)), ("set", ([tag],)), ("remove", (tag,)), ("clear", ())):
            message = (
                rf"hear\(\) of m2m_changed is async, and {method}\(\) can't wait for it: write await a{method}\(\)"
            )
            with pytest.raises(ormis.OrmisError, match=message):
                getattr(manager, method)(*arguments)
        assert manager.count() == 0
        asyncio.run(manager.aadd(tag))
        assert manager.count() == 1


# The dispatcher ------------------------------------------------------------------------------------------------------


def shout(**named: Any) -> str:
    """A receiver."""
    return f"{named['what']}!"


class Owner:
    """Has a receiver as a method."""

    def hear(self, **named: Any) -> str:
        """A receiver."""
        return f"{named['what']}?"

    def __call__(self, **named: Any) -> str:
        """A receiver that is an object."""
        return f"{named['what']}."


def test_send() -> None:
    """Receivers are called in the order of connect(), each once, with signal and sender; the results come with them."""
    signal, owner = Signal(), Owner()
    assert (signal.send("s", what="x"), signal.has_listeners()) == ([], False)
    for one in (shout, owner.hear, owner, shout):
        signal.connect(one)
    assert signal.send("s", what="x") == [(shout, "x!"), (owner.hear, "x?"), (owner, "x.")]
    assert signal.disconnect(owner) is True
    assert signal.disconnect(owner) is False
    assert [result for _, result in signal.send(None, what="x")] == ["x!", "x?"]


def test_weak_references() -> None:
    """A receiver is disconnected when nothing else refers to it, unless weak is False; so is that of a sender."""
    signal, owner = Signal(), Owner()
    signal.connect(owner.hear)
    signal.connect(lambda **_: "lambda")
    signal.connect(lambda **_: "kept", weak=False)
    gc.collect()
    assert [result for _, result in signal.send(None, what="x")] == ["x?", "kept"]
    del owner
    gc.collect()
    assert [result for _, result in signal.send(None, what="x")] == ["kept"]
    sender = Owner()
    signal.connect(shout, sender=sender)
    assert signal.has_listeners(sender)
    del sender
    gc.collect()
    signal.connect(shout, sender="other")
    assert len(signal._connections) == 2


def test_senders_and_names() -> None:
    """A receiver may be connected for several senders; a dispatch_uid is one receiver whatever function it is."""
    signal, other = Signal(), partial(shout)
    signal.connect(shout, sender="a")
    signal.connect(shout, sender="b")
    signal.connect(shout, sender="a", dispatch_uid="one")
    signal.connect(other, sender="a", dispatch_uid="one", weak=False)
    assert [len(signal.send(sender, what="x")) for sender in ("a", "b", "c", None)] == [2, 1, 0, 0]
    assert signal.disconnect(sender="a", dispatch_uid="one")
    assert not signal.disconnect(shout)
    assert signal.disconnect(shout, sender="a")
    assert [signal.has_listeners(sender) for sender in ("a", "b")] == [False, True]
    with pytest.raises(TypeError, match="needs the receiver, or its dispatch_uid"):
        signal.disconnect()


async def test_robust_and_async_sending() -> None:
    """send() stops at an exception, send_robust() returns it; async receivers need asend() and asend_robust()."""
    signal = Signal()

    def fail(**_: Any) -> None:
        raise KeyError("x")

    async def wait(**named: Any) -> str:
        await asyncio.sleep(0)
        return f"waited {named['what']}"

    signal.connect(fail)
    signal.connect(shout)
    with pytest.raises(KeyError):
        signal.send(None, what="x")
    assert [repr(result) for _, result in signal.send_robust(None, what="x")] == ["KeyError('x')", "'x!'"]
    signal.connect(wait)
    for method in ("send", "send_robust"):
        with pytest.raises(ormis.OrmisError, match=rf"wait\(\) is async, and {method}\(\).*await a{method}\(\)"):
            getattr(signal, method)(None, what="x")
    results = [repr(result) for _, result in await signal.asend_robust(None, what="x")]
    assert results == ["KeyError('x')", "'x!'", "'waited x'"]
    with pytest.raises(KeyError):
        await signal.asend(None, what="x")
    signal.disconnect(fail)
    assert await signal.asend(None, what="x") == [(shout, "x!"), (wait, "waited x")]


def test_what_is_refused() -> None:
    """A receiver must be callable and take any keyword; the sender of a model's signal is a stored model."""

    class Abstract(ormis.Model):
        class Meta:
            abstract = True

    with pytest.raises(TypeError, match="a receiver is a function, not 3"):
        post_save.connect(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"<lambda>\(\) has to take any keyword: add `\*\*more`"):
        post_save.connect(lambda sender, instance: None)
    for sender in (Post.tags.through, "app.Post", 3):  # type: ignore[attr-defined]
        with pytest.raises(TypeError, match=r"m2m_changed\.connect\(sender=.*give a model class"):
            m2m_changed.connect(shout, sender=sender)
    with pytest.raises(TypeError, match=r"Abstract.*has no objects"):
        post_save.connect(shout, sender=Abstract)
    assert repr(post_save) == "<ormis.signals.post_save>"


def test_the_decorator() -> None:
    """It takes one signal or several, and the options of connect(); the function stays what it is."""
    first, second = Signal(), Signal()

    @receiver(first, dispatch_uid="one")
    @receiver([first, second], sender="a")
    def hear(**_: Any) -> int:
        return 1

    assert hear() == 1
    assert [len(signal.send("a")) for signal in (first, second)] == [2, 1]
