"""Many objects of the caller's written at once, as operations: what `bulk_create` and `bulk_update` ask for."""

# What is private here is so to the package.
# pyright: reportPrivateUsage=false

from collections.abc import Iterable
from typing import Any

from ...calls import Operation
from ...errors import FieldError, IntegrityError, shown
from ..reading.source import Source
from . import bulk
from .save import OnConflict, When
from .update import named


def checked(source: Source[Any], objects: Iterable[Any], method: str) -> list[Any]:
    """The objects as a list. Raises FieldError for one of another model."""
    records = [*objects]
    for record in records:
        if not isinstance(record, source.model):
            raise FieldError(f"{shown(record)} is no {source.model.__name__}: {method}() takes objects of the model")
        if record.__declarations__:
            record._check_related(source.db)
    return records


def conflicts(
    source: Source[Any],
    ignore: bool,
    update_them: bool,
    update_fields: Iterable[str] | None,
    unique_fields: Iterable[str] | None,
) -> When:
    """What bulk_create() does with a record in conflict. Raises ValueError for options that exclude each other."""
    schema = source._schema
    if ignore and update_them:
        raise ValueError("bulk_create(): ignore_conflicts and update_conflicts exclude each other")
    if not update_them:
        if update_fields is not None or unique_fields is not None:
            raise ValueError("bulk_create(): update_fields and unique_fields go with update_conflicts=True")
        return "ignore" if ignore else None
    if not update_fields or not unique_fields:
        raise ValueError("bulk_create(update_conflicts=True) needs update_fields= and unique_fields=")
    columns = [schema.column(name) for name in unique_fields]
    constraint = next((u.name for u in schema.unique if set(u.columns) == set(columns)), None)
    name = schema.pk.name if columns == [schema.pk] else constraint
    if name is None:
        shown = ", ".join(column.name for column in columns)
        raise FieldError(f"{schema.name}: no unique field or constraint is over {shown}")
    return OnConflict([named(schema, field).position for field in update_fields], [name])


def bulk_update(
    source: Source[Any], objects: Iterable[Any], fields: Iterable[str], batch_size: int | None
) -> Operation[int]:
    """Writes these fields of stored objects; how many of them there still were."""
    records, names = checked(source, objects, "bulk_update"), [*fields]
    if not names:
        raise FieldError(f"{source._schema.name}: bulk_update() needs the names of the fields to write")
    for record in records:
        if record.pk is None:
            raise IntegrityError(f"bulk_update(): {record!r} is not saved yet", model=source._schema.name)
    return (yield from bulk.update(records, [named(source._schema, name).name for name in names], batch_size))
