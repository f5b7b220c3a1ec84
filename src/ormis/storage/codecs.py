"""Values and their stored texts: readable, exact, one codec for each type of field.

    encode  a validated Python value -> the stored text; ValueError for what can't be stored
    wire    the type that msgspec decodes a stored text into, while it decodes whole rows (0.2 us a row)
    read    one stored text -> the same wire value; it decides which texts can be read
    finish  a wire value -> the Python value, None where it is that already

None never comes here: an absent value is an absent field of the hash. msgspec's lenient decoding of text was checked
type by type; where it is not exact (the sign of Decimal("-0"), bytes, enums of mixed types) the wire value is the text.
`read` uses msgspec as well, so that a text is one value, or none, whichever way it is read.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from math import isfinite
from types import NoneType
from typing import Any, Literal, Union, cast, get_args, get_origin
from uuid import UUID

import msgspec
from pydantic import EmailStr, PydanticUserError, SecretBytes, SecretStr, TypeAdapter

from .annotations import is_union, members, unwrapped
from .exact import MARK
from .kinds import CANONICAL_JSON, KINDS, NUMBERS, UNORDERED_TEXT, Kind
from .nested import Nested

Text = str | bytes
_NIL = b"\xc0"
_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Codec:
    """How the values of one field are stored. `kind` names the kind of value that the scripts compare and score."""

    kind: str
    encode: Callable[[Any], Text]
    wire: Any
    read: Callable[[bytes], Any]
    finish: Callable[[Any], Any] | None = None
    variant: Kind | None = None
    nested: Nested | None = None
    """The type of values that are kept as JSON."""

    @property
    def traits(self) -> Kind:
        """The abilities of the server and the planner with its texts."""
        return self.variant or KINDS[self.kind]

    def decode(self, text: bytes) -> Any:
        """The Python value of a stored text. ValueError where it is none."""
        wire = self.read(text)
        return wire if self.finish is None else self.finish(wire)


class BadText(ValueError):
    """A stored text that does not convert: where it stands and what was expected."""

    def __init__(self, row: int, column: str, text: Text, expected: str) -> None:
        super().__init__(f"{column}: {text!r} is no {expected}")
        self.row = row
        self.column = column
        self.text = text
        self.expected = expected


# Plain types ---------------------------------------------------------------------------------------------------------


def _text(value: str) -> str:
    if not str.isascii(value):
        str.encode(value)  # half a surrogate pair has no UTF-8: a ValueError
    return value if value.__class__ is str else str.__str__(value)


def _utf8(text: bytes) -> str:
    return text.decode()


def _decimal(value: Decimal) -> str:
    if value.is_snan():
        raise ValueError("a signalling NaN can't be stored")
    return str(value)


def _read_decimal(text: str) -> Decimal:
    try:
        value = Decimal(_without_gaps(text))
    except ArithmeticError:
        raise ValueError(f"{text!r} is no decimal number") from None
    if value.is_snan():
        raise ValueError(f"{text!r} is a signalling NaN")
    return value


def _without_gaps(text: str) -> str:
    """The text of a number as the server reads it too: ASCII, without the spaces and underscores that Python allows."""
    if "_" in text or not text.isascii() or text != text.strip():
        raise ValueError(f"{text!r} is no number")
    return text


def _datetime(value: datetime) -> str:
    if value.tzinfo is None:
        return datetime.isoformat(value, timespec="microseconds")
    try:
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    except OverflowError:
        raise ValueError("it is outside the years 1 to 9999 in UTC") from None


def _date(value: date) -> str:
    if isinstance(value, datetime):
        raise TypeError("a datetime would lose its time")
    return date.isoformat(value)


def _timedelta(value: timedelta) -> str:
    sign = ""
    if value < timedelta(0):
        sign, value = "-", -value
    return f"{sign}P{value.days}DT{value.seconds}.{value.microseconds:06d}S"


def _raw(value: bytes) -> bytes:
    return value if value.__class__ is bytes else bytes(memoryview(value))  # bytes(3) would be three zeros


def _reader(kind: Any) -> Callable[[bytes], Any]:
    """Reads one text as msgspec does in rows."""

    def read(text: bytes) -> Any:
        return msgspec.convert(text.decode(), kind, strict=False)

    return read


def _read_time(text: bytes) -> time:
    """A time as in rows; msgspec knows no seconds in an offset, which zones before 1900 have."""
    if _OFFSET_WITH_SECONDS.fullmatch(text):
        return time.fromisoformat(text.decode())
    return msgspec.convert(text.decode(), time, strict=False)


def _read_bool(text: bytes) -> bool:
    """Only as ormis writes it: filters, indexes and keys compare the texts of bools and UUIDs."""
    if text not in (b"0", b"1"):
        raise ValueError(f"{as_text(text)!r} is no bool")
    return text == b"1"


def _read_uuid(text: bytes) -> UUID:
    """Only as ormis writes it, as with bools: in lower case, with hyphens."""
    if not _CANONICAL_UUID.fullmatch(text):
        raise ValueError(f"{as_text(text)!r} is no UUID")
    return UUID(text.decode())


_CANONICAL_UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_OFFSET_WITH_SECONDS = re.compile(rb"\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:[0-5]\d:[0-5]\d(\.\d{6})?")
_PLAIN: dict[Any, Codec] = {
    str: Codec("text", _text, str, _utf8),
    int: Codec("int", int.__repr__, int, _reader(int)),
    float: Codec("float", float.__repr__, float, _reader(float)),
    bool: Codec("bool", {True: "1", False: "0"}.__getitem__, bool, _read_bool),
    Decimal: Codec("decimal", _decimal, str, _utf8, _read_decimal),
    bytes: Codec("bytes", _raw, msgspec.Raw, bytes),
    datetime: Codec("datetime", _datetime, datetime, _reader(datetime)),
    date: Codec("date", _date, date, _reader(date)),
    time: Codec("time", lambda value: value.isoformat("microseconds"), time, _read_time),
    timedelta: Codec("timedelta", _timedelta, timedelta, _reader(timedelta)),
    UUID: Codec("uuid", UUID.__str__, UUID, _read_uuid),
}


def codec_for(annotation: Any) -> Codec:
    """The codec for the type of a field, without its `| None`.

    Raises TypeError for a type whose values can't be told apart by their texts, or not be written at all.
    """
    plain = unwrapped(annotation)
    if isinstance(plain, type) and plain in _PLAIN:
        return _PLAIN[plain]
    if isinstance(plain, type) and issubclass(plain, Enum):
        return _choice_codec({member: member.value for member in plain}, plain.__name__)
    if get_origin(plain) is Literal:
        return _choice_codec({value: value for value in get_args(plain) if value is not None}, "Literal")
    if plain in (SecretStr, SecretBytes):
        inner = _PLAIN[str if plain is SecretStr else bytes]
        return Codec(inner.kind, lambda v: inner.encode(v.get_secret_value()), inner.wire, inner.read, plain)
    if is_union(plain):
        types = members(plain) - {NoneType}
        if len(types) == 1:
            return codec_for(*types)
        if types <= _NUMBERS:
            return _numbers_codec(types)
    base = next((base for base in _BASES if issubclass(plain, base)), None) if isinstance(plain, type) else None
    return _pydantic_codec(annotation) if base is None else _subclass_codec(plain, _PLAIN[base])


def plain_type(annotation: Any) -> Any:
    """The type that values of a field are converted to in a query: without constraints, if it is a plain one."""
    plain = unwrapped(annotation)
    types = members(plain) - {NoneType} if is_union(plain) else {plain}
    if all(isinstance(kind, type) and kind in _PLAIN for kind in types):
        return cast(Any, Union)[tuple(types)]
    return annotation


# Subclasses and unions of plain types --------------------------------------------------------------------------------

_BASES = (int, float, Decimal, datetime, date, time, timedelta, UUID)
_NUMBERS = {int, float, Decimal}


def _subclass_codec(cls: Any, base: Codec) -> Codec:
    """Of a class of numbers or times of its own, ByteSize: as its base, and made by pydantic of what that reads."""
    make = TypeAdapter(cls).validate_python

    def encode(value: Any) -> Text:
        text = base.encode(value)
        if finish(base.read(text.encode() if isinstance(text, str) else text)) != value:
            raise ValueError(f"the {base.kind} {text!r} does not bring it back")
        return text

    def finish(wire: Any) -> Any:
        return make(wire if base.finish is None else base.finish(wire))

    return Codec(base.kind, encode, base.wire, base.read, guarded(finish))


def _numbers_codec(types: Iterable[Any]) -> Codec:
    """Of several types of numbers, by texts that compare as decimals do, to the last digit, and tell the type.

    10 is an int, `10.` and `1E+1` are Decimals, a float has a point or an e; beside Decimals always an e.
    """
    with_decimals = Decimal in types

    def encode(value: Any) -> Text:
        if isinstance(value, Decimal):
            text = _decimal(value)
            return text if "." in text or not value.is_finite() or "E" in text else f"{text}."
        if not isinstance(value, float):
            return int.__repr__(value)
        if not isfinite(value):
            return float.__repr__(value)
        if with_decimals:
            return f"{Decimal(value):f}e0"
        return float.__repr__(value) if abs(value) < 2**53 else f"{int(value)}.0"

    def finish(text: str) -> Any:
        body = text.removeprefix("-")
        if body.isascii() and body.isdigit():
            return int(text)
        if with_decimals and "e" not in text and body not in ("inf", "nan"):
            return _read_decimal(text)
        return float(_without_gaps(text))

    return Codec("decimal", encode, str, _utf8, finish, NUMBERS)


# Enums and literals --------------------------------------------------------------------------------------------------


def _choice_codec(values: dict[Any, Any], name: str) -> Codec:
    """A value out of a few, as the text of what it stands for."""
    texts: dict[Any, Text] = {}
    for choice, value in values.items():
        texts[choice] = _PLAIN[type(value)].encode(value) if type(value) in _PLAIN else str(value)
    choices = {text.encode() if isinstance(text, str) else text: choice for choice, text in texts.items()}
    if len(choices) < len(texts):
        raise TypeError(f"two values of {name} have the same text: {', '.join(map(repr, texts.values()))}")
    kinds = {_PLAIN[type(value)].kind if type(value) in _PLAIN else "text" for value in values.values()}

    def read(text: bytes) -> Any:
        return text.decode("utf-8", "surrogateescape")

    def finish(text: str) -> Any:
        try:
            return choices[text.encode("utf-8", "surrogateescape")]
        except KeyError:
            raise ValueError(f"{text!r} is no {name}") from None

    kind = next(iter(kinds)) if len(kinds) == 1 else "text"
    of_text = all(type(value) is str for value in values.values())
    return Codec(kind, texts.__getitem__, str, read, finish, UNORDERED_TEXT if kind == "text" and not of_text else None)


# Everything else -----------------------------------------------------------------------------------------------------


def _pydantic_codec(annotation: Any) -> Codec:
    """JSON through pydantic; values that pydantic writes as a plain string (URLs, addresses, paths) without quotes."""
    nested = Nested(annotation)
    if not _is_string(nested.adapter):
        variant = CANONICAL_JSON if nested.exact_text else None
        return Codec("json", nested.encode, str, _utf8, guarded(nested.decode), variant, nested)

    def encode(value: Any) -> str:
        text = _text(nested.adapter.dump_python(value, mode="json", warnings=False))
        with suppress(ValueError):
            if not text.startswith(MARK) and nested.classes.same(finish(text), value):
                return text
        return nested.exact(value)

    def finish(text: str) -> Any:
        return nested.classes.decode(text) if text.startswith(MARK) else nested.adapter.validate_python(text)

    return Codec("text", encode, str, _utf8, guarded(finish), None if _is_text(annotation) else UNORDERED_TEXT)


def _is_string(adapter: TypeAdapter[Any]) -> bool:
    try:
        schema = adapter.json_schema(mode="serialization")
    except PydanticUserError:
        return False
    return schema.get("type") == "string" and schema.get("contentMediaType") is None


def _is_text(annotation: Any) -> bool:
    """Whether values are ordered as their texts are: texts and URLs."""
    plain = unwrapped(annotation)
    bases: Any = getattr(plain, "__mro__", ())
    return plain is EmailStr or str in bases or hasattr(plain, "unicode_string")


def guarded(finish: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same, where validators of users may raise anything: a ValueError in its place."""

    def guard(wire: Any) -> Any:
        try:
            return finish(wire)
        except ValueError:
            raise
        except Exception as error:  # noqa: BLE001 - validators of users raise whatever they like
            raise ValueError(f"{type(error).__name__}: {error}") from None

    return guard


def packable(item: Any) -> Any:
    """The item with all bytes as MessagePack strings: the server's cmsgpack knows no others and takes any bytes."""
    if isinstance(item, dict):
        return {name: packable(part) for name, part in cast(dict[str, Any], item).items()}
    if isinstance(item, list):
        return [packable(part) for part in cast(list[Any], item)]
    if not isinstance(item, bytes):
        return item
    head = b"\xda" + len(item).to_bytes(2) if len(item) < 65536 else b"\xdb" + len(item).to_bytes(4)
    return msgspec.Raw(head + item)


# Rows ----------------------------------------------------------------------------------------------------------------


def _decoder_of(row: Any) -> Callable[[bytes], Any]:
    """The function that decodes a list of rows of this type, which is known at run time only."""
    rows = cast(Any, list)[row]
    return msgspec.msgpack.Decoder(rows, strict=False).decode


class RowDecoder:
    """Decodes rows of some columns, as the scripts pack them: arrays of texts, nil where a field is absent.

    Rows are decoded by msgspec at once; if that fails they are read text by text, by `Codec.read`.
    """

    def __init__(self, codecs: Sequence[Codec], names: Sequence[str], nullable: Sequence[bool] | None = None) -> None:
        self._codecs = codecs
        self._names = names
        self._raw = [i for i, codec in enumerate(codecs) if codec.wire is msgspec.Raw]
        row = cast(Any, tuple)[tuple(_wires(codecs, [True] * len(codecs)))]
        self._decode: Callable[[bytes], list[tuple[Any, ...]]] = _decoder_of(row)
        self._decode_one = None if self._raw else msgspec.msgpack.Decoder(row, strict=False).decode
        self._decode_whole: Callable[[bytes], list[msgspec.Struct]] | None = None
        self._decode_one_whole: Callable[[bytes], msgspec.Struct] | None = None
        self._takes_null = any(codec.wire not in (str, msgspec.Raw) for codec in codecs)
        kinds = [kind for kind in _ODD if any(codec.wire is kind for codec in codecs)]
        self._odd = [re.compile(pattern).search for kind in kinds for pattern in _ODD[kind]]
        self._whole_takes_null = False
        if not self._raw and nullable is not None and all(map(str.isidentifier, names)):  # keys of dicts need not be
            fields = [*zip(names, _wires(codecs, nullable), strict=True)]
            struct = msgspec.defstruct("Row", fields, array_like=True, gc=False)
            self._decode_whole = _decoder_of(struct)
            self._decode_one_whole = msgspec.msgpack.Decoder(struct, strict=False).decode
            self._whole_takes_null = any(
                absent and codec.wire is not str for codec, absent in zip(codecs, nullable, strict=True)
            )

    def whole_rows(self, packed: bytes) -> list[msgspec.Struct] | None:
        """Packed rows as structs; None where a column that must have a value lacks it, or a text does not convert.

        Whoever makes objects of them need not look at each value again, and has them as dicts in half the time.
        """
        if self._decode_whole is None or self._whole_is_odd(packed):
            return None
        try:
            return self._decode_whole(packed)
        except ValueError:  # msgspec's own errors, and those of a datetime beyond the year 9999
            return None

    def rows(self, packed: bytes) -> list[tuple[Any, ...]]:
        """The wire values of packed rows. Raises BadText for the first text that does not convert."""
        try:
            odd = (self._takes_null and _NULL(packed)) or (self._odd and self._is_odd(packed))
            rows = None if odd else self._decode(packed)
        except ValueError:  # msgspec's own errors, and those of a datetime beyond the year 9999
            rows = None
        if rows is None:
            return [self._row_by_texts(texts, number) for number, texts in enumerate(raw_rows(packed))]
        return [self._without_raw(row) for row in rows] if self._raw else rows

    def _is_odd(self, packed: bytes) -> bool:
        """Whether there may be texts that msgspec takes for values, and `Codec.read` does not."""
        return any(search(packed) for search in self._odd)

    def _whole_is_odd(self, packed: bytes) -> bool:
        """The same of rows in which every column that must have a value has one."""
        return bool((self._whole_takes_null and _NULL(packed)) or (self._odd and self._is_odd(packed)))

    def row(self, texts: Sequence[bytes | None]) -> tuple[Any, ...]:
        """The wire values of one row of texts. Raises BadText."""
        if self._decode_one is not None:
            try:  # msgspec packs and unpacks a row in a third of the time of seven `Codec.read`
                packed = _encode(_decoded(texts))
                if not ((self._takes_null and _NULL(packed)) or (self._odd and self._is_odd(packed))):
                    return self._decode_one(packed)
            except ValueError:
                pass
        return self._row_by_texts(texts, 0)

    def whole_row(self, texts: Sequence[bytes | None]) -> msgspec.Struct | None:
        """One row of texts as a struct; None as of whole_rows()."""
        if self._decode_one_whole is None:
            return None
        try:
            packed = _encode(_decoded(texts))
            # To look for one byte takes a fifth of the time of the pattern that begins with it.
            if self._odd or (self._whole_takes_null and b"\xa4" in packed):
                return None if self._whole_is_odd(packed) else self._decode_one_whole(packed)
            return self._decode_one_whole(packed)
        except ValueError:
            return None

    def _row_by_texts(self, texts: Sequence[bytes | None], number: int) -> tuple[Any, ...]:
        """The same, text by text. Raises BadText, which names this number."""
        values: list[Any] = []
        for codec, name, text in zip(self._codecs, self._names, texts, strict=True):
            try:
                values.append(None if text is None else codec.read(text))
            except ValueError:
                raise BadText(number, name, as_text(cast(bytes, text)), codec.kind) from None
        return tuple(values)

    def _without_raw(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        values = list(row)
        for i in self._raw:
            values[i] = bytes_of(bytes(values[i]))
        return tuple(values)


_NULL = re.compile(rb"\xa4[nN][uU][lL][lL]").search
"""Finds the text `null` in packed rows: msgspec takes it for an absent value in columns that are no texts."""


_ODD = {
    bool: (rb"\xa4[tT][rR][uU][eE]", rb"\xa5[fF][aA][lL][sS][eE]"),
    UUID: (rb"\x24[0-9a-f-]{0,35}+[A-F]", rb"\x20[0-9a-fA-F]{32}"),
}
"""What msgspec takes for a bool or a UUID and ormis never writes: the texts in packed rows, each behind its length. The
patterns are several, since a search for one is fast that begins with a certain byte and never goes back."""


def _decoded(texts: Any) -> list[str | None]:
    """Texts as `str`, None where one is absent. All at once if none is and none holds a zero byte: in half the time."""
    try:
        decoded: list[Any] = b"\0".join(texts).decode().split("\0")
        if len(decoded) == len(texts):
            return decoded
    except TypeError:
        pass
    return [None if text is None else text.decode() for text in texts]


def _wires(codecs: Sequence[Codec], nullable: Sequence[bool]) -> list[Any]:
    return [
        codec.wire | None if absent and codec.wire is not msgspec.Raw else codec.wire
        for codec, absent in zip(codecs, nullable, strict=True)
    ]


def raw_rows(packed: bytes) -> list[list[bytes | None]]:
    """The texts of packed rows as they are, whatever they are."""
    rows = msgspec.msgpack.decode(packed, type=list[list[msgspec.Raw]])
    return [[bytes_of(bytes(raw)) for raw in row] for row in rows]


_rows_of_text = msgspec.msgpack.Decoder(list[list[str]]).decode


def text_rows(packed: bytes) -> Sequence[Sequence[Text]]:
    """The texts of packed rows without absent ones; in a row with one that is not UTF-8 that one is bytes."""
    try:
        return _rows_of_text(packed)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return [[as_text(text or b"") for text in row] for row in raw_rows(packed)]


def as_text(text: bytes) -> Text:
    """A text, as bytes if it is not UTF-8."""
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text


def bytes_of(raw: bytes) -> bytes | None:
    """The bytes of one MessagePack string, None for nil."""
    if raw == _NIL:
        return None
    head = raw[0]
    if head & 0xE0 == 0xA0:
        return raw[1:]
    return raw[{0xD9: 2, 0xC4: 2, 0xDA: 3, 0xC5: 3}.get(head, 5) :]
