"""Requests packed once for many values.

Packing a request, and finding out what goes into it, takes longer than most of what a client does for a query. So for
a query that is asked again with other values, the request is kept as it was packed, with blanks where the texts of the
values were.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

_pack: Callable[[Any], bytes] = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Blanks:
    """A packed request: its pieces, between which the texts go."""

    pieces: tuple[bytes, ...]

    def filled(self, texts: Sequence[str]) -> bytes:
        """The request with these texts."""
        parts: list[bytes] = []
        for piece, text in zip(self.pieces, texts, strict=False):
            parts += (piece, _pack(text))
        return b"".join((*parts, self.pieces[-1]))


def mark(number: int) -> str:
    """What stands for the text with this number, from 0: no name of a field or a model has a NUL."""
    return f"\0{number}\0"


def blanks(request: Any, count: int) -> Blanks:
    """The request with a blank for each of the marks 0 to count - 1, which stand in it in this order."""
    pieces: list[bytes] = []
    rest = _pack(request)
    for number in range(count):
        piece, rest = rest.split(_pack(mark(number)))
        pieces.append(piece)
    return Blanks((*pieces, rest))
