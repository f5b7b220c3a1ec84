"""claim() of a queryset: its first objects, changed so that no other caller is given them.

One call of the script `claim` if the server finds the first objects in one call: by an index that has the order, or
among some thousand objects. Otherwise their keys are read in order, and those are changed that still meet the
conditions; where others were faster, that is done again. No caller waits for another.

Touched: as by update().
"""

# Modules of the package use private names of each other.
# pyright: reportPrivateUsage=false

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from ...calls import Operation, Origin
from ...errors import ClusterError, FieldError, OrmisError
from ...limits import ATTEMPTS
from ...planning.apart import ApartCell, ApartCount
from ...planning.columns import Cell, needed
from ...planning.plan import Plan, check_order
from ...planning.predicates import BoolOp, Compare, ForwardMatch, LinkMatch, Node, Not, ReverseMatch, conjuncts, join
from ...query.q import Q
from ...query.state import Query
from ...records.hydration import load
from ...records.state import Wire
from ...schema.schema import Column, stored_column
from ..outcomes import InexactArithmetic
from ..reading.evaluate import evaluate
from ..reading.row_shapes import attach_known
from ..reading.select import fetch
from ..reading.source import Source
from ..reading.subqueries import planned
from .claim_calls import call_of, first_objects, objects_of_keys
from .known_claims import keep_known, known_claim
from .set_changes import ClientChange, _batch, _computed, _expecting, _key, _Planned, check_whole
from .subquery_values import _has_subquery
from .update import Writes, _client_change, _may_be_null, writes

_SPARE = 50
"""So many more keys are read than are wanted: those that others claim meanwhile are skipped in the same call."""


@dataclass(slots=True)
class _Claims:
    """The objects so far, by their keys, in order."""

    source: Source[Any]
    origin: Origin
    wanted: int
    objects: dict[Any, Any] = field(default_factory=dict[Any, Any])

    @property
    def left(self) -> int:
        """How many are still to be claimed."""
        return self.wanted - len(self.objects)

    def has(self, key: str) -> bool:
        """Returns whether the object with this key, as its text, is among them."""
        return self.source._schema.pk.codec.decode(key.encode()) in self.objects

    def take(self, rows: Sequence[Wire]) -> int:
        """Takes the objects of stored rows that one call has changed; returns how many of them are new."""
        before = len(self.objects)
        for record in _objects(self.source, self.origin, rows):
            self.objects[record.pk] = record
        return len(self.objects) - before


def claim(source: Source[Any], origin: Origin, number: int, values: Mapping[str, Any]) -> Operation[list[Any]]:
    """The first objects of the query, changed."""
    check_whole(source, "claimed")
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(f"claim({number!r}): give the number of objects, 0 or more")
    source._cache = None
    query = source.query
    check_order(query, origin.limits, "claim()")
    plan = yield from planned(
        query.having(offset=0, limit=number or 1, fields=None, related=(), shape="objects"), origin, writing=True
    )
    if plan.prepared is None:  # annotations of the results are read when they are claimed
        plan = replace(plan, columns=plan.schema.columns)
    known = known_claim(plan, values) if number == 1 and not _completes(query) else None
    reply: Any = None
    if known is not None:
        reply = yield call_of(plan, known, number)
        row = known.row(reply)
        if row is not None:
            return _objects(source, origin, (row,))
    return (yield from _claimed(source, origin, number, values, plan, reply))


def _claimed(
    source: Source[Any], origin: Origin, number: int, values: Mapping[str, Any], plan: Plan, reply: Any
) -> Operation[list[Any]]:
    """reply: of a call for the first objects that was made already, None if there was none."""
    name = source._schema.name
    subquery = next((value for value in values.values() if _has_subquery(value)), None)
    if subquery is not None:
        raise FieldError(f"{name}: claim() can't write {subquery}: values of subqueries are those of update()")
    if plan.prepared is None and any(isinstance(one, ApartCell | ApartCount) for one in plan.derived):
        raise ClusterError(
            f"{name}: claim() can't go by {plan.derived[0].name!r}, of objects in whatever partition: keep it in a "
            f"field of {name}, or put its objects beside those by Meta.partition_by"
        )
    if plan.prepared is None and plan.derived:
        raise FieldError(
            f"{name}: a queryset that is filtered or ordered by {plan.derived[0].name} can't be claimed: that is "
            f"about other objects, which may change meanwhile; keep it in a field of {name}"
        )
    assigned = writes(source, values)
    if source.query.empty:
        return []
    _check_leaving(plan, assigned, values)
    keep_known(plan, values, assigned, source.model)
    claims = _Claims(source, origin, number)
    try:
        yield from _claim(plan, claims, assigned, reply)
    except Exception:
        if not claims.objects:
            raise
        # What is claimed belongs to the caller. The next claim() meets the refusal before it claims anything.
    return (yield from _completed(source, origin, claims.objects))


def _objects(source: Source[Any], origin: Origin, rows: Sequence[Wire]) -> list[Any]:
    records = load(source.model, rows, origin, read=source._schema.stored.columns)
    if source._known:
        attach_known(records, source._known)
    return records


def _claim(plan: Plan, claims: _Claims, assigned: Writes, reply: Any = None) -> Operation[None]:
    by_server = assigned.by_server and not _may_be_null(plan.schema, assigned)
    if by_server and plan.client_where is None and not plan.client_sort and plan.keys is None:
        try:
            if (yield from _in_one_call(plan, claims, assigned, reply)):
                return
        except InexactArithmetic:
            pass
    yield from _by_keys(plan, claims, _client_change(claims.source, assigned, claims.origin.limits))


def _in_one_call(plan: Plan, claims: _Claims, assigned: Writes, reply: Any) -> Operation[bool]:
    """Claims by calls that find the objects themselves; returns False if the server can't find them in one call."""
    while claims.left:
        some = min(claims.left, claims.origin.limits.changed)
        call = first_objects(plan, some, assigned)
        if reply is None:
            reply = yield call
        found = call.outcome(reply)
        if found.how not in ("done", "step"):
            return False
        new = claims.take(found.rows)
        if not new or (new < some and found.how == "done"):
            return True
        reply = None
    return True


def _by_keys(plan: Plan, claims: _Claims, how: ClientChange) -> Operation[None]:
    """Claims the objects of keys that are read before, on condition that they still meet the conditions."""
    client_where = needed(() if plan.client_where is None else plan.client_where.columns()).stored
    stored = [stored_column(column) if isinstance(column, Column) else column for column in client_where]
    checked = [column for column in dict.fromkeys([*how.reads, *stored]) if isinstance(column, Column)]
    reading = replace(plan, columns=(plan.schema.pk, *checked))
    for _ in range(ATTEMPTS):
        asked = claims.left + len(claims.objects) + _SPARE
        rows = yield from fetch(replace(reading, limit=asked))
        rows = [row for row in rows if not claims.has(_key(reading, row))]
        yield from _take_first(plan, claims, how, (_computed(reading, how, checked, row) for row in rows))
        if not claims.left or not rows:
            return
    raise OrmisError(f"{plan.schema.name}: others claimed the same objects {ATTEMPTS} times in a row")


def _take_first(plan: Plan, claims: _Claims, how: ClientChange, found: Iterator[_Planned]) -> Operation[None]:
    """Claims the first of these that are still as they were found, as many as are wanted."""
    most = claims.origin.limits.changed
    waiting: list[_Planned] = []
    while claims.left:
        # A value that is computed here may be refused: none is computed for an object that is not needed.
        wanted = min(most, claims.left + (0 if how.reads else _SPARE))
        waiting += islice(found, max(0, wanted - len(waiting)))
        batch = _batch(waiting[:wanted], plan.limits.bytes)
        if not batch:
            return
        left = min(most, claims.left)
        call = objects_of_keys(plan, left, how.requested.arguments, _expecting(how, batch))
        done = call.outcome((yield call))
        claims.take(done.rows)
        waiting = waiting[done.looked :]


def _completed(source: Source[Any], origin: Origin, claimed: dict[Any, Any]) -> Operation[list[Any]]:
    """The objects, read once more where the queryset wants more of them, or less, than their fields."""
    query = source.query
    if not claimed or not _completes(query):
        return [*claimed.values()]
    keys = [*claimed]
    again = source._copy(where=(Q(pk__in=keys),), order=())
    found = {record.pk: record for record in (yield from evaluate(again, origin))}
    return [found[key] for key in keys if key in found]


def _completes(query: Query) -> bool:
    return bool(query.fields or query.related or query.prefetch or (query.annotations and query.shown))


# Conditions ----------------------------------------------------------------------------------------------------------


def _check_leaving(plan: Plan, assigned: Writes, values: Mapping[str, Any]) -> None:
    """Raises ValueError if the changed objects are known to meet the conditions as before, to be claimed again."""
    written = dict(zip(assigned.constants[::2], assigned.constants[1::2], strict=True))
    for part in conjuncts(plan.where):
        if isinstance(part, Compare) and part.operator == "eq" and part.column.codec.traits.equal_by_text:
            text = written.get(part.column.position)
            if text is not None and text != part.texts[0]:
                return
    constants = dict[Column, Any]()
    for position, text in written.items():
        column = plan.schema.columns[int(position) - 1]
        constants[column] = None if text is False else column.codec.decode(_bytes(text))
    row = {column.name: value for column, value in constants.items()}
    changed = {*constants, *assigned.computed}
    for part in conjuncts(plan.where if plan.client_where is None else join("and", [plan.where, plan.client_where])):
        own = _own_columns(part)
        stored = {stored_column(cell) if isinstance(cell, Column) else cell for cell in needed(own).stored}
        if changed.isdisjoint(stored):
            continue
        if not _plain(part) or not own <= constants.keys() or not part.holds(row):
            return
    fields = ", ".join(values) or "nothing"
    raise ValueError(
        f"{plan.schema.name}: claim() changes {fields}, and the objects still meet the conditions of the query, so the "
        f"next caller would be given the same ones: filter by a field that claim() changes, "
        f'.filter(state="queued").claim(..., state="running")'
    )


def _own_columns(node: Node) -> set[Cell]:
    """The columns of the object itself that a condition is about."""
    if isinstance(node, BoolOp):
        return {column for part in node.parts for column in _own_columns(part)}
    if isinstance(node, Not):
        return _own_columns(node.part)
    if isinstance(node, ForwardMatch):
        return {node.column}
    return node.columns()


def _plain(node: Node) -> bool:
    """Returns whether the columns of the object tell if it holds."""
    if isinstance(node, BoolOp):
        return all(map(_plain, node.parts))
    if isinstance(node, Not):
        return _plain(node.part)
    return not (node.joined or isinstance(node, ForwardMatch | ReverseMatch | LinkMatch))


def _bytes(text: Any) -> bytes:
    return text if isinstance(text, bytes) else str(text).encode()
