"""The arrows of the package: a folder is a layer, and imports go down the list of layers.

The table is the design: a row a folder, or a public module at the top. A module belongs to the row of its folder; a new
folder is entered here, which is the moment to think about it. Within a folder there is no circle.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "ormis"

# From the bottom up: a row imports from the rows before it, and from itself. `__init__` is the package itself.
LAYERS = """
    errors limits fetching calls reports signals
    storage
    schema
    query
    planning
    records
    caching
    operations
    operations.reading
    operations.writing
    operations.upkeep
    operations.interchange
    transactions
    connections
    drivers
    cluster
    database
    connecting
    querysets
    descriptors
    metaclass
    model
    maintenance
    files
    migrations
    adoption
    api_models
    functions
    instrumentation
    __init__
    cli migration_commands __main__ shell contrib
"""
ROWS = {folder: row for row, line in enumerate(LAYERS.strip().splitlines()) for folder in line.split()}
OUTSIDE = max(ROWS.values())
"""The row of what uses only the public root."""
ROOT = "__init__"

# Imports inside functions that are allowed: (module, imported module), with the reason beside each.
DEFERRED: set[tuple[str, str]] = set()


@dataclass(frozen=True, slots=True)
class Import:
    """One import of a module of the package by another."""

    module: str
    target: str
    line: int
    place: str  # "top", "function" or "TYPE_CHECKING"

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


def problems(root: Path, deferred: set[tuple[str, str]] = DEFERRED) -> list[str]:
    """What is wrong with the imports of the package at `root`."""
    modules = module_paths(root)
    imports = [found for name, path in modules.items() for found in imports_of(name, path, root.name, set(modules))]
    known = [found for found in imports if layer_of(found.module) is not None and layer_of(found.target) is not None]
    return [
        *unplaced(modules),
        *(problem for found in known if (problem := against_the_arrows(found))),
        *(problem for found in imports if (problem := hidden(found, deferred))),
        *circles(found for found in imports if found.place == "top"),
        *(f"DEFERRED names an import that is gone: {pair}" for pair in sorted(deferred - _deferred(imports))),
    ]


def unplaced(modules: Iterable[str]) -> list[str]:
    """Modules that the table does not know."""
    return [
        f"say in tests/test_layers.py which layer {module} belongs to" for module in modules if layer_of(module) is None
    ]


def layer_of(module: str) -> int | None:
    """The row of the module: its own, or that of the innermost folder that has one."""
    while module:
        if module in ROWS:
            return ROWS[module]
        module = module.rpartition(".")[0]
    return None


def against_the_arrows(found: Import) -> str | None:
    """A module may import from the rows before its own and from its own; what is outside uses the public root only."""
    layer, target_layer = layer_of(found.module), layer_of(found.target)
    assert layer is not None
    assert target_layer is not None
    if layer == OUTSIDE:
        inside = found.target != ROOT and target_layer != OUTSIDE
        return f"{found}, but what is outside uses only what `ormis` itself exports" if inside else None
    if found.target == ROOT:
        return f"{found}: the package's own modules import from each other, not from the public root"
    if target_layer > layer:
        return f"{found}, against the arrows"
    return None


def hidden(found: Import, deferred: set[tuple[str, str]]) -> str | None:
    """Imports that the arrows would not see when the module is loaded."""
    if found.place == "TYPE_CHECKING" and found.module != ROOT:  # the root loads a name when it is used
        return f"{found} under TYPE_CHECKING; cut the modules so that the type lies in a layer above"
    if found.place == "function" and (found.module, found.target) not in deferred:
        return f"{found} inside a function; import it at the top, or add it to DEFERRED with the reason"
    return None


def circles(imports: Iterable[Import]) -> list[str]:
    """One circle of imports, if there is any."""
    graph: dict[str, set[str]] = {}
    for found in imports:
        graph.setdefault(found.module, set()).add(found.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        # The sorter lists the circle from the imported to the importing module.
        return [f"import circle: {' -> '.join(reversed(error.args[1]))}"]
    return []


def module_paths(root: Path) -> dict[str, Path]:
    """Every module by its name within the package; the package itself is `__init__`."""
    return {_module_name(path.relative_to(root)): path for path in sorted(root.rglob("*.py"))}


def imports_of(module: str, path: Path, package: str, modules: set[str]) -> Iterator[Import]:
    """The imports of the package's own modules in one file, also where they stand in functions."""
    for node, place in _import_nodes(ast.parse(path.read_text()), "top"):
        for target in _targets(node, _absolute(module, path, package), package, modules):
            if target != module:
                yield Import(module, target, node.lineno, place)


def _module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or ROOT


def _absolute(module: str, path: Path, package: str) -> list[str]:
    """The package that a relative import in this file starts from."""
    parts = [package, *([] if module == ROOT else module.split("."))]
    return parts if path.name == "__init__.py" else parts[:-1]


def _import_nodes(node: ast.AST, place: str) -> Iterator[tuple[ast.Import | ast.ImportFrom, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, place
        else:
            yield from _import_nodes(child, _place_within(child, place))


def _place_within(node: ast.AST, place: str) -> str:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return "function"
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return "TYPE_CHECKING"
    return place


def _targets(node: ast.Import | ast.ImportFrom, base: list[str], package: str, modules: set[str]) -> set[str]:
    """The package's modules that an import statement loads, by their names within the package.

    What is not there is left out: such an import fails by itself.
    """
    if isinstance(node, ast.Import):
        named = [alias.name for alias in node.names]
    else:
        start = ".".join(base[: len(base) - node.level + 1]) if node.level else ""
        source = ".".join(filter(None, [start, node.module]))
        submodules = [f"{source}.{alias.name}" for alias in node.names]
        named = [name if _within(name, package) in modules else source for name in submodules]
    return {_within(name, package) for name in named} & modules


def _within(name: str, package: str) -> str:
    """A dotted name as seen from the package, "" if it lies outside."""
    if name == package:
        return ROOT
    return name.removeprefix(f"{package}.") if name.startswith(f"{package}.") else ""


def _deferred(imports: Iterable[Import]) -> set[tuple[str, str]]:
    return {(found.module, found.target) for found in imports if found.place == "function"}


def test_the_package_keeps_its_layers() -> None:
    """Every import of the package goes up the table, no circle, nothing hidden."""
    assert problems(PACKAGE) == []


def test_a_good_tree_has_no_problems(tmp_path: Path) -> None:
    """What the table allows passes: rows above, the own row, the public root from outside."""
    tree = {
        "__init__": "if TYPE_CHECKING:\n    from .model import Model",
        "errors": "import ast",
        "storage.keys": "from ..errors import OrmisError",
        "storage.codecs": "from . import keys",
        "operations.__init__": "",
        "operations.save": "from ..storage.keys import Keys\nfrom . import load\nimport ormis.storage.codecs",
        "operations.load": "",
        "model": "from .operations import save",
        "cli": "import ormis\nfrom ormis import Model",
        "query.q": "import redis\nfrom .unwritten import Plan",
    }
    assert problems(planted(tmp_path, tree)) == []


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({"schema": "from .query import Query", "query": ""}, "schema:1 imports query, against the arrows"),
        ({"schema.a": "import ormis.query.q", "query.q": ""}, "schema.a:1 imports query.q, against the arrows"),
        ({"schema": "from . import query", "query": ""}, "schema:1 imports query, against the arrows"),
        (
            {"operations.writing.save": "from ...model import Model", "model": ""},
            "operations.writing.save:1 imports model, against",
        ),
        (
            {"operations.reading.get": "from ..writing import save", "operations.writing.save": ""},
            "operations.reading.get:1 imports operations.writing.save, against",
        ),
        ({"storage.keys": "from .codecs import a", "storage.codecs": "from .keys import b"}, "import circle: "),
        (
            {"schema": "def f():\n    from .errors import E", "errors": ""},
            "schema:2 imports errors inside a function",
        ),
        (
            {"schema": "if TYPE_CHECKING:\n    from .errors import E", "errors": ""},
            "schema:2 imports errors under TYPE_CHECKING",
        ),
        ({"novelty": ""}, "say in tests/test_layers.py which layer novelty belongs to"),
        ({"cli": "from .schema import key", "schema": ""}, "cli:1 imports schema, but what is outside"),
        ({"model": "from . import Model"}, "model:1 imports __init__: the package's own modules"),
    ],
)
def test_each_rule_can_fail(tmp_path: Path, tree: dict[str, str], expected: str) -> None:
    """Every way to break the layers is seen and named with module and line."""
    found = problems(planted(tmp_path, {"__init__": "", **tree}))
    assert any(re.match(re.escape(expected), problem) for problem in found), found


def test_an_import_circle_is_spelled_out(tmp_path: Path) -> None:
    """The message lists the modules in the order in which they import each other."""
    root = planted(
        tmp_path,
        {
            "query.a": "from .b import a",
            "query.b": "from .c import b",
            "query.c": "from .a import c",
        },
    )
    (message,) = problems(root)
    around = message.removeprefix("import circle: ").split(" -> ")
    assert list(pairwise(around)) in rotations([("query.a", "query.b"), ("query.b", "query.c"), ("query.c", "query.a")])


def test_a_permitted_deferred_import_passes_and_is_kept_up_to_date(tmp_path: Path) -> None:
    """The list of deferred imports works, and an entry that nothing needs any more fails."""
    root = planted(tmp_path, {"schema": "def f():\n    from .errors import E", "errors": ""})
    assert problems(root, {("schema", "errors")}) == []
    assert problems(root, {("schema", "errors"), ("query", "schema")}) == [
        "DEFERRED names an import that is gone: ('query', 'schema')"
    ]


def planted(folder: Path, tree: dict[str, str]) -> Path:
    """A package with these modules."""
    root = folder / "ormis"
    for module, text in tree.items():
        path = root / (module.replace(".", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def rotations(items: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """The list, started at each of its places."""
    return [items[start:] + items[:start] for start in range(len(items))]
