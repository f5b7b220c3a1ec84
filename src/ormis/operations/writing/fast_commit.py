"""The arguments of the fast path of common commits, lua/write/fast_commit.lua. An empty list closes the path.

A column is open to it unless it is part of a constraint, a reference, or an index on text or with other columns.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from ...records.state import Text
from ...schema.index_kinds import EQUAL
from ...schema.schema import Schema
from ...storage.keys import MODELS
from ...storage.scripts import script

_ENTRIES = 9
"""The number of the argument that is the first entry of an insertion."""
_INEXACT = 2**53
"""No double holds every integer from here on. A smaller addend can be subtracted again from any 64-bit sum."""


class Form:
    """The commits of one model that differ in some texts only; the rest of the command is packed once.

    arguments: as lua/write/fast_commit.lua reads them, None in the place of each text.
    shape: of the model, as the general commit reads it.
    equal: the places of texts, from 0, that name the keys of equality indexes.
    order: the places of the texts in the order of the arguments; None if it is theirs.
    """

    __slots__ = ("_arguments", "_packed", "_shape", "declaration", "equal", "order")

    def __init__(
        self,
        schema: Schema,
        shape: bytes,
        arguments: Sequence[str | None],
        equal: Sequence[int] = (),
        order: Sequence[int] | None = None,
    ) -> None:
        self.declaration = schema.declaration
        self.equal = equal
        self.order = order
        self._shape = shape
        self._arguments = arguments
        self._packed: dict[str | tuple[str, ...], bytes] = {}

    def takes(self, texts: Sequence[Text]) -> bool:
        """Returns whether the fast path serves these texts."""
        for place in self.equal:
            text = texts[place]
            if len(text) > 50 or not isinstance(text, str) or "/" in text or text[:1] == "#":
                return False
        return True

    def in_order(self, texts: Sequence[Text]) -> Sequence[Text]:
        """The texts in the order of the arguments."""
        return texts if self.order is None else [texts[place] for place in self.order]

    def arguments(self, texts: Sequence[Text]) -> list[Text]:
        """The arguments with these texts."""
        left = iter(texts)
        return [next(left) if item is None else item for item in self._arguments]

    def packed(self, prefix: str, texts: Sequence[Text], token: str, keys: tuple[str, ...] = ()) -> bytes:
        """The command with these texts, as it is sent to a database whose keys begin with this prefix; keys: as of
        OneWrite.
        """
        form = self._packed.get(keys or prefix) or self._pack(prefix, keys)
        items: list[int | bytes] = []
        for text in texts:
            data = text.encode() if isinstance(text, str) else text
            items += (len(data), data)
        return form % (*items, len(token), token.encode())

    def _pack(self, prefix: str, keys: tuple[str, ...]) -> bytes:
        declared = keys or (prefix + MODELS,)
        head = ("EVALSHA", script("commit").sha, str(len(declared)), *declared)
        head = (*head, prefix, "", self._shape, self.declaration)
        parts = [_bulk(item) for item in (*head, *self._arguments, None)]
        form = self._packed[keys or prefix] = b"*%d\r\n%b" % (len(parts), b"".join(parts))
        return form


def _bulk(item: Text | None) -> bytes:
    if item is None:
        return b"$%d\r\n%b\r\n"
    data = item.encode() if isinstance(item, str) else item
    return b"$%d\r\n%b\r\n" % (len(data), data.replace(b"%", b"%%"))


def insert_form(schema: Schema, row: Sequence[Text | None]) -> tuple[Form, Sequence[Text]] | None:
    """The insertion of a new object, and the texts that go with it; None where the fast path is closed to it."""
    if row[0] or not schema.plain or not schema.automatic:
        return None
    texts: Sequence[Any] = row[1:]
    absent: tuple[int, ...] = ()
    if None in texts:
        absent = tuple([position for position, text in enumerate(texts, 2) if text is None])
        texts = [text for text in texts if text is not None]
    form = _insert_form(schema, absent)
    return (form, texts) if form is not None and form.takes(texts) else None


@lru_cache(1024)
def _insert_form(schema: Schema, absent: tuple[int, ...]) -> Form | None:
    present = [column for column in schema.columns[1:] if column.position not in absent]
    if not present:
        return None
    places = {column: place for place, column in enumerate(present)}
    indexed = [(column, index) for column, index in schema.index_of.items() if column in places]
    first = _ENTRIES + 2 * len(indexed)
    entries = [
        item
        for column, index in indexed
        for item in (EQUAL if index.type == EQUAL else column.codec.kind, str(first + 2 * places[column]))
    ]
    pairs = [item for column in present for item in (column.name, None)]
    equal = [places[column] for column, index in indexed if index.type == EQUAL]
    head = ("insert", schema.key, schema.pk.name, str(len(indexed)))
    return Form(schema, schema.shape, [*head, *entries, *pairs], equal)


def update_form(schema: Schema, changed: tuple[int, ...]) -> Form | None:
    """The updates of the columns at these positions; None where the fast path is closed to them.

    The primary key comes before their texts.
    """
    return _update_form(schema, changed)


@lru_cache(1024)
def _update_form(schema: Schema, changed: tuple[int, ...]) -> Form | None:
    names = [schema.fast_kinds[position - 1] for position in changed]
    if not names or any(kind is None for _, kind in names) or sum(bool(kind) for _, kind in names) > 1:
        return None
    order = sorted(range(len(names)), key=lambda place: not names[place][1])  # that of an index comes first
    pairs = [item for place in order for item in (names[place][0], None)]
    head = ("update", schema.key, schema.pk.name, None, names[order[0]][1])
    return Form(
        schema, schema.shape_for(changed), [*head, *pairs], order=None if order == [*range(len(order))] else order
    )


def fast_insert(schema: Schema, rows: Sequence[Sequence[Text | None]]) -> list[Text]:
    """The insertion as lua/write/fast_commit.lua reads it; nothing where that way is closed."""
    if len(rows) == 1:
        found = insert_form(schema, rows[0])
        return found[0].arguments(found[1]) if found else []
    given = sum(texts[0] is not None for texts in rows)
    if not schema.plain or not schema.automatic or given not in (0, len(rows)):
        return []
    return ["insert_many", schema.key]


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
    texts = changes[1::2]
    if any(text is False for text in texts):
        return ()
    form = update_form(schema, tuple(changes[::2]))
    return form.arguments((pk, *form.in_order(texts))) if form else ()
