"""Errors for what model classes and their objects can't do, each with the nearest name or with what to write."""

from collections.abc import Callable
from functools import lru_cache, wraps
from inspect import iscoroutinefunction
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

from ..errors import ModelError, hint_for, nearest, shown
from ..querysets.queryset import QuerySet
from ..schema import registry

Method = TypeVar("Method", bound=Callable[..., Any])
_OF_PYDANTIC = frozenset(dir(BaseModel))


def no_attribute(model: Any, name: str, *, on_class: bool) -> AttributeError:
    """The error for a name that a model class, or an object of it, does not have."""
    return AttributeError(_of_model(model, name, on_class, registry.changes()))


@lru_cache(maxsize=1024)
def _of_model(model: Any, name: str, on_class: bool, _changes: int) -> str:
    own = model.__name__
    if name in model.model_fields and on_class:
        return f"{own}.{name}: {_no_condition(model)}"
    if name in model.model_fields:
        return f"{own}.{name} has no value: the object was made past validation without one"
    said = f"{own} has no attribute {name!r}" if on_class else f"{own!r} object has no attribute {name!r}"
    if name == "objects" or _is_of_querysets(model, name):
        path = "objects" if name == "objects" else f"objects.{name}"
        return f"{said}: queries begin with the manager of the class, {own}.{path}"
    names = {*model.model_fields, *dir(model), "pk"} - _OF_PYDANTIC
    names |= {"objects"} if on_class else set()
    near = nearest(name, sorted(n for n in names if not n.startswith("_")))
    return f"{said}: {near}" if near else f"{said}; its fields are {', '.join(model.model_fields)}"


def by_key_alone(method: Method) -> Method:
    """A decorator of `get` and `aget`, which take a primary key: what else they are given is named, and its place."""
    name = method.__name__

    if iscoroutinefunction(method):

        @wraps(method)
        async def aget(model: Any, *keys: Any, **lookups: Any) -> Any:
            if lookups or len(keys) != 1:
                _check_key_alone(model, name, keys, lookups)
            return await method(model, *keys, **lookups)

        return cast(Method, aget)

    @wraps(method)
    def get(model: Any, *keys: Any, **lookups: Any) -> Any:
        if lookups or len(keys) != 1:
            _check_key_alone(model, name, keys, lookups)
        return method(model, *keys, **lookups)

    return cast(Method, get)


def _check_key_alone(model: Any, name: str, keys: tuple[Any, ...], lookups: dict[str, Any]) -> None:
    if not keys and lookups.keys() == {"pk"}:
        return
    own, pk = model.__name__, model._schema().pk.name
    given = ", ".join([*map(shown, keys), *(f"{lookup}={shown(value)}" for lookup, value in lookups.items())])
    instead = f"{own}.{name}({shown(lookups[pk])})" if lookups.keys() == {pk} else f"{own}.{name}(key)"
    conditions = given if lookups and not keys else f"{pk}=..."
    raise TypeError(
        f"{own}.{name}({given}): it takes one primary key. Write {instead}, or {own}.objects.{name}({conditions}) for "
        f"conditions"
    )


def _no_condition(model: Any) -> str:
    """Why a field of a class that is not complete stands for no condition."""
    if not model.__key__:
        return f"{model.__name__} is abstract; conditions name a field of a model made from it"
    return f"{model.__name__} can't be used yet: not declared are {registry.unresolved(model)}"


def _is_of_querysets(model: Any, name: str) -> bool:
    """Whether querysets, or the manager of a complete model, have a public attribute of this name."""
    if name.startswith("_") or hasattr(QuerySet, name):
        return not name.startswith("_")
    return bool(model.__key__) and hasattr(cast(Any, type(model.objects)), name)


def unnamed_values(model: Any, values: tuple[Any, ...]) -> str:
    """The message for an object that is given values without the names of fields."""
    if len(values) == 1 and isinstance(values[0], dict):
        return f"{model.__name__} takes its fields by name: write {model.__name__}(**values)"
    names = [d.name for d in model.__declarations__]
    keys = {d.attname for d in model.__declarations__}
    names += [name for name, info in model.model_fields.items() if name not in keys and info.is_required()]
    names = names or [name for name in model.model_fields if name != "id"]
    named = ", ".join(f"{name}={shown(value)}" for name, value in zip(names, values, strict=False))
    return f"{model.__name__} takes its fields by name, as in {model.__name__}({named or '...'})"


def note_unknown_fields(model: Any, error: ValidationError) -> None:
    """Adds the nearest field to pydantic's error for a value of a field that is none."""
    known = [*model.model_fields, *(d.name for d in model.__declarations__)]
    for line in error.errors(include_url=False, include_context=False, include_input=False):
        if line["type"] in ("extra_forbidden", "no_such_attribute") and len(line["loc"]) == 1:
            name = str(line["loc"][0])
            error.add_note(f"{model.__name__} has no field {name!r}: {hint_for(name, known)}")


def endless_validation(model: Any, name: str) -> ModelError | None:
    """The error for a validator that assigns to a field, and so validates the object again, without an end."""
    validators = model.__pydantic_decorators__.model_validators
    after = [own for own, decorator in validators.items() if decorator.info.mode != "before"]
    if not after or not model.model_config.get("validate_assignment"):
        return None
    return ModelError(
        f"{model.__name__}.{name} is assigned by a model validator ({', '.join(after)}), and an assignment runs the "
        f"validators again: write model_config = ConfigDict(validate_assignment=False), or a validator with "
        f'mode="before", which changes the values before there is an object'
    )
