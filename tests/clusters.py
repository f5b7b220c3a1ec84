"""Real clusters for the tests, of the programs that servers.py finds."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic, sleep
from typing import Any

import pytest
import redis

import ormis
from ormis.cluster.local import SLOTS, LocalCluster, Node
from ormis.cluster.partitions import tags
from ormis.cluster.routing import Router
from servers import find_binary


@contextmanager
def start_cluster(kind: str = "valkey", nodes: int = 3, replicas: int = 0, *options: str) -> Iterator[LocalCluster]:
    """Starts a cluster of servers of the kind, which take a node for failed after a second; stops it at the end.

    Three nodes take some 2 s, with replicas as well.
    """
    with LocalCluster(
        nodes=nodes, replicas=replicas, node_timeout=1.0, binary=find_binary(kind), options=options
    ) as cluster:
        yield cluster


def move_slot(cluster: LocalCluster, slot: int, to: Node, batch: int = 20, pause: float = 0.0) -> int:
    """Moves a slot the old way, key by key, as `--cluster reshard` does; how many keys there were."""
    source = cluster.owner(slot)
    to.client.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
    source.client.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", to.id)
    moved = 0
    while keys := source.client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, batch):
        source.client.execute_command("MIGRATE", *to.address, "", 0, 5000, "KEYS", *keys)
        moved += len(keys)
        sleep(pause)
    for node in (to, source):
        node.client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", to.id)
    for node in cluster.nodes:
        with suppress(redis.RedisError):  # a replica, or a node that is down, learns it from the others
            node.client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", to.id)
    return moved


def move_slot_at_once(cluster: LocalCluster, slot: int, to: Node) -> None:
    """Moves a slot as Valkey 9 can: as a whole."""
    source = cluster.owner(slot)
    source.client.execute_command("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", to.id)
    deadline = monotonic() + 15
    while cluster.owner(slot) is not to:
        assert monotonic() < deadline, source.client.execute_command("CLUSTER", "GETSLOTMIGRATIONS")[0]
        sleep(0.01)


def findings(cluster: LocalCluster, partitions: int, models: list[Any]) -> list[str]:
    """What check() finds in the partitions, each looked at on its node."""
    found: list[str] = []
    for number, tag in enumerate(tags(partitions)):
        port = cluster.owner(number * SLOTS // partitions).port
        with ormis.connect(f"redis://127.0.0.1:{port}/0", prefix=f"{{{tag}}}") as database:
            found += map(str, ormis.check(database, models=models).findings)
    return found


class Stopped(BaseException):
    """The client ends here."""


def stopping(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Ends the client after so many calls, or writes of several calls, to partitions."""
    left = [after]

    def counted(send: Callable[..., Any]) -> Callable[..., Any]:
        def run(self: Router, step: Any) -> Any:
            if left[0] == 0:
                raise Stopped
            left[0] -= 1
            return send(self, step)

        return run

    def acounted(send: Callable[..., Any]) -> Callable[..., Any]:
        async def run(self: Router, step: Any) -> Any:
            if left[0] == 0:
                raise Stopped
            left[0] -= 1
            return await send(self, step)

        return run

    for name, wrapped in (("send", counted), ("send_all", counted), ("asend", acounted), ("asend_all", acounted)):
        monkeypatch.setattr(Router, name, wrapped(getattr(Router, name)))
