"""The history of a database: which migrations ran, when, and by which code. Keys: `ormis/migrations`."""

from collections.abc import Mapping, Sequence
from time import time

import msgspec

from ..calls import Command, Operation
from ..errors import MigrationError
from ..storage.keys import MIGRATIONS
from .migration import Name


class Applied(msgspec.Struct, frozen=True):
    """A migration that ran. time: seconds since 1970. checksum: of its code then, see Loaded."""

    time: float
    checksum: str


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Applied).decode


def applied() -> Operation[dict[Name, Applied]]:
    """The migrations that ran, by name, in the order in which they ran. One round trip.

    Raises MigrationError for an entry that ormis did not write.
    """
    reply: Mapping[bytes, bytes] | Sequence[bytes] = yield Command(("HGETALL", MIGRATIONS))
    pairs = reply.items() if isinstance(reply, Mapping) else zip(reply[::2], reply[1::2], strict=True)
    found = [_entry(name.decode("utf-8", "backslashreplace"), text) for name, text in pairs]
    return dict(sorted(found, key=lambda one: (one[1].time, one[0])))


def record(name: Name, checksum: str) -> Operation[None]:
    """Notes that a migration ran now. One round trip."""
    yield Command(("HSET", MIGRATIONS, written(name), entry(checksum)))


def forget(name: Name) -> Operation[None]:
    """Removes a migration from the history; objects stay as they are. One round trip."""
    yield Command(("HDEL", MIGRATIONS, written(name)))


def written(name: Name) -> str:
    """A name as it stands in the database: `polls.0001_initial`."""
    return f"{name.app}.{name.name}"


def entry(checksum: str) -> bytes:
    """The entry of a migration that ran now."""
    return _encode(Applied(time(), checksum))


def _entry(text: str, value: bytes) -> tuple[Name, Applied]:
    app, _, name = text.rpartition(".")
    try:
        return Name(app, name), _decode(value)
    except ValueError:
        raise MigrationError(
            f"the field {text!r} of the key {MIGRATIONS!r} is no entry of a migration: {value[:100]!r}; remove it by "
            f"HDEL, or give it the text of another one"
        ) from None
