"""Objects of which only the key is known: all of their fields are loaded on first use."""

from collections.abc import Iterable
from typing import Any

from ..calls import Origin
from ..schema import registry
from .hydration import load_partly


def deferred_objects(keys: Iterable[str], origin: Origin) -> set[Any]:
    """The objects of these keys of hashes, `review:1`; those of a class that is not there any more are left out."""
    objects: set[Any] = set()
    for key in keys:
        model = next((model for model in registry.models() if key.startswith(f"{model.__label__}:")), None)
        if model is not None and model.__schema__ is not None:
            pk = model.__schema__.pk
            row = model.__schema__.decoder_for((pk,)).row([key.removeprefix(f"{model.__key__}:").encode()])
            objects.update(load_partly(model, [row], [pk], origin))
    return objects
