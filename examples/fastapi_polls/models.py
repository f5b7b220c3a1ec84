"""What is stored."""

from datetime import datetime

import ormis
from ormis import CASCADE, Field, ForeignKey, Related, UniqueConstraint


class Question(ormis.Model):
    """A question that is asked."""

    text: str = Field(unique=True, min_length=3, max_length=200, examples=["Tea or coffee?"])
    published: datetime = Field(auto_now_add=True, index=True)
    choices: Related["Choice"] = Related()

    class Meta:
        ordering = ["-published", "-id"]


class Choice(ormis.Model):
    """One of the answers to a question."""

    question: ForeignKey[Question] = ForeignKey(on_delete=CASCADE, related_name="choices")
    text: str = Field(min_length=1, max_length=100, examples=["Tea"])
    votes: int = Field(default=0, index=True)

    class Meta:
        ordering = ["-votes", "id"]
        constraints = [UniqueConstraint("question", "text")]
