"""The Lua scripts: found, put together with what they include, hashed.

A script is a file of `lua/`. A line `--@include name` stands for the text of `lua/lib/name.lua`, which may include
others. At the beginning of a line it is placed once, before what includes it; indented, it is placed right there:
inside a function, so that what is rarely needed costs nothing to the calls that do not need it.
"""

import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Any, TypeVar

from ..calls import Argument, ScriptCall

C = TypeVar("C", bound=ScriptCall)

_INCLUDE = re.compile(r"^([ ]*)--@include (\w+)\n", re.MULTILINE)
_LUA = files("ormis") / "lua"


@dataclass(frozen=True, slots=True)
class Script:
    """A script ready to be sent."""

    name: str
    source: str
    sha: str
    once: bool

    def __call__(self, keys: tuple[str, ...], args: tuple[Argument, ...], kind: type[C] = ScriptCall, **more: Any) -> C:
        """The call of this script with these keys and arguments. One that includes `once` is applied once."""
        return kind(self.name, self.sha, self.source, keys, args, self.once, **more)


@cache
def script(name: str) -> Script:
    """The script `lua/name.lua`.

    Raises ValueError where an include is missing or goes in a circle, naming the files.
    """
    placed: set[str] = set()
    source = _assembled((_LUA / f"{name}.lua").read_text(), (name,), placed)
    sha = sha1(source.encode()).hexdigest()  # noqa: S324 - the name that EVALSHA calls it by
    return Script(name, source, sha, once="once" in placed)


def library(name: str) -> str:
    """The text of `lua/lib/name.lua` with all that it includes, for tests of the library itself."""
    return _assembled(_read(name, ()), (name,), set())


def _assembled(text: str, path: tuple[str, ...], placed: set[str]) -> str:
    before: list[str] = []

    def include(match: re.Match[str]) -> str:
        indent, name = match.groups()
        if name in path:
            raise ValueError(f"Lua files include each other: {' -> '.join((*path, name))}")
        if name in placed:
            return ""
        if indent:
            return _assembled(_read(name, path), (*path, name), set(placed))
        before.append(_assembled(_read(name, path), (*path, name), placed))
        placed.add(name)
        return ""

    rest = _INCLUDE.sub(include, text)
    return "".join([*before, rest])


def _read(name: str, path: tuple[str, ...]) -> str:
    source = _LUA / "lib" / f"{name}.lua"
    if not source.is_file():
        raise ValueError(f"no Lua file lib/{name}.lua, included by {path[-1] if path else 'nobody'}")
    return source.read_text()
