from typing import Any

import django
from django.conf import settings
from django.db import connection, models

from ..rows import Row
from . import Peer

if not settings.configured:
    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": None,
                "OPTIONS": {"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL"},
            }
        },
        USE_TZ=False,
    )
    django.setup()


class Merchandise(models.Model):
    name = models.CharField(max_length=100, db_index=True)
    status = models.CharField(max_length=100, db_index=True)
    price = models.IntegerField(db_index=True)
    weight = models.IntegerField()
    added = models.DateTimeField()

    class Meta:
        app_label = "benchmarks"


class DjangoOnSqlite(Peer):
    name = "Django, SQLite"
    package = "django"
    note = "a file, with a write-ahead log that is not synchronised at each commit"

    def __init__(self, home: Any) -> None:
        self.file = home.folder / "django.sqlite"
        connection.settings_dict["NAME"] = self.file
        with connection.schema_editor() as editor:
            editor.create_model(Merchandise)

    def close(self) -> None:
        connection.close()

    def save(self, row: Row) -> Merchandise:
        return Merchandise.objects.create(**row._asdict())

    def get(self, key: int) -> Merchandise:
        return Merchandise.objects.get(pk=key)

    def bulk_create(self, rows: list[Row]) -> list[Merchandise]:
        return Merchandise.objects.bulk_create([Merchandise(**row._asdict()) for row in rows])

    def equal(self, name: str) -> list[Merchandise]:
        return list(Merchandise.objects.filter(name=name))

    def page(self, status: str, low: int, limit: int) -> list[Merchandise]:
        return list(Merchandise.objects.filter(status=status, price__gte=low).order_by("price")[:limit])

    def count(self, low: int) -> int:
        return Merchandise.objects.filter(price__gte=low).count()

    def update(self, item: Merchandise, price: int) -> None:
        item.price = price
        item.save(update_fields=["price"])

    def delete(self, item: Merchandise) -> None:
        item.delete()
