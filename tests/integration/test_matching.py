"""500 workers want the 10 seats of one gig at once, over HTTP, from two replicas of matching (FEATURES F2)."""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import h3
import httpx
import pytest
import uvicorn
from aiokafka import AIOKafkaProducer
from fastapi import FastAPI

from deploy.local.ports import free_ports
from deploy.topics import provision
from shared import clock
from shared.broker import Broker
from shared.contracts import Event
from shared.contracts.matching import PlacementMade
from shared.contracts.posting import GigPosted, GigTerms
from shared.contracts.terms import Pay, PayMode, PayUnit, Period, Place
from shared.contracts.workers import WorkerCheckedIn, WorkerProfile
from shared.rulebook import RuleVersion
from shared.settings import Settings
from shared.store import connect
from shared.testing import SECRET, public_keys, token
from shared.unit import outbox_row
from tests.e2e.journey import eventually
from tests.integration.test_delivery import ends, read_all

DISTRICT = "430104"
SEATS, WANTING = 10, 500


@dataclass
class Market:
    """Two matching processes on a database of their own."""

    replicas: list[str]
    producer: AIOKafkaProducer
    db: Any
    kafka: str
    begin: dict[Any, int]
    processes: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def say(self, *events: Event) -> None:
        for event in events:
            row = outbox_row(event, clock.new_id(), 1, "test", clock.now(), {})
            headers = [(name, value.encode()) for name, value in row.headers.items()]
            await self.producer.send(row.topic, row.body, key=row.key, headers=headers)
        await self.producer.flush()


@asynccontextmanager
async def key_server() -> AsyncIterator[str]:
    """Stands in for identity: the public half of the key that `token` signs with."""
    app, port = FastAPI(), free_ports(["keys"])["keys"]
    app.get("/keys")(public_keys)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None))
    serving = asyncio.create_task(server.serve())
    yield f"http://127.0.0.1:{port}/keys"
    server.should_exit = True
    await serving


@pytest.fixture
async def market(kafka: str, mongo_url: str) -> AsyncIterator[Market]:
    await provision(Broker(kafka))
    database = f"test_crowd_{os.getpid()}"
    client, producer = connect(mongo_url), AIOKafkaProducer(bootstrap_servers=kafka, acks="all")
    async with AsyncExitStack() as stack:
        jwks = await stack.enter_async_context(key_server())
        await producer.start()
        stack.push_async_callback(producer.stop)
        stack.push_async_callback(client.close)
        stack.push_async_callback(client.drop_database, database)
        ports = free_ports(["one", "two"]).values()
        begin: dict[Any, int] = {}
        for topic in ("posting.gig", "workers.presence", "workers.worker", "matching.placement"):
            begin |= await ends(kafka, topic)
        fences = [{"_id": f"matching:{place.topic}:{place.partition}", "next": at} for place, at in begin.items()]
        await client[database]["_fences"].insert_many(fences)
        made = Market([f"http://127.0.0.1:{port}" for port in ports], producer, client[database], kafka, begin)
        for port in ports:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "shared.run", "matching"),
                env={
                    **os.environ,
                    "KUAIZHAO_KAFKA": kafka,
                    "KUAIZHAO_MONGO_URL": mongo_url,
                    "KUAIZHAO_SECRET": SECRET,
                    "KUAIZHAO_DATABASE": database,
                    "KUAIZHAO_JWKS_URL": jwks,
                    "KUAIZHAO_PORT": str(port),
                },
                stdout=asyncio.subprocess.DEVNULL,
            )
            made.processes.append(process)
        yield made
        for process in made.processes:
            process.send_signal(signal.SIGTERM)
        await asyncio.gather(*(process.wait() for process in made.processes))


async def ready(http: httpx.AsyncClient, replica: str) -> bool:
    try:
        return (await http.get(f"{replica}/ready")).status_code == 200
    except httpx.TransportError:
        return False


def gig() -> GigPosted:
    now = clock.now()
    return GigPosted(
        gig_id=f"crowd-{clock.new_id()}",
        district=DISTRICT,
        terms=GigTerms(
            employer_id="hub",
            employer_name="岳麓分拨中心（虚构）",
            title="快件分拣员",
            occupation="4-02-07-09",
            content="夜间到件分拣。",
            place=Place(lat=28.212, lon=112.913, address="岳麓区某分拨中心（虚构）"),
            period=Period(start=now + timedelta(hours=5), end=now + timedelta(hours=9)),
            headcount=SEATS,
            pay=Pay(amount_fen=2500, unit=PayUnit.hour, mode=PayMode.same_day),
            valid_until=now + timedelta(hours=5),
        ),
    )


def waiting(n: int) -> WorkerCheckedIn:
    checkin = clock.new_id()
    return WorkerCheckedIn(
        presence_id=f"{checkin}:{DISTRICT}",
        checkin_id=checkin,
        worker_id=f"worker-{n}-{checkin}",
        district=DISTRICT,
        cell=h3.latlng_to_cell(28.210, 112.910, 9),
        profile=WorkerProfile(reach_m=100_000),
        at=clock.now(),
        until=clock.now() + timedelta(hours=12),
    )


async def test_500_accepts_for_10_seats_give_10_placements(market: Market) -> None:
    async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=600)) as http:
        await asyncio.gather(
            *(eventually(partial(ready, http, replica), f"{replica} ready") for replica in market.replicas)
        )
        rules = await generous(market)
        people, wanted = [waiting(n) for n in range(WANTING)], gig()
        await market.say(*people, wanted)
        offers = market.db["offers"]

        async def all_offered() -> bool:
            return bool(await offers.count_documents({"gig_id": wanted.gig_id}) == WANTING)

        await eventually(all_offered, f"{WANTING} offers under rules {rules}")
        made = await offers.find({"gig_id": wanted.gig_id}).to_list()
        settings = Settings()

        async def accept(n: int, offer: dict[str, Any]) -> httpx.Response:
            address = f"{market.replicas[n % 2]}/api/matching/offers/{offer['_id']}/accept"
            bearer = {"authorization": f"Bearer {token(offer['worker_id'], 'worker', settings)}"}
            while True:  # as clients do: a call that had no answer is sent again
                with suppress(httpx.TransportError):
                    return await http.post(address, headers=bearer)

        answers = await asyncio.gather(*(accept(n, offer) for n, offer in enumerate(made)))
        assert Counter(answer.status_code for answer in answers) == {200: SEATS, 409: WANTING - SEATS}
        assert {answer.json()["code"] for answer in answers if answer.status_code == 409} <= {"gig-full", "offer-ended"}
        seats = [answer.json()["seat"] for answer in answers if answer.status_code == 200]
        assert sorted(seats) == sorted(set(seats))
        assert await market.db["placements"].count_documents({"gig_id": wanted.gig_id}) == SEATS

        async def said() -> bool:
            return not await market.db["_outbox"].count_documents({})

        await eventually(said, "all placements published")
        log = await read_all(market.kafka, "matching.placement", market.begin)
        said_ids = {
            PlacementMade.model_validate_json(record.value).placement_id
            for record in log
            if dict(record.headers)["ce_type"].decode() == PlacementMade.type
        }
        assert len(said_ids) == SEATS


async def generous(market: Market) -> str:
    """Rules for this district under which all 500 are offered the 10 seats at once."""
    version = RuleVersion(
        id="1",
        area=DISTRICT,
        number=1,
        since=clock.now(),
        changes={"exposure": 50, "offer_seconds": 3_600},
        reason="a crowd",
        by="operator-1",
        at=clock.now(),
    )
    await market.db["rules"].insert_one(version.to_mongo())
    return f"default-4+{DISTRICT}.1"
