"""Servers that can't be reached: sync and async clients try as often, and for as long, before they give up."""

import asyncio
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.asyncio.connection import AbstractConnection as AsyncConnection
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.connection import AbstractConnection as SyncConnection
from redis.retry import Retry
from redis.sentinel import SentinelManagedConnection

import ormis
from ormis.connections import retries
from servers import Server, free_port, start_server

MODES = pytest.mark.parametrize("mode", ["sync", "async"])
TRIES = 1 + retries.default_retry().get_retries()
SHORT = "socket_timeout=0.1&socket_connect_timeout=0.1"


class Poll(ormis.Model):
    """A model to ask for."""

    votes: int = 0

    class Meta:
        key = "dead_poll"


# Servers that are not there --------------------------------------------------------------------------------------


@contextmanager
def refusing() -> Iterator[int]:
    """A port that is bound, so that nobody else listens there."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@contextmanager
def fill_backlog(port: int, count: int = 4) -> Iterator[None]:
    """Connects without being accepted, until the kernel drops further packets."""
    with ExitStack() as stack:
        for _ in range(count):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        yield


@contextmanager
def dropping() -> Iterator[int]:
    """A port whose host drops packets."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen(0)
        port = bound.getsockname()[1]
        with fill_backlog(port):
            yield port


@contextmanager
def accepting(answer: bytes = b"") -> Iterator[int]:
    """A server that accepts connections and gives each command this answer, or none."""
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as listening, ExitStack() as stack:

        def serve(accepted: socket.socket) -> None:
            try:
                while accepted.recv(65536):
                    accepted.sendall(answer)
            except OSError:
                pass

        def accept() -> None:
            while True:
                try:
                    accepted = stack.enter_context(listening.accept()[0])
                except OSError:
                    return
                threading.Thread(target=serve, args=(accepted,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


@contextmanager
def _at(port_of: Any, scheme: str = "redis", options: str = "") -> Iterator[str]:
    with port_of as port:
        yield f"{scheme}://127.0.0.1:{port}/0?{options}"


@contextmanager
def _sentinels(port_of: Callable[[], Any]) -> Iterator[str]:
    with port_of() as one, port_of() as two:
        yield f"redis+sentinel://127.0.0.1:{one},127.0.0.1:{two}/mine?"


@contextmanager
def _url(url: str) -> Iterator[str]:
    yield url


BY_COUNT: dict[str, Callable[[], Any]] = {
    "a port that refuses": lambda: _at(refusing()),
    "a name that does not resolve": lambda: _url("redis://no-such-host.invalid:6379/0?"),
    "a missing socket": lambda: _url("unix:///nowhere/socket?"),
    "a server that loads its data": lambda: _at(accepting(b"-LOADING the dataset\r\n")),
    "sentinels that refuse": lambda: _sentinels(refusing),
}
BY_TIME: dict[str, Callable[[], Any]] = {
    "a host that drops packets": lambda: _at(dropping()),
    "no answer to a command": lambda: _at(accepting()),
    "no answer to the handshake of TLS": lambda: _at(accepting(), "rediss", "ssl_cert_reqs=none&"),
    "sentinels whose hosts drop packets": lambda: _sentinels(dropping),
    "sentinels that do not answer": lambda: _sentinels(accepting),
}


def ask(db: ormis.Database, mode: str) -> None:
    """Asks for something."""
    polls = Poll.objects.using(db)
    if mode == "sync":
        polls.count()
    else:
        asyncio.run(_ask(db))


async def _ask(db: ormis.Database) -> None:
    await Poll.objects.using(db).acount()


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts the tries to connect, "sync" and "async"; retries do not wait."""
    counted = Counter[str]()
    connect, aconnect = SyncConnection.connect_check_health, AsyncConnection.connect_check_health

    def sync_try(self: Any, *args: Any, **options: Any) -> Any:
        counted["sync"] += self._sock is None
        return connect(self, *args, **options)

    async def async_try(self: Any, *args: Any, **options: Any) -> Any:
        counted["async"] += not self.is_connected
        return await aconnect(self, *args, **options)

    monkeypatch.setattr(SyncConnection, "connect_check_health", sync_try)
    monkeypatch.setattr(AsyncConnection, "connect_check_health", async_try)
    monkeypatch.setattr(ExponentialWithJitterBackoff, "compute", lambda *_: 0)
    return counted


@MODES
@pytest.mark.parametrize("case", BY_COUNT)
def test_errors_that_come_at_once(tries: Counter[str], case: str, mode: str) -> None:
    """As many tries as redis-py's retry has; the error has the URL as a note."""
    with BY_COUNT[case]() as url, ormis.connect(url.rstrip("?")) as db:
        with pytest.raises(redis.ConnectionError) as caught:
            ask(db, mode)
        assert url.partition("?")[0] in " ".join(caught.value.__notes__)
        assert tries == {mode: TRIES * (2 if "sentinels" in case else 1)}


@MODES
@pytest.mark.parametrize("case", BY_TIME)
def test_time_outs(tries: Counter[str], monkeypatch: pytest.MonkeyPatch, case: str, mode: str) -> None:
    """Where each try takes a time-out, the time ends the tries, after one retry at the earliest."""
    monkeypatch.setattr(retries, "RETRIED_FOR", 0.25)
    with BY_TIME[case]() as url, ormis.connect(url + SHORT) as db:
        with pytest.raises((redis.TimeoutError, redis.ConnectionError)) as caught:
            ask(db, mode)
        assert url.partition("?")[0] in " ".join(caught.value.__notes__)
    rounds = tries[mode] / (2 if "sentinels" in case else 1)
    assert 2 <= rounds <= 3


@MODES
def test_there_is_one_retry_however_late(tries: Counter[str], monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """A time-out longer than the time for retries leaves one."""
    monkeypatch.setattr(retries, "RETRIED_FOR", 0.0)
    with _at(accepting()) as url, ormis.connect(url + SHORT) as db, pytest.raises(redis.TimeoutError):
        ask(db, mode)
    assert tries == {mode: 2}


@pytest.mark.parametrize(
    "url",
    ["redis://host", "rediss://host", "unix:///path", "redis+sentinel://host/mine", "rediss+sentinel://host/mine"],
)
async def test_both_clients_have_the_same_bounds(url: str) -> None:
    """Time-outs and retries of a client that is made from a URL, which may give others."""

    def bounds(client: Any) -> tuple[Any, ...]:
        options = client.connection_pool.connection_kwargs
        return options["socket_timeout"], options["socket_connect_timeout"], options["retry"].get_retries()

    async with ormis.connect(url) as db, ormis.connect(f"{url}?socket_timeout=2") as other:
        usual = (retries.TIMEOUT, retries.TIMEOUT, TRIES - 1)
        assert bounds(db.client) == bounds(db.aclient) == usual
        assert bounds(other.client) == bounds(other.aclient) == (2.0, *usual[1:])
        assert isinstance(db.client.connection_pool.connection_kwargs["retry"], Retry)
        assert isinstance(db.aclient.connection_pool.connection_kwargs["retry"], AsyncRetry)
        if "sentinel" in url:
            for client, seconds in (db.client, 1.0), (db.aclient, 1.0), (other.client, 2.0), (other.aclient, 2.0):
                manager: Any = client.connection_pool
                [sentinel] = manager.sentinel_manager.sentinels
                assert bounds(sentinel) == (seconds, 1.0, 0)


# Servers that go away ----------------------------------------------------------------------------------------------


@contextmanager
def stopped(server: Server) -> Iterator[None]:
    """The process is stopped; the kernel goes on accepting connections for it."""
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


def ask_twice(db: ormis.Database, mode: str, between: Callable[[], object]) -> None:
    """Asks on a connection that was used before."""

    async def twice() -> None:
        await _ask(db)
        between()
        await _ask(db)

    if mode == "sync":
        ask(db, mode)
        between()
        ask(db, mode)
    else:
        asyncio.run(twice())


@MODES
@pytest.mark.parametrize("away", ["stopped", "dropping", "killed"])
def test_a_server_that_goes_away(
    tries: Counter[str], monkeypatch: pytest.MonkeyPatch, server_kind: str, away: str, mode: str
) -> None:
    """The tries to connect again are not repeated by the retries of the command."""
    if away != "killed":
        monkeypatch.setattr(retries, "RETRIED_FOR", 0.25)
    with (
        start_server(server_kind, "--tcp-backlog", "1", tcp=True) as server,
        ormis.connect(f"redis://127.0.0.1:{server.port}/0?{SHORT}") as db,
        ExitStack() as stack,
    ):

        def go_away() -> None:
            tries.clear()
            if away == "killed":
                server.kill()
                return
            stack.enter_context(stopped(server))
            if away == "dropping":
                stack.enter_context(fill_backlog(server.port or 0))

        with pytest.raises((redis.TimeoutError, redis.ConnectionError)):
            ask_twice(db, mode, go_away)
    most = TRIES if away == "killed" else 3
    assert 2 <= tries[mode] <= most


@MODES
def test_the_retry_of_a_given_client_is_not_squared(tries: Counter[str], server_kind: str, mode: str) -> None:
    """A client's own retry counts once for a server that goes away."""
    with start_server(server_kind, "--tcp-backlog", "1", tcp=True) as server, ExitStack() as stack:
        options: dict[str, Any] = {"port": server.port, "socket_timeout": 0.1, "socket_connect_timeout": 0.1}
        client: Any = (
            redis.Redis(retry=Retry(NoBackoff(), 3), **options)
            if mode == "sync"
            else redis.asyncio.Redis(retry=AsyncRetry(NoBackoff(), 3), **options)
        )

        def go_away() -> None:
            tries.clear()
            stack.enter_context(stopped(server))
            stack.enter_context(fill_backlog(server.port or 0))

        async def with_async_client() -> None:
            async with client, ormis.connect(client=client) as db:
                await _ask(db)
                go_away()
                await _ask(db)

        if mode == "async":
            with pytest.raises(redis.TimeoutError):
                asyncio.run(with_async_client())
        else:
            with client, ormis.connect(client=client) as db, pytest.raises(redis.TimeoutError):
                ask_twice(db, mode, go_away)
        assert tries == {mode: 4}


def test_a_call_is_repeated_where_the_sentinels_say(server_kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The master dies in the middle of a call: its retry asks the sentinels, and does not stay with the old one."""
    with start_server(server_kind, tcp=True) as old, start_server(server_kind, tcp=True) as new:
        with ormis.connect(f"redis+sentinel://127.0.0.1:{free_port()}/mine") as db:
            pool: Any = db.client.connection_pool
            masters = [("127.0.0.1", old.port)]
            monkeypatch.setattr(pool.sentinel_manager, "discover_master", lambda _service: masters[-1])
            Poll(votes=1).save(using=db)
            read, armed = SentinelManagedConnection.read_response, [True]

            def lost(self: Any, *args: Any, **options: Any) -> Any:
                if armed and armed.pop():
                    old.kill()
                    masters.append(("127.0.0.1", new.port))
                    raise redis.ConnectionError("lost")
                return read(self, *args, **options)

            monkeypatch.setattr(SentinelManagedConnection, "read_response", lost)
            saved = Poll(votes=2).save(using=db)
            assert not armed
        with ormis.connect(f"redis://127.0.0.1:{new.port}") as db:
            assert [poll.votes for poll in Poll.objects.using(db).all()] == [2]
            assert saved.votes == 2


@pytest.mark.slow
def test_given_up_after_a_sensible_time() -> None:
    """With nothing set, each of these servers is given up within half a minute, by sync and async clients alike."""

    def time_of(case: str, mode: str) -> float:
        with BY_TIME[case]() as url, ormis.connect(url.rstrip("?&")) as db:
            begin = time.monotonic()
            with pytest.raises((redis.TimeoutError, redis.ConnectionError)):
                ask(db, mode)
            return time.monotonic() - begin

    modes = ("sync", "async")
    with ThreadPoolExecutor(2 * len(BY_TIME)) as threads:
        timed = {(case, mode): threads.submit(time_of, case, mode) for case in BY_TIME for mode in modes}
    for case in BY_TIME:
        one, other = (timed[case, mode].result() for mode in modes)
        assert max(one, other) < 30
        assert max(one, other) < 2 * min(one, other)
