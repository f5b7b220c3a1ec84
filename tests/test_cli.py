"""The command line tool: its output, its exit codes, its error messages."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis
from typer.testing import CliRunner, Result

import ormis
from caching import Town, caching, warm
from ormis import Field
from ormis.cli import app

MODELS = """
import ormis
from ormis import Field

class CliShelf(ormis.Model):
    name: str = Field({options})
    size: int = Field(default=0, index=True)

    class Meta:
        key = "cli_shelf"
"""


class CliShelf(ormis.Model):
    """The model that the tool finds in its own module."""

    name: str
    size: int = Field(default=0, index=True)

    class Meta:
        key = "cli_shelf"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an importable module without models: those of this file are declared already."""
    (tmp_path / "cli_models.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("COLUMNS", "160")
    return "cli_models"


def run(*arguments: str, **options: Any) -> Result:
    return CliRunner().invoke(app, list(arguments), **options)


def test_check_of_a_sound_database(db: ormis.Database, url: str, module: str) -> None:
    """Exit code 0 and one line with the number of checked objects."""
    CliShelf(name="a").save()
    result = run("check", "--url", url, "--models", module)
    assert result.exit_code == 0, result.output
    assert "1 CliShelf" in result.stdout
    assert "0 findings, 0 mended" in result.stdout


def test_check_finds_and_repairs(db: ormis.Database, raw: Any, url: str, module: str) -> None:
    """Exit code 1 with findings, 0 after their repair; the URL may come from the environment."""
    CliShelf(name="a", size=3).save()
    raw.zadd("cli_shelf/index/size", {"1": 8, "77": 1})
    result = run("check", "--models", module, env={"ORMIS_URL": url})
    assert result.exit_code == 1, result.output
    assert "has an entry '77' without an object" in result.stdout
    assert "index-extra" in result.stdout
    result = run("check", "--repair", "--show", "1", "--models", module, "--url", url)
    assert result.exit_code == 0, result.output
    assert result.stdout.count("mended: ") == 1
    assert "... and 1 more" in result.stdout
    assert run("check", "--url", url, "--models", module).exit_code == 0


def test_reindex(db: ormis.Database, raw: Any, url: str, module: str) -> None:
    """It builds, drops, and lists duplicates with exit code 1."""
    CliShelf(name="a", size=3).save()
    raw.hset("ormis/models", "cli_shelf", '{"indexes":["equal text name"],"unique":[]}')
    assert "run ormis reindex" in run("check", "--url", url, "--models", module).stdout
    assert "size (sorted): incomplete" in run("inspect", "--url", url, "--models", module).stdout
    result = run("reindex", "--url", url, "--models", module)
    assert result.exit_code == 0, result.output
    assert "size (sorted)" in result.stdout
    assert "name (equal)" in result.stdout
    assert "incomplete" not in run("inspect", "--url", url, "--models", module).stdout


def test_inspect(db: ormis.Database, url: str, module: str) -> None:
    """It shows objects, memory and indexes; without a module those that the database knows."""
    CliShelf(name="a").save()
    shown = run("inspect", "--url", url, "--models", module).stdout
    assert "CliShelf" in shown
    assert "size (sorted)" in shown


def test_inspect_of_models_that_are_cached(db: ormis.Database, url: str, module: str) -> None:
    """It names the models with Meta.cache, and how many connections listen to their changes."""
    shown = run("inspect", "--url", url, "--models", "caching").stdout
    assert "kept in processes (Meta.cache): " in shown
    assert "Town" in shown
    assert "connections told of changes: 0" in shown
    with caching(url) as database:
        Town(name="x").save(using=database)
        warm(database, lambda: Town.objects.using(database).get(pk=1))
        shown = run("inspect", "--url", url, "--models", "caching").stdout
    assert "connections told of changes: 1" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check"], "--models package.module"),
        (["reindex"], "--models package.module"),
        (["check", "--models", "no.such.module"], "there is no module 'no.such.module'"),
        (["check", "--repair=7"], "--repair"),
        (["inspect", "--url", "http://x"], "ormis: "),
    ],
)
def test_wrong_usage(module: str, arguments: list[str], message: str) -> None:
    """Exit code 2 and a message that says what to do; never a traceback."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert message in result.output.replace("\n", " ")
    assert "Traceback" not in result.output


def test_no_connection(url: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the connection or of the server is a message and exit code 2."""

    def refuse(*_: Any, **__: Any) -> None:
        raise redis.ConnectionError("Error 111 connecting to [nowhere]:1")

    monkeypatch.setattr(ormis, "inspect", refuse)
    result = run("inspect", "--url", url)
    assert result.exit_code == 2, result.output
    assert "ormis: Error 111 connecting to [nowhere]:1" in result.output


def test_a_module_that_fails_is_not_called_missing(module: str, tmp_path: Path) -> None:
    """A missing import inside a module of models is reported as its own error."""
    (tmp_path / "cli_broken.py").write_text("import no_such_library_at_all")
    result = run("check", "--models", "cli_broken")
    assert isinstance(result.exception, ModuleNotFoundError)
    assert result.exception.name == "no_such_library_at_all"


def test_as_a_process(db: ormis.Database, raw: Any, url: str, tmp_path: Path) -> None:
    """The installed command runs, finds models in the current directory, and lists duplicates of a new unique field."""
    (tmp_path / "shop_models.py").write_text(MODELS.format(options="unique=True"))
    for _ in range(2):
        CliShelf(name="same").save()
    command = [str(Path(sys.executable).parent / "ormis"), "reindex", "--url", url, "--models", "shop_models"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "cli_shelf:2 and cli_shelf:1 have the same name" in done.stdout
    assert done.stderr == ""


def test_without_its_libraries(tmp_path: Path) -> None:
    """Without the extra the command names the package to install."""
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError('no typer', name='typer')")
    done = subprocess.run(
        [sys.executable, "-m", "ormis", "check"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert 'pip install "ormis[cli]"' in done.stderr


def test_cluster(tmp_path: Path) -> None:
    """`ormis cluster` starts a real cluster, prints its URL, and stops it at Ctrl-C; a later start finds the data."""
    command = [sys.executable, "-m", "ormis", "cluster", str(tmp_path / "nodes"), "--nodes", "2", "--replicas", "0"]
    for stored in (0, 1):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
            try:
                assert running.stdout is not None
                url = running.stdout.readline().strip()
                with ormis.connect(f"{url}?partitions=4") as database:
                    assert CliShelf.objects.using(database).count() == stored
                    CliShelf(name="kept").save(using=database)
            finally:
                running.send_signal(signal.SIGINT)
            assert running.wait(20) == 0


def test_admin_without_its_extra(module: str, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Without starlette-admin it says what to install, with exit code 2."""
    for name in [name for name in sys.modules if name.startswith("ormis.contrib.admin")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "starlette_admin", None)
    result = run("admin", "--models", module, "--url", url)
    assert result.exit_code == 2
    assert 'ormis.contrib.admin needs starlette-admin: pip install "ormis[admin]"' in result.stderr


def test_admin_serves_this_machine_only(db: ormis.Database, url: str, tmp_path: Path) -> None:
    """It prints its address, shows the models of the module, and refuses other names of this machine."""
    (tmp_path / "cli_admin_models.py").write_text(
        "import ormis\nclass Base(ormis.Model):\n    class Meta:\n        abstract = True\n"
        "class CliJar(Base):\n    name: str\n"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ormis", "admin", "--models", "cli_admin_models", "--url", url]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [*command, "--port", str(port)], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address == f"http://127.0.0.1:{port}/admin"
            assert "CliJar" in answered(process, f"{address}/").text
            assert httpx2.get(f"{address}/", headers={"Host": "example.com"}, timeout=60).status_code == 400
        finally:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def answered(process: "subprocess.Popen[str]", address: str) -> httpx2.Response:
    """The answer of a server, once it listens."""
    while process.poll() is None:
        try:
            return httpx2.get(address, timeout=60)
        except httpx2.TransportError:
            time.sleep(0.05)
    raise AssertionError("the server has ended")
