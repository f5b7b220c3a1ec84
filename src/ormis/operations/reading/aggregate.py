"""aggregate(): values computed from all objects of a query, or from all of its rows."""

# Private names of this module are private to the package.
# pyright: reportPrivateUsage=false

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from ...calls import Operation, Origin
from ...planning.binding import GroupBinder
from ...planning.bound import Bound, annotated_column
from ...planning.columns import AnnotatedColumn, compute, needed
from ...planning.derived import GroupAggregate
from ...planning.grouping import Grouping
from ...planning.names import resolve
from ...planning.scopes import scopes
from ...query.aggregates import is_plain
from ...query.expressions import F
from ...query.moments import expressions_at_one_moment
from ...query.state import Annotation, Query
from ...query.value_types import ValueType
from ...schema import registry
from ...schema.schema import Column, Schema
from .evaluate import value_rows
from .group_rows import added_up, group_rows, grouped
from .related_rows import CellRow
from .source import Source


def aggregate(source: Source[Any], origin: Origin, asked: Sequence[Annotation]) -> Operation[dict[str, Any]]:
    """The values of these aggregates, and of expressions of them, by their names."""
    source._refuse_combined("aggregated")
    query = source.query
    by_rows = query.groups is not None or (query.distinct and query.shape != "objects")
    rows = _rows_scope(query) if by_rows else scopes(query).rows
    if not (query.annotations or by_rows) and all(is_plain(one.expression) for one in asked):
        columns = _plain_columns(rows, (*asked,), registry.changes())
    else:
        columns = _columns(query.schema, rows, _at_one_moment(asked))
    wanted = needed(columns)
    aggregates = [one for one in wanted.derived if isinstance(one, GroupAggregate)]
    if by_rows:
        found = yield from added_up((yield from _rows(source, origin)), aggregates, origin)
    else:
        found = yield from grouped(_objects(query), Grouping((), (), (), ()), aggregates, origin)
    cells: CellRow = found[0]
    compute(cells, wanted.annotated)
    return {one.name: cells[column.name] for one, column in zip(asked, columns, strict=True)}


def _at_one_moment(asked: Sequence[Annotation]) -> list[Annotation]:
    now = expressions_at_one_moment([one.expression for one in asked])
    return [Annotation(one.name, value, one.shown) for one, value in zip(asked, now, strict=True)]


@lru_cache(maxsize=256)
def _plain_columns(schema: Schema, asked: tuple[Annotation, ...], _changes: int) -> list[AnnotatedColumn]:
    """As _columns(), kept: of plain aggregates."""
    return _columns(schema, schema, asked)


def _columns(schema: Schema, rows: Schema, asked: Sequence[Annotation]) -> list[AnnotatedColumn]:
    """The aggregates as columns of the one group that all rows are; each may name those before."""
    columns: dict[str, AnnotatedColumn] = {}
    for one in asked:
        known: dict[str, Column] = {**columns}
        binder = GroupBinder(schema.annotated(known, grouped=True), rows, nested=True)
        columns[one.name] = annotated_column(one.name, binder.bind(one.expression), of_groups=True)
    return [columns[one.name] for one in asked]


def _objects(query: Query) -> Query:
    """The query for the objects that are aggregated."""
    unordered: dict[str, Any] = {} if query.sliced else {"order": (), "backwards": False}
    return query.having(fields=("pk",), shape="dicts", related=(), prefetch=(), distinct=False, **unordered)


def _rows_scope(query: Query) -> Schema:
    """The names of the values in the rows of a query."""
    results = scopes(query).results
    columns: dict[str, Column] = {}
    for name in query.fields or ():
        column = resolve(results, name).column
        bound = Bound(F(name), F(name), (), ValueType(column.codec, column.convert))
        columns[name] = annotated_column(name, bound, of_groups=True)
    return query.schema.annotated(columns, grouped=True)


def _rows(source: Source[Any], origin: Origin) -> Operation[list[CellRow]]:
    query = source.query
    if query.empty:
        return []
    rows = yield from (group_rows(query, origin) if query.groups is not None else value_rows(source, origin))
    return [dict(zip(query.fields or (), row, strict=True)) for row in rows]
