"""The models that both sides declare, as data."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Column:
    """A field. kind: text, int, float, decimal, bool, date, datetime, time or timedelta."""

    kind: str
    null: bool = False
    unique: bool = False
    primary_key: bool = False


@dataclass(frozen=True)
class ToOne:
    """A foreign key, or a one-to-one relation if it is unique. related: the name of the other side."""

    target: str
    related: str
    on_delete: str
    null: bool = False
    unique: bool = False


@dataclass(frozen=True)
class ToMany:
    """A many-to-many relation."""

    target: str
    related: str
    through: str | None = None
    symmetrical: bool = False


@dataclass(frozen=True)
class Spec:
    """A model."""

    columns: dict[str, Column]
    to_one: dict[str, ToOne] = field(default_factory=dict)
    to_many: dict[str, ToMany] = field(default_factory=dict)
    ordering: tuple[str, ...] = ()
    together: tuple[str, ...] = ()

    @property
    def pk(self) -> str:
        """The name of its primary key."""
        return next((name for name, column in self.columns.items() if column.primary_key), "id")


@dataclass(frozen=True)
class Step:
    """One step along a relation. many: it leads to several objects."""

    target: str
    many: bool


MODELS: dict[str, Spec] = {
    "Person": Spec(
        {
            "name": Column("text"),
            "nick": Column("text", null=True),
            "born": Column("date", null=True),
            "joined": Column("datetime"),
            "score": Column("int", null=True),
            "rank": Column("int"),
            "height": Column("float", null=True),
            "active": Column("bool"),
            "vip": Column("bool", null=True),
        },
        {"mentor": ToOne("Person", "pupils", "SET_NULL", null=True)},
        {"friends": ToMany("Person", "friends", symmetrical=True), "idols": ToMany("Person", "fans")},
    ),
    "Publisher": Spec({"name": Column("text", unique=True), "city": Column("text", null=True)}, ordering=("name",)),
    "Tag": Spec(
        {"label": Column("text"), "weight": Column("int")},
        {"parent": ToOne("Tag", "parts", "CASCADE", null=True)},
        ordering=("-label",),
    ),
    "Book": Spec(
        {
            "title": Column("text"),
            "isbn": Column("text", null=True, unique=True),
            "price": Column("decimal", null=True),
            "pages": Column("int"),
            "released": Column("date", null=True),
            "sold": Column("datetime", null=True),
        },
        {
            "author": ToOne("Person", "books", "CASCADE"),
            "editor": ToOne("Person", "edited", "SET_NULL", null=True),
            "publisher": ToOne("Publisher", "books", "PROTECT", null=True),
        },
        {
            "tags": ToMany("Tag", "books"),
            "readers": ToMany("Person", "borrowed", through="Loan"),
        },
        ordering=("-pages", "title"),
    ),
    "Cover": Spec(
        {"colour": Column("text", null=True), "size": Column("int")},
        {"book": ToOne("Book", "cover", "CASCADE", unique=True)},
    ),
    "Badge": Spec(
        {"code": Column("text", primary_key=True), "level": Column("int", null=True)},
        {"owner": ToOne("Person", "badge", "SET_NULL", null=True, unique=True)},
    ),
    "Award": Spec(
        {"year": Column("int")},
        {"badge": ToOne("Badge", "awards", "RESTRICT", null=True), "book": ToOne("Book", "awards", "CASCADE")},
        ordering=("badge", "-year"),
    ),
    "Loan": Spec(
        {"term": Column("timedelta", null=True), "since": Column("date", null=True)},
        {"book": ToOne("Book", "loans", "CASCADE"), "person": ToOne("Person", "loans", "CASCADE")},
    ),
    "Review": Spec(
        {"stars": Column("int", null=True), "text": Column("text", null=True), "at": Column("time", null=True)},
        {"book": ToOne("Book", "reviews", "CASCADE"), "reviewer": ToOne("Person", "reviews", "CASCADE", null=True)},
        ordering=("book", "-stars"),
        together=("book", "reviewer"),
    ),
}


def _steps(model: str) -> dict[str, Step]:
    found: dict[str, Step] = {}
    for name, spec in MODELS.items():
        for own, relation in spec.to_one.items():
            if name == model:
                found[own] = Step(relation.target, False)
            if relation.target == model:
                found[relation.related] = Step(name, not relation.unique)
        for own, relation in spec.to_many.items():
            if relation.target == model:
                found[relation.related] = Step(name, True)
            if name == model:
                found[own] = Step(relation.target, True)
    return found


STEPS: dict[str, dict[str, Step]] = {model: _steps(model) for model in MODELS}


def end_of(model: str, path: tuple[str, ...]) -> str:
    """The model at the end of a path of relations."""
    for name in path:
        model = STEPS[model][name].target
    return model


def leads_to_many(model: str, path: tuple[str, ...]) -> bool:
    """Whether a step of the path leads to several objects."""
    return any(STEPS[end_of(model, path[:at])][name].many for at, name in enumerate(path))


def relations_of(model: str, names: str) -> tuple[str, ...]:
    """The leading parts of a name of a query that are relations."""
    path: tuple[str, ...] = ()
    for name in names.split("__"):
        if name not in STEPS[model]:
            break
        path, model = (*path, name), STEPS[model][name].target
    return path
