"""Objects that are got or made, with nobody in between, as operations."""

# What is private here is so to the package.
# pyright: reportPrivateUsage=false

from collections.abc import Mapping
from typing import Any

from ..calls import Operation
from ..conditions import Q
from ..errors import ConflictError
from ..operations import saving
from ..operations.obtaining import obtain
from ..operations.outcomes import Inexact
from ..operations.planning import planned
from ..plan import Plan
from ..schema import Schema
from . import results
from .changes import Writes, check_whole, writes
from .source import Source

_TRIES = 100


def get_or_create(
    source: Source[Any], defaults: Mapping[str, Any] | None, lookups: Mapping[str, Any], asynchronous: bool
) -> Operation[tuple[Any, bool]]:
    """The one object that meets the lookups, or a new one; and whether it is new."""
    narrowed = _narrowed(source, lookups)
    if any(callable(value) for value in (defaults or {}).values()):  # these are called only to make an object
        present = yield from _present(narrowed, asynchronous)
        if present is not None:
            return present, False
    try:
        record = _new(source, lookups, defaults, asynchronous)
    except ValueError:
        present = yield from _present(narrowed, asynchronous)
        if present is None:
            raise
        return present, False
    plan = yield from planned(_two(narrowed).query)
    obtained = yield from obtain(plan, saving.insertion([record]))
    if obtained.created:
        return record, True
    return (yield from _single(narrowed, plan, obtained.rows, asynchronous)), False


def update_or_create(
    source: Source[Any],
    defaults: Mapping[str, Any] | None,
    create_defaults: Mapping[str, Any] | None,
    lookups: Mapping[str, Any],
    asynchronous: bool,
) -> Operation[tuple[Any, bool]]:
    """The one object that meets the lookups, changed, or a new one; and whether it is new."""
    narrowed = _narrowed(source, lookups)
    values = {name: _called(value) for name, value in (defaults or {}).items()}
    try:
        record = _new(source, lookups, create_defaults if create_defaults is not None else values, asynchronous)
    except ValueError:  # it can't be made, but it may be there
        present = yield from _present(narrowed, asynchronous)
        if present is None:
            raise
        record = present
    wanted = writes(source, values)
    plan = yield from planned(_two(narrowed).query)
    mutation = _update(source._schema, wanted) if plan.residual is None and wanted.by_server else None
    for _ in range(_TRIES):
        try:
            obtained = yield from obtain(plan, saving.insertion([record]), mutation)
        except Inexact:
            mutation = None
            continue
        if obtained.created:
            return record, True
        if obtained.changed is not None:
            return (yield from results.get(source._copy(where=()), Q(pk=obtained.changed), asynchronous)), False
        present = yield from _single(narrowed, plan, obtained.rows, asynchronous)
        try:
            yield from _write(present, values)
        except (ConflictError, source.model.DoesNotExist):
            continue
        return present, False
    raise ConflictError(
        f"{source._schema.name}: others changed the same object {_TRIES} times in a row", model=source._schema.name
    )


def _update(schema: Schema, wanted: Writes) -> list[Any]:
    """The mutation less model and key, as lua/obtain.lua has it; it is a save, and objects may live from then on."""
    nothing: list[Any] = []
    ttl = () if schema.ttl is None else (*(nothing, nothing)[len(wanted.arguments) - 1 :], schema.ttl)
    return ["update", *wanted.arguments, *ttl]


def _write(record: Any, values: Mapping[str, Any]) -> Operation[None]:
    """Writes the values to an object on condition that it is as it was read."""
    for name, value in values.items():
        setattr(record, name, value)
    yield from saving.save(record, if_unchanged=True)


def _narrowed(source: Source[Any], lookups: Mapping[str, Any]) -> Source[Any]:
    check_whole(source, "used to make objects")
    return results.narrowed(source._copy(order=(), related=(), prefetch=(), fields=None), Q(*lookups.items()))


def _two(source: Source[Any]) -> Source[Any]:
    return source._copy_of(source.query.slice(0, 2))


def _present(narrowed: Source[Any], asynchronous: bool) -> Operation[Any]:
    found = yield from results.found(_two(narrowed), asynchronous)
    return (yield from _checked_single(narrowed, found)) if found else None


def _single(narrowed: Source[Any], plan: Plan, rows: Any, asynchronous: bool) -> Operation[Any]:
    found = narrowed.model._load([row[: len(plan.columns)] for row in rows], narrowed.db, asynchronous)
    return (yield from _checked_single(narrowed, found))


def _checked_single(narrowed: Source[Any], found: list[Any]) -> Operation[Any]:
    yield from ()
    if len(found) > 1:
        raise narrowed.model.MultipleObjectsReturned(
            f"more than one {narrowed._schema.name} matches {results.asked_of(narrowed)}: filter() finds them all"
        )
    return found[0]


def _new(
    source: Source[Any], lookups: Mapping[str, Any], defaults: Mapping[str, Any] | None, asynchronous: bool
) -> Any:
    """The object to make: of the lookups those that name a field, and the defaults."""
    pk = source._schema.pk.name
    values = {(pk if name == "pk" else name): value for name, value in lookups.items() if "__" not in name}
    record = source.model(**values | {name: _called(value) for name, value in (defaults or {}).items()})
    record._place(source.db, asynchronous)
    return record


def _called(value: Any) -> Any:
    return value() if callable(value) else value
