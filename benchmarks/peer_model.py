"""The gadgets of catalogue.py as redis-om has them. The only module that imports redis-om."""

import time
from datetime import datetime
from typing import Any

import redis
from redis.commands.search import reducers
from redis.commands.search.aggregation import AggregateRequest
from redis_om import Field, HashModel, Migrator

from . import sales
from .catalogue import values
from .place import Place, batches


class Gadget(HashModel, index=True):
    """As catalogue.Gadget; RediSearch needs no index of two fields for two conditions."""

    id: int
    name: str = Field(index=True)
    brand: str = Field(index=True)
    status: str = Field(index=True)
    price: int = Field(index=True, sortable=True)
    country: str = Field(index=True)
    weight: int
    added: datetime

    class Meta:
        model_key_prefix = "om"
        global_key_prefix = "peer"


class Sale(HashModel, index=True):
    """As sales.Sale, as far as groups need it. `again` and `total` are sortable: RediSearch has them in memory."""

    shop: str = Field(index=True)
    amount: int = Field(index=True)
    again: str = Field(index=True, sortable=True)
    total: int = Field(index=True, sortable=True)

    class Meta:
        model_key_prefix = "omsale"
        global_key_prefix = "peer"


def _migrate(place: Place) -> None:
    """Makes the indexes of all models in the database of the run."""
    database: Any = redis.Redis.from_url(place.url, decode_responses=True)
    Gadget._meta.database = Sale._meta.database = database
    Migrator().run()


def fill(place: Place) -> None:
    """Stores the gadgets, unless they are there already, and waits until they are indexed."""
    objects = place.sizes.objects
    _migrate(place)
    if Gadget.find().count() == objects:
        return
    for numbers in batches(range(1, objects + 1)):
        Gadget.add([Gadget(pk=str(number), id=number, **values(number, objects)) for number in numbers])
    while Gadget.find().count() < objects:
        time.sleep(0.05)


def texts(gadget: Gadget) -> dict[bytes, bytes]:
    """As querying.texts()."""
    shown = gadget.model_dump(exclude={"pk"}) | {
        "added": gadget.added.replace(tzinfo=None).isoformat(timespec="microseconds")
    }
    return {name.encode(): str(value).encode() for name, value in shown.items()}


def fill_sales(place: Place) -> None:
    """As fill()."""
    objects = place.sizes.objects
    _migrate(place)
    if Sale.find().count() == objects:
        return
    for numbers in batches(range(1, objects + 1)):
        Sale.add([_sale(number) for number in numbers])
    while Sale.find().count() < objects:
        time.sleep(0.05)


def _sale(number: int) -> Sale:
    own = sales.values(number)
    return Sale(pk=str(number), shop=own["shop"], amount=own["amount"], again=own["shop"], total=own["amount"])


def by_shops(shop: str, amount: str) -> dict[str, tuple[int, int]]:
    """Number and sum of each shop, by FT.AGGREGATE: redis-om itself has no groups."""
    request = AggregateRequest("*").group_by(
        f"@{shop}", reducers.count().alias("n"), reducers.sum(f"@{amount}").alias("sum")
    )
    found = Sale.db().ft(Sale.Meta.index_name).aggregate(request)
    rows = (dict(zip(row[::2], row[1::2], strict=True)) for row in found.rows)
    return {row[shop]: (int(row["n"]), int(row["sum"])) for row in rows}
