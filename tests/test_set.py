"""on_delete=SET(value) and SET(function), and SET_DEFAULT with a function: computed by the client when it is needed."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

import ormis
from ormis import CASCADE, PROTECT, SET, SET_DEFAULT, Field, ForeignKey, Limits, ModelError, OneToOne

CALLS: list[str] = []


class User(ormis.Model):
    """Referred to."""

    name: str = Field(unique=True)

    class Meta:
        key = "set_user"


def sentinel() -> User:
    """The user that takes over what others leave; makes calls of its own."""
    CALLS.append("sentinel")
    return User.objects.get_or_create(name="deleted")[0]


def nobody() -> None:
    """No user at all."""
    CALLS.append("nobody")


def default_user() -> int:
    """The key of the default."""
    CALLS.append("default")
    return 1


class Page(ormis.Model):
    """Goes to the sentinel."""

    author: ForeignKey[User] = ForeignKey(on_delete=SET(sentinel), related_name="pages")
    editor: ForeignKey[User | None] = ForeignKey(on_delete=SET(nobody), related_name="edited")

    class Meta:
        key = "set_page"


class Note(ormis.Model):
    """Goes to the user 1, by a plain value and by the function of a default."""

    author: ForeignKey[User | None] = ForeignKey(on_delete=SET(1), related_name="notes")
    reader: ForeignKey[User | None] = ForeignKey(on_delete=SET_DEFAULT, default=default_user, related_name="+")

    class Meta:
        key = "set_note"


class Paragraph(ormis.Model):
    """Goes with its note's author by a cascade of its own, and has one that is set."""

    owner: ForeignKey[User] = ForeignKey(on_delete=CASCADE, related_name="paragraphs")

    class Meta:
        key = "set_paragraph"


class Remark(ormis.Model):
    """Reached through a paragraph that is deleted."""

    paragraph: ForeignKey[Paragraph | None] = ForeignKey(on_delete=SET(None), related_name="remarks")

    class Meta:
        key = "set_remark"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """No calls yet."""
    CALLS.clear()
    yield
    CALLS.clear()


@pytest.fixture
def users(db: ormis.Database) -> list[User]:
    """Three users."""
    return [User(name=name).save() for name in ("root", "ann", "bob")]


def delete_one(user: User) -> Any:
    return user.delete()


def delete_query(user: User) -> Any:
    return User.objects.filter(pk=user.pk).delete()


def delete_by_client(user: User) -> Any:
    return User.objects.filter(pk=user.pk, name__regex=".").delete()


def delete_async(user: User) -> Any:
    return asyncio.run(user.adelete())


def delete_in_block(user: User) -> Any:
    with ormis.atomic():
        user.delete()
    return (1, {"User": 1})


def delete_query_in_block(user: User) -> Any:
    with ormis.atomic():
        User.objects.filter(pk=user.pk).delete()
    return (1, {"User": 1})


def delete_in_steps(user: User) -> Any:
    Page._database_for(None).limits = Limits(cascade=1, deleted=1, changed=1, values=2)
    return user.delete()


WAYS = [
    delete_one,
    delete_query,
    delete_by_client,
    delete_async,
    delete_in_block,
    delete_query_in_block,
    delete_in_steps,
]


@pytest.mark.parametrize("delete", WAYS)
def test_a_function(users: list[User], db: ormis.Database, delete: Callable[[User], Any]) -> None:
    """Is called once in a deletion that meets objects, whatever their number; its object takes over."""
    _, ann, bob = users
    Page.objects.bulk_create([Page(author=ann, editor=bob) for _ in range(3)] + [Page(author=bob, editor=ann)])
    assert delete(ann) == (1, {"User": 1})
    assert sorted(CALLS) == ["nobody", "sentinel"]
    taken = User.objects.get(name="deleted")
    assert [p.author for p in Page.objects.order_by("pk")] == [taken, taken, taken, bob]
    assert [p.editor for p in Page.objects.order_by("pk")] == [bob, bob, bob, None]
    assert taken.pages.count() == 3  # type: ignore[attr-defined]
    assert ormis.check(db, models=[User, Page]).findings == []


@pytest.mark.parametrize("delete", WAYS)
def test_a_function_is_called_only_if_needed(users: list[User], delete: Callable[[User], Any]) -> None:
    """Not if nothing refers to the deleted object."""
    _, ann, bob = users
    Page(author=bob).save()
    assert delete(ann) == (1, {"User": 1})
    assert CALLS == []
    assert not User.objects.filter(name="deleted").exists()


@pytest.mark.parametrize("delete", WAYS)
def test_a_plain_value(users: list[User], db: ormis.Database, delete: Callable[[User], Any]) -> None:
    """Is set by the server. The function of a default is called when a deletion needs it, not as the class is made."""
    root, ann, bob = users
    Note(author=ann, reader=bob).save()
    Note(author=bob, reader=ann).save()
    assert CALLS == []
    delete(ann)
    assert [(n.author, n.reader) for n in Note.objects.order_by("pk")] == [(root, bob), (bob, root)]
    assert CALLS == ["default"]
    assert ormis.check(db, models=[User, Note]).findings == []


def test_calls(users: list[User]) -> None:
    """A plain value costs no call; a function one more, and those that it makes itself."""
    Note(author=users[1], reader=None).save()
    with ormis.capture_calls() as calls:
        users[1].delete()
    assert len(calls) == 1
    Page(author=users[2]).save()
    with ormis.capture_calls() as calls:
        users[2].delete()
    assert len(calls) == 3


def test_at_two_removes(users: list[User]) -> None:
    """The rule is applied to what refers to an object that goes by a cascade."""
    paragraph = Paragraph(owner=users[1]).save()
    remark = Remark(paragraph=paragraph).save()
    assert users[1].delete() == (2, {"Paragraph": 1, "User": 1})
    assert Remark.get(remark.pk).paragraph_id is None


def test_an_object_that_goes_itself(users: list[User]) -> None:
    """Needs no other value: the function is not called."""

    class Log(ormis.Model):
        owner: ForeignKey[User] = ForeignKey(on_delete=CASCADE, related_name="+")
        author: ForeignKey[User] = ForeignKey(on_delete=SET(sentinel), related_name="+")

        class Meta:
            key = "set_log"

    Log(owner=users[1], author=users[1]).save()
    assert users[1].delete() == (2, {"Log": 1, "User": 1})
    assert CALLS == []


def test_a_deletion_that_is_refused(users: list[User]) -> None:
    """PROTECT is said before a function is called."""

    class Guard(ormis.Model):
        user: ForeignKey[User] = ForeignKey(on_delete=PROTECT, related_name="+")

        class Meta:
            key = "set_guard"

    Page(author=users[1]).save()
    Guard(user=users[1]).save()
    with pytest.raises(ormis.ProtectedError):
        users[1].delete()
    assert CALLS == []
    assert User.objects.count() == 3


@pytest.mark.parametrize("delete", [delete_one, delete_query, delete_in_block, delete_in_steps])
def test_a_value_that_points_at_nothing(users: list[User], delete: Callable[[User], Any]) -> None:
    """Is a ForeignKeyViolation, and nothing is deleted; so is the value that is deleted itself."""
    root, ann, _ = users
    note = Note(author=root, reader=None).save()
    with pytest.raises(ormis.ForeignKeyViolation, match=r"Note\.author_id='1' points at set_user:1"):
        delete(root)
    assert Note.get(note.pk).author == root

    class Lost(ormis.Model):
        user: ForeignKey[User] = ForeignKey(on_delete=SET(lambda: 99), related_name="+")

        class Meta:
            key = "set_lost"

    Lost(user=ann).save()
    with pytest.raises(ormis.ForeignKeyViolation, match="points at set_user:99"):
        delete(ann)
    assert User.objects.count() == 3


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (None, ormis.IntegrityError, "returned None, and the field takes no None"),
        ("x", ormis.IntegrityError, "returned 'x', and it does not convert to int"),
        (User(name="new"), ormis.ForeignKeyViolation, "not saved yet"),
        (Note(), TypeError, "takes a User, not"),
    ],
)
def test_a_function_that_returns_what_the_field_does_not_take(
    users: list[User], value: Any, error: type[Exception], message: str
) -> None:
    """Is refused by name, and nothing is deleted."""

    class Bad(ormis.Model):
        user: ForeignKey[User] = ForeignKey(on_delete=SET(lambda: value), related_name="+")

        class Meta:
            key = "set_bad"

    Bad(user=users[1]).save()
    with pytest.raises(error, match=message):
        users[1].delete()
    assert User.objects.count() == 3


def test_a_function_that_raises(users: list[User]) -> None:
    """Its error is raised, and nothing is deleted."""

    def fails() -> int:
        raise LookupError("no idea")

    class Failing(ormis.Model):
        user: ForeignKey[User] = ForeignKey(on_delete=SET(fails), related_name="+")

        class Meta:
            key = "set_failing"

    Failing(user=users[1]).save()
    with pytest.raises(LookupError, match="no idea"):
        users[1].delete()
    with pytest.raises(LookupError, match="no idea"), ormis.atomic():
        users[1].delete()
    assert User.objects.count() == 3


def test_an_object_as_value(users: list[User]) -> None:
    """SET(obj) stands for its key; with to_field for that field of it."""
    root = users[0]

    class Memo(ormis.Model):
        one: ForeignKey[User] = ForeignKey(on_delete=SET(root), related_name="+")
        two: ForeignKey[User | None] = ForeignKey(on_delete=SET(root), to_field="name", related_name="+")
        three: ForeignKey[User | None] = ForeignKey(on_delete=SET(sentinel), to_field="name", related_name="+")

        class Meta:
            key = "set_memo"

    memo = Memo(one=users[1], two=users[1], three=users[1]).save()
    users[1].delete()
    memo.refresh_from_db()
    assert (memo.one_id, memo.two_id, memo.three_id) == (1, "root", "deleted")


def test_a_one_to_one(users: list[User]) -> None:
    """A value that another object holds is a UniqueViolation, and nothing is deleted."""

    class Desk(ormis.Model):
        user: OneToOne[User] = OneToOne(on_delete=SET(1), related_name="desk")

        class Meta:
            key = "set_desk"

    desk = Desk(user=users[1]).save()
    users[1].delete()
    desk.refresh_from_db()
    assert desk.user == users[0]
    Desk(user=users[2]).save()
    with pytest.raises(ormis.UniqueViolation, match=r"Desk with user_id='1' exists already: set_desk:1"):
        users[2].delete()


def ended(raw: Any, user: User) -> None:
    """Removes the hash, as its expiry does, and lets another call clear the rest away."""
    user.expire(100)
    raw.zadd("set_user/expiry", {str(user.id): 1})
    raw.delete(user.key)
    for _ in range(3):
        User.objects.filter(pk=0).delete()


def test_expiry(users: list[User], db: ormis.Database, raw: redis.Redis) -> None:
    """A plain value is set when an expired object is cleared away. A function can't be called then: such a reference
    becomes absent if it is optional, else its object goes too.
    """
    _, ann, bob = users
    note = Note(author=ann, reader=ann).save()
    page, other = Page(author=bob, editor=ann).save(), Page(author=ann).save()
    ended(raw, ann)
    note.refresh_from_db()
    assert (note.author_id, note.reader_id) == (1, None)
    page.refresh_from_db()
    assert page.editor_id is None
    assert not Page.objects.filter(pk=other.pk).exists()
    assert CALLS == []
    assert ormis.check(db, models=[User, Page, Note]).findings == []


async def coroutine() -> int:
    """Not to be given to SET()."""
    return 1


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: ForeignKey(on_delete=SET), r"on_delete=SET is no rule.*on_delete=SET\(value\)"),
        (lambda: ForeignKey(on_delete="set_value"), r"on_delete=SET\(value\)"),  # type: ignore[arg-type]
        (lambda: ForeignKey(SET(1)), r"write on_delete=SET\(1\)"),  # type: ignore[call-arg, misc]
        (lambda: SET(coroutine), "calls the function without await"),
    ],
)
def test_declarations_that_are_refused(declare: Callable[[], Any], message: str) -> None:
    """With what to write."""
    with pytest.raises(ModelError, match=message):
        declare()


@pytest.mark.parametrize(
    ("value", "optional", "message"),
    [
        (None, False, r"SET\(None\) needs an optional relation"),
        ("x", True, r"a deletion would set it to 'x', which does not convert to int"),
    ],
)
def test_values_that_are_refused(value: Any, optional: bool, message: str) -> None:
    """When the class is made."""
    with pytest.raises(ModelError, match=message):
        type(
            "Refused",
            (ormis.Model,),
            {
                "__module__": __name__,
                "__annotations__": {"user": ForeignKey[User | None] if optional else ForeignKey[User]},  # type: ignore[valid-type]
                "user": ForeignKey(on_delete=SET(value), related_name="+"),
            },
        )


def test_repr() -> None:
    """As it is written."""
    assert repr(SET(1)) == "SET(1)"
    assert repr(SET(sentinel)) == "SET(sentinel)"
