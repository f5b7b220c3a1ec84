"""Values in columns of Arrow: exact types, times with their zone, decimals with all digits.

    value                       Arrow
    int, float, bool, str       int64, double, bool, string
    Decimal                     decimal128 or decimal256 of the digits that the values have
    datetime                    timestamp[us, tz=UTC], without a zone timestamp[us]
    date, time, timedelta       date32, time64[us], duration[us]
    bytes                       binary
    list, set or tuple of       list of them, of sets in order
      texts or numbers
    enums, literals, UUIDs,     as their stored texts: string, of whole numbers int64
      addresses, paths
    other lists, dicts, models  their JSON, string

pyarrow is an extra of ormis; it is imported when the first table is made.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, time
from decimal import Decimal
from enum import Enum
from importlib import import_module
from typing import Any, get_args, get_origin

from pydantic import SecretBytes, SecretStr

from ..errors import FieldError, OrmisError
from ..storage.codecs import Codec

_SCALARS = {str: "string", int: "int64", float: "float64", bool: "bool_"}


def arrow() -> Any:
    """The module pyarrow. Raises OrmisError where it is not installed."""
    try:
        return import_module("pyarrow")
    except ImportError:
        raise OrmisError("this needs pyarrow: pip install 'ormis[arrow]'") from None


class ArrowColumn:
    """One column of a table, made of batches of values of a codec. name: as messages name it."""

    def __init__(self, name: str, codec: Codec) -> None:
        self.name = name
        self._pa = arrow()
        self._convert = _conversion(name, codec)
        self._kind = codec.kind
        self._type: Any = _type(self._pa, codec)
        self._late = self._type is None and self._kind != "datetime"
        self._values: list[Any] = []
        self._chunks: list[Any] = []

    def add(self, values: Sequence[Any]) -> None:
        """Takes the next values."""
        if self._convert is not None:
            convert = self._convert
            values = [None if value is None else convert(value) for value in values]
        if self._late:
            self._values.extend(values)
        else:
            chunk = self.array(values)
            self._chunks.append(chunk)

    def array(self, values: Sequence[Any]) -> Any:
        """An Arrow array of these values. Raises OrmisError for one that its type does not hold."""
        if self._kind == "datetime":
            self._check_zone(values)
        elif self._kind == "time" and any(isinstance(value, time) and value.tzinfo for value in values):
            raise OrmisError(f"{self.name}: Arrow has no times of day with a zone: leave it out by values_list()")
        try:
            return self._pa.array(values, type=self._type)
        except (self._pa.ArrowInvalid, self._pa.ArrowTypeError, OverflowError) as error:
            raise OrmisError(f"{self.name}: Arrow has no {self._type or 'type'} for a value: {error}") from None

    def whole(self) -> Any:
        """The column, of all values."""
        if not self._late:
            kind = self._type or self._pa.timestamp("us", tz="UTC")  # of times there is none
            return self._pa.chunked_array([chunk.cast(kind) for chunk in self._chunks], type=kind)
        values = self._values
        if any(isinstance(value, float) for value in values):
            values = [None if value is None else float(value) for value in values]
        elif any(isinstance(value, Decimal) for value in values):
            values = [Decimal(value) if isinstance(value, int) else value for value in values]
        return self._pa.chunked_array([self.array(values)])

    def _check_zone(self, values: Sequence[datetime | None]) -> None:
        """Arrow would take a time without a zone among others for one of UTC."""
        zoned = {value.tzinfo is not None for value in values if value is not None}
        if not zoned and self._type is None:
            return
        wanted = self._pa.timestamp("us", tz="UTC" if True in zoned else None)
        if len(zoned) > 1 or (zoned and self._type not in (None, wanted)):
            raise OrmisError(f"{self.name} holds times with a zone and times without: Arrow has columns of one kind")
        if zoned:
            self._type = wanted


def add(columns: Sequence[ArrowColumn], rows: Sequence[Sequence[Any]]) -> None:
    """Adds rows to the columns."""
    for column, values in zip(columns, zip(*rows, strict=True), strict=False):
        column.add(values)


def made(names: Sequence[str], columns: Sequence[ArrowColumn]) -> Any:
    """The table of these columns."""
    return arrow().table([column.whole() for column in columns], names=[*names])


def _type(pa: Any, codec: Codec) -> Any:
    """The Arrow type of a field; None where its values decide."""
    if codec.kind == "json":
        inner = _scalar_in(codec)
        return pa.string() if inner is None else pa.list_(getattr(pa, _SCALARS[inner])())
    types: dict[str, Callable[[], Any]] = {
        "text": pa.string,
        "uuid": pa.string,
        "int": pa.int64,
        "float": pa.float64,
        "bool": pa.bool_,
        "bytes": pa.binary,
        "date": pa.date32,
        "time": lambda: pa.time64("us"),
        "timedelta": lambda: pa.duration("us"),
    }
    return types[codec.kind]() if codec.kind in types else None


def _scalar_in(codec: Codec) -> Any:
    """The type of the members of a list, a set or a tuple of texts or numbers; None for other values."""
    annotation: Any = None if codec.nested is None else codec.nested.annotation
    inner = [kind for kind in get_args(annotation) if kind is not Ellipsis]
    if get_origin(annotation) in (list, set, frozenset, tuple) and len({*inner}) == 1 and inner[0] in _SCALARS:
        return inner[0]
    return None


def _listed(value: Any) -> list[Any]:
    return sorted(value) if value.__class__ in (set, frozenset) else [*value]


def _conversion(name: str, codec: Codec) -> Callable[[Any], Any] | None:
    """The function from a value to one that Arrow takes; None for as it is."""
    if codec.finish in (SecretStr, SecretBytes):
        raise FieldError(f"{name} is a secret, which is not put in a table: name the other fields by values_list()")
    if codec.kind == "json":
        if _scalar_in(codec) is None:
            return codec.encode
        return _listed
    if codec.kind in ("text", "uuid"):
        return None if codec.wire is str and codec.finish is None else codec.encode
    return (lambda value: value.value if isinstance(value, Enum) else value) if codec.wire is str else None
