"""`ChildView`: the objects that refer to another one, as rows in its form."""

import json
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette_admin import InlineModelView
from starlette_admin.exceptions import FormValidationError

import ormis

from .anatomy import Model, key_text, referrers_of, schema_of
from .changes import given
from .fields import ToMany, ToOne
from .records import Records
from .saving import Row, Saving
from .site import Site

ROWS = 50
"""Children that a form shows; of more the others are reached by the list of their model."""


class ChildView(Records, Saving, InlineModelView):
    """The rows of one foreign key. They are read and stored with the object that they refer to."""

    show_pk_in_forms = True
    exporters: Sequence[Any] = ()
    importers: Sequence[Any] = ()
    inline_template = "ormis_admin/children.html"
    rows = ROWS

    def __init__(self, site: Site, model: Model, reference: Any) -> None:
        self.site, self.model, self.reference = site, model, reference
        self.key = f"{site.keys.get(model, model.__name__.lower())}-{reference.name}"
        self.view_key = site.keys.get(model)
        self.display_name = str(model.model_config.get("title") or model.__name__)
        self.menu_label = reference.reverse_name.replace("_", " ").removesuffix(" set").capitalize()
        self.pk_attr = schema_of(model).pk.name
        self.fk_attr = self.column = str(reference.column.name)
        self.allow_delete = True
        self.fields = [one for one in site.fields_of(model) if self._is_shown(one)]
        self.related = [one.name for one in self.fields if isinstance(one, ToOne)]
        super().__init__()

    def _is_shown(self, one: Any) -> bool:
        if isinstance(one, ToMany) or one.name in (self.reference.name, self.column):
            return False
        if one.name == self.pk_attr:
            return not one.exclude_from_create  # a row is new or stored, and has the same fields in both
        return not one.exclude_from_create and not one.exclude_from_edit

    @property
    def prefix(self) -> str:
        """The beginning of the names of the inputs of rows."""
        return self._prefix()

    def list_url(self, request: Request, parent: Any) -> str:
        """The address of the list of all rows of an object."""
        url = request.url_for(f"{request.app.state.ROUTE_NAME}:list", key=self.view_key)
        value = json.dumps(key_text(self.value_of(parent)))
        name = self.column if self.reference.to_field else self.reference.name
        return str(url.include_query_params(filter=f"{name}__eq={value}"))

    def value_of(self, parent: Any) -> Any:
        """The value by which rows refer to an object."""
        return getattr(parent, self.reference.to_field) if self.reference.to_field else parent.pk

    async def find_by_parent(self, request: Request, parent: Any) -> Sequence[Any]:
        """The first rows of an object. One call."""
        if not self.allows(request, "view"):
            return []
        objects = self.queryset(request).filter(**{self.column: self.value_of(parent)})
        rows = [row async for row in objects.select_related(*self.related)[:ROWS]]
        return [row for row in rows if self.allows(request, "view", row)]

    async def save_row(self, request: Request, parent: Any, row: Row) -> None:
        """Stores, changes or deletes a row that was submitted. Raises FormValidationError."""
        if row["pk"] is None:
            if row["delete"]:
                return
            self.check(request, "create")
            changes = given(self.get_fields_list(request), row["data"])
            record = self.made({**changes.values, self.column: self.value_of(parent)})
            await self.save(record, new=True)
            return
        record = await self._row(request, parent, row["pk"])
        if row["delete"]:
            self.check(request, "delete", record)
            await record.adelete(using=self.database)
            return
        prefix = f"{self.prefix}.{row['index']}."
        changes = await self.changed_by(request, record, await request.form(), prefix)
        if changes:
            self.check(request, "edit", record)
            await self.save(record, new=False)

    async def _row(self, request: Request, parent: Any, pk: str) -> Any:
        objects = self.queryset(request).filter(**{self.column: self.value_of(parent)})
        try:
            return await objects.select_related(*self.related).aget(pk=pk)
        except (ormis.DoesNotExist, ormis.FieldError):
            raise FormValidationError({"": f"{self.display_name} {pk} is gone, or belongs to another."}) from None


def children_of(site: Site, model: Model, chosen: Sequence[Model] | None) -> list[ChildView]:
    """The rows in the forms of a model: of these models that refer to it; of all of the site but itself for None."""
    models = [other for other in site.models if other is not model] if chosen is None else chosen
    return [ChildView(site, child, reference) for child, reference in referrers_of(model, models)]
