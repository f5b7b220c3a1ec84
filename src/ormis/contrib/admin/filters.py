"""The filters of the list page: those that an index answers, by the kind of index."""

from collections.abc import Mapping, Sequence
from enum import Enum
from functools import reduce
from types import MappingProxyType
from typing import Any

from starlette_admin.filters.base import BaseFilter, FilterApplyContext, FilterDataType, FilterGroup, FilterRule

import ormis

_INPUTS = {
    "int": FilterDataType.NUMBER,
    "float": FilterDataType.NUMBER,
    "decimal": FilterDataType.NUMBER,
    "date": FilterDataType.DATE,
    "datetime": FilterDataType.DATETIME,
    "time": FilterDataType.TIME,
}
_COMPARISONS = (
    ("gt", "Greater than", "gt"),
    ("gte", "At least", "gte"),
    ("lt", "Less than", "lt"),
    ("lte", "At most", "lte"),
    ("between", "Between", "range"),
)


class LookupFilter(BaseFilter):
    """A filter that is one lookup of ormis. The value is the text that was typed: the lookup converts it.

    lookup: its name. counted: one index tells how many objects it finds.
    members: the values that the field may have, by their texts, if these are few.
    """

    lookup: str
    counted = True
    members: Mapping[str, Any] = MappingProxyType({})

    def get_choices(self, request: Any) -> Sequence[tuple[Any, str]] | None:
        """The values that there are, if the field says so."""
        return [(text, label_of(value)) for text, value in self.members.items()] or None

    def apply(self, ctx: FilterApplyContext) -> ormis.Q:
        """The condition."""
        if self.has_value2:
            return ormis.Q((f"{ctx.field_name}__{self.lookup}", [ctx.value, ctx.value2]))
        if self.lookup != "in":
            return ormis.Q((f"{ctx.field_name}__{self.lookup}", self.members.get(ctx.value, ctx.value)))
        texts = ctx.value.split(",") if isinstance(ctx.value, str) else ctx.value
        return ormis.Q((f"{ctx.field_name}__in", [self.members.get(text, text) for text in texts]))


def label_of(value: Any) -> str:
    """A value that is one of few, as it is shown."""
    if isinstance(value, bool):
        return "Yes" if value else "No"
    return value.name.replace("_", " ") if isinstance(value, Enum) else str(value)


def filters_for(
    kind: str, index: str, unique: bool, members: Mapping[str, Any] = MappingProxyType({})
) -> list[type[BaseFilter]]:
    """The filters that an index answers on a field; none without an index.

    kind: the kind of its values. index: the kind of its index, "" for none. unique: no two objects share a value.
    members: the values that there are, by their texts, if these are few.
    """
    wanted: list[tuple[str, str, str]] = []
    if index == "members":
        wanted = [("contains", "Contains", "contains")]
    elif index or unique:
        wanted = [("eq", "Is", "exact")]
    if index == "sorted":
        wanted += _COMPARISONS
    if index == "text":
        wanted.append(("startswith", "Starts with", "startswith"))
    if members and index == "equal":
        wanted.append(("in", "Is one of", "in"))
    return [_made(name, label, lookup, kind, members) for name, label, lookup in wanted]


def _made(name: str, label: str, lookup: str, kind: str, members: Mapping[str, Any]) -> type[LookupFilter]:
    shown = FilterDataType.ENUM if lookup == "in" else _INPUTS.get(kind, FilterDataType.STRING)
    return type(
        f"{name.title()}Filter",
        (LookupFilter,),
        {
            "name": name,
            "label": label,
            "lookup": lookup,
            "members": members,
            "data_type": shown,
            "has_value2": lookup == "range",
            "counted": lookup not in ("startswith", "in"),
        },
    )


def condition_of(group: FilterGroup, found: dict[str, list[type[BaseFilter]]]) -> ormis.Q:
    """The condition of a tree of filters. found: the filters of each field."""
    parts = [condition_of(rule, found) if isinstance(rule, FilterGroup) else _of(rule, found) for rule in group.rules]
    if not parts:
        return ormis.Q()
    return reduce((lambda a, b: a | b) if group.logic == "or" else (lambda a, b: a & b), parts)


def _of(rule: FilterRule, found: dict[str, list[type[BaseFilter]]]) -> ormis.Q:
    return _filter(rule, found)().apply(
        FilterApplyContext(query=None, field_name=rule.field, value=rule.value, value2=rule.value2)
    )


def _filter(rule: FilterRule, found: dict[str, list[type[BaseFilter]]]) -> type[BaseFilter]:
    return next(one for one in found[rule.field] if one.name == rule.filter)


def counted(group: FilterGroup | None, found: dict[str, list[type[BaseFilter]]]) -> bool:
    """Returns whether an index tells how many objects the filters find: there is none, or one that a single index
    answers.
    """
    if group is None or not group.rules:
        return True
    only = group.rules[0]
    if len(group.rules) > 1:
        return False
    if isinstance(only, FilterGroup):
        return counted(only, found)
    one = _filter(only, found)
    return issubclass(one, LookupFilter) and one.counted
