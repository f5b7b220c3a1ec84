"""ormis migrate: the command, its plan, its refusals; and the functions that it calls, on clusters too."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

import ormis
from migrating import created, plan, version
from ormis.errors import ClusterError, MigrationError
from ormis.migrations import executor
from ormis.migrations.operations import AddConstraint, AddField, AlterField, RunPython
from ormis.migrations.state import ConstraintState, FieldState
from test_migration_commands import make, run, write

__all__ = ["run"]
MODULE = __name__
KEY = f"{MODULE}_item"


def second(operation: str, name: str = "0002_change") -> Path:
    """A second migration, with this operation."""
    file = Path(f"mig_polls/migrations/{name}.py")
    file.write_text(
        "from ormis import migrations\nclass Migration(migrations.Migration):\n"
        f'    dependencies = [("mig_polls", "0001_initial")]\n    operations = [{operation}]\n'
    )
    return file


def migrate(run: Callable[..., Result], url: str, *arguments: str) -> tuple[int, str]:
    """The exit code and the output of the command."""
    result = run("migrate", *arguments, "--url", url, "--models", "mig_polls.models")
    return result.exit_code, result.output


@pytest.mark.usefixtures("db")
def test_the_command_runs_what_did_not_run(run: Callable[..., Result], url: str, raw: Any) -> None:
    """--plan shows it and changes nothing; findings are listed, with exit code 1; the next run has nothing to do."""
    write()
    make(run)
    assert migrate(run, url, "--plan") == (0, "mig_polls.0001_initial\n  Create model mig_cmd_polls\n")
    assert not raw.exists("ormis/migrations")
    assert migrate(run, url)[0] == 0
    raw.hset("mig_cmd_polls:1", mapping={"id": 1, "text": "x"})
    raw.zadd("mig_cmd_polls/ids", {"1": 1})
    second('migrations.AlterField("mig_cmd_polls", migrations.FieldState("text", "int"))')
    code, output = migrate(run, url)
    assert code == 1
    assert "Migpolls.text of mig_cmd_polls:1: 'x' does not convert to int" in output
    assert "mig_polls.0002_change: 1 objects looked at, 1 findings" in output
    assert migrate(run, url) == (0, "nothing to migrate: 0 objects looked at, 0 findings\n")
    assert migrate(run, url, "--plan") == (0, "nothing to migrate\n")


@pytest.mark.usefixtures("db")
def test_one_application_up_to_one_migration(run: Callable[..., Result], url: str) -> None:
    """A name, or its beginning, ends the run there; migrations are not undone."""
    write()
    make(run)
    second('migrations.AddField("mig_cmd_polls", migrations.FieldState("votes", "int", default=0))')
    assert migrate(run, url, "mig_polls", "0001")[1].startswith("mig_polls.0001_initial:")
    assert migrate(run, url, "mig_polls")[1].startswith("mig_polls.0002_change:")
    code, output = migrate(run, url, "mig_polls", "0001")
    assert (code, "mig_polls.0002_change ran already, and migrations are not undone" in output) == (2, True)
    code, output = migrate(run, url, "mig_poll")
    assert (code, "'mig_poll'" in output) == (2, True)


@pytest.mark.usefixtures("db")
def test_an_edited_migration_is_refused_until_it_is_faked(run: Callable[..., Result], url: str) -> None:
    """--fake takes it as it is now."""
    write()
    make(run)
    file = second('migrations.AddField("mig_cmd_polls", migrations.FieldState("votes", "int", default=0))')
    assert migrate(run, url)[0] == 0
    file.write_text(file.read_text().replace("default=0", "default=1"))
    code, output = migrate(run, url)
    assert code == 2
    assert "mig_polls.0002_change was edited after it ran" in output
    assert migrate(run, url, "mig_polls", "0002_change", "--fake")[0] == 0
    assert migrate(run, url)[0] == 0


@pytest.mark.usefixtures("db")
def test_a_database_ahead_of_the_code_is_refused(run: Callable[..., Result], url: str) -> None:
    """A migration that ran and has no file."""
    write()
    make(run)
    file = second('migrations.AddField("mig_cmd_polls", migrations.FieldState("votes", "int", default=0))')
    assert migrate(run, url)[0] == 0
    file.unlink()
    code, output = migrate(run, url)
    assert (code, "the database is ahead of the code" in output) == (2, True)


def test_migrate_is_no_part_of_a_block(db: Any) -> None:
    """atomic() can't hold back its calls."""
    model = version("Item", MODULE, text=(str, ...))
    with pytest.raises(ormis.OrmisError, match=r"call it outside of the block"), db.atomic():
        executor.execute(plan(created(model)), db)


# Clusters ------------------------------------------------------------------------------------------------------------


def test_each_partition_is_migrated(cluster_url: str) -> None:
    """Each has its history; objects of all partitions are changed."""
    with ormis.connect(f"{cluster_url}?partitions=4") as db:
        old = version("Item", MODULE, text=(str, ...))
        executor.execute(plan(created(old)), db)
        for number in range(20):
            old(text=str(number)).save(using=db)

        def double(item: Any) -> None:
            item.rank *= 2

        operations = [
            AddField(KEY, FieldState("rank", "int"), value=5),
            RunPython(KEY, double),
            AlterField(KEY, FieldState("text", "int")),
        ]
        report = executor.execute(plan(created(old), operations), db)
        assert report.applied == ["polls.0002_step"]
        new = version("Item", MODULE, text=(int, ...), rank=(int, ...))
        assert sorted((one.text, one.rank) for one in new.objects.using(db).all()) == [(n, 10) for n in range(20)]
        assert ormis.check(db, models=[new]).ok
        assert executor.execute(plan(created(old), operations), db).applied == []


def test_unique_values_over_partitions_are_not_converted(cluster_url: str) -> None:
    """Claims over partitions would not follow: the error says what to do, and nothing has changed."""
    with ormis.connect(f"{cluster_url}?partitions=4") as db:
        old = version("Item", MODULE, text=(str, ormis.Field(unique=True)))
        executor.execute(plan(created(old)), db)
        old(text="1").save(using=db)
        with pytest.raises(ClusterError, match="text is unique over several partitions"):
            executor.execute(plan(created(old), [AlterField(KEY, FieldState("text", "int"))]), db)
        assert old.objects.using(db).get().text == "1"


def test_a_constraint_over_partitions_is_built(cluster_url: str) -> None:
    """Objects of different partitions that share a value are findings."""
    with ormis.connect(f"{cluster_url}?partitions=4") as db:
        old = version("Item", MODULE, text=(str, ...))
        executor.execute(plan(created(old)), db)
        for text in ("a", "b", "c", "d", "a", "e", "f", "g"):
            old(text=text).save(using=db)
        report = executor.execute(plan(created(old), [AddConstraint(KEY, ConstraintState("text"))]), db)
        assert {one.kind for one in report.findings} == {"unique-duplicate"}


def test_a_failing_partition_is_gone_on_with(cluster_url: str) -> None:
    """Partitions that are done are not migrated again."""
    with ormis.connect(f"{cluster_url}?partitions=4") as db:
        old = version("Item", MODULE, text=(str, ...), votes=(int, 0))
        executor.execute(plan(created(old)), db)
        for number in range(20):
            old(text=str(number)).save(using=db)
        broken = [True]

        def add(item: Any) -> None:
            if item.text == "13" and broken[0]:
                raise RuntimeError("no")
            item.votes += 1

        with pytest.raises(MigrationError, match="RuntimeError: no"):
            executor.execute(plan(created(old), [RunPython(KEY, add)]), db)
        broken[0] = False
        executor.execute(plan(created(old), [RunPython(KEY, add)]), db)
        assert [one.votes for one in old.objects.using(db).all()] == [1] * 20
