"""What a type checker sees of a model, without a plugin: pairs of an expression and its type."""

from typing import Any, assert_type

import ormis
from ormis import Field, ForeignKey, Related


class Question(ormis.Model):
    """A model."""

    question_text: str = Field(max_length=200)
    rank: int | None = Field(default=None, index=True)
    choices: Related["Choice"] = Related()


class Choice(ormis.Model):
    """A model with a relation."""

    question: ForeignKey[Question] = ForeignKey(related_name="choices")
    votes: int = 0


async def check(choice: Choice) -> None:
    """Checked by type checkers, never run."""
    assert_type(Question.get(1), Question)
    assert_type(Question.get(1).question_text, str)
    assert_type(Question.get(1).rank, int | None)
    assert_type(Question.get(1).id, int | Any | None)
    assert_type((await Question.aget(1)).question_text, str)
    assert_type(Question.get(1, fresh=True), Question)
    assert_type(await Question.aget(1, fresh=True), Question)
    assert_type(ormis.connect("embedded://", cache=10, cache_bound=0.5).cache.stats(), ormis.CacheStats)
    assert_type(Question.list(), list[Question])
    assert_type(Question(question_text="x").save(), Question)
    assert_type(Question.objects.filter(rank=1), ormis.QuerySet[Question])
    assert_type(Question.objects.first(), Question | None)
    assert_type(Question.objects.all()[0], Question)
    assert_type([q.question_text for q in Question.objects.all()], list[str])
    assert_type([q async for q in Question.objects.exclude(rank=1)], list[Question])
    assert_type(choice.question, Question)
    assert_type(choice.question.question_text, str)
    assert_type(choice.delete(), tuple[int, dict[str, int]])
    assert_type(Choice(question=choice.question), Choice)
    assert_type(Choice(), Choice)
