"""Random states of models, for the laws of migrations."""

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from ormis.migrations.state import (
    ConstraintState,
    FieldState,
    IndexState,
    LinkState,
    ModelState,
    ProjectState,
    RelationState,
)

KEYS = ("question", "choice", "voter", "shop:item")
NAMES = ("text", "votes", "published", "address", "score", "kind")
TYPES: dict[str, Any] = {
    "str": st.text(max_size=5),
    "int": st.integers(),
    "float": st.floats(allow_nan=False, allow_infinity=False).filter(lambda one: one != 0),
    "bool": st.booleans(),
    "bytes": st.binary(max_size=5),
    "Decimal": st.sampled_from(["1.50", "0"]),
    "datetime": st.just("2024-01-01T00:00:00.000000Z"),
    "list[str]": st.none(),
    "polls.models.Colour": st.sampled_from(["red", "it's"]),
    "Literal['a', 'b']": st.just("a"),
}
KINDS = {"polls.models.Colour": "text", "Literal['a', 'b']": "text"}


@st.composite
def fields(draw: st.DrawFn, name: str, kinds: tuple[str, ...]) -> FieldState:
    """A field that is no primary key."""
    kind = draw(st.sampled_from([*TYPES]))
    null = draw(st.booleans())
    default = None if null else draw(st.none() | TYPES[kind])
    some = draw(st.lists(st.sampled_from(kinds), unique=True, max_size=2)) if kinds else []
    return FieldState(
        name, f"{kind} | None" if null else kind, default, null, KINDS.get(kind, ""), kinds=tuple(sorted(some))
    )


def _subset(items: Any, most: int = 3) -> Any:
    return st.lists(st.sampled_from(items), unique=True, max_size=most) if items else st.just([])


@st.composite
def models(draw: st.DrawFn, key: str) -> ModelState:
    """A model without relations."""
    kinds = draw(st.sampled_from([(), (key, "admin"), (key, "guest", "admin")]))
    named = [draw(fields(name, kinds)) for name in draw(_subset(NAMES, len(NAMES)))]
    keys = [draw(st.permutations([one.name for one in named]))[:2] for _ in range(3)] if named else []
    parts = {"address__city": ("address", "text", ("key", "city"))} if any(f.name == "address" for f in named) else {}
    indexes = [IndexState(tuple(one), draw(st.sampled_from(["sorted", "equal"]))) for one in keys[:2]]
    indexes += [IndexState(("address__city",), "text", parts=parts)] if parts and draw(st.booleans()) else []
    constraints = [ConstraintState(tuple(one)) for one in keys[2:]]
    own = [one for one in named if one.default is not None]
    defaults = {"admin": {own[0].name: None}} if own and kinds and draw(st.booleans()) else {}
    return ModelState(
        key,
        draw(st.sampled_from([key.title(), "Other"])),
        (FieldState("id", "int", primary_key=True), *named),
        tuple({one.identity: one for one in indexes}.values()),
        tuple(constraints),
        automatic=draw(st.booleans()),
        expires=draw(st.booleans()),
        kinds=kinds,
        kind_defaults=defaults,
    )


@st.composite
def states(draw: st.DrawFn) -> ProjectState:
    """Models with relations between them."""
    found = [draw(models(key)) for key in draw(_subset(KEYS, len(KEYS)))]
    keys = [one.key for one in found]
    for at, model in enumerate(found):
        columns = draw(_subset([f.name for f in model.fields[1:]], 2))
        relations: list[RelationState] = []
        for name, column in zip(draw(st.permutations(["owner", "parent"])), columns, strict=False):
            target = draw(st.sampled_from(found))
            to_field = draw(st.sampled_from(["", *(f.name for f in target.fields[1:])]))
            rule = draw(st.sampled_from(["cascade", "protect", "set_null", "set_value"]))
            relations.append(RelationState(name, column, target.key, rule, draw(st.none() | st.just("1")), to_field))
        links = [LinkState(name, draw(st.sampled_from(keys)), f"of_{name}") for name in draw(_subset(["tags", "fans"]))]
        found[at] = replace(model, relations=tuple(relations), links=tuple(links))
    return ProjectState({one.key: one for one in found})
