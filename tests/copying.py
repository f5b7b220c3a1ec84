"""The models of the tests of copy(), and a process that copies and dies: `python copying.py SRC DST STEP`."""

import os
import signal
import sys
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

import ormis
from ormis import DO_NOTHING, SET_NULL, Field, ForeignKey, ManyToMany, Progress, UniqueConstraint


class Label(ormis.Model):
    """The other side of links, with a unique field."""

    name: str = Field(unique=True)

    class Meta:
        key = "copy_label"


class Person(ormis.Model):
    """A family, with references to itself and links to itself."""

    name: str = Field(index=True)
    boss: ForeignKey["Person | None"] = ForeignKey(default=None, on_delete=SET_NULL, related_name="staff")
    friends: ManyToMany["Person"] = ManyToMany()
    labels: ManyToMany[Label] = ManyToMany(related_name="people")
    salary: Decimal | None = Field(default=None, index=True)
    level: int = Field(default=1, index=True)
    changed: datetime | None = Field(auto_now=True)

    class Meta:
        key = "copy_person"
        polymorphic = True


class Chief(Person):
    """One of the family, with a unique field and a reference of its own."""

    badge: str | None = Field(default=None, unique=True)
    rank: int = Field(default=2, index=True)
    team: ForeignKey["CopiedTeam | None"] = ForeignKey(default=None, on_delete=SET_NULL, related_name="chiefs")


class CopiedTeam(ormis.Model):
    """It refers to the family, which refers to it."""

    name: str = Field(primary_key=True)
    lead: ForeignKey[Person | None] = ForeignKey(default=None, on_delete=DO_NOTHING, related_name="led")
    data: dict[str, Any] = Field(default_factory=dict)
    raw: bytes = b""

    class Meta:
        key = "copy_team"


class Word(ormis.Model):
    """A model that any cluster can hold."""

    text: str = Field(primary_key=True)
    count: int = Field(default=0, index=True)

    class Meta:
        key = "copy_word"


class Note(ormis.Model):
    """A model with counted keys that any cluster can hold."""

    saved: ClassVar[list[int]] = []
    text: str = Field(default="", index=True)

    class Meta:
        key = "copy_note"

    @ormis.after_save
    def count_it(self) -> None:
        """A hook that a copy does not run."""
        self.saved.append(self.pk or 0)


class Member(ormis.Model):
    """A model with values that are unique over all partitions; some objects have none."""

    email: str | None = Field(default=None, unique=True)
    country: str = "at"
    number: int | None = None

    class Meta:
        key = "copy_member"
        constraints = (UniqueConstraint("country", "number"),)


class Domain(ormis.Model):
    """The same with keys that are texts."""

    name: str = Field(primary_key=True)
    token: bytes = Field(default=b"", unique=True)

    class Meta:
        key = "copy_domain"


class Board(ormis.Model):
    """A parent, on a cluster with its children beside it."""

    name: str = ""

    class Meta:
        key = "copy_board"


class Card(ormis.Model):
    """A child beside its parent."""

    board: ForeignKey[Board] = ForeignKey(on_delete=ormis.CASCADE, related_name="cards")
    position: int = 0

    class Meta:
        key = "copy_card"
        partition_by = "board"
        constraints = (UniqueConstraint("board", "position"),)


RELATED: list[type[ormis.Model]] = [Label, Person, CopiedTeam]
LOCAL: list[type[ormis.Model]] = [Word, Note]
CLAIMED: list[type[ormis.Model]] = [Member, Domain]
BESIDE: list[type[ormis.Model]] = [Board, Card]
SMALL = ormis.Limits(keys=20, inserts=20)


def main(source: str, target: str, step: int) -> None:
    """Copies, and dies at a step."""
    steps = 0

    def die(_progress: Progress) -> None:
        nonlocal steps
        steps += 1
        if steps == step:
            os.kill(os.getpid(), signal.SIGKILL)

    with ormis.connect(source, limits=SMALL) as old, ormis.connect(target, limits=SMALL) as new:
        ormis.copy(old, new, models=[*RELATED, *LOCAL] if new.partitions == 1 else [*CLAIMED, *LOCAL], progress=die)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
