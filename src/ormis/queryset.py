"""`QuerySet` and what it shares with managers. Lazy, immutable, cached once evaluated.

Every method that talks to the server has an async twin with an `a` in front, which runs the same operation.
"""

# Queryable and QuerySet are one thing in two classes, and work with what is private of each other.
# pyright: reportPrivateUsage=false

import builtins
from collections.abc import AsyncIterator, Generator, Iterable, Iterator
from dataclasses import fields
from itertools import islice
from typing import Any, Generic, Self, TypeVar, cast, overload

from .calls import Operation
from .conditions import Q
from .database import Database
from .errors import FieldError
from .operations import bulk, fetching, saving
from .operations.fetching import Page
from .operations.planning import planned
from .plan import Plan
from .query import Query
from .schema import Schema

M = TypeVar("M")


class Queryable(Generic[M]):
    """What querysets and managers have in common."""

    model: type[M]

    def _queryset(self) -> "QuerySet[M]":
        raise NotImplementedError

    # Narrow ----------------------------------------------------------------------------------------------------------

    def all(self) -> "QuerySet[M]":
        """Every object, as a new queryset."""
        return self._queryset()._copy()

    def none(self) -> "QuerySet[M]":
        """No object."""
        return self._queryset()._copy(empty=True)

    def filter(self, *conditions: Q | bool, **lookups: Any) -> "QuerySet[M]":
        """The objects that meet all of the conditions and lookups.

        Raises FieldError, when the queryset is used, for unknown names and for values that do not convert.
        """
        return self._queryset()._narrowed(Q(*conditions, **lookups))

    def exclude(self, *conditions: Q | bool, **lookups: Any) -> "QuerySet[M]":
        """The objects that `filter` with the same arguments leaves out."""
        return self._queryset()._narrowed(~Q(*conditions, **lookups))

    def using(self, database: Database) -> "QuerySet[M]":
        """The same query in another database."""
        queryset = self._queryset()._copy()
        queryset._database = database
        return queryset

    # Order -----------------------------------------------------------------------------------------------------------

    def order_by(self, *order: Any) -> "QuerySet[M]":
        """In this order: names of fields, `-name` for descending, `F("x").desc(nulls_last=True)`.

        Ties are in the order of creation, and so is everything without arguments.
        """
        queryset = self._queryset()
        queryset._refuse_sliced("ordered")
        return queryset._copy(order=order, backwards=False)

    def reverse(self) -> "QuerySet[M]":
        """In the opposite order."""
        queryset = self._queryset()
        queryset._refuse_sliced("reversed")
        return queryset._copy(backwards=not queryset.query.backwards)

    # One object ------------------------------------------------------------------------------------------------------

    def get(self, *conditions: Q | bool, **lookups: Any) -> M:
        """The one object that meets the conditions. One call.

        Raises the model's DoesNotExist or MultipleObjectsReturned.
        """
        queryset = self._queryset()
        return queryset._run(queryset._get(Q(*conditions, **lookups), False))

    async def aget(self, *conditions: Q | bool, **lookups: Any) -> M:
        """As get()."""
        queryset = self._queryset()
        return await queryset._arun(queryset._get(Q(*conditions, **lookups), True))

    def first(self) -> M | None:
        """The first object, None where there is none. One call."""
        queryset = self._queryset()
        return queryset._run(queryset._first(False))

    async def afirst(self) -> M | None:
        """As first()."""
        queryset = self._queryset()
        return await queryset._arun(queryset._first(True))

    def last(self) -> M | None:
        """The last object, None where there is none. One call."""
        queryset = self._queryset()
        return queryset._run(queryset.reverse()._first(False))

    async def alast(self) -> M | None:
        """As last()."""
        queryset = self._queryset()
        return await queryset._arun(queryset.reverse()._first(True))

    def create(self, **values: Any) -> M:
        """Makes an object and stores it. One call.

        Raises pydantic's ValidationError, UniqueViolation (also where its primary key is taken), ForeignKeyViolation.
        """
        queryset = self._queryset()
        record = queryset._new(values)
        queryset._run(queryset._create(record, False))
        return record

    async def acreate(self, **values: Any) -> M:
        """As create()."""
        queryset = self._queryset()
        record = queryset._new(values)
        await queryset._arun(queryset._create(record, True))
        return record

    # Ask -------------------------------------------------------------------------------------------------------------

    def count(self) -> int:
        """How many objects there are. One call where an index or a walk of bounded length tells."""
        queryset = self._queryset()
        return queryset._run(queryset._count())

    async def acount(self) -> int:
        """As count()."""
        queryset = self._queryset()
        return await queryset._arun(queryset._count())

    def exists(self) -> bool:
        """Whether there is any object."""
        queryset = self._queryset()
        return queryset._run(queryset._exists())

    async def aexists(self) -> bool:
        """As exists()."""
        queryset = self._queryset()
        return await queryset._arun(queryset._exists())

    def iterator(self, chunk_size: int = 1000) -> Iterator[M]:
        """The objects one after another, without a cache, about `chunk_size` in a call.

        In the order of creation the client holds one portion at a time; another order needs all keys to sort them.
        """
        queryset = self._queryset()
        return queryset._iterator(chunk_size)

    def aiterator(self, chunk_size: int = 1000) -> AsyncIterator[M]:
        """As iterator()."""
        return self._queryset()._aiterator(chunk_size)

    # Many ------------------------------------------------------------------------------------------------------------

    def bulk_create(self, objects: Iterable[M], *, batch_size: int | None = None) -> builtins.list[M]:
        """Stores new objects, 1,000 in a call unless `batch_size` says otherwise; each call all or nothing.

        Returns the objects, with their keys. Raises what save() raises.
        """
        queryset = self._queryset()
        records = queryset._checked(objects)
        queryset._run(bulk.create(records, batch_size))
        return queryset._adopt(records, False)

    async def abulk_create(self, objects: Iterable[M], *, batch_size: int | None = None) -> builtins.list[M]:
        """As bulk_create()."""
        queryset = self._queryset()
        records = queryset._checked(objects)
        await queryset._arun(bulk.create(records, batch_size))
        return queryset._adopt(records, True)


class QuerySet(Queryable[M]):
    """A lazy set of objects of one model: narrowed and ordered by chaining, evaluated when it is used, then cached."""

    def __init__(self, model: type[M], query: Query | None = None, database: Database | None = None) -> None:
        self.model = model
        self._model: Any = model
        self.query = Query(self._schema) if query is None else query
        self._database = database
        self._cache: list[M] | None = None

    # Evaluation ------------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[M]:
        return iter(self._evaluated())

    async def __aiter__(self) -> AsyncIterator[M]:
        found = self._cache
        if found is None:
            found = self._cache = cast(builtins.list[M], await self._arun(self._fetch(True)))
        for record in found:
            yield record

    def __await__(self) -> Generator[Any, None, builtins.list[M]]:
        return self._all_async().__await__()

    async def _all_async(self) -> builtins.list[M]:
        return [record async for record in self]

    def __len__(self) -> int:
        return len(self._evaluated())

    def __bool__(self) -> bool:
        return bool(self._evaluated())

    def __contains__(self, record: object) -> bool:
        return record in self._evaluated()

    def __repr__(self) -> str:
        found = builtins.list(islice(self if self._cache is not None else self[:21], 21))
        shown = [*map(repr, found[:20]), *(["..."] if len(found) > 20 else [])]
        return f"<QuerySet [{', '.join(shown)}]>"

    @overload
    def __getitem__(self, at: int) -> M: ...
    @overload
    def __getitem__(self, at: slice) -> "QuerySet[M] | builtins.list[M]": ...
    def __getitem__(self, at: int | slice) -> Any:
        if isinstance(at, slice):
            return self._slice(at)
        if at < 0:
            raise ValueError("negative indexing is not supported: reverse() the queryset")
        if self._cache is not None:
            return self._cache[at]
        found = self._copy_of(self.query.slice(at, at + 1))._evaluated()
        if not found:
            raise IndexError(f"there is no object at {at}")
        return found[0]

    def _slice(self, at: slice) -> Any:
        if any(end is not None and end < 0 for end in (at.start, at.stop)) or (at.step is not None and at.step < 1):
            raise ValueError("negative slices are not supported: reverse() the queryset")
        if self._cache is not None:
            return self._cache[at]
        queryset = self._copy_of(self.query.slice(at.start, at.stop))
        return queryset if at.step is None else builtins.list(queryset)[:: at.step]

    def _evaluated(self) -> builtins.list[M]:
        found = self._cache
        if found is None:
            found = self._cache = cast(builtins.list[M], self._run(self._fetch(False)))
        return found

    def __getstate__(self) -> dict[str, Any]:
        """A pickle holds the objects that were found, or what to look for; neither the database nor the schema."""
        query = {f.name: getattr(self.query, f.name) for f in fields(self.query) if f.name != "schema"}
        return {"model": self.model, "query": query, "_cache": self._cache}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["model"])
        self.query = self.query.having(**state["query"])
        self._cache = state["_cache"]

    # Copies ----------------------------------------------------------------------------------------------------------

    def _queryset(self) -> "QuerySet[M]":
        return self

    def _copy_of(self, query: Query) -> Self:
        copy = object.__new__(type(self))
        copy.__dict__ |= self.__dict__ | {"query": query, "_cache": None}
        return copy

    def _copy(self, **changes: Any) -> Self:
        return self._copy_of(self.query.having(**changes))

    def _narrowed(self, condition: Q) -> Self:
        self._refuse_sliced("filtered")
        return self._copy(where=(*self.query.where, condition)) if condition else self._copy()

    def _refuse_sliced(self, what: str) -> None:
        if self.query.sliced:
            raise TypeError(f"a sliced queryset can't be {what}: do that before the slice")

    # Running ---------------------------------------------------------------------------------------------------------

    @property
    def _schema(self) -> Schema:
        return self._model._schema()

    @property
    def db(self) -> Database:
        """The database it reads from."""
        return self._database or self._model._database_for(None)

    def _run(self, operation: Operation[Any]) -> Any:
        return self.db.run(operation)

    async def _arun(self, operation: Operation[Any]) -> Any:
        return await self.db.arun(operation)

    # Operations ------------------------------------------------------------------------------------------------------

    def _made(self, rows: builtins.list[Any], asynchronous: bool) -> builtins.list[M]:
        return self._model._load(rows, self.db, asynchronous)

    def _fetch(self, asynchronous: bool) -> Operation[builtins.list[M]]:
        rows = yield from fetching.fetch((yield from planned(self.query)))
        return self._made(rows, asynchronous)

    def _get(self, condition: Q, asynchronous: bool) -> Operation[M]:
        narrowed = self._narrowed(condition) if condition else self
        if not narrowed.query.sliced:
            narrowed = narrowed._copy_of(narrowed.query.slice(0, 2))
        found = yield from narrowed._fetch(asynchronous)
        if len(found) == 1:
            return found[0]
        name = self._schema.name
        if not found:
            raise self._model.DoesNotExist(f"no {name} matches {condition or narrowed.query.where}")
        raise self._model.MultipleObjectsReturned(f"more than one {name} matches {condition}: filter() finds them all")

    def _first(self, asynchronous: bool) -> Operation[M | None]:
        found = yield from self._copy_of(self.query.slice(0, 1))._fetch(asynchronous)
        return found[0] if found else None

    def _count(self) -> Operation[int]:
        if self._cache is not None:
            return len(self._cache)
        return (yield from fetching.count((yield from planned(self.query))))

    def _exists(self) -> Operation[bool]:
        if self._cache is not None:
            return bool(self._cache)
        one = yield from planned(self.query.slice(0, 1).having(fields=("pk",), order=()))
        rows = yield from fetching.fetch(one)
        return bool(rows)

    def _new(self, values: dict[str, Any]) -> M:
        return self._model(**values)

    def _create(self, record: Any, asynchronous: bool) -> Operation[None]:
        record._place(self.db, asynchronous)
        yield from saving.save(record, force_insert=True)

    def _checked(self, objects: Iterable[M]) -> builtins.list[Any]:
        records: list[Any] = builtins.list(objects)
        for record in records:
            if not isinstance(record, self.model):
                raise FieldError(f"{record!r} is no {self._schema.name}: bulk_create() takes objects of the model")
        return records

    def _adopt(self, records: builtins.list[Any], asynchronous: bool) -> builtins.list[M]:
        database = self.db
        for record in records:
            record._place(database, asynchronous)
        return records

    def _iterator(self, size: int) -> Iterator[M]:
        wanted: Plan = self._run(planned(self.query))
        if wanted.order or wanted.limit is not None or wanted.offset:
            yield from self._copy()
            return
        page: Page = self._run(fetching.first_page(wanted))
        if page.keys:
            yield from self._copy()
            return
        yield from self._made([row for row in page.rows if fetching.meets(wanted, row)], False)
        while not page.last:
            page = self._run(fetching.next_page(wanted, page, enough=size))
            yield from self._made([row for row in page.rows if fetching.meets(wanted, row)], False)

    async def _aiterator(self, size: int) -> AsyncIterator[M]:
        wanted: Plan = await self._arun(planned(self.query))
        if wanted.order or wanted.limit is not None or wanted.offset:
            async for record in self._copy():
                yield record
            return
        page: Page = await self._arun(fetching.first_page(wanted))
        if page.keys:
            async for record in self._copy():
                yield record
            return
        while True:
            for record in self._made([row for row in page.rows if fetching.meets(wanted, row)], True):
                yield record
            if page.last:
                return
            page = await self._arun(fetching.next_page(wanted, page, enough=size))
