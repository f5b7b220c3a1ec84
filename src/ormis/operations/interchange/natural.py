"""Natural keys: the values of a unique constraint, by which a file names objects instead of by their primary keys."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from ...calls import HashReads, Operation
from ...schema import registry
from ...schema.schema import Column, PartColumn, Reference, Schema
from ...storage.codecs import Text
from ...storage.keys import object_key
from ..upkeep.stored import Stored

Names = Mapping[tuple[str, str], Sequence[Text | None]]
"""The texts of natural keys by the key of the model and the text of the primary key."""


@cache
def natural_columns(schema: Schema) -> tuple[Column, ...]:
    """The columns of the natural key: of the first constraint without foreign keys, parts and None; else none."""
    foreign = {reference.column for reference in schema.references}
    for unique in schema.unique:
        if not any(one in foreign or one.nullable or isinstance(one, PartColumn) for one in unique.columns):
            return unique.columns
    return ()


def named_references(schema: Schema) -> list[tuple[Reference, Schema]]:
    """The foreign keys to the primary keys of models that have natural keys, and these models."""
    targets = [(reference, registry.schema_for(reference.target).stored) for reference in schema.references]
    return [(one, target) for one, target in targets if not one.to_field and natural_columns(target)]


def names_of(schema: Schema, rows: Sequence[Stored]) -> Operation[Names]:
    """The natural keys of the objects that these refer to. One call for each model."""
    wanted: dict[Schema, dict[str, None]] = {}
    for reference, target in named_references(schema):
        texts = (row.texts.get(reference.column.name) for row in rows)
        wanted.setdefault(target, {}).update(dict.fromkeys(_keys(texts)))
    found: dict[tuple[str, str], Sequence[Text | None]] = {}
    for target, pks in wanted.items():
        if pks:
            fields = target.fields_of([column.name for column in natural_columns(target)])
            replies = yield HashReads(fields, [object_key(target.key, pk) for pk in pks])
            found.update(((target.key, pk), texts) for pk, texts in zip(pks, replies[1::2], strict=True))
    return found


def _keys(texts: Iterable[Text | None]) -> Iterable[str]:
    return (text for text in texts if isinstance(text, str))
