"""Objects as tables, CSV and Parquet: a file for each model, and one for each many-to-many relation.

    question.parquet            a column for each field, the key first; `_expires`, when it ends, if objects end
    question.tags.parquet       two columns, `from` and `to`: the keys of both sides

Parquet has the types of records/arrow.py; decimals, lists, dicts and models are their stored texts. In CSV every value
is its stored text, bytes in base64; an absent one is nothing between two commas, an empty text is "".
"""

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Literal
from urllib.parse import quote, unquote

from ...errors import OrmisError, shown
from ...records.arrow import arrow
from ...schema.schema import Column, Link, Schema
from ...storage.codecs import Text
from ..upkeep.stored import Stored
from .entries import BY_MODEL, Entry
from .natural import Names

Kind = Literal["csv", "parquet"]
EXPIRES = "_expires"
LINKED = ("from", "to")
Values = Sequence[Any]


class Tables:
    """Writes objects to tables.

    open_file: opens the file of a table by its name, `question.csv`. ending: the keys of models with objects that end.
    Texts that do not convert are left out, and handed to `unfit`: key, field.
    """

    def __init__(
        self,
        kind: Kind,
        open_file: Callable[[str], BinaryIO],
        ending: frozenset[str],
        unfit: Callable[[Schema, str, str], None],
    ) -> None:
        self._kind: Kind = kind
        self._open = open_file
        self._ending = ending
        self._unfit = unfit
        self._tables: dict[str, Table] = {}

    def begin(self, models: Sequence[str]) -> None:
        """Nothing: each table has a file of its own."""

    def objects(self, schema: Schema, rows: Sequence[Stored], names: Names) -> None:  # noqa: ARG002 - as JsonLines
        """Writes objects."""
        ends = schema.key in self._ending
        cells = [Cell(self._kind, column) for column in schema.columns]
        columns = [(column.name, cell) for column, cell in zip(schema.columns, cells, strict=True)]
        table = self._table(schema.key, [*columns, (EXPIRES, Cell(self._kind, None))] if ends else columns)
        values: list[Values] = []
        for column, cell in zip(schema.columns, cells, strict=True):
            texts = [row.pk if column is schema.pk else row.texts.get(column.name) for row in rows]
            values.append(self._values(schema, column, cell, rows, texts))
        if ends:
            now = datetime.now(UTC)
            moments = (None if row.left is None else now + timedelta(seconds=row.lives()) for row in rows)
            values.append([_moment(self._kind, moment) for moment in moments])
        table.write(values)

    def _values(
        self, schema: Schema, column: Column, cell: "Cell", rows: Sequence[Stored], texts: Sequence[Text | None]
    ) -> Values:
        values: list[Any] = []
        for row, text in zip(rows, texts, strict=True):
            try:
                values.append(None if text is None else cell.convert(text))
            except ValueError:
                values.append(None)
                self._unfit(schema, row.pk, column.name)
        return values

    def links(self, schema: Schema, link: Link, target: Schema, rows: Sequence[Stored]) -> None:
        """Writes links."""
        cells = [Cell(self._kind, schema.pk), Cell(self._kind, target.pk)]
        table = self._table(f"{schema.key}.{link.name}", [*zip(LINKED, cells, strict=True)])
        pairs = [(row.pk, other) for row in rows for other in sorted(row.others)]
        table.write([[cell.convert(pair[i]) for pair in pairs] for i, cell in enumerate(cells)])

    def end(self, counts: Mapping[str, int], links: int) -> None:  # noqa: ARG002 - as JsonLines
        """Ends the files."""
        for table in self._tables.values():
            table.close()

    def _table(self, name: str, columns: Sequence[tuple[str, "Cell"]]) -> "Table":
        found = self._tables.get(name)
        if found is None:
            file = self._open(f"{quote(name, safe=' ')}.{self._kind}")
            found = self._tables[name] = Table(self._kind, file, name, columns)
        return found


class Cell:
    """The values of one column: their Arrow type, and the function from a stored text. Without a column times."""

    def __init__(self, kind: Kind, column: Column | None) -> None:
        pa = arrow()
        of = "datetime" if column is None else column.codec.kind
        self.type: Any = pa.string()
        self.convert: Callable[[Text], Any] = _text
        if kind == "csv":
            self.convert = _base64 if of == "bytes" else _text
        elif of == "bytes":
            self.type, self.convert = pa.binary(), _bytes
        elif of in _TYPES and column is not None and column.codec.wire is not str:
            self.type = _TYPES[of](pa)
            decode = column.codec.read
            self.convert = {"int": int, "float": float}.get(of) or (lambda text: decode(_bytes(text)))
        elif column is None:
            self.type = pa.timestamp("us", tz="UTC")
        self.zoned = kind == "parquet" and of == "datetime"
        """Whether the type is one of times with a zone until the first values say otherwise."""


_TYPES: dict[str, Callable[[Any], Any]] = {
    "int": lambda pa: pa.int64(),
    "float": lambda pa: pa.float64(),
    "bool": lambda pa: pa.bool_(),
    "date": lambda pa: pa.date32(),
    "datetime": lambda pa: pa.timestamp("us", tz="UTC"),
    "timedelta": lambda pa: pa.duration("us"),
}


class Table:
    """One table that is written."""

    def __init__(self, kind: Kind, file: BinaryIO, name: str, columns: Sequence[tuple[str, Cell]]) -> None:
        self._pa, self._kind, self._file, self._name = arrow(), kind, file, name
        self._columns = columns
        self._writer: Any = None
        self._schema: Any = None

    def write(self, values: Sequence[Values]) -> None:
        """Writes rows, given as columns. The first ones tell whether times have a zone."""
        pa = self._pa
        if self._writer is None:
            types = [(name, self._typed(cell, some)) for (name, cell), some in zip(self._columns, values, strict=True)]
            self._schema = pa.schema(types)
            self._writer = self._opened()
        arrays = [self._array(one, some) for one, some in zip(self._schema, values, strict=True)]
        self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))

    def _typed(self, cell: Cell, values: Values) -> Any:
        first = next((value for value in values if value is not None), None) if cell.zoned else None
        return self._pa.timestamp("us") if first is not None and first.tzinfo is None else cell.type

    def _array(self, column: Any, values: Values) -> Any:
        pa = self._pa
        if pa.types.is_timestamp(column.type):
            zoned = {value.tzinfo is not None for value in values if value is not None}
            if zoned - {column.type.tz is not None}:
                raise OrmisError(
                    f"{self._name}.{column.name} holds times with a zone and times without: Parquet has columns of one "
                    f"kind; dump it as jsonl"
                )
        try:
            return pa.array(values, type=column.type)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise OrmisError(
                f"{self._name}.{column.name}: Parquet has no {column.type} for a value ({error}); dump it as jsonl"
            ) from None

    def _opened(self) -> Any:
        if self._kind == "csv":
            return import_module("pyarrow.csv").CSVWriter(self._file, self._schema)
        return import_module("pyarrow.parquet").ParquetWriter(self._file, self._schema)

    def close(self) -> None:
        """Writes the end; of a table without rows the names of its columns."""
        if self._writer is None:
            self.write([[] for _ in self._columns])
        writer: Any = self._writer
        writer.close()


def _text(text: Text) -> str:
    return text if isinstance(text, str) else text.decode()


def _bytes(text: Text) -> bytes:
    return text.encode() if isinstance(text, str) else text


def _base64(text: Text) -> str:
    return b64encode(_bytes(text)).decode()


def _moment(kind: Kind, moment: datetime | None) -> Any:
    return moment.isoformat(timespec="milliseconds") if moment is not None and kind == "csv" else moment


# Reading -------------------------------------------------------------------------------------------------------------


class TableReader:
    """The entries of a table: of objects, or of links if its name says so, `question.tags`.

    name: of the table, without the end; empty for a file of another program.
    """

    def __init__(self, kind: Kind, file: BinaryIO, name: str, skip: int = 0) -> None:
        self._kind: Kind = kind
        self._file = file
        self._model, _, self._link = unquote(name).partition(".")
        self._skip = skip

    def __iter__(self) -> Iterator[Entry]:
        """Raises OrmisError for a file that is no such table."""
        number = 0
        for batch in self._batches():
            for row in batch.to_pylist():
                number += 1
                if number > self._skip:
                    yield self._entry(f"row {number}", row)

    def _entry(self, place: str, row: dict[str, Any]) -> Entry:
        if self._link:
            own, other = (row.get(name) for name in LINKED)
            return Entry(place, self._model, own, links={self._link: [other]}, form="table")
        expires = row.pop(EXPIRES, BY_MODEL)
        return Entry(place, self._model, None, row, expires, form="table")

    def _batches(self) -> Iterator[Any]:
        pa = arrow()
        try:
            if self._kind == "parquet":
                yield from import_module("pyarrow.parquet").ParquetFile(self._file).iter_batches(10_000)
            else:
                yield from self._of_csv()
        except pa.ArrowInvalid as error:
            raise OrmisError(f"the file is no {self._kind}, or is cut off: {error}") from None

    def _of_csv(self) -> Iterator[Any]:
        csv, pa = import_module("pyarrow.csv"), arrow()
        names = _header(self._file)
        convert = csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=[""],
        )
        parse = csv.ParseOptions(newlines_in_values=True)
        with csv.open_csv(self._file, parse_options=parse, convert_options=convert) as reader:
            yield from reader


def _header(file: BinaryIO) -> list[str]:
    """The names of the columns, without moving on in the file."""
    import csv

    if not file.seekable():
        raise OrmisError("CSV is read from a file, not from a pipe: write it to one, or use jsonl")
    line = file.readline()
    file.seek(0)
    try:
        return next(csv.reader([line.decode("utf-8-sig")]))
    except (StopIteration, UnicodeDecodeError):
        raise OrmisError(f"the file is no CSV: it begins with {shown(line[:40])}") from None


def tables_in(directory: Path, schemas: Sequence[Schema]) -> list[Path]:
    """The tables of a dump, models behind those that they refer to, links behind all. Raises OrmisError for others."""
    order = {schema.key: i for i, schema in enumerate(schemas)}
    found: list[tuple[bool, int, Path]] = []
    for path in directory.iterdir():
        model, _, link = unquote(path.stem).partition(".")
        if path.suffix not in (".csv", ".parquet") or model not in order:
            raise OrmisError(f"{path} is no table: a dump has question.csv or question.parquet, by the keys of models")
        found.append((bool(link), order[model], path))
    return [path for *_, path in sorted(found)]
