"""`make dist`: builds the wheel and the sdist into dist/, and runs tests/smoke.py on each in new environments."""

import os
import subprocess
import sys
import venv
from pathlib import Path
from tempfile import TemporaryDirectory

from servers import start_server

ROOT = Path(__file__).parent.parent
EXTRAS = ("", "embedded,cli")


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


def main() -> None:
    """All of it."""
    for file in build(ROOT / "dist"):
        with start_server("valkey") as server:
            try_out(file, EXTRAS[0], server.url)
        try_out(file, EXTRAS[1], "embedded://")


if __name__ == "__main__":
    main()
