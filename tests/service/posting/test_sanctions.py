"""What rights decided against an employer keeps it from posting, as long as it is in force and no longer."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from services.posting import sanctions
from services.posting.store import Gig
from shared.contracts.posting import GigClosed
from shared.contracts.rights import SanctionLifted, SanctionSet
from shared.sanctions import HeardSanction
from shared.testing import Harness
from shared.unit import Unit
from tests.service.posting.market import OPENS, Body, amend, at, code, draft, ids, post, read, search, verified
from tests.service.posting.test_reviews import DOUBTFUL, decide, send

pytestmark = pytest.mark.feature("F19")


def sanction(id: str = "s1", employer: str = "e1", **more: Any) -> SanctionSet:
    facts: dict[str, Any] = {"kind": "block", "reason": "arrears", "since": OPENS, "until": OPENS + timedelta(days=180)}
    return SanctionSet(sanction_id=id, party="employer", party_id=employer, district="430121", **facts | more)


def lifted(id: str = "s1", employer: str = "e1", when: datetime = OPENS) -> SanctionLifted:
    return SanctionLifted(
        sanction_id=id, party="employer", party_id=employer, district="430121", reason="paid", at=when
    )


async def refused(posting: Harness, employer: str = "e1", **changes: Any) -> Body:
    answer = await posting.http.post("/gigs", json=draft(**changes), headers=posting.as_("employer", employer))
    assert answer.status_code == 409, answer.text
    body: Body = answer.json()
    return body


async def test_the_next_post_of_who_owes_pay_is_refused_and_allowed_again_when_it_is_paid(posting: Harness) -> None:
    await verified(posting)
    await verified(posting, "e2", credit_code=code(2))
    before = await post(posting)
    await posting.receives(sanction())
    problem = await refused(posting)
    assert problem["code"] == "employer-sanctioned"
    assert problem["facts"] == {"sanction_id": "s1", "until": "2027-05-21T22:00:00+00:00"}
    for part in ("2027-05-21", "/api/rights/sanctions/s1/appeal"):
        assert part in problem["detail"]
    assert ids(await search(posting)) == [before["gig_id"]]  # what is open stays, and may be changed
    assert (await amend(posting, before["gig_id"], headcount=2))["http"] == 200
    await post(posting, "e2")
    await posting.receives(lifted())
    await post(posting)


async def test_one_that_suspends_closes_what_is_open_too(posting: Harness) -> None:
    await verified(posting)
    await verified(posting, "e2", credit_code=code(2))
    mine, other = await post(posting), await post(posting, "e2")
    await posting.receives(sanction(kind="suspend", until=None))
    assert (await read(posting, mine["gig_id"]))["closed_reason"] == "suspended"
    assert ids(await search(posting)) == [other["gig_id"]]
    assert [(event.gig_id, event.reason) for event in await posting.published(GigClosed)] == [
        (mine["gig_id"], "suspended")
    ]
    assert "until it is lifted" in (await refused(posting))["detail"]
    await posting.receives(lifted())
    await post(posting)
    assert (await read(posting, mine["gig_id"]))["status"] == "closed"


async def test_a_sanction_ends_by_itself_to_the_second(posting: Harness) -> None:
    await verified(posting)
    await posting.receives(sanction(until=OPENS + timedelta(minutes=30)))
    await posting.later(minutes=30, seconds=-1)
    await refused(posting)
    await posting.later(seconds=1)
    await post(posting)


async def test_two_sanctions_end_with_the_second(posting: Harness) -> None:
    await verified(posting)
    await posting.receives(sanction("s1"), sanction("s2", until=None))
    assert (await refused(posting))["facts"]["sanction_id"] == "s2"
    await posting.receives(lifted("s2"))
    assert (await refused(posting))["facts"]["sanction_id"] == "s1"
    await posting.receives(lifted("s1"))
    await post(posting)


async def test_events_that_come_again_or_in_another_order_leave_the_same(posting: Harness) -> None:
    await verified(posting)
    await posting.receives(lifted("s1"), sanction("s1"), lifted("s1"), sanction("s1"))
    await posting.receives(sanction("s2"))
    await posting.receives(sanction("s2"), lifted("s2"), sanction("s2"))
    await post(posting)
    assert [one.in_force(posting.clock.now) for one in await posting.all(HeardSanction)] == [False, False]


async def test_a_post_that_waits_for_a_clerk_is_not_published_while_its_employer_may_not_post(
    posting: Harness,
) -> None:
    await verified(posting)
    held = await send(posting, status=202, content=DOUBTFUL)
    await posting.receives(sanction())
    problem = await decide(posting, held["review_id"], approved=True, status=409)
    assert problem["code"] == "employer-sanctioned"
    await posting.receives(lifted())
    await decide(posting, held["review_id"], approved=True)
    assert ids(await search(posting)) == [held["gig_id"]]


async def test_rows_of_a_file_are_refused_too(posting: Harness) -> None:
    await verified(posting)
    await posting.receives(sanction())
    headers = posting.as_("employer", "e1", content_type="application/x-ndjson")
    answer = await posting.http.post(
        "/gigs/bulk", content=_row(origin_id="a1", valid_until=at(hours=2)), headers=headers
    )
    assert "employer-sanctioned" in answer.text
    assert await posting.all(Gig) == []


@pytest.mark.feature("F26")
@pytest.mark.parametrize(
    "more",
    [
        {"headcount": 4},
        {"valid_until": at(hours=3)},
        {"period": {"start": at(hours=3), "end": at(hours=10)}},
        {"pay": {"amount_fen": 2_300, "unit": "hour", "mode": "same-day"}},
        {"occupation": "4-02-07-09"},
        {"headcount": 2, "place": {"lat": 28.25, "lon": 113.08, "address": "星沙街道开元路 2 号"}},
    ],
)
async def test_a_sanctioned_employer_cannot_make_an_open_gig_hire_more_or_another(posting: Harness, more: Body) -> None:
    await verified(posting)
    gig = await post(posting)
    await posting.receives(sanction())
    answer = await amend(posting, gig["gig_id"], **more)
    assert (answer["http"], answer["code"], answer["facts"]["sanction_id"]) == (409, "employer-sanctioned", "s1")
    assert (await read(posting, gig["gig_id"]))["revision"] == 1
    await posting.receives(lifted())
    assert (await amend(posting, gig["gig_id"], **more))["http"] == 200


@pytest.mark.feature("F26")
async def test_a_sanctioned_employer_may_cut_a_gig_put_its_words_right_and_close_it(posting: Harness) -> None:
    await verified(posting)
    gig = await post(posting)
    await posting.receives(sanction())
    for less in ({"headcount": 2}, {"valid_until": at(hours=1)}, {"content": "快递包裹分拣装车，包午餐和班车"}):
        assert (await amend(posting, gig["gig_id"], **less))["http"] == 200
    answer = await posting.http.post(f"/gigs/{gig['gig_id']}/close", headers=posting.as_("employer", "e1"))
    assert answer.json()["status"] == "closed"


@pytest.mark.feature("F26")
async def test_an_amendment_that_waits_for_a_clerk_does_not_hire_more_while_its_employer_is_sanctioned(
    posting: Harness,
) -> None:
    await verified(posting)
    gig = await post(posting)
    held = await amend(posting, gig["gig_id"], content=DOUBTFUL, headcount=4)
    assert held["http"] == 202
    await posting.receives(sanction())
    problem = await decide(posting, held["review_id"], approved=True, status=409)
    assert problem["code"] == "employer-sanctioned"
    await posting.receives(lifted())
    await decide(posting, held["review_id"], approved=True)
    assert (await read(posting, gig["gig_id"]))["headcount"] == 4


def _row(**changes: Any) -> bytes:
    return json.dumps(draft(**changes)).encode() + b"\n"


async def test_a_gig_never_slips_past_a_sanction(posting: Harness) -> None:
    """Write skew: a post that saw no sanction and a sanction that saw no gig may not both commit."""
    await verified(posting)
    headers = posting.as_("employer", "e1")

    async def set_while_a_gig_is_posted(unit: Unit) -> None:
        await sanctions.hear(unit, sanction(kind="suspend"))
        if not await posting.all(Gig):
            answer = await posting.http.post("/gigs", json=draft(), headers=headers)
            assert answer.status_code == 201

    await posting.runtime.store.transact(set_while_a_gig_is_posted)
    (gig,) = await posting.all(Gig)
    assert (gig.status, gig.closed_reason) == ("closed", "suspended")
