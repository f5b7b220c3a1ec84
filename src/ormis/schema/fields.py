"""`Field`: pydantic's, with what a database adds to it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, cast, overload

import pydantic
from pydantic import AliasChoices, AliasPath
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from ..errors import ModelError
from .index_kinds import index_options
from .unknown_options import refuses_unknown_options

if TYPE_CHECKING:
    from annotated_types import SupportsGe, SupportsGt, SupportsLe, SupportsLt
    from pydantic import Discriminator
    from typing_extensions import deprecated

IndexOption = bool | Literal["sorted", "members"]


@dataclass(frozen=True, slots=True)
class FieldOptions:
    """What ormis adds to a pydantic field; it travels in `FieldInfo.metadata`, which pydantic leaves alone."""

    index: IndexOption = False
    unique: bool = False
    primary_key: bool = False
    auto_now: bool = False
    auto_now_add: bool = False


class Moment:
    """The default of a field that writes set to the time: the time at which an object is made.

    of: the value of the field at a moment; it is known when its model is complete.
    """

    __slots__ = ("of",)

    def __init__(self) -> None:
        self.of: Callable[[datetime], Any] = lambda now: now

    def __call__(self) -> Any:
        """The value of the field now."""
        return self.of(datetime.now(UTC))


_UNSET: Any = PydanticUndefined


# To a type checker a field that writes set is no argument of the constructor: init=False.
@overload
def Field(
    *, auto_now: Literal[True], auto_now_add: bool = False, init: Literal[False] = False, **options: Any
) -> Any: ...
@overload
def Field(
    *, auto_now_add: Literal[True], auto_now: bool = False, init: Literal[False] = False, **options: Any
) -> Any: ...
@overload
def Field(
    default: Any = ...,
    *,
    index: IndexOption = False,
    unique: bool = False,
    primary_key: bool = False,
    default_factory: Callable[[], Any] | Callable[[dict[str, Any]], Any] | None = ...,
    alias: str | None = ...,
    alias_priority: int | None = ...,
    validation_alias: str | AliasPath | AliasChoices | None = ...,
    serialization_alias: str | None = ...,
    title: str | None = ...,
    field_title_generator: Callable[[str, FieldInfo], str] | None = ...,
    description: str | None = ...,
    examples: list[Any] | None = ...,
    exclude: bool | None = ...,
    exclude_if: Callable[[Any], bool] | None = ...,
    discriminator: "str | Discriminator | None" = ...,
    deprecated: "deprecated | str | bool | None" = ...,
    json_schema_extra: dict[str, Any] | Callable[[dict[str, Any]], None] | None = ...,
    frozen: bool | None = ...,
    validate_default: bool | None = ...,
    repr: bool = ...,
    init: bool | None = ...,
    init_var: bool | None = ...,
    kw_only: bool | None = ...,
    pattern: str | re.Pattern[str] | None = ...,
    strict: bool | None = ...,
    coerce_numbers_to_str: bool | None = ...,
    gt: "SupportsGt | None" = ...,
    ge: "SupportsGe | None" = ...,
    lt: "SupportsLt | None" = ...,
    le: "SupportsLe | None" = ...,
    multiple_of: float | None = ...,
    allow_inf_nan: bool | None = ...,
    max_digits: int | None = ...,
    decimal_places: int | None = ...,
    min_length: int | None = ...,
    max_length: int | None = ...,
    union_mode: Literal["smart", "left_to_right"] = ...,
    fail_fast: bool | None = ...,
) -> Any: ...
@refuses_unknown_options(
    null="annotate the field with `| None`",
    nullable="annotate the field with `| None`",
    blank="an empty text is allowed unless there is min_length=1, None where the field is annotated with `| None`",
    required="a field without a default is required",
    choices="annotate the field with Literal[...] or an Enum",
    db_index="write index=True",
    sortable='write index=True, on a text index="sorted"',
    full_text_search="there is no full-text index; filter by contains or icontains",
    unique_for_date="write a UniqueConstraint in Meta.constraints, over a field that holds the date",
    unique_for_month="write a UniqueConstraint in Meta.constraints, over a field that holds the month",
    unique_for_year="write a UniqueConstraint in Meta.constraints, over a field that holds the year",
    pk="write primary_key=True",
    primary="write primary_key=True",
    autoincrement="a model without a primary_key field has `id`, which is counted up",
    db_column="a field is stored under its own name",
    db_default="write default= or default_factory=",
    server_default="write default= or default_factory=",
    validators="write a @field_validator, or Annotated[type, AfterValidator(function)]",
    error_messages="raise the message in a @field_validator",
    editable="write frozen=True for a field that is never assigned to",
    upload_to="store the path of the file in a field of type str",
    expires="an object ends as a whole: write Meta.ttl, or save(ttl=...)",
    ttl="an object ends as a whole: write Meta.ttl, or save(ttl=...)",
    db_comment="write description=",
    comment="write description=",
    verbose_name="write title=",
    help_text="write description=",
    regex="write pattern=",
    min_items="write min_length=",
    max_items="write max_length=",
    allow_mutation="write frozen=True",
    const="annotate the field with Literal[...]",
    on_delete="write `name: ForeignKey[Other] = ForeignKey(on_delete=...)`",
    related_name="write `name: ForeignKey[Other] = ForeignKey(related_name=...)`",
    to="write `name: ForeignKey[Other] = ForeignKey()`",
    to_field="write `name: ForeignKey[Other] = ForeignKey()`",
    foreign_key="write `name: ForeignKey[Other] = ForeignKey()`",
    limit_choices_to="write `name: ForeignKey[Other] = ForeignKey()`",
    through="write `name: ManyToMany[Other] = ManyToMany(through=...)`",
    back_populates="write `name: ForeignKey[Other] = ForeignKey(related_name=...)`",
)
def Field(  # pyright: ignore[reportInconsistentOverload] - the first two name their own options only
    default: Any = _UNSET,
    *,
    index: IndexOption = False,
    unique: bool = False,
    primary_key: bool = False,
    auto_now: bool = False,
    auto_now_add: bool = False,
    default_factory: Callable[[], Any] | Callable[[dict[str, Any]], Any] | None = _UNSET,
    alias: str | None = _UNSET,
    alias_priority: int | None = _UNSET,
    validation_alias: str | AliasPath | AliasChoices | None = _UNSET,
    serialization_alias: str | None = _UNSET,
    title: str | None = _UNSET,
    field_title_generator: Callable[[str, FieldInfo], str] | None = _UNSET,
    description: str | None = _UNSET,
    examples: list[Any] | None = _UNSET,
    exclude: bool | None = _UNSET,
    exclude_if: Callable[[Any], bool] | None = _UNSET,
    discriminator: "str | Discriminator | None" = _UNSET,
    deprecated: "deprecated | str | bool | None" = _UNSET,
    json_schema_extra: dict[str, Any] | Callable[[dict[str, Any]], None] | None = _UNSET,
    frozen: bool | None = _UNSET,
    validate_default: bool | None = _UNSET,
    repr: bool = _UNSET,  # noqa: A002 - the name of pydantic
    init: bool | None = _UNSET,
    init_var: bool | None = _UNSET,
    kw_only: bool | None = _UNSET,
    pattern: str | re.Pattern[str] | None = _UNSET,
    strict: bool | None = _UNSET,
    coerce_numbers_to_str: bool | None = _UNSET,
    gt: "SupportsGt | None" = _UNSET,
    ge: "SupportsGe | None" = _UNSET,
    lt: "SupportsLt | None" = _UNSET,
    le: "SupportsLe | None" = _UNSET,
    multiple_of: float | None = _UNSET,
    allow_inf_nan: bool | None = _UNSET,
    max_digits: int | None = _UNSET,
    decimal_places: int | None = _UNSET,
    min_length: int | None = _UNSET,
    max_length: int | None = _UNSET,
    union_mode: Literal["smart", "left_to_right"] = _UNSET,
    fail_fast: bool | None = _UNSET,
) -> Any:
    """A field of a model: `pydantic.Field` with five more options; the others are pydantic's.

    index: True keeps the index that fits the type: numbers, dates and times get a sorted index (equality, ranges,
        order); strings, booleans, enums and UUIDs an equality index. `"sorted"` on a string gives range, prefix, order;
        `"members"` on a list, a tuple or a set finds the objects that have a member.
    unique: no two objects have the same value; objects without a value do not clash.
    primary_key: the value is the object's key, instead of an automatic `id`.
    auto_now: every write sets this date, time or datetime to the time of the write, in UTC; save(update_fields=...)
        only if it is named there. A plain `datetime` is aware, a `NaiveDatetime` naive.
    auto_now_add: the write that stores a new object does.

    Raises ModelError for an option that does not exist.
    """
    given = {name: value for name, value in locals().items() if name not in OWN_OPTIONS and value is not _UNSET}
    if not isinstance(index, bool) and index not in index_options():
        offered = " or ".join(f'"{option}"' for option in index_options())
        raise TypeError(f"index={index!r}: give True, False or {offered}")
    if auto_now or auto_now_add:
        _check_auto_now(auto_now, auto_now_add, given)
        given["default_factory"] = Moment()
    info: FieldInfo = cast(Any, pydantic.Field)(**given)
    if index or unique or primary_key or auto_now or auto_now_add:
        info.metadata.append(FieldOptions(index, unique, primary_key, auto_now, auto_now_add))
    return info


def _check_auto_now(auto_now: bool, auto_now_add: bool, given: Mapping[str, Any]) -> None:
    """Raises ModelError for options that exclude each other."""
    both = ["auto_now", *(["auto_now_add"] if auto_now_add else [])] if auto_now else ["auto_now_add"]
    both += [option for option in ("default", "default_factory") if option in given]
    if len(both) > 1:
        raise ModelError(f"Field(): {' and '.join(both)} exclude each other, each gives the value: leave one out")


OWN_OPTIONS = tuple(option.name for option in fields(FieldOptions))


def options_of(info: FieldInfo) -> FieldOptions:
    """The options of ormis for a field."""
    return next((item for item in info.metadata if isinstance(item, FieldOptions)), FieldOptions())
