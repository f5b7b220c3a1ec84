"""ormis: an ORM for Redis and Valkey, with models typed by pydantic and a query API in the spirit of Django's.

import ormis
from ormis import Field, ForeignKey

class Question(ormis.Model):
    question_text: str = Field(max_length=200)

ormis.connect("embedded://")
Question(question_text="Nike or Adidas?").save()
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import functions, migrations, signals
    from .adoption import aadopt, adopt
    from .api_models import body, view
    from .cluster.local import LocalCluster
    from .connecting import connect
    from .database import Database
    from .descriptors.annotations import ForeignKey, ManyToMany, OneToOne, Related, RelatedOne
    from .descriptors.fields import col
    from .drivers.capture import capture_calls
    from .errors import (
        ClusterError,
        ConflictError,
        DoesNotExist,
        FieldError,
        ForeignKeyViolation,
        IntegrityError,
        LayoutError,
        MigrationError,
        MigrationWarning,
        ModelError,
        MultipleObjectsReturned,
        NotConnected,
        OrmisError,
        PageTokenError,
        ProtectedError,
        RelationNotLoaded,
        RestrictedError,
        StoredDataError,
        UniqueViolation,
    )
    from .fetching import FETCH_ONE, FETCH_PEERS, RAISE, FetchMode
    from .files import adump, aload, dump, load
    from .instrumentation.events import CallEvent, Observer, OperationEvent
    from .instrumentation.observe import Observation, observe
    from .instrumentation.slow import log_slow_queries
    from .limits import Limits
    from .maintenance import acheck, acopy, ainspect, areindex, check, copy, inspect, reindex
    from .model import Model
    from .operations.reading.paging import Page
    from .operations.reading.prefetch import Prefetch
    from .query.aggregates import Avg, Count, Max, Min, StdDev, Sum, Variance
    from .query.conditional import Case, When
    from .query.expressions import F, Value
    from .query.q import Q
    from .query.subqueries import Exists, OuterRef, Subquery
    from .query.window_frames import RowRange, ValueRange, WindowFrameExclusion
    from .query.windows import Window
    from .querysets.managers import Manager
    from .querysets.prefetching import aprefetch_related_objects, prefetch_related_objects
    from .querysets.queryset import QuerySet
    from .reports import (
        Adopted,
        CacheStats,
        Copied,
        Dumped,
        Finding,
        IndexState,
        Loaded,
        Migrated,
        ModelState,
        Progress,
        Reindexed,
        Report,
    )
    from .schema.fields import Field
    from .schema.hooks import after_delete, after_save, before_delete, before_save
    from .schema.options import Index, UniqueConstraint
    from .schema.relations import CASCADE, DO_NOTHING, PROTECT, RESTRICT, SET, SET_DEFAULT, SET_NULL
    from .transactions import atomic

__version__ = "0.1.0"

__all__ = [  # noqa: RUF022 - in groups, as one learns them
    # connecting
    "connect", "Database", "Limits", "LocalCluster", "capture_calls",
    # declaring
    "Model", "Field", "ForeignKey", "OneToOne", "ManyToMany", "Related", "RelatedOne", "Index", "UniqueConstraint",
    "before_save", "after_save", "before_delete", "after_delete", "signals",
    "CASCADE", "DO_NOTHING", "PROTECT", "RESTRICT", "SET", "SET_DEFAULT", "SET_NULL",
    # querying
    "F", "Manager", "Page", "Prefetch", "Q", "QuerySet", "col", "prefetch_related_objects", "aprefetch_related_objects",
    "FETCH_ONE", "FETCH_PEERS", "RAISE", "FetchMode",
    # computing
    "Avg", "Case", "Count", "Exists", "Max", "Min", "OuterRef", "StdDev", "Subquery", "Sum", "Value", "Variance",
    "When", "functions", "RowRange", "ValueRange", "Window", "WindowFrameExclusion",
    # transactions
    "atomic",
    # APIs
    "body", "view",
    # looking after a database
    "check", "acheck", "reindex", "areindex", "inspect", "ainspect", "copy", "acopy",
    "dump", "adump", "load", "aload", "adopt", "aadopt", "migrations",
    "Adopted", "CacheStats", "Copied", "Dumped", "Finding", "IndexState", "Loaded", "Migrated", "ModelState",
    "Progress", "Reindexed", "Report",
    # observing it
    "observe", "log_slow_queries", "CallEvent", "Observation", "Observer", "OperationEvent",
    # errors
    "ClusterError", "ConflictError", "DoesNotExist", "FieldError", "ForeignKeyViolation", "IntegrityError",
    "LayoutError", "MigrationError", "MigrationWarning", "ModelError", "MultipleObjectsReturned", "NotConnected",
    "OrmisError", "PageTokenError", "ProtectedError", "RelationNotLoaded", "RestrictedError", "StoredDataError",
    "UniqueViolation",
]  # fmt: skip

# A name is loaded when it is first used, as in pydantic: an import of ormis loads none of the modules that the program
# does not need. tests/test_import.py compares this table with the imports above.
_HOMES = {
    "adoption": "aadopt adopt",
    "api_models": "body view",
    "cluster.local": "LocalCluster",
    "connecting": "connect",
    "database": "Database",
    "descriptors.annotations": "ForeignKey ManyToMany OneToOne Related RelatedOne",
    "descriptors.fields": "col",
    "drivers.capture": "capture_calls",
    "errors": """
        ClusterError ConflictError DoesNotExist FieldError ForeignKeyViolation IntegrityError LayoutError
        MigrationError MigrationWarning ModelError MultipleObjectsReturned NotConnected OrmisError PageTokenError
        ProtectedError RelationNotLoaded RestrictedError StoredDataError UniqueViolation
    """,
    "fetching": "FETCH_ONE FETCH_PEERS RAISE FetchMode",
    "files": "adump aload dump load",
    "instrumentation.events": "CallEvent Observer OperationEvent",
    "instrumentation.observe": "Observation observe",
    "instrumentation.slow": "log_slow_queries",
    "limits": "Limits",
    "maintenance": "acheck acopy ainspect areindex check copy inspect reindex",
    "model": "Model",
    "operations.reading.paging": "Page",
    "operations.reading.prefetch": "Prefetch",
    "query.aggregates": "Avg Count Max Min StdDev Sum Variance",
    "query.conditional": "Case When",
    "query.expressions": "F Value",
    "query.q": "Q",
    "query.subqueries": "Exists OuterRef Subquery",
    "query.window_frames": "RowRange ValueRange WindowFrameExclusion",
    "query.windows": "Window",
    "querysets.managers": "Manager",
    "querysets.prefetching": "aprefetch_related_objects prefetch_related_objects",
    "querysets.queryset": "QuerySet",
    "reports": "Adopted CacheStats Copied Dumped Finding IndexState Loaded Migrated ModelState Progress Reindexed "
    "Report",
    "schema.fields": "Field",
    "schema.hooks": "after_delete after_save before_delete before_save",
    "schema.options": "Index UniqueConstraint",
    "schema.relations": "CASCADE DO_NOTHING PROTECT RESTRICT SET SET_DEFAULT SET_NULL",
    "transactions": "atomic",
}
_SUBMODULES = {"functions", "migrations", "signals"}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

# Type checkers would take this function as a sign that every name exists.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Loads a public name from its module, and keeps it."""
        if name in _SUBMODULES:
            return import_module(f".{name}", __name__)
        if name not in _HOME_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
        return value

    def __dir__() -> list[str]:
        """The public names, for completion."""
        return sorted({*globals(), *__all__})
