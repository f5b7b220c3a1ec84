"""How far one operation walks through ormis: `python -m benchmarks.walks`.

Counted are calls of ormis's own Python functions, the distinct functions and modules, and the moves from one module to
another between two calls. The counts do not depend on the machine.
"""

import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import ormis
from ormis import CASCADE, Field, ForeignKey, Q

PACKAGE = str(Path(ormis.__file__).parent)
WARM_UP = 3


class Question(ormis.Model):
    """The object that is saved, found and deleted."""

    text: str
    votes: int = Field(default=0, index=True)

    class Meta:
        key = "walked_question"


class Choice(ormis.Model):
    """Refers to a question."""

    text: str
    question: ForeignKey[Question] = ForeignKey(related_name="choices", on_delete=CASCADE)

    class Meta:
        key = "walked_choice"


class Answer(ormis.Model):
    """Refers to a choice: the deletion of a question reaches it over two models."""

    choice: ForeignKey[Choice] = ForeignKey(related_name="answers", on_delete=CASCADE)

    class Meta:
        key = "walked_answer"


def walked(work: Callable[[], Any]) -> list[CodeType]:
    """The functions of ormis that the work calls, in their order, generators once."""
    codes: list[CodeType] = []
    generators: set[FrameType] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(PACKAGE):
            return
        if frame not in generators:  # a generator is called again for each of its replies
            generators.add(frame)
            codes.append(code)

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return codes


def counts(codes: list[CodeType]) -> tuple[int, int, int, int]:
    """Calls, distinct functions, distinct modules, moves between modules."""
    files = [code.co_filename for code in codes]
    moves = sum(one != following for one, following in pairwise(files))
    return len(codes), len(set(codes)), len(set(files)), moves


def walks() -> dict[str, Callable[[], Callable[[], Any]]]:
    """By name, how the work is made ready; each returns the work itself."""

    def stored() -> Question:
        return Question(text="?").save()

    def save() -> Callable[[], Any]:
        question = stored()
        question.votes = 77
        question.save()

        def work() -> None:
            question.votes = 78
            question.save()

        return work

    def delete() -> Callable[[], Any]:
        question = stored()
        choice = Choice(text="!", question=question).save()
        Answer(choice=choice).save()
        return question.delete

    return {
        "save, one field": save,
        "save, new": lambda: lambda: Question(text="?").save(),
        "filter": lambda: lambda: list(Question.objects.filter(votes__gte=4)[:10]),
        "filter with |": lambda: lambda: list(Question.objects.filter(Q(votes__gte=4) | Q(text="?"))[:10]),
        "delete, cascade over two models": delete,
    }


def main() -> None:
    """Prints the counts, with the first run of the filter, which makes its plan, by itself."""
    with ormis.connect("embedded://"):
        Question(text="?", votes=5).save()
        print(f"{'':34}{'calls':>9}{'functions':>11}{'modules':>9}{'moves':>7}")
        for name, prepare in walks().items():
            if name == "filter":
                _print(f"{name}, first time", counts(walked(prepare())))
            for _ in range(WARM_UP):
                prepare()()
            _print(f"{name}, plan cached" if name == "filter" else name, counts(walked(prepare())))


def _print(name: str, found: tuple[int, int, int, int]) -> None:
    calls, functions, modules, moves = found
    print(f"{name:34}{calls:9}{functions:11}{modules:9}{moves:7}")


if __name__ == "__main__":
    main()
