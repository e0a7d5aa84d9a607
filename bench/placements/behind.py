"""How far each service is behind what is said to it: what stands in the log past its fences, and in its outbox."""

from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from pymongo import AsyncMongoClient

from deploy.local.ports import SERVICES
from deploy.topics import read
from shared.backlog import backlog
from shared.store import connect


class Behind:
    """Asks log and databases; `close` when done."""

    def __init__(self, kafka: str, mongo_url: str) -> None:
        self._consumer = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False)
        self._mongo: AsyncMongoClient[dict[str, Any]] = connect(mongo_url)
        self._places = [TopicPartition(topic.name, n) for topic in read() for n in range(topic.partitions)]

    async def start(self) -> None:
        await self._consumer.start()

    async def close(self) -> None:
        await self._consumer.stop()
        await self._mongo.close()

    async def now(self) -> dict[str, int]:
        """Events that wait, by service: not yet handled by it, or said by it and not yet in the log."""
        behind = {}
        ends = await self._consumer.end_offsets(self._places)
        for service in SERVICES:
            db = self._mongo[service]
            waits = await db["_outbox"].estimated_document_count()
            async for fence in db["_fences"].find({}):
                _, topic, partition = fence["_id"].split(":")
                waits += max(0, ends.get(TopicPartition(topic, int(partition)), 0) - fence["next"])
            behind[service] = waits
        return behind

    async def said(self) -> int:
        """How many events stand in the log, or did."""
        return sum((await self._consumer.end_offsets(self._places)).values())

    async def dead(self) -> int:
        """How many events were set aside, in all services."""
        return sum([sum((await backlog(self._mongo[service])).dead.values()) for service in SERVICES])
