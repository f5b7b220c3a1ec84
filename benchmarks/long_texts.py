"""Long texts: rows of any length, and what a look-up by a prefix costs in the length of the texts."""

from typing import Any

import ormis
from ormis import Field

from .harness import Line, Target, Work
from .place import Place

LENGTH, SHORT, OF_A_PREFIX = 100_000, 1_000, 100


class Article(ormis.Model):
    """Has a text of any length."""

    body: str


class Phrase(ormis.Model):
    """Is looked up by the beginning of its text."""

    text: str = Field(index="sorted")


def fill_articles(place: Place) -> None:
    """Stores a tenth as many articles as rows are written elsewhere, unless they are there already."""
    objects = max(1, place.sizes.rows // 10)
    if place.client.zcard("article/ids") == objects:
        return
    place.clear()
    for first in range(0, objects, 100):
        Article.objects.bulk_create([Article(body="a" * LENGTH) for _ in range(min(100, objects - first))])


class PrefixLong(Line):
    """100 rows by a prefix: texts of 4,000 characters beside those of 1,000, four times the bytes."""

    name = "prefix-long"
    title = "startswith, 100 rows of 4,000 characters / of 1,000 characters"
    target = Target(6)
    note = "both sides are ormis: linear in the length is 4, quadratic 16"

    def fill(self) -> None:
        for mark, length in (("s", SHORT), ("l", 4 * SHORT)):
            texts = [f"{mark}{number:03}" + "a" * length for number in range(OF_A_PREFIX)]
            Phrase.objects.bulk_create([Phrase(text=text) for text in texts])

    def _found(self, mark: str) -> list[Any]:
        return list(Phrase.objects.filter(text__startswith=mark))

    def _asking(self, mark: str) -> Work:
        def work() -> None:
            for _ in range(self.operations):
                self._found(mark)

        return work

    def hand(self) -> Work:
        return self._asking("s")

    def ormis(self) -> Work:
        return self._asking("l")

    def check(self) -> None:
        assert len(self._found("s")) == len(self._found("l")) == OF_A_PREFIX


LINES: list[type[Line]] = [PrefixLong]
