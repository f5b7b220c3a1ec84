"""The values that a model takes, by the names that pydantic asks for."""

# Modules of the package use private names of each other.
# pyright: reportPrivateUsage=false

from typing import Any

from pydantic import AliasChoices


def input_name(model: Any, name: str) -> str:
    """The name by which pydantic takes the value of a field: its alias, unless names are taken too."""
    config, alias = model.model_config, model.model_fields[name].validation_alias
    if config.get("populate_by_name") or config.get("validate_by_name") or config.get("validate_by_alias") is False:
        return name
    if isinstance(alias, AliasChoices):
        alias = next((choice for choice in alias.choices if isinstance(choice, str)), None)
    return alias if isinstance(alias, str) else name


def name_key(model: Any, values: dict[str, Any]) -> None:
    """Turns `pk=7` into the primary key by its name, that of the relation if it is one: `pk=book`."""
    schema = model._schema()
    name = next((r.name for r in schema.references if r.column is schema.pk), input_name(model, schema.pk.name))
    if values.keys() & {name, schema.pk.name}:
        raise TypeError(f"{model.__name__}: give pk or {schema.pk.name}, not both")
    values[name] = values.pop("pk")


def take_related(model: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Turns `question=q` and `question=1` into `question_id`; returns the objects among them."""
    related: dict[str, Any] = {}
    model._schema()
    for link in model.__links__:
        if link.name in values:
            raise TypeError(f"{model.__name__}.{link.name} can't be given to a new object: save it, then use .set()")
    for declaration in model.__declarations__:
        name, attname, alias = declaration.name, declaration.attname, input_name(model, declaration.attname)
        if len(values.keys() & {name, attname, alias}) > 1:
            raise TypeError(f"{model.__name__}: give {name} or {attname}, not both")
        if attname in values:
            values[alias] = values.pop(attname)
            continue
        if name not in values:
            continue
        value = values.pop(name)
        relation = model.__dict__[name]
        values[alias] = relation.key_of(None, value)
        if isinstance(value, relation.model):
            related[name] = value
    return related
