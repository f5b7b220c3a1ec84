"""The validation of one field by itself: by its type, its constraints and the validators of its model.

update(), the results of F and lookups have a value for a field, and no whole object.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Annotated, Any, cast

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    PlainValidator,
    PydanticSchemaGenerationError,
    TypeAdapter,
    ValidationError,
    WrapValidator,
)

from ..errors import FieldError, shown
from ..storage.annotations import unwrapped, without_none
from ..storage.special_types import validators_of

_NORMALISING = ("strip_whitespace", "to_lower", "to_upper")


class RefusedValue(Exception):
    """A value of the right type that the validators of the field refuse: no object has it."""


@cache
def field_adapter(model: Any, name: str) -> TypeAdapter[Any]:
    """The adapter that validates a value of this field."""
    info = model.model_fields[name]
    annotation: Any = info.annotation
    for item in (*info.metadata, *validators_of(model, name)):
        annotation = Annotated[annotation, item]
    options = {option: value for option, value in model.model_config.items() if option.startswith("str_") and value}
    if options and unwrapped(without_none(info.annotation)[0]) is str:
        return TypeAdapter(annotation, config=cast(ConfigDict, options))
    try:
        return TypeAdapter(annotation)
    except PydanticSchemaGenerationError:
        return TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))


def validated(model: Any, name: str, value: Any) -> Any:
    """The value as the field holds it. Raises ValidationError, which names model and field."""
    try:
        return field_adapter(model, name).validate_python(value)
    except ValidationError as error:
        lines: Any = [{**line, "loc": (name,)} for line in error.errors(include_url=False)]
        raise ValidationError.from_exception_data(model.__name__, lines) from None
    except (LookupError, TypeError, AttributeError) as error:  # the data of the others is None here
        raise FieldError(
            f"{model.__name__}.{name}={shown(value)}: a validator of the field reads other fields ({error!r}), which "
            f"are not known here; load the objects, change and save them"
        ) from error


def normaliser(model: Any, name: str) -> Callable[[Any], Any] | None:
    """The function that makes a value of a lookup what the field would hold; None for fields that hold values as given.

    It raises RefusedValue for a value that the validators refuse.
    """
    info = model.model_fields[name]
    metadata = [*info.metadata, *_metadata(info.annotation)]
    if not validators_of(model, name) and not any(_normalises(item) for item in metadata):
        options = [f"str_{option}" for option in _NORMALISING]
        if unwrapped(without_none(info.annotation)[0]) is not str or not any(map(model.model_config.get, options)):
            return None

    def normalised(value: Any) -> Any:
        try:
            return field_adapter(model, name).validate_python(value)
        except ValidationError:
            raise RefusedValue from None
        except (LookupError, TypeError, AttributeError):  # of other fields, which a lookup does not have
            return value

    return normalised


def _metadata(annotation: Any) -> Iterator[Any]:
    """The items of Annotated, through other names of the type."""
    annotation = without_none(annotation)[0]
    while (inner := getattr(annotation, "__origin__", getattr(annotation, "__supertype__", None))) is not None:
        yield from getattr(annotation, "__metadata__", ())
        annotation = inner


def _normalises(item: Any) -> bool:
    return isinstance(item, (BeforeValidator, AfterValidator, PlainValidator, WrapValidator)) or any(
        getattr(item, option, None) for option in _NORMALISING
    )
