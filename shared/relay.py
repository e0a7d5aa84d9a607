"""From the outbox to Kafka: at once after a commit, and by a sweeper for what a crash left behind.

A row is deleted when Kafka has acknowledged it, so a crash in between publishes it twice; the inbox of each reader
takes the second away. What is never allowed is a later event of an aggregate before an earlier one: with every row go
all earlier rows of its stream that still stand in the outbox, whoever wrote them. The same holds for the streams that a
row says it comes after. Kafka keeps a batch of one partition whole and in order, so rows go in rounds of one batch for
each partition, and what must be in the log after a row of another partition waits for the next round.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Protocol

import structlog
from opentelemetry.trace import Tracer
from pymongo.errors import PyMongoError

from shared import clock
from shared.faults import fault_point
from shared.lease import Lease
from shared.tasks import end_tasks
from shared.telemetry import METRICS, publishing
from shared.unit import OLDEST_FIRST, Database, OutboxRow, Unit

log = structlog.get_logger()

ROWS_AT_ONCE = 1_000
WAITING_AT_MOST = 20_000
STREAMS_REMEMBERED = 50_000
"""So many streams of which is known what stands in the log, so that nobody need ask for it."""

SWEEP_SECONDS = 1.0
SWEEP_OLDER_THAN = timedelta(seconds=2)


Place = Hashable
"""A partition, as its producer names it."""


class Producer(Protocol):
    """Kafka, as the relay needs it."""

    async def places(self, rows: Sequence[OutboxRow]) -> Mapping[str, Place]:
        """The partition of each row, by the row's id."""
        ...

    async def send(self, place: Place, rows: Sequence[OutboxRow]) -> int:
        """Send as many of these rows as one batch holds, and say how many, when every in-sync replica has them.

        Raises when that is not known. Rows of one place are never sent by two calls at a time.
        """
        ...


class Relay:
    """Publishes one service's outbox. `healthy` is False while Kafka does not take what we have."""

    def __init__(self, db: Database, producer: Producer, *, service: str, tracer: Tracer) -> None:
        self._db, self._producer, self._service, self._tracer = db, producer, service, tracer
        self._lease = Lease(db, "sweeper")
        self._waiting: dict[str, OutboxRow] = {}
        self._said: dict[str, int] = {}
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
        """Publish rows and what goes before them. What could be published is gone when this raises."""
        waiting = await self._with_what_goes_before(list(rows))
        places = await self._producer.places(waiting)
        published: list[str] = []
        errors: list[BaseException] = []
        while waiting and not errors:
            batches, waiting = one_round(waiting, places)
            sent = [self._send(place, batch) for place, batch in batches.items()]
            outcomes = await asyncio.gather(*sent, return_exceptions=True)
            for batch, outcome in zip(batches.values(), outcomes, strict=True):
                if isinstance(outcome, BaseException):
                    errors.append(outcome)
                else:
                    self._remember(batch[:outcome])
                    published += [row.id for row in batch[:outcome]]
                    waiting += batch[outcome:]
        fault_point("after_publish_before_delete", bool(published))
        if published:
            await self._db["_outbox"].delete_many({"_id": {"$in": published}})
        if errors:
            raise errors[0]

    async def _send(self, place: Place, batch: Sequence[OutboxRow]) -> int:
        with publishing(self._tracer, batch[0].topic, [row.headers for row in batch]):
            fault_point("in_publish")
            sent = await self._producer.send(place, batch)
        for type_, times in Counter(row.headers.get("ce_type", "") for row in batch[:sent]).items():
            METRICS.published.labels(self._service, type_).inc(times)
        return sent

    async def _with_what_goes_before(self, rows: list[OutboxRow]) -> list[OutboxRow]:
        """These rows, with all that still stand in the outbox and must be in the log before them."""
        known: dict[str, dict[int, OutboxRow]] = defaultdict(dict)
        asked: set[str] = set()
        while rows:
            for row in rows:
                known[row.stream][row.sequence] = row
            whole = {stream for row in rows for stream in row.after} - asked
            earlier = {row.stream for row in rows if self._lacks(row.stream, known[row.stream])} - asked - whole
            asked |= whole | earlier
            rows = []
            if whole or earlier:
                async for found in self._db["_outbox"].find({"stream": {"$in": [*whole, *earlier]}}):
                    row = OutboxRow.from_mongo(found)
                    numbered = known.get(row.stream, {})
                    if row.sequence not in numbered and (row.stream in whole or row.sequence < max(numbered)):
                        rows.append(row)
        return [row for numbered in known.values() for row in numbered.values()]

    def _lacks(self, stream: str, numbered: Collection[int]) -> bool:
        """Whether a row may stand in the outbox before these of its stream, for all that this process knows."""
        said = self._said.get(stream, 0)
        return sum(number > said for number in numbered) < max(numbered) - said

    def _remember(self, rows: Iterable[OutboxRow]) -> None:
        if len(self._said) > STREAMS_REMEMBERED:
            self._said.clear()
        for row in rows:
            self._said[row.stream] = max(row.sequence, self._said.get(row.stream, 0))

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                old = await self._oldest() > SWEEP_OLDER_THAN
                if old and len(self._waiting) < ROWS_AT_ONCE and await self._lease.held():
                    await self._sweep()
            except PyMongoError as error:
                log.debug("outbox: the sweeper waits for the database", error=repr(error))

    async def _sweep(self) -> None:
        old = self._db["_outbox"].find(
            {"at": {"$lt": clock.now() - SWEEP_OLDER_THAN}}, sort=OLDEST_FIRST, limit=ROWS_AT_ONCE
        )
        self._take([OutboxRow.from_mongo(found) async for found in old])

    async def _oldest(self) -> timedelta:
        """For how long the oldest row has stood in the outbox."""
        oldest = await self._db["_outbox"].find_one({}, {"at": 1}, sort=OLDEST_FIRST)
        age = clock.now() - oldest["at"] if oldest else timedelta()
        METRICS.outbox_age.labels(self._service).set(age.total_seconds())
        return age


def one_round(
    rows: Sequence[OutboxRow], places: Mapping[str, Place]
) -> tuple[dict[Place, list[OutboxRow]], list[OutboxRow]]:
    """A batch for each partition, in the order in which it must stand there, and the rows that wait until they are in.

    A row waits while an earlier one of its stream, or one of a stream that it comes after, waits or goes to another
    partition in this round.
    """
    left: dict[str, list[OutboxRow]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: -row.sequence):
        left[row.stream].append(row)
    batches: dict[Place, list[OutboxRow]] = defaultdict(list)
    goes: dict[str, Place] = {}
    waiting = []
    for row in sorted(rows, key=lambda row: (row.at, row.id)):
        place = places[row.id]
        before = [stream for stream in row.after if stream != row.stream]
        if (
            left[row.stream][-1] is row
            and not any(left.get(stream) for stream in before)
            and all(goes.get(stream, place) == place for stream in (row.stream, *before))
        ):
            batches[place].append(left[row.stream].pop())
            goes[row.stream] = place
        else:
            waiting.append(row)
    if waiting and not batches:  # streams that come after each other: any order is as right as another
        first = left[waiting[0].stream][-1]
        return {places[first.id]: [first]}, [row for row in waiting if row is not first]
    return batches, waiting
