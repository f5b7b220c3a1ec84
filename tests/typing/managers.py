# mypy: ignore-errors
"""A manager of one's own, as pyright sees it; mypy looks on the metaclass first and finds the default one."""

from typing import assert_type

import ormis


class PollManager(ormis.Manager["Poll"]):
    """A manager with a method of its own."""

    def popular(self) -> "ormis.QuerySet[Poll]":
        """The popular ones."""
        return self.filter(votes__gte=10)


class Poll(ormis.Model):
    """A model with a manager of its own."""

    votes: int = 0
    objects = PollManager()


def check() -> None:
    """Checked by pyright, never run."""
    assert_type(Poll.objects.popular().first(), Poll | None)
