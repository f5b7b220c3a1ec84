"""The twin of `loans.py` for redis.asyncio: a connection on loan to one call of a task.

A task can be cancelled wherever it waits, and a coroutine that is dropped is closed, which lets it wait no more. So a
loan is settled without waiting, and without the locks of asyncio: statements between two `await` are one step.
"""

# redis-py has no other way to these lists, which it has kept since its first versions.
# pyright: reportPrivateUsage=false

import asyncio
from functools import cache
from typing import Any

import redis.asyncio
from redis.exceptions import ConnectionError as Broken
from redis.exceptions import MaxConnectionsError

from .classes import executes_as, lends_as


class AsyncLoan:
    """A connection of a pool of redis.asyncio; nothing is taken yet. The attributes are those of `Loan`."""

    __slots__ = ("clean", "connection", "holds", "is_gone", "pool", "was_broken")

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self.connection: Any = None
        self.holds = False
        self.clean = False
        self.was_broken = False
        self.is_gone = False

    async def take(self) -> Any:
        """Takes a connection that is ready to send. Raises redis-py's errors.

        Raises a cancellation that comes during the handshake of a new connection, so that nothing is sent: redis-py
        8.1.0 drops it, see findings/.
        """
        if not self.pool.can_get_connection():
            await self._wait()
        self._take()
        connection = self.connection
        task = asyncio.current_task()
        before = task.cancelling() if task else 0
        writer = connection._writer
        await self.pool.ensure_connection(connection)
        self.was_broken = writer is not None and connection._writer is not writer
        if task and task.cancelling() > before:
            raise asyncio.CancelledError
        return connection

    async def reconnect(self) -> None:
        """Connects anew if a try has closed the connection, see `Loan`."""
        if not self.connection.is_connected:
            self.is_gone = True
            await self.connection.connect()
            self.is_gone = False

    def may_repeat(self, _error: Exception) -> bool:
        """Returns whether the call can be tried again, see `Loan`."""
        return not self.is_gone

    def settle(self) -> None:
        """The connection is free for others. Closes it first, unless it is clean; does nothing if there is none."""
        if not self.holds:
            return
        connection = self.connection
        if not self.clean or connection.should_reconnect():
            close_connection(connection)
        free, in_use = self.pool._available_connections, self.pool._in_use_connections
        if connection in in_use:
            in_use -= {connection}
            free += (connection,)
        self.holds = False
        self._wake_one()

    def _take(self) -> None:
        free, in_use = self.pool._available_connections, self.pool._in_use_connections
        if free:
            self.connection = free[-1]
            del free[-1]
        else:
            self.connection = self.pool.make_connection()
        in_use |= {self.connection}
        self.holds = True

    async def _wait(self) -> None:
        raise MaxConnectionsError("Too many connections")

    def _wake_one(self) -> None:
        pass


class AsyncBlockingLoan(AsyncLoan):
    """A connection of a pool in which tasks wait for a free one."""

    __slots__ = ()

    async def _wait(self) -> None:
        waiting = self.pool._condition._waiters
        loop = asyncio.get_running_loop()
        ends = None if self.pool.timeout is None else loop.time() + self.pool.timeout
        while not self.pool.can_get_connection():
            woken = loop.create_future()
            timer = None if ends is None else loop.call_at(ends, _refuse, woken)
            waiting.append(woken)
            try:
                await woken
            except BaseException:
                self._wake_one()  # this one may have been woken already
                raise
            finally:
                waiting.remove(woken)
                if timer is not None:
                    timer.cancel()

    def _wake_one(self) -> None:
        for woken in self.pool._condition._waiters:
            if not woken.done():
                woken.set_result(False)
                return


def _refuse(woken: asyncio.Future[bool]) -> None:
    if not woken.done():
        woken.set_exception(Broken("No connection available."))


def close_connection(connection: Any) -> None:
    """Closes the connection without waiting for it, as redis-py does where it can't wait."""
    connection._parser.on_disconnect()
    connection.reset_should_reconnect()
    try:
        connection._close()
    except RuntimeError:  # its event loop is closed
        connection._reader = connection._writer = None


_LOANS: dict[type[Any], type[AsyncLoan]] = {
    redis.asyncio.BlockingConnectionPool: AsyncBlockingLoan,
    redis.asyncio.ConnectionPool: AsyncLoan,
}


def aloan_of(client: Any) -> AsyncLoan | None:
    """A loan for one call of this client; None if redis-py has to do the call. See `loan_of`."""
    pool = client.connection_pool
    kind = _loan_class(pool.__class__)
    if (
        kind is None
        or not executes_as(client.__class__, redis.asyncio.Redis)
        or client.single_connection_client
        or pool._lock.locked()
        or pool.connection_kwargs.get("credential_provider")
    ):
        return None
    return kind(pool)


@cache
def _loan_class(pool: type[Any]) -> type[AsyncLoan] | None:
    return next((loan for known, loan in _LOANS.items() if lends_as(pool, known)), None)


def close_idle(client: Any) -> None:
    """Closes the connections that no call uses: redis-py gives one back whose call was interrupted."""
    if client.connection is not None:
        close_connection(client.connection)
    for connection in getattr(client.connection_pool, "_available_connections", ()):
        close_connection(connection)
