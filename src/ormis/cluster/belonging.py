"""Which partitions the objects of mutations are in."""

from collections.abc import Collection, Sequence
from typing import Any

from ..errors import IntegrityError
from ..operations.writing.mutations import Mutation
from .partitions import Partitions
from .placement import Placement, placement_of_writes, together

LINKING = frozenset({"link", "unlink"})
BY_KEYS = frozenset({"delete", "expire"})
_BY_KEY = frozenset({"update", "amend"})


def numbers_of(mutation: Mutation, partitions: Partitions) -> list[int | None]:
    """Of each object of a mutation the number of its partition; None for a new one that may be in any.

    Raises ClusterError for what is not done on a cluster.
    """
    place, size = placement_of_writes(mutation.schema), len(partitions)
    if mutation.schema.stored.copied:
        if mutation.code in LINKING:  # beside the object that it is linked to
            return []
        return [0] * (mutation.arguments[0] if mutation.code in ("insert", "save") else 1)
    if mutation.code in ("insert", "save"):
        return [place.of_row(row, size) for row in rows_in(mutation)]
    if mutation.code in _BY_KEY:
        check_stays(place, mutation.arguments[1][::2])
        return [partitions.of(mutation.schema, mutation.arguments[0]).number]
    if mutation.code in LINKING:
        return [partitions.of(mutation.schema, mutation.arguments[1]).number]
    return [partitions.of(mutation.schema, pk).number for pk in mutation.arguments[0]]


def rows_in(mutation: Mutation) -> list[Sequence[Any]]:
    """The texts of the rows of an insertion or a save."""
    number, texts = mutation.arguments[:2]
    width = len(texts) // number
    return [texts[at : at + width] for at in range(0, len(texts), width)]


def check_stays(place: Placement, positions: Collection[int]) -> None:
    """Raises IntegrityError for a change of the columns at these positions that would move an object."""
    if place.column is not None and place.column.position in positions:
        raise IntegrityError(
            f"{place.schema.name}.{place.column.name} says in which partition the object is (Meta.partition_by): it "
            f"can't be changed on a cluster; create the object anew and delete this one",
            model=place.schema.name,
            field=place.column.name,
        )


def check_one(mutations: Sequence[Mutation], partitions: Partitions) -> None:
    """Raises ClusterError for objects of several partitions that are to be written in one step."""
    objects = [
        (number, described(mutation, at))
        for mutation in mutations
        for at, number in enumerate(numbers_of(mutation, partitions))
        if number is not None
    ]
    if len({number for number, _ in objects}) > 1:
        together([number for number, _ in objects], [text for _, text in objects])


def described(mutation: Mutation, at: int) -> str:
    """An object of a mutation, for messages."""
    name = mutation.schema.name
    if mutation.code in LINKING:
        return f"{name} {_text(mutation.arguments[1])}"
    if mutation.code in _BY_KEY:
        return f"{name} {_text(mutation.arguments[0])}"
    if mutation.code in BY_KEYS:
        return f"{name} {_text(mutation.arguments[0][at])}"
    pk = rows_in(mutation)[at][0]
    return f"a new {name}" if pk is None else f"{name} {_text(pk)}"


def _text(pk: Any) -> str:
    return pk.decode("utf-8", "backslashreplace") if isinstance(pk, bytes) else str(pk)
