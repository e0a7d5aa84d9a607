"""The trace store: bounded, patient with order and repetition, and honest about what is whole."""

import gzip
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, Status, StatusCode

from clients.web.traces import Span, Trace, TraceStore, decode

MS = 1_000_000


def span(
    id: str,
    parent: str = "",
    service: str = "gateway",
    *,
    trace: str = "t",
    name: str = "",
    kind: str = "internal",
    at: int = 0,
    took: int = 1,
) -> Span:
    """A span whose times are milliseconds since the epoch."""
    return Span(trace, id, parent, service, name or f"step {id}", kind, at * MS, (at + took) * MS)


JOURNEY = [
    span("a", "", "gateway", at=0, took=20),
    span("b", "a", "posting", at=2, took=15),
    span("c", "b", "matching", at=30, took=5),
    span("d", "c", "notify", kind="producer", at=40, took=9),
]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def stored(spans: Sequence[Span]) -> Trace:
    store = TraceStore()
    store.add(spans)
    found = store.trace(spans[0].trace_id)
    assert found is not None
    return found


# --- bounds ----------------------------------------------------------------------------------------------------------


def test_when_full_the_trace_that_was_quiet_longest_goes_whole() -> None:
    store = TraceStore(max_spans=4)
    store.add([span("1", trace="old"), span("2", "1", trace="old"), span("3", trace="mid"), span("4", trace="new")])
    store.add([span("5", "1", trace="old")])  # no longer the quietest
    assert [store.trace(t) is not None for t in ("old", "mid", "new")] == [True, False, True]
    assert store.span_count == 4


def test_the_bound_holds_over_many_traces() -> None:
    store = TraceStore(max_spans=50)
    for n in range(200):
        store.add([span(f"{n}-{i}", trace=str(n)) for i in range(3)])
        assert store.span_count <= 50
    assert store.trace("199") is not None
    assert store.trace("0") is None
    assert len(store) == store.span_count // 3


def test_one_endless_trace_cannot_push_out_the_others() -> None:
    store = TraceStore(max_spans=100, max_spans_per_trace=10)
    store.add([span("x", trace="small")])
    store.add([span(str(n), trace="endless") for n in range(500)])
    endless = store.trace("endless")
    assert store.trace("small") is not None
    assert endless is not None
    assert (len(endless.spans), endless.left_out) == (10, 490)
    assert endless.view([])["span_count"] == 500


def test_a_span_sent_twice_counts_once() -> None:
    store = TraceStore()
    store.add([*JOURNEY, *JOURNEY])
    assert store.span_count == len(JOURNEY)


# --- whole or not ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(permutations(JOURNEY)))
def test_a_trace_is_whole_in_whatever_order_its_spans_come(order: tuple[Span, ...]) -> None:
    trace = stored(order)
    assert trace.whole
    assert trace.tops == [JOURNEY[0]]
    assert [row["span_id"] for row in trace.rows(folded=True)] == ["a", "b", "c", "d"]


def test_a_gap_in_the_middle_makes_it_broken() -> None:
    assert not stored([JOURNEY[0], JOURNEY[1], JOURNEY[3]]).whole


def test_requests_of_one_caller_are_whole_together_though_the_callers_own_span_is_elsewhere() -> None:
    assert stored([span("a", "caller"), span("b", "caller", at=5), span("c", "b", "matching", at=6)]).whole
    assert not stored([span("a", "caller"), span("b", "somebody-else", at=5)]).whole


def test_two_roots_in_one_trace_are_not_whole() -> None:
    assert not stored([span("a"), span("b", at=5)]).whole


def test_spans_in_a_ring_neither_hang_nor_vanish() -> None:
    ring = stored([span("a", "b", at=1), span("b", "a", at=2)])
    assert [row["span_id"] for row in ring.rows(folded=True)] == ["a", "b"]


# --- journeys --------------------------------------------------------------------------------------------------------


def renamed(trace: str, spans: Sequence[Span] = JOURNEY) -> list[Span]:
    return [Span(trace, s.span_id, s.parent, s.service, s.name, s.kind, s.start_ns, s.end_ns) for s in spans]


def test_the_journey_goes_from_the_edge_to_the_notice_and_is_the_latest_of_those() -> None:
    clock = Clock()
    store = TraceStore(clock=clock)
    for trace, spans in (
        ("first", JOURNEY),
        ("second", JOURNEY),
        ("broken", [JOURNEY[0], JOURNEY[3]]),
        ("no notice", JOURNEY[:3]),
        ("begun inside", JOURNEY[1:]),
        ("nothing said", [*JOURNEY[:3], span("d", "c", "notify", at=40)]),
    ):
        store.add(renamed(trace, spans))
    clock.now += 10
    found = store.journey()
    assert found is not None
    assert found.id == "second"


def test_a_journey_counts_once_it_has_been_quiet() -> None:
    clock = Clock()
    store = TraceStore(clock=clock)
    store.add(renamed("older"))
    clock.now += 5
    store.add(renamed("newer"))
    clock.now += 1.5
    assert (found := store.journey(quiet_for=2)) is not None
    assert found.id == "older"
    clock.now += 1
    assert (found := store.journey(quiet_for=2)) is not None
    assert found.id == "newer"


def test_of_the_latest_journeys_the_one_through_most_services_is_told() -> None:
    clock = Clock()
    store = TraceStore(clock=clock)
    store.add(renamed("long", [*JOURNEY, span("e", "c", "rights", at=45)]))
    for n in range(10):
        store.add(renamed(f"short {n}"))
    clock.now += 10
    assert (found := store.journey()) is not None
    assert found.id == "long"
    for n in range(50):
        store.add(renamed(f"later {n}"))
    clock.now += 10
    assert (found := store.journey()) is not None
    assert found.id == "later 49"


def test_without_a_complete_journey_there_is_none() -> None:
    assert TraceStore().journey() is None


# --- rows ------------------------------------------------------------------------------------------------------------


def test_a_view_gives_times_from_the_start_of_the_trace() -> None:
    trace = stored([span("a", at=1_700_000_000_000, took=30), span("b", "a", "posting", at=1_700_000_000_010, took=40)])
    view = trace.view(trace.rows(folded=False))
    assert view["root"] == {"span_id": "a", "service": "gateway", "name": "step a"}
    assert (view["started_at"], view["duration_us"]) == ("2023-11-14T22:13:20Z", 50_000)
    assert view["services"] == ["gateway", "posting"]
    assert [(r["span_id"], r["parent"], r["start_us"], r["duration_us"]) for r in view["spans"]] == [
        ("a", "", 0, 30_000), ("b", "a", 10_000, 40_000),
    ]  # fmt: skip


def outline(rows: list[dict[str, Any]]) -> list[tuple[int, str, int]]:
    return [(row["depth"], row["name"], row["count"]) for row in rows]


def test_folded_what_is_alike_under_one_parent_is_one_row_with_all_its_children() -> None:
    offers = [span(f"o{n}", "m", "matching", name="publish offer", at=10 + n, took=2) for n in range(30)]
    heard = [span(f"n{n}", f"o{n}", "notify", name="process offer", at=20 + n, took=3) for n in range(30)]
    trace = stored([span("g", name="POST"), span("m", "g", "matching", name="match", at=5), *offers, *heard])
    rows = trace.rows(folded=True)
    assert outline(rows) == [(0, "POST", 1), (1, "match", 1), (2, "publish offer", 30), (3, "process offer", 30)]
    assert (rows[3]["start_us"], rows[3]["duration_us"], rows[3]["until_us"]) == (20_000, 3_000, 52_000)
    assert len(trace.rows(folded=False)) == 62


def test_siblings_keep_the_order_of_their_start_and_their_children_under_them() -> None:
    below = [span("late", "a", at=9), span("early", "a", at=3), span("child", "early", at=50), span("x", "a", at=6)]
    trace = stored([span("a"), *below])
    assert [row["span_id"] for row in trace.rows(folded=True)] == ["a", "early", "child", "x", "late"]


def test_folded_rows_are_bounded() -> None:
    assert len(stored([span(str(n), "caller", name=f"call {n}", at=n) for n in range(500)]).rows(folded=True)) == 200


# --- OTLP ------------------------------------------------------------------------------------------------------------


class Caught(SpanExporter):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans += spans
        return SpanExportResult.SUCCESS


def test_what_the_sdk_sends_is_read_whole() -> None:
    caught = Caught()
    provider = TracerProvider(resource=Resource.create({"service.name": "posting"}))
    provider.add_span_processor(SimpleSpanProcessor(caught))
    with provider.get_tracer("t").start_as_current_span("POST /api/posting/gigs", kind=SpanKind.SERVER) as root:
        with provider.get_tracer("t").start_as_current_span("publish", kind=SpanKind.PRODUCER) as inner:
            inner.set_status(Status(StatusCode.ERROR))
    context = root.get_span_context()
    published, posted = decode(encode_spans(caught.spans).SerializeToString())
    assert posted.trace_id == published.trace_id == f"{context.trace_id:032x}"
    assert (posted.parent, published.parent) == ("", posted.span_id)
    assert (posted.service, posted.name, posted.kind) == ("posting", "POST /api/posting/gigs", "server")
    assert (published.kind, published.failed, posted.failed) == ("producer", True, False)
    assert posted.start_ns <= published.start_ns <= published.end_ns <= posted.end_ns


@pytest.mark.parametrize("body", [b"not protobuf", b"\x0a\xff", gzip.compress(b"zipped by mistake")])
def test_what_is_no_trace_request_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="not an OTLP trace request"):
        decode(body)
