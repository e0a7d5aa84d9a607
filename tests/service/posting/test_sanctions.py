"""What rights decided against an employer keeps it from posting, as long as it is in force and no longer."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from services.posting import sanctions
from services.posting.store import Gig, Sanction
from shared.contracts.posting import GigClosed
from shared.contracts.rights import SanctionLifted, SanctionSet
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
    assert [one.in_force(posting.clock.now) for one in await posting.all(Sanction)] == [False, False]


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
