"""Made-up gigs and check-ins for tests of matching, at places and times near one another."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import h3
import httpx

from services.matching import store
from services.matching.market import Outcome, window
from services.matching.store import Commitments, Offer, Placement, Seat
from shared import clock
from shared.contracts.posting import GigAmended, GigClosed, GigPosted, GigTerms
from shared.contracts.terms import Pay, PayMode, PayUnit, Period, Place
from shared.contracts.workers import WorkerCheckedIn, WorkerCheckedOut, WorkerProfile
from shared.rulebook import RuleVersion
from shared.testing import Harness
from shared.unit import Unit

FURONG, YUELU = "430102", "430104"
LAT, LON = 28.19, 113.03


def at(hours: float) -> datetime:
    """So many hours from now on the test's clock, which begins at 06:00 in Changsha."""
    return clock.now() + timedelta(hours=hours)


async def rule(matching: Harness, area: str = FURONG, *, since: datetime | None = None, **changes: Any) -> str:
    """Set an area's rules; the name of those it then has."""
    seen = await store.RULES.of(matching.reading(), area.ljust(6, "0"))

    async def put(unit: Unit) -> None:
        newest = max((v.number for v in await unit.find(RuleVersion, {"area": area})), default=0)
        await store.RULES.put(unit, area, changes, replaces=newest, since=since, reason="for a test", by="operator-1")

    await matching.runtime.store.transact(put)
    found = await store.RULES.of(matching.reading(), area.ljust(6, "0"), at=since)
    assert found != seen
    return found.name


def terms(start: float = 2, end: float = 6, *, north_m: float = 0, fen: int = 2500, **other: Any) -> GigTerms:
    """Parcel sorting from `start` to `end` hours from now."""
    filled: dict[str, Any] = {
        "employer_id": "employer-1",
        "employer_name": "Example Parcels",
        "title": "Parcel sorter",
        "occupation": "4-02-07-02",
        "content": "Sort parcels by their destination.",
        "place": Place(lat=LAT + north_m / 111_195, lon=LON, address="1 Example Road"),
        "period": Period(start=at(start), end=at(end)),
        "headcount": 1,
        "pay": Pay(amount_fen=fen, unit=PayUnit.hour, mode=PayMode.same_day),
        "valid_until": at(start),
    }
    return GigTerms(**filled | other)


def posted(gig: str = "gig-1", *, district: str = FURONG, **changes: Any) -> GigPosted:
    return GigPosted(gig_id=gig, district=district, terms=terms(**changes))


def amended(gig: str, new: GigTerms, *, district: str = FURONG) -> GigAmended:
    return GigAmended(gig_id=gig, district=district, terms=new)


def closed(gig: str = "gig-1", *, district: str = FURONG) -> GigClosed:
    return GigClosed(gig_id=gig, district=district, reason="employer")


def profile(**changes: Any) -> WorkerProfile:
    return WorkerProfile(**{"floor_fen_per_hour": 2000, "reach_m": 5000} | changes)


def checked_in(
    worker: str = "worker-1",
    *,
    district: str = FURONG,
    checkin: str | None = None,
    until: float = 8,
    north_m: float = 0,
    **changes: Any,
) -> WorkerCheckedIn:
    checkin = checkin or f"checkin-{worker}"
    return WorkerCheckedIn(
        presence_id=f"{checkin}:{district}",
        checkin_id=checkin,
        worker_id=worker,
        district=district,
        cell=h3.latlng_to_cell(LAT + north_m / 111_195, LON, 9),
        profile=profile(**changes),
        at=clock.now(),
        until=at(until),
    )


def checked_out(worker: str = "worker-1", *, district: str = FURONG, checkin: str | None = None) -> WorkerCheckedOut:
    checkin = checkin or f"checkin-{worker}"
    return WorkerCheckedOut(
        presence_id=f"{checkin}:{district}", checkin_id=checkin, worker_id=worker, district=district, reason="worker"
    )


async def run(matching: Harness, district: str = FURONG, *, seed: int = 1) -> Outcome:
    """One window, as the service's loop runs it."""
    return await window(matching.runtime.store, matching.runtime.tracer, district, seed=seed)


async def offer_of(matching: Harness, worker: str = "worker-1") -> Offer:
    """The worker's open offer."""
    (offer,) = [offer for offer in await matching.all(Offer) if offer.worker_id == worker and offer.open]
    return offer


async def offered(matching: Harness, gig: str = "gig-1", **changes: Any) -> Offer:
    """A gig with one worker to whom it is offered."""
    await matching.receives(posted(gig, **changes), checked_in())
    await run(matching, changes.get("district", FURONG))
    return await offer_of(matching)


async def accept(matching: Harness, offer: Offer, **headers: str) -> httpx.Response:
    as_worker = matching.as_("worker", offer.worker_id, **headers)
    return await matching.http.post(f"/offers/{offer.id}/accept", headers=as_worker)


def problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def state(matching: Harness) -> dict[str, list[str]]:
    """Gigs' seats and all else that is remembered, without ids that are drawn and without versions."""
    seats = [f"{seat.id} {'open' if seat.open else 'taken'} {seat.until}" for seat in await matching.all(Seat)]
    offers = [
        f"{offer.gig_id} {offer.worker_id} {offer.ended or 'open'} {offer.reason}"
        for offer in await matching.all(Offer)
    ]
    placements = [f"{p.gig_id} {p.seat} {p.worker_id} {p.status}" for p in await matching.all(Placement)]
    busy = [f"{c.id} {[(str(p.start), str(p.end)) for p in c.periods]}" for c in await matching.all(Commitments)]
    found: dict[str, Iterable[str]] = {"seats": seats, "offers": offers, "placements": placements, "busy": busy}
    return {name: sorted(rows) for name, rows in found.items()}
