"""Writing methods of querysets and managers.

Each has an async twin with an `a` in front, which runs the same operation.
"""

# What is private here is so to the package.
# pyright: reportPrivateUsage=false

import builtins
from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from ..errors import FieldError
from ..operations import bulk, saving
from .source import Source

M = TypeVar("M")


class Writing(Generic[M]):
    """What can be written through querysets and managers."""

    def _queryset(self) -> Source[Any]:
        raise NotImplementedError

    def create(self, **values: Any) -> M:
        """Makes an object and stores it. One call.

        Raises pydantic's ValidationError, UniqueViolation (also where its primary key is taken), ForeignKeyViolation.
        """
        source = self._queryset()
        record = source.model(**values)
        record._place(source.db, False)
        source._run(saving.save(record, force_insert=True))
        return record

    async def acreate(self, **values: Any) -> M:
        """As create()."""
        source = self._queryset()
        record = source.model(**values)
        record._place(source.db, True)
        await source._arun(saving.save(record, force_insert=True))
        return record

    def bulk_create(self, objects: Iterable[M], *, batch_size: int | None = None) -> builtins.list[M]:
        """Stores new objects, 1,000 in a call unless `batch_size` says otherwise; each call all or nothing.

        Returns the objects, with their keys. Raises what save() raises.
        """
        source = self._queryset()
        records = _checked(source, objects)
        source._run(bulk.create(records, batch_size))
        return _adopted(source, records, False)

    async def abulk_create(self, objects: Iterable[M], *, batch_size: int | None = None) -> builtins.list[M]:
        """As bulk_create()."""
        source = self._queryset()
        records = _checked(source, objects)
        await source._arun(bulk.create(records, batch_size))
        return _adopted(source, records, True)


def _checked(source: Source[Any], objects: Iterable[Any]) -> list[Any]:
    records = [*objects]
    for record in records:
        if not isinstance(record, source.model):
            raise FieldError(f"{record!r} is no {source.model.__name__}: bulk_create() takes objects of the model")
    return records


def _adopted(source: Source[Any], records: list[Any], asynchronous: bool) -> list[Any]:
    database = source.db
    for record in records:
        record._place(database, asynchronous)
    return records
