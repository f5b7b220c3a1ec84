"""Comparisons that are evaluated in Python, not on the server: case folding, regular expressions.

Text is compared by `str.casefold`, regular expressions are Python's `re.search`.
"""

import re
from collections.abc import Callable

from ..errors import FieldError


def text_test(lookup: str, value: str, place: str) -> Callable[[str], bool]:
    """The test of a text lookup. Raises FieldError for a regular expression that is none."""
    if lookup in ("regex", "iregex"):
        try:
            pattern = re.compile(value, re.IGNORECASE if lookup == "iregex" else 0)
        except re.error as error:
            raise FieldError(f"{place}={value!r} is no regular expression: {error}") from None
        return lambda own: pattern.search(own) is not None
    exact = {"contains": str.__contains__, "startswith": str.startswith, "endswith": str.endswith}.get(lookup)
    if exact is not None:
        return lambda own: exact(own, value)
    folded = value.casefold()
    if lookup == "iexact":
        return lambda own: own.casefold() == folded
    if lookup == "icontains":
        return lambda own: folded in own.casefold()
    if lookup == "istartswith":
        return lambda own: own.casefold().startswith(folded)
    return lambda own: own.casefold().endswith(folded)
