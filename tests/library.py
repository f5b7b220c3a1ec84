"""The models of a library, declared twice: with every kind of index, and with none; and an oracle for queries on them.

The oracle evaluates conditions, orders and values in plain Python over plain rows: a comparison with an absent value is
false, the conditions of one group apply to the same related objects, a negation is evaluated on its own.
"""

import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

import ormis
from ormis import F, Field, ForeignKey, Index, ManyToMany, OneToOne, Q

Row = dict[str, Any]
Path = tuple[str, ...]


def declare(prefix: str, indexed: bool) -> dict[str, Any]:
    """The models of one library, by their short names."""
    sorted_text = "sorted" if indexed else False

    class Author(ormis.Model):
        name: str = Field(default="", index=sorted_text)
        born: int | None = Field(default=None, index=indexed)
        mentor: ForeignKey["Author | None"] = ForeignKey(related_name="pupils")

        class Meta:
            key = f"{prefix}_author"
            indexes = [Index("mentor", "name")] if indexed else []

    class Tag(ormis.Model):
        name: str = Field(default="", index=indexed)

        class Meta:
            key = f"{prefix}_tag"
            ordering = ["-name"]

    class Book(ormis.Model):
        author: ForeignKey[Author | None] = ForeignKey(related_name="books")
        title: str = Field(default="", index=indexed)
        pages: int | None = Field(default=None, index=indexed)
        price: Decimal | None = Field(default=None, index=indexed)
        tags: ManyToMany[Tag] = ManyToMany(related_name="books")

        class Meta:
            key = f"{prefix}_book"
            ordering = ["-pages", "title"]
            indexes = [Index("author", "pages"), Index("title", "price")] if indexed else []

    class Cover(ormis.Model):
        book: OneToOne[Book | None] = OneToOne(related_name="cover")
        colour: str | None = Field(default=None, index=indexed)
        size: int = Field(default=0, index=indexed)

        class Meta:
            key = f"{prefix}_cover"

    class Review(ormis.Model):
        book: ForeignKey[Book | None] = ForeignKey(related_name="reviews")
        stars: int | None = Field(default=None, index=indexed)
        text: str | None = Field(default=None, index=sorted_text)

        class Meta:
            key = f"{prefix}_review"
            ordering = ["book", "-stars"]

    return {"author": Author, "tag": Tag, "book": Book, "cover": Cover, "review": Review}


NUMBERS = st.sampled_from([None, 0, 1, 2, 3, -5, 2**53, 2**53 + 1, 2**70])
WORDS = st.sampled_from(["", "a", "ab", "B", "b", "ß", "SS", "a*", "%b"])
FIELDS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "author": {"name": WORDS, "born": NUMBERS},
    "tag": {"name": WORDS},
    "book": {
        "title": WORDS,
        "pages": NUMBERS,
        "price": st.sampled_from([None, Decimal("1.5"), Decimal("1.500"), Decimal("0.1"), Decimal(9007199254740993)]),
    },
    "cover": {"colour": st.one_of(st.none(), WORDS), "size": st.integers(0, 2)},
    "review": {"stars": NUMBERS, "text": st.one_of(st.none(), WORDS)},
}


@dataclass(frozen=True)
class Relation:
    """target: the model of the related object. column: the field that holds the key, on this model (forward) or on the
    target.
    """

    target: str
    column: str
    forward: bool = False
    many: bool = True


RELATIONS: dict[str, dict[str, Relation]] = {
    "author": {
        "mentor": Relation("author", "mentor_id", True, False),
        "pupils": Relation("author", "mentor_id"),
        "books": Relation("book", "author_id"),
    },
    "tag": {"books": Relation("book", "links")},
    "book": {
        "author": Relation("author", "author_id", True, False),
        "cover": Relation("cover", "book_id", False, False),
        "reviews": Relation("review", "book_id"),
        "tags": Relation("tag", "links", True, True),
    },
    "cover": {"book": Relation("book", "book_id", True, False)},
    "review": {"book": Relation("book", "book_id", True, False)},
}
ORDERINGS: dict[str, list[str]] = {"tag": ["-name"], "book": ["-pages", "title"], "review": ["book", "-stars"]}


@dataclass
class Shelves:
    """All rows, by model and in the order of creation; links are pairs (book, tag)."""

    tables: dict[str, list[Row]]
    links: set[tuple[int, int]]

    def store(self, models: dict[str, Any]) -> None:
        """Stores the rows as objects of these models."""
        for name in FIELDS:
            models[name].objects.bulk_create([models[name](**row) for row in self.tables[name]])
        for book, tag in sorted(self.links):
            models["book"].get(book).tags.add(tag)

    def related(self, model: str, row: Row | None, name: str) -> list[Row]:
        """The related objects of one step, in the order of creation."""
        relation = RELATIONS[model][name]
        rows = self.tables[relation.target]
        if row is None:
            return []
        if relation.column == "links":
            mine, theirs = (0, 1) if relation.forward else (1, 0)
            linked = {pair[theirs] for pair in self.links if pair[mine] == row["id"]}
            return [other for other in rows if other["id"] in linked]
        if relation.forward:
            return [other for other in rows if other["id"] == row[relation.column]]
        return [other for other in rows if other[relation.column] == row["id"]]

    def assignments(self, model: str, row: Row, paths: set[Path]) -> Iterator[dict[Path, Row | None]]:
        """All combinations of one related object, or None if there is none, for each to-many step of these paths."""
        steps = sorted({path[:i] for path in paths for i in range(1, len(path) + 1)}, key=len)

        def choose(chosen: dict[Path, Row | None], rest: list[Path]) -> Iterator[dict[Path, Row | None]]:
            if not rest:
                yield chosen
                return
            path = rest[0]
            start = end_of(model, path[:-1])
            for related in self.related(start, chosen[path[:-1]], path[-1]) or [None]:
                yield from choose(chosen | {path: related}, rest[1:])

        yield from choose({(): row}, steps)


def end_of(model: str, path: Path) -> str:
    """The model at the end of a path."""
    for name in path:
        model = RELATIONS[model][name].target
    return model


# Conditions ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Leaf:
    """A comparison: of the field at the end of a path with a value, or with an expression over other fields."""

    path: Path
    name: str
    lookup: str
    value: Any
    test: Callable[..., bool]
    other: tuple[Path, str] | None = None

    def as_q(self) -> Q:
        """The condition as a user writes it."""
        return Q(("__".join([*self.path, self.name, self.lookup]), self.value))

    def paths(self) -> set[Path]:
        """The paths that it follows."""
        return {self.path} | ({self.other[0]} if self.other else set())

    def holds(self, chosen: dict[Path, Row | None]) -> bool:
        """Whether it is true for these related objects."""
        own = (chosen[self.path] or {}).get(self.name)
        if self.other is None:
            return self.test(own)
        return self.test(own, (chosen[self.other[0]] or {}).get(self.other[1]))


@dataclass(frozen=True)
class Joined:
    """Conditions joined by and, or, xor; or the negation of one."""

    how: str
    parts: tuple["Condition", ...]

    def as_q(self) -> Q:
        """The condition as a user writes it."""
        parts = [part.as_q() for part in self.parts]
        return ~parts[0] if self.how == "not" else _OPERATORS[self.how](*parts)


Condition = Leaf | Joined
_OPERATORS: dict[str, Any] = {"and": operator.and_, "or": operator.or_, "xor": operator.xor}


def holds(shelves: Shelves, model: str, row: Row, condition: Condition) -> bool:
    """Whether a row meets a condition, with any combination of related objects."""

    def group(part: Condition) -> set[Path]:
        if isinstance(part, Leaf):
            return part.paths()
        return {path for p in part.parts for path in group(p)} if part.how in ("and", "or") else set()

    def met(part: Condition, chosen: dict[Path, Row | None]) -> bool:
        if isinstance(part, Leaf):
            return part.holds(chosen)
        if part.how in ("and", "or"):
            answers = (met(p, chosen) for p in part.parts)
            return all(answers) if part.how == "and" else any(answers)
        alone = [holds(shelves, model, row, p) for p in part.parts]
        return not alone[0] if part.how == "not" else alone[0] != alone[1]

    return any(met(condition, chosen) for chosen in shelves.assignments(model, row, group(condition)))


_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "exact": operator.eq,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "contains": operator.contains,
    "startswith": str.startswith,
    "endswith": str.endswith,
    "icontains": lambda own, value: value.casefold() in own.casefold(),
    "iexact": lambda own, value: own.casefold() == value.casefold(),
    "istartswith": lambda own, value: own.casefold().startswith(value.casefold()),
    "regex": lambda own, value: re.search(value, own) is not None,
}


def compares(lookup: str, value: Any) -> Callable[[Any], bool]:
    """The test of a lookup with a value: false for an absent value."""
    if lookup == "isnull":
        return lambda own: (own is None) is value
    if lookup == "in":
        return lambda own: own is not None and own in value
    if lookup == "range":
        return lambda own: own is not None and value[0] <= own <= value[1]
    return lambda own: own is not None and _TESTS[lookup](own, value)


ORDERED = ["exact", "gt", "gte", "lt", "lte"]
TEXT = ["contains", "startswith", "endswith", "icontains", "iexact", "istartswith", "regex"]


def is_text(name: str) -> bool:
    """Whether a field is a text."""
    return name in ("name", "title", "colour", "text")


@st.composite
def paths(draw: st.DrawFn, model: str, longest: int = 3, to_one: bool = False) -> Path:
    """A path along relations."""
    path: Path = ()
    for _ in range(draw(st.integers(0, longest))):
        steps = [name for name, relation in RELATIONS[end_of(model, path)].items() if not (to_one and relation.many)]
        if not steps:
            break
        path = (*path, draw(st.sampled_from(steps)))
    return path


@st.composite
def leaves(draw: st.DrawFn, model: str) -> Leaf:
    """A comparison with a value or, in some examples, with another field."""
    path = draw(paths(model))
    at = end_of(model, path)
    name = draw(st.sampled_from(list(FIELDS[at])))
    if draw(st.integers(0, 4)) == 0:
        return draw(compared_with_fields(model, path, name))
    known = st.sampled_from(["isnull", "in", "range", *ORDERED, *(TEXT if is_text(name) else [])])
    lookup, values = draw(known), FIELDS[at][name].filter(lambda value: value is not None)
    value: Any = {
        "isnull": st.booleans(),
        "in": st.lists(FIELDS[at][name], max_size=3),
        "range": st.tuples(values, values),
    }.get(lookup, values)
    value = draw(value)
    return Leaf(path, name, lookup, value, compares(lookup, value))


@st.composite
def compared_with_fields(draw: st.DrawFn, model: str, path: Path, name: str) -> Leaf:
    """A comparison with a field, or an expression of it, of the same object or of an object that it refers to."""
    near = tuple(path[: max((i for i in range(1, len(path) + 1) if _many(model, path[:i])), default=0)])
    way = (*near, *draw(paths(end_of(model, near), 2, to_one=True)))
    text = is_text(name)
    names = [n for n in FIELDS[end_of(model, way)] if is_text(n) == text and n != "price"]
    if not names or name == "price":
        return draw(leaves(model))
    other, lookup = draw(st.sampled_from(names)), draw(st.sampled_from(ORDERED))
    more = None if text else draw(st.sampled_from([None, 1, -1]))
    said = F("__".join([*way, other]))

    def test(own: Any, value: Any) -> bool:
        return own is not None and value is not None and _TESTS[lookup](own, value + more if more else value)

    return Leaf(path, name, lookup, said if more is None else said + more, test, (way, other))


def _many(model: str, path: Path) -> bool:
    return RELATIONS[end_of(model, path[:-1])][path[-1]].many


def conditions(model: str, most: int = 5) -> st.SearchStrategy[Condition]:
    """Comparisons joined by `& | ^ ~`, without double negation."""

    def joined(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
        pair = st.tuples(inner, inner)
        return st.one_of(
            st.builds(Joined, st.sampled_from(["and", "or", "and", "or", "xor"]), pair),
            inner.map(lambda one: one if isinstance(one, Joined) and one.how == "not" else Joined("not", (one,))),
        )

    return st.recursive(leaves(model), joined, max_leaves=most)


# Order and values ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Term:
    """One term of an order: as a user writes it, and the sort keys of the rows: path, name, descending, nulls first,
    addend.
    """

    said: Any
    keys: tuple[tuple[Path, str, bool, bool, int], ...]


@st.composite
def terms(draw: st.DrawFn, model: str) -> Term:
    """A field, also of a related object, a relation, or an expression."""
    path, down = draw(paths(model, 2, to_one=True)), draw(st.booleans())
    at = end_of(model, path)
    name = draw(st.sampled_from(list(FIELDS[at])))
    sign, said = "-" if down else "", "__".join([*path, name])
    kind = draw(st.sampled_from(["name", "name", "relation", "F", "computed"]))
    if kind == "relation" and path:
        return Term(sign + "__".join(path), _own_order(model, path, down))
    if kind == "F":
        first = draw(st.booleans())
        nulls = {"nulls_first": True} if first else {"nulls_last": True}
        return Term((F(said).desc if down else F(said).asc)(**nulls), ((path, name, down, first, 0),))
    if kind == "computed" and not is_text(name) and name != "price":
        computed = F(said) + 1
        return Term(computed.desc() if down else computed, ((path, name, down, not down, 1),))
    return Term(sign + said, ((path, name, down, not down, 0),))


def _own_order(model: str, path: Path, down: bool) -> tuple[Any, ...]:
    """The sort keys of the default order of the model at the end of a path."""
    target = end_of(model, path)
    keys: list[Any] = []
    for said in ORDERINGS.get(target, ["id"]):
        descending, name = said.startswith("-"), said.removeprefix("-")
        if name in RELATIONS[target]:
            inner = _own_order(model, (*path, name), False)
            keys += [(*key[:2], not key[2], not key[3], key[4]) for key in inner] if descending else inner
        else:
            keys.append((path, name, descending, not descending, 0))
    return tuple((*key[:2], not key[2], not key[3], key[4]) for key in keys) if down else tuple(keys)


def in_order(shelves: Shelves, model: str, rows: Sequence[Row], order: Sequence[Term]) -> list[Row]:
    """The sorted rows; the sort is stable."""
    result = list(rows)
    for path, name, descending, nulls_first, more in reversed([key for term in order for key in term.keys]):

        def value(row: Row, path: Path = path, name: str = name, more: int = more) -> Any:
            (chosen,) = shelves.assignments(model, row, {path})
            own = (chosen[path] or {}).get(name)
            return own + more if more and own is not None else own

        absent = [row for row in result if value(row) is None]
        present = [row for row in result if value(row) is not None]
        present.sort(key=value, reverse=descending)
        result = absent + present if nulls_first else present + absent
    return result


def default_order(model: str) -> list[Term]:
    """The order of a model without order_by()."""
    return [Term(None, _own_order(model, (), False))] if model in ORDERINGS else []


def value_rows(shelves: Shelves, model: str, row: Row, names: Sequence[tuple[Path, str]]) -> list[tuple[Any, ...]]:
    """The rows of values() for one object: one for each combination of related objects."""
    every = shelves.assignments(model, row, {path for path, _ in names})
    return [tuple((chosen[path] or {}).get(name) for path, name in names) for chosen in every]


# Rows ----------------------------------------------------------------------------------------------------------------


@st.composite
def shelves(draw: st.DrawFn, most: int = 8) -> Shelves:
    """Some rows of every model."""
    sizes = {name: draw(st.integers(0, most)) for name in FIELDS}
    keys = {name: st.one_of(st.none(), st.integers(1, size)) if size else st.none() for name, size in sizes.items()}
    tables = {name: draw(_rows(FIELDS[name], size)) for name, size in sizes.items()}
    for name, column, target in [
        ("author", "mentor_id", "author"),
        ("book", "author_id", "author"),
        ("cover", "book_id", "book"),
        ("review", "book_id", "book"),
    ]:
        taken: set[int] = set()
        for at, row in enumerate(tables[name], 1):
            key = draw(keys[target])
            if (name == "cover" and key in taken) or (name == target and key is not None and key >= at):
                key = None
            taken |= {key} - {None}
            row[column] = key
    pairs = st.tuples(st.integers(1, max(1, sizes["book"])), st.integers(1, max(1, sizes["tag"])))
    some = draw(st.sets(pairs, max_size=2 * most)) if sizes["book"] and sizes["tag"] else set[tuple[int, int]]()
    return Shelves(tables, some)


def _rows(fields: dict[str, st.SearchStrategy[Any]], size: int) -> st.SearchStrategy[list[Row]]:
    rows = st.lists(st.fixed_dictionaries(fields), min_size=size, max_size=size)
    return rows.map(lambda found: [{"id": at, **row} for at, row in enumerate(found, 1)])
