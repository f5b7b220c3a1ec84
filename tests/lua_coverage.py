"""Statement coverage of the Lua files: `pytest --lua-coverage`, or `make coverage` together with Python's.

Each statement of a file is preceded by an assignment that notes its number in KEYS, a global table that every call of a
script has anew: `KEYS[-12]=1; return 7`. The numbers are negative, so neither `KEYS[1]` nor `#KEYS` changes. No local
and no line is added, so Lua's limits and line numbers stay the same. A whole script runs inside a function, after which
the numbers are written to the server's log: no key is touched and no reply changes. An error is raised again after
that; the error of a command is returned as the reply. The log of each server that the tests start is read when the
server ends.

A test process sends the instrumented scripts; processes that tests start send the original ones.
"""

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import sha1
from pathlib import Path
from typing import Any

from lua_syntax import TOKENS, Names, Parser

BELOW = 95  # files with a smaller share, in percent, are listed
WORD = 24  # statements per number of the log: these bits fit a double, and are six hexadecimal digits

_BEFORE = "local function instrumented() "
_AFTER = f"""
end
local done, result = pcall(instrumented)
local words, texts = {{}}, {{}}
for key in pairs(KEYS) do
  if key < 0 then
    local bit = -key % {WORD}
    local word = (-key - bit) / {WORD}
    words[word] = (words[word] or 0) + 2 ^ bit
  end
end
for word, bits in pairs(words) do texts[#texts + 1] = string.format('%x:%x', word, bits) end
table.sort(texts)
redis.log(redis.LOG_NOTICE, 'lua-coverage ' .. table.concat(texts, ' ') .. ' .')
if not done and type(result) == 'string' then
  if string.find(result, '^%u+ ') then return redis.error_reply(result) end
  error(result, 0)
end
return result
"""
_LOGGED = re.compile(rb"lua-coverage ([0-9a-f: ]*) \.")


@dataclass(frozen=True, slots=True)
class Statement:
    """The position of a statement."""

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Figures:
    """A file's statements, and the lines of those that were not executed."""

    statements: int
    missing: list[int]

    @property
    def percent(self) -> float:
        """The share of the executed statements."""
        return 100 * (1 - len(self.missing) / self.statements) if self.statements else 100


class _Statements(Parser):
    """Collects the positions of the counted statements: all except those that join the files together.

    These are `local name = require(...)` and the `return` at the end of a file.
    """

    def __init__(self, source: str) -> None:
        super().__init__(source, Names())
        self.source = source
        self.starts = [match.start() for match in TOKENS.finditer(source) if match["space"] is None]
        self.found: list[tuple[int, int]] = []
        self.chunk()

    def statement(self) -> None:
        first, start = self.position, self.starts[self.position]
        required = any(token.text == "require" for token in self.tokens[first + 1 : first + 4])
        exported = self.here.kind == "return" and self.source[:start].endswith("\n")
        if not (required or exported):
            self.found.append((start, self.here.line))
        super().statement()


def instrumented(source: str, first: int) -> tuple[str, list[int]]:
    """The text of a file that counts its statements, numbered from `first`, and the line of each statement."""
    places = sorted(_Statements(source).found)
    parts, at = [], 0
    for number, (start, _) in enumerate(places, first):
        parts += (source[at:start], f"KEYS[-{number}]=1; ")
        at = start
    return "".join([*parts, source[at:]]), [line for _, line in places]


def delivering(source: str) -> str:
    """The script with code that logs the executed statements; the same text if it counts no statement."""
    return source if source.startswith(_BEFORE) or "KEYS[-" not in source else _BEFORE + source + _AFTER


def read_log(log: Path) -> set[int]:
    """The numbers of all executed statements in a server's log."""
    with log.open("rb") as lines:
        lists = {match[1] for line in lines if (match := _LOGGED.search(line))}
    words: dict[bytes, int] = {}
    for word, bits in (item.split(b":") for item in {item for one in lists for item in one.split()}):
        words[word] = words.get(word, 0) | int(bits, 16)
    return {int(word, 16) * WORD + bit for word, bits in words.items() for bit in range(WORD) if bits >> bit & 1}


class LuaCoverage:
    """The pytest plugin: instruments the scripts of this process, collects the servers' logs, shows the figures."""

    def __init__(self) -> None:
        from ormis.storage import lua_linker, scripts

        self.hits: set[int] = set()
        self.statements: list[Statement] = [Statement("", 0)]
        self.folder = Path(tempfile.mkdtemp(prefix="ormis-lua-"))
        package: Any = lua_linker.FOLDER
        for path in sorted(Path(package).rglob("*.lua")):
            name = path.relative_to(package)
            text, lines = instrumented(path.read_text(), len(self.statements))
            self.statements += [Statement(str(name), line) for line in lines]
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(text)
        self._install(lua_linker, scripts)

    def _install(self, lua_linker: Any, scripts: Any) -> None:
        """Makes the package read the instrumented files and every script log its statements."""
        import redis

        made, evaluate = scripts.Script, redis.Redis.eval

        def script(*values: Any, **more: Any) -> Any:
            plain = made(*values, **more)
            source = delivering(plain.source)
            return replace(plain, source=source, sha=sha1(source.encode()).hexdigest())

        def evaluated(self: Any, source: str, *arguments: Any) -> Any:
            return evaluate(self, delivering(source), *arguments)

        lua_linker.FOLDER, scripts.Script, redis.Redis.eval = self.folder, script, evaluated

    def take_log(self, log: Path) -> None:
        """Reads the log of a server that has ended."""
        self.hits |= read_log(log)

    def pytest_sessionfinish(self, session: Any) -> None:
        """Hands the numbers collected by a worker of pytest-xdist to the controller."""
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput["lua_hits"] = sorted(self.hits)
        shutil.rmtree(self.folder, ignore_errors=True)

    def pytest_testnodedown(self, node: Any) -> None:
        """Adds the numbers of a worker; a crashed worker has none."""
        self.hits |= {*getattr(node, "workeroutput", {}).get("lua_hits", ())}

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Shows the figures at the end of the run."""
        terminalreporter.section("Lua coverage")
        for line in table(self.figures()):
            terminalreporter.write_line(line)

    def figures(self) -> dict[str, Figures]:
        """The figures of each file."""
        lines: dict[str, list[tuple[int, bool]]] = {}
        for number, statement in enumerate(self.statements[1:], 1):
            lines.setdefault(statement.file, []).append((statement.line, number in self.hits))
        return {file: Figures(len(all_), [line for line, hit in all_ if not hit]) for file, all_ in lines.items()}


def table(files: dict[str, Figures]) -> list[str]:
    """The total, and a row with the missed lines for each file below BELOW."""
    total = Figures(sum(f.statements for f in files.values()), [line for f in files.values() for line in f.missing])
    width = max([5, *map(len, files)])
    rows = [(name, f) for name, f in files.items() if f.percent < BELOW]
    return [
        f"{'file':{width}}  statements  missing  executed",
        *(_row(width, name, f, ranges(f.missing)) for name, f in sorted(rows, key=lambda row: row[1].percent)),
        _row(width, "total", total, f"{len(files)} files, those below {BELOW} % above"),
    ]


def _row(width: int, name: str, figures: Figures, note: str) -> str:
    missing = len(figures.missing)
    return f"{name:{width}}  {figures.statements:10}  {missing:7}  {figures.percent:6.1f} %  {note}"


def ranges(lines: Iterable[int]) -> str:
    """Line numbers in short form: "3-5, 9"."""
    found: list[list[int]] = []
    for line in sorted({*lines}):
        if found and line == found[-1][1] + 1:
            found[-1][1] = line
        else:
            found.append([line, line])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in found)


def python_figures(report: Any) -> dict[str, Figures]:
    """The figures in a report of `coverage json`."""
    return {
        name.removeprefix("src/"): Figures(file["summary"]["num_statements"], file["missing_lines"])
        for name, file in report["files"].items()
    }


if __name__ == "__main__":
    print("\n".join(["Python coverage", *table(python_figures(json.load(sys.stdin)))]))
