"""Whether the parts of a model fit together, and the model to the others: checked after each operation."""

from collections.abc import Iterable
from typing import Any

from ..errors import MigrationError
from .state import LinkState, ModelState, ProjectState, RelationState


def with_model(state: ProjectState, model: ModelState) -> ProjectState:
    """The state with this model in place of that with its key.

    Raises MigrationError if a part of it names a field or a model that is not there, or a name is used twice.
    """
    after = state.having(model)
    _check_names(model)
    for index in model.indexes:
        _check_columns(model, index.columns, f"the index on {', '.join(index.fields)}", "RemoveIndex")
    for constraint in model.constraints:
        what = f"the constraint on {', '.join(constraint.fields)}"
        _check_columns(model, constraint.columns, what, "RemoveConstraint")
    for kind, defaults in model.kind_defaults.items():
        _check_columns(model, defaults, f"the defaults of the kind {kind!r}", "AlterModel")
    for relation in model.relations:
        _check_columns(model, [relation.column], f"the relation {relation.name!r}", "AlterRelation")
    for one in (*model.relations, *model.links):
        check_target(after, model, one)
    return after


def check_target(state: ProjectState, model: ModelState, one: RelationState | LinkState) -> None:
    """Raises MigrationError if a relation refers to a model, or to a field of one, that is not there."""
    target = state.models.get(one.to)
    if target is None:
        raise MigrationError(
            f"{model.key}.{one.name} refers to the model {one.to!r}, and there is none here: it is made by an earlier "
            f"operation, or by a migration that this one depends on"
        )
    field = one.to_field if isinstance(one, RelationState) else ""
    if field and not target.has(field):
        raise MigrationError(f"{model.key}.{one.name} refers to the field {field!r} of {one.to!r}, which has none")


def _check_names(model: ModelState) -> None:
    fields = [one.name for one in model.fields]
    relations = [one.name for one in (*model.relations, *model.links)]
    if [one.primary_key for one in model.fields].count(True) != 1:
        raise MigrationError(f"the model {model.key!r} needs one field with primary_key=True")
    _check_distinct(model, "the fields", fields)
    _check_distinct(model, "the relations", relations)
    _check_distinct(model, "the indexes", [one.identity for one in model.indexes])
    _check_distinct(model, "the constraints", [one.fields for one in model.constraints])


def _check_distinct(model: ModelState, what: str, names: Iterable[Any]) -> None:
    names = [*names]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise MigrationError(f"{what} of the model {model.key!r} have {twice!r} twice")


def _check_columns(model: ModelState, names: Iterable[str], what: str, removing: str) -> None:
    missing = next((name for name in names if not model.has(name)), None)
    if missing is not None:
        raise MigrationError(
            f"{what} of the model {model.key!r} names the field {missing!r}, which is not there: "
            f"{removing} stands before RemoveField, and AddField before it"
        )
