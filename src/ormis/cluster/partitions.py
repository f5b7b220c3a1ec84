"""Partitions: their tags, the beginnings of their keys, and in which of them an object is.

A database on a cluster has a fixed number of partitions. All keys of one begin with its tag, `{8d}shop:question:1`, and
so lie in one slot, on one node. The key of an object says which partition it is in.
"""

from binascii import crc_hqx
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import count, product

from ..calls import HashFields
from ..schema.schema import Column, Schema
from ..storage.keys import MODELS

SLOTS = 16384
MOST = 4096
"""Partitions of one database."""
_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"

PARTITION = "ormis/partition"
"""String: number of the partition, a slash, how many there are. It is made before any other key of the partition, has
no end, and is never removed: it is one of the two keys that each script declares, see docs/clusters.md.
"""

NOTHING = "ormis/nothing"
"""The other one: no key of this name ever exists. It goes on with the number of the partition and how many there are:
lua/server/counting.lua reads them there.
"""


def slot_of(text: str) -> int:
    """The slot of a key, or of a tag."""
    return crc_hqx(text.encode(), 0) % SLOTS


@cache
def tags(number: int) -> Sequence[str]:
    """The tags of so many partitions. That of partition i is the first text of digits and letters, the shortest first,
    in the slot i * 16384 / number: so the partitions lie evenly over the slots.
    """
    wanted = {i * SLOTS // number: i for i in range(number)}
    found: dict[int, str] = {}
    for text in _texts():
        i = wanted.pop(slot_of(text), None)
        if i is not None:
            found[i] = text
            if not wanted:
                break
    return tuple(found[i] for i in range(number))


def _texts() -> Iterator[str]:
    for length in count(1):
        for letters in product(_ALPHABET, repeat=length):
            yield "".join(letters)


class Partition:
    """One partition.

    prefix: the beginning of its keys. slot: the slot of all of them. content: the text of the key `ormis/partition`.
    keys: those that each call of a script declares: the models, which scripts know as KEYS[1], and the two that keep a
        script from being executed while the slot is between two nodes.
    """

    __slots__ = ("content", "head", "keys", "number", "prefix", "slot")

    def __init__(self, number: int, tag: str, prefix: str, of: int) -> None:
        self.number = number
        self.content = f"{number}/{of}"
        self.slot = slot_of(tag)
        self.prefix = f"{{{tag}}}{prefix}"
        self.keys = (self.prefix + MODELS, self.prefix + PARTITION, f"{self.prefix}{NOTHING}/{self.content}")
        parts = [str(len(self.keys)), *self.keys, self.prefix]
        self.head = b"".join(bulk(part.encode()) for part in parts)

    def __repr__(self) -> str:
        return f"<Partition {self.number} {self.prefix!r}>"


class Partitions:
    """The partitions of one database."""

    def __init__(self, number: int, prefix: str = "") -> None:
        self.prefix = prefix
        self.all = tuple(Partition(i, tag, prefix, number) for i, tag in enumerate(tags(number)))

    def __len__(self) -> int:
        return len(self.all)

    def of(self, schema: Schema, pk: str | bytes) -> Partition:
        """The partition of an object with this key, as it is stored."""
        return self.all[number_of(schema, pk, len(self.all))]

    def of_hash(self, fields: HashFields, key: str) -> Partition:
        """The partition of an object by the key of its hash."""
        if fields.copied:
            return self.all[0]
        pk, partitions = key[len(fields.model) + 1 :], self.all
        return partitions[int(pk) % len(partitions) if fields.integers else _remainder(pk, len(partitions))]


def number_of(schema: Schema, pk: str | bytes, partitions: int) -> int:
    """The number of the partition of an object with this key: of one that is in all of them, the first."""
    return 0 if schema.copied else number_of_text(schema.pk, pk, partitions)


def number_of_text(column: Column, text: str | bytes, partitions: int) -> int:
    """The number of the partition of a stored text: of an integer its remainder, of another text that of its CRC16."""
    return int(text) % partitions if column.codec.kind == "int" else _remainder(text, partitions)


def _remainder(text: str | bytes, partitions: int) -> int:
    return crc_hqx(text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape"), 0) % partitions


def bulk(text: bytes) -> bytes:
    """A text as a part of a command."""
    return b"$%d\r\n%b\r\n" % (len(text), text)
