"""The fixtures of all tests: a real server, a raw client for it, and a database connected to it.

`pytest --server=redis6` runs the whole suite on another server; tests/servers.py has the matrix.
"""

import gc
import inspect
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
import redis
from hypothesis import settings

from laws import THOROUGH
from lua_coverage import LuaCoverage
from markdown_blocks import execute
from prefixed import PartitionRedis, PrefixedRedis, with_option
from servers import KINDS, LOG_READERS, Server, ServerMissing, find_binary, start_server

# CI runs the same examples every time, so that a failure comes from the change. `make test` draws new examples.
# `make test-all` draws more of them. No example has a deadline: the machine may be busy.
settings.register_profile("usual", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.register_profile("thorough", deadline=None, max_examples=100 * THOROUGH)
settings.load_profile("ci" if os.environ.get("CI") else "usual")

if TYPE_CHECKING:  # the fixtures that need ormis import it, so that the lint tests run without it
    from ormis import Database
    from ormis.cluster.local import LocalCluster


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--server", choices=sorted(KINDS), default="valkey", help="the kind of server the tests run on")
    parser.addoption("--prefix", default="", help="a prefix of all keys, so that the suite runs in such a database")
    parser.addoption("--cluster", action="store_true", help="a database on a cluster of three nodes")
    parser.addoption("--partitions", type=int, default=1, help="of that database; beyond 1 not all tests hold")
    parser.addoption("--lua-coverage", action="store_true", help="show which statements of the Lua files were executed")


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job; children would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("--lua-coverage"):
        coverage = LuaCoverage()
        config.pluginmanager.register(coverage)
        LOG_READERS.append(coverage.take_log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skips what is about one server, if the run is on a cluster."""
    if not config.getoption("--cluster"):
        return
    several = config.getoption("--partitions") > 1
    for item in items:
        if mark := item.get_closest_marker("single_server"):
            item.add_marker(pytest.mark.skip(reason=mark.args[0]))
        elif several and {"raw", "server"} & {*inspect.signature(getattr(item, "function", int)).parameters}:
            item.add_marker(pytest.mark.skip(reason="looks at the keys of one server"))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Hides the objects of the modules from the garbage collector: a `gc.collect()` in a test visits the test's own."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 20)
        gc.enable()


def pytest_report_header(config: pytest.Config) -> str:
    return f"server: {config.getoption('--server')}, prefix: {config.getoption('--prefix')!r}"


@pytest.fixture(scope="session")
def server_kind(request: pytest.FixtureRequest) -> str:
    """The kind of server of this run, for `start_server`.

    Tests that use it are skipped if that kind is not installed.
    """
    kind = request.config.getoption("--server")
    try:
        find_binary(kind)
    except ServerMissing as error:
        if kind == "valkey":  # installed with the tests: a run without it would prove nothing
            raise
        pytest.skip(str(error))
    return kind


@pytest.fixture(scope="session")
def server(server_kind: str) -> Iterator[Server]:
    """The server of this run (under pytest-xdist: of this worker)."""
    with start_server(server_kind) as running:
        yield running


@pytest.fixture(scope="session")
def own_cluster(request: pytest.FixtureRequest, server_kind: str) -> "Iterator[LocalCluster | None]":
    """The cluster of `db` and `raw`, if this run is to be on one."""
    if not request.config.getoption("--cluster"):
        yield None
        return
    from clusters import start_cluster

    with start_cluster(server_kind) as running:
        yield running


@pytest.fixture(scope="session")
def cluster(server_kind: str) -> "Iterator[LocalCluster]":
    """A cluster of three nodes for the tests of clusters (under pytest-xdist: of this worker), which may move slots."""
    from clusters import start_cluster

    with start_cluster(server_kind) as running:
        yield running


@pytest.fixture
def cluster_url(cluster: "LocalCluster") -> str:
    """The URL of `cluster`, which is empty."""
    for node in cluster.nodes:
        node.client.flushall()
    return cluster.url


@pytest.fixture(scope="session")
def prefix(request: pytest.FixtureRequest) -> str:
    """The prefix of all keys of this run."""
    return request.config.getoption("--prefix")


@pytest.fixture(scope="session")
def url(server: Server, prefix: str, own_cluster: "LocalCluster | None", pytestconfig: pytest.Config) -> str:
    """The URL of the database of this run."""
    if own_cluster is not None:
        return with_option(f"{own_cluster.url}?partitions={pytestconfig.getoption('--partitions')}", f"prefix={prefix}")
    return with_option(server.url, f"prefix={prefix}") if prefix else server.url


@pytest.fixture(scope="session")
def client(server: Server, prefix: str) -> Iterator["redis.Redis"]:
    """The client of `raw`: to make one and to connect it takes longer than most tests do.

    A test that uses it in threads leaves it with several connections. Their name tells them from those of ormis.
    """
    made = PrefixedRedis(unix_socket_path=server.socket, prefix=prefix, client_name="raw") if prefix else None
    with made or server.client(client_name="raw") as client:
        yield client


@pytest.fixture
def raw(
    prefix: str, own_cluster: "LocalCluster | None", client: "redis.Redis", pytestconfig: pytest.Config
) -> Iterator["redis.Redis"]:
    """A plain client with byte replies, on a database that is empty before and after the test.

    In a run with a prefix its key names are those of ormis, without the prefix. On a cluster they are those of the
    first partition, without the tag; the plain server is empty as well.
    """
    if own_cluster is not None:
        client.flushall()
        partitions = pytestconfig.getoption("--partitions")
        node = own_cluster.owner(0)
        others = [other.client for other in own_cluster.nodes if other is not node and partitions > 1]
        with PartitionRedis(port=node.port, prefix="{1bz}" + prefix, content=f"0/{partitions}") as of_partition:
            for one in (of_partition, *others):
                one.flushall()
            yield of_partition
            for one in (of_partition, *others, client):
                one.flushall()
        return
    client.flushall()
    yield client
    client.flushall()


@pytest.fixture
def db(raw: "redis.Redis", url: str) -> Iterator["Database"]:
    """An ormis database, connected for this test only, empty at its start."""
    import ormis

    with ormis.connect(url) as database:
        yield database


@pytest.fixture
def checked(db: "Database", request: pytest.FixtureRequest) -> Iterator["Database"]:
    """As `db`; after the test, check() must find nothing in the models of the test's module."""
    import ormis
    from ormis.schema import registry

    yield db
    models: Any = [m for m in registry.models() if m.__module__ == request.module.__name__]
    report = ormis.check(db, models=models)
    assert report.ok, [str(finding) for finding in report.findings]
    assert sum(report.objects.values()) == sum(m.objects.using(db).count() for m in models)


@pytest.fixture
def between(db: "Database", monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Callable[[], object]]]:
    """Functions in this list run, each once, before the next call of `db` that writes; at the end all have run."""
    from ormis.cluster.routing import Router
    from ormis.drivers import sync

    waiting = list[Callable[[], object]]()
    send, route = sync.send, Router.send

    def let_others(call: Any) -> None:
        if waiting and getattr(call, "once", False):
            waiting.pop(0)()

    def sent(client: redis.Redis, call: Any, *more: Any) -> Any:
        let_others(call)
        return send(client, call, *more)

    def routed(self: Router, step: Any) -> Any:
        let_others(step.call)
        return route(self, step)

    monkeypatch.setattr(sync, "send", sent)
    monkeypatch.setattr(Router, "send", routed)
    yield waiting
    assert waiting == []


@pytest.fixture
def run_page(
    raw: "redis.Redis", server: Server, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str, str], int]]:
    """Executes a page, (Markdown, name), as a module of that name, with no other models registered.

    Its connections go to the test server, without a prefix: pages show names of keys.
    """
    import ormis
    from ormis.schema import registry

    databases: list[Database] = []
    connect = ormis.connect

    def connect_here(*_: Any, **options: Any) -> "Database":
        databases.append(connect(server.url, **options))
        return databases[-1]

    def run(markdown: str, name: str) -> int:
        module = ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        return execute(markdown, vars(module))

    monkeypatch.setattr(ormis, "connect", connect_here)
    monkeypatch.setattr(registry, "_models", {})
    monkeypatch.setattr(registry, "_pending", [])
    yield run
    for database in databases:
        database.close()


@pytest.fixture(scope="module")
def frozen_objects() -> None:
    """For modules with many `gc.collect()`: it does not visit what the tests before have left in caches."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def isolated_registry() -> Iterator[None]:
    """Removes the models that a test declares inside itself from the registry; those of modules stay."""
    registry = sys.modules.get("ormis.schema.registry")  # the lint tests run without ormis
    known = set() if registry is None else {*registry.models()}
    modules = {*sys.modules}
    yield
    for model in () if registry is None else registry.models():
        if model not in known and model.__module__ not in sys.modules.keys() - modules:
            registry.forget(model)
