"""ormis.contrib.otel: the spans and metrics of operations and calls, beside redis-py's own instrumentation."""

import importlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import redis
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import ormis
from caching import Town, caching, warm
from modes import MODES, do
from ormis import CASCADE, Field, ForeignKey, Related
from ormis.contrib.otel import instrument, uninstrument
from servers import start_server


class Question(ormis.Model):
    text: str = Field(unique=True)
    choices: Related["Choice"] = Related()

    class Meta:
        key = "otel_question"


class Choice(ormis.Model):
    question: ForeignKey[Question | None] = ForeignKey(on_delete=CASCADE, related_name="choices")
    votes: int = Field(default=0, index=True)

    class Meta:
        key = "otel_choice"


class Vote(ormis.Model):
    number: int = Field(default=0, index=True)

    class Meta:
        key = "otel_vote"


class Exported:
    """The spans and metrics that an application would send away."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meters = MeterProvider([self._reader], shutdown_on_exit=False)

    @property
    def spans(self) -> list[ReadableSpan]:
        """Those that have ended, in that order."""
        return [*self._exporter.get_finished_spans()]

    @property
    def names(self) -> list[str]:
        """Their names."""
        return [span.name for span in self.spans]

    def of(self, name: str) -> ReadableSpan:
        """The only span of this name."""
        (span,) = [span for span in self.spans if span.name == name]
        return span

    def metric(self, name: str) -> list[tuple[Mapping[str, Any], Any]]:
        """The points of a metric, with their attributes."""
        data = self._reader.get_metrics_data()
        metrics = [m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics] if data else []
        return [
            (dict(point.attributes or {}), point) for m in metrics if m.name == name for point in m.data.data_points
        ]


def attributes(span: ReadableSpan) -> dict[str, Any]:
    """The attributes of a span, without the address."""
    return {name: value for name, value in (span.attributes or {}).items() if not name.startswith("server.")}


@pytest.fixture
def choice(db: ormis.Database) -> Choice:
    """A stored object."""
    return Choice(question=Question(text="Tea?").save(), votes=3).save()


@pytest.fixture
def exported(choice: Choice) -> Iterator[Exported]:
    """What is exported from here on."""
    exported = Exported()
    instrument(tracer_provider=exported.tracers, meter_provider=exported.meters)
    yield exported
    uninstrument()
    exported.meters.shutdown()


@pytest.mark.single_server("a span on a cluster names its partitions as well")
@MODES
async def test_an_operation_is_a_span_with_its_calls_in_it(choice: Choice, exported: Exported, mode: str) -> None:
    """The operation has the model's name and OpenTelemetry's attributes; the call is a client span inside it."""
    await do(mode, Choice, "get", choice.pk)
    call, operation = exported.spans
    assert (operation.name, operation.kind, operation.parent) == ("ormis.get Choice", SpanKind.INTERNAL, None)
    assert attributes(operation) == {
        "db.system.name": "redis",
        "db.operation.name": "get",
        "db.collection.name": "Choice",
        "db.response.returned_rows": 1,
        "ormis.calls": 1,
    }
    assert (call.name, call.kind) == ("HMGET", SpanKind.CLIENT)
    assert call.parent is not None
    assert call.parent.span_id == operation.context.span_id
    assert attributes(call) == {
        "db.system.name": "redis",
        "db.operation.name": "HMGET",
        "db.collection.name": "Choice",
    }
    assert operation.instrumentation_scope is not None
    assert operation.instrumentation_scope.version == ormis.__version__


@MODES
async def test_a_write_names_its_script(choice: Choice, exported: Exported, mode: str) -> None:
    """A script is the command EVALSHA and a stored procedure; the objects written are counted."""
    choice.votes = 4
    await do(mode, choice, "save")
    call, operation = exported.spans
    assert (call.name, operation.name) == ("EVALSHA", "ormis.save Choice")
    assert attributes(call)["db.stored_procedure.name"]
    assert attributes(operation)["ormis.written_rows"] == 1
    assert "db.response.returned_rows" not in attributes(operation)


@MODES
async def test_an_error_is_recorded(choice: Choice, exported: Exported, mode: str) -> None:
    """The span has the error's type, status and event; the metrics have the type."""
    with pytest.raises(ormis.UniqueViolation):
        await do(mode, Question(text="Tea?"), "save")
    span = exported.of("ormis.save Question")
    assert span.status.status_code is StatusCode.ERROR
    assert attributes(span)["error.type"] == "UniqueViolation"
    assert [event.name for event in span.events] == ["exception"]
    ((measured, _),) = exported.metric("db.client.operation.duration")
    assert measured["error.type"] == "UniqueViolation"


def test_an_error_of_a_call_is_recorded(choice: Choice, exported: Exported, raw: redis.Redis) -> None:
    """A call that fails has the error, too."""
    raw.delete(choice.key)
    raw.set(choice.key, "no hash")
    with pytest.raises(ormis.OrmisError):
        Choice.get(choice.pk)
    call, operation = exported.spans
    assert attributes(call)["error.type"] == "ResponseError"
    assert call.status.status_code is operation.status.status_code is StatusCode.ERROR


@MODES
async def test_a_block_is_a_span_with_children(choice: Choice, exported: Exported, mode: str) -> None:
    """atomic() is one span; what happens inside, and its end with the call, are its children."""
    choice.votes = 5
    if mode == "async":
        async with ormis.atomic():
            await choice.asave()
    else:
        with ormis.atomic():
            choice.save()
    save, call, commit, atomic = exported.spans
    assert [save.name, commit.name, atomic.name] == ["ormis.save Choice", "ormis.commit", "ormis.atomic"]
    parents = [span.parent.span_id if span.parent else None for span in (save, call, commit, atomic)]
    assert parents == [atomic.context.span_id, commit.context.span_id, atomic.context.span_id, None]
    assert attributes(atomic)["ormis.calls"] == 1


def test_what_is_loaded_is_a_span_with_the_relation(choice: Choice, exported: Exported) -> None:
    """A foreign key that is loaded on first use says which one."""
    _ = Choice.get(choice.pk).question
    assert attributes(exported.of("ormis.load Question"))["ormis.relation"] == "Choice.question"


def test_spans_of_the_application_are_their_parents(choice: Choice, exported: Exported) -> None:
    """An operation inside a span of the application is its child."""
    with exported.tracers.get_tracer("app").start_as_current_span("request") as request:
        Choice.get(choice.pk)
    parent = exported.of("ormis.get Choice").parent
    assert parent is not None
    assert parent.span_id == request.get_span_context().span_id


def test_durations_rows_and_calls_are_measured(choice: Choice, exported: Exported) -> None:
    """The histograms of seconds and rows by operation and model, and the counter of calls by command."""
    Choice.get(choice.pk)
    Choice.get(choice.pk)
    assert [*Choice.objects.filter(votes=9)] == []
    durations = {(m["db.operation.name"], m["db.collection.name"]): p for m, p in exported.metric(DURATION)}
    assert {key: point.count for key, point in durations.items()} == {("get", "Choice"): 2, ("query", "Choice"): 1}
    assert durations["get", "Choice"].sum > 0
    assert min(durations["get", "Choice"].explicit_bounds) < 0.001
    rows = {m["db.operation.name"]: p.sum for m, p in exported.metric("db.client.response.returned_rows")}
    assert rows == {"get": 2, "query": 0}
    calls = {m["db.operation.name"]: p.value for m, p in exported.metric("ormis.calls")}
    assert calls["HMGET"] == 2
    assert sum(calls.values()) == 3


DURATION = "db.client.operation.duration"


def test_the_server_is_named(choice: Choice, exported: Exported, db: ormis.Database, server_kind: str) -> None:
    """Spans have the host and the port, or the path of the socket, of calls and of operations."""
    with start_server(server_kind, tcp=True) as other, ormis.connect(other.tcp_url):
        Choice(votes=1).save()
    for span in exported.spans:
        values = dict(span.attributes or {})
        assert f"{values['server.address']}:{values['server.port']}" in other.tcp_url
    before = len(exported.spans)
    Choice.objects.using(db).count()
    addresses = {(span.attributes or {}).get("server.address") for span in exported.spans[before:]}
    assert len(addresses) == 1
    assert str(addresses.pop()) in db.url


@pytest.mark.single_server("connect(cache=) is not there yet on a cluster")
def test_cache_hits_are_counted(raw: redis.Redis, url: str) -> None:
    """A read that the cache serves is a span without a call, and a hit in the counter."""
    exported = Exported()
    with caching(url) as database:
        town = Town(name="Brno").save()
        warm(database, lambda: Town.get(town.pk))
        instrument(database, tracer_provider=exported.tracers, meter_provider=exported.meters)
        Town.get(town.pk)
        Town.get(town.pk)
        Town.get(town.pk, fresh=True)
        uninstrument()
    spans = [span for span in exported.spans if span.name == "ormis.get Town"]
    assert [attributes(span)["ormis.cache.hit"] for span in spans] == [True, True, False]
    assert [attributes(span)["ormis.calls"] for span in spans] == [0, 0, 1]
    lookups = {m["ormis.cache.result"]: p.value for m, p in exported.metric("ormis.cache.lookups")}
    assert lookups == {"hit": 2, "miss": 1}
    exported.meters.shutdown()


@pytest.mark.xdist_group("cluster")
def test_partitions_are_named(cluster_url: str) -> None:
    """On a cluster a query of all partitions is one client span; each names the partitions."""
    exported = Exported()
    with ormis.connect(f"{cluster_url}?partitions=4") as db:
        Vote(number=1).save()
        instrument(db, tracer_provider=exported.tracers, meter_provider=exported.meters)
        try:
            assert Vote.objects.count() == 1
        finally:
            uninstrument()
    operation = exported.of("ormis.count Vote")
    assert attributes(operation)["ormis.partitions"] == (0, 1, 2, 3)
    call = exported.spans[0]
    assert (call.name, attributes(call)["db.operation.batch.size"]) == ("PIPELINE", 4)
    assert attributes(call)["ormis.partitions"] == (0, 1, 2, 3)
    exported.meters.shutdown()


def test_instrumenting_again_replaces(choice: Choice, exported: Exported) -> None:
    """instrument() twice makes no span twice; uninstrument() ends all, and may be called again."""
    instrument(tracer_provider=exported.tracers, meter_provider=exported.meters)
    Choice.get(choice.pk)
    assert exported.names == ["HMGET", "ormis.get Choice"]
    uninstrument()
    uninstrument()
    Choice.get(choice.pk)
    assert len(exported.spans) == 2


@pytest.mark.single_server("is about clients of one server")
@MODES
async def test_beside_the_instrumentation_of_redis_py(
    choice: Choice, exported: Exported, db: ormis.Database, mode: str
) -> None:
    """With both, each call of ormis is one client span, and so is each command of the application's own client.

    redis-py's alone sees the latter and no call of ormis.
    """
    redis_py = RedisInstrumentor()
    redis_py.instrument(tracer_provider=exported.tracers)
    try:
        await do(mode, Choice, "get", choice.pk)
        await db.aclient.ping() if mode == "async" else db.client.ping()
        uninstrument()
        await do(mode, Choice, "get", choice.pk)
    finally:
        redis_py.uninstrument()
    assert exported.names == ["HMGET", "ormis.get Choice", "PING"]
    named = exported.of("PING"), exported.of("HMGET")
    assert [span.kind for span in named] == [SpanKind.CLIENT] * 2


@pytest.mark.single_server("looks at the connections of one server")
def test_a_client_of_another_class_is_seen_by_both(choice: Choice, exported: Exported, db: ormis.Database) -> None:
    """The calls go through `execute_command` of such a client, so that redis-py's span is inside that of ormis."""

    class Own(redis.Redis):
        def execute_command(self, *arguments: Any, **options: Any) -> Any:
            return super().execute_command(*arguments, **options)

    redis_py = RedisInstrumentor()
    redis_py.instrument(tracer_provider=exported.tracers)
    try:
        with Own(connection_pool=db.client.connection_pool) as client, ormis.connect(client=client, prefix=db.prefix):
            Choice.get(choice.pk)
    finally:
        redis_py.uninstrument()
    inner, outer = [span for span in exported.spans if span.kind is SpanKind.CLIENT][-2:]
    assert inner.parent is not None
    assert (inner.parent.span_id, inner.name) == (outer.context.span_id, "HMGET")


@pytest.mark.single_server("is about clients of one server")
@MODES
async def test_names_are_those_of_redis_py(choice: Choice, exported: Exported, db: ormis.Database, mode: str) -> None:
    """A call of ormis and the same command by redis-py's instrumentation have one name and kind."""
    redis_py = RedisInstrumentor()
    redis_py.instrument(tracer_provider=exported.tracers)
    try:
        await do(mode, Choice, "get", choice.pk)
        client: Any = db.aclient if mode == "async" else db.client
        command = client.hmget("otel_choice:x", ["votes"])
        _ = (await command) if mode == "async" else command
    finally:
        redis_py.uninstrument()
    by_ormis, _, by_redis_py = exported.spans
    assert (by_ormis.name, by_ormis.kind) == (by_redis_py.name, by_redis_py.kind) == ("HMGET", SpanKind.CLIENT)


def test_a_tracer_that_records_nothing(choice: Choice) -> None:
    """Without an SDK the providers of the API do nothing, and operations go on."""
    instrument()
    try:
        assert Choice.get(choice.pk).votes == 3
    finally:
        uninstrument()


def test_otel_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """`import ormis` does not need it (redis-py imports it where it is); without it the module says what to install."""
    check = "import sys; sys.modules['opentelemetry'] = None; import ormis; assert 'ormis.contrib' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True, env={"PYTHONPATH": ":".join(sys.path)})
    monkeypatch.delitem(sys.modules, "ormis.contrib.otel")
    monkeypatch.setitem(sys.modules, "opentelemetry.metrics", None)
    with pytest.raises(ImportError, match=r'pip install "ormis\[otel\]"'):
        importlib.import_module("ormis.contrib.otel")
