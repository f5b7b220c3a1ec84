"""Classes that can be made: types of a function or declared later, generic bases, Meta and managers that inherit."""

from __future__ import annotations

import sys
from enum import Enum
from typing import Any, ClassVar, Generic, Self, TypeVar

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

import ormis
from model_factory import make
from ormis import Field, ForeignKey, ManyToMany, ModelError, OneToOne
from ormis.schema import registry

T = TypeVar("T")
U = TypeVar("U")


# Types that are named before they exist ------------------------------------------------------------------------------


def test_types_of_a_function(db: ormis.Database) -> None:
    """Fields may have types of the function in which the class stands, and an index."""

    class Colour(Enum):
        RED = "red"
        BLUE = "blue"

    class Car(ormis.Model):
        colour: Colour = Field(index=True)
        others: list[Colour] = []
        label: Colour | None = None

        class Meta:
            key = "creation_car"

    car = Car(colour="red", others=["blue"]).save()
    assert Car.get(car.pk).model_dump() == {"id": 1, "colour": Colour.RED, "others": [Colour.BLUE], "label": None}
    assert Car.objects.filter(colour=Colour.RED).explain().count("equality index") == 1
    assert Car.objects.filter(colour=Colour.RED).count() == 1


def test_types_that_come_later_in_the_function(db: ormis.Database) -> None:
    """The type of a field may be declared after the class, and is found when the class is used."""

    class Later(ormis.Model):
        rank: Rank = Field(index=True)
        part: Part | None = None

        class Meta:
            key = "creation_later"

    with pytest.raises(ModelError, match=r"Later can't be used yet: not declared are Rank"):
        Later.objects.count()

    class Rank(Enum):
        LOW = 1
        HIGH = 2

    class Part(BaseModel):
        n: int

    Later(rank=1, part={"n": 3}).save()
    assert Later.get(1).part == Part(n=3)
    assert Later.objects.filter(rank=Rank.LOW).count() == Later.objects.filter(Later.rank == Rank.LOW).count() == 1
    with pytest.raises(ValidationError):
        Later(rank=7)


@pytest.mark.parametrize("use", ["get", "filter", "create", "attribute", "validate", "rebuild"])
def test_whatever_uses_the_class_first_finds_its_types(use: str, db: ormis.Database) -> None:
    """A model that waits for a type is complete at its first use, in whatever way it is used."""

    class Waiting(ormis.Model):
        part: Part | None = None

        class Meta:
            key = f"creation_waiting_{use}"

    class Part(BaseModel):
        n: int

    if use == "get":
        with pytest.raises(Waiting.DoesNotExist):
            Waiting.get(1)
    elif use == "filter":
        assert Waiting.objects.filter(part=None).count() == 0
    elif use == "create":
        assert Waiting.objects.create(part=Part(n=1)).part == Part(n=1)
    elif use == "attribute":
        assert repr(Waiting.part) == "Waiting.part"
    elif use == "validate":
        assert Waiting.model_validate({"part": {"n": 1}}).save().part == Part(n=1)
    else:
        Waiting.model_rebuild()
    assert Waiting.get(Waiting(part={"n": 2}).save().pk).part == Part(n=2)


def test_relations_of_a_model_that_waits_for_a_type(db: ormis.Database) -> None:
    """What refers to an object is known when it is deleted, filtered or asked, though its types came later."""

    class Owner(ormis.Model):
        name: str = ""

        class Meta:
            key = "creation_owner"

    class Pet(ormis.Model):
        owner: ForeignKey[Owner] = ForeignKey(on_delete=ormis.CASCADE)
        kind: Kind

        class Meta:
            key = "creation_pet"

    class Kind(Enum):
        CAT = "cat"

    owner: Any = Owner().save()
    assert list(owner.pet_set.all()) == []
    Pet(owner=owner, kind="cat").save()
    assert Owner.objects.filter(pet__kind=Kind.CAT).count() == 1
    assert owner.delete() == (2, {"Owner": 1, "Pet": 1})


def test_a_query_through_a_model_that_waits_names_it(db: ormis.Database) -> None:
    """A path to a model whose type is not declared is a ModelError that names both."""

    class Vague(ormis.Model):
        kind: Nowhere  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore[reportUndefinedVariable, reportUnknownVariableType]

        class Meta:
            key = "creation_vague"

    class User(ormis.Model):
        vague: ForeignKey[Vague | None] = ForeignKey()

        class Meta:
            key = "creation_user"

    try:
        with pytest.raises(ModelError, match=r"Vague can't be used yet: not declared are Nowhere"):
            User.objects.filter(vague__kind=1).count()
        User().save()
        assert User.objects.count() == 1
    finally:
        registry.forget(Vague)
        registry.forget(User)


def test_a_field_of_the_own_class_in_an_abstract_base(db: ormis.Database) -> None:
    """Later types of an abstract base are found for the models made from it."""

    class Base(ormis.Model):
        level: Level | None = None

        class Meta:
            abstract = True

    class Entry(Base):
        class Meta:
            key = "creation_entry"

    class Level(Enum):
        ONE = 1

    assert Entry.get(Entry(level=1).save().pk).level is Level.ONE


class ModuleLater(ormis.Model):
    part: ModulePart | None = None

    class Meta:
        key = "creation_module_later"


class ModulePart(BaseModel):
    n: int


def test_types_that_come_later_in_the_module(db: ormis.Database) -> None:
    """A type of the module may be declared after the class."""
    assert ModuleLater.get(ModuleLater(part={"n": 1}).save().pk).part == ModulePart(n=1)


# Generic bases -------------------------------------------------------------------------------------------------------


class Measured(ormis.Model, Generic[T]):
    value: T = Field(index=True)
    unit: str = Field(default="m", index=True)
    more: list[T] = []

    class Meta:
        abstract = True
        ordering = ["-value"]


class Reading(Measured[float]):
    place: str = ""

    class Meta:
        key = "creation_reading"


class Label(Measured[str]):
    class Meta:
        key = "creation_label"


def test_a_generic_base_gives_its_fields_a_type(db: ormis.Database) -> None:
    """A model of Base[X] has fields of type X, with their indexes, and the Meta of the base."""
    for value in ("1.5", 3):
        Reading(value=value, more=["2"]).save()
    Label(value="x", more=["y"]).save()
    assert [(r.value, r.more) for r in Reading.objects.all()] == [(3.0, [2.0]), (1.5, [2.0])]
    assert Reading.objects.filter(value__gt=2, unit="m").count() == 1
    assert "sorted index" in Reading.objects.filter(value__gt=2).explain()
    assert "equality index" in Label.objects.filter(value="x").explain()
    assert Label.get(1).value == "x"
    with pytest.raises(ValidationError):
        Reading(value="x")


def test_generic_bases_may_be_given_types_one_by_one(db: ormis.Database) -> None:
    """A base of two parameters passes on the one that is left."""

    class Pair(ormis.Model, Generic[T, U]):
        left: T
        right: U

        class Meta:
            abstract = True

    class IntPair(Pair[int, U], Generic[U]):
        class Meta:
            abstract = True

    class IntText(IntPair[str]):
        class Meta:
            key = "creation_int_text"

    assert IntText.get(IntText(left="1", right="2").save().pk).model_dump() == {"id": 1, "left": 1, "right": "2"}


def test_relations_of_a_generic_base_lead_to_its_parameter(db: ormis.Database) -> None:
    """ForeignKey[T] and ManyToMany[T] of Base[X] lead to X."""

    class Person(ormis.Model):
        name: str = ""

        class Meta:
            key = "creation_person"

    class Owned(ormis.Model, Generic[T]):
        owner: ForeignKey[T] = ForeignKey(related_name="%(class)ss")
        fans: ManyToMany[T] = ManyToMany(related_name="%(class)s_fans")

        class Meta:
            abstract = True

    class House(Owned[Person]):
        class Meta:
            key = "creation_house"

    class Boat(Owned[Person]):
        class Meta:
            key = "creation_boat"

    ann: Any = Person(name="Ann").save()
    house: Any = House(owner=ann).save()
    house.fans.add(ann)
    assert (list(ann.houses.all()), list(ann.boats.all()), list(house.fans.all())) == ([house], [], [ann])
    assert ann.boat_fans.count() == 0


def test_a_generic_model_that_is_stored_says_what_to_write() -> None:
    """Two types can't share one key, so Box[int] of a stored Box is refused."""

    class Box(ormis.Model, Generic[T]):
        value: T

        class Meta:
            key = "creation_box"

    with pytest.raises(ModelError, match=r"Box\[int\]: Box is stored itself.*abstract = True.*class Own\(Box\[int\]\)"):
        Box[int]


# Meta and managers ---------------------------------------------------------------------------------------------------


class Counted(ormis.Model):
    votes: int = 0

    class Meta:
        abstract = True
        ordering = ["-votes"]


def test_a_meta_inherits_from_the_meta_of_a_base() -> None:
    """Class Meta(Base.Meta) has the options of the base but that it is abstract, also two bases up."""

    class Middle(Counted):
        class Meta(Counted.Meta):
            abstract = True
            get_latest_by = "votes"

    class Vote(Middle):
        class Meta(Middle.Meta):
            key = "creation_vote"

    class Plain(Counted):
        class Meta(Counted.Meta):
            pass

    assert Vote.__options__.ordering == Plain.__options__.ordering == ("-votes",)
    assert (Vote.__options__.get_latest_by, Vote.__key__, Plain.__key__) == ("votes", "creation_vote", "plain")
    assert Vote.Meta.ordering == ["-votes"]


def test_a_meta_inherits_from_a_plain_class() -> None:
    """A class that is no model's Meta passes on everything, abstract too."""

    class Common:
        abstract = True
        ordering = ["votes"]

    class Base(ormis.Model):
        votes: int = 0

        class Meta(Common):
            pass

    assert (Base.__key__, Base.__options__.ordering) == ("", ("votes",))


class PollManager(ormis.Manager[Any]):
    def popular(self) -> Any:
        """The popular ones."""
        return self.filter(votes__gte=10)


def test_managers_may_be_class_variables(db: ormis.Database) -> None:
    """A manager may be annotated, as ClassVar too, also where the base sets it."""

    class Annotated(ormis.Model):
        votes: int = 0
        objects: ClassVar[PollManager] = PollManager()
        others: PollManager = PollManager()

        class Meta:
            key = "creation_annotated"

    class Base(ormis.Model):
        votes: int = 0
        objects = PollManager()

        class Meta:
            abstract = True

    class Derived(Base):
        objects: ClassVar[PollManager]

        class Meta:
            key = "creation_derived"

    for model in (Annotated, Derived):
        model(votes=10).save()
        assert model.objects.popular().count() == 1
        assert "objects" not in model.model_fields
    assert Annotated.others.popular().count() == 1


# Targets of relations ------------------------------------------------------------------------------------------------


def test_relations_to_the_own_model(db: ormis.Database) -> None:
    """Self, quoted or not, with and without None, is the model itself, of each model made from a base."""

    class Tree(ormis.Model):
        parent: ForeignKey[Self | None] = ForeignKey(related_name="children")
        twin: OneToOne[Self | None] = OneToOne(related_name="twin_of")
        friends: ManyToMany[Self] = ManyToMany()

        class Meta:
            abstract = True

    class Oak(Tree):
        class Meta:
            key = "creation_oak"

    class Elm(Tree):
        class Meta:
            key = "creation_elm"

    for model in (Oak, Elm):
        root: Any = model().save()
        leaf: Any = model(parent=root, twin=root).save()
        leaf.friends.add(root)
        assert (leaf.parent, leaf.twin, list(root.children.all()), list(root.friends.all())) == (
            root,
            root,
            [leaf],
            [leaf],
        )


def test_a_field_may_be_called_convert(db: ormis.Database) -> None:
    """Names of ormis's own work are free for fields."""

    class Unit(ormis.Model):
        convert: int = Field(default=0, index=True)
        schema_: int = 1
        write: int = 2
        codec: int = 3
        columns: int = 4

        class Meta:
            key = "creation_unit"

    Unit(convert=2).save()
    assert Unit.objects.get(convert=2).model_dump() == {
        "id": 1, "convert": 2, "schema_": 1, "write": 2, "codec": 3, "columns": 4,
    }  # fmt: skip


def test_a_deferred_build_is_completed(db: ormis.Database) -> None:
    """defer_build=True of pydantic's configuration builds the model at its first use."""

    class Slow(ormis.Model):
        model_config = ConfigDict(defer_build=True)
        x: int = 0

        class Meta:
            key = "creation_slow"

    assert Slow.get(Slow(x="3").save().pk).x == 3


@pytest.mark.parametrize(
    ("annotation", "match"),
    [
        (ForeignKey[int], r"Broken\.x: int is no model.*ForeignKey\[Other\].*`: int`"),
        ("ForeignKey[int]", r"Broken\.x: int is no model"),
        ("ForeignKey[ModulePart]", r"Broken\.x: ModulePart is no model"),
        (ForeignKey[ModulePart], r"Broken\.x: ModulePart is no model"),
        (ForeignKey[int | None], r"Broken\.x: int is no model"),
        (OneToOne[str], r"Broken\.x: str is no model.*OneToOne\[Other\]"),
        (ManyToMany[int], r"Broken\.x: int is no model.*ManyToMany\[Other\]"),
        (ForeignKey[list[int]], r"Broken\.x: .*ManyToMany"),
        (ForeignKey[Reading | Label], r"Broken\.x: a relation leads to one model"),
        ("ForeignKey[Reading | Label]", r"Broken\.x: a relation leads to one model"),
        (ForeignKey[None], r"Broken\.x: a relation leads to one model"),
        (ForeignKey[Measured], r"Broken\.x: Measured is abstract"),
        (ForeignKey[ormis.Model], r"Broken\.x: Model is abstract"),
    ],
)
def test_relations_to_what_is_no_model_are_refused(annotation: Any, match: str) -> None:
    """A relation leads to one model that is stored; the error names the field and says what to write."""
    with pytest.raises(ModelError, match=match):
        make("Broken", __name__, x=(annotation, None))


def test_a_through_that_is_no_model_is_refused() -> None:
    """The through model is a model or its name."""
    with pytest.raises(ModelError, match=r"Broken\.x: through: int is no model"):
        make("Broken", __name__, x=(ManyToMany[Reading], ManyToMany(through=int)))


@pytest.mark.parametrize(
    ("said", "nullable"),
    [
        ("Reading", False),
        ("Reading | None", True),
        ("None | Reading", True),
        ("Optional[Reading]", True),
        ("typing.Optional['Reading']", True),
        ("Union[Reading, None]", True),
        ("'Reading | None'", True),
        ("Own", False),
        ("this.Reading", False),
    ],
)
@pytest.mark.parametrize("quoted", [False, True])
def test_targets_are_named_in_every_way(said: str, nullable: bool, quoted: bool) -> None:
    """A name may be optional as any annotation may, an imported module's, or another name of the class."""
    annotation: Any = f"ForeignKey[{said}]" if not quoted else ForeignKey[said]
    made = make("Named", __name__, x=(annotation, ForeignKey(related_name="+")))
    assert made.model_fields["x_id"].annotation == (int | None if nullable else int)
    assert made._schema().references[0].target == "creation_reading"
    registry.forget(made)


Own = Reading
this = sys.modules[__name__]


# Classes that are refused --------------------------------------------------------------------------------------------


def test_a_refused_class_leaves_the_others_as_they_were(db: ormis.Database) -> None:
    """A class that is refused is not known afterwards: what waited for it waits on, what it completed is as before."""
    shelf = make("LeftShelf", __name__)
    box = make("LeftBox", __name__, lid=(ForeignKey["LeftLid"], ForeignKey(related_name="boxes")))
    for body in ({"boxes": (int, 1)}, {"shelf": (ForeignKey[shelf], ForeignKey(related_name="save"))}):
        with pytest.raises(ModelError):
            make("LeftLid", __name__, shelf2=(ForeignKey[shelf], ForeignKey(related_name="lids")), **body)
        assert shelf().save().delete() == (1, {"LeftShelf": 1})
        assert not hasattr(shelf, "lids")
        assert shelf.objects.filter(pk=1).explain()
        with pytest.raises(ModelError, match=r"LeftBox can't be used yet: not declared are lid -> LeftLid"):
            box.objects.count()
    lid = make("LeftLid", __name__, title=(str, Field(primary_key=True)))
    box(lid=lid(title="round").save()).save()
    assert [*lid.get("round").boxes.all()] == [box.get(1)]
    assert box.get(1).lid_id == "round"


def test_a_refused_class_that_several_waited_for(db: ormis.Database) -> None:
    """One of the classes that waited can't be completed: the others, which were, wait again."""
    first = make("WaitFirst", __name__, end=(ForeignKey["WaitEnd"], ForeignKey(related_name="firsts")))
    make("WaitSecond", __name__, end=(ForeignKey["WaitEnd"], ForeignKey(related_name="label")))
    third = make("WaitThird", __name__, end=(ManyToMany["WaitEnd"], ManyToMany(related_name="thirds")))
    with pytest.raises(ModelError, match=r"WaitSecond\.end: WaitEnd has 'label' already"):
        make("WaitEnd", __name__, label=(str, ""))
    for model in (first, third):
        with pytest.raises(ModelError, match="can't be used yet"):
            model.objects.count()
    end = make("WaitEnd", __name__, title=(str, ""))
    assert (first(end=end().save()).save().end_id, third().save().end.count()) == (1, 0)


def test_a_refused_class_in_the_place_of_another(db: ormis.Database) -> None:
    """A class that is made again and refused leaves the one before it in its place, with its relations."""
    shelf = make("AgainShelf", __name__)
    book = make("AgainBook", __name__, shelf=(ForeignKey[shelf], ForeignKey(on_delete=ormis.CASCADE)))
    page = make("AgainPage", __name__, book=(ForeignKey[book], ForeignKey(on_delete=ormis.CASCADE)))
    with pytest.raises(ModelError):
        make(
            "AgainBook",
            __name__,
            shelf=(ForeignKey[shelf], ForeignKey()),
            other=(ForeignKey[shelf], ForeignKey(related_name="delete")),
        )
    page(book=book(shelf=shelf().save()).save()).save()
    assert [*shelf.get(1).againbook_set.all()] == [book.get(1)]
    assert page.objects.filter(book__shelf=1).count() == 1
    assert shelf.get(1).delete() == (3, {"AgainBook": 1, "AgainPage": 1, "AgainShelf": 1})
