"""A service, wired: its reactions, routes and documents around one database, one bus and one relay.

    app.py:   service = Service("matching", reactions=handlers.react, routes=api.routes, documents=store.DOCUMENTS)

Starting never fails because a server is away: the process answers /live, says on /ready what it waits for, and goes on
when it comes.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import structlog
from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Tracer
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder
from pymongo.errors import PyMongoError

from shared.admission import Admission
from shared.auth import Keys
from shared.backlog import KINDS, measure
from shared.broker import Broker
from shared.bus import Bus
from shared.certificates import Certificates
from shared.contracts import CATALOGUE, catalogue
from shared.delivery import Delivery
from shared.fitness import Unfit, see_database, see_secret, see_topics, see_whole
from shared.fuse import Fuse
from shared.http import Api
from shared.migrations import Migration, in_order, migrate
from shared.personal import Holding, routes_for
from shared.reactions import Reactions
from shared.relay import Relay
from shared.sealed import Sealer
from shared.settings import Settings
from shared.store import DatabaseDown, Store, connect
from shared.tasks import end_tasks
from shared.telemetry import METRICS, end_traces, start_traces
from shared.timers import Timers
from shared.unit import Document, Unit

log = structlog.get_logger()

LOOP_STUCK_SECONDS = 15.0
MEASURE_SECONDS = 5.0
JOIN_SECONDS = 60.0
"""A client of Kafka that has not started in so long is closed, and another one tried."""


class Runtime:
    """One service in this process: everything with a life. A service's own loops get it as their argument."""

    def __init__(self, service: "Service", settings: Settings, traces: TracerProvider | None = None) -> None:
        catalogue()
        self.service, self.settings = service, settings
        self.sealer = Sealer(settings, service.name)
        self.traces = traces or start_traces(settings, service.name)
        self.tracer: Tracer = self.traces.get_tracer("kuaizhao")
        self.client = connect(settings.mongo_url)
        self.store = Store(self.client, settings.database or service.name, source=service.name)
        self.delivery = Delivery(self.store, service.reactions, service=service.name, tracer=self.tracer)
        self.certificates = Certificates(settings, service.name)
        self.kafka = Broker(settings.kafka, self.certificates)
        self.bus = Bus(
            self.kafka,
            self.delivery,
            service.reactions,
            Fuse(self.store.db, service.name),
            service=service.name,
            drain_seconds=settings.drain_seconds,
        )
        self.relay = Relay(self.store.db, self.bus, service=service.name, tracer=self.tracer)
        self.timers = Timers(self.store.db, self.delivery)
        self.keys = Keys(settings)
        self.nudged: Callable[[set[str]], None] = lambda names: None
        self.waits_for = ["database", "kafka"]
        self.unfit: dict[str, str] = {}
        self.at_stop: list[Callable[[], None]] = []
        self.stopping = False
        self._heartbeat = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        for kind in KINDS:  # a counter that begins with its first letter would never be seen to grow by it
            METRICS.dead.labels(self.service.name, kind)
        self._tasks = [
            asyncio.create_task(run()) for run in (self._come_up, self._beat, self._measure, self.keys.keep_fresh)
        ]

    async def _come_up(self) -> None:
        await self._until("database", self._prepare, self.settings.mongo_url)
        self.store.after_commit = self._committed
        self.timers.start()
        self._tasks += [asyncio.create_task(self._keep_going(loop)) for loop in self.service.loops]
        await self._until("kafka", self._join, self.settings.kafka)
        self.relay.start()
        log.info("ready")

    def _committed(self, unit: Unit) -> None:
        self.relay.committed(unit)
        if unit.nudged:
            self.nudged(unit.nudged)

    async def _prepare(self) -> None:
        await see_database(self.client, self.settings.mongo_url)
        await see_whole(self.store.db)
        await see_secret(self.store.db, self.sealer)
        await migrate(self.store.db, self.service.migrations)
        await self.store.prepare(self.service.documents)
        for step in self.service.at_start:
            await step(self)

    async def _join(self) -> None:
        service, reactions = self.service, self.service.reactions
        said = [kind for type_, kind in CATALOGUE.items() if type_.startswith(f"{service.name}.")]
        dead = f"{service.name}.dead" if reactions.topics else ""
        await see_topics(self.kafka, reactions.kinds.values(), said, dead)
        try:
            async with asyncio.timeout(JOIN_SECONDS):
                await self.bus.start()
        except BaseException:
            with suppress(Exception):
                await self.bus.leave()
            raise

    async def _until(self, name: str, step: Callable[[], Awaitable[None]], where: str) -> None:
        """Try a step until it works, with one clear line for each thing that is wrong and one when it does."""
        pause, said = 0.5, ""
        while True:
            try:
                await step()
                break
            except Unfit as unfit:
                self.unfit[name] = str(unfit)
                if said != str(unfit):
                    log.warning(f"not ready: {unfit}")
                said = str(unfit)
            except Exception as error:  # noqa: BLE001 - drivers raise many kinds; all mean that we wait
                self.unfit.pop(name, None)
                host = where.rsplit("@", 1)[-1]
                if not said:
                    log.warning(f"waiting for {name} at {host}", error=repr(error)[:300])
                said = said or "waiting"
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 5.0)
        self.waits_for.remove(name)
        self.unfit.pop(name, None)
        if said:
            log.info(f"{name} is there")

    async def _keep_going(self, loop: Callable[["Runtime"], Awaitable[None]]) -> None:
        """A service's own loop. An error is said and the loop begins again."""
        while True:
            try:
                await loop(self)
                return
            except (DatabaseDown, PyMongoError) as error:
                log.warning("loop waits for the database", error=repr(error)[:300])
            except Exception as error:
                log.error("loop failed, begins again", exc_info=error)
            await asyncio.sleep(1)

    async def _beat(self) -> None:
        while True:
            self._heartbeat = time.monotonic()
            await asyncio.sleep(1)

    async def _measure(self) -> None:
        while True:
            METRICS.ready.labels(self.service.name).set(not await self.not_ready())
            if "database" not in self.waits_for:
                with suppress(PyMongoError):
                    await measure(self.store.db, self.service.name)
            self._renew_certificates()
            await asyncio.sleep(MEASURE_SECONDS)

    def _renew_certificates(self) -> None:
        try:
            self.certificates.look()
        except ValueError as error:  # a file is being replaced, or is wrong: those in use go on until they end
            log.warning("certificates are not renewed", error=str(error))

    def begin_to_stop(self) -> None:
        """Be unready, and end what would wait for its client: an answer that goes on for as long as it is read."""
        if not self.stopping:
            self.stopping = True
            for end in self.at_stop:
                end()

    async def stop(self) -> None:
        """Stop taking, finish what is in hand, publish it, close. Bounded: the rest is in the database."""
        self.begin_to_stop()
        await end_tasks(*self._tasks)
        if "database" not in self.waits_for:
            await self.timers.stop()
        if "kafka" not in self.waits_for:
            await self.relay.stop(within=5)
            await self.bus.stop(self.settings.drain_seconds)
        await self.keys.close()
        await self.client.close()
        await end_traces(self.traces, within=5)

    async def not_ready(self) -> list[str]:
        """What stands in the way of doing our work; empty when ready."""
        if self.stopping:
            return ["stopping"]
        reasons = await self.cannot_answer()
        reasons += [self.unfit.get(name, f"waiting for {name}") for name in self.waits_for if name != "database"]
        if "kafka" not in self.waits_for:
            try:
                reachable = await self.bus.reachable()
            except Exception:  # noqa: BLE001 - any error is the answer
                reachable = False
            if not reachable or not self.relay.healthy:
                reasons.append("kafka does not answer")
            elif self.service.reactions.topics and not self.bus.assigned:
                reasons.append("has not joined its consumer group")
            if self.bus.waits_for:
                reasons.append(f"events wait for the {self.bus.waits_for}")
        if self.bus.fuse.blown:
            reasons.append(f"the fuse is blown: too many dead letters (kuaizhao fuse reset {self.service.name})")
        return reasons

    async def cannot_answer(self) -> list[str]:
        """What stands in the way of answering requests, for which the database is enough; empty when nothing does."""
        if self.stopping:
            return ["stopping"]
        if "database" in self.waits_for:
            return [self.unfit.get("database", "waiting for database")]
        try:
            async with asyncio.timeout(3):
                await self.client.admin.command("ping")
        except (PyMongoError, TimeoutError):
            return ["database does not answer"]
        return []

    @property
    def alive(self) -> bool:
        """False when only a restart can help: the event loop or the consumer stands still."""
        return time.monotonic() - self._heartbeat < LOOP_STUCK_SECONDS and not self.bus.stuck


@dataclass
class Service:
    """The parts of a service.

    `documents` are its collections, and `personal` says which of them are about people; `migrations` bring what older
    versions wrote up to date; `loops` run beside it; `at_start` runs once it has its database; `state` makes what
    routes reach as `request.app.state.<name>`.
    """

    name: str
    reactions: Reactions
    routes: APIRouter
    documents: Sequence[type[Document]]
    personal: tuple[Holding, ...] = ()
    migrations: Sequence[Migration] = ()
    loops: Sequence[Callable[[Runtime], Awaitable[None]]] = ()
    at_start: Sequence[Callable[[Runtime], Awaitable[None]]] = ()
    about: str = ""
    state: dict[str, Callable[[Runtime], Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        in_order(self.migrations)

    def app(self, settings: Settings) -> FastAPI:
        """The service's HTTP application; its lifespan is the service's."""
        traces = start_traces(settings, self.name)

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            runtime = Runtime(self, settings, traces)
            self.attach(app, runtime)
            runtime.start()
            try:
                yield
            finally:
                await runtime.stop()

        app = Api(
            title=f"Kuaizhao {self.name}",
            version="1",
            description=self.about,
            lifespan=lifespan,
            openapi_url=f"/api/{self.name}/openapi.json",
            docs_url=None,
            redoc_url=None,
        )
        if self.personal:
            app.include_router(routes_for(self.name, self.personal))
        app.include_router(self.routes)
        self._add_probes(app)
        FastAPIInstrumentor.instrument_app(
            app, tracer_provider=traces, exclude_spans=["send", "receive"], excluded_urls="/live,/ready,/metrics"
        )
        return app

    def attach(self, app: FastAPI, runtime: Runtime) -> None:
        """Give routes what they reach through `request.app.state`."""
        app.state.runtime, app.state.store, app.state.keys = runtime, runtime.store, runtime.keys
        app.state.sealer = runtime.sealer
        app.state.admission = Admission(
            self.name, reads=runtime.settings.reads_at_once, commands=runtime.settings.commands_at_once
        )
        for name, make in self.state.items():
            setattr(app.state, name, make(runtime))

    def _add_probes(self, app: FastAPI) -> None:
        @app.get("/live", include_in_schema=False)
        async def live() -> Response:
            alive = app.state.runtime.alive
            return JSONResponse({"alive": alive}, 200 if alive else 503)

        @app.get("/ready", include_in_schema=False)
        async def ready(purpose: Annotated[Literal["work", "requests"], Query(alias="for")] = "work") -> Response:
            runtime: Runtime = app.state.runtime
            reasons = await (runtime.not_ready() if purpose == "work" else runtime.cannot_answer())
            return JSONResponse({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

        @app.get("/metrics", include_in_schema=False)
        async def metrics(request: Request) -> Response:
            # OpenMetrics to whoever asks for it, as Prometheus does: it has the exemplars.
            write, media_type = choose_encoder(request.headers.get("accept", ""))
            return Response(write(REGISTRY), media_type=media_type)
