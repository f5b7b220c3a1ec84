"""Objects of a model rewritten by a function, page by page.

A page is read, the function says what is to be stored, and that is written on condition that the object is still what
was read, in the call that stores the place. Objects that have changed meanwhile, and those whose values can't be
stored, are left: they are looked at again at the end, and at the beginning of a later run.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...calls import Operation
from ...errors import MigrationError
from ...limits import ATTEMPTS
from ...reports import Finding
from ...storage.codecs import packable
from ..state import ModelState
from .work import Work

Texts = Sequence[bytes | None]


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of an object: texts by the positions of its columns; those that must still hold then."""

    texts: dict[int, bytes | None] = field(default_factory=dict[int, bytes | None])
    expected: dict[int, bytes | None] = field(default_factory=dict[int, bytes | None])

    def packed(self, pk: str) -> list[Any]:
        """As lua/migrate.lua reads it."""
        return [_sent(pk), _flat(self.texts), _flat(self.expected)]


class Refused(Exception):
    """A value that can't be stored: the object keeps what it has, and is listed."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


Decide = Callable[[str, Texts], Change]
"""What becomes of the object with this key and these texts, the primary key first; raises Refused."""


@dataclass(slots=True)
class Rewriting:
    """One part of an operation: all objects of a model. columns: those that are read, behind the primary key."""

    work: Work
    model: ModelState
    part: str
    columns: tuple[str, ...]
    decide: Decide
    refused: dict[str, Finding] = field(default_factory=dict[str, Finding])

    def run(self) -> Operation[None]:
        """Rewrites all objects, those first that an earlier run has left."""
        self.work.check_cluster(self.model, self.columns)
        yield from self.work.expect(self.model.key)
        yield from self._left()
        while True:
            answer = yield from self._ask("page")
            if answer == ["done"]:
                break
            yield from self._page(*answer)
        for _ in range(ATTEMPTS):
            if not (yield from self._left()):
                break
        self.work.report.findings += self.refused.values()

    def _page(self, after: Any, following: Any, rows: Sequence[Texts]) -> Operation[None]:
        changes: list[list[Any]] = []
        left: list[str] = []
        places = [row[0] for row in rows]
        for i, (_, pk, *texts) in enumerate(rows):
            name = _key(pk)
            try:
                changes += self._decided(name, texts, left)
            except Exception as error:  # of code of the application
                whole = places.index(places[i])  # objects with the same place stay together
                if whole:
                    place = (places[whole - 1] or b"").decode()
                    kept = [_sent(_key(row[1])) for row in rows[:whole]]
                    done = [one for one in changes if one[0] in kept]
                    yield from self._write(done, [one for one in left if one in kept], after=after, next=place)
                raise self._failed(name, error) from error
        yield from self._write(changes, left, after=after, next=following)
        self.work.advance(len(rows))

    def _left(self) -> Operation[int]:
        """Looks at the objects that are left. How many of them have changed again meanwhile."""
        cursor, stale = "0", 0
        while True:
            cursor, rows = yield from self._ask("pending", cursor=cursor)
            changes: list[list[Any]] = []
            left: list[str] = []
            for _, pk, *texts in rows:
                try:
                    changes += self._decided(_key(pk), texts, left)
                except Exception as error:  # of code of the application
                    yield from self._write(changes, [])
                    raise self._failed(_key(pk), error) from error
            if changes:
                stale += yield from self._write(changes, [])
            if cursor == "0":
                return stale

    def _decided(self, pk: str, texts: Texts, left: list[str]) -> list[list[Any]]:
        try:
            change = self.decide(pk, texts)
        except Refused as refused:
            self.refused[pk] = self.work.refuse(self.model, pk, refused.name, str(refused))
            left.append(_sent(pk))
            return []
        self.refused.pop(pk, None)
        return [change.packed(pk)]

    def _write(self, changes: list[list[Any]], left: list[str], **place: Any) -> Operation[int]:
        stale, refused = yield from self._ask("write", changes=changes, left=left, **place)
        for one in refused:
            self.refused[one[0]] = self.work.shared(self.model, one)
        return len(stale)

    def _ask(self, what: str, **request: Any) -> Operation[Any]:
        return (yield from self.work.ask(self.model, self.columns, what=what, part=self.part, **request))

    def _failed(self, pk: str, error: Exception) -> MigrationError:
        return MigrationError(
            f"{self.work.task} failed at {self.model.key}:{pk}: {type(error).__name__}: {error}. The objects before it "
            f"are done: correct the function, or the object, and run the migration again, it goes on from there"
        )


def _flat(texts: dict[int, bytes | None]) -> list[Any]:
    return [item for at, text in texts.items() for item in (at, False if text is None else packable(text))]


def _sent(pk: str) -> Any:
    return pk if pk.isascii() else packable(pk.encode("utf-8", "surrogateescape"))


def _key(pk: bytes | None) -> str:
    return (pk or b"").decode("utf-8", "surrogateescape")
