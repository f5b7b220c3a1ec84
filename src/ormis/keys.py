"""How the keys of a database are spelled. The Lua library `keys.lua` spells the same ones for what scripts write.

Every name starts with the model's key prefix: `question:1` is an object, `question/…` is derived from the objects,
`ormis/…` is the database's own.
"""

MODELS = "ormis/models"
"""Hash: model key -> what the scripts have to keep for it (indexes, unique claims), as JSON."""

LAYOUT = "ormis/layout"
"""String: the version of this layout of keys."""

LAYOUT_VERSION = "1"


def object_key(model: str, pk: str) -> str:
    """The hash that is the object."""
    return f"{model}:{pk}"


def next_id_key(model: str) -> str:
    """The last id handed out."""
    return f"{model}/next_id"


def ids_key(model: str) -> str:
    """Every primary key, scored in the order of creation."""
    return f"{model}/ids"
