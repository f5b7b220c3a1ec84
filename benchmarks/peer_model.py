"""The gadgets of catalogue.py as redis-om has them. The only module that imports redis-om."""

import time
from datetime import datetime
from typing import Any

import redis
from redis_om import Field, HashModel, Migrator

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


def fill(place: Place) -> None:
    """Stores the gadgets, unless they are there already, and waits until they are indexed."""
    database: Any = redis.Redis.from_url(place.url, decode_responses=True)
    Gadget._meta.database = database
    objects = place.sizes.objects
    Migrator().run()
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
