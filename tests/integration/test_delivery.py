"""Nothing lost and nothing doubled, with real processes on a real broker that are killed, frozen and fed poison."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.ports import free_ports
from deploy.topics import provision
from shared import clock
from shared.broker import Broker
from shared.bus import SESSION_MS
from shared.contracts import Event
from shared.contracts.posting import GigReopened
from shared.store import Store, connect
from shared.testing import SECRET
from shared.unit import Unit, outbox_row
from tests.ledger import Count, filled

IN, DEAD = "posting.gig", "ledger.dead"
PATIENCE = 180.0


async def until(condition: Callable[[], Awaitable[Any]], what: str) -> Any:
    """Wait until it holds; a bound only so that a broken build does not hang."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not (found := await condition()):  # noqa: ASYNC110 - it is another process that it waits for
                await asyncio.sleep(0.05)
            return found
    except TimeoutError:
        raise AssertionError(f"never happened: {what}") from None


@dataclass
class World:
    """A pair of topics, an empty database, and as many ledger processes as a test starts."""

    kafka: str
    mongo_url: str
    database: str
    producer: AIOKafkaProducer
    store: Store
    running: list[asyncio.subprocess.Process] = field(default_factory=list)
    begin: dict[TopicPartition, int] = field(default_factory=dict)

    async def start(self, *, fault: str = "", build: str = "tests.ledger", port: int = 0) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "shared.run", build),
            env={
                **os.environ,
                "KUAIZHAO_KAFKA": self.kafka,
                "KUAIZHAO_MONGO_URL": self.mongo_url,
                "KUAIZHAO_SECRET": SECRET,
                "KUAIZHAO_DATABASE": self.database,
                "KUAIZHAO_PORT": str(port or free_ports(["ledger"])["ledger"]),
                "KUAIZHAO_FAULT": fault,
            },
            stdout=asyncio.subprocess.DEVNULL,
        )
        self.running.append(process)
        return process

    async def send(self, *events: Event) -> None:
        for event in events:
            row = outbox_row(event, clock.new_id(), 1, "test", clock.now(), {})
            await self.raw(row.body, {name: value.encode() for name, value in row.headers.items()}, row.key)

    async def raw(self, body: bytes | None, headers: dict[str, bytes | None], key: bytes = b"430102") -> None:
        await self.producer.send_and_wait(IN, body, key=key, headers=list(headers.items()))

    async def heard(self) -> dict[str, int]:
        return {count.id: count.heard for count in await self.store.reading().find(Count, {})}

    async def all_heard(self, expected: dict[str, int]) -> None:
        """Wait until so much was heard and said; then let any doubled effect show itself, and see that none does."""

        async def done() -> bool:
            heard = await self.heard()
            return all(heard.get(gig, 0) >= n for gig, n in expected.items()) and not await self.waiting()

        await until(done, f"{expected} heard and said")
        assert await self.heard() == expected

    async def waiting(self) -> int:
        return await self.store.db["_outbox"].count_documents({})

    async def said(self) -> dict[str, list[int]]:
        """What stands in the topic: each subject's sequence of numbers, repeats of one event taken away."""
        numbers: dict[str, list[int]] = {}
        seen = set()
        for record in await read_all(self.kafka, IN, self.begin):
            headers = {name: value.decode() for name, value in record.headers if value}
            if headers.get("ce_type") == GigReopened.type and headers["ce_id"] not in seen:
                seen.add(headers["ce_id"])
                numbers.setdefault(headers["ce_subject"], []).append(int(headers["ce_sequence"]))
        return numbers


async def ends(kafka: str, topic: str) -> dict[TopicPartition, int]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=kafka, enable_auto_commit=False)
    await consumer.start()
    try:
        found: dict[TopicPartition, int] = await consumer.end_offsets(consumer.assignment())
        return found
    finally:
        await consumer.stop()


async def read_all(kafka: str, topic: str, begin: dict[TopicPartition, int]) -> list[Any]:
    """The records of a topic from `begin` to its present end."""
    until_ = await ends(kafka, topic)
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(list(until_))
        for place in until_:
            consumer.seek(place, begin[place])
        records: list[Any] = []
        while any([await consumer.position(place) < end for place, end in until_.items()]):
            for batch in (await consumer.getmany(timeout_ms=500)).values():
                records += batch
        return records
    finally:
        await consumer.stop()


@pytest.fixture
async def world(kafka: str, mongo_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """Begins where the topics end now: what other tests left there is not ours."""
    database = f"test_world_{clock.new_id().replace('-', '')[-12:]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await provision(Broker(kafka))
    if DEAD not in await admin.list_topics():
        await admin.create_topics([NewTopic(DEAD, 1, 1)])
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all")
    await producer.start()
    client = connect(mongo_url)
    made = World(kafka, mongo_url, database, producer, Store(client, database, source="test"))
    await made.store.prepare([Count])
    made.begin = await ends(kafka, IN) | await ends(kafka, DEAD)
    for place, offset in made.begin.items():
        await made.store.db["_fences"].insert_one({"_id": f"ledger:{place.topic}:{place.partition}", "next": offset})
    yield made
    for process in made.running:
        if process.returncode is None:
            process.kill()
        await process.wait()
    await producer.stop()
    await client.drop_database(database)
    await client.close()
    await admin.close()


async def test_what_is_posted_is_heard_once_and_said_in_order(world: World) -> None:
    await world.start()
    await world.send(*(filled(f"g{n % 7}", n, district=f"43010{n % 7 + 1}") for n in range(210)))
    await world.all_heard({f"g{n}": 30 for n in range(7)})
    assert await world.said() == {f"g{n}": list(range(1, 31)) for n in range(7)}


@pytest.mark.parametrize(
    "point", ["mid_batch", "after_commit_before_publish", "in_publish", "after_publish_before_delete"]
)
async def test_a_process_killed_at_its_worst_moment_loses_and_doubles_nothing(world: World, point: str) -> None:
    """kill -9 at a planted point; another process finishes what was begun."""
    await world.send(*(filled(f"g{n}", 1, district=f"43010{n + 1}") for n in range(7)))
    first = await world.start(fault=f"{point}:1")
    assert await first.wait() == 137
    await world.start()
    await world.all_heard({f"g{n}": 1 for n in range(7)})
    assert await world.said() == {f"g{n}": [1] for n in range(7)}


async def test_a_frozen_process_that_wakes_finds_its_work_done(world: World) -> None:
    """SIGSTOP beyond the session timeout: the other takes over; the zombie acts on nothing."""
    first = await world.start()
    await world.send(filled("g"))
    await world.all_heard({"g": 1})
    first.send_signal(signal.SIGSTOP)
    await world.send(*(filled("g") for _ in range(20)))
    await world.start()
    await world.all_heard({"g": 21})
    first.send_signal(signal.SIGCONT)
    await world.send(*(filled("g") for _ in range(20)))
    await world.all_heard({"g": 41})
    assert await world.said() == {"g": list(range(1, 42))}
    assert SESSION_MS / 1000 < PATIENCE


async def test_each_partitions_lag_is_told_by_the_process_that_holds_it_and_by_no_other(world: World) -> None:
    """What one that gave it away still told would look like lag that stays."""
    ports = list(free_ports(["one", "two"]).values())

    async def told(port: int) -> set[str]:
        with suppress(httpx.TransportError):
            async with httpx.AsyncClient() as http:
                text = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
            lags = [each for each in text_string_to_metric_families(text) if each.name == "kuaizhao_consumer_lag"]
            return {sample.labels["partition"] for each in lags for sample in each.samples}
        return set()

    partitions = {str(place.partition) for place in world.begin if place.topic == IN}

    async def alone() -> bool:
        return await told(ports[0]) == partitions

    async def shared_out() -> bool:
        one, two = [await told(port) for port in ports]
        return bool(one and two) and one | two == partitions and not one & two

    await world.start(port=ports[0])
    await until(alone, "one process tells the lag of all partitions")
    await world.start(port=ports[1])
    await until(shared_out, "each partition's lag is told once")


async def test_replicas_that_come_and_go_lose_and_double_nothing(world: World) -> None:
    """Rebalances, by start, SIGTERM and SIGKILL, while events keep coming."""
    rounds, per_round = 5, 40
    await world.start()
    for turn in range(rounds):
        await world.send(*(filled(f"g{n % 8}", turn, district=f"43010{n % 8 + 1}") for n in range(per_round)))
        await world.start()
        leaving = world.running[turn]
        leaving.send_signal(signal.SIGKILL if turn % 2 else signal.SIGTERM)
        await leaving.wait()
    await world.all_heard({f"g{n}": rounds * per_round // 8 for n in range(8)})
    assert await world.said() == {f"g{n}": list(range(1, rounds * per_round // 8 + 1)) for n in range(8)}


async def test_poison_is_set_aside_and_the_partition_goes_on(world: World) -> None:
    """Null and undecodable headers are what FastStream itself would lose (its issue 2458)."""
    good: dict[str, bytes | None] = {"ce_id": b"1", "ce_type": b"posting.gig-filled.v1", "ce_subject": b"g"}
    await world.raw(b"{", good)
    await world.raw(b"{}", good | {"ce_id": b"2", "ce_type": None})
    await world.raw(b"{}", good | {"ce_id": b"3", "ce_type": b"\xff\xfe"})
    await world.raw(None, good | {"ce_id": b"4"})
    await world.raw(b"{}", {})
    await world.send(filled("after"))
    await world.start()
    await world.all_heard({"after": 1})
    rows = await world.store.db["_dead"].find({}).to_list()
    assert sorted(row["reason"].split(":")[0] for row in rows) == [
        "body is no posting.gig-filled.v1",
        "body is no posting.gig-filled.v1",
        "header ce_id is missing",
        "header ce_type is missing",
        "unknown type hex",
    ]
    letters = await read_all(world.kafka, DEAD, world.begin)
    assert len(letters) == 5
    assert all(dict(letter.headers)["dead_reason"] for letter in letters)


async def test_rows_of_one_subject_go_in_order_whoever_wrote_them(world: World) -> None:
    """A row left by a dead process goes before the later row that a living one has just committed."""

    async def say(unit: Unit) -> None:
        unit.publish(GigReopened(gig_id="g", district="430102", placed=0))

    for _ in range(3):  # committed by a process that ended before it could publish
        await world.store.transact(say)
    await world.start()
    await world.send(filled("g"))
    await world.all_heard({"g": 1})
    assert await world.said() == {"g": [1, 2, 3, 4]}
