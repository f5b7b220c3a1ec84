"""Signals: functions that are called when objects of any model are saved or deleted, or links change. As in Django.

    from ormis.signals import post_save, receiver

    @receiver(post_save, sender=Question)
    def index(sender, instance, created, **more): ...

    pre_save     sender, instance, raw, using, update_fields
    post_save    sender, instance, created, raw, using, update_fields
    pre_delete   sender, instance, using, origin
    post_delete  sender, instance, using, origin
    m2m_changed  sender, instance, action, reverse, model, pk_set, using

`using` is the database, `raw` is False. Inside `atomic()` the signals after a write are sent when the block is applied.
`sender` of m2m_changed is the through model, or the model that declares the relation if there is none.

The dispatcher is ours: blinker has no dispatch_uid and no send_robust, which code written for Django uses.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from inspect import Parameter, iscoroutinefunction, signature
from threading import Lock
from types import MethodType
from typing import Any, TypeVar
from weakref import WeakMethod, ref

from .errors import OrmisError, shown

__all__ = ["ModelSignal", "Signal", "m2m_changed", "post_delete", "post_save", "pre_delete", "pre_save", "receiver"]

Receiver = Callable[..., Any]
R = TypeVar("R", bound=Receiver)

listening = False
"""Whether a signal of saves or deletions has receivers, of any model: a look at it is all that others pay."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A receiver that is connected. key: what disconnect() knows it by. sender: None for all."""

    key: Any
    receiver: Callable[[], Receiver | None]
    sender: Callable[[], Any] | None
    asynchronous: bool

    def hears(self, sender: Any) -> bool:
        """Returns whether it is to be called for this sender."""
        return self.sender is None or self.sender() is sender

    @property
    def dead(self) -> bool:
        """True once its receiver or its sender is gone."""
        return self.receiver() is None or (self.sender is not None and self.sender() is None)


class Signal:
    """Calls the receivers that are connected to it. Threads may share it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._connections: tuple[Connection, ...] = ()  # replaced, never changed, so that it is read without the lock

    def connect(self, receiver: Receiver, sender: Any = None, weak: bool = True, dispatch_uid: Any = None) -> None:
        """Calls the receiver from now on when the signal is sent: `receiver(signal=, sender=, ...)`.

        receiver: takes keywords, `**more` among them, as a signal may tell more one day; may be `async def`.
        sender: only for signals of this sender, by default of all.
        weak: False keeps the receiver alive; else it is disconnected when nothing else refers to it, as a lambda.
        dispatch_uid: connected twice under one name, by an import under two names for instance, it is called once.

        Raises TypeError for what can't be called, ValueError for a receiver without `**`.
        """
        if not callable(receiver):
            raise TypeError(f"a receiver is a function, not {shown(receiver)}")
        if not _takes_any(receiver):
            raise ValueError(f"{_named(receiver)} has to take any keyword: add `**more` to its parameters")
        held = _reference(receiver) if weak else _constant(receiver)
        connection = Connection(
            _key(receiver, dispatch_uid), held, None if sender is None else _sender(sender), is_async(receiver)
        )
        with self._lock:
            if not any(c.key == connection.key and _same_sender(c, sender) for c in self._alive()):
                self._replace((*self._alive(), connection))

    def disconnect(self, receiver: Receiver | None = None, sender: Any = None, dispatch_uid: Any = None) -> bool:
        """Calls the receiver no more, given as to connect(); returns whether it was connected."""
        if receiver is None and dispatch_uid is None:
            raise TypeError("disconnect() needs the receiver, or its dispatch_uid")
        key = _key(receiver, dispatch_uid)
        with self._lock:
            before = self._alive()
            after = tuple([c for c in before if not (c.key == key and _same_sender(c, sender))])
            self._replace(after)
        return len(after) < len(before)

    @property
    def connected(self) -> bool:
        """True if there may be receivers, of any sender."""
        return bool(self._connections)

    def has_listeners(self, sender: Any = None) -> bool:
        """Returns whether anyone is called for this sender."""
        return bool(self._connections) and bool(self.receivers(sender))

    def receivers(self, sender: Any) -> list[tuple[Receiver, bool]]:
        """The receivers for this sender in the order of connect(), each with whether it is async."""
        heard = ((c.receiver(), c.asynchronous) for c in self._connections if c.hears(sender))
        return [(receiver, asynchronous) for receiver, asynchronous in heard if receiver is not None]

    def send(self, sender: Any, **named: Any) -> list[tuple[Receiver, Any]]:
        """Calls the receivers; returns each with its result. An exception of one stops it.

        Raises OrmisError before it calls any if one of them is async.
        """
        return [(call, call(signal=self, sender=sender, **named)) for call in self._sync(sender, "send")]

    def send_robust(self, sender: Any, **named: Any) -> list[tuple[Receiver, Any]]:
        """As send(), with exceptions of receivers among the results; all of them are called."""
        done: list[tuple[Receiver, Any]] = []
        for call in self._sync(sender, "send_robust"):
            try:
                done.append((call, call(signal=self, sender=sender, **named)))
            except Exception as error:  # noqa: BLE001 - it is the result
                done.append((call, error))
        return done

    async def asend(self, sender: Any, **named: Any) -> list[tuple[Receiver, Any]]:
        """As send(), from async code: async receivers are awaited, one after another with the others."""
        return [
            (call, await made if asynchronous else made)
            for call, asynchronous in self.receivers(sender)
            for made in (call(signal=self, sender=sender, **named),)
        ]

    async def asend_robust(self, sender: Any, **named: Any) -> list[tuple[Receiver, Any]]:
        """As send_robust(), from async code."""
        done: list[tuple[Receiver, Any]] = []
        for call, asynchronous in self.receivers(sender):
            try:
                made = call(signal=self, sender=sender, **named)
                done.append((call, await made if asynchronous else made))
            except Exception as error:  # noqa: BLE001 - it is the result
                done.append((call, error))
        return done

    def _sync(self, sender: Any, method: str) -> list[Receiver]:
        heard = self.receivers(sender)
        for call, asynchronous in heard:
            if asynchronous:
                raise OrmisError(f"{_named(call)} is async, and {method}() can't wait for it: await a{method}()")
        return [call for call, _ in heard]

    def _alive(self) -> tuple[Connection, ...]:
        return tuple([c for c in self._connections if not c.dead])

    def _replace(self, connections: tuple[Connection, ...]) -> None:
        self._connections = connections


class ModelSignal(Signal):
    """A signal whose sender is a model class."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def connect(self, receiver: Receiver, sender: Any = None, weak: bool = True, dispatch_uid: Any = None) -> None:
        """As Signal's. Raises TypeError for a sender that is no model, or one without objects of its own."""
        if sender is not None and not _is_model(sender):
            raise TypeError(f"{self.name}.connect(sender={shown(sender)}): give a model class, or None for all")
        if sender is not None and not sender.__key__:
            raise TypeError(
                f"{self.name}.connect(sender={sender.__name__}): an abstract model has no objects: give each of the "
                f"models made from it, or no sender"
            )
        super().connect(receiver, sender, weak, dispatch_uid)

    def _replace(self, connections: tuple[Connection, ...]) -> None:
        global listening  # noqa: PLW0603 - read by every save
        super()._replace(connections)
        listening = any(signal.connected for signal in (pre_save, post_save, pre_delete, post_delete))

    def __repr__(self) -> str:
        return f"<ormis.signals.{self.name}>"


def receiver(signal: Signal | Sequence[Signal], **options: Any) -> Callable[[R], R]:
    """Connects the decorated function to a signal, or to a list of them: `@receiver(post_save, sender=Question)`.

    options: those of connect().
    """
    signals = [signal] if isinstance(signal, Signal) else [*signal]

    def connect(function: R) -> R:
        for one in signals:
            one.connect(function, **options)
        return function

    return connect


def is_async(function: Any) -> bool:
    """Returns whether a call of this has to be awaited."""
    return iscoroutinefunction(function) or iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def _takes_any(function: Receiver) -> bool:
    try:
        parameters: Iterable[Parameter] = signature(function).parameters.values()
    except (ValueError, TypeError):  # a function written in C may have no signature
        return True
    return any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters)


def _key(function: Receiver | None, dispatch_uid: Any) -> Any:
    if dispatch_uid is not None:
        return ("uid", dispatch_uid)
    if isinstance(function, MethodType):
        return (id(function.__self__), id(function.__func__))
    return id(function)


def _reference(function: Any) -> Callable[[], Receiver | None]:
    return WeakMethod(function) if isinstance(function, MethodType) else ref(function)


def _sender(sender: Any) -> Callable[[], Any]:
    try:
        return ref(sender)
    except TypeError:
        return _constant(sender)


def _constant(value: Any) -> Callable[[], Any]:
    return lambda: value


def _same_sender(connection: Connection, sender: Any) -> bool:
    return connection.sender is None if sender is None else connection.sender is not None and connection.hears(sender)


def _is_model(sender: Any) -> bool:
    return isinstance(sender, type) and hasattr(sender, "__schema__")


def _named(function: Receiver) -> str:
    return f"the receiver {getattr(function, '__qualname__', None) or shown(function)}()"


pre_save = ModelSignal("pre_save")
post_save = ModelSignal("post_save")
pre_delete = ModelSignal("pre_delete")
post_delete = ModelSignal("post_delete")
m2m_changed = ModelSignal("m2m_changed")
