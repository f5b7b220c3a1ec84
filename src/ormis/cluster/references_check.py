"""What check() and reindex() look at between partitions: each object that another one refers to is there, and knows of
the partitions that may hold such.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..calls import Command, HashRead
from ..limits import Limits
from ..operations.outcomes import answer_of
from ..operations.upkeep.walk import Walk
from ..operations.writing.mutations import Mutation, commit_call, results_of
from ..reports import Report
from ..schema import registry
from ..schema.relations import OnDelete
from ..schema.schema import Reference, Schema
from ..storage.keys import admitted_key, ids_key, object_key, registered_key
from .claims import checked
from .orphans import disowned, is_referred_to, settle_orphans
from .partitions import Partition, Partitions
from .placement import is_reference
from .references import Object, registered, revoked, script_call, sent
from .routing import PartitionCall
from .side_by_side import Steps


@dataclass(frozen=True, slots=True)
class Use:
    """A foreign key of one object, and the object that it leads to."""

    pk: bytes
    reference: Reference
    target: Object

    def home(self, partitions: Partitions) -> Partition:
        """The partition of the object that it leads to."""
        return partitions.of(registry.schema_for(self.target[0]), self.target[1])


def check_references(schemas: Sequence[Schema], limits: Limits, repair: bool, partitions: Partitions) -> Steps[Report]:
    """Compares the foreign keys of these models with the objects that they lead to. With `repair` it registers where
    that is missing, makes a foreign key to nothing absent where it may be, applies the rules of expired objects, and
    revokes admissions without a registration.
    """
    walk = Walk(limits, repair, None)
    for schema in schemas:
        if repair and is_referred_to(schema):
            for partition in partitions.all:
                yield from _gone(walk, schema.stored, partition, partitions)
            yield from settle_orphans(schema, partitions)
    for schema in schemas:
        references = _references(schema.stored)
        for partition in partitions.all if references else ():
            yield from _objects(walk, schema.stored, references, partition, partitions)
    for schema in schemas:
        for partition in partitions.all if is_referred_to(schema) else ():
            yield from _admitted(walk, schema.stored, partition, partitions)
    return walk.report


def _references(schema: Schema) -> list[Reference]:
    """The foreign keys of a model, less those that hold no primary key, or lead to what is in every partition."""
    return [
        one
        for one in schema.references
        if not one.to_field and one.on_delete is not OnDelete.DO_NOTHING and not is_reference(one.target)
    ]


def _scanned(command: str, key: str, cursor: Any, walk: Walk, partition: Partition) -> Steps[tuple[Any, list[bytes]]]:
    """Some entries of a hash or a sorted set, and where to go on, None at the end."""
    reply = yield [PartitionCall(Command((command, key, cursor, "COUNT", walk.limits.checked_objects)), partition)]
    after, found = checked(reply)[0]
    return (None if int(after) == 0 else after), found


# Foreign keys --------------------------------------------------------------------------------------------------------


def _objects(
    walk: Walk, schema: Schema, references: Sequence[Reference], partition: Partition, partitions: Partitions
) -> Steps[None]:
    """Looks at the foreign keys of the objects of a model in one partition."""
    cursor: Any = 0
    while cursor is not None:
        cursor, found = yield from _scanned("ZSCAN", ids_key(schema.key), cursor, walk, partition)
        uses = yield from _read(schema, references, found[::2], partition)
        wrong = yield from _wrong(uses, partition, partitions)
        if wrong:  # they may have changed since
            again = yield from _read(schema, references, [use.pk for use in wrong], partition)
            wrong = yield from _wrong([use for use in again if use in wrong], partition, partitions)
        for use, state in wrong.items():
            yield from _report(walk, schema, use, state, partition, partitions)


def _read(
    schema: Schema, references: Sequence[Reference], pks: Sequence[bytes], partition: Partition
) -> Steps[list[Use]]:
    """The foreign keys of these objects."""
    pks = [*dict.fromkeys(pks)]
    if not pks:
        return []
    fields = schema.fields_of(one.column.name for one in references)
    reads = [HashRead(fields, object_key(schema.key, pk.decode("utf-8", "surrogateescape"))) for pk in pks]
    rows = checked((yield [PartitionCall(read, partition) for read in reads]))
    return [
        Use(pk, reference, (reference.target_key, text))
        for pk, texts in zip(pks, rows, strict=True)
        for reference, text in zip(references, texts, strict=True)
        if text is not None
    ]


def _wrong(uses: Sequence[Use], partition: Partition, partitions: Partitions) -> Steps[dict[Use, str]]:
    """Those that lead to nothing, or to an object that does not know of the partition, each with the state of it."""
    asked: dict[Partition, dict[Object, None]] = {}
    for use in uses:
        asked.setdefault(use.home(partitions), {})[use.target] = None
    states: dict[Object, str] = {}
    if asked:
        states = yield from _states(asked, partition)
    return {
        use: states[use.target]
        for use in uses
        if states[use.target] == "missing"
        or (states[use.target] == "unregistered" and use.home(partitions) is not partition)
    }


def _states(asked: Mapping[Partition, Mapping[Object, None]], partition: Partition) -> Steps[dict[Object, str]]:
    """The states of objects that this partition refers to, see lua/ask_targets.lua."""
    replies = checked(
        (
            yield [
                script_call("ask_targets", [str(partition.number), *(slot for one in some for slot in one)], home)
                for home, some in asked.items()
            ]
        )
    )
    found = [state for reply in replies for state in answer_of(reply)[0]]
    return dict(zip([one for some in asked.values() for one in some], found, strict=True))


def _report(
    walk: Walk, schema: Schema, use: Use, state: str, partition: Partition, partitions: Partitions
) -> Steps[None]:
    """Reports a foreign key, and mends it."""
    column, mended = use.reference.column, walk.repair
    if state == "unregistered":
        kind = "reference-unregistered"
        if walk.repair:
            yield from registered({use.home(partitions): [use.target]}, partition)
    else:
        kind, mended = "reference-dangling", walk.repair and column.nullable
        if mended:
            expected = [column.position, _text(use.target[1], column.codec.kind)]
            pk = _text(use.pk, schema.pk.codec.kind)
            mutation = Mutation(schema, "amend", [pk, [column.position, False], expected, []])
            reply = yield from sent(commit_call([mutation]), partition, partitions)
            results_of([mutation], reply)
    model, target = use.target
    key, detail = object_key(schema.key, _shown(use.pk)), f"{model}:{_shown(target)}"
    walk.take(schema, [(kind, key, column.name, detail, mended)])


def _text(text: bytes, kind: str) -> str | bytes:
    return text if kind == "bytes" else text.decode("utf-8", "surrogateescape")


def _shown(text: bytes) -> str:
    return text.decode("utf-8", "backslashreplace")


# Admissions and registrations ----------------------------------------------------------------------------------------


def _admitted(walk: Walk, schema: Schema, partition: Partition, partitions: Partitions) -> Steps[None]:
    """Finds what is admitted in this partition without a registration."""
    cursor: Any = 0
    key = admitted_key(schema.key)
    while cursor is not None:
        cursor, found = yield from _scanned("HSCAN", key, cursor, walk, partition)
        objects = [(schema.key, pk) for pk in found[::2]]
        wrong = yield from _without_registration(objects, schema, partition, partitions)
        if wrong:  # it may have been revoked since
            (texts,) = checked((yield [PartitionCall(Command(("HMGET", key, *(pk for _, pk in wrong))), partition)]))
            still = [one for one, text in zip(wrong, texts, strict=True) if text is not None]
            wrong = yield from _without_registration(still, schema, partition, partitions)
        if wrong and walk.repair:
            yield from revoked({partition: wrong})
        names = [f"{model}:{_shown(pk)}" for model, pk in wrong]
        walk.take(schema, [("reference-admitted", key, None, name, walk.repair) for name in names])


def _without_registration(
    objects: Sequence[Object], schema: Schema, partition: Partition, partitions: Partitions
) -> Steps[list[Object]]:
    asked: dict[Partition, dict[Object, None]] = {}
    for one in objects:
        asked.setdefault(partitions.of(schema, one[1]), {})[one] = None
    states = (yield from _states(asked, partition)) if asked else {}
    return [one for one in objects if states[one] in ("missing", "unregistered")]


def _gone(walk: Walk, schema: Schema, partition: Partition, partitions: Partitions) -> Steps[None]:
    """Applies the rules of objects of this partition that have expired while others were registered at them."""
    cursor: Any = 0
    while cursor is not None:
        cursor, found = yield from _scanned("HSCAN", registered_key(schema.key), cursor, walk, partition)
        entries = dict(zip(found[::2], found[1::2], strict=True))
        if not entries:
            continue
        states = yield from _states({partition: {(schema.key, pk): None for pk in entries}}, partition)
        gone = {pk: entry for pk, entry in entries.items() if states[schema.key, pk] == "expired"}
        if gone:
            yield from disowned(schema.key, {partition: gone}, partitions)
