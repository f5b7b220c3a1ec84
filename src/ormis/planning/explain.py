"""A plan as a readable tree: its access path, its conditions on the server, and those in Python."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..schema.index_kinds import INDEX_KINDS
from .columns import ColumnRef, Derived, needed
from .correlation import correlation_of
from .plan import Plan
from .predicates import (
    BoolOp,
    Compare,
    CompareFields,
    CompareOuter,
    Constant,
    ForwardMatch,
    InSubquery,
    LinkMatch,
    Node,
    Not,
    PythonTest,
    ReverseMatch,
)
from .subquery_cells import SubqueryCell

_OPERATORS = {"eq": "=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">=", "member": "contains", "key": "has key"}


@dataclass(frozen=True, slots=True)
class Way:
    """The notes of lua/read/explaining.lua on the execution."""

    by: str
    index: str
    cost: int
    parts: tuple["Way", ...]
    model: str

    @classmethod
    def read(cls, packed: Sequence[Any]) -> "Way":
        """From the server's answer."""
        by, index, cost, parts, model = packed
        return cls(by, index, int(cost), tuple(cls.read(part) for part in parts), model)

    def lines(self, total: int, outer: "Way | None" = None) -> list[str]:
        """Returns the tree as text."""
        text = (INDEX_KINDS[self.by].shown if self.by in INDEX_KINDS else _WAYS[self.by]).format(
            index=self.index, model=self.model
        )
        count = f"{self.cost:,} of {total:,}" if outer is None else f"{self.cost:,}"
        inner = [line for part in self.parts for line in part.lines(total, self)]
        return [f"{text}: {count}", *branches(inner)]


_WAYS = {
    "key": "primary key",
    "unique": "unique claims of {index}",
    "order": "index on {index}, walked in its order until the slice is full",
    "creation": "objects in the order of creation, until the slice is full",
    "all": "FULL WALK over every object, no index helps",
    "union": "union of",
    "forward": "objects that refer by {index} to {model} found by",
    "reverse": "objects that are referred to by {model} found by",
    "links": "objects linked with {model} found by",
    "nothing": "nothing can match",
    "portion": "a portion",
}


@dataclass(frozen=True, slots=True)
class Notes:
    """The notes of the server on one query: access path, quick checks by indexes, examined objects, all objects."""

    way: Way
    checks: tuple[str, ...]
    examined: float
    total: int
    incomplete: tuple[str, ...]

    @classmethod
    def read(cls, packed: Sequence[Any]) -> "Notes":
        """From the server's answer."""
        way, checks, examined, total, incomplete = packed
        return cls(Way.read(way), tuple(checks), examined, int(total), tuple(incomplete))


def explained(plan: Plan, notes: Notes, how: str, more: Sequence[str] = (), before: Sequence[str] = ()) -> str:
    """The whole explanation.

    how: 'done', 'keys' or 'walk', as the server answered. more: what else is to be said; before: and that first.
    """
    lines = [*before, *(_named(plan) or notes.way.lines(notes.total))]
    if how == "keys":
        lines.append("too many for one call: their keys at once, then portion by portion")
    if how == "walk":
        lines.append("too many for one call: step by step in the order of creation")
    lines += [f"check by index {key}" for key in notes.checks]
    lines += _condition(plan.where, "on the server")
    if plan.client_where is not None:
        lines += _condition(plan.client_where, "in Python")
    lines += _rest(plan)
    if notes.incomplete:
        lines.append(f"not used until reindexed: {', '.join(notes.incomplete)}")
    return "\n".join([f"{plan.schema.name}: {notes.total:,} objects", *branches([*lines, *more])])


def _named(plan: Plan) -> list[str]:
    if plan.keys is not None:
        return [f"{len(plan.keys):,} primary keys, portion by portion"]
    if plan.among is None:
        return []
    count, name = len(plan.among.values), plan.among.column.name
    return [f"{count:,} values of {name}, some at a time where an index can look them up, else a full walk"]


def _rest(plan: Plan) -> list[str]:
    lines = _computing(plan)
    if plan.order:
        terms = ", ".join(f"{'-' if term.descending else ''}{term.cell.name}" for term in plan.order)
        lines.append(f"order by {terms} {'in Python' if plan.client_sort else 'on the server'}")
    if plan.offset or plan.limit is not None:
        lines.append(f"slice [{plan.offset}:{'' if plan.limit is None else plan.offset + plan.limit}]")
    lines += [f"with {related.path}, in the same call" for related in plan.related]
    lines += [f"with {related.path}, by a query of its own, by the keys of the rows" for related in plan.apart]
    return lines


def _computing(plan: Plan) -> list[str]:
    """The annotations, and where each is computed."""
    counted = [one for one in plan.annotated if one.same is not None]
    plain = [one for one in plan.annotated if one.same is None and not needed(one.reads).derived]
    lines = [f"{one.name} = {one.shown} on the server, from the sizes of sets" for one in counted]
    lines += [f"{one.name} = {one.shown} in Python" for one in plain]
    return [*lines, *map(_derived, plan.derived)]


def _derived(found: Derived) -> str:
    if isinstance(found, SubqueryCell):
        return f"{found.value} {correlation_of(found)}"
    return found.explained


def branches(lines: Sequence[str]) -> list[str]:
    """The lines as branches of a tree, each below its parent."""
    heads = [i for i, line in enumerate(lines) if not line.startswith(("├", "└", "│", " "))]
    drawn: list[str] = []
    for i, line in enumerate(lines):
        last = not heads or i >= heads[-1]
        drawn.append(f"{'└─ ' if last else '├─ '}{line}" if i in heads else f"{'   ' if last else '│  '}{line}")
    return drawn


def _condition(node: Node, where: str) -> list[str]:
    if isinstance(node, Constant) and node.value:
        return []
    return [f"condition {where}: {shown(node)}"]


def shown(node: Node) -> str:
    """A condition in words."""
    if isinstance(node, Constant):
        return "always" if node.value else "never"
    if isinstance(node, Compare):
        return _compared(node)
    if isinstance(node, CompareFields):
        return f"{node.column.name} {_OPERATORS.get(node.operator, node.operator)} {node.other.name}"
    if isinstance(node, CompareOuter):
        return (
            f"{node.column.name} {_OPERATORS.get(node.operator, node.operator)} {node.other.name} of the outer object"
        )
    if isinstance(node, PythonTest):
        return node.shown
    if isinstance(node, Not):
        return f"not ({shown(node.part)})"
    if isinstance(node, BoolOp):
        return f" {node.connector} ".join(f"({shown(p)})" if isinstance(p, BoolOp) else shown(p) for p in node.parts)
    if isinstance(node, ForwardMatch | ReverseMatch | LinkMatch):
        return f"{_related(node)} ({shown(node.part)})"
    if isinstance(node, InSubquery):
        return f"{node.column.name} in another query"
    return type(node).__name__


def _related(node: ForwardMatch | ReverseMatch | LinkMatch) -> str:
    if isinstance(node, ForwardMatch):
        return f"{node.column.name} -> {node.target.name}"
    if isinstance(node, ReverseMatch):
        return f"some {node.source.name} by {node.column.name}"
    return f"some {node.target.name} in {node.link.name}"


def _compared(node: Compare) -> str:
    cell: ColumnRef = node.column
    if node.operator == "null":
        return f"{cell.name} is null"
    values = ", ".join(_short(value) for value in node.values[:3]) + (", ..." if len(node.values) > 3 else "")
    if node.operator == "in":
        return f"{cell.name} in [{values}]"
    return f"{cell.name} {_OPERATORS.get(node.operator, node.operator)} {values}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
