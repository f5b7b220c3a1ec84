"""Events from their beginning to their end: which operation runs here, and who observes it."""

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from ..calls import Sent
from .events import CallEvent, Observer, OperationEvent

_current: ContextVar[OperationEvent | None] = ContextVar("ormis_operation", default=None)
_sending: ContextVar[bool] = ContextVar("ormis_sending", default=False)
_UNSEEN = OperationEvent("")


@dataclass(eq=False, slots=True)
class Watch:
    """An observer, and the database that it observes; None for all."""

    observer: Observer
    database: Any

    def sees(self, database: Any) -> bool:
        """Returns whether it observes this database."""
        if self.database is None:
            return True
        return database is not None and self.database.same_as(getattr(database, "primary", database))


watches: list[Watch] = []
"""The observers at work. A list that is replaced, never changed: others may be going through it."""


def change(added: Sequence[Watch], removed: Sequence[Watch]) -> None:
    """Replaces the observers at work."""
    watches[:] = [*(watch for watch in watches if watch not in removed), *added]


@contextmanager
def running(event: OperationEvent) -> Generator[None]:
    """The operation runs in this block."""
    around = _current.get()
    event.around = None if around is _UNSEEN else around
    if around is not _UNSEEN:
        event.observers = tuple([watch.observer for watch in [*watches] if watch.sees(event.database)])
    with ExitStack() as observing:
        for observer in event.observers:
            observing.enter_context(observer.operation(event))
        _current.set(_UNSEEN if around is _UNSEEN else event)
        began = perf_counter()
        try:
            yield
        except BaseException as error:
            event.error = error
            raise
        finally:
            event.duration = event.duration or perf_counter() - began
            event.source = None  # contexts of tasks started here hold the event
            _current.set(around)  # no token: a block of atomic() may end in another context than it began in
            if event.cache is not None and event.calls == 0 and event.error is None:
                event.cache = "hit"
            if event.around is not None:
                event.around.calls += event.calls
                event.around.partitions |= event.partitions


def now(event: OperationEvent, began: float) -> None:
    """The operation has its result: what follows is not part of its time."""
    event.duration = perf_counter() - began


@contextmanager
def unseen() -> Generator[None]:
    """Nothing in this block is observed."""
    around = _current.get()
    _current.set(_UNSEEN)
    try:
        yield
    finally:
        _current.set(around)


def is_sending() -> bool:
    """Returns whether this is inside a call that is observed already."""
    return _sending.get()


@contextmanager
def sending(
    made: Callable[[], Sequence[Sent]], number: int = 1, client: Any = None, partitions: tuple[int, ...] = ()
) -> Generator[None]:
    """So many calls are sent in this block. made: returns them."""
    operation = _current.get()
    if operation is None:
        observers = tuple([watch.observer for watch in [*watches] if watch.database is None])
    else:
        observers = operation.observers
        operation.calls += number
        operation.partitions.update(partitions)
    token = _sending.set(True)
    try:
        if not observers:
            yield
            return
        event = CallEvent(made, client, partitions, operation)
        with ExitStack() as observing:
            for observer in observers:
                observing.enter_context(observer.call(event))
            yield
    finally:
        _sending.reset(token)
