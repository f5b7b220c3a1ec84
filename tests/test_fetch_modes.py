"""fetch_mode(): what is done when a relation or a deferred field is used that is not loaded yet."""

import copy
import gc
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ormis
from bookshop import Author, Book, Cover, Review, Tag, stock
from modes import MODES
from ormis import (
    FETCH_ONE,
    FETCH_PEERS,
    RAISE,
    Field,
    ForeignKey,
    Prefetch,
    RelationNotLoaded,
    aprefetch_related_objects,
    capture_calls,
    prefetch_related_objects,
)
from ormis.records.state import state_of


@pytest.fixture(autouse=True)
def stocked(db: ormis.Database) -> None:
    stock()


def names(books: list[Any]) -> list[str | None]:
    """The names of the authors of the books, by the lazy relation."""
    return [book.author and book.author.name for book in books]


AUTHORS = ["Ann", "Bob", "Bob", None, "Ann"]

# FETCH_PEERS ---------------------------------------------------------------------------------------------------------

RESULTS: dict[str, Callable[[], list[Any]]] = {
    "list": lambda: [*Book.objects.fetch_mode(FETCH_PEERS)],
    "iterator": lambda: [*Book.objects.fetch_mode(FETCH_PEERS).iterator()],
    "ordered in Python": lambda: sorted(
        Book.objects.fetch_mode(FETCH_PEERS).order_by("title", "?"), key=lambda book: book.pk
    ),
    "only": lambda: [*Book.objects.fetch_mode(FETCH_PEERS).only("author")],
    "union": lambda: [
        *Book.objects.filter(pages__lte=300).fetch_mode(FETCH_PEERS).union(Book.objects.all()).order_by("id")
    ],
    "or": lambda: [*(Book.objects.fetch_mode(FETCH_PEERS).filter(pages=300) | Book.objects.all())],
    "of a slice": lambda: [*(Book.objects.fetch_mode(FETCH_PEERS)[:9] | Book.objects.filter(pages=300))],
    "prefetched": lambda: [
        book
        for tag in Tag.objects.fetch_mode(FETCH_PEERS).prefetch_related(Prefetch("books", to_attr="found"))
        for book in tag.found  # type: ignore[attr-defined]
    ],
    "in_bulk": lambda: [*Book.objects.fetch_mode(FETCH_PEERS).in_bulk().values()],
    "page": lambda: [*Book.objects.fetch_mode(FETCH_PEERS).order_by("title").page(4)],
    "around": lambda: Book.objects.fetch_mode(FETCH_PEERS).around(Book.get(3), 2),
    "claim": lambda: Book.objects.fetch_mode(FETCH_PEERS).filter(pages__gt=0).claim(9, pages=-1),
    "pickled queryset": lambda: [*pickle.loads(pickle.dumps(Book.objects.fetch_mode(FETCH_PEERS)))],
}


@pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS)
def test_a_foreign_key_is_loaded_for_the_whole_result(result: Callable[[], list[Any]]) -> None:
    """Its first use is one call, for all objects of the result; however the result is read."""
    books = result()
    with capture_calls() as calls:
        assert names(books) == [AUTHORS[book.pk - 1] for book in books]
    assert len(calls) == 1


def test_pages_of_a_long_result(url: str) -> None:
    """A result that is read in pages is one all the same; one of iterator() is of its batches."""
    limits = ormis.Limits(objects=2, keys=2)
    with ormis.connect(url, limits=limits) as small:
        books = [*Book.objects.using(small).fetch_mode(FETCH_PEERS)]
        with capture_calls() as calls:
            assert names(books) == AUTHORS
        one_result = len(calls)
        with capture_calls() as calls:
            assert names([*Book.objects.using(small).fetch_mode(FETCH_PEERS).iterator(2)]) == AUTHORS
        reading = len(calls)
    assert (one_result, reading > one_result) == (1, True)


def test_both_sides_of_a_one_to_one_relation() -> None:
    """The related object, and that there is none, are known for all after the first use."""
    books = [*Book.objects.fetch_mode(FETCH_PEERS)]
    with capture_calls() as calls:
        assert [hasattr(book, "cover") for book in books] == [True, True, False, False, False]
        assert books[0].cover.book is books[0]
    assert len(calls) == 1
    covers = [*Cover.objects.fetch_mode(FETCH_PEERS)]
    with capture_calls() as calls:
        assert [cover.book.title for cover in covers] == ["Emma", "Dune"]
    assert len(calls) == 1


def test_deferred_fields() -> None:
    """They are loaded for all objects that lack them; a field that was changed meanwhile keeps its value."""
    books = [*Book.objects.fetch_mode(FETCH_PEERS).only("title")]
    books[1].pages = 7
    with capture_calls() as calls:
        assert [book.pages for book in books] == [300, 7, 300, 100, None]
    assert len(calls) == 1
    with capture_calls() as calls:
        assert [book.model_dump() for book in books[2:]] == [book.model_dump() for book in Book.objects.all()[2:5]]
    assert len(calls) == 2
    books[1].save()
    assert Book.get(2).pages == 7
    assert books[1].model_dump() == Book.get(2).model_dump()


def test_a_deleted_peer() -> None:
    """Of an object that is gone a deferred field and a missing related object are DoesNotExist, the others load."""
    books = [*Book.objects.fetch_mode(FETCH_PEERS).only("title", "author")]
    Book.get(2).delete()
    assert books[0].pages == 300
    with pytest.raises(Book.DoesNotExist):
        _ = books[1].pages


def test_related_objects_have_the_mode() -> None:
    """Objects that are loaded through it, by select_related(), prefetch_related() and managers, are peers in turn."""
    reviews = [*Review.objects.fetch_mode(FETCH_PEERS)]
    with capture_calls() as calls:
        found = {review.book.author.name for review in reviews}
        mentors = [review.book.author.mentor for review in reviews]
    assert (found, len(calls)) == ({"Ann", "Bob"}, 3)
    assert {mentor and mentor.name for mentor in mentors} == {None, "Ann"}
    with capture_calls() as calls:
        [review.book.author.name for review in Review.objects.fetch_mode(FETCH_PEERS).select_related("book")]
    assert len(calls) == 2
    with capture_calls() as calls:
        for author in Author.objects.fetch_mode(FETCH_PEERS).prefetch_related("books__reviews", "books__tags__books"):
            for book in author.books.all():
                assert [hasattr(other, "cover") for tag in book.tags.all() for other in tag.books.all()] != [None]
    assert len(calls) == 6
    author = Author.objects.fetch_mode(FETCH_PEERS).get(name="Bob")
    books = [*author.books.all()]
    with capture_calls() as calls:
        assert [hasattr(book, "cover") for book in books] == [True, False]
    assert len(calls) == 1
    assert author.books.create(title="New") in author.books.all()


def test_the_mode_of_a_prefetch_is_its_own() -> None:
    """A queryset of Prefetch() that names a mode has that; the objects around it keep theirs."""
    books = Book.objects.fetch_mode(RAISE)
    authors = [*Author.objects.fetch_mode(FETCH_PEERS).prefetch_related(Prefetch("books", queryset=books))]
    with pytest.raises(RelationNotLoaded, match="RAISE"):
        _ = authors[0].books.all()[0].cover
    assert authors[1].mentor == authors[0]
    plain = Author.objects.fetch_mode(RAISE).prefetch_related(
        Prefetch("books", queryset=Book.objects.fetch_mode(FETCH_ONE))
    )
    assert plain[0].books.all()[0].cover.colour == "red"


def test_objects_are_not_kept_alive() -> None:
    """Nobody but the user holds the objects of a result: only those that are in use are loaded for."""
    queryset = Book.objects.fetch_mode(FETCH_PEERS)
    last = [*queryset.iterator()][-1]
    gc.collect()
    origin = state_of(last).origin
    assert origin is not None
    assert origin.fetching is not None
    assert origin.fetching.peers() == [last]
    assert names([last]) == ["Ann"]


def test_related_objects_that_are_known_are_left() -> None:
    """An assigned or loaded related object stays the very one."""
    books = [*Book.objects.fetch_mode(FETCH_PEERS)]
    cid = Author.objects.get(name="Cid")
    books[1].author = cid
    assert books[0].author.name == "Ann"
    assert books[1].author is cid
    assert books[2].author.name == "Bob"


def test_copies_and_pickles() -> None:
    """A copy loads with its peers, an unpickled object keeps the mode and has no peers."""
    books = [*Book.objects.fetch_mode(FETCH_PEERS)]
    copied = copy.copy(books[1])
    with capture_calls() as calls:
        assert copied.author.name == "Bob"
        assert books[2].author is copied.author
    assert len(calls) == 1
    unpickled = pickle.loads(pickle.dumps(books[0]))
    assert unpickled.author.name == "Ann"
    blocked = pickle.loads(pickle.dumps(Book.objects.fetch_mode(RAISE)[0]))
    with pytest.raises(RelationNotLoaded, match="RAISE"):
        _ = blocked.author
    with pytest.raises(RelationNotLoaded, match="RAISE"):
        _ = copy.deepcopy(Book.objects.fetch_mode(RAISE)[0]).author


def test_saved_objects_keep_the_mode() -> None:
    """Saving does not change it, and an object that a queryset makes has the mode of the queryset."""
    books = [*Book.objects.fetch_mode(FETCH_PEERS)]
    for book in books:
        book.pages = 1
        book.save()
    with capture_calls() as calls:
        assert names(books) == AUTHORS
    assert len(calls) == 1
    made = Book.objects.fetch_mode(RAISE).create(title="New", author_id=1)
    with pytest.raises(RelationNotLoaded, match="RAISE"):
        _ = made.author
    made, _ = Book.objects.fetch_mode(RAISE).get_or_create(title="New")
    with pytest.raises(RelationNotLoaded, match="RAISE"):
        _ = made.author


def test_peers_in_another_database(url: str) -> None:
    """An object that was saved elsewhere is loaded for by itself."""
    with ormis.connect(url) as other:
        books = [*Book.objects.using(other).fetch_mode(FETCH_PEERS)]
        ormis.connect(url).close()
        assert names(books) == AUTHORS


def test_a_foreign_key_to_what_is_gone(raw: Any) -> None:
    """DoesNotExist for the object that refers to it, the others have theirs."""
    books = [*Book.objects.fetch_mode(FETCH_PEERS)]
    raw.delete("bookshop_author:1")
    assert books[1].author.name == "Bob"
    with pytest.raises(Author.DoesNotExist):
        _ = books[0].author


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["author", "cover", "pages", "title"])), max_size=12))
def test_a_mode_changes_no_value(uses: list[tuple[int, str]]) -> None:
    """Whatever is used in whichever order, values under FETCH_PEERS are those under FETCH_ONE."""

    def values(mode: Any) -> list[Any]:
        books = [*Book.objects.fetch_mode(mode).only("author")]
        return [getattr(books[at], name, None) for at, name in uses]

    assert values(FETCH_PEERS) == values(FETCH_ONE)


# RAISE, FETCH_ONE ----------------------------------------------------------------------------------------------------


def test_raise_names_what_to_write() -> None:
    """Under RAISE what is not loaded is RelationNotLoaded, and sends nothing; what is loaded is there."""
    book = Book.objects.fetch_mode(RAISE).only("title", "author")[0]
    with capture_calls() as calls:
        with pytest.raises(RelationNotLoaded, match=r"Book.author of .* select_related\('author'\)"):
            _ = book.author
        with pytest.raises(RelationNotLoaded, match=r"Book.cover of .* prefetch_related\('cover'\)"):
            _ = book.cover
        with pytest.raises(RelationNotLoaded, match=r"Book.pages of bookshop_book:1 is not loaded.*RAISE.*only"):
            _ = book.pages
        with pytest.raises(RelationNotLoaded, match="RAISE"):
            book.model_dump()
        assert book.title == "Emma"
    assert calls == []
    book.refresh_from_db()
    assert book.pages == 300
    assert book.reviews.count() == 2
    loaded = Book.objects.fetch_mode(RAISE).select_related("author").prefetch_related("cover")[0]
    assert (loaded.author and loaded.author.name, loaded.cover.colour) == ("Ann", "red")
    assert loaded.author
    cid: Any = Author.objects.select_related("mentor").fetch_mode(RAISE).get(name="Cid")
    with pytest.raises(RelationNotLoaded, match=r"Author.mentor.*RAISE"):
        _ = cid.mentor.mentor


def test_fetch_one_is_the_default() -> None:
    """FETCH_ONE loads for the one object, as does a queryset without a mode; it takes another mode back."""
    for queryset in (Book.objects.all(), Book.objects.fetch_mode(FETCH_PEERS).fetch_mode(FETCH_ONE)):
        books = [*queryset]
        with capture_calls() as calls:
            assert books[1].author.name == "Bob"
            assert books[2].author.name == "Bob"
        assert len(calls) == 2


def test_refused_modes() -> None:
    """What is no mode is a TypeError, and so is a mode for rows of values."""
    for value in ("RAISE", None, True):
        with pytest.raises(TypeError, match="FETCH_ONE, FETCH_PEERS or RAISE"):
            Book.objects.fetch_mode(value)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="fetch_mode"):
        Book.objects.values("title").fetch_mode(RAISE)
    assert repr(FETCH_PEERS) == "FETCH_PEERS"


async def test_async_code_can_not_wait() -> None:
    """In async code every mode refuses a relation that is not loaded."""
    for mode in (FETCH_ONE, FETCH_PEERS, RAISE):
        book = await Book.objects.fetch_mode(mode).aget(title="Dune")
        with pytest.raises(RelationNotLoaded, match=r"Book\.author"):
            _ = book.author
        with pytest.raises(RelationNotLoaded, match=r"Book\.cover"):
            _ = book.cover
        await aprefetch_related_objects([book], "author", "cover")
        assert (book.author and book.author.name, book.cover.colour) == ("Bob", "blue")
        dune: Any = await Book.objects.fetch_mode(mode).select_related("author").aget(title="Dune")
        with pytest.raises(RelationNotLoaded, match=r"Author.mentor"):
            _ = dune.author.mentor


def test_a_key_that_refers_by_another_field() -> None:
    """Foreign keys with to_field, and to objects with a key of text, load for all as well."""

    class Country(ormis.Model):
        code: str = Field(unique=True)

    class City(ormis.Model):
        country: ForeignKey[Country] = ForeignKey(to_field="code", related_name="cities")

    countries = [Country(code=code).save() for code in ("de", "fr", "it")]
    City.objects.bulk_create([City(country=country) for country in countries])
    with capture_calls() as calls:
        assert [city.country.code for city in City.objects.fetch_mode(FETCH_PEERS)] == ["de", "fr", "it"]
    assert len(calls) == 2


# Objects at hand -----------------------------------------------------------------------------------------------------


@MODES
async def test_objects_at_hand(mode: str) -> None:
    """prefetch_related_objects() loads each level in one call, nested ones and those of Prefetch() too."""
    authors = [*await Author.objects.all()] if mode == "async" else [*Author.objects.all()]
    lookups = ("mentor", "books__reviews", Prefetch("books__tags"), "books__cover")
    with capture_calls() as calls:
        if mode == "async":
            await aprefetch_related_objects(authors, *lookups)
        else:
            prefetch_related_objects(authors, *lookups)
    assert len(calls) == 5
    with capture_calls() as calls:
        assert [
            (author.name, [(book.title, book.reviews.count(), book.tags.count()) for book in author.books.all()])
            for author in authors
        ] == [("Ann", [("Emma", 2, 1), ("Carrie", 0, 0)]), ("Bob", [("Dune", 1, 0), ("Ulysses", 1, 2)]), ("Cid", [])]
        assert [author.mentor and author.mentor.name for author in authors] == [None, "Ann", "Bob"]
    assert calls == []
