"""on_delete rules after an expiry in unusual situations: the other rules are applied."""

from typing import Any

import pytest

import ormis
from ormis import CASCADE, SET_NULL, ForeignKey


class House(ormis.Model):
    """Expires in these tests."""

    name: str = ""

    class Meta:
        key = "er_house"


class Tenant(ormis.Model):
    """Deleted with its house (CASCADE)."""

    house: ForeignKey[House] = ForeignKey(on_delete=CASCADE, related_name="tenants")

    class Meta:
        key = "er_tenant"


class Cat(ormis.Model):
    """Stays without its house (SET_NULL)."""

    house: ForeignKey[House | None] = ForeignKey(on_delete=SET_NULL, related_name="cats")

    class Meta:
        key = "er_cat"


WAITING = "ormis/expired/er_house"


def ended(raw: Any, *houses: House) -> None:
    """Removes the hashes of these houses, as their expiry does."""
    for house in houses:
        house.expire(100)
        raw.zadd("er_house/expiry", {str(house.id): 1})
        raw.delete(house.key)


def clear_away() -> None:
    """A write that changes nothing: it clears away what expired houses have left behind."""
    assert House.objects.filter(pk=0).delete() == (0, {})


def assert_clean(db: ormis.Database) -> None:
    assert [str(finding) for finding in ormis.check(db, models=[House, Tenant, Cat]).findings] == []


def test_more_than_one_call_takes(db: ormis.Database, raw: Any) -> None:
    """Each call that writes applies the rules to some referrers, until none is left; results are correct in between."""
    one, other = House().save(), House().save()
    Tenant.objects.bulk_create([Tenant(house=one) for _ in range(60)])
    Cat.objects.bulk_create([Cat(house=other) for _ in range(60)])
    ended(raw, one, other)
    lefts = set()
    for _ in range(12):
        assert House.objects.count() == 0
        clear_away()
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
    clear_away()
    assert House.objects.count() == 0
    assert not raw.exists(f"er_tenant/index/house_id={house.id}", tenants[0].key, tenants[2].key)


def test_an_object_that_is_there_again(db: ormis.Database, raw: Any) -> None:
    """If the key is in use again when the rules are applied, its referrers stay."""
    house = House().save()
    tenant = Tenant(house=house).save()
    other = House().save()
    raw.sadd(WAITING, house.pk)
    ended(raw, other)
    clear_away()
    assert House.objects.count() == 1
    assert Tenant.get(tenant.pk).house == house
    assert not raw.exists(WAITING)
    assert_clean(db)


def test_a_key_of_another_type(db: ormis.Database, raw: Any) -> None:
    """An index of a wrong type delays neither queries nor the rules of other objects."""
    broken, fine = House().save(), House().save()
    Cat(house=broken).save()
    cat = Cat(house=fine).save()
    index = f"er_cat/index/house_id={broken.id}"
    raw.delete(index)
    raw.rpush(index, "x")
    ended(raw, broken, fine)
    clear_away()
    assert House.objects.count() == 0
    assert Cat.get(cat.pk).house_id is None
    assert not raw.exists(WAITING)
    raw.delete(index)
    assert ormis.check(db, models=[House, Tenant, Cat]).findings


def test_a_server_that_takes_no_writes(db: ormis.Database, raw: Any) -> None:
    """Cleanup waits while the server refuses writes; results are correct meanwhile."""
    house, stays = House().save(), House().save()
    cat = Cat(house=house).save()
    ended(raw, house)
    raw.config_set("maxmemory", "1")
    try:
        assert [found.id for found in House.objects.all()] == [stays.id]
        assert House.objects.filter(cats__isnull=True).count() == 1
    finally:
        raw.config_set("maxmemory", "0")
    clear_away()
    assert House.objects.count() == 1
    assert Cat.get(cat.pk).house_id is None
    assert_clean(db)


def test_bookkeeping_of_another_type(db: ormis.Database, raw: Any) -> None:
    """Queries are correct, since they need not read the key; a write that has to names it; check() repairs it."""
    for key in (WAITING, "ormis/expiring/er_house"):
        house = House().save()
        Cat(house=house).save()
        ended(raw, house)
        raw.delete(key)
        raw.set(key, "x")
        assert House.objects.count() == 0
        if key == WAITING:
            clear_away()
        else:
            with pytest.raises(ormis.StoredDataError, match=key):
                clear_away()
        raw.delete(key)
        ormis.check(db, models=[House, Tenant, Cat], repair=True)
        assert House.objects.count() == 0
