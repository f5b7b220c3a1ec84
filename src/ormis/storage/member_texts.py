"""One text for all equal values of a kind, by which members of lists are found. lua/values/canonical.lua has it too."""

from decimal import Decimal
from typing import Any

from .codecs import Codec, Text

WITH_CANONICAL_TEXT = frozenset({"float", "decimal", "datetime"})
"""Kinds of which equal values may have several texts, and one canonical text."""


def member_text(codec: Codec, value: Any) -> Text:
    """The text by which a member of a list is found."""
    text = codec.encode(value)
    if codec.kind not in WITH_CANONICAL_TEXT:
        return text
    text = text.decode() if isinstance(text, bytes) else text
    if codec.kind == "datetime":
        return text.removesuffix("Z")
    return _of_float(float(text)) if codec.kind == "float" else _of_decimal(Decimal(text))


def _of_float(value: float) -> str:
    return "0" if value == 0 else f"{value:.17g}"


def _of_decimal(value: Decimal) -> str:
    if not value.is_finite():
        return str(value).lower().replace("infinity", "inf")
    sign, digits, exponent = value.as_tuple()
    text = "".join(map(str, digits)).lstrip("0")
    significant = text.rstrip("0")
    if not significant or not isinstance(exponent, int):
        return "0"
    return f"{'-' if sign else ''}{significant}E{exponent + len(text) - len(significant)}"
