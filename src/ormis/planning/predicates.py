"""Conditions on stored objects, as data: the meaning of a `Q` for one model, with its names resolved.

`packed` is the form that lua/read/predicates.lua reads. `holds` evaluates a node in Python, on a decoded row, if the
server can't (`client_side`); it knows no other objects, so relations are looked up before.
"""

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import Enum
from typing import Any

from ..calls import Operation, Origin
from ..errors import ClusterError, FieldError
from ..limits import Limits
from ..schema.schema import Column, Link, PartColumn, Readable, Schema
from ..storage.codecs import Codec
from ..storage.member_texts import member_text
from .apart import is_elsewhere
from .columns import (
    AnnotatedColumn,
    Cell,
    ColumnRef,
    Positions,
    RelatedColumn,
    RelatedCount,
    RelationStep,
    Row,
    readable,
)

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
    "contains": operator.contains,
    "startswith": str.startswith,
    "endswith": str.endswith,
}
PATTERNS = frozenset({"contains", "startswith", "endswith"})
"""Comparisons with a part of a text, which need not be a value of the column itself."""


class Node:
    """A condition on an object of one model."""

    __slots__ = ()
    joined = False
    """True if it reads columns of related objects, which takes a separate query."""

    def client_side(self, _limits: Limits, /) -> bool:
        """Returns whether only Python can evaluate it, within these limits of a call."""
        return False

    def packed(self, numbers: Positions, /) -> list[Any]:
        """The form that lua/read/predicates.lua reads; `numbers` are those of the call."""
        raise NotImplementedError

    def holds(self, row: Row, /) -> bool:
        """Returns whether the decoded row meets it."""
        raise NotImplementedError

    def columns(self) -> set[Cell]:
        """The cells of an object that `holds` looks at."""
        return set()


@dataclass(frozen=True, slots=True)
class Constant(Node):
    """True or false, whatever the object."""

    value: bool

    def packed(self, _numbers: Positions, /) -> list[Any]:
        """{'true'} or {'false'}."""
        return ["true" if self.value else "false"]

    def holds(self, _row: Row, /) -> bool:
        """The constant."""
        return self.value


@dataclass(frozen=True, slots=True)
class Compare(Node):
    """A column compared with values; their texts are what the server compares."""

    column: Column
    operator: str
    values: tuple[Any, ...] = ()
    _set: frozenset[Any] = field(init=False, default=frozenset(), repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.operator == "in":
            codec = self.column.codec
            object.__setattr__(self, "_set", frozenset(comparable(codec, value) for value in self.values))

    def client_side(self, limits: Limits, /) -> bool:
        """With more values than every call of the server should carry, and of what no hash holds."""
        known = self.column.position or self._count or (isinstance(self.column, PartColumn) and self.column.way)
        return (
            len(self.values) > limits.values
            or not known
            or (limits.partitions > 1 and is_elsewhere(self._count, limits))
        )

    @property
    def _count(self) -> RelatedCount | None:
        """The number of related objects that the column is."""
        return self.column.same if isinstance(self.column, AnnotatedColumn) else None

    @property
    def joined(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Where it is the number of related objects."""
        return self._count is not None

    @property
    def compared(self) -> Codec:
        """The codec of what is compared."""
        return self.column.codec

    @property
    def texts(self) -> list[Any]:
        """The texts of its values; a piece of a text is one already."""
        if self.operator in PATTERNS:
            return [*self.values]
        encode = self.column.codec.encode
        return [encode(value) for value in self.values]

    def packed(self, numbers: Positions, /) -> list[Any]:
        """{'cmp', position, kind, operator, text, ...}; of a part {position, kind, ...} stands for the position."""
        column = self.column
        if isinstance(column, PartColumn):
            position: Any = column.packed(column.source.position)
        else:
            position = numbers.position(self._count or column)
        return ["cmp", position, self.compared.kind, self.operator, *self.texts]

    def holds(self, row: Row, /) -> bool:
        """False where the column is absent, except for `null`."""
        own = row[self.column.name]
        if self.operator == "null" or own is None:
            return own is None and self.operator == "null"
        codec = self.column.codec
        if self.operator == "in":
            return comparable(codec, own) in self._set
        return COMPARISONS[self.operator](comparable(codec, own), comparable(codec, self.values[0]))

    def columns(self) -> set[Cell]:
        """Its column."""
        return {readable(self.column)}


@dataclass(frozen=True, slots=True)
class Member(Compare):
    """A list, a set or a tuple that has an element of this value."""

    element: Codec | None = None

    @property
    def compared(self) -> Codec:
        """The codec of the elements."""
        assert self.element is not None
        return self.element

    @property
    def texts(self) -> list[Any]:
        """The text of the element, one for all equal ones."""
        return [member_text(self.compared, value) for value in self.values]

    def holds(self, row: Row, /) -> bool:
        """False where the column is absent."""
        own = row[self.column.name]
        return own is not None and self.values[0] in own


@dataclass(frozen=True, slots=True)
class MemberParameter(Member):
    """A member to come, as Parameter."""

    number: int = 0

    @property
    def texts(self) -> list[Any]:
        """The number in the place of the text."""
        return [self.number]


@dataclass(frozen=True, slots=True)
class HasKey(Compare):
    """A dict that has this key."""

    @property
    def texts(self) -> list[Any]:
        """The key."""
        return [*self.values]

    def holds(self, row: Row, /) -> bool:
        """False where the column is absent."""
        own = row[self.column.name]
        return own is not None and self.values[0] in own


@dataclass(frozen=True, slots=True)
class Parameter(Compare):
    """A comparison with a value to come: `number` below 0 counts from the end of the script's arguments."""

    number: int = 0

    @property
    def texts(self) -> list[Any]:
        """The number in the place of the text."""
        return [self.number]


@dataclass(frozen=True, slots=True)
class CompareFields(Node):
    """A column compared with another of the same kind, of the same object or of objects it refers to."""

    column: ColumnRef
    operator: str
    other: ColumnRef

    @property
    def joined(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Where one of them is a related object's, or a part."""
        return isinstance(self.column, RelatedColumn | PartColumn) or isinstance(self.other, RelatedColumn | PartColumn)

    def client_side(self, limits: Limits, /) -> bool:
        """Where one of them is an annotation, or of an object that may be in another partition."""
        return any(isinstance(one, AnnotatedColumn) or is_elsewhere(one, limits) for one in (self.column, self.other))

    def packed(self, numbers: Positions, /) -> list[Any]:
        """{'field', position, kind, operator, position}."""
        own, other = numbers.position(self.column), numbers.position(self.other)
        return ["field", own, self.column.codec.kind, self.operator, other]

    def holds(self, row: Row, /) -> bool:
        """False where one of them is absent."""
        a, b = row[self.column.name], row[self.other.name]
        if a is None or b is None:
            return False
        return COMPARISONS[self.operator](comparable(self.column.codec, a), comparable(self.other.codec, b))

    def columns(self) -> set[Cell]:
        """Both columns."""
        return {self.column, self.other}


@dataclass(frozen=True, slots=True)
class PythonTest(Node):
    """A test that the server can't evaluate: a function of some columns."""

    reads: tuple[Cell, ...]
    test: Callable[[Row], bool]
    shown: str

    def client_side(self, _limits: Limits, /) -> bool:
        """Always."""
        return True

    def holds(self, row: Row, /) -> bool:
        """Returns the result of the function."""
        return self.test(row)

    def columns(self) -> set[Cell]:
        """The columns that it reads."""
        return set(self.reads)


@dataclass(frozen=True, slots=True)
class CompareOuter(Node):
    """A column compared with one of the object from which so many relations, `distance`, lead here.

    Only the server evaluates it, within the conditions on these relations.
    """

    column: Column
    operator: str
    distance: int
    other: Column

    def packed(self, _numbers: Positions, /) -> list[Any]:
        """{'outer', position, kind, operator, relations, position}."""
        return [
            "outer",
            self.column.position,
            self.column.codec.kind,
            self.operator,
            self.distance,
            self.other.position,
        ]

    def holds(self, _row: Row, /) -> bool:
        """False: it is asked of an object without fields alone."""
        return False

    def columns(self) -> set[Cell]:
        """The column of this object."""
        return {self.column}


@dataclass(frozen=True, slots=True)
class CreatedBehind(Node):
    """Stands behind this rank in the order of creation, or in its reverse. Only the server evaluates it.

    rank: an int below 0 is a parameter, as that of a Parameter.
    key: as of a Place.
    """

    rank: float
    backwards: bool
    inclusive: bool = False
    key: str = ""

    def packed(self, _numbers: Positions, /) -> list[Any]:
        """{'created', rank, backwards, inclusive}."""
        return ["created", self.packed_rank, self.backwards, self.inclusive]

    @property
    def packed_rank(self) -> str | int:
        """The rank as scripts read it."""
        return self.rank if isinstance(self.rank, int) else repr(self.rank)


@dataclass(frozen=True, slots=True)
class BehindPlace(Node):
    """The condition of the objects behind a place in an order, which no index finds: a bound stands beside it.

    beyond, ties: instead of the condition, if the order has one term: what stands behind by its value, and what is the
        same in it, and behind by this.
    """

    part: Node
    beyond: Compare | None = None
    ties: CreatedBehind | None = None

    @property
    def joined(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Where its part does."""
        return self.part.joined

    def client_side(self, limits: Limits, /) -> bool:
        """Where its part is."""
        return self.part.client_side(limits)

    def packed(self, numbers: Positions, /) -> list[Any]:
        """Its condition; {'behind', position, kind, operator, text, rank, backwards, inclusive} for one term."""
        if self.beyond is None or self.ties is None:
            return self.part.packed(numbers)
        return ["behind", *self.beyond.packed(numbers)[1:], *self.ties.packed(numbers)[1:]]

    def columns(self) -> set[Cell]:
        """The columns of its condition."""
        return self.part.columns()


@dataclass(frozen=True, slots=True)
class BoolOp(Node):
    """Conditions joined by and, or, xor."""

    connector: str
    parts: tuple[Node, ...]

    def client_side(self, limits: Limits, /) -> bool:
        """Where one of its parts is."""
        return any(part.client_side(limits) for part in self.parts)

    @property
    def joined(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Where one of its parts does."""
        return any(part.joined for part in self.parts)

    def packed(self, numbers: Positions, /) -> list[Any]:
        """{connector, condition, ...}."""
        return [self.connector, *(part.packed(numbers) for part in self.parts)]

    def holds(self, row: Row, /) -> bool:
        """Returns the parts joined by the connector."""
        answers = (part.holds(row) for part in self.parts)
        if self.connector == "xor":
            return sum(answers) % 2 == 1
        return all(answers) if self.connector == "and" else any(answers)

    def columns(self) -> set[Cell]:
        """The columns of its parts."""
        return {column for part in self.parts for column in part.columns()}


@dataclass(frozen=True, slots=True)
class Not(Node):
    """The complement of a condition."""

    part: Node

    def client_side(self, limits: Limits, /) -> bool:
        """Where its part is."""
        return self.part.client_side(limits)

    @property
    def joined(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Where its part does."""
        return self.part.joined

    def packed(self, numbers: Positions, /) -> list[Any]:
        """{'not', condition}."""
        return ["not", self.part.packed(numbers)]

    def holds(self, row: Row, /) -> bool:
        """The opposite."""
        return not self.part.holds(row)

    def columns(self) -> set[Cell]:
        """The columns of its part."""
        return self.part.columns()


@dataclass(frozen=True, slots=True)
class ForwardMatch(Node):
    """A condition on the object of a foreign key; on an object without fields if the key is null."""

    hop: RelationStep
    part: Node

    @property
    def column(self) -> Column:
        """The foreign key."""
        return self.hop.source

    @property
    def target(self) -> Schema:
        """The other model."""
        return self.hop.schema

    @property
    def key(self) -> Column:
        """The column of the other model whose values the foreign key holds."""
        return self.hop.arrival

    def client_side(self, limits: Limits, /) -> bool:
        """Where its part is, or needs a query of its own; where the object may be in another partition."""
        return self.part.joined or self.part.client_side(limits) or (limits.partitions > 1 and self.hop.apart)

    def packed(self, numbers: Positions, /) -> list[Any]:
        """{'one', position, model, condition, position there}."""
        return ["one", self.column.position, numbers.model(self.target), self.part.packed(numbers), self.key.position]


@dataclass(frozen=True, slots=True)
class ReverseMatch(Node):
    """A condition that some object referring here meets; where none does, an object without fields."""

    hop: RelationStep
    part: Node

    @property
    def source(self) -> Schema:
        """The model that refers to this one."""
        return self.hop.schema

    @property
    def column(self) -> Column:
        """The foreign key."""
        return self.hop.arrival

    @property
    def key(self) -> Column:
        """The column of the model itself whose values the foreign key holds."""
        return self.hop.source

    def client_side(self, limits: Limits, /) -> bool:
        """Where its part is, or needs a query of its own; where the objects may be in other partitions."""
        return self.part.joined or self.part.client_side(limits) or (limits.partitions > 1 and self.hop.apart)

    def packed(self, numbers: Positions, /) -> list[Any]:
        """{'many', model, position, condition, position here}."""
        part = self.part.packed(numbers)
        return ["many", numbers.model(self.source), self.column.position, part, self.key.position]


@dataclass(frozen=True, slots=True)
class LinkMatch(Node):
    """A condition that some object linked to this one meets; where none is, an object without fields."""

    target: Schema
    link: Link
    part: Node

    @property
    def apart(self) -> bool:
        """Whether the objects may be in other partitions of a cluster."""
        return not self.target.stored.copied

    def client_side(self, limits: Limits, /) -> bool:
        """Where its part is, or needs a query of its own; where the objects may be in other partitions."""
        return self.part.joined or self.part.client_side(limits) or (limits.partitions > 1 and self.apart)

    def packed(self, numbers: Positions, /) -> list[Any]:
        """{'linked', model, name here, name there, condition}."""
        part = self.part.packed(numbers)
        return ["linked", numbers.model(self.target), self.link.name, self.link.back_name, part]


@dataclass(frozen=True, slots=True)
class InSubquery(Node):
    """A column's value is among those that another query finds; `values` runs it first.

    query: that query. A write evaluates its condition once more where the column's is: of two clients that update the
        first object of a queue the second does not find it any more.
    """

    column: Column
    values: Callable[[Origin], Operation[list[Any]]]
    query: Any

    def client_side(self, _limits: Limits, /) -> bool:
        """Until its values are known."""
        return True


def comparable(codec: Codec, value: Any) -> Any:
    """A value, or a part of a text, in the form in which Python compares and sorts as the server does."""
    if codec.traits.by_text:
        return value if type(value) in (str, bytes) and codec.kind != "json" else codec.encode(value)
    return in_plain_form(value)


def distinct(column: Column, values: Iterable[Any]) -> tuple[Any, ...]:
    """Each value of a column once, also of those that can't be hashed."""
    values = [*values]
    try:
        return tuple(dict.fromkeys(values))
    except TypeError:
        return tuple({column.codec.encode(value): value for value in values}.values())


def in_plain_form(value: Any) -> Any:
    """A time as a naive one in UTC, a member of an enum as what it stands for, anything else as it is."""
    if isinstance(value, Enum):
        return value.value
    offset = value.utcoffset() if isinstance(value, datetime | time) else None
    if offset is None:
        return value
    if isinstance(value, datetime):
        return value.replace(tzinfo=None) - offset
    return (datetime.combine(date.min + timedelta(days=1), value.replace(tzinfo=None)) - offset).time()


def same_type(one: Any, other: Any) -> tuple[Any, Any]:
    """Both values; a date that is compared with a datetime as its midnight."""
    if isinstance(one, datetime) != isinstance(other, datetime) and isinstance(one, date) and isinstance(other, date):
        return _at_midnight(one), _at_midnight(other)
    return one, other


def _at_midnight(value: date) -> datetime:
    return value if isinstance(value, datetime) else datetime.combine(value, time())


def join(connector: str, parts: list[Node]) -> Node:
    """Joins the parts; a single part stays as it is, constants without effect are dropped."""
    if len(parts) == 1:
        return parts[0]
    if connector != "xor":
        neutral = connector == "and"
        if any(isinstance(p, Constant) and p.value is not neutral for p in parts):
            return Constant(not neutral)
        parts = [p for p in parts if not isinstance(p, Constant)]
        parts = [
            inner for p in parts for inner in (p.parts if isinstance(p, BoolOp) and p.connector == connector else (p,))
        ]
        if not parts:
            return Constant(neutral)
    return parts[0] if len(parts) == 1 else BoolOp(connector, tuple(parts))


def reads_outer(node: Node, relations: int = 0) -> bool:
    """Returns whether a condition reads an object outside of its own, from which relations lead to it."""
    if isinstance(node, CompareOuter):
        return node.distance > relations
    if isinstance(node, BoolOp):
        return any(reads_outer(part, relations) for part in node.parts)
    if isinstance(node, Not):
        return reads_outer(node.part, relations)
    return isinstance(node, ForwardMatch | ReverseMatch | LinkMatch) and reads_outer(node.part, relations + 1)


def check_reached(node: Node) -> None:
    """Raises ClusterError for a comparison across a relation that only one call for both its sides could make."""
    if isinstance(node, BoolOp):
        for part in node.parts:
            check_reached(part)
    elif isinstance(node, Not):
        check_reached(node.part)
    elif isinstance(node, ForwardMatch | ReverseMatch | LinkMatch):
        check_reached(node.part)
        if isinstance(node, LinkMatch):
            if node.apart and reads_outer(node.part):
                raise ClusterError(
                    f"{node.link.query_name}: a comparison with F() of an object that is linked to several of "
                    f"{node.target.name} is made where all of them are, and they may be in different partitions: read "
                    f"the objects, and compare the values in Python"
                )
        elif node.hop.apart and reads_outer(node.part):
            raise ClusterError(
                f"{node.hop.origin.name}.{node.hop.name}: a comparison with F() of an object that several of "
                f"{node.hop.schema.name} lead to is made where all of them are, and they may be in different "
                f"partitions: put them beside each other by Meta.partition_by"
            )


def check_ordered(column: Readable, place: str, asked: str) -> None:
    """Raises FieldError for an order of values whose order in Python is not that of what is stored."""
    if not column.codec.traits.ordered:
        raise FieldError(
            f"{place}: {asked} needs values in an order, and those of {column.name} are stored as {column.codec.kind} "
            f"and in none: name another field, or sort what is read"
        )


def conjuncts(node: Node | None) -> tuple[Node, ...]:
    """The conditions that all have to hold."""
    if node is None or (isinstance(node, Constant) and node.value):
        return ()
    return node.parts if isinstance(node, BoolOp) and node.connector == "and" else (node,)


class _Nothing(Mapping[str, Any]):
    """An object without any field."""

    def __getitem__(self, name: str) -> None:
        return None

    def __iter__(self) -> Any:
        return iter(())

    def __len__(self) -> int:
        return 0


_NOTHING = _Nothing()


def holds_for_nothing(node: Node) -> bool:
    """Returns whether an object without any field meets a condition; then so does one that is related to none."""
    if isinstance(node, BoolOp):
        answers = [holds_for_nothing(part) for part in node.parts]
        return sum(answers) % 2 == 1 if node.connector == "xor" else (all if node.connector == "and" else any)(answers)
    if isinstance(node, Not):
        return not holds_for_nothing(node.part)
    if isinstance(node, ForwardMatch | ReverseMatch | LinkMatch):
        return holds_for_nothing(node.part)
    return not isinstance(node, InSubquery) and node.holds(_NOTHING)
