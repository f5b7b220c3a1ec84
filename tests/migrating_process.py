"""A process that migrates: `python migrating_process.py URL`; the plan of the tests that kill it."""

import sys
from typing import Any

import ormis
from migrating import created, plan, version
from ormis import Field
from ormis.migrations import executor
from ormis.migrations.operations import AddField, AddIndex, AlterField, RemoveField, RemoveIndex, RenameField, RunPython
from ormis.migrations.state import FieldState, IndexState

MODULE = "killed"
KEY = f"{MODULE}_item"


def old_version() -> Any:
    """The model before."""
    return version("Item", MODULE, text=(str, Field(index="sorted")), votes=(int, Field(index=True)), extra=(str, ""))


def new_version() -> Any:
    """The model behind all migrations."""
    return version(
        "Item",
        MODULE,
        label=(str, Field(index="sorted")),
        votes=(str, ...),
        rank=(int, Field(index=True)),
        length=(int, 0),
    )


def add_hundred(item: Any) -> None:
    """A change that shows if it is done twice."""
    item.rank += 100


def whole_plan() -> Any:
    """All operations on objects, one after another."""
    return plan(
        created(old_version()),
        [
            AddField(KEY, FieldState("rank", "int"), value=5),
            RunPython(KEY, add_hundred),
            AddIndex(KEY, IndexState("rank")),
        ],
        [RenameField(KEY, "text", "label"), RemoveField(KEY, "extra")],
        [
            AddField(KEY, FieldState("length", "int", 0), fill=lambda item: len(item.label)),
            RemoveIndex(KEY, IndexState("votes")),
            AlterField(KEY, FieldState("votes", "str")),
        ],
    )


if __name__ == "__main__":
    with ormis.connect(sys.argv[1], limits=ormis.Limits(migrated_objects=60, checked_objects=7)) as database:
        print("begin", flush=True)
        executor.execute(whole_plan(), database)
        print("end", flush=True)
