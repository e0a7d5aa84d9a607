"""A whole Kuaizhao in which every link can be cut: replicas of each reacting service, a proxy on each link.

    gateway ─► proxy ─► replicas        each process ─► its own proxies ─► Kafka, mongod, Valkey, identity, SMS, insurer

Kafka tells its clients where it is, so that it listens once more for every process, and tells each its own proxy.
"""

import asyncio
import logging
import os
import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import NamedTuple, Self

from deploy.local.kafka_dist import Say
from deploy.local.ports import SERVICES, USUAL, free_ports
from deploy.local.process import CannotRun, output
from deploy.local.servers import LOCALHOST, ROOT, Kafka, Mongo
from deploy.local.stack import MARKET, Stack, module_of
from tests.chaos.proxy import Proxy, Wires

log = logging.getLogger(__name__)

REACTING = ("posting", "workers", "matching", "rights", "notify")
SERVERS = ("kafka", "mongo", "valkey")
BEHIND = (*SERVERS, "identity", "web")
"""What a process of ours talks to."""

PATIENCE = 600.0
"""Seconds in which each part must be ready, also while other tests build programs on the same few cores."""

KEPT = ROOT / ".cache" / "chaos"

DISK_MB = 4_096
OPLOG_MB = 60_000
"""MongoDB's own log keeps a long run from its beginning, for the checker to read."""


class Link(NamedTuple):
    """From a process, or the gateway, to a server, or a service."""

    end: str
    to: str

    @property
    def name(self) -> str:
        return f"{self.end}>{self.to}"


class ChaosStack(Stack):
    """`replicas` of each reacting service, up to `most`; what ends is started again until `calm`.

    A `long` one has links that can be cut between clients, gateway and services only, since copying every byte to and
    from the servers takes much of a machine, and keeps its data on the usual disk, since it grows large.
    """

    def __init__(
        self,
        state: Path,
        *,
        seed: int,
        replicas: int = 2,
        most: int = 4,
        own_disks: bool = False,
        long: bool = False,
        say: Say = print,
        modules: Callable[[str], Sequence[str]] = module_of,
    ) -> None:
        names = [f"{service}-{n}" if n > 1 else service for service in REACTING for n in range(1, most + 1)]
        self.ours = ["identity", *names]
        inner = [] if long else self.ours
        self.links = [Link(name, server) for name in inner for server in BEHIND if server != name]
        self.links += [Link("gateway", part) for part in SERVICES] + [Link("clients", "gateway")]
        usual = [part for part in USUAL if part not in self.ours]
        ports = free_ports(
            [*usual, *self.ours, *(link.name for link in self.links), *(f"kafka<{name}" for name in inner)]
        )
        super().__init__(state, ports=ports, parts=MARKET, say=say, modules=modules)
        self._wires = Wires()
        self.proxies = {
            link: Proxy(link.name, self._behind(link), wires=self._wires, port=ports[link.name], seed=seed)
            for link in self.links
        }
        self.wanted = dict.fromkeys(REACTING, replicas) | {"identity": 1}
        self.disks: dict[str, Path] = {}
        self.restarts = 0
        self._own_disks = own_disks and not long
        self._long = long
        self._pauses = random.Random(f"{seed}:pauses")
        self._around = AsyncExitStack()
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._environments: dict[str, dict[str, str]] = {}

    def _behind(self, link: Link) -> Callable[[], Sequence[int]]:
        if link.to in REACTING:
            return lambda: [self.ports[name] for name in self.names(link.to)]
        if link.to == "kafka":
            return lambda: [self.ports[f"kafka<{link.end}"]]
        return lambda: [self.ports[link.to]]

    @property
    def insurer(self) -> str:
        """Where the insurer's books are read; empty where there is none."""
        return "" if self._long else f"{self.url('web')}/insurer/policies"

    @property
    def edge(self) -> str:
        """Where clients reach the gateway: over a link that may fail too."""
        return f"http://{LOCALHOST}:{self.ports[Link('clients', 'gateway').name]}"

    # --- where things are ----------------------------------------------------------------------------------------

    def names(self, service: str) -> list[str]:
        """The processes of a service that should run now."""
        return [f"{service}-{n}" if n > 1 else service for n in range(1, self.wanted[service] + 1)]

    @property
    def running(self) -> list[str]:
        """Processes of ours that run at this moment."""
        return [name for name in self.ours if name in self.processes and self.processes[name].pid]

    def environment(self, name: str) -> dict[str, str]:
        variables = super().environment(name)
        if name not in self.ours:
            return variables
        variables["KUAIZHAO_OTLP_URL"] = ""
        # A long run goes by the market's own register: what the insurer plays is in its memory, which is bounded.
        variables["KUAIZHAO_INSURER_URL"] = ""
        if not self._long:
            variables |= self._by_proxies(name)
        return self._environments.setdefault(name, variables)

    def _by_proxies(self, name: str) -> dict[str, str]:
        """What tells a process of its own proxies."""
        at = {server: f"{LOCALHOST}:{self.ports[f'{name}>{server}']}" for server in BEHIND if server != name}
        variables = {
            "KUAIZHAO_MONGO_URL": f"mongodb://{at['mongo']}/?directConnection=true",
            "KUAIZHAO_VALKEY_URL": f"redis://{at['valkey']}/0",
            "KUAIZHAO_SMS_URL": f"http://{at['web']}/sms",
            "KUAIZHAO_INSURER_URL": f"http://{at['web']}/insurer",
        }
        if self._kafka_has_links:
            variables["KUAIZHAO_KAFKA"] = at["kafka"]
        if name != "identity":
            variables["KUAIZHAO_JWKS_URL"] = f"http://{at['identity']}/api/identity/.well-known/jwks.json"
        return variables

    def behind_gateway(self, part: str) -> int:
        return self.ports[part] if part == "web" else self.ports[Link("gateway", part).name]

    def kafka_links(self) -> Mapping[int, int]:
        links = [link for link in self.links if link.to == "kafka"]
        return {self.ports[f"kafka<{link.end}"]: self.ports[link.name] for link in links}

    @property
    def _kafka_has_links(self) -> bool:
        return isinstance(self.processes.get("kafka"), Kafka)

    # --- life ----------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self._around.__aenter__()
        try:
            if self._own_disks:
                await self._mount("kafka", "mongo")
            self._around.enter_context(self._wires)
            for proxy in self.proxies.values():
                await self._around.enter_async_context(proxy)
            await super().__aenter__()
            further = [name for service in REACTING for name in self.names(service)[1:]]
            await self._start_all(further)
            for name in (*SERVERS, "gateway", *(name for service in self.wanted for name in self.names(service))):
                self.keep(name)
        except BaseException:
            await self.stop()
            raise
        return self

    async def _start_all(self, names: Sequence[str]) -> None:
        try:
            await super()._start_all(names)
        except CannotRun as error:
            raise CannotRun(f"{error}; all that was said: {self._keep_logs()}") from error

    def _keep_logs(self) -> Path:
        """Copy what the processes said out of a folder that will be gone; where to."""
        kept = KEPT / str(os.getpid())
        for log in self.data.glob("*/*.log"):
            kept.mkdir(parents=True, exist_ok=True)
            shutil.copy(log, kept)
        return kept

    async def _make(self) -> None:
        await super()._make()
        if self._long:
            self.processes["mongo"] = Mongo(self.data / "mongo", port=self.ports["mongo"], oplog_mb=OPLOG_MB)
        for name in self.ours:
            self.processes.setdefault(name, self._python(name))
        for process in self.processes.values():
            process.patience = PATIENCE

    async def stop(self) -> None:
        self.calm()
        await super().stop()
        await self._around.aclose()
        for folder in self.disks.values():
            await output("umount", "--lazy", str(folder))
        self.disks.clear()

    def calm(self) -> None:
        """From now on nothing is started again."""
        for keeper in self._keepers.values():
            keeper.cancel()
        self._keepers.clear()

    def keep(self, name: str) -> None:
        """Start a process whenever it has ended, soon after, as a supervisor does."""
        keeper = self._keepers[name] = asyncio.create_task(self._kept(name), name=f"keep {name}")
        keeper.add_done_callback(_tell_why)

    async def _kept(self, name: str) -> None:
        process = self.processes[name]
        while True:
            await process.ended()
            await asyncio.sleep(self._pauses.uniform(0.05, 0.5))
            with suppress(CannotRun, OSError):  # what it needs is cut off, its disk is full, it was killed: again
                await self.start(name)
                self.restarts += 1

    async def leave(self, name: str) -> int:
        """Stop one process for good, in its own time; its exit code."""
        if keeper := self._keepers.pop(name, None):
            keeper.cancel()
        await self.processes[name].stop()
        return await self.processes[name].ended()

    async def scale(self, service: str, replicas: int) -> None:
        """Run so many replicas of a service: new ones are started, the last ones leave in their own time."""
        before = self.names(service)
        self.wanted[service] = max(replicas, 1)
        after = self.names(service)
        for name in after[len(before) :]:
            await self.start(name)
            self.keep(name)
        for name in before[len(after) :]:
            await self.leave(name)

    def plant(self, name: str, fault: str) -> None:
        """Let a process die at a planted point in its next life; empty: in none."""
        self._environments[name]["KUAIZHAO_FAULT"] = fault

    # --- disks ---------------------------------------------------------------------------------------------------

    async def _mount(self, *servers: str) -> None:
        """Give servers a small disk each, that can be filled. Where that is not allowed, `disks` stays empty."""
        for server in servers:
            folder = self.data / server
            folder.mkdir(parents=True, exist_ok=True)
            code, _ = await output("mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "kuaizhao-chaos", str(folder))
            if code == 0:
                self.disks[server] = folder

    def fill(self, server: str) -> Path:
        """Fill a server's disk to the last byte; the file to remove for an end of it."""
        ballast = self.disks[server] / "ballast"
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            disk = os.statvfs(self.disks[server])
            os.posix_fallocate(file.fileno(), 0, max(1, disk.f_bavail * disk.f_frsize))
            while True:
                file.write(bytes(4096))
        return ballast


def _tell_why(keeper: asyncio.Task[None]) -> None:
    """A keeper ends when it is told to; else what it kept is gone for good, and the run is worth nothing."""
    if not keeper.cancelled() and (error := keeper.exception()):
        log.error("%s has ended", keeper.get_name(), exc_info=error)
