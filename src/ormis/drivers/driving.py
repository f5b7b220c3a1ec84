"""The loop of every driver: the calls of an operation are answered one after another."""

from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar, cast

from ..calls import T

C = TypeVar("C")


def drive(operation: Generator[C, Any, T], answer: Callable[[C], Any]) -> T:
    """Runs the operation to its end and returns its result. Errors of its calls are thrown into the operation.

    answer: sends one call and returns its reply.
    """
    try:
        call = next(operation)
        while True:
            try:
                reply = answer(call)
            except Exception as error:  # noqa: BLE001 - redis-py's, or that of an Invocation
                call = operation.throw(error)
            else:
                call = operation.send(reply)
    except StopIteration as end:
        return cast(T, end.value)
    finally:
        operation.close()


async def adrive(operation: Generator[C, Any, T], answer: Callable[[C], Awaitable[Any]]) -> T:
    """As drive()."""
    try:
        call = next(operation)
        while True:
            try:
                reply = await answer(call)
            except Exception as error:  # noqa: BLE001 - as in drive()
                call = operation.throw(error)
            else:
                call = operation.send(reply)
    except StopIteration as end:
        return cast(T, end.value)
    finally:
        operation.close()
