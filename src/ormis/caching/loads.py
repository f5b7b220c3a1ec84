"""The loads of one object that are under way, and whether what one of them read may be kept.

Replies come by several connections, and the news of a change by one more, so the order of two reads of one object is
not known when they overlap. A row is kept if no load that overlapped with its own read another one, and if there was no
news of the object since that load began. Without the first rule, a reader that has seen the newer row would be given
the older one until the news arrives. So loads are noted also while nobody listens to the server: they keep nothing,
and others that overlap with them must agree with them.
"""

from typing import Any


class Load:
    """One load: where it is noted, when it was sent, and the counts of its object at that moment.

    watched: its row may be kept; else it was sent while nobody listened to the server.
    """

    __slots__ = ("changes", "ended", "loads", "sent", "text", "watched")

    def __init__(self, text: str, loads: "Loads", sent: float, watched: bool) -> None:
        self.watched = watched
        self.text = text
        self.loads = loads
        self.sent = sent
        self.ended = loads.ended
        self.changes = loads.changes


class Loads:
    """The loads of one object from the first that begins to the last that ends. To be used under the store's lock.

    ended: how many have ended. same_since: the number of the ended load since which all have read `last`.
    changes: how often there was news of the object.
    """

    __slots__ = ("changes", "ended", "last", "same_since", "under_way")

    def __init__(self) -> None:
        self.under_way = self.ended = self.changes = self.same_since = 0
        self.last: Any = None

    def begin(self, text: str, now: float, watched: bool = True) -> Load:
        """Notes a load that is sent after this."""
        self.under_way += 1
        return Load(text, self, now, watched)

    def end(self, load: Load, row: Any) -> bool:
        """Notes the row that a load has read, None for an absent one; returns whether it may be kept."""
        self.under_way -= 1
        agrees = self.ended == load.ended or (self.same_since <= load.ended and self.last == row)
        if self.last != row or not self.ended:
            self.last, self.same_since = row, self.ended
        self.ended += 1
        return agrees and load.watched and self.changes == load.changes and row is not None
