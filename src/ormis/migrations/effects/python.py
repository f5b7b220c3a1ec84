"""Objects changed by a function of the application, in steps: each of its changes is stored once."""

from ...calls import Operation
from ..operations import RunPython
from .records import Records, checked
from .rewriting import Change, Rewriting, Texts
from .work import Work


def run_python(work: Work, operation: RunPython) -> Operation[None]:
    """Calls the function with each object. Raises MigrationError where it fails; a later run goes on from there."""
    records = Records(work.after.model(operation.key))
    at = {name: position for position, name in enumerate(records.names, 1)}

    def decide(pk: str, texts: Texts) -> Change:
        record = records.of(pk, texts)
        checked(operation.code(record), getattr(operation.code, "__name__", "the function"))
        changes, read = record.changed()
        return Change(
            {at[name]: text for name, text in changes.items()},
            {at[name]: text for name, text in read.items()} if changes else {},
        )

    yield from Rewriting(work, records.model, "objects", records.names[1:], decide).run()
