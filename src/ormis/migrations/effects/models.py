"""Models that are new, gone, renamed or declared in another way, and their links."""

from ...calls import Command, Operation, Scan
from ...errors import MigrationError
from ...storage.keys import COLUMNS, MODELS
from ..operations import AlterRelation, DeleteModel, RenameModel
from ..state import LinkState, ModelState
from .work import Work

_DATABASE_KEYS = ("ormis/expiring/", "ormis/expired/", "ormis/registered/", "ormis/admitted/", "ormis/orphaned/")
_FIELDS_OF = (MODELS, COLUMNS, "ormis/reindex")


def delete_model(work: Work, operation: DeleteModel) -> Operation[None]:
    """Removes the objects, then every other key of the model. The rules of on_delete are not applied."""
    model = work.before.model(operation.key)
    for link in model.links:
        if link.to != model.key:
            yield from _links(work, work.before.model(link.to), link.back, None)
    yield from work.walk(model, "objects", (), ["forget"])
    starts = (f"{model.key}/".encode(), f"ormis/claims/{model.key}/".encode())
    cursor: bytes | int = 0
    while cursor != b"0":
        cursor, names = yield Scan(cursor, work.limits.scanned_keys)
        own = [name for name in names if name.startswith(starts)]
        for name in own:
            yield Command(("UNLINK", name))
        yield from work.locking("lock")
    for key in _DATABASE_KEYS:
        yield Command(("UNLINK", f"{key}{model.key}"))
    for key in _FIELDS_OF:
        yield Command(("HDEL", key, model.key))


def alter_links(work: Work, operation: AlterRelation) -> Operation[None]:
    """Renames, or removes, the sets of the links of a many-to-many relation, on both sides."""
    old, new = operation.old, operation.new
    if not isinstance(old, LinkState):
        return
    new = new if isinstance(new, LinkState) and new.to == old.to else None
    if new == old:
        return
    sides = {(operation.key, old.name): new and new.name, (old.to, old.back): new and new.back}
    for (key, name), other in sides.items():
        if name != other and key in work.before.models:
            yield from _links(work, work.before.model(key), name, other)


def _links(work: Work, model: ModelState, name: str, other: str | None) -> Operation[None]:
    yield from work.walk(model, f"links {name}", (), ["links", name, other or False])


def rename_model(work: Work, operation: RenameModel) -> Operation[None]:
    """Refused: objects can't be moved to other keys yet. Raises MigrationError, and nothing has changed."""
    yield from work.locking("lock")
    raise MigrationError(
        f"{work.task}: objects can't be moved to other keys yet: keep the keys by `class Meta: key = {operation.old!r}`"
        f" in the renamed class"
    )
