"""The state of declared models, and the schema of a model in a state."""

from collections.abc import Iterable, Mapping
from typing import Any

from ..schema import registry
from ..schema.relations import OnDelete
from ..schema.schema import KIND, Column, IndexSpec, Link, PartColumn, Reference, Schema, UniqueSpec, key_of
from .state import (
    ConstraintState,
    Default,
    FieldState,
    IndexState,
    LinkState,
    ModelState,
    ProjectState,
    RelationState,
    readable_default,
    stored_text,
)
from .types import codec_of_kind, type_text


def declared_state(models: Iterable[Any]) -> ProjectState:
    """The state of these model classes; subclasses of polymorphic models are part of those."""
    return ProjectState({model.__key__: _model(model) for model in models})


def _model(model: Any) -> ModelState:
    schema: Schema = model._schema()
    family = _family(model, schema)
    fields = tuple(_field(column, family, schema) for column in schema.columns)
    return ModelState(
        schema.key,
        schema.name,
        fields,
        tuple(_index(index) for index in schema.indexes),
        tuple(ConstraintState(tuple(c.name for c in one.columns), _parts(one.columns)) for one in schema.unique),
        tuple(
            RelationState(one.name, one.column.name, one.target_key, one.rule, one.default, one.to_field)
            for one in schema.references
        ),
        tuple(LinkState(one.name, key_of(one.target), one.back_name) for one in schema.links if not one.through),
        schema.automatic,
        schema.expires,
        tuple(family) if schema.kinds else (),
        _kind_defaults(family, fields) if schema.kinds else {},
    )


def _family(model: Any, schema: Schema) -> dict[str, Any]:
    """The classes of a model by their kinds: of a polymorphic one its own first, the others in alphabetical order."""
    if not schema.kinds:
        return {"": model}
    own, *others = ((one.__kind__, one) for one in registry.family(model))
    return dict([own, *sorted(others)])


def _field(column: Column, family: dict[str, Any], schema: Schema) -> FieldState:
    owners = {kind: one for kind, one in family.items() if column.name in one._schema().own_names}
    first, *_ = columns = [one._schema().own_names[column.name] for one in owners.values()]
    text = type_text(next(iter(owners.values())).model_fields[column.name].annotation)
    is_pk = column is schema.pk
    if is_pk:
        text = text.removesuffix(" | None")  # of a counted one, before the first save
    return FieldState(
        column.name,
        "str" if schema.kinds and column.name == KIND else text,
        readable_default(column.codec.kind, first.default),
        not is_pk and any(one.nullable for one in columns),
        column.codec.kind,
        is_pk,
        () if len(owners) == len(family) else tuple(owners),
    )


def _kind_defaults(family: dict[str, Any], fields: Iterable[FieldState]) -> dict[str, dict[str, Default]]:
    """The defaults of kinds that are others than those of the fields."""
    found: dict[str, dict[str, Default]] = {}
    for kind, one in family.items():
        own = one._schema().own_names
        defaults = {f.name: readable_default(f.kind, own[f.name].default) for f in fields if f.name in own}
        found[kind] = {f.name: defaults[f.name] for f in fields if f.name in own and defaults[f.name] != f.default}
    return {kind: some for kind, some in found.items() if some}


def _index(index: IndexSpec) -> IndexState:
    return IndexState(tuple(c.name for c in index.columns), index.type, index.members, _parts(index.columns))


def _parts(columns: Iterable[Column]) -> dict[str, tuple[Any, ...]]:
    return {c.name: tuple(c.packed(c.source.name)) for c in columns if isinstance(c, PartColumn)}


def schema_of(model: ModelState) -> Schema:
    """The schema of a model in a state: what scripts are told of it, without validation and types of its own."""
    columns = tuple(_column(one, at, "".join(model.kinds[:1])) for at, one in enumerate(model.fields, 1))
    by_name = {column.name: column for column in columns}
    for one in (*model.indexes, *model.constraints):
        for name, (source, kind, *way) in one.parts.items():
            by_name.setdefault(name, _part(name, by_name[source], kind, way))
    return Schema(
        model.name,
        model.key,
        model.automatic,
        columns,
        tuple(IndexSpec(one.type, tuple(by_name[n] for n in one.fields), one.values) for one in model.indexes),
        tuple(UniqueSpec(tuple(by_name[name] for name in one.fields)) for one in model.constraints),
        tuple(_reference(one, model.key, by_name[one.column]) for one in model.relations),
        tuple(Link(model.key, one.name, one.name, one.to, one.back, one.back) for one in model.links),
        expiring=model.expires,
        kinds=tuple(model.kinds),
        defaults_of_kinds={kind: _defaults(kind, model, by_name) for kind in model.kinds},
    )


def _reference(one: RelationState, key: str, column: Column) -> Reference:
    rule = OnDelete(one.on_delete)
    replacement = (lambda: None) if rule is OnDelete.SET_VALUE else None  # never called
    return Reference(one.name, column, one.to, rule, False, "", "", one.default, one.to_field, replacement, source=key)


def _defaults(kind: str, model: ModelState, columns: Mapping[str, Column]) -> dict[int, str | bytes]:
    """The texts of the defaults of one kind of objects, by the positions of their columns."""
    own = {one.name: one.default for one in model.fields if not one.kinds or kind in one.kinds}
    own |= model.kind_defaults.get(kind, {})
    return {columns[name].position: stored_text(value) for name, value in own.items() if value is not None}


def _column(field: FieldState, position: int, root: str) -> Column:
    """A field as the model itself sees it: one of subclasses only is absent in its objects."""
    codec, foreign = codec_of_kind(field.kind), bool(field.kinds) and root not in field.kinds
    default = None if foreign else field.text
    return Column(field.name, position, codec, foreign or bool(field.null), _same, codec.encode, default=default)


def _part(name: str, source: Column, kind: str, way: Iterable[Any]) -> PartColumn:
    codec = codec_of_kind(kind)
    return PartColumn(name, 0, codec, True, _same, codec.encode, source=source, way=tuple(way), served=True)


def _same(value: Any) -> Any:
    return value
