"""A gig from its post to its end: mandatory fields, amendments, expiry, seats that fill and reopen."""

import itertools
from datetime import timedelta
from typing import Any

import pytest
from pydantic import TypeAdapter

from services.posting.api import EmployerForm, GigView, Verification
from services.posting.forms import GigChanges, GigForm
from services.posting.store import Gig
from shared.contracts.posting import GigAmended, GigClosed, GigFilled, GigPosted, GigReopened
from shared.testing import Harness
from tests.service.posting.market import (
    FURONG,
    OPENS,
    amend,
    at,
    cancelled,
    code,
    decide,
    draft,
    ids,
    made,
    post,
    read,
    register,
    search,
    verified,
)

MANDATORY = [
    "district",
    "title",
    "occupation",
    "content",
    "place",
    "place.lat",
    "place.lon",
    "place.address",
    "period",
    "period.start",
    "period.end",
    "headcount",
    "pay",
    "pay.amount_fen",
    "pay.unit",
    "pay.mode",
    "skills",
    "certificates",
    "valid_until",
]


async def said(posting: Harness, kind: type[Any]) -> list[Any]:
    return [event for event in await posting.published() if isinstance(event, kind)]


# --- posting -------------------------------------------------------------------------------------------------------


async def test_a_verified_employer_posts_a_gig(posting: Harness) -> None:
    await verified(posting)
    gig = await post(posting)
    assert (gig["status"], gig["placed"], gig["employer_name"]) == ("open", 0, "长沙星沙分拣有限公司")
    assert gig["pay"] == {"amount_fen": 2200, "unit": "hour", "mode": "same-day"}
    assert gig["period"] == {"start": "2026-11-23T00:00:00Z", "end": "2026-11-23T08:00:00Z"}
    (event,) = await said(posting, GigPosted)
    assert (event.gig_id, event.district, event.origin) == (gig["gig_id"], "430121", None)
    assert event.terms.employer_id == "e1"
    assert event.terms.place.lat == 28.2453
    assert event.terms == (await posting.all(Gig))[0].terms
    assert await read(posting, gig["gig_id"]) == gig


@pytest.mark.feature("F3")
@pytest.mark.parametrize("field", MANDATORY)
@pytest.mark.parametrize(("language", "wording"), [("zh", "为必填项"), ("en", "is required")])
async def test_a_mandatory_field_left_out_is_named(posting: Harness, field: str, language: str, wording: str) -> None:
    await verified(posting)
    body = draft()
    *path, last = field.split(".")
    inner = body
    for part in path:
        inner = inner[part]
    del inner[last]
    headers = posting.as_("employer", "e1", accept_language=language)
    answer = await posting.http.post("/gigs", json=body, headers=headers)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"] == [{"field": field, "detail": wording}]
    assert await posting.all(Gig) == []


def test_the_mandatory_fields_are_those_of_the_form() -> None:
    assert {name for name, field in GigForm.model_fields.items() if field.is_required()} == {
        field for field in MANDATORY if "." not in field
    }


def test_all_of_a_post_but_its_district_can_be_amended_under_the_same_rules() -> None:
    form, changes = GigForm.model_json_schema(), TypeAdapter(GigChanges).json_schema()
    assert changes["properties"].keys() - {"revision"} == form["properties"].keys() - {"district", "crew"}
    for name in changes["properties"].keys() - {"revision", "appeal"}:
        assert {k: v for k, v in form["properties"][name].items() if k != "default"} == changes["properties"][name]


@pytest.mark.parametrize(
    ("changes", "field", "zh"),
    [
        ({"occupation": "sorter"}, "occupation", "格式"),
        ({"occupation": "4-2-7-2"}, "occupation", "格式"),
        ({"district": "4301"}, "district", "格式"),
        ({"title": " a "}, "title", "至少 2"),
        ({"headcount": 0}, "headcount", "应不小于 1"),
        ({"headcount": 10_001}, "headcount", "应不大于 10000"),
        ({"headcount": "3"}, "headcount", "整数"),
        ({"period": {"start": at(hours=2), "end": at(hours=2)}}, "period.end", "应晚于开始时间"),
        ({"period": {"start": at(minutes=9), "end": at(hours=2)}}, "period.start", "10 分钟"),
        ({"period": {"start": at(hours=2), "end": at(hours=15)}}, "period.end", "11 小时"),
        ({"period": {"start": "2026-11-23T08:00:00", "end": at(hours=10)}}, "period.start", "时区"),
        ({"valid_until": at(hours=0)}, "valid_until", "晚于当前时间"),
        ({"valid_until": at(hours=11)}, "valid_until", "班次结束"),
        ({"valid_until": "9999-12-31T23:59:59-08:00"}, "valid_until", ""),
        ({"place": {"lat": 113.08, "lon": 28.24, "address": "星沙街道"}}, "place.lat", "90"),
        ({"place": {"lat": 0, "lon": 0, "address": "星沙街道"}}, "place.lat", "3.8"),
        ({"pay": {"amount_fen": 0, "unit": "hour", "mode": "same-day"}}, "pay.amount_fen", "大于 0"),
        ({"pay": {"amount_fen": 22.5, "unit": "hour", "mode": "same-day"}}, "pay.amount_fen", "整数"),
        ({"skills": ["分拣"]}, "skills.0", "格式"),
        ({"hiring": "later"}, "hiring", "instant"),
    ],
)
async def test_a_wrong_field_is_named_with_what_would_be_right(
    posting: Harness, changes: dict[str, Any], field: str, zh: str
) -> None:
    await verified(posting)
    headers = posting.as_("employer", "e1", accept_language="zh")
    answer = await posting.http.post("/gigs", json=draft(**changes), headers=headers)
    assert answer.status_code == 422
    first = answer.json()["errors"][0]
    assert first["field"] == field
    assert zh in first["detail"]
    assert await posting.all(Gig) == []


@pytest.mark.feature("F3")
async def test_validity_has_a_policy_maximum(posting: Harness) -> None:
    await verified(posting)
    period = {"start": at(days=31), "end": at(days=31, hours=8)}
    headers = posting.as_("employer", "e1")
    answer = await posting.http.post(
        "/gigs", json=draft(period=period, valid_until=at(days=30, seconds=1)), headers=headers
    )
    assert [error["field"] for error in answer.json()["errors"]] == ["valid_until"]
    assert "30 days" in answer.text
    assert (await post(posting, period=period, valid_until=at(days=30)))["status"] == "open"


async def test_an_unverified_employer_cannot_post(posting: Harness) -> None:
    async def refused() -> bool:
        answer = await posting.http.post("/gigs", json=draft(), headers=posting.as_("employer", "e1"))
        return (answer.status_code, answer.json()["code"]) == (403, "employer-not-verified")

    assert await refused()
    await register(posting)
    assert await refused()
    await decide(posting, approved=False, reason="资料不全")
    assert await refused()
    assert await posting.all(Gig) == []


@pytest.mark.parametrize("role", ["worker", "clerk", "agency", "operator"])
async def test_only_employers_post_and_change_gigs(posting: Harness, role: Any) -> None:
    await verified(posting)
    gig = await post(posting)
    headers = posting.as_(role, "e1")
    assert (await posting.http.post("/gigs", json=draft(), headers=headers)).status_code == 403
    assert (await posting.http.patch(f"/gigs/{gig['gig_id']}", json={}, headers=headers)).status_code == 403
    assert (await posting.http.post(f"/gigs/{gig['gig_id']}/close", headers=headers)).status_code == 403
    assert (await posting.http.get("/employers/me/gigs", headers=headers)).status_code == 403


async def test_a_gig_is_its_employers_alone_to_change(posting: Harness) -> None:
    await verified(posting, "e1")
    await verified(posting, "e2", credit_code=code(2))
    gig = await post(posting, "e1")
    assert (await amend(posting, gig["gig_id"], "e2", title="别的岗位"))["http"] == 403
    closing = await posting.http.post(f"/gigs/{gig['gig_id']}/close", headers=posting.as_("employer", "e2"))
    assert closing.status_code == 403
    assert await read(posting, gig["gig_id"]) == gig


async def test_there_is_no_other_gig(posting: Harness) -> None:
    answer = await posting.http.get("/gigs/none", headers={"accept-language": "zh"})
    assert (answer.status_code, answer.json()["detail"]) == (404, "没有这个零工岗位。")
    await verified(posting)
    assert (await amend(posting, "none", title="别的岗位"))["http"] == 404


async def test_one_idempotency_key_is_one_gig(posting: Harness) -> None:
    await verified(posting)
    headers = posting.as_("employer", "e1", idempotency_key="k1")
    first = await posting.http.post("/gigs", json=draft(), headers=headers)
    again = await posting.http.post("/gigs", json=draft(), headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert len(await posting.all(Gig)) == len(await said(posting, GigPosted)) == 1
    other = await posting.http.post("/gigs", json=draft(headcount=4), headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")


@pytest.mark.feature("F14")
@pytest.mark.parametrize(
    "charge", [{"deposit_fen": 10_000}, {"fee": 1}, {"pay": draft()["pay"] | {"deposit_fen": 5}}, {"pay_fee": 1}]
)
async def test_a_charge_to_the_worker_cannot_be_said(posting: Harness, charge: dict[str, Any]) -> None:
    await verified(posting)
    answer = await posting.http.post("/gigs", json=draft(**charge), headers=posting.as_("employer", "e1"))
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["detail"] == "is not a known field"
    gig = await post(posting)
    assert (await amend(posting, gig["gig_id"], **charge))["http"] == 422


@pytest.mark.feature("F14")
async def test_the_only_money_in_the_api_is_what_the_worker_is_paid(posting: Harness) -> None:
    schemas = (await posting.http.get("/openapi.json")).json()["components"]["schemas"]
    money = {
        (name, field)
        for name, schema in schemas.items()
        for field in schema.get("properties", {})
        if any(word in field for word in ("fen", "fee", "amount", "price", "deposit", "charge", "cost", "money"))
    }
    money -= {("GuidePrices", f"{quartile}_fen") for quartile in ("p25", "p50", "p75")}
    assert {field for _, field in money} == {"amount_fen", "hourly_floor_fen"}
    assert all(schemas[name]["properties"][field]["exclusiveMinimum"] == 0 for name, field in money)
    assert {
        GigForm.__name__,
        GigChanges.__name__,
        GigView.__name__,
        EmployerForm.__name__,
        Verification.__name__,
    } <= set(schemas)


async def test_an_employer_lists_its_gigs_in_every_state(posting: Harness) -> None:
    await verified(posting, "e1")
    await verified(posting, "e2", credit_code=code(2))
    mine = [await post(posting, "e1") for _ in range(3)]
    await post(posting, "e2")
    headers = posting.as_("employer", "e1")
    await posting.http.post(f"/gigs/{mine[1]['gig_id']}/close", headers=headers)
    first = (await posting.http.get("/employers/me/gigs?limit=2", headers=headers)).json()
    assert ids(first) == [mine[2]["gig_id"], mine[1]["gig_id"]]
    assert [item["status"] for item in first["items"]] == ["open", "closed"]
    rest = (await posting.http.get(f"/employers/me/gigs?after={first['next']}", headers=headers)).json()
    assert (ids(rest), rest["next"]) == ([mine[0]["gig_id"]], None)


# --- amending ------------------------------------------------------------------------------------------------------


async def test_an_amendment_is_said_with_the_whole_terms(posting: Harness) -> None:
    await verified(posting)
    gig = await post(posting)
    pay = {"amount_fen": 2_500, "unit": "hour", "mode": "same-day"}
    changed = await amend(posting, gig["gig_id"], headcount=5, pay=pay)
    assert (changed["http"], changed["headcount"], changed["pay"], changed["revision"]) == (200, 5, pay, 2)
    assert changed["title"] == gig["title"]
    (event,) = await said(posting, GigAmended)
    assert event.terms == (await posting.all(Gig))[0].terms
    assert (event.terms.headcount, event.terms.pay.amount_fen, event.terms.title) == (5, 2_500, gig["title"])


async def test_an_amendment_holds_for_the_terms_that_were_seen(posting: Harness) -> None:
    await verified(posting)
    gig = await post(posting)
    assert (await amend(posting, gig["gig_id"], revision=1, headcount=4))["revision"] == 2
    late = await amend(posting, gig["gig_id"], revision=1, headcount=9)
    assert (late["http"], late["code"], late["facts"]) == (409, "gig-changed", {"revision": 2})
    assert (await read(posting, gig["gig_id"]))["headcount"] == 4


async def test_seats_that_are_taken_do_not_age_the_terms(posting: Harness) -> None:
    await verified(posting)
    gig = await post(posting)
    await posting.receives(made(gig, "p1"))
    assert (await amend(posting, gig["gig_id"], revision=1, headcount=2))["http"] == 200


async def test_an_amendment_that_changes_nothing_says_nothing(posting: Harness) -> None:
    await verified(posting)
    gig = await post(posting)
    same = await amend(posting, gig["gig_id"], title=gig["title"], pay=gig["pay"])
    assert (same["http"], same["revision"]) == (200, 1)
    assert await said(posting, GigAmended) == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"district": FURONG}, "district"),
        ({"employer_name": "别的公司"}, "employer_name"),
        ({"title": None}, "title"),
        ({"headcount": 10_001}, "headcount"),
        ({"valid_until": at(hours=11)}, "valid_until"),
        ({"place": {"lat": 28.2}}, "place.lon"),
        ({"period": {"start": at(minutes=5), "end": at(hours=2)}}, "period.start"),
    ],
)
async def test_an_amendment_keeps_the_rules_of_a_post(posting: Harness, changes: dict[str, Any], field: str) -> None:
    await verified(posting)
    gig = await post(posting)
    answer = await amend(posting, gig["gig_id"], **changes)
    assert answer["http"] == 422
    assert field in [error["field"] for error in answer["errors"]]
    assert await read(posting, gig["gig_id"]) == gig


async def test_the_headcount_cannot_fall_below_who_is_placed(posting: Harness) -> None:
    await verified(posting)
    gig = await post(posting, headcount=5)
    await posting.receives(made(gig, "p1"), made(gig, "p2"))
    answer = await amend(posting, gig["gig_id"], headcount=1)
    assert (answer["http"], answer["code"], answer["facts"]) == (409, "headcount-below-placed", {"placed": 2})
    full = await amend(posting, gig["gig_id"], headcount=2)
    assert (full["http"], full["status"]) == (200, "filled")
    amended, filled = (await posting.published())[-2:]
    assert isinstance(amended, GigAmended)
    assert filled == GigFilled(
        gig_id=gig["gig_id"], district=gig["district"], placed=2, employer_id=amended.terms.employer_id
    )


async def test_nothing_changes_once_the_shift_has_begun(posting: Harness) -> None:
    await verified(posting)
    gig = await post(posting, valid_until=at(hours=4))
    await posting.later(hours=2, seconds=-1)
    assert (await amend(posting, gig["gig_id"], title="分拣员（急）"))["http"] == 200
    await posting.later(seconds=1)
    answer = await amend(posting, gig["gig_id"], title="分拣员")
    assert (answer["http"], answer["code"]) == (409, "gig-started")


async def test_only_an_open_gig_can_be_amended(posting: Harness) -> None:
    await verified(posting)
    full, shut, expired = [await post(posting, headcount=1) for _ in range(3)]
    await posting.receives(made(full, "p1"))
    await posting.http.post(f"/gigs/{shut['gig_id']}/close", headers=posting.as_("employer", "e1"))
    posting.clock.advance(hours=2)
    codes = [(await amend(posting, gig["gig_id"], title="分拣员"))["code"] for gig in (full, shut, expired)]
    assert codes == ["gig-closed", "gig-closed", "gig-closed"]
    posting.clock.advance(seconds=-1)
    codes = [(await amend(posting, gig["gig_id"], title="分拣员"))["code"] for gig in (full, shut)]
    assert codes == ["gig-full", "gig-closed"]
    assert (await amend(posting, expired["gig_id"], title="分拣员"))["http"] == 200


async def test_an_amended_name_is_the_one_a_clerk_checked_last(posting: Harness) -> None:
    await verified(posting)
    gig = await post(posting)
    await register(posting, name="长沙新名分拣有限公司")
    assert (await amend(posting, gig["gig_id"], headcount=4))["code"] == "employer-not-verified"
    await decide(posting)
    assert (await amend(posting, gig["gig_id"], headcount=4))["employer_name"] == "长沙新名分拣有限公司"


# --- the end of a gig ----------------------------------------------------------------------------------------------


async def test_an_employer_closes_a_gig_once(posting: Harness) -> None:
    await verified(posting)
    gig = await post(posting)
    for _ in range(2):
        answer = await posting.http.post(f"/gigs/{gig['gig_id']}/close", headers=posting.as_("employer", "e1"))
        assert answer.status_code == 200
        assert (answer.json()["status"], answer.json()["closed_reason"]) == ("closed", "employer")
    assert ids(await search(posting)) == []
    await posting.later(days=1)
    assert [event.reason for event in await said(posting, GigClosed)] == ["employer"]


@pytest.mark.feature("F4")
async def test_a_gig_expires_to_the_second(posting: Harness) -> None:
    await verified(posting)
    gig = await post(posting)
    await posting.later(hours=2, seconds=-1)
    assert ids(await search(posting)) == [gig["gig_id"]]
    assert await said(posting, GigClosed) == []
    await posting.later(seconds=1)
    assert ids(await search(posting)) == []
    assert [(event.gig_id, event.reason) for event in await said(posting, GigClosed)] == [(gig["gig_id"], "expired")]
    after = await read(posting, gig["gig_id"])
    assert (after["status"], after["closed_reason"]) == ("closed", "expired")


@pytest.mark.feature("F4")
async def test_a_late_timer_shows_no_expired_gig_and_closes_it_once(posting: Harness) -> None:
    await verified(posting)
    gig = await post(posting)
    posting.clock.advance(hours=2)  # and no timer fires
    for query in ({}, {"lat": 28.2453, "lon": 113.0803}):
        assert ids(await search(posting, **query)) == []
    seen = await read(posting, gig["gig_id"])
    assert (seen["status"], seen["closed_reason"]) == ("closed", "expired")
    await posting.later(hours=5)
    await posting.later(hours=5)
    assert [event.reason for event in await said(posting, GigClosed)] == ["expired"]


async def test_whoever_closes_an_expired_gig_it_expired(posting: Harness) -> None:
    await verified(posting)
    gig = await post(posting)
    posting.clock.advance(hours=3)
    answer = await posting.http.post(f"/gigs/{gig['gig_id']}/close", headers=posting.as_("employer", "e1"))
    assert answer.json()["closed_reason"] == "expired"
    await posting.later(hours=1)
    assert [event.reason for event in await said(posting, GigClosed)] == ["expired"]


async def test_an_amendment_moves_the_expiry(posting: Harness) -> None:
    await verified(posting)
    gig = await post(posting)
    await amend(posting, gig["gig_id"], valid_until=at(hours=5))
    await posting.later(hours=3)
    assert ids(await search(posting)) == [gig["gig_id"]]
    await posting.later(hours=2)
    assert [event.reason for event in await said(posting, GigClosed)] == ["expired"]


# --- seats ---------------------------------------------------------------------------------------------------------


async def test_a_full_gig_leaves_search_and_comes_back_with_a_free_seat(posting: Harness) -> None:
    await verified(posting)
    gig = await post(posting, headcount=2)
    await posting.receives(made(gig, "p1"))
    assert ids(await search(posting)) == [gig["gig_id"]]
    await posting.receives(made(gig, "p2", 2))
    assert ids(await search(posting)) == []
    assert (await read(posting, gig["gig_id"]))["status"] == "filled"
    await posting.receives(cancelled(gig, "p1"))
    assert ids(await search(posting)) == [gig["gig_id"]]
    await posting.receives(made(gig, "p3"))
    kinds = [type(event) for event in await posting.published()][2:]
    assert kinds == [GigFilled, GigReopened, GigFilled]
    assert [event.placed for event in (await posting.published())[2:]] == [2, 1, 2]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
async def test_every_order_and_repetition_of_placement_events_counts_the_same(
    posting: Harness, order: tuple[int, ...]
) -> None:
    """Of three placements one is cancelled: two stand. Each event comes twice under one id and once under another."""
    await verified(posting)
    gig = await post(posting, headcount=3)
    events = [made(gig, "p1"), made(gig, "p2"), cancelled(gig, "p1"), made(gig, "p3")]
    for number in order:
        await posting.receives(events[number], id=f"m{number}")
        await posting.receives(events[number], id=f"m{number}")
        await posting.receives(events[number])
    after = await read(posting, gig["gig_id"])
    assert (after["placed"], after["status"]) == (2, "open")
    told = [type(event) for event in await posting.published()][2:]
    assert told in ([], [GigFilled, GigReopened])
    assert await posting.dead() == []


async def test_a_batch_fills_many_gigs_at_once(posting: Harness) -> None:
    await verified(posting)
    gigs = [await post(posting, headcount=2) for _ in range(4)]
    await posting.receives(*(made(gig, f"{gig['gig_id']}-{seat}", seat) for seat in (1, 2) for gig in gigs))
    filled = await said(posting, GigFilled)
    assert sorted(event.gig_id for event in filled) == sorted(gig["gig_id"] for gig in gigs)
    assert {event.placed for event in filled} == {2}


async def test_a_closed_gig_stays_closed_whatever_its_seats_do(posting: Harness) -> None:
    await verified(posting)
    gig = await post(posting, headcount=1)
    await posting.http.post(f"/gigs/{gig['gig_id']}/close", headers=posting.as_("employer", "e1"))
    await posting.receives(made(gig, "p1"))
    await posting.receives(cancelled(gig, "p1"))
    after = await read(posting, gig["gig_id"])
    assert (after["status"], after["placed"]) == ("closed", 0)
    assert await said(posting, GigFilled) == await said(posting, GigReopened) == []


async def test_a_full_gig_expires_and_does_not_reopen(posting: Harness) -> None:
    await verified(posting)
    gig = await post(posting, headcount=1)
    await posting.receives(made(gig, "p1"))
    posting.clock.advance(hours=2)  # and the timer is late
    await posting.receives(cancelled(gig, "p1"))
    assert await said(posting, GigReopened) == []
    await posting.later(seconds=1)
    assert [event.reason for event in await said(posting, GigClosed)] == ["expired"]


async def test_a_placement_of_a_gig_that_never_was_is_set_aside(posting: Harness) -> None:
    await verified(posting)
    gig = await post(posting, headcount=1)
    await posting.receives(made(gig | {"gig_id": "none"}, "p0"), made(gig, "p1"))
    (letter,) = await posting.dead()
    assert letter["kind"] == "refused"
    assert (await read(posting, gig["gig_id"]))["status"] == "filled"


async def test_times_are_kept_to_the_second(posting: Harness) -> None:
    await verified(posting)
    moment = OPENS + timedelta(hours=1, microseconds=123_456)
    gig = await post(posting, valid_until=moment.isoformat())
    assert gig["valid_until"] == "2026-11-22T23:00:00Z"
    (event,) = await said(posting, GigPosted)
    assert event.terms == (await posting.all(Gig))[0].terms
