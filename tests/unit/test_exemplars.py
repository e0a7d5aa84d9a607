"""A figure leads to its trace when somebody records that trace."""

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from shared.exemplars import exemplar

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_the_trace_of_a_carrier_or_the_current_one() -> None:
    assert exemplar({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}) == {"trace_id": TRACE}
    with trace.use_span(TracerProvider(shutdown_on_exit=False).get_tracer("t").start_span("now")) as span:
        assert exemplar() == {"trace_id": f"{span.get_span_context().trace_id:032x}"}


def test_a_trace_that_nobody_records_is_not_named() -> None:
    assert exemplar() is None
    assert exemplar({}) is None
    assert exemplar({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-00"}) is None
