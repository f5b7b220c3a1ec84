"""Forks that Python does not know of."""

import ctypes
import os
import signal
from collections.abc import Callable
from traceback import print_exc


def in_child_of_c(work: Callable[[], object]) -> Callable[[], bool]:
    """Runs the work in a child forked by C code, whose hooks Python does not call: uWSGI forks workers so.

    Returns a function that waits for the child and says whether the work was done; the child prints its error.
    """
    child = ctypes.PyDLL(None).fork()
    if child:
        return lambda: os.waitpid(child, 0)[1] == 0
    signal.alarm(20)
    try:
        work()
        os._exit(0)
    except BaseException:  # noqa: BLE001 - it ends with the child
        print_exc()
    finally:
        os._exit(1)
