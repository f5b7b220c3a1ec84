"""What `import ormis` loads, and when the rest is loaded."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ormis

SOURCE = Path(ormis.__file__)


def loaded(program: str) -> set[str]:
    """The modules that a program of its own has loaded at its end."""
    program += "\nimport sys\nprint(*sys.modules)"
    environment = {"PYTHONPATH": str(SOURCE.parents[1])}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def imported() -> dict[str, str]:
    """The public names and the modules that type checkers take them from."""
    [block] = [node for node in ast.parse(SOURCE.read_text()).body if isinstance(node, ast.If) and not node.orelse][:1]
    lines = [node for node in block.body if isinstance(node, ast.ImportFrom) and node.module]
    return {alias.name: line.module for line in lines for alias in line.names if line.module}


def test_the_import_loads_no_other_module_of_the_package_and_no_library() -> None:
    """`import ormis` alone costs next to nothing: neither redis, pydantic nor msgspec is there after it."""
    modules = loaded("import ormis; ormis.__version__; dir(ormis)")
    assert {name for name in modules if name.startswith("ormis")} == {"ormis"}
    assert modules & {"redis", "pydantic", "msgspec", "asyncio"} == set()


def test_a_model_and_a_database_load_only_what_they_need() -> None:
    """No server is started, no command line, no upkeep, no telemetry and no API model is loaded for them."""
    modules = loaded("from ormis import Model, Field, connect\nclass A(Model):\n    name: str = Field(index=True)")
    unused = {"ormis.maintenance", "ormis.api_models", "ormis.instrumentation", "ormis.functions", "ormis.cli"}
    unused |= {"ormis.cluster.local", "ormis.operations.upkeep.copying", "typer", "rich", "fastapi", "pytest"}
    assert "ormis.model" in modules
    assert modules & unused == set()


def test_type_checkers_and_python_find_the_same_names_in_the_same_modules() -> None:
    """The imports for type checkers, the table of modules and `__all__` agree."""
    homes = vars(ormis)["_HOME_OF"]
    assert homes == imported()
    assert sorted(ormis.__all__) == sorted([*homes, *vars(ormis)["_SUBMODULES"]])


@pytest.mark.parametrize("name", ormis.__all__)
def test_each_public_name_is_there_and_shown_by_dir(name: str) -> None:
    """Each is found as an attribute, which is kept."""
    assert getattr(ormis, name) is vars(ormis)[name]
    assert name in dir(ormis)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """hasattr() and misspelled imports behave as for any module."""
    assert not hasattr(ormis, "Modle")
    with pytest.raises(ImportError, match="cannot import name 'Modle'"):
        exec("from ormis import Modle")
