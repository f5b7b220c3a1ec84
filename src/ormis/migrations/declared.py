"""The state of declared models, and the schema of a model in a state."""

from collections.abc import Iterable
from typing import Any

from ..schema import registry
from ..schema.relations import OnDelete
from ..schema.schema import Column, IndexSpec, Link, PartColumn, Reference, Schema, UniqueSpec, key_of
from .state import (
    ConstraintState,
    FieldState,
    IndexState,
    LinkState,
    ModelState,
    ProjectState,
    RelationState,
    readable_default,
)
from .types import codec_of_kind, type_text


def declared_state(models: Iterable[Any]) -> ProjectState:
    """The state of these model classes; subclasses of polymorphic models are part of those."""
    return ProjectState({model.__key__: _model(model) for model in models})


def _model(model: Any) -> ModelState:
    schema: Schema = model._schema()
    family = {one.__kind__: one for one in registry.family(model)} if schema.kinds else {"": model}
    return ModelState(
        schema.key,
        schema.name,
        tuple(_field(column, family, schema) for column in schema.columns),
        tuple(_index(index) for index in schema.indexes),
        tuple(ConstraintState(tuple(c.name for c in one.columns), _parts(one.columns)) for one in schema.unique),
        tuple(
            RelationState(one.name, one.column.name, one.target_key, one.rule, one.default, one.to_field)
            for one in schema.references
        ),
        tuple(LinkState(one.name, key_of(one.target), one.back_name) for one in schema.links if not one.through),
        schema.automatic,
        schema.expires,
        schema.kinds,
        {
            kind: {
                schema.columns[at - 1].name: readable_default(schema.columns[at - 1].codec.kind, text)
                for at, text in one.items()
            }
            for kind, one in schema.defaults_of_kinds.items()
        },
    )


def _field(column: Column, family: dict[str, Any], schema: Schema) -> FieldState:
    owners = {kind: one for kind, one in family.items() if column.name in one._schema().own_names}
    annotation = next(iter(owners.values())).model_fields[column.name].annotation
    kind = column.codec.kind
    return FieldState(
        column.name,
        type_text(annotation),
        readable_default(kind, column.default),
        column.nullable,
        kind,
        column is schema.pk,
        () if len(owners) == len(family) else tuple(owners),
    )


def _index(index: IndexSpec) -> IndexState:
    return IndexState(tuple(c.name for c in index.columns), index.type, index.members, _parts(index.columns))


def _parts(columns: Iterable[Column]) -> dict[str, tuple[Any, ...]]:
    return {c.name: tuple(c.packed(c.source.name)) for c in columns if isinstance(c, PartColumn)}


def schema_of(model: ModelState) -> Schema:
    """The schema of a model in a state: what scripts are told of it, without validation and types of its own."""
    columns = tuple(_column(one, at) for at, one in enumerate(model.fields, 1))
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
        tuple(
            Reference(
                one.name, by_name[one.column], one.to, OnDelete(one.on_delete), False, "", "", one.default, one.to_field,
                (lambda: None) if one.on_delete == OnDelete.SET_VALUE else None, model.key,
            )
            for one in model.relations
        ),
        tuple(Link(model.key, one.name, one.name, one.to, one.back, one.back) for one in model.links),
        expiring=model.expires,
        kinds=model.kinds,
        defaults_of_kinds={
            kind: {by_name[name].position: _text(value) for name, value in some.items()}
            for kind, some in model.kind_defaults.items()
        },
    )  # fmt: skip


def _text(value: Any) -> str | bytes:
    return FieldState("", "str", value).text or ""


def _column(field: FieldState, position: int) -> Column:
    codec = codec_of_kind(field.kind)
    return Column(field.name, position, codec, bool(field.null), _same, codec.encode, default=field.text)


def _part(name: str, source: Column, kind: str, way: Iterable[Any]) -> PartColumn:
    codec = codec_of_kind(kind)
    return PartColumn(name, 0, codec, True, _same, codec.encode, source=source, way=tuple(way), served=True)


def _same(value: Any) -> Any:
    return value
