"""Arguments, attributes and results that Django's methods have: managers, errors, refreshing, small things."""

import pickle
from typing import Annotated, Any

import pytest
from pydantic import StringConstraints

import ormis
from bookshop import Author, Book, Cover, Review, Tag, stock
from model_factory import make
from ormis import CASCADE, F, Field, FieldError, ForeignKey, Manager, ManyToMany, QuerySet, capture_calls


@pytest.fixture(autouse=True)
def stocked(db: ormis.Database) -> None:
    stock()


# Relation managers ---------------------------------------------------------------------------------------------------


def test_add_by_saving() -> None:
    """add(bulk=False) saves the objects whole, new ones too; bulk=True takes stored ones and writes their key alone."""
    ann, bob = Author.get(1), Author.get(2)
    dune, new = Book.get(2), Book(title="New")
    dune.title = "Changed"
    ann.books.add(dune, bulk=True)
    assert (Book.get(2).title, Book.get(2).author_id) == ("Dune", 1)
    with capture_calls() as calls:
        bob.books.add(dune, new, bulk=False)
    assert len(calls) == 1
    assert [(b.title, b.author_id) for b in Book.objects.filter(pk__in=[2, new.pk])] == [("Changed", 2), ("New", 2)]
    assert new.author is bob
    with pytest.raises(ormis.ForeignKeyViolation, match="not saved yet"):
        ann.books.add(Book(title="x"))
    ann.books.remove(Book.get(1), bulk=False)
    assert [b.title for b in ann.books.all()] == ["Carrie"]
    ann.books.set([Book(title="Set"), Book.get(1)], bulk=False)
    assert [b.title for b in ann.books.all()] == ["Emma", "Set"]
    with pytest.raises(ormis.ForeignKeyViolation, match="not saved yet"):
        ann.books.set([Book(title="x")])
    assert [b.title for b in ann.books.all()] == ["Emma", "Set"]
    ann.books.clear(bulk=False)
    assert ann.books.count() == 0
    with pytest.raises(TypeError, match=r"Author\.books takes a Book"):
        ann.books.add(bob, bulk=False)


def test_adding_by_saving_is_for_foreign_keys() -> None:
    """Links have nothing to save: bulk=False is refused, by every method and before anything is changed."""
    emma = Book.get(1)
    for work in (
        lambda: emma.tags.add("new", bulk=False),
        lambda: emma.tags.set(["new"], bulk=False),
        lambda: emma.tags.remove("classic", bulk=False),
        lambda: emma.tags.clear(bulk=False),
    ):
        with pytest.raises(TypeError, match=r"Book\.tags: bulk=False is for relations by a foreign key"):
            work()
    assert [tag.name for tag in emma.tags.all()] == ["classic"]


async def test_adding_by_saving_in_async_code() -> None:
    """The twins take it too; the new object belongs to async code."""
    bob, new = await Author.aget(2), Book(title="New")
    await bob.books.aadd(new, bulk=False)
    assert (await Book.aget(new.pk)).author_id == 2
    await bob.books.aset([new], bulk=False)
    assert await bob.books.acount() == 1
    await bob.books.aremove(new, bulk=False)
    await bob.books.aclear(bulk=False)
    assert await bob.books.acount() == 0


class Thick(QuerySet[Any]):
    def thick(self) -> Any:
        return self.filter(pages__gte=300)

    def hidden(self) -> str:
        return "hidden"

    hidden.queryset_only = True  # type: ignore[attr-defined]  # pyright: ignore[reportFunctionMemberAccess]

    def _private(self) -> str:
        return "private"

    _private.queryset_only = False  # type: ignore[attr-defined]  # pyright: ignore[reportFunctionMemberAccess]

    def _secret(self) -> str:
        return "secret"


class Published(Manager[Any]):
    def get_queryset(self) -> Any:
        return super().get_queryset().filter(published=True)


def test_methods_for_querysets_only() -> None:
    """as_manager() and from_queryset() take public methods, private ones with queryset_only = False, none with True."""
    for manager in (Thick.as_manager(), Manager.from_queryset(Thick)()):
        assert callable(manager.thick)
        assert hasattr(manager, "_private")
        assert not hasattr(manager, "hidden")
        assert not hasattr(manager, "_secret")
    assert (Thick(Book).hidden(), Thick(Book)._secret()) == ("hidden", "secret")


def test_the_first_manager_is_the_default(db: ormis.Database) -> None:
    """Relations to many begin with the first manager of the class body; single related objects are always found."""
    paper = make(
        "CallPaper",
        __name__,
        author=(ForeignKey[Author], ForeignKey(related_name="papers")),
        twin=(ormis.OneToOne["CallPaper | None"], ormis.OneToOne(related_name="other")),
        published=(bool, False),
        published_only=(Any, Published()),
        objects=(Any, Manager()),
    )
    author = Author.get(1)
    shown = paper.objects.create(author=author, published=True)
    draft = paper.objects.create(author=author, twin=shown)
    shown.twin = draft
    shown.save()
    assert [*author.papers.all()] == [shown]
    assert [*author.papers(manager="objects").all()] == [shown, draft]
    assert author.papers(manager="objects").create(published=False).author is author
    assert all(p.author is author for p in author.papers(manager="objects").filter(published=False))
    (loaded,) = Author.objects.filter(pk=1).prefetch_related("papers")
    assert ([*loaded.papers.all()], loaded.papers(manager="objects").count()) == ([shown], 3)
    assert (paper.get(1).twin, paper.get(1).other) == (draft, draft)
    assert paper.objects.prefetch_related("twin", "other").get(pk=1).twin == draft
    with pytest.raises(FieldError, match="CallPaper has no manager 'drafts'"):
        author.papers(manager="drafts")


def test_managers_are_inherited(db: ormis.Database) -> None:
    """The managers of an abstract base come after those of the class itself."""
    base = make("CallBase", __name__, published=(bool, False), shown=(Any, Published()), meta={"abstract": True})
    child = make("CallChild", __name__, base, author=(ForeignKey[Author], ForeignKey(related_name="children")))
    other = make(
        "CallOther",
        __name__,
        base,
        author=(ForeignKey[Author], ForeignKey(related_name="others")),
        all_=(Any, Manager()),
    )
    for model in (child, other):
        model.objects.create(author=1)
    assert (Author.get(1).children.count(), Author.get(1).others.count()) == (0, 1)
    assert (child.objects.count(), child.shown.count(), other.shown.count()) == (1, 0, 0)


def test_a_callable_of_through_defaults_is_called_once_per_object(db: ormis.Database) -> None:
    """Each linked object has a value of its own, both links of a symmetrical relation the same."""
    numbers = iter(range(100))
    friend = make("CallFriend", __name__, friends=(ManyToMany["CallFriend"], ManyToMany(through="CallFriendship")))
    bond = make(
        "CallFriendship",
        __name__,
        one=(ForeignKey["CallFriend"], ForeignKey(on_delete=CASCADE, related_name="ones")),
        other=(ForeignKey["CallFriend"], ForeignKey(on_delete=CASCADE, related_name="others")),
        number=(int, 0),
    )
    ann, bob, cid = (friend().save() for _ in range(3))
    ann.friends.add(bob, cid, through_defaults={"number": lambda: next(numbers)})
    ann.friends.add(bob, through_defaults={"number": lambda: next(numbers)})
    ann.friends.create(through_defaults={"number": lambda: next(numbers)})
    links = sorted((link.one_id, link.other_id, link.number) for link in bond.objects.all())
    assert links == [(1, 2, 0), (1, 3, 1), (1, 4, 2), (2, 1, 0), (3, 1, 1), (4, 1, 2)]


def test_set_takes_keys_of_every_type() -> None:
    """set(), add() and remove() of links take objects, keys, and what converts to keys, each object once."""
    classic = Tag.get("classic")
    with capture_calls() as calls:
        classic.books.set([1, "3", Book.get(1), "1"])
    assert len(calls) == 2
    assert [book.pk for book in classic.books.all()] == [1, 3]
    classic.books.set(["4", Book.get(5)], clear=True)
    assert [book.pk for book in classic.books.all()] == [4, 5]


# Errors --------------------------------------------------------------------------------------------------------------


def test_the_objects_that_stand_in_the_way(db: ormis.Database) -> None:
    """protected_objects and restricted_objects are the objects; no call before their fields are used."""
    for rule, error, name in (
        (ormis.PROTECT, ormis.ProtectedError, "protected_objects"),
        (ormis.RESTRICT, ormis.RestrictedError, "restricted_objects"),
    ):
        stamp = make(
            f"CallStamp{rule}",
            __name__,
            author=(ForeignKey[Author], ForeignKey(on_delete=rule)),
            title=(str, ""),
            meta={"key": f"call:stamp_{rule}"},
        )
        author = Author.objects.create(name=str(rule))
        stamps = {stamp(author=author, title=title).save() for title in "ab"}
        for delete in (author.delete, Author.objects.filter(pk=author.pk).delete):
            with pytest.raises(error) as caught, capture_calls() as calls:
                delete()
            with capture_calls() as calls:
                assert getattr(caught.value, name) == stamps
            assert calls == []
            assert {one.title for one in getattr(caught.value, name)} == {"a", "b"}
            assert caught.value.objects == tuple(sorted(f"call:stamp_{rule}:{one.pk}" for one in stamps))
            copied = pickle.loads(pickle.dumps(caught.value))
            assert (copied.objects, getattr(copied, name)) == (caught.value.objects, set())


@pytest.mark.single_server("gives connect() the client of one server")
async def test_the_objects_that_stand_in_the_way_in_async_code(db: ormis.Database, url: str) -> None:
    """They are of the database where the deletion was refused, and are not loaded unseen."""
    stamp = make("CallStamp", __name__, author=(ForeignKey[Author], ForeignKey()), title=(str, ""))
    other = ormis.connect(url, prefix="calls:")
    try:
        author = await Author.objects.using(other).acreate(name="There")
        await stamp(author=author, title="There").asave(using=other)
        ormis.connect(client=db.client)
        with pytest.raises(ormis.ProtectedError) as caught:
            await author.adelete()
        (one,) = caught.value.protected_objects
        with pytest.raises(ormis.RelationNotLoaded):
            _ = one.title
        await one.arefresh_from_db()
        assert one.title == "There"
    finally:
        await other.aclose()


# Reading again -------------------------------------------------------------------------------------------------------


def test_refreshing_some_fields() -> None:
    """fields=[] asks nothing; names of relations forget their loaded objects, those of foreign keys are read too."""
    author = Author.objects.prefetch_related("books").get(pk=1)
    book = Book.objects.select_related("author", "cover").get(pk=1)
    Book.objects.create(author_id=1, title="New")
    Book.objects.filter(pk=1).update(title="Changed", author_id=2)
    with capture_calls() as calls:
        book.refresh_from_db(fields=[])
        author.refresh_from_db(fields=["books"])
    assert calls == []
    assert [b.title for b in author.books.all()] == ["Changed", "Carrie", "New"][1:]
    with capture_calls() as calls:
        book.refresh_from_db(fields=["author"])
        assert book.author.name == "Bob"
    assert len(calls) == 2
    assert book.title == "Emma"
    Cover.objects.filter(book=1).update(colour="green")
    book.refresh_from_db(fields=["cover"])
    assert book.cover.colour == "green"
    with pytest.raises(FieldError, match="titel"):
        book.refresh_from_db(fields=["titel"])


def test_refreshing_from_a_queryset() -> None:
    """from_queryset says where the object is looked for, and which related objects come along."""
    book = Book.get(1)
    Book.objects.filter(pk=1).update(title="Changed", pages=7)
    with capture_calls() as calls:
        book.refresh_from_db(from_queryset=Book.objects.select_related("author").prefetch_related("tags"))
        assert (book.title, book.author.name, [tag.name for tag in book.tags.all()]) == ("Changed", "Ann", ["classic"])
    assert len(calls) == 2
    Book.objects.filter(pk=1).update(title="Again", pages=8)
    book.refresh_from_db(from_queryset=Book.objects.only("pages"))
    assert (book.title, book.pages) == ("Changed", 8)
    book.refresh_from_db(fields=["title"], from_queryset=Book.objects.filter(pages=8))
    assert book.title == "Again"
    with pytest.raises(Book.DoesNotExist):
        book.refresh_from_db(from_queryset=Book.objects.filter(pages=9))


async def test_refreshing_in_async_code() -> None:
    """The twin takes both."""
    book = await Book.aget(1)
    await Book.objects.filter(pk=1).aupdate(title="Changed")
    with capture_calls() as calls:
        await book.arefresh_from_db(fields=[])
        await book.arefresh_from_db(from_queryset=Book.objects.select_related("author"))
    assert len(calls) == 1
    assert (book.title, book.author.name) == ("Changed", "Ann")


# Querysets -----------------------------------------------------------------------------------------------------------


def test_ordered() -> None:
    """True with order_by() or Meta.ordering, and for none(); order_by() without names takes it away."""
    assert not Book.objects.all().ordered
    assert Book.objects.order_by("title").ordered
    assert not Book.objects.order_by("title").order_by().ordered
    assert Review.objects.all().ordered
    assert not Review.objects.order_by().ordered
    assert Book.objects.none().ordered
    assert not Review.objects.all().union(Review.objects.all()).ordered
    assert Review.objects.all().union(Review.objects.all()).order_by("stars").ordered


def test_update_after_values() -> None:
    """update() writes the objects whatever values() asks for; delete() is refused, as in Django."""
    for rows in (
        Book.objects.values("title"),
        Book.objects.values_list("pages", flat=True),
        Book.objects.values("tags"),
    ):
        assert rows.filter(author=2).update(pages=F("pages") + 1) == 2
        assert rows.filter(author=2).update() == 2
        with pytest.raises(TypeError, match="can't be deleted"):
            rows.delete()
    assert [book.pages for book in Book.objects.filter(author=2)] == [503, 303]
    assert Book.objects.values("title").filter(pk=1).expire(1000) == 1


def test_update_takes_objects_by_the_name_of_the_key() -> None:
    """update(author_id=author) is update(author=author); an object of another model is refused."""
    assert Book.objects.filter(pk=4).update(author_id=Author.get(3)) == 1
    assert Book.get(4).author_id == 3
    assert Book.objects.filter(pk=4).update(author_id=None) == 1
    with pytest.raises(TypeError, match=r"Book\.author takes a Author"):
        Book.objects.update(author_id=Tag.get("new"))
    with pytest.raises(ormis.ForeignKeyViolation, match="not saved yet"):
        Book.objects.update(author_id=Author(name="x"))


def test_a_queryset_of_one_value() -> None:
    """A slice of one stands for its value, or for nothing; any other queryset is refused."""
    assert [b.title for b in Book.objects.filter(author=Author.objects.order_by("-name")[1:2])] == ["Dune", "Ulysses"]
    assert [b.title for b in Book.objects.filter(author_id=Author.objects.filter(name="Ann").values("pk")[:1])] == [
        "Emma",
        "Carrie",
    ]
    assert [b.title for b in Book.objects.filter(pages=Book.objects.values("pages").filter(title="Emma")[:1])] == [
        "Emma",
        "Ulysses",
    ]
    assert Book.objects.exclude(author=Author.objects.filter(name="Ann")[:1]).count() == 3
    assert Book.objects.filter(author=Author.objects.filter(name="Nobody")[:1]).count() == 0
    for wrong in (Author.objects.all(), Author.objects.all()[:2], Author.objects.all()[1:]):
        with pytest.raises(FieldError, match=r"slice the queryset to one value, \[:1\]"):
            Book.objects.filter(author=wrong).count()


@pytest.mark.parametrize("use", [list, lambda q: q.count(), lambda q: q.exists(), lambda q: q.first()])
def test_wrong_values_in_an_empty_query(use: Any) -> None:
    """none() hides no mistake: unknown names and values that do not convert are FieldErrors, and no call is made."""
    with capture_calls() as calls:
        for wrong in ({"pages": object()}, {"pags": 1}, {"author": Tag(name="x")}, {"pages__gt": "many"}):
            with pytest.raises(FieldError):
                use(Book.objects.none().filter(**wrong))
            with pytest.raises(FieldError):
                use(Book.objects.filter(**wrong).none())
        use(Book.objects.none().filter(pages=1))
    assert calls == []


def test_deferring_all_fields_with_conditions_in_python() -> None:
    """Every field may be deferred, whatever the conditions and the order need."""
    every = tuple(Book.model_fields)
    for found in (
        Book.objects.filter(title__iregex="^[ED]"),
        Book.objects.filter(title__icontains="m", pages__gt=0).order_by("pages"),
        Book.objects.filter(pages=F("pages") * 1, title__regex="^E").order_by(F("pages") + 1),
        Book.objects.filter(author__name__iexact="ANN").order_by("-title"),
    ):
        plain = [(book.title, book.pages, book.notes) for book in found]
        assert plain
        for partly in (found.only("pk"), found.defer(*every), found.only(), found.only("pk")[:5]):
            assert [(book.title, book.pages, book.notes) for book in partly] == plain
            assert [(book.title, book.pages, book.notes) for book in partly.iterator(1)] == plain


# Writing -------------------------------------------------------------------------------------------------------------


def test_bulk_arguments_by_position() -> None:
    """The arguments of bulk_create() and bulk_update() may be given by position, in Django's order."""
    with capture_calls() as calls:
        made = Tag.objects.bulk_create([Tag(name=name) for name in "abc"], 2)
    assert len(calls) == 2
    Tag.objects.bulk_create([Tag(name="a"), Tag(name="d")], None, True)
    assert Tag.objects.filter(name__in=[*"abcd"]).count() == 4
    books = [Book.get(1), Book.get(2), Book.get(3)]
    with capture_calls() as calls:
        assert Book.objects.bulk_update(books, ["title"], 2) == 3
    assert len(calls) == 2
    assert [tag.name for tag in made] == [*"abc"]


@pytest.mark.parametrize("size", [None, 1, 2])
def test_an_object_given_twice_is_counted_once(size: int | None) -> None:
    """bulk_update() returns how many objects there were, whatever batches they came in; the last values hold."""
    one, same, other = Book.get(1), Book.get(1), Book.get(2)
    one.title, same.title, other.title = "first", "last", "x"
    assert Book.objects.bulk_update([one, other, same, other], ["title"], batch_size=size) == 2
    assert (Book.get(1).title, Book.get(2).title) == ("last", "x")


@pytest.mark.parametrize(
    "defaults",
    [{"pages": "many"}, {"pags": 1}, {"author": Tag(name="x")}, {"author": Author(name="x")}, {"tags": ["x"]}],
)
def test_defaults_are_converted_only_when_needed(defaults: dict[str, Any]) -> None:
    """get_or_create() looks at defaults where it makes an object, update_or_create() also where it changes one."""
    assert Book.objects.get_or_create(defaults, title="Emma") == (Book.get(1), False)
    with pytest.raises((ValueError, TypeError, ormis.OrmisError)):
        Book.objects.get_or_create(defaults, title="New")
    book, made = Book.objects.update_or_create(defaults, {"pages": 3}, title="New")
    assert (book.pages, made) == (3, True)
    for values in ((defaults,), (defaults, {"pages": 3})):
        with pytest.raises((ValueError, TypeError, ormis.OrmisError)):
            Book.objects.update_or_create(*values, title="Emma")
    assert Book.objects.update_or_create({"pages": 4}, defaults, title="Emma")[0].pages == 4
    assert Book.get(1).pages == 4
    assert Book.objects.count() == 6


def test_fields_have_index_options_still() -> None:
    """A field whose values an index keeps can be deferred and loaded."""
    note = make(
        "CallNote", __name__, text=(str, Field(default="", index="sorted")), rank=(int, Field(default=0, index=True))
    )
    note.objects.create(text="a", rank=2)
    (one,) = note.objects.filter(text__startswith="a", rank__gt=1).defer("text", "rank")
    assert (one.text, one.rank) == ("a", 2)


def test_a_queryset_of_one_value_of_a_normalised_field(db: ormis.Database) -> None:
    """The value of a queryset is taken as it is stored, also by a field whose validators change values."""
    lower = Annotated[str, StringConstraints(to_lower=True)]
    word = make("CallWord", __name__, text=(lower, ""), other=(lower | None, None))
    word.objects.create(text="Ann")
    assert word.objects.filter(text=word.objects.values("text")[:1]).count() == 1
    assert word.objects.filter(text="ANN").count() == 1
