"""Employers register with a checked code, a clerk verifies them, and the verification ends by itself."""

from datetime import timedelta
from typing import Any

import pytest

from services.posting import lifecycle
from services.posting.store import Employer, Gig
from shared.contracts.posting import EmployerSuspended, EmployerVerificationEnding, EmployerVerified, GigClosed
from shared.testing import Harness
from shared.unit import Unit
from tests.service.posting.market import (
    BISHAN,
    FURONG,
    OPENS,
    at,
    business,
    code,
    decide,
    draft,
    ids,
    post,
    read,
    register,
    search,
    verified,
)


async def test_an_employer_waits_for_a_clerk(posting: Harness) -> None:
    answer = await register(posting, "e1")
    assert (answer["employer_id"], answer["status"], answer["verified_until"]) == ("e1", "pending", None)
    mine = await posting.http.get("/employers/me", headers=posting.as_("employer", "e1"))
    assert mine.json() == answer
    assert await posting.published() == []


async def test_the_contact_is_sealed_at_rest(posting: Harness) -> None:
    answer = await register(posting, contact_name="测试联系人甲")
    assert answer["contact_name"] == "测试联系人甲"
    row = await posting.runtime.store.db["employers"].find_one({"_id": "e1"})
    assert row is not None
    assert "测试联系人甲".encode() not in row["contact"]
    assert "测试联系人甲" not in str(row)


@pytest.mark.parametrize("field", ["name", "credit_code", "licence_no", "district", "contact_name"])
@pytest.mark.parametrize(("language", "said"), [("zh", "为必填项"), ("en", "is required")])
async def test_a_missing_field_is_named(posting: Harness, field: str, language: str, said: str) -> None:
    form = business()
    del form[field]
    headers = posting.as_("employer", "e1", accept_language=language)
    answer = await posting.http.put("/employers/me", json=form, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"field": field, "detail": said}]


@pytest.mark.parametrize(("language", "said"), [("zh", "校验码不符"), ("en", "check character does not fit")])
async def test_a_code_with_a_wrong_check_character_is_refused(posting: Harness, language: str, said: str) -> None:
    right = code()
    wrong = right[:-1] + ("0" if right[-1] != "0" else "1")
    headers = posting.as_("employer", "e1", accept_language=language)
    answer = await posting.http.put("/employers/me", json=business(credit_code=wrong), headers=headers)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == "credit_code"
    assert said in error["detail"]
    assert wrong not in answer.text


async def test_a_code_belongs_to_one_account(posting: Harness) -> None:
    await register(posting, "e1", credit_code=code(1))
    form = business(credit_code=code(1).lower())
    answer = await posting.http.put("/employers/me", json=form, headers=posting.as_("employer", "e2"))
    assert (answer.status_code, answer.json()["code"]) == (409, "credit-code-taken")
    assert len(await posting.all(Employer)) == 1


@pytest.mark.parametrize("role", ["worker", "clerk", "agency", "operator"])
async def test_only_employers_register(posting: Harness, role: Any) -> None:
    answer = await posting.http.put("/employers/me", json=business(), headers=posting.as_(role, "x"))
    assert answer.status_code == 403


async def test_without_a_token_nobody_registers_or_posts(posting: Harness) -> None:
    assert (await posting.http.put("/employers/me", json=business())).status_code == 401
    assert (await posting.http.post("/gigs", json=draft())).status_code == 401


async def test_an_account_that_never_registered_has_no_registration(posting: Harness) -> None:
    answer = await posting.http.get("/employers/me", headers=posting.as_("employer", "e9"))
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


# --- verification --------------------------------------------------------------------------------------------------


async def test_approval_lasts_at_most_six_months_and_is_said(posting: Harness) -> None:
    await register(posting)
    answer = await decide(posting)
    assert answer["status"] == "verified"
    (event,) = await posting.published()
    assert isinstance(event, EmployerVerified)
    assert (event.verified_until - OPENS).days == 180
    assert answer["verified_until"] == event.verified_until.isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize("districts", [(), ("4302",), (FURONG,)])
async def test_a_clerk_decides_for_their_own_districts(posting: Harness, districts: tuple[str, ...]) -> None:
    await register(posting)
    answer = await posting.http.post(
        "/employers/e1/verification", json={"approved": True}, headers=posting.as_("clerk", "c1", districts=districts)
    )
    assert answer.status_code == 403
    assert (await posting.all(Employer))[0].status == "pending"


@pytest.mark.parametrize("role", ["employer", "worker", "agency"])
async def test_nobody_but_a_clerk_decides(posting: Harness, role: Any) -> None:
    await register(posting)
    answer = await posting.http.post(
        "/employers/e1/verification", json={"approved": True}, headers=posting.as_(role, "e1", districts=("43",))
    )
    assert answer.status_code == 403
    assert (await posting.all(Employer))[0].status == "pending"


async def test_a_refusal_needs_a_reason_that_the_employer_can_read(posting: Harness) -> None:
    await register(posting)
    clerk = posting.as_("clerk", "c1", districts=("430121",))
    answer = await posting.http.post("/employers/e1/verification", json={"approved": False}, headers=clerk)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["reason"]

    refused = await decide(posting, approved=False, reason="营业执照照片不清晰")
    assert (refused["status"], refused["reason"]) == ("rejected", "营业执照照片不清晰")
    (event,) = await posting.published()
    assert event == EmployerSuspended(employer_id="e1", district="430121", reason="verification-refused")

    again = await register(posting)
    assert (again["status"], again["reason"]) == ("pending", None)


async def test_a_decision_is_on_what_the_clerk_saw(posting: Harness) -> None:
    seen = await register(posting)
    await register(posting, name="另一家公司")
    clerk = posting.as_("clerk", "c1", districts=("43",))
    decision = {"approved": True, "revision": seen["revision"]}
    answer = await posting.http.post("/employers/e1/verification", json=decision, headers=clerk)
    assert (answer.status_code, answer.json()["code"]) == (409, "employer-changed")
    assert (await decide(posting, revision=answer.json()["facts"]["revision"]))["status"] == "verified"


async def test_clerks_list_who_waits_in_their_districts(posting: Harness) -> None:
    for number, district in enumerate([FURONG, BISHAN, FURONG, FURONG]):
        await register(posting, f"e{number}", district=district, credit_code=code(number))
    await decide(posting, "e0")

    async def listed(**query: Any) -> tuple[list[str], str | None]:
        answer = await posting.http.get("/employers", params=query, headers=posting.as_("clerk", districts=("4301",)))
        return [item["employer_id"] for item in answer.json()["items"]], answer.json()["next"]

    assert await listed(status="pending") == (["e2", "e3"], None)
    assert await listed(status="pending", limit=1) == (["e2"], "e2")
    assert await listed(status="pending", limit=1, after="e2") == (["e3"], None)
    assert await listed(status="verified") == (["e0"], None)
    everyone = await posting.http.get("/employers", headers=posting.as_("operator"))
    assert [item["employer_id"] for item in everyone.json()["items"]] == ["e1", "e2", "e3"]
    no_district = await posting.http.get("/employers", headers=posting.as_("clerk"))
    assert no_district.json()["items"] == []
    assert (await posting.http.get("/employers", headers=posting.as_("employer"))).status_code == 403


async def test_other_details_are_checked_anew_and_another_contact_is_not(posting: Harness) -> None:
    await verified(posting)
    assert (await register(posting, contact_name="测试联系人乙"))["status"] == "verified"
    assert (await register(posting, name="长沙新名分拣有限公司"))["status"] == "pending"
    answer = await posting.http.post("/gigs", json=draft(), headers=posting.as_("employer", "e1"))
    assert (answer.status_code, answer.json()["code"]) == (403, "employer-not-verified")


# --- the end of a verification -------------------------------------------------------------------------------------


def month_later(**parts: float) -> dict[str, Any]:
    """A draft for a shift so much after the start of the test."""
    start = at(**parts)
    return draft(period={"start": start, "end": at(**{**parts, "hours": parts.get("hours", 0) + 8})}, valid_until=start)


@pytest.mark.feature("F6")
async def test_posting_is_blocked_once_the_verification_has_ended(posting: Harness) -> None:
    await verified(posting)
    await posting.later(days=183)
    answer = await posting.http.post(
        "/gigs", json=month_later(days=183, hours=2), headers=posting.as_("employer", "e1")
    )
    assert (answer.status_code, answer.json()["code"]) == (403, "employer-not-verified")
    suspended = [event for event in await posting.published() if isinstance(event, EmployerSuspended)]
    assert [event.reason for event in suspended] == ["verification-ended"]
    mine = await posting.http.get("/employers/me", headers=posting.as_("employer", "e1"))
    assert mine.json()["status"] == "lapsed"


async def test_the_verification_ends_to_the_second_also_when_its_timer_is_late(posting: Harness) -> None:
    await verified(posting)
    posting.clock.advance(days=180, seconds=-1)
    headers = posting.as_("employer", "e1")
    too_long = await posting.http.post("/gigs", json=month_later(days=180, hours=2), headers=headers)
    assert [error["field"] for error in too_long.json()["errors"]] == ["valid_until"]
    posting.clock.advance(seconds=1)
    answer = await posting.http.post("/gigs", json=month_later(days=180, hours=2), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "employer-not-verified")
    assert (await posting.http.get("/employers/me", headers=headers)).json()["status"] == "lapsed"


async def test_a_new_check_moves_the_end(posting: Harness) -> None:
    await verified(posting)
    await posting.later(days=170)
    await decide(posting)
    await posting.later(days=20)
    headers = posting.as_("employer", "e1")
    answer = await posting.http.post("/gigs", json=month_later(days=190, hours=2), headers=headers)
    assert answer.status_code == 201
    assert not [event for event in await posting.published() if isinstance(event, EmployerSuspended)]


@pytest.mark.feature("F6")
async def test_an_employer_is_warned_before_the_end_to_the_second_and_then_blocked(posting: Harness) -> None:
    await verified(posting)
    warned: list[EmployerVerificationEnding] = []
    for days_left, since in ((30, 150), (7, 23)):
        await posting.later(days=since, seconds=-1)
        assert await posting.published(EmployerVerificationEnding) == warned
        await posting.later(seconds=1)
        (*before, said) = await posting.published(EmployerVerificationEnding)
        assert before == warned
        assert (said.employer_id, said.days_left) == ("e1", days_left)
        assert said.verified_until == OPENS + timedelta(days=180)
        warned.append(said)
    await posting.later(days=10)
    assert await posting.published(EmployerVerificationEnding) == warned
    answer = await posting.http.post(
        "/gigs", json=month_later(days=183, hours=2), headers=posting.as_("employer", "e1")
    )
    assert (answer.status_code, answer.json()["code"]) == (403, "employer-not-verified")


@pytest.mark.feature("F6")
async def test_a_renewed_verification_cancels_the_warning_and_has_its_own(posting: Harness) -> None:
    await verified(posting)
    await posting.later(days=149)
    await decide(posting)
    await posting.later(days=150, seconds=-1)
    assert await posting.published(EmployerVerificationEnding) == []
    await posting.later(seconds=1)
    (said,) = await posting.published(EmployerVerificationEnding)
    assert said.verified_until == OPENS + timedelta(days=149 + 180)


async def test_who_may_not_post_any_more_is_not_warned(posting: Harness) -> None:
    await verified(posting, "e1")
    await verified(posting, "e2", credit_code=code(2))
    await decide(posting, "e1", approved=False, reason="营业执照已吊销")
    await register(posting, "e2", credit_code=code(2), name="长沙新名分拣有限公司")
    await posting.later(days=183)
    assert await posting.published(EmployerVerificationEnding) == []


async def test_a_warning_whose_timer_is_late_is_said_once_and_says_how_late_it_is(posting: Harness) -> None:
    await verified(posting)
    await posting.later(days=175)
    assert [said.days_left for said in await posting.published(EmployerVerificationEnding)] == [5]
    await posting.later(days=4)
    assert len(await posting.published(EmployerVerificationEnding)) == 1


@pytest.mark.feature("F6", "F38")
async def test_a_revoked_licence_withdraws_the_open_gigs(posting: Harness) -> None:
    await verified(posting, "e1")
    await verified(posting, "e2", credit_code=code(2))
    gigs = [await post(posting, "e1"), await post(posting, "e1"), await post(posting, "e2")]
    await decide(posting, "e1", approved=False, reason="营业执照已吊销")
    assert ids(await search(posting)) == [gigs[2]["gig_id"]]
    closed = [event for event in await posting.published() if isinstance(event, GigClosed)]
    assert sorted(event.gig_id for event in closed) == sorted(gig["gig_id"] for gig in gigs[:2])
    assert {event.reason for event in closed} == {"suspended"}
    assert "吊销" not in "".join(event.model_dump_json() for event in await posting.published())
    await posting.later(days=1)
    assert len([event for event in await posting.published() if isinstance(event, GigClosed)]) == 3
    assert (await read(posting, gigs[0]["gig_id"]))["closed_reason"] == "suspended"


async def test_a_gig_never_slips_past_a_suspension(posting: Harness) -> None:
    """Write skew: a post that read "verified" and a suspension that saw no gig may not both commit."""
    await verified(posting)
    store = posting.runtime.store
    headers = posting.as_("employer", "e1")

    async def refuse_while_a_gig_is_posted(unit: Unit) -> None:
        employer = await unit.get(Employer, "e1")
        assert employer is not None
        await lifecycle.suspend(unit, employer, "rejected", "吊销")
        if not await posting.all(Gig):
            answer = await posting.http.post("/gigs", json=draft(), headers=headers)
            assert answer.status_code == 201

    await store.transact(refuse_while_a_gig_is_posted)
    (gig,) = await posting.all(Gig)
    assert (gig.status, gig.closed_reason) == ("closed", "suspended")
