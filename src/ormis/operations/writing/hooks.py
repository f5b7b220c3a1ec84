"""Hooks and receivers around saves and deletions of objects in hand: the invocations that an operation yields.

before_*    hooks of the class, then receivers of pre_*; first of all async code that a sync call would meet later
after_*     hooks of the class, then receivers of post_*; inside atomic() when the block is applied
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any

from ... import signals
from ...calls import Invocation, Operation, Origin
from ...records.state import state_of
from ...schema.hooks import Hook
from ...signals import ModelSignal, post_delete, post_save, pre_delete, pre_save

Invocations = Generator[Invocation, Any, None]


@dataclass(frozen=True, slots=True)
class Occasion:
    """A call of the application that writes objects in hand.

    method: its name, for messages. origin: where it writes.
    update_fields: the only fields that it writes, None for all.
    signals: whether receivers are told; bulk methods tell none, as in Django.
    """

    method: str
    origin: Origin | None
    update_fields: frozenset[str] | None = None
    signals: bool = True


def watches_saves(model: Any, told: bool = True) -> bool:
    """Returns whether hooks or receivers are to be run around a save of an object of this class.

    told: whether receivers count.
    """
    hooks = model.__schema__.hooks
    if hooks is not None and (hooks.before_save or hooks.after_save):
        return True
    return told and signals.listening and (pre_save.has_listeners(model) or post_save.has_listeners(model))


def watches_deletions(model: Any) -> bool:
    """The same for deletions."""
    hooks = model.__schema__.hooks
    if hooks is not None and (hooks.before_delete or hooks.after_delete):
        return True
    return signals.listening and (pre_delete.has_listeners(model) or post_delete.has_listeners(model))


def before_save(records: Sequence[Any], occasion: Occasion) -> Operation[None]:
    """Runs what comes before a save. Its exceptions are the operation's, which has written nothing yet."""
    for record in records[:1]:
        yield from _check(chain(_before_save(record, occasion), _after_save(record, False, occasion)))
    for record in records:
        yield from _before_save(record, occasion)


def after_save(records: Sequence[Any], created: bool, occasion: Occasion, if_stored: bool = False) -> Operation[None]:
    """Runs what comes after a save.

    if_stored: only for records that turn out to be stored, when it is certain.
    """
    for record in records:
        for call in _after_save(record, created, occasion):
            yield _if_stored(record, call) if if_stored else call


def before_delete(record: Any, occasion: Occasion) -> Operation[None]:
    """Runs what comes before a deletion."""
    yield from _check(chain(_before_delete(record, occasion), _after_delete(record, occasion)))
    yield from _before_delete(record, occasion)


def after_delete(record: Any, occasion: Occasion) -> Operation[None]:
    """Runs what comes after a deletion."""
    yield from _after_delete(record, occasion)


def invoked(run: Callable[[], Any], arun: Callable[[], Any]) -> Operation[Any]:
    """Runs a method of the application that has an async twin; returns its result."""
    return (yield Invocation(run, arun))


def send(signal: ModelSignal, sender: Any, occasion: Occasion, certain: bool, **named: Any) -> Operation[None]:
    """Sends a signal. certain: the write has been made, so inside atomic() it waits for the end of the block."""
    yield from _told(signal, sender, occasion, certain, named)


def check_receivers(signal: ModelSignal, sender: Any, occasion: Occasion) -> Operation[None]:
    """Raises OrmisError in a sync call if a receiver is async."""
    yield from _check(_told(signal, sender, occasion, False, {}))


def _before_save(record: Any, occasion: Occasion) -> Invocations:
    yield from _hooks("before_save", record, occasion)
    yield from _receivers(pre_save, record, occasion, **_of_save(occasion))


def _after_save(record: Any, created: bool, occasion: Occasion) -> Invocations:
    yield from _hooks("after_save", record, occasion, created)
    yield from _receivers(post_save, record, occasion, created=created, **_of_save(occasion))


def _before_delete(record: Any, occasion: Occasion) -> Invocations:
    yield from _hooks("before_delete", record, occasion)
    yield from _receivers(pre_delete, record, occasion, origin=record)


def _after_delete(record: Any, occasion: Occasion) -> Invocations:
    yield from _hooks("after_delete", record, occasion)
    yield from _receivers(post_delete, record, occasion, origin=record)


def _of_save(occasion: Occasion) -> dict[str, Any]:
    return {"raw": False, "update_fields": occasion.update_fields}


def _hooks(stage: str, record: Any, occasion: Occasion, created: bool | None = None) -> Invocations:
    hooks: tuple[Hook, ...] = getattr(record.__schema__.hooks, stage, ())
    for hook in hooks:
        method: Callable[..., Any] = getattr(record, hook.name)
        if hook.takes_created and created is not None:
            method = partial(method, created=created)
        name = f"the hook {record.__schema__.name}.{hook.name}()"
        yield _invocation(method, hook.asynchronous, name, occasion, stage.startswith("after"))


def _receivers(signal: ModelSignal, record: Any, occasion: Occasion, **named: Any) -> Invocations:
    certain = signal in (post_save, post_delete)
    return _told(signal, type(record), occasion, certain, {"instance": record, **named})


def _told(signal: ModelSignal, sender: Any, occasion: Occasion, certain: bool, named: dict[str, Any]) -> Invocations:
    if not occasion.signals:
        return
    named = {**named, "using": None if occasion.origin is None else occasion.origin.database}
    for receiver, asynchronous in signal.receivers(sender):
        told = partial(receiver, signal=signal, sender=sender, **named)
        name = f"the receiver {getattr(receiver, '__qualname__', repr(receiver))}() of {signal.name}"
        yield _invocation(told, asynchronous, name, occasion, certain)


def _invocation(
    function: Callable[..., Any], asynchronous: bool, name: str, occasion: Occasion, certain: bool
) -> Invocation:
    run, arun = (None, function) if asynchronous else (function, None)
    method = occasion.method
    return Invocation(run, arun, name, f"{method}()", f"await a{method}()", when_certain=certain)


def _check(calls: Iterable[Invocation]) -> Operation[None]:
    """Has a sync driver refuse the first of these calls that has to be awaited, before anything is written."""
    for call in calls:
        if call.run is None:
            yield required(call)
            return


def required(call: Invocation) -> Invocation:
    """The same call with nothing to do: a sync driver refuses it as it would refuse the call."""
    return replace(call, arun=_nothing, when_certain=False)


async def _nothing() -> None:
    pass


def _if_stored(record: Any, call: Invocation) -> Invocation:
    def run() -> Any:
        return call.run() if call.run is not None and state_of(record).saved else None

    async def arun() -> Any:
        if call.arun is not None and state_of(record).saved:
            return await call.arun()
        return None

    return replace(call, run=None if call.run is None else run, arun=None if call.arun is None else arun)
