"""The declarations of relations in a class body: `ForeignKey`, `OneToOne`, `ManyToMany`, `Related`, `RelatedOne`.

When the class is made, each is replaced by a descriptor (see `descriptors`); for a type checker they are the
descriptors, so that `choice.question` is a `Question` and `choice.tags.all()` a queryset of tags.
"""

from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload
from uuid import UUID

from ..schema.relations import ReverseSide, ReverseSideOne, ToMany, ToOne
from . import LinkManager, RelatedManager

T = TypeVar("T")
Key = int | str | bytes | UUID | Enum | date | time | timedelta | float | Decimal
"""The types that a primary key may have: a foreign key takes it in place of the object."""


class ForeignKey(ToOne, Generic[T]):
    """A reference to one object of another model, held as its key.

    on_delete: the rule for this object when the other is deleted; PROTECT refuses that deletion.
    related_name: the other model's attribute for the referring objects; `choice_set` for a `Choice` by default, and a
        name that ends with + for nothing at all.
    related_query_name: their name in queries, by default related_name or `choice`.
    default: the key or object that new objects refer to.
    primary_key: the reference is this model's primary key (for `OneToOne`).
    to_field: the unique field of the other model that is held in place of its primary key.
    """

    if TYPE_CHECKING:

        @overload
        def __get__(self, record: None, model: Any) -> Any: ...
        @overload
        def __get__(self, record: object, model: Any) -> T: ...
        def __get__(self, record: object | None, model: Any) -> Any: ...
        # The declaration itself, since pyright takes it for the default of a constructor's argument.
        def __set__(self, record: object, value: "T | Key | ForeignKey[Any]") -> None: ...


class OneToOne(ForeignKey[T]):
    """A reference that no two objects share; the other side has one related object, not many."""

    kind = "OneToOne"
    unique = True


class ManyToMany(ToMany, Generic[T]):
    """Links to objects of another model, each of which may be linked to many.

    related_name, related_query_name: as for `ForeignKey`.
    through: a model with a foreign key to each side, whose objects are the links; without one they are kept in sets.
    through_fields: the names of these foreign keys, this model's first, if there are several.
    symmetrical: in a relation of a model to itself, whether each link is one for both; so it is unless told otherwise.
    """

    if TYPE_CHECKING:

        @overload
        def __get__(self, record: None, model: Any) -> Any: ...
        @overload
        def __get__(self, record: object, model: Any) -> LinkManager[T]: ...
        def __get__(self, record: object | None, model: Any) -> Any: ...
        def __set__(self, record: object, value: LinkManager[T]) -> None: ...


class Related(ReverseSide, Generic[T]):
    """Types the reverse side of a relation: `choices: Related["Choice"]`. It declares nothing for the database.

    Written `choices: Related["Choice"] = Related()`, a type checker does not ask for it in the constructor.
    """

    if TYPE_CHECKING:

        @overload
        def __get__(self, record: None, model: Any) -> Any: ...
        @overload
        def __get__(self, record: object, model: Any) -> RelatedManager[T]: ...
        def __get__(self, record: object | None, model: Any) -> Any: ...
        def __set__(self, record: object, value: RelatedManager[T]) -> None: ...


class RelatedOne(ReverseSideOne, Generic[T]):
    """Types the reverse side of a one-to-one relation: `cover: RelatedOne["Cover"] = RelatedOne()`.

    As `Related`, it declares nothing for the database.
    """

    if TYPE_CHECKING:

        @overload
        def __get__(self, record: None, model: Any) -> Any: ...
        @overload
        def __get__(self, record: object, model: Any) -> T: ...
        def __get__(self, record: object | None, model: Any) -> Any: ...
        def __set__(self, record: object, value: T) -> None: ...
