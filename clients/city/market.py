"""The simulated city: clerks, employers and workers who use the market as real ones do, through their client apps.

Employers post gigs near the points of their district; workers arrive at a market or station, check in, hear of an offer
on their live stream and answer it; who was placed works the shift, and the pay is confirmed. Everything goes over the
gateway. What the city knows it can lose: at the next start the same people sign in again.
"""

import asyncio
import contextlib
import math
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import httpx

from clients.city.client import Client, Journey, Refusal
from clients.city.people import People
from clients.city.places import City, District, Occupation, city

GIGS_AHEAD = (15, 90)
"""Minutes from the post to the start of the shift."""
SHIFT_MINUTES = (30, 60, 60, 120, 240)
PATIENCE = timedelta(minutes=4)
"""How long a worker waits at the market before going home."""
EARLY = timedelta(minutes=5)
CANCELS, DECLINES = 0.02, 0.12
HARDSHIP = ["older-jobseeker"]
CLERK_PASSWORD_LENGTH = 16


@dataclass(frozen=True)
class Pace:
    """How busy the city is: events a minute over all districts, and how many employers each district has."""

    check_ins: float = 40.0
    gigs: float = 10.0
    employers: int = 2
    seed: int = 2023


class Market:
    """One run of the city. `done` counts what happened, by name; `refused` what the market said no to, by code."""

    def __init__(self, gateway: str, sms: str, operator_password: str, pace: Pace) -> None:
        self.gateway, self.sms, self.pace = gateway, sms, pace
        self.done: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self._operator_password = operator_password
        self._random = Random(pace.seed)
        self._people = People(pace.seed)
        self._city: City = city()
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(20, connect=5),
            limits=httpx.Limits(max_connections=400, max_keepalive_connections=100),
        )
        self._busy: set[int] = set()
        self._workers: dict[int, Client] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Set up clerks and employers, then live until cancelled."""
        clerk = await self._clerk()
        employers = [
            (district, n)
            for n, district in enumerate(d for d in self._city.districts for _ in range(self.pace.employers))
        ]
        async with asyncio.TaskGroup() as group:
            for district, n in employers:
                group.create_task(self._employer(clerk, district, n))
            group.create_task(self._arrivals())

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.aclose()

    def _client(self, journey: Journey | None = None) -> Client:
        return Client(self._http, self.gateway, sms=self.sms, journey=journey)

    # --- the counter ---------------------------------------------------------------------------------------------

    async def _clerk(self) -> Client:
        """A clerk for all districts of the city, made by the operator at the first start."""
        clerk = self._client()
        name, password = "city-clerk", f"clerk-{self._operator_password[:CLERK_PASSWORD_LENGTH]}"
        operator = self._client()
        await operator.sign_in_by_password("operator", self._operator_password)
        try:
            districts = [district.code for district in self._city.districts]
            await operator.post("identity/clerks", username=name, password=password, districts=districts)
        except Refusal as refusal:
            if refusal.status != 409:
                raise
        await clerk.sign_in_by_password(name, password)
        return clerk

    # --- employers -----------------------------------------------------------------------------------------------

    async def _employer(self, clerk: Client, district: District, n: int) -> None:
        firm = self._people.employer(n)
        app = self._client()
        await asyncio.sleep(self._random.uniform(0, 5))
        await app.sign_in(firm.phone, "employer")
        me = await app.put(
            "posting/employers/me",
            name=firm.name,
            credit_code=firm.credit_code,
            contact_name=self._people.worker(n).name,
            licence_no=firm.credit_code,
            district=district.code,
        )
        if me["status"] != "verified":
            await clerk.post(f"posting/employers/{app.account_id}/verification", approved=True)
        self.done["employers"] += 1
        between = 60 * self.pace.employers * len(self._city.districts) / self.pace.gigs
        while True:
            await asyncio.sleep(self._random.expovariate(1 / between))
            app.journey = Journey()
            with self._expecting():
                await app.post("posting/gigs", **self._gig(district))
                self.done["gigs"] += 1

    def _gig(self, district: District) -> dict[str, Any]:
        random = self._random
        occupation: Occupation = random.choice(self._city.occupations)
        band = self._city.band(district.code, occupation.code)
        point = random.choice(district.points)
        start = _now() + timedelta(minutes=random.uniform(*GIGS_AHEAD))
        end = start + timedelta(minutes=random.choice(SHIFT_MINUTES))
        lat, lon = _near(random, point.at, 1_500)
        return {
            "district": district.code,
            "title": f"{occupation.name}（{point.name.removesuffix('零工市场').removesuffix('零工驿站')}）",
            "occupation": occupation.code,
            "content": f"{occupation.name}，按班次上岗，现场有人带班，饮水和工具由用工方提供。",
            "place": {"lat": lat, "lon": lon, "address": f"{district.name}{point.name}附近（模拟）"},
            "period": {"start": start.isoformat(), "end": end.isoformat()},
            "headcount": random.choice((1, 1, 2, 2, 3, 4, 6)),
            "pay": {"amount_fen": random.randrange(band.low, band.high + 1, 50), "unit": "hour", "mode": "same-day"},
            "skills": [occupation.skill] if random.random() < 0.3 else [],
            "certificates": [],
            "meals": random.random() < 0.4,
            "lodging": random.random() < 0.1,
            "night_work": False,
            "hiring": "instant",
            "valid_until": start.isoformat(),
        }

    # --- workers -------------------------------------------------------------------------------------------------

    async def _arrivals(self) -> None:
        while True:
            await asyncio.sleep(self._random.expovariate(self.pace.check_ins / 60))
            n = self._someone_free()
            self._busy.add(n)
            task = asyncio.create_task(self._visit(n))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _someone_free(self) -> int:
        while True:
            n = self._random.randrange(6_000)
            if n not in self._busy:
                return n

    async def _visit(self, n: int) -> None:
        """One worker's visit: in, an offer, an answer, the shift, and home."""
        try:
            with self._expecting():
                app = await self._worker(n)
                app.journey = Journey()
                placement = await self._wait_for_work(app, n)
                if placement:
                    await self._work(app, placement)
        finally:
            self._busy.discard(n)

    async def _worker(self, n: int) -> Client:
        """A signed-in, registered worker, with a contact point."""
        known = self._workers.get(n)
        if known:
            return known
        person, random = self._people.worker(n), Random(f"{self.pace.seed}/{n}")
        app = self._client()
        await app.sign_in(person.phone, "worker")
        home = random.choice(self._city.districts)
        skills = random.sample([occupation.skill for occupation in self._city.occupations], random.randint(2, 6))
        await app.post(
            "workers/registration",
            name=person.name,
            id_number=person.id_number,
            district=home.code,
            skills=skills,
            certificates=[],
            floor_fen_per_hour=random.choice((0, 1500, 1800, 2000, 2200)),
            reach_m=random.choice((3_000, 5_000, 8_000, 15_000)),
            hardship=HARDSHIP if person.born.year < 1974 and random.random() < 0.7 else [],
            accepts_automatically=False,
            consent=True,
        )
        await app.put("notify/contact", channel="sms", address=person.phone, language="zh", consent=True)
        self._workers[n] = app
        self.done["registered"] += 1
        return app

    async def _wait_for_work(self, app: Client, n: int) -> str | None:
        """Check in and answer offers until placed or out of patience; the placement's id, if there is one."""
        random = self._random
        home = Random(f"{self.pace.seed}/{n}").choice(self._city.districts)
        point = random.choice(home.points)
        lat, lon = _near(random, point.at, 400)
        async with app.stream() as messages:
            here = await app.post("workers/check-ins", districts=[home.code], position={"lat": lat, "lon": lon})
            self.done["check-ins"] += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE.total_seconds()):
                    async for message in messages:
                        if message["kind"] == "offer-made":
                            placement = await self._answer(app, message["refs"]["offer_id"])
                            if placement:
                                return placement
        with contextlib.suppress(Refusal):
            await app.post(f"workers/check-ins/{here['checkin_id']}/end")
        self.done["went home"] += 1
        return None

    async def _answer(self, app: Client, offer_id: str) -> str | None:
        await asyncio.sleep(self._random.uniform(0.5, 6))  # a person reads before answering
        if self._random.random() < DECLINES:
            await app.post(f"matching/offers/{offer_id}/decline")
            self.done["declined"] += 1
            return None
        try:
            placed = await app.post(f"matching/offers/{offer_id}/accept")
        except Refusal as refusal:
            if refusal.status == 409:
                self.refused[refusal.code] += 1
                return None
            raise
        self.done["placements"] += 1
        return str(placed["placement_id"])

    async def _work(self, app: Client, placement_id: str) -> None:
        """Start and end the shift at their times, and see the pay arrive."""
        if self._random.random() < CANCELS:
            await app.post(f"matching/placements/{placement_id}/cancel")
            self.done["cancelled"] += 1
            return
        placement = await app.get(f"matching/placements/{placement_id}")
        start, end = (datetime.fromisoformat(placement["terms"]["period"][edge]) for edge in ("start", "end"))
        await _until(start - EARLY)
        await app.post(f"rights/shifts/{placement_id}/start")
        await _until(end)
        await app.post(f"rights/shifts/{placement_id}/end")
        self.done["shifts"] += 1
        await asyncio.sleep(self._random.uniform(20, 120))
        await app.post(f"rights/pay/{placement_id}/confirm")
        self.done["paid"] += 1

    @contextlib.contextmanager
    def _expecting(self) -> Any:
        """A person who is refused or cut off shrugs and comes back another time; the city goes on."""
        try:
            yield
        except Refusal as refusal:
            self.refused[f"{refusal.status} {refusal.code}"] += 1
        except (httpx.HTTPError, TimeoutError) as error:
            self.refused[type(error).__name__] += 1


def _now() -> datetime:
    return datetime.now(UTC)


async def _until(moment: datetime) -> None:
    await asyncio.sleep(max(0.0, (moment - _now()).total_seconds()))


def _near(random: Random, at: tuple[float, float], metres: float) -> tuple[float, float]:
    """A position within so many metres, evenly over the circle."""
    angle, away = random.uniform(0, 2 * math.pi), metres * math.sqrt(random.random())
    lat = at[0] + away * math.cos(angle) / 111_320
    return round(lat, 6), round(at[1] + away * math.sin(angle) / (111_320 * math.cos(math.radians(at[0]))), 6)
