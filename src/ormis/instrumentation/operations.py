"""The operations that users call, observed: methods of models, querysets and managers, relations that are loaded."""

# It describes the insides of models, querysets and managers.
# pyright: reportPrivateUsage=false

from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import wraps
from time import perf_counter
from typing import Any, cast

from ..descriptors.forward import ForwardRelation
from ..descriptors.linked import LinkManager
from ..descriptors.related import RelatedManager
from ..descriptors.reverse import ReverseOne
from ..errors import OrmisError
from ..metaclass import ModelMeta
from ..model import Model
from ..operations.reading.paging import Page
from ..operations.reading.source import Source
from ..query.q import Q
from ..querysets.writing import Writing
from ..records.state import state_of
from .events import OperationEvent
from .patches import Patch
from .running import now, running, unseen

Describe = Callable[[str, Any, tuple[Any, ...], dict[str, Any]], OperationEvent]
_UNCOUNTED = frozenset("count exists contains rank aggregate explain ttl add remove set clear".split())
_CACHED = frozenset(("get", "load"))


def patches() -> list[Patch]:
    """The methods, and their async twins."""
    return [
        *_twins(Model, _of_record, "save", "delete", "refresh_from_db", "expire", "persist", "ttl"),
        Patch(Model, "get", lambda original: classmethod(_observed("get", original.__func__, _of_class))),
        Patch(Model, "aget", lambda original: classmethod(_aobserved("get", original.__func__, _of_class))),
        Patch(Model, "_load_deferred", lambda original: _observed("load", original, _of_record)),
        *_twins(Writing, _of_queryable, "create", "bulk_create"),
        *_twins(RelatedManager, _of_relation, "add", "remove", "set", "clear"),
        *_twins(LinkManager, _of_relation, "create", "get_or_create", "update_or_create"),
        *_twins(Source, _of_source, "perform", "read", "batch", private=True),
        Patch(ForwardRelation, "_load", lambda original: _observed("load", original, _of_loading)),
        Patch(ReverseOne, "_load", lambda original: _observed("load", original, _of_loading)),
    ]


# The methods ----------------------------------------------------------------------------------------------------------


def _twins(owner: type[Any], describe: Describe, *names: str, private: bool = False) -> list[Patch]:
    line = "_" if private else ""
    return [
        patch
        for name in names
        for patch in (
            Patch(owner, f"{line}{name}", lambda original, name=name: _observed(name, original, describe)),
            Patch(owner, f"{line}a{name}", lambda original, name=name: _aobserved(name, original, describe)),
        )
    ]


def _observed(name: str, original: Callable[..., Any], describe: Describe) -> Any:
    @wraps(original)
    def observed(subject: Any, /, *arguments: Any, **options: Any) -> Any:
        event = _described(describe, name, subject, arguments, options)
        if event is None:
            return original(subject, *arguments, **options)
        with running(event):
            began = perf_counter()
            result = original(subject, *arguments, **options)
            now(event, began)
            event.rows = _rows(event.name, result)
            source = _explained(event)
            if source is not None:
                with unseen(), _noting(event):
                    event.plan = _summary(source.explain())
        return result

    return observed


def _aobserved(name: str, original: Callable[..., Any], describe: Describe) -> Any:
    @wraps(original)
    async def observed(subject: Any, /, *arguments: Any, **options: Any) -> Any:
        event = _described(describe, name, subject, arguments, options)
        if event is None:
            return await original(subject, *arguments, **options)
        with running(event):
            began = perf_counter()
            result = await original(subject, *arguments, **options)
            now(event, began)
            event.rows = _rows(event.name, result)
            source = _explained(event)
            if source is not None:
                with unseen(), _noting(event):
                    event.plan = _summary(await source.aexplain())
        return result

    return observed


def _explained(event: OperationEvent) -> Any:
    """The queryset of the operation, if an observer wants its plan."""
    if event.source is None or not any(observer.wants_plan(event) for observer in event.observers):
        return None
    with _noting(event):
        return event.source()


@contextmanager
def _noting(event: OperationEvent) -> Generator[None]:
    """An error is noted in the place of the plan: the operation itself has succeeded."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - of whatever kind
        event.plan = f"not known: {error}"


def _summary(explained: str) -> str:
    """The number of objects and the access path, the first two lines of explain()."""
    return "; ".join(line.lstrip("│├└─ ") for line in explained.splitlines()[:2])


# Their descriptions ---------------------------------------------------------------------------------------------------


def _described(
    describe: Describe, name: str, subject: Any, arguments: tuple[Any, ...], options: dict[str, Any]
) -> OperationEvent | None:
    """The event; None where no database is known, of which the operation itself says more."""
    try:
        event = describe(name, subject, arguments, options)
    except (OrmisError, TypeError):
        return None
    model = _model_of(subject)
    event.model = model.__name__
    if event.name in _CACHED and model.__schema__ is not None and event.database.kept(model.__schema__) is not None:
        event.cache = "miss"
    return event


def _model_of(subject: Any) -> Any:
    """The model: the class itself, that of an object, or that of a queryset, a manager or a relation."""
    if isinstance(subject, Model):
        return subject.__class__
    return subject if isinstance(subject, ModelMeta) else subject.model


def _of_class(name: str, model: Any, _arguments: tuple[Any, ...], _options: dict[str, Any]) -> OperationEvent:
    return OperationEvent(name, database=model._database_for(None))


def _of_record(name: str, record: Any, _arguments: tuple[Any, ...], options: dict[str, Any]) -> OperationEvent:
    return OperationEvent(name, database=record._database_for(options.get("using") or state_of(record).database))


def _of_queryable(name: str, source: Any, _arguments: tuple[Any, ...], _options: dict[str, Any]) -> OperationEvent:
    return OperationEvent(name, database=source._queryset().db)


def _of_relation(name: str, manager: Any, _arguments: tuple[Any, ...], _options: dict[str, Any]) -> OperationEvent:
    return OperationEvent(name, database=manager._database, relation=manager._relation.label)


def _of_loading(name: str, relation: Any, arguments: tuple[Any, ...], _options: dict[str, Any]) -> OperationEvent:
    database = relation.model._database_for(state_of(arguments[0]).database)
    return OperationEvent(name, database=database, relation=relation.label)


def _of_source(name: str, source: Any, arguments: tuple[Any, ...], _options: dict[str, Any]) -> OperationEvent:
    if name == "batch":
        return OperationEvent("iterator", database=source.db, source=lambda: source)
    operation, *given = arguments
    name = "query" if operation.__name__ == "evaluate" else operation.__name__
    if name == "expire" and given == [None]:
        name = "persist"
    conditions = [value for value in given if isinstance(value, Q)]  # of get()
    event = OperationEvent(name, database=source.db)
    event.source = None if name == "explain" else (lambda: source.filter(*conditions) if conditions else source)
    return event


def _rows(name: str, result: Any) -> int | None:
    """How many objects or rows were returned or written, by the result of the method."""
    if name in _UNCOUNTED:
        return None
    if isinstance(result, Page):
        return len(cast(Any, result).objects)
    if isinstance(result, list | dict):
        return len(cast(Any, result))
    if name == "delete":
        return result[0]
    if result is None:
        return None if name in ("refresh_from_db", "expire", "persist") else 0
    return result if isinstance(result, int) else 1
