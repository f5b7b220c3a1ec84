"""Reading methods of querysets and managers: one object, questions about the set, iteration.

Each has an async twin with an `a` in front, which runs the same operation.
"""

# What is private here is so to the package.
# pyright: reportPrivateUsage=false

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any, Generic, TypeVar

from ..operations.reading import evaluate as results
from ..operations.reading.iteration import next_portion, portions
from ..operations.reading.source import Source
from ..query.q import Q

M = TypeVar("M")


class Reading(Generic[M]):
    """What querysets and managers can be asked."""

    def _queryset(self) -> Source[Any]:
        raise NotImplementedError

    # One object ------------------------------------------------------------------------------------------------------

    def get(self, *conditions: Q | bool, **lookups: Any) -> M:
        """The one object that meets the conditions. One call.

        Raises the model's DoesNotExist or MultipleObjectsReturned.
        """
        source = self._queryset()
        return source._run(results.get(source, Q(*conditions, **lookups), False))

    async def aget(self, *conditions: Q | bool, **lookups: Any) -> M:
        """As get()."""
        source = self._queryset()
        return await source._arun(results.get(source, Q(*conditions, **lookups), True))

    def first(self) -> M | None:
        """The first object, None where there is none. One call."""
        source = self._queryset()
        return source._run(results.first(source, False))

    async def afirst(self) -> M | None:
        """As first()."""
        source = self._queryset()
        return await source._arun(results.first(source, True))

    def last(self) -> M | None:
        """The last object, None where there is none. One call."""
        source = self._queryset()
        return source._run(results.last(source, False))

    async def alast(self) -> M | None:
        """As last()."""
        source = self._queryset()
        return await source._arun(results.last(source, True))

    def earliest(self, *fields: str) -> M:
        """The first object by these fields, or by Meta.get_latest_by. One call.

        Raises the model's DoesNotExist where there is none, FieldError where nothing says what to go by.
        """
        source = self._queryset()
        return source._run(results.earliest(source, fields, False))

    async def aearliest(self, *fields: str) -> M:
        """As earliest()."""
        source = self._queryset()
        return await source._arun(results.earliest(source, fields, True))

    def latest(self, *fields: str) -> M:
        """The last object by these fields, or by Meta.get_latest_by. One call.

        Raises the model's DoesNotExist where there is none, FieldError where nothing says what to go by.
        """
        source = self._queryset()
        return source._run(results.latest(source, fields, False))

    async def alatest(self, *fields: str) -> M:
        """As latest()."""
        source = self._queryset()
        return await source._arun(results.latest(source, fields, True))

    # Ask -------------------------------------------------------------------------------------------------------------

    def count(self) -> int:
        """How many there are. One call where an index or a walk of bounded length tells."""
        source = self._queryset()
        return source._run(results.count(source))

    async def acount(self) -> int:
        """As count()."""
        source = self._queryset()
        return await source._arun(results.count(source))

    def exists(self) -> bool:
        """Whether there is any. One call where an index or a walk of bounded length tells."""
        source = self._queryset()
        return source._run(results.exists(source))

    async def aexists(self) -> bool:
        """As exists()."""
        source = self._queryset()
        return await source._arun(results.exists(source))

    def contains(self, record: Any) -> bool:
        """Whether this saved object is among them. One call.

        Raises TypeError for what is no object, ForeignKeyViolation for one that is not saved yet.
        """
        source = self._queryset()
        return source._run(results.contains(source, record))

    async def acontains(self, record: Any) -> bool:
        """As contains()."""
        source = self._queryset()
        return await source._arun(results.contains(source, record))

    def rank(self, record: Any) -> int:
        """The place of this object in the order, from 0.

        One call where an index counts what comes before; another where none does, more for tens of thousands of ties.
        Raises the model's DoesNotExist for an object that is not among them.
        """
        source = self._queryset()
        return source._run(results.rank(source, record))

    async def arank(self, record: Any) -> int:
        """As rank()."""
        source = self._queryset()
        return await source._arun(results.rank(source, record))

    def in_bulk(self, id_list: Iterable[Any] | None = None, *, field_name: str = "pk") -> dict[Any, M]:
        """The objects by their primary keys, or by another unique field; all of them, or those in `id_list`. One call.

        Raises FieldError for a field that is not unique.
        """
        source = self._queryset()
        return source._run(results.in_bulk(source, id_list, field_name, False))

    async def ain_bulk(self, id_list: Iterable[Any] | None = None, *, field_name: str = "pk") -> dict[Any, M]:
        """As in_bulk()."""
        source = self._queryset()
        return await source._arun(results.in_bulk(source, id_list, field_name, True))

    def explain(self, *, analyze: bool = False) -> str:
        """How the query is answered: what is walked, what is checked, what is left to Python, as a tree. One call.

        analyze: run it, and add the objects looked at, the calls and the time.
        """
        source = self._queryset()
        return source._run(results.explain(source, analyze))

    async def aexplain(self, *, analyze: bool = False) -> str:
        """As explain()."""
        source = self._queryset()
        return await source._arun(results.explain(source, analyze))

    # Iterate ---------------------------------------------------------------------------------------------------------

    def iterator(self, chunk_size: int = 1000) -> Iterator[M]:
        """The objects, or rows of values, one after another, without a cache: about `chunk_size` are read in a call,
        and no more than two such portions are held. What prefetch_related() names is fetched for each portion.

        A result that fits one call takes that call. A larger one is read as it is walked in the order of creation. In
        another order, in a slice, and where an index tells which objects to look at, their keys are found first, some
        thousand in a call, and held with what they are ordered by; the rows are read after, in that order. An object
        that is gone by then, or no longer meets the conditions, is left out; one that has changed stays in its place;
        one that was added is not among them; none comes twice. Unions and distinct rows are held whole.

        Raises ValueError for a `chunk_size` below 1.
        """
        source = self._queryset()
        reading = portions(source, chunk_size, False)
        portion: list[M] | None = source._run(next_portion(reading))
        while portion is not None:
            yield from portion
            portion = source._run(next_portion(reading))

    async def aiterator(self, chunk_size: int = 1000) -> AsyncIterator[M]:
        """As iterator()."""
        source = self._queryset()
        reading = portions(source, chunk_size, True)
        portion: list[M] | None = await source._arun(next_portion(reading))
        while portion is not None:
            for record in portion:
                yield record
            portion = await source._arun(next_portion(reading))
