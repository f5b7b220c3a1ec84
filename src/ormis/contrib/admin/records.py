"""`Records`: what the pages of a model and the rows of a child have in common."""

from typing import Any

from starlette.requests import Request
from starlette_admin.exceptions import FormValidationError

import ormis

from .anatomy import Model, key_text, title_of
from .changes import WHOLE
from .site import Site


class Records:
    """Queries, permissions, titles and keys of the objects of one model."""

    model: Model
    site: Site

    @property
    def database(self) -> ormis.Database | None:
        """The database of the objects; None for the default one."""
        return self.site.database

    def everything(self) -> "ormis.QuerySet[Any]":
        """All objects of the model."""
        objects = self.model.objects.all()
        return objects if self.database is None else objects.using(self.database)

    def queryset(self, request: Request) -> "ormis.QuerySet[Any]":
        """The objects that this request may see: all of them, unless a subclass narrows them."""
        return self.everything()

    def allows(self, request: Request, action: str, record: Any = None) -> bool:
        """Whether the request may do this to an object, or to the model."""
        return self.site.allows(request, action, self.model, record)

    def check(self, request: Request, action: str, record: Any = None) -> None:
        """Raises FormValidationError if the request may not do this."""
        if not self.allows(request, action, record):
            raise FormValidationError({WHOLE: f"You may not {action} this {self.model.__name__}."})

    async def repr(self, obj: Any, request: Request) -> str:
        """The title of an object."""
        return title_of(obj)

    async def get_pk_value(self, request: Request, obj: Any) -> Any:
        """Its key, as text."""
        return key_text(obj.pk)
