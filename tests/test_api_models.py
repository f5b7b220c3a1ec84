"""`body()` and `view()`: pydantic models of what a client may send, and of responses."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, HTTPException
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    BaseModel,
    PlainSerializer,
    ValidationError,
    computed_field,
    field_serializer,
    field_validator,
    model_validator,
)

import ormis
from model_factory import make
from ormis import (
    CASCADE,
    FETCH_PEERS,
    RAISE,
    SET_NULL,
    Count,
    Field,
    FieldError,
    ForeignKey,
    ManyToMany,
    OneToOne,
    Related,
    RelationNotLoaded,
    body,
    capture_calls,
    view,
)


class Kind(Enum):
    OPEN = "open"
    CLOSED = "closed"


class Place(BaseModel):
    city: str = Field(min_length=2)


class Tag(ormis.Model):
    name: str = Field(primary_key=True, max_length=10)

    class Meta:
        key = "api_tag"


class Question(ormis.Model):
    """A question of a poll."""

    text: str = Field(max_length=20, title="The text", description="What is asked", examples=["Tea?"])
    kind: Kind = Kind.OPEN
    starts: int = Field(default=0, ge=0)
    ends: int = 10
    place: Place | None = None
    labels: list[str] = Field(default_factory=list, json_schema_extra={"x-shown": True})
    password: str = Field(default="", exclude=True)
    slug: str | None = Field(default=None, frozen=True)
    created: datetime = Field(auto_now_add=True)
    changed: datetime = Field(auto_now=True)
    choices: Related["Choice"] = Related()

    class Meta:
        key = "api_question"

    @computed_field(description="How long it is open")
    @property
    def length(self) -> int:
        return self.ends - self.starts

    @field_validator("text")
    @classmethod
    def stripped(cls, value: str) -> str:
        if "bad" in value:
            raise ValueError(f"{cls.__name__}: no bad words")
        return value.strip()

    @model_validator(mode="after")
    def in_order(self) -> "Question":
        if self.ends < self.starts:
            raise ValueError("it ends before it starts")
        return self

    @field_serializer("starts")
    def day(self, value: int) -> str:
        return f"day {value}"


class Choice(ormis.Model):
    question: ForeignKey[Question | None] = ForeignKey(related_name="choices", on_delete=SET_NULL)
    text: str = Field(alias="choiceText")
    votes: int = 0
    tags: ManyToMany[Tag] = ManyToMany(related_name="choices")

    class Meta:
        key = "api_choice"


class Picture(ormis.Model):
    choice: OneToOne[Choice] = OneToOne(related_name="picture", on_delete=CASCADE)
    price: Annotated[Decimal, PlainSerializer(float)] = Decimal(0)
    size: Annotated[int, AfterValidator(abs)] = 1

    class Meta:
        key = "api_picture"


QuestionBody, QuestionPatch, QuestionView = (
    body(Question),
    body(Question, partial=True),
    view(Question, related=["choices", "choices__tags"]),
)
SENDABLE = ["text", "kind", "starts", "ends", "place", "labels", "password", "slug"]


def poll() -> Question:
    """A question with two choices, three links and one picture."""
    question = Question(text="Tea?", starts=1, password="secret").save()
    for name in ("hot", "cold"):
        Tag(name=name).save()
    tea, coffee = (Choice(question=question, choiceText=text, votes=i).save() for i, text in enumerate(["Tea", "Mate"]))
    tea.tags.add("hot", "cold")
    coffee.tags.add("hot")
    Picture(choice=tea, price=Decimal("1.5")).save()
    return question


def errors(refused: pytest.ExceptionInfo[ValidationError]) -> list[tuple[tuple[int | str, ...], str]]:
    return [(line["loc"], line["type"]) for line in refused.value.errors()]


# body() --------------------------------------------------------------------------------------------------------------


def test_the_fields_of_a_body() -> None:
    """It has the fields that a client sets: no counted key, no times of writes, keys in place of relations."""
    assert [*QuestionBody.model_fields] == SENDABLE
    assert [*QuestionPatch.model_fields] == SENDABLE[:-1], "a frozen field can't be changed"
    assert [*body(Choice).model_fields] == ["question_id", "text", "votes"]
    assert [*body(Tag).model_fields] == ["name"]
    assert [*body(Tag, partial=True).model_fields] == [], "nor can a primary key"
    assert (QuestionBody.__name__, QuestionPatch.__name__, QuestionBody.__module__) == (
        "QuestionBody",
        "QuestionPatch",
        __name__,
    )


def test_the_schema_of_a_body() -> None:
    """Types, constraints, defaults and texts are those of the model."""
    own, theirs = (m.model_json_schema() for m in (QuestionBody, Question))
    assert own["properties"] == {name: theirs["properties"][name] for name in SENDABLE}
    assert (own["required"], own["description"], own["title"]) == (["text"], "A question of a poll.", "QuestionBody")
    assert own["additionalProperties"] is False
    partial = QuestionPatch.model_json_schema()
    assert "required" not in partial
    assert not any("default" in shown for shown in partial["properties"].values())
    assert partial["properties"]["text"] == theirs["properties"]["text"]


def test_a_body_makes_an_object(db: ormis.Database) -> None:
    """Its model_dump() is what the constructor takes, aliases included; a patch has what setattr() takes."""
    sent = QuestionBody.model_validate_json('{"text": " Tea? ", "place": {"city": "Rome"}, "kind": "closed"}')
    question = Question(**sent.model_dump()).save()
    assert (question.text, question.place, question.kind) == ("Tea?", Place(city="Rome"), Kind.CLOSED)
    choice = Choice(**body(Choice)(choiceText="Tea", question_id=question.pk).model_dump()).save()
    assert (choice.text, choice.question) == ("Tea", question)
    patch = body(Choice, partial=True).model_validate({"choiceText": "Mate"})
    for name, value in patch.model_dump(exclude_unset=True).items():
        setattr(choice, name, value)
    with capture_calls() as calls:
        choice.save()
    assert "Mate" in str(calls[0])
    assert (Choice.get(choice.pk).text, Choice.get(choice.pk).question_id) == ("Mate", question.pk)
    assert QuestionPatch().model_dump(exclude_unset=True) == {}
    assert Picture(choice=choice, **body(Picture, exclude=["choice"])(price="1.50", size=-3).model_dump()).price == (
        Decimal("1.50")
    )


BAD: list[tuple[dict[str, Any], list[tuple[tuple[str, ...], str]]]] = [
    ({}, [(("text",), "missing")]),
    ({"text": "x" * 21, "starts": -1}, [(("text",), "string_too_long"), (("starts",), "greater_than_equal")]),
    ({"text": "bad"}, [(("text",), "value_error")]),
    ({"text": "x", "starts": 5, "ends": 4}, [((), "value_error")]),
    ({"text": "x", "place": {"city": "R"}}, [(("place", "city"), "string_too_short")]),
    ({"text": "x", "id": 7}, [(("id",), "extra_forbidden")]),
    ({"text": "x", "created": "2026-01-01T00:00:00Z"}, [(("created",), "extra_forbidden")]),
    ({"text": None}, [(("text",), "string_type")]),
]


@pytest.mark.parametrize(("sent", "expected"), BAD)
def test_what_a_body_refuses(sent: dict[str, Any], expected: Any) -> None:
    """Everything that the model would refuse, with all errors at once, as errors of the fields that were sent."""
    with pytest.raises(ValidationError) as refused:
        QuestionBody.model_validate(sent)
    assert errors(refused) == expected
    if expected not in ([(("text",), "missing")], [((), "value_error")]):
        with pytest.raises(ValidationError) as refused:
            QuestionPatch.model_validate(sent)
        assert errors(refused) == expected


def test_which_validators_run() -> None:
    """Those of fields always; of the model where all that is required can be sent, by a real object of the model."""
    assert body(Question, exclude=["ends"])(text=" x ", starts=5).model_dump()["text"] == "x"
    with pytest.raises(ValidationError, match="ends before it starts"):
        body(Question, exclude=["ends"])(text="x", starts=11)
    assert body(Question, exclude=["text"])(starts=11).model_dump()["starts"] == 11
    assert QuestionPatch(starts=11).model_dump(exclude_unset=True) == {"starts": 11}
    with pytest.raises(ValidationError, match="Question: no bad words"):
        QuestionBody(text="bad")


def test_include_and_exclude(db: ormis.Database) -> None:
    """Names of fields, a relation by its own name; what is not sent is not in the body."""
    assert [*body(Choice, include=["votes", "question"]).model_fields] == ["question_id", "votes"]
    assert [*body(Choice, exclude=("question_id",)).model_fields] == ["text", "votes"]
    assert body(Question, include=["starts"], partial=True)(starts=3).model_dump() == {"starts": 3}
    assert [*body(Question, exclude=["id", "created"]).model_fields] == SENDABLE
    for arguments in ({"include": ["txt"]}, {"exclude": ["txt"]}, {"include": ["id"]}, {"include": ["created"]}):
        with pytest.raises(FieldError, match=r"body\(Question\): (in|ex)clude: there is no field"):
            body(Question, **arguments)
    with pytest.raises(FieldError, match="did you mean 'text'"):
        body(Question, include=["txt"])
    with pytest.raises(TypeError, match="list of names"):
        body(Question, include="text")
    for wrong in (Place, Question(text="x"), "Question", ormis.Model):
        with pytest.raises((TypeError, ormis.ModelError)):
            body(wrong)  # type: ignore[arg-type]
        with pytest.raises((TypeError, ormis.ModelError)):
            view(wrong)  # type: ignore[arg-type]


def test_classes_are_made_once() -> None:
    """The same arguments give the same class; names differ, so that OpenAPI can tell the classes apart."""
    assert body(Question) is QuestionBody
    assert body(Question, exclude=["starts", "ends"]) is body(Question, exclude=["ends", "starts"])
    assert view(Question, related=("choices", "choices__tags")) is QuestionView
    classes = [
        body(Question), QuestionPatch, body(Question, include=["text"]), body(Question, exclude=["text"]),
        view(Question), QuestionView, view(Question, include=["text"]), view(Question, related=["choices"]),
        view(Question, related=["choices"], exclude=["choices__votes"]),
    ]  # fmt: skip
    assert len({one.__name__ for one in classes}) == len(classes)


def test_a_class_that_is_declared_again() -> None:
    """It has bodies of its own, with the plain name."""
    first = make("Thing", __name__, x=(int, 0))
    made = body(first)
    second = make("Thing", __name__, y=(int, 0))
    assert [*body(second).model_fields] == ["y"]
    assert body(second).__name__ == body(first).__name__ == "ThingBody"
    assert body(first) is made


@settings(max_examples=50, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "text": st.one_of(st.text(max_size=25), st.none(), st.integers()),
            "starts": st.one_of(st.integers(-2, 30), st.text(max_size=2)),
            "ends": st.integers(-2, 30),
            "kind": st.sampled_from(["open", "closed", "ajar", Kind.OPEN]),
            "labels": st.one_of(st.lists(st.text(max_size=3), max_size=3), st.none()),
            "nothing": st.none(),
        },
    )
)
def test_a_body_accepts_what_the_model_accepts(values: dict[str, Any]) -> None:
    """For values that a client may send, both accept or both refuse; and an object of either is the same."""

    def outcome(make: Callable[[], Any]) -> Any:
        try:
            return make().model_dump(exclude={"created", "changed"})
        except ValidationError as error:
            return sorted((line["loc"], line["type"]) for line in error.errors())

    assert outcome(lambda: Question(**QuestionBody(**values).model_dump())) == outcome(lambda: Question(**values))


# view() --------------------------------------------------------------------------------------------------------------


def test_the_schema_of_a_view() -> None:
    """Every field is there, the key is no null; computed fields and nested views; nothing with exclude=True."""
    shown = QuestionView.model_json_schema(mode="serialization")
    names = ["id", *SENDABLE[:-2], "slug", "created", "changed", "length", "choices"]
    assert [*shown["properties"]] == names
    assert shown["required"] == names
    assert shown["properties"]["id"] == {"title": "Id", "type": "integer"}
    assert shown["properties"]["length"]["description"] == "How long it is open"
    assert shown["properties"]["text"] == Question.model_json_schema()["properties"]["text"]
    assert shown["properties"]["choices"]["items"] == {"$ref": "#/$defs/ChoiceView"}
    assert [*shown["$defs"]["ChoiceView"]["properties"]] == ["id", "question_id", "choiceText", "votes", "tags"]
    assert QuestionView.__name__ == "QuestionView"
    one = view(Choice, related=["question", "picture"]).model_json_schema()["properties"]
    assert [*one["question"]["anyOf"]][1] == {"type": "null"}
    assert [*one["picture"]["anyOf"]][1] == {"type": "null"}
    assert "$ref" in view(Picture, related=["choice"]).model_json_schema()["properties"]["choice"]


def test_a_view_of_an_object(db: ormis.Database) -> None:
    """Values as they are, by aliases in JSON, serialized as the model says, with related objects in two more calls."""
    poll()
    with capture_calls() as calls:
        (shown,) = [
            QuestionView.model_validate(one).model_dump(mode="json", by_alias=True)
            for one in Question.objects.prefetch_related("choices__tags")
        ]
    assert len(calls) == 3
    assert (shown["id"], shown["starts"], shown["length"], shown["kind"]) == (1, "day 1", 9, "open")
    assert "password" not in shown
    assert [(one["choiceText"], [tag["name"] for tag in one["tags"]]) for one in shown["choices"]] == [
        ("Tea", ["hot", "cold"]),
        ("Mate", ["hot"]),
    ]


def test_every_kind_of_relation(db: ormis.Database) -> None:
    """Foreign keys, both sides of a one-to-one, both of a many-to-many; absent ones are None."""
    poll()
    Choice(choiceText="None").save()
    ChoiceView = view(Choice, related=["question", "picture", "tags__choices"])
    records = Choice.objects.select_related("question").prefetch_related("picture", "tags__choices")
    with capture_calls() as calls:
        tea, mate, none = [ChoiceView.model_validate(one).model_dump() for one in records]
    assert len(calls) == 4
    assert (tea["question"]["text"], tea["picture"]["price"], mate["picture"]) == ("Tea?", 1.5, None)
    assert [[one["text"] for one in tag["choices"]] for tag in tea["tags"]] == [["Tea", "Mate"], ["Tea"]]
    assert (none["question"], none["tags"], none["picture"]) == (None, [], None)
    picture = view(Picture, related=["choice__question"]).model_validate(Picture.get(1))
    assert picture.model_dump()["choice"]["question"]["text"] == "Tea?"


def test_what_is_not_loaded(db: ormis.Database) -> None:
    """In sync code it is loaded now: a call for each; under FETCH_PEERS one for all, under RAISE an error."""
    poll()
    Question(text="Second").save()
    WithChoices = view(Question, related=["choices"])
    for queryset, number in ((Question.objects.all(), 3), (Question.objects.fetch_mode(FETCH_PEERS), 2)):
        with capture_calls() as calls:
            shown = [len(WithChoices.model_validate(one).model_dump()["choices"]) for one in queryset]
        assert (shown, len(calls)) == ([2, 0], number)
    with pytest.raises(RelationNotLoaded, match=r"Question.choices of .*prefetch_related\('choices'\)"):
        WithChoices.model_validate(Question.objects.fetch_mode(RAISE)[0])
    with pytest.raises(RelationNotLoaded, match="RAISE"):
        view(Choice, related=["question"]).model_validate(Choice.objects.fetch_mode(RAISE)[0])
    partly = Question.objects.only("text", "starts", "ends")[0]
    assert view(Question).model_validate(partly).model_dump()["labels"] == []


async def test_what_is_not_loaded_in_async_code(db: ormis.Database) -> None:
    """It is RelationNotLoaded, no error of validation, and names what to write."""
    poll()
    with pytest.raises(RelationNotLoaded, match="await aprefetch_related_objects"):
        QuestionView.model_validate(await Question.aget(1))
    for related in ("question", "picture"):
        with pytest.raises(RelationNotLoaded, match=f"Choice.{related}"):
            view(Choice, related=[related]).model_validate(await Choice.aget(2))
    (question,) = await Question.objects.prefetch_related("choices__tags")
    with capture_calls() as calls:
        assert len(QuestionView.model_validate(question).model_dump()["choices"]) == 2
    assert calls == []


def test_names_of_a_view() -> None:
    """Include and exclude name fields, computed fields and relations, also of related objects."""
    related = ["choices", "choices__tags"]
    assert [*view(Question, include=["text", "length"]).model_fields] == ["text", "length"]
    assert [*view(Question, related=related, exclude=["choices", "length"]).model_fields][-1] == "changed"
    nested: Any = view(Question, related=related, include=["id", "choices__text", "choices__tags"])
    assert [*nested.model_fields] == ["id", "choices"]
    assert [*nested.model_fields["choices"].annotation.__args__[0].model_fields] == ["text", "tags"]
    nested = view(Question, related=related, exclude=["choices__question_id", "choices__tags"])
    assert [*nested.model_fields["choices"].annotation.__args__[0].model_fields] == ["id", "text", "votes"]
    for arguments in (
        {"include": ["password"]}, {"include": ["choices"]}, {"exclude": ["txt"]},
        {"related": ["choices"], "include": ["choices__txt"]}, {"related": ["choices"], "exclude": ["choices__tags"]},
    ):  # fmt: skip
        with pytest.raises(FieldError, match="there is no field"):
            view(Question, **arguments)  # type: ignore[arg-type]
    for path in ("text", "choice", "choices__txt", "length"):
        with pytest.raises(FieldError, match="is no relation"):
            view(Question, related=[path])
    with pytest.raises(TypeError, match="list of paths"):
        view(Question, related="choices")


def test_a_subclass_of_a_view(db: ormis.Database) -> None:
    """Further fields are attributes of the object: annotations of the query."""

    class Counted(view(Question, include=["text"])):  # type: ignore[misc]
        number: int
        note: str = "none"

    poll()
    (shown,) = [Counted.model_validate(one) for one in Question.objects.annotate(number=Count("choices"))]
    assert shown.model_dump() == {"text": "Tea?", "number": 2, "note": "none"}
    assert Counted.model_validate({"text": "x", "number": 1}).note == "none"


def test_stored_values_are_taken_as_they_are(db: ormis.Database, raw: Any) -> None:
    """What was stored under older rules is shown: a response is no place to refuse it. Dicts are validated."""
    poll()
    raw.hset("api_question:1", "text", "a text of more than twenty characters")
    assert view(Question).model_validate(Question.get(1)).model_dump()["text"].startswith("a text of more")
    with pytest.raises(ValidationError):
        view(Tag).model_validate({"name": "x" * 11})
    assert view(Tag).model_validate({"name": "x"}).model_dump() == {"name": "x"}


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["question", "picture", "tags", "tags__choices", "question__choices"]), max_size=4))
def test_a_view_shows_what_the_objects_hold(db: ormis.Database, related: list[str]) -> None:
    """Whatever relations it follows, its values are those of the objects; prefetched, none of it is a call."""
    db.client.flushall()
    poll()
    records = [*Choice.objects.prefetch_related(*related)]
    made = view(Choice, related=related)
    with capture_calls() as calls:
        shown = [made.model_validate(one).model_dump() for one in records]
    assert calls == []

    def same(record: Any, values: dict[str, Any]) -> None:
        for name, value in values.items():
            own = getattr(record, name, None)
            if isinstance(value, dict):
                same(own, value)
            elif isinstance(value, list) and name != "labels":
                for one, inner in zip(own.all(), value, strict=True):
                    same(one, inner)
            elif name not in ("starts", "price"):
                assert own == value

    for record, values in zip(records, shown, strict=True):
        same(record, values)


# In an application ---------------------------------------------------------------------------------------------------


def application() -> FastAPI:
    app = FastAPI()

    @app.post("/questions", status_code=201)
    def add(sent: QuestionBody) -> view(Question):  # type: ignore[valid-type]
        return Question(**sent.model_dump()).save()

    @app.patch("/questions/{pk}")
    def change(pk: int, sent: QuestionPatch) -> view(Question):  # type: ignore[valid-type]
        try:
            question = Question.get(pk)
        except Question.DoesNotExist:
            raise HTTPException(404) from None
        for name, value in sent.model_dump(exclude_unset=True).items():
            setattr(question, name, value)
        return question.save()

    @app.get("/questions")
    async def show() -> list[QuestionView]:  # type: ignore[valid-type]
        return await Question.objects.prefetch_related("choices__tags")

    return app


async def request(app: Any, method: str, path: str, sent: Any = None) -> tuple[int, Any]:
    """The status and the JSON of the answer of an application."""
    answers: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"" if sent is None else json.dumps(sent).encode()}

    async def send(message: Any) -> None:
        answers.append(message)

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": method, "path": path, "headers": headers, "query_string": b""}
    await app(scope, receive, send)
    return answers[0]["status"], json.loads(b"".join(answer.get("body", b"") for answer in answers))


async def test_an_application(db: ormis.Database) -> None:
    """FastAPI checks what is sent, and shows objects as the view says, without a call for each."""
    app = application()
    status, made = await request(app, "POST", "/questions", {"text": " Tea? ", "ends": 5})
    assert (status, made["text"], made["length"], "password" in made) == (201, "Tea?", 5, False)
    for sent, loc in ({"id": 3}, ["body", "id"]), ({}, ["body"]):
        status, refused = await request(app, "POST", "/questions", {"text": "x", "starts": 5, "ends": 1} | sent)
        assert (status, refused["detail"][0]["loc"]) == (422, loc)
    status, changed = await request(app, "PATCH", "/questions/1", {"ends": 7})
    assert (status, changed["text"], changed["length"]) == (200, "Tea?", 7)
    assert (await request(app, "PATCH", "/questions/2", {}))[0] == 404
    assert (await request(app, "PATCH", "/questions/1", {"slug": "x"}))[0] == 422
    Choice(question_id=1, choiceText="Tea").save().tags.add(Tag(name="hot").save())
    with capture_calls() as calls:
        status, (shown,) = await request(app, "GET", "/questions")
    assert (status, len(calls)) == (200, 3)
    assert shown["choices"] == [{"id": 1, "question_id": 1, "choiceText": "Tea", "votes": 0, "tags": [{"name": "hot"}]}]
    assert Question.get(1).created <= datetime.now(UTC)


def test_openapi() -> None:
    """Each class is a component under its name; the parts of the API refer to them."""
    shown = application().openapi()
    schemas = shown["components"]["schemas"]
    assert {"QuestionBody", "QuestionPatch", "QuestionView", "ChoiceView", "TagView"} <= schemas.keys()
    sent = shown["paths"]["/questions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert sent == {"$ref": "#/components/schemas/QuestionBody"}
    assert schemas["QuestionBody"]["required"] == ["text"]
    assert "required" not in schemas["QuestionPatch"]
    assert schemas["QuestionView"]["properties"]["choices"]["items"] == {"$ref": "#/components/schemas/ChoiceView"}
    assert json.dumps(shown)
