"""The pool behind the sync client: the short way to a connection leaves everything as redis-py's own does."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any

import pytest
import redis

import ormis
from ormis.calls import Command
from ormis.connections.pool import Pool


@contextmanager
def pool_of(raw: Any, **options: Any) -> Iterator[Pool]:
    """A pool of this server's connections, closed at the end."""
    used = raw.connection_pool
    pool = Pool(connection_class=used.connection_class, **used.connection_kwargs, **options)
    try:
        yield pool
    finally:
        pool.disconnect()


def test_a_connection_is_used_again(raw: Any) -> None:
    """What was given back is what is borrowed next."""
    with pool_of(raw) as pool:
        connection = pool.borrow()
        pool.give_back(connection)
        assert pool.borrow() is connection


def test_what_was_given_back_is_free_to_others(raw: Any) -> None:
    """With a single connection allowed, redis-py finds it free between two calls of ormis, and ormis after redis-py."""
    with pool_of(raw, max_connections=1) as pool:
        connection = pool.borrow()
        with pytest.raises(redis.exceptions.MaxConnectionsError):
            pool.get_connection()
        pool.give_back(connection)
        assert pool.get_connection() is connection
        pool.release(connection)
        assert pool.borrow() is connection


def test_a_free_connection_that_the_server_closed(raw: Any) -> None:
    """A connection that broke while nobody used it is replaced before anything is sent over it."""
    with pool_of(raw) as pool:
        connection = pool.borrow()
        number = ask(connection, "CLIENT", "ID")
        pool.give_back(connection)
        raw.execute_command("CLIENT", "KILL", "ID", number)
        again = pool.borrow()
        assert ask(again, "CLIENT", "ID") != number


def test_a_free_connection_with_an_unread_reply(raw: Any) -> None:
    """A reply that nobody read is not taken for the reply of the next command."""
    with pool_of(raw) as pool:
        connection = pool.borrow()
        connection.send_command("ECHO", "old")
        connection.can_read(timeout=5)
        pool.give_back(connection)
        assert ask(pool.borrow(), "ECHO", "new") == b"new"


def test_closing_the_pool_closes_what_was_given_back(raw: Any) -> None:
    """After disconnect() nothing stays connected; the pool can be used again."""
    with pool_of(raw) as pool:
        connection = pool.borrow()
        pool.give_back(connection)
        number = ask(connection, "CLIENT", "ID")
        pool.disconnect()
        assert number not in {client["id"] for client in raw.client_list()}
        assert ask(pool.borrow(), "ECHO", "x") == b"x"


def test_threads_never_share_a_connection(raw: Any) -> None:
    """Connections in use at the same time are different ones, and no more are made than that."""
    together = Barrier(8)

    def work(number: int) -> set[int]:
        seen: set[int] = set()
        for turn in range(50):
            connection = pool.borrow()
            assert ask(connection, "ECHO", f"{number} {turn}") == f"{number} {turn}".encode()
            seen.add(id(connection))
            if turn == 0:
                together.wait()
            pool.give_back(connection)
        return seen

    with pool_of(raw) as pool, ThreadPoolExecutor(8) as threads:
        used = set[int]().union(*threads.map(work, range(8)))
        assert len(used) == 8


def test_a_fork_uses_connections_of_its_own(db: ormis.Database) -> None:
    """A child that was forked makes its own connections; parent and child go on undisturbed."""
    mine = int(db.client.client_id())
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, str(db.run(client_id())).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        assert int(pipe.read()) not in (mine, db.run(client_id()))
    assert db.run(client_id()) == db.run(client_id())


def client_id() -> Any:
    """An operation: the number of the connection it goes over."""
    return (yield Command(("CLIENT", "ID"), key=0))


def ask(connection: Any, *command: str) -> Any:
    """The reply to a command."""
    connection.send_command(*command)
    return connection.read_response()
