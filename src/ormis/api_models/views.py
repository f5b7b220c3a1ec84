"""`view()`: the pydantic model of a response, with related objects."""

# It uses the inside of models.
# pyright: reportPrivateUsage=false

from collections.abc import Callable, Collection, Iterable
from inspect import getattr_static
from typing import Any

from pydantic import BaseModel, ConfigDict, field_serializer, model_validator

from ..descriptors import RelationDescriptor
from ..errors import FieldError, hint_for, shown
from ..model import Model
from ..planning.names import parts_of
from ..storage.annotations import without_none
from .fields import Definition, definition, in_name, kept_class, model_of, names_among
from .reading import computed_type, read_related

_Names = tuple[str, ...]


def view(
    model: type[Model],
    *,
    related: Collection[str] = (),
    include: Collection[str] | None = None,
    exclude: Collection[str] | None = None,
) -> type[BaseModel]:
    """The pydantic model of a response: the fields of a model, its computed fields and related objects.

    related: paths of relations, `["choices", "choices__tags"]`: each is a nested view, or a list of them.
    include, exclude: names of fields, computed fields and relations, of all or of these no others; also of related
        objects, `exclude=["choices__question_id"]`. Fields with `Field(exclude=True)` are left out.

    `View.model_validate(obj)` makes one of an object. Its values are not validated again, and its related objects have
    to be loaded, by select_related() or prefetch_related(): else they are loaded now, one call each, and in async code
    RelationNotLoaded is raised. A subclass may have more fields: their values are attributes of the object, annotations
    of the query for one. It also takes dicts, as any pydantic model does.

    Types, constraints, titles, descriptions, examples, aliases and serializers of fields are those of the model.
    The class is made once for the same arguments. The first is called `QuestionView`; one with other arguments is named
    after these.

    Raises FieldError for a name that is no field or no relation, ModelError for an abstract model.

        class QuestionView(ormis.view(Question, related=["choices"])):
            \"\"\"A question with its choices.\"\"\"

        views = [QuestionView.model_validate(q) for q in Question.objects.prefetch_related("choices")]
    """
    if not (isinstance(model, type) and issubclass(model, Model)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"view() takes a model, not {shown(model)}")
    if isinstance(related, str):
        raise TypeError(f"view({model.__name__}): related takes a list of paths: write [{shown(related)}]")
    return _view(model, tuple(related), None if include is None else tuple(include), tuple(exclude or ()))


def _view(model: Any, related: _Names, include: _Names | None, exclude: _Names) -> type[BaseModel]:
    model._schema()  # raises for a model that is not complete
    place = f"view({model.__name__})"
    further = _by_relation(related, {parts_of(path)[0] for path in related})
    relations = {name: _relation(model, name) for name in further if name}
    known = [name for name, info in model.model_fields.items() if not info.exclude]
    known += [*model.model_computed_fields, *relations]
    included = None if include is None else _by_relation(include, relations)
    excluded = _by_relation(exclude, relations)
    only = names_among(None if included is None else included[""], known, f"{place}: include")
    if included is not None and only is not None:
        only = (*only, *(name for name in relations if included[name]))
    without = names_among(excluded[""], known, f"{place}: exclude") or ()
    kept = tuple(name for name in known if name not in without and (only is None or name in only))
    nested = {
        name: _view(
            relations[name].model,
            further[name],
            None if included is None else included[name] or None,
            excluded[name],
        )
        for name in kept
        if name in relations
    }
    named = in_name("With", related or None) + in_name("Of", include) + in_name("Without", exclude or None)
    arguments = (kept, tuple(nested.values()))
    return kept_class(model, "View", arguments, named, lambda name: _made(model, name, kept, nested))


def _by_relation(names: _Names, relations: Iterable[str]) -> dict[str, _Names]:
    """The names, and for each relation what comes after it in paths along it."""
    divided: dict[str, list[str]] = {"": [], **{name: [] for name in relations}}
    for name in names:
        first, _, rest = str(name).partition("__")
        if rest and first in divided:
            divided[first].append(rest)
        else:
            divided[""].append(name)
    return {name: tuple(found) for name, found in divided.items()}


def _relation(model: Any, name: str) -> RelationDescriptor:
    found = getattr_static(model, name, None)
    if not isinstance(found, RelationDescriptor):
        hint = hint_for(
            name, [own for own in dir(model) if isinstance(getattr_static(model, own, None), RelationDescriptor)]
        )
        raise FieldError(f"view({model.__name__}): related: {model.__name__}.{name} is no relation: {hint}")
    return found


def _made(model: Any, name: str, kept: tuple[str, ...], nested: dict[str, type[BaseModel]]) -> type[BaseModel]:
    fields = {field: _definition(model, field, nested) for field in kept}
    decorated: dict[str, Any] = {"of_object": _wrapping(classmethod(_reader(model, nested)))}
    for serializer, one in model.__pydantic_decorators__.field_serializers.items():
        names = [field for field in kept if field in one.info.fields or "*" in one.info.fields]
        if names:
            options = {"return_type": one.info.return_type, "when_used": one.info.when_used, "mode": one.info.mode}
            decorated[serializer] = field_serializer(*names, check_fields=False, **options)(one.func)
    config = ConfigDict(extra="ignore", from_attributes=True, validate_by_name=True, validate_by_alias=True)
    return model_of(model, name, fields, config, decorated)


_wrapping: Any = model_validator(mode="wrap")


def _definition(model: Any, name: str, nested: dict[str, Any]) -> Definition:
    schema = model._schema()
    if name in nested:
        relation: Any = getattr_static(model, name)
        if relation.many:
            return list[nested[name]], ...
        column = relation.reference.column if name in {r.name for r in schema.references} else None
        optional = column is None or column.nullable
        return (nested[name] | None if optional else nested[name]), ...
    if name in model.model_computed_fields:
        info = model.model_computed_fields[name]
        return definition(info, computed_type(model, name, info))
    info = model.model_fields[name]
    counted = schema.automatic and name == schema.pk.name
    return definition(info, without_none(info.annotation)[0] if counted else info.annotation)


def _reader(model: Any, nested: dict[str, type[BaseModel]]) -> Callable[[Any, Any, Any], Any]:
    """A validator that takes an object as it is: it was validated when it was saved."""

    def of_object(cls: type[BaseModel], value: Any, handler: Callable[[Any], Any]) -> Any:
        if not isinstance(value, model):
            return handler(value)
        values: dict[str, Any] = {}
        for name, info in cls.model_fields.items():
            if name in nested:
                values[name] = read_related(value, name, nested[name].model_validate)
            elif info.is_required() or hasattr(value, name):
                values[name] = getattr(value, name)
        return cls.model_construct(**values)

    return of_object
