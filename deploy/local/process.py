"""One child process: started, known to be ready because it answers, and never outliving this one."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

LOG_BYTES = 50_000_000
"""A log larger than this is put aside (one generation) when its process starts."""


class CannotRun(Exception):
    """Something that the person at the keyboard can mend. Its text is one clear line."""


async def together(*work: Coroutine[None, None, None]) -> None:
    """Do all of it at once. The first failure cancels the rest and is raised as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            for part in work:
                group.create_task(part)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def until(true: Callable[[], Awaitable[bool]], *, every: float = 0.03) -> None:
    """Wait for something to become true, asking again after `every` seconds. An OSError means not yet."""
    while True:
        with suppress(OSError):
            if await true():
                return
        await asyncio.sleep(every)


async def output(*command: str) -> tuple[int, str]:
    """Run a short-lived program; its exit code and what it said on both streams. It is killed if we are cancelled."""
    child = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        said, _ = await child.communicate()
    except asyncio.CancelledError:
        child.kill()
        raise
    return child.returncode or 0, said.decode(errors="replace")


class Process(ABC):
    """A process with a folder of its own for configuration, data and log, and a name that it is spoken of by.

    Being ready means having answered in its own protocol, not having an open port. The kernel kills the process when
    the thread that started it ends, so start it from a thread that lasts (the main one).
    """

    patience: float = 180.0
    """Seconds from start until it must answer."""
    grace: ClassVar[float] = 15.0
    """Seconds from SIGTERM until SIGKILL."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.log = folder / f"{name}.log"
        self._popen: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def __repr__(self) -> str:
        return f"<{self.name} {self.pid or 'not running'}>"

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Program and arguments; known once `prepare` is done."""

    def environment(self) -> Mapping[str, str]:
        """Variables added to this process' own."""
        return {}

    async def prepare(self) -> None:  # noqa: B027 - most have nothing to do
        """Write what must be on disk before each start."""

    @property
    def why(self) -> str:
        """What it said the last time that it was asked and was not ready, to put behind that fact."""
        return ""

    @abstractmethod
    async def answers(self) -> bool:
        """Ask it something in its own protocol. An OSError means no."""

    async def settle(self) -> None:  # noqa: B027 - most have nothing to do
        """Bring a server that answers into the state its users expect."""

    @property
    def pid(self) -> int | None:
        return self._popen.pid if self._popen and self._popen.poll() is None else None

    async def start(self) -> None:
        """Start, and return when it is ready.

        Raises:
            CannotRun: it ended, or did not answer within `patience`; nothing of it is left running then.
        """
        if self.pid:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        await self.prepare()
        self._popen = self._spawn()
        try:
            async with asyncio.timeout(self.patience):
                await self._until_it_answers(self._popen)
                await self.settle()
        except TimeoutError:
            last = self.last_words()
            await self.stop()
            raise CannotRun(f"{self.name} was not ready after {self.patience:.0f} s{self.why}{last}") from None
        except BaseException:
            await self.stop()
            raise

    def _spawn(self) -> subprocess.Popen[bytes]:
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            raise CannotRun("setpriv is missing: install the package util-linux")
        with suppress(FileNotFoundError):
            if self.log.stat().st_size > LOG_BYTES:
                self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            # In a session of its own, so that Ctrl-C reaches only us and servers are stopped in order.
            return subprocess.Popen(
                [setpriv, "--pdeathsig", "KILL", "--", *self.command()],
                env={**os.environ, **self.environment()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    async def _until_it_answers(self, popen: subprocess.Popen[bytes]) -> None:
        async def answers() -> bool:
            if popen.poll() is not None:
                raise CannotRun(f"{self.name} ended with code {popen.returncode} while starting{self.last_words()}")
            return await self.answers()

        await until(answers)

    async def ended(self) -> int:
        """Wait for its end and return its exit code (minus the number of the signal that killed it)."""
        if self._popen is None:
            return 0
        if self._popen.poll() is None:
            loop, over = asyncio.get_running_loop(), asyncio.Event()
            descriptor = os.pidfd_open(self._popen.pid)
            loop.add_reader(descriptor, over.set)
            try:
                await over.wait()
            finally:
                loop.remove_reader(descriptor)
                os.close(descriptor)
        return self._popen.wait()

    async def stop(self) -> None:
        """SIGTERM, `grace`, SIGKILL for whatever is left of its process group. Safe to repeat."""
        if self._popen is None:
            return
        self._popen.terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.grace):
                await self.ended()
        self._signal_group(signal.SIGKILL)
        await self.ended()

    async def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to its process group. After SIGKILL, return when it has ended."""
        self._signal_group(number)
        if number is signal.SIGKILL:
            await self.ended()

    def _signal_group(self, number: signal.Signals) -> None:
        if self._popen is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._popen.pid, number)

    def last_words(self) -> str:
        """What its log most likely gives as the reason why it ended, to put behind the fact."""
        with self.log.open("rb") as log:
            log.seek(max(self._log_start, log.seek(0, os.SEEK_END) - 20_000))
            lines = log.read().decode(errors="replace").splitlines()
        if any("no space left" in line.lower() for line in lines):
            return f": the disk that holds {self.folder} is full"
        telling = [
            line for line in lines if re.search(r"error|fatal|exception|fail|\"s\":\"[EF]\"", line, re.IGNORECASE)
        ]
        return f"{f': {telling[-1].strip()[:240]}' if telling else ''} (log: {self.log})"
