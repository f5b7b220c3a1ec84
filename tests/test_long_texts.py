"""Long stored texts: the scripts take time linear in their length. Quadratic time would hold the server for minutes."""

from decimal import Decimal

import pytest
import redis

import ormis
from ormis import F, Field


class Note(ormis.Model):
    text: str = Field(index="sorted")
    price: Decimal = Decimal(0)
    limit: Decimal = Field(default=Decimal(0), index=True)

    class Meta:
        key = "long_note"


LENGTH = 100_000


@pytest.fixture
def notes(db: ormis.Database) -> list[str]:
    """Fifty notes with texts of equal beginnings, in their order."""
    texts = ["a" * LENGTH + f"{number:02}" for number in range(50)]
    Note.objects.bulk_create([Note(text=text) for text in reversed(texts)])
    return texts


def test_orders_and_ranges_of_long_texts(notes: list[str], db: ormis.Database) -> None:
    """An index on text serves orders, ranges, prefixes and pages; check() finds it right."""
    assert [note.text for note in Note.objects.order_by("text")] == notes
    assert [note.text for note in Note.objects.order_by("-text")[:3]] == notes[:-4:-1]
    assert Note.objects.filter(text__startswith="aaa").count() == 50
    assert [note.text for note in Note.objects.filter(text__gt=notes[40]).order_by("text")] == notes[41:]
    assert ormis.check(db, models=[Note]).ok


@pytest.mark.parametrize("text", ["1" * LENGTH + "x", "1" * LENGTH + "." + "1" * LENGTH + "e", "9" * LENGTH + "e9x"])
def test_long_texts_that_are_no_numbers(db: ormis.Database, raw: redis.Redis, text: str) -> None:
    """Another program stored them: arithmetic and comparisons on the server name the key, or pass over the object."""
    first, second = Note(text="a", limit=Decimal("1.5")).save(), Note(text="b").save()
    raw.hset(second.key, mapping={"price": text, "limit": text})
    with pytest.raises(ormis.StoredDataError, match=second.key):
        Note.objects.filter(pk=second.pk).update(price=F("price") + 1)
    assert [note.pk for note in Note.objects.filter(limit__gt=1).order_by("limit")] == [first.pk]
    assert not ormis.check(db, models=[Note]).ok


def test_long_decimals_in_order(db: ormis.Database) -> None:
    """Decimals whose scores are equal are compared by their digits."""
    digits = "1" * 4000
    values = [Decimal(f"{digits}.{last}") for last in (1, 2, 3)]
    Note.objects.bulk_create([Note(text="a", limit=value) for value in reversed(values)])
    assert [note.limit for note in Note.objects.order_by("limit")] == values
    assert Note.objects.filter(limit__gt=values[0]).count() == 2
