"""What a type checker sees of body() and view(), classes made at run time, to be subclassed; and of PageParams."""

from typing import assert_type

from pydantic import BaseModel

import ormis
from ormis import Field, Page
from ormis.contrib.fastapi import PageParams


class Question(ormis.Model):
    """A model."""

    text: str = Field(max_length=20)


class QuestionBody(ormis.body(Question, exclude=["id"])):  # type: ignore[misc]
    """A class to annotate with."""


class QuestionView(ormis.view(Question, related=[], include=["text"])):  # type: ignore[misc]
    """One with a field more, which checkers know."""

    votes: int = 0


def check(sent: QuestionBody, shown: QuestionView) -> None:
    """Checked by type checkers, never run."""
    assert_type(ormis.body(Question, partial=True), type[BaseModel])
    assert_type(ormis.view(Question), type[BaseModel])
    assert_type(shown.votes, int)
    question = Question(**sent.model_dump())
    for name, value in sent.model_dump(exclude_unset=True).items():
        setattr(question, name, value)
    print(QuestionView.model_validate(question))


async def pages(page: PageParams) -> None:
    """As `check`."""
    assert_type(page.page(Question.objects.order_by("text")), Page[Question])
    assert_type(await page.apage(Question.objects), Page[Question])
