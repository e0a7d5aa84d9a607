"""`make elastic`: 1 → 4 → 2 replicas and a rolling restart under load, which clients notice as calls sent again."""

import asyncio
import logging
import os
import random
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from deploy.local.process import CannotRun
from tests.chaos.run import Market, market
from tests.chaos.stack import REACTING
from tests.chaos.workload import Size

STEPS = (4, 2)
BETWEEN_SECONDS = 10.0
PAUSE = 1.5
"""Between two acts of a person, on average: load, and not what two slow cores cannot carry."""


def say(line: str) -> None:
    print(f"elastic: {line}", flush=True)


async def scale(whole: Market, replicas: int) -> None:
    """All reacting services at a time have so many replicas, while people go on."""
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for service in REACTING:
            group.create_task(whole.stack.scale(service, replicas))
    say(f"{replicas} replicas of each reacting service after {time.monotonic() - began:.0f} s; {whole.history}")
    await asyncio.sleep(BETWEEN_SECONDS)


async def roll(whole: Market) -> int:
    """Restart every process once, a service's one after another, each only when the one before is ready.

    Services do not wait for each other. Returns how many processes there were.
    """

    async def restart(service: str) -> int:
        for name in (names := stack.names(service)):
            began = time.monotonic()
            code = await stack.leave(name)
            if code:
                seconds = time.monotonic() - began
                whole.findings.append(f"{name} ended with code {code} {seconds:.0f} s after it was asked to stop")
            await stack.start(name)
            stack.keep(name)
        return len(names)

    stack, began = whole.stack, time.monotonic()
    restarted = sum(await asyncio.gather(*(restart(service) for service in stack.wanted)))
    say(f"{restarted} processes restarted after {time.monotonic() - began:.0f} s; {whole.history}")
    return restarted


async def run(folder: Path, seed: int) -> int:
    size = replace(Size(), pause=PAUSE)
    async with market(folder, seed=seed, size=size, say=say, replicas=1) as whole:
        async with whole.busy():
            for replicas in STEPS:
                await scale(whole, replicas)
            restarted = await roll(whole)
        report = await whole.judged()
    again = sum(max(0, call.sent - 1) for call in whole.history.calls)
    for finding in (*report.findings, *whole.findings):
        say(f"found: {finding}")
    unanswered = [call for call in whole.history.calls if call.status == "unknown"]
    if unanswered:
        say(f"found: {len(unanswered)} calls were never answered")
    figures = report.line(kills=0).removeprefix("kills=0 ").removesuffix(" dead=planted")
    say(f"replicas 1 → 4 → 2, {restarted} restarts, {len(whole.history.calls)} calls, {again} sent again; {figures}")
    return 0 if report.clean and not whole.findings and not unanswered else 1


def main() -> int:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it says of a killed broker is no news here
    seed = int(os.environ.get("SEED") or random.randrange(10_000))
    say(f"SEED={seed}")
    with tempfile.TemporaryDirectory(prefix="kuaizhao-elastic-", ignore_cleanup_errors=True) as folder:
        try:
            return asyncio.run(run(Path(folder), seed))
        except CannotRun as error:
            say(f"cannot run: {error}")
            return os.EX_UNAVAILABLE


if __name__ == "__main__":
    sys.exit(main())
