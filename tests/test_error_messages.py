"""Messages say what is wrong, name the nearest name or the model, field and value, and say what to write."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, MaxLen

import ormis
from model_factory import make
from ormis import CASCADE, SET_NULL, Field, ForeignKey, ManyToMany, ModelError, OneToOne, Related


class Question(ormis.Model):
    text: str = Field(max_length=200)
    votes: int = Field(default=0, index=True)
    published: datetime | None = None

    class Meta:
        key = "messages_question"


class Tag(ormis.Model):
    name: str

    class Meta:
        key = "messages_tag"


class Choice(ormis.Model):
    question: ForeignKey[Question | None] = ForeignKey(on_delete=CASCADE, related_name="choices")
    tags: ManyToMany[Tag] = ManyToMany(related_name="choices")
    text: str
    votes: int = 0
    labels: list[str] = []

    class Meta:
        key = "messages_choice"


def declared(annotation: Any, value: Any) -> None:
    """Declares a model with a field x."""
    make("Broken", __name__, x=(annotation, value))


# Declarations --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda: _any(ForeignKey)(Question, on_delete=CASCADE), "`name: ForeignKey[Question] = ForeignKey(...)`"),
        (lambda: _any(ForeignKey)(Question), "`name: ForeignKey[Question] = ForeignKey(...)`"),
        (lambda: _any(ForeignKey)(Question, SET_NULL, null=True), "ForeignKey[Question | None]"),
        (lambda: _any(ForeignKey)("Question", on_delete=CASCADE), 'ForeignKey["Question"]'),
        (lambda: _any(ForeignKey)("self", null=True), 'ForeignKey["self | None"]'),
        (lambda: _any(ForeignKey)(CASCADE), "write on_delete=CASCADE"),
        (lambda: _any(ForeignKey)(3), "ForeignKey[Other]"),
        (lambda: _any(OneToOne)(Question, on_delete=CASCADE), "OneToOne[Question]"),
        (lambda: _any(ManyToMany)(Tag), "ManyToMany[Tag]"),
        (lambda: _any(ManyToMany)("Tag", related_name="x"), 'ManyToMany["Tag"]'),
        (lambda: _any(Related)(Tag), "Related[Tag]"),
        (lambda: _any(Field)("x", True), "give its options by name"),
    ],
)
def test_the_model_of_a_relation_stands_in_brackets(call: Callable[[], Any], hint: str) -> None:
    """Relations take no model as an argument, as Django's do: the message names the annotation to write."""
    with pytest.raises(ModelError, match=re.escape(hint)):
        call()


@pytest.mark.parametrize(
    ("kind", "option", "hint"),
    [
        (ForeignKey, "null", "ForeignKey[Other | None]"),
        (ForeignKey, "blank", "ForeignKey[Other | None]"),
        (ForeignKey, "to", "name: ForeignKey[Other]"),
        (ForeignKey, "to_field", "primary key"),
        (ForeignKey, "max_length", "the other model's primary key"),
        (ForeignKey, "db_index", "has an index always"),
        (ForeignKey, "back_populates", "related_name="),
        (ForeignKey, "on_delte", "did you mean 'on_delete'?"),
        (OneToOne, "null", "| None"),
        (ManyToMany, "null", "needs no None"),
        (ManyToMany, "on_delete", "through model"),
        (ManyToMany, "default", "after save()"),
        (Related, "on_delete", "on the other side"),
        (Field, "on_delete", "ForeignKey[Other] = ForeignKey(on_delete=...)"),
        (Field, "to", "ForeignKey[Other]"),
        (Field, "null", "`| None`"),
        (Field, "blank", "`| None`"),
        (Field, "choices", "Literal"),
        (Field, "verbose_name", "title="),
        (Field, "auto_now_add", "default_factory="),
        (Field, "db_default", "default="),
        (Field, "db_column", "under its own name"),
        (Field, "validators", "@field_validator"),
        (Field, "unique_for_date", "UniqueConstraint"),
        (Field, "ttl", "Meta.ttl"),
    ],
)
def test_options_of_django_name_those_of_ormis(kind: Any, option: str, hint: str) -> None:
    """An option of Django's, or one on the wrong thing, is refused with what stands in its place here."""
    with pytest.raises(ModelError, match=rf"{kind.__name__}\(\) has no option '{option}'; .*{re.escape(hint)}"):
        kind(**{option: True})


@pytest.mark.parametrize(
    ("rule", "hint"),
    [
        ("casc", "on_delete='casc'.* did you mean 'CASCADE'"),
        ("setnull", "did you mean 'SET_NULL'"),
        (None, "there are CASCADE, PROTECT"),
        (lambda: None, "there are CASCADE, PROTECT"),
        (type("CASCADE", (), {}), "the one of ormis, on_delete=CASCADE"),
    ],
)
def test_an_unknown_rule_for_deletions_names_the_rules(rule: Any, hint: str) -> None:
    """on_delete= takes the six rules; any other value is refused with the nearest of them."""
    with pytest.raises(ModelError, match=hint):
        ForeignKey(on_delete=rule)


@pytest.mark.parametrize(
    ("annotation", "value", "hint"),
    [
        (Question, ForeignKey(), "`x: ForeignKey[Question] = ForeignKey(...)`"),
        (Question | None, ForeignKey(), "ForeignKey[Question | None]"),
        (list[Tag], ManyToMany(), "ManyToMany[Tag]"),
        (int, ForeignKey(), "is annotated as int and is assigned ForeignKey(): write `x: ForeignKey[Other]"),
        ("Later", OneToOne(), "OneToOne[Later]"),
        (ForeignKey(), None, "`x: ForeignKey[Other] = ForeignKey(...)`"),
        (ForeignKey[Question], Field(index=True), "is a ForeignKey and is assigned Field()"),
        (ForeignKey[Question], 3, "is assigned 3: write = ForeignKey(...), or nothing; a default is ForeignKey(def"),
        (ForeignKey[Question], None, "write ForeignKey[Question | None]"),
        (ManyToMany[Tag], [], "is assigned []: write = ManyToMany(...)"),
        (ForeignKey[Question], OneToOne(), "is annotated as ForeignKey"),
    ],
)
def test_a_relation_has_an_annotation_and_a_value_that_agree(annotation: Any, value: Any, hint: str) -> None:
    """A relation with the annotation of a plain field, or the other way round, is refused with what to write."""
    with pytest.raises(ModelError, match=r"Broken\.x.*" + re.escape(hint)):
        declared(annotation, value)


def test_a_relation_without_an_annotation_is_refused() -> None:
    """A relation that is assigned to a name without an annotation names the annotation."""
    with pytest.raises(ModelError, match=re.escape("Broken.x needs an annotation: write `x: ForeignKey[Other] =")):
        type(ormis.Model)("Broken", (ormis.Model,), {"__module__": __name__, "x": ForeignKey()})


@pytest.mark.parametrize("optional", [None, ForeignKey()])
def test_none_stands_for_an_optional_relation(optional: Any) -> None:
    """`= None` says of an optional foreign key that it is None by default, as for a plain field."""
    model = make("Fine", __name__, x=(ForeignKey[Question | None], optional))
    assert model().x_id is None


@pytest.mark.parametrize(
    ("annotation", "hint"),
    [
        (Question, "x: ForeignKey[Question]"),
        (Question | None, "x: ForeignKey[Question | None]"),
        (Annotated[Question, "the question"], "x: ForeignKey[Question]"),
        (Annotated[Question | None, "the question"], "ForeignKey[Question"),
        (list[Question], "ManyToMany[Question]"),
        (dict[str, Question], "ForeignKey[Question]"),
        (tuple[Question, int], "ForeignKey[Question]"),
        (type[Question], "ForeignKey[Question]"),
    ],
)
def test_a_model_as_the_type_of_a_plain_field_names_the_relation(annotation: Any, hint: str) -> None:
    """A model in the type of a plain field would be copied: the message names the relation to declare."""
    with pytest.raises(ModelError, match=r"Broken\.x: Question is a model.*" + re.escape(hint)):
        declared(annotation, Field(default=None))


@pytest.mark.parametrize(
    ("annotation", "constraint", "name"),
    [
        (int, {"max_length": 3}, "max_length"),
        (int | None, {"min_length": 3}, "min_length"),
        (float, {"max_length": 3}, "max_length"),
        (bool, {"max_length": 3}, "max_length"),
        (datetime, {"min_length": 3}, "min_length"),
        (int, {"pattern": "x"}, "pattern"),
        (str, {"ge": 3}, "ge"),
        (str, {"multiple_of": 3}, "multiple_of"),
        (str, {"max_digits": 3}, "max_digits"),
        (list[int], {"gt": 3}, "gt"),
        (Annotated[int, MaxLen(3)], {}, "max_length"),
    ],
)
def test_a_constraint_that_the_type_can_not_have_is_refused(annotation: Any, constraint: Any, name: str) -> None:
    """A constraint that values of the type can't be tested for is refused when the class is made."""
    with pytest.raises(ModelError, match=rf"Broken\.x: {name}= is no constraint for values of the type"):
        declared(annotation, Field(**constraint))


@pytest.mark.parametrize(
    ("annotation", "constraint", "value"),
    [
        (int, {"ge": 3, "lt": 9, "multiple_of": 2}, 4),
        (Annotated[int, Ge(3)], {}, 4),
        (float, {"gt": 0, "allow_inf_nan": False}, 0.5),
        (Decimal, {"max_digits": 3, "decimal_places": 1}, Decimal("1.5")),
        (str, {"max_length": 3, "pattern": "a+"}, "aa"),
        (str, {"ge": "a"}, "b"),
        (bytes, {"min_length": 1}, b"x"),
        (date, {"gt": date(2020, 1, 1)}, date(2021, 1, 1)),
        (datetime, {"gt": datetime(2020, 1, 1, tzinfo=UTC)}, datetime(2021, 1, 1, tzinfo=UTC)),
        (datetime, {"gt": datetime(2020, 1, 1)}, datetime(2021, 1, 1)),
        (list[int], {"max_length": 3}, [1, 2]),
        (Literal["a", "b"], {}, "a"),
    ],
)
def test_a_constraint_that_the_type_can_have_is_kept(annotation: Any, constraint: Any, value: Any) -> None:
    """Constraints that fit the type are pydantic's, as before."""
    model = make("Fine", __name__, x=(annotation, Field(**constraint)))
    assert model(x=value).x == value


@pytest.mark.parametrize("index", ["sortd", 1, 0, "equal", None])
def test_an_index_is_true_false_or_a_kind(index: Any) -> None:
    """index= takes True, False and the name of a kind; a number is none of them."""
    with pytest.raises(TypeError, match=r"index=.*: give True, False or \"sorted\""):
        Field(index=index)


def _any(kind: Any) -> Any:
    """The class as a checker takes it that knows nothing of its arguments."""
    return kind
