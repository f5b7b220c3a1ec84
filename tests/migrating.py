"""Versions of a model, as an application has them one after another, and migrations between them."""

from collections.abc import Iterable
from typing import Any

import ormis
from model_factory import make
from ormis.migrations.declared import declared_state
from ormis.migrations.graph import Graph
from ormis.migrations.migration import Loaded, Name
from ormis.migrations.operations import CreateModel
from ormis.schema import registry

APP = "polls"


def version(name: str, module: str, meta: Any = None, base: Any = ormis.Model, **fields: Any) -> Any:
    """A model with these fields; one of the same name that was declared before is forgotten."""
    key = f"{module}_{name.lower()}"
    for model in registry.models():
        if model.__key__ == key and base is ormis.Model:
            registry.forget(model)
    return make(name, module, base, meta={"key": key, **(meta or {})}, **fields)


def plan(*migrations: Iterable[Any], checksum: str = "1") -> Graph:
    """Migrations of these operations, each behind the one before."""
    names = [Name(APP, f"{number:04}_step") for number in range(1, len(migrations) + 1)]
    return Graph(
        Loaded(name, tuple(names[number - 1 : number] if number else ()), tuple(operations), checksum)
        for number, (name, operations) in enumerate(zip(names, migrations, strict=True))
    )


def created(*models: Any) -> list[Any]:
    """The operations that make these models."""
    return [CreateModel(model) for model in declared_state(models).models.values()]
