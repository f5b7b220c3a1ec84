"""A real cluster on this machine, of the embedded server's program: for trying things out, and for tests.

Each node is a server process with a TCP port and a directory of its own. The processes end with `LocalCluster.stop()`,
and with the process that has started them.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import Any, Self

import redis

from ..connections.embedded import server_binary
from ..errors import OrmisError

SLOTS = 16384
PATIENCE = 30.0
"""Seconds in which a cluster has to be ready."""
_PAUSE = 0.02
_BUS = 10_000
"""The distance from a node's port to that of the cluster's own messages."""

# The shell becomes the server. Its child sleeps in `cat` until our end of the pipe is closed, then it kills the server.
_WATCHED = """
exec 3<&0
( cat <&3 >/dev/null; kill -9 $$ 2>/dev/null ) &
exec "$@" 3<&- </dev/null
"""


@dataclass(eq=False)
class Node:
    """One server process of a cluster."""

    port: int
    directory: Path
    process: "subprocess.Popen[bytes]"
    client: Any = field(repr=False)

    @property
    def id(self) -> str:
        """How the cluster knows it."""
        return self.client.execute_command("CLUSTER", "MYID").decode()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return "127.0.0.1", self.port

    def log(self) -> str:
        """What it has written so far."""
        return (self.directory / "server.log").read_text(errors="replace")

    def kill(self) -> None:
        """Ends it as a crash does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ends it as an operator does."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Stops it where it stands; it answers nobody."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on."""
        self.process.send_signal(signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        self.client.close()
        if self.process.stdin is None or self.process.stdin.closed:
            return
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            self.process.send_signal(how)
            self.process.wait(10)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdin.close()


class LocalCluster:
    """A cluster of so many nodes with slots, each with so many replicas; a context manager that stops it.

    directory: where the nodes keep their data, which a later start finds again; None for a temporary one.
    port: of the first node, those of the others follow; 0 for free ones.
    node_timeout: seconds after which a node that does not answer is taken to have failed.
    binary, options: the server program and further options of it.

    Raises OrmisError if the program is not there, a port is taken, or the cluster is not ready in half a minute.
    """

    def __init__(
        self,
        directory: Path | None = None,
        nodes: int = 3,
        replicas: int = 0,
        port: int = 0,
        *,
        node_timeout: float = 5.0,
        binary: Path | None = None,
        options: Sequence[str] = (),
    ) -> None:
        if nodes < 1 or replicas < 0:
            raise OrmisError(f"a cluster of {nodes} nodes with {replicas} replicas each: give at least 1 and 0")
        self.masters = nodes
        self._temporary = directory is None
        self.directory = Path(tempfile.mkdtemp(prefix="ormis-cluster-")) if directory is None else directory.absolute()
        self._binary = server_binary() if binary is None else binary
        self._options = (*("--cluster-node-timeout", str(int(node_timeout * 1000))), *options)
        self.nodes: list[Node] = []
        try:
            known = self._known_ports()
            count = nodes * (1 + replicas)
            if known and len(known) != count:
                raise OrmisError(f"{self.directory} has a cluster of {len(known)} nodes, not of {count}: leave it so")
            ports = known or [port + i for i in range(count)] if port else known or free_ports(count)
            for one in ports:
                self.add_node(one)
            if not known:
                self._form(replicas)
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise

    @property
    def url(self) -> str:
        """The URL to connect to."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[: self.masters])
        return f"redis+cluster://{hosts}/"

    def add_node(self, port: int = 0) -> Node:
        """Starts one more node. It belongs to the cluster once it was met, see meet(); it has no slots."""
        port = port or free_ports(1)[0]
        home = self.directory / str(port)
        home.mkdir(parents=True, exist_ok=True)
        node = Node(port, home, self._started(port, home), redis.Redis(port=port, socket_timeout=5))
        self.nodes.append(node)
        self._wait_for(node)
        return node

    def restart(self, node: Node) -> None:
        """Starts a node that has ended again, with what its directory holds."""
        node.process = self._started(node.port, node.directory)
        self._wait_for(node)

    def _started(self, port: int, home: Path) -> "subprocess.Popen[bytes]":
        settings = {
            "port": str(port),
            "bind": "127.0.0.1",
            "dir": str(home),
            "cluster-enabled": "yes",
            "cluster-config-file": "nodes.conf",
            "save": "",
            "appendonly": "no" if self._temporary else "yes",
            "repl-diskless-sync-delay": "0",
            "daemonize": "no",
        }
        arguments = [text for name, value in settings.items() for text in (f"--{name}", value)]
        command = ["/bin/sh", "-c", _WATCHED, "sh", str(self._binary), *arguments, *self._options]
        with (home / "server.log").open("ab") as log:
            return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True)

    def _wait_for(self, node: Node) -> None:
        self.wait_until(lambda: _answers(node), f"has a node that does not start, see {node.directory / 'server.log'}")

    def replica_of(self, node: Node) -> Node:
        """A replica of a node that has slots."""
        for *_, place, first in (row[:4] for row in self._any().client.execute_command("CLUSTER", "SLOTS") if row[3:]):
            if place[1] == node.port:
                return next(one for one in self.nodes if one.port == first[1])
        raise OrmisError(f"the node at port {node.port} has no replica")

    def wait_until_ready(self) -> None:
        """Waits until all nodes see all slots served, and each replica has its data."""
        self.wait_until(self._is_ready, "is not ready")

    def meet(self, node: Node) -> None:
        """Makes a node known to all others, and waits until it is."""
        self.nodes[0].client.execute_command("CLUSTER", "MEET", "127.0.0.1", node.port)
        alive = [one for one in self.nodes if one.process.poll() is None]
        self.wait_until(lambda: all(_knows(one, len(alive)) for one in alive), "does not know its new node")
        self.wait_until(lambda: _is_ok(node), "does not serve its new node")

    def owner(self, slot: int) -> Node:
        """The node that a slot belongs to."""
        for first, last, place, *_ in self._any().client.execute_command("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == place[1])
        raise OrmisError(f"the slot {slot} belongs to no node")

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        """Waits for something. Raises OrmisError if it takes too long, or if a node that is needed has ended."""
        deadline = monotonic() + PATIENCE
        while True:
            with suppress(redis.RedisError):
                if holds():
                    return
            if monotonic() > deadline or (len(self.nodes) and self.nodes[-1].process.poll() is not None):
                raise OrmisError(f"the cluster in {self.directory} {what}")
            sleep(_PAUSE)

    def stop(self) -> None:
        """Ends all nodes; a temporary directory is removed."""
        while self.nodes:
            self.nodes.pop().stop()
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _any(self) -> Node:
        return next(node for node in self.nodes if node.process.poll() is None)

    def _known_ports(self) -> list[int]:
        """The ports of the nodes that an earlier start has left in the directory."""
        found = [path.parent.name for path in self.directory.glob("*/nodes.conf")]
        return sorted(int(name) for name in found if name.isdecimal())

    def _form(self, replicas: int) -> None:
        """Gives the slots to the first nodes, makes all know each other, attaches the replicas."""
        masters, others = self.nodes[: self.masters], self.nodes[self.masters :]
        for i, node in enumerate(masters):
            slots = range(i * SLOTS // len(masters), (i + 1) * SLOTS // len(masters))
            node.client.execute_command("CLUSTER", "ADDSLOTS", *slots)
        for i, node in enumerate(self.nodes, 1):
            node.client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", i)
        for node in self.nodes[1:]:
            self.nodes[0].client.execute_command("CLUSTER", "MEET", "127.0.0.1", node.port)
        self.wait_until(lambda: all(_knows(node, len(self.nodes)) for node in self.nodes), "does not know its nodes")
        for i, node in enumerate(others):
            node.client.execute_command("CLUSTER", "REPLICATE", masters[i // replicas].id)

    def _is_ready(self) -> bool:
        """Returns whether all nodes see all slots served, and each replica has its data."""
        slots = [node.client.execute_command("CLUSTER", "SLOTS") for node in self.nodes]
        seen = all(sum(last - first + 1 for first, last, *_ in own) == SLOTS for own in slots)
        in_place = sum(len(range_[3:]) for range_ in _by_node(slots[0])) == len(self.nodes) - self.masters
        roles = [node.client.info("replication") for node in self.nodes]
        linked = all(role.get("master_link_status", "up") == "up" for role in roles)
        return seen and in_place and linked and all(map(_is_ok, self.nodes))


def _by_node(slots: Sequence[Any]) -> list[Any]:
    """One range of slots of each node."""
    return [*{range_[2][2]: range_ for range_ in slots}.values()]


def free_ports(count: int) -> list[int]:
    """TCP ports that are free, and whose companions for the messages of the cluster are."""
    held: list[socket.socket] = []
    found: list[int] = []
    try:
        while len(found) < count:
            own, bus = socket.socket(), socket.socket()
            held += (own, bus)
            own.bind(("127.0.0.1", 0))
            port = own.getsockname()[1]
            with suppress(OSError, OverflowError):
                bus.bind(("127.0.0.1", port + _BUS))
                found.append(port)
    finally:
        for one in held:
            one.close()
    return found


def _answers(node: Node) -> bool:
    try:
        return bool(node.client.ping())
    except redis.BusyLoadingError:
        return False


def _is_ok(node: Node) -> bool:
    """Returns whether a node sees a cluster that serves all slots."""
    return b"cluster_state:ok" in node.client.execute_command("CLUSTER", "INFO")


def _knows(node: Node, count: int) -> bool:
    """Returns whether a node has shaken hands with all of so many."""
    lines: list[bytes] = node.client.execute_command("CLUSTER", "NODES").splitlines()
    flags = [line.split()[2] for line in lines]
    return sum(b"handshake" not in own and b"fail" not in own for own in flags) == count
