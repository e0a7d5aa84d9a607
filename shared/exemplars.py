"""From a slow figure to its trace: the trace id that a histogram keeps beside its bucket (OpenMetrics exemplars)."""

from collections.abc import Mapping

from opentelemetry import propagate, trace


def exemplar(carrier: Mapping[str, str] | None = None) -> dict[str, str] | None:
    """The trace in `carrier` (its `traceparent`), or the current one; None when nobody records it."""
    span = trace.get_current_span(None if carrier is None else propagate.extract(carrier)).get_span_context()
    return {"trace_id": f"{span.trace_id:032x}"} if span.is_valid and span.trace_flags.sampled else None
