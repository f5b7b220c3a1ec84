from datetime import datetime
from typing import Any

import redis
from redis_om import Field, HashModel, Migrator

from ..rows import Row
from . import Peer


class Merchandise(HashModel, index=True):
    name: str = Field(index=True)
    status: str = Field(index=True)
    price: int = Field(index=True, sortable=True)
    weight: int
    added: datetime

    class Meta:
        model_key_prefix = "item"


class RedisOm(Peer):
    name = "redis-om"
    package = "redis-om"
    search = True

    def __init__(self, home: Any) -> None:
        Merchandise._meta.database = redis.Redis.from_url(home.url, decode_responses=True)
        Migrator().run()

    def close(self) -> None:
        Merchandise.db().close()

    def row(self, stored: Merchandise) -> Row:
        return super().row(stored)._replace(added=stored.added.replace(tzinfo=None))  # always comes back as UTC

    def save(self, row: Row) -> Merchandise:
        return Merchandise(**row._asdict()).save()

    def get(self, key: str) -> Merchandise:
        return Merchandise.get(key)

    def bulk_create(self, rows: list[Row]) -> Any:
        return Merchandise.add([Merchandise(**row._asdict()) for row in rows])

    def equal(self, name: str) -> list[Merchandise]:
        return Merchandise.find(Merchandise.name == name).all()

    def page(self, status: str, low: int, limit: int) -> list[Merchandise]:
        found = Merchandise.find((Merchandise.status == status) & (Merchandise.price >= low))
        return found.sort_by("price").page(0, limit)

    def count(self, low: int) -> int:
        return Merchandise.find(Merchandise.price >= low).count()

    def update(self, item: Merchandise, price: int) -> None:
        item.update(price=price)

    def delete(self, item: Merchandise) -> None:
        Merchandise.delete(item.pk)
