"""Writes on partitions: which partition a change belongs to, and changes that are made in several.

What is all or nothing is written in one partition, or refused. bulk_create(), bulk_update(), and update() and delete()
of a queryset go to many partitions at once; in each of them they are all or nothing.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count, takewhile
from typing import Any, TypeVar, cast

from ..calls import Operation, relayed
from ..errors import ClusterError
from ..operations.outcomes import LargeCascade, NotInOneCall, answer_of, unpack
from ..operations.reading import select
from ..operations.writing.client_arithmetic import commit_computing
from ..operations.writing.fast_commit import fast_insert
from ..operations.writing.mutations import CommitCall, Mutation
from ..operations.writing.set_changes import Change, ChangeCall, ask_change, keys_only
from ..operations.writing.unit_of_work import ReserveCall
from ..planning.plan import Plan
from ..schema import registry
from .belonging import BY_KEYS, check_one, check_stays, numbers_of
from .claiming import claiming, needs_claims
from .copied_values import copied, is_copy
from .links import answer_links, deleted_keys, drop_halves, halves_of, has_links, links_elsewhere
from .partitions import Partition, Partitions
from .placement import placement
from .reading import by_key, targets
from .reference_models import (
    answer_reference_change,
    answer_reference_commit,
    of_reference_models,
)
from .references import is_refused, sent, sent_of, settle
from .routing import PartitionCall
from .side_by_side import Steps, settled, side_by_side
from .unique_values import over_partitions, rows_of, values_of

T = TypeVar("T")
KeysChanged = tuple[int, Counter[str], list[str]]
"""How many objects were changed, how many by model, the keys of stale ones."""


class Chooser:
    """Chooses partitions for new objects that may be in any: one after another, from one that differs by client."""

    def __init__(self, partitions: Partitions, first: int) -> None:
        self.partitions = partitions
        self._next = count(first)

    def one(self) -> Partition:
        """The next partition."""
        return self.partitions.all[next(self._next) % len(self.partitions)]


# Where changes belong ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Part:
    """What one partition gets of the mutations of a call: by the number of the mutation the rows or keys, by their
    numbers.
    """

    rows: dict[int, list[int]] = field(default_factory=dict[int, list[int]])


# Commits -------------------------------------------------------------------------------------------------------------


def answer_commit(call: CommitCall, partitions: Partitions, chooser: Chooser) -> Steps[Any]:
    """The reply to a call of `commit`: as a whole in one partition, or divided."""
    if has_links(call.mutations):
        commit = partial(_commit, partitions=partitions, chooser=chooser)
        return (yield from answer_links(call, partitions, commit))
    return (yield from _commit(call, partitions, chooser))


def _commit(call: CommitCall, partitions: Partitions, chooser: Chooser) -> Steps[Any]:
    """The same; removes the other halves of the links of deleted objects."""
    gone = yield from halves_of(deleted_keys(call.mutations), partitions)
    reply = yield from _placed(call, partitions, chooser)
    if gone and (unpack(reply) if isinstance(reply, bytes) else reply)[0] == "ok":
        yield from drop_halves(gone, partitions)
    return reply


def _placed(call: CommitCall, partitions: Partitions, chooser: Chooser) -> Steps[Any]:
    if of_reference_models(call.mutations):
        return (yield from answer_reference_commit(call, partitions))
    claims = needs_claims(call.mutations)
    numbers = [numbers_of(mutation, partitions) for mutation in call.mutations]
    if claims and (call.divisible or len(call.mutations) == 1):
        numbers = [_by_values(*one, partitions) for one in zip(call.mutations, numbers, strict=True)]
    known = {number for some in numbers for number in some if number is not None}
    free = sum(some.count(None) for some in numbers)
    if len(known) == 1 and (not free or not call.divisible):
        return (yield from _to_one(call, partitions.all[known.pop()], partitions, claims))
    if not known and (free == 1 or not call.divisible):
        return (yield from _to_one(call, chooser.one(), partitions, claims))
    if not call.divisible:
        if all(_goes_on(mutation) for mutation in call.mutations):
            return ["large", 1, call.mutations[0].schema.key]
        check_one(call.mutations, partitions)
    if call.meanwhile is not None:
        call.meanwhile()
    return (yield from _divided(call, partitions, chooser, numbers, claims))


def _goes_on(mutation: Mutation) -> bool:
    """Returns whether a mutation deletes outside of blocks: its caller does in many calls what can't be done in one."""
    return mutation.code == "delete" and len(mutation.arguments) > 1


def _by_values(mutation: Mutation, numbers: Sequence[int | None], partitions: Partitions) -> Sequence[int | None]:
    """New objects that may be in any partition are where the first of their unique values is: so the claim of it and
    the object take one node.
    """
    if None not in numbers or not over_partitions(mutation.schema):
        return numbers
    values = [values_of(mutation.schema.stored, row) for row in rows_of(mutation)]
    return [
        some[0].partition(partitions).number if number is None and some else number
        for number, some in zip(numbers, values, strict=True)
    ]


def _to_one(call: CommitCall, partition: Partition, partitions: Partitions, claims: bool) -> Steps[Any]:
    if claims:
        claim = copied if is_copy(call.mutations) else claiming
        return (yield from claim(call, partition, partitions))
    return (yield from sent(call, partition, partitions))


def _one_by_one(
    operations: Mapping[Partition, Operation[Any]], partitions: Partitions
) -> Steps[tuple[None, dict[Partition, Exception]]]:
    """As settled(), for commits that claim unique values: each goes through several partitions."""
    errors: dict[Partition, Exception] = {}
    for partition, operation in operations.items():
        try:
            yield from relayed(
                operation, cast(Any, partial(_to_one, partition=partition, partitions=partitions, claims=True))
            )
        except Exception as error:  # noqa: BLE001 - the others go on, it is raised at the end
            errors[partition] = error
    return None, errors


def _divided(
    call: CommitCall,
    partitions: Partitions,
    chooser: Chooser,
    numbers: Sequence[Sequence[int | None]],
    claims: bool,
) -> Steps[Any]:
    parts: dict[Partition, Part] = {}
    for number, some in enumerate(numbers):
        for at, of in enumerate(some):
            partition = chooser.one() if of is None else partitions.all[of]
            parts.setdefault(partition, Part()).rows.setdefault(number, []).append(at)
    done: dict[Partition, dict[int, Any]] = {partition: {} for partition in parts}
    operations = {
        partition: commit_computing(_own(call.mutations, part, done[partition])) for partition, part in parts.items()
    }
    _, errors = yield from (_one_by_one(operations, partitions) if claims else settled(sent_of(operations, partitions)))
    results = _joined(call.mutations, parts, {one: {} if one in errors else done[one] for one in parts})
    if errors:
        for mutation, result in zip(call.mutations, results, strict=True):
            if result is not None and mutation.on_result is not None:
                mutation.on_result(result)
        raise _first_error(errors, results)
    return ["ok", results]


def _first_error(errors: Mapping[Partition, Exception], results: Sequence[Any]) -> Exception:
    """The error of partitions that have refused, beside these results. A deletion that is refused as large goes on."""
    for error in errors.values():
        if isinstance(error, LargeCascade):
            error.deleted = results[0] or {}
            return error
    return next(iter(errors.values()))


def _own(mutations: Sequence[Mutation], part: Part, done: dict[int, Any]) -> list[Mutation]:
    """The mutations of one partition, which note their results in `done`."""
    return [_some(mutations[number], rows, _noting(done, number)) for number, rows in part.rows.items()]


def _noting(done: dict[int, Any], number: int) -> Callable[[Any], None]:
    def note(result: Any) -> None:
        done[number] = result

    return note


def _some(mutation: Mutation, which: Sequence[int], note: Callable[[Any], None]) -> Mutation:
    """The mutation for these of its objects."""
    arguments = [*mutation.arguments]
    fast = mutation.fast
    if mutation.code in ("insert", "save"):
        number, texts = mutation.arguments[:2]
        width = len(texts) // number
        rows = [texts[at * width : (at + 1) * width] for at in which]
        arguments[:2] = len(rows), [text for row in rows for text in row]
        fast = fast_insert(mutation.schema.stored, rows) if fast else fast
    elif mutation.code in BY_KEYS:
        arguments[0] = [mutation.arguments[0][at] for at in which]
    return replace(mutation, arguments=arguments, on_result=note, fast=fast)


def _joined(
    mutations: Sequence[Mutation], parts: dict[Partition, Part], done: dict[Partition, dict[int, Any]]
) -> list[Any]:
    """The results of the whole mutations; of objects whose partition has refused them False, or None for all."""
    results: list[Any] = []
    for number, mutation in enumerate(mutations):
        own = [(parts[one].rows[number], found.get(number)) for one, found in done.items() if number in parts[one].rows]
        results.append(_result(mutation, own))
    return results


def _result(mutation: Mutation, own: Sequence[tuple[Sequence[int], Any]]) -> Any:
    if mutation.code in ("insert", "save"):
        keys: list[Any] = [False] * mutation.arguments[0]
        for rows, found in own:
            for at, key in zip(rows, found or (), strict=False):
                keys[at] = key
        return keys
    present = [found for _, found in own if found is not None]
    if mutation.code == "delete":
        counts = Counter[str]()
        for found in present:
            counts.update(dict(found or {}))
        return dict(counts)
    if mutation.code == "expire":
        return sum(present)
    return present[0] if present else None


# Keys that are counted before ----------------------------------------------------------------------------------------


def answer_reserve(call: ReserveCall, partitions: Partitions, chooser: Chooser) -> Steps[Any]:
    """The keys of new objects of a block of atomic() are counted where the block writes."""
    assert call.mutation is not None
    known = numbers_of(call.mutation, partitions)
    for mutation in call.before:
        with suppress(ClusterError):  # a block around may be of another database
            known += numbers_of(mutation, partitions)
    number = next((number for number in known if number is not None), None)
    return (yield PartitionCall(call, chooser.one() if number is None else partitions.all[number]))


# Sets ----------------------------------------------------------------------------------------------------------------


def answer_change(call: ChangeCall, partitions: Partitions) -> Steps[Any]:
    """The reply to a call of `change`: of several partitions how many objects it has changed in all.

    Where one can't do it in a call, the keys of its objects are asked for, so that it goes on by keys.
    """
    plan, requested = call.plan, call.requested
    assert plan is not None
    assert requested is not None
    if plan.schema.stored.copied:
        return (yield from answer_reference_change(call, partitions))
    if requested.code == "update" and requested.arguments:
        check_stays(placement(plan.schema), requested.arguments[0][::2])
    if requested.code == "delete" and links_elsewhere(plan.schema):
        return (yield from _delete_linked(call, plan, partitions))
    if "keys" in call.more:
        return (yield from _change_keys(call, partitions))
    asked = targets(plan, partitions)
    if len(asked) == 1:
        return (yield from sent(call, asked[0], partitions))
    assert not call.more, "steps of a walk are of one partition"
    replies = dict(zip(asked, (yield [PartitionCall(call, partition) for partition in asked]), strict=True))
    refused = {one: settle(call, reply, one, partitions) for one, reply in replies.items() if is_refused(reply)}
    if refused:
        answers, errors = yield from settled(refused)
        replies |= answers | errors
    counted, models, left = _changed(plan, replies)
    if not left:
        return ["ok", "done", counted, models]
    reading = keys_only(plan)
    found = yield from side_by_side({one: select.keys_in_order(reading) for one in left})
    return ["ok", "keys", [key for keys in found.values() for key in keys], counted, models]


def _delete_linked(call: ChangeCall, plan: Plan, partitions: Partitions) -> Steps[Any]:
    """The objects are deleted by keys, so that it is known whose links have other halves."""
    if "keys" not in call.more:
        reading = keys_only(plan)
        found = yield from side_by_side({one: select.keys_in_order(reading) for one in targets(plan, partitions)})
        keys = [key for some in found.values() for key in some]
        return ["ok", "keys", keys, 0, {}] if keys else ["ok", "done", 0, {}]
    before = yield from halves_of({plan.schema.stored: call.more["keys"]}, partitions)
    reply = yield from _change_keys(call, partitions)
    yield from drop_halves(before, partitions)
    return reply


def _changed(plan: Plan, replies: Mapping[Partition, Any]) -> tuple[int, dict[str, int], list[Partition]]:
    """How many objects were changed, how many by model, and the partitions that can't do it in one call.

    Raises the error of the first partition that has refused.
    """
    counted, models, left, errors = 0, Counter[str](), list[Partition](), list[Exception]()
    for partition, reply in replies.items():
        try:
            if isinstance(reply, Exception):
                raise reply
            how, *rest = answer_of(reply, (plan,))
        except NotInOneCall:
            left.append(partition)
        except Exception as error:  # noqa: BLE001 - raised below
            errors.append(error)
        else:
            if how == "done":
                counted += rest[0]
                models.update(dict(rest[1] or {}))
            else:
                left.append(partition)
    if errors:
        raise errors[0]
    return counted, dict(models), left


def _change_keys(call: ChangeCall, partitions: Partitions) -> Steps[Any]:
    """A step by keys: each partition has its own. Sums and cascades that the server may refuse go one partition after
    another: what one has done must not be done again, nor be forgotten, when another refuses.
    """
    plan, requested, more = call.plan, call.requested, call.more
    assert plan is not None
    assert requested is not None
    keys: list[str] = more["keys"]
    sums = len(requested.arguments) > 2 and "expected" not in more
    if sums or (requested.code == "delete" and registry.referrers(plan.schema.stored)):
        first = partitions.of(plan.schema, keys[0])
        own = {first: [*takewhile(lambda key: partitions.of(plan.schema, key) is first, keys)]}
    else:
        own = by_key(plan.schema, keys, partitions)
    operations = {one: steps_by_keys(plan, requested, more, some) for one, some in own.items()}
    return changed_in_all(own, (yield from side_by_side(sent_of(operations, partitions))))


def changed_in_all(own: Mapping[Partition, Sequence[str]], results: Mapping[Partition, KeysChanged]) -> list[Any]:
    """The answer to a step by keys: how many were looked at, changed, changed by model, and the keys of stale ones."""
    counts = Counter[str]()
    for _, models, _ in results.values():
        counts.update(models)
    stale = [key for *_, some in results.values() for key in some]
    looked = sum(map(len, own.values()))
    return ["ok", "step", looked, sum(number for number, *_ in results.values()), dict(counts), stale]


def steps_by_keys(plan: Plan, requested: Change, more: dict[str, Any], keys: Sequence[str]) -> Operation[KeysChanged]:
    """Changes the objects of these keys in one partition: how many, how many by model, the keys of stale ones."""
    left = [*keys]
    counted, models, stale = 0, Counter[str](), list[str]()
    while left:
        _, looked, number, result, missed = yield from ask_change(plan, requested, more | {"keys": left})
        counted += number
        models.update(dict(result or {}))
        stale += missed
        left = left[int(looked) :]
    return counted, models, stale
