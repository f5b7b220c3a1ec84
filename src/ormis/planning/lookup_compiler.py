"""One lookup and its value as a comparison: values converted, objects taken for their keys, expressions looked into."""

import operator
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from pydantic import TypeAdapter

from ..calls import Operation, Origin
from ..errors import FieldError, hint_for, reason, shown
from ..query.date_parts import part_of, part_type
from ..query.expressions import Expression, F, Value
from ..query.lookups import LOOKUPS, RANGES
from ..query.state import Query
from ..schema import registry
from ..schema.field_validation import RefusedValue
from ..schema.parts import inside_column
from ..schema.schema import Column, PartColumn, Reference, Schema
from .bound import Bound, ResolvedLookup, value_in_row
from .columns import AnnotatedColumn, Cell, ColumnRef, LinkStep, RelatedColumn, RelationStep, Step, cell, readable
from .inside_lookups import check_inside, holds_inside, lookup_inside, lookups_inside
from .names import Path, resolve
from .predicates import (
    COMPARISONS,
    PATTERNS,
    Compare,
    CompareFields,
    CompareOuter,
    Constant,
    InSubquery,
    Node,
    Not,
    PythonTest,
    check_ordered,
    comparable,
    distinct,
    join,
    same_type,
)
from .text_lookups import WITH_TEXT, check_text, text_lookup, text_lookup_of_expression


@dataclass(frozen=True, slots=True)
class Found:
    """A leaf: relations to follow, and what must hold at their end."""

    hops: tuple[Step, ...]
    node: Node

    def prefix(self) -> tuple[Step, ...] | None:
        """The steps up to the first one to several objects; None if there is no such step."""
        for i, hop in enumerate(self.hops, 1):
            if not hop.forward:
                return self.hops[:i]
        return None


def leaf(schema: Schema, name: str | ResolvedLookup, value: Any) -> Found:
    """Compiles one lookup and its value to a predicate. Raises FieldError for an unknown name or an unfit value."""
    path = name.path if isinstance(name, ResolvedLookup) else resolve(schema, name)
    place = f"{schema.name}.{name}"
    if _is_null(value):
        check_lookups(path.column, path.lookups, place)
        return Found((), Constant(False))
    if isinstance(value, Expression):
        return _compared_with(schema, path, value, place)
    return Found(path.hops, compare(path.column, path.lookups, without_objects(schema, path, value, place), place))


def _is_null(value: Any) -> bool:
    """Whether a value is the constant None as an expression, which equals nothing."""
    given = value.given if isinstance(value, Bound) else value
    return isinstance(given, Value) and given.value is None


def without_objects(schema: Schema, path: Path, value: Any, place: str) -> Any:
    """The value with objects replaced by their keys. Raises FieldError for objects of other models, and querysets."""
    at = path.hops[-1].schema if path.hops else schema
    query, keys = getattr(value, "query", None), _keys_held(at, path.column)
    if isinstance(query, Query):
        if not keys or query.shape != "objects":
            return value
        key = _key_of(at, path.column, query.schema, value, place)
        return value if key is query.schema.pk else _Keys(query, partial(value._single, key=key.name))
    single = not path.lookups or isinstance(value, str | bytes) or hasattr(value.__class__, "__schema__")
    if single or not keys or not isinstance(value, Iterable):
        return key_for(at, path.column, value, place)
    return [key_for(at, path.column, item, place) for item in value]  # pyright: ignore[reportUnknownVariableType]


def key_for(schema: Schema, column: Column, value: Any, place: str) -> Any:
    """The key of an object that stands for a value of this column; anything else as it is.

    Raises FieldError for an object of another model than that whose keys the column holds, and for one without a key.
    """
    if not hasattr(value.__class__, "__schema__"):
        return value
    key = _key_of(schema, column, value._schema(), value, place)
    if value.pk is None:
        raise FieldError(f"{place}: {value!r} is not saved yet, it has no key to look for")
    found = getattr(value, key.name)
    if found is None:
        raise FieldError(f"{place}: {value!r} has no {key.name} to look for")
    return found


def _key_of(schema: Schema, column: Column, given: Schema, value: Any, place: str) -> Column:
    """The column of a given model whose values this column holds. Raises FieldError if it holds no keys of it."""
    held = _keys_held(schema, column)
    for label in held.keys() & given.relatives:
        return held[label]
    for reference in given.references:  # an object whose own key is that of another one stands for that
        if reference.column is given.pk and held.get(reference.target) is reference.referred(_target(reference)):
            return given.pk
    names = " or ".join(sorted(registry.model_for(label).__name__ for label in held)) or "no objects"
    raise FieldError(f"{place}={shown(value)}: takes {names}, not {given.name}")


def _keys_held(schema: Schema, column: Column) -> dict[str, Column]:
    """The models, by their labels, whose keys the column holds, and the column of each that has these."""
    if isinstance(column, AnnotatedColumn) and column.renamed is not None:
        column = column.renamed
    own = {schema.label: schema.pk} if column is schema.pk else dict[str, Column]()
    return own | {r.target: r.referred(_target(r)) for r in schema.references if r.column is column}


def _target(reference: Reference) -> Schema:
    return registry.schema_for(reference.target)


@dataclass(frozen=True, slots=True)
class _Keys:
    """A queryset of objects whose values of another field than the primary key are compared with."""

    query: Query
    _single: Callable[[Origin], Operation[list[Any]]]


def compare(column: Column, lookups: Sequence[str], value: Any, place: str) -> Node:
    """The comparison of a column with a value. Raises FieldError naming `place` and the value."""
    if lookups and lookups[0] in column.codec.traits.parts:
        return _compare_part(readable(column), lookups, value, place)
    name = _lookup(column, lookups, place)
    if name == "isnull" or (name == "exact" and value is None):
        return _null(column, True if value is None else value, place)
    inside = lookup_inside(column, name, value, place, compare)
    if inside is not None:
        return inside
    check_inside(column, name, place)
    column = readable(column)
    if name == "exact":
        return _equal(column, value, place)
    if name == "in":
        return _among(column, value, place)
    if name in RANGES:
        check_ordered(column, place, name)
    if name == "range":
        low, high = pair(value, place)
        return join("and", [_one(column, "gte", low, place), _one(column, "lte", high, place)])
    if LOOKUPS[name].takes == "pattern":
        return text_lookup(column, name, value, place)
    return _one(column, name, value, place)


def _equal(column: Column, value: Any, place: str) -> Node:
    """Equality with a value, or with that of a queryset of one."""
    query = getattr(value, "query", None)
    if isinstance(query, Query):
        if query.limit != 1:
            raise FieldError(f"{place}={shown(value)}: slice the queryset to one value, [:1], or write __in")
        return _among(column, value, place)
    try:
        value = normalised(column, value, place)
    except RefusedValue:
        return Constant(False)
    if not column.codec.traits.equal_by_text:
        return equal_here(column, [value], place)
    return _one(column, "eq", value, place)


def normalised(column: Column, value: Any, place: str) -> Any:
    """A value as the validators of the field make it. Raises FieldError if it is of another type, else RefusedValue."""
    if value is None or column.normalise is None:
        return value
    return column.normalise(_converted(column, value, place))


def equal_here(column: Column, values: Iterable[Any], place: str) -> Node:
    """Equality with one of these, as Python sees it: equal values may be stored as different texts."""
    operand, name = [_converted(column, value, place) for value in values if value is not None], column.name
    if not operand:
        return Constant(False)

    def holds(row: Any) -> bool:
        return row[name] is not None and row[name] in operand

    return PythonTest(
        (column,), holds, f"{name} in {shown(operand)}" if len(operand) > 1 else f"{name} eq {shown(operand[0])}"
    )


def _lookup(column: Column, lookups: Sequence[str], place: str) -> str:
    name = lookups[0] if lookups else "exact"
    if name not in LOOKUPS or len(lookups) > 1:
        unknown = name if name not in LOOKUPS else lookups[1]
        known = [*(n for n in LOOKUPS if _has_lookup(column, n)), *column.codec.traits.parts]
        if unknown in known:
            raise FieldError(f"{place}: {unknown!r} can't follow {name!r}")
        inside = inside_column(column)
        if inside is not None and name not in LOOKUPS:
            known = [*inside.names, *known]
            raise FieldError(
                f"{place}: {column.name} has no part and no lookup {unknown!r}: {hint_for(unknown, known)}"
            )
        raise FieldError(f"{place}: there is no lookup {unknown!r} for {column.codec.kind}: {hint_for(unknown, known)}")
    return name


def check_lookups(column: Column, lookups: Sequence[str], place: str) -> None:
    """Raises FieldError for lookups that the column does not have, whatever the value."""
    if lookups and lookups[0] in column.codec.traits.parts:
        _part_operator(lookups[1:], place)
        return
    name = _lookup(column, lookups, place)
    check_inside(column, name, place)
    if column.codec.kind == "json":
        return
    if name in RANGES:
        check_ordered(column, place, name)
    if LOOKUPS[name].takes == "pattern":
        check_text(column, name, place)


def _has_lookup(column: Column, name: str) -> bool:
    if column.codec.kind == "json":
        return name in lookups_inside(column)
    if LOOKUPS[name].takes == "inside":
        return False
    if name in RANGES:
        return column.codec.traits.ordered
    return LOOKUPS[name].takes != "pattern" or column.codec.kind in WITH_TEXT


def _one(column: Column, operator: str, value: Any, place: str) -> Compare:
    return Compare(column, operator, (converted(column, value, place),))


def converted(column: Column, value: Any, place: str) -> Any:
    """A lookup value as the column holds it. Raises FieldError naming the place."""
    return with_text(column, value, place)[0]


def with_text(column: Column, value: Any, place: str) -> tuple[Any, str | bytes]:
    """As converted(), and the text that it is stored as."""
    if value.__class__ is not column.exact:
        value = _converted(column, value, place)
    try:
        return value, column.codec.encode(value)
    except ValueError as error:
        raise _unfit(column, value, place, error) from None


def _converted(column: Column, value: Any, place: str) -> Any:
    if value is None:
        raise FieldError(f"{place}=None: only exact and isnull can be asked of None")
    try:
        return column.convert(value)
    except ValueError as error:
        raise _unfit(column, value, place, error) from None


def _unfit(column: Column, value: Any, place: str, error: ValueError) -> FieldError:
    return FieldError(f"{place}={shown(value)} does not convert to {column.codec.kind}: {reason(error)}")


def _null(column: Column, value: Any, place: str) -> Node:
    if not isinstance(value, bool):
        raise FieldError(f"{place}={shown(value)}: isnull takes True or False")
    node = Compare(column, "null")
    return node if value else Not(node)


def _among(column: Column, value: Any, place: str) -> Node:
    query = getattr(value, "query", None)
    if isinstance(query, Query):
        values = len(query.fields or ())
        if query.shape != "objects" and values != 1:
            raise FieldError(f"{place}: in takes a queryset with values of one field, not of {values}")
        return InSubquery(column, value._single, query)
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise FieldError(f"{place}={shown(value)}: in takes a list of values or a queryset")
    if column.normalise is not None:
        value = _all_normalised(column, cast(Iterable[Any], value), place)
    if not column.codec.traits.equal_by_text:
        return equal_here(column, value, place)  # pyright: ignore[reportUnknownArgumentType]
    values = [converted(column, v, place) for v in value if v is not None]  # pyright: ignore[reportUnknownVariableType]
    return Compare(column, "in", distinct(column, values)) if values else Constant(False)


def _all_normalised(column: Column, values: Iterable[Any], place: str) -> list[Any]:
    """The values as the validators of the field make them, without those that they refuse."""
    kept: list[Any] = []
    for value in values:
        with suppress(RefusedValue):
            kept.append(normalised(column, value, place))
    return kept


def pair(value: Any, place: str) -> tuple[Any, Any]:
    """The two values of a range. Raises FieldError for others."""
    if isinstance(value, str | bytes) or not isinstance(value, Sequence) or len(value) != 2:  # pyright: ignore[reportUnknownArgumentType]
        raise FieldError(f"{place}={shown(value)}: range takes two values, the lowest and the highest")
    return cast(tuple[Any, Any], (value[0], value[1]))  # pyright: ignore[reportUnknownArgumentType]


def _compare_part(column: Column, lookups: Sequence[str], value: Any, place: str) -> Node:
    """A part of a date or time compared: `published__year__gte=2025`."""
    part, field = lookups[0], column.name
    name = _part_operator(lookups[1:], place)
    adapter = TypeAdapter(part_type(part))

    def convert(item: Any) -> Any:
        try:
            return adapter.validate_python(item)
        except ValueError as error:
            raise FieldError(f"{place}={shown(item)} does not convert to {part}: {reason(error)}") from None

    if name == "range":
        operand: Any = tuple(convert(item) for item in pair(value, place))
    elif name == "in":
        if isinstance(value, str | bytes) or not isinstance(value, Iterable):
            raise FieldError(f"{place}={shown(value)}: in takes a list of values")
        operand = {convert(item) for item in value if item is not None}  # pyright: ignore[reportUnknownVariableType]
    else:
        operand = convert(value)
    holds = _PART_OPERATORS[name]
    return PythonTest(
        (column,),
        lambda row: row[field] is not None and holds(part_of(part, row[field]), operand),
        f"{field} {part} {name} {value!r}",
    )


def _part_operator(lookups: Sequence[str], place: str) -> str:
    """The lookup after a part of a date or time. Raises FieldError for one that is none."""
    name = lookups[0] if lookups else "exact"
    if len(lookups) > 1 or name not in _PART_OPERATORS:
        unknown = "__".join(lookups)
        raise FieldError(f"{place}: a part of a time has no lookup {unknown!r}: {hint_for(unknown, _PART_OPERATORS)}")
    return name


_PART_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "exact": operator.eq,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "in": lambda own, operand: own in operand,
    "range": lambda own, operand: operand[0] <= own <= operand[1],
}


def _compared_with(schema: Schema, path: Path, value: Expression, place: str) -> Found:
    """A column compared with an expression over the same object, and those it refers to.

    Across a relation to many, the expression may also name fields of that same related object.
    """
    before, after = path.many, path.hops[len(path.many) :]
    outer = _outer(schema, path, value, before)
    if outer is not None:
        return Found(path.hops, outer)
    if isinstance(value, Bound):
        if before and value.reads:
            raise FieldError(f"{place}: {value} can't be compared across {before[-1].name}: annotate() it first")
        cells: dict[str, Cell] = {one.name: one for one in value.reads}
    else:
        cells = {name: seen_from(schema, before, name, place) for name in value.names()}
    return Found(before, _comparison(cell(after, path.column), path, value, cells, place))


def _outer(schema: Schema, path: Path, value: Expression, before: tuple[Step, ...]) -> Node | None:
    """A comparison with a field of an object on the way, if no relation to one leads back there; else None."""
    if not isinstance(value, F) or not before or len(path.lookups) > 1:
        return None
    found = resolve(schema, value.name)
    shared = next((i for i, hops in enumerate(zip(before, found.hops, strict=False)) if hops[0] != hops[1]), None)
    shared = min(len(before), len(found.hops)) if shared is None else shared
    if found.hops[shared:] or not any(isinstance(hop, LinkStep) or _leads_to_many(hop) for hop in before[shared:]):
        return None
    name = path.lookups[0] if path.lookups else "exact"
    own, other = path.column, found.column
    by_text = own.codec.traits.equal_by_text and other.codec.traits.equal_by_text
    if isinstance(own, PartColumn) or isinstance(other, PartColumn):
        return None
    name = "eq" if name == "exact" else name
    if name not in COMPARISONS or own.codec.kind != other.codec.kind or not by_text:
        return None
    return CompareOuter(own, name, len(path.hops) - shared, other)


def _leads_to_many(hop: RelationStep) -> bool:
    """Whether many objects are at the other end of the step back."""
    return hop.forward and not hop.reference.unique


class OutOfSight(FieldError):
    """An expression names a field that no relation to one object leads to."""


def seen_from(schema: Schema, before: tuple[Step, ...], name: str, place: str) -> ColumnRef:
    """The cell that an expression names, as the object at the end of the steps before sees it."""
    found = resolve(schema, name)
    if found.lookups:
        raise FieldError(f"{place}: F({name!r}) names no stored field")
    shared = next((i for i, (one, other) in enumerate(zip(before, found.hops, strict=False)) if one != other), None)
    shared = min(len(before), len(found.hops)) if shared is None else shared
    if before and isinstance(found.column, AnnotatedColumn):
        raise OutOfSight(f"{place}: the annotation {name!r} can't be compared across {before[-1].name}")
    hops = (*(_back(hop, place) for hop in reversed(before[shared:])), *found.hops[shared:])
    if not all(hop.to_one for hop in hops):
        raise OutOfSight(f"{place}: F({name!r}) leads to many objects; compare with a field of one")
    return cell(hops, found.column)


def _back(hop: Step, place: str) -> RelationStep:
    """The step that leads back."""
    if isinstance(hop, LinkStep) or _leads_to_many(hop):
        raise OutOfSight(f"{place}: an expression across {hop.name} can name fields of {hop.schema.name} only")
    return RelationStep(hop.reference, not hop.forward, hop.origin, hop.schema)


def _text_or_inside(
    own: ColumnRef, path: Path, name: str, value: Expression, cells: dict[str, Cell], place: str
) -> Node | None:
    """A lookup of texts, or of what is inside of a value, whose operand is an expression; None for a comparison."""
    check_inside(path.column, name, place)
    if own.codec.kind != "json":
        by_text = LOOKUPS[name].takes == "pattern"
        return text_lookup_of_expression(own, name, value, cells, place) if by_text else None
    if name in ("exact", "in", "isnull"):
        return None

    def test(row: Any) -> bool:
        left, right = row[own.name], value_in_row(value, row, cells)
        return left is not None and right is not None and holds_inside(name, left, right)

    return PythonTest((own, *cells.values()), test, f"{own.name} {name} {value}")


def _comparison(own: ColumnRef, path: Path, value: Expression, cells: dict[str, Cell], place: str) -> Node:
    part, lookups = None, path.lookups
    if lookups and lookups[0] in own.codec.traits.parts:
        part, *lookups = lookups
    name = _lookup(path.column, lookups, place)
    found = None if part is not None else _text_or_inside(own, path, name, value, cells, place)
    if found is not None:
        return found
    name = "eq" if name == "exact" else name
    if name not in COMPARISONS or name in PATTERNS:
        raise FieldError(f"{place}: {name} can't be compared with an expression")
    other = cells[value.name] if isinstance(value, F) else value if isinstance(value, Bound) else own
    if name in RANGES and part is None:
        check_ordered(own, place, name)
        check_ordered(other, place, name)
    by_text = own.codec.traits.equal_by_text and other.codec.traits.equal_by_text
    same_kind = other.codec.kind == own.codec.kind and part is None and by_text
    if isinstance(value, F) and isinstance(other, Column | RelatedColumn) and same_kind:
        return CompareFields(own, name, other)
    codec = other.codec

    def test(row: Any) -> bool:
        left, right = row[own.name], value_in_row(value, row, cells)
        if left is None or right is None:
            return False
        if not by_text:
            return left == right
        left = comparable(own.codec, left) if part is None else part_of(part, left)
        try:
            return COMPARISONS[name](*same_type(left, comparable(codec, right)))
        except (TypeError, ValueError, LookupError) as error:
            raise FieldError(f"{place}: {own.name} can't be compared with {value}: {error}") from None

    return PythonTest((own, *cells.values()), test, f"{own.name} {' '.join([*([part] if part else []), name])} {value}")
