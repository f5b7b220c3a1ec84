"""Cells of objects that may be in another partition of a cluster than the object of the row.

A call reaches the objects of one partition. A relation whose two sides `Meta.partition_by` does not put into one is
apart: what is asked of the object at its other end is read by further queries, by the keys of all rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from ..limits import Limits
from ..query.value_types import ValueType, value_type
from ..schema import registry
from .columns import ColumnRef, Derived, LinkStep, RelatedColumn, RelatedCount, RelationStep, Step, cell


@dataclass(frozen=True, slots=True, eq=False)
class ApartCell(Derived):
    """A cell of the object at the end of a step to one that is apart.

    source: the cell of the row with the key that leads there. cell: that of the object, as the model there sees it.
    absent: the value where the step leads nowhere.
    """

    hop: RelationStep = field(kw_only=True)
    source: ColumnRef = field(kw_only=True)
    cell: ColumnRef = field(kw_only=True)
    absent: Any = field(kw_only=True, default=None)

    @property
    def explained(self) -> str:
        """One query for each batch of keys."""
        return f"{self.name} by queries of {self.hop.schema.name}, by the keys of the rows"


@dataclass(frozen=True, slots=True, eq=False)
class ApartCount(Derived):
    """The number of objects at the end of a step to many that is apart."""

    hop: Step = field(kw_only=True)
    source: ColumnRef = field(kw_only=True)

    @property
    def explained(self) -> str:
        """One query for each batch of keys."""
        return f"the number of {self.hop.name} by queries of {self.hop.schema.name}, by the keys of the rows"


def elsewhere(limits: Limits) -> Callable[[RelatedColumn | RelatedCount], Derived | None] | None:
    """The function that says which cell takes the place of one that no call reaches, None of one that is reached; None
    where a call reaches all objects.
    """
    return _apart if limits.partitions > 1 else None


def is_elsewhere(found: Any, limits: Limits) -> bool:
    """Whether no call reaches the cell."""
    return limits.partitions > 1 and isinstance(found, RelatedColumn | RelatedCount) and _apart(found) is not None


def _apart(found: RelatedColumn | RelatedCount) -> Derived | None:
    return _apart_cell(found, registry.changes())


@lru_cache(maxsize=1024)
def _apart_cell(found: RelatedColumn | RelatedCount, _changes: int) -> Derived | None:
    at = next((i for i, hop in enumerate(found.hops) if hop.apart), None)
    if at is None:
        return None
    hop, rest = found.hops[at], found.hops[at + 1 :]
    source = cell(_to_one(found.hops[:at]), hop.source)
    if isinstance(hop, LinkStep):  # the last one
        return ApartCount(found.name, (source,), value_type(int), hop=hop, source=source)
    if isinstance(found, RelatedColumn):
        kind = ValueType(found.column.codec, found.column.convert)
        inner = cell(rest, found.column)
        return ApartCell(found.name, (source,), kind, hop=hop, source=source, cell=inner)
    if rest:
        inner = RelatedCount(rest)
        return ApartCell(found.name, (source,), value_type(int), hop=hop, source=source, cell=inner, absent=0)
    return ApartCount(found.name, (source,), value_type(int), hop=hop, source=source)


def _to_one(hops: Sequence[Step]) -> tuple[RelationStep, ...]:
    """These steps, of which none leads to many."""
    return tuple([hop for hop in hops if isinstance(hop, RelationStep)])


def together(cells: Sequence[Derived]) -> list[list[ApartCell]]:
    """The cells that the same objects have, which are read at once."""
    found: dict[tuple[str, RelationStep], list[ApartCell]] = {}
    for one in cells:
        if isinstance(one, ApartCell):
            found.setdefault((one.source.name, one.hop), []).append(one)
    return [*found.values()]
