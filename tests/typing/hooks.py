"""What a type checker sees of hooks, signals and fields that writes set to the time."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any, assert_type

import ormis
from ormis import Field, after_delete, after_save, before_delete, before_save
from ormis.signals import post_save, pre_delete, receiver


class Article(ormis.Model):
    """A model with hooks."""

    title: str
    slug: str = ""
    created: datetime = Field(auto_now_add=True)
    changed: datetime = Field(auto_now=True, index=True)
    day: date | None = Field(auto_now=True)

    @before_save
    def fill_slug(self) -> None:
        """Changes a field."""
        self.slug = self.title.lower()

    @after_save
    async def notify(self, created: bool) -> str:
        """An async hook."""
        return f"{self.slug} {created}"

    @before_delete
    @after_delete
    def log(self) -> int:
        """A hook at two moments."""
        return 1


@receiver([post_save, pre_delete], sender=Article)
def index(sender: type[Article], instance: Article, **more: object) -> str:
    """A receiver."""
    return instance.slug


@receiver(post_save)
async def publish(instance: ormis.Model, **more: object) -> None:
    """A receiver for all models."""


async def check() -> None:
    """Checked by type checkers, never run."""
    article = Article(title="x")
    assert_type(article.created, datetime)
    assert_type(article.day, date | None)
    assert_type(article.fill_slug(), None)
    assert_type(await article.notify(created=True), str)
    assert_type(article.log(), int)
    assert_type(index(Article, article), str)
    assert_type(post_save.send(Article, instance=article), list[tuple[Callable[..., Any], Any]])
    assert_type(await post_save.asend(Article), list[tuple[Callable[..., Any], Any]])
    post_save.connect(index, sender=Article, dispatch_uid="index")
    assert_type(post_save.disconnect(dispatch_uid="index"), bool)
