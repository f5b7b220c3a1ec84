"""annotate(), alias(), aggregate() and groups: what Django does, and what the contract settles where SQL is odd."""

import copy
import pickle
import time
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

import ormis
from ormis import CASCADE, Avg, Count, F, Field, ForeignKey, ManyToMany, Max, OneToOne, Prefetch, Q, Sum


class Author(ormis.Model):
    name: str
    age: int = 0
    nick: str | None = None

    class Meta:
        key = "computing_author"


class Book(ormis.Model):
    author: ForeignKey[Author | None] = ForeignKey(on_delete=CASCADE, related_name="books")
    title: str
    pages: int = Field(default=0, index=True)
    cost: Decimal | None = None
    day: date | None = None

    class Meta:
        key = "computing_book"
        ordering = ["-pages"]
        get_latest_by = "pages"


class Tag(ormis.Model):
    label: str
    books: ManyToMany[Book] = ManyToMany(related_name="tags")

    class Meta:
        key = "computing_tag"


class Cover(ormis.Model):
    book: OneToOne[Book] = OneToOne(related_name="cover", on_delete=CASCADE)
    size: int = 0

    class Meta:
        key = "computing_cover"


@pytest.fixture(autouse=True)
def library(checked: ormis.Database) -> ormis.Database:
    """Ann (0) has the books 1, 3, 5, Bob (10) 2 and 4, Cid (20) none, nobody 6; red has 1 to 4, blue 3 to 5."""
    ann, bob, _ = (Author(name=name, age=10 * at).save() for at, name in enumerate(("Ann", "Bob", "Cid")))
    books = [
        Book(
            author=None if at == 6 else (bob, ann)[at % 2],
            title=f"t{at}",
            pages=10 * at,
            cost=Decimal(at) / 4,
            day=date(2024, 1 + at % 2, at),
        ).save()
        for at in range(1, 7)
    ]
    Tag(label="red").save().books.add(*books[:4])
    Tag(label="blue").save().books.add(*books[2:5])
    for book in books[:2]:
        Cover(book=book, size=book.pages).save()
    return checked


def counted() -> Any:
    """The authors with the numbers of their books: 3, 2, 0."""
    return Author.objects.annotate(n=Count("books"))


def grouped() -> Any:
    """The authors of books with the numbers of their books: nobody 1, Ann 3, Bob 2."""
    return Book.objects.values("author").annotate(n=Count("id"))


# Objects -------------------------------------------------------------------------------------------------------------


def test_aggregates_of_several_relations_do_not_multiply() -> None:
    """Two relations to many, two steps along one, and one back and forth count their own objects each."""
    found = Author.objects.annotate(
        n=Count("books"),
        tags=Count("books__tags"),
        once=Count("books__tags", distinct=True),
        size=Max("books__cover__size"),
    ).values_list("name", "n", "tags", "once", "size")
    assert [*found] == [("Ann", 3, 4, 2, 10), ("Bob", 2, 3, 2, 20), ("Cid", 0, 0, 0, None)]
    back = Tag.objects.annotate(n=Count("books"), age=Avg("books__author__age")).values_list("label", "n", "age")
    assert [*back] == [("red", 4, 5.0), ("blue", 3, 10 / 3)]


def test_a_filter_narrows_the_objects_and_not_what_is_aggregated() -> None:
    """filter() before or after annotate() is about the objects; the filter of an aggregate about the related ones."""
    for found in (
        Book.objects.filter(tags__label="red").annotate(n=Count("tags")),
        Book.objects.annotate(n=Count("tags")).filter(tags__label="red"),
    ):
        assert [*found.order_by("pk").values_list("pk", "n")] == [(1, 1), (2, 1), (3, 2), (4, 2)]
    assert Book.objects.filter(tags__label__in=["red", "blue"]).aggregate(n=Count("*"), s=Sum("pages")) == {
        "n": 5, "s": 150,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("narrow", "expected"),
    [
        (Q(books__pages__gt=20), [2, 1, 0]),
        (~Q(books__pages__gt=20), [1, 1, 0]),
        (Q(age=10), [0, 2, 0]),
        (Q(books__pages__gt=F("age") * 3), [3, 1, 0]),
        (Q(name="Ann") & Q(books__pages__lt=20), [1, 0, 0]),
        (Q(name="Ann") | Q(books__pages__lt=30), [3, 1, 0]),
        (Q(books__tags__label="red"), [2, 2, 0]),
        (~Q(books__tags__label="red"), [1, 0, 0]),
        (Q(books__tags__label="red", books__tags__id=2), [0, 0, 0]),
        (Q(books__tags__label="red") & Q(books__pages__gt=10), [1, 2, 0]),
        (Q(books__tags__label="blue") | Q(name="Bob"), [2, 2, 0]),
        (Q(books__cover__size__gt=10), [0, 1, 0]),
        (Q(books=3), [1, 0, 0]),
        (Q(books__author__name="Ann"), [3, 0, 0]),
        (Author.books.pages > 20, [2, 1, 0]),
        (Q(m__gt=2), [3, 0, 0]),
        (Q(m__gt=2) & Q(books__tags__label="red"), [2, 0, 0]),
    ],
)
def test_filters_of_aggregates(narrow: Q, expected: list[int]) -> None:
    """The filter of an aggregate may name the related object, what it leads to, the object itself and annotations."""
    found = Author.objects.annotate(m=Count("books")).annotate(n=Count("books", filter=narrow))
    assert [author.n for author in found] == expected


def test_a_queryset_in_the_filter_of_an_aggregate() -> None:
    """`in` with a queryset is about the related object."""
    found = Author.objects.annotate(n=Count("books", filter=Q(books__in=Book.objects.filter(pages__gte=30))))
    assert [author.n for author in found] == [2, 1, 0]


def test_expressions_of_several_objects_on_the_way() -> None:
    """An aggregate may compute with fields of the object and of all related ones on the way."""
    found = Author.objects.annotate(
        a=Sum(F("books__pages") + F("age")), b=Sum(F("books__pages") * F("books__tags__id")), c=Sum("age")
    )
    assert [(x.a, x.b, x.c) for x in found] == [(90, 200, 0), (80, 140, 10), (None, None, 20)]


def test_conditions_as_annotations() -> None:
    """A condition is a value: of the object, of related ones, of annotations, and of all of them together."""
    found = Author.objects.annotate(z=F("age") + 1).annotate(
        old=Q(age__gte=10), long=Q(books__pages__gt=40), both=Q(z__gt=1, books__pages__gt=30),
        none=~Q(books__pages__gt=0),
    )  # fmt: skip
    assert [(x.old, x.long, x.both, x.none) for x in found] == [
        (False, True, False, False), (True, False, True, False), (True, False, False, True),
    ]  # fmt: skip
    assert [x.name for x in found.filter(old=True, none=False)] == ["Bob"]


def test_alias_is_known_to_conditions_and_orders_only() -> None:
    """alias() computes for filter(), order_by() and annotate(); neither objects nor values() have it."""
    found = Author.objects.alias(n=Count("books")).filter(n__gt=0).order_by("n")
    assert [x.name for x in found] == ["Bob", "Ann"]
    assert not hasattr(found[0], "n")
    assert [*found.annotate(m=F("n") * 2).values("m")] == [{"m": 4}, {"m": 6}]
    assert "n" not in found.values().first()


def test_a_name_may_be_taken_again() -> None:
    """An annotation may take the name of another; conditions keep the meaning that they were written with."""
    base = Author.objects.annotate(x=F("age"))
    assert [*base.filter(x=10).annotate(x=F("x") + 1).values_list("x", flat=True)] == [11]
    assert [*base.annotate(x=Count("books")).filter(x=0).values_list("name", flat=True)] == ["Cid"]
    assert [*base.filter(Q(x__gte=10) | Q(age=F("x"))).annotate(x=Count("books")).values_list("x", flat=True)] == [
        3,
        2,
        0,
    ]
    assert [*base.order_by("-x").annotate(x=-F("x")).values_list("x", flat=True)] == [0, -10, -20]
    assert [*Author.objects.alias(x=F("age")).annotate(x=F("x") + 1).values("x")] == [{"x": 1}, {"x": 11}, {"x": 21}]
    assert not hasattr(base.alias(x=F("x") + 1)[0], "x")
    groups = grouped().filter(n=1).annotate(n=F("n") + 5)
    assert [*groups] == [{"author": None, "n": 6}]


def test_positional_aggregates_are_named_by_what_they_are_of() -> None:
    """`books__count`, `__count` for all rows."""
    assert [x.books__count for x in Author.objects.annotate(Count("books"))] == [3, 2, 0]
    assert Book.objects.aggregate(Count("*"), Sum("pages")) == {"__count": 6, "pages__sum": 210}


# Methods of annotated querysets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        (lambda: counted().get(pk=1).n, 3),
        (lambda: counted().get(n=2).name, "Bob"),
        (lambda: counted().order_by("n").first().n, 0),
        (lambda: counted().order_by("n").last().n, 3),
        (lambda: counted().latest("n").name, "Ann"),
        (lambda: counted().earliest("n").name, "Cid"),
        (lambda: {key: x.n for key, x in counted().in_bulk([1, 3]).items()}, {1: 3, 3: 0}),
        (lambda: counted().filter(n=3).contains(Author.get(1)), True),
        (lambda: counted().filter(n=3).contains(Author.get(2)), False),
        (lambda: counted().order_by("-n").rank(Author.get(2)), 1),
        (lambda: counted().filter(n__gt=0).order_by("n").rank(Author.get(2)), 0),
        (lambda: counted().filter(n__gt=0).count(), 2),
        (lambda: counted().filter(n=7).exists(), False),
        (lambda: [x.n for x in counted().iterator(chunk_size=1)], [3, 2, 0]),
        (lambda: [x.n for x in counted().order_by("n").reverse()[:2]], [3, 2]),
        (lambda: [x.n for x in counted().only("name")], [3, 2, 0]),
        (lambda: [x.n for x in counted().defer("name")], [3, 2, 0]),
        (lambda: [x.n for x in counted().distinct()], [3, 2, 0]),
        (lambda: [x.n for x in Author.objects.all()[1:].annotate(n=Count("books"))], [2, 0]),
        (lambda: [x.n for x in pickle.loads(pickle.dumps(counted().filter(n__gt=0)))], [3, 2]),
        (lambda: pickle.loads(pickle.dumps(counted().first())).n, 3),
        (lambda: copy.copy(counted().first()).n, 3),
        (lambda: copy.deepcopy(counted().first()).n, 3),
        (lambda: counted().get_or_create(name="Ann")[0].n, 3),
        (lambda: counted().get_or_create(name="Ann", n=3)[0].n, 3),
        (lambda: counted().update_or_create(name="Ann", defaults={"nick": "A"})[0].n, 3),
        (lambda: counted().get_or_create(name="Dee")[1], True),
        (lambda: [x.n for x in counted().none()], []),
        (lambda: counted().filter(n=0).update(nick="C"), 1),
        (lambda: counted().exclude(n=0).update(age=F("age") + 1), 2),
        (lambda: counted().filter(n=0).delete(), (1, {"Author": 1})),
        (lambda: counted().filter(n=0).expire(1000), 1),
        (lambda: [x.name for x in Author.objects.filter(pk__in=counted().filter(n__gt=2))], ["Ann"]),
        (lambda: [x.name for x in Author.objects.filter(pk__in=grouped().filter(n=2).values("author"))], ["Bob"]),
        (lambda: Author.objects.filter(books__in=Book.objects.annotate(n=Count("tags")).filter(n=1)).count(), 2),
        (lambda: counted().get(pk=1).model_dump(), {"id": 1, "name": "Ann", "age": 0, "nick": None}),
        (lambda: counted().first() == Author.get(1), True),
        (lambda: Author.get(1).books.annotate(n=Count("tags")).order_by("-n", "pk").first().title, "t3"),
        (lambda: Author.get(1).books.aggregate(Sum("pages"), Count("tags")), {"pages__sum": 90, "tags__count": 4}),
        (
            lambda: [*Tag.get(1).books.values("author").annotate(n=Count("id"))],
            [{"author": 1, "n": 2}, {"author": 2, "n": 2}],
        ),
        (
            lambda: [
                (x.n, x.author.name) for x in Book.objects.annotate(n=Count("tags")).select_related("author")[1:3]
            ],
            [(1, "Ann"), (2, "Bob")],
        ),
    ],
)
def test_methods(ask: Callable[[], Any], expected: Any) -> None:
    """What a queryset does, an annotated one does, and its objects have their annotations."""
    assert ask() == expected


def test_an_annotated_object_is_saved_as_any_other() -> None:
    """save() and refresh_from_db() leave the annotation alone."""
    ann = counted().get(pk=1)
    ann.age = 3
    ann.save()
    ann.refresh_from_db()
    assert (ann.n, ann.age, Author.get(1).age) == (3, 3, 3)
    ann.refresh_from_db(from_queryset=counted())
    assert ann.age == 3


def test_prefetched_objects_have_their_annotations() -> None:
    """Prefetch(queryset=annotated), back, forward and along links, keeps its order and conditions."""
    books = Book.objects.annotate(n=Count("tags"))
    found = Author.objects.prefetch_related(Prefetch("books", queryset=books.order_by("-n", "pk")))
    assert [[(b.pk, b.n) for b in x.books.all()] for x in found] == [[(3, 2), (1, 1), (5, 1)], [(4, 2), (2, 1)], []]
    kept = Author.objects.prefetch_related(Prefetch("books", queryset=books.filter(n=2), to_attr="two"))
    assert [[b.pk for b in x.two] for x in kept] == [[3], [4], []]
    tagged = Tag.objects.prefetch_related(Prefetch("books", queryset=books.order_by("-n", "-pk")))
    assert [[(b.pk, b.n) for b in x.books.all()] for x in tagged] == [
        [(4, 2), (3, 2), (2, 1), (1, 1)], [(4, 2), (3, 2), (5, 1)],
    ]  # fmt: skip
    forward = Book.objects.prefetch_related(Prefetch("author", queryset=counted()))
    assert [x.author and x.author.n for x in forward] == [None, 3, 2, 3, 2, 3]


def test_unions_of_annotated_querysets() -> None:
    """A union of annotated objects is ordered by an annotation; one of rows has the values of both."""
    both = counted().filter(n=0).union(counted().filter(n__gt=0))
    assert [(x.pk, x.n) for x in both.order_by("-n")] == [(1, 3), (2, 2), (3, 0)]
    rows = grouped().union(Book.objects.values("author").annotate(n=Count("tags")))
    assert [row["n"] for row in rows.order_by("-n")] == [4, 3, 3, 2, 1, 0]
    assert {(row["author"], row["n"]) for row in rows} == {(None, 1), (None, 0), (1, 3), (1, 4), (2, 2), (2, 3)}


def test_joined_querysets_know_the_annotations_of_both() -> None:
    """`|` and `&` keep the conditions on annotations of either side."""
    assert [x.name for x in Author.objects.filter(age=10) | counted().filter(n=0)] == ["Bob", "Cid"]
    assert [x.name for x in counted().filter(n=0) | Author.objects.filter(age=10)] == ["Bob", "Cid"]
    assert [x.name for x in counted().filter(n__gt=0) & counted().filter(n__lt=3)] == ["Bob"]
    assert [x.name for x in counted().filter(n=3) ^ Author.objects.filter(age__lt=20)] == ["Bob"]
    with pytest.raises(
        TypeError, match="Author: both querysets have an annotation 'n', computed differently: give one"
    ):
        counted() | Author.objects.annotate(n=F("age"))
    with pytest.raises(TypeError, match="grouped differently can't be joined: union\\(\\) combines"):
        Author.objects.values("age").annotate(n=Count("id")) | Author.objects.filter(age=3)


def test_computed_values_in_a_transaction_are_those_before_it() -> None:
    """Inside atomic() annotations and aggregates see what was there before the block."""
    with ormis.atomic():
        Book(title="t7", author=Author.get(1), pages=1).save()
        assert counted().get(pk=1).n == 3
        assert Book.objects.aggregate(Count("*")) == {"__count": 6}
    assert counted().get(pk=1).n == 4


def test_deleted_and_expired_objects_do_not_count(raw: Any) -> None:
    """Objects that are gone, also by the hand of another, and expired ones are in no aggregate."""
    Book.get(1).delete()
    Book.get(2).expire(0.001)
    time.sleep(0.01)
    assert Book.objects.aggregate(n=Count("*"), s=Sum("pages"), x=Sum(F("pages") * 1)) == {"n": 4, "s": 180, "x": 180}
    gone = raw.hgetall("computing_book:3")
    raw.delete("computing_book:3")
    assert {x.name: x.s for x in Author.objects.annotate(s=Sum("books__pages"))} == {"Ann": 50, "Bob": 40, "Cid": None}
    assert {row["author"]: row["s"] for row in Book.objects.values("author").annotate(s=Sum("pages"))} == {
        1: 50, 2: 40, None: 60,
    }  # fmt: skip
    raw.hset("computing_book:3", mapping=gone)


# Groups --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        (lambda: grouped(), [{"author": None, "n": 1}, {"author": 1, "n": 3}, {"author": 2, "n": 2}]),
        (lambda: grouped().values_list("n", flat=True), [1, 3, 2]),
        (lambda: grouped().order_by("-n").values_list("author", flat=True), [1, 2, None]),
        (lambda: grouped().order_by("n").reverse()[:1], [{"author": 1, "n": 3}]),
        (lambda: grouped().reverse(), [{"author": 2, "n": 2}, {"author": 1, "n": 3}, {"author": None, "n": 1}]),
        (lambda: [grouped().last()], [{"author": 2, "n": 2}]),
        (lambda: [grouped().first(), grouped().get(n=3)], [{"author": None, "n": 1}, {"author": 1, "n": 3}]),
        (
            lambda: grouped().filter(pages__gt=30),
            [{"author": None, "n": 1}, {"author": 1, "n": 1}, {"author": 2, "n": 1}],
        ),
        (lambda: grouped().filter(n__gt=1, author__name="Bob"), [{"author": 2, "n": 2}]),
        (lambda: grouped().filter(Q(n__gt=2) | Q(author=None)).values("author"), [{"author": None}, {"author": 1}]),
        (lambda: grouped().exclude(n=1).values("n"), [{"n": 3}, {"n": 2}]),
        (
            lambda: grouped().annotate(s=Sum("pages")).annotate(avg=F("s") / F("n")).values_list("avg", flat=True),
            [60.0, 30.0, 30.0],
        ),
        (lambda: grouped().values_list("author", "n", named=True)[1:2], [(1, 3)]),
        (
            lambda: Book.objects.values("author__name").annotate(Count("id")).values_list("author__name", "id__count"),
            [(None, 1), ("Ann", 3), ("Bob", 2)],
        ),
        (
            lambda: Book.objects.values("day__month").annotate(n=Count("id"), m=Max("pages")),
            [{"day__month": 1, "n": 3, "m": 60}, {"day__month": 2, "n": 3, "m": 50}],
        ),
        (
            lambda: Book.objects.annotate(m=F("day__month")).values("m").annotate(n=Count("id")),
            [{"m": 1, "n": 3}, {"m": 2, "n": 3}],
        ),
        (
            lambda: Book.objects.annotate(long=Q(pages__gt=30)).values("long").annotate(n=Count("id")),
            [{"long": False, "n": 3}, {"long": True, "n": 3}],
        ),
        (lambda: counted().values("n").annotate(c=Count("id")).filter(n__gt=0), [{"n": 2, "c": 1}, {"n": 3, "c": 1}]),
        (
            lambda: counted().values("name", "n").annotate(s=Sum("books__pages")),
            [{"name": "Ann", "n": 3, "s": 90}, {"name": "Bob", "n": 2, "s": 60}, {"name": "Cid", "n": 0, "s": None}],
        ),
        (
            lambda: Book.objects.values("tags__label").annotate(n=Count("id"), s=Sum("pages")),
            [
                {"tags__label": None, "n": 1, "s": 60},
                {"tags__label": "blue", "n": 3, "s": 120},
                {"tags__label": "red", "n": 4, "s": 100},
            ],
        ),
        (
            lambda: Book.objects.values("tags").annotate(n=Count("tags"), s=Sum("tags__id")),
            [{"tags": None, "n": 0, "s": None}, {"tags": 1, "n": 4, "s": 4}, {"tags": 2, "n": 3, "s": 6}],
        ),
        (
            lambda: Author.objects.values("books__tags__label").annotate(
                n=Count("books"), d=Count("id", distinct=True)
            ),
            [
                {"books__tags__label": None, "n": 0, "d": 1},
                {"books__tags__label": "blue", "n": 3, "d": 2},
                {"books__tags__label": "red", "n": 4, "d": 2},
            ],
        ),
        (
            lambda: Author.objects.values("books__title").annotate(n=Count("books__tags"))[:3],
            [{"books__title": None, "n": 0}, {"books__title": "t1", "n": 1}, {"books__title": "t2", "n": 1}],
        ),
        (
            lambda: Author.objects.values("name", n=Count("books")),
            [{"name": "Ann", "n": 3}, {"name": "Bob", "n": 2}, {"name": "Cid", "n": 0}],
        ),
        (lambda: Author.objects.values_list(Count("books"), "name"), [(3, "Ann"), (2, "Bob"), (0, "Cid")]),
        (lambda: Book.objects.values("author").values(n=Count("id")), [{"n": 1}, {"n": 3}, {"n": 2}]),
        (
            lambda: Book.objects.values("author").annotate(n=Count("tags"), d=Count("tags", distinct=True)),
            [{"author": None, "n": 0, "d": 0}, {"author": 1, "n": 4, "d": 2}, {"author": 2, "n": 3, "d": 2}],
        ),
        (lambda: grouped().values("n").filter(n__lt=3).distinct().order_by("-n"), [{"n": 2}, {"n": 1}]),
        (lambda: grouped().none(), []),
        (lambda: pickle.loads(pickle.dumps(grouped().filter(n=3))), [{"author": 1, "n": 3}]),
        (
            lambda: grouped().iterator(chunk_size=1),
            [{"author": None, "n": 1}, {"author": 1, "n": 3}, {"author": 2, "n": 2}],
        ),
    ],
)
def test_groups(ask: Callable[[], Any], expected: Any) -> None:
    """Rows of values() become groups by an aggregate; Meta.ordering does not count, groups come by their keys."""
    assert [*ask()] == expected


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        (lambda: grouped().count(), 3),
        (lambda: grouped().filter(n__gt=1).count(), 2),
        (lambda: grouped().filter(n__gt=7).exists(), False),
        (lambda: grouped().aggregate(n=Count("*"), s=Sum("n"), k=Count("author")), {"n": 3, "s": 6, "k": 2}),
        (lambda: Book.objects.values("author").distinct().aggregate(n=Count("*"), s=Sum("author")), {"n": 3, "s": 3}),
        (lambda: Book.objects.values("author").aggregate(n=Count("*"), s=Sum("pages")), {"n": 6, "s": 210}),
        (lambda: Book.objects.order_by("pages")[1:3].aggregate(n=Count("*"), s=Sum("pages")), {"n": 2, "s": 50}),
        (lambda: Book.objects.all()[1:3].aggregate(s=Sum("pages")), {"s": 90}),
        (
            lambda: Book.objects.annotate(n=Count("tags")).aggregate(Sum("n"), k=Sum(F("n") * F("pages"))),
            {"n__sum": 7, "k": 220},
        ),
        (
            lambda: Book.objects.aggregate(s=Sum("pages"), x=Sum("pages") / Count("*"), y=F("s") + 1),
            {"s": 210, "x": 35.0, "y": 211},
        ),
        (
            lambda: Book.objects.aggregate(cost=Sum("cost"), mean=Avg("cost")),
            {"cost": Decimal("5.25"), "mean": Decimal("0.875")},
        ),
        (lambda: Book.objects.aggregate(n=Count("id", filter=Q(tags__label="red"))), {"n": 4}),
        (lambda: Book.objects.aggregate(n=Count("tags", filter=Q(tags__label="red"))), {"n": 4}),
        (
            lambda: Book.objects.filter(pages=7).aggregate(s=Sum("pages"), n=Count("id"), d=Sum("pages", default=0)),
            {"s": None, "n": 0, "d": 0},
        ),
        (lambda: Book.objects.aggregate(), {}),
    ],
)
def test_aggregate(ask: Callable[[], Any], expected: Any) -> None:
    """aggregate() is of objects, slices, distinct rows, annotations and groups."""
    assert ask() == expected
