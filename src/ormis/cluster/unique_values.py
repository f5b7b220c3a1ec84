"""Unique values over partitions: which constraints need a claim, and which values objects and queries name.

A constraint that contains the key, or the field of `Meta.partition_by`, compares objects of one partition only; that of
a model with Meta.reference is compared in the first one. Any other is over partitions: each of its values has a
partition, that of its CRC16, where a claim says in which partition the object with this value is (claims.py).
"""

from binascii import crc_hqx
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..operations.writing.mutations import Mutation
from ..planning.plan import Plan
from ..planning.predicates import Compare, conjuncts
from ..schema import registry
from ..schema.schema import Schema, UniqueSpec
from .partitions import Partition, Partitions
from .placement import placement

_ESCAPES = {b: f"\\u{b:04x}".encode() for b in (*range(32), 127)} | {
    8: b"\\b", 9: b"\\t", 10: b"\\n", 12: b"\\f", 13: b"\\r", 34: b'\\"', 92: b"\\\\",
}  # fmt: skip
Texts = Mapping[int, Any]
"""Texts by the positions of their columns, None or False where absent."""


@dataclass(frozen=True, slots=True)
class Value:
    """A value of a constraint over partitions: the key of the model, the names of the fields, the text of the value as
    the claims of one server have it (lua/model/models.lua, claim).
    """

    model: str
    fields: str
    text: bytes

    def partition(self, partitions: Partitions) -> Partition:
        """The partition of its claim."""
        return partitions.all[crc_hqx(self.text, 0) % len(partitions)]


def over_partitions(schema: Schema) -> Sequence[UniqueSpec]:
    """The constraints of a model that are over partitions."""
    return _over_partitions(schema.stored, registry.changes())


@lru_cache(512)
def _over_partitions(schema: Schema, _changes: int) -> Sequence[UniqueSpec]:
    if schema.copied:  # its first partition decides
        return ()
    column = placement(schema).column
    return [one for one in schema.unique if schema.pk not in one.columns and column not in one.columns]


def value_of(schema: Schema, unique: UniqueSpec, texts: Texts) -> Value | None:
    """The value that an object with these texts has; None if one of them is absent."""
    data: list[bytes] = []
    for column in unique.columns:
        text = texts.get(column.position)
        if text is None or text is False:
            return None
        data.append(text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text)
    return Value(schema.stored.key, unique.name, data[0] if len(data) == 1 else _array(data))


def _array(texts: Iterable[bytes]) -> bytes:
    """As cjson.encode() has it, but for the escape of slashes."""
    return b"[%b]" % b",".join(b'"%b"' % b"".join(_ESCAPES.get(b) or bytes((b,)) for b in text) for text in texts)


def values_of(schema: Schema, texts: Texts, changed: Iterable[int] | None = None) -> list[Value]:
    """The values over partitions that an object with these texts has; of the changed columns alone, if they are given.

    Those whose value is absent are left out.
    """
    only = None if changed is None else {*changed}
    values = [
        value_of(schema, unique, texts)
        for unique in over_partitions(schema)
        if only is None or any(column.position in only for column in unique.columns)
    ]
    return [value for value in values if value is not None]


def touched(schema: Schema, positions: Iterable[int]) -> bool:
    """Returns whether a change of these columns changes values over partitions."""
    own = {column.position for unique in over_partitions(schema) for column in unique.columns}
    return bool(own) and not own.isdisjoint(positions)


def by_position(items: Sequence[Any]) -> dict[int, Any]:
    """Texts by position of the flat list position, text, ..."""
    return dict(zip(items[::2], items[1::2], strict=True))


def rows_of(mutation: Mutation) -> list[dict[int, Any]]:
    """The texts of the rows of an insertion or a save, by position."""
    number: int = mutation.arguments[0]
    texts: Sequence[Any] = mutation.arguments[1]
    width = len(texts) // number
    return [dict(enumerate(texts[at : at + width], 1)) for at in range(0, len(texts), width)]


def changes_of(mutation: Mutation) -> tuple[dict[int, Any], set[int]]:
    """Of an update the new texts by position, and the positions of the columns that are computed on the server."""
    _, changes, _, sums = (*mutation.arguments, (), ())[:4]
    return by_position(changes), {*sums[::7]}


def value_in(plan: Plan) -> Value | None:
    """A value over partitions that every object of a query has; None if it names none."""
    uniques = over_partitions(plan.schema)
    if not uniques:
        return None
    texts: dict[int, Any] = {}
    for part in conjuncts(plan.where):
        if isinstance(part, Compare) and part.operator in ("eq", "in") and len(part.values) == 1:
            column = part.column
            if column in plan.schema.columns or column in plan.schema.stored.columns:
                text = column.codec.encode(part.values[0])
                if column.default is None:  # an object without a text has the default and no claim
                    texts[column.position] = text
    named = (value_of(plan.schema, unique, texts) for unique in uniques)
    return next((value for value in named if value is not None), None)
