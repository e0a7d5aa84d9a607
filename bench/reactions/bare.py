"""The same five writes with nothing around them: a loop of plain aiokafka and PyMongo, 500 records at a time.

    { fence · inbox · documents · outbox } ─► commit ─► publish ─► delete

No model, no trace, no figures, no numbers in a stream, no retry, no rebalance: what is left is what it must cost.
"""

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from pymongo import AsyncMongoClient, InsertOne, ReplaceOne, UpdateOne

from bench.reactions.events import IN, OUT, Summed
from shared.settings import Settings

BATCH = 500


async def main() -> None:
    settings = Settings()
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(settings.mongo_url, w="majority", journal=True)
    db = client[settings.database]
    await db["fences"].insert_one({"_id": IN, "next": 0})
    consumer = AIOKafkaConsumer(
        IN,
        bootstrap_servers=settings.kafka,
        group_id=settings.database,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka, acks="all", linger_ms=2, compression_type="lz4")
    await consumer.start()
    await producer.start()
    while True:
        for records in (await consumer.getmany(timeout_ms=100, max_records=BATCH)).values():
            await _unit(client, db, records, producer)


async def _unit(client: AsyncMongoClient[Any], db: Any, records: Sequence[Any], producer: AIOKafkaProducer) -> None:
    events = [(dict(record.headers)["ce_id"].decode(), orjson.loads(record.value)) for record in records]
    rows = []
    async with client.start_session() as session, await session.start_transaction():
        moved = await db["fences"].update_one(
            {"_id": IN, "next": records[0].offset}, {"$set": {"next": records[-1].offset + 1}}, session=session
        )
        if not moved.matched_count:
            raise RuntimeError("somebody else was here")
        await db["inbox"].insert_many([{"_id": id} for id, _ in events], session=session)
        ids = list({event["counter_id"] for _, event in events})
        known = {row["_id"]: row async for row in db["counters"].find({"_id": {"$in": ids}}, session=session)}
        new = set(ids) - known.keys()
        for _, event in events:
            row = known.setdefault(event["counter_id"], {"_id": event["counter_id"], "total": 0})
            row |= {"total": row["total"] + event["by"], "at": event["at"], "text": event["text"]}
            body = orjson.dumps({**event, "total": row["total"]})
            rows.append({"_id": uuid.uuid4().hex, "key": event["counter_id"].encode(), "body": body})
        writes: list[InsertOne[Any] | ReplaceOne[Any] | UpdateOne] = [
            InsertOne(row) if id in new else ReplaceOne({"_id": id}, row) for id, row in known.items()
        ]
        await db["counters"].bulk_write(writes, ordered=False, session=session)
        await db["outbox"].insert_many(rows, session=session)
    sent = [
        await producer.send(
            OUT,
            row["body"],
            key=row["key"],
            headers=[("ce_id", row["_id"].encode()), ("ce_type", Summed.type.encode())],
        )
        for row in rows
    ]
    await asyncio.gather(*sent)
    await db["outbox"].delete_many({"_id": {"$in": [row["_id"] for row in rows]}})


if __name__ == "__main__":
    asyncio.run(main())
