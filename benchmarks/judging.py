"""Whether what a peer returns and stores is right, by the rows that it was given."""

from functools import cache
from typing import Any

from . import rows
from .rows import LIMIT, STATUSES
from .sides import Arguments, Side

_equal, _page, _count = cache(rows.equal), cache(rows.page), cache(rows.count)


def fault(side: Side, operation: str, size: int, given: Arguments, results: list[Any]) -> str:
    """How the results of calls differ from what is right among `size` objects; empty if they don't."""
    for arguments, result in zip(given, results, strict=True):
        match operation:
            case "get":
                found, right = side.rows([result]), [rows.row(side.keys.index(arguments[0]))]
            case "equal":
                found, right = sorted(side.rows(result)), sorted(_equal(size, *arguments))
            case "page":
                found, right = side.rows(result), _page(size, *arguments[:2])
            case "count":
                found, right = result, _count(size, *arguments)
            case "save":
                found, right = _saved(side, side.peer.key(result), arguments[0])
            case "update":
                found, right = _updated(side, *arguments)
            case _:
                found, right = _deleted(side, *arguments)
        if found != right:
            return f"{operation} returns {_difference(found, right)}"
    return ""


def _saved(side: Side, key: Any, row: rows.Row) -> tuple[Any, Any]:
    """The object by its key, and by its name."""
    by_name = side.rows(side.call("equal", row.name)) if side.has("equal") else [row]
    return (side.peer.row(side.call("get", key)), row in by_name), (row, True)


def _updated(side: Side, stored: Any, price: int) -> tuple[Any, Any]:
    """The object by its key, and by its new price, which is above all others."""
    new = side.peer.row(side.call("get", side.peer.key(stored))).price
    pages = [side.call("page", status, price, LIMIT) for status in STATUSES] if side.has("page") else None
    by_price = True if pages is None else price in [row.price for page in pages for row in side.rows(page)]
    return (new, by_price), (price, True)


def _deleted(side: Side, stored: Any) -> tuple[Any, Any]:
    """Neither its key nor its name finds the object."""
    row = side.peer.row(stored)
    try:
        left = bool(side.call("get", side.peer.key(stored)))
    except Exception:  # noqa: BLE001 - each peer has an error of its own for an object that is not there
        left = False
    by_name = side.rows(side.call("equal", row.name)) if side.has("equal") else []
    return (left, row in by_name), (False, False)


def _difference(found: Any, right: Any) -> str:
    if not isinstance(found, list):
        return f"{found} instead of {right}"
    if len(found) != len(right):
        return f"{len(found)} objects instead of {len(right)}"
    return "other objects, or in another order"
