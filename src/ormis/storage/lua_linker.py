"""Links a Lua script with the libraries that it requires.

A library is a file in a folder of `lua/`: `require('write.apply')` is what `lua/write/apply.lua` returns at its end. It
is made once in a call. A script makes a library at the line that requires it outside of functions, itself or through
other libraries; one that is required within functions only is made at its first use. All that a line needs stands
before it: a script that returns earlier does not pay for that.

Scripts run in some microseconds, and each makes its functions and tables anew. So the exports of a library are locals
of the script, not fields of a table; locals of a file that only stand for an export are replaced by it, since each
would cost as much as a function; and all libraries that are made at their first use are in one function, `later`.
"""

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

REQUIRE = re.compile(r"\brequire\('([\w.]+)'\)(?:\.(\w+))?")
FOLDER = files("ormis") / "lua"
_STRING = r"'(?:[^'\\\n]|\\.)*'"
_COMMENT = re.compile(rf"({_STRING})|\s*--[^\n]*")
_INDENTED = re.compile(r"^ .*\n", re.MULTILINE)
_STAGE = re.compile(r"^(?=\S.*\brequire\()", re.MULTILINE)
_IMPORT = re.compile(rf"^local (\w+) = {REQUIRE.pattern}\n", re.MULTILINE)
_NAMES = re.compile(r"^local ([\w, ]+) = (\w+\.\w+(?:, \w+\.\w+)*)\n", re.MULTILINE)
_FIELD = re.compile(rf"(\w+) = ({_STRING}|[\w.]+)")
_LATER = """\
local made_{stage}
local function later_{stage}(number)
  made_{stage} = made_{stage} or {{}}
  if made_{stage}[number] then return made_{stage}[number] end
  if {cases} end
  return made_{stage}[number]
end
"""


class _Library:
    """A library in a script: its text, and how others name its exports."""

    def __init__(self, name: str, text: str, later: str) -> None:
        self.name = name.replace(".", "_")
        self.body, returned, self.value = text.strip().rpartition("\nreturn ")
        if not returned:
            raise ValueError(f"the Lua file {name} returns nothing")
        self.later = later
        """The code that makes it at its first use; empty if the script makes it anyway."""
        self.fields = {} if later or self.value[0] != "{" else dict(_FIELD.findall(self.value))

    def export(self, name: str) -> str:
        """The expression for an export, or for the library itself without a name; a constant text is written out."""
        if name in self.fields:
            return self.fields[name] if self.fields[name].startswith("'") else f"{self.name}_{name}"
        return f"{self.later or self.name}.{name}" if name else self.later or self.name

    @property
    def whole(self) -> str:
        """The expression for the library itself, as a function that requires it names it."""
        if not self.fields:
            return self.export("")
        return f"{{{', '.join(f'{name} = {self.export(name)}' for name in self.fields)}}}"

    @property
    def values(self) -> dict[str, str]:
        """The locals of the script that its text sets."""
        exported = {self.export(name): value for name, value in self.fields.items() if not value.startswith("'")}
        return exported or {self.name: self.value}

    def made(self) -> str:
        """Its text, which sets its locals."""
        return f"do\n{self.body}\n{', '.join(self.values)} = {', '.join(self.values.values())}\nend\n"


def linked(text: str, name: str) -> str:
    """The text of a script with its libraries, without comments and indentation.

    Raises ValueError if a library is missing, returns nothing, or requires itself through others, naming the files.
    """
    placed: dict[str, _Library] = {}
    pieces: list[str] = []
    for number, stage in enumerate(_STAGE.split(_COMMENT.sub(r"\1", text))):
        pieces += _stage(number, stage, name, placed)
        pieces.append(_resolved(stage, placed, imports=text))
    return re.sub(r"\n\s+", "\n", "".join(pieces))


def _stage(number: int, text: str, name: str, placed: dict[str, _Library]) -> Iterator[str]:
    """The libraries that a part of a script requires and that are not placed yet."""
    at_once = _required_at_once(text, name)
    used_now = [library for key, library in placed.items() if key in at_once and library.later]
    made = "".join(f"{library.name} = {library.later}\n" for library in used_now)
    for library in used_now:
        library.later = ""
    locals_ = [library.name for library in used_now]
    cases: list[str] = []
    for library, source in _in_order(text, (name,), set(placed)):
        later = "" if library in at_once else f"later_{number}({len(cases) + 1})"
        placed[library] = own = _Library(library, _resolved(source, placed), later)
        if later:
            cases.append(f"number == {len(cases) + 1} then\n{own.body}\nmade_{number}[number] = {own.value}\n")
        else:
            locals_ += own.values
            made += own.made()
    if locals_:
        yield f"local {', '.join(locals_)}\n"
    if cases:
        yield _LATER.format(stage=number, cases="elseif ".join(cases))
    yield made


def _required_at_once(text: str, name: str) -> set[str]:
    """The libraries that lines outside of functions require, directly and through each other."""
    found: set[str] = set()
    waiting = [(text, name)]
    while waiting:
        source, requiring = waiting.pop()
        for library, _ in REQUIRE.findall(_INDENTED.sub("", source)):
            if library not in found:
                found.add(library)
                waiting.append((_read(library, requiring), library))
    return found


def _in_order(text: str, path: tuple[str, ...], placed: set[str]) -> Iterator[tuple[str, str]]:
    """The libraries that a text requires, and their texts, each after those that it requires."""
    for library, _ in REQUIRE.findall(text):
        if library in path:
            raise ValueError(f"Lua files require each other: {' -> '.join((*path, library))}")
        if library not in placed:
            source = _read(library, path[-1])
            yield from _in_order(source, (*path, library), placed)
            placed.add(library)
            yield library, source


def _read(library: str, requiring: str) -> str:
    source = _without_comments(FOLDER / f"{library.replace('.', '/')}.lua")
    if source is None:
        raise ValueError(f"no Lua file {library}, required by {requiring}")
    return source


@cache
def _without_comments(path: Any) -> str | None:
    """The text of a file, None if there is none. Kept, since a script and its libraries ask for it several times."""
    return _COMMENT.sub(r"\1", path.read_text()) if path.is_file() else None


def _resolved(text: str, placed: dict[str, _Library], imports: str = "") -> str:
    """The text with the exports themselves in the place of `require` and of the locals that stand for them."""
    names: dict[str, str] = {}
    for local, name, field in _IMPORT.findall(imports or text):
        library = placed.get(name)
        if library and not library.later:
            names[local] = library.export(field)
            names |= {f"{local}.{each}": library.export(each) for each in library.fields if not field}
    for match in _NAMES.finditer(imports or text):
        pairs = zip(match[1].split(", "), match[2].split(", "), strict=True)
        names |= {local: names[value] for local, value in pairs if value in names}
    text = _NAMES.sub(lambda match: "" if match[1].split(", ")[0] in names else match[0], text)
    text = _IMPORT.sub(lambda match: "" if match[1] in names else match[0], text)
    if names:
        words = "|".join(dict.fromkeys(name.partition(".")[0] for name in names))
        text = re.sub(rf"{_STRING}|(?<![\w.:])({words})\b(\.\w+)?(?: =(?!=))?", lambda match: _word(match, names), text)
    return REQUIRE.sub(lambda match: _required(placed[match[1]], match[2]), text)


def _required(library: _Library, export: str | None) -> str:
    return library.export(export) if export else library.whole


def _word(match: re.Match[str], names: dict[str, str]) -> str:
    """A word of the text, or a word and its field, by these names; the fields of a table keep theirs."""
    whole, word, field = match[0], match[1], match[2] or ""
    if word and word + field in names and (field or whole == word):
        return names[word + field] + whole[len(word + field) :]
    return names[word] + whole[len(word) :] if field and word in names else whole
