"""Reading the values of a view from an object."""

from collections.abc import Callable
from inspect import getattr_static
from typing import Any, get_type_hints

from pydantic_core import PydanticUndefined

from ..errors import RelationNotLoaded
from ..fetching import FETCH_ONE, RAISE
from ..records.state import state_of


def read_related(record: Any, name: str, make: Callable[[Any], Any]) -> Any:
    """The views of the related objects of one relation: a list of them, or one; None if there is none.

    Loads related objects that are not loaded. Raises RelationNotLoaded for those of an object that was loaded by async
    code, or under RAISE.
    """
    relation: Any = getattr_static(record.__class__, name)
    if relation.many:
        return [*map(make, _loaded(record, relation))]
    try:
        related = relation.of(record)
    except relation.model.RelatedObjectDoesNotExist:
        return None
    return None if related is None else make(related)


def _loaded(record: Any, relation: Any) -> Any:
    state, cached = state_of(record), relation.cached(record)
    if cached is not None:
        return cached
    if state.asynchronous or state.fetch_mode is RAISE:
        raise RelationNotLoaded(
            f"{relation.label} of {record!r} is not loaded, and a view reads it: write "
            f"prefetch_related({relation.name!r}) in its query, or `await aprefetch_related_objects([...], "
            f"{relation.name!r})`"
        )
    if state.fetch_mode not in (None, FETCH_ONE):
        relation.load_for_peers(record, record._database_for(state.database))
        return relation.cached(record)
    return relation.of(record).all()


def computed_type(model: Any, name: str, info: Any) -> Any:
    """The type of a computed field."""
    if info.return_type is not PydanticUndefined and info.return_type is not None:
        return info.return_type
    found: Any = getattr_static(model, name)
    function = getattr(found, "fget", None) or getattr(found, "func", None) or found
    try:
        return get_type_hints(function, include_extras=True).get("return", Any)
    except NameError:  # of a name that is imported for type checkers only
        return Any
