import asyncio
import gc
import os
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any

import pytest
import redis
import redis.asyncio
import redis.asyncio.retry
import redis.backoff
import redis.credentials
import redis.retry
import redis.sentinel

from ormis.connections import Connections, parse
from ormis.errors import NotConnected, OrmisError
from ormis.limits import Limits
from servers import Server, find_binary, free_port, start_server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with start_server("valkey", tcp=True) as running:
        yield running


@pytest.fixture
def connections(server: Server) -> Iterator[Connections]:
    opened = Connections.open(server.url)
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def _no_unclosed_connections(frozen_objects: None) -> Iterator[None]:
    """Warnings are errors, also those of objects that only the garbage collector finds."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gc.collect()


# URLs


@pytest.mark.parametrize(
    ("url", "kind", "name"),
    [
        ("embedded://", "embedded", "embedded://"),
        ("embedded:///var/lib/polls", "embedded", "embedded:///var/lib/polls"),
        ("embedded:///var/a%20b", "embedded", "embedded:///var/a b"),
        ("redis://localhost", "redis", "redis://localhost:6379/0"),
        ("redis://me:secret@host:7000/2?socket_timeout=3", "redis", "redis://host:7000/2"),
        ("redis://[::1]:7000", "redis", "redis://[::1]:7000/0"),
        ("valkey://host", "redis", "redis://host:6379/0"),
        ("rediss://host", "redis", "rediss://host:6379/0"),
        ("valkeys://host/1", "redis", "rediss://host:6379/1"),
        ("unix://:secret@/run/redis.sock?db=3", "redis", "unix:///run/redis.sock?db=3"),
        ("redis+sentinel://me:secret@a:1,b/mine/2?x=1", "sentinel", "redis+sentinel://a:1,b:26379/mine/2"),
        ("rediss+sentinel://a/mine", "sentinel", "rediss+sentinel://a:26379/mine"),
        ("redis+cluster://:secret@host:7000", "cluster", "redis+cluster://host:7000"),
    ],
)
def test_a_url_names_its_target(url: str, kind: str, name: str):
    """Each scheme is known; the name of the database shows the target, and no password."""
    target = parse(url.replace("?x=1", "?socket_timeout=1"))
    assert (target.kind, target.name) == (kind, name)
    assert "secret" not in repr(target)


def test_a_relative_directory_counts_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`embedded://./x` and `embedded://../x` are relative to the working directory at that moment."""
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    assert parse("embedded://./data").directory == tmp_path / "in" / "data"
    assert parse("embedded://../data").directory == tmp_path / "data"
    assert parse("embedded://").directory is None


def test_without_a_url_the_environment_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """$ORMIS_URL is used, and without it the embedded server in ./.ormis."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORMIS_URL", "redis://host/3")
    assert parse(None).name == "redis://host:6379/3"
    monkeypatch.setenv("ORMIS_URL", "")
    assert parse(None).directory == tmp_path / ".ormis"
    monkeypatch.delenv("ORMIS_URL")
    assert parse(None).directory == tmp_path / ".ormis"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("localhost:6379", "no scheme"),
        ("mysql://host", "scheme mysql:// of the database URL is unknown"),
        ("embedded://var/lib", "write embedded:///var/lib for /var/lib, embedded://./var/lib for ./var/lib"),
        ("redis://host:port", "host or port is not readable"),
        ("redis://host/name", "other than a database number"),
        ("redis://host?socket_timeout=long", "Invalid value for 'socket_timeout'"),
        ("redis://host?socket_timout=1", "does not know: socket_timout; did you mean socket_timeout?"),
        ("embedded://?socket_timout=1", "does not know: socket_timout; did you mean socket_timeout?"),
        ("redis+sentinel://host:1", "names no service"),
        ("redis+sentinel:///service", "host of the redis\\+sentinel:// URL is empty"),
    ],
)
def test_an_unreadable_url_says_what_is_wrong(url: str, message: str):
    """A malformed URL raises before anything is sent; the message names the wrong part and the correction."""
    with pytest.raises(OrmisError, match=message.replace("?", "\\?")):
        parse(url)


@pytest.mark.parametrize(
    "password", ["tops#ecret", "tops/ecret", "12/ecret", "tops?ecret", "tops@/ecret", "tops:ecret#"]
)
def test_a_password_that_is_not_encoded_is_not_shown(password: str):
    """If the characters of a password break the URL, the error says how to encode it, and shows no part of it."""
    with pytest.raises(OrmisError, match="percent-encod") as caught:
        parse(f"redis://:{password}@host:6379/0")
    assert "ecret" not in str(caught.value)
    assert "tops" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_options_of_clusters():
    """The URL of a cluster has nodes, a number of partitions and no number of a database."""
    target = parse("redis+cluster://user:secret@host:7000,host2:7001/?partitions=8&prefix=shop:")
    assert (target.kind, target.nodes, target.partitions) == ("cluster", (("host", 7000), ("host2", 7001)), 8)
    assert target.name == "redis+cluster://host:7000,host2:7001"
    assert parse("redis+cluster://host/").partitions == 64
    for url in (
        "redis+cluster://host/3",
        "redis+cluster://host/?partitions=0",
        "redis+cluster://host/?db=2",
        "redis://host/?partitions=4",
    ):
        with pytest.raises(OrmisError, match=r"partitions|prefix"):
            parse(url)


# Clients from a URL


def test_both_clients_of_a_url_reach_the_server(server: Server):
    """The sync and the async client of a TCP URL are on the same database."""
    connections = Connections.open(server.tcp_url)
    connections.client.set("colour", "red")

    async def read() -> Any:
        return await connections.aclient.get("colour")

    assert asyncio.run(read()) == b"red"
    connections.close()


def test_options_of_the_url_reach_both_clients(server: Server):
    """redis-py's options are applied; `decode_responses=false` is false, though redis-py alone takes it for true."""
    options = "db=3&socket_timeout=2.5&max_connections=7&protocol=2&client_name=me&decode_responses="
    connections = Connections.open(f"{server.url}?{options}yes")

    async def look() -> tuple[Any, Any]:
        pool = connections.aclient.connection_pool
        return pool.connection_kwargs["socket_timeout"], pool.max_connections

    pool = connections.client.connection_pool
    assert (pool.connection_kwargs["socket_timeout"], pool.max_connections) == (2.5, 7) == asyncio.run(look())
    assert connections.client.client_getname() == "me"
    assert connections.client.client_info()["db"] == 3
    assert connections.client.echo("text") == "text"
    connections.close()
    connections = Connections.open(f"{server.url}?{options}false")
    assert connections.client.echo("text") == b"text"
    connections.close()


def test_commands_are_repeated_as_redis_py_does(connections: Connections):
    """A client made from a URL retries on broken connections as often as redis-py's own clients do."""

    async def retries() -> int:
        return connections.aclient.connection_pool.connection_kwargs["retry"].get_retries()

    with redis.Redis() as plain:
        usual = plain.connection_pool.connection_kwargs["retry"].get_retries()
    assert (
        connections.client.connection_pool.connection_kwargs["retry"].get_retries() == usual == asyncio.run(retries())
    )


def test_a_client_is_made_once(connections: Connections):
    """`client` always returns the same object, and so does `aclient` within one loop."""

    async def same() -> bool:
        return connections.aclient is connections.aclient

    assert connections.client is connections.client
    assert asyncio.run(same())


def test_many_threads_share_the_client(connections: Connections):
    """Each of two hundred concurrent threads gets a connection."""
    barrier = threading.Barrier(200)
    failures: list[Exception] = []

    def work() -> None:
        barrier.wait()
        try:
            connections.client.blpop(["nothing"], timeout=0.2)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a failure
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


# Event loops


def test_a_thousand_tasks_share_the_client(connections: Connections):
    """Tasks wait for one of the connections instead of failing; the number of connections is bounded."""

    async def count() -> tuple[list[int], int]:
        results = await asyncio.gather(*(connections.aclient.incr("tasks") for _ in range(1000)))
        return results, len(await connections.aclient.client_list())

    results, clients = asyncio.run(count())
    assert sorted(results) == list(range(1, 1001))
    assert clients <= 64


def test_each_loop_has_its_own_client(connections: Connections):
    """`asyncio.run` can be called repeatedly; the connections of a loop are closed with it."""

    async def ping() -> Any:
        await connections.aclient.ping()
        return connections.aclient

    assert asyncio.run(ping()) is not asyncio.run(ping())
    assert connections.client.info("clients")["connected_clients"] == 1


def test_loops_in_several_threads_work(connections: Connections):
    """Loops that run at the same time in different threads are independent."""

    async def work() -> None:
        await asyncio.gather(*(connections.aclient.incr("loops") for _ in range(50)))

    threads = [threading.Thread(target=asyncio.run, args=(work(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert connections.client.get("loops") == b"200"


def test_a_loop_that_rests_is_closed_from_outside(connections: Connections):
    """`close` also closes the clients of a loop that is neither running nor closed."""
    loop = asyncio.new_event_loop()

    async def ping() -> None:
        await connections.aclient.ping()

    loop.run_until_complete(ping())
    connections.close()
    loop.close()


def test_close_within_a_running_loop(server: Server):
    """`close` in a coroutine schedules the closing of the async client on the loop, even if the loop ends at once."""

    async def use(pause: float | None) -> None:
        connections = Connections.open(server.url)
        await connections.aclient.ping()
        connections.close()
        if pause is not None:
            await asyncio.sleep(pause)

    for pause in (None, 0, 0.01):
        asyncio.run(use(pause))


def test_connections_that_are_forgotten_end_with_the_loop(server: Server):
    """Without any closing there is no warning either."""

    async def use() -> None:
        await asyncio.gather(*(Connections.open(server.url).aclient.ping() for _ in range(3)))

    asyncio.run(use())


def test_an_async_client_needs_a_loop(connections: Connections):
    """Outside of a coroutine `aclient` raises an error that says so."""
    with pytest.raises(OrmisError, match="no event loop is running: use the async client of unix://"):
        _ = connections.aclient


# Closing


def test_closing_is_final(server: Server):
    """A closed database returns no clients; closing it again does nothing."""
    connections = Connections.open(server.url)
    connections.client.ping()
    connections.close()
    connections.close()
    with pytest.raises(NotConnected, match=r"the connection to unix://.* was closed: call ormis.connect\(\) again"):
        _ = connections.client
    assert repr(connections).endswith(", closed>")


def test_aclose_waits_for_the_async_client(server: Server):
    """After `aclose` no connection of the loop is open."""

    async def use() -> None:
        connections = Connections.open(server.url)
        await connections.aclient.ping()
        connections.client.ping()
        await connections.aclose()
        with pytest.raises(NotConnected):
            _ = connections.aclient

    asyncio.run(use())


# Clients the user has


def test_a_sync_client_is_taken_as_it_is(server: Server):
    """`client` is the given one, and stays open; an async client is made with its settings."""
    given = server.client(db=5, client_name="mine")
    connections = Connections.open(client=given)

    async def look() -> Any:
        return await connections.aclient.client_info()

    assert connections.client is given
    info = asyncio.run(look())
    assert (info["db"], info["name"]) == (5, "mine")
    connections.close()
    assert given.connection_pool._available_connections == []  # nothing was sent, so nothing was closed either
    given.ping()
    given.close()


def test_an_async_client_is_taken_as_it_is(server: Server):
    """In the loop of its first use `aclient` is the given one; other loops get another."""
    given = redis.asyncio.Redis(unix_socket_path=server.socket, db=5, client_name="mine")
    connections = Connections.open(client=given)

    async def first() -> None:
        assert connections.aclient is given
        await connections.aclient.ping()
        await connections.aclose()
        await given.ping()
        await given.aclose()

    async def second() -> None:
        assert connections.aclient is not given
        assert (await connections.aclient.client_info())["db"] == 5

    connections.client.ping()
    assert connections.client.client_info()["name"] == "mine"
    asyncio.run(_with_closed_reopened(connections, first))
    asyncio.run(_with_closed_reopened(connections, second))
    connections.close()


async def _with_closed_reopened(connections: Connections, action: Any) -> None:
    """Both loops see the same connections; the first closes them to show that the client stays open."""
    connections._closed = False
    await action()


def test_tcp_settings_cross_over(server: Server):
    """A TCP client with a retry policy and a credential provider has a twin with both."""

    class Provider(redis.credentials.CredentialProvider):
        def get_credentials(self) -> tuple[str, str]:
            return "default", "any"

    retry = redis.retry.Retry(redis.backoff.ConstantBackoff(0.5), 3)
    given = redis.Redis(port=server.port or 0, retry=retry, credential_provider=Provider(), decode_responses=True)
    connections = Connections.open(client=given)

    async def look() -> tuple[Any, Any]:
        options = connections.aclient.connection_pool.connection_kwargs
        await connections.aclient.ping()
        return options["retry"], options["credential_provider"]

    made, provider = asyncio.run(look())
    assert made == redis.asyncio.retry.Retry(redis.backoff.ConstantBackoff(0.5), 3)
    assert isinstance(provider, Provider)
    assert connections.name == f"redis://localhost:{server.port}/0"
    given.close()
    connections.close()


def test_tls_settings_cross_over():
    """A TLS client has a twin with the same certificates and checks."""
    given = redis.Redis(host="host", ssl=True, ssl_ca_certs="/ca.pem", ssl_cert_reqs="none", ssl_check_hostname=False)
    connections = Connections.open(client=given)

    async def look() -> Any:
        return connections.aclient.connection_pool

    pool = asyncio.run(look())
    assert pool.connection_class is redis.asyncio.SSLConnection
    assert pool.connection_kwargs["ssl_ca_certs"] == "/ca.pem"
    assert pool.make_connection().ssl_context.cert_reqs == 0
    assert connections.name == "rediss://host:6379/0"


def test_a_tls_check_is_never_dropped():
    """If an async client can't make a check of the sync client, it is refused; the check is not dropped."""
    connections = Connections.open(client=redis.Redis(ssl=True, ssl_validate_ocsp=True))

    async def look() -> Any:
        return connections.aclient

    with pytest.raises(OrmisError, match="TLS option ssl_validate_ocsp"):
        asyncio.run(look())


@pytest.mark.parametrize("given", ["redis://host", 42, redis.Redis])
def test_anything_else_is_no_client(given: Any):
    """An object that is no client of redis-py raises an error with its type."""
    with pytest.raises(TypeError, match=rf"redis.asyncio.Redis, not \w+\.{type(given).__name__}$"):
        Connections.open(client=given)


def test_url_and_client_exclude_each_other():
    """A URL and a client together raise an error."""
    with pytest.raises(TypeError, match="not by both"):
        Connections.open("redis://host", client=redis.Redis())


# Passwords and failures


def test_a_wrong_password_is_redis_pys_error():
    """A wrong password raises redis-py's AuthenticationError at first use, which does not show it."""
    with start_server("valkey", "--requirepass", "right") as guarded:
        connections = Connections.open(f"unix://:wr0ng%20pass@{guarded.socket}")

        async def ping() -> None:
            await connections.aclient.ping()

        # redis-py retries ten times, for seconds; here one retry is enough.
        connections._settings.options.update(retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0))
        with pytest.raises(redis.AuthenticationError) as caught:
            connections.client.ping()
        # redis-py's async connections raise the base class of AuthenticationError, with the same message.
        with pytest.raises(redis.ConnectionError, match="invalid username-password pair") as acaught:
            asyncio.run(ping())
        shown = [repr(connections), str(connections), connections.name, repr(connections.client)]
        shown += [repr(connections._settings), str(caught.value), str(acaught.value)]
        assert not [text for text in shown if "wr0ng" in text]
        connections.close()
        connections = Connections.open(f"unix://:right@{guarded.socket}")
        assert connections.client.ping()
        connections.close()


def test_an_unreachable_server_is_redis_pys_error():
    """An unreachable server raises redis-py's ConnectionError at first use."""
    connections = Connections.open("unix://:wr0ng@/nowhere/socket")
    connections._settings.options.update(retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0))
    with pytest.raises(redis.ConnectionError) as caught:
        connections.client.ping()
    assert "wr0ng" not in str(caught.value)


# Embedded servers, forks


def test_an_embedded_database_is_opened_and_left(tmp_path: Path):
    """The server runs once the database is opened, for both clients, and the data stays after the closing."""
    connections = Connections.open(f"embedded://{tmp_path}/data?decode_responses=1")
    assert connections.client.set("colour", "red")
    assert connections.directory == tmp_path / "data"
    connections.close()
    connections = Connections.open(f"embedded://{tmp_path}/data?decode_responses=1")

    async def read() -> Any:
        return await connections.aclient.get("colour")

    assert asyncio.run(read()) == "red"
    connections.close()


def test_a_temporary_database_is_gone_when_closed():
    """Each `embedded://` is a new database."""
    first, second = Connections.open("embedded://"), Connections.open("embedded://")
    first.client.set("colour", "red")
    assert second.client.get("colour") is None
    directory = first.directory
    assert directory is not None
    first.close()
    second.close()
    deadline = time.monotonic() + 30
    while directory.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert not directory.exists()


def test_clients_work_in_a_forked_child():
    """After a fork parent and child continue, each with its own connections; a close in the child does not affect the
    parent.
    """
    connections = Connections.open("embedded://")
    connections.client.set("colour", "red")

    async def read() -> Any:
        return await connections.aclient.get("colour")

    asyncio.run(read())
    child = os.fork()
    if child == 0:
        try:
            right = connections.client.get("colour") == asyncio.run(read()) == b"red"
            connections.close()
            os._exit(0 if right else 1)
        finally:
            os._exit(2)
    assert connections.client.get("colour") == b"red"
    assert os.waitpid(child, 0)[1] == 0
    assert connections.client.get("colour") == asyncio.run(read()) == b"red"
    connections.close()


# Sentinel


@contextmanager
def sentinel(server: Server, directory: Path) -> Iterator[int]:
    """A sentinel that watches the server as `mine` and requires its own password."""
    port = free_port()
    settings = directory / "sentinel.conf"
    lines = [f"port {port}", "bind 127.0.0.1", f"dir {directory}", "requirepass watch"]
    settings.write_text("\n".join([*lines, f"sentinel monitor mine 127.0.0.1 {server.port} 1\n"]))
    with Popen([find_binary("valkey"), settings, "--sentinel"], stdout=DEVNULL) as process:
        try:
            wait_for(port)
            yield port
        finally:
            process.kill()


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    with redis.Redis(port=port, password="watch") as client:
        while True:
            try:
                client.ping()
                return
            except redis.ConnectionError:
                assert time.monotonic() < deadline
                time.sleep(0.02)


def test_sentinels_lead_to_the_master(server: Server, tmp_path: Path):
    """Both clients find the master through the sentinel that answers; many concurrent tasks wait for connections."""
    with sentinel(server, tmp_path) as port:
        hosts = f"127.0.0.1:{free_port()},127.0.0.1:{port}"
        connections = Connections.open(f"redis+sentinel://{hosts}/mine/4?sentinel_password=watch")
        assert connections.client.client_info()["db"] == 4

        async def use() -> Any:
            await asyncio.gather(*(connections.aclient.ping() for _ in range(300)))
            return await connections.aclient.client_info()

        assert asyncio.run(use())["db"] == 4
        assert "watch" not in repr(connections) + repr(connections._settings)
        connections.close()


def test_a_client_of_sentinels_crosses_over(server: Server, tmp_path: Path):
    """A client made from sentinels has a twin that uses the same sentinels."""
    with sentinel(server, tmp_path) as port:
        manager = redis.sentinel.Sentinel([("127.0.0.1", port)], sentinel_kwargs={"password": "watch"}, db=4)
        given = manager.master_for("mine")
        connections = Connections.open(client=given)

        async def use() -> Any:
            return await connections.aclient.client_info()

        assert asyncio.run(use())["db"] == given.client_info()["db"] == 4
        assert connections.name == "redis+sentinel:///mine"
        connections.close()
        given.close()
        for one in manager.sentinels:
            one.close()


@pytest.mark.parametrize("value", [0, -1, "x", 2.5, None, True])
@pytest.mark.parametrize("name", ["objects", "deleted", "cascade"])
def test_limits_are_whole_numbers_above_0(name: str, value: Any) -> None:
    """Other sizes of steps are refused where they are given, with the name of the limit."""
    with pytest.raises(ValueError, match=rf"Limits\({name}={value!r}\): give a whole number above 0"):
        Limits(**{name: value})
