"""Questions that a comparison of states can't answer: is a field another one, or the same with another name?"""

from ast import literal_eval
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from ..errors import MigrationError, reason
from .state import Default, FieldState, ModelState, readable_default
from .types import FieldValues


class Questioner(Protocol):
    """Answers the questions of makemigrations."""

    def renamed_model(self, old: ModelState, new: ModelState, /) -> bool:
        """Returns whether a model that is gone is a new one with the same fields."""
        ...

    def renamed_field(self, model: ModelState, old: str, new: str, /) -> bool:
        """Returns whether a field that is gone is a new one; relations are named by their attribute."""
        ...

    def value_for(self, model: ModelState, field: FieldState, /) -> Default:
        """Returns the value of stored objects for a field that must have one. Raises MigrationError for none."""
        ...


class Unasked:
    """Answers where nobody is asked: nothing is renamed, and a value that is needed is an error."""

    def renamed_model(self, *_: object) -> bool:
        """Never."""
        return False

    def renamed_field(self, *_: object) -> bool:
        """Never."""
        return False

    def value_for(self, model: ModelState, field: FieldState) -> Default:
        """Raises MigrationError."""
        raise MigrationError(
            f"{model.name}.{field.name}: objects that are stored have no value for it: give it a default, allow None, "
            f"run makemigrations in a terminal to give a value, or write AddField(..., fill=function) by hand"
        )


class Asking:
    """Answers by a person. confirm: asks for yes or no. ask: asks for a text."""

    def __init__(self, confirm: Callable[[str], bool], ask: Callable[[str], str]) -> None:
        self._confirm = confirm
        self._ask = ask

    def renamed_model(self, old: ModelState, new: ModelState) -> bool:
        """Asks."""
        return self._confirm(f"Was the model {old.name} ({old.key}) renamed to {new.name} ({new.key})?")

    def renamed_field(self, model: ModelState, old: str, new: str) -> bool:
        """Asks."""
        return self._confirm(f"Was {model.name}.{old} renamed to {model.name}.{new}?")

    def value_for(self, model: ModelState, field: FieldState) -> Default:
        """Asks until the text is a value of the field."""
        question = (
            f"{model.name}.{field.name} must have a value, and objects that are stored have none. "
            f"Their value ({field.type}), which is not the default of later ones"
        )
        while True:
            try:
                return value_of(field, self._ask(question))
            except ValueError as error:
                question = f"That is no {field.type} ({reason(error)}). The value of {model.name}.{field.name}"


def value_of(field: FieldState, typed: str) -> Default:
    """The value of a field as somebody types it: a text as it is or in quotes, others as texts or Python's literals.

    Raises ValueError for what is none.
    """
    value: Any = typed
    if field.kind in ("text", "bytes", "json"):
        with suppress(ValueError, SyntaxError):
            value = literal_eval(typed)
    if field.kind == "text" and not isinstance(value, str):
        value = typed
    text = FieldValues(field).text(value)
    if text is None:
        raise ValueError("it may not be None")
    return readable_default(field.kind, text if field.kind == "bytes" else text.decode())
