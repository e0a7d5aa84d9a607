"""How many placements a second a whole market makes, where its processor time goes, and how soon people hear of it."""

import asyncio
import math
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.burst import producing
from bench.placements.city import City, districts
from bench.placements.doors import Gateway, Log
from bench.placements.floor import floor
from bench.placements.live import Heard, Watched
from bench.placements.load import Load
from bench.placements.usage import Clock, Memory, Spent, memory
from deploy.local.ports import free_ports
from deploy.local.stack import MARKET, Stack

By = Literal["log", "gateway"]
IN_HAND: Mapping[By, int] = {"log": 2_000, "gateway": 300}
"""Seats. With more of them batches are greater, and everybody waits longer."""

MOST_A_SECOND = 60
"""Workers who are registered for each second of a load by the gateway: more than two cores bear."""

PARTS_OF_TIME = 6
LEAD_SECONDS = 5.0
"""So long a load runs before anybody is watched."""


@dataclass(frozen=True)
class Sustained:
    """What a market did for `seconds`. `least` and `most`: placements a second in a sixth of that time.

    `whole`: placements a second from the same moment until all was done that follows from the last; less than `rate`
    where a service had fallen behind. `events`: so many came into the log for each placement.
    """

    districts: int
    hot: bool
    by: By
    seconds: float
    placements: int
    least: float
    most: float
    whole: float
    events: float
    spent: Spent
    memory: Mapping[str, Memory]
    settled: float
    dead: int
    held_back: Mapping[str, int]
    said_no: Mapping[str, int]

    @property
    def rate(self) -> float:
        return self.placements / self.seconds

    @property
    def milliseconds(self) -> dict[str, float]:
        """Processor time of each process for a placement, the greatest first."""
        each = {name: 1_000 * seconds / max(1, self.placements) for name, seconds in self.spent.by.items()}
        return dict(sorted(each.items(), key=lambda item: -item[1]))


@dataclass(frozen=True)
class Latency:
    """From check-in to offer with so many placements a second beside it, and what the least would be. In seconds."""

    rate: float
    heard: list[Heard]
    unheard: int
    floor: list[float]


@dataclass
class Market:
    """A whole market of its own, with a city of districts around it."""

    stack: Stack
    city: City
    log: Log

    async def idle(self, seconds: float) -> Spent:
        """What is taken while nothing happens."""
        clock = Clock(self.stack)
        await asyncio.sleep(seconds)
        return clock.spent()

    async def sustained(self, by: By, *, seconds: float, warm: float) -> Sustained:
        """Under a load that it can just bear."""
        async with AsyncExitStack() as opened:
            door: Log | Gateway = self.log
            if by == "gateway":
                door = await opened.enter_async_context(Gateway(self.stack, self.city))
                await door.open(int((seconds + warm) * MOST_A_SECOND))
            load = Load(self.stack, door, IN_HAND[by])
            async with load.running():
                await asyncio.sleep(warm)
                began, clock = time.time(), Clock(self.stack)
                await asyncio.sleep(seconds)
                spent, held, ended = clock.spent(), memory(self.stack), time.time()
            step = (ended - began) / PARTS_OF_TIME
            parts = [load.placed_between(began + n * step, began + (n + 1) * step) for n in range(PARTS_OF_TIME)]
            return Sustained(
                districts=len(self.city.districts),
                hot=self.city.hot,
                by=by,
                seconds=ended - began,
                placements=sum(parts),
                least=min(parts) / step,
                most=max(parts) / step,
                whole=load.placed_between(began, math.inf) / (ended - began + load.settled),
                events=load.events / max(1, len(load.placed)),
                spent=spent,
                memory=held,
                settled=load.settled,
                dead=load.dead,
                held_back=dict(load.held_back),
                said_no=dict(door.said_no) if isinstance(door, Gateway) else {},
            )

    async def latency(self, rate: float, *, seconds: float, people: int, hops: int) -> Latency:
        """While so many seats a second come by the log; then, alone, what bare hops and commits take."""
        async with Gateway(self.stack, self.city) as gateway:
            watched = Watched(self.stack, gateway, self.log, self.city)
            await watched.open(people)
            load = Load(self.stack, self.log, 0, rate)
            async with load.running():
                await asyncio.sleep(LEAD_SECONDS)
                began = time.time()
                await watched.watch(people, seconds)
                ended = time.time()
        beside = load.placed_between(began, ended) / (ended - began)
        return Latency(beside, watched.found, watched.unheard, await floor(self.stack, hops))


@asynccontextmanager
async def market(many: int, *, hot: bool = False) -> AsyncIterator[Market]:
    """A market with so many districts; `hot`: most of what comes, comes to one of them."""
    with tempfile.TemporaryDirectory(prefix="kuaizhao-", ignore_cleanup_errors=True) as folder:
        stack, city = (
            Stack(Path(folder), ports=free_ports(), parts=MARKET, say=lambda line: None),
            City(districts(many), hot),
        )
        async with stack, producing(stack.kafka) as producer:
            log = Log(stack, producer, city)
            try:
                yield Market(stack, city, log)
            finally:
                await log.close()
