"""Results as tables: to_arrow(), to_pandas(), to_polars(), and their async twins.

Their types are Any: pyarrow and pandas say none.
"""

# Private names of querysets are private to the package.
# pyright: reportPrivateUsage=false

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from ..calls import Origin
from ..errors import OrmisError
from ..operations.reading.iteration import BatchReader, batches, next_batch
from ..operations.reading.row_shapes import names_of
from ..operations.reading.source import Source
from ..planning.names import resolve
from ..planning.scopes import scope_of
from ..query.state import Query
from ..records.arrow import ArrowColumn, add, made
from ..storage.codecs import Codec
from .valuing import valued

BATCH = 1000
"""Rows that are read in a call, and held as Python values at a time."""


class Exporting:
    """The methods of querysets and managers that return tables."""

    def _queryset(self) -> Source[Any]:
        raise NotImplementedError

    def to_arrow(self) -> Any:
        """The results as an Arrow table: a column for each value of `values()`, or for each field and annotation.

        The rows are read as by iterator(), and become columns batch by batch. Types are exact: docs/data.md has the
        table. Needs pyarrow, `pip install 'ormis[arrow]'`.
        Raises OrmisError for values that Arrow does not hold: whole numbers beyond 64 bits, times with a zone among
        times without.

            Choice.objects.filter(votes__gt=0).values_list("text", "votes").to_arrow()
        """
        reading = Table(self._queryset(), asynchronous=False)
        while (rows := reading.source.db.run(next_batch(reading.reader))) is not None:
            reading.add(rows)
        return made(reading.names, reading.columns)

    async def ato_arrow(self) -> Any:
        """As to_arrow()."""
        reading = Table(self._queryset(), asynchronous=True)
        while (rows := await reading.source.db.arun(next_batch(reading.reader))) is not None:
            reading.add(rows)
        return made(reading.names, reading.columns)

    def to_pandas(self) -> Any:
        """The same as a pandas DataFrame. Its columns have the types of Arrow, so that None and exact values stay."""
        return _to_pandas(self.to_arrow())

    async def ato_pandas(self) -> Any:
        """As to_pandas()."""
        return _to_pandas(await self.ato_arrow())

    def to_polars(self) -> Any:
        """The same as a polars DataFrame."""
        return _module("polars").from_arrow(self.to_arrow())

    async def ato_polars(self) -> Any:
        """As to_polars()."""
        return _module("polars").from_arrow(await self.ato_arrow())


class Table:
    """The reading of a table: batches of rows become columns."""

    def __init__(self, source: Source[Any], asynchronous: bool) -> None:
        query = valued(source.query, "tuples", (), {})
        self.source = source._copy_of(query)
        self.names = names_of(query)
        self.columns = [ArrowColumn(_named(query, name), codec) for name, codec in _codecs(query)]
        origin = Origin(source.db, asynchronous=asynchronous)
        self.reader: BatchReader = batches(self.source, origin, BATCH)

    def add(self, rows: Sequence[Any]) -> None:
        """Takes a batch of rows."""
        add(self.columns, rows)


def _named(query: Query, name: str) -> str:
    return f"{query.schema.name}.{name}"


def _codecs(query: Query) -> list[tuple[str, Codec]]:
    """The names of the values of a row, and how their values are stored."""
    scope = scope_of(query)
    fields = query.fields if query.fields is not None else tuple(query.schema.own_names)
    return [(name, _codec(scope, field)) for name, field in zip(names_of(query), fields, strict=True)]


def _codec(scope: Any, field: str) -> Codec:
    return resolve(scope, field).column.codec


def _to_pandas(table: Any) -> Any:
    pandas = _module("pandas")
    return table.to_pandas(types_mapper=pandas.ArrowDtype)


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise OrmisError(f"to_{name}() needs {name}: pip install 'ormis[{name}]'") from None
