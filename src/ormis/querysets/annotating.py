"""annotate() and alias(): computed values under names of their own."""

from collections.abc import Iterable, Mapping
from keyword import iskeyword
from typing import Any

from ..errors import FieldError, shown
from ..planning.names import steps
from ..planning.scopes import scopes
from ..query.aggregates import Aggregate, has_aggregate
from ..query.conditional import When
from ..query.expressions import Expression, expression, is_expression
from ..query.q import Q
from ..query.renaming import renamed
from ..query.state import Annotation, Query, earlier_name
from ..schema.registry import model_for


def annotations(query: Query, positional: Iterable[Any], named: Mapping[str, Any], method: str) -> list[Annotation]:
    """The annotations that the arguments of a method name: positional aggregates by what they are of.

    Raises TypeError for what is no expression, FieldError for a name that is taken.
    """
    expressions = _by_name(positional, named, method)
    for name in expressions:
        check_name(query, name, method)
    return [Annotation(name, value, method != "alias") for name, value in expressions.items()]


def asked(positional: Iterable[Any], named: Mapping[str, Any]) -> list[Annotation]:
    """What aggregate() is asked for. Raises TypeError for what is no aggregate."""
    expressions = _by_name(positional, named, "aggregate")
    for name, value in expressions.items():
        if not has_aggregate(value) and not value.names() & expressions.keys():
            raise TypeError(f"aggregate({name}={value}): give an aggregate, such as Max(...), or an expression of some")
    return [Annotation(name, value) for name, value in expressions.items()]


def _by_name(positional: Iterable[Any], named: Mapping[str, Any], method: str) -> dict[str, Expression]:
    expressions: dict[str, Any] = {}
    for value in positional:
        if not isinstance(value, Aggregate):
            raise TypeError(f"{method}({shown(value)}): give it a name, {method}(name=...); aggregates need none")
        if value.default_name in named:
            raise TypeError(f"{method}(): the name {value.default_name!r} is given twice, by {value} too")
        expressions[value.default_name] = value
    expressions |= named
    for name, value in expressions.items():
        if not is_expression(value):
            if isinstance(value, When):
                raise TypeError(f"{method}({name}={shown(value)}): a When() stands in Case(When(...), default=...)")
            hint = f"Value({shown(value)})" if not isinstance(value, str) else f"F({value!r}), or Value({value!r})"
            raise TypeError(f"{method}({name}={shown(value)}): give an expression, such as {hint}")
    return {name: expression(value) for name, value in expressions.items()}


def check_name(query: Query, name: str, method: str) -> None:
    """Raises FieldError for the name of a field, a relation or a method."""
    schema = query.schema
    if name in schema.by_name or name == "pk" or steps(schema, name):
        raise FieldError(f"{schema.name}: {method}({name}=...): there is a field {name!r} already; choose another name")
    if not name.isidentifier() or iskeyword(name) or name.startswith("_") != name.startswith("__"):
        raise FieldError(f"{schema.name}: {method}({name}=...): an annotation can't be called {name!r}, choose a name")
    if hasattr(model_for(schema.label), name):
        raise FieldError(
            f"{schema.name}: {method}({name}=...): {schema.name} has an attribute {name!r} already; choose another name"
        )


def annotated(query: Query, more: Iterable[Annotation]) -> Query:
    """The query with these annotations; rows of values() have them as values.

    An aggregate after values() makes groups of its rows. Raises FieldError for one that can't be computed.
    """
    more = (*more,)
    changes: dict[str, Any] = {"annotations": (*query.annotations, *more), "where": _kept(query, more)}
    if query.shape != "objects" and query.groups is None and any(has_aggregate(one.expression) for one in more):
        if query.sliced:
            raise TypeError(
                "a sliced queryset can't be grouped: slice the groups, or filter(pk__in=...) by the keys of the slice"
            )
        changes |= {"groups": query.fields or (), "ungrouped": len(query.annotations)}
    if query.shape != "objects":
        shown_now = [one.name for one in more if one.shown]
        changes["fields"] = tuple(dict.fromkeys([*(query.fields or ()), *shown_now]))
        if query.labels is not None:
            changes["labels"] = (*query.labels, *shown_now)
    found = query.having(**changes)
    scopes(found)  # for its errors
    return found


def _kept(query: Query, more: Iterable[Annotation]) -> tuple[Q, ...]:
    """The conditions of the query, about the annotations that they were written for, if others take their names."""
    places = {annotation.name: place for place, annotation in enumerate(query.annotations)}
    taken = {one.name: places[one.name] for one in more if one.name in places}
    if not taken:
        return query.where

    def kept(name: str) -> str:
        own = next((own for own in taken if name == own or name.startswith(f"{own}__")), None)
        return name if own is None else earlier_name(own, taken[own]) + name[len(own) :]

    return tuple(renamed(q, kept, kept) for q in query.where)
