"""Exists() in the condition of a write as one on related objects, which the server evaluates where it writes."""

from ..query.references import OuterRef
from ..query.subqueries import Exists
from ..schema.schema import Column, Reference, Schema
from .columns import AnnotatedColumn, RelationStep
from .correlation import Correlation, correlation_of
from .plan import of_kind
from .predicates import Compare, ForwardMatch, Node, Not, ReverseMatch, holds_for_nothing, join
from .scopes import condition
from .subquery_cells import SubqueryCell


def match_of(schema: Schema, node: Node) -> Node | None:
    """The condition on the object or on a related one that a comparison with an Exists() is; None for another one.

    It is one if the foreign key between the two models, or the primary key of one model, is all that the query within
    refers to. schema: the model of the objects.
    """
    if not isinstance(node, Compare) or node.operator != "eq" or not isinstance(node.column, AnnotatedColumn):
        return None
    cell, (wanted, *_) = node.column.filled, node.values
    if not isinstance(cell, SubqueryCell) or not isinstance(cell.value, Exists) or not isinstance(wanted, bool):
        return None
    match = _match(schema, correlation_of(cell))
    return match if match is None or wanted else Not(match)


def _match(schema: Schema, found: Correlation) -> Node | None:
    query = found.query
    if found.how != "joined" or found.tests or query.sliced or query.groups is not None or len(found.equal) != 1:
        return None
    inner, outer = found.equal[0].cell, _outer(found)
    if outer is None or not isinstance(inner, Column) or not inner.position:
        return None
    related = query.schema
    part = of_kind(related, condition(found.base))
    if inner is related.pk and outer is schema.pk and related.stored is schema.stored:
        return part
    if holds_for_nothing(part):  # without a related object there is none that meets it
        part = join("and", [part, Not(Compare(related.pk, "null"))])
    for reference in related.references:
        if _leads(reference, inner, schema, outer):
            return ReverseMatch(RelationStep(reference, False, related, schema), part)
    for reference in schema.references:
        if _leads(reference, outer, related, inner):
            return ForwardMatch(RelationStep(reference, True, related, schema), part)
    return None


def _leads(reference: Reference, column: Column, target: Schema, referred: Column) -> bool:
    """Whether it is the foreign key in this column to that of the other model."""
    there = reference.to_field or target.pk.name
    return reference.target in target.relatives and (reference.column.name, there) == (column.name, referred.name)


def _outer(found: Correlation) -> Column | None:
    """The field of the object that the query within is joined by."""
    value = found.equal[0].value
    if not isinstance(value, OuterRef) or value.depth != 1:
        return None
    bound = dict(found.cell.outer)[value.field]
    own = bound.reads[0] if len(bound.reads) == 1 else None
    if isinstance(own, AnnotatedColumn):
        own = own.renamed
    return own if isinstance(own, Column) and own.position and bound.names() == bound.tree.names() else None
