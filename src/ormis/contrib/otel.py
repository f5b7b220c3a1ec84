"""ormis in OpenTelemetry: spans and metrics of operations, with the names of models, and of the calls of each.

    instrument()

Without a provider the global ones of OpenTelemetry are used. It needs `opentelemetry-api` alone: what is done with the
spans and metrics, the application's SDK says.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import ormis

try:
    from opentelemetry.metrics import MeterProvider, get_meter_provider
    from opentelemetry.trace import Span, SpanKind, TracerProvider, get_tracer_provider
except ModuleNotFoundError as error:
    raise ImportError('ormis.contrib.otel needs OpenTelemetry: pip install "ormis[otel]"') from error

__all__ = ["instrument", "uninstrument"]

_SYSTEM = "redis"
"""The name of the database in OpenTelemetry's conventions, which have none for Valkey."""
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The bounds of the histogram of durations, unless a view of the application has others."""
_ROWS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
_READING = frozenset("query get first last earliest latest page around in_bulk claim iterator load".split())
_lock = Lock()
_running: dict[ormis.Database | None, ormis.Observation] = {}

Attributes = dict[str, Any]


def instrument(
    database: ormis.Database | None = None,
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> None:
    """Makes spans and metrics of operations from now on, until uninstrument().

    database: of this database only; of several, call it once for each. Called again for the same, it replaces what is
        there.
    tracer_provider, meter_provider: where they go; by default the global ones.

    A span `ormis.get Choice` for an operation; in it one of kind CLIENT for each call to the server, named by the
    command as redis-py's instrumentation does it: `HMGET`, `EVALSHA`. A block of atomic() is the span `ormis.atomic`.
    The histogram `db.client.operation.duration` has the seconds of operations.

        instrument()
        Choice.get(1)
    """
    observer = _Telemetry(tracer_provider or get_tracer_provider(), meter_provider or get_meter_provider())
    with _lock:
        if database in _running:
            _running.pop(database).stop()
        _running[database] = ormis.observe(observer, database)


def uninstrument() -> None:
    """Ends what instrument() began, all of it."""
    with _lock:
        while _running:
            _running.popitem()[1].stop()


class _Telemetry:
    """The observer that makes spans and metrics."""

    def __init__(self, tracers: TracerProvider, meters: MeterProvider) -> None:
        self._tracer = tracers.get_tracer("ormis", ormis.__version__)
        meter = meters.get_meter("ormis", ormis.__version__)
        self._duration = meter.create_histogram(
            "db.client.operation.duration",
            "s",
            "Duration of operations of ormis",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._rows = meter.create_histogram(
            "db.client.response.returned_rows",
            "{row}",
            "Objects or rows that an operation has returned",
            explicit_bucket_boundaries_advisory=_ROWS,
        )
        self._calls = meter.create_counter("ormis.calls", "{call}", "Calls to the server")
        self._lookups = meter.create_counter("ormis.cache.lookups", "{lookup}", "Reads by key that the cache may serve")

    @contextmanager
    def operation(self, event: ormis.OperationEvent, /) -> Generator[None]:
        """A span around the operation, and its metrics at the end."""
        attributes = _of_operation(event)
        with self._tracer.start_as_current_span(f"ormis.{event}", attributes=attributes) as span:
            try:
                yield
            finally:
                if event.error is not None:
                    attributes["error.type"] = type(event.error).__qualname__
                if span.is_recording():
                    span.set_attributes(attributes | _of_result(event))
                self._measure(event, attributes)

    @contextmanager
    def call(self, event: ormis.CallEvent, /) -> Generator[None]:
        """A span around the call."""
        commands = event.commands
        name = commands[0] if len(commands) == 1 else "PIPELINE"
        attributes = _of_call(event, name, len(commands))
        self._calls.add(len(event.calls), {"db.system.name": _SYSTEM, "db.operation.name": name})
        with self._tracer.start_as_current_span(name, kind=SpanKind.CLIENT, attributes=attributes) as span:
            try:
                yield
            except BaseException as error:
                _set_error(span, error)
                raise

    def wants_plan(self, _event: ormis.OperationEvent, /) -> bool:
        """Returns False: a plan takes a call more."""
        return False

    def _measure(self, event: ormis.OperationEvent, attributes: Mapping[str, Any]) -> None:
        measured = {name: value for name, value in attributes.items() if name != "ormis.relation"}
        self._duration.record(event.duration, measured)
        if event.rows is not None and event.name in _READING:
            self._rows.record(event.rows, measured)
        if event.cache is not None:
            self._lookups.add(1, measured | {"ormis.cache.result": event.cache})


def _set_error(span: Span, error: BaseException) -> None:
    if span.is_recording():
        span.set_attribute("error.type", type(error).__qualname__)


# Attributes, after the semantic conventions of OpenTelemetry for databases --------------------------------------------


def _of_operation(event: ormis.OperationEvent) -> Attributes:
    attributes: Attributes = {"db.system.name": _SYSTEM, "db.operation.name": event.name}
    if event.model:
        attributes["db.collection.name"] = event.model
    if event.database is not None:
        attributes |= _of_url(event.database.url)
    if event.relation:
        attributes["ormis.relation"] = event.relation
    return attributes


def _of_result(event: ormis.OperationEvent) -> Attributes:
    """What is known at the end, for spans alone: metrics by these would be too many."""
    attributes: Attributes = {"ormis.calls": event.calls}
    if event.rows is not None:
        attributes["db.response.returned_rows" if event.name in _READING else "ormis.written_rows"] = event.rows
    if event.partitions:
        attributes["ormis.partitions"] = sorted(event.partitions)
    if event.cache is not None:
        attributes["ormis.cache.hit"] = event.cache == "hit"
    return attributes


def _of_call(event: ormis.CallEvent, name: str, commands: int) -> Attributes:
    attributes: Attributes = {"db.system.name": _SYSTEM, "db.operation.name": name, **_of_client(event)}
    if commands > 1:
        attributes["db.operation.batch.size"] = commands
    if event.scripts:
        attributes["db.stored_procedure.name"] = ",".join(event.scripts)
    if event.operation is not None and event.operation.model:
        attributes["db.collection.name"] = event.operation.model
    if event.partitions:
        attributes["ormis.partitions"] = sorted(event.partitions)
    return attributes


def _of_client(event: ormis.CallEvent) -> Mapping[str, Any]:
    """Where the call goes: the server of the client, else that of the database."""
    if event.client is None:
        database = None if event.operation is None else event.operation.database
        return {} if database is None else _of_url(database.url)
    settings: Mapping[str, Any] = event.client.connection_pool.connection_kwargs
    if "path" in settings:
        return {"server.address": settings["path"]}
    if "host" not in settings:  # of a sentinel, which chooses the server
        return {}
    return {"server.address": settings["host"], "server.port": settings.get("port", 6379)}


@lru_cache(64)
def _of_url(url: str) -> Mapping[str, Any]:
    """The address in the URL of a database: host and port, or the path of a socket or of an embedded server."""
    parts = urlsplit(url.partition(",")[0])
    if parts.scheme in ("unix", "embedded"):
        return {"server.address": parts.path or url}
    attributes: Attributes = {"server.address": parts.hostname or url}
    if parts.port is not None:
        attributes["server.port"] = parts.port
    return attributes
