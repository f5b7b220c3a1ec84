"""The pytest plugin, in test runs of its own processes."""

import shutil
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import ormis
from markdown_blocks import BLOCK
from ormis.cluster.local import LocalCluster
from ormis.connecting import default_database
from pytest_ormis.servers import Server, Servers
from servers import Server as RunningServer
from servers import ServerMissing, find_binary

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent
MODEL = """
import os
import subprocess
import sys
import unittest

import pytest

import ormis


class Ballot(ormis.Model):
    text: str
    n: int = 0


def use():
    assert not Ballot.objects.exists()
    assert Ballot(text="x").save().pk == 1
    assert Ballot.objects.count() == 1

"""
Run = Callable[..., pytest.RunResult]


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the servers of a run are: the paths of their sockets have to be short. After the test none is running."""
    folder = Path(tempfile.mkdtemp(prefix="plugin-"))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    try:
        deadline = time.monotonic() + 10
        while left := [*servers_in(folder), *map(str, folder.iterdir())]:
            assert time.monotonic() < deadline, left
            time.sleep(0.02)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def run(pytester: pytest.Pytester, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs tests, the source of a module after MODEL, with these options; warnings are errors there, too."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # whether or not the entry point is installed here
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.delenv("ORMIS_URL", raising=False)
    pytester.makeini("[pytest]\nfilterwarnings = error")

    def run(source: str, *options: str, plugins: str | None = "") -> pytest.RunResult:
        pytester.makepyfile(MODEL + source)
        names = [] if plugins is None else ["pytest_ormis", *plugins.split()]
        named = [option for name in names for option in ("-p", name)]
        return pytester.runpytest_subprocess("--strict-markers", *named, *options, timeout=60)

    return run


@pytest.fixture
def plain(server: RunningServer) -> Iterator[Any]:
    """A client of the whole server, which is empty before and after the test."""
    with server.client() as client:
        client.flushall()
        yield client
        client.flushall()


def servers_in(folder: Path) -> list[str]:
    """The command lines of running servers whose files are in this folder."""
    lines: list[str] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return [line for line in lines if "-server" in line and str(folder) in line]


def test_each_test_has_an_empty_database(run: Run) -> None:
    """It is the default one during the test, before and after there is none; a failing test leaves nothing behind."""
    result = run(
        """
@pytest.mark.parametrize("number", range(20))
def test_empty(ormis_db, number):
    use()
    assert Ballot.objects.using(ormis_db).get(pk=1)
    if number % 2:
        pytest.fail("on purpose")

def test_without():
    with pytest.raises(ormis.NotConnected):
        Ballot.objects.count()

def test_the_url(ormis_url):
    assert os.environ["ORMIS_URL"] == ormis_url
    with ormis.connect():
        use()

def test_the_url_in_another_process(ormis_db):
    text = "import ormis; ormis.connect().client.set('left', 'there')"
    subprocess.run([sys.executable, "-c", text], check=True)
    assert ormis_db.client.get("left") == b"there"

def test_that_closes_it(ormis_db):
    use()
    ormis_db.close()

def test_that_replaces_it(ormis_db):
    use()
    ormis.connect(os.environ["ORMIS_URL"] + "other:")
    use()

def test_nothing_is_left_of_these(ormis_db):
    assert ormis_db.client.keys() == []
    assert Ballot.objects.count() == 0

def test_the_variable_is_gone():
    assert "ORMIS_URL" not in os.environ

@pytest.mark.usefixtures("ormis_db")
class TestInClasses(unittest.TestCase):
    def test_one(self):
        use()

    def test_two(self):
        use()
""",
    )
    result.assert_outcomes(passed=19, failed=10)


@pytest.mark.parametrize("plugins", ["pytest_asyncio.plugin", "anyio.pytest_plugin"])
def test_async_tests_with_a_loop_each(run: Run, plugins: str) -> None:
    """Each test has an event loop and connections of its own, which are closed without a warning."""
    result = run(
        f"""
import asyncio
pytestmark = pytest.mark.{"anyio" if "anyio" in plugins else "asyncio"}
loops = []

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.parametrize("number", range(6))
async def test_async(ormis_db, number):
    assert asyncio.get_running_loop() not in loops
    loops.append(asyncio.get_running_loop())
    assert not await Ballot.objects.aexists()
    await asyncio.gather(*[Ballot(text="x").asave() for _ in range(20)])
    assert await Ballot.objects.acount() == 20
    assert number < 5
""",
        *(["-o", "asyncio_default_fixture_loop_scope=function"] if "asyncio" in plugins else []),
        plugins=plugins,
    )
    result.assert_outcomes(passed=5, failed=1)


def test_workers_have_servers_of_their_own(run: Run) -> None:
    """Under pytest-xdist tests run at the same time and do not see each other."""
    result = run(
        """
@pytest.mark.parametrize("number", range(40))
def test_alone(ormis_db, number):
    use()
    Ballot.objects.update(n=number)
    for _ in range(20):
        assert [b.n for b in Ballot.objects.all()] == [number]
""",
        "-n2",
        plugins="xdist",
    )
    result.assert_outcomes(passed=40)


@pytest.mark.parametrize("kind", ["embedded", "redis6"])
def test_a_run_that_is_killed_leaves_no_server(run: Run, kind: str) -> None:
    """The fixture `temporary` sees to it that the server and its folder are gone."""
    installed(kind)
    result = run(
        """
import signal
def test_killed(ormis_db):
    use()
    os.kill(os.getpid(), signal.SIGKILL)
""",
        f"--ormis-server={kind}",
    )
    assert result.ret == -9


def test_two_databases(run: Run) -> None:
    """The URL ends with the prefix, so that of a second database is this URL and a name."""
    source = """
@pytest.fixture
def archive(ormis_url):
    with ormis.connect(ormis_url + "archive:") as database:
        yield database

@pytest.mark.parametrize("number", range(3))
def test_both(archive, ormis_db, number):
    use()
    assert Ballot.objects.using(archive).count() == 0
    Ballot(text="x").save(using=archive)
    Ballot(text="y").save(using=archive)
    assert (Ballot.objects.count(), Ballot.objects.using(archive).count()) == (1, 2)
"""
    run(source).assert_outcomes(passed=3)


def test_a_server_at_a_url_keeps_its_data(run: Run, server: RunningServer, plain: Any) -> None:
    """Tests have a prefix of their own there: what was there stays, and what they stored is gone at the end."""
    plain.mset({"theirs": "there", "shop:theirs": "there"})
    source = """
@pytest.mark.parametrize("number", range(6))
def test_alone(ormis_url, number):
    with ormis.connect(ormis_url + "archive:"), ormis.connect() as db:
        use()
        assert db.client.get("theirs") == b"there"
        assert "ormis-test-" in db.prefix and db.prefix.startswith("shop:[a]*")
"""
    result = run(source, "-n2", f"--ormis-server={server.url}?prefix=shop:%5Ba%5D*", plugins="xdist")
    result.assert_outcomes(passed=6)
    assert sorted(plain.keys()) == [b"shop:theirs", b"theirs"]


@pytest.mark.xdist_group("cluster")
def test_a_cluster_at_a_url_keeps_its_data(run: Run, cluster_url: str, cluster: LocalCluster) -> None:
    """On a cluster as well; each test is empty in all partitions, and the database of all tests remains one."""
    with ormis.connect(cluster_url) as db:
        client: Any = db.client
        client.set("theirs", "there")
        client.set("{x}shop:theirs", "there")
        source = """
@pytest.mark.parametrize("number", range(3))
def test_alone(ormis_url, ormis_db, number):
    assert ormis_db.partitions == 16
    with ormis.connect(ormis_url + "archive:") as archive:
        for database in (archive, ormis_db):
            assert not Ballot.objects.using(database).exists()
            made = Ballot.objects.using(database).bulk_create([Ballot(text="x") for _ in range(40)])
            assert Ballot.objects.using(database).count() == 40
            assert len({one.pk % 16 for one in made}) == 16
            assert ormis.check(database).findings == []
        assert ormis_db.client.get("theirs") == b"there"
        assert ormis_db.prefix.startswith("shop:ormis-test-")
"""
        url = f"{cluster_url}?partitions=16&prefix=shop:"
        run(source, "-n2", f"--ormis-server={url}", plugins="xdist").assert_outcomes(passed=3)
        assert sorted(key for node in cluster.nodes for key in node.client.scan_iter()) == [
            b"theirs",
            b"{x}shop:theirs",
        ]


def test_the_marker(run: Run, server: RunningServer, pytester: pytest.Pytester) -> None:
    """A marked test uses ormis_db, on another server or with arguments of connect(); the nearest marker wins."""
    path = find_binary("valkey")
    Path(pytester.path, "pytest.ini").write_text(
        f"[pytest]\nfilterwarnings = error\normis_servers =\n mine = {server.url}\n own = {path}\n bad = /bin/false\n"
    )
    result = run(
        """
pytestmark = pytest.mark.ormis(cache=10, prefix="marked:")

@pytest.mark.ormis(server="mine", cache=20)
class TestMarked:
    def test_server(self):
        use()
        assert Ballot(text="x").save().key == "ballot:2"

    @pytest.mark.ormis(server="own", cache_bound=1.0)
    def test_own(self, ormis_db):
        use()
        assert ormis_db.prefix == "marked:" and ormis_db.client.keys("marked:ballot:*") == [b"marked:ballot:1"]
        assert str(ormis_db.client.connection_pool.connection_kwargs["path"]) in ormis_db.url
        assert "ormis-test-" not in ormis_db.url

def test_module():
    use()

@pytest.mark.ormis(server="nobody")
def test_unknown(): pass

@pytest.mark.ormis(server="bad")
def test_bad(): pass

@pytest.mark.ormis("mine")
def test_by_position(): pass

@pytest.mark.ormis(shard=3)
def test_option(): pass
""",
    )
    result.assert_outcomes(passed=3, errors=4)
    result.stdout.fnmatch_lines(
        [
            "'nobody' is no server: give a URL*one of embedded, redis6, redis8, mine, own, bad;*",
            "*did not start; its log ends:*",
            "@pytest.mark.ormis('mine'): write server=..., or another argument by name",
            "*connect() got an unexpected keyword argument 'shard'*",
        ]
    )
    assert "During handling" not in result.stdout.str()


@pytest.mark.parametrize("kind", ["redis6", "redis8"])
def test_servers_that_packages_bring(run: Run, kind: str) -> None:
    """Their names need no configuration."""
    installed(kind)
    source = f"""
def test_version(ormis_db):
    use()
    assert ormis_db.client.info("server")["redis_version"].startswith("{kind[-1]}.")
"""
    run(source, f"--ormis-server={kind}").assert_outcomes(passed=1)


def test_the_guide(run: Run) -> None:
    """The tests that docs/guides/testing.md shows pass; those on a server that is not installed are skipped."""
    page = (ROOT / "docs" / "guides" / "testing.md").read_text()
    source = "\n".join(block[1] for block in BLOCK.finditer(page))
    result = run(source, "-o", "asyncio_default_fixture_loop_scope=function", plugins="pytest_asyncio.plugin")
    outcomes = result.parseoutcomes()
    assert outcomes.pop("passed") + outcomes.pop("skipped", 0) == source.count("def test_")
    assert outcomes == {}


def test_a_server_that_is_not_installed_skips(run: Run, pytester: pytest.Pytester) -> None:
    """The reason says what to install."""
    pytester.makeconftest("from pytest_ormis import servers\nservers.WHEELS['redis8'] = 'absent', 'x', 'redis-x'\n")
    result = run("@pytest.mark.ormis(server='redis8')\ndef test_skipped(): pass\n", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*the server redis8 is not installed: pip install redis-x*"])


def test_a_run_that_does_not_use_it_does_not_import_ormis(pytester: pytest.Pytester, run: Run) -> None:
    """The plugin costs such a run the import of one small module."""
    pytester.makepyfile(
        test_other="""
import sys
def test_nothing():
    assert "pytest_ormis" in sys.modules
    assert not {"ormis", "redis", "pydantic", "pytest_ormis.servers"} & sys.modules.keys()
"""
    )
    result = pytester.runpytest_subprocess("-p", "pytest_ormis", "test_other.py")
    result.assert_outcomes(passed=1)
    result = pytester.runpytest_subprocess("-p", "pytest_ormis", "--markers")
    result.stdout.fnmatch_lines(["@pytest.mark.ormis(server=None, *options): the test uses ormis_db;*"])


@pytest.mark.parametrize(("option", "found"), [("", True), ("-ppytest_ormis", True), ("-pno:pytest_ormis", False)])
def test_the_package_registers_the_plugin(run: Run, monkeypatch: pytest.MonkeyPatch, option: str, found: bool) -> None:
    """It is found by its entry point, is the same when it is named too, and can be left out."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "src/pytest_ormis" in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    (name, module), *others = project["project"]["entry-points"]["pytest11"].items()
    assert not others
    installed = Path("site", "installed_ormis-1.dist-info").absolute()
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: installed-ormis\nVersion: 1\n")
    (installed / "entry_points.txt").write_text(f"[pytest11]\n{name} = {module}\n")
    monkeypatch.setenv("PYTHONPATH", f"{installed.parent}:{ROOT / 'src'}")
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    result = run(
        """
def test_plugin(pytestconfig):
    assert pytestconfig.pluginmanager.hasplugin("pytest_ormis") == ("pytest_ormis" in sys.modules) == FOUND
""".replace("FOUND", str(found)),
        *filter(None, ["-pno:asyncio", option]),
        plugins=None,
    )
    result.assert_outcomes(passed=1)


@pytest.mark.single_server("connect(cache=) is not there yet on a cluster")
def test_the_default_database_is_restored(server: RunningServer, url: str, db: ormis.Database) -> None:
    """Also if a test connects to further ones, or closes its own; a database that was closed is not the default."""
    with server.client() as client, closing(Server(client, url)) as place:
        with place.connected() as one:
            assert default_database("X") is one
            with place.connected(cache=10) as two:
                assert default_database("X") is two is not one
                ormis.connect(url).close()
            assert default_database("X") is one
        assert default_database("X") is db
        with place.connected() as again:
            assert again is one
            again.close()
        assert default_database("X") is db
        with place.connected() as third:
            assert third is not one
            db.close()
            assert default_database("X") is third
    with pytest.raises(ormis.NotConnected):
        default_database("X")


def test_emptying_many_keys(server: RunningServer, plain: Any) -> None:
    """On a server at a URL the keys with the prefix are deleted, in batches, and no others."""
    prefix = "a[b]*?\\^:"
    plain.mset({f"{prefix}{number}": number for number in range(2500)} | {"ab:1": 1, "a[b]x:1": 1})
    Server(plain, server.url, prefix).empty()
    assert sorted(plain.keys()) == [b"a[b]x:1", b"ab:1"]


def test_servers_start_once() -> None:
    """The name and the URL of the embedded server are the same server; the session has one of each kind."""
    with Servers([" mine =  embedded://"]) as servers:
        assert servers.find("embedded") is servers.find("embedded")
        assert servers.find("mine").client.ping()
        with pytest.raises(ormis.NotConnected):
            default_database("X")


def installed(kind: str) -> None:
    """Skips the test where the server is not installed."""
    try:
        find_binary("valkey" if kind == "embedded" else kind)
    except ServerMissing as error:
        pytest.skip(str(error))
