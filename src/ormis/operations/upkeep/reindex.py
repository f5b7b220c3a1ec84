"""Building the indexes and unique claims that were declared after objects existed, and dropping undeclared ones.

The script `reindex` returns the indexes to build and, at the end, marks them as complete. Between the two, the walk of
`walk.py` does the work in many short calls, while clients write; their writes keep the new indexes. `ormis/reindex`
stores the progress, so that a reindexing that was cut off goes on.

Touched: `ormis/models`, `ormis/reindex`, `model/ids`, the hashes, the keys of the indexes that are built or dropped.
"""

from typing import Any

import msgspec

from ...calls import Command, Operation
from ...errors import OrmisError
from ...limits import Limits
from ...reports import Reindexed, Watcher
from ...schema.schema import Schema
from ...storage.keys import ids_key
from ...storage.scripts import script
from ..outcomes import answer_of
from .declarations import shown
from .walk import Walk, keys, step

_pack = msgspec.msgpack.Encoder().encode
_TRIES = 5


def reindex(schema: Schema, limits: Limits, watch: Watcher | None = None) -> Operation[Reindexed]:
    """Builds the declared indexes and unique claims of the model that are incomplete, and drops undeclared ones.

    Raises OrmisError where somebody else keeps reindexing the model to another declaration.
    """
    for _ in range(_TRIES):
        build, dropped, after = yield from _ask(schema, ["begin"])
        result = Reindexed(schema.name, dropped=[shown(definition) for definition in dropped])
        if not build and not dropped:
            return result
        walk = Walk(limits, True, watch)
        if dropped:
            yield from keys(walk, [schema], ("/index/", "/unique/"), build=True)
        if (yield from _built(walk, schema, build, after, result)):
            answer = yield from _ask(schema, ["finish", list(build)])
            if answer[0] != "again":
                left = answer[0]
                result.built = [shown(definition) for definition in build if definition not in left]
                result.incomplete = [shown(definition) for definition in left]
                return result
    raise OrmisError(f"{schema.name}: somebody else reindexes it to another declaration at the same time; run it again")


def _built(walk: Walk, schema: Schema, build: Any, after: Any, result: Reindexed) -> Operation[bool]:
    """Adds the missing entries of every object; returns False if another reindexing has taken its place."""
    walk.total += yield Command(("ZCARD", ids_key(schema.key)))
    while build and after is not None:
        request = {
            "repair": True,
            "build": True,
            "progress": list(build),
            "after": after,
            "count": walk.limits.checked_objects,
            "bytes": walk.limits.bytes,
        }
        found, rest, _ = yield from step(schema, request)
        if not rest:
            return False
        walk.take(schema, found)
        place, count = rest
        result.objects += count
        walk.advance(schema.name, count)
        after = None if place is False else place
    result.duplicates = [finding for finding in walk.report.findings if finding.kind == "unique-duplicate"]
    return True


def _ask(schema: Schema, request: list[Any]) -> Operation[list[Any]]:
    reply = yield script("reindex")((_pack(request), schema.shape, schema.declaration), model=schema.name)
    return answer_of(reply)
