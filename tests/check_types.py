"""Runs type checkers on the samples in tests/typing and on the code of README.md and docs/: `make check`.

Only those that are installed beside the Python that runs it; `pip install 'ormis[typing]'` installs all.
"""

import doctest
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import indent

from markdown_blocks import BLOCK

ROOT = Path(__file__).parent.parent
UNTYPED = {"django.md", "changing_models.md"}
"""Pages about a library without types, which may not be installed either, and of models that are declared again."""
PAGES = [ROOT / "README.md", *sorted(path for path in (ROOT / "docs").rglob("*.md") if path.name not in UNTYPED)]
SAMPLES = sorted((ROOT / "tests" / "typing").glob("*.py"))
PYRIGHT_OPTIONS = {
    "typeCheckingMode": "standard",
    "pythonVersion": "3.11",
    "extraPaths": [str(ROOT / "src")],
    "reportUnusedExpression": False,  # sessions show values
}


def pyright(name: str, folder: Path) -> list[str]:
    """The command that runs pyright or basedpyright on a folder."""
    (folder / "pyrightconfig.json").write_text(json.dumps(PYRIGHT_OPTIONS))
    return [name, "--project", str(folder), "--pythonpath", sys.executable, "--level", "error"]


def mypy(name: str, folder: Path) -> list[str]:
    """The command that runs mypy."""
    (folder / "mypy.ini").write_text(f"[mypy]\nmypy_path = {ROOT / 'src'}\nfollow_imports = silent\n")
    where = ["--config-file", str(folder / "mypy.ini"), "--cache-dir", str(ROOT / ".mypy_cache")]
    return [name, "--strict", "--python-version", "3.11", "--python-executable", sys.executable, *where, str(folder)]


def ty(name: str, folder: Path) -> list[str]:
    """The command that runs ty; an ignore that is not needed is an error."""
    where = ["--project", str(folder), "--python", sys.prefix, "--extra-search-path", str(ROOT / "src")]
    return [name, "check", "--error", "unused-ignore-comment", "--python-version", "3.11", *where, str(folder)]


CHECKERS: dict[str, Callable[[str, Path], list[str]]] = {
    "pyright": pyright,
    "basedpyright": pyright,
    "mypy": mypy,
    "ty": ty,
}


def executable(checker: str) -> Path | None:
    """The program of a checker, None if it is not installed beside this Python."""
    found = shutil.which(checker, path=str(Path(sys.executable).parent))
    return None if found is None else Path(found)


def errors(checker: str, files: dict[str, str]) -> str:
    """Returns what a checker finds in modules, by their names; nothing if they are free of errors."""
    program = executable(checker)
    assert program is not None, f"{checker} is not installed"
    with TemporaryDirectory() as folder:
        for name, text in files.items():
            (Path(folder) / f"{name}.py").write_text(text)
        command = CHECKERS[checker](str(program), Path(folder))
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr) if done.returncode else ""


def modules() -> dict[str, str]:
    """The samples, and a module for each page."""
    samples = {path.stem: path.read_text() for path in SAMPLES}
    return samples | {f"page_{page.stem.lower()}": module_of(page.read_text()) for page in PAGES}


def module_of(markdown: str) -> str:
    """The Python of a page as one module."""
    return "\n".join(part for block in BLOCK.finditer(markdown) for part in _parts(block[1]))


def _parts(block: str) -> Iterator[str]:
    if not block.startswith(">>>"):
        yield block
        return
    for example in doctest.DocTestParser().get_examples(block):
        if example.exc_msg is None:
            yield example.source
        else:  # what follows an error that the page shows is reached
            yield "try:\n" + indent(example.source, "    ") + "except Exception:\n    pass\n"


def main() -> int:
    """Runs all that are installed; returns the exit code."""
    installed = [checker for checker in CHECKERS if executable(checker) is not None]
    found = {checker: errors(checker, modules()) for checker in installed}
    print("".join(found.values()), end="")
    print("types:", ", ".join(f"{checker} {'has errors' if text else 'ok'}" for checker, text in found.items()))
    return 1 if any(found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
