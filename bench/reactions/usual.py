"""The usual way: a FastStream handler for each message, which inserts a document and publishes the outcome.

Nothing keeps the two together, and a message that comes twice counts twice.
"""

import asyncio
from typing import Any

from faststream import FastStream
from faststream.kafka import KafkaBroker
from pymongo import AsyncMongoClient

from bench.reactions.events import IN, OUT, Counted, Summed
from shared.settings import Settings


def app() -> FastStream:
    settings = Settings()
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(settings.mongo_url, w="majority", journal=True)
    counted = client[settings.database]["counted"]
    broker = KafkaBroker(settings.kafka, acks="all", logger=None)

    @broker.subscriber(IN, group_id=settings.database, auto_offset_reset="earliest")
    @broker.publisher(OUT)
    async def add(event: Counted) -> Summed:
        await counted.insert_one(event.model_dump())
        return Summed(counter_id=event.counter_id, total=event.by, at=event.at, text=event.text)

    return FastStream(broker, logger=None)


if __name__ == "__main__":
    asyncio.run(app().run())
