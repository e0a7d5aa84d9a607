"""Logs, traces and metrics, set up once per process and the same for every service."""

import asyncio
import logging
import sys
import threading
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

import structlog
from opentelemetry import context, propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import Counter, Gauge, Histogram

from shared.settings import Settings


class Metrics:
    """Every metric of the suite. Labels are services, topics and codes: never a person."""

    def __init__(self) -> None:
        self.lag = Gauge("kuaizhao_consumer_lag", "Events not yet handled", ["service", "topic", "partition"])
        self.outbox_age = Gauge("kuaizhao_outbox_age_seconds", "Age of the oldest unpublished event", ["service"])
        self.batch_size = Histogram(
            "kuaizhao_batch_events",
            "Events in one transaction",
            ["service"],
            buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500),
        )
        self.batch_seconds = Histogram("kuaizhao_batch_seconds", "Time for one batch", ["service"])
        self.handled = Counter("kuaizhao_events_handled_total", "Events whose effect is committed", ["service", "type"])
        self.repeated = Counter("kuaizhao_events_repeated_total", "Events seen before and left alone", ["service"])
        self.fenced = Counter("kuaizhao_batches_fenced_total", "Batches another process had done", ["service"])
        self.dead = Counter("kuaizhao_dead_letters_total", "Events set aside", ["service", "reason"])
        self.dead_standing = Gauge(
            "kuaizhao_dead_letters_waiting", "Letters set aside that nobody has dealt with", ["service", "kind"]
        )
        self.ready = Gauge("kuaizhao_ready", "1 while nothing stands in the way of its work (see /ready)", ["service"])
        self.fuse_blown = Gauge("kuaizhao_fuse_blown", "1 while consumption stands still until a reset", ["service"])
        self.overdue = Gauge("kuaizhao_timer_overdue_seconds", "How long the oldest timer is overdue", ["service"])
        self.published = Counter("kuaizhao_events_published_total", "Events acknowledged by Kafka", ["service", "type"])
        self.unit_retries = Counter("kuaizhao_unit_retries_total", "Units run again after a conflict", ["service"])
        self.group = Histogram(
            "kuaizhao_commands_together",
            "Commands that committed in one transaction",
            ["service"],
            buckets=(1, 2, 4, 8, 16, 32),
        )
        self.timers_fired = Counter(
            "kuaizhao_timers_fired_total", "Timers whose effect is committed", ["service", "name"]
        )
        self.turned_away = Counter(
            "kuaizhao_requests_turned_away_total", "Requests answered 429 for want of room", ["service", "kind"]
        )
        self.insurer_answers = Counter(
            "kuaizhao_insurer_answers_total", "What came of asking the insurer for cover", ["ask", "outcome"]
        )
        self.insurer_owes = Gauge(
            "kuaizhao_insurer_owes_seconds", "How long the insurer has owed its oldest answer", ["service"]
        )
        self.clock_skew = Gauge("kuaizhao_clock_skew_seconds", "This clock minus the database's", ["service"])
        self.key_turns = Gauge("kuaizhao_key_turns_timestamp_seconds", "When the signing key turns", ["service"])
        self.certificate_expiry = Gauge(
            "kuaizhao_certificate_expiry_timestamp_seconds", "When a certificate ends", ["service", "certificate"]
        )
        self.time_to_offer = Histogram(
            "kuaizhao_time_to_offer_seconds",
            "From the later of post and check-in to the offer",
            ["district"],
            buckets=(0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30, 60, 300),
        )
        self.time_to_placement = Histogram(
            "kuaizhao_time_to_placement_seconds",
            "From check-in to placement",
            ["district"],
            buckets=(0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600),
        )


LINKS_AT_MOST = 128
"""What OpenTelemetry's SDK keeps of a span's links."""

METRICS = Metrics()
tracer = trace.get_tracer("kuaizhao")


def start_logs(settings: Settings, service: str) -> None:
    """JSON lines on standard output with the service and, inside a span, its trace and span id."""

    def with_trace(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            event["trace_id"], event["span_id"] = f"{span.trace_id:032x}", f"{span.span_id:016x}"
        event.setdefault("service", service)
        return event

    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shape: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        with_trace,
    ]
    structlog.configure(
        processors=[
            *shape,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
    )
    # The libraries' own lines, in the same form; what they repeat each second in an outage stays out.
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shape, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def start_traces(settings: Settings, service: str) -> TracerProvider:
    """A tracer provider for one service; spans go to `otlp_url` by OTLP over HTTP.

    Where that is empty no trace is begun that would be recorded; it is no more than an id that logs and messages carry.
    """
    propagate.set_global_textmap(TraceContextTextMapPropagator())
    provider = TracerProvider(
        resource=Resource.create({"service.name": service}),
        sampler=ParentBased(TraceIdRatioBased(settings.trace_ratio if settings.otlp_url else 0.0)),
        shutdown_on_exit=False,
    )
    if settings.otlp_url:
        exporter = OTLPSpanExporter(endpoint=f"{settings.otlp_url.rstrip('/')}/v1/traces", timeout=5)
        provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=500))
    return provider


async def end_traces(provider: TracerProvider, *, within: float) -> None:
    """Send the spans that wait, for so many seconds at most; by itself it would take 30 where nobody takes them."""
    sending = threading.Thread(target=provider.shutdown, daemon=True)
    sending.start()
    await asyncio.to_thread(sending.join, within)


@contextmanager
def span_from(
    tracer: trace.Tracer,
    name: str,
    carrier: Mapping[str, str],
    kind: SpanKind,
    attributes: Mapping[str, str | int],
    links: tuple[Link, ...] = (),
) -> Iterator[Span]:
    """A span that continues the trace in `carrier` (its `traceparent`), current inside the block.

    What OpenTelemetry's own `start_as_current_span` does, in one step instead of three: it stands around every event.
    """
    before = propagate.extract(carrier)
    span = tracer.start_span(name, before, kind, attributes, links)
    token = context.attach(trace.set_span_in_context(span, before))
    try:
        yield span
    except Exception as error:
        # Its kind alone: a message may hold what a person wrote.
        span.set_status(Status(StatusCode.ERROR, type(error.__cause__ or error).__name__))
        raise
    finally:
        context.detach(token)
        span.end()


@contextmanager
def publishing(tracer: trace.Tracer, topic: str, carriers: Sequence[Mapping[str, str]]) -> Iterator[None]:
    """A span for a batch of messages: in their trace if all are of one, else one of its own that links to theirs."""
    traced = {carrier.get("traceparent", ""): carrier for carrier in carriers}
    attributes: dict[str, str | int] = {
        "messaging.system": "kafka",
        "messaging.operation.type": "send",
        "messaging.destination.name": topic,
        "messaging.batch.message_count": len(carriers),
    }
    parent = next(iter(traced.values())) if len(traced) == 1 else {}
    links = () if parent else tuple(Link(span_context(carrier)) for carrier in list(traced.values())[:LINKS_AT_MOST])
    with span_from(tracer, f"publish {topic}", parent, SpanKind.PRODUCER, attributes, links):
        yield


def span_context(carrier: Mapping[str, str]) -> SpanContext:
    """Whose trace and span a carrier's `traceparent` names; an invalid one if none."""
    return trace.get_current_span(propagate.extract(carrier)).get_span_context()
