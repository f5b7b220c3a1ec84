"""Expressions whose names are resolved for one model, and lookups whose path is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import FieldError
from ..query.expressions import Expression, F
from ..query.value_types import UNKNOWN, ValueType
from ..schema.schema import Column
from ..storage.codecs import Codec
from .columns import AnnotatedColumn, Cell, Derived, RelatedCount, Row
from .names import Path


@dataclass(frozen=True, slots=True, eq=False)
class Bound(Expression):
    """An expression with its names resolved: its leaves are names of cells of a row, `reads`."""

    given: Expression
    tree: Expression
    reads: tuple[Cell, ...]
    type: ValueType | None
    place: str = ""
    """The beginning of messages."""

    @property
    def name(self) -> str:
        """Its name in messages."""
        return str(self.given)

    @property
    def nullable(self) -> bool:
        """Always: an operand may be absent."""
        return True

    @property
    def codec(self) -> Codec:
        """The codec of its type."""
        return (self.type or UNKNOWN).codec

    def names(self) -> set[str]:
        """The names of its cells."""
        return {one.name for one in self.reads}

    def result(self, values: Mapping[str, Any], /) -> Any:
        """The value for a row with these cells."""
        return self.tree.result(values)

    def in_query(self, values: Mapping[str, Any], /) -> Any:
        """As of any expression; the message names the model."""
        try:
            return self.tree.result(values)
        except ArithmeticError:
            return None
        except (TypeError, ValueError) as error:
            raise FieldError(f"{self.place}{self} can't be computed: {error}") from None

    def __str__(self) -> str:
        return str(self.given)


def value_in_row(value: Expression, row: Row, cells: Mapping[str, Cell]) -> Any:
    """The value of an expression for a row; `cells` are those of its names, of a bound one it knows them itself."""
    return value.in_query(row if isinstance(value, Bound) else {name: row[found.name] for name, found in cells.items()})


@dataclass(frozen=True, slots=True)
class ResolvedLookup:
    """A lookup in the place of its name: `text` is that name, for messages."""

    path: Path
    text: str

    def __str__(self) -> str:
        return self.text


def annotated_column(name: str, bound: Bound, of_groups: bool = False) -> AnnotatedColumn:
    """The values of an expression as a column of rows, under this name."""
    kind = bound.type or UNKNOWN
    return AnnotatedColumn(
        name,
        0,
        kind.codec,
        nullable=True,
        convert=kind.convert,
        write=kind.codec.encode,
        reads=bound.reads,
        compute=bound.in_query,
        shown=str(bound),
        of_groups=of_groups,
        same=_number_of_related(bound),
        renamed=_renamed(bound),
        filled=_filled(bound),
    )


def _cell_of(bound: Bound) -> Cell | None:
    """The cell whose value the expression is, if it is no more than that."""
    return bound.reads[0] if len(bound.reads) == 1 and isinstance(bound.tree, F) else None


def _renamed(bound: Bound) -> Column | None:
    found = _cell_of(bound)
    if isinstance(found, AnnotatedColumn):
        return found.renamed
    return found if isinstance(found, Column) else None


def _number_of_related(bound: Bound) -> RelatedCount | None:
    found = _cell_of(bound)
    return found if isinstance(found, RelatedCount) else None


def _filled(bound: Bound) -> Derived | None:
    found = _cell_of(bound)
    if isinstance(found, AnnotatedColumn):
        return found.filled
    return found if isinstance(found, Derived) else None
