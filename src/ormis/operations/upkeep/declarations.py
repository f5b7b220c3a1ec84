"""Which indexes and constraints the database knows of a model, which of them are complete, and how they are shown."""

from typing import Any

import msgspec

from ...schema.schema import Schema


def incomplete(schema: Schema, stored: bytes | None) -> list[str]:
    """The declared indexes and constraints that are incomplete, given the declaration that the database has."""
    known = declaration(stored)
    waiting = known.get("incomplete") or ()
    kept, own = definitions(known), msgspec.json.decode(schema.declaration)
    defaults = {*own.get("defaults", ())} - {*known.get("defaults", ())}  # these may be absent in the index
    moved = {name for name, part in own.get("parts", {}).items() if known.get("parts", {}).get(name) != part}
    late = {*defaults, *moved, *(name for name, part in own.get("parts", {}).items() if part[0] in defaults)}
    return [d for d in definitions(own) if d not in kept or d in waiting or late & {*d.split(" ")[-1].split(",")}]


def declaration(stored: bytes | None) -> dict[str, Any]:
    """The declaration of a model that the database has; empty if it can't be read."""
    try:
        known = msgspec.json.decode(stored or b"{}")
    except ValueError:
        return {}
    return known if isinstance(known, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def definitions(known: dict[str, Any]) -> list[str]:
    """The indexes and constraints of a declaration, as the script `reindex` names them."""
    return [f"{part} {definition}" for part in ("indexes", "unique") for definition in known.get(part) or ()]


def shown(definition: str) -> str:
    """A stored definition as people read it: `indexes sorted int votes` is `votes (sorted)`."""
    words = definition.split(" ")
    return f"{words[-1]} ({'unique' if len(words) == 2 else words[1]})"
