"""The least that a check-in's offer could take: two hops by Kafka and two majority commits, with nothing around them.

    produce ─► consume · commit ─► produce ─► consume · commit ─► here

One message at a time, on the same servers, while nothing else runs: plain aiokafka and PyMongo, as a service sets them.
"""

import asyncio
import time
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from pymongo import AsyncMongoClient
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from bench.burst import listening, producing
from deploy.local.stack import Stack
from shared.clock import new_id
from shared.store import connect

FIRST, SECOND, DATABASE = "bench.first", "bench.second", "bench_floor"
TIMES, COLD = 300, 20


async def floor(stack: Stack, times: int = TIMES) -> list[float]:
    """Seconds of each."""
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.kafka)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 1, 1) for name in (FIRST, SECOND)])
    finally:
        await admin.close()
    mongo = connect(stack.mongo_url)
    try:
        await mongo[DATABASE].create_collection("hops")
        async with (
            producing(stack.kafka) as producer,
            listening(stack.kafka, FIRST) as first,
            listening(stack.kafka, SECOND) as second,
        ):
            return [await _once(mongo, producer, first, second) for _ in range(COLD + times)][COLD:]
    finally:
        await mongo.close()


async def _once(
    mongo: AsyncMongoClient[dict[str, Any]],
    producer: AIOKafkaProducer,
    first: AIOKafkaConsumer,
    second: AIOKafkaConsumer,
) -> float:
    began, body = time.perf_counter(), b"x" * 500
    reading = asyncio.create_task(first.getone())
    await producer.send_and_wait(FIRST, body)
    await reading
    await _commit(mongo)
    reading = asyncio.create_task(second.getone())
    await producer.send_and_wait(SECOND, body)
    await reading
    await _commit(mongo)
    return time.perf_counter() - began


async def _commit(mongo: AsyncMongoClient[dict[str, Any]]) -> None:
    async with mongo.start_session() as session:
        async with await session.start_transaction(ReadConcern("snapshot"), WriteConcern("majority", j=True)):
            await mongo[DATABASE]["hops"].insert_one({"_id": new_id()}, session=session)
