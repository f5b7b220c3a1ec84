"""Operations that run at the same time, each in a partition of its own: their calls go out together, round by round.

A call of an operation goes to its partition; one that says where it goes, and a list of these, goes there.
"""

from collections.abc import Callable, Generator, Mapping
from typing import Any, TypeVar, cast

from ..calls import Call, Invocation, Operation, relayed
from .partitions import Partition
from .routing import PartitionCall

T = TypeVar("T")
Step = Any
"""A `PartitionCall`, a list of them, or an `Invocation`."""
Steps = Generator[Step, Any, T]
"""An operation whose calls say where they go."""
Answer = Callable[[Call], Steps[Any]]
"""Answers a call of an operation."""


def answered(operation: Operation[T], answer: Answer) -> Steps[T]:
    """The operation, with its calls answered in this way."""
    return cast("Steps[T]", relayed(operation, cast(Any, answer)))


def side_by_side(operations: Mapping[Partition, Operation[T] | Steps[T]]) -> Steps[dict[Partition, T]]:
    """Runs all operations to their ends; their results. Raises the error of the first that has failed, after that."""
    results, errors = yield from settled(operations)
    for error in errors.values():
        raise error
    return {partition: results[partition] for partition in operations}


def settled(
    operations: Mapping[Partition, Operation[T] | Steps[T]],
) -> Steps[tuple[dict[Partition, T], dict[Partition, Exception]]]:
    """The same; returns the errors beside the results."""
    results: dict[Partition, T] = {}
    errors: dict[Partition, Exception] = {}
    running = dict(operations)
    replies: dict[Partition, Any] = dict.fromkeys(operations)
    try:
        while running:
            calls: list[PartitionCall] = []
            asking: dict[Partition, slice | int] = {}
            for partition, operation in [*running.items()]:
                reply = replies[partition]
                try:
                    call = operation.throw(reply) if isinstance(reply, Exception) else operation.send(reply)
                except StopIteration as end:
                    results[partition] = end.value
                    del running[partition]
                except Exception as error:  # noqa: BLE001 - the others go on, it is raised at the end
                    errors[partition] = error
                    del running[partition]
                else:
                    assert not isinstance(call, Invocation), "no hook runs inside a partition"
                    asking[partition] = _take(call, partition, calls)
            if calls:
                answers = yield calls
                replies = {partition: answers[at] for partition, at in asking.items()}
    finally:
        for operation in operations.values():
            operation.close()
    return results, errors


def _take(call: Step, partition: Partition, calls: list[PartitionCall]) -> slice | int:
    """Adds what an operation of this partition sends to the calls; where its replies are."""
    first = len(calls)
    if isinstance(call, list):
        calls += call
        return slice(first, len(calls))
    calls.append(call if isinstance(call, PartitionCall) else PartitionCall(call, partition))
    return first
