"""Two ways into the market: by the log, as if posting and workers had said it, and by the gateway, as apps do."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from types import TracebackType
from typing import Any, Protocol, Self

import aiohttp
import orjson
from aiokafka import AIOKafkaProducer
from pydantic import SecretStr
from pymongo import AsyncMongoClient

from bench.burst import say
from bench.placements.city import SEATS, City, District, form
from clients.city.people import People, credit_code, id_number
from deploy.local.stack import Stack
from services.identity.keys import access_token
from services.identity.store import Account
from services.posting.store import Gig
from services.workers.store import Presence
from shared import clock
from shared.auth import Role
from shared.contracts import Event
from shared.contracts.posting import GigPosted
from shared.contracts.workers import WorkerCheckedIn
from shared.sealed import Sealer
from shared.settings import Settings
from shared.store import Store, connect
from shared.unit import Document

AT_ONCE = 32
"""Requests that an app's users have on the way at a time, while they register."""

EMPLOYERS = 60
PATIENCE_SECONDS = 60.0


class Refused(Exception):
    """The market said no: the method, the path, the status and the body."""


class Door(Protocol):
    async def bring(self, seats: int) -> int:
        """Bring about so many seats, and as many people for them; how many it were."""

    async def offered(self, worker_id: str, offer_id: str) -> None:
        """Somebody was made an offer."""


class Log:
    """What posting and workers would have written and said. Nobody has asked them: HTTP is not in it.

    They remember each gig and each check-in, and have the same to do with a placement as of a gig that was posted.
    """

    def __init__(self, stack: Stack, producer: AIOKafkaProducer, city: City) -> None:
        self._producer, self._city = producer, city
        self._mongo: AsyncMongoClient[dict[str, Any]] = connect(stack.mongo_url)

    async def bring(self, seats: int) -> int:
        brought = [self._city.next() for _ in range(-(-seats // SEATS))]
        people = [person for each in brought for person in each.people]
        await self._say([gig for gig, _ in brought], people)
        return len(people)

    async def post(self, gig: GigPosted) -> None:
        """One gig, without people for it."""
        await self._say([gig], [])

    async def _say(self, gigs: Sequence[GigPosted], people: Sequence[WorkerCheckedIn]) -> None:
        now = clock.now()
        kept = [Gig(id=gig.gig_id, district=gig.district, terms=gig.terms, posted_at=now) for gig in gigs]
        await self._plant("posting", Gig.collection, kept)
        await self._plant("workers", Presence.collection, [_presence(person) for person in people])
        said: list[Event] = [*gigs, *people]
        await say(self._producer, said)

    async def offered(self, worker_id: str, offer_id: str) -> None: ...

    async def close(self) -> None:
        await self._mongo.close()

    async def _plant(self, service: str, collection: str, documents: Sequence[Document]) -> None:
        rows = [document.to_mongo() | {"version": 1} for document in documents]
        if rows:
            await self._mongo[service][collection].insert_many(rows, ordered=False)


def _presence(person: WorkerCheckedIn) -> Presence:
    return Presence(
        id=person.worker_id,
        checkin_id=person.checkin_id,
        districts=[person.district],
        cell=person.cell,
        station_id=None,
        at=person.at,
        until=person.until,
        clerk_id=None,
    )


class Gateway:
    """Employers who post, workers who check in and accept what they are offered, each act a request at the gateway.

    Their tokens are signed beforehand with identity's key, and they register before anything is measured. That
    somebody was made an offer is heard from the log.
    """

    def __init__(self, stack: Stack, city: City) -> None:
        self._stack, self._city, self._people = stack, city, People(7)
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
        )
        self._tokens: dict[str, str] = {}
        self._employers: list[str] = []
        self._idle: list[tuple[str, District]] = []
        self._homes: dict[str, list[str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.said_no: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.close()

    # --- who is there ------------------------------------------------------------------------------------------------

    async def sign_in(self, accounts: Mapping[str, Role]) -> None:
        """Tokens for these accounts."""
        settings = Settings(secret=SecretStr(self._stack.environment("identity")["KUAIZHAO_SECRET"]))
        client = connect(self._stack.mongo_url)
        try:
            unit, sealer = Store(client, "identity", source="bench").reading(), Sealer(settings, "identity")
            for id, role in accounts.items():
                districts = [district.code for district in self._city.districts] if role == "clerk" else []
                account = Account(id=id, login=id, role=role, made_at=unit.now, districts=districts)
                self._tokens[id] = await access_token(unit, account, settings, sealer)
        finally:
            await client.close()

    async def open(self, workers: int) -> None:
        """Register employers, whom a clerk verifies, and so many workers, who live in the districts as all comes."""
        self._employers = [f"firm-{n}" for n in range(EMPLOYERS)]
        homes = {f"person-{n}": self._city.draw() for n in range(workers)}
        roles: dict[str, Role] = {"clerk": "clerk"}
        roles.update((id, "employer") for id in self._employers)
        roles.update((id, "worker") for id in homes)
        await self.sign_in(roles)
        await self._each(self._employ(n, id) for n, id in enumerate(self._employers))
        await self._each(self.register(n, id, district) for n, (id, district) in enumerate(homes.items()))
        for id, district in homes.items():
            self._homes.setdefault(district.code, []).append(id)

    async def _each(self, work: Iterable[Any]) -> None:
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(each: Any) -> None:
            async with turns:
                await each

        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(one(each))

    async def _employ(self, number: int, id: str) -> None:
        code = credit_code(f"{number:08d}")
        about = {"name": self._people.employer(number).name, "credit_code": code, "licence_no": code}
        district = self._city.districts[0].code
        await self.call(id, "PUT", "posting/employers/me", contact_name="甲一", district=district, **about)
        await self.call("clerk", "POST", f"posting/employers/{id}/verification", approved=True)

    async def register(self, number: int, id: str, district: District, **profile: Any) -> None:
        born = date(1970, 1, 1) + timedelta(days=number % 9_000)
        draft: dict[str, Any] = {
            "name": "乙二",
            "id_number": id_number(born, 1 + number // 9_000),
            "district": district.code,
            "reach_m": 10_000,
            "floor_fen_per_hour": 1_900,
            "consent": True,
        }
        await self.call(id, "POST", "workers/registration", **draft | profile)

    # --- what they do ------------------------------------------------------------------------------------------------

    async def bring(self, seats: int) -> int:
        brought = 0
        while brought < seats:
            district = self._city.draw()
            home = self._homes.get(district.code, [])
            if len(home) < SEATS:
                if not any(len(people) >= SEATS for people in self._homes.values()):
                    raise Refused("everybody has work: more workers are needed for this load")
                continue
            self._do(self._open_seats(district, [home.pop() for _ in range(SEATS)]))
            brought += SEATS
        return brought

    async def _open_seats(self, district: District, people: Sequence[str]) -> None:
        employer = self._city.chance.choice(self._employers)
        await self.call(employer, "POST", "posting/gigs", **form(self._city, district, SEATS))
        await asyncio.gather(*(self.check_in(id, district) for id in people))

    async def check_in(self, id: str, district: District) -> None:
        lat, lon = self._city.near(district)
        await self.call(id, "POST", "workers/check-ins", districts=[district.code], position={"lat": lat, "lon": lon})

    async def offered(self, worker_id: str, offer_id: str) -> None:
        if worker_id in self._tokens:
            self._do(self._accept(worker_id, offer_id))

    async def _accept(self, worker_id: str, offer_id: str) -> None:
        await self.call(worker_id, "POST", f"matching/offers/{offer_id}/accept")

    def _do(self, work: Any) -> None:
        async def one() -> None:
            try:
                await work
            except Refused as refused:
                self.said_no[str(refused)] += 1
            except (aiohttp.ClientError, TimeoutError) as error:
                self.said_no[type(error).__name__] += 1

        task = asyncio.create_task(one())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def call(self, who: str, method: str, path: str, **body: Any) -> Any:
        """The answer's body. Raises `Refused`."""
        headers = {
            "authorization": f"Bearer {self._tokens[who]}",
            "idempotency-key": clock.new_id(),
            "content-type": "application/json",
        }
        address = f"{self._stack.gateway}/api/{path}"
        async with self._http.request(method, address, data=orjson.dumps(body), headers=headers) as answer:
            content = await answer.read()
            if answer.status >= 400:
                problem = orjson.loads(content) if content.startswith(b"{") else {}
                what = f"{problem.get('code', '')} {[fault.get('field') for fault in problem.get('errors', [])]}"
                raise Refused(f"{method} {path.split('/')[0]}: {answer.status} {what}")
            return orjson.loads(content) if content else None

    def stream(self, who: str) -> Any:
        """The live stream of somebody's messages, as aiohttp has an answer that goes on."""
        headers = {"authorization": f"Bearer {self._tokens[who]}", "accept": "text/event-stream"}
        return self._http.get(
            f"{self._stack.gateway}/api/notify/stream", headers=headers, timeout=aiohttp.ClientTimeout(total=None)
        )
