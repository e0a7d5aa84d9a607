"""The gate and the snapshots in one process: `python -m deploy.agencies`. Any number of it may run.

On KUAIZHAO_PORT (8190) it answers /live, /ready (503 with the reasons while one of the two does not do its work) and
/metrics.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog
import uvicorn
from aiokafka.errors import KafkaError
from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from deploy.agencies.gate import Gate
from deploy.agencies.snapshots import NotCopied, copy_all
from deploy.asked import asked_of
from shared.broker import Broker
from shared.settings import Settings
from shared.tasks import end_tasks
from shared.telemetry import METRICS, start_logs

PORT = 8190
EVERY_SECONDS = 3600.0
AGAIN_SECONDS = 30.0
"""Until what failed is tried again."""
MEASURE_SECONDS = 5.0
STOP_SECONDS = 5.0

log = structlog.get_logger()


class Agencies:
    """The two, kept going whatever becomes of the broker, and whether they do their work."""

    def __init__(self, kafka: Broker, every: float = EVERY_SECONDS) -> None:
        self._kafka, self._every = kafka, every
        self._gate = Gate(kafka)
        self._not_copied = ""
        self._ends = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """They run inside the block; what the gate has in hand is passed on at its end."""
        gate, *others = (asyncio.create_task(run()) for run in (self._pass_on, self._copy, self._measure))
        try:
            yield
        finally:
            self._ends.set()
            await asyncio.wait([gate], timeout=STOP_SECONDS)
            await end_tasks(gate, *others)

    async def faults(self) -> list[str]:
        """What is not done; empty when all is."""
        return [fault for fault in (await self._gate.fault(), self._not_copied) if fault]

    async def _pass_on(self) -> None:
        while not self._ends.is_set():
            try:
                await self._gate.run(self._ends)
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("the gate begins again", error=repr(error)[:300])
                with suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await self._ends.wait()

    async def _copy(self) -> None:
        while True:
            try:
                done = await copy_all(self._kafka)
            except (NotCopied, ConnectionError, KafkaError) as error:
                self._not_copied = f"snapshots: {error}"
                log.warning("the snapshots are tried again", error=repr(error)[:300])
            else:
                self._not_copied = ""
                for topic, each in done.items():
                    log.info("copied", topic=topic, events=each.events, mended=each.mended)
                    for gap in each.gaps:  # nothing can mend it, so it does not make us unready
                        log.error("a snapshot has a gap: they came too late", gap=gap)
            await asyncio.sleep(min(self._every, AGAIN_SECONDS) if self._not_copied else self._every)

    async def _measure(self) -> None:
        while True:
            METRICS.ready.labels("agencies").set(not await self.faults())
            await asyncio.sleep(MEASURE_SECONDS)


def make_app(kafka: Broker, every: float = EVERY_SECONDS) -> FastAPI:
    """The probes; the application's lifespan is that of the gate and the snapshots."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.agencies = Agencies(kafka, every)
        async with app.state.agencies.running():
            yield

    app = FastAPI(lifespan=lifespan, openapi_url=None)

    @app.get("/live")
    async def live() -> Response:
        return JSONResponse({"alive": True})

    @app.get("/ready")
    async def ready() -> Response:
        reasons = await app.state.agencies.faults()
        return JSONResponse({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description="Pass on what agencies say and are answered; keep the snapshots.")
    parser.add_argument("--every", type=float, default=EVERY_SECONDS, help="seconds between snapshots (%(default)s)")
    options, kafka = asked_of(parser)
    settings = Settings()
    start_logs(settings, "agencies")
    config = uvicorn.Config(
        make_app(kafka, options.every),
        host=settings.host,
        port=settings.port or PORT,
        loop="asyncio",  # over uvloop, where there is one, a client of Kafka that speaks TLS waits for ever
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
