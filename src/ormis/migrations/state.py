"""Models as the database stores them, as plain data: what migrations are replayed to, compared and written from.

Everything is immutable: an operation makes a new state of an old one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from ..errors import MigrationError, hint_for

Default = str | bytes | int | float | bool | None
"""The default of a field: a number, a bool or bytes as they are, everything else as its stored text."""


@dataclass(frozen=True, slots=True)
class FieldState:
    """A field of a hash.

    type: its type as readable text, `str | None`; classes by their full names, `polls.models.Colour`.
    kind: the kind of value that the server stores, by default that of the type. null: it may be absent.
    default: what an absent text counts as, None without one; of a polymorphic model that of the first kind with it.
    kinds: of a polymorphic model the kinds of objects that have it; all of them if there are none.
    """

    name: str
    type: str
    default: Default = None
    null: bool | None = None
    kind: str = ""
    primary_key: bool = False
    kinds: Sequence[str] = ()

    def __post_init__(self) -> None:
        from_type = KIND_OF_TEXT.get(self.type.removesuffix(" | None"), "")
        object.__setattr__(self, "kind", self.kind or from_type or "json")
        object.__setattr__(self, "null", self.type.endswith(" | None") if self.null is None else self.null)
        object.__setattr__(self, "kinds", tuple(self.kinds))

    @property
    def text(self) -> str | bytes | None:
        """The stored text of the default."""
        return None if self.default is None else stored_text(self.default)


KIND_OF_TEXT = {
    "str": "text",
    "int": "int",
    "float": "float",
    "bool": "bool",
    "bytes": "bytes",
    "Decimal": "decimal",
    "datetime": "datetime",
    "date": "date",
    "time": "time",
    "timedelta": "timedelta",
    "UUID": "uuid",
}
"""The kinds of plain types, by their texts; of others the kind is written beside the type, or is json."""


def stored_text(value: Any) -> str | bytes:
    """The stored text of a default."""
    if isinstance(value, bytes | str):
        return value
    if isinstance(value, bool):
        return "1" if value else "0"
    return repr(value)


def readable_default(kind: str, text: str | bytes | None) -> Default:
    """The default of a field of this kind by its stored text, as migrations show it."""
    if text is None or isinstance(text, bytes):
        return text
    readers: dict[str, Callable[[str], Default]] = {"int": int, "float": float, "bool": lambda text: text == "1"}
    try:
        value = readers[kind](text)
    except (KeyError, ValueError):
        return text
    plain = stored_text(value) == text and text not in ("nan", "inf", "-inf", "-0.0")  # these are no literals
    return value if plain else text


@dataclass(frozen=True, slots=True)
class IndexState:
    """An index: equality on all fields but the last, on the last what its type allows (`sorted`, `equal`, ...).

    values: the kind of what it holds, where that is not the kind of its last field.
    parts: of parts of fields their places, as the server finds them: name -> (field, kind, steps).
    """

    fields: Sequence[str]
    type: str = "sorted"
    values: str = ""
    parts: Mapping[str, tuple[Any, ...]] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", (self.fields,) if isinstance(self.fields, str) else tuple(self.fields))
        object.__setattr__(self, "parts", _frozen_parts(self.parts))

    @property
    def identity(self) -> tuple[Any, ...]:
        """What tells it from other indexes."""
        return self.type, self.fields, self.values

    @property
    def columns(self) -> frozenset[str]:
        """The fields that it depends on."""
        return _columns(self)


@dataclass(frozen=True, slots=True)
class ConstraintState:
    """Fields whose values together no two objects share. parts: as those of an index."""

    fields: Sequence[str]
    parts: Mapping[str, tuple[Any, ...]] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", (self.fields,) if isinstance(self.fields, str) else tuple(self.fields))
        object.__setattr__(self, "parts", _frozen_parts(self.parts))

    @property
    def columns(self) -> frozenset[str]:
        """The fields that it depends on."""
        return _columns(self)


Keyed = TypeVar("Keyed", IndexState, ConstraintState)


def _frozen_parts(parts: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """The parts of fields with tuples for lists, also for the steps within them."""

    def frozen(value: Any) -> Any:
        return tuple(map(frozen, value)) if isinstance(value, list | tuple) else value  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]

    return {name: frozen(part) for name, part in parts.items()}


def _columns(keyed: IndexState | ConstraintState) -> frozenset[str]:
    return frozenset(keyed.parts[name][0] if name in keyed.parts else name for name in keyed.fields)


def with_renamed(keyed: Keyed, old: str, new: str) -> Keyed:
    """An index or a constraint after a field has another name; its parts are named by it too."""
    names = {name: new + name.removeprefix(old) for name, part in keyed.parts.items() if part[0] == old} | {old: new}
    parts = {
        names.get(name, name): (new if source == old else source, *rest)
        for name, (source, *rest) in keyed.parts.items()
    }
    return replace(keyed, fields=tuple(names.get(name, name) for name in keyed.fields), parts=parts)


@dataclass(frozen=True, slots=True)
class RelationState:
    """A foreign key: the attribute, the field that holds the key, the key of the other model.

    on_delete: the rule as the database knows it. default: the text that a deletion sets. to_field: the field of the
    other model that is referred to, if it is not the primary key.
    """

    name: str
    column: str
    to: str
    on_delete: str = "cascade"
    default: str | None = None
    to_field: str = ""


@dataclass(frozen=True, slots=True)
class LinkState:
    """A many-to-many relation that is kept in sets: its name, the key of the other model, its name there."""

    name: str
    to: str
    back: str


@dataclass(frozen=True, slots=True)
class ModelState:
    """A model. key: the start of its keys. automatic: the server counts its primary keys. expires: objects may end.

    kinds: the kinds of objects of a polymorphic model, its own first. kind_defaults: the defaults of a kind of objects
        that are others than those of the fields.
    """

    key: str
    name: str
    fields: Sequence[FieldState] = ()
    indexes: Sequence[IndexState] = ()
    constraints: Sequence[ConstraintState] = ()
    relations: Sequence[RelationState] = ()
    links: Sequence[LinkState] = ()
    automatic: bool = True
    expires: bool = False
    kinds: Sequence[str] = ()
    kind_defaults: Mapping[str, Mapping[str, Default]] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        for name in ("fields", "indexes", "constraints", "relations", "links", "kinds"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    def field(self, name: str) -> FieldState:
        """The field of this name. Raises MigrationError where there is none."""
        found = next((one for one in self.fields if one.name == name), None)
        if found is None:
            hint = hint_for(name, [one.name for one in self.fields])
            raise MigrationError(f"the model {self.key!r} has no field {name!r} here: {hint}")
        return found

    def has(self, name: str) -> bool:
        """Whether there is a field of this name."""
        return any(one.name == name for one in self.fields)

    @property
    def pk(self) -> FieldState:
        """The field of the primary key."""
        return next(one for one in self.fields if one.primary_key)

    @property
    def columns(self) -> dict[str, str]:
        """The kinds of the fields by their names, which the database is told."""
        return {one.name: one.kind for one in self.fields}

    @property
    def canonical(self) -> "ModelState":
        """The same with its parts in an order that says nothing: two models with the same parts are equal."""
        return replace(
            self,
            fields=tuple(sorted(map(_canonical, self.fields), key=lambda one: (not one.primary_key, one.name))),
            indexes=tuple(sorted(self.indexes, key=lambda one: one.identity)),
            constraints=tuple(sorted(self.constraints, key=lambda one: tuple(one.fields))),
            relations=tuple(sorted(self.relations, key=lambda one: one.name)),
            links=tuple(sorted(self.links, key=lambda one: (one.name, one.to, one.back))),
            kinds=(*self.kinds[:1], *sorted(self.kinds[1:])),
            kind_defaults={kind: dict(sorted(one.items())) for kind, one in sorted(self.kind_defaults.items())},
        )


def _canonical(one: FieldState) -> FieldState:
    return replace(one, kinds=tuple(sorted(one.kinds)))


@dataclass(frozen=True, slots=True)
class ProjectState:
    """Some models by their keys."""

    models: Mapping[str, ModelState] = field(default_factory=dict[str, ModelState])

    def model(self, key: str) -> ModelState:
        """The model with this key. Raises MigrationError where there is none."""
        if key not in self.models:
            raise MigrationError(f"there is no model with the key {key!r} here: {hint_for(key, [*self.models])}")
        return self.models[key]

    def having(self, *models: ModelState) -> "ProjectState":
        """The same with these models in place of those with their keys."""
        return ProjectState({**self.models, **{model.key: model for model in models}})

    def without(self, key: str) -> "ProjectState":
        """The same without this model."""
        return ProjectState({one: model for one, model in self.models.items() if one != key})

    @property
    def canonical(self) -> "ProjectState":
        """The same in an order that says nothing."""
        return ProjectState({key: self.models[key].canonical for key in sorted(self.models)})
