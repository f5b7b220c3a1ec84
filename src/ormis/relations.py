"""What a class body says of relations: `ForeignKey`, `OneToOne`, `Related` and what on_delete can be.

These are declarations. When the class is made, each is replaced by a descriptor (see `descriptors`); for a type checker
they are the descriptors, so that `choice.question` is a `Question`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

T = TypeVar("T")


class OnDelete(StrEnum):
    """What becomes of an object when the object that it refers to is deleted."""

    CASCADE = "cascade"
    PROTECT = "protect"
    RESTRICT = "restrict"
    SET_NULL = "set_null"
    SET_DEFAULT = "set_default"
    DO_NOTHING = "do_nothing"


CASCADE = OnDelete.CASCADE
PROTECT = OnDelete.PROTECT
RESTRICT = OnDelete.RESTRICT
SET_NULL = OnDelete.SET_NULL
SET_DEFAULT = OnDelete.SET_DEFAULT
DO_NOTHING = OnDelete.DO_NOTHING

_MISSING: Any = object()


class ForeignKey(Generic[T]):
    """A reference to one object of another model, held as its key.

    on_delete: what becomes of this object when the other is deleted; PROTECT refuses that deletion.
    related_name: what the other model calls the objects that refer to it; `choice_set` for a `Choice` by default.
    default: the key or object that new objects refer to.
    primary_key: the reference is this model's primary key (for `OneToOne`).
    """

    unique = False

    def __init__(
        self,
        *,
        on_delete: OnDelete = PROTECT,
        related_name: str | None = None,
        default: Any = _MISSING,
        primary_key: bool = False,
    ) -> None:
        self.on_delete = OnDelete(on_delete)
        self.related_name = related_name
        self.default = default
        self.primary_key = primary_key

    @property
    def has_default(self) -> bool:
        """True where the declaration names a default."""
        return self.default is not _MISSING

    if TYPE_CHECKING:

        @overload
        def __get__(self, instance: None, owner: Any) -> Any: ...
        @overload
        def __get__(self, instance: object, owner: Any) -> T: ...
        def __get__(self, instance: object | None, owner: Any) -> Any: ...
        def __set__(self, instance: object, value: T | str | int) -> None: ...


class OneToOne(ForeignKey[T]):
    """A reference that no two objects share; the other side has one related object, not many."""

    unique = True


class Related(Generic[T]):
    """Types the reverse side of a relation: `choices: Related["Choice"]`. It declares nothing for the database.

    Written `choices: Related["Choice"] = Related()`, a type checker does not ask for it in the constructor.
    """

    if TYPE_CHECKING:

        def __get__(self, instance: object | None, owner: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class RelationDeclaration:
    """One relation of a class body: its name, what it says and the text of the class it refers to."""

    name: str
    relation: ForeignKey[Any]
    target: Any
    nullable: bool

    @property
    def attname(self) -> str:
        """The stored field that holds the key."""
        return f"{self.name}_id"
