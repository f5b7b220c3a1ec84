"""What can't be computed is refused in a message that names the model and the path, and says what to write."""

import re
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

import ormis
from ormis import Avg, Count, F, FieldError, ForeignKey, ManyToMany, Max, Q, StdDev, Sum


class Author(ormis.Model):
    name: str
    age: int = 0

    class Meta:
        key = "refusals_author"


class Book(ormis.Model):
    author: ForeignKey[Author | None] = ForeignKey(related_name="books")
    title: str
    pages: int = 0
    day: date | None = None
    labels: list[str] = []

    class Meta:
        key = "refusals_book"
        ordering = ["-pages"]


class Tag(ormis.Model):
    label: str
    books: ManyToMany[Book] = ManyToMany(related_name="tags")

    class Meta:
        key = "refusals_tag"


@pytest.fixture(autouse=True)
def rows(db: ormis.Database) -> None:
    """One author with one book."""
    Book(author=Author(name="Ann", age=3).save(), title="t", pages=10).save()


def _any(value: Any) -> Any:
    """The value as a type checker takes it that knows nothing of it."""
    return value


AUTHORS, BOOKS = Author.objects, Book.objects


def counted() -> Any:
    """The authors with the numbers of their books."""
    return Author.objects.annotate(n=Count("books"))


def grouped() -> Any:
    """The authors of books with the numbers of their books."""
    return Book.objects.values("author").annotate(n=Count("id"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: AUTHORS.annotate(_any("x")), "annotate('x'): give it a name, annotate(name=...)"),
        (lambda: AUTHORS.annotate(_any(F("age"))), "give it a name, annotate(name=...); aggregates need none"),
        (lambda: AUTHORS.annotate(x=3), "annotate(x=3): give an expression, such as Value(3)"),
        (lambda: AUTHORS.annotate(x=None), "annotate(x=None): give an expression, such as Value(None)"),
        (lambda: AUTHORS.annotate(x="age"), "give an expression, such as F('age'), or Value('age')"),
        (lambda: AUTHORS.alias(x=3), "alias(x=3): give an expression, such as Value(3)"),
        (lambda: AUTHORS.annotate(Count("books"), books__count=F("age")), "the name 'books__count' is given twice"),
        (
            lambda: AUTHORS.annotate(Count(F("age") + 1)),
            "is an aggregate of an expression: give it a name, total=Count(",
        ),
        (lambda: AUTHORS.aggregate(_any("age")), "aggregate('age'): give it a name"),
        (lambda: AUTHORS.aggregate(x=F("age")), "aggregate(x=F('age')): give an aggregate, such as Max(...)"),
        (lambda: AUTHORS.aggregate(x=3), "aggregate(x=3): give an expression"),
        (lambda: AUTHORS.aggregate(x=Q(age=3)), "aggregate(x=Q(age=3)): give an aggregate"),
        (lambda: AUTHORS.aggregate(Sum(F("age") + 1)), "give it a name, total=Sum(F('age') + 1)"),
        (
            lambda: AUTHORS.union(AUTHORS.all()).annotate(n=Count("books")),
            "a union can't be given annotate(): do that to its parts",
        ),
        (
            lambda: AUTHORS.union(AUTHORS.all()).aggregate(n=Count("books")),
            "a union can't be aggregated: do that to its parts",
        ),
        (
            lambda: AUTHORS.values("name").distinct().annotate(n=Count("id")),
            "annotate() can't follow distinct() of values()",
        ),
        (
            lambda: AUTHORS.all()[:2].values("name").annotate(n=Count("id")),
            "a sliced queryset can't be grouped: slice the groups",
        ),
        (lambda: AUTHORS.values("name")[:2].filter(name="x"), "a sliced queryset can't be filtered"),
        (lambda: grouped().update(pages=3), "the groups of values() and annotate() can't be updated"),
        (lambda: grouped().expire(3), "the groups of values() and annotate() can't be given a time to live"),
        (lambda: grouped().delete(), "a queryset of values() can't be deleted: do that before values()"),
        (lambda: counted()[:2].delete(), "a sliced queryset can't be deleted"),
        (
            lambda: counted() | AUTHORS.annotate(n=F("age")),
            "Author: both querysets have an annotation 'n', computed differently",
        ),
    ],
)
def test_calls_that_are_no_computation(call: Callable[[], Any], message: str) -> None:
    """What is no expression, or stands where none can, is a TypeError that says what to write."""
    with pytest.raises(TypeError, match=re.escape(message)):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: AUTHORS.annotate(age=Count("books")),
            "Author: annotate(age=...): there is a field 'age' already; choose another name",
        ),
        (
            lambda: AUTHORS.annotate(books=Count("books")),
            "Author: annotate(books=...): there is a field 'books' already",
        ),
        (lambda: AUTHORS.annotate(pk=Count("books")), "Author: annotate(pk=...): there is a field 'pk' already"),
        (
            lambda: BOOKS.annotate(author_id=F("pages")),
            "Book: annotate(author_id=...): there is a field 'author_id' already",
        ),
        (lambda: BOOKS.alias(author=F("pages")), "Book: alias(author=...): there is a field 'author' already"),
        (
            lambda: AUTHORS.annotate(save=Count("books")),
            "Author: annotate(save=...): Author has an attribute 'save' already",
        ),
        (lambda: AUTHORS.annotate(objects=Count("books")), "Author has an attribute 'objects' already"),
        (lambda: AUTHORS.annotate(_x=Count("books")), "an annotation can't be called '_x'"),
        (
            lambda: AUTHORS.annotate(**{"a b": Count("books")}),
            "Author: annotate(a b=...): an annotation can't be called 'a b'",
        ),
        (lambda: AUTHORS.annotate(**{"x#1": Count("books")}), "an annotation can't be called 'x#1'"),
        (lambda: AUTHORS.values(age=F("name")), "Author: values(age=...): there is a field 'age' already"),
        (lambda: AUTHORS.values(x=_any(3)), "Author: values(x=3): give an expression"),
        (lambda: AUTHORS.annotate(n=Count("boks")), "Author has no field or relation 'boks': did you mean 'books'?"),
        (
            lambda: AUTHORS.annotate(n=Sum("books__page")),
            "Book has no field or relation 'page' (in 'books__page'): did you mean 'pages'?",
        ),
        (lambda: AUTHORS.aggregate(n=Sum("agee")), "Author has no field or relation 'agee': did you mean 'age'?"),
        (
            lambda: AUTHORS.annotate(n=Count("books", filter=Q(books__titel="x"))),
            "Book has no field or relation 'titel' (in 'books__titel'): did you mean 'title'?",
        ),
        (lambda: AUTHORS.annotate(n=Count("books", filter=Q(pages=1))), "Author has no field or relation 'pages'"),
        (
            lambda: AUTHORS.annotate(n=Sum("books__title")),
            "Author: Sum('books__title') needs numbers or lengths of time, and F('books__title') is of the type text",
        ),
        (lambda: AUTHORS.aggregate(n=Sum("name")), "Author: Sum('name') needs numbers or lengths of time"),
        (lambda: AUTHORS.aggregate(n=Avg("books__day")), "is of the type date"),
        (lambda: AUTHORS.aggregate(n=StdDev("books__title")), "Author: StdDev('books__title') needs numbers, and"),
        (lambda: BOOKS.aggregate(n=Max("labels")), "Book: Max('labels') needs values in an order"),
        (
            lambda: AUTHORS.aggregate(n=Sum("age", default="many")),
            "Author: Sum('age'): default='many' is no int, which its values are",
        ),
        (
            lambda: AUTHORS.aggregate(n=Sum(Count("books"))),
            "Author: Count('books') can't stand within an aggregate: annotate() it, then aggregate()",
        ),
        (
            lambda: counted().annotate(m=Sum("n")),
            "Author: Sum('n') is of an aggregate itself: write it in aggregate()",
        ),
        (
            lambda: grouped().annotate(m=Sum("n")),
            "Book: Sum('n') is of 'n', an aggregate itself: aggregate() takes it, over the annotated rows",
        ),
        (lambda: BOOKS.aggregate(s=Sum("pages"), a=Avg("s")), "Book: Avg('s') is of 's', an aggregate itself"),
        (
            lambda: AUTHORS.annotate(n=Count("books", filter=3)),
            "Count(filter=3): give Q(...), or a comparison of class attributes",
        ),
        (lambda: AUTHORS.annotate(n=Count("books", filter="x")), "Count(filter='x'): give Q(...)"),
        (lambda: AUTHORS.aggregate(n=Count("*", distinct=True)), "Count('*', distinct=True): name the field"),
        (lambda: AUTHORS.aggregate(n=Sum("*")), "Sum('*'): name a field; Count alone takes '*'"),
        (
            lambda: AUTHORS.aggregate(n=Sum("age", default=F("age"))),
            "default=F('age'): give a value, or write Coalesce()",
        ),
        (
            lambda: AUTHORS.alias(n=Count("books")).values("n"),
            "Author: values('n'): alias() is not part of results; annotate() is",
        ),
        (
            lambda: AUTHORS.filter(age__gt=Avg("age")),
            "Author: filter() can't take Avg('age'): an aggregate of each object's related objects is named by alias(",
        ),
        (lambda: AUTHORS.exclude(age__lt=Count("books") + 1), "Author: filter() can't take Count('books') + 1"),
        (lambda: AUTHORS.filter(age__in=[Count("books")]), "Author: filter() can't take Count('books')"),
        (
            lambda: AUTHORS.filter(n__gt=3).annotate(n=Count("books")),
            "Author has no field or relation 'n' (in 'n__gt')",
        ),
        (lambda: AUTHORS.order_by("n").annotate(n=Count("books")), "Author has no field or relation 'n'"),
        (lambda: [*counted().filter(n="five")], "Author.n='five' does not convert to int"),
        (lambda: counted().filter(n__foo=5), "Author.n__foo: there is no lookup 'foo' for int"),
        (lambda: [*counted().filter(n__gt=None)], "Author.n__gt=None"),
        (lambda: counted().filter(m=5), "Author has no field or relation 'm'"),
        (
            lambda: AUTHORS.annotate(x=F("books__pages")),
            "Author.books__pages: books leads to many objects; name Min or Max of them",
        ),
        (lambda: AUTHORS.annotate(x=F("agee")), "Author has no field or relation 'agee': did you mean 'age'?"),
        (lambda: [*AUTHORS.annotate(x=F("name") + F("age"))], "Author: F('name') + F('age') can't be computed"),
        (
            lambda: AUTHORS.order_by("books__pages").first(),
            "Author.books__pages: books leads to many objects; name Min or Max",
        ),
        (
            lambda: grouped().order_by("title"),
            "Book: 'title' is none of the groups, which have author, n: give it to values(), or name Min or Max of it",
        ),
        (
            lambda: grouped().order_by("author__name"),
            "Book: 'author__name' is none of the groups, which have author, n",
        ),
        (
            lambda: [*BOOKS.order_by("title").values("author").annotate(n=Count("id"))],
            "Book: 'title' is none of the groups",
        ),
        (lambda: grouped().values("title"), "Book: 'title' is none of the groups"),
        (lambda: grouped().annotate(x=F("pages")), "Book: 'pages' is none of the groups"),
        (lambda: grouped().filter(Q(n__gt=4) | Q(title="x")), "Book: 'title' is none of the groups"),
        (
            lambda: BOOKS.values("tags__label", "author__books__title").annotate(n=Count("id")),
            "two relations to many objects: ask for each by itself",
        ),
        (lambda: [*AUTHORS.filter(pk__in=grouped())], "in takes a queryset with values of one field, not of 2"),
        (
            lambda: AUTHORS.annotate(s=Sum("books__pages")).get_or_create(name="Ann", s=5),
            "Author: get_or_create() and update_or_create() can't be asked of Q(name='Ann' and s=5)",
        ),
        (lambda: AUTHORS.filter(pk=1).update(age=Count("books")), "Author"),
        (lambda: counted().update(n=3), "Author has no stored field 'n'"),
        (lambda: counted().only("n"), "Author has no field or relation 'n'"),
        (lambda: counted().in_bulk([1], field_name="n"), "Author has no stored field 'n'"),
        (lambda: counted().select_related("n"), "Author.n is no relation to one object"),
        (lambda: counted().prefetch_related("n"), "Author.n is no relation"),
    ],
)
def test_computations_that_are_refused(call: Callable[[], Any], message: str) -> None:
    """A FieldError names the model and the path, the nearest name, and what to write."""
    with pytest.raises(FieldError, match=re.escape(message)):
        call()
