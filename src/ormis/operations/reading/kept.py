"""Objects by their keys, of a model whose rows are kept in the process: from memory, the rest by one call.

PTTL and HMGET of each missing one, in one write for `Limits.keys` of them.
"""

# Private names of this module are private to the package.
# pyright: reportPrivateUsage=false

from collections.abc import Iterable, Sequence
from inspect import getattr_static
from typing import Any

from ...caching.rows import Rows
from ...calls import HashReads, Operation, Origin
from ...query.q import Q
from ...query.state import every
from ...records.hydration import load
from ...records.state import Wire
from .get import KeptRowRead
from .source import Source

_OPEN = ("order", "backwards", "related")
"""Parts of a query that do not say which objects of a model it is of, and which of their fields it wants."""


def kept_rows(source: Source[Any], origin: Origin) -> Rows | None:
    """The rows by which the objects of this queryset can be had by their keys: it is of a whole model, whose rows are
    kept. Else None.
    """
    query = source.query
    if not query.schema.cache or query.where or source._known:
        return None
    plain, own = vars(every(query.schema)), vars(query)
    if any(own[name] != plain[name] for name in plain if name not in _OPEN):
        return None
    rows: Rows | None = origin.database.kept(query.schema)
    return rows


def by_keys(source: Source[Any], rows: Rows, keys: Iterable[Any], origin: Origin) -> Operation[dict[Any, Any] | None]:
    """The objects with these primary keys, which are of the field's type, by their keys in this order.

    None if the query has related objects in the same call, and not all of them are kept: then that call is made.
    """
    found = {text: rows.find_text(text) for text in _texts(rows, keys)}
    missing = [text for text, row in found.items() if row is None]
    if missing and source.query.related:
        return None
    for first in range(0, len(missing), origin.limits.keys):
        found |= yield from _read(rows, missing[first : first + origin.limits.keys])
    records = load(source.model, [row for row in found.values() if row is not None], origin)
    if not all(_attach(records, path.split("__"), origin) for path in source.query.related):
        return None
    return {record.pk: record for record in records}


def _texts(rows: Rows, keys: Iterable[Any]) -> list[str]:
    encode = rows.schema.pk.codec.encode
    return [str(encode(key)) for key in keys]


def _attach(records: list[Any], path: Sequence[str], origin: Origin) -> bool:
    """Caches the objects that foreign keys point at with the records; False if one of them is not kept."""
    for name in path:
        if not records:
            return True
        model: Any = records[0].__class__
        relation = getattr_static(model, name)
        if not hasattr(relation, "reference") or relation.many or relation.reference.to_field:
            return False
        related = _related(records, relation, origin)
        if related is None:
            return False
        records = related
    return True


def _related(records: list[Any], relation: Any, origin: Origin) -> list[Any] | None:
    """The objects that the foreign keys of the records point at, if all of them are kept."""
    rows: Rows | None = origin.database.kept(relation.model._schema())
    if rows is None:
        return None
    keys: list[Any] = [key for key in dict.fromkeys([relation.key_in(record) for record in records]) if key is not None]
    found = [row for text in _texts(rows, keys) if (row := rows.find_text(text)) is not None]
    if len(found) < len(keys):
        return None
    related = dict(zip(keys, load(relation.model, found, origin), strict=True))
    for record in records:
        key = relation.key_in(record)
        if key is not None:
            relation.connect(record, related[key])
    return [*related.values()]


def _read(rows: Rows, texts: list[str]) -> Operation[dict[str, Wire | None]]:
    reads = [KeptRowRead(rows, text) for text in texts]
    try:
        replies = yield HashReads(rows.schema.hash_fields, [read.key for read in reads])
        pairs = zip(replies[::2], replies[1::2], strict=True)
        return {text: read.take(*pair) for text, read, pair in zip(texts, reads, pairs, strict=True)}
    finally:
        for read in reads:
            read.close()


def key_of(rows: Rows, condition: Q) -> Any:
    """The primary key that a condition asks for and nothing else; None for another condition, and for a key that does
    not convert.
    """
    if condition.connector != "and" or condition.negated or len(condition.children) != 1:
        return None
    leaf = condition.children[0]
    pk = rows.schema.pk
    if isinstance(leaf, Q) or leaf[0] not in ("pk", pk.name):
        return None
    keys = converted(rows, (leaf[1],))
    return keys[0] if keys else None


def converted(rows: Rows, keys: Iterable[Any]) -> list[Any]:
    """The keys as the field holds them; none if one of them does not convert: a query says why."""
    pk = rows.schema.pk
    if pk.normalise is not None:
        return []
    try:
        return [pk.convert(key) for key in keys]
    except (ValueError, TypeError):
        return []
