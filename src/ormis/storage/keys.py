"""The spelling of the keys of a database. lua/server/keys.lua spells the same ones for scripts.

Every name starts with the model's key prefix: `question:1` is an object, `question/…` is derived from the objects,
`ormis/…` is the database's own.
"""

from functools import lru_cache
from hashlib import sha1

MODELS = "ormis/models"
"""Hash: model key -> what the scripts have to keep for it (indexes, unique claims), as JSON."""

LAYOUT = "ormis/layout"
"""String: the version of this layout of keys."""

LAYOUT_VERSION = "1"

COPY = "ormis/copy"
"""Hash, while another database is copied into this one: `source`, and how far it is: model key -> place."""

MIGRATIONS = "ormis/migrations"
"""Hash: `application.migration` -> when it ran and the checksum of its code, as JSON."""

MIGRATING = "ormis/migrating"
"""Hash, while migrations run: `application.migration` -> how many of its operations are done; with `/operation/part`
behind it how far that part is, see lua/migrate.lua.
"""

MIGRATING_LOCK = "ormis/migrating/lock"
"""String with a time to live: who runs migrations, as JSON."""

COLUMNS = "ormis/columns"
"""Hash: model key -> the kinds of its columns by their names, as JSON."""


def object_key(model: str, pk: str) -> str:
    """The hash that is the object."""
    return f"{model}:{pk}"


def links_key(model: str, relation: str, pk: str) -> str:
    """The set of the keys that an object is linked to by a many-to-many relation."""
    return f"{model}/links/{relation}/{short(pk)}"


def claims_key(model: str, fields: str) -> str:
    """On a cluster the claims of the values of a constraint over all partitions."""
    return f"ormis/claims/{model}/{fields}"


def registered_key(model: str) -> str:
    """On a cluster the partitions that may hold objects which refer to an object of this one."""
    return f"ormis/registered/{model}"


def admitted_key(model: str) -> str:
    """On a cluster the objects of other partitions that objects of this one may refer to."""
    return f"ormis/admitted/{model}"


def copies_key(model: str) -> str:
    """On a cluster the numbers of the last changes of objects that are in all partitions."""
    return f"ormis/copies/{model}"


def short(value: str) -> str:
    """A value as it stands in the name of a key: long ones, and those that could be taken for another, by SHA-1."""
    data = value.encode()
    if len(data) > 200 or "/" in value or value.startswith("#"):
        return f"#{sha1(data).hexdigest()}"  # noqa: S324 - a name, not a secret
    return value


def ids_key(model: str) -> str:
    """Every primary key, scored in the order of creation."""
    return f"{model}/ids"


def expiry_key(model: str) -> str:
    """The objects that expire, by the time of it."""
    return f"{model}/expiry"


@lru_cache(1024)
def index_key(model: str, last: str, before: tuple[tuple[str, str], ...]) -> str:
    """A sorted index: by its last field, and the names and texts of the fields before that."""
    path = "".join([f"{name}={short(text)}/" for name, text in before])
    return f"{model}/index/{path}{last}"
