"""Expressions and the constraints of fields: a value that a field does not allow is not written, by any method."""

import math
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from pydantic import NonNegativeInt

import ormis
from ormis import F, Field

pytestmark = pytest.mark.usefixtures("checked")


class Stock(ormis.Model):
    """Fields with constraints: those that the server checks, of every kind of number, and those that only Python
    checks.
    """

    pieces: int = Field(default=0, ge=0, lt=100)
    price: Decimal = Field(default=Decimal(1), gt=Decimal("0.50"))
    weight: float | None = Field(default=1.0, le=2.5)
    boxes: int = Field(default=0, multiple_of=2)
    spare: NonNegativeInt | None = 0
    free: int = 0

    class Meta:
        key = "update_stock"


def test_a_sum_is_held_to_the_bounds_of_its_field(db: ormis.Database) -> None:
    """An expression whose result the field does not allow is refused and changes nothing, for one object or many."""
    Stock.objects.bulk_create([Stock(pieces=3), Stock(pieces=9)])
    with pytest.raises(ormis.IntegrityError, match=r"Stock.pieces=-2 does not fit"):
        Stock.objects.update(pieces=F("pieces") - 5)
    assert list(Stock.objects.values_list("pieces", flat=True)) == [3, 9]
    assert Stock.objects.filter(pieces__gt=5).update(pieces=F("pieces") - 5) == 1
    assert list(Stock.objects.values_list("pieces", flat=True)) == [3, 4]


FITTING: list[tuple[str, Any, Any]] = [
    ("pieces", F("pieces") - 3, 0),
    ("pieces", F("pieces") + 96, 99),
    ("price", F("price") - Decimal("0.49"), Decimal("0.51")),
    ("weight", F("weight") + 1.5, 2.5),
    ("weight", F("weight") / -0.5, -2.0),
    ("boxes", F("boxes") + 4, 4),
    ("spare", F("pieces") - F("free"), 3),
]
OUTSIDE: list[tuple[str, Any, Any]] = [
    ("pieces", F("pieces") - 4, -1),
    ("pieces", F("pieces") + 97, 100),
    ("pieces", F("pieces") // -2, -2),
    ("price", F("price") - Decimal("0.50"), Decimal("0.50")),
    ("weight", F("weight") * 2.6, 2.6),
    ("weight", F("weight") * math.inf, math.inf),
    ("boxes", F("boxes") + 3, 3),
    ("spare", F("spare") - 1, -1),
]


def _saved(stock: Stock) -> None:
    stock.save()


def _saved_unchanged(stock: Stock) -> None:
    stock.save(if_unchanged=True)


def _saved_in_a_block(stock: Stock) -> None:
    with ormis.atomic():
        stock.save()


def _bulk_updated(stock: Stock) -> None:
    assert Stock.objects.bulk_update([stock], list(Stock.model_fields)[1:]) == 1


WAYS = [_saved, _saved_unchanged, _saved_in_a_block, _bulk_updated]


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("write", WAYS)
@pytest.mark.parametrize(("field", "change", "expected"), FITTING)
def test_saved_sums_within_the_bounds(write: Callable[[Stock], None], field: str, change: Any, expected: Any) -> None:
    """save() and bulk_update() store allowed values, the bounds included."""
    stock = Stock(pieces=3).save()
    setattr(stock, field, change)
    write(stock)
    assert getattr(stock, field) == getattr(Stock.get(1), field) == expected


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("write", WAYS)
@pytest.mark.parametrize(("field", "change", "result"), OUTSIDE)
def test_saved_sums_out_of_bounds(write: Callable[[Stock], None], field: str, change: Any, result: Any) -> None:
    """They raise for a result out of bounds, name the field, and write nothing, the other fields included."""
    stock = Stock(pieces=3).save()
    stock.free = 7
    setattr(stock, field, change)
    with pytest.raises(ormis.IntegrityError, match=re.escape(f"Stock.{field}={result!r} does not fit")) as refusal:
        write(stock)
    assert (refusal.value.model, refusal.value.field, refusal.value.value) == ("Stock", field, result)
    assert Stock.get(1).model_dump() == Stock(id=1, pieces=3).model_dump()


def test_a_batch_with_one_sum_out_of_bounds(db: ormis.Database) -> None:
    """bulk_update() and a block then write nothing of the other objects; earlier writes of a block are taken into
    account.
    """
    stocks = Stock.objects.bulk_create([Stock(pieces=n) for n in (9, 5, 7)])
    for stock in stocks:
        stock.pieces = F("pieces") - 6
    with pytest.raises(ormis.IntegrityError, match=r"Stock.pieces=-1 does not fit"):
        Stock.objects.bulk_update(stocks, ["pieces"])
    first = Stock.get(1)
    for change in (F("pieces") - 6, (F("pieces") - 5) - 1):
        with pytest.raises(ormis.IntegrityError, match=r"Stock.pieces=-3 does not fit"), ormis.atomic():
            Stock(pieces=1).save()
            first.pieces = change
            first.save()
            first.pieces = change
            first.save()
    assert list(Stock.objects.values_list("pieces", flat=True)) == [9, 5, 7]
    with ormis.atomic():
        first.free = (F("free") + 2) - 1
        first.save()
        second = Stock.get(2)
        second.pieces = 8
        second.save()
        second.pieces = F("pieces") - 6
        second.save()
    assert second.pieces == Stock.get(2).pieces == 2


def test_many_take_from_one_object(db: ormis.Database) -> None:
    """Concurrent decrements stop exactly at the lower bound, and none above it is refused."""
    Stock(pieces=50, boxes=50).save()

    def take(field: str) -> bool:
        stock = Stock.get(1)
        setattr(stock, field, F(field) - (1 if field == "pieces" else 2))
        try:
            stock.save()
        except ormis.IntegrityError:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(take, ["pieces"] * 70)) == 50
        assert sum(pool.map(take, ["boxes"] * 20)) == 20
    assert (Stock.get(1).pieces, Stock.get(1).boxes) == (0, 10)


def test_update_or_create_minds_bounds(db: ormis.Database) -> None:
    """update_or_create() checks bounds as save() does."""
    Stock(pieces=3, free=1).save()
    with pytest.raises(ormis.IntegrityError, match=r"Stock.pieces=-2 does not fit"):
        Stock.objects.update_or_create({"pieces": F("pieces") - 5}, free=1)
    assert Stock.objects.update_or_create({"pieces": F("pieces") - 1}, free=1)[0].pieces == 2


def test_calls_of_saved_sums(db: ormis.Database) -> None:
    """Within plain bounds the server computes in one call; a result that Python computes takes one more, for any number
    of objects.
    """
    stock = Stock(pieces=3).save()
    for change, expected in (({"pieces": F("pieces") - 1}, 1), ({"boxes": F("boxes") + 2}, 2)):
        with ormis.capture_calls() as calls:
            for name, value in change.items():
                setattr(stock, name, value)
            stock.save()
        assert len(calls) == expected
    stocks = Stock.objects.bulk_create([Stock(boxes=2 * n) for n in range(50)])
    for stock in stocks:
        stock.boxes = F("boxes") / 2 * 4
    with ormis.capture_calls() as calls:
        assert Stock.objects.bulk_update(stocks, ["boxes"]) == 50
    assert len(calls) == 2
    assert [stock.boxes for stock in stocks] == [4 * n for n in range(50)]


def test_sums_of_python_on_one_object_in_a_block(db: ormis.Database) -> None:
    """Each expression is computed from the results of those before it, also on an object that the block creates."""
    with ormis.atomic():
        stock = Stock(weight=2.0, free=1).save()
        for _ in range(120):
            stock.free = (F("free") + 2) - 1
            stock.save()
        stock.weight = F("weight") / 8
        stock.save()
        Stock.objects.bulk_create([Stock(free=5)])
    assert (stock.free, stock.weight) == (121, 0.25)
    assert Stock.get(1) == stock
