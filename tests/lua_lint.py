"""The rules that the Lua files keep, and how files and what they include are read together.

    lint(Path("src/ormis/lua")) -> ["commit.lua:12: local old is never used", ...]

What a file may not do: be anything but Lua 5.1; use a name that neither it, nor its includes, nor Redis has;
assign a global; leave a local, a parameter or an include unused (a name that begins with `_` is meant to be);
give a name that is in use already; have lines over 120 characters; begin without a comment that says what it
is for.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lua_syntax import Finding, LuaSyntaxError, Names, read

MAX_LINE = 120
MAX_LOCALS = 150  # Lua allows 200 in one function, and the file itself is one
INCLUDE = re.compile(r"--@include (\w+)$")


@dataclass(frozen=True, slots=True)
class LuaFile:
    """A file of the folder: `lib` files are included by others, the rest are scripts."""

    name: str  # as shown: "commit.lua", "lib/keys.lua"
    text: str
    includes: tuple[tuple[str, int], ...]  # the name of each include line, and its line number

    @property
    def is_library(self) -> bool:
        """Whether it is there to be included."""
        return self.name.startswith("lib/")


class Folder:
    """The Lua files of a folder, read together with what they include."""

    def __init__(self, root: Path) -> None:
        paths = sorted(root.rglob("*.lua"))
        self.files = {file.name: file for file in (_load(path, root) for path in paths)}
        self.names: dict[str, Names] = {}
        self.problems: list[str] = []

    def lint(self) -> list[str]:
        """Every problem, by file and line."""
        for file in self.files.values():
            self._lint_text(file)
            self._lint_includes(file)
        # While files include each other, no order of reading them makes sense.
        if not any(self._circle(file) for file in self.files.values()):
            for file in self.files.values():
                self._lint_names(file)
            for file in self.files.values():
                self._lint_whole(file)
        return sorted(self.problems, key=_by_file_and_line)

    def report(self, file: LuaFile, line: int, message: str) -> None:
        """Something is wrong."""
        self.problems.append(f"{file.name}:{line}: {message}")

    def _lint_text(self, file: LuaFile) -> None:
        for number, line in enumerate(file.text.splitlines(), start=1):
            if len(line) > MAX_LINE:
                self.report(file, number, f"the line has {len(line)} characters, {MAX_LINE} are allowed")
        if not any(re.search(r"\w", line) for line in _head(file.text) if not INCLUDE.match(line)):
            self.report(file, 1, "no comment at the top that says what the file is for")

    def _lint_includes(self, file: LuaFile) -> None:
        for name, line in file.includes:
            if line > len(_head(file.text)):
                self.report(file, line, "include lines stand at the top, before the code")
            if _library(name) not in self.files:
                self.report(file, line, f"there is no {_library(name)}")
        if circle := self._circle(file):
            self.report(file, 1, f"files include each other: {' -> '.join(circle)}")

    def _circle(self, file: LuaFile) -> list[str]:
        """The way from this file back to itself, if there is one."""
        ways = [[file.name]]
        seen: set[str] = set()
        while ways:
            way = ways.pop()
            for included in self._direct(self.files[way[-1]]):
                if included.name == file.name:
                    return [*way, file.name]
                if included.name not in seen:
                    seen.add(included.name)
                    ways.append([*way, included.name])
        return []

    def _direct(self, file: LuaFile) -> list[LuaFile]:
        return [self.files[_library(name)] for name, _ in file.includes if _library(name) in self.files]

    def _all_included(self, file: LuaFile) -> list[LuaFile]:
        """What comes before the file when it is put together, each once."""
        found: dict[str, LuaFile] = {}
        for included in self._direct(file):
            for each in (*self._all_included(included), included):
                found.setdefault(each.name, each)
        return list(found.values())

    def _names_of(self, file: LuaFile) -> Names:
        """What the file declares and uses, read after everything that it includes."""
        if file.name not in self.names:
            included = {name for each in self._all_included(file) for name in self._names_of(each).file_level}
            try:
                self.names[file.name] = read(file.text, included)
            except LuaSyntaxError as error:
                self.names[file.name] = Names()
                self.report(file, error.line, str(error).partition(": ")[2])
        return self.names[file.name]

    def _lint_names(self, file: LuaFile) -> None:
        names = self._names_of(file)
        for finding in (*names.findings, *self._unused_includes(file, names)):
            self.report(file, finding.line, finding.message)
        if file.is_library and names.returns_at:
            self.report(file, names.returns_at, "a library does not return: its text stands before other text")

    def _unused_includes(self, file: LuaFile, names: Names) -> Iterator[Finding]:
        for name, line in file.includes:
            library = self.files.get(_library(name))
            if library and not names.included_used & self._names_of(library).file_level.keys():
                yield Finding(line, f"nothing of {name} is used here")

    def _lint_whole(self, file: LuaFile) -> None:
        """What shows only when the file is seen with those that it includes, or that include it."""
        used = {name for other in self._includers(file) for name in self.names[other.name].included_used}
        for local in self.names[file.name].file_level.values():
            if not local.used and local.name not in used and not local.name.startswith("_"):
                self.report(file, local.line, f"{local.kind} {local.name} is never used")
        if not file.is_library:
            self._lint_script(file)

    def _includers(self, file: LuaFile) -> list[LuaFile]:
        return [other for other in self.files.values() if file in self._all_included(other)]

    def _lint_script(self, file: LuaFile) -> None:
        owners: dict[str, str] = {}
        for part in (*self._all_included(file), file):
            for local in self._names_of(part).file_level.values():
                if local.name in owners and part is not file:
                    self.report(
                        part,
                        local.line,
                        f"{local.name} is in {owners[local.name]} too ({file.name} has both)",
                    )
                owners[local.name] = part.name
        if len(owners) > MAX_LOCALS:
            self.report(file, 1, f"{len(owners)} locals at file level with all includes, {MAX_LOCALS} are allowed")


def lint(root: Path) -> list[str]:
    """Every problem in the Lua files of a folder."""
    return Folder(root).lint()


def _load(path: Path, root: Path) -> LuaFile:
    text = path.read_text()
    lines = enumerate(text.splitlines(), start=1)
    includes = tuple((match[1], number) for number, line in lines if (match := INCLUDE.match(line)))
    return LuaFile(path.relative_to(root).as_posix(), text, includes)


def _head(text: str) -> list[str]:
    """The lines before the code: comments, includes, empty ones."""
    found: list[str] = []
    for line in text.splitlines():
        if line.strip() and not line.startswith("--"):
            break
        found.append(line)
    return found


def _library(name: str) -> str:
    return f"lib/{name}.lua"


def _by_file_and_line(problem: str) -> tuple[str, int]:
    name, line, _ = problem.split(":", 2)
    return name, int(line)
