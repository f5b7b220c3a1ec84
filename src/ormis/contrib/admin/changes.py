"""From a form to an object: what was typed, what of it is a change, and what the model or the database refuses.

A form carries the entries that it was made with. What differs from them in normal form is a change of this user; only
that is written. A change of a field that somebody else has changed meanwhile is an error of this field, so that no
change is lost; changes of other fields are merged.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic import ValidationError
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette_admin.exceptions import FormValidationError
from starlette_admin.fields import BaseField

import ormis

from .anatomy import Model, columns_of, references_of
from .fields import Entry, ToMany, ToOne

LOADED = "_loaded"
"""The name of the input that holds the entries which a form was made with."""
WHOLE = ""
"""The key of errors that are of no field of the form."""


@dataclass(slots=True)
class Changes:
    """What a form changes.

    values: by the names of columns. added, removed: keys of linked objects, by the names of relations.
    """

    values: dict[str, Any] = field(default_factory=dict[str, Any])
    added: dict[str, list[str]] = field(default_factory=dict[str, Any])
    removed: dict[str, list[str]] = field(default_factory=dict[str, Any])

    def __bool__(self) -> bool:
        return bool(self.values or self.added or self.removed)


def entries_of(fields: Iterable[BaseField], serialized: Mapping[str, Any]) -> dict[str, Any]:
    """The entries that a form is made with, of an object as starlette-admin serializes it for the form."""
    return {one.name: serialized.get(one.name) for one in fields if isinstance(one, Entry)}


def loaded_of(form: FormData, prefix: str) -> dict[str, Any] | None:
    """The entries that a form was made with; None if it has none, as a request of a program."""
    try:
        loaded: Any = json.loads(str(form.get(prefix + LOADED) or ""))
    except ValueError:
        return None
    return cast("dict[str, Any]", loaded) if isinstance(loaded, dict) else None


def column_of(one: BaseField) -> str:
    """The column that a field is about."""
    return one.column if isinstance(one, ToOne) else one.name


def given(fields: Iterable[BaseField], data: Mapping[str, Any]) -> Changes:
    """What a form for a new object says: nothing of a field without an entry, so that its default counts."""
    changes = Changes()
    for one in fields:
        value = data.get(one.name)
        if isinstance(one, ToMany):
            changes.added |= {one.name: value} if value else {}
        elif value is not None:
            changes.values[column_of(one)] = value
    return changes


async def changed(
    request: Request,
    fields: Iterable[BaseField],
    form: FormData,
    loaded: Mapping[str, Any],
    current: Mapping[str, Any],
    prefix: str = "",
) -> Changes:
    """What a form changes in an object.

    loaded: the entries that the form was made with. current: those of the object as it is now.
    prefix: of the names of its inputs. Raises FormValidationError for fields that somebody else changed meanwhile.
    """
    changes, conflicts = Changes(), dict[str | int, Any]()
    for one in fields:
        if not isinstance(one, Entry) or one.name not in loaded:
            continue
        one.id, own = f"{prefix}{one.name}", one.id
        try:
            raw = one.raw(form)
            value = await one.parse_input(request, form)  # type: ignore[attr-defined]
        finally:
            one.id = own
        before, after, now = (one.normal(entry) for entry in (loaded[one.name], raw, current.get(one.name)))
        if after == before:
            continue
        if isinstance(one, ToMany):
            changes.added[one.name], changes.removed[one.name] = sorted(after - before), sorted(before - after)
        elif now in (before, after):
            changes.values[column_of(one)] = value
        else:
            shown = current.get(one.name)
            conflicts[one.name] = f"Somebody else changed it meanwhile, to {shown!r}. Save again to replace that."
    if conflicts:
        raise FormValidationError(conflicts)
    return changes


def apply(record: ormis.Model, values: Mapping[str, Any]) -> None:
    """Assigns values to an object. Raises FormValidationError with the messages of all fields.

    A model's own validators see each assignment. So values are assigned in the order in which they pass.
    """
    waiting: dict[str, Any] = {**values}
    refused: dict[str, ValidationError] = {}
    passed = True
    while waiting and passed:
        refused = {}
        for name, value in waiting.items():
            try:
                setattr(record, name, value)
            except ValidationError as error:
                refused[name] = error
        passed = len(refused) < len(waiting)
        waiting = {name: waiting[name] for name in refused}
    if refused:
        raise merged([form_errors(type(record), error) for error in refused.values()])


def merged(errors: Iterable[FormValidationError]) -> FormValidationError:
    """Several errors as one."""
    return FormValidationError({name: message for error in errors for name, message in error.errors.items()})


# Refusals -------------------------------------------------------------------------------------------------------------


def form_errors(model: Model, error: Exception, shown: Collection[str] | None = None) -> FormValidationError:
    """A refusal as messages beside the fields of the form, or above it. Raises the error itself if it is no refusal.

    shown: the names of the form's fields, if these are not all of the model.
    """
    if isinstance(error, ValidationError):
        return _invalid(model, error)
    if isinstance(error, ormis.UniqueViolation):
        fields = [_field_named(model, name) for name in error.field.split(",")]
        fields.sort(key=lambda name: shown is not None and name not in shown)
        others = f" together with {' and '.join(_label(model, name) for name in fields[1:])}" if fields[1:] else ""
        return FormValidationError({fields[0]: f"Another {model.__name__} has this value{others}."})
    if isinstance(error, ormis.ForeignKeyViolation):
        return FormValidationError({_field_named(model, error.field): "There is no such object."})
    if isinstance(error, ormis.ConflictError):
        message = "Somebody else changed it meanwhile. Load the page again."
        return FormValidationError({_field_named(model, error.field): message})
    if isinstance(error, ormis.IntegrityError | ormis.FieldError | ormis.DoesNotExist | ormis.ClusterError):
        return FormValidationError({WHOLE: str(error)})
    raise error


def _invalid(model: Model, error: ValidationError) -> FormValidationError:
    errors: dict[str | int, Any] = {}
    for line in error.errors(include_url=False, include_context=False, include_input=False):
        place = line["loc"]
        name = _field_named(model, str(place[0])) if place else WHOLE
        inside = "".join(f"[{part}]" for part in place[1:])
        message = f"{inside}: {line['msg']}" if inside else line["msg"]
        errors[name] = f"{errors[name]}; {message}" if name in errors else message
    return FormValidationError(errors)


def _field_named(model: Model, name: str) -> str:
    """The name of the form's field for a column, an alias of it or a relation; WHOLE for none of them."""
    references = references_of(model)
    if name in references:
        return str(references[name].name)
    for column in columns_of(model):
        info = model.model_fields[column.name]
        if name in (column.name, info.alias, info.validation_alias):
            return str(references[column.name].name if column.name in references else column.name)
    return name if any(reference.name == name for reference in references.values()) else WHOLE


def _label(model: Model, name: str) -> str:
    info = model.model_fields.get(name)
    return (info and info.title) or name.replace("_", " ")


def input_names(model: Model, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by the names that the model's constructor takes: aliases, where fields have them."""
    by_name = model.model_config.get("populate_by_name") or model.model_config.get("validate_by_name")
    return {_alias(model, name) if not by_name else name: value for name, value in values.items()}


def _alias(model: Model, name: str) -> str:
    info = model.model_fields[name]
    alias = info.validation_alias or info.alias
    return alias if isinstance(alias, str) else name
