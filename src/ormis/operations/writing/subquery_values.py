"""The values of subqueries in update(): evaluated for every object before the first is written."""

# Private names of this module are private to the package.
# pyright: reportPrivateUsage=false

from collections.abc import Mapping, Sequence
from typing import Any

from ...calls import Operation, Origin
from ...errors import FieldError
from ...query.expressions import Condition, Expression, F
from ...query.q import leaves_of
from ...query.state import Annotation
from ...query.subqueries import Subquery
from ..reading.evaluate import value_rows
from ..reading.source import Source


class OfKey(Expression):
    """A value for each object, by its primary key."""

    def __init__(self, key: Expression, values: Mapping[Any, Any], shown: str) -> None:
        self.key = key
        self.values = values
        self.shown = shown

    def parts(self) -> tuple[Expression, ...]:
        """The key."""
        return (self.key,)

    def with_parts(self, parts: Sequence[Expression], /) -> Expression:
        """The same with another key."""
        return OfKey(parts[0], self.values, self.shown)

    def result(self, values: Mapping[str, Any], /) -> Any:
        """The value for the object of a row."""
        return self.values.get(self.key.result(values))

    def __str__(self) -> str:
        return self.shown


def with_subquery_values(
    source: Source[Any], origin: Origin, values: Mapping[str, Any]
) -> Operation[Mapping[str, Any]]:
    """What is to be written, with the values of subqueries in their place. No call if there are none."""
    asked = [(name, value) for name, value in values.items() if _has_subquery(value)]
    if not asked:
        return values
    source._refuse("updated")
    query = source.query
    if query.groups is not None:
        raise FieldError(f"{query.schema.name}: update() of groups can't take {asked[0][1]}")
    more = tuple(Annotation(f"update__{name}", value) for name, value in asked)
    query = query.having(
        annotations=(*query.annotations, *more),
        fields=("pk", *(one.name for one in more)),
        labels=None,
        shape="tuples",
        order=(),
        distinct=False,
        related=(),
        prefetch=(),
    )
    rows = yield from value_rows(source._copy_of(query), origin)
    key = F(query.schema.pk.name)
    return {
        **values,
        **{
            name: OfKey(key, {row[0]: row[at] for row in rows}, str(value)) for at, (name, value) in enumerate(asked, 1)
        },
    }


def _has_subquery(value: Any) -> bool:
    if isinstance(value, Condition):
        return any(_has_subquery(part) for leaf in leaves_of(value.q) for part in leaf)
    if not isinstance(value, Expression):
        return False
    return isinstance(value, Subquery) or any(map(_has_subquery, value.parts()))
