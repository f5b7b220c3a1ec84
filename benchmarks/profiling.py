"""Where the ormis side of a line spends its time: in Python by cProfile, on the server by its own statistics."""

import pstats
from cProfile import Profile
from typing import Any

from .harness import Line

SHOWN = 45


def profile(line: Line) -> None:
    """Prints the functions with the most time of their own, then what the server spent on each command."""
    line.prepare()
    line.ormis()()
    profiler = Profile()
    client = line.place.client
    commands: dict[str, tuple[int, float]] = {}
    for _ in range(line.rounds):
        work = line.ormis()
        client.config_resetstat()
        profiler.runcall(work)
        _add(commands, client.info("commandstats"))
    pstats.Stats(profiler).sort_stats("tottime").print_stats(SHOWN)
    total = line.rounds * line.operations
    print(f"{total} operations; the profiler itself slows down what calls many small functions\n")
    for name, (calls, spent) in sorted(commands.items(), key=lambda item: -item[1][1]):
        print(f"server: {spent / total:8.2f} us per operation, {calls / total:6.2f} calls  {name}")


def _add(commands: dict[str, tuple[int, float]], stats: Any) -> None:
    """Counts what the server did; commands that a script calls are in the time of the script too."""
    for name, found in stats.items():
        calls, spent = commands.get(name, (0, 0.0))
        commands[name] = calls + found["calls"], spent + found["usec"]
