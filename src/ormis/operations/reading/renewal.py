"""Renewing the time to live of objects that were read, of models with `Meta.ttl_on = "read"`.

A reading by key, and a result that one call finds, renews in this very call: see lua/expiry/renewing.lua. A result that
takes several calls, or Python's part of a condition, is renewed by one more.

Touched: `model/expiry`, the server's own time at the hashes. Where the server refuses to write, they are left as they
are: that is no reason not to read.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from ...calls import HashRead, Operation, ScriptCall
from ...planning.plan import Plan
from ...records.state import Wire
from ...schema.schema import Readable, Schema
from ...storage.keys import object_key
from ...storage.scripts import script

_pack = msgspec.msgpack.Encoder().encode


def renewing_read(schema: Schema, pk: str) -> ScriptCall:
    """The call that reads an object, given by its key as text, and renews its time to live; the reply is HMGET's."""
    arguments = _pack([schema.key, schema.renewal, pk]), *schema.hash_fields.names
    return script("get")(arguments, reading=HashRead(schema.hash_fields, object_key(schema.key, pk)))


def renew_rows(plan: Plan, rows: Sequence[Wire], related: Sequence[Mapping[Any, Wire]] = ()) -> Operation[None]:
    """Renews the time to live of the objects of rows of `plan.reads`.

    related: for each of `plan.related` the rows that came along, by the key that led there: those to which these rows
        lead are renewed as well.

    One call; none if no model is renewed. Those of a model of which they are too many are left as they are.
    """
    asked: list[Any] = []
    for schema, keys in _keys_by_model(plan, rows, related).items():
        if 0 < len(keys) <= plan.limits.renewed:
            asked.append([schema.key, schema.renewal, *keys])
    if asked:
        yield script("renew")((_pack(asked),), optional=True)


def _keys_by_model(
    plan: Plan, rows: Sequence[Wire], related: Sequence[Mapping[Any, Wire]]
) -> dict[Schema, dict[Any, None]]:
    """The keys of the objects whose time to live readings renew, as texts."""
    keys: dict[Schema, dict[Any, None]] = {}

    def add(schema: Schema, wires: Iterable[Any]) -> None:
        if schema.renewal is not None:
            codec = schema.pk.codec
            texts = (codec.encode(wire if codec.finish is None else codec.finish(wire)) for wire in wires)
            keys.setdefault(schema.stored, {}).update(dict.fromkeys(texts))

    at = plan.reads.index(plan.schema.pk)
    add(plan.schema, (row[at] for row in rows))
    for schema, there in _reached(plan, rows, related):
        add(schema, (row[0] for row in there))
    return keys


def _reached(
    plan: Plan, rows: Sequence[Wire], related: Sequence[Mapping[Any, Wire]]
) -> Iterator[tuple[Schema, list[Wire]]]:
    """The rows of related objects that the rows lead to, step by step."""
    levels: list[tuple[Sequence[Readable], Sequence[Wire]]] = [(plan.reads, rows)]
    for one, by_key in zip(plan.related, related, strict=False):
        columns, parents = levels[one.parent]
        at = columns.index(one.hop.source)
        there = [by_key[key] for key in dict.fromkeys(row[at] for row in parents) if key in by_key]
        levels.append((one.reads, there))
        yield one.hop.schema, there
