"""`Case` and `When`: refusals, types, conditions about related objects; conditions as values."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

import ormis
from ormis import Case, Count, F, Field, ForeignKey, Q, Sum, Value, When
from ormis.functions import Lower


class Poll(ormis.Model):
    """What choices belong to."""

    title: str
    open: bool = True

    class Meta:
        key = "case_poll"


class Choice(ormis.Model):
    """A model with a relation."""

    poll: ForeignKey[Poll] = ForeignKey(related_name="choices")
    text: str
    votes: int = Field(default=0, index=True)
    share: float | None = None
    price: Decimal | None = None

    class Meta:
        key = "case_choice"


@pytest.fixture
def polls(db: ormis.Database) -> list[Poll]:
    """Three polls with choices of 0 to 5 votes, with none, and with one of 9 votes."""
    made = [Poll(title=title, open=title != "B").save() for title in "ABC"]
    for votes in range(6):
        Choice(poll=made[0], text=f"t{votes}", votes=votes, share=None if votes % 2 else votes / 2).save()
    Choice(poll=made[2], text="only", votes=9).save()
    return made


@pytest.mark.usefixtures("polls")
def test_the_first_condition_that_is_met_decides() -> None:
    """Conditions are looked at in their order; without a default the rest is None."""
    kind = Case(When(votes__gte=5, then=Value("many")), When(Q(votes__gte=3) | Q(votes=0), then="text"))
    found = Choice.objects.order_by("id").annotate(kind=kind)
    assert list(found.values_list("kind", flat=True)) == ["t0", None, None, "t3", "t4", "many", "many"]
    assert [choice.votes for choice in found.filter(kind="many")] == [5, 9]
    assert [choice.votes for choice in found.exclude(kind__isnull=True).order_by("-kind", "votes")] == [4, 3, 0, 5, 9]
    assert list(found.values("kind").annotate(n=Count("id")).order_by("-n", "kind").values_list("kind", "n")) == [
        (None, 2),
        ("many", 2),
        ("t0", 1),
        ("t3", 1),
        ("t4", 1),
    ]


@pytest.mark.usefixtures("polls")
def test_conditions_about_related_objects() -> None:
    """A condition may be about the one object, or the many objects, that a relation leads to."""
    titles = Case(When(poll__title="A", then=Value("first")), default=Lower("poll__title"))
    assert set(Choice.objects.annotate(of=titles).values_list("votes", "of")) == {
        *((n, "first") for n in range(6)),
        (9, "c"),
    }
    many = Case(When(choices__votes__gt=5, then=Value(2)), When(choices__votes=3, open=True, then=Value(1)), default=0)
    assert list(Poll.objects.order_by("id").annotate(n=many).values_list("n", flat=True)) == [1, 0, 2]
    counted = Case(When(n__gte=2, then=Value("many")), When(n=0, then=Value("none")), default=Value("one"))
    found = Poll.objects.order_by("id").annotate(n=Count("choices"), how=counted)
    assert list(found.values_list("how", flat=True)) == ["many", "none", "one"]
    assert [poll.title for poll in found.filter(how="none")] == ["B"]


@pytest.mark.usefixtures("polls")
def test_aggregates_of_cases() -> None:
    """A conditional sum: of rows, of related objects, and of groups."""
    points = Sum(Case(When(votes__gt=2, then="votes"), default=0))
    assert Choice.objects.aggregate(n=points) == {"n": 3 + 4 + 5 + 9}
    related = Sum(Case(When(choices__votes__gt=2, then="choices__votes"), default=0))
    assert list(Poll.objects.order_by("id").annotate(n=related).values_list("n", flat=True)) == [12, None, 9]
    grouped = Choice.objects.values("poll__title").annotate(n=points).order_by("poll__title")
    assert list(grouped) == [{"poll__title": "A", "n": 12}, {"poll__title": "C", "n": 9}]


@pytest.mark.usefixtures("polls")
def test_only_the_chosen_value_is_computed() -> None:
    """A value that could not be computed does no harm where it is not chosen."""
    found = Choice.objects.order_by("id").annotate(x=Case(When(votes__gt=0, then=60 / F("votes")), default=Value(0.0)))
    assert list(found.values_list("x", flat=True)[:4]) == [0.0, 60.0, 30.0, 20.0]


@pytest.mark.usefixtures("polls")
def test_types_of_the_values() -> None:
    """Numbers go together as Python adds them; `output_field` converts, and says what compares."""
    found = Choice.objects.order_by("id")
    assert list(
        found.annotate(x=Case(When(votes=0, then=0.5), default="votes"))
        .filter(x__gt=0.4, x__lt=1.5)
        .values_list("x", flat=True)
    ) == [0.5, 1]
    exact = Case(When(votes=0, then=Value("0.10")), default="votes", output_field=Decimal)
    assert [str(x) for x in found.annotate(x=exact).values_list("x", flat=True)[:2]] == ["0.10", "1"]
    texts = Case(When(votes=0, then=Value("zero")), default="votes", output_field=str | int)
    assert list(found.annotate(x=texts).values_list("x", flat=True)[:2]) == ["zero", 1]
    assert list(found.annotate(x=Case(When(votes=1, then=None), default="votes")).values_list("x", flat=True)[:3]) == [
        0,
        None,
        2,
    ]
    wrong = Case(When(votes=9, then=Value("many")), default="votes", output_field=int)
    with pytest.raises(ormis.FieldError, match="'many', which is no int"):
        list(found.annotate(x=wrong))


@pytest.mark.usefixtures("polls")
def test_conditions_are_values() -> None:
    """Q, comparisons of class attributes, and their negations are True or False, in every method."""
    found = Choice.objects.order_by("id").annotate(a=Q(votes__gt=3), b=~Q(votes__gt=3), c=Choice.votes == 9)
    assert list(found.values_list("a", "b", "c"))[-2:] == [(True, False, False), (True, False, True)]
    assert found.filter(a=True, c=False).count() == 2
    assert [choice.votes for choice in found.order_by("-c", "-a", "votes")] == [9, 4, 5, 0, 1, 2, 3]
    assert list(Choice.objects.values(many=Q(votes__gt=3)).annotate(n=Count("id")).order_by("many")) == [
        {"many": False, "n": 4},
        {"many": True, "n": 3},
    ]
    assert list(Choice.objects.order_by("id").annotate(a=Q(share__gt=0)).values_list("a", flat=True)) == [
        False, False, True, False, True, False, False,
    ]  # fmt: skip
    assert Choice.objects.aggregate(n=Sum(Q(votes__gt=3))) == {"n": 3}


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "no condition": (lambda: When(Q(), then=1), "give a condition"),
    "nothing at all": (lambda: When(then=1), "give a condition"),
    "no value": (lambda: When(votes=1), "say then="),
    "a value in place of a condition": (lambda: Case("votes"), r"Case\('votes'\): give When"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    "a pair in place of a condition": (lambda: Case((Q(votes=1), 1)), "give When"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    "a text and a number": (
        lambda: Case(When(votes=1, then="text"), default="votes"),
        "mixes values of the types int, text: convert them with Cast.*output_field=",
    ),
    "a float and a Decimal": (lambda: Case(When(votes=1, then="share"), default="price"), "output_field="),
    "a type by its name": (lambda: Case(When(votes=1, then=1), output_field="int"), "give a Python type"),
    "an unknown field in a condition": (lambda: Case(When(vote=1, then=1)), "did you mean 'votes'"),
    "an unknown field as a value": (lambda: Case(When(votes=1, then="txt")), "did you mean 'text'"),
    "a text as a constant": (lambda: Case(When(votes=1, then="many")), "no field or relation 'many'"),
    "a value that does not convert": (lambda: Case(When(votes="many", then=1)), "does not convert to int"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(db: ormis.Database, case: str) -> None:
    """What can't be computed is a FieldError where it is written, before anything is sent."""
    make, message = REFUSED[case]
    with ormis.capture_calls() as calls, pytest.raises(ormis.FieldError, match=message):
        Choice.objects.annotate(x=make())
    assert list(calls) == []


def test_a_when_stands_in_a_case(db: ormis.Database) -> None:
    """A When() alone is no expression."""
    with pytest.raises(TypeError, match=r"annotate.*Case\(When"):
        Choice.objects.annotate(x=When(votes=1, then=1))


def test_equality() -> None:
    """Cases are compared by value and shown as they are written."""
    made = Case(When(votes=1, then="text"), default=Value("x"))
    assert made == Case(When(Q(votes=1), then=F("text")), default=Value("x"))
    assert made != Case(When(votes=2, then="text"), default=Value("x"))
    assert len({made, Case(When(votes=1, then="text"), default=Value("x"))}) == 1
    assert repr(made) == "Case(When(Q(votes=1), then=F('text')), default='x')"
    assert repr(When(votes=1, then="text")) == "When(Q(votes=1), then=F('text'))"
