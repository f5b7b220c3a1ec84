"""The clock by which kept rows go out of date: it runs on while the machine sleeps."""

import time
from collections.abc import Callable
from functools import partial


def _clock() -> Callable[[], float]:
    for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"):  # CLOCK_MONOTONIC stands still in sleep on Linux, not on macOS
        if hasattr(time, name):
            return partial(time.clock_gettime, getattr(time, name))
    return time.monotonic


clock = _clock()
"""Returns seconds; only differences mean anything."""
