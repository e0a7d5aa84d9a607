"""`make soak EVENTS=… SEED=…`: a large market for long, in which something is killed or cut off all the time.

It ends when the log holds so many events (1,000,000). The last line is
`soak: events=… kills=… lost=… doubled=… overfilled=… overlaps=… dead=…`; exit codes are those of `make chaos`. Its data
go to a temporary folder, some tens of GB for a million events.
"""

import asyncio
import logging
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from deploy.local.kafka_dist import Say
from deploy.local.process import CannotRun
from deploy.topics import read
from shared.broker import Broker
from shared.bus import log_bounds
from tests.chaos.__main__ import tell
from tests.chaos.faults import Faults
from tests.chaos.run import Result, beside, heal, market, one_more_zombie, plan_for, suffer, verdict
from tests.chaos.witness import Retries
from tests.chaos.workload import SOAK

EVENTS = 1_000_000
KILLS, SECONDS = 8, 240.0
"""Faults come in rounds: so many kills in so many seconds, and of each other kind at least one."""
BEGAN = time.monotonic()


def say(line: str) -> None:
    print(f"soak: {line}", flush=True)


def tell_now(line: str) -> None:
    say(f"[{time.monotonic() - BEGAN:4.0f} s] {line}")


async def in_log(kafka: str) -> int:
    """How many records the topics of events hold."""
    bounds = await log_bounds(Broker(kafka), [topic.name for topic in read() if not topic.name.endswith(".dead")])
    return sum(end - begin for begin, end in bounds.values())


async def run(folder: Path, *, seed: int, events: int, say: Say) -> Result:
    """Let a large market go on until its log is so long, and judge. Raises CannotRun."""
    async with market(folder, seed=seed, size=SOAK, say=say, long=True) as whole:
        faults, retries = Faults(whole.stack, whole.workload, seed), Retries(whole.stack)
        async with whole.busy(), beside(retries.watch()):
            n = 0
            while (so_far := await in_log(whole.stack.kafka)) < events:
                n += 1
                say(f"round {n}: {so_far:,} events so far")
                await suffer(faults, plan_for(whole.stack, seed * 1_000 + n, KILLS, SECONDS), whole.history, say)
            await one_more_zombie(whole.stack, faults, say)
            await heal(whole)
        if whole.workload.cut.is_set():
            return await whole.given_up(faults.kills)
        return await verdict(whole, faults, retries)


def main() -> int:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it says of a killed broker is no news here
    seed = int(os.environ.get("SEED") or random.randrange(10_000))
    events = int(os.environ.get("EVENTS") or EVENTS)
    say(f"SEED={seed} EVENTS={events}")
    with tempfile.TemporaryDirectory(prefix="kuaizhao-soak-", ignore_cleanup_errors=True) as folder:
        try:
            result = asyncio.run(run(Path(folder), seed=seed, events=events, say=tell_now))
        except CannotRun as error:
            say(f"cannot run: {error}")
            return os.EX_UNAVAILABLE
    return tell(result, say, f"events={result.report.events} ")


if __name__ == "__main__":
    sys.exit(main())
