"""What observers are told: one event per operation, one per call to the server."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from ..calls import HashRead, HashReads, ScriptCall, Sent
from ..drivers.replies import commands


@dataclass(eq=False, slots=True)
class OperationEvent:
    """One operation: a method of a model, of a queryset or of a manager, or a block of atomic().

    name: the method without the `a` of async ones: `get`, `save`, `bulk_create`; `query` where a queryset is evaluated,
        `iterator` for a batch of one, `load` for a relation or a field that is loaded on first use, `atomic` for a
        block, `commit` for its end.
    model: the name of the model, empty for blocks.
    database: the database, or None for a block of `ormis.atomic()` before it has written.
    relation: the relation that is loaded or changed: `Choice.question`.
    around: the operation in which this one runs.

    The rest is known when the operation has ended:

    calls: calls to the server, those of operations inside it among them.
    rows: objects or rows that were returned, or objects that were written; None where neither is counted.
    partitions: the numbers of the partitions that were asked, of a database on a cluster.
    cache: whether the process's cache had the object; None where it is not used.
    duration: seconds. error: what it raised. plan: what explain() says of it, if an observer wants that.
    """

    name: str
    model: str = ""
    database: Any = None
    relation: str = ""
    around: "OperationEvent | None" = None
    calls: int = 0
    rows: int | None = None
    partitions: set[int] = field(default_factory=set[int])
    cache: Literal["hit", "miss"] | None = None
    duration: float = 0.0
    error: BaseException | None = None
    plan: str = ""
    source: Callable[[], Any] | None = field(default=None, repr=False)
    observers: "tuple[Observer, ...]" = field(default=(), repr=False)

    def __str__(self) -> str:
        return f"{self.name} {self.model}".rstrip()


@dataclass(eq=False, slots=True)
class CallEvent:
    """One round trip: a call, or on a cluster several calls that go to the nodes side by side.

    made: returns what is sent; called where an observer asks for it.
    client: the redis-py client; None on a cluster. operation: the operation that it belongs to.
    """

    made: Callable[[], Sequence[Sent]] = field(repr=False)
    client: Any = None
    partitions: tuple[int, ...] = ()
    operation: OperationEvent | None = None
    _calls: Sequence[Sent] | None = field(default=None, init=False, repr=False)

    @property
    def calls(self) -> Sequence[Sent]:
        """What is sent."""
        if self._calls is None:
            self._calls = self.made()
        return self._calls

    @property
    def commands(self) -> list[str]:
        """The names of the commands."""
        return [name for call in self.calls for name in _names(call, self.client)]

    @property
    def scripts(self) -> list[str]:
        """The names of the scripts of ormis that it runs, each once."""
        return [*dict.fromkeys(call.name for call in self.calls if isinstance(call, ScriptCall))]


class Observer(Protocol):
    """What observe() takes: each method returns a context manager, which is entered before and left after.

    The context managers are not to block: they run in the event loop too. An exception of the operation or of the call
    goes through them.
    """

    def operation(self, event: OperationEvent, /) -> AbstractContextManager[object]:
        """An operation begins."""
        ...

    def call(self, event: CallEvent, /) -> AbstractContextManager[object]:
        """A call is about to be sent."""
        ...

    def wants_plan(self, event: OperationEvent, /) -> bool:
        """Returns whether one more call is to find the plan of this operation, which has ended."""
        ...


def _names(call: Sent, client: Any) -> list[str]:
    if isinstance(call, ScriptCall):
        if client is None:
            return ["EVALSHA_RO" if call.reads else "EVALSHA"]
        return [commands(client, call)[0]]
    if isinstance(call, HashRead):
        return ["HMGET"]
    if isinstance(call, HashReads):
        return ["PTTL", "HMGET"] * len(call.keys)
    return [str(call.args[0])]
