"""Claims of one object of a shape that was claimed before, with constants: nothing is planned or checked again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from ...planning.plan import Plan
from ...planning.predicates import Parameter, conjuncts
from ...schema.field_validation import field_adapter
from ...schema.schema import Schema
from ...storage.codecs import Text
from .auto_now import times
from .fast_claim import AFTER_TEXTS, Claim, ClaimRequest, claim_of
from .update import Writes

_PLAIN = frozenset((bool, int, float, str, bytes, date, datetime, time, timedelta, Decimal, UUID))
"""Classes of values that are no expressions."""


@dataclass(frozen=True, slots=True)
class _Known:
    """Claims of one object of one shape, which write constants.

    fields: the functions that fit a value to its field and make its text. leaving: of the fields whose text takes an
    object out of the query the place among those, and that of the condition, whose text is another one.
    """

    request: ClaimRequest
    fields: tuple[tuple[Callable[[Any], Any], Callable[[Any], Text]], ...]
    leaving: tuple[tuple[int, int], ...]


def known_claim(plan: Plan, values: Mapping[str, Any]) -> Claim | None:
    """The claim of one object with these values, if one of the same shape was checked before; else None.

    None, too, for a value that another way is to look at, and to refuse.
    """
    if plan.prepared is None:
        return None
    values = _with_times(plan.schema, values)
    known: _Known | None = plan.prepared.claims.get((*values,))
    if known is None:
        return None
    written: list[Text] = []
    for value, (fit, write) in zip(values.values(), known.fields, strict=True):
        if value.__class__ not in _PLAIN:
            return None
        try:
            written.append(write(fit(value)))
        except Exception:  # noqa: BLE001 - validators of users raise whatever they like
            return None
    if not any(written[field] != plan.texts[condition] for field, condition in known.leaving):
        return None
    return Claim(known.request, known.request.arguments(1, written, plan.texts), written)


def keep_known(plan: Plan, values: Mapping[str, Any], assigned: Writes, model: Any) -> None:
    """Keeps a claim that was checked for later ones with other values, if it may go the shortest way."""
    schema = plan.schema
    values = _with_times(schema, values)
    if plan.prepared is None or assigned.computed or not values.keys() <= schema.by_name.keys():
        return
    columns = [schema.by_name[name] for name in values]
    if assigned.constants[::2] != [column.position for column in columns] or False in assigned.constants[1::2]:
        return
    request = claim_of(plan, 1, assigned).request
    conditions = conjuncts(plan.prepared.where)
    leaving = [
        (columns.index(part.column), part.number + AFTER_TEXTS + len(plan.texts))
        for part in conditions
        if isinstance(part, Parameter) and part.operator == "eq" and part.column in columns
    ]
    if request.merged is not None and leaving:
        fields = [(field_adapter(model, column.name).validate_python, column.write) for column in columns]
        plan.prepared.claims[(*values,)] = _Known(request, (*fields,), (*leaving,))


def _with_times(schema: Schema, values: Mapping[str, Any]) -> Mapping[str, Any]:
    return times(schema.auto_now) | dict(values) if schema.auto_now else values
