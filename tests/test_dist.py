"""The wheel and the sdist: their files and metadata. `make dist` also installs and runs them."""

import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

import ormis

ROOT = Path(__file__).parent.parent
SOURCES = ROOT / "src"
ELSEWHERE = {".gitignore", "PKG-INFO"}
"""Files of the sdist that the backend adds."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the two files."""
    pytest.importorskip("hatchling", reason="pip install 'ormis[dev]'")
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", folder], cwd=ROOT, capture_output=True, check=True
    )
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.ZipFile:
    [path] = built.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    return message_from_bytes(wheel.read(f"ormis-{ormis.__version__}.dist-info/METADATA"))


def kept(folder: Path) -> set[str]:
    """The files below a folder of the repository, from its root on, without what Python and tools leave there."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    return {path.relative_to(ROOT).as_posix() for path in files if not any(part[0] == "." for part in path.parts[-3:])}


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    """Every module, every Lua file and py.typed of `src`; no tests."""
    found = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert {f"src/{name}" for name in found} == kept(SOURCES)
    assert {"ormis/py.typed", "pytest_ormis/py.typed", "ormis/lua/commit.lua"} <= found


def test_the_sdist_is_complete(built: Path) -> None:
    """Tests, examples, benchmarks, pages and findings: `make test` works on it."""
    [path] = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        found = {name.partition("/")[2] for name in archive.getnames()} - ELSEWHERE
    folders = [kept(ROOT / name) for name in ("src", "tests", "examples", "benchmarks", "docs", "findings")]
    pages = {path.name for path in ROOT.glob("*.md")}
    assert found == set().union(*folders) | pages | {"LICENSE", "Makefile", "mkdocs.yml", "pyproject.toml"}


def test_the_metadata_describes_the_package(metadata: Message, wheel: zipfile.ZipFile) -> None:
    """Name, version, license with its file, Python versions, extras, and the README as the long description."""
    assert (metadata["Name"], metadata["Version"]) == ("ormis", ormis.__version__)
    assert (metadata["License-Expression"], metadata["License-File"]) == ("MIT", "LICENSE")
    assert metadata["Requires-Python"] == ">=3.11"
    assert {"cli", "embedded", "fastapi", "otel"} <= set(metadata.get_all("Provides-Extra", []))
    assert metadata["Description-Content-Type"] == "text/markdown"
    text = wheel.read(f"ormis-{ormis.__version__}.dist-info/METADATA").decode()
    assert text.endswith("\n\n" + (ROOT / "README.md").read_text())


def test_the_core_needs_three_libraries(metadata: Message) -> None:
    """redis-py, pydantic and msgspec; everything else belongs to an extra."""
    core = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert sorted(line.split("<")[0].split(">")[0].split("!")[0].split("[")[0] for line in core) == [
        "msgspec",
        "pydantic",
        "redis",
    ]


def test_the_wheel_has_the_command_and_the_plugin(wheel: zipfile.ZipFile) -> None:
    """`ormis`, and the plugin for pytest under the name of its module."""
    text = wheel.read(f"ormis-{ormis.__version__}.dist-info/entry_points.txt").decode()
    assert "ormis = ormis.__main__:main" in text
    assert "pytest_ormis = pytest_ormis" in text
