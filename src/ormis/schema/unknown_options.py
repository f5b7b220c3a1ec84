"""Refuses unknown options with the nearest name, or with the replacement of another library's option."""

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from typing import Any, TypeVar, cast

from ..errors import ModelError, hint_for, shown

C = TypeVar("C", bound=Callable[..., Any])


def refuses_unknown_options(
    *, positional: Callable[[str, Any, dict[str, Any]], str] | None = None, **instead: str
) -> Callable[[C], C]:
    """A decorator: an argument that the function does not have is a ModelError that says what to write.

    positional: what to write in place of an argument without a name, given the function's name, the argument, options.
    instead: what to write in place of options of other libraries, by their names.
    """

    def decorate(function: C) -> C:
        kinds = (Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
        parameters = [p for p in signature(function).parameters.values() if p.name != "self"]
        known = [p.name for p in parameters if p.kind in kinds]
        by_place = [p.name for p in parameters if p.kind is Parameter.POSITIONAL_OR_KEYWORD]
        any_number = any(p.kind is Parameter.VAR_POSITIONAL for p in parameters)
        is_method = function.__name__ == "__init__"

        @wraps(function)
        def checked(*arguments: Any, **options: Any) -> Any:
            own = type(arguments[0]).__name__ if is_method else function.__name__
            given = arguments[1:] if is_method else arguments
            if len(given) > len(by_place) and not any_number:
                first = given[len(by_place)]
                hint = "give its options by name" if positional is None else positional(own, first, options)
                raise ModelError(f"{own}() does not take {_shown(first)}; {hint}")
            for name in options:
                if name not in known:
                    raise ModelError(f"{own}() has no option {name!r}; {hint_for(name, known, instead)}")
            return function(*arguments, **options)

        return cast(C, checked)

    return decorate


def _shown(value: Any) -> str:
    """An argument as a message shows it: a class by its name."""
    return value.__name__ if isinstance(value, type) else shown(value)
