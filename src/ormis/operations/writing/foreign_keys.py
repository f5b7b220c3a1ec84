"""Changing the foreign keys of given objects. One call of the script `commit` for as many as `Limits.links` says, each
all or nothing.

Touched: the objects' hashes, the indexes and claims with their foreign key.
"""

# Private names of this module are private to the package.
# pyright: reportPrivateUsage=false

from collections.abc import Callable, Sequence
from typing import Any

from ...calls import Operation, Origin
from ...errors import ConflictError
from ...limits import ATTEMPTS, Limits
from ...records.state import cache_related, state_of
from ...schema.schema import Reference, Schema
from ..reading.evaluate import evaluate
from ..reading.source import Source
from .client_arithmetic import commit_computing
from .mutations import Mutation, commit
from .save import Record


def point(records: Sequence[Record], reference: Reference, related: Any, limits: Limits) -> Operation[None]:
    """Makes the records refer to this object.

    Raises DoesNotExist for a record that is gone, ForeignKeyViolation where the object is.
    """
    return _in_steps(records, limits, lambda record: _pointing(record, reference, related.pk, related, ()))


def release(records: Sequence[Record], reference: Reference, pk: Any, limits: Limits) -> Operation[None]:
    """Makes the records, which refer to the object with this key, refer to nothing.

    Raises DoesNotExist for a record that is gone or does not refer to it.
    """
    expected = (reference.column.position, reference.column.codec.encode(pk))
    try:
        yield from _in_steps(records, limits, lambda record: _pointing(record, reference, None, None, expected))
    except ConflictError as conflict:
        schema: Schema = records[0].__schema__
        others = (f"{record!r} does not" for record in records if getattr(record, reference.column.name) != pk)
        raise schema.does_not_exist(
            f"not among the objects that refer to {reference.target}:{pk}: {next(others, conflict)}"
        ) from None


def replace(
    source: Source[Any], origin: Origin, reference: Reference, pk: Any, adding: Callable[[], list[Mutation]]
) -> Operation[None]:
    """Makes the objects of the query, which refer to the object with this key, refer to nothing, and applies the
    mutations that make others refer to it.

    One call more: it reads the keys of the query first. All or nothing if there are as few as one call changes.
    Raises what the mutations are refused for.
    """
    step, schema = origin.limits.links, source._schema
    query = source._copy(shape="flat", fields=(schema.pk.name,), order=())
    for attempt in range(ATTEMPTS):
        released = [_releasing(schema, key, reference, pk) for key in (yield from evaluate(query, origin))]
        mutations = [*released, *adding()]
        try:
            for first in range(0, len(mutations), step):
                yield from commit_computing(mutations[first : first + step])
        except ConflictError:  # another client has moved one of the objects of the query meanwhile
            if attempt == ATTEMPTS - 1:
                raise
        else:
            return


def pointing(records: Sequence[Record], reference: Reference, related: Any) -> list[Mutation]:
    """The mutations that make the records refer to this object."""
    return [_pointing(record, reference, related.pk, related, ()) for record in records]


def _releasing(schema: Schema, key: Any, reference: Reference, pk: Any) -> Mutation:
    column = reference.column
    nothing: list[Any] = []
    expected = [column.position, column.codec.encode(pk)]
    return Mutation(schema, "amend", [schema.pk.codec.encode(key), [column.position, False], expected, nothing])


def _in_steps(records: Sequence[Record], limits: Limits, mutation: Callable[[Any], Mutation]) -> Operation[None]:
    step = limits.links
    for first in range(0, len(records), step):
        yield from commit([mutation(record) for record in records[first : first + step]])


def _pointing(record: Any, reference: Reference, pk: Any, related: Any, expected: Sequence[Any]) -> Mutation:
    schema: Schema = record.__schema__
    column, state = reference.column, state_of(record)
    text = None if pk is None else column.codec.encode(pk)

    def on_result(_: Any) -> None:
        vars(record)[column.name] = pk
        state.mark_stored(schema, column, pk, text)
        cache_related(record, reference.name, related)

    own = schema.pk.codec.encode(record.pk)
    changes = [column.position, False if text is None else text]
    before = state.text(column)
    loaded = (column.position, False if before is None else before) if state.saved else ()
    return Mutation(schema, "update", [own, changes, list(expected), []], on_result, records=(record,), loaded=loaded)
