"""Fields with auto_now or auto_now_add: the time of a write, one for all objects and fields of it."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from ...schema.schema import Column


def set_times(records: Iterable[Any], columns: Sequence[Column]) -> None:
    """Sets these columns, which have such a time, to now; frozen fields too."""
    values = times(columns)
    for record in records:
        for name, value in values.items():
            vars(record)[name] = value


def times(columns: Sequence[Column]) -> dict[str, Any]:
    """The values of these columns now, by name."""
    if not columns:
        return {}
    now = datetime.now(UTC)
    return {column.name: column.auto.value(now) for column in columns if column.auto is not None}
