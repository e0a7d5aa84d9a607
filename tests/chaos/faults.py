"""Makes things go wrong in a running stack, and notes what it did and what was seen of it."""

import asyncio
import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from deploy.topics import read
from shared import clock
from shared.contracts.posting import GigPosted
from shared.tasks import end_tasks
from tests.chaos.proxy import Mode
from tests.chaos.schedule import Fault
from tests.chaos.stack import ChaosStack
from tests.chaos.workload import Workload

AT_ONCE = 4
"""So many links, disks and sleeping processes are in trouble at a time; kills come whenever they come."""
PLANTED_SECONDS = 45.0
HEARD_SECONDS = 60.0
"""Whoever gave something back waits so long for an answer; one that never comes must not keep a run from its end."""
ECHO_SECONDS, ECHOES_FROM = 0.25, 500
POISONED = b"poison-"
ECHO = "echo"
"""How the keys of planted records begin, and a header of those said once more, so that they are known in the log."""


@dataclass
class Faults:
    """`kills` counts processes that ended by kill -9, ours or their own at a planted point."""

    stack: ChaosStack
    people: Workload
    seed: int
    kills: int = 0
    done: Counter[str] = field(default_factory=Counter)
    woken: list[tuple[str, float]] = field(default_factory=list)
    recovered: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _locks: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    def __post_init__(self) -> None:
        self._chance = random.Random(f"{self.seed}:faults")
        self._few = asyncio.Semaphore(AT_ONCE)
        self._partitions = {topic.name: topic.partitions for topic in read() if not topic.name.endswith(".dead")}

    async def run(self, plan: Sequence[Fault]) -> None:
        """Carry out a plan; ends when its last fault is over and everything that ended runs again."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for fault in plan:
                await asyncio.sleep(max(0.0, began + fault.at - time.monotonic()))
                group.create_task(self.do(fault))

    async def do(self, fault: Fault) -> None:
        match fault.kind:
            case "kill":
                async with self._locks[fault.target]:
                    await self._kill(fault.target)
            case "planted":
                async with self._locks[fault.target]:
                    await self._planted(fault.target, fault.how)
            case "zombie":
                async with self._few, self._locks[fault.target]:
                    await self._zombie(fault.target, fault.seconds)
            case "cut":
                async with self._few:
                    await self._cut(fault.target, fault.how, fault.seconds)  # type: ignore[arg-type]
            case "unheard":
                async with self._few, self._locks[fault.target]:
                    await self._unheard(fault.target, fault.seconds)
            case "flush":
                await self._flush()
            case "storm":
                async with self._few:
                    await self._storm(fault.target, fault.seconds)
            case "poison":
                await self._poison(fault.how)
            case "full-disk":
                async with self._few, self._locks[fault.target]:
                    await self._full_disk(fault.target, fault.seconds)
        self.done[
            f"{fault.kind} {fault.how.partition(':')[0]}" if fault.kind in ("cut", "planted") else fault.kind
        ] += 1

    # --- processes -----------------------------------------------------------------------------------------------

    async def _kill(self, name: str) -> None:
        await self._running(name)
        began = time.monotonic()
        await self.stack.kill(name)
        self.kills += 1
        await self._running(name, other_than=None)
        await self._ready(name)
        self.recovered[name if name in self.stack.disks or name not in self.stack.ours else "ours"].append(
            time.monotonic() - began
        )

    async def _planted(self, name: str, fault: str) -> None:
        """Kill it; in its next life it dies by itself at the point, and is well after that."""
        process = self.stack.processes[name]
        before = await self._running(name)
        self.stack.plant(name, fault)
        await self.stack.kill(name)
        self.kills += 1
        await self._running(name, other_than=before)
        self.stack.plant(name, "")
        stirring = asyncio.create_task(self._stir(name)) if "in_rebalance" in fault else None
        try:
            async with asyncio.timeout(PLANTED_SECONDS):
                await process.ended()
        except TimeoutError:  # its point was never passed: then it dies like the others
            self.done["planted, not reached"] += 1
            await self.stack.kill(name)
        finally:
            if stirring:
                await end_tasks(stirring)
        self.kills += 1
        await self._ready(name)

    async def _stir(self, name: str) -> None:
        """Rebalance a process' group while its batches take long."""
        with self._links(f"{name}>mongo", "latency", 0.4):
            while True:
                await self._storm(name.partition("-")[0], 3)

    async def _zombie(self, name: str, seconds: float) -> None:
        """Stop it in the middle of a batch until its group has given its partitions away, then let it go on."""
        await self._ready(name)
        process = self.stack.processes[name]
        await self._end_transactions_after(3)
        with self._links(f"{name}>mongo", "latency", 0.5):
            await asyncio.sleep(3)
            await process.kill(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        await self._end_transactions_after(10)
        self.woken.append((name, time.time()))
        await process.kill(signal.SIGCONT)
        await self._ready(name)

    async def _end_transactions_after(self, seconds: int) -> None:
        """Have the server end a sleeper's transaction soon, so that another can act before it wakes.

        A sleeper gives up a batch by itself after 20 s (shared/store.py), and then never meets the fence.
        """
        with suppress(PyMongoError):
            async with AsyncMongoClient[dict[str, Any]](self.stack.mongo_url, serverSelectionTimeoutMS=2_000) as client:
                await client.admin.command("setParameter", 1, transactionLifetimeLimitSeconds=seconds)

    async def _running(self, name: str, *, other_than: int | None = None) -> int:
        """Its process id, once it runs; in another life than the given one."""
        while (pid := self.stack.processes[name].pid) is None or pid == other_than:  # noqa: ASYNC110 - a keeper starts it
            await asyncio.sleep(0.02)
        return pid

    async def _ready(self, name: str) -> None:
        """Wait until it answers as ready, as it did before."""
        while True:
            with suppress(OSError, AssertionError):
                if self.stack.processes[name].pid and await self.stack.processes[name].answers():
                    return
            await asyncio.sleep(0.2)

    # --- links, disks, groups ------------------------------------------------------------------------------------

    def _links(self, pattern: str, mode: Mode, delay: float) -> "_Cut":
        return _Cut([p for link, p in self.stack.proxies.items() if fnmatch(link.name, pattern)], mode, delay)

    async def _cut(self, pattern: str, mode: Mode, seconds: float) -> None:
        with self._links(pattern, mode, 0.3):
            await asyncio.sleep(seconds)

    async def _unheard(self, name: str, seconds: float) -> None:
        """It commits and cannot publish, while people give back through it what others get from its twin: what the
        twin says must not stand in the log before what it has to say."""
        await self._ready(name)
        giving = asyncio.create_task(self.people.give_back(self.stack.url(name), seconds))
        try:
            with self._links(f"{name}>kafka", "refuse", 0):
                await asyncio.wait({giving}, timeout=2 * seconds)
            await asyncio.wait({giving}, timeout=HEARD_SECONDS)
            if giving.done():
                giving.result()
        finally:
            await end_tasks(giving)

    async def _flush(self) -> None:
        with suppress(RedisError, OSError):
            async with Redis.from_url(self.stack.valkey_url) as valkey:
                await valkey.flushall()

    async def _storm(self, service: str, seconds: float) -> None:
        """Rebalance a service's group about once a second: a member that does nothing comes and goes."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            consumer = AIOKafkaConsumer(
                *self._partitions,
                bootstrap_servers=self.stack.kafka,
                group_id=service,
                enable_auto_commit=False,
                partition_assignment_strategy=(RangePartitionAssignor,),
            )
            try:
                async with asyncio.timeout(10):
                    await consumer.start()
                await asyncio.sleep(self._chance.uniform(0.3, 1.0))
            except (KafkaError, OSError, TimeoutError):
                await asyncio.sleep(0.5)
            finally:
                with suppress(KafkaError, OSError, TimeoutError):
                    async with asyncio.timeout(5):
                        await consumer.stop()

    async def _full_disk(self, server: str, seconds: float) -> None:
        ballast = self.stack.fill(server)
        try:
            await asyncio.sleep(seconds)
        finally:
            ballast.unlink()
        await self._ready(server)

    # --- what the log is fed with --------------------------------------------------------------------------------

    async def _poison(self, kind: str) -> None:
        topic = self._chance.choice([name for name in self._partitions if name != "rights.pay"])
        key, body, headers = poison(kind)
        await self._send(topic, self._chance.randrange(self._partitions[topic]), key, body, headers)

    async def _send(
        self, topic: str, partition: int, key: bytes | None, body: bytes | None, headers: Sequence[tuple[str, Any]]
    ) -> None:
        while True:
            with suppress(KafkaError, OSError):
                async with self._producer() as producer:
                    await producer.send_and_wait(topic, body, key=key, partition=partition, headers=list(headers))
                    return
            await asyncio.sleep(0.5)

    @asynccontextmanager
    async def _producer(self) -> AsyncIterator[AIOKafkaProducer]:
        producer = AIOKafkaProducer(bootstrap_servers=self.stack.kafka, acks="all", request_timeout_ms=5_000)
        try:
            await producer.start()
            yield producer
        finally:
            await producer.stop()

    async def echo(self) -> None:
        """Until cancelled: some of what was said is said once more, byte for byte, at once or long after."""
        kept: list[Any] = []
        while True:
            with suppress(KafkaError, OSError):
                consumer = AIOKafkaConsumer(
                    *self._partitions, bootstrap_servers=self.stack.kafka, auto_offset_reset="latest"
                )
                try:
                    await consumer.start()
                    while True:
                        for records in (await consumer.getmany(timeout_ms=500)).values():
                            kept += [record for record in records if not (record.key or b"").startswith(POISONED)]
                        while len(kept) > ECHOES_FROM:
                            kept.pop(self._chance.randrange(len(kept)))
                        if kept:
                            record = kept.pop(self._chance.randrange(len(kept)))
                            headers = [*record.headers, (ECHO, b"1")]
                            await self._send(record.topic, record.partition, record.key, record.value, headers)
                            self.done["said once more"] += 1
                        await asyncio.sleep(ECHO_SECONDS)
                finally:
                    await consumer.stop()
            await asyncio.sleep(ECHO_SECONDS)


class _Cut:
    """Links in trouble within a `with`."""

    def __init__(self, proxies: Sequence[Any], mode: Mode, delay: float) -> None:
        self._proxies, self._mode, self._delay = proxies, mode, delay

    def __enter__(self) -> None:
        for proxy in self._proxies:
            proxy.set(self._mode, delay=self._delay)

    def __exit__(self, *_: object) -> None:
        for proxy in self._proxies:
            proxy.set("up")


def poison(kind: str) -> tuple[bytes, bytes | None, list[tuple[str, Any]]]:
    """Key, body and headers of a record that no service can read."""
    id = clock.new_id()
    headers: dict[str, Any] = {
        "ce_id": id.encode(),
        "ce_type": GigPosted.type.encode(),
        "ce_source": b"posting",
        "ce_subject": f"poison-{id}".encode(),
        "ce_time": clock.now().isoformat().encode(),
        "ce_sequence": b"1",
    }
    body: bytes | None = b"{}"
    match kind:
        case "no JSON":
            body = b'{"gig_id": "'
        case "a field is missing":
            body = b'{"gig_id": "g"}'
        case "no headers":
            headers = {}
        case "a null header":
            headers["ce_type"] = None
        case "a header that is no text":
            headers["ce_type"] = b"\xff\xfe\x00"
        case "an unknown type":
            headers["ce_type"] = b"posting.gig-exploded.v1"
        case "too new a version":
            headers["ce_type"] = GigPosted.type.rpartition(".")[0].encode() + b".v99"
        case "a type of another topic":
            headers["ce_type"] = b"notify.delivery-made.v1"
        case "no body":
            body = None
        case "a huge body":
            body = b"[" + b" " * 900_000
    return POISONED + id.encode(), body, list(headers.items())
