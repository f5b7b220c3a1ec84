"""`Field(auto_now=True)` and `auto_now_add=True`: dates and times that writes set to the time of the write, in UTC."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from ..errors import ModelError
from ..storage.annotations import unwrapped, without_none
from .field_validation import field_adapter, validated
from .fields import Moment, options_of

_MOMENTS: dict[Any, Callable[[datetime], Any]] = {
    date: datetime.date,
    time: datetime.time,
    datetime: lambda now: now,
}


@dataclass(frozen=True, slots=True)
class AutoNow:
    """How a column gets the time of a write.

    value: the value of the field at this moment. once: only when the object is inserted.
    """

    value: Callable[[datetime], Any]
    once: bool


def auto_now_of(model: Any, name: str) -> AutoNow | None:
    """The time of a field with auto_now or auto_now_add, None for others. Raises ModelError if it can't have one."""
    info = model.model_fields[name]
    options = options_of(info)
    if not (options.auto_now or options.auto_now_add):
        return None
    option, place = "auto_now" if options.auto_now else "auto_now_add", f"{model.__name__}.{name}"
    moment = _MOMENTS.get(unwrapped(without_none(info.annotation)[0]))
    if moment is None:
        raise ModelError(f"{place}: {option} is for a date, a time or a datetime")
    if options.primary_key:
        raise ModelError(f"{place}: {option} would change the primary key; give it to another field")
    if not isinstance(info.default_factory, Moment):
        raise ModelError(f"{place}: {option} gives the value, so there is no default; leave one of them out")
    if moment is _MOMENTS[datetime] and _is_naive(model, name):
        moment = _naive
    info.default_factory.of = moment
    return AutoNow(lambda now: validated(model, name, moment(now)), once=not options.auto_now)


def _naive(now: datetime) -> datetime:
    return now.replace(tzinfo=None)


def _is_naive(model: Any, name: str) -> bool:
    """Whether the type of the field, NaiveDatetime for one, takes no datetime with a time zone."""
    now = datetime.now(UTC)
    accepted: list[bool] = []
    for value in (now, _naive(now)):
        try:
            field_adapter(model, name).validate_python(value)
            accepted.append(True)
        except Exception:  # noqa: BLE001 - validators of users raise whatever they like
            accepted.append(False)
    return accepted == [False, True]
