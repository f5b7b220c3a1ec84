"""`Q`: conditions as values, joined by `& | ^ ~`.

A leaf is a pair (lookup, value), as in `Q(votes__gte=3)`; a class attribute makes the same: `Choice.votes >= 3`. An
expression that is true or false, `Exists(…)`, stands in the place of a lookup.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Literal, cast
from uuid import UUID

from ..errors import shown

Connector = Literal["and", "or", "xor"]
Leaf = tuple[Any, Any]
"""A lookup and its value; an expression, or a name that is resolved already, in the place of the lookup."""


class Q:
    """A condition. `Q(votes__gte=3, choice_text="Nike")` is true if all its parts are.

    Immutable; compared and hashed by value. An empty Q narrows nothing, nor does a negated one.
    """

    __slots__ = ("children", "connector", "negated")

    def __init__(self, *conditions: "Q | Leaf | bool", **lookups: Any) -> None:
        self.connector: Connector = "and"
        self.negated = False
        self.children: tuple[Q | Leaf, ...] = tuple([(name, _operand(value)) for name, value in lookups.items()])
        if conditions:
            given = [_checked(condition) for condition in conditions]
            self.children = (*(one for one in given if not is_empty(one)), *self.children)

    @classmethod
    def join(cls, connector: Connector, children: Iterable["Q | Leaf"], negated: bool = False) -> "Q":
        """The condition that joins these by this connector."""
        new = cls.__new__(cls)
        new.connector, new.negated, new.children = connector, negated, tuple(children)
        return new

    def _with(self, other: Any, connector: Connector) -> "Q":
        if _is_expression(other):
            other = Q(other)
        if not isinstance(other, Q):
            raise TypeError(f"{shown(other)} is no condition: join Q objects, or class attributes that are compared")
        if is_empty(other):
            return self
        if is_empty(self):
            return other
        parts: list[Q | Leaf] = []
        for side in (self, other):
            parts += side.children if side.connector == connector and not side.negated else [side]
        return Q.join(connector, parts)

    # To a type checker a comparison of class attributes is a bool, and it may stand on either side.

    def __and__(self, other: "Q | bool") -> "Q":
        return self._with(other, "and")

    def __or__(self, other: "Q | bool") -> "Q":
        return self._with(other, "or")

    def __xor__(self, other: "Q | bool") -> "Q":
        return self._with(other, "xor")

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __invert__(self) -> "Q":
        return Q.join(self.connector, self.children, not self.negated)

    def __bool__(self) -> bool:
        """False for Q(). Raises TypeError for a condition: `and`, `or`, `not`, `in` and `1 < x < 3` would drop one."""
        if not self.children:
            return False
        raise TypeError(
            f"{self!r} is a condition, which is neither true nor false: join conditions with &, | and ~Q(...) in place "
            f"of and, or and not; write (1 < x) & (x < 3) for 1 < x < 3, and Q(x__in=[...]) for x in [...]"
        )

    def __iter__(self) -> Iterator["Q | Leaf"]:
        return iter(self.children)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Q):
            return NotImplemented
        return (self.connector, self.negated, self.children) == (other.connector, other.negated, other.children)

    def __hash__(self) -> int:
        return hash((self.connector, self.negated, repr(self.children)))

    def __repr__(self) -> str:
        inner = f" {self.connector} ".join(
            repr(child) if isinstance(child, Q) else f"{child[0]}={shown(child[1])}" for child in self.children
        )
        return f"{'~' if self.negated else ''}Q({inner})"


def is_empty(condition: "Q | Leaf") -> bool:
    """True for a condition that narrows nothing: Q()."""
    return isinstance(condition, Q) and not condition.children


def leaves_of(q: Q) -> list[Leaf]:
    """The lookups of a condition, with their values."""
    found: list[Leaf] = []
    waiting = [q]
    while waiting:
        for child in waiting.pop().children:
            if isinstance(child, Q):
                waiting.append(child)
            else:
                found.append(child)
    return found


def _operand(value: Any) -> Any:
    """The value of a lookup; the attribute of a class, which is above this module, as an expression."""
    as_expression = getattr(value.__class__, "__as_expression__", None)
    return value if as_expression is None else as_expression(value)


def _checked(condition: Any) -> "Q | Leaf":
    if isinstance(condition, Q):
        return condition
    if isinstance(condition, tuple):
        pair = cast(tuple[Any, ...], condition)
        if len(pair) == 2 and (isinstance(pair[0], str) or _is_expression(pair[0])):
            return pair[0], pair[1]
    elif _is_expression(condition):
        return condition, True
    raise TypeError(f"{shown(condition)} is no condition: {_instead(cast(object, condition))}")


def _is_expression(value: Any) -> bool:
    """Whether it is an expression, which is above this module: its values are true or false, as those of Exists()."""
    return hasattr(value.__class__, "type_of")


def _instead(value: object) -> str:
    """What to write in place of a value that is no condition."""
    if isinstance(value, int | str | UUID) and not isinstance(value, bool):
        return f"write pk={shown(value)} for the object with this key, or a lookup such as votes__gte=3"
    if hasattr(value.__class__, "__schema__"):
        return f"write pk={shown(getattr(value, 'pk', None))}, or the name of a relation to it"
    if isinstance(value, dict):
        return "write **lookups"
    return "give Q(...), Model.field >= value, or a lookup such as votes__gte=3"
