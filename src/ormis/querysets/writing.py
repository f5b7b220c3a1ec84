"""Writing methods of querysets and managers.

Each has an async twin with an `a` in front, which runs the same operation.
"""

# What is private here is so to the package.
# pyright: reportPrivateUsage=false

import builtins
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Generic, TypeVar

from ..calls import Origin
from ..operations.reading.source import Source
from ..operations.writing import bulk
from ..operations.writing import get_or_create as getting
from ..operations.writing import save as saving
from ..operations.writing import update as changes
from ..schema.options import milliseconds

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
        record._assign(Origin(source.db))
        source._run(saving.save(record, force_insert=True))
        return record

    async def acreate(self, **values: Any) -> M:
        """As create()."""
        source = self._queryset()
        record = source.model(**values)
        record._assign(Origin(source.db, asynchronous=True))
        await source._arun(saving.save(record, force_insert=True))
        return record

    def get_or_create(self, defaults: Mapping[str, Any] | None = None, **lookups: Any) -> tuple[M, bool]:
        """The one object that meets the lookups, or a new one of these values and the defaults; and whether it is new.

        One call, however many clients do the same: one of them makes the object. Values of `defaults` may be callables;
        they are called only where an object is made (then a call before that looks whether it is there).

        Raises MultipleObjectsReturned, and what create() raises.
        """
        source = self._queryset()
        return source._run(getting.get_or_create(source, defaults, lookups, False))

    async def aget_or_create(self, defaults: Mapping[str, Any] | None = None, **lookups: Any) -> tuple[M, bool]:
        """As get_or_create()."""
        source = self._queryset()
        return await source._arun(getting.get_or_create(source, defaults, lookups, True))

    def update_or_create(
        self,
        defaults: Mapping[str, Any] | None = None,
        create_defaults: Mapping[str, Any] | None = None,
        **lookups: Any,
    ) -> tuple[M, bool]:
        """The one object that meets the lookups, with `defaults` written to it, or a new one; and whether it is new.

        A new one has the values of the lookups and of `create_defaults`, or of `defaults` where these are not given.
        One call where it is new, two where it is changed; nobody comes in between.

        Raises MultipleObjectsReturned, and what create() and update() raise.
        """
        source = self._queryset()
        return source._run(getting.update_or_create(source, defaults, create_defaults, lookups, False))

    async def aupdate_or_create(
        self,
        defaults: Mapping[str, Any] | None = None,
        create_defaults: Mapping[str, Any] | None = None,
        **lookups: Any,
    ) -> tuple[M, bool]:
        """As update_or_create()."""
        source = self._queryset()
        return await source._arun(getting.update_or_create(source, defaults, create_defaults, lookups, True))

    def update(self, **values: Any) -> int:
        """Writes these values, which may be expressions, to every object; returns how many there were.

        One call for some hundred objects; more of them go in steps, each whole. Other clients' writes are never undone:
        what the server can't compute is written only where what it was computed from still holds.

        Raises FieldError, pydantic's ValidationError, UniqueViolation, ForeignKeyViolation; IntegrityError where an
        expression comes to null or to what does not fit.
        """
        source = self._queryset()
        return source._run(changes.update(source, values))

    async def aupdate(self, **values: Any) -> int:
        """As update()."""
        source = self._queryset()
        return await source._arun(changes.update(source, values))

    def expire(self, time: float | timedelta) -> int:
        """Lets every object live so long from now on, in seconds or as a timedelta; returns how many there were.

        In steps as update().
        """
        source = self._queryset()
        return source._run(changes.expire(source, milliseconds(time)))

    async def aexpire(self, time: float | timedelta) -> int:
        """As expire()."""
        source = self._queryset()
        return await source._arun(changes.expire(source, milliseconds(time)))

    def persist(self) -> int:
        """Lets every object live for ever; returns how many there were. In steps as update()."""
        source = self._queryset()
        return source._run(changes.expire(source, None))

    async def apersist(self) -> int:
        """As persist()."""
        source = self._queryset()
        return await source._arun(changes.expire(source, None))

    def bulk_create(
        self,
        objects: Iterable[M],
        *,
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Iterable[str] | None = None,
        unique_fields: Iterable[str] | None = None,
    ) -> builtins.list[M]:
        """Stores new objects, 1,000 in a call unless `batch_size` says otherwise; each call all or nothing.

        ignore_conflicts: leave out objects whose primary key or unique value is taken; they stay without a key.
        update_conflicts: write `update_fields` to the object that has the same values of `unique_fields` instead.

        Returns the objects, with their keys. Raises what save() raises, ValueError for options that do not go together.
        """
        source = self._queryset()
        records = bulk.checked(source, objects, "bulk_create")
        when = bulk.conflicts(source, ignore_conflicts, update_conflicts, update_fields, unique_fields)
        source._run(bulk.create(records, batch_size, when))
        return _adopted(source, records, False)

    async def abulk_create(
        self,
        objects: Iterable[M],
        *,
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Iterable[str] | None = None,
        unique_fields: Iterable[str] | None = None,
    ) -> builtins.list[M]:
        """As bulk_create()."""
        source = self._queryset()
        records = bulk.checked(source, objects, "bulk_create")
        when = bulk.conflicts(source, ignore_conflicts, update_conflicts, update_fields, unique_fields)
        await source._arun(bulk.create(records, batch_size, when))
        return _adopted(source, records, True)

    def bulk_update(self, objects: Iterable[M], fields: Iterable[str], *, batch_size: int | None = None) -> int:
        """Writes these fields of stored objects, 400 objects in a call unless `batch_size` says otherwise.

        Returns how many of them there were; those that were deleted meanwhile are left out. Raises what save() raises.
        """
        source = self._queryset()
        return source._run(bulk.bulk_update(source, objects, fields, batch_size))

    async def abulk_update(self, objects: Iterable[M], fields: Iterable[str], *, batch_size: int | None = None) -> int:
        """As bulk_update()."""
        source = self._queryset()
        return await source._arun(bulk.bulk_update(source, objects, fields, batch_size))


def _adopted(source: Source[Any], records: list[Any], asynchronous: bool) -> list[Any]:
    origin = Origin(source.db, asynchronous)
    for record in records:
        record._assign(origin)
    return records
