"""The kinds of index, each with its entry of the same name in lua/model/index_kinds.lua."""

from ..errors import ModelError
from ..storage.kinds import Kind

EQUAL, SORTED, TEXT, MEMBERS = "equal", "sorted", "text", "members"


class IndexKind:
    """A kind of index: which values it is for, and which comparisons it answers."""

    name: str
    option: str | None = None
    """How a field asks for it: `Field(index=option)`; None if it is chosen by the kind of value alone."""

    values: str = ""
    """The values that such a field may have, in words."""

    shown: str
    """In an explanation; `{index}` stands for its columns."""

    lookups: frozenset[str] = frozenset()
    """The operators of the comparisons that the `probe` of its Lua entry answers.

    An equality, a range and a prefix that the kinds here answer have probes of their own."""

    fast_insert = False
    """Returns whether lua/write/fast_commit.lua writes its entries."""

    fast_update = False
    """Returns whether lua/write/fast_commit.lua moves its entries."""

    def fits(self, kind: Kind, /) -> bool:
        """Returns whether values of this kind can be indexed so."""
        return kind.indexable


class EqualIndex(IndexKind):
    """A set of primary keys for each text."""

    name = EQUAL
    shown = "equality index on {index}"
    fast_insert = True


class TextIndex(IndexKind):
    """A sorted set of texts, each with its primary key, in the order of bytes."""

    name = TEXT
    option = "sorted"
    values = "text"
    shown = "text index on {index}"

    def fits(self, kind: Kind, /) -> bool:
        """Texts."""
        return kind.name == "text" and kind.ordered


class SortedIndex(IndexKind):
    """A sorted set of primary keys by the scores of values."""

    name = SORTED
    option = "sorted"
    values = "numbers"
    shown = "sorted index on {index}"
    fast_insert = True
    fast_update = True

    def fits(self, kind: Kind, /) -> bool:
        """True for the kinds of value whose texts have scores."""
        return kind.scored


class MembersIndex(IndexKind):
    """A set of primary keys for each member of a list, a tuple or a set."""

    name = MEMBERS
    option = "members"
    values = "lists, tuples and sets"
    shown = "index of the members of {index}"

    def fits(self, kind: Kind) -> bool:
        """What is kept as JSON: builder.py looks at the members."""
        return kind.name == "json"


INDEX_KINDS: dict[str, IndexKind] = {}
"""Every kind of index by its name."""


def register(kind: type[IndexKind]) -> None:
    """Adds a kind of index."""
    INDEX_KINDS[kind.name] = kind()


for _kind in (EqualIndex, TextIndex, SortedIndex, MembersIndex):
    register(_kind)


def index_options() -> list[str]:
    """What `Field(index=...)` takes beside True and False."""
    return [*dict.fromkeys(kind.option for kind in INDEX_KINDS.values() if kind.option)]


def kind_for(option: str, values: Kind) -> IndexKind:
    """The kind of index that a field asks for. Raises ModelError if there is none for its values."""
    offered = [kind for kind in INDEX_KINDS.values() if kind.option == option]
    fitting = next((kind for kind in offered if kind.fits(values)), None)
    if fitting is None:
        names = " and ".join(kind.values for kind in offered)
        name = values.name if values.ordered else f"{values.name} of values that are in no order"
        raise ModelError(f'index="{option}" is for {names}, not {name}')
    return fitting
