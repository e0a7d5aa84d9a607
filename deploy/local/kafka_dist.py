"""Apache Kafka as Maven brings it: fetched once into a cache shared by every run on this machine, and tried there."""

import asyncio
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from deploy.local.ports import free_ports
from deploy.local.process import CannotRun, output
from deploy.local.servers import ROOT, Kafka, KafkaDist, Tansu

POM = ROOT / "deploy" / "kafka" / "pom.xml"
MAVEN_SECONDS = 900
JAVA = 17

Say = Callable[[str], None]


class NoKafka(Exception):
    """Apache Kafka cannot be had on this machine. The text says why, in a few words."""


async def kafka_dist(say: Say) -> KafkaDist:
    """The Kafka in the cache; fetched by Maven (50 jars, 44 MB) and tried there first, once.

    The cache is `.cache` in the project, or KUAIZHAO_CACHE.

    Raises:
        NoKafka: no Java of at least 17, no Maven, Maven could not fetch it, or it does not run here.
    """
    program, version = await _java()
    home = _home()
    dist = KafkaDist(program, home / "jars", home / f"java-{version}.jsa")
    if not dist.archive.exists():
        home.mkdir(parents=True, exist_ok=True)
        async with _one_at_a_time(home / "lock", say):
            if not dist.jars.exists():
                await _fetch(dist.jars, say)
            if not dist.archive.exists():
                await _try(dist, say)
    return dist


async def make_broker(
    folder: Path,
    *,
    port: int,
    controller: int,
    say: Say,
    links: Mapping[int, int] | None = None,
    agencies: int | None = None,
) -> Kafka | Tansu:
    """Apache Kafka, or Tansu where it cannot be had, which is then said. Tansu has neither `links` nor `agencies`.

    KUAIZHAO_BROKER=kafka allows no stand-in, KUAIZHAO_BROKER=tansu takes it at once.

    Raises:
        CannotRun: no broker that is allowed.
    """
    wish = os.environ.get("KUAIZHAO_BROKER", "")
    if wish not in {"", "kafka", "tansu"}:
        raise CannotRun(f"KUAIZHAO_BROKER={wish} is neither kafka nor tansu")
    try:
        if wish == "tansu":
            raise NoKafka("KUAIZHAO_BROKER=tansu")
        dist = await kafka_dist(say)
        return Kafka(folder / "kafka", port=port, controller=controller, links=links, agencies=agencies, dist=dist)
    except NoKafka as error:
        if wish == "kafka":
            raise CannotRun(f"Apache Kafka cannot be had: {error}") from None
        say(f"no Apache Kafka ({error}): using Tansu, which keeps its log in memory only, so each start begins afresh")
        return Tansu(folder / "tansu", port=port)


def _home() -> Path:
    cache = Path(os.environ.get("KUAIZHAO_CACHE") or ROOT / ".cache").absolute()
    return cache / f"kafka-{hashlib.sha256(POM.read_bytes()).hexdigest()[:12]}"


async def _java() -> tuple[str, str]:
    home = os.environ.get("JAVA_HOME")
    program = shutil.which("java", path=str(Path(home, "bin"))) if home else shutil.which("java")
    if program is None:
        raise NoKafka(f"no Java {JAVA} or newer in {'JAVA_HOME' if home else 'PATH'}")
    _, said = await output(program, "-version")
    version = re.search(r'version "((\d+)[^"]*)"', said)
    if version is None or int(version[2]) < JAVA:
        raise NoKafka(f"Java {version[1] if version else 'of unknown version'} is older than {JAVA}")
    return program, version[1]


@asynccontextmanager
async def _one_at_a_time(path: Path, say: Say) -> AsyncIterator[None]:
    with path.open("w") as file:
        told = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not told:
                    say("Apache Kafka is being fetched by another run: waiting for it")
                told = True
                await asyncio.sleep(0.2)
        yield


async def _fetch(jars: Path, say: Say) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise NoKafka("no Maven (mvn) in PATH")
    say("fetching Apache Kafka by Maven (44 MB, once)")
    with tempfile.TemporaryDirectory(dir=jars.parent) as folder:
        target = Path(folder, "jars")
        copy = asyncio.create_task(
            output(
                *(maven, "--quiet", "--batch-mode", "--strict-checksums", "--file", str(POM)),
                *("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={target}"),
            )
        )
        try:
            started = time.monotonic()
            while not (await asyncio.wait({copy}, timeout=5))[0]:
                passed = time.monotonic() - started
                if passed > MAVEN_SECONDS:
                    raise NoKafka(f"Maven had not fetched it after {MAVEN_SECONDS // 60} min")
                say(f"  … {passed:.0f} s, {_megabytes(target):.0f} MB")
            code, said = copy.result()
        finally:
            copy.cancel()
        if code:
            reason = next((line for line in said.splitlines() if "[ERROR]" in line), f"exit code {code}")
            raise NoKafka(f"Maven could not fetch it: {reason.removeprefix('[ERROR]').strip()[:200]}")
        os.replace(target, jars)


def _megabytes(folder: Path) -> float:
    return sum(jar.stat().st_size for jar in folder.glob("*.jar")) / 1e6


async def _try(dist: KafkaDist, say: Say) -> None:
    """Start this Kafka once. That it stops again writes the archive of its classes."""
    say("trying Apache Kafka and keeping its classes ready for the next start")
    with tempfile.TemporaryDirectory(dir=dist.jars.parent) as folder:
        rehearsal = KafkaDist(dist.program, dist.jars, Path(folder, "classes.jsa"))
        ports = free_ports(["kafka", "kafka_controller"])
        kafka = Kafka(Path(folder, "kafka"), port=ports["kafka"], controller=ports["kafka_controller"], dist=rehearsal)
        try:
            await kafka.start()
        except CannotRun as error:
            raise NoKafka(f"it does not run here: {error}") from None
        await kafka.stop()
        if not rehearsal.archive.exists():
            raise NoKafka("it could not keep its classes (is the disk full?)")
        rehearsal.archive.rename(dist.archive)
