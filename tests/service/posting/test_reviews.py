"""What a post may say: refused, published, or seen by a clerk first; appeals; amendments."""

from typing import Any

import pytest

from services.posting.store import Gig, Review
from shared.contracts.posting import GigAmended, GigPosted, ReviewDecided
from shared.testing import Harness
from tests.service.posting.market import Body, amend, draft, ids, post, read, search, verified

pytestmark = pytest.mark.feature("F5")

FEE = "快递包裹分拣装车，交服装费300元"
DOUBTFUL = "快递包裹分拣装车，身份证放老板那里"
REASON = "证件不得留存"


async def send(posting: Harness, *, status: int, language: str = "zh", **changes: Any) -> Body:
    headers = posting.as_("employer", "e1") | {"Accept-Language": language}
    answer = await posting.http.post("/gigs", json=draft(**changes), headers=headers)
    assert answer.status_code == status, answer.text
    body: Body = answer.json()
    return body


async def decide(posting: Harness, review: str, *, by: str = "c1", status: int = 200, **decision: Any) -> Body:
    headers = posting.as_("clerk", by, districts=("43",))
    answer = await posting.http.post(f"/reviews/{review}/decision", json=decision, headers=headers)
    assert answer.status_code == status, answer.text
    body: Body = answer.json()
    return body


async def act(posting: Harness, review: str, verb: str, *, status: int = 200, by: str = "e1", **body: Any) -> Body:
    answer = await posting.http.post(f"/reviews/{review}/{verb}", json=body, headers=posting.as_("employer", by))
    assert answer.status_code == status, answer.text
    found: Body = answer.json()
    return found


async def queue(posting: Harness, *, districts: tuple[str, ...] = ("43",)) -> list[str]:
    answer = await posting.http.get("/reviews", headers=posting.as_("clerk", "c1", districts=districts))
    return [item["review_id"] for item in answer.json()["items"]]


# --- what is certain ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "wording"),
    [("zh", "“交服装费300”：向劳动者收费"), ("en", "“交服装费300” asks the worker for money")],
)
async def test_words_that_break_a_rule_are_named_with_it(posting: Harness, language: str, wording: str) -> None:
    await verified(posting)
    problem = await send(posting, status=422, language=language, content=FEE)
    [error] = problem["errors"]
    assert error["field"] == "content"
    assert error["detail"].startswith(wording)
    assert await posting.all(Gig) == []
    assert await posting.all(Review) == []


async def test_every_rule_that_is_broken_is_named_beside_wrong_fields(posting: Harness) -> None:
    await verified(posting)
    problem = await send(
        posting, status=422, title="分拣员 女性优先", content=FEE, headcount=10_001,
        pay={"amount_fen": 900, "unit": "hour", "mode": "weekly"},
    )  # fmt: skip
    assert {error["field"] for error in problem["errors"]} == {"title", "content", "headcount", "pay"}


async def test_whoever_says_why_it_breaks_no_rule_is_heard_by_a_clerk(posting: Harness) -> None:
    await verified(posting)
    held = await send(posting, status=202, content=FEE, appeal="服装费由客户交，不向工人收")
    assert (held["status"], held["appeal"]) == ("waiting", "服装费由客户交，不向工人收")
    first = held["findings"][0]
    assert (first["kind"], first["certain"], first["words"]) == ("fee", True, "交服装费300")
    assert await queue(posting) == [held["review_id"]]


# --- what is doubtful -----------------------------------------------------------------------------------------------


async def test_a_doubtful_post_is_seen_by_nobody_before_a_clerk_approves_it(posting: Harness) -> None:
    await verified(posting)
    held = await send(posting, status=202, content=DOUBTFUL)
    assert [finding["kind"] for finding in held["findings"]] == ["deposit"]
    assert ids(await search(posting)) == []
    assert (await posting.http.get(f"/gigs/{held['gig_id']}")).status_code == 404
    assert [event for event in await posting.published() if isinstance(event, GigPosted)] == []

    await decide(posting, held["review_id"], approved=True)
    assert ids(await search(posting)) == [held["gig_id"]]
    assert (await read(posting, held["gig_id"]))["content"] == DOUBTFUL
    [posted] = await posting.published(GigPosted)
    [decided] = await posting.published(ReviewDecided)
    assert posted.gig_id == held["gig_id"]
    assert (decided.outcome, decided.kinds, decided.round) == ("approved", ("deposit",), 1)
    assert await queue(posting) == []
    assert (await decide(posting, held["review_id"], approved=True, status=409))["code"] == "review-decided"


async def test_a_refusal_has_a_reason_and_may_be_appealed_against_once_before_somebody_else(posting: Harness) -> None:
    await verified(posting)
    id = (await send(posting, status=202, content=DOUBTFUL))["review_id"]
    await decide(posting, id, approved=False, status=422)
    refused = await decide(posting, id, approved=False, reason=REASON)
    assert (refused["status"], refused["reason"]) == ("refused", REASON)
    assert await posting.all(Gig) == []

    appealed = await act(posting, id, "appeal", text="当场登记后归还")
    assert (appealed["status"], appealed["round"]) == ("waiting", 2)
    assert (await decide(posting, id, approved=True, status=403))["code"] == "same-clerk"
    assert (await decide(posting, id, by="c2", round=1, approved=True, status=409))["code"] == "review-changed"
    await decide(posting, id, by="c2", round=2, approved=False, reason=REASON)
    assert (await act(posting, id, "appeal", text="再次申诉", status=409))["code"] == "appeal-decided"
    assert [event.round for event in await posting.published(ReviewDecided)] == [1, 2]


async def test_a_review_is_its_employers_and_its_districts_clerks_affair(posting: Harness) -> None:
    await verified(posting)
    id = (await send(posting, status=202, content=DOUBTFUL))["review_id"]
    assert await queue(posting, districts=("50",)) == []
    answer = await posting.http.post(
        f"/reviews/{id}/decision", json={"approved": True}, headers=posting.as_("clerk", "c9", districts=("50",))
    )
    assert answer.status_code == 403
    await act(posting, id, "withdraw", by="e2", status=404)
    await act(posting, id, "appeal", text="请再看一次", status=409)
    assert (await act(posting, id, "withdraw"))["status"] == "withdrawn"
    assert await queue(posting) == []


async def test_what_has_passed_while_it_waited_is_not_published(posting: Harness) -> None:
    await verified(posting)
    id = (await send(posting, status=202, content=DOUBTFUL))["review_id"]
    posting.clock.advance(hours=1, minutes=59)
    assert (await decide(posting, id, approved=True, status=409))["code"] == "review-out-of-date"
    assert await queue(posting) == [id]
    posting.clock.advance(minutes=1)
    assert await queue(posting) == []
    assert await posting.all(Gig) == []


# --- amendments -----------------------------------------------------------------------------------------------------


async def test_an_amendment_is_screened_too_and_the_gig_stays_as_it_is_meanwhile(posting: Harness) -> None:
    await verified(posting)
    gig = await post(posting)
    assert (await amend(posting, gig["gig_id"], content=FEE))["http"] == 422
    held = await amend(posting, gig["gig_id"], content=DOUBTFUL)
    assert (held["http"], held["amends"], held["gig_id"]) == (202, 1, gig["gig_id"])
    assert (await read(posting, gig["gig_id"]))["content"] == gig["content"]
    newer = await amend(posting, gig["gig_id"], content=DOUBTFUL, headcount=5)
    assert await queue(posting) == [newer["review_id"]] == [held["review_id"]]

    await decide(posting, held["review_id"], approved=True)
    now = await read(posting, gig["gig_id"])
    assert (now["content"], now["headcount"], now["revision"]) == (DOUBTFUL, 5, 2)
    assert len(await posting.published(GigAmended)) == 1


async def test_words_that_were_approved_are_not_doubted_again(posting: Harness) -> None:
    await verified(posting)
    held = await send(posting, status=202, content=DOUBTFUL)
    await decide(posting, held["review_id"], approved=True)
    assert (await amend(posting, held["gig_id"], headcount=9))["http"] == 200


async def test_an_amendment_of_a_gig_that_was_amended_meanwhile_is_not_published(posting: Harness) -> None:
    await verified(posting)
    gig = await post(posting)
    held = await amend(posting, gig["gig_id"], content=DOUBTFUL)
    assert (await amend(posting, gig["gig_id"], headcount=4))["http"] == 200
    assert (await decide(posting, held["review_id"], approved=True, status=409))["code"] == "gig-changed"
