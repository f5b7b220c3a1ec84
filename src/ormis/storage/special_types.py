"""Field types whose values depend on more than the type: enums kept as values, flags, types unknown to pydantic.

A type of a third party has a text by `Annotated[T, PlainValidator(...), PlainSerializer(...)]`, or by validators and
serializers of its model, with `arbitrary_types_allowed`.
"""

from collections.abc import Callable
from enum import Enum, Flag
from inspect import signature
from typing import Annotated, Any, cast, get_args, get_origin

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    PlainValidator,
    PydanticUserError,
    TypeAdapter,
    WrapSerializer,
    WrapValidator,
)

from .codecs import Codec, codec_for, guarded

Special = tuple[Codec, Callable[[Any], Any]]
"""A codec, and the conversion of a value to the type."""

_KNOWN_MODULES = ("builtins", "datetime", "decimal", "uuid")
_VALIDATORS = {"before": BeforeValidator, "after": AfterValidator, "plain": PlainValidator, "wrap": WrapValidator}


def special_codec(model: Any, name: str, annotation: Any) -> Special | None:
    """The codec of a field of such a type, without its `| None`; None for every other type.

    Raises TypeError for a type that has no text.
    """
    plain = annotation
    while get_origin(plain) is Annotated:
        plain = get_args(plain)[0]
    if isinstance(plain, type) and issubclass(cast(type[Any], plain), Enum):
        return _enum_codec(cast(type[Enum], plain), bool(model.model_config.get("use_enum_values")))
    if isinstance(plain, type) and plain.__module__ in _KNOWN_MODULES:
        return None
    try:
        TypeAdapter(plain)
    except PydanticUserError:
        return _foreign_codec(model, name, annotation, plain)
    return None


# Enums ---------------------------------------------------------------------------------------------------------------


def _enum_codec(cls: type[Enum], as_values: bool) -> Special | None:
    if not as_values and not issubclass(cls, Flag):
        return None
    convert = TypeAdapter(cls, config=ConfigDict(use_enum_values=as_values)).validate_python
    base = codec_for(int) if issubclass(cls, Flag) else codec_for(cls)

    def member(value: Any) -> Any:
        return value if isinstance(value, cls) else cls(value)

    def encode(value: Any) -> Any:
        return base.encode(member(value).value if issubclass(cls, Flag) else member(value))

    def finish(wire: Any) -> Any:
        found = member(wire if base.finish is None else base.finish(wire))
        return found.value if as_values else found

    return Codec(base.kind, encode, base.wire, base.read, guarded(finish)), convert


# Types that pydantic does not know -----------------------------------------------------------------------------------


def _foreign_codec(model: Any, name: str, annotation: Any, plain: Any) -> Special:
    config = ConfigDict(arbitrary_types_allowed=bool(model.model_config.get("arbitrary_types_allowed")))
    for item in (*model.model_fields[name].metadata, *validators_of(model, name), *_serializers_of(model, name)):
        annotation = Annotated[annotation, item]
    serializers = (PlainSerializer, WrapSerializer)
    try:
        adapter = TypeAdapter(annotation, config=config)
        is_text = _is_text(adapter)
    except PydanticUserError:
        is_text = False
        if not any(isinstance(item, serializers) for item in get_args(annotation)):
            said = getattr(plain, "__name__", plain)
            raise TypeError(
                f"{said} has no text to be stored as; write Annotated[{said}, PlainValidator(...), "
                f"PlainSerializer(...)] with functions that make it of a text and a text of it"
            ) from None
        adapter = TypeAdapter(annotation, config=config)
    if is_text:
        text = codec_for(str)

        def encode(value: Any) -> Any:
            return text.encode(adapter.dump_python(value, mode="json"))

        return Codec("text", encode, text.wire, text.read, guarded(adapter.validate_python)), adapter.validate_python

    def encode_json(value: Any) -> str:
        return adapter.dump_json(value).decode()

    return Codec("json", encode_json, str, codec_for(str).read, guarded(adapter.validate_json)), adapter.validate_python


def _is_text(adapter: TypeAdapter[Any]) -> bool:
    return adapter.json_schema(mode="serialization").get("type") == "string"


def validators_of(model: Any, name: str) -> list[Any]:
    """The validators of a model for a field, in the form of Annotated."""
    found = _of_field(model.__pydantic_decorators__.field_validators, name)
    return [cast(Any, _VALIDATORS[one.info.mode])(one.func) for one in found]


def _serializers_of(model: Any, name: str) -> list[Any]:
    found = _of_field(model.__pydantic_decorators__.field_serializers, name)
    return [
        PlainSerializer(_of_value(one.func), return_type=one.info.return_type)
        for one in found
        if one.info.mode == "plain"
    ]


def _of_field(decorators: Any, name: str) -> list[Any]:
    return [one for one in decorators.values() if name in one.info.fields or "*" in one.info.fields]


def _of_value(function: Any) -> Callable[[Any], Any]:
    """A serializer of a model as a function of the value alone."""
    names = [*signature(function).parameters]
    return (lambda value: function(None, value)) if len(names) > 1 else function
