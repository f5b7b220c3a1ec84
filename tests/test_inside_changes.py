"""Changes of parts and members: applied to what is stored, whoever else changes another part at the same time."""

# ruff: noqa: RUF005 - F("tags") + [...] is an expression, no list
import asyncio
from copy import deepcopy
from threading import Thread
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

import ormis
from laws import examples
from ormis import F
from places import ADDRESSES, ANY, DECIMALS, FLOATS, GEOS, INTS, NAMES, PLACES, TEXTS, IndexedPlace

LAW = settings(max_examples=examples(12), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def put(value: Any, names: tuple[Any, ...], new: Any) -> Any:
    """What an assignment inside of a value makes of it; the value as it is where that has no place."""
    copied, at = deepcopy(value), None
    at = copied
    for name in names[:-1]:
        at = getattr(at, name, None) if isinstance(name, str) else at[name] if name < len(at) else None
        if at is None:
            return copied
    last = names[-1]
    if isinstance(at, dict):
        at[last] = new
    elif isinstance(at, list):
        if last < len(at):
            at[last] = new
    elif at is not None:
        setattr(at, last, new)
    return copied


PUTS: dict[str, tuple[tuple[Any, ...], st.SearchStrategy[Any]]] = {
    "address__city": (("city",), TEXTS),
    "address__zip": (("zip",), st.none() | TEXTS),
    "address__geo__lat": (("geo", "lat"), FLOATS),
    "address__geo": (("geo",), st.none() | GEOS),
    "address__price": (("price",), st.none() | DECIMALS),
    "address__lines": (("lines",), st.lists(TEXTS, max_size=2)),
    "address__lines__0": (("lines", 0), TEXTS),
    "size__width": (("width",), INTS),
    "note__text": (("text",), TEXTS),
    "tags__1": ((1,), TEXTS),
    "counts__a": (("a",), INTS),
    "meta__b": (("b",), ANY),
    "history__0__city": ((0, "city"), TEXTS),
    "history__1": ((1,), ADDRESSES),
}


@LAW
@given(st.lists(PLACES, min_size=1, max_size=3), st.sampled_from([*PUTS]), st.data())
def test_a_part_is_put_as_python_puts_it(
    db: ormis.Database, rows: list[dict[str, Any]], name: str, data: st.DataObject
) -> None:
    """update(part=value) of any type leaves all else as it is, and moves the index entries."""
    db.client.flushall()
    names, values = PUTS[name]
    new, field = data.draw(values), name.split("__", maxsplit=1)[0]
    IndexedPlace.objects.bulk_create([IndexedPlace(**row) for row in rows])
    before = [getattr(place, field) for place in IndexedPlace.objects.order_by("pk")]
    assert IndexedPlace.objects.update(**{name: new}) == len(rows)
    expected = [put(value, names, new) for value in before]
    assert [getattr(place, field) for place in IndexedPlace.objects.order_by("pk")] == expected
    assert ormis.check(models=[IndexedPlace]).findings == []


CHANGES: dict[str, tuple[str, st.SearchStrategy[Any]]] = {
    "tags +": ("tags", st.lists(TEXTS, max_size=2)),
    "tags -": ("tags", st.lists(TEXTS, max_size=2)),
    "prices -": ("prices", st.lists(DECIMALS, max_size=2)),
    "numbers -": ("numbers", st.sets(INTS, max_size=2)),
    "numbers |": ("numbers", st.sets(INTS, max_size=2)),
    "scores +": ("scores", st.lists(INTS, max_size=2)),
    "counts |": ("counts", st.dictionaries(NAMES, INTS, max_size=2)),
    "meta |": ("meta", st.dictionaries(NAMES, ANY, max_size=2)),
    "meta -": ("meta", st.lists(NAMES, max_size=2)),
    "history +": ("history", st.lists(ADDRESSES, max_size=1)),
}


def changed(operator: str, value: Any, operand: Any) -> Any:
    """What the operator makes of a value, None of None."""
    if value is None:
        return None
    if operator == "+":
        return value + operand
    if operator == "|":
        return value | operand
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if key not in operand}
    return type(value)(item for item in value if item not in operand)


@LAW
@pytest.mark.parametrize("how", ["update", "save", "atomic"])
@given(rows=st.lists(PLACES, min_size=1, max_size=3), name=st.sampled_from([*CHANGES]), data=st.data())
def test_members_and_items_change_as_in_python(
    db: ormis.Database, how: str, rows: list[dict[str, Any]], name: str, data: st.DataObject
) -> None:
    """F with + - | of lists, sets and dicts, in update(), save() and atomic()."""
    db.client.flushall()
    field, operator = name.split(" ")
    operand = data.draw(CHANGES[name][1])
    expression = {"+": lambda: F(field) + operand, "-": lambda: F(field) - operand, "|": lambda: F(field) | operand}
    IndexedPlace.objects.bulk_create([IndexedPlace(**row) for row in rows])
    places = [*IndexedPlace.objects.order_by("pk")]
    expected = [changed(operator, getattr(place, field), operand) for place in places]
    if how == "update":
        IndexedPlace.objects.update(**{field: expression[operator]()})
    for place in places if how != "update" else ():
        setattr(place, field, expression[operator]())
        if how == "save":
            place.save()
            assert getattr(place, field) == expected[places.index(place)]
        else:
            with ormis.atomic():
                place.save()
            assert getattr(place, field) == expected[places.index(place)]
    assert [getattr(place, field) for place in IndexedPlace.objects.order_by("pk")] == expected
    assert ormis.check(models=[IndexedPlace]).findings == []


class Inner(BaseModel):
    city: str = Field(max_length=8)
    number: int = 0
    note: str | None = None


class Person(ormis.Model):
    name: str = ""
    address: Inner | None = None
    tags: list[str] = []
    numbers: set[int] = set()
    meta: dict[str, Any] = {}

    class Meta:
        key = "inside_changing"


def test_one_call_on_the_server(db: ormis.Database, raw: redis.Redis) -> None:
    """Parts, members and items are changed in the stored text, in the same call that finds the objects."""
    Person.objects.bulk_create([Person(name="a", address=Inner(city="Paris")), Person(name="b")])
    for change in (
        {"tags": F("tags") + ["x", "y"]},
        {"tags": F("tags") - ["x"]},
        {"meta": F("meta") | {"k": [1]}},
        {"meta": F("meta") - ["other"]},
        {"address__city": "Rome", "address__number": 2**60 + 1},
        {"address__note": "n"},
        {"address__note": None},
    ):
        with ormis.capture_calls() as calls:
            assert Person.objects.update(**change) == 2
        assert len(calls) == 1
    assert raw.hget("inside_changing:1", "address") == b'{"city":"Rome","number":1152921504606846977,"note":null}'
    assert raw.hgetall("inside_changing:2") == {
        b"id": b"2",
        b"name": b"b",
        b"tags": b'["y"]',
        b"numbers": b"[]",
        b"meta": b'{"k":[1]}',
    }


@pytest.mark.parametrize("name", ["address__city", "meta", "tags"])
def test_two_clients_change_two_parts(db: ormis.Database, url: str, name: str) -> None:
    """Both are kept, whichever comes first: nobody writes what it has not changed."""
    one = Person(name="a", address=Inner(city="0"), tags=[], meta={}).save()

    def write(own: str) -> None:
        with ormis.connect(url, prefix=db.prefix) as other:
            mine = Person.objects.using(other).filter(pk=one.pk)
            for i in range(30):
                if name == "address__city":
                    number = F("address__number") + 1
                    mine.update(**({"address__city": str(i)} if own == "x" else {"address__number": number}))
                elif name == "meta":
                    mine.update(meta=F("meta") | {f"{own}{i}": i})
                else:
                    mine.update(tags=F("tags") + [f"{own}{i}"])

    threads = [Thread(target=write, args=(own,)) for own in ("x", "y")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ormis.connect(url, prefix=db.prefix)
    one.refresh_from_db()
    assert one.address is not None
    if name == "address__city":
        assert (one.address.city, one.address.number) == ("29", 30)
    assert len(one.meta) == (60 if name == "meta" else 0)
    assert len({*one.tags}) == len(one.tags) == (60 if name == "tags" else 0)


def test_async_changes(db: ormis.Database) -> None:
    """aupdate() and asave() do the same."""

    async def main() -> None:
        one = await Person(name="a", address=Inner(city="Paris"), tags=["x"]).asave()
        await Person.objects.aupdate(address__city="Rome", tags=F("tags") + ["y"])
        one.tags = F("tags") - ["x"]
        await one.asave()
        assert one.tags == ["y"]
        found = [person async for person in Person.objects.filter(address__city="Rome", tags__contains="y")]
        assert found == [one]
        async with ormis.atomic():
            await Person.objects.filter(address__city="Rome").aupdate(address__city="Oslo")
        assert await Person.objects.filter(address__city="Oslo").acount() == 1

    asyncio.run(main())


def test_parts_from_other_fields(db: ormis.Database) -> None:
    """A part is computed from fields and parts of the same object, and a field from parts."""
    Person(name="a", address=Inner(city="Paris", number=3), tags=["x", "y"]).save()
    assert Person.objects.update(address__number=F("address__number") + 1, name=F("tags__0")) == 1
    assert Person.objects.update(address__city=F("name"), meta=F("meta") | {"n": 1}) == 1
    one = Person.objects.get()
    assert (one.name, one.address, one.meta) == ("x", Inner(city="x", number=4), {"n": 1})


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"address__city": "a long name"}, ValidationError, r"Person\naddress.city\n  String should have at most 8"),
        ({"address__city": None}, ValidationError, "address.city"),
        ({"address__number": "x"}, ValidationError, "address.number"),
        ({"address__ctiy": "x"}, ormis.FieldError, "Person.address__ctiy: address has no part 'ctiy'.*mean 'city'"),
        ({"tags__len": 3}, ormis.FieldError, "Person.tags__len: tags has no part 'len' that can be written"),
        ({"numbers__0": 3}, ormis.FieldError, "numbers has no part '0' that can be written"),
        ({"name__0": "x"}, ormis.FieldError, "only fields of Person itself can be changed"),
        ({"address": None, "address__city": "x"}, ormis.FieldError, "address and its part address__city"),
        ({"tags": F("tags") - 3}, ormis.IntegrityError, r"Person.tags: F\('tags'\) - 3 can't be computed"),
        ({"tags": F("tags") + [3]}, ormis.IntegrityError, "Person.tags=.* does not fit"),
        ({"meta": F("meta") | [3]}, ormis.IntegrityError, "takes two dicts"),
        ({"numbers": F("numbers") | {"x"}}, ormis.IntegrityError, "Person.numbers=.* does not fit"),
    ],
)
def test_what_does_not_fit_changes_nothing(
    db: ormis.Database, raw: redis.Redis, values: dict[str, Any], error: type[Exception], message: str
) -> None:
    """Each error names the model, the part and the value."""
    Person(name="a", address=Inner(city="Paris"), tags=["x"]).save()
    before = raw.hgetall("inside_changing:1")
    with pytest.raises(error, match=message):
        Person.objects.update(**values)
    assert raw.hgetall("inside_changing:1") == before


class Checked(BaseModel):
    low: int = 0
    high: int = 10
    name: str = ""

    @field_validator("name")
    @classmethod
    def _lower(cls, value: str) -> str:
        return value.lower()

    @model_validator(mode="after")
    def _ordered(self) -> "Checked":
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


class Range(ormis.Model):
    of: Checked

    class Meta:
        key = "inside_range"


def test_validators_of_the_object_run(db: ormis.Database) -> None:
    """Those of a field convert the new value, those of the whole object see it beside the others."""
    one = Range(of=Checked()).save()
    assert Range.objects.update(of__name="ABC", of__low=5) == 1
    one.refresh_from_db()
    assert one.of == Checked(name="abc", low=5)
    with pytest.raises(ormis.IntegrityError, match="low is above high"):
        Range.objects.update(of__high=3)
    assert Range.objects.filter(of__name="abc", of__low__gt=3).count() == 1


def test_large_sets_change_in_steps(db: ormis.Database) -> None:
    """Every object once, those too that the server leaves to Python."""
    Person.objects.bulk_create([Person(name=str(i), address=Inner(city="a") if i % 3 else None) for i in range(2500)])
    assert Person.objects.update(address__city="b", tags=F("tags") + ["x"]) == 2500
    assert Person.objects.filter(address__city="b").count() == 1666
    assert Person.objects.update(numbers=F("numbers") | {1}, address__number=F("address__number") + 1) == 2500
    assert Person.objects.filter(numbers__contains=1, tags=["x"]).count() == 2500
    assert Person.objects.filter(address__number=1).count() == 1666
