"""`make peak`: a morning whose load is twenty times that of the night before, and a crowd that only looks.

People act as in `make chaos`, at a pace that grows by twenty from one moment to the next and stays so for a while. A
crowd reads posts all that time, more at once than posting is set to let in here. After it the log is read and judged.
The last line is `peak: 20x for <n> s, <n> calls, p99 <n> ms, drained after <n> s, <n> reads and <n> commands turned
away; lost=… doubled=… overfilled=… overlaps=…`. Exit codes: 0 clean, 1 something found.
"""

import asyncio
import logging
import os
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families
from pymongo import AsyncMongoClient

from deploy.local.process import CannotRun
from deploy.topics import read
from shared.broker import Broker
from shared.bus import log_bounds
from shared.tasks import end_tasks
from tests.chaos.checker import Report
from tests.chaos.run import Market, market, unhandled
from tests.chaos.stack import REACTING, ChaosStack
from tests.chaos.workload import Size

TIMES = 20
CALM = Size(employers=12, workers=120, pause=40.0, fickle=0.02)
"""Three acts a second, which is more than the city of `make up` does in the day."""
CALM_SECONDS, PEAK_SECONDS = 20.0, 90.0
READERS, LET_IN, LATE = 40, 10, 0
PATIENCE = 180.0


@dataclass
class Peak:
    """What a run came to. `latencies` are those of the peak's commands as who sent them saw them, in seconds."""

    seconds: float
    latencies: list[float]
    drained: float
    turned_away: dict[str, int]
    report: Report
    findings: list[str] = field(default_factory=list)

    @property
    def p99(self) -> float:
        ordered = sorted(self.latencies)
        return ordered[int(len(ordered) * 0.99)]

    @property
    def clean(self) -> bool:
        return self.report.clean and not self.findings

    @property
    def line(self) -> str:
        figures = self.report.line(kills=0).removeprefix("kills=0 ").removesuffix(" dead=planted")
        return (
            f"{TIMES}x for {self.seconds:.0f} s, {len(self.latencies)} calls, p99 {self.p99 * 1000:.0f} ms, drained"
            f" after {self.drained:.0f} s, {self.turned_away['read']} reads and {self.turned_away['command']} commands"
            f" turned away; {figures}"
        )


@dataclass
class Readers:
    """A crowd at one process; how often each was answered, by status, and what it should not have been told."""

    at: str
    answers: dict[int, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def there(self) -> AsyncIterator[None]:
        limits = httpx.Limits(max_connections=READERS)
        async with httpx.AsyncClient(base_url=self.at, limits=limits, timeout=30, trust_env=False) as http:
            reading = [asyncio.create_task(self._look(http)) for _ in range(READERS)]
            try:
                yield
            finally:
                await end_tasks(*reading)

    async def _look(self, http: httpx.AsyncClient) -> None:
        while True:
            try:
                answer = await http.get("/api/posting/gigs", params={"district": "430121", "limit": "20"})
            except httpx.HTTPError:  # on a machine that is far too busy an answer may come too late
                self.answers[LATE] = self.answers.get(LATE, 0) + 1
                continue
            self.answers[answer.status_code] = self.answers.get(answer.status_code, 0) + 1
            if answer.status_code == 429 and not answer.headers.get("retry-after", "").isdigit():
                self.wrong.append("a reader was turned away and not told when to come back")
            elif answer.status_code not in (200, 429):
                self.wrong.append(f"a reader was answered {answer.status_code}")
            await asyncio.sleep(0.05 if answer.status_code == 429 else 0)


async def run(folder: Path, *, seed: int, seconds: float, say: Any) -> Peak:
    """Let the load rise for so long, and judge. Raises CannotRun when something on this machine is in the way."""
    os.environ["KUAIZHAO_READS_AT_ONCE"] = str(LET_IN)
    async with market(folder, seed=seed, size=CALM, say=say, replicas=1) as whole:
        readers = Readers(whole.stack.url("posting"))
        async with whole.busy():
            await asyncio.sleep(CALM_SECONDS)
            say(f"{TIMES} times as much from now on; {whole.history}")
            whole.workload.size = replace(CALM, pause=CALM.pause / TIMES)
            began = time.time()
            async with readers.there():
                await asyncio.sleep(seconds)
            whole.workload.size, ended = CALM, time.time()
            say(f"the peak is over; {whole.history}; readers were answered {readers.answers}")
            drained = await drain(whole.stack)
        turned_away = await counted(whole.stack)
        report = await whole.judged()
        latencies = [seconds for sent, seconds in whole.workload.waits if began <= sent < ended]
        findings = [*whole.findings, *sorted(set(readers.wrong)), *shed_in_order(whole, turned_away)]
        return Peak(ended - began, latencies, drained, turned_away, report, findings)


def shed_in_order(whole: Market, turned_away: dict[str, int]) -> list[str]:
    """Reads are turned away, and no command is while there is room for one; nobody is left without an answer."""
    findings = [f"{call.command} was never answered" for call in whole.history.calls if call.status == "unknown"]
    if not turned_away["read"]:
        findings.append("no read was turned away, so this run shows nothing about who goes first")
    if turned_away["command"]:
        findings.append(f"{turned_away['command']} commands were turned away while reads were let in")
    return findings


async def drain(stack: ChaosStack) -> float:
    """Seconds until every event of the log is handled by every service; raises TimeoutError when it never is."""
    topics = [topic.name for topic in read() if not topic.name.endswith(".dead")]
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(stack.mongo_url)
    began = time.monotonic()
    try:
        async with asyncio.timeout(PATIENCE):
            ends = await log_bounds(Broker(stack.kafka), topics)
            while sum([await unhandled(client[service], ends) for service in REACTING]):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        return time.monotonic() - began
    finally:
        await client.close()


async def counted(stack: ChaosStack) -> dict[str, int]:
    """How many reads and commands all processes have turned away."""
    found = {"read": 0, "command": 0}
    async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
        for name in stack.running:
            with suppress(httpx.HTTPError):
                text = (await http.get(f"{stack.url(name)}/metrics")).text
                for family in text_string_to_metric_families(text):
                    for sample in family.samples:
                        if sample.name == "kuaizhao_requests_turned_away_total":
                            found[sample.labels["kind"]] += int(sample.value)
    return found


def say(line: str) -> None:
    print(f"peak: {line}", flush=True)


def main() -> int:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    seed = int(os.environ.get("SEED") or random.randrange(10_000))
    seconds = float(os.environ.get("SECONDS_OF_PEAK") or PEAK_SECONDS)
    say(f"SEED={seed}")
    with tempfile.TemporaryDirectory(prefix="kuaizhao-peak-", ignore_cleanup_errors=True) as folder:
        try:
            peak = asyncio.run(run(Path(folder), seed=seed, seconds=seconds, say=say))
        except CannotRun as error:
            say(f"cannot run: {error}")
            return os.EX_UNAVAILABLE
    for finding in (*peak.report.findings, *peak.findings):
        say(f"found: {finding}")
    say(peak.line)
    return 0 if peak.clean else 1


if __name__ == "__main__":
    sys.exit(main())
