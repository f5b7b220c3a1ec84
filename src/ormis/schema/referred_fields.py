"""The field of the other model that a foreign key holds: its primary key, or the one that `to_field=` names."""

from typing import Any

from ..errors import ModelError, hint_for
from .fields import options_of
from .relations import RelationDeclaration


def referred_field(cls: Any, declaration: RelationDeclaration, target: Any) -> str:
    """The name of the field of `target` that to_field= names; an empty text if it is the primary key.

    Raises ModelError if it is no field, or one whose values several objects may share.
    """
    said = declaration.relation.to_field
    if said is None or said == "pk":
        return ""
    own = f"{cls.__name__}.{declaration.name}: to_field={said!r}"
    one_to_one = {d.name: d for d in target.__declarations__}
    name = one_to_one[said].attname if said in one_to_one else said
    if name not in target.model_fields:
        raise ModelError(f"{own}: {target.__name__} has no such field: {hint_for(said, target.model_fields)}")
    options = options_of(target.model_fields[name])
    if options.primary_key or (name == "id" and _counts_ids(target)):
        return ""
    if name not in _unique_fields(target):
        raise ModelError(
            f"{own} is not unique, so it may be the value of several objects: write "
            f"{target.__name__}.{said} = Field(unique=True), or leave to_field= out"
        )
    return name


def _counts_ids(target: Any) -> bool:
    """Whether `id` is the primary key, since no field is declared as one."""
    return not any(options_of(info).primary_key for info in target.model_fields.values())


def _unique_fields(target: Any) -> set[str]:
    """The fields of a model whose values no two objects share, besides its primary key."""
    names = {name for name, info in target.model_fields.items() if options_of(info).unique}
    names |= {d.attname for d in target.__declarations__ if d.relation.unique}
    by_relation = {d.name: d.attname for d in target.__declarations__}
    constraints = [c.fields for c in target.__options__.constraints if len(c.fields) == 1]
    return names | {by_relation.get(field, field) for (field,) in constraints}
