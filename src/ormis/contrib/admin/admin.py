"""`Admin`: the site."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jinja2 import PackageLoader
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette_admin import BaseAdmin, BaseModelView, InlineModelView, RequestAction, route  # pyright: ignore[reportUnknownVariableType]

import ormis

from .addresses import detail_url, edit_url
from .anatomy import Model, schema_of
from .changes import LOADED, entries_of
from .children import ChildView
from .confirming import confirmation, deleted
from .fields import Entry
from .guard import Guard
from .overview import Overview
from .site import May, Site
from .views import ModelView


class Admin(BaseAdmin):
    """Pages for the objects of models: lists, forms, deletions; and a front page with their numbers and memory.

    models: models, or subclasses of ModelView that say what is to be different.
    may: `may(request, action, model, obj)` says who may do what. The actions are "view", "create", "edit", "delete",
        "export" and the names of actions of one's own; obj is None if it is asked of the model.
    database: where the objects are; by default the database connected last.
    options: those of starlette-admin's BaseAdmin, `base_url`, `auth_provider`, `secret_key` among them.

    Without an `auth_provider`, and without `may`, everybody who reaches the address may do everything.

        admin = Admin([Question, Choice], secret_key=os.environ["SECRET_KEY"])
        admin.mount_to(app)
    """

    def __init__(
        self,
        models: Iterable[Model | type[ModelView]],
        *,
        title: str = "ormis",
        may: May | None = None,
        database: ormis.Database | None = None,
        middlewares: Sequence[Middleware] = (),
        **options: Any,
    ) -> None:
        classes = [_view_class(one) for one in models]
        keys = {one.model: one.key or schema_of(one.model).label.replace("/", "-") for one in classes}
        self.site = Site([*keys], keys, database, may)
        loaders = [*options.pop("additional_loaders", ()), PackageLoader("ormis.contrib.admin")]
        options.setdefault("index_view", Overview(self.site, title))
        options.setdefault("timezone_config", None)  # a field says of its moments in which zone they are
        super().__init__(
            title=title, additional_loaders=loaders, middlewares=[Middleware(Guard), *middlewares], **options
        )
        names: dict[str, Any] = self.templates.env.globals  # type: ignore[assignment]
        names |= {"loaded_entries": loaded_entries, "detail_url": detail_url, "edit_url": edit_url}
        self.templates.env.auto_reload = self.debug  # else each page asks the disk for the times of a hundred files
        for view in classes:
            self.add_view(view(self.site))

    # Deletions --------------------------------------------------------------------------------------------------------

    @route("/{key}/delete", methods=["GET", "POST"], name="delete")  # pyright: ignore[reportUntypedFunctionDecorator]
    async def _deletion(self, request: Request) -> Response:
        """The page that says what a deletion would take; it is done when the form on it is sent."""
        request.state.action = RequestAction.DETAIL
        view: Any = self._find_view_by_key(request.path_params["key"])
        if not view.is_accessible(request) or not view.can_delete(request):
            raise HTTPException(403)
        if request.method == "GET":
            return await confirmation(request, view, request.query_params.getlist("pk"))
        form = await request.form()
        return await deleted(request, view, form.getlist("pk"))

    # Forms ------------------------------------------------------------------------------------------------------------
    # starlette-admin stores an object, and after it its rows. Here the view stores all together: the rows are handed to
    # it by the request. A form that is shown again holds what was typed.

    async def _parse_inline_forms(
        self, request: Request, view: BaseModelView, form_data: FormData
    ) -> tuple[dict[str, list[dict[str, Any]]], dict[str | int, Any]]:
        request.state.form, request.state.loaded = form_data, {}
        rows, errors = await super()._parse_inline_forms(request, view, form_data)
        request.state.rows = rows
        return rows, errors

    async def _save_inlines(
        self, request: Request, view: BaseModelView, parent: Any, inline_data: dict[str, list[dict[str, Any]]]
    ) -> None:
        """They are stored already."""

    async def _render_form_body(
        self, request: Request, view: BaseModelView, obj: Any, errors: Mapping[Any, Any] | None, config: dict[str, Any]
    ) -> None:
        form = getattr(request.state, "form", None)
        if form is not None:
            obj = {**obj, **typed(view, request, form)}
        await super()._render_form_body(request, view, obj, errors, config)

    async def _inline_rows_context(
        self,
        request: Request,
        inline: InlineModelView,
        parent: Any = None,
        submitted_rows: list[dict[str, Any]] | None = None,
    ) -> list[dict[str, Any]]:
        rows = await super()._inline_rows_context(request, inline, parent, submitted_rows)
        if submitted_rows is not None and isinstance(inline, ChildView):
            for row in rows:
                prefix = f"{inline.prefix}.{row['index']}."
                row["obj"] = typed(inline, request, request.state.form, prefix)
        return rows


def _view_class(given: Any) -> type[ModelView]:
    if isinstance(given, type) and issubclass(given, ModelView):
        return given
    if isinstance(given, type) and issubclass(given, ormis.Model):
        return type(f"{given.__name__}View", (ModelView,), {"model": given})
    raise TypeError(f"Admin(models=) takes models and subclasses of ModelView, not {given!r}")


def typed(view: BaseModelView, request: Request, form: FormData, prefix: str = "") -> dict[str, Any]:
    """What was typed into a form, as its inputs show it."""
    shown: dict[str, Any] = {}
    for one in view.get_fields_list(request):
        if isinstance(one, Entry):
            one.id, own = f"{prefix}{one.name}", one.id
            shown[one.name] = one.shown(one.raw(form))
            one.id = own
    return shown


def loaded_entries(request: Request, view: BaseModelView, serialized: Mapping[str, Any], prefix: str = "") -> str:
    """The entries that a form is made with, as JSON; of a form that is shown again those of the first time."""
    form = getattr(request.state, "form", None)
    if form is None:
        return json.dumps(entries_of(view.get_fields_list(request), serialized))
    known = request.state.loaded.get(prefix)
    return json.dumps(known) if known is not None else str(form.get(prefix + LOADED) or "")
