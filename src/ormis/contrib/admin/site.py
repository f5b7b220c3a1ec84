"""`Site`: what the views of an admin know of it: its models, their addresses, the database, who may do what."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette_admin.fields import BaseField

import ormis

from .anatomy import Model, links_of, model_for, schema_of
from .fields import ToMany, column_fields

May = Callable[[Request, str, Model, Any], bool]
"""`may(request, action, model, obj)`: whether the request may do this; `obj` is None if it is about the model."""


@dataclass(frozen=True)
class Site:
    """The models of an admin.

    keys: the part of its addresses that names a model. database: None for the default one. may: None allows all.
    """

    models: Sequence[Model]
    keys: Mapping[Model, str]
    database: ormis.Database | None = None
    may: May | None = None

    def allows(self, request: Request, action: str, model: Model, record: Any) -> bool:
        """Whether the request may do this."""
        return self.may is None or bool(self.may(request, action, model, record))

    def fields_of(self, model: Model, chosen: Sequence[Any] = ()) -> list[BaseField]:
        """The fields of a model: of its columns, then of its links.

        chosen: names of those that are shown, or fields of starlette-admin; all if there are none.
        Raises FieldError for a name that is no field.
        """
        keys = {one.__label__: key for one, key in self.keys.items()}
        fields = {one.name: one for one in column_fields(model, keys)}
        for link in links_of(model, self.models):
            other = model_for(link.target, self.models)
            if other is not None:
                fields[link.name] = ToMany(
                    link.name, key=self.keys[other], exclude_from_list=True, exclude_from_export=True, orderable=False
                )
        pk = schema_of(model).pk.name
        names = [one for one in chosen if isinstance(one, str)]
        if unknown := [name for name in names if name not in fields]:
            raise ormis.FieldError(f"the admin of {model.__name__}: there is no field {unknown[0]!r}")
        if not chosen:
            return [*fields.values()]
        listed = [fields[one] if isinstance(one, str) else one for one in chosen]
        return listed if pk in (one.name for one in listed) else [fields[pk], *listed]
