"""From a check-in at the gateway to the offer on the live stream, in a market that is a third as busy as it can be.

Everybody who is watched lives in the city of the load, and a gig waits that they alone can do. What is in between is
told by the broker's clock: until the check-in is in the log, until the offer is, until it is heard.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson
from aiokafka import AIOKafkaConsumer

from bench.burst import listening
from bench.placements.city import City, posted
from bench.placements.doors import Gateway, Log
from deploy.local.stack import Stack
from shared.contracts.matching import OfferMade
from shared.contracts.workers import WorkerCheckedIn

AHEAD_SECONDS = 3.0
"""So long before the check-in its gig is posted, so that it is known."""

PATIENCE_SECONDS = 30.0


class Heard(NamedTuple):
    """Seconds: until the check-in was in the log, from there until the offer was, from there until it was heard."""

    saying: float
    matching: float
    telling: float

    @property
    def whole(self) -> float:
        return sum(self)


@dataclass
class Watched:
    """People who check in one after another, each watched on their own stream."""

    stack: Stack
    gateway: Gateway
    log: Log
    city: City
    found: list[Heard] = field(default_factory=list)
    unheard: int = 0
    _said: dict[str, float] = field(default_factory=dict)
    _offered: dict[str, float] = field(default_factory=dict)

    async def open(self, many: int) -> None:
        """Sign in and register so many."""
        await self.gateway.sign_in({self._id(n): "worker" for n in range(many)})
        for n in range(many):
            id, district = self._id(n), self.city.districts[n % len(self.city.districts)]
            await self.gateway.register(9_000 * 500 + n, id, district, skills=[self._skill(n)])

    async def watch(self, many: int, seconds: float) -> None:
        """Let so many check in, evenly over a time, and return when each has been heard of or given up."""
        async with listening(self.stack.kafka, WorkerCheckedIn.topic, OfferMade.topic) as listener:
            hearing = asyncio.create_task(self._hear(listener))
            try:
                async with asyncio.TaskGroup() as group:
                    for n in range(many):
                        group.create_task(self._one(n, AHEAD_SECONDS + n * seconds / many))
            finally:
                hearing.cancel()

    def _id(self, n: int) -> str:
        return f"watched-{n}"

    def _skill(self, n: int) -> str:
        return f"skill-of-{n}"

    async def _hear(self, listener: AIOKafkaConsumer) -> None:
        while True:
            for records in (await listener.getmany(timeout_ms=50)).values():
                for record in records:
                    worker = orjson.loads(record.value)["worker_id"]
                    if worker.startswith("watched-"):
                        times = self._offered if record.topic == OfferMade.topic else self._said
                        times.setdefault(worker, record.timestamp / 1_000)

    async def _one(self, n: int, after: float) -> None:
        id, district = self._id(n), self.city.districts[n % len(self.city.districts)]
        await asyncio.sleep(after - AHEAD_SECONDS)
        gig = posted(self.city, district, f"gig-for-{id}", 1, (self._skill(n),))
        await self.log.post(gig)
        await asyncio.sleep(AHEAD_SECONDS)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS), self.gateway.stream(id) as answer:
                messages = offers(answer.content)
                began = time.time()
                await self.gateway.check_in(id, district)
                offer = await anext(messages)
                ended = time.time()
            await self.gateway.call(id, "POST", f"matching/offers/{offer}/accept")
        except TimeoutError:
            self.unheard += 1
            return
        said, offered = self._said.get(id, ended), self._offered.get(id, ended)
        self.found.append(Heard(said - began, offered - said, ended - offered))


async def offers(content: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """The offers of a live stream (server-sent events), as they come."""
    async for line in content:
        if line.startswith(b"data:"):
            message = orjson.loads(line[5:])
            if message["kind"] == "offer-made":
                yield str(message["refs"]["offer_id"])
