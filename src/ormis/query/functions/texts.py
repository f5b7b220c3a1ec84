"""Functions of texts. A text is counted by its code points, from 1 where a place in it is named, as in Django."""

import hashlib
from collections.abc import Sequence
from enum import Enum
from typing import Any, ClassVar

from ...errors import FieldError, shown
from ..expressions import Value
from ..value_types import type_of_value
from .base import Function

_NOTHING, _SPACE = Value(""), Value(" ")


def text_of(value: Any) -> str:
    """A value as the text that is stored of it; of an enum, that of its value. Raises ValueError for others."""
    if isinstance(value, Enum) and not isinstance(value, str):
        value = value.value
    if isinstance(value, str):
        return str.__str__(value)
    known = type_of_value(value)
    if known is None:
        raise ValueError(f"{shown(value)} has no text")
    text = known.codec.encode(value)
    return text if isinstance(text, str) else text.decode()


def _positive(function: str, name: str, value: Any, least: int) -> Any:
    """An argument that is a length or a place. Raises FieldError for a number below the least."""
    if isinstance(value, int) and value < least:
        raise FieldError(f"{function}({name}={value}): give a number of {least} or more")
    return value


class _OfTexts(Function):
    """A function whose result is a text."""

    output = str
    takes = (str,)


class _OfOneText(_OfTexts):
    least = most = 1

    def __init__(self, expression: Any) -> None:
        super().__init__(expression)


class Lower(_OfOneText):
    """The text in lower case, as `str.lower`: `Lower("name")`."""

    def evaluate(self, value: Any) -> str:
        """The text in lower case."""
        return text_of(value).lower()


class Upper(_OfOneText):
    """The text in upper case, as `str.upper`."""

    def evaluate(self, value: Any) -> str:
        """The text in upper case."""
        return text_of(value).upper()


class Trim(_OfOneText):
    """The text without spaces at both ends; other white space stays, as in SQL."""

    def evaluate(self, value: Any) -> str:
        """The text without the spaces."""
        return text_of(value).strip(" ")


class LTrim(_OfOneText):
    """The text without spaces at its beginning."""

    def evaluate(self, value: Any) -> str:
        """The text without the spaces."""
        return text_of(value).lstrip(" ")


class RTrim(_OfOneText):
    """The text without spaces at its end."""

    def evaluate(self, value: Any) -> str:
        """The text without the spaces."""
        return text_of(value).rstrip(" ")


class Reverse(_OfOneText):
    """The text backwards, code point by code point."""

    def evaluate(self, value: Any) -> str:
        """The text backwards."""
        return text_of(value)[::-1]


class Length(_OfOneText):
    """The number of code points of a text, of bytes that of the bytes."""

    output = int
    takes = ((str, bytes),)

    def evaluate(self, value: Any) -> int:
        """The number."""
        return len(value) if isinstance(value, bytes) else len(text_of(value))


class Ord(_OfOneText):
    """The number of the first code point; 0 of an empty text."""

    output = int

    def evaluate(self, value: Any) -> int:
        """The number."""
        return ord(text_of(value)[:1] or "\0")


class Chr(Function):
    """The text of one code point, by its number; absent if there is none of that number."""

    output = str
    takes = (int,)
    least = most = 1

    def __init__(self, expression: Any) -> None:
        super().__init__(expression)

    def evaluate(self, value: int) -> str | None:
        """The text."""
        return chr(value) if 0 <= value < 0xD800 or 0xDFFF < value <= 0x10FFFF else None


class Left(_OfTexts):
    """The first `length` code points: `Left("name", 3)`. A length below 0 is 0."""

    takes = (str, int)

    def __init__(self, expression: Any, length: Any) -> None:
        super().__init__(expression, _positive(type(self).__name__, "length", length, 1))

    def evaluate(self, value: Any, length: int) -> str:
        """The beginning."""
        return text_of(value)[: max(length, 0)]


class Right(Left):
    """The last `length` code points: `Right("name", 3)`. A length below 0 is 0."""

    def evaluate(self, value: Any, length: int) -> str:
        """The end."""
        text = text_of(value)
        return text[max(len(text) - max(length, 0), 0) :]


class Substr(_OfTexts):
    """The part of a text from place `pos`, counted from 1, of `length` code points or up to the end.

    `Substr("name", 2, 3)` of "Django" is "jan". Places before the first are empty, as in SQL.
    """

    takes = (str, int)

    def __init__(self, expression: Any, pos: Any, length: Any = None) -> None:
        more = () if length is None else (_positive("Substr", "length", length, 0),)
        super().__init__(expression, _positive("Substr", "pos", pos, 1), *more)

    def evaluate(self, value: Any, pos: int, length: int | None = None) -> str:
        """The part."""
        stop = None if length is None else max(pos - 1 + max(length, 0), 0)
        return text_of(value)[max(pos - 1, 0) : stop]


class Replace(_OfTexts):
    """The text with every `text` in it replaced: `Replace("name", Value("a"), Value("b"))`; by nothing without a third.

    An empty `text` replaces nothing.
    """

    def __init__(self, expression: Any, text: Any, replacement: Any = _NOTHING) -> None:
        super().__init__(expression, text, replacement)

    def evaluate(self, value: Any, text: Any, replacement: Any) -> str:
        """The text with the replacements."""
        old = text_of(text)
        return text_of(value).replace(old, text_of(replacement)) if old else text_of(value)


class StrIndex(_OfTexts):
    """The place of the first `substring` in a text, counted from 1; 0 if it is not in there."""

    output = int

    def __init__(self, string: Any, substring: Any) -> None:
        super().__init__(string, substring)

    def evaluate(self, value: Any, substring: Any) -> int:
        """The place."""
        return text_of(value).find(text_of(substring)) + 1


class Repeat(_OfTexts):
    """The text `number` times; a number below 0 is 0."""

    takes = (str, int)

    def __init__(self, expression: Any, number: Any) -> None:
        super().__init__(expression, _positive("Repeat", "number", number, 0))

    def evaluate(self, value: Any, number: int) -> str:
        """The repeated text."""
        return text_of(value) * number


class LPad(_OfTexts):
    """The text filled up with `fill_text` on the left to `length` code points; a longer one is cut to that length."""

    takes = (str, int, str)

    def __init__(self, expression: Any, length: Any, fill_text: Any = _SPACE) -> None:
        super().__init__(expression, _positive(type(self).__name__, "length", length, 0), fill_text)

    def evaluate(self, value: Any, length: int, fill_text: Any) -> str:
        """The text of that length."""
        text = text_of(value)
        return self._filling(text_of(fill_text), length - len(text)) + text[: max(length, 0)]

    def _filling(self, fill: str, missing: int) -> str:
        return (fill * (missing // len(fill) + 1))[:missing] if missing > 0 and fill else ""


class RPad(LPad):
    """The text filled up with `fill_text` on the right to `length` code points; a longer one is cut to that length."""

    def evaluate(self, value: Any, length: int, fill_text: Any) -> str:
        """The text of that length."""
        text = text_of(value)
        return text[: max(length, 0)] + self._filling(text_of(fill_text), length - len(text))


class Concat(_OfTexts):
    """The texts one after another: `Concat("first", Value(" "), "last")`. Absent values are empty texts.

    Values that are no texts are taken as they are stored: 7 as "7".
    """

    takes: ClassVar[Sequence[Any]] = ()
    takes_null = True
    least = 2

    def evaluate(self, *values: Any) -> str:
        """The joined text."""
        return "".join([text_of(value) for value in values if value is not None])


class _Digest(_OfOneText):
    """A digest of the UTF-8 of a text, in hexadecimal digits."""

    takes = ((str, bytes),)
    algorithm: ClassVar[str]

    def evaluate(self, value: Any) -> str:
        """The digits."""
        data = value if isinstance(value, bytes) else text_of(value).encode()
        return hashlib.new(self.algorithm, data, usedforsecurity=False).hexdigest()


class MD5(_Digest):
    """The MD5 digest of a text, in hexadecimal digits."""

    algorithm = "md5"


class SHA1(_Digest):
    """The SHA-1 digest of a text, in hexadecimal digits."""

    algorithm = "sha1"


class SHA224(_Digest):
    """The SHA-224 digest of a text, in hexadecimal digits."""

    algorithm = "sha224"


class SHA256(_Digest):
    """The SHA-256 digest of a text, in hexadecimal digits."""

    algorithm = "sha256"


class SHA384(_Digest):
    """The SHA-384 digest of a text, in hexadecimal digits."""

    algorithm = "sha384"


class SHA512(_Digest):
    """The SHA-512 digest of a text, in hexadecimal digits."""

    algorithm = "sha512"
