"""Declaring models: what a class body may say, and what is refused when the class is made."""

from datetime import datetime
from enum import Enum
from typing import Any
from uuid import UUID, uuid4

import pydantic
import pytest

import ormis
from ormis import CASCADE, SET_NULL, F, Field, ForeignKey, Index, ModelError, OneToOne, Related, UniqueConstraint


class Author(ormis.Model):
    name: str = Field(max_length=20)
    email: str | None = Field(default=None, unique=True)
    born: int = Field(default=1970, index=True)
    books: Related["Book"]

    class Meta:
        key = "models_author"


class Book(ormis.Model):
    author: ForeignKey[Author] = ForeignKey(on_delete=CASCADE, related_name="books")
    title: str = Field(index="sorted")
    sequel: ForeignKey["Book | None"] = ForeignKey(on_delete=SET_NULL)

    class Meta:
        key = "models_book"
        ordering = ["title"]
        constraints = [UniqueConstraint("author", "title")]
        indexes = [Index("author", "title")]


def test_automatic_id_is_the_first_field() -> None:
    """A model without a primary key has an optional int `id`, before its own fields."""
    author = Author(name="Ann")
    assert (author.id, author.pk) == (None, None)
    assert list(Author.model_fields) == ["id", "name", "email", "born"]
    assert author.model_dump() == {"id": None, "name": "Ann", "email": None, "born": 1970}


def test_foreign_key_is_stored_as_the_key_of_the_other() -> None:
    """A relation is a field `<name>_id` of the type of the other model's key, in its place among the fields."""
    assert list(Book.model_fields) == ["id", "author_id", "title", "sequel_id"]
    assert Book.model_fields["author_id"].annotation is int
    assert Book(author_id="3", title="x").model_dump() == {"id": None, "author_id": 3, "title": "x", "sequel_id": None}
    assert Book.model_validate_json('{"author_id": 3, "title": "x"}').author_id == 3
    assert Book(author=3, title="x").author_id == 3


def test_required_relation_is_asked_for() -> None:
    """Without a key for a required relation the object can't be made."""
    with pytest.raises(pydantic.ValidationError, match="author_id"):
        Book(title="x")


def test_unknown_and_double_arguments_are_refused() -> None:
    """An argument that is no field is refused, and so is a relation given twice."""
    with pytest.raises(pydantic.ValidationError, match="nmae"):
        Author(name="Ann", nmae="Ann")
    with pytest.raises(TypeError, match="author or author_id"):
        Book(author=1, author_id=1, title="x")


def test_assignment_is_validated() -> None:
    """A value that does not fit is refused when it is assigned, and the object keeps the old one."""
    author = Author(name="Ann")
    with pytest.raises(pydantic.ValidationError):
        author.name = "x" * 21
    with pytest.raises(ValueError, match="nmae"):
        author.nmae = "x"
    assert author.name == "Ann"


def test_unsaved_related_object_is_refused() -> None:
    """An object that has no key yet can't be pointed at, when it is given and when it is assigned."""
    with pytest.raises(ormis.ForeignKeyViolation, match=r"Book\.author.*Ann.*not saved"):
        Book(author=Author(name="Ann"), title="x")
    book = Book(author_id=1, title="x")
    with pytest.raises(ormis.ForeignKeyViolation, match=r"Book\.author"):
        book.author = Author(name="Ann")
    with pytest.raises(TypeError, match=r"Book\.author takes a Author"):
        book.author = Book(id=1, author_id=1, title="x")


def test_related_objects_need_a_saved_object() -> None:
    """The relations of an unsaved object are refused with its name."""
    with pytest.raises(ormis.ForeignKeyViolation, match=r"Author\.books.*Ann"):
        _ = Author(name="Ann").books


def test_objects_are_equal_by_model_and_key() -> None:
    """Objects with one key are equal, unsaved ones only to themselves; hashable once there is a key."""
    assert Author(id=1, name="a") == Author(id=1, name="b")
    assert Author(id=1, name="a") != Author(id=2, name="a")
    assert Author(name="a") != Author(name="a")
    assert Author(id=1, name="a") != Book(id=1, author_id=1, title="a")
    assert len({Author(id=1, name="a"), Author(id=1, name="b")}) == 1
    with pytest.raises(TypeError, match="no primary key"):
        hash(Author(name="a"))


def test_declared_primary_keys() -> None:
    """A declared key of type str, int or UUID takes the place of `id`; `pk` is its alias."""

    class Product(ormis.Model):
        sku: str = Field(primary_key=True)
        name: str = ""

    class Job(ormis.Model):
        uid: UUID = Field(default_factory=uuid4, primary_key=True)

    product = Product(sku="a-1")
    assert (product.pk, product.key) == ("a-1", "product:a-1")
    assert isinstance(Job().pk, UUID)
    assert "id" not in Product.model_fields


def test_abstract_base_passes_on_fields_and_meta() -> None:
    """Fields, relations and Meta of an abstract base belong to every model made from it; it is no model itself."""

    class Stamped(ormis.Model):
        created: datetime = Field(default_factory=datetime.now, index=True)

        class Meta:
            abstract = True
            ordering = ["-created"]

    class Note(Stamped):
        text: str = ""

    assert set(Note.model_fields) == {"id", "created", "text"}
    assert Note.__options__.ordering == ("-created",)
    assert Note.__key__ == "note"
    with pytest.raises(ModelError, match="abstract"):
        Stamped.objects.count()


def refuse(match: str, body: dict[str, Any], annotations: dict[str, Any], name: str = "Broken") -> None:
    with pytest.raises(ModelError, match=match):
        type(ormis.Model)(
            name, (ormis.Model,), {"__module__": __name__, "__qualname__": name, "__annotations__": annotations, **body}
        )


@pytest.mark.parametrize("name", ["objects", "save", "key", "pk", "delete", "asave", "model_thing", "a__b"])
def test_names_that_the_api_needs_are_refused(name: str) -> None:
    """A field that would hide a part of the API, or could not be told from a lookup, is refused by name."""
    refuse(rf"Broken\.{name}", {}, {name: str})


def test_two_models_with_one_key_are_refused() -> None:
    """A second model with the key of another is refused; a prefix that would mix with another's keys, too."""

    class First(ormis.Model):
        class Meta:
            key = "taken"

    refuse("same key 'taken'", {"Meta": type("Meta", (), {"key": "taken"})}, {})
    refuse("would mix", {"Meta": type("Meta", (), {"key": "taken:more"})}, {})
    assert First.__key__ == "taken"


@pytest.mark.parametrize(
    ("match", "meta"),
    [
        ("no option 'orderin'", {"orderin": ["x"]}),
        ("Meta.key='a/b'", {"key": "a/b"}),
        ("ordering='x'", {"ordering": "x"}),
        (r"Index\('y'\) names 'y'", {"indexes": [Index("y")]}),
        (r"UniqueConstraint\('x', 'x'\) names a field twice", {"constraints": [UniqueConstraint("x", "x")]}),
        ("is no Index", {"indexes": ["x"]}),
        ("ttl: 0 is no time to live", {"ttl": 0}),
        ("ttl: 'long' is no time to live", {"ttl": "long"}),
        ("ttl: nan is no time to live", {"ttl": float("nan")}),
    ],
)
def test_wrong_meta_is_refused(match: str, meta: dict[str, Any]) -> None:
    """An unknown option and one of the wrong type or with a wrong name are refused, with what there is."""
    refuse(match, {"Meta": type("Meta", (), meta)}, {"x": str})


def test_indexes_that_cannot_be_are_refused() -> None:
    """A field stored as JSON has no index and is never unique; a sorted index is for text and numbers."""
    refuse(r"Broken\.tags", {"tags": Field(default_factory=list, index=True)}, {"tags": list[str]})
    refuse(r"Broken\.tags", {"tags": Field(default_factory=dict, unique=True)}, {"tags": dict[str, int]})
    refuse(r"Broken\.flag", {"flag": Field(default=False, index="sorted")}, {"flag": bool})


def test_wrong_relations_are_refused() -> None:
    """SET_NULL needs an optional relation, a relation needs an annotation, a second primary key is one too many."""
    refuse("SET_NULL needs an optional", {"author": ForeignKey(on_delete=SET_NULL)}, {"author": ForeignKey[Author]})
    refuse("needs an annotation", {"author": ForeignKey()}, {})
    refuse("two primary keys", {"a": Field(primary_key=True), "b": Field(primary_key=True)}, {"a": int, "b": int})
    refuse("related_name=", {"author": ForeignKey(related_name="books")}, {"author": ForeignKey[Author]})
    refuse("related_name=", {"author": ForeignKey(related_name="name")}, {"author": ForeignKey[Author]})


def test_inheriting_from_a_stored_model_is_refused() -> None:
    """Only abstract models can be inherited from."""
    with pytest.raises(ModelError, match="Author, which is stored itself"):
        type("More", (Author,), {"__module__": __name__})


def test_forward_reference_waits_for_its_class() -> None:
    """A model that refers to one declared later can be used once that is declared, and says so before."""

    class Early(ormis.Model):
        late: ForeignKey["Late | None"] = ForeignKey(related_name="earlies")

    with pytest.raises(ModelError, match="late -> Late"):
        Early.objects.count()

    class Late(ormis.Model):
        code: str = Field(primary_key=True)

    assert Early.model_fields["late_id"].annotation == str | None
    assert Early(late=Late(code="x")).late_id == "x"


def test_one_to_one_and_default_reverse_names() -> None:
    """Without related_name the other side is `<model>_set`, for a one-to-one relation `<model>`."""

    class Person(ormis.Model):
        name: str = ""

    class Passport(ormis.Model):
        person: OneToOne[Person] = OneToOne()

    class Visit(ormis.Model):
        person: ForeignKey[Person] = ForeignKey()

    assert {"passport", "visit_set"} <= set(vars(Person))
    assert Visit(person=1).person_id == Passport(person_id=1).person_id == 1


def test_repr_shows_the_stored_fields() -> None:
    """The repr names the model and its fields."""
    assert repr(Book(author_id=1, title="x")) == "Book(id=None, author_id=1, title='x', sequel_id=None)"


def test_using_a_model_before_connect_says_what_to_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a database the error names the model and connect()."""
    monkeypatch.setattr("ormis.connecting._default", None)
    with pytest.raises(ormis.NotConnected, match=r"Author.*ormis\.connect\(\)"):
        Author(name="Ann").save()


class Color(Enum):
    """An enum for a default."""

    RED = "red"


def test_json_schema_and_defaults_are_pydantics() -> None:
    """A model is a pydantic model: JSON schema, computed defaults and enums work as there."""

    class Shirt(ormis.Model):
        color: Color = Field(default=Color.RED, index=True)

    assert Shirt().model_dump_json() == '{"id":null,"color":"red"}'
    assert set(Shirt.model_json_schema()["properties"]) == {"id", "color"}


def test_a_field_may_be_called_convert(db: ormis.Database) -> None:
    """Names of ormis's own work are free for fields: such an object is saved, counted and read as any other."""

    class Unit(ormis.Model):
        convert: float = Field(default=1.0, ge=0)

        class Meta:
            key = "models_unit"

    unit = Unit(convert=2.5).save()
    unit.convert = F("convert") * 3
    unit.save()
    assert Unit.get(unit.pk).convert == unit.convert == 7.5
    assert Unit.objects.filter(convert__gt=7).update(convert=F("convert") / 2) == 1
    assert Unit.objects.get().convert == 3.75
