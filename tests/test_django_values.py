"""Values that are computed: expressions and parts of dates in rows and orders, text lookups, methods of fields."""

from datetime import UTC, date, datetime, timedelta
from enum import Enum
from typing import Any, Literal

import pytest

import ormis
from bookshop import DAY, Author, Book, Review, Tag, stock
from model_factory import make
from ormis import F, Field, FieldError, Prefetch, capture_calls


@pytest.fixture(autouse=True)
def stocked(db: ormis.Database) -> None:
    stock()


# values() with expressions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (lambda q: q.values(name=F("title")), [{"name": "Emma"}, {"name": "Dune"}]),
        (lambda q: q.values("pk", more=F("pages") + 1), [{"pk": 1, "more": 301}, {"pk": 2, "more": 501}]),
        (lambda q: q.values(by=F("author__name")), [{"by": "Ann"}, {"by": "Bob"}]),
        (lambda q: q.values_list(F("pages") * 2, flat=True), [600, 1000]),
        (
            lambda q: q.values_list("title", F("pages") / F("author__born")),
            [("Emma", 300 / 1800), ("Dune", 500 / 1900)],
        ),
        (lambda q: q.values(year=F("published__year")), [{"year": 2026}, {"year": 2026}]),
        (
            lambda q: q.values("published__day", "title"),
            [{"published__day": 5, "title": "Emma"}, {"published__day": 4, "title": "Dune"}],
        ),
        (lambda q: q.values_list("published__date", flat=True), [date(2026, 1, 5), date(2026, 1, 4)]),
        (lambda q: q.values(x=F("pages")).order_by("-x"), [{"x": 500}, {"x": 300}]),
        (lambda q: q.values(x=-F("pages")).order_by("x"), [{"x": -500}, {"x": -300}]),
        (lambda q: q.values(x=F("pages")).values("pk"), [{"pk": 1}, {"pk": 2}]),
        (lambda q: q.values(x=F("pages")).values_list(), [(300,), (500,)]),
        (lambda q: q.values(x=F("pages"))[1:], [{"x": 500}]),
        (lambda q: q.values(tag=F("tags__name")), [{"tag": "classic"}, {"tag": None}]),
        (lambda q: q.values(x=F("pages") % 100).distinct(), [{"x": 0}]),
        (
            lambda q: q.values("title", x=F("pages")).union(q.values("title", x=F("pk"))).order_by("title")[:1],
            [{"title": "Dune", "x": 500}],
        ),
    ],
)
def test_rows_of_expressions(rows: Any, expected: list[Any]) -> None:
    """Each is computed from the fields of the row, in every shape, with orders, slices, distinct rows and unions."""
    books = Book.objects.filter(pk__lte=2)
    assert [*rows(books)] == expected
    assert [*rows(books).iterator(1)] == expected
    assert rows(books).first() == expected[0]
    assert len(rows(books)) == len(expected)


async def test_rows_of_expressions_in_async_code() -> None:
    """The same, in one call."""
    with capture_calls() as calls:
        rows = await Book.objects.filter(pk=1).values("title", more=F("pages") + 1, year=F("published__year"))
    assert (rows, len(calls)) == ([{"title": "Emma", "more": 301, "year": 2026}], 1)


def test_named_rows_of_expressions() -> None:
    """Named tuples have the names of fields and parts; an expression by position has a number."""
    (row,) = Book.objects.filter(pk=1).values_list("title", "published__year", F("pages") + 1, named=True)
    assert (row.title, row.published__year, row.expression3) == ("Emma", 2026, 301)


def test_absent_values_in_expressions() -> None:
    """An absent operand makes the value absent, and so is the part of an absent date."""
    rows = Book.objects.filter(pk__gte=4).values_list(F("pages") + 1, "published__year")
    assert [*rows] == [(101, None), (None, 2026)]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Book.objects.values(x="title"),
        lambda: Book.objects.values(title=F("pages")),
        lambda: Book.objects.values(x=F("pags")),
        lambda: Book.objects.values("pages__year"),
        lambda: Book.objects.values("published__year__gt"),
        lambda: Book.objects.values_list(3),
        lambda: [*Book.objects.order_by("published__yeer")],
    ],
)
def test_rows_refuse_what_is_no_value(wrong: Any) -> None:
    """What is no expression over fields is a FieldError where it is written."""
    with pytest.raises(FieldError):
        wrong()


def test_a_subquery_of_one_expression() -> None:
    """`in` takes a queryset with one computed value."""
    Book.objects.create(title="Short", pages=501)
    found = Book.objects.filter(pages__in=Book.objects.values_list(F("pages") + 1))
    assert [book.title for book in found] == ["Short"]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (["published__day"], "Beowulf Carrie Ulysses Dune Emma"),
        (["-published__day", "title"], "Emma Dune Ulysses Carrie Beowulf"),
        (["published__year", "-title"], "Beowulf Ulysses Emma Dune Carrie"),
        (["published__date", "pk"], "Beowulf Carrie Ulysses Dune Emma"),
    ],
)
def test_orders_by_parts_of_dates(order: list[str], expected: str) -> None:
    """A part of a date or time orders as its values do, absent ones first; reversed, sliced and iterated as well."""
    found = Book.objects.order_by(*order)
    assert [book.title for book in found] == expected.split()
    assert [book.title for book in found.reverse()] == expected.split()[::-1]
    assert [book.title for book in found[1:3]] == expected.split()[1:3]
    assert [book.title for book in found.iterator(2)] == expected.split()


def test_orders_by_parts_of_related_dates() -> None:
    """Also across relations."""
    reviews = Review.objects.order_by("book__published__day", "pk").values_list("pk", flat=True)
    assert [*reviews] == [4, 3, 1, 2]


# Text lookups --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lookups", "expected"),
    [
        ({"pages__contains": 0}, "Emma Dune Ulysses Beowulf"),
        ({"pages__startswith": "3"}, "Emma Ulysses"),
        ({"pages__endswith": 100}, "Beowulf"),
        ({"pages__iexact": "500"}, "Dune"),
        ({"pages__icontains": 5}, "Dune"),
        ({"pages__regex": "^[15]"}, "Dune Beowulf"),
        ({"pk__startswith": 4}, "Beowulf"),
        ({"published__startswith": "2026-01-05"}, "Emma"),
        ({"author__born__contains": 19}, "Dune Ulysses"),
        ({"title__contains": F("title")}, "Emma Dune Ulysses Beowulf Carrie"),
        ({"title__icontains": F("author__mentor__name")}, ""),
        ({"author__name__istartswith": F("author__name")}, "Emma Dune Ulysses Carrie"),
        ({"pages__contains": F("pk")}, "Ulysses"),
        ({"pages__startswith": F("author")}, ""),
        ({"pages__startswith": F("author") + 2}, "Emma"),
        ({"reviews__text__iexact": F("title")}, ""),
    ],
)
def test_text_lookups(lookups: dict[str, Any], expected: str) -> None:
    """They take the text of numbers and times, and compare with fields and expressions; absent values match nothing."""
    assert [book.title for book in Book.objects.filter(**lookups)] == expected.split()
    assert Book.objects.exclude(**lookups).count() == 5 - len(expected.split())


def test_text_lookups_with_fields_of_related_objects() -> None:
    """The compared texts may differ in case and be of related objects."""
    Review.objects.create(book_id=1, text="EMMA")
    assert [b.title for b in Book.objects.filter(reviews__text__iexact=F("title"))] == ["Emma"]
    assert [r.text for r in Review.objects.filter(text__icontains=F("book__title"))] == ["EMMA"]
    assert Review.objects.filter(text__contains=F("book__title")).count() == 0


def test_text_lookups_refuse_other_values() -> None:
    """Lists and booleans have no text to look at; None is refused."""
    for wrong in (
        {"notes__icontains": "x"},
        {"notes__icontains": F("title")},
        {"notes__startswith": "x"},
        {"pages__contains": None},
        {"pages__contains": []},
    ):
        with pytest.raises(FieldError):
            Book.objects.filter(**wrong).count()


# Prefetched lists ----------------------------------------------------------------------------------------------------


def test_prefetching_through_inner_lists() -> None:
    """A path may go on through the to_attr of a prefetch of the queryset of another prefetch."""
    inner = Book.objects.prefetch_related(Prefetch("reviews", to_attr="said"))
    with capture_calls() as calls:
        authors = Author.objects.prefetch_related(Prefetch("books", inner, to_attr="owned"), "owned__said__book__tags")
        names = [[[tag.name for r in b.said for tag in r.book.tags.all()] for b in author.owned] for author in authors]
    assert names == [[["classic", "classic"], []], [[], ["classic", "long"]], []]
    assert len(calls) == 5
    with capture_calls() as calls:
        (tag,) = Tag.objects.filter(name="long").prefetch_related(Prefetch("books", inner), "books__said__book__cover")
        assert [r.book.title for b in tag.books.all() for r in b.said] == ["Ulysses"]
    assert len(calls) == 5
    with pytest.raises(FieldError, match="said"):
        [*Author.objects.prefetch_related("books", "books__said")]


# Methods of fields ---------------------------------------------------------------------------------------------------


class Status(Enum):
    NEW = 1
    IN_PRINT = 2


class Size(Enum):
    SMALL = "s"
    LARGE = "l"

    @property
    def label(self) -> str:
        return {"s": "rather small", "l": "very large"}[self.value]


def test_neighbours_by_a_date() -> None:
    """get_next_by_published() and get_previous_by_published(), in one call; of one moment, by key."""
    emma, dune, carrie = Book.get(1), Book.get(2), Book.get(5)
    with capture_calls() as calls:
        assert (carrie.get_next_by_published(), emma.get_previous_by_published()) == (Book.get(3), dune)
    assert len(calls) == 3
    assert carrie.get_next_by_published(pages=500) == dune
    same = Book.objects.create(title="Same", published=dune.published)
    assert (dune.get_next_by_published(), same.get_previous_by_published()) == (same, dune)
    assert same.get_next_by_published() == emma
    for record, method in ((emma, "get_next_by_published"), (carrie, "get_previous_by_published")):
        with pytest.raises(Book.DoesNotExist, match="by published"):
            getattr(record, method)()
    with pytest.raises(Book.DoesNotExist):
        Book.get(4).get_next_by_published()
    with pytest.raises(AttributeError):
        emma.get_next_by_title()
    with pytest.raises(Book.DoesNotExist):
        Book(title="x", published=DAY).get_next_by_published()


async def test_neighbours_by_a_date_in_async_code() -> None:
    """The twins have an a in front."""
    carrie: Any = await Book.aget(5)
    assert (await carrie.aget_next_by_published()).title == "Ulysses"
    assert (await (await Book.aget(1)).aget_previous_by_published(pages=300)).title == "Ulysses"


def test_values_for_people(db: ormis.Database) -> None:
    """get_x_display() is the label of a member of an enumeration, or its name in words, or the value as text."""
    shirt = make(
        "ValueShirt",
        __name__,
        status=(Status, Status.NEW),
        size=(Size | None, Size.SMALL),
        colour=(Literal["red", "blue"], "red"),
        number=(int, Field(default=3)),
    )
    own = shirt(status=Status.IN_PRINT).save()
    loaded = shirt.objects.only("size").get(pk=own.pk)
    assert (loaded.get_status_display(), loaded.get_size_display()) == ("In print", "rather small")
    assert (loaded.get_colour_display(), loaded.get_number_display()) == ("red", "3")
    assert shirt(size=None).get_size_display() == ""
    for name in ("get_sizes_display", "get__display", "get_size_displays"):
        with pytest.raises(AttributeError):
            getattr(loaded, name)
    assert datetime(2026, 1, 1, tzinfo=UTC) + timedelta(0) == DAY


# Parts of dates of many related objects ------------------------------------------------------------------------------


def test_parts_of_many_related_objects() -> None:
    """A part of a date across a relation to many has a row per related object, and may be ordered by."""
    rows = Tag.objects.values_list("name", "books__published__day").order_by("-books__published__day", "name")
    wanted = [
        (tag.name, book.published.day if book is not None and book.published is not None else None)
        for tag in Tag.objects.all()
        for book in [*tag.books.all()] or [None]
    ]
    wanted.sort(key=lambda row: (row[1] is None, -(row[1] or 0), row[0]))
    assert [*rows] == wanted
    assert Tag.objects.values("books__published__day").count() == len(wanted)
    grouped = Tag.objects.values("books__published__year").annotate(n=ormis.Count("pk"))
    assert sum(row["n"] for row in grouped) == len(wanted)


def test_whether_rows_of_many_related_objects_exist() -> None:
    """exists() asks for an object; of a slice for a row in it."""
    assert Tag.objects.values("books__title").exists()
    assert Tag.objects.values_list("books__published__year", flat=True).exists()
    count = Tag.objects.values("books__title").count()
    assert Tag.objects.values("books__title")[count - 1 :].exists()
    assert not Tag.objects.values("books__title")[count:].exists()
    assert not Tag.objects.filter(name="none such").values("books__title").exists()
