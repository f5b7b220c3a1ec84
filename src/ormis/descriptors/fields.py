"""A field or a path through relations in a condition: `Choice.votes >= 3`, `Choice.question.question_text == "…"`."""

from typing import Any, NoReturn

from ..errors import OrmisError, shown
from ..planning.names import names_after
from ..query.expressions import F
from ..query.q import Q
from .misused_paths import NoValue


class FieldPath(NoValue):
    """A field in a condition: `Choice.votes >= 3`, `Choice.question.question_text == "…"`."""

    __slots__ = ("_model", "_path")

    def __init__(self, model: Any, path: str) -> None:
        self._model = model
        self._path = path

    def __getattr__(self, name: str) -> "FieldPath":
        if name.startswith("_"):
            raise AttributeError(name)
        return FieldPath(self._model, f"{self._path}__{name}")

    def __dir__(self) -> list[str]:
        """With the names that may follow, for completion by tab: `Choice.question.te…`."""
        try:
            names = names_after(self._model.__schema__, self._path)
        except OrmisError:  # of a path that is nothing, or to a model that is not there yet
            names = []
        return [*super().__dir__(), *names]

    def __as_expression__(self) -> F:
        """The field as an expression, where one is expected: `Sum(Choice.votes)`."""
        return F(self._path)

    def __eq__(self, value: object) -> Q:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return self._compared("exact", value)

    def __ne__(self, value: object) -> Q:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return ~self._compared("exact", value)

    def __lt__(self, value: Any) -> Q:
        return self._compared("lt", value)

    def __le__(self, value: Any) -> Q:
        return self._compared("lte", value)

    def __gt__(self, value: Any) -> Q:
        return self._compared("gt", value)

    def __ge__(self, value: Any) -> Q:
        return self._compared("gte", value)

    def _compared(self, lookup: str, value: Any) -> Q:
        """The condition. Another field of the same model is what F names; of another model it is a TypeError."""
        if isinstance(value, FieldPath):
            if value._model is not self._model:
                raise TypeError(f"{self!r} can't be compared with {value!r}: both have to begin at one model")
            value = F(value._path)
        return Q((self._path if lookup == "exact" else f"{self._path}__{lookup}", value))

    __hash__ = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

    def __bool__(self) -> NoReturn:
        raise TypeError(f"{self!r} is a field, not a value: compare it, as in filter({self!r} == ...)")

    def __repr__(self) -> str:
        return f"{self._model.__name__}.{self._path.replace('__', '.')}"


def class_field(model: Any, name: str) -> FieldPath:
    """The field of a class in a condition."""
    return FieldPath(model, name)


def col(attribute: object) -> FieldPath:
    """Returns the class attribute of a field, with the type of an operand of a condition: `col(Question.rank) > 3`.

    To a type checker `Question.rank` has the type of its values, and `int | None` can't be compared with 3.
    Raises TypeError for a value that is no class attribute. Sends nothing.
    """
    if not isinstance(attribute, FieldPath):
        raise TypeError(f"col() takes a class attribute such as Question.rank, not {shown(attribute)}")
    return attribute


class FieldAttribute:
    """Stands on a class for a field whose name is that of a method of Model, which it hides.

    Objects have the value in their own dict, which comes first, unless the field is deferred.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, record: Any, owner: Any) -> Any:
        if record is not None:
            return record.__getattr__(self._name)
        if owner.__schema__ is None:  # pydantic looks here for a default while it makes the class
            raise AttributeError(self._name)
        return class_field(owner, self._name)
