"""The list page: search, filters, order, pages. Its time does not grow with the number of objects.

conditions    those that an index answers; where there are few objects, any
order         by the primary key or a field with a sorted index; where there are few objects, Meta.ordering too
pages         by the tokens of page(), at any depth; by numbers as far as SKIPPED objects
count         if one index tells it, or there are few objects; else how many are known to be there
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette_admin.filters.base import FilterGroup

import ormis

from .anatomy import Model, columns_of, index_of, is_text, is_unique, schema_of, walked_in_order
from .filters import condition_of, counted

FEW = 10_000
"""Up to so many objects of a model are looked at for what no index answers."""
SKIPPED = 1_000
"""Page numbers lead to pages behind so many objects at most; further ones are reached by Next, Previous and Last."""

Sorts = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Position:
    """Which page of a list is asked for: its number, and the token behind or before which it begins.

    from_end: the list is read backwards from its end, and the number counts from there.
    """

    number: int = 1
    after: str | None = None
    before: str | None = None
    from_end: bool = False

    @classmethod
    def of(cls, request: Request) -> "Position":
        """As the address says; without the number of a page, which other links drop, the first one."""
        params = list_query(request)
        number = params.get("page", "")
        if not number.isdigit() or int(number) < 1:
            return cls()
        return cls(int(number), params.get("after"), params.get("before"), params.get("end") == "1")


@dataclass(slots=True)
class Shown:
    """The page that is shown: what its links lead to, and how many objects there are.

    first, last: the places of its objects, from 1. total: of all objects, if it is known, else of those that are.
    """

    next: Mapping[str, str] | None = None
    previous: Mapping[str, str] | None = None
    first: int = 0
    last: int = 0
    total: int = 0
    exact: bool = True


def list_query(request: Request) -> QueryParams:
    """The parameters of the list page: of this address, or of the page from which an action was asked for."""
    origin = request.query_params.get("_list_query")
    return request.query_params if origin is None else QueryParams(origin.lstrip("?"))


def search_condition(model: Model, text: str, fields: Sequence[str] | None, few: bool) -> ormis.Q:
    """The condition of a text in the search box.

    fields: the names of those that are searched; None for all texts. few: there are few objects, of which those are
        found that contain the text. Of many, those whose key or unique text it is, or whose text begins with it, if
        that has a sorted index.
    """
    found: list[ormis.Q] = []
    texts = [column for column in columns_of(model) if is_text(column) and (fields is None or column.name in fields)]
    if few:
        found += [ormis.Q((f"{column.name}__icontains", text)) for column in texts]
    else:
        found += [ormis.Q((column.name, text)) for column in texts if is_unique(model, column)]
        prefixed = (column for column in texts if index_of(model, column) == "text")
        found += [ormis.Q((f"{column.name}__startswith", text)) for column in prefixed]
    if _is_key(model, text):
        found.append(ormis.Q(pk=text))
    return reduce(lambda a, b: a | b, found) if found else ormis.Q(pk__in=[])


def _is_key(model: Model, text: str) -> bool:
    try:
        schema_of(model).pk.convert(text)
    except ValueError:
        return False
    return True


class Listing:
    """The part of a ModelView that reads lists."""

    model: Model
    search_fields: Sequence[str] | None

    # What it needs of the view: all objects, and those that the request may see; the filters of each field; the foreign
    # keys whose objects are shown; the order of lists, as starlette-admin says it.
    everything: Any
    queryset: Any
    field_filters: Any
    related: Any
    own_sorts: Any

    async def narrowed(self, request: Request, q: str | None, filters: FilterGroup | None) -> "ormis.QuerySet[Any]":
        """The objects that a list is of, in no order that was asked for."""
        objects = self.queryset(request)
        if filters is not None and filters.rules:
            objects = objects.filter(condition_of(filters, self.field_filters()))
        if q:
            objects = objects.filter(search_condition(self.model, q, self.search_fields, await self.few(request)))
        return objects

    async def few(self, request: Request) -> bool:
        """Whether there are so few objects of the model that any of them may be looked at. One call a request."""
        known: dict[Model, int] = _state(request, "numbers", {})
        if self.model not in known:
            known[self.model] = await self.everything().acount()
        return known[self.model] <= FEW

    async def ordered(
        self, request: Request, objects: "ormis.QuerySet[Any]", sorts: Sorts | None
    ) -> "ormis.QuerySet[Any]":
        """The objects in the order that was asked for, in Meta.ordering, or the newest first."""
        if sorts and list(sorts) != list(self.own_sorts):
            return objects.order_by(*(f"-{name}" if way == "desc" else name for name, way in sorts))
        ordering = schema_of(self.model).ordering
        first = ordering[0] if ordering else None
        if isinstance(first, str) and walked_in_order(self.model, first.lstrip("-")):
            return objects
        if ordering and await self.few(request):
            return objects
        return objects.order_by().reverse()

    async def page(
        self, request: Request, size: int, q: str | None, sorts: Sorts | None, filters: FilterGroup | None
    ) -> list[Any]:
        """The objects of the page that the address asks for; request.state.shown says where that is."""
        objects = await self.narrowed(request, q, filters)
        at = Position.of(request)
        shown = Shown(exact=await self.is_counted(request, q, filters))
        listed = (await self.ordered(request, objects, sorts)).select_related(*self.related)
        if at.from_end:
            listed = listed.reverse()
        try:
            page = await self._read(listed, at, size)
        except ormis.PageTokenError:  # of a list that was ordered or narrowed in another way
            at = Position()
            page = await self._read(listed, at, size)
        found = page.objects[::-1] if at.from_end else page.objects
        shown.total = await objects.acount() if shown.exact else 0
        _place(shown, page, at, size)
        request.state.shown = shown
        return found

    async def _read(self, listed: "ormis.QuerySet[Any]", at: Position, size: int) -> ormis.Page[Any]:
        skipped = (at.number - 1) * size
        if at.after or at.before or at.from_end or not skipped:
            return await listed.apage(size, after=at.after, before=at.before)
        if skipped > SKIPPED:
            raise HTTPException(400, f"page {at.number} is reached by the links Next, Previous and Last only")
        before = await listed.values_list("pk", flat=True).apage(skipped)
        if before.next is None:
            return ormis.Page([], None, None)
        return await listed.apage(size, after=before.next)

    async def is_counted(self, request: Request, q: str | None, filters: FilterGroup | None) -> bool:
        """Whether it is cheap to say how many objects a list has."""
        if not q and counted(filters, self.field_filters()):
            return True
        return await self.few(request)

    async def number(self, request: Request, q: str | None, filters: FilterGroup | None, limit: int) -> int:
        """How many objects a list has; of more than `limit` one more than that if it is not cheap to tell."""
        objects = await self.narrowed(request, q, filters)
        if await self.is_counted(request, q, filters):
            return await objects.acount()
        return len([key async for key in objects.values_list("pk", flat=True)[: limit + 1]])


def _place(shown: Shown, page: ormis.Page[Any], at: Position, size: int) -> None:
    """The places of the page's objects, and the parameters of its links."""
    onward = {"page": str(at.number + 1), "after": page.next} if page.next else None
    back = {"page": str(max(1, at.number - 1)), "before": page.previous} if page.previous else None
    skipped, found = (at.number - 1) * size, len(page.objects)
    if at.from_end:
        shown.next, shown.previous = (link and {**link, "end": "1"} for link in (back, onward))
        if shown.exact:
            shown.last = max(0, shown.total - skipped)
            shown.first = max(0, shown.last - found + 1)
        return
    shown.next, shown.previous = onward, back
    shown.first, shown.last = (skipped + 1, skipped + found) if found else (0, 0)
    if not shown.exact:
        shown.total, shown.exact = shown.last, onward is None


def _state(request: Request, name: str, default: Any) -> Any:
    """What a request keeps for itself."""
    if not hasattr(request.state, name):
        setattr(request.state, name, default)
    return getattr(request.state, name)
