"""get_or_create and update_or_create, free of races. One call of the script `get_or_create` if that can tell; over many
objects without an index that helps, one more for each step of the walk, the last of which creates the object.

The object is created by a call that has examined every other object, or that goes on where the calls before it ended.
So two clients that do the same at the same time create one.

Hooks, receivers and an own save() need to know before whether the object is there: one call more, that looks for it. An
own save() creates the object by itself, then, so that only a unique value keeps two clients from creating two.

Touched, besides the keys that the query reads: those of the new or changed object.
"""

# Private names of this module are private to the package.
# pyright: reportPrivateUsage=false

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

from ...calls import Operation, Origin
from ...errors import ConflictError, FieldError, OrmisError
from ...limits import ATTEMPTS
from ...planning.plan import Plan, packed
from ...query.q import Q
from ...records.hydration import load
from ...schema.schema import Schema
from ...storage.scripts import script
from ..outcomes import InexactArithmetic, answer_of
from ..reading import evaluate as results
from ..reading.pages import Rows, rows_of
from ..reading.row_shapes import attach_known
from ..reading.select import fetch, meets
from ..reading.source import Source
from ..reading.subqueries import planned
from .cascade import referred_values, shapes_with_referrers
from .creation import Creation, Creator, RelatedLink, called
from .mutations import ModelCall, Mutation, commit_call
from .set_changes import check_whole
from .update import Writes, writes

_NOTHING = RelatedLink()


@dataclass(slots=True)
class ObtainCall(ModelCall):
    """The call of `get_or_create`.

    insertion: that of the new object; None where none is to be made. links: it is linked as well. goes_on: a further
    call of one look.
    """

    insertion: Mutation | None = None
    links: bool = False
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class GetOrCreateResult:
    """The result: `created`, or the matching rows, or the key of the changed object."""

    created: bool
    rows: Rows
    changed: str | None = None


def get_or_create(
    source: Source[Any],
    origin: Origin,
    defaults: Mapping[str, Any] | None,
    lookups: Mapping[str, Any],
    related: RelatedLink = _NOTHING,
) -> Operation[tuple[Any, bool]]:
    """The one object that meets the lookups, or a new one; and whether it is new."""
    narrowed = _narrowed(source, lookups)
    plan = yield from _plan(narrowed, origin)
    creator = Creator(narrowed, origin, related, "get_or_create")
    for _ in range(ATTEMPTS):
        new = yield from creator.new(lookups, defaults or {})
        obtained = yield from _obtain(plan, new.creation)
        if obtained.created:
            return (yield from creator.created(new.record)), True
        if obtained.rows:
            found = yield from _single(narrowed, origin, obtained.rows)
            return (yield from _annotated(source, origin, found)), False
        if new.refusal is not None:
            raise new.refusal
        if creator.by_itself and (record := (yield from creator.create(lookups, defaults or {}))) is not None:
            return record, True
    raise _contended(source)


def update_or_create(
    source: Source[Any],
    origin: Origin,
    defaults: Mapping[str, Any] | None,
    create_defaults: Mapping[str, Any] | None,
    lookups: Mapping[str, Any],
    related: RelatedLink = _NOTHING,
) -> Operation[tuple[Any, bool]]:
    """The one object that meets the lookups, changed, or a new one; and whether it is new."""
    narrowed = _narrowed(source, lookups)
    values = {name: called(value) for name, value in (defaults or {}).items()}
    plan = yield from _plan(narrowed, origin)
    mutation, unfit = _conversion(source, values)
    mutation = mutation if plan.client_where is None else None
    given = values if create_defaults is None else create_defaults
    creator = Creator(narrowed, origin, related, "update_or_create")
    mutation = None if creator.in_hand else mutation
    for _ in range(ATTEMPTS):
        new = yield from creator.new(lookups, given)
        try:
            obtained = yield from _obtain_exactly(plan, new.creation, mutation)
            if obtained.changed is not None:
                changed, pk = source._copy(where=(), empty=False), source._schema.pk
                key = pk.codec.decode(obtained.changed.encode())
                return (yield from results.get(changed, origin, Q(pk=key))), False
        except (ConflictError, source.model.DoesNotExist):  # changed or deleted in the meantime: look again
            continue
        if obtained.created:
            return (yield from creator.created(new.record)), True
        if obtained.rows:
            if unfit is not None:
                raise unfit
            present = yield from _single(narrowed, origin, obtained.rows)
            if (yield from creator.change(present, values)):
                return (yield from _annotated(source, origin, present)), False
        elif new.refusal is not None:
            raise new.refusal
        elif creator.by_itself and (record := (yield from creator.create(lookups, given))) is not None:
            return record, True
    raise _contended(source)


def _obtain_exactly(
    plan: Plan, creation: Creation | None, update: Sequence[Any] | None
) -> Operation[GetOrCreateResult]:
    """As _obtain(); an object that the server can't compute the update of is found and not changed."""
    try:
        return (yield from _obtain(plan, creation, update))
    except InexactArithmetic:
        return (yield from _obtain(plan, creation))


def _conversion(source: Source[Any], values: Mapping[str, Any]) -> tuple[list[Any] | None, Exception | None]:
    """The mutation that writes these values, if the server can do that; the error of values that can't be written,
    which matters only if there is an object to be changed.
    """
    try:
        assigned = writes(source, values)
    except (ValueError, TypeError, OrmisError) as error:
        return None, error
    return (_update(source._schema, assigned) if assigned.by_server else None), None


def _contended(source: Source[Any]) -> ConflictError:
    name = source._schema.name
    return ConflictError(f"{name}: others changed the same object {ATTEMPTS} times in a row", model=name)


def _update(schema: Schema, assigned: Writes) -> list[Any]:
    """The mutation less model and key, as lua/get_or_create.lua has it; a save, from which on objects may live."""
    nothing: list[Any] = []
    ttl = () if schema.ttl is None else (*(nothing, nothing)[len(assigned.arguments) - 1 :], schema.ttl)
    return ["update", *assigned.arguments, *ttl]


def _narrowed(source: Source[Any], lookups: Mapping[str, Any]) -> Source[Any]:
    check_whole(source, "used to make objects")
    hidden = tuple(replace(annotation, shown=False) for annotation in source.query.annotations)
    plain = source._copy(order=(), related=(), prefetch=(), fields=None, annotations=hidden)
    return results.narrowed(plain, Q(*lookups.items()))


def _plan(narrowed: Source[Any], origin: Origin) -> Operation[Plan]:
    """The plan for the first two objects. Raises FieldError for conditions that take further queries."""
    plan = yield from planned(narrowed.query.slice(0, 2), origin, writing=True)
    if plan.derived:
        raise FieldError(
            f"{narrowed._schema.name}: get_or_create() and update_or_create() can't be asked of "
            f"{results.asked_of(narrowed)}, which is computed from other objects: name fields of the object itself"
        )
    return plan.renewing()


def _annotated(source: Source[Any], origin: Origin, record: Any) -> Operation[Any]:
    """The object with the annotations that the queryset gives its objects."""
    names = source.query.shown
    if names:
        computed = yield from results.get(source._copy(where=(), empty=False), origin, Q(pk=record.pk))
        own = cast(dict[str, Any], vars(record))
        own.update({name: getattr(computed, name) for name in names})
    return record


def _single(narrowed: Source[Any], origin: Origin, rows: Any) -> Operation[Any]:
    found = load(narrowed.model, rows, origin, read=narrowed.query.schema.columns)
    attach_known(found, narrowed._known)
    return (yield from _checked_single(narrowed, found))


def _checked_single(narrowed: Source[Any], found: list[Any]) -> Operation[Any]:
    yield from ()
    if len(found) > 1:
        raise narrowed.model.MultipleObjectsReturned(
            f"more than one {narrowed._schema.name} matches {results.asked_of(narrowed)}: filter() finds them all"
        )
    return found[0]


# The calls -----------------------------------------------------------------------------------------------------------


def _obtain(plan: Plan, creation: Creation | None, update: Sequence[Any] | None = None) -> Operation[GetOrCreateResult]:
    """The rows that meet the condition, the first two at most; where there are none, the new object is stored.

    creation: None where none is to be made; then there may be no rows.
    update: a mutation without model and key, done to the one object that is found; the script does it where it can
    tell by itself.
    Raises the error of a refused insertion or update.
    """
    plan = plan.with_keys_as_condition()
    found, more = Rows(), dict[str, Any]()
    while True:
        (how, *rest), *rows = yield from _call(plan, None if found else creation, update, more)
        if how == "created":
            assert creation is not None
            assert creation.insertion.on_result is not None
            creation.insertion.on_result(rest[0])
            return GetOrCreateResult(True, Rows())
        if how == "changed":
            return GetOrCreateResult(False, Rows(), rest[0])
        if how == "block":
            return GetOrCreateResult(False, rows[0])
        more = dict[str, Any](step=True)
        if how == "found":
            place, ended = rest
            found += (row for row in rows_of(plan, rows[0]) if meets(plan, row))
            if len(found) > 1 or (ended and (found or creation is None)):
                return GetOrCreateResult(False, found)
            more["after"] = repr(float(place))


def _call(
    plan: Plan, creation: Creation | None, update: Sequence[Any] | None, more: dict[str, Any]
) -> Operation[list[Any]]:
    mutation = {} if update is None else {"mutation": update}
    request, numbers = plan.asked("rows", **mutation, **more)
    if creation is not None:
        request["insertion"] = creation.insertion.packed(1)[2:]
        if creation.link is not None:
            request["link"] = creation.link.packed(numbers.model(creation.link.schema))
    changed = [plan.schema] if update is not None and referred_values(plan.schema) else []
    arguments = (packed(request, numbers), *shapes_with_referrers(numbers.models, (), changed))
    in_block = partial(_in_block, plan, creation)
    call = script("get_or_create")(
        arguments,
        ObtainCall,
        in_block=in_block,
        model=plan.schema.name,
        changed=None if update is None else plan.schema,
        wide=bool(changed),
        plan=plan,
        insertion=None if creation is None else creation.insertion,
        links=creation is not None and creation.link is not None,
        goes_on=bool(more),
    )
    reply: Any = yield call
    head, *rows = [reply] if isinstance(reply, bytes) else reply
    mutations = (plan,) if creation is None or creation.link is None else (plan, creation.link)
    return [answer_of(head, mutations), *rows]


def _in_block(plan: Plan, creation: Creation | None) -> Operation[tuple[Any, ...]]:
    """Inside atomic() the query sees the state before the block; a new object is created at its end."""
    rows = yield from fetch(plan)
    if rows or creation is None:
        return (["ok", "block"], rows)
    results = yield commit_call(creation.mutations)
    return (["ok", "created", results[1][0]],)
