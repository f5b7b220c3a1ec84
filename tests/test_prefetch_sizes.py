"""prefetch_related in every size: one call, parts by parents, portions by keys, a walk. The order is the query's."""

import pytest

import ormis
from ormis import Field, ForeignKey, Prefetch


class Shelf(ormis.Model):
    """What the books stand on."""

    name: str = ""

    class Meta:
        key = "prefetch_shelf"


class Volume(ormis.Model):
    """Several stand on each shelf, in another order than they were stored."""

    shelf: ForeignKey[Shelf] = ForeignKey(related_name="volumes")
    place: int = 0
    title: str = Field(default="", max_length=50)

    class Meta:
        key = "prefetch_volume"


@pytest.mark.parametrize(("budget", "many"), [(3000, 1000), (8, 1000), (8, 5), (3000, 5)])
@pytest.mark.parametrize("order", [("-place",), ("title",), ()])
def test_each_parent_has_its_own_in_order(
    db: ormis.Database, monkeypatch: pytest.MonkeyPatch, budget: int, many: int, order: tuple[str, ...]
) -> None:
    """However many calls it takes, each parent gets all of its children, sorted as the queryset says."""
    shelves = Shelf.objects.bulk_create([Shelf(name=f"s{i}") for i in range(20)])
    Volume.objects.bulk_create(
        [Volume(shelf=shelves[i % 20], place=i * 7 % 60, title=f"{i * 11 % 60:02}") for i in range(60)]
    )
    monkeypatch.setattr("ormis.plan.BUDGET", budget)
    monkeypatch.setattr("ormis.nodes.MANY", many)
    monkeypatch.setattr("ormis.operations.fetching.MANY", many)
    monkeypatch.setattr("ormis.operations.fetching.PORTION", 7)
    found = Shelf.objects.prefetch_related(Prefetch("volumes", Volume.objects.order_by(*order)))
    shown = {shelf.pk: [volume.pk for volume in shelf.volumes.all()] for shelf in found}
    assert shown == {s.pk: [v.pk for v in Volume.objects.filter(shelf=s).order_by(*order)] for s in shelves}
