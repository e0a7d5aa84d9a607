"""Topics read once more, from outside of a service's group: for a restore."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from shared.broker import Broker
from shared.bus import letter_of, log_bounds
from shared.delivery import Letter

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MEMBERS = 5
"""Where a described group's members stand among its fields."""


async def members(kafka: Broker, group: str) -> int:
    """How many processes are in a consumer group now. Raises ConnectionError when Kafka does not answer."""
    await log_bounds(kafka, [])
    admin = AIOKafkaAdminClient(**kafka.options)
    try:
        await admin.start()
        described = await admin.describe_consumer_groups([group])
    finally:
        await admin.close()
    return sum(len(row[MEMBERS]) for answer in described for row in answer.groups)


async def records_between(
    kafka: Broker, begins: Mapping[tuple[str, int], int], ends: Mapping[tuple[str, int], int]
) -> AsyncIterator[tuple[datetime, Letter]]:
    """Records of several partitions, by their times, each partition in its own order; with each, its time."""
    places = [TopicPartition(*place) for place in begins if begins[place] < ends[place]]
    if not places:
        return
    consumer = AIOKafkaConsumer(enable_auto_commit=False, auto_offset_reset="earliest", **kafka.options)
    await consumer.start()
    try:
        consumer.assign(places)
        for place in places:
            consumer.seek(place, begins[place])
        heads = {place: await consumer.getone(place) for place in places}
        while heads:
            place = min(heads, key=lambda place: (heads[place].timestamp, place))
            record = heads.pop(place)
            if record.offset < ends[place]:
                yield EPOCH + timedelta(milliseconds=record.timestamp), letter_of(record)
                if record.offset + 1 < ends[place]:
                    heads[place] = await consumer.getone(place)
    finally:
        await consumer.stop()
