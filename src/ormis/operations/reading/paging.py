"""page(), pages() and around(): the objects behind a place in the order, and those before it.

The first row and the last one of a page say where it begins and ends. So what others insert and delete meanwhile moves
no object to another page: none comes twice, and none is missed that was there throughout.

One call of the script `query` a page: an index that has the order is read from the place on. Two where absent values
follow, or many objects have the same value.

Touched, read only: as in select.
"""

# Private names of this module are private to the package.
# pyright: reportPrivateUsage=false

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from ...calls import Argument, Command, Operation, Origin
from ...planning.columns import Computed
from ...planning.keyset import Place, behind, behind_parameters, behind_ties, order_cells
from ...planning.plan import Plan, check_order
from ...planning.predicates import Node, join
from ...query.q import Q
from ...records.state import Wire
from ...storage.keys import ids_key
from .complete_rows import rows_of
from .evaluate import check_saved, completed, narrowed, values_of
from .multi_valued import spreads
from .page_tokens import place_of, shape_of, token_of
from .pages import Page as ReplyPage
from .pages import Rows, ask_with, decoded, first_page
from .renewal import renew_rows
from .row_shapes import shaped
from .select import take_related
from .source import Source
from .subqueries import planned

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some objects of a queryset that follow each other, and the tokens of the pages beside it.

    next, previous: for `page(after=...)` and `page(before=...)`; None at the ends.
    """

    objects: list[T]
    next: str | None
    previous: str | None

    def __iter__(self) -> Iterator[T]:
        return iter(self.objects)

    def __len__(self) -> int:
        return len(self.objects)


@dataclass(frozen=True, slots=True)
class _Ranked:
    """Rows, and their ranks in the order of creation."""

    rows: Rows
    ranks: list[float]


def page(
    source: Source[Any], origin: Origin, size: int, after: str | None = None, before: str | None = None
) -> Operation[Page[Any]]:
    """The first objects of the query, those behind a token, or those before one."""
    _check(source, "page()")
    origin = origin.of_result(source.query.fetch_mode)
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(f"page(size={size!r}): give the number of objects, 1 or more")
    if after is not None and before is not None:
        raise ValueError("page(): give `after` or `before`, not both")
    turned, token = before is not None, after if before is None else before
    plan = yield from _plan(source, origin, turned, "page()")
    cells = order_cells(plan, "page()")
    shape = shape_of(source.query, [term.reversed() if turned else term for term in plan.order])
    place = None if token is None else place_of(plan.schema.name, shape, cells, token)
    found = yield from _behind(plan, origin, place, size + 1)
    more = len(found.rows) > size
    found = _cut(found, size, turned)
    objects = yield from _results(source, origin, plan, found.rows)

    def token_at(at: int) -> str:
        return token_of(shape, cells, _place(plan, found, at))

    if not found.rows:
        back = None if place is None else token_of(shape, cells, replace(place, inclusive=not place.inclusive))
        return Page(objects, back if turned else None, None if turned else back)
    return Page(
        objects,
        token_at(-1) if more or turned else None,
        token_at(0) if (more if turned else token is not None) else None,
    )


def around(source: Source[Any], origin: Origin, record: Any, number: int) -> Operation[list[Any]]:
    """The objects before this one in the order, itself, and those behind it."""
    check_saved(source, record, "around()")
    _check(source, "around()")
    origin = origin.of_result(source.query.fetch_mode)
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(f"around(..., {number!r}): give the number of neighbours, 0 or more")
    own = narrowed(source, Q(pk=record.pk))
    plan = yield from _plan(own, origin, False, "around()")
    found = yield from _behind(plan, origin, None, 1)
    if not found.rows:
        raise source.model.DoesNotExist(f"{record!r} is not among the objects of the query: nothing is around it")
    place, objects = _place(plan, found, 0), (yield from _results(source, origin, plan, found.rows))
    for turned in (True, False) if number else ():
        plan = yield from _plan(source, origin, turned, "around()")
        beside = _cut((yield from _behind(plan, origin, place, number)), number, turned)
        some = yield from _results(source, origin, plan, beside.rows)
        objects = [*some, *objects] if turned else [*objects, *some]
    return objects


def _check(source: Source[Any], method: str) -> None:
    query = source.query
    if query.sliced:
        raise TypeError(
            f"{method} is of a whole queryset, whose objects it counts off itself: call it before the slice"
        )
    if query.combined is not None:
        raise TypeError(f"{method} of a {query.combined} has no order of the server: call it on its parts")
    if query.groups is not None or query.distinct or (query.shape != "objects" and spreads(query)):
        raise TypeError(
            f"{method} is of objects and of values of their own fields, not of groups, distinct rows and values of "
            f"related objects to many"
        )


def _plan(source: Source[Any], origin: Origin, turned: bool, method: str) -> Operation[Plan]:
    query = source.query.having(backwards=source.query.backwards != turned, limit=1)  # how many is told by the call
    check_order(query, origin.limits, method)
    plan = yield from planned(query, origin)
    order_cells(plan, method)
    return plan


def _place(plan: Plan, found: _Ranked, at: int) -> Place:
    row, cells = found.rows[at], [term.cell for term in plan.order if not isinstance(term.cell, Computed)]
    values = decoded(plan.schema, cells, tuple(row[plan.reads.index(cell)] for cell in cells))
    return Place(tuple(values[cell.name] for cell in cells), found.ranks[at], key=_key(plan, row))


def _cut(found: _Ranked, size: int, turned: bool) -> _Ranked:
    """The first rows, in the order of the queryset if they were read the other way round."""
    which = [*range(min(size, len(found.rows)))]
    if turned:
        which.reverse()
    return _Ranked(found.rows.picked(which), [found.ranks[i] for i in which])


def _results(source: Source[Any], origin: Origin, plan: Plan, rows: Rows) -> Operation[list[Any]]:
    if source.query.shape != "objects":
        return shaped(source.query, values_of(plan, rows))
    yield from renew_rows(plan, rows, rows.related)
    return (yield from completed(source, origin, plan, rows))


# Rows ----------------------------------------------------------------------------------------------------------------


def _behind(plan: Plan, origin: Origin, place: Place | None, number: int) -> Operation[_Ranked]:
    """The first rows behind a place, or the first ones at all."""
    arguments, first = _kept_arguments(plan, place, number), None
    if arguments is not None:
        head, *packed = yield from ask_with(arguments)
        if head[1] == "done":
            page = ReplyPage(plan, head[2], packed, whole=True)
            return _Ranked(page.rows, page.ranks)
        if head[1] == "divided":
            arguments = None
    if place is None:
        plan = replace(plan, limit=number)
        return (yield from (_first(plan, origin) if arguments is None else _in_steps(plan, origin)))
    conditions = behind(plan, place)
    if arguments is None:
        first = yield from _at_once(_narrowed(plan, conditions[0], number))
    if first is None and len(plan.order) == 1:  # many objects may have the value of the place
        conditions = behind_ties(plan, place)
        first = yield from _at_once(_narrowed(plan, conditions[0], number))
    if first is None:
        first = yield from _first(_narrowed(plan, conditions[0], number), origin)
    found = first
    for node in conditions[1:]:
        if len(found.rows) < number:
            some = yield from _first(_narrowed(plan, node, number - len(found.rows)), origin)
            found = _joined(found, some)
    return found


def _kept_arguments(plan: Plan, place: Place | None, number: int) -> tuple[Argument, ...] | None:
    """The arguments of the call, of which all but the values are kept with the prepared plan; None if there is none."""
    prepared = plan.prepared
    if prepared is None or (place is not None and (len(plan.order) != 1 or place.values[0] is None)):
        return None
    purpose, values = "page", tuple[Argument, ...]()
    if place is not None:
        purpose = f"page behind {place.inclusive}"
        (cell,) = order_cells(plan, "page()")
        values = cell.codec.encode(place.values[0]), repr(place.rank)
    arguments = prepared.requests.get(purpose)
    if arguments is None and place is not None:
        rank = -3 - len(plan.texts)
        node = behind_parameters(prepared, place.inclusive, rank - 1, rank)
        if node is None:
            return None
        prepared_here = replace(prepared, where=join("and", [prepared.where, node]))
        arguments = prepared.requests[purpose] = prepared_here.request("rows", places=True)
    elif arguments is None:
        arguments = prepared.requests[purpose] = prepared.request("rows", places=True)
    return *arguments, *values, *plan.texts, "0", str(number)


def _narrowed(plan: Plan, node: Node, limit: int) -> Plan:
    return replace(plan, where=join("and", [plan.where, node]), limit=limit)


def _first(plan: Plan, origin: Origin) -> Operation[_Ranked]:
    """The first rows of a plan, with their ranks."""
    found = yield from _at_once(plan)
    return found or (yield from _in_steps(plan, origin))


def _in_steps(plan: Plan, origin: Origin) -> Operation[_Ranked]:
    return (yield from _ranked(plan, (yield from rows_of(plan, origin))))


def _at_once(plan: Plan) -> Operation[_Ranked | None]:
    """The same by one call; None if it takes several."""
    if plan.finds_nothing:
        return _Ranked(Rows(), [])
    if plan.derived or plan.client_where is not None:
        return None
    first = yield from first_page(plan, ranked=True)
    return _Ranked(first.rows, first.ranks) if first.whole else None


def _ranked(plan: Plan, rows: Rows) -> Operation[_Ranked]:
    """The rows with ranks that are asked for; without those of objects that were deleted since."""
    if not rows:
        return _Ranked(rows, [])
    keys = [_key(plan, row) for row in rows]
    ranks: list[Any] = yield Command(("ZMSCORE", ids_key(plan.schema.key), *keys))
    there = [i for i, rank in enumerate(ranks) if rank is not None]
    return _Ranked(rows.picked(there), [float(ranks[i]) for i in there])


def _key(plan: Plan, row: Wire) -> str:
    pk = plan.schema.pk
    return str(pk.codec.encode(decoded(plan.schema, (pk,), (row[plan.reads.index(pk)],))[pk.name]))


def _joined(one: _Ranked, other: _Ranked) -> _Ranked:
    related = one.rows.related
    take_related(related, other.rows.related)
    return _Ranked(Rows([*one.rows, *other.rows], related), [*one.ranks, *other.ranks])
