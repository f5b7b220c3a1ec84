"""Models, fields and links that may have another name: whether they have, a questioner says."""

from collections.abc import Iterator

from .operations import AlterRelation, Operation, RenameField, RenameModel
from .questioner import Questioner
from .state import FieldState, ModelState, ProjectState


def rename_models(old: ProjectState, new: ProjectState, questioner: Questioner) -> Iterator[Operation]:
    """Of models with the same fields, one gone and one new."""
    gone = [model for key, model in old.models.items() if key not in new.models]
    for model in new.models.values():
        if model.key in old.models:
            continue
        for before in gone:
            if _fields_of(before) == _fields_of(model) and questioner.renamed_model(before, model):
                gone.remove(before)
                yield RenameModel(before.key, model.key, model.name)
                break


def _fields_of(model: ModelState) -> set[tuple[str, str, bool]]:
    return {(one.name, one.kind, one.primary_key) for one in model.fields}


def rename_fields(old: ModelState, new: ModelState, questioner: Questioner) -> Iterator[Operation]:
    """Of fields of the same kind, one gone and one new; a foreign key only if it refers to the same model."""
    gone = [field for field in old.fields if not new.has(field.name)]
    for field in new.fields:
        if old.has(field.name):
            continue
        for before in gone:
            if _what(old, before) == _what(new, field) and questioner.renamed_field(
                new, _shown(old, before.name), _shown(new, field.name)
            ):
                gone.remove(before)
                yield RenameField(new.key, before.name, field.name)
                break


def _what(model: ModelState, field: FieldState) -> tuple[str, bool, list[str]]:
    return field.kind, field.primary_key, [one.to for one in model.relations if one.column == field.name]


def _shown(model: ModelState, column: str) -> str:
    """The attribute of a field: of a foreign key that of the object."""
    return next((one.name for one in model.relations if one.column == column), column)


def rename_links(old: ModelState, new: ModelState, questioner: Questioner) -> Iterator[Operation]:
    """Of links to the same model, one gone and one new."""
    gone = [link for link in old.links if link.name not in [one.name for one in new.links]]
    for link in new.links:
        if link.name in [one.name for one in old.links]:
            continue
        for before in gone:
            if before.to == link.to and questioner.renamed_field(new, before.name, link.name):
                gone.remove(before)
                yield AlterRelation(new.key, before, link)
                break
