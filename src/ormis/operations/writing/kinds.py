"""Inserting objects of several classes of a family at once: their rows are those of the family."""

from collections.abc import Callable, Sequence
from typing import Any

from ...schema.schema import Schema
from ...storage.codecs import Text

Row = Sequence[Text | None]


def rows_of_kinds(
    records: Sequence[Any], rows_of: Callable[[Schema, Sequence[Any]], Sequence[Row]]
) -> tuple[list[Row], list[Row]]:
    """The rows of objects of a family: each of the columns of its class, and each of all columns of the family.

    rows_of: makes the rows of objects of one class.
    """
    by_schema: dict[Schema, list[int]] = {}
    for i, record in enumerate(records):
        by_schema.setdefault(record.__schema__, []).append(i)
    rows: list[Row] = [()] * len(records)
    whole: list[Row] = [()] * len(records)
    for schema, places in by_schema.items():
        nothing, at = [None] * len(schema.stored.columns), [column.position - 1 for column in schema.own]
        for i, row in zip(places, rows_of(schema, [records[i] for i in places]), strict=True):
            rows[i] = row
            spread: list[Text | None] = [*nothing]
            for position, text in zip(at, row, strict=True):
                spread[position] = text
            whole[i] = spread
    return rows, whole
