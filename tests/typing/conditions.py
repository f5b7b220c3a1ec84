"""What a type checker sees of conditions and expressions: pairs of an expression and its type."""

from typing import Any, assert_type

from pydantic import BaseModel

import ormis
from ormis import F, Field, ForeignKey, Index, Q, QuerySet, col


class Question(ormis.Model):
    """A model."""

    question_text: str = Field(max_length=200)
    rank: int | None = Field(default=None, index=True)


class Choice(ormis.Model):
    """A model with a relation."""

    question: ForeignKey[Question] = ForeignKey(related_name="choices")
    votes: int = Field(default=0, index=True)
    share: float = 0.0
    label: str | None = None


class Address(BaseModel):
    """What is inside of a field."""

    city: str
    number: int = 0


class Place(ormis.Model):
    """A model with fields that are kept as JSON."""

    address: Address
    former: Address | None = None
    tags: list[str] = Field(default=[], index="members")
    meta: dict[str, Any] = {}

    class Meta:
        indexes = [Index("address__city")]


def class_attributes() -> None:
    """Checked by type checkers, never run: comparisons are conditions, on either side of &, | and ^."""
    assert_type((Choice.votes >= 3) & ~Q(label="x"), Q)
    assert_type(Q(label="x") & (Choice.votes >= 3), Q)
    assert_type(Q(label="x") | (Choice.label == "y"), Q)
    assert_type((Choice.label == "y") | Q(label="x"), Q)
    assert_type(Q(label="x") ^ (Choice.votes < 1), Q)
    assert_type((Choice.votes < 1) ^ Q(label="x"), Q)
    assert_type(~Q(Choice.votes >= 3), Q)
    assert_type(Choice.objects.filter(Choice.votes >= 3, Choice.label == "x", pk=1), QuerySet[Choice])
    assert_type(Choice.objects.filter((Choice.votes >= 3) & (Choice.share < 0.5)), QuerySet[Choice])
    assert_type(Choice.objects.exclude(Choice.votes >= Choice.share).get(Choice.votes != 3), Choice)
    Choice.objects.filter(Choice.question.question_text == "x", Choice.question.rank > 3)


def optional_fields() -> None:
    """Checked by type checkers, never run: a field that may be None is equal to values; col() gives it an order."""
    assert_type(Question.objects.filter(Question.rank == 3), QuerySet[Question])
    assert_type(col(Question.rank) > 3, Q)
    assert_type((col(Question.rank) > 3) & (col(Question.rank) <= 7), Q)
    assert_type(~(col(Choice.label) < "x") | (Choice.votes > 2), Q)
    assert_type(col(Choice.question.rank) >= 3, Q)
    assert_type(Question.id > 3, Q)
    assert_type(Choice.objects.filter(Choice.id >= 3, Choice.votes < Choice.id), QuerySet[Choice])


def parts_of_fields() -> None:
    """Checked by type checkers, never run: parts of fields have their types; col() names those of optional objects."""
    assert_type(Place.objects.filter(Place.address.city == "Paris"), QuerySet[Place])
    assert_type(Place.address.number >= 3, bool)
    assert_type(col(Place.former).city == "Paris", Q)
    Place.objects.filter(Q(Place.address.number > 3) | Q(tags__contains="x"), col(Place.tags).len >= 2)
    Place.objects.order_by("address__city").update(tags=F("tags") - ["x"], meta=F("meta") | {"k": 1})


def expressions(choice: Choice) -> None:
    """Checked by type checkers, never run: an expression may be assigned, and leaves the field its type."""
    choice.votes = F("votes") + 1
    votes: int = choice.votes
    print(votes)
    choice.votes = (F("votes") - 1) * 2 % 7
    choice.votes = 3 + F("votes")
    choice.share = F("votes") / 2
    choice.share = -F("share")
    choice.label = F("question__question_text")
    choice.votes = F("id")
    Choice.objects.filter(votes=F("id") * 2).update(votes=F("votes") + 1)
    Choice.objects.order_by(F("votes").desc(nulls_last=True), F("share").asc(), (F("votes") + 1).desc())
