"""The polls: questions, choices that belong to a question or to none, and votes that are counted.

    make demo        or: python examples/polls.py

It runs on an embedded server with its data in a temporary directory, so nothing has to be installed or set up for it.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

import ormis
from ormis import SET_NULL, F, Field, ForeignKey, Related

VOTERS = 16
VOTES_EACH = 150

console = Console(highlight=False, soft_wrap=True)


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)


class Question(ormis.Model):
    """What is asked."""

    question_text: str = Field(max_length=200)
    published: datetime = Field(default_factory=now, index=True)
    choices: Related["Choice"] = Related()


class Choice(ormis.Model):
    """One of the answers to a question."""

    question: ForeignKey["Question | None"] = ForeignKey(on_delete=SET_NULL, related_name="choices")
    choice_text: str
    votes: int = Field(default=0, index=True)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Prints a heading, and after the step how many calls it took."""
    console.print(f"\n[bold]{title}[/bold]")
    with ormis.capture_calls() as calls:
        yield
    console.print(f"  [dim]{len(calls)} call{'' if len(calls) == 1 else 's'} to the server[/dim]")


def ask_questions() -> None:
    """Stores questions, lists them newest first, gets one by its id."""
    with step("Store three questions"):
        for text in ("Nike or Adidas?", "Tea or coffee?", "Tabs or spaces?"):
            question = Question(question_text=text).save()
            console.print(f"  {question.key}  {question.question_text}")
    with step("List them, newest first"):
        for question in Question.list():
            console.print(f"  {question.pk}  {question.question_text}")
    with step("Get the first one by its id"):
        console.print(f"  Question.get(1).question_text == {Question.get(1).question_text!r}")


def offer_choices() -> None:
    """Stores choices, associates them with a question and dissociates one again."""
    with step("Store four choices, of no question yet"):
        choices = [Choice(choice_text=text).save() for text in ("Nike", "Adidas", "Puma", "Coffee")]
        console.print(f"  {', '.join(choice.choice_text for choice in choices)}")
    question = Question.get(1)
    with step(f"Associate them with {question.question_text!r}"):
        question.choices.add(*choices)
    with step("Dissociate the one that is out of place"):
        question.choices.remove(choices[-1])
    with step("Retrieve all choices of the question"):
        for choice in question.choices.all():
            console.print(f"  {choice.pk}  {choice.choice_text}")


def vote(voter: int) -> int:
    """One voter, with a connection and objects of its own: votes in turn for one choice after another."""
    choices = list(Question.get(1).choices.all())
    for turn in range(VOTES_EACH):
        # Two voters in three follow the crowd, so that there is a winner.
        choice = choices[0] if (voter + turn) % 3 else choices[turn % len(choices)]
        choice.votes = F("votes") + 1
        choice.save()
    return VOTES_EACH


def count_votes() -> None:
    """Lets many voters vote at once; every vote is counted."""
    cast = 0
    console.print(f"\n[bold]{VOTERS} voters cast {VOTES_EACH} votes each, all at once[/bold]")
    with ThreadPoolExecutor(VOTERS) as voters:
        cast = sum(voters.map(vote, range(VOTERS)))
    counted = sum(choice.votes for choice in Question.get(1).choices.all())
    console.print(f"  {cast} votes cast, {counted} votes counted")
    assert counted == cast, "a vote was lost"


def show_tally() -> None:
    """The result, most votes first, walked down the index of votes."""
    question = Question.get(1)
    table = Table(title=question.question_text, title_justify="left")
    table.add_column("choice")
    table.add_column("votes", justify="right")
    with step("The tally"):
        for choice in question.choices.order_by("-votes"):
            table.add_row(choice.choice_text, str(choice.votes))
        console.print(table)


def show_keys(client: Any) -> None:
    """What is stored, as `redis-cli` shows it."""
    console.print("\n[bold]What redis-cli shows[/bold]")
    for key in sorted(client.keys("[cq]*")):
        kind = client.type(key)
        console.print(f"  [bold]{key}[/bold]  [dim]{kind}[/dim]")
        for line in content(client, key, kind):
            console.print(f"    {line}", markup=False)


def content(client: Any, key: str, kind: str) -> Iterator[str]:
    """The content of a key, in redis-cli's notation."""
    if kind == "string":
        yield f'"{client.get(key)}"'
    elif kind == "hash":
        for number, (name, text) in enumerate(client.hgetall(key).items()):
            yield f'{2 * number + 1}) "{name}"  {2 * number + 2}) "{text}"'
    elif kind == "set":
        for number, member in enumerate(sorted(client.smembers(key)), 1):
            yield f'{number}) "{member}"'
    else:
        for number, (member, score) in enumerate(client.zrange(key, 0, -1, withscores=True), 1):
            yield f'{number}) "{member}"  {score:.0f}'


def main() -> None:
    """The whole story on one embedded server."""
    with ormis.connect("embedded://?decode_responses=true") as db:
        ask_questions()
        offer_choices()
        count_votes()
        show_tally()
        show_keys(db.client)


if __name__ == "__main__":
    main()
