"""`ModelView`: the pages of one model."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette_admin import BaseModelView, RequestAction, action, link_row_action
from starlette_admin.actions import ActionSelection
from starlette_admin.exceptions import ActionFailed
from starlette_admin.filters.base import BaseFilter, FilterGroup

import ormis

from .addresses import detail_url, edit_url
from .anatomy import Model, key_text, schema_of, walked_in_order
from .changes import given
from .children import children_of
from .confirming import confirmation, deletion_url
from .fields import ToOne
from .lists import SKIPPED, Listing, Sorts, list_query
from .records import Records
from .saving import Saving
from .site import Site


class ModelView(Records, Listing, Saving, BaseModelView):
    """The pages of one model: its list, its forms, its actions. A subclass says what is to be different.

    model: the model.
    fields: names of fields and relations, or fields of starlette-admin; all if there are none.
    children: the models whose objects are rows in the forms of this one, of those that refer to it; None for all.
    search_fields: the names of the texts that are searched; None for all.

    Other attributes and methods are those of starlette-admin's views: `exclude_fields_from_list`, `page_size`,
    `@action`, `@row_action`. Actions of one's own are asked of `may` by their names.

        class QuestionView(ModelView):
            model = Question
            search_fields = ["question_text"]
            children = [Choice]

            def queryset(self, request):
                return super().queryset(request).filter(archived=False)
    """

    model: Model
    fields: Sequence[Any] = ()  # type: ignore[assignment]
    children: ClassVar[Sequence[Model] | None] = None
    search_fields: Sequence[str] | None = None
    page_size = 25
    page_size_options: Sequence[int] = (10, 25, 50, 100)
    exporters: Sequence[Any] = ("csv", "json")
    importers: Sequence[Any] = ()
    show_pk_in_forms = True
    skipped = SKIPPED
    list_template = "ormis_admin/list.html"
    create_template = "ormis_admin/create.html"
    edit_template = "ormis_admin/edit.html"

    def __init__(self, site: Site) -> None:
        self.site = site
        schema = schema_of(self.model)
        self.key = site.keys[self.model]
        self.display_name = self.display_name or self.model.model_config.get("title") or self.model.__name__
        self.menu_label = self.menu_label or _plural(self.display_name)
        self.icon = self.icon or "fa fa-table"
        self.pk_attr = schema.pk.name
        self.fields = site.fields_of(self.model, self.fields)
        columns = [one.name for one in self.fields if walked_in_order(self.model, one.name)]
        if self.sortable_fields is None:
            self.sortable_fields = columns
        self.fields_default_sort = self.fields_default_sort or _ordering(schema)
        self.inlines = children_of(site, self.model, self.children)
        super().__init__()

    # Lists ------------------------------------------------------------------------------------------------------------

    @cached_property
    def related(self) -> Sequence[str]:
        """The foreign keys whose objects are shown."""
        return [one.name for one in self.fields if isinstance(one, ToOne)]

    @property
    def own_sorts(self) -> Sorts:
        """The order of lists unless another is asked for."""
        return [(name, "desc" if descending else "asc") for name, descending in self._default_sort()]

    def field_filters(self) -> dict[str, list[type[BaseFilter]]]:
        """The filters of each field."""
        return {one.name: list(one.filters or ()) for one in self._all_fields}

    async def find_all(
        self,
        request: Request,
        skip: int = 0,
        limit: int = 100,
        q: str | None = None,
        sorts: Sorts | None = None,
        filters: FilterGroup | None = None,
    ) -> Sequence[Any]:
        """The objects of a page, of a picker, or all that an action is about."""
        try:
            if limit > 0 and self._is_page(request):
                found: list[Any] = await self.page(request, limit, q, sorts, filters)
            else:
                objects = await self.narrowed(request, q, filters)
                if not q:
                    objects = await self.ordered(request, objects, None)
                objects = objects.select_related(*self.related)
                found = [
                    record async for record in (objects[skip : skip + limit] if limit > 0 else objects.aiterator())
                ]
        except ormis.FieldError as error:  # a value that does not convert
            raise HTTPException(400, str(error)) from error
        return [record for record in found if self.allows(request, "view", record)]

    async def count(self, request: Request, q: str | None = None, filters: FilterGroup | None = None) -> int:
        """How many objects a list has; of a list that is not counted, how many are known to be there."""
        shown = getattr(request.state, "shown", None)
        if shown is not None:
            return shown.total
        try:
            return await self.number(request, q, filters, self.action_select_all_limit)
        except ormis.FieldError as error:
            raise HTTPException(400, str(error)) from error

    def _is_page(self, request: Request) -> bool:
        if request.state.action == RequestAction.EXPORT:
            return "page" in list_query(request)
        return request.state.action == RequestAction.LIST

    # Objects ----------------------------------------------------------------------------------------------------------

    async def find_by_pk(self, request: Request, pk: Any) -> Any:
        """The object with this key; None if there is none. Raises HTTPException 403 if the request may not have it."""
        try:
            record = await self.queryset(request).select_related(*self.related).aget(pk=pk)
        except (ormis.DoesNotExist, ormis.FieldError):
            return None
        verb = "edit" if request.state.action == RequestAction.EDIT else "view"
        if not self.allows(request, verb, record):
            raise HTTPException(403)
        return record

    async def find_by_pks(self, request: Request, pks: list[Any]) -> Sequence[Any]:
        """The objects with these keys, in their order."""
        try:
            objects = self.queryset(request).select_related(*self.related).filter(pk__in=pks)
            found = {key_text(record.pk): record async for record in objects}
        except ormis.FieldError:
            return []
        records = [found[str(pk)] for pk in pks if str(pk) in found]
        return [record for record in records if self.allows(request, "view", record)]

    async def create(self, request: Request, data: Mapping[str, Any]) -> Any:
        """Stores a new object with its links and rows. Raises FormValidationError."""
        changes = given(self.get_fields_list(request), data)
        record = self.made(changes.values)
        await self.store(request, record, changes, self._rows(request), new=True)
        return record

    async def edit(self, request: Request, pk: Any, data: Mapping[str, Any]) -> Any:
        """Stores what a form changes in an object, in its links and rows. Raises FormValidationError."""
        record = await self.find_by_pk(request, pk)
        if record is None:
            raise HTTPException(404)
        changes = await self.changed_by(request, record, await request.form())
        await self.store(request, record, changes, self._rows(request), new=False)
        return record

    def _rows(self, request: Request) -> list[tuple[Any, dict[str, Any]]]:
        rows = getattr(request.state, "rows", {})
        return [(child, row) for child in self._inline_instances for row in rows.get(child.key, ())]

    async def delete(self, request: Request, pks: list[Any]) -> int | None:
        """Deletes objects and what their deletion takes along. Returns how many these are in all."""
        count, _ = await self.queryset(request).filter(pk__in=pks).adelete()
        return count

    # Permissions ------------------------------------------------------------------------------------------------------

    def is_accessible(self, request: Request) -> bool:
        """Whether the model is shown at all."""
        return self.allows(request, "view")

    def can_view_detail(self, request: Request) -> bool:
        """Whether objects are shown."""
        return self.allows(request, "view")

    def can_create(self, request: Request) -> bool:
        """Whether there is a form for new objects."""
        return self.allows(request, "create")

    def can_edit(self, request: Request) -> bool:
        """Whether there are forms for stored objects."""
        return self.allows(request, "edit")

    def can_delete(self, request: Request) -> bool:
        """Whether objects can be deleted."""
        return self.allows(request, "delete")

    def can_export(self, request: Request) -> bool:
        """Whether lists can be downloaded."""
        return self.allows(request, "export")

    def can_import(self, request: Request) -> bool:
        """Files are not read in: their rows would pass by what forms check."""
        return False

    async def is_action_allowed(self, request: Request, name: str) -> bool:
        """Whether the request may do this to the objects of the model."""
        return self.allows(request, name)

    async def is_row_action_allowed(self, request: Request, name: str) -> bool:
        """Whether the request may do this to the objects of the model."""
        return self.allows(request, name)

    async def is_row_action_allowed_for_obj(self, request: Request, name: str, obj: Any) -> bool:
        """Whether the request may do this to an object."""
        return self.allows(request, name, obj)

    async def before_action(self, request: Request, name: str, selection: ActionSelection) -> None:
        """Raises ActionFailed if the request may not do this to one of the objects."""
        if name in ("export", "delete"):  # the one shows objects that may be seen, the other asks before it is done
            return
        if not all(self.allows(request, name, record) for record in await selection.rows()):
            raise ActionFailed("You may not do this to all of these objects")

    # Actions ----------------------------------------------------------------------------------------------------------

    @action(name="delete", text="Delete …", confirmation=None, custom_response=True)
    async def delete_action(self, request: Request, selection: ActionSelection) -> Response:
        """The page that says what the deletion would take."""
        return await confirmation(request, self, await selection.pks())

    @link_row_action(name="view", text="View", icon_class="default_actions.view", exclude_from_detail=True)
    def row_action_1_view(self, request: Request, pk: Any) -> str:
        """The address of the page of an object."""
        return detail_url(request, str(self.key), pk)

    @link_row_action(
        name="edit", text="Edit", icon_class="default_actions.edit", action_btn_class="action.row_item_edit"
    )
    def row_action_2_edit(self, request: Request, pk: Any) -> str:
        """The address of the form of an object."""
        return edit_url(request, str(self.key), pk)

    @link_row_action(
        name="delete",
        text="Delete …",
        icon_class="default_actions.delete",
        action_btn_class="action.row_item_delete",
    )
    def row_action_3_delete(self, request: Request, pk: Any) -> str:  # type: ignore[override]
        """The address of the page that says what the deletion would take."""
        return deletion_url(request, self, pk)


def _plural(name: str) -> str:
    return name if name.endswith("s") else f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"


def _ordering(schema: Any) -> list[tuple[str, bool]]:
    """Meta.ordering as lists show it, if it is of fields; the newest first without one."""
    names = [name for name in schema.ordering if isinstance(name, str)]
    return [(name.lstrip("-"), name.startswith("-")) for name in names] or [(schema.pk.name, True)]
