"""Random families under random operations are what separate plain Python lists are."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ormis
from laws import examples
from ormis import F, Field
from ormis.schema import registry

POOL: dict[str, tuple[Any, Any]] = {
    "number": (int | None, [{}, {"index": True}]),
    "text": (str | None, [{}, {"index": "sorted"}, {"index": True}]),
    "size": (float | None, [{}, {"index": True}]),
    "code": (str | None, [{"unique": True}]),
    "count": (int | None, [{}, {"index": True}]),
}
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "number": st.none() | st.integers(-2, 3),
    "text": st.none() | st.sampled_from(["", "a", "b", "ab"]),
    "size": st.none() | st.sampled_from([0.5, 1.0, -2.0]),
    "code": st.none() | st.sampled_from("wxyz"),
    "count": st.none() | st.integers(0, 2),
}
CONDITIONS: list[tuple[dict[str, Any], str, Callable[[Any], bool]]] = [
    ({"number__gte": 1}, "number", lambda value: value is not None and value >= 1),
    ({"number": None}, "number", lambda value: value is None),
    ({"text": "a"}, "text", lambda value: value == "a"),
    ({"text__startswith": "a"}, "text", lambda value: value is not None and value.startswith("a")),
    ({"text__regex": "b"}, "text", lambda value: value is not None and "b" in value),
    ({"size__lt": 1}, "size", lambda value: value is not None and value < 1),
    ({"code__in": ["w", "x"]}, "code", lambda value: value in ("w", "x")),
    ({"count__isnull": False}, "count", lambda value: value is not None),
    ({"id__in": [1, 2, 4, 5]}, "id", lambda value: value in (1, 2, 4, 5)),
    ({"id__gt": 0}, "id", lambda value: True),
]


@dataclass
class Class:
    """A class of a family: the number of its base, None of the root, and the options of its own fields."""

    base: int | None
    fields: dict[str, dict[str, Any]]


@dataclass
class Family:
    """The classes, and the fields of each, inherited ones first."""

    classes: list[Class]
    models: list[Any] = field(default_factory=list)

    def names(self, of: int) -> list[str]:
        """The fields of a class."""
        base = self.classes[of].base
        inherited = [] if base is None else self.names(base)
        return [*dict.fromkeys([*inherited, *self.classes[of].fields])]

    def known(self, of: int) -> list[str]:
        """The names that queries through a class know: its fields and those of the classes below it."""
        below = [number for number in range(len(self.classes)) if self.within(number, of)]
        return ["id", *dict.fromkeys(name for number in below for name in self.names(number))]

    def within(self, of: int, top: int) -> bool:
        """Whether a class is another one or below it."""
        at: int | None = of
        while at is not None and at != top:
            at = self.classes[at].base
        return at == top

    def declare(self) -> None:
        """Makes the models."""
        for number, one in enumerate(self.classes):
            base = ormis.Model if one.base is None else self.models[one.base]
            body: dict[str, Any] = {"__module__": __name__, "__qualname__": f"K{number}"}
            body["__annotations__"] = {name: POOL[name][0] for name in one.fields}
            body |= {name: Field(default=None, **options) for name, options in one.fields.items()}
            if one.base is None:
                body["Meta"] = type("Meta", (), {"key": "laws_family", "polymorphic": True})
            self.models.append(type(ormis.Model)(f"K{number}", (base,), body))


@st.composite
def families(draw: st.DrawFn) -> Family:
    """A root and up to four classes below it."""
    classes: list[Class] = []
    for number in range(draw(st.integers(2, 5))):
        base = None if number == 0 else draw(st.integers(0, number - 1))
        names = draw(st.lists(st.sampled_from([*POOL]), unique=True, max_size=3))
        classes.append(Class(base, {name: draw(st.sampled_from(POOL[name][1])) for name in names}))
    return Family(classes)


CLASS, CONDITION = st.integers(0, 4), st.sampled_from(CONDITIONS)
ROW = st.fixed_dictionaries(VALUES)
WRITES = st.one_of(
    st.tuples(st.just("create"), CLASS, ROW),
    st.tuples(st.just("create"), CLASS, ROW),
    st.tuples(st.just("bulk_create"), st.lists(st.tuples(CLASS, ROW), min_size=1, max_size=5), st.booleans()),
    st.tuples(st.just("change"), CLASS, st.integers(1, 7), ROW),
    st.tuples(st.just("replace"), CLASS, st.integers(1, 7), ROW),
    st.tuples(st.just("update"), CLASS, CONDITION, ROW),
    st.tuples(st.just("add"), CLASS, CONDITION),
    st.tuples(st.just("delete"), CLASS, CONDITION),
    st.tuples(st.just("delete_one"), CLASS, st.integers(1, 7)),
    st.tuples(st.just("obtain"), CLASS, VALUES["text"].filter(bool), ROW),
    st.tuples(st.just("several"), st.lists(st.tuples(CLASS, ROW), min_size=2, max_size=3), st.integers(1, 7), ROW),
)


class Refused(Exception):
    """What the database refuses."""


Row = tuple[int, dict[str, Any]]


class Plain:
    """The same objects as plain rows: the number of the class, and values."""

    def __init__(self, family: Family) -> None:
        self.family, self.rows, self.last = family, dict[int, Row](), 0

    def row(self, of: int, values: dict[str, Any]) -> Row:
        """A row of a class, of the values that it has."""
        return of, {name: values[name] for name in self.family.names(of)}

    def found(self, of: int, condition: Any) -> list[int]:
        """The keys of the objects of a class that meet a condition."""
        _, name, holds = condition
        return [
            pk
            for pk, (own, values) in self.rows.items()
            if self.family.within(own, of) and holds(pk if name == "id" else values.get(name))
        ]

    def put(self, rows: dict[int, Row], pk: int, row: Row) -> None:
        """Raises Refused for a code that another object has."""
        code = row[1].get("code")
        if code is not None and any(other != pk and own[1].get("code") == code for other, own in rows.items()):
            raise Refused
        rows[pk] = row

    def insert(self, new: list[tuple[int, dict[str, Any]]], ignore: bool = False) -> dict[int, Row]:
        """The rows with new ones."""
        rows, last = dict(self.rows), self.last
        for of, values in new:
            try:
                self.put(rows, last + 1, self.row(of, values))
                last += 1
            except Refused:
                if not ignore:
                    raise
        self.rows, self.last = rows, last
        return rows


class Stored:
    """The operations, on the database and on the plain rows."""

    def __init__(self, family: Family, plain: Plain) -> None:
        self.family, self.plain = family, plain

    def made(self, of: int, values: dict[str, Any], **more: Any) -> Any:
        """A new object."""
        return self.family.models[of](**self.plain.row(of, values)[1], **more)

    def create(self, of: int, values: dict[str, Any]) -> Any:
        """One object."""
        return lambda: self.made(of, values).save() and None, lambda: self.plain.insert([(of, values)]) and None

    def bulk_create(self, new: list[tuple[int, dict[str, Any]]], ignore: bool) -> Any:
        """Objects of several classes through the root."""
        objects = [self.made(of, values) for of, values in new]
        root = self.family.models[0].objects

        def here() -> None:
            self.plain.insert(new, ignore)

        return lambda: root.bulk_create(objects, ignore_conflicts=ignore) and None, here

    def several(self, new: list[tuple[int, dict[str, Any]]], pk: int, values: dict[str, Any]) -> Any:
        """New objects and a changed one in one block."""

        def there() -> None:
            with ormis.atomic():
                for of, own in new:
                    self.made(of, own).save()
                one = self.family.models[0].get(pk)
                for name in self.family.names(self.family.models.index(type(one))):
                    setattr(one, name, values[name])
                one.save()

        def here() -> None:
            before = self.plain.rows, self.plain.last
            try:
                if pk not in self.plain.rows:
                    raise Refused
                rows = dict(self.plain.insert(new))
                self.plain.put(rows, pk, self.plain.row(rows[pk][0], values))
                self.plain.rows = rows
            except Refused:
                self.plain.rows, self.plain.last = before[0], before[1] + len(new)  # keys of a block are used up
                raise

        return there, here

    def _in_class(self, of: int, pk: int) -> Row:
        own = self.plain.rows.get(pk)
        if own is None or not self.family.within(own[0], of):
            raise Refused
        return own

    def change(self, of: int, pk: int, values: dict[str, Any]) -> Any:
        """An object that is loaded through a class, and saved."""

        def there() -> None:
            one = self.family.models[of].get(pk)
            for name in self.family.names(self.family.models.index(type(one))):
                setattr(one, name, values[name])
            one.save()

        def here() -> None:
            own = self._in_class(of, pk)
            rows = dict(self.plain.rows)
            self.plain.put(rows, pk, self.plain.row(own[0], values))
            self.plain.rows = rows

        return there, here

    def replace(self, of: int, pk: int, values: dict[str, Any]) -> Any:
        """An object that takes the place of another one, of whatever class."""

        def here() -> None:
            if pk not in self.plain.rows:
                raise Refused
            rows = dict(self.plain.rows)
            self.plain.put(rows, pk, self.plain.row(of, values))
            self.plain.rows = rows

        def there() -> None:
            if not self.family.models[0].objects.filter(pk=pk).exists():
                raise Refused
            self.made(of, values, id=pk).save()

        return there, here

    def _changed(self, of: int, condition: Any, changed: Callable[[dict[str, Any]], dict[str, Any]]) -> int:
        rows, found = dict(self.plain.rows), self.plain.found(of, condition)
        for pk in found:
            own, values = rows[pk]
            self.plain.put(rows, pk, (own, values | changed(values)))
        self.plain.rows = rows
        return len(found)

    def update(self, of: int, condition: Any, values: dict[str, Any]) -> Any:
        """Values for the objects of a class that meet a condition."""
        new = {name: values[name] for name in self.family.names(of) if name != "code"}
        if not new or condition[1] not in self.family.known(of):
            return (lambda: None), (lambda: None)
        queryset = self.family.models[of].objects.filter(**condition[0])
        return lambda: queryset.update(**new), lambda: self._changed(of, condition, lambda _: new)

    def add(self, of: int, condition: Any) -> Any:
        """Arithmetic on the server."""
        if "number" not in self.family.names(of) or condition[1] not in self.family.known(of):
            return (lambda: None), (lambda: None)

        def changed(values: dict[str, Any]) -> dict[str, Any]:
            return {"number": None if values["number"] is None else values["number"] + 1}

        queryset = self.family.models[of].objects.filter(**condition[0])
        return lambda: queryset.update(number=F("number") + 1), lambda: self._changed(of, condition, changed)

    def delete(self, of: int, condition: Any) -> Any:
        """The objects of a class that meet a condition."""
        if condition[1] not in self.family.known(of):
            return (lambda: None), (lambda: None)

        def here() -> int:
            found = self.plain.found(of, condition)
            self.plain.rows = {pk: row for pk, row in self.plain.rows.items() if pk not in found}
            return len(found)

        return lambda: self.family.models[of].objects.filter(**condition[0]).delete()[0], here

    def delete_one(self, of: int, pk: int) -> Any:
        """One object that is loaded through a class."""

        def here() -> int:
            self._in_class(of, pk)
            del self.plain.rows[pk]
            return 1

        return lambda: self.family.models[of].get(pk).delete()[0], here

    def obtain(self, of: int, text: str, values: dict[str, Any]) -> Any:
        """get_or_create() among the objects of a class."""
        if "text" not in self.family.names(of):
            return (lambda: None), (lambda: None)
        defaults = {name: value for name, value in self.plain.row(of, values)[1].items() if name != "text"}

        def here() -> tuple[int, bool]:
            found = self.plain.found(of, ({}, "text", lambda value: value == text))
            if len(found) > 1:
                raise Refused
            if not found:
                self.plain.insert([(of, values | {"text": text})])
            return (found[0], False) if found else (self.plain.last, True)

        def there() -> tuple[int, bool]:
            one, new = self.family.models[of].objects.get_or_create(defaults, text=text)
            return one.pk, new

        return there, here


def outcome(work: Callable[[], Any]) -> Any:
    """What it returns, or that it was refused."""
    with suppress(Refused, ormis.IntegrityError, ormis.MultipleObjectsReturned, ormis.DoesNotExist):
        return work()
    return "refused"


def compare(family: Family, plain: Plain) -> None:
    """Each query through each class finds the objects of that class and of those below it, as they are."""
    everything = {pk: plain.rows[pk] for pk in sorted(plain.rows)}
    for number, model in enumerate(family.models):
        names = family.known(number)
        own = {pk: row for pk, row in everything.items() if family.within(row[0], number)}
        stored = {one.pk: one for one in model.objects.all()}
        assert stored.keys() == own.keys()
        for pk, (of, values) in own.items():
            assert type(stored[pk]) is family.models[of]
            assert {name: vars(stored[pk])[name] for name in values} == values
            assert vars(model.get(pk)) == vars(stored[pk])
        assert model.objects.count() == len(own)
        for pk in everything.keys() - own.keys():
            with pytest.raises(model.DoesNotExist):
                model.get(pk)
        for condition in CONDITIONS:
            if condition[1] in names:
                found = sorted(plain.found(number, condition))
                query = model.objects.filter(**condition[0])
                assert sorted(one.pk for one in query) == found
                assert query.count() == len(found)
                assert model.objects.exclude(**condition[0]).count() == len(own) - len(found)
                assert sorted(one.pk for one in query.only("id")) == found
        for name in names[1:]:
            nothing: Any = "" if name in ("text", "code") else 0
            held_by = {pk: values.get(name) for pk, (_, values) in own.items()}
            order = sorted(own, key=lambda pk: (held_by[pk] is not None, held_by[pk] or nothing, pk))
            assert [one.pk for one in model.objects.order_by(name, "id")] == order
            assert [one.pk for one in model.objects.order_by(name, "id")[1:3]] == order[1:3]
            held = [value for value in held_by.values() if value is not None]
            least = model.objects.aggregate(least=ormis.Min(name), n=ormis.Count(name))
            assert least == {"least": min(held, default=None), "n": len(held)}


@pytest.mark.parametrize("steps", [False, True], ids=["one call", "steps"])
@settings(max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(family=families(), writes=st.lists(WRITES, min_size=1, max_size=14), late=st.booleans())
def test_a_family_is_several_lists(
    db: ormis.Database, raw: Any, steps: bool, monkeypatch: pytest.MonkeyPatch, family: Family, writes: Any, late: bool
) -> None:
    """Each write returns what it should, or is refused where it should be; check() is clean.

    late: the database learns of the classes below the root when it has objects; then their indexes are built.
    """
    raw.flushdb()
    known = [model for model in registry.models() if model.__key__ == "laws_family"]
    for model in known[:1]:
        registry.forget(model)
    family = Family(family.classes)
    if late:
        alone = Family(family.classes[:1])
        alone.declare()
        alone.models[0]().save()
        registry.forget(alone.models[0])
    family.declare()
    plain = Plain(family)
    if late:
        plain.insert([(0, dict.fromkeys(POOL))])
    with monkeypatch.context() as patch:
        if steps:
            patch.setattr(db, "limits", replace(db.limits, objects=2, changed=2, deleted=2))
        stored = Stored(family, plain)
        for kind, *arguments in writes:
            arguments = (
                [_within(family, one) for one in arguments]
                if kind in ("bulk_create", "several")
                else [arguments[0] % len(family.classes), *arguments[1:]]
            )
            there, here = getattr(stored, kind)(*arguments)
            assert outcome(there) == outcome(here), (kind, arguments)
        compare(family, plain)
    if late:
        ormis.reindex(db, models=family.models)
        compare(family, plain)
    report = ormis.check(db, models=family.models)
    assert report.ok, [str(finding) for finding in report.findings]


def _within(family: Family, argument: Any) -> Any:
    """Rows of classes that there are."""
    if not isinstance(argument, list):
        return argument
    return [(of % len(family.classes), values) for of, values in argument]
