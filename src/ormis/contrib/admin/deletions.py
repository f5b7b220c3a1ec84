"""What a deletion would take, before it is done: the objects by model, by the on_delete of each foreign key.

It only reads, as the deletion of a large cascade does; the deletion itself decides anew.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import ormis
from ormis import CASCADE, DO_NOTHING, PROTECT, RESTRICT

from .anatomy import Model, declared_models, key_text, referrers_of, schema_of

FORESEEN = 10_000
"""So many objects are looked for; of a larger deletion the page says that there are more."""
_CHUNK = 500
"""Keys in one query."""
_EXAMPLES = 5


@dataclass(slots=True)
class Group:
    """Objects of one model that refer to those of a deletion by this foreign key. examples: some of their keys."""

    model: Model
    foreign_key: str
    count: int = 0
    examples: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class Foreseen:
    """What a deletion would do.

    taken: the keys of the objects that go, by model. released: objects whose foreign key is set to another value.
    blocked: objects that stand in the way. complete: nothing was left out of it.
    """

    taken: dict[Model, dict[Any, None]] = field(default_factory=dict[Model, Any])
    released: list[Group] = field(default_factory=list[Group])
    blocked: list[Group] = field(default_factory=list[Group])
    complete: bool = True

    @property
    def total(self) -> int:
        """How many objects go."""
        return sum(map(len, self.taken.values()))

    def take(self, model: Model, keys: Iterable[Any]) -> list[Any]:
        """Adds objects; returns the keys of the new ones."""
        known = self.taken.setdefault(model, {})
        new = [key for key in keys if key not in known]
        known.update(dict.fromkeys(new))
        return new


async def foresee(model: Model, keys: Sequence[Any], database: ormis.Database | None = None) -> Foreseen:
    """What the deletion of the objects with these keys would do. One call for each foreign key that leads to them."""
    models = declared_models()
    foreseen, restricted = Foreseen(), list[tuple[Group, list[Any]]]()
    waiting = [(model, foreseen.take(model, keys))]
    while waiting:
        target, some = waiting.pop(0)
        for child, reference in referrers_of(target, models):
            found = await _referring(target, some, child, reference, FORESEEN - foreseen.total, database)
            foreseen.complete &= len(found) <= max(0, FORESEEN - foreseen.total)
            group = Group(child, reference.name, len(found), [*map(key_text, found[:_EXAMPLES])])
            if not found or reference.on_delete is DO_NOTHING:
                continue
            if reference.on_delete is CASCADE:
                if new := foreseen.take(child, found):
                    waiting.append((child, new))
            elif reference.on_delete is PROTECT:
                foreseen.blocked.append(group)
            elif reference.on_delete is RESTRICT:
                restricted.append((group, found))
            else:
                foreseen.released.append(group)
    for group, found in restricted:
        if any(key not in foreseen.taken.get(group.model, {}) for key in found):
            foreseen.blocked.append(group)
    return foreseen


async def _referring(
    target: Model, keys: Sequence[Any], child: Model, reference: Any, limit: int, database: ormis.Database | None
) -> list[Any]:
    """The keys of the objects that refer to these, one more than `limit` at most."""
    found: list[Any] = []
    for some in _chunks(keys):
        values: Any = some
        if reference.to_field:
            referred = target.objects.using(database).filter(pk__in=some)  # type: ignore[arg-type]
            values = [value async for value in referred.values_list(reference.to_field, flat=True)]
        objects = child.objects.using(database).filter(**{f"{reference.column.name}__in": values})  # type: ignore[arg-type]
        wanted = max(0, limit - len(found)) + 1
        found += [key async for key in objects.values_list("pk", flat=True)[:wanted]]
        if len(found) > limit:
            break
    own = schema_of(target).label == schema_of(child).label
    return [key for key in found if not (own and key in keys)]


def _chunks(keys: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (keys[first : first + _CHUNK] for first in range(0, len(keys), _CHUNK))
