"""Types of fields that are named before they exist: found when the model is used, as pydantic finds them."""

from inspect import currentframe
from typing import Any

from pydantic import BaseModel
from pydantic.errors import PydanticUndefinedAnnotation


def are_known(model: Any) -> bool:
    """True if the types of all fields are known, also if those that were declared meanwhile make it so."""
    return model.__pydantic_complete__ or bool(rebuild(model, raise_errors=False, _types_namespace=_names_of_caller()))


def unknown(model: Any) -> str:
    """The name of a type that is not known yet, empty if there is none."""
    try:
        rebuild(model, _types_namespace=_names_of_caller())
    except PydanticUndefinedAnnotation as error:
        return error.name or ""
    return ""


def rebuild(model: Any, **options: Any) -> bool | None:
    """Pydantic's model_rebuild(), without the frame of its caller."""
    options = {"_types_namespace": {}, **options}
    return BaseModel.model_rebuild.__func__(model, **options)  # type: ignore[attr-defined]  # pyright: ignore[reportFunctionMemberAccess]


def _names_of_caller() -> dict[str, Any]:
    """The local names of the function that uses the model."""
    frame = currentframe()
    while (
        frame is not None
        and frame.f_back is not None
        and frame.f_globals.get("__name__", "").startswith(("ormis.", "pydantic."))
    ):
        frame = frame.f_back
    return {} if frame is None else dict(frame.f_locals)
