from asyncio import Runner
from datetime import datetime
from typing import Any

import rapyer
from rapyer import AtomicRedisModel
from rapyer.fields import Index

from ..rows import Row
from . import Peer


class Merchandise(AtomicRedisModel):
    name: Index[str]
    status: Index[str]
    price: Index[int]
    weight: int
    added: datetime


class Rapyer(Peer):
    """It is async only. It has no order, so no page, and no count."""

    name = "rapyer"
    package = "rapyer"
    search = True
    note = "async only; without `max_results` a query returns ten objects"

    def __init__(self, home: Any) -> None:
        self.runner = Runner()
        self.runner.run(rapyer.init_rapyer(home.url))

    def close(self) -> None:
        self.runner.run(rapyer.teardown_rapyer())
        self.runner.close()

    def key(self, stored: Merchandise) -> str:
        return stored.key

    def row(self, stored: Merchandise) -> Row:
        return Row(**{name: value for name, value in stored.model_dump().items() if name in Row._fields})

    async def save(self, row: Row) -> Merchandise:
        return await Merchandise(**row._asdict()).asave()

    async def get(self, key: str) -> Merchandise:
        return await Merchandise.aget(key)

    async def bulk_create(self, rows: list[Row]) -> Any:
        return await Merchandise.ainsert(*(Merchandise(**row._asdict()) for row in rows))

    async def equal(self, name: str) -> list[Merchandise]:
        return await Merchandise.afind(Merchandise.name == name, max_results=10_000)

    async def update(self, item: Merchandise, price: int) -> None:
        await item.aupdate(price=price)

    async def delete(self, item: Merchandise) -> None:
        await item.adelete()
