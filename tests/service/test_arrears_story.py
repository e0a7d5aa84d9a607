"""Worked and not paid, over all services: what follows by itself, and what ends it."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from ops.__main__ import run as kuaizhao
from services.notify.store import Message
from services.rights.store import Case, Sanction
from shared import clock
from shared.testing import Harness
from tests.service.market import Market
from tests.service.matching.kit import run
from tests.service.posting.market import CHANGSHA_COUNTY, OPENS, draft, post, verified
from tests.service.workers import conftest as people

pytestmark = [pytest.mark.feature("F19"), pytest.mark.feature("F10"), pytest.mark.feature("F46")]

WORKER, EMPLOYER = "worker-1", "e1"
DUE = datetime.fromisoformat("2026-11-24T00:00:00+08:00")
"""The end of the day of a shift that is paid the same day."""
OVERDUE = DUE + timedelta(hours=24)
LATER: dict[str, Any] = {
    "period": {"start": (OVERDUE + timedelta(days=2)).isoformat(), "end": (OVERDUE + timedelta(days=2.3)).isoformat()},
    "valid_until": (OVERDUE + timedelta(days=2)).isoformat(),
}


@pytest.fixture
def whole(market: Market, notify: Harness) -> Market:
    """With messages. The clock of whichever harness was made last is the tests'; here it is matching's."""
    clock.set_source(lambda: market.matching.clock.now)
    return replace(market, notify=notify)


async def worked(market: Market) -> str:
    """The placement of somebody who was hired for a day and worked it."""
    await verified(market.posting)
    await post(market.posting, skills=[], headcount=1)
    at_the_gate = {"districts": [CHANGSHA_COUNTY], "position": {"lat": 28.2453, "lon": 113.0803}, "station_id": None}
    assert (await people.register(market.workers, WORKER, accepts_automatically=True)).status_code == 201
    assert (await people.check_in(market.workers, WORKER, **at_the_gate)).status_code == 201
    await market.flow()
    assert (await run(market.matching, CHANGSHA_COUNTY)).placements == 1
    await market.flow()
    mine = market.matching.as_("worker", WORKER)
    (placement,) = (await market.matching.http.get("/placements", headers=mine)).json()["items"]
    for moment, step in ((OPENS + timedelta(hours=2), "start"), (OPENS + timedelta(hours=9.5), "end")):
        await market.at(moment)
        answer = await market.rights.http.post(
            f"/shifts/{placement['placement_id']}/{step}", headers=market.rights.as_("worker", WORKER)
        )
        assert answer.status_code == 200, answer.text
    await market.flow()
    id: str = placement["placement_id"]
    return id


async def next_post(market: Market) -> tuple[int, str | None]:
    answer = await market.posting.http.post(
        "/gigs", json=draft(**LATER), headers=market.posting.as_("employer", EMPLOYER)
    )
    return answer.status_code, answer.json().get("code")


async def pay(market: Market, placement: str, what: str, role: Any, who: str) -> str:
    answer = await market.rights.http.post(f"/pay/{placement}/{what}", headers=market.rights.as_(role, who))
    assert answer.status_code == 200, answer.text
    await market.flow()
    status: str = answer.json()["status"]
    return status


async def told(market: Market, person: str) -> list[str]:
    assert market.notify
    return [message.kind for message in await market.notify.all(Message) if message.person_id == person]


async def test_unpaid_work_opens_a_case_stops_the_next_post_and_ends_when_it_is_paid(
    whole: Market, tmp_path: Path
) -> None:
    placement = await worked(whole)
    await whole.at(OVERDUE - timedelta(seconds=1))
    assert await whole.rights.all(Case) == []
    assert (await next_post(whole))[0] == 201

    await whole.at(OVERDUE)
    (case,) = await whole.rights.all(Case)
    assert (case.kind, case.state, case.placement_id) == ("arrears", "open", placement)
    assert await next_post(whole) == (409, "employer-sanctioned")

    file = tmp_path / "evidence.json"
    worker = whole.rights.as_("worker", WORKER)
    pack = await whole.rights.http.get(f"/placements/{placement}/evidence", headers=worker)
    file.write_bytes(pack.content)
    assert [entry["kind"] for entry in orjson.loads(pack.content)["entries"]][:5] == [
        *("agreement", "cover", "shift", "timesheet", "pay")
    ]
    assert await asyncio.to_thread(kuaizhao, ["evidence", "verify", str(file)]) == 0
    file.write_bytes(pack.content.replace(b'"minutes":450', b'"minutes":45'))
    assert await asyncio.to_thread(kuaizhao, ["evidence", "verify", str(file)]) == 1

    assert await pay(whole, placement, "paid", "employer", EMPLOYER) == "paid"
    assert await next_post(whole) == (409, "employer-sanctioned")  # its word alone lifts nothing
    assert await pay(whole, placement, "confirm", "worker", WORKER) == "confirmed"
    (case,) = await whole.rights.all(Case)
    assert (case.state, case.outcome) == ("closed", "paid")
    assert [sanction.in_force(OVERDUE) for sanction in await whole.rights.all(Sanction)] == [False]
    assert (await next_post(whole))[0] == 201

    heard = await told(whole, WORKER), await told(whole, EMPLOYER)
    assert {"case-opened", "pay-overdue", "case-closed"} <= set(heard[0])
    assert {"pay-overdue", "sanction-set", "sanction-lifted"} <= set(heard[1])
    for kinds in heard:
        once = [kind for kind in kinds if kind.startswith(("case", "sanction"))]
        assert len(once) == len(set(once))
    assert all([await each.dead() == [] for each in whole.all.values()])


async def test_who_is_paid_in_the_day_hears_of_no_case(whole: Market) -> None:
    placement = await worked(whole)
    assert await pay(whole, placement, "paid", "employer", EMPLOYER) == "paid"
    assert await pay(whole, placement, "confirm", "worker", WORKER) == "confirmed"
    await whole.at(OVERDUE + timedelta(days=1))
    assert (await whole.rights.all(Case), await whole.rights.all(Sanction)) == ([], [])
    assert (await next_post(whole))[0] == 201
