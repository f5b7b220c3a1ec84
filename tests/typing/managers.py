"""What a type checker sees of managers and querysets of one's own: pairs of an expression and its type."""

from typing import Any, ClassVar, Self, TypeVar, assert_type

import ormis
from ormis import Related


class PollManager(ormis.Manager["Poll"]):
    """A manager with a method of its own."""

    def popular(self) -> "ormis.QuerySet[Poll]":
        """The popular ones."""
        return self.filter(votes__gte=10)


class Poll(ormis.Model):
    """A model with a manager of its own, in each way of writing it."""

    votes: int = 0
    objects = PollManager()
    typed: ClassVar[PollManager] = PollManager()


class TypedPoll(ormis.Model):
    """The manager called `objects` with an annotation."""

    objects: ClassVar[PollManager] = PollManager()


class BallotQuerySet(ormis.QuerySet["Ballot"]):
    """A queryset with methods of its own."""

    def valid(self) -> Self:
        """The valid ones."""
        return self.filter(valid=True)

    def of(self, year: int) -> Self:
        """Those of a year; chained through every other method."""
        return self.exclude(year__gt=year).order_by("year").all().distinct()


class OpenBallots(ormis.Manager["Ballot"]):
    """A manager that narrows all its queries."""

    def get_queryset(self) -> "BallotQuerySet":
        """The open ones."""
        return BallotQuerySet(Ballot).valid()


class Ballot(ormis.Model):
    """A model with the methods of its queryset on its manager."""

    year: int
    valid: bool = True
    marks: Related["Mark"] = Related()
    objects = BallotQuerySet.as_manager()
    open = OpenBallots()


class MarkManager(ormis.Manager["Mark"]):
    """A manager that a base passes on."""


class Counted(ormis.Model):
    """An abstract base with a manager."""

    counted = MarkManager()

    class Meta:
        """Options."""

        abstract = True


class Mark(Counted):
    """A model with an inherited manager beside the default one."""

    ballot: ormis.ForeignKey[Ballot] = ormis.ForeignKey(related_name="marks")


M = TypeVar("M", bound=ormis.Model)


def any_model(model: type[M]) -> M | None:
    """Checked by type checkers, never run: a model of any class."""
    assert_type(model.objects, ormis.Manager[M])
    return model.objects.filter(pk=1).first()


def own_managers() -> None:
    """Checked by type checkers, never run."""
    assert_type(Poll.objects, PollManager)
    assert_type(Poll.typed, PollManager)
    assert_type(TypedPoll.objects, PollManager)
    assert_type(Poll.objects.popular().first(), Poll | None)
    assert_type(Poll.objects.create(votes=1), Poll)
    assert_type(Mark.objects, ormis.Manager[Mark])
    assert_type(Mark.counted.first(), Mark | None)
    assert_type(Ballot.open.get_queryset(), BallotQuerySet)


async def own_querysets() -> None:
    """Checked by type checkers, never run."""
    assert_type(Ballot.objects.valid(), BallotQuerySet)
    assert_type(Ballot.objects.valid().of(2026).filter(year=1).valid().first(), Ballot | None)
    assert_type(Ballot.objects.filter(year=1).exclude(year=2).of(2026)[:3], BallotQuerySet)
    assert_type(Ballot.objects.valid().select_related(None).only("year").none(), BallotQuerySet)
    assert_type(Ballot.objects.valid() | Ballot.objects.of(2026), BallotQuerySet)
    assert_type(await Ballot.objects.valid(), list[Ballot])
    assert_type(Ballot.objects.create(year=2026), Ballot)
    assert_type(Ballot.objects.get_or_create(year=2026), tuple[Ballot, bool])
    assert_type(Ballot.objects.valid().values("year"), ormis.QuerySet[dict[str, Any]])
