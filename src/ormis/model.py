"""`Model`: a pydantic model whose objects are stored."""

# The functions below the class are parts of it.
# pyright: reportPrivateUsage=false

import builtins
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from . import errors
from .calls import Operation, Origin
from .connecting import checked_database, database_at, default_database
from .database import Database
from .descriptors import RelationDescriptor, relation_of
from .descriptors.input_values import input_name, name_key, take_related
from .descriptors.misused_models import (
    by_key_alone,
    endless_validation,
    no_attribute,
    note_unknown_fields,
    unnamed_values,
)
from .descriptors.model_attributes import ModelAttributes
from .errors import FieldError, IntegrityError, ModelError, OrmisError, shown
from .fetching import FETCH_PEERS, RAISE
from .metaclass import HIDEABLE, ModelMeta, complete
from .operations.reading.get import ObjectRead, loaded
from .operations.writing import delete as deleting
from .operations.writing import expire as expiring
from .operations.writing import save as saving
from .operations.writing.mutations import commit
from .operations.writing.single_save import single_save
from .query.expressions import Expression, expression
from .query.q import Q
from .query.state import Query
from .querysets import refreshing
from .querysets.field_methods import method_of_field
from .querysets.managers import DefaultManager
from .querysets.queryset import QuerySet
from .records.state import State, UnpickledDatabase, cached_related, has_cached_related, state_of
from .schema import registry
from .schema.field_validation import RefusedValue, validated
from .schema.hooks import Hooks
from .schema.options import Options, milliseconds
from .schema.relations import LinkDeclaration, RelationDeclaration
from .schema.schema import Schema
from .storage.keys import object_key

_new = object.__new__
_set = object.__setattr__


class Model(ModelAttributes, metaclass=ModelMeta):
    """A stored pydantic model: a subclass declares fields; every object is one Redis hash.

    Without a field with `primary_key=True` it has `id: int | None`, counted up by the server from 1.
    Methods that talk to the server have an async twin with an `a` in front.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    __schema__: ClassVar[Any] = None
    __key__: ClassVar[str] = ""
    __label__: ClassVar[str] = ""
    __family_root__: ClassVar[Any] = None
    __base_in_family__: ClassVar[Any] = None
    __kind__: ClassVar[str] = ""
    __member__: ClassVar[Any] = None
    __targets__: ClassVar[Mapping[str, Any]] = {}
    __options__: ClassVar[Options | None] = None
    __declarations__: ClassVar[tuple[RelationDeclaration, ...]] = ()
    __links__: ClassVar[tuple[LinkDeclaration, ...]] = ()
    __related_names__: ClassVar[frozenset[str]] = frozenset()
    __managers__: ClassVar[tuple[str, ...]] = ()
    __hooks__: ClassVar[Hooks | None] = None
    __own_save__: ClassVar[bool] = False
    __without_twin__: ClassVar[str] = ""
    __reserved__: ClassVar[frozenset[str]] = frozenset()
    __loading__: ClassVar[Any] = None
    __api_models__: ClassVar[Any] = None
    __loading_kind__: ClassVar[Any] = None
    __typed_keys__: ClassVar[Sequence[str]] = ()
    DoesNotExist: ClassVar[type[errors.DoesNotExist]] = errors.DoesNotExist
    MultipleObjectsReturned: ClassVar[type[errors.MultipleObjectsReturned]] = errors.MultipleObjectsReturned

    # Not a pydantic private attribute: setting those up takes half of the time of making an object.
    __slots__ = ("__state__",)

    def __init__(self, /, *given: Any, **values: Any) -> None:
        __tracebackhide__ = True
        if given:
            raise TypeError(unnamed_values(type(self), given))
        if "pk" in values:
            name_key(type(self), values)
        try:
            if not (self.__declarations__ or self.__links__):
                self.__pydantic_validator__.validate_python(values, self_instance=self)  # all that pydantic does here
                return
            related = take_related(type(self), values)
            super().__init__(**values)
        except ValidationError as error:
            note_unknown_fields(type(self), error)
            raise
        for name, record in related.items():
            type(self).__dict__[name].connect(self, record)

    # Objects ---------------------------------------------------------------------------------------------------------

    @classmethod
    @by_key_alone
    def get(cls, pk: Any, *, fresh: bool = False) -> Self:
        """The object with this primary key. One call: HMGET of its hash; none if the cache has it.

        fresh: ask the server in any case.
        Raises the model's DoesNotExist, FieldError for a key that does not convert, StoredDataError.

            >>> Question.get(1).text
            'Tea or coffee?'
        """
        database = cls._database_for(None)
        row = None if fresh else database.cached_row(cls.__schema__, pk)
        if row is not None:
            return loaded(cls, pk, row, database.origin)
        schema = cls.__schema__ or cls._schema()
        key = pk if pk.__class__ is int and schema.takes_integers else cls._key(pk)
        if schema.cache:
            return loaded(cls, pk, database.row(schema, key, fresh), database.origin)
        return database.run_one(ObjectRead(cls, schema, key, pk, database.origin))

    @classmethod
    @by_key_alone
    async def aget(cls, pk: Any, *, fresh: bool = False) -> Self:
        """As get()."""
        database = cls._database_for(None)
        row = None if fresh else database.cached_row(cls.__schema__, pk)
        if row is not None:
            return loaded(cls, pk, row, database.async_origin)
        schema = cls.__schema__ or cls._schema()
        key = pk if pk.__class__ is int and schema.takes_integers else cls._key(pk)
        if schema.cache:
            return loaded(cls, pk, await database.arow(schema, key, fresh), database.async_origin)
        return await database.arun_one(ObjectRead(cls, schema, key, pk, database.async_origin))

    @classmethod
    def list(cls) -> builtins.list[Self]:
        """Every object, newest first.

        >>> [question.text for question in Question.list()]
        ['Cats or dogs?', 'Tea or coffee?']
        """
        return [*cls._newest_first()]

    @classmethod
    async def alist(cls) -> builtins.list[Self]:
        """As list()."""
        return [record async for record in cls._newest_first()]

    def save(
        self,
        *,
        update_fields: Iterable[str] | None = None,
        force_insert: bool = False,
        force_update: bool = False,
        if_unchanged: bool = False,
        ttl: float | timedelta | None = None,
        using: Database | None = None,
    ) -> Self:
        """Stores the object and returns it. One call: object, indexes and constraints, all or nothing.

        A new object is inserted (one whose given primary key exists already replaces that object, unless
        `force_insert`); of a stored one the changed fields are written.

        update_fields: write these fields and no others.
        if_unchanged: ConflictError when somebody else changed one of the fields that this save writes.
        ttl: how long the object lives from now on, in seconds or as a timedelta; by default Meta.ttl, and without that
            a time set before runs on.

        Raises UniqueViolation, ForeignKeyViolation, ConflictError; DoesNotExist when the object was deleted meanwhile.

            >>> question = Question(text="Tabs or spaces?").save()
            >>> question.key
            'question:3'
            >>> question.votes = F("votes") + 1
            >>> question.save().votes
            1
        """
        if self.__without_twin__ == "save":
            self._refuse_passing_by("asave", "save")
        database = self._database_for_saving(using)
        given = force_insert or force_update or if_unchanged or update_fields is not None or ttl is not None
        single = None if given or not database.writes_at_once else single_save(self)
        if single is not None:
            database.write_one(single)
        else:
            operation = saving.save(self, update_fields, force_insert, force_update, if_unchanged, ttl, database.origin)
            database.run(operation)
        return self._saved(database.origin)

    async def asave(
        self,
        *,
        update_fields: Iterable[str] | None = None,
        force_insert: bool = False,
        force_update: bool = False,
        if_unchanged: bool = False,
        ttl: float | timedelta | None = None,
        using: Database | None = None,
    ) -> Self:
        """As save()."""
        if self.__without_twin__ == "asave":
            self._refuse_passing_by("save", "asave")
        database = self._database_for_saving(using)
        given = force_insert or force_update or if_unchanged or update_fields is not None or ttl is not None
        single = None if given or not database.writes_at_once else single_save(self)
        if single is not None:
            await database.awrite_one(single)
        else:
            operation = saving.save(
                self, update_fields, force_insert, force_update, if_unchanged, ttl, database.async_origin
            )
            await database.arun(operation)
        return self._saved(database.async_origin)

    def delete(self, *, using: Database | None = None) -> tuple[int, dict[str, int]]:
        """Deletes the object, and the objects that refer to it by their on_delete. One call, all or nothing.

        If more than `Limits.cascade` objects refer to it, further calls delete them before, in batches, children first:
        nothing refers to a deleted object at any time.
        Returns how many objects went, in all and by model. Raises ProtectedError, RestrictedError.

            >>> Choice.get(3).delete()
            (1, {'Choice': 1})
        """
        database = self._database_for(using or state_of(self).database)
        return database.run(deleting.delete_one(self, self._own_key(), Origin(database)))

    async def adelete(self, *, using: Database | None = None) -> tuple[int, dict[str, int]]:
        """As delete()."""
        database = self._database_for(using or state_of(self).database)
        return await database.arun(deleting.delete_one(self, self._own_key(), Origin(database, asynchronous=True)))

    def refresh_from_db(
        self,
        *,
        fields: Iterable[str] | None = None,
        using: Database | None = None,
        from_queryset: QuerySet[Self] | None = None,
    ) -> None:
        """Reads the object again, all of it or these fields. One call; none if only relations are named.

        fields: also names of relations, whose loaded objects are forgotten.
        from_queryset: where the object is looked for, with the related objects that this queryset loads.

        Raises DoesNotExist when the object is gone, FieldError for an unknown field.

            question.refresh_from_db(fields=["votes", "choices"])

            >>> question = Question.get(1)
            >>> Question.objects.filter(pk=1).update(votes=9)
            1
            >>> question.refresh_from_db()
            >>> question.votes
            9
        """
        names = None if fields is None else refreshing.forget_relations(self, fields)
        if names is None or names:
            database = self._database_for(using or state_of(self).database)
            fresh = database.run(refreshing.read(self, Origin(database), from_queryset))
            refreshing.take(self, fresh, names)

    async def arefresh_from_db(
        self,
        *,
        fields: Iterable[str] | None = None,
        using: Database | None = None,
        from_queryset: QuerySet[Self] | None = None,
    ) -> None:
        """As refresh_from_db()."""
        names = None if fields is None else refreshing.forget_relations(self, fields)
        if names is None or names:
            database = self._database_for(using or state_of(self).database)
            fresh = await database.arun(refreshing.read(self, Origin(database, asynchronous=True), from_queryset))
            refreshing.take(self, fresh, names)

    def expire(self, time: float | timedelta, *, using: Database | None = None) -> None:
        """Sets the object's time to live, in seconds or as a timedelta. One call.

        From the moment it ends it is gone from every query, count, unique field and relation; references to it are
        treated as its on_delete says, when it is cleared away. Raises DoesNotExist when the object is gone.

            >>> question = Question.get(1)
            >>> question.expire(60)
            >>> 59 < question.ttl() <= 60
            True
        """
        self._database_for(using or state_of(self).database).run(self._expiry(milliseconds(time)))

    async def aexpire(self, time: float | timedelta, *, using: Database | None = None) -> None:
        """As expire()."""
        await self._database_for(using or state_of(self).database).arun(self._expiry(milliseconds(time)))

    def persist(self, *, using: Database | None = None) -> None:
        """Removes the object's time to live. One call. Raises DoesNotExist when it is gone.

        >>> question = Question(text="For a minute?").save(ttl=60)
        >>> question.persist()
        >>> question.ttl() is None
        True
        """
        self._database_for(using or state_of(self).database).run(self._expiry(None))

    async def apersist(self, *, using: Database | None = None) -> None:
        """As persist()."""
        await self._database_for(using or state_of(self).database).arun(self._expiry(None))

    def ttl(self, *, using: Database | None = None) -> float | None:
        """Returns the seconds the object has to live, None if it does not expire. One call. Raises DoesNotExist.

        >>> Question.get(1).ttl() is None
        True
        """
        database = self._database_for(using or state_of(self).database)
        return database.run(expiring.remaining(self._schema(), self._own_key()))

    async def attl(self, *, using: Database | None = None) -> float | None:
        """As ttl()."""
        database = self._database_for(using or state_of(self).database)
        return await database.arun(expiring.remaining(self._schema(), self._own_key()))

    @property
    def pk(self) -> Any:
        """The primary key, whatever its field is called."""
        return self.__dict__.get(self._schema().pk.name)

    @pk.setter
    def pk(self, value: Any) -> None:
        setattr(self, self._schema().pk.name, value)

    @property
    def key(self) -> str:
        """The key of the object's hash: `question:1`. Raises ForeignKeyViolation for one that is not saved yet."""
        schema = self._schema()
        text = schema.pk.codec.encode(self._own_key())
        return object_key(schema.key, text if isinstance(text, str) else text.decode("utf-8", "backslashreplace"))

    # Values ----------------------------------------------------------------------------------------------------------

    if not TYPE_CHECKING:  # shown to a type checker, they would allow every name

        def __setattr__(self, name: str, value: Any) -> None:
            schema = type(self).__schema__
            if schema is None or name.startswith("_"):
                super().__setattr__(name, value)
            elif isinstance(value, Expression | Q) and name in schema.own_names:
                vars(self)[name] = expression(value)
            elif name not in schema.own_names and isinstance(
                relation := relation_of(type(self), name), RelationDescriptor
            ):
                relation.assign(self, value)
            elif name == schema.pk.name and state_of(self).saved:
                self._refuse_new_key(value)
            else:
                self._assign_checked(name, value)

        def __getattr__(self, name: str) -> Any:
            """Returns an attribute unknown to pydantic: a deferred field, objects of prefetch_related(to_attr)."""
            schema = type(self).__schema__
            if schema is not None and not name.startswith("_"):
                if name in schema.own_names and state_of(self).saved:
                    return self._load_deferred([name])[name]
                relation = relation_of(type(self), name)
                if isinstance(relation, RelationDescriptor):  # it has raised an AttributeError, which is lost
                    return relation.of(self)
                if has_cached_related(self, name):
                    return cached_related(self, name)
                if registry.waiting():
                    registry.complete_waiting()
                    if name in vars(type(self)):
                        return getattr(self, name)
                if (method := method_of_field(self, name)) is not None:
                    return method
            try:
                return super().__getattr__(name)
            except AttributeError as error:
                if str(error) != f"{type(self).__name__!r} object has no attribute {name!r}":  # that of a property
                    raise
                raise no_attribute(type(self), name, on_class=False) from None

    def _assign_checked(self, name: str, value: Any) -> None:
        try:
            super().__setattr__(name, value)
        except ValidationError as error:
            note_unknown_fields(type(self), error)
            raise
        except RecursionError:
            error = endless_validation(type(self), name)
            if error is None:
                raise
            raise error from None

    def model_dump(self, **options: Any) -> dict[str, Any]:
        """As pydantic's; fields that were not loaded yet are loaded first."""
        self._load_rest()
        return super().model_dump(**options)

    def model_dump_json(self, **options: Any) -> str:
        """As pydantic's; fields that were not loaded yet are loaded first."""
        self._load_rest()
        return super().model_dump_json(**options)

    def _load_rest(self) -> None:
        missing = type(self).model_fields.keys() - self.__dict__.keys()
        if missing and state_of(self).saved:
            self._load_deferred([name for name in self._schema().own_names if name in missing])

    def _load_deferred(self, names: Sequence[str]) -> dict[str, Any]:
        state = state_of(self)
        if state.fetch_mode is RAISE:
            raise errors.RelationNotLoaded(
                f"{type(self).__name__}.{names[0]} of {self.key} is not loaded, and its fetch mode is RAISE: load it "
                f"with the query, without only() and defer(), or write obj.refresh_from_db(fields={[*names]!r})"
            )
        if state.asynchronous:
            raise errors.RelationNotLoaded(
                f"{type(self).__name__}.{names[0]} of {self.key} is not loaded; lazy loading would block the event "
                f"loop: write `await obj.arefresh_from_db(fields={[*names]!r})`, or load it without only() and defer()"
            )
        if state.fetch_mode is FETCH_PEERS:
            database = self._database_for(state.database)
            database.run(refreshing.load_deferred(self, names, cast(Origin, state.origin)))
        else:
            self.refresh_from_db(fields=names)
            refreshing.put_in_order(self)
        return vars(self)

    def _refuse_new_key(self, value: Any) -> None:
        if value != self.pk:
            raise IntegrityError(
                f"{type(self).__name__}.{self._schema().pk.name} of {self.key} can't be changed to {value!r}: it is "
                f"the primary key of a saved object; save a copy under another key and delete this one",
                model=type(self).__name__,
                field=self._schema().pk.name,
                value=value,
            )

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Model) or type(self) is not type(other):
            return NotImplemented
        return self.pk is not None and self.pk == other.pk

    def __hash__(self) -> int:
        if self.pk is None:
            raise TypeError(f"{type(self).__name__} is hashable once it is saved, and {self!r} has no primary key yet")
        return hash((self.__key__, self.pk))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As pydantic's. A copy with another primary key, or with None as its key, is a new object of its database.

        It is inserted by save(). Loads the fields that were not loaded, by one call, if there are any.
        """
        name = self._schema().pk.name
        moved = bool(update) and update.get(name, self.pk) != self.pk and state_of(self).saved
        if moved:
            for field in type(self).model_fields:
                getattr(self, field)
        copied = super().model_copy(update=update, deep=deep)
        if moved:
            _set(copied, "__state__", State(origin=state_of(self).origin))
        return copied

    def __copy__(self) -> Self:
        copied = super().__copy__()
        _set(copied, "__state__", state_of(self).copy())
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        copied = super().__deepcopy__(memo)
        _set(copied, "__state__", state_of(self).copy())
        return copied

    def __getstate__(self) -> dict[Any, Any]:
        return {**super().__getstate__(), "__state__": state_of(self).pickled()}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        row, texts, address, *mode = state.pop("__state__")
        origin = None if address is None else Origin(UnpickledDatabase(address, database_at)).of_result(*mode)
        _set(self, "__state__", State(row, origin, texts=texts))
        super().__setstate__(state)

    @classmethod
    def model_rebuild(
        cls,
        *,
        force: bool = False,
        raise_errors: bool = True,
        _parent_namespace_depth: int = 2,
        _types_namespace: Mapping[str, Any] | None = None,
    ) -> bool | None:
        """As pydantic's: looks for the types of fields that were declared later."""
        built = super().model_rebuild(
            force=force,
            raise_errors=raise_errors,
            _parent_namespace_depth=_parent_namespace_depth + 1,
            _types_namespace=_types_namespace,
        )
        if cls.__schema__ is None:
            registry.complete(cls)
        return built

    @classmethod
    def _by_alias(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values by the names of fields, as queries have them, by the names that pydantic asks for."""
        return {(input_name(cls, name) if name in cls.model_fields else name): value for name, value in values.items()}

    @classmethod
    def _fitted(cls, name: str, value: Any) -> Any:
        """The value as the field holds it, by its type, constraints and validators. Raises ValidationError."""
        return validated(cls, name, value)

    # Inside ----------------------------------------------------------------------------------------------------------

    @classmethod
    def _schema(cls) -> Schema:
        if cls.__schema__ is None:
            if not cls.__key__:
                raise ModelError(
                    f"{cls.__name__} is abstract: only the models made from it are stored, `class Own({cls.__name__})`"
                )
            registry.complete(cls)
            if cls.__schema__ is None:
                raise ModelError(f"{cls.__name__} can't be used yet: not declared are {registry.unresolved(cls)}")
        return cls.__schema__

    @classmethod
    def _database_for(cls, using: Database | None) -> Database:
        if using is not None:
            return checked_database(using, f"{cls.__name__}: using=")
        options = cls.__options__
        pinned = None if options is None else options.database
        return pinned if pinned is not None else default_database(cls.__name__)

    @classmethod
    def _complete(cls, targets: dict[str, Any]) -> Callable[[], None]:
        return complete(cls, targets)

    @classmethod
    def _newest_first(cls) -> QuerySet[Self]:
        return QuerySet(cls, Query(cls._schema(), order=(), backwards=True))

    @classmethod
    def _key(cls, pk: Any) -> Any:
        schema = cls.__schema__ or cls._schema()
        try:
            key = schema.pk.convert(pk)
            schema.pk.codec.encode(key)  # half a surrogate pair is a str, and no text
            if schema.pk.normalise is not None:
                with suppress(RefusedValue):
                    key = schema.pk.normalise(key)
        except ValueError:
            raise FieldError(
                f"{cls.__name__}.{schema.pk.name}={shown(pk)} does not convert to {schema.pk.codec.kind}"
            ) from None
        return key

    def _assign(self, origin: Origin) -> None:
        """The object is to be saved there. Raises ForeignKeyViolation if a related object is in another database."""
        state = state_of(self)
        if state.related:
            self._check_related(origin.database)
        state.stored_in(origin)

    def _database_for_saving(self, using: Database | None) -> Database:
        if self.__schema__ is None:
            self._schema()
        state = state_of(self)
        database = (state.database if using is None else None) or self._database_for(using)
        if state.related:
            self._check_related(database)
        return database

    def _check_related(self, database: Any) -> None:
        """Raises ForeignKeyViolation if an object that this one is to refer to is in another database."""
        for declaration in self.__declarations__:
            type(self).__dict__[declaration.name].check_cached(self, database)

    def _refuse_passing_by(self, own: str, missing: str) -> NoReturn:
        name = type(self).__name__
        raise OrmisError(
            f"{name} overrides {own}() and not {missing}(), so this call would pass by it: override {missing}() as well"
        )

    def _saved(self, origin: Origin) -> Self:
        state_of(self).stored_in(origin)
        return self

    def _own_key(self) -> Any:
        if self.pk is None:
            raise self.DoesNotExist(f"{self!r} is not saved yet, it has no key")
        return self.pk

    def _expiry(self, ttl: int | None) -> Operation[None]:
        pk = self._own_key()
        (count,) = yield from commit([expiring.expiry(self._schema(), [pk], ttl)])
        if not count:
            raise self.DoesNotExist(f"{self.key} is not in the database (any more): it has no end to be set")


# A model without relations is made by pydantic-core alone; `complete` says otherwise of those with.
Model.__init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # pyright: ignore[reportFunctionMemberAccess]
Model.objects = DefaultManager()
Model.__reserved__ = frozenset(name for name in dir(Model) if name not in dir(BaseModel)) - {"id"} - HIDEABLE
