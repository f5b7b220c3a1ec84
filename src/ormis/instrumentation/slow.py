"""Slow operations in the log: `ormis.log_slow_queries(0.1)`."""

import logging
import sys
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from math import inf
from types import FrameType

from ..database import Database
from ..errors import shown
from .events import CallEvent, OperationEvent
from .observe import Observation, observe

_log = logging.getLogger("ormis")
_BETWEEN = ("ormis", "contextlib", "asyncio", "threading", "concurrent", "opentelemetry")
"""Packages whose code is not the caller's."""
_LOOP = "asyncio.events"
"""What calls a task: behind it is the code that runs the event loop, not the one that has started the task."""


def log_slow_queries(threshold: float, database: Database | None = None, *, explain: bool = False) -> Observation:
    """Logs operations that take longer, as warnings of the logger `ormis`, until `.stop()` of what it returns.

    A line has the time, the model, the calls, the rows and the place in the application that has called: a file and a
    line. The record has the same as attributes: `operation`, `model`, `duration`, `calls`, `rows`, `place`, `plan`.
    Operations inside another one are lines of their own; of a block of atomic() its end is one, `commit`.

    threshold: seconds.
    database: this database only.
    explain: find the plan of a slow query as well, by one more call after it; its objects and its access path are
        logged.

    Raises ValueError for a threshold below 0.

        slow = ormis.log_slow_queries(0.1)

        WARNING ormis: query Choice took 0.214 s, in 1 call, 20 rows, at app/views.py:12
    """
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold < inf:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(f"log_slow_queries({shown(threshold)}): give seconds, 0.1 for instance")
    return observe(_SlowLog(threshold, explain), database)


class _SlowLog:
    """The observer that logs."""

    def __init__(self, threshold: float, explain: bool) -> None:
        self._threshold = threshold
        self._explain = explain

    def operation(self, event: OperationEvent, /) -> AbstractContextManager[object]:
        """Logs the operation at its end, if it was slow."""
        return nullcontext() if event.name == "atomic" else self._logging(event)

    @contextmanager
    def _logging(self, event: OperationEvent) -> Generator[None]:
        try:
            yield
        finally:
            if event.duration > self._threshold:
                _warn(event)

    def call(self, _event: CallEvent, /) -> AbstractContextManager[object]:
        """Nothing: calls are counted by their operation."""
        return nullcontext()

    def wants_plan(self, event: OperationEvent, /) -> bool:
        """Returns whether it was slow, and a plan is to be logged."""
        return self._explain and event.duration > self._threshold


def _warn(event: OperationEvent) -> None:
    parts = [f"{event} took {event.duration:.3f} s", f"in {_counted(event.calls, 'call')}"]
    if event.rows is not None:
        parts.append(_counted(event.rows, "row"))
    if event.error is not None:
        parts.append(f"raised {type(event.error).__name__}")
    place = _place(sys._getframe())  # pyright: ignore[reportPrivateUsage]
    parts.append(f"at {place}")
    if event.plan:
        parts.append(f"plan: {event.plan}")
    names = ("model", "duration", "calls", "rows", "plan")
    more = {name: getattr(event, name) for name in names}
    _log.warning("%s", ", ".join(parts), extra={"operation": event.name, "place": place, **more})


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _place(frame: FrameType | None) -> str:
    """The file and the line of the application, `?` in a task that runs an operation of ormis alone."""
    while frame is not None:
        module: str = frame.f_globals.get("__name__", "")
        if module == _LOOP:
            break
        if module.partition(".")[0] not in _BETWEEN:
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return "?"
