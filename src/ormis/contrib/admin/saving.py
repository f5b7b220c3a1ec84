"""Storing what a form says: an object, its links, and the rows of its children, all or nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette_admin.exceptions import FormValidationError

import ormis

from .anatomy import Model
from .changes import WHOLE, Changes, apply, changed, entries_of, form_errors, input_names, loaded_of

Row = dict[str, Any]
"""A submitted row of a child: index, pk, data, delete and errors, as starlette-admin parses it."""


class Saving:
    """The part of a view that stores objects: of a ModelView, and of the rows of a ChildView."""

    model: Model
    database: Any

    # What it needs of the view.
    get_fields_list: Any
    serialize: Any

    def made(self, values: Mapping[str, Any]) -> Any:
        """A new object of these values. Raises FormValidationError."""
        try:
            return self.model(**input_names(self.model, values))
        except (ValidationError, ormis.OrmisError) as error:
            raise form_errors(self.model, error) from error

    async def changed_by(self, request: Request, record: Any, form: FormData, prefix: str = "") -> Changes:
        """What the form changes in an object, to which the values are assigned. Raises FormValidationError."""
        fields = [one for one in self.get_fields_list(request) if not one.read_only]
        current = entries_of(fields, await self.serialize(record, request))
        loaded = loaded_of(form, prefix)
        loaded = current if loaded is None else loaded
        try:
            changes = await changed(request, fields, form, loaded, current, prefix)
        except FormValidationError as error:
            # The next form knows of these changes, and of no others: saved again, it replaces them.
            request.state.loaded[prefix] = {**loaded, **{str(name): current[str(name)] for name in error.errors}}
            raise
        apply(record, changes.values)
        return changes

    async def store(
        self, request: Request, record: Any, changes: Changes, rows: Sequence[tuple[Any, Row]], new: bool
    ) -> None:
        """Stores an object, its links and the rows of children. Raises FormValidationError; then nothing is stored.

        One call, if the object has no links and no rows to change: two with them.
        """
        try:
            if not (changes.added or changes.removed or rows):
                await self.save(record, new)
                return
            async with ormis.atomic() if self.database is None else self.database.atomic():
                await self.save(record, new)
                for name, keys in changes.removed.items():
                    await getattr(record, name).aremove(*keys)
                for name, keys in changes.added.items():
                    await getattr(record, name).aadd(*keys)
                await _save_rows(request, record, rows)
        except (ValidationError, ormis.OrmisError) as error:
            raise _beside(error, self.model, rows) from error

    async def save(self, record: Any, new: bool) -> None:
        """Stores an object; a new one replaces none, a changed one no change that it was not based on. One call."""
        if new:
            await record.asave(force_insert=True, using=self.database)
        else:
            await record.asave(if_unchanged=True, using=self.database)


async def _save_rows(request: Request, parent: Any, rows: Sequence[tuple[Any, Row]]) -> None:
    failed = False
    for view, row in rows:
        try:
            await view.save_row(request, parent, row)
        except FormValidationError as error:
            row["errors"].update(error.errors)
            failed = True
    if failed:
        raise row_errors(rows)


def row_errors(rows: Sequence[tuple[Any, Row]]) -> FormValidationError:
    """The errors of rows, as the templates of starlette-admin read them; those of no field stand above the form."""
    errors: dict[str | int, Any] = {"inlines": {}}
    for view, row in rows:
        if row["errors"]:
            errors["inlines"].setdefault(view.key, {})[row["index"]] = row["errors"]
            if WHOLE in row["errors"]:
                errors[WHOLE] = f"{view.model.__name__}: {row['errors'][WHOLE]}"
    return FormValidationError(errors)


def _beside(error: Exception, model: Model, rows: Sequence[tuple[Any, Row]]) -> FormValidationError:
    """The refusal of a block, beside the field of the object or of the row that it is about."""
    named = getattr(error, "model", "")
    value = str(getattr(error, "value", ""))
    for view, row in rows:
        if named == view.model.__name__ and named != model.__name__:
            message = form_errors(view.model, error, [one.name for one in view.fields])
            texts = [str(one) for one in row["data"].values() if one not in (None, "")]
            if len(rows) == 1 or any(text in value for text in texts) or row is rows[-1][1]:
                row["errors"].update(message.errors)
                return row_errors(rows)
    return form_errors(model, error)
