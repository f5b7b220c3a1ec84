"""Groups: what the rows of a group have in common."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..query.expressions import F
from ..schema.schema import Schema
from .binding import ArgumentBinder, followed
from .bound import Bound
from .columns import Cell, RelatedCell, Step, segments


@dataclass(frozen=True, slots=True)
class Grouping:
    """How rows are grouped.

    keys: by their names what the rows of a group have in common. reads: the cells of the rows that they are made of.
    hops, related: if they are of many related objects, the relations that lead there, and the cells of these objects
        that the keys name: rows are joined with these objects, and there is a row for each.
    """

    keys: tuple[tuple[str, Bound], ...]
    reads: tuple[Cell, ...]
    hops: tuple[Step, ...]
    related: tuple[RelatedCell, ...]


def grouping(rows: Schema, names: Sequence[str]) -> Grouping:
    """The grouping by these fields and annotations. Raises FieldError for fields of two relations to many objects."""
    hops = followed(rows, names, f"values({', '.join(map(repr, names))})")
    related: dict[str, RelatedCell] = {}
    keys = tuple((name, ArgumentBinder(rows, hops, related).bind(F(name))) for name in names)
    reads = dict.fromkeys(cell for _, bound in keys for cell in bound.reads)
    reads |= dict.fromkeys(source for source, _ in segments(hops)[:1])
    return Grouping(keys, tuple(reads), hops, tuple(related.values()))
