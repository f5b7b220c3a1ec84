from datetime import datetime
from typing import Any

import popoto
import redis
from popoto.redis_db import set_REDIS_DB_settings

from ..rows import Row
from . import Peer


class Merchandise(popoto.Model):
    pk = popoto.AutoKeyField()
    name = popoto.IndexedField(type=str)
    status = popoto.IndexedField(type=str)
    price = popoto.SortedField(type=int)
    weight = popoto.Field(type=int)
    added = popoto.Field(type=datetime)


class Popoto(Peer):
    name = "popoto"
    package = "popoto"

    def __init__(self, home: Any) -> None:
        set_REDIS_DB_settings(connection_pool=redis.ConnectionPool.from_url(home.url))

    def save(self, row: Row) -> Merchandise:
        return Merchandise.create(**row._asdict())

    def get(self, key: str) -> Any:
        return Merchandise.query.get(pk=key)

    def bulk_create(self, rows: list[Row]) -> list[Merchandise]:
        return Merchandise.bulk_create([Merchandise(**row._asdict()) for row in rows])

    def equal(self, name: str) -> list[Merchandise]:
        return list(Merchandise.query.filter(name=name))

    def page(self, status: str, low: int, limit: int) -> list[Merchandise]:
        return list(Merchandise.query.filter(status=status, price__gte=low, order_by="price", limit=limit))

    def count(self, low: int) -> int:
        return Merchandise.query.count(price__gte=low)

    def update(self, item: Merchandise, price: int) -> None:
        item.price = price
        item.save()

    def delete(self, item: Merchandise) -> None:
        item.delete()
