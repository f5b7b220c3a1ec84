"""The pytest plugin of ormis: `ormis_db` is an empty database for a test, `ormis_url` is its URL.

pytest imports the plugins of all installed packages. This one is a package beside `ormis` and imports it only when a
test asks for a fixture: a suite that does not use ormis does not wait for it.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # see above
    from ormis import Database

    from .servers import Server, Servers

MARKER = "ormis"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--ormis-server`, and `ormis_servers` for the configuration."""
    parser.getgroup("ormis").addoption(
        "--ormis-server",
        default="embedded",
        metavar="SERVER",
        help="where ormis_db and ormis_url are: a URL, the path of a server program, a name of ormis_servers, "
        "redis6, redis8, or embedded, the default",
    )
    parser.addini(
        "ormis_servers",
        type="linelist",
        help="names for --ormis-server and @pytest.mark.ormis(server=...), a line each: NAME = URL or path",
        default=[],
    )


def pytest_configure(config: pytest.Config) -> None:
    """Makes the marker known."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(server=None, **options): the test uses ormis_db; server: as --ormis-server for this test; "
        "options: further arguments of ormis.connect()",
    )


def pytest_itemcollected(item: pytest.Item) -> None:
    """A marked test uses `ormis_db`, even if it has no argument of that name."""
    names: list[str] | None = getattr(item, "fixturenames", None)
    if names is not None and "ormis_db" not in names and item.get_closest_marker(MARKER):
        names.append("ormis_db")


@pytest.fixture(scope="session")
def _ormis_servers(pytestconfig: pytest.Config) -> "Iterator[Servers]":  # pyright: ignore[reportUnusedFunction]
    """The servers that tests of this process have asked for, stopped at its end."""
    from .servers import Servers

    with Servers(pytestconfig.getini("ormis_servers")) as servers:
        yield servers


@pytest.fixture
def _ormis_server(  # pyright: ignore[reportUnusedFunction]
    request: pytest.FixtureRequest, _ormis_servers: "Servers", monkeypatch: pytest.MonkeyPatch
) -> "Server":
    """The server of this test, emptied; $ORMIS_URL leads there meanwhile."""
    from .servers import ServerMissing, UnknownServer

    default: Any = request.config.getoption("--ormis-server")
    try:
        server = _ormis_servers.find(_options(request.node).get("server") or default)
    except ServerMissing as error:
        raise pytest.skip.Exception(str(error)) from None
    except UnknownServer as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    server.empty()
    monkeypatch.setenv("ORMIS_URL", server.url)
    return server


@pytest.fixture
def ormis_url(_ormis_server: "Server") -> str:
    """The URL of an empty database, for `ormis.connect()` here or in another process; also $ORMIS_URL meanwhile.

    It ends with the prefix of the keys: `ormis_url + "archive:"` is the URL of a second database, empty too.
    """
    return _ormis_server.url


@pytest.fixture
def ormis_db(request: pytest.FixtureRequest, _ormis_server: "Server") -> "Iterator[Database]":
    """An empty database, the default one during the test: models use it, in sync and async code."""
    options = {name: value for name, value in _options(request.node).items() if name != "server"}
    with _ormis_server.connected(**options) as database:
        yield database


def _options(node: Any) -> dict[str, Any]:
    """The arguments of the markers of a test, of its class and of its module; the nearest wins."""
    options: dict[str, Any] = {}
    for mark in node.iter_markers(MARKER):
        if mark.args:
            given = ", ".join(map(repr, mark.args))
            pytest.fail(f"@pytest.mark.{MARKER}({given}): write server=..., or another argument by name", False)
        options = {**mark.kwargs, **options}
    return options
