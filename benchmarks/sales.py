"""What the lines about computing look at: many sales of 1,000 shops, stored once and then only read."""

from typing import Any

import ormis
from ormis import Field

from .place import Place

SHOPS = 1000
PRICES = 100_003


class Sale(ormis.Model):
    """200 are of the same shop. Sorted indexes help with the price and the rating, none with the other fields."""

    shop: str
    price: int = Field(index=True)
    rating: float = Field(index=True)
    amount: int
    weight: float


def values(number: int) -> dict[str, Any]:
    """The fields of the sale with this number."""
    return {
        "shop": f"shop {number * 7 % SHOPS}",
        "price": number * 7919 % PRICES,
        "rating": number * 104_729 % 1_000_003 / 1000,
        "amount": number * 31 % 1000,
        "weight": number * 15_485_863 % 1_000_003 / 7,
    }


def fill(place: Place) -> None:
    """Stores the sales, unless they are there already."""
    objects = place.sizes.objects
    if place.client.zcard("sale/ids") == objects:
        return
    place.clear()
    for first in range(1, objects + 1, 10_000):
        numbers = range(first, min(first + 10_000, objects + 1))
        Sale.objects.bulk_create([Sale(**values(number)) for number in numbers])
