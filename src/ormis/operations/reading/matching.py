"""Whether objects meet conditions about others, as cells of rows: one query for some hundred objects."""

from collections.abc import Sequence
from typing import Any

from ...calls import Operation, Origin
from ...planning.derived import Matches
from ...query.q import Q
from ...query.state import Query
from .pages import decoded
from .select import fetch
from .subqueries import planned


def fill_matches(derived: Matches, rows: Sequence[dict[str, Any]], origin: Origin) -> Operation[None]:
    """Sets the cell of the rows, which have the primary keys of the objects."""
    schema, pk = derived.schema, derived.schema.pk
    keys, found, size = list(dict.fromkeys(row[pk.name] for row in rows)), set[Any](), origin.limits.values
    for first in range(0, len(keys), size):
        among = Q(pk__in=keys[first : first + size])
        plan = yield from planned(Query(schema, where=(among, derived.q), order=(), fields=("pk",)), origin)
        found |= {decoded(schema, plan.reads, row)[pk.name] for row in (yield from fetch(plan))}
    for row in rows:
        row[derived.name] = row[pk.name] in found
