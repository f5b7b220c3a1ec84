"""select_related() and prefetch_related(): related objects come along, and nothing is asked for twice."""

from typing import Any

import pytest

import ormis
from bookshop import Author, Book, Cover, Review, Tag, stock
from ormis import FieldError, Prefetch, aprefetch_related_objects, capture_calls, prefetch_related_objects


@pytest.fixture(autouse=True)
def stocked(db: ormis.Database) -> None:
    stock()


# select_related() ----------------------------------------------------------------------------------------------------


def test_related_objects_come_in_the_same_call() -> None:
    """Forward at any depth, in one call; a key that is absent stays None without another."""
    with capture_calls() as calls:
        reviews = list(Review.objects.order_by("pk").select_related("book__author__mentor"))
        said = [(r.book.title, r.book.author.name, r.book.author.mentor and r.book.author.mentor.name) for r in reviews]
    assert said == [("Emma", "Ann", None), ("Emma", "Ann", None), ("Dune", "Bob", "Ann"), ("Ulysses", "Bob", "Ann")]
    assert len(calls) == 1
    with capture_calls() as calls:
        books = list(Book.objects.select_related("author"))
        assert [book.author and book.author.name for book in books] == ["Ann", "Bob", "Bob", None, "Ann"]
    assert len(calls) == 1


def test_related_objects_are_made_once() -> None:
    """Two rows that refer to one object share it."""
    one, other = Review.objects.filter(book_id=1).select_related("book")
    assert one.book is other.book


def test_reverse_one_to_one_comes_along() -> None:
    """From the other side too, and both sides know each other; where there is none it stays a DoesNotExist."""
    with capture_calls() as calls:
        emma, dune, ulysses = Book.objects.filter(pk__lte=3).select_related("cover", "author")
        assert (emma.cover.colour, dune.cover.colour) == ("red", "blue")
        assert emma.cover.book is emma
    assert len(calls) == 1
    with pytest.raises(Cover.DoesNotExist):
        _ = ulysses.cover
    with capture_calls() as calls:
        (cover,) = Cover.objects.filter(colour="red").select_related("book__author", "book__cover")
        assert (cover.book.author.name, cover.book.cover) == ("Ann", cover)
    assert len(calls) == 1


@pytest.mark.parametrize("narrow", [lambda q: q, lambda q: q.order_by("author__name", "title"), lambda q: q[1:4]])
def test_select_related_changes_nothing_else(narrow: Any) -> None:
    """Orders, slices, counts, conditions and get() are the same with and without."""
    plain, along = narrow(Book.objects.all()), narrow(Book.objects.select_related("author", "cover"))
    assert list(plain) == list(along)
    assert plain.count() == along.count()
    assert plain.exists() == along.exists()
    with capture_calls() as calls:
        assert Book.objects.select_related("author").get(title="Dune").author.name == "Bob"
        assert Book.objects.select_related("author").order_by("title").last().author.name == "Bob"
        assert Book.objects.select_related("author").in_bulk([1])[1].author.name == "Ann"
    assert len(calls) == 3


def test_select_related_adds_up_and_can_be_taken_back() -> None:
    """Calls add up, None takes all back, and without a name every relation that is not optional comes along."""

    def calls_for(queryset: Any) -> int:
        with capture_calls() as calls:
            for review in queryset:
                _ = review.book.author.name
        return len(calls)

    both = Review.objects.filter(pk=1).select_related("book").select_related("book__author")
    assert calls_for(both) == 1
    assert calls_for(both.select_related(None)) == 3
    assert calls_for(Review.objects.filter(pk=1).select_related()) == 2


@pytest.mark.parametrize("path", ["title", "reviews", "tags", "nothing", "author__books", "author_id", "author__name"])
def test_select_related_is_for_relations_to_one_object(path: str) -> None:
    """Anything else is a FieldError that names it, and says what prefetch_related() is for."""
    with pytest.raises(FieldError, match=path.rsplit("__", maxsplit=1)[-1]):
        Book.objects.select_related(path)


def test_select_related_with_only() -> None:
    """only() speaks of the model's own fields; the related objects come whole."""
    with capture_calls() as calls:
        book = Book.objects.only("title").select_related("author").get(pk=2)
        assert (book.title, book.author.name) == ("Dune", "Bob")
    assert len(calls) == 1


# prefetch_related() --------------------------------------------------------------------------------------------------


def test_prefetching_is_one_call_per_level() -> None:
    """Relations to many and to one, at depth: one call for the objects and one for each level."""
    with capture_calls() as calls:
        authors = list(Author.objects.prefetch_related("books__reviews", "mentor"))
        said = {a.name: {b.title: sorted(r.stars for r in b.reviews.all()) for b in a.books.all()} for a in authors}
        assert [a.mentor and a.mentor.name for a in authors] == [None, "Ann", "Bob"]
    assert said == {"Ann": {"Emma": [3, 5], "Carrie": []}, "Bob": {"Dune": [4], "Ulysses": [5]}, "Cid": {}}
    assert len(calls) == 4


def test_prefetched_objects_know_where_they_came_from() -> None:
    """The other side of the relation is set, without another call."""
    with capture_calls() as calls:
        (author,) = Author.objects.filter(name="Bob").prefetch_related("books")
        assert all(book.author is author for book in author.books.all())
    assert len(calls) == 2


def test_a_prefetched_relation_is_asked_again_when_it_is_narrowed() -> None:
    """all(), len, in and count() use what was prefetched; filter() and the like ask."""
    (author,) = Author.objects.filter(name="Bob").prefetch_related("books")
    with capture_calls() as calls:
        assert [b.title for b in author.books.all()] == ["Dune", "Ulysses"]
        assert (author.books.all().count(), author.books.count()) == (2, 2)
    assert not calls
    assert [b.title for b in author.books.filter(pages=300)] == ["Ulysses"]
    assert author.books.order_by("-title").first().title == "Ulysses"


def test_prefetch_with_a_queryset_of_ones_own() -> None:
    """Prefetch narrows and orders; to_attr keeps a list; a slice is of each object's own."""
    with capture_calls() as calls:
        lookup = Prefetch("books", queryset=Book.objects.filter(pages__gte=300).order_by("-title"), to_attr="thick")
        authors = list(Author.objects.prefetch_related(lookup, Prefetch("books", Book.objects.all()[:1], "one")))
        assert [[b.title for b in a.thick] for a in authors] == [["Emma"], ["Ulysses", "Dune"], []]
        assert [[b.title for b in a.one] for a in authors] == [["Emma"], ["Dune"], []]
    assert len(calls) == 3
    bob = authors[1]
    assert isinstance(bob.thick, list)
    assert bob.books.count() == 2
    (ann,) = Author.objects.filter(pk=1).prefetch_related(Prefetch("books", Book.objects.filter(title="Emma")))
    assert [b.title for b in ann.books.all()] == ["Emma"]


def test_an_attribute_for_one_object() -> None:
    """to_attr of a relation to one object is that object, or None where there is none."""
    lookups = Prefetch("author", Author.objects.filter(name="Ann"), "ann"), Prefetch("cover", to_attr="jacket")
    with capture_calls() as calls:
        books = [*Book.objects.order_by("title").prefetch_related(*lookups, "ann__books")]
        assert {book.title: book.ann and book.ann.name for book in books}["Emma"] == "Ann"
        assert {book.title: book.ann for book in books}["Dune"] is None
        assert {book.jacket and book.jacket.colour for book in books} >= {"red", None}
        assert all(book.ann is None or len(book.ann.books.all()) for book in books)
    assert len(calls) == 4


@pytest.mark.parametrize(
    ("lookup", "error"),
    [
        (Prefetch("books", to_attr="name"), ValueError),
        (Prefetch("books", to_attr="books"), ValueError),
        (Prefetch("books", to_attr="save"), ValueError),
        (Prefetch("books", Review.objects.all()), TypeError),
    ],
)
def test_what_can_not_be_prefetched(lookup: Prefetch, error: type[Exception]) -> None:
    """An attribute that the objects have already is not hidden; a queryset of another model is refused."""
    with pytest.raises(error, match="books"):
        [*Author.objects.prefetch_related(lookup)]


def test_prefetch_goes_on_through_its_attribute() -> None:
    """A deeper path may go through to_attr, and the queryset may have select_related and prefetches of its own."""
    with capture_calls() as calls:
        inner = Book.objects.select_related("cover").prefetch_related("tags")
        (author,) = Author.objects.filter(name="Ann").prefetch_related(
            Prefetch("books", inner, to_attr="own"), Prefetch("own__reviews", Review.objects.order_by("stars"))
        )
        emma = author.own[0]
        assert emma.cover.colour == "red"
        assert [t.name for t in emma.tags.all()] == ["classic"]
        assert [r.stars for r in emma.reviews.all()] == [3, 5]
    assert len(calls) <= 5


def test_prefetching_many_to_many_and_one_to_one() -> None:
    """Links from both sides, and a reverse one-to-one; what is absent needs no call either."""
    with capture_calls() as calls:
        books = list(Book.objects.prefetch_related("tags", "cover"))
        assert [[t.name for t in b.tags.all()] for b in books] == [["classic"], [], ["classic", "long"], [], []]
        assert books[1].cover.colour == "blue"
    assert len(calls) <= 4
    with capture_calls() as calls:
        tags = list(Tag.objects.prefetch_related("books__author"))
        assert [[b.author.name for b in t.books.all()] for t in tags] == [["Ann", "Bob"], ["Bob"], []]
    assert len(calls) <= 4


def test_prefetching_adds_up_and_can_be_taken_back() -> None:
    """Calls add up, None takes all back, an empty result asks for nothing more."""
    both = Book.objects.filter(pk=1).prefetch_related("reviews").prefetch_related("tags")
    assert len(both.query.prefetch) == 2
    with capture_calls() as calls:
        list(both.prefetch_related(None))
        list(Book.objects.filter(pk=99).prefetch_related("reviews__book"))
    assert len(calls) == 2


def test_get_first_and_iterator_prefetch_too() -> None:
    """Whatever returns objects prefetches for them."""
    for find in (
        lambda q: q.get(pk=1),
        lambda q: q.first(),
        lambda q: q.in_bulk([1])[1],
        lambda q: next(q.iterator()),
        lambda q: q[0],
        lambda q: q.earliest("pk"),
    ):
        book: Any = find(Book.objects.prefetch_related("reviews"))
        with capture_calls() as calls:
            assert len(book.reviews.all()) == 2
        assert not calls


@pytest.mark.parametrize("lookup", ["nothing", "title", "reviews__nothing"])
def test_prefetching_refuses_what_is_no_relation(lookup: str) -> None:
    """A FieldError that names the path, when the queryset is used."""
    with pytest.raises(FieldError, match=lookup):
        list(Book.objects.prefetch_related(lookup))


def test_prefetch_takes_querysets_of_objects() -> None:
    """Values can't be prefetched, and a queryset of another model is refused."""
    with pytest.raises(ValueError, match="values"):
        Prefetch("books", Book.objects.values("title"))
    with pytest.raises((FieldError, TypeError, ValueError), match="Review"):
        list(Author.objects.prefetch_related(Prefetch("books", Review.objects.all())))


async def test_async_code_prefetches_and_selects() -> None:
    """What came along is used by async code without loading; the rest is refused with what to write."""
    with capture_calls() as calls:
        authors = [a async for a in Author.objects.prefetch_related("books__cover")]
        books = [b async for b in authors[0].books.all()]
        assert [b.title for b in books] == ["Emma", "Carrie"]
        assert books[0].cover.colour == "red"
        review = await Review.objects.select_related("book__author").aget(pk=1)
        assert review.book.author.name == "Ann"
    assert len(calls) == 4
    with pytest.raises(ormis.RelationNotLoaded):
        _ = (await Review.objects.aget(pk=1)).book


# prefetch_related_objects() ------------------------------------------------------------------------------------------


def test_prefetching_for_objects_that_are_loaded() -> None:
    """prefetch_related_objects() does for a list what prefetch_related() does for a queryset; one call per level."""
    authors = [Author.get(1), Author.get(2)]
    with capture_calls() as calls:
        prefetch_related_objects(authors, "books__reviews", Prefetch("books", Book.objects.filter(pages=500), "thick"))
        assert [len(book.reviews.all()) for author in authors for book in author.books.all()] == [2, 0, 1, 1]
        assert [[book.title for book in author.thick] for author in authors] == [[], ["Dune"]]
        assert authors[0].books.all()[0].author is authors[0]
    assert len(calls) == 3
    with capture_calls() as calls:
        prefetch_related_objects(authors, "books")
        prefetch_related_objects([], "books")
        prefetch_related_objects(authors)
    assert calls == []
    prefetch_related_objects((book for book in [Book.get(1), Book.get(3)]), "tags", "cover", "author")
    with pytest.raises(FieldError, match=r"Author\.boks is no relation"):
        prefetch_related_objects(authors, "boks")


def test_prefetching_asks_for_what_is_missing_only() -> None:
    """Of objects whose related objects are loaded nothing is asked."""
    loaded, other = Author.objects.prefetch_related("books").get(pk=1), Author.get(2)
    with capture_calls() as calls:
        prefetch_related_objects([loaded, other], "books")
    (call,) = calls
    assert "2" in repr(call)
    assert [len(author.books.all()) for author in (loaded, other)] == [2, 2]


async def test_prefetching_for_objects_in_async_code() -> None:
    """The twin awaits; the objects are usable without loading."""
    books = [await Book.aget(1), await Book.aget(2)]
    with capture_calls() as calls:
        await aprefetch_related_objects(books, "author__mentor", "tags")
        await aprefetch_related_objects([], "tags")
    assert len(calls) == 3
    assert [book.author.name for book in books] == ["Ann", "Bob"]
    assert books[1].author.mentor.name == "Ann"
    assert [len(await book.tags.all()) for book in books] == [1, 0]
