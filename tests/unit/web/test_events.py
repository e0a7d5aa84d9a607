"""What becomes of an event on its way to the page: what is shown of it, how it is framed, and who gets it."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from clients.web.app import TOPICS
from clients.web.events import WAITING_AT_MOST, Feed, describe, frame, open_topics

HEADERS = {
    "ce_id": "0197",
    "ce_type": "posting.gig-posted.v1",
    "ce_source": "/posting",
    "ce_subject": "gig-1",
    "ce_time": "2026-11-23T06:00:00Z",
    "traceparent": "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01",
}
GIG: dict[str, Any] = {
    "gig_id": "gig-1",
    "district": "430102",
    "terms": {
        "title": "快件分拣",
        "headcount": 10,
        "employer_name": "甲一分拨中心（虚构）",
        "place": {"lat": 28.2, "lon": 113.0, "address": "马王堆街道 1 号"},
        "pay": {"amount_fen": 2400, "unit": "hour", "mode": "same-day"},
    },
}


def described(body: dict[str, Any], **headers: str) -> dict[str, Any]:
    event = describe("posting.gig", HEADERS | headers, b"430102", json.dumps(body).encode())
    assert event is not None
    return event


# --- what is shown ---------------------------------------------------------------------------------------------------


def test_an_event_is_shown_with_what_the_page_needs_and_no_more() -> None:
    assert described(GIG) == {
        "id": "0197",
        "type": "posting.gig-posted.v1",
        "subject": "gig-1",
        "time": "2026-11-23T06:00:00Z",
        "district": "430102",
        "service": "posting",
        "trace_id": "ab" * 16,
        "summary": {"title": "快件分拣", "headcount": 10, "pay": GIG["terms"]["pay"]},
    }


def test_a_workers_id_is_not_shown() -> None:
    event = described({"worker_id": "w-1", "district": "430102", "profile": {"tier": 3}}, ce_subject="w-1")
    assert "w-1" not in json.dumps(event)
    assert event["summary"] == {}


def test_a_subject_that_holds_a_persons_id_is_not_shown() -> None:
    event = described({"person_id": "p-1", "delivery_id": "offer-made:p-1:sms"}, ce_subject="offer-made:p-1:sms")
    assert "p-1" not in json.dumps(event)


def test_a_personal_topics_key_is_not_taken_for_a_district() -> None:
    event = describe("notify.delivery", HEADERS, b"0197-person", json.dumps({"person_id": "0197-person"}).encode())
    assert event is not None
    assert event["district"] == ""


def test_without_a_trace_there_is_none_to_open() -> None:
    assert described(GIG, traceparent="")["trace_id"] == ""


@pytest.mark.parametrize("value", [None, b"", b"{", b"\xff\xfe", b"[]", b'"text"'])
def test_what_is_no_event_is_passed_over(value: bytes | None) -> None:
    assert describe("posting.gig", HEADERS, b"430102", value) is None


def test_a_record_without_cloudevents_headers_is_passed_over() -> None:
    assert describe("posting.gig", {}, b"430102", b"{}") is None


def test_the_open_topics_are_those_of_the_file_without_dead_letters(tmp_path: Path) -> None:
    file = tmp_path / "topics.yaml"
    file.write_text("topics:\n  - {name: posting.gig, key: district, more: 1}\n  - {name: posting.dead}\n")
    assert open_topics(file) == ["posting.gig"]


def test_the_real_file_has_the_market_topics() -> None:
    assert {"posting.gig", "workers.presence", "matching.offer", "matching.placement"} <= set(open_topics(TOPICS))


# --- framing ---------------------------------------------------------------------------------------------------------


def test_a_frame_is_named_numbered_and_ended_by_an_empty_line() -> None:
    assert frame({"a": 1}, event="market", event_id="7") == b'event: market\nid: 7\ndata: {"a":1}\n\n'


def test_a_line_break_in_the_data_cannot_end_the_frame_or_forge_another() -> None:
    sent = frame({"title": "x\n\nevent: status\ndata: {}"}, event_id="1\nevent: forged")
    assert sent.count(b"\n\n") == 1
    assert sent.startswith(b"id: 1event: forged\ndata: ")
    assert sent.count(b"\n") == 3


# --- the feed --------------------------------------------------------------------------------------------------------


def event(n: int) -> dict[str, Any]:
    return {"id": f"e{n}", "type": "posting.gig-posted.v1"}


class Reader:
    """Reads a stream frame by frame, parsed; comments and the retry line are left out."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self._stream = stream
        self._frames: list[tuple[str, Any]] = []

    async def next(self) -> tuple[str, Any]:
        while not self._frames:
            async with asyncio.timeout(5):
                sent = await anext(self._stream)
            for piece in sent.decode().split("\n\n"):
                fields = dict(line.split(": ", 1) for line in piece.splitlines() if line and line[0] != ":")
                if "event" in fields:
                    self._frames.append((fields["event"], json.loads(fields["data"])))
        return self._frames.pop(0)

    async def market(self, count: int) -> list[str]:
        ids: list[str] = []
        while len(ids) < count:
            kind, data = await self.next()
            if kind == "market":
                ids.append(data["id"])
        return ids


async def test_every_reader_gets_every_event() -> None:
    feed = Feed(pace=0)
    readers = [Reader(feed.stream()) for _ in range(3)]
    assert [await reader.next() for reader in readers] == [("status", {"broker": "connecting"})] * 3
    for n in range(5):
        feed.publish(event(n))
    for reader in readers:
        assert await reader.market(5) == ["e0", "e1", "e2", "e3", "e4"]


async def test_a_new_reader_first_gets_what_was_just_said() -> None:
    feed = Feed(pace=0)
    for n in range(100):
        feed.publish(event(n))
    assert await Reader(feed.stream()).market(40) == [f"e{n}" for n in range(60, 100)]


async def test_a_reader_that_comes_back_goes_on_where_it_was() -> None:
    feed = Feed(pace=0)
    for n in range(10):
        feed.publish(event(n))
    assert await Reader(feed.stream(last_id="e7")).market(2) == ["e8", "e9"]


async def test_a_slow_reader_gets_the_newest_and_is_told_how_many_it_missed() -> None:
    feed = Feed(pace=0)
    reader = Reader(feed.stream())
    await reader.next()
    for n in range(WAITING_AT_MOST + 25):
        feed.publish(event(n))
    assert await reader.next() == ("skipped", {"count": 25})
    assert await reader.market(1) == ["e25"]


async def test_readers_are_told_when_the_broker_goes_and_comes() -> None:
    feed = Feed(pace=0)
    reader = Reader(feed.stream())
    assert await reader.next() == ("status", {"broker": "connecting"})
    feed.turn("away")
    assert await reader.next() == ("status", {"broker": "away"})
    feed.turn("live")
    assert await reader.next() == ("status", {"broker": "live"})


async def test_a_quiet_stream_says_that_it_is_there() -> None:
    feed = Feed(pace=0, heartbeat=0.01)
    sent = [b""]
    async with asyncio.timeout(5):
        async for piece in feed.stream():
            sent.append(piece)
            if piece.startswith(b":"):
                break
    assert sent[-1] == b": still here\n\n"


async def test_closing_the_feed_ends_its_streams() -> None:
    feed = Feed(pace=0)
    reader = Reader(feed.stream())
    await reader.next()
    assert feed.readers == 1
    feed.close()
    with pytest.raises(StopAsyncIteration):
        await reader.next()
    assert feed.readers == 0
