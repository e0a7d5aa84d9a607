"""The local run with its real servers: started, killed, kept, and gone when its runner is."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from pymongo import AsyncMongoClient
from redis.asyncio import Redis

from deploy import topics
from deploy.local.ports import free_ports
from deploy.local.process import CannotRun, until
from deploy.local.stack import Stack
from shared.broker import Broker


def pids(stack: Stack) -> list[int]:
    return [process.pid for process in stack.processes.values() if process.pid]


async def gone(*pids: int) -> None:
    """Return when none of these processes is left, not even as a zombie."""

    async def none() -> bool:
        return not any(map(psutil.pid_exists, pids))

    async with asyncio.timeout(20):
        await until(none)


@pytest.mark.kafka_log
async def test_a_killed_broker_and_database_keep_what_they_confirmed(tmp_path: Path) -> None:
    async with Stack(tmp_path, ports=free_ports(), parts=[]) as stack:
        producer = AIOKafkaProducer(bootstrap_servers=stack.kafka, acks="all")
        async with producer:
            for number in range(100):
                await producer.send_and_wait("posting.gig", str(number).encode(), partition=3)
        async with AsyncMongoClient[dict[str, int]](stack.mongo_url) as client:
            async with client.start_session() as session, await session.start_transaction():
                await client.test.things.insert_many([{"_id": 1}, {"_id": 2}], session=session)
        before = pids(stack)

        await asyncio.gather(*(stack.kill(name) for name in ("kafka", "mongo", "valkey")))
        assert pids(stack) == []
        await asyncio.gather(*(stack.start(name) for name in ("kafka", "mongo", "valkey")))

        assert set(pids(stack)).isdisjoint(before)
        consumer = AIOKafkaConsumer("posting.gig", bootstrap_servers=stack.kafka, auto_offset_reset="earliest")
        async with consumer, asyncio.timeout(20):
            assert [int((await consumer.getone()).value or b"-1") for _ in range(100)] == list(range(100))
        async with AsyncMongoClient[dict[str, int]](stack.mongo_url) as client:
            assert await client.test.things.count_documents({}) == 2
        async with Redis.from_url(stack.valkey_url) as valkey:
            assert await valkey.ping()
        last = pids(stack)
    await gone(*before, *last)


async def test_the_broker_has_the_topics_of_the_file(kafka: str) -> None:
    await asyncio.gather(topics.provision(Broker(kafka)), topics.provision(Broker(kafka)))
    assert await topics.provision(Broker(kafka)) == 0
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        described = await admin.describe_topics([topic.name for topic in topics.read()])
    finally:
        await admin.close()
    assert {topic["topic"]: len(topic["partitions"]) for topic in described} == {
        topic.name: topic.partitions for topic in topics.read()
    }


async def test_a_topic_with_another_partition_count_is_an_error(kafka: str) -> None:
    await topics.provision(Broker(kafka), [topics.Topic("local.grown", "key", 2, 1, 1)])
    with pytest.raises(topics.TopicsError, match=r"^topic local\.grown has 2 partitions, not 3"):
        await topics.provision(Broker(kafka), [topics.Topic("local.grown", "key", 3, 1, 1)])


async def test_a_service_behind_the_gateway_goes_on_from_the_kept_state(tmp_path: Path) -> None:
    ports = free_ports()
    said: list[str] = []
    path = "/api/identity/.well-known/jwks.json"
    async with httpx.AsyncClient() as client:
        async with Stack(tmp_path, ports=ports, parts=["identity", "gateway"], say=said.append) as stack:
            keys = (await client.get(stack.gateway + path)).raise_for_status().json()
            assert keys["keys"]
            with pytest.raises(CannotRun, match=f"in use by process {os.getpid()}"):
                await Stack(tmp_path, ports=free_ports(), parts=[]).__aenter__()

            supervisor = asyncio.create_task(stack.supervise())
            await asyncio.sleep(0)
            killed = stack.processes["identity"].pid
            assert killed
            os.kill(killed, signal.SIGKILL)

            async def back() -> bool:
                return "identity is ready again" in said

            async with asyncio.timeout(60):
                await until(back)
            supervisor.cancel()
            assert any(line.startswith("identity ended with code -9") for line in said)
            assert (await client.get(stack.gateway + path)).raise_for_status().json() == keys
            first = pids(stack)
        await gone(killed, *first)

        if stack.keeps_its_log:
            async with Stack(tmp_path, ports=ports, parts=["identity", "gateway"], say=said.append) as stack:
                assert (await client.get(stack.gateway + path)).raise_for_status().json() == keys


async def test_a_part_that_cannot_start_says_why_and_takes_the_rest_down(tmp_path: Path) -> None:
    def broken(part: str) -> Sequence[str]:
        return ("no.such.module",)

    stack = Stack(tmp_path, ports=free_ports(), parts=["posting"], modules=broken)
    with pytest.raises(CannotRun, match=r"^posting ended with code 1 while starting: .*No module named 'no'.*\(log: "):
        await stack.__aenter__()
    assert pids(stack) == []


async def test_nothing_outlives_a_runner_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-m", "deploy.local.found"], stdout=subprocess.PIPE, text=True) as runner:  # noqa: ASYNC220
        assert runner.stdout
        exports = [await asyncio.to_thread(runner.stdout.readline) for _ in range(4)]
        assert exports[0].startswith("export KUAIZHAO_TEST_KAFKA='127.0.0.1:")
        children = [child.pid for child in psutil.Process(runner.pid).children(recursive=True)]
        assert len(children) >= 3
        runner.kill()
    await gone(*children)


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ({"KUAIZHAO_GATEWAY_PORT": "eighty"}, "make up: KUAIZHAO_GATEWAY_PORT=eighty is not a port: 1 to 65535\n"),
        ({"KUAIZHAO_BROKER": "pigeon"}, "make up: KUAIZHAO_BROKER=pigeon is neither kafka nor tansu\n"),
        (
            {"KUAIZHAO_STATE": "/proc/none"},
            "make up: /proc/none: No such file or directory; KUAIZHAO_STATE sets another",
        ),
    ],
)
def test_what_is_in_the_way_of_make_up_is_one_line(tmp_path: Path, setting: dict[str, str], line: str) -> None:
    others = {f"KUAIZHAO_{part.upper()}_PORT": str(port) for part, port in free_ports().items()}
    result = subprocess.run(
        [sys.executable, "-m", "deploy.local.up"],
        env={**os.environ, **others, "KUAIZHAO_STATE": str(tmp_path), **setting},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.startswith(line)
    assert result.stderr.count("\n") == 1
