"""Keys that another program has written, as the server has them: without the prefix of the database.

Touched by reading: the keys that match a pattern, or that a list, set or sorted set names. By writing: `remove()` alone
deletes keys.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from ...calls import Command, Operation
from ...errors import OrmisError, shown
from ...storage.codecs import Text, as_text, bytes_of, packable
from ...storage.scripts import script
from ..outcomes import answer_of, raise_refusal

FIELDS = 2000
"""A hash with more fields is no object: it is not read."""
_pack = msgspec.msgpack.Encoder().encode
_of_text = msgspec.msgpack.Decoder(list[tuple[int, str, str, list[str]]]).decode
_of_bytes = msgspec.msgpack.Decoder(list[tuple[int, str, str, list[msgspec.Raw]]]).decode
_undecoded = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_SPECIAL = "*?[]\\"
"""The characters with a meaning in the patterns of SCAN."""


@dataclass(frozen=True, slots=True)
class KeyPattern:
    """The keys that begin with one text and end with another; the part between them stands for `*`."""

    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.before}*{self.after}"

    @property
    def glob(self) -> str:
        """The pattern for SCAN."""
        return f"{_escaped(self.before)}*{_escaped(self.after)}"

    def key(self, part: str) -> str:
        """The key with this part."""
        return f"{self.before}{part}{self.after}"

    def cut(self, key: str) -> str:
        """The part of a key of this pattern that `*` stands for."""
        return key[len(self.before) : len(key) - len(self.after)]

    def part(self, key: str) -> str | None:
        """The part of a key that `*` stands for; None for another key."""
        if len(key) <= len(self.before) + len(self.after):
            return None
        if not (key.startswith(self.before) and key.endswith(self.after)):
            return None
        return self.cut(key)


def _escaped(text: str) -> str:
    return "".join([f"\\{one}" if one in _SPECIAL else one for one in text])


def key_pattern(text: str, what: str = "pattern") -> KeyPattern:
    """The pattern that a user writes: question-*. Raises OrmisError for one without a single star."""
    before, star, after = text.partition("*")
    if not star or "*" in after:
        raise OrmisError(
            f"{what}={shown(text)}: write one * for the part of the key that is the primary key: question-*"
        )
    return KeyPattern(before, after)


@dataclass(slots=True)
class ExistingKey:
    """One key: its type, the texts in it, the milliseconds that it has to live, -1 without an end.

    kind: a type of Redis, "json", "large" for a hash of too many fields, "none" if there is no such key.
    fingerprint: by which `remove()` knows that it is as it was; empty if it was not asked for.
    """

    key: str
    left: int
    fingerprint: str
    kind: str
    texts: Sequence[Text]


def read(
    keys: Sequence[str],
    size: int,
    marked: bool = False,
    members: bool = False,
    meanwhile: Callable[[], object] | None = None,
) -> Operation[list[ExistingKey]]:
    """Reads the first of these keys, as many as have `size` bytes together. One call.

    marked: with fingerprints. members: with those of sets, lists and sorted sets. meanwhile: see ScriptCall.
    """
    request = packable([[*map(sent, keys)], size, FIELDS, members, marked])
    reply = yield script("read_keys")((_pack(request),), meanwhile=meanwhile)
    code, *rest = _undecoded(reply)
    if msgspec.msgpack.decode(code) != "ok":
        raise_refusal(reply)
    rows = _rows(bytes_of(bytes(rest[0])) or b"")
    return [ExistingKey(key, *row) for key, row in zip(keys, rows, strict=False)]


def _rows(packed: bytes) -> Sequence[tuple[int, str, str, Sequence[Text]]]:
    try:
        return _of_text(packed)
    except (msgspec.DecodeError, UnicodeDecodeError):  # some texts are not UTF-8
        rows = _of_bytes(packed)
        return [
            (left, mark, kind, [as_text(bytes_of(bytes(one)) or b"") for one in raw]) for left, mark, kind, raw in rows
        ]


def remove(marks: Sequence[tuple[str, str]]) -> Operation[list[str]]:
    """Deletes keys that have these fingerprints; returns those that are there with others. One call."""
    request = packable([FIELDS, *[item for key, mark in marks for item in (sent(key), mark)]])
    (changed,) = answer_of((yield script("remove_keys")((_pack(request),))))
    return [*map(text_of, changed)]


def scan(cursor: int, pattern: KeyPattern, count: int) -> Operation[tuple[int, list[str]]]:
    """The next keys of a pattern, and the cursor for those behind them, 0 at the end. One call."""
    glob = pattern.glob.encode("utf-8", "surrogateescape")
    cursor, keys = yield Command(("SCAN", cursor, "MATCH", glob, "COUNT", count), 0)
    return int(cursor), [*map(text_of, keys)]


def listing(key: str) -> Operation[tuple[str, int]]:
    """The type of a list, set or sorted set, and how many members it has. Two calls.

    Raises OrmisError for another key, and for none.
    """
    kind = text_of((yield Command(("TYPE", key), 0)))
    length = {"list": "LLEN", "set": "SCARD", "zset": "ZCARD"}.get(kind)
    if length is None:
        there = "there is no such key" if kind == "none" else f"it is a {kind}"
        raise OrmisError(f"listed={shown(key)}: {there}: name a list, set or sorted set of ids or keys")
    return kind, (yield Command((length, key), 0))


def listed(key: str, kind: str, place: int, count: int) -> Operation[tuple[int, list[str]]]:
    """The next members of a list, set or sorted set; the place of those behind them, 0 at the end. One call."""
    if kind == "set":
        cursor, found = yield Command(("SSCAN", key, place, "COUNT", count), 0)
        return int(cursor), [*map(text_of, found)]
    command = "LRANGE" if kind == "list" else "ZRANGE"
    found = yield Command((command, key, place, place + count - 1), 0)
    return (place + count if len(found) == count else 0), [*map(text_of, found)]


def counter(key: str) -> Operation[int]:
    """The whole number that a key holds. One call. Raises OrmisError if it holds none."""
    text: bytes | None = yield Command(("GET", key), 0)
    if text is None or not text.isdigit():
        there = "there is no such key" if text is None else f"it holds {shown(text_of(text))}"
        raise OrmisError(f"counter={shown(key)}: {there}: name the key with the last id that was counted")
    return int(text)


def sent(text: str) -> str | bytes:
    """The name of a key as it is sent."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape")


def text_of(data: Text) -> str:
    """The name of a key as a text, also of one that is not UTF-8."""
    return data if isinstance(data, str) else data.decode("utf-8", "surrogateescape")


def fields_of(texts: Sequence[Text]) -> Mapping[str, Text]:
    """The fields of a hash."""
    names = texts[::2]
    if bytes in map(type, names):
        names = [*map(text_of, names)]
    return dict(zip(names, texts[1::2], strict=True))  # pyright: ignore[reportReturnType, reportUnknownVariableType]
