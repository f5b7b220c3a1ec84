"""The models in ormis, and programs on them."""

import operator
import random
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import ormis
from ormis.schema import registry

from .schema import MODELS, Column
from .terms import Arithmetic, Call, Chain, Combined, Condition, Field, Lookup, Ordered, Stored

TYPES: dict[str, Any] = {
    "text": str,
    "int": int,
    "float": float,
    "decimal": Decimal,
    "bool": bool,
    "date": date,
    "datetime": datetime,
    "time": time,
    "timedelta": timedelta,
}
OPERATORS: dict[str, Any] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
}


def declare(dice: random.Random | None) -> dict[str, Any]:
    """Declares the models anew, with indexes at random, or none without `dice`."""
    for model in registry.models():
        if model.__module__ == __name__:
            registry.forget(model)
    return {name: _declared(name, dice) for name in MODELS}


def _declared(name: str, dice: random.Random | None) -> Any:
    spec = MODELS[name]
    body: dict[str, Any] = {"__module__": __name__, "__qualname__": name, "__annotations__": {}}
    types = body["__annotations__"]
    for field, column in spec.columns.items():
        types[field] = TYPES[column.kind] | None if column.null else TYPES[column.kind]
        body[field] = _field(column, dice)
    for field, relation in spec.to_one.items():
        kind = ormis.OneToOne if relation.unique else ormis.ForeignKey
        types[field] = kind[f"{relation.target} | None" if relation.null else relation.target]
        body[field] = kind(on_delete=getattr(ormis, relation.on_delete), related_name=relation.related)
    for field, relation in spec.to_many.items():
        types[field] = ormis.ManyToMany[relation.target]
        options: dict[str, Any] = {"related_name": relation.related, "symmetrical": relation.symmetrical}
        if relation.through:
            options = {"related_name": relation.related, "through": relation.through}
        if relation.symmetrical:
            options = {"symmetrical": True}
        body[field] = ormis.ManyToMany(**options)
    body["Meta"] = _meta(name, dice)
    return type(ormis.Model)(name, (ormis.Model,), body)


def _field(column: Column, dice: random.Random | None) -> Any:
    options: dict[str, Any] = {"default": None} if column.null else {}
    if column.unique:
        options["unique"] = True
    if column.primary_key:
        options["primary_key"] = True
    kinds = [False, True, "sorted"] if column.kind == "text" else [False, True]
    index = dice.choice(kinds) if dice and not column.primary_key else False
    return ormis.Field(**options, **({"index": index} if index else {}))


def _meta(name: str, dice: random.Random | None) -> type:
    spec = MODELS[name]
    meta: dict[str, Any] = {"key": f"beside_{name.lower()}", "ordering": [*spec.ordering]}
    if spec.together:
        meta["constraints"] = [ormis.UniqueConstraint(*spec.together)]
    if dice and dice.random() < 0.6:
        names = [*spec.columns, *spec.to_one]
        last = [n for n, c in spec.columns.items() if c.kind not in ("bool", "time")]
        meta["indexes"] = []
        for _ in range(dice.randint(1, 2)):
            end = dice.choice(last)
            first = dice.choice([n for n in names if n != end] or names)
            if first != end and (first, end) not in [i.fields for i in meta["indexes"]]:
                meta["indexes"].append(ormis.Index(first, end))
    return type("Meta", (), meta)


class OrmisSide:
    """Runs programs in ormis."""

    def __init__(self, models: dict[str, Any]) -> None:
        self.models = models

    def value(self, value: Any) -> Any:
        """A value of a program as ormis takes it."""
        if isinstance(value, Stored):
            return self.models[value.model].objects.get(pk=value.pk)
        if isinstance(value, Field | Arithmetic):
            return self.expression(value)
        if isinstance(value, Chain):
            return self.chain(value)
        if isinstance(value, Lookup) or (hasattr(value, "how") and not isinstance(value, Combined)):
            return self.condition(value)
        if isinstance(value, Ordered):
            nulls = {None: {}, True: {"nulls_first": True}, False: {"nulls_last": True}}[value.nulls_first]
            expression = self.expression(value.expression)
            return expression.desc(**nulls) if value.descending else expression.asc(**nulls)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, dict):
            return {name: self.value(item) for name, item in value.items()}
        return value

    def expression(self, value: Any) -> Any:
        """An expression."""
        if isinstance(value, Field):
            return ormis.F(value.name)
        if isinstance(value, Arithmetic):
            return OPERATORS[value.operator](self.expression(value.left), self.expression(value.right))
        return value

    def condition(self, condition: Condition) -> Any:
        """A condition."""
        if isinstance(condition, Lookup):
            return ormis.Q(**{condition.name: self.value(condition.value)})
        parts = [self.condition(part) for part in condition.parts]
        return ~parts[0] if condition.how == "~" else OPERATORS[condition.how](*parts)

    def chain(self, chain: Any) -> Any:
        """A queryset."""
        if isinstance(chain, Combined):
            parts = [self.chain(part) for part in chain.parts]
            if chain.how in "&|^":
                return OPERATORS[chain.how](*parts)
            return getattr(parts[0], chain.how)(*parts[1:])
        if chain.start:
            found = getattr(self.value(chain.start[0]), chain.start[1]).all()
        else:
            found = self.models[chain.model].objects.all()
        for call in chain.calls:
            found = self.called(found, call)
        return found

    def called(self, found: Any, call: Call) -> Any:
        """A queryset with one more method."""
        if call.name == "slice":
            return found[slice(*call.arguments)]
        options = {name: self.value(value) for name, value in call.options}
        return getattr(found, call.name)(*[self.value(argument) for argument in call.arguments], **options)

    def for_writing(self, chain: Chain) -> Any:
        """The queryset that is updated or deleted."""
        return self.chain(chain)

    def manager(self, stored: Stored, relation: str) -> Any:
        """The manager of a relation of an object."""
        return getattr(self.value(stored), relation)

    def bulk_create(self, model: Any, records: list[Any], options: dict[str, Any]) -> list[Any]:
        """Stores new objects."""
        return model.objects.bulk_create(records, **options)

    def obtained(self, chain: Chain, method: str, lookups: dict[str, Any], options: dict[str, Any]) -> Any:
        """get_or_create() or update_or_create()."""
        return getattr(self.chain(chain), method)(**self.value(options), **self.value(lookups))

    def deleted(self, counts: tuple[int, dict[str, int]]) -> Any:
        """What delete() has returned, in the form of both sides."""
        return counts[0], {name: count for name, count in counts[1].items() if count}

    def table(self, name: str) -> list[Any]:
        """All rows of a model, with their links."""
        model, spec = self.models[name], MODELS[name]
        names = [spec.pk, *(n for n in spec.columns if n != spec.pk), *(f"{n}_id" for n in spec.to_one)]
        rows = sorted(model.objects.order_by().values_list(*names), key=lambda row: str(row[0]))
        links = [
            (own, sorted(model.objects.order_by().exclude(**{own: None}).values_list("pk", own)))
            for own, relation in spec.to_many.items()
            if not relation.through
        ]
        return [rows, links]
