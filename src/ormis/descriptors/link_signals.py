"""m2m_changed: told before and after the links of one object change."""

from collections.abc import Iterable, Sequence
from typing import Any

from ..calls import Operation, Origin
from ..operations.writing.hooks import Occasion, check_receivers, send
from ..records.state import state_of
from ..schema import registry
from ..signals import m2m_changed

Action = tuple[str, Iterable[Any] | None]
"""One of "add", "remove" and "clear", and the keys of the objects on the other side; None of "clear"."""


class LinkSignals:
    """The signals of one side of a relation."""

    def __init__(self, relation: Any, record: Any) -> None:
        self._relation = relation
        self._record = record

    @property
    def reverse(self) -> bool:
        """Returns whether the model on the other side declares the relation."""
        return all(declared.name != self._relation.link.name for declared in self._relation.owner.__links__)

    @property
    def sender(self) -> Any:
        """The through model, or the model that declares the relation if there is none."""
        link = self._relation.link
        return registry.model_for(link.through or (link.target if self.reverse else link.source))

    @property
    def heard(self) -> bool:
        """Returns whether there are receivers."""
        return m2m_changed.connected and m2m_changed.has_listeners(self.sender)

    def around(self, method: str, actions: Sequence[Action], change: Operation[None]) -> Operation[None]:
        """The change, with signals before and after it.

        method: what the application has called.
        """
        if not self.heard:
            yield from change
            return
        occasion = self._occasion(method)
        yield from check_receivers(m2m_changed, self.sender, occasion)
        for action, keys in actions:
            yield from self._send(f"pre_{action}", keys, occasion)
        yield from change
        for action, keys in actions:
            yield from self._send(f"post_{action}", keys, occasion)

    def check(self, method: str) -> Operation[None]:
        """Raises OrmisError in a sync call if a receiver is async."""
        yield from check_receivers(m2m_changed, self.sender, self._occasion(method))

    def _occasion(self, method: str) -> Occasion:
        return Occasion(method, Origin(self._relation.model._database_for(state_of(self._record).database)))

    def _send(self, action: str, keys: Iterable[Any] | None, occasion: Occasion) -> Operation[None]:
        return send(
            m2m_changed,
            self.sender,
            occasion,
            action.startswith("post"),
            instance=self._record,
            action=action,
            reverse=self.reverse,
            model=self._relation.model,
            pk_set=None if keys is None else {*keys},
        )
