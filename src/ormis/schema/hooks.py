"""Hooks: methods of a model that are called before and after its objects are saved and deleted.

    class Question(ormis.Model):
        @ormis.before_save
        def fill_slug(self) -> None:
            self.slug = slugify(self.text)

A decorator marks the function; `hooks_of()` finds the marked methods of a class and of its bases.
"""

from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter, isasyncgenfunction, iscoroutinefunction, isfunction, isgeneratorfunction, signature
from typing import Any, TypeVar

from ..errors import ModelError, shown

Method = TypeVar("Method", bound=Callable[..., Any])
_MARK = "__ormis_stages__"


@dataclass(frozen=True, slots=True)
class Hook:
    """One hook: the name of the method, whether it is `async def`, whether it has a parameter `created`."""

    name: str
    asynchronous: bool
    takes_created: bool


@dataclass(frozen=True, slots=True)
class Hooks:
    """The hooks of a class by the moment at which they are called, in their order."""

    before_save: tuple[Hook, ...] = ()
    after_save: tuple[Hook, ...] = ()
    before_delete: tuple[Hook, ...] = ()
    after_delete: tuple[Hook, ...] = ()


def before_save(method: Method) -> Method:
    """Calls the method before an object is saved whose class has it; an exception stops the save.

    It may change fields: they are saved as it leaves them, with `update_fields` only those that are named there.
    Runs for `save`, `create`, `get_or_create` and `update_or_create`, `bulk_create`, `bulk_update` and managers of
    relations; not for `update()`. An `async def` method runs in async calls only; a sync call raises OrmisError.

        @before_save
        def fill_slug(self) -> None:
            self.slug = self.title.lower().replace(" ", "-")
    """
    return _marked(method, "before_save")


def after_save(method: Method) -> Method:
    """Calls the method after an object has been saved, inside `atomic()` when the block is applied.

    A parameter `created` tells whether the object was new. As before_save() otherwise.

        @after_save
        async def notify(self, created: bool) -> None: ...
    """
    return _marked(method, "after_save")


def before_delete(method: Method) -> Method:
    """Calls the method before `obj.delete()`; an exception stops the deletion. As before_save() otherwise.

    Not called for `delete()` of a queryset, nor for objects that are deleted along with the one that they refer to.
    """
    return _marked(method, "before_delete")


def after_delete(method: Method) -> Method:
    """Calls the method after `obj.delete()`, inside `atomic()` when the block is applied. As before_delete()."""
    return _marked(method, "after_delete")


def _marked(method: Any, stage: str) -> Any:
    if not isfunction(method):
        raise TypeError(f"@{stage} goes on a method of a model, and not on {shown(method)}: put it below all others")
    setattr(method, _MARK, (*getattr(method, _MARK, ()), stage))
    return method


def hooks_of(cls: type[Any]) -> Hooks | None:
    """The hooks of a model class, those of its bases first, each in the order of definition; None if it has none.

    A method that overrides a hook takes its place, with or without a decorator.
    Raises ModelError for a method that can't be called as a hook.
    """
    stages: dict[str, tuple[str, ...]] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            marked: tuple[str, ...] = getattr(value, _MARK, ()) if isfunction(value) else ()
            if marked:
                stages[name] = marked
    if not stages:
        return None
    hooks = {name: _hook(cls, name, marked) for name, marked in stages.items()}
    moments = Hooks.__dataclass_fields__
    return Hooks(*(tuple(hooks[name] for name, marked in stages.items() if moment in marked) for moment in moments))


def _hook(cls: type[Any], name: str, stages: tuple[str, ...]) -> Hook:
    method = getattr(cls, name)
    if isgeneratorfunction(method) or isasyncgenfunction(method):
        raise ModelError(f"{cls.__name__}.{name}() is a hook and has a `yield`, so calling it would do nothing")
    _, *parameters = signature(method).parameters.values()
    known = "created" if stages == ("after_save",) else ""
    needed = [p.name for p in parameters if p.default is Parameter.empty and p.kind in _NAMED and p.name != known]
    if needed:
        raise ModelError(
            f"{cls.__name__}.{name}() needs {needed[0]!r}, and a hook is called with the object alone"
            f"{' and `created`' if known else ', one of after_save also with `created`'}"
        )
    return Hook(name, iscoroutinefunction(method), any(p.name == "created" for p in parameters))


_NAMED = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
