"""The manager of a many-to-many relation whose links are kept in a set on each side."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from ..calls import Operation, Origin
from ..operations.writing import get_or_create as making
from ..operations.writing import links as linking
from ..operations.writing.creation import RelatedLink
from ..records.state import state_of
from .link_signals import Action, LinkSignals
from .related import Adding, RelatedManager

M = TypeVar("M")


class LinkManager(RelatedManager[M]):
    """The objects that one object is linked to; the links are kept in a set on each side."""

    def create(self, *, through_defaults: Mapping[str, Any] | None = None, **values: Any) -> M:
        """Makes an object, stores it and links it. One call; two with a through model."""
        if self._in_steps:
            with self._database.atomic():
                created = super().create(**values)
                self.add(created, through_defaults=through_defaults)
            return created
        record: Any = self._new(values)
        origin = self._origin()
        self._run(self._create_linked(record, origin, through_defaults))
        return record._saved(origin)

    async def acreate(self, *, through_defaults: Mapping[str, Any] | None = None, **values: Any) -> M:
        """As create()."""
        if self._in_steps:
            async with self._database.atomic():
                created = await super().acreate(**values)
                await self.aadd(created, through_defaults=through_defaults)
            return created
        record: Any = self._new(values)
        origin = self._origin(asynchronous=True)
        await self._arun(self._create_linked(record, origin, through_defaults))
        return record._saved(origin)

    def get_or_create(
        self,
        defaults: Mapping[str, Any] | None = None,
        *,
        through_defaults: Mapping[str, Any] | None = None,
        **lookups: Any,
    ) -> tuple[M, bool]:
        """The one linked object that meets the lookups, or a new one, which is linked. One call."""
        return self._run(self._obtained(making.get_or_create, self._origin(), (defaults,), lookups, through_defaults))

    async def aget_or_create(
        self,
        defaults: Mapping[str, Any] | None = None,
        *,
        through_defaults: Mapping[str, Any] | None = None,
        **lookups: Any,
    ) -> tuple[M, bool]:
        """As get_or_create()."""
        return await self._arun(
            self._obtained(
                making.get_or_create, self._origin(asynchronous=True), (defaults,), lookups, through_defaults
            )
        )

    def update_or_create(
        self,
        defaults: Mapping[str, Any] | None = None,
        create_defaults: Mapping[str, Any] | None = None,
        *,
        through_defaults: Mapping[str, Any] | None = None,
        **lookups: Any,
    ) -> tuple[M, bool]:
        """The one linked object that meets the lookups, changed, or a new one, which is linked."""
        given = (defaults, create_defaults)
        return self._run(self._obtained(making.update_or_create, self._origin(), given, lookups, through_defaults))

    async def aupdate_or_create(
        self,
        defaults: Mapping[str, Any] | None = None,
        create_defaults: Mapping[str, Any] | None = None,
        *,
        through_defaults: Mapping[str, Any] | None = None,
        **lookups: Any,
    ) -> tuple[M, bool]:
        """As update_or_create()."""
        given = (defaults, create_defaults)
        return await self._arun(
            self._obtained(making.update_or_create, self._origin(asynchronous=True), given, lookups, through_defaults)
        )

    def _obtained(
        self,
        obtain: Callable[..., Operation[tuple[Any, bool]]],
        origin: Origin,
        given: tuple[Any, ...],
        lookups: Mapping[str, Any],
        defaults: Mapping[str, Any] | None,
    ) -> Operation[tuple[Any, bool]]:
        belonging = self._belonging(defaults)
        return (yield from obtain(self._queryset(), origin, *given, lookups, belonging))

    def _belonging(self, defaults: Mapping[str, Any] | None) -> RelatedLink:
        self._refuse_defaults(defaults)
        if self._in_steps:
            return RelatedLink(after=lambda record: self._add([record], None))
        return RelatedLink(link=self._end.adding(None))

    @property
    def _signals(self) -> LinkSignals:
        return LinkSignals(self._relation, self._record)

    @property
    def _in_steps(self) -> bool:
        """True if a new object is stored first and linked then: by its own save(), or with receivers of the link."""
        return self.model.__own_save__ or self._signals.heard

    def _new(self, values: dict[str, Any]) -> Any:
        return self.model(**values)

    def _create_linked(self, record: Any, origin: Origin, defaults: Mapping[str, Any] | None) -> Operation[None]:
        self._refuse_defaults(defaults)
        return linking.create(record, self._end, origin)

    @property
    def _end(self) -> linking.LinkEnd:
        schema = self._relation.owner._schema()
        return linking.LinkEnd(
            schema, self._relation.link, schema.pk.codec.encode(self._record.pk), self._database.limits
        )

    def _narrowing(self) -> dict[str, Any]:
        return {self._relation.link.back_query_name: self._record.pk}

    def _texts(self, objects: Iterable[Any]) -> list[str]:
        relation, record, model = self._relation, self._record, self._relation.model
        pk, database = model._schema().pk, state_of(record).database
        name, encode = pk.name, pk.codec.encode
        texts: list[str] = []
        for value in objects:
            # The commonest objects without a call of a function each: three times as fast.
            if type(value) is model and state_of(value).database is database and value.__dict__[name] is not None:
                texts.append(encode(value.__dict__[name]))
            else:
                texts.append(encode(relation.key_of(record, value)))
        return texts

    def _add(self, objects: Iterable[Any], defaults: Mapping[str, Any] | None) -> Operation[None]:
        self._refuse_defaults(defaults)
        texts, signals = self._texts(objects), self._signals
        change = linking.change(self._end, texts, ())
        if not (texts and signals.heard):
            yield from change
            return
        present = yield from linking.linked(self._end)
        yield from signals.around("add", [("add", self._keys_of(t for t in texts if t not in present))], change)

    def _remove(self, objects: Iterable[Any]) -> Operation[None]:
        texts = self._texts(objects)
        actions: list[Action] = [("remove", self._keys_of(texts))] if texts else []
        return self._signals.around("remove", actions, linking.change(self._end, (), texts))

    def _clear(self) -> Operation[None]:
        return self._signals.around("clear", [("clear", None)], linking.replace(self._end, (), clear=True))

    def _set(
        self,
        objects: Sequence[Any],
        clear: bool,
        defaults: Mapping[str, Any] | None,
        add: Adding,  # noqa: ARG002 - links in sets are removed and added by the same commits
    ) -> Operation[None]:
        self._refuse_defaults(defaults)
        texts, signals, actions = self._texts(objects), self._signals, list[Action]()
        if signals.heard:
            present = yield from linking.linked(self._end)
            gone = present.difference(texts)
            if clear or gone:
                actions.append(("clear", None) if clear else ("remove", self._keys_of(gone)))
            new = [text for text in texts if clear or text not in present]
            actions += [("add", self._keys_of(new))] if new else []
        yield from signals.around("set", actions, linking.replace(self._end, texts, clear=clear))

    def _keys_of(self, texts: Iterable[str]) -> list[Any]:
        decode = self._relation.model._schema().pk.codec.decode
        return [decode(text.encode()) for text in texts]

    def _refuse_defaults(self, defaults: Mapping[str, Any] | None) -> None:
        if defaults is not None:
            raise TypeError(f"{self._relation.label}: through_defaults is for relations with a through model")
