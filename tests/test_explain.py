"""explain(): the access path, the checked conditions, the conditions in Python."""

from textwrap import dedent
from typing import Any

import pytest

import ormis
from bookshop import Author, Book, Review, stock
from ormis import F, Field, Q, capture_calls


@pytest.fixture(autouse=True)
def stocked(db: ormis.Database) -> None:
    stock()


@pytest.mark.parametrize(
    ("queryset", "expected"),
    [
        (
            Book.objects.filter(pages=300, title__startswith="E"),
            """\
            Book: 5 objects
            ├─ text index on title: 1 of 5
            ├─ check by index bookshop_book/index/pages
            └─ condition on the server: pages = 300 and title startswith 'E'""",
        ),
        (
            Book.objects.filter(notes=[]),
            """\
            Book: 5 objects
            ├─ FULL WALK over every object, no index helps: 5 of 5
            └─ condition on the server: notes = []""",
        ),
        (
            Book.objects.filter(title__iexact="emma", pages__lt=400).order_by("-pages")[:2],
            """\
            Book: 5 objects
            ├─ sorted index on pages: 3 of 5
            ├─ condition on the server: pages < 400
            ├─ condition in Python: title iexact 'emma'
            ├─ order by -pages on the server
            └─ slice [0:2]""",
        ),
        (
            Book.objects.filter(author__name="Bob"),
            """\
            Book: 5 objects
            ├─ objects that refer by author_id to bookshop_author found by: 2 of 5
            │  └─ unique claims of name: 1
            └─ condition on the server: author_id -> Author (name = 'Bob')""",
        ),
        (
            Author.objects.order_by("pk").filter(books__pages=500),
            """\
            Author: 3 objects
            ├─ objects that are referred to by bookshop_book found by: 1 of 3
            │  └─ sorted index on pages: 1
            ├─ condition on the server: some Book by author_id (pages = 500)
            └─ order by id on the server""",
        ),
        (
            Book.objects.filter(Q(pages=500) | Q(title="Emma")).select_related("author"),
            """\
            Book: 5 objects
            ├─ union of: 2 of 5
            │  ├─ sorted index on pages: 1
            │  └─ text index on title: 1
            ├─ condition on the server: pages = 500 or title = 'Emma'
            └─ with author, in the same call""",
        ),
        (
            Book.objects.filter(pk=3),
            """\
            Book: 5 objects
            ├─ primary key: 1 of 5
            └─ condition on the server: id = 3""",
        ),
        (
            Book.objects.order_by(F("pages") + 1),
            """\
            Book: 5 objects
            ├─ FULL WALK over every object, no index helps: 5 of 5
            └─ order by F('pages') + 1 in Python""",
        ),
    ],
)
def test_explanations(queryset: Any, expected: str) -> None:
    """A tree of lines: access path with the number of objects, index probes, conditions, order, slice, relations."""
    with capture_calls() as calls:
        assert queryset.explain() == dedent(expected)
    assert len(calls) == 1


def test_a_slice_in_the_order_of_an_index_stops_when_it_is_full() -> None:
    """explain() distinguishes the walk along an index, and that in the order of creation, from a full walk."""
    Book.objects.bulk_create([Book(title=f"t{n}", pages=n) for n in range(300)])
    assert (
        "index on pages, walked in its order until the slice is full"
        in Book.objects.filter(pages__gte=0).order_by("-pages")[:3].explain()
    )
    assert "objects in the order of creation, until the slice is full" in Book.objects.all()[:3].explain()


def test_analyze_runs_the_query() -> None:
    """With analyze the output has the numbers of examined and found objects, of calls, and the time."""
    lines = Book.objects.filter(pages=300).explain(analyze=True).splitlines()
    assert "objects looked at in the first call" in lines[-2]
    assert "2 found in 1 call and " in lines[-1]
    assert lines[-1].endswith(" ms")
    assert "5 found in " in Book.objects.order_by("?").explain(analyze=True)


def test_combinations_are_explained_part_by_part() -> None:
    """The parts of a union one after another."""
    shown = Book.objects.filter(pages=300).union(Book.objects.filter(pk=2)).explain()
    assert shown.startswith("union of\n")
    assert shown.count("Book: 5 objects") == 2


def test_values_of_many_related_objects_are_explained() -> None:
    """The output explains the query of the objects themselves."""
    for order, expected in (("pages", "order by pages on the server"), ("reviews__stars", "FULL WALK")):
        shown = Book.objects.order_by(order).values("title", "reviews__stars")[:2].explain(analyze=True)
        assert shown.startswith("a row for each related object of\nBook: 5 objects")
        assert expected in shown
        assert ("slice [0:2]" in shown) is (order == "pages")


def test_an_index_declared_later_is_left_alone_until_it_is_complete(db: ormis.Database) -> None:
    """An index declared after objects exist is named as incomplete, and results stay correct."""

    def declare(indexed: bool) -> Any:
        class Later(ormis.Model):
            size: int = Field(default=0, index=indexed)

            class Meta:
                key = "explain_later"

        return Later

    old = declare(False)
    old.objects.bulk_create([old(size=n % 3) for n in range(6)])
    new = declare(True)
    new.objects.create(size=1)
    found = new.objects.filter(size=1)
    assert found.count() == 3
    shown = found.explain()
    assert "FULL WALK" in shown
    assert "not used until reindexed: size" in shown
    db.reindex(new)
    assert "sorted index on size: 3 of 7" in found.explain()
    assert found.count() == 3


def test_many_objects_are_read_in_portions() -> None:
    """explain() says so if one call is not enough."""
    Review.objects.bulk_create([Review(book_id=1, stars=n % 5) for n in range(9000)])
    shown = Review.objects.filter(text__isnull=True).explain()
    assert "FULL WALK" in shown
    assert "too many for one call: step by step" in shown
    assert "too many for one call" in Review.objects.filter(book=1).explain()
