"""Reading a class body: relations are taken out of its annotations, and the stored fields of foreign keys put in."""

import ast
import builtins
import re
import sys
import typing
from dataclasses import dataclass, field, replace
from types import NoneType, UnionType
from typing import Any, Self, TypeVar, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from ..errors import ModelError, shown
from ..storage.annotations import parts, without_none
from .relations import (
    KINDS,
    LinkDeclaration,
    OnDelete,
    Relation,
    RelationDeclaration,
    ReverseSide,
    ToMany,
    ToOne,
    several_in_brackets,
)

_SUBSCRIPT = re.compile(rf"^\s*(?:[\w.]+\.)?({'|'.join(KINDS)})\s*\[(.*)\]\s*$", re.DOTALL)


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
    if isinstance(argument, str) and (several := _several(argument)):
        raise ModelError(f"{model}.{name}: {several_in_brackets(relation.kind, several)}")
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


def _several(argument: str) -> list[str]:
    """The items of a text that stands for several between commas; none for one."""
    try:
        node = ast.parse(argument.strip(), mode="eval").body
    except SyntaxError:
        return []
    return [ast.unparse(item) for item in node.elts] if isinstance(node, ast.Tuple) else []


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
    sets = {OnDelete.SET_DEFAULT: "SET_DEFAULT with default=None", OnDelete.SET_VALUE: "SET(None)"}
    if relation.on_delete in sets and relation.replacement is None and not nullable:
        rule = sets[relation.on_delete]
        raise ModelError(f'{model}.{name}: on_delete={rule} needs an optional relation: ForeignKey["Other | None"]')
