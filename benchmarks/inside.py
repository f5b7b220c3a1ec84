"""Queries of what is inside of fields, against the same queries of plain fields, in the same objects."""

from typing import Any

import ormis
from ormis import Field, Index

from .harness import Target
from .querying import QueryLine

OF_A_TAG = 100
STORED_AT_ONCE = 10_000


class Article(ormis.Model):
    """100 have the same name and the same first tag; the place has the name too."""

    name: str = Field(index=True)
    city: str = Field(index="sorted")
    tags: list[str] = Field(default=[], index="members")
    place: dict[str, str] = {}

    class Meta:
        key = "inside_article"
        indexes = [Index("place__city")]


class InsideLine(QueryLine):
    """A line whose sides ask ormis for 100 objects by a field, and by what is inside of one."""

    unit = "us"

    def prepare(self) -> None:
        objects = self.place.sizes.objects
        self.names = max(1, objects // OF_A_TAG)
        if self.place.client.zcard("inside_article/ids") == objects:
            return
        self.place.clear()
        for first in range(0, objects, STORED_AT_ONCE):
            Article.objects.bulk_create(
                [self.article(number) for number in range(first, min(first + STORED_AT_ONCE, objects))]
            )

    def article(self, number: int) -> Article:
        """The article with this number."""
        name = f"name {number % self.names}"
        tags = [name, f"kind {number % 7}", f"year {number % 20}"]
        return Article(name=name, city=name, tags=tags, place={"city": name})

    def same(self, theirs: Any, ours: Any) -> bool:
        """Whether both sides find the same objects."""
        return theirs == ours


class Member(InsideLine):
    """Objects with a member in a list, by an index of members."""

    name = "inside-member"
    title = "100 objects by a member of a list / by a text field"
    target = Target(1.1)
    note = "both by ormis, with an index each"

    def ask_by_hand(self, number: int, /) -> Any:
        """By a field."""
        return [*Article.objects.filter(name=f"name {number % self.names}")]

    def ask(self, number: int, /) -> Any:
        """By a member."""
        return [*Article.objects.filter(tags__contains=f"name {number % self.names}")]


class Part(InsideLine):
    """Objects by a part of a field, by an index of that part."""

    name = "inside-part"
    title = "100 objects by a part of a field / by a text field"
    note = "both by ormis, with a sorted index each"

    def ask_by_hand(self, number: int, /) -> Any:
        """By a field."""
        return [*Article.objects.filter(city=f"name {number % self.names}")]

    def ask(self, number: int, /) -> Any:
        """By a part."""
        return [*Article.objects.filter(place__city=f"name {number % self.names}")]


LINES = (Member, Part)
