"""Orders, slices, and the methods that speak of places: first, last, earliest, latest, rank, in_bulk, contains."""

from typing import Any

import pytest

import ormis
from bookshop import Author, Book, Cover, Review, Tag, stock
from model_factory import make
from ormis import F, FieldError, ForeignKey, Q, capture_calls


@pytest.fixture(autouse=True)
def stocked(db: ormis.Database) -> None:
    stock()


def titles(queryset: Any) -> list[str]:
    return [book.title for book in queryset]


# Order ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ([], "Emma Dune Ulysses Beowulf Carrie"),
        (["title"], "Beowulf Carrie Dune Emma Ulysses"),
        (["-title"], "Ulysses Emma Dune Carrie Beowulf"),
        (["pages"], "Carrie Beowulf Emma Ulysses Dune"),
        (["-pages", "-title"], "Dune Ulysses Emma Beowulf Carrie"),
        (["pages", "-pk"], "Carrie Beowulf Ulysses Emma Dune"),
        (["-published"], "Emma Dune Ulysses Carrie Beowulf"),
        ([F("pages").asc(nulls_last=True), "title"], "Beowulf Emma Ulysses Dune Carrie"),
        ([F("pages").desc(nulls_first=True), "title"], "Carrie Dune Emma Ulysses Beowulf"),
        ([F("pages").desc(nulls_last=True), "title"], "Dune Emma Ulysses Beowulf Carrie"),
        ([F("title")], "Beowulf Carrie Dune Emma Ulysses"),
        ([-F("pages")], "Carrie Dune Emma Ulysses Beowulf"),
        ([(F("pages") % 200).desc(), "title"], "Beowulf Dune Emma Ulysses Carrie"),
        (["author__name", "title"], "Beowulf Carrie Emma Dune Ulysses"),
        (["-author__born", "pages"], "Ulysses Dune Carrie Emma Beowulf"),
        (["author__mentor__name", "title"], "Beowulf Carrie Emma Dune Ulysses"),
        (["-cover__colour"], "Emma Dune Ulysses Beowulf Carrie"),
        (["author", "title"], "Beowulf Carrie Emma Dune Ulysses"),
        (["-author", "title"], "Dune Ulysses Carrie Emma Beowulf"),
        (["author_id", "-pk"], "Beowulf Carrie Emma Ulysses Dune"),
        ([F("author"), "-pk"], "Beowulf Carrie Emma Ulysses Dune"),
        ([F("author").asc(nulls_last=True), "-pk"], "Carrie Emma Ulysses Dune Beowulf"),
        ([F("author").desc(nulls_last=True), "pk"], "Dune Ulysses Emma Carrie Beowulf"),
        ([F("author").desc(nulls_first=True), "pk"], "Beowulf Dune Ulysses Emma Carrie"),
        ([F("author__mentor").desc(nulls_last=True), "pk"], "Dune Ulysses Emma Beowulf Carrie"),
    ],
)
def test_orders(order: list[Any], expected: str) -> None:
    """Fields, relations, expressions, with null first ascending and last descending; ties in the order of creation."""
    found = Book.objects.order_by(*order)
    assert titles(found) == expected.split()
    assert titles(found.reverse()) == expected.split()[::-1]
    assert titles(found.reverse().reverse()) == expected.split()
    assert titles(found[1:3]) == expected.split()[1:3]


def test_a_relation_is_ordered_as_its_model_is(db: ormis.Database) -> None:
    """order_by("author") goes by the author's Meta.ordering, `-` by its opposite; author_id goes by the key."""
    Author.objects.create(name="Aaron", born=1700)
    Book.objects.create(author_id=4, title="Zoo")
    assert titles(Book.objects.order_by("author", "title")) == "Beowulf Zoo Carrie Emma Dune Ulysses".split()
    assert titles(Book.objects.order_by("author_id", "title")) == "Beowulf Carrie Emma Dune Ulysses Zoo".split()
    assert [review.stars for review in Review.objects.order_by("book__author", "stars")] == [3, 5, 4, 5]


def test_an_expression_of_a_relation_is_ordered_by_the_key() -> None:
    """F("author") is the key, in order_by() and in the Meta.ordering of a model that another one is ordered by."""
    Author.objects.create(name="Aaron")
    Book.objects.create(author_id=4, title="Zoo")
    assert titles(Book.objects.order_by("author", F("title").desc()))[1] == "Zoo"
    assert titles(Book.objects.order_by(F("author"), "title"))[-1] == "Zoo"
    note = make("OrderNote", __name__, book=(ForeignKey[Book], ForeignKey()), meta={"ordering": [F("book").desc()]})
    mark = make("OrderMark", __name__, note=(ForeignKey[note], ForeignKey()))
    for book in (2, 6, 1):
        mark(note=note(book=book).save()).save()
    assert [m.note.book.pk for m in mark.objects.order_by("note")] == [6, 2, 1]
    assert [m.note.book.pk for m in mark.objects.order_by("-note")] == [1, 2, 6]


def test_a_field_called_as_the_relation_to_its_model(db: ormis.Database) -> None:
    """order_by("note__note") goes by the field, whether Note is ordered by it, by another or not at all."""
    for number, ordering in enumerate((["note"], ["-rank"], [])):
        body: dict[str, Any] = {"note": (str, ""), "rank": (int, 0)}
        note = make(f"Note{number}", __name__, **body, meta={"ordering": ordering})
        page = make(f"NotePage{number}", __name__, note=(ForeignKey[note], ForeignKey()))
        for text in ("b", "c", "a"):
            page(note=note(note=text).save()).save()
        for order, texts in (("note__note", "abc"), ("-note__note", "cba")):
            assert [p.note.note for p in page.objects.order_by(order)] == [*texts]


def test_values_are_ordered_as_the_related_model_is() -> None:
    """In rows of values across a relation to many, too, a relation stands for the order of its model."""
    rows = Book.objects.filter(reviews__isnull=False).order_by("reviews", "-author").values_list("title", "reviews")
    assert [*rows] == [("Ulysses", 4), ("Emma", 2), ("Dune", 3), ("Emma", 1)]
    back = Book.objects.filter(reviews__isnull=False).order_by("reviews", "-author").reverse()
    assert [*back.values_list("reviews", flat=True)] == [1, 3, 2, 4]


@pytest.mark.parametrize(
    "found",
    [
        Book.objects.order_by("author__name"),
        Book.objects.order_by("-author__mentor__name", "cover__colour"),
        Book.objects.order_by("author"),
        Book.objects.order_by(F("author__born") + 1),
        Book.objects.filter(Q(author__name__lt=F("title")) | Q(author=None)),
        Book.objects.order_by("author__name").select_related("author"),
    ],
)
def test_objects_found_across_a_relation_can_be_saved(found: Any) -> None:
    """Objects whose order or condition reads related objects are like all others: saved, refreshed, copied."""
    reads: list[Any] = [list, lambda q: [*q.iterator(2)], lambda q: [q.first()], lambda q: [*q[1:3]]]
    for read in reads:
        books = read(found.all())
        for book in books:
            book.pages = (book.pages or 0) + 1
            assert book.save() is book
            book.title += "!"
            book.save(if_unchanged=True)
        assert [Book.get(book.pk) for book in books] == books
        assert [Book.get(book.pk).model_dump() for book in books] == [book.model_dump() for book in books]


def test_the_model_has_an_order_of_its_own() -> None:
    """Meta.ordering holds without order_by(); order_by() without arguments takes it back."""
    assert [review.pk for review in Review.objects.all()] == [2, 4, 3, 1]
    assert [review.pk for review in Review.objects.reverse()] == [1, 3, 4, 2]
    assert [review.pk for review in Review.objects.order_by()] == [1, 2, 3, 4]
    assert [review.pk for review in Book.get(1).reviews.all()] == [2, 1]


def test_a_random_order_has_every_object_once() -> None:
    """order_by("?") shuffles: all objects, in more than one order."""
    orders = {tuple(titles(Book.objects.order_by("?"))) for _ in range(40)}
    assert {tuple(sorted(order)) for order in orders} == {tuple("Beowulf Carrie Dune Emma Ulysses".split())}
    assert len(orders) > 1
    assert len(Book.objects.order_by("?")[:2]) == 2


@pytest.mark.parametrize(
    "item", ["titel", "-titel", "author__nam", "title__lower", "reviews", "reviews__stars", "tags"]
)
def test_orders_refuse_what_they_can_not_follow(item: str) -> None:
    """Unknown names, lookups and relations to many are FieldErrors when the queryset is used."""
    with pytest.raises(FieldError):
        list(Book.objects.order_by(item))


@pytest.mark.parametrize("item", [None, 3, True, Q(pages=3)])
def test_orders_are_names_and_expressions(item: Any) -> None:
    """Anything else is a FieldError at once."""
    with pytest.raises(FieldError, match="order_by"):
        Book.objects.order_by(item)


# Slices --------------------------------------------------------------------------------------------------------------


def test_slices() -> None:
    """A slice is a queryset of one call; an index is the object; steps and slices of slices work as with a list."""
    found, names = Book.objects.order_by("title"), "Beowulf Carrie Dune Emma Ulysses".split()
    with capture_calls() as calls:
        assert titles(found[1:3]) == names[1:3]
        assert found[2].title == names[2]
    assert len(calls) == 2
    for start in (None, 0, 2, 5, 9):
        for stop in (None, 0, 1, 4, 9):
            assert titles(found.all()[start:stop]) == names[start:stop]
            assert found.all()[start:stop].count() == len(names[start:stop])
    assert titles(found.all()[1:4][1:]) == names[1:4][1:]
    assert titles(found.all()[1:][:2]) == names[1:][:2]
    assert titles(found.all()[:2][1:9]) == names[:2][1:9]
    assert titles(found.all()[::2]) == names[::2]
    assert titles(found.all()[1:5:3]) == names[1:5:3]
    assert (found.all()[1:3][0].title, found.all()[1:3][1].title) == (names[1], names[2])
    for at in (5, 99):
        with pytest.raises(IndexError):
            found.all()[at]
    with pytest.raises(IndexError):
        found.all()[1:3][2]


def test_a_slice_of_what_was_found_is_a_list() -> None:
    """Once evaluated, slices and indexes are taken from the objects that are here, without a call."""
    found = Book.objects.order_by("title")
    list(found)
    with capture_calls() as calls:
        assert titles(found[1:3]) == ["Carrie", "Dune"]
        assert found[0] is found[0]
        assert titles(found[::2]) == ["Beowulf", "Dune", "Ulysses"]
    assert not calls


@pytest.mark.parametrize("at", [-1, slice(-2, None), slice(None, -1), slice(None, None, -1), slice(0, 5, 0)])
def test_slices_from_the_end_are_refused(at: Any) -> None:
    """Negative ends, indexes and steps are a ValueError that says what to do, evaluated or not."""
    found = Book.objects.all()
    for _ in range(2):
        with pytest.raises(ValueError, match="reverse"):
            found[at]
        list(found)


@pytest.mark.parametrize("at", ["1", 1.0, None])
def test_an_index_is_a_number(at: Any) -> None:
    """Anything but an int or a slice of them is a TypeError."""
    with pytest.raises(TypeError):
        Book.objects.all()[at]


def test_a_sliced_queryset_stays_as_it_is() -> None:
    """It can't be narrowed, ordered, reversed or combined with `&`, and says to do that before."""
    part: Any = Book.objects.all()[:2]
    for work in (
        lambda: part.filter(pages=1),
        lambda: part.exclude(pages=1),
        lambda: part.order_by("pages"),
        lambda: part.reverse(),
        lambda: part.last(),
        lambda: part.latest(),
        lambda: part.earliest("pages"),
        lambda: part.in_bulk(),
        lambda: part.distinct(),
        lambda: part & Book.objects.all(),
        lambda: part.get(pages=1),
    ):
        with pytest.raises(TypeError, match="slice"):
            work()
    assert part.get.__self__[:1].get() == Book.get(1)


def test_managers_are_no_lists() -> None:
    """As in Django, a manager has neither a length nor slices, and can't be walked."""
    manager: Any = Book.objects
    for work in (lambda: len(manager), lambda: manager[0], lambda: list(manager)):
        with pytest.raises(TypeError):
            work()


# One object ----------------------------------------------------------------------------------------------------------


def test_first_and_last() -> None:
    """The ends of the order; None where there is nothing; one call each."""
    with capture_calls() as calls:
        assert Book.objects.first().title == "Emma"
        assert Book.objects.last().title == "Carrie"
        assert Book.objects.order_by("-title").first().title == "Ulysses"
        assert Book.objects.order_by("pages", "title").last().title == "Dune"
        assert Review.objects.first().pk == 2
        assert Review.objects.last().pk == 1
        assert Book.objects.filter(pages=300).last().title == "Ulysses"
        assert Book.objects.filter(pages=7).first() is None
    assert len(calls) == 8
    assert Book.objects.none().first() is None is Book.objects.none().last()


def test_earliest_and_latest() -> None:
    """By the fields named, or by Meta.get_latest_by; DoesNotExist where there is nothing."""
    assert Book.objects.latest().title == "Emma"
    assert Book.objects.filter(published__isnull=False).earliest().title == "Carrie"
    assert Book.objects.earliest("title").title == "Beowulf"
    assert Book.objects.latest("pages", "title").title == "Dune"
    assert Book.objects.latest("-pages").title == "Carrie"
    assert Book.objects.earliest("-pages", "-title").title == "Dune"
    assert Book.objects.order_by("title").latest("pages").title == "Dune"
    with pytest.raises(Book.DoesNotExist, match="Book"):
        Book.objects.filter(pages=7).latest()
    with pytest.raises(FieldError, match="get_latest_by"):
        Author.objects.latest()


def test_get() -> None:
    """The one object; DoesNotExist and MultipleObjectsReturned say what was asked for; one call."""
    with capture_calls() as calls:
        assert Book.objects.get(title="Emma").pk == 1
    assert len(calls) == 1
    assert Book.objects.filter(pages=300).exclude(title="Emma").get().title == "Ulysses"
    assert Book.objects.get(Book.pages == 500, title__startswith="D").pk == 2
    with pytest.raises(Book.DoesNotExist, match=r"no Book matches .*pages=7"):
        Book.objects.get(pages=7)
    with pytest.raises(Book.MultipleObjectsReturned, match=r"more than one Book matches .*pages=300"):
        Book.objects.get(pages=300)
    with pytest.raises(Book.MultipleObjectsReturned, match=r"more than one Book matches .*pages=300"):
        Book.objects.filter(pages=300).get()


def test_in_bulk() -> None:
    """By primary key or a unique field; unknown keys are left out; what is not unique is refused; one call."""
    with capture_calls() as calls:
        assert {pk: book.title for pk, book in Book.objects.in_bulk([3, 1, 99, 3]).items()} == {1: "Emma", 3: "Ulysses"}
        assert Book.objects.in_bulk(["2"])[2].title == "Dune"
        assert list(Author.objects.in_bulk(["Bob", "Nobody"], field_name="name")) == ["Bob"]
        assert list(Tag.objects.in_bulk(["new"])) == ["new"]
        assert len(Book.objects.in_bulk()) == 5
        assert Book.objects.filter(pages=300).in_bulk([1, 2]).keys() == {1}
    assert len(calls) == 6
    assert Book.objects.in_bulk([]) == {}
    assert [*Cover.objects.in_bulk([1, 2], field_name="book_id")] == [1, 2]
    with pytest.raises(FieldError, match=r"Book.title is not unique"):
        Book.objects.in_bulk(["Emma"], field_name="title")
    with pytest.raises(FieldError, match="Book"):
        Book.objects.in_bulk(["x"])


def test_contains() -> None:
    """Whether an object is among them: conditions, slices and what was found are heeded; one call."""
    emma, dune = Book.get(1), Book.get(2)
    thick = Book.objects.filter(pages__gt=300)
    with capture_calls() as calls:
        assert (thick.contains(dune), thick.contains(emma)) == (True, False)
        assert Book.objects.order_by("title")[:2].contains(Book(id=5, title="other"))
        assert not Book.objects.order_by("title")[:2].contains(emma)
    assert len(calls) == 4
    list(thick)
    with capture_calls() as calls:
        assert thick.contains(dune)
        assert dune in thick
    assert not calls
    with pytest.raises(TypeError, match=r"Book, not Author"):
        thick.contains(Author.get(1))
    with pytest.raises(ormis.ForeignKeyViolation, match="not saved"):
        thick.contains(Book(title="new"))
    with pytest.raises(TypeError, match="values"):
        Book.objects.values("pk").contains(emma)


def test_rank() -> None:
    """The place in the order, from 0, ties by creation; an object that is not among them has none."""
    for queryset in (
        Book.objects.all(),
        Book.objects.order_by("pages"),
        Book.objects.order_by("-pages", "title"),
        Book.objects.order_by(F("pages").asc(nulls_last=True)),
        Book.objects.order_by("author__name", "-pk"),
        Book.objects.order_by(F("pages") * -1),
        Book.objects.order_by("title").reverse(),
        Book.objects.filter(pages__gte=200).order_by("-pages"),
        Book.objects.filter(reviews__stars=5).order_by("-title"),
        Book.objects.order_by("title")[1:4],
    ):
        found = list(queryset)
        assert [queryset.all().rank(book) for book in found] == list(range(len(found)))
    with pytest.raises(Book.DoesNotExist, match="rank"):
        Book.objects.filter(pages=500).rank(Book.get(1))
    with pytest.raises(TypeError, match="Book, not Author"):
        Book.objects.all().rank(Author.get(1))


def test_count_and_exists() -> None:
    """With conditions, slices, orders; of what was found without a call."""
    found = Book.objects.filter(pages=300)
    with capture_calls() as calls:
        assert (Book.objects.count(), found.count(), found.exists()) == (5, 2, True)
        assert (Book.objects.filter(pages=7).exists(), Book.objects.filter(pages=7).count()) == (False, 0)
        assert (Book.objects.order_by("title")[3:9].count(), Book.objects.all()[5:].exists()) == (2, False)
    assert len(calls) == 7
    list(found)
    with capture_calls() as calls:
        assert (found.count(), found.exists()) == (2, True)
    assert not calls


@pytest.mark.parametrize("order", [("-pages", "id"), ("-pages", "-id"), ("-pages", "title", "id")])
def test_rank_with_a_tie_break_takes_a_few_calls(db: ormis.Database, order: tuple[str, ...]) -> None:
    """A leaderboard by a number with a tie-break: the number of calls does not grow with the number of objects."""
    Book.objects.bulk_create([Book(title=f"t{n % 7}", pages=n % 1500) for n in range(4500)])
    ordered = Book.objects.order_by(*order)
    keys = [book.pk for book in ordered.only("id")]
    for at in (0, 1, 2222, 4498):
        book = Book.get(keys[at])
        with ormis.capture_calls() as calls:
            assert ordered.rank(book) == at
        assert len(calls) <= 3
