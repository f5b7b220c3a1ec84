"""Names in queries, resolved: which relations they follow, and which column and lookups they end with."""

import re
from dataclasses import dataclass
from functools import lru_cache

from ..errors import FieldError, hint_for, shown
from ..query.lookups import LOOKUPS
from ..schema import registry
from ..schema.parts import inside_column, part_column
from ..schema.schema import Column, Link, Schema, is_hidden
from .columns import ColumnRef, LinkStep, RelationStep, Step, cell

DEEPEST = 100
"""The largest number of parts of a name, and of nested conditions: Python and Lua recurse through so many safely."""


@dataclass(frozen=True, slots=True)
class Path:
    """A name in a query, resolved: the relations to follow, the column at the end, the lookups that follow it."""

    hops: tuple[Step, ...]
    column: Column
    lookups: tuple[str, ...]

    @property
    def many(self) -> tuple[Step, ...]:
        """The steps up to the last one to many objects; none if each leads to one."""
        return self.hops[: max((i for i, hop in enumerate(self.hops, 1) if not hop.to_one), default=0)]

    @property
    def part(self) -> str:
        """The part of a date or time that is meant, `year`; empty if it is something else."""
        is_part = len(self.lookups) == 1 and self.lookups[0] in self.column.codec.traits.parts
        return self.lookups[0] if is_part else ""

    def check_no_lookups(self, schema: Schema, name: str) -> None:
        """Raises FieldError if a lookup follows the field, where a field alone is meant."""
        if self.lookups:
            known = _is_lookup(self.column, self.lookups[0])
            what = "is a lookup, not a field" if known else f"is nothing that follows the field {self.column.name}"
            raise FieldError(f"{schema.name}.{name}: {self.lookups[0]!r} {what}: name fields only")


def resolve(schema: Schema, name: str, whole: bool = False) -> Path:
    """The path that a name such as `question__published__year` means.

    whole: keep a last step whose end could be told without it, from the foreign key itself.
    Raises FieldError for a name that is nothing, with the nearest that is.
    """
    if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise FieldError(f"{schema.name}: fields and relations are named by texts, not by {shown(name)}")
    return _resolved(schema, name, whole, registry.changes())


_BETWEEN = re.compile("__(?!_)")


def parts_of(name: str) -> list[str]:
    """The parts of a name between double underscores; a part may end with one of its own: `class___startswith`."""
    return _BETWEEN.split(name)


@lru_cache(maxsize=4096)
def _resolved(schema: Schema, name: str, whole: bool, _changes: int) -> Path:
    hops: list[Step] = []
    parts = parts_of(name)
    if len(parts) > DEEPEST:
        raise FieldError(f"{schema.name}: {name[:40]!r}... is too long, a name of more than {DEEPEST} parts")
    at = schema
    if schema.annotations or schema.grouped:
        path = _annotation(schema, name, parts)
        if path is not None:
            return path
    for i, part in enumerate(parts):
        *first, hop = (None,) if part in at.by_name else steps(at, part) or (None,)
        rest = tuple(parts[i + 1 :])
        if hop is None:
            if part != "pk" and part not in at.by_name:
                raise _unknown(name, at, part)
            return _inside(tuple(hops), at.column(part), rest)
        hops += first
        by_key = isinstance(hop, RelationStep) and hop.forward and not whole
        key = hop.arrival if isinstance(hop, RelationStep) and hop.forward else hop.schema.pk
        key_named = rest and (rest[0] == key.name or (rest[0] == "pk" and key is hop.schema.pk))
        if rest and not _may_follow(hop.schema, key, rest[0]):
            raise _unknown(name, hop.schema, rest[0])
        if isinstance(hop, RelationStep) and by_key and (key_named or not (rest and _is_name(hop.schema, rest[0]))):
            return _inside(tuple(hops), hop.reference.column, rest[1:] if key_named else rest)
        hops.append(hop)
        at = hop.schema
        if not (rest and _is_name(at, rest[0])):
            return _inside(tuple(hops), at.pk, rest)
    raise AssertionError("the last part has returned")


def _inside(hops: tuple[Step, ...], column: Column, rest: tuple[str, ...]) -> Path:
    """The path of a column, or of the part of its values that the names behind it lead to; lookups are left."""
    while rest:
        inside = inside_column(column)
        if inside is None or (rest[0] in LOOKUPS and rest[0] not in inside.fields):
            break
        part = part_column(column, rest[0])
        if part is None:
            break
        column, rest = part, rest[1:]
    return Path(hops, column, rest)


def _annotation(schema: Schema, name: str, parts: list[str]) -> Path | None:
    """The path of a name that begins with an annotation; None for a field. Raises FieldError beside groups."""
    for i in range(len(parts), 0, -1):
        column = schema.annotations.get("__".join(parts[:i]))
        if column is not None and not (schema.grouped and i < len(parts) and not _is_lookup(column, parts[i])):
            return _inside((), column, tuple(parts[i:]))
    if schema.grouped:
        raise FieldError(
            f"{schema.name}: {name!r} is none of the groups, which have {', '.join(schema.annotations)}: give it to "
            f"values(), or name Min or Max of it"
        )
    return None


def _is_lookup(column: Column, part: str) -> bool:
    return part in LOOKUPS or part in column.codec.traits.parts


def _is_name(schema: Schema, part: str) -> bool:
    return part == "pk" or part in schema.by_name or bool(steps(schema, part))


def _may_follow(schema: Schema, key: Column, part: str) -> bool:
    """Returns whether a name may follow a relation: one of the related model's, or a lookup of the key."""
    return _is_name(schema, part) or part in LOOKUPS or part in key.codec.traits.parts


def steps(schema: Schema, name: str) -> tuple[Step, ...]:
    """The steps of a name: none if it is no relation, two if it has a through model."""
    schema = schema.base
    for reference in schema.references:
        if reference.name == name:
            return (RelationStep(reference, True, registry.schema_for(reference.target), schema),)
    for source, reference in registry.referrers(schema):
        if name == reference.query_name:
            return (RelationStep(reference, False, source, schema),)
    for link in registry.links(schema):
        if name == link.query_name:
            return _along(link, schema)
    return ()


def _along(link: Link, schema: Schema) -> tuple[Step, ...]:
    target: Schema = registry.schema_for(link.target)
    if not link.through:
        return (LinkStep(link, target, schema),)
    through: Schema = registry.schema_for(link.through)
    near, far = through.reference(link.near), through.reference(link.far)
    return RelationStep(near, False, through, schema), RelationStep(far, True, target, through)


def cell_of(schema: Schema, name: str) -> ColumnRef:
    """The column that a name means, of the model itself or of an object it refers to.

    Raises FieldError for names that are nothing, have lookups, or lead to many objects.
    """
    path = resolve(schema, name)
    path.check_no_lookups(schema, name)
    return cell_at(schema, path, name)


def cell_at(schema: Schema, path: Path, name: str) -> ColumnRef:
    """The cell at the end of a path, whatever lookups follow. Raises FieldError if it leads to many objects."""
    many = next((hop for hop in path.hops if not hop.to_one), None)
    if many is not None:
        raise FieldError(f"{schema.name}.{name}: {many.name} leads to many objects; name Min or Max of them")
    return cell(path.hops, path.column)


def names_of(schema: Schema) -> list[str]:
    """Every name that a query on this model may begin with."""
    relations = [reference.name for reference in schema.references]
    relations += [reference.query_name for _, reference in registry.referrers(schema)]
    relations += [link.query_name for link in registry.links(schema)]
    return [*schema.annotations, *schema.by_name, *(name for name in relations if not is_hidden(name)), "pk"]


def names_after(schema: Schema, name: str) -> list[str]:
    """Every name that may follow a path: those of the model it leads to, or the parts of the field at its end.

    Raises FieldError for a name that is nothing.
    """
    at = schema
    for part in parts_of(name):
        found = () if part in at.by_name else steps(at, part)
        if not found:
            column = resolve(schema, name).column
            inside = inside_column(column)
            return [*(inside.fields if inside else ()), *column.codec.traits.parts]
        at = found[-1].schema
    return names_of(at)


def _unknown(name: str, at: Schema, part: str) -> FieldError:
    whole = f" (in {name!r})" if name != part else ""
    return FieldError(f"{at.name} has no field or relation {part!r}{whole}: {hint_for(part, names_of(at))}")
