"""The schema of a model, made of pydantic's fields and the relations of its class body. Nothing here knows `Model`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Annotated, Any, Literal, cast, get_origin

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from ..errors import DoesNotExist, ModelError, hint_for, reason, shown
from ..storage.annotations import parts, unwrapped, without_none
from ..storage.codecs import Codec, codec_for, plain_type
from ..storage.kinds import NUMBERS
from ..storage.member_texts import WITH_CANONICAL_TEXT
from ..storage.special_types import Special
from .auto_now import AutoNow
from .constraints import check_constraints
from .defaults import default_text
from .fields import FieldOptions, options_of
from .hooks import Hooks
from .index_kinds import EQUAL, MEMBERS, SORTED, TEXT, kind_for
from .options import Options, renewal_of, ttl_of
from .parts import element_column, inside_column, part_at
from .relation_names import Names
from .relations import RelationDeclaration
from .schema import Column, IndexSpec, Link, PartColumn, Reference, Schema, UniqueSpec

_BOUND_BY: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "decimal": (int, Decimal)}


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
    relations: Sequence[tuple[RelationDeclaration, str, Names, str, Any, str]],
    links: Sequence[Link],
    does_not_exist: type[DoesNotExist],
    special: Mapping[str, Special],
    normalisers: Mapping[str, Callable[[Any], Any]],
    auto: Mapping[str, AutoNow],
    hooks: Hooks | None,
    label: str,
    first: Sequence[str] = (),
) -> Schema:
    """The schema of a model; relations are (declaration, label of the other model, names there, the field there that is
    referred to or an empty text, the key that a deletion sets or the function that returns it, label of the model that
    declares it).

    special: codecs of fields that are more than their types. auto: the times of fields with auto_now or auto_now_add.
    first: the fields that come first, in this order: those of the base of a subclass that is stored with it.
    Raises ModelError for a field that can't be stored, indexed or found.
    """
    order = dict.fromkeys([pk, *first, *fields])
    columns = tuple(
        _column(name, field, fields[field], i, options, special.get(field), normalisers.get(field), auto.get(field))
        for i, field in enumerate(order, 1)
    )
    if not columns[0].codec.traits.may_be_key:
        raise ModelError(f"{name}.{pk}: a {columns[0].codec.kind} can't be a primary key; int, str and UUID can")
    by_name = {column.name: column for column in columns}
    references = tuple(
        _reference(name, d, by_name[d.attname], target, names, to_field, replacement, source)
        for d, target, names, to_field, replacement, source in relations
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
    _check_order(name, "ordering", options.ordering, aliases)
    latest = options.get_latest_by
    _check_order(name, "get_latest_by", (latest,) if isinstance(latest, str) else latest or (), aliases)
    if options.partition_by and options.partition_by not in aliases:
        hint = hint_for(options.partition_by, [*aliases])
        raise ModelError(f"{name}.Meta.partition_by={options.partition_by!r} is no stored field: {hint}")
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
        cache=options.cache,
        renewal=renewal_of(options),
        copied=options.reference,
        hooks=hooks,
        label=label,
    )


def _column(
    model: str,
    name: str,
    info: FieldInfo,
    position: int,
    options: Options,
    special: Special | None,
    normalise: Callable[[Any], Any] | None,
    auto: AutoNow | None,
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
    default = None if nullable or position == 1 else default_text(codec, convert, writer, info)
    return Column(name, position, codec, nullable, convert, writer, bounds, exact, normalise, default, auto)


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


def _reference(
    model: str,
    declaration: RelationDeclaration,
    column: Column,
    target: str,
    names: Names,
    to_field: str,
    replacement: Any,
    source: str,
) -> Reference:
    relation, text = declaration.relation, None
    if replacement is not None and not callable(replacement):
        try:
            text = cast(str, column.write(column.convert(replacement)))
        except ValueError as error:
            raise ModelError(
                f"{model}.{declaration.name}: a deletion would set it to {shown(replacement)}, which does not convert "
                f"to {column.codec.kind}: {reason(error)}"
            ) from None
    return Reference(
        declaration.name,
        column,
        target,
        relation.on_delete,
        relation.unique,
        names.reverse,
        names.query,
        text,
        to_field,
        replacement if callable(replacement) else None,
        source,
    )


def _single_index(model: str, column: Column, info: FieldInfo, declared: FieldOptions) -> list[IndexSpec]:
    if not declared.index:
        return []
    if declared.index == MEMBERS:
        return [IndexSpec(MEMBERS, (column,), _members(model, column))]
    if declared.index is True:
        by_equality = _named_values(info.annotation) or not column.codec.traits.scored
        return [IndexSpec(EQUAL if by_equality else SORTED, (_indexable(model, column),))]
    try:
        kind = kind_for(declared.index, column.codec.traits)
    except ModelError as error:
        raise ModelError(f"{model}.{column.name}: {error}") from None
    return [IndexSpec(kind.name, (_indexable(model, column),))]


def _members(model: str, column: Column) -> str:
    """The kind of the members of a list. Raises ModelError for values without members, or whose texts do not tell."""
    inside = inside_column(column)
    if inside is None or inside.kind not in ("list", "set", "tuple"):
        kind = column.codec.kind
        raise ModelError(f'{model}.{column.name}: index="members" is for lists, tuples and sets, not {kind}')
    element = element_column(column)
    has_one_text = element.codec.traits.exact_text or element.codec.kind in WITH_CANONICAL_TEXT
    if not (element.served and has_one_text):
        raise ModelError(
            f'{model}.{column.name}: index="members" is for members that the server can tell apart by their texts: '
            f"texts, numbers, bools, dates, datetimes, UUIDs, choices; not for {element.codec.kind}"
        )
    return element.codec.kind


def _index(model: str, columns: tuple[Column, ...]) -> IndexSpec:
    for column in columns:
        _indexable(model, column)
    last = columns[-1].codec.traits
    if len(columns) == 1 and isinstance(columns[0], PartColumn) and not last.scored and last.name != "text":
        return IndexSpec(EQUAL, columns)
    return IndexSpec(SORTED if last.scored else TEXT, columns)


def _unique(model: str, columns: tuple[Column, ...]) -> tuple[Column, ...]:
    for column in columns:
        if not _indexable(model, column).codec.traits.may_be_unique:
            raise ModelError(
                f"{model}.{column.name}: numbers of several types can't be unique, since equal ones, 1 and 1.0, are "
                f"stored as different texts; give the field one type"
            )
    return columns


def _indexable(model: str, column: Column) -> Column:
    if isinstance(column, PartColumn) and column.codec.traits.indexable and not column.served:
        raise ModelError(
            f"{model}.{column.name}: its values are converted by validators, or their type is not known, so that the "
            f"server can't index it; index a plain field beside it"
        )
    if isinstance(column, PartColumn) and not column.codec.traits.indexable:
        raise ModelError(f"{model}.{column.name} is stored as JSON itself: index one of its parts")
    if not column.codec.traits.indexable:
        raise ModelError(
            f"{model}.{column.name}: a field that is stored as JSON has no index and is never unique; "
            f"index a part of it, as in Index('{column.name}__name'), or a plain field beside it"
        )
    return column


def _named_values(annotation: Any) -> bool:
    inner = unwrapped(without_none(annotation)[0])
    return get_origin(inner) is Literal or (isinstance(inner, type) and issubclass(inner, Enum))


def _columns(model: str, aliases: Mapping[str, Column], names: Iterable[str], where: object) -> tuple[Column, ...]:
    found: list[Column] = []
    for name in names:
        column = aliases.get(name) or _part(aliases, name)
        if column is None:
            raise ModelError(f"{model}.Meta: {where!r} names {name!r}, which is no field: {hint_for(name, aliases)}")
        found.append(column)
    if len(set(found)) < len(found):
        raise ModelError(f"{model}.Meta: {where!r} names a field twice")
    return tuple(found)


def _part(aliases: Mapping[str, Column], name: str) -> Column | None:
    """The part of a field that a name such as `address__city` means, None if there is none."""
    first, *inner = name.split("__")
    column = aliases.get(first) if name.isidentifier() else None
    return part_at(column, inner) if column is not None and column.name == first else None


def _check_order(model: str, option: str, order: Iterable[Any], columns: Mapping[str, Column]) -> None:
    """Raises ModelError for what orders nothing.

    The names of later models, as in `passport__number`, are left to the first query.
    """
    for item in order:
        if isinstance(item, int | float | NoneType | list | tuple):
            raise ModelError(f"{model}.Meta.{option}: {shown(item)} is no order: give names of fields, `-name`, F(...)")
        name, *more = item.removeprefix("-").split("__") if isinstance(item, str) else ["pk"]
        if name in ("pk", "?") or (name in columns and not more):
            continue
        if not more:
            raise ModelError(f"{model}.Meta.{option} names {name!r}, which is no field: {hint_for(name, columns)}")
        if name in columns and columns[name].name == name and part_at(columns[name], more) is None:
            raise ModelError(f"{model}.Meta.{option} names {item!r}: {name} is a field, and nothing follows it")


def _distinct(indexes: Iterable[IndexSpec]) -> tuple[IndexSpec, ...]:
    return tuple({index.definition: index for index in indexes}.values())
