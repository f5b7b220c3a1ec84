"""Operations without a server: what they send and what replies become, by the fake driver."""

from typing import Any

import msgspec
import pytest
from redis.exceptions import ResponseError

import ormis
from ormis import CASCADE, F, ForeignKey
from ormis.drivers.fake import FakeDriver
from ormis.operations.outcomes import InexactArithmetic, unpack
from ormis.operations.reading.get import get
from ormis.operations.writing.delete import deletion
from ormis.operations.writing.mutations import commit
from ormis.operations.writing.save import save


class Shelf(ormis.Model):
    """What a book refers to."""

    room: str = ""

    class Meta:
        key = "operations_shelf"


class Book(ormis.Model):
    """An object that is saved and read without a server."""

    title: str
    pages: int = 0
    shelf: ForeignKey[Shelf | None] = ForeignKey(on_delete=CASCADE)

    class Meta:
        key = "operations_book"


def packed(*answer: Any) -> bytes:
    """The answer of a script as the server sends it."""
    return msgspec.msgpack.encode(answer)


def stored(**values: Any) -> Book:
    """A book that the fake server has stored as the first one."""
    book = Book(title="Emma", **values)
    FakeDriver([packed("ok", [["1"]])]).run(save(book))
    return book


REFUSALS: dict[str, tuple[tuple[Any, ...], type[Exception], str]] = {
    "missing": ((1, "operations_book:1", "1"), Book.DoesNotExist, "Book with id='1' is not in the database"),
    "unique": (
        (1, "operations_book", "title", "Emma", "2"),
        ormis.UniqueViolation,
        "Book with title='Emma' exists already: operations_book:2",
    ),
    "reference": (
        (1, "operations_book", "shelf_id", "7", "operations_shelf", False),
        ormis.ForeignKeyViolation,
        "Book.shelf_id='7' points at operations_shelf:7, which does not exist",
    ),
    "reference by a field": (
        (1, "operations_book", "shelf_id", "7", "operations_shelf", "code"),
        ormis.ForeignKeyViolation,
        "Book.shelf_id='7' points at the operations_shelf with code='7', which does not exist",
    ),
    "reference of another model": (
        (1, "operations_shelf", "room_id", "7", "operations_room", False),
        ormis.ForeignKeyViolation,
        "Shelf.room_id='7' points at operations_room:7, which does not exist",
    ),
    "referred": (
        (1, "operations_book", "title", "Emma", ["operations_note:1", "operations_note:2"]),
        ormis.ForeignKeyViolation,
        "Book.title='Emma' can't be changed: operations_note:1, operations_note:2 refer to it by this value",
    ),
    "link": (
        (1, "operations_shelf:7", "shelves", "operations_shelf", "7"),
        ormis.ForeignKeyViolation,
        "Book.shelves: operations_shelf:7 does not exist",
    ),
    "changed": (
        (1, "operations_book:1", "1", "title", "Emma", "Lady Susan"),
        ormis.ConflictError,
        "Book.title of operations_book:1 was 'Emma' when it was loaded and is 'Lady Susan' now",
    ),
    "protected": (
        (1, "operations_book", "shelf_id", ["operations_book:1"]),
        ormis.ProtectedError,
        "operations_book:1 refers to it with on_delete=PROTECT",
    ),
    "restricted": (
        (1, "operations_book", "shelf_id", [f"operations_book:{pk}" for pk in range(1, 8)]),
        ormis.RestrictedError,
        "operations_book:5 and 2 more refer to it with on_delete=RESTRICT",
    ),
    "wrongtype": (("operations_book:1", "list"), ormis.StoredDataError, "'operations_book:1' holds a list"),
    "counter": (("operations_book/next_id", "many"), ormis.StoredDataError, "holds 'many', which is no count of keys"),
    "declaration": (
        ("ormis/models", "operations_book"),
        ormis.StoredDataError,
        "the field 'operations_book' of the key 'ormis/models' is no declaration",
    ),
}


@pytest.mark.parametrize("outcome", REFUSALS)
def test_a_refused_commit_raises_and_changes_no_state(outcome: str) -> None:
    """Each refusal becomes its exception; the object is as unsaved as before, so the next save() sends it again."""
    details, kind, message = REFUSALS[outcome]
    book = stored()
    book.title = "Persuasion"
    driver = FakeDriver([packed(outcome.split(" ", maxsplit=1)[0], *details), packed("ok", [True])])
    with pytest.raises(kind) as refusal:
        driver.run(save(book))
    assert message in str(refusal.value)
    driver.run(save(book))
    first, second = driver.calls
    assert str(first) == str(second)
    assert "Persuasion" in str(second)


def test_a_refusal_names_the_model_of_its_mutation() -> None:
    """The number in a refusal says which mutation of the call it is about."""
    mutations = [deletion(Book.__schema__, [1]), deletion(Shelf.__schema__, [1])]
    with pytest.raises(Shelf.DoesNotExist):
        FakeDriver([packed("missing", 2, "operations_shelf:1", "1")]).run(commit(mutations))


def test_a_new_object_learns_its_key() -> None:
    """One call stores it; the key that the server counted is the object's."""
    book, driver = Book(title="Emma"), FakeDriver([packed("ok", [["12"]])])
    driver.run(save(book))
    assert book.id == 12
    assert [getattr(call, "name", None) for call in driver.calls] == ["commit"]


def test_inexact_arithmetic_is_done_by_the_client() -> None:
    """A sum refused as inexact is computed from the texts in the refusal, and written by a second call."""
    book = stored(pages=2**60)
    book.pages = F("pages") + 1
    position = Book.__schema__.column("pages").position
    operands = [[1, position, str(2**60)]]
    driver = FakeDriver([packed("inexact", 1, "operations_book:1", operands), packed("ok", [True])])
    driver.run(save(book))
    assert book.pages == 2**60 + 1
    assert len(driver.calls) == 2
    assert str(2**60 + 1).encode() in driver.calls[1].args[0]


def test_inexact_arithmetic_of_a_plain_commit_is_told() -> None:
    """A commit that can't compute anything itself raises it."""
    with pytest.raises(InexactArithmetic):
        FakeDriver([packed("inexact", 1, "operations_book:1", [])]).run(commit([deletion(Book.__schema__, [1])]))


@pytest.mark.parametrize(
    ("reply", "row"),
    [([b"1", b"Emma", b"474", None], (1, "Emma", 474, None)), ([None, None, None, None], None)],
    ids=["stored", "missing"],
)
def test_get_reads_one_hash(reply: Any, row: Any) -> None:
    """One HMGET of all columns; a hash without the primary key is no object."""
    driver = FakeDriver([reply])
    assert driver.run(get(Book.__schema__, 1)) == row
    assert [str(call) for call in driver.calls] == ["HMGET operations_book:1 id title pages shelf_id"]


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (ResponseError("WRONGTYPE Operation against a key"), "the key 'operations_book:1' holds another type"),
        ([b"1", b"Emma", b"many", None], "Book.pages of the key 'operations_book:1' holds 'many', which is no int"),
    ],
    ids=["wrong type", "bad text"],
)
def test_get_refuses_what_is_no_object(reply: Any, message: str) -> None:
    """A key of another type, and a text that does not convert, are named with their key."""
    with pytest.raises(ormis.StoredDataError) as refusal:
        FakeDriver([reply]).run(get(Book.__schema__, 1))
    assert message in str(refusal.value)


def test_get_passes_other_errors_on() -> None:
    """An error of the server that is not about the type of the key is raised as it is."""
    with pytest.raises(ResponseError, match="LOADING"):
        FakeDriver([ResponseError("LOADING the data set")]).run(get(Book.__schema__, 1))


@pytest.mark.parametrize("length", [1, 31, 32, 255, 256, 2**16], ids=str)
def test_texts_that_are_no_utf8_are_shown_with_escapes(length: int) -> None:
    """An answer with such a text is read to its end: the text with escapes, also in a list, and all else as it is."""
    # packed as an ASCII text of the same length, whose bytes are then replaced
    answer = packed("unique", "~" * length, [1, "~" * length], 7).replace(b"~", b"\xff")
    shown = "\\xff" * length
    assert unpack(answer) == ["unique", shown, [1, shown], 7]


def test_a_refusal_with_a_text_that_is_no_utf8() -> None:
    """The exception shows the value with escapes."""
    reply = packed("unique", 1, "operations_book", "title", "~", "2").replace(b"~", b"\xff")
    with pytest.raises(ormis.UniqueViolation) as refusal:
        FakeDriver([reply]).run(save(Book(title="Emma")))
    assert refusal.value.value == "\\xff"
