"""`Source`: the model, the query and the database of a queryset, with which everything that reads or writes begins."""

from collections.abc import Callable, Mapping
from typing import Any, Generic, Self, TypeVar

from ...calls import Operation, Origin, Runner, T
from ...query.moments import at_one_moment
from ...query.state import Query, every
from ...schema.schema import Reference, Schema

M = TypeVar("M")
KnownRelated = Mapping[Reference, Mapping[Any, Any]]
"""The objects that the results of a query refer to, as far as they are known before: by their keys."""


class Source(Generic[M]):
    """A query on a model in a database, and its results once it has been evaluated.

    _known: related objects that its results are given, by a relation manager.
    """

    def __init__(self, model: type[M], query: Query | None = None, database: Runner | None = None) -> None:
        self.model: Any = model
        self.query = every(self.model.__schema__ or self.model._schema()) if query is None else query
        self._database = database
        self._cache: list[M] | None = None
        self._known: KnownRelated = {}

    @property
    def db(self) -> Runner:
        """The database it reads from."""
        return self._database or self.model._database_for(None)

    @property
    def _schema(self) -> Schema:
        return self.model._schema()

    def _run(self, operation: Operation[Any]) -> Any:
        return self.db.run(operation)

    async def _arun(self, operation: Operation[Any]) -> Any:
        return await self.db.arun(operation)

    def _perform(self, operation: Callable[..., Operation[T]], *arguments: Any) -> T:
        """Runs an operation on this source with the sync client."""
        database = self.db
        origin = Origin(database).of_result(self.query.fetch_mode)
        return database.run(operation(self._now(), origin, *arguments))

    async def _aperform(self, operation: Callable[..., Operation[T]], *arguments: Any) -> T:
        """As _perform(), with the async client."""
        database = self.db
        origin = Origin(database, asynchronous=True).of_result(self.query.fetch_mode)
        return await database.arun(operation(self._now(), origin, *arguments))

    def _read(self, operation: Callable[..., Operation[T]], *arguments: Any) -> T:
        """As _perform(), for an operation that belongs to no write."""
        database = self.db
        return database.read(operation(self._now(), Origin(database), *arguments))

    async def _aread(self, operation: Callable[..., Operation[T]], *arguments: Any) -> T:
        """As _read(), with the async client."""
        database = self.db
        return await database.aread(operation(self._now(), Origin(database, asynchronous=True), *arguments))

    def _batch(self, batch: Operation[T]) -> T:
        """The next batch of its iterator(), with the sync client."""
        return self.db.read(batch)

    async def _abatch(self, batch: Operation[T]) -> T:
        """As _batch(), with the async client."""
        return await self.db.aread(batch)

    def _now(self) -> Self:
        """The same with the moment in place of Now() in its annotations, which are the same to all that it reads."""
        if not self.query.annotations or (query := at_one_moment(self.query)) is self.query:
            return self
        return self._copy_of(query)

    def _copy_of(self, query: Query) -> Self:
        copy = object.__new__(type(self))
        vars(copy).update(vars(self), query=query, _cache=None)
        return copy

    def _copy(self, **changes: Any) -> Self:
        return self._copy_of(self.query.having(**changes))

    def _in(self, database: Runner) -> Self:
        """The same in another database."""
        copy = self._copy()
        copy._database, copy._known = database, {}
        return copy

    def _refuse(self, what: str) -> None:
        """Raises TypeError for a slice and a combination, whose rows can't be told by a condition any more."""
        self._refuse_sliced(what)
        self._refuse_combined(what)

    def _refuse_sliced(self, what: str) -> None:
        if self.query.sliced:
            raise TypeError(f"a sliced queryset can't be {what}: do that before the slice")

    def _refuse_combined(self, what: str) -> None:
        how = self.query.combined
        if how is not None:
            article = "an" if how == "intersection" else "a"
            raise TypeError(f"{article} {how.split()[0]} can't be {what}: do that to its parts")

    def _described(self) -> str:
        """Its description for messages, which never ask the server."""
        return f"<{type(self).__name__} of {self.model.__name__}>"
