"""The defaults of fields as texts: in an object that was stored before the field was declared it counts as stored."""

from collections.abc import Callable
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from ..storage.codecs import Codec


def default_text(
    codec: Codec, convert: Callable[[Any], Any], writer: Callable[[Any], str | bytes], info: FieldInfo
) -> str | bytes | None:
    """The text of a plain default, `0` of a float too; None if there is none, or if its text does not bring it back."""
    if info.default is PydanticUndefined or info.default_factory is not None:
        return None
    try:
        text = writer(convert(info.default))
        return text if codec.decode(text if isinstance(text, bytes) else text.encode()) == info.default else None
    except Exception:  # noqa: BLE001 - a default of the wrong type, which serializers of users refuse as they like
        return None
