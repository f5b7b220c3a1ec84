"""Refuses unknown options with the nearest name, or with the replacement of another library's option."""

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import wraps
from inspect import Parameter, signature
from typing import Any, TypeVar, cast

from ..errors import ModelError

C = TypeVar("C", bound=Callable[..., Any])


def hint_for(name: str, known: Iterable[str], instead: Mapping[str, str]) -> str:
    """The end of a message about an unknown option: what to write, the nearest option, or all of them."""
    known = list(known)
    if name in instead:
        return instead[name]
    near = get_close_matches(name, known, 1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"there are {', '.join(known)}" if known else "it has none"


def refuses_unknown_options(**instead: str) -> Callable[[C], C]:
    """A decorator: a keyword that the function does not have is a ModelError that says what to write.

    instead: what to write in place of options of other libraries, by their names.
    """

    def decorate(function: C) -> C:
        kinds = (Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
        known = [p.name for p in signature(function).parameters.values() if p.kind in kinds and p.name != "self"]

        @wraps(function)
        def checked(*arguments: Any, **options: Any) -> Any:
            for name in options:
                if name not in known:
                    own = type(arguments[0]).__name__ if function.__name__ == "__init__" else function.__name__
                    raise ModelError(f"{own}() has no option {name!r}; {hint_for(name, known, instead)}")
            return function(*arguments, **options)

        return cast(C, checked)

    return decorate
