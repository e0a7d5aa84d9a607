"""Spans that nobody takes hold up no process that ends."""

import threading
from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from shared.telemetry import end_traces


class Slow(SpanExporter):
    """A store of traces that answers only when it may."""

    def __init__(self) -> None:
        self.may, self.asked, self.taken = threading.Event(), threading.Event(), 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.asked.set()
        self.may.wait()
        self.taken += len(spans)
        return SpanExportResult.SUCCESS


def waiting() -> tuple[TracerProvider, Slow]:
    exporter, provider = Slow(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    provider.get_tracer("test").start_span("one").end()
    return provider, exporter


async def test_spans_that_nobody_takes_are_left_behind() -> None:
    provider, exporter = waiting()
    await end_traces(provider, within=0.1)
    assert exporter.asked.wait(30)
    assert exporter.taken == 0
    exporter.may.set()


async def test_spans_that_wait_are_sent_at_the_end() -> None:
    provider, exporter = waiting()
    exporter.may.set()
    await end_traces(provider, within=30)
    assert exporter.taken == 1
