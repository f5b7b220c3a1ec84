"""Deletes objects and those that refer to them, by each reference's on_delete.

One call of `commit` deletes a single object, one of `change` the objects of a query, or several if they are many. Each
call deletes all of its objects and those that refer to them, or nothing.

If more than `Limits.cascade` objects refer to them, no call deletes all:

    collect     reads the objects to delete; raises for PROTECT and RESTRICT before any write
       |
    release     sets the references of other objects to null or to their default, in batches
       |
    batches     deletes children before parents; each batch is a whole deletion, with objects that came meanwhile;
                objects that refer to each other in a ring go in one call

On a cluster a ring may be in several partitions: then it is opened before, where a foreign key of it may be null.

So nothing refers to a deleted object after any of the calls. A deletion that is interrupted goes on if it is repeated.

Touched: the objects, their indexes, claims and links, and those of every model that refers to them, at any depth.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from ... import signals
from ...calls import Operation, Origin
from ...errors import ClusterError
from ...planning.plan import Plan
from ...query.q import Q
from ...query.state import every
from ...schema import registry
from ...schema.relations import OnDelete
from ...schema.schema import Column, Reference, Schema
from ..outcomes import LargeCascade, raise_outcome
from ..reading.pages import decoded
from ..reading.select import fetch, fetch_keys
from ..reading.source import Source
from ..reading.subqueries import planned
from .hooks import Occasion, after_delete, before_delete, watches_deletions
from .mutations import Mutation, commit
from .replacements import Replacements
from .save import Record
from .set_changes import Change, ChangeCounts, change, keys_only, plan_of_all


def delete(source: Source[Any], origin: Origin) -> Operation[tuple[int, dict[str, int]]]:
    """Deletes every object of the query and the objects that refer to them; returns their numbers as counted() does."""
    plan = yield from plan_of_all(source, origin, "deleted")
    limits, replacements = origin.limits, Replacements()
    requested = Change("delete", limits.deleted, (limits.cascade,), replacements=replacements)
    found = partial(_delete_found, origin, replacements)
    return counted((yield from change(plan, requested, origin, found)).models)


def delete_one(record: Record, pk: Any, origin: Origin) -> Operation[tuple[int, dict[str, int]]]:
    """Deletes the object, whose key this is, and those that refer to it; returns their numbers as counted() does."""
    schema: Schema = record.__schema__
    if (schema.hooks is None and not signals.listening) or not watches_deletions(type(record)):
        return counted((yield from _delete_batch(schema, [pk], origin, Replacements())))
    occasion = Occasion("delete", origin)
    yield from before_delete(record, occasion)
    counts = counted((yield from _delete_batch(schema, [pk], origin, Replacements())))
    yield from after_delete(record, occasion)
    return counts


def counted(counts: Any) -> tuple[int, dict[str, int]]:
    """Returns how many objects a deletion took, in all and by the names of their models."""
    named = dict(sorted((registry.model_for(key).__name__, count) for key, count in dict(counts or {}).items()))
    return sum(named.values()), named


def deletion(schema: Schema, pks: Sequence[Any], most: int | None = None) -> Mutation:
    """The mutation that deletes the objects with these keys; its result is {key of a model: count}.

    most: the number of objects that may refer to them; more raise LargeCascade.
    """
    return Mutation(schema, "delete", [[schema.pk.codec.encode(pk) for pk in pks], most], predicted_result={})


def _delete_batch(schema: Schema, pks: Sequence[Any], origin: Origin, replacements: Replacements) -> Operation[Any]:
    try:
        deleting = [deletion(schema, pks, origin.limits.cascade)]
        (counts,) = yield from commit(deleting, replacements, divisible=len(pks) > 1)
    except LargeCascade as large:
        return Counter(large.deleted) + (yield from _delete_in_batches(schema, pks, origin, replacements))
    return counts


def _delete_found(
    origin: Origin, replacements: Replacements, plan: Plan, keys: Sequence[str] | None
) -> Operation[ChangeCounts]:
    """Deletes the objects of the query, or those of these keys that still belong to it."""
    reading, pk = keys_only(plan), plan.schema.pk.name
    rows = yield from (fetch(reading) if keys is None else fetch_keys(reading, keys))
    pks = [decoded(plan.schema, reading.reads, row)[pk] for row in rows]
    return ChangeCounts(len(pks), (yield from _delete_in_batches(plan.schema, pks, origin, replacements)))


# Large cascades ------------------------------------------------------------------------------------------------------


_Object = tuple[str, Any]
"""The key of a model, and a primary key."""


@dataclass(slots=True)
class _Cascade:
    """The objects of a large deletion.

    objects: each with its model.
    parents: of an object those of the others that it refers to. children: the number of those that refer to it.
    released: references that are set to another value or to null, with the values that lead to the deleted objects.
    protecting, restricting: the objects with a reference that forbids the deletion.
    """

    objects: dict[_Object, Schema] = field(default_factory=dict[_Object, Schema])
    parents: dict[_Object, list[_Object]] = field(default_factory=dict[_Object, list[_Object]])
    children: Counter[_Object] = field(default_factory=Counter[_Object])
    released: list[tuple[Schema, Reference, list[Any]]] = field(
        default_factory=list[tuple[Schema, Reference, list[Any]]]
    )
    protecting: list[tuple[Schema, Reference, Any]] = field(default_factory=list[tuple[Schema, Reference, Any]])
    restricting: list[tuple[Schema, Reference, Any]] = field(default_factory=list[tuple[Schema, Reference, Any]])

    def add(self, schema: Schema, pks: Sequence[Any]) -> list[Any]:
        """Adds objects to delete; returns the keys of the new ones."""
        new = [pk for pk in dict.fromkeys(pks) if (schema.key, pk) not in self.objects]
        self.objects.update(((schema.key, pk), schema) for pk in new)
        return new

    def relate(self, child: _Object, parent: _Object) -> None:
        """One of the objects refers to another."""
        if child != parent:
            self.parents.setdefault(child, []).append(parent)
            self.children[parent] += 1

    def waves(self) -> Iterator[list[_Object]]:
        """The objects, each after those that refer to it. Rings, and the objects that they refer to, are left."""
        wave = [one for one in self.objects if not self.children[one]]
        while wave:
            yield wave
            following: list[_Object] = []
            for one in wave:
                del self.objects[one]
                for parent in self.parents.get(one, ()):
                    self.children[parent] -= 1
                    if not self.children[parent]:
                        following.append(parent)
            wave = following

    def batches(self, objects: Iterable[_Object], size: int | None) -> list[tuple[Schema, list[Any]]]:
        """These objects by model, so many together; all of a model if there is no size."""
        by_model: dict[Schema, list[Any]] = {}
        for one in objects:
            by_model.setdefault(self.objects[one], []).append(one[1])
        return [(schema, [*some]) for schema, pks in by_model.items() for some in _chunks(pks, size or len(pks))]


def _delete_in_batches(
    schema: Schema,
    pks: Sequence[Any],
    origin: Origin,
    replacements: Replacements,
    met: AbstractSet[_Object] = frozenset(),
) -> Operation[Counter[str]]:
    """met: a ring that could not be deleted in one call, nor be opened."""
    cascade = yield from _collect(schema, pks, origin)
    counts = Counter[str]()
    try:
        yield from _release(cascade, origin, replacements)
        for wave in cascade.waves():
            for model, batch in cascade.batches(wave, origin.limits.deleted):
                counts.update((yield from _delete_batch(model, batch, origin, replacements)))
        if cascade.objects:
            counts.update((yield from _delete_rings(cascade, origin, replacements, met)))
    except Exception as error:
        if counts:
            error.add_note(f"{counts.total()} objects of a large deletion were deleted before; repeat it for the rest")
        raise
    return counts


def _delete_rings(
    cascade: _Cascade, origin: Origin, replacements: Replacements, met: AbstractSet[_Object]
) -> Operation[Counter[str]]:
    """Deletes the objects that are left, which refer to each other."""
    batches = cascade.batches(cascade.objects, None)
    counts = Counter[str]()
    try:
        for result in (yield from commit([deletion(*batch, None) for batch in batches], replacements)):
            counts.update(result)
    except LargeCascade:
        left = frozenset(cascade.objects)
        opened = yield from _open_rings(batches, origin)
        if not opened and left == met:
            names = ", ".join(sorted(schema.name for schema, _ in batches))
            raise ClusterError(
                f"objects of {names} refer to each other in a ring over several partitions, by foreign keys that "
                f"can't be null: let one of them be null, or put the objects beside each other by Meta.partition_by"
            ) from None
        for schema, pks in batches:
            counts.update((yield from _delete_in_batches(schema, pks, origin, replacements, left)))
    return counts


def _open_rings(batches: Sequence[tuple[Schema, list[Any]]], origin: Origin) -> Operation[bool]:
    """Makes the foreign keys absent by which these objects refer to each other, as far as they may be; returns whether
    there are such.
    """
    models, opened = {schema.stored.key for schema, _ in batches}, False
    for schema, pks in batches:
        for reference in schema.references:
            if not reference.column.nullable or reference.target_key not in models:
                continue
            opened = True
            requested = Change("update", origin.limits.changed, ([reference.column.position, False],))
            for some in _chunks(pks, origin.limits.values):
                query = every(schema).having(where=(Q(("pk__in", [*some])),), order=())
                yield from change((yield from planned(query, origin)), requested, origin)
    return opened


def _collect(root: Schema, pks: Sequence[Any], origin: Origin) -> Operation[_Cascade]:
    """Reads the objects to delete. Raises ProtectedError or RestrictedError."""
    cascade = _Cascade()
    waiting = deque([(root, cascade.add(root, pks))])
    while waiting:
        schema, parents = waiting.popleft()
        for child, reference in registry.referrers(schema.stored):
            elsewhere = reference.to_field and reference.to_field not in schema.by_name  # a field of a sibling
            if elsewhere or reference.on_delete is OnDelete.DO_NOTHING:
                continue
            for some in _chunks(parents, origin.limits.values):
                found = yield from _referring(schema, child, reference, some, origin)
                new = _follow(cascade, schema, child, reference, found)
                if new:
                    waiting.append((child, new))
    _refuse("protected", root, cascade.protecting)
    standing = [one for one in cascade.restricting if (one[0].key, one[2]) not in cascade.objects]
    _refuse("restricted", root, standing)
    return cascade


@dataclass(frozen=True, slots=True)
class _Referring:
    """An object that refers to one of those to delete: its key, the value of its foreign key, the key of the other."""

    pk: Any
    value: Any
    target: Any


def _follow(
    cascade: _Cascade, schema: Schema, child: Schema, reference: Reference, found: Sequence[_Referring]
) -> list[Any]:
    """Applies a reference's on_delete to objects that have it; returns new objects to delete."""
    rule = reference.on_delete
    if rule is OnDelete.CASCADE:
        for one in found:
            cascade.relate((child.key, one.pk), (schema.key, one.target))
        return cascade.add(child, [one.pk for one in found])
    if rule is OnDelete.PROTECT:
        others = [one.pk for one in found if child.key != schema.key or one.pk != one.target]
        cascade.protecting += [(child, reference, pk) for pk in others]
    elif rule is OnDelete.RESTRICT:
        cascade.restricting += [(child, reference, one.pk) for one in found]
    elif found:
        cascade.released.append((child, reference, [*dict.fromkeys(one.value for one in found)]))
    return []


def _refuse(outcome: str, root: Schema, standing: Sequence[tuple[Schema, Reference, Any]]) -> None:
    if standing:
        child, reference, _ = standing[0]
        objects = [f"{model.key}:{model.pk.codec.encode(pk)}" for model, _, pk in standing]
        raise_outcome(
            (outcome, 1, child.key, reference.column.name, [*dict.fromkeys(objects)]), [deletion(root, [], None)]
        )


def _referring(
    schema: Schema, child: Schema, reference: Reference, parents: Sequence[Any], origin: Origin
) -> Operation[list[_Referring]]:
    """The objects that refer to these."""
    targets = dict(zip(parents, parents, strict=True))
    if reference.to_field:
        pairs = yield from _values(schema, Q(("pk__in", [*parents])), reference.referred(schema), origin)
        targets = {value: pk for pk, value in pairs if value is not None}
    condition = Q((f"{reference.column.name}__in", [*targets]))
    pairs = yield from _values(child, condition, reference.column, origin)
    return [_Referring(pk, value, targets[value]) for pk, value in pairs]


def _values(schema: Schema, condition: Q, column: Column, origin: Origin) -> Operation[list[tuple[Any, Any]]]:
    """The keys of the objects that meet the condition, each with its value of a column."""
    plan = yield from planned(every(schema).having(where=(condition,), order=()), origin)
    reading = replace(plan, columns=(schema.pk, column))
    rows = [decoded(schema, reading.reads, row) for row in (yield from fetch(reading))]
    return [(row[schema.pk.name], row[column.name]) for row in rows]


def _plan_of_referring(child: Schema, reference: Reference, values: Sequence[Any], origin: Origin) -> Operation[Plan]:
    condition = Q((f"{reference.column.name}__in", [*values]))
    return (yield from planned(every(child).having(where=(condition,), order=()), origin))


def _release(cascade: _Cascade, origin: Origin, replacements: Replacements) -> Operation[None]:
    texts = [replacements.of(child, reference) for child, reference, _ in cascade.released]
    for (child, reference, values), text in zip(cascade.released, texts, strict=True):
        change_ = [reference.column.position, False if text is None else text]
        requested = Change("update", origin.limits.changed, (change_,))
        for some in _chunks(values, origin.limits.values):
            yield from change((yield from _plan_of_referring(child, reference, some, origin)), requested, origin)


def _chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[first : first + size] for first in range(0, len(items), size))
