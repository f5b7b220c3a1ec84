"""`atomic()`: a block whose writes are sent together at its end, in one step, or not at all.

A block belongs to the context it began in: to a thread, or to a task and the tasks started inside it. It is of one
database: `db.atomic()` of that one, `ormis.atomic()` of the one that is written to first.
"""

from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from inspect import iscoroutinefunction
from random import random
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, overload

from .calls import Operation, Runner, T
from .errors import OrmisError
from .operations.writing.unit_of_work import UnitOfWork

_innermost: "ContextVar[Block | None]" = ContextVar("ormis_block", default=None)

Function = TypeVar("Function", bound=Callable[..., Any])


class Block:
    """One block from its beginning to its end. around: the block that it is in, of whatever database."""

    def __init__(self, database: Runner | None, around: "Block | None") -> None:
        self.database = database
        self.any_database = database is None
        self.around = around
        self.gathering = UnitOfWork(None if around is None else around.gathering)
        self.ended = False

    def gather(self, database: Runner, operation: Operation[T]) -> Operation[T]:
        """The operation as it runs inside this block. Raises OrmisError for a write that is not possible here."""
        return self.gathering.gather(operation, lambda: self.claim(database))

    def claim(self, database: Runner) -> None:
        """Something is about to be gathered for this database."""
        if self.ended:
            raise OrmisError(
                "a write after the end of the atomic() block in which this task was started: await the task inside "
                "the block, or let it write in a block of its own"
            )
        if self.database is None:
            self.database = database
        if self.database is not database:
            raise OrmisError(
                f"an atomic() block is one step on one database, and this one has written to {self.database!r} before "
                f"it came to {database!r}: use db.atomic() for each"
            )

    def end(self) -> Operation[None] | None:
        """Ends the block; returns the operation that applies it, None if it joins the block around it."""
        self.ended = True
        if self.database is None:
            return None
        outer = block_of(self.database, self.around)
        if outer is None:
            return self.gathering.apply()
        try:
            outer.claim(self.database)
        except OrmisError:
            self.gathering.undo()
            raise
        outer.gathering.absorb(self.gathering)
        return None

    def give_up(self) -> None:
        """Ends the block with nothing done."""
        self.ended = True
        self.gathering.undo()


def block_of(database: Runner, innermost: Block | None = None) -> Block | None:
    """The block of writes to this database now; None outside of blocks."""
    block = innermost or _innermost.get()
    while block is not None and block.database is not database and not block.any_database:
        block = block.around
    return block


def pause(tries: int) -> float:
    """Returns the seconds to wait after so many conflicts: random, so that one of two clients comes first."""
    return random() * min(0.1, 0.001 * 2 ** min(tries, 7))  # noqa: S311 - nobody gains by guessing it


class Atomic:
    """`with atomic():`, `async with atomic():`, and `@atomic()` for a function of either kind."""

    def __init__(self, database: Runner | None = None) -> None:
        self._database = database
        self._block: Block | None = None
        self.applied = False
        """True once its writes are applied: an error after that is one of a hook or a receiver."""

    def __call__(self, function: Function) -> Function:
        """The function, each call of which is a block."""
        if iscoroutinefunction(function):

            @wraps(function)
            async def block_async(*args: Any, **kwargs: Any) -> Any:
                async with Atomic(self._database):
                    return await function(*args, **kwargs)

            return block_async  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

        @wraps(function)
        def block(*args: Any, **kwargs: Any) -> Any:
            with Atomic(self._database):
                return function(*args, **kwargs)

        return block  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

    def __enter__(self) -> None:
        self._begin()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        block = self._leave()
        rest = block.end() if kind is None else block.give_up()
        if rest is not None and block.database is not None:
            try:
                block.database.run(rest)
            finally:
                self.applied = block.gathering.applied

    async def __aenter__(self) -> None:
        self._begin()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        block = self._leave()
        rest = block.end() if kind is None else block.give_up()
        if rest is not None and block.database is not None:
            try:
                await block.database.arun(rest)
            finally:
                self.applied = block.gathering.applied

    def _begin(self) -> None:
        if self._block is not None:
            raise OrmisError("this atomic() is in use: call atomic() for each block")
        around = _innermost.get()
        while around is not None and around.ended:  # a task that was started in a block may have its own afterwards
            around = around.around
        self._block = Block(self._database, around)
        _innermost.set(self._block)

    def _leave(self) -> Block:
        block, self._block = self._block, None
        assert block is not None, "the block has begun"
        _innermost.set(block.around)
        return block


class Blocks:
    """`atomic` of ormis and of a database: called, it is a block; as `@atomic`, each call of the function is one."""

    def __init__(self, name: str, database: Runner | None = None) -> None:
        self._name = name
        self._database = database

    @overload
    def __call__(self, /) -> Atomic: ...
    @overload
    def __call__(self, function: Function, /) -> Function: ...
    def __call__(self, function: Any = None, /, **options: Any) -> Any:
        """A block whose writes are sent together at its end, in one step; an exception sends none.

        Inside, a new object that was saved has its key, queries show the state before the block, the values of `F`
        are known after it, and `delete()` returns `(0, {})`. A block inside a block joins it.

        Raises at the end of the block what its writes are refused for; ConflictError where somebody else has changed a
        field that the block changes, since it was loaded.
        """
        if options or not (function is None or callable(function)):
            raise TypeError(f"{self._name}() takes no database and no options: a block of one database is db.atomic()")
        return Atomic(self._database) if function is None else Atomic(self._database)(function)

    def __repr__(self) -> str:
        return f"<{self._name}>"

    if not TYPE_CHECKING:  # a checker refuses `with atomic:` by itself

        def __enter__(self) -> NoReturn:
            raise TypeError(f"{self._name} has to be called: write `with {self._name}():`")

        async def __aenter__(self) -> NoReturn:
            raise TypeError(f"{self._name} has to be called: write `async with {self._name}():`")

        def __exit__(self, *_: object) -> None: ...

        async def __aexit__(self, *_: object) -> None: ...


atomic = Blocks("ormis.atomic")
