"""Telling people while a burst runs (F8), and warning all of them at once (F45), on one machine.

The burst is that of bench/burst.py, with notify and a provider of SMS beside matching, and everybody has opted in to
SMS. A person is told of an offer when the provider has taken it: `DeliveryMade` in the log, by the broker's clock.
"""

import asyncio
import random
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import httpx
from aiokafka import AIOKafkaConsumer
from pydantic import SecretStr

from bench.burst import (
    DISTRICT,
    MIDDLE,
    OPENINGS,
    PATIENCE_SECONDS,
    PEOPLE,
    all_known,
    listening,
    opening,
    p95,
    producing,
    say,
    summary,
    waiting,
)
from clients.city.client import Client
from deploy.local.ports import free_ports
from deploy.local.stack import Stack
from services.notify.store import Contact, Point
from shared import clock
from shared.contracts.matching import OfferMade
from shared.contracts.notify import DeliveryMade
from shared.sealed import Sealer
from shared.settings import Settings
from shared.store import connect

PARTS = ("identity", "matching", "notify", "web", "gateway")
QUIET_SECONDS = 5.0
RADIUS_M = 50_000
HEARD_AT_ONCE = 1_000
TOLD_SECONDS, WARNED_SECONDS = 5.0, 10.0


def tell(people: int = PEOPLE, openings: int = OPENINGS) -> bool:
    """Print how long after a post and after an offer people were told, and how long an alert takes to reach all.

    Whether both promises were kept, with nobody left out and nobody told twice.
    """
    told, warned = asyncio.run(_measured(people, openings))
    for promise, kept in {
        f"F8: of an offer within {TOLD_SECONDS:g} s (p95), each once": told,
        f"F45: of an alert within {WARNED_SECONDS:g} s": warned,
    }.items():
        print(f"{promise}{'' if kept else ': BROKEN'}", flush=True)
    return told and warned


async def _measured(people: int, openings: int) -> tuple[bool, bool]:
    chance = random.Random(1)
    with tempfile.TemporaryDirectory(prefix="kuaizhao-") as folder:
        stack = Stack(Path(folder), ports=free_ports(), parts=PARTS, say=lambda line: None)
        async with stack, producing(stack.kafka) as producer:
            await _opt_in(stack, people)
            await say(producer, [waiting(chance, n) for n in range(people)])
            await all_known(stack.mongo_url, "matching", "waiting", people)
            await all_known(stack.mongo_url, "notify", "presences", people)
            async with listening(stack.kafka, "matching.offer", "notify.delivery") as listener:
                posted = await say(producer, [opening(chance, str(n)) for n in range(openings)])
                told = await _told(listener, posted)
            return told, await _warned(stack, people)


async def _opt_in(stack: Stack, people: int) -> None:
    """Everybody's contact point, as PUT /api/notify/contact leaves it."""
    sealer = Sealer(Settings(secret=SecretStr(stack.environment("notify")["KUAIZHAO_SECRET"])), "notify")
    rows = []
    for number in range(people):
        worker, phone = f"worker-{number}", f"+861990{number:07d}"
        point = Point(
            channel="sms",
            sealed=sealer.seal(phone, subject=worker, field="address"),
            blind=sealer.blind(phone, field="address"),
            language="zh",
            consented_at=clock.now(),
        )
        rows.append(Contact(id=worker, points=[point]).to_mongo())
    client = connect(stack.mongo_url)
    try:
        await client["notify"][Contact.collection].insert_many(rows)
    finally:
        await client.close()


async def _told(listener: AIOKafkaConsumer, posted: dict[str, int]) -> bool:
    """Listen until nobody is offered anything any more, and whoever was has been told; whether that was in time."""
    offered: dict[str, tuple[int, str]] = {}
    told: dict[str, int] = {}
    twice, end, heard = 0, time.monotonic() + PATIENCE_SECONDS, time.monotonic()
    while time.monotonic() < end and (time.monotonic() < heard + QUIET_SECONDS or offered.keys() - told.keys()):
        for records in (await listener.getmany(timeout_ms=200, max_records=HEARD_AT_ONCE)).values():
            heard = time.monotonic()
            for record in records:
                kind = dict(record.headers)["ce_type"].decode()
                if kind == OfferMade.type:
                    made = OfferMade.model_validate_json(record.value)
                    if made.gig_id in posted:
                        offered[made.offer_id] = (record.timestamp, made.gig_id)
                elif kind == DeliveryMade.type:
                    offer = DeliveryMade.model_validate_json(record.value).about.removeprefix("offer-made:")
                    twice += offer in told
                    told[offer] = record.timestamp
    known = [(told[offer], at, posted[gig]) for offer, (at, gig) in offered.items() if offer in told]
    after_offer = [(end - offer) / 1_000 for end, offer, _ in known]
    print(
        f"told in a burst: {len(offered)} offers of {len(posted)} openings; "
        f"after the offer {summary(after_offer)}; "
        f"after the post {summary((end - post) / 1_000 for end, _, post in known)}; "
        f"not told: {len(offered) - len(known)}, twice: {twice}",
        flush=True,
    )
    return bool(known) and len(known) == len(offered) and not twice and p95(after_offer) <= TOLD_SECONDS


async def _warned(stack: Stack, people: int) -> bool:
    """A clerk raises an alert over everybody who waits; whether all have it in time."""
    async with httpx.AsyncClient(timeout=30) as http:
        operator, clerk = (Client(http, stack.gateway, sms=f"{stack.url('web')}/sms") for _ in range(2))
        await operator.sign_in_by_password("operator", stack.operator_password)
        password = "correct-horse-battery-staple"  # noqa: S105 - of a market that lives for a minute
        await operator.post("identity/clerks", username="clerk-1", password=password, districts=[DISTRICT])
        await clerk.sign_in_by_password("clerk-1", password)
        since = time.monotonic()
        await clerk.post(
            "notify/alerts",
            kind="safety",
            district=DISTRICT,
            lat=MIDDLE[0],
            lon=MIDDLE[1],
            radius_m=RADIUS_M,
            zh="今夜有暴雨，请注意安全。",
            en="Heavy rain tonight. Take care.",
            until=(clock.now() + timedelta(hours=1)).isoformat(),
        )
        await all_known(stack.mongo_url, "notify", "messages", people, kind="alert-raised")
        seconds = time.monotonic() - since
        print(f"an alert reaches all of {people} people nearby, in their messages: {seconds:.1f} s", flush=True)
        return seconds <= WARNED_SECONDS
