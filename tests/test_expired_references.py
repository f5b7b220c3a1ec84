"""Rules of on_delete after an object has ended, where something is not as usual: the others are applied."""

from typing import Any

import pytest

import ormis
from ormis import CASCADE, SET_NULL, ForeignKey


class House(ormis.Model):
    """What ends."""

    name: str = ""

    class Meta:
        key = "er_house"


class Tenant(ormis.Model):
    """It goes with its house."""

    house: ForeignKey[House] = ForeignKey(on_delete=CASCADE, related_name="tenants")

    class Meta:
        key = "er_tenant"


class Cat(ormis.Model):
    """It stays without its house."""

    house: ForeignKey[House | None] = ForeignKey(on_delete=SET_NULL, related_name="cats")

    class Meta:
        key = "er_cat"


WAITING = "ormis/expired/er_house"


def ended(raw: Any, *houses: House) -> None:
    """The time of these houses has come: their hashes are gone."""
    for house in houses:
        house.expire(100)
        raw.zadd("er_house/expiry", {str(house.id): 1})
        raw.delete(house.key)


def assert_clean(db: ormis.Database) -> None:
    assert [str(finding) for finding in ormis.check(db, models=[House, Tenant, Cat]).findings] == []


def test_more_than_one_call_takes(db: ormis.Database, raw: Any) -> None:
    """A part of what refers to it in each call, until nothing does; answers are right in between."""
    one, other = House().save(), House().save()
    Tenant.objects.bulk_create([Tenant(house=one) for _ in range(60)])
    Cat.objects.bulk_create([Cat(house=other) for _ in range(60)])
    ended(raw, one, other)
    lefts = set()
    for _ in range(12):
        assert House.objects.count() == 0
        lefts.add((Tenant.objects.count(), Cat.objects.filter(house_id=other.id).count()))
    assert (0, 0) in lefts
    assert len(lefts) > 2
    assert not raw.exists(WAITING)
    assert_clean(db)


def test_entries_of_what_is_gone(db: ormis.Database, raw: Any) -> None:
    """A key in the index without an object loses its entry; the rule is applied to the others."""
    house = House().save()
    tenants = [Tenant(house=house).save() for _ in range(3)]
    raw.delete(tenants[1].key)
    ended(raw, house)
    assert House.objects.count() == 0
    assert not raw.exists(f"er_tenant/index/house_id={house.id}", tenants[0].key, tenants[2].key)


def test_an_object_that_is_there_again(db: ormis.Database, raw: Any) -> None:
    """A key that is in use again by the time that its rules are applied: what refers to it stays."""
    house = House().save()
    tenant = Tenant(house=house).save()
    other = House().save()
    raw.sadd(WAITING, house.pk)
    ended(raw, other)
    assert House.objects.count() == 1
    assert Tenant.get(tenant.pk).house == house
    assert not raw.exists(WAITING)
    assert_clean(db)


def test_a_key_of_another_type(db: ormis.Database, raw: Any) -> None:
    """An index that can't be read holds up neither queries nor the rules of other objects."""
    broken, fine = House().save(), House().save()
    Cat(house=broken).save()
    cat = Cat(house=fine).save()
    index = f"er_cat/index/house_id={broken.id}"
    raw.delete(index)
    raw.rpush(index, "x")
    ended(raw, broken, fine)
    assert House.objects.count() == 0
    assert Cat.get(cat.pk).house_id is None
    assert not raw.exists(WAITING)
    raw.delete(index)
    assert ormis.check(db, models=[House, Tenant, Cat]).findings


def test_a_server_that_takes_no_writes(db: ormis.Database, raw: Any) -> None:
    """What can't be written waits; the answers are right meanwhile."""
    house, stays = House().save(), House().save()
    cat = Cat(house=house).save()
    ended(raw, house)
    raw.config_set("maxmemory", "1")
    try:
        assert [found.id for found in House.objects.all()] == [stays.id]
        assert House.objects.filter(cats__isnull=True).count() == 1
    finally:
        raw.config_set("maxmemory", "0")
    assert House.objects.count() == 1
    assert Cat.get(cat.pk).house_id is None
    assert_clean(db)


def test_bookkeeping_of_another_type(db: ormis.Database, raw: Any) -> None:
    """A query is right where it needs not read it, and names the key where it must; check() mends what was lost."""
    for key in (WAITING, "ormis/expiring/er_house"):
        house = House().save()
        Cat(house=house).save()
        ended(raw, house)
        raw.delete(key)
        raw.set(key, "x")
        if key == WAITING:
            assert House.objects.count() == 0
        else:
            with pytest.raises(ormis.StoredDataError, match=key):
                House.objects.count()
        raw.delete(key)
        ormis.check(db, models=[House, Tenant, Cat], repair=True)
        assert House.objects.count() == 0
