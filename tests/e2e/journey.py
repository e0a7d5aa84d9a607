"""The article's parcel sorter, from the employer's office to the message on her phone, over the gateway alone."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx

from clients.city.client import Client, Journey
from clients.city.people import People, credit_code, id_number

DISTRICT, PLACE = "430111", {"lat": 28.112, "lon": 113.020, "address": "雨花区某分拨中心（虚构）"}
SORTER, SKILL = "4-02-07-09", "parcel-sorting"
PATIENCE = 180.0


async def eventually(ask: Callable[[], Awaitable[Any]], what: str) -> Any:
    """What `ask` returns once it is true; the bound only keeps a broken build from hanging."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not (found := await ask()):  # noqa: ASYNC110 - other processes are waited for
                await asyncio.sleep(0.05)
            return found
    except TimeoutError:
        raise AssertionError(f"never happened: {what}") from None


@dataclass
class Story:
    """One market with the people of one story; `n` makes them other people than those of another story.

    Each step may be taken while a service is being killed: clients repeat what got no answer.
    """

    gateway: str
    web: str
    operator_password: str
    n: int = 0
    journey: Journey = field(default_factory=Journey)
    gig_id: str = ""
    offer_id: str = ""
    placement_id: str = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Story"]:
        async with httpx.AsyncClient(timeout=30) as self.http:
            self.operator, self.clerk, self.employer, self.worker = (self._client() for _ in range(4))
            yield self

    def _client(self) -> Client:
        return Client(self.http, self.gateway, sms=f"{self.web}/sms", journey=self.journey)

    async def verify_employer(self) -> None:
        """The operator makes a clerk; an employer registers its business; the clerk checks it."""
        await self.operator.sign_in_by_password("operator", self.operator_password)
        name, password = f"clerk-{self.n}", "correct-horse-battery-staple"
        await self.operator.post("identity/clerks", username=name, password=password, districts=[DISTRICT])
        await self.clerk.sign_in_by_password(name, password)
        await self.employer.sign_in(People(1).employer(self.n).phone, "employer")
        me = await self.employer.put(
            "posting/employers/me",
            name="雨花分拨中心（虚构）",
            credit_code=credit_code(f"{self.n:08d}"),
            contact_name="甲一",
            licence_no=credit_code(f"{self.n:08d}"),
            district=DISTRICT,
        )
        assert me["status"] == "pending"
        await self.clerk.post(f"posting/employers/{self.employer.account_id}/verification", approved=True)
        assert (await self.employer.get("posting/employers/me"))["status"] == "verified"

    async def register_worker(self) -> None:
        """A jobseeker of 56 years registers under her real name, with a hardship tier and a phone to be told on."""
        phone = People(1).worker(self.n).phone
        await self.worker.sign_in(phone, "worker")
        number = id_number(date(1970, 5, 4), 2 * self.n + 2)
        me = await self.worker.post(
            "workers/registration",
            name="乙二",
            id_number=number,
            district=DISTRICT,
            skills=[SKILL],
            certificates=[],
            floor_fen_per_hour=1_800,
            reach_m=8_000,
            hardship=["older-jobseeker"],
            accepts_automatically=False,
            consent=True,
        )
        assert me["worker_id"] == self.worker.account_id
        assert me["tier"] >= 1
        await self.worker.put("notify/contact", channel="sms", address=phone, language="en", consent=True)

    async def post_gig(self, *, headcount: int = 1, in_hours: float = 2) -> None:
        start = datetime.now(UTC) + timedelta(hours=in_hours)
        gig = await self.employer.post(
            "posting/gigs",
            district=DISTRICT,
            title="快件分拣员（临时）",
            occupation=SORTER,
            content="夜间到件分拣，带班培训十分钟后上岗，提供饮水和手套。",
            place=PLACE,
            period={"start": start.isoformat(), "end": (start + timedelta(hours=4)).isoformat()},
            headcount=headcount,
            pay={"amount_fen": 2_300, "unit": "hour", "mode": "same-day"},
            skills=[SKILL],
            certificates=[],
            meals=True,
            lodging=False,
            night_work=False,
            hiring="instant",
            valid_until=start.isoformat(),
        )
        self.gig_id = gig["gig_id"]

    async def check_in(self) -> None:
        await self.worker.post("workers/check-ins", districts=[DISTRICT], position={"lat": 28.120, "lon": 113.015})

    async def hear_offer(self, messages: AsyncIterator[dict[str, Any]]) -> None:
        """Wait on the live stream until the gig is offered."""
        async with asyncio.timeout(PATIENCE):
            async for message in messages:
                if message["kind"] == "offer-made" and message["refs"]["gig_id"] == self.gig_id:
                    self.offer_id = message["refs"]["offer_id"]
                    return
        raise AssertionError("the live stream ended without an offer")

    async def find_offer(self) -> None:
        """The same without the stream: ask for one's offers."""

        async def mine() -> Any:
            offers = (await self.worker.get("matching/offers"))["items"]
            return next((offer["offer_id"] for offer in offers if offer["gig_id"] == self.gig_id), None)

        self.offer_id = await eventually(mine, "an offer")

    async def accept(self) -> None:
        placed = await self.worker.post(f"matching/offers/{self.offer_id}/accept")
        assert placed["status"] == "placed"
        self.placement_id = placed["placement_id"]

    async def see_agreement(self) -> dict[str, Any]:
        """The agreement, its hash checked by us, and the insurance that covers the whole shift once it is confirmed."""

        async def theirs() -> Any:
            found = (await self.worker.get("rights/agreements"))["items"]
            insured = (item for item in found if item["insurance"]["status"] != "pending")
            return next((item for item in insured if item["placement_id"] == self.placement_id), None)

        agreement: dict[str, Any] = await eventually(theirs, "an agreement with the insurer's word")
        assert hashlib.sha256(agreement["document"].encode()).hexdigest() == agreement["sha256"]
        assert agreement["insurance"]["status"] == "active"
        assert agreement["insurance"]["covers"] == agreement["terms"]["period"]
        return agreement

    async def see_notice(self) -> None:
        """The placement's message stands in the app and came to the phone, once each."""

        async def told() -> Any:
            items = (await self.worker.get("notify/messages"))["items"]
            return [item for item in items if item["kind"] == "placement-made"]

        in_app = await eventually(told, "a message in the app")
        assert len(in_app) == 1

        async def texted() -> list[str]:
            answer = await self.http.get(f"{self.web}/sms", params={"to": People(1).worker(self.n).phone})
            return [sms["text"] for sms in answer.json() if in_app[0]["text"] in sms["text"]]

        assert len(await eventually(texted, "an SMS")) == 1

    async def trace(self) -> dict[str, Any]:
        """The journey's trace, once no span of it hangs in the air and the notice's is there."""
        address = f"{self.web}/live/traces/{self.journey.trace_id}"

        async def whole() -> Any:
            answer = await self.http.get(address)
            view = answer.json()
            complete = answer.status_code == 200 and view["whole"] and not missing_edges(view)
            return view if complete else None

        try:
            return dict(await eventually(whole, "a whole trace"))
        except AssertionError:
            view = (await self.http.get(address)).json()
            raise AssertionError(
                f"the trace is broken: whole={view.get('whole')}, missing {missing_edges(view)}"
            ) from None


EDGES = [
    ("gateway", "posting"),
    ("posting", "matching"),
    ("gateway", "workers"),
    ("workers", "matching"),
    ("matching", "notify"),
    ("gateway", "matching"),
    ("matching", "rights"),
    ("rights", "notify"),
]
"""Where the journey passes from one process to the next: by HTTP behind the gateway, by Kafka elsewhere."""


def missing_edges(view: dict[str, Any]) -> list[tuple[str, str]]:
    """Edges of the journey over which no span has its parent."""
    spans = {span["span_id"]: span for span in view.get("spans", ())}
    seen = {(spans[span["parent"]]["service"], span["service"]) for span in spans.values() if span["parent"] in spans}
    return [edge for edge in EDGES if edge not in seen]
