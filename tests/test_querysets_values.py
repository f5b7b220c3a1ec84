"""values(), values_list(), only(), defer() and distinct(): what a row becomes, and what it costs."""

import copy
import pickle
from typing import Any

import pytest

import ormis
from bookshop import DAY, Author, Book, Review, Tag, stock
from ormis import F, FieldError, capture_calls


@pytest.fixture(autouse=True)
def stocked(db: ormis.Database) -> None:
    stock()


# values() and values_list() ------------------------------------------------------------------------------------------


def test_values_are_dicts_of_the_stored_fields() -> None:
    """Without names a row has every stored field, in the order of their declaration, as Python values."""
    assert Book.objects.values()[0] == {
        "id": 1,
        "author_id": 1,
        "title": "Emma",
        "pages": 300,
        "published": DAY.replace(day=5),
        "notes": ["old"],
    }
    assert list(Book.objects.values()[0]) == ["id", "author_id", "title", "pages", "published", "notes"]
    assert Book.objects.values("title", "pages").get(pk=5) == {"title": "Carrie", "pages": None}


def test_values_keep_the_names_they_were_asked_by() -> None:
    """`pk`, `author` and `author__pk` are keys as they were written, and one field may be asked for twice."""
    rows = Book.objects.filter(pk=1)
    assert list(rows.values("pk", "author", "author_id", "author__pk", "author__id")) == [
        {"pk": 1, "author": 1, "author_id": 1, "author__pk": 1, "author__id": 1}
    ]
    assert list(rows.values_list("title", "pk", "id", "title")) == [("Emma", 1, 1, "Emma")]


def test_values_list_is_tuples_named_tuples_or_single_values() -> None:
    """Flat takes one field, named gives named tuples; both together or flat with another number is a TypeError."""
    assert list(Book.objects.values_list("title", "pages")[:2]) == [("Emma", 300), ("Dune", 500)]
    assert list(Book.objects.order_by("title").values_list("title", flat=True)[:2]) == ["Beowulf", "Carrie"]
    row = Book.objects.values_list("pk", "author__name", named=True).get(pk=2)
    assert (row.pk, row.author__name, type(row).__name__) == (2, "Bob", "Row")
    assert Book.objects.values_list(named=True).first().title == "Emma"
    with pytest.raises(TypeError, match="exclude each other"):
        Book.objects.values_list("title", flat=True, named=True)
    for names in ((), ("title", "pages")):
        with pytest.raises(TypeError, match="flat=True"):
            Book.objects.values_list(*names, flat=True)


def test_values_across_relations_to_one() -> None:
    """Any depth, forward and reverse one-to-one, None where a step leads nowhere; one call."""
    with capture_calls() as calls:
        rows = list(Review.objects.order_by("id").values_list("book__author__mentor__name", "book__cover__colour"))
    assert rows == [(None, "red"), (None, "red"), ("Ann", "blue"), ("Ann", None)]
    assert len(calls) == 1


def test_values_across_relations_to_many() -> None:
    """A row per related object, one with None where there is none; two relations give every pair."""
    rows = list(Book.objects.values_list("title", "reviews__stars"))
    assert rows == [("Emma", 3), ("Emma", 5), ("Dune", 4), ("Ulysses", 5), ("Beowulf", None), ("Carrie", None)]
    pairs = Book.objects.filter(pk__in=[1, 4]).values_list("pk", "reviews__stars", "tags__name")
    assert sorted(pairs, key=repr) == [(1, 3, "classic"), (1, 5, "classic"), (4, None, None)]
    deep = Author.objects.values_list("name", "books__reviews__stars", "books__title")
    assert sorted(deep, key=repr) == [
        ("Ann", 3, "Emma"),
        ("Ann", 5, "Emma"),
        ("Ann", None, "Carrie"),
        ("Bob", 4, "Dune"),
        ("Bob", 5, "Ulysses"),
        ("Cid", None, None),
    ]
    assert list(Tag.objects.filter(books__pages=300).values_list("name", "books__title").order_by("name")) == [
        ("classic", "Emma"),
        ("classic", "Ulysses"),
        ("long", "Ulysses"),
    ]


def test_rows_across_relations_to_many_are_ordered_sliced_and_counted() -> None:
    """Such rows may be ordered by what makes them; slices, count(), exists() and first() speak of rows."""
    rows = Book.objects.order_by("-reviews__stars", "title").values_list("title", "reviews__stars")
    assert list(rows) == [
        ("Emma", 5),
        ("Ulysses", 5),
        ("Dune", 4),
        ("Emma", 3),
        ("Beowulf", None),
        ("Carrie", None),
    ]
    assert next(iter(rows.reverse())) == ("Carrie", None)
    assert list(rows[1:3]) == [("Ulysses", 5), ("Dune", 4)]
    assert (rows.count(), len(rows[1:3]), rows.all()[1:3].count(), rows.exists(), rows.first()) == (
        6,
        2,
        2,
        True,
        ("Emma", 5),
    )
    nulls = Book.objects.order_by(F("reviews__stars").asc(nulls_last=True), "pk").values_list(
        "reviews__stars", flat=True
    )
    assert list(nulls) == [3, 4, 5, 5, None, None]
    with pytest.raises(FieldError, match=r"reviews leads to many objects; name Min or Max"):
        list(Book.objects.order_by("reviews__stars"))


def test_distinct_rows() -> None:
    """Equal rows come once, where they first stand; of objects distinct() changes nothing; slices are cut after it."""
    assert list(Book.objects.values_list("pages", flat=True).distinct()) == [300, 500, 100, None]
    assert list(Book.objects.values_list("pages", flat=True).distinct()[1:3]) == [500, 100]
    assert Book.objects.values_list("pages", flat=True).distinct().count() == 4
    assert list(Book.objects.values("notes").distinct()) == [
        {"notes": ["old"]},
        {"notes": []},
        {"notes": ["long", "odd"]},
    ]
    assert list(Author.objects.values_list("books__pages", flat=True).distinct().order_by("books__pages")) == [
        None,
        300,
        500,
    ]
    assert Book.objects.filter(reviews__stars__gte=1).distinct().count() == 3


def test_values_follow_their_own_order() -> None:
    """What comes before values() holds after it, and the other way round; values() after values() replaces it."""
    assert list(Book.objects.values_list("pk", flat=True).filter(pages=300).order_by("-title")) == [3, 1]
    assert list(Book.objects.values("title").values_list("pk", flat=True)[:2]) == [1, 2]
    assert Book.objects.only("title").values()[0].keys() == Book.objects.values()[0].keys()


@pytest.mark.parametrize("name", ["nothing", "title__lower", "author__nothing", "published__yeer", ""])
def test_values_refuse_what_is_no_field(name: str) -> None:
    """Unknown names and lookups are a FieldError that names them."""
    with pytest.raises(FieldError, match=r"Book|Author"):
        list(Book.objects.values(name))


def test_methods_of_objects_are_refused_after_values() -> None:
    """only(), defer(), select_related(), prefetch_related(), in_bulk() and contains() need objects."""
    rows: Any = Book.objects.values("title")
    book = Book.get(1)
    for work in (
        lambda: rows.only("title"),
        lambda: rows.defer("title"),
        lambda: rows.select_related("author"),
        lambda: rows.prefetch_related("reviews"),
        lambda: rows.in_bulk(),
        lambda: rows.contains(book),
    ):
        with pytest.raises(TypeError, match="values"):
            work()


# only() and defer() --------------------------------------------------------------------------------------------------


def test_deferred_fields_are_loaded_on_first_use() -> None:
    """only() reads what it names and the primary key; another field is one call, once."""
    with capture_calls() as calls:
        (book,) = Book.objects.only("title").filter(pk=3)
        assert (book.pk, book.title) == (3, "Ulysses")
        assert len(calls) == 1
        assert (book.pages, book.pages) == (300, 300)
        assert len(calls) == 2
    (book,) = Book.objects.defer("notes", "pages").filter(pk=3)
    with capture_calls() as calls:
        assert (book.title, book.author_id) == ("Ulysses", 2)
        assert not calls
        assert book.notes == ["long", "odd"]
        assert len(calls) == 1


def test_only_and_defer_combine() -> None:
    """defer() takes away from what only() named, the last only() counts, and the primary key is always there."""

    def loaded(queryset: Any) -> set[str]:
        return {name for name in Book.model_fields if name in vars(queryset.first())}

    assert loaded(Book.objects.only("title", "pages").defer("pages")) == {"id", "title"}
    assert loaded(Book.objects.only("title").only("pages")) == {"id", "pages"}
    assert loaded(Book.objects.defer("pk", "title")) == set(Book.model_fields) - {"title"}
    assert loaded(Book.objects.only("author")) == {"id", "author_id"}


def test_a_partly_loaded_object_writes_what_was_changed(raw: Any) -> None:
    """save() of a partly loaded object writes the changed fields and leaves the others alone."""
    book = Book.objects.only("title").get(pk=1)
    raw.hset("bookshop_book:1", "pages", "301")
    book.title = "Emma!"
    book.save()
    assert raw.hmget("bookshop_book:1", "title", "pages", "notes") == [b"Emma!", b"301", b'["old"]']
    book = Book.objects.defer("pages").get(pk=1)
    book.pages = 7
    book.save()
    assert (Book.get(1).pages, Book.get(1).notes) == (7, ["old"])
    assert Book.objects.filter(pages=7, title="Emma!").count() == 1


def test_a_partly_loaded_object_is_an_object() -> None:
    """It dumps, pickles, copies, compares and hashes as the whole one; what is missing is loaded for that."""

    def partly() -> Book:
        return Book.objects.only("title").get(pk=1)

    whole = Book.get(1)
    assert partly() == whole
    assert hash(partly()) == hash(whole)
    assert partly().model_dump() == whole.model_dump()
    assert partly().model_dump_json() == whole.model_dump_json()
    assert copy.copy(partly()).pages == 300
    assert copy.deepcopy(partly()).notes == ["old"]
    assert partly().model_copy().pages == 300
    assert pickle.loads(pickle.dumps(partly())).pages == 300
    assert "Emma" in repr(partly())
    partial = partly()
    partial.refresh_from_db()
    with capture_calls() as calls:
        assert partial.pages == 300
    assert not calls


@pytest.mark.parametrize(
    ("narrow", "loaded"),
    [
        (lambda q: q.defer("title").only("title", "pages"), {"id", "pages"}),
        (lambda q: q.defer("title").only("pages").only("title"), {"id", "title"}),
        (lambda q: q.defer("title").defer("notes", "published"), {"id", "author_id", "pages"}),
        (lambda q: q.only("title", "pages").defer("pages", "notes"), {"id", "title"}),
        (lambda q: q.only("title").defer("title"), set(Book.model_fields)),
        (lambda q: q.only("title").defer("title", "pages"), set(Book.model_fields) - {"pages"}),
        (lambda q: q.only("title").defer("title", "pages").defer("notes"), set(Book.model_fields) - {"pages", "notes"}),
        (lambda q: q.defer("title").defer(None).only("pages"), {"id", "pages"}),
        (lambda q: q.only("title").defer(None), set(Book.model_fields)),
        (lambda q: q.only("author__name"), {"id", "author_id"}),
        (lambda q: q.select_related("author").only("title", "author__name"), {"id", "title", "author_id"}),
        (lambda q: q.only("cover__colour", "pages"), {"id", "pages"}),
        (lambda q: q.defer("author__name", "pages"), set(Book.model_fields) - {"pages"}),
        (lambda q: q.defer("author__name"), set(Book.model_fields)),
    ],
)
def test_only_and_defer_in_any_sequence(narrow: Any, loaded: set[str]) -> None:
    """The last only() counts, less what defer() named before; defer() adds up; paths stand for their foreign keys."""
    (book,) = narrow(Book.objects.filter(pk=1))
    assert book.__dict__.keys() == loaded
    assert (book.title, book.pages, book.author.name) == ("Emma", 300, "Ann")


def test_related_objects_come_along_partly_loaded_ones() -> None:
    """only() across a relation with select_related() is one call, and every field of the related object is there."""
    with capture_calls() as calls:
        books = [*Book.objects.select_related("author", "cover").only("title", "author__name").filter(pk__lte=2)]
        assert [(b.title, b.author.name, b.author.born, b.cover.colour) for b in books] == [
            ("Emma", "Ann", 1800, "red"),
            ("Dune", "Bob", 1900, "blue"),
        ]
    assert len(calls) == 1


async def test_deferred_fields_of_async_code_never_block() -> None:
    """An object that async code loaded partly says what to write instead of loading unseen."""
    book = await Book.objects.only("title").aget(pk=1)
    with pytest.raises(ormis.RelationNotLoaded, match=r"pages.*await"):
        _ = book.pages
    await book.arefresh_from_db()
    assert book.pages == 300


def test_fields_of_a_deleted_object_can_not_be_loaded() -> None:
    """A deferred field of an object that is gone is the model's DoesNotExist."""
    book = Book.objects.only("title").get(pk=4)
    Book.get(4).delete()
    with pytest.raises(Book.DoesNotExist):
        _ = book.pages


@pytest.mark.parametrize("method", ["only", "defer"])
def test_only_and_defer_take_fields_of_the_model(method: str) -> None:
    """Lookups, unknown names and names across relations to many are FieldErrors."""
    for name in ("title__lower", "titel", "author__nam", "tags", "tags__name", "author__books__title", None, 3):
        if (name, method) == (None, "defer"):
            continue
        with pytest.raises(FieldError):
            getattr(Book.objects, method)(name)
