"""Polymorphic models to a type checker: the base stands for the objects of all classes."""

from typing import assert_type

import ormis
from ormis import Field, ForeignKey, Q, Related, col


class User(ormis.Model):
    """The base."""

    name: str
    posts: Related["Post"] = Related()

    class Meta:
        """Options."""

        polymorphic = True


class Admin(User):
    """Stored with the base."""

    level: int = Field(default=1, index=True)

    class Meta(User.Meta):
        """Options."""

        kind = "administrator"
        ordering = ["-level"]


class Post(ormis.Model):
    """Refers to both."""

    author: ForeignKey[User] = ForeignKey(related_name="posts")
    reviewer: ForeignKey[Admin | None] = ForeignKey()


def check(post: Post) -> None:
    """Checked by type checkers, never run."""
    admin = Admin(name="a", level=3).save()
    assert_type(admin, Admin)
    assert_type(User.get(1), User)
    assert_type(Admin.get(1), Admin)
    assert_type(User.objects, ormis.Manager[User])
    assert_type(User.objects.filter(level__gte=3), ormis.QuerySet[User])
    assert_type(User.objects.filter(Admin.level >= 3, col(Admin.name) == "a").first(), User | None)
    assert_type(Q(level=3), Q)
    assert_type(Admin.objects.order_by("level").get(), Admin)
    assert_type(post.author, User)
    assert_type(post.reviewer, Admin | None)
    assert_type(Post(author=admin, reviewer=admin).author, User)
    for user in User.objects.all():
        assert_type(user, User)
        if isinstance(user, Admin):
            assert_type(user.level, int)
    User.objects.bulk_create([User(name="u"), admin])
