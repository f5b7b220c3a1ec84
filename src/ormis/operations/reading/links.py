"""Many-to-many links, read."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from ...calls import Operation
from ...schema import registry
from ...schema.schema import Column, Link, Schema
from ...storage.keys import links_key
from ...storage.scripts import script
from ..outcomes import answer_of

_pack = msgspec.msgpack.Encoder().encode


def members(schema: Schema, link: Link, pks: Sequence[Any]) -> Operation[dict[Any, list[Any]]]:
    """The keys of the objects that each of these objects is linked to. One call of the script `link_members`."""
    encode, target = schema.pk.codec.encode, registry.model_for(link.target).__schema__
    base = links_key(schema.key, link.name, "")
    (linked_keys,) = answer_of((yield script("link_members")((base, _pack([encode(pk) for pk in pks])))))
    linked = zip(pks, linked_keys, strict=True)
    return {pk: [*_decoded(target.pk, texts)] for pk, texts in linked}


def _decoded(pk: Column, texts: Iterable[str]) -> Iterator[Any]:
    """The keys that these texts are; one that is none leads to no object, as one whose object is gone."""
    for text in texts:
        with suppress(ValueError):
            yield pk.codec.decode(text.encode())


def inverted(pairs: dict[Any, list[Any]]) -> dict[Any, list[Any]]:
    """The same links from the other side."""
    back: dict[Any, list[Any]] = {}
    for pk, others in pairs.items():
        for other in others:
            back.setdefault(other, []).append(pk)
    return back
