"""Relations: what the sides are called, one-to-one, self references, managers of the objects that refer to one."""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import redis

import ormis
from model_factory import make
from ormis import CASCADE, SET_NULL, Field, ForeignKey, ManyToMany, ModelError, OneToOne, Related
from ormis.operations.writing import foreign_keys
from servers import Server


class Author(ormis.Model):
    name: str = ""
    books: Related["Book"] = Related()

    class Meta:
        key = "rel_author"


class BookManager(ormis.Manager["Book"]):
    def long(self) -> "ormis.QuerySet[Book]":
        return self.filter(pages__gte=100)


class Book(ormis.Model):
    author: ForeignKey[Author | None] = ForeignKey(on_delete=SET_NULL, related_name="books")
    editor: ForeignKey[Author | None] = ForeignKey(related_name="edited", related_query_name="edited_book")
    title: str = ""
    pages: int = Field(default=0, index=True)
    objects = BookManager()

    class Meta:
        key = "rel_book"
        ordering = ["title"]


class Chapter(ormis.Model):
    book: ForeignKey[Book] = ForeignKey(on_delete=CASCADE)
    title: str = ""

    class Meta:
        key = "rel_chapter"


class Cover(ormis.Model):
    book: OneToOne[Book] = OneToOne(on_delete=CASCADE)
    color: str = "red"

    class Meta:
        key = "rel_cover"


# Names ---------------------------------------------------------------------------------------------------------------


def test_names_of_the_other_side(db: ormis.Database) -> None:
    """related_query_name is for queries, related_name for both; without one it is `chapter_set`, in queries `chapter`;
    for a one-to-one relation `cover` is both.
    """
    author = Author(name="Ann").save()
    book = Book(author=author, editor=author, title="One").save()
    Chapter(book=book).save()
    Cover(book=book).save()
    assert [list(m.all()) for m in (author.books, author.edited)] == [[book], [book]]
    assert Author.objects.filter(books__title="One", edited_book__title="One").count() == 1
    assert (book.chapter_set.count(), book.cover.color) == (1, "red")
    assert Book.objects.filter(chapter__title="", cover__color="red").get() == book
    for name in ("edited__title", "chapter_set__title"):
        with pytest.raises(ormis.FieldError, match="no field or relation"):
            Author.objects.filter(**{name: ""}).count()


def test_no_name_on_the_other_side(db: ormis.Database) -> None:
    """A related_name that ends with + gives the other side neither an attribute nor a name in queries."""
    secret = make(
        "Secret",
        __name__,
        author=(ForeignKey[Author], ForeignKey(related_name="+", on_delete=CASCADE)),
        tags=(ManyToMany[Author], ManyToMany(related_name="secret+")),
    )
    assert not [name for name in vars(Author) if "secret" in name]
    ann = Author().save()
    one = secret(author=ann).save()
    one.tags.add(ann)
    assert (one.tags.get(), secret.objects.get(tags=ann)) == (ann, one)
    with pytest.raises(ormis.FieldError, match=r"there are id, name, [a-z_, ]*pk$"):
        Author.objects.filter(secret=1).count()
    assert ann.delete() == (2, {"Author": 1, "Secret": 1})


def test_words_in_the_names_of_abstract_bases(db: ormis.Database) -> None:
    """`%(class)s` and `%(app_label)s` stand for the class and the package of each model made from an abstract base."""
    base = make(
        "Owned",
        __name__,
        meta={"abstract": True, "default_related_name": None},
        owner=(
            ForeignKey[Author],
            ForeignKey(related_name="%(app_label)s_%(class)s_all", related_query_name="%(class)s_q"),
        ),
        fans=(ManyToMany[Author], ManyToMany(related_name="%(class)s_fans")),
    )
    car, boat = make("Car", "garage.models", base), make("Boat", "harbour", base)
    ann = Author().save()
    car(owner=ann).save().fans.add(ann)
    assert (ann.garage_car_all.count(), ann.harbour_boat_all.count(), ann.car_fans.count()) == (1, 0, 1)
    assert Author.objects.filter(car_q__id=1).count() == 1
    assert {"boat_fans", "harbour_boat_all"} <= set(vars(Author))
    assert boat.__schema__.links[0].back_name == "boat_fans"


def test_default_related_name(db: ormis.Database) -> None:
    """Meta.default_related_name takes the place of the default, words included, and is the name in queries too."""
    make("Letter", __name__, meta={"default_related_name": "%(class)ss"}, author=(ForeignKey[Author], ForeignKey()))
    assert "letters" in vars(Author)
    assert Author.objects.filter(letters__isnull=True).count() == 0


@pytest.mark.parametrize(
    ("match", "relation"),
    [
        ("Author has 'books' already", ForeignKey(related_name="books")),
        ("Author has 'name' already", ForeignKey(related_name="name")),
        ("Author has 'save' already", ForeignKey(related_name="save")),
        ("Author has 'name' already", ForeignKey(related_name="x", related_query_name="name")),
        (r"only %\(class\)s and %\(app_label\)s", ForeignKey(related_name="%(model)s")),
        ("can't be the name of an attribute", ForeignKey(related_name="two words")),
        ("can't be the name of an attribute", ForeignKey(related_name="a__b")),
    ],
)
def test_clashes(match: str, relation: Any) -> None:
    """A name that the other side has already, or that is none, is refused when the class is made, and nothing stays."""
    before = set(vars(Author))
    with pytest.raises(ModelError, match=match):
        make("Clashing", __name__, author=(ForeignKey[Author], relation))
    assert set(vars(Author)) == before


def test_two_relations_with_one_name_clash() -> None:
    """Two relations to one model need names, one of them a related_name; a name of the class's own relations, too."""
    with pytest.raises(ModelError, match="related_name="):
        make("Twice", __name__, a=(ForeignKey[Author], ForeignKey()), b=(ForeignKey[Author], ForeignKey()))
    with pytest.raises(ModelError, match="Tree has 'parent' already"):
        make("Tree", __name__, parent=(ForeignKey["Tree | None"], ForeignKey(related_name="parent")))
    assert "twice_set" not in vars(Author)


def test_a_clash_with_a_class_that_comes_later() -> None:
    """The class that completes a relation is refused where it has the name; the relation can still be completed."""
    early = make("Early", __name__, late=(ForeignKey["Late | None"], ForeignKey(related_name="code")))
    with pytest.raises(ModelError, match=r"Early\.late: Late has 'code' already"):
        make("Late", __name__, code=(str, ""))
    with pytest.raises(ModelError, match="late -> Late"):
        early.objects.count()
    late = make("Late", __name__, other=(str, ""))
    assert "code" in vars(late)
    assert early().late_id is None


# References ----------------------------------------------------------------------------------------------------------


def test_self_references(db: ormis.Database) -> None:
    """A model may refer to itself, by its name or as "self"; a required reference needs a first object that refers to
    itself.
    """
    node = make("Node", __name__, parent=(ForeignKey["self"], ForeignKey(on_delete=CASCADE, related_name="children")))
    with pytest.raises(ormis.ForeignKeyViolation, match=r"Node\.parent_id='2' points at made_node:2"):
        node(parent=2).save()
    root = node(id=1, parent=1).save()
    child = root.children.create()
    assert (child.parent, root.parent, root.children.count()) == (root, root, 2)
    assert root.delete() == (2, {"Node": 2})


def test_a_loop_of_required_foreign_keys(db: ormis.Database) -> None:
    """Two models may require each other. Their objects are stored together, in any order, with keys given by hand."""
    hen = make("Hen", __name__, egg=(ForeignKey["Egg"], ForeignKey(on_delete=CASCADE)))
    egg = make("Egg", __name__, hen=(ForeignKey["Hen"], ForeignKey(on_delete=CASCADE)))
    with pytest.raises(ormis.ForeignKeyViolation, match=r"Hen\.egg_id='1' points at made_egg:1"):
        hen(id=1, egg=1).save()
    with pytest.raises(ormis.ForeignKeyViolation, match=r"Hen\.egg_id='2' points at made_egg:2"), ormis.atomic():
        hen(id=1, egg=2).save()
        egg(id=1, hen=1).save()
    assert (hen.objects.count(), egg.objects.count()) == (0, 0)
    with ormis.atomic():
        hen(id=1, egg=1).save()
        egg(id=1, hen=1).save()
    assert (hen.get(1).egg.hen, egg.get(1).hen.egg) == (hen.get(1), egg.get(1))
    assert hen.get(1).delete() == (2, {"Egg": 1, "Hen": 1})


def test_objects_of_one_call_refer_to_each_other(db: ormis.Database) -> None:
    """bulk_create() takes objects that refer to later ones of the same call, and refuses references to nothing."""
    node = make("Chain", __name__, next=(ForeignKey["self"], ForeignKey()))
    node.objects.bulk_create([node(id=1, next=2), node(id=2, next=3), node(id=3, next=1)])
    assert [one.next_id for one in node.objects.all()] == [2, 3, 1]
    with pytest.raises(ormis.ForeignKeyViolation, match=r"Chain\.next_id='9' points at made_chain:9"):
        node.objects.bulk_create([node(id=4, next=5), node(id=5, next=9)])
    assert node.objects.count() == 3


def test_classes_of_other_modules(db: ormis.Database) -> None:
    """A name is looked for in the same module first, then elsewhere; the module before it says which."""
    make("Place", "near.models", meta={"key": "near_place"})
    make("Place", "far.models", meta={"key": "far_place"})
    here = make("Here", "near.models", place=(ForeignKey["Place"], ForeignKey()))
    there = make("There", "other", place=(ForeignKey["far.models.Place"], ForeignKey()))
    assert here.__schema__.references[0].target == "near_place"
    assert there.__schema__.references[0].target == "far_place"
    with pytest.raises(ModelError, match="there are several"):
        make("Nowhere", "other", place=(ForeignKey["Place"], ForeignKey()))


# One to one ----------------------------------------------------------------------------------------------------------


def test_one_to_one(db: ormis.Database) -> None:
    """One object at most refers to another; the other side is that object, loaded once, and may be assigned."""
    book, other = Book(title="a").save(), Book(title="b").save()
    cover = Cover(book=book).save()
    with pytest.raises(ormis.UniqueViolation, match="book_id"):
        Cover(book=book).save()
    fresh = Book.get(1)
    with ormis.capture_calls() as calls:
        assert (fresh.cover, fresh.cover.book) == (cover, book)
    assert len(calls) == 1
    with pytest.raises(Cover.DoesNotExist, match=r"Book\.cover: no Cover refers to Book\(id=2"):
        _ = other.cover
    other.cover = cover
    cover.save()
    assert (Cover.get(1).book_id, Book.get(2).cover) == (2, cover)
    with pytest.raises(TypeError, match=r"Book\.cover takes a Cover"):
        other.cover = book
    with pytest.raises(ormis.ForeignKeyViolation, match="not saved yet"):
        Book().cover = cover
    assert [b.cover for b in Book.objects.filter(cover__color="red").select_related("cover")] == [cover]
    assert other.delete() == (2, {"Book": 1, "Cover": 1})


def test_one_to_one_as_primary_key(db: ormis.Database) -> None:
    """A one-to-one relation may be the primary key, also of a model that others refer to."""
    profile = make(
        "Profile", __name__, book=(OneToOne[Book], OneToOne(primary_key=True, on_delete=CASCADE)), text=(str, "")
    )
    note = make("Note", __name__, profile=(ForeignKey[profile], ForeignKey(on_delete=CASCADE)))
    book = Book(title="a").save()
    own = profile(book=book, text="x").save(force_insert=True)
    note(profile=own).save()
    assert (own.pk, own.key, book.profile.text, profile.get(1).book) == (1, "made_profile:1", "x", book)
    assert note.objects.get(profile__book__title="a").profile == own
    assert book.delete() == (3, {"Book": 1, "Profile": 1, "Note": 1})


# Managers of what refers to an object --------------------------------------------------------------------------------


def test_managers_have_the_methods_of_the_models_own(db: ormis.Database) -> None:
    """A manager of related objects begins with the model's own manager, its methods included."""
    author = Author().save()
    author.books.create(title="b", pages=200)
    author.books.create(title="a", pages=20)
    Book(pages=300).save()
    assert [b.title for b in author.books.long()] == ["b"]
    assert [b.title for b in author.books.all()] == ["a", "b"]
    assert repr(author.books).startswith("<ReverseManager of Book")


def test_set_and_clear(db: ormis.Database) -> None:
    """set() points what is missing here and releases the rest; clear() releases all; what is required is only added."""
    ann, bob = Author(name="Ann").save(), Author(name="Bob").save()
    one, two, three = (Book(title=str(i)).save() for i in range(3))
    ann.books.set([one, two])
    bob.books.set([two, three])
    assert (list(ann.books.all()), list(bob.books.all()), two.author) == ([one], [two, three], bob)
    with ormis.capture_calls() as calls:
        bob.books.set([two, three])
    assert len(calls) == 2
    bob.books.clear()
    assert Book.objects.filter(author=None).count() == 2
    chapters = [Chapter(book=one).save(), Chapter(book=one).save()]
    two.chapter_set.set(chapters[:1])
    assert (one.chapter_set.count(), two.chapter_set.count()) == (1, 1)
    for work in (lambda: one.chapter_set.clear(), lambda: one.chapter_set.remove(chapters[1])):
        with pytest.raises(ormis.IntegrityError, match=r"Chapter\.book is required"):
            work()
    with pytest.raises(TypeError, match="through_defaults is for many-to-many"):
        one.chapter_set.add(chapters[0], through_defaults={})


class Shelf(ormis.Model):
    class Meta:
        key = "rel_shelf"


class Slot(ormis.Model):
    place: int = 0
    shelf: ForeignKey[Shelf | None] = ForeignKey(related_name="slots")

    class Meta:
        key = "rel_slot"
        constraints = [ormis.UniqueConstraint("shelf", "place")]


@pytest.mark.parametrize("bulk", [True, False])
@pytest.mark.parametrize("in_block", [False, True])
def test_set_is_all_or_nothing(db: ormis.Database, bulk: bool, in_block: bool) -> None:
    """set() that is refused for one of the objects releases none of the others; a place that is left is free."""
    shelf = Shelf().save()
    one, two = Slot(place=1, shelf=shelf).save(), Slot(place=2, shelf=shelf).save()
    same, other = Slot(place=2).save(), Slot(place=2).save()

    def set_slots(*slots: Slot, clear: bool = False) -> None:
        with ormis.atomic() if in_block else nullcontext():
            shelf.slots.set(slots, bulk=bulk, clear=clear)

    for clear in (False, True):
        with pytest.raises(ormis.UniqueViolation):
            set_slots(Slot.get(same.pk), Slot.get(other.pk), clear=clear)
        assert [*shelf.slots.all()] == [one, two]
    set_slots(Slot.get(one.pk), Slot.get(same.pk))
    assert ([*shelf.slots.all()], Slot.get(two.pk).shelf_id) == ([one, same], None)
    set_slots(Slot.get(two.pk), clear=True)
    assert [*shelf.slots.all()] == [two]
    set_slots()
    assert Slot.objects.filter(shelf=None).count() == 4


def test_set_passes_over_what_others_have_moved(
    db: ormis.Database, raw: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An object that another client has given to another one between the reading and the writing stays there."""
    ann, bob = Author().save(), Author().save()
    one, two = Book(title="1", author=ann).save(), Book(title="2", author=ann).save()
    evaluate = foreign_keys.evaluate

    def evaluated(*arguments: Any) -> Any:
        found = yield from evaluate(*arguments)
        monkeypatch.undo()
        Book.objects.filter(pk=one.pk).update(author=bob)
        return found

    monkeypatch.setattr(foreign_keys, "evaluate", evaluated)
    ann.books.set([Book(title="3").save()])
    assert [book.title for book in ann.books.all()] == ["3"]
    assert (Book.get(one.pk).author_id, Book.get(two.pk).author_id) == (bob.pk, None)


def test_many_related_objects_go_in_steps(db: ormis.Database) -> None:
    """Long lists take a call for every thousand objects, and none for none."""
    ann = Author().save()
    books = Book.objects.bulk_create([Book() for _ in range(1500)])
    with ormis.capture_calls() as calls:
        ann.books.add(*books)
        ann.books.add()
    assert (len(calls), ann.books.count()) == (2, 1500)
    ann.books.set(books[:10])
    assert (ann.books.count(), Book.objects.filter(author=None).count()) == (10, 1490)


def test_prefetched_lists_are_forgotten_when_they_change(db: ormis.Database) -> None:
    """all(), count() and iterating use what was prefetched; filter() asks; a change through the manager drops it."""
    ann = Author().save()
    book = ann.books.create(title="a")
    (loaded,) = Author.objects.prefetch_related("books")
    with ormis.capture_calls() as calls:
        assert (list(loaded.books.all()), loaded.books.count(), loaded.books.exists()) == ([book], 1, True)
        assert loaded.books.all()[0].author is loaded
    assert calls == []
    assert loaded.books.filter(title="b").count() == 0
    loaded.books.create(title="b")
    assert loaded.books.count() == 2
    (loaded,) = Author.objects.prefetch_related("books")
    loaded.books.remove(loaded.books.get(title="b"))
    assert loaded.books.count() == 1


async def test_async_twins(db: ormis.Database) -> None:
    """The twins do the same; what is not loaded is named with what to write, and managers need no loading."""
    ann = await Author(name="Ann").asave()
    book = await ann.books.acreate(title="a")
    await ann.books.aset([book, await Book(title="b").asave()])
    assert [b.title async for b in ann.books.all()] == ["a", "b"]
    await ann.books.aremove(book)
    await ann.books.aadd(book)
    await ann.books.aclear()
    assert await ann.books.acount() == 0
    loaded = await Book.objects.aget(title="a")
    with pytest.raises(ormis.RelationNotLoaded, match=r"await Cover\.objects\.aget\(book=book\)"):
        _ = loaded.cover
    await Chapter.objects.acreate(book=loaded)
    with pytest.raises(ormis.RelationNotLoaded, match=r"await Book\.aget\(chapter\.book_id\)"):
        _ = (await Chapter.objects.afirst()).book


def test_removing_what_is_not_there(db: ormis.Database) -> None:
    """An object that refers to another, or to nothing, is named, whether it was loaded so or changed meanwhile."""
    ann, bob = Author(name="Ann").save(), Author(name="Bob").save()
    mine, his = Book(author=ann, title="mine").save(), Book(author=bob, title="his").save()
    with pytest.raises(Book.DoesNotExist, match=r"refer to rel_author:1: Book\(id=2.*\) does not$"):
        ann.books.remove(mine, his)
    Book.objects.filter(pk=mine.pk).update(author=bob)
    with pytest.raises(Book.DoesNotExist, match=r"author_id of rel_book:1 .* is '2' now"):
        ann.books.remove(mine)
    assert bob.books.count() == 2


# Objects of other models ---------------------------------------------------------------------------------------------


def test_objects_of_another_model_are_refused_in_queries(db: ormis.Database) -> None:
    """An object, and a queryset of objects, stands for its key where its own model is asked for, and nowhere else."""
    author = Author(name="Ann").save()
    book = Book(author=author, title="a").save()
    cover, chapter = Cover(book=book).save(), Chapter(book=book).save()
    assert book.pk == author.pk == cover.pk == chapter.pk
    for wrong in (
        {"author": book},
        {"author__in": [author, book]},
        {"author__in": (item for item in [book])},
        {"author__in": Book.objects.all()},
        {"author_id": cover},
        {"pk": author},
        {"chapter": cover},
        {"chapter__in": Cover.objects.all()},
        {"author__edited_book": author},
        {"pages": book},
        {"author__in": author},
    ):
        with pytest.raises(ormis.FieldError, match=next(iter(wrong))):
            Book.objects.filter(**wrong).count()
    for right in (
        {"author": author},
        {"author__in": [author, 7, None]},
        {"author__in": Author.objects.all()},
        {"author__in": Book.objects.values("author")},
        {"author__gte": author},
        {"chapter__range": [chapter, chapter]},
        {"pk": book},
        {"chapter": chapter},
        {"cover__in": Cover.objects.all()},
    ):
        assert Book.objects.get(**right) == book
    with pytest.raises(ormis.FieldError, match="not saved yet"):
        Book.objects.filter(author__in=[Author()]).count()


# Other databases -----------------------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(server: Server, db: ormis.Database) -> Iterator[ormis.Database]:
    """Another database of the same server; `db` stays the default one."""
    client = server.client(db=1)
    client.flushdb()
    other = ormis.connect(client=client)
    ormis.connect(server.url)
    yield other
    client.flushdb()


def test_two_temporary_databases_are_two(db: ormis.Database, server: Server) -> None:
    """They have one URL, embedded://, and are not the same: their objects can't refer to each other."""
    with ormis.connect("embedded://") as one, ormis.connect("embedded://") as two:
        author, book = Author().save(using=one), Book().save(using=two)
        for work in (lambda: setattr(book, "author", author), lambda: author.books.add(book)):
            with pytest.raises(ormis.ForeignKeyViolation, match="another database"):
                work()
        assert one.same_as(one)
    ormis.connect(server.url)


def test_objects_of_another_database_are_refused(db: ormis.Database, elsewhere: ormis.Database) -> None:
    """Assigning, saving, creating and adding an object of another database is refused, whatever has its key here."""
    far = Author(name="far").save(using=elsewhere)
    near, book = Author(name="near").save(), Book(title="a").save()
    for work in (
        lambda: setattr(book, "author", far),
        lambda: Book(author=far).save(using=db),
        lambda: Book.objects.create(author=far),
        lambda: Book.objects.bulk_create([Book(author=far)]),
        lambda: Book.objects.using(db).update(author=far),
        lambda: far.books.add(book),
        lambda: near.books.add(Book().save(using=elsewhere)),
    ):
        with pytest.raises(ormis.ForeignKeyViolation, match="another database"):
            work()
    assert Book(author=far).save(using=elsewhere).author == far
    assert far.books.count() == 1
    assert near.books.count() == 0


def test_a_missing_one_to_one_is_no_attribute(db: ormis.Database) -> None:
    """hasattr() and getattr() with a default know it, of a saved object and of an unsaved one, whose error is a
    ForeignKeyViolation as well; with to_field also of one that has no value to be referred to by.
    """
    place = make("Place", __name__, code=(int | None, Field(default=None, unique=True)))
    house = make("House", __name__, place=(OneToOne[place], OneToOne(related_name="house")))
    by_code = make(
        "ByCode", __name__, place=(OneToOne[place | None], OneToOne(related_name="by_code", to_field="code"))
    )
    by_code().save()
    unsaved, saved = place(code=1), place().save()
    for one in (unsaved, saved):
        for name, model in (("house", house), ("by_code", by_code)):
            assert not hasattr(one, name)
            assert getattr(one, name, None) is None
            with pytest.raises(model.DoesNotExist) as caught:
                getattr(one, name)
            assert isinstance(caught.value, AttributeError | model.RelatedObjectDoesNotExist)
            assert isinstance(caught.value, ormis.ForeignKeyViolation) == (one is unsaved)
    with pytest.raises(
        ormis.ForeignKeyViolation, match=r"Place\.house: .* is not saved yet, so nothing can refer to it"
    ):
        unsaved.house  # noqa: B018
    with pytest.raises(ormis.ForeignKeyViolation, match="not saved yet"):
        unsaved.house = house(place=saved)
    assert [getattr(p, "by_code", None) for p in place.objects.prefetch_related("by_code")] == [None]
    assert [getattr(p, "by_code", None) for p in place.objects.select_related("by_code")] == [None]
