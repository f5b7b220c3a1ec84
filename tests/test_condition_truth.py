"""Conditions have no truth value: what would drop one of them in silence raises."""

from collections.abc import Callable
from typing import Any

import pytest

import ormis
from ormis import Field, ForeignKey, Q


class Poll(ormis.Model):
    title: str = ""

    class Meta:
        key = "truth_poll"


class Choice(ormis.Model):
    poll: ForeignKey[Poll | None] = ForeignKey(related_name="choices")
    votes: int = Field(default=0, index=True)
    label: str = ""
    open: bool = True

    class Meta:
        key = "truth_choice"


C: Any = Choice

DROPPED: dict[str, Callable[[], Any]] = {
    "a chain": lambda: 1 < C.votes < 3,
    "a chain of equalities": lambda: 1 == C.votes == C.votes,
    "a chain through a relation": lambda: "a" < C.poll.title <= "b",
    "and": lambda: C.votes > 1 and C.label == "x",
    "or": lambda: C.votes > 1 or C.label == "x",
    "not": lambda: not C.votes > 1,
    "if": lambda: 1 if C.votes == 1 else 2,
    "in": lambda: C.votes in [1, 2],
    "not in": lambda: C.votes not in (1, 2),
    "and of Q": lambda: Q(votes=1) and Q(votes=2),
    "or of Q": lambda: Q(votes=1) or Q(votes=2),
    "not of Q": lambda: not Q(votes=1),
    "not of a negated Q": lambda: not ~Q(votes=1),
    "not of joined ones": lambda: not (Q(votes=1) | Q(votes=2)),
    "all": lambda: all([C.votes > 1, C.label == "x"]),
    "a field": lambda: C.open and C.votes == 1,
    "not of a field": lambda: not C.open,
    "max": lambda: max(C.votes, C.votes),
}


@pytest.mark.parametrize("name", DROPPED)
def test_a_condition_is_neither_true_nor_false(name: str) -> None:
    """bool() of a condition or of a class attribute raises, so and, or, not, in and chains do too."""
    with pytest.raises(TypeError):
        DROPPED[name]()


@pytest.mark.parametrize("name", ["a chain", "and", "or", "not", "in", "not of Q"])
def test_the_error_names_what_to_write(name: str) -> None:
    """The error shows the condition and the operators that join conditions."""
    with pytest.raises(TypeError, match=r"Q\(votes.*&, \| and ~Q\(\.\.\.\)"):
        DROPPED[name]()


def test_methods_raise_as_well(db: ormis.Database) -> None:
    """filter(), exclude(), get() and count() never see the rest of a dropped condition."""
    Choice(votes=2).save()
    for method in (C.objects.filter, C.objects.exclude, C.objects.get):
        with pytest.raises(TypeError, match="is a condition"):
            method(1 < C.votes < 3)


def test_conditions_joined_by_operators_narrow(db: ormis.Database) -> None:
    """What the error recommends returns what was meant."""
    for votes in range(5):
        Choice(votes=votes, label="odd" if votes % 2 else "even").save()

    def votes(*conditions: Any) -> list[int]:
        return sorted(choice.votes for choice in C.objects.filter(*conditions))

    assert votes((C.votes > 1) & (C.votes < 4)) == [2, 3]
    assert votes((C.votes == 0) | (C.label == "odd")) == [0, 1, 3]
    assert votes(~(C.votes > 1)) == [0, 1]
    assert votes(Q(votes__in=[1, 4])) == [1, 4]


def test_empty_conditions_narrow_nothing(db: ormis.Database) -> None:
    """Q() joins, nests and filters as no condition, on either side and negated."""
    assert (Q() & Q(votes=1)) == (Q(votes=1) & Q()) == Q(Q(), Q(Q()), votes=1) == Q(votes=1)
    assert (Q() | Q(votes=1)) == (Q(votes=1) ^ Q()) == Q(votes=1)
    assert Q(~Q(), votes=1) == Q(votes=1)
    assert not Q()
    assert not ~Q(Q())
    Choice(votes=1).save()
    assert C.objects.filter(Q()).filter(~Q(), Q(Q())).count() == 1
    assert (C.objects.filter(votes=1) | C.objects.filter(Q())).count() == 1
    assert (C.objects.filter(votes=1) & C.objects.all()).count() == 1


def test_conditions_are_still_compared_with_each_other() -> None:
    """Two conditions are equal when they say the same, also in lists and sets."""
    assert Q(votes=1) == (C.votes == 1)
    assert (C.votes > 1) in [Q(votes=1), Q(votes__gt=1)]
    assert len({C.votes > 1, Q(votes__gt=1)}) == 1
