"""The fields of forms and lists, made from those of a model.

A field gives the model what was typed, so that pydantic says what is wrong with it, and knows the normal form of an
entry: what was not touched in a form is the same in normal form, whatever the browser made of it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from enum import Enum
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic import AwareDatetime, NaiveDatetime
from pydantic_core import PydanticUndefined, to_jsonable_python
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette_admin import fields as base
from starlette_admin.types import RequestAction

from .anatomy import Model, columns_of, index_of, is_unique, references_of, schema_of
from .filters import filters_for, label_of

VALUE = "ormis_admin/value.html"
LINKS_SHOWN = 100
"""Linked objects that a picker of many shows; of more the others stay as they are."""


class Entry:
    """What the fields here have in common."""

    id: str
    nullable = False

    def raw(self, form: FormData) -> Any:
        """What a form holds for this field: a text, None if there is nothing."""
        return form.get(self.id)

    def normal(self, entry: Any) -> Any:
        """The normal form of an entry, as a form shows it or sends it."""
        return "" if entry is None else str(entry)

    def value(self, raw: Any) -> Any:
        """The value for the model; what does not convert as it is, so that the model refuses it."""
        return None if raw in (None, "") else raw

    def shown(self, raw: Any) -> Any:
        """What was typed, as the input shows it again."""
        return raw

    async def parse_form_data(self, request: Request, form_data: FormData) -> Any:
        """The value for the model."""
        return self.value(self.raw(form_data))


@dataclass
class Text(Entry, base.TextAreaField):
    """A text, in a box that keeps its lines."""

    list_template: str = VALUE
    rows: int = 1
    nullable: bool = False

    def normal(self, entry: Any) -> Any:
        """With one kind of line ends, without the first one, which browsers drop."""
        return ("" if entry is None else str(entry)).replace("\r\n", "\n").replace("\r", "\n").removeprefix("\n")

    def value(self, raw: Any) -> Any:
        """Lines end as in Python; nothing is None where that is allowed."""
        return None if raw is None or (raw == "" and self.nullable) else raw.replace("\r\n", "\n")


@dataclass
class Word(Entry, base.StringField):
    """A value that is written as a text: a UUID, an address, a duration."""

    list_template: str = VALUE

    async def serialize_value(self, request: Request, value: Any) -> Any:
        """As JSON has it; bytes as Python writes them."""
        plain = repr(value) if isinstance(value, bytes) else to_jsonable_python(value, fallback=str)
        return plain if isinstance(plain, str) else str(plain)


@dataclass
class Integer(Entry, base.IntegerField):
    """An integer of any size."""

    list_template: str = VALUE
    step: str | int | None = 1


@dataclass
class Number(Entry, base.DecimalField):
    """A float or a decimal."""

    list_template: str = VALUE

    async def serialize_value(self, request: Request, value: Any) -> Any:
        """All of its digits."""
        return str(value)


@dataclass
class Flag(Entry, base.BooleanField):
    """A truth value that is never absent."""

    def normal(self, entry: Any) -> Any:
        """A truth value."""
        return entry in (True, "on", "true")

    def value(self, raw: Any) -> Any:
        """A box that is not ticked is not sent."""
        return raw in ("on", "true")


@dataclass
class Choice(Entry, base.EnumField):
    """One of few values: of an enum, of a Literal, a truth value that may be absent. members: they, by their texts."""

    list_template: str = VALUE
    members: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def value(self, raw: Any) -> Any:
        """The value of a text."""
        return self.members.get(raw, raw) if raw else None

    async def serialize_value(self, request: Request, value: Any) -> Any:
        """The text in forms, else the label."""
        if request.state.action.is_form():
            return next((text for text, member in self.members.items() if member == value), str(value))
        return label_of(value)


@dataclass
class Moment(Entry, base.DateTimeField):
    """A date and time, shown in UTC if it has a zone. aware: what is typed has one."""

    list_template: str = VALUE
    aware: bool = True

    def normal(self, entry: Any) -> Any:
        """To the second, which is what the input shows."""
        parsed = _moment(entry)
        return str(entry or "") if parsed is None else parsed.replace(microsecond=0, tzinfo=None).isoformat()

    def value(self, raw: Any) -> Any:
        """In UTC, if it has a zone."""
        parsed = _moment(raw)
        if parsed is None or parsed.tzinfo is not None or not self.aware:
            return parsed or super().value(raw)
        return parsed.replace(tzinfo=UTC)

    async def serialize_value(self, request: Request, value: Any) -> str:
        """For forms without a zone, as the input takes it."""
        shown: datetime = value if value.tzinfo is None else value.astimezone(UTC)
        if request.state.action.is_form():
            return shown.replace(tzinfo=None).isoformat()
        if request.state.action == RequestAction.EXPORT:
            return value.isoformat()
        zone = "" if shown.tzinfo is None else " UTC"
        return f"{shown.replace(tzinfo=None).isoformat(sep=' ', timespec='seconds')}{zone}"


def _moment(entry: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(entry)
    except (TypeError, ValueError):
        return None


@dataclass
class Day(Entry, base.DateField):
    """A date."""

    list_template: str = VALUE

    async def serialize_value(self, request: Request, value: Any) -> str:
        """As ISO 8601 has it."""
        return value.isoformat()


@dataclass
class Clock(Entry, base.TimeField):
    """A time of day."""

    list_template: str = VALUE

    def normal(self, entry: Any) -> Any:
        """To the second, which is what the input shows."""
        try:
            return time.fromisoformat(entry).replace(microsecond=0).isoformat()
        except (TypeError, ValueError):
            return str(entry or "")

    async def serialize_value(self, request: Request, value: Any) -> str:
        """As ISO 8601 has it."""
        return value.isoformat()


@dataclass
class Nested(Entry, base.JSONField):
    """What is stored as JSON: lists, dicts, models."""

    def normal(self, entry: Any) -> Any:
        """The JSON itself; the editor shows what is empty as null."""
        return self.value(entry) or None

    def shown(self, raw: Any) -> Any:
        """What the JSON says."""
        return self.value(raw)

    def value(self, raw: Any) -> Any:
        """What the JSON says."""
        try:
            return json.loads(raw) if isinstance(raw, str) else raw
        except ValueError:
            return raw

    async def serialize_value(self, request: Request, value: Any) -> Any:
        """As JSON has it."""
        return to_jsonable_python(value, fallback=str)


@dataclass
class ToOne(Entry, base.HasOne):
    """A foreign key, as a picker of the other model. column: the column that holds it."""

    column: str = ""


@dataclass
class ToMany(Entry, base.HasMany):
    """The linked objects of a many-to-many relation, as a picker."""

    def raw(self, form: FormData) -> Any:
        """All keys."""
        return form.getlist(self.id)

    def normal(self, entry: Any) -> Any:
        """The keys as a set: they have no order."""
        return frozenset(str(key) for key in entry or ())

    def value(self, raw: Any) -> Any:
        """The keys."""
        return list(raw)

    async def parse_obj(self, request: Request, obj: Any) -> Any:
        """The first of the linked objects. One call."""
        return [record async for record in getattr(obj, self.name).all()[:LINKS_SHOWN]]


def column_fields(model: Model, keys: Mapping[str, str]) -> list[base.BaseField]:
    """The fields of a model's columns, foreign keys as pickers. keys: of the views, by the labels of their models."""
    references = references_of(model)
    return [_of_column(model, column, references.get(column.name), keys) for column in columns_of(model)]


def _of_column(model: Model, column: Any, reference: Any, keys: Mapping[str, str]) -> base.BaseField:
    schema, info = schema_of(model), model.model_fields[column.name]
    key = reference and (keys.get(reference.target) or keys.get(reference.target.partition("/")[0]))
    kind, annotation = column.codec.kind, _without_none(info.annotation)
    members = {} if reference else _members(column, annotation)
    options: dict[str, Any] = {
        "label": info.title,
        "help_text": info.description,
        "required": info.is_required() and kind != "text" and not column.nullable,
        "filters": filters_for(kind, index_of(model, column), is_unique(model, column), members),
        **_excluded(model, column, info),
    }
    if key and not reference.to_field:
        options["required"] = info.is_required()
        return ToOne(reference.name, key=key, column=column.name, **options)
    if members and (kind != "bool" or column.nullable):
        choices = [(text, label_of(value)) for text, value in members.items()]
        return Choice(column.name, members=members, choices=choices, **_default(info), **options)
    if kind == "text" and (column.exact is str or annotation is str):
        nullable = column.nullable or column is schema.pk
        return Text(column.name, rows=4 if _longest(info) > 255 else 1, nullable=nullable, **_default(info), **options)
    if kind == "datetime":
        return Moment(column.name, aware=_aware(info), **_default(info), **options)
    made: Any = _FIELDS.get(kind, Word)
    return made(column.name, **_default(info), **options)


_FIELDS = {
    "int": Integer, "float": Number, "decimal": Number, "bool": Flag, "date": Day, "time": Clock, "json": Nested,
}  # fmt: skip


def _excluded(model: Model, column: Any, info: Any) -> dict[str, Any]:
    """Where a field is not shown: in forms if writes set it, in lists if it is large."""
    schema = schema_of(model)
    given = column is schema.pk and (schema.automatic or not info.is_required())
    written = column.auto is not None or column.codec.kind == "bytes"
    return {
        "exclude_from_create": given or written,
        "exclude_from_edit": column is schema.pk or written or bool(info.frozen),
        "exclude_from_list": column.codec.kind in ("json", "bytes"),
    }


def _default(info: Any) -> dict[str, Any]:
    """The default of a field as the form for a new object shows it."""
    factory = info.default_factory
    if factory is not None:
        return {} if info.default_factory_takes_validated_data else {"default": factory}
    return {} if info.default is PydanticUndefined else {"default": info.default}


def _without_none(annotation: Any) -> Any:
    rest = [one for one in get_args(annotation) if one is not NoneType]
    return rest[0] if len(rest) == 1 and NoneType in get_args(annotation) else annotation


def _members(column: Any, annotation: Any) -> dict[str, Any]:
    """The values of an enum, of a Literal or of a truth value, by their texts; none of another type."""
    if annotation is bool:
        return {"true": True, "false": False}
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return {str(column.codec.encode(member)): member for member in annotation}
    if get_origin(annotation) is Literal:
        return {str(column.codec.encode(value)): value for value in get_args(annotation) if value is not None}
    return {}


def _longest(info: Any) -> int:
    return next((item.max_length for item in info.metadata if getattr(item, "max_length", None)), 0)


def _aware(info: Any) -> bool:
    """Whether moments of a field have a zone: as its type says, else its default, else they have."""
    annotation = _without_none(info.annotation)
    if annotation is NaiveDatetime or NaiveDatetime in info.metadata:
        return False
    if annotation is AwareDatetime or info.default_factory is None or info.default_factory_takes_validated_data:
        return not (isinstance(info.default, datetime) and info.default.tzinfo is None)
    try:
        return info.default_factory().tzinfo is not None
    except Exception:  # noqa: BLE001 - a default that needs what is not there yet
        return True
