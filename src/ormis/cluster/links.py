"""Many-to-many links over partitions, written. Each side has a set of its own, in the partition of its object; a link
is there if both sets have it.

One side is that of the object whose links are changed, the near one; the commit there, which may change much else, is
what adds or removes the links, all at once. Links are added to the far sets first, then to the near one; they are
removed from the near set first, then from the far ones. So what a client that stops leaves are halves, which no reader
takes for a link, and which check() removes. docs/clusters.md has the table of the states.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..calls import HashRead
from ..errors import ClusterError
from ..operations.outcomes import unpack
from ..operations.writing.mutations import CommitCall, Mutation, commit_call
from ..schema import registry
from ..schema.schema import Link, Schema
from ..storage.keys import object_key
from .belonging import LINKING, check_one, numbers_of
from .claims import checked
from .linked import Members, halves, is_local
from .partitions import Partition, Partitions
from .placement import placement_of_writes
from .reading import by_key
from .routing import PartitionCall
from .side_by_side import Steps

Commit = Callable[[CommitCall], Steps[Any]]
"""Answers a commit."""


_Half = tuple[Schema, list[str], str, str]
"""The model and the end of a set, as lua/write/links.lua reads it, the key of its object, the member."""


@dataclass(slots=True)
class _Far:
    """The halves in one partition: mutations there, and the numbers of the mutations of the commit that they are of."""

    mutations: list[Mutation] = field(default_factory=list[Mutation])
    numbers: list[int] = field(default_factory=list[int])


@dataclass(slots=True)
class _Divided:
    """A commit with links: its own mutations, the number of those that take the place of each, and the far halves."""

    mutations: list[Mutation] = field(default_factory=list[Mutation])
    counts: list[int] = field(default_factory=list[int])
    added: dict[Partition, _Far] = field(default_factory=dict[Partition, _Far])
    removed: dict[Partition, _Far] = field(default_factory=dict[Partition, _Far])

    def note(self, partition: Partition, mutation: Mutation, number: int, half: Mutation) -> None:
        """Notes halves of the links of a mutation, which has this number in the commit."""
        far = (self.added if mutation.code == "link" else self.removed).setdefault(partition, _Far())
        far.mutations.append(half)
        far.numbers.append(number)


def has_links(mutations: Iterable[Mutation]) -> bool:
    """Returns whether mutations add or remove links."""
    return any(mutation.code in LINKING for mutation in mutations)


def answer_links(call: CommitCall, partitions: Partitions, commit: Commit) -> Steps[Any]:
    """The reply to a commit that adds or removes links. commit: answers the rest of it."""
    if _creates_elsewhere(call.mutations, partitions):
        return (yield from _created(call.mutations, partitions, commit))
    divided = _divided(call.mutations, partitions)
    sent = commit_call(divided.mutations)
    sent.meanwhile = call.meanwhile
    sent.divisible = call.divisible or all(mutation.code in LINKING for mutation in divided.mutations)
    if not sent.divisible:
        check_one(divided.mutations, partitions)
    refused = yield from _absent(call.mutations, partitions)
    if refused is not None:
        return refused
    refused = yield from _written(divided.added)
    if refused is not None:
        yield from _taken_back(divided.added, partitions)
        return refused
    reply = yield from commit(sent)
    answer: list[Any] = unpack(reply) if isinstance(reply, bytes) else reply
    if answer[0] != "ok":
        yield from _taken_back(divided.added, partitions)
        return _renumbered(answer, divided.counts)
    yield from _written(divided.removed)
    return ["ok", _results(answer[1], divided.counts)]


def _absent(mutations: Sequence[Mutation], partitions: Partitions) -> Steps[list[Any] | None]:
    """The refusal of links from an object of a reference model to others, one of which is not there: each partition
    writes those of its own.
    """
    for number, mutation in enumerate(mutations, 1):
        schema = mutation.schema.stored
        if mutation.code != "link" or not schema.copied or mutation.arguments[2] is False:
            continue
        (name, key, _), _, others = mutation.arguments
        there = yield from _present(registry.schema_for(key).stored, others, partitions)
        for pk, is_there in zip(others, there, strict=True):
            if not is_there:
                return ["link", number, schema.key, name, key, pk]
    return None


def _present(schema: Schema, pks: Sequence[str], partitions: Partitions) -> Steps[list[bool]]:
    """Which of these objects are there."""
    read = schema.fields_of([schema.pk.name])
    steps = [PartitionCall(HashRead(read, object_key(schema.key, pk)), partitions.of(schema, pk)) for pk in pks]
    return [texts[0] is not None for texts in checked((yield [*steps]))] if steps else []


# New objects that are linked ----------------------------------------------------------------------------------------


def _creates_elsewhere(mutations: Sequence[Mutation], partitions: Partitions) -> bool:
    """Returns whether mutations insert one object and link it to one of another partition, or insert one of a
    reference model.
    """
    if len(mutations) != 2 or mutations[1].code != "link" or mutations[1].arguments[2] is not False:
        return False
    insertion, linking = mutations
    new, schema = insertion.schema.stored, linking.schema.stored
    if new.copied or schema.copied:
        return new.copied and not schema.copied
    return numbers_of(insertion, partitions)[0] not in (None, *numbers_of(linking, partitions))


def _created(mutations: Sequence[Mutation], partitions: Partitions, commit: Commit) -> Steps[Any]:
    """The reply to such mutations: the object is stored, then linked."""
    insertion, linking = mutations
    name, pk = linking.arguments[0][0], linking.arguments[1]
    placement_of_writes(linking.schema)
    if not (yield from _present(linking.schema.stored, [pk], partitions))[0]:
        key = linking.schema.stored.key
        return ["link", 2, key, name, key, pk]
    reply = yield from commit(commit_call([insertion]))
    answer: list[Any] = unpack(reply) if isinstance(reply, bytes) else reply
    if answer[0] != "ok":
        return answer
    known = replace(linking, arguments=[linking.arguments[0], pk, [answer[1][0][0]]])
    linked = yield from answer_links(commit_call([known]), partitions, commit)
    if linked[0] != "ok":
        return [linked[0], 2, *linked[2:]]
    return ["ok", [answer[1][0], True]]


# Halves --------------------------------------------------------------------------------------------------------------


def _divided(mutations: Sequence[Mutation], partitions: Partitions) -> _Divided:
    divided, home = _Divided(), _home(mutations, partitions)
    for number, mutation in enumerate(mutations, 1):
        own = [mutation]
        if mutation.code in LINKING:
            own = _placed(mutation, number, divided, partitions, home)
        divided.mutations += own
        divided.counts.append(len(own))
    return divided


def _home(mutations: Sequence[Mutation], partitions: Partitions) -> Partition | None:
    """The partition of what a commit writes beside links."""
    others = [mutation for mutation in mutations if mutation.code not in LINKING and not mutation.schema.stored.copied]
    numbers = {number for mutation in others for number in numbers_of(mutation, partitions) if number is not None}
    return partitions.all[numbers.pop()] if len(numbers) == 1 else None


def _placed(
    mutation: Mutation, number: int, divided: _Divided, partitions: Partitions, home: Partition | None
) -> list[Mutation]:
    """The mutations where the near sets are; notes the halves elsewhere."""
    schema = mutation.schema.stored
    (name, target_key, back), pk, others = mutation.arguments[:3]
    target = registry.schema_for(target_key).stored
    placement_of_writes(schema)
    placement_of_writes(target)
    if schema.copied and target.copied:
        raise ClusterError(
            f"{schema.name}.{name}: both models have Meta.reference, and this version does not write links in every "
            f"partition: leave it out in one of them, or write a through model with Meta.reference"
        )
    if others is False:  # the new object is in this partition, or this one is in all
        return [mutation]
    if schema.copied:
        end = [back, schema.key, name]
        return [replace(mutation, schema=target, arguments=[end, other, [pk]]) for other in others]
    if target.copied:
        return [mutation]
    near, parts = partitions.of(schema, pk), by_key(target, others, partitions)
    if home is not near and [*parts] == [home]:  # the commit writes the others
        for other in others:
            divided.note(near, mutation, number, _half(schema, mutation.arguments[0], [pk], other, mutation.code))
        end, nothing = [back, schema.key, name], list[str]()
        return [replace(mutation, schema=target, arguments=[end, other, nothing, [pk]]) for other in others]
    local = parts.pop(near, [])
    for partition, some in parts.items():
        divided.note(partition, mutation, number, _half(target, [back, schema.key, name], some, pk, mutation.code))
    elsewhere = [other for some in parts.values() for other in some]
    arguments = [[name, target_key, back], pk, local, *([elsewhere] if elsewhere else [])]
    return [replace(mutation, arguments=arguments)]


def _half(schema: Schema, end: list[str], pks: Sequence[str], member: str, code: str) -> Mutation:
    return Mutation(schema, "half", [end, [*pks], member, code == "link"], changed=())


def _written(parts: Mapping[Partition, _Far]) -> Steps[list[Any] | None]:
    """Writes halves, all partitions side by side; the first refusal."""
    if not parts:
        return None
    steps = [PartitionCall(_call(far), partition) for partition, far in parts.items()]
    for far, reply in zip(parts.values(), checked((yield [*steps])), strict=True):
        outcome, *details = unpack(reply)
        if outcome == "link":  # an object on the far side that is not there, as the near side says it
            number, model, _, _, pk = details
            end = far.mutations[int(number) - 1].arguments[0]
            return ["link", far.numbers[int(number) - 1], end[1], end[2], model, pk]
        if outcome != "ok":
            return [outcome, *details]
    return None


def _taken_back(added: Mapping[Partition, _Far], partitions: Partitions) -> Steps[None]:
    """Removes the far halves of links that were refused, but for those of links that are there: another client may have
    added them. One whose near half comes meanwhile is put back.
    """
    alone = yield from _alone(added, partitions)
    yield from _written({partition: _of(some, "unlink") for partition, some in alone.items()})
    still = yield from _alone({partition: _of(some, "link") for partition, some in alone.items()}, partitions)
    come = {one: [half for half in some if half not in still.get(one, ())] for one, some in alone.items()}
    yield from _written({partition: _of(some, "link") for partition, some in come.items() if some})


def _alone(parts: Mapping[Partition, _Far], partitions: Partitions) -> Steps[dict[Partition, list[_Half]]]:
    """Those of the halves whose near sets have not the other one."""
    found: dict[Partition, list[_Half]] = {}
    for partition, far in parts.items():
        for half in far.mutations:
            (_, key, name), pks, member, _ = half.arguments
            schema = registry.schema_for(key).stored
            link = next(one for one in registry.links(schema) if one.name == name and not one.through)
            near = yield from halves(schema, link, [member], partitions)
            left = [(half.schema, half.arguments[0], pk, member) for pk in pks if pk not in near[member]]
            if left:
                found.setdefault(partition, []).extend(left)
    return found


def _of(some: Sequence[_Half], code: str) -> _Far:
    return _Far([_half(schema, end, [pk], member, code) for schema, end, pk, member in some], [1] * len(some))


def _call(far: _Far) -> CommitCall:
    """The commit of these halves. It names the models at the other end, which may have no object in the partition: who
    clears up there has to know of the relation.
    """
    ends = dict.fromkeys(mutation.arguments[0][1] for mutation in far.mutations)
    naming = [Mutation(registry.schema_for(key).stored, "expire", [[], False]) for key in ends]
    return commit_call([*far.mutations, *naming])


def _renumbered(answer: list[Any], counts: Sequence[int]) -> list[Any]:
    """A refusal, with the number of the mutation that the caller knows."""
    if len(answer) < 2 or not isinstance(answer[1], int):
        return answer
    left = answer[1]
    for number, count in enumerate(counts, 1):
        if left <= count:
            return [answer[0], number, *answer[2:]]
        left -= count
    return answer


def _results(results: Sequence[Any], counts: Sequence[int]) -> list[Any]:
    found: list[Any] = []
    at = 0
    for count in counts:
        found.append(results[at] if count else True)
        at += count
    return found


# Deletions -----------------------------------------------------------------------------------------------------------


def links_elsewhere(schema: Schema) -> list[Link]:
    """The relations of a model whose links have their other halves in other partitions."""
    return [link for link in registry.links(schema.stored) if not link.through and not is_local(link)]


Halves = list[tuple[Schema, Link, Members]]
"""What sets have, by the keys of their objects, of each relation of a model."""


def halves_of(keys: Mapping[Schema, Sequence[str]], partitions: Partitions) -> Steps[Halves]:
    """What the sets of objects have that are about to be deleted."""
    found: Halves = []
    for schema, some in keys.items():
        for link in links_elsewhere(schema):
            members = yield from halves(schema, link, some, partitions)
            if any(members.values()):
                found.append((schema, link, members))
    return found


def drop_halves(before: Halves, partitions: Partitions) -> Steps[None]:
    """Removes the other halves of what sets have had; of objects that are there still nothing."""
    parts: dict[Partition, _Far] = {}
    for schema, link, members in before:
        target = registry.schema_for(link.target).stored
        now = yield from halves(schema, link, members, partitions)
        for key, others in members.items():
            own: dict[Partition, list[str]] = {}
            for other in others:
                if other not in now[key]:
                    own.setdefault(partitions.of(target, other), []).append(other)
            for partition, some in own.items():
                far = parts.setdefault(partition, _Far())
                far.mutations.append(_half(target, link.back.packed(), some, key, "unlink"))
    yield from _written(parts)


def deleted_keys(mutations: Iterable[Mutation]) -> dict[Schema, list[str]]:
    """The keys of objects that mutations delete, of models with links that have halves elsewhere."""
    found: dict[Schema, list[str]] = {}
    for mutation in mutations:
        if mutation.code == "delete" and links_elsewhere(mutation.schema):
            keys = [pk if isinstance(pk, str) else pk.decode() for pk in mutation.arguments[0]]
            found.setdefault(mutation.schema.stored, []).extend(keys)
    return found
