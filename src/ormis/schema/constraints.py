"""Constraints that the type of a field can't have, `max_length` of an int: pydantic finds out at the first value."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, cast, get_origin
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from ..errors import ModelError
from ..storage.annotations import unwrapped

_SAMPLES: dict[Any, Any] = {
    str: "", int: 0, float: 0.0, bool: False, Decimal: Decimal(0), bytes: b"",
    datetime: datetime(2000, 1, 1, tzinfo=UTC),
    date: date(2000, 1, 1), time: time(), timedelta: timedelta(), UUID: UUID(int=0), list: [], dict: {}, set: set(),
}  # fmt: skip
_CONSTRAINTS = (
    "ge", "gt", "le", "lt", "multiple_of", "min_length", "max_length", "pattern", "max_digits", "decimal_places",
)  # fmt: skip
_NUMBERS = (int, float, Decimal)


def check_constraints(place: str, annotation: Any, info: FieldInfo) -> None:
    """Raises ModelError for a constraint that values of the type can't be tested for. annotation: without `| None`."""
    plain: Any = unwrapped(annotation)
    kind: Any = get_origin(plain) or plain
    if kind not in _SAMPLES:
        return
    for item in info.metadata:
        names = [name for name in _CONSTRAINTS if getattr(item, name, None) is not None]
        if names and not _applies(kind, item):
            hint = "; write ge= and le=" if kind in _NUMBERS and "length" in names[0] else ""
            raise ModelError(f"{place}: {names[0]}= is no constraint for values of the type {kind.__name__}{hint}")


def _applies(kind: Any, constraint: Any) -> bool:
    sample = _SAMPLES[kind]
    for name in ("ge", "gt", "le", "lt"):
        bound = getattr(constraint, name, None)
        if isinstance(sample, datetime | time) and isinstance(bound, datetime | time):
            sample = sample.replace(tzinfo=bound.tzinfo)
    try:
        TypeAdapter(cast(Any, Annotated[kind, constraint])).validate_python(sample)
    except ValidationError:
        return True
    except TypeError:
        return False
    return True
