"""Managers: where the querysets of a model begin."""

from collections.abc import Callable
from inspect import isfunction
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar, overload

from ..errors import shown
from .queryset import Queryable, QuerySet
from .unknown_methods import no_method

M = TypeVar("M")


class Manager(Queryable[M]):
    """The way to a model's objects: `Question.objects`. Subclass it for methods of your own, and set it in the class.

    `get_queryset()` is where all its queries begin; override it to narrow them.
    """

    queryset_class: type[QuerySet[Any]] = QuerySet

    @overload
    def __get__(self, record: None, model: type[Any]) -> Self: ...
    @overload
    def __get__(self, record: object, model: type[Any]) -> Any: ...
    def __get__(self, record: object | None, model: type[Any]) -> Any:
        refuse_object(record, model)
        bound = object.__new__(type(self))
        bound.__dict__ |= self.__dict__
        bound.model = model
        return bound

    @classmethod
    def from_queryset(cls, queryset_class: type[QuerySet[Any]]) -> Any:
        """A manager class whose querysets are of this class, with the methods that it adds.

        A method with `queryset_only = True` is left out, one with False is taken even if its name is private.
        """
        methods = {
            name: _forwarding(name)
            for name in dir(queryset_class)
            if isfunction(method := getattr(queryset_class, name))
            and getattr(QuerySet, name, None) is not method
            and not getattr(method, "queryset_only", name.startswith("_"))
        }
        manager_class: Any = type(
            f"{cls.__name__}From{queryset_class.__name__}", (cls,), {"queryset_class": queryset_class, **methods}
        )
        return manager_class

    def get_queryset(self) -> QuerySet[M]:
        """The queryset that everything begins with."""
        return self.queryset_class(self.model)

    def all(self) -> QuerySet[M]:
        """Every object, as a new queryset."""
        return self.get_queryset()

    def _queryset(self) -> QuerySet[M]:
        return self.get_queryset()

    if not TYPE_CHECKING:  # a checker refuses these by itself

        def __iter__(self) -> NoReturn:
            raise TypeError(f"{self._named()} is a manager: write .all() to go through its objects")

        def __len__(self) -> NoReturn:
            raise TypeError(f"{self._named()} is a manager: write .count() for the number of its objects")

        def __getitem__(self, at: Any) -> NoReturn:
            raise TypeError(f"{self._named()} is a manager: write .all()[{shown(at)}]")

        def __contains__(self, record: Any) -> NoReturn:
            raise TypeError(f"{self._named()} is a manager: write .contains({shown(record)}), or `in` .all()")

        def __await__(self) -> NoReturn:
            raise TypeError(f"{self._named()} is a manager: write await {self._named()}.all()")

        def __aiter__(self) -> NoReturn:
            raise TypeError(f"{self._named()} is a manager: write async for ... in {self._named()}.all()")

        def __bool__(self) -> bool:
            return True

        def __getattr__(self, name: str) -> NoReturn:
            raise no_method(self, name, QuerySet)

    def _named(self) -> str:
        """What it is called in messages."""
        return f"{self.model.__name__}.objects"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.model.__name__}>"


def _forwarding(name: str) -> Callable[..., Any]:
    def method(self: Manager[Any], *arguments: Any, **options: Any) -> Any:
        return getattr(self.get_queryset(), name)(*arguments, **options)

    method.__name__ = name
    return method


QuerySet.manager_class = Manager


class DefaultManager:
    """`objects` of a model that sets none of its own."""

    @overload
    def __get__(self, record: None, model: type[M]) -> Manager[M]: ...
    @overload
    def __get__(self, record: object, model: type[Any]) -> Any: ...
    def __get__(self, record: object | None, model: type[Any]) -> Any:
        refuse_object(record, model)
        manager: Manager[Any] = Manager()
        manager.model = model
        return manager


def refuse_object(record: object | None, model: type[Any]) -> None:
    """Raises AttributeError for a manager that is asked of an object."""
    if record is not None:
        raise AttributeError(f"managers belong to the class, not to its objects: {model.__name__}.objects")
