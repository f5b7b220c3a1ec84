"""Fields with the names of methods of Model: the field has the name, and the method is reached in another way."""

from typing import Any

import pytest

import ormis
from ormis import F, Field, ForeignKey

NAMES = ["get", "aget", "list", "alist", "ttl", "attl", "expire", "aexpire", "persist", "apersist"]


def named(name: str, **body: Any) -> Any:
    """A model with a field of this name."""
    namespace: dict[str, Any] = {
        "__module__": __name__,
        "__qualname__": "Named",
        "__annotations__": {name: int, "other": str},
        "other": "",
        "Meta": type("Meta", (), {"key": f"names_{name}"}),
        **body,
    }
    return type(ormis.Model)("Named", (ormis.Model,), namespace)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["required", "default", "field"])
def test_a_field_may_hide_a_method(name: str, form: str, db: ormis.Database) -> None:
    """Such a field is required or has its default, is saved, changed, deferred, compared and counted as any other."""
    model = named(name, **{"default": {name: 3}, "field": {name: Field(default=3, index=True)}}.get(form, {}))
    if form == "required":
        with pytest.raises(ValueError, match=name):
            model()
    else:
        assert getattr(model(), name) == 3
    one = model(**{name: "7"}).save()
    assert getattr(one, name) == 7
    setattr(one, name, F(name) + 1)
    one.save()
    assert one.model_dump() == {"id": 1, name: 8, "other": ""}
    assert model.objects.get(pk=1) == one
    assert list(model.objects.filter(getattr(model, name) > 7)) == list(model.objects.filter(**{name: 8})) == [one]
    deferred = model.objects.only("other").get()
    assert name not in vars(deferred)
    assert getattr(deferred, name) == 8
    with pytest.raises(ValueError, match="valid integer"):
        setattr(one, name, "x")


def test_hidden_methods_are_reached_by_model(db: ormis.Database) -> None:
    """Model.ttl(obj) is the method, and the manager reads objects."""

    class Lock(ormis.Model):
        ttl: int = 5  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]
        expire: bool = False  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]
        list: str = "x"  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

        class Meta:
            key = "names_lock"

    lock = Lock().save(ttl=50)
    assert 40 < (ormis.Model.ttl(lock) or 0) <= 50
    ormis.Model.expire(lock, 500)
    assert 400 < (ormis.Model.ttl(lock) or 0) <= 500
    assert [one.ttl for one in Lock.objects.all()] == [5]
    assert Lock.get(1) == lock


def test_a_base_passes_such_fields_on(db: ormis.Database) -> None:
    """An abstract base may have them, and a relation too."""

    class Base(ormis.Model):
        get: int  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]

        class Meta:
            abstract = True

    class Made(Base):
        list: ForeignKey["Made | None"] = ForeignKey()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

        class Meta:
            key = "names_made"

    values: dict[str, Any] = {"get": 1}
    first: Any = Made(**values).save()
    second: Any = Made(**values, list=first).save()
    assert (second.list, second.list_id, first.list, first.get) == (first, 1, None, 1)
    assert Made.objects.filter(list=first).count() == Made.objects.filter(Made.get == 1, list__get=1).count() == 1


@pytest.mark.parametrize("name", ["objects", "save", "asave", "delete", "key", "pk", "refresh_from_db", "model_x"])
def test_names_without_another_way_are_refused(name: str) -> None:
    """What can't be reached otherwise keeps its name."""
    with pytest.raises(ormis.ModelError, match=rf"Named\.{name}"):
        named(name)
