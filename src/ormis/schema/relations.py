"""The relations of a class body, as data: to one object, to many; and the rules of on_delete.

The classes that users write, `ForeignKey`, `OneToOne`, `ManyToMany`, `Related` and `RelatedOne`, are these with types:
`descriptors/annotations.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import ModelError, hint_for, shown
from .unknown_options import refuses_unknown_options


class OnDelete(StrEnum):
    """The rule for an object when the object that it refers to is deleted."""

    CASCADE = "cascade"
    PROTECT = "protect"
    RESTRICT = "restrict"
    SET_NULL = "set_null"
    SET_DEFAULT = "set_default"
    SET_VALUE = "set_value"
    DO_NOTHING = "do_nothing"


CASCADE = OnDelete.CASCADE
PROTECT = OnDelete.PROTECT
RESTRICT = OnDelete.RESTRICT
SET_NULL = OnDelete.SET_NULL
SET_DEFAULT = OnDelete.SET_DEFAULT
DO_NOTHING = OnDelete.DO_NOTHING

_MISSING: Any = object()


class SET:
    """The rule that sets a foreign key to another value when the object that it refers to is deleted.

    value: a key, an object or None; or a function without parameters that returns one of these. The function is called
        once in each deletion that meets objects with the relation, before anything is deleted.

        author: ForeignKey[User] = ForeignKey(on_delete=SET(sentinel_user))
    """

    def __init__(self, value: Any) -> None:
        if iscoroutinefunction(value):
            raise ModelError(f"SET({value.__name__}): a deletion calls the function without await: give a plain one")
        self.value = value

    def __repr__(self) -> str:
        return f"SET({getattr(self.value, '__name__', self.value)!s})"


def _on_delete(value: Any) -> OnDelete:
    """The rule that on_delete= names. Raises ModelError for what is none."""
    if isinstance(value, SET):
        return OnDelete.SET_VALUE
    if value in _NAMED_RULES:
        return OnDelete(value)
    name = getattr(value, "__name__", value)
    rules = [rule.name for rule in _NAMED_RULES]
    hint = f"write the one of ormis, on_delete={name}" if name in rules else hint_for(str(name).upper(), rules)
    if name in ("SET", "set_value") or "SET." in getattr(value, "__qualname__", ""):  # Django's SET() is a function
        hint = "write the one of ormis with what it sets, on_delete=SET(value)"
    raise ModelError(f"on_delete={name if callable(value) else shown(value)} is no rule for deletions: {hint}")


_NAMED_RULES = [rule for rule in OnDelete if rule is not OnDelete.SET_VALUE]
_RULE_NAMES = [rule.name for rule in _NAMED_RULES]


def _by_name(own: str, value: Any, options: dict[str, Any]) -> str:
    """What to write in place of an argument without a name: the other model, or a rule for deletions."""
    if isinstance(value, OnDelete | SET):
        return f"write on_delete={value.name if isinstance(value, OnDelete) else value}"
    other = value.__name__ if isinstance(value, type) else f'"{value}"' if isinstance(value, str) else "Other"
    target = f"{other} | None" if options.get("null") or options.get("blank") else other
    if " | " in target and other.startswith('"'):
        target = f'"{other[1:-1]} | None"'
    return f"write the other model in brackets: `name: {own}[{target}] = {own}(...)`"


_DJANGO_ONLY = {
    "verbose_name": "leave it out",
    "help_text": "leave it out",
    "editable": "leave it out",
    "db_column": "a foreign key is stored under its name and _id",
    "db_constraint": "the object that a key refers to is looked for at each save, always",
    "db_table": "the links are kept in sets; with through=, the other model says its key",
    "limit_choices_to": "check the other object in a validator",
    "swappable": "leave it out",
    "parent_link": "leave it out; models inherit from abstract bases only",
}


class Relation:
    """A relation as it is declared. `kind` is its name in a class body.

    related_name: the attribute of the other model for the objects on this side; none if it ends with +.
    related_query_name: their name in queries on the other model; by default related_name or the lower-case class name.
    """

    kind: ClassVar[str]

    def __init__(self, related_name: str | None, related_query_name: str | None) -> None:
        self.related_name = related_name
        self.related_query_name = related_query_name

    if not TYPE_CHECKING:

        def __class_getitem__(cls, target: Any) -> Any:
            """The annotation. Raises ModelError for more than one model in the brackets."""
            if isinstance(target, tuple):
                raise ModelError(several_in_brackets(cls.kind, [*target]))
            return super().__class_getitem__(target)


def several_in_brackets(kind: str, items: Sequence[Any]) -> str:
    """The message for a relation with more than the other model in its brackets: classes, rules, or their texts."""
    texts = [item.name if isinstance(item, OnDelete) else getattr(item, "__name__", str(item)) for item in items]
    rules = [text for text in texts if text.rpartition(".")[2] in _RULE_NAMES or text.startswith("SET(")]
    nothing = [text for text in texts if text in ("None", "NoneType")]
    others = [text for text in texts if text not in rules and text not in nothing]
    target = f"{others[0] if others else 'Other'}{' | None' if nothing else ''}"
    options = f"on_delete={rules[0]}" if rules and kind in (ToOne.kind, ToOneUnique.kind) else "..."
    return (
        f"{kind}[{', '.join(texts)}] has more than the other model in the brackets: write "
        f"`name: {kind}[{target}] = {kind}({options})`"
    )


class ToOne(Relation):
    """A reference to one object of another model, held as its key."""

    kind = "ForeignKey"
    unique: ClassVar[bool] = False

    @refuses_unknown_options(
        positional=_by_name,
        **_DJANGO_ONLY,
        to="write the other model in brackets: `name: ForeignKey[Other] = ForeignKey()`",
        null="write `| None` in the brackets: ForeignKey[Other | None]",
        blank="write `| None` in the brackets: ForeignKey[Other | None]",
        nullable="write `| None` in the brackets: ForeignKey[Other | None]",
        unique="write OneToOne in place of ForeignKey",
        through="write ManyToMany in place of ForeignKey",
        max_length="a foreign key holds a key of the other model, whose field says its constraints",
        back_populates="write related_name=",
        backref="write related_name=",
        ondelete="write on_delete=",
        default_factory="write default=, with the function",
        index="a foreign key has an index always",
        db_index="a foreign key has an index always",
        alias="declare the field of the key as well: `name_id: int = Field(alias=...)`",
    )
    def __init__(
        self,
        *,
        on_delete: OnDelete | SET = PROTECT,
        related_name: str | None = None,
        related_query_name: str | None = None,
        default: Any = _MISSING,
        primary_key: bool = False,
        to_field: str | None = None,
    ) -> None:
        super().__init__(related_name, related_query_name)
        self.on_delete = _on_delete(on_delete)
        self.replacement: Any = on_delete.value if isinstance(on_delete, SET) else default
        self.default = default
        self.primary_key = primary_key
        self.to_field = _name_of(to_field)

    @property
    def has_default(self) -> bool:
        """True where the declaration names a default."""
        return self.default is not _MISSING


def _name_of(field: Any) -> str | None:
    if field is None or isinstance(field, str):
        return field or None
    raise ModelError(f"to_field={shown(field)}: name a field of the other model, a text")


class ToOneUnique(ToOne):
    """A reference that no two objects share."""

    kind = "OneToOne"
    unique = True


class ToMany(Relation):
    """Links between objects of two models."""

    kind = "ManyToMany"

    @refuses_unknown_options(
        positional=_by_name,
        **_DJANGO_ONLY,
        to_field="links are kept by primary keys; give it to the foreign keys of a through model",
        to="write the other model in brackets: `name: ManyToMany[Other] = ManyToMany()`",
        null="a many-to-many relation may have no objects, so it needs no None",
        blank="a many-to-many relation may have no objects, so it needs no None",
        default="new objects have no links; add them after save()",
        back_populates="write related_name=",
        backref="write related_name=",
        secondary="write through=",
        on_delete="a link goes with its objects; give on_delete to the foreign keys of a through model",
    )
    def __init__(
        self,
        *,
        related_name: str | None = None,
        related_query_name: str | None = None,
        through: Any = None,
        through_fields: Sequence[str] | None = None,
        symmetrical: bool | None = None,
    ) -> None:
        super().__init__(related_name, related_query_name)
        self.through = through
        self.through_fields = through_fields
        self.symmetrical = symmetrical


class ReverseSide(Relation):
    """The other side of a relation that another class declares."""

    kind = "Related"

    @refuses_unknown_options(
        positional=_by_name,
        related_name="give it to the ForeignKey(), OneToOne() or ManyToMany() on the other side",
        on_delete="give it to the ForeignKey() or OneToOne() on the other side",
        through="give it to the ManyToMany() on the other side",
    )
    def __init__(self) -> None:
        super().__init__(None, None)


class ReverseSideOne(ReverseSide):
    """The other side of a one-to-one relation that another class declares."""

    kind = "RelatedOne"


KINDS: dict[str, type[Relation]] = {
    kind.kind: kind for kind in (ToOne, ToOneUnique, ToMany, ReverseSide, ReverseSideOne)
}


@dataclass(frozen=True, slots=True)
class RelationDeclaration:
    """One reference of a class body: its name, what it says and the text of the class it refers to."""

    name: str
    relation: ToOne
    target: Any
    nullable: bool

    @property
    def attname(self) -> str:
        """The stored field that holds the key: `from_id` of `from_`, since two underscores are for queries."""
        return f"{self.name.rstrip('_')}_id"


@dataclass(frozen=True, slots=True)
class LinkDeclaration:
    """One many-to-many relation of a class body."""

    name: str
    relation: ToMany
    target: Any
