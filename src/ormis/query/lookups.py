"""The names that may follow a field in a query: comparisons (`gt`) and parts of dates and times (`year`)."""

from dataclasses import dataclass
from typing import Literal

Arity = Literal["one", "many", "two", "flag", "pattern", "inside"]


@dataclass(frozen=True, slots=True)
class Lookup:
    """One comparison: the values that it takes, and whether the server can evaluate it on stored text."""

    name: str
    takes: Arity
    server: bool


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
        Lookup("contains", "pattern", True),
        Lookup("startswith", "pattern", True),
        Lookup("endswith", "pattern", True),
        Lookup("iexact", "pattern", False),
        Lookup("icontains", "pattern", False),
        Lookup("istartswith", "pattern", False),
        Lookup("iendswith", "pattern", False),
        Lookup("regex", "pattern", False),
        Lookup("iregex", "pattern", False),
        Lookup("overlap", "inside", True),
        Lookup("contained_by", "inside", False),
        Lookup("has_key", "inside", True),
        Lookup("has_keys", "inside", True),
        Lookup("has_any_keys", "inside", True),
    )
}

RANGES = frozenset({"gt", "gte", "lt", "lte", "range"})
"""The lookups that need values in an order."""
