"""Models of tests/test_adopting.py, and a process that adopts, or loads a file, and dies.

adopting.py URL STEP [remove|FILE]
"""

import os
import signal
import sys

import ormis
from ormis import Field, ForeignKey, ManyToMany


class OldTag(ormis.Model):
    """A model that others are linked to."""

    name: str = Field(unique=True)

    class Meta:
        key = "ad_tag"


class OldQuestion(ormis.Model):
    """A model with counted keys, indexes and links."""

    text: str = Field(index=True, max_length=200)
    votes: int = Field(default=0, index=True)
    data: bytes = b""
    tags: ManyToMany[OldTag] = ManyToMany(related_name="questions")

    class Meta:
        key = "ad_question"


class OldChoice(ormis.Model):
    """A child."""

    question: ForeignKey[OldQuestion] = ForeignKey(related_name="choices")
    text: str

    class Meta:
        key = "ad_choice"


class OldNode(ormis.Model):
    """A model that refers to itself."""

    parent: ForeignKey["OldNode | None"] = ForeignKey(on_delete=ormis.CASCADE, related_name="children")
    name: str = Field(default="", unique=True)

    class Meta:
        key = "ad_node"


class OldCustomer(ormis.Model):
    """A model with keys that are texts."""

    id: str = Field(primary_key=True)
    name: str = Field(index=True)
    age: int | None = None

    class Meta:
        key = "ad_customer"


MODELS: list[type[ormis.Model]] = [OldTag, OldQuestion, OldChoice, OldNode, OldCustomer]
SMALL = ormis.Limits(keys=20, inserts=20, scanned_keys=20)


def main(url: str, step: int, what: str) -> None:
    """Adopts, or loads, and dies before so many calls."""
    from ormis.drivers import sync

    sent, calls = sync.send, 0

    def send(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return sent(*arguments)  # pyright: ignore[reportArgumentType]

    sync.send = send  # pyright: ignore[reportAttributeAccessIssue]
    with ormis.connect(url, limits=SMALL):
        if what not in ("", "remove"):
            ormis.load(what)
        names = {"text": "question_text"}
        ormis.adopt(OldQuestion, "old-*", counter="old-latest", renamed=names, remove=what == "remove")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), "".join(sys.argv[3:]))
