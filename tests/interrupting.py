"""Interrupts of the main thread by a signal, as by Ctrl-C or the time-out of a framework."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

AGAIN = 5.0


class Interrupt(KeyboardInterrupt):
    """The interrupt. In a notebook the event loop goes on afterwards."""


@contextmanager
def interrupts() -> Iterator[Callable[[float], None]]:
    """A function that interrupts this thread after some seconds, inside this block only.

    It interrupts again each AGAIN seconds: Python swallows an exception inside a finalizer.
    """
    armed = True

    def interrupt(*_: object) -> None:
        if armed:
            raise Interrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN) and None
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
