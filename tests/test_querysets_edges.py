"""The corners of querysets: combinations, conditions by the thousand, pickles, messages, subqueries."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import ormis
from ormis import Field, FieldError, ForeignKey, Prefetch, Q
from prefixed import with_option


class Page(ormis.Model):
    """A model with a sorted index, a field that repeats, and a relation to itself."""

    number: int = Field(default=0, index=True)
    name: str = ""
    parent: ForeignKey["Page | None"] = ForeignKey(related_name="children")

    class Meta:
        key = "edges_page"


class Note(ormis.Model):
    """A model with a relation."""

    page: ForeignKey["Page | None"] = ForeignKey(related_name="notes")
    stars: int = 0

    class Meta:
        key = "edges_note"


@pytest.fixture
def pages(db: ormis.Database) -> list[Page]:
    """Six pages, numbered from 0, whose names repeat after three; each has two notes."""
    made = Page.objects.bulk_create([Page(number=i, name=str(i % 3)) for i in range(6)])
    Note.objects.bulk_create([Note(page=page, stars=page.number * 10 + j) for page in made for j in range(2)])
    return made


def numbers(queryset: Any) -> list[int]:
    """The numbers of the pages that it finds."""
    return [page.number for page in queryset]


def union() -> Any:
    """The union of page 1 and page 4."""
    return Page.objects.filter(number=1).union(Page.objects.filter(number=4))


# Combinations --------------------------------------------------------------------------------------------------------


def test_none_of_a_combination_is_nothing(pages: list[Page]) -> None:
    """`none()` holds for a union as for all else, and asks nobody."""
    with ormis.capture_calls() as calls:
        nothing = union().none()
        assert [*nothing] == []
        assert nothing.count() == 0
        assert not nothing.exists()
    assert len(calls) == 0


@pytest.mark.parametrize(
    "narrow",
    [
        lambda u: u.get(pk=5),
        lambda u: u.filter(pk=5),
        lambda u: u.exclude(pk=5),
        lambda u: u.in_bulk([1]),
        lambda u: u.only("name"),
        lambda u: u.defer("name"),
        lambda u: u.distinct(),
        lambda u: u.select_related("parent"),
        lambda u: u.update(name="x"),
        lambda u: u.delete(),
        lambda u: u.get_or_create(name="x"),
        lambda u: u | Page.objects.filter(number=2),
        lambda u: Page.objects.filter(number=2) & u,
        lambda u: Prefetch("children", queryset=u),
    ],
)
def test_what_a_combination_cannot_do_is_refused(pages: list[Page], narrow: Callable[[Any], Any]) -> None:
    """What would have to reach into the parts is a TypeError that says so, and sends nothing."""
    with ormis.capture_calls() as calls, pytest.raises(TypeError, match=r"union can't be .*"):
        narrow(union())
    assert len(calls) == 0


def test_what_a_combination_can_do(pages: list[Page]) -> None:
    """Order, slices, whole dictionaries, membership, prefetching and another database work on a union."""
    assert numbers(union().order_by("-number")) == [4, 1]
    assert numbers(union().order_by("-number")[:1]) == [4]
    assert numbers(union().in_bulk().values()) == [1, 4]
    assert union().contains(pages[1])
    assert not union().contains(pages[2])
    assert (union().first(), union().last()) == (pages[1], pages[4])
    with ormis.capture_calls() as calls:
        found = [*union().prefetch_related("notes")]
        assert [[note.stars for note in page.notes.all()] for page in found] == [[10, 11], [40, 41]]
    assert len(calls) == 3


def test_the_parts_keep_their_orders_and_slices(pages: list[Page]) -> None:
    """A part that is a slice in an order of its own gives what it gives alone."""
    last, first = Page.objects.order_by("-number")[:2], Page.objects.order_by("number")[:2]
    assert numbers(last.union(first)) == [5, 4, 0, 1]
    assert numbers(Page.objects.difference(last, first)) == [2, 3]
    assert numbers(Page.objects.all()[1:4].intersection(Page.objects.all()[2:6])) == [2, 3]


def test_the_shape_of_a_combination_reaches_its_parts(pages: list[Page]) -> None:
    """values() after union() is as values() of each part before it; equal rows come once."""
    assert [*union().values("number").order_by("-number")] == [{"number": 4}, {"number": 1}]
    assert [*union().values_list("number", flat=True)] == [1, 4]
    assert [*union().values_list("name", flat=True)] == ["1"]
    assert [row.number for row in union().values_list("number", "name", named=True)] == [1, 4]
    nested = union().union(Page.objects.filter(number=5))
    assert [*nested.values_list("number", "name").order_by("name", "-number")] == [(4, "1"), (1, "1"), (5, "2")]


def test_values_are_named_by_the_first_part(pages: list[Page]) -> None:
    """Values of two models stand in one union under the names of the first, if they are as many."""
    number, stars = Page.objects.filter(number=1).values("number"), Note.objects.filter(stars=0).values("stars")
    assert [*number.union(stars)] == [{"number": 1}, {"number": 0}]
    with pytest.raises(TypeError, match="as many values"):
        number.union(Note.objects.values("pk", "stars"))
    with pytest.raises(TypeError, match=r"must have values\(\), or none"):
        number.union(Page.objects.all())


@pytest.mark.single_server("databases of a cluster have no number")
def test_all_of_a_combination_is_read_from_its_database(pages: list[Page], url: str) -> None:
    """using() of a union is heeded by its parts, whatever theirs was, and what they find belongs there."""
    parts = union()
    with ormis.connect(with_option(url, "db=1")) as other:
        Page(number=4, name="there").save(using=other)
        (found,) = parts.using(other)
        assert found.name == "there"
        found.name = "changed there"
        found.save()
        assert Page.objects.using(other).get(number=4).name == "changed there"


# Conditions by the thousand ------------------------------------------------------------------------------------------


def test_thousands_of_querysets_are_joined(pages: list[Page]) -> None:
    """`|` and `&` of thousands of querysets are one flat condition."""
    either = Page.objects.filter(number=0)
    both = Page.objects.filter(number__lt=3)
    for i in range(5000):
        either |= Page.objects.filter(number=i)
        both &= Page.objects.filter(number__gt=-i)
    assert numbers(either) == [0, 1, 2, 3, 4, 5]
    assert numbers(both) == [1, 2]


def test_thousands_of_conditions_in_one_call(pages: list[Page]) -> None:
    """Conditions may be wrapped thousands of times as long as they are joined alike."""
    nested = Q(number=3)
    for _ in range(5000):
        nested = Q(nested, number__gte=0)
    assert numbers(Page.objects.filter(nested)) == [3]
    assert Page.objects.filter(*(Q(notes__stars__gte=-i) for i in range(5000))).count() == 6


def alternating(levels: int, leaf: Q) -> Q:
    """A condition that holds where the leaf does, `&` within `|` within `&`."""
    for i in range(levels):
        leaf = leaf | Q(number=1000 + i) if i % 2 else leaf & Q(number__lt=1000)
    return leaf


LEAVES = [Q(number=3), Q(name__regex="0") & Q(number__gt=0), Q(notes__stars=30), ~Q(~Q(number=3))]


@pytest.mark.parametrize("leaf", LEAVES, ids=str)
def test_a_deep_condition_is_right(pages: list[Page], leaf: Q) -> None:
    """Scores of levels of alternating & and | are answered, on the server, in Python and across relations."""
    deep = alternating(90, leaf)
    assert numbers(Page.objects.filter(deep)) == [3]
    assert Page.objects.exclude(deep).count() == 5
    assert numbers(Page.objects.filter(parent__isnull=True, pk__in=Page.objects.filter(deep))) == [3]
    assert "Page: 6 objects" in Page.objects.filter(deep).explain()


@pytest.mark.parametrize("levels", [200, 2500])
@pytest.mark.parametrize("leaf", LEAVES, ids=str)
def test_a_deeper_condition_is_refused(pages: list[Page], leaf: Q, levels: int) -> None:
    """More levels are a FieldError, whatever they are made of."""
    with pytest.raises(FieldError, match="Page: a condition is nested more than"):
        Page.objects.filter(alternating(levels, leaf)).count()
    negated = leaf
    for _ in range(levels):
        negated = Q(~negated, number__gte=0)
    with pytest.raises(FieldError, match="nested more than"):
        Page.objects.filter(negated).count()


def test_a_long_name_is_right_or_refused(pages: list[Page]) -> None:
    """A name may lead along scores of relations; one of thousands is a FieldError."""
    assert Page.objects.filter(**{"parent__" * 90 + "number": 1}).count() == 0
    assert Page.objects.filter(**{"children__" * 90 + "number": 1}).count() == 0
    assert Page.objects.order_by("parent__" * 90 + "number").count() == 6
    with pytest.raises(FieldError, match="too long"):
        Page.objects.filter(**{"children__" * 3000 + "number": 1}).count()


def test_alternatives_across_a_relation_do_not_explode(pages: list[Page]) -> None:
    """Where all alternatives would have to be tried about each related object, too many of them are refused."""
    either = [Q(notes__stars__gte=i) | Q(name=str(i)) for i in range(30)]
    assert numbers(Page.objects.filter(*either[:8])) == [1, 2, 3, 4, 5]
    with pytest.raises(FieldError, match="too many combinations"):
        Page.objects.filter(*either).count()


# Pickles, names, indexes ---------------------------------------------------------------------------------------------


def test_named_rows_are_pickled(pages: list[Page]) -> None:
    """Rows of values_list(named=True) come back from a pickle as what they were, alone and in an evaluated queryset."""
    rows = Page.objects.values_list("number", "name", named=True)
    first = rows[0]
    again = pickle.loads(pickle.dumps(first))
    assert again == first
    assert (again.number, again.name, again._fields) == (0, "0", ("number", "name"))
    assert type(again) is type(first)
    evaluated = [*rows]
    with ormis.capture_calls() as calls:
        assert [*pickle.loads(pickle.dumps(rows))] == evaluated
    assert len(calls) == 0


@pytest.mark.parametrize("names", [("name", "name"), ("pk", "id")])
def test_a_named_row_has_each_name_once(pages: list[Page], names: tuple[str, ...]) -> None:
    """A name that stands twice is refused with the model and the name."""
    with pytest.raises(FieldError, match=rf"Page: .*{names[-1]!r} twice"):
        Page.objects.values_list(*names, named=True)


def test_none_takes_deferral_back(pages: list[Page]) -> None:
    """After defer(None) everything is loaded at once again."""
    for queryset in (Page.objects.defer("name"), Page.objects.only("number")):
        with ormis.capture_calls() as calls:
            assert queryset.defer(None)[0].name == "0"
        assert len(calls) == 1


@pytest.mark.parametrize("at", ["x", 1.5, None, (1,)])
def test_a_queryset_is_indexed_by_numbers(pages: list[Page], at: Any) -> None:
    """Anything else between the brackets is a TypeError that says what may stand there."""
    with pytest.raises(TypeError, match="whole numbers and slices"):
        Page.objects.all()[at]


def test_an_index_beyond_everything_is_an_index_error(pages: list[Page]) -> None:
    """However large it is."""
    with pytest.raises(IndexError):
        Page.objects.all()[2**70]


# Messages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mistake",
    [
        lambda q: q | 3,
        lambda q: q & Note.objects.all(),
        lambda q: q.union(3),
        lambda q: q.union(Note.objects.all()),
        lambda q: q.contains(q),
        lambda q: Page.objects.filter(q),
        lambda q: Page.objects.filter(number=q).count(),
        lambda q: Page.objects.filter(Q() | q),
        lambda q: Page.objects.order_by(q),
        lambda q: q.values(q),
        lambda q: Page.objects.filter(number__range=q).count(),
        lambda q: Page.objects.filter(name__contains=q).count(),
        lambda q: Page.objects.bulk_create([q]),
    ],
)
def test_messages_ask_the_server_nothing(pages: list[Page], mistake: Callable[[Any], Any]) -> None:
    """An error about a queryset names it without evaluating it."""
    with ormis.capture_calls() as calls, pytest.raises((TypeError, FieldError)) as failure:
        mistake(Page.objects.filter(number=1))
    assert len(calls) == 0
    assert "Page(" not in str(failure.value)


def test_a_condition_with_a_queryset_is_shown_without_it(pages: list[Page]) -> None:
    """DoesNotExist shows the condition; a queryset in it is not evaluated once more for that."""
    inner = Page.objects.filter(number=1)
    with ormis.capture_calls() as calls, pytest.raises(Page.DoesNotExist, match="<QuerySet of Page>"):
        Page.objects.get(pk__in=inner, name="none")
    assert len(calls) == 2


# Subqueries ----------------------------------------------------------------------------------------------------------


def test_a_slice_in_an_order_as_a_subquery(pages: list[Page]) -> None:
    """The notes of the last pages."""
    last = Page.objects.order_by("-number")[:2]
    assert [note.stars for note in Note.objects.filter(page__in=last)] == [40, 41, 50, 51]
    assert [note.stars for note in Note.objects.filter(page__in=last[1:])] == [40, 41]
    assert Note.objects.exclude(page__in=last).count() == 8


def test_a_combination_as_a_subquery(pages: list[Page]) -> None:
    """Unions stand for their keys or their values, also ordered and cut."""
    assert numbers(Page.objects.filter(pk__in=union())) == [1, 4]
    assert numbers(Page.objects.filter(pk__in=union().order_by("-number")[:1])) == [4]
    assert numbers(Page.objects.filter(number__in=union().values("number"))) == [1, 4]
    assert numbers(Page.objects.filter(pk__in=union().none())) == []
    assert numbers(Page.objects.exclude(pk__in=union().none())) == [0, 1, 2, 3, 4, 5]


def test_values_as_a_subquery(pages: list[Page]) -> None:
    """Values across relations, to one and to many, each once and cut, and those of a model with deferred fields."""
    notes = Page.objects.filter(number__lt=2).values("notes__id")
    assert [note.stars for note in Note.objects.filter(id__in=notes)] == [0, 1, 10, 11]
    names = Page.objects.order_by("-number").values("name").distinct()
    assert numbers(Page.objects.filter(name__in=names[:2])) == [1, 2, 4, 5]
    assert numbers(Page.objects.filter(pk__in=Note.objects.filter(stars__gte=40).values("page"))) == [4, 5]
    assert numbers(Page.objects.filter(number__in=Note.objects.values_list("page__number", flat=True)[:3])) == [0, 1]
    assert numbers(Page.objects.filter(pk__in=Page.objects.only("name").filter(number=2))) == [2]
    assert numbers(Page.objects.filter(pk__in=Page.objects.defer("name").order_by("?"))) == [0, 1, 2, 3, 4, 5]
    assert numbers(Page.objects.filter(notes__in=Note.objects.filter(stars=31))) == [3]


def test_a_subquery_is_of_one_value_that_fits(pages: list[Page]) -> None:
    """Two fields, and values that do not convert, are FieldErrors that name the field."""
    with pytest.raises(FieldError, match=r"Note\.page__in: .* one field, not of 2"):
        Note.objects.filter(page__in=Page.objects.values("id", "name")).count()
    page = pages[0]
    page.name = "no number"
    page.save()
    with pytest.raises(FieldError, match="number__in='no number' does not convert"):
        Page.objects.filter(number__in=Page.objects.values("name")).count()


# Rank ----------------------------------------------------------------------------------------------------------------

ORDERS = [(), ("-number",), ("number",), ("name",), ("-name", "number"), ("parent", "-name"), ("?",)]


@pytest.mark.parametrize("order", ORDERS[:-1], ids=str)
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("budget", [1500, 2])
def test_rank_is_the_place_in_the_order(
    pages: list[Page], order: tuple[str, ...], backwards: bool, budget: int, db: ormis.Database
) -> None:
    """Of every object, in every order with its ties, narrowed or not, in one call or step by step."""
    db.limits = replace(db.limits, objects=budget)
    pages[3].parent = pages[1]
    pages[3].save()
    Page.objects.bulk_create([Page(number=i % 2, name="0") for i in range(6)])
    for queryset in (Page.objects.all(), Page.objects.filter(name="0"), Page.objects.filter(name__regex="0|1")):
        ordered = queryset.order_by(*order)
        if backwards:
            ordered = ordered.reverse()
        found = [*ordered]
        assert [ordered.all().rank(page) for page in found] == [*range(len(found))]


def test_a_rank_among_thousands_of_ties_is_one_call(pages: list[Page]) -> None:
    """On a leaderboard with an index the ties are counted where they are; so is the order of creation."""
    Page.objects.bulk_create([Page(number=7) for _ in range(3000)])
    last = Page.objects.latest("id")
    for queryset, place in (
        (Page.objects.all(), 3005),
        (Page.objects.order_by("-number"), 2999),
        (Page.objects.order_by("number"), 3005),
        (Page.objects.all().reverse(), 0),
    ):
        with ormis.capture_calls() as calls:
            assert queryset.rank(last) == place
        assert len(calls) == 1


def test_a_rank_is_of_what_is_stored(pages: list[Page]) -> None:
    """Values that the object has in memory alone, or that another client has changed, do not count."""
    known = Page.get(pages[2].pk)
    known.number = 99
    assert Page.objects.order_by("number").rank(known) == 2
    Page.objects.filter(pk=known.pk).update(number=50)
    assert Page.objects.order_by("number").rank(pages[2]) == 5
    partly = Page.objects.only("name").get(number=50)
    assert Page.objects.order_by("number").rank(partly) == 5


def test_what_is_gone_has_no_rank(pages: list[Page]) -> None:
    """An object that was deleted, or that the filter leaves out, is DoesNotExist in every order."""
    gone = pages[2]
    Note.objects.all().delete()
    Page.objects.filter(pk=gone.pk).delete()
    for order in ORDERS:
        with pytest.raises(Page.DoesNotExist, match="no rank"):
            Page.objects.order_by(*order).rank(gone)
        with pytest.raises(Page.DoesNotExist, match="no rank"):
            Page.objects.filter(number__gt=3).order_by(*order).rank(pages[1])
