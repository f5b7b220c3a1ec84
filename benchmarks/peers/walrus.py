from itertools import islice
from typing import Any

import walrus

from ..rows import Row
from . import Peer

database = walrus.Database.from_url("redis://")  # connects with the first command


class Merchandise(walrus.Model):
    __database__ = database

    pk = walrus.AutoIncrementField()
    name = walrus.TextField(index=True)
    status = walrus.TextField(index=True)
    price = walrus.IntegerField(index=True)
    weight = walrus.IntegerField()
    added = walrus.DateTimeField()


class Walrus(Peer):
    """It has no way to create many at once, and none to count what meets a condition."""

    name = "walrus"
    package = "walrus"

    def __init__(self, home: Any) -> None:
        database.connection_pool = walrus.Database.from_url(home.url).connection_pool

    def save(self, row: Row) -> Merchandise:
        return Merchandise.create(**row._asdict())

    def get(self, key: int) -> Merchandise:
        return Merchandise.load(key)

    def equal(self, name: str) -> list[Merchandise]:
        return list(Merchandise.query(Merchandise.name == name))

    def page(self, status: str, low: int, limit: int) -> list[Merchandise]:
        condition = (Merchandise.status == status) & (Merchandise.price >= low)
        return list(islice(Merchandise.query(condition, order_by=Merchandise.price), limit))

    def update(self, item: Merchandise, price: int) -> None:
        item.price = price
        item.save()

    def delete(self, item: Merchandise) -> None:
        item.delete()
