"""Fields that are new, gone, renamed or of another type.

An absent text counts as the default of its field, so a new field with a default needs nothing to be stored. What their
indexes need is stored where these are built, at the end of the migration.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ...calls import Operation
from ...schema.schema import KIND
from ...storage.codecs import packable
from ..operations import AddField, AlterField, RemoveField, RenameField
from ..state import FieldState, ModelState, stored_text
from ..types import FieldValues, converter
from .records import Records, checked
from .rewriting import Change, Refused, Rewriting, Texts
from .work import Work


def add_field(work: Work, operation: AddField) -> Operation[None]:
    """Stores the values that the objects get which are there."""
    model, added = work.after.model(operation.key), operation.field
    if operation.fill is not None:
        yield from _fill_by_function(work, model, added, operation.fill)
    elif operation.value is not None:
        yield from _fill(work, model, added, stored_text(operation.value))


def remove_field(work: Work, operation: RemoveField) -> Operation[None]:
    """Removes the texts."""
    yield from work.walk(work.before.model(operation.key), "texts", (operation.name,), ["remove"])


def rename_field(work: Work, operation: RenameField) -> Operation[None]:
    """Moves the texts; what is indexed stands in the indexes of both names meanwhile."""
    after = work.after.model(operation.key)
    yield from work.declare(after)
    yield from work.walk(after, "texts", (operation.old, operation.new), ["rename"])


def alter_field(work: Work, operation: AlterField) -> Operation[None]:
    """Converts the texts, and stores what an absent one stood for, where it would stand for something else."""
    before = work.before.model(operation.key)
    old, new = before.field(operation.field.name), operation.field
    converts = old.kind != new.kind or _plain(old) != _plain(new) or operation.convert is not None
    if old.kind != new.kind:  # an index of the other kind has the same keys
        others = tuple(index for index in before.indexes if new.name not in index.columns)
        yield from work.reindex(replace(before, indexes=others))
    stands_for = old.text
    if stands_for is None and operation.value is not None:
        stands_for = stored_text(operation.value)
    if converts or before.kinds or (old.null and not new.null and stands_for is None):
        yield from _convert(work, before, operation, converts)
    elif stands_for is not None and stands_for != new.text:
        yield from _fill(work, before, old, stands_for)


def _plain(field: FieldState) -> str:
    return field.type.removesuffix(" | None")


def _fill(work: Work, model: ModelState, field: FieldState, text: Any) -> Operation[None]:
    """Gives objects without the field this text, of a polymorphic model those of its kinds."""
    value = packable(text)
    if not field.kinds:
        yield from work.walk(model, f"fill {field.name}", (field.name,), ["fill", value, False])
        return
    kinds = dict.fromkeys(field.kinds, True)
    if model.kinds[0] in kinds:
        kinds[""] = True  # the hash of an object of the model itself need not name its kind
    yield from work.walk(model, f"fill {field.name}", (field.name, KIND), ["fill", value, kinds])


def _fill_by_function(work: Work, model: ModelState, field: FieldState, fill: Callable[[Any], Any]) -> Operation[None]:
    records, values = Records(model), FieldValues(field)
    at = records.names.index(field.name)

    def decide(pk: str, texts: Texts) -> Change:
        if texts[at] is not None or not _has(model, field, records.names, texts):
            return Change()
        record = records.of(pk, texts)
        value = checked(fill(record), f"fill of {model.name}.{field.name}")
        try:
            text = values.text(value)
        except ValueError as error:
            raise _unfit(model, field, pk, repr(value), str(error)) from None
        if text is None:
            return Change()
        _, read = record.changed()
        return Change({at + 1: text}, {at + 1: None} | {records.names.index(n) + 1: t for n, t in read.items()})

    yield from Rewriting(work, model, "values", records.names[1:], decide).run()


def _has(model: ModelState, field: FieldState, names: tuple[str, ...], texts: Texts) -> bool:
    """Whether an object has the field: of a polymorphic model only those of some kinds do."""
    if not field.kinds:
        return True
    kind = texts[names.index(KIND)]
    return (kind.decode() if kind else model.kinds[0]) in field.kinds


def _convert(work: Work, model: ModelState, operation: AlterField, converts: bool) -> Operation[None]:
    old, new = model.field(operation.field.name), operation.field
    convert = _converter(model, operation) if converts else _same
    value = None if operation.value is None else _bytes(stored_text(operation.value))
    columns = (old.name, KIND) if model.kinds else (old.name,)

    def decide(pk: str, texts: Texts) -> Change:
        stored = texts[1]
        if not _has(model, old, columns[1:], texts[2:]):
            return Change()
        text = _default(model, old, columns[1:], texts[2:]) if stored is None else stored
        if text is None:
            return _without(pk, value)
        shown = text.decode("utf-8", "backslashreplace")
        try:
            result = convert(text)
        except ValueError as error:
            raise _unfit(model, new, pk, shown, str(error)) from None
        if result is None and not new.null:
            raise _unfit(model, new, pk, shown, "it became None")
        return Change() if result == stored else Change({2: result}, {2: stored})

    def _without(pk: str, value: bytes | None) -> Change:
        if value is not None:
            return Change({2: value}, {2: None})
        if new.null or new.default is not None:
            return Change()
        raise Refused(new.name, f"{model.name}.{new.name} of {model.key}:{pk} is None, and can't be None any more")

    yield from Rewriting(work, model, "texts", columns, decide).run()


def _converter(model: ModelState, operation: AlterField) -> Callable[[bytes], bytes | None]:
    """A function from the old texts to the new ones; ValueError for what does not convert."""
    old, function = model.field(operation.field.name), operation.convert
    if function is None:
        return converter(old, operation.field)
    before, after = FieldValues(old), FieldValues(operation.field)

    def convert(text: bytes) -> bytes | None:
        return after.text(checked(function(before.value(text)), f"convert of {model.name}.{old.name}"))

    return convert


def _same(text: bytes) -> bytes:
    return text


def _default(model: ModelState, field: FieldState, names: tuple[str, ...], texts: Texts) -> bytes | None:
    """The text that an absent one counts as."""
    if not model.kinds:
        return None if field.text is None else _bytes(field.text)
    kind = texts[names.index(KIND)]
    own = model.kind_defaults.get(kind.decode() if kind else model.kinds[0], {})
    default = own.get(field.name, field.default)
    return None if default is None else _bytes(stored_text(default))


def _unfit(model: ModelState, field: FieldState, pk: str, shown: str, reason: str) -> Refused:
    where = f"{model.name}.{field.name} of {model.key}:{pk}"
    first = reason.splitlines()[-1 if len(reason.splitlines()) < 3 else 2].strip() if reason else ""
    return Refused(field.name, f"{where}: {shown[:100]!r} does not convert to {field.type}, it stays as it is: {first}")


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()
