"""Programs run on both sides, and their results compared."""

import contextlib
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from .schema import MODELS, STEPS
from .terms import Program, Stored


@dataclass(frozen=True)
class Refused:
    """A program that raised an error."""

    error: Exception

    def __str__(self) -> str:
        return f"{type(self.error).__name__}: {self.error}"


def key(record: Any) -> Any:
    """What stands for an object in a result."""
    return (type(record).__name__, record.pk)


def plain(value: Any) -> Any:
    """A value in a form that is equal on both sides."""
    if isinstance(value, dict):
        return tuple(sorted((name, plain(item)) for name, item in value.items()))
    if isinstance(value, list | tuple):
        return tuple(plain(item) for item in value)
    return value.normalize() + 0 if isinstance(value, Decimal) else value


def run(side: Any, program: Program) -> Any:
    """The result of a program on one side, as plain data; Refused if it raises."""
    try:
        with getattr(side, "atomic", contextlib.nullcontext)():
            result = _RUNS[program.kind](side, program)
    except Exception as error:  # noqa: BLE001 - every error is a result here
        return Refused(error)
    return result if program.ordered or not isinstance(result, list) else Counter(map(plain, result))


def agree(one: Any, other: Any) -> bool:
    """Whether the results are the same; errors are alike, whatever their class."""
    if isinstance(one, Refused) or isinstance(other, Refused):
        return isinstance(one, Refused) and isinstance(other, Refused)
    return plain(one) == plain(other) if not isinstance(one, Counter) else one == other


def _whole(record: Any) -> Any:
    spec = MODELS[type(record).__name__]
    return [getattr(record, name) for name in (*spec.columns, *(f"{name}_id" for name in spec.to_one))]


def _loaded(side: Any, program: Program) -> Any:
    named = [path for call in program.chain.calls if call.name == "select_related" for path in call.arguments]
    paths = [path.split("__") for path in named]
    return [
        (key(record), _whole(record), [_along(record, path) for path in paths]) for record in side.chain(program.chain)
    ]


def _along(record: Any, path: list[str]) -> Any:
    """The objects along a path to one object."""
    found: list[Any] = []
    for name in path:
        try:
            record = getattr(record, name)
        except Exception as error:  # noqa: BLE001 - a one-to-one relation that is absent
            found.append(type(error).__name__)
            break
        found.append(record and (key(record), _whole(record)))
        if record is None:
            break
    return found


def _related(side: Any, program: Program) -> Any:
    def tree(record: Any, names: list[str]) -> Any:
        if not names or record is None:
            return record and key(record)
        if STEPS[type(record).__name__][names[0]].many:
            inner = {(key(r), tree(r, names[1:])) for r in getattr(record, names[0]).all()}  # each linked object once
            return tuple(sorted(inner, key=repr))
        try:
            return tree(getattr(record, names[0]), names[1:])
        except Exception as error:  # noqa: BLE001 - a one-to-one relation that is absent
            return type(error).__name__

    found = side.chain(program.chain)
    return [(key(record), [tree(record, path.split("__")) for path in program.arguments]) for record in found]


def _rows(side: Any, program: Program) -> Any:
    return [*side.chain(program.chain)]


def _in_bulk(side: Any, program: Program) -> Any:
    keys, field = program.arguments
    found = side.chain(program.chain).in_bulk(keys, **({} if field == "pk" else {"field_name": field}))
    return {name: key(record) for name, record in found.items()}


def _one(name: str) -> Any:
    def run(side: Any, program: Program) -> Any:
        found = getattr(side.chain(program.chain), name)(*program.arguments)
        return found and key(found)

    return run


def _asked(name: str) -> Any:
    return lambda side, program: getattr(side.chain(program.chain), name)()


def _update(side: Any, program: Program) -> Any:
    return side.for_writing(program.chain).update(**side.value(program.arguments[0]))


def _delete_one(side: Any, program: Program) -> Any:
    return side.deleted(side.value(program.chain).delete())


def _save(side: Any, program: Program) -> Any:
    record = side.value(program.chain)
    changes, only = program.arguments
    for name, value in side.value(changes).items():
        setattr(record, name, value)
    record.save(update_fields=[*changes]) if only else record.save()
    record.refresh_from_db()
    return _whole(record)


def _create(side: Any, program: Program) -> Any:
    return key(side.models[program.chain.model].objects.create(**side.value(program.arguments[0])))


def _get_or_create(side: Any, program: Program) -> Any:
    lookups, defaults = program.arguments
    record, created = side.obtained(program.chain, "get_or_create", lookups, {"defaults": defaults})
    return key(record), _whole(record), created


def _update_or_create(side: Any, program: Program) -> Any:
    lookups, defaults, more = program.arguments
    options = {"defaults": defaults} if more is None else {"defaults": defaults, "create_defaults": more}
    record, created = side.obtained(program.chain, "update_or_create", lookups, options)
    return key(record), _whole(record), created


def _bulk_create(side: Any, program: Program) -> Any:
    rows, options = program.arguments
    model = side.models[program.chain.model]
    return len(side.bulk_create(model, [model(**row) for row in rows], options))


def _bulk_update(side: Any, program: Program) -> Any:
    names, values = program.arguments
    records = [side.value(stored) for stored in program.chain]
    for record, changes in zip(records, values, strict=True):
        for name, value in changes.items():
            setattr(record, name, side.value(value))
    return side.models[program.chain[0].model].objects.bulk_update(records, names) if records else 0


def _relation(side: Any, program: Program) -> Any:
    name, how, arguments = program.arguments
    manager = side.manager(program.chain, name)
    if how == "create":
        manager.create(**side.value(arguments))
    elif how == "set":
        manager.set(side.value(arguments))
    else:
        getattr(manager, how)(*side.value(arguments))
    return sorted({str(key(record)) for record in manager.all()})


def _contains(side: Any, program: Program) -> Any:
    stored: Stored = program.arguments[0]
    found = side.chain(program.chain)
    if program.chain.has("slice"):
        len(found)  # Django asks nothing else of a slice
    return found.contains(side.value(stored))


_RUNS: dict[str, Any] = {
    "objects": lambda side, program: [key(record) for record in side.chain(program.chain)],
    "iterated": lambda side, program: [key(record) for record in side.chain(program.chain).iterator(chunk_size=2)],
    "keys": lambda side, program: [*side.chain(program.chain).values_list("pk", flat=True)],
    "length": lambda side, program: len(side.chain(program.chain)),
    "truth": lambda side, program: bool(side.chain(program.chain)),
    "at": lambda side, program: key(side.chain(program.chain)[program.arguments[0]]),
    "count": _asked("count"),
    "exists": _asked("exists"),
    "contains": _contains,
    "rows": _rows,
    "in_bulk": _in_bulk,
    "whole": _loaded,
    "related": _related,
    **{name: _one(name) for name in ("first", "last", "get", "earliest", "latest")},
    "update": _update,
    "delete": lambda side, program: side.deleted(side.for_writing(program.chain).delete()),
    "delete_one": _delete_one,
    "save": _save,
    "create": _create,
    "get_or_create": _get_or_create,
    "update_or_create": _update_or_create,
    "bulk_create": _bulk_create,
    "bulk_update": _bulk_update,
    "relation": _relation,
}
