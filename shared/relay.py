"""From the outbox to Kafka: at once after a commit, and by a sweeper for what a crash left behind.

A row is deleted when Kafka has acknowledged it, so a crash in between publishes it twice; the inbox of each reader
takes the second away. What is never allowed is a later event of an aggregate before an earlier one: with every row go
all earlier rows of its stream that still stand in the outbox, whoever wrote them, and a stream's rows go one after
another. The same holds for the streams that a row says it comes after.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from typing import Any, Protocol

import structlog
from opentelemetry import propagate
from opentelemetry.trace import SpanKind, Tracer
from pymongo.errors import PyMongoError

from shared import clock
from shared.faults import fault_point
from shared.lease import Lease
from shared.tasks import end_tasks
from shared.telemetry import METRICS, span_from
from shared.unit import Database, OutboxRow, Unit

log = structlog.get_logger()

ROWS_AT_ONCE = 1_000
WAITING_AT_MOST = 20_000
SWEEP_SECONDS = 1.0
SWEEP_OLDER_THAN = timedelta(seconds=2)


class Producer(Protocol):
    """Sends one message and returns when every in-sync replica has it; raises when that is not known."""

    async def send(self, row: OutboxRow, headers: dict[str, str]) -> None: ...


class Relay:
    """Publishes one service's outbox. `healthy` is False while Kafka does not take what we have."""

    def __init__(self, db: Database, producer: Producer, *, service: str, tracer: Tracer) -> None:
        self._db, self._producer, self._service, self._tracer = db, producer, service, tracer
        self._lease = Lease(db, "sweeper")
        self._waiting: dict[str, OutboxRow] = {}
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._tasks: list[asyncio.Task[None]] = []
        self.healthy = True

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._publish_forever()), asyncio.create_task(self._sweep_forever())]

    async def stop(self, within: float) -> None:
        """Publish what waits, then end. What is left stays in the outbox for the next process."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within if self.healthy else 0):
                await self._idle.wait()
        await end_tasks(*self._tasks)

    def committed(self, unit: Unit) -> None:
        """Take up what a unit has just committed. In a long outage rows stay with the sweeper alone."""
        fault_point("after_commit_before_publish", bool(unit.rows))
        if len(self._waiting) < WAITING_AT_MOST:
            self._take(unit.rows)

    def _take(self, rows: Iterable[OutboxRow]) -> None:
        for row in rows:
            self._waiting.setdefault(row.id, row)
        if self._waiting:
            self._idle.clear()
            self._wake.set()

    async def _publish_forever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                rows = [self._waiting[id] for id in list(self._waiting)[:ROWS_AT_ONCE]]
                try:
                    await self._publish(rows)
                    self.healthy = True
                except Exception as error:  # noqa: BLE001 - whatever it is, the rows stay and the sweeper comes back
                    if self.healthy:
                        log.warning("outbox: cannot publish now, will go on when Kafka answers", error=repr(error))
                    self.healthy = False
                    self._waiting.clear()
                    await asyncio.sleep(1)
                else:
                    for row in rows:
                        self._waiting.pop(row.id, None)
            self._idle.set()

    async def _publish(self, rows: Iterable[OutboxRow]) -> None:
        streams = await self._with_what_goes_before(list(rows))
        sending: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            for stream, numbered in streams.items():
                sending[stream] = group.create_task(self._publish_stream(numbered, sending))
        published = [row.id for numbered in streams.values() for row in numbered.values()]
        fault_point("after_publish_before_delete", bool(published))
        await self._db["_outbox"].delete_many({"_id": {"$in": published}})

    async def _with_what_goes_before(self, rows: list[OutboxRow]) -> dict[str, dict[int, OutboxRow]]:
        """Rows by stream and number, with all that still stand in the outbox and must be in the log before them."""
        streams: dict[str, dict[int, OutboxRow]] = defaultdict(dict)
        asked: set[str] = set()
        while rows:
            whole = {stream for row in rows for stream in row.after} - asked
            for row in rows:
                streams[row.stream][row.sequence] = row
            earlier = {row.stream for row in rows if row.sequence > 1} - asked - whole
            asked |= whole
            rows = []
            if whole or earlier:
                async for found in self._db["_outbox"].find({"stream": {"$in": [*whole, *earlier]}}):
                    row = read_row(found)
                    known = streams.get(row.stream, {})
                    if row.sequence not in known and (row.stream in whole or row.sequence < max(known)):
                        rows.append(row)
            asked |= earlier
        return streams

    async def _publish_stream(self, numbered: dict[int, OutboxRow], sending: dict[str, asyncio.Task[None]]) -> None:
        for _, row in sorted(numbered.items()):
            for stream in row.after:
                if stream in sending:
                    await sending[stream]
            type_ = row.headers.get("ce_type", "")
            attributes = {"messaging.system": "kafka", "messaging.destination.name": row.topic}
            with span_from(self._tracer, f"publish {type_}", row.headers, SpanKind.PRODUCER, attributes):
                current: dict[str, str] = {}
                propagate.inject(current)
                fault_point("in_publish")
                await self._producer.send(row, row.headers | current)
            METRICS.published.labels(self._service, type_).inc()

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                await self._measure()
                if len(self._waiting) < ROWS_AT_ONCE and await self._lease.held():
                    await self._sweep()
            except PyMongoError as error:
                log.debug("outbox: the sweeper waits for the database", error=repr(error))

    async def _sweep(self) -> None:
        old = self._db["_outbox"].find(
            {"at": {"$lt": clock.now() - SWEEP_OLDER_THAN}}, sort=[("at", 1)], limit=ROWS_AT_ONCE
        )
        self._take([read_row(found) async for found in old])

    async def _measure(self) -> None:
        oldest = await self._db["_outbox"].find_one({}, {"at": 1}, sort=[("at", 1)])
        METRICS.outbox_age.labels(self._service).set((clock.now() - oldest["at"]).total_seconds() if oldest else 0)


def read_row(found: dict[str, Any]) -> OutboxRow:
    return OutboxRow.model_validate({"id": found["_id"], **found})
