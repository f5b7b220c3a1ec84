"""`OuterRef`: a field of the row outside of a subquery."""

from collections.abc import Mapping
from typing import Any, Union

from ..errors import FieldError, shown
from .expressions import Expression


class OuterRef(Expression):
    """A field of the row outside of a subquery: `Exists(Vote.objects.filter(choice=OuterRef("pk")))`.

    name: a field or an annotation of the query outside, also across relations to one object, `"author__name"`; or
        another OuterRef, which names a field of the query that is outside of that one.

    It stands where F does: in conditions with any lookup, in arithmetic, functions, annotations and orders. Where it is
    absent, a comparison with it is false. Raises FieldError for a queryset that is used outside of a subquery.
    """

    def __init__(self, name: Union[str, "OuterRef"]) -> None:
        if not isinstance(name, str | OuterRef):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise FieldError(f"OuterRef() takes the name of a field as a text, or an OuterRef, not {shown(name)}")
        self.name = name

    @property
    def field(self) -> str:
        """The name of the field."""
        return self.name if isinstance(self.name, str) else self.name.field

    @property
    def depth(self) -> int:
        """How many queries lie between: 1 for the one right outside."""
        return 1 if isinstance(self.name, str) else self.name.depth + 1

    def renamed(self, field: str) -> "OuterRef":
        """A reference to another field of the same query."""
        return OuterRef(field if isinstance(self.name, str) else self.name.renamed(field))

    def result(self, _values: Mapping[str, Any], /) -> Any:
        """Raises FieldError: there is no row outside."""
        raise unresolved(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OuterRef) and self.name == other.name

    def __hash__(self) -> int:
        return hash(("OuterRef", self.name))

    def __str__(self) -> str:
        return f"OuterRef({self.name!r})"

    __repr__ = __str__


def unresolved(reference: OuterRef) -> FieldError:
    """The error for a reference without a row that it could be about."""
    return FieldError(
        f"{reference} is used outside of a subquery: give the queryset that holds it to Subquery() or Exists(), within "
        f"a query whose rows have {reference.field!r}"
    )
