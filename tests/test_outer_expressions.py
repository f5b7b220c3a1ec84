"""F of the outer object in conditions across relations to many, which lead back to many objects."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import ormis
from ormis import F, Field, ForeignKey, Limits, ManyToMany, Q


class Tag(ormis.Model):
    label: str = Field(index=True)
    weight: int = 0

    class Meta:
        key = "outer_tag"


class Author(ormis.Model):
    name: str = Field(index=True)
    age: int = Field(default=0, index=True)

    class Meta:
        key = "outer_author"


class Book(ormis.Model):
    title: str = ""
    pages: int = Field(default=0, index=True)
    author: ForeignKey[Author] = ForeignKey(related_name="books")
    tags: ManyToMany[Tag] = ManyToMany(related_name="books")

    class Meta:
        key = "outer_book"


class World:
    """What is stored, in Python."""

    def __init__(self, seed: int) -> None:
        dice = random.Random(seed)
        words = ["red", "blue", "green", "grey"]
        self.tags = Tag.objects.bulk_create([Tag(label=dice.choice(words), weight=dice.randrange(5)) for _ in range(6)])
        self.authors = Author.objects.bulk_create(
            [Author(name=dice.choice(words), age=dice.randrange(5)) for _ in range(8)]
        )
        self.books = Book.objects.bulk_create(
            [
                Book(title=dice.choice(words), pages=dice.randrange(5), author=dice.choice(self.authors))
                for _ in range(14)
            ]
        )
        self.links: dict[int, list[Tag]] = {}
        for book in self.books:
            self.links[book.id] = dice.sample(self.tags, dice.randrange(4))
            book.tags.add(*self.links[book.id])

    def books_of(self, author: Author) -> list[Book]:
        return [book for book in self.books if book.author_id == author.id]

    def tagged(self, tag: Tag) -> list[Book]:
        return [book for book in self.books if tag in self.links[book.id]]


Expected = Callable[[World], list[Any]]
CASES: dict[str, tuple[Callable[[], Any], Expected]] = {
    "reverse and links": (
        lambda: Author.objects.filter(books__tags__label=F("name")),
        lambda w: [a for a in w.authors if any(t.label == a.name for b in w.books_of(a) for t in w.links[b.id])],
    ),
    "links": (
        lambda: Book.objects.filter(tags__label=F("title")),
        lambda w: [b for b in w.books if any(t.label == b.title for t in w.links[b.id])],
    ),
    "links from the other side": (
        lambda: Tag.objects.filter(books__title=F("label")),
        lambda w: [t for t in w.tags if any(b.title == t.label for b in w.tagged(t))],
    ),
    "to one behind many": (
        lambda: Tag.objects.filter(books__author__name=F("label")),
        lambda w: [
            t for t in w.tags if any(a.name == t.label for b in w.tagged(t) for a in w.authors if a.id == b.author_id)
        ],
    ),
    "a range": (
        lambda: Author.objects.filter(books__tags__weight__gt=F("age")),
        lambda w: [a for a in w.authors if any(t.weight > a.age for b in w.books_of(a) for t in w.links[b.id])],
    ),
    "excluded": (
        lambda: Author.objects.exclude(books__tags__label=F("name")),
        lambda w: [a for a in w.authors if not any(t.label == a.name for b in w.books_of(a) for t in w.links[b.id])],
    ),
    "with another condition on the same object": (
        lambda: Author.objects.filter(books__tags__label=F("name"), books__tags__weight__gt=1),
        lambda w: [
            a
            for a in w.authors
            if any(t.label == a.name and t.weight > 1 for b in w.books_of(a) for t in w.links[b.id])
        ],
    ),
    "with a condition on the object between": (
        lambda: Author.objects.filter(books__tags__label=F("name"), books__pages__gte=2),
        lambda w: [
            a
            for a in w.authors
            if any(t.label == a.name and b.pages >= 2 for b in w.books_of(a) for t in w.links[b.id])
        ],
    ),
    "the object between": (
        lambda: Author.objects.filter(books__tags__weight=F("books__pages")),
        lambda w: [a for a in w.authors if any(t.weight == b.pages for b in w.books_of(a) for t in w.links[b.id])],
    ),
    "with an index of its own": (
        lambda: Author.objects.filter(age__gte=1, books__tags__label=F("name")),
        lambda w: [
            a for a in w.authors if a.age >= 1 and any(t.label == a.name for b in w.books_of(a) for t in w.links[b.id])
        ],
    ),
    "or": (
        lambda: Book.objects.filter(Q(tags__label=F("title")) | Q(pages=4)),
        lambda w: [b for b in w.books if b.pages == 4 or any(t.label == b.title for t in w.links[b.id])],
    ),
    "beside a condition in Python": (
        lambda: Book.objects.filter(tags__label=F("title")).filter(title__regex="^[rg]"),
        lambda w: [b for b in w.books if b.title[0] in "rg" and any(t.label == b.title for t in w.links[b.id])],
    ),
}


@pytest.fixture(params=[Limits(), Limits(objects=3, keys=2)], ids=["whole", "small steps"])
def limited(db: ormis.Database, url: str, request: pytest.FixtureRequest) -> Iterator[ormis.Database]:
    with ormis.connect(url, limits=request.param) as database:
        yield database


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("query", "expected"), CASES.values(), ids=CASES)
def test_each_object_is_compared_with_its_own(
    limited: ormis.Database, query: Callable[[], Any], expected: Expected, seed: int
) -> None:
    """The server reads the outer object of each related one; counts, orders and updates find the same."""
    world = World(seed)
    keys = sorted(record.pk for record in expected(world))
    assert sorted(record.pk for record in query().distinct()) == keys
    assert query().distinct().count() == len(keys)
    assert [record.pk for record in query().distinct().order_by("-id")] == keys[::-1]


def test_updates_and_deletions(limited: ormis.Database) -> None:
    """update() and delete() take the same objects."""
    world = World(7)
    matching = {b.id for b in world.books if any(t.label == b.title for t in world.links[b.id])}
    assert Book.objects.filter(tags__label=F("title")).update(pages=100) == len(matching)
    assert {book.id for book in Book.objects.filter(pages=100)} == matching
    assert Book.objects.filter(tags__label=F("title")).delete()[0] == len(matching)


def test_together_with_a_condition_that_python_evaluates(db: ormis.Database) -> None:
    """On the same related object it is refused, with advice."""
    World(1)
    with pytest.raises(ormis.FieldError, match="F of the outer object can't be joined"):
        Book.objects.filter(tags__label=F("title"), tags__label__regex="r").count()


# Arithmetic, and fields of other related objects ----------------------------------------------------------------------

SEVERAL: list[tuple[Callable[[], Any], Callable[[World, Any], bool]]] = [
    (
        lambda: Author.objects.filter(books__pages__gt=F("age") + 1),
        lambda w, a: any(b.pages > a.age + 1 for b in w.books_of(a)),
    ),
    (
        lambda: Author.objects.filter(books__tags__weight__gt=F("age") * 2),
        lambda w, a: any(t.weight > a.age * 2 for b in w.books_of(a) for t in w.links[b.id]),
    ),
    (
        lambda: Author.objects.filter(age=F("books__pages")),
        lambda w, a: any(b.pages == a.age for b in w.books_of(a)),
    ),
    (
        lambda: Author.objects.filter(age__gte=F("books__tags__weight") + 1, name__in=["red", "blue"]),
        lambda w, a: a.name in ("red", "blue") and any(a.age > t.weight for b in w.books_of(a) for t in w.links[b.id]),
    ),
    (
        lambda: Book.objects.filter(tags__label=F("author__name")),
        lambda w, b: any(t.label == author_of(w, b).name for t in w.links[b.id]),
    ),
    (
        lambda: Book.objects.filter(tags__weight__gt=F("author__age") - 1, tags__label="red"),
        lambda w, b: any(t.weight > author_of(w, b).age - 1 and t.label == "red" for t in w.links[b.id]),
    ),
    (
        lambda: Book.objects.filter(tags__weight__gt=F("author__age") - 1).filter(tags__label="red"),
        lambda w, b: (
            any(t.weight > author_of(w, b).age - 1 for t in w.links[b.id])
            and any(t.label == "red" for t in w.links[b.id])
        ),
    ),
    (
        lambda: Author.objects.exclude(books__tags__weight__gt=F("age") + 1),
        lambda w, a: not any(t.weight > a.age + 1 for b in w.books_of(a) for t in w.links[b.id]),
    ),
    (
        lambda: Author.objects.filter(Q(books__tags__weight__gt=F("age") + 2) | Q(name="red")),
        lambda w, a: a.name == "red" or any(t.weight > a.age + 2 for b in w.books_of(a) for t in w.links[b.id]),
    ),
    (
        lambda: Author.objects.filter(books__tags__weight__range=[F("age"), 3], books__tags__label="red"),
        lambda w, a: any(a.age <= t.weight <= 3 and t.label == "red" for b in w.books_of(a) for t in w.links[b.id]),
    ),
    (
        lambda: Book.objects.filter(tags__weight__in=[F("author__age"), 4]),
        lambda w, b: any(t.weight in (author_of(w, b).age, 4) for t in w.links[b.id]),
    ),
    (
        lambda: Book.objects.filter(tags__label__startswith=F("author__name")).order_by("-pages", "id"),
        lambda w, b: any(t.label.startswith(author_of(w, b).name) for t in w.links[b.id]),
    ),
]


def author_of(world: World, book: Any) -> Author:
    """The author of a book, as stored."""
    return next(author for author in world.authors if author.id == book.author_id)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("query", "holds"), SEVERAL)
def test_fields_of_the_object_and_of_many_related_ones(
    limited: ormis.Database, query: Callable[[], Any], holds: Callable[[World, Any], bool], seed: int
) -> None:
    """Arithmetic and fields of other related objects are compared with each of the many related objects."""
    world = World(seed)
    every = world.authors if query().model is Author else world.books
    wanted = {one.id for one in every if holds(world, one)}
    assert {one.id for one in query()} == wanted
    assert query().count() == len(wanted)
    assert query().exists() is bool(wanted)


def test_updates_by_arithmetic_across_relations(limited: ormis.Database) -> None:
    """update() and delete() take the same objects."""
    world = World(5)
    wanted = {b.id for b in world.books if any(t.weight > author_of(world, b).age for t in world.links[b.id])}
    assert Book.objects.filter(tags__weight__gt=F("author__age") + 0).update(pages=77) == len(wanted)
    assert {book.id for book in Book.objects.filter(pages=77)} == wanted


def test_two_relations_to_many_are_refused(db: ormis.Database) -> None:
    """Fields of objects of two relations to many have no object in common."""
    with pytest.raises(ormis.FieldError, match="two relations to many objects"):
        list(Book.objects.filter(tags__weight=F("author__books__pages") + 1))


@pytest.mark.parametrize("related", [False, True])
def test_slices_of_such_conditions_in_another(limited: ormis.Database, related: bool) -> None:
    """A slice whose condition Python computes of other objects may stand in `in`."""
    world = World(2)
    several = Book.objects.filter(tags__weight__gt=F("author__age") - 2).order_by("id")[:3]
    summed = Book.objects.alias(s=ormis.Sum("tags__weight")).filter(s__gt=2).order_by("id")[:3]
    for part in (several, summed):
        wanted = {book.id for book in part}
        assert wanted
        if related:
            owners = {book.author_id for book in world.books if book.id in wanted}
            assert {author.id for author in Author.objects.filter(books__in=part)} == owners
        else:
            assert {book.id for book in Book.objects.filter(pk__in=part)} == wanted
            assert Book.objects.filter(pk__in=part).update(pages=88) == len(wanted)
