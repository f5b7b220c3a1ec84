"""Methods that querysets and managers do not have: the nearest name, or where the method is."""

from ..errors import nearest


def no_method(source: object, name: str, querysets: type | None = None) -> AttributeError:
    """The error for a name that a queryset or a manager does not have.

    querysets: the class of the querysets of a manager, which have more methods.
    """
    said = f"{type(source).__name__!r} object has no attribute {name!r}"
    if name.startswith("_"):
        return AttributeError(said)
    if querysets is not None and hasattr(querysets, name):
        return AttributeError(f"{said}: write .all().{name}")
    near = nearest(name, (own for own in dir(source) if not own.startswith("_")))
    return AttributeError(f"{said}: {near}" if near else said)
