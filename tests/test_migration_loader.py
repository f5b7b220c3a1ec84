"""Files of migrations and their order; bad input is refused with the files and the way out."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ormis import MigrationError
from ormis.migrations import AddField, CreateModel, FieldState, ModelState
from ormis.migrations.apps import App, app_of, apps_of
from ormis.migrations.graph import Graph
from ormis.migrations.loader import read_migrations
from ormis.migrations.migration import Loaded, Name

HEAD = "from ormis import migrations\nclass Migration(migrations.Migration):\n"
PK = FieldState("id", "int", primary_key=True)


def app(folder: Path, **files: str) -> App:
    for name, body in files.items():
        (folder / f"{name}.py").write_text(body)
    return App("polls", "", folder)


def migration(text: str, *dependencies: str, operations: Any = (), checksum: str = "1") -> Loaded:
    names = [Name(*one.split(".")) for one in (text, *dependencies)]
    return Loaded(names[0], tuple(names[1:]), tuple(operations), checksum)


def test_a_file_is_read_with_its_name_and_a_checksum_of_its_code(tmp_path: Path) -> None:
    """Comments and layout are no edit, another operation is one; files that begin with _ are none."""
    text = HEAD + '    operations = [migrations.RemoveField("a", "b")]\n'
    (one,) = read_migrations([app(tmp_path, _0001_helper="1 / 0", **{"0001_initial": text})])
    assert one.name == Name("polls", "0001_initial")
    (tmp_path / "0001_initial.py").write_text("# edited\n" + text.replace('"a", "b"', "'a',\n 'b'"))
    (other,) = read_migrations([app(tmp_path)])
    assert (other.checksum, other.operations) == (one.checksum, one.operations)
    (tmp_path / "0001_initial.py").write_text(text.replace('"b"', "None"))
    assert read_migrations([app(tmp_path)])[0].checksum != one.checksum


def test_the_checksum_is_the_same_in_every_version_of_python(tmp_path: Path) -> None:
    """It is stored in databases."""
    text = 'from ormis import migrations\ndef f(record):\n    record.x = f"{record.y!r:>3}" or None\n\n'
    body = 'class Migration(migrations.Migration):\n    operations = [migrations.RunPython("a", f)]\n'
    (one,) = read_migrations([app(tmp_path, **{"0001_initial": text + body})])
    assert one.checksum == "6e7fcf4a9fb5f8edf75aac8e20a30d2bc6fde05f"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("rename_text", HEAD, r"rename_text\.py: the name of a migration is a number of four digits"),
        ("0001_initial", "def", r"0001_initial\.py can't be read: SyntaxError"),
        ("0001_initial", "import gone_module", r"0001_initial\.py can't be read: ModuleNotFoundError"),
        ("0001_initial", "x = 1", r"0001_initial\.py has no class Migration"),
        ("0001_initial", "from ormis.migrations import Migration", r"0001_initial\.py has no class Migration"),
        ("0001_initial", HEAD + "    operations = [1]", r"operations has 1, which is no operation"),
        ("0001_initial", HEAD + "    dependencies = ['polls']", r"dependencies is a list of pairs"),
        ("0001_initial", HEAD + "    operations = [migrations.AddFeild()]", "AttributeError: .*AddFeild"),
    ],
)
def test_a_file_that_is_no_migration_is_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    """With what is wrong in it."""
    with pytest.raises(MigrationError, match=message):
        read_migrations([app(tmp_path, **{name: text})])


def test_migrations_run_after_those_that_they_depend_on() -> None:
    """Over all applications; otherwise in the order of names."""
    graph = Graph(
        [
            migration("shop.0001_initial", "polls.0002_more"),
            migration("polls.0002_more", "polls.0001_initial", "users.0001_initial"),
            migration("polls.0001_initial"),
            migration("users.0001_initial"),
        ]
    )
    assert [f"{one.app}.{one.name}" for one in graph.order] == [
        "polls.0001_initial",
        "users.0001_initial",
        "polls.0002_more",
        "shop.0001_initial",
    ]
    first = Name("polls", "0001_initial")
    assert [one.name for one in graph.plan({first}, [graph.resolve("polls", "0002")])] == [
        Name("users", "0001_initial"),
        Name("polls", "0002_more"),
    ]
    assert len(graph.plan(set())) == 4


def test_a_state_is_what_the_operations_before_make() -> None:
    """Of those that a migration depends on only; an operation that does not fit names its file."""
    create, add = CreateModel(ModelState("q", "Q", [PK])), AddField("q", FieldState("text", "str"))
    graph = Graph(
        [
            migration("polls.0001_initial", operations=[create]),
            migration("polls.0002_text", "polls.0001_initial", operations=[add]),
        ]
    )
    assert graph.state_before(Name("polls", "0002_text")).model("q").fields == (PK,)
    assert graph.state().model("q").has("text")
    with pytest.raises(MigrationError, match=r"polls\.0001_initial, Add field text to q: there is no model"):
        Graph([migration("polls.0001_initial", operations=[add])]).state()


@pytest.mark.parametrize(
    ("migrations", "message"),
    [
        (["polls.0001_a", "polls.0003_c polls.0001_a"], "0002 of polls is missing, and there is polls.0003_c: restore"),
        (["polls.0002_b"], "0001 of polls is missing"),
        (["polls.0001_a polls.0001_b", "polls.0001_b polls.0001_a"], "in a circle: polls.0001_"),
        (["polls.0001_a users.0001_b"], r"polls.0001_a depends on users.0001_b, which is not there \(there are none\)"),
        (["polls.0001_a", "polls.0001_b polls.0001_a"], "follow each other and have one number"),
    ],
)
def test_an_order_that_is_none_is_refused(migrations: list[str], message: str) -> None:
    """Gaps, circles, unknown dependencies, numbers that are there twice."""
    with pytest.raises(MigrationError, match=message):
        Graph(migration(*one.split()) for one in migrations)


def test_a_fork_is_refused_until_it_is_merged() -> None:
    """The message says by which command."""
    branches = [migration("polls.0001_a"), *(migration(f"polls.0002_{x}", "polls.0001_a") for x in "bc")]
    with pytest.raises(MigrationError, match=r"polls\.0002_b and polls\.0002_c, .*makemigrations polls --merge"):
        Graph(branches).check_forks()
    Graph([*branches, migration("polls.0003_merge", "polls.0002_b", "polls.0002_c")]).check_forks()


@pytest.mark.parametrize(
    ("applied", "message"),
    [
        ({"0003_gone": "1"}, r"polls\.0003_gone ran, and its file is not there: the database is ahead of the code"),
        ({"0001_a": "2"}, r"polls\.0001_a was edited after it ran"),
        ({"0002_b": "1"}, r"polls\.0002_b ran, and polls\.0001_a, which it depends on, did not"),
    ],
)
def test_a_history_that_does_not_fit_the_files_is_refused(applied: dict[str, str], message: str) -> None:
    """A database ahead of the code, an edited migration, one that ran before what it depends on."""
    graph = Graph([migration("polls.0001_a"), migration("polls.0002_b", "polls.0001_a")])
    graph.check_history({Name("polls", "0001_a"): "1", Name("other", "0001_x"): "1"})
    with pytest.raises(MigrationError, match=message):
        graph.check_history({Name("polls", name): checksum for name, checksum in applied.items()})


def test_a_migration_is_named_by_its_beginning() -> None:
    """By its number alone, if there is one with it."""
    graph = Graph([migration("polls.0001_a"), *(migration(f"polls.0002_{x}", "polls.0001_a") for x in "bc")])
    assert graph.resolve("polls", "0001") == Name("polls", "0001_a")
    for app_name, text, message in (
        ("polls", "0002", "polls has several migrations 0002...: 0002_b, 0002_c"),
        ("polls", "0003", "polls has no migration '0003'"),
        ("pols", "0001", "no application 'pols' with migrations: did you mean 'polls'"),
    ):
        with pytest.raises(MigrationError, match=message):
            graph.resolve(app_name, text)


def test_an_application_is_the_package_of_the_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`polls.models` and what is within it; a module outside packages is one by itself."""
    import sys

    for name in ("shop", "shop.models", "shop.models.goods", "shop.other", "single", "beside"):
        module = ModuleType(name)
        file = tmp_path / f"{name.replace('.', '/')}.py"
        module.__file__ = str(file)
        if name in ("shop", "shop.models"):
            module.__file__ = str(file.with_suffix("") / "__init__.py")
            module.__path__ = [str(file.with_suffix(""))]
        monkeypatch.setitem(sys.modules, name, module)
    shop = App("shop", "shop", tmp_path.resolve() / "shop" / "migrations")
    assert [app_of(name) for name in ("shop", "shop.models", "shop.models.goods", "shop.other")] == [shop] * 4
    assert app_of("single") == App("single", "", tmp_path.resolve() / "migrations")
    models = [type("M", (), {"__module__": name}) for name in ("single", "beside")]
    with pytest.raises(MigrationError, match="would have their migrations in one application 'beside'"):
        apps_of(models)
    with pytest.raises(MigrationError, match="the models of 'nowhere' are in no file"):
        app_of("nowhere")
