"""Methods that objects have for their fields: `get_next_by_published()`, `get_status_display()`, as in Django."""

# It uses the inside of models.
# pyright: reportPrivateUsage=false

from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial
from typing import Any

from ..calls import Operation, Origin
from ..operations.reading import evaluate as results
from ..query.q import Q
from ..query.state import Query
from ..records.state import state_of
from .queryset import QuerySet


def method_of_field(record: Any, name: str) -> Callable[..., Any] | None:
    """The method of this name if a field of the record gives it one."""
    plain, columns = name.removeprefix("a"), record.__schema__.own_names
    for prefix, backwards in (("get_next_by_", False), ("get_previous_by_", True)):
        column = columns.get(plain.removeprefix(prefix)) if plain.startswith(prefix) else None
        if column is not None and column.codec.kind in ("date", "datetime"):
            return partial(_neighbour if plain == name else _aneighbour, record, column.name, backwards)
    field = name.removeprefix("get_").removesuffix("_display")
    return partial(_display, record, field) if field in columns and name == f"get_{field}_display" else None


def _neighbour(record: Any, field: str, backwards: bool, **lookups: Any) -> Any:
    """The next object by the field, of those that meet the lookups. One call. Raises DoesNotExist if there is none."""
    database = record._database_for(state_of(record).database)
    return database.read(_next(record, field, backwards, lookups, Origin(database)))


async def _aneighbour(record: Any, field: str, backwards: bool, **lookups: Any) -> Any:
    """As _neighbour()."""
    database = record._database_for(state_of(record).database)
    return await database.aread(_next(record, field, backwards, lookups, Origin(database, asynchronous=True)))


def _next(record: Any, field: str, backwards: bool, lookups: Mapping[str, Any], origin: Origin) -> Operation[Any]:
    """Objects of the same moment are in the order of their keys."""
    pk, value = record._own_key(), getattr(record, field)
    model: Any = record.__class__
    beyond = "lt" if backwards else "gt"
    later = Q((f"{field}__{beyond}", value)) | Q((field, value), (f"pk__{beyond}", pk)) if value is not None else None
    if later is not None:
        order = (f"-{field}", "-pk") if backwards else (field, "pk")
        query = Query(model._schema(), where=(later, Q(**lookups)), order=order)
        found: QuerySet[Any] = QuerySet(model, query, origin.database)
        neighbour = yield from results.first(found, origin)
        if neighbour is not None:
            return neighbour
    raise model.DoesNotExist(f"no {model.__name__} is {'before' if backwards else 'after'} {record!r} by {field}")


def _display(record: Any, field: str) -> str:
    """The value for people: the label of a member of an enumeration, or its name in words; else the value as text."""
    value = getattr(record, field)
    if not isinstance(value, Enum):
        return "" if value is None else str(value)
    label: Any = getattr(value, "label", None)
    return label if isinstance(label, str) else value.name.replace("_", " ").capitalize()
