"""A broker where agencies sign in, and what a market of our own services says on it."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from deploy.agencies.snapshots import records_of
from deploy.local.kafka_dist import kafka_dist
from deploy.local.ports import free_ports
from deploy.local.servers import LOCALHOST, Kafka
from deploy.topics import SNAPSHOT, provision
from services.matching.app import service as matching
from services.matching.store import Placement
from services.posting.app import service as posting
from services.posting.store import Gig
from services.rights.app import service as rights
from services.workers.app import service as workers
from shared import clock
from shared.broker import Broker as At
from shared.bus import log_bounds
from shared.testing import Harness, harness
from shared.unit import OutboxRow
from tests.service.market import Market
from tests.service.matching.kit import run
from tests.service.posting.market import CHANGSHA_COUNTY, FURONG, amend, code, post, verified
from tests.service.workers import conftest as people

OPEN_TOPICS = ("posting.gig", "matching.placement")
SIGNED_IN = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "SCRAM-SHA-512"}
EVERY_TOPIC = tuple(name for topic in OPEN_TOPICS for name in (topic + SNAPSHOT, topic))
SECONDS = 60.0
GIGS, WORKERS = 60, 40
"""Of each half."""


@asynccontextmanager
async def broker(folder: Path) -> AsyncIterator["Broker"]:
    """An Apache Kafka of its own, with every topic."""
    ports = free_ports(["kafka", "kafka_controller", "agencies"])
    kafka = Kafka(
        folder / "kafka",
        port=ports["kafka"],
        controller=ports["kafka_controller"],
        agencies=ports["agencies"],
        dist=await kafka_dist(print),
    )
    await kafka.start()
    ours = At(kafka.address)
    try:
        await provision(ours)
        yield Broker(ours, f"{LOCALHOST}:{ports['agencies']}")
    finally:
        await kafka.stop()


@dataclass
class Broker:
    """Where our services reach it, and where agencies do."""

    ours: At
    theirs: str

    async def say(self, rows: Iterable[OutboxRow]) -> None:
        async with AIOKafkaProducer(**self.ours.options, acks="all", compression_type="lz4") as producer:
            for row in rows:
                headers = [(name, value.encode()) for name, value in row.headers.items()]
                await producer.send(row.topic, row.body, key=row.key, headers=headers)
            await producer.flush()

    async def put(self, row: OutboxRow, *, key: bytes, partition: int) -> None:
        """One record, under a key and in a partition of its own."""
        async with AIOKafkaProducer(**self.ours.options, acks="all") as producer:
            headers = [(name, value.encode()) for name, value in row.headers.items()]
            await producer.send_and_wait(row.topic, row.body, key=key, partition=partition, headers=headers)

    async def records(self, *topics: str) -> list[Any]:
        return [record for topic in topics for record in [each async for each in records_of(self.ours, topic, {})]]

    async def forget(self, *topics: str) -> int:
        """Delete all that stands in topics now, as retention does; how many records that were."""
        bounds = await log_bounds(self.ours, topics)
        admin = AIOKafkaAdminClient(**self.ours.options)
        try:
            await admin.start()
            ends = {TopicPartition(*place): RecordsToDelete(before_offset=end) for place, (_, end) in bounds.items()}
            await admin.delete_records(ends)
        finally:
            await admin.close()
        return sum(end - begin for begin, end in bounds.values())

    async def compact(self, *topics: str) -> tuple[int, int]:
        """Keep the last record of each key, in order, as Kafka's cleaner does in time; how many before and after."""
        before = await self.records(*topics)
        kept = list({(each.topic, each.partition, each.key): None for each in reversed(before)})
        last = {(each.topic, each.partition, each.key): each for each in before}
        await self.forget(*topics)
        async with AIOKafkaProducer(**self.ours.options, acks="all") as producer:
            for key in reversed(kept):
                each = last[key]
                await producer.send(
                    each.topic, each.value, key=each.key, partition=each.partition, headers=list(each.headers)
                )
            await producer.flush()
        return len(before), len(kept)

    async def read_as(self, user: str, password: str, topic: str, *, group: str | None = None) -> list[Any]:
        """What an agency can read of a topic up to its present end. Raises what the broker refuses."""
        bounds = await log_bounds(self.ours, [topic])
        wanted = sum(end - begin for begin, end in bounds.values())
        found: list[Any] = []
        login = {"sasl_plain_username": user, "sasl_plain_password": password}
        consumer = AIOKafkaConsumer(
            topic,
            bootstrap_servers=self.theirs,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            **SIGNED_IN,
            **login,
        )
        try:
            async with asyncio.timeout(SECONDS):
                await consumer.start()
                while not found or len(found) < wanted:
                    for records in (await consumer.getmany(timeout_ms=500)).values():
                        found += records
                if group:
                    await consumer.commit()
        finally:
            await consumer.stop()
        return found

    async def write_as(self, user: str, password: str, topic: str, body: bytes, **other: Any) -> None:
        """Raises what the broker refuses."""
        async with AIOKafkaProducer(
            bootstrap_servers=self.theirs, **SIGNED_IN, sasl_plain_username=user, sasl_plain_password=password
        ) as producer:
            await producer.send_and_wait(topic, body, **other)


# --- the market -----------------------------------------------------------------------------------------------------


@dataclass
class Told(Market):
    """A market of four services that keeps what they said."""

    told: list[OutboxRow] = field(default_factory=list)

    async def _carry(self, speaker: str) -> int:
        rows = self.db(speaker)["_outbox"].find({}, sort=[("stream", 1), ("sequence", 1)])
        self.told += [OutboxRow.from_mongo(row) async for row in rows]
        return await super()._carry(speaker)

    def said(self) -> list[OutboxRow]:
        """What was said on the open topics until now."""
        return [row for row in self.told if row.topic in OPEN_TOPICS]

    async def half(self, n: int) -> None:
        """Gigs are posted, amended, filled and closed; people are placed, and some of them cancel."""
        gigs = [
            await post(self.posting, f"e{each % 2 + 1}", skills=[], headcount=each % 3 + 1, district=district)
            for each in range(GIGS)
            for district in [(CHANGSHA_COUNTY, FURONG)[each % 2]]
        ]
        ids = [f"worker-{n}-{each}" for each in range(WORKERS)]
        for number, worker in enumerate(ids):
            registered = await people.register(
                self.workers,
                worker,
                accepts_automatically=True,
                id_number=people.id_number(n * WORKERS + number + 1),
            )
            assert registered.status_code == 201, registered.text
            at_the_gate = {"lat": 28.2453, "lon": 113.0803}
            district = (CHANGSHA_COUNTY, FURONG)[number % 2]
            came = await people.check_in(
                self.workers, worker, districts=[district], position=at_the_gate, station_id=None
            )
            assert came.status_code == 201, came.text
        await self.flow()
        for district in (CHANGSHA_COUNTY, FURONG):
            await run(self.matching, district)
        await self.flow()
        for gig in gigs[::4]:
            await amend(self.posting, gig["gig_id"], f"e{gigs.index(gig) % 2 + 1}", headcount=9)
        for gig in gigs[::5]:
            headers = self.posting.as_("employer", f"e{gigs.index(gig) % 2 + 1}")
            assert (await self.posting.http.post(f"/gigs/{gig['gig_id']}/close", headers=headers)).status_code == 200
        for worker in ids[::3]:
            mine = self.matching.as_("worker", worker)
            for item in (await self.matching.http.get("/placements", headers=mine)).json()["items"]:
                path = f"/placements/{item['placement_id']}/cancel"
                assert (await self.matching.http.post(path, headers=mine)).status_code == 200
        await self.flow()

    async def open(self) -> list[Gig]:
        return [gig for gig in await self.posting.all(Gig) if gig.status != "closed"]

    async def placed(self) -> list[Placement]:
        return [placement for placement in await self.matching.all(Placement) if placement.status == "placed"]

    async def standing(self) -> tuple[int, int]:
        return len(await self.open()), len(await self.placed())

    async def digest(self) -> str:
        """The state hash of docs/agencies.md, by what the services have in their databases."""
        lines = [f"gig {gig.id} {gig.district} {gig.terms.headcount}" for gig in await self.open()]
        lines += [f"placement {each.id} {each.gig_id} {each.worker_id}" for each in await self.placed()]
        return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


@asynccontextmanager
async def market(mongo_url: str, name: str) -> AsyncIterator[Told]:
    async with AsyncExitStack() as stack:
        made: dict[str, Harness] = {
            each.name: await stack.enter_async_context(harness(each, mongo_url, database=f"test_{name}_{each.name}"))
            for each in (posting, workers, rights, matching)
        }
        clock.set_source(lambda: made["matching"].clock.now)
        for n in (1, 2):
            await verified(made["posting"], f"e{n}", credit_code=code(n))
        told = Told(made["posting"], made["workers"], made["matching"], made["rights"])
        yield told
        for each in made.values():
            await each.runtime.client.drop_database(each.runtime.store.db.name)


def of_tomorrow(rows: Sequence[OutboxRow]) -> list[OutboxRow]:
    """The same as a newer market will say it: with fields, headers and event types that nobody knows today."""
    found = []
    for row in rows:
        body = orjson.loads(row.body)
        body |= {"not_known_yet": {"deep": [1, {"er": None}]}, "terms": body.get("terms", {}) | {"nor_this": True}}
        found.append(replace(row, body=orjson.dumps(body), headers=row.headers | {"ce_newer": "1"}))
    last = {row.stream: row for row in rows}
    for row in list(last.values())[::3]:
        headers = {"ce_type": f"{row.topic}-celebrated.v1", "ce_sequence": str(row.sequence + 1)}
        found.append(replace(row, body=b'{"guests": [1, 2]}', headers=row.headers | headers))
    return found
