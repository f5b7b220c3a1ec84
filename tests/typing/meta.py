"""Options of models to a type checker: they may be declared on each class down the line."""

from typing import Generic, TypeVar, assert_type

import ormis
from ormis import Field, ForeignKey, Index, UniqueConstraint

T = TypeVar("T")


class Measured(ormis.Model, Generic[T]):
    """A generic abstract base with options."""

    value: T = Field(index=True)

    class Meta:
        """Options."""

        abstract = True
        key = "lab"
        ordering = ["-value"]


class Timed(Measured[float]):
    """A second abstract base, with the options of the first and more."""

    seconds: int = 0

    class Meta(Measured.Meta):
        """Options."""

        abstract = True
        indexes = [Index("seconds", "value")]


class Reading(Timed):
    """A model with the options of both."""

    parent: ForeignKey["Reading | None"] = ForeignKey()

    class Meta(Timed.Meta):
        """Options."""

        ordering = ["value", "seconds"]
        constraints = [UniqueConstraint("seconds")]
        get_latest_by = "value"


def check(reading: Reading) -> None:
    """Checked by type checkers, never run."""
    assert_type(reading.value, float)
    assert_type(reading.seconds, int)
    assert_type(Reading(value=1.5, parent=reading).save(), Reading)
    assert_type(Reading.objects.latest(), Reading)
    assert_type(Reading.objects, ormis.Manager[Reading])


class Visit(ormis.Model):
    """A time to live that slides."""

    class Meta:
        """Options."""

        ttl = 3600
        ttl_on = "read"
