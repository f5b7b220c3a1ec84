"""Subquery, Exists and OuterRef: where they stand, the ways of evaluation, numbers of calls, refusals."""

import asyncio
import pickle
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

import ormis
from ormis import (
    Avg,
    Case,
    Count,
    Exists,
    F,
    Field,
    FieldError,
    ForeignKey,
    IntegrityError,
    Max,
    OuterRef,
    Q,
    Subquery,
    Sum,
    When,
    atomic,
    capture_calls,
)
from ormis.functions import RowNumber
from ormis.planning.columns import needed
from ormis.planning.correlation import correlation_of
from ormis.planning.scopes import scope_of
from ormis.planning.subquery_cells import SubqueryCell


class Person(ormis.Model):
    name: str
    age: int = 0

    class Meta:
        key = "subqueries_person"


class Choice(ormis.Model):
    author: ForeignKey[Person | None]
    text: str = ""
    votes: int = Field(default=0, index=True)
    listed: date | None = None

    class Meta:
        key = "subqueries_choice"


class Vote(ormis.Model):
    choice: ForeignKey[Choice]
    n: int = 0
    weight: float | None = None
    voter: str = ""

    class Meta:
        key = "subqueries_vote"


MINE = Vote.objects.filter(choice=OuterRef("pk"))
BEST = Subquery(MINE.order_by("-n").values("n")[:1])


@pytest.fixture(autouse=True)
def votes(db: ormis.Database) -> ormis.Database:
    """Two people with three choices, of which the first two have votes: 1, 5, 3 and 4, 2."""
    ann, bob = (Person(name=name, age=age).save() for name, age in (("ann", 3), ("bob", 5)))
    made = [
        Choice(author=author, text=text, votes=votes, listed=date(2020 + votes, 1, 1)).save()
        for author, text, votes in ((ann, "a", 3), (bob, "b", 4), (None, "c", 0))
    ]
    for at, (choice, n) in enumerate(((0, 1), (0, 5), (0, 3), (1, 4), (1, 2))):
        Vote(choice=made[choice], n=n, weight=None if at % 2 else n / 2, voter="ann bob".split()[at % 2]).save()
    return db


def texts(found: Any) -> str:
    """The texts of choices, joined."""
    return "".join(choice.text for choice in found.order_by("pk"))


def calls(found: Any) -> int:
    """How many calls a queryset takes."""
    with capture_calls() as made:
        list(found.all())
    return len(made)


# Where they stand ----------------------------------------------------------------------------------------------------


def test_annotations() -> None:
    """A subquery is the value of the first row in its order, None where there is none; Exists is True or False."""
    found = Choice.objects.annotate(best=BEST, voted=Exists(MINE)).order_by("pk")
    assert [(choice.best, choice.voted) for choice in found] == [(5, True), (4, True), (None, False)]
    assert [*found.values("best", "voted")][2] == {"best": None, "voted": False}
    assert [*Choice.objects.values_list(BEST, flat=True)] == [5, 4, None]
    assert Choice.objects.values(x=Exists(MINE))[2] == {"x": False}


def test_conditions() -> None:
    """Exists stands in filter() and exclude() by itself and joined with Q, on either side, and negated."""
    there = Exists(MINE)
    assert texts(Choice.objects.filter(there)) == "ab"
    assert texts(Choice.objects.exclude(there)) == texts(Choice.objects.filter(~there)) == "c"
    assert texts(Choice.objects.filter(there & Q(votes=3))) == texts(Choice.objects.filter(Q(votes=3) & there)) == "a"
    assert (
        texts(Choice.objects.filter(~there | Q(votes=3))) == texts(Choice.objects.filter(Q(votes=3) | ~there)) == "ac"
    )
    assert texts(Choice.objects.filter(there ^ Q(votes=3))) == texts(Choice.objects.filter(Q(votes=3) ^ there)) == "b"
    fives = Exists(MINE.filter(n=5))
    assert texts(Choice.objects.filter(there & ~fives)) == "b"
    assert texts(Choice.objects.filter(there | fives)) == "ab"
    assert texts(Choice.objects.filter(~(there & fives))) == "bc"
    assert Choice.objects.filter(there).count() == 2
    assert Choice.objects.filter(fives).exists()
    assert Choice.objects.get(fives).text == "a"
    assert texts(Choice.objects.annotate(none=~there).filter(none=True)) == "c"


def test_right_sides() -> None:
    """A subquery stands on the right of any lookup: one value, or all values for `in`."""
    assert texts(Choice.objects.filter(votes__lt=BEST)) == "a"
    assert texts(Choice.objects.filter(votes=BEST)) == "b"
    assert texts(Choice.objects.filter(votes__in=MINE.values("n"))) == "ab"
    assert texts(Choice.objects.filter(votes__in=Subquery(MINE.filter(n__lt=4).values("n")))) == "a"
    assert texts(Choice.objects.exclude(votes__in=MINE.filter(n__lt=4).values("n"))) == "bc"
    assert texts(Choice.objects.filter(votes__range=(Subquery(MINE.order_by("n").values("n")[:1]), BEST))) == "ab"
    assert texts(Choice.objects.filter(votes__in=[BEST, 0])) == "bc"
    assert texts(Choice.objects.filter(votes__gte=BEST - 1)) == "b"
    first = Vote.objects.order_by("n").values("n")
    assert texts(Choice.objects.filter(votes__gt=Subquery(first[2:3]))) == "b"
    assert texts(Choice.objects.filter(votes=Subquery(first[2:3]))) == "a"
    assert texts(Choice.objects.filter(votes__in=Subquery(first))) == "ab"
    assert texts(Choice.objects.filter(votes__lt=Subquery(first.filter(n=99)))) == ""


def test_references() -> None:
    """OuterRef names fields, annotations, parts of dates and paths to one object, with any lookup and in arithmetic."""
    voters = Vote.objects.filter(voter=OuterRef("author__name"), choice=OuterRef("pk"))
    assert texts(Choice.objects.filter(Exists(voters))) == "ab"
    assert texts(Choice.objects.filter(Exists(voters.filter(n=2)))) == ""
    assert texts(Choice.objects.filter(Exists(MINE.filter(n__gt=OuterRef("votes") + 1)))) == "a"
    assert texts(Choice.objects.filter(Exists(MINE.exclude(n__lte=OuterRef("votes"))))) == "a"
    assert texts(Choice.objects.filter(Exists(MINE.filter(Q(n=OuterRef("votes")) | Q(n=2, weight=1))))) == "ab"
    starts = Vote.objects.filter(voter__startswith=OuterRef("text"))
    assert texts(Choice.objects.filter(Exists(starts))) == "ab"
    twice = Choice.objects.annotate(half=F("votes") / 2)
    assert texts(twice.filter(Exists(MINE.filter(weight=OuterRef("half"))))) == "a"
    year = Choice.objects.filter(Exists(Vote.objects.filter(n=OuterRef("listed__year") - 2020)))
    assert texts(year) == "ab"
    counted = Choice.objects.annotate(c=Count("vote"))
    assert texts(counted.filter(Exists(Vote.objects.filter(n=OuterRef("c"))))) == "ab"


def test_references_beyond_conditions() -> None:
    """OuterRef stands in annotations and orders of the subquery too."""
    far = MINE.annotate(far=F("n") - OuterRef("votes")).order_by("far").values("far")[:1]
    assert [*Choice.objects.order_by("pk").values_list(Subquery(far), flat=True)] == [-2, -2, None]
    near = MINE.order_by((F("n") - OuterRef("votes")).desc()).values("n")[1:2]
    assert [*Choice.objects.order_by("pk").values_list(Subquery(near), flat=True)] == [3, 2, None]


def test_nesting() -> None:
    """An OuterRef of an OuterRef names a field of the query outside of the one right outside."""
    votes = Vote.objects.filter(choice=OuterRef("pk"), n=OuterRef(OuterRef("age")))
    found = Person.objects.filter(Exists(Choice.objects.filter(Exists(votes))))
    assert [person.name for person in found] == ["ann", "bob"]
    own = Choice.objects.filter(Exists(votes), author=OuterRef("pk"))
    assert [person.name for person in Person.objects.filter(Exists(own))] == ["ann"]
    best = Choice.objects.filter(author=OuterRef("pk")).values(b=BEST)[:1]
    assert [*Person.objects.order_by("pk").values_list(Subquery(best), flat=True)] == [5, 4]


def test_groups() -> None:
    """A subquery may group its rows; subqueries stand among groups, in their conditions and in aggregates."""
    total = Subquery(MINE.values("choice").annotate(s=Sum("n")).values("s"))
    assert [*Choice.objects.order_by("pk").values_list(total, flat=True)] == [9, 6, None]
    assert Choice.objects.aggregate(n=Sum(BEST), c=Count("pk", filter=Exists(MINE))) == {"n": 9, "c": 2}
    groups = Choice.objects.values(there=Exists(MINE)).annotate(n=Count("pk"), m=Max(BEST)).order_by("there")
    assert [*groups] == [{"there": False, "n": 1, "m": None}, {"there": True, "n": 2, "m": 5}]
    by = Choice.objects.values("author").annotate(m=Max("votes")).order_by("author")
    assert [row["m"] for row in by.filter(Exists(Vote.objects.filter(n=OuterRef("m"))))] == [3, 4]
    assert [row["e"] for row in by.annotate(e=Exists(Vote.objects.filter(n=OuterRef("author"))))] == [False, True, True]
    assert (
        Person.objects.annotate(n=Count("choice", filter=Exists(Vote.objects.filter(n=OuterRef("age"))))).get(pk=1).n
        == 1
    )


def test_cases() -> None:
    """Exists is a condition of When(); Subquery, and an OuterRef in a subquery, are values of Case()."""
    case = Case(When(Exists(MINE.filter(n=5)), then=BEST), When(~Exists(MINE), then=-1), default="votes")
    assert [*Choice.objects.order_by("pk").values_list(case, flat=True)] == [5, 4, -1]
    assert Choice.objects.aggregate(n=Sum(case)) == {"n": 8}
    inner = Case(When(n__gt=OuterRef("votes"), then=OuterRef("votes")), default=0)
    least = MINE.annotate(x=inner).order_by("-x").values("x")[:1]
    assert [*Choice.objects.order_by("pk").values_list(Subquery(least), flat=True)] == [3, 0, None]
    assert Choice.objects.update(votes=case) == 3
    assert [*Choice.objects.order_by("pk").values_list("votes", flat=True)] == [5, 4, -1]


def test_orders_and_other_queries() -> None:
    """Subqueries are ordered by, iterated, kept in unions, in prefetches, in querysets within querysets."""
    assert [c.text for c in Choice.objects.order_by(BEST.desc(nulls_last=True))] == ["a", "b", "c"]
    assert [c.text for c in Choice.objects.alias(b=BEST).order_by("b")] == ["c", "b", "a"]
    found = Choice.objects.filter(Exists(MINE))
    assert [c.text for c in found.iterator(chunk_size=1)] == ["a", "b"]
    assert [c.text for c in found.order_by("pk")[1:2]] == ["b"]
    assert len(found.union(Choice.objects.filter(text="c"))) == 3
    assert Vote.objects.filter(choice__in=found.filter(votes=4)).count() == 2
    assert texts(found | Choice.objects.filter(text="c")) == "abc"
    assert Person.objects.filter(choice__in=found).count() == 2


def test_writes() -> None:
    """update() and delete() change the objects that a subquery tells; a value may be one, evaluated before."""
    assert Choice.objects.filter(Exists(MINE)).update(votes=BEST) == 2
    assert [*Choice.objects.order_by("pk").values_list("votes", flat=True)] == [5, 4, 0]
    assert Choice.objects.filter(Exists(MINE)).update(votes=BEST * 2 + F("votes"), text="x") == 2
    assert [*Choice.objects.order_by("pk").values_list("votes", "text")] == [(15, "x"), (12, "x"), (0, "c")]
    with pytest.raises(IntegrityError, match="votes"):
        Choice.objects.update(votes=BEST)
    assert Choice.objects.filter(~Exists(MINE)).delete()[0] == 1
    assert Choice.objects.count() == 2


def test_async(db: ormis.Database) -> None:
    """The async twins do the same."""

    async def run() -> tuple[Any, ...]:
        found = Choice.objects.filter(Exists(MINE))
        best = [choice.best async for choice in Choice.objects.annotate(best=BEST).order_by("pk")]
        changed = await found.aupdate(votes=BEST)
        number = await found.acount()
        await db.aclose()
        return best, number, changed

    assert asyncio.run(run()) == ([5, 4, None], 2, 2)


def test_blocks() -> None:
    """In a block the reads see what was there before."""
    with atomic():
        Vote(choice=Choice.objects.get(text="c"), n=7).save()
        assert texts(Choice.objects.filter(Exists(MINE))) == "ab"
    assert texts(Choice.objects.filter(Exists(MINE))) == "abc"


def test_pickles() -> None:
    """A queryset with subqueries is pickled as what it looks for."""
    found = Choice.objects.filter(Exists(MINE)).annotate(best=BEST).order_by("pk")
    again = pickle.loads(pickle.dumps(found))
    assert [choice.best for choice in again] == [choice.best for choice in found] == [5, 4]


# Ways ----------------------------------------------------------------------------------------------------------------

ANY = Vote.objects.all()


@pytest.mark.parametrize(
    ("value", "way", "number"),
    [
        (Exists(MINE), "joined by choice", 2),
        (BEST, "joined by choice", 2),
        (Exists(ANY.filter(choice__author=OuterRef("author"), n=OuterRef("votes"))), "joined by choice__author, n", 2),
        (Exists(MINE.filter(n__gt=OuterRef("votes"))), "joined by choice with further tests in Python", 2),
        (Subquery(MINE.values("choice").annotate(s=Sum("n")).values("s")), "joined by choice", 2),
        (Exists(MINE.filter(n=OuterRef("votes") + 1)), "joined by choice, n", 2),
        (Exists(MINE.annotate(same=Sum("choice__vote__n")).filter(same__gt=2)), "joined by choice", 3),
        (Exists(ANY.filter(n__gt=OuterRef("votes"))), "its rows beside each row in Python", 2),
        (Exists(ANY.exclude(choice=OuterRef("pk"))), "its rows beside each row in Python", 2),
        (Exists(ANY.filter(voter__istartswith=OuterRef("text"))), "its rows beside each row in Python", 2),
        (Exists(ANY.filter(n=5)), "once", 2),
        (Exists(MINE.annotate(x=OuterRef("votes") + F("n")).filter(x=6)), "for each value outside", 4),
        (Exists(Person.objects.filter(choice__vote__n=OuterRef("votes"))), "for each value outside", 4),
    ],
)
def test_ways(value: Any, way: str, number: int) -> None:
    """One query for all rows outside wherever they can be told apart; the cell of a subquery says how."""
    found = Choice.objects.annotate(x=value).order_by("pk")
    (cell,) = [one for one in needed([scope_of(found.query).annotations["x"]]).derived if isinstance(one, SubqueryCell)]
    assert str(correlation_of(cell)) == way
    assert calls(found) == number


def test_batches(votes: ormis.Database) -> None:
    """An `in` has no more values than a call may carry: one query for so many rows outside."""
    for at in range(20):
        Choice(text=f"more {at}").save()
    votes.limits = replace(votes.limits, values=10)
    assert calls(Choice.objects.annotate(x=BEST)) == 1 + 3


def test_rows_are_told_apart_by_values_of_one_type() -> None:
    """Values of two types are compared as Python compares them: 3 is 3.0, and a text is no number."""
    assert texts(Choice.objects.filter(Exists(Vote.objects.filter(weight=OuterRef("votes"))))) == ""
    Vote(choice=Choice.objects.get(text="c"), n=0, weight=3.0).save()
    assert texts(Choice.objects.filter(Exists(Vote.objects.filter(weight=OuterRef("votes"))))) == "a"
    assert texts(Choice.objects.filter(Exists(Vote.objects.filter(n__gt=OuterRef("votes") / 2)))) == "abc"


def test_absent_values() -> None:
    """An absent value outside is equal to nothing: not to an absent one, and exclude() keeps all."""
    Vote.objects.update(weight=None)
    people = Choice.objects.filter(author=None)
    assert texts(people.filter(Exists(Choice.objects.filter(author=OuterRef("author"))))) == ""
    assert texts(people.filter(Exists(Choice.objects.filter(votes__gt=OuterRef("author"))))) == ""
    assert texts(people.filter(Exists(Choice.objects.exclude(author=OuterRef("author"))))) == "c"


# Types and refusals --------------------------------------------------------------------------------------------------


def test_types() -> None:
    """The value of a subquery has the type of its field, of its reference, or the one that is said."""
    assert Choice.objects.alias(b=BEST).aggregate(a=Avg("b")) == {"a": 4.5}
    with pytest.raises(FieldError, match="text"):
        Choice.objects.aggregate(a=Avg(Subquery(MINE.values("voter")[:1])))
    with pytest.raises(FieldError, match="text"):
        Choice.objects.aggregate(a=Avg(Subquery(MINE.values(x=OuterRef("text"))[:1])))
    with pytest.raises(FieldError, match="text"):
        Choice.objects.aggregate(a=Avg(Subquery(MINE.values("n")[:1], output_field=str)))


@pytest.mark.parametrize(
    "used",
    [
        lambda: list(MINE),
        lambda: MINE.count(),
        lambda: MINE.none().count(),
        lambda: MINE.exists(),
        lambda: list(Choice.objects.annotate(x=OuterRef("pk"))),
        lambda: list(Choice.objects.order_by(OuterRef("pk"))),
        lambda: list(Vote.objects.values("choice").annotate(m=Count("pk") + OuterRef("pk"))),
        lambda: Choice.objects.aggregate(x=Sum(OuterRef("votes"))),
        lambda: Choice.objects.update(votes=OuterRef("votes")),
        lambda: list(Choice.objects.filter(Exists(Vote.objects.filter(n=OuterRef(OuterRef("votes")))))),
    ],
)
def test_references_outside_of_a_subquery(used: Any) -> None:
    """A queryset with an OuterRef can't be used by itself, nor one with an OuterRef too deep."""
    with pytest.raises(FieldError, match=r"OuterRef\(.*\) is used outside of a subquery: give the queryset"):
        used()


@pytest.mark.parametrize(
    ("used", "message"),
    [
        (
            lambda: Choice.objects.filter(Exists(Vote.objects.filter(n=OuterRef("vote_s")))),
            "no field or relation 'vote_s'",
        ),
        (lambda: Choice.objects.annotate(x=Exists(Vote.objects.filter(n=OuterRef("pkk")))), "did you mean 'pk'"),
        (lambda: Choice.objects.annotate(x=Exists(Vote.objects.filter(n=OuterRef("vote")))), "leads to many objects"),
        (lambda: Subquery(Vote.objects.values("n", "weight")), "has 2 values: give it values"),
        (lambda: Choice.objects.annotate(x=Subquery(Vote.objects.all())), "finds objects, and a value is needed"),
        (lambda: Exists(Vote.objects.union(Vote.objects.all())), r"Exists\(\) takes no union"),
        (lambda: Subquery(Vote.objects.values("n").difference(Vote.objects.values("n"))), "takes no difference"),
        (lambda: OuterRef(3), "takes the name of a field"),
        (lambda: list(Choice.objects.annotate(x=Subquery(MINE.values("n")))), r"more than one row .* \[:1\]"),
        (lambda: list(Choice.objects.annotate(x=Subquery(ANY.values("n")))), r"more than one row .* \[:1\]"),
        (
            lambda: Person.objects.annotate(
                n=Count("choice", filter=Exists(Vote.objects.filter(n=OuterRef("choice"))))
            ),
            "refers to 'choice' of related objects",
        ),
    ],
)
def test_refusals(used: Any, message: str) -> None:
    """Each error names the subquery, or the field, and says what to write."""
    with pytest.raises(FieldError, match=message):
        used()


@pytest.mark.parametrize("given", [3, "n", Vote, None, F("n")])
def test_what_is_no_queryset(given: Any) -> None:
    """Subquery() and Exists() take a queryset, or a manager for all of its objects."""
    for kind in (Subquery, Exists):
        with pytest.raises(TypeError, match="give a queryset"):
            kind(given)
    assert texts(Choice.objects.filter(Exists(Vote.objects))) == "abc"


def test_explain_names_the_way_of_a_subquery(db: ormis.Database) -> None:
    """explain() says whether a subquery is joined with the rows outside, or runs once, and names a window."""
    model = Person
    joined = model.objects.annotate(found=Exists(model.objects.filter(pk=OuterRef("pk")))).explain()
    assert "joined by pk" in joined
    once = model.objects.annotate(found=Exists(model.objects.filter(pk=1))).explain()
    assert ") once" in once
    numbered = model.objects.annotate(at=ormis.Window(RowNumber(), order_by="pk")).explain()
    assert "in Python, over all rows" in numbered
