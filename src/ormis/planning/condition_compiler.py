"""From `Q` to conditions: joins the predicates of lookup_compiler.py and follows relations.

Conditions joined by `&` and `|` in one call speak of the same related object: they are gathered under one `Many`. A
negated condition and the sides of `^` stand on their own.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from ..errors import FieldError
from ..query.expressions import Expression
from ..query.q import Connector, Leaf, Q
from ..schema.schema import Schema
from .bound import ResolvedLookup
from .columns import LinkStep, Step
from .lookup_compiler import Found, leaf, pair
from .names import DEEPEST
from .predicates import ForwardMatch, LinkMatch, Node, Not, ReverseMatch, join

MOST_CHOICES = 10_000
"""The largest number of alternatives of a condition that mixes fields of a related object with others."""


@dataclass(frozen=True, slots=True)
class Tree:
    """Leaves joined by and, or."""

    connector: str
    parts: "tuple[Part, ...]"


Part = Found | Tree


def compile_q(schema: Schema, q: Q, depth: int = 0) -> Node:
    """Compiles one condition on a model; `depth` counts the conditions around it."""
    return _build(_read(schema, q, depth))


def _read(schema: Schema, child: Q | Leaf, depth: int) -> Part:
    if not isinstance(child, Q):
        return _read_leaf(schema, *child)
    while len(child.children) == 1 and not child.negated and isinstance(inner := child.children[0], Q):
        child = inner
    if depth > DEEPEST:
        raise FieldError(f"{schema.name}: a condition is nested more than {DEEPEST} deep; join its parts side by side")
    if child.negated:
        return Found((), Not(compile_q(schema, ~child, depth + 1)))
    if child.connector == "xor":
        return Found((), join("xor", [_build(_read(schema, part, depth + 1)) for part in child]))
    return Tree(child.connector, tuple([_read(schema, part, depth + 1) for part in _joined_alike(child)]))


def _read_leaf(schema: Schema, name: str | ResolvedLookup, value: Any) -> Part:
    """A lookup and its value; `range` and `in` with expressions among the values as one comparison with each."""
    several = each_expression(name, value, f"{schema.name}.{name}")
    if several is None:
        return leaf(schema, name, value)
    connector, leaves = several
    return Tree(connector, tuple([leaf(schema, *one) for one in leaves]))


def each_expression(name: str | ResolvedLookup, value: Any, place: str) -> tuple[Connector, list[Leaf]] | None:
    """`range` and `in` with expressions among their values as comparisons with each; None for any other lookup."""
    if not isinstance(value, list | tuple | set | frozenset) or isinstance(name, ResolvedLookup):
        return None
    values: list[Any] = [*value]  # pyright: ignore[reportUnknownArgumentType]
    expressions = [item for item in values if isinstance(item, Expression)]
    column, _, lookup = name.rpartition("__")
    if not expressions or not column or lookup not in ("range", "in"):
        return None
    if lookup == "range":
        low, high = pair(values, place)
        return "and", [(f"{column}__gte", low), (f"{column}__lte", high)]
    constants = [item for item in values if not isinstance(item, Expression)]
    leaves: list[Leaf] = [(f"{column}__exact", item) for item in expressions]
    return "or", [*leaves, (name, constants)] if constants else leaves


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
        return along(part.hops, part.node)
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
        return join("and", [along(prefix, inner), _build_and(rest)])
    return join("and", [_build(part) for part in parts])


def _check_choices(parts: list[Part]) -> None:
    choices = _choices(Tree("and", tuple(parts)))
    if choices > MOST_CHOICES:
        raise FieldError(
            "conditions on one related object, mixed by | with others, have too many combinations: "
            "give them to filter() calls of their own"
        )


def _choices(part: Part) -> int:
    """Returns how many ways there are to meet a part by one side of each `or`."""
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


def along(hops: Sequence[Step], node: Node) -> Node:
    """A condition on the object, or some object, at the end of these steps."""
    for hop in reversed(hops):
        if isinstance(hop, LinkStep):
            node = LinkMatch(hop.schema, hop.link, node)
            continue
        node = ForwardMatch(hop, node) if hop.forward else ReverseMatch(hop, node)
    return node
