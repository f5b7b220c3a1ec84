"""The references of a query to rows outside, found and replaced: in conditions, annotations, orders, inner subqueries.

A reference of depth 1 in a query is about the row right outside; in a subquery of that query, one of depth 2 is.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from .aggregates import Aggregate
from .expressions import Condition, Expression, OrderBy
from .q import Leaf, Q
from .references import OuterRef, unresolved
from .state import Annotation, Query

Change = Callable[[OuterRef, int], Expression]
"""Is given a reference and the depth of those that are about the row right outside of the whole query."""


class Rewriter:
    """Replaces references; what holds none stays as it is, the very same object."""

    def __init__(self, change: Change) -> None:
        self.change = change

    def query(self, query: Query, depth: int = 1) -> Query:
        """The query with its references replaced."""
        where = _same(query.where, [self.condition(q, depth, query) for q in query.where])
        annotations = _same(query.annotations, [self._annotation(one, depth) for one in query.annotations])
        order = None if query.order is None else _same(query.order, [self._item(item, depth) for item in query.order])
        parts = _same(query.parts, [self._queryset(part, depth) for part in query.parts])
        new = {"where": where, "annotations": annotations, "order": order, "parts": parts}
        changes = {name: value for name, value in new.items() if value is not getattr(query, name)}
        return query.having(**changes) if changes else query

    def condition(self, q: Q, depth: int, query: Query | None = None) -> Q:
        """A condition with its references replaced; query: the one whose filter() it was given to."""
        if not _computes(q):
            return q
        children = _same(
            q.children,
            [
                self.condition(child, depth, query) if isinstance(child, Q) else self._leaf(child, depth, query, q)
                for child in q.children
            ],
        )
        return q if children is q.children else Q.join(q.connector, children, q.negated)

    def expression(self, value: Any, depth: int) -> Any:
        """An expression, or a subquery, with its references replaced."""
        if isinstance(value, OuterRef):
            return self.change(value, depth)
        if isinstance(value, Condition):
            q = self.condition(value.q, depth)
            return value if q is value.q else Condition(q)
        if is_subquery(value):
            inner = self.query(value.inner, depth + 1)
            return value if inner is value.inner else value.of(inner)
        parts = value.parts()
        new = _same(parts, [self.expression(part, depth) for part in parts])
        if new is not parts:
            value = value.with_parts(new)
        if isinstance(value, Aggregate) and value.filter is not None:
            q = self.condition(value.filter, depth)
            value = value if q is value.filter else value.filtered(q)
        return value

    def leaf(self, name: Any, value: Any, query: Query | None, q: Q) -> Leaf:  # noqa: ARG002 - subclasses need it
        """A lookup whose value held references."""
        return name, value

    def _leaf(self, leaf: Leaf, depth: int, query: Query | None, q: Q) -> Leaf:
        name, value = leaf
        new_name = self.expression(name, depth) if isinstance(name, Expression) else name
        new = self._value(value, depth)
        if new is value:
            return leaf if new_name is name else (new_name, value)
        return self.leaf(new_name, new, query, q)

    def _value(self, value: Any, depth: int) -> Any:
        if isinstance(value, Expression):
            return self.expression(value, depth)
        if isinstance(value, list | tuple | set | frozenset):
            items: list[Any] = [*value]  # pyright: ignore[reportUnknownArgumentType]
            if not any(isinstance(item, Expression) for item in items):
                return value  # pyright: ignore[reportUnknownVariableType]
            new = [self.expression(item, depth) if isinstance(item, Expression) else item for item in items]
            return value if all(a is b for a, b in zip(new, items, strict=True)) else new  # pyright: ignore[reportUnknownVariableType]
        return self._queryset(value, depth + 1)

    def _queryset(self, value: Any, depth: int) -> Any:
        query = getattr(value, "query", None)
        if not isinstance(query, Query):
            return value
        inner = self.query(query, depth)
        return value if inner is query else value._copy_of(inner)

    def _annotation(self, one: Annotation, depth: int) -> Annotation:
        new = self.expression(one.expression, depth)
        return one if new is one.expression else replace(one, expression=new)

    def _item(self, item: Any, depth: int) -> Any:
        if isinstance(item, OrderBy):
            new = self.expression(item.expression, depth)
            return item if new is item.expression else replace(item, expression=new)
        if isinstance(item, Q):
            return self.condition(item, depth)
        return self.expression(item, depth) if isinstance(item, Expression) else item


def _computes(q: Q) -> bool:
    """Whether a condition has anything but constants in it; it may be nested deeply."""
    waiting = [q]
    while waiting:
        for child in waiting.pop().children:
            if isinstance(child, Q):
                waiting.append(child)
            elif isinstance(child[0], Expression) or _is_computed(child[1]):
                return True
    return False


def _is_computed(value: Any) -> bool:
    if isinstance(value, list | tuple | set | frozenset):
        return any(isinstance(item, Expression) for item in value)  # pyright: ignore[reportUnknownVariableType]
    return isinstance(value, Expression) or isinstance(getattr(value, "query", None), Query)


def is_subquery(value: Any) -> bool:
    """Whether an expression holds a queryset; the classes are above this module."""
    return isinstance(getattr(value, "inner", None), Query)


def _same(old: Sequence[Any], new: list[Any]) -> Any:
    return old if all(a is b for a, b in zip(old, new, strict=True)) else tuple(new)


# Found ---------------------------------------------------------------------------------------------------------------


def references_of(query: Query) -> list[OuterRef]:
    """The references of a query to the row right outside of it, each once."""
    found: dict[str, OuterRef] = {}

    def note(reference: OuterRef, depth: int) -> OuterRef:
        if reference.depth == depth:
            found.setdefault(reference.field, reference)
        return reference

    Rewriter(note).query(query)
    return [*found.values()]


def references_in(value: Expression | Q) -> bool:
    """Whether an expression or a condition of a query refers to the row right outside of that."""
    found: list[OuterRef] = []

    def note(reference: OuterRef, depth: int) -> OuterRef:
        if reference.depth == depth:
            found.append(reference)
        return reference

    rewriter = Rewriter(note)
    _ = rewriter.condition(value, 1) if isinstance(value, Q) else rewriter.expression(value, 1)
    return bool(found)


def renamed_references(query: Query, name: Callable[[str], str]) -> Query:
    """The query with other names in the references to the row right outside of it."""

    def change(reference: OuterRef, depth: int) -> OuterRef:
        return reference if reference.depth != depth else reference.renamed(name(reference.field))

    return Rewriter(change).query(query)


def check_resolved(query: Query) -> None:
    """Raises FieldError if the query refers to rows outside: it is evaluated by itself."""
    Rewriter(_refused).query(query)


def check_value_resolved(value: Expression) -> None:
    """As check_resolved(), of an expression that is evaluated for the rows of a query."""
    Rewriter(_refused).expression(value, 1)


def _refused(reference: OuterRef, depth: int) -> OuterRef:
    if reference.depth >= depth:
        raise unresolved(reference)
    return reference
