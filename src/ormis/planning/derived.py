"""Cells that operations fill after rows were read: each kind says what it is computed from."""

from dataclasses import dataclass, field

from ..query.aggregates import Aggregate
from ..query.q import Q
from ..schema.schema import Schema
from .bound import Bound
from .columns import Derived, RelatedCell, Step


@dataclass(frozen=True, slots=True, eq=False)
class Matches(Derived):
    """Whether the object of the row meets a condition that is about other objects: `Q(choices__votes__gt=3)`."""

    schema: Schema = field(kw_only=True)
    q: Q = field(kw_only=True)

    @property
    def explained(self) -> str:
        """One query for each batch of rows."""
        return f"{self.q!r} by a query of its own for each batch of rows"


@dataclass(frozen=True, slots=True, eq=False)
class RelatedAggregate(Derived):
    """An aggregate of the objects to which relations lead from that of the row; without relations, of the row itself.

    hops: the relations, of which the last leads to many.
    argument, condition: what is added up, and of which rows: over the cells of the row and of the related objects on
        the way, which are called by the names in `related`.
    joined: so many relations to many are followed already: the row is joined with their objects, as that of a group is.
    """

    aggregate: Aggregate = field(kw_only=True)
    argument: Bound = field(kw_only=True)
    condition: Bound | None = field(kw_only=True, default=None)
    hops: tuple[Step, ...] = field(kw_only=True, default=())
    related: tuple[RelatedCell, ...] = field(kw_only=True, default=())
    joined: int = field(kw_only=True, default=0)

    @property
    def explained(self) -> str:
        """In Python, of columns that are read in batches."""
        if not self.hops:
            return f"{self.aggregate} in Python"
        return f"{self.aggregate} in Python, over columns of {self.hops[-1].schema.name} read in batches"


@dataclass(frozen=True, slots=True, eq=False)
class GroupAggregate(Derived):
    """An aggregate of the rows of a group, and of the objects to which relations lead from these."""

    of_rows: RelatedAggregate = field(kw_only=True)
