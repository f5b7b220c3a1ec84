"""Names that a model does not have are errors to a type checker; each ignore here is reported if it is not needed."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

import ormis
from ormis import Field, ForeignKey, ManyToMany


class Author(ormis.Model):
    """A model that others refer to."""

    name: str = Field(max_length=20)


class Book(ormis.Model):
    """A model with a relation of each kind."""

    author: ForeignKey[Author | None] = ForeignKey()
    tags: ManyToMany[Author] = ManyToMany(related_name="tagged")
    pages: int = 0


def check(book: Book, author: Author) -> None:
    """Checked by pyright and mypy, never run."""
    book.pages = 3
    book.author = author
    book.pk = 7
    book.page = 3  # type: ignore[attr-defined]
    book.pages = "three"  # type: ignore[assignment]
    book.athor = author  # type: ignore[attr-defined]
    print(book.page)  # type: ignore[attr-defined]
    Field(uniqe=True)  # type: ignore[call-arg]
    ForeignKey(on_delet=ormis.CASCADE)  # type: ignore[call-arg]
