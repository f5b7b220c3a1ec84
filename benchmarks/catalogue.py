"""What the lines about queries look at: many gadgets, stored once and then only read."""

from datetime import datetime, timedelta
from typing import Any

import ormis
from ormis import Field, Index

from .place import Place

START = datetime(2026, 1, 1, 12, 0, 0, 250_000)
STATUSES = ("offered", "reserved", "sold")
COUNTRIES = ("AR", "CZ", "EE", "FJ", "KE", "NZ", "PT")
PRICES = 100_003
OF_A_NAME = 100
OF_A_BRAND = 500


class Gadget(ormis.Model):
    """100 have the same name, 500 the same brand, a third the same status. No index helps with the weight."""

    name: str = Field(index=True)
    brand: str = Field(index=True)
    status: str = Field(index=True)
    price: int = Field(index=True)
    country: str
    weight: int
    added: datetime

    class Meta:
        indexes = [Index("country", "price")]


def values(number: int, objects: int) -> dict[str, Any]:
    """The fields of the gadget with this number, among so many."""
    return {
        "name": f"name {number % names(objects)}",
        "brand": f"brand {number % brands(objects)}",
        "status": STATUSES[number % 3],
        "price": number * 7919 % PRICES,
        "country": COUNTRIES[number % 7],
        "weight": number * 31 % 1000,
        "added": START + timedelta(minutes=number),
    }


def names(objects: int) -> int:
    """How many names there are."""
    return max(1, objects // OF_A_NAME)


def brands(objects: int) -> int:
    """How many brands there are."""
    return max(1, objects // OF_A_BRAND)


def fill(place: Place) -> None:
    """Stores the gadgets, unless they are there already."""
    objects = place.sizes.objects
    if place.client.zcard("gadget/ids") == objects:
        return
    place.clear()
    for first in range(1, objects + 1, 10_000):
        numbers = range(first, min(first + 10_000, objects + 1))
        Gadget.objects.bulk_create([Gadget(**values(number, objects)) for number in numbers])
