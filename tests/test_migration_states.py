"""States of declared models: what migrations know of a model is all that the scripts are told of it."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from ipaddress import IPv4Address
from typing import Annotated, Any, Literal, Optional
from uuid import UUID

import pytest
from msgspec.msgpack import decode
from pydantic import BaseModel, NonNegativeInt, SecretStr
from pydantic import Field as PydanticField

import ormis
from ormis import (
    PROTECT,
    SET,
    SET_DEFAULT,
    SET_NULL,
    Field,
    ForeignKey,
    Index,
    ManyToMany,
    MigrationError,
    OneToOne,
    UniqueConstraint,
)
from ormis.migrations.declared import declared_state, schema_of
from ormis.migrations.state import FieldState, IndexState, LinkState, ModelState, RelationState
from ormis.migrations.types import codec_of_kind, converter, type_of, type_text
from ormis.storage.codecs import codec_for


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1


class Address(BaseModel):
    city: str = ""
    number: int = 0


class MigPlain(ormis.Model):
    text: str = Field(max_length=200, unique=True)
    published: datetime = Field(index=True)
    day: date | None = None
    at: time = time(12)
    wait: timedelta = timedelta(seconds=1)
    price: Decimal = Decimal("1.50")
    score: float = 2
    flag: bool = True
    raw: bytes = b"\xff"
    token: UUID = UUID(int=1)
    colour: Colour = Colour.RED
    level: Level = Level.LOW
    choice: Literal["a", "b"] = "a"
    number: Annotated[int, PydanticField(ge=0)] = Field(default=0, index=True)
    either: int | float = 1
    host: IPv4Address = IPv4Address("127.0.0.1")
    secret: SecretStr = SecretStr("x")
    delay: NonNegativeInt = 1
    tags: list[str] = Field(default_factory=list, index="members")
    address: Address | None = None
    old: Optional[int] = None  # noqa: UP045 - as it is written in older code

    class Meta:
        key = "mig:plain"
        ttl = 60
        indexes = [Index("colour", "published"), Index("address__city")]
        constraints = [UniqueConstraint("price", "score"), UniqueConstraint("address__city", "text")]


class MigNamed(ormis.Model):
    name: str = Field(primary_key=True)
    code: str = Field(unique=True)

    class Meta:
        abstract = True


class MigTarget(MigNamed):
    class Meta:
        key = "mig_target"


class MigSource(ormis.Model):
    one: ForeignKey[MigTarget] = ForeignKey(on_delete=PROTECT)
    two: ForeignKey[MigTarget | None] = ForeignKey(on_delete=SET_NULL, related_name="+")
    three: ForeignKey[MigTarget] = ForeignKey(default="a", on_delete=SET_DEFAULT, related_name="thirds")
    four: ForeignKey[MigTarget] = ForeignKey(on_delete=SET(lambda: "a"), related_name="fourths")
    code: ForeignKey[MigTarget] = ForeignKey(to_field="code", related_name="by_code")
    parent: ForeignKey["MigSource | None"] = ForeignKey(on_delete=SET_NULL)
    friends: ManyToMany["MigSource"] = ManyToMany()
    follows: ManyToMany["MigSource"] = ManyToMany(symmetrical=False, related_name="followers")
    targets: ManyToMany[MigTarget] = ManyToMany(related_name="sources")
    through: ManyToMany[MigTarget] = ManyToMany(through="MigThrough", related_name="through_sources")

    class Meta:
        key = "mig_source"


class MigThrough(ormis.Model):
    source: ForeignKey[MigSource] = ForeignKey()
    target: ForeignKey[MigTarget] = ForeignKey()

    class Meta:
        key = "mig_through"


class MigProfile(ormis.Model):
    source: OneToOne[MigSource] = OneToOne(primary_key=True)

    class Meta:
        key = "mig_profile"


class MigUser(ormis.Model):
    name: str = Field(index=True)
    rights: int = 0

    class Meta:
        key = "mig_user"
        polymorphic = True


class MigGuest(MigUser):
    until: int = 3
    note: str | None = None


class MigAdmin(MigUser):
    rights: int = 9
    until: int = 4
    boss: ForeignKey["MigUser | None"] = ForeignKey(on_delete=SET_NULL)


MODELS: list[Any] = [MigPlain, MigTarget, MigSource, MigThrough, MigProfile, MigUser]
STATE = declared_state(MODELS)


@pytest.mark.parametrize("model", MODELS)
def test_the_schema_of_a_state_tells_the_scripts_what_the_model_does(model: Any) -> None:
    """Declaration and shape of the schema that is made of a state are those of the declared model."""
    own, made = model._schema(), schema_of(STATE.model(model.__key__))
    assert made.declaration == own.declaration
    assert made.shape == own.shape
    if own.kinds:
        assert decode(made.shape_of_kinds) == decode(own.shape_of_kinds), "but for the order of the kinds"
    assert made.shape_for((2, 3)) == own.shape_for((2, 3))
    assert [one.codec.kind for one in made.columns] == [one.codec.kind for one in own.columns]


def test_fields_are_readable() -> None:
    """A field has its type as one writes it, a default as a plain value, and None where the type says so."""
    plain = STATE.model("mig:plain")
    assert plain.field("number") == FieldState("number", "int", default=0)
    assert plain.field("day") == FieldState("day", "date | None")
    assert plain.field("old") == FieldState("old", "int | None")
    assert plain.field("flag") == FieldState("flag", "bool", default=True)
    assert plain.field("raw") == FieldState("raw", "bytes", default=b"\xff")
    assert plain.field("price") == FieldState("price", "Decimal", default="1.50")
    assert plain.field("score") == FieldState("score", "float", default=2.0)
    assert plain.field("tags") == FieldState("tags", "list[str]")
    assert plain.field("either") == FieldState("either", "int | float", default="1", kind="decimal")
    assert plain.field("level") == FieldState("level", f"{__name__}.Level", default=1, kind="int")
    assert plain.field("colour") == FieldState("colour", f"{__name__}.Colour", default="red", kind="text")
    assert plain.field("address") == FieldState("address", f"{__name__}.Address | None")
    assert plain.pk == FieldState("id", "int", primary_key=True)
    assert STATE.model("mig_target").pk == FieldState("name", "str", primary_key=True)


def test_indexes_and_relations_are_parts_of_the_model() -> None:
    """An index is no option of a field; a foreign key has its field, its index and its relation."""
    plain, source = STATE.model("mig:plain"), STATE.model("mig_source")
    assert IndexState("tags", "members", values="text") in plain.indexes
    assert any(one.columns == {"address"} for one in plain.indexes)
    assert plain.expires
    assert RelationState("parent", "parent_id", "mig_source", "set_null") in source.relations
    assert RelationState("code", "code_id", "mig_target", "protect", to_field="code") in source.relations
    assert IndexState("parent_id", "equal") in source.indexes
    assert LinkState("friends", "mig_source", "friends") in source.links
    assert LinkState("targets", "mig_target", "sources") in source.links
    assert [one.name for one in source.links] == ["friends", "follows", "targets"], "not those with through="


def test_a_polymorphic_model_is_one_model_with_kinds() -> None:
    """Its fields say which kinds have them; a default of a kind stands beside them only where it differs."""
    user = STATE.model("mig_user")
    assert user.kinds == ("miguser", "migadmin", "migguest")
    assert user.field("until") == FieldState("until", "int", default=4, kinds=("migadmin", "migguest"))
    assert user.field("note") == FieldState("note", "str | None", kinds=("migguest",))
    assert user.field("rights") == FieldState("rights", "int", default=0)
    assert user.kind_defaults == {"migadmin": {"rights": 9}, "migguest": {"until": 3}}
    assert user.field("kind") == FieldState("kind", "str", default="miguser")


@pytest.mark.parametrize(
    "annotation",
    [
        int,
        list[str],
        dict[str, int],
        tuple[int, ...],
        Colour,
        Level,
        Literal["a", 1],
        Literal[Colour.RED],
        int | float,
        Address,
        IPv4Address,
        SecretStr,
        datetime,
    ],
)
def test_a_type_is_found_again_by_its_text(annotation: Any) -> None:
    """The text of a type is evaluated to it, classes by their modules."""
    assert type_of(FieldState("x", type_text(annotation), kind=codec_for(annotation).kind)) == annotation


def test_a_class_that_is_gone_leaves_a_plain_type() -> None:
    """The class of an older version of the application can't be imported: values are of a plain type of their kind."""
    assert type_of(FieldState("x", "gone.models.Colour", kind="text")) is str
    assert type_of(FieldState("x", f"{__name__}.Gone | None", kind="int")) is int


@pytest.mark.parametrize(
    ("old", "new", "text", "expected"),
    [
        ("int", "str", b"12", b"12"),
        ("str", "int", b"12", b"12"),
        ("int", "float", b"1", b"1.0"),
        ("float", "Decimal", b"0.1", b"0.1"),
        ("bool", "str", b"1", b"True"),
        ("str", "bool", b"yes", b"1"),
        ("date", "datetime", b"2024-01-02", b"2024-01-02T00:00:00.000000"),
        ("str", "list[str]", b"x", None),
        ("str", "int", b"x", None),
    ],
)
def test_texts_are_converted_by_their_types(old: str, new: str, text: bytes, expected: bytes | None) -> None:
    """A text of one type becomes that of the same value of another type, or it is refused."""
    convert = converter(FieldState("x", old), FieldState("x", new))
    if expected is None:
        with pytest.raises(ValueError):
            convert(text)
    else:
        assert convert(text) == expected


def test_each_kind_of_value_has_a_codec() -> None:
    """The kinds of all fields of the models here are known."""
    for model in STATE.models.values():
        for field in model.fields:
            assert codec_of_kind(field.kind).kind == field.kind


def test_unknown_names_are_refused_with_a_hint() -> None:
    """A model and a field that are not there are named, with the nearest."""
    with pytest.raises(MigrationError, match=r"no model with the key 'mig_usr' here: did you mean 'mig_user'\?"):
        STATE.model("mig_usr")
    with pytest.raises(MigrationError, match=r"'mig_user' has no field 'nam' here: did you mean 'name'\?"):
        STATE.model("mig_user").field("nam")


def test_the_order_of_parts_says_nothing() -> None:
    """Two models with the same parts in another order have the same canonical form, the primary key first."""
    user = STATE.model("mig_user")
    other = ModelState(
        user.key,
        user.name,
        user.fields[::-1],
        user.indexes[::-1],
        user.constraints,
        user.relations,
        user.links,
        kinds=("miguser", "migguest", "migadmin"),
        kind_defaults=dict(reversed([*user.kind_defaults.items()])),
    )
    assert other != user
    assert other.canonical == user.canonical
    assert other.canonical.fields[0] == user.pk
