"""dump() and load() on a cluster: all partitions in one file, and from it into any number of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ormis
from ormis import Field

pytestmark = pytest.mark.xdist_group("cluster")


class Label(ormis.Model):
    """A model with counted keys, and unique values over all partitions."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True)
    size: int = Field(default=0, index=True)

    class Meta:
        key = "fc_label"


class Term(ormis.Model):
    """A model with keys that are texts, some of whose objects end."""

    text: str = Field(primary_key=True)
    count: int = 0

    class Meta:
        key = "fc_term"


MODELS: list[Any] = [Label, Term]


@pytest.fixture
def cf(cluster_url: str) -> Iterator[ormis.Database]:
    """A database on the cluster with 16 partitions."""
    with ormis.connect(f"{cluster_url}?partitions=16") as database:
        yield database


def fill(database: ormis.Database) -> None:
    """Some objects of each model."""
    Label.objects.using(database).bulk_create([Label(name=f"n{i}", size=i) for i in range(60)])
    Term.objects.using(database).bulk_create([Term(text=f"t {i}", count=i) for i in range(40)])
    Term(text="ending").save(ttl=1000, using=database)


def all_of(database: ormis.Database) -> dict[Any, Any]:
    """The objects of both models."""
    found: dict[Any, Any] = {label.pk: label.model_dump() for label in Label.objects.using(database)}
    return found | {term.pk: term.model_dump() for term in Term.objects.using(database)}


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_from_a_cluster_to_others(cf: ormis.Database, cluster_url: str, server: Any, tmp_path: Path, form: Any) -> None:
    """The same objects come back, on a cluster of another number of partitions, and on a server."""
    if form == "csv":
        pytest.importorskip("pyarrow")
    fill(cf)
    before = all_of(cf)
    assert len(before) == 101
    dumped = ormis.dump(tmp_path / "d", cf, models=MODELS, format=form)
    assert dumped.objects == {"fc_label": 60, "fc_term": 41}
    with (
        ormis.connect(f"{cluster_url}?partitions=7&prefix=seven:") as seven,
        ormis.connect(f"{server.url}?prefix=fc:") as alone,
    ):
        for target in (seven, alone):
            loaded = ormis.load(tmp_path / "d", target, models=MODELS)
            assert loaded.ok, loaded.findings
            assert all_of(target) == before
            assert 900 < (Term.objects.using(target).get(pk="ending").ttl() or 0) <= 1000
            assert ormis.check(target, models=MODELS).ok
            again = ormis.load(tmp_path / "d", target, models=MODELS)
            assert (again.ok, again.objects, again.unchanged) == (True, {}, 101)
            assert (Label(name="new").save(using=target).pk or 0) not in before
        alone.client.flushall()


def test_unique_values_over_partitions(cf: ormis.Database, tmp_path: Path) -> None:
    """An object whose unique value another one has, in another partition, is listed; the others are stored."""
    fill(cf)
    ormis.dump(tmp_path / "d", cf, models=[Label])
    Label.objects.using(cf).filter(size__lt=30).delete()
    Label(name="n7").save(using=cf)
    loaded = ormis.load(tmp_path / "d", cf, models=MODELS)
    assert (loaded.refused, loaded.unchanged) == (1, 30)
    assert "n7" in str(loaded.findings[0])
    assert Label.objects.using(cf).count() == 60
    assert ormis.check(cf, models=MODELS).ok


def test_natural_keys(cf: ormis.Database, tmp_path: Path) -> None:
    """Objects that are named by their unique values are found in whatever partition they are."""
    fill(cf)
    ormis.dump(tmp_path / "d", cf, models=[Label], natural=True)
    Label.objects.using(cf).filter(size__lt=30).delete()
    loaded = ormis.load(tmp_path / "d", cf, models=MODELS)
    assert (loaded.objects, loaded.unchanged, loaded.ok) == ({"fc_label": 30}, 30, True)
    assert sorted(label.name for label in Label.objects.using(cf)) == sorted(f"n{i}" for i in range(60))
