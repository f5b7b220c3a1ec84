"""`observe()`: observers come and go; with the first one the methods are replaced, with the last one put back."""

from threading import Lock
from types import TracebackType
from typing import Any, Self

from ..connecting import checked_database
from ..database import Database
from ..errors import shown
from . import blocks, calls, operations
from .events import Observer
from .patches import Patches
from .running import Watch, change, watches

_lock = Lock()
_patches = Patches([*operations.patches(), *blocks.patches(), *calls.patches()])


class Observation:
    """An observer at work, until stop(). A context manager: `with ormis.observe(observer):`."""

    def __init__(self, watch: Watch) -> None:
        self._watch: Watch | None = watch

    def stop(self) -> None:
        """Ends it. What runs already is observed to its end."""
        with _lock:
            watch, self._watch = self._watch, None
            if watch is not None:
                change([], [watch])
                if not watches:
                    _patches.undo()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


def observe(observer: Observer, database: Database | None = None) -> Observation:
    """Has the observer told of each operation and each call, in all threads and tasks, until `.stop()`.

    observer: has the methods `operation`, `call` and `wants_plan` of ormis.Observer. What they raise reaches the caller
        of the operation.
    database: observe this database only, its replicas included. Calls of no operation, such as those of ormis.check(),
        are observed without it alone.

    While there is no observer, nothing of it is in the way of an operation: methods are replaced here, and put back by
    stop(). Raises TypeError for what is no observer.

        with ormis.observe(Printer()):
            Question.get(1)
    """
    given: Any = observer
    if not all(callable(getattr(given, name, None)) for name in ("operation", "call", "wants_plan")):
        raise TypeError(f"observe() takes an object with the methods of ormis.Observer, not {shown(observer)}")
    watch = Watch(observer, None if database is None else checked_database(database, "observe(): database="))
    with _lock:
        if not watches:
            _patches.make()
        change([watch], [])
    return Observation(watch)
