"""Which models there are, and the completion of those that refer to models declared later.

A model is `declared` when its class is made and `complete`, with a Schema, once every class it refers to is declared,
and every type of a field. A model that waits for a type is looked at again when models are used.
"""

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from pydantic import PydanticUserError

from ..errors import ModelError
from . import late_types
from .families import assembled
from .schema import Link, Reference, Schema

_models: dict[str, Any] = {}
_pending: list[Any] = []
_completing: list[Any] = []
_changes = 0


def changes() -> int:
    """The number of times that models were added, removed or completed: caches made before a change are stale."""
    complete_waiting()
    return _changes


def register(model: Any) -> None:
    """Takes a new model class, completes it and those that waited for it.

    Raises ModelError where another model has its key.
    """
    key, label = model.__key__, model.__label__
    other = _models.get(label)
    _changed()
    if other is not None and not _replaces(model, other):
        option = "key" if label == key else "kind"
        raise ModelError(
            f"{model.__module__}.{model.__qualname__} and {other.__module__}.{other.__qualname__} have the same "
            f'{option} {label.rpartition("/")[2]!r}: give one of them another: class Meta: {option} = "..."'
        )
    for prefix, near in {near.__key__: near for near in _models.values()}.items():
        if prefix != key and (f"{prefix}:".startswith(f"{key}:") or f"{key}:".startswith(f"{prefix}:")):
            raise ModelError(
                f"the key {key!r} of {model.__name__} and the key {prefix!r} of "
                f"{near.__name__} would mix: one of them starts with the other"
            )
    before, undo = (dict(_models), [*_pending]), list[Callable[[], None]]()
    gone = () if other is None or label != key else family(other)
    for one in gone:
        del _models[one.__label__]
    _models[label] = model
    _pending[:] = [model, *(waiting for waiting in _pending if waiting is not other and waiting not in gone)]
    try:
        for waiting in tuple(_pending):
            complete(waiting, undo)
    except BaseException:
        _take_back(before, undo)
        raise
    if other is not None and _same_place(model, other):
        _redirect(model)


def _redirect(model: Any) -> None:
    """Completes the models anew that refer to a class that was declared again, as in a notebook.

    And those that refer to them, if their keys are foreign keys, whose type may be another one now.
    """
    waiting = [model]
    while waiting:
        at = waiting.pop()
        for other in _models.values():
            if at is model and other is not model and other in family(model) and other.__schema__ is not None:
                other.__schema__ = None  # its columns may have moved
                _pending.append(other)
                continue
            targets = [target_of(other, said) for said in _needed(other).values()]
            if other is not model and other.__schema__ is not None and any(target is at for target in targets):
                other.__schema__ = None
                _pending.append(other)
                if any(d.relation.primary_key or d.relation.unique for d in other.__declarations__):
                    waiting.append(other)
    complete_waiting()


def _take_back(before: tuple[dict[str, Any], list[Any]], undo: list[Callable[[], None]]) -> None:
    """Leaves the registry as it was before a class that is refused, and the classes that were completed with it."""
    for withdraw in reversed(undo):
        withdraw()
    _models.clear()
    _models.update(before[0])
    _pending[:] = before[1]
    for key in {model.__key__ for model in _models.values() if model.__family_root__ is not None}:
        assemble(key)
    _changed()


def forget(model: Any) -> None:
    """Drops a model class, for tests and interactive work."""
    _changed()
    gone = family(model) if model.__family_root__ is model else [model]
    for one in gone:
        if _models.get(one.__label__) is one:
            del _models[one.__label__]
    _pending[:] = [waiting for waiting in _pending if waiting not in gone]
    assemble(model.__key__)


def is_current(model: Any) -> bool:
    """Whether this class, and none that was declared after it in its place, is known."""
    return _models.get(model.__label__) is model


def family(model: Any) -> list[Any]:
    """The classes that are stored with this one, in the order of their declaration; itself alone if there are none."""
    if model.__family_root__ is None:
        return [model]
    return [one for one in _models.values() if one.__family_root__ is model.__family_root__]


def assemble(key: str) -> None:
    """Makes the schemas of the family with this key, of the classes that are complete by themselves.

    Raises ModelError for classes that can't be stored together, and changes nothing.
    """
    root = _models.get(key)
    if root is None or root.__family_root__ is None or root.__member__ is None:
        return
    members = [model for model in family(root) if model.__member__ is not None]
    schemas = assembled([model.__member__ for model in members])
    for model, schema in zip(members, schemas, strict=True):
        model.__schema__, model.__loading__, model.__loading_kind__ = schema, None, None
    _changed()


def _changed() -> None:
    global _changes  # noqa: PLW0603 - the registry is one for the process
    _changes += 1


def models() -> Sequence[Any]:
    """All model classes, complete or not."""
    complete_waiting()
    return tuple(_models.values())


def unresolved(model: Any) -> str:
    """The relations of a model that wait for a class, or the type of a field that is not known, for messages."""
    missing = [f"{name} -> {said}" for name, said in _needed(model).items() if target_of(model, said) is None]
    return ", ".join(missing) or late_types.unknown(model)


def resolve(model: Any, name: str) -> Any:
    """The class that a model means by a name: itself, one of its module, one of this name elsewhere; None if unknown.

    Raises ModelError where several modules have one of that name.
    """
    if name in ("self", model.__name__, model.__qualname__):
        return model
    named = [m for m in _models.values() if name in (m.__name__, f"{m.__module__}.{m.__name__}")]
    near = [m for m in named if m.__module__ == model.__module__]
    if len(near or named) > 1:
        raise ModelError(
            f"{model.__name__} refers to {name!r}, and there are several: write the module before the name"
        )
    return (near or named or [_in_module(model.__module__, name)])[0]


def _in_module(module: str, name: str) -> Any:
    """The model that an imported name means, such as `models.Question`; None if it means none."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if found in _models.values() else None


def is_beside(schema: Schema, reference: Reference) -> bool:
    """Whether `Meta.partition_by` puts the objects of a model beside those that this foreign key of it refers to."""
    by: str = _models[schema.stored.label].__options__.partition_by
    return by in (reference.name, reference.column.name) and not reference.to_field


def referrers(schema: Schema) -> list[tuple[Schema, Reference]]:
    """The references of complete models to this one; of a family also those to its bases and its subclasses."""
    complete_waiting()
    return [
        (model.__schema__, reference)
        for model in _models.values()
        if model.__schema__ is not None
        for reference in model.__schema__.references
        if reference.target in schema.relatives and reference.source == model.__label__
    ]


def links(schema: Schema) -> list[Link]:
    """The many-to-many relations of this model with complete ones, declared on either side, each as it sees them."""
    complete_waiting()
    found = list(schema.links)
    for model in _models.values():
        if model.__schema__ is not None:
            own = [k for k in model.__schema__.links if k.source == model.__label__]
            found += [k.back for k in own if k.target in schema.relatives and not k.symmetrical]
    return found


def model_for(label: str) -> Any:
    """The class of a model by its label."""
    return _models[label]


def declared(label: str) -> Schema | None:
    """The schema of the model with this label, None if there is none, or it is not complete."""
    model = _models.get(label)
    return None if model is None else model.__schema__


def name_of(label: str) -> str:
    """The name of the model with this label; the label itself if the program has no such model."""
    model = _models.get(label)
    return label if model is None else model.__name__


def model_of_kind(schema: Schema, kind: str) -> Any:
    """The class of a family whose objects have this kind; None if there is none, or none that is complete."""
    root = schema.stored
    model = _models.get(root.key if kind == root.kinds[0] else f"{root.key}/{kind}")
    return None if model is None or model.__schema__ is None else model


def loaded_as(schema: Schema) -> list[Any]:
    """The classes of the objects that a query of this model loads: itself and its subclasses."""
    model = _models[schema.label]
    return [one for one in family(model) if issubclass(one, model)] if schema.kinds else [model]


def schema_for(label: str) -> Schema:
    """The schema of a model by its label. Raises ModelError for one that waits for a class or a type."""
    return _models[label]._schema()


def _replaces(model: Any, other: Any) -> bool:
    """The same class made again, in an interactive session or in another call of a function."""
    return _same_place(model, other) or (model.__name__ == other.__name__ and "<locals>" in other.__qualname__)


def _same_place(model: Any, other: Any) -> bool:
    return (model.__module__, model.__qualname__) == (other.__module__, other.__qualname__)


def target_of(model: Any, said: Any) -> Any:
    """The class that a declaration of this model refers to, itself or its name; None if it is not known yet.

    A class that was declared again since stands for the class that it is now.
    """
    if isinstance(said, str):
        return resolve(model, said)
    now = _models.get(getattr(said, "__label__", ""))
    return now if now is not None and _same_place(now, said) else said


def _needed(model: Any) -> dict[str, Any]:
    """The targets of a model's relations, by the names of the relations; `tags.through` for a through model."""
    needed = {d.name: d.target for d in (*model.__declarations__, *model.__links__)}
    return needed | {f"{d.name}.through": d.relation.through for d in model.__links__ if d.relation.through is not None}


def waiting() -> bool:
    """True if there are models that wait for a class or for a type of a field."""
    return bool(_pending) and not _completing


def complete(model: Any, undo: list[Callable[[], None]] | None = None) -> None:
    """Completes a model if what it names is declared; `undo` takes what undoes that.

    Raises ModelError for what can't be.
    """
    if model not in _pending or model in _completing:
        return
    base = model.__base_in_family__
    if base is not None and base.__schema__ is None and base.__key__:
        complete(base, undo)
        if base.__schema__ is None:
            return
    targets = {name: target_of(model, said) for name, said in _needed(model).items()}
    if any(target is None for target in targets.values()):
        return
    _completing.append(model)
    try:
        if late_types.are_known(model):
            withdraw = model._complete(targets)
            if undo is not None:
                undo.append(withdraw)
            _pending.remove(model)
            _changed()
    finally:
        _completing.remove(model)


def complete_waiting() -> None:
    """Completes the models whose types were declared since; one that can't be raises when it is used itself."""
    for model in tuple(_pending):
        with suppress(ModelError, PydanticUserError):
            complete(model)
