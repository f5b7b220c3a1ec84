"""Plans as data, made without a server: what is asked of it, what is left to do here."""

from typing import Any

import pytest

from bookshop import Author, Book, Review
from ormis import F, FieldError, Q, QuerySet
from ormis.planning import explain
from ormis.planning.names import steps
from ormis.planning.plan import Plan, plan
from ormis.planning.predicates import BoolOp, Compare, Constant, ForwardMatch, InSubquery, Not, PythonTest, ReverseMatch


def plan_of(queryset: QuerySet[Any]) -> Plan:
    """The plan of a queryset, whose query needs no other before."""
    return plan(queryset.query)


def said(queryset: QuerySet[Any]) -> tuple[str, str | None]:
    """The server's part of the condition and the one that is left, in words."""
    found = plan_of(queryset)
    return explain.shown(found.where), None if found.client_where is None else explain.shown(found.client_where)


def column(name: str) -> Any:
    return Book.__schema__.column(name)


def step(name: str) -> Any:
    return steps(Book.__schema__, name)[0]


def test_an_empty_query_asks_for_everything() -> None:
    """No condition, no order, every column, no slice."""
    found = plan_of(Book.objects.all())
    assert (found.where, found.client_where, found.order, found.offset, found.limit) == (
        Constant(True),
        None,
        (),
        0,
        None,
    )
    assert [cell.name for cell in found.columns] == ["id", "author_id", "title", "pages", "published", "notes"]
    assert (found.related, found.backwards, found.enough, found.client_sort) == ((), False, None, False)


@pytest.mark.parametrize(
    ("condition", "node"),
    [
        (Q(pages=3), Compare(column("pages"), "eq", (3,))),
        (Q(pages="3"), Compare(column("pages"), "eq", (3,))),
        (Q(pages=None), Compare(column("pages"), "null")),
        (Q(pages__isnull=False), Not(Compare(column("pages"), "null"))),
        (Q(pages__in=[3, None, 3, "4"]), Compare(column("pages"), "in", (3, 4))),
        (Q(pages__in=[None]), Constant(False)),
        (~Q(pages__in=[]), Not(Constant(False))),
        (Q(author=2), Compare(column("author_id"), "eq", (2,))),
        (Q(author__pk=2), Compare(column("author_id"), "eq", (2,))),
        (Q(author__isnull=True), Compare(column("author_id"), "null")),
        (
            Q(pages__range=(1, 2)),
            BoolOp("and", (Compare(column("pages"), "gte", (1,)), Compare(column("pages"), "lte", (2,)))),
        ),
        (
            Q(pages=1) & (Q(pages=2) & Q(title="a")),
            BoolOp(
                "and",
                (
                    Compare(column("pages"), "eq", (1,)),
                    Compare(column("pages"), "eq", (2,)),
                    Compare(column("title"), "eq", ("a",)),
                ),
            ),
        ),
        (
            Q(author__born=3),
            ForwardMatch(step("author"), Compare(Author.__schema__.column("born"), "eq", (3,))),
        ),
        (
            Q(reviews__stars=3),
            ReverseMatch(step("reviews"), Compare(Review.__schema__.column("stars"), "eq", (3,))),
        ),
        (Book.pages == 3, Compare(column("pages"), "eq", (3,))),
    ],
)
def test_conditions_for_the_server(condition: Any, node: Any) -> None:
    """Comparisons of stored fields, joined and across relations: all of it is the server's."""
    found = plan_of(Book.objects.filter(condition))
    assert found.where == node
    assert found.client_where is None


@pytest.mark.parametrize(
    ("queryset", "expected"),
    [
        (Book.objects.filter(pages=3, title__regex="^a"), ("pages = 3", "title regex '^a'")),
        (Book.objects.filter(published__year=2026), ("always", "published year exact 2026")),
        (Book.objects.filter(title__icontains="a", pages__gt=1), ("pages > 1", "title icontains 'a'")),
        (
            Book.objects.filter(Q(pages=3) | Q(title__iexact="a")),
            ("always", "pages = 3 or title iexact 'a'"),
        ),
        (Book.objects.filter(pages__gt=F("author_id")), ("pages > author_id", None)),
        (Book.objects.filter(pages__gt=F("author__born")), ("pages > author__born", None)),
        (Book.objects.exclude(title__regex="a").filter(pages=1), ("pages = 1", "not (title regex 'a')")),
        (
            Book.objects.filter(reviews__stars=3, reviews__text="a"),
            ("some Review by book_id (stars = 3 and text = 'a')", None),
        ),
        (
            Book.objects.filter(reviews__stars=3).filter(reviews__text="a"),
            ("some Review by book_id (stars = 3) and some Review by book_id (text = 'a')", None),
        ),
        (
            Book.objects.filter(~Q(reviews__stars=3), reviews__text="a"),
            ("not (some Review by book_id (stars = 3)) and some Review by book_id (text = 'a')", None),
        ),
        (Book.objects.filter(Q(pages=1) ^ Q(pages=2)), ("pages = 1 xor pages = 2", None)),
        (Book.objects.none(), ("never", None)),
        (Book.objects.filter(pages__in=[]), ("never", None)),
    ],
)
def test_what_the_server_can_not_say_is_left_for_here(queryset: Any, expected: Any) -> None:
    """Regular expressions, case folding, parts of times and what is joined with them narrow the rows that come back."""
    there, here = said(queryset)
    assert (set(there.split(" and ")), here) == (set(expected[0].split(" and ")), expected[1])


def test_arithmetic_is_done_here() -> None:
    """A comparison with a computed value reads its columns."""
    found = plan_of(Book.objects.filter(pages__gt=F("author__born") + 1).values("title"))
    assert isinstance(found.client_where, PythonTest)
    assert {cell.name for cell in found.reads} == {"title", "pages", "author__born", "id"}
    assert found.enough is None


def test_a_subquery_is_a_question_of_its_own() -> None:
    """A queryset in `in` is not for one call: it is looked up before."""
    found = plan_of(Book.objects.filter(author__in=Author.objects.filter(born=3)))
    assert isinstance(found.client_where, InSubquery)
    assert found.client_where.column is column("author_id")


@pytest.mark.parametrize(
    ("order", "terms"),
    [
        (["title"], [("title", False, True)]),
        (["-title", "pages"], [("title", True, False), ("pages", False, True)]),
        ([F("pages").desc(nulls_first=True)], [("pages", True, True)]),
        ([F("pages").asc(nulls_last=True)], [("pages", False, False)]),
        (["author"], [("author__name", False, True)]),
        (["-author"], [("author__name", True, False)]),
        (["author_id"], [("author_id", False, True)]),
        (["author__mentor"], [("author__mentor__name", False, True)]),
        (["cover__colour"], [("cover__colour", False, True)]),
    ],
)
def test_orders(order: list[Any], terms: list[Any]) -> None:
    """Each term is a cell, its direction and the place of nulls; reverse() turns all of them round."""
    found = plan_of(Book.objects.order_by(*order))
    assert [(term.cell.name, term.descending, term.nulls_first) for term in found.order] == terms
    back = plan_of(Book.objects.order_by(*order).reverse())
    assert [(t.cell.name, t.descending, t.nulls_first) for t in back.order] == [(n, not d, not f) for n, d, f in terms]
    assert (found.backwards, back.backwards, found.client_sort) == (False, True, False)


def test_what_is_computed_is_sorted_here() -> None:
    """An expression or "?" in the order: all rows must come, none are left out by the server."""
    for order in ([F("pages") + 1], ["?"], ["title", F("pages") * 2]):
        found = plan_of(Book.objects.order_by(*order)[:5])
        assert (found.client_sort, found.enough, found.limit) == (True, None, 5)
        request, _ = found.asked("rows")
        assert request["order"] == []
        assert "limit" not in request


def test_slices_and_what_portions_need() -> None:
    """The slice goes to the server; of each portion of a longer reading, offset + limit rows are enough."""
    found = plan_of(Book.objects.order_by("title")[20:30])
    assert (found.offset, found.limit, found.enough) == (20, 10, 30)
    request, _ = found.asked("rows")
    assert (request["offset"], request["limit"]) == (20, 10)
    step, _ = found.asked("rows", step=True)
    assert "limit" not in step
    left = plan_of(Book.objects.filter(title__regex="a")[:10])
    assert left.enough is None
    assert "limit" not in left.asked("rows")[0]
    assert plan_of(Book.objects.all()[5:5]).finds_nothing


def test_only_what_is_needed_is_read() -> None:
    """The columns asked for, those of the residual and the order, and the primary key, each once."""

    def reading(queryset: QuerySet[Any]) -> list[str]:
        return [cell.name for cell in plan_of(queryset).reads]

    assert reading(Book.objects.values("title")) == ["title", "id"]
    assert reading(Book.objects.only("title")) == ["id", "title"]
    assert reading(Book.objects.values("pages").order_by("-title", "pages")) == ["pages", "title", "id"]
    assert reading(Book.objects.values("pages").filter(title__regex="a")) == ["pages", "title", "id"]
    assert reading(Book.objects.values("author__name", "author__mentor__name")) == [
        "author__name",
        "author__mentor__name",
        "id",
    ]
    assert reading(Book.objects.only("title").select_related("author")) == ["id", "title", "author_id"]


def test_related_objects_to_come_along() -> None:
    """select_related() names each step once, with the one that it starts from."""
    found = plan_of(Review.objects.select_related("book__author__mentor", "book__cover"))
    assert [(related.path, related.parent) for related in found.related] == [
        ("book", 0),
        ("book__author", 1),
        ("book__author__mentor", 2),
        ("book__cover", 1),
    ]


def test_conditions_side_by_side_stay_side_by_side() -> None:
    """Hundreds of filter() calls are one list of conditions, not a tree."""
    queryset = Book.objects.all()
    for n in range(300):
        queryset = queryset.exclude(pages=n)
    where = plan_of(queryset).where
    assert isinstance(where, BoolOp)
    assert len(where.parts) == 300


@pytest.mark.parametrize(
    "queryset",
    [
        Book.objects.filter(pages="x"),
        Book.objects.order_by("reviews__stars"),
    ],
)
def test_mistakes_are_found_without_a_server(queryset: Any) -> None:
    """Values, and what depends on the shape of the rows, are checked when the plan is made."""
    with pytest.raises(FieldError):
        plan_of(queryset)
