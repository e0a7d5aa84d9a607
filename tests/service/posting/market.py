"""Made-up employers and gigs, and the steps that most tests begin with."""

from datetime import datetime, timedelta
from typing import Any

from services.posting.domain import credit_check
from shared.contracts.matching import PlacementCancelled, PlacementMade
from shared.contracts.posting import GigTerms
from shared.testing import Harness

CHANGSHA_COUNTY, FURONG, BISHAN = "430121", "430102", "500120"
OPENS = datetime.fromisoformat("2026-11-23T06:00:00+08:00")
"""What the harness's clock shows at the start."""

Body = dict[str, Any]


def at(**parts: float) -> str:
    """A time so much after the start of the test, as a client writes it."""
    return (OPENS + timedelta(**parts)).isoformat()


def code(number: int = 0) -> str:
    """A made-up unified social credit code with its check character."""
    body = f"91430100MA{number:07d}"
    return body + credit_check(body)


def business(**changes: Any) -> Body:
    return {
        "name": "长沙星沙分拣有限公司",
        "credit_code": code(),
        "licence_no": "430100000000001",
        "district": CHANGSHA_COUNTY,
        "contact_name": "测试联系人",
    } | changes


def draft(**changes: Any) -> Body:
    """A parcel sorter's shift 08:00 to 16:00 of the first day, open until its start."""
    return {
        "district": CHANGSHA_COUNTY,
        "title": "快递分拣员",
        "occupation": "4-02-07-02",
        "content": "快递包裹分拣装车，包午餐",
        "place": {"lat": 28.2453, "lon": 113.0803, "address": "星沙街道开元路 1 号"},
        "period": {"start": at(hours=2), "end": at(hours=10)},
        "headcount": 3,
        "pay": {"amount_fen": 2_200, "unit": "hour", "mode": "same-day"},
        "skills": ["parcel-sorting"],
        "certificates": [],
        "meals": True,
        "lodging": False,
        "night_work": False,
        "hiring": "instant",
        "valid_until": at(hours=2),
    } | changes


async def register(posting: Harness, employer: str = "e1", **changes: Any) -> Body:
    answer = await posting.http.put(
        "/employers/me", json=business(**changes), headers=posting.as_("employer", employer)
    )
    assert answer.status_code == 200, answer.text
    body: Body = answer.json()
    return body


async def decide(posting: Harness, employer: str = "e1", **decision: Any) -> Body:
    """A clerk who works for all of China decides."""
    answer = await posting.http.post(
        f"/employers/{employer}/verification",
        json={"approved": True} | decision,
        headers=posting.as_("clerk", "c1", districts=("43", "50")),
    )
    assert answer.status_code == 200, answer.text
    body: Body = answer.json()
    return body


async def verified(posting: Harness, employer: str = "e1", **changes: Any) -> None:
    await register(posting, employer, **changes)
    await decide(posting, employer)


async def post(posting: Harness, employer: str = "e1", **changes: Any) -> Body:
    answer = await posting.http.post("/gigs", json=draft(**changes), headers=posting.as_("employer", employer))
    assert answer.status_code == 201, answer.text
    body: Body = answer.json()
    return body


async def amend(posting: Harness, gig_id: str, employer: str = "e1", **changes: Any) -> Body:
    """The answer's body, with its status under `http`."""
    answer = await posting.http.patch(f"/gigs/{gig_id}", json=changes, headers=posting.as_("employer", employer))
    return {**answer.json(), "http": answer.status_code}


async def read(posting: Harness, gig_id: str) -> Body:
    body: Body = (await posting.http.get(f"/gigs/{gig_id}")).json()
    return body


async def search(posting: Harness, **query: Any) -> Body:
    answer = await posting.http.get("/gigs", params=query)
    assert answer.status_code == 200, answer.text
    body: Body = answer.json()
    return body


def ids(page: Body) -> list[str]:
    return [item["gig_id"] for item in page["items"]]


def made(gig: Body, placement: str, seat: int = 1) -> PlacementMade:
    return PlacementMade(
        placement_id=placement,
        offer_id=f"offer of {placement}",
        gig_id=gig["gig_id"],
        seat=seat,
        worker_id=f"worker of {placement}",
        employer_id=gig["employer_id"],
        district=gig["district"],
        terms=GigTerms.model_validate(gig),
        at=OPENS,
    )


def cancelled(gig: Body, placement: str, seat: int = 1) -> PlacementCancelled:
    return PlacementCancelled(
        placement_id=placement,
        gig_id=gig["gig_id"],
        seat=seat,
        worker_id=f"worker of {placement}",
        employer_id=gig["employer_id"],
        district=gig["district"],
        by="worker",
        at=OPENS,
    )
