"""`make chaos`: every service is killed with kill -9 once, each in the middle of what it does in a journey.

Real processes on real servers; the clients repeat what got no answer, and the killed process is started again. Then
the checker reads the whole log and the databases. Exit code 1 and the findings when anything was lost or doubled.
"""

import asyncio
import os
import random
import sys
import tempfile
from pathlib import Path

from pymongo import AsyncMongoClient

from clients.city.client import Refusal
from deploy.local.ports import free_ports
from deploy.local.process import CannotRun
from deploy.local.stack import EVERYTHING, Stack
from tests.chaos.checker import Report, check_effects, check_log, read_log
from tests.e2e.journey import Story, eventually

STEPS = (
    "verify_employer",
    "register_worker",
    "post_gig",
    "check_in",
    "find_offer",
    "accept",
    "see_agreement",
    "see_notice",
)
BUSIEST = {
    "identity": "register_worker",
    "posting": "post_gig",
    "workers": "check_in",
    "matching": "accept",
    "rights": "accept",
    "notify": "accept",
    "valkey": "find_offer",
    "mongo": "find_offer",
    "kafka": "accept",
}
"""The step in whose midst each part is killed."""
NEEDS_ITS_LOG = {"kafka"}


async def tell(stack: Stack, story: Story, victim: str, chance: random.Random) -> None:
    """One story, with one kill in the midst of the victim's busiest step."""

    async def strike() -> None:
        await asyncio.sleep(chance.uniform(0, 0.1))
        await stack.kill(victim)
        print(f"chaos: killed {victim} during {BUSIEST[victim]}", flush=True)
        await stack.start(victim)

    async with story.open():
        for step in STEPS:
            if step == BUSIEST[victim]:
                await asyncio.gather(getattr(story, step)(), strike())
            else:
                await getattr(story, step)()


async def quiet(mongo_url: str) -> None:
    """Wait until nothing is on its way: every outbox is empty, twice in a row."""
    client: AsyncMongoClient[dict[str, object]] = AsyncMongoClient(mongo_url)
    services = ("posting", "workers", "matching", "rights", "notify")

    async def empty() -> bool:
        for _ in range(2):
            for service in services:
                if await client[service]["_outbox"].count_documents({}):
                    return False
            await asyncio.sleep(0.5)
        return True

    try:
        await eventually(empty, "empty outboxes")
    finally:
        await client.close()


async def main() -> bool:
    seed = int(os.environ.get("SEED", random.randrange(10_000)))
    chance = random.Random(seed)
    print(f"chaos: SEED={seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="kuaizhao-chaos-") as folder:
        parts = [part for part in EVERYTHING if part != "city"]
        async with Stack(Path(folder), ports=free_ports(), parts=parts) as stack:
            victims = [victim for victim in BUSIEST if stack.keeps_its_log or victim not in NEEDS_ITS_LOG]
            stories = [
                Story(stack.gateway, stack.url("web"), stack.operator_password, n=n) for n, _ in enumerate(victims)
            ]
            for story, victim in zip(stories, victims, strict=True):
                await tell(stack, story, victim, chance)
            await quiet(stack.mongo_url)
            report, log = Report(), await read_log(stack.kafka)
            check_log(log, report)
            await check_effects(stack.mongo_url, log, stories, report)
            if not stack.keeps_its_log:
                print("chaos: the fallback broker keeps no log, so the broker was not killed; Apache Kafka shows that")
    for finding in (*report.lost, *report.doubled, *report.overfilled, *report.overlaps):
        print(f"chaos: {finding}")
    print(report.line(kills=len(victims)))
    return report.clean


if __name__ == "__main__":
    try:
        sys.exit(0 if asyncio.run(main()) else 1)
    except (AssertionError, Refusal, CannotRun, TimeoutError) as error:
        sys.exit(f"chaos: FAILED: {error}")
