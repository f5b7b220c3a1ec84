"""Messages say what is wrong, name the nearest name or the model, field and value, and say what to write."""

import asyncio
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, Self, TypeVar
from uuid import UUID

import pytest
import redis
from annotated_types import Ge, MaxLen
from pydantic import ConfigDict, ValidationError, field_validator, model_validator
from typer.testing import CliRunner

import ormis
from model_factory import make
from ormis import (
    CASCADE,
    SET_NULL,
    F,
    Field,
    FieldError,
    ForeignKey,
    ManyToMany,
    ModelError,
    OneToOne,
    Prefetch,
    Q,
    Related,
)
from ormis.cli import app
from ormis.schema import registry


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


def _any(value: Any) -> Any:
    """The value as a type checker takes it that knows nothing of it."""
    return value


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
        (ForeignKey, "to_fields", "did you mean 'to_field'?"),
        (ForeignKey, "max_length", "a key of the other model"),
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


# Names ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("vote", "did you mean 'votes'?"),
        ("questoin", "did you mean 'question'?"),
        ("tag", "did you mean 'tags'?"),
        ("object", "did you mean 'objects'?"),
        ("DoesNotExst", "did you mean 'DoesNotExist'?"),
        ("zzz", "its fields are id, question_id, text, votes, labels"),
        ("filter", "Choice.objects.filter"),
        ("all", "Choice.objects.all"),
        ("create", "Choice.objects.create"),
        ("exclude", "Choice.objects.exclude"),
        ("order_by", "Choice.objects.order_by"),
        ("acount", "Choice.objects.acount"),
        ("bulk_create", "Choice.objects.bulk_create"),
    ],
)
def test_an_unknown_name_of_a_class_names_the_nearest_or_the_manager(name: str, hint: str) -> None:
    """A class attribute that does not exist names the nearest; a method of querysets, the manager that has it."""
    with pytest.raises(AttributeError, match=rf"^Choice has no attribute '{name}'.*{re.escape(hint)}"):
        getattr(Choice, name)
    assert not hasattr(Choice, name)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("vote", "did you mean 'votes'?"),
        ("sav", "did you mean 'save'?"),
        ("zzz", "its fields are id, question_id, text, votes, labels"),
        ("filter", "Choice.objects.filter"),
    ],
)
def test_an_unknown_name_of_an_object_names_the_nearest_or_the_manager(name: str, hint: str) -> None:
    """As of a class; hasattr() is False."""
    choice = Choice(text="a")
    with pytest.raises(AttributeError, match=rf"^'Choice' object has no attribute '{name}'.*{re.escape(hint)}"):
        getattr(choice, name)
    assert not hasattr(choice, name)


def test_managers_are_of_classes() -> None:
    """An object has no manager, neither the default one nor another."""
    with pytest.raises(AttributeError, match=r"managers belong to the class.*Choice\.objects"):
        _ = _any(Choice(text="a")).objects


def test_the_error_of_a_property_is_its_own() -> None:
    """An AttributeError that a property raises is not replaced."""

    class Curious(ormis.Model):
        @property
        def broken(self) -> Any:
            return getattr("a text", "nothing")  # noqa: B009 - what a checker refuses

    with pytest.raises(AttributeError, match=r"^'str' object has no attribute 'nothing'$"):
        _ = Curious().broken


def test_a_field_of_an_abstract_class_says_so() -> None:
    """A field of a class without objects makes no condition."""

    class Base(ormis.Model):
        size: int = 0

        class Meta:
            abstract = True

    with pytest.raises(AttributeError, match=r"Base\.size: Base is abstract"):
        _ = Base.size


@pytest.mark.parametrize(
    ("write", "hint"),
    [
        (lambda: _any(Choice.text).startswith("x"), "write Q(text__startswith='x')"),
        (lambda: _any(Choice.text).icontains("x"), "Q(text__icontains='x')"),
        (lambda: _any(Choice.text).in_(["x"]), "write Q(text__in=['x'])"),
        (lambda: _any(Choice.text).not_in(["x"]), "write ~Q(text__in=['x'])"),
        (lambda: _any(Choice.text).is_(None), "write Choice.text == None"),
        (lambda: _any(Choice.votes).between(1, 2), "Q(votes__range=(low, high))"),
        (lambda: _any(Choice.text).ilike("%x%"), "Q(text__icontains="),
        (lambda: _any(Choice.text).lower(), "Q(text__iexact="),
        (lambda: _any(Choice.text).startwith("x"), "did you mean 'startswith'?"),
        (lambda: _any(Choice.votes).desc(), 'order_by("-votes"), or F("votes").desc()'),
        (lambda: _any(Choice.question).text.startswith("x"), "Q(question__text__startswith='x')"),
        (lambda: _any(Choice.votes)(3), "Choice.votes is a field, not a method"),
        (lambda: _any(Choice.votes) + 1, 'F("votes") + 1'),
        (lambda: 2 * _any(Choice.votes), '2 * F("votes")'),
        (lambda: _any(Choice.votes) - _any(Choice.votes), 'F("votes") - F("votes")'),
        (lambda: _any(Choice.votes) % 2 == 0, 'F("votes") % 2'),
        (lambda: 7 // _any(Choice.votes), '7 // F("votes")'),
        (lambda: _any(Choice.votes) ** 2, 'F("votes") ** 2'),
        (lambda: -_any(Choice.votes), 'order by "-votes"'),
        (lambda: abs(_any(Choice.votes)), 'F("votes")'),
        (lambda: _any(Choice.labels)[0], "not a value: read an object, and take [0]"),
        (lambda: [*_any(Choice.labels)], "not a value"),
        (lambda: len(_any(Choice.text)), "not a value"),
        (lambda: "x" in _any(Choice.text), "Q(text__contains='x')"),
        (lambda: bool(Choice.votes), "not a value"),
        (lambda: _any(Choice.votes) & (Choice.votes == 3), "compare it before it is joined"),
        (lambda: (Choice.votes == 3) | _any(Choice.text), "Choice.text is no condition"),
        (lambda: ~_any(Choice.votes), "Choice.votes == False"),
    ],
)
def test_a_field_of_a_class_is_no_value_and_has_no_methods(write: Callable[[], Any], hint: str) -> None:
    """Methods and arithmetic of other libraries name the lookup, the order or F to write."""
    with pytest.raises(TypeError, match=re.escape(hint)):
        write()


def test_f_takes_the_name_of_a_field() -> None:
    """F() of a class attribute is a FieldError at once."""
    with pytest.raises(FieldError, match=r"F\(\) takes the name of a field as a text, not Choice\.votes"):
        F(_any(Choice.votes))


@pytest.mark.parametrize(
    ("lookups", "message"),
    [
        ({"vote": 1}, "Choice has no field or relation 'vote': did you mean 'votes'?"),
        ({"questio__text": 1}, "Choice has no field or relation 'questio' (in 'questio__text'): did you mean"),
        ({"question__txt": 1}, "Question has no field or relation 'txt' (in 'question__txt'): did you mean 'text'?"),
        ({"tags__nam": 1}, "Tag has no field or relation 'nam' (in 'tags__nam'): did you mean 'name'?"),
        ({"votes__gtt": 1}, "Choice.votes__gtt: there is no lookup 'gtt' for int: did you mean 'gt'?"),
        ({"text__startwith": "a"}, "there is no lookup 'startwith' for text: did you mean"),
        (
            {"labels__startswith": "a"},
            "labels is a list that is stored as json and has no lookup startswith; it has exact, in, isnull, contains",
        ),
        ({"labels__gt": []}, "labels is a list that is stored as json and has no lookup gt"),
        ({"votes__gt__lt": 1}, "'lt' can't follow 'gt'"),
        ({"votes__year": 1}, "there is no lookup 'year' for int"),
        ({"question__published__yeer": 1}, "there is no lookup 'yeer' for datetime: did you mean 'year'?"),
        ({"question__published__year__gtt": 1}, "a part of a time has no lookup 'gtt': did you mean 'gt'?"),
        ({"question__foo": 1}, "Question has no field or relation 'foo'"),
        ({"pk__foo": 1}, "there is no lookup 'foo' for int"),
        ({"votes": F("vote")}, "Choice has no field or relation 'vote': did you mean 'votes'?"),
        ({"votes__gt": F("votes") + F("question__vote")}, "Question has no field or relation 'vote'"),
    ],
)
def test_unknown_names_raise_where_the_condition_is_written(lookups: dict[str, Any], message: str) -> None:
    """filter(), exclude(), Q objects of any shape and none() raise at once, without a database."""
    match = re.escape(message)
    queries: list[Callable[[], Any]] = [
        lambda: Choice.objects.filter(**lookups),
        lambda: Choice.objects.exclude(**lookups),
        lambda: Choice.objects.filter(Q(votes=1) | ~(Q(votes=2) & Q(**lookups))),
        lambda: Choice.objects.none().filter(**lookups),
        lambda: Choice.objects.none().get(**lookups),
    ]
    for query in queries[:4]:
        with pytest.raises(FieldError, match=match):
            query()


def test_an_unknown_name_in_get_of_none_raises(db: ormis.Database) -> None:
    """get() of none() checks the names too."""
    for write in (Choice.objects.none().get, Choice.objects.get, Choice.objects.get_or_create):
        with pytest.raises(FieldError, match="did you mean 'votes'"):
            write(vote=1)
    assert db.client.dbsize() <= 2


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ("vote", "Choice has no field or relation 'vote': did you mean 'votes'?"),
        ("-vote", "Choice has no field or relation 'vote': did you mean 'votes'?"),
        ("+votes", "Choice has no field or relation '+votes': did you mean 'votes'?"),
        ("--votes", "'-votes'"),
        ("", "''"),
        ("question__txt", "Question has no field or relation 'txt'"),
        ("votes__gt", "'gt' is a lookup, not a field"),
        ("votes__foo", "'foo' is nothing that follows the field votes"),
        ("labels", "order_by() needs values in an order"),
        (["votes"], "can't be ordered by ['votes']"),
        (3, "not 3"),
        (F("vote"), "did you mean 'votes'?"),
        (F("vote").desc(), "did you mean 'votes'?"),
        ((F("votes") + F("vote")).asc(), "did you mean 'votes'?"),
        (_any(Choice.votes), "can't be ordered by Choice.votes"),
    ],
)
def test_unknown_names_raise_where_the_order_is_written(order: Any, message: str) -> None:
    """order_by() raises at once, without a database."""
    with pytest.raises(FieldError, match=re.escape(message)):
        Choice.objects.order_by(order)


def test_orders_that_are_possible_are_taken(db: ormis.Database) -> None:
    """Names, paths, related models, expressions, chance, and rows of values by a field of many objects."""
    tag = Tag.objects.create(name="t")
    Choice.objects.create(text="a", votes=2).tags.add(tag)
    Choice.objects.create(text="b", votes=1)
    orders: list[Any] = ["votes", "-question__text", "question", "?", F("votes") * 2, F("question__votes").desc(), "pk"]
    assert {len(Choice.objects.order_by(order)) for order in orders} == {2}
    rows = Choice.objects.order_by("tags__name").values_list("text", "tags__name")
    assert [*rows] == [("b", None), ("a", "t")]


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ({"ordering": ["m"]}, "Broken.Meta.ordering names 'm', which is no field: there are id, x"),
        ({"ordering": ["-idd"]}, "Broken.Meta.ordering names 'idd', which is no field: did you mean 'id'?"),
        ({"ordering": [3]}, "Broken.Meta.ordering: 3 is no order"),
        ({"ordering": [None]}, "Broken.Meta.ordering: None is no order"),
        ({"ordering": ["x__gt"]}, "Broken.Meta.ordering names 'x__gt': x is a field, and nothing follows it"),
        ({"get_latest_by": "idd"}, "Broken.Meta.get_latest_by names 'idd', which is no field: did you mean 'id'?"),
        ({"get_latest_by": ["x", "-idd"]}, "Broken.Meta.get_latest_by names 'idd'"),
        ({"indexes": [ormis.Index("idd")]}, "names 'idd', which is no field: did you mean 'id'?"),
        ({"constraints": [ormis.UniqueConstraint("idd")]}, "names 'idd', which is no field: did you mean 'id'?"),
        ({"database": "default"}, "Broken.Meta.database='default': give a database, as connect() returns it"),
    ],
)
def test_unknown_names_in_meta_are_refused_when_the_class_is_made(meta: dict[str, Any], message: str) -> None:
    """ordering, get_latest_by, indexes and constraints name fields; database is a database."""
    with pytest.raises(ModelError, match=re.escape(message)):
        make("Broken", __name__, x=(int, 0), meta=meta)


def test_orders_of_meta_that_are_possible_are_taken() -> None:
    """Fields, relations, paths, expressions, chance, and paths of relations that are declared later."""
    order = ["x", "-question", "question__text", "question_id", "pk", "?", F("x").desc(), "later__size"]
    meta = {"ordering": order, "get_latest_by": ["-x", "question__votes"]}
    model = make("Fine", __name__, x=(int, 0), question=(ForeignKey[Question], ForeignKey(related_name="+")), meta=meta)
    assert model._schema().ordering == tuple(order)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (
            lambda q: q.select_related("qestion"),
            "select_related('qestion'): Choice.qestion is no relation to one object",
        ),
        (lambda q: q.select_related("qestion"), "did you mean 'question'?"),
        (lambda q: q.select_related("text"), "Choice.text is no relation to one object: there are question"),
        (lambda q: q.select_related("question__txt"), "select_related('question__txt'): Question.txt is no relation"),
        (lambda q: q.select_related("tags"), "prefetch_related() is for relations to many"),
        (
            lambda q: q.prefetch_related("tagz"),
            "prefetch_related('tagz'): Choice.tagz is no relation: did you mean 'tags'",
        ),
        (lambda q: q.prefetch_related("text"), "Choice.text is no relation: there are question, tags"),
        (lambda q: q.prefetch_related("tags__choicez"), "Tag.choicez is no relation: did you mean 'choices'?"),
        (lambda q: q.prefetch_related(Prefetch("tagz")), "Choice.tagz is no relation"),
        (lambda q: q.values("vote"), "did you mean 'votes'?"),
        (lambda q: q.values_list("votes__gt"), "'gt' is a lookup, not a field"),
        (lambda q: q.only("vote"), "did you mean 'votes'?"),
        (lambda q: q.defer("vote"), "did you mean 'votes'?"),
    ],
)
def test_unknown_relations_and_fields_raise_where_they_are_written(write: Callable[[Any], Any], message: str) -> None:
    """select_related(), prefetch_related(), values(), only() and defer() name what was written, nothing internal."""
    with pytest.raises(FieldError, match=re.escape(message)) as caught:
        write(Choice.objects)
    assert "__pk" not in str(caught.value)


def test_lists_of_prefetches_are_no_unknown_relations(db: ormis.Database) -> None:
    """A to_attr can be followed by the relations of its objects; a name after a queryset is left to the objects."""
    question = Question.objects.create(text="q")
    choice = Choice.objects.create(question=question, text="c")
    choice.tags.add(Tag.objects.create(name="t"))
    (found,) = Question.objects.using(db).prefetch_related(Prefetch("choices", to_attr="listed"), "listed__tags")
    assert _any(found).listed[0].tags.all()[0].name == "t"
    Question.objects.prefetch_related(Prefetch("choices", Choice.objects.all()), "choices__an_inner_list")


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("int", {"a": 1}),
        ("text", {"a": "x"}),
        ("json", {"a": [1]}),
        ("datetime", {"a": datetime(2020, 1, 1)}),
        ("date", {"a": date(2020, 1, 1)}),
        ("decimal", {"a": Decimal(1)}),
        ("bool", {"a": True}),
        ("bytes", {"a": b"x"}),
        ("uuid", {"a": UUID(int=1)}),
        ("float", {"a": 1.5}),
        ("timedelta", {"a": timedelta(1)}),
        ("time", {"a": time(1)}),
    ],
)
def test_lookups_that_a_message_offers_are_taken(
    kind: str, values: dict[str, Any], db: ormis.Database, raw: redis.Redis
) -> None:
    """Every lookup that the message about an unknown one lists for a kind of field works on such a field."""
    value = values["a"]
    annotation = list[int] if kind == "json" else type(value)
    model = make("Offered", __name__, x=(annotation | None, None))
    model.objects.create(x=value)
    no_lookup = "no lookup 'qqqqqq': there are " if kind == "json" else f"no lookup 'qqqqqq' for {kind}: there are "
    with pytest.raises(FieldError, match=no_lookup) as caught:
        model.objects.filter(x__qqqqqq=1)
    offered = str(caught.value).partition("there are ")[2].split(", ")
    given: dict[str, Any] = {"in": [value], "range": (value, value), "isnull": False, "date": date(2020, 1, 1)}
    given |= {"time": time(0), "len": 1} | dict.fromkeys(PARTS, 3)
    for lookup in offered:
        assert len(model.objects.filter(**{f"x__{lookup}": given.get(lookup, value)})) <= 1
    assert {"exact", "in", "isnull"} <= {*offered}
    assert raw.exists("made_offered:1")


PARTS = ("year", "month", "day", "week_day", "iso_week_day", "week", "iso_year", "quarter", "hour", "minute", "second")


# Arguments -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (
            lambda c: Choice.objects.bulk_update([c], "votes"),
            "bulk_update() takes a list of names of fields: write ['vo",
        ),
        (lambda c: Choice.objects.bulk_update(c, ["votes"]), "bulk_update() takes a list of objects"),
        (lambda c: Choice.objects.bulk_update([c], ["vote"]), "no stored field 'vote': did you mean 'votes'?"),
        (lambda c: Choice.objects.bulk_create(c), "bulk_create() takes a list of objects"),
        (lambda _: Choice.objects.bulk_create([{"text": "x"}]), "{'text': 'x'} is no Choice"),
        (lambda c: c.save(update_fields="votes"), "save(update_fields=...) takes a list of names of fields"),
        (lambda c: c.save(update_fields=["vote"]), "no stored field 'vote': did you mean 'votes'?"),
        (lambda c: c.save(update_fields=[3]), "fields are named by texts, not by 3"),
        (lambda c: c.refresh_from_db(fields="votes"), "refresh_from_db(fields=...) takes a list of names of fields"),
        (lambda c: c.refresh_from_db(fields=["vote"]), "no stored field 'vote': did you mean 'votes'?"),
        (lambda _: Choice.objects.in_bulk(1), "Choice.id__in=1: in takes a list of values"),
        (lambda _: Choice.objects.in_bulk("12"), "Choice.id__in='12': in takes a list of values"),
        (lambda _: Choice.objects.in_bulk([1], field_name="txt"), "no stored field 'txt': did you mean 'text'?"),
        (lambda _: Choice.objects.update(vote=1), "no stored field 'vote': did you mean 'votes'?"),
        (lambda _: Choice.objects.earliest("vote"), "did you mean 'votes'?"),
    ],
)
def test_lists_of_names_and_objects_are_lists(write: Callable[[Any], Any], message: str, db: ormis.Database) -> None:
    """A single text or object in place of a list, and names that are no fields, are refused with what to write."""
    choice = Choice.objects.using(db).create(text="a")
    with pytest.raises(FieldError, match=re.escape(message)):
        write(choice)


@pytest.mark.parametrize(
    "write",
    [
        lambda c: c.save(using="default"),
        lambda c: c.delete(using="default"),
        lambda c: c.refresh_from_db(using="default"),
        lambda c: c.expire(3, using="default"),
        lambda c: c.persist(using="default"),
        lambda c: c.ttl(using="default"),
        lambda _: Choice.objects.using("default"),
        lambda _: ormis.check("default"),
        lambda _: ormis.reindex("default"),
        lambda _: ormis.inspect("default"),
    ],
)
def test_databases_are_objects_not_names(write: Callable[[Any], Any], db: ormis.Database) -> None:
    """The name of a database, as Django has it, is refused with what to give."""
    choice = Choice.objects.using(db).create(text="a")
    with pytest.raises(TypeError, match=r"'default'.*connect\(\)|connect\(\).*'default'"):
        write(choice)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1, "1 is no condition: write pk=1"),
        ("abc", "'abc' is no condition: write pk='abc'"),
        (UUID(int=1), "write pk=UUID("),
        (Question(id=3, text="a"), "write pk=3"),
        ({"votes": 1}, "write **lookups"),
        (True, "True is no condition: give Q(...)"),
        (None, "None is no condition: give Q(...)"),
    ],
)
def test_a_value_that_is_no_condition_names_what_to_write(value: Any, message: str) -> None:
    """get(1), filter(1) and exclude(1) say `pk=1`."""
    for method in (Choice.objects.get, Choice.objects.filter, Choice.objects.exclude, Q):
        with pytest.raises(TypeError, match=re.escape(message)):
            _any(method)(value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("x",), "Tag takes its fields by name, as in Tag(name='x')"),
        (({"name": "x"},), "write Tag(**values)"),
        (("x", 3), "Tag takes its fields by name"),
    ],
)
def test_models_take_their_fields_by_name(given: tuple[Any, ...], message: str) -> None:
    """Positional arguments of a model name the fields."""
    with pytest.raises(TypeError, match=re.escape(message)):
        _any(Tag)(*given)


@pytest.mark.parametrize(
    "write",
    [
        lambda: _any(Choice)(vote=1, text="x"),
        lambda: setattr(Choice(text="x"), "vote", 1),
        lambda: _any(Choice).objects.create(vote=1, text="x"),
    ],
)
def test_values_of_unknown_fields_name_the_nearest(
    write: Callable[[], Any], db: ormis.Database, raw: redis.Redis
) -> None:
    """Pydantic's error has a note that names the nearest field."""
    with pytest.raises(ValidationError) as caught:
        write()
    assert caught.value.__notes__ == ["Choice has no field 'vote': did you mean 'votes'?"]
    assert not raw.exists("messages_choice:1")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda m: [*m], "is a manager: write .all()"),
        (len, "write .count()"),
        (lambda m: m[0], "write .all()[0]"),
        (lambda m: 3 in m, "write .contains(3)"),
    ],
)
def test_managers_are_no_lists(write: Callable[[Any], Any], message: str) -> None:
    """Iterating, measuring, indexing a manager names the method to call, of the manager's own name."""
    for manager, name in ((Choice.objects, "Choice.objects"), (Question(id=1, text="q").choices, "Question.choices")):
        with pytest.raises(TypeError, match=re.escape(f"{name} {message}" if message.startswith("is") else message)):
            write(manager)
        assert bool(manager)


async def _each(manager: Any) -> list[Any]:
    return [record async for record in manager]


async def _awaited(manager: Any) -> Any:
    return await manager


@pytest.mark.parametrize("use", [_each, _awaited])
def test_managers_are_not_awaited(use: Callable[[Any], Any]) -> None:
    """In async code too the manager names .all()."""
    with pytest.raises(TypeError, match=r"Choice\.objects is a manager: write .*Choice\.objects\.all\(\)"):
        asyncio.run(use(Choice.objects))


@pytest.mark.parametrize(
    ("source", "name", "message"),
    [
        (Choice.objects, "filtr", "'Manager' object has no attribute 'filtr': did you mean 'filter'?"),
        (Choice.objects.all(), "filtr", "'QuerySet' object has no attribute 'filtr': did you mean 'filter'?"),
        (Choice.objects, "delete", "write .all().delete"),
        (Choice.objects, "zzzz", "'Manager' object has no attribute 'zzzz'"),
        (Question(id=1, text="q").choices, "ordr_by", "did you mean 'order_by'?"),
    ],
)
def test_unknown_methods_of_querysets_name_the_nearest(source: Any, name: str, message: str) -> None:
    """Managers and querysets name the nearest method; a manager names those that only querysets have."""
    with pytest.raises(AttributeError, match=re.escape(message)):
        getattr(source, name)
    assert not hasattr(source, name)


# Values past validation ----------------------------------------------------------------------------------------------


class Lax(ormis.Model):
    model_config = ConfigDict(validate_assignment=False)

    number: int = 0
    ratio: float = 0
    price: Decimal = _any(0)
    flag: bool = False
    text: str = ""
    raw: bytes = b""
    code: UUID = UUID(int=0)
    at: datetime | None = None
    day: date | None = None
    clock: time | None = None
    span: timedelta = timedelta()
    colour: Literal["red", "blue"] = "red"
    labels: list[int] = []
    more: dict[str, int] = {}

    class Meta:
        key = "messages_lax"


WRONG: dict[str, list[Any]] = {
    "number": ["x", 1.5, object(), [1]],
    "ratio": ["x", object(), 2**2000],
    "price": ["x", object()],
    "flag": ["x", 2, object(), []],
    "text": [3, b"x", bytearray(b"x"), object()],
    "raw": ["x", 3, object()],
    "code": ["x", 3, object()],
    "at": ["x", 3, date(2020, 1, 1), time(1), object()],
    "day": ["x", 3, datetime(2020, 1, 1, 3), datetime(2020, 1, 1), object()],
    "clock": ["x", date(2020, 1, 1), datetime(2020, 1, 1), object()],
    "span": ["x", 3, object()],
    "colour": ["green", 3, []],
    "labels": ["x", ["x"], [object()], 3],
    "more": [{"a": "x"}, [], 3],
}


@pytest.mark.parametrize(("field", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_value_past_validation_names_model_field_and_value(
    field: str, value: Any, db: ormis.Database, raw: redis.Redis
) -> None:
    """Assignment without validation, model_construct, model_copy and __dict__: nothing unreadable is stored."""
    stored = Lax.objects.create()
    assigned = Lax.get(stored.pk)
    setattr(assigned, field, value)
    poked = Lax()
    vars(poked)[field] = value
    for wrong in (assigned, poked, Lax.model_construct(**{field: value}), Lax().model_copy(update={field: value})):
        for write in (wrong.save, partial(Lax.objects.bulk_create, [Lax(), wrong])):
            with pytest.raises(FieldError, match=rf"^Lax\.{field}=.* can't be stored: ") as caught:
                write()
            assert "descriptor" not in str(caught.value)
    assert Lax.objects.count() == 1
    assert raw.hlen("messages_lax:1") == len(Lax.model_fields) - 3


@pytest.mark.parametrize(
    ("field", "given", "loaded"),
    [
        ("ratio", 3, 3.0),
        ("ratio", Decimal("0.5"), 0.5),
        ("price", 3, Decimal(3)),
        ("number", True, 1),
        ("flag", 1, True),
        ("raw", bytearray(b"x"), b"x"),
        ("text", type("Name", (str,), {})("x"), "x"),
    ],
)
def test_an_equal_value_of_another_type_is_stored(field: str, given: Any, loaded: Any, db: ormis.Database) -> None:
    """As a default passes by validation, 0 in a float is stored as 0.0, to which it is equal."""
    lax = Lax.model_construct(**{field: given})
    lax.save(using=db)
    found = getattr(Lax.get(lax.pk), field)
    assert (found, type(found)) == (loaded, type(loaded))
    assert Lax.objects.filter(**{field: loaded}).count() == 1


@pytest.mark.parametrize(
    ("annotation", "default"), [(int, "x"), (datetime, "2020"), (bool, "no"), (list[int], "x"), (UUID, "x"), (bytes, 3)]
)
def test_a_default_of_the_wrong_type_names_model_field_and_value(
    annotation: Any, default: Any, db: ormis.Database
) -> None:
    """Pydantic does not validate defaults: the save says which it is."""
    model = make("Wrong", __name__, x=(annotation, default))
    with pytest.raises(FieldError, match=re.escape(f"Wrong.x={default!r} can't be stored: ")):
        model().save(using=db)
    model = make("Made", __name__, x=(annotation, Field(default_factory=lambda: default)))
    with pytest.raises(FieldError, match=re.escape(f"Made.x={default!r} can't be stored: ")):
        model.objects.using(db).create()


def test_an_object_made_without_a_required_value_names_the_field(db: ormis.Database) -> None:
    """model_construct() without a required field: the save names it, and so does the attribute."""
    tag = Tag.model_construct()
    with pytest.raises(FieldError, match=r"Tag\.name has no value.*assign it"):
        tag.save(using=db)
    with pytest.raises(AttributeError, match=r"Tag\.name has no value"):
        _ = tag.name
    tag.name = "t"
    assert Tag.get(tag.save().pk).name == "t"


@pytest.mark.parametrize("mode", ["after", "wrap"])
def test_a_validator_that_assigns_names_the_configuration(mode: str) -> None:
    """A model validator that assigns would run itself again without an end: the error says what to write."""
    declared = _self_assigning(mode, ConfigDict())
    with pytest.raises(ModelError, match=r"Assigning\.total is assigned by a model validator \(add_up\).*validate_ass"):
        declared(size=3)
    fine = _self_assigning(mode, ConfigDict(validate_assignment=False))
    assert fine(size=3).total == 3


def test_a_validator_that_assigns_once_is_fine() -> None:
    """A validator that assigns where something is to be changed comes to an end; an endless one may be met later."""

    class Growing(ormis.Model):
        size: int = 0
        total: int = 0

        @model_validator(mode="after")
        def add_up(self) -> Self:
            if self.total < self.size < 10 or self.size >= 10:
                self.total = self.size
            return self

    growing = Growing(size=3)
    assert growing.total == 3
    with pytest.raises(ModelError, match="validate_assignment=False"):
        growing.size = 10


def test_other_endless_recursion_stays_what_it_is() -> None:
    """A RecursionError of a class without such a validator is not renamed."""

    class Endless(ormis.Model):
        size: int = 0

        @field_validator("size")
        @classmethod
        def again(cls, value: int) -> int:
            return cls.again(value)

    with pytest.raises(RecursionError):
        Endless().size = 3


def _self_assigning(mode: str, config: ConfigDict) -> Any:
    def after(self: Any) -> Any:
        self.total = self.size
        return self

    def wrap(_cls: Any, values: Any, handler: Any) -> Any:
        return after(handler(values))

    validator: Any = after if mode == "after" else classmethod(wrap)
    body = {"__module__": __name__, "__annotations__": {"size": int, "total": int}, "size": 0, "total": 0}
    decorated = _any(model_validator)(mode=mode)(validator)
    return type(ormis.Model)("Assigning", (ormis.Model,), body | {"model_config": config, "add_up": decorated})


# Databases -----------------------------------------------------------------------------------------------------------


def test_a_path_is_that_of_an_embedded_server(tmp_path: Path) -> None:
    """connect(Path(...)) opens the embedded server of that directory, as its URL does, whatever is in the name."""
    directory = tmp_path / "a%20b?c"
    with ormis.connect(directory) as database:
        assert database.url == f"embedded://{directory}"
        Tag.objects.create(name="t")
    with ormis.connect(directory) as database:
        assert Tag.objects.using(database).get().name == "t"
    assert directory.is_dir()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"url": 3}, "connect() takes a URL or the path of a directory, not a builtins.int"),
        ({"url": b"redis://h"}, "not a builtins.bytes"),
        ({"url": redis.Redis()}, "not a redis.client.Redis; write client=..."),
        ({"url": "redis://h", "prefix": 3}, "connect(prefix=3): give a text"),
        ({"url": "redis://h", "limits": 3}, "connect(limits=3): give ormis.Limits(...)"),
    ],
)
def test_arguments_of_connect_have_a_type(arguments: dict[str, Any], message: str) -> None:
    """What is no URL, path, text or Limits is a TypeError that says what is given and what to give."""
    with pytest.raises(TypeError, match=re.escape(message)):
        ormis.connect(**arguments)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("localhost", "has no scheme; write redis://host:port"),
        ("localhost:6379", "has no scheme; write redis://host:port"),
        ("./data", "has no scheme; write embedded:///directory"),
        ("/var/lib/polls", "has no scheme; write embedded:///directory"),
        ("redi://localhost", "redi:// of the database URL is unknown; did you mean redis://?"),
        ("embeded://", "did you mean embedded://?"),
        ("zzzzz://localhost", "write one of embedded://, redis://"),
    ],
)
def test_an_address_without_a_known_scheme_names_one(url: str, message: str) -> None:
    """A host, a directory and a misspelt scheme are told what to write; the address is not repeated."""
    with pytest.raises(ormis.OrmisError, match=re.escape(message)):
        ormis.connect(url)


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/3?socket_connect_timeout=1", "unix:///nowhere/ormis.sock"])
def test_an_error_of_the_connection_has_the_url_as_a_note(url: str) -> None:
    """Where no server answers, redis-py's error comes with the URL, once, in sync and in async code."""
    with ormis.connect(f"{url}{'&' if '?' in url else '?'}retry_on_timeout=0") as database:
        note = f"the database is {database.url}"
        with pytest.raises(redis.ConnectionError) as caught:
            Tag.objects.using(database).count()
        assert caught.value.__notes__ == [note]
        with pytest.raises(redis.ConnectionError) as caught:
            asyncio.run(Tag.objects.using(database).acount())
        assert caught.value.__notes__ == [note]


def test_a_note_never_shows_a_password() -> None:
    """The note has the URL without user and password."""
    with ormis.connect("redis://user:secret@127.0.0.1:1/0") as database:
        with pytest.raises(redis.ConnectionError) as caught:
            Tag.objects.using(database).count()
        assert caught.value.__notes__ == ["the database is redis://127.0.0.1:1/0"]


def test_an_object_of_another_database_names_both(db: ormis.Database) -> None:
    """Two temporary servers are told apart by their directories."""
    with ormis.connect("embedded://") as one, ormis.connect("embedded://") as other:
        assert one.url != other.url
        choice = Choice(text="c").save(using=one)
        tag, question = Tag(name="t").save(using=other), Question(text="q").save(using=other)
        writes: list[Callable[[], Any]] = [
            lambda: choice.tags.add(tag),
            lambda: setattr(choice, "question", question),
            lambda: Choice(question=question, text="x").save(using=one),
        ]
        for write in writes:
            with pytest.raises(ormis.ForeignKeyViolation, match="is in another database") as caught:
                write()
            assert f"{other.url}, and not in {one.url}" in str(caught.value)
    assert db.client.dbsize() == 0


# Blocks --------------------------------------------------------------------------------------------------------------


def test_a_block_has_to_be_called(db: ormis.Database) -> None:
    """`with ormis.atomic:` and `with db.atomic:`, sync and async, name the call."""

    async def use(atomic: Any) -> None:
        async with atomic:
            pass

    for atomic, name in ((ormis.atomic, "ormis.atomic"), (db.atomic, "db.atomic")):
        with pytest.raises(TypeError, match=rf"write `with {name}\(\):`"), _any(atomic):
            pass
        with pytest.raises(TypeError, match=rf"write `async with {name}\(\):`"):
            asyncio.run(use(atomic))


def test_a_block_decorates_with_and_without_parentheses(db: ormis.Database) -> None:
    """`@ormis.atomic` is `@ormis.atomic()`, as in Django, of sync and async functions."""

    @ormis.atomic
    def make_two(name: str) -> int:
        Tag(name=name).save()
        Tag(name=name).save()
        return Tag.objects.count()

    @db.atomic
    async def make_one(name: str) -> int:
        await Tag(name=name).asave()
        return await Tag.objects.acount()

    assert (make_two("a"), Tag.objects.count()) == (0, 2)
    assert (asyncio.run(make_one("b")), Tag.objects.count()) == (2, 3)


@pytest.mark.parametrize(
    "write",
    [lambda db: _any(ormis.atomic)(db), lambda _: _any(ormis.atomic)(using="x"), lambda _: _any(ormis.atomic)(3)],
)
def test_a_block_takes_no_database(write: Callable[[Any], Any], db: ormis.Database) -> None:
    """A database is named by its own atomic()."""
    with pytest.raises(TypeError, match=r"takes no database and no options.*db\.atomic\(\)"):
        write(db)


def test_a_transaction_takes_a_function(db: ormis.Database) -> None:
    """The result of a call, and an async function for the sync method, are refused with what to write."""

    async def asynchronous() -> None: ...

    with pytest.raises(TypeError, match=r"not None: write db\.transaction\(function\), without calling it"):
        db.transaction(_any(None))
    with pytest.raises(TypeError, match=r"write await db\.atransaction"):
        _any(db).transaction(asynchronous)
    with pytest.raises(TypeError, match="without calling it"):
        asyncio.run(db.atransaction(_any(None)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: Choice.get(id=1),
            "Choice.get(id=1): it takes one primary key. Write Choice.get(1), or Choice.objects",
        ),
        (lambda: Choice.get(votes=1), "Write Choice.get(key), or Choice.objects.get(votes=1) for conditions"),
        (lambda: Choice.get(), "Choice.get(): it takes one primary key"),
        (lambda: Choice.get(1, votes=1), "Choice.get(1, votes=1): it takes one primary key"),
        (lambda: Choice.get(1, 2), "Choice.get(1, 2): it takes one primary key"),
        (lambda: asyncio.run(Choice.aget(id=1)), "Write Choice.aget(1), or Choice.objects.aget(id=1)"),
    ],
)
def test_get_takes_a_key_alone(db: ormis.Database, call: Callable[[], Any], message: str) -> None:
    """What Django's manager would take is named, with what to write."""
    with pytest.raises(TypeError, match=re.escape(message)):
        call()


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (lambda: ForeignKey[Choice, CASCADE], "`name: ForeignKey[Choice] = ForeignKey(on_delete=CASCADE)`"),
        (lambda: ForeignKey["Choice", CASCADE], "`name: ForeignKey[Choice] = ForeignKey(on_delete=CASCADE)`"),
        (lambda: ForeignKey[Choice, None], "`name: ForeignKey[Choice | None] = ForeignKey(...)`"),
        (lambda: OneToOne[Choice | None, ormis.SET(1)], "= OneToOne(on_delete=SET(1))`"),
        (lambda: ManyToMany[Choice, CASCADE], "`name: ManyToMany[Choice] = ManyToMany(...)`"),
        (lambda: Related[Choice, int], "`name: Related[Choice] = Related(...)`"),
    ],
)
def test_a_relation_to_several(annotation: Callable[[], Any], message: str) -> None:
    """More than the model in the brackets is refused with what to write, in quotes as well."""
    with pytest.raises(ModelError, match=re.escape(message)):
        annotation()


def test_a_relation_to_several_in_quotes() -> None:
    """The same under `from __future__ import annotations`, with the name of the field."""
    with pytest.raises(ModelError, match=r"Late\.choice: ForeignKey\[Choice, CASCADE\] has more.*on_delete=CASCADE\)`"):
        make("Late", __name__, choice=("ForeignKey[Choice, CASCADE]", ForeignKey()))
    with pytest.raises(ModelError, match=r"on_delete=ormis\.CASCADE\)`"):
        make("Late", __name__, choice=("ForeignKey['Choice', ormis.CASCADE]", ForeignKey()))


# Classes -------------------------------------------------------------------------------------------------------------


def _paper(**more: Any) -> Any:
    return make("Paper", __name__, title=(str, ""), **more)


def _note(paper: Any) -> Any:
    relation = ForeignKey(related_name="notes")
    return make("Note", __name__, paper=(ForeignKey[paper | None], relation), tags=(ManyToMany["Tag"], ManyToMany()))


def test_relations_follow_a_class_that_is_declared_again(db: ormis.Database) -> None:
    """As when the cell of a notebook is run again: the models that refer to the class refer to the new one."""
    paper = _paper()
    note = _note(paper)
    old = paper.objects.using(db).create(title="a")
    note.objects.create(paper=old)
    again = _paper(pages=(int, 0))
    found = again.get(1)
    assert (found.pages, found.notes.count(), note.get(1).paper) == (0, 1, found)
    assert note.objects.create(paper=again.objects.create(title="b")).paper.title == "b"
    assert [each.notes.all()[0].pk for each in again.objects.prefetch_related("notes")] == [1, 2]
    again_note = _note(again)
    assert [*again.get(2).notes.all()] == [again_note.get(2)]
    assert again_note.objects.filter(paper__title="b").get().paper == again.get(2)


@pytest.mark.parametrize("way", ["key", "to_field", "one-to-one", "declared"])
def test_keys_follow_a_class_whose_key_has_another_type(db: ormis.Database, way: str) -> None:
    """The foreign keys to a class that is declared again are typed as its key is now, and so are those to keys that are
    foreign keys themselves; one that the class body types stays as it is written.
    """
    to_field = "code" if way == "to_field" else None

    def paper(kind: Any, code: Any) -> Any:
        fields = {} if kind is int else {"own": (kind, Field(primary_key=True))}
        return make("Paper", __name__, **fields, code=(code, Field(unique=True)))

    paper(int, int)
    relation = ForeignKey(related_name="notes", to_field=to_field, on_delete=CASCADE)
    note = make("Note", __name__, paper=(ForeignKey["Paper"], relation), **(
        {"paper_id": (int, Field())} if way == "declared" else {}
    ))  # fmt: skip
    one = make("One", __name__, paper=(OneToOne["Paper"], OneToOne(primary_key=True, related_name="+")))
    leaf = make("Leaf", __name__, one=(ForeignKey["One"], ForeignKey(related_name="+")))
    assert leaf.model_fields["one_id"].annotation is int
    again = paper(str, str)
    if way == "declared":
        assert note.model_fields["paper_id"].annotation is int
        return
    assert note.model_fields["paper_id"].annotation is str
    assert one.model_fields["paper_id"].annotation is str
    assert leaf.model_fields["one_id"].annotation is str
    stored = again(own="x", code="c").save()
    made = note(paper=stored).save()
    assert made.paper_id == ("c" if to_field else "x")
    assert note.objects.filter(paper=stored).get().paper == stored
    assert leaf(one=one(paper=stored).save()).save().one.paper == stored
    with pytest.raises(ValidationError, match="valid string"):
        note(paper=7)
    assert note.objects.filter(paper__code="c").delete() == (1, {"Note": 1})


def test_an_object_of_the_class_before_says_so(db: ormis.Database) -> None:
    """Two classes of one name are told apart: an object of the former has to be loaded again."""
    paper = _paper()
    note = _note(paper)
    old = paper.objects.using(db).create(title="a")
    again = _paper(pages=(int, 0))
    writes: list[Callable[[], Any]] = [
        lambda: note(paper=old),
        lambda: setattr(note(), "paper", old),
        lambda: again.objects.contains(old),
        lambda: again.objects.rank(old),
        lambda: again.objects.bulk_create([old]),
    ]
    for write in writes:
        with pytest.raises(
            (TypeError, FieldError), match="of the class Paper before it was declared again: load it aga"
        ):
            write()


def test_a_class_that_can_not_follow_is_refused_when_it_is_used() -> None:
    """A new class in the way of a relation to it is made; the model with the relation says what is wrong."""
    note = _note(_paper())
    _paper(notes=(int, 0))
    with pytest.raises(ModelError, match=r"Note\.paper: Paper has 'notes' already"):
        note.objects.all()
    _paper()
    assert note.objects.all().query.schema.references[0].target == "made_paper"


def test_two_classes_of_one_key_are_named_by_their_places() -> None:
    """Classes of the same name in two functions, or in a function and a module, are told apart."""
    with pytest.raises(
        ModelError, match=r"<locals>\.Tag and [\w.]*test_error_messages\.Tag have the same key 'messages_t"
    ):

        class Tag(ormis.Model):
            class Meta:
                key = "messages_tag"

        del Tag


def test_generic_bases_say_what_to_declare() -> None:
    """A stored generic class is no base of others; an abstract one is not stored, with types or without."""
    kind = TypeVar("kind")

    class Stored(ormis.Model, Generic[kind]):
        value: kind

    with pytest.raises(ModelError, match=r"Stored is stored itself.*abstract = True.*`class Own\(Stored\[int\]\)`"):
        _any(Stored)[int]

    class Measured(ormis.Model, Generic[kind]):
        value: kind

        class Meta:
            abstract = True

    with pytest.raises(ModelError, match=r"Measured\[int\] is abstract: .*`class Own\(Measured\[int\]\)`"):
        _any(Measured)[int].objects.all()
    with pytest.raises(ModelError, match=r"Measured is abstract: .*`class Own\(Measured\)`"):
        _any(Measured)(value=3).save()


# Maintenance ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, db: ormis.Database) -> Iterator[type[ormis.Model]]:
    """A model with an index and a unique field, and an empty module for the command line tool."""
    (tmp_path / "empty_models.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    model = make("Shelf", __name__, title=(str, Field(unique=True)), size=(int, Field(default=0, index=True)))
    model.objects.using(db).bulk_create([model(title="a", size=3), model(title="b", size=4)])
    with monkeypatch.context() as only:
        only.setattr(registry, "_models", {"made_shelf": model})
        yield model


def run(*arguments: str) -> tuple[int, str]:
    """The exit code and the output of the command line tool."""
    result = CliRunner().invoke(app, [*arguments])
    return result.exit_code, " ".join(result.output.split())


def test_check_tells_the_object_from_the_index(shelf: type[ormis.Model], raw: Any, url: str) -> None:
    """A wrong entry is described from both sides, each with the right key in its place."""
    raw.zadd("made_shelf/index/size", {"1": 9})
    raw.hset("made_shelf/unique/title", "a", "2")
    messages = {finding.message for finding in ormis.check(models=[shelf]).findings}
    assert messages == {
        "made_shelf:1 differs from its entry in the index size (made_shelf/index/size)",
        "the index size (made_shelf/index/size) has an entry '1' that differs from the object",
        "made_shelf:1 has title='a', which is claimed for an object that has another value",
        "title='a' is claimed (made_shelf/unique/title) for an object that has another value",
    }
    _, output = run("check", "--url", url, "--models", "empty_models")
    assert all(message in output for message in messages)


def test_inspect_without_models_says_nothing_of_declarations(shelf: Any, url: str) -> None:
    """Without --models no index is called undeclared; with a module, those of models that it does not declare are."""
    registry.forget(shelf)
    code, output = run("inspect", "--url", url)
    assert (code, "undeclared" in output, "not declared" in output) == (0, False, False)
    assert "- made_shelf 2" in output
    assert "size (sorted)" in output
    assert "--models package.module, to see which of these are declared" in output
    assert "(not declared) made_shelf 2" in run("inspect", "--url", url, "--models", "empty_models")[1]


def test_reindex_with_nothing_to_do_says_so(shelf: type[ormis.Model], raw: Any, url: str) -> None:
    """Without anything to build or drop there is a line that says so, and a table otherwise."""
    arguments = ("reindex", "--url", url, "--models", "empty_models")
    assert run(*arguments) == (0, "nothing to do: the indexes and constraints of 1 model are complete")
    raw.hset("ormis/models", "made_shelf", '{"indexes":[],"unique":[]}')
    code, output = run(*arguments)
    assert (code, "nothing to do" in output, "size (sorted)" in output) == (0, False, True)
    assert "nothing to do" in run(*arguments)[1]
    assert shelf.objects.using(ormis.connect(url)).filter(size=4).count() == 1


def test_the_command_line_names_the_url_without_a_server(shelf: Any) -> None:
    """Where no server answers, the tool prints redis-py's error and the URL."""
    code, output = run("inspect", "--url", "unix:///nowhere/ormis.sock")
    assert code == 2
    assert "the database is unix:///nowhere/ormis.sock?db=0" in output


@pytest.mark.parametrize("models", [["Shelf"], [3], "Shelf"])
def test_maintenance_takes_model_classes(models: Any, db: ormis.Database) -> None:
    """Names in place of classes are refused with what to give; one class stands for a list of one."""
    for work in (ormis.check, ormis.reindex, ormis.inspect):
        with pytest.raises(TypeError, match="give model classes"):
            work(db, models=models)
    with pytest.raises(TypeError, match="reindex\\(\\) takes a model class"):
        db.reindex("Shelf")
    assert ormis.check(db, models=_any(Tag)).ok
