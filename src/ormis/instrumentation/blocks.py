"""Blocks of atomic(), observed: one operation, with the operations inside it and its end, `commit`, as parts."""

# It wraps the methods of a block.
# pyright: reportPrivateUsage=false

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import wraps
from typing import Any

from ..connecting import default_database
from ..errors import NotConnected
from ..transactions import Atomic
from .events import OperationEvent
from .patches import Patch
from .running import running

_NAME = "_observing"
"""The attribute of a block that was observed from its beginning."""


def patches() -> list[Patch]:
    """The beginning and the end of a block."""
    return [
        Patch(Atomic, "_begin", _beginning),
        Patch(Atomic, "__exit__", _leaving),
        Patch(Atomic, "__aexit__", _aleaving),
    ]


def _beginning(original: Callable[[Atomic], None]) -> Any:
    @wraps(original)
    def observed(block: Atomic) -> None:
        original(block)
        observing = running(OperationEvent("atomic", database=_database_of(block)))
        observing.__enter__()
        vars(block)[_NAME] = observing

    return observed


def _leaving(original: Callable[..., None]) -> Any:
    @wraps(original)
    def observed(block: Atomic, *raised: Any) -> None:
        with _ended(block, raised), _committing(block, raised):
            original(block, *raised)

    return observed


def _aleaving(original: Callable[..., Any]) -> Any:
    @wraps(original)
    async def observed(block: Atomic, *raised: Any) -> None:
        with _ended(block, raised), _committing(block, raised):
            await original(block, *raised)

    return observed


@contextmanager
def _ended(block: Atomic, raised: tuple[Any, ...]) -> Generator[None]:
    """The block has ended after this. raised: what its body has."""
    observing: Any = vars(block).pop(_NAME, None)
    try:
        yield
    except BaseException as error:
        if observing is not None:
            observing.__exit__(type(error), error, error.__traceback__)
        raise
    if observing is not None:  # else observe() was called inside the block
        observing.__exit__(*raised)


def _committing(block: Atomic, raised: tuple[Any, ...]) -> AbstractContextManager[None]:
    if raised[0] is not None:
        return nullcontext()
    return running(OperationEvent("commit", database=_database_of(block)))


def _database_of(block: Atomic) -> Any:
    """The database of the block; before `ormis.atomic()` has written, the one that it most likely is of."""
    known = block._database if block._block is None else block._block.database
    try:
        return known or default_database("atomic()")
    except NotConnected:
        return None
