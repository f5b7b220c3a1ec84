"""Keeps the server of one data directory: starts it, waits until nobody uses it, stops it.

Run as a script by `embedded.py`, in the data directory, with the arguments: server binary, data directory,
"kept" or "temporary", and the descriptor of `keeper.lock`, which arrives locked. The contract with the
users:

- `keeper.lock` is held for exactly as long as the server may be running; a server that fails to start is
  noticed by the lock coming free.
- Every user holds a shared lock on `users.lock`. The exclusive lock, which the keeper waits for, is granted
  when the last user has left or died, and nobody can join while the server is being stopped.
- A temporary directory is removed when the last user has left, whatever became of its server.

Nothing is imported on the way to the server's start that can wait: the interpreter starts in 12 ms, `import
socket` alone would add 11.
"""

import _thread
import fcntl
import os
import sys
import time

SOCKET = "server.sock"
USERS = "users.lock"
# A shutdown writes the rest of the append-only file; on a slow disk that takes time, and it must
# not be cut short.
PATIENCE = 30


def main(binary: str, directory: str, kind: str, keeper_lock: int) -> None:
    """Starts the server, waits for its end; see the module."""
    temporary = kind == "temporary"
    os.umask(0o077)
    os.set_inheritable(keeper_lock, False)
    # Detached: the user who started us has no child to reap, and no zombie when we end first.
    if os.fork():
        os._exit(0)
    users = os.open(USERS, os.O_RDWR | os.O_CREAT, 0o600)
    server = start(binary, server_arguments(directory, append_only=not temporary))
    _thread.start_new_thread(stop_when_unused, (users, server, temporary))
    pass_on_termination(server)
    wait(server)
    if temporary:
        os.close(keeper_lock)
        remove_when_unused(users, directory)


def server_arguments(directory: str, *, append_only: bool) -> list[str]:
    """The command line of the server."""
    settings = {
        "port": "0",
        # Relative to the working directory: a socket's path may have some 100 bytes only.
        "unixsocket": SOCKET,
        "unixsocketperm": "700",
        "dir": directory,
        "save": "",
        "appendonly": "yes" if append_only else "no",
        "appendfsync": "everysec",
        "daemonize": "no",
        # Standard output is the log file, so that it also gets what the server says before it reads its
        # settings.
        "logfile": "",
        # Else the server would overwrite its command line, and `ps` not show the directory.
        "set-proc-title": "no",
    }
    return ["valkey-server", *(text for name, value in settings.items() for text in (f"--{name}", value))]


def start(binary: str, arguments: list[str]) -> int:
    """The process of the server, which ends with this one."""
    keeper = os.getpid()
    server = os.fork()
    if server:
        return server
    try:
        end_with(keeper)
        os.execv(binary, arguments)  # noqa: S606 - this is what the process is for
    except BaseException as error:  # noqa: BLE001 - nothing may escape into the parent's code
        os.write(2, f"can't run {binary}: {error}\n".encode())
    os._exit(127)


def end_with(keeper: int) -> None:
    """Have the kernel stop this process when its keeper is killed.

    Only Linux can; elsewhere the next user who joins sees to it.
    """
    if sys.platform != "linux":
        return
    import ctypes

    # As numbers, which are the same everywhere: `import signal` would take 7 ms on the way to the server's
    # start.
    set_parent_death_signal, terminate = 1, 15
    ctypes.CDLL(None).prctl(set_parent_death_signal, terminate, 0, 0, 0)
    if os.getppid() != keeper:
        os._exit(1)


def pass_on_termination(server: int) -> None:
    """Passes a request to end on to the server."""
    import signal

    def pass_on(number: int, _: object) -> None:
        os.kill(server, number)

    signal.signal(signal.SIGTERM, pass_on)


def wait(server: int) -> None:
    """Waits for the end of the server."""
    try:  # noqa: SIM105 - contextlib would be one more import on the way to the server's start
        os.waitpid(server, 0)
    except ChildProcessError:  # whoever started us ignored SIGCHLD: the kernel has reaped the server already
        pass


def stop_when_unused(users: int, server: int, temporary: bool) -> None:
    """Stops the server when nobody uses it any more."""
    fcntl.flock(users, fcntl.LOCK_EX)
    stop(server, at_once=temporary)


def stop(server: int, *, at_once: bool) -> None:
    """Ask with more and more weight; the main thread ends this process as soon as the server is gone."""
    import signal

    if not at_once:
        if not is_shutting_down():
            os.kill(server, signal.SIGTERM)
        time.sleep(PATIENCE)
    os.kill(server, signal.SIGKILL)


def is_shutting_down() -> bool:
    """Send SHUTDOWN, which acts at once, while the server looks at signals only every 100 ms."""
    import socket

    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(SOCKET)
            connection.sendall(b"SHUTDOWN\r\n")
            # A shutdown that succeeds has no answer: the connection ends with the server.
            return not connection.recv(1)
    except OSError:
        return False


def remove_when_unused(users: int, directory: str) -> None:
    """Removes a temporary directory when nobody uses it any more."""
    import shutil

    fcntl.flock(users, fcntl.LOCK_EX)
    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
