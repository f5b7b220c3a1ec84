"""A field or a path through relations in a condition: `Choice.votes >= 3`, `Choice.question.question_text == "…"`."""

from typing import Any

from ..conditions import Q


class FieldPath:
    """A field in a condition: `Choice.votes >= 3`, `Choice.question.question_text == "…"`."""

    __slots__ = ("_model", "_path")

    def __init__(self, model: Any, path: str) -> None:
        self._model = model
        self._path = path

    def __getattr__(self, name: str) -> "FieldPath":
        if name.startswith("_"):
            raise AttributeError(name)
        return FieldPath(self._model, f"{self._path}__{name}")

    def __eq__(self, value: object) -> Q:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return Q((self._path, value))

    def __ne__(self, value: object) -> Q:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return ~Q((self._path, value))

    def __lt__(self, value: Any) -> Q:
        return Q((f"{self._path}__lt", value))

    def __le__(self, value: Any) -> Q:
        return Q((f"{self._path}__lte", value))

    def __gt__(self, value: Any) -> Q:
        return Q((f"{self._path}__gt", value))

    def __ge__(self, value: Any) -> Q:
        return Q((f"{self._path}__gte", value))

    __hash__ = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

    def __bool__(self) -> bool:
        raise TypeError(f"{self!r} is a field, not a value: compare it, as in filter({self!r} == ...)")

    def __repr__(self) -> str:
        return f"{self._model.__name__}.{self._path.replace('__', '.')}"


def class_field(model: Any, name: str) -> FieldPath:
    """The field of a class in a condition."""
    return FieldPath(model, name)
