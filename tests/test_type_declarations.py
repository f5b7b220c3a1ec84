"""What is written for type checkers, at run time: it declares, compares and stores as it says."""

from __future__ import annotations

from typing import Any

import pytest

import ormis
from ormis import SET_NULL, Field, ForeignKey, OneToOne, Q, Related, RelatedOne, col


class Person(ormis.Model):
    name: str
    age: int | None = None
    passport: RelatedOne[Passport] = RelatedOne()
    visas: Related[Visa] = Related()

    class Meta:
        key = "typed_person"


class Passport(ormis.Model):
    person: OneToOne[Person] = OneToOne()
    person_id: int = Field(init=False)
    number: str = ""

    class Meta:
        key = "typed_passport"


class Visa(ormis.Model):
    person: ForeignKey[Person | None] = ForeignKey(on_delete=SET_NULL, related_name="visas")
    person_id: int | None = None

    class Meta:
        key = "typed_visa"


def test_the_other_side_of_a_one_to_one(db: ormis.Database) -> None:
    """RelatedOne names the object on the other side, and stores nothing."""
    ann = Person(name="Ann").save()
    passport = Passport(person=ann, number="x").save()
    assert ann.passport == passport
    assert Person.get(1).passport.number == "x"
    assert Person.objects.filter(passport__number="x").count() == 1
    assert set(Person.model_fields) == {"id", "name", "age"}


@pytest.mark.parametrize("given", ["object", "key", "field"])
def test_a_declared_key_field_is_the_stored_one(db: ormis.Database, given: str) -> None:
    """The field of a foreign key may be declared; the constructor takes the object, its key, or the field."""
    ann = Person(name="Ann").save()
    values: dict[str, Any] = {"object": {"person": ann}, "key": {"person": 1}, "field": {"person_id": 1}}[given]
    for model in (Passport, Visa):
        stored = model(**values).save()
        assert (stored.person_id, stored.person, model.get(1).person_id) == (1, ann, 1)
    assert Visa().person_id is None
    with pytest.raises(ormis.ForeignKeyViolation):
        Passport(person=7).save()


def test_a_declared_key_field_without_a_default_is_required() -> None:
    """`Field(init=False)` changes nothing at run time: a required foreign key is required."""
    with pytest.raises(ValueError, match="person_id"):
        Passport(number="x")


def test_a_declared_reverse_side_is_of_its_kind() -> None:
    """An annotation and what is assigned to it have to be the same declaration."""
    with pytest.raises(ormis.ModelError, match="annotated as RelatedOne"):

        class Owner(ormis.Model):  # pyright: ignore[reportUnusedClass]
            thing: RelatedOne[Any] = Related()  # type: ignore[assignment]


def test_col_is_the_class_attribute(db: ormis.Database) -> None:
    """col() returns the attribute of the class, whatever its type, also across a relation."""
    Person.objects.bulk_create([Person(name="Ann", age=30), Person(name="Bob", age=50), Person(name="Cid")])
    Visa(person=2).save()
    assert [person.name for person in Person.objects.filter(col(Person.age) > 40)] == ["Bob"]
    assert Visa.objects.filter(col(Visa.person.age) > 40).count() == 1


@pytest.mark.parametrize("value", [3, None, "age", Q(age=3)])
def test_col_refuses_other_values(value: Any) -> None:
    """col() of a value is a TypeError that names it and what to give."""
    with pytest.raises(TypeError, match=r"col\(\) takes a class attribute such as Question.rank, not"):
        col(value)


@pytest.mark.parametrize("value", [True, 3, "x"])
def test_only_conditions_are_joined(value: Any) -> None:
    """A Q joined with a value, on either side, is a TypeError that says what can be joined."""
    condition: Any = Q(age=3)
    for join in (
        lambda: condition & value,
        lambda: value & condition,
        lambda: condition | value,
        lambda: value | condition,
        lambda: condition ^ value,
        lambda: value ^ condition,
    ):
        with pytest.raises(TypeError, match="is no condition"):
            join()


def test_managers_belong_to_the_class() -> None:
    """An object has no manager: AttributeError."""
    person: Any = Person(name="Ann")
    with pytest.raises(AttributeError, match="objects"):
        person.objects  # noqa: B018
    assert not hasattr(person, "objects")
    assert repr(Person.objects) == "<Manager of Person>"
