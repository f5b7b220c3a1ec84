"""The object that get_or_create() and update_or_create() create, or change, where that is not up to the server alone:
with hooks and receivers around, or by its own save().
"""

# Private names of models and querysets are private to the package.
# pyright: reportPrivateUsage=false

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ...calls import Operation, Origin
from ...errors import ConflictError, OrmisError, UniqueViolation
from ..reading import evaluate as results
from ..reading.source import Source
from .client_arithmetic import commit_computing
from .hooks import Occasion, after_save, before_save, invoked, watches_saves
from .mutations import Mutation
from .save import insertion, mutation_for


@dataclass(frozen=True, slots=True)
class RelatedLink:
    """How an object that is made through a manager comes to belong there: by a link that is stored with it, or by what
    is done `after` it is stored.
    """

    link: Mutation | None = None
    after: Callable[[Any], Operation[None]] | None = None


@dataclass(frozen=True, slots=True)
class Creation:
    """The insertion of the object, and the mutation that links it, if there is one."""

    insertion: Mutation
    link: Mutation | None = None

    @property
    def mutations(self) -> list[Mutation]:
        """Both, in their order."""
        return [self.insertion] if self.link is None else [self.insertion, self.link]


@dataclass(frozen=True, slots=True)
class NewObject:
    """The object to create; `refusal` is the error if it can't be created. Empty if none is needed."""

    record: Any = None
    creation: Creation | None = None
    refusal: Exception | None = None


class Creator:
    """Makes the object of one call, and saves it where the script `get_or_create` does not.

    watched: hooks or receivers are told of it; then the server is asked first whether it is there.
    by_itself: its class overrides save(), which creates it.
    """

    def __init__(self, narrowed: Source[Any], origin: Origin, related: RelatedLink, method: str) -> None:
        self._narrowed = narrowed
        self._origin = origin
        self._related = related
        self._occasion = Occasion(method, origin)
        self._refused = False
        self._gone: Exception | None = None
        self.by_itself: bool = narrowed.model.__own_save__
        self.watched = not self.by_itself and watches_saves(narrowed.model)

    @property
    def in_hand(self) -> bool:
        """True if an object is changed here, and not by the server alone."""
        return self.watched or self.by_itself

    def new(self, lookups: Mapping[str, Any], defaults: Mapping[str, Any]) -> Operation[NewObject]:
        """The object for the script to create, of the lookups that name a field and the defaults.

        Callables are called, and hooks run, only if there is no object yet.
        """
        if self.by_itself:
            return NewObject()
        ask = self.watched or any(callable(value) for value in defaults.values())
        if ask and (yield from results.exists(self._narrowed, self._origin)):
            return NewObject()
        try:
            record = self._made(lookups, defaults)
        except (ValueError, TypeError, OrmisError) as refusal:  # it can't be made, but it may be there
            return NewObject(refusal=refusal)
        if self.watched:
            yield from before_save([record], self._occasion)
        try:
            return NewObject(record, Creation(insertion([record]), self._related.link))
        except (ValueError, TypeError, OrmisError) as refusal:
            return NewObject(refusal=refusal)

    def created(self, record: Any) -> Operation[Any]:
        """The script has created this object."""
        if self.watched:
            yield from after_save([record], True, self._occasion)
        return (yield from self._linked(record))

    def create(self, lookups: Mapping[str, Any], defaults: Mapping[str, Any]) -> Operation[Any]:
        """Has the object created by its own save(); None if another client has created it meanwhile.

        Raises UniqueViolation if it is refused and not found either.
        """
        record = self._made(lookups, defaults)
        try:
            yield from self._save(record, force_insert=True)
        except UniqueViolation:
            if self._refused:
                raise
            self._refused = True
            return None
        return (yield from self._linked(record))

    def change(self, record: Any, values: Mapping[str, Any]) -> Operation[bool]:
        """Writes values to an object on condition that it is as it was read; returns whether it was."""
        if self._gone is not None:  # the error was not about this object: it is there
            raise self._gone
        for name, value in values.items():
            setattr(record, name, value)
        if self.by_itself:
            return (yield from self._changed_by_itself(record))
        if self.watched:
            yield from before_save([record], self._occasion)
        try:
            yield from commit_computing([mutation_for(record, if_unchanged=True)])
        except (ConflictError, self._narrowed.model.DoesNotExist):  # changed or deleted in the meantime
            return False
        if self.watched:
            yield from after_save([record], False, self._occasion)
        return True

    def _changed_by_itself(self, record: Any) -> Operation[bool]:
        try:
            yield from self._save(record, if_unchanged=True)
        except ConflictError as error:
            if error.model != self._narrowed.model.__name__:
                raise
            return False
        except self._narrowed.model.DoesNotExist as error:
            self._gone = error
            return False
        return True

    def _save(self, record: Any, **options: Any) -> Operation[None]:
        options["using"] = self._origin.database
        yield from invoked(partial(record.save, **options), partial(record.asave, **options))

    def _made(self, lookups: Mapping[str, Any], defaults: Mapping[str, Any]) -> Any:
        model, pk = self._narrowed.model, self._narrowed._schema.pk.name
        values = {(pk if name == "pk" else name): value for name, value in lookups.items() if "__" not in name}
        values |= {name: called(value) for name, value in defaults.items()}
        record = model(**model._by_alias(values))
        record._assign(self._origin)
        return record

    def _linked(self, record: Any) -> Operation[Any]:
        if self._related.after is not None:
            yield from self._related.after(record)
        return record


def called(value: Any) -> Any:
    """The value of a callable; any other as it is."""
    return value() if callable(value) else value
