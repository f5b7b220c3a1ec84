"""An adoption that writes nothing: lists what would be listed, counts what would be stored."""

from dataclasses import dataclass, field

from ...schema.schema import Schema
from ..upkeep import stored
from ..upkeep.windows import Ask, Steps
from .entries import Row
from .loading import Batch, Loading, compared, leave, referred, rows_of


@dataclass(slots=True)
class Rehearsal:
    """What has been seen. missing: objects that refer to one that is not there, with the key that it would have.

    made: the keys of the objects that would be there, of a model that refers to itself.
    """

    made: set[str] = field(default_factory=set[str])
    missing: list[tuple[Row, str, str]] = field(default_factory=list[tuple[Row, str, str]])


def examine(rehearsal: Rehearsal, loading: Loading, batch: Batch) -> Steps[None]:
    """Looks at some entries of one model."""
    schema = batch.maker.schema
    absent, different = yield from compared(loading, schema, (yield from rows_of(loading, batch)))
    if loading.on_conflict == "update":
        loading.loaded.updated += len(different)
    else:
        leave(loading, schema, different)
    missing = yield from _without_target(rehearsal, loading, schema, absent)
    loading.loaded.count(schema.key, len(absent) - missing)


def _without_target(rehearsal: Rehearsal, loading: Loading, schema: Schema, rows: list[Row]) -> Steps[int]:
    """How many of the rows refer to an object that is not there."""
    named = [(row, *one) for row in rows for one in referred(row)]
    there: dict[str, set[str]] = {}
    most = loading.target.limits.keys
    for target in {target.key: target for _, target, _, _ in named}.values():
        texts = [text for _, other, _, text in named if other.key == target.key]
        there[target.key] = yield Ask(
            "target", lambda target=target, texts=texts: stored.all_present(target, texts, most)
        )
    refused: set[str] = set()
    for row, target, column, text in named:
        if text in there[target.key] or row.entry.place in refused:
            continue
        if target.key == schema.key:
            rehearsal.missing.append((row, column, text))
        else:
            refused.add(row.entry.place)
            loading.refuse(row.entry, schema, f"{schema.name}.{column}={text}: there is no such {target.name}")
    if any(reference.target_key == schema.key for reference in schema.references):
        rehearsal.made.update(str(row.pk) for row in rows)
    return len(refused)


def finish(rehearsal: Rehearsal, loading: Loading) -> None:
    """Lists objects that refer to others of their model which are not there at the end."""
    for row, column, text in rehearsal.missing:
        if text not in rehearsal.made:
            loading.loaded.count(row.schema.key, -1)
            loading.refuse(row.entry, row.schema, f"{row.schema.name}.{column}={text}: there is no such object")
    for entry in loading.waiting:
        loading.refuse(entry, loading.maker(entry).schema, "it refers to an object that is not there")
