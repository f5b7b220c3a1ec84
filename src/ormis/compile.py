"""From `Q` to conditions: names are resolved, values converted, relations followed.

Conditions joined by `&` and `|` in one call speak of the same related object: they are gathered under one `Many`. A
negated condition and the sides of `^` stand on their own.
"""

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from math import prod
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from . import registry
from .cells import Cell, Hop, LinkHop, Step, cell
from .conditions import Leaf, Q
from .errors import FieldError, shown
from .expressions import Expression, F
from .lookups import LOOKUPS, PARTS
from .nodes import (
    COMPARISONS,
    PATTERNS,
    Among,
    Compare,
    CompareFields,
    Constant,
    Here,
    Linked,
    Many,
    Node,
    Not,
    One,
    comparable,
    distinct,
    join,
)
from .predicates import part_of, part_type, text_test
from .query import Query
from .schema import Column, Link, Schema, is_hidden

DEEPEST = 100
"""How deep conditions may be nested: what Python and Lua recurse through safely."""
MOST_CHOICES = 10_000
"""How many alternatives there may be of conditions that mix a related object's fields with others."""


@dataclass(frozen=True, slots=True)
class Path:
    """A name in a query, resolved: the relations to follow, the column at the end, the lookups that follow it."""

    hops: tuple[Step, ...]
    column: Column
    lookups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """A leaf: relations to follow, and what must hold at their end."""

    hops: tuple[Step, ...]
    node: Node

    def prefix(self) -> tuple[Step, ...] | None:
        """The hops up to the first back to other objects; None where there is none."""
        for i, hop in enumerate(self.hops, 1):
            if not hop.forward:
                return self.hops[:i]
        return None


@dataclass(frozen=True, slots=True)
class Tree:
    """Leaves joined by and, or."""

    connector: str
    parts: "tuple[Part, ...]"


Part = Found | Tree


def condition(query: Query) -> Node:
    """What all the filters of a query mean together.

    Raises FieldError for unknown names and for values that do not convert.
    """
    if query.empty:
        return Constant(False)
    return join("and", [compile_q(query.schema, q) for q in query.where])


def compile_q(schema: Schema, q: Q, depth: int = 0) -> Node:
    """What one condition means for a model; `depth` is how deep it stands in another."""
    return _build(_read(schema, q, depth))


def _read(schema: Schema, child: Q | Leaf, depth: int) -> Part:
    if not isinstance(child, Q):
        return _leaf(schema, *child)
    while len(child.children) == 1 and not child.negated and isinstance(inner := child.children[0], Q):
        child = inner
    if depth > DEEPEST:
        raise FieldError(f"{schema.name}: a condition is nested more than {DEEPEST} deep; join its parts side by side")
    if child.negated:
        return Found((), Not(compile_q(schema, ~child, depth + 1)))
    if child.connector == "xor":
        return Found((), join("xor", [_build(_read(schema, part, depth + 1)) for part in child]))
    return Tree(child.connector, tuple([_read(schema, part, depth + 1) for part in _joined_alike(child)]))


def _joined_alike(q: Q) -> Iterable[Q | Leaf]:
    """The parts of a condition, with those of parts that are joined as it is in their place, however deep they are."""
    waiting = [*reversed(q.children)]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Q) and _dissolves(part, q.connector):
            waiting += reversed(part.children)
        else:
            yield part


def _dissolves(part: Q, connector: str) -> bool:
    alone = len(part.children) == 1 and part.connector != "xor"
    return not part.negated and (part.connector == connector or alone)


# One related object for all conditions of a call ---------------------------------------------------------------------


def _build(part: Part) -> Node:
    if isinstance(part, Found):
        return _wrap(part.hops, part.node)
    if part.connector == "or":
        return join("or", [_build(p) for p in part.parts])
    return _build_and(list(_flat(part)))


def _flat(tree: Tree) -> Iterable[Part]:
    for part in tree.parts:
        if isinstance(part, Tree) and (part.connector == tree.connector or len(part.parts) == 1):
            yield from _flat(Tree(tree.connector, part.parts))
        else:
            yield part


def _build_and(parts: list[Part]) -> Node:
    for prefix in {p for part in parts for p in _prefixes(part) if p is not None}:
        about, rest = _parted(parts, lambda part, prefix=prefix: prefix in _prefixes(part))
        if len(about) < 2:
            continue
        mixed = next((part for part in about if _prefixes(part) != {prefix}), None)
        if isinstance(mixed, Tree):
            _check_choices(about)
            others = [part for part in parts if part is not mixed]
            return join("or", [_build_and([*others, *_flat(Tree("and", (choice,)))]) for choice in mixed.parts])
        inner = _build_and([_strip(part, len(prefix)) for part in about])
        return join("and", [_wrap(prefix, inner), _build_and(rest)])
    return join("and", [_build(part) for part in parts])


def _check_choices(parts: list[Part]) -> None:
    choices = _choices(Tree("and", tuple(parts)))
    if choices > MOST_CHOICES:
        raise FieldError(
            "conditions on one related object, mixed by | with others, have too many combinations: "
            "give them to filter() calls of their own"
        )


def _choices(part: Part) -> int:
    """How many ways there are to meet a part by choosing one side of each or."""
    if isinstance(part, Found):
        return 1
    choices = [_choices(inner) for inner in part.parts]
    return sum(choices) if part.connector == "or" else prod(choices)


def _parted(parts: Iterable[Part], test: Callable[[Part], bool]) -> tuple[list[Part], list[Part]]:
    """The parts that pass the test, and the others."""
    passed: list[Part] = []
    others: list[Part] = []
    for part in parts:
        (passed if test(part) else others).append(part)
    return passed, others


def _prefixes(part: Part) -> set[tuple[Step, ...] | None]:
    if isinstance(part, Found):
        return {part.prefix()}
    return {prefix for inner in part.parts for prefix in _prefixes(inner)}


def _strip(part: Part, count: int) -> Part:
    if isinstance(part, Found):
        return Found(part.hops[count:], part.node)
    return Tree(part.connector, tuple(_strip(inner, count) for inner in part.parts))


def _wrap(hops: Sequence[Step], node: Node) -> Node:
    for hop in reversed(hops):
        if isinstance(hop, LinkHop):
            node = Linked(hop.schema, hop.link, node)
            continue
        column = hop.reference.column
        node = One(column, hop.schema, node) if hop.forward else Many(hop.schema, column, node, hop.source)
    return node


# Leaves --------------------------------------------------------------------------------------------------------------


def _leaf(schema: Schema, name: str, value: Any) -> Found:
    path = resolve(schema, name)
    place = f"{schema.name}.{name}"
    if isinstance(value, Expression):
        return _compared_with(schema, path, value, place)
    return Found(path.hops, compare(path.column, path.lookups, _without_objects(schema, path, value, place), place))


def _without_objects(schema: Schema, path: Path, value: Any, place: str) -> Any:
    """The value, with keys where there are objects. Raises FieldError for those of a wrong model, and a queryset's."""
    at = path.hops[-1].schema if path.hops else schema
    query, keys = getattr(value, "query", None), _holds_keys_of(at, path.column)
    if isinstance(query, Query):
        if keys and query.shape == "objects":
            _check_model(at, path.column, query.schema, value, place)
        return value
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
    _check_model(schema, column, value._schema(), value, place)
    if value.pk is None:
        raise FieldError(f"{place}: {value!r} is not saved yet, it has no key to look for")
    return value.pk


def _check_model(schema: Schema, column: Column, given: Schema, value: Any, place: str) -> None:
    """Raises FieldError where the model's keys, or what they refer to, are not what the column holds."""
    wanted = _holds_keys_of(schema, column)
    if wanted.isdisjoint({given.key, *(r.target for r in given.references if r.column is given.pk)}):
        names = " or ".join(sorted(registry.model_for(key).__name__ for key in wanted)) or "no objects"
        raise FieldError(f"{place}={shown(value)}: takes {names}, not {given.name}")


def _holds_keys_of(schema: Schema, column: Column) -> set[str]:
    """The models whose keys the column holds."""
    own = {schema.key} if column is schema.pk else set[str]()
    return own | {reference.target for reference in schema.references if reference.column is column}


def compare(column: Column, lookups: Sequence[str], value: Any, place: str) -> Node:
    """The comparison of a column with a value. Raises FieldError naming `place` and the value."""
    if lookups and lookups[0] in PARTS.get(column.codec.kind, ()):
        return _compare_part(column, lookups, value, place)
    name = _lookup(column, lookups, place)
    if name == "isnull" or (name == "exact" and value is None):
        return _null(column, True if value is None else value, place)
    if name == "in":
        return _among(column, value, place)
    if name == "range":
        low, high = _pair(value, place)
        return join("and", [_one(column, "gte", low, place), _one(column, "lte", high, place)])
    if LOOKUPS[name].takes == "pattern":
        return _pattern(column, name, value, place)
    return _one(column, "eq" if name == "exact" else name, value, place)


def _lookup(column: Column, lookups: Sequence[str], place: str) -> str:
    name = lookups[0] if lookups else "exact"
    if name not in LOOKUPS or len(lookups) > 1:
        unknown = name if name not in LOOKUPS else lookups[1]
        known = [*LOOKUPS, *PARTS.get(column.codec.kind, ())]
        if unknown in known:
            raise FieldError(f"{place}: {unknown!r} can't follow {name!r}")
        near = get_close_matches(unknown, known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        raise FieldError(f"{place}: there is no lookup {unknown!r} for {column.codec.kind}: {hint}")
    return name


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
        if query.shape != "objects" and len(query.fields or ()) != 1:
            raise FieldError(f"{place}: in takes a queryset with values of one field, not of {len(query.fields or ())}")
        return Among(column, value._single)
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise FieldError(f"{place}={shown(value)}: in takes a list of values or a queryset")
    values = [converted(column, v, place) for v in value if v is not None]  # pyright: ignore[reportUnknownVariableType]
    return Compare(column, "in", distinct(column, values)) if values else Constant(False)


def _pair(value: Any, place: str) -> tuple[Any, Any]:
    if isinstance(value, str | bytes) or not isinstance(value, Sequence) or len(value) != 2:  # pyright: ignore[reportUnknownArgumentType]
        raise FieldError(f"{place}={shown(value)}: range takes two values, the lowest and the highest")
    return cast(tuple[Any, Any], (value[0], value[1]))  # pyright: ignore[reportUnknownArgumentType]


def _pattern(column: Column, name: str, value: Any, place: str) -> Node:
    if not isinstance(value, str):
        raise FieldError(f"{place}={shown(value)}: {name} takes a text")
    _check_text(column, name, place)
    if LOOKUPS[name].server:
        return Compare(column, name, (_utf8(value, place),))
    test, field, codec = text_test(name, value, place), column.name, column.codec

    def holds(row: Any) -> bool:
        return row[field] is not None and test(comparable(codec, row[field]))

    return Here((column,), holds, f"{field} {name} {value!r}")


def _check_text(column: Column, name: str, place: str) -> None:
    if column.codec.kind != "text":
        raise FieldError(f"{place}: {name} is for text, and {column.name} is a {column.codec.kind}")


def _utf8(value: str, place: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise FieldError(f"{place}={shown(value)} can't be looked for: {error}") from None
    return value


def _compare_part(column: Column, lookups: Sequence[str], value: Any, place: str) -> Node:
    """A part of a date or time compared: `published__year__gte=2025`."""
    part, rest, field = lookups[0], lookups[1:], column.name
    name = rest[0] if rest else "exact"
    if len(rest) > 1 or name not in _PART_OPERATORS:
        raise FieldError(
            f"{place}: a part of a time has no lookup {'__'.join(rest)!r}: there are {', '.join(_PART_OPERATORS)}"
        )
    adapter = TypeAdapter(part_type(part))

    def convert(item: Any) -> Any:
        try:
            return adapter.validate_python(item)
        except ValueError as error:
            raise FieldError(f"{place}={shown(item)} does not convert to {part}: {reason(error)}") from None

    if name == "range":
        wanted: Any = tuple(convert(item) for item in _pair(value, place))
    elif name == "in":
        if isinstance(value, str | bytes) or not isinstance(value, Iterable):
            raise FieldError(f"{place}={shown(value)}: in takes a list of values")
        wanted = {convert(item) for item in value if item is not None}  # pyright: ignore[reportUnknownVariableType]
    else:
        wanted = convert(value)
    holds = _PART_OPERATORS[name]
    return Here(
        (column,),
        lambda row: row[field] is not None and holds(part_of(part, row[field]), wanted),
        f"{field} {part} {name} {value!r}",
    )


_PART_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "exact": operator.eq,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "in": lambda own, wanted: own in wanted,
    "range": lambda own, wanted: wanted[0] <= own <= wanted[1],
}


def _compared_with(schema: Schema, path: Path, value: Expression, place: str) -> Found:
    """A column compared with an expression over the same object, and those it refers to.

    Across a relation to many, the expression may also name fields of that same related object.
    """
    many = max((i for i, hop in enumerate(path.hops, 1) if not hop.to_one), default=0)
    before, after = path.hops[:many], path.hops[many:]
    cells = {name: _seen_from(schema, before, name, place) for name in value.names()}
    return Found(before, _comparison(cell(after, path.column), path, value, cells, place))


def _seen_from(schema: Schema, before: tuple[Step, ...], name: str, place: str) -> Cell:
    """The cell that an expression names, as the object at the end of the steps before sees it."""
    found = resolve(schema, name)
    if found.lookups:
        raise FieldError(f"{place}: F({name!r}) names no stored field")
    if before and found.hops[: len(before)] == before:
        hops = found.hops[len(before) :]
    elif before:
        hops = (*(_back(hop, place) for hop in reversed(before)), *found.hops)
    else:
        hops = found.hops
    if not all(hop.to_one for hop in hops):
        raise FieldError(f"{place}: F({name!r}) leads to many objects; compare with a field of one")
    return cell(hops, found.column)


def _back(hop: Step, place: str) -> Hop:
    """The step that leads back."""
    if isinstance(hop, LinkHop) or (hop.forward and not hop.reference.unique):
        raise FieldError(f"{place}: an expression across {hop.name} can name fields of {hop.schema.name} only")
    return Hop(hop.reference, not hop.forward, hop.origin, hop.schema)


def _comparison(own: Cell, path: Path, value: Expression, cells: dict[str, Cell], place: str) -> Node:
    part, lookups = None, path.lookups
    if lookups and lookups[0] in PARTS.get(own.codec.kind, ()):
        part, *lookups = lookups
    name = _lookup(path.column, lookups, place)
    name = "eq" if name == "exact" else name
    if name not in COMPARISONS:
        raise FieldError(f"{place}: {name} can't be compared with an expression")
    if name in PATTERNS:
        _check_text(path.column, name, place)
    if isinstance(value, F) and cells[value.name].codec.kind == own.codec.kind and part is None:
        return CompareFields(own, name, cells[value.name])
    codec = cells[value.name].codec if isinstance(value, F) else own.codec

    def test(row: Any) -> bool:
        left, right = row[own.name], value.found({field: row[c.name] for field, c in cells.items()})
        if left is None or right is None:
            return False
        left = comparable(own.codec, left) if part is None else part_of(part, left)
        try:
            return COMPARISONS[name](left, comparable(codec, right))
        except (TypeError, ValueError, LookupError) as error:
            raise FieldError(f"{place}: {own.name} can't be compared with {value}: {error}") from None

    return Here((own, *cells.values()), test, f"{own.name} {' '.join([*([part] if part else []), name])} {value}")


def reason(error: ValueError) -> str:
    """What pydantic says of a value that does not convert, in one line."""
    return error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)


# Names ---------------------------------------------------------------------------------------------------------------


def resolve(schema: Schema, name: str, whole: bool = False) -> Path:
    """The path that a name such as `question__published__year` means.

    whole: keep a last step whose end could be told without it, from the foreign key itself.
    Raises FieldError for a name that is nothing, with the nearest that is.
    """
    if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise FieldError(f"{schema.name}: fields and relations are named by texts, not by {shown(name)}")
    return _resolved(schema, name, whole, registry.changes())


_BETWEEN = re.compile("__(?!_)")


def parts_of(name: str) -> list[str]:
    """The parts of a name between double underscores; a part may end with one of its own: `class___startswith`."""
    return _BETWEEN.split(name)


@lru_cache(maxsize=4096)
def _resolved(schema: Schema, name: str, whole: bool, _changes: int) -> Path:
    hops: list[Step] = []
    parts = parts_of(name)
    if len(parts) > DEEPEST:
        raise FieldError(f"{schema.name}: {name[:40]!r}... is too long, a name of more than {DEEPEST} parts")
    at = schema
    for i, part in enumerate(parts):
        *first, hop = (None,) if part in at.by_name else _steps(at, part) or (None,)
        rest = tuple(parts[i + 1 :])
        if hop is None:
            if part != "pk" and part not in at.by_name:
                raise _unknown(name, at, part)
            return Path(tuple(hops), at.column(part), rest)
        hops += first
        key_named = rest and rest[0] in ("pk", hop.schema.pk.name)
        by_key = isinstance(hop, Hop) and hop.forward and not whole
        if rest and not _may_follow(hop.schema, rest[0]):
            raise _unknown(name, hop.schema, rest[0])
        if isinstance(hop, Hop) and by_key and (key_named or not (rest and _is_name(hop.schema, rest[0]))):
            return Path(tuple(hops), hop.reference.column, rest[1:] if key_named else rest)
        hops.append(hop)
        at = hop.schema
        if not (rest and _is_name(at, rest[0])):
            return Path(tuple(hops), at.pk, rest)
    raise AssertionError("the last part has returned")


def _is_name(schema: Schema, part: str) -> bool:
    return part == "pk" or part in schema.by_name or bool(_steps(schema, part))


def _may_follow(schema: Schema, part: str) -> bool:
    """Whether a name may follow a relation: one of the related model's, or a lookup."""
    return _is_name(schema, part) or part in LOOKUPS or part in PARTS.get(schema.pk.codec.kind, ())


def _steps(schema: Schema, name: str) -> tuple[Step, ...]:
    """The steps that a name means: none where it is no relation, two where a through model is between."""
    for reference in schema.references:
        if reference.name == name:
            return (Hop(reference, True, registry.model_for(reference.target).__schema__, schema),)
    for source, reference in registry.referrers(schema):
        if name == reference.query_name:
            return (Hop(reference, False, source, schema),)
    for link in registry.links(schema):
        if name == link.query_name:
            return _along(link, schema)
    return ()


def _along(link: Link, schema: Schema) -> tuple[Step, ...]:
    target: Schema = registry.model_for(link.target).__schema__
    if not link.through:
        return (LinkHop(link, target, schema),)
    through: Schema = registry.model_for(link.through).__schema__
    near, far = through.reference(link.near), through.reference(link.far)
    return Hop(near, False, through, schema), Hop(far, True, target, through)


def cell_of(schema: Schema, name: str) -> Cell:
    """The column that a name means, of the model itself or of an object it refers to.

    Raises FieldError for names that are nothing, have lookups, or lead to many objects.
    """
    path = resolve(schema, name)
    if path.lookups:
        raise FieldError(f"{schema.name}.{name}: {path.lookups[0]!r} is no field of what it stands for")
    many = next((hop for hop in path.hops if not hop.to_one), None)
    if many is not None:
        raise FieldError(f"{schema.name}.{name}: {many.name} leads to many objects; name Min or Max of them")
    return cell(path.hops, path.column)


def names_of(schema: Schema) -> list[str]:
    """Every name that a query on this model may begin with."""
    relations = [reference.name for reference in schema.references]
    relations += [reference.query_name for _, reference in registry.referrers(schema)]
    relations += [link.query_name for link in registry.links(schema)]
    return [*schema.by_name, *(name for name in relations if not is_hidden(name)), "pk"]


def _unknown(name: str, at: Schema, part: str) -> FieldError:
    names = names_of(at)
    near = get_close_matches(part, names, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
    whole = f" (in {name!r})" if name != part else ""
    return FieldError(f"{at.name} has no field or relation {part!r}{whole}: {hint}")
