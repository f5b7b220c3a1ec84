"""A node of a cluster that fails at a step of an operation, and an operation that is run once for each of its steps.

A step is a call to a partition, or several in one write to each node, as operations make them. What a node has
acknowledged its replica has, when it is killed: so nothing may be lost, and nothing be done twice.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any, Literal

import pytest
import redis

import ormis
from ormis.cluster import routing, single
from ormis.cluster.local import LocalCluster, Node
from ormis.cluster.routing import PartitionCall, Router
from ormis.drivers import sync

How = Literal["before", "reply", "restart"]
"""The node is killed before the step is sent to it; when it has done the step, whose reply is lost; or before the step,
and is started again at once from its disk."""


@dataclass
class Case:
    """An operation and its steps. prepare: what is there before; run: the operation, which gets that; its result is
    compared, as is `stored`, with those of a run in which no node fails.
    """

    prepare: Callable[[], Any]
    run: Callable[[Any], Any]


class Failure:
    """The failure of the node that the step of this number, from 0, goes to; None: no node fails.

    steps: how many steps there were so far. node: the one that has failed.
    """

    def __init__(self, cluster: LocalCluster, step: int | None, how: How) -> None:
        self.cluster = cluster
        self.step = step
        self.how: How = how
        self.steps = 0
        self.node: Node | None = None
        self._loses_reply = False

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Counts the steps in the block, and lets the node fail at its step."""
        with pytest.MonkeyPatch.context() as patched:
            for owner, name in ((Router, "send"), (Router, "send_all"), (single, "write")):
                patched.setattr(owner, name, self._counting(getattr(owner, name)))
            for owner, name in ((Router, "asend"), (Router, "asend_all"), (single, "awrite")):
                patched.setattr(owner, name, self._acounting(getattr(owner, name)))
            patched.setattr(Router, "_try", self._losing(Router._try))
            patched.setattr(Router, "_atry", self._alosing(Router._atry))
            patched.setattr(sync, "exchange_packed", self._losing(sync.exchange_packed))
            patched.setattr(routing, "exchange", self._losing_some(routing.exchange))
            patched.setattr(routing, "aexchange", self._alosing_some(routing.aexchange))
            yield

    def _counting(self, send: Callable[..., Any]) -> Callable[..., Any]:
        def run(first: Any, step: Any, *more: Any) -> Any:
            self._reach(more[0] if more else step)
            return send(first, step, *more)

        return run

    def _acounting(self, send: Callable[..., Any]) -> Callable[..., Any]:
        async def run(first: Any, step: Any, *more: Any) -> Any:
            self._reach(more[0] if more else step)
            return await send(first, step, *more)

        return run

    def _reach(self, step: Any) -> None:
        at, self.steps = self.steps, self.steps + 1
        if at != self.step:
            return
        if isinstance(step, list):
            step = step[0]
        self.node = self.cluster.owner((step.partition if isinstance(step, PartitionCall) else step).slot)
        if self.how == "reply":
            self._loses_reply = True
        else:
            self._fail()

    def _fail(self) -> None:
        assert self.node is not None
        wait_for_replica(self.cluster, self.node)
        self.node.kill()
        if self.how == "restart":
            self.cluster.restart(self.node)

    def _lose(self) -> bool:
        """Whether the reply that has just come is lost with its node."""
        if not self._loses_reply:
            return False
        self._loses_reply = False
        self._fail()
        return True

    def _losing(self, send: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            reply = send(*arguments)
            if self._lose():
                raise redis.ConnectionError("the node has failed")
            return reply

        return run

    def _alosing(self, send: Callable[..., Any]) -> Callable[..., Any]:
        async def run(*arguments: Any) -> Any:
            reply = await send(*arguments)
            if self._lose():
                raise redis.ConnectionError("the node has failed")
            return reply

        return run

    def _losing_some(self, send: Callable[..., Any]) -> Callable[..., Any]:
        def run(groups: Any, *more: Any) -> None:
            send(groups, *more)
            self._lose_some(groups)

        return run

    def _alosing_some(self, send: Callable[..., Any]) -> Callable[..., Any]:
        async def run(groups: Any, *more: Any) -> None:
            await send(groups, *more)
            self._lose_some(groups)

        return run

    def _lose_some(self, groups: Any) -> None:
        """The replies of the failing node are lost; those of others have come."""
        if self._lose():
            for requests in groups.values():
                for request in requests:
                    if request.address == (self.node and self.node.address):
                        request.reply = redis.ConnectionError("the node has failed")


def wait_for_replica(cluster: LocalCluster, node: Node) -> None:
    """Waits until the replica of a node has got what the node has written so far."""
    written = node.client.info("replication")["master_repl_offset"]
    replica = cluster.replica_of(node)
    deadline = monotonic() + 10
    while replica.client.info("replication").get("slave_repl_offset", 0) < written:
        assert monotonic() < deadline, "the replica does not follow"
        sleep(0.002)


def empty(cluster: LocalCluster) -> None:
    """Deletes everything."""
    for node in cluster.nodes:
        with suppress(redis.ReadOnlyError):
            node.client.flushall()


def run_with_failures(
    cluster: LocalCluster, partitions: int, case: Case, how: How, stored: Callable[[], Any], steps: Sequence[int] | None
) -> int:
    """Runs the operation without a failure, then with one at each of these steps, at every step by default; how many
    steps it has.

    Each run is on a database of its own. stored: what is there afterwards, and checks what has to be so.
    """

    def run(step: int | None) -> tuple[Failure, Any]:
        empty(cluster)
        failure = Failure(cluster, step, how)
        url = f"{cluster.url}?partitions={partitions}"
        with ormis.connect(url):
            prepared = case.prepare()
            with failure.installed():
                result = case.run(prepared)
        with ormis.connect(url):  # async work has closed the first one
            found = result, stored()
        if failure.node is not None and how != "restart":
            cluster.restart(failure.node)
        cluster.wait_until_ready()
        return failure, found

    run(None)  # a node that does not know a script yet costs some operations one step more
    unharmed, expected = run(None)
    for step in range(unharmed.steps) if steps is None else steps:
        failure, found = run(step)
        assert failure.node is not None, f"there are {failure.steps} steps, none of the number {step}"
        assert found == expected, f"the node failed at step {step} of {unharmed.steps}, {how}"
    return unharmed.steps
