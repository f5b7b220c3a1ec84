"""`bulk_create` with its conflict options, and `bulk_update`: given objects in one call."""

from typing import Any

import pytest
from pydantic import ValidationError

import ormis
from ormis import CASCADE, F, Field, ForeignKey, UniqueConstraint

pytestmark = pytest.mark.usefixtures("checked")


class Road(ormis.Model):
    """The target of the signs' foreign key."""

    name: str = ""

    class Meta:
        key = "bw_road"


class Sign(ormis.Model):
    """Has three unique constraints."""

    code: str | None = Field(default=None, unique=True)
    name: str = Field(default="", index=True)
    height: int = Field(default=0, index=True)
    width: float | None = None
    notes: list[str] = []
    road: ForeignKey[Road | None] = ForeignKey(on_delete=CASCADE, related_name="signs")
    place: int | None = None

    class Meta:
        key = "bw_sign"
        constraints = [UniqueConstraint("road", "place")]


class Keyed(ormis.Model):
    """Its primary key is given by the caller."""

    key_: str = Field(primary_key=True)
    count: int = Field(default=0, index=True)
    note: str = ""

    class Meta:
        key = "bw_keyed"


def stored() -> list[tuple[Any, ...]]:
    """All objects, in the order of creation."""
    return [(s.id, s.code, s.name, s.height) for s in Sign.objects.order_by("id")]


# Conflicts that are left out -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [None, 1, 2])
def test_ignored_conflicts(size: int | None) -> None:
    """Objects that conflict with a stored one, or with one earlier in the list, are skipped; the others are stored."""
    road = Road().save()
    Sign(code="a", name="old").save()
    Sign(road=road, place=1, name="old").save()
    made = [
        Sign(code="a", name="left out"),
        Sign(code="b", name="new"),
        Sign(code="b", name="left out, too"),
        Sign(road=road, place=1, name="left out as well"),
        Sign(road=road, place=2, name="new"),
        Sign(name="new"),
        Sign(id=1, name="its key is taken"),
    ]
    assert Sign.objects.bulk_create(made, ignore_conflicts=True, batch_size=size) == made
    assert [s.pk for s in made] == [None, 3, None, None, 4, 5, 1]
    assert [s.name for s in Sign.objects.order_by("id")] == ["old", "old", "new", "new", "new"]
    made[1].name = "changed"
    made[1].save()
    assert Sign.get(3).name == "changed"


def test_what_was_left_out_is_not_saved() -> None:
    """save() of a skipped object is an insert, refused or not."""
    Sign(code="a").save()
    made = Sign.objects.bulk_create([Sign(code="a", name="x")], ignore_conflicts=True)
    with pytest.raises(ormis.UniqueViolation):
        made[0].save()
    made[0].code = "free"
    assert made[0].save().id == 2
    assert stored() == [(1, "a", "", 0), (2, "free", "x", 0)]


def test_what_is_no_conflict_is_refused_all_the_same() -> None:
    """ignore_conflicts does not ignore a dangling reference: it raises, and nothing of the batch is stored."""
    options: list[dict[str, Any]] = [
        {"ignore_conflicts": True},
        {"update_conflicts": True, "unique_fields": ["code"], "update_fields": ["name"]},
    ]
    for given in options:
        with pytest.raises(ormis.ForeignKeyViolation, match="bw_road:9"):
            Sign.objects.bulk_create([Sign(name="x"), Sign(road=9)], **given)
    assert stored() == []


# Conflicts that are updates ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [None, 1, 2])
def test_updated_conflicts(size: int | None) -> None:
    """The object with the same unique value gets the named fields and keeps its others; other objects are new."""
    Sign(code="a", name="old", height=1, width=1.5).save()
    made = [
        Sign(code="a", name="not written", height=5),
        Sign(code="b", name="new", height=6),
        Sign(code="b", name="not written", height=7),
        Sign(name="without", height=8),
    ]
    Sign.objects.bulk_create(
        made, update_conflicts=True, unique_fields=["code"], update_fields=["height"], batch_size=size
    )
    assert stored() == [(1, "a", "old", 5), (2, "b", "new", 7), (3, None, "without", 8)]
    assert [s.pk for s in made] == [1, 2, 2, 3]
    assert Sign.get(1).width == 1.5
    assert Sign.objects.filter(height__in=[1, 6]).count() == 0


def test_by_several_fields() -> None:
    """A constraint over several fields is named in any order, also by the name of the relation."""
    road = Road().save()
    Sign(road=road, place=1, name="old").save()
    made = [Sign(road=road, place=1, name="new", height=3), Sign(road=road, place=2, name="second")]
    for fields in (["road", "place"], ["place", "road_id"]):
        Sign.objects.bulk_create(made, update_conflicts=True, unique_fields=fields, update_fields=["name", "height"])
        assert [(s.place, s.name, s.height) for s in Sign.objects.order_by("id")] == [(1, "new", 3), (2, "second", 0)]
        made = [Sign(road=road, place=1, name="new", height=3), Sign(road=road, place=2, name="second")]


def test_by_primary_key() -> None:
    """With given primary keys it is an upsert."""
    Keyed(key_="a", count=1, note="kept").save()
    for name, more in (("key_", 0), ("pk", 2)):
        made = [Keyed(key_="a", count=5 + more), Keyed(key_="b", count=6 + more)]
        Keyed.objects.bulk_create(made, update_conflicts=True, unique_fields=[name], update_fields=["count"])
        found = {k.key_: (k.count, k.note) for k in Keyed.objects.all()}
        assert found == {"a": (5 + more, "kept"), "b": (6 + more, "")}


def test_an_index_follows_the_update_of_a_unique_field() -> None:
    """The unique field itself may be among the written fields, and so may others."""
    Sign(code="a", name="x").save()
    made = [Sign(code="a", name="y", height=2)]
    Sign.objects.bulk_create(made, update_conflicts=True, unique_fields=["code"], update_fields=["code", "name"])
    assert Sign.objects.get(code="a").name == "y"
    assert Sign.objects.filter(name="x").count() == 0


@pytest.mark.parametrize("size", [None, 1])
@pytest.mark.parametrize("unique", [["code"], ["road", "place"], ["id"]])
def test_importing_twice(size: int | None, unique: list[str]) -> None:
    """A row whose key and other unique values are those of the object that it updates is no violation."""
    Road().save()

    def rows(name: str) -> list[Sign]:
        return [Sign(id=n, code=f"c{n}", road=1, place=n, name=name) for n in (1, 2)]

    options: dict[str, Any] = {"update_conflicts": True, "unique_fields": unique, "batch_size": size}
    for name in ("first", "second"):
        made = Sign.objects.bulk_create(rows(name), update_fields=["name"], **options)
        assert [s.pk for s in made] == [1, 2]
        assert [(s.id, s.name) for s in Sign.objects.order_by("id")] == [(1, name), (2, name)]


def test_the_named_constraint_decides_which_object_is_updated() -> None:
    """A row that clashes with one object by `unique_fields` and with another by its key updates the first."""
    Sign(code="a").save()
    Sign(code="b").save()
    (made,) = Sign.objects.bulk_create(
        [Sign(id=1, code="b", name="new")], update_conflicts=True, unique_fields=["code"], update_fields=["name"]
    )
    assert made.pk == 2
    assert stored() == [(1, "a", "", 0), (2, "b", "new", 0)]


def test_another_constraint_in_conflict() -> None:
    """Only conflicts of the named fields are updates: any other raises UniqueViolation, and nothing is stored."""
    road = Road().save()
    Sign(code="a", road=road, place=1).save()
    Sign(code="b", road=road, place=2).save()
    by_code: dict[str, Any] = {"update_conflicts": True, "unique_fields": ["code"]}
    with pytest.raises(ormis.UniqueViolation, match="road_id,place"):
        Sign.objects.bulk_create(
            [Sign(name="x"), Sign(code="c", road=road, place=1)], update_fields=["name"], **by_code
        )
    with pytest.raises(ormis.UniqueViolation, match="road_id,place"):
        Sign.objects.bulk_create([Sign(code="a", place=2)], update_fields=["place"], **by_code)
    with pytest.raises(ormis.UniqueViolation, match="id"):
        Sign.objects.bulk_create([Sign(id=1, code="z")], update_fields=["name"], **by_code)
    assert [(s.code, s.place) for s in Sign.objects.order_by("id")] == [("a", 1), ("b", 2)]


def test_the_objects_afterwards() -> None:
    """The other fields of the updated stored object are unknown: a save() writes all that may differ."""
    Sign(code="a", name="old", height=1, width=1.5, notes=["kept"]).save()
    (made,) = Sign.objects.bulk_create(
        [Sign(code="a", name="mine", height=5, width=2.5, notes=["mine"])],
        update_conflicts=True,
        unique_fields=["code"],
        update_fields=["height"],
    )
    Sign.objects.update(height=9)
    made.save()
    now = Sign.get(1)
    assert (now.name, now.height, now.width, now.notes) == ("mine", 9, 2.5, ["mine"])
    made.height = 5
    made.save()
    assert Sign.get(1).height == 9
    made.height = 6
    made.save()
    assert Sign.get(1).height == 6


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"ignore_conflicts": True, "update_conflicts": True}, ValueError, "exclude each other"),
        ({"update_fields": ["name"]}, ValueError, "update_conflicts"),
        ({"update_conflicts": True}, ValueError, "needs update_fields"),
        ({"update_conflicts": True, "update_fields": ["name"]}, ValueError, "unique_fields"),
        ({"update_conflicts": True, "update_fields": ["nam"], "unique_fields": ["code"]}, ormis.FieldError, "name"),
        ({"update_conflicts": True, "update_fields": ["name"], "unique_fields": ["cod"]}, ormis.FieldError, "code"),
        ({"update_conflicts": True, "update_fields": ["name"], "unique_fields": ["name"]}, ormis.FieldError, "unique"),
        ({"update_conflicts": True, "update_fields": ["id"], "unique_fields": ["code"]}, ormis.FieldError, "primary"),
        ({"batch_size": 0}, ValueError, "at least 1"),
    ],
    ids=str,
)
def test_options_that_do_not_go_together(options: dict[str, Any], error: type[Exception], message: str) -> None:
    """Conflicting options raise, and nothing is sent."""
    with ormis.capture_calls() as calls, pytest.raises(error, match=message):
        Sign.objects.bulk_create([Sign()], **options)
    assert calls == []


def test_inside_a_block() -> None:
    """It is part of the block: the keys are set at its end; an error discards it."""
    Sign(code="a", name="old").save()
    ignored, updated = [Sign(code="a"), Sign(code="b")], [Sign(code="a", name="new"), Sign(code="c", name="c")]
    with ormis.atomic():
        Sign.objects.bulk_create(ignored, ignore_conflicts=True)
        Sign.objects.bulk_create(
            updated, update_conflicts=True, unique_fields=["code"], update_fields=["name"], batch_size=1
        )
        assert Sign.objects.count() == 1
    assert [s.pk for s in ignored] == [None, 2]
    assert [s.pk for s in updated] == [1, 3]
    assert [(s.code, s.name) for s in Sign.objects.order_by("id")] == [("a", "new"), ("b", ""), ("c", "c")]
    lost = [Sign(code="x")]
    with pytest.raises(KeyError), ormis.atomic():
        Sign.objects.bulk_create(lost, ignore_conflicts=True)
        raise KeyError
    assert lost[0].pk is None
    assert lost[0].save().pk == 4


# bulk_update ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [None, 1, 3])
def test_bulk_update(size: int | None) -> None:
    """Each object's values of the named fields are written, its other changes are not."""
    made = Sign.objects.bulk_create([Sign(name=f"s{n}", height=n) for n in range(7)])
    for sign in made:
        sign.name, sign.height, sign.width = "new", sign.height + 10, 1.0
    assert Sign.objects.bulk_update(made, ["name", "height"], batch_size=size) == 7
    assert [(s.name, s.height, s.width) for s in Sign.objects.order_by("id")] == [
        ("new", n + 10, None) for n in range(7)
    ]
    made[0].save()
    assert Sign.get(1).width == 1.0
    with ormis.capture_calls() as calls:
        assert Sign.objects.bulk_update([], ["name"]) == 0
    assert calls == []


def test_objects_that_are_gone() -> None:
    """Deleted objects are not counted, and nothing is stored for them."""
    made = Sign.objects.bulk_create([Sign(name=f"s{n}") for n in range(4)])
    Sign.objects.filter(name__in=["s1", "s3"]).delete()
    for sign in made:
        sign.height = 5
    assert Sign.objects.bulk_update(made, ["height"]) == 2
    assert stored() == [(1, None, "s0", 5), (3, None, "s2", 5)]


def test_expressions() -> None:
    """Each expression is computed on its own object, by the server or by Python, and its value is set afterwards."""
    made = Sign.objects.bulk_create([Sign(name=f"s{n}", height=n) for n in range(4)])
    Sign.objects.update(height=F("height") + 100)
    for sign in made:
        sign.height = F("height") + 1
    assert Sign.objects.bulk_update(made, ["height"]) == 4
    assert [s.height for s in made] == [101, 102, 103, 104]
    made[0].height = F("height") // 2
    made[1].height = F("height") + 2**60
    made[2].height = 7
    made[3].height = F("height") * 2
    assert Sign.objects.bulk_update(made, ["height"]) == 4
    assert [s.height for s in made] == [50, 102 + 2**60, 7, 208]
    assert [s.height for s in Sign.objects.order_by("id")] == [50, 102 + 2**60, 7, 208]
    made[0].height, made[1].height = F("height") + 1, F("height") / 0
    with pytest.raises(ormis.IntegrityError, match=r"Sign\.height can't be null"):
        Sign.objects.bulk_update(made[:2], ["height"])
    assert [s.height for s in Sign.objects.order_by("id")] == [50, 102 + 2**60, 7, 208]


def test_a_batch_that_is_refused() -> None:
    """All or nothing; the error names the conflicting object."""
    road = Road().save()
    made = Sign.objects.bulk_create([Sign(code=f"c{n}") for n in range(3)])
    made[0].code, made[0].height, made[1].code = "free", 1, "c2"
    with pytest.raises(ormis.UniqueViolation, match="c2"):
        Sign.objects.bulk_update(made, ["code", "height"])
    assert [s.code for s in Sign.objects.order_by("id")] == ["c0", "c1", "c2"]
    made[0].road_id, made[1].road_id = road.id, 99
    with pytest.raises(ormis.ForeignKeyViolation, match="bw_road:99"):
        Sign.objects.bulk_update(made, ["road"])
    made[1].road_id = road.id
    assert Sign.objects.bulk_update(made, ["road_id"]) == 3
    assert road.signs.count() == 2


def test_what_can_not_be_updated() -> None:
    """Unsaved objects, objects of another model, unknown names, the primary key and an empty list of names raise."""
    sign = Sign().save()
    with pytest.raises(ormis.IntegrityError, match="not saved"):
        Sign.objects.bulk_update([Sign()], ["name"])
    with pytest.raises(ormis.FieldError, match="no Sign"):
        Sign.objects.bulk_update([Road().save()], ["name"])
    for names, message in (
        (["nam"], "name"),
        (["id"], "primary key"),
        (["pk"], "primary key"),
        ([], "needs the names"),
    ):
        with pytest.raises(ormis.FieldError, match=message):
            Sign.objects.bulk_update([sign], names)
    with pytest.raises(ValidationError):
        sign.height = "x"


async def test_async() -> None:
    """The async twins do the same."""
    made = await Sign.objects.abulk_create([Sign(code="a"), Sign(code="a")], ignore_conflicts=True)
    assert [s.pk for s in made] == [1, None]
    made[0].height = F("height") + 2**60
    assert await Sign.objects.abulk_update(made[:1], ["height"]) == 1
    assert (await Sign.aget(1)).height == 2**60


def test_bulk_update_inside_a_block() -> None:
    """It is applied at the end of the block, which sets the results of expressions; objects deleted by then are
    skipped.
    """
    made = Sign.objects.bulk_create([Sign(name=f"s{n}", height=n) for n in range(4)])
    with ormis.atomic():
        for sign in made:
            sign.height, sign.name = F("height") + 10, "new"
        assert Sign.objects.bulk_update(made, ["height", "name"]) == 4
        Sign.objects.filter(name="s3").delete()
        assert Sign.objects.filter(name="new").count() == 0
    assert stored() == [(1, None, "new", 10), (2, None, "new", 11), (3, None, "new", 12)]
    assert [s.height for s in made[:3]] == [10, 11, 12]
    with ormis.atomic():
        for sign in made:
            sign.height = F("height") + 2**60
        Sign.objects.bulk_update(made, ["height"])
    assert [s.height for s in made[:3]] == [10 + 2**60, 11 + 2**60, 12 + 2**60]
    assert [row[3] for row in stored()] == [10 + 2**60, 11 + 2**60, 12 + 2**60]
