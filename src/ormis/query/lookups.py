"""The names that may follow a field in a query: comparisons (`gt`) and parts of dates and times (`year`)."""

from dataclasses import dataclass
from typing import Literal

Arity = Literal["one", "many", "two", "flag", "pattern"]


@dataclass(frozen=True, slots=True)
class Lookup:
    """One comparison: what value it takes, and whether the server can evaluate it on stored text."""

    name: str
    takes: Arity
    server: bool
    texts_only: bool = False


LOOKUPS = {
    lookup.name: lookup
    for lookup in (
        Lookup("exact", "one", True),
        Lookup("in", "many", True),
        Lookup("gt", "one", True),
        Lookup("gte", "one", True),
        Lookup("lt", "one", True),
        Lookup("lte", "one", True),
        Lookup("range", "two", True),
        Lookup("isnull", "flag", True),
        Lookup("contains", "pattern", True, texts_only=True),
        Lookup("startswith", "pattern", True, texts_only=True),
        Lookup("endswith", "pattern", True, texts_only=True),
        Lookup("iexact", "pattern", False, texts_only=True),
        Lookup("icontains", "pattern", False, texts_only=True),
        Lookup("istartswith", "pattern", False, texts_only=True),
        Lookup("iendswith", "pattern", False, texts_only=True),
        Lookup("regex", "pattern", False, texts_only=True),
        Lookup("iregex", "pattern", False, texts_only=True),
    )
}

DATE_PARTS = ("year", "month", "day", "week_day", "iso_week_day", "week", "iso_year", "quarter")
TIME_PARTS = ("hour", "minute", "second")
PARTS = {
    "date": DATE_PARTS,
    "datetime": (*DATE_PARTS, *TIME_PARTS, "date", "time"),
    "time": TIME_PARTS,
}
"""Kind of a field -> the parts that a query can name."""
