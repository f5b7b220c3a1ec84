"""Objects that are got or made, with nobody in between, as operations."""

# What is private here is so to the package.
# pyright: reportPrivateUsage=false

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...calls import Operation, Origin
from ...errors import ConflictError, OrmisError
from ...planning.plan import Plan
from ...query.q import Q
from ...records.hydration import load
from ...schema.schema import Schema
from ..outcomes import InexactArithmetic
from ..reading import evaluate as results
from ..reading.source import Source
from ..reading.subqueries import planned
from . import save as saving
from .get_or_create_rows import Making, obtain
from .mutations import Mutation
from .update import Writes, check_whole, writes

_TRIES = 100


@dataclass(frozen=True, slots=True)
class RelatedLink:
    """How an object that is made through a manager comes to belong there: by a link that is stored with it, or by what
    is done `after` it is stored.
    """

    link: Mutation | None = None
    after: Callable[[Any], Operation[None]] | None = None


_NOTHING = RelatedLink()


@dataclass(frozen=True, slots=True)
class _New:
    """The object that would be made; `refusal` says why it can't be, where it can't. Nothing where none is needed."""

    record: Any = None
    making: Making | None = None
    refusal: Exception | None = None


def get_or_create(
    source: Source[Any],
    defaults: Mapping[str, Any] | None,
    lookups: Mapping[str, Any],
    asynchronous: bool,
    belonging: RelatedLink = _NOTHING,
) -> Operation[tuple[Any, bool]]:
    """The one object that meets the lookups, or a new one; and whether it is new."""
    narrowed = _narrowed(source, lookups)
    plan = yield from planned(_two(narrowed).query, Origin(narrowed.db))
    for _ in range(_TRIES):
        new = yield from _new(narrowed, belonging, lookups, defaults or {}, asynchronous)
        obtained = yield from obtain(plan, new.making)
        if obtained.created:
            return (yield from _belonging(new.record, belonging)), True
        if obtained.rows:
            return (yield from _single(narrowed, plan, obtained.rows, asynchronous)), False
        if new.refusal is not None:
            raise new.refusal
    raise _contended(source)


def update_or_create(
    source: Source[Any],
    defaults: Mapping[str, Any] | None,
    create_defaults: Mapping[str, Any] | None,
    lookups: Mapping[str, Any],
    asynchronous: bool,
    belonging: RelatedLink = _NOTHING,
) -> Operation[tuple[Any, bool]]:
    """The one object that meets the lookups, changed, or a new one; and whether it is new."""
    narrowed = _narrowed(source, lookups)
    values = {name: _called(value) for name, value in (defaults or {}).items()}
    wanted = writes(source, values)
    plan = yield from planned(_two(narrowed).query, Origin(narrowed.db))
    mutation = _update(source._schema, wanted) if plan.client_where is None and wanted.by_server else None
    given = values if create_defaults is None else create_defaults
    for _ in range(_TRIES):
        new = yield from _new(narrowed, belonging, lookups, given, asynchronous)
        try:
            obtained = yield from obtain(plan, new.making, mutation)
            if obtained.created:
                return (yield from _belonging(new.record, belonging)), True
            if obtained.changed is not None:
                changed, pk = source._copy(where=(), empty=False), source._schema.pk
                key = pk.codec.decode(obtained.changed.encode())
                return (yield from results.get(changed, Origin(narrowed.db, asynchronous), Q(pk=key))), False
            if obtained.rows:
                present = yield from _single(narrowed, plan, obtained.rows, asynchronous)
                yield from _write(present, values)
                return present, False
        except InexactArithmetic:
            mutation = None
        except (ConflictError, source.model.DoesNotExist):  # changed or deleted meanwhile: what is there now?
            continue
        else:
            if new.refusal is not None:
                raise new.refusal
    raise _contended(source)


def _contended(source: Source[Any]) -> ConflictError:
    name = source._schema.name
    return ConflictError(f"{name}: others changed the same object {_TRIES} times in a row", model=name)


def _belonging(record: Any, belonging: RelatedLink) -> Operation[Any]:
    if belonging.after is not None:
        yield from belonging.after(record)
    return record


def _update(schema: Schema, wanted: Writes) -> list[Any]:
    """The mutation less model and key, as lua/get_or_create.lua has it; a save, from which on objects may live."""
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


def _single(narrowed: Source[Any], plan: Plan, rows: Any, asynchronous: bool) -> Operation[Any]:
    found = load(narrowed.model, [row[: len(plan.columns)] for row in rows], Origin(narrowed.db, asynchronous))
    return (yield from _checked_single(narrowed, found))


def _checked_single(narrowed: Source[Any], found: list[Any]) -> Operation[Any]:
    yield from ()
    if len(found) > 1:
        raise narrowed.model.MultipleObjectsReturned(
            f"more than one {narrowed._schema.name} matches {results.asked_of(narrowed)}: filter() finds them all"
        )
    return found[0]


def _new(
    narrowed: Source[Any],
    belonging: RelatedLink,
    lookups: Mapping[str, Any],
    defaults: Mapping[str, Any],
    asynchronous: bool,
) -> Operation[_New]:
    """The object to make, of the lookups that name a field and the defaults.

    Callables are called only where there is no object yet.
    """
    if any(callable(value) for value in defaults.values()) and (
        yield from results.exists(narrowed, Origin(narrowed.db))
    ):
        return _New()
    pk = narrowed._schema.pk.name
    values = {(pk if name == "pk" else name): value for name, value in lookups.items() if "__" not in name}
    values |= {name: _called(value) for name, value in defaults.items()}
    try:
        record = narrowed.model(**narrowed.model._by_alias(values))
        record._assign(Origin(narrowed.db, asynchronous))
        return _New(record, Making(saving.insertion([record]), belonging.link))
    except (ValueError, OrmisError) as refusal:  # it can't be made, but it may be there
        return _New(refusal=refusal)


def _called(value: Any) -> Any:
    return value() if callable(value) else value
