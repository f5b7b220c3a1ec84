"""Options that do not exist, or would be dropped, are refused with what to write."""

import inspect
import warnings
from typing import Annotated, Any

import pydantic
import pytest

import ormis
from model_factory import make
from ormis import Field, ForeignKey, Index, ManyToMany, ModelError, OneToOne, Related, UniqueConstraint


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("uniqe", "unique"),
        ("idnex", "index"),
        ("primarykey", "primary_key"),
        ("max_lenght", "max_length"),
        ("defualt_factory", "default_factory"),
        ("desciption", "description"),
        ("db_index", "index=True"),
        ("null", r"\| None"),
        ("regex", "pattern"),
    ],
)
def test_an_unknown_option_of_a_field_names_the_nearest(wrong: str, nearest: str) -> None:
    """Field() refuses an option that it does not have, with the nearest one or with what stands in its place."""
    options: dict[str, Any] = {wrong: 3}
    with pytest.raises(ModelError, match=rf"Field\(\) has no option '{wrong}'.*{nearest}"):
        Field(**options)


def test_an_option_like_no_other_lists_them_all() -> None:
    """Where no option is near, the message lists what there is."""
    options: dict[str, Any] = {"zzz": 1}
    with pytest.raises(ModelError, match=r"'zzz'; there are default, index, unique, primary_key.*max_length"):
        Field(**options)


def test_the_signature_shows_the_options_of_pydantic() -> None:
    """An editor is shown every option of pydantic's Field, each as a keyword, besides ormis's own, and no **options."""
    ours, theirs = (inspect.signature(function).parameters for function in (Field, pydantic.Field))
    named = {name for name, parameter in theirs.items() if parameter.kind is not inspect.Parameter.VAR_KEYWORD}
    assert {*ours} == named | {"index", "unique", "primary_key", "auto_now", "auto_now_add"} | {*ours} & {"exclude_if"}
    assert all(parameter.annotation is not inspect.Parameter.empty for parameter in ours.values())


def test_options_of_pydantic_reach_pydantic() -> None:
    """Constraints, aliases, descriptions and a default of None are what they are in pydantic."""

    class Account(ormis.Model):
        name: str = Field(min_length=2, max_length=3, pattern="^[a-z]+$", description="the name", examples=["ab"])
        nick: str | None = Field(None, alias="nickName", exclude=True, repr=False)
        size: int = Field(default_factory=lambda: 3, ge=1, lt=10, json_schema_extra={"unit": "cm"})

        class Meta:
            key = "options_account"

    assert Account(name="abc", nickName="x").model_dump() == {"id": None, "name": "abc", "size": 3}
    assert Account(name="abc").nick is None
    for wrong in ({"name": "a"}, {"name": "abcd"}, {"name": "A1"}, {"name": "ab", "size": 10}):
        with pytest.raises(pydantic.ValidationError):
            Account(**wrong)
    shown = Account.model_json_schema()["properties"]
    assert (shown["name"]["description"], shown["size"]["unit"]) == ("the name", "cm")


@pytest.mark.parametrize(
    ("declare", "match"),
    [
        (lambda o: ForeignKey(**o), r"ForeignKey\(\) has no option '{}'"),
        (lambda o: OneToOne(**o), r"OneToOne\(\) has no option '{}'"),
        (lambda o: ManyToMany(**o), r"ManyToMany\(\) has no option '{}'"),
        (lambda o: Related(**o), r"Related\(\) has no option '{}'"),
        (lambda o: Index("a", **o), r"Index\(\) has no option '{}'"),
        (lambda o: UniqueConstraint("a", **o), r"UniqueConstraint\(\) has no option '{}'"),
    ],
)
def test_unknown_options_of_declarations_are_refused(declare: Any, match: str) -> None:
    """Relations, indexes and constraints refuse options that they do not have, by their own names."""
    with pytest.raises(ModelError, match=match.format("naem")):
        declare({"naem": 1})


@pytest.mark.parametrize(
    ("declare", "match"),
    [
        (lambda: ForeignKey(on_delet=ormis.CASCADE), "did you mean 'on_delete'"),  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        (lambda: OneToOne(relatedname="x"), "did you mean 'related_name'"),  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        (lambda: ForeignKey(null=True), r"ForeignKey\[Other \| None\]"),  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        (lambda: ManyToMany(throuhg="x"), "did you mean 'through'"),  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        (lambda: Related(related_name="x"), "on the other side"),  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        (lambda: Index(fields=["a"]), r'Index\("field", \.\.\.\)'),  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        (lambda: UniqueConstraint(fields=["a"]), r'UniqueConstraint\("field", \.\.\.\)'),  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    ],
)
def test_unknown_options_of_declarations_say_what_to_write(declare: Any, match: str) -> None:
    """The nearest option is named, and what stands in place of Django's options."""
    with pytest.raises(ModelError, match=match):
        declare()


@pytest.mark.parametrize(
    ("meta", "match"),
    [
        ({"orderin": ["x"]}, "has no option 'orderin'; did you mean 'ordering'"),
        ({"contraints": []}, "did you mean 'constraints'"),
        ({"abstarct": True}, "did you mean 'abstract'"),
        ({"db_table": "x"}, "write key="),
        ({"unique_together": ["x"]}, "constraints ="),
        ({"zzz": 1}, "there are key, ordering"),
        ({"__annotations__": {"abstract": True}}, "abstract has an annotation and no value"),
        ({"__annotations__": {"abstarct": True}}, "did you mean 'abstract'"),
    ],
)
def test_unknown_options_of_meta_are_refused(meta: dict[str, Any], match: str) -> None:
    """An unknown option of Meta names the nearest; one that is annotated and not assigned is no option either."""
    with pytest.raises(ModelError, match=rf"Broken\.Meta.*{match}"):
        make("Broken", __name__, meta=meta, x=(str, ""))


@pytest.mark.parametrize("name", ["meta", "META"])
def test_a_meta_by_another_name_is_refused(name: str) -> None:
    """`class meta` would be ignored, so it is refused."""
    body = {"__module__": __name__, "__qualname__": "Broken", name: type(name, (), {"abstract": True})}
    with pytest.raises(ModelError, match=rf"Broken\.{name}.*class Meta"):
        type(ormis.Model)("Broken", (ormis.Model,), body)


def test_a_meta_that_is_no_class_is_refused() -> None:
    """Meta is a class."""
    body = {"__module__": __name__, "__qualname__": "Broken", "Meta": {"abstract": True}}
    with pytest.raises(ModelError, match=r"Broken\.Meta=.*class Meta:"):
        type(ormis.Model)("Broken", (ormis.Model,), body)


def test_the_key_of_an_abstract_base_is_a_prefix() -> None:
    """It comes before the class names of the models made from the base; a key of their own stands alone."""

    class Shop(ormis.Model):
        name: str = ""

        class Meta:
            abstract = True
            key = "shop"

    class Middle(Shop):
        class Meta(Shop.Meta):
            abstract = True

    class Item(Shop):
        pass

    class Order(Middle):
        class Meta(Middle.Meta):
            ordering = ["name"]

    class Person(Shop):
        class Meta:
            key = "options_person"

    assert (Item.__key__, Order.__key__, Person.__key__) == ("shop:item", "shop:order", "options_person")
    assert Item(id=1).key == "shop:item:1"
    assert Shop.__key__ == ""


def test_extra_allow_is_refused() -> None:
    """Values of no declared field have no place in the hash: in the configuration, as an option, and inherited."""

    class Open(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="allow")

    body = {"__module__": __name__, "model_config": {"extra": "allow"}}
    for bases, namespace, options in (
        ((ormis.Model,), body, {}),
        ((ormis.Model,), {"__module__": __name__}, {"extra": "allow"}),
        ((ormis.Model, Open), {"__module__": __name__}, {}),
    ):
        with pytest.raises(ModelError, match=r'Broken: extra="allow" is refused.*dict\[str, Any\]'):
            type(ormis.Model)("Broken", bases, {"__qualname__": "Broken", **namespace}, **options)


def test_extra_ignore_is_pydantics(db: ormis.Database) -> None:
    """extra="ignore" drops unknown arguments because it was asked to."""

    class Lenient(ormis.Model):
        model_config = pydantic.ConfigDict(extra="ignore")
        x: int = 0

        class Meta:
            key = "options_lenient"

    given: dict[str, Any] = {"x": 1, "y": 2}
    assert Lenient.get(Lenient(**given).save().pk).model_dump() == {"id": 1, "x": 1}


@pytest.mark.parametrize("option", ["index", "unique", "primary_key"])
def test_options_of_ormis_in_the_field_of_pydantic_are_refused(option: str) -> None:
    """Pydantic's Field takes index= as JSON schema, so it is refused, also in Annotated."""
    options: Any = {option: True}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        field = pydantic.Field(**options)
    for annotation, value in ((str, field), (Annotated[str, field], "")):
        with pytest.raises(ModelError, match=rf"Broken\.x: pydantic's Field has no {option}="):
            make("Broken", __name__, x=(annotation, value))


@pytest.mark.parametrize("declare", [Field, ForeignKey, ManyToMany, Related])
def test_documentation_stays_that_of_the_function(declare: Any) -> None:
    """help() shows text and name of what is called."""
    assert declare.__doc__
    assert declare.__name__ in ("Field", "ForeignKey", "ManyToMany", "Related")


@pytest.mark.parametrize(
    ("name", "meta"),
    [("Ormis", {}), ("ORMIS", {}), ("Poll", {"key": "ormis"})],
)
def test_the_keys_of_the_database_itself_are_reserved(name: str, meta: dict[str, Any]) -> None:
    """No model has the key `ormis`, by its Meta or by its class name; the error says to give another one."""
    with pytest.raises(ModelError, match=rf"^{name}\b.*'ormis'.*give"):
        type(ormis.Model)(
            name, (ormis.Model,), {"__module__": __name__, "__qualname__": name, "Meta": type("Meta", (), meta)}
        )


def test_a_class_may_be_called_ormis_with_another_key(db: ormis.Database) -> None:
    """Its keys are its own, and check() leaves those of the database alone."""

    class Ormis(ormis.Model):
        n: int = Field(default=0, index=True)

        class Meta:
            key = "options_ormis"

    Ormis(n=1).save()
    assert ormis.check(db, models=[Ormis], repair=True).findings == []
    assert Ormis.objects.get(n=1).key == "options_ormis:1"
