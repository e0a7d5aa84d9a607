"""One run: warm-up, faults, heal, quiesce, stop, check."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient

from deploy.local.kafka_dist import Say
from deploy.topics import read
from shared.broker import Broker
from shared.bus import log_bounds
from shared.tasks import end_tasks
from tests.chaos.checker import Report, check, judge, judge_log
from tests.chaos.faults import Faults
from tests.chaos.history import History
from tests.chaos.image import take
from tests.chaos.repair import damage_and_mend, give_up_poison
from tests.chaos.schedule import Fault, plan
from tests.chaos.stack import REACTING, ChaosStack
from tests.chaos.witness import Retries, Seen, seen
from tests.chaos.workload import Size, Workload

SECONDS_PER_KILL = 2.0
WARM_UP_SECONDS = 8.0
BACK_SECONDS = float(os.environ.get("PATIENCE") or 240)
"""After healing, all is ready, and later nothing is on its way, within this; no person helps."""
GRACE_SECONDS = 40.0
"""What a process has to stop in (docker-compose.yml: stop_grace_period)."""
HASTY = bool(os.environ.get("HASTY"))
"""Whether a run ends as soon as the log shows a finding: a mutant is caught then."""
FOR_UNHEARD = 10
"""Runs with fewer kills have no time for this."""
UNHEARD_SECONDS = 8.0
MORE_ZOMBIES = int(os.environ.get("ZOMBIES") or 8)
"""A sleeper may wake with nothing in hand; so many more are tried before a run counts for nothing."""
SLEEPERS = ("matching", "notify-2", "matching-2", "notify")


@dataclass
class Result:
    """What a run came to; `findings` are faults of the product that no file or log of the checker shows."""

    kills: int
    report: Report
    seen: Seen
    findings: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return self.report.clean and not self.findings and not self.seen.missing

    @property
    def line(self) -> str:
        return self.report.line(kills=self.kills)


@dataclass
class Market:
    """A stack with people in it. `findings` are what the run itself saw go wrong, before any log is read."""

    stack: ChaosStack
    history: History
    workload: Workload
    say: Say
    findings: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        """People act during the block, and after it until each has heard how their last command ended.

        A command that never gets an answer although nothing is in its way is a finding, and ends all others.
        """
        over = asyncio.Event()
        async with beside(self.workload.run(over)) as working:
            await asyncio.sleep(WARM_UP_SECONDS)
            yield
            await asyncio.sleep(WARM_UP_SECONDS)
            over.set()
            try:
                async with asyncio.timeout(BACK_SECONDS):
                    await asyncio.shield(working)
                    await self.workload.go_home()
            except TimeoutError:
                waiting = [call for call in self.history.calls if call.status == "unknown"]
                self.findings += [f"never answered: {call.command}, sent {call.sent} times" for call in waiting]
                self.workload.cut.set()

    async def given_up(self, kills: int) -> Result:
        """What can be said when some command was never answered: no rest will come, but the log can be read."""
        report = judge_log(await take(self.stack.mongo_url, self.stack.kafka, self.history))
        return Result(kills, report, Seen(0, 0, 0), self.findings)

    async def judged(self) -> Report:
        """Wait until nothing is on its way, stop all processes of ours, and read what they left."""
        self.say("no more calls; waiting until nothing is on its way")
        self.findings += await quiesce(self.stack)
        self.findings += await stop_all(self.stack)
        self.say(f"reading {self.history} and the whole log")
        at = {"mongo_url": self.stack.mongo_url, "kafka": self.stack.kafka, "insurer": self.stack.insurer}
        return await check(history=self.history, **at)


@asynccontextmanager
async def market(
    folder: Path, *, seed: int, size: Size, say: Say, replicas: int = 2, long: bool = False
) -> AsyncIterator[Market]:
    """Start everything in `folder`, with clerks, verified employers and registered workers.

    Raises CannotRun when something on this machine is in the way.
    """
    stack = ChaosStack(folder / "stack", seed=seed, replicas=replicas, own_disks=True, long=long, say=lambda line: None)
    say(f"starting {replicas} of each reacting service, and a proxy on {'each outer' if long else 'every'} link")
    async with stack:
        history = History(folder / "history.jsonl")
        workload = Workload(
            gateway=stack.edge,
            web=stack.url("web"),
            operator_password=stack.operator_password,
            seed=seed,
            history=history,
            size=size,
        )
        await workload.prepare()
        say("people and employers are there; warm-up")
        try:
            yield Market(stack, history, workload, say)
        finally:
            history.close()
            await workload.close()


async def run(
    folder: Path, *, seed: int, kills: int, minutes: float | None, size: Size, say: Say, replicas: int = 2
) -> Result:
    """Let a market suffer, and judge. Raises CannotRun."""
    async with market(folder, seed=seed, size=size, say=say, replicas=replicas) as whole:
        stack, history = whole.stack, whole.history
        if not stack.keeps_its_log:
            say("the fallback broker keeps no log and has one door: it is not killed and its links are not cut")
        if not stack.disks:
            say("disks are not filled: mounting small ones is not allowed here")
        faults, retries = Faults(stack, whole.workload, seed), Retries(stack)
        async with whole.busy(), beside(retries.watch()):
            seconds = minutes * 60 if minutes else kills * SECONDS_PER_KILL
            await suffer(faults, plan_for(stack, seed, kills, seconds), history, say)
            if kills >= FOR_UNHEARD:
                await unheard(stack, faults, say)
            await one_more_zombie(stack, faults, say)
            if not HASTY:
                await heal(whole)
        if whole.workload.cut.is_set():
            return await whole.given_up(faults.kills)
        if HASTY:
            for _ in range(2):  # an event may be read before its cause; the second time it is not
                report = judge_log(await take(stack.mongo_url, stack.kafka, history))
            if not report.clean:
                say("the log itself is wrong, which nothing can mend")
                return Result(faults.kills, report, Seen(0, 0, 0))
            await heal(whole)
        return await verdict(whole, faults, retries)


async def heal(whole: Market) -> None:
    """After the last fault all must come back by itself; only what an operator is for is done by one."""
    whole.say("healed: everything must come back by itself")
    whole.findings += await come_back(whole.stack)
    whole.say("a record is damaged, and mended by an operator")
    whole.findings += await damage_and_mend(whole.stack, whole.workload)


async def verdict(whole: Market, faults: Faults, retries: Retries) -> Result:
    """Stop all and judge; drop the poison, and judge what is left as if there had been none."""
    stack = whole.stack
    report = await whole.judged()
    whole.findings += await give_up_poison(stack)
    without = await take(stack.mongo_url, stack.kafka, whole.history, stack.insurer)
    without.poison.clear()
    without.letters.clear()
    whole.findings += [f"after poison was dropped: {finding}" for finding in judge(without).findings]
    found = seen(stack, faults.woken, retries)
    found.repeats = report.repeats
    tell(faults, found, report, whole.say)
    return Result(faults.kills, report, found, whole.findings)


def plan_for(stack: ChaosStack, seed: int, kills: int, seconds: float) -> list[Fault]:
    names = [name for service in stack.wanted for name in stack.names(service)]
    links = [link.name for link in stack.links if link.end in {*names, "gateway", "clients"}]
    disks = sorted(set(stack.disks) - (set() if stack.keeps_its_log else {"kafka"}))
    return plan(seed, kills, seconds, names=names, links=links, broker=stack.keeps_its_log, disks=disks)


@asynccontextmanager
async def beside(work: Any) -> AsyncIterator[asyncio.Task[None]]:
    """Run something beside the block; what it raises is raised at its end, and the block's end ends it."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        if not task.done():
            await end_tasks(task)
    if not task.cancelled() and (error := task.exception()):
        raise error


async def suffer(faults: Faults, faults_planned: Sequence[Fault], history: History, say: Say) -> None:
    async def tell_forever() -> None:
        while True:
            await asyncio.sleep(10)
            say(f"{faults.kills} kills, {sum(faults.done.values())} faults, {history}")

    async with beside(tell_forever()), beside(faults.echo()):
        await faults.run(faults_planned)


async def unheard(stack: ChaosStack, faults: Faults, say: Say) -> None:
    """Each process of matching in turn commits and cannot publish while nothing else is wrong; so its twin is quick to
    give others what was given back. The one that sweeps is unheard to the end, the other until it is swept after."""
    say("one process of matching after another commits and cannot publish")
    for name in stack.names("matching"):
        await faults.do(Fault(0, "unheard", name, seconds=UNHEARD_SECONDS))


async def one_more_zombie(stack: ChaosStack, faults: Faults, say: Say) -> None:
    for n in range(MORE_ZOMBIES):
        if seen(stack, faults.woken, Retries(stack)).fenced_zombies:
            return
        name = SLEEPERS[n % len(SLEEPERS)]
        say(f"no sleeper has met the fence yet: {name} sleeps too")
        await faults.do(Fault(0, "zombie", name, seconds=14))


async def come_back(stack: ChaosStack) -> list[str]:
    """What is not ready although nothing is in its way any more."""
    for proxy in stack.proxies.values():
        proxy.set("up")
    waiting = {name for service in stack.wanted for name in stack.names(service)}
    with suppress(TimeoutError):
        async with asyncio.timeout(BACK_SECONDS):
            while waiting:
                for name in list(waiting):
                    with suppress(OSError):
                        if stack.processes[name].pid and await stack.processes[name].answers():
                            waiting.discard(name)
                await asyncio.sleep(0.5)
    return [f"{name} never became ready again" for name in sorted(waiting)]


async def quiesce(stack: ChaosStack) -> list[str]:
    """Wait until outboxes are empty, every event is handled, and no timer rings soon; what still moves at the end."""
    topics = [topic.name for topic in read() if not topic.name.endswith(".dead")]
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(stack.mongo_url, tz_aware=True)
    moving: list[str] = []

    async def still() -> list[str]:
        found = []
        soon = datetime.now(UTC) + timedelta(seconds=GRACE_SECONDS)
        bounds = await log_bounds(Broker(stack.kafka), topics)
        if sending := await client["notify"]["deliveries"].count_documents({"state": "waiting"}):
            found.append(f"notify: {sending} messages on their way")
        if asking := await client["rights"]["covers"].count_documents({"ask": {"$ne": None}}):
            found.append(f"rights: {asking} covers of which the insurer is asked")
        for service in REACTING:
            db = client[service]
            if rows := await db["_outbox"].count_documents({}):
                found.append(f"{service}: {rows} events unpublished")
            if timers := await db["_timers"].count_documents({"due_at": {"$lt": soon}}):
                found.append(f"{service}: {timers} timers about to ring")
            if behind := await unhandled(db, bounds):
                found.append(f"{service}: {behind} events not handled")
        return found

    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(BACK_SECONDS):
                calm = 0
                while calm < 3:
                    moving = await still()
                    calm = 0 if moving else calm + 1
                    await asyncio.sleep(0.5)
                return []
        return [f"still moving: {what}" for what in moving]
    finally:
        await client.close()


async def unhandled(db: Any, bounds: Mapping[tuple[str, int], tuple[int, int]]) -> int:
    """How many records of the log, as far as `bounds` go, a service has not handled."""
    fences = {row["_id"]: row["next"] async for row in db["_fences"].find()}
    places = {(topic, int(part)): at for name, at in fences.items() for topic, part in [name.split(":")[1:]]}
    return sum(max(0, bounds[place][1] - at) for place, at in places.items())


async def stop_all(stack: ChaosStack) -> list[str]:
    """Stop all processes of ours as an operator does: each ends well, and in its time."""
    stack.calm()
    findings = []

    async def stop(name: str) -> None:
        began = time.monotonic()
        await stack.processes[name].stop()
        code, seconds = await stack.processes[name].ended(), time.monotonic() - began
        if code or seconds > GRACE_SECONDS:
            findings.append(f"{name} ended with code {code} after {seconds:.0f} s")

    await asyncio.gather(*(stop(name) for name in stack.running))
    return findings


def tell(faults: Faults, found: Seen, report: Report, say: Say) -> None:
    say(f"{report.events} events")
    say("faults: " + ", ".join(f"{name} {times}" for name, times in sorted(faults.done.items())))
    for name, seconds in sorted(faults.recovered.items()):
        ordered = sorted(seconds)
        say(f"ready again after a kill, {name}: median {ordered[len(ordered) // 2]:.1f} s, longest {ordered[-1]:.1f} s")
    say(f"seen: {found}")
