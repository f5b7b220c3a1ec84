"""Lua patterns that may take more than linear time: stored texts are as long as users make them.

    fault("[^%z]*$") -> "no ^ before a repetition"

A pattern without `^` begins anew at each byte. Two repetitions that can take the same bytes try every division of them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

ALL = frozenset(range(256))
CLASSES = {
    "d": r"[0-9]",
    "a": r"[A-Za-z]",
    "l": r"[a-z]",
    "u": r"[A-Z]",
    "s": r"[ \t-\r]",
    "w": r"[0-9A-Za-z]",
    "x": r"[0-9A-Fa-f]",
    "p": r"[!-/:-@\[-`{-~]",
    "c": r"[\x00-\x1f\x7f]",
    "z": r"\x00",
}
ITEM = re.compile(r"(\[\^?\]?[^\]]*\]|%.|[^()])([*+?-]?)", re.DOTALL)
CALL = re.compile(r"string\.(match|gmatch|gsub|find)\(")
LITERAL = re.compile(r"'((?:[^'\\]|\\.)*)'$")
ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
BOUNDED = "-- bounded: "
"""A comment at the end of a line that says why its subject is short."""


@dataclass(frozen=True)
class Item:
    """One item of a pattern: the bytes that it matches, and its suffix."""

    bytes: frozenset[int]
    suffix: str

    @property
    def repeats(self) -> bool:
        """Whether it takes any number of bytes."""
        return self.suffix in ("*", "+", "-") and bool(self.suffix)

    @property
    def required(self) -> bool:
        """Whether it takes one byte at least."""
        return self.suffix in ("", "+")


def _of_class(letter: str) -> frozenset[int]:
    known = CLASSES.get(letter.lower())
    if known is None:
        return frozenset(letter.encode("latin-1"))
    found = frozenset(byte for byte in ALL if re.fullmatch(known, chr(byte)))
    return ALL - found if letter.isupper() else found


def _of_set(body: str) -> frozenset[int]:
    found: set[int] = set()
    for single in re.finditer(r"%(.)|(.)-(.)|(.)", body, re.DOTALL):
        if single[1]:
            found |= _of_class(single[1])
        elif single[2]:
            found |= {*range(ord(single[2]), ord(single[3]) + 1)}
        else:
            found.add(ord(single[4]))
    return frozenset(found)


def _bytes(text: str) -> frozenset[int]:
    if text == ".":
        return ALL
    if text.startswith("[^"):
        return ALL - _of_set(text[2:-1])
    if text.startswith("["):
        return _of_set(text[1:-1])
    return _of_class(text[1]) if text.startswith("%") else frozenset(text.encode("latin-1"))


def fault(pattern: str, ends_with: str = "") -> str | None:
    """The reason for which a match may take more than linear time; None if it does not.

    ends_with: a byte with which every subject ends.
    """
    anchored, ends = pattern.startswith("^"), pattern.endswith("$") and not pattern.endswith("%$")
    items = [Item(_bytes(part[1]), part[2]) for part in ITEM.finditer(pattern[anchored : len(pattern) - ends])]
    repeated = [at for at, item in enumerate(items) if item.repeats]
    if not anchored and repeated and not _succeeds_at_once(items, repeated[0], ends, ends_with):
        return "no ^ before a repetition"
    if repeated and items[repeated[-1]].bytes == ALL and repeated[-1] == len(items) - 1:
        repeated.pop()  # it takes all that is left, so nothing before it is tried again
    for at, later in pairwise(repeated):
        if not any(item.required and not item.bytes & items[at].bytes for item in items[at + 1 : later + 1]):
            return "two repetitions that can take the same bytes"
    return None


def _succeeds_at_once(items: list[Item], at: int, ends: bool, ends_with: str) -> bool:
    """Whether the repetition can't fail once it is reached: there is no other start to try."""
    own, rest = items[at].bytes, items[at + 1 :]
    if not rest:
        return not ends or own == ALL
    return len(rest) == 1 and not ends and rest[0].bytes == ALL - own == frozenset(ends_with.encode()) != frozenset()


def faults(source: str) -> Iterator[tuple[int, str]]:
    """The line and the fault of each pattern in a Lua text."""
    for call in CALL.finditer(source):
        line = source.count("\n", 0, call.start()) + 1
        if BOUNDED in source.splitlines()[line - 1]:
            continue
        subject, pattern, *more = _arguments(source, call.end())
        if call[1] == "find" and more[1:] == ["true"]:
            continue
        tail = re.search(r"\.\. '(\\?.)'$", subject)
        for text in _texts(source[: call.end()], pattern):
            found = fault(text, unescaped(tail[1]) if tail else "")
            if found:
                yield line, f"the pattern {text!r} has {found}"


def _arguments(source: str, start: int) -> list[str]:
    """The texts of the arguments of a call whose parenthesis opens before `start`."""
    depth, at, parts = 0, start, [""]
    for token in re.finditer(r"'(?:[^'\\]|\\.)*'|.", source[at:], re.DOTALL):
        if token[0] in ")}" and depth == 0:
            break
        depth += {"(": 1, "{": 1, ")": -1, "}": -1}.get(token[0], 0)
        if token[0] == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += token[0]
    return [part.strip() for part in parts]


def _texts(before: str, argument: str) -> list[str]:
    """The literals that an argument stands for: itself, or the values that a variable was given before."""
    literal = LITERAL.match(argument)
    given = [literal[1]] if literal else re.findall(rf"\b{re.escape(argument)} = '((?:[^'\\]|\\.)*)'", before)
    return [unescaped(text) for text in given] or [".*.*"]  # unknown: the worst


def unescaped(text: str) -> str:
    """The bytes of a Lua literal."""
    return re.sub(
        r"\\(\d{1,3}|.)",
        lambda found: chr(int(found[1])) if found[1].isdigit() else ESCAPES.get(found[1], found[1]),
        text,
    )
