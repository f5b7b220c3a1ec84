"""prefetch_related() with an annotated queryset, and over a through model on a cluster: its
objects are found by their keys, as any queryset's are.
"""

# Private names of this module are private to the package.
# pyright: reportPrivateUsage=false

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ...calls import Operation, Origin
from ...planning.predicates import Compare
from ...query.state import Query
from ...schema import registry
from ...schema.schema import Link, Schema
from .evaluate import evaluate
from .links import members
from .prefetch import among, with_field
from .related_rows import CellRow, each_row
from .source import Source
from .subqueries import planned


def annotated_referring(source: Source[Any], origin: Origin, name: str, keys: Sequence[Any]) -> Operation[list[Any]]:
    """The objects that refer to these keys by the foreign key `name`, in the order of the queryset."""
    return (yield from evaluate(among(with_field(source, name), name, keys), origin))


def annotated_linked(
    source: Source[Any], schema: Schema, link: Link, keys: Sequence[Any], origin: Origin
) -> Operation[dict[Any, list[Any]]]:
    """The objects by the key that they are linked to, in the order of the queryset."""
    pairs = yield from (_through if link.through else _sets)(schema, link, keys, origin)
    targets = dict.fromkeys(other for others in pairs.values() for other in others)
    name = (registry.schema_for(link.through).reference(link.far).to_field if link.through else "") or "pk"
    records: list[Any] = yield from evaluate(among(with_field(source, name), name, [*targets]), origin)
    places = {getattr(record, name): at for at, record in enumerate(records)}
    linked = {key: sorted({places[other] for other in pairs.get(key, ()) if other in places}) for key in keys}
    return {key: [records[at] for at in found] for key, found in linked.items()}


def _sets(schema: Schema, link: Link, keys: Sequence[Any], origin: Origin) -> Operation[dict[Any, list[Any]]]:
    found: dict[Any, list[Any]] = {}
    for first in range(0, len(keys), origin.limits.link_sets):
        found |= yield from members(schema, link, keys[first : first + origin.limits.link_sets])
    return found


def _through(_schema: Schema, link: Link, keys: Sequence[Any], origin: Origin) -> Operation[dict[Any, list[Any]]]:
    through: Schema = registry.schema_for(link.through)
    near, far = through.reference(link.near).column, through.reference(link.far).column
    found: dict[Any, list[Any]] = {}

    def take(row: CellRow) -> None:
        found.setdefault(row[near.name], []).append(row[far.name])

    for first in range(0, len(keys), origin.limits.values):
        asked = Compare(near, "in", tuple(keys[first : first + origin.limits.values]))
        plan = yield from planned(Query(through, order=()), origin, asked)
        yield from each_row(replace(plan, columns=(near, far)), take)
    return found
