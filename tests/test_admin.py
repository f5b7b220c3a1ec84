"""ormis.contrib.admin, without a browser: lists, forms, deletions, permissions, and the defences of them."""

import enum
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import chain
from typing import Any, Literal
from uuid import UUID

import pytest
from pydantic import field_validator, model_validator
from starlette.requests import Request
from starlette.testclient import TestClient
from starlette_admin import action
from starlette_admin.actions import ActionSelection

import ormis
from admin_pages import Page, Pages, pages_of, shared_application
from ormis import CASCADE, PROTECT, SET_NULL, Field, ForeignKey, ManyToMany, UniqueConstraint
from ormis.contrib.admin import ModelView


class Mood(enum.Enum):
    calm = "c"
    cross = "x"


class Theme(ormis.Model):
    name: str = Field(unique=True, min_length=2)


class Petition(ormis.Model):
    text: str = Field(unique=True, min_length=3, max_length=60)
    body: str = Field(default="", index="sorted", description="At length")
    mood: Mood = Field(default=Mood.calm, index=True)
    weight: int = Field(default=0, ge=0, index=True)
    opened: datetime = Field(default=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC), index=True)
    themes: ManyToMany[Theme] = ManyToMany(related_name="petitions")

    class Meta:
        ordering = ["-opened", "-id"]

    @field_validator("body")
    @classmethod
    def no_shouting(cls, value: str) -> str:
        if value.isupper():
            raise ValueError("do not shout")
        return value


class Signature(ormis.Model):
    petition: ForeignKey[Petition] = ForeignKey(on_delete=CASCADE, related_name="signatures")
    name: str = Field(min_length=1)
    seals: int = Field(default=0, ge=0)

    class Meta:
        ordering = ["id"]
        constraints = [UniqueConstraint("petition", "name")]


class Auditor(ormis.Model):
    petition: ForeignKey[Petition] = ForeignKey(on_delete=PROTECT)
    name: str


class Reminder(ormis.Model):
    signature: ForeignKey["Signature | None"] = ForeignKey(on_delete=SET_NULL)


class Everything(ormis.Model):
    """A field of each type."""

    code: str = Field(primary_key=True)
    number: int
    share: float | None = None
    price: Decimal | None = None
    ready: bool = False
    maybe: bool | None = None
    day: date | None = None
    moment: datetime | None = None
    span: timedelta | None = None
    uid: UUID | None = None
    size: Literal["s", "m"] = "s"
    words: list[str] = []
    note: str | None = None
    raw: bytes = b""
    changed: datetime = Field(auto_now=True)


class Period(ormis.Model):
    begin: int
    end: int

    @model_validator(mode="after")
    def in_order(self) -> "Period":
        if self.end < self.begin:
            raise ValueError("the end is before the beginning")
        return self


MODELS = (Petition, Signature, Theme, Auditor)


@pytest.fixture
def pages(db: ormis.Database) -> Iterator[Pages]:
    with TestClient(shared_application(*MODELS, Everything, Period)) as client:
        yield Pages(client)


def petitions(number: int) -> list[Petition]:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return Petition.objects.bulk_create(
        [Petition(text=f"petition {n}", weight=n % 7, opened=start + timedelta(hours=n)) for n in range(number)]
    )


# Lists ----------------------------------------------------------------------------------------------------------------


def walked(pages: Pages, page: Page, name: str) -> list[list[str]]:
    """The rows of a page and of those that a link leads to, one after another."""
    found = [page.rows()]
    while link := page.link(name):
        page = pages.get(link)
        found.append(page.rows())
    return found


def test_list_is_in_the_order_of_the_model(pages: Pages) -> None:
    """The list shows the first page in Meta.ordering, and says how many objects there are."""
    petitions(60)
    page = pages.get("petition/list")
    assert page.rows() == [str(pk) for pk in range(60, 35, -1)]
    assert page.part("place") == "1 to 25 of 60"


def test_pages_forwards_and_backwards(pages: Pages) -> None:
    """Next leads through all objects once, Previous back; Last to the end, and from there Previous to the beginning."""
    petitions(60)
    first = pages.get("petition/list")
    forwards = walked(pages, first, "next")
    assert [len(rows) for rows in forwards] == [25, 25, 10]
    assert [*chain(*forwards)] == [str(pk) for pk in range(60, 0, -1)]
    last = pages.get(first.link("last"))
    assert last.part("place") == "36 to 60 of 60"
    assert last.rows() == [str(pk) for pk in range(25, 0, -1)]
    backwards = walked(pages, last, "previous")
    assert [*chain(*reversed(backwards))] == [str(pk) for pk in range(60, 0, -1)]
    second = pages.get(first.link("next"))
    assert second.part("place") == "26 to 50 of 60"
    assert pages.get(second.link("previous")).rows() == first.rows()
    assert pages.get("petition/list?page=2").rows() == second.rows()
    third = pages.get(pages.get(last.link("previous")).link("next"))
    assert third.rows() == last.rows()


def test_far_pages_are_reached_by_links_only(pages: Pages) -> None:
    """The number of a far page is refused: it would be walked to."""
    page = pages.get("petition/list?page=500")
    assert page.status == 400
    assert "Next, Previous and Last" in page.text


def test_a_token_of_another_list_is_the_first_page(pages: Pages) -> None:
    """A token that does not fit the order any more leads to the first page."""
    petitions(30)
    link = pages.get("petition/list").link("next")
    assert pages.get(f"{link}&sort=weight__asc").rows() == pages.get("petition/list?sort=weight__asc").rows()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("sort=weight__desc&page_size=10", [7, 14, 21, 28, 6, 13, 20, 27, 5, 12]),
        ("filter=weight__eq%3D3", [25, 18, 11, 4]),
        ("filter=weight__between%3D2..3", [25, 24, 18, 17, 11, 10, 4, 3]),
        ("filter=weight__gte%3D6 AND weight__lte%3D6", [28, 21, 14, 7]),
        ("filter=weight__eq%3D6 OR weight__eq%3D5", [28, 27, 21, 20, 14, 13, 7, 6]),
        ('filter=text__eq%3D"petition 4"', [5]),
        ("filter=mood__in%3Dx", [2]),
        ("filter=mood__eq%3Dx", [2]),
        ("filter=body__startswith%3Dlong", [3]),
        ("filter=opened__lt%3D2026-01-01T02:00", [2, 1]),
        ("q=petition 4", [5]),
        ("q=ION 1&sort=id__asc&page_size=10", [2, 11, 12, 13, 14, 15, 16, 17, 18, 19]),
        ("q=7", [28, 18, 8, 7]),
        ("q=nowhere", []),
    ],
)
def test_filters_search_and_order(pages: Pages, query: str, found: list[int]) -> None:
    """Filters are those of indexes, joined by AND and OR; a small model is searched in all of its texts and its key."""
    petitions(28)
    Petition.objects.filter(pk=2).update(mood=Mood.cross)
    Petition.objects.filter(pk=3).update(body="long and winding")
    assert pages.get(f"petition/list?{query}").rows() == [str(pk) for pk in found]


def test_filters_by_a_foreign_key(pages: Pages) -> None:
    """The objects of one parent are a filter by its key."""
    one, two = petitions(2)
    Signature.objects.bulk_create([Signature(petition=one, name="a"), Signature(petition=two, name="b")])
    assert pages.get(f"signature/list?filter=petition__eq%3D{two.pk}").rows() == ["2"]


@pytest.mark.parametrize("query", ["filter=weight__eq%3Dx", "filter=seals__eq%3D1", "filter=weight", "page_size=7"])
def test_senseless_lists_are_refused(pages: Pages, query: str) -> None:
    """A value that does not convert, a field without an index, a broken filter: the answer is 400, not an error."""
    assert pages.get(f"petition/list?{query}").status == 400


def test_a_large_model_is_not_walked(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many objects only what indexes find is searched, and what no index counts is not counted."""
    monkeypatch.setattr("ormis.contrib.admin.lists.FEW", 20)
    petitions(60)
    Petition.objects.filter(pk=3).update(body="winding")
    assert pages.get("petition/list?q=petition 4").rows() == ["5"]
    assert pages.get("petition/list?q=wind").rows() == ["3"]
    assert pages.get("petition/list?q=inding").rows() == []
    assert pages.get("petition/list?filter=weight__gte%3D3").part("place") == "1 to 25 of 33"
    page = pages.get("petition/list?filter=weight__gte%3D1 AND mood__eq%3Dc")
    assert page.part("place") == "1 to 25 of more"
    assert [len(rows) for rows in walked(pages, page, "next")] == [25, 25, 1]


def test_calls_and_examined_objects_do_not_grow(pages: Pages) -> None:
    """A list page takes two calls, and its queries look at as many objects of 1,000 as of 100."""
    paths = ["petition/list", "petition/list?sort=weight__desc", "petition/list?filter=weight__gte%3D3"]
    looked: list[int] = []
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for first, last in ((0, 100), (100, 1000)):
        Petition.objects.bulk_create(
            [Petition(text=f"no. {n}", weight=n, opened=start + timedelta(hours=n)) for n in range(first, last)]
        )
        for path in paths:
            pages.get(path)
            with ormis.capture_calls() as calls:
                pages.get(path)
            assert len(calls) == 2
        queries = [Petition.objects.all(), Petition.objects.order_by("-weight"), Petition.objects.filter(weight__gte=3)]
        looked.append(max(examined(query[:26].explain(analyze=True)) for query in queries))
    assert looked[1] <= looked[0] <= 100


def examined(explanation: str) -> int:
    """The objects that a query looked at."""
    return int(explanation.split(" objects looked at", maxsplit=1)[0].rsplit(maxsplit=1)[-1].replace(",", ""))


# Forms ----------------------------------------------------------------------------------------------------------------


def test_create_with_rows_and_links(pages: Pages) -> None:
    """One form stores an object, its children and its links, in one transaction."""
    themes = Theme.objects.bulk_create([Theme(name="art"), Theme(name="law")])
    form = pages.get("petition/create")
    assert form.values("opened") == ["2026-01-02T03:04:05.678901"]
    answer = pages.send(
        form,
        text="More trees",
        mood="x",
        themes=["2"],
        **{
            "inlines.signature-petition.0.name": "Ann",
            "inlines.signature-petition.0.seals": "3",
            "inlines.signature-petition.1.name": "Bob",
            "inlines.signature-petition.1.seals": "0",
        },
    )
    assert answer.status == 303
    stored = Petition.get(1)
    assert (stored.text, stored.mood, stored.weight) == ("More trees", Mood.cross, 0)
    assert stored.opened.tzinfo is not None
    assert list(stored.themes.all()) == [themes[1]]
    assert [(one.name, one.seals) for one in stored.signatures.all()] == [("Ann", 3), ("Bob", 0)]
    assert "was added successfully" in pages.get(answer.location).text


def test_messages_stand_beside_fields(pages: Pages) -> None:
    """What pydantic refuses is said beside the field, and what was typed stays."""
    form = pages.get("petition/create")
    answer = pages.send(form, text="x", weight="-1", body="LOUD", mood="x")
    assert answer.status == 422
    assert answer.error("text") == "String should have at least 3 characters"
    assert answer.error("weight") == "Input should be greater than or equal to 0"
    assert "do not shout" in answer.error("body")
    assert answer.values("weight") == ["-1"]
    assert answer.values("mood") == ["x"]
    assert pages.send(form, text="four", weight="many").error("weight").startswith("Input should be a valid integer")
    assert Petition.objects.count() == 0
    assert pages.send(answer, text="Good", weight="1", body="soft").status == 303


def test_constraints_are_messages_of_fields(pages: Pages) -> None:
    """A value that another object has, alone or together with others, and a missing object are said beside fields."""
    first, _ = petitions(2)
    Signature(petition=first, name="Ann").save()
    taken = pages.send(pages.get("petition/create"), text="petition 0")
    assert (taken.status, taken.error("text")) == (422, "Another Petition has this value.")
    twice = pages.send(pages.get("signature/create"), petition="1", name="Ann")
    assert twice.error("petition") == "Another Signature has this value together with name."
    assert pages.send(pages.get("signature/create"), petition="9", name="Ann").error("petition") == (
        "There is no such object."
    )
    assert pages.send(pages.get("signature/create"), name="Ann").error("petition") == "This field is required."


def test_refused_rows_store_nothing(pages: Pages) -> None:
    """If a row is refused, by pydantic or by the database, its parent is not stored either; sent again, it is once."""
    row = "inlines.signature-petition.0.name"
    other = "inlines.signature-petition.1.name"
    form = pages.get("petition/create")
    answer = pages.send(form, text="More trees", **{row: "Ann", other: "Ann"})
    assert answer.status == 422
    assert "Another Signature has this value" in answer.text
    assert (Petition.objects.count(), Signature.objects.count()) == (0, 0)
    seals = "inlines.signature-petition.0.seals"
    answer = pages.send(form, text="More trees", **{row: "Ann", seals: "-2"})
    assert answer.error(seals) == "Input should be greater than or equal to 0"
    assert Petition.objects.count() == 0
    assert pages.send(answer, **{seals: "2"}).status == 303
    assert (Petition.objects.count(), Signature.objects.get().seals) == (1, 2)


def test_edit_writes_what_was_changed(pages: Pages) -> None:
    """Sent as it is, a form changes nothing; a changed field is written, and no other."""
    petitions(1)
    Petition.objects.update(body="two\nlines\r\nand <b>more</b>", opened=datetime(2026, 5, 6, 7, 8, 9, 10, tzinfo=UTC))
    before = Petition.get(1)
    form = pages.get("petition/edit?pk=1")
    with ormis.capture_calls() as calls:
        assert pages.send(form, opened="2026-05-06 07:08:09").status == 303
    assert [call for call in calls if "commit" in str(call)] == [] or Petition.get(1) == before
    assert Petition.get(1).model_dump() == before.model_dump()
    assert pages.send(form, weight="5").status == 303
    assert Petition.get(1).model_dump() == {**before.model_dump(), "weight": 5}


def test_changes_of_others_are_merged(pages: Pages) -> None:
    """Fields that somebody else changed while the form was open keep that change, if this user did not touch them."""
    petitions(1)
    form = pages.get("petition/edit?pk=1")
    Petition.objects.update(body="theirs")
    assert pages.send(form, weight="5").status == 303
    stored = Petition.get(1)
    assert (stored.body, stored.weight) == ("theirs", 5)


def test_conflicts_are_reported(pages: Pages) -> None:
    """A field that both changed is an error beside it, and nothing is written; saved again, the user's value stands."""
    petitions(1)
    form = pages.get("petition/edit?pk=1")
    Petition.objects.update(body="theirs", weight=3)
    answer = pages.send(form, body="mine")
    assert answer.status == 422
    assert answer.error("body").startswith("Somebody else changed it meanwhile")
    assert "theirs" in answer.error("body")
    assert answer.values("body") == ["mine"]
    assert Petition.get(1).body == "theirs"
    assert pages.send(answer).status == 303
    stored = Petition.get(1)
    assert (stored.body, stored.weight) == ("mine", 3)


def test_links_are_added_and_removed(pages: Pages) -> None:
    """A picker of many changes the links that were changed in it: those that others add meanwhile stay."""
    themes = Theme.objects.bulk_create([Theme(name=name) for name in ("art", "law", "sea")])
    (petition,) = petitions(1)
    petition.themes.add(themes[0])
    form = pages.get("petition/edit?pk=1")
    assert form.values("themes") == ["1"]
    petition.themes.add(themes[2])
    assert pages.send(form, themes=["2"]).status == 303
    assert sorted(theme.name for theme in petition.themes.all()) == ["law", "sea"]
    other = pages.get("theme/edit?pk=1")
    assert pages.send(other, petitions=["1"]).status == 303
    assert sorted(theme.name for theme in petition.themes.all()) == ["art", "law", "sea"]


def test_rows_are_changed_and_deleted(pages: Pages) -> None:
    """Rows of a form are changed, deleted and added with their parent; those of another parent are not reached."""
    one, two = petitions(2)
    Signature.objects.bulk_create(
        [Signature(petition=one, name=name) for name in "abc"] + [Signature(petition=two, name="d")]
    )
    row = "inlines.signature-petition.{}.{}".format
    form = pages.get("petition/edit?pk=1")
    assert [form.values(row(n, "name")) for n in range(3)] == [["a"], ["b"], ["c"]]
    Signature.objects.filter(name="c").update(seals=9)
    changes = {row(0, "name"): "A", row(1, "DELETE"): "1", row(3, "name"): "new", row(3, "seals"): "4"}
    assert pages.send(form, **changes).status == 303
    assert [(one.name, one.seals) for one in one.signatures.all()] == [("A", 0), ("c", 9), ("new", 4)]
    stolen = pages.send(pages.get("petition/edit?pk=1"), **{row(0, "pk"): "4", row(0, "name"): "mine"})
    assert stolen.status == 422
    assert "is gone, or belongs to another" in stolen.part("refusal")
    assert Signature.get(4).name == "d"


def test_conflict_in_a_row(pages: Pages) -> None:
    """A row that somebody else changed in the same field is reported, beside that field."""
    (petition,) = petitions(1)
    Signature(petition=petition, name="a").save()
    form = pages.get("petition/edit?pk=1")
    Signature.objects.update(name="theirs")
    name = "inlines.signature-petition.0.name"
    answer = pages.send(form, text="changed", **{name: "mine"})
    assert answer.error(name).startswith("Somebody else changed it meanwhile")
    assert (Petition.get(1).text, Signature.get(1).name) == ("petition 0", "theirs")
    assert pages.send(answer).status == 303
    assert (Petition.get(1).text, Signature.get(1).name) == ("changed", "mine")


def test_every_type_comes_back(pages: Pages) -> None:
    """Values of every type are entered as texts, shown, and come back unchanged from a form that was not touched."""
    given = {
        "code": "a b/c", "number": str(10**30), "share": "0.1", "price": "1.50", "ready": "on", "maybe": "false",
        "day": "2026-02-03", "moment": "2026-02-03T04:05:06", "span": "PT90S", "size": "m", "words": '["x", "y"]',
        "uid": "12345678-1234-5678-1234-567812345678", "note": "",
    }  # fmt: skip
    assert pages.send(pages.get("everything/create"), **given).status == 303
    stored = Everything.get("a b/c")
    assert (stored.number, stored.share, stored.price) == (10**30, 0.1, Decimal("1.50"))
    assert (stored.ready, stored.maybe, stored.day) == (True, False, date(2026, 2, 3))
    assert (stored.moment, stored.span) == (datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC), timedelta(seconds=90))
    assert (stored.size, stored.words, stored.note) == ("m", ["x", "y"], None)
    Everything.objects.update(raw=b"\xff", share=None, moment=datetime(2026, 2, 3, 4, 5, 6, 7))
    before = Everything.get("a b/c").model_dump(exclude={"changed"})
    detail = pages.get("everything/detail", pk="a b/c")
    assert detail.status == 200
    form = pages.get("everything/edit", pk="a b/c")
    assert pages.send(form).status == 303
    assert Everything.get("a b/c").model_dump(exclude={"changed"}) == before
    assert pages.send(form, ready=None, maybe="", words="[]", price="").status == 303
    after = Everything.get("a b/c")
    assert (after.ready, after.maybe, after.words, after.price) == (False, None, [], None)
    assert pages.send(pages.get("everything/create"), code="a b/c", number="1").error("code") == (
        "Another Everything has this value."
    )


def test_validators_of_the_whole_model(pages: Pages) -> None:
    """A validator of the whole sees values that are changed together; its refusal stands above the form."""
    assert "the end is before" in pages.send(pages.get("period/create"), begin="2", end="1").part("refusal")
    Period(begin=1, end=2).save()
    form = pages.get("period/edit?pk=1")
    assert pages.send(form, begin="5", end="6").status == 303
    assert (Period.get(1).begin, Period.get(1).end) == (5, 6)
    form = pages.get("period/edit?pk=1")
    assert pages.send(form, begin="1", end="2").status == 303
    assert "the end is before" in pages.send(pages.get("period/edit?pk=1"), end="0").part("refusal")


def test_pickers_search(pages: Pages) -> None:
    """A picker finds objects by what their texts contain, and shows their titles."""
    petitions(12)
    found = pages.client.get("/admin/_api/petition/relation-lookup?q=petition 1").json()
    assert found["total"] == 3
    assert [item["_meta"]["repr"] for item in found["items"]] == ["petition 11", "petition 10", "petition 1"]
    chosen = pages.client.get("/admin/_api/petition/relation-lookup?pks=2&pks=5").json()
    assert [item["id"] for item in chosen["items"]] == [2, 5]


@pytest.mark.parametrize("path", ["petition/edit?pk=7", "petition/detail?pk=x", "petition/delete?pk=7", "none/list"])
def test_what_is_missing_is_404(pages: Pages, path: str) -> None:
    """An object or a model that is not there is the answer 404."""
    assert pages.get(path).status == 404


# Deletions ------------------------------------------------------------------------------------------------------------


def test_deletion_says_first_what_it_takes(pages: Pages) -> None:
    """The page counts what goes and what is left without a reference, by model; the form on it deletes."""
    one, two = petitions(2)
    Signature.objects.bulk_create([Signature(petition=one, name=name) for name in "abc"])
    Reminder.objects.bulk_create([Reminder(signature=1), Reminder(signature=2), Reminder()])
    page = pages.get("petition/delete?pk=1")
    assert page.part("taken") == "Petition 1 Signature 3"
    assert page.part("released") == "Reminder.signature 2"
    assert Petition.objects.count() == 2
    answer = pages.send(page, to="/admin/petition/delete")
    assert answer.status == 303
    assert "Deleted: 1 Petition, 3 Signature." in pages.get(answer.location).text
    assert (list(Petition.objects.all()), Signature.objects.count(), Reminder.objects.count()) == ([two], 0, 3)


def test_deletion_that_others_stand_in_the_way_of(pages: Pages) -> None:
    """Objects with PROTECT are named, and the deletion is refused if it is sent all the same."""
    (one,) = petitions(1)
    Auditor(petition=one, name="Eve").save()
    page = pages.get("petition/delete?pk=1")
    assert "1 Auditor, by petition: 1" in page.part("blocked")
    assert "disabled>Delete</button>" in " ".join(page.html.split())
    answer = pages.send(page, to="/admin/petition/delete")
    assert answer.status == 409
    assert "auditor:1 refers to it" in answer.part("refusal")
    assert Petition.objects.count() == 1


def test_bulk_deletion_is_confirmed(pages: Pages) -> None:
    """The action on selected rows shows the same page; it deletes nothing by itself."""
    petitions(3)
    pages.get("petition/list")
    answer = pages.action("petition", "delete", [1, 3])
    page = Page(answer.status_code, "", answer.text)
    assert page.values("pk") == ["1", "3"]
    assert Petition.objects.count() == 3
    assert pages.send(page, to="/admin/petition/delete").status == 303
    assert [one.pk for one in Petition.objects.all()] == [2]


# Permissions ----------------------------------------------------------------------------------------------------------


class WithAction(ModelView):
    model = Petition
    search_fields = ("text",)
    children = (Signature,)

    @action(name="raise", text="Raise")
    async def weigh(self, request: Request, selection: ActionSelection) -> None:
        for record in await selection.rows():
            record.weight += 1
            await record.asave()


def test_own_actions(db: ormis.Database) -> None:
    """An action of a view runs on the selected objects, if may() allows it for each of them."""

    def may(request: Request, action: str, model: Any, obj: Any) -> bool:
        return action != "raise" or obj is None or obj.pk != 3

    petitions(3)
    with pages_of(WithAction, Signature, may=may) as pages:
        pages.get("petition/list")
        assert pages.action("petition", "raise", [1, 2]).status_code == 200
        assert pages.action("petition", "raise", [2, 3]).status_code == 400
    assert [one.weight for one in Petition.objects.order_by("id")] == [1, 2, 2]


@pytest.mark.parametrize(
    ("denied", "path"),
    [
        ("view", "petition/list"),
        ("view", "petition/detail?pk=1"),
        ("view", "petition/edit?pk=1"),
        ("create", "petition/create"),
        ("edit", "petition/edit?pk=1"),
        ("delete", "petition/delete?pk=1"),
    ],
)
def test_may_denies_pages(db: ormis.Database, denied: str, path: str) -> None:
    """What may() does not allow on a model is the answer 403, to the form as well."""
    petitions(1)
    with pages_of(*MODELS) as pages:
        form = pages.get(path)
        assert form.status == 200
    with pages_of(*MODELS, may=lambda request, action, model, obj: action != denied) as pages:
        assert pages.get(path).status == 403
        pages.get("")
        token = pages.client.cookies["starlette_admin_csrftoken"]
        if "list" not in path and "detail" not in path:
            answer = pages.client.post(f"/admin/{path}", data={"csrftoken": token, "pk": "1", "text": "changed"})
            assert answer.status_code == 403
    assert Petition.get(1).text == "petition 0"


def test_may_denies_objects(db: ormis.Database) -> None:
    """may() is asked of each object: what may not be seen is in no list, what may not be changed has no form."""

    def may(request: Request, action: str, model: Any, obj: Any) -> bool:
        if model is not Petition or obj is None:
            return True
        return {"view": obj.pk != 1, "edit": obj.pk != 2, "delete": obj.pk != 3}.get(action, True)

    petitions(4)
    with pages_of(*MODELS, may=may) as pages:
        assert pages.get("petition/list").rows() == ["4", "3", "2"]
        statuses = {
            path: [pages.get(f"petition/{path}?pk={pk}").status for pk in (1, 2, 3, 4)]
            for path in ("detail", "edit", "delete")
        }
        assert statuses == {
            "detail": [403, 200, 200, 200],
            "edit": [200, 403, 200, 200],
            "delete": [404, 200, 403, 200],
        }
        assert pages.client.get("/admin/_api/petition/relation-lookup?pks=1&pks=2").json()["total"] == 1


def test_may_denies_rows_and_cascades(db: ormis.Database) -> None:
    """Rows of a model that may not be changed are not stored, and no cascade takes what may not be deleted."""
    (one,) = petitions(1)
    Signature(petition=one, name="a").save()

    def may(request: Request, action: str, model: Any, obj: Any) -> bool:
        return model is not Signature or action == "view"

    with pages_of(*MODELS, may=may) as pages:
        form = pages.get("petition/edit?pk=1")
        answer = pages.send(form, **{"inlines.signature-petition.0.name": "b"})
        assert "You may not edit this Signature" in answer.part("refusal")
        page = pages.get("petition/delete?pk=1")
        assert "Signature" in page.part("forbidden")
        assert pages.send(page, to="/admin/petition/delete").status == 409
    assert Signature.get(1).name == "a"


def test_views_narrow_objects(db: ormis.Database) -> None:
    """queryset() of a view says which objects there are at all, also for forms, pickers and deletions."""

    class Light(ModelView):
        model = Petition

        def queryset(self, request: Request) -> Any:
            return super().queryset(request).filter(weight__lt=2)

    petitions(4)
    with pages_of(Light, Signature) as pages:
        assert pages.get("petition/list").rows() == ["2", "1"]
        assert [pages.get(f"petition/{path}?pk=3").status for path in ("detail", "edit", "delete")] == [404] * 3


def test_front_page_shows_numbers_and_memory(pages: Pages) -> None:
    """The front page has a bar for each model, with its objects and their memory."""
    petitions(3)
    page = pages.get("")
    assert "Petition 3" in page.part("overview") or "Petition 3" in page.text
    assert "Bytes" in page.text


def test_export(pages: Pages) -> None:
    """The list can be downloaded as CSV and JSON, the page that is shown or all of it."""
    petitions(30)
    pages.get("petition/list")
    token = pages.client.cookies["starlette_admin_csrftoken"]
    url = "/admin/_api/petition/action?name=export&_list_query=%3Fpage%3D2&pks="
    for scope, number in (("page", 5), ("selected", 0)):
        data = {"csrftoken": token, "scope": scope, "format": "json", "filename": "x"}
        answer = pages.client.post(url, data=data)
        assert answer.status_code == 200
        assert len(answer.json()) == number


# Defences -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "token"),
    [({}, None), ({}, "forged"), ({"Sec-Fetch-Site": "cross-site"}, "own"), ({"Sec-Fetch-Site": "same-site"}, "own")],
)
def test_requests_of_other_sites_are_refused(pages: Pages, headers: dict[str, str], token: str | None) -> None:
    """Without the token of the form, with a forged one, or if the browser says that another site asks: 403."""
    petitions(1)
    form = pages.get("petition/edit?pk=1")
    own = form.values("csrftoken")[0]
    given = {"own": own, "forged": own[:-3] + "abc", None: None}[token]
    data = {**dict(form.inputs), "text": "changed", "csrftoken": given or ""}
    for path in ("petition/edit?pk=1", "petition/delete", "_api/petition/action?name=delete&pks=1"):
        assert pages.client.post(f"/admin/{path}", data={**data, "pk": "1"}, headers=headers).status_code == 403
    assert Petition.get(1).text == "petition 0"


def test_pages_are_in_no_frame(pages: Pages) -> None:
    """Every page says that no other site may show it in a frame."""
    headers = pages.client.get("/admin/petition/list").headers
    assert headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


MARKUP = "<b>bold</b>\"'&amp;</script>"


@pytest.mark.parametrize(
    "path",
    [
        "petition/list",
        "petition/list?q=bold",
        "petition/detail?pk=1",
        "petition/edit?pk=1",
        "petition/delete?pk=1",
        "signature/list",
        "signature/detail?pk=1",
        "signature/edit?pk=1",
        "theme/edit?pk=1",
        "everything/list",
        "everything/detail?pk=a%3Cb%3Ebold%3C/b%3E",
    ],
)
def test_stored_markup_is_text(pages: Pages, path: str) -> None:
    """Markup in a stored value is shown as text on every page, and closes no script."""
    petition = Petition(text=MARKUP, body=MARKUP).save()
    Signature(petition=petition, name=MARKUP).save()
    petition.themes.add(Theme(name=MARKUP).save())
    Everything(code="a<b>bold</b>", number=1, words=[MARKUP], note=MARKUP).save()
    page = pages.get(path)
    assert page.status == 200
    assert "<b>bold" not in page.html
    assert "bold" in page.html


def test_pickers_escape(pages: Pages) -> None:
    """The texts that pickers insert as markup are escaped."""
    Petition(text=MARKUP).save()
    (item,) = pages.client.get("/admin/_api/petition/relation-lookup").json()["items"]
    assert "<b>" not in item["_meta"]["select2"]["result"]
    assert "&lt;b&gt;" in item["_meta"]["select2"]["result"]


def test_models_are_checked() -> None:
    """What is no model, and a field that is not there, is refused when the admin is made."""
    with pytest.raises(TypeError, match="takes models and subclasses of ModelView, not 7"), pages_of(7):
        pass

    class Misspelt(ModelView):
        model = Petition
        fields = ("txt",)

    with pytest.raises(ormis.FieldError, match="there is no field 'txt'"), pages_of(Misspelt):
        pass
