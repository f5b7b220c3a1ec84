"""Objects that are loaded are whole pydantic objects: private attributes, model_post_init, fields left for later."""

import copy
import pickle
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import pytest
from pydantic import PrivateAttr

import ormis
from ormis import CASCADE, ForeignKey, Prefetch
from prefixed import with_option


class Plain(ormis.Model):
    """Neither private attributes nor model_post_init."""

    name: str

    class Meta:
        key = "loaded_plain"


class Private(ormis.Model):
    """Private attributes with each kind of default, and one without."""

    name: str
    note: str = ""
    _flag: bool = PrivateAttr(default=False)
    _pending: list[str] = PrivateAttr(default_factory=list)
    _count: int = 0
    _unset: str

    class Meta:
        key = "loaded_private"

    def add(self, text: str) -> list[str]:
        self._pending.append(text)
        return self._pending


class Hooked(ormis.Model):
    """model_post_init computes a private attribute of a field, and follows no relation."""

    plain: ForeignKey[Plain | None] = ForeignKey(on_delete=CASCADE, related_name="hooked")
    name: str
    note: str = ""
    _shout: str = ""

    class Meta:
        key = "loaded_hooked"

    def model_post_init(self, context: Any, /) -> None:
        self._shout = self.name.upper()


class Shouting:
    """A mixin that is no model."""

    def model_post_init(self, context: Any, /) -> None:
        self.__dict__["shout"] = self.__dict__["name"].upper()


class Mixed(Shouting, ormis.Model):
    """model_post_init of a mixin."""

    name: str

    class Meta:
        key = "loaded_mixed"


class Abstract(ormis.Model):
    """Private attributes and a model_post_init to be inherited."""

    name: str
    _base: list[str] = PrivateAttr(default_factory=list)

    class Meta:
        abstract = True

    def model_post_init(self, context: Any, /) -> None:
        self._base.append(self.name)


class Child(Abstract):
    """A private attribute of its own beside the inherited ones."""

    _own: int = 7

    class Meta:
        key = "loaded_child"


class Cached(ormis.Model):
    """A cached property, which pydantic keeps among the fields."""

    name: str
    note: str = ""
    extra: str = ""

    class Meta:
        key = "loaded_cached"

    @cached_property
    def shout(self) -> str:
        return self.name.upper()


WAYS: dict[str, Callable[[Any], Any]] = {
    "get": lambda model: model.get(1),
    "list": lambda model: model.list()[0],
    "filter": lambda model: model.objects.filter(name="ann")[0],
    "first": lambda model: model.objects.first(),
    "iterator": lambda model: next(iter(model.objects.iterator())),
    "in_bulk": lambda model: model.objects.in_bulk([1])[1],
    "only": lambda model: model.objects.only("name").get(),
    "only the key": lambda model: model.objects.only("pk").get(),
    "defer": lambda model: model.objects.defer("name").get(),
    "get_or_create, found": lambda model: model.objects.get_or_create(name="ann")[0],
    "get_or_create, made": lambda model: model.objects.get_or_create(id=2, defaults={"name": "ann"})[0],
    "update_or_create, found": lambda model: model.objects.update_or_create({"name": "ann"}, id=1)[0],
    "create": lambda model: model.objects.create(name="ann"),
    "bulk_create": lambda model: model.objects.bulk_create([model(name="ann")])[0],
    "union": lambda model: model.objects.filter(name="ann").union(model.objects.filter(id=1))[0],
    "copy": lambda model: copy.copy(model.get(1)),
    "deepcopy": lambda model: copy.deepcopy(model.get(1)),
    "pickle": lambda model: pickle.loads(pickle.dumps(model.get(1))),
    "model_copy": lambda model: model.get(1).model_copy(),
}
ways = pytest.mark.parametrize("way", WAYS)


@ways
def test_private_attributes_have_their_defaults(db: ormis.Database, way: str) -> None:
    """Private attributes have their default however the object was made; a factory gives each object a value."""
    Private(name="ann").save()
    record = WAYS[way](Private)
    assert (record._flag, record._pending, record._count) == (False, [], 0)
    with pytest.raises(AttributeError, match="_unset"):
        _ = record._unset
    assert record.add("x") == ["x"]
    assert WAYS[way](Private)._pending == [] or way == "get_or_create, made"
    record._unset = "set"
    assert record._unset == "set"


@ways
@pytest.mark.parametrize("model", [Hooked, Mixed, Child])
def test_model_post_init_runs(db: ormis.Database, way: str, model: Any) -> None:
    """model_post_init of the class, of a mixin or of an abstract base has run, once, with every field there."""
    model(name="ann").save()
    record = WAYS[way](model)
    seen = {Hooked: "_shout", Mixed: "shout", Child: "_base"}[model]
    assert getattr(record, seen) == {Hooked: "ANN", Mixed: "ANN", Child: ["ann"]}[model]
    if model is Child:
        assert record._own == 7
    assert record.name == "ann"


def test_related_objects_are_whole(db: ormis.Database) -> None:
    """So are objects that come with others, are loaded on first use, or from the other side of a relation."""
    plain = Plain(name="p").save()
    Hooked(name="ann", plain=plain).save()
    assert [hooked._shout for hooked in Plain.get(1).hooked.all()] == ["ANN"]  # type: ignore[attr-defined]
    for found in (
        Plain.objects.prefetch_related("hooked")[0],
        Plain.objects.prefetch_related(Prefetch("hooked", queryset=Hooked.objects.only("plain_id")))[0],
    ):
        assert [hooked._shout for hooked in found.hooked.all()] == ["ANN"]  # type: ignore[attr-defined]
    selected = Hooked.objects.select_related("plain").get()
    assert (selected._shout, selected.plain) == ("ANN", plain)


def test_refreshing_keeps_private_attributes(db: ormis.Database) -> None:
    """refresh_from_db() reads fields; private attributes stay as they are."""
    record = Private(name="ann").save()
    record.add("kept")
    record.refresh_from_db()
    assert record._pending == ["kept"]
    partly = Private.objects.only("note").get()
    partly.add("kept")
    assert partly.name == "ann"
    assert partly._pending == ["kept"]


async def test_async_code_gets_whole_objects(db: ormis.Database) -> None:
    """Async code gets whole objects too, also where fields are left out that model_post_init reads."""
    await Hooked(name="ann").asave()
    await Private(name="ann").asave()
    assert (await Hooked.aget(1))._shout == "ANN"
    assert [record._shout async for record in Hooked.objects.only("note")] == ["ANN"]
    assert (await Private.objects.defer("name").aget())._pending == []


def test_objects_of_plain_classes_have_no_private_attributes(db: ormis.Database) -> None:
    """A class without private attributes has objects without, loaded or not; thousands of them share the way."""
    Plain.objects.bulk_create([Plain(name=str(n)) for n in range(300)])
    assert {record.__pydantic_private__ for record in Plain.list()} == {None}
    Private.objects.bulk_create([Private(name=str(n)) for n in range(300)])
    assert len({id(record._pending) for record in Private.list()}) == 300


@pytest.mark.parametrize("dump", [lambda r: r.model_dump(), lambda r: Cached.model_validate_json(r.model_dump_json())])
@pytest.mark.parametrize("read_first", [True, False])
def test_dumping_loads_what_was_deferred(db: ormis.Database, dump: Callable[[Any], Any], read_first: bool) -> None:
    """model_dump() after only() has every field, in order, also where cached properties were read before."""
    Cached(name="ann", note="n", extra="e").save()
    for left_out in (("note",), ("note", "extra"), ("name",)):
        record = Cached.objects.defer(*left_out).get()
        if read_first:
            assert record.shout == "ANN"
            record.__dict__["more"] = 1
        dumped = dump(record)
        values = dumped if isinstance(dumped, dict) else dumped.model_dump()
        assert values == {"id": 1, "name": "ann", "note": "n", "extra": "e"}
        assert [*values] == ["id", "name", "note", "extra"]
        assert record.shout == "ANN"
        assert record.model_dump(exclude_unset=True) == values


def test_what_was_deferred_and_set_is_kept(db: ormis.Database) -> None:
    """A deferred field that was assigned keeps the new value when the rest is loaded."""
    Cached(name="ann", note="n").save()
    record = Cached.objects.only("name").get()
    record.note = "mine"
    assert record.model_dump() == {"id": 1, "name": "ann", "note": "mine", "extra": ""}


@pytest.fixture
def two(db: ormis.Database, url: str) -> Iterator[tuple[ormis.Database, ormis.Database]]:
    """Two databases on one server, the second one is the default."""
    with ormis.connect(with_option(url, "prefix=one:")) as one, ormis.connect(with_option(url, "prefix=two:")) as two:
        yield one, two


class Parcel(ormis.Model):
    """An object that travels by pickle."""

    weight: int = 0
    note: str = ""

    class Meta:
        key = "loaded_parcel"


def test_an_unpickled_object_remembers_its_database(two: tuple[ormis.Database, ormis.Database]) -> None:
    """It is saved, refreshed and deleted where it was stored, not in the default database."""
    one, default = two
    parcel = Parcel(weight=1).save(using=one)
    Parcel(weight=5).save()
    again = pickle.loads(pickle.dumps(parcel))
    again.weight = 7
    again.save()
    assert (Parcel.objects.using(one).get(pk=1).weight, Parcel.objects.using(default).get(pk=1).weight) == (7, 5)
    again = pickle.loads(pickle.dumps(Parcel.objects.using(one).only("weight").get(pk=1)))
    assert again.note == ""
    again.refresh_from_db()
    again.delete()
    assert (Parcel.objects.using(one).count(), Parcel.objects.using(default).count()) == (0, 1)


def test_an_unpickled_object_of_a_closed_database(two: tuple[ormis.Database, ormis.Database], url: str) -> None:
    """It refuses to touch another database, names its own, and goes on when that is open again, or with using=."""
    one, default = two
    pickled = pickle.dumps(Parcel(weight=1).save(using=one))
    one.close()
    ormis.connect(with_option(url, "prefix=two:"))
    parcel = pickle.loads(pickled)
    parcel.weight = 2
    for use in (parcel.save, parcel.delete, parcel.refresh_from_db):
        with pytest.raises(ormis.NotConnected, match=r"one:.*not open here"):
            use()
    assert Parcel.objects.using(default).count() == 0
    with ormis.connect(with_option(url, "prefix=one:")) as again:
        ormis.connect(with_option(url, "prefix=two:"))
        parcel.save()
        assert Parcel.objects.using(again).get(pk=1).weight == 2


def test_an_unpickled_new_object_is_saved_by_default(two: tuple[ormis.Database, ormis.Database]) -> None:
    """An object that was never saved belongs to no database."""
    parcel = pickle.loads(pickle.dumps(Parcel(weight=1)))
    parcel.save()
    assert Parcel.objects.using(two[1]).count() == 1


@pytest.mark.parametrize("key", [None, 9])
@pytest.mark.parametrize("deep", [False, True])
def test_a_copy_with_another_key_is_a_new_object(db: ormis.Database, key: int | None, deep: bool) -> None:
    """model_copy(update={"id": ...}) inserts a copy, deferred fields included; else the copy is the same object."""
    Parcel(weight=3, note="n").save()
    parcel = Parcel.objects.only("weight").get(pk=1)
    copied = parcel.model_copy(update={"id": key}, deep=deep)
    copied.weight = 4
    copied.save()
    assert copied.id == (key or 2)
    assert sorted((p.id, p.weight, p.note) for p in Parcel.objects.all()) == [(1, 3, "n"), (key or 2, 4, "n")]
    same = Parcel.get(1).model_copy(update={"weight": 8})
    same.save()
    assert (Parcel.objects.count(), Parcel.get(1).weight) == (2, 8)
