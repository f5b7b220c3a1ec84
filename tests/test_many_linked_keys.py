"""Conditions across links that more linked objects meet than one call takes the keys of."""

import pytest

import ormis
from ormis import Limits, ManyToMany, Q


class Book(ormis.Model):
    title: str

    class Meta:
        key = "manylinked_book"


class Tag(ormis.Model):
    label: str
    books: ManyToMany[Book] = ManyToMany(related_name="tags")

    class Meta:
        key = "manylinked_tag"


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        (Q(tags__label__iregex="T"), {0, 1, 2, 3, 4}),
        (Q(tags__label__in=["t1", "t2", "t3"]), {0, 1, 2}),
        (Q(tags__in=[1, 2, 4]), {0, 1, 2}),
        (~Q(tags__label__in=["t2", "t3", "t4"]), {4, 5}),
        (Q(tags__label__in=["t3", "t4", "t5"]) | Q(title__iexact="B5"), {0, 1, 2, 3, 4, 5}),
        (Q(tags__label__in=["t1", "t2", "t3", "none"]) & Q(title__iregex="B[12]"), {1, 2}),
    ],
)
def test_more_keys_than_a_call_takes(db: ormis.Database, condition: Q, found: set[int]) -> None:
    """A condition across links is asked in portions of the keys of the linked objects."""
    db.limits = Limits(values=2)
    books = [Book(title=f"b{number}").save() for number in range(6)]
    for number in range(6):
        Tag(label=f"t{number}").save().books.add(*books[:number])
    assert {int(book.title[1:]) for book in Book.objects.filter(condition)} == found
    assert Book.objects.filter(condition).count() == len(found)
