"""`ormis shell` and `ormis --version`."""

import importlib.util
import os
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import ormis
from ormis import Field, ForeignKey
from ormis.shell import banner, models_of, names_for

ROOT = Path(__file__).parent.parent
MODELS = """
import ormis
from ormis import Field

class Jar(ormis.Model):
    label: str = Field(unique=True)
    volume: int = Field(default=0, index=True)
"""


class ShellBox(ormis.Model):
    label: str
    volume: int = 0


class ShellLid(ormis.Model):
    box: ForeignKey[ShellBox] = ForeignKey(related_name="lids")
    closed: date = date(2020, 1, 1)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The variables of a shell in `tmp_path`, where the module `jars` is, without IPython."""
    (tmp_path / "jars.py").write_text(MODELS)
    (tmp_path / "absent").mkdir()
    (tmp_path / "absent" / "IPython.py").write_text("raise ModuleNotFoundError('no IPython', name='IPython')")
    own = {name: value for name, value in os.environ.items() if name != "ORMIS_URL"}
    return own | {"PYTHONPATH": f"{tmp_path / 'absent'}:{ROOT / 'src'}", "TERM": "dumb"}


def shell(environment: dict[str, str], folder: Path, *arguments: str, **options: Any) -> Any:
    command = [sys.executable, "-m", "ormis", "shell", "--url", "embedded://", "--models", "jars", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False, **options
    )


def test_a_command(environment: dict[str, str], tmp_path: Path) -> None:
    """The models, the database and the names of ormis are there."""
    text = 'Jar(label="tea").save(); print(Jar.objects.filter(Q(volume=0)).count(), db.url, ormis.__version__)'
    done = shell(environment, tmp_path, "-c", text)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 embedded://")
    assert done.stdout.split()[-1] == ormis.__version__


def test_a_program_that_is_piped(environment: dict[str, str], tmp_path: Path) -> None:
    """It is executed as a whole; an error in it is shown as Python does, and the exit code is 1."""
    program = "def count():\n    return Jar.objects.count()\n\nprint(count())\nprint(nothing)\n"
    done = shell(environment, tmp_path, input=program)
    assert (done.returncode, done.stdout) == (1, "0\n")
    assert "NameError: name 'nothing' is not defined" in done.stderr


def test_wrong_usage(environment: dict[str, str], tmp_path: Path) -> None:
    """A module or a database that is not there is a message and exit code 2."""
    done = shell(environment, tmp_path, "--models", "no.such.module", "-c", "1")
    assert done.returncode == 2
    assert "there is no module 'no.such.module'" in done.stderr
    done = shell(environment, tmp_path, "--url", "http://x", "-c", "1")
    assert done.returncode == 2
    assert done.stderr.startswith("ormis: ")


@pytest.mark.skipif(
    sys.platform == "win32" or importlib.util.find_spec("readline") is None, reason="needs a terminal and readline"
)
def test_a_conversation(environment: dict[str, str], tmp_path: Path) -> None:
    """At a terminal it says what there is, prints values, and completes names by tab."""
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "ormis", "shell", "--url", "embedded://", "--models", "jars"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = read_until(ours, ">>> ")
    assert shown.startswith(f"ormis {ormis.__version__} on embedded://")
    assert "db, Jar, and the names that ormis exports" in shown
    os.write(ours, b"Jar.obj\t.cre\t")
    assert "Jar.objects.create(" in read_until(ours, "create(")
    os.write(ours, b'label="tea", volume=40)\r')
    assert "Jar(id=1, label='tea', volume=40)" in read_until(ours, ">>> ")
    os.write(ours, b"Jar.vol\t > 3\r")
    assert "Q(volume__gt=3)" in read_until(ours, ">>> ")
    os.write(ours, b"\x04")
    assert process.wait(30) == 0
    os.close(ours)


def read_until(terminal: int, end: str) -> str:
    """The output of a terminal up to this text."""
    shown = ""
    while end not in shown:
        shown += os.read(terminal, 1000).decode()
    return shown


def test_ipython_is_used_where_it_is(environment: dict[str, str], tmp_path: Path) -> None:
    """It gets the names; the lines that say what there is come before."""
    place = tmp_path / "present"
    place.mkdir()
    (place / "IPython.py").write_text("def start_ipython(argv, user_ns):\n    print(argv, user_ns['Jar'].__name__)\n")
    program = "import jars, ormis\nfrom ormis.shell import *\ndb = ormis.connect('embedded://')\n"
    program += "interact(names_for(db, models_of([jars])), banner(db, ['Jar']))"
    environment["PYTHONPATH"] = f"{place}:{ROOT / 'src'}"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    first, *_, last = done.stdout.splitlines()
    assert first.startswith(f"ormis {ormis.__version__} on ")
    assert last == "['--no-banner'] Jar"


def test_the_names(db: ormis.Database) -> None:
    """Models hide the names of ormis, and the last module those before; without models it is said how to have some."""
    one, two = ModuleType("one"), ModuleType("two")
    vars(one).update(Box=ShellBox, Lid=ShellLid, Model=ormis.Model, Field=Field, F=ShellBox)
    vars(two).update(Box=ShellLid)
    found = models_of([one, two])
    assert found == {"Box": ShellLid, "Lid": ShellLid, "F": ShellBox}
    names = names_for(db, found)
    assert names["db"] is db
    assert (names["F"], names["Q"], names["Model"]) == (ShellBox, ormis.Q, ormis.Model)
    assert banner(db, found).endswith("db, Box, F, Lid, and the names that ormis exports")
    assert "no models; --models package.module imports" in banner(db, [])


def test_dir_of_a_class_has_its_fields() -> None:
    """What dir() names exists, and every field and relation is named."""
    assert {"label", "volume", "id", "pk", "objects", "lids", "save"} <= {*dir(ShellBox)}
    assert {"box", "box_id", "pk"} <= {*dir(ShellLid)}
    assert [name for name in dir(ShellBox) if not name.startswith("_") and not hasattr(ShellBox, name)] == []


def test_the_version() -> None:
    """It is written once, in the package, and the command shows it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "src/ormis/__init__.py"
    command = [sys.executable, "-m", "ormis", "--version"]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"ormis {ormis.__version__}\n"


def test_names_behind_a_relation_or_field_are_completed() -> None:
    """`ShellLid.box.la…`: the names of the related model; parts of a date; nothing behind what is nothing."""
    assert {"label", "volume", "lids", "pk"} <= set(dir(ShellLid.box))
    assert "box" in dir(ShellBox.lids)  # type: ignore[attr-defined]
    assert "year" in dir(ShellLid.closed)
    assert "label" not in dir(ShellLid.closed)
    assert "label" in dir(ShellLid.box.lids.box)  # type: ignore[attr-defined]
    assert "year" not in dir(ShellLid.box.nothing)  # type: ignore[attr-defined]
