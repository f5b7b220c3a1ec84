"""The values that `SET(function)`, and SET_DEFAULT with a function for its default, set in a deletion.

The function is called here, since the server can't, and only if the deletion meets objects that refer: the server then
refuses the first call and names the foreign keys, and the call is sent again with their values. Once in each deletion.
"""

from collections.abc import Sequence
from inspect import getattr_static
from typing import Any

from ...errors import IntegrityError, reason, shown
from ...schema import registry
from ...schema.schema import Reference, Schema

Text = str | bytes


class Replacements(dict[tuple[str, str], "Text | None"]):
    """The texts that foreign keys are set to in one deletion, by the keys of models and the names of columns."""

    def compute(self, names: Sequence[tuple[str, str]]) -> None:
        """Calls the functions of these foreign keys. Raises what they raise, and the errors of text_of()."""
        for model, column in names:
            schema = registry.schema_for(model)
            reference = next(one for one in schema.references if one.column.name == column)
            self[(model, column)] = _text_of(schema, reference)

    def of(self, schema: Schema, reference: Reference) -> Text | None:
        """The text that a deletion sets a foreign key to. Calls its function if it was not called before."""
        if reference.replacement is None:
            return reference.default
        name = (schema.key, reference.column.name)
        if name not in self:
            self.compute([name])
        return self[name]


def _text_of(schema: Schema, reference: Reference) -> Text | None:
    """Calls the function of a foreign key; the text of its result.

    Raises IntegrityError for what the field does not take, ForeignKeyViolation for an object that is not saved,
    TypeError for one of another model.
    """
    assert reference.replacement is not None
    value, column = reference.replacement(), reference.column
    relation: Any = getattr_static(registry.model_for(reference.source), reference.name)
    key, refused = relation.key_of(None, value), "the field takes no None"
    if key is None and column.nullable:
        return None
    try:
        if key is not None:
            return column.write(column.convert(key))
    except ValueError as error:
        refused = f"it does not convert to {column.codec.kind}: {reason(error)}"
    raise IntegrityError(
        f"{schema.name}.{reference.name}: the function of on_delete returned {shown(key)}, and {refused}",
        model=schema.name,
        field=reference.name,
        value=key,
    )
