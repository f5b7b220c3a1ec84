"""What a client sends and gets: parts of the models.

A body has no key, no time of publication and no number of votes, so that a client can't set them.
"""

import ormis

from .models import Choice, Question


class QuestionBody(ormis.body(Question)):  # type: ignore[misc]
    """A new question."""


class QuestionPatch(ormis.body(Question, partial=True)):  # type: ignore[misc]
    """What is to be changed of a question."""


class ChoiceBody(ormis.body(Choice, exclude=["question", "votes"])):  # type: ignore[misc]
    """A new choice of a question."""


class QuestionLine(ormis.view(Question)):  # type: ignore[misc]
    """A question in a list."""

    votes: int = 0


class ChoiceView(ormis.view(Choice)):  # type: ignore[misc]
    """A choice and its votes."""


class QuestionView(
    ormis.view(Question, related=["choices"], exclude=["choices__question_id"])  # type: ignore[misc]
):
    """A question with its choices, most votes first."""
