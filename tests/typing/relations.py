"""What a type checker sees of relations, without a plugin: pairs of an expression and its type."""

from typing import assert_type

import ormis
from ormis import SET_NULL, ForeignKey, ManyToMany, OneToOne, QuerySet, Related


class Tag(ormis.Model):
    """What choices are linked to."""

    name: str = ""
    choices: Related["Choice"] = Related()


class Question(ormis.Model):
    """What choices refer to."""

    choices: Related["Choice"] = Related()


class Choice(ormis.Model):
    """A model with every kind of relation."""

    question: ForeignKey[Question | None] = ForeignKey(on_delete=SET_NULL, related_name="choices")
    cover: OneToOne["Cover"] = OneToOne()
    tags: ManyToMany[Tag] = ManyToMany(related_name="choices")
    votes: int = 0


class Cover(ormis.Model):
    """What one choice refers to."""

    color: str = ""


async def check(question: Question, choice: Choice, tag: Tag) -> None:
    """Checked by type checkers, never run."""
    assert_type(choice.question, Question | None)
    assert_type(choice.cover.color, str)
    assert_type(question.choices.all(), QuerySet[Choice])
    assert_type(question.choices.filter(votes=1).first(), Choice | None)
    assert_type(question.choices.create(votes=1).votes, int)
    assert_type(question.choices.count(), int)
    assert_type([c.votes for c in tag.choices.all()], list[int])
    assert_type(choice.tags.get(name="x"), Tag)
    assert_type(choice.tags.exclude(name="x"), QuerySet[Tag])
    assert_type(choice.tags.create(name="x", through_defaults={}), Tag)
    assert_type(choice.tags.get_or_create(name="x"), tuple[Tag, bool])
    assert_type(await choice.tags.acreate(name="x"), Tag)
    assert_type([t.name async for t in choice.tags.all()], list[str])
    choice.tags.add(tag, 7)
    choice.tags.set([tag])
    question.choices.remove(choice)
    await question.choices.aclear()
