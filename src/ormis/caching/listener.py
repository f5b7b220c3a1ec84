"""The connection by which the server broadcasts the keys that changed, and the thread that reads it.

    CLIENT TRACKING ON BCAST PREFIX question: ...    once for each connection, again for further models
    PING                                             several times within the bound

The server sends the news of a write before it answers a PING that came after the write. So all that was written until a
PING was sent is known when its reply comes: rows are good until that time plus the bound. If the connection is lost, or
a PING is not answered, all rows are dropped, and nothing is kept before the server listens again.

RESP3, so Redis 6.0 and later. Where the server refuses tracking, by its ACL or as a proxy that does not know it, the
cache stays off, with one warning in the log.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from socket import SHUT_RDWR
from threading import Event, Thread
from typing import Any, Protocol

from redis.exceptions import ResponseError

from .clock import clock

_log = logging.getLogger("ormis")
MOST_BETWEEN_PINGS = 0.5  # seconds
LEAST_PATIENCE = 1.0  # seconds that a PING may take
LONGEST_PAUSE = 0.5  # seconds between two tries to connect


class Heard(Protocol):
    """What a listener tells."""

    def wanted(self) -> Sequence[bytes]:
        """The prefixes of keys whose changes are to be broadcast."""
        ...

    def watch(self, prefixes: Iterable[bytes]) -> None:
        """The server broadcasts the changes of keys with these prefixes."""
        ...

    def extend(self, good_until: float) -> None:
        """All is known that was written until the bound before this time, by `clock`."""
        ...

    def invalidate(self, keys: Sequence[bytes] | None) -> None:
        """These keys were changed; None: all."""
        ...

    def lose(self) -> None:
        """The connection is lost."""
        ...

    def refuse(self, reason: str) -> None:
        """The server refuses tracking."""
        ...


class Listening(Protocol):
    """What a cache has to be told by: a listener, or several."""

    def start(self) -> None:
        """Begins to listen."""
        ...

    def close(self) -> None:
        """Ends, and closes the connections."""
        ...

    def leave(self) -> None:
        """In a process that was forked: closes this process's copies of the connections."""
        ...


class Push(list[Any]):
    """An invalidation as the server pushes it: [b"invalidate", keys or None]."""


class Listener:
    """The thread of one database; daemonic, ends with close().

    connect: makes a connection that is not connected yet and speaks RESP3.
    is_current: whether this connection leads where calls are sent now.
    """

    def __init__(
        self, heard: Heard, connect: Callable[[], Any], is_current: Callable[[Any], bool], bound: float
    ) -> None:
        self._heard = heard
        self._connect = connect
        self._is_current = is_current
        self._bound = bound
        self._between = min(bound / 4, MOST_BETWEEN_PINGS)
        self._patience = max(bound, LEAST_PATIENCE)
        self._closed = Event()
        self._connection: Any = None
        self._asked: deque[tuple[float, Sequence[bytes] | None]] = deque()
        self._requested: set[bytes] = set()
        self._confirmed: set[bytes] = set()
        self._thread = Thread(target=self._run, name="ormis-cache", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def close(self) -> None:
        """Ends the thread and closes its connection."""
        self.stop()
        self._thread.join(1)

    def stop(self) -> None:
        """The same, without waiting for it."""
        self._closed.set()
        sock = getattr(self._connection, "_sock", None)
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(SHUT_RDWR)  # wakes the thread, which closes the connection

    def leave(self) -> None:
        """In a process that was forked: closes this process's copy of the connection, which stays the parent's."""
        self._closed.set()
        if self._connection is not None:
            self._connection.disconnect()

    def _run(self) -> None:
        pause = 0.01
        while not self._closed.is_set():
            began = clock()
            try:
                self._listen()
            except Exception as error:  # noqa: BLE001 - whatever it is, the thread goes on with another connection
                _log.debug("the cache lost its connection: %s", error)
                if isinstance(error, ResponseError) and not self._confirmed and not self._closed.is_set():
                    self._refused(error)
                    return
            finally:
                self._end()
            pause = 0.01 if clock() - began > 1 else min(2 * pause, LONGEST_PAUSE)
            self._closed.wait(pause)

    def _listen(self) -> None:
        """One connection, until it is lost, closed, or leads elsewhere than calls do."""
        connection = self._connection = self._connect()
        connection.connect()
        connection._parser.set_invalidation_push_handler(Push)
        self._ask_tracking(connection)
        due = clock() + self._between
        while not self._closed.is_set():
            now = clock()
            if now >= due:
                if not self._goes_on(connection, now):
                    return
                due = now + self._between
            if connection.can_read(timeout=max(0.0, due - now)):
                self._take(connection.read_response(disable_decoding=True, push_request=True))

    def _goes_on(self, connection: Any, now: float) -> bool:
        """Sends a PING, and asks for tracking of further models; False if the connection is to be given up."""
        if self._asked and now - self._asked[0][0] > self._patience:
            return False
        if not self._is_current(connection):
            return False
        if not self._ask_tracking(connection):
            return False
        self._asked.append((now, None))
        self._ask(connection)
        return True

    def _ask(self, connection: Any) -> None:
        """Sends the command whose reply comes after the news of all that was written before it."""
        connection.send_command("PING", check_health=False)

    def _ask_tracking(self, connection: Any) -> bool:
        """Asks for the prefixes that are wanted and not tracked yet; False if the server would refuse them since one
        is the beginning of another, which takes a new connection.
        """
        wanted = shortest(self._heard.wanted())
        if self._requested.difference(wanted):
            return False
        self._heard.watch(self._confirmed)  # among them models that came since
        new = [prefix for prefix in wanted if prefix not in self._requested]
        if new:
            self._requested.update(new)
            self._asked.append((clock(), new))
            words = [word for prefix in new for word in (b"PREFIX", prefix)]
            connection.send_command("CLIENT", "TRACKING", "ON", "BCAST", *words, check_health=False)
        return True

    def _take(self, message: Any) -> None:
        """One message of the server: news, another push, or the reply to what was asked first."""
        if isinstance(message, Push):
            self._heard.invalidate(message[1])
        elif message in (b"PONG", b"OK") and self._asked:
            sent, prefixes = self._asked.popleft()
            if prefixes is not None:
                self._confirmed.update(prefixes)
                self._heard.watch(self._confirmed)
            self._heard.extend(sent + self._bound)

    def _refused(self, error: ResponseError) -> None:
        self._heard.refuse(str(error))
        _log.warning(
            "the cache is off: the server refuses to say which keys change (%s). Allow CLIENT TRACKING to this user, "
            "or connect() without cache=",
            error,
        )

    def _end(self) -> None:
        """Drops all rows: what changes from now on is not heard."""
        self._heard.lose()
        self._asked.clear()
        self._requested.clear()
        self._confirmed.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()


def shortest(prefixes: Iterable[bytes]) -> list[bytes]:
    """The prefixes without those that begin with another one: the server refuses prefixes that cover each other."""
    kept: list[bytes] = []
    for prefix in sorted(set(prefixes)):
        if not kept or not prefix.startswith(kept[-1]):
            kept.append(prefix)
    return kept
