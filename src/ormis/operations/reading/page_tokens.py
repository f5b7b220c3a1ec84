"""The tokens of pages: a place in an order as opaque text, bound to the shape of a query.

A token is URL-safe base64 of a version, a checksum, the shape of the query and the place, packed with MessagePack. It
is not secret and not signed: who makes one up reads from another place in the same query, nothing else. The values in
it are texts that convert as stored ones do.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from hashlib import sha256
from typing import Any
from uuid import UUID
from zlib import crc32

import msgspec

from ...errors import PageTokenError, reason, shown
from ...planning.keyset import OrderCell, Place
from ...planning.ordering import OrderTerm
from ...query.q import Q
from ...query.state import Query

_VERSION = b"\x01"
_SUM, _SHAPE = 4, 8  # bytes
_MOVING = (date, time, timedelta)
"""Values that differ from one request to the next in what is the same query for its author: `published__lte=now`."""

_encode = msgspec.msgpack.Encoder().encode


class _Body(msgspec.Struct, array_like=True):
    """What a token holds behind the shape of the query: a place, its values as texts."""

    values: list[bytes | None]
    rank: float
    inclusive: bool
    key: str = ""


_decode = msgspec.msgpack.Decoder(_Body).decode


def shape_of(query: Query, order: Sequence[OrderTerm]) -> bytes:
    """What a token is bound to: the model, the order and the conditions of a query. No secret: only told apart."""
    terms = [(term.cell.name, term.descending, term.nulls_first) for term in order]
    backwards = query.backwards and not order
    text = repr((query.schema.key, terms, backwards, _described_query(query)))
    return sha256(text.encode()).digest()[:_SHAPE]


def _described_query(query: Query) -> Any:
    computed = [(one.name, str(one.expression)) for one in query.annotations]
    return [_described(q) for q in query.where], computed


def _described(value: Any) -> Any:
    """A condition, or a value in it, as the same text in every process."""
    if isinstance(value, Q):
        return value.connector, value.negated, [(_described(a), _described(b)) for a, b in _pairs(value)]
    inner = getattr(value, "query", None)
    if isinstance(inner, Query):
        return inner.schema.key, _described_query(inner)
    if isinstance(value, Enum):
        return _described(value.value)
    if isinstance(value, str | bytes | int | float | Decimal | UUID | None):
        return f"{value!s}"
    if isinstance(value, _MOVING):
        return type(value).__name__
    if isinstance(value, list | tuple | set | frozenset):
        items: list[Any] = [*value]  # pyright: ignore[reportUnknownArgumentType]
        return sorted(str(_described(item)) for item in items)
    key = getattr(value, "pk", None)
    return type(value).__name__ if key is None else f"{key!s}"


def _pairs(q: Q) -> list[tuple[Any, Any]]:
    return [(child, None) if isinstance(child, Q) else (str(child[0]), child[1]) for child in q.children]


def token_of(shape: bytes, cells: Sequence[OrderCell], place: Place) -> str:
    """The token of a place."""
    texts = [_text(cell, value) for cell, value in zip(cells, place.values, strict=True)]
    body = shape + _encode(_Body(texts, place.rank, place.inclusive, place.key))
    return urlsafe_b64encode(_VERSION + _checksum(body) + body).rstrip(b"=").decode()


def place_of(name: str, shape: bytes, cells: Sequence[OrderCell], token: Any) -> Place:
    """The place that a token holds. Raises PageTokenError if it is damaged or of another query.

    name: that of the model, for messages.
    """
    if not isinstance(token, str):
        raise PageTokenError(f"{name}: page({shown(token)}): a token is the text of page.next or page.previous")
    try:
        data = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
    except ValueError:
        data = b""
    body = data[1 + _SUM :]
    if data[:1] != _VERSION or _checksum(body) != data[1 : 1 + _SUM]:
        raise PageTokenError(f"{name}: the token {shown(token)} is damaged, or none of page(): ask for the first page")
    if body[:_SHAPE] != shape:
        raise PageTokenError(
            f"{name}: the token {shown(token)} is of another query: page() takes those of a query on the same model, "
            f"in the same order and with the same conditions"
        )
    try:
        found = _decode(body[_SHAPE:])
        pairs = zip(cells, found.values, strict=True)
        values = [None if text is None else cell.codec.decode(text) for cell, text in pairs]
    except ValueError as error:
        raise PageTokenError(f"{name}: the token {shown(token)} does not convert: {reason(error)}") from None
    return Place((*values,), found.rank, found.inclusive, found.key)


def _checksum(body: bytes) -> bytes:
    return crc32(body).to_bytes(_SUM)


def _text(cell: OrderCell, value: Any) -> bytes | None:
    text = None if value is None else cell.codec.encode(value)
    return text.encode() if isinstance(text, str) else text
