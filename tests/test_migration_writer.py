"""Files of migrations: readable, formatted as ruff formats, read again as what they were written from."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laws import examples
from migration_states import states
from ormis import MigrationError, migrations
from ormis.migrations import (
    AddField,
    AlterRelation,
    ConstraintState,
    CreateModel,
    FieldState,
    IndexState,
    LinkState,
    ModelState,
    RelationState,
    RenameField,
    RunPython,
)
from ormis.migrations.autodetector import detect
from ormis.migrations.migration import Name
from ormis.migrations.operations import Operation
from ormis.migrations.questioner import Asking
from ormis.migrations.source import quoted
from ormis.migrations.state import ProjectState
from ormis.migrations.writer import file_text, name_of

PK = FieldState("id", "int", primary_key=True)


def filled(record: Any) -> str:
    return "x"


def executed(text: str) -> Any:
    namespace: dict[str, Any] = {}
    exec(compile(text, "<migration>", "exec"), namespace)
    return namespace["Migration"]


def formatted(text: str) -> str:
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--stdin-filename", "x.py", "-"]
    return subprocess.run(command, input=text.encode(), capture_output=True, check=True).stdout.decode()


def operations_between(old: ProjectState, new: ProjectState) -> list[Operation]:
    return detect(old, new, Asking(lambda question: "renamed" in question, lambda question: "1"))


@settings(max_examples=examples(60), deadline=None)
@given(new=states())
def test_a_file_is_read_as_what_it_was_written_from(new: ProjectState) -> None:
    """Law: written, executed, read, the operations are the same."""
    operations = detect(ProjectState(), new)
    found = executed(file_text([Name("polls", "0001_initial")], operations))
    assert [*found.operations] == operations
    assert [repr(one) for one in found.operations] == [repr(one) for one in operations], "types of defaults as well"
    assert [*found.dependencies] == [("polls", "0001_initial")]


@settings(max_examples=examples(8), deadline=None)
@given(states())
def test_a_file_is_formatted_as_ruff_formats(new: ProjectState) -> None:
    """Law: `ruff format` changes nothing of it."""
    text = file_text([Name("polls", "0001_initial")], detect(ProjectState(), new))
    assert formatted(text) == text


@settings(max_examples=examples(100), deadline=None)
@given(st.text() | st.binary())
def test_texts_are_written_in_double_quotes(value: str | bytes) -> None:
    """Law: what is quoted is evaluated to itself."""
    assert eval(quoted(value)) == value


@pytest.mark.parametrize("value", [1e16, -1e300, 1e-5, 0.1, float("inf"), float("-inf")])
def test_numbers_are_read_again(value: float) -> None:
    """A default of any number is written as ruff writes it, and read as the same."""
    model = ModelState("item", "Item", (PK, FieldState("weight", "float", default=value)))
    text = file_text([], [CreateModel(model)])
    assert formatted(text) == text
    assert executed(text).operations == [CreateModel(model)]


def test_texts_are_quoted_as_ruff_quotes() -> None:
    """Double quotes, unless single ones save backslashes."""
    values = ["a", "it's", 'say "hi"', "'\"", "''\"", '\'""', "\\'", b"it's", b'"', "\x00é\n"]
    text = "".join(f"x = {quoted(value)}\n" for value in values)
    assert formatted(text) == text


def test_a_small_migration_reads_as_one_would_write_it() -> None:
    """Only arguments that are no defaults; a function by its name."""
    operations: list[Any] = [
        RenameField("question", "text", "question_text"),
        AddField("question", FieldState("votes", "int", default=0)),
        AddField("question", FieldState("author", "str"), fill=filled),
        AlterRelation("choice", None, RelationState("question", "question_id", "question", "set_null")),
    ]
    text = file_text([Name("polls", "0001_initial")], operations)
    assert (
        text
        == f"""\
import {__name__}

from ormis import migrations


class Migration(migrations.Migration):
    dependencies = [("polls", "0001_initial")]
    operations = [
        migrations.RenameField("question", "text", "question_text"),
        migrations.AddField(
            "question", migrations.FieldState("votes", "int", default=0)
        ),
        migrations.AddField(
            "question",
            migrations.FieldState("author", "str"),
            fill={__name__}.filled,
        ),
        migrations.AlterRelation(
            "choice",
            None,
            migrations.RelationState(
                "question", "question_id", "question", "set_null"
            ),
        ),
    ]
"""
        or formatted(text) == text
    )


def test_functions_need_a_name() -> None:
    """A lambda and a function within another one have no source."""
    for function in (lambda record: 1, lambda: None):
        with pytest.raises(MigrationError, match="can't be written into a migration: name a function of a module"):
            file_text([], [AddField("question", FieldState("x", "int"), fill=function)])
    text = file_text([], [RunPython("question", print)])
    assert executed(text).operations == [RunPython("question", print)]
    with pytest.raises(MigrationError, match="can't be written"):
        file_text([], [AddField("question", FieldState("x", "int", default=object()))])  # type: ignore[arg-type]


def test_an_empty_migration_shows_what_to_write() -> None:
    """It is a migration without operations, formatted as well."""
    text = file_text([Name("polls", f"000{n}_{'x' * 20}") for n in range(3)], [])
    assert "# migrations.RunPython(" in text
    assert executed(text).operations == []
    assert len(executed(text).dependencies) == 3
    assert formatted(text) == text


def test_names_are_made_of_the_operations() -> None:
    """As in Django: the first one is initial, several are joined as far as they are short."""
    add = [AddField("shop:item", FieldState(name, "int")) for name in ("one", "two", "three", "four", "five")]
    assert name_of(add[:1], initial=True) == "initial"
    assert name_of(add[:1], initial=False) == "shop_item_one"
    assert name_of(add, initial=False) == "shop_item_one_shop_item_two_shop_item_three_and_more"
    assert name_of([RenameField("q", "a", "b")], initial=False) == "rename_a_q_b"
    assert name_of([AlterRelation("q", LinkState("t", "q", "+"), None)], initial=False) == "remove_q_t"
    assert name_of([], initial=False) == "empty"


def test_a_whole_model_is_readable() -> None:
    """Fields, indexes and constraints are lists; one field of an index is a text."""
    model = ModelState("q", "Q", [PK], [IndexState("id")], [ConstraintState(("id",))])
    text = file_text([], [CreateModel(replace(model, expires=True))])
    assert 'indexes=[migrations.IndexState("id")]' in text
    assert "expires=True" in text
    assert executed(text).operations == [CreateModel(replace(model, expires=True))]
    assert isinstance(migrations.Migration.operations, tuple)
    assert Path(__file__).exists()
