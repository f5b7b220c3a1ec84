"""Commands as the bytes that are sent, by hiredis.

hiredis formats numbers itself, and fails in C where a signal's exception comes meanwhile: it is given text only.
"""

from collections.abc import Iterable
from typing import Any, cast

import hiredis
import redis.connection

from ..calls import PackedHashRead

_Serializer: Any = redis.connection.HiredisRespSerializer
_pack: Any = cast(Any, hiredis).pack_command
_TEXT = frozenset((str, bytes))
_NUMBERS = frozenset((int, float))


def pack(arguments: Iterable[object]) -> bytes:
    """The command, as redis-py packs it, without a look at what each argument might be, which takes it 4 us."""
    if isinstance(arguments, PackedHashRead):
        return arguments.packed
    arguments = tuple(arguments)
    if not _TEXT.issuperset(map(type, arguments)):
        arguments = tuple(map(_as_text, arguments))
    return _pack(arguments)


def _as_text(argument: object) -> object:
    return repr(argument) if type(argument) in _NUMBERS else argument


class Packer(_Serializer):  # pyright: ignore[reportUntypedBaseClass]
    """Packs the commands that redis-py sends over a connection, those of its handshake for instance."""

    def pack(self, *args: object) -> Any:
        """The command in one piece."""
        return _Serializer.pack(self, *map(_as_text, args))


PACKER = Packer()


def use_packer(connection: Any) -> None:
    """Replaces redis-py's packer of the connection, if that is the one by hiredis."""
    if getattr(connection, "_command_packer", None).__class__ is _Serializer:
        connection._command_packer = PACKER  # pyright: ignore[reportPrivateUsage]
