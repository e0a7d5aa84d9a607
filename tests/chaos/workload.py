"""A small, crowded market: employers and workers as client apps, who send a command again until they hear how it ended.

A few gigs are wanted by everybody, most by few; shifts meet, touch and overlap; offers are accepted twice at once, gigs
amended and closed under the hands of those who accept, placements cancelled from both sides.
"""

import asyncio
import itertools
import random
import re
import time
import uuid
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx

from clients.city.people import People
from tests.chaos.history import Call, History

DISTRICTS = {
    "430111": (28.112, 113.020),
    "430102": (28.190, 113.010),
    "430104": (28.200, 112.930),
    "430103": (28.110, 112.990),
    "430105": (28.260, 112.980),
}
"""Some of Changsha's, with a place in each."""
SORTER, SKILL = "4-02-07-09", "parcel-sorting"
SHIFTS = ((8, 12), (12, 16), (16, 20), (10, 14), (9, 17), (0, 4), (4, 8), (20, 24), (22, 26))
"""Hours of a day: some touch, some overlap."""
PAUSE_AT_MOST = 2.0
SEED = 2_024
LEAD, EARLY, MARK = timedelta(minutes=10, seconds=15), timedelta(minutes=20), timedelta(minutes=5)
"""No gig may be posted for sooner; whoever is placed so early before a shift means to work it."""
AGAIN_ON = {408, 425, 429, 500, 502, 503, 504}
HOT_FEN, MOST_HOT = 4_000, 10
"""What an hour of a gig that all want pays, and its seats."""
OFFER_SECONDS = 20
"""At its end a run waits until no offer can expire any more."""
RECENT = 5
"""An employer minds so many of its last gigs."""
AT_ONCE = 8
"""So many people give back at the same time."""
NOW = 0.05
"""How soon somebody acts who acts without thinking, in seconds."""


@dataclass(frozen=True)
class Size:
    """How many there are, and how long one of them waits between two acts, in seconds on average.

    `hot` is the share of gigs that pay so well that all want their few seats, `soon` of those that begin in minutes and
    are worked, `automatic` of the workers who accept without being asked, `again` of the answered calls that are sent
    once more, `blind` of the acts in which a worker only checks in, everywhere, and looks at nothing, `phones` of the
    workers who get SMS, `fickle` of the acts in which a worker takes back what was agreed. Usual gigs have up to
    `seats`. There are `districts` (at most 5); shifts are spread over `days` (at most 27).
    """

    employers: int = 12
    workers: int = 60
    pause: float = 0.5
    hot: float = 0.15
    days: int = 10
    soon: float = 0.2
    automatic: float = 0.2
    again: float = 0.05
    districts: int = 3
    blind: float = 0.0
    phones: float = 1.0
    seats: int = 3
    fickle: float = 0.08


SOAK = Size(
    employers=24,
    workers=1_500,
    pause=25,
    hot=0.02,
    days=27,
    soon=0.05,
    automatic=0.9,
    again=0.02,
    districts=5,
    blind=0.85,
    phones=0.1,
    seats=120,
)
"""For long: enough people and days that the market never fills up, and many events for each call."""


def _soon(chance: random.Random) -> tuple[datetime, datetime]:
    """A shift that may be started at once or nearly so. Its times are at full five minutes, so that timers ring then
    alone, and there is quiet in between."""
    at = (datetime.now(UTC) + LEAD).timestamp()
    start = datetime.fromtimestamp(at - at % MARK.total_seconds(), UTC) + MARK
    return start, start + MARK * chance.randint(1, 24)


def _told(answer: httpx.Response) -> Any:
    """What an answer says; one without a body (204) says nothing."""
    return answer.json() if answer.content else {}


class Cut(Exception):
    """The run was ended before an answer came."""


class App:
    """One signed-in person's app. `chance` makes this person's choices, the same for the same seed."""

    def __init__(self, market: "Workload", name: str) -> None:
        self.name, self._market = name, market
        self.chance = random.Random(f"{market.seed}:{name}")
        self.id = ""
        self.to_do: list[tuple[str, str, str, Any]] = []
        """Steps of shifts: command, path, placement, body."""
        self.shunned: list[str] = []
        """Employers this worker has blocked."""
        self._tokens: dict[str, str] = {}
        self._sign_in_again: Callable[[], Coroutine[Any, Any, None]] | None = None
        self._http = market.client()

    async def sign_in(self, phone: str, role: str) -> None:
        """By phone code, read where the SMS went; tries until it works. Raises `Cut` when the run ends before."""
        self._sign_in_again = partial(self.sign_in, phone, role)
        while not self._market.cut.is_set():
            with suppress(httpx.HTTPError, LookupError):
                before = len(await self._market.texts(phone))
                await self._raw("POST", "identity/codes", {"phone": phone})
                for _ in range(100):
                    texts = await self._market.texts(phone)
                    if len(texts) > before and (code := re.search(r"\b\d{6}\b", texts[-1])):
                        return await self._take(grant_type="phone_code", phone=phone, code=code.group(), role=role)
                    await asyncio.sleep(NOW)
            await asyncio.sleep(1)
        raise Cut

    async def sign_in_by_password(self, username: str, password: str) -> None:
        self._sign_in_again = partial(self.sign_in_by_password, username, password)
        await self._take(grant_type="password", username=username, password=password)

    async def _refresh(self) -> None:
        """New tokens. A refresh token whose answer was lost is spent (RFC 9700, 4.14.2): then sign in again."""
        with suppress(httpx.HTTPError):
            try:
                await self._take(grant_type="refresh_token", refresh_token=self._tokens["refresh_token"])
            except LookupError:
                self._tokens = {}
                if self._sign_in_again:
                    await self._sign_in_again()

    async def _take(self, **grant: str) -> None:
        answer = await self._raw("POST", "identity/token", grant)
        if answer.is_error:
            raise LookupError(answer.text)
        self._tokens = answer.json()
        self.id = self._tokens["account_id"]

    async def _raw(self, method: str, path: str, body: Any = None, key: str = "", at: str = "") -> httpx.Response:
        headers = {"accept-language": "en"}
        if self._tokens:
            headers["authorization"] = f"Bearer {self._tokens['access_token']}"
        if key:
            headers["idempotency-key"] = key
        at = at or self._market.gateway
        return await self._http.request(method, f"{at}/api/{path}", json=body, headers=headers)

    async def _command(self, method: str, path: str, body: Any, key: str, at: str) -> httpx.Response:
        sent = time.time()
        answer = await self._raw(method, path, body, key, at)
        self._market.waits.append((sent, time.time() - sent))
        return answer

    async def do(self, command: str, method: str, path: str, body: Any = None, *, at: str = "", **facts: Any) -> Call:
        """A command, under one key, sent until an answer comes; `at` a process, or the gateway.

        Raises `Cut` when the run ends before that.
        """
        history = self._market.history
        call = history.call(self.name, command, str(uuid.uuid4()), {"who": self.id, **facts})
        pause = NOW
        while True:
            call.sent += 1
            answer = None
            with suppress(httpx.HTTPError):
                answer = await self._command(method, path, body, call.key, at)
            if answer is not None and answer.status_code == 401:
                await self._refresh()
            elif answer is not None and answer.status_code not in AGAIN_ON:
                told = _told(answer)
                if answer.is_error:
                    history.ended(call, "failed", code=f"{answer.status_code} {told.get('code', '')}")
                    return call
                if self.chance.random() < self._market.size.again:
                    with suppress(httpx.HTTPError):
                        second = await self._command(method, path, body, call.key, at)
                        call.other = _told(second) if second.is_success and _told(second) != told else None
                history.ended(call, "ok", answer=told)
                return call
            elif answer is None or answer.status_code != 429:
                call.unheard += 1
            if self._market.cut.is_set():
                raise Cut
            await asyncio.sleep(pause * self.chance.uniform(0.5, 1))
            pause = min(2 * pause, PAUSE_AT_MOST)

    async def see(self, path: str) -> Any:
        """What a GET gives; None when there is no answer now, or nothing there."""
        with suppress(httpx.HTTPError):
            answer = await self._raw("GET", path)
            if answer.status_code == 200:
                return answer.json()
            if answer.status_code == 404:
                return {"status": 404}
            if answer.status_code == 401:
                await self._refresh()
        return None


class Workload:
    """`prepare` the people, `run` until told to stop. `gateway` may be behind links that fail; `web` gets the SMS."""

    def __init__(
        self, *, gateway: str, web: str, operator_password: str, seed: int, history: History, size: Size
    ) -> None:
        self.gateway, self.history, self.size = gateway, history, size
        self.seed = seed
        self.districts = dict(sorted(list(DISTRICTS.items())[: size.districts]))
        self.cut = asyncio.Event()
        self.waits: deque[tuple[float, float]] = deque(maxlen=100_000)
        """When a command was sent, and how many seconds its answer took: of the last ones that had an answer."""
        self._sms, self._operator_password = f"{web}/sms", operator_password
        self._people = People(SEED)
        self._firms: list[App] = []
        self._workers: list[App] = []
        self._open: list[tuple[App, str]] = []
        self._clients: list[httpx.AsyncClient] = []
        self._web = self.client()

    def client(self) -> httpx.AsyncClient:
        """Connections of one app's own, closed at the end."""
        # There is no TLS on loopback, and loading certificates for each app would take long.
        client = httpx.AsyncClient(timeout=httpx.Timeout(10, connect=5), verify=False, trust_env=False)  # noqa: S501
        self._clients.append(client)
        return client

    async def close(self) -> None:
        for client in self._clients:
            await client.aclose()

    async def texts(self, phone: str) -> list[str]:
        answer = await self._web.get(self._sms, params={"to": phone})
        return [sms["text"] for sms in answer.raise_for_status().json()]

    # --- before ----------------------------------------------------------------------------------------------------

    async def prepare(self) -> None:
        """A clerk, verified employers, registered workers. Nothing fails yet; what does is raised."""
        operator, clerk = App(self, "operator"), App(self, "clerk")
        await operator.sign_in_by_password("operator", self._operator_password)
        name, password = "clerk", "correct-horse-battery-staple"
        made = {"username": name, "password": password, "districts": list(self.districts)}
        await operator.do("make-clerk", "POST", "identity/clerks", made)
        await clerk.sign_in_by_password(name, password)
        # A run is at any hour, and its day has more messages than a person's: nothing is kept back or left out.
        rules = {"quiet_from": "00:00", "quiet_until": "00:00", "most_a_day": 1_000_000}
        change = {"changes": rules, "replaces": 0, "reason": "a run at any hour"}
        await operator.do("set-rules", "PUT", "notify/rules/country", change)
        # People take back more in a minute than others in a year, and are not to be sent away for it.
        nobody: dict[str, Any] = {"reliability": {"worker": {"suspensions": []}, "employer": {"suspensions": []}}}
        change = {"changes": nobody, "replaces": 0, "reason": "a run in which people cancel all the time"}
        await operator.do("set-rules", "PUT", "rights/rules/country", change)
        quick = {"near_m": 3_000, "offer_seconds": OFFER_SECONDS}
        change = {"changes": quick, "replaces": 0, "reason": "a run of minutes, in which nobody waits long"}
        await operator.do("set-rules", "PUT", "matching/rules/country", change)
        few = asyncio.Semaphore(8)

        async def one(make: Coroutine[Any, Any, App], to: list[App]) -> None:
            async with few:
                to.append(await make)

        async with asyncio.TaskGroup() as group:
            for n in range(self.size.employers):
                group.create_task(one(self._employer(clerk, n), self._firms))
            for n in range(self.size.workers):
                group.create_task(one(self._worker(n), self._workers))

    async def _employer(self, clerk: App, n: int) -> App:
        firm, app = self._people.employer(n), App(self, f"employer-{n}")
        await app.sign_in(firm.phone, "employer")
        form = {
            "name": firm.name,
            "credit_code": firm.credit_code,
            "contact_name": "甲一",
            "licence_no": firm.credit_code,
            "district": list(self.districts)[n % len(self.districts)],
        }
        await app.do("register-employer", "PUT", "posting/employers/me", form)
        path = f"posting/employers/{app.id}/verification"
        await clerk.do("verify", "POST", path, {"approved": True}, employer_id=app.id)
        return app

    async def _worker(self, n: int) -> App:
        person, app = self._people.worker(n), App(self, f"worker-{n}")
        await app.sign_in(person.phone, "worker")
        form = {
            "name": person.name,
            "id_number": person.id_number,
            "district": list(self.districts)[n % len(self.districts)],
            "skills": [SKILL],
            "certificates": [],
            "floor_fen_per_hour": 1_500,
            "reach_m": 20_000,
            "hardship": [],
            "accepts_automatically": app.chance.random() < self.size.automatic,
            "consent": True,
        }
        await app.do("register-worker", "POST", "workers/registration", form)
        if app.chance.random() < self.size.phones:
            contact = {"channel": "sms", "address": person.phone, "language": "zh", "consent": True}
            await app.do("set-contact", "PUT", "notify/contact", contact)
        return app

    def take_open(self) -> tuple[App, str]:
        """An open gig with its employer's app, which nobody else changes from now on. IndexError when there is none."""
        return self._open.pop()

    # --- acting ----------------------------------------------------------------------------------------------------

    async def run(self, over: asyncio.Event) -> None:
        """Everybody acts until `over`; then each command that was sent is still sent until its answer is known."""
        async with asyncio.TaskGroup() as group:
            for act, apps in ((self._hire, self._firms), (self._look_for_work, self._workers)):
                for app in apps:
                    group.create_task(self._live(app, act, over))

    async def go_home(self) -> None:
        """Everybody who waits checks out, so that the market comes to rest. Nothing fails any more."""
        few = asyncio.Semaphore(8)

        async def leave(app: App) -> None:
            async with few:
                if (here := await app.see("workers/me/check-in")) and "checkin_id" in here:
                    checkin = here["checkin_id"]
                    await app.do("check-out", "POST", f"workers/check-ins/{checkin}/end", checkin_id=checkin)

        await asyncio.gather(*map(leave, self._workers))

    async def _live(self, app: App, act: Callable[[App], Coroutine[Any, Any, None]], over: asyncio.Event) -> None:
        with suppress(Cut):
            while not over.is_set():
                await act(app)
                with suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), self.size.pause * app.chance.uniform(0.2, 1.8))

    async def _hire(self, app: App) -> None:
        own = [gig for firm, gig in self._open if firm is app][-RECENT:]
        match app.chance.random():
            case x if x < 0.55 or not own:
                await self._post(app)
            case x if x < 0.70:
                gig, changes = app.chance.choice(own), dict[str, Any](headcount=app.chance.randint(1, 6))
                if app.chance.random() < 0.3:  # other terms: offers of the old ones end
                    changes |= {"content": f"到件分拣，第 {app.chance.randrange(1_000)} 号库房，提供饮水和手套。"}
                await app.do("amend", "PATCH", f"posting/gigs/{gig}", changes, gig_id=gig, changes=changes)
            case x if x < 0.80:
                gig = app.chance.choice(own)
                self._open.remove((app, gig))
                await app.do("close", "POST", f"posting/gigs/{gig}/close", gig_id=gig)
            case x if x < 0.88:
                await self._pay_one(app)
            case _:
                await self._cancel_one(app, f"matching/gigs/{app.chance.choice(own)}/placements")

    async def _pay_one(self, app: App) -> None:
        found = await app.see("rights/pay")
        if due := [pay["placement_id"] for pay in (found or {}).get("items", ()) if pay["status"] == "due"]:
            id = app.chance.choice(due)
            await app.do("paid", "POST", f"rights/pay/{id}/paid", placement_id=id)

    async def _post(self, app: App) -> None:
        hot = app.chance.random() < self.size.hot
        district, (lat, lon) = app.chance.choice(list(self.districts.items()))
        headcount = app.chance.randint(3, MOST_HOT) if hot else app.chance.randint(1, self.size.seats)
        pay: dict[str, Any] = {"amount_fen": HOT_FEN if hot else 2_300, "unit": "hour", "mode": "same-day"}
        if app.chance.random() < self.size.soon:
            start, end = _soon(app.chance)
            pay = app.chance.choice([pay | {"amount_fen": 20_000, "unit": "day"}, pay | {"unit": "piece"}])
        else:
            first, last = app.chance.choice(SHIFTS)
            day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=2)
            day += timedelta(days=app.chance.randrange(self.size.days))
            start, end = day + timedelta(hours=first), day + timedelta(hours=last)
        period = {"start": start.isoformat(), "end": end.isoformat()}
        gig = {
            "district": district,
            "title": "快件分拣员（临时）",
            "occupation": SORTER,
            "content": "到件分拣，带班培训十分钟后上岗，提供饮水和手套。",
            "place": {"lat": lat, "lon": lon, "address": "某分拨中心（虚构）"},
            "period": period,
            "headcount": headcount,
            "pay": pay,
            "skills": [SKILL],
            "certificates": [],
            "meals": True,
            "lodging": False,
            "night_work": False,
            "hiring": "instant",
            "valid_until": period["start"],
        }
        call = await app.do("post", "POST", "posting/gigs", gig, district=district, headcount=headcount, period=period)
        if call.status != "ok":
            return
        gig_id = call.answer["gig_id"]
        self._open.append((app, gig_id))
        if (seen := await app.see(f"posting/gigs/{gig_id}")) and seen.get("gig_id") != gig_id:
            self.history.wrong.append(f"gig {gig_id} was confirmed and cannot be read")

    async def _look_for_work(self, app: App) -> None:
        if app.chance.random() < self.size.blind:
            await self._check_in(app, look=False)
            return
        if (here := await app.see("workers/me/check-in")) is None:
            return
        if "checkin_id" not in here:
            await self._check_in(app)
        elif app.chance.random() < 0.03:
            checkin = here["checkin_id"]
            await app.do("check-out", "POST", f"workers/check-ins/{checkin}/end", checkin_id=checkin)
        match app.chance.random():
            case x if x < self.size.fickle:
                await self._cancel_one(app, "matching/placements")
            case x if x < self.size.fickle + 0.03:
                floor = app.chance.randrange(1_400, 1_600)
                body = {"floor_fen_per_hour": floor, "accepts_automatically": app.chance.random() < self.size.automatic}
                await app.do("change", "PATCH", "workers/me", body, floor=floor)
            case x if x < self.size.fickle + 0.05:
                await self._block_or_not(app)
        await self._work(app)
        offers = await app.see("matching/offers?limit=5")
        for offer in [o for o in (offers or {}).get("items", ()) if o["state"] == "open"][:2]:
            await self._answer(app, offer)

    async def _block_or_not(self, app: App) -> None:
        """Not work for some employer any more, or again for one of those."""
        if app.shunned and app.chance.random() < 0.6:
            employer = app.shunned.pop(app.chance.randrange(len(app.shunned)))
            await app.do("unblock", "DELETE", f"workers/blocks/{employer}", employer_id=employer)
        else:
            employer = app.chance.choice(self._firms).id
            call = await app.do("block", "PUT", f"workers/blocks/{employer}", {"reason": "other"}, employer_id=employer)
            if call.status == "ok" and employer not in app.shunned:
                app.shunned.append(employer)

    async def _check_in(self, app: App, *, look: bool = True) -> None:
        district, (lat, lon) = app.chance.choice(list(self.districts.items()))
        others = sorted(self.districts.keys() - {district})
        districts = [district, *app.chance.sample(others, app.chance.randrange(3) if look else len(others))]
        position = {"lat": round(lat + app.chance.uniform(-0.01, 0.01), 5), "lon": lon}
        body = {"districts": districts, "position": position}
        call = await app.do("check-in", "POST", "workers/check-ins", body, districts=districts)
        if look and call.status == "ok":
            id, seen = call.answer["checkin_id"], await app.see("workers/me/check-in") or {}
            # None at all is right: an automatic acceptance may have ended it since.
            if seen.get("checkin_id", id) != id:
                self.history.wrong.append(f"check-in {id} was confirmed and another is read")

    async def _work(self, app: App) -> None:
        """The next step of a shift that is about to begin; one that is refused, as it may be too early, comes again."""
        if not app.to_do:
            return
        command, way, placement, body = app.to_do[0]
        call = await app.do(command, "POST", f"rights/{way}", body, placement_id=placement)
        if call.status == "ok" or app.chance.random() < 0.2:
            app.to_do.pop(0)

    async def _answer(self, app: App, terms: dict[str, Any]) -> None:
        offer = terms["offer_id"]
        accept = f"matching/offers/{offer}/accept"
        match app.chance.random():
            case x if x < 0.15:
                await app.do("decline", "POST", f"matching/offers/{offer}/decline", offer_id=offer)
            case x if x < 0.30:
                await asyncio.gather(*(app.do("accept", "POST", accept, offer_id=offer) for _ in range(2)))
            case _:
                call = await app.do("accept", "POST", accept, offer_id=offer)
                if call.status == "ok":
                    id = call.answer["placement_id"]
                    self._plan(app, id, terms["terms"])
                    seen = await app.see(f"matching/placements/{id}")
                    if seen and seen.get("placement_id") != id:
                        self.history.wrong.append(f"placement {id} was confirmed and cannot be read")

    def _plan(self, app: App, placement: str, terms: dict[str, Any]) -> None:
        """Whoever has a shift soon works it: some never start, some never end, not all say that the pay came."""
        if datetime.fromisoformat(terms["period"]["start"]) - datetime.now(UTC) > EARLY:
            return
        pieces = {"pieces": app.chance.randint(1, 90)} if terms["pay"]["unit"] == "piece" else None
        steps: list[tuple[str, str, str, Any]] = [
            ("start-shift", f"shifts/{placement}/start", placement, None),
            ("end-shift", f"shifts/{placement}/end", placement, pieces),
            ("confirm-pay", f"pay/{placement}/confirm", placement, None),
        ]
        app.to_do += steps[: app.chance.choice([0, 1, 2, 3, 3, 3])]

    async def give_back(self, at: str, seconds: float) -> None:
        """For so long workers take back, through this process of matching, seats that others want at once."""
        end = time.monotonic() + seconds

        async def some(workers: Sequence[App]) -> None:
            with suppress(Cut):
                for app in itertools.cycle(workers):
                    await self._cancel_one(app, "matching/placements", at=at, least_fen=HOT_FEN)
                    if time.monotonic() > end:
                        break

        await asyncio.gather(*(some(self._workers[first::AT_ONCE]) for first in range(AT_ONCE)))

    async def _cancel_one(self, app: App, where: str, *, at: str = "", least_fen: int = 0) -> None:
        found = await app.see(where)
        standing = [
            placement["placement_id"]
            for placement in (found or {}).get("items", ())
            if placement["status"] == "placed" and placement["terms"]["pay"]["amount_fen"] >= least_fen
        ]
        if standing:
            id = app.chance.choice(standing)
            await app.do("cancel", "POST", f"matching/placements/{id}/cancel", placement_id=id, at=at)
