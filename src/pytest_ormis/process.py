"""A server program as a process that ends with this one, even if this one is killed."""

import signal
import socket
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from os import killpg
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen

STARTUP_SECONDS = 15
_SHOWN_LOG_LINES = 12

# The shell becomes the server. Its child sleeps in `cat` until our end of the pipe is closed, by us or by the kernel;
# then it kills the server and removes its directory.
_WATCHED = """
exec 3<&0
( cat <&3 >/dev/null; kill -9 $$; rm -rf "$0" ) &
exec "$@" 3<&- </dev/null
"""


@contextmanager
def running(program: Path, folder: str, path: str) -> Generator[None]:
    """Runs a server program in a folder, without a TCP port and without storing anything, with a socket at the path.

    Raises RuntimeError, with the end of its log, if it does not start.
    """
    log = Path(folder) / "log"
    settings = ["--port", "0", "--unixsocket", path, "--dir", folder, "--save", "", "--appendonly", "no"]
    with log.open("wb") as output:
        # In a session of its own, Ctrl-C does not reach it: the fixture stops it.
        command = ["/bin/sh", "-c", _WATCHED, folder, str(program), *settings]
        process = Popen(command, stdin=PIPE, stdout=output, stderr=STDOUT, start_new_session=True)
    try:
        if not _wait(process, path):
            shown = log.read_text(errors="replace").splitlines()[-_SHOWN_LOG_LINES:]
            raise RuntimeError("\n  ".join([f"the server {program} did not start; its log ends:", *shown]))
        yield
    finally:
        with suppress(ProcessLookupError):
            killpg(process.pid, signal.SIGKILL)  # the group: the server and its watcher
        process.wait()
        assert process.stdin
        process.stdin.close()


def _wait(process: "Popen[bytes]", path: str) -> bool:
    """Returns whether the server answers in time."""
    deadline = time.monotonic() + STARTUP_SECONDS
    while not (answers := _answers(path)) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    return answers


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as connection, suppress(OSError):
        connection.settimeout(1)
        connection.connect(path)
        connection.sendall(b"PING\r\n")
        return connection.recv(64).startswith(b"+PONG")
    return False
