"""What it costs to recognise a call that comes a second time: ormis with it beside ormis without it."""

import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha1
from itertools import count
from unittest.mock import patch

from ormis import F
from ormis.operations.writing import fast_commit, mutations
from ormis.storage.scripts import Script, script

from .harness import Line, Target, Work
from .model import Player, values

FORMS = (fast_commit._insert_form, fast_commit._update_form)  # pyright: ignore[reportPrivateUsage]
_READ = r"local at = #ARGV\n.*?redis\.pcall\('HGET', calls, slot\)"
_WRITES = (
    r"if type\(reply\) == 'string' and command\('HSET', server_token_calls.*?\n.*?\nend",
    r"if redis\.pcall\('HSET', server_token_calls[^\n]*",
)


def without() -> Script:
    """The script `commit` that remembers nothing."""
    full = script("commit")
    nothing = "ARGV[#ARGV] = nil\nlocal calls, slot, sequence, last = '', '', '', false"
    source, found = re.subn(_READ, nothing, full.source, flags=re.DOTALL)
    for write in _WRITES:
        source, removed = re.subn(write, "", source)
        found += removed
    assert found == 3
    return replace(full, source=source, sha=sha1(source.encode()).hexdigest())


@contextmanager
def forgetful() -> Generator[None]:
    """The server looks at no marks of commits."""
    bare = without()
    for form in FORMS:
        form.cache_clear()
    with patch.object(mutations, "script", lambda _: bare), patch.object(fast_commit, "script", lambda _: bare):
        yield
    for form in FORMS:
        form.cache_clear()


class Marked(Line):
    """The same work on both sides; `by hand` is without."""

    target = Target(1.05)
    note = "by hand stands for ormis without marks: redis-py may apply a call twice then"

    def fill(self) -> None:
        self.place.fill_ormis(1)
        self.player = Player.get(1)
        self.numbers = count(1_000_000)

    def work(self) -> None:
        """One operation."""
        raise NotImplementedError

    def hand(self) -> Work:
        return forgetful()(self._all)

    def ormis(self) -> Work:
        return self._all

    def _all(self) -> None:
        for _ in range(self.operations):
            self.work()

    def check(self) -> None:
        assert Player.objects.exists()


class MarkedSave(Marked):
    """A new object with three indexes."""

    name = "mark-save"
    title = "save() of a new object / without marks"

    def work(self) -> None:
        Player(**values(next(self.numbers))).save()


class MarkedUpdate(Marked):
    """One indexed field."""

    name = "mark-update"
    title = "save() of one changed, indexed field / without marks"

    def work(self) -> None:
        self.player.score = next(self.numbers)
        self.player.save()


class MarkedSum(Marked):
    """`F` on one indexed field."""

    name = "mark-sum"
    title = 'save() of F("score") + 1 / without marks'

    def work(self) -> None:
        self.player.score = F("score") + 1
        self.player.save()


LINES: list[type[Line]] = [MarkedSave, MarkedUpdate, MarkedSum]
