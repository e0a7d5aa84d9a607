"""All of Kuaizhao, or a part of it, on this machine: started in order, spoken to by name, stopped in reverse."""

import asyncio
import base64
import fcntl
import os
import resource
import secrets
import shutil
import signal
import time
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from deploy.local.envoy import Address, render
from deploy.local.kafka_dist import Say, make_broker
from deploy.local.ports import SERVICES, USUAL, check_free, free_ports, usual_ports
from deploy.local.process import CannotRun, Process, together
from deploy.local.servers import LOCALHOST, ROOT, Envoy, Kafka, Mongo, PythonService, Tansu, Valkey
from deploy.topics import TopicsError, provision
from shared.broker import Broker

MARKET = (*SERVICES, "web", "gateway")
"""Services, the live page and Envoy."""
EVERYTHING = (*MARKET, "agencies", "city")
"""What a stack can run beside its servers: the market, what other agencies need, the simulated city."""

FREE_BYTES = 1 << 30
FILES = 65_536
SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds before a part that ended is started again; they double for one that ends soon."""
ENVOY = ROOT / "deploy" / "envoy.yaml"
ISSUER = "https://kuaizhao.local"


def part_of(name: str) -> str:
    """What a process is: `matching` for `matching-2`."""
    return name.partition("-")[0]


def module_of(part: str) -> Sequence[str]:
    """What follows `python -m` to run a part of this project."""
    if part in SERVICES:
        return "shared.run", part
    return ("deploy.agencies",) if part == "agencies" else (f"clients.{part}",)


class Stack:
    """Servers and the wanted parts, on given ports, with everything they keep in one folder.

        async with Stack(folder, ports=free_ports(), parts=["identity", "gateway"]) as stack:
            await client.post(f"{stack.gateway}/api/identity/codes", …)
            await stack.kill("kafka")
            await stack.start("kafka")

    `processes` holds the running parts by name; the broker is `kafka`, also where Tansu plays it. `modules` says what
    `python -m` runs for a part. With Tansu the folder's earlier data is left alone and the stack begins afresh: what
    the databases know would point past the end of its new, empty log. Nor are there `agencies` then, which sign in.
    """

    def __init__(
        self,
        state: Path,
        *,
        ports: Mapping[str, int] | None = None,
        parts: Collection[str] = EVERYTHING,
        say: Say = print,
        modules: Callable[[str], Sequence[str]] = module_of,
    ) -> None:
        unknown = set(parts) - set(EVERYTHING)
        if unknown:
            raise ValueError(f"no such parts: {sorted(unknown)}; there are {', '.join(EVERYTHING)}")
        self.state = state.absolute()
        self.ports = dict(usual_ports() if ports is None else ports)
        self.parts = [part for part in EVERYTHING if part in parts]
        self.say = say
        self.processes: dict[str, Process] = {}
        self.gateway = self.url("gateway")
        self.kafka = f"{LOCALHOST}:{self.ports['kafka']}"
        self.kafka_for_agencies = f"{LOCALHOST}:{self.ports['kafka_agencies']}"
        self.mongo_url = f"mongodb://{LOCALHOST}:{self.ports['mongo']}/?replicaSet=rs0"
        self.valkey_url = f"redis://{LOCALHOST}:{self.ports['valkey']}/0"
        self._modules = modules
        self.data = self.state / "data"
        self._lock: IO[str] | None = None
        self._secrets: dict[str, str] = {}

    def url(self, part: str) -> str:
        """The HTTP address of a service, the page, or the gateway."""
        return f"http://{LOCALHOST}:{self.ports[part]}"

    @property
    def keeps_its_log(self) -> bool:
        """Whether the broker is one whose log outlives it."""
        return isinstance(self.processes["kafka"], Kafka)

    def environment(self, name: str) -> dict[str, str]:
        """The KUAIZHAO_ variables that a process runs with; secrets only for those that need them."""
        part = part_of(name)
        variables = {
            "HOST": LOCALHOST,
            "PORT": str(self.ports.get(name, 0)),
            "KAFKA": self.kafka,
            "MONGO_URL": self.mongo_url,
            "VALKEY_URL": self.valkey_url,
            "OTLP_URL": f"{self.url('web')}/otlp" if "web" in self.parts else "",
            "SMS_URL": f"{self.url('web')}/sms",
            "VOICE_URL": f"{self.url('web')}/sms/voice",
            "WEBHOOKS_MAY_BE_LOCAL": "true",
            "INSURER_URL": f"{self.url('web')}/insurer" if "web" in self.parts else "",
            "JWKS_URL": f"{self.url('identity')}/api/identity/.well-known/jwks.json",
            "GATEWAY": self.gateway,
            "ISSUER": ISSUER,
            "AUDIENCE": "kuaizhao",
            "DRAIN_SECONDS": "5",
        }
        if part in SERVICES:
            variables["SECRET"] = self._secrets["SECRET"]
        if part in {"identity", "city"}:
            variables["OPERATOR_PASSWORD"] = self._secrets["OPERATOR_PASSWORD"]
        return {f"KUAIZHAO_{name}": value for name, value in variables.items()}

    @property
    def operator_password(self) -> str:
        """The password of the first account, `operator`, made for this folder once."""
        return self._secrets["OPERATOR_PASSWORD"]

    async def __aenter__(self) -> Self:
        """Start everything.

        Raises:
            CannotRun: something that a person can mend is in the way; nothing is left running then.
        """
        _allow_files()
        try:
            self.claim()
            await self._make()
            await self._start_all(["kafka", "mongo", "valkey"])
            await self._start_all([part for part in self.parts if part != "city"])
            await self._start_all([part for part in self.parts if part == "city"])
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Stop the city, then the parts that clients see, then the servers under them. Safe to repeat."""
        servers = {"kafka", "mongo", "valkey"}
        for layer in ({"city"}, self.processes.keys() - servers - {"city"}, servers):
            await together(*(self.processes[name].stop() for name in self.processes.keys() & layer))
        self.release()

    async def start(self, name: str) -> None:
        """Start a part that ended or was killed, and return when it is ready."""
        await self.processes[name].start()
        if name == "kafka":
            try:
                await provision(Broker(self.kafka))
            except TopicsError as error:
                raise CannotRun(f"topics: {error}") from None

    async def restart(self, name: str) -> None:
        """Stop a part in its own time and start it again."""
        await self.processes[name].stop()
        await self.start(name)

    async def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a part a signal; after SIGKILL, return when it is gone."""
        await self.processes[name].kill(number)

    async def supervise(self) -> None:
        """Start again, with a line, whatever ends by itself, until cancelled.

        Raises:
            CannotRun: the broker ended and its log with it, so that there is nothing to go on from.
        """
        await together(*(self._keep(name) for name in self.processes))

    async def _keep(self, name: str) -> None:
        process = self.processes[name]
        pause = SHORTEST_PAUSE
        while True:
            ready = time.monotonic()
            code = await process.ended()
            self.say(f"{name} ended with code {code}{process.last_words()}")
            if isinstance(process, Tansu):
                raise CannotRun(f"{name} ended, and its log with it: start again")
            if time.monotonic() - ready > LONGEST_PAUSE:
                pause = SHORTEST_PAUSE
            while not process.pid:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                try:
                    await self.start(name)
                    self.say(f"{name} is ready again")
                except CannotRun as error:
                    self.say(f"{error}; trying again in {pause:.0f} s")

    async def add_replica(self, service: str) -> str:
        """Start one more process of a service on a free port, outside the gateway, and return its name."""
        name = f"{service}-{sum(part_of(other) == service for other in self.processes) + 1}"
        self.ports |= free_ports([name])
        self.processes[name] = self._python(name)
        await self.start(name)
        return name

    def claim(self) -> None:
        """Take the state folder for this process, and see that what is needed is free. `release` gives it back.

        Raises:
            CannotRun: another run has it, its disk is full, or a port is taken.
        """
        self.state.mkdir(parents=True, exist_ok=True)
        lock = (self.state / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            other = lock.read().strip()
            lock.close()
            raise CannotRun(
                f"{self.state} is in use by process {other}: stop that one, or set KUAIZHAO_STATE to another folder"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock
        free = shutil.disk_usage(self.state).free
        if free < FREE_BYTES:
            raise CannotRun(
                f"only {free / 1e9:.1f} GB are free for {self.state}, at least {FREE_BYTES / 1e9:.1f} GB are needed:"
                " free some space, or set KUAIZHAO_STATE to a folder on another disk"
            )
        servers = ("kafka", "kafka_controller", "mongo", "valkey")
        agencies = ("kafka_agencies",) if "agencies" in self.parts else ()
        gateway = ("gateway_admin", "gateway_metrics") if "gateway" in self.parts else ()
        used = (*servers, *self.parts, *agencies, *gateway)
        check_free({part: self.ports[part] for part in used if part in self.ports})
        self._secrets = _secrets(self.state / "secrets.env")

    def release(self) -> None:
        """Give the state folder back."""
        if self._lock:
            self._lock.close()
            self._lock = None

    async def _make(self) -> None:
        ports = self.ports
        controller = ports["kafka_controller"]
        broker = await make_broker(
            self.data,
            port=ports["kafka"],
            controller=controller,
            links=self.kafka_links(),
            agencies=ports["kafka_agencies"] if "agencies" in self.parts else None,
            say=self.say,
        )
        if isinstance(broker, Tansu):
            if "agencies" in self.parts:
                self.say("other agencies cannot subscribe or feed: Tansu lets nobody sign in")
                self.parts.remove("agencies")
            self.data = self.state / "fresh"
            shutil.rmtree(self.data, ignore_errors=True)
            broker = Tansu(self.data / "tansu", port=ports["kafka"])
        self.processes = {
            "kafka": broker,
            "mongo": Mongo(self.data / "mongo", port=ports["mongo"]),
            "valkey": Valkey(self.data / "valkey", port=ports["valkey"]),
        }
        for part in self.parts:
            if part == "gateway":
                self.processes[part] = self.envoy()
            else:
                self.processes[part] = self._python(part)

    def _python(self, name: str) -> PythonService:
        probe = f"{self.url(name)}/{'live' if name == 'web' else 'ready'}" if name in self.ports else None
        module, environment = self._modules(part_of(name)), self.environment(name)
        return PythonService(name, self.data / name, run=module, environment=environment, probe=probe)

    def kafka_links(self) -> Mapping[int, int]:
        """Further ports on which Kafka listens, each with the port that it tells its clients there to use."""
        return {}

    def behind_gateway(self, part: str) -> int:
        """The port at which the gateway reaches a part."""
        return self.ports[part]

    def envoy(self) -> Envoy:
        """The gateway, its configuration rendered for this stack's ports."""
        addresses: dict[Address, Address] = {
            ("0.0.0.0", USUAL["gateway"]): (LOCALHOST, self.ports["gateway"]),
            ("0.0.0.0", USUAL["gateway_metrics"]): (LOCALHOST, self.ports["gateway_metrics"]),
            (LOCALHOST, USUAL["gateway_admin"]): (LOCALHOST, self.ports["gateway_admin"]),
            ("otel-collector", 4318): (LOCALHOST, self.ports["web"]),
            **{(part, USUAL[part]): (LOCALHOST, self.behind_gateway(part)) for part in (*SERVICES, "web")},
        }
        folder = self.data / "gateway"
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "envoy.yaml"
        config.write_text(render(ENVOY.read_text(encoding="utf-8"), addresses), encoding="utf-8")
        return Envoy(folder, config=config, admin=self.ports["gateway_admin"])

    async def _start_all(self, names: Sequence[str]) -> None:
        waiting = set(names)
        began = time.monotonic()

        async def start(name: str) -> None:
            await self.start(name)
            waiting.discard(name)
            self.say(f"{self.processes[name].name} is ready ({time.monotonic() - began:.1f} s)")

        with _every(
            5, lambda: self.say(f"… waiting for {', '.join(sorted(waiting))} ({time.monotonic() - began:.0f} s)")
        ):
            running = [process for name, process in self.processes.items() if process.pid and name not in names]
            await _while_all_run(running, together(*(start(name) for name in names)))


def _allow_files() -> None:
    """Let us and what we start have many files open: Kafka has thousands, and a laptop's usual limit is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


async def _while_all_run(running: Sequence[Process], work: Coroutine[None, None, None]) -> None:
    """Do work that needs these processes. Raises CannotRun, with its last words, when one of them ends meanwhile."""
    done = asyncio.ensure_future(work)
    ends = {asyncio.ensure_future(process.ended()): process for process in running}
    try:
        await asyncio.wait([done, *ends], return_when=asyncio.FIRST_COMPLETED)
        for end, process in ends.items():
            if end.done() and not done.done():
                raise CannotRun(
                    f"{process.name} ended with code {end.result()} while others started{process.last_words()}"
                )
        await done
    finally:
        for task in (done, *ends):
            task.cancel()
        await asyncio.gather(done, *ends, return_exceptions=True)  # what was started is stopped in its own time


@contextmanager
def _every(seconds: float, do: Callable[[], None]) -> Iterator[None]:
    async def repeat() -> None:
        while True:
            await asyncio.sleep(seconds)
            do()

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        task.cancel()


def _secrets(file: Path) -> dict[str, str]:
    """The secrets of a state folder, made when it is new. Whoever may read this file may read its databases too."""
    with suppress(FileExistsError):
        made = {
            "SECRET": base64.b64encode(secrets.token_bytes(32)).decode(),
            "OPERATOR_PASSWORD": secrets.token_urlsafe(18),
        }
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.writelines(f"{name}={value}\n" for name, value in made.items())
    return dict(line.split("=", 1) for line in file.read_text().splitlines())
