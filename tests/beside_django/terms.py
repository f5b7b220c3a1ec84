"""Programs as data: conditions, expressions, querysets. `str()` of each is what a user of ormis writes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Stored:
    """A stored object, by its key."""

    model: str
    pk: Any

    def __str__(self) -> str:
        return f"{self.model}.get({self.pk!r})"


@dataclass(frozen=True)
class Field:
    """F(name)."""

    name: str

    def __str__(self) -> str:
        return f"F({self.name!r})"


@dataclass(frozen=True)
class Arithmetic:
    """An operator between two expressions, or an expression and a value."""

    operator: str
    left: Any
    right: Any

    def __str__(self) -> str:
        return f"({said(self.left)} {self.operator} {said(self.right)})"


@dataclass(frozen=True)
class Ordered:
    """An expression in an order."""

    expression: Any
    descending: bool
    nulls_first: bool | None

    def __str__(self) -> str:
        nulls = {None: "", True: "nulls_first=True", False: "nulls_last=True"}[self.nulls_first]
        return f"({self.expression}).{'desc' if self.descending else 'asc'}({nulls})"


@dataclass(frozen=True)
class Lookup:
    """A name of a field with a lookup, and a value."""

    name: str
    value: Any

    def __str__(self) -> str:
        return f"Q({self.name}={said(self.value)})"


@dataclass(frozen=True)
class Joined:
    """Conditions joined by & | ^, or the negation of one, ~."""

    how: str
    parts: tuple["Condition", ...]

    def __str__(self) -> str:
        if self.how == "~":
            return f"~{self.parts[0]}"
        return f"({f' {self.how} '.join(map(str, self.parts))})"


Condition = Lookup | Joined


def lookups(condition: Condition) -> Iterator[Lookup]:
    """All lookups of a condition."""
    if isinstance(condition, Lookup):
        yield condition
    else:
        for part in condition.parts:
            yield from lookups(part)


@dataclass(frozen=True)
class Call:
    """A method of a queryset with its arguments; `slice` is [start:stop]."""

    name: str
    arguments: tuple[Any, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        if self.name == "slice":
            return f"[{':'.join('' if at is None else str(at) for at in self.arguments)}]"
        said_options = [f"{name}={said(value)}" for name, value in self.options]
        return f".{self.name}({', '.join([*map(said, self.arguments), *said_options])})"


@dataclass(frozen=True)
class Chain:
    """A queryset. start: the object and the name of a relation of it that it begins with, instead of the manager."""

    model: str
    calls: tuple[Call, ...] = ()
    start: tuple[Stored, str] | None = None

    def __str__(self) -> str:
        start = f"{self.start[0]}.{self.start[1]}" if self.start else f"{self.model}.objects"
        return start + "".join(map(str, self.calls))

    def with_calls(self, *calls: Call) -> "Chain":
        """The queryset with further methods."""
        return Chain(self.model, (*self.calls, *calls), self.start)

    def has(self, *names: str) -> bool:
        """Whether one of these methods is called."""
        return any(call.name in names for call in self.calls)


@dataclass(frozen=True)
class Combined:
    """Querysets joined: how is a method, union, intersection, difference, or one of & | ^."""

    how: str
    parts: tuple["Chain", ...]

    def __str__(self) -> str:
        if self.how in "&|^":
            return f" {self.how} ".join(f"({part})" for part in self.parts)
        return f"{self.parts[0]}.{self.how}({', '.join(map(str, self.parts[1:]))})"


@dataclass(frozen=True)
class Program:
    """What is asked of a queryset, or done. kind: a name in compare.py. ordered: its order is determined."""

    kind: str
    chain: Any
    arguments: tuple[Any, ...] = ()
    ordered: bool = True

    def __str__(self) -> str:
        return f"{self.kind}: {said(self.chain)}" + "".join(f" {said(argument)}" for argument in self.arguments)


def said(value: Any) -> str:
    """A value as a user writes it."""
    if isinstance(value, Stored | Field | Arithmetic | Ordered | Lookup | Joined | Call | Chain | Combined):
        return str(value)
    if isinstance(value, dict):
        return "dict(" + ", ".join(f"{name}={said(item)}" for name, item in value.items()) + ")"
    if isinstance(value, list | tuple):
        inner = ", ".join(map(said, value))
        return f"[{inner}]"
    return repr(value)
