"""What a type checker sees of querysets and managers: pairs of an expression and its type."""

from collections.abc import AsyncIterator, Iterator
from typing import Any, assert_type

import ormis
from ormis import F, Field, ForeignKey, Prefetch, Q


class Question(ormis.Model):
    """A model."""

    question_text: str = Field(max_length=200)
    rank: int | None = Field(default=None, index=True)


class Choice(ormis.Model):
    """A model with a relation."""

    question: ForeignKey[Question] = ForeignKey(related_name="choices")
    votes: int = 0


def chaining() -> None:
    """Checked by type checkers, never run."""
    found = Question.objects.filter(Q(rank=1) | ~Q(rank=2), rank__gte=1).exclude(rank=3)
    assert_type(found, ormis.QuerySet[Question])
    assert_type(found.order_by("-rank", F("rank").desc(nulls_last=True)).reverse(), ormis.QuerySet[Question])
    assert_type(found.all().none().distinct(), ormis.QuerySet[Question])
    assert_type(found.only("rank").defer("rank"), ormis.QuerySet[Question])
    assert_type(Choice.objects.select_related("question"), ormis.QuerySet[Choice])
    assert_type(
        Question.objects.prefetch_related("choices", Prefetch("choices", to_attr="own")), ormis.QuerySet[Question]
    )
    assert_type(found | found, ormis.QuerySet[Question])
    assert_type(found & found, ormis.QuerySet[Question])
    assert_type(found.union(found).intersection(found).difference(found), ormis.QuerySet[Question])


def evaluation() -> None:
    """Checked by type checkers, never run."""
    found = Question.objects.filter(rank=1)
    assert_type(found.first(), Question | None)
    assert_type(found.last(), Question | None)
    assert_type(Question.objects.filter(rank=1).first(), Question | None)
    assert_type(Question.objects.get(rank=1), Question)
    assert_type(found.earliest("rank"), Question)
    assert_type(found.latest(), Question)
    assert_type(found[0], Question)
    assert_type(list(found), list[Question])
    assert_type([question.rank for question in found], list[int | None])
    assert_type(found.iterator(), Iterator[Question])
    assert_type(found.in_bulk([1]), dict[Any, Question])
    assert_type(found.count(), int)
    assert_type(found.exists(), bool)
    assert_type(found.contains(found[0]), bool)
    assert_type(found.rank(found[0]), int)
    assert_type(found.explain(), str)


async def slices() -> None:
    """Checked by type checkers, never run: a slice is a queryset, one with a step is a list."""
    found = Question.objects.order_by("rank")
    start = 20
    assert_type(found[:10], ormis.QuerySet[Question])
    assert_type(found[start : start + 10], ormis.QuerySet[Question])
    assert_type(Question.objects.all()[5:].first(), Question | None)
    assert_type(found[:10].explain(), str)
    assert_type(found[:10].count(), int)
    assert_type([question.rank for question in found[:10]], list[int | None])
    assert_type([question.rank async for question in found[:10]], list[int | None])
    assert_type(await found[:10], list[Question])
    assert_type(found.values_list("rank", "id")[:3], ormis.QuerySet[tuple[Any, ...]])
    assert_type(found[::2], list[Question])
    assert_type(found[0], Question)


def shapes() -> None:
    """Checked by type checkers, never run."""
    assert_type(Question.objects.values("rank"), ormis.QuerySet[dict[str, Any]])
    assert_type(Question.objects.values("rank").first(), dict[str, Any] | None)
    assert_type([row["rank"] for row in Question.objects.values()], list[Any])
    assert_type(Question.objects.values_list("rank"), ormis.QuerySet[tuple[Any, ...]])
    assert_type(list(Question.objects.values_list("rank", flat=True)), list[Any])
    assert_type(Question.objects.values_list("rank", named=True), ormis.QuerySet[Any])
    for rank, text in Question.objects.values_list("rank", "question_text"):
        print(rank, text)
    print([row[0] for row in Question.objects.values_list("rank")])


async def twins() -> None:
    """Checked by type checkers, never run."""
    found = Question.objects.filter(rank=1)
    assert_type(await found, list[Question])
    assert_type([question async for question in found], list[Question])
    assert_type(await found.afirst(), Question | None)
    assert_type(await found.aget(rank=1), Question)
    assert_type(await found.acount(), int)
    assert_type(await found.ain_bulk(), dict[Any, Question])
    assert_type(found.aiterator(), AsyncIterator[Question])
    assert_type(await found.aclaim(3, rank=2), list[Question])
    assert_type(await found.apage(3), ormis.Page[Question])
    assert_type(await found.aaround(Question(question_text=""), 2), list[Question])
    assert_type([page async for page in found.pages(3)], list[ormis.Page[Question]])


def claims_and_pages() -> None:
    """Checked by type checkers, never run."""
    found = Question.objects.order_by("rank")
    assert_type(found.filter(rank=1).claim(3, rank=2), list[Question])
    page = found.page(3, after="token")
    assert_type(page.objects, list[Question])
    assert_type((page.next, page.previous), tuple[str | None, str | None])
    assert_type(list(page), list[Question])
    assert_type(list(found.values("rank").pages(3)), list[ormis.Page[dict[str, Any]]])
    assert_type(found.around(page.objects[0], 2), list[Question])


def fetch_modes() -> None:
    """Checked by type checkers, never run."""
    assert_type(Question.objects.fetch_mode(ormis.FETCH_PEERS), ormis.QuerySet[Question])
    assert_type(Question.objects.filter(rank=1).fetch_mode(ormis.RAISE).first(), Question | None)
