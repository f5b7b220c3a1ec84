"""The page that says what a deletion would take, and the deletion that is asked for there."""

from collections.abc import Sequence
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette_admin.flash import flash
from starlette_admin.helpers import back_url

import ormis

from .addresses import address
from .anatomy import title_of
from .deletions import Foreseen, foresee

_SHOWN = 20
"""Titles of chosen objects that the page lists."""


def deletion_url(request: Request, view: Any, pk: Any) -> str:
    """The address of the page for one object."""
    return address(request, "delete", view.key, pk)


async def confirmation(request: Request, view: Any, pks: Sequence[Any], refusal: str = "") -> Response:
    """The page that says what the deletion of the objects with these keys would take.

    refusal: why a deletion that was confirmed was not done.
    """
    records = await _allowed(request, view, pks)
    foreseen = await foresee(view.model, [record.pk for record in records], view.database)
    context = {
        "title": view.title(request),
        "view": view,
        "records": [(record, title_of(record)) for record in records[:_SHOWN]],
        "pks": [await view.get_pk_value(request, record) for record in records],
        "foreseen": foreseen,
        "forbidden": _forbidden(request, view, foreseen),
        "refusal": refusal,
    }
    return view._admin._template_response(
        request=request, name="ormis_admin/delete.html", context=context, status_code=409 if refusal else 200
    )


async def deleted(request: Request, view: Any, pks: Sequence[Any]) -> Response:
    """Deletes the objects with these keys, and leads back to the list; if it is refused, the page says why."""
    records = await _allowed(request, view, pks)
    foreseen = await foresee(view.model, [record.pk for record in records], view.database)
    if forbidden := _forbidden(request, view, foreseen):
        return await confirmation(request, view, pks, f"You may not delete objects of {', '.join(forbidden)}.")
    try:
        count, by_model = await view.queryset(request).filter(pk__in=[record.pk for record in records]).adelete()
    except ormis.IntegrityError as error:
        return await confirmation(request, view, pks, str(error))
    taken = ", ".join(f"{number:,} {name}" for name, number in by_model.items())
    flash(request, f"Deleted: {taken}." if count else "There was nothing to delete.", "success")
    return RedirectResponse(back_url(request, view.key), status_code=303)


async def _allowed(request: Request, view: Any, pks: Sequence[Any]) -> list[Any]:
    """The objects with these keys. Raises HTTPException 403, 404."""
    records = await view.find_by_pks(request, [*dict.fromkeys(map(str, pks))])
    if not records:
        raise HTTPException(404)
    if not all(view.allows(request, "delete", record) for record in records):
        raise HTTPException(403)
    return records


def _forbidden(request: Request, view: Any, foreseen: Foreseen) -> list[str]:
    """The names of the models whose objects would go, though the request may not delete them."""
    models = [model for model in foreseen.taken if model is not view.model]
    return [model.__name__ for model in models if not view.site.allows(request, "delete", model, None)]
