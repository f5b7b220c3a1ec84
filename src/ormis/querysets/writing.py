"""Writing methods of querysets and managers.

Each has an async twin with an `a` in front, which runs the same operation.
"""

# Private names of this module are private to the package.
# pyright: reportPrivateUsage=false

import builtins
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Generic, TypeVar

from ..calls import Origin
from ..operations.reading.source import Source
from ..operations.writing import bulk, expire
from ..operations.writing import claim as claiming
from ..operations.writing import get_or_create as getting
from ..operations.writing import save as saving
from ..operations.writing import update as updating
from ..schema.options import milliseconds

M = TypeVar("M")


class Writing(Generic[M]):
    """The writing methods of querysets and managers."""

    def _queryset(self) -> Source[Any]:
        raise NotImplementedError

    def create(self, **values: Any) -> M:
        """Makes an object and stores it. One call.

        Raises pydantic's ValidationError, UniqueViolation (also where its primary key is taken), ForeignKeyViolation.

            >>> Choice.objects.create(question=2, text="Cats").id
            4
        """
        source = self._queryset()
        record, origin = source.model(**values), Origin(source.db).of_result(source.query.fetch_mode)
        record._assign(origin)
        if source.model.__own_save__:
            record.save(force_insert=True, using=source.db)
        else:
            source._run(saving.save(record, force_insert=True, origin=origin, method="create"))
        return record

    async def acreate(self, **values: Any) -> M:
        """As create()."""
        source = self._queryset()
        record = source.model(**values)
        origin = Origin(source.db, asynchronous=True).of_result(source.query.fetch_mode)
        record._assign(origin)
        if source.model.__own_save__:
            await record.asave(force_insert=True, using=source.db)
        else:
            await source._arun(saving.save(record, force_insert=True, origin=origin, method="create"))
        return record

    def get_or_create(self, defaults: Mapping[str, Any] | None = None, **lookups: Any) -> tuple[M, bool]:
        """The one object that meets the lookups, or a new one of these values and the defaults; and whether it is new.

        One call, however many clients do the same: one of them makes the object. Values of `defaults` may be callables;
        they are called only where an object is made (then a call before that looks whether it is there).

        Raises MultipleObjectsReturned, and what create() raises.

            >>> question, created = Question.objects.get_or_create(text="Cats or dogs?", defaults={"votes": 1})
            >>> question.votes, created
            (5, False)
        """
        return self._queryset()._perform(getting.get_or_create, defaults, lookups)

    async def aget_or_create(self, defaults: Mapping[str, Any] | None = None, **lookups: Any) -> tuple[M, bool]:
        """As get_or_create()."""
        return await self._queryset()._aperform(getting.get_or_create, defaults, lookups)

    def update_or_create(
        self,
        defaults: Mapping[str, Any] | None = None,
        create_defaults: Mapping[str, Any] | None = None,
        **lookups: Any,
    ) -> tuple[M, bool]:
        """The one object that meets the lookups, with `defaults` written to it, or a new one; and whether it is new.

        A new one has the values of the lookups and of `create_defaults`, or of `defaults` where these are not given.
        One call if it is new, two if it is changed, atomically.

        Raises MultipleObjectsReturned, and what create() and update() raise.

            >>> question, created = Question.objects.update_or_create(text="Cats or dogs?", defaults={"votes": 1})
            >>> question.votes, created
            (1, False)
        """
        return self._queryset()._perform(getting.update_or_create, defaults, create_defaults, lookups)

    async def aupdate_or_create(
        self,
        defaults: Mapping[str, Any] | None = None,
        create_defaults: Mapping[str, Any] | None = None,
        **lookups: Any,
    ) -> tuple[M, bool]:
        """As update_or_create()."""
        return await self._queryset()._aperform(getting.update_or_create, defaults, create_defaults, lookups)

    def update(self, **values: Any) -> int:
        """Writes these values, which may be expressions, to every object; returns how many there were.

        One call for some hundred objects; more of them go in steps, each whole. Other clients' writes are never undone:
        a value that the server can't compute is written on condition that its operands have not changed.

        Raises FieldError, pydantic's ValidationError, UniqueViolation, ForeignKeyViolation; IntegrityError where an
        expression comes to null or to what does not fit.

            >>> Choice.objects.filter(question=1).update(votes=F("votes") + 10)
            2
        """
        return self._queryset()._perform(updating.update, values)

    async def aupdate(self, **values: Any) -> int:
        """As update()."""
        return await self._queryset()._aperform(updating.update, values)

    def claim(self, number: int, /, **values: Any) -> builtins.list[M]:
        """Writes these values, which may be expressions, to the first `number` objects in the queryset's order.

        Returns the changed objects, in order; fewer if there are no more. Finding and changing are one step on the
        server: no two callers are given the same object, and none waits for another. So the values must take the
        objects out of the queryset: `jobs.filter(state="queued").order_by("due").claim(1, state="running")`. Hooks and
        signals are not called, as by update().

        One call if an index has the order and the conditions, `Index("state", "due")`, however many objects there are,
        and if there are some hundred objects; otherwise one that finds them and one that changes them, again where
        other callers came first. More than 150 objects are claimed in steps; if a later step is refused, the objects
        of those before are returned.

        Raises what update() raises; ValueError for a negative number and for values that leave the objects in the
        queryset; FieldError for a queryset filtered or ordered by values of other objects that are computed in Python;
        OrmisError inside atomic().

            >>> [choice.text for choice in Choice.objects.filter(votes__gt=0).order_by("-votes").claim(2, votes=0)]
            ['Dogs', 'Tea']
        """
        return self._queryset()._perform(claiming.claim, number, values)

    async def aclaim(self, number: int, /, **values: Any) -> builtins.list[M]:
        """As claim()."""
        return await self._queryset()._aperform(claiming.claim, number, values)

    def expire(self, time: float | timedelta) -> int:
        """Lets every object live so long from now on, in seconds or as a timedelta; returns how many there were.

        In steps as update().
        """
        return self._queryset()._perform(expire.expire, milliseconds(time))

    async def aexpire(self, time: float | timedelta) -> int:
        """As expire()."""
        return await self._queryset()._aperform(expire.expire, milliseconds(time))

    def persist(self) -> int:
        """Lets every object live for ever; returns how many there were. In steps as update()."""
        return self._queryset()._perform(expire.expire, None)

    async def apersist(self) -> int:
        """As persist()."""
        return await self._queryset()._aperform(expire.expire, None)

    def bulk_create(
        self,
        objects: Iterable[M],
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

            >>> [tag.id for tag in Question.objects.bulk_create([Question(text="Nike?"), Question(text="Puma?")])]
            [3, 4]
        """
        source = self._queryset()
        records = bulk.checked(source, objects, "bulk_create")
        when = bulk.conflicts(source, ignore_conflicts, update_conflicts, update_fields, unique_fields)
        origin = Origin(source.db)
        source._run(bulk.create(records, origin, batch_size, when))
        return _assigned(records, origin)

    async def abulk_create(
        self,
        objects: Iterable[M],
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
        origin = Origin(source.db, asynchronous=True)
        await source._arun(bulk.create(records, origin, batch_size, when))
        return _assigned(records, origin)

    def bulk_update(self, objects: Iterable[M], fields: Iterable[str], batch_size: int | None = None) -> int:
        """Writes these fields of stored objects, 400 objects in a call unless `batch_size` says otherwise.

        Returns how many of them there were; those that were deleted meanwhile are left out. Raises what save() raises.

            >>> choices = list(Choice.objects.all())
            >>> for choice in choices:
            ...     choice.votes += 1
            >>> Choice.objects.bulk_update(choices, ["votes"])
            3
        """
        return self._queryset()._perform(bulk.bulk_update, objects, fields, batch_size)

    async def abulk_update(self, objects: Iterable[M], fields: Iterable[str], batch_size: int | None = None) -> int:
        """As bulk_update()."""
        return await self._queryset()._aperform(bulk.bulk_update, objects, fields, batch_size)


def _assigned(records: list[Any], origin: Origin) -> list[Any]:
    for record in records:
        record._assign(origin)
    return records
