"""A model as the layers below know it: a frozen `Schema` of columns, indexes, constraints and references.

`Schema.shape` and `Schema.declaration` are what the scripts are told of it (see lua/model/models.lua).
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import msgspec

from ..calls import HashFields
from ..errors import DoesNotExist, FieldError, hint_for, shown
from ..storage.codecs import Codec, RowDecoder, packable
from .auto_now import AutoNow
from .hooks import Hooks
from .index_kinds import INDEX_KINDS, IndexKind
from .relations import OnDelete

KIND = "kind"
"""The field that tells the classes of a polymorphic model apart."""


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One stored field. `position` counts from 1, as Lua does; the primary key is the first.

    place: where an object's row has it, from 0. It is position - 1 but in a subclass of a polymorphic model, whose
        objects lack the columns of its siblings.
    """

    name: str
    position: int
    codec: Codec
    nullable: bool
    convert: Callable[[Any], Any]
    """A value as the column holds it, as pydantic converts it; ValueError where it does not convert."""
    write: Callable[[Any], str | bytes]
    """The text of a value, checked for what an index can't hold; ValueError where it can't be stored."""

    bounds: tuple[str, ...] | None = ()
    """The constraints beyond its type as the scripts compare them, ("ge", text, ...); None where there are others."""

    exact: Any = None
    """A type whose values need no conversion, where there is one."""

    normalise: Callable[[Any], Any] | None = None
    """The value of a lookup as the field would hold it, if validators change values; raises RefusedValue."""
    default: str | bytes | None = None
    """The text that an absent one counts as: of a default that is no factory, in a field that is never None."""

    auto: AutoNow | None = None
    """The time that writes set it to, if it has auto_now or auto_now_add."""
    place: int = -1

    default_wire: Any = field(init=False, default=None)
    """The default as it is decoded in rows."""

    mutable: bool = field(init=False)
    """True where a value may change in place: a list, a dict, a model."""
    parts: "dict[str, Column | None]" = field(init=False, default_factory=dict[str, Any], repr=False)
    """The parts of its values that were asked for, see parts.py."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "mutable", self.codec.kind == "json")
        if self.place < 0:
            object.__setattr__(self, "place", self.position - 1)
        if self.default is not None:
            text = self.default if isinstance(self.default, bytes) else self.default.encode()
            object.__setattr__(self, "default_wire", self.codec.read(text))

    def __repr__(self) -> str:
        return f"<Column {self.name}: {self.codec.kind}>"


@dataclass(frozen=True, slots=True, eq=False)
class PartColumn(Column):
    """A part of the values of a column, of the type that it has there. No hash holds it: its position is 0.

    source: the column. get: the part of a value of the column, None if it is absent.
    way: the steps to it as lua/values/inside.lua follows them, None if only Python can tell it.
    served: the texts that the server finds there are those of a column of this type.
    annotation: its type, with the constraints that it has there.
    """

    source: Column = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    get: Callable[[Any], Any] = lambda value: value
    way: tuple[Any, ...] | None = None
    served: bool = False
    annotation: Any = None

    def packed(self, place: int | str) -> list[Any]:
        """As lua/values/inside.lua reads it: the position or the name of the column, the kind, the steps."""
        assert self.way is not None
        return [place, self.codec.kind, *self.way]


class Readable(Protocol):
    """An item of a row: a column of this model or of a related one."""

    @property
    def name(self) -> str:
        """Its name in a query."""
        ...

    @property
    def codec(self) -> Codec:
        """How its values are stored."""
        ...

    @property
    def nullable(self) -> bool:
        """Returns whether it may be absent."""
        ...


def stored_column(column: Column) -> Column:
    """The column that a hash holds: that of a part."""
    return column.source if isinstance(column, PartColumn) else column


@dataclass(frozen=True, slots=True, eq=False)
class IndexSpec:
    """One index: equality on all columns but the last, on the last what its kind allows; `type` names that."""

    type: str
    columns: tuple[Column, ...]
    members: str = ""
    """The kind of the members of a list, if it is an index of these."""

    @property
    def kind(self) -> IndexKind:
        """The kind of index: the entry of its table."""
        return INDEX_KINDS[self.type]

    @property
    def last(self) -> Column:
        """The column that a sorted index is ordered by."""
        return self.columns[-1]

    @property
    def definition(self) -> str:
        """How the database knows it: type, kind of the last column, columns."""
        return f"{self.type} {self.values} {','.join(c.name for c in self.columns)}"

    @property
    def values(self) -> str:
        """The kind of the values that it is ordered by, or that are found by it."""
        return self.members or self.last.codec.kind

    def packed(self, position: Callable[[Column], int]) -> list[Any]:
        """The five slots of lua/model/models.lua."""
        before = [position(column) for column in self.columns[:-1]]
        return [self.type, self.values, self.last.name, position(self.last), before or False]


@dataclass(frozen=True, slots=True, eq=False)
class UniqueSpec:
    """Columns whose values together no two objects share."""

    columns: tuple[Column, ...]

    @property
    def name(self) -> str:
        """The names of its columns, as in the key that holds the claims."""
        return ",".join(c.name for c in self.columns)


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """A foreign key: `name` is the attribute, `column` holds the key, `target` is the other model's label.

    source: the label of the model that declares it.
    to_field: the unique field of the other model whose values the column holds; empty for its primary key.
    default: the text that a deletion sets, of SET_DEFAULT or SET; replacement: computes it when a deletion needs it.
    """

    name: str
    column: Column
    target: str
    on_delete: OnDelete
    unique: bool
    reverse_name: str
    query_name: str
    default: str | None = None
    to_field: str = ""
    replacement: Callable[[], Any] | None = None
    source: str = ""

    def referred(self, target: "Schema") -> Column:
        """The column of the other model whose values this one holds."""
        return target.by_name[self.to_field] if self.to_field else target.pk

    @property
    def target_key(self) -> str:
        """The beginning of the other model's keys."""
        return key_of(self.target)

    @property
    def back_name(self) -> str:
        """The attribute of the other side if that is one object too; empty if it is many, or has no attribute."""
        return self.reverse_name if self.unique and not is_hidden(self.reverse_name) else ""

    @property
    def definition(self) -> str:
        """How the database knows it, see lua/model/catalog.lua."""
        optional = "1" if self.column.nullable else "0"
        default = () if self.default is None else (self.default,)
        target = f"{self.target_key}/{self.to_field}" if self.to_field else self.target_key
        return "\n".join((self.column.name, target, self.rule, optional, *default))

    @property
    def rule(self) -> str:
        """The rule for a deletion as the scripts know it: SET(None) is SET_NULL, SET(value) as SET_DEFAULT."""
        rule = self.on_delete
        if rule in (OnDelete.SET_DEFAULT, OnDelete.SET_VALUE):
            if self.replacement is not None:
                return OnDelete.SET_VALUE.value
            return (OnDelete.SET_NULL if self.default is None else OnDelete.SET_DEFAULT).value
        return rule.value


@dataclass(frozen=True, slots=True)
class Link:
    """A many-to-many relation as the objects of the model `source` see it; `back` is the same from the other side.

    source, target: the labels of the two models.
    name: the attribute, which the keys of the sets are named by; one with a dot belongs to a side without an attribute.
    query_name: what queries call it.
    through: the label of the model whose objects are the links, `near` and `far` its foreign keys to this side and to
        the other; empty where the links are kept in sets.
    """

    source: str
    name: str
    query_name: str
    target: str
    back_name: str
    back_query_name: str
    through: str = ""
    near: str = ""
    far: str = ""

    @property
    def symmetrical(self) -> bool:
        """True where both sides are one: a friend of mine has me for a friend."""
        return (self.source, self.name) == (self.target, self.back_name)

    @property
    def back(self) -> "Link":
        """The relation as the other side sees it."""
        return Link(
            self.target,
            self.back_name,
            self.back_query_name,
            self.source,
            self.name,
            self.query_name,
            self.through,
            self.far,
            self.near,
        )

    def packed(self) -> list[str]:
        """As lua/write/links.lua reads it: its name, the key of the other model, its name there."""
        return [self.name, key_of(self.target), self.back_name]

    @property
    def definition(self) -> str:
        """How the database knows it, see lua/model/catalog.lua."""
        return "\n".join(self.packed())


def key_of(label: str) -> str:
    """The beginning of the keys of a model: its label, but of a subclass of a polymorphic model `user` `user/admin`."""
    return label.partition("/")[0]


def is_hidden(name: str) -> bool:
    """True for the name of a side that has no attribute (`related_name="+"`)."""
    return "." in name


@dataclass(frozen=True, eq=False)
class Schema:
    """A model as the layers below the façade see it.

    `name` stands in messages, `key` in front of the keys. `automatic` says that the server counts the primary keys,
    `ttl` how many milliseconds an object lives from each save, `renewal` how many from each reading as well, if any,
    `cache` is Meta.cache, `copied` Meta.reference.
    annotations: of the scope of a query, its names beyond those of the model; `grouped`: there are no others.

    Of a model of a family (families.py) queries name more columns than an object has: those of subclasses, too.
    label: what the registry knows it by: its key, but of a subclass of a polymorphic model. own: the columns of an
        object. kinds: the texts of the column `kind` of its objects, its own first; none if it is in no family.
    root: of a subclass the schema of the polymorphic model. relatives: the labels of the model, its bases, its
        subclasses. expiring: objects of another class of the family may end; expires: objects may.
    defaults_of_kinds: of the polymorphic model the defaults of each kind, by position.
    rows_of_kinds: what records/hydration.py knows of each kind.
    stored: the schema whose columns, in their order, are those of the hashes: the root's.
    """

    name: str
    key: str
    automatic: bool
    columns: tuple[Column, ...]
    indexes: tuple[IndexSpec, ...] = ()
    unique: tuple[UniqueSpec, ...] = ()
    references: tuple[Reference, ...] = ()
    links: tuple[Link, ...] = ()
    ordering: tuple[Any, ...] = ()
    does_not_exist: type[DoesNotExist] = DoesNotExist
    ttl: int | None = None
    renewal: int | None = None
    copied: bool = False
    hooks: Hooks | None = None
    cache: bool | int = False
    annotations: Mapping[str, Column] = field(default_factory=dict[str, Column])
    grouped: bool = False
    label: str = ""
    own: tuple[Column, ...] = ()
    kinds: tuple[str, ...] = ()
    root: "Schema | None" = None
    relatives: frozenset[str] = frozenset()
    expiring: bool = False
    defaults_of_kinds: Mapping[str, Mapping[int, str | bytes]] = field(default_factory=dict[str, Any])
    takes_integers: bool = field(init=False)
    """Whether an integer is a primary key as it is."""
    expires: bool = field(init=False)
    base: "Schema" = field(init=False)
    stored: "Schema" = field(init=False)
    by_name: dict[str, Column] = field(init=False)
    own_names: dict[str, Column] = field(init=False)
    rows_of_kinds: dict[str, Any] = field(init=False, default_factory=dict[str, Any])
    _decoders: dict[tuple[Readable, ...], RowDecoder] = field(init=False, default_factory=dict[Any, Any])
    _shapes: dict[tuple[int, ...], bytes] = field(init=False, default_factory=dict[Any, Any])

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        put("by_name", {column.name: column for column in self.columns})
        put("own", self.own or self.columns)
        put("own_names", {c.name: c for c in self.own} if len(self.own) < len(self.columns) else self.by_name)
        put("label", self.label or self.key)
        pk = self.columns[0]
        put("takes_integers", pk.exact is int and pk.normalise is None)
        put("relatives", self.relatives or frozenset([self.label]))
        put("expires", self.expiring or self.ttl is not None)
        put("base", self)
        put("stored", self.root or self)

    def __repr__(self) -> str:
        return f"<Schema {self.name}>"

    def annotated(self, annotations: Mapping[str, Column], grouped: bool = False) -> "Schema":
        """The scope of a query: the same model with names beyond its own, or with no others if it is grouped."""
        scope = replace(self, annotations=annotations, grouped=grouped)
        object.__setattr__(scope, "base", self.base)
        object.__setattr__(scope, "stored", self.stored)
        return scope

    @property
    def pk(self) -> Column:
        """The primary key's column, always the first."""
        return self.columns[0]

    def column(self, name: str) -> Column:
        """The column of a field, of `pk` or of a foreign key by its attribute.

        Raises FieldError where there is none.
        """
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise FieldError(f"{self.name}: fields are named by texts, not by {shown(name)}")
        if name == "pk":
            return self.pk
        column = self.by_name.get(name) or next((r.column for r in self.references if r.name == name), None)
        if column is None:
            known = [*self.by_name, *(reference.name for reference in self.references)]
            raise FieldError(f"{self.name} has no stored field {name!r}: {hint_for(name, known)}")
        return column

    def columns_of(self, names: Iterable[str], place: str) -> list[Column]:
        """The columns of these fields of its objects.

        Raises FieldError where there is none, and for a text in place of a list.
        """
        if isinstance(names, str) or not isinstance(names, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise FieldError(f"{self.name}: {place} takes a list of names of fields: write [{shown(names)}]")
        return [self.own_column(name) for name in names]

    def own_column(self, name: str) -> Column:
        """The column of a field that the objects of this very model have. Raises FieldError for one of subclasses."""
        column = self.column(name)
        if self.own_names is not self.by_name and self.own_names.get(column.name) is not column:
            raise FieldError(
                f"{self.name}.{name}: only objects of a subclass have this field: write it through that subclass"
            )
        return column

    @property
    def narrowed(self) -> bool:
        """True if other objects have keys of the same beginning: those of the bases and siblings of a subclass."""
        return self.root is not None

    @cached_property
    def others(self) -> tuple[int, ...]:
        """The positions of the columns that objects of the family have and those of this class have not."""
        return tuple(column.position for column in self.stored.columns if column.name not in self.own_names)

    @cached_property
    def kind(self) -> Column:
        """The column with the kinds of the objects of a family."""
        return self.by_name[KIND]

    @cached_property
    def parts(self) -> tuple[PartColumn, ...]:
        """The parts of columns that indexes and constraints are of."""
        columns = [column for some in (*self.indexes, *self.unique) for column in some.columns]
        return tuple(dict.fromkeys(column for column in columns if isinstance(column, PartColumn)))

    def position(self, column: Column) -> int:
        """The position of a column as lua/model/models.lua knows it: of a part below 0."""
        return -1 - self.parts.index(column) if isinstance(column, PartColumn) else column.position

    def reference(self, name: str) -> Reference:
        """The reference of this name."""
        return next(reference for reference in self.references if reference.name == name)

    @cached_property
    def writers(self) -> list[tuple[str, Callable[[Any], str | bytes]]]:
        """Name and encoder of every column of an object, for storing whole objects."""
        return [(column.name, column.write) for column in self.own]

    @cached_property
    def auto_now(self) -> tuple[Column, ...]:
        """The columns that every write sets to the time."""
        return tuple(column for column in self.own if column.auto and not column.auto.once)

    @cached_property
    def auto_now_add(self) -> tuple[Column, ...]:
        """The columns that an insertion sets to the time, those of auto_now among them."""
        return tuple(column for column in self.own if column.auto)

    @cached_property
    def changeable(self) -> tuple[tuple[str, int, bool, Column], ...]:
        """Name, place in a row and whether it may change in place, of each column besides the primary key."""
        return tuple((column.name, column.place, column.mutable, column) for column in self.own[1:])

    @cached_property
    def required(self) -> tuple[int, ...]:
        """The places in a row, from 0, of the columns beside the primary key that must have a value."""
        return tuple(i for i, column in enumerate(self.own) if i and not column.nullable)

    @cached_property
    def hash_fields(self) -> HashFields:
        """All columns, as they are read of one hash."""
        return self.fields_of(column.name for column in self.columns)

    def fields_of(self, names: Iterable[str]) -> HashFields:
        """Fields with these names, as they are read of hashes."""
        return HashFields(names, self.key, self.pk.codec.kind == "int", self.copied)

    @cached_property
    def decoder(self) -> RowDecoder:
        """Decodes rows of all columns."""
        return self.decoder_for(self.columns)

    def decoder_for(self, columns: tuple[Readable, ...]) -> RowDecoder:
        """Decodes rows of these columns."""
        decoder = self._decoders.get(columns)
        if decoder is None:
            decoder = RowDecoder([c.codec for c in columns], [c.name for c in columns], [c.nullable for c in columns])
            self._decoders[columns] = decoder
        return decoder

    @cached_property
    def declaration(self) -> str:
        """The indexes and constraints that scripts keep, as canonical JSON; compared with the stored declaration."""
        if self.root is not None:
            return self.root.declaration
        with_default = [self._defaults.keys(), *(one.keys() for one in self.defaults_of_kinds.values())]
        kept = {
            "defaults": sorted(self.columns[position - 1].name for position in set[int]().union(*with_default)),
            "expires": self.expires,
            "indexes": sorted(index.definition for index in self.indexes),
            "links": sorted(link.definition for link in self.links if not link.through),
            "parts": {part.name: part.packed(part.source.name) for part in self.parts},
            "pk": self.pk.name,
            "references": sorted(reference.definition for reference in self.references),
            "unique": sorted(unique.name for unique in self.unique),
        }
        needed = {name: value for name, value in kept.items() if value or name in ("indexes", "unique")}
        return json.dumps(needed, separators=(",", ":"), ensure_ascii=False)

    @cached_property
    def shape(self) -> bytes:
        """The model as lua/model/models.lua reads it, without its referring models."""
        return self._shape(None)

    @cached_property
    def plain(self) -> bool:
        """True where no column depends on another one or on other objects: lua/write/fast_commit.lua may serve."""
        alone = all(len(index.columns) == 1 and index.kind.fast_insert for index in self.indexes) and not self.parts
        return alone and not self.unique and not self.references and not self.expires

    @cached_property
    def binary(self) -> bool:
        """True where a column holds bytes, which need not be UTF-8."""
        return any(column.codec.kind == "bytes" for column in self.columns)

    @cached_property
    def long(self) -> tuple[int, ...]:
        """The positions of the columns whose texts may have any length."""
        return tuple(column.position for column in self.columns if column.codec.traits.may_be_long)

    @cached_property
    def alone(self) -> frozenset[Column]:
        """The columns without a part in a constraint, a reference, or an index of many columns or of another kind.

        None where objects end: what is kept to clear them away depends on all.
        """
        bound = {column for unique in self.unique for column in unique.columns} | {part.source for part in self.parts}
        bound |= {reference.column for reference in self.references}
        for index in self.indexes:
            if len(index.columns) > 1 or not index.kind.fast_insert:
                bound.update(index.columns)
        return frozenset() if self.expires else frozenset(self.columns) - bound

    @cached_property
    def index_of(self) -> dict[Column, IndexSpec]:
        """The index of each column that has one of its own."""
        return {index.last: index for index in self.indexes if len(index.columns) == 1}

    @cached_property
    def fast_kinds(self) -> list[tuple[str, str | None]]:
        """Name of every column and what lua/write/fast_commit.lua must know to update it.

        The kind of its sorted index, nothing where it has no index, None where that way is closed.
        """
        return [(column.name, self._quick_kind(column)) for column in self.columns]

    def _quick_kind(self, column: Column) -> str | None:
        index = self.index_of.get(column)
        if column not in self.alone or (index is not None and not index.kind.fast_update):
            return None
        return "" if index is None else column.codec.kind

    def shape_with(self, referrers: Sequence[Sequence[Any]], links: Sequence[Link]) -> bytes:
        """The model with its referring and linked models, as lua/write/deletion.lua reads it."""
        return self._shape(None, referrers, [slot for link in links for slot in link.packed()], self._kinds)

    def shape_for(self, changed: tuple[int, ...]) -> bytes:
        """The part of the model that an update of the columns at these positions concerns."""
        if self.expires:
            return self.shape
        shape = self._shapes.get(changed)
        if shape is None:
            shape = self._shapes[changed] = self._shape(set(changed))
        return shape

    @cached_property
    def shape_of_kinds(self) -> bytes:
        """The model as lua/model/models.lua reads it, with the defaults of each kind of object."""
        return self._shape(None, kinds=self._kinds) if self._kinds else self.shape

    @cached_property
    def _kinds(self) -> Sequence[Any]:
        if not self.defaults_of_kinds:
            return ()
        defaults = {kind: packable(dict(one)) for kind, one in self.defaults_of_kinds.items()}
        return self.kind.position, self.kinds[0], defaults

    def _shape(
        self,
        changed: set[int] | None,
        referrers: Sequence[Sequence[Any]] = (),
        links: Sequence[str] = (),
        kinds: Sequence[Any] = (),
    ) -> bytes:
        def concerned(*columns: Column) -> bool:
            return changed is None or any(stored_column(column).position in changed for column in columns)

        indexes = [index for index in self.indexes if concerned(*index.columns)]
        parts = [slot for part in self.parts for slot in (part.name, part.packed(part.source.name))]
        return msgspec.msgpack.encode(
            {
                "key": self.key,
                "auto": self.automatic,
                "columns": [column.name for column in self.stored.columns],
                **({"stored": " ".join(c.codec.kind for c in self.stored.columns)} if changed is None else {}),
                "indexes": [slot for index in indexes for slot in index.packed(self.position)],
                "unique": [
                    slot
                    for unique in self.unique
                    if concerned(*unique.columns)
                    for slot in (unique.name, [self.position(column) for column in unique.columns])
                ],
                "references": [
                    slot
                    for reference in self.stored.references
                    if concerned(reference.column)
                    for slot in (reference.column.position, reference.target_key, reference.to_field or False)
                ],
                **({"referrers": referrers} if referrers else {}),
                **({"expires": True} if self.expires else {}),
                **({"copied": True} if self.copied else {}),
                **({"links": links} if links else {}),
                **({"parts": parts} if parts and concerned(*self.parts) else {}),
                **({"kinds": kinds} if kinds else {}),
                **({"defaults": packable(self._defaults)} if self._defaults else {}),
            }
        )

    @cached_property
    def _defaults(self) -> dict[int, str | bytes]:
        return {column.position: column.default for column in self.columns if column.default is not None}
