"""Loans: calls of ormis take their connections out of redis-py's pools and leave these as redis-py does."""

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
from ormis.connections.loans import BlockingLoan, Loan
from ormis.connections.pool import Pool

KINDS = {Pool: Loan, redis.ConnectionPool: Loan, redis.BlockingConnectionPool: BlockingLoan}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> type[Any]:
    """A class of pools."""
    return request.param


@contextmanager
def pool_of(raw: Any, kind: type[Any] = Pool, **options: Any) -> Iterator[Any]:
    """A pool of this server's connections, closed at the end."""
    used = raw.connection_pool
    if kind is redis.BlockingConnectionPool:
        options["timeout"] = 0.01
    pool = kind(connection_class=used.connection_class, **used.connection_kwargs, **options)
    try:
        yield pool
    finally:
        pool.disconnect()


def loan(pool: Any) -> Loan:
    """A loan with a connection."""
    made = KINDS[pool.__class__](pool)
    made.take()
    return made


def end(one: Loan, clean: bool = True) -> None:
    """Gives the connection back."""
    one.clean = clean
    one.settle()


def test_a_connection_is_used_again(raw: Any, kind: type[Any]) -> None:
    """A connection that was given back is the one that is taken next, still connected."""
    with pool_of(raw, kind) as pool:
        first = loan(pool)
        connection = first.connection
        number = ask(connection, "CLIENT", "ID")
        end(first)
        again = loan(pool)
        assert again.connection is connection
        assert ask(again.connection, "CLIENT", "ID") == number
        assert not again.was_broken


def test_a_connection_is_free_to_others(raw: Any, kind: type[Any]) -> None:
    """With a single connection allowed, redis-py finds it free between two calls of ormis, and ormis after redis-py."""
    with pool_of(raw, kind, max_connections=1) as pool:
        first = loan(pool)
        connection = first.connection
        with pytest.raises(redis.exceptions.ConnectionError):
            pool.get_connection()
        with pytest.raises(redis.exceptions.ConnectionError):
            loan(pool)
        end(first)
        assert pool.get_connection() is connection
        pool.release(connection)
        assert loan(pool).connection is connection


def test_a_connection_that_is_not_clean_is_closed(raw: Any, kind: type[Any]) -> None:
    """Its place is free, and the next call connects anew."""
    with pool_of(raw, kind, max_connections=1) as pool:
        first = loan(pool)
        number = ask(first.connection, "CLIENT", "ID")
        end(first, clean=False)
        first.settle()
        assert not pool._get_in_use_connections()
        assert ask(loan(pool).connection, "CLIENT", "ID") != number


def test_a_place_that_redis_py_lost_is_found(raw: Any) -> None:
    """A connection that was interrupted while it was made counts no more when ormis needs its place."""
    with pool_of(raw, redis.ConnectionPool, max_connections=1) as pool:
        pool._created_connections = 1
        assert ask(loan(pool).connection, "ECHO", "x") == b"x"


@pytest.mark.parametrize("class_", [redis.ConnectionPool, redis.BlockingConnectionPool])
def test_a_connection_that_can_not_be_made(raw: Any, monkeypatch: pytest.MonkeyPatch, class_: type[Any]) -> None:
    """An error in the constructor of a connection leaves its place free."""
    with pool_of(raw, class_, max_connections=1) as pool:
        made = pool.connection_class
        pool.connection_class = lambda **_: 1 / 0
        for _ in range(3):
            one = KINDS[class_](pool)
            with pytest.raises(ZeroDivisionError):
                one.take()
            one.settle()
        pool.connection_class = made
        assert ask(loan(pool).connection, "ECHO", "x") == b"x"


def test_a_free_connection_that_the_server_closed(raw: Any, kind: type[Any]) -> None:
    """A connection that broke while nobody used it is replaced before anything is sent over it."""
    with pool_of(raw, kind) as pool:
        first = loan(pool)
        number = ask(first.connection, "CLIENT", "ID")
        end(first)
        raw.execute_command("CLIENT", "KILL", "ID", number)
        again = loan(pool)
        assert ask(again.connection, "CLIENT", "ID") != number
        assert again.was_broken


@pytest.mark.single_server("looks at the connections of one server")
def test_a_free_connection_with_an_unread_reply(raw: Any, kind: type[Any]) -> None:
    """A reply that nobody read is not taken for the reply of the next command."""
    with pool_of(raw, kind) as pool:
        first = loan(pool)
        first.connection.send_command("ECHO", "old")
        first.connection.can_read(timeout=5)
        end(first)
        assert ask(loan(pool).connection, "ECHO", "new") == b"new"


def test_closing_the_pool_closes_what_was_given_back(raw: Any, kind: type[Any]) -> None:
    """After disconnect() nothing stays connected; the pool can be used again."""
    with pool_of(raw, kind) as pool:
        first = loan(pool)
        number = ask(first.connection, "CLIENT", "ID")
        end(first)
        pool.disconnect()
        assert number not in {client["id"] for client in raw.client_list()}
        assert ask(loan(pool).connection, "ECHO", "x") == b"x"


def test_threads_never_share_a_connection(raw: Any, kind: type[Any]) -> None:
    """Connections in use at the same time are different ones, and no more are made than that."""
    together = Barrier(8)

    def work(number: int) -> set[int]:
        seen: set[int] = set()
        for turn in range(50):
            one = loan(pool)
            connection = one.connection
            assert ask(connection, "ECHO", f"{number} {turn}") == f"{number} {turn}".encode()
            seen.add(id(connection))
            if turn == 0:
                together.wait()
            end(one)
        return seen

    with pool_of(raw, kind) as pool, ThreadPoolExecutor(8) as threads:
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
