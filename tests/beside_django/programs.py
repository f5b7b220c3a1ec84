"""Random programs that read."""

import random
from collections.abc import Callable
from typing import Any

from .rows import POOLS
from .schema import MODELS, STEPS, Column, end_of, leads_to_many
from .terms import Arithmetic, Call, Chain, Combined, Condition, Field, Joined, Lookup, Ordered, Program, Stored

ORDERED = ["exact", "gt", "gte", "lt", "lte"]
TEXT = ["contains", "icontains", "startswith", "istartswith", "endswith", "iendswith", "iexact", "regex", "iregex"]
DATE_PARTS = ["year", "month", "day", "week", "week_day", "iso_week_day", "iso_year", "quarter"]
TIME_PARTS = ["hour", "minute", "second"]
PARTS = {"date": DATE_PARTS, "datetime": [*DATE_PARTS, *TIME_PARTS, "date", "time"], "time": TIME_PARTS}
NUMBERS = ("int", "float", "decimal")
Keys = dict[str, list[Any]]
Path = tuple[str, ...]


class Maker:
    """Makes random programs on objects with these keys."""

    def __init__(self, dice: random.Random, keys: Keys) -> None:
        self.dice = dice
        self.keys = keys

    # Values and conditions -------------------------------------------------------------------------------------------

    def path(self, model: str, longest: int = 3, *, to_one: bool = False) -> Path:
        """A path along relations."""
        path: Path = ()
        for _ in range(self.dice.choice([0, 0, 1, 1, 2, longest])):
            steps = STEPS[end_of(model, path)]
            names = [name for name, step in steps.items() if not (to_one and step.many)]
            if len(path) == longest or not names:
                break
            path = (*path, self.dice.choice(names))
        return path

    def column(self, model: str) -> tuple[str, Column]:
        """A field of a model."""
        spec = MODELS[model]
        name = self.dice.choice([*spec.columns, "pk"])
        return name, Column("int") if name == "pk" and spec.pk == "id" else spec.columns[
            spec.pk if name == "pk" else name
        ]

    def plain(self, name: str, column: Column, model: str) -> Any:
        """A value to compare with."""
        if name == "pk":
            return self.dice.choice([*self.keys[model], 99 if column.kind == "int" else "none"])
        return self.dice.choice(POOLS[column.kind])

    def lookup(self, model: str, paths: list[Path]) -> Lookup:
        """One lookup, at the end of one of these paths or of another."""
        path = self.dice.choice(paths) if self.dice.random() < 0.6 else self.path(model)
        at = end_of(model, path)
        if self.dice.random() < 0.2 and STEPS[at]:
            return self.related_lookup(path, at)
        name, column = self.column(at)
        whole = "__".join([*path, name])
        chance = self.dice.random()
        if chance < 0.15:
            return self.compared(model, path, whole, column)
        if chance < 0.3 and column.kind in PARTS:
            return self.part(whole, column)
        return self.compared_with_value(whole, name, column, at)

    def compared_with_value(self, whole: str, name: str, column: Column, at: str) -> Lookup:
        """A field compared with values."""
        dice = self.dice
        known = ["exact", "in", "isnull"]
        known += [*ORDERED, "range"] if column.kind != "bool" else []
        known += TEXT if column.kind == "text" else dice.sample(TEXT, 1) if column.kind == "int" else []
        lookup = dice.choice(known)
        value: Any = self.plain(name, column, at)
        if lookup == "exact" and dice.random() < 0.15:
            value = None
        elif lookup == "isnull":
            value = dice.random() < 0.5
        elif lookup == "in":
            value = [self.plain(name, column, at) for _ in range(dice.randint(0, 4))]
            value += [None] if dice.random() < 0.15 else []
        elif lookup == "range":
            value = sorted([value, self.plain(name, column, at)]) if dice.random() < 0.8 else [value, value]
        elif lookup in ("regex", "iregex"):
            value = dice.choice(["a", "^a", "b$", "[A-Z]", "^$", "(a|s)", r"\d"])
        elif column.kind == "int" and (lookup in TEXT or dice.random() < 0.1):
            value = str(value)
        return Lookup(f"{whole}__{lookup}" if lookup != "exact" or dice.random() < 0.3 else whole, value)

    def part(self, whole: str, column: Column) -> Lookup:
        """A part of a date or time."""
        dice = self.dice
        part = dice.choice(PARTS[column.kind])
        value = dice.choice(POOLS[column.kind])
        calendar = value.isocalendar() if column.kind != "time" else None
        known = {
            "date": lambda: value.date(),
            "time": lambda: value.time(),
            "week": lambda: calendar[1],
            "week_day": lambda: value.isoweekday() % 7 + 1,
            "iso_week_day": lambda: value.isoweekday(),
            "iso_year": lambda: calendar[0],
            "quarter": lambda: (value.month + 2) // 3,
        }
        own = known[part]() if part in known else getattr(value, part)
        lookup = dice.choice([*ORDERED, "in", "range"])
        operand = [own] if lookup == "in" else [own, own] if lookup == "range" else own
        return Lookup(f"{whole}__{part}" + (f"__{lookup}" if lookup != "exact" else ""), operand)

    def related_lookup(self, path: Path, at: str) -> Lookup:
        """A relation compared with objects, keys, querysets."""
        dice = self.dice
        step = dice.choice([*STEPS[at]])
        target = STEPS[at][step].target
        whole = "__".join([*path, step])
        known = self.keys[target]
        kind = dice.choice(["null", "none", "key", "object", "keys", "queryset", "values"])
        if kind == "null":
            return Lookup(f"{whole}__isnull", dice.random() < 0.5)
        if kind == "none":
            return Lookup(whole, None)
        if kind in ("key", "object") and known:
            key = dice.choice(known)
            return Lookup(whole, key if kind == "key" else Stored(target, key))
        if kind == "queryset":
            return Lookup(f"{whole}__in", self.subquery(target))
        if kind == "values":
            column = MODELS[target].pk if dice.random() < 0.5 else "pk"
            return Lookup(f"{whole}__in", self.subquery(target).with_calls(Call("values", (column,))))
        some = dice.sample(known, min(len(known), dice.randint(0, 3)))
        return Lookup(f"{whole}__in", [key if dice.random() < 0.5 else Stored(target, key) for key in some])

    def subquery(self, model: str) -> Chain:
        """A queryset inside a condition."""
        chain = Chain(model, (Call("filter", (self.condition(model, 2),)),))
        if self.dice.random() < 0.3:
            chain = chain.with_calls(Call("order_by", ("pk",)), Call("slice", (0, self.dice.randint(0, 3))))
        return chain

    def compared(self, model: str, path: Path, whole: str, column: Column) -> Lookup:
        """A field compared with an expression over an object on the way, or that one of them refers to."""
        dice = self.dice
        near = path[: dice.randint(0, len(path))] if dice.random() < 0.8 else ()
        way = (*near, *self.path(end_of(model, near), 2, to_one=True))
        columns = MODELS[end_of(model, way)].columns
        kinds = NUMBERS if column.kind in NUMBERS else (column.kind,)
        names = [name for name, other in columns.items() if other.kind in kinds]
        if not names:
            return Lookup(f"{whole}__isnull", False)
        name = dice.choice(names)
        value: Any = Field("__".join([*way, name]))
        lookup = dice.choice(ORDERED if column.kind != "bool" else ["exact"])
        if columns[name].kind == "int" and column.kind == "int" and dice.random() < 0.5:
            value = Arithmetic(dice.choice("+-*/%"), value, dice.choice([1, 2, 3]))
            if dice.random() < 0.2:
                value = Arithmetic("+", value, Field(dice.choice(["rank"]))) if model == "Person" else value
        elif column.kind == "text" and dice.random() < 0.3:
            lookup = dice.choice([name for name in TEXT if "regex" not in name])
        elif dice.random() < 0.1 and column.kind in NUMBERS:
            return Lookup(f"{whole}__range", [value, dice.choice(POOLS[column.kind])])
        elif dice.random() < 0.1 and columns[name].kind == column.kind:
            return Lookup(f"{whole}__in", [value, dice.choice(POOLS[column.kind])])
        return Lookup(f"{whole}__{lookup}" if lookup != "exact" else whole, value)

    def condition(self, model: str, most: int = 4) -> Condition:
        """Lookups joined by & | ^ ~."""
        paths = [self.path(model) for _ in range(2)]

        def made(left: int) -> Condition:
            if left <= 1 or self.dice.random() < 0.3:
                found: Condition = self.lookup(model, paths)
                return Joined("~", (found,)) if self.dice.random() < 0.15 else found
            how = self.dice.choice("&&&|||^~")
            if how == "~":
                return Joined("~", (made(left - 1),))
            cut = self.dice.randint(1, left - 1)
            return Joined(how, (made(cut), made(left - cut)))

        return made(self.dice.randint(1, most))

    # Querysets -------------------------------------------------------------------------------------------------------

    def narrowed(self, model: str, most: int = 3) -> Chain:
        """A queryset with filters and exclusions."""
        chain = Chain(model)
        if self.dice.random() < 0.1:
            chain = self.related(model) or chain
        for _ in range(self.dice.randint(0, most)):
            name = self.dice.choice(["filter", "filter", "exclude"])
            conditions = tuple(self.condition(model, 3) for _ in range(self.dice.choice([1, 1, 2])))
            chain = chain.with_calls(Call(name, conditions))
        return chain

    def related(self, model: str) -> Chain | None:
        """The queryset of a relation of an object that leads to this model."""
        ways = [
            (own, name) for own, steps in STEPS.items() for name, s in steps.items() if s.many and s.target == model
        ]
        ways = [(own, name) for own, name in ways if self.keys[own]]
        if not ways:
            return None
        own, name = self.dice.choice(ways)
        return Chain(model, (), (Stored(own, self.dice.choice(self.keys[own])), name))

    def order(self, model: str) -> Call:
        """order_by() with some terms."""
        return Call("order_by", tuple(self.term(model) for _ in range(self.dice.randint(0, 3))))

    def term(self, model: str) -> Any:
        """One term of an order."""
        dice = self.dice
        path = self.path(model, 2, to_one=True)
        at = end_of(model, path)
        sign = dice.choice(["", "-"])
        name, column = self.column(at)
        whole = "__".join([*path, name])
        chance = dice.random()
        if chance < 0.15 and path:
            return sign + "__".join(path)
        if chance < 0.3:
            return Ordered(Field(whole), sign == "-", dice.choice([None, True, False]))
        if chance < 0.4 and column.kind == "int" and name != "pk":
            return Ordered(
                Arithmetic(dice.choice("+-*%"), Field(whole), 2), sign == "-", dice.choice([None, True, False])
            )
        if chance < 0.5 and column.kind in ("date", "datetime"):
            return f"{sign}{whole}__{dice.choice(['year', 'month', 'day', 'week_day', 'quarter'])}"
        return sign + whole

    def shaped(self, model: str) -> Chain:
        """A queryset narrowed, ordered, turned round, cut."""
        chain, dice = self.narrowed(model), self.dice
        if dice.random() < 0.6:
            chain = chain.with_calls(self.order(model))
        for name in ("reverse", "distinct"):
            if dice.random() < 0.15:
                chain = chain.with_calls(Call(name))
        return chain

    def cut(self, chain: Chain) -> Chain:
        """The same, cut in some cases."""
        if self.dice.random() < 0.4:
            start = self.dice.choice([None, 0, 1, 2])
            stop = self.dice.choice([None, (start or 0) + self.dice.randint(0, 4)])
            chain = chain.with_calls(Call("slice", (start, stop)))
            if self.dice.random() < 0.1:
                chain = chain.with_calls(Call("slice", (self.dice.choice([None, 1]), 2)))
        return chain

    # Programs --------------------------------------------------------------------------------------------------------

    def program(self) -> Program:
        """A program that reads."""
        kinds: list[Callable[[str], Program]] = [
            *(self._objects, self._objects, self._objects, self._asked, self._asked, self._one),
            *(self._values, self._values, self._combined, self._in_bulk, self._loaded, self._prefetched),
        ]
        return self.dice.choice(kinds)(self.dice.choice([*MODELS]))

    def _objects(self, model: str) -> Program:
        chain = self.cut(self.shaped(model))
        return Program(self.dice.choice(["objects", "objects", "iterated", "keys"]), chain)

    def _asked(self, model: str) -> Program:
        chain = self.cut(self.shaped(model))
        kind = self.dice.choice(["count", "exists", "length", "truth", "contains", "at"])
        if kind == "contains" and self.keys[model]:
            return Program("contains", chain, (Stored(model, self.dice.choice(self.keys[model])),))
        if kind == "at":
            return Program("at", chain, (self.dice.randint(0, 3),))
        return Program("count" if kind == "contains" else kind, chain)

    def _one(self, model: str) -> Program:
        kind = self.dice.choice(["first", "last", "get", "earliest", "latest"])
        chain = self.shaped(model)
        if kind in ("first", "get"):
            chain = self.cut(chain)
        if kind in ("earliest", "latest"):
            terms = [term for term in (self.term(model) for _ in range(2)) if isinstance(term, str)]
            return Program(kind, self.narrowed(model), (*terms, "pk"))
        return Program(kind, chain)

    def _values(self, model: str) -> Program:
        dice, chain = self.dice, self.narrowed(model)
        names: list[Any] = []
        for _ in range(dice.randint(1, 3)):
            path = self.path(model, 2)
            if path and dice.random() < 0.3:
                names.append("__".join(path))
                continue
            name, column = self.column(end_of(model, path))
            name = MODELS[end_of(model, path)].pk if name == "pk" and path else name
            part = f"__{dice.choice(['year', 'month', 'day'])}" if column.kind == "date" and dice.random() < 0.2 else ""
            names.append("__".join([*path, name]) + part)
        names = list(dict.fromkeys(names))
        many = any(leads_to_many(model, tuple(p for p in self._path_of(model, name))) for name in names)
        kind = dice.choice(["values", "values_list", "flat"])
        names = names[:1] if kind == "flat" else names
        call = Call("values_list", tuple(names), (("flat", True),)) if kind == "flat" else Call(kind, tuple(names))
        distinct = dice.random() < 0.3
        if not many and not distinct:
            if dice.random() < 0.5:
                chain = chain.with_calls(self.order(model))
            return Program("rows", self.cut(chain.with_calls(call)))
        if distinct:
            chain = chain.with_calls(Call("distinct"))
        kind = dice.choice(["rows", "rows", "count", "exists"])
        return Program(kind, chain.with_calls(Call("order_by"), call), ordered=False)

    @staticmethod
    def _path_of(model: str, name: str) -> Path:
        path: Path = ()
        for part in name.split("__"):
            if part not in STEPS[end_of(model, path)]:
                break
            path = (*path, part)
        return path

    def _combined(self, model: str) -> Program:
        how = self.dice.choice(["union", "intersection", "difference", "&", "|", "^"])
        parts = tuple(self.narrowed(model, 2) for _ in range(2 if how in "&|^" else self.dice.choice([2, 2, 3])))
        return Program(self.dice.choice(["objects", "count", "exists"]), Combined(how, parts), ordered=False)

    def _in_bulk(self, model: str) -> Program:
        unique = [name for name, column in MODELS[model].columns.items() if column.unique]
        if unique and self.dice.random() < 0.5:
            values = [self.plain(unique[0], MODELS[model].columns[unique[0]], model) for _ in range(3)]
            return Program("in_bulk", self.narrowed(model), (values, unique[0]))
        some = self.dice.sample(self.keys[model], min(len(self.keys[model]), 3))
        keys = [*some, 99] if self.dice.random() < 0.7 else None
        if MODELS[model].pk != "id" and keys:
            keys = [key for key in keys if key != 99]
        return Program("in_bulk", self.narrowed(model), (keys, "pk"))

    def _loaded(self, model: str) -> Program:
        """Objects loaded in part, or with others."""
        dice, chain = self.dice, self.shaped(model)
        for _ in range(dice.randint(1, 2)):
            kind = dice.choice(["only", "defer", "select_related"])
            if kind == "select_related":
                paths = [path for path in (self.path(model, 3, to_one=True) for _ in range(2)) if path]
                if paths:
                    chain = chain.with_calls(Call(kind, tuple("__".join(path) for path in paths)))
            elif not chain.has("select_related"):
                names = dice.sample([*MODELS[model].columns], min(2, len(MODELS[model].columns)))
                chain = chain.with_calls(Call(kind, tuple(names)))
        return Program("whole", self.cut(chain))

    def _prefetched(self, model: str) -> Program:
        """Objects with related ones prefetched."""
        paths = [path for path in (self.path(model, 3) for _ in range(self.dice.randint(1, 2))) if path]
        lookups = tuple(dict.fromkeys("__".join(path) for path in paths))
        chain = self.shaped(model)
        if lookups:
            chain = chain.with_calls(Call("prefetch_related", lookups))
        return Program("related", self.cut(chain), (*lookups,))
