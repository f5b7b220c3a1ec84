"""List pages of the admin at 10^3 and at 10^6 objects: `python -m benchmarks.admin_pages [--objects N]`.

The time is that of the whole answer, the page's HTML among it, without a network; pages of both numbers alternate.
"""

import asyncio
import time
from argparse import ArgumentParser
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import httpx2
from starlette.applications import Starlette

import ormis
from ormis import CASCADE, Field, ForeignKey
from ormis.contrib.admin import Admin

PAGES = {
    "first": "admin_book/list",
    "last": "admin_book/list?page=1&end=1",
    "one order": "admin_book/list?sort=votes__desc",
    "one filter": "admin_book/list?filter=status__eq%3Dnew",
    "two filters": "admin_book/list?filter=status__eq%3Dnew AND votes__gte%3D500",
    "a parent": "admin_book/list?filter=author__eq%3D7",
    "search": "admin_book/list?q=title 0.5",
    "detail": "admin_book/detail?pk=77",
    "front": "",
}


class Author(ormis.Model):
    name: str = Field(index="sorted")

    class Meta:
        key = "admin_author"


class Book(ormis.Model):
    title: str = Field(index="sorted")
    status: str = Field(default="new", index=True)
    votes: int = Field(default=0, index=True)
    pages: int = 0
    published: datetime = Field(index=True)
    author: ForeignKey[Author] = ForeignKey(on_delete=CASCADE)

    class Meta:
        key = "admin_book"
        ordering = ["-published", "-id"]


def fill(database: ormis.Database, number: int) -> None:
    """Stores so many books, unless they are there."""
    if Book.objects.using(database).count() == number:
        return
    random, start = Random(1), datetime(2020, 1, 1, tzinfo=UTC)
    Author.objects.using(database).bulk_create([Author(name=f"author {n}") for n in range(1000)])
    for first in range(0, number, 5000):
        Book.objects.using(database).bulk_create(
            [
                Book(
                    title=f"title {random.random():.8f}",
                    status=random.choice(["new", "old", "draft"]),
                    votes=random.randrange(1000),
                    published=start + timedelta(seconds=random.randrange(10**8)),
                    author_id=1 + random.randrange(1000),
                )
                for _ in range(min(5000, number - first))
            ]
        )


def client_of(database: ormis.Database) -> httpx2.AsyncClient:
    """A client of the admin's application, without a network."""
    app = Starlette()
    Admin([Book, Author], database=database, secret_key="of the benchmark").mount_to(app)
    transport = httpx2.ASGITransport(app=app)
    return httpx2.AsyncClient(transport=transport, base_url="http://localhost/admin/")


async def measured(clients: list[httpx2.AsyncClient], rounds: int) -> dict[str, list[float]]:
    """The shortest time of each page in milliseconds, for each client."""
    best: dict[str, list[float]] = {name: [float("inf")] * len(clients) for name in PAGES}
    for _ in range(rounds):
        for name, path in PAGES.items():
            for place, client in enumerate(clients):
                begun = time.perf_counter()
                answer = await client.get(path)
                best[name][place] = min(best[name][place], (time.perf_counter() - begun) * 1e3)
                assert answer.status_code == 200, (path, answer.status_code, answer.url)
    return best


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=10**6)
    parser.add_argument("--few", type=int, default=10**3)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--directory", default="", help="where the large database is kept for another run")
    given = parser.parse_args()
    with ExitStack() as stack:
        databases: list[Any] = []
        for number, url in ((given.few, "embedded://"), (given.objects, f"embedded://{given.directory}")):
            databases.append(stack.enter_context(ormis.connect(url)))
            fill(databases[-1], number)
        best = asyncio.run(measured([client_of(database) for database in databases], given.rounds))
    print(f"{'page':14}{given.few:>12,}{given.objects:>12,}   ratio")
    for name, (few, many) in best.items():
        print(f"{name:14}{few:9.1f} ms{many:9.1f} ms   {many / few:.2f}")


if __name__ == "__main__":
    main()
