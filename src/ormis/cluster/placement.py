"""In which partition the objects of a model are, and which models can't be on a cluster yet.

An object is where its key says. The key of a new object is counted in a partition that is chosen before: any, or, with
`Meta.partition_by`, that of the named field: of a foreign key, that of the object it refers to.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..errors import ClusterError
from ..planning.plan import Plan
from ..planning.predicates import Compare, conjuncts
from ..schema import registry
from ..schema.schema import Column, PartColumn, Reference, Schema
from .partitions import number_of, number_of_text


@dataclass(frozen=True, slots=True)
class Placement:
    """How a model is placed. column: of `Meta.partition_by`, None without; of_column: the number of the partition of a
    text of that column.
    """

    schema: Schema
    column: Column | None
    of_column: Callable[[str | bytes, int], int]

    def of_row(self, texts: Sequence[Any], partitions: int) -> int | None:
        """The number of the partition of a new object, given as texts by column; None if any will do.

        Raises ClusterError where its key says another one than the field it is placed by.
        """
        schema, pk = self.schema, texts[0]
        own = None if pk is None else number_of(schema, pk, partitions)
        if self.column is None:
            return own
        text = texts[self.column.position - 1]
        name = f"{schema.name}.{self.column.name}"
        if text is None:
            raise ClusterError(f"{name} has no value, and Meta.partition_by says that it places the object: assign it")
        wanted = self.of_column(text, partitions)
        if own is not None and own != wanted:
            raise ClusterError(
                f"{schema.name} with {schema.pk.name}={_shown(pk)} belongs to partition {own}, and "
                f"{name}={_shown(text)} to partition {wanted}: on a cluster an object is where its key says, and "
                f"Meta.partition_by wants both to be the same; leave the key out, so that it is counted there"
            )
        return wanted

    def of_plan(self, plan: Plan, partitions: int) -> set[int] | None:
        """The numbers of the partitions that can hold objects of a query; None for all."""
        found: set[int] | None = {0} if self.schema.copied else None
        for part in conjuncts(plan.where):
            if not isinstance(part, Compare) or part.operator not in ("eq", "in"):
                continue
            if part.column is self.schema.pk or part.column is plan.schema.pk:
                own = {number_of(self.schema, part.column.codec.encode(value), partitions) for value in part.values}
            elif self.column is not None and part.column.name == self.column.name and part.column.position:
                own = {self.of_column(part.column.codec.encode(value), partitions) for value in part.values}
            else:
                continue
            found = own if found is None else found & own
        return found


def placement(schema: Schema) -> Placement:
    """The placement of a model."""
    return _placement(schema.stored, registry.changes())


def placement_of_writes(schema: Schema) -> Placement:
    """The same. Raises ClusterError for a model whose objects can't be on a cluster yet."""
    _check(schema.stored, registry.changes())
    return placement(schema)


@lru_cache(512)
def _placement(schema: Schema, _changes: int) -> Placement:
    name: str = registry.model_for(schema.label).__options__.partition_by
    if not name:
        return Placement(schema, None, lambda _text, _partitions: 0)
    reference = _reference(schema, name)
    if reference is None or is_reference(reference.target):
        column = schema.column(name) if reference is None else reference.column
        return Placement(schema, column, lambda text, partitions: number_of_text(column, text, partitions))
    target = registry.schema_for(reference.target).stored
    return Placement(schema, reference.column, lambda text, partitions: number_of(target, text, partitions))


def _reference(schema: Schema, name: str) -> Reference | None:
    return next((one for one in schema.references if name in (one.name, one.column.name)), None)


def is_reference(label: str) -> bool:
    """Returns whether a model has Meta.reference: all its objects are in every partition."""
    return registry.schema_for(label).stored.copied


@lru_cache(512)
def _check(schema: Schema, changes: int) -> None:
    """Raises ClusterError for what takes agreement between partitions."""
    column = _placement(schema, changes).column
    for unique in () if schema.copied else schema.unique:
        parts = any(isinstance(one, PartColumn) for one in unique.columns)
        if parts and schema.pk not in unique.columns and column not in unique.columns:
            names = " and ".join(one.name for one in unique.columns)
            raise ClusterError(
                f"{schema.name}: the unique {names} is inside of a field, and would have to be compared over all "
                f"partitions, which this version does not do on a cluster: keep it in a field of its own, or let the "
                f"constraint contain the field of Meta.partition_by"
            )
    for reference in schema.references:
        if schema.copied and not is_reference(reference.target):
            target = registry.schema_for(reference.target).name
            raise ClusterError(
                f"{schema.name}.{reference.name} refers to {target}, whose objects are in one partition each, and "
                f"those of {schema.name} are in every one: give {target} Meta.reference = True as well, or keep its "
                f"key in a plain field"
            )
        if reference.to_field:
            raise ClusterError(
                f"{schema.name}.{reference.name} refers to {reference.target} by its {reference.to_field}, which does "
                f"not say in which partition that is: on a cluster leave to_field= out, so that it refers by the "
                f"primary key, or keep the value in a plain field"
            )
    if schema.copied and schema.renewal is not None:
        raise ClusterError(
            f'{schema.name}: a reading renews the copy of one partition: leave out Meta.ttl_on = "read" or '
            f"Meta.reference"
        )


def together(numbers: Iterable[int], described: Sequence[str]) -> None:
    """Raises ClusterError for objects of several partitions that are to be written in one step."""
    shown = ", ".join(sorted({f"{name} (partition {number})" for name, number in zip(described, numbers, strict=True)}))
    raise ClusterError(
        f"these are in different partitions and can't be written in one step: {shown}; give the models "
        f'Meta.partition_by = "..." the same field, so that what belongs together is in one partition'
    )


def _shown(text: Any) -> str:
    return repr(text if isinstance(text, str) else text.decode("utf-8", "backslashreplace"))
