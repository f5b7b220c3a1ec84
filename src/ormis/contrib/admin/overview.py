"""The front page: how many objects each model has, and how much memory they take, as bars."""

from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError
from starlette.requests import Request
from starlette_admin import BaseWidget, CustomView
from starlette_admin.helpers import view_list_url

import ormis

from .site import Site


@dataclass(frozen=True, slots=True)
class Bar:
    """A model: its objects, the bytes of their hashes, the share of the largest model in percent."""

    name: str
    url: str
    objects: int
    memory: int | None
    objects_share: float
    memory_share: float
    incomplete: bool


class Bars(BaseWidget):
    """The picture."""

    template = "ormis_admin/overview.html"

    def __init__(self, site: Site) -> None:
        self.site = site

    async def get_context(self, request: Request) -> dict[str, Any]:
        """The bars of the models that the request may see. A few calls for each model."""
        models = [model for model in self.site.models if self.site.allows(request, "view", model, None)]
        states = {state.name: state for state in await self._states(models)} if models else {}
        found: list[tuple[Any, str, int, int | None, bool]] = []
        for model in models:
            state = states.get(model.__name__)
            memory = None if state is None or state.memory is None else round(state.memory * state.objects)
            incomplete = state is not None and any(index.state == "incomplete" for index in state.indexes)
            objects = state.objects if state is not None else await self._count(model)
            found.append((model, self.site.keys[model], objects, memory, incomplete))
        most = max([objects for _, _, objects, _, _ in found] or [0]) or 1
        largest = max([memory or 0 for _, _, _, memory, _ in found] or [0]) or 1
        bars = [
            Bar(
                model.__name__,
                view_list_url(request, key),
                objects,
                memory,
                100 * objects / most,
                100 * (memory or 0) / largest,
                incomplete,
            )
            for model, key, objects, memory, incomplete in found
        ]
        return {"bars": bars}

    async def _states(self, models: list[Any]) -> list[ormis.ModelState]:
        try:
            return await ormis.ainspect(self.site.database, models=models)
        except ResponseError:  # the user of the connection may not ask for memory
            return []

    async def _count(self, model: Any) -> int:
        objects = model.objects.all()
        return await (objects if self.site.database is None else objects.using(self.site.database)).acount()


class Overview(CustomView):
    """The front page."""

    def __init__(self, site: Site, title: str) -> None:
        super().__init__(menu_label=title, path="/", route_name="index", add_to_menu=False, widget=Bars(site))
