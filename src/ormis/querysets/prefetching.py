"""prefetch_related() for objects that are loaded already."""

from collections.abc import Iterable
from typing import Any

from ..calls import Origin
from ..operations.reading.prefetch import Prefetch, prefetch
from ..records.state import state_of


def prefetch_related_objects(objects: Iterable[Any], *lookups: str | Prefetch) -> None:
    """Loads the related objects of these objects of one model, as prefetch_related() does: one call per level.

    objects: from whichever query, saved; those whose related objects are loaded already are left as they are.
    lookups: names of relations, or `Prefetch` objects.

    Raises FieldError for a name that is no relation.

        prefetch_related_objects([question, other], "choices__tags")
    """
    records = [*objects]
    if records:
        database = _database_of(records[0])
        database.read(prefetch(records, lookups, Origin(database)))


async def aprefetch_related_objects(objects: Iterable[Any], *lookups: str | Prefetch) -> None:
    """As prefetch_related_objects()."""
    records = [*objects]
    if records:
        database = _database_of(records[0])
        await database.aread(prefetch(records, lookups, Origin(database, asynchronous=True)))


def _database_of(record: Any) -> Any:
    return record._database_for(state_of(record).database)
