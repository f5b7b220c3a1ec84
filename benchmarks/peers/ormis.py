from datetime import datetime
from typing import Any

import ormis
from ormis import Field

from ..rows import Row
from . import Peer


class Merchandise(ormis.Model):
    name: str = Field(index=True)
    status: str = Field(index=True)
    price: int = Field(index=True)
    weight: int
    added: datetime


class Ormis(Peer):
    name = "ormis"
    package = "ormis"

    def __init__(self, home: Any) -> None:
        self.database = ormis.connect(home.url)

    def close(self) -> None:
        self.database.close()

    def save(self, row: Row) -> Merchandise:
        return Merchandise.objects.create(**row._asdict())

    def get(self, key: int) -> Merchandise:
        return Merchandise.get(key)

    def bulk_create(self, rows: list[Row]) -> list[Merchandise]:
        return Merchandise.objects.bulk_create([Merchandise(**row._asdict()) for row in rows])

    def equal(self, name: str) -> list[Merchandise]:
        return list(Merchandise.objects.filter(name=name))

    def page(self, status: str, low: int, limit: int) -> list[Merchandise]:
        return list(Merchandise.objects.filter(status=status, price__gte=low).order_by("price")[:limit])

    def count(self, low: int) -> int:
        return Merchandise.objects.filter(price__gte=low).count()

    def update(self, item: Merchandise, price: int) -> None:
        item.price = price
        item.save()

    def delete(self, item: Merchandise) -> None:
        item.delete()
