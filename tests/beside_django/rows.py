"""Random rows of all models, stored on both sides."""

import random
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from . import django_side
from .schema import MODELS, Column

Tables = dict[str, list[dict[str, Any]]]
Links = dict[tuple[str, str], list[tuple[Any, Any]]]

POOLS: dict[str, list[Any]] = {
    "text": ["", "a", "A", "ab", "aB", "b", "ann", "Ann", "ß", "SS", "é", "a*b", "50%", "x_y", "zz top"],
    "int": [0, 1, 2, 3, 4, 7, 10, -1, -5],
    "float": [0.0, 0.5, 1.5, 2.0, -0.25, 3.75, 1e10],
    "decimal": [Decimal(text) for text in ("0.00", "0.50", "1.25", "2.00", "10.00", "-3.75")],
    "bool": [True, False],
    "date": [date(2024, 2, 29), date(2024, 12, 30), date(2025, 1, 1), date(2025, 6, 15), date(1999, 12, 31)],
    "datetime": [
        datetime(2024, 2, 29, 23, 59, 59, 500000, UTC),
        datetime(2025, 1, 1, 0, 0, 0, 0, UTC),
        datetime(2025, 1, 1, 12, 30, 0, 0, UTC),
        datetime(2025, 6, 15, 8, 5, 3, 1, UTC),
    ],
    "time": [time(0, 0), time(8, 30), time(12, 0, 30), time(23, 59, 59, 999999)],
    "timedelta": [timedelta(0), timedelta(days=1), timedelta(hours=5, seconds=3), timedelta(days=-2)],
}
MOST = {"Person": 8, "Publisher": 4, "Tag": 6, "Book": 10, "Cover": 5, "Badge": 4, "Award": 6, "Loan": 8, "Review": 8}


def value_of(dice: random.Random, column: Column) -> Any:
    """A value of a field."""
    if column.null and dice.random() < 0.25:
        return None
    if column.unique or column.primary_key:
        return dice.choice(POOLS["text"][1:]) + dice.choice(["", *"123456789"])
    return dice.choice(POOLS[column.kind])


def row_of(dice: random.Random, model: str, keys: dict[str, list[Any]]) -> dict[str, Any] | None:
    """The values of a new object, foreign keys by their names with _id; None if it must refer to one of none."""
    spec = MODELS[model]
    row = {name: value_of(dice, column) for name, column in spec.columns.items()}
    for name, relation in spec.to_one.items():
        known = keys[relation.target]
        if not known and not relation.null:
            return None
        row[f"{name}_id"] = dice.choice(known) if known and not (relation.null and dice.random() < 0.3) else None
    return row


def clashes(model: str, row: dict[str, Any], rows: list[dict[str, Any]]) -> bool:
    """Whether a row has a unique value of another."""
    spec = MODELS[model]
    alone = [name for name, column in spec.columns.items() if column.unique or column.primary_key]
    alone += [f"{name}_id" for name, relation in spec.to_one.items() if relation.unique]
    unique = [(name,) for name in alone] + ([tuple(f"{name}_id" for name in spec.together)] if spec.together else [])
    return any(
        all(row[name] is not None and row[name] == other[name] for name in names) for names in unique for other in rows
    )


def random_rows(dice: random.Random) -> tuple[Tables, Links]:
    """Rows of all models, and links between them."""
    tables: Tables = {}
    keys: dict[str, list[Any]] = {name: [] for name in MODELS}
    for name, spec in MODELS.items():
        tables[name] = []
        for _ in range(dice.randint(0, MOST[name])):
            row = row_of(dice, name, keys)
            if row is None or clashes(name, row, tables[name]):
                continue
            tables[name].append(row)
            keys[name].append(row[spec.pk] if spec.pk != "id" else len(tables[name]))
    links: Links = {}
    for name, spec in MODELS.items():
        for own, relation in spec.to_many.items():
            if relation.through is None and keys[name] and keys[relation.target]:
                pairs = {
                    (dice.choice(keys[name]), dice.choice(keys[relation.target])) for _ in range(dice.randint(0, 12))
                }
                links[name, own] = sorted(pairs)
    return tables, links


def store(models: dict[str, Any], tables: Tables, links: Links) -> None:
    """Stores the rows on one side."""
    for name, rows in tables.items():
        manager = models[name].objects
        if all(relation.target != name for relation in MODELS[name].to_one.values()):
            manager.bulk_create([models[name](**row) for row in rows])
            continue
        for row in rows:  # they refer to those before
            models[name](**row).save()
    for (name, own), pairs in links.items():
        for one, other in pairs:
            getattr(models[name].objects.get(pk=one), own).add(other)


def delete_some_hashes(dice: random.Random, models: dict[str, Any], database: Any) -> None:
    """Removes the hashes of some objects to which nothing refers, past ormis, and their rows in Django."""
    for name in ("Review", "Loan", "Award", "Cover", "Badge", "Tag", "Book"):
        for record in models[name].objects.order_by():
            django = django_side.DJANGO[name].objects.get(pk=record.pk)
            if dice.random() < 0.3 and not _is_referred_to(django):
                database.client.delete(record.key)
                django_side.forget(name, record.pk)


def _is_referred_to(row: Any) -> bool:
    for relation in row._meta.related_objects:
        own = relation.related_model
        if relation.many_to_many:
            continue
        if own.objects.filter(**{relation.field.name: row.pk}).exists():
            return True
    return False
