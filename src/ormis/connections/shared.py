"""The connection that the async calls of one event loop share: opened with the first call, opened again when it broke.

redis-py connects: TLS, the handshake, sentinels, its retries. Then its transport is given to a `Lane`.
"""

# redis-py has no public way to the transport of a connection and to its classes of errors.
# pyright: reportPrivateUsage=false

import asyncio
import copy
from functools import partial
from typing import Any

from redis.exceptions import ConnectionError as Broken
from redis.exceptions import ReadOnlyError, RedisError, ResponseError

from .aloans import close_connection
from .lane import Lane, current_run

LARGE = 65_536
"""Bytes of a request that has a connection of the pool to itself, so that it holds up nobody's."""


class SharedConnection:
    """The lane of one event loop, or None while there is none.

    broke_idle: one was closed while no call was under way, which the driver has not noted yet.
    loading: the scripts whose text is on its way to the server.
    """

    def __init__(self, pool: Any) -> None:
        self.lane: Lane | None = None
        self.broke_idle = False
        self.loading: dict[str, asyncio.Future[None]] = {}
        self.retry: Any = pool.connection_kwargs.get("retry")
        self._pool = pool
        self._opening: asyncio.Task[Exception | None] | None = None
        self._opening_run: object = None
        self._is_usable = not pool.connection_kwargs.get("credential_provider")
        self._is_closed = False

    async def ready(self) -> Lane | None:
        """Returns the lane, opened if need be; None if calls have to take connections of the pool.

        Raises redis-py's errors if it can't be opened. A call that joins an opening that another one began joins
        a second one, too: it has as many tries as it would have alone.
        """
        joins = self._is_opening()
        while self.lane is None and self._is_usable:
            if self._is_closed:
                raise _closed()
            opening = self._join()
            await asyncio.wait((opening,))
            error = None if opening.cancelled() else opening.exception() or opening.result()
            if isinstance(error, Exception) and not joins:
                raise copy.copy(error) from error.__cause__
            joins = False
        return self.lane

    def refuses(self, error: Exception, lane: Lane) -> Exception:
        """Returns the error to raise for an error reply. Ends the lane where redis-py closes its connection: the server
        is loading, a replica without its master, wants a password; or is no master any more, says a sentinel's.
        """
        if isinstance(error, ReadOnlyError) and getattr(self._pool, "is_master", False):
            error = Broken("The previous master is now a slave")
        if isinstance(error, Broken) and lane.error is None:
            lane.end(Broken(f"Connection closed after an error reply: {error}"))
        return error

    async def aclose(self) -> None:
        """Closes it; calls under way fail."""
        self._is_closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait((self._opening,), timeout=1)
        if (lane := self.lane) is not None:
            lane.end(_closed())
            await asyncio.wait((lane.lost,), timeout=1)

    def _is_opening(self) -> bool:
        return self._opening is not None and not self._opening.done() and self._opening_run is current_run()

    def _join(self) -> "asyncio.Task[Exception | None]":
        """The task that opens the lane, for all that wait for it; they may be cancelled, it goes on."""
        if self._opening is not None and self._is_opening():
            return self._opening
        if self._opening is not None:  # may not have survived an interrupt that left the loop
            self._opening.cancel()
        self._opening, self._opening_run = asyncio.get_running_loop().create_task(self._open()), current_run()
        return self._opening

    async def _open(self) -> Exception | None:
        """Opens the lane; returns why it could not be opened."""
        connection = self._pool.make_connection()
        lane = None
        try:
            lane = self.lane = await self._lane_over(connection)
        except RedisError as error:
            return error
        finally:
            if lane is None:
                close_connection(connection)
        return None

    async def _lane_over(self, connection: Any) -> Lane | None:
        self.retry = connection.retry
        await self._pool.ensure_connection(connection)
        if self._is_closed or asyncio.current_task() is not self._opening:  # redis-py may drop a cancellation
            return None
        transport, parse_error = _parts_of(connection)
        if transport is None or await _announces_maintenance(connection):
            self._is_usable = False
            return None
        lane = Lane(transport, parse_error, connection.socket_timeout, partial(self._ended, connection))
        transport.set_protocol(lane)
        return lane

    def _ended(self, connection: Any, lane: Lane) -> None:
        if self.lane is lane:
            self.lane = None
            self.broke_idle = self.broke_idle or lane.was_idle
        close_connection(connection)


def _parts_of(connection: Any) -> tuple[Any, Any]:
    """The transport and the function that makes exceptions of error replies; None, None if redis-py has neither."""
    transport = getattr(getattr(connection, "_writer", None), "transport", None)
    parse_error = getattr(getattr(connection, "_parser", None), "parse_error", None)
    return (transport, parse_error) if parse_error and hasattr(transport, "set_protocol") else (None, None)


async def _announces_maintenance(connection: Any) -> bool:
    """Returns whether the server announces its maintenance, by messages that redis-py's own connections act on."""
    config = getattr(connection, "maint_notifications_config", None)
    if config is None or not config.enabled or not hasattr(connection, "host"):
        return False
    try:
        await connection.send_command("CLIENT", "MAINT_NOTIFICATIONS", "OFF")
        await connection.read_response()
    except ResponseError:
        return False
    return True


def _closed() -> Broken:
    return Broken("The database was closed while the call was under way.")
