"""Attributes that are replaced while there are observers, so that without one the code is as if there were none."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Patch:
    """One attribute of a class or a module. wrap: the new one, for the one that is there."""

    owner: Any
    name: str
    wrap: Callable[[Any], Any]


class Patches:
    """Patches that are made and undone together."""

    def __init__(self, patches: Iterable[Patch]) -> None:
        self._patches = [*patches]
        self._originals: list[object] = []

    def make(self) -> None:
        """Replaces the attributes."""
        for patch in self._patches:
            original: Any = patch.owner.__dict__[patch.name]
            self._originals.append(original)
            setattr(patch.owner, patch.name, patch.wrap(original))

    def undo(self) -> None:
        """Puts back what was there."""
        for patch, original in zip(self._patches, self._originals, strict=True):
            setattr(patch.owner, patch.name, original)
        self._originals.clear()
