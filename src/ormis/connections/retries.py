"""How often, and for how long, a call is repeated by the clients that are made from a URL.

redis-py counts tries alone: the eleven of its default last 4 seconds where a port is closed, and a minute where each
of them waits for a time-out. It also nests them: each try of a command on a broken connection may connect anew, which
is tried eleven times. So a retry has a time as well, the same for sync and async clients.
"""

import inspect
from collections.abc import Callable
from time import monotonic
from typing import Any

import redis
import redis.asyncio.retry
import redis.retry

from .classes import untyped

TIMEOUT = 5.0
"""Seconds for one try to connect, or for one reply, where the URL has no socket_connect_timeout or socket_timeout."""

SENTINEL_TIMEOUT = 1.0
"""The same for a sentinel: there is another one to ask."""

RETRIED_FOR = 12.0
"""Seconds from the first try in which a retry may begin; there is one retry in any case."""

_Test = Callable[[Exception], bool]


def _in_time(also: _Test | None, began: float) -> _Test:
    """A test whether to repeat what has failed, for the retries of one call that began at this time."""
    ends, failures = began + RETRIED_FOR, 0

    def repeats(error: Exception) -> bool:
        nonlocal failures
        failures += 1
        return (failures == 1 or monotonic() < ends) and (also is None or also(error))

    return repeats


class TimedRetry(redis.retry.Retry):
    """A retry that ends by count and by time, whichever comes first."""

    def call_with_retry(
        self,
        do: Callable[[], Any],
        fail: Callable[..., Any],
        is_retryable: _Test | None = None,
        with_failure_count: bool = False,
    ) -> Any:
        """As redis-py's."""
        return self.go_on(do, fail, is_retryable, with_failure_count, monotonic())

    def go_on(
        self,
        do: Callable[[], Any],
        fail: Callable[..., Any],
        is_retryable: _Test | None,
        with_failure_count: bool,
        began: float,
    ) -> Any:
        """The same for a call that began at this time."""
        return super().call_with_retry(do, fail, _in_time(is_retryable, began), with_failure_count)


class AsyncTimedRetry(redis.asyncio.retry.Retry):
    """The same for redis.asyncio."""

    async def call_with_retry(
        self,
        do: Callable[[], Any],
        fail: Callable[..., Any],
        is_retryable: _Test | None = None,
        with_failure_count: bool = False,
    ) -> Any:
        """As redis-py's."""
        return await super().call_with_retry(do, fail, _in_time(is_retryable, monotonic()), with_failure_count)


def go_on(
    retry: Any,
    error: Exception,
    do: Callable[[], Any],
    fail: Callable[[Exception], object],
    is_retryable: _Test,
    began: float,
) -> Any:
    """The retries of a call whose first try, begun at this time, has raised the error. A call that does not fail pays
    nothing for them.
    """
    errors = [error]

    def do_after_error() -> Any:
        if errors:
            raise errors.pop()
        return do()

    if isinstance(retry, TimedRetry):
        return retry.go_on(do_after_error, fail, is_retryable, False, began)
    return retry.call_with_retry(do_after_error, fail, is_retryable)


def default_retry() -> TimedRetry:
    """As redis-py has it for a client that is made without a URL, but for a limited time."""
    return _copied(inspect.signature(untyped(redis.Redis)).parameters["retry"].default, TimedRetry, Exception)


def converted(retry: Any, retry_class: type[Any], errors: type[Exception]) -> Any:
    """A retry of the sync or of the async world, `retry_class`, that does the same as one of the other."""
    if isinstance(retry, retry_class):
        return retry
    if isinstance(retry, TimedRetry):
        retry_class = AsyncTimedRetry
    return _copied(retry, retry_class, errors)


def _copied(retry: Any, retry_class: type[Any], errors: type[Exception]) -> Any:
    backoff, retries, supported = (getattr(retry, f"_{name}") for name in ("backoff", "retries", "supported_errors"))
    return retry_class(backoff, retries, tuple(error for error in supported if issubclass(error, errors)))
