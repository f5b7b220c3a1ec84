"""A migration: a file of operations, and its place in the order of migrations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from .operations import Operation


class Name(NamedTuple):
    """A migration by the name of its application and of its file: ("polls", "0001_initial")."""

    app: str
    name: str


class Migration:
    """The base of the class `Migration` in a migration file.

    dependencies: the migrations that run before it. operations: in the order in which they run.
    """

    dependencies: ClassVar[Sequence[tuple[str, str]]] = ()
    operations: ClassVar[Sequence[Operation]] = ()


@dataclass(frozen=True, slots=True)
class Loaded:
    """A migration that was read from its file. checksum: of its code, without comments and layout."""

    name: Name
    dependencies: tuple[Name, ...]
    operations: tuple[Operation, ...]
    checksum: str
