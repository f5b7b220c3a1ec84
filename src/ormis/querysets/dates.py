"""dates() and datetimes(): the years, months, days, ... in which there are objects."""

from datetime import datetime, tzinfo
from typing import Any

from ..errors import FieldError, hint_for, shown
from ..planning.names import cell_of
from ..planning.scopes import scope_of
from ..query.expressions import F
from ..query.functions.dates import Trunc
from ..query.q import Q
from ..query.state import Annotation, Query
from .annotating import annotated

DATES = ("year", "quarter", "month", "week", "day")
DATETIMES = (*DATES, "hour", "minute", "second")


def dated(query: Query, made: Any, name: str, kind: str, order: str, zone: tzinfo | None = None) -> Query:
    """The query for the dates, or the datetimes, at which the years, months, ... begin in which there are objects.

    made: date or datetime. Raises FieldError for a field, a kind or an order that can't be.
    """
    kinds = DATETIMES if made is datetime else DATES
    method = f"{query.schema.name}: {made.__name__}s({shown(name)}, {shown(kind)})"
    if kind not in kinds:
        raise FieldError(f"{method}: {hint_for(str(kind), kinds)}")
    if order not in ("ASC", "DESC"):
        raise FieldError(f"{method}: order={shown(order)}: give 'ASC' or 'DESC'")
    if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise FieldError(f"{method}: give the name of a field")
    of = cell_of(scope_of(query), name).codec.kind
    if of not in ("date", "datetime") or (made is datetime and of == "date"):
        raise FieldError(f"{method}: its values are of the type {of}, and {made.__name__}s are needed")
    label = f"{name}__trunc_{kind}"
    found = annotated(query, [Annotation(label, Trunc(F(name), kind, made, zone))])
    return found.having(
        shape="flat",
        fields=(label,),
        labels=None,
        where=(*query.where, Q((f"{name}__isnull", False))),
        order=(f"-{label}" if order == "DESC" else label,),
        backwards=False,
        distinct=True,
        related=(),
        prefetch=(),
        deferred=False,
    )
