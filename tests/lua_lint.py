"""The rules that the Lua files keep, read as the scripts they are put together to.

    lint(Path("src/ormis/lua")) -> ["commit.lua:12: local old is never used", ...]

What a script may not do: be anything but Lua 5.1; use a name that neither it nor Redis has; assign a global; leave a
local or a parameter unused (a name that begins with `_` is meant to be); give a name that is in use already. What a
file may not do: have lines over 120 characters; begin without a comment that says what it is for; be a library that
nobody includes.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from lua_syntax import Finding, LuaSyntaxError, Names, read

MAX_LINE = 120
MAX_LOCALS = 150  # Lua allows 200 in one function, and the script itself is one
INCLUDE = re.compile(r"^( *)--@include (\w+)$")
UNUSED = re.compile(r" is never used$")
# A library that is pasted into a function may call its parameters as that function does; a function it may not hide.
HIDES = re.compile(r" hides the (?!function|global)")

Line = tuple[str, str, int]  # text, file, number in the file


class LintError(Exception):
    """A script can't be put together: "commit.lua:2: there is no lib/keys.lua"."""


def lint(root: Path) -> list[str]:
    """Every problem in the Lua files of a folder, by file and line."""
    problems: set[tuple[str, int, str]] = set()
    unused: dict[tuple[str, int, str], int] = defaultdict(int)
    containing: dict[str, int] = defaultdict(int)
    for path in sorted(root.glob("*.lua")):
        try:
            lines = list(assembled(root, path.name, (), set()))
        except LintError as error:
            name, line, message = str(error).split(":", 2)
            problems.add((name, int(line), message.strip()))
            continue
        for file in {file for _, file, _ in lines}:
            containing[file] += 1
        for file, line, message in findings(path.name, lines):
            if HIDES.search(message) and f" of {file}:" not in message:
                continue
            if UNUSED.search(message):
                unused[file, line, message] += 1
            else:
                problems.add((file, line, message))
    # What one script leaves unused of a library, another may use.
    problems |= {problem for problem, count in unused.items() if count == containing[problem[0]]}
    for path in sorted(root.rglob("*.lua")):
        name = path.relative_to(root).as_posix()
        problems |= {(name, line, message) for line, message in _text_problems(path.read_text())}
        if name not in containing and name.startswith("lib/") and not any(p[0] == name for p in problems):
            problems.add((name, 1, "no script includes it"))
    return [f"{file}:{line}: {message}" for file, line, message in sorted(problems)]


def assembled(root: Path, name: str, path: tuple[str, ...], placed: set[str]) -> Iterator[Line]:
    """The lines of a script, as ormis.scripts puts it together, each with where it comes from."""
    before: list[Line] = []
    rest: list[Line] = []
    for number, text in enumerate((root / name).read_text().splitlines(), 1):
        match = INCLUDE.match(text)
        if not match:
            rest.append((text, name, number))
            continue
        library = f"lib/{match[2]}.lua"
        if library in (*path, name):
            raise LintError(f"{name}:{number}: files include each other: {' -> '.join((*path, name, library))}")
        if not (root / library).exists():
            raise LintError(f"{name}:{number}: there is no {library}")
        if library in placed:
            continue
        if match[1]:
            rest += assembled(root, library, (*path, name), set(placed))
        else:
            before += assembled(root, library, (*path, name), placed)
            placed.add(library)
    yield from before
    yield from rest


def findings(script: str, lines: list[Line]) -> Iterator[tuple[str, int, str]]:
    """What is wrong with a whole script, by the file and line that it comes from."""
    try:
        names = read("\n".join(text for text, _, _ in lines))
    except LuaSyntaxError as error:
        yield _origin(lines, Finding(error.line, str(error).partition(": ")[2]))
        return
    for finding in (*names.findings, *_unused_at_file_level(names)):
        yield _origin(lines, finding)
    if len(names.file_level) > MAX_LOCALS:
        yield script, 1, f"{len(names.file_level)} locals at file level with all includes, {MAX_LOCALS} are allowed"


def _unused_at_file_level(names: Names) -> Iterator[Finding]:
    for local in names.file_level.values():
        if not local.used and not local.name.startswith("_"):
            yield Finding(local.line, f"{local.kind} {local.name} is never used")


def _origin(lines: list[Line], finding: Finding) -> tuple[str, int, str]:
    _, file, number = lines[min(finding.line, len(lines)) - 1]
    return file, number, re.sub(r" of line (\d+)", lambda match: _place(lines, int(match[1])), finding.message)


def _place(lines: list[Line], line: int) -> str:
    _, file, number = lines[line - 1]
    return f" of {file}:{number}"


def _text_problems(text: str) -> Iterator[tuple[int, str]]:
    head: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > MAX_LINE:
            yield number, f"the line has {len(line)} characters, {MAX_LINE} are allowed"
        if len(head) == number - 1 and (not line.strip() or line.startswith("--")):
            head.append(line)
    if not any(re.search(r"\w", line) for line in head if not INCLUDE.match(line)):
        yield 1, "no comment at the top that says what the file is for"
