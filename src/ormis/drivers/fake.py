"""A driver without a server, for tests: it answers the calls of an operation from a list of replies."""

from collections.abc import Iterable
from typing import Any, cast

from ..calls import Call, Invocation, Operation, ScriptCall, T


class FakeDriver:
    """Sends each call the next of the replies; a reply that is an exception is thrown. `calls` lists the calls."""

    def __init__(self, replies: Iterable[Any]) -> None:
        self._replies = list(replies)
        self.calls: list[Call] = []

    def run(self, operation: Operation[T]) -> T:
        """Runs the operation to its end; AssertionError when it asks for more replies than there are, or for fewer."""
        try:
            call = next(operation)
            while True:
                if isinstance(call, Invocation):
                    call = self._invoke(operation, call)
                    continue
                self.calls.append(call)
                if isinstance(call, ScriptCall) and call.meanwhile is not None:
                    call.meanwhile()
                assert self._replies, f"no reply is left for {call}"
                reply = self._replies.pop(0)
                call = operation.throw(reply) if isinstance(reply, BaseException) else operation.send(reply)
        except StopIteration as end:
            assert not self._replies, f"replies that nobody asked for: {self._replies}"
            return cast(T, end.value)

    def _invoke(self, operation: Operation[Any], call: Invocation) -> Call:
        try:
            result = call.invoke()
        except Exception as error:  # noqa: BLE001 - the operation's to see
            return operation.throw(error)
        return operation.send(result)
