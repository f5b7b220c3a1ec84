"""One connection that many calls use at the same time: the protocol alone, over a transport that is connected.

Requests are written in the order of `send()`, and the server answers in the order of the requests, so the next reply is
that of the first future in `_waiting`. Every rule here keeps the two in step:

- a call that is cancelled stays in `_waiting` until its reply has come; if it was not written yet, it never is;
- an error reply is a reply: it is the result of its own future. Nothing is sent twice here;
- whatever may have put requests and replies out of step ends the lane: bytes that can't be parsed, a time-out, a closed
  socket, an exception in the middle of a step. An ended lane answers all of its calls with its error.

A time-out is: no byte for `timeout` seconds while a reply is waited for, by one timer for all calls.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from sys import get_asyncgen_hooks
from time import monotonic
from typing import Any

import hiredis
from redis.exceptions import ConnectionError as Broken
from redis.exceptions import InvalidResponse, RedisError
from redis.exceptions import TimeoutError as TimedOut

UNDER_WAY = 1024
"""Calls whose replies are waited for; more of them wait to be sent."""
WRITE = 65_536
"""Bytes that are joined into one write: the high-water mark of transports, above which they are to be given nothing."""
FEW = 4
"""Calls that are written in the middle of a turn of the loop if the server has fewer than these to answer."""
MANY = 32
"""Calls that are written in the middle of a turn in any case: the server answers them while the next are made. If each
turn was one write, one would wait for the other: a get of 100 tasks is slower by a sixth, a save of 10 by a half."""
_NONE = object()
_PUSH: Any = getattr(hiredis, "PushNotification", None)

Request = tuple[bytes, "asyncio.Future[Any]"]


class Lane(asyncio.Protocol):
    """The calls over one connection.

    transport: connected, its handshake done.
    parse_error: makes an exception of the text of an error reply.
    timeout: seconds; None: none.
    on_end: called once, when the lane has ended.
    """

    def __init__(
        self,
        transport: Any,
        parse_error: Callable[[str], Exception],
        timeout: float | None,
        on_end: Callable[["Lane"], object],
    ) -> None:
        self.error: Exception | None = None
        self.was_idle = False
        """Whether no call was under way when it ended."""
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[None] = self._loop.create_future()
        """Done when the transport is closed."""
        self._transport = transport
        reader: Any = hiredis.Reader(protocolError=InvalidResponse, replyError=parse_error, notEnoughData=_NONE)
        self._feed, self._next_reply = reader.feed, reader.gets
        self._timeout = timeout
        self._timer: asyncio.TimerHandle | None = None
        self._on_end = on_end
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._unsent: deque[Request] = deque()
        self._is_scheduled = False
        self._is_paused = False
        self._heard = 0.0
        self._run: object = None

    def send(self, request: bytes) -> "asyncio.Future[Any]":
        """Sends a packed command. The result of the future is the reply, undecoded; an error is a result as well."""
        future: asyncio.Future[Any] = asyncio.Future(loop=self._loop)
        if self.error is not None:
            future.set_result(_copy(self.error))
        elif self._waiting or self._is_scheduled or self._unsent or self._is_paused:
            self._unsent.append((request, future))
            if not self._is_scheduled:
                self._schedule()
            elif len(self._unsent) >= (FEW if len(self._waiting) < FEW else MANY):
                self._write()
        else:  # the only call: written now, not in the next turn of the loop
            try:
                self._begin_to_wait()
                self._waiting.append(future)
                self._transport.write(request)
            except BaseException:
                self.end(Broken("Connection interrupted while it was written to."))
                raise
        return future

    def end(self, error: Exception) -> None:
        """Closes the connection and answers every call with a copy of the error. Ending twice is ending once."""
        if self.error is None:
            self.was_idle = not self._waiting
            self.error = error
        self._transport.abort()
        self._stop_timer()
        self._on_end(self)
        while self._waiting or self._unsent:
            future = self._waiting.popleft() if self._waiting else self._unsent.popleft()[1]
            if not future.done():
                future.set_result(_copy(self.error))

    def data_received(self, data: bytes) -> None:
        """Settles the futures of the replies that are whole now."""
        if self._waiting and current_run() is not self._run:
            self.end(Broken("Connection interrupted: the event loop was left while replies were waited for."))
            return
        waiting, next_reply, settled = self._waiting, self._next_reply, 0
        try:
            self._heard = monotonic()
            self._feed(data)
            while (reply := next_reply()) is not _NONE:
                if reply.__class__ is _PUSH:
                    continue
                future = waiting[0]
                if not future.done():
                    future.set_result(reply)
                waiting.popleft()
                settled += 1
            if (settled > 1 or self._unsent) and not self._is_scheduled:
                self._schedule()  # after the tasks that go on now: what they send is one write
        except (RedisError, IndexError) as error:
            self.end(Broken(f"Reply can't be read: {error}" if isinstance(error, RedisError) else "Reply to no call."))
        except BaseException:
            self.end(Broken("Connection interrupted while it was read."))
            raise

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        self.end(Broken(f"Connection lost: {exc}" if exc else "Connection closed by server."))
        if not self.lost.done():
            self.lost.set_result(None)

    def pause_writing(self) -> None:
        """The transport is over its high-water mark."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """It is under its low-water mark again."""
        self._is_paused = False
        if self._unsent and not self._is_scheduled:
            self._schedule()

    def _schedule(self) -> None:
        if not self._waiting:
            self._begin_to_wait()
        self._loop.call_soon(self._write_rest)
        self._is_scheduled = True

    def _write_rest(self) -> None:
        """At the end of a turn of the loop."""
        self._is_scheduled = False
        self._write()

    def _write(self) -> None:
        """Writes what was sent since the last time, as far as there is room for it."""
        unsent, waiting = self._unsent, self._waiting
        try:
            while unsent and not self._is_paused and (room := UNDER_WAY - len(waiting)) > 0:
                if not waiting:
                    self._begin_to_wait()
                requests: list[bytes] = []
                size = 0
                while unsent and len(requests) < room and size < WRITE:
                    request, future = unsent.popleft()
                    if not future.done():  # else cancelled
                        waiting.append(future)
                        requests.append(request)
                        size += len(request)
                if requests:
                    self._transport.write(requests[0] if len(requests) == 1 else b"".join(requests))
        except BaseException:
            self.end(Broken("Connection interrupted while it was written to."))
            raise

    def _begin_to_wait(self) -> None:
        """A first reply will be waited for."""
        self._heard = monotonic()
        if (run := current_run()) is not self._run:
            self._run = run
            self._stop_timer()
        if self._timer is None and self._timeout:
            self._timer = self._loop.call_later(self._timeout, self._look)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, is_late: bool = False) -> None:
        """The timer: has there been a byte?"""
        self._timer = None
        if self._timeout is None or not (self._waiting or self._unsent):
            return
        left = self._heard + self._timeout - monotonic()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
        elif not is_late:  # bytes that came while the loop was held are read first
            self._timer = self._loop.call_later(0.001, self._look, True)
        else:
            self.end(TimedOut(f"Timeout reading from the server: no byte in {self._timeout:g} s."))


def current_run() -> object:
    """What tells this run of the event loop from its others: each has hooks of its own.

    An interrupt leaves a loop wherever it stands, between reading bytes and `data_received()` for instance. If it runs
    again, the callback that stood there is missing.
    """
    return get_asyncgen_hooks().firstiter


def _copy(error: Exception) -> Exception:
    """Each call raises an error of its own: raising adds to its traceback."""
    return type(error)(*error.args)
