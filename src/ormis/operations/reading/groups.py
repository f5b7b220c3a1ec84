"""Groups: what has been added up so far of the rows with the same keys."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...planning.derived import GroupAggregate
from ...planning.grouping import Grouping
from ...query.accumulators import Accumulator, identity
from .related_rows import CellRow


@dataclass(slots=True)
class Groups:
    """What has been added up so far: by the keys of a group an accumulator for each aggregate."""

    keys: Grouping
    aggregates: Sequence[GroupAggregate]
    by_key: dict[tuple[Any, ...], tuple[tuple[Any, ...], list[Accumulator]]] = field(default_factory=dict[Any, Any])

    def of(self, row: Mapping[str, Any]) -> list[Accumulator]:
        """The accumulators of the group of a row."""
        return self.at(tuple([bound.in_query(row) for _, bound in self.keys.keys]))

    def at(self, values: tuple[Any, ...]) -> list[Accumulator]:
        """The accumulators of the group with these keys."""
        known = tuple([identity(value) for value in values])
        found = self.by_key.get(known)
        if found is None:
            found = self.by_key[known] = (values, [one.of_rows.aggregate.accumulate() for one in self.aggregates])
        return found[1]

    def rows(self) -> list[CellRow]:
        """The groups as rows. Without keys there is one, also of no rows."""
        if not self.keys.keys and not self.by_key:
            self.at(())
        names = [name for name, _ in self.keys.keys]
        return [
            dict(zip(names, values, strict=True))
            | {
                one.name: one.of_rows.aggregate.final(found)
                for one, found in zip(self.aggregates, accumulators, strict=True)
            }
            for values, accumulators in self.by_key.values()
        ]
