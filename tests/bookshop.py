"""The models of the queryset tests, and a small stock of objects."""

from datetime import UTC, datetime, timedelta
from typing import Any

import ormis
from ormis import CASCADE, SET_NULL, Field, ForeignKey, ManyToMany, OneToOne, Related


class Author(ormis.Model):
    name: str = Field(unique=True)
    born: int | None = Field(default=None, index=True)
    mentor: ForeignKey["Author | None"] = ForeignKey(on_delete=SET_NULL, related_name="pupils")
    books: Related["Book"] = Related()

    class Meta:
        key = "bookshop_author"
        ordering = ["name"]


class Tag(ormis.Model):
    name: str = Field(primary_key=True)

    class Meta:
        key = "bookshop_tag"


class Book(ormis.Model):
    author: ForeignKey[Author | None] = ForeignKey(on_delete=SET_NULL, related_name="books")
    title: str = Field(index="sorted")
    pages: int | None = Field(default=None, index=True)
    published: datetime | None = Field(default=None, index=True)
    notes: list[str] = Field(default_factory=list)
    tags: ManyToMany[Tag] = ManyToMany(related_name="books")

    class Meta:
        key = "bookshop_book"
        get_latest_by = "published"


class Cover(ormis.Model):
    book: OneToOne[Book] = OneToOne(on_delete=CASCADE, related_name="cover")
    colour: str = ""

    class Meta:
        key = "bookshop_cover"


class Review(ormis.Model):
    book: ForeignKey[Book] = ForeignKey(on_delete=CASCADE, related_name="reviews")
    stars: int = 0
    text: str | None = None

    class Meta:
        key = "bookshop_review"
        ordering = ["-stars"]


DAY = datetime(2026, 1, 1, tzinfo=UTC)


def stock() -> None:
    """Three authors (Ann is Bob's mentor, Bob is Cid's), five books, two covers, four reviews, three tags.

    1 Emma (Ann, 300 pages), 2 Dune (Bob, 500), 3 Ulysses (Bob, 300), 4 Beowulf (no author, 100), 5 Carrie (Ann, None).
    """
    ann = Author(name="Ann", born=1800).save()
    bob = Author(name="Bob", born=1900, mentor=ann).save()
    Author(name="Cid", mentor=bob).save()
    rows: list[tuple[Any, ...]] = [
        (ann, "Emma", 300, DAY + timedelta(days=4), ["old"]),
        (bob, "Dune", 500, DAY + timedelta(days=3), []),
        (bob, "Ulysses", 300, DAY + timedelta(days=2), ["long", "odd"]),
        (None, "Beowulf", 100, None, []),
        (ann, "Carrie", None, DAY + timedelta(days=1), []),
    ]
    books = [Book(author=a, title=t, pages=p, published=d, notes=n).save() for a, t, p, d, n in rows]
    Cover(book=books[0], colour="red").save()
    Cover(book=books[1], colour="blue").save()
    for book, stars, text in ((0, 3, "fine"), (0, 5, None), (1, 4, "sand"), (2, 5, "odd")):
        Review(book=books[book], stars=stars, text=text).save()
    for name in ("classic", "long", "new"):
        Tag(name=name).save()
    books[0].tags.set(["classic"])
    books[2].tags.set(["classic", "long"])
