"""makemigrations and showmigrations: files, questions, exit codes, bad input."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import ormis
from ormis.cli import app
from ormis.migrations.migration import Name
from ormis.migrations.recorder import record
from ormis.schema import registry

QUESTION = """
import ormis
from ormis import Field, ForeignKey

class Mig{app}(ormis.Model):
    {text}: str = Field(max_length=200{index})

    class Meta:
        key = "mig_cmd_{app}"
"""
CHOICE = """
class MigChoice(ormis.Model):
    question: ForeignKey["{other}"] = ForeignKey()

    class Meta:
        key = "mig_cmd_choice_{app}"
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Result]]:
    """Runs a command in a directory of its own, with the modules as they are now."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    path = [*sys.path]
    known = {*registry.models()}

    def forget() -> None:
        for name in [
            name for name in sys.modules if name.partition(".")[0] in ("mig_polls", "mig_users", "mig_single")
        ]:
            del sys.modules[name]
        for model in {*registry.models()} - known:
            registry.forget(model)

    def runs(*arguments: str, **options: Any) -> Result:
        forget()
        sys.path[:] = [str(tmp_path), *path]
        import importlib

        importlib.invalidate_caches()
        return CliRunner().invoke(app, [*arguments], **options)

    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    yield runs
    sys.dont_write_bytecode = before
    sys.path[:] = path
    forget()


def write(package: str = "mig_polls", text: str = "text", index: str = "", more: str = "", **names: str) -> None:
    folder = Path(package)
    folder.mkdir(exist_ok=True)
    (folder / "__init__.py").touch()
    source = QUESTION.format(app=package[4:], text=text, index=index) + more.format(app=package[4:], **names)
    (folder / "models.py").write_text(source)


def files(package: str = "mig_polls") -> list[str]:
    return sorted(path.stem for path in (Path(package) / "migrations").glob("0*.py"))


def make(run: Callable[..., Result], *options: str, models: str = "mig_polls.models") -> str:
    result = run("makemigrations", "--models", models, *options)
    assert result.exit_code == 0, result.output
    return result.output


def test_changes_become_files_one_after_another(run: Callable[..., Result]) -> None:
    """The first one is initial; a command without changes writes nothing; each file is shown with its operations."""
    write()
    output = make(run)
    assert "mig_polls/migrations/0001_initial.py" in output
    assert "  Create model mig_cmd_polls" in output
    assert make(run) == "no changes\n"
    write(index=", index=True")
    make(run)
    assert files() == ["0001_initial", "0002_mig_cmd_polls_index_text"]
    assert (
        'dependencies = [("mig_polls", "0001_initial")]'
        in Path("mig_polls/migrations/0002_mig_cmd_polls_index_text.py").read_text()
    )
    assert make(run) == "no changes\n"


def test_check_says_by_its_exit_code_if_changes_are_missing(run: Callable[..., Result]) -> None:
    """For CI: 1 with changes, 0 without, and nothing is written."""
    write()
    assert run("makemigrations", "--check", "--models", "mig_polls.models").exit_code == 1
    assert files() == []
    make(run)
    assert run("makemigrations", "--check", "--models", "mig_polls.models").exit_code == 0


def test_dry_run_shows_the_file(run: Callable[..., Result]) -> None:
    """And writes nothing."""
    write()
    assert "class Migration(migrations.Migration):" in make(run, "--dry-run")
    assert files() == []


def test_names_and_empty_files(run: Callable[..., Result]) -> None:
    """--name names the file, --empty writes one to be filled; a name is a word."""
    write()
    make(run, "--name", "start")
    make(run, "--empty", "--name", "fill")
    assert files() == ["0001_start", "0002_fill"]
    assert make(run) == "no changes\n"
    result = run("makemigrations", "--empty", "--name", "a-b", "--models", "mig_polls.models")
    assert (result.exit_code, "write a word of letters" in result.output) == (2, True)


def test_a_rename_is_asked_for_in_a_terminal_only(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    """With --no-input, or without a terminal, a new field that must have a value is refused."""
    write()
    make(run)
    write(text="question_text")
    result = run("makemigrations", "--no-input", "--models", "mig_polls.models")
    assert result.exit_code == 2
    assert "Migpolls.question_text: objects that are stored have no value for it" in result.output
    monkeypatch.setattr("ormis.migration_commands._is_terminal", lambda: True)
    result = run("makemigrations", "--models", "mig_polls.models", input="y\n")
    assert "Was Migpolls.text renamed to Migpolls.question_text?" in result.output
    assert files()[-1] == "0002_rename_text_mig_cmd_polls_question_text"
    write(text="other")
    result = run("makemigrations", "--models", "mig_polls.models", input="n\nunknown\n")
    assert 'value="unknown"' in Path("mig_polls/migrations", f"{files()[-1]}.py").read_text()
    assert make(run) == "no changes\n"


def test_applications_depend_on_each_other(run: Callable[..., Result]) -> None:
    """A relation to a model of another application is a dependency on its last migration; circles take a second one."""
    write("mig_users", more=CHOICE, other="mig_polls.models.Migpolls")
    write("mig_polls", more=CHOICE.replace("MigChoice", "MigOther"), other="mig_users.models.Migusers")
    result = run("makemigrations", "--models", "mig_polls.models")
    assert result.exit_code == 2, result.output
    result = run("makemigrations", "--models", "mig_polls.models", "--models", "mig_users.models")
    assert result.exit_code == 0, result.output
    assert len(files("mig_polls")) + len(files("mig_users")) == 3
    check = run("makemigrations", "--check", "--models", "mig_polls.models", "--models", "mig_users.models")
    assert check.exit_code == 0, check.output


def test_branches_are_merged(run: Callable[..., Result]) -> None:
    """--merge writes a migration that follows both, if their order does not matter."""
    write()
    make(run)
    folder = Path("mig_polls/migrations")
    head = "from ormis import migrations\nclass Migration(migrations.Migration):\n"
    head += '    dependencies = [("mig_polls", "0001_initial")]\n'
    for name, field in (("a", "a"), ("b", "b")):
        operation = f'migrations.AddField("mig_cmd_polls", migrations.FieldState("{field}", "int", default=1))'
        (folder / f"0002_{name}.py").write_text(f"{head}    operations = [{operation}]\n")
    result = run("makemigrations", "--models", "mig_polls.models")
    assert (result.exit_code, "ormis makemigrations mig_polls --merge" in result.output) == (2, True)
    make(run, "--merge")
    assert files()[-1] == "0003_merge"
    assert make(run, "--merge") == "nothing to merge\n"
    (folder / "0003_merge.py").unlink()
    (folder / "0002_b.py").write_text((folder / "0002_a.py").read_text())
    result = run("makemigrations", "--merge", "--models", "mig_polls.models")
    assert (result.exit_code, "can't be merged as they are" in result.output) == (2, True)


def test_a_module_outside_packages_has_its_migrations_beside_it(run: Callable[..., Result]) -> None:
    """Its name is that of the application."""
    Path("mig_single.py").write_text(QUESTION.format(app="single", text="text", index=""))
    make(run, models="mig_single")
    assert Path("migrations/0001_initial.py").exists()
    result = run("makemigrations", "other", "--models", "mig_single")
    assert (result.exit_code, "no module of the application 'other' is named" in result.output) == (2, True)


def test_showmigrations_says_which_ran(run: Callable[..., Result], db: ormis.Database, url: str) -> None:
    """Each with a mark; a database ahead of the code is refused."""
    write()
    shown = ("showmigrations", "--url", url, "--models", "mig_polls.models")
    assert run(*shown).output == "no migrations\n"
    make(run)
    assert run(*shown).output == "mig_polls\n [ ] 0001_initial\n"
    project = ormis.migrations.Project(["mig_polls.models"])
    (one,) = project.graph.migrations.values()
    db.everywhere(lambda: record(one.name, one.checksum))
    assert run(*shown, "--plan").output == " [X] mig_polls.0001_initial\n"
    db.everywhere(lambda: record(Name("mig_polls", "0002_gone"), "1"))
    result = run(*shown)
    assert (result.exit_code, "the database is ahead of the code" in result.output) == (2, True)
