"""Checking that a database is laid out as this version of ormis lays it out, and as the models say."""

from ...calls import Command, Operation
from ...errors import LayoutError
from ...storage.keys import LAYOUT, LAYOUT_VERSION
from .drift import check_columns


def check_layout() -> Operation[None]:
    """Reads `ormis/layout` and `ormis/columns`; two round trips, once per connected database. The first commit writes
    them.

    Raises LayoutError where another version wrote it.
    """
    found = yield Command(("GET", LAYOUT))
    if found is not None and found != LAYOUT_VERSION.encode():
        raise LayoutError(
            f"the database has layout {found.decode('utf-8', 'backslashreplace')!r} and this version of ormis reads "
            f"and writes layout {LAYOUT_VERSION!r}: use the version of ormis that wrote it"
        )
    if found is not None:
        yield from check_columns()
