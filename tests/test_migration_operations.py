"""Operations of migrations on states: what each changes, and when it is refused."""

from typing import Any

import pytest

from ormis import MigrationError
from ormis.migrations import (
    AddConstraint,
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
    RemoveConstraint,
    RemoveField,
    RemoveIndex,
    RenameField,
    RenameModel,
    RunPython,
)
from ormis.migrations.operations import OPERATIONS
from ormis.migrations.state import ProjectState

PK = FieldState("id", "int", primary_key=True)
VOTES = IndexState("votes")
CITY = IndexState("address__city", "text", parts={"address__city": ("address", "text", ("key", "city"))})
QUESTION = RelationState("question", "question_id", "question", to_field="slug")
TAGS = LinkState("tags", "question", "choices")
STATE = ProjectState().having(
    ModelState("question", "Question", [PK, FieldState("slug", "str")], constraints=[ConstraintState("slug")]),
    ModelState(
        "choice",
        "Choice",
        [PK, FieldState("question_id", "str"), FieldState("votes", "int", default=0), FieldState("address", "Any")],
        [VOTES, CITY],
        [ConstraintState(("question_id", "votes"))],
        [QUESTION],
        [TAGS],
        kinds=["choice", "odd"],
        kind_defaults={"odd": {"votes": 1}},
    ),
)


def after(*operations: Any) -> ProjectState:
    state = STATE
    for operation in operations:
        state = operation.apply(state)
    return state


def test_a_model_is_created_and_deleted() -> None:
    """A model may refer to itself; a deleted one is gone."""
    model = ModelState("node", "Node", [PK], relations=[RelationState("up", "id", "node")])
    created = after(CreateModel(model))
    assert created.model("node") == model
    assert DeleteModel("node").apply(created) == STATE


def test_a_renamed_model_is_referred_to_by_its_new_key() -> None:
    """Foreign keys and links of all models follow."""
    choice = after(RenameModel("question", "poll", "Poll")).model("choice")
    assert [one.to for one in (*choice.relations, *choice.links)] == ["poll", "poll"]
    assert after(RenameModel("question", "poll", "Poll")).model("poll").name == "Poll"


def test_a_renamed_field_is_renamed_wherever_it_is_named() -> None:
    """Indexes, parts, constraints, relations on both sides and defaults of kinds follow."""
    state = after(
        RenameField("choice", "votes", "score"),
        RenameField("choice", "address", "place"),
        RenameField("choice", "question_id", "poll_slug"),
        RenameField("question", "slug", "code"),
    )
    choice = state.model("choice")
    assert choice.indexes[0] == IndexState("score")
    assert choice.indexes[1] == IndexState(
        "place__city", "text", parts={"place__city": ("place", "text", ("key", "city"))}
    )
    assert choice.constraints == (ConstraintState(("poll_slug", "score")),)
    assert choice.relations == (RelationState("question", "poll_slug", "question", to_field="code"),)
    assert choice.kind_defaults == {"odd": {"score": 1}}
    assert state.model("question").constraints == (ConstraintState("code"),)


def test_a_field_is_added_altered_and_removed() -> None:
    """A removed field takes the defaults of kinds with it."""
    added = after(AddField("choice", FieldState("note", "str"), value="-"))
    assert added.model("choice").fields[-1] == FieldState("note", "str")
    altered = after(AlterField("choice", FieldState("votes", "float")))
    assert altered.model("choice").field("votes") == FieldState("votes", "float")
    removed = after(
        RemoveIndex("choice", VOTES),
        RemoveConstraint("choice", ConstraintState(("question_id", "votes"))),
        RemoveField("choice", "votes"),
    )
    assert not removed.model("choice").has("votes")
    assert removed.model("choice").kind_defaults == {}


def test_indexes_constraints_and_relations_come_and_go() -> None:
    """What one operation adds its opposite removes."""
    index, constraint = IndexState(("votes", "address")), ConstraintState("votes")
    for add, remove in (
        (AddIndex("choice", index), RemoveIndex("choice", index)),
        (AddConstraint("choice", constraint), RemoveConstraint("choice", constraint)),
        (
            AlterRelation("choice", None, LinkState("fans", "choice", "idols")),
            AlterRelation("choice", LinkState("fans", "choice", "idols"), None),
        ),
    ):
        assert after(add) != STATE
        assert after(add, remove) == STATE
    other = RelationState("poll", "question_id", "question", "set_null")
    assert after(AlterRelation("choice", QUESTION, other)).model("choice").relations == (other,)


def test_a_model_is_altered_only_in_what_is_said() -> None:
    """None leaves an option as it is."""
    choice = after(AlterModel("choice", expires=True, kinds=["choice"], kind_defaults={})).model("choice")
    assert (choice.name, choice.automatic, choice.expires, choice.kinds) == ("Choice", True, True, ("choice",))


def test_a_function_changes_no_model() -> None:
    """RunPython is about objects."""
    assert after(RunPython("choice", print)) == STATE


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (CreateModel(ModelState("choice", "C", [PK])), "a model with the key 'choice' here already"),
        (CreateModel(ModelState("c", "C")), "the model 'c' needs one field with primary_key=True"),
        (CreateModel(ModelState("c", "C", [PK, PK])), "the model 'c' needs one field with primary_key"),
        (
            CreateModel(ModelState("c", "C", [PK], relations=[RelationState("a", "id", "gone")])),
            "c.a refers to the model 'gone', and there is none here",
        ),
        (DeleteModel("chioce"), "no model with the key 'chioce' here: did you mean 'choice'"),
        (DeleteModel("question"), "choice.question refers to the model 'question': remove the relation before"),
        (RenameModel("question", "choice", "C"), "a model with the key 'choice' here already"),
        (RenameModel("poll", "vote", "C"), "no model with the key 'poll'"),
        (AddField("choice", FieldState("votes", "int")), "'choice' has a field 'votes' here already"),
        (AddField("choice", FieldState("pk", "int", primary_key=True)), "choice.pk: a primary key can't be added"),
        (AddField("poll", FieldState("votes", "int")), "no model with the key 'poll'"),
        (RemoveField("choice", "votes"), "the index on votes of the model 'choice' names the field 'votes'"),
        (RemoveField("question", "slug"), "choice.question refers to question.slug: alter the relation before"),
        (RemoveField("choice", "vote"), "'choice' has no field 'vote' here: did you mean 'votes'"),
        (RemoveField("choice", "id"), "choice.id: a primary key can't be removed"),
        (RenameField("choice", "vote", "x"), "'choice' has no field 'vote' here"),
        (RenameField("choice", "votes", "address"), "'choice' has a field 'address' here already"),
        (AlterField("choice", FieldState("note", "str")), "'choice' has no field 'note' here"),
        (AlterField("choice", FieldState("id", "str", primary_key=True)), "choice.id: another primary key"),
        (AlterField("choice", FieldState("votes", "int", primary_key=True)), "choice.votes: another primary key"),
        (AddIndex("choice", VOTES), "the indexes of the model 'choice' have"),
        (AddIndex("choice", IndexState("note")), "index on note of the model 'choice' names the field 'note'"),
        (RemoveIndex("choice", IndexState("votes", "equal")), "the model 'choice' has no IndexState"),
        (AddConstraint("choice", ConstraintState("note")), "constraint on note of the model 'choice' names"),
        (AddConstraint("question", ConstraintState("slug")), "the constraints of the model 'question' have"),
        (RemoveConstraint("choice", ConstraintState("votes")), "the model 'choice' has no ConstraintState"),
        (AlterRelation("choice", RelationState("x", "votes", "choice"), None), "'choice' has no relation Rel"),
        (AlterRelation("choice", None, RelationState("x", "note", "choice")), "the relation 'x' of the model"),
        (AlterRelation("choice", None, LinkState("x", "gone", "y")), "choice.x refers to the model 'gone'"),
        (AlterRelation("choice", None, LinkState("question", "choice", "y")), "the relations of the model"),
        (
            AlterRelation("choice", None, RelationState("x", "votes", "question", to_field="code")),
            "choice.x refers to the field 'code' of 'question', which has none",
        ),
        (AlterModel("choice", kind_defaults={"odd": {"note": 1}}), "the defaults of the kind 'odd' of the model"),
        (RunPython("poll", print), "no model with the key 'poll'"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(operation: Any, message: str) -> None:
    """The error names the model and the field, and says what to do."""
    with pytest.raises(MigrationError) as caught:
        operation.apply(STATE)
    assert message in str(caught.value)


def test_contradictions_are_refused_at_once() -> None:
    """Two values for one purpose, and a relation that becomes one of another type."""
    with pytest.raises(MigrationError, match=r"AddField choice\.x: give fill= or value=, not both"):
        AddField("choice", FieldState("x", "int"), fill=print, value=1)
    for old, new in ((None, None), (QUESTION, TAGS)):
        with pytest.raises(MigrationError, match="AlterRelation of 'choice'"):
            AlterRelation("choice", old, new)


@pytest.mark.parametrize(
    ("operation", "phrase"),
    [
        (CreateModel(ModelState("c", "C", [PK])), "Create model c"),
        (DeleteModel("c"), "Delete model c"),
        (RenameModel("a", "b", "B"), "Rename model a to b"),
        (AlterModel("c", kind_defaults={}, name="D"), "Alter name, kind defaults of c"),
        (AddField("choice", FieldState("votes", "int")), "Add field votes to choice"),
        (RemoveField("choice", "votes"), "Remove field votes from choice"),
        (RenameField("choice", "votes", "score"), "Rename field votes on choice to score"),
        (AlterField("choice", FieldState("votes", "int")), "Alter field votes on choice"),
        (AddIndex("choice", VOTES), "Add sorted index on votes to choice"),
        (RemoveIndex("choice", VOTES), "Remove sorted index on votes from choice"),
        (AddConstraint("c", ConstraintState(("a", "b"))), "Add constraint on a, b to c"),
        (RemoveConstraint("c", ConstraintState(("a", "b"))), "Remove constraint on a, b from c"),
        (AlterRelation("c", None, TAGS), "Add relation tags to c"),
        (AlterRelation("c", TAGS, None), "Remove relation tags of c"),
        (AlterRelation("c", TAGS, LinkState("tags", "c", "c")), "Alter relation tags of c"),
        (AlterRelation("c", TAGS, LinkState("labels", "c", "c")), "Rename relation tags of c to labels"),
        (RunPython("c", print), "Run print on the objects of c"),
    ],
)
def test_each_operation_describes_itself(operation: Any, phrase: str) -> None:
    """As a phrase with the names of the model and of what changes."""
    assert operation.describe() == phrase
    assert type(operation) in OPERATIONS
