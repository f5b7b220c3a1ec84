"""The fields of a stored model as those of another pydantic model: types, constraints, texts and aliases stay."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Annotated, Any, NoReturn

import pydantic
from pydantic import BaseModel, ConfigDict, create_model

from ..errors import FieldError, hint_for, shown
from ..schema.fields import FieldOptions

_KEPT = (
    "title", "description", "examples", "alias", "alias_priority", "validation_alias", "serialization_alias",
    "json_schema_extra", "deprecated", "discriminator", "field_title_generator",
)  # fmt: skip

Definition = tuple[Any, Any]
"""A field as create_model() takes it: its type and its value."""


def definition(
    info: Any, annotation: Any, more: Iterable[Any] = (), without: tuple[type, ...] = (), **options: Any
) -> Definition:
    """A field of this type with the constraints and texts of another one.

    more: metadata of the type beside its own. without: kinds of metadata that it loses. options: as for Field.
    """
    kept = {name: value for name in _KEPT if (value := getattr(info, name, None)) is not None}
    for item in (*getattr(info, "metadata", ()), *more):
        if not isinstance(item, (FieldOptions, *without)):
            annotation = Annotated[annotation, item]
    return annotation, pydantic.Field(**(kept | options))


def names_among(
    names: Collection[str] | None, known: Iterable[str], place: str, own: Callable[[str], str] = str
) -> tuple[str, ...] | None:
    """The names that a user gave as fields, in one form; None for None.

    own: turns another name of a field, that of a relation, into its own.
    Raises FieldError for a name that is not known, TypeError for a text in place of a list.
    """
    if names is None:
        return None
    if isinstance(names, str):
        raise TypeError(f"{place} takes a list of names: write [{shown(names)}]")
    fields, known = dict.fromkeys(map(own, names)), [*known]
    for name in fields:
        if name not in known:
            _refuse(name, known, place)
    return tuple(fields)


def _refuse(name: str, known: Sequence[str], place: str) -> NoReturn:
    raise FieldError(f"{place}: there is no field {shown(name)}: {hint_for(str(name), known)}")


def model_of(
    model: Any, name: str, fields: dict[str, Definition], config: ConfigDict, decorated: dict[str, Any]
) -> type[BaseModel]:
    """The pydantic model of these fields, beside the stored one, with its text and its settings.

    config: settings of its own. decorated: validators and serializers.
    """
    make: Any = create_model
    return make(
        name,
        __config__={**model.model_config, **config},
        __doc__=model.__doc__ if "__doc__" in vars(model) else None,
        __module__=model.__module__,
        __validators__=decorated,
        **fields,
    )


def kept_class(model: Any, kind: str, arguments: Any, named: str, make: Callable[[str], type[BaseModel]]) -> Any:
    """The class for these arguments, made once. The first of its kind has a plain name, `QuestionBody`; others are
    named after their arguments: OpenAPI knows classes by their names.
    """
    known: dict[Any, type[BaseModel]] = model.__dict__.get("__api_models__") or {}
    model.__api_models__ = known
    if (kind, arguments) not in known:
        plain = f"{model.__name__}{kind}"
        first = all(other != kind for other, _ in known)
        known[kind, arguments] = make(plain if first else f"{plain}{named or 'Plain'}")
    return known[kind, arguments]


def in_name(prefix: str, names: Iterable[str] | None) -> str:
    """Names of fields as a part of the name of a class: `WithTextAndVotes`; nothing for None."""
    if names is None:
        return ""
    return prefix + "And".join(name.replace("_", " ").title().replace(" ", "") for name in names)
