"""`body()`: the pydantic model of what a client may send."""

# It uses the inside of models.
# pyright: reportPrivateUsage=false

from collections.abc import Collection
from typing import Any

from pydantic import BaseModel, ConfigDict, PlainSerializer, WrapSerializer, model_validator

from ..descriptors.input_values import input_name
from ..errors import shown
from ..model import Model
from ..schema.fields import options_of
from ..storage.special_types import validators_of
from .fields import definition, in_name, kept_class, model_of, names_among


def body(
    model: type[Model],
    *,
    partial: bool = False,
    include: Collection[str] | None = None,
    exclude: Collection[str] | None = None,
) -> type[BaseModel]:
    """The pydantic model of what a client may send: the fields of a model, without a primary key that the server
    counts and without those that writes set (auto_now). Relations are their keys, `question_id`.

    partial: for PATCH: every field may be missing, and `model_dump(exclude_unset=True)` has those that were sent. It
        has no primary key and no frozen field, since these can't be changed.
    include, exclude: names of fields, of all or of these no others; a relation is named as on the model.

    Constraints, titles, descriptions, examples, aliases and the validators of fields are those of the model. The
    validators of the whole model run where every required field can be sent: by an object that is made of the values
    and thrown away. Unknown fields are refused, as the model says (`extra="forbid"`).

    The class is made once for the same arguments. The first is called `QuestionBody`, or `QuestionPatch`; one with
    other arguments is named after these. No call.

    Raises FieldError for a name that is no field, ModelError for an abstract model.

        class QuestionBody(ormis.body(Question)):
            \"\"\"What a client may send.\"\"\"

        question = Question(**body.model_dump())
    """
    if not (isinstance(model, type) and issubclass(model, Model)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"body() takes a model, not {shown(model)}")
    schema, sendable, place = model._schema(), _sendable(model, partial), f"body({model.__name__})"

    def own(name: str) -> str:
        return next((r.column.name for r in schema.references if r.name == name), name)

    included = names_among(include, sendable, f"{place}: include", own)
    excluded = names_among(exclude, schema.own_names, f"{place}: exclude", own)
    kept = tuple(name for name in sendable if name not in (excluded or ()) and (included is None or name in included))
    named = in_name("With", included) + in_name("Without", excluded)
    kind = "Patch" if partial else "Body"
    return kept_class(model, kind, kept, named, lambda name: _made(model, name, kept, partial))


def _sendable(model: Any, partial: bool) -> list[str]:
    """The names of the fields that a client may set."""
    schema, fields = model._schema(), model.model_fields
    unchanging = [name for name, info in fields.items() if info.frozen] + [schema.pk.name] if partial else []
    counted = [schema.pk.name] if schema.automatic else []
    return [
        name
        for name, info in fields.items()
        if name not in (*counted, *unchanging) and not (options_of(info).auto_now or options_of(info).auto_now_add)
    ]


def _made(model: Any, name: str, kept: tuple[str, ...], partial: bool) -> type[BaseModel]:
    fields = {
        field: definition(
            model.model_fields[field],
            model.model_fields[field].annotation,
            validators_of(model, field),
            (PlainSerializer, WrapSerializer),  # model_dump() has values for the model, not for a client
            serialization_alias=input_name(model, field),
            **_default(model.model_fields[field], partial),
        )
        for field in kept
    }
    required = {field for field, info in model.model_fields.items() if info.is_required()}
    validators: dict[str, Any] = {}
    if _has_validators(model) and not partial and required <= {*kept}:
        validators["check_whole"] = model_validator(mode="after")(_checked_by(model))
    # model_dump() is for the model: for its constructor by the names that this takes, for setattr() by those of fields.
    return model_of(model, name, fields, ConfigDict(from_attributes=False, serialize_by_alias=not partial), validators)


def _default(info: Any, partial: bool) -> dict[str, Any]:
    if partial:
        return {"default_factory": _nothing}  # a factory, since it is not in the JSON schema
    if info.is_required():
        return {}
    if info.default_factory is not None:
        return {"default_factory": info.default_factory, "validate_default": info.validate_default}
    return {"default": info.default, "validate_default": info.validate_default}


def _nothing() -> None:
    """The value of a field that was not sent."""


def _has_validators(model: Any) -> bool:
    decorators = model.__pydantic_decorators__
    return bool(decorators.model_validators or decorators.root_validators)


def _checked_by(model: Any) -> Any:
    """A validator that makes an object of the values that were sent: its errors are those of the body."""

    def check_whole(self: BaseModel) -> BaseModel:
        sent = {name: vars(self)[name] for name in self.model_fields_set if name in model.model_fields}
        model(**{input_name(model, name): value for name, value in sent.items()})
        return self

    return check_whole
