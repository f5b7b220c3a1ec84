"""The parts of a model that its pages are made of: columns with an index, relations in both directions, titles of
objects.

The only module of the admin that reads schemas; the others know models by it.
"""

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any

import ormis

Model = type[ormis.Model]

TITLE_LENGTH = 80
"""Characters of an object's title, which stands in lists, pickers and messages."""


def schema_of(model: Model) -> Any:
    """The schema of a model. Raises ModelError for one that waits for a class that it refers to."""
    model.objects.all()  # completes the models that wait
    if model.__schema__ is None:
        raise ormis.ModelError(f"{model.__name__} refers to a class that is not declared yet: import its module, too")
    return model.__schema__


def declared_models() -> list[Model]:
    """Every model that has objects; of one that was declared again the class that it is now."""
    return [*{model.__label__: model for model in _subclasses(ormis.Model) if model.__schema__ is not None}.values()]


def _subclasses(base: Model) -> Iterator[Model]:
    for model in base.__subclasses__():
        yield model
        yield from _subclasses(model)


def columns_of(model: Model) -> tuple[Any, ...]:
    """The columns of an object, the primary key first; that of a polymorphic model's kind is not among them."""
    schema = schema_of(model)
    return tuple(column for column in schema.own if column.name in model.model_fields)


def index_of(model: Model, column: Any) -> str:
    """The kind of index that a column has alone: "equal", "sorted", "text", "members"; "" if it has none."""
    found = schema_of(model).index_of.get(column)
    return "" if found is None else found.type


def is_unique(model: Model, column: Any) -> bool:
    """Returns whether no two objects have the same value in this column."""
    schema = schema_of(model)
    return column is schema.pk or any(unique.columns == (column,) for unique in schema.unique)


def is_text(column: Any) -> bool:
    """Returns whether the values of a column are texts, and no texts of another type."""
    return column.codec.kind == "text" and column.codec.variant is None


def walked_in_order(model: Model, name: str) -> bool:
    """Returns whether an index has the objects in the order of this field."""
    schema = schema_of(model)
    column = schema.by_name.get(name)
    if column is schema.pk:
        return schema.automatic
    return column is not None and index_of(model, column) in ("sorted", "text")


def references_of(model: Model) -> dict[str, Any]:
    """The foreign keys of a model, each by its column."""
    return {reference.column.name: reference for reference in schema_of(model).references}


def model_for(label: str, models: Iterable[Model]) -> Model | None:
    """The model with this label, or the polymorphic one whose subclass it is, among these."""
    known = {model.__label__: model for model in models}
    return known.get(label) or known.get(label.partition("/")[0])


def links_of(model: Model, models: Iterable[Model]) -> list[Any]:
    """The many-to-many relations of a model with these models, on either side; those with a through model are not."""
    labels = schema_of(model).relatives
    own = list(schema_of(model).links)
    others = [link for other in models for link in schema_of(other).links if link.source == other.__label__]
    found = own + [link.back for link in others if link.target in labels and not link.symmetrical]
    return [link for link in dict.fromkeys(found) if not link.through and "." not in link.name]


def referrers_of(model: Model, models: Iterable[Model]) -> list[tuple[Model, Any]]:
    """The foreign keys of these models that refer to a model, each with the model that declares it."""
    labels = schema_of(model).relatives
    return [
        (other, reference)
        for other in models
        for reference in schema_of(other).references
        if reference.target in labels and reference.source == other.__label__
    ]


def key_text(value: Any) -> str:
    """A primary key as it stands in addresses and forms; lookups read it back."""
    return str(value.value if isinstance(value, Enum) else value)


def title_of(record: ormis.Model) -> str:
    """The title of an object: what its own `__str__` says, else its first text, else its model and key."""
    model = type(record)
    if model.__str__ is not ormis.Model.__str__:
        text = str(record)
    else:
        texts = (getattr(record, column.name, None) for column in columns_of(model)[1:] if is_text(column))
        text = next((text for text in texts if isinstance(text, str) and text), "")
    text = " ".join((text or f"{model.__name__} {key_text(record.pk)}").split())
    return text if len(text) <= TITLE_LENGTH else f"{text[: TITLE_LENGTH - 1]}…"
