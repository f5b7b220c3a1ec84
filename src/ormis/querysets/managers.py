"""Managers: where the querysets of a model begin."""

from collections.abc import Callable
from inspect import isfunction
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar, overload

from ..errors import shown
from .queryset import Queryable, QuerySet, no_method

M = TypeVar("M")


class Manager(Queryable[M]):
    """The way to a model's objects: `Question.objects`. Subclass it for methods of your own, and set it in the class.

    `get_queryset()` is where all its queries begin; override it to narrow them.
    """

    queryset_class: type[QuerySet[Any]] = QuerySet

    def __get__(self, instance: object | None, owner: type[Any]) -> Self:
        if instance is not None:
            raise AttributeError(f"managers belong to the class, not to its objects: {owner.__name__}.objects")
        bound = object.__new__(type(self))
        bound.__dict__ |= self.__dict__
        bound.model = owner
        return bound

    @classmethod
    def from_queryset(cls, queryset_class: type[QuerySet[Any]]) -> type[Self]:
        """A manager class whose querysets are of this class, with the methods that it adds."""
        methods = {
            name: _forwarding(name)
            for name in dir(queryset_class)
            if not name.startswith("_")
            and isfunction(method := getattr(queryset_class, name))
            and getattr(QuerySet, name, None) is not method
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
            raise no_method(self, name)

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
    """`objects` of a model that sets none of its own. On the metaclass: a class body that sets one takes precedence."""

    # pyright takes the class for the instance of its metaclass, as Python does; mypy for the owner.
    @overload
    def __get__(self, model: type[M], meta: Any) -> Manager[M]: ...
    @overload
    def __get__(self, model: None, meta: type[M]) -> Manager[M]: ...
    def __get__(self, model: Any, meta: Any) -> Manager[Any]:
        manager: Manager[Any] = Manager()
        manager.model = model
        return manager
