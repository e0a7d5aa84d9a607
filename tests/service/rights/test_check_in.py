"""A worker starts with the work site's code or a position near it, also offline, or somebody vouches (F17)."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from services.rights.store import Shift
from shared.contracts.rights import ShiftEnded, ShiftMissed, ShiftStarted
from shared.testing import Harness
from tests.service.rights.placements import DISTRICT, EMPLOYER, MORNING, WORKER, placement_made

pytestmark = pytest.mark.feature("F17")

START = MORNING + timedelta(hours=2)
SITE = {"lat": 28.2282, "lon": 112.9388}


def north(metres: float) -> dict[str, float]:
    """A position so far north of the workplace."""
    return SITE | {"lat": SITE["lat"] + metres / 111_195}


async def code(rights: Harness, gig: str = "gig-1") -> str:
    answer = await rights.http.get(f"/gigs/{gig}/code", headers=rights.as_("employer", EMPLOYER))
    assert answer.status_code == 200
    return str(answer.json()["code"])


async def start(rights: Harness, placement: str = "placement-1", **body: Any) -> httpx.Response:
    if isinstance(body.get("seen_at"), datetime):
        body["seen_at"] = body["seen_at"].isoformat()
    headers = rights.as_("worker", WORKER, accept_language="en")
    return await rights.http.post(f"/shifts/{placement}/start", json=body, headers=headers)


async def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["code"]) == (status, code)
    return body


async def view(rights: Harness, placement: str = "placement-1") -> dict[str, Any]:
    read = await rights.http.get(f"/shifts/{placement}", headers=rights.as_("employer", EMPLOYER))
    found: dict[str, Any] = read.json()
    return found


async def set_rules(rights: Harness, area: str = DISTRICT, replaces: int = 0, **changes: Any) -> int:
    body = {"changes": changes, "replaces": replaces, "reason": "a test's"}
    answer = await rights.http.put(f"/rules/{area}", json=body, headers=rights.as_("operator"))
    return answer.status_code


# --- codes -----------------------------------------------------------------------------------------------------------


async def test_the_code_of_the_site_starts_the_shift_and_the_shift_says_so(rights: Harness) -> None:
    await rights.receives(placement_made())
    rights.clock.now = START
    assert (await start(rights, code=await code(rights))).status_code == 200
    seen = await view(rights)
    assert seen["proof"] == {"method": "code", "distance_m": None, "by": "worker", "reason": None, "note": None}
    assert (seen["status"], seen["late_synced"], seen["refused"]) == ("started", False, [])


async def test_the_employers_app_is_told_what_to_show_and_until_when(rights: Harness) -> None:
    await rights.receives(placement_made())
    rights.clock.now = START + timedelta(seconds=10)
    shown = (await rights.http.get("/gigs/gig-1/code", headers=rights.as_("employer", EMPLOYER))).json()
    assert shown["qr"] == f"kuaizhao:check-in?gig=gig-1&code={shown['code']}"
    assert datetime.fromisoformat(shown["next_at"]) == START + timedelta(seconds=30)
    assert datetime.fromisoformat(shown["good_until"]) == START + timedelta(seconds=60)
    rights.clock.now = START + timedelta(seconds=30)
    assert await code(rights) != shown["code"]


async def test_a_code_is_for_the_gigs_own_employer_alone(rights: Harness) -> None:
    await rights.receives(placement_made())
    for gig, headers, status in (
        ("gig-1", rights.as_("employer", "employer-2"), 404),
        ("gig-2", rights.as_("employer", EMPLOYER), 404),
        ("gig-1", rights.as_("worker", WORKER), 403),
    ):
        assert (await rights.http.get(f"/gigs/{gig}/code", headers=headers)).status_code == status


async def test_a_code_older_than_60_s_is_refused_with_the_reason(rights: Harness) -> None:
    await rights.receives(placement_made())
    rights.clock.now = START
    shown = await code(rights)
    rights.clock.now = START + timedelta(seconds=60)
    body = await refused(await start(rights, code=shown), 409, "code-expired")
    assert body["detail"] == "This code has expired: one is good for 60 s. Read the one that is shown now."
    headers = rights.as_("worker", WORKER, accept_language="zh")
    said = await rights.http.post("/shifts/placement-1/start", json={"code": shown}, headers=headers)
    assert said.json()["detail"] == "签到码已过期（有效期 60 秒）。请输入现场当前显示的签到码。"
    rights.clock.now = START + timedelta(seconds=59, milliseconds=999)
    assert (await start(rights, code=shown)).status_code == 200


async def test_a_code_of_another_site_is_refused_and_kept_and_nothing_is_half_done(rights: Harness) -> None:
    await rights.receives(placement_made(), placement_made("placement-2").model_copy(update={"gig_id": "gig-2"}))
    rights.clock.now = START
    other = await code(rights, "gig-2")
    assert other != await code(rights)
    await refused(await start(rights, code=other), 409, "wrong-code")
    await refused(await start(rights, code=other, gig_id="gig-2"), 409, "other-site")
    assert await rights.published(ShiftStarted) == []
    seen = await view(rights)
    assert seen["status"] == "planned"
    assert [(one["code"], one["method"]) for one in seen["refused"]] == [
        ("wrong-code", "code"),
        ("other-site", "code"),
    ]
    assert (await start(rights, code=await code(rights), gig_id="gig-1")).status_code == 200


async def test_codes_cannot_be_guessed_through(rights: Harness) -> None:
    await rights.receives(placement_made())
    rights.clock.now = START
    right = await code(rights)
    wrong = f"{(int(right) + 500_000) % 1_000_000:06}"
    for _ in range(10):
        await refused(await start(rights, code=wrong), 409, "wrong-code")
    await refused(await start(rights, code=right), 409, "too-many-codes")
    assert len((await view(rights))["refused"]) == 10
    assert (await start(rights, position=SITE)).status_code == 200


async def test_a_second_start_is_refused_whatever_it_shows(rights: Harness) -> None:
    await rights.receives(placement_made())
    rights.clock.now = START
    shown = await code(rights)
    answers = await asyncio.gather(*(start(rights, code=shown) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    assert {answer.json().get("code") for answer in answers} == {None, "already-started"}
    assert len(await rights.published(ShiftStarted)) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"code": "12345"}, "code"),
        ({"code": "１２３４５６"}, "code"),
        ({"code": "123456", "position": SITE}, "position"),
        ({"position": {"lat": 91, "lon": 0}}, "position.lat"),
        ({"seen_at": "2026-11-23T08:00:00+08:00"}, "code"),
        ({"seen_at": "2026-11-23T08:00:00+08:00", "position": SITE}, "code"),
    ],
)
async def test_what_can_be_no_proof_is_refused_by_field(rights: Harness, body: dict[str, Any], field: str) -> None:
    await rights.receives(placement_made())
    rights.clock.now = START
    answer = await start(rights, **body)
    assert (answer.status_code, [each["field"] for each in answer.json()["errors"]]) == (422, [field])
    assert (await view(rights))["status"] == "planned"


# --- the geofence ----------------------------------------------------------------------------------------------------


async def test_a_position_within_300_m_starts_and_only_its_distance_is_kept(rights: Harness) -> None:
    await rights.receives(placement_made())
    rights.clock.now = START
    assert (await start(rights, position=north(299))).status_code == 200
    proof = (await view(rights))["proof"]
    assert (proof["method"], proof["distance_m"]) == ("geofence", 299)
    kept = await rights.runtime.store.db["shifts"].find_one({"_id": "placement-1"})
    assert str(north(299)["lat"]) not in str(kept)


async def test_farther_is_refused_with_both_figures_until_somebody_vouches_for_it(rights: Harness) -> None:
    await rights.receives(placement_made())
    rights.clock.now = START
    body = await refused(await start(rights, position=north(320)), 409, "too-far")
    assert body["facts"] == {"distance_m": 320, "most_m": 300}
    assert "320 m" in body["detail"]
    [kept] = (await view(rights))["refused"]
    assert (kept["code"], kept["distance_m"]) == ("too-far", 320)
    note = "东门整修，从后门进入"
    answer = await rights.http.post(
        "/shifts/placement-1/override",
        json={"reason": "wrong-place", "note": note},
        headers=rights.as_("employer", EMPLOYER),
    )
    assert answer.status_code == 200
    proof = (await view(rights))["proof"]
    assert (proof["method"], proof["by"], proof["reason"], proof["note"]) == (
        "override",
        "employer",
        "wrong-place",
        note,
    )
    [row] = await rights.runtime.store.db["_audit"].find({}).to_list()
    assert (row["by"], row["what"], row["placement_id"], row["reason"]) == (
        EMPLOYER,
        "start without proof",
        "placement-1",
        "wrong-place",
    )
    for collection in ("shifts", "_audit", "_outbox"):
        assert note not in str(await rights.runtime.store.db[collection].find({}).to_list())
    [started] = await rights.published(ShiftStarted)
    assert started.by == "employer"


async def test_a_clerk_of_the_district_may_vouch_and_nobody_else_may(rights: Harness) -> None:
    await rights.receives(placement_made())
    rights.clock.now = START
    body = {"reason": "no-device"}
    for headers, status in (
        (rights.as_("worker", WORKER), 403),
        (rights.as_("employer", "employer-2"), 404),
        (rights.as_("clerk", districts=["430103"]), 404),
        (rights.as_("clerk", "clerk-1", districts=["4301"]), 200),
        (rights.as_("employer", EMPLOYER), 409),
    ):
        answer = await rights.http.post("/shifts/placement-1/override", json=body, headers=headers)
        assert answer.status_code == status
    assert (await view(rights))["proof"]["by"] == "clerk"
    rows = await rights.runtime.store.db["_audit"].find({}).to_list()
    assert [row["by"] for row in rows] == ["clerk-1"]


async def test_an_override_needs_a_reason_and_lifts_nothing_but_the_proof(rights: Harness) -> None:
    await rights.receives(placement_made())
    headers = rights.as_("employer", EMPLOYER)
    assert (await rights.http.post("/shifts/placement-1/override", json={}, headers=headers)).status_code == 422
    early = await rights.http.post("/shifts/placement-1/override", json={"reason": "other"}, headers=headers)
    await refused(early, 409, "too-early")
    await rights.later(hours=2, minutes=10)
    late = await rights.http.post("/shifts/placement-1/override", json={"reason": "other"}, headers=headers)
    await refused(late, 409, "shift-missed")
    assert await rights.runtime.store.db["_audit"].count_documents({}) == 0


# --- rules by district -----------------------------------------------------------------------------------------------


async def test_a_district_may_require_a_proof_and_others_need_none(rights: Harness) -> None:
    await rights.receives(placement_made(), placement_made("placement-2", district="430103"))
    assert await set_rules(rights, proof="required") == 200
    rights.clock.now = START
    body = await refused(await start(rights), 422, "proof-required")
    assert [each["field"] for each in body["errors"]] == ["code"]
    assert (await start(rights, "placement-2")).status_code == 200
    assert (await view(rights, "placement-2"))["proof"]["method"] == "none"
    present = await rights.http.post("/shifts/placement-1/present", headers=rights.as_("employer", EMPLOYER))
    assert (present.status_code, present.json()["proof"]["method"]) == (200, "employer")


async def test_a_districts_own_figures_hold_there(rights: Harness) -> None:
    assert await set_rules(rights, radius_m=100, no_show_minutes=30, early_minutes=60) == 200
    await rights.receives(placement_made(), placement_made("placement-2", district="430103"))
    await set_rules(rights, replaces=1, radius_m=100, early_minutes=60)  # a placement keeps its time to come
    rights.clock.now = START - timedelta(minutes=60)
    body = await refused(await start(rights, position=north(120)), 409, "too-far")
    assert body["facts"]["most_m"] == 100
    await refused(await start(rights, "placement-2", position=north(120)), 409, "too-early")
    await rights.later(hours=1, minutes=10)
    assert [each.placement_id for each in await rights.published(ShiftMissed)] == ["placement-2"]
    await rights.later(minutes=20)
    assert len(await rights.published(ShiftMissed)) == 2


async def test_rules_are_public_and_nonsense_is_none(rights: Harness) -> None:
    answer = await rights.http.get("/rules", params={"district": DISTRICT})
    rules = answer.json()["rules"]
    assert (rules["radius_m"], rules["no_show_minutes"], rules["proof"]) == (300, 10, "optional")
    assert await set_rules(rights, radius_m=0) == 422
    assert await set_rules(rights, proof="sometimes") == 422
    body = {"changes": {}, "replaces": 0, "reason": "a test's"}
    for headers in (rights.as_("employer", EMPLOYER), rights.as_("clerk", districts=[DISTRICT])):
        assert (await rights.http.put(f"/rules/{DISTRICT}", json=body, headers=headers)).status_code == 403


# --- offline ---------------------------------------------------------------------------------------------------------


async def test_a_check_in_made_offline_keeps_the_devices_time_and_is_flagged(rights: Harness) -> None:
    await rights.receives(placement_made())
    made = START - timedelta(minutes=3)
    rights.clock.now = made
    shown = await code(rights)
    await rights.later(minutes=12)
    assert (await start(rights, code=shown, seen_at=made)).status_code == 200
    seen = await view(rights)
    assert (datetime.fromisoformat(seen["started_at"]), seen["late_synced"]) == (made, True)
    assert seen["proof"]["method"] == "code"
    [started] = await rights.published(ShiftStarted)
    assert started.at == made
    await rights.later(minutes=10)
    assert await rights.published(ShiftMissed) == []


async def test_a_devices_clock_may_be_off_by_two_minutes(rights: Harness) -> None:
    await rights.receives(*(placement_made(f"placement-{n}") for n in range(4)))
    rights.clock.now = START
    shown = await code(rights)
    rights.clock.now = START + timedelta(minutes=5)
    for n, (seconds, outcome) in enumerate([(-121, "other-time"), (-120, None), (179, None), (180, "other-time")]):
        answer = await start(rights, f"placement-{n}", code=shown, seen_at=START + timedelta(seconds=seconds))
        assert answer.json().get("code") == outcome
    ahead = rights.clock.now + timedelta(seconds=121)
    body = await refused(await start(rights, "placement-0", code=shown, seen_at=ahead), 422, "clock-ahead")
    assert body["facts"] == {"ahead": 121, "seconds": 120}
    ahead = rights.clock.now + timedelta(seconds=60)
    assert (await start(rights, "placement-0", code=await code(rights), seen_at=ahead)).status_code == 200
    assert datetime.fromisoformat((await view(rights, "placement-0"))["started_at"]) == rights.clock.now


async def test_a_code_that_was_never_shown_there_does_not_start_offline(rights: Harness) -> None:
    await rights.receives(placement_made(), placement_made("placement-2").model_copy(update={"gig_id": "gig-2"}))
    rights.clock.now = START
    other = await code(rights, "gig-2")
    rights.clock.now = START + timedelta(minutes=5)
    await refused(await start(rights, code=other, seen_at=START), 409, "wrong-code")


async def test_who_is_called_missed_already_is_told_so_and_what_they_showed_is_kept(rights: Harness) -> None:
    await rights.receives(placement_made())
    rights.clock.now = START
    shown = await code(rights)
    await rights.later(minutes=10)
    assert len(await rights.published(ShiftMissed)) == 1
    rights.clock.advance(minutes=5)
    body = await refused(await start(rights, code=shown, seen_at=START), 409, "shift-missed")
    assert "offered to somebody else" in body["detail"]
    seen = await view(rights)
    assert seen["status"] == "missed"
    [kept] = seen["refused"]
    assert (kept["code"], datetime.fromisoformat(kept["made_at"])) == ("shift-missed", START)
    assert datetime.fromisoformat(kept["came_at"]) == START + timedelta(minutes=15)
    assert await rights.published(ShiftStarted) == []


async def test_too_old_a_check_in_is_refused(rights: Harness) -> None:
    assert await set_rules(rights, late_sync_hours=1, no_show_minutes=120) == 200
    await rights.receives(placement_made())
    rights.clock.now = START
    shown = await code(rights)
    rights.clock.now = START + timedelta(hours=1, seconds=1)
    await refused(await start(rights, code=shown, seen_at=START), 409, "too-old")
    rights.clock.now = START + timedelta(hours=1)
    assert (await start(rights, code=shown, seen_at=START)).status_code == 200


async def test_a_shift_cannot_end_before_it_began(rights: Harness) -> None:
    await rights.receives(placement_made())
    rights.clock.now = START
    await start(rights)
    rights.clock.now = START + timedelta(hours=2)
    headers = rights.as_("worker", WORKER, accept_language="en")

    async def end(seen_at: datetime) -> httpx.Response:
        body = {"seen_at": seen_at.isoformat()}
        return await rights.http.post("/shifts/placement-1/end", json=body, headers=headers)

    body = await refused(await end(START - timedelta(seconds=1)), 422, "ended-before-start")
    assert body["errors"][0]["field"] == "seen_at"
    assert "2026-11-23T08:00+08:00" in body["errors"][0]["detail"]
    assert (await view(rights))["status"] == "started"
    answer = await end(START + timedelta(hours=1))
    assert (answer.status_code, answer.json()["minutes"], answer.json()["end_late_synced"]) == (200, 60, True)
    [ended] = await rights.published(ShiftEnded)
    assert ended.at == START + timedelta(hours=1)


async def test_what_was_kept_before_there_were_proofs_is_read(rights: Harness) -> None:
    await rights.receives(placement_made())
    new = dict.fromkeys(("proof", "late_synced", "refused", "wrong_codes", "no_show_minutes"), "")
    await rights.runtime.store.db["shifts"].update_one({"_id": "placement-1"}, {"$unset": new})
    shift = await rights.get(Shift, "placement-1")
    assert shift
    assert (shift.proof.method, shift.no_show_minutes) == ("none", 10)
    assert (await view(rights))["proof"]["method"] == "none"
