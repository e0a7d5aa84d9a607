"""What an event costs with ten thousand, a hundred thousand and a million workers and gigs on file.

One process of a real service, real Kafka and MongoDB. What is on file is elsewhere or past; in the district at work
the same crowd comes and goes in every size, which take turns. Each size has a database of its own in the same mongod,
and its process begins where the log ends. It is counted until every event is handled and what it led to is said.
"""

import asyncio
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from aiokafka import AIOKafkaConsumer, TopicPartition
from pymongo import UpdateOne

from bench.burst import DISTRICT, opening, producing, say, waiting
from bench.growth.file import CROWD, GIGS, fill
from bench.results import Figure
from deploy import topics
from deploy.local.ports import free_ports
from deploy.local.servers import PythonService
from deploy.local.stack import Stack
from services.matching.app import service as matching
from services.matching.store import Offer
from services.posting.app import service as posting
from services.posting.store import Placement
from shared import clock
from shared.contracts import Event
from shared.contracts.matching import PlacementCancelled, PlacementMade
from shared.contracts.posting import GigClosed
from shared.contracts.workers import WorkerCheckedOut
from shared.service import Service
from shared.store import Store, connect

SIZES, QUICK_SIZES = (10_000, 100_000, 1_000_000), (10_000, 100_000)
ROUNDS, QUICK_ROUNDS = 5, 2
FLAT = 1.15
"""How much more an event may cost than with the least on file."""

OPENINGS = 100
OUTCOME = {matching.name: Offer.collection, posting.name: Placement.collection}
"""What the work leaves."""

PATIENCE_SECONDS = 300.0
STILL_SECONDS = 0.5


class Cost(NamedTuple):
    """Milliseconds of one event: of the process' and of mongod's processor time, and by the clock."""

    process: float
    mongo: float
    wall: float


@dataclass(frozen=True)
class Site:
    """A service with so much on file."""

    stack: Stack
    store: Store
    service: Service
    size: int

    @asynccontextmanager
    async def running(self) -> AsyncIterator[psutil.Process]:
        """One process of it, ready, that has nothing to do: all that stands in the log counts as handled."""
        ends = await _ends(self.stack.kafka, self.service.reactions.topics)
        await self.store.db["_fences"].bulk_write(
            [UpdateOne({"_id": self._fence(at)}, {"$set": {"next": end}}, upsert=True) for at, end in ends.items()]
        )
        name = self.service.name
        port = free_ports([name])[name]
        environment = self.stack.environment(name) | {
            "KUAIZHAO_DATABASE": self.store.db.name,
            "KUAIZHAO_PORT": str(port),
        }
        folder, probe = self.stack.data / self.store.db.name, f"http://127.0.0.1:{port}/ready"
        process = PythonService(name, folder, run=("shared.run", name), environment=environment, probe=probe)
        await process.start()
        try:
            yield psutil.Process(process.pid)
        finally:
            await process.stop()

    async def handled(self) -> float:
        """Wait until the process has done all that stands in the log, and is still; the moment at which it had."""
        ends, since = await _ends(self.stack.kafka, self.service.reactions.topics), None
        wanted = {self._fence(at): end for at, end in ends.items()}
        async with asyncio.timeout(PATIENCE_SECONDS):
            while since is None or time.perf_counter() - since < STILL_SECONDS:
                await asyncio.sleep(0.05)
                fences = {row["_id"]: row["next"] async for row in self.store.db["_fences"].find({})}
                done = all(fences.get(name, 0) >= end for name, end in wanted.items())
                if not done or await self.store.db["_outbox"].find_one({}):
                    since = None
                elif since is None:
                    since = time.perf_counter()
        return since

    async def kept(self, collection: str) -> int:
        return await self.store.db[collection].estimated_document_count()

    def _fence(self, at: TopicPartition) -> str:
        return f"{self.service.name}:{at.topic}:{at.partition}"


def figures(*, quick: bool) -> list[Figure]:
    sizes, rounds = (QUICK_SIZES, QUICK_ROUNDS) if quick else (SIZES, ROUNDS)
    return [figure for service in (matching, posting) for figure in _figures(service, sizes, rounds)]


def _figures(service: Service, sizes: Sequence[int], rounds: int) -> Iterator[Figure]:
    costs = asyncio.run(_measured(service, sizes, rounds))
    for size, each in costs.items():
        told = ", ".join(f"{cost.process:.2f}/{cost.mongo:.2f}/{cost.wall:.2f}" for cost in each)
        print(f"growth, {service.name}, {size:,} on file: ms an event (process/mongod/wall): {told}", flush=True)
    least, *more = sizes
    for size in more:
        for part, place in (("process", "growth"), ("mongo", ""), ("wall", "")):
            now, before = ([getattr(cost, part) for cost in costs[of]] for of in (size, least))
            name, against = f"growth-{service.name}-{size // 1_000}k", f"{least:,} on file"
            name += "" if part == "process" else f"-{part}"
            yield Figure(name, "ms", now, round(1 / FLAT, 2), against, before, less_is_better=True, place=place)


async def _measured(service: Service, sizes: Sequence[int], rounds: int) -> dict[int, list[Cost]]:
    costs: dict[int, list[Cost]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="kuaizhao-") as folder:
        async with Stack(Path(folder), ports=free_ports(), parts=[], say=lambda line: None) as stack:
            client = connect(stack.mongo_url)
            try:
                sites = []
                for size in sizes:
                    store, began = Store(client, f"{service.name}_{size}", source="bench"), time.perf_counter()
                    await fill(stack.mongo_url, store.db.name, service, size)
                    print(f"growth, {service.name}: {size:,} filed in {time.perf_counter() - began:.0f} s", flush=True)
                    sites.append(Site(stack, store, service, size))
                for number in range(1 + rounds):  # the first is to get warm
                    for site in sites[number % len(sites) :] + sites[: number % len(sites)]:
                        cost = await _cost(site, number)
                        if number:
                            costs[site.size].append(cost)
            finally:
                await client.close()
    return {size: costs[size] for size in sizes}


async def _cost(site: Site, number: int) -> Cost:
    work = {matching.name: _market, posting.name: _placements}[site.service.name]
    mongod = psutil.Process(site.stack.processes["mongo"].pid)
    many, process_s, mongo_s, wall_s = 0, 0.0, 0.0, 0.0
    before, made = await site.kept("_inbox"), await site.kept(OUTCOME[site.service.name])
    async with producing(site.stack.kafka) as producer, site.running() as process:
        await site.handled()  # what the start itself brings
        for events in work(f"{site.size}-{number}"):
            many, process_s, mongo_s = many + len(events), process_s - _seconds(process), mongo_s - _seconds(mongod)
            began = time.perf_counter()
            await say(producer, events)
            wall_s += await site.handled() - began
            process_s, mongo_s = process_s + _seconds(process), mongo_s + _seconds(mongod)
    if await site.kept("_dead") or await site.kept("_inbox") - before != many:
        raise RuntimeError(f"{site.store.db.name}: not all of {many} events were handled")
    if await site.kept(OUTCOME[site.service.name]) == made:
        raise RuntimeError(f"{site.store.db.name}: nothing came of {many} events")
    return Cost(*(1_000 * seconds / many for seconds in (process_s, mongo_s, wall_s)))


def _market(name: str) -> Iterator[list[Event]]:
    """A crowd checks in and gigs are posted, of which offers are made; then all of it ends."""
    chance = random.Random(4)
    came = [
        event.model_copy(update={"checkin_id": f"{name}-{n}", "presence_id": f"{name}-{n}:{DISTRICT}"})
        for n in range(CROWD)
        for event in (waiting(chance, n),)
    ]
    posts = [opening(chance, f"{name}-{n}") for n in range(OPENINGS)]
    yield [*posts, *came]
    yield [
        *(GigClosed(gig_id=post.gig_id, district=DISTRICT, reason="employer") for post in posts),
        *(
            WorkerCheckedOut(
                presence_id=event.presence_id, checkin_id=event.checkin_id, worker_id=event.worker_id,
                district=DISTRICT, reason="worker",
            )
            for event in came
        ),
    ]  # fmt: skip


def _placements(name: str) -> Iterator[list[Event]]:
    """Every seat of the district's gigs is taken, so that they are full; then each is given up."""
    chance = random.Random(5)
    terms = [opening(chance, "").terms for _ in range(GIGS)]
    made = [
        PlacementMade(
            placement_id=f"{name}-{n}", offer_id=f"{name}-{n}", gig_id=f"here-{n % GIGS}", seat=1 + n // GIGS,
            worker_id=f"worker-{n}", employer_id="employer-1", district=DISTRICT, terms=terms[n % GIGS],
            at=clock.now(),
        )
        for n in range(CROWD)
    ]  # fmt: skip
    yield list(made)
    both = {"placement_id", "gig_id", "seat", "worker_id", "employer_id", "district"}
    yield [PlacementCancelled(by="worker", at=clock.now(), **each.model_dump(include=both)) for each in made]


async def _ends(kafka: str, wanted: Iterable[str]) -> dict[TopicPartition, int]:
    """Where each partition's log ends now."""
    partitions = {topic.name: topic.partitions for topic in topics.read()}
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka)
    await consumer.start()
    try:
        places = [TopicPartition(topic, number) for topic in wanted for number in range(partitions[topic])]
        return dict(await consumer.end_offsets(places))
    finally:
        await consumer.stop()


def _seconds(process: psutil.Process) -> float:
    times: Any = process.cpu_times()
    return float(times.user + times.system)
