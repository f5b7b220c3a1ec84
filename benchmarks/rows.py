"""What the comparison of peers stores, and what its queries have to find, computed in Python by the same formulas."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

START = datetime(2026, 1, 1, 12, 0, 0, 250_000)
STATUSES = ("offered", "reserved", "sold")
PRICES = 1_000_003
"""A prime above every number, so that no two rows have the same price."""
OF_A_NAME = 100
LIMIT = 10


class Row(NamedTuple):
    """One object without its key. Name, status and price are indexed."""

    name: str
    status: str
    price: int
    weight: int
    added: datetime


def row(number: int) -> Row:
    """The row with this number, from 0."""
    return Row(
        name=f"name {number // OF_A_NAME}",
        status=STATUSES[number % 3],
        price=number * 7919 % PRICES,
        weight=number * 31 % 1000,
        added=START + timedelta(minutes=number),
    )


def rows(first: int, end: int) -> list[Row]:
    """The rows from a number up to another one."""
    return [row(number) for number in range(first, end)]


def equal(size: int, name: str) -> list[Row]:
    """The rows of a name, among `size` rows, in order of their numbers."""
    first = int(name.split()[1]) * OF_A_NAME
    return rows(first, min(first + OF_A_NAME, size))


def page(size: int, status: str, low: int) -> list[Row]:
    """The LIMIT rows of a status with the lowest prices from `low` on."""
    of_status = range(STATUSES.index(status), size, 3)
    prices = sorted((price, number) for number in of_status if (price := number * 7919 % PRICES) >= low)
    return [row(number) for _, number in prices[:LIMIT]]


def count(size: int, low: int) -> int:
    """How many rows have at least this price."""
    return sum(number * 7919 % PRICES >= low for number in range(size))


def lows() -> Iterator[int]:
    """Lower bounds of prices: a tenth of their range, two tenths and so on, again and again."""
    while True:
        yield from (PRICES * tenths // 10 for tenths in range(1, 9))
