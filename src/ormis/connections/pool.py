"""The pools behind `Database.client`: redis-py's, for calls that are interrupted and for processes that are forked.

redis-py gives a connection back to its pool also where an interrupt came between a command and its reply; the next user
of the connection would read that reply. Calls of ormis take their connections by `loans.py`; these classes are for what
else is done with the client.
"""

# redis-py has no other way to these, which it has kept since its first versions.
# pyright: reportPrivateUsage=false

import os
import sys
from threading import Lock, RLock
from typing import Any

import redis
import redis.sentinel
from redis.exceptions import ResponseError

_forking = Lock()


class Pool(redis.ConnectionPool):
    """A pool that closes a connection whose call was interrupted."""

    def release(self, connection: Any) -> None:
        """Gives the connection back. A call in an `except` block can't be told from an interrupted one."""
        error = sys.exception()
        if error is not None and not isinstance(error, ResponseError):
            connection.disconnect()
        super().release(connection)

    def _checkpid(self) -> None:
        if self.pid != os.getpid():
            leave_to_parent(self)


class SentinelPool(Pool, redis.sentinel.SentinelConnectionPool):
    """The same for the master, or a replica, that sentinels name."""


def leave_to_parent(pool: Any) -> None:
    """Empties the pool in a process that was forked: its connections are those of the parent.

    Threads of the parent may have held the pool's locks; they are not here to let go. A fork by C code, as uWSGI's,
    calls no hook of Python, so each use of a pool looks at the process.
    """
    with _forking:
        if pool.pid != os.getpid():
            pool._lock, pool._fork_lock = RLock(), RLock()
            pool.reset()


def leave_connection_to_parent(client: Any) -> None:
    """The same for a client that has one connection, and a lock for it."""
    connection = client.connection
    with _forking:
        if connection.pid != os.getpid():
            client.single_connection_lock = RLock()
            connection.disconnect()
            connection.pid = os.getpid()
