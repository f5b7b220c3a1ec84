"""Joining the conditions of two querysets of one model: `|`, `&` and `^`."""

from dataclasses import replace

from ..operations.reading.source import KnownRelated
from ..query.q import Connector, Q
from ..query.state import Query


def joined(one: Query, other: Query, connector: Connector) -> Query:
    """The first query with a condition that joins those of both."""
    one = _knowing(one, other)
    if one.empty or other.empty:
        empty, kept = (one, other) if one.empty else (other, one)
        return empty if connector == "and" else kept
    if connector == "and":
        return one.having(where=(*one.where, *other.where))
    left, right = (as_one(side.where) for side in (one, other))
    if connector == "or":
        return one.having(where=(left | right,) if left.children and right.children else ())
    if left.children and right.children:
        return one.having(where=(left ^ right,))
    rest = left if left.children else right  # the other one is about all objects
    return one.having(where=(~rest,)) if rest.children else one.having(empty=True)


def _knowing(one: Query, other: Query) -> Query:
    """The first query with the annotations of the other, which the conditions of that may name.

    Raises TypeError for annotations of one name that are computed differently, and for rows that are grouped otherwise.
    """
    if other.groups != one.groups:
        raise TypeError("querysets that are grouped differently can't be joined: union() combines their results")
    known = {annotation.name: annotation.expression for annotation in one.annotations}
    names = [annotation.name for annotation in (*one.annotations, *other.annotations)]
    for annotation in other.annotations:
        if (
            known.get(annotation.name, annotation.expression) != annotation.expression
            or names.count(annotation.name) > 2
        ):
            raise TypeError(
                f"{one.schema.name}: both querysets have an annotation {annotation.name!r}, computed differently: give "
                f"one of them another name"
            )
    more = tuple(replace(annotation, shown=False) for annotation in other.annotations if annotation.name not in known)
    if not more:
        return one
    if one.groups is not None:
        raise TypeError(f"{one.schema.name}: the groups of the querysets have different annotations")
    return one.having(annotations=(*one.annotations, *more))


def as_one(conditions: tuple[Q, ...]) -> Q:
    """The conditions of several filter() calls as one, each speaking of its own related objects."""
    parts = [condition for condition in conditions if condition.children]
    if len(parts) < 2:
        return parts[0] if parts else Q()
    # Doubly negated, a condition stands on its own.
    return Q.join("and", [~Q(~part) for part in parts])


def merged(one: KnownRelated, other: KnownRelated) -> KnownRelated:
    """The related objects that the results of both know."""
    references = {**one, **other}
    return {reference: {**one.get(reference, {}), **other.get(reference, {})} for reference in references}
