"""The rules for the Lua files.

    lint(Path("src/ormis/lua")) -> ["commit.lua:12: local old is never used", ...]

A file must be Lua 5.1 and begin with a comment that states its purpose. It must not use a name that neither it nor
Redis declares, assign a global, leave a local or a parameter unused (except names that begin with `_`), shadow a name,
have lines over 120 characters, use a pattern that may take more than linear time (lua_patterns.py), require a file that
does not exist, or use a name that the library does not export.

A library is a file in a folder. It must be required by some file, end with `return`, and export only names that are
used. Its comment names after "Out:" each export, a function with its parameters, and no other function; after "In:" it
names the parts of KEYS and ARGV that the library reads.
"""

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import lua_patterns
from lua_syntax import LuaSyntaxError, read

MAX_LINE = 120
REQUIRED = re.compile(r"(?:local (\w+) = )?require\('([\w.]+)'\)(?:\.(\w+))?")
STRING_OR_COMMENT = re.compile(r"(require\('[^']*'\))|--[^\n]*|'(?:[^'\\\n]|\\.)*'")


class LuaFile:
    """A file, and the contents of its header comment."""

    def __init__(self, root: Path, path: Path) -> None:
        self.name = path.relative_to(root).as_posix()
        self.module = self.name.removesuffix(".lua").replace("/", ".")
        self.text = path.read_text()
        self.code = STRING_OR_COMMENT.sub(lambda match: match[1] or "''", self.text)
        self.head = "".join(line[2:] + "\n" for line in re.match(r"(?:--.*\n)*", self.text)[0].splitlines())

    @property
    def is_library(self) -> bool:
        """Whether it is in a folder; scripts are in the top folder."""
        return "/" in self.name

    def part(self, name: str) -> str:
        """The text of the comment after "In:" or "Out:"."""
        match = re.search(rf"\b{name}:(.*?)(?= Out:|\n\n|\Z)", self.head, re.DOTALL)
        return match[1] if match else ""

    @cached_property
    def returned(self) -> str:
        """The expression that a library returns."""
        return self.code.rpartition("\nreturn ")[2].strip()

    @cached_property
    def exports(self) -> set[str]:
        """The fields of the returned table; none if it is a function."""
        if self.returned.startswith("{"):
            return set(re.findall(r"(\w+) =", self.returned))
        name = self.returned
        table = re.search(rf"^local {name} = \{{([^}}]*)\}}", self.code, re.MULTILINE)
        fields = re.findall(r"(\w+) =", table[1]) if table else []
        return {*fields, *re.findall(rf"^(?:function )?{name}\.(\w+)(?:\(| =)", self.code, re.MULTILINE)}

    @cached_property
    def uses(self) -> dict[str, dict[str, int]]:
        """The names that it uses of each required library, with the line; "*" for any field."""
        uses: dict[str, dict[str, int]] = {}
        for match in REQUIRED.finditer(self.code):
            alias, library, field = match.groups()
            line = self.line(match.start())
            used = uses.setdefault(library, {"": line})
            if field:
                used[field] = line
            elif alias:
                for access in re.finditer(rf"(?<![\w.']){alias}(?:\.(\w+)|\[)", self.code):
                    used.setdefault(access[1] or "*", self.line(access.start()))
        return uses

    def line(self, position: int) -> int:
        """The number of the line at a position of the code."""
        return self.code.count("\n", 0, position) + 1

    def parameters(self, name: str) -> str | None:
        """The parameters of a function of the file."""
        match = re.search(rf"\bfunction (?:\w+\.)?{name}(\([^)]*\))|\b{name} = function(\([^)]*\))", self.code)
        return match and (match[1] or match[2])


Problem = tuple[str, int, str]


def lint(root: Path) -> list[str]:
    """Every problem in the Lua files of a folder, by file and line."""
    files = {file.module: file for file in (LuaFile(root, path) for path in sorted(root.rglob("*.lua")))}
    problems = {
        (file.name, line, message)
        for file in files.values()
        for line, message in (*_of_text(file), *_of_names(file), *_of_uses(file, files))
    }
    for file in files.values():
        if file.is_library:
            problems |= {(file.name, 1, message) for message in _of_library(file, files)}
    return [f"{file}:{line}: {message}" for file, line, message in sorted(problems)]


def _of_text(file: LuaFile) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(file.text.splitlines(), 1):
        if len(line) > MAX_LINE:
            yield number, f"the line has {len(line)} characters, {MAX_LINE} are allowed"
    yield from lua_patterns.faults(file.text)
    if not re.search(r"\w", file.head):
        yield 1, "no comment at the top that says what the file is for"


def _of_names(file: LuaFile) -> Iterator[tuple[int, str]]:
    try:
        findings = read(file.text).findings
    except LuaSyntaxError as error:
        yield error.line, str(error).partition(": ")[2]
        return
    for finding in findings:
        yield finding.line, finding.message


def _of_uses(file: LuaFile, files: dict[str, LuaFile]) -> Iterator[tuple[int, str]]:
    for library, used in file.uses.items():
        if library not in files:
            yield used[""], f"there is no {library}"
            continue
        for name, line in used.items():
            known = files[library].exports
            if known and name not in {"", "*", *known} and not re.search(rf"\b{name}\b", files[library].part("Out")):
                yield line, f"{library} does not export {name}"


def _of_library(file: LuaFile, files: dict[str, LuaFile]) -> Iterator[str]:
    if "\nreturn " not in file.code:
        yield "a library ends with what it returns"
        return
    users = [other.uses[file.module] for other in files.values() if file.module in other.uses]
    if not users:
        yield "nobody requires it"
    for name in sorted(file.exports):
        if not any(name in used or "*" in used for used in users):
            yield f"exports {name}, which nobody uses"
    yield from _of_comment(file)


def _of_comment(file: LuaFile) -> Iterator[str]:
    out = file.part("Out")
    for name in sorted(file.exports):
        if not re.search(rf"\b{name}\b", out):
            yield f"Out: does not name {name}"
    for name, given in re.findall(r"\b(\w+)(\([^)]*\))", out):
        own = file.parameters(name)
        if name not in {*file.exports, file.returned}:
            yield f"Out: names {name}(), which is not exported"
        elif own and " ".join(given.replace("|nil", "").split()) != own:
            yield f"Out: {name}{given} is {name}{own}"
    for source in ("KEYS", "ARGV"):
        if (source in file.part("In")) != bool(re.search(rf"\b{source}\b", file.code)):
            yield f"In: and the code differ in whether {source} is read"
