from typing import Any

import redis
import rom
from rom import util

from ..rows import Row
from . import Peer


class Merchandise(rom.Model):
    name = rom.Text(index=True, keygen=rom.IDENTITY)
    status = rom.Text(index=True, keygen=rom.IDENTITY)
    price = rom.Integer(index=True)
    weight = rom.Integer()
    added = rom.DateTime()


class Rom(Peer):
    """It has no way to create many at once."""

    name = "rom"
    package = "rom"
    note = "its session, which would answer `get` from memory, is off"

    def __init__(self, home: Any) -> None:
        util.CONNECTION = redis.Redis.from_url(home.url)
        util.use_null_session()

    def key(self, stored: Merchandise) -> int:
        return stored.id

    def save(self, row: Row) -> Merchandise:
        item = Merchandise(**row._asdict())
        item.save()
        return item

    def get(self, key: int) -> Any:
        return Merchandise.get(key)

    def equal(self, name: str) -> Any:
        return Merchandise.query.filter(name=name).all()

    def page(self, status: str, low: int, limit: int) -> Any:
        return Merchandise.query.filter(status=status, price=(low, None)).order_by("price").limit(0, limit).all()

    def count(self, low: int) -> Any:
        return Merchandise.query.filter(price=(low, None)).count()

    def update(self, item: Merchandise, price: int) -> None:
        item.price = price
        item.save()

    def delete(self, item: Merchandise) -> None:
        item.delete()
