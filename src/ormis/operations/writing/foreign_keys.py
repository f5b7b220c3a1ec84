"""Changing the foreign keys of given objects. One call of the script `commit` for as many as `Limits.links` says, each
all or nothing.

Touched: the objects' hashes, the indexes and claims with their foreign key.
"""

# Private names of querysets are private to the package.
# pyright: reportPrivateUsage=false

from collections.abc import Sequence
from functools import partial
from typing import Any

from ...calls import Operation, Origin
from ...errors import ConflictError
from ...records.state import cache_related, state_of
from ...schema.schema import Column, Reference, Schema
from ...storage.codecs import Text
from ..reading.evaluate import evaluate
from ..reading.source import Source
from .auto_now import times
from .hooks import Occasion, before_save, watches_saves
from .mutations import Mutation
from .save import Record
from .save_together import Before, write_together


def point(
    records: Sequence[Record], reference: Reference, related: Any, origin: Origin, before: Before | None = None
) -> Operation[None]:
    """Makes the records refer to this object; it is set() if there is something to do `before`, else add().

    Raises DoesNotExist for a record that is gone, ForeignKeyViolation where the object is.
    """
    method = "add" if before is None else "set"
    return _written(records, reference, related, Occasion(method, origin, signals=False), (), before)


def release(records: Sequence[Record], reference: Reference, related: Any, origin: Origin) -> Operation[None]:
    """Makes the records, which refer to this object, refer to nothing.

    Raises DoesNotExist for a record that is gone or does not refer to it.
    """
    key = _key_to(reference, related)
    expected = (reference.column.position, reference.column.codec.encode(key))
    others = [record for record in records if getattr(record, reference.column.name) != key]
    try:
        yield from _written(records, reference, None, Occasion("remove", origin, signals=False), expected)
    except ConflictError as conflict:
        schema: Schema = records[0].__schema__
        reason = f"{others[0]!r} does not" if others else conflict
        raise schema.does_not_exist(f"not among the objects that refer to {related.key}: {reason}") from None


def releasing(source: Source[Any], origin: Origin, reference: Reference, related: Any) -> Operation[list[Mutation]]:
    """The mutations that make the objects of the query, which refer to this object, refer to nothing; on condition
    that they still refer to it. One call, which reads their keys.
    """
    schema, column = source._schema, reference.column
    keys: list[Any] = yield from evaluate(source._copy(shape="flat", fields=(schema.pk.name,), order=()), origin)
    if not keys:
        return []
    expected = [column.position, column.codec.encode(_key_to(reference, related))]
    changes = [column.position, False, *_texts(_times(schema))]
    nothing: list[Any] = []
    return [Mutation(schema, "amend", [schema.pk.codec.encode(key), changes, expected, nothing]) for key in keys]


def _written(
    records: Sequence[Any],
    reference: Reference,
    related: Any,
    occasion: Occasion,
    expected: Sequence[Any],
    before: Before | None = None,
) -> Operation[None]:
    """Writes the foreign keys of the records; hooks see what is going to be stored."""
    assert occasion.origin is not None
    waiting, step = [*records], occasion.origin.limits.links
    mutation = partial(_pointing, reference=reference, related=related, expected=expected)
    if not records or not watches_saves(type(records[0]), told=False):
        yield from write_together(waiting, mutation, None, before, step)
        return
    name, key = reference.column.name, _key_to(reference, related)
    former: list[Any] = [getattr(record, name) for record in records]
    try:
        for record in records:
            vars(record)[name] = key
            cache_related(record, reference.name, related)
        yield from before_save(records, occasion)
        yield from write_together(waiting, mutation, occasion, before, step)
    except BaseException:
        done = len(records) - len(waiting)
        for record, value in zip(records[done:], former[done:], strict=True):
            vars(record)[name] = value
        raise


def _key_to(reference: Reference, related: Any) -> Any:
    """The value of an object that the foreign key holds; None of None."""
    return None if related is None else getattr(related, reference.referred(related.__schema__).name)


def _pointing(record: Any, reference: Reference, related: Any, expected: Sequence[Any]) -> Mutation:
    schema: Schema = record.__schema__
    column, state, key = reference.column, state_of(record), _key_to(reference, related)
    text = None if key is None else column.codec.encode(key)
    timed = _times(schema)

    def on_result(_: Any) -> None:
        vars(record)[column.name] = key
        state.mark_stored(schema, column, key, text)
        for one, value, new in timed:
            vars(record)[one.name] = value
            state.mark_stored(schema, one, value, new)
        cache_related(record, reference.name, related)

    own = schema.pk.codec.encode(record.pk)
    changes = [column.position, False if text is None else text, *_texts(timed)]
    before = state.text(column)
    loaded = (column.position, False if before is None else before) if state.saved else ()
    return Mutation(schema, "update", [own, changes, list(expected), []], on_result, records=(record,), loaded=loaded)


def _times(schema: Schema) -> list[tuple[Column, Any, Text]]:
    """The fields with auto_now, with their values and texts."""
    values = times(schema.auto_now)
    return [(column, values[column.name], column.codec.encode(values[column.name])) for column in schema.auto_now]


def _texts(timed: Sequence[tuple[Column, Any, Text]]) -> list[Any]:
    return [item for column, _, text in timed for item in (column.position, text)]
