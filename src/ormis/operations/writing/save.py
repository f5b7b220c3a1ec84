"""save(): the mutation of an object, and its state after the commit.

One call of the script `commit`: the object's hash, its indexes, unique claims and the existence of referenced objects.
Arithmetic that the server can't do exactly takes one call more: the first says what there is to compute with.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import partial
from itertools import chain
from typing import Any, ClassVar, Literal, Protocol

from ... import signals
from ...calls import Operation, Origin
from ...errors import FieldError, IntegrityError, reason, shown
from ...planning.assigned import assigned
from ...planning.part_changes import json_change
from ...query.expressions import Arithmetic, Expression, F, Value
from ...records.hydration import validated
from ...records.state import PENDING, UNKNOWN, State, Text, state_of
from ...schema.options import milliseconds
from ...schema.schema import Column, Schema
from ...storage.codecs import BadText
from ...storage.keys import object_key
from ..reading.get import bad_text
from .auto_now import set_times
from .client_arithmetic import commit_computing
from .fast_commit import fast_count, fast_insert, fast_update
from .hooks import Occasion, after_save, before_save, watches_saves
from .kinds import rows_of_kinds
from .mutations import Mutation, commit

_NUMBERS: dict[str, Callable[[Any], Any]] = {"int": int, "float": float, "decimal": Decimal}


@dataclass(frozen=True, slots=True)
class OnConflict:
    """On a conflict over one of the constraints `on`, update these columns of the existing object."""

    positions: list[int]
    on: list[str]


When = Literal["ignore"] | OnConflict | None
Convert = Callable[[str, Any], Any]
"""Validates a value of the field of this name; raises ValueError if it does not fit."""


class Record(Protocol):
    """An object as saving sees it: its `__dict__` holds the fields."""

    __schema__: ClassVar[Any]


def save(
    record: Record,
    update_fields: Iterable[str] | None = None,
    force_insert: bool = False,
    force_update: bool = False,
    if_unchanged: bool = False,
    ttl: float | timedelta | None = None,
    origin: Origin | None = None,
    method: str = "save",
) -> Operation[None]:
    """Stores the record: a new one is inserted, of a stored one the changed fields are written.

    method: what the application has called, see hooks.py.
    Raises DoesNotExist, UniqueViolation, ForeignKeyViolation, ConflictError, FieldError, StoredDataError.
    """
    occasion: Occasion | None = None
    if (record.__schema__.hooks is not None or signals.listening) and watches_saves(type(record)):
        fields = None if update_fields is None else _names(record.__schema__, update_fields)
        update_fields = fields
        if fields is None or fields:  # else nothing is saved
            occasion = Occasion(method, origin or state_of(record).origin, fields)
            yield from before_save([record], occasion)
    mutation = mutation_for(record, update_fields, force_insert, force_update, if_unchanged)
    if ttl is not None:
        mutation.ttl = milliseconds(ttl)
    (result,) = yield from (commit if mutation.computed is None else commit_computing)([mutation])
    if occasion is not None:
        if occasion.origin is not None:
            state_of(record).stored_in(occasion.origin)
        yield from after_save([record], mutation.creates(result), occasion)


def mutation_for(
    record: Record,
    update_fields: Iterable[str] | None = None,
    force_insert: bool = False,
    force_update: bool = False,
    if_unchanged: bool = False,
    when: When = None,
) -> Mutation:
    """The mutation that saves this record."""
    schema, state = record.__schema__, state_of(record)
    only = None if update_fields is None else _columns(schema, update_fields)
    if force_insert and (force_update or only is not None):
        raise ValueError("force_insert excludes force_update and update_fields")
    if (state.saved or force_update or only is not None) and not force_insert:
        return _update(record, schema, state, only, if_unchanged)
    return _insert(record, force_insert, when)


def _columns(schema: Schema, names: Iterable[str]) -> list[Column]:
    columns = {*schema.columns_of(names, "save(update_fields=...)")}
    if schema.pk in columns:
        raise FieldError(f"{schema.name}.{schema.pk.name} is the primary key: it can't be among update_fields")
    return sorted(columns, key=lambda column: column.position)


def _names(schema: Schema, names: Iterable[str]) -> frozenset[str]:
    return frozenset(column.name for column in _columns(schema, names))


def _insert(record: Record, force: bool, when: When) -> Mutation:
    mutation = insertion([record], when)
    if not (force or when or mutation.arguments[1][0] is None):
        mutation.code = "save"
    return mutation


def insertion(records: Sequence[Record], when: When = None) -> Mutation:
    """The mutation that inserts new records of one model.

    when: the treatment of a row in conflict with an object: refused, "ignore", or an update of that object.
    """
    schema = records[0].__schema__
    if schema.kinds:
        rows, whole = rows_of_kinds(records, _rows)
    else:
        rows = whole = _rows(schema, records)

    def on_result(pks: list[Any]) -> None:
        counted = schema.pk.codec.decode
        for record, texts, pk in zip(records, rows, pks, strict=False):  # true follows if a save has replaced an object
            if pk is False:
                continue
            if texts[0] is None or when:
                vars(record)[schema.pk.name] = counted(pk.encode())
            known = [pk, *texts[1:]]
            if isinstance(when, OnConflict):  # the other fields of the existing object are unknown
                written = (1, *when.positions)
                pairs = zip(record.__schema__.own, known, strict=True)
                known = [text if column.position in written else UNKNOWN for column, text in pairs]
            state_of(record).mark_all_stored(known)

    arguments: list[Any] = [len(rows), [*chain.from_iterable(whole)]]
    if when:  # which of them are stored can't be foreseen
        none = [False] * len(rows)
        arguments.append(_packed(when))
        on_commit = Mutation(
            schema, "insert", arguments, on_result, predicted_result=none, on_commit=on_result, records=records
        )
        on_commit.ttl = schema.ttl
        return on_commit
    fast = fast_insert(schema.stored, whole)
    return Mutation(schema, "insert", arguments, on_result, fast=fast, ttl=schema.ttl, records=records)


def _packed(when: When) -> Any:
    return {"positions": when.positions, "on": dict.fromkeys(when.on, True)} if isinstance(when, OnConflict) else when


def _rows(schema: Schema, records: Sequence[Record]) -> Sequence[Sequence[Text | None]]:
    if schema.auto_now_add:
        set_times(records, schema.auto_now_add)
    return rows_of(schema, records)


def rows_of(schema: Schema, records: Sequence[Record]) -> Sequence[Sequence[Text | None]]:
    """The texts of new records; those of many column by column, which takes two thirds of the time."""
    if len(records) > 1:
        values = [vars(record) for record in records]
        with suppress(ValueError, TypeError, AttributeError, LookupError):  # the other way says which
            columns = [
                [None if (value := own[name]) is None else write(value) for own in values]
                for name, write in schema.writers
            ]
            keyed = schema.automatic or all(columns[0])
            if keyed and not any(None in columns[i] for i in schema.required):
                return [*zip(*columns, strict=True)]
    return [row_of(schema, record) for record in records]


def row_of(schema: Schema, record: Record) -> list[Text | None]:
    """The texts of a new record, the primary key first. Raises IntegrityError, FieldError."""
    values = vars(record)
    try:
        texts = [None if (value := values[name]) is None else write(value) for name, write in schema.writers]
    except (ValueError, TypeError, AttributeError, LookupError):
        texts = [encode(schema, column, _value(schema, column, values)) for column in schema.own]
    if None in texts[1:]:
        for i in schema.required:
            if texts[i] is None:
                raise _null(schema, schema.own[i])
    if not texts[0]:
        _check_key(schema, texts[0])
    return texts


def _value(schema: Schema, column: Column, values: Mapping[str, Any]) -> Any:
    try:
        return values[column.name]
    except KeyError:
        raise FieldError(
            f"{schema.name}.{column.name} has no value: the object was made past validation without one; assign it"
        ) from None


def _null(schema: Schema, column: Column) -> IntegrityError:
    return IntegrityError(
        f"{schema.name}.{column.name}=None can't be stored: the type of the field takes no None, so it could not be "
        f"read again",
        model=schema.name,
        field=column.name,
    )


def _check_key(schema: Schema, text: Text | None) -> None:
    name = f"{schema.name}.{schema.pk.name}"
    if text is None and not schema.automatic:
        raise IntegrityError(
            f"{name} is the primary key and has no value; give it one before save()",
            model=schema.name,
            field=schema.pk.name,
        )
    if text is not None:
        raise IntegrityError(f"{name}='': an empty text is no primary key", model=schema.name, field=schema.pk.name)


def _update(  # noqa: C901 - the hot path of save(): every call that a split would add is measurable
    record: Record, schema: Schema, state: State, only: Collection[Column] | None, if_unchanged: bool
) -> Mutation:
    values = vars(record)
    pk = values[schema.pk.name]
    if pk is None:
        raise schema.does_not_exist(
            f"{schema.name} is not saved yet: save() without update_fields and force_update first"
        )
    changes: list[Any] = []
    sums: list[Any] = []
    written: list[tuple[Column, Any, Text | None]] = []
    summed: dict[Column, Expression] = {}
    computed: dict[Column, Expression] = {}
    loaded: list[Any] = []
    if schema.auto_now:
        set_times([record], [one for one in schema.auto_now if only is None or one in only])
    for column in _candidates(schema, state, values) if only is None else only:
        try:
            value = values[column.name]
        except KeyError:  # it was not loaded, so it has not changed
            continue
        if isinstance(value, Expression):
            computed[column] = assigned(schema, column.name, value)
            sums += sum_of(schema, column, computed[column])
            summed[column] = value
            continue
        text, before = encode(schema, column, value), state.text(column)
        if text == before and only is None and state.saved:
            continue
        changes += (column.position, False if text is None else text)
        written.append((column, value, text))
        if state.saved and before is not UNKNOWN and column.auto is None:  # a time is based on nothing that was loaded
            loaded += (column.position, False if before is None else before)

    if schema.kinds and not state.saved and only is None:  # it may be of another class: nothing of that is left
        changes += (item for position in schema.others for item in (position, False))

    def on_result(result: Any) -> None:
        for column, value, text in written:
            state.mark_stored(schema, column, value, text)
        texts = [None if text is False else text for text in result] if summed else ()
        for column, text in zip(summed, texts, strict=True):
            if text is PENDING:  # a copy: the same expression may be assigned once more
                summed[column] = copy(summed[column])
            values[column.name] = summed[column] if text is PENDING else _decoded(column, text)
            state.mark_stored(schema, column, values[column.name], text)
        if not state.saved:
            state.mark_stored(schema, schema.pk, pk, _text(schema.pk, pk))

    expected = loaded if if_unchanged else []
    more = [expected, sums] if expected or sums else []
    changed = (*changes[::2], *sums[::7])
    own, stored = _text(schema.pk, pk), schema.stored
    fast = fast_count(stored, own, expected, changes, sums) if more else fast_update(stored, own, changes)
    mutation = Mutation(schema, "update", [own, changes, *more], on_result, changed=changed, fast=fast, ttl=schema.ttl)
    mutation.records, mutation.loaded = (record,), loaded
    if summed:
        mutation.predicted_result = [PENDING] * len(summed)
        mutation.on_commit = partial(_take_late_result, record, state, summed)
        mutation.computed = partial(compute, schema, computed, partial(validated, record))
    return mutation


def _candidates(schema: Schema, state: State, values: dict[str, Any]) -> Sequence[Column]:
    """The columns that may have changed. A value that is the same Python object as the stored one has not."""
    if not state.saved:
        return schema.own[1:]
    return [
        column
        for column, seen in zip(schema.own[1:], state.seen[1:], strict=True)
        if column.mutable or values.get(column.name, seen) is not seen
    ]


def _take_late_result(record: Record, state: State, summed: dict[Column, Expression], texts: Any) -> None:
    """Takes the sums of a mutation that was part of a block, where nothing came after them there."""
    schema, values = record.__schema__, vars(record)
    found = [None if text is False else text for text in texts]
    for (column, expression), text in zip(summed.items(), found, strict=True):
        value = _decoded(column, text)
        if values[column.name] is expression:
            values[column.name] = value
        if state.seen[column.place] is expression:
            state.mark_stored(schema, column, value, text)


def _decoded(column: Column, text: Text | None) -> Any:
    return None if text is None else column.codec.decode(_bytes(text))


def _stored(schema: Schema, pk: str, column: Column, text: str | None) -> Any:
    try:
        return _decoded(column, text)
    except ValueError:
        bad = BadText(0, column.name, text or "", column.codec.kind)
        raise bad_text(bad, schema, object_key(schema.key, pk)) from None


def _text(column: Column, value: Any) -> Text:
    return column.codec.encode(value)


def encode(schema: Schema, column: Column, value: Any) -> Text | None:
    """The stored text of a field's value.

    Raises FieldError if it has none: a text with half a surrogate pair, a NaN that an index should hold; and
    IntegrityError for None in a field that must have a value.
    """
    if value is None:
        if not column.nullable and column is not schema.pk:
            raise _null(schema, column)
        return None
    if isinstance(value, Expression):
        raise FieldError(
            f"{schema.name}.{column.name}={value}: an expression is computed from stored values, and "
            f"nothing is stored yet"
        )
    try:
        return column.write(value)
    except ValueError as error:
        raise FieldError(f"{schema.name}.{column.name}={shown(value)} can't be stored: {error}") from None
    except (TypeError, AttributeError, LookupError):  # it came past validation, or is a default, which passes by it
        text = _text_of_equal(column, value)
        if text is not None:
            return text
        raise FieldError(
            f"{schema.name}.{column.name}={shown(value)} can't be stored: it is no {column.codec.kind}"
        ) from None


def _text_of_equal(column: Column, value: Any) -> Text | None:
    """The text of the equal value of the right type, 0.0 for the default 0 of a float; None if there is none."""
    with suppress(ValueError, TypeError, AttributeError, LookupError):
        converted = column.convert(value)
        if converted == value:
            return column.write(converted)
    return None


def sum_of(schema: Schema, column: Column, value: Expression) -> list[Any]:
    """An expression as the script adds it up; one that it can't (operator '') makes it answer `inexact`.

    It can't where the field has constraints that are no plain bounds: results are held to these here.
    """
    bounds = column.bounds
    if column.codec.kind == "json":
        change = json_change(column, value)
        if change is not None:
            absent = ("absent",) if column.nullable else ()
            return [column.position, "json", change[0], column.position, 0, change[1], absent]
    if (
        bounds is not None
        and isinstance(value, Arithmetic)
        and value.operator in "+-*"
        and isinstance(value.left, F)
        and isinstance(value.right, F | Value)
        and column.codec.traits.arithmetic
        and (left := schema.column(value.left.name)).codec.traits.arithmetic
    ):
        if isinstance(value.right, F):
            right = schema.column(value.right.name)
            if left.codec.kind == right.codec.kind == column.codec.kind and right.codec.traits.arithmetic:
                return [column.position, column.codec.kind, value.operator, left.position, right.position, "", bounds]
        elif left.codec.kind == column.codec.kind and _plain(column.codec.kind, value.right.value):
            text = column.codec.encode(_NUMBERS[column.codec.kind](value.right.value))
            return [column.position, column.codec.kind, value.operator, left.position, 0, text, bounds]
    read = [schema.column(name).position for name in value.names()]
    return [column.position, column.codec.kind, "", column.position, 0, read, ()]


def _plain(kind: str, value: Any) -> bool:
    exact = {"int": int, "float": (int, float), "decimal": object}[kind]
    if isinstance(value, bool) or not isinstance(value, exact):
        return False
    return kind != "decimal" or type(value).__name__ in ("int", "Decimal")


def compute(
    schema: Schema,
    expressions: Mapping[Column, Expression],
    convert: Convert,
    refused: Mutation,
    texts: Mapping[int, Any],
) -> Mutation:
    """The mutation that writes the values of these expressions, on condition that their operands have not changed.

    texts: the stored texts, text|False by position.
    """
    read = sorted({schema.column(name) for e in expressions.values() for name in e.names()}, key=lambda c: c.position)
    pk, changes, expected, _sums = refused.arguments
    before = {column: None if (text := texts[column.position]) is False else text for column in read}
    stored = {column.name: _stored(schema, pk, column, text) for column, text in before.items()}
    computed = {column: text_of_result(schema, column, e, convert, stored) for column, e in expressions.items()}

    def on_result(result: Any) -> None:
        if refused.on_result is not None:
            refused.on_result(result is not False and list(computed.values()))

    still = _positioned(before.items())
    arguments = [pk, [*changes, *_positioned(computed.items())], [*expected, *still], []]
    return Mutation(schema, refused.code, arguments, on_result, ttl=refused.ttl)


def _positioned(pairs: Iterable[tuple[Column, Text | None]]) -> list[Any]:
    return [item for column, text in pairs for item in (column.position, False if text is None else text)]


def _bytes(text: Text) -> bytes:
    return text.encode() if isinstance(text, str) else text


def text_of_result(
    schema: Schema, column: Column, value: Expression, convert: Convert, stored: Mapping[str, Any]
) -> Text | None:
    """The text of the value of an expression for an object with these stored texts.

    Raises IntegrityError where that is null and must not be, or does not fit the field.
    """
    try:
        result = value.result({name: stored[schema.column(name).name] for name in value.names()})
    except (TypeError, ValueError, ArithmeticError) as error:
        raise IntegrityError(
            f"{schema.name}.{column.name}: {value} can't be computed: {error}", model=schema.name, field=column.name
        ) from None
    if result is None and not column.nullable:
        raise IntegrityError(
            f"{schema.name}.{column.name} can't be null: {value}", model=schema.name, field=column.name
        )
    try:
        converted = None if result is None else convert(column.name, result)
    except ValueError as error:
        raise IntegrityError(
            f"{schema.name}.{column.name}={result!r} does not fit: {reason(error)}",
            model=schema.name,
            field=column.name,
            value=result,
        ) from None
    return encode(schema, column, converted)
