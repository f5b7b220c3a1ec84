"""The model of all lines: seven fields, of which two have an equality index and one a sorted index."""

from datetime import datetime, timedelta
from typing import Any

import ormis
from ormis import Field

START = datetime(2026, 1, 1, 12, 0, 0, 250_000)
STATUSES = ("active", "away", "banned")


class Player(ormis.Model):
    """What the ormis side stores under `player:…`, and the other side under `byhand:…`."""

    name: str = Field(index=True)
    status: str = Field(index=True)
    score: int = Field(default=0, index=True)
    email: str
    level: int
    joined: datetime


def values(number: int) -> dict[str, Any]:
    """The fields of the object with this number, as Python values: both sides start from them."""
    return {
        "name": f"name {number % 1000}",
        "status": STATUSES[number % 3],
        "score": number * 7919 % 100_003,
        "email": f"player{number}@example.org",
        "level": number % 60,
        "joined": START + timedelta(minutes=number),
    }
