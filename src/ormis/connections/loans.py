"""A redis-py connection on loan to one call, taken from its pool and given back whatever interrupts the call.

KeyboardInterrupt, or any exception of a signal's handler, can come between two steps of Python: a connection must not
be lost to its pool then, nor be used again while a reply is on its way. So

- a connection leaves a pool, or returns to it, by statements that call nothing: CPython handles signals when a function
  begins, when one has been called, and at the end of a turn of a loop, so such statements are one step;
- the same step notes the connection in the `Loan`, made before: a loan knows what it holds at every moment;
- a connection returns open only if its call has read its reply; else it is closed;
- `settle()` may be called again, and is, if it was interrupted itself.

redis-py's own way in and out of a pool has none of these, and takes 9 us of a save's 100: metrics, events, a connect
that finds itself connected.
"""

# redis-py has no other way to these lists, which it has kept since its first versions.
# pyright: reportPrivateUsage=false

import os
from functools import cache
from queue import LifoQueue
from time import monotonic
from typing import Any

import redis
from redis.exceptions import ConnectionError as Broken
from redis.exceptions import RedisError

from .classes import executes_as, lends_as
from .packing import use_packer
from .pool import Pool, leave_connection_to_parent, leave_to_parent
from .retries import TimedRetry

TRUSTED_FOR = 1.0
"""Seconds after a call in which a connection is used without a look at its socket, which takes 5 us: if it is broken,
the call is repeated. Only where calls are repeated, and their pool closes connections that an interrupt left dirty."""


class Loan:
    """A connection of a pool of redis-py's class `ConnectionPool`; nothing is taken yet.

    holds: something is to be given back.
    clean: its reply was read, so that another call can use the connection.
    was_broken: the connection was closed while nobody used it, and has been made anew.
    is_gone: the server could not be reached again.
    """

    __slots__ = ("clean", "connection", "holds", "is_gone", "pool", "was_broken")

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self.connection: Any = None
        self.holds = False
        self.clean = False
        self.was_broken = False
        self.is_gone = False

    def take(self) -> Any:
        """Takes a connection that is ready to send. Raises redis-py's errors."""
        if self.pool.pid != os.getpid():
            leave_to_parent(self.pool)
        self._take()
        return self._made_ready()

    def reconnect(self) -> None:
        """Connects anew if a try has closed the connection. It asks the sentinels, if any, as sending does not."""
        if getattr(self.connection, "_sock", None) is None:
            self.is_gone = True
            self.connection.connect()
            self.is_gone = False

    def may_repeat(self, _error: Exception) -> bool:
        """Returns whether the call can be tried again: to connect has retries of its own, which are not repeated."""
        return not self.is_gone

    def settle(self) -> None:
        """The connection is free for others. Closes it first, unless it is clean; does nothing if there is none."""
        if not self.holds:
            return
        connection = self.connection
        if connection is not None:
            if not self.clean or connection.should_reconnect():
                connection.disconnect()
            elif connection.retry.__class__ is TimedRetry and connection.retry.get_retries():
                connection.ormis_trusted_until = monotonic() + TRUSTED_FOR
        self._give_back(connection)

    def _take(self) -> None:
        pool = self.pool
        with pool._lock:
            free, in_use = pool._available_connections, pool._in_use_connections
            if free:
                self.connection = free[-1]
                del free[-1]
                in_use |= {self.connection}
                self.holds = True
                return
            pool._created_connections = len(in_use)
            try:
                self.connection = pool.make_connection()
                in_use |= {self.connection}
                self.holds = True
            finally:
                pool._created_connections = len(in_use)

    def _give_back(self, connection: Any) -> None:
        pool = self.pool
        is_owned = pool.owns_connection(connection)
        with pool._lock:
            free, in_use = pool._available_connections, pool._in_use_connections
            if connection in in_use:
                in_use -= {connection}
                if is_owned:
                    free += (connection,)
                else:
                    pool._created_connections -= 1
            self.holds = False
        if not is_owned:
            connection.disconnect()

    def _made_ready(self) -> Any:
        """The connection, connected and with nothing to read, as redis-py checks it too."""
        connection = self.connection
        if getattr(connection, "_sock", None) is None:
            use_packer(connection)
            connection.connect()
        elif monotonic() < getattr(connection, "ormis_trusted_until", 0.0):
            return connection
        try:
            if not connection.can_read() or self._may_be_told():
                return connection
        except (RedisError, OSError):
            pass
        self.was_broken = True
        use_packer(connection)
        connection.disconnect()
        connection.connect()
        if connection.can_read() and not self._may_be_told():
            raise Broken("Connection not ready")
        return connection

    def _may_be_told(self) -> bool:
        """Returns whether the server sends over connections of this pool without being asked."""
        return self.pool.cache is not None or bool(self.pool.maint_notifications_enabled())


class BlockingLoan(Loan):
    """A connection of a `BlockingConnectionPool`: a queue of connections, and of None for those not made yet."""

    __slots__ = ("_places",)

    def __init__(self, pool: Any) -> None:
        super().__init__(pool)
        self._places: Any = None

    def _take(self) -> None:
        pool = self.pool
        places = self._places = pool.pool
        ends = None if pool.timeout is None else monotonic() + pool.timeout
        with places.mutex:
            while not places.queue:
                left = None if ends is None else ends - monotonic()
                if left is not None and left <= 0:
                    raise Broken("No connection available.")
                places.not_empty.wait(left)
            self.connection = places.queue[-1]
            self.holds = True
            del places.queue[-1]
        if self.connection is None:
            connection = pool.connection_class(**pool.connection_kwargs)
            self.connection = connection
            pool._connections += (connection,)

    def _give_back(self, connection: Any) -> None:
        with self._places.mutex:
            self._places.not_empty.notify()
            self._places.queue += (connection,)
            self.holds = False


class SingleLoan(Loan):
    """The one connection of a client made with `single_connection_client`; whoever takes it holds the client's lock."""

    __slots__ = ("_client",)

    def __init__(self, client: Any) -> None:
        super().__init__(client.connection_pool)
        self._client = client

    def take(self) -> Any:
        """Takes the connection."""
        self.connection = self._client.connection
        self.holds = True
        return self._made_ready()

    def settle(self) -> None:
        """Closes the connection, unless it is clean."""
        if self.holds and not self.clean:
            self.connection.disconnect()
        self.holds = False


_LOANS: dict[type[Any], type[Loan]] = {
    Pool: Loan,
    redis.BlockingConnectionPool: BlockingLoan,
    redis.ConnectionPool: Loan,
}


def loan_of(client: Any) -> Loan | None:
    """A loan for one call of this client; None if redis-py has to do the call.

    That is for classes of clients and pools with a way of their own to execute a command or to lend a connection, and
    for connections whose credentials change with time: their pool tells them so when they come back.
    """
    pool = client.connection_pool
    if pool.__class__ is Pool and client.__class__ is redis.Redis:
        return Loan(pool)
    is_plain = executes_as(client.__class__, redis.Redis)
    if client.connection is not None:
        if client.connection.pid != os.getpid():
            leave_connection_to_parent(client)
        return SingleLoan(client) if is_plain else None
    kind = _loan_class(pool.__class__)
    if kind is BlockingLoan and (pool._in_maintenance or pool.queue_class is not LifoQueue):
        return None
    if kind is None or not is_plain or pool.connection_kwargs.get("credential_provider"):
        return None
    return kind(pool)


@cache
def _loan_class(pool: type[Any]) -> type[Loan] | None:
    return next((loan for known, loan in _LOANS.items() if lends_as(pool, known)), None)


def close_idle(client: Any) -> None:
    """Closes the connections that no call uses: redis-py gives one back whose call was interrupted."""
    if client.connection is not None:
        client.connection.disconnect()
    client.connection_pool.disconnect(inuse_connections=False)
