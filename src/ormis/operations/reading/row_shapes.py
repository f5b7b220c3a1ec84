"""The shapes of rows: dicts, tuples, single values; the related objects that came along with objects."""

from collections import deque, namedtuple
from collections.abc import Sequence
from functools import lru_cache
from itertools import repeat
from keyword import iskeyword
from operator import itemgetter
from typing import Any, cast

from ...calls import Origin
from ...errors import FieldError
from ...planning.columns import AnnotatedColumn, RelatedCount
from ...planning.plan import Plan, Related
from ...planning.scopes import scope_of
from ...query.state import Query
from ...records.gc_pause import without_collector
from ...records.hydration import load
from ...records.state import Keyed, Wire, Wires, cache_related, cache_related_for_all
from ...schema.registry import model_for
from ...schema.schema import Column, Schema
from ...storage.codecs import Codec
from .select import cells_of
from .source import KnownRelated


def names_of(query: Query) -> tuple[str, ...]:
    """The names of the values of a row."""
    names = query.labels or query.fields
    return names if names is not None else tuple(query.schema.own_names)


def shaped(query: Query, rows: Sequence[tuple[Any, ...]]) -> list[Any]:
    """The rows in the shape that the query asks for."""
    if query.shape == "dicts":
        names = names_of(query)
        return [dict(zip(names, row, strict=True)) for row in rows]
    if query.shape == "flat":
        return [row[0] for row in rows]
    if query.shape == "named":
        make = _row_class(names_of(query))._make
        return [make(row) for row in rows]
    return [*rows]


@lru_cache(maxsize=256)
def _row_class(names: tuple[str, ...]) -> Any:
    # The names are known at run time only, and so is the class: a pickle holds the names instead.
    base: Any = namedtuple("Row", names)  # noqa: PYI024  # pyright: ignore[reportUntypedNamedTuple]
    return type("Row", (base,), {"__slots__": (), "__reduce__": _reduced})


def _reduced(row: Any) -> tuple[Any, ...]:
    return _row, (row._fields, tuple(row))


def _row(names: tuple[str, ...], values: tuple[Any, ...]) -> Any:
    return _row_class(names)(*values)


def check_row_names(schema: Schema, fields: Sequence[str]) -> None:
    """Raises FieldError for fields that can't name the values of one row."""
    names = [schema.pk.name if name == "pk" else name for name in fields]
    for name in names:
        if names.count(name) > 1:
            raise FieldError(f"{schema.name}: values_list(named=True) names {name!r} twice")
        if name.startswith("_") or iskeyword(name) or not name.isidentifier():
            raise FieldError(f"{schema.name}.{name}: values_list(named=True) can't call a value {name!r}")


def attach_related(
    records: Sequence[Any],
    steps: Sequence[Related],
    rows_of_steps: Sequence[Keyed],
    origin: Origin,
) -> None:
    """Caches the related objects with each object; a row becomes one object. References that lead nowhere are left."""
    with without_collector():
        levels: list[Sequence[Any]] = [records]
        for related, rows in zip(steps, rows_of_steps, strict=True):
            hop = related.hop
            model = model_for(hop.schema.label)
            targets = Wires(rows.values())
            targets.whole = None if rows.whole is None else [*rows.whole.values()]
            # Before the keys: it names a text that does not convert.
            records_there = load(model, targets, origin.of_result(), read=related.reads)
            by_key = dict(zip(_keys(rows, hop.source.codec), records_there, strict=True))
            if hop.schema.narrowed:
                by_key = {key: record for key, record in by_key.items() if record is not None}
            name = hop.reference.name if hop.forward else hop.reference.reverse_name
            back_name = hop.reference.back_name if hop.forward else hop.reference.name
            for key, owners in _by(hop.source.name, levels[related.parent]).items():
                target = by_key.get(key)
                if target is not None or not hop.forward:  # else a later access says what is missing
                    cache_related_for_all(owners, name, target)
                if target is not None and back_name:
                    cache_related(target, back_name, owners[-1])
            levels.append([*by_key.values()])


def attach_annotations(records: Sequence[Any], query: Query, plan: Plan, rows: Sequence[Wire]) -> None:
    """Sets the annotations of objects as their attributes."""
    names = query.shown
    if not names:
        return
    annotations = scope_of(query).annotations
    if not plan.derived and all(_read_as(annotations[name]) in plan.reads for name in names):
        for name in names:
            at = plan.reads.index(cast(RelatedCount, _read_as(annotations[name])))
            values = map(itemgetter(at), rows)
            deque(map(dict[str, Any].__setitem__, map(vars, records), repeat(name), values), maxlen=0)
        return
    columns = {name: column.name for name, column in annotations.items() if name in names}
    for record, row in zip(records, rows, strict=True):
        cells = cells_of(plan, row)
        record.__dict__.update({name: cells[column] for name, column in columns.items()})


def _read_as(column: Column) -> RelatedCount | None:
    """The cell that an annotation is, if its values are in the rows as they are."""
    return column.same if isinstance(column, AnnotatedColumn) else None


def attach_known(records: Sequence[Any], known: KnownRelated) -> None:
    """Caches the related objects that a query knows with the objects that refer to them."""
    for reference, by_key in known.items():
        for key, owners in _by(reference.column.name, records).items():
            if key in by_key:
                cache_related_for_all(owners, reference.name, by_key[key])


def _by(name: str, records: Sequence[Any]) -> dict[Any, list[Any]]:
    grouped: dict[Any, list[Any]] = {}
    for record in records:
        values: dict[str, Any] = record.__dict__
        grouped.setdefault(values.get(name), []).append(record)
    return grouped


def _keys(rows: Keyed, codec: Codec) -> list[Any]:
    return [*rows] if codec.finish is None else [codec.finish(key) for key in rows]
