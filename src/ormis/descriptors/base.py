"""The base of the descriptors of relations."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ..calls import Operation, Origin
from ..errors import ForeignKeyViolation, RelationNotLoaded, of_another_model, shown
from ..fetching import FETCH_PEERS, RAISE
from ..operations.reading.prefetch import PrefetchTarget, prefetch
from ..operations.reading.source import Source
from ..querysets.queryset import QuerySet
from ..records.state import cache_related, cached_related, peers_of, state_of
from ..schema.family_classes import declaring
from .fields import FieldPath


def relation_of(model: Any, name: str) -> Any:
    """The attribute of a class, or of a base of it, as it stands there; None if there is none."""
    classes: tuple[type, ...] = model.__mro__
    return next((vars(one)[name] for one in classes if name in vars(one)), None)


class RelationDescriptor:
    """The attribute of a model class for one side of a relation.

    owner: the class it stands on. name: the attribute there. model: the class it leads to.
    many: whether it leads to many objects; then a list of them is cached, else one object.
    """

    many = False

    def __init__(self, owner: Any, name: str, query_name: str, model: Any) -> None:
        self.owner = owner
        self.name = name
        self.query_name = query_name
        self.model = model

    @property
    def label(self) -> str:
        """Its name in messages."""
        return f"{self.owner.__name__}.{self.name}"

    def __get__(self, record: Any, owner: Any) -> Any:
        return FieldPath(owner, self.query_name) if record is None else self.of(record)

    def of(self, record: Any, /) -> Any:
        """Returns the value of the attribute of an object."""
        raise NotImplementedError

    def assign(self, _record: Any, value: Any, /) -> None:
        """Assigns to the attribute of an object."""
        raise TypeError(f"{self.label} can't be assigned {shown(value)}: use .set()")

    def cached(self, record: Any) -> Any:
        """The loaded objects, None if none are loaded."""
        return cached_related(record, self.name)

    # Called by prefetch_related().

    def related_set(self) -> QuerySet[Any]:
        """The objects that may be related: of a relation to many those of the model's own manager, else all."""
        return self.model._default_manager.get_queryset() if self.many else QuerySet(self.model)

    def key_in(self, record: Any) -> Any:
        """The value by which a record finds its related objects."""
        return record.pk

    def keys_of(self, records: Iterable[Any], again: bool) -> list[Any]:
        """The keys of the records whose related objects are not loaded yet, or of all."""
        return [*{self.key_in(record): None for record in records if again or not self.is_loaded(record)}]

    def is_loaded(self, record: Any) -> bool:
        """Returns whether the related objects of a record are known."""
        return self.cached(record) is not None

    def related_of(
        self, queryset: Source[Any], keys: list[Any], origin: Origin, target: PrefetchTarget, /
    ) -> Operation[None]:
        """Gives away the related objects in the queryset, by key, all of a key's at once."""
        raise NotImplementedError

    def keep(self, record: Any, related: list[Any]) -> None:
        """Caches the related objects with the record."""
        if self.many or related:
            cache_related(record, self.name, related if self.many else related[0])

    # Checks of every access.

    def checked(self, record: Any, value: Any) -> Any:
        """An object on the other side of a relation of `record`.

        Raises TypeError for one of another model, ForeignKeyViolation for one that is not saved yet or is elsewhere.
        """
        self.check_model(value)
        if value.pk is None:
            raise ForeignKeyViolation(
                f"{self.label}: {value!r} is not saved yet; save it first",
                model=self.owner.__name__,
                field=self.name,
                value=value,
            )
        self.check_database(None if record is None else state_of(record).database, value)
        return value

    def check_model(self, value: Any) -> None:
        """Raises TypeError for an object of another model."""
        if not isinstance(value, self.model):
            raise TypeError(f"{self.label} takes a {self.model.__name__}, not {of_another_model(value, self.model)}")

    def check_database(self, database: Any, value: Any) -> None:
        """Raises ForeignKeyViolation for an object that is in another database than this one."""
        other = state_of(value).database
        if database is not None and other is not None and not database.same_as(other):
            raise ForeignKeyViolation(
                f"{self.label}: {value!r} is in another database, {other.url}, and not in {database.url}: "
                f"relations stay in one",
                model=self.owner.__name__,
                field=self.name,
                value=value,
            )

    def refuse_lazy_load(self, record: Any, instead: str) -> None:
        """Raises RelationNotLoaded for an object that was loaded by async code, or under RAISE."""
        state = state_of(record)
        if state.fetch_mode is RAISE:
            raise RelationNotLoaded(
                f"{self.label} of {record!r} is not loaded, and its fetch mode is RAISE: write "
                f"select_related({self.name!r}) or prefetch_related({self.name!r}) in its query"
            )
        if state.asynchronous:
            raise RelationNotLoaded(
                f"{self.label} of {record!r} is not loaded; lazy loading would block the event loop: write `{instead}`"
            )

    def load_for_peers(self, record: Any, database: Any) -> bool:
        """Loads the related objects of all objects of its result, under FETCH_PEERS; returns whether it did.

        One call for some thousand objects.
        """
        origin = state_of(record).origin
        if origin is None or origin.fetching is None or origin.fetching.mode is not FETCH_PEERS:
            return False
        peers = peers_of(record, origin, declaring(self.owner, self.name))
        database.run(prefetch(peers, [self.name], replace(origin, database=database)))
        return True
