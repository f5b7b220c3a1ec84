"""Querysets as values: laziness, caching, pickles, combinations, databases, managers of one's own, iteration."""

import inspect
import pickle
import re
from dataclasses import replace
from typing import Any

import pytest

import ormis
from bookshop import Author, Book, Review, Tag, stock
from ormis import Exists, F, FieldError, OuterRef, Q, Subquery, capture_calls
from prefixed import with_option


@pytest.fixture(autouse=True)
def stocked(db: ormis.Database) -> None:
    stock()


def titles(queryset: Any) -> list[str]:
    return [book.title for book in queryset]


# Laziness and caching ------------------------------------------------------------------------------------------------


def test_chaining_asks_nothing_and_changes_nothing() -> None:
    """Every chain method returns a new queryset, leaves the old one as it was, and sends nothing."""
    base = Book.objects.filter(pages=300)
    with capture_calls() as calls:
        for change in (
            lambda q: q.filter(title="Emma"),
            lambda q: q.exclude(title="Emma"),
            lambda q: q.order_by("-title"),
            lambda q: q.reverse(),
            lambda q: q.none(),
            lambda q: q.only("title"),
            lambda q: q.defer("title"),
            lambda q: q.values("title"),
            lambda q: q.values_list("title"),
            lambda q: q.distinct(),
            lambda q: q.select_related("author"),
            lambda q: q.prefetch_related("reviews"),
            lambda q: q.union(q),
            lambda q: q[:1],
            lambda q: q.all(),
            lambda q: q | q,
            lambda q: q & q,
        ):
            assert change(base) is not base
    assert not calls
    assert titles(base) == ["Emma", "Ulysses"]


def test_a_queryset_asks_once() -> None:
    """Walking, len, bool, in, repr, list and indexes of an evaluated queryset need no further call; all() asks anew."""
    found = Book.objects.filter(pages=300)
    with capture_calls() as calls:
        assert (len(found), bool(found), titles(found), Book(id=1, title="x") in found) == (
            2,
            True,
            ["Emma", "Ulysses"],
            True,
        )
        assert (found[1].title, repr(found).count("Book(")) == ("Ulysses", 2)
        assert found.first() is found[0]
        assert len(calls) == 1
        Book.objects.create(title="New", pages=300)
        assert (len(found), len(found.all())) == (2, 3)
    assert len(calls) == 3


def test_repr_asks_for_twenty() -> None:
    """The repr of a large queryset reads 21 objects and does not fill the cache."""
    Book.objects.bulk_create([Book(title=f"b{n}") for n in range(50)])
    found = Book.objects.filter(title__startswith="b")
    with capture_calls() as calls:
        assert repr(found).endswith("...]>")
    assert len(calls) == 1
    assert found._cache is None
    assert repr(Book.objects.none()) == "<QuerySet []>"


def test_none_asks_nothing() -> None:
    """none() and a slice of no length are known without a call, whatever follows."""
    empty: Any
    for empty in (Book.objects.none(), Book.objects.filter(pages=300).none().filter(title="x"), Book.objects.all()[:0]):
        with capture_calls() as calls:
            assert list(empty) == []
            assert (empty.all().count(), empty.all().exists(), empty.all().first()) == (0, False, None)
            assert list(empty.values("title")) == []
        assert not calls
    assert titles(Book.objects.none() | Book.objects.filter(pages=500)) == ["Dune"]
    assert titles(Book.objects.none() & Book.objects.filter(pages=500)) == []
    assert titles(Book.objects.none().union(Book.objects.filter(pages=500))) == ["Dune"]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickles(protocol: int) -> None:
    """A pickle holds the query, or what it found; orders, slices, shapes, prefetches and subqueries included."""
    inner = Author.objects.filter(name="Bob")
    for found in (
        Book.objects.filter(Q(pages=300) | ~Q(title__startswith="D"), author__in=inner).order_by("-title")[:3],
        Book.objects.filter(pages__gt=F("author__born") - 1700).order_by(F("pages").desc(nulls_last=True)),
        Book.objects.values_list("title", "author__name", named=True),
        Book.objects.only("title").select_related("author").prefetch_related(ormis.Prefetch("reviews", to_attr="said")),
        Book.objects.filter(pages=300).union(Book.objects.filter(pages=500)),
        Book.objects.none(),
    ):
        with capture_calls() as calls:
            again = pickle.loads(pickle.dumps(found, protocol))
        assert not calls
        assert list(again) == list(found)
    evaluated = Book.objects.filter(pages=300)
    list(evaluated)
    again = pickle.loads(pickle.dumps(evaluated, protocol))
    Book.objects.all().delete()
    with capture_calls() as calls:
        assert titles(again) == ["Emma", "Ulysses"]
    assert not calls


# Combinations --------------------------------------------------------------------------------------------------------


def test_and_and_or() -> None:
    """`&` and `|` join the conditions of two querysets of one model; each side keeps its own related objects."""
    thick, by_bob = Book.objects.filter(pages__gt=300), Book.objects.filter(author__name="Bob")
    assert titles(thick & by_bob) == ["Dune"]
    assert titles(thick | by_bob) == ["Dune", "Ulysses"]
    assert titles((thick | Book.objects.filter(pages=100)).order_by("title")) == ["Beowulf", "Dune"]
    assert titles(thick | Book.objects.all()) == titles(Book.objects.all())
    assert titles(thick & Book.objects.all()) == ["Dune"]
    three, five = Book.objects.filter(reviews__stars=3), Book.objects.filter(reviews__stars=5)
    assert titles(three & five) == ["Emma"]
    assert titles(Book.objects.filter(reviews__stars=3, reviews__text__isnull=True)) == []
    ordered = Book.objects.order_by("-title").filter(pages=300)
    assert titles(ordered | thick) == ["Ulysses", "Emma", "Dune"]
    assert titles(Book.objects.exclude(pages=300) & Book.objects.exclude(pages=500)) == ["Beowulf", "Carrie"]
    assert titles(Book.objects.exclude(pages=300) | Book.objects.exclude(pages=500)) == titles(Book.objects.all())
    other: Any
    for other in (Author.objects.all(), Q(pages=1), None, [1]):
        with pytest.raises(TypeError):
            thick | other
        with pytest.raises(TypeError):
            thick & other


def test_xor() -> None:
    """`^` has the objects of one side only; all of them, none of them and empty querysets are sides like others."""
    books = Book.objects.all()
    thick, ann = Book.objects.filter(pages__gte=300), Book.objects.filter(author__name="Ann")
    assert [b.title for b in thick ^ ann] == ["Dune", "Ulysses", "Carrie"]
    assert [b.title for b in (thick ^ ann).order_by("title")[:2]] == ["Carrie", "Dune"]
    assert [b.title for b in thick ^ books] == [b.title for b in books ^ thick] == ["Beowulf", "Carrie"]
    assert [*(books ^ books)] == []
    assert [*(thick ^ books.none())] == [*(books.none() ^ thick)] == [*thick]
    assert [*(books.filter(reviews__stars=5).filter(reviews__stars=3) ^ books.filter(pk=2))] == [
        *books.filter(pk__in=[1, 2])
    ]


def test_slices_are_joined() -> None:
    """`|` and `^` take slices: the objects of the slice, whatever its order; `&` and combinations are refused."""
    books = Book.objects.all()
    first, last = books.order_by("title")[:2], books.order_by("-title")[:1]
    assert {b.title for b in first | last} == {"Beowulf", "Carrie", "Ulysses"}
    assert [b.title for b in first | books.filter(title="Emma")] == ["Emma", "Beowulf", "Carrie"]
    assert [b.title for b in books.filter(title="Emma").order_by("-title") | first] == ["Emma", "Carrie", "Beowulf"]
    assert [b.title for b in first ^ books.filter(pages=100)] == ["Carrie"]
    assert (first | last).filter(pages=100).count() == 1
    ann, bob = Author.get(1), Author.get(2)
    with capture_calls() as calls:
        assert {b.author.name for b in ann.books.all()[:1] | bob.books.all()[:1]} == {"Ann", "Bob"}
    assert len(calls) == 3
    for one, other in ((first, books), (books, first)):
        with pytest.raises(TypeError, match="a sliced queryset can't be joined with another by &"):
            _ = one & other
    with pytest.raises(TypeError, match="union"):
        _ = books.union(books) | first


async def test_slices_are_joined_in_async_code() -> None:
    """The same."""
    found = await (Book.objects.order_by("title")[:2] | Book.objects.filter(title="Emma"))
    assert [b.title for b in found] == ["Emma", "Beowulf", "Carrie"]


def test_union_intersection_difference() -> None:
    """As sets, each once unless `all`; ordered and sliced as a whole; counted; the same for values."""
    a, b, c = (Book.objects.filter(pk__in=keys) for keys in ([1, 2, 3], [3, 4], [3, 1]))
    assert {x.pk for x in a.union(b)} == {1, 2, 3, 4}
    assert [x.pk for x in a.union(b, all=True).order_by("pk")] == [1, 2, 3, 3, 4]
    assert {x.pk for x in a.intersection(b, c)} == {3}
    assert {x.pk for x in a.difference(b)} == {1, 2}
    assert {x.pk for x in a.difference(b, c)} == {2}
    union = a.union(b).order_by("-title")
    assert titles(union) == ["Ulysses", "Emma", "Dune", "Beowulf"]
    assert titles(union[1:3]) == ["Emma", "Dune"]
    assert (union.count(), union.exists(), union.first().title, union.last().title) == (4, True, "Ulysses", "Beowulf")
    assert union[0].title == "Ulysses"
    assert titles(union.reverse()) == ["Beowulf", "Dune", "Emma", "Ulysses"]
    assert union.contains(Book.get(4))
    assert not union.contains(Book.get(5))
    assert list(a.order_by("-pk")[:2].union(b.order_by("pk")[:1]).values_list("pk", flat=True).order_by("pk")) == [2, 3]
    assert titles(a.union(b).union(Book.objects.filter(pk=5)).order_by("pk")) == titles(Book.objects.all())
    pages = a.values_list("pages", flat=True).union(b.values_list("pages", flat=True)).order_by("pages")
    assert list(pages) == [100, 300, 500]
    assert list(Author.objects.values_list("name").union(Tag.objects.values_list("name")).order_by("name"))[:2] == [
        ("Ann",),
        ("Bob",),
    ]


def test_combined_querysets_are_not_narrowed() -> None:
    """filter() and the like belong to the parts; models and shapes must fit."""
    union: Any = Book.objects.filter(pages=300).union(Book.objects.filter(pages=500))
    for work in (
        lambda: union.filter(pages=1),
        lambda: union.exclude(pages=1),
        lambda: union.select_related("author"),
        lambda: union.get(pages=300),
        lambda: union | union,
        lambda: Book.objects.union(Author.objects.all()),
        lambda: Book.objects.union(Book.objects.values("pk")),
        lambda: Book.objects.union([1]),
        lambda: union.update(pages=1),
        lambda: union.delete(),
        lambda: union.in_bulk([1]),
    ):
        with pytest.raises(TypeError):
            work()
    with pytest.raises(FieldError):
        list(union.order_by("author__name", F("pages") + 1))


def test_subqueries() -> None:
    """A queryset in `in`: its keys, its one value, its slice, a combination; None among them matches nothing."""
    authors = Author.objects.filter(born__gte=1850)
    assert titles(Book.objects.filter(author__in=authors)) == ["Dune", "Ulysses"]
    assert titles(Book.objects.filter(author__name__in=authors.values("name"))) == ["Dune", "Ulysses"]
    assert titles(Book.objects.filter(pages__in=Book.objects.filter(title="Emma").values_list("pages"))) == [
        "Emma",
        "Ulysses",
    ]
    assert titles(Book.objects.exclude(pk__in=Book.objects.filter(pages=300))) == ["Dune", "Beowulf", "Carrie"]
    assert titles(Book.objects.filter(pk__in=Book.objects.order_by("-title")[:2])) == ["Emma", "Ulysses"]
    assert titles(Book.objects.filter(pages__in=Book.objects.values("pages"))) == titles(Book.objects.all())[:4]
    assert titles(Book.objects.filter(pk__in=Book.objects.none())) == []
    assert titles(Book.objects.exclude(pk__in=Book.objects.none())) == titles(Book.objects.all())
    assert titles(Book.objects.filter(Q(pk__in=Book.objects.filter(pages=500)) | Q(title="Emma"))) == ["Emma", "Dune"]
    either = Book.objects.filter(pages=500).union(Book.objects.filter(pages=100))
    assert titles(Book.objects.filter(pk__in=either)) == ["Dune", "Beowulf"]
    five = Review.objects.filter(stars=5).values_list("book", flat=True)
    assert titles(Book.objects.filter(pk__in=five)) == ["Emma", "Ulysses"]
    evaluated = Author.objects.filter(born__gte=1850)
    list(evaluated)
    assert titles(Book.objects.filter(author__in=evaluated)) == ["Dune", "Ulysses"]


# Databases and managers ----------------------------------------------------------------------------------------------


@pytest.mark.single_server("databases of a cluster have no number")
def test_using_reads_another_database(db: ormis.Database, url: str) -> None:
    """The same query elsewhere; what it returns is saved and loaded there."""
    with ormis.connect(with_option(url, "db=5")) as other:
        other.client.flushdb()
        Book.objects.using(other).create(title="Elsewhere")
        assert [titles(Book.objects.using(d)) for d in (other, db)] == [["Elsewhere"], titles(Book.objects.using(db))]
        book = Book.objects.using(other).get()
        book.title = "There"
        book.save()
        assert Book.objects.using(other).filter(title="There").using(db).count() == 0
        assert Book.objects.using(other).get(title="There").reviews.count() == 0
        assert [b.title for b in (Book.objects.using(other) | Book.objects.using(other))] == ["There"]
        other.client.flushdb()


@pytest.mark.single_server("databases of a cluster have no number")
def test_a_subquery_of_another_database_is_refused(db: ormis.Database, url: str) -> None:
    """It would read the database of the query that it is a part of, where other objects have its keys."""
    with ormis.connect(with_option(url, "db=5")) as other, ormis.connect(url) as again:
        there, books = Author.objects.using(other), Book.objects.using(db)
        for queryset in (
            books.filter(author__in=there),
            books.filter(author__in=there.values("pk")),
            books.filter(author__in=there.filter(born=OuterRef("pages"))),
            books.filter(Exists(there.filter(pk=OuterRef("author")))),
            books.annotate(name=Subquery(there.filter(pk=OuterRef("author")).values("name"))),
            books.filter(title=Subquery(there.order_by("pk").values("name")[:1])),
        ):
            with pytest.raises(FieldError, match=r"QuerySet of Author> is in another database, .*: evaluate it first"):
                list(queryset)
        assert titles(books.filter(author__in=Author.objects.using(again))) == titles(books.exclude(author=None))


class PollQuerySet(ormis.QuerySet["Poll"]):
    def popular(self) -> "PollQuerySet":
        return self.filter(votes__gte=10)  # type: ignore[return-value]

    def titled(self, title: str, *, exactly: bool = True) -> "PollQuerySet":
        return self.filter(title=title) if exactly else self.filter(title__icontains=title)  # type: ignore[return-value]


class OpenManager(ormis.Manager["Poll"]):
    def get_queryset(self) -> ormis.QuerySet["Poll"]:
        return super().get_queryset().filter(closed=False)

    def busiest(self) -> "Poll | None":
        return self.order_by("-votes").first()


class Titled(ormis.Model):
    title: str = ""
    objects = PollQuerySet.as_manager()

    class Meta:
        abstract = True


class Poll(Titled):
    votes: int = 0
    closed: bool = False
    open = OpenManager()

    class Meta:
        key = "bookshop_poll"


class Survey(Titled):
    objects = ormis.Manager.from_queryset(PollQuerySet)()
    votes: int = 0

    class Meta:
        key = "bookshop_survey"


def test_managers_of_ones_own() -> None:
    """get_queryset() narrows what begins there; as_manager() and from_queryset() carry methods; bases pass both on."""
    Poll.objects.bulk_create(
        [Poll(title=t, votes=v, closed=c) for t, v, c in [("a", 5, 0), ("b", 20, 1), ("B", 15, 0)]]
    )
    polls: Any = Poll.objects
    assert [p.title for p in polls.popular()] == ["b", "B"]
    assert [p.title for p in polls.order_by("-title").popular().titled("b", exactly=False)] == ["b", "B"]
    assert polls.titled("b").count() == 1
    assert [p.title for p in Poll.open.all()] == ["a", "B"]
    assert (Poll.open.count(), Poll.open.filter(votes__gt=10).count(), Poll.open.busiest().title) == (2, 1, "B")
    assert Poll.open.exclude(title="a").get().title == "B"
    assert not Poll.open.filter(title="b").exists()
    Survey.objects.create(title="s", votes=12)
    surveys: Any = Survey.objects
    assert [s.title for s in surveys.popular()] == ["s"]
    assert (type(surveys).__name__, repr(surveys)) == ("ManagerFromPollQuerySet", "<ManagerFromPollQuerySet of Survey>")
    assert isinstance(polls.all()[:1], PollQuerySet)
    with pytest.raises(AttributeError, match=r"belong to the class.*Poll\.objects"):
        _ = Poll.open.get(title="a").objects


# Iteration -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def many(db: ormis.Database) -> int:
    """As many books as one call does not return."""
    Book.objects.bulk_create([Book(title=f"n{n % 100:03}", pages=n % 7) for n in range(7000)])
    return 7005


def test_iterators_fill_no_cache(many: int) -> None:
    """iterator() reads portion by portion, every object once, in order, and asks again when it is called again."""
    found = Book.objects.all()
    with capture_calls() as calls:
        walk = found.iterator(chunk_size=500)
        assert not calls
        assert next(walk).pk == 1
        assert len(calls) <= 2
        assert [book.pk for book in walk] == list(range(2, many + 1))
    assert 7 <= len(calls) <= 40
    assert found._cache is None
    assert sum(1 for _ in Book.objects.filter(pages=3).iterator()) == 1000
    assert len([*Book.objects.order_by("-title", "pk").iterator()]) == many
    assert [*Book.objects.values_list("pk", flat=True).iterator()] == list(range(1, many + 1))
    assert [book.title for book in Book.objects.order_by("title")[:2].iterator()] == ["Beowulf", "Carrie"]
    for size in (0, -1):
        for iterator in (found.iterator, found.aiterator):  # where it is written, not at the first object
            with pytest.raises(ValueError, match="chunk_size"):
                iterator(chunk_size=size)


async def test_async_iterators(many: int) -> None:
    """aiterator() is the same."""
    assert [book.pk async for book in Book.objects.aiterator(chunk_size=500)] == list(range(1, many + 1))
    assert [book.pk async for book in Book.objects.filter(title="n007").aiterator()] == sorted(
        book.pk for book in Book.objects.filter(title="n007")
    )


def test_large_results_are_in_order(many: int, db: ormis.Database) -> None:
    """A result of many calls is ordered, cut and counted as a small one."""
    db.limits = replace(db.limits, keys=300)
    rows = [(book.pk, book.title, book.pages) for book in Book.objects.all()]
    for order, key in ((["title", "-pk"], lambda r: (r[1], -r[0])), (["-title", "pk"], None)):
        expected = sorted(rows, key=key or (lambda r: ([-ord(c) for c in r[1].ljust(8, "\0")], r[0])))
        assert [book.pk for book in Book.objects.order_by(*order)] == [row[0] for row in expected]
        assert [b.pk for b in Book.objects.order_by(*order)[6000:6010]] == [row[0] for row in expected[6000:6010]]
    assert Book.objects.filter(title__regex=r"^n0[0-4]").count() == 3500
    assert Book.objects.filter(pages__in=[1, 2]).exclude(title="n001").count() == len(
        [r for r in rows if r[2] in (1, 2) and r[1] != "n001"]
    )


# Twins ---------------------------------------------------------------------------------------------------------------


async def test_async_twins_return_the_same() -> None:
    """Whatever is asked asynchronously is the same answer."""
    books = Book.objects.order_by("title")
    emma = await books.aget(title="Emma")
    assert (await books.afirst(), await books.alast()) == (books.first(), books.last())
    assert (await books.aearliest("pages"), await books.alatest()) == (books.earliest("pages"), books.latest())
    assert (await books.acount(), await books.aexists(), await books.acontains(emma)) == (5, True, True)
    assert await books.arank(emma) == books.rank(emma) == 3
    assert await books.ain_bulk([1]) == books.in_bulk([1])
    assert await books.aexplain() == books.explain()
    assert [b async for b in books] == await books.all() == list(books)
    assert [t async for t in books.values_list("title", flat=True)[1:3]] == ["Carrie", "Dune"]
    assert [b async for b in books.union(Book.objects.filter(pk=1)).order_by("pk")] == list(Book.objects.all())
    assert await Book.objects.filter(pages=300).aupdate(pages=301) == 2
    assert await Book.objects.filter(pages=301).adelete() == (6, {"Book": 2, "Cover": 1, "Review": 3})


@pytest.mark.parametrize(
    "owner", [ormis.QuerySet, ormis.Manager, ormis.Model, ormis.descriptors.related.RelatedManager]
)
def test_every_method_that_asks_the_server_has_a_twin(owner: Any) -> None:
    """What runs an operation exists a second time with an `a` in front, as a coroutine or an async iterator."""
    asking = [
        name
        for name in dir(owner)
        if not name.startswith("_")
        and inspect.isfunction(inspect.unwrap(getattr(getattr(owner, name), "__func__", getattr(owner, name))))
        and re.search(r"\b_?(run|perform)\(", inspect.getsource(getattr(owner, name)))
    ]
    assert len(asking) >= 5
    for name in asking:
        twin = getattr(owner, f"a{name}")
        assert inspect.iscoroutinefunction(twin) or inspect.isasyncgenfunction(twin), name
        assert inspect.signature(twin).parameters == inspect.signature(getattr(owner, name)).parameters, name
