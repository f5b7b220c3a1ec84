"""Parts of fields that are kept as JSON, as columns: `address__city`, `scores__0`, `tags__len`."""

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import TypeAdapter

from ..storage.annotations import without_none
from ..storage.codecs import Codec, codec_for, plain_type
from ..storage.inside import Inside, Part, inside_of
from .schema import Column, PartColumn


def inside_column(column: Column) -> Inside | None:
    """What is inside of the values of a column; None if they are not kept as JSON."""
    nested = column.codec.nested
    return None if nested is None else inside_of(nested)


def part_column(column: Column, name: str) -> PartColumn | None:
    """The part of this name of the values of a column, one object for each; None if there is none."""
    known: Any = column.parts
    if name not in known:
        known[name] = _made(column, name)
    return known[name]


def key_column(column: Column, key: str) -> PartColumn | None:
    """The value of this key of the dicts of a column, also of the key `len`; None if it can't be a key."""
    known: Any = column.parts
    if f"={key}" not in known:
        inside = inside_column(column)
        known[f"={key}"] = _part_of(column, key, None if inside is None else inside.value_of(key))
    return known[f"={key}"]


def part_at(column: Column, names: Sequence[str]) -> PartColumn | None:
    """The part at the end of several names."""
    found: Column | None = column
    for name in names:
        found = None if found is None else part_column(found, name)
    return found if isinstance(found, PartColumn) else None


def element_column(column: Column) -> PartColumn:
    """Any element of the lists, sets or tuples of a column."""
    found: Any = column.parts.get("")
    if found is None:
        inside = inside_column(column)
        part = None if inside is None else inside.element
        assert part is not None
        codec, convert = _codec(without_none(part.annotation)[0])
        found = PartColumn(
            column.name, 0, codec, True, convert, codec.encode, source=column, get=part.get, served=part.by_text
        )
        column.parts[""] = found
    return found


def _codec(annotation: Any) -> tuple[Codec, Callable[[Any], Any]]:
    """The codec of a part, and the conversion of values to its type; of any value where its type has none."""
    try:
        return codec_for(annotation), TypeAdapter(plain_type(annotation)).validate_python
    except Exception:  # noqa: BLE001 - pydantic has several errors for types of which it knows nothing
        return codec_for(Any), TypeAdapter(Any).validate_python


def _made(column: Column, name: str) -> PartColumn | None:
    inside = inside_column(column)
    return _part_of(column, name, None if inside is None else inside.part(name))


def _part_of(column: Column, name: str, part: Part | None) -> PartColumn | None:
    if part is None:
        return None
    codec, convert = _codec(without_none(part.annotation)[0])
    before = column if isinstance(column, PartColumn) else None
    way = None
    known = column.position > 0 if before is None else before.way is not None
    if part.step is not None and known:
        way = (*(before.way or () if before else ()), part.step)
    return PartColumn(
        f"{column.name}__{name}",
        0,
        codec,
        True,
        convert,
        codec.encode,
        source=before.source if before else column,
        get=_chained(before, part),
        way=way,
        served=way is not None and part.by_text,
        annotation=part.annotation,
    )


def _chained(before: PartColumn | None, part: Part) -> Callable[[Any], Any]:
    get = part.get
    if before is None:
        return lambda value: None if value is None else get(value)
    outer = before.get

    def of_part(value: Any) -> Any:
        inner = outer(value)
        return None if inner is None else get(inner)

    return of_part
