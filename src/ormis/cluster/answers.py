"""The partitions that a call of an operation goes to, and the reply that the operation is sent.

Operations know nothing of partitions: they yield the calls that they yield on a plain server. Each is answered here, by
a call to one partition, or by many and a reply put together from theirs.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from redis.exceptions import RedisError

from ..calls import Call, Command, HashRead, HashReads, Invocation, ScriptCall
from ..errors import ClusterError
from ..operations.reading.pages import QueryCall
from ..operations.writing.claim_calls import ClaimCall
from ..operations.writing.get_or_create import ObtainCall
from ..operations.writing.links import LinkedKeys
from ..operations.writing.mutations import CommitCall, ModelCall
from ..operations.writing.set_changes import ChangeCall
from ..operations.writing.unit_of_work import ReserveCall
from ..schema import registry
from ..schema.schema import Schema
from ..storage.keys import COPY
from ..storage.scripts import script
from .claimed_sets import answer_at_claim, answer_changed_values, changes_values
from .get_or_create import answer_obtain
from .linked import answer_members, end_of, linked
from .orphans import Lookout, settle_orphans
from .partitions import Partition, Partitions
from .queues import answer_claim
from .reading import answer_query, by_key, targets
from .routing import PartitionCall
from .side_by_side import Steps
from .topology import Topology
from .unique_values import value_in
from .writing import Chooser, answer_change, answer_commit, answer_reserve

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode


class Answers:
    """Answers the calls of operations on the partitions of one database."""

    def __init__(self, partitions: Partitions, chooser: Chooser, topology: Topology) -> None:
        self.partitions = partitions
        self.chooser = chooser
        self.topology = topology
        self.lookout = Lookout()

    def place(self, call: Call) -> Partition | None:
        """The partition of a call that is sent there as it is, where a look at it tells."""
        if isinstance(call, HashRead):
            return self.partitions.of_hash(call.fields, call.key)
        return self.partitions.all[0] if len(self.partitions) == 1 and not isinstance(call, Invocation) else None

    def answer(self, call: Call) -> Steps[Any]:
        """The reply to a call that is not sent as it is. Raises ClusterError for what is not done on a cluster."""
        if isinstance(call, Invocation):
            return (yield call)
        if isinstance(call, HashReads):
            return (yield from self._read_hashes(call))
        if not isinstance(call, ScriptCall):
            return (yield from self._command(call))
        reply = yield from self._script(call)
        for schema in _written(call):
            if self.lookout.due(schema):
                with suppress(RedisError, OSError):
                    yield from settle_orphans(schema, self.partitions)
        return reply

    def _script(self, call: ScriptCall) -> Steps[Any]:
        partitions = self.partitions
        if isinstance(call, QueryCall):
            return (yield from self._query(call))
        if isinstance(call, CommitCall):
            return (yield from answer_commit(call, partitions, self.chooser))
        if isinstance(call, ChangeCall):
            return (yield from self._change(call))
        if isinstance(call, ReserveCall):
            return (yield from answer_reserve(call, partitions, self.chooser))
        if isinstance(call, ObtainCall):
            return (yield from answer_obtain(call, partitions, self.answer))
        if isinstance(call, ClaimCall):
            return (yield from answer_claim(call, partitions, self.answer))
        return (yield from self._by_name(call))

    def _by_name(self, call: ScriptCall) -> Steps[Any]:
        partitions = self.partitions
        if call.name == "link_members":
            base, keys = call.args
            assert isinstance(keys, bytes)
            return (yield from answer_members(str(base), _unpack(keys), partitions))
        if call.name == "get":
            model, _, pk = _unpack(_packed(call))
            return (yield PartitionCall(call, partitions.of(registry.schema_for(model), pk)))
        if call.name == "renew":
            return (yield from self._renew(call))
        if call.name == "clear_expired":
            return (yield [PartitionCall(call, partition) for partition in partitions.all])
        raise ClusterError(f"{call.name} is not there yet on a cluster")

    def _query(self, call: QueryCall) -> Steps[Any]:
        """A query that names a unique value, and no partition, and counts no others, is asked where its claim says."""
        plan, partitions = call.plan, self.partitions
        value = None if plan is None or "less" in call.more else value_in(plan)
        if plan is None or value is None or len(targets(plan, partitions, call.more.get("keys"))) == 1:
            return (yield from answer_query(call, partitions))
        return (yield from answer_at_claim(call, value, partitions))

    def _change(self, call: ChangeCall) -> Steps[Any]:
        if changes_values(call):
            return (yield from answer_changed_values(call, self.partitions))
        return (yield from answer_change(call, self.partitions))

    def _read_hashes(self, call: HashReads) -> Steps[list[Any]]:
        """The times to live are left out where calls were redirected meanwhile: then a cache does not keep the rows.
        Nobody may listen to the node that they come from.
        """
        redirections = self.topology.redirections
        places: dict[Partition, list[int]] = {}
        for at, key in enumerate(call.keys):
            places.setdefault(self.partitions.of_hash(call.fields, key), []).append(at)
        steps = [
            PartitionCall(read, partition)
            for partition, some in places.items()
            for at in some
            for read in (Command(("PTTL", call.keys[at])), HashRead(call.fields, call.keys[at]))
        ]
        replies = yield steps
        found: list[Any] = [None] * (2 * len(call.keys))
        order = [2 * at + i for some in places.values() for at in some for i in (0, 1)]
        for at, reply in zip(order, replies, strict=True):
            found[at] = None if at % 2 == 0 and redirections != self.topology.redirections else reply
        return found

    def _renew(self, call: ScriptCall) -> Steps[Any]:
        asked: dict[Partition, list[Any]] = {}
        for model, ttl, *keys in _unpack(_packed(call)):
            for partition, some in by_key(registry.schema_for(model), keys, self.partitions).items():
                asked.setdefault(partition, []).append([model, ttl, *some])
        yield [
            PartitionCall(script("renew")((_pack(of_partition),), optional=True), partition)
            for partition, of_partition in asked.items()
        ]
        return None

    def _command(self, call: Command | HashRead) -> Steps[Any]:
        assert isinstance(call, Command), "a HashRead is sent as it is"
        if isinstance(call, LinkedKeys):
            schema, link = end_of(call.base)
            found = yield from linked(schema, link, [call.pk], self.partitions)
            return [other.encode() for other in found[call.pk]]
        name, key = str(call.args[0]), call.args[call.key]
        if key == COPY:
            return (yield PartitionCall(call, self.partitions.all[0]))
        if name in ("PTTL", "HSET"):
            model = _model_of(str(key))
            pk = str(key)[len(model) + 1 :]
            schema = registry.schema_for(model)
            if name == "HSET" and schema.copied:
                return (yield [PartitionCall(call, partition) for partition in self.partitions.all])[0]
            return (yield PartitionCall(call, self.partitions.of(schema, pk)))
        if name == "ZMSCORE":
            return (yield from self._scores(str(key), call.args[2:]))
        raise ClusterError(f"{name} {key if call.key else ''} is not there yet on a cluster")

    def _scores(self, key: str, members: Sequence[Any]) -> Steps[list[Any]]:
        """The places of objects in the order of creation."""
        own = by_key(registry.schema_for(key.removesuffix("/ids")), members, self.partitions)
        replies = yield [PartitionCall(Command(("ZMSCORE", key, *some)), one) for one, some in own.items()]
        found: dict[Any, Any] = {}
        for some, reply in zip(own.values(), replies, strict=True):
            if isinstance(reply, Exception):
                raise reply
            found |= zip(some, reply, strict=True)
        return [found[member] for member in members]


def _written(call: ScriptCall) -> Iterable[Schema]:
    """The models of whose objects a call may write."""
    if isinstance(call, CommitCall):
        return {mutation.schema for mutation in call.mutations}
    return (call.plan.schema,) if isinstance(call, ModelCall) and call.plan is not None else ()


def _model_of(key: str) -> str:
    """The model of the key of a hash; both it and a primary key may have a colon."""
    models = {model.__key__ for model in registry.models()}
    names = [key[:at] for at, letter in enumerate(key) if letter == ":"]
    return next(name for name in reversed(names) if name in models)


def _packed(call: ScriptCall) -> bytes:
    first = call.args[0]
    assert isinstance(first, bytes)
    return first
