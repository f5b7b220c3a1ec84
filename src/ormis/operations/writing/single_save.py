"""save() of one object by the fast path of commits: an operation of one call, which is packed here.

It does the same as `save` does, which does everything else: where an error, a hook, an expression or a constraint may
come in, single_save() returns None.
"""

from collections.abc import Sequence
from typing import Any

from ... import signals
from ...query.expressions import Expression
from ...records.state import State, Text, state_of
from ...schema.schema import Column, Schema
from .auto_now import set_times
from .fast_commit import Form, insert_form, update_form
from .hooks import watches_saves
from .mutations import CommitCall, Mutation, commit_call, deliver, results_of
from .save import Record, row_of

_ABSENT: Any = object()
_STORED = b"\x92\xa2ok\x91\xc3"
_INSERTED = b"\x92\xa2ok\x91\x91"
"""Before the packed primary key."""


class SingleUpdate:
    """The update of the changed fields of a stored object."""

    __slots__ = ("_form", "_state", "_texts", "_written", "schema")

    def __init__(
        self, schema: Schema, state: State, form: Form, key: Text, written: Sequence[tuple[Column, Any, Text]]
    ) -> None:
        self.schema = schema
        self._state = state
        self._form = form
        self._texts = (key, *form.in_order([text for _, _, text in written]))
        self._written = written

    @property
    def key(self) -> Text:
        """The text of the primary key."""
        return self._texts[0]

    def writes(self, column: Column) -> bool:
        """Returns whether this column is changed."""
        return any(own is column for own, _, _ in self._written)

    def packed(self, prefix: str, token: str, keys: tuple[str, ...] = ()) -> bytes:
        """As OneWrite."""
        return self._form.packed(prefix, self._texts, token, keys)

    def call(self) -> CommitCall:
        """As OneWrite."""
        return commit_call((self._mutation(),))

    def result(self, reply: Any) -> None:
        """Takes the reply: the object learns what is stored. Raises as commit()."""
        if reply == _STORED:
            self._on_result()
        else:
            mutations = (self._mutation(),)
            deliver(mutations, results_of(mutations, reply))

    def _mutation(self) -> Mutation:
        changes = [item for column, _, text in self._written for item in (column.position, text)]
        changed = tuple(column.position for column, _, _ in self._written)
        fast = self._form.arguments(self._texts)
        arguments = [self._texts[0], changes]
        return Mutation(self.schema, "update", arguments, self._on_result, changed=changed, fast=fast)

    def _on_result(self, _: Any = True) -> None:
        for column, value, text in self._written:
            self._state.mark_stored(self.schema, column, value, text)


class SingleInsert:
    """The insertion of a new object whose key is counted."""

    __slots__ = ("_form", "_record", "_row", "_texts", "schema")

    def __init__(self, schema: Schema, record: Any, form: Form, row: list[Text | None], texts: Sequence[Text]) -> None:
        self.schema = schema
        self._record = record
        self._form = form
        self._row = row
        self._texts = texts

    def packed(self, prefix: str, token: str, keys: tuple[str, ...] = ()) -> bytes:
        """As OneWrite."""
        return self._form.packed(prefix, self._texts, token, keys)

    def call(self) -> CommitCall:
        """As OneWrite."""
        return commit_call((self._mutation(),))

    def result(self, reply: Any) -> None:
        """Takes the reply: the object has its key. Raises as commit()."""
        if reply.__class__ is bytes and reply[:6] == _INSERTED and reply[6] & 0xE0 == 0xA0:
            self._on_result((reply[7:].decode(),))
        else:
            mutations = (self._mutation(),)
            deliver(mutations, results_of(mutations, reply))

    def _mutation(self) -> Mutation:
        fast = self._form.arguments(self._texts)
        return Mutation(self.schema, "insert", [1, self._row], self._on_result, fast=fast)

    def _on_result(self, keys: Any) -> None:
        (key,) = keys
        pk = self.schema.pk
        vars(self._record)[pk.name] = pk.codec.decode(key.encode())
        state_of(self._record).mark_all_stored([key, *self._row[1:]])


def single_save(record: Record) -> SingleUpdate | SingleInsert | None:
    """The save of this object, if the fast path can do it; else None: then the general way does, or raises."""
    schema: Schema = record.__schema__
    if (schema.hooks is not None or signals.listening) and watches_saves(type(record)):
        return None
    if schema.kinds or schema.stored is not schema:
        return None
    state = state_of(record)
    if state.saved:
        return _update(record, schema, state)
    values = vars(record)
    if values.get(schema.pk.name) is not None or not schema.plain:
        return None
    if schema.auto_now_add:
        set_times((record,), schema.auto_now_add)
    row = row_of(schema, record)
    found = insert_form(schema, row)
    return SingleInsert(schema, record, found[0], row, found[1]) if found else None


def _update(record: Record, schema: Schema, state: State) -> SingleUpdate | None:
    values = vars(record)
    seen = state.seen
    pk = values.get(schema.pk.name)
    if pk is None:
        return None
    if schema.auto_now:
        set_times((record,), schema.auto_now)
    written: list[tuple[Column, Any, Text]] = []
    for name, place, mutable, column in schema.changeable:
        value = values.get(name, _ABSENT)
        if (value is seen[place] and not mutable) or value is _ABSENT:
            continue
        if value is None or isinstance(value, Expression):
            return None
        try:
            text = column.write(value)
        except (ValueError, TypeError, AttributeError, LookupError):
            return None
        if text != state.text(column):
            written.append((column, value, text))
    form = update_form(schema, tuple([column.position for column, _, _ in written])) if written else None
    if not form:
        return None
    return SingleUpdate(schema, state, form, schema.pk.codec.encode(pk), written)
