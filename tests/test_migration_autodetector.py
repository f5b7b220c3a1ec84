"""The operations between two states of models, and the questions about them."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laws import examples
from migration_states import states
from ormis import MigrationError
from ormis.migrations import (
    AddField,
    AddIndex,
    AlterField,
    AlterModel,
    AlterRelation,
    ConstraintState,
    CreateModel,
    DeleteModel,
    FieldState,
    IndexState,
    LinkState,
    ModelState,
    RelationState,
    RemoveField,
    RemoveIndex,
    RenameField,
    RenameModel,
)
from ormis.migrations.autodetector import detect
from ormis.migrations.questioner import Asking, Unasked, value_of
from ormis.migrations.state import ProjectState

PK = FieldState("id", "int", primary_key=True)
TEXT = FieldState("text", "str")
QUESTION = ModelState("question", "Question", [PK, TEXT])
CHOICE = ModelState(
    "choice",
    "Choice",
    [PK, FieldState("question_id", "int | None"), FieldState("votes", "int", default=0)],
    [IndexState("question_id", "equal"), IndexState("votes")],
    [],
    [RelationState("question", "question_id", "question")],
)


class Answers:
    """Answers each question by chance, and gives values."""

    def __init__(self, draw: Any = None, yes: bool = True) -> None:
        self.draw, self.yes = draw, yes
        self.asked: list[str] = []

    def renamed_model(self, old: ModelState, new: ModelState) -> bool:
        self.asked.append(f"{old.key} -> {new.key}")
        return self.yes if self.draw is None else self.draw(st.booleans())

    def renamed_field(self, model: ModelState, old: str, new: str) -> bool:
        self.asked.append(f"{model.key}.{old} -> {new}")
        return self.yes if self.draw is None else self.draw(st.booleans())

    def value_for(self, model: ModelState, field: FieldState) -> Any:
        self.asked.append(f"{model.key}.{field.name} = ?")
        return "1"


def project(*models: ModelState) -> ProjectState:
    return ProjectState().having(*models)


@settings(max_examples=examples(150), deadline=None)
@given(old=states(), new=states(), data=st.data())
def test_the_operations_lead_from_one_state_to_the_other(old: ProjectState, new: ProjectState, data: Any) -> None:
    """Law: whatever is said to be renamed, the detected operations make the new state of the old one."""
    state = old
    for operation in detect(old, new, Answers(data.draw)):
        state = operation.apply(state)
        assert operation.describe()
    assert state.canonical == new.canonical


@settings(max_examples=examples(50), deadline=None)
@given(state=states())
def test_there_is_nothing_between_equal_states(state: ProjectState) -> None:
    """Law: a state and the same in another order need no operation, and nothing is asked."""
    asked = Answers()
    assert detect(state, state.canonical, asked) == []
    assert detect(state.canonical, state, asked) == []
    assert asked.asked == []


def test_a_relation_comes_after_its_model() -> None:
    """Models are created in the order in which they refer to each other, circles are closed afterwards."""
    assert detect(project(), project(CHOICE, QUESTION)) == [CreateModel(QUESTION), CreateModel(CHOICE)]
    best = RelationState("best", "id", "choice")
    circular = replace(QUESTION, relations=(best,))
    assert detect(project(), project(CHOICE, circular)) == [
        CreateModel(replace(CHOICE, relations=())),
        CreateModel(circular),
        AlterRelation("choice", None, CHOICE.relations[0]),
    ]


def test_models_are_deleted_in_the_order_of_their_relations() -> None:
    """One that refers goes before the one that it refers to."""
    assert detect(project(QUESTION, CHOICE), project()) == [DeleteModel("choice"), DeleteModel("question")]
    circular = replace(QUESTION, relations=(RelationState("best", "id", "choice"),))
    assert detect(project(circular, CHOICE), project()) == [
        AlterRelation("choice", CHOICE.relations[0], None),
        DeleteModel("question"),
        DeleteModel("choice"),
    ]


def test_what_depends_on_a_removed_field_is_removed_before() -> None:
    """The relation and the index of a foreign key go before its field."""
    bare = replace(CHOICE, fields=(PK, CHOICE.fields[2]), indexes=CHOICE.indexes[1:], relations=())
    assert detect(project(QUESTION, CHOICE), project(QUESTION, bare)) == [
        AlterRelation("choice", CHOICE.relations[0], None),
        RemoveIndex("choice", CHOICE.indexes[0]),
        RemoveField("choice", "question_id"),
    ]
    assert detect(project(QUESTION, bare), project(QUESTION, CHOICE)) == [
        AddField("choice", CHOICE.fields[1]),
        AlterRelation("choice", None, CHOICE.relations[0]),
        AddIndex("choice", CHOICE.indexes[0]),
    ]


def test_a_rename_is_asked_and_never_guessed() -> None:
    """A field of the same kind may be the same one; without an answer it is another, as in Django."""
    renamed = replace(QUESTION, fields=(PK, FieldState("question_text", "str", default="")))
    answers = Answers()
    assert detect(project(QUESTION), project(renamed), answers) == [
        RenameField("question", "text", "question_text"),
        AlterField("question", FieldState("question_text", "str", default="")),
    ]
    assert answers.asked == ["question.text -> question_text"]
    assert detect(project(QUESTION), project(renamed)) == [
        AddField("question", FieldState("question_text", "str", default="")),
        RemoveField("question", "text"),
    ]
    number = replace(QUESTION, fields=(PK, FieldState("number", "int", default=0)))
    answers = Answers()
    detect(project(QUESTION), project(number), answers)
    assert answers.asked == [], "a field of another kind is another field"


def test_a_foreign_key_is_asked_for_by_its_attribute() -> None:
    """It is renamed with its relation and its index, if it refers to the same model."""
    other = replace(
        CHOICE,
        fields=(PK, FieldState("poll_id", "int | None"), CHOICE.fields[2]),
        indexes=(IndexState("poll_id", "equal"), CHOICE.indexes[1]),
        relations=(RelationState("poll", "poll_id", "question"),),
    )
    answers = Answers()
    assert detect(project(QUESTION, CHOICE), project(QUESTION, other), answers) == [
        RenameField("choice", "question_id", "poll_id"),
        AlterRelation("choice", RelationState("question", "poll_id", "question"), other.relations[0]),
    ]
    assert answers.asked == ["choice.question -> poll"]


def test_a_model_with_the_same_fields_may_be_renamed() -> None:
    """Relations follow it without an operation of their own; without an answer it is deleted and created."""
    poll = replace(QUESTION, key="poll", name="Poll")
    choice = replace(CHOICE, relations=(RelationState("question", "question_id", "poll"),))
    old, new = project(QUESTION, CHOICE), project(poll, choice)
    assert detect(old, new, Answers()) == [RenameModel("question", "poll", "Poll")]
    assert detect(old, new) == [
        CreateModel(poll),
        AlterRelation("choice", CHOICE.relations[0], choice.relations[0]),
        DeleteModel("question"),
    ]


def test_links_are_renamed_and_altered_as_they_are() -> None:
    """Another name or another name on the other side keeps the links."""
    one, other = (replace(QUESTION, links=(LinkState(name, "question", "+"),)) for name in ("tags", "labels"))
    back = replace(QUESTION, links=(LinkState("tags", "question", "tagged"),))
    assert detect(project(one), project(other), Answers()) == [AlterRelation("question", one.links[0], other.links[0])]
    assert detect(project(one), project(back)) == [AlterRelation("question", one.links[0], back.links[0])]


def test_a_field_that_must_have_a_value_is_asked_for_one() -> None:
    """A new field without a default, and one that may be None no longer; not one that only new kinds have."""
    more = replace(QUESTION, fields=(*QUESTION.fields, FieldState("author", "str")))
    assert detect(project(QUESTION), project(more), Answers()) == [
        AddField("question", FieldState("author", "str"), value="1")
    ]
    optional = replace(QUESTION, fields=(PK, FieldState("text", "str | None")))
    assert detect(project(optional), project(QUESTION), Answers()) == [AlterField("question", TEXT, value="1")]
    with pytest.raises(MigrationError, match=r"Question\.author: objects that are stored have no value for it"):
        detect(project(QUESTION), project(more))
    family = replace(
        QUESTION, kinds=("question", "quiz"), fields=(*QUESTION.fields, FieldState("x", "int", kinds=["quiz"]))
    )
    answers = Answers()
    detect(project(replace(QUESTION, kinds=("question",))), project(family), answers)
    assert answers.asked == []


def test_an_index_of_another_kind_is_removed_before_the_field_changes() -> None:
    """Its type follows the kind of the values."""
    text = replace(CHOICE, fields=(*CHOICE.fields[:2], FieldState("votes", "str", default="0")))
    text = replace(text, indexes=(CHOICE.indexes[0], IndexState("votes", "text")))
    assert detect(project(QUESTION, CHOICE), project(QUESTION, text)) == [
        RemoveIndex("choice", IndexState("votes")),
        AlterField("choice", FieldState("votes", "str", default="0")),
        AddIndex("choice", IndexState("votes", "text")),
    ]


def test_options_of_a_model_are_one_operation() -> None:
    """Name of the class, counted keys, expiry, kinds."""
    other = replace(QUESTION, name="Poll", automatic=False, expires=True, kinds=("question", "quiz"))
    assert detect(project(QUESTION), project(other)) == [
        AlterModel("question", name="Poll", automatic=False, expires=True, kinds=("question", "quiz"))
    ]


def test_another_primary_key_is_refused() -> None:
    """Keys of objects stay as they are."""
    other = replace(QUESTION, fields=(FieldState("code", "str", primary_key=True), TEXT))
    with pytest.raises(MigrationError, match="the primary key of Question was 'id' and is 'code'"):
        detect(project(QUESTION), project(other))
    text = replace(QUESTION, fields=(FieldState("id", "str", primary_key=True), TEXT))
    with pytest.raises(MigrationError, match=r"question\.id: another primary key, or one of another kind"):
        detect(project(QUESTION), project(text))


@pytest.mark.parametrize(
    ("field", "typed", "value"),
    [
        ("str", "hello", "hello"),
        ("str", "'hello'", "hello"),
        ("str", "5", "5"),
        ("int", "5", 5),
        ("float", "5", 5.0),
        ("bool", "no", False),
        ("bytes", "b'x'", b"x"),
        ("Decimal", "1.50", "1.50"),
        ("datetime", "2024-01-02T03:04:05Z", "2024-01-02T03:04:05.000000Z"),
        ("list[str]", "['a']", '["a"]'),
    ],
)
def test_a_value_is_typed_as_text_or_literal(field: str, typed: str, value: Any) -> None:
    """It is converted as a field converts it, and kept as the default would be."""
    assert value_of(FieldState("x", field), typed) == value


def test_a_person_is_asked_until_the_value_fits() -> None:
    """The question names model and field; what does not convert is asked for again."""
    typed, questions = iter(["many", "7"]), list[str]()

    def ask(question: str) -> str:
        questions.append(question)
        return next(typed)

    asking = Asking(lambda question: questions.append(question) is None, ask)
    assert asking.value_for(CHOICE, FieldState("votes", "int")) == 7
    assert asking.renamed_model(QUESTION, CHOICE)
    assert asking.renamed_field(CHOICE, "votes", "score")
    assert "Choice.votes must have a value" in questions[0]
    assert questions[1].startswith("That is no int (")
    assert questions[2:] == [
        "Was the model Question (question) renamed to Choice (choice)?",
        "Was Choice.votes renamed to Choice.score?",
    ]
    assert not Unasked().renamed_model(QUESTION, CHOICE)


def test_a_constraint_is_altered_by_removing_and_adding_it() -> None:
    """Constraints have no name but their fields."""
    one, other = (replace(QUESTION, constraints=(ConstraintState(name),)) for name in ("text", "id"))
    assert [type(one).__name__ for one in detect(project(one), project(other))] == ["RemoveConstraint", "AddConstraint"]
