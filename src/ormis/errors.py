"""The errors ormis raises.

    OrmisError
    ├── NotConnected              a model is used before connect()
    ├── LayoutError               the database was written with another layout
    ├── ClusterError              a cluster can't do this, or has another number of partitions
    ├── MigrationError            migrations can't be read, ordered or run as they are
    ├── ModelError                a model class can't be made as it is declared (a TypeError too)
    ├── FieldError                unknown field or lookup, or a value that does not convert
    │   └── PageTokenError        a token of page() that is damaged, or of another query (a ValueError too)
    ├── DoesNotExist              also as Question.DoesNotExist
    ├── MultipleObjectsReturned   also as Question.MultipleObjectsReturned
    ├── IntegrityError            the write was refused, nothing has changed
    │   ├── UniqueViolation
    │   ├── ForeignKeyViolation
    │   ├── ProtectedError
    │   └── RestrictedError
    ├── ConflictError             somebody else changed the object meanwhile, nothing has changed
    ├── StoredDataError           a stored value can't be read as the model declares it
    └── RelationNotLoaded         a relation, or a deferred field, is not loaded and can't be loaded on use

Bad values raise pydantic's ValidationError. Errors of the connection or the server are redis-py's own.
"""

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError


class OrmisError(Exception):
    """Base of every error that ormis raises itself."""


class NotConnected(OrmisError):
    """A model is used before there is a database to use."""


class LayoutError(OrmisError):
    """The database was written by a version of ormis with another layout of keys."""


class ClusterError(OrmisError):
    """A database on a cluster can't do this, or has another number of partitions; nothing has changed."""


class MigrationError(OrmisError):
    """Migrations can't be read, ordered or run as they are."""


class MigrationWarning(UserWarning):
    """Models need a migration: the database stores fields of them in another way than they declare."""


class ModelError(OrmisError, TypeError):
    """A model class can't be made as it is declared."""


class FieldError(OrmisError):
    """A query or a save names a field or lookup that does not exist, or a value that does not convert."""


class PageTokenError(FieldError, ValueError):
    """A token of `page()` is damaged, or was made by a query on another model, in another order or with other
    conditions.
    """


class DoesNotExist(OrmisError):
    """No object matches."""


class MultipleObjectsReturned(OrmisError):
    """More than one object matches where one was asked for."""


class IntegrityError(OrmisError):
    """The database refused a write; nothing has changed.

    `model`, `field` and `value` name the refused value, if it is one of a field.
    """

    def __init__(self, message: str, *, model: str = "", field: str = "", value: Any = None) -> None:
        super().__init__(message)
        self.model = model
        self.field = field
        self.value = value


class UniqueViolation(IntegrityError):
    """Another object holds the value of a unique field, of a unique constraint or the primary key."""


class ForeignKeyViolation(IntegrityError):
    """A relation points at an object that is not there."""


class _Refused(IntegrityError):
    """A deletion that other objects stand in the way of; `objects` lists their keys."""

    origin: Any = None
    """The database of the objects, and whether async code asked; None in an error that was pickled."""

    def __init__(
        self,
        message: str,
        *,
        objects: tuple[str, ...] = (),
        model: str = "",
        field: str = "",
        find: Callable[[tuple[str, ...], Any], set[Any]] | None = None,
    ) -> None:
        super().__init__(message, model=model, field=field)
        self.objects = objects
        self._find = find

    def _found(self) -> set[Any]:
        return set() if self._find is None or self.origin is None else self._find(self.objects, self.origin)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args, {**vars(self), "origin": None}  # a pickle holds no database


class ProtectedError(_Refused):
    """Objects with on_delete=PROTECT refer to an object of the deletion; `objects` lists their keys."""

    @property
    def protected_objects(self) -> set[Any]:
        """The objects that refer to it. No call: their fields are loaded on first use."""
        return self._found()


class RestrictedError(_Refused):
    """Objects with on_delete=RESTRICT refer to an object of the deletion and are not deleted with it."""

    @property
    def restricted_objects(self) -> set[Any]:
        """The objects that refer to it. No call: their fields are loaded on first use."""
        return self._found()


class ConflictError(OrmisError):
    """Another client changed what this write was based on; nothing has changed. `model` and `field` name it."""

    def __init__(self, message: str, *, model: str = "", field: str = "") -> None:
        super().__init__(message)
        self.model = model
        self.field = field


class StoredDataError(OrmisError):
    """A stored value can't be read as the model declares it; `key` and `field` name it."""

    def __init__(self, message: str, *, key: str = "", field: str = "") -> None:
        super().__init__(message)
        self.key = key
        self.field = field


class RelationNotLoaded(OrmisError):
    """A relation or a deferred field is used before it is loaded, of an object loaded by async code or under RAISE."""


def shown(value: Any) -> str:
    """A value as a message shows it: its repr; for a queryset its class and model, since its repr sends a query."""
    described: Any = getattr(value.__class__, "_described", None)
    try:
        return repr(value) if described is None else str(described(value))
    except ValueError:  # an int of more digits than Python writes
        return f"<{type(value).__name__} that is too long to be shown>"


def reason(error: ValueError) -> str:
    """Why pydantic refuses a value, in one line."""
    return error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)


def hint_for(name: str, known: Iterable[str], instead: Mapping[str, str] | None = None) -> str:
    """The end of a message about an unknown name: what to write instead, the nearest that exists, or all of them."""
    known = [*known]
    if instead is not None and name in instead:
        return instead[name]
    return nearest(name, known) or (f"there are {', '.join(known)}" if known else "there are none")


def nearest(name: str, known: Iterable[str]) -> str:
    """The nearest name that exists, as a question; empty if none is near."""
    near = get_close_matches(name, [*known], 1)
    return f"did you mean {near[0]!r}?" if near else ""


def of_another_model(value: Any, model: Any) -> str:
    """A value in place of an object of a model, as a message shows it; a class that was declared again is named."""
    if getattr(value.__class__, "__label__", "") != model.__label__ or not model.__label__:
        return shown(value)
    return f"{shown(value)} of the class {model.__name__} before it was declared again: load it again"
