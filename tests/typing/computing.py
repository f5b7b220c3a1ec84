"""What a type checker sees of computed values: pairs of an expression and its type."""

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, ClassVar, assert_type
from zoneinfo import ZoneInfo

import ormis
from ormis import Avg, Case, Count, F, Field, ForeignKey, Max, Q, Sum, Value, When
from ormis.functions import Cast, Coalesce, Concat, Function, Lower, Now, Round, Trunc


class Author(ormis.Model):
    """A model whose annotation is declared."""

    name: str
    age: int = 0
    born: datetime | None = None
    total: ClassVar[int]


class Book(ormis.Model):
    """A model with a relation."""

    author: ForeignKey[Author] = ForeignKey(related_name="books")
    title: str
    pages: int = Field(default=0, index=True)
    price: Decimal | None = None


class Hypotenuse(Function):
    """An own function: types of arguments, and of the result."""

    output = float
    takes = (float, float)

    def evaluate(self, x: float, y: float) -> float:
        """The length."""
        return math.hypot(x, y)


class Joined(Function):
    """An own function of any number of arguments, with options."""

    output: ClassVar[Any] = str
    takes: ClassVar[Sequence[Any]] = (str,)
    takes_null = True
    least = 1

    def __init__(self, *names: Any, by: str = " ") -> None:
        super().__init__(*names)
        self.by = by

    def evaluate(self, *values: str | None) -> str:
        """The joined text."""
        return self.by.join(value or "" for value in values)


def annotations() -> None:
    """Checked by type checkers, never run."""
    found = Author.objects.annotate(total=Sum("books__pages"), n=Count("books", filter=Q(books__pages__gt=3)))
    assert_type(found, ormis.QuerySet[Author])
    assert_type(found.filter(total__gt=3).order_by("-total", Lower("name").desc()), ormis.QuerySet[Author])
    assert_type([author.total for author in found], list[int])
    assert_type(Author.objects.alias(low=Lower(Author.name)).filter(low="x").first(), Author | None)
    assert_type(found.values("total", up=Concat("name", Value("!"))), ormis.QuerySet[dict[str, Any]])
    assert_type(found.values_list("name", Hypotenuse("age", 3)), ormis.QuerySet[tuple[Any, ...]])
    assert_type(Author.objects.annotate(old=Q(age__gte=65), grey=Author.age >= 50), ormis.QuerySet[Author])
    assert_type(Author.objects.aggregate(Sum("age"), oldest=Max(Author.age), mean=Avg(F("age") * 2)), dict[str, Any])


def dates() -> None:
    """Checked by type checkers, never run."""
    assert_type(Author.objects.dates("born", "month"), ormis.QuerySet[date])
    assert_type(list(Author.objects.dates("born", "year", "DESC")), list[date])
    assert_type(Author.objects.all().datetimes("born", "hour", tzinfo=ZoneInfo("UTC")), ormis.QuerySet[datetime])
    assert_type(Author.objects.filter(born__lt=Now()).annotate(month=Trunc("born", "month")), ormis.QuerySet[Author])


async def writes() -> None:
    """Checked by type checkers, never run: an expression may be assigned to a field of any type."""
    author = Author(name="Ann", born=datetime.now(UTC))
    author.age = Case(When(name="x", then=F("age") + 1), When(Q(age__lt=3), then=0), default="age")
    author.name = Joined("name", Value("!"), by="")
    author.born = Coalesce("born", Now())
    author.save()
    assert_type(Author.objects.update(name=Lower("name"), age=Cast("name", int)), int)
    assert_type(await Book.objects.aupdate(price=Round("price", precision=1), pages=Author.age), int)
