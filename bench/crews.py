"""A crew of 1,000 (F39): how long a crowd takes to accept every seat, and how long all are told after the decision."""

import asyncio
import time

from deploy.local.found import found_servers
from services.matching import crews
from services.matching.app import service
from services.matching.store import Offer, Placement
from shared.contracts.matching import PlacementMade
from shared.contracts.terms import Crew
from shared.testing import Harness, harness
from tests.service.matching.kit import accept, checked_in, posted, run

SEATS = 1_000
AT_ONCE = 16
"""Workers who accept at the same time."""

TRIES = 20
"""An app tries again when the service is busy."""


def tell(seats: int = SEATS) -> bool:
    """Print the times on a real MongoDB, with the seats of a whole crew announced in parts, and all in one unit.

    Whether all were placed.
    """
    with found_servers() as servers:
        placed = [asyncio.run(_measured(servers.mongo_url, seats, chunk)) for chunk in (crews.CHUNK, seats)]
        return all(placed)


async def _measured(mongo_url: str, seats: int, chunk: int) -> bool:
    usual, crews.CHUNK = crews.CHUNK, chunk
    try:
        async with harness(service, mongo_url, database="bench_crews") as matching:
            accepting = await _all_accept(matching, seats)
            began = time.perf_counter()
            await run(matching)
            decided = time.perf_counter() - began
            while await matching.runtime.timers.fire_due():
                pass
            announcing = time.perf_counter() - began - decided
            held = sum(placement.status != "placed" for placement in await matching.all(Placement))
            made = len(await matching.published(PlacementMade))
        print(
            f"crews: {seats} seats, {AT_ONCE} accept at a time: {accepting:.1f} s; the decision: {decided:.2f} s; "
            f"all announced, {chunk} a unit: {announcing:.1f} s; placed {made}, not placed {held}"
        )
        return made == seats and not held
    finally:
        crews.CHUNK = usual


async def _all_accept(matching: Harness, seats: int) -> float:
    await matching.receives(posted(headcount=seats, crew=Crew(least=seats)))
    for first in range(0, seats, 200):
        await matching.receives(*(checked_in(f"worker-{n}") for n in range(first, min(first + 200, seats))))
    while (await run(matching)).offers:
        pass
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(offer: Offer) -> None:
        async with turns:
            for _ in range(TRIES):
                answer = await accept(matching, offer)
                if answer.status_code != 503:
                    break
            answer.raise_for_status()

    offers = await matching.all(Offer)
    began = time.perf_counter()
    await asyncio.gather(*map(one, offers))
    return time.perf_counter() - began
