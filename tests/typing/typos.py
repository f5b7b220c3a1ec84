"""Names that a model does not have are errors to a type checker; each ignore here is reported if it is not needed."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

import ormis
from ormis import Field, ForeignKey, ManyToMany, Related


class Author(ormis.Model):
    """A model that others refer to."""

    name: str = Field(max_length=20)
    books: Related["Book"] = Related()


class Book(ormis.Model):
    """A model with a relation of each kind."""

    author: ForeignKey[Author | None] = ForeignKey(related_name="books")
    tags: ManyToMany[Author] = ManyToMany(related_name="tagged")
    pages: int = 0


def check(book: Book, author: Author) -> None:
    """Checked by type checkers, never run."""
    book.pages = 3
    book.author = author
    book.pk = 7
    book.page = 3  # type: ignore[attr-defined]  # ty: ignore[missing-attribute]
    book.pages = "three"  # type: ignore[assignment]  # ty: ignore[invalid-assignment]
    book.athor = author  # type: ignore[attr-defined]  # ty: ignore[missing-attribute]
    print(book.page)  # type: ignore[attr-defined]  # ty: ignore[missing-attribute]
    Field(uniqe=True)  # type: ignore[call-overload]  # ty: ignore[no-matching-overload]
    author.books = [book]  # type: ignore[assignment]  # ty: ignore[invalid-assignment]
    print(Book.page)  # type: ignore[attr-defined]  # ty: ignore[missing-attribute]
    print(Book.objects.popular())  # type: ignore[attr-defined]  # ty: ignore[missing-attribute]
    book.author = book  # type: ignore[assignment]  # ty: ignore[invalid-assignment]
    Book(authr=author)  # type: ignore[call-arg]  # ty: ignore[unknown-argument]
    ForeignKey(on_delet=ormis.CASCADE)  # type: ignore[call-arg]  # ty: ignore[unknown-argument]
