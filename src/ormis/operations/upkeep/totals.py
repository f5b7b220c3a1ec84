"""What was found in several partitions of a database, as of one."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from ...reports import IndexState, ModelState, Reindexed, Report
from ...schema.schema import Schema


def copied_names(schemas: Iterable[Schema]) -> list[str]:
    """The names of those of these models that have Meta.reference."""
    return [schema.name for schema in schemas if schema.copied]


def copied_keys(schemas: Iterable[Schema]) -> list[str]:
    """The keys of these."""
    return [schema.key for schema in schemas if schema.copied]


def total_report(reports: Sequence[Report], copied: Collection[str] = ()) -> Report:
    """The report of all; itself if there is one. copied: the names of models with Meta.reference, whose objects are in
    each partition.
    """
    first, *others = reports
    for other in others:
        first.findings += other.findings
        first.entries += other.entries
        for name, count in other.objects.items():
            if name not in copied:
                first.objects[name] = first.objects.get(name, 0) + count
        for name, waiting in other.incomplete.items():
            first.incomplete[name] = [*dict.fromkeys([*first.incomplete.get(name, ()), *waiting])]
    return first


def total_reindexed(results: Sequence[Reindexed], between: Sequence[Report] = (), copied: bool = False) -> Reindexed:
    """The result of all; between: what was found of the unique values over partitions. copied: the objects are in each
    partition.
    """
    first, *others = results
    for other in others:
        first.built = [*dict.fromkeys([*first.built, *other.built])]
        first.dropped = [*dict.fromkeys([*first.dropped, *other.dropped])]
        first.incomplete = [*dict.fromkeys([*first.incomplete, *other.incomplete])]
        if not copied:
            first.objects += other.objects
            first.duplicates += other.duplicates
    duplicates = [finding for report in between for finding in report.findings if finding.kind == "unique-duplicate"]
    first.duplicates += duplicates
    first.incomplete = [*dict.fromkeys([*first.incomplete, *(f"{one.field} (unique)" for one in duplicates)])]
    return first


def total_states(states: Sequence[Sequence[ModelState]], copied: Collection[str] = ()) -> list[ModelState]:
    """The states of the models of all, in the order in which they are named first. copied: the keys of models with
    Meta.reference, whose objects are in each partition.
    """
    by_key: dict[str, list[ModelState]] = {}
    for some in states:
        for state in some:
            same = by_key.setdefault(state.key, [])
            same.append(replace(state, objects=0) if same and state.key in copied else state)
    return [_total_state(same) for same in by_key.values()]


def _total_state(same: Sequence[ModelState]) -> ModelState:
    if len(same) == 1:
        return same[0]
    first, objects = same[0], sum(state.objects for state in same)
    bytes_ = sum(state.memory * state.objects for state in same if state.memory is not None)
    indexes: dict[str, IndexState] = {}
    for state in same:
        for index in state.indexes:
            if index.name not in indexes or index.state == "incomplete":
                indexes[index.name] = index
    memory = bytes_ / objects if objects else None
    return replace(first, objects=objects, memory=memory, indexes=(*indexes.values(),))
