"""Changing the foreign keys of given objects. One call of the script `commit` for as many as `Limits.links` says, each
all or nothing.

Touched: the objects' hashes, the indexes and claims with their foreign key.
"""

from collections.abc import Sequence
from typing import Any

from ...calls import Operation, Origin
from ...errors import ConflictError
from ...records.state import cache_related, state_of
from ...schema.schema import Column, Reference, Schema
from ...storage.codecs import Text
from .auto_now import times
from .hooks import Occasion, after_save, before_save, watches_saves
from .mutations import Mutation, commit
from .save import Record


def point(records: Sequence[Record], reference: Reference, related: Any, origin: Origin) -> Operation[None]:
    """Makes the records refer to this object.

    Raises DoesNotExist for a record that is gone, ForeignKeyViolation where the object is.
    """
    return _in_steps(records, reference, related, origin, "add", ())


def release(records: Sequence[Record], reference: Reference, related: Any, origin: Origin) -> Operation[None]:
    """Makes the records, which refer to this object, refer to nothing.

    Raises DoesNotExist for a record that is gone or does not refer to it.
    """
    key = _key_to(reference, related)
    expected = (reference.column.position, reference.column.codec.encode(key))
    others = [record for record in records if getattr(record, reference.column.name) != key]
    try:
        yield from _in_steps(records, reference, None, origin, "remove", expected)
    except ConflictError as conflict:
        schema: Schema = records[0].__schema__
        reason = f"{others[0]!r} does not" if others else conflict
        raise schema.does_not_exist(f"not among the objects that refer to {related.key}: {reason}") from None


def _in_steps(
    records: Sequence[Any],
    reference: Reference,
    related: Any,
    origin: Origin,
    method: str,
    expected: Sequence[Any],
) -> Operation[None]:
    step = origin.limits.links
    if not records or not watches_saves(type(records[0]), told=False):
        for first in range(0, len(records), step):
            yield from commit([_pointing(r, reference, related, expected) for r in records[first : first + step]])
        return
    occasion, name = Occasion(method, origin, signals=False), reference.column.name
    key = _key_to(reference, related)
    former: list[Any] = [getattr(record, name) for record in records]
    try:
        for record in records:  # hooks see what is going to be stored
            vars(record)[name] = key
        yield from before_save(records, occasion)
        for first in range(0, len(records), step):
            some = records[first : first + step]
            yield from commit([_pointing(record, reference, related, expected) for record in some])
            del former[: len(some)]
            yield from after_save(some, False, occasion)
    except BaseException:
        for record, value in zip(records[len(records) - len(former) :], former, strict=True):
            vars(record)[name] = value
        raise


def _key_to(reference: Reference, related: Any) -> Any:
    """The value of an object that the foreign key holds; None of None."""
    return None if related is None else getattr(related, reference.referred(related.__schema__).name)


def _pointing(record: Any, reference: Reference, related: Any, expected: Sequence[Any]) -> Mutation:
    schema: Schema = record.__schema__
    column, state, key = reference.column, state_of(record), _key_to(reference, related)
    text = None if key is None else column.codec.encode(key)
    changes: list[Any] = [column.position, False if text is None else text]
    timed: list[tuple[Column, Any, Text]] = []
    if schema.auto_now:
        values = times(schema.auto_now)
        timed = [(one, values[one.name], one.codec.encode(values[one.name])) for one in schema.auto_now]
        changes += [item for one, _, new in timed for item in (one.position, new)]

    def on_result(_: Any) -> None:
        vars(record)[column.name] = key
        state.mark_stored(schema, column, key, text)
        for one, value, new in timed:
            vars(record)[one.name] = value
            state.mark_stored(schema, one, value, new)
        cache_related(record, reference.name, related)

    own = schema.pk.codec.encode(record.pk)
    before = state.text(column)
    loaded = (column.position, False if before is None else before) if state.saved else ()
    return Mutation(schema, "update", [own, changes, list(expected), []], on_result, records=(record,), loaded=loaded)
