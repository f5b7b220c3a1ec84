"""What a type checker sees of primary and foreign keys of any type: pairs of an expression and its type."""

from datetime import date
from typing import Any, Self, assert_type
from uuid import UUID, uuid4

import ormis
from ormis import SET_NULL, Field, ForeignKey, OneToOne, RelatedOne


class Country(ormis.Model):
    """A string for a key."""

    code: str = Field(primary_key=True)


class Token(ormis.Model):
    """A UUID for a key, called `id`."""

    id: UUID = Field(default_factory=uuid4, primary_key=True)


class Slug(ormis.Model):
    """A string for a key, called `id`."""

    id: str = Field(primary_key=True)
    entry: RelatedOne["Entry"] = RelatedOne()


class Day(ormis.Model):
    """A date for a key, and no default."""

    day: date = Field(primary_key=True)


class Entry(ormis.Model):
    """The stored keys are declared: one without a part in the constructor, one with."""

    country: ForeignKey[Country] = ForeignKey()
    country_id: str = Field(init=False)
    token: ForeignKey[Token | None] = ForeignKey(on_delete=SET_NULL)
    token_id: UUID | None = None
    slug: OneToOne[Slug] = OneToOne()
    day: ForeignKey["Day | None"] = ForeignKey()
    own: ForeignKey["Entry | None"] = ForeignKey(related_name="owned")
    same: ForeignKey[Self | None] = ForeignKey(related_name="sames")


def keys(token: Token, slug: Slug, country: Country, entry: Entry) -> None:
    """Checked by type checkers, never run."""
    assert_type(token.id, UUID)
    assert_type(slug.id, str)
    assert_type(country.code, str)
    assert_type(entry.id, int | Any | None)
    assert_type(Token.get(uuid4()), Token)
    assert_type(Slug.get("x").id, str)
    Token(id=uuid4())
    Token()
    Slug(id="x")
    Country(code="nz")
    Entry(id=7)


def references(entry: Entry, country: Country) -> None:
    """Checked by type checkers, never run: an object or its key is taken, the object is returned."""
    assert_type(entry.country, Country)
    assert_type(entry.country_id, str)
    assert_type(entry.token, Token | None)
    assert_type(entry.token_id, UUID | None)
    assert_type(entry.slug.id, str)
    assert_type(entry.day, Day | None)
    Entry(country=country, token=Token(), slug="x", day=date.today())
    Entry(country="nz", token=uuid4(), own=7)
    Entry(country="nz", token_id=uuid4(), own=entry)
    entry.country = "nz"
    entry.country = country
    entry.token = None
    entry.token = uuid4()
    entry.token_id = uuid4()
    entry.day = date.today()
    Entry.objects.filter(Entry.country_id == "nz")


def references_to_oneself(entry: Entry) -> None:
    """Checked by type checkers, never run: a quoted class and Self are read as the class."""
    assert_type(entry.own, Entry | None)
    assert_type(entry.same, Entry | None)
    if entry.own is not None:
        assert_type(entry.own.country.code, str)
    if entry.same is not None and entry.same.own is not None:
        assert_type(entry.same.own.country_id, str)


def reverse_one_to_one(slug: Slug, entry: Entry) -> None:
    """Checked by type checkers, never run: the other side of a one-to-one relation is an object."""
    assert_type(slug.entry, Entry)
    assert_type(slug.entry.country, Country)
    slug.entry = entry
    Slug.objects.filter(Slug.entry.country_id == "nz")
