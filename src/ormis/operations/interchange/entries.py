"""The objects of a file, whatever its format, and the stored texts that they become.

An Entry is an object as a file has it; a Row is the same as it is stored: validated by its model, defaults included.
Hooks and signals do not run.
"""

from base64 import b64decode
from binascii import Error as BadBase64
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, cast, get_args

import msgspec
from pydantic import ValidationError

from ...errors import FieldError, OrmisError, hint_for, shown
from ...schema import registry
from ...schema.schema import KIND, Column, Link, Schema
from ...storage.codecs import Text
from ..writing.auto_now import set_times
from ..writing.kinds import rows_of_kinds
from ..writing.save import row_of
from .natural import natural_columns

Name = tuple[Any, ...]
"""The values of a natural key."""


Form = Literal["json", "table", "hash"]
"""In JSON lists, dicts and models are JSON; in a table they are its texts, and in a hash bytes are as they are, too."""

BY_MODEL = "by model"
"""An object of a file that does not say when it ends."""


@dataclass(slots=True)
class Entry:
    """An object, or links of one, in a file.

    place: of it in the file, as messages name it. model: how the file names its model; empty if it does not.
    pk: the value of its key, None if there is none. fields: values by the names of fields, foreign keys, links.
    expires: when it ends, None for never; BY_MODEL: as Meta.ttl says. other: texts of fields that the model does not
    declare. links: of a line of links.
    form: how its values are written.
    """

    place: str
    model: str = ""
    pk: Any = None
    fields: Mapping[str, Any] = field(default_factory=dict[str, Any])
    expires: Any = BY_MODEL
    other: Mapping[str, str] = field(default_factory=dict[str, str])
    links: Mapping[str, Sequence[Any]] | None = None
    form: Form = "json"


@dataclass(slots=True)
class Row:
    """An object as it is stored: the texts of all columns of its model or family, that of the key first.

    ttl: milliseconds that it has to live. linked: the keys that it is linked to. stored: it is inserted.
    """

    entry: Entry
    schema: Schema
    texts: Sequence[Text | None]
    ttl: int | None
    linked: Sequence[tuple[Link, list[str]]] = ()
    stored: bool = False

    @property
    def pk(self) -> Text | None:
        """The text of its key."""
        return self.texts[0]


class Unresolved(Exception):
    """A natural key in a file names an object that is not stored yet."""

    def __init__(self, schema: Schema, name: Name) -> None:
        super().__init__(f"there is no {schema.name} {', '.join(map(shown, name))}")


class Unfit(Exception):
    """An object of a file that its model does not take; the message says why."""


class RowMaker:
    """Makes rows of the entries of one model, or of one family of models.

    renamed: the names of fields of the model, by those in the file. kind: of objects that name none.
    """

    def __init__(self, schema: Schema, renamed: Mapping[str, str], kind: str = "") -> None:
        self.schema = schema
        self._kind = kind or next(iter(schema.kinds), "")
        self._models = {model.__kind__: model for model in registry.loaded_as(schema)}
        self._renamed = renamed
        self._names = {column.name: column for column in schema.columns}
        self._references = {one.column: (one, registry.schema_for(one.target).stored) for one in schema.references}
        self._names.update({one.name: one.column for one in schema.references})
        self._links = {link.name: link for model in self._models.values() for link in model.__schema__.links}
        self._layouts: dict[tuple[Any, ...], Layout] = {}
        shown_as = {name: given for given, name in renamed.items()}
        self.given_names = [shown_as.get(column.name, column.name) for column in schema.columns]
        """The names of the columns in the file."""
        self._readers = {form: {c: _reader(c, form) for c in schema.columns} for form in get_args(Form)}

    @property
    def model(self) -> Any:
        """The model, of one that is of no family."""
        return self._models[self._kind]

    def names_in(self, entries: Iterable[Entry]) -> dict[Schema, dict[Name, None]]:
        """The natural keys that these entries name objects by, their own among them, by model."""
        found: dict[Schema, dict[Name, None]] = {}
        for entry in entries:
            with suppress(Unfit):  # the row of the entry says so
                for target, value in self._relations(entry):
                    found.setdefault(target, {})[_name_of(target, value)] = None
            own = self.own_name(entry)
            if own is not None:
                found.setdefault(self.schema, {})[own] = None
        return found

    def own_name(self, entry: Entry) -> Name | None:
        """The natural key of an entry that has no primary key; None if it has none of both."""
        columns = natural_columns(self.schema)
        if not columns or self._given_key(entry) is not None or not self.schema.automatic:
            return None
        values = [self._value(entry, column) for column in columns]
        return None if None in values else tuple(values)

    def row(self, entry: Entry, keys: Mapping[tuple[Schema, Name], str]) -> Row:
        """The row of an entry. keys: the texts of primary keys by natural key.

        Raises Unfit, Unresolved.
        """
        try:
            record = self._record(entry, keys)
            texts = self._texts(entry, record)
            links = self._layout(entry).links
            linked = [(link, self._keys(link, entry, keys)) for link in links]
        except (ValidationError, OrmisError, ValueError, TypeError) as error:
            raise Unfit(_reason(error)) from None
        ttl = record.__schema__.ttl if entry.expires is BY_MODEL else milliseconds(entry.expires)
        return Row(entry, self.schema, texts, ttl, linked)

    def _given_key(self, entry: Entry) -> Any:
        """The primary key that an entry has, beside its fields or among them."""
        name = self.schema.pk.name
        return next((v for n, v in entry.fields.items() if self._renamed.get(n, n) == name), entry.pk)

    def _record(self, entry: Entry, keys: Mapping[tuple[Schema, Name], str]) -> Any:
        layout, values = self._layout(entry), dict[str, Any]()
        for (name, read), value in zip(layout.columns, entry.fields.values(), strict=True):
            if value.__class__ is list and name in layout.foreign:
                values[name] = self._named(layout.foreign[name], value, keys)
            else:
                values[name] = value if read is None or value is None else read(value)
        for name in layout.left_out:
            del values[name]
        if entry.pk is not None:
            values[self.schema.pk.name] = _key_of(self.schema, entry.pk)
        elif layout.own_name and (pk := keys.get((self.schema, self.own_name(entry) or ()))) is not None:
            values[self.schema.pk.name] = self.schema.pk.convert(pk)
        model = self._model(entry)
        if self.schema.kinds:  # a table has the fields of all classes
            own = model.__schema__.own_names
            values = {name: value for name, value in values.items() if value is not None or name in own}
        return model(**values)

    def _layout(self, entry: Entry) -> "Layout":
        """The names of an entry: of most entries of a file the same."""
        names = (entry.form, *entry.fields)
        found = self._layouts.get(names)
        if found is None:
            found = self._layouts[names] = self._new_layout(entry)
        return found

    def _new_layout(self, entry: Entry) -> "Layout":
        columns: list[tuple[str, Callable[[Any], Any] | None]] = []
        layout = Layout(columns, own_name=bool(natural_columns(self.schema)))
        for name in entry.fields:
            column = self._names.get(self._renamed.get(name, name))
            if column is None:
                layout.links.append(self._link(name))
                layout.left_out.append(name)
                columns.append((name, None))
                continue
            columns.append((column.name, self._readers[entry.form][column]))
            if column.name == KIND and self.schema.kinds:
                layout.left_out.append(KIND)
            if column in self._references:
                layout.foreign[column.name] = self._references[column][1]
        return layout

    def _named(self, target: Schema, value: list[Any], keys: Mapping[tuple[Schema, Name], str]) -> Any:
        """The key of the object with a natural key."""
        name = _name_of(target, value)
        if (target, name) not in keys:
            raise Unresolved(target, name)
        return target.pk.convert(keys[target, name])

    def _model(self, entry: Entry) -> Any:
        kind = entry.fields.get(KIND, self._kind) if self.schema.kinds else self._kind
        if kind not in self._models:
            raise Unfit(f"{self.schema.name} has no subclass of the kind {shown(kind)}")
        return self._models[kind]

    def _value(self, entry: Entry, column: Column) -> Any:
        value = next((v for n, v in entry.fields.items() if self._renamed.get(n, n) == column.name), None)
        with suppress(ValueError, TypeError):
            read = self._readers[entry.form][column]
            return None if value is None else column.convert(value if read is None else read(value))
        return None

    def _relations(self, entry: Entry) -> Iterable[tuple[Schema, list[Any]]]:
        """The values of foreign keys and links that are natural keys, and the models that they name objects of."""
        for reference, target in self._references.values():
            value = entry.fields.get(reference.name, entry.fields.get(reference.column.name))
            if isinstance(value, list):
                yield target, value
        for link in self._layout(entry).links if self._links else ():
            target = registry.schema_for(link.target).stored
            values: Any = entry.fields.get(link.name)
            for value in cast(list[Any], values) if isinstance(values, list) else ():
                if isinstance(value, list):
                    yield target, value

    def _texts(self, entry: Entry, record: Any) -> Sequence[Text | None]:
        schema = record.__schema__
        if schema.auto_now_add:
            set_times([record], [one for one in schema.auto_now_add if one.name not in entry.fields])
        if not schema.kinds:
            return row_of(schema, record)
        return rows_of_kinds([record], lambda one, records: [row_of(one, record) for record in records])[1][0]

    def _keys(self, link: Link, entry: Entry, keys: Mapping[tuple[Schema, Name], str]) -> list[str]:
        values: Any = (entry.links or entry.fields).get(link.name) or []
        target = registry.schema_for(link.target).stored
        if not isinstance(values, list):
            raise Unfit(f"{self.schema.name}.{link.name}={shown(values)}: give a list of keys")
        texts: list[str] = []
        for value in cast(list[Any], values):
            name = _name_of(target, cast(list[Any], value)) if isinstance(value, list) else None
            if name is not None and (target, name) not in keys:
                raise Unresolved(target, name)
            texts.append(key_text(target, value) if name is None else keys[target, name])
        return texts

    def _link(self, name: str) -> Link:
        link = self._links.get(name)
        if link is None:
            raise Unfit(f"{self.schema.name} has no field {name!r}: {hint_for(name, [*self._names, *self._links])}")
        if link.through:
            raise Unfit(f"{self.schema.name}.{name} is kept by objects of {link.through}: load those")
        return link

    def linked(self, entry: Entry) -> Row:
        """The row of a line of links: its key and the keys that it is linked to. Raises Unfit, Unresolved."""
        links = [self._link(name) for name in entry.links or ()]
        pk = key_text(self.schema, entry.pk)
        return Row(entry, self.schema, [pk], None, [(link, self._keys(link, entry, {})) for link in links])


@dataclass(slots=True)
class Layout:
    """The names that an entry has: of each the column and the function that reads its value, None for as it is.

    left_out: names that are no values of the object. foreign: foreign keys, and the models that they refer to.
    own_name: the model has a natural key.
    """

    columns: list[tuple[str, Callable[[Any], Any] | None]]
    own_name: bool
    left_out: list[str] = field(default_factory=list[str])
    links: list[Link] = field(default_factory=list[Link])
    foreign: dict[str, Schema] = field(default_factory=dict[str, Schema])


def key_text(schema: Schema, value: Any) -> str:
    """The text of a primary key. Raises Unfit."""
    text = schema.pk.write(_key_of(schema, value))
    return text if isinstance(text, str) else text.decode("utf-8", "surrogateescape")


def _key_of(schema: Schema, value: Any) -> Any:
    """A primary key. Raises Unfit."""
    try:
        return _converted(schema.pk, value)
    except (ValueError, TypeError) as error:
        raise Unfit(f"{schema.name}.{schema.pk.name}={shown(value)}: {_reason(error)}") from None


def _name_of(target: Schema, value: Sequence[Any]) -> Name:
    columns = natural_columns(target)
    if len(columns) != len(value):
        given = f"{target.name} {shown([*value])}"
        raise Unfit(f"{given}: " + (f"give values of {len(columns)} fields" if columns else "it has no natural key"))
    try:
        return tuple(_converted(column, one) for column, one in zip(columns, value, strict=True))
    except (ValueError, TypeError) as error:
        raise Unfit(_reason(error)) from None


def _converted(column: Column, value: Any) -> Any:
    read = _reader(column, "json")
    return column.convert(value if read is None else read(value))


def _reader(column: Column, form: Form) -> Callable[[Any], Any] | None:
    """The function from a value in a file to one that pydantic converts; None for as it is."""
    kind, decode = column.codec.kind, column.codec.decode
    if column.exact is str:
        return None
    if kind == "bytes":
        return _from_text if form == "hash" else _from_base64
    if kind == "json" and form == "json":
        return lambda value: _decoded(decode, msgspec.json.encode(value), value)
    return lambda value: _decoded(decode, value.encode(), value) if isinstance(value, str) else value


def _decoded(decode: Callable[[bytes], Any], text: bytes, value: Any) -> Any:
    """The value of a stored text; another text is left to pydantic."""
    try:
        return decode(text)
    except ValueError:
        return value


def _from_text(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def _from_base64(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return b64decode(value, validate=True)
    except BadBase64:
        raise ValueError(f"{shown(value)} is no text in base64") from None


def milliseconds(expires: Any) -> int | None:
    """The time that an object has to live; 0 or less if it has ended."""
    if expires is None:
        return None
    try:
        end = datetime.fromisoformat(expires) if isinstance(expires, str) else expires
        left = end - datetime.now(UTC)
    except (ValueError, TypeError):
        raise Unfit(f"expires={shown(expires)} is no time with a zone: 2026-01-01T00:00:00Z") from None
    return round(1000 * left.total_seconds())


def _reason(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False)[0]
    name = ".".join(map(str, first["loc"]))
    given = "" if first["type"] == "missing" else f"={shown(first['input'])}"
    return f"{error.title}.{name}{given}: {first['msg']}" if name else f"{error.title}: {first['msg']}"


def model_named(name: str, schemas: Sequence[Schema]) -> Schema:
    """The model that a file calls so: by its key, its class, or Django's `app.model`.

    Raises FieldError for none and for several.
    """
    last = name.rpartition(".")[2].lower()
    found = [one for one in schemas if one.key == name] or [one for one in schemas if one.name.lower() == last]
    if len(found) == 1:
        return found[0]
    if found:
        raise FieldError(f"{name!r} names several models: use a key, {', '.join(one.key for one in found)}")
    raise FieldError(f"there is no model {name!r}: {hint_for(name, [schema.key for schema in schemas])}")
