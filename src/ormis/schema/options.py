"""The options of a model's `class Meta`."""

import sys
from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any, Literal

from ..errors import ModelError, hint_for
from .unknown_options import refuses_unknown_options


class Index:
    """An index over several fields: equality on all but the last, order and ranges on the last.

    A part of a field that is kept as JSON is named as in a query: `Index("address__city")`.
    """

    @refuses_unknown_options(fields='write Index("field", ...)', name="its columns are its name")
    def __init__(self, *fields: str) -> None:
        self.fields = fields

    def __repr__(self) -> str:
        return f"Index({', '.join(map(repr, self.fields))})"


class UniqueConstraint:
    """Fields whose values together no two objects share; an object without one of the values does not clash.

    A part of a field that is kept as JSON is named as in a query: `UniqueConstraint("address__email")`.
    """

    @refuses_unknown_options(
        fields='write UniqueConstraint("field", ...)',
        name="its fields are its name",
        condition="an object without one of the values does not clash, other conditions are not possible",
    )
    def __init__(self, *fields: str) -> None:
        self.fields = fields

    def __repr__(self) -> str:
        return f"UniqueConstraint({', '.join(map(repr, self.fields))})"


LONGEST = 10**14
"""The longest life in milliseconds, some 3,000 years."""


RESERVED_KEY = "ormis"
"""The start of the keys that describe a database, `ormis/models` and others: no model may have it."""


def milliseconds(time: float | timedelta) -> int:
    """A time in seconds or as a timedelta. Raises ValueError for what is no time above 0."""
    seconds = time.total_seconds() if isinstance(time, timedelta) else time
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds * 1000 <= LONGEST:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(f"{time!r} is no time to live: give seconds above 0, or a timedelta")
    return max(1, round(seconds * 1000))


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a model.

    key: the start of its keys, by default the lower-case class name; preceded by the key of an abstract base.
    ordering: the order of its querysets.
    indexes, constraints: over several fields.
    abstract: a base class for models, no model itself.
    ttl: how long its objects live, from each save, in seconds or as a timedelta.
    ttl_on: "read" to start that time anew at each reading of an object as well.
    database: the database its objects are in, instead of the one connected last.
    get_latest_by: the field or fields that latest() and earliest() order by.
    default_related_name: the name of its objects on the models that it refers to.
    cache: whether its objects are kept in the process, where connect() says how many; a number: at most so many of it.
    polymorphic: subclasses are stored with the model, see families.py; they inherit it.
    partition_by: the field that says in which partition of a cluster the objects are; a foreign key puts them beside
        the objects that they refer to. Without it they are spread.
    reference: whether all objects are in every partition of a cluster: of small models that many others refer to.
    kind: the text that tells the objects of this class from others of its family, by default the lower-case class name.
    """

    key: str = ""
    ordering: tuple[Any, ...] = ()
    indexes: tuple[Index, ...] = ()
    constraints: tuple[UniqueConstraint, ...] = ()
    abstract: bool = False
    ttl: float | timedelta | None = None
    ttl_on: Literal["save", "read"] = "save"
    database: Any = None
    get_latest_by: str | tuple[str, ...] | None = None
    default_related_name: str | None = None
    cache: bool | int = False
    polymorphic: bool = False
    kind: str = ""
    partition_by: str = ""
    reference: bool = False


def ttl_of(options: Options) -> int | None:
    """Meta.ttl in milliseconds, None without one."""
    return None if options.ttl is None else milliseconds(options.ttl)


def renewal_of(options: Options) -> int | None:
    """Meta.ttl in milliseconds if readings start it anew, else None."""
    return ttl_of(options) if options.ttl_on == "read" else None


_NAMES = tuple(f.name for f in fields(Options))
_OWN = ("key", "abstract", "kind")
_LISTS = ("ordering", "indexes", "constraints")
_INSTEAD = {
    "db_table": "write key=",
    "unique_together": 'write constraints = [UniqueConstraint("field", ...)]',
    "index_together": 'write indexes = [Index("field", ...)]',
}


def read_options(
    model: str, meta: Any, inherited: Options | None, base_metas: Collection[type] = (), family_key: str = ""
) -> Options:
    """The options of a class body's Meta, over those that its base passes on.

    base_metas: the Metas of its bases; one that inherits from them is not abstract because they are, nor has their key.
    family_key: the key of the polymorphic model that it is a subclass of.
    Raises ModelError for an unknown option or one of the wrong type.
    """
    values: dict[str, Any] = {}
    if inherited is not None:
        values = {name: getattr(inherited, name) for name in _NAMES if name not in _OWN}
    if meta is not None:
        values |= _said(model, meta, base_metas)
    for name in _LISTS:
        values[name] = _as_tuple(model, name, values.get(name, ()))
    options = Options(**values)
    _check(model, options)
    if family_key:
        options = replace(options, key=_of_family(model, options, inherited, family_key))
    elif not options.key:
        base_key = "" if inherited is None else inherited.key
        own = "" if options.abstract else model.lower()
        options = replace(options, key=":".join(part for part in (base_key, own) if part))
    if options.key == RESERVED_KEY:
        raise ModelError(f"{model}: the keys of ormis itself begin with {options.key!r}; give it another Meta.key")
    return options


def _of_family(model: str, options: Options, base: Options | None, key: str) -> str:
    """The key of a subclass of a polymorphic model. Raises ModelError for options that only the model itself has."""
    if options.key:
        raise ModelError(f"{model}.Meta.key: its objects are stored with its base, under {key!r}: leave key= out")
    if base is not None and (options.database is not base.database or not options.polymorphic):
        raise ModelError(f"{model}.Meta: its objects are stored with its base: leave database= and polymorphic= out")
    if base is not None and options.reference is not base.reference:
        raise ModelError(f"{model}.Meta.reference: its objects are stored with its base: set it there")
    return "" if options.abstract else key


def _said(model: str, meta: Any, base_metas: Collection[type]) -> dict[str, Any]:
    """The options of a Meta, by name."""
    if not isinstance(meta, type):
        raise ModelError(f"{model}.Meta={meta!r}: write a class, `class Meta:`, with its options")
    said = {name: getattr(meta, name) for name in dir(meta) if not name.startswith("__")}
    for name in {*said, *_annotated(meta)}:
        if name not in _NAMES:
            raise ModelError(f"{model}.Meta has no option {name!r}; {hint_for(name, _NAMES, _INSTEAD)}")
        if name not in said:
            raise ModelError(f"{model}.Meta.{name} has an annotation and no value; write `{name} = ...`")
    for name in _OWN:
        origin = next((base for base in meta.__mro__ if name in vars(base)), None)
        if origin is not meta and origin in base_metas:
            del said[name]
    return said


def _annotated(meta: type) -> list[str]:
    if sys.version_info >= (3, 14):
        import annotationlib

        return [*annotationlib.get_annotations(meta, format=annotationlib.Format.FORWARDREF)]
    return [*vars(meta).get("__annotations__", ())]


def _as_tuple(model: str, name: str, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ModelError(f"{model}.Meta.{name}={value!r}: give a list")
    return tuple(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def _check(model: str, options: Options) -> None:
    if not isinstance(options.key, str) or any(c in options.key for c in "/{}"):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ModelError(f"{model}.Meta.key={options.key!r}: give a text without '/', '{{' and '}}'")
    _check_placement(model, options)
    if options.kind and not (isinstance(options.kind, str) and options.polymorphic):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ModelError(f"{model}.Meta.kind={options.kind!r}: give a text, in a model with polymorphic = True")
    if options.database is not None and not hasattr(options.database, "arun"):
        raise ModelError(f"{model}.Meta.database={options.database!r}: give a database, as connect() returns it")
    _check_cache(model, options)
    try:
        ttl_of(options)
    except ValueError as error:
        raise ModelError(f"{model}.Meta.ttl: {error}") from None
    _check_renewal(model, options)
    for index in options.indexes:
        if not isinstance(index, Index) or not index.fields:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ModelError(f'{model}.Meta.indexes: {index!r} is no Index("field", ...)')
    for constraint in options.constraints:
        if not isinstance(constraint, UniqueConstraint) or not constraint.fields:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ModelError(f'{model}.Meta.constraints: {constraint!r} is no UniqueConstraint("field", ...)')


def _check_placement(model: str, options: Options) -> None:
    if not isinstance(options.partition_by, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ModelError(f"{model}.Meta.partition_by={options.partition_by!r}: give the name of a field")
    if not isinstance(options.reference, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ModelError(f"{model}.Meta.reference={options.reference!r}: give True or False")
    if options.reference and options.partition_by:
        raise ModelError(
            f"{model}.Meta: with reference = True objects are in every partition, with partition_by in one: give one "
            f"of them"
        )


def _check_cache(model: str, options: Options) -> None:
    if not isinstance(options.cache, int) or options.cache < 0:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ModelError(f"{model}.Meta.cache={options.cache!r}: give True, or how many objects to keep")
    if options.cache and options.polymorphic:
        raise ModelError(
            f"{model}.Meta: objects of polymorphic models are not kept in the process; leave out cache or polymorphic"
        )


def _check_renewal(model: str, options: Options) -> None:
    if options.ttl_on not in ("save", "read"):
        raise ModelError(f'{model}.Meta.ttl_on={options.ttl_on!r}: give "save" or "read"')
    if options.ttl_on == "read" and options.ttl is None:
        raise ModelError(f'{model}.Meta.ttl_on="read": say how long an object lives from each reading, `ttl = 3600`')
    if options.ttl_on == "read" and options.cache:
        raise ModelError(f"{model}.Meta: a reading of the cache can't renew a time to live; leave out ttl_on or cache")
