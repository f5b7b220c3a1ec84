"""bulk_create and bulk_update: one call of the script `commit` per batch, each all or nothing."""

# Modules of the package use private names of each other.
# pyright: reportPrivateUsage=false

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from itertools import groupby
from typing import Any

from ...calls import Operation, Origin, ScriptCall
from ...errors import FieldError, IntegrityError, of_another_model, shown
from ...records.state import state_of
from ..reading.source import Source
from .client_arithmetic import commit_computing
from .hooks import Occasion, after_save, before_save, watches_saves
from .mutations import Mutation, commit_call, deliver, results_of, text_size
from .save import OnConflict, Record, When, insertion, mutation_for
from .update import named


def create(
    records: Sequence[Record],
    origin: Origin,
    batch_size: int | None = None,
    when: When = None,
    method: str = "bulk_create",
) -> Operation[None]:
    """Inserts the records, `batch_size` in a call; without that 1,000, fewer where they are long.

    Raises what saving raises; the batches before stay stored.

    when: the treatment of a record in conflict with an object.
    method: what the application has called. Hooks come before the first batch, and after each.
    """
    size, most = _size(batch_size, origin.limits.inserts), None if batch_size else origin.limits.bytes
    if not any(watches_saves(model, told=False) for model in _classes(records)):
        yield from _create(records, size, when, most)
        return
    occasion = Occasion(method, origin, signals=False)
    yield from before_save(records, occasion)
    for first in range(0, len(records), size):
        batch = records[first : first + size]
        yield from _create(batch, size, when, most)
        for record in batch:
            state_of(record).stored_in(origin)
        yield from after_save(batch, not isinstance(when, OnConflict), occasion, if_stored=when is not None)


def _create(records: Sequence[Record], size: int, when: When, most: int | None) -> Operation[None]:
    """Inserts the records, at most so many bytes in a call if there is more than one.

    While the server stores one batch, the objects of the one before learn their keys and the next is made ready; it is
    sent when the one before it is known to be stored.
    """
    stored: list[tuple[Sequence[Mutation], list[Any]]] = []

    @lru_cache(1)
    def batch(first: int, size: int) -> tuple[Sequence[Mutation], ScriptCall, int]:
        while True:
            some = records[first : first + size]
            mutations = [insertion(alike, when) for alike in _of_one_ttl(some)]
            call = commit_call(mutations)
            call.divisible = True
            length = text_size(call.args[:1])
            if most is None or length <= most or len(some) == 1:
                return mutations, call, len(some)
            size = max(1, len(some) * most // length)

    def take_results() -> None:
        while stored:
            deliver(*stored.pop())

    def meanwhile(following: int, size: int) -> None:
        take_results()
        if following < len(records):
            with suppress(Exception):  # it comes again when the batch is due
                batch(following, size)

    try:
        first, trying = 0, size
        while first < len(records):
            mutations, call, count = batch(first, trying)
            first, trying = first + count, min(size, 2 * count)
            call.meanwhile = partial(meanwhile, first, trying)
            stored.append((mutations, results_of(mutations, (yield call))))
    finally:
        take_results()


def _classes(records: Sequence[Record]) -> Sequence[Any]:
    """The classes of the records: one, unless they are of a family."""
    if not records or not records[0].__schema__.kinds:
        return [*map(type, records[:1])]
    return [*dict.fromkeys(map(type, records))]


def _of_one_ttl(records: Sequence[Record]) -> Sequence[Sequence[Record]]:
    """The records in parts of one Meta.ttl each, which is that of all unless they are of a family."""
    if not records[0].__schema__.kinds:
        return [records]
    return [[*some] for _, some in groupby(records, key=lambda record: record.__schema__.ttl)]


def update(
    records: Sequence[Record], origin: Origin, fields: Sequence[str], batch_size: int | None = None
) -> Operation[int]:
    """Writes these fields of the records, `batch_size` in a call, each all or nothing; without that fewer where the
    values are long. Deleted objects are skipped.

    Returns how many objects there were. Raises what saving raises.
    """
    size, found = _size(batch_size, origin.limits.updates), set[Any]()
    most = None if batch_size else origin.limits.bytes
    watched = any(watches_saves(model, told=False) for model in _classes(records))
    occasion = Occasion("bulk_update", origin, signals=False)
    waiting = {id(record): record for record in records} if watched else {}  # once for an object that is given twice
    yield from before_save([*waiting.values()], occasion)
    first = 0
    while first < len(records):
        batch = _batch((mutation_for(record, fields) for record in records[first : first + size]), most)
        some = records[first : first + len(batch)]
        first += len(batch)
        for mutation in batch:
            mutation.code, mutation.on_result, mutation.ttl = "amend", _unless_gone(mutation.on_result), None
            mutation.changed, mutation.fast, mutation.on_commit = None, (), _unless_gone(mutation.on_commit)
        results = yield from commit_computing(batch, divisible=True)
        found.update(one.arguments[0] for one, result in zip(batch, results, strict=True) if result is not False)
        if waiting:
            done = {id(record) for record, result in zip(some, results, strict=True) if result is not False}
            stored = [waiting.pop(one) for one in [*waiting] if one in done]
            yield from after_save(stored, False, occasion)
    return len(found)


def _batch(mutations: Iterable[Mutation], most: int | None) -> list[Mutation]:
    """The first of these, until their texts have so many bytes together."""
    batch: list[Mutation] = []
    length = 0
    for mutation in mutations:
        batch.append(mutation)
        if most is not None:
            length += text_size(mutation.arguments[1])
            if length > most:
                break
    return batch


def _unless_gone(on_result: Callable[[Any], None] | None) -> Callable[[Any], None] | None:
    if on_result is None:
        return None

    def unless_gone(result: Any) -> None:
        if result is not False:
            on_result(result)

    return unless_gone


def _size(given: int | None, usual: int) -> int:
    size = usual if given is None else given
    if size < 1:
        raise ValueError(f"batch_size={size}: give at least 1")
    return size


def checked(source: Source[Any], objects: Iterable[Any], method: str) -> list[Any]:
    """The objects as a list. Raises FieldError for one of another model."""
    if isinstance(objects, source.model) or not isinstance(objects, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise FieldError(f"{method}() takes a list of objects, not {shown(objects)}: write [object] for one")
    records = [*objects]
    for record in records:
        if not isinstance(record, source.model):
            given = of_another_model(record, source.model)
            raise FieldError(f"{given} is no {source.model.__name__}: {method}() takes objects of the model")
        if record.__declarations__:
            record._check_related(source.db)
    return records


def conflicts(
    source: Source[Any],
    ignore: bool,
    update_them: bool,
    update_fields: Iterable[str] | None,
    unique_fields: Iterable[str] | None,
) -> When:
    """The action of bulk_create() on a conflict. Raises ValueError for options that exclude each other."""
    schema = source._schema
    if ignore and update_them:
        raise ValueError("bulk_create(): ignore_conflicts and update_conflicts exclude each other")
    if not update_them:
        if update_fields is not None or unique_fields is not None:
            raise ValueError("bulk_create(): update_fields and unique_fields go with update_conflicts=True")
        return "ignore" if ignore else None
    if not update_fields or not unique_fields:
        raise ValueError("bulk_create(update_conflicts=True) needs update_fields= and unique_fields=")
    columns = schema.columns_of(unique_fields, "bulk_create(unique_fields=...)")
    constraint = next((u.name for u in schema.unique if set(u.columns) == set(columns)), None)
    name = schema.pk.name if columns == [schema.pk] else constraint
    if name is None:
        shown = ", ".join(column.name for column in columns)
        raise FieldError(f"{schema.name}: no unique field or constraint is over {shown}")
    updated = schema.columns_of(update_fields, "bulk_create(update_fields=...)")
    positions = [named(schema, column.name).position for column in (*updated, *schema.auto_now)]
    return OnConflict([*dict.fromkeys(positions)], [name])


def bulk_update(
    source: Source[Any], origin: Origin, objects: Iterable[Any], fields: Iterable[str], batch_size: int | None
) -> Operation[int]:
    """Writes these fields of stored objects; how many of them there still were."""
    names = [column.name for column in source._schema.columns_of(fields, "bulk_update()")]
    records = checked(source, objects, "bulk_update")
    if not names:
        raise FieldError(f"{source._schema.name}: bulk_update() needs the names of the fields to write")
    for record in records:
        if record.pk is None:
            raise IntegrityError(f"bulk_update(): {record!r} is not saved yet", model=source._schema.name)
    changed = [*(named(source._schema, name).name for name in names), *(c.name for c in source._schema.auto_now)]
    return (yield from update(records, origin, [*dict.fromkeys(changed)], batch_size))
