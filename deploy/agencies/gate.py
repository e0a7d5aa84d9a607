"""Between an agency's own two topics and ours. Any number of gates may run.

    agencies.gig.<agency> ─► agencies.gig          what an agency says, now under its name
    agencies.answers.<agency> ◄─ posting.feed      what posting answered it

Who may write a topic is what an ACL can tell, so the topic that a message stands on says whose it is, and nothing in
the message does. What cannot be read is answered here, to its agency alone. A message may be passed on twice after a
crash; it has the same id each time, by which posting knows it.
"""

import asyncio
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, KafkaError
from pydantic import ValidationError

from deploy.agencies import ANSWERS, INBOUND
from shared.broker import Broker
from shared.contracts.agencies import GigOffered
from shared.contracts.posting import FeedAnswered, FeedFault
from shared.problems import Fault, Text
from shared.wording import faults_of

GROUP = "kuaizhao-gate"
BYTES_A_TURN = 64 * 1024
"""What is fetched of one agency's topic at a time, so that the others have their turns."""
METADATA_MS = 5_000
"""How long it may take until a new agency is heard."""
START_SECONDS = 60.0
ANSWER_SECONDS = 3.0

NO_JSON = Text("must be a JSON object with origin_id and post", "应为包含 origin_id 与 post 的 JSON 对象")
OTHER = Text("must be your own agency's, or left out", "应为本机构的编号，或不填")

Message = tuple[str, bytes, bytes, list[tuple[str, bytes]]]
"""Topic, key, body, headers."""


def passed_on(record: Any) -> Message:
    """What becomes of a record of an agency's inbound topic, or of one of our answers."""
    if not record.topic.startswith(INBOUND):
        key = (record.key or b"").decode(errors="replace")
        return ANSWERS + key, record.key, record.value, list(record.headers)
    agency = record.topic.removeprefix(INBOUND)
    place = f"{record.topic}:{record.partition}:{record.offset}"
    sent = _sent(record.value)
    faults = [Fault("post", NO_JSON)] if sent is None else []
    if sent is not None and sent.get("agency_id", agency) != agency:
        faults.append(Fault("agency_id", OTHER))
    if sent is not None and not faults:
        try:
            offered = GigOffered.model_validate(sent | {"agency_id": agency})
        except ValidationError as error:
            faults += faults_of(error.errors())
        else:
            given = dict(record.headers).get("ce_id") or b""
            # Its own ids mean nothing beside another agency's.
            id = f"{agency}:{given.decode(errors='replace')[:100] or place}"
            trace = [(name, value) for name, value in record.headers if name in ("traceparent", "tracestate")]
            headers = _attributes(id, GigOffered.type, f"/agencies/{agency}", offered.origin_id)
            return GigOffered.topic, agency.encode(), orjson.dumps(offered.model_dump(mode="json")), [*headers, *trace]
    return ANSWERS + agency, agency.encode(), *_refusal(agency, sent or {}, place, faults)


def _sent(body: bytes | None) -> dict[str, Any] | None:
    with suppress(orjson.JSONDecodeError):
        found = orjson.loads(body or b"")
        return found if isinstance(found, dict) else None
    return None


def _refusal(
    agency: str, sent: Mapping[str, Any], place: str, faults: Iterable[Fault]
) -> tuple[bytes, list[tuple[str, bytes]]]:
    """As posting answers what is wrong with a post, and where the message stands that it is about."""
    named = sent.get("origin_id")
    origin = named if isinstance(named, str) and re.fullmatch(r"[A-Za-z0-9._:-]{1,64}", named) else ""
    answer = FeedAnswered(
        offered_id=f"{agency}/{origin}",
        agency_id=agency,
        origin_id=origin,
        outcome="refused",
        code="unreadable",
        faults=tuple(_said(fault) for fault in faults),
    )
    headers = _attributes(f"{place}:answer", FeedAnswered.type, "/gate", answer.offered_id)
    return orjson.dumps(answer.model_dump(mode="json")), [*headers, ("about", place.encode())]


def _said(fault: Fault) -> FeedFault:
    field = fault.field if re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", fault.field) else "post"
    return FeedFault(field=field, zh=fault.text.say("zh", {}), en=fault.text.say("en", {}))


def _attributes(id: str, type: str, source: str, subject: str) -> list[tuple[str, bytes]]:
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": id,
        "ce_type": type,
        "ce_source": source,
        "ce_subject": subject,
        "ce_time": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "content-type": "application/json",
    }
    return [(name, value.encode()) for name, value in attributes.items()]


class Gate(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """One member of the gate's consumer group."""

    def __init__(self, kafka: Broker) -> None:
        self._kafka = kafka
        self._consumer: AIOKafkaConsumer | None = None
        self._joined = False

    async def run(self, ends: asyncio.Event) -> None:
        """Pass on what comes until `ends`.

        Raises:
            KafkaError, OSError, TimeoutError: the broker is gone for longer than clients wait, or does not let us in.
        """
        self._joined = False
        self._consumer = consumer = AIOKafkaConsumer(
            **self._kafka.options,
            group_id=GROUP,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            metadata_max_age_ms=METADATA_MS,
            max_partition_fetch_bytes=BYTES_A_TURN,
        )
        producer = AIOKafkaProducer(**self._kafka.options, acks="all", compression_type="lz4")
        pattern = rf"^({re.escape(INBOUND)}.+|{re.escape(FeedAnswered.topic)})$"
        consumer.subscribe(pattern=pattern, listener=self)
        try:
            async with asyncio.timeout(START_SECONDS):
                await consumer.start()
                await producer.start()
            while not ends.is_set():
                await _turn(consumer, producer)
        finally:
            self._consumer = None
            await consumer.stop()
            await producer.stop()

    async def fault(self) -> str:
        """Why nothing is passed on, asked of the broker; empty when it is."""
        consumer = self._consumer
        if consumer is None or not self._joined:
            return "the gate has not joined its consumer group"
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await consumer.topics()
        except (KafkaError, OSError, TimeoutError):
            return "kafka does not answer the gate"
        return ""

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        self._joined = False

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self._joined = True


async def _turn(consumer: AIOKafkaConsumer, producer: AIOKafkaProducer) -> None:
    found = await consumer.getmany(timeout_ms=500)
    messages = [passed_on(record) for records in found.values() for record in records]
    known = await consumer.topics() if messages else set()
    # An agency that only sends files has no topic of its own; it was answered by HTTP.
    sent = [
        await producer.send(topic, body, key=key, headers=headers)
        for topic, key, body, headers in messages
        if topic in known
    ]
    await asyncio.gather(*sent)
    if found:
        with suppress(CommitFailedError):  # another has taken over, and passes them on once more
            await consumer.commit()
