"""A field is validated whichever way a value reaches it; lookups by equality look for the value that it would store."""

from collections.abc import Callable
from typing import Annotated, Any

import pytest
import redis
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    WrapValidator,
    field_validator,
)

import ormis
from ormis import F, Field


def _even(value: int) -> int:
    if value % 2:
        raise ValueError("must be even")
    return value


class Shelf(ormis.Model):
    name: str = Field(unique=True)
    places: int = Field(default=0, ge=0, le=100)
    pairs: int = Field(default=2, index=True)
    halves: Annotated[int, AfterValidator(_even)] = 2
    price: float = 1.5

    @field_validator("pairs")
    @classmethod
    def even(cls, value: int) -> int:
        return _even(value)

    @field_validator("price", mode="before")
    @classmethod
    def positive(cls, value: Any) -> Any:
        if float(value) <= 0:
            raise ValueError("must be above 0")
        return value

    class Meta:
        key = "validated_shelf"


def _save(**values: Any) -> None:
    shelf = Shelf.objects.get(name="a")
    for name, value in values.items():
        setattr(shelf, name, value)
    shelf.save()


def _in_a_block() -> None:
    with ormis.atomic():
        _save(pairs=F("pairs") + 1)


REFUSED: dict[str, Callable[[], object]] = {
    "update": lambda: Shelf.objects.update(pairs=3),
    "update, Annotated": lambda: Shelf.objects.update(halves=3),
    "update, bound": lambda: Shelf.objects.update(places=-1),
    "update, before": lambda: Shelf.objects.update(price=-1),
    "update with F": lambda: Shelf.objects.update(pairs=F("pairs") + 1),
    "update with F, Annotated": lambda: Shelf.objects.update(halves=F("halves") * 2 + 1),
    "update with F, bound": lambda: Shelf.objects.update(places=F("places") - 1),
    "update with F, before": lambda: Shelf.objects.update(price=F("price") - 5),
    "update by a condition in Python": lambda: Shelf.objects.filter(name__regex="a").update(pairs=F("pairs") + 1),
    "save with F": lambda: _save(pairs=F("pairs") + 1),
    "save with F, Annotated": lambda: _save(halves=F("halves") + 1),
    "save with F, before": lambda: _save(price=F("price") - 5),
    "save in a block": _in_a_block,
    "assignment": lambda: _save(pairs=3),
    "update_or_create": lambda: Shelf.objects.update_or_create(name="a", defaults={"pairs": 5}),
    "update_or_create with F": lambda: Shelf.objects.update_or_create(name="a", defaults={"pairs": F("pairs") + 1}),
    "get_or_create": lambda: Shelf.objects.get_or_create(name="b", defaults={"pairs": 5}),
    "create": lambda: Shelf.objects.create(name="b", pairs=5),
}


@pytest.mark.parametrize("write", REFUSED.values(), ids=REFUSED)
def test_no_way_passes_by_the_validators(db: ormis.Database, raw: redis.Redis, write: Callable[[], object]) -> None:
    """What a constructor refuses, every write refuses, and nothing is changed."""
    Shelf(name="a").save()
    before = {key: raw.dump(key) for key in raw.scan_iter("validated_shelf*")}
    with pytest.raises((ValidationError, ormis.IntegrityError)):
        write()
    assert {key: raw.dump(key) for key in raw.scan_iter("validated_shelf*")} == before


async def test_async_writes_are_validated(db: ormis.Database) -> None:
    """aupdate() and asave() as their twins."""
    await Shelf(name="a").asave()
    with pytest.raises(ValidationError):
        await Shelf.objects.aupdate(pairs=3)
    with pytest.raises((ValidationError, ormis.IntegrityError)):
        await Shelf.objects.aupdate(pairs=F("pairs") + 1)


def test_results_that_fit_are_written(db: ormis.Database) -> None:
    """Arithmetic with validators is done in Python, under compare-and-set."""
    Shelf(name="a").save()
    assert Shelf.objects.update(pairs=F("pairs") + 2, halves=F("halves") * 3) == 1
    _save(pairs=F("pairs") * 2, price=F("price") + 1)
    shelf = Shelf.objects.get(name="a")
    assert (shelf.pairs, shelf.halves, shelf.price) == (8, 6, 2.5)


class Account(ormis.Model):
    model_config = ConfigDict(str_strip_whitespace=True)

    email: Annotated[str, StringConstraints(to_lower=True)] = Field(unique=True)
    nick: Annotated[str, BeforeValidator(str.title)] | None = Field(default=None, index=True)
    code: Annotated[str, WrapValidator(lambda value, handler: handler(value).upper())] = "X"
    town: str = Field(default="", index="sorted")
    rank: Annotated[int, AfterValidator(_even)] = Field(default=0, index=True)

    @field_validator("code")
    @classmethod
    def no_digits(cls, value: str) -> str:
        if any(letter.isdigit() for letter in value):
            raise ValueError("has digits")
        return value

    class Meta:
        key = "validated_account"


FOUND: dict[str, dict[str, Any]] = {
    "to_lower": {"email": "Ann@Example.ORG"},
    "to_lower, in": {"email__in": ["x", "ANN@example.org"]},
    "before": {"nick": "ann"},
    "before, in": {"nick__in": ("aNN",)},
    "wrap": {"code": "abc"},
    "strip by the model": {"town": "  Ulm "},
    "two at once": {"email": "ANN@EXAMPLE.ORG", "nick": "ANN", "rank__lt": 3},
    "after": {"rank": "2"},
    "none": {"nick__isnull": False},
}


@pytest.mark.parametrize("lookups", FOUND.values(), ids=FOUND)
def test_lookups_by_equality_are_normalised(db: ormis.Database, lookups: dict[str, Any]) -> None:
    """Exact and in look for the value that the field would hold."""
    ann = Account(email="ANN@example.org", nick="ann", code="abc", town=" Ulm", rank=2).save()
    Account(email="bob@example.org", nick="bob", code="b", town="Rom").save()
    for _ in range(2):  # by the plan cache, too
        assert [one.pk for one in Account.objects.filter(**lookups)][:1] == [ann.pk]
    assert Account.objects.filter(**lookups).exists()


def test_a_value_that_is_refused_finds_nothing(db: ormis.Database) -> None:
    """One that the validators refuse finds nothing; one of another type stays a FieldError."""
    Account(email="a", rank=2).save()
    for _ in range(2):
        assert list(Account.objects.filter(rank=3)) == []
        assert Account.objects.exclude(rank=3).count() == 1
        assert Account.objects.filter(rank__in=[2, 3]).count() == 1
        assert Account.objects.filter(code="a1").count() == 0
    for lookups in ({"rank": "many"}, {"rank__in": ["many"]}, {"rank__in": 2}, {"email__in": "a"}):
        with pytest.raises(ormis.FieldError):
            Account.objects.filter(**lookups).count()
    assert Account.objects.filter(rank__gte=1).count() == 1


def test_get_or_create_finds_what_it_created(db: ormis.Database) -> None:
    """The lookup is normalised as the created object is."""
    first, created = Account.objects.get_or_create(email="Ann@Example.org")
    again, created_again = Account.objects.get_or_create(email="ANN@EXAMPLE.ORG")
    assert (created, created_again, first.pk) == (True, False, again.pk)
    changed, _ = Account.objects.update_or_create(email=" ann@example.ORG", defaults={"nick": "ann"})
    assert (changed.pk, Account.objects.count(), changed.nick) == (first.pk, 1, "Ann")


class Word(ormis.Model):
    text: Annotated[str, StringConstraints(to_lower=True)] = Field(primary_key=True)

    class Meta:
        key = "validated_word"


def test_keys_are_normalised(db: ormis.Database) -> None:
    """get() and in_bulk() by a key that the field would hold otherwise."""
    Word(text="Hello").save()
    assert Word.get("HELLO").text == "hello"
    assert Word.objects.get(pk="HELLO").text == "hello"
    assert [*Word.objects.in_bulk(["Hello"])] == ["hello"]


class Span(ormis.Model):
    start: int = 0
    stop: int = 0

    @field_validator("stop")
    @classmethod
    def after_start(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data["start"]:
            raise ValueError("stops before it starts")
        return value

    class Meta:
        key = "validated_span"


def test_validators_that_read_other_fields(db: ormis.Database) -> None:
    """update() has no other fields: it refuses with advice; lookups take the value as it is."""
    Span(start=1, stop=3).save()
    with pytest.raises(ormis.FieldError, match=r"Span\.stop=5.*reads other fields.*load the objects"):
        Span.objects.update(stop=5)
    assert Span.objects.get(stop=3).start == 1
