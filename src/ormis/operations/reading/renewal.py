"""Renewing the time to live of objects that were read, of models with `Meta.ttl_on = "read"`.

A reading by key, and a result that one call finds, renews in this very call: see lua/expiry/renewing.lua. A result that
takes several calls, or Python's part of a condition, is renewed by one more.

Touched: `model/expiry`, the server's own time at the hashes. Where the server refuses to write, they are left as they
are: that is no reason not to read.
"""

from collections.abc import Sequence

import msgspec

from ...calls import HashRead, Operation, ScriptCall
from ...planning.plan import Plan
from ...records.state import Wire
from ...schema.schema import Schema
from ...storage.keys import object_key
from ...storage.scripts import script

_pack = msgspec.msgpack.Encoder().encode


def renewing_read(schema: Schema, pk: str) -> ScriptCall:
    """The call that reads an object, given by its key as text, and renews its time to live; the reply is HMGET's."""
    arguments = _pack([schema.key, schema.renewal, pk]), *schema.hash_fields.names
    return script("get")(arguments, reading=HashRead(schema.hash_fields, object_key(schema.key, pk)))


def renew_rows(plan: Plan, rows: Sequence[Wire]) -> Operation[None]:
    """Renews the time to live of the objects of rows of `plan.reads`. One call; none if they are too many."""
    schema = plan.schema
    if schema.renewal is None or not 0 < len(rows) <= plan.limits.renewed:
        return
    at, codec = plan.reads.index(schema.pk), schema.pk.codec
    wires = [row[at] for row in rows]
    keys = [codec.encode(wire if codec.finish is None else codec.finish(wire)) for wire in wires]
    yield script("renew")((_pack([schema.key, schema.renewal, *keys]),), optional=True)
