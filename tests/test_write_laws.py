"""Any sequence of writes over sets and of single objects leaves what a plain Python model of the data leaves."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ormis
from laws import examples
from ormis import CASCADE, SET_NULL, F, Field, ForeignKey, Index, UniqueConstraint


class Group(ormis.Model):
    """What things belong to."""

    name: str = ""

    class Meta:
        key = "wl_group"


class Thing(ormis.Model):
    """Indexed and unique in several ways."""

    name: str = Field(default="a", index="sorted")
    number: int = Field(default=0, index=True)
    rank: int | None = Field(default=None, index=True)
    price: Decimal = Field(default=Decimal(0), index=True)
    code: str | None = Field(default=None, unique=True)
    place: int | None = None
    free: int = 0
    group: ForeignKey[Group | None] = ForeignKey(on_delete=SET_NULL)
    owner: ForeignKey[Group | None] = ForeignKey(on_delete=CASCADE, related_name="owned")

    class Meta:
        key = "wl_thing"
        indexes = [Index("group", "number")]
        constraints = [UniqueConstraint("name", "place")]


Row = dict[str, Any]
Condition = tuple[dict[str, Any], Callable[[Row], bool]]

CONDITIONS: list[Condition] = [
    ({}, lambda row: True),
    ({"number__gte": 2}, lambda row: row["number"] >= 2),
    ({"rank": None}, lambda row: row["rank"] is None),
    ({"name": "b"}, lambda row: row["name"] == "b"),
    ({"name__regex": "[bc]"}, lambda row: row["name"] in ("b", "c")),
    ({"name__startswith": "a", "number__lt": 3}, lambda row: row["name"] == "a" and row["number"] < 3),
    ({"group_id": 1}, lambda row: row["group_id"] == 1),
    ({"group__name__regex": "2"}, lambda row: row["group_id"] == 2),
    ({"free__lt": 2}, lambda row: row["free"] < 2),
    ({"code__isnull": False}, lambda row: row["code"] is not None),
    ({"id__in": [1, 2, 5, 5]}, lambda row: row["id"] in (1, 2, 5)),
]


def add(name: str, step: Any) -> Callable[[Row], Any]:
    """The value of a field and something more."""
    return lambda row: None if row[name] is None else row[name] + step


VALUES: list[tuple[dict[str, Any], dict[str, Callable[[Row], Any]]]] = [
    ({"number": 3}, {"number": lambda row: 3}),
    ({"number": F("number") + 1}, {"number": add("number", 1)}),
    (
        {"number": F("number") * 2, "free": F("number")},
        {"number": lambda row: row["number"] * 2, "free": add("number", 0)},
    ),
    ({"number": F("number") + 2**60}, {"number": add("number", 2**60)}),
    ({"number": F("number") // 2, "name": "b"}, {"number": lambda row: row["number"] // 2, "name": lambda row: "b"}),
    ({"rank": F("rank") + 1}, {"rank": add("rank", 1)}),
    ({"rank": F("number") % 3}, {"rank": lambda row: row["number"] % 3}),
    ({"rank": None, "code": None}, {"rank": lambda row: None, "code": lambda row: None}),
    ({"price": F("price") + Decimal("0.10")}, {"price": add("price", Decimal("0.10"))}),
    ({"code": "x"}, {"code": lambda row: "x"}),
    ({"place": F("number")}, {"place": add("number", 0)}),
    ({"name": "c"}, {"name": lambda row: "c"}),
    ({"group": 1, "free": F("free") + 1}, {"group_id": lambda row: 1, "free": add("free", 1)}),
    ({"group": 2, "owner": 2}, {"group_id": lambda row: 2, "owner_id": lambda row: 2}),
    ({"group": 9}, {"group_id": lambda row: 9}),
]

FIELDS: st.SearchStrategy[Row] = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from("abc"),
        "number": st.integers(-2, 5),
        "rank": st.none() | st.integers(0, 3),
        "code": st.none() | st.sampled_from("wxyz"),
        "place": st.none() | st.integers(0, 2),
        "group_id": st.none() | st.integers(1, 3),
        "owner_id": st.none() | st.integers(1, 2),
    },
)
CONDITION, VALUE = st.sampled_from(CONDITIONS), st.sampled_from(VALUES)
WRITES = st.one_of(
    st.tuples(st.just("update"), CONDITION, VALUE),
    st.tuples(st.just("delete"), CONDITION),
    st.tuples(st.just("save"), st.integers(1, 8), FIELDS),
    st.tuples(st.just("create"), FIELDS),
    st.tuples(
        st.just("bulk_create"), st.lists(FIELDS, min_size=1, max_size=6), st.sampled_from(["", "ignore", "code"])
    ),
    st.tuples(st.just("bulk_update"), st.lists(st.tuples(st.integers(1, 8), FIELDS), max_size=4)),
    st.tuples(st.just("get_or_create"), st.sampled_from("abc"), st.integers(0, 2), FIELDS),
    st.tuples(st.just("update_or_create"), st.sampled_from("wxyz"), FIELDS),
    st.tuples(st.just("delete_group"), st.integers(1, 3)),
)


class Refused(Exception):
    """What the database refuses."""


class Plain:
    """The same data as plain rows."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}
        self.groups = {1, 2, 3}
        self.last = 0

    def whole(self, given: Row) -> Row:
        """A row with the defaults."""
        return Thing(**given).model_dump() | {"id": given.get("id")}

    def check(self, row: Row, rows: dict[int, Row]) -> None:
        """Raises Refused for a reference to nothing or a value that another has."""
        for name in ("group_id", "owner_id"):
            if row[name] is not None and row[name] not in self.groups:
                raise Refused
        if self.in_the_way(row, rows) is not None:
            raise Refused

    def in_the_way(self, row: Row, rows: dict[int, Row], names: tuple[str, ...] = ("code", "place")) -> Row | None:
        """The row that has the same unique values."""
        for other in rows.values():
            if other["id"] == row["id"]:
                continue
            if "code" in names and row["code"] is not None and other["code"] == row["code"]:
                return other
            if (
                "place" in names
                and row["place"] is not None
                and (other["name"], other["place"]) == (row["name"], row["place"])
            ):
                return other
        return None

    def change(self, changes: dict[int, Row]) -> None:
        """Changes rows one after another, all or none."""
        rows = dict(self.rows)
        for pk, values in changes.items():
            row = rows[pk] | values
            self.check(row, rows)
            rows[pk] = row
        self.rows = rows

    def insert(self, given: list[Row], when: str = "") -> None:
        """Stores new rows, all or none."""
        rows, last = dict(self.rows), self.last
        for values in given:
            row = self.whole(values)
            other = self.in_the_way(row, rows)
            if other is not None and when == "ignore":
                continue
            same = self.in_the_way(row, rows, ("code",)) if when == "code" else None
            if same is not None:
                changed = same | {"number": row["number"], "group_id": row["group_id"]}
                self.check(changed, rows)
                rows[same["id"]] = changed
                continue
            self.check(row, rows)
            last += 1
            rows[last] = row | {"id": last}
        self.rows, self.last = rows, last


def refusals() -> Any:
    """What both sides refuse, is refused by both: afterwards the rows are compared."""
    return suppress(Refused, ormis.IntegrityError, ormis.MultipleObjectsReturned, ormis.DoesNotExist)


def perform(write: tuple[Any, ...], plain: Plain) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """One write, to the database and to the plain rows."""
    kind, *arguments = write
    return globals()[f"_{kind}"](plain, *arguments)


def _met(plain: Plain, condition: Condition) -> list[int]:
    return [pk for pk, row in plain.rows.items() if condition[1](row)]


def _update(plain: Plain, condition: Condition, value: Any) -> Any:
    def here() -> int:
        met = _met(plain, condition)
        changes = {pk: {name: compute(plain.rows[pk]) for name, compute in value[1].items()} for pk in met}
        plain.change(changes)
        return len(met)

    return lambda: Thing.objects.filter(**condition[0]).update(**value[0]), here


def _delete(plain: Plain, condition: Condition) -> Any:
    def here() -> int:
        met = _met(plain, condition)
        for pk in met:
            del plain.rows[pk]
        return len(met)

    return lambda: Thing.objects.filter(**condition[0]).delete()[0], here


def _delete_group(plain: Plain, pk: int) -> Any:
    def here() -> int:
        if pk not in plain.groups:
            return 0
        plain.groups.discard(pk)
        gone = [key for key, row in plain.rows.items() if row["owner_id"] == pk]
        for key in gone:
            del plain.rows[key]
        plain.rows = {
            key: row | {"group_id": None} if row["group_id"] == pk else row for key, row in plain.rows.items()
        }
        return 1 + len(gone)

    return lambda: Group.objects.filter(id=pk).delete()[0], here


def _save(plain: Plain, pk: int, values: Row) -> Any:
    def there() -> None:
        thing = Thing.get(pk)
        for name, value in values.items():
            setattr(thing, name, value)
        thing.save()

    def here() -> None:
        if pk not in plain.rows:
            raise Refused
        plain.change({pk: values})

    return there, here


def _create(plain: Plain, values: Row) -> Any:
    return lambda: Thing(**values).save() and None, lambda: plain.insert([values])


def _bulk_create(plain: Plain, given: list[Row], when: str) -> Any:
    options: dict[str, Any] = {"ignore_conflicts": True} if when == "ignore" else {}
    if when == "code":
        options = {"update_conflicts": True, "unique_fields": ["code"], "update_fields": ["number", "group"]}

    def there() -> None:
        Thing.objects.bulk_create([Thing(**values) for values in given], **options)

    return there, lambda: plain.insert(given, when)


def _bulk_update(plain: Plain, given: list[tuple[int, Row]]) -> Any:
    names = ["name", "number", "rank", "group"]
    wanted = dict(given)

    def there() -> int:
        return Thing.objects.bulk_update([Thing(id=pk, **values) for pk, values in wanted.items()], names)

    def here() -> int:
        columns = ("name", "number", "rank", "group_id")
        present = {pk: plain.whole(values) for pk, values in wanted.items() if pk in plain.rows}
        plain.change({pk: {name: row[name] for name in columns} for pk, row in present.items()})
        return len(present)

    return there, here


def _get_or_create(plain: Plain, name: str, free: int, defaults: Row) -> Any:
    def here() -> bool:
        found = [row for row in plain.rows.values() if row["name"] == name and row["free"] == free]
        if len(found) > 1:
            raise Refused
        if not found:
            plain.insert([{"name": name, "free": free} | defaults])
        return not found

    return lambda: Thing.objects.get_or_create(defaults, name=name, free=free)[1], here


def _update_or_create(plain: Plain, code: str, defaults: Row) -> Any:
    def here() -> bool:
        found = [row for row in plain.rows.values() if row["code"] == code]
        if found:
            plain.change({found[0]["id"]: defaults})
        else:
            plain.insert([{"code": code} | defaults])
        return not found

    return lambda: Thing.objects.update_or_create(defaults, code=code)[1], here


def outcome(work: Callable[[], Any]) -> Any:
    """What it returns, or that it was refused."""
    with refusals():
        return work()
    return "refused"


@pytest.mark.parametrize("steps", [False, True], ids=["one call", "steps"])
@settings(max_examples=examples(20), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(writes=st.lists(WRITES, min_size=1, max_size=14))
def test_any_sequence_of_writes(
    db: ormis.Database, raw: Any, steps: bool, monkeypatch: pytest.MonkeyPatch, writes: list[tuple[Any, ...]]
) -> None:
    """Each write returns what it should or is refused where it should be; then all rows are the same, check() is clean.

    In steps, a refusal may leave earlier steps done: there only what is all or nothing is drawn.
    """
    raw.flushdb()
    with monkeypatch.context() as patch:
        if steps:
            patch.setattr(db, "limits", replace(db.limits, objects=2, changed=2, deleted=2))
            writes = [write for write in writes if not (write[0] == "update" and _may_be_refused(write[2]))]
        Group.objects.bulk_create([Group(name=f"g{n}") for n in (1, 2, 3)])
        plain = Plain()
        for write in writes:
            there, here = perform(write, plain)
            assert outcome(there) == outcome(here), write
    stored = {thing.id: thing.model_dump() for thing in Thing.objects.order_by("id")}
    assert stored == plain.rows
    report = ormis.check(db, models=[Thing, Group])
    assert report.ok, [str(finding) for finding in report.findings]
    for filters, holds in CONDITIONS:
        wanted = {pk for pk, row in plain.rows.items() if holds(row)}
        if "group__name__regex" not in filters:
            assert {thing.id for thing in Thing.objects.filter(**filters)} == wanted
            assert Thing.objects.filter(**filters).count() == len(wanted)


def _may_be_refused(value: Any) -> bool:
    return not {"code", "place", "name", "group"}.isdisjoint(value[0])
