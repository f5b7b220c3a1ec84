"""Requests packed once for many values.

Packing a request, and finding out what goes into it, takes longer than most of what a client does for a query. So for
a query that is asked again with other values, or for another slice, the request is kept as it was packed, with blanks
where these were.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

_pack: Callable[[Any], bytes] = msgspec.msgpack.Encoder().encode
_MARK = re.compile(rb"[\xa0-\xbf]\0(-?\d+)\0")


@dataclass(frozen=True, slots=True)
class Blanks:
    """A packed request: its first piece, then which value comes and what follows it, again and again."""

    first: bytes
    rest: tuple[tuple[int, bytes], ...]

    def filled(self, values: Sequence[Any]) -> bytes:
        """The request with these values in the places of the marks with their numbers."""
        packed = [_pack(value) for value in values]
        parts = [self.first]
        for number, piece in self.rest:
            parts += (packed[number], piece)
        return b"".join(parts)


def mark(number: int) -> str:
    """What stands for the value with this number, counted as in a list: no name of a field or a model has a NUL."""
    return f"\0{number}\0"


def blanks(packed: bytes) -> Blanks:
    """The packed request with a blank in the place of each mark."""
    first, *rest = _MARK.split(packed)
    return Blanks(first, tuple((int(number), piece) for number, piece in zip(rest[::2], rest[1::2], strict=True)))
