"""What features.md promises within seconds, on the whole running market: every service, over the gateway alone.

Each is measured several times, one after another, on a market that is otherwise quiet. Times are those of a client that
asks every 20 ms, so what it needs to ask is in them. Two waits are shortened: a no-show is called a minute after the
start, by the district's rules, and a legal time limit of days is moved to now in the database.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import httpx

from clients.city.client import Client
from clients.city.people import People, credit_code, id_number
from deploy.local.ports import free_ports
from deploy.local.stack import MARKET, Stack
from shared.store import connect

TIMES, OF_SLOW = 10, 3
EVERY_SECONDS = 0.02
PATIENCE_SECONDS = 60.0
HOME, ELSEWHERE = "430111", "500120"
PLACE = {"lat": 28.112, "lon": 113.020, "address": "雨花区某分拨中心（虚构）"}
SHORTER = {"posting": {"min_lead_minutes": 0}, "rights": {"no_show_minutes": 1}}
"""Rules of the home district, so that a no-show is called a minute after a start that is near."""
SORTER, SKILL, CERTIFICATE = "4-02-07-09", "parcel-sorting", "forklift"


class Promise(NamedTuple):
    """A row of features.md, how long it may take by that, in seconds, and how often it is measured at most."""

    row: str
    what: str
    within: float
    measure: Callable[["Town"], Awaitable[float]]
    at_most: int = TIMES


def tell(times: int = TIMES) -> bool:
    """Print for each promise the median and the worst of its times; whether all were kept."""
    kept = True
    for promise, seconds in asyncio.run(_measured(times)):
        worst = max(seconds)
        kept &= worst <= promise.within
        broken = "" if worst <= promise.within else ": BROKEN"
        print(
            f"{promise.row}: {promise.what}: {median(seconds):.2f} s (median of {len(seconds)}), "
            f"{worst:.2f} s (worst), promised within {promise.within:g} s{broken}",
            flush=True,
        )
    return kept


async def _measured(times: int) -> list[tuple[Promise, list[float]]]:
    with tempfile.TemporaryDirectory(prefix="kuaizhao-") as folder:
        stack = Stack(Path(folder), ports=free_ports(), parts=MARKET, say=lambda line: None)
        async with stack, _town(stack) as town:
            return [
                (promise, [await town.measured(promise.measure) for _ in range(min(times, promise.at_most))])
                for promise in PROMISES
            ]


@dataclass
class Town:
    """The people of the measurements. Each asks for new ones, so that nothing of one measurement is in another."""

    http: httpx.AsyncClient
    stack: Stack
    clerk: Client
    people: People = field(default_factory=lambda: People(7))
    employers: int = 0
    workers: int = 0
    posted: list[tuple[Client, str]] = field(default_factory=list)

    async def measured(self, measure: Callable[["Town"], Awaitable[float]]) -> float:
        """What is measured, and nothing of it left for the next."""
        seconds = await measure(self)
        while self.posted:
            employer, gig = self.posted.pop()
            await employer.post(f"posting/gigs/{gig}/close")
        return seconds

    def client(self) -> Client:
        return _client(self.http, self.stack)

    async def employer(self) -> Client:
        """An employer whose licence a clerk has seen."""
        number, self.employers = self.employers, self.employers + 1
        employer = self.client()
        await employer.sign_in(self.people.employer(number).phone, "employer")
        code = credit_code(f"{number:08d}")
        await employer.put(
            "posting/employers/me",
            name=self.people.employer(number).name,
            credit_code=code,
            licence_no=code,
            contact_name="甲一",
            district=HOME,
        )
        await self.clerk.post(f"posting/employers/{employer.account_id}/verification", approved=True)
        return employer

    async def worker(self, **profile: Any) -> Client:
        """A registered worker."""
        number, self.workers = self.workers, self.workers + 1
        worker = self.client()
        await worker.sign_in(self.people.worker(number).phone, "worker")
        registration: dict[str, Any] = {
            "name": "乙二",
            "id_number": id_number(date(1980, 5, 4) + timedelta(days=number), 2),
            "district": HOME,
            "skills": [SKILL],
            "certificates": [],
            "floor_fen_per_hour": 1_800,
            "reach_m": 8_000,
            "hardship": [],
            "accepts_automatically": False,
            "consent": True,
        }
        await worker.post("workers/registration", **registration | profile)
        return worker

    async def post(self, employer: Client, **terms: Any) -> str:
        """The id of a new gig of one seat that asks for what only one measurement's people have."""
        start = datetime.now(UTC) + timedelta(hours=2)
        gig: dict[str, Any] = {
            "district": HOME,
            "title": "快件分拣员（临时）",
            "occupation": SORTER,
            "content": "夜间到件分拣，带班培训十分钟后上岗，提供饮水和手套。",
            "place": PLACE,
            "period": {"start": start.isoformat(), "end": (start + timedelta(hours=4)).isoformat()},
            "headcount": 1,
            "pay": {"amount_fen": 2_300, "unit": "hour", "mode": "same-day"},
            "skills": [SKILL],
            "certificates": [],
            "meals": True,
            "lodging": False,
            "night_work": False,
            "hiring": "instant",
            "valid_until": start.isoformat(),
        }
        id = str((await employer.post("posting/gigs", **gig | terms))["gig_id"])
        self.posted.append((employer, id))
        return id

    async def check_in(self, worker: Client) -> None:
        await worker.post("workers/check-ins", districts=[HOME], position={"lat": 28.112, "lon": 113.020})

    async def offered(self, employer: Client, *workers: Client, **terms: Any) -> str:
        """A gig that is offered to the first of these workers, who all wait; its id."""
        for worker in workers:
            await self.check_in(worker)
        gig = await self.post(employer, **terms)
        await until(lambda: offer_of(workers[0], gig))
        return gig

    async def leave(self, *workers: Client) -> None:
        """They wait no longer, so that the next measurement's gigs are not offered to them."""
        for worker in workers:
            here = await worker.get("workers/me/check-in")
            await worker.post(f"workers/check-ins/{here['checkin_id']}/end")


@asynccontextmanager
async def _town(stack: Stack) -> AsyncIterator[Town]:
    async with httpx.AsyncClient(timeout=30) as http:
        operator, clerk = _client(http, stack), _client(http, stack)
        await operator.sign_in_by_password("operator", stack.operator_password)
        password = "correct-horse-battery-staple"  # noqa: S105 - of a market that lives for a minute
        await operator.post("identity/clerks", username="clerk-1", password=password, districts=[HOME])
        await clerk.sign_in_by_password("clerk-1", password)
        for service, figures in SHORTER.items():
            await operator.put(f"{service}/rules/{HOME}", changes=figures, replaces=0, reason="measured")
        yield Town(http, stack, clerk)


def _client(http: httpx.AsyncClient, stack: Stack) -> Client:
    return Client(http, stack.gateway, sms=f"{stack.url('web')}/sms")


async def until(ask: Callable[[], Awaitable[Any]], *, since: float | None = None) -> float:
    """Ask until the answer is true; the seconds from `since`, or from now."""
    began = time.monotonic() if since is None else since
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await ask():  # noqa: ASYNC110 - other processes are waited for
            await asyncio.sleep(EVERY_SECONDS)
    return time.monotonic() - began


async def offer_of(worker: Client, gig: str) -> dict[str, Any] | None:
    """The worker's open offer of a gig."""
    offers = (await worker.get("matching/offers"))["items"]
    return next((offer for offer in offers if offer["gig_id"] == gig and offer["state"] == "open"), None)


async def gone(worker: Client, gig: str) -> bool:
    return await offer_of(worker, gig) is None


async def found(searcher: Client, gig: str, **query: Any) -> bool:
    return gig in {item["gig_id"] for item in (await searcher.get("posting/gigs", limit=50, **query))["items"]}


# --- the promises ----------------------------------------------------------------------------------------------------


async def post_is_found_elsewhere(town: Town) -> float:
    employer, reader = await town.employer(), await town.worker(district=ELSEWHERE)
    gig = await town.post(employer)
    return await until(lambda: found(reader, gig, order="newest"))


async def full_post_leaves_search(town: Town) -> float:
    employer, worker = await town.employer(), await town.worker()
    gig = await town.offered(employer, worker)
    offer = await offer_of(worker, gig)
    assert offer is not None
    await worker.post(f"matching/offers/{offer['offer_id']}/accept")
    return await until(lambda: _not_found(worker, gig))


async def expired_post_leaves_search(town: Town) -> float:
    employer, worker = await town.employer(), await town.worker()
    await town.check_in(worker)
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=5)
    gig = await town.post(employer, valid_until=end.isoformat())
    await until(lambda: offer_of(worker, gig))
    since = time.monotonic() + max(0.0, (end - datetime.now(UTC)).total_seconds())
    seconds = max(
        await until(lambda: _not_found(worker, gig), since=since), await until(lambda: gone(worker, gig), since=since)
    )
    await town.leave(worker)
    return seconds


async def _not_found(searcher: Client, gig: str) -> bool:
    return not await found(searcher, gig, order="newest")


async def refused_employers_posts_go(town: Town) -> float:
    employer, worker = await town.employer(), await town.worker()
    gig = await town.offered(employer, worker)
    since = time.monotonic()
    await town.clerk.post(
        f"posting/employers/{employer.account_id}/verification", approved=False, reason="营业执照已被吊销。"
    )
    seconds = max(
        await until(lambda: _not_found(worker, gig), since=since), await until(lambda: gone(worker, gig), since=since)
    )
    await town.leave(worker)
    return seconds


async def lost_certificate_counts_no_more(town: Town) -> float:
    employer = await town.employer()
    worker = await town.worker(certificates=[{"code": CERTIFICATE, "valid_until": "2099-01-01"}])
    check = f"workers/{worker.account_id}/certificates/{CERTIFICATE}/check"
    await town.clerk.post(check, approved=True, valid_until="2099-01-01")
    gig = await town.offered(employer, worker, certificates=[CERTIFICATE])
    since = time.monotonic()
    await town.clerk.post(check, approved=False)
    seconds = await until(lambda: gone(worker, gig), since=since)
    await town.leave(worker)
    return seconds


async def calendar_is_in_force(town: Town) -> float:
    employer, worker = await town.employer(), await town.worker()
    gig = await town.offered(employer, worker)
    today = datetime.now(ZoneInfo("Asia/Shanghai")).date()
    away = [{"date": str(today + timedelta(days=day)), "hours": []} for day in range(2)]
    since = time.monotonic()
    await worker.put("workers/me/availability", dates=away)
    seconds = await until(lambda: gone(worker, gig), since=since)
    await town.leave(worker)
    return seconds


async def declined_seat_moves_on(town: Town) -> float:
    """Four people and one seat, with three open offers a seat: who has none is asked when another says no."""
    employer, workers = await town.employer(), [await town.worker() for _ in range(4)]
    for worker in workers:
        await town.check_in(worker)
    gig = await town.post(employer)

    async def asked() -> list[Client]:
        return [worker for worker in workers if await offer_of(worker, gig)]

    await until(lambda: _three(asked))
    first = await asked()
    (last,) = [worker for worker in workers if worker not in first]
    offer = await offer_of(first[0], gig)
    assert offer is not None
    since = time.monotonic()
    await first[0].post(f"matching/offers/{offer['offer_id']}/decline")
    seconds = await until(lambda: offer_of(last, gig), since=since)
    await town.leave(*workers)
    return seconds


async def _three(asked: Callable[[], Awaitable[list[Client]]]) -> bool:
    return len(await asked()) == 3


async def blocked_pair_is_parted(town: Town) -> float:
    employer, worker = await town.employer(), await town.worker()
    gig = await town.offered(employer, worker)
    since = time.monotonic()
    await worker.put(f"workers/blocks/{employer.account_id}", reason="unpaid")
    seconds = await until(lambda: gone(worker, gig), since=since)
    await town.leave(worker)
    return seconds


async def ban_is_in_force(town: Town) -> float:
    employer, worker = await town.employer(), await town.worker()
    gig = await town.offered(employer, worker)
    since = time.monotonic()
    await town.clerk.put(f"workers/{worker.account_id}/ban", reason="violence", note="打人；可向区人社局申诉。")
    return await until(lambda: gone(worker, gig), since=since)


async def check_in_leads_to_an_offer(town: Town) -> float:
    """From the check-in to the offer on the live stream."""
    employer, worker = await town.employer(), await town.worker()
    gig = await town.post(employer)
    async with worker.stream() as messages:
        since = time.monotonic()
        await town.check_in(worker)
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for message in messages:
                if message["kind"] == "offer-made" and message["refs"]["gig_id"] == gig:
                    break
    seconds = time.monotonic() - since
    await town.leave(worker)
    return seconds


async def offer_is_told_by_sms(town: Town) -> float:
    """From the post to the SMS of its offer, with the provider."""
    employer, phone = await town.employer(), town.people.worker(town.workers).phone
    worker = await town.worker()
    await worker.put("notify/contact", channel="sms", address=phone, language="zh", consent=True)
    await town.check_in(worker)
    before, since = len(await worker.texts(phone)), time.monotonic()
    await town.post(employer)

    async def told() -> bool:
        return len(await worker.texts(phone)) > before

    seconds = await until(told, since=since)
    await town.leave(worker)
    return seconds


async def receipt_is_given(town: Town) -> float:
    worker = await town.worker()
    since = time.monotonic()
    await worker.post("rights/cases", kind="other", what_happened="用工方未按约定提供手套。", district=HOME)
    return time.monotonic() - since


async def passed_limit_escalates(town: Town) -> float:
    """A legal limit passes while rights is dead: killed before, and started after. From the limit to the escalation."""
    worker = await town.worker()
    case = await worker.post("rights/cases", kind="other", what_happened="用工方未按约定提供手套。", district=HOME)
    id, (limit,) = case["case_id"], case["limits"]
    await town.stack.kill("rights")
    passes, since = datetime.now(UTC), time.monotonic()
    client = connect(town.stack.mongo_url)
    try:
        rights = client["rights"]
        await rights["cases"].update_one({"_id": id}, {"$set": {"limits.0.due_at": passes}})
        moved = await rights["_timers"].update_one(
            {"_id": f"case-limit:{id}/{limit['name']}"}, {"$set": {"due_at": passes}}
        )
        assert moved.modified_count == 1
    finally:
        await client.close()
    await town.stack.start("rights")

    async def escalated() -> bool:
        return bool((await worker.get(f"rights/cases/{id}"))["escalated"])

    return await until(escalated, since=since)


async def no_show_leads_to_an_offer(town: Town) -> float:
    """From a minute after the start, to which nobody came, to the offer to somebody else who waits.

    The start is a minute away: the way there, from the middle of a worker's cell, has to take no longer.
    """
    employer, absent, other = await town.employer(), await town.worker(), await town.worker()
    begins = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=1)
    period = {"start": begins.isoformat(), "end": (begins + timedelta(hours=4)).isoformat()}
    gig = await town.offered(employer, absent, period=period, valid_until=begins.isoformat())
    offer = await offer_of(absent, gig)
    assert offer is not None
    await absent.post(f"matching/offers/{offer['offer_id']}/accept")
    await town.check_in(other)
    due = time.monotonic() + (begins + timedelta(minutes=1) - datetime.now(UTC)).total_seconds()
    await asyncio.sleep(due - time.monotonic() - 1)
    assert await gone(other, gig)
    seconds = await until(lambda: offer_of(other, gig), since=due)
    again = await offer_of(other, gig)
    assert again is not None
    await other.post(f"matching/offers/{again['offer_id']}/accept")  # or it is offered to the next one's people
    return seconds


async def alert_reaches_those_near(town: Town) -> float:
    """To the live streams of all of ten who wait nearby, the slowest counts; who waits elsewhere is not told."""
    near, far = [await town.worker() for _ in range(10)], await town.worker()
    for worker in near:
        await town.check_in(worker)
    await far.post("workers/check-ins", districts=[HOME], position={"lat": 28.212, "lon": 113.020})

    async def told(worker: Client, alert: asyncio.Future[str]) -> float:
        async with worker.stream() as messages, asyncio.timeout(PATIENCE_SECONDS):
            listening.release()
            async for message in messages:
                if message["kind"] == "alert-raised" and message["refs"]["alert_id"] == await alert:
                    break
        return time.monotonic()

    listening, raised = asyncio.Semaphore(0), asyncio.get_running_loop().create_future()
    telling = [asyncio.create_task(told(worker, raised)) for worker in near]
    for _ in near:
        await listening.acquire()
    since = time.monotonic()
    alert = await town.clerk.post(
        "notify/alerts",
        kind="safety",
        district=HOME,
        radius_m=2_000,
        zh="附近道路积水，请绕行。",
        en="The road nearby is flooded. Go another way.",
        until=(datetime.now(UTC) + timedelta(seconds=20)).isoformat(),
        lat=PLACE["lat"],
        lon=PLACE["lon"],
    )
    raised.set_result(alert["alert_id"])
    seconds = max(await asyncio.gather(*telling)) - since
    assert "alert-raised" not in {message["kind"] for message in (await far.get("notify/messages"))["items"]}
    await town.leave(*near, far)
    return seconds


PROMISES = (
    Promise("F1", "a check-in leads to an offer on the live stream", 3, check_in_leads_to_an_offer),
    Promise("F4", "a full post leaves search", 5, full_post_leaves_search),
    Promise("F4", "an expired post leaves search, and its offers end", 5, expired_post_leaves_search),
    Promise("F6", "a refused employer's posts and offers go", 10, refused_employers_posts_go),
    Promise("F8", "whoever wishes so is told of an offer by SMS", 5, offer_is_told_by_sms),
    Promise("F10", "a case has its receipt number", 1, receipt_is_given),
    Promise("F10", "a legal limit passes while rights is dead, and escalates", 60, passed_limit_escalates, OF_SLOW),
    Promise("F11", "a post is found from elsewhere", 5, post_is_found_elsewhere),
    Promise("F23", "a no-show leads to an offer to somebody else", 5, no_show_leads_to_an_offer, OF_SLOW),
    Promise("F30", "a lost certificate counts no more", 5, lost_certificate_counts_no_more),
    Promise("F34", "a change of the calendar is in force", 2, calendar_is_in_force),
    Promise("F35", "a declined seat moves on", 2, declined_seat_moves_on),
    Promise("F38", "a blocked pair is parted", 10, blocked_pair_is_parted),
    Promise("F38", "a ban is in force", 10, ban_is_in_force),
    Promise("F45", "an alert reaches all of ten nearby, on their live streams", 10, alert_reaches_those_near),
)

if __name__ == "__main__":
    raise SystemExit(not tell())
