"""The calls of operations, observed where the drivers and the routing of a cluster send them."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from ..calls import Invocation, OneCall, OneWrite, Sent
from ..cluster.routing import PartitionCall, Router
from ..drivers import aio, sync
from .patches import Patch
from .running import is_sending, sending


def patches() -> list[Patch]:
    """The functions that send."""
    return [
        *[Patch(sync, name, _of_driver(sent)) for name, sent in _WAYS.items() if hasattr(sync, name)],
        *[Patch(aio, name, _of_async_driver(sent)) for name, sent in _ASYNC_WAYS.items()],
        Patch(Router, "send", _of_router),
        Patch(Router, "asend", _of_async_router),
        Patch(Router, "send_all", _of_router),
        Patch(Router, "asend_all", _of_async_router),
    ]


def _call(call: Any) -> Sent | None:
    return None if isinstance(call, Invocation) else call


def _call_of_read(operation: OneCall[Any]) -> Sent | None:
    return operation.call


def _call_of_write(operation: OneWrite) -> Sent | None:
    return operation.call()


_WAYS: dict[str, Callable[[Any], Sent | None]] = {"send": _call, "write": _call_of_write}
_ASYNC_WAYS: dict[str, Callable[[Any], Sent | None]] = {
    "send": _call,
    "run_one": _call_of_read,
    "write_one": _call_of_write,
}
"""The functions of a driver that send, and the call of what they are given. One of them may use another."""


def _of_driver(sent: Callable[[Any], Sent | None]) -> Callable[[Any], Any]:
    def wrap(original: Callable[..., Any]) -> Any:
        @wraps(original)
        def observed(client: Any, subject: Any, *rest: Any) -> Any:
            call = None if is_sending() else sent(subject)
            if call is None:
                return original(client, subject, *rest)
            with sending((call,), client):
                return original(client, subject, *rest)

        return observed

    return wrap


def _of_async_driver(sent: Callable[[Any], Sent | None]) -> Callable[[Any], Any]:
    def wrap(original: Callable[..., Any]) -> Any:
        @wraps(original)
        async def observed(client: Any, subject: Any, *rest: Any) -> Any:
            call = None if is_sending() else sent(subject)
            if call is None:
                return await original(client, subject, *rest)
            with sending((call,), client):
                return await original(client, subject, *rest)

        return observed

    return wrap


def _of_router(original: Callable[..., Any]) -> Any:
    @wraps(original)
    def observed(self: Router, steps: Any) -> Any:
        several: list[PartitionCall] = [steps] if isinstance(steps, PartitionCall) else steps
        if is_sending() or not several:
            return original(self, steps)
        with sending([step.call for step in several], None, tuple([step.partition.number for step in several])):
            return original(self, steps)

    return observed


def _of_async_router(original: Callable[..., Any]) -> Any:
    @wraps(original)
    async def observed(self: Router, steps: Any) -> Any:
        several: list[PartitionCall] = [steps] if isinstance(steps, PartitionCall) else steps
        if is_sending() or not several:
            return await original(self, steps)
        with sending([step.call for step in several], None, tuple([step.partition.number for step in several])):
            return await original(self, steps)

    return observed
