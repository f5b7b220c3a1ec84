"""Random programs that write."""

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from .programs import Keys, Maker
from .rows import POOLS, row_of, value_of
from .schema import MODELS, STEPS
from .terms import Arithmetic, Call, Chain, Field, Lookup, Program, Stored


class WriteMaker:
    """Makes random programs that write."""

    def __init__(self, dice: random.Random, keys: Keys) -> None:
        self.dice = dice
        self.keys = keys
        self.reading = Maker(dice, keys)

    def program(self) -> Program:
        """A program that writes."""
        kinds: list[Callable[[str], Program]] = [
            *(self._update, self._update, self._delete, self._delete_one, self._save, self._save, self._create),
            *(self._get_or_create, self._get_or_create, self._update_or_create, self._update_or_create),
            *(self._bulk_create, self._bulk_create, self._bulk_update, self._links, self._links, self._reverse),
        ]
        return self.dice.choice(kinds)(self.dice.choice([*MODELS]))

    def _narrow(self, model: str) -> Chain:
        chain = self.reading.narrowed(model, 2)
        return chain if chain.calls else chain.with_calls(Call("filter", (self.reading.condition(model, 2),)))

    def changes(self, model: str, *, expressions: bool = True) -> dict[str, Any]:
        """New values of some fields."""
        dice, spec = self.dice, MODELS[model]
        names = [name for name, column in spec.columns.items() if not column.primary_key]
        chosen = dice.sample([*names, *spec.to_one], min(dice.randint(1, 2), len(names)))
        return {name: self.change(model, name, expressions) for name in chosen}

    def change(self, model: str, name: str, expressions: bool) -> Any:
        """A new value of a field or a foreign key."""
        dice, spec = self.dice, MODELS[model]
        if name in spec.to_one:
            known = self.keys[spec.to_one[name].target]
            if not known or (spec.to_one[name].null and dice.random() < 0.3):
                return None if spec.to_one[name].null else Stored(spec.to_one[name].target, 99)
            return Stored(spec.to_one[name].target, dice.choice(known))
        column = spec.columns[name]
        if expressions and dice.random() < 0.4 and not column.unique:
            alike = [n for n, c in spec.columns.items() if c.kind == column.kind and (column.null or not c.null)]
            other = Field(dice.choice(alike))
            if column.kind in ("int", "decimal"):
                return Arithmetic(dice.choice("+-*"), other, dice.choice([1, 2, 3]))
            if column.kind == "float":
                return Arithmetic(dice.choice("+-*"), other, 0.5)
            if column.kind == "datetime":
                return Arithmetic("+", other, timedelta(hours=dice.randint(-30, 30)))
            return other
        return value_of(dice, column)

    def new(self, model: str) -> dict[str, Any] | None:
        """The values of a new object; None if it can't be made."""
        return row_of(self.dice, model, self.keys)

    def _update(self, model: str) -> Program:
        chain = self._narrow(model)
        if self.dice.random() < 0.05:
            chain = self.reading.cut(chain)
        return Program("update", chain, (self.changes(model),))

    def _delete(self, model: str) -> Program:
        return Program("delete", self._narrow(model))

    def _one(self, model: str) -> Any:
        return Stored(model, self.dice.choice(self.keys[model])) if self.keys[model] else None

    def _delete_one(self, model: str) -> Program:
        one = self._one(model)
        return Program("delete_one", one) if one else self._create(model)

    def _save(self, model: str) -> Program:
        one = self._one(model)
        only = self.dice.random() < 0.3
        return Program("save", one, (self.changes(model), only)) if one else self._create(model)

    def _create(self, model: str) -> Program:
        row = self.new(model)
        return Program("create", Chain(model), (row,)) if row else self._delete(model)

    def _some_of(self, row: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Some of the values as lookups, the others as defaults."""
        names = self.dice.sample([*row], self.dice.randint(1, len(row)))
        return {name: row[name] for name in names}, {name: value for name, value in row.items() if name not in names}

    def _known_or_new(self, model: str) -> dict[str, Any] | None:
        row = self.new(model)
        if row and self.dice.random() < 0.5:  # a value that is taken
            columns = {n: c for n, c in MODELS[model].columns.items() if not c.unique and not c.primary_key}
            row |= {name: self.dice.choice(POOLS[column.kind]) for name, column in columns.items()}
        return row

    def _get_or_create(self, model: str) -> Program:
        row = self._known_or_new(model)
        if row is None:
            return self._update(model)
        lookups, defaults = self._some_of(row)
        if self.dice.random() < 0.3:
            return Program("get_or_create", self._narrow(model), (lookups, defaults))
        if self.dice.random() < 0.2:
            found = self.reading.lookup(model, [()])
            if "__" in found.name and isinstance(found, Lookup):
                return Program("get_or_create", Chain(model), ({found.name: found.value}, row))
        return Program("get_or_create", Chain(model), (lookups, defaults))

    def _update_or_create(self, model: str) -> Program:
        row = self._known_or_new(model)
        if row is None:
            return self._update(model)
        lookups, defaults = self._some_of(row)
        defaults = {name: value for name, value in defaults.items() if name != MODELS[model].pk}
        if len(lookups) + len(defaults) < len(row):
            return self._get_or_create(model)
        if self.dice.random() < 0.3:
            return Program("update_or_create", Chain(model), (lookups, self.changes(model, expressions=False), row))
        return Program("update_or_create", Chain(model), (lookups, defaults, None))

    def _bulk_create(self, model: str) -> Program:
        rows = [row for row in (self.new(model) for _ in range(self.dice.randint(1, 4))) if row]
        options: dict[str, Any] = {}
        unique = [n for n, c in MODELS[model].columns.items() if c.unique]
        unique = unique or [n for n, r in MODELS[model].to_one.items() if r.unique] or [*MODELS[model].together]
        chance = self.dice.random()
        if chance < 0.3:
            options["ignore_conflicts"] = True
        elif chance < 0.6 and unique:
            fields = [n for n, c in MODELS[model].columns.items() if n not in unique and not c.primary_key]
            if fields:
                options |= {"update_conflicts": True, "unique_fields": unique, "update_fields": fields[:2]}
        if self.dice.random() < 0.2:
            options["batch_size"] = 2
        return Program("bulk_create", Chain(model), (rows, options))

    def _bulk_update(self, model: str) -> Program:
        if MODELS[model].pk != "id":  # SQLite goes in another order than that of the keys, unique values must be free
            return self._update(model)
        known = self.keys[model]
        some = sorted(
            self.dice.sample(known, min(len(known), self.dice.randint(1, 3)))
        )  # the order in which SQLite goes
        names = [*self.changes(model)]
        values = [{name: self.change(model, name, True) for name in names} for _ in some]
        return Program("bulk_update", [Stored(model, key) for key in some], (names, values))

    def _links(self, model: str) -> Program:
        """A many-to-many relation of an object changed."""
        ends = [(n, own, r.target) for n, s in MODELS.items() for own, r in s.to_many.items()]
        ends += [(r.target, r.related, n) for n, s in MODELS.items() for _, r in s.to_many.items()]
        owner, name, target = self.dice.choice(ends)
        return self._changed(owner, name, target)

    def _reverse(self, model: str) -> Program:
        """The objects that refer to one changed."""
        ends = [(r.target, r.related, n) for n, s in MODELS.items() for _, r in s.to_one.items() if not r.unique]
        owner, name, target = self.dice.choice(ends)
        return self._changed(owner, name, target)

    def _changed(self, owner: str, name: str, target: str) -> Program:
        one = self._one(owner)
        if one is None:
            return self._create(owner)
        how = self.dice.choice(["add", "add", "remove", "set", "set", "clear", "create"])
        if how == "clear":
            return Program("relation", one, (name, how, []))
        if how == "create":
            row = self.new(target)
            if row is None:
                return self._update(target)
            own = [n for n, r in MODELS[target].to_one.items() if r.related == name]
            row = {n: value for n, value in row.items() if n.removesuffix("_id") not in own}
            return Program("relation", one, (name, how, row))
        known = self.keys[target]
        through = STEPS[owner][name].many and name in ("readers", "borrowed")  # Django makes these links in no order
        some = self.dice.sample(known, min(len(known), self.dice.randint(0, 1 if through else 3)))
        return Program("relation", one, (name, how, [Stored(target, key) for key in some]))
