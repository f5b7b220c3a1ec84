"""Objects as lines of JSON, as Django writes them: {"model": ..., "pk": ..., "fields": {...}}.

Beside these keys a line may have "expires", the time when the object ends, and "other", the texts of fields of the hash
that the model does not declare. Lines of links come behind all objects: {"model": ..., "pk": ..., "links": {...}}.
The first line and the last one are notes: {"ormis": ...}.

    stored                      JSON
    int, bool, finite float     a number, true or false
    lists, dicts, models        as they are
    bytes                       a text in base64
    all others                  the stored text
"""

from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from math import isfinite
from typing import Any, BinaryIO, cast

import msgspec

from ...errors import OrmisError, shown
from ...schema import registry
from ...schema.schema import KIND, Column, Link, Reference, Schema
from ...storage.codecs import Text
from ..upkeep.stored import Stored
from .entries import BY_MODEL, Entry
from .natural import Names, named_references, natural_columns

_encode_lines = msgspec.json.Encoder().encode_lines
_raw = msgspec.Raw
VERSION = 1


class JsonLines:
    """Writes objects to a file as lines of JSON.

    Texts that do not convert to the type of their field are written as they are, and handed to `unfit`: key, field.
    """

    def __init__(self, file: BinaryIO, natural: bool, unfit: Callable[[Schema, str, str], None]) -> None:
        self._file = file
        self._natural = natural
        self._unfit = unfit

    def begin(self, models: Sequence[str]) -> None:
        """Writes the first line."""
        self._write([{"ormis": {"dump": VERSION, "models": models}}])

    def objects(self, schema: Schema, rows: Sequence[Stored], names: Names) -> None:
        """Writes objects. names: the natural keys of those that they refer to."""
        keyed = not (self._natural and schema.automatic and natural_columns(schema))
        named = named_references(schema) if self._natural else ()
        now, converters_of, lines = datetime.now(UTC), _converters_of(schema), list[dict[str, Any]]()
        for row in rows:
            converters = converters_of(row.texts)
            fields = self._fields(schema, row, converters)
            for reference, target in named:
                _name(fields, reference, target, names.get((target.key, str(row.texts.get(reference.column.name)))))
            line: dict[str, Any] = {"model": schema.key}
            if keyed:
                line["pk"] = _value(schema.pk, row.pk)
            line["fields"] = fields
            if not row.texts.keys() <= schema.by_name.keys():
                others = row.texts.keys() - schema.by_name.keys()
                line["other"] = {name: _shown(row.texts[name]) for name in sorted(others)}
            if row.left is not None:
                line["expires"] = (now + timedelta(seconds=row.lives())).isoformat(timespec="milliseconds")
            elif schema.expires:
                line["expires"] = None
            lines.append(line)
        self._write(lines)

    def _fields(self, schema: Schema, row: Stored, converters: "Sequence[Converter]") -> dict[str, Any]:
        fields: dict[str, Any] = {}
        get = row.texts.get
        for name, attribute, nullable, convert in converters:
            text = get(name)
            if text is not None:
                try:
                    fields[attribute] = convert(text)
                except (ValueError, LookupError):
                    fields[attribute] = _shown(text)
                    self._unfit(schema, row.pk, name)
            elif nullable:
                fields[attribute] = None
        return fields

    def links(self, schema: Schema, link: Link, target: Schema, rows: Sequence[Stored]) -> None:
        """Writes the links of objects."""
        self._write(
            {
                "model": schema.key,
                "pk": _value(schema.pk, row.pk),
                "links": {link.name: [_value(target.pk, other) for other in sorted(row.others)]},
            }
            for row in rows
            if row.others
        )

    def end(self, counts: Mapping[str, int], links: int) -> None:
        """Writes the last line, by which a reader knows that the file is whole."""
        self._write([{"ormis": {"end": counts, "links": links}}])

    def _write(self, lines: Iterable[Mapping[str, Any]]) -> None:
        self._file.write(_encode_lines(lines))


def _name(fields: dict[str, Any], reference: Reference, target: Schema, name: Sequence[Text | None] | None) -> None:
    """Puts the natural key of an object in the place of its key."""
    if name and None not in name:
        columns = natural_columns(target)
        fields[reference.name] = [_value(column, text) for column, text in zip(columns, name, strict=True)]


# Stored texts to JSON ------------------------------------------------------------------------------------------------


Converter = tuple[str, str, bool, Callable[[Text], Any]]


@cache
def _converters_of(schema: Schema) -> Callable[[Mapping[str, Text]], list[Converter]]:
    """A function from the texts of an object to the converters of its class."""
    if not schema.kinds:
        converters = _converters(schema)
        return lambda _: converters
    of_kinds = {model.__kind__: _converters(model.__schema__) for model in registry.loaded_as(schema)}
    first = of_kinds[schema.kinds[0]]
    return lambda texts: of_kinds.get(str(texts.get(KIND)), first)


def _converters(schema: Schema) -> list[Converter]:
    """Of each column but the key: its name, that in the file, whether None is written, the function to JSON."""
    attributes = {reference.column: reference.name for reference in schema.references}
    return [
        (column.name, attributes.get(column, column.name), column.nullable, _converter(column))
        for column in schema.own[1:]
    ]


def _converter(column: Column) -> Callable[[Text], Any]:
    return _CONVERTERS.get(column.codec.kind) or _plain(column)


def _value(column: Column, text: Text | None) -> Any:
    """The JSON of a stored text."""
    try:
        return None if text is None else _converter(column)(text)
    except ValueError:
        return _shown(text or "")


def _plain(column: Column) -> Callable[[Text], str]:
    read = column.codec.read

    def convert(text: Text) -> str:
        plain = _as_it_is(text)
        read(plain.encode())
        return plain

    return convert


def _as_it_is(text: Text) -> str:
    return text if isinstance(text, str) else text.decode()


def _number(text: Text) -> Any:
    value = int(text)
    if f"{value}" != text:
        raise ValueError(text)
    return value if len(text) < 19 else _raw(_bytes(text))  # the encoder takes 64 bits


def _float(text: Text) -> Any:
    value = float(text)
    return value if isfinite(value) else text


def _bool(text: Text) -> bool:
    return _BOOLS[text]  # type: ignore[index]


_BOOLS = {"1": True, "0": False}


def _base64(text: Text) -> str:
    return b64encode(_bytes(text)).decode()


def _bytes(text: Text) -> bytes:
    return text.encode() if isinstance(text, str) else text


def _json(text: Text) -> Any:
    data = _bytes(text)
    msgspec.json.decode(data)
    return _raw(msgspec.json.format(data, indent=-1) if b"\n" in data or b"\r" in data else data)


def _shown(text: Text) -> str:
    return text if isinstance(text, str) else text.decode("utf-8", "backslashreplace")


_CONVERTERS: dict[str, Callable[[Text], Any]] = {
    "text": _as_it_is,
    "int": _number,
    "float": _float,
    "bool": _bool,
    "bytes": _base64,
    "json": _json,
}


# Reading -------------------------------------------------------------------------------------------------------------


class JsonReader:
    """The entries of a file of JSON lines: of a dump, of Django's, or of plain objects of one model.

    A file that is one JSON list, as Django's fixtures are, is read as a whole.
    """

    def __init__(self, file: BinaryIO, skip: int = 0) -> None:
        self._file = file
        self._skip = skip
        self._whole: bool | None = None

    def __iter__(self) -> Iterator[Entry]:
        """Raises OrmisError for a line that is no JSON object, and for a dump whose last line is missing."""
        for number, line in enumerate(self._file, 1):
            if number == 1 and line.lstrip()[:1] == b"[":
                yield from self._of_list(line + self._file.read())
                return
            if number > self._skip and not line.isspace():
                yield from self._of_line(f"line {number}", line)
        if self._whole is False:
            raise OrmisError('the file is cut off: its last line, {"ormis": {"end": ...}}, is missing')

    def _of_line(self, place: str, line: bytes) -> Iterable[Entry]:
        value = _decoded_line(place, line)
        if (note := value.get("ormis")) is not None and "model" not in value:
            self._whole = isinstance(note, dict) and "end" in note
            return ()
        return (_entry(place, value),)

    def _of_list(self, data: bytes) -> Iterator[Entry]:
        values = _decoded_line("the file", data, list[Any])
        for number, value in enumerate(values, 1):
            if not isinstance(value, dict):
                raise OrmisError(f"object {number} is {shown(value)}: give objects, {_FORM}")
            if number > self._skip:
                yield _entry(f"object {number}", cast(dict[str, Any], value))


_FORM = '{"model": "question", "pk": 1, "fields": {...}}'
_decode = msgspec.json.decode
_OBJECT = dict[str, Any]


def _decoded_line(place: str, data: bytes, kind: Any = _OBJECT) -> Any:
    try:
        return _decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        cut = "" if data.endswith(b"\n") else "; the file may be cut off"
        raise OrmisError(f"{place} is no JSON {'object' if kind is _OBJECT else 'list'}{cut}: {error}") from None


def _entry(place: str, value: Mapping[str, Any]) -> Entry:
    model: Any = value.get("model")
    fields: Any = value.get("fields")
    links: Any = value.get("links")
    if isinstance(model, str) and isinstance(links, dict) and fields is None:
        return Entry(place, model, value.get("pk"), links=cast(dict[str, Any], links))
    if not isinstance(model, str) or not isinstance(fields, dict):
        return Entry(place, pk=None, fields=value)  # an object of a model that is said elsewhere
    named = cast(dict[str, Any], fields)
    return Entry(place, model, value.get("pk"), named, value.get("expires", BY_MODEL), value.get("other") or {})
