"""What stands in a model's `class Meta`."""

from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any

from ..errors import ModelError


class Index:
    """An index over several fields: equality on all but the last, order and ranges on the last."""

    def __init__(self, *fields: str) -> None:
        self.fields = fields

    def __repr__(self) -> str:
        return f"Index({', '.join(map(repr, self.fields))})"


class UniqueConstraint:
    """Fields whose values together no two objects share; an object without one of the values does not clash."""

    def __init__(self, *fields: str) -> None:
        self.fields = fields

    def __repr__(self) -> str:
        return f"UniqueConstraint({', '.join(map(repr, self.fields))})"


LONGEST = 10**14
"""The longest life in milliseconds, some 3,000 years."""


def milliseconds(time: float | timedelta) -> int:
    """A time in seconds or as a timedelta. Raises ValueError for what is no time above 0."""
    seconds = time.total_seconds() if isinstance(time, timedelta) else time
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds * 1000 <= LONGEST:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(f"{time!r} is no time to live: give seconds above 0, or a timedelta")
    return max(1, round(seconds * 1000))


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a model.

    key: what its keys start with, the lower-case class name by default.
    ordering: the order of its querysets.
    indexes, constraints: over several fields.
    abstract: a base class for models, no model itself.
    ttl: how long its objects live, from each save, in seconds or as a timedelta.
    database: the database its objects are in, instead of the one connected last.
    get_latest_by: what latest() and earliest() go by.
    default_related_name: what the models that it refers to call its objects.
    """

    key: str = ""
    ordering: tuple[Any, ...] = ()
    indexes: tuple[Index, ...] = ()
    constraints: tuple[UniqueConstraint, ...] = ()
    abstract: bool = False
    ttl: float | timedelta | None = None
    database: Any = None
    get_latest_by: str | tuple[str, ...] | None = None
    default_related_name: str | None = None


def ttl_of(options: Options) -> int | None:
    """Meta.ttl in milliseconds, None without one."""
    return None if options.ttl is None else milliseconds(options.ttl)


_NAMES = {f.name for f in fields(Options)}
_LISTS = ("ordering", "indexes", "constraints")


def read_options(model: str, meta: type | None, inherited: Options | None) -> Options:
    """The options of a class body's Meta, over those that its abstract base passes on.

    Raises ModelError for an unknown option or one of the wrong type.
    """
    values: dict[str, Any] = {}
    if inherited is not None:
        values = {name: getattr(inherited, name) for name in _NAMES - {"key", "abstract"}}
    if meta is not None:
        values |= {name: getattr(meta, name) for name in dir(meta) if not name.startswith("__")}
    unknown = sorted(set(values) - _NAMES)
    if unknown:
        raise ModelError(f"{model}.Meta has no option {unknown[0]!r}; there are {', '.join(sorted(_NAMES))}")
    for name in _LISTS:
        values[name] = _as_tuple(model, name, values.get(name, ()))
    options = Options(**values)
    _check(model, options)
    return options


def _as_tuple(model: str, name: str, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ModelError(f"{model}.Meta.{name}={value!r}: give a list")
    return tuple(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def _check(model: str, options: Options) -> None:
    if not isinstance(options.key, str) or any(c in options.key for c in "/{}") or options.key == "ormis":  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ModelError(f"{model}.Meta.key={options.key!r}: give a text without '/', '{{' and '}}', not 'ormis'")
    try:
        ttl_of(options)
    except ValueError as error:
        raise ModelError(f"{model}.Meta.ttl: {error}") from None
    for index in options.indexes:
        if not isinstance(index, Index) or not index.fields:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ModelError(f'{model}.Meta.indexes: {index!r} is no Index("field", ...)')
    for constraint in options.constraints:
        if not isinstance(constraint, UniqueConstraint) or not constraint.fields:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ModelError(f'{model}.Meta.constraints: {constraint!r} is no UniqueConstraint("field", ...)')
