"""What operations and drivers say to each other.

An operation is a generator: it yields a `Call`, is sent the server's reply and returns its result. It does no I/O.
A driver takes the calls, sends them and sends back the replies; redis-py's errors are thrown into the operation, which
may turn them into ormis errors. The same operation runs under the sync, the async and the fake driver.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Argument = str | bytes | int | float


@dataclass(slots=True)
class Command:
    """One Redis command. `args[0]` is its name."""

    args: tuple[Argument, ...]

    def __str__(self) -> str:
        return " ".join(_shown(arg) for arg in self.args)


@dataclass(slots=True)
class ScriptCall:
    """One call of a Lua script; the driver sends EVALSHA, and EVAL where the server does not know the script yet.

    once: the script writes and includes lib/once.lua; the driver adds what tells this call from its repetition.
    in_block: what to do inside a block of `atomic()` instead of a call that writes: an operation that reads what it
        needs and commits; its result takes the place of the reply. Without it, such a call is refused there.
    meanwhile: work that does not need the reply; the driver does it while the server is busy with this call, once more
        where it sends the call again. It raises nothing.
    """

    name: str
    sha: str
    source: str = field(repr=False)
    keys: tuple[str, ...]
    args: tuple[Argument, ...]
    once: bool = False
    in_block: "Callable[[], Operation[Any]] | None" = field(default=None, repr=False)
    meanwhile: Callable[[], object] | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return " ".join([self.name, *self.keys, *(_shown(arg) for arg in self.args)])


Call = Command | ScriptCall
Operation = Generator[Call, Any, T]


class Runner(Protocol):
    """A database, as far as the layers below it need one: it runs operations."""

    def run(self, operation: Operation[T]) -> T:
        """Runs an operation with the sync client."""
        ...

    async def arun(self, operation: Operation[T]) -> T:
        """Runs an operation with the async client."""
        ...


def _shown(arg: Argument) -> str:
    text = arg.decode("utf-8", "backslashreplace") if isinstance(arg, bytes) else str(arg)
    return text if len(text) <= 60 else f"{text[:57]}..."
