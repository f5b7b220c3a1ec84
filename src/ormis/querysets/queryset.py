"""`QuerySet` and what it shares with managers: the methods that return another queryset, and evaluation.

Lazy, immutable, cached once evaluated. The methods that talk to the server are in `reading` and `writing`.
"""

# Queryable and QuerySet are one thing in two classes, and use private names of each other.
# pyright: reportPrivateUsage=false

import builtins
from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Mapping
from dataclasses import fields
from datetime import date, datetime, tzinfo
from itertools import islice
from operator import index
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self, SupportsIndex, TypeVar, cast, overload

from ..calls import Operation, Origin
from ..database import Database
from ..errors import FieldError, shown
from ..fetching import FetchMode
from ..operations.reading.evaluate import evaluate
from ..operations.reading.prefetch import Prefetch, check_lookups
from ..operations.reading.row_shapes import names_of
from ..operations.reading.source import Source
from ..operations.writing.delete import delete
from ..planning.name_checks import check_condition, check_order
from ..planning.outer_values import type_of_values
from ..planning.plan import related_of, required_paths
from ..planning.scopes import parted, scope_for, scope_of
from ..query.aggregates import Aggregate
from ..query.expressions import Expression
from ..query.q import Connector, Q
from ..query.state import Combination, Query, Shape
from ..query.value_types import ValueType
from . import annotating, joining, loading, valuing
from .dates import dated
from .exporting import Exporting
from .reading import Reading
from .unknown_methods import no_method
from .writing import Writing

M = TypeVar("M")
S_co = TypeVar("S_co", bound="QuerySet[Any]", covariant=True)
_LAST = 2**53
"""A slice ends here at the latest, where the server's arithmetic ends too."""


class QuerySetManager(Protocol[S_co]):
    """To a type checker, the manager that as_manager() makes: `Poll.objects` has the methods of the queryset class."""

    @overload
    def __get__(self, record: None, model: type[Any]) -> S_co: ...
    @overload
    def __get__(self, record: object, model: type[Any]) -> Any: ...


class Queryable(Reading[M], Writing[M], Exporting):
    """The methods that querysets and managers share."""

    model: Any

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

        Raises FieldError for unknown names and lookups; when the queryset is used, for values that do not convert.

            >>> [question.text for question in Question.objects.filter(votes__gte=4)]
            ['Cats or dogs?']
            >>> Choice.objects.filter(question__text__startswith="Tea", votes__gt=1).count()
            1
        """
        return self._queryset()._narrowed(Q(*conditions, **lookups), "filtered")

    def exclude(self, *conditions: Q | bool, **lookups: Any) -> "QuerySet[M]":
        """The objects that `filter` with the same arguments leaves out.

        >>> [choice.text for choice in Choice.objects.exclude(question=1)]
        ['Dogs']
        """
        return self._queryset()._narrowed(~Q(*conditions, **lookups), "filtered")

    def using(self, database: Database) -> "QuerySet[M]":
        """The same query in another database, as connect() returns it. Raises TypeError for a name of one."""
        if not isinstance(database, Database | None):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"using() takes what connect() returns, not {shown(database)}")
        return self._queryset()._in(database)

    # Order -----------------------------------------------------------------------------------------------------------

    def order_by(self, *order: Any) -> "QuerySet[M]":
        """In this order: names of fields, `-name` for descending, `F("x").desc(nulls_last=True)`.

        Ties are in the order of creation, and so is everything without arguments. Raises FieldError for unknown names.

            >>> [choice.text for choice in Choice.objects.order_by("-votes")]
            ['Dogs', 'Tea', 'Coffee']
        """
        queryset = self._queryset()
        queryset._refuse_sliced("ordered")
        for item in order:
            _check_order(item)
        check_order(scope_of(queryset.query), order)
        return queryset._copy(order=order, backwards=False)

    def reverse(self) -> "QuerySet[M]":
        """In the opposite order.

        >>> [choice.text for choice in Choice.objects.order_by("votes").reverse()[:2]]
        ['Dogs', 'Tea']
        """
        queryset = self._queryset()
        queryset._refuse_sliced("reversed")
        return queryset._copy(backwards=not queryset.query.backwards)

    # Shape -----------------------------------------------------------------------------------------------------------

    def values(self, *fields: str, **expressions: Expression) -> "QuerySet[dict[str, Any]]":
        """Dicts instead of objects, of these fields, also across relations, or of all stored ones.

        A part of a date or time is a value too, `published__year`; expressions are computed: `values(next=F("n") + 1)`.
        Across a relation to many there is a row per related object, one with None if there is none.

            >>> list(Choice.objects.filter(votes__gt=1).values("text", "question__votes"))
            [{'text': 'Tea', 'question__votes': 3}, {'text': 'Dogs', 'question__votes': 5}]
        """
        return cast(Any, self._queryset()._valued("dicts", fields, expressions))

    @overload
    def values_list(
        self, *fields: str | Expression, flat: Literal[False] = False, named: Literal[False] = False
    ) -> "QuerySet[tuple[Any, ...]]": ...
    @overload
    def values_list(self, *fields: str | Expression, flat: Literal[False] = False, named: bool) -> "QuerySet[Any]": ...
    @overload
    def values_list(self, field: str | Expression, /, *, flat: Literal[True]) -> "QuerySet[Any]": ...
    def values_list(self, *fields: str | Expression, flat: bool = False, named: bool = False) -> "QuerySet[Any]":
        """Tuples instead of objects; with `flat` the single values of one field, with `named` named tuples.

        Raises TypeError for `flat` with `named`, or with more or less than one field.

            >>> list(Choice.objects.values_list("text", "votes"))
            [('Tea', 2), ('Coffee', 1), ('Dogs', 5)]
            >>> list(Choice.objects.values_list("text", flat=True))
            ['Tea', 'Coffee', 'Dogs']
        """
        if flat and named:
            raise TypeError("values_list(): flat and named exclude each other")
        if flat and len(fields) != 1:
            raise TypeError(f"values_list(flat=True) takes one field, not {len(fields)}")
        return cast(Any, self._queryset()._valued("flat" if flat else "named" if named else "tuples", fields))

    def only(self, *fields: str) -> "QuerySet[M]":
        """Objects with no other fields loaded than these and the primary key; the rest is loaded on first use.

        The last only() counts; what defer() named before it stays left out. `author__name` stands for the foreign key:
        related objects come as select_related() says, whole. Of a class that defines model_post_init all fields are
        loaded, since it may use them.

            >>> [choice.text for choice in Choice.objects.only("text")]
            ['Tea', 'Coffee', 'Dogs']
        """
        queryset = self._queryset()
        queryset._refuse_values("only()")
        queryset._refuse_combined("given only()")
        return queryset._copy_of(loading.only(queryset.query, fields))

    def defer(self, *fields: str | None) -> "QuerySet[M]":
        """Objects without these fields loaded; they are loaded on first use. None alone takes that back.

        Fields of related objects are loaded. Of a class that defines model_post_init all fields are, since it may use
        them.
        """
        queryset = self._queryset()
        queryset._refuse_values("defer()")
        queryset._refuse_combined("given defer()")
        if _take_back(fields):
            return queryset._copy(fields=None, deferred=False)
        return queryset._copy_of(loading.defer(queryset.query, fields))

    def distinct(self) -> "QuerySet[M]":
        """Each row of values() once. Objects never repeat, so of these it changes nothing."""
        queryset = self._queryset()
        queryset._refuse("made distinct")
        return queryset._copy(distinct=True)

    def dates(self, field_name: str, kind: str, order: Literal["ASC", "DESC"] = "ASC") -> "QuerySet[date]":
        """The dates on which the years, months, weeks or days begin in which there are objects, each once.

        field_name: a field of dates or datetimes, also across relations to one object. Aware ones are taken in UTC.
        kind: year, quarter, month, week (from Monday), day.
        Raises FieldError for another field, kind or order.
        """
        queryset = self._queryset()
        queryset._refuse("narrowed to its dates")
        return cast(Any, queryset._copy_of(dated(queryset.query, date, field_name, kind, order)))

    def datetimes(
        self, field_name: str, kind: str, order: Literal["ASC", "DESC"] = "ASC", tzinfo: tzinfo | None = None
    ) -> "QuerySet[datetime]":
        """The moments at which the years, months, ..., seconds begin in which there are objects, each once.

        field_name: a field of datetimes, also across relations to one object. kind: as of dates(), and hour, minute,
        second. tzinfo: the zone in which aware ones are taken and returned, UTC if none is given.
        Raises FieldError for another field, kind or order.
        """
        queryset = self._queryset()
        queryset._refuse("narrowed to its dates")
        return cast(Any, queryset._copy_of(dated(queryset.query, datetime, field_name, kind, order, tzinfo)))

    # Compute ---------------------------------------------------------------------------------------------------------

    def annotate(self, *aggregates: Aggregate, **expressions: Any) -> "QuerySet[M]":
        """Computed values, as attributes of the objects or as values of the rows: `annotate(n=Count("choices"))`.

        Conditions, orders and further annotations may name them. An aggregate is of the objects to which a relation
        leads; after values(), of the rows that have the same values. Raises FieldError for what can't be computed.

            >>> [(question.text, question.n) for question in Question.objects.annotate(n=Count("choices"))]
            [('Tea or coffee?', 2), ('Cats or dogs?', 1)]
        """
        return self._queryset()._annotated("annotate", aggregates, expressions)

    def alias(self, *aggregates: Aggregate, **expressions: Any) -> "QuerySet[M]":
        """As annotate(), for conditions, orders and further annotations only: the results do not have it."""
        return self._queryset()._annotated("alias", aggregates, expressions)

    # Related ---------------------------------------------------------------------------------------------------------

    def select_related(self, *paths: str | None) -> "QuerySet[M]":
        """The objects at the end of these relations to one object come along, in the same call; None takes all back.

        Without a path, all foreign keys that are not optional, of the model and of what they lead to, five steps deep.
        Raises FieldError for a name that is none.

            >>> [choice.question.text for choice in Choice.objects.select_related("question").filter(votes=5)]
            ['Cats or dogs?']
        """
        queryset = self._queryset()
        queryset._refuse_values("select_related()")
        queryset._refuse_combined("given select_related()")
        if _take_back(paths):
            return queryset._copy(related=())
        schema = queryset._schema
        names = [path for path in paths if path is not None]
        _check_relations("select_related()", names)
        names = names or required_paths(schema)
        related_of(schema, names)
        return queryset._copy(related=tuple(dict.fromkeys([*queryset.query.related, *names])))

    def prefetch_related(self, *lookups: "str | Prefetch | None") -> "QuerySet[M]":
        """The objects at the end of these relations, to one or to many, come after, one call per level.

        None takes all back. Raises FieldError for a name that is no relation.

            >>> [len(question.choices.all()) for question in Question.objects.prefetch_related("choices")]
            [2, 1]
        """
        queryset = self._queryset()
        queryset._refuse_values("prefetch_related()")
        if _take_back(lookups):
            return queryset._copy(prefetch=())
        _check_relations("prefetch_related()", lookups)
        prefetch: tuple[Any, ...] = (*queryset.query.prefetch, *lookups)
        check_lookups(queryset.model, prefetch)
        return queryset._copy(prefetch=prefetch)

    def fetch_mode(self, mode: FetchMode) -> "QuerySet[M]":
        """The objects with this fetch mode: what is done when a relation to one object, or a field of only() and
        defer(), is used that is not loaded yet.

        mode: FETCH_ONE, by default, loads it for that object. FETCH_PEERS loads it for all objects of the result that
        are still in use: one call for some thousand of them. RAISE raises RelationNotLoaded. Related objects that are
        loaded have the same mode. In async code, where using it can't wait, the first two raise RelationNotLoaded too:
        aprefetch_related_objects() loads for many objects there.

        Raises TypeError for what is no fetch mode.

            for book in Book.objects.fetch_mode(FETCH_PEERS):
                print(book.author.name)
        """
        if not isinstance(mode, FetchMode):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"fetch_mode() takes FETCH_ONE, FETCH_PEERS or RAISE, not {shown(mode)}")
        queryset = self._queryset()
        queryset._refuse_values("fetch_mode()")
        return queryset._copy(fetch_mode=mode)

    # Combine ---------------------------------------------------------------------------------------------------------

    def union(self, *others: "QuerySet[Any]", all: bool = False) -> "QuerySet[M]":  # noqa: A002 - Django's name
        """The objects of this or one of the others, each once, or as often as they are found with `all`."""
        return self._queryset()._combined("union all" if all else "union", others)

    def intersection(self, *others: "QuerySet[Any]") -> "QuerySet[M]":
        """The objects of this and all of the others."""
        return self._queryset()._combined("intersection", others)

    def difference(self, *others: "QuerySet[Any]") -> "QuerySet[M]":
        """The objects of this and none of the others."""
        return self._queryset()._combined("difference", others)


class QuerySet(Queryable[M], Source[M]):
    """A lazy set of objects of one model: narrowed and ordered by chaining, evaluated when it is used, then cached."""

    manager_class: ClassVar[Any] = None

    if TYPE_CHECKING:  # these return querysets of the class that they are called on

        def all(self) -> Self: ...  # noqa: D102
        def none(self) -> Self: ...  # noqa: D102
        def filter(self, *conditions: Q | bool, **lookups: Any) -> Self: ...  # noqa: D102
        def exclude(self, *conditions: Q | bool, **lookups: Any) -> Self: ...  # noqa: D102
        def using(self, database: Database) -> Self: ...  # noqa: D102
        def order_by(self, *order: Any) -> Self: ...  # noqa: D102
        def reverse(self) -> Self: ...  # noqa: D102
        def only(self, *fields: str) -> Self: ...  # noqa: D102
        def defer(self, *fields: str | None) -> Self: ...  # noqa: D102
        def distinct(self) -> Self: ...  # noqa: D102
        def annotate(self, *aggregates: Aggregate, **expressions: Any) -> Self: ...  # noqa: D102
        def alias(self, *aggregates: Aggregate, **expressions: Any) -> Self: ...  # noqa: D102
        def select_related(self, *paths: str | None) -> Self: ...  # noqa: D102
        def prefetch_related(self, *lookups: "str | Prefetch | None") -> Self: ...  # noqa: D102
        def fetch_mode(self, mode: FetchMode) -> Self: ...  # noqa: D102
        def union(self, *others: "QuerySet[Any]", all: bool = False) -> Self: ...  # noqa: A002, D102
        def intersection(self, *others: "QuerySet[Any]") -> Self: ...  # noqa: D102
        def difference(self, *others: "QuerySet[Any]") -> Self: ...  # noqa: D102

    @classmethod
    def as_manager(cls) -> QuerySetManager[Self]:
        """A manager with the methods of this class, to set in a model: `objects = PollQuerySet.as_manager()`."""
        return cls.manager_class.from_queryset(cls)()

    @property
    def ordered(self) -> bool:
        """True if order_by() or Meta.ordering says in which order the objects come; also for none()."""
        query = self.query
        order = query.order if query.combined is not None or query.order is not None else query.schema.ordering
        return query.empty or bool(order)

    # Evaluation ------------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[M]:
        return iter(self._evaluated() if self._cache is None else self._cache)

    async def __aiter__(self) -> AsyncIterator[M]:
        results = self._cache
        if results is None:
            results = self._cache = await self._aread(evaluate)
        for record in results:
            yield record

    def __await__(self) -> Generator[Any, None, builtins.list[M]]:
        return self._all_async().__await__()

    async def _all_async(self) -> builtins.list[M]:
        return [record async for record in self]

    def __len__(self) -> int:
        return len(self._evaluated() if self._cache is None else self._cache)

    def __bool__(self) -> bool:
        return bool(self._evaluated())

    def __contains__(self, record: object) -> bool:
        return record in self._evaluated()

    def __repr__(self) -> str:
        first = builtins.list(islice(self if self._cache is not None else self[:21], 21))
        shown = [*map(repr, first[:20]), *(["..."] if len(first) > 20 else [])]
        return f"<QuerySet [{', '.join(shown)}]>"

    @overload
    def __getitem__(self, at: int) -> M: ...
    @overload
    def __getitem__(self, at: "slice[Any, Any, None]") -> Self: ...
    @overload
    def __getitem__(self, at: "slice[Any, Any, int]") -> builtins.list[M]: ...
    def __getitem__(self, at: "int | slice[Any, Any, Any]") -> Any:
        if isinstance(at, slice):
            return self._slice(at)
        if not isinstance(at, SupportsIndex):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"querysets are indexed by whole numbers and slices, not by {shown(at)}")
        at = min(index(at), _LAST)
        if at < 0:
            raise ValueError("negative indexing is not supported: reverse() the queryset")
        if self._cache is not None:
            return self._cache[at]
        results = self._copy_of(self.query.slice(at, at + 1))._evaluated()
        if not results:
            raise IndexError(f"there is no object at {at}")
        return results[0]

    def _slice(self, at: slice) -> Any:
        start = 0 if at.start is None else min(index(at.start), _LAST)
        stop = None if at.stop is None else min(index(at.stop), _LAST)
        step = 1 if at.step is None else min(index(at.step), _LAST)
        if start < 0 or (stop is not None and stop < 0) or step < 1:
            raise ValueError("negative slices are not supported: reverse() the queryset")
        if self._cache is not None:
            return self._cache[start:stop:step]
        queryset = self._copy_of(self.query.slice(start, stop))
        return queryset if at.step is None else builtins.list(queryset)[::step]

    def _evaluated(self) -> builtins.list[M]:
        results = self._cache
        if results is None:
            results = self._cache = self._read(evaluate)
        return results

    def __getstate__(self) -> dict[str, Any]:
        """A pickle holds the objects that were found, or what to look for; neither the database nor the schema."""
        query = {f.name: getattr(self.query, f.name) for f in fields(self.query) if f.name != "schema"}
        return {"model": self.model, "query": query, "_cache": self._cache}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["model"])
        self.query = self.query.having(**state["query"])
        self._cache = state["_cache"]

    def delete(self) -> tuple[int, dict[str, int]]:
        """Deletes every object, and the objects that refer to them by their on_delete.

        One call for some hundred objects; more of them go in steps, each whole. Returns how many objects went, in all
        and by model. Raises ProtectedError, RestrictedError.

            >>> Choice.objects.filter(votes__lt=2).delete()
            (1, {'Choice': 1})
        """
        return self._perform(delete)

    async def adelete(self) -> tuple[int, dict[str, int]]:
        """As delete()."""
        return await self._aperform(delete)

    if not TYPE_CHECKING:  # shown to a type checker, it would allow every name

        def __getattr__(self, name: str) -> Any:
            raise no_method(self, name)

    # Copies ----------------------------------------------------------------------------------------------------------

    def _queryset(self) -> Self:
        return self

    def _narrowed(self, condition: Q, what: str) -> Self:
        query = self.query
        if query.combined is not None or query.limit is not None or query.offset:
            self._refuse(what)
        if not condition.children:
            return self._copy_of(query)
        parts = parted(query, condition)
        for part in parts:
            check_condition(scope_for(query, part), part)
        return self._copy_of(query.having(where=(*query.where, *parts)))

    def _valued(self, shape: Shape, names: tuple[Any, ...], expressions: Mapping[str, Any] | None = None) -> Self:
        parts = tuple(part._valued("tuples", names, expressions) for part in self.query.parts)
        return self._copy_of(valuing.valued(self.query, shape, names, expressions or {}).having(parts=parts))

    def _annotated(self, method: str, positional: tuple[Any, ...], named: Mapping[str, Any]) -> Self:
        self._refuse_combined(f"given {method}()")
        if self.query.distinct and self.query.shape != "objects":
            raise TypeError(f"{method}() can't follow distinct() of values(): make the rows distinct after it")
        more = annotating.annotations(self.query, positional, named, method)
        return self._copy_of(annotating.annotated(self.query, more))

    def _refuse_values(self, what: str) -> None:
        if self.query.shape != "objects":
            raise TypeError(f"{what} is for objects, it can't follow values() or values_list()")

    # Combining -------------------------------------------------------------------------------------------------------

    def __or__(self, other: "QuerySet[M]") -> Self:
        """The objects of this or the other, each once."""
        return self._joined(other, "or")

    def __and__(self, other: "QuerySet[M]") -> Self:
        """The objects of both."""
        return self._joined(other, "and")

    def __xor__(self, other: "QuerySet[M]") -> Self:
        """The objects of one of both only."""
        return self._joined(other, "xor")

    def _joined(self, other: "QuerySet[M]", connector: Connector) -> Self:
        """One queryset whose condition joins those of both; a slice is narrowed to the keys of its objects."""
        if not isinstance(other, QuerySet) or other.model is not self.model:  # pyright: ignore[reportUnnecessaryIsInstance]
            what = shown(self)
            raise TypeError(f"{what} can be joined with a queryset of {self.model.__name__} only, not {shown(other)}")
        for side in (self, other):
            side._refuse_combined("joined with another")
            if connector == "and":
                side._refuse_sliced("joined with another by &")
        own, others = self._unsliced_query(), other._unsliced_query()
        joined = self._copy_of(joining.joined(own, others, connector))
        joined._known = joining.merged(self._known, other._known)
        return joined

    def _unsliced_query(self) -> Query:
        """A query for the same objects that is no slice: of a slice, by their keys."""
        if not self.query.sliced:
            return self.query
        keys = Q(pk__in=self._copy(related=(), prefetch=()))
        return Query(self._schema, where=(keys,), fetch_mode=self.query.fetch_mode)

    def _combined(self, how: Combination, others: tuple["QuerySet[Any]", ...]) -> Self:
        for other in others:
            self._check_part(f"{how.split()[0]}()", other)
        return self._copy_of(self.query.having(**_WHOLE, combined=how, parts=(self, *others)))

    def _check_part(self, method: str, other: "QuerySet[Any]") -> None:
        """Raises TypeError if the other's rows can't stand beside those of this one."""
        if not isinstance(other, QuerySet):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"{method} takes querysets, not {shown(other)}")
        objects = [side.query.shape == "objects" for side in (self, other)]
        if all(objects) and other.model is not self.model:
            raise TypeError(f"{method}: {other.model.__name__} is another model; values() can be combined")
        if any(objects) and not all(objects):
            raise TypeError(f"{method}: all querysets must have values(), or none")
        if not any(objects) and len(names_of(other.query)) != len(names_of(self.query)):
            raise TypeError(f"{method}: all querysets must have as many values")

    def _single(self, origin: Origin, key: str = "pk") -> Operation[builtins.list[Any]]:
        """The values of its one field, or of this one of its objects, that `in` compares with."""
        self._check_database(origin)
        if self.query.shape != "objects":
            return (yield from evaluate(self._copy(shape="flat"), origin))
        if self.query.combined is None or not self.query.order:
            return (yield from evaluate(self._valued("flat", (key,)), origin))
        records: builtins.list[Any] = yield from evaluate(self, origin)  # in an order of their fields
        return [getattr(record, key) for record in records]

    def _rows_of(self, query: Query, origin: Origin) -> Operation[builtins.list[tuple[Any, ...]]]:
        """The values of a query on the same model, for a subquery: a tuple for each row."""
        whole = self._copy_of(query.having(shape="tuples", related=(), prefetch=()))
        whole._known = {}
        return (yield from evaluate(whole, origin))

    def _check_database(self, origin: Origin) -> None:
        """Raises FieldError if using() named another database than that of the query which this one is a part of."""
        own, outer = self._database, origin.database
        if isinstance(own, Database) and isinstance(outer, Database) and not own.same_as(outer):
            raise FieldError(
                f"{self._described()} is in another database, {own.url}, than the query that it is a part of, "
                f"{outer.url}: evaluate it first, and give its values, as in pk__in=[*queryset]"
            )

    def _value_type(self, outer: Mapping[str, ValueType | None]) -> ValueType | None:
        """The type of its one value, for a subquery; outer: the types of what its OuterRefs name."""
        return type_of_values(self.query, outer)


_WHOLE: dict[str, Any] = {
    "where": (), "order": (), "backwards": False, "offset": 0, "limit": None, "deferred": False, "distinct": False,
    "related": (), "prefetch": (), "empty": False,
}  # fmt: skip
"""Of a combination the parts are narrowed, ordered and cut, not the whole."""


def _take_back(names: tuple[object, ...]) -> bool:
    """Returns whether None alone is given; a class attribute compared with it would make a condition, which is true."""
    return len(names) == 1 and names[0] is None


def _check_relations(method: str, lookups: Iterable[object]) -> None:
    """Raises TypeError for what does not name a relation."""
    for lookup in lookups:
        if not isinstance(lookup, str | Prefetch):
            raise TypeError(f"{method} takes the names of relations, not {shown(lookup)}")


def _check_order(item: Any) -> None:
    if item is None or isinstance(item, Q | bool | int | Source):
        raise FieldError(f"order_by() takes names of fields and expressions, not {shown(item)}")
