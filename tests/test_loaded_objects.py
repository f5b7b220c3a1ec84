"""Objects that are loaded are whole pydantic objects: private attributes, model_post_init, fields left for later."""

import copy
import pickle
from collections.abc import Callable
from functools import cached_property
from typing import Any

import pytest
from pydantic import PrivateAttr

import ormis
from ormis import CASCADE, ForeignKey, Prefetch


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
