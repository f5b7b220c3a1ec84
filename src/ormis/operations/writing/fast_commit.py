"""The arguments of the fast path of common commits, lua/write/fast_commit.lua. An empty list closes the path.

A column is open to it unless it is part of a constraint, a reference, or an index on text or with other columns.
"""

from collections.abc import Sequence
from typing import Any

from ...records.state import Text
from ...schema.index_kinds import EQUAL
from ...schema.schema import Column, Schema

_ENTRIES = 9
"""The number of the argument that is the first entry."""
_INEXACT = 2**53
"""No double holds every integer from here on. A smaller addend can be subtracted again from any 64-bit sum."""


def fast_insert(schema: Schema, rows: Sequence[Sequence[Text | None]]) -> list[Text]:
    """The insertion as lua/write/fast_commit.lua reads it; nothing where that way is closed."""
    if not schema.plain or not schema.automatic or any(texts[0] for texts in rows):
        return []
    if len(rows) > 1:
        return ["insert_many", schema.key]
    texts = rows[0]
    pairs: list[Text] = []
    place: dict[Column, int] = {}
    for column, text in zip(schema.columns, texts, strict=True):
        if text is not None:
            place[column] = len(pairs)
            pairs += (column.name, text)
    if not pairs:
        return []
    indexed = [(column, index) for column, index in schema.index_of.items() if column in place]
    first = _ENTRIES + 3 * len(indexed)
    entries: list[Text] = []
    for column, index in indexed:
        text = pairs[place[column] + 1]
        if index.type == EQUAL and (len(text) > 50 or not isinstance(text, str) or "/" in text or text[:1] == "#"):
            return []
        entries += (index.type, column.codec.kind, str(first + place[column]))
    return ["insert", schema.key, schema.pk.name, str(len(indexed)), *entries, *pairs]


def fast_count(
    schema: Schema, pk: Text, expected: Sequence[Any], changes: Sequence[Any], sums: Sequence[Any]
) -> list[Text]:
    """One sum over an integer as lua/write/fast_commit.lua reads it; nothing where that way is closed."""
    if expected or changes or len(sums) != 7:
        return []
    position, kind, operator, left, right, text, bounds = sums
    column = schema.columns[int(position) - 1]
    if column not in schema.alone or kind != "int" or operator not in ("+", "-") or left != position or right or bounds:
        return []
    index = schema.index_of.get(column)
    if index is not None and not index.kind.fast_update:
        return []
    delta = int(text) if operator == "+" else -int(text)
    if abs(delta) >= _INEXACT:
        return []
    return ["count", schema.key, schema.pk.name, pk, column.name, str(delta), "" if index is None else index.type]


def fast_update(schema: Schema, pk: Text, changes: Sequence[Any]) -> Sequence[Text]:
    """The update as lua/write/fast_commit.lua reads it; nothing where that way is closed."""
    kind = ""
    pairs: list[Text] = []
    for position, text in zip(changes[::2], changes[1::2], strict=True):
        name, own = schema.fast_kinds[int(position) - 1]
        if text is False or own is None or (own and kind):
            return ()
        if own:
            kind = own
            pairs = [name, text, *pairs]
        else:
            pairs += (name, text)
    return ("update", schema.key, schema.pk.name, pk, kind, *pairs) if pairs else ()
