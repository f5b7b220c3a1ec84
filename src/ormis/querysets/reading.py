"""Reading methods of querysets and managers: one object, questions about the set, iteration.

Each has an async twin with an `a` in front, which runs the same operation.
"""

# Private names of this module are private to the package.
# pyright: reportPrivateUsage=false

import builtins
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any, Generic, TypeVar

from ..calls import Origin
from ..operations.reading import evaluate, paging
from ..operations.reading.aggregate import aggregate
from ..operations.reading.iteration import BatchReader, batches, next_batch
from ..operations.reading.paging import Page
from ..operations.reading.rank import rank
from ..operations.reading.source import Source
from ..query.aggregates import Aggregate
from ..query.q import Q
from .annotating import asked

M = TypeVar("M")


class Pages(Generic[M]):
    """The pages of a queryset, read as they are gone through."""

    def __init__(self, reading: "Reading[M]", size: int, after: str | None) -> None:
        self._reading, self._size, self._after = reading, size, after

    def __iter__(self) -> Iterator[Page[M]]:
        after, first = self._after, True
        while first or after is not None:
            page, first = self._reading.page(self._size, after), False
            after = page.next
            if page.objects:
                yield page

    async def __aiter__(self) -> AsyncIterator[Page[M]]:
        after, first = self._after, True
        while first or after is not None:
            page, first = await self._reading.apage(self._size, after), False
            after = page.next
            if page.objects:
                yield page


class Reading(Generic[M]):
    """The reading methods of querysets and managers."""

    def _queryset(self) -> Source[Any]:
        raise NotImplementedError

    # One object ------------------------------------------------------------------------------------------------------

    def get(self, *conditions: Q | bool, **lookups: Any) -> M:
        """The one object that meets the conditions. One call.

        Raises the model's DoesNotExist or MultipleObjectsReturned.

            >>> Question.objects.get(text="Cats or dogs?").id
            2
        """
        return self._queryset()._read(evaluate.get, Q(*conditions, **lookups))

    async def aget(self, *conditions: Q | bool, **lookups: Any) -> M:
        """As get()."""
        return await self._queryset()._aread(evaluate.get, Q(*conditions, **lookups))

    def first(self) -> M | None:
        """The first object, None if there is none. One call.

        >>> Choice.objects.order_by("votes").first().text
        'Coffee'
        """
        return self._queryset()._read(evaluate.first)

    async def afirst(self) -> M | None:
        """As first()."""
        return await self._queryset()._aread(evaluate.first)

    def last(self) -> M | None:
        """The last object, None if there is none. One call.

        >>> Choice.objects.order_by("votes").last().text
        'Dogs'
        """
        return self._queryset()._read(evaluate.last)

    async def alast(self) -> M | None:
        """As last()."""
        return await self._queryset()._aread(evaluate.last)

    def earliest(self, *fields: str) -> M:
        """The first object by these fields, or by Meta.get_latest_by. One call.

        Raises the model's DoesNotExist if there is none, FieldError if nothing says what to go by.
        """
        return self._queryset()._read(evaluate.earliest, fields)

    async def aearliest(self, *fields: str) -> M:
        """As earliest()."""
        return await self._queryset()._aread(evaluate.earliest, fields)

    def latest(self, *fields: str) -> M:
        """The last object by these fields, or by Meta.get_latest_by. One call.

        Raises the model's DoesNotExist if there is none, FieldError if nothing says what to go by.
        """
        return self._queryset()._read(evaluate.latest, fields)

    async def alatest(self, *fields: str) -> M:
        """As latest()."""
        return await self._queryset()._aread(evaluate.latest, fields)

    # Ask -------------------------------------------------------------------------------------------------------------

    def count(self) -> int:
        """Returns the number of objects. One call if an index or a walk of bounded length tells.

        >>> Choice.objects.filter(votes__gte=2).count()
        2
        """
        return self._queryset()._read(evaluate.count)

    async def acount(self) -> int:
        """As count()."""
        return await self._queryset()._aread(evaluate.count)

    def exists(self) -> bool:
        """Returns whether there is an object. One call if an index or a walk of bounded length tells.

        >>> Choice.objects.filter(text="Water").exists()
        False
        """
        return self._queryset()._read(evaluate.exists)

    async def aexists(self) -> bool:
        """As exists()."""
        return await self._queryset()._aread(evaluate.exists)

    def contains(self, record: Any) -> bool:
        """Returns whether this saved object is among them. One call.

        Raises TypeError for a value that is no object, ForeignKeyViolation for an unsaved object.
        """
        return self._queryset()._read(evaluate.contains, record)

    async def acontains(self, record: Any) -> bool:
        """As contains()."""
        return await self._queryset()._aread(evaluate.contains, record)

    def rank(self, record: Any) -> int:
        """The rank of this object in the order, from 0.

        One call if an index counts what comes before; another if none does, more for tens of thousands of ties.
        Raises the model's DoesNotExist for an object that is not among them.

            >>> Choice.objects.order_by("-votes").rank(Choice.get(1))
            1
        """
        return self._queryset()._read(rank, record)

    async def arank(self, record: Any) -> int:
        """As rank()."""
        return await self._queryset()._aread(rank, record)

    # Pages -----------------------------------------------------------------------------------------------------------

    def page(self, size: int, after: str | None = None, before: str | None = None) -> Page[M]:
        """The first `size` objects in the queryset's order, those behind a token, or those before one.

        The tokens are `next` and `previous` of a page, None at the ends: URL-safe texts that hold a place in the order,
        of this model, order and conditions (but for dates and times in them, which may move on). What others insert
        and delete meanwhile moves no object to another page. After `values()` the objects are its rows.

            page = Player.objects.order_by("-score").page(20, after=request.query.get("after"))

        One call, which costs the same at any depth if an index has the order; two where objects without a value
        follow. Raises PageTokenError for a token that is damaged or of another query, FieldError for an order by what
        is computed, TypeError for slices, unions and groups, ValueError for a size below 1.

            >>> first = Choice.objects.order_by("-votes").page(2)
            >>> [choice.text for choice in first], first.previous
            (['Dogs', 'Tea'], None)
            >>> [choice.text for choice in Choice.objects.order_by("-votes").page(2, after=first.next)]
            ['Coffee']
        """
        return self._queryset()._read(paging.page, size, after, before)

    async def apage(self, size: int, after: str | None = None, before: str | None = None) -> Page[M]:
        """As page()."""
        return await self._queryset()._aread(paging.page, size, after, before)

    def pages(self, size: int, after: str | None = None) -> Pages[M]:
        """The pages one after another, from a token on: `for page in qs.pages(100)`, `async for page in ...`.

        One call a page, as page(). There is none if there are no objects.
        """
        return Pages(self, size, after)

    def around(self, record: Any, number: int) -> builtins.list[M]:
        """The neighbours of an object in the queryset's order: up to `number` before it, itself, as many behind it.

        Three calls, which cost the same at any depth if an index has the order. Raises the model's DoesNotExist for an
        object that is not among them, and what page() raises.
        """
        return self._queryset()._read(paging.around, record, number)

    async def aaround(self, record: Any, number: int) -> builtins.list[M]:
        """As around()."""
        return await self._queryset()._aread(paging.around, record, number)

    # Add up ----------------------------------------------------------------------------------------------------------

    def aggregate(self, *aggregates: Aggregate, **expressions: Any) -> dict[str, Any]:
        """The values of aggregates over all objects, or rows: `aggregate(Sum("votes"), best=Max("votes"))`.

        Positional ones are named by what they are of: `votes__sum`. Raises TypeError for what is no aggregate.

            >>> Choice.objects.aggregate(Sum("votes"), best=Max("votes"))
            {'votes__sum': 8, 'best': 5}
        """
        return self._queryset()._read(aggregate, asked(aggregates, expressions))

    async def aaggregate(self, *aggregates: Aggregate, **expressions: Any) -> dict[str, Any]:
        """As aggregate()."""
        return await self._queryset()._aread(aggregate, asked(aggregates, expressions))

    def in_bulk(self, id_list: Iterable[Any] | None = None, *, field_name: str = "pk") -> dict[Any, M]:
        """The objects by their primary keys, or by another unique field; all of them, or those in `id_list`. One call.

        Raises FieldError for a field that is not unique.

            >>> {pk: question.text for pk, question in Question.objects.in_bulk([1, 2, 7]).items()}
            {1: 'Tea or coffee?', 2: 'Cats or dogs?'}
        """
        return self._queryset()._read(evaluate.in_bulk, id_list, field_name)

    async def ain_bulk(self, id_list: Iterable[Any] | None = None, *, field_name: str = "pk") -> dict[Any, M]:
        """As in_bulk()."""
        return await self._queryset()._aread(evaluate.in_bulk, id_list, field_name)

    def explain(self, *, analyze: bool = False) -> str:
        """Returns the execution of the query as a tree: access path, conditions, work in Python. One call.

        analyze: run it, and add the objects looked at, the calls and the time.

            >>> print(Choice.objects.filter(votes__gte=2).explain())
            Choice: 3 objects
            ...
        """
        return self._queryset()._read(evaluate.explain, analyze)

    async def aexplain(self, *, analyze: bool = False) -> str:
        """As explain()."""
        return await self._queryset()._aread(evaluate.explain, analyze)

    # Iterate ---------------------------------------------------------------------------------------------------------

    def iterator(self, chunk_size: int = 1000) -> Iterator[M]:
        """The objects, or rows of values, one after another, without a cache: about `chunk_size` are read in a call,
        and no more than two such batches are held. Relations of prefetch_related() are fetched for each batch.

        A result that fits one call takes that call. A larger one is read as it is walked in the order of creation. In
        another order, in a slice, and if an index tells which objects to look at, their keys are found first, some
        thousand in a call, and held with what they are ordered by; the rows are read after, in that order. An object
        that is gone by then, or no longer meets the conditions, is left out; one that has changed stays in its place;
        one that was added is not among them; none comes twice. Unions and distinct rows are held whole.

        Raises ValueError for a `chunk_size` below 1.

            >>> [choice.text for choice in Choice.objects.iterator()]
            ['Tea', 'Coffee', 'Dogs']
        """
        source = self._queryset()
        origin = Origin(source.db).of_result(source.query.fetch_mode)
        return _iterated(source, batches(source, origin, chunk_size))

    def aiterator(self, chunk_size: int = 1000) -> AsyncIterator[M]:
        """As iterator()."""
        source = self._queryset()
        origin = Origin(source.db, asynchronous=True).of_result(source.query.fetch_mode)
        return _aiterated(source, batches(source, origin, chunk_size))


def _iterated(source: Source[Any], reader: BatchReader) -> Iterator[Any]:
    batch: list[Any] | None = source._batch(next_batch(reader))
    while batch is not None:
        yield from batch
        batch = source._batch(next_batch(reader))


async def _aiterated(source: Source[Any], reader: BatchReader) -> AsyncIterator[Any]:
    batch: list[Any] | None = await source._abatch(next_batch(reader))
    while batch is not None:
        for record in batch:
            yield record
        batch = await source._abatch(next_batch(reader))
