"""How fast one process reacts: a service of ours, a bare loop with the same writes, and the usual way, in turn.

Each is a process of its own against the same Kafka and MongoDB, and finds the same events in the log. Its rate is that
of its outcomes: from the time that the first tenth of them bears to that of the last.
"""

import asyncio
import os
import random
import sys
import time
from collections.abc import Sequence
from statistics import median

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from bench.reactions.events import IN, OUT, Counted
from bench.results import Figure
from deploy.local.found import Servers, found_servers
from shared import clock
from shared.testing import SECRET
from shared.unit import outbox_row

EVENTS, FEW = 30_000, 1_500
"""So many for each, and for the usual way, which would take minutes otherwise."""
QUICK_EVENTS = 10_000

COUNTERS = 3_000
TEXT = "到件分拣，提供饮水和手套。" * 8
ROUNDS, QUICK_ROUNDS = 3, 2
PATIENCE_SECONDS = 120.0
LEAST, LEAST_TIMES = 0.85, 20.0

WAYS = {
    "ours": ("shared.run", "bench.reactions.ours"),
    "bare": ("bench.reactions.bare",),
    "usual": ("bench.reactions.usual",),
}


def figures(*, quick: bool) -> list[Figure]:
    """The rate of ours beside that of each other. Prints every round."""
    events, rounds = (QUICK_EVENTS, QUICK_ROUNDS) if quick else (EVENTS, ROUNDS)
    with found_servers() as servers:
        rates = asyncio.run(_measured(servers, events, rounds))
    for way, found in rates.items():
        each = ", ".join(f"{rate:,.0f}" for rate in found)
        print(f"reactions, {way}: {median(found):,.0f} events/s (median of {each})", flush=True)
    return [
        Figure("reactions", "events/s", rates["ours"], LEAST, "bare loop", rates["bare"], place="reactions"),
        Figure("usual", "events/s", rates["ours"], LEAST_TIMES, "usual way", rates["usual"], place="usual"),
    ]


async def _measured(servers: Servers, events: int, rounds: int) -> dict[str, list[float]]:
    await _topics(servers.kafka)
    await _say(servers.kafka, events)
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(rounds):
        for way, module in WAYS.items():
            many = FEW if way == "usual" else events
            rates[way].append(await _rate(servers, module, f"bench_{way}_{number}", many))
    return rates


async def _topics(kafka: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 1, 1) for name in (IN, OUT, "bench.dead")])
    finally:
        await admin.close()


async def _say(kafka: str, events: int) -> None:
    chance = random.Random(6)
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", linger_ms=5)
    await producer.start()
    try:
        sent = []
        for _ in range(events):
            id = f"counter-{chance.randrange(COUNTERS)}"
            event = Counted(counter_id=id, by=chance.randint(1, 9), at=clock.now(), text=TEXT)
            row = outbox_row(event, clock.new_id(), 1, "bench", clock.now(), {})
            headers = [(name, value.encode()) for name, value in row.headers.items()]
            sent.append(await producer.send(row.topic, row.body, key=row.key, headers=headers))
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


async def _rate(servers: Servers, module: Sequence[str], database: str, many: int) -> float:
    """Events a second of one process that finds them all in the log."""
    place = TopicPartition(OUT, 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=servers.kafka)
    await consumer.start()
    try:
        consumer.assign([place])
        begin = (await consumer.end_offsets([place]))[place]
        consumer.seek(place, begin)
        environment = {
            "KUAIZHAO_KAFKA": servers.kafka,
            "KUAIZHAO_MONGO_URL": servers.mongo_url,
            "KUAIZHAO_VALKEY_URL": servers.valkey_url,
            "KUAIZHAO_DATABASE": database,
            "KUAIZHAO_SECRET": SECRET,
            "KUAIZHAO_LOG_LEVEL": "error",
        }
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", *module, env=os.environ | environment)
        try:
            await _until(consumer, place, begin + many, process)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
        stamps: list[int] = []
        while len(stamps) < many:
            for records in (await consumer.getmany(timeout_ms=1_000)).values():
                stamps += [record.timestamp for record in records]
        stamps = sorted(stamps)[:many]
        return (many - many // 10) / max(0.001, (stamps[-1] - stamps[many // 10 - 1]) / 1_000)
    finally:
        await consumer.stop()


async def _until(
    consumer: AIOKafkaConsumer, place: TopicPartition, end: int, process: asyncio.subprocess.Process
) -> None:
    """Wait until the log has so many. Raises RuntimeError when the process ends before, or takes too long."""
    until = time.monotonic() + PATIENCE_SECONDS
    while (await consumer.end_offsets([place]))[place] < end:
        if process.returncode is not None or time.monotonic() > until:
            raise RuntimeError(f"{end} outcomes were expected, and the process has ended or takes too long")
        await asyncio.sleep(0.25)
