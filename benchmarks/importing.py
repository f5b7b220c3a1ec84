"""The start of a program: processes that import and end, by the time that they keep the processor busy."""

import os
import subprocess
import sys
from pathlib import Path

from .harness import Line, Target, Work

SOURCES = str(Path(__file__).parents[1] / "src")


class Import(Line):
    """`import ormis`, beside the import of its two large dependencies."""

    name = "import"
    title = "import ormis / import redis, pydantic"
    target = Target(1.25)
    hand_written = "import redis, pydantic"
    with_ormis = "import ormis"

    @property
    def operations(self) -> int:
        """A round is of one process."""
        return 1

    @staticmethod
    def clock() -> float:
        """The seconds of processor time of the processes that have ended."""
        times = os.times()
        return times.children_user + times.children_system

    def hand(self) -> Work:
        return lambda: run(self.hand_written)

    def ormis(self) -> Work:
        return lambda: run(self.with_ormis)

    def check(self) -> None:
        assert "ormis" in sys.modules  # nothing is stored, so there are no keys to compare


class FirstModel(Import):
    """What a program loads by the time that it has a model: nearly everything, on both sides."""

    name = "import-model"
    title = "a first model / redis and a first model of pydantic"
    target = None
    hand_written = "import redis, pydantic\nclass A(pydantic.BaseModel):\n    votes: int = pydantic.Field(default=0)"
    with_ormis = "import ormis\nclass A(ormis.Model):\n    votes: int = ormis.Field(default=0)"


def run(program: str) -> None:
    """Runs a program in a process of its own. Compiled modules are kept, as in an installation."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", program]
    subprocess.run(command, env={**environment, "PYTHONPATH": SOURCES}, check=True)


LINES: list[type[Line]] = [Import, FirstModel]
