"""What a process says of itself: to a rollout, to whoever sends it requests, to Prometheus."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from fastapi import APIRouter
from prometheus_client import REGISTRY

from shared import clock
from shared.backlog import measure
from shared.reactions import Reactions
from shared.service import Service
from shared.settings import Settings
from shared.store import connect
from shared.testing import SECRET

NOWHERE = "127.0.0.1:1"
NO_BROKER, NO_DATABASE = f"no broker answers at {NOWHERE}", "waiting for database"


@asynccontextmanager
async def running(mongo_url: str, database: str = "probes") -> AsyncIterator[httpx.AsyncClient]:
    """A service without a broker."""
    service = Service("probes", reactions=Reactions(), routes=APIRouter(), documents=())
    settings = Settings(mongo_url=mongo_url, database=database, kafka=NOWHERE, secret=SECRET)
    app = service.app(settings)
    async with app.router.lifespan_context(app):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://probes") as http:
            yield http


async def eventually(http: httpx.AsyncClient, path: str, *reasons: str) -> int:
    """The status with which it gives reasons that begin so, once it does."""
    async with asyncio.timeout(60):
        while True:
            answer = await http.get(path)
            said = answer.json()["reasons"]
            if len(said) == len(reasons) and all(map(str.startswith, said, reasons)):
                return answer.status_code
            await asyncio.sleep(0.02)


async def test_without_kafka_it_does_no_work_and_answers_requests(mongo_url: str) -> None:
    async with running(mongo_url) as http:
        assert await eventually(http, "/ready", NO_BROKER) == 503
        assert await eventually(http, "/ready?for=requests") == 200
        assert (await http.get("/live")).status_code == 200
        assert (await http.get("/ready?for=fun")).status_code == 422


async def test_without_its_database_it_answers_no_requests() -> None:
    async with running(f"mongodb://{NOWHERE}/?replicaSet=rs0&serverSelectionTimeoutMS=100") as http:
        assert await eventually(http, "/ready?for=requests", NO_DATABASE) == 503
        assert await eventually(http, "/ready", NO_DATABASE, "waiting for kafka") == 503
        assert (await http.get("/live")).status_code == 200


async def test_figures_come_in_both_formats(mongo_url: str) -> None:
    async with running(mongo_url) as http:
        plain = await http.get("/metrics")
        assert plain.headers["content-type"].startswith("text/plain; version=")
        for kind in ("unreadable", "refused", "failed", "parked"):
            assert f'kuaizhao_dead_letters_total{{reason="{kind}",service="probes"}} 0.0' in plain.text
        openly = await http.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
        assert openly.headers["content-type"].startswith("application/openmetrics-text; version=")
        assert openly.text.endswith("# EOF\n")


@pytest.mark.parametrize("wrong_by", [0.0, 30.0, -30.0])
async def test_a_clock_that_is_wrong_is_told_by_how_much(mongo_url: str, wrong_by: float) -> None:
    clock.set_source(lambda: datetime.now(UTC) + timedelta(seconds=wrong_by))
    client = connect(mongo_url)
    try:
        await measure(client["probes"], "wrong")
    finally:
        clock.set_source(None)
        await client.close()
    told = REGISTRY.get_sample_value("kuaizhao_clock_skew_seconds", {"service": "wrong"})
    assert told == pytest.approx(wrong_by, abs=1.5)  # half of the longest round trip that is believed, and more
    assert REGISTRY.get_sample_value("kuaizhao_dead_letters_waiting", {"service": "wrong", "kind": "failed"}) == 0
