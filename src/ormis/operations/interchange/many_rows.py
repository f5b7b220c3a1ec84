"""The rows of many hashes at once, in half the time that they take one by one."""

from collections.abc import Sequence
from typing import Any

import msgspec
from pydantic import ValidationError

from ...errors import OrmisError
from ...schema.schema import Schema
from ..writing.auto_now import set_times
from ..writing.save import rows_of
from .entries import BY_MODEL, Entry, Row, RowMaker, milliseconds

_pack = msgspec.msgpack.Encoder().encode


def many_rows(maker: RowMaker, entries: Sequence[Entry]) -> list[Row] | None:
    """The rows of these entries; None if they are no hashes, or one of them is to be looked at by itself."""
    schema = maker.schema
    if schema.kinds or len(entries) == 1 or any(entry.form != "hash" for entry in entries):
        return None
    texts = _texts(maker, entries)
    if texts is None:
        return None
    try:
        records = [maker.model(**values) for values in _values(schema, texts)]
        for entry, record in zip(entries, records, strict=True) if schema.auto_now_add else ():
            set_times([record], [one for one in schema.auto_now_add if one.name not in entry.fields])
        rows = rows_of(schema, records)
        ttls = [schema.ttl if entry.expires is BY_MODEL else milliseconds(entry.expires) for entry in entries]
    except (ValidationError, OrmisError, ValueError, TypeError):  # one by one they say which
        return None
    return [Row(entry, schema, row, ttl) for entry, row, ttl in zip(entries, rows, ttls, strict=True)]


def _texts(maker: RowMaker, entries: Sequence[Entry]) -> list[list[Any]] | None:
    """The texts of all columns, None for an absent one; None if there are others, or no primary key."""
    names, found = maker.given_names, list[list[Any]]()
    for entry in entries:
        get = entry.fields.get
        texts = [get(name) for name in names]
        fields = len(entry.fields)
        if entry.pk is not None:
            fields += texts[0] is None
            texts[0] = entry.pk
        if texts[0] is None or fields != len(texts) - texts.count(None):
            return None
        found.append(texts)
    return found


def _values(schema: Schema, texts: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    """The values of rows of texts by name, without those of absent texts. Raises ValueError for a text that is none."""
    rows = schema.decoder.rows(_pack(texts))
    names = [column.name for column in schema.columns]
    values = [dict(zip(names, row, strict=True)) for row in rows]
    for column in schema.columns:
        if (finish := column.codec.finish) is not None:
            for one in values:
                if one[column.name] is not None:
                    one[column.name] = finish(one[column.name])
    for own, row in zip(values, texts, strict=True):
        if None in row:
            for name, text in zip(names, row, strict=True):
                if text is None:
                    del own[name]
    return values
