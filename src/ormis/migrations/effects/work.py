"""One operation of a migration at work on a database: its calls, all under the lock of migrations.

The script `migrate` changes objects in steps; each reads and stores its place itself. See lua/upkeep/migration.lua.
"""

import os
import socket
from dataclasses import dataclass, field
from datetime import UTC, datetime
from secrets import token_hex
from time import monotonic, time
from typing import Any

import msgspec

from ...calls import Command, Operation
from ...errors import ClusterError, MigrationError
from ...limits import Limits
from ...operations.outcomes import raise_outcome, unpack
from ...operations.upkeep.reindex import reindex
from ...reports import Finding, Migrated, Progress, Reindexed, Watcher
from ...storage.codecs import raw_rows
from ...storage.keys import ids_key, object_key
from ...storage.scripts import script
from ..declared import schema_of
from ..state import ModelState, ProjectState

LIFE = 30.0
"""Seconds after which the lock of a process without a sign of life is free."""
_RENEWED_AFTER = LIFE / 6
_pack = msgspec.msgpack.Encoder().encode
_undecoded = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_ROWS = b"\xa4rows"


def new_lock() -> str:
    """The text of a lock: who has it, since when."""
    holder = {"by": f"process {os.getpid()} on {socket.gethostname()}", "since": time(), "token": token_hex(8)}
    return msgspec.json.encode(holder).decode()


@dataclass(slots=True)
class Work:
    """What the operations of one run share, and which of them is at work.

    name: the migration as the database knows it, `polls.0002_votes`. number: of the operation, from 0.
    before, after: the models before it and behind it.
    """

    limits: Limits
    watch: Watcher | None
    report: Migrated
    lock: str = field(default_factory=new_lock)
    name: str = ""
    number: int = 0
    task: str = ""
    before: ProjectState = field(default_factory=ProjectState)
    after: ProjectState = field(default_factory=ProjectState)
    done: int = 0
    total: int = 0
    renewed: float = 0.0

    def begin(self, name: str, number: int, task: str) -> None:
        """The next operation is at work."""
        self.name, self.number, self.task, self.done, self.total = name, number, f"{name}: {task}", 0, 0

    def expect(self, key: str) -> Operation[None]:
        """Counts the objects of a model among those of the operation. One call."""
        self.total += yield Command(("ZCARD", ids_key(key)))

    def advance(self, objects: int) -> None:
        """So many objects have been looked at."""
        self.report.objects += objects
        self.done += objects
        if self.watch is not None:
            self.watch(Progress(self.task, self.done, max(self.done, self.total)))

    def locking(self, what: str, **more: Any) -> Operation[None]:
        """One call of the script `migration`. Raises MigrationError where another process has the lock."""
        yield from self._ask("migration", (), {"what": what, "operation": self.number, **more})

    def ask(self, model: ModelState, columns: tuple[str, ...], **request: Any) -> Operation[list[Any]]:
        """One call of the script `migrate` on the objects of a model: the rest of its answer.

        columns: those behind the primary key, which the positions in the request mean.
        """
        shape = {"key": model.key, "auto": model.automatic, "columns": (model.pk.name, *columns)}
        shape |= {"indexes": (), "unique": (), "references": ()}
        declaration = msgspec.json.encode({"indexes": (), "unique": (), "pk": model.pk.name}).decode()
        whole = {"operation": self.number, "width": 1 + len(columns), "bytes": self.limits.bytes, **request}
        whole.setdefault("count", self.limits.migrated_objects)
        return (yield from self._ask("migrate", (_pack(shape), declaration), whole))

    def declare(self, model: ModelState) -> Operation[None]:
        """Has clients keep the indexes and constraints of the model, beside those that they keep. One call."""
        schema = schema_of(model)
        yield from self._ask(
            "migrate", (schema.shape, schema.declaration), {"what": "declare", "operation": self.number}
        )

    def reindex(self, model: ModelState) -> Operation[None]:
        """Builds and drops indexes and constraints, so that there are those of the model."""
        watch = self.watch

        def advance(progress: Progress) -> None:
            if watch is not None:
                watch(Progress(self.task, progress.done, progress.total))

        result: Reindexed = yield from self.under_lock(reindex(schema_of(model), self.limits, advance))
        self.report.findings += result.duplicates
        self.report.objects += result.objects

    def _ask(self, name: str, arguments: tuple[Any, ...], request: dict[str, Any]) -> Operation[list[Any]]:
        whole = {"lock": self.lock, "life": round(1000 * LIFE), "name": self.name, **request}
        reply = yield script(name)((_pack(whole), *arguments))
        self.renewed = monotonic()
        return self._answer(reply)

    def _answer(self, reply: bytes) -> list[Any]:
        if reply[1:6] == _ROWS:  # what they hold need not be UTF-8
            _, *rest, packed = _undecoded(reply)
            (text,) = raw_rows(b"\x91\x91" + bytes(packed))[0]
            return [*map(msgspec.msgpack.decode, rest), raw_rows(text or b"")]
        code, *rest = unpack(reply)
        if code == "ok":
            return rest
        if code == "held":
            raise _held(*rest)
        if code != "moved":
            raise_outcome([code, *rest], ())
        raise MigrationError(
            f"{self.task}: another process has gone on with this migration, {rest[0]} of its operations are done; "
            f"run it again to see what is left"
        )

    def under_lock(self, operation: Operation[Any]) -> Operation[Any]:
        """An operation whose calls do not look at the lock: it is renewed between them."""
        reply: Any = None
        error: Exception | None = None
        while True:
            try:
                call = operation.send(reply) if error is None else operation.throw(error)
            except StopIteration as end:
                return end.value
            if monotonic() - self.renewed > _RENEWED_AFTER:
                yield from self.locking("lock")
            reply, error = None, None
            try:
                reply = yield call
            except Exception as raised:  # noqa: BLE001 - of the call, for the operation
                error = raised

    def refuse(self, model: ModelState, pk: str, name: str, message: str, kind: Any = "value") -> Finding:
        """A finding at an object that keeps what it has."""
        return Finding(kind, model.name, object_key(model.key, pk), name, message)

    def shared(self, model: ModelState, refused: list[Any]) -> Finding:
        """The finding that a unique value is that of another object: {pk, constraint, value, holder}."""
        pk, names, value, holder = refused
        key = object_key(model.key, pk)
        message = (
            f"{model.name}.{names} of {key} would be {value!r}, which {object_key(model.key, holder)} has; it stays as "
            f"it is: change one of them"
        )
        return Finding("unique-duplicate", model.name, key, names, message)

    def walk(self, model: ModelState, part: str, columns: tuple[str, ...], change: list[Any]) -> Operation[None]:
        """Has the server change all objects of a model, in the order of creation."""
        self.check_cluster(model, columns)
        yield from self.expect(model.key)
        done = False
        while not done:
            done, count, refused = yield from self.ask(model, columns, what="walk", part=part, change=change)
            self.report.findings += [self.shared(model, one) for one in refused]
            self.advance(count)

    def check_cluster(self, model: ModelState, columns: tuple[str, ...]) -> None:
        """Raises ClusterError if columns are to be changed whose values are unique over several partitions."""
        if self.limits.partitions > 1:
            for one in model.constraints:
                if one.columns & {*columns}:
                    raise ClusterError(
                        f"{self.task}: {', '.join(one.fields)} is unique over several partitions, and migrations can't "
                        f"change such values yet: remove the constraint before, and add it again behind this"
                    )


def _held(text: str, left: int) -> MigrationError:
    try:
        holder = msgspec.json.decode(text, type=dict[str, Any])
        since = datetime.fromtimestamp(holder["since"], UTC).astimezone()
        who = f"{holder['by']} since {since:%Y-%m-%d %H:%M:%S}"
    except (ValueError, LookupError, TypeError):
        who = repr(text)
    return MigrationError(
        f"migrations are run by {who}: wait until it is done; if that process has died, its lock ends by itself in "
        f"{max(0, left) / 1000:.0f} s, and the next run goes on where it was"
    )
