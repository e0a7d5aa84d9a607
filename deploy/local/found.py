"""The servers that tests run against: from URLs in the environment, from Docker, or from this machine's own binaries.

To keep a set for many short test runs, start it in a terminal of its own and paste what it prints into another:
`python -m deploy.local.found`.
"""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from deploy.local.kafka_dist import Say, make_broker
from deploy.local.ports import free_ports
from deploy.local.process import CannotRun, together, until
from deploy.local.servers import (
    LOCALHOST,
    Kafka,
    Mongo,
    Tansu,
    Valkey,
    kafka_answers,
    kafka_properties,
    make_primary,
    mongo_answers,
    valkey_answers,
)

KAFKA, MONGO, VALKEY = "KUAIZHAO_TEST_KAFKA", "KUAIZHAO_TEST_MONGO_URL", "KUAIZHAO_TEST_VALKEY_URL"
PARTS = {KAFKA: "kafka", MONGO: "mongo", VALKEY: "valkey"}
DOCKER_SECONDS = 120.0


@dataclass(frozen=True)
class Servers:
    """Where a Kafka broker, a MongoDB replica set and a Valkey are, empty unless they were there before."""

    kafka: str
    mongo_url: str
    valkey_url: str
    broker: Literal["kafka", "tansu"]
    """What plays Kafka. Tansu keeps its log in memory only."""
    how: str
    """Where they were found, for people."""

    @property
    def variables(self) -> dict[str, str]:
        """What to set so that other processes find the same servers."""
        return {
            KAFKA: self.kafka,
            MONGO: self.mongo_url,
            VALKEY: self.valkey_url,
            "KUAIZHAO_BROKER": self.broker,
        }


@contextmanager
def found_servers(say: Say = print, environ: Mapping[str, str] = os.environ) -> Iterator[Servers]:
    """The servers for one test session; those that it started end with it. Not for use inside a running event loop.

    Raises:
        CannotRun: a server can be had in none of the three ways.
    """
    with tempfile.TemporaryDirectory(prefix="kuaizhao-", ignore_cleanup_errors=True) as folder:
        started = AsyncExitStack()
        try:
            servers = asyncio.run(_find(Path(folder), started, say, environ))
            say(f"servers: {servers.how}")
            yield servers
        finally:
            asyncio.run(started.aclose())


async def _find(folder: Path, started: AsyncExitStack, say: Say, environ: Mapping[str, str]) -> Servers:
    before = time.monotonic()
    broker: Literal["kafka", "tansu"] = "kafka"
    hows = []
    urls = {name: environ[name] for name in PARTS if environ.get(name)}
    if urls:
        hows.append(f"{_names(PARTS[name] for name in urls)} from the environment")
        if KAFKA in urls and environ.get("KUAIZHAO_BROKER") == "tansu":
            broker = "tansu"
    wanted = PARTS.keys() - urls.keys()
    if wanted and environ.get("KUAIZHAO_BROKER") != "tansu" and _docker_answers():
        try:
            urls |= await _docker(wanted, started)
            hows.append(f"{_names(PARTS[name] for name in wanted)} from Docker")
        except Exception as error:  # noqa: BLE001 - whatever stands in Docker's way, the binaries are still there
            say(f"servers: Docker answers but does not run them: {str(error).partition(chr(10))[0][:200]}")
    wanted = PARTS.keys() - urls.keys()
    if wanted:
        processes = await _binaries(folder, wanted, say)
        for process in processes.values():
            started.push_async_callback(process.stop)
        await together(*(process.start() for process in processes.values()))
        urls |= {name: process.address for name, process in processes.items()}
        hows.append(f"{_names(process.name for process in processes.values())} from this machine's binaries")
        if isinstance(processes.get(KAFKA), Tansu):
            broker = "tansu"
    how = f"{'; '.join(hows)} ({time.monotonic() - before:.1f} s)"
    return Servers(urls[KAFKA], urls[MONGO], urls[VALKEY], broker, how)


async def _binaries(folder: Path, wanted: Set[str], say: Say) -> dict[str, Kafka | Tansu | Mongo | Valkey]:
    ports = free_ports()
    processes: dict[str, Kafka | Tansu | Mongo | Valkey] = {}
    if KAFKA in wanted:
        controller = ports["kafka_controller"]
        processes[KAFKA] = await make_broker(folder, port=ports["kafka"], controller=controller, say=say)
    if MONGO in wanted:
        processes[MONGO] = Mongo(folder / "mongo", port=ports["mongo"], failpoints=True)
    if VALKEY in wanted:
        processes[VALKEY] = Valkey(folder / "valkey", port=ports["valkey"])
    return processes


def _docker_answers() -> bool:
    try:
        import docker
    except ImportError:
        return False
    try:
        client = docker.from_env(timeout=5)
    except docker.errors.DockerException:
        return False
    with contextlib.closing(client):
        return True


async def _docker(wanted: Set[str], started: AsyncExitStack) -> dict[str, str]:
    """Containers, each on a port that is the same inside and outside, so that what it says of itself is true."""
    from testcontainers.core.container import DockerContainer

    ports = free_ports()
    kafka, mongo, valkey = ports["kafka"], ports["mongo"], ports["valkey"]
    properties = kafka_properties(kafka, ports["kafka_controller"], bind="0.0.0.0")
    settings = {f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in properties.items()}
    made = {
        KAFKA: DockerContainer("apache/kafka:4.3.1", env=settings).with_bind_ports(kafka, kafka),
        MONGO: DockerContainer("mongo:8.0.17")
        .with_command(f"mongod --replSet rs0 --bind_ip_all --port {mongo} --setParameter enableTestCommands=1")
        .with_bind_ports(mongo, mongo),
        VALKEY: DockerContainer("valkey/valkey:9.1.1")
        .with_command(f"valkey-server --port {valkey} --save '' --protected-mode no")
        .with_bind_ports(valkey, valkey),
    }
    urls = {
        KAFKA: f"{LOCALHOST}:{kafka}",
        MONGO: f"mongodb://{LOCALHOST}:{mongo}/?replicaSet=rs0",
        VALKEY: f"redis://{LOCALHOST}:{valkey}/0",
    }

    async def answers(name: str) -> bool:
        made[name].reload()
        if made[name].status == "exited":
            raise CannotRun(f"the container of {PARTS[name]} ended")
        if name == KAFKA:
            return await kafka_answers(urls[KAFKA])
        return await (mongo_answers(mongo) if name == MONGO else valkey_answers(urls[VALKEY]))

    async def start(name: str) -> None:
        await asyncio.to_thread(made[name].start)
        try:
            async with asyncio.timeout(DOCKER_SECONDS):
                await until(lambda: answers(name), every=0.2)
                if name == MONGO:
                    await make_primary(mongo)
        except TimeoutError:
            raise CannotRun(f"{PARTS[name]} did not answer within {DOCKER_SECONDS:.0f} s") from None

    async with AsyncExitStack() as failed:
        for name in wanted:
            failed.push_async_callback(asyncio.to_thread, made[name].stop)
        await together(*(start(name) for name in wanted))
        started.push_async_exit(failed.pop_all())
    return {name: urls[name] for name in wanted}


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def main() -> None:
    with found_servers(lambda line: print(line, file=sys.stderr)) as servers:
        for name, value in servers.variables.items():
            print(f"export {name}='{value}'", flush=True)
        print("They run until Ctrl-C.", file=sys.stderr)
        awaited = {signal.SIGINT, signal.SIGTERM}
        signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
        signal.sigwait(awaited)


if __name__ == "__main__":
    try:
        main()
    except CannotRun as error:
        sys.exit(f"servers: {error}")
