"""The Lua scripts of `lua/`: linked with their libraries, hashed."""

from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from typing import Any, TypeVar

from ..calls import Argument, ScriptCall
from . import lua_linker
from .keys import MODELS

_READING = frozenset({"query", "link_members", "read_keys", "read_stored"})
"""The scripts that never write."""

C = TypeVar("C", bound=ScriptCall)


@dataclass(frozen=True, slots=True)
class Script:
    """A script ready to be sent."""

    name: str
    source: str
    sha: str
    once: bool
    reads: bool

    def __call__(self, args: tuple[Argument, ...], kind: type[C] = ScriptCall, **more: Any) -> C:
        """The call of this script with these arguments; its key is `ormis/models`.

        One that requires `server.idempotency` is applied once.
        """
        more.setdefault("reads", self.reads)
        return kind(self.name, self.sha, self.source, (MODELS,), args, self.once, **more)


@cache
def script(name: str) -> Script:
    """The script `lua/name.lua`; raises as `lua_linker.linked` does."""
    text = (lua_linker.FOLDER / f"{name}.lua").read_text()
    source = lua_linker.linked(text, name)
    sha = sha1(source.encode()).hexdigest()  # noqa: S324 - the name that EVALSHA calls it by
    return Script(name, source, sha, once="require('server.idempotency')" in text, reads=name in _READING)
