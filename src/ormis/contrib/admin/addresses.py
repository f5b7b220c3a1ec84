"""The addresses of pages of objects, which a list has by the hundred.

They are those of starlette-admin's helpers, which look for the route and take apart the address of the list anew for
each: a quarter of the time of a list page.
"""

from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette_admin.helpers import detail_url as slow_detail_url


def detail_url(request: Request, key: str, pk: Any) -> str:
    """The address of the page that shows an object; it says where to return to."""
    return address(request, "detail", key, pk)


def edit_url(request: Request, key: str, pk: Any) -> str:
    """The address of the form of an object; it says where to return to."""
    return address(request, "edit", key, pk)


def address(request: Request, page: str, key: str, pk: Any) -> str:
    """The address of a page of an object; it says where to return to."""
    known: dict[tuple[str, str], tuple[str, str]] = request.scope.setdefault("ormis.addresses", {})
    if (page, key) not in known:
        _, _, query = slow_detail_url(request, key, "").partition("?")
        route = request.url_for(f"{request.app.state.ROUTE_NAME}:{page}", key=key)
        known[page, key] = str(route), "".join(f"&{part}" for part in query.split("&") if not part.startswith("pk="))
    base, rest = known[page, key]
    return f"{base}?{urlencode({'pk': str(pk)})}{rest}"
