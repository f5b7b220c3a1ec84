"""A proxy between client and server that breaks connections at a place that the test chooses.

    with Proxy(server.socket) as proxy:
        proxy.cut("request", 10)   # cuts the connection after ten more bytes of requests
        proxy.cut("reply", 0)      # the server executes the request, the client gets no byte of the reply
        held = proxy.hold()        # keeps the next request and cuts the connection of the client ...
        held.deliver()             # ... and sends it to the server now
        proxy.weather = rain(0.1)  # called before each request: returns a fault for it, or None
        proxy.news.clear()         # what a connection with CLIENT TRACKING is sent waits for proxy.news.set()
        proxy.late = 0.01          # it comes so many seconds late

Each fault applies to the connection that is the first to pass a byte in that direction. A request is the data that the
client sends before it waits.
"""

import random
import selectors
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

Direction = Literal["request", "reply"]
SIZE = 1 << 20


@dataclass
class Cut:
    """The connection is cut, on both sides, after this number of bytes in this direction."""

    direction: Direction
    after: int


@dataclass
class Held:
    """A request that the proxy keeps after its client has lost the connection."""

    taken: threading.Event = field(default_factory=threading.Event)
    delivered: threading.Event = field(default_factory=threading.Event)
    answered: threading.Event = field(default_factory=threading.Event)
    reply: bytes = b""
    direction: Direction = "request"

    def deliver(self) -> bytes:
        """Sends it to the server now; returns the reply, which no client receives."""
        assert self.taken.wait(5), "no request came that could be held"
        self.delivered.set()
        assert self.answered.wait(5), "the server did not answer"
        return self.reply


Fault = Cut | Held
Weather = Callable[[bytes], Fault | None]


def rain(chance: float, seed: int = 0) -> Weather:
    """Cuts this share of the requests at a random place, in the request or in the reply."""
    dice = random.Random(seed)

    def fault(request: bytes) -> Fault | None:
        if dice.random() >= chance:
            return None
        return (
            Cut("request", dice.randrange(len(request) + 1))
            if dice.random() < 0.5
            else Cut("reply", dice.randrange(12))
        )

    return fault


class Proxy:
    """Listens on its own unix socket and forwards all data to the server, until its `with` block ends."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.weather: Weather | None = None
        self.news = threading.Event()
        self.news.set()
        self.late = 0.0
        self.passed: dict[Direction, int] = {"request": 0, "reply": 0}
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._home = Path(tempfile.mkdtemp(prefix="ormis-test-"))
        self.socket = str(self._home / "socket")
        self._listener = socket.socket(socket.AF_UNIX)
        self._threads: list[threading.Thread] = []
        self._closing = False

    def __enter__(self) -> Self:
        self._listener.bind(self.socket)
        self._listener.listen(512)
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)
        shutil.rmtree(self._home)

    def client(self, retries: int = 10, kind: type[redis.Redis] = redis.Redis) -> redis.Redis:
        """A client through this proxy with this number of retries, without backoff."""
        return kind(unix_socket_path=self.socket, retry=Retry(NoBackoff(), retries), max_connections=64)

    def cut(self, direction: Direction, after: int) -> None:
        """Cuts a connection after this number of further bytes in this direction."""
        with self._lock:
            self._faults.append(Cut(direction, after))

    def hold(self) -> Held:
        """Keeps the next request and cuts the connection of its client."""
        held = Held()
        with self._lock:
            self._faults.append(held)
        return held

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, suppress(OSError), selectors.DefaultSelector() as ready:
            server.connect(self.target)
            ready.register(client, selectors.EVENT_READ, ("request", server))
            ready.register(server, selectors.EVENT_READ, ("reply", client))
            cut: Cut | None = None
            listens = False
            while not self._closing:
                for key, _ in ready.select(0.2):
                    direction, target = key.data
                    data = cast(socket.socket, key.fileobj).recv(SIZE)
                    listens = listens or (direction == "request" and b"TRACKING" in data)
                    if listens and direction == "reply":
                        self._wait_for_news()
                    fault = cut if cut and cut.direction == direction else self._take(direction, data)
                    if isinstance(fault, Held):
                        return self._keep(fault, client, server, data)
                    cut = fault
                    end = cut is not None and cut.direction == direction and cut.after <= len(data)
                    target.sendall(data[: cut.after] if cut and end else data)
                    if end or not data:
                        return None
                    if cut and cut.direction == direction:
                        cut.after -= len(data)
        return None

    def _wait_for_news(self) -> None:
        time.sleep(self.late)
        while not self.news.wait(0.01) and not self._closing:
            pass

    def _take(self, direction: Direction, data: bytes) -> Fault | None:
        with self._lock:
            self.passed[direction] += len(data)
            for fault in self._faults:
                if fault.direction == direction:
                    self._faults.remove(fault)
                    return fault
            return self.weather(data) if self.weather and direction == "request" and data else None

    @staticmethod
    def _keep(held: Held, client: socket.socket, server: socket.socket, data: bytes) -> None:
        client.close()
        held.taken.set()
        if held.delivered.wait(10):
            server.sendall(data)
            held.reply = server.recv(SIZE)
            held.answered.set()
