"""The service's end of Kafka: FastStream brings batches, aiokafka takes them; what they mean is `shared.delivery`'s.

Acknowledgement is the database's fence, not Kafka's offset, which is committed now and then so that tools can show lag.
"""

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage
from faststream.kafka.message import FAKE_CONSUMER
from faststream.message import AckStatus, StreamMessage
from faststream.security import BaseSecurity
from pymongo.errors import PyMongoError

from shared.broker import Broker
from shared.delivery import Delivery, Fenced, Letter, NotTogether
from shared.faults import fault_point
from shared.fuse import Fuse
from shared.reactions import Reactions
from shared.store import DatabaseDown
from shared.tasks import end_tasks
from shared.telemetry import METRICS
from shared.unit import OutboxRow

log = structlog.get_logger()

BATCH = 500
POLL_MS = 10
SESSION_MS = 10_000
HEARTBEAT_MS = 2_000
HAND_OVER_SECONDS = 20.0
STUCK_SECONDS = 120.0
REQUEST_MS = 10_000
BATCH_BYTES = 512 * 1024
"""Of one record batch before it is compressed; a broker takes 1 MiB."""

FUSE_SECONDS = 1.0
BOUNDS_SECONDS = 20.0

_PARTITIONER = DefaultPartitioner()


class Bus(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """One service's consumer group and producer."""

    def __init__(
        self,
        kafka: Broker,
        delivery: Delivery,
        reactions: Reactions,
        fuse: Fuse,
        *,
        service: str,
        drain_seconds: float,
    ) -> None:
        self._delivery, self._reactions, self._service = delivery, reactions, service
        self._kafka = kafka
        self._next: dict[TopicPartition, int] = {}
        self._asked_again: dict[TopicPartition, tuple[int, int]] = {}
        self._generation = 0
        self._stopping = False
        self._busy = asyncio.Lock()
        self._chores: asyncio.Task[None] | None = None
        self._progress = time.monotonic()
        self.assigned = False
        self.waits_for = ""
        self.fuse = fuse
        delivery.on_outcome = fuse.count
        context = kafka.certificates.context if kafka.certificates else None
        self.broker = KafkaBroker(
            kafka.address,
            client_id=service,
            security=BaseSecurity(ssl_context=context, use_ssl=True) if context else None,
            request_timeout_ms=REQUEST_MS,
            graceful_timeout=drain_seconds,
            allow_auto_create_topics=False,
            ack_policy=AckPolicy.MANUAL,
            apply_types=False,
            parser=_parse,
            decoder=_decode,
            logger=None,
        )
        self._producer: AIOKafkaProducer | None = None
        self._subscriber = (
            self.broker.subscriber(
                *reactions.topics,
                group_id=service,
                batch=True,
                max_records=BATCH,
                batch_timeout_ms=POLL_MS,
                auto_offset_reset="earliest",
                partition_assignment_strategy=(RangePartitionAssignor,),
                session_timeout_ms=SESSION_MS,
                heartbeat_interval_ms=HEARTBEAT_MS,
                rebalance_timeout_ms=int(HAND_OVER_SECONDS * 1000) + 10_000,
                listener=self,
            )
            if reactions.topics
            else None
        )
        if self._subscriber:
            self._subscriber(self._receive)

    # --- life ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect; raises when Kafka cannot be reached."""
        await _someone_listens(self._kafka)
        await self.fuse.look()
        self._producer = AIOKafkaProducer(
            client_id=self._service,
            acks="all",
            enable_idempotence=False,
            max_batch_size=BATCH_BYTES,
            max_request_size=2 * 1024 * 1024,
            compression_type="lz4",
            request_timeout_ms=REQUEST_MS,
            **self._kafka.options,
        )
        await self._producer.start()
        await self.broker.start()
        if self._subscriber:
            self._chores = asyncio.create_task(self._report_forever())

    async def stop(self, within: float) -> None:
        """Stop taking, finish what is in hand, leave the group. Bounded, since all that matters is in the database."""
        self._stopping = True
        self._generation += 1
        if self._chores:
            await end_tasks(self._chores)
        try:
            async with asyncio.timeout(within):
                async with self._busy:
                    await self._commit()
                await self.leave()
        except TimeoutError:
            log.warning("kafka: closed without an answer from the broker")

    async def leave(self) -> None:
        """Close what is connected, also after a start that came to nothing."""
        try:
            await self.broker.stop()
        finally:
            if self._producer:
                await self._producer.stop()
                self._producer = None

    async def places(self, rows: Sequence[OutboxRow]) -> Mapping[str, TopicPartition]:
        producer = self._connected()
        partitions = {topic: sorted(await producer.partitions_for(topic)) for topic in {row.topic for row in rows}}
        keys = {(row.topic, row.key): 0 for row in rows}
        for topic, key in keys:
            keys[topic, key] = _PARTITIONER(key or None, partitions[topic], partitions[topic])
        return {row.id: TopicPartition(row.topic, keys[row.topic, row.key]) for row in rows}

    async def send(self, place: TopicPartition, rows: Sequence[OutboxRow]) -> int:
        producer = self._connected()
        batch, fitting = producer.create_batch(), 0
        for row in rows:
            headers = [(name, value.encode()) for name, value in row.headers.items()]
            if batch.append(timestamp=None, key=row.key or None, value=row.body, headers=headers) is None:
                break
            fitting += 1
        batch.close()
        await (await producer.send_batch(batch, place.topic, partition=place.partition))
        return fitting

    def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise ConnectionError("not connected to Kafka")
        return self._producer

    async def reachable(self) -> bool:
        return bool(await self.broker.ping(timeout=3.0))

    def owns(self, topic: str, key: str) -> bool:
        """True when this process holds the partition in which this topic's messages with this key travel."""
        return self._place(topic, key) in self._next

    def stands(self, topic: str, key: str) -> tuple[int, int]:
        """The offset that is next in that partition, and its end as it is known; twice 0 where others have it."""
        place = self._place(topic, key)
        at = self._next.get(place, 0) if place else 0
        return at, at + self._behind(place, at) if place and place in self._next else at

    def _place(self, topic: str, key: str) -> TopicPartition | None:
        partitions = self._consumer.partitions_for_topic(topic) if self._consumer else None
        return TopicPartition(topic, _PARTITIONER(key.encode(), sorted(partitions), [])) if partitions else None

    @property
    def stuck(self) -> bool:
        """True when there is something to handle and the loop has stood still for minutes."""
        return bool(self._lag()) and time.monotonic() - self._progress > STUCK_SECONDS

    # --- intake --------------------------------------------------------------------------------------------------

    async def _receive(self, message: KafkaMessage) -> None:
        generation = self._generation
        records: tuple[ConsumerRecord[Any, Any], ...] = message.raw_message
        batches: dict[TopicPartition, list[Letter]] = defaultdict(list)
        for record in records:
            batches[TopicPartition(record.topic, record.partition)].append(letter_of(record))
        await self._while_blown(generation)
        async with self._busy:
            if self._stopping:  # FastStream hands over what it has fetched until it is stopped itself
                return
            if not await self._together(batches, generation):
                await asyncio.gather(
                    *(self._until_done(place, letters, generation) for place, letters in batches.items())
                )
        await self._while_blown(generation)

    async def _while_blown(self, generation: int) -> None:
        """Stand still while the fuse is blown; a new owner of the partitions goes on with the letters in hand."""
        while self.fuse.blown and generation == self._generation:
            self._progress = time.monotonic()
            with suppress(PyMongoError):
                await self.fuse.look()
            if self.fuse.blown:
                await asyncio.sleep(FUSE_SECONDS)

    async def _until_done(self, place: TopicPartition, letters: list[Letter], generation: int) -> None:
        """Handle one partition's letters. While our database is away, keep them and wait; a new owner ends it."""
        pause = 0.2
        while generation == self._generation:
            self._progress = time.monotonic()
            try:
                await self._handle(place, letters)
                self.waits_for = ""
                return
            except Fenced as fenced:
                METRICS.fenced.labels(self._service).inc()
                log.info("fenced: another process has been here", topic=place.topic, partition=place.partition)
                self._go_to(place, fenced.at)
                return
            except (DatabaseDown, PyMongoError) as error:
                if not self.waits_for:
                    log.warning("database does not answer, events are kept and wait", error=repr(error)[:300])
                self.waits_for = "database"
                await asyncio.sleep(pause)
                pause = min(pause * 2, 10.0)

    async def _together(self, batches: dict[TopicPartition, list[Letter]], generation: int) -> bool:
        """Handle what came of several partitions in one transaction, if all is as usual; whether that was done."""
        if len(batches) < 2 or generation != self._generation:
            return False
        wanted: dict[str, tuple[int, list[Letter]]] = {}
        places: dict[str, TopicPartition] = {}
        for place, letters in batches.items():
            at = self._next.get(place)
            fresh = [letter for letter in letters if at is not None and letter.offset >= at]
            if at is None or not fresh or fresh[0].offset > at:
                return False
            wanted[self._fence(place)], places[self._fence(place)] = (at, fresh), place
        self._progress = time.monotonic()
        try:
            ends = await self._delivery.deliver_together(wanted)
        except (NotTogether, DatabaseDown, PyMongoError):
            return False
        for fence, end in ends.items():
            if generation == self._generation:
                self._next[places[fence]] = end
        return True

    async def _handle(self, place: TopicPartition, letters: list[Letter]) -> None:
        generation = self._generation
        if place not in self._next:
            self._go_to(place, await self._delivery.fence(self._fence(place)))
        at = self._next[place]
        letters = [letter for letter in letters if letter.offset >= at]
        if not letters:
            return
        if letters[0].offset > at and self._asked_again.get(place) != (self._generation, at):
            # Fetched before a seek, or truly gone (retention): asked for once more, it shows which. What was asked for
            # before a rebalance does not count: the answer may have been dropped with it.
            if self._go_to(place, at):
                self._asked_again[place] = self._generation, at
            return
        self._next[place] = await self._delivery.deliver(
            self._fence(place), at, letters, ours=lambda: generation == self._generation
        )

    def _go_to(self, place: TopicPartition, offset: int) -> bool:
        """Go on at this offset; whether the consumer has been told, which one without the partition cannot be."""
        self._next[place] = offset
        consumer = self._consumer
        if consumer is None or place not in consumer.assignment():
            return False
        consumer.seek(place, offset)
        return True

    def _fence(self, place: TopicPartition) -> str:
        return f"{self._service}:{place.topic}:{place.partition}"

    # --- rebalance -----------------------------------------------------------------------------------------------

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Let the batch in hand finish, so that the next owner seldom meets the fence."""
        self._generation += 1
        if self._busy.locked():
            log.info("rebalance with a batch in hand")
            fault_point("in_rebalance")
        try:
            async with asyncio.timeout(HAND_OVER_SECONDS):
                async with self._busy:
                    await self._commit()
        except TimeoutError:
            log.warning("a batch outlives the rebalance; the fence will decide")
        self._lag_is_others()
        self._next.clear()
        self.assigned = False

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self._generation += 1
        for place in assigned:
            try:
                self._go_to(place, await self._delivery.fence(self._fence(place)))
            except PyMongoError:
                self._next.pop(place, None)  # looked up when its first letters come
        self.assigned = True
        self._progress = time.monotonic()

    # --- figures -------------------------------------------------------------------------------------------------

    @property
    def _consumer(self) -> Any:
        return self._subscriber.consumer if self._subscriber else None

    def _behind(self, place: TopicPartition, at: int) -> int:
        high = self._consumer.highwater(place) if place in self._consumer.assignment() else None
        return max(0, high - at) if high is not None else 0

    def _lag(self) -> int:
        behind = 0
        for place, at in list(self._next.items()):
            lag = self._behind(place, at)
            METRICS.lag.labels(self._service, place.topic, str(place.partition)).set(lag)
            behind += lag
        return behind

    def _lag_is_others(self) -> None:
        """Tell no lag any more of what is given away: it would stay as it was for as long as this process lives."""
        for place in self._next:
            with suppress(KeyError):
                METRICS.lag.remove(self._service, place.topic, str(place.partition))

    async def _report_forever(self) -> None:
        while True:
            await asyncio.sleep(2)
            with suppress(PyMongoError):
                await self.fuse.look()
            if self._consumer is not None:
                self._lag()
                await self._commit()

    async def _commit(self) -> None:
        offsets = {place: at for place, at in self._next.items() if at and place in self._consumer.assignment()}
        if offsets:
            try:
                async with asyncio.timeout(3):
                    await self._consumer.commit(offsets)
            except Exception as error:  # noqa: BLE001 - for lag displays only; the fence is what counts
                log.debug("kafka: offsets for lag display not committed", error=repr(error))


async def _someone_listens(kafka: Broker) -> None:
    """Raise OSError when no bootstrap address answers: a client that fails to start leaves its parts unclosed."""
    for address in kafka.address.split(","):
        host, _, port = address.strip().rpartition(":")
        with suppress(OSError):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.close()
            return
    raise ConnectionError(f"nobody listens at {kafka}")


async def log_bounds(kafka: Broker, topics: Sequence[str]) -> dict[tuple[str, int], tuple[int, int]]:
    """The first and the next offset of each partition of those topics that are there.

    Raises ConnectionError when Kafka does not answer.
    """
    await _someone_listens(kafka)
    try:
        async with asyncio.timeout(BOUNDS_SECONDS):
            return await _log_bounds(kafka, topics)
    except (KafkaError, TimeoutError) as error:
        raise ConnectionError(str(error) or type(error).__name__) from error


async def _log_bounds(kafka: Broker, topics: Sequence[str]) -> dict[tuple[str, int], tuple[int, int]]:
    admin = AIOKafkaAdminClient(**kafka.options)
    try:
        await admin.start()
        # Only names that exist are asked for: a broker may create what it is asked about.
        there = sorted(set(await admin.list_topics()).intersection(topics))
        described = await admin.describe_topics(there) if there else []
    finally:
        await admin.close()
    places = [TopicPartition(each["topic"], part["partition"]) for each in described for part in each["partitions"]]
    if not places:
        return {}
    consumer = AIOKafkaConsumer(enable_auto_commit=False, **kafka.options)
    try:
        await consumer.start()
        consumer.assign(places)
        begins, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        return {(place.topic, place.partition): (begins[place], ends[place]) for place in places}
    finally:
        await consumer.stop()


def letter_of(record: "ConsumerRecord[Any, Any]") -> Letter:
    """A record as deliveries take it."""
    return Letter(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        headers={name: _printable(value) for name, value in record.headers},
        body=record.value or b"",
    )


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def _printable(value: bytes | None) -> str:
    """A header as text. FastStream loses a record whose header is null or no UTF-8, so headers are read here."""
    if value is None:
        return ""
    try:
        text = value.decode()
        return text if text.isprintable() else _CONTROL.sub("?", text)
    except UnicodeDecodeError:
        return f"hex:{value.hex()}"


async def _parse(records: tuple["ConsumerRecord[Any, Any]", ...], original: Any) -> StreamMessage[Any]:
    """Wrap a batch without looking inside, so that no record can fail before `delivery` sees it."""
    message = KafkaMessage(raw_message=records, body=b"", consumer=FAKE_CONSUMER)
    message.committed = AckStatus.ACKED
    return message


async def _decode(message: StreamMessage[Any]) -> StreamMessage[Any]:
    return message
