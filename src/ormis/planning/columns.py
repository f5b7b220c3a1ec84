"""The columns that a query reads: those of the object, those of related objects, and expressions of these.

`Numbering` gives them their places in a request of the script `query`: a model its number, a column its position, a
column of a related object a position of lua/read/related_columns.lua.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..query.value_types import UNKNOWN, ValueType
from ..schema import registry
from ..schema.schema import Column, Link, PartColumn, Reference, Schema
from ..storage.codecs import Codec, codec_for

Row = Mapping[str, Any]
_STEP = 1000  # positions kept for the columns of one related object


@dataclass(frozen=True, slots=True)
class RelationStep:
    """One step along a relation: forward to the object that `reference` points at, or back to those that point here."""

    reference: Reference
    forward: bool
    schema: Schema
    """Where the step leads."""
    origin: Schema
    """Where it starts."""

    @property
    def name(self) -> str:
        """The name of the step in a query."""
        return self.reference.name if self.forward else self.reference.query_name

    @property
    def to_one(self) -> bool:
        """True if it leads to at most one object."""
        return self.forward or self.reference.unique

    @property
    def source(self) -> Column:
        """The column, where the step starts, that holds the key it follows."""
        return self.reference.column if self.forward else self.reference.referred(self.origin)

    @property
    def arrival(self) -> Column:
        """The column, where the step leads, that holds the same key."""
        return self.reference.referred(self.schema) if self.forward else self.reference.column

    @property
    def apart(self) -> bool:
        """True if the objects where it leads may be in other partitions of a cluster than the one where it starts."""
        if self.schema.stored.copied or self.origin.stored.copied:  # of Meta.reference: all of them are in each
            return not self.schema.stored.copied
        return not registry.is_beside(self.origin if self.forward else self.schema, self.reference)

    @property
    def found_by(self) -> int:
        """How the scripts find an object by the key: 0 for its primary key, else the position of the column."""
        return 0 if self.arrival is self.schema.pk else self.arrival.position


@dataclass(frozen=True, slots=True)
class LinkStep:
    """One step along a many-to-many relation whose links are kept in sets."""

    link: Link
    schema: Schema
    """Where the step leads."""
    origin: Schema
    """Where it starts."""

    forward = False
    to_one = False

    @property
    def name(self) -> str:
        """The name of the step in a query."""
        return self.link.query_name

    @property
    def apart(self) -> bool:
        """As RelationStep."""
        return not self.schema.stored.copied

    @property
    def source(self) -> Column:
        """The column, where the step starts, that holds the key it follows."""
        return self.origin.pk


Step = RelationStep | LinkStep


@dataclass(frozen=True, slots=True)
class RelatedColumn:
    """A column of the object at the end of steps that lead to one each; absent where one leads nowhere."""

    hops: tuple[RelationStep, ...]
    column: Column

    @property
    def name(self) -> str:
        """Its name in queries: `question__published`."""
        return "__".join([*(hop.name for hop in self.hops), self.column.name])

    @property
    def codec(self) -> Codec:
        """The codec of its column."""
        return self.column.codec

    @property
    def nullable(self) -> bool:
        """Always: a step may lead nowhere."""
        return True

    @property
    def default_wire(self) -> Any:
        """None: the server puts the default of an object in its place, since it knows whether there is one."""
        return None


@dataclass(frozen=True, slots=True)
class RelatedCount:
    """The number of objects at the end of steps of which only the last leads to many."""

    hops: tuple[Step, ...]

    @property
    def name(self) -> str:
        """Its name in rows; names of fields do not begin with an underscore."""
        return f"_count__{'__'.join(hop.name for hop in self.hops)}"

    @property
    def codec(self) -> Codec:
        """That of ints."""
        return _INT

    @property
    def nullable(self) -> bool:
        """Never: where a step leads nowhere, there are none."""
        return False

    @property
    def default_wire(self) -> int:
        """0."""
        return 0


_INT = codec_for(int)
ColumnRef = Column | RelatedColumn | RelatedCount


CREATION_RANK = Column("_creation_rank", 0, codec_for(float), nullable=True, convert=float, write=repr)
"""Where an object stands in the order of creation, which no column of a hash holds."""


@dataclass(frozen=True, slots=True, eq=False)
class Computed:
    """A value computed in Python from the cells of a row, to order by; `shown` is for people."""

    reads: "tuple[Cell, ...]"
    value: Callable[[Row], Any]
    shown: str

    @property
    def name(self) -> str:
        """Its name in explanations."""
        return self.shown


@dataclass(frozen=True, slots=True, eq=False)
class Derived:
    """A cell that is filled after rows were read, by an operation: an aggregate of related objects, a window.

    name: its name in rows, which no other has. reads: the cells of the same row that it depends on.
    """

    name: str
    reads: "tuple[Cell, ...]"
    type: ValueType | None

    whole = False
    """True if it depends on all rows of the result, as a window does."""

    @property
    def explained(self) -> str:
        """How it is filled, for explain()."""
        return f"{self.name} in Python"

    @property
    def codec(self) -> Codec:
        """The codec of its type."""
        return (self.type or UNKNOWN).codec


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedColumn(Column):
    """An annotation as a column. It is computed from cells of the row: no hash holds it, its position is 0."""

    reads: "tuple[Cell, ...]" = ()
    compute: Callable[[Row], Any] = lambda _row: None
    shown: str = ""
    of_groups: bool = False
    """True if it is one of the groups of a query, not of its objects."""
    same: RelatedCount | None = None
    """The cell that it is, if the server has it as a column of the rows."""
    renamed: "Column | None" = None
    """The field of the object itself that it is another name of."""
    filled: "Derived | None" = None
    """The cell that it is, if that is filled after the rows were read."""


@lru_cache(maxsize=1024)
def computed_part(part: PartColumn, hops: tuple[RelationStep, ...] = ()) -> AnnotatedColumn:
    """A part of a column of the object at the end of these steps, as it is computed from the value of that column."""
    source: ColumnRef = RelatedColumn(hops, part.source) if hops else part.source
    name, get = source.name, part.get
    return AnnotatedColumn(
        "__".join([*(hop.name for hop in hops), part.name]),
        0,
        part.codec,
        nullable=True,
        convert=part.convert,
        write=part.write,
        reads=(source,),
        compute=lambda row: get(row[name]),
        shown=part.name,
    )


def readable(column: Column) -> Column:
    """The column itself; of a part whose texts are not those of its type, the computed one."""
    return computed_part(column) if isinstance(column, PartColumn) and not column.served else column


def compute(cells: dict[str, Any], annotated: Iterable[AnnotatedColumn]) -> None:
    """Adds annotations to the cells of a row, each of which may be read by those after it."""
    for column in annotated:
        cells[column.name] = column.compute(cells)


Cell = ColumnRef | Derived


@dataclass(frozen=True, slots=True)
class RelatedCell:
    """A cell of an object that the rows are joined with, under a name of its own in the joined row.

    at: the relation to many, of those on the way from 0, whose object has it.
    """

    name: str
    at: int
    cell: Cell


@dataclass(frozen=True, slots=True)
class Needed:
    """The cells that some others depend on, themselves included.

    stored: those that the server reads. derived: those that are filled after, in an order in which each can be.
    annotated: the annotations, in an order in which each can be computed.
    """

    stored: tuple[ColumnRef, ...]
    derived: tuple[Derived, ...]
    annotated: tuple[AnnotatedColumn, ...]


def needed(
    cells: "Iterable[Cell | Computed]",
    elsewhere: "Callable[[RelatedColumn | RelatedCount], Derived | None] | None" = None,
) -> Needed:
    """What these cells depend on.

    elsewhere: the cells that take the place of those that no call reaches: see planning/apart.py.
    """
    stored: dict[ColumnRef, None] = {}
    derived: dict[Derived, None] = {}
    annotated: dict[AnnotatedColumn, None] = {}

    def visit(found: "Cell | Computed") -> None:
        if elsewhere is not None and isinstance(found, RelatedColumn | RelatedCount):
            found = elsewhere(found) or found
        if not isinstance(found, AnnotatedColumn | Derived | Computed):
            stored[found] = None
        elif found not in derived and found not in annotated:
            for one in found.reads:
                visit(one)
            if isinstance(found, Derived):
                derived[found] = None
            elif isinstance(found, AnnotatedColumn):
                annotated[found] = None

    for one in cells:
        visit(one)
    return Needed((*stored,), (*derived,), (*annotated,))


def cell(steps: Sequence[Step], column: Column) -> ColumnRef:
    """The column at the end of these steps, which lead to one object each."""
    hops = tuple(step for step in steps if isinstance(step, RelationStep))
    if isinstance(column, PartColumn) and not column.served:
        return computed_part(column, hops)
    return RelatedColumn(hops, column) if hops else column


def segments(hops: tuple[Step, ...]) -> list[tuple[ColumnRef, Step]]:
    """Relations in parts that end with one to many objects each: the cell that holds the key it follows, and itself."""
    found: list[tuple[ColumnRef, Step]] = []
    start = 0
    for i, hop in enumerate(hops):
        if not hop.to_one:
            found.append((cell(hops[start:i], hop.source), hop))
            start = i + 1
    return found


class Positions:
    """The numbers that one request gives to models, and the positions it gives to cells."""

    def __init__(self, schema: Schema) -> None:
        self.models: dict[Schema, int] = {schema: 1}
        self._joins: dict[Any, list[Any]] = {}

    def model(self, schema: Schema) -> int:
        """The number of a model in this request."""
        return self.models.setdefault(schema, len(self.models) + 1)

    def position(self, ref: ColumnRef) -> int:
        """The position of a cell in the rows of this request."""
        if isinstance(ref, PartColumn):
            return self._part(ref, self.position(ref.source))
        if isinstance(ref, Column):
            return ref.position
        if isinstance(ref, RelatedCount):
            return (self._joins.get(ref.hops) or self._new_count(ref.hops))[3]
        if isinstance(ref.column, PartColumn):
            return self._part(ref.column, self.position(RelatedColumn(ref.hops, ref.column.source)))
        join = self._joins.get(ref.hops) or self._new_join(ref.hops)
        positions = join[4]
        if ref.column.position not in positions:
            positions.append(ref.column.position)
        return join[3] + positions.index(ref.column.position)

    @property
    def joins(self) -> list[list[Any]]:
        """The joins so far, as lua/read/related_columns.lua reads them."""
        return list(self._joins.values())

    def _part(self, part: PartColumn, source: int) -> int:
        """The position of a part of what stands at another position."""
        if (part, source) not in self._joins:
            at = _STEP * (len(self._joins) + 1) + 1
            self._joins[part, source] = [source, 0, part.packed(source), at, []]
        return self._joins[part, source][3]

    def _new_join(self, hops: tuple[RelationStep, ...]) -> list[Any]:
        hop = hops[-1]
        source = self.position(cell(hops[:-1], hop.source))
        at = _STEP * (len(self._joins) + 1) + 1
        join = self._joins[hops] = [source, self.model(hop.schema), hop.found_by, at, []]
        return join

    def _new_count(self, hops: tuple[Step, ...]) -> list[Any]:
        hop = hops[-1]
        source = self.position(cell(hops[:-1], hop.source))
        at = _STEP * (len(self._joins) + 1) + 1
        join = self._joins[hops] = [source, self.model(hop.schema)]
        no_columns: list[int] = []
        if isinstance(hop, LinkStep):
            join += [0, at, no_columns, self.model(hop.origin), hop.link.name]
        else:
            join += [hop.reference.column.position, at, no_columns, 0]
        return join
