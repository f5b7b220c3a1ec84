"""Listing the calls that are sent: `with capture_calls() as calls:`."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from ..calls import Sent

_captured: ContextVar[tuple[list[Sent], ...]] = ContextVar("ormis_captured_calls", default=())


@contextmanager
def capture_calls() -> Generator[list[Sent]]:
    """Lists the calls that ormis sends in this block, by this thread or task and the tasks started in it.

    One entry per round trip. `str(call)` shows it as `redis-cli` would; a script by its name.
    """
    calls: list[Sent] = []
    token = _captured.set((*_captured.get(), calls))
    try:
        yield calls
    finally:
        _captured.reset(token)


@contextmanager
def unseen() -> Generator[None]:
    """Calls in this block are not listed: they belong to the connection, not to an operation of the caller."""
    token = _captured.set(())
    try:
        yield
    finally:
        _captured.reset(token)


def listing() -> bool:
    """Returns whether calls are listed here."""
    return bool(_captured.get())


def note(call: Sent, prefix: str = "") -> None:
    """A driver is about to send this call to a database whose keys begin with this prefix."""
    for calls in _captured.get():
        calls.append(call.under(prefix) if prefix else call)
