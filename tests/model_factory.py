"""Makes models from data, for tests of declarations."""

from typing import Any

import ormis


def make(name: str, module: str, base: Any = ormis.Model, **body: Any) -> Any:
    """A model with these fields, each an annotation and a value: x=(ForeignKey[Author], ForeignKey()).

    meta: the attributes of its Meta; the default key is made_<name>.
    """
    namespace: dict[str, Any] = {"__module__": module, "__qualname__": name, "__annotations__": {}}
    if "config" in body:
        namespace["model_config"] = body.pop("config")
    namespace["Meta"] = type("Meta", (), {"key": f"made_{name.lower()}", **body.pop("meta", {})})
    for field, (annotation, value) in body.items():
        namespace["__annotations__"][field] = annotation
        namespace[field] = value
    return type(ormis.Model)(name, (base,), namespace)
