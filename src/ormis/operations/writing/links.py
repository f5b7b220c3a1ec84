"""Adding, removing and replacing many-to-many links. One call of the script `commit` for as many links as
`Limits.links` says, each all or nothing.

Touched: on each side the set `model/links/relation/key`, `choice/links/tags/1` and `tag/links/choices/7`. Both objects
must be there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from redis.exceptions import ResponseError

from ...calls import Command, Operation, Origin
from ...errors import StoredDataError
from ...limits import Limits
from ...records.state import state_of
from ...schema.schema import Link, Schema
from ...storage.keys import links_key
from .hooks import Occasion, after_save, before_save, watches_saves
from .mutations import Mutation, commit
from .save import Record, insertion

_pack = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class LinkEnd:
    """An object whose links are changed: its model, the relation as it sees it, its key."""

    schema: Schema
    link: Link
    pk: str
    limits: Limits

    def adding(self, others: Sequence[str] | None) -> Mutation:
        """The mutation that links these objects; None stands for the object that the mutation before inserts."""
        arguments: list[Any] = [self.link.packed(), self.pk, False if others is None else list(others)]
        return Mutation(self.schema, "link", arguments, changed=())

    def removing(self, others: Sequence[str]) -> Mutation:
        """The mutation that removes the links to these objects."""
        return Mutation(self.schema, "unlink", [self.link.packed(), self.pk, list(others)], changed=())


def change(end: LinkEnd, added: Sequence[str], removed: Sequence[str]) -> Operation[None]:
    """Removes links, then adds others.

    Raises ForeignKeyViolation where the object, or one that it is to be linked to, is not there.
    """
    step = end.limits.links
    for first in range(0, len(removed) + len(added), step):
        gone, start = removed[first : first + step], max(0, first - len(removed))
        come = added[start : first + step - len(removed)] if first + step > len(removed) else ()
        yield from commit([*([end.removing(gone)] if gone else []), *([end.adding(come)] if come else [])])


def replace(end: LinkEnd, targets: Sequence[str], clear: bool = False) -> Operation[None]:
    """Removes the links to other objects than the targets (all links with `clear`) and adds the missing ones.

    One call more: it reads the links first.
    """
    present = yield from linked(end)
    kept = set[str]() if clear else present.intersection(targets)
    yield from change(end, [other for other in targets if other not in kept], sorted(present - kept))


def create(record: Record, end: LinkEnd, origin: Origin) -> Operation[None]:
    """Stores a new object and links it. One call."""
    watched, occasion = watches_saves(type(record)), Occasion("create", origin)
    if watched:
        yield from before_save([record], occasion)
    yield from commit([insertion([record]), end.adding(None)])
    if watched:
        state_of(record).stored_in(origin)
        yield from after_save([record], True, occasion)


class LinkedKeys(Command):
    """SMEMBERS of the set of links of an object."""

    def __init__(self, end: LinkEnd) -> None:
        super().__init__(("SMEMBERS", links_key(end.schema.key, end.link.name, end.pk)))
        self.base = links_key(end.schema.key, end.link.name, "")
        self.pk = end.pk


def linked(end: LinkEnd) -> Operation[set[str]]:
    """The keys of the objects that it is linked to. One call."""
    key = links_key(end.schema.key, end.link.name, end.pk)
    try:
        members = yield LinkedKeys(end)
    except ResponseError as error:
        if "WRONGTYPE" not in str(error):
            raise
        raise StoredDataError(
            f"the key {key!r} holds no set: something else than ormis wrote it; rename or delete it", key=key
        ) from None
    return {member.decode() for member in members}
