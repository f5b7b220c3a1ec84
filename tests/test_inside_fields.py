"""Lookups inside of fields: what the laws do not draw, errors, class attributes, other ways of calling."""

import asyncio
from typing import Any, Literal, cast

import pytest
import redis
from pydantic import BaseModel, RootModel

import ormis
from ormis import Exists, F, Field, ForeignKey, OuterRef, Prefetch, Q, col
from ormis.functions import Length, Upper


class Inner(BaseModel):
    city: str
    number: int = 0
    range: int = 0
    parts: dict[str, int] = {}


class Words(RootModel[list[str]]):
    pass


class Author(ormis.Model):
    name: str
    address: Inner | None = None
    tags: list[str] = Field(default=[], index="members")
    words: Words = Words([])
    anything: Any = None
    either: int | str = 0
    size: Literal["s", "m"] = "s"

    class Meta:
        key = "inside_author"


class Book(ormis.Model):
    author: ForeignKey[Author] = ForeignKey(related_name="books")
    title: str
    labels: list[str] = []

    class Meta:
        key = "inside_book"


@pytest.fixture
def authors(db: ormis.Database) -> list[Author]:
    """Ann, Bob and Cid."""
    found = [
        Author(name="ann", address=Inner(city="Paris", number=2**60 + 1, parts={"in": 1}), tags=["x", "ann"]),
        Author(name="bob", address=Inner(city="Rome", range=3), tags=["y"], words=Words(["a", "b"]), anything=[1, "x"]),
        Author(name="cid", anything={"k": {"in": 5}, "len": 7}),
    ]
    for one in found:
        one.save()
        Book(author=one, title=f"by {one.name}", labels=[one.name, "all"]).save()
    return found


def names(*conditions: Any, **lookups: Any) -> list[str]:
    """The names of those that are found."""
    return [author.name for author in Author.objects.filter(*conditions, **lookups)]


@pytest.mark.usefixtures("authors")
def test_names_and_lookups() -> None:
    """The field of an object comes before a lookup, a lookup before a key of a dict."""
    assert names(address__range=3) == ["bob"]
    assert names(address__range__gte=0) == ["ann", "bob"]
    assert names(address__parts__contains={"in": 1}) == ["ann"]
    assert names(address__parts__has_key="in") == ["ann"]
    assert names(anything__contains={"len": 7}) == ["cid"]
    assert names(words__0="a", words__len=2) == ["bob"]


@pytest.mark.usefixtures("authors")
def test_values_of_any_type() -> None:
    """Every lookup; false for a value that has no such thing."""
    assert names(anything__0=1) == ["bob"]
    assert names(anything__contains="x") == names(anything__1__startswith="x") == ["bob"]
    assert names(anything__overlap=["x", "z"]) == ["bob"]
    assert names(anything__k__contains={"in": 5}) == names(anything__has_keys=["k", "len"]) == ["cid"]
    assert names(anything__0__gt=0) == ["bob"]
    with pytest.raises(ormis.FieldError, match="anything"):  # a field of any type has no order
        names(anything__gt=3)
    assert names(anything__isnull=True) == ["ann"]


@pytest.mark.usefixtures("authors")
def test_class_attributes() -> None:
    """Parts by their names behind the field."""
    assert names(col(Author.address).city == "Paris") == ["ann"]
    assert names(col(Author.address).number > 2**60) == ["ann"]
    assert names(col(Author.tags).len >= 2) == ["ann"]
    assert names(~(col(Author.address).city == "Paris")) == ["bob", "cid"]
    assert [one.name for one in Author.objects.order_by(F("address__city").desc(nulls_last=False))][:1] != ["ann"]


@pytest.mark.usefixtures("authors")
def test_members_beside_each_object() -> None:
    """F, functions and OuterRef as what is looked for."""
    assert names(tags__contains=F("name")) == ["ann"]
    assert names(address__city__startswith=Upper(F("size"))) == []
    own = Book.objects.filter(author=OuterRef("pk"), labels__contains=OuterRef("name"))
    assert names(Exists(own)) == ["ann", "bob", "cid"]
    assert names(Exists(own.filter(labels__contains="ann"))) == ["ann"]
    lengths = Author.objects.annotate(n=Length("address__city")).filter(n__gte=5)
    assert [one.name for one in lengths] == ["ann"]


def test_relations(authors: list[Author]) -> None:
    """Across them, in prefetches, unions and related managers."""
    found = Book.objects.filter(author__address__city="Paris", author__tags__contains="x")
    assert [book.title for book in found] == ["by ann"]
    assert [book.title for book in Book.objects.order_by("-author__address__city")] == ["by bob", "by ann", "by cid"]
    labelled = Author.objects.prefetch_related(
        Prefetch("books", queryset=Book.objects.filter(labels__contains="bob"), to_attr="own")
    )
    assert [len(cast(Any, author).own) for author in labelled] == [0, 1, 0]
    both = Author.objects.filter(address__city="Rome").union(Author.objects.filter(tags__contains="x"))
    assert {author.name for author in both} == {"ann", "bob"}
    assert authors[0].books.filter(labels__overlap=["ann", "z"]).count() == 1
    assert names(Q(books__labels__contains="cid") | Q(address__city="Rome")) == ["bob", "cid"]


def test_async_queries(db: ormis.Database) -> None:
    """The twins find the same."""

    async def main() -> None:
        await Author(name="ann", address=Inner(city="Paris"), tags=["x"]).asave()
        assert await Author.objects.filter(address__city="Paris", tags__contains="x").acount() == 1
        assert [one.name async for one in Author.objects.order_by("address__city")] == ["ann"]
        assert await Author.objects.filter(tags__len=1).aexists()

    asyncio.run(main())


def test_texts_of_other_programs(db: ormis.Database, raw: redis.Redis) -> None:
    """Spaces, escapes and keys in any order; a field that an older version did not store has its default."""
    Author(name="ann", address=Inner(city="x")).save()
    raw.hset("inside_author:1", "address", ' { "more" : [1, {"city": 2}], "city" : "P\\u00e4ris" } ')
    assert names(address__city="Päris", address__number=0) == ["ann"]
    assert names(address__number__gt=0) == []
    raw.hset("inside_author:1", "address", '{"city": "a", "number": 1152921504606846977}')
    assert names(address__number=2**60 + 1) == ["ann"]
    assert names(address__number__gt=2**60 + 1) == names(address__number=2**60) == []


@pytest.mark.parametrize(
    ("lookups", "message"),
    [
        ({"address__ctiy": "x"}, "address has no part and no lookup 'ctiy': did you mean 'city'?"),
        ({"address__city__foo": "x"}, "there is no lookup 'foo' for text"),
        ({"tags__has_key": "x"}, "tags is a list that is stored as json and has no lookup has_key"),
        ({"address__parts__overlap": ["x"]}, "address__parts is a dict .* has no lookup overlap"),
        ({"address__contains": "x"}, "address is an object .* and its parts city, number, range, parts"),
        ({"name__has_key": "x"}, "has_key is for values with elements or keys, and name is of the type text"),
        ({"tags__overlap": "x"}, "overlap takes a list of values"),
        ({"tags__contains": 3}, "tags__contains=3 does not convert to text"),
        ({"tags__x": 3}, "tags has no part and no lookup 'x'"),
        ({"tags__0__gt": 3}, "does not convert to text"),
        ({"address__parts__contains": "x"}, "contains takes a dict"),
        ({"address__parts__a": "x"}, "does not convert to int"),
        ({"tags__len__contains": []}, "takes a text"),
        ({"tags__gt": ["x"]}, "has no lookup gt"),
    ],
)
@pytest.mark.usefixtures("db")
def test_what_does_not_fit_is_refused(lookups: dict[str, Any], message: str) -> None:
    """A FieldError that names model, field and value, and the nearest name."""
    with pytest.raises(ormis.FieldError, match=message):
        Author.objects.filter(**lookups).count()


@pytest.mark.usefixtures("db")
def test_what_has_no_order_is_refused() -> None:
    """Lists, objects and values of any type; a part of many related objects."""
    for name in ("tags", "address", "anything", "anything__0"):
        with pytest.raises(ormis.FieldError, match="needs values in an order"):
            Author.objects.order_by(name).count()
    with pytest.raises(ormis.FieldError, match="name Min or Max"):
        [*Author.objects.order_by("books__labels__0")]
