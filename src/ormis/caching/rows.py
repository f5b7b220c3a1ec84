"""The rows that are kept, model by model.

A model has two dictionaries, young and old. A row enters the young one; when the young ones of all models are half of
the limit they become the old ones, and the old ones are gone. A row that is used moves from the old to the young ones.
So a hit is one look without a lock in most cases, and a row that was not used for a while goes.

A kept row is the immutable tuple that `Schema.decoder` makes of the texts, with the time when its object expires; each
hit makes an object of its own. It is kept by the text of its key, so that keys that are equal in Python (1, True, 1.0)
are not confused.
"""

import os
from collections.abc import Callable, Iterable
from math import inf
from threading import RLock
from typing import Any

from ..records.state import Wire
from ..schema.schema import Schema
from .clock import clock
from .loads import Load, Loads

Kept = tuple[Wire, float]
"""A row, and until when its object lives, by `clock`."""


class Room:
    """The state that the models of one database share: the limit, the lock, and until when rows are good.

    limit: the number of rows, `count` now, `young` of them young. listen: called when a row is asked for and nobody
        listens to the server.
    good_until: by `clock`; rows are served before that time only.
    """

    def __init__(self, limit: int, listen: Callable[[], object]) -> None:
        self.limit = limit
        self.listen = listen
        self.lock = RLock()
        self.process = os.getpid()
        self.good_until = -inf
        self.models: list[Rows] = []
        self.young = self.count = 0

    def rotate(self) -> None:
        """The young rows of all models become the old ones. Under the lock."""
        for rows in self.models:
            rows.old, rows.young = rows.young, {}
        self.count, self.young = self.young, 0

    def clear(self) -> None:
        """Drops all rows."""
        with self.lock:
            for rows in self.models:
                rows.clear()

    def lose(self) -> None:
        """Nobody listens to the server any more: nothing is served, drops all rows, and no load is kept."""
        self.good_until = -inf
        with self.lock:
            for rows in self.models:
                rows.watched = False
                rows.clear()


class Rows:
    """The rows of one model.

    watched: the server has confirmed that it broadcasts the changes of this model's keys.
    """

    def __init__(self, schema: Schema, prefix: str, room: Room, limit: int | None = None) -> None:
        self.schema = schema
        self.prefix = f"{prefix}{schema.key}:".encode()
        self.watched = False
        self.young: dict[str, Kept] = {}
        self.old: dict[str, Kept] = {}
        self.loads: dict[str, Loads] = {}
        self.hits = self.misses = 0
        self._room = room
        self._limit = room.limit if limit is None else limit
        self._exact = schema.pk.exact if schema.pk.exact in (int, str) else None

    def find(self, pk: Any) -> Wire | None:
        """The row of the object with this primary key, as a caller gives it; None if it is not kept.

        A key of another type than the field's is not looked for: it has to be converted first, see find_text().
        """
        return self.find_text(str(pk)) if pk.__class__ is self._exact else None

    def find_text(self, text: str) -> Wire | None:
        """The row of the object whose key has this text; None if it is not kept."""
        kept = self.young.get(text) or self._from_old(text)
        # The clock is read after the row: if the process stood still in between, it shows.
        if kept is None or not self._room.good_until > clock() < kept[1]:
            return None
        self.hits += 1
        return kept[0]

    def _from_old(self, text: str) -> Kept | None:
        kept = self.old.get(text)
        lock = self._room.lock
        if kept is None or not lock.acquire(blocking=False):
            return kept
        try:
            if self.old.get(text) is kept:  # else it was dropped meanwhile, and must not come back
                self._pop(text)
                self._put(text, kept)
        finally:
            lock.release()
        return kept

    # Loads -----------------------------------------------------------------------------------------------------------

    def begin(self, text: str) -> Load:
        """Notes a load that is about to be sent; begins to listen to the server, if nobody does."""
        room = self._room
        self.misses += 1
        if not self.watched or room.process != os.getpid():
            room.listen()
        with room.lock:
            loads = self.loads.get(text)
            if loads is None:
                loads = self.loads[text] = Loads()
            return loads.begin(text, clock(), self.watched)

    def end(self, load: Load, row: Wire | None, lifetime: int | None) -> None:
        """Keeps the row that a load has read, unless the load was overtaken.

        lifetime: the reply of PTTL, which was sent before: milliseconds, or -1 for an object that does not expire; None
            if it is not known.
        """
        text, loads = load.text, load.loads
        with self._room.lock:
            may_keep = loads.end(load, row)
            if not loads.under_way:
                del self.loads[text]
            kept = self.young.get(text) or self.old.get(text)
            if kept is not None:
                self._pop(text)
                if kept[0] != row:
                    return  # which of the two is the newer one is not known
            if may_keep and row is not None and lifetime is not None and lifetime != -2:
                # The server counts its time in whole milliseconds.
                self._put(text, (row, load.sent + (lifetime - 1) / 1000 if lifetime >= 0 else inf))

    def abandon(self, load: Load) -> None:
        """A load has read nothing."""
        with self._room.lock:
            load.loads.under_way -= 1
            if not load.loads.under_way:
                del self.loads[load.text]

    # Dropping --------------------------------------------------------------------------------------------------------

    def drop(self, texts: Iterable[str]) -> None:
        """Drops the rows of these objects; their loads under way are not kept. Under the lock."""
        for text in texts:
            self._pop(text)
            loads = self.loads.get(text)
            if loads is not None:
                loads.changes += 1

    def clear(self) -> None:
        """Drops all rows of the model; no load under way is kept. Under the lock."""
        self._room.young -= len(self.young)
        self._room.count -= len(self)
        self.young, self.old = {}, {}
        for loads in self.loads.values():
            loads.changes += 1

    def __len__(self) -> int:
        return len(self.young) + len(self.old)

    def _put(self, text: str, kept: Kept) -> None:
        room = self._room
        self.young[text] = kept
        room.young += 1
        room.count += 1
        if len(self.young) * 2 >= self._limit:
            room.young -= len(self.young)
            room.count -= len(self.old)
            self.old, self.young = self.young, {}
        if room.young * 2 >= room.limit or room.count >= room.limit:
            room.rotate()

    def _pop(self, text: str) -> None:
        if self.young.pop(text, None) is not None:
            self._room.young -= 1
            self._room.count -= 1
        elif self.old.pop(text, None) is not None:
            self._room.count -= 1
