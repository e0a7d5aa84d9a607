"""The sample subscribers of clients/subscribers, made ready once in the cache and run as an agency would."""

import asyncio
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deploy.local.servers import ROOT

FOLDER = ROOT / "clients" / "subscribers"
SECONDS = 900


class Failed(AssertionError):
    """A sample could not be made ready, or ended with an error."""


@dataclass(frozen=True)
class Sample:
    """One sample: what it is made ready by, and run by. `$here` is its folder, `$made` another in the cache."""

    language: str
    needs: tuple[str, ...]
    lock: str
    prepare: tuple[str, ...]
    command: tuple[str, ...]
    copied: tuple[str, ...] = ()

    def missing(self) -> list[str]:
        """The programs that this machine lacks for it."""
        return [program for program in self.needs if shutil.which(program) is None]

    @property
    def here(self) -> Path:
        return FOLDER / self.language

    @property
    def made(self) -> Path:
        cache = Path(os.environ.get("KUAIZHAO_CACHE") or ROOT / ".cache").absolute()
        return (
            cache
            / f"subscriber-{self.language}-{hashlib.sha256((self.here / self.lock).read_bytes()).hexdigest()[:12]}"
        )

    def _filled(self, words: Iterable[str], made: Path) -> list[str]:
        return [word.replace("$here", str(self.here)).replace("$made", str(made)) for word in words]

    async def ready(self) -> None:
        """Fetch what it stands on, once for each of its lock files. Raises `Failed` when that cannot be had."""
        if self.made.exists() or not self.prepare:
            return
        self.made.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.made.parent) as folder:
            making = Path(folder, "made")
            os.mkdir(making)
            for name in self.copied:
                shutil.copy(self.here / name, making)
            await _said(self._filled(self.prepare, making), cwd=making if self.copied else self.here)
            with suppress(OSError):  # another run was faster
                os.rename(making, self.made)

    async def run(self, kafka: str, topics: Iterable[str], user: str, password: str) -> tuple[int, str]:
        """How many events it read, and the hash of the state that it came to. Raises `Failed` with what it says."""
        for name in self.copied:
            shutil.copy(self.here / name, self.made)
        login = {"KAFKA_USER": user, "KAFKA_PASSWORD": password, "KAFKA_SECURITY": "SASL_PLAINTEXT"}
        said = await _said(
            [*self._filled(self.command, self.made), kafka, *topics], cwd=self.here, env=os.environ | login
        )
        count, _, digest = said.strip().splitlines()[-1].partition(" ")
        return int(count), digest


async def _said(command: list[str], *, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(SECONDS):
            said, wrong = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise Failed(f"{Path(command[0]).name}: {(wrong or said).decode(errors='replace').strip()[-600:]}")
    return said.decode()


JAVAC = "javac -cp '$made/jars/*' -d '$made/classes' '$here'/*.java"
JAVA = "exec java -Xmx128m -XX:TieredStopAtLevel=1 -cp '$made/jars/*:$made/classes' StateHash"
SAMPLES = (
    Sample("python", (), "requirements.txt", (), (sys.executable, "$here/state_hash.py")),
    Sample(
        "java",
        ("java", "javac", "mvn"),
        "pom.xml",
        (
            *("mvn", "--quiet", "--batch-mode", "--strict-checksums", "--file", "$here/pom.xml"),
            *("dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=$made/jars"),
        ),
        ("sh", "-c", f'{JAVAC} && {JAVA} "$@"', "sh"),
    ),
    Sample(
        "go",
        ("go",),
        "go.sum",
        ("go", "mod", "download"),
        ("go", "run", "-mod=readonly", "."),
    ),
    Sample(
        "javascript",
        ("node", "npm"),
        "package-lock.json",
        ("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"),
        ("node", "$made/state-hash.js"),
        copied=("package.json", "package-lock.json", ".npmrc", "subscriber.js", "state-hash.js"),
    ),
)
