"""Reading an object again: refresh_from_db()."""

# It uses the inside of models and querysets.
# pyright: reportPrivateUsage=false

from collections.abc import Iterable, Sequence
from inspect import getattr_static
from typing import Any

from ..calls import Operation, Origin
from ..operations.reading import evaluate as results
from ..operations.reading import get as reading
from ..query.q import Q
from ..query.state import Query
from ..records.state import drop_related, has_cached_related, peers_of, state_of
from ..schema.family_classes import widest
from .queryset import QuerySet

_PLACE = "refresh_from_db(fields=...)"


def forget_relations(record: Any, names: Iterable[str]) -> list[str]:
    """The names of fields; loaded objects under the other names, and of foreign keys, are forgotten.

    Raises FieldError for a name that is neither.
    """
    fields: list[str] = []
    model: Any = record.__class__
    if isinstance(names, str):
        record._schema().columns_of(names, _PLACE)  # raises
    for name in names:
        relation = getattr_static(model, name, None)
        if not hasattr(relation, "related_of") and not has_cached_related(record, name):
            fields.append(name)
            continue
        drop_related(record, name)
        if hasattr(relation, "key_of") and hasattr(relation, "reference"):
            fields.append(name)
    record._schema().columns_of(fields, _PLACE)
    return fields


def read(record: Any, origin: Origin, queryset: QuerySet[Any] | None) -> Operation[Any]:
    """The object as it is stored now. Raises DoesNotExist."""
    pk = record._own_key()
    if queryset is not None:
        return (yield from results.get(queryset, origin, Q(pk=pk)))
    row = yield from reading.get_again(record._schema(), pk, origin)
    return reading.loaded(record.__class__, pk, row, origin)


def load_deferred(record: Any, names: Sequence[str], origin: Origin) -> Operation[None]:
    """Loads these fields of the object, and of the objects of its result that lack one of them: one call for some
    thousand objects.

    Raises DoesNotExist if the object is gone.
    """
    own: Any = record.__class__
    model = widest(own, names)
    lacking = [peer for peer in peers_of(record, origin, model) if any(name not in vars(peer) for name in names)]
    schema = model._schema()
    among = Q(pk__in=[peer.pk for peer in lacking])
    query = Query(schema, where=(among,), order=(), fields=(schema.pk.name, *names))
    found = yield from results.evaluate(QuerySet(model, query), Origin(origin.database))
    fresh = {one.pk: one for one in found}
    if record.pk not in fresh:
        raise own.DoesNotExist(f"there is no {own.__name__} with {schema.pk.name}={record.pk!r}")
    for peer in lacking:
        if peer.pk in fresh:
            take(peer, fresh[peer.pk], [name for name in names if name not in vars(peer)])
            put_in_order(peer)


def put_in_order(record: Any) -> None:
    """Puts the values of the fields in the order of their declaration, in which pydantic dumps them."""
    model: Any = record.__class__
    fields: Iterable[str] = model.model_fields
    values: dict[str, Any] = record.__dict__
    in_order = {name: values[name] for name in fields if name in values}
    object.__setattr__(record, "__dict__", in_order | values)  # cached properties are there too


def take(record: Any, fresh: Any, names: Sequence[str] | None) -> None:
    """Gives the object the values of the fresh one, of all fields that this has or of these.

    Related objects that the fresh one has are taken over; the others are forgotten.
    """
    schema, state, other = record._schema(), state_of(record), state_of(fresh)
    columns = schema.own if names is None else [schema.column(name) for name in names]
    for column in columns:
        if column.name not in fresh.__dict__:
            continue
        value = record.__dict__[column.name] = fresh.__dict__[column.name]
        record.__pydantic_fields_set__.add(column.name)
        state.mark_stored(schema, column, value, other.text(column))
    if names is None:
        state.related = other.related
