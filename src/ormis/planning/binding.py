"""Expressions bound to a model: names become cells of rows, aggregates become cells that are filled later.

    F("votes") + 1                              reads the column votes
    Count("choices")                            reads a RelatedAggregate along choices
    Case(When(choices__votes__gt=3, then=1))    reads a Matches cell: conditions on many objects take a query of theirs

`Binder` binds what is computed for each row, `ArgumentBinder` the argument and the filter of an aggregate, for each
related object, `GroupBinder` what is computed for each group.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any, cast

from ..errors import FieldError, shown
from ..query.aggregates import Aggregate, Count
from ..query.expressions import Condition, Expression, F
from ..query.functions.dates import part_of_field
from ..query.q import Leaf, Q, is_empty, leaves_of
from ..query.renaming import renamed
from ..query.state import Query
from ..query.subqueries import Subquery
from ..query.value_types import ValueType, value_type
from ..query.windows import Window
from ..schema.schema import Schema
from .bound import Bound, ResolvedLookup, annotated_column
from .columns import (
    AnnotatedColumn,
    Cell,
    Derived,
    RelatedCell,
    RelatedColumn,
    RelatedCount,
    Step,
    cell,
    compute,
    needed,
    segments,
)
from .condition_compiler import compile_q, each_expression
from .derived import GroupAggregate, Matches, RelatedAggregate
from .lookup_compiler import seen_from, without_objects
from .names import Path, cell_at, resolve, steps
from .predicates import Node
from .subquery_cells import subquery_cell, with_subqueries
from .windows import window_among, window_cell

Typed = tuple[Expression, ValueType | None]
_numbers = count(1)


class _Holds(Expression):
    """A condition as the value that it has for a row."""

    def __init__(self, node: Node, shown: str) -> None:
        self.node = node
        self.shown = shown
        self.annotated = needed(node.columns()).annotated

    def result(self, values: Mapping[str, Any], /) -> Any:
        """True or False."""
        cells = {**values}
        compute(cells, self.annotated)
        return self.node.holds(cells)

    def __str__(self) -> str:
        return self.shown


class Binder:
    """Binds an expression that is computed from each row of a model; `reads` gathers its cells."""

    def __init__(self, scope: Schema) -> None:
        self.scope = scope
        self.reads: dict[Cell, None] = {}

    def bind(self, value: Expression) -> Bound:
        """The expression with its names resolved. Raises FieldError."""
        if isinstance(value, Bound):
            return value
        tree, kind = self.visit(value)
        return Bound(value, tree, tuple(self.reads), kind, f"{self.scope.name}: ")

    def visit(self, value: Expression) -> Typed:
        """The expression over names of cells, and its type."""
        if isinstance(value, F):
            return self.field(value.name)
        if isinstance(value, Bound):
            self.reads |= dict.fromkeys(value.reads)
            return value.tree, value.type
        if isinstance(value, Condition):
            node = self.condition(value.q)
            cells = needed(node.columns())
            self.reads |= dict.fromkeys((*cells.stored, *cells.derived))
            return _Holds(node, str(value)), value_type(bool)
        if isinstance(value, Aggregate):
            found = self.aggregate(value)
            return self.cell(found) if isinstance(found, RelatedCount) else self.filled(found)
        if isinstance(value, Window):
            return self.filled(self.window(value))
        if isinstance(value, Subquery):
            return self.filled(subquery_cell(f"subquery{next(_numbers)}", value, self._outer, self.scope.name))
        parts = [self.visit(part) for part in value.parts()]
        return value.with_parts([tree for tree, _ in parts]), type_of(self.scope, value, [kind for _, kind in parts])

    def filled(self, derived: Derived) -> Typed:
        """A cell that is filled later, as an expression."""
        self.reads[derived] = None
        return F(derived.name), derived.type

    def _outer(self, name: str) -> Bound:
        """A field of the row, for a subquery that refers to it."""
        return self._inner().bind(F(name))

    # Names -----------------------------------------------------------------------------------------------------------

    def field(self, name: str) -> Typed:
        """A field, an annotation, or a part of a date or time."""
        path = resolve(self.scope, name)
        tree, kind = self.read(path, name)
        if not path.lookups:
            return tree, kind
        if not path.part:
            path.check_no_lookups(self.scope, name)
        part = part_of_field(tree, path.part)
        return part, type_of(self.scope, part, [kind])

    def read(self, path: Path, name: str) -> Typed:
        """The value at the end of a path."""
        return self.cell(cell_at(self.scope, path, name))

    def cell(self, found: Cell, name: str = "") -> Typed:
        """A cell of the row, under its own name or this one."""
        if not name:
            self.reads[found] = None
        return F(name or found.name), type_of_cell(found)

    def is_here(self, path: Path) -> bool:
        """Whether the row has a cell at the end of a path."""
        return not path.many

    # Conditions ------------------------------------------------------------------------------------------------------

    def condition(self, q: Q) -> Node:
        """A condition on a row: that of other objects is a cell of the row too."""
        return compile_q(self.scope, self._on_rows(with_subqueries(self.scope, q)))

    def _on_rows(self, q: Q) -> Q:
        whole = self._elsewhere(q)
        if whole is not None:
            return Q.join("and", [self._matching(q, whole)])
        children: list[Q | Leaf] = []
        others: dict[tuple[Step, ...], list[Q | Leaf]] = {}
        for child in q.children:
            place = self._elsewhere(child)
            if place is not None:
                others.setdefault(place, []).append(child)  # one query, since they may be about one related object
            else:
                children.append(self._on_rows(child) if isinstance(child, Q) else self._on_row(*child))
        children += [self._matching(Q.join(q.connector, some), place) for place, some in others.items()]
        return Q.join(q.connector, children, q.negated)

    def _elsewhere(self, part: Q | Leaf) -> tuple[Step, ...] | None:
        """The relations to the object whose query tells this part of a condition; None if cells at hand do.

        Fields of that object go along, so that the part stays one condition about the same related objects.
        """
        leaves = leaves_of(part) if isinstance(part, Q) else [part]
        places = {place for place in (self._place(*leaf) for leaf in leaves) if place is not None}
        if len(places) != 1:
            return None
        (place,) = places
        return place if all(self._is_below(place, *leaf) for leaf in leaves) else None

    def _is_below(self, place: tuple[Step, ...], name: Any, value: Any) -> bool:
        """Whether all that a lookup names are fields of the object at the end of these relations, or lead on there."""
        several = cast(Iterable[Any], value) if isinstance(value, list | tuple | set | frozenset) else (value,)
        names = [name, *(one for each in several if isinstance(each, Expression) for one in names_in(each))]
        if not all(isinstance(one, str) for one in names):
            return False
        paths = [resolve(self.scope, one) for one in names]
        return all(path.hops[: len(place)] == place and not isinstance(path.column, AnnotatedColumn) for path in paths)

    def _place(self, name: Any, value: Any) -> tuple[Step, ...] | None:
        """None for a lookup of cells at hand; else the relations to the object of which a query has to tell it."""
        if not isinstance(name, str):
            return None
        path = resolve(self.scope, name)
        queried = isinstance(value, Query) or isinstance(getattr(value, "query", None), Query)
        return None if self.is_here(path) and not queried else self._nearest(path)

    def _nearest(self, _path: Path) -> tuple[Step, ...]:
        return ()

    def _matching(self, q: Q, _place: tuple[Step, ...]) -> Leaf:
        schema = self.scope
        if schema.grouped:
            raise FieldError(f"{schema.name}: {q!r} is about objects, and these are groups: filter() before annotate()")
        tree, kind = self.filled(_matches(schema, q))
        return _as_lookup(q, tree, kind, tuple(self.reads))

    def _on_row(self, name: Any, value: Any) -> Q | Leaf:
        place = f"{self.scope.name}.{name}"
        several = each_expression(name, value, place)
        if several is not None:
            connector, leaves = several
            return Q.join(connector, [self._on_row(*leaf) for leaf in leaves])
        if isinstance(value, Expression):
            value = type(self)._inner(self).bind(value)
        if isinstance(name, Expression):
            bound = type(self)._inner(self).bind(name)
            return lookup_of(bound), value
        if isinstance(name, ResolvedLookup):
            return name, value
        path = resolve(self.scope, name)
        if not isinstance(value, Expression):
            value = without_objects(self.scope, path, value, place)
        inner = type(self)._inner(self)
        tree, kind = inner.read(path, name)
        bound = Bound(F(name), tree, tuple(inner.reads), kind)
        column = annotated_column(name.removesuffix("".join(f"__{part}" for part in path.lookups)), bound)
        return ResolvedLookup(Path((), column, path.lookups), name), value

    def _inner(self) -> "Binder":
        """A binder for a part of a condition, whose cells are those of that part."""
        return Binder(self.scope)

    # Aggregates ------------------------------------------------------------------------------------------------------

    def aggregate(self, value: Aggregate) -> Derived | RelatedCount:
        """The cell of an aggregate of related objects. Raises FieldError for one of another aggregate."""
        found = related_aggregate(self.scope, value)
        return number_of_related(found) or found

    def window(self, value: Window) -> Derived:
        """The cell of a window. Raises FieldError for one that can't be computed, or not here."""
        return window_cell(self.scope, value, lambda part: self._inner().bind(part))


def _matches(schema: Schema, q: Q) -> Matches:
    """The cell that tells whether an object meets a condition about others."""
    return Matches(f"matches{next(_numbers)}", (schema.pk,), value_type(bool), schema=schema.base, q=q)


def _as_lookup(q: Q, tree: Expression, kind: ValueType | None, reads: tuple[Cell, ...]) -> Leaf:
    """A lookup that is true if the cell is that a condition has become."""
    column = annotated_column(str(tree), Bound(Condition(q), tree, reads, kind))
    return ResolvedLookup(Path((), column, ()), repr(q)), True


def _seen_from(scope: Schema, q: Q, hops: tuple[Step, ...]) -> Q:
    """The condition in the names of the object at the end of these relations."""

    def lookup(name: str) -> str:
        path = resolve(scope, name)
        return "__".join([*(hop.name for hop in path.hops[len(hops) :]), path.column.name, *path.lookups])

    return renamed(q, lookup, lambda name: seen_from(scope, hops, name, f"{scope.name}: {q!r}").name)


def type_of(scope: Schema, value: Expression, types: Sequence[ValueType | None]) -> ValueType | None:
    """The type of an expression whose parts have these. Raises FieldError, which names the model."""
    try:
        return value.type_of(types)
    except FieldError as error:
        raise FieldError(f"{scope.name}: {error}") from None


def type_of_cell(found: Cell) -> ValueType | None:
    """The type of the values of a cell."""
    if isinstance(found, Derived):
        return found.type
    if isinstance(found, RelatedCount):
        return value_type(int)
    column = found.column if isinstance(found, RelatedColumn) else found
    return ValueType(column.codec, column.convert)


def lookup_of(bound: Bound) -> ResolvedLookup:
    """An expression in the place of a lookup's name; its column has a name that no other has."""
    return ResolvedLookup(Path((), annotated_column(f"{bound} ({next(_numbers)})", bound), ()), str(bound))


# Aggregates ----------------------------------------------------------------------------------------------------------


class ArgumentBinder(Binder):
    """Binds the argument and the filter of an aggregate, over cells of the row and of a related object.

    hops: the relations that lead from the row to the related object. related: the cells of that object, and of those
    on the way, by their names; shared by the binders of the parts of a condition.
    """

    def __init__(self, scope: Schema, hops: tuple[Step, ...], related: dict[str, RelatedCell]) -> None:
        super().__init__(scope)
        self.hops = hops
        self.related = related

    def read(self, path: Path, name: str) -> Typed:
        """A cell of the related object, of one on the way to it, or of the row."""
        way = path.many
        if not way or way != self.hops[: len(way)]:
            return super().read(path, name)
        found = cell(path.hops[len(way) :], path.column)
        return self.cell(found, self._joined(way, found))

    def _joined(self, way: tuple[Step, ...], found: Cell) -> str:
        one = related_cell(way, found)
        self.related[one.name] = one
        return one.name

    def is_here(self, path: Path) -> bool:
        """Whether the row or a related object has a cell there."""
        way = path.many
        return way == self.hops[: len(way)]

    def _nearest(self, path: Path) -> tuple[Step, ...]:
        ways = [self.hops[:i] for i, hop in enumerate(self.hops, 1) if not hop.to_one]
        return next((way for way in reversed(ways) if path.hops[: len(way)] == way), ())

    def _matching(self, q: Q, place: tuple[Step, ...]) -> Leaf:
        if not place:
            return super()._matching(q, place)
        derived = _matches(place[-1].schema, _seen_from(self.scope, q, place))
        tree, kind = self.cell(derived, self._joined(place, derived))
        return _as_lookup(q, tree, kind, ())

    def _inner(self) -> Binder:
        return ArgumentBinder(self.scope, self.hops, self.related)

    def aggregate(self, value: Aggregate) -> Derived:
        """Raises FieldError: an aggregate of aggregates."""
        raise FieldError(f"{self.scope.name}: {value} can't stand within an aggregate: annotate() it, then aggregate()")

    def window(self, value: Window) -> Derived:
        """Raises FieldError: a window in an aggregate."""
        raise FieldError(f"{self.scope.name}: {value} can't stand within an aggregate: annotate() it, then aggregate()")


def related_aggregate(
    scope: Schema,
    value: Aggregate,
    nested: bool = False,
    joined: tuple[Step, ...] = (),
    along: tuple[Step, ...] = (),
) -> RelatedAggregate:
    """The cell of an aggregate.

    nested: its argument may be an aggregate of each row.
    joined: relations along which the rows are joined with related objects already, of which the aggregate may be.
    along: the relations to the objects that it is of, if the names in its argument do not say.

    Raises FieldError for names that are none, for relations to many that do not lie on one way, for values of a type
    that the aggregate does not take.
    """
    hops = followed(scope, names_in(value.argument), str(value)) or along
    if joined[: len(hops)] == hops:
        hops = joined
    related: dict[str, RelatedCell] = {}
    binder = ArgumentBinder(scope, hops, related)
    argument = binder.bind(value.argument)
    if not nested:
        _check_flat(scope, value, argument)
    kind = type_of(scope, value, [argument.type])
    value = _with_default(scope, value, kind)
    condition = None
    if value.filter is not None and not is_empty(value.filter):
        condition = binder.bind(Condition(value.filter))
    if not nested:
        _check_no_window(scope, value, [*binder.reads])
    ways = segments(hops)
    followed_already = len(segments(joined)) if joined and hops[: len(joined)] == joined else 0
    if followed_already == len(ways):
        reads = [*binder.reads]
    elif followed_already:
        source = related_cell(joined, ways[followed_already][0])
        related[source.name] = source
        reads = [*binder.reads]
    else:
        reads = [*binder.reads, ways[0][0]]
    return RelatedAggregate(
        f"aggregate{next(_numbers)}",
        tuple(dict.fromkeys(reads)),
        kind,
        aggregate=value,
        argument=argument,
        condition=condition,
        hops=hops,
        related=tuple(related.values()),
        joined=followed_already,
    )


def number_of_related(found: RelatedAggregate) -> RelatedCount | None:
    """The same as a column that the server has, if it is the number of objects behind one relation; else None."""
    value, argument = found.aggregate, found.argument
    if not isinstance(value, Count) or found.condition is not None or not isinstance(argument.tree, F):
        return None
    if len(segments(found.hops)) != 1 or len(found.related) != 1 or found.related[0].name != argument.tree.name:
        return None
    return RelatedCount(found.hops) if found.related[0].cell is found.hops[-1].schema.pk else None


def _with_default(scope: Schema, value: Aggregate, kind: ValueType | None) -> Aggregate:
    """The aggregate with a default of the type of its values. Raises FieldError for one that does not convert."""
    if value.default is None or kind is None:
        return value
    try:
        return value.having(default=kind.convert(value.default))
    except ValueError:
        raise FieldError(
            f"{scope.name}: {value}: default={shown(value.default)} is no {kind.kind}, which its values are"
        ) from None


def related_cell(way: tuple[Step, ...], found: Cell) -> RelatedCell:
    """A cell of the object at the end of these relations, the last of which leads to many."""
    at = sum(not hop.to_one for hop in way) - 1
    return RelatedCell(f"{'__'.join(hop.name for hop in way)}.{found.name}", at, found)


def _check_flat(scope: Schema, value: Aggregate, argument: Bound) -> None:
    """Raises FieldError for an aggregate of aggregates."""
    counted = next((one for one in needed(argument.reads).stored if isinstance(one, RelatedCount)), None)
    if counted is not None:
        raise FieldError(f"{scope.name}: {value} is of an aggregate itself: write it in aggregate(), over the objects")
    inner = next((one for one in needed(argument.reads).derived if isinstance(one, RelatedAggregate)), None)
    if inner is not None:
        raise FieldError(
            f"{scope.name}: {value} is of {inner.aggregate}, an aggregate itself: write it in aggregate(), over the "
            f"annotated objects"
        )


def _check_no_window(scope: Schema, value: Aggregate, reads: list[Cell]) -> None:
    """Raises FieldError for an aggregate of a window, which can only be one of all rows."""
    window = window_among(reads)
    if window is not None:
        raise FieldError(
            f"{scope.name}: {value} is of {window}, which is known once all rows are: write the aggregate in "
            f"aggregate(), over the annotated objects"
        )


def followed(scope: Schema, names: Iterable[str], asked: str) -> tuple[Step, ...]:
    """The relations, up to the last one to many objects, along which all of these names lie.

    Raises FieldError for names that lie on several ways.
    """
    ways = {resolve(scope, name).many: name for name in sorted(names)}
    ways.pop((), None)
    longest = max(ways, key=len, default=())
    for way, name in ways.items():
        if longest[: len(way)] != way:
            raise FieldError(
                f"{scope.name}: {asked} is about {ways[longest]!r} and {name!r}, two relations to many objects: "
                f"ask for each by itself"
            )
    return longest


def names_in(value: Expression) -> set[str]:
    """The names of fields and relations in an expression."""
    if isinstance(value, Condition):
        return {name for name, _ in leaves_of(value.q) if isinstance(name, str)}
    own = {value.name} if isinstance(value, F) else set[str]()
    return own | {name for part in value.parts() for name in names_in(part)}


# Groups --------------------------------------------------------------------------------------------------------------


class GroupBinder(Binder):
    """Binds what is computed for each group: `scope` has the names of groups, `rows` those of the rows in them.

    nested, joined: as in related_aggregate().
    """

    def __init__(self, scope: Schema, rows: Schema, nested: bool = False, joined: tuple[Step, ...] = ()) -> None:
        super().__init__(scope)
        self.rows = rows
        self.nested = nested
        self.joined = joined

    def aggregate(self, value: Aggregate) -> Derived:
        """The cell of an aggregate of the rows of each group."""
        for name in sorted(names_in(value.argument)):
            known = self.scope.annotations.get(name)
            if isinstance(known, AnnotatedColumn) and known.of_groups and not _knows(self.rows, name):
                raise FieldError(
                    f"{self.scope.name}: {value} is of {name!r}, an aggregate itself: aggregate() takes it, over the "
                    f"annotated rows"
                )
        of_rows = related_aggregate(self.rows, value, self.nested, self.joined)
        return GroupAggregate(of_rows.name, (), of_rows.type, of_rows=of_rows)

    def window(self, value: Window) -> Derived:
        """The cell of a window over the groups. Raises FieldError in aggregate(), which has one."""
        if self.nested:
            raise FieldError(
                f"{self.scope.name}: {value} can't stand beside an aggregate: annotate() it, then aggregate()"
            )
        return super().window(value)

    def _inner(self) -> Binder:
        return GroupBinder(self.scope, self.rows, self.nested, self.joined)


def _knows(rows: Schema, name: str) -> bool:
    return name in rows.annotations or name in rows.by_name or bool(steps(rows, name))
