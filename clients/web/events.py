"""The open event topics, read from their end and handed to whoever looks at the page.

    Kafka ─► Tail ─► Feed ─► one server-sent event stream per browser

Nothing here is kept or acknowledged. A browser that cannot follow is told how many events it missed.
"""

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import orjson
import structlog
import yaml
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.errors import KafkaError

from shared.broker import Broker

log = structlog.get_logger()

State = Literal["connecting", "live", "away"]

REMEMBERED = 40
"""Events that a browser gets on arrival, so that the list is not empty at a quiet hour."""
WAITING_AT_MOST = 40
"""Events that wait for one browser; when more come in one pace, the oldest are counted instead of sent."""
PACE_SECONDS = 0.25
HEARTBEAT_SECONDS = 10.0
CHECK_SECONDS = 3.0

SHOWN = ("title", "occupation", "headcount", "pay", "reason", "by", "channel", "minutes", "amount_fen", "placed")
"""The fields of an event, or of its terms, that the page may show."""

DISTRICT = re.compile(r"[1-9]\d{5}")


def open_topics(file: Path) -> list[str]:
    """The topics that anybody may read, from deploy/topics.yaml. Dead letters hold what could not be read: not they."""
    listed = yaml.safe_load(file.read_text(encoding="utf-8"))["topics"]
    return [topic["name"] for topic in listed if not topic["name"].endswith(".dead")]


def describe(topic: str, headers: Mapping[str, str], key: bytes | None, value: bytes | None) -> dict[str, Any] | None:
    """An event as the page shows it, or None for what is no event.

    Keys: id, type, subject, time, district ("" where there is none), service, trace_id, summary. Nothing names a
    person: a subject with a worker's id in it is left out too, so that nobody can be followed on a public screen.
    """
    try:
        body = orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return None
    if not isinstance(body, dict) or not headers.get("ce_type") or not headers.get("ce_id"):
        return None
    district = body.get("district") or (key or b"").decode(errors="replace")
    subject = headers.get("ce_subject", "")
    terms = body.get("terms")
    facts = (terms if isinstance(terms, dict) else {}) | body
    parts = headers.get("traceparent", "").split("-")
    return {
        "id": headers["ce_id"],
        "type": headers["ce_type"],
        "subject": ""
        if any(str(body[who]) in subject for who in ("worker_id", "person_id") if who in body)
        else subject,
        "time": headers.get("ce_time", ""),
        "district": district if isinstance(district, str) and DISTRICT.fullmatch(district) else "",
        "service": headers.get("ce_source", "").strip("/") or topic.partition(".")[0],
        "trace_id": parts[1] if len(parts) == 4 else "",
        "summary": {name: facts[name] for name in SHOWN if facts.get(name) is not None},
    }


def frame(data: object, *, event: str = "", event_id: str = "") -> bytes:
    """One server-sent event (WHATWG HTML, 9.2): the data as one line of JSON, ended by an empty line."""
    lines = [f"event: {event}".encode()] if event else []
    if event_id:
        lines.append(b"id: " + re.sub(r"[\r\n\0]", "", event_id).encode())
    lines.append(b"data: " + orjson.dumps(data))
    return b"\n".join(lines) + b"\n\n"


class Feed:
    """What the tail reads, for any number of readers. `state` is whether the broker is there."""

    def __init__(self, pace: float = PACE_SECONDS, heartbeat: float = HEARTBEAT_SECONDS) -> None:
        self._pace, self._heartbeat = pace, heartbeat
        self._remembered: deque[dict[str, Any]] = deque(maxlen=REMEMBERED)
        self._readers: set[_Reader] = set()
        self.state: State = "connecting"
        self.closed = False

    @property
    def readers(self) -> int:
        return len(self._readers)

    def publish(self, event: dict[str, Any]) -> None:
        self._remembered.append(event)
        for reader in self._readers:
            reader.give(event)

    def turn(self, state: State) -> None:
        """The broker came or went; every reader is told."""
        if state != self.state:
            self.state = state
            self._wake_all()

    def close(self) -> None:
        """End every stream, so that the server can stop."""
        self.closed = True
        self._wake_all()

    def _wake_all(self) -> None:
        for reader in self._readers:
            reader.wake.set()

    async def stream(self, last_id: str = "") -> AsyncIterator[bytes]:
        """Frames for one reader: `status`, `market` and `skipped` events, and a comment line when nothing happens.

        Begins after the event `last_id` where that is still remembered (a browser that comes back), else with all that
        is remembered.
        """
        reader = _Reader()
        remembered = list(self._remembered)
        known = next((i for i, event in enumerate(remembered) if event["id"] == last_id), -1)
        reader.events.extend(remembered[known + 1 :])
        self._readers.add(reader)
        reader.wake.set()
        told: State | None = None
        try:
            yield b"retry: 2000\n\n"
            while not self.closed:
                reader.wake.clear()  # before looking: what comes while we send wakes the next round
                news = []
                if told != self.state:
                    told = self.state
                    news.append(frame({"broker": told}, event="status"))
                if reader.skipped:
                    news.append(frame({"count": reader.skipped}, event="skipped"))
                    reader.skipped = 0
                news += [frame(event, event="market", event_id=event["id"]) for event in reader.events]
                reader.events.clear()
                if news:
                    yield b"".join(news)
                await asyncio.sleep(self._pace)
                try:
                    async with asyncio.timeout(self._heartbeat):
                        await reader.wake.wait()
                except TimeoutError:
                    yield b": still here\n\n"
        finally:
            self._readers.discard(reader)


class _Reader:
    """What waits for one browser."""

    def __init__(self) -> None:
        self.events: deque[dict[str, Any]] = deque()
        self.skipped = 0
        self.wake = asyncio.Event()

    def give(self, event: dict[str, Any]) -> None:
        if len(self.events) >= WAITING_AT_MOST:
            self.events.popleft()
            self.skipped += 1
        self.events.append(event)
        self.wake.set()


class Tail:
    """Reads all partitions of the open topics from their end, without a group, for as long as the process lives."""

    def __init__(self, kafka: Broker, topics: Sequence[str], feed: Feed) -> None:
        self._kafka, self._topics, self._feed = kafka, list(topics), feed

    async def run(self) -> None:
        """Follow the topics. A broker that is away is said once, and tried again until it comes."""
        while True:
            # In a task of its own: after a lost connection aiokafka's stop() may raise a CancelledError, not ours.
            attempt = asyncio.create_task(self._attempt())
            try:
                await asyncio.wait({attempt})
            except asyncio.CancelledError:
                attempt.cancel()
                await asyncio.gather(attempt, return_exceptions=True)
                raise
            if not attempt.cancelled() and (error := attempt.exception()):
                log.error("the tail of the events failed, begins again", exc_info=error)
            await asyncio.sleep(1)

    async def _attempt(self) -> None:
        if self._kafka.certificates:
            self._kafka.certificates.look()
        consumer = AIOKafkaConsumer(
            **self._kafka.options,
            client_id="web",
            group_id=None,
            auto_offset_reset="latest",
            enable_auto_commit=False,
            request_timeout_ms=5_000,
            metadata_max_age_ms=10_000,
        )
        try:
            await self._follow(consumer)
        except (KafkaError, OSError, TimeoutError) as error:
            if self._feed.state != "away":
                log.warning(f"kafka at {self._kafka} does not answer; the page says so", error=repr(error)[:200])
            self._feed.turn("away")
        finally:
            with suppress(Exception):
                async with asyncio.timeout(3):
                    await consumer.stop()

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        async with asyncio.timeout(10):
            await consumer.start()
        followed: set[str] = set()
        clock = asyncio.get_running_loop().time
        check_at = clock()
        while True:
            if clock() >= check_at:
                async with asyncio.timeout(5):
                    present = await consumer.topics() & set(self._topics)
                if present - followed:
                    consumer.subscribe(sorted(present))
                    followed = present
                self._feed.turn("live")
                check_at = clock() + CHECK_SECONDS
            if not followed:
                await asyncio.sleep(0.5)
                continue
            for records in (await consumer.getmany(timeout_ms=500, max_records=500)).values():
                for record in records:
                    event = describe(record.topic, _headers(record), record.key, record.value)
                    if event:
                        self._feed.publish(event)


def _headers(record: "ConsumerRecord[Any, Any]") -> dict[str, str]:
    return {name: (value or b"").decode(errors="replace") for name, value in record.headers}
