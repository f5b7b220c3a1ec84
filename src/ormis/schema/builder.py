"""Reading a class body: relations out of its annotations, the schema out of its fields.

Nothing here knows `Model`: it works on the namespace of the class body and on pydantic's fields.
"""

import ast
import builtins
import re
import sys
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Self, TypeVar, Union, cast, get_args, get_origin

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from ..errors import DoesNotExist, ModelError, hint_for, shown
from ..storage.annotations import parts, unwrapped, without_none
from ..storage.codecs import Codec, codec_for, plain_type
from ..storage.kinds import NUMBERS
from ..storage.special_types import Special
from .constraints import check_constraints
from .defaults import default_text
from .fields import FieldOptions, options_of
from .index_kinds import EQUAL, SORTED, TEXT, kind_for
from .options import Options, ttl_of
from .relation_names import Names
from .relations import KINDS, LinkDeclaration, OnDelete, Relation, RelationDeclaration, ReverseSide, ToMany, ToOne
from .schema import Column, IndexSpec, Link, Reference, Schema, UniqueSpec

_SUBSCRIPT = re.compile(rf"^\s*(?:[\w.]+\.)?({'|'.join(KINDS)})\s*\[(.*)\]\s*$", re.DOTALL)
_BOUND_BY: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "decimal": (int, Decimal)}


# Class bodies --------------------------------------------------------------------------------------------------------


def annotations_of(namespace: dict[str, Any]) -> dict[str, Any]:
    """The annotations of a class body, to be changed in place before the class is made."""
    if "__annotations__" not in namespace and sys.version_info >= (3, 14):
        import annotationlib

        annotate = annotationlib.get_annotate_from_class_namespace(namespace)
        found = {}
        if annotate is not None:
            found = annotationlib.call_annotate_function(annotate, annotationlib.Format.FORWARDREF)
            namespace.pop("__annotate__", None)
            namespace.pop("__annotate_func__", None)
        namespace["__annotations__"] = dict(found)
    return namespace.setdefault("__annotations__", {})


@dataclass(slots=True)
class Taken:
    """The relations of a class body: those to one object, those to many, and the names that `Related` types."""

    references: list[RelationDeclaration] = field(default_factory=list[RelationDeclaration])
    links: list[LinkDeclaration] = field(default_factory=list[LinkDeclaration])
    related: set[str] = field(default_factory=set[str])


def take_relations(model: str, namespace: dict[str, Any]) -> Taken:
    """Takes the relations out of a class body.

    Raises ModelError for a relation without an annotation or the other way round.
    """
    annotations, taken = annotations_of(namespace), Taken()
    _check_assigned(model, namespace, annotations)
    for name, annotation in list(annotations.items()):
        kind, argument = _relation_annotation(annotation)
        if kind is not None:
            value = namespace.pop(name, _NOTHING)
            relation = _declared(f"{model}.{name}", kind, value)
            _take(model, name, relation, argument, namespace.get("__module__", ""), taken)
            if value is None and isinstance(relation, ToOne) and not taken.references[-1].nullable:
                target = _text(taken.references[-1].target)
                raise ModelError(f"{model}.{name}: None needs an optional relation: write {kind}[{target} | None]")
    _replace_annotations(annotations, taken)
    return taken


def _check_assigned(model: str, namespace: dict[str, Any], annotations: dict[str, Any]) -> None:
    """Raises ModelError for a relation that is assigned to a name without the annotation of a relation."""
    for name, value in namespace.items():
        if isinstance(value, Relation) and _relation_annotation(annotations.get(name))[0] is None:
            wrong = "needs an annotation"
            if name in annotations:
                wrong = f"is annotated as {_text(annotations[name])} and is assigned {value.kind}()"
            target = _meant(annotations.get(name))
            raise ModelError(f"{model}.{name} {wrong}: write `{name}: {value.kind}[{target}] = {value.kind}(...)`")
    for name, annotation in annotations.items():
        if isinstance(annotation, Relation):
            kind = annotation.kind
            raise ModelError(f"{model}.{name}: write `{name}: {kind}[Other] = {kind}(...)`, with the options behind it")


def _meant(annotation: Any) -> str:
    """The model that the annotation of a plain field names, or "Other"."""
    if isinstance(annotation, str):
        return annotation
    models = [part for part in parts(annotation) if hasattr(part, "__schema__")]
    if len(models) != 1:
        return "Other"
    return f"{models[0].__name__} | None" if without_none(annotation)[1] else models[0].__name__


def _text(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


_NOTHING: Any = object()


def _declared(place: str, kind: str, value: Any) -> Relation:
    """The value assigned to a relation, or the default of its kind."""
    if value is _NOTHING or value is None:
        return KINDS[kind]()  # pyright: ignore[reportCallIssue]
    if getattr(value, "kind", None) == kind:
        return value
    if isinstance(value, FieldInfo):
        raise ModelError(f"{place} is a {kind} and is assigned Field(), for plain fields: write = {kind}(...)")
    raise ModelError(
        f"{place} is annotated as {kind} and is assigned {shown(value)}: write = {kind}(...), or nothing"
        + (f"; a default is {kind}(default=...)" if kind in ("ForeignKey", "OneToOne") else "")
    )


def _take(model: str, name: str, relation: Relation, argument: Any, module: str, taken: Taken) -> None:
    if isinstance(relation, ReverseSide):
        taken.related.add(name)
        return
    if isinstance(relation, ToMany) and relation.through is not None:
        _check_target(f"{model}.{name}: through", relation, relation.through, "")
    target, nullable = _target(argument)
    _check_target(f"{model}.{name}", relation, target, module)
    if isinstance(relation, ToMany):
        if nullable:
            raise ModelError(f'{model}.{name}: a many-to-many relation may have no objects; write ManyToMany["Other"]')
        taken.links.append(LinkDeclaration(name, relation, target))
    elif isinstance(relation, ToOne):
        _check_rule(model, name, relation, nullable)
        new = RelationDeclaration(name, relation, target, nullable)
        for other in taken.references:
            if other.attname == new.attname:
                raise ModelError(f"{model}: {other.name} and {name} would both be stored as {new.attname}")
        taken.references.append(new)


def _replace_annotations(annotations: dict[str, Any], taken: Taken) -> None:
    """A foreign key's stored field takes its place among the annotations; its type is set when it is known."""
    key_fields = {d.name: d.attname for d in taken.references}
    gone = taken.related | {d.name for d in taken.links}
    kept = {name: kind for name, kind in annotations.items() if name not in gone and name not in key_fields}
    merged: dict[str, Any] = {}
    for name in annotations:
        if name in key_fields:
            merged[key_fields[name]] = kept.get(key_fields[name], Any)
        elif name in kept:
            merged[name] = kept[name]
    annotations.clear()
    annotations.update(merged)


def _relation_annotation(annotation: Any) -> tuple[str | None, Any]:
    """The kind of relation of an annotation and its target; None if it is no relation."""
    if isinstance(annotation, str):
        match = _SUBSCRIPT.match(annotation)
        return (match[1], match[2]) if match else (None, None)
    origin = get_origin(annotation)
    if _is_relation(origin):
        return origin.kind, get_args(annotation)[0]
    if _is_relation(annotation):
        raise ModelError(f'{annotation.__name__} needs to say of what: {annotation.__name__}["Other"]')
    return None, None


def _is_relation(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Relation)


def _target(argument: Any) -> tuple[Any, bool]:
    """The class or its name, "self" for the own one, and whether None is allowed; several classes as a tuple."""
    if isinstance(argument, typing.ForwardRef):
        argument = argument.__forward_arg__
    parts = _alternatives(argument)
    targets = ["self" if part in (Self, "Self", "typing.Self") else part for part in parts if part not in _NONE]
    return targets[0] if len(targets) == 1 else tuple(targets), len(targets) < len(parts)


_NONE = (None, NoneType, "None")


def _alternatives(argument: Any) -> list[Any]:
    """The parts of a union, classes or names."""
    if isinstance(argument, str):
        try:
            return _alternatives_of(ast.parse(argument.strip(), mode="eval").body)
        except SyntaxError:
            return [argument]
    if get_origin(argument) in (Union, UnionType):
        return [part for one in get_args(argument) for part in _alternatives(one)]
    return [argument.__forward_arg__ if isinstance(argument, typing.ForwardRef) else argument]


def _alternatives_of(node: ast.expr) -> list[Any]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _alternatives(node.value)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return [*_alternatives_of(node.left), *_alternatives_of(node.right)]
    if isinstance(node, ast.Subscript):
        name, inner = ast.unparse(node.value).split(".")[-1], node.slice
        if name == "Optional":
            return [*_alternatives_of(inner), "None"]
        if name == "Union" and isinstance(inner, ast.Tuple):
            return [part for one in inner.elts for part in _alternatives_of(one)]
    return [ast.unparse(node)]


def _check_target(label: str, relation: Relation, target: Any, module: str) -> None:
    """Raises ModelError for a relation to what is no model that is stored."""
    kind, shown = relation.kind, getattr(target, "__name__", target)
    if isinstance(target, tuple):
        raise ModelError(f"{label}: a relation leads to one model; write {kind}[Other], or {kind}[Other | None]")
    meant = _named(module, target) if isinstance(target, str) else target
    if meant is None or isinstance(meant, TypeVar):
        return
    if not hasattr(meant, "__schema__"):
        instead = f"`ManyToMany[{shown}]` for links to many" if get_origin(meant) else f"`: {shown}` for a plain field"
        raise ModelError(
            f"{label}: {shown} is no model that is stored; write {kind}[Other] with a subclass of ormis.Model, "
            f"or {instead}"
        )
    if not isinstance(target, str) and not meant.__key__:
        raise ModelError(f"{label}: {shown} is abstract, so it has no objects; name a model that is made from it")


def _named(module: str, name: str) -> Any:
    """The class that a name means in a module already, None where it means none."""
    found = vars(sys.modules[module]).get(name) if module in sys.modules else None
    found = getattr(builtins, name, None) if found is None else found
    return found if isinstance(found, type) else None


def of_parameters(declaration: Any, origin: Any, arguments: tuple[Any, ...]) -> Any:
    """A relation of a generic base as `Base[X]` has it: `owner: ForeignKey[T]` refers to X."""
    parameters = origin.__pydantic_generic_metadata__["parameters"]
    for parameter, argument in zip(parameters, arguments, strict=True):
        if declaration.target in (parameter, parameter.__name__):
            target, nullable = _target(argument)
            more = {"nullable": True} if nullable and isinstance(declaration, RelationDeclaration) else {}
            return replace(declaration, target=target, **more)
    return declaration


def _check_rule(model: str, name: str, relation: ToOne, nullable: bool) -> None:
    if relation.on_delete is OnDelete.SET_NULL and not nullable:
        raise ModelError(f'{model}.{name}: on_delete=SET_NULL needs an optional relation: ForeignKey["Other | None"]')
    if relation.on_delete is OnDelete.SET_DEFAULT and not relation.has_default:
        raise ModelError(f"{model}.{name}: on_delete=SET_DEFAULT needs a default=")


# Schemas -------------------------------------------------------------------------------------------------------------


def primary_key_of(model: str, fields: Mapping[str, FieldInfo]) -> str | None:
    """The field declared as primary key, None where there is none. Raises ModelError where there are several."""
    names = [name for name, info in fields.items() if options_of(info).primary_key]
    if len(names) > 1:
        raise ModelError(f"{model} has two primary keys, {' and '.join(names)}: one field is enough")
    return names[0] if names else None


def build_schema(
    name: str,
    key: str,
    pk: str,
    automatic: bool,
    fields: Mapping[str, FieldInfo],
    options: Options,
    relations: Sequence[tuple[RelationDeclaration, str, Names, Any]],
    links: Sequence[Link],
    does_not_exist: type[DoesNotExist],
    special: Mapping[str, Special],
    normalisers: Mapping[str, Callable[[Any], Any]],
) -> Schema:
    """The schema of a model; relations are (declaration, key of the other model, names there, default key or None).

    special: codecs of fields that are more than their types.
    Raises ModelError for a field that can't be stored, indexed or found.
    """
    order = [pk, *(field for field in fields if field != pk)]
    columns = tuple(
        _column(name, field, fields[field], i, options, special.get(field), normalisers.get(field))
        for i, field in enumerate(order, 1)
    )
    if not columns[0].codec.traits.may_be_key:
        raise ModelError(f"{name}.{pk}: a {columns[0].codec.kind} can't be a primary key; int, str and UUID can")
    by_name = {column.name: column for column in columns}
    references = tuple(
        _reference(d, by_name[d.attname], target, names, default) for d, target, names, default in relations
    )
    aliases = by_name | {reference.name: reference.column for reference in references}
    indexes = [IndexSpec(EQUAL, (r.column,)) for r in references if not r.unique]
    unique = [UniqueSpec((r.column,)) for r in references if r.unique]
    for column in columns[1:]:
        declared = options_of(fields[column.name])
        indexes += _single_index(name, column, fields[column.name], declared)
        if declared.unique:
            unique.append(UniqueSpec(_unique(name, (column,))))
    indexes += [_index(name, _columns(name, aliases, index.fields, index)) for index in options.indexes]
    unique += [UniqueSpec(_unique(name, _columns(name, aliases, c.fields, c))) for c in options.constraints]
    return Schema(
        name,
        key,
        automatic,
        columns,
        _distinct(indexes),
        tuple(unique),
        references,
        tuple(links),
        options.ordering,
        does_not_exist,
        ttl=ttl_of(options),
    )


def _column(
    model: str,
    name: str,
    info: FieldInfo,
    position: int,
    options: Options,
    special: Special | None,
    normalise: Callable[[Any], Any] | None,
) -> Column:
    annotation, nullable = without_none(info.annotation)
    _refuse_models(model, name, annotation, nullable)
    check_constraints(f"{model}.{name}", annotation, info)
    try:
        codec, convert = special or (codec_for(annotation), TypeAdapter(plain_type(annotation)).validate_python)
    except TypeError as error:
        raise ModelError(f"{model}.{name}: {error}") from error
    declared, plain = options_of(info), plain_type(annotation)
    indexed = bool(declared.index) or any(name in index.fields for index in options.indexes)
    writer = _writer(codec, declared, indexed)
    bounds = None if normalise and codec.traits.arithmetic else _bounds(codec, annotation, info)
    exact = plain if plain in _EXACT and normalise is None else None
    nullable = nullable or _takes_none(annotation, info)
    default = None if nullable or position == 1 else default_text(codec, writer, info)
    return Column(name, position, codec, nullable, convert, writer, bounds, exact, normalise=normalise, default=default)


_EXACT = (str, int, float, bool)  # pydantic leaves a value of just that type as it is


def _takes_none(annotation: Any, info: FieldInfo) -> bool:
    """Whether a type that does not name None takes it: Any, JsonValue, Literal["on", None], a validator of None."""
    validators = [item for item in info.metadata if hasattr(item, "func")]
    if not validators and (annotation in _EXACT or (_named_values(annotation) and get_origin(annotation) is None)):
        return False
    for validator in validators:
        annotation = Annotated[annotation, validator]
    try:
        return TypeAdapter(annotation).validate_python(None) is None
    except Exception:  # noqa: BLE001 - validators of users raise whatever they like of None
        return False


def _refuse_models(model: str, name: str, annotation: Any, nullable: bool) -> None:
    """Raises ModelError for a stored model in the place of a relation to it: it would be copied."""
    found = next((part for part in parts(annotation) if hasattr(part, "__schema__")), None)
    if found is None:
        return
    target = f"{found.__name__} | None" if nullable else found.__name__
    if unwrapped(annotation) is found:
        instead = f"refer to its objects by {name}: ForeignKey[{target}]"
    else:
        instead = (
            f"refer to one of its objects by ForeignKey[{found.__name__}], to many by ManyToMany[{found.__name__}], "
            f"and type the other side of a relation by Related[{found.__name__}]"
        )
    raise ModelError(f"{model}.{name}: {found.__name__} is a model, and a field would hold copies: {instead}")


def _bounds(codec: Codec, annotation: Any, info: FieldInfo) -> tuple[str, ...] | None:
    """The bounds of a number, which pydantic keeps as objects Ge(ge=0); None where there are other constraints."""
    bounds: list[str] = []
    for item in info.metadata:
        name = type(item).__name__.lower()
        bound: Any = getattr(item, name) if name in ("ge", "gt", "le", "lt") else None
        if type(bound) in _BOUND_BY.get(codec.kind, ()) and bound == bound:
            bounds += (name, str(bound))
        elif not isinstance(item, FieldOptions):
            return None
    return tuple(bounds) if annotation in _BOUNDED or not codec.traits.arithmetic else None


_BOUNDED = (int, float, Decimal)


def _writer(codec: Codec, options: FieldOptions, indexed: bool) -> Callable[[Any], str | bytes]:
    if indexed and codec.kind == "float":
        return _write_ordered_float if codec.finish is None else _number_writer(codec)
    if indexed and codec.traits is NUMBERS:
        return _number_writer(codec)
    return _text_key_writer(codec) if codec.kind == "text" and options.primary_key else codec.encode


def _write_ordered_float(value: float) -> str:
    if value != value:
        raise ValueError("NaN has no place in the order of an index")
    return float.__repr__(value)


def _number_writer(codec: Codec) -> Callable[[Any], str | bytes]:
    def write(value: Any) -> str | bytes:
        if value != value:
            raise ValueError("NaN has no place in the order of an index")
        return codec.encode(value)

    return write


def _text_key_writer(codec: Codec) -> Callable[[Any], str | bytes]:
    def write(value: Any) -> str | bytes:
        text = codec.encode(value)
        if "\0" in cast(str, text):
            raise ValueError("a primary key can't hold a NUL character")
        return text

    return write


def _reference(declaration: RelationDeclaration, column: Column, target: str, names: Names, default: Any) -> Reference:
    text = None if default is None else cast(str, column.codec.encode(default))
    relation = declaration.relation
    return Reference(
        declaration.name,
        column,
        target,
        relation.on_delete,
        relation.unique,
        names.reverse,
        names.query,
        text,
    )


def _single_index(model: str, column: Column, info: FieldInfo, declared: FieldOptions) -> list[IndexSpec]:
    if not declared.index:
        return []
    if declared.index is True:
        by_equality = _named_values(info.annotation) or not column.codec.traits.scored
        return [IndexSpec(EQUAL if by_equality else SORTED, (_indexable(model, column),))]
    try:
        kind = kind_for(declared.index, column.codec.traits)
    except ModelError as error:
        raise ModelError(f"{model}.{column.name}: {error}") from None
    return [IndexSpec(kind.name, (_indexable(model, column),))]


def _index(model: str, columns: tuple[Column, ...]) -> IndexSpec:
    for column in columns:
        _indexable(model, column)
    return IndexSpec(SORTED if columns[-1].codec.traits.scored else TEXT, columns)


def _unique(model: str, columns: tuple[Column, ...]) -> tuple[Column, ...]:
    for column in columns:
        if not _indexable(model, column).codec.traits.may_be_unique:
            raise ModelError(
                f"{model}.{column.name}: numbers of several types can't be unique, since equal ones, 1 and 1.0, are "
                f"stored as different texts; give the field one type"
            )
    return columns


def _indexable(model: str, column: Column) -> Column:
    if not column.codec.traits.indexable:
        raise ModelError(
            f"{model}.{column.name}: a field that is stored as JSON has no index and is never unique; "
            f"index a plain field beside it"
        )
    return column


def _named_values(annotation: Any) -> bool:
    inner = unwrapped(without_none(annotation)[0])
    return get_origin(inner) is Literal or (isinstance(inner, type) and issubclass(inner, Enum))


def _columns(model: str, aliases: Mapping[str, Column], names: Iterable[str], where: object) -> tuple[Column, ...]:
    found: list[Column] = []
    for name in names:
        if name not in aliases:
            raise ModelError(f"{model}.Meta: {where!r} names {name!r}, which is no field: {hint_for(name, aliases)}")
        found.append(aliases[name])
    if len(set(found)) < len(found):
        raise ModelError(f"{model}.Meta: {where!r} names a field twice")
    return tuple(found)


def _distinct(indexes: Iterable[IndexSpec]) -> tuple[IndexSpec, ...]:
    return tuple({index.definition: index for index in indexes}.values())
