"""The Lua scripts: assembled with the libraries that they require, hashed.

A script is a file of `lua/`, a library one of its folders: `require('write.apply')` is what `lua/write/apply.lua`
returns, at its end. A library is made when it is first required in a call, and once.

In the text that is sent each library is a function, placed before the line at the beginning of which the script first
needs it, whether by itself or through other libraries. A script that returns before that line does not pay for them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Any, TypeVar

from ..calls import Argument, ScriptCall

C = TypeVar("C", bound=ScriptCall)

REQUIRE = re.compile(r"\brequire\('([\w.]+)'\)")
_LUA = files("ormis") / "lua"
_COMMENT = re.compile(r"^ *--.*\n", re.MULTILINE)
_MAKER = """\
local {name}
local function make_{name}()
{body}{name} = {exports}return {name}
end
"""


@dataclass(frozen=True, slots=True)
class Script:
    """A script ready to be sent."""

    name: str
    source: str
    sha: str
    once: bool

    def __call__(self, keys: tuple[str, ...], args: tuple[Argument, ...], kind: type[C] = ScriptCall, **more: Any) -> C:
        """The call of this script with these keys and arguments. One that requires `idempotency` is applied once."""
        return kind(self.name, self.sha, self.source, keys, args, self.once, **more)


@cache
def script(name: str) -> Script:
    """The script `lua/name.lua`.

    Raises ValueError if a library is missing, returns nothing, or requires itself through others, naming the files.
    """
    text = (_LUA / f"{name}.lua").read_text()
    source = assemble(text, name)
    sha = sha1(source.encode()).hexdigest()  # noqa: S324 - the name that EVALSHA calls it by
    return Script(name, source, sha, once="server.idempotency" in REQUIRE.findall(text))


def assemble(text: str, name: str) -> str:
    """The text of a script with its libraries in it, without comments."""
    placed: set[str] = set()
    parts = re.split(r"^(?=\S.*\brequire\()", _COMMENT.sub("", text), flags=re.MULTILINE)
    return "".join(piece for part in parts for piece in (*_libraries(part, (name,), placed), _linked(part)))


def _libraries(text: str, path: tuple[str, ...], placed: set[str]) -> Iterator[str]:
    """The libraries that the text requires and that are not placed yet, each after those that it requires."""
    for library in REQUIRE.findall(text):
        if library in path:
            raise ValueError(f"Lua files require each other: {' -> '.join((*path, library))}")
        if library in placed:
            continue
        source = _read(library, path[-1])
        yield from _libraries(source, (*path, library), placed)
        placed.add(library)
        body, returned, exports = _linked(source).rpartition("\nreturn ")
        if not returned:
            raise ValueError(f"the Lua file {library} returns nothing")
        yield _MAKER.format(name=_local(library), body=f"{body}\n", exports=exports)


def _read(library: str, requiring: str) -> str:
    source = _LUA / f"{library.replace('.', '/')}.lua"
    if not source.is_file():
        raise ValueError(f"no Lua file {library}, required by {requiring}")
    return _COMMENT.sub("", source.read_text())


def _linked(text: str) -> str:
    """The text, with the library itself for each `require`."""
    return REQUIRE.sub(lambda match: f"({_local(match[1])} or make_{_local(match[1])}())", text)


def _local(library: str) -> str:
    return library.replace(".", "_")
