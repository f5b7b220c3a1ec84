"""The calls of operations, observed where the drivers and the routing of a cluster send them."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any

from ..calls import Call, Invocation, OneCall, OneWrite, Sent
from ..cluster import single
from ..cluster.partitions import Partition
from ..cluster.replicas import ReplicaRouter
from ..cluster.routing import PartitionCall, Router
from ..drivers import aio, sync
from .patches import Patch
from .running import is_sending, sending

Made = Callable[[], Sequence[Sent]]
"""Returns the calls that are sent: to make that of a save anew takes as long as half of the save."""


def patches() -> list[Patch]:
    """The functions that send. One of them may use another."""
    return [
        Patch(sync, "send", _of_driver(_call)),
        Patch(sync, "write", _of_driver(_call_of_write)),
        Patch(aio, "send", _of_async_driver(_call)),
        Patch(aio, "run_one", _of_async_driver(_call_of_read)),
        Patch(aio, "write_one", _of_async_driver(_call_of_write)),
        Patch(single, "read", lambda _: _missed),  # the first try is left out: routing, which is observed, makes it
        Patch(single, "aread", lambda _: _not_tried),
        Patch(single, "write", _of_single_write),
        Patch(single, "awrite", _of_async_single_write),
        Patch(Router, "send", _of_router),
        Patch(Router, "asend", _of_async_router),
        Patch(Router, "send_all", _of_router),
        Patch(Router, "asend_all", _of_async_router),
        Patch(ReplicaRouter, "send_all", _of_router),  # by which it sends single calls, too
        Patch(ReplicaRouter, "asend_all", _of_async_router),
    ]


def _call(call: Call) -> Made | None:
    return None if isinstance(call, Invocation) else lambda: (call,)


def _call_of_read(operation: OneCall[Any]) -> Made | None:
    return lambda: (operation.call,)


def _call_of_write(operation: OneWrite) -> Made | None:
    return lambda: (operation.call(),)


def _of_driver(made_of: Callable[[Any], Made | None]) -> Callable[[Any], Any]:
    def wrap(original: Callable[..., Any]) -> Any:
        @wraps(original)
        def observed(client: Any, subject: Any, *rest: Any) -> Any:
            made = None if is_sending() else made_of(subject)
            if made is None:
                return original(client, subject, *rest)
            with sending(made, client=client):
                return original(client, subject, *rest)

        return observed

    return wrap


def _of_async_driver(made_of: Callable[[Any], Made | None]) -> Callable[[Any], Any]:
    def wrap(original: Callable[..., Any]) -> Any:
        @wraps(original)
        async def observed(client: Any, subject: Any, *rest: Any) -> Any:
            made = None if is_sending() else made_of(subject)
            if made is None:
                return await original(client, subject, *rest)
            with sending(made, client=client):
                return await original(client, subject, *rest)

        return observed

    return wrap


def _missed(*_: Any) -> Any:
    return single.MISSED


def _not_tried(*_: Any) -> None:
    return None


def _of_single_write(original: Callable[..., Any]) -> Any:
    @wraps(original)
    def observed(router: Router, operation: OneWrite, partition: Partition) -> Any:
        with sending(lambda: (operation.call(),), partitions=(partition.number,)):
            return original(router, operation, partition)

    return observed


def _of_async_single_write(original: Callable[..., Any]) -> Any:
    @wraps(original)
    async def observed(router: Router, operation: OneWrite, partition: Partition) -> Any:
        with sending(lambda: (operation.call(),), partitions=(partition.number,)):
            return await original(router, operation, partition)

    return observed


def _of_router(original: Callable[..., Any]) -> Any:
    @wraps(original)
    def observed(self: Router, steps: Any) -> Any:
        if is_sending() or not steps:
            return original(self, steps)
        with _sending_steps([steps] if isinstance(steps, PartitionCall) else steps):
            return original(self, steps)

    return observed


def _of_async_router(original: Callable[..., Any]) -> Any:
    @wraps(original)
    async def observed(self: Router, steps: Any) -> Any:
        if is_sending() or not steps:
            return await original(self, steps)
        with _sending_steps([steps] if isinstance(steps, PartitionCall) else steps):
            return await original(self, steps)

    return observed


def _sending_steps(steps: Sequence[PartitionCall]) -> AbstractContextManager[None]:
    partitions = tuple([step.partition.number for step in steps])
    return sending(lambda: [step.call for step in steps], len(steps), partitions=partitions)
