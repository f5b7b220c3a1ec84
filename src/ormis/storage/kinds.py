"""The kinds of value: in one table what the server and the planner can do with a stored text.

    kind        score           equal texts   order     arithmetic   index=True   key
    text, uuid  none            exact         bytes     no           equality     yes
    bool        none            exact         bytes     no           equality     yes
    bytes       none            exact         bytes     no           equality     no
    json        none            as written    refused   no           refused      no
    int         rounded > 2^53  exact         numbers   yes          sorted       yes
    float       exact           1.0 and 1     numbers   yes          sorted       no
    decimal     rounded         1.0 and 1.00  numbers   yes          sorted       yes
    date        exact           exact         numbers   no           sorted       yes
    datetime    rounded > 2^53  with, no Z    numbers   no           sorted       yes
    time        exact           by offset     numbers   no           sorted       no
    timedelta   rounded > 2^53  exact         numbers   no           sorted       no

lua/values/scores.lua computes the scores, lua/values/compare.lua compares texts. A codec may narrow what its kind can
do, for a type whose texts mean less than those of the kind: VARIANTS.
"""

from dataclasses import dataclass, replace

DATE_PARTS = ("year", "month", "day", "week_day", "iso_week_day", "week", "iso_year", "quarter")
TIME_PARTS = ("hour", "minute", "second")
_DATETIME_PARTS = (*DATE_PARTS, *TIME_PARTS, "date", "time")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value.

    scored: its values have a number that a sorted index is ordered by. reads_scores: a score decides a comparison if
        it is below 2^53; of a decimal it never does.
    exact_text: equal values have equal texts, so that an equality index finds them.
    arithmetic: the server adds, subtracts and multiplies.
    parts: the lookups of parts of a value, `year` for instance.
    may_be_key, indexable: a primary key, an index or a unique constraint can be of this kind.
    by_text: values are compared as their stored texts, byte by byte.
    ordered: values are in the order that the type has in Python; else there are no ranges of them.
    may_be_unique: equal values have one text to be claimed.
    may_be_long: its texts may have any length.
    """

    name: str
    scored: bool = False
    reads_scores: bool = False
    exact_text: bool = False
    arithmetic: bool = False
    parts: tuple[str, ...] = ()
    may_be_key: bool = False
    indexable: bool = True
    by_text: bool = False
    ordered: bool = True
    may_be_unique: bool = True
    may_be_long: bool = False

    @property
    def equal_by_text(self) -> bool:
        """Whether the server can tell if two values are equal; else only Python can."""
        return self.exact_text or not self.by_text


KINDS = {
    kind.name: kind
    for kind in (
        Kind("text", exact_text=True, may_be_key=True, by_text=True, may_be_long=True),
        Kind("uuid", exact_text=True, may_be_key=True, by_text=True),
        Kind("bytes", exact_text=True, by_text=True, may_be_long=True),
        Kind("json", indexable=False, by_text=True, ordered=False, may_be_long=True),
        Kind("bool", exact_text=True, may_be_key=True),
        Kind("int", scored=True, reads_scores=True, exact_text=True, arithmetic=True, may_be_key=True),
        Kind("float", scored=True, reads_scores=True, arithmetic=True),
        Kind("decimal", scored=True, arithmetic=True, may_be_key=True, may_be_long=True),
        Kind("date", scored=True, reads_scores=True, exact_text=True, parts=DATE_PARTS, may_be_key=True),
        Kind(
            "datetime",
            scored=True,
            reads_scores=True,
            parts=(*DATE_PARTS, *TIME_PARTS, "date", "time"),
            may_be_key=True,
        ),
        Kind("time", scored=True, reads_scores=True, parts=TIME_PARTS),
        Kind("timedelta", scored=True, reads_scores=True, exact_text=True),
    )
}
"""Every kind that a codec may have, by its name."""

UNORDERED_TEXT = replace(KINDS["text"], ordered=False)
"""Texts of values that are no texts: addresses, paths, fractions, choices of several types."""

CANONICAL_JSON = replace(KINDS["json"], exact_text=True)
"""JSON that is the same for equal values: lists of texts and integers."""

NUMBERS = replace(KINDS["decimal"], arithmetic=False, may_be_key=False, may_be_unique=False)
"""Numbers of several types, `int | float`: 1 and 1.0 are equal, and different texts."""
