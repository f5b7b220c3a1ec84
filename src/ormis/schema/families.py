"""Families: a model with `Meta.polymorphic = True` and its subclasses, whose objects are stored together.

They have one key, `user:7`, one list of keys, one counter. To the server a family is one model: the columns of the
polymorphic model, the root, first, then those that each subclass adds, in the order of declaration; the indexes,
constraints and references of all classes. The column `kind` says which class an object is of, and has an index.

    own schema      what builder.py makes of a class by itself
       |  assembled()
    schema          the same over the columns of the family: `own` are those of its objects, `columns` are also those of
                    its subclasses, which are null in its own objects; `stored` is the schema of the root

An object has a row of its own columns alone, so a subclass that is declared later changes nothing of it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import ModelError
from ..storage.codecs import Text, codec_for
from .index_kinds import EQUAL
from .parts import part_at
from .schema import KIND, Column, IndexSpec, Link, PartColumn, Reference, Schema, UniqueSpec, stored_column


@dataclass(frozen=True, slots=True)
class Member:
    """A class of a family: its own schema, its kind, the labels of its bases in the family, the root first.

    types: of each field, without None and constraints.
    """

    own: Schema
    kind: str
    bases: tuple[str, ...]
    types: Mapping[str, Any]

    @property
    def label(self) -> str:
        """The label of the class."""
        return self.own.label


def assembled(members: Sequence[Member]) -> list[Schema]:
    """The schemas of the classes of a family, of which the root is the first, over the columns of the family.

    Raises ModelError for classes that can't be stored together.
    """
    root = members[0]
    positions = _positions(members)
    writers = _writers_of_numbers(members)
    own = {member.label: _own_columns(member, positions, root, writers) for member in members}
    schemas: list[Schema] = []
    for member in members:
        schemas.append(_assembled(member, members, own, schemas[0] if schemas else None))
    return schemas


def _positions(members: Sequence[Member]) -> dict[str, int]:
    """The position of each column in the hashes of the family.

    Raises ModelError for classes that can't be stored together.
    """
    first: dict[str, tuple[Member, Column]] = {}
    _check_lifetimes(members)
    for member in members:
        for column in member.own.columns:
            before, other = first.setdefault(column.name, (member, column))
            if column.name != KIND:
                _check_alike(before, other, member, column)
        _check_relations(member, members)
        if member.own.pk.name != members[0].own.pk.name:
            raise ModelError(
                f"{member.own.name}.{member.own.pk.name}: the primary key is that of {members[0].own.name}, whose "
                f"objects are stored with these: {members[0].own.pk.name}"
            )
    return {name: position for position, name in enumerate(first, 1)}


def _check_lifetimes(members: Sequence[Member]) -> None:
    """Raises ModelError if readings renew the objects of some classes only, or those of one class for longer."""
    one = members[0].own
    for own in (member.own for member in members):
        if own.renewal != one.renewal:
            raise ModelError(
                f"{own.name}.Meta.ttl_on: a reading through {one.name} renews the objects of both, so that they have "
                f"one ttl and one ttl_on: set them in {one.name}"
            )


def _check_relations(member: Member, members: Sequence[Member]) -> None:
    """Raises ModelError for a kind, or the name of a relation, that another class has too."""
    for other in members:
        if other is member:
            continue
        if other.kind == member.kind:
            raise ModelError(f"{member.own.name} and {other.own.name} have the same kind {other.kind!r}: set Meta.kind")
        if other.label in member.bases:
            continue
        declared = [r.column.name for r in member.own.references if r.source == member.label]
        declared += [link.name for link in member.own.links if link.source == member.label]
        for name in declared:
            below = member.label in other.bases
            if (name in other.own.by_name and not below) or any(
                link.name == name for link in other.own.links if not below
            ):
                raise ModelError(
                    f"{member.own.name}.{name} is a relation, and {other.own.name}, stored with it, "
                    f"has {name!r} too: give one of them another name"
                )


def _check_alike(before: Member, other: Column, member: Member, column: Column) -> None:
    """Raises ModelError if a field of a class is stored otherwise than the one of the same name of another class."""
    one, two = f"{before.own.name}.{other.name}", f"{member.own.name}.{column.name}"
    inherited = before.label in member.bases and column.codec.kind != "json"
    alike = other.codec.kind == column.codec.kind and other.codec.wire == column.codec.wire
    if not alike or not (inherited or before.types[other.name] == member.types[column.name]):
        raise ModelError(
            f"{two} and {one} are stored in one field, and their types differ: give them one type, or two names"
        )
    if before.label in member.bases and column.nullable and not other.nullable:
        raise ModelError(f"{two} may be None and {one} may not, and it is stored as that: declare {one} optional")


def _writers_of_numbers(members: Sequence[Member]) -> dict[str, Any]:
    """The functions that write indexed numbers, of each class that has them: they refuse NaN."""
    indexed = [(member, column.name) for member in members for index in member.own.indexes for column in index.columns]
    columns = [member.own.by_name[name] for member, name in indexed if name in member.own.by_name]  # others are parts
    return {column.name: column.write for column in columns if column.codec.traits.arithmetic}


def _own_columns(
    member: Member, positions: dict[str, int], root: Member, writers: dict[str, Any]
) -> tuple[Column, ...]:
    columns: list[Column] = []
    for place, column in enumerate(member.own.columns):
        own = _kind_column(column, root.kind) if column.name == KIND else column
        write = writers.get(own.name, own.write)
        columns.append(replace(own, position=positions[own.name], place=place, write=write))
    return tuple(columns)


def _kind_column(column: Column, kind_of_root: str) -> Column:
    """The column `kind` of any text: an object without one was stored before there was a family, and is of the root."""
    codec = codec_for(str)
    return replace(
        column,
        codec=codec,
        convert=_text,
        write=codec.encode,
        exact=str,
        normalise=None,
        bounds=None,
        default=kind_of_root,
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("give a text")  # noqa: TRY004 - as pydantic does
    return value


def _assembled(
    member: Member, members: Sequence[Member], own: dict[str, tuple[Column, ...]], root: Schema | None
) -> Schema:
    below = [other for other in members if member.label in other.bases]
    columns = {column.name: column for column in own[member.label]}
    for other in below:
        for column in own[other.label]:
            if column.name not in columns:
                columns[column.name] = _of_subclass(column)
    stored = columns if root is None else {column.name: column for column in root.columns}
    reach = [member, *below]
    references = [*_mapped(member.own.references, columns)]
    links: list[Link] = [*member.own.links]
    for other in below:
        references += _mapped((r for r in other.own.references if r.source == other.label), columns)
        links += [link for link in other.own.links if link.source == other.label]
    names = frozenset([member.label, *member.bases, *(other.label for other in below)])
    return replace(
        member.own,
        columns=(*columns.values(),),
        own=own[member.label],
        indexes=_in_view(_indexes(members), columns, stored),
        unique=_constraints(members, columns, stored),
        references=(*references,),
        links=(*links,),
        kinds=tuple(one.kind for one in reach),
        root=root,
        relatives=names,
        expiring=any(one.own.ttl is not None for one in members),
        defaults_of_kinds={} if root is not None else {one.kind: _defaults(own[one.label]) for one in members},
    )


def _of_subclass(column: Column) -> Column:
    """A column of a subclass as queries through its base see it: null in the objects of other classes."""
    return replace(column, nullable=True, default=None, normalise=None, auto=None, place=column.position - 1)


def _defaults(columns: Iterable[Column]) -> dict[int, Text]:
    return {column.position: column.default for column in columns if column.default is not None}


def _indexes(members: Sequence[Member]) -> list[IndexSpec]:
    """The indexes of all classes, each once."""
    found = {index.definition: index for member in members for index in member.own.indexes}
    return [*found.values()]


def _in_view(
    indexes: Iterable[IndexSpec], columns: dict[str, Column], stored: dict[str, Column]
) -> tuple[IndexSpec, ...]:
    """The index of the kinds and these indexes, those of columns that a class does not know last."""
    known = [index for index in indexes if all(stored_column(column).name in columns for column in index.columns)]
    others = [index for index in indexes if index not in known]
    specs = [IndexSpec(EQUAL, (columns[KIND],))]
    specs += (
        replace(index, columns=tuple(_seen(column, columns, stored) for column in index.columns))
        for index in (*known, *others)
    )
    return tuple({spec.definition: spec for spec in specs}.values())


def _constraints(
    members: Sequence[Member], columns: dict[str, Column], stored: dict[str, Column]
) -> tuple[UniqueSpec, ...]:
    found = {unique.name: unique for member in members for unique in member.own.unique}
    return tuple(UniqueSpec(tuple(_seen(c, columns, stored) for c in unique.columns)) for unique in found.values())


def _seen(column: Column, columns: Mapping[str, Column], stored: Mapping[str, Column]) -> Column:
    """A column of a class, or a part of one, as another class of the family sees it."""
    source = stored_column(column)
    found = columns.get(source.name) or stored[source.name]
    if not isinstance(column, PartColumn):
        return found
    part = part_at(found, column.name.removeprefix(f"{source.name}__").split("__"))
    assert part is not None, "columns of one name are of one type"
    return part


def _mapped(references: Iterable[Reference], columns: dict[str, Column]) -> Iterator[Reference]:
    for reference in references:
        yield replace(reference, column=columns[reference.column.name])
