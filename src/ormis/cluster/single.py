"""One object by the shortest way: its packed command goes to the node of its partition at once.

Only the first try is made here. What is not as usual is left to routing: no node is known, the calls are listed, the
reply is an error.
"""

from asyncio import Future
from functools import partial
from typing import Any

from redis.exceptions import NoScriptError, RedisError

from ..calls import HashRead, OneWrite
from ..connections.shared import LARGE
from ..drivers import sync
from ..drivers.capture import listing
from ..drivers.idempotency import Once
from ..operations.writing.single_save import SingleInsert, SingleUpdate
from .partitions import Partition, Partitions
from .placement import placement_of_writes
from .routing import PartitionCall, Router
from .writing import Chooser

MISSED: Any = object()
"""In the place of a reply: the call is to be routed."""


def place_of_write(operation: OneWrite, partitions: Partitions, chooser: Chooser) -> Partition | None:
    """The partition that a save belongs to; None where that takes more than a look at its key.

    Raises ClusterError for a model whose objects can't be on a cluster yet.
    """
    if not isinstance(operation, SingleInsert | SingleUpdate):
        return None
    if len(partitions) == 1:
        return partitions.all[0]
    column = placement_of_writes(operation.schema).column
    if operation.schema.copied and len(partitions) > 1:
        return None
    if isinstance(operation, SingleInsert):
        return chooser.one() if column is None else None
    return None if column and operation.writes(column) else partitions.of(operation.schema, operation.key)


def read(router: Router, call: HashRead, partition: Partition) -> Any:
    """The reply, or MISSED."""
    address = router.topology.owner(partition.slot)
    if address is None or listing():
        return MISSED
    try:
        return sync.exchange(router.nodes.at(address).client, call.wire(partition.prefix))
    except (RedisError, OSError):
        return MISSED


def aread(router: Router, call: HashRead, partition: Partition) -> "Future[Any] | None":
    """The reply to come, which may be an error, over the shared connection of the running event loop; None: MISSED."""
    address = router.topology.owner(partition.slot)
    if address is None or listing():
        return None
    shared = router.nodes.at(address).loop_client.shared
    lane = None if shared is None else shared.lane
    return None if lane is None else lane.send(call.packed(partition.prefix))


def write(router: Router, operation: OneWrite, partition: Partition) -> Any:
    """The reply. Raises as Router.send()."""
    once, failed = Once(), None
    try:
        address = router.topology.owner(partition.slot)
        if address is not None and not listing():
            pack = partial(operation.packed, partition.prefix, keys=partition.keys)
            try:
                return sync.exchange_packed(router.nodes.at(address).client, pack, once)
            except NoScriptError:
                pass
            except (RedisError, OSError) as error:
                failed = error, address
        return router.send_as(PartitionCall(operation.call(), partition), once, failed)
    finally:
        once.end()


async def awrite(router: Router, operation: OneWrite, partition: Partition) -> Any:
    """As write(), with the connections of the running event loop."""
    once, failed = Once(), None
    try:
        address = router.topology.owner(partition.slot)
        shared = None if address is None or listing() else router.nodes.at(address).loop_client.shared
        lane = None if shared is None else shared.lane
        if address is not None and shared is not None and lane is not None:
            request = operation.packed(partition.prefix, once.token, partition.keys)
            reply = MISSED if len(request) > LARGE else await lane.send(request)
            if not isinstance(reply, Exception) and reply is not MISSED:
                return reply
            if isinstance(reply, Exception) and not isinstance(reply, NoScriptError):
                failed = shared.refuses(reply, lane), address
        return await router.asend_as(PartitionCall(operation.call(), partition), once, failed)
    finally:
        once.end()
