"""Spans, received by OTLP over HTTP and kept in memory by trace: what the page shows as journeys."""

import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2

KINDS = ("internal", "internal", "server", "client", "producer", "consumer")
ROWS_AT_MOST = 200
JOURNEYS = 50


@dataclass(frozen=True, slots=True)
class Span:
    """One span. Ids are lower-case hex, times nanoseconds since the epoch; `parent` is empty at the root."""

    trace_id: str
    span_id: str
    parent: str
    service: str
    name: str
    kind: str
    start_ns: int
    end_ns: int
    failed: bool = False


@dataclass
class Trace:
    """The spans of one trace so far. `left_out` counts those beyond the limit per trace."""

    id: str
    spans: dict[str, Span] = field(default_factory=dict)
    services: set[str] = field(default_factory=set)
    touched: float = 0.0
    left_out: int = 0

    @property
    def tops(self) -> list[Span]:
        """Spans whose parent is not here, the earliest first; of a whole trace these are what the caller began."""
        spans = sorted(self.spans.values(), key=lambda s: s.start_ns)
        return [s for s in spans if s.parent not in self.spans] or spans[:1]  # spans in a ring: cut at the earliest

    @property
    def whole(self) -> bool:
        """No span hangs in the air: there is one root, or all tops continue one span of the caller's."""
        tops = self.tops
        return len({top.parent for top in tops}) == 1 and (len(tops) == 1 or tops[0].parent != "")

    def goes(self, first: str, last: str) -> bool:
        """It is whole, began in one service and led another to publish something."""
        if first not in self.services or last not in self.services:
            return False
        said = any(span.service == last and span.kind == "producer" for span in self.spans.values())
        return said and self.whole and self.tops[0].service == first

    def view(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """The trace as JSON with the given rows; times in microseconds from its start."""
        spans, root = self.spans.values(), self.tops[0]
        start, end = min(s.start_ns for s in spans), max(s.end_ns for s in spans)
        services = list(dict.fromkeys(s.service for s in sorted(spans, key=lambda s: s.start_ns)))
        return {
            "trace_id": self.id,
            "root": {"span_id": root.span_id, "service": root.service, "name": root.name},
            "started_at": datetime.fromtimestamp(start / 1e9, UTC).isoformat().replace("+00:00", "Z"),
            "duration_us": (end - start) // 1000,
            "services": services,
            "span_count": len(self.spans) + self.left_out,
            "whole": self.whole,
            "spans": rows,
        }

    def rows(self, *, folded: bool) -> list[dict[str, Any]]:
        """The spans depth first. Folded, what is alike under one parent is one row.

        A folded row has the times of its first span, the `count` of spans it stands for and in `until_us` the end of
        the last; the children of all of them hang under it. There are at most 200 folded rows.
        """
        children: dict[str, list[Span]] = defaultdict(list)
        tops = self.tops
        top_ids = {top.span_id for top in tops}
        for span in self.spans.values():
            if span.span_id not in top_ids:
                children[span.parent].append(span)
        begin = min(span.start_ns for span in self.spans.values())
        rows: list[dict[str, Any]] = []
        waiting = [(group, 0) for group in reversed(_groups(tops, folded))]
        while waiting and (len(rows) < ROWS_AT_MOST or not folded):
            group, depth = waiting.pop()
            first = group[0]
            rows.append(
                {
                    "span_id": first.span_id,
                    "parent": first.parent,
                    "service": first.service,
                    "name": first.name,
                    "kind": first.kind,
                    "depth": depth,
                    "start_us": (first.start_ns - begin) // 1000,
                    "duration_us": (first.end_ns - first.start_ns) // 1000,
                    "failed": any(span.failed for span in group),
                    "count": len(group),
                    "until_us": (max(span.end_ns for span in group) - begin) // 1000,
                }
            )
            below = [child for span in group for child in children[span.span_id]]
            waiting += [(next_group, depth + 1) for next_group in reversed(_groups(below, folded))]
        return rows


def _groups(spans: list[Span], folded: bool) -> list[list[Span]]:
    """Spans of one level in order of their start, those of one service and name together when folded."""
    groups: dict[object, list[Span]] = defaultdict(list)
    for span in sorted(spans, key=lambda s: s.start_ns):
        groups[(span.service, span.name) if folded else span.span_id].append(span)
    return list(groups.values())


class TraceStore:
    """Traces in memory, bounded: at `max_spans` in all, those quiet for longest go, whole.

    Spans may come in any order, late and twice. For one event loop, or under the caller's lock.
    """

    def __init__(
        self,
        max_spans: int = 100_000,
        max_spans_per_trace: int = 5_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_spans, self._max_spans_per_trace, self._clock = max_spans, max_spans_per_trace, clock
        self._traces: OrderedDict[str, Trace] = OrderedDict()
        self._held = 0

    def __len__(self) -> int:
        """How many traces are held."""
        return len(self._traces)

    @property
    def span_count(self) -> int:
        """How many spans are held; never above `max_spans`."""
        return self._held

    def add(self, spans: Iterable[Span]) -> None:
        for span in spans:
            trace = self._traces.setdefault(span.trace_id, Trace(span.trace_id))
            self._traces.move_to_end(span.trace_id)
            trace.touched = self._clock()
            if span.span_id in trace.spans:
                continue
            if len(trace.spans) >= min(self._max_spans_per_trace, self._max_spans):
                trace.left_out += 1
                continue
            trace.spans[span.span_id] = span
            trace.services.add(span.service)
            self._held += 1
            while self._held > self._max_spans:
                _, dropped = self._traces.popitem(last=False)
                self._held -= len(dropped.spans)

    def trace(self, trace_id: str) -> Trace | None:
        return self._traces.get(trace_id)

    def journey(self, *, first: str = "gateway", last: str = "notify", quiet_for: float = 2.0) -> Trace | None:
        """The trace that best tells what the market does: begun at `first`, said by `last`, nothing missing.

        Of the latest fifty such traces it is the one through most services, and of several the latest. A trace counts
        once no span of it has come for `quiet_for` seconds.
        """
        settled = self._clock() - quiet_for
        told = (t for t in reversed(self._traces.values()) if t.touched <= settled and t.goes(first, last))
        return max(islice(told, JOURNEYS), key=lambda trace: len(trace.services), default=None)


def decode(body: bytes) -> list[Span]:
    """The spans of an OTLP ExportTraceServiceRequest in protobuf; ValueError when it is none."""
    request = ExportTraceServiceRequest()
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        raise ValueError("not an OTLP trace request in protobuf") from error
    spans = []
    for resource in request.resource_spans:
        named = (a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
        service = next(named, "") or "unknown"
        spans += [_span(s, service) for scope in resource.scope_spans for s in scope.spans if s.trace_id and s.span_id]
    return spans


def _span(span: trace_pb2.Span, service: str) -> Span:
    return Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        service=service,
        name=span.name,
        kind=KINDS[span.kind] if span.kind < len(KINDS) else "internal",
        start_ns=span.start_time_unix_nano,
        end_ns=max(span.end_time_unix_nano, span.start_time_unix_nano),
        failed=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
    )
