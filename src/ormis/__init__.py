"""ormis: an ORM for Redis and Valkey, with models typed by pydantic and a query API in the spirit of Django's.

import ormis
from ormis import Field, ForeignKey

class Question(ormis.Model):
    question_text: str = Field(max_length=200)

ormis.connect("embedded://")
Question(question_text="Nike or Adidas?").save()
"""

from . import functions, signals
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
from .reports import CacheStats, Copied, Dumped, Finding, IndexState, Loaded, ModelState, Progress, Reindexed, Report
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
    "dump", "adump", "load", "aload",
    "CacheStats", "Copied", "Dumped", "Finding", "IndexState", "Loaded", "ModelState", "Progress", "Reindexed",
    "Report",
    # observing it
    "observe", "log_slow_queries", "CallEvent", "Observation", "Observer", "OperationEvent",
    # errors
    "ClusterError", "ConflictError", "DoesNotExist", "FieldError", "ForeignKeyViolation", "IntegrityError",
    "LayoutError", "ModelError", "MultipleObjectsReturned", "NotConnected", "OrmisError", "PageTokenError",
    "ProtectedError", "RelationNotLoaded", "RestrictedError", "StoredDataError", "UniqueViolation",
]  # fmt: skip
