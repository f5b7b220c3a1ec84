"""Making model classes: ormis takes its own out of the class body, pydantic makes the class, ormis completes it."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, dataclass_transform

from pydantic import PrivateAttr
from pydantic._internal._model_construction import ModelMetaclass, build_lenient_weakvaluedict
from pydantic._internal._typing_extra import parent_frame_namespace
from pydantic.fields import FieldInfo

from . import errors
from .descriptors import FieldAttribute, class_field
from .descriptors.install import attach
from .descriptors.misused_models import no_attribute
from .errors import ModelError
from .querysets.managers import Manager
from .schema import registry
from .schema.auto_now import auto_now_of
from .schema.builder import build_schema, primary_key_of
from .schema.class_body import annotations_of, of_parameters, take_relations
from .schema.family_classes import (
    add_kind,
    base_in_family,
    declaring,
    fields_of_base,
    inherited_targets,
    is_typed_by_target,
    join_family,
    leave_family,
    place_in_family,
)
from .schema.field_validation import normaliser
from .schema.fields import OWN_OPTIONS, Field
from .schema.hooks import hooks_of
from .schema.late_types import rebuild
from .schema.options import Options, read_options
from .schema.referred_fields import referred_field
from .schema.relation_names import Names, link_of, names_of
from .schema.relations import OnDelete, RelationDeclaration
from .schema.schema import Schema
from .storage.annotations import unwrapped, without_none
from .storage.special_types import Special, special_codec

HIDEABLE = frozenset("get aget list alist ttl attl expire aexpire persist apersist".split())
"""Methods of Model that a field may hide: objects are read by the manager as well, and `Model.ttl(obj)` remains."""
_RESET = "__pydantic_reset_parent_namespace__"


# Relations are no field specifiers: to a type checker what is assigned is a default, so that neither side asks for both
# `question` and `question_id`. Whether one is missing is pydantic's to say.
@dataclass_transform(kw_only_default=True, field_specifiers=(Field, PrivateAttr))
class ModelMeta(ModelMetaclass):
    """The class of model classes."""

    @property
    def _default_manager(cls) -> Manager[Any]:  # noqa: N805 - the instances of a metaclass are classes
        """The manager that relations begin with: the first that the class body or a base sets, else `objects`."""
        managers: tuple[str, ...] = getattr(cls, "__managers__", ())
        return getattr(cls, managers[0] if managers else "objects")

    if not TYPE_CHECKING:

        def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> Any:
            """The class of a class body."""

            def make() -> Any:
                return super(ModelMeta, mcs).__new__(mcs, name, bases, namespace, **options)

            parents = [base for base in bases if isinstance(base, ModelMeta)]
            if not parents:
                return make()
            if options.get(_RESET, True):  # else pydantic would look for types in the frame of this function
                options[_RESET] = False
                namespace["__pydantic_parent_namespace__"] = build_lenient_weakvaluedict(parent_frame_namespace())
            generic = options.get("__pydantic_generic_metadata__")
            if generic is not None and generic["origin"] is not None:
                return make_parametrized(name, parents[0], generic["args"], make)
            return make_model(name, parents, namespace, make)

        def __getattr__(cls, name: str) -> Any:  # noqa: N805 - the instances of a metaclass are classes
            if registry.waiting() and not name.startswith("_"):
                registry.complete_waiting()
                if any(name in vars(base) for base in cls.__mro__):
                    return getattr(cls, name)
            schema = cls.__dict__.get("__schema__")
            if schema is not None and (name in schema.own_names or name == "pk"):
                return class_field(cls, name)
            try:
                return super().__getattr__(name)
            except AttributeError:
                if name.startswith("_") or "__options__" not in cls.__dict__:  # pydantic looks while it makes the class
                    raise
                raise no_attribute(cls, name, on_class=True) from None

        def __dir__(cls) -> list[str]:  # noqa: N805 - the instances of a metaclass are classes
            """With the fields, which completion by tab offers."""
            schema = cls.__dict__.get("__schema__")
            return [*{*super().__dir__(), *(() if schema is None else (*schema.own_names, "pk"))}]


def make_model(name: str, parents: list[Any], namespace: dict[str, Any], make: Any) -> Any:
    """The model class of a class body; `make` makes it as pydantic does. Raises ModelError for what can't be."""
    base = base_in_family(name, parents)
    meta = namespace.pop("Meta", None)
    options = _options_of(name, parents, namespace, meta, base)
    managers = _take_managers(namespace)
    _check_names(name, annotations_of(namespace), parents[0].__reserved__)
    taken = take_relations(name, namespace)
    for declaration in taken.references:
        _add_key_field(declaration, namespace)
    if options.polymorphic:
        add_kind(name, options, parents, base, namespace)
    if not options.abstract:
        _add_automatic_key(parents, namespace)
    cls = _made(namespace, base, make)
    _check_fields(cls)
    cls.__options__ = options
    if meta is not None:
        cls.Meta = meta
    cls.__declarations__ = _with_inherited("__declarations__", parents, taken.references)
    cls.__links__ = _with_inherited("__links__", parents, taken.links)
    cls.__related_names__ = taken.related.union(*(p.__related_names__ for p in parents))
    cls.__hooks__ = hooks_of(cls)
    cls.__own_save__, cls.__without_twin__ = _own_saves(cls)
    cls.__schema__ = None
    cls.__key__ = "" if options.abstract else options.key
    place_in_family(cls, base)
    for attribute, manager in managers.items():
        setattr(cls, attribute, manager)
    cls.__managers__ = tuple(dict.fromkeys([*managers, *(name for p in parents for name in p.__managers__)]))
    if not options.abstract:
        _add_errors(cls, base)
        registry.register(cls)
    return cls


def _own_saves(cls: Any) -> tuple[bool, str]:
    """Whether the class overrides save() or asave(), and the one that it does not if it overrides the other alone."""
    root = next(base for base in reversed(cls.__mro__) if isinstance(base, ModelMeta))
    inherited = [name for name in ("save", "asave") if getattr(cls, name) is getattr(root, name)]
    return len(inherited) < 2, inherited[0] if len(inherited) == 1 else ""


def make_parametrized(name: str, origin: Any, arguments: tuple[Any, ...], make: Any) -> Any:
    """The class `Base[X]` of a generic abstract base: abstract as well. Raises ModelError where the base is stored."""
    if origin.__key__:
        raise ModelError(
            f"{name}: {origin.__name__} is stored itself, under one key: give it `class Meta: abstract = True`, and "
            f"declare a model for each type, `class Own({name})`"
        )
    cls = make()
    cls.__declarations__ = tuple(of_parameters(d, origin, arguments) for d in origin.__declarations__)
    cls.__links__ = tuple(of_parameters(d, origin, arguments) for d in origin.__links__)
    return cls


def complete(cls: Any, targets: dict[str, Any]) -> Callable[[], None]:
    """Makes the schema and the descriptors of a class whose relations' targets are all known; returns what undoes that.

    Raises ModelError for relations that can't be.
    """
    names: Sequence[str] = cls.__dict__.get("__typed_keys__") or [
        d.attname for d in cls.__declarations__ if is_typed_by_target(cls, d.attname)
    ]
    cls.__typed_keys__ = names  # these follow the other model's key, also if it is declared again
    targets = cls.__targets__ = {**targets, **inherited_targets(cls)}

    def undo() -> None:
        cls.__schema__ = cls.__loading__ = None
        leave_family(cls)
        for name in names:
            cls.model_fields[name].annotation = Any

    undo()
    try:
        cls.__schema__, cls.__loading__ = _schema_of(cls, targets), None
        if cls.__options__.polymorphic:
            join_family(cls)
        detach = attach(cls, targets)
    except BaseException:
        undo()
        raise

    def withdraw() -> None:
        detach()
        undo()

    return withdraw


def _schema_of(cls: Any, targets: dict[str, Any]) -> Schema:
    references: list[tuple[RelationDeclaration, str, Names, str, Any, str]] = []
    for declaration in cls.__declarations__:
        source = declaring(cls, declaration.name)
        target, names = targets[declaration.name], names_of(source, declaration.name, declaration.relation)
        to_field = referred_field(cls, declaration, target)
        _type_key_field(cls, declaration, target, to_field)
        replacement = _replacement_of(declaration)
        references.append((declaration, target.__label__, names, to_field, replacement, source.__label__))
    links = [
        link_of(declaring(cls, d.name), d, targets[d.name], targets.get(f"{d.name}.through")) for d in cls.__links__
    ]
    if references or links:
        cls.__pydantic_custom_init__ = True
    if references:
        rebuild(cls, force=True)
    pk = primary_key_of(cls.__name__, cls.model_fields) or "id"
    automatic = options_are_automatic(cls.model_fields[pk])
    return build_schema(
        cls.__name__,
        cls.__key__,
        pk,
        automatic,
        cls.model_fields,
        cls.__options__,
        references,
        links,
        cls.DoesNotExist,
        _special_codecs(cls),
        {name: found for name in cls.model_fields if (found := normaliser(cls, name)) is not None},
        {name: found for name in cls.model_fields if (found := auto_now_of(cls, name)) is not None},
        cls.__hooks__,
        cls.__label__,
        fields_of_base(cls),
    )


def _special_codecs(cls: Any) -> dict[str, Special]:
    found: dict[str, Special] = {}
    for name, info in cls.model_fields.items():
        try:
            special = special_codec(cls, name, without_none(info.annotation)[0])
        except TypeError as error:
            raise ModelError(f"{cls.__name__}.{name}: {error}") from error
        if special is not None:
            found[name] = special
    return found


def options_are_automatic(info: FieldInfo) -> bool:
    """True for a key that the server counts up: `int | None` with None as its default."""
    annotation, optional = without_none(info.annotation)
    return optional and unwrapped(annotation) is int and info.default is None


def _options_of(name: str, parents: list[Any], namespace: dict[str, Any], meta: Any, base: Any) -> Options:
    for other, value in namespace.items():
        if isinstance(value, type) and other.lower() == "meta":
            raise ModelError(f"{name}.{other}: the options of a model stand in `class Meta`")
    inherited = next((p.__options__ for p in (base, *parents) if p is not None and p.__options__ is not None), None)
    base_metas: list[Any] = [vars(c)["Meta"] for p in parents for c in p.__mro__ if "Meta" in vars(c)]
    return read_options(name, meta, inherited, base_metas, "" if base is None else base.__family_root__.__key__)


def _check_fields(cls: Any) -> None:
    """Raises ModelError for what pydantic takes and ormis would drop."""
    if cls.model_config.get("extra") == "allow":
        raise ModelError(
            f'{cls.__name__}: extra="allow" is refused: a hash holds the declared fields only, so a save would lose '
            f"all others; declare them, or one field for them, as in `more: dict[str, Any] = {{}}`"
        )
    for name, info in cls.model_fields.items():
        extra = info.json_schema_extra
        lost = [option for option in OWN_OPTIONS if isinstance(extra, dict) and option in extra]
        if lost:
            raise ModelError(f"{cls.__name__}.{name}: pydantic's Field has no {lost[0]}=; use Field of ormis")


def _made(namespace: dict[str, Any], base: Any, make: Any) -> Any:
    """The class, with fields in the place of the methods that have their names."""
    hiding = [name for name in annotations_of(namespace) if name in HIDEABLE]
    again = [] if base is None else [name for name in annotations_of(namespace) if name in base.model_fields]
    if not hiding and not again:
        return make()
    for name in hiding:
        namespace.setdefault(name, FieldAttribute(name))  # else pydantic would take the method for a default
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", rf'Field name "({"|".join([*hiding, *again])})" .* shadows an attribute', UserWarning
        )
        cls = make()
    for name in hiding:
        if name in cls.model_fields:
            setattr(cls, name, FieldAttribute(name))
    return cls


def _check_names(model: str, names: Iterable[str], reserved: set[str]) -> None:
    for name in names:
        if name in reserved or name.startswith("model_") or "__" in name.strip("_"):
            raise ModelError(f"{model}.{name}: ormis or pydantic needs this name; call the field something else")


def _take_managers(namespace: dict[str, Any]) -> dict[str, Any]:
    managers: dict[str, Any] = {name: value for name, value in namespace.items() if isinstance(value, Manager)}
    for name in managers:
        del namespace[name]
        annotations_of(namespace).pop(name, None)
    if "ClassVar" in str(annotations_of(namespace).get("objects", "")):  # typed, and set by a base
        del annotations_of(namespace)["objects"]
    return managers


def _with_inherited(attribute: str, parents: list[Any], own: Sequence[Any]) -> tuple[Any, ...]:
    found = {d.name: d for parent in reversed(parents) for d in getattr(parent, attribute)}
    return tuple({**found, **{d.name: d for d in own}}.values())


def _add_key_field(declaration: RelationDeclaration, namespace: dict[str, Any]) -> None:
    """The stored field of a foreign key; its type is that of the other model's key once that is known."""
    relation = declaration.relation
    if declaration.attname in namespace or annotations_of(namespace)[declaration.attname] is not Any:
        return
    default: dict[str, Any] = {}
    if relation.has_default:
        value = _key_or_self(relation.default, relation.to_field)
        default["default_factory" if callable(relation.default) else "default"] = value
    elif declaration.nullable:
        default["default"] = None
    namespace[declaration.attname] = Field(primary_key=relation.primary_key, **default)


def _key_or_self(value: Any, to_field: str | None) -> Any:
    """The key of an object that a reference by this field of it holds; anything else as it is."""
    while hasattr(value.__class__, "__schema__"):
        value, to_field = getattr(value, to_field or "pk"), None
    return value


def _replacement_of(declaration: RelationDeclaration) -> Any:
    """The key that a deletion sets, or the function that returns it or an object; None if it sets none."""
    relation = declaration.relation
    sets = relation.on_delete in (OnDelete.SET_DEFAULT, OnDelete.SET_VALUE)
    return _key_or_self(relation.replacement, relation.to_field) if sets else None


def _type_key_field(cls: Any, declaration: RelationDeclaration, target: Any, to_field: str) -> None:
    key = to_field or primary_key_of(target.__name__, target.model_fields) or "id"
    annotation = without_none(target.model_fields[key].annotation)[0]
    info = cls.model_fields[declaration.attname]
    if info.annotation is Any:
        info.annotation = annotation | None if declaration.nullable else annotation


def _add_automatic_key(parents: list[Any], namespace: dict[str, Any]) -> None:
    annotations = annotations_of(namespace)
    inherited: dict[str, FieldInfo] = {}
    for parent in reversed(parents):
        inherited |= parent.model_fields
    if primary_key_of("", inherited) or any(_is_primary_key(namespace.get(n), a) for n, a in annotations.items()):
        return
    if "id" in annotations or "id" in inherited:
        return
    namespace["__annotations__"] = {"id": int | None, **annotations}
    namespace["id"] = Field(None)


def _is_primary_key(value: Any, annotation: Any) -> bool:
    infos = [i for i in (value, *getattr(annotation, "__metadata__", ())) if isinstance(i, FieldInfo)]
    return any(primary_key_of("", {"": info}) is not None for info in infos)


def _add_errors(cls: Any, base_in_family: Any) -> None:
    for error in (errors.DoesNotExist, errors.MultipleObjectsReturned):
        body = {"__module__": cls.__module__, "__qualname__": f"{cls.__qualname__}.{error.__name__}"}
        base = getattr(base_in_family, error.__name__, error)
        setattr(cls, error.__name__, type(error.__name__, (base,), body))
    body = {"__module__": cls.__module__, "__qualname__": f"{cls.__qualname__}.RelatedObjectDoesNotExist"}
    missing = cls.RelatedObjectDoesNotExist = type(
        "RelatedObjectDoesNotExist", (cls.DoesNotExist, AttributeError), body
    )
    body = body | {"__qualname__": f"{body['__qualname__']}.OfUnsaved"}
    missing.OfUnsaved = type("OfUnsaved", (errors.ForeignKeyViolation, missing), body)
